"""Heads on metadata: what an embedding shall tell apart, and what it shall not know."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from aqqua_science.schema import SchemaError, nearest_name

HIDDEN = 128
"""Width of an adversary."""

FARTHEST = 5.0
"""Standard deviations from the mean beyond which a measured feature teaches nothing more."""

SMALLEST_DEVIATION = 1e-6

MISSING = -1
"""Class of rows of which nothing is known."""


def reverse_gradient(x, scale):
    """
    Hand values on unchanged, and their gradient reversed.

    What follows learns its task; what comes before learns to make the task impossible (Ganin & Lempitsky 2015,
    doi:10.48550/arXiv.1409.7495).

    Parameters
    ----------
    x : torch.Tensor
    scale : float
        The gradient is multiplied by minus this.

    Returns
    -------
    torch.Tensor
        Equal to `x`.
    """
    return _Reversal.apply(x, scale)


class _Reversal(torch.autograd.Function):
    """Identity whose gradient is reversed."""

    @staticmethod
    def forward(ctx, x, scale):
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.scale * gradient, None


class _Classes(NamedTuple):
    """A column of names, each known from at least two rows."""

    names: tuple

    width = property(lambda self: len(self.names))

    def target(self, column):
        """Class of each row."""
        return torch.from_numpy(pd.Index(self.names).get_indexer(_texts(column)).astype(np.int64))

    def known(self, target):
        """Whether a row has a class."""
        return target != MISSING

    def loss(self, output, target):
        """Cross-entropy; 1 is chance, 0 for rows without a class."""
        entropy = functional.cross_entropy(output, target, ignore_index=MISSING, reduction="none")
        return entropy / math.log(len(self.names))

    def describe(self):
        """What `GuideHeads.describe` tells."""
        return {"task": "classification", "classes": list(self.names)}


class _Numbers(NamedTuple):
    """A column of numbers, or of their logarithms, and how it is standardised."""

    logarithm: bool
    mean: float
    deviation: float

    width = property(lambda self: 1)

    def target(self, column):
        """Standardised number of each row; not a number where it is missing."""
        return torch.from_numpy((_scaled(column, self.logarithm) - self.mean) / self.deviation).float()

    def known(self, target):
        """Whether a row has a number."""
        return ~target.isnan()

    def loss(self, output, target):
        """Squared error; 1 is that of the mean, 0 for rows without a number."""
        known = self.known(target)
        wanted = torch.where(known, target, 0).to(output.dtype)
        return torch.where(known, output[:, 0] - wanted, 0).square()

    def describe(self):
        """What `GuideHeads.describe` tells."""
        return {"task": "regression", **self._asdict()}


class _Vectors(NamedTuple):
    """A column of vectors, such as measured features, and how each of their numbers is standardised."""

    mean: np.ndarray
    deviation: np.ndarray

    width = property(lambda self: len(self.mean))

    def target(self, column):
        """Standardised vector of each row, outliers drawn in; not a number where it is missing."""
        values = np.stack([_vector(v, self.width) for v in column])
        return torch.from_numpy(np.clip((values - self.mean) / self.deviation, -FARTHEST, FARTHEST)).float()

    def known(self, target):
        """Whether a row has a vector."""
        return ~target.isnan().any(1)

    def loss(self, output, target):
        """Mean squared error; 1 is that of the mean, 0 for rows without a vector."""
        known = self.known(target)
        wanted = torch.where(known[:, None], target, 0).to(output.dtype)
        return torch.where(known, (output - wanted).square().mean(1), 0)

    def describe(self):
        """What `GuideHeads.describe` tells."""
        return {"task": "regression", "mean": self.mean, "deviation": self.deviation}


class GuideHeads(nn.Module):
    """
    Small heads that learn columns of the metadata from an embedding.

    A column of text becomes classes (a class of one row counts as missing), a column of numbers or times is
    standardised, after a logarithm where all are positive. An auxiliary head teaches the encoder its column; it is
    linear, so that linear models can read what was taught. An adversarial one makes the encoder forget its column
    (Ganin & Lempitsky 2015, doi:10.48550/arXiv.1409.7495); it has a hidden layer, so that little can hide from it.

    Parameters
    ----------
    table : pandas.DataFrame
        The rows trained on.
    guides : dict of str to Guide
        Column -> what to do with it.
    dim : int
        Length of an embedding.

    Raises
    ------
    SchemaError
        If a column is missing from the table, or the same in all rows.
    """

    def __init__(self, table, guides, *, dim):
        super().__init__()
        self.guides = dict(guides)
        self.columns = {name: _read_column(table, name) for name in guides}
        self.heads = nn.ModuleList(_head(guides[name].kind, dim, column.width) for name, column in self.columns.items())

    def targets(self, rows):
        """
        Read what the heads shall answer for some rows.

        Parameters
        ----------
        rows : pandas.DataFrame
            Rows of the table; values that it did not hold are missing.

        Returns
        -------
        dict of str to torch.Tensor, shape (image,)
            Classes as int64, -1 where missing; numbers as float32, not a number where missing.
        """
        return {name: column.target(rows[name]) for name, column in self.columns.items()}

    def known(self, targets):
        """
        Tell which rows a head can learn from, to average over them alone.

        Parameters
        ----------
        targets : dict of str to torch.Tensor, shape (image,)

        Returns
        -------
        dict of str to torch.Tensor of bool, shape (image,)
        """
        return {name: column.known(targets[name]) for name, column in self.columns.items()}

    def losses(self, embedding, targets, progress):
        """
        Compare the heads' answers with the targets.

        Parameters
        ----------
        embedding : torch.Tensor, shape (image, dim)
        targets : dict of str to torch.Tensor, shape (image,)
        progress : float
            Share of the training that is done, 0 to 1; adversarial heads begin to act gently.

        Returns
        -------
        dict of str to torch.Tensor, shape (image,)
            In units of chance, without the guides' weights; 0 where the target is missing.
        """
        reversed_ = reverse_gradient(embedding, 2 / (1 + math.exp(-10 * progress)) - 1)
        losses = {}
        for head, (name, column) in zip(self.heads, self.columns.items(), strict=True):
            output = head(reversed_ if self.guides[name].kind == "adversarial" else embedding)
            wide = output.to(torch.promote_types(output.dtype, torch.float32))
            losses[name] = column.loss(wide, targets[name].to(output.device))
        return losses

    def describe(self):
        """
        Tell what each head learns, for a file.

        Returns
        -------
        dict of str to dict
            Kind, weight, and classes or how numbers were scaled.
        """
        return {name: {**self.guides[name].model_dump(), **c.describe()} for name, c in self.columns.items()}


def _head(kind, dim, width):
    """What answers for one column."""
    if kind == "auxiliary":
        return nn.Sequential(nn.LayerNorm(dim, elementwise_affine=False), nn.Linear(dim, width))
    return nn.Sequential(nn.Linear(dim, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width))


def _read_column(table, name):
    """What a column holds, as something to learn."""
    if name not in table:
        msg = f"guides name {name!r}, which is no column of the store.{nearest_name(name, table.columns)} "
        msg += f"It has: {', '.join(map(str, table.columns))}."
        raise SchemaError(msg)
    column = table[name]
    if len(first := column.dropna().head(1)) and np.ndim(first.iloc[0]) == 1:
        vectors = np.stack(list(column.dropna()))
        return _Vectors(vectors.mean(0), np.maximum(vectors.std(0), SMALLEST_DEVIATION))
    if pd.api.types.is_bool_dtype(column) or not (_is_time(column) or pd.api.types.is_numeric_dtype(column)):
        counts = _texts(column).value_counts()
        names = tuple(sorted(counts.index[counts > 1]))
        return _Classes(names) if len(names) > 1 else _refuse(name, names)
    numbers = _scaled(column, logarithm=False)
    numbers = numbers[np.isfinite(numbers)]
    if len(np.unique(numbers)) < 2:
        _refuse(name, tuple(np.unique(numbers).tolist()))
    logarithm = not _is_time(column) and bool((numbers > 0).all())
    numbers = np.log10(numbers) if logarithm else numbers
    return _Numbers(logarithm, float(numbers.mean()), float(numbers.std()))


def _vector(value, width):
    return value if np.ndim(value) == 1 else np.full(width, np.nan)


def _refuse(name, values):
    """A column that is the same everywhere teaches nothing."""
    held = f"holds only {values[0]!r}" if values else "holds no value that two rows share"
    msg = f"the guide {name!r} {held}; a guide tells at least two values apart. Drop it, or train on more rows."
    raise SchemaError(msg)


def _is_time(column):
    """Whether a column holds dates and times."""
    return pd.api.types.is_datetime64_any_dtype(column)


def _texts(column):
    """Names of a column; nothing where they are missing."""
    return column.astype(object).where(column.notna(), None).map(str, na_action="ignore")


def _scaled(column, logarithm):
    """Numbers of a column (times in days), infinite ones and those without a logarithm as not a number."""
    if _is_time(column):
        column = (column - pd.Timestamp(0, tz=column.dt.tz)) / pd.Timedelta(days=1)
    numbers = column.to_numpy(np.float64, na_value=np.nan)
    usable = np.isfinite(numbers) & ((numbers > 0) | (not logarithm))
    numbers = np.where(usable, numbers, np.nan)
    return np.log10(numbers) if logarithm else numbers
