"""
The image files of a tree: one for each image, whatever formats it was saved in, and what their folders say of them.

Some instruments save one image three times (``x.tif``, ``x.png``, ``x.jpg``). The rawest is the image, by what its
format can hold without loss: TIFF (any depth), PNG (16 bits), BMP (8 bits), GIF (256 colours), JPEG (lossy). The
others stay known as ``other_copies``.
"""

import re
from typing import NamedTuple

from aqqua_science.sources.pictures import SUFFIXES, decode
from aqqua_science.sources.record import Part

MAX_ROWS = 20_000
"""Images that one part of a plain folder has at most."""

_ORDER = (".tif", ".tiff", ".png", ".bmp", ".gif", ".jpg", ".jpeg")
_RANKS = {suffix: rank for rank, suffix in enumerate(_ORDER)}
_WITH_ID = re.compile(r"(.+?)__\d+", re.DOTALL)
_PLAIN = {
    *("image", "images", "img", "imgs", "raw", "data", "dataset", "picture", "pictures", "photo", "photos", "all"),
    *("vignette", "vignettes", "roi", "rois", "crop", "crops", "cutout", "cutouts", "frame", "frames", "classes"),
    *("png", "jpg", "jpeg", "tif", "tiff", "bmp", "gif", "train", "training", "test", "testing", "val", "valid"),
    *("validation", "labels", "labelled", "labeled", "unlabelled", "unlabeled", "unclassified", "unsorted"),
    *("export", "exports", "output", "img_sample"),
}


class ImageFile(NamedTuple):
    """
    One image of a tree.

    Attributes
    ----------
    name : str
        The file that is read.
    copies : tuple of str
        Files of the same image in other formats.
    """

    name: str
    copies: tuple = ()

    @property
    def identity(self):
        """Path without ending; no two images of a tree share it."""
        return without_ending(self.name)

    @property
    def folder(self):
        """Path of its folder; empty at the top."""
        return self.name.rpartition("/")[0]


def without_ending(name):
    """
    Path of an image file without its ending.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
        The path itself where it ends in nothing that an image file ends in.

    Examples
    --------
    >>> without_ending("a.b/1.2.PNG"), without_ending("a.b/1.2")
    ('a.b/1.2', 'a.b/1.2')
    """
    stem, _, ending = name.rpartition(".")
    return stem if f".{ending.lower()}" in SUFFIXES else name


def list_images(tree):
    """
    List the images of a tree.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    list of ImageFile
        By name.
    """
    files = {}
    for name in tree.matching(*SUFFIXES):
        files.setdefault(without_ending(name), []).append(name)
    images = []
    for names in files.values():
        if len(names) > 1:
            names.sort(key=_rank)
        images.append(ImageFile(names[0], tuple(names[1:])))
    return sorted(images)


def _rank(name):
    """How raw a file is, the rawest first."""
    return _RANKS["." + name.rpartition(".")[2].lower()], name


def image_parts(images):
    """
    Cut a list of images in parts.

    Parameters
    ----------
    images : list of ImageFile

    Returns
    -------
    list of Part
        Named by their first image; ``start`` and ``stop`` count in the list.
    """
    cuts = [(start, min(start + MAX_ROWS, len(images))) for start in range(0, len(images), MAX_ROWS)]
    return [Part(images[start].name, stop - start, {"start": start, "stop": stop}) for start, stop in cuts]


def picture(tree, name):
    """
    Make a callable that decodes an image.

    Parameters
    ----------
    tree : Tree
    name : str

    Returns
    -------
    callable
    """
    return lambda: decode(tree.read(name))


def file_columns(image):
    """
    What the path of an image says, as columns.

    Parameters
    ----------
    image : ImageFile

    Returns
    -------
    dict of str to str
        ``file``, ``folder`` and, where there are any, ``other_copies``, separated by ``;``.

    Examples
    --------
    >>> file_columns(ImageFile("a/1.tif", ("a/1.png",)))
    {'file': 'a/1.tif', 'folder': 'a', 'other_copies': 'a/1.png'}
    """
    found = {"file": image.name, "folder": image.folder}
    return {**found, "other_copies": ";".join(image.copies)} if image.copies else found


def taxon_of(folder, archive=""):
    """
    Read the taxon that a folder of images is named by.

    Parameters
    ----------
    folder : str
        Its path. The last name counts, without the ``__id`` that EcoTaxa and uvpec write behind it.
    archive : str
        Name of the archive without ending: a folder at the top of the same name only wraps it.

    Returns
    -------
    str
        Empty where the name tells no taxon: general words ("images", "train"), fewer than two letters, or four digits
        in a row, as dates and numbers of stations have.

    Examples
    --------
    >>> taxon_of("img/Acantharea__1111"), taxon_of("copepod_calanoid"), taxon_of("a/images"), taxon_of("20240422")
    ('Acantharea', 'copepod_calanoid', '', '')
    """
    name = folder.rpartition("/")[2].strip()
    name = name[:-4] if name.lower().endswith(".zip") else name
    with_id = _WITH_ID.fullmatch(name)
    if with_id:
        return with_id.group(1).strip()
    general = name.lower() in _PLAIN or folder == archive
    letters = sum(map(str.isalpha, name))
    return "" if general or letters < 2 or re.search(r"\d{4}", name) else name
