"""
The cells of a rectilinear grid that a position belongs to, on the sphere.

A position belongs to the cell that contains it. Cells meet midway between their centres, wrap round the
dateline and reach the pole where the last row comes within half a row of it. Where the spacing more than
doubles (the end of a regional grid, or the hole in one that straddles the dateline) a cell mirrors its
other half, so that no cell grows into water that the grid does not describe.
"""

import numpy as np
from scipy.spatial import cKDTree

from ..grids.geometry import EARTH_RADIUS_KM, chord_to_km, km_to_chord, unit_vectors

KM_PER_DEGREE = np.pi * EARTH_RADIUS_KM / 180
_EDGE_TOLERANCE = 1e-4  # of a cell: float32 coordinates leave such slits between a grid's edge and a position on it


def _reaches(centres, period=None):
    """How far each cell reaches below and above its centre, in degrees."""
    outer = np.inf if period is None else period - (centres[-1] - centres[0])
    gaps = np.concatenate([[outer], np.diff(centres), [outer]])
    before, after = gaps[:-1], gaps[1:]
    lower = np.where(before > 2 * after, after, before) / 2
    upper = np.where(after > 2 * before, before, after) / 2
    if period is None:
        near_south, near_north = centres[0] - lower[0] + 90 <= lower[0], 90 - centres[-1] - upper[-1] <= upper[-1]
        lower[0] = centres[0] + 90 if near_south else lower[0]
        upper[-1] = 90 - centres[-1] if near_north else upper[-1]
    return lower, upper


def _count_up_to(edges, points):
    """The number of edges at or below each point: `searchsorted`, by arithmetic where the edges are even."""
    steps = np.diff(edges)
    if not np.allclose(steps, steps[:1], rtol=1e-4, atol=0):
        return np.searchsorted(edges, points, side="right")
    count = np.clip((points - edges[0]) / (steps.mean() if steps.size else 1) + 1, 0, len(edges)).astype(np.int32)
    bounds = np.concatenate([[-np.inf], edges, [np.inf]])  # rounding may put the guess one off
    count += points >= bounds[count + 1]
    count -= points < bounds[count]
    return count


def _locate(centres, points, *, period=None):
    """Index of the cell of one axis that holds each point, -1 where none does."""
    lower, upper = _reaches(centres, period)
    around = centres if period is None else np.concatenate([[centres[-1] - period], centres, [centres[0] + period]])
    middle = (around[1:] + around[:-1]) / 2
    nearest = _count_up_to(middle, points)
    offset = points - around[nearest]
    if period is not None:
        nearest = (nearest - 1) % len(centres)
    slack = _EDGE_TOLERANCE * (lower + upper)
    inside = (offset >= -(lower + slack)[nearest]) & (offset <= (upper + slack)[nearest])
    return np.where(inside, nearest, -1).astype(np.int32)


def locate_cells(grid, latitude, longitude):
    """
    Find the cell that contains each position.

    Parameters
    ----------
    grid : xarray.Dataset
        Ascending `latitude` and `longitude` of cell centres, -180..180 degrees.
    latitude, longitude : numpy.ndarray, shape (n,)
        Positions, degrees; a position on an edge belongs to the cell north or east of it.

    Returns
    -------
    row, column : numpy.ndarray of int32, shape (n,)
        -1 in both where the position is outside the grid.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> locate_cells(regular_grid(90.0), np.array([80.0, -80.0]), np.array([180.0, 0.0]))
    (array([1, 0], dtype=int32), array([0, 2], dtype=int32))
    """
    row = _locate(_centres(grid, "latitude"), latitude)
    column = _locate(_centres(grid, "longitude"), longitude, period=360.0)
    outside = (row < 0) | (column < 0)
    row[outside] = column[outside] = -1
    return row, column


def _centres(grid, name):
    return grid[name].values.astype(float)


def cell_size_km(grid, row, column):
    """
    Size of grid cells: the longer of their north-south and east-west extents through the centre.

    Parameters
    ----------
    grid : xarray.Dataset
    row, column : numpy.ndarray of int, shape (n,)

    Returns
    -------
    numpy.ndarray, shape (n,)
        Kilometres.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> cell_size_km(regular_grid(1.0), np.array([90]), np.array([0])).round(2)
    array([111.2])
    """
    latitude = _centres(grid, "latitude")
    south, north = _reaches(latitude)
    west, east = _reaches(_centres(grid, "longitude"), 360.0)
    width = (west + east)[column] * np.cos(np.radians(latitude))[row]
    return KM_PER_DEGREE * np.maximum((south + north)[row], width)


def distance_km(start, end):
    """
    Great-circle distance between pairs of positions.

    Parameters
    ----------
    start, end : tuple of numpy.ndarray, each of shape (n,)
        Latitude and longitude, degrees.

    Returns
    -------
    numpy.ndarray, shape (n,)
        Kilometres on the mean sphere, by the haversine of the chord (exact also for near points).

    Examples
    --------
    >>> distance_km((np.array([0.0]), np.array([179.5])), (np.array([0.0]), np.array([-179.5]))).round(1)
    array([111.2])
    """
    (phi, lam), (end_phi, end_lam) = np.radians(start), np.radians(end)
    half = np.sin((end_phi - phi) / 2) ** 2
    half += np.cos(phi) * np.cos(end_phi) * np.sin((end_lam - lam) / 2) ** 2
    return chord_to_km(2 * np.sqrt(half))


