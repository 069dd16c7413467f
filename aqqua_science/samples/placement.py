"""The cells that each sample takes its environment from, and why some samples have none."""

from dataclasses import dataclass

import numpy as np

from ..schema import SchemaError, nearest_name
from .lookup import blockwise
from .neighbours import cell_size_km, distance_km, locate_cells, nearest_sea, surrounding_cells

METHODS = ("none", "cell", "nearest sea cell", "bilinear", "radius mean")
_NONE, _CELL, _NEAREST_SEA, _BILINEAR, _RADIUS = range(5)
_AT_SEA = {"nearest": _CELL, "bilinear": _BILINEAR, "radius": _RADIUS}
_WATERS = ("sea", "lake", "river")


@dataclass(frozen=True)
class Places:
    """
    Cells of n samples: the one each belongs to, and the c cells it takes its values from.

    Attributes
    ----------
    method : numpy.ndarray of int8, shape (n,)
        Index into `METHODS`.
    home_row, home_column : numpy.ndarray of int32, shape (n,)
        The cell that the sample belongs to, -1 where there is none.
    row, column : numpy.ndarray of int32, shape (n, c)
    weight : numpy.ndarray, shape (n, c)
        Zero on land.

    Examples
    --------
    >>> one = np.zeros((1, 1), dtype=int)
    >>> Places(np.int8([1]), one[0], one[0], one, one, np.ones((1, 1))).matched
    array([ True])
    """

    method: np.ndarray
    home_row: np.ndarray
    home_column: np.ndarray
    row: np.ndarray
    column: np.ndarray
    weight: np.ndarray

    @property
    def matched(self):
        """Which samples have a cell."""
        return self.method != _NONE

    def home(self, rows):
        """Which of their cells some samples belong to, bool (rows, c)."""
        same_row = self.row[rows] == self.home_row[rows, None]
        return same_row & (self.column[rows] == self.home_column[rows, None])


def place_samples(samples, sea, *, method="nearest", max_cells=1.5, block=100_000):
    """
    Find the sea cells that each sample takes its values from.

    Parameters
    ----------
    samples : pandas.DataFrame
        With `latitude`, `longitude` and optionally `water`.
    sea : xarray.DataArray of bool (latitude, longitude)
    method : {"nearest", "bilinear", "radius"}
        With "radius" the places hold the sample's own cell; `surroundings.discs` finds those around.
    max_cells : float
        The furthest centre that a sample on land may take, in sizes of its cell (`cell_size_km`).
    block : int
        Samples at a time.

    Returns
    -------
    places : Places
    faults : dict of str to numpy.ndarray of bool, shape (n,)
        Reason, and the samples that have no cell for it.

    Raises
    ------
    SchemaError
        If `water` holds an unknown word.

    Examples
    --------
    >>> import pandas as pd
    >>> from aqqua_science.grids import regular_grid
    >>> grid = regular_grid(10.0)
    >>> sea = grid["latitude"] + grid["longitude"] < 200
    >>> samples = pd.DataFrame({"latitude": [3.0, 3.0], "longitude": [3.0, 4.0], "water": ["sea", "lake"]})
    >>> places, faults = place_samples(samples, sea)
    >>> places.home_row, [reason for reason, rows in faults.items() if rows.any()]
    (array([ 9, -1], dtype=int32), ['inland water'])
    """
    latitude, longitude = (samples[name].to_numpy(dtype=float) for name in ("latitude", "longitude"))
    row, column = blockwise(lambda *at: locate_cells(sea, *at), latitude, longitude, block=block)
    inland, outside = _inland(samples), row < 0
    how = np.where(inland | outside, _NONE, _AT_SEA[method]).astype(np.int8)
    ashore = np.flatnonzero((how != _NONE) & ~sea.values[row, column])
    max_km = max_cells * cell_size_km(sea, row[ashore], column[ashore])
    row[ashore], column[ashore] = nearest_sea(sea, latitude[ashore], longitude[ashore], max_km=max_km)
    how[ashore] = np.where(row[ashore] < 0, _NONE, _NEAREST_SEA)
    row[inland] = column[inland] = -1
    faults = {
        "inland water": inland,
        "outside the grid": outside & ~inland,
        f"no sea cell within {max_cells:g} cells": (how == _NONE) & ~outside & ~inland,
    }
    corners = row[:, None], column[:, None], np.ones((len(row), 1))
    if method == "bilinear":
        corners = blockwise(lambda *rows: _corners(sea, *rows), latitude, longitude, how, row, column, block=block)
    return Places(how, row, column, *corners), faults


def _inland(samples):
    if "water" not in samples.columns:
        return np.zeros(len(samples), dtype=bool)
    water = samples["water"].astype("str").str.strip().str.lower()
    unknown = samples["water"].notna() & ~water.isin(_WATERS)
    if unknown.any():
        value = samples["water"][unknown].iloc[0]
        msg = (
            f"water must be one of {', '.join(_WATERS)}; {unknown.sum()} of {len(samples)} rows are not, the first "
            f"is {value!r}.{nearest_name(value, _WATERS)} Where it is not known leave it empty."
        )
        raise SchemaError(msg)
    return water.isin(_WATERS[1:]).to_numpy()


def _corners(sea, latitude, longitude, how, home_row, home_column):
    """Cells around each sample with their weights; its own cell alone where that was not the one it lies in."""
    row, column, weight = surrounding_cells(sea, latitude, longitude)
    weight *= sea.values[row, column]
    alone = how != _BILINEAR
    row[alone], column[alone] = home_row[alone, None], home_column[alone, None]
    weight[alone] = (1, 0, 0, 0)
    return row, column, weight


def match_distance_km(samples, sea, places, *, block=100_000):
    """
    Distance of each sample to the centre of the cell it belongs to.

    Parameters
    ----------
    samples : pandas.DataFrame
    sea : xarray.DataArray (latitude, longitude)
    places : Places
    block : int
        Samples at a time.

    Returns
    -------
    latitude, longitude : numpy.ndarray, shape (n,)
        The centre, degrees; NaN where there is no cell.
    distance_km : numpy.ndarray, shape (n,)

    Examples
    --------
    >>> import pandas as pd
    >>> from aqqua_science.grids import regular_grid
    >>> sea = regular_grid(10.0)["latitude"] + regular_grid(10.0)["longitude"] < 999
    >>> samples = pd.DataFrame({"latitude": [5.0], "longitude": [6.0]})
    >>> match_distance_km(samples, sea, place_samples(samples, sea)[0])[2].round(1)
    array([110.8])
    """
    centre = []
    for name, index in (("latitude", places.home_row), ("longitude", places.home_column)):
        centre.append(np.where(places.matched, sea[name].values.astype(float)[index], np.nan))
    at = (samples[name].to_numpy(dtype=float) for name in ("latitude", "longitude"))
    (distance,) = blockwise(lambda *ends: (distance_km(ends[:2], ends[2:]),), *at, *centre, block=block)
    return *centre, distance
