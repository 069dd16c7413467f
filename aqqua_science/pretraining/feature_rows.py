"""Rows of features that need not fit into memory, and work on them that can be interrupted after any part."""

import hashlib
import itertools
from functools import cached_property

import numpy as np
import torch

from aqqua_science.files import replacing
from aqqua_science.progress import progress_bar

READ = 16_384
"""Rows read at a time."""

PARTS = 256
"""A pass over all rows is saved in so many parts at most."""


class FeatureRows:
    """
    Rows of features, read in blocks and centred.

    Parameters
    ----------
    features : array_like (n, d)
        Whatever has a shape and is sliced by rows: numpy array or memory map, Zarr array, xarray.DataArray.
    normalise : bool
        Scale each row to length 1.
    usable : numpy.ndarray (n,) of bool, optional
        All by default; other rows read as zeros.
    mean : numpy.ndarray (d,), optional
        Taken off each row.
    device : str
        Where blocks go.

    Raises
    ------
    ValueError
        If the features are no table of numbers.
    """

    def __init__(self, features, *, normalise=False, usable=None, mean=None, device="cpu"):
        shape = getattr(features, "shape", None)
        if (
            shape is None
            or len(shape) != 2
            or 0 in shape
            or np.dtype(getattr(features, "dtype", object)).kind not in "fiu"
        ):
            msg = (
                "features must be numbers of shape (images, features), such as a numpy array or memory map; got "
                f"{type(features).__name__} of shape {shape}. Stack them with numpy.stack."
            )
            raise ValueError(msg)
        self.features, self.normalise, self.usable, self.mean = features, normalise, usable, mean
        self.device = device

    def __len__(self):
        return int(self.features.shape[0])

    @cached_property
    def identity(self):
        """Shape, type and checksum of 64 rows: tells these features from others without reading all."""
        digest = hashlib.sha256()
        for row in np.unique(np.linspace(0, len(self) - 1, 64).astype(int)):
            digest.update(np.ascontiguousarray(np.asarray(self.features[int(row) : int(row) + 1])).tobytes())
        dtype = np.dtype(self.features.dtype)
        return {"shape": [int(s) for s in self.features.shape], "dtype": dtype.name, "sha256": digest.hexdigest()}

    def read(self, first, last):
        """Rows as they are, as float32 (numpy), scaled where that was asked for."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            values = np.asarray(self.features[first:last]).astype(np.float32)
            return values / np.linalg.norm(values, axis=1, keepdims=True) if self.normalise else values

    def block(self, first, last):
        """Centred rows on the device (torch); zeros for those of no use."""
        values = self.read(first, last) - (0 if self.mean is None else self.mean.astype(np.float32))
        if self.usable is not None:
            values[~self.usable[first:last]] = 0
        return torch.from_numpy(values).to(self.device)

    def take(self, rows):
        """Centred rows by their ascending numbers, read block by block."""
        edges = np.searchsorted(rows, np.arange(0, len(self) + READ, READ))
        found = torch.empty(len(rows), int(self.features.shape[1]), device=self.device)
        for number, (start, stop) in enumerate(itertools.pairwise(edges)):
            if stop > start:
                first = number * READ
                block = self.block(first, min(first + READ, len(self)))
                found[start:stop] = block[torch.from_numpy(rows[start:stop] - first).to(self.device)]
        return found

    def pass_over(self, work, *, folder, title):
        """
        Do some work on all rows, part by part; parts that lie in the folder are not done again.

        Parameters
        ----------
        work : callable
            From (first, last) to a dict of arrays.
        folder : pathlib.Path
        title : str
            Of the progress bar.

        Returns
        -------
        dict of str to list of numpy.ndarray
            What `work` gave, by name, one per part.
        """
        size = max(READ, -(-len(self) // PARTS))
        done = []
        for first in progress_bar(range(0, len(self), size), desc=title):
            file = folder / f"{first:012d}.npz"
            if not file.exists():
                found = work(first, min(first + size, len(self)))
                with replacing(file) as part, part.open("wb") as stream:
                    np.savez(stream, **found)
            with np.load(file) as saved:
                done.append({name: saved[name] for name in saved.files})
        return {name: [part[name] for part in done] for name in done[0]}


def blocks(first, last):
    """
    Cut a range of rows into what is read at a time.

    Parameters
    ----------
    first, last : int

    Yields
    ------
    (int, int)
    """
    for start in range(first, last, READ):
        yield start, min(start + READ, last)


def screen_rows(rows, *, folder):
    """
    Find the rows that can be clustered, and their mean.

    Parameters
    ----------
    rows : FeatureRows
    folder : pathlib.Path
        Where parts are saved.

    Returns
    -------
    FeatureRows
        The same, centred, with `usable` set.

    Raises
    ------
    ValueError
        If no two usable rows differ.
    """

    def work(first, last):
        usable, total, square = [], 0.0, 0.0
        for start, stop in blocks(first, last):
            values = rows.read(start, stop)
            usable.append(np.isfinite(values).all(axis=1))
            good = values[usable[-1]].astype(np.float64)
            total, square = total + good.sum(axis=0), square + np.square(good).sum(axis=0)
        return {"usable": np.concatenate(usable), "total": total, "square": square}

    found = rows.pass_over(work, folder=folder, title="reading features")
    usable = np.concatenate(found["usable"])
    n = max(int(usable.sum()), 1)
    mean, square = np.sum(found["total"], axis=0) / n, np.sum(found["square"], axis=0) / n
    if not (square - np.square(mean) > 1e-12 * square).any():
        msg = (
            f"of {len(rows):,} rows of features {int(usable.sum()):,} are usable, and these are all alike: there is "
            "nothing to balance. Were they computed by an encoder that has collapsed or was never trained?"
        )
        raise ValueError(msg)
    return FeatureRows(rows.features, normalise=rows.normalise, usable=usable, mean=mean, device=rows.device)