def nearest_sea(sea, latitude, longitude, *, max_km):
    """
    Find the sea cell whose centre is nearest to each position that lies in a cell of land.

    Parameters
    ----------
    sea : xarray.DataArray of bool (latitude, longitude)
    latitude, longitude : numpy.ndarray, shape (n,)
        Positions in cells of `sea` that are False, degrees.
    max_km : numpy.ndarray, shape (n,)
        The furthest centre that may be taken.

    Returns
    -------
    row, column : numpy.ndarray of int32, shape (n,)
        -1 where no sea cell is near enough.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> sea = regular_grid(10.0)["latitude"] + 0 * regular_grid(10.0)["longitude"] > -80
    >>> nearest_sea(sea, np.array([-89.0]), np.array([3.0]), max_km=np.array([2000.0]))
    (array([1], dtype=int32), array([18], dtype=int32))
    """
    rows, columns = np.nonzero(_coast(sea.values))
    row, column = np.full((2, len(latitude)), -1, dtype=np.int32)
    if rows.size and len(latitude):
        centres = unit_vectors(_centres(sea, "latitude")[rows], _centres(sea, "longitude")[columns])
        chord, which = cKDTree(centres).query(unit_vectors(latitude, longitude))
        near = chord <= km_to_chord(max_km) * (1 + 1e-12)
        row[near], column[near] = rows[which[near]], columns[which[near]]
    return row, column


def _coast(sea):
    """
    Sea cells with land to the north, south, west or east.

    Only they can be nearest to a position on land: from any other, one step along its row or column
    leads to a sea cell that is nearer.
    """
    land = ~sea
    beside = np.roll(land, 1, axis=1) | np.roll(land, -1, axis=1)
    beside[1:] |= land[:-1]
    beside[:-1] |= land[1:]
    return sea & beside


def surrounding_cells(grid, latitude, longitude):
    """
    The four cell centres around each position, with bilinear weights.

    The weights are fractions of arc along meridians and parallels, so a field that is linear in latitude
    and longitude is reproduced and a cell centre gets its own cell alone. Over a pole the corners lie on
    the opposite meridian. Corners beyond the end of a grid weigh nothing.

    Parameters
    ----------
    grid : xarray.Dataset
    latitude, longitude : numpy.ndarray, shape (n,)

    Returns
    -------
    row, column : numpy.ndarray of int32, shape (n, 4)
    weight : numpy.ndarray, shape (n, 4)
        Sums to 1 for every position inside the grid.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> row, column, weight = surrounding_cells(regular_grid(10.0), np.array([0.0]), np.array([180.0]))
    >>> row, column, weight
    (array([[8, 8, 9, 9]], dtype=int32), array([[35,  0, 35,  0]], dtype=int32), array([[0.25, 0.25, 0.25, 0.25]]))
    """
    rows = _centres(grid, "latitude")
    first, fraction = _bracket(*_beyond_poles(rows), latitude)
    row, column, weight = [], [], []
    for step, share in ((0, 1 - fraction), (1, fraction)):
        ghost = (first + step < 1) | (first + step > len(rows))
        opposite = np.where(longitude < 0, longitude + 180, longitude - 180)
        west, along = _columns(_centres(grid, "longitude"), np.where(ghost, opposite, longitude))
        row += [np.clip(first + step - 1, 0, len(rows) - 1)] * 2
        column += list(west)
        weight += [share * (1 - along), share * along]
    return np.stack(row, axis=1).astype(np.int32), np.stack(column, axis=1).astype(np.int32), np.stack(weight, axis=1)


def _columns(centres, longitude):
    """Columns west and east of each longitude, and the fraction of the way between them."""
    lower, upper = _reaches(centres, 360.0)
    around = np.concatenate([[centres[-1] - 360], centres, [centres[0] + 360]])
    meet = np.concatenate([upper[-1:], upper]) + np.concatenate([lower, lower[:1]]) >= np.diff(around) * (1 - 1e-6)
    first, fraction = _bracket(around, meet, longitude)
    return ((first - 1) % len(centres), first % len(centres)), fraction


def _beyond_poles(centres):
    """Rows with one more at each end, mirrored at the pole, and whether neighbours meet."""
    lower, upper = _reaches(centres)
    around = np.concatenate([[-180 - centres[0]], centres, [180 - centres[-1]]])
    meet = upper[:-1] + lower[1:] >= np.diff(centres) * (1 - 1e-6)
    south, north = centres[0] - lower[0] <= -90, centres[-1] + upper[-1] >= 90
    return around, np.concatenate([[south], meet, [north]])


def _bracket(around, meet, points):
    """Index of the centre at or below each point and the fraction of the way to the next."""
    first = np.clip(_count_up_to(around, points) - 1, 0, len(around) - 2)
    gap = np.diff(around)
    fraction = (points - around[first]) / np.where(gap > 0, gap, 1)[first]
    return first, np.where(meet[first], fraction, np.round(fraction))
