"""The shape of the Earth: cell areas on the WGS84 ellipsoid and distances on the sphere."""

import numpy as np
import xarray as xr

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the WGS84 ellipsoid (IUGG)."""

_SEMI_MAJOR_M = 6378137.0
_FLATTENING = 1 / 298.257223563
_E2 = _FLATTENING * (2 - _FLATTENING)


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
    n_lon, n_lat = (east - west) / step, (north - south) / step
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
    phi = np.radians(cell_edges(grid["latitude"].values, lower=-90, upper=90))
    width = np.radians(_widths(grid["longitude"].values))
    e = np.sqrt(_E2)
    sine = np.sin(phi)
    q = (1 - _E2) * (sine / (1 - _E2 * sine**2) + np.arctanh(e * sine) / e)
    area = _SEMI_MAJOR_M**2 / 2 * np.diff(q)[:, None] * width[None, :]
    return xr.DataArray(
        area,
        coords={"latitude": grid["latitude"], "longitude": grid["longitude"]},
        dims=("latitude", "longitude"),
        name="cell_area",
        attrs={"standard_name": "cell_area", "units": "m2", "long_name": "area of the cell on WGS84"},
    )


def _widths(longitude):
    """Degrees that each column spans; a gap, as in a region across the dateline, belongs to no column."""
    gaps = np.diff(np.asarray(longitude, dtype=float))
    beside = np.fmax(np.append(np.nan, gaps[:-1]), np.append(gaps[1:], np.nan))
    half = np.where(gaps > 2 * beside, np.nan, gaps / 2)
    west, east = np.append(np.nan, half), np.append(half, np.nan)
    west, east = np.where(np.isnan(west), east, west), np.where(np.isnan(east), west, east)
    return np.where(np.isnan(west + east), np.median(gaps), west + east)


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
