"""
PlanktoScope: the tables ``ecotaxa_<acquisition>.tsv`` that its segmenter writes, UTF-8, beside the images.

They are read as EcoTaxa's are; what their own columns mean (micrometres per pixel, the water at sea that was looked
at) is told in `ecotaxa_columns`.
"""

from aqqua_science.sources.ecotaxa_tables import instruments_of, read_table, table_names, table_parts


def recognise(tree):
    """
    Tell by what a tree is known to be a PlanktoScope's.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    str
        Evidence in words; empty when it is not.
    """
    if instruments_of(tree) != {"PlanktoScope"}:
        return ""
    count = len(table_names(tree))
    return f"{count} table{'s' if count > 1 else ''} ecotaxa*.tsv of a PlanktoScope"


def parts(tree):
    """
    List the tables, in pieces that can be read one by one.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    list of Part
    """
    return table_parts(tree)


def read(tree, part):
    """
    Read the records of a part.

    Parameters
    ----------
    tree : Tree
    part : Part

    Returns
    -------
    iterator of Record
    """
    return read_table(tree, part)
