"""
CPICS: images of single particles whose names begin with the time, ``YYYYMMDD_HHMMSS``.

Behind the seconds come numbers (fraction of a second, particle), such as in ``20170801_123456.789.0.png``; only the
whole seconds are taken. The time is taken for UTC, as EcoTaxa's import does unless told otherwise. Position and depth
are not in the files; folders that are named by a taxon are read as in `labels`.

Cameras and telephones write ``20170801_123456.jpg`` too. So names of that kind count only where the path says CPICS, or
where every image is a PNG with a fraction of three digits and a number. A tree with a table is one for `folder`.
"""

import re
from datetime import datetime
from functools import lru_cache

from aqqua_science.sources.listing import file_columns, image_parts, list_images, picture, taxon_of
from aqqua_science.sources.record import Record
from aqqua_science.sources.sidecars import table_columns

_NAME = re.compile(r"(\d{8})_(\d{6})(?!\d)[^/]*", re.ASCII)
_STRICT = re.compile(r"\d{8}_\d{6}\.\d{3}\.\d+\.png", re.ASCII | re.IGNORECASE)
_SHARE = 0.9


def recognise(tree):
    """
    Tell by what a tree is known to be a CPICS's.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    str
        Evidence in words; empty when it is not.
    """
    files = [image.name.rpartition("/")[2] for image in list_images(tree)]
    count = sum(_moment(file) is not None for file in files)
    if not files or count < _SHARE * len(files):
        return ""
    is_named = any("cpics" in name.lower() for name in (tree.path.name, *tree.names))
    if not is_named and not (count == len(files) and all(map(_STRICT.fullmatch, files))):
        return ""
    if table_columns(tree):
        return ""
    return f"{count} image{'s' if count != 1 else ''} named by the time, as a CPICS does"


def parts(tree):
    """
    List the images in ranges that can be read one by one.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    list of Part
    """
    return image_parts(list_images(tree))


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
    for image in list_images(tree)[part.detail["start"] : part.detail["stop"]]:
        metadata = {"object_id": image.identity, "image_rank": 0, "instrument": "CPICS"}
        moment, taxon = _moment(image.name.rpartition("/")[2]), taxon_of(image.folder, tree.path.stem)
        if moment is not None:
            metadata["time"] = moment
        if taxon and "cpics" not in taxon.lower():
            metadata["taxon"] = taxon
        yield Record(image.name, picture(tree, image.name), metadata, file_columns(image))


def _moment(file):
    """Time in the name of a file, or None."""
    match = _NAME.match(file)
    return _spell(match[1], match[2]) if match else None


@lru_cache(maxsize=4096)
def _spell(day, clock):
    """ISO 8601, or None where there is no such moment."""
    try:
        return datetime.strptime(day + clock, "%Y%m%d%H%M%S").isoformat()
    except ValueError:
        return None
