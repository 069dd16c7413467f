"""Models as files: arrays and JSON, so that reading one runs no code, under a seal that tells any damage."""

import hashlib
import io
import json
from dataclasses import fields
from pathlib import Path

import numpy as np

from aqqua_science import __version__
from aqqua_science.files import plain, replacing

FORMAT_VERSION = 1

_NO_COMMENT = b"\x00\x00"
"""How a zip file without a comment ends: its length."""

_SEAL = 34
"""Bytes of a comment of 32 bytes and of its length."""


class ArrayFields:
    """Dataclasses whose fields are arrays or numbers, as what a file keeps and back."""

    def arrays(self):
        """
        What a file has to keep.

        Returns
        -------
        dict of str to numpy.ndarray
        """
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays):
        """
        Build from what a file kept.

        Parameters
        ----------
        arrays : mapping of str to numpy.ndarray
            May hold others as well.

        Returns
        -------
        ArrayFields
        """
        # An empty index makes a number of an array without dimensions, and leaves the others.
        return cls(**{field.name: arrays[field.name][()] for field in fields(cls)})


class StandardisedArrays:
    """What learns from standardised features, as what a file keeps and back."""

    kept = ()
    """Names of the arrays that a file keeps, besides mean and spread of the features."""

    def arrays(self):
        """
        What a file has to keep.

        Returns
        -------
        dict of str to numpy.ndarray
        """
        return {name: np.asarray(getattr(self, name)) for name in ("center", "spread", *self.kept)}

    def restore(self, arrays):
        """
        Take what a file kept.

        Parameters
        ----------
        arrays : dict of str to numpy.ndarray
            May hold others as well.

        Returns
        -------
        StandardisedArrays
            Itself.
        """
        for name in ("center", "spread", *self.kept):
            setattr(self, name, arrays[name][()])
        return self

    def _standardised(self, x):
        return (x - self.center) / self.spread


def write_arrays(path, arrays, *, kind, about):
    """
    Write a model as a compressed archive of numpy that carries a checksum of itself.

    Parameters
    ----------
    path : str or pathlib.Path
    arrays : dict of str to numpy.ndarray
    kind : str
        Name of the class, which has a method ``save``.
    about : dict
        All else that is to be kept, fit for JSON.

    Raises
    ------
    ValueError
        If the name does not end in ``.npz``.
    """
    if not str(path).endswith(".npz"):
        msg = f"a {kind} is kept in a file of arrays whose name ends in .npz; got {str(path)!r}."
        raise ValueError(msg)
    head = {"format": f"aqqua_science.{kind}", "format_version": FORMAT_VERSION, "version": __version__}
    text = json.dumps(plain(head | about), ensure_ascii=False, allow_nan=False).encode()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=np.frombuffer(text, dtype=np.uint8), **arrays)
    content = buffer.getvalue().removesuffix(_NO_COMMENT)
    with replacing(path) as part:
        part.write_bytes(content + _seal(content))


def read_arrays(path, *, kind):
    """
    Read what `write_arrays` wrote.

    Parameters
    ----------
    path : str or pathlib.Path
    kind : str

    Returns
    -------
    about : dict
    arrays : dict of str to numpy.ndarray

    Raises
    ------
    ValueError
        If the file is none, is damaged (were it one bit), or is of another kind or a later version.
    """
    data = Path(path).read_bytes()
    remedy = f"Write one with {kind}.save, or copy it again."
    if data[-_SEAL:] != _seal(data[:-_SEAL]):
        msg = f"{path} cannot be read as a {kind}: its checksum is wrong. It is none, or damaged. {remedy}"
        raise ValueError(msg)
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(arrays.pop("about").tobytes())
    if about["format"] != f"aqqua_science.{kind}":
        msg = f"{path} is no {kind} but {about['format']!r}. {remedy}"
        raise ValueError(msg)
    if about["format_version"] > FORMAT_VERSION:
        later = about["format_version"]
        msg = f"{path} has format version {later}; this package reads up to {FORMAT_VERSION}. Update aqqua_science."
        raise ValueError(msg)
    return about, arrays


def _seal(content):
    """The comment of a zip file, after its length: the checksum of all before it."""
    digest = hashlib.sha256(content).digest()
    return len(digest).to_bytes(2, "little") + digest
