"""Masks as runs: a few numbers for each, in a Parquet table that grows piece by piece and is whole or absent."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from aqqua_science.files import replacing, write_json
from aqqua_science.progress import progress_bar

ROWS_PER_PIECE = 2048
"""Masks that a killed run has to find again, at most."""


def encode(mask):
    """
    Turn a mask into the lengths of its runs.

    Column by column, from the top left corner downwards, pixels without and with object take turns; the first number
    counts pixels without, and is 0 if the object is in that corner. This is the uncompressed form of COCO's masks.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (height, width)

    Returns
    -------
    numpy.ndarray of uint32
        Their sum is the number of pixels.

    Raises
    ------
    ValueError
        If the mask is not two-dimensional.

    References
    ----------
    Lin et al. 2014, Microsoft COCO: common objects in context, ECCV.

    Examples
    --------
    >>> encode(np.array([[False, True], [True, True]])).tolist()
    [1, 3]
    """
    mask = np.asarray(mask, bool)
    if mask.ndim != 2:
        msg = f"a mask has the shape (height, width); got {mask.shape}. Pass one plane."
        raise ValueError(msg)
    line = mask.T.ravel()
    ends = np.flatnonzero(line[1:] != line[:-1]) + 1
    runs = np.diff(np.concatenate([[0], ends, [line.size]]))
    return (np.concatenate([[0], runs]) if line.size and line[0] else runs).astype(np.uint32)


def decode(counts, shape):
    """
    Turn the lengths of runs back into a mask.

    Parameters
    ----------
    counts : array-like of int
        As `encode` gives them.
    shape : (int, int)
        Height and width.

    Returns
    -------
    numpy.ndarray of bool, shape (height, width)

    Raises
    ------
    ValueError
        If the runs do not fill the shape.

    Examples
    --------
    >>> decode([1, 3], (2, 2)).astype(int)
    array([[0, 1],
           [1, 1]])
    """
    counts = np.asarray(counts, np.int64)
    height, width = (int(n) for n in shape)
    if counts.sum() != height * width or (counts < 0).any():
        msg = (
            f"the runs hold {counts.sum()} pixels, but {height} x {width} are {height * width}. "
            "Take height, width and counts from the same row."
        )
        raise ValueError(msg)
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def mask_of(table, row):
    """
    Take one mask out of a table of masks.

    Parameters
    ----------
    table : pandas.DataFrame
        As `aqqua_science.objects.segmentation.segment` gives it.
    row : int
        Row number of the store.

    Returns
    -------
    numpy.ndarray of bool, shape (height, width)

    Raises
    ------
    KeyError
        If the table has no such row.
    """
    if row not in table.index:
        msg = f"there is no mask of row {row}. Segment that row too."
        raise KeyError(msg)
    found = table.loc[[row]].iloc[0]
    return decode(found["counts"], (found["height"], found["width"]))


def at_edge(mask):
    """
    Tell whether an object touches the border of its image, so that part of it may be missing.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (height, width)

    Returns
    -------
    bool
    """
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def reason_of(mask):
    """
    Tell why a mask has no outline to measure.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (height, width)

    Returns
    -------
    str
        Empty if it has one.
    """
    return "nothing stands out" if not mask.any() else "fills the frame" if mask.all() else ""


def read_masks(path):
    """
    Read a table of masks.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    pandas.DataFrame
        Indexed by row number of the store.
    """
    return pd.read_parquet(path)


def check_parquet(path, *, what):
    """
    Refuse a name that promises another format than Parquet.

    Parameters
    ----------
    path : str or pathlib.Path
    what : str
        Is written.

    Raises
    ------
    ValueError
        If it does not end in ``.parquet``.
    """
    if Path(path).suffix != ".parquet":
        msg = f"a table of {what} is a file whose name ends in .parquet; got {str(path)!r}. Pass another name."
        raise ValueError(msg)


def grow(path, rows, describe, *, job):
    """
    Write a table piece by piece and leave it whole; killed at any moment, the same call goes on where it stopped.

    Parameters
    ----------
    path : str or pathlib.Path
        A Parquet file. While it grows, its pieces lie beside it in a hidden folder.
    rows : numpy.ndarray of int
    describe : callable
        Makes a pandas.DataFrame, indexed by row, of some of the rows.
    job : dict
        What tells this work from any other; kept in the file.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        If the name does not end in ``.parquet``.
    FileExistsError
        If the file, or the pieces of an unfinished one, are of other work.
    """
    check_parquet(path, what="masks")
    path, text = Path(path), json.dumps(job | {"rows": _digest(rows)}, sort_keys=True)
    folder = path.with_name(f".{path.name}-pieces")
    if path.exists():
        _check_finished(path, text)
        shutil.rmtree(folder, ignore_errors=True)
        return path
    _claim(folder, text)
    pieces = []
    # Without rows, one empty piece tells the columns.
    for start in progress_bar(range(0, max(1, len(rows)), ROWS_PER_PIECE), desc=path.name):
        pieces.append(folder / f"{start:010d}.parquet")
        if not pieces[-1].exists():
            with replacing(pieces[-1]) as part:
                describe(rows[start : start + ROWS_PER_PIECE]).to_parquet(part, index=True)
    _join(pieces, path, text)
    shutil.rmtree(folder)
    return path


def _digest(rows):
    return hashlib.sha256(np.ascontiguousarray(rows, np.int64).tobytes()).hexdigest()[:16]


def _check_finished(path, text):
    """Refuse a file that is there already, unless it is of the same work."""
    import pyarrow.parquet as pq

    found = (pq.read_schema(path).metadata or {}).get(b"aqqua_science", b"").decode()
    if found != text:
        msg = f"{path} is of other images or another method: {found or 'no masks of ours'}. Choose another name."
        raise FileExistsError(msg)


def _claim(folder, text):
    """Note whose pieces a folder holds, or refuse it."""
    note = folder / "job.json"
    if not note.exists():
        # The note comes first: pieces without one are what a killed removal left.
        shutil.rmtree(folder, ignore_errors=True)
        write_json(json.loads(text), note)
    elif json.loads(note.read_text("utf-8")) != json.loads(text):
        msg = f"{folder} holds pieces of other work that did not finish. Delete it, or choose another name."
        raise FileExistsError(msg)


def _join(pieces, path, text):
    """One file of all pieces, one in memory at a time."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(pieces[0])
    schema = schema.with_metadata((schema.metadata or {}) | {b"aqqua_science": text.encode()})
    with replacing(path) as part, pq.ParquetWriter(part, schema) as writer:
        for piece in pieces:
            writer.write_table(pq.read_table(piece).replace_schema_metadata(schema.metadata))
