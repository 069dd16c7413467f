"""Which instrument or portal a file or folder comes from, found by looking."""

import importlib

from aqqua_science.schema import SchemaError, nearest_name
from aqqua_science.sources.tree import Tree

FORMATS = ("ifcb", "uvp", "flowcam", "zooscan", "planktoscope", "ecotaxa", "cpics", "folder", "labels")
"""Names of the modules that read images, the most particular first: the first that recognises a tree reads it."""


def recognise_format(path):
    """
    Find which format the files at a path have.

    Parameters
    ----------
    path : str, pathlib.Path or Tree

    Returns
    -------
    name, evidence : str
        Name of the module of `sources` that reads it, and what it was recognised by.

    Raises
    ------
    SchemaError
        If no format recognises it; the message tells what was found and what is looked for.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp(), "Copepoda__45074")
    >>> folder.mkdir()
    >>> _ = (folder / "1.png").write_bytes(b"")
    >>> recognise_format(folder.parent)
    ('labels', '1 folder of images whose name is a taxon')
    """
    tree = path if isinstance(path, Tree) else Tree(path)
    for name in FORMATS:
        evidence = format_module(name).recognise(tree)
        if evidence:
            return name, evidence
    shown = ", ".join(tree.names[:5]) or "no files"
    msg = (
        f"{tree.path} has no format that is known here; it holds {shown}{' ...' if len(tree.names) > 5 else ''}. "
        "Looked for: IFCB bins (.adc, .hdr, .roi), tables ecotaxa*.tsv, UVP, FlowCam (.lst), CPICS and PlanktoScope "
        "files, a table beside images, folders of images named by taxon."
    )
    raise SchemaError(msg)


def format_module(name):
    """
    Get the module that reads a format.

    Parameters
    ----------
    name : str

    Returns
    -------
    module
        With ``recognise(tree)``, ``parts(tree)`` and ``read(tree, part)``.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if name not in FORMATS:
        msg = f"there is no format {name!r}.{nearest_name(name, FORMATS)} The formats are: {', '.join(FORMATS)}."
        raise ValueError(msg)
    return importlib.import_module(f"aqqua_science.sources.{name}")
