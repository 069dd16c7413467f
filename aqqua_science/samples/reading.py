"""The values that each sample takes from a variable: of its cell, between cells, or a mean over many."""

import numpy as np

from .lookup import read_points, slices
from .pooling import pool
from .surroundings import Boxes
from .watercolumn import DIMENSIONS

COUNT, SD = "_count", "_sd"
"""What the columns with the number and the spread of averaged values add to the name of a variable."""


def read_values(field, rows, places, *, position, thickness, block):
    """
    Read one value of a variable per sample.

    Parameters
    ----------
    field : xarray.DataArray
        With latitude and longitude, in the order of `DIMENSIONS`.
    rows : numpy.ndarray of int
        Samples that have a place on every axis.
    places : Places
    position : dict of str to numpy.ndarray of int, shape (n,)
        Index of each sample along month, time and depth.
    thickness : callable or None
        Weights of the levels of some samples, for means over depth.
    block : int

    Returns
    -------
    numpy.ndarray of float, shape (n,)
        NaN but in `rows`.

    Examples
    --------
    >>> import pandas as pd
    >>> from aqqua_science.grids import regular_grid
    >>> from aqqua_science.samples.placement import place_samples
    >>> field = regular_grid(10.0)["latitude"] + 0 * regular_grid(10.0)["longitude"]
    >>> places, _ = place_samples(pd.DataFrame({"latitude": [3.0], "longitude": [3.0]}), field < 99)
    >>> read_values(field, np.array([0]), places, position={}, thickness=None, block=10)
    array([5.])
    """
    axes = _axes(field, thickness)
    n_corners = places.row.shape[1]
    cell = {"latitude": places.row, "longitude": places.column}
    index = [cell[a][rows].ravel() if a in cell else position[a][rows].repeat(n_corners) for a in axes]
    reduce, block_read = _over_depth(field, thickness, lambda points: rows[points // n_corners], block)
    values = read_points(field.transpose(*axes, ...).data, index, reduce=reduce, block=block_read)
    values = values.reshape(-1, n_corners)
    found = np.full(len(places.method), np.nan, dtype=values.dtype)
    for part in slices(len(rows), block):
        chosen = rows[part]
        own = (places.home(chosen) & ~np.isnan(values[part])).any(axis=1)
        found[chosen] = np.where(own, weighted_mean(values[part], places.weight[chosen]), np.nan)
    return found


def average_values(field, rows, cells, *, extent, sea, n_samples, thickness, block):
    """
    Average a variable over the cells and steps of each sample.

    Parameters
    ----------
    field : xarray.DataArray
        With latitude and longitude, in the order of `DIMENSIONS`.
    rows : numpy.ndarray of int
        Samples that have a place on every axis.
    cells : Boxes
        Cells of each sample along latitude and longitude.
    extent : dict of str to tuple of numpy.ndarray of int, each of shape (n_samples,)
        First index of each sample along month, time and depth, and how many from there.
    sea : xarray.DataArray of bool (latitude, longitude)
    n_samples : int
    thickness : callable or None
        Weights of the levels of some samples, for means over depth.
    block : int

    Returns
    -------
    dict of str to numpy.ndarray, shape (n_samples,)
        The mean under the name of the variable, and its `COUNT` and `SD`.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> field = (regular_grid(10.0)["latitude"] + 0 * regular_grid(10.0)["longitude"]).rename("x")
    >>> cells = Boxes(np.array([0]), np.array([[9, 0]]), np.array([[1, 36]]))
    >>> options = {"extent": {}, "sea": field < 99, "n_samples": 1, "thickness": None, "block": 99}
    >>> average_values(field, np.array([0]), cells, **options)
    {'x': array([5.]), 'x_count': array([36]), 'x_sd': array([0.])}
    """
    axes = _axes(field, thickness)
    ready = np.zeros(n_samples, dtype=bool)
    ready[rows] = True
    cells = cells.take(np.flatnonzero(ready[cells.owner]))
    first, length = (
        np.column_stack([*(extent[axis][side][cells.owner] for axis in axes[:-2]), along]).astype(np.int64)
        for side, along in enumerate((cells.first, cells.length))
    )
    reduce, block = _over_depth(field, thickness, lambda owner: owner, block)
    boxes, array = Boxes(cells.owner, first, length), field.transpose(*axes, ...).data
    count, mean, sd = pool(array, boxes, n_samples, sea=sea.values, reduce=reduce, block=block)
    dtype = field.dtype if field.dtype.kind == "f" else float
    return {field.name: mean.astype(dtype), f"{field.name}{COUNT}": count, f"{field.name}{SD}": sd.astype(dtype)}


def _axes(field, thickness):
    return [name for name in DIMENSIONS if name in field.dims and not (thickness and name == "depth")]


def _over_depth(field, thickness, sample_of, block):
    """How the levels of a value become one, and how many values are then taken at a time."""
    if not (thickness and "depth" in field.dims):
        return None, block
    return lambda points, values: weighted_mean(values, thickness(sample_of(points))), max(block // 4, 1)


def weighted_mean(values, weight):
    """
    Weighted mean of the values that are known, NaN where none is.

    Parameters
    ----------
    values, weight : numpy.ndarray, shape (n, c)

    Returns
    -------
    numpy.ndarray, shape (n,)

    Examples
    --------
    >>> weighted_mean(np.array([[1.0, np.nan, 4.0]]), np.array([[2.0, 5.0, 1.0]]))
    array([2.])
    """
    known = ~np.isnan(values)
    weight = weight * known
    total = weight.sum(axis=1)
    return np.einsum("ij,ij->i", weight, np.where(known, values, 0)) / np.where(total > 0, total, np.nan)
