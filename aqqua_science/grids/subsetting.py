"""Parts of grids: regions and coarser cells."""

import numpy as np
import xarray as xr

from aqqua_science.grids.axes import ATTRIBUTES
from aqqua_science.grids.geometry import cell_area
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
    columns = _columns_between(longitude, west, east)
    if not (rows.any() and columns.any()):
        msg = (
            f"region (west, east, south, north) = {region} holds no cell of the grid, which covers longitudes "
            f"{longitude[0]:g}..{longitude[-1]:g} and latitudes {latitude[0]:g}..{latitude[-1]:g}. "
            "Check the order and the signs."
        )
        raise SchemaError(msg)
    return env.isel(latitude=np.flatnonzero(rows), longitude=np.flatnonzero(columns))


def _columns_between(longitude, west, east):
    """Meridians from west eastward to east."""
    if east - west >= 360:
        return np.ones(longitude.size, dtype=bool)
    # A cell exactly at the border is inside, whatever the rounding of the modulo.
    return np.mod(longitude - west + _ALMOST, 360) <= np.mod(east - west, 360) + 2 * _ALMOST


def coarsen(env, step):
    """
    Average a regular grid to larger cells, weighted by area.

    Parameters
    ----------
    env : xarray.Dataset or xarray.DataArray
        On a regular grid.
    step : float
        Size of the new cells in degrees: a whole multiple of the old size that divides the grid.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        Means of the cells that have values; NaN where none has. Without gaps the mean over the sphere is kept.

    Raises
    ------
    SchemaError
        If the grid is not regular or `step` does not fit it; the message has the steps that do.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> from aqqua_science.grids.geometry import cell_area
    >>> coarse = coarsen(cell_area(regular_grid(1.0)) * 0 + 7, 2.5 * 2)
    >>> dict(coarse.sizes), float(coarse.mean())
    ({'latitude': 36, 'longitude': 72}, 7.0)
    """
    blocks = _block_sizes(env, float(step))
    weights = cell_area(env)
    average = _average_dataset if isinstance(env, xr.Dataset) else _average
    coarse = average(env, weights, blocks)
    return coarse.assign_coords({name: coarse[name].assign_attrs(ATTRIBUTES[name]) for name in blocks})


def _average_dataset(env, weights, blocks):
    return env.map(_average, weights=weights, blocks=blocks, keep_attrs=True)


def _average(field, weights, blocks):
    """Weighted mean of the cells with values in each block; fields off the grid stay as they are."""
    if not set(blocks) <= set(field.dims):
        return field
    seen = weights.where(field.notnull(), 0.0)
    total = (field.fillna(0) * seen).coarsen(blocks).sum()
    area = seen.coarsen(blocks).sum()
    mean = (total / area.where(area > 0)).transpose(*field.dims)
    precision = field.dtype if field.dtype.kind == "f" else np.float64
    return mean.astype(precision).assign_attrs(field.attrs).rename(field.name)


def _block_sizes(env, step):
    """Cells per block along latitude and longitude."""
    spacing = {name: _spacing(env[name].values, name) for name in ("latitude", "longitude")}
    fitting = _fitting_steps(spacing, env.sizes)
    if not any(abs(step - good) < 1e-6 * good for good in fitting):
        known = ", ".join(f"{good:g}" for good in fitting) or "none"
        msg = (
            f"step must be a multiple of the cells of {spacing['latitude']:g} x {spacing['longitude']:g} degrees that "
            f"divides {env.sizes['latitude']} x {env.sizes['longitude']} cells; {step:g} is not. "
            f"Steps that work: {known}."
        )
        raise SchemaError(msg)
    return {name: round(step / size) for name, size in spacing.items()}


def _spacing(centres, name):
    """Distance of evenly spaced centres."""
    steps = np.diff(centres)
    if np.ptp(steps) > 1e-3 * np.median(steps):
        msg = (
            f"coarsening needs a regular grid; the steps of {name} vary from {steps.min():g} to {steps.max():g} "
            "degrees. Regrid it, or select a region that does not cross the date line."
        )
        raise SchemaError(msg)
    return (centres[-1] - centres[0]) / steps.size


def _fitting_steps(spacing, sizes):
    """Steps that divide the grid both ways, up to rounding."""
    rows, columns = sizes["latitude"], sizes["longitude"]
    steps = [n * spacing["latitude"] for n in range(1, rows + 1) if rows % n == 0]
    ratios = [(step, step / spacing["longitude"]) for step in steps]
    return [s for s, r in ratios if round(r) >= 1 and abs(r - round(r)) < 1e-4 * r and columns % round(r) == 0]
