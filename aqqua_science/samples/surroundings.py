"""The cells of a grid around each sample, as blocks of neighbouring cells that can be read without listing each."""

from dataclasses import dataclass

import numpy as np

from ..grids.geometry import EARTH_RADIUS_KM

_ROUNDING = 1e-12  # of the radius, so that a centre at just this distance is inside


@dataclass(frozen=True)
class Boxes:
    """
    Blocks of cells, each with the sample that it belongs to.

    Attributes
    ----------
    owner : numpy.ndarray of int, shape (m,)
        Ascending.
    first, length : numpy.ndarray of int, shape (m, axes)
        Where the block begins along each axis of a grid, and how many cells it holds there.

    Examples
    --------
    >>> boxes = Boxes(np.array([0]), np.array([[5, 8]]), np.array([[1, 4]]))
    >>> boxes.split(1, np.array([0, 10, 20])).length.tolist()
    [[1, 2], [1, 2]]
    """

    owner: np.ndarray
    first: np.ndarray
    length: np.ndarray

    def take(self, rows):
        """Some of the boxes."""
        return Boxes(self.owner[rows], self.first[rows], self.length[rows])

    def split(self, axis, edges):
        """Boxes that cross none of some edges along an axis."""
        begin, end = self.first[:, axis], self.first[:, axis] + self.length[:, axis]
        low, high = np.searchsorted(edges, begin, side="right") - 1, np.searchsorted(edges, end)
        box, rank = spread(high - low)
        part, piece = self.take(box), low[box] + rank
        part.first[:, axis] = np.maximum(begin[box], edges[piece])
        part.length[:, axis] = np.minimum(end[box], edges[piece + 1]) - part.first[:, axis]
        return part

    def cells(self):
        """Owner of each cell, and its index along each axis."""
        box, rank = spread(self.length.prod(axis=1))
        index = []
        for first, length in zip(self.first.T[::-1], self.length.T[::-1], strict=True):
            if (length == 1).all():
                index.append(first[box])
                continue
            index.append(first[box] + rank % length[box])
            rank = rank // length[box]
        return self.owner[box], index[::-1]


def spread(counts):
    """
    Repeat each number of a range, and number the repetitions.

    Parameters
    ----------
    counts : numpy.ndarray of int, shape (n,)

    Returns
    -------
    which, rank : numpy.ndarray of int, shape (counts.sum(),)

    Examples
    --------
    >>> spread(np.array([2, 0, 1]))
    (array([0, 0, 2]), array([0, 1, 0]))
    """
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - (np.cumsum(counts) - counts)[which]


def discs(grid, places, positions, *, radius_km):
    """
    Find the cells whose centres lie within a distance of each sample, and its own cell in any case.

    Parameters
    ----------
    grid : xarray.Dataset or xarray.DataArray
        Ascending `latitude` and `longitude` of cell centres, -180..180 degrees.
    places : Places
        Samples that are not `matched` have no cells.
    positions : tuple of numpy.ndarray, each of shape (n,)
        Latitude and longitude of the samples, degrees.
    radius_km : float or None
        On the mean sphere; None for the own cell alone.

    Returns
    -------
    Boxes
        Along latitude and longitude.

    Examples
    --------
    >>> import pandas as pd
    >>> from aqqua_science.grids import regular_grid
    >>> from aqqua_science.samples.placement import place_samples
    >>> sea = regular_grid(10.0)["latitude"] + regular_grid(10.0)["longitude"] < 999
    >>> samples = pd.DataFrame({"latitude": [5.0], "longitude": [-180.0]})
    >>> places, _ = place_samples(samples, sea)
    >>> owner, (row, column) = discs(sea, places, (np.array([5.0]), np.array([-180.0])), radius_km=600).cells()
    >>> row.tolist(), column.tolist()
    ([9, 9], [35, 0])
    """
    n_columns = grid.sizes["longitude"]
    matched = np.flatnonzero(places.matched)
    own = np.stack([places.home_row, places.home_column], axis=1)[matched].astype(np.int64)
    if radius_km is None:
        return Boxes(matched, own, np.ones_like(own))
    which, row, west, width = _arcs(grid, *(at[matched] for at in positions), radius_km)
    holds = (row == own[which, 0]) & ((own[which, 1] - west) % n_columns < width)
    apart = np.flatnonzero(np.bincount(which[holds], minlength=len(matched)) == 0)
    past = np.maximum(west + width - n_columns, 0)  # columns over the date line
    wraps = np.flatnonzero(past)
    owner = np.concatenate([which, which[wraps], apart])
    first = np.concatenate([np.stack([row, west], 1), np.stack([row[wraps], 0 * wraps], 1), own[apart]])
    columns = np.concatenate([width - past, past[wraps], np.ones_like(apart)])
    order = np.argsort(owner, kind="stable")
    return Boxes(matched[owner[order]], first[order], np.stack([np.ones_like(columns), columns], 1)[order])


def _arcs(grid, latitude, longitude, radius_km):
    """The stretch of each row of a grid that lies within a distance: sample, row, westernmost column and how many."""
    rows, columns = (grid[name].values.astype(float) for name in ("latitude", "longitude"))
    reach = min(radius_km * (1 + _ROUNDING) / EARTH_RADIUS_KM, np.pi)
    south = np.searchsorted(rows, latitude - np.degrees(reach))
    which, rank = spread(np.searchsorted(rows, latitude + np.degrees(reach), side="right") - south)
    row = south[which] + rank
    phi, row_phi = np.radians(latitude[which]), np.radians(rows[row])
    # The haversine of the distance, solved for the difference in longitude: also exact for small ones.
    rest = np.sin(reach / 2) ** 2 - np.sin((row_phi - phi) / 2) ** 2
    half = np.degrees(2 * np.arcsin(np.sqrt(np.clip(rest / (np.cos(phi) * np.cos(row_phi)), 0, 1))))
    around = np.concatenate([columns - 360, columns, columns + 360])
    west = np.searchsorted(around, longitude[which] - half)
    width = np.minimum(np.searchsorted(around, longitude[which] + half, side="right") - west, len(columns))
    some = width > 0
    return which[some], row[some], west[some] % len(columns), width[some]
