"""Fronts: how steeply a field changes over the sphere."""

import numpy as np
import xarray as xr

from aqqua_science.grids.geometry import EARTH_RADIUS_KM

_KM = 100.0
_POLE = 90 - 1e-6


def gradient(field):
    """
    Magnitude of the horizontal gradient.

    Parameters
    ----------
    field : xarray.DataArray (..., latitude, longitude)
        In memory or on Dask.

    Returns
    -------
    xarray.DataArray (..., latitude, longitude)
        Units of the field per 100 km, on the sphere and over the date line. Central differences; at coasts and edges
        the difference to the one neighbour that has a value, NaN where there is none. In a row at a pole, where
        there is no east, the gradient along the meridian alone.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> grid = regular_grid(1.0)
    >>> field = (grid["latitude"] + 0 * grid["longitude"]).rename("warmth").assign_attrs(units="degC")
    >>> round(float(gradient(field).mean()), 4), gradient(field).attrs["units"]
    (0.8993, 'degC (100 km)-1')
    """
    north = _slope(field, "latitude") / (EARTH_RADIUS_KM / _KM)
    parallel = np.cos(np.radians(field["latitude"])).where(np.abs(field["latitude"]) < _POLE, np.inf)
    east = _slope(field, "longitude") / (EARTH_RADIUS_KM / _KM * parallel)
    steep = np.hypot(north, east).transpose(*field.dims)
    precision = field.dtype if field.dtype.kind == "f" else np.float64
    name = field.attrs.get("long_name", field.name)
    attrs = {"units": f"{field.attrs.get('units', '1')} (100 km)-1", "long_name": f"horizontal gradient of {name}"}
    return steep.astype(precision).drop_attrs(deep=False).assign_attrs(attrs).rename(f"{field.name}_gradient")


def _slope(field, dim):
    """Change per radian along an axis: the mean of the slopes to both neighbours, or the one there is."""
    ahead = field.roll({dim: -1}) - field
    slope = ahead / xr.DataArray(_gaps(field, dim), dims=dim)
    before = slope.roll({dim: 1})
    return xr.where(slope.isnull(), before, xr.where(before.isnull(), slope, (slope + before) / 2))


def _gaps(field, dim):
    """Radians from each centre to the next; NaN at the end of a grid that does not go round."""
    centres = np.radians(field[dim].values.astype(float))
    gaps = np.diff(centres, append=centres[0] + 2 * np.pi)
    meets = gaps <= 2 * np.median(gaps) if dim == "longitude" else np.arange(gaps.size) < gaps.size - 1
    return np.where(meets, gaps, np.nan)
