"""
Folders of images, where the name of a folder is the taxon of what is in it; also plain folders, which say nothing.

``Acantharea__1111`` (EcoTaxa, uvpec) and ``copepod_calanoid`` are taxa; what is not taken for one is told in
`listing.taxon_of`. Who sorted the images, a person or a program, the files do not say: ``taxon_status`` is left out.
The identifier of an object is the path of its image without ending.
"""

from aqqua_science.sources.exif import imager_metadata
from aqqua_science.sources.listing import file_columns, image_parts, list_images, picture, taxon_of
from aqqua_science.sources.record import Record


def recognise(tree):
    """
    Tell by what a tree is known to hold nothing but images.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    str
        Evidence in words; empty when it has no images.
    """
    images = list_images(tree)
    folders = [folder for folder in {image.folder for image in images} if taxon_of(folder, tree.path.stem)]
    if folders:
        return f"{len(folders)} folder{'s' if len(folders) != 1 else ''} of images whose name is a taxon"
    return f"{len(images)} image{'s' if len(images) != 1 else ''}" if images else ""


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
        taken, written = imager_metadata(tree, image.name)
        taxon = taxon_of(image.folder, tree.path.stem)
        metadata = {"object_id": image.identity, "image_rank": 0, **taken, **({"taxon": taxon} if taxon else {})}
        yield Record(image.name, picture(tree, image.name), metadata, {**file_columns(image), **written})
