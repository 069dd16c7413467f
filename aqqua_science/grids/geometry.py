"""The shape of the Earth: cell areas on the WGS84 ellipsoid and distances on the sphere."""

import numpy as np
import xarray as xr

from aqqua_science.schema import SchemaError

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the WGS84 ellipsoid (IUGG)."""

_SEMI_MAJOR_M = 6378137.0
_FLATTENING = 1 / 298.257223563
_E2 = _FLATTENING * (2 - _FLATTENING)
_ROUNDING = 1e-6  # of a cell: coordinates in single precision


def regular_grid(step=1.0, *, region=(-180.0, 180.0, -90.0, 90.0)):
    """
    Make an empty regular grid of cell centres.

    Parameters
    ----------
    step : float
        Size of a cell in degrees; must divide the region.
    region : tuple of float
        West, east, south, north edges in degrees.

    Returns
    -------
    xarray.Dataset
        Coordinates `latitude` and `longitude`, ascending.

    Raises
    ------
    ValueError
        If `step` does not divide the region.

    Examples
    --------
    >>> dict(regular_grid(10.0).sizes)
    {'latitude': 18, 'longitude': 36}
    """
    west, east, south, north = region
    n_lon, n_lat = ((east - west) / step, (north - south) / step) if step > 0 else (0, 0)
    if min(n_lon, n_lat) < 1 or abs(n_lon - round(n_lon)) > 1e-6 or abs(n_lat - round(n_lat)) > 1e-6:
        msg = f"step must divide the region {region}; {step} degrees does not. Try 1, 2, 2.5 or 5."
        raise ValueError(msg)
    latitude = south + step * (np.arange(round(n_lat)) + 0.5)
    longitude = west + step * (np.arange(round(n_lon)) + 0.5)
    return xr.Dataset(
        coords={
            "latitude": ("latitude", latitude, {"standard_name": "latitude", "units": "degrees_north"}),
            "longitude": ("longitude", longitude, {"standard_name": "longitude", "units": "degrees_east"}),
        }
    )


def cell_edges(centres, *, lower=-np.inf, upper=np.inf):
    """
    Edges midway between cell centres; the outer ones mirror their neighbours.

    Parameters
    ----------
    centres : array_like, shape (n,)
        Ascending, n >= 2.
    lower, upper : float
        Limits that no edge passes, e.g. the poles.

    Returns
    -------
    numpy.ndarray, shape (n + 1,)

    Raises
    ------
    ValueError
        If fewer than two centres are given or they do not ascend.

    Examples
    --------
    >>> cell_edges([-45.0, 45.0], lower=-90, upper=90)
    array([-90.,   0.,  90.])
    """
    centres = np.asarray(centres, dtype=float)
    if centres.size < 2 or not (np.diff(centres) > 0).all():
        msg = f"cell centres must ascend and be at least two; got {centres.size}: {centres[:5]}. Sort the coordinate."
        raise ValueError(msg)
    middle = (centres[1:] + centres[:-1]) / 2
    edges = np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
    return np.clip(edges, lower, upper)


def cell_area(grid):
    """
    Area of each cell on the WGS84 ellipsoid.

    Parameters
    ----------
    grid : xarray.Dataset or xarray.DataArray
        With ascending `latitude` and `longitude` of cell centres, degrees.

    Returns
    -------
    xarray.DataArray (latitude, longitude)
        Square metres. A global grid sums to 5.10065621724088e14.

    Notes
    -----
    The closed form of the area between two parallels of an ellipsoid of revolution (Snyder 1987,
    USGS Professional Paper 1395, equation 3-12).

    Examples
    --------
    >>> float(cell_area(regular_grid(1.0)).sum())
    510065621724088...
    """
    bands, width = np.diff(zone_area(row_edges(grid))), np.ptp(column_bounds(grid), axis=0)
    return xr.DataArray(
        bands[:, None] * width[None, :],
        coords={"latitude": grid["latitude"], "longitude": grid["longitude"]},
        dims=("latitude", "longitude"),
        name="cell_area",
        attrs={"standard_name": "cell_area", "units": "m2", "long_name": "area of the cell on WGS84"},
    )


def zone_area(latitude):
    """
    Area between the equator and a parallel, per degree of longitude.

    Parameters
    ----------
    latitude : array_like
        Degrees.

    Returns
    -------
    numpy.ndarray
        Square metres per degree, negative in the south.

    Examples
    --------
    >>> float(720 * zone_area(90.0))
    510065621724088...
    """
    sine, e = np.sin(np.radians(latitude)), np.sqrt(_E2)
    q = (1 - _E2) * (sine / (1 - _E2 * sine**2) + np.arctanh(e * sine) / e)
    return np.radians(_SEMI_MAJOR_M**2 / 2) * q


def row_edges(grid):
    """
    Parallels between which the rows of a grid lie.

    Parameters
    ----------
    grid : xarray.Dataset or xarray.DataArray
        With ascending `latitude`, degrees.

    Returns
    -------
    numpy.ndarray, shape (n_rows + 1,)
        Degrees; the outermost is a pole where it comes within half a row of it, as on Gaussian grids.

    Examples
    --------
    >>> row_edges(xr.Dataset(coords={"latitude": [-74.0, -44.0, 0.0]}))
    array([-90., -59., -22.,  22.])
    """
    edges = cell_edges(grid["latitude"].values, lower=-90, upper=90)
    half = np.diff(edges)[[0, -1]] / 2
    reaches = 90 - np.abs(edges[[0, -1]]) <= half * (1 + _ROUNDING)
    edges[[0, -1]] = np.where(reaches, [-90, 90], edges[[0, -1]])
    return edges


def column_bounds(grid):
    """
    Meridians between which each column of a grid lies.

    Columns meet midway, also over the date line. Beside a gap of more than two columns, such as that of a
    regional grid or of a region across the date line, a column mirrors its other half.

    Parameters
    ----------
    grid : xarray.Dataset or xarray.DataArray
        With ascending `longitude` within one turn, degrees.

    Returns
    -------
    numpy.ndarray, shape (2, n_columns)
        West and east, degrees; they may pass -180 and 180.

    Examples
    --------
    >>> column_bounds(xr.Dataset(coords={"longitude": [-179.0, -177.0, 179.0]}))
    array([[-180., -178.,  178.],
           [-178., -176.,  180.]])
    """
    longitude = grid["longitude"].values.astype(float)
    gaps = np.diff(longitude, append=longitude[0] + 360)  # of each column to the next, the last to the first
    beside = np.fmax(np.roll(gaps, 1), np.roll(gaps, -1))
    east = np.where(gaps > 2 * beside * (1 + _ROUNDING), np.nan, gaps / 2)
    west = np.roll(east, 1)
    west, east = np.where(np.isnan(west), east, west), np.where(np.isnan(east), west, east)
    return np.stack([longitude - west, longitude + east])


def unit_vectors(latitude, longitude):
    """
    Positions as points on the unit sphere, where a straight chord orders distances rightly.

    Parameters
    ----------
    latitude, longitude : array_like
        Degrees, any equal shape.

    Returns
    -------
    numpy.ndarray, shape (..., 3)

    Examples
    --------
    >>> unit_vectors(0.0, 180.0).round(6) + 0.0
    array([-1.,  0.,  0.])
    """
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi) * np.ones_like(lam)], axis=-1)


def chord_to_km(chord):
    """
    Great-circle distance that belongs to a chord of the unit sphere.

    Parameters
    ----------
    chord : array_like
        Straight distances between `unit_vectors`, 0..2.

    Returns
    -------
    numpy.ndarray
        Kilometres on the mean sphere.

    Examples
    --------
    >>> float(chord_to_km(2.0))
    20015.11...
    """
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.clip(np.asarray(chord) / 2, 0, 1))


def km_to_chord(km):
    """
    Chord of the unit sphere that belongs to a great-circle distance.

    Parameters
    ----------
    km : array_like
        Kilometres, at most half the circumference.

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> float(km_to_chord(chord_to_km(0.5)))
    0.5
    """
    return 2 * np.sin(np.clip(np.asarray(km) / (2 * EARTH_RADIUS_KM), 0, np.pi / 2))


def require_same_cells(*fields, what):
    """
    Refuse fields that lie on different cells, months or depths: arithmetic would silently keep what they share.

    Parameters
    ----------
    *fields : xarray.DataArray or xarray.Dataset
    what : str
        Which fields they are, and the remedy: the message.

    Raises
    ------
    SchemaError
        If a dimension that they share has other coordinates.

    Examples
    --------
    >>> grid = regular_grid(30.0)
    >>> require_same_cells(grid, grid.isel(latitude=0), what="land and env must have the same cells.")
    """
    try:
        xr.align(*fields, join="exact", copy=False)
    except ValueError as error:
        raise SchemaError(what) from error
