"""Parts of grids."""

import numpy as np

from aqqua_science.schema import SchemaError

_ALMOST = 1e-9


def select_region(env, region):
    """
    Select the cells whose centres lie in a region.

    Parameters
    ----------
    env : xarray.Dataset or xarray.DataArray
        With ascending `latitude` and `longitude` (-180..180).
    region : tuple of float
        West, east, south, north in degrees; west > east crosses the date line.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        As given, with fewer cells; longitudes still ascend from -180 to 180.

    Raises
    ------
    SchemaError
        If the region is upside down or holds no cell.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> select_region(regular_grid(10.0), (170, -170, -10, 10))["longitude"].values
    array([-175.,  175.])
    """
    west, east, south, north = (float(limit) for limit in region)
    longitude, latitude = env["longitude"].values, env["latitude"].values
    rows = (latitude >= south) & (latitude <= north)
    columns = columns_between(longitude, west, east)
    if not (rows.any() and columns.any()):
        msg = (
            f"region (west, east, south, north) = {region} holds no cell of the grid, which covers longitudes "
            f"{longitude[0]:g}..{longitude[-1]:g} and latitudes {latitude[0]:g}..{latitude[-1]:g}. "
            "Check the order and the signs."
        )
        raise SchemaError(msg)
    return env.isel(latitude=np.flatnonzero(rows), longitude=np.flatnonzero(columns))


def columns_between(longitude, west, east):
    """
    Tell which meridians lie from west eastward to east.

    Parameters
    ----------
    longitude : numpy.ndarray
        Degrees, of either convention.
    west, east : float

    Returns
    -------
    numpy.ndarray of bool

    Examples
    --------
    >>> columns_between(np.array([0.0, 90.0, 180.0, 270.0]), 170, -80)
    array([False, False,  True,  True])
    """
    if east - west >= 360:
        return np.ones(longitude.size, dtype=bool)
    # A cell exactly at the border is inside, whatever the rounding of the modulo.
    return np.mod(longitude - west + _ALMOST, 360) <= np.mod(east - west, 360) + 2 * _ALMOST
