"""Sparse weights from the cells of one grid to those of another."""

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from aqqua_science.grids.geometry import chord_to_km, column_bounds, row_edges, unit_vectors, zone_area

_N_NEIGHBOURS = 4
_SLACK = 1.05  # cells of curvilinear grids are askew: their corners lie a little beyond half a diagonal
_TOLERANCE = 1e-6  # degrees: coordinates in single precision leave such slits


def overlap_weights(source, target):
    """
    Share of each target row and column that lies in each source row and column.

    The overlap of two cells of grids in latitude and longitude is the overlap of their rows times that of their
    columns, so that two small matrices hold the exact areas.

    Parameters
    ----------
    source, target : xarray.Dataset or xarray.DataArray
        With ascending `latitude` and `longitude`.

    Returns
    -------
    rows, columns : scipy.sparse.csr_array
        Of shape (target, source); rows by area on WGS84. A row of 1 is covered by the source.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> rows, columns = overlap_weights(regular_grid(30.0), regular_grid(90.0))
    >>> columns.toarray()[0].round(3)
    array([0.333, 0.333, 0.333, 0.   , 0.   , 0.   , 0.   , 0.   , 0.   , 0.   ,
           0.   , 0.   ])
    """
    ours, theirs = ((area[:-1], area[1:]) for area in (zone_area(row_edges(grid)) for grid in (source, target)))
    columns, bounds = column_bounds(source), column_bounds(target)
    turns = [_overlaps(columns, bounds + turn) for turn in (-360, 0, 360)]
    return _overlaps(ours, theirs), turns[0] + turns[1] + turns[2]


def _overlaps(source, target):
    """Shares of target intervals that lie in ascending source intervals."""
    (low, high), (start, end) = source, target
    first, last = np.searchsorted(high, start, side="right"), np.searchsorted(low, end, side="left")
    count = np.maximum(last - first, 0)
    row = np.repeat(np.arange(start.size), count)
    column = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - first, count)
    shared = np.minimum(high[column], end[row]) - np.maximum(low[column], start[row])
    return sparse.csr_array((shared / (end - start)[row], (row, column)), shape=(start.size, low.size))


def linear_weights(source, target):
    """
    Weights of linear interpolation along each axis.

    Parameters
    ----------
    source, target : xarray.Dataset or xarray.DataArray
        With ascending `latitude` and `longitude`.

    Returns
    -------
    rows, columns : scipy.sparse.csr_array
        Of shape (target, source). Between an outermost centre and the edge of its cell the value is held; beyond it
        the weights are 0.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> linear_weights(regular_grid(90.0), regular_grid(60.0))[0].toarray().round(3)
    array([[1. , 0. ],
           [0.5, 0.5],
           [0. , 1. ]])
    """
    edges = row_edges(source)
    rows = _linear(source["latitude"].values, (edges[:-1], edges[1:]), target["latitude"].values)
    centres, bounds = source["longitude"].values.astype(float), column_bounds(source)
    n, turns = centres.size, np.array([-360.0] + [0.0] * centres.size + [360.0])
    around = np.arange(-1, n + 1) % n
    points = (target["longitude"].values - centres[0]) % 360 + centres[0]
    columns = _linear(centres[around] + turns, bounds[:, around] + turns, points)
    fold = sparse.csr_array((np.ones(n + 2), (np.arange(n + 2), around)), shape=(n + 2, n))
    return rows, columns @ fold


def _linear(centres, bounds, points):
    """Weights of the two centres around each point; at a gap between cells the nearer one alone."""
    right = np.clip(np.searchsorted(centres, points, side="right"), 1, centres.size - 1)
    left = right - 1
    (low, high), lean = bounds, (points - centres[left]) / (centres[right] - centres[left])
    gap = low[right] - high[left] > _TOLERANCE
    lean = np.where(gap, (lean > 0.5).astype(float), np.clip(lean, 0, 1))
    nearer = np.where(lean > 0.5, right, left)
    first, last = np.where(gap, nearer, left), np.where(gap, nearer, right)
    inside = (points >= low[first] - _TOLERANCE) & (points <= high[last] + _TOLERANCE)
    index = np.arange(points.size)
    entries = np.concatenate([(1 - lean) * inside, lean * inside])
    where = np.concatenate([index, index]), np.concatenate([left, right])
    return sparse.csr_array((entries, where), shape=(points.size, centres.size))


def neighbour_weights(source, target, *, n_neighbours=_N_NEIGHBOURS, max_km=None):
    """
    Weights of the nearest centres on the sphere, by inverse squared distance.

    Parameters
    ----------
    source : tuple of numpy.ndarray, each of shape (n, m)
        Latitude and longitude of the centres, degrees; centres without a position are left out.
    target : tuple of numpy.ndarray, each of shape (k,)
    n_neighbours : int
        1 takes the nearest alone.
    max_km : float, optional
        The furthest centre that may be taken. By default the nearest centre must lie within half the diagonal of its
        own cell, and its neighbours then count however far they are.

    Returns
    -------
    scipy.sparse.csr_array, shape (k, n * m)
        Rows add up to 1, or to 0 where no centre is near enough.

    Examples
    --------
    >>> source = np.meshgrid([0.0, 1.0], [0.0, 1.0], indexing="ij")
    >>> neighbour_weights(source, (np.array([0.2, 9.0]), np.array([0.9, 9.0])), n_neighbours=1).toarray()
    array([[0., 1., 0., 0.],
           [0., 0., 0., 0.]])
    """
    centres = unit_vectors(*source)
    known = np.flatnonzero(np.isfinite(centres).all(axis=-1))
    n_neighbours = min(n_neighbours, known.size)
    tree = cKDTree(centres.reshape(-1, 3)[known])
    chord, nearest = tree.query(unit_vectors(*target), n_neighbours, workers=-1)
    km = chord_to_km(chord).reshape(-1, n_neighbours)
    column = known[nearest].reshape(-1, n_neighbours)
    near = km <= max_km if max_km is not None else (km <= _reach_km(centres).ravel()[column])[:, :1]
    weight = near / np.maximum(km, 1e-9) ** 2
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    row = np.repeat(np.arange(len(km)), n_neighbours)
    return sparse.csr_array(
        (weight.ravel(), (row, column.ravel())), shape=(len(km), centres.shape[0] * centres.shape[1])
    )


def _reach_km(centres):
    """Half the diagonal of the cell around each centre of a plane of unit vectors."""
    sides = [_sides_km(centres), _sides_km(centres.swapaxes(0, 1)).T]
    return _SLACK * np.hypot(*sides) / 2


def _sides_km(centres):
    """Length of the cells along the first axis; a gap of more than two cells is no part of any."""
    gaps = chord_to_km(np.linalg.norm(np.diff(centres, axis=0), axis=-1))
    before, after = np.concatenate([gaps[:1], gaps]), np.concatenate([gaps, gaps[-1:]])
    short, long = np.fmin(before, after), np.fmax(before, after)
    return np.where(long > 2 * short, short, long)
