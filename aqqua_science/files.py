"""Files that are whole or absent, and how they are told apart."""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np


@contextlib.contextmanager
def replacing(path):
    """
    Write a file beside its final place and move it there when it is whole.

    Parameters
    ----------
    path : str or pathlib.Path

    Yields
    ------
    pathlib.Path
        Where to write, with the same suffix.

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp(), "note.txt")
    >>> with replacing(target) as path:
    ...     _ = path.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_json(content, path):
    """
    Write a JSON document, NaN as null.

    Parameters
    ----------
    content : dict
    path : str or pathlib.Path

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp(), "result.json")
    >>> write_json({"r2": float("nan")}, target)
    >>> json.loads(target.read_text())
    {'r2': None}
    """
    with replacing(path) as part:
        part.write_text(json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def plain(value):
    """
    Turn numpy and pandas values into what JSON can hold.

    Parameters
    ----------
    value : object

    Returns
    -------
    dict, list, str, int, float, bool or None

    Examples
    --------
    >>> plain({"n": np.int64(3), "r2": np.array([0.5, np.nan])})
    {'n': 3, 'r2': [0.5, None]}
    """
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def file_hash(path):
    """
    SHA-256 of a file, or of all files of a folder.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    str

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp(), "empty")
    >>> target.touch()
    >>> file_hash(target)[:8]
    'e3b0c442'
    """
    if path.is_dir():
        parts = "".join(file_hash(p) + str(p.relative_to(path)) for p in sorted(path.rglob("*")) if p.is_file())
        return hashlib.sha256(parts.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
