"""EcoTaxa: its import bundles and its exports."""

from aqqua_science.sources.ecotaxa_rules import validate_bundle
from aqqua_science.sources.ecotaxa_tables import read_table, table_names, table_parts


def recognise(tree):
    """
    Tell by what a tree is known to be EcoTaxa's.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    str
        Evidence in words; empty when it is not.
    """
    names = table_names(tree)
    return f"{len(names)} table{'s' if len(names) > 1 else ''} ecotaxa*.tsv" if names else ""


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


def validate(path):
    r"""
    Check an import bundle by the rules of EcoTaxa's import, without EcoTaxa.

    Parameters
    ----------
    path : str or pathlib.Path
        A folder, a zip, or one table, whose images lie beside it.

    Returns
    -------
    pandas.DataFrame
        One row per fault: ``file``, ``line`` (1 is the header, 0 the whole file or bundle), ``rule`` (explained in
        `ecotaxa_rules.RULES`) and ``message``; empty when no rule is broken. Whether EcoTaxa knows a taxon or a
        person, and what a project holds already, cannot be told from here.

    Raises
    ------
    SchemaError
        If there is nothing at the path, or a zip cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> table = Path(tempfile.mkdtemp(), "ecotaxa_a.tsv")
    >>> _ = table.write_text("img_file_name\tobject_id\tarea\n[t]\t[t]\t[f]\n1.png\ta1\t5\n")
    >>> validate(table)[["line", "rule"]].to_numpy().tolist()
    [[1, 'header-without-underscore'], [3, 'missing-image']]
    """
    return validate_bundle(path)
