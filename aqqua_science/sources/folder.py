"""
Images with tables beside them: any folder or zip in which a ``.csv`` or ``.tsv`` names images in one of its columns.

Tables may lie beside each folder of images, as those of frame cutters for ISIIS and the Plankton Imager do, or above
all of them; `sidecars` tells how they are found and joined, `sidecar_columns` what their columns mean. Images that no
table names are delivered with what their file and folder say. Where no table has a taxon, folders named by one give it
(`listing.taxon_of`), when there are several or they carry an ``__id``; folders with a table in them are no taxa.

An object is called what ``object_id``, ``roi_id`` or ``id`` say when there is one table, and they tell all objects of
the tree apart; else by the path of its image without ending.
"""

from itertools import islice

from aqqua_science.sources.exif import imager_metadata
from aqqua_science.sources.listing import MAX_ROWS, file_columns, image_parts, picture, taxon_of
from aqqua_science.sources.record import Part, Record
from aqqua_science.sources.sidecar_columns import column_converter
from aqqua_science.sources.sidecars import open_catalogue, table_columns


def recognise(tree):
    """
    Tell by what a tree is known to hold images and tables that describe them.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    str
        Evidence in words; empty when it does not.
    """
    found = table_columns(tree)
    if not found:
        return ""
    columns = ", ".join(sorted({repr(column) for column in found.values()}))
    return f"{len(found)} table{'s' if len(found) != 1 else ''} with names of images under {columns}"


def parts(tree):
    """
    List the tables, and the images without one, in pieces that can be read one by one.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    list of Part
    """
    catalogue = open_catalogue(tree)
    found = [Part(table, 1, {"fault": fault}) for table, fault in catalogue.broken.items()]
    for table, count in catalogue.rows.items():
        for place, line in enumerate(catalogue.starts[table]):
            rows = min(MAX_ROWS, count - place * MAX_ROWS)
            found.append(Part(table, rows, {"start": place * MAX_ROWS, "line": line}))
    found.extend(image_parts(catalogue.others()))
    return sorted(found, key=lambda part: (part.name, part.detail.get("start", 0)))


def read(tree, part):
    """
    Read the records of a part.

    Parameters
    ----------
    tree : Tree
    part : Part

    Yields
    ------
    Record
    """
    if "fault" in part.detail:
        yield Record(part.name, None, {}, {}, part.detail["fault"])
        return
    catalogue = open_catalogue(tree)
    taxa = _folder_taxa(tree, catalogue)
    if "line" in part.detail:
        yield from _read_table(tree, part, taxa)
        return
    for image in catalogue.others()[part.detail["start"] : part.detail["stop"]]:
        metadata, raw = _file_metadata(tree, image, taxa)
        yield Record(image.name, picture(tree, image.name), metadata, raw)


def _read_table(tree, part, taxa):
    """Records of some rows of a table."""
    catalogue, table = open_catalogue(tree), part.name
    converters = {}
    for entry in islice(catalogue.entries(tree, table, first=part.detail["line"]), part.rows):
        key = tuple(entry.values)
        convert = converters.get(key) or converters.setdefault(key, column_converter(key))
        origin, metadata = f"{table}:{entry.line}", convert(entry.values)
        if not catalogue.has_own_names:
            metadata.pop("object_id", None)
        if entry.image is None:
            yield Record(origin, None, metadata, entry.values, entry.fault)
            continue
        image = catalogue.images[entry.image]
        known, raw = _file_metadata(tree, image, taxa)
        pixels = None if entry.fault else picture(tree, image.name)
        yield Record(origin, pixels, {**known, **metadata}, {**raw, **entry.values}, entry.fault)


def _file_metadata(tree, image, taxa):
    """What the file of an image and its folder say."""
    taken, written = imager_metadata(tree, image.name)
    taxon = taxa.get(image.folder)
    metadata = {"object_id": image.identity, "image_rank": 0, **taken, **({"taxon": taxon} if taxon else {})}
    return metadata, {**file_columns(image), **written}


def _folder_taxa(tree, catalogue):
    """Folder -> taxon, of the folders whose names are believed."""
    holding = {table.rpartition("/")[0] for table in catalogue.columns}
    folders = {image.folder for image in catalogue.images} - holding
    taxa = {folder: taxon for folder in folders if (taxon := taxon_of(folder, tree.path.stem))}
    numbered = {folder: taxon for folder, taxon in taxa.items() if not folder.endswith(taxon)}
    return taxa if len(taxa) > 1 else numbered
