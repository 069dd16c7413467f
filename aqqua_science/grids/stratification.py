"""How the water column is mixed and layered, from temperature and salinity by TEOS-10."""

from functools import partial

import numpy as np
import xarray as xr

from aqqua_science.grids.blocks import whole
from aqqua_science.optional import require

_THERMOMETERS = {
    "sea_water_potential_temperature": "potential",
    "sea_water_conservative_temperature": "conservative",
}


def mixed_layer_depth(temperature, salinity, *, threshold=0.03, reference=10.0):
    """
    Depth at which the potential density exceeds that near the surface by a threshold.

    Parameters
    ----------
    temperature, salinity : xarray.DataArray (..., depth, latitude, longitude)
        Temperature in degC, in situ unless its ``standard_name`` says potential or conservative; practical salinity,
        unless its ``standard_name`` says absolute.
    threshold : float
        kg m-3.
    reference : float
        Metres; the density there is interpolated, or that of the uppermost level where it lies deeper.

    Returns
    -------
    xarray.DataArray (..., latitude, longitude)
        Metres, interpolated linearly between levels; the deepest level with values where the column is mixed down to
        it. NaN for columns of fewer than two values.

    Notes
    -----
    De Boyer Montegut et al. (2004), J. Geophys. Res. 109, C12003, doi 10.1029/2004JC002378.

    Examples
    --------
    >>> warm = xr.DataArray([20.0, 20.0, 20.0, 10.0], {"depth": [0.0, 10.0, 30.0, 50.0]})
    >>> warm = warm.expand_dims(latitude=[30.0], longitude=[-40.0])
    >>> float(mixed_layer_depth(warm, 0 * warm + 35).squeeze())
    30.3...
    """
    depth = temperature["depth"].values.astype(float)
    kernel = partial(_mixed_layer_kernel, depth=depth, threshold=threshold, reference=reference)
    attrs = {
        "standard_name": "ocean_mixed_layer_thickness_defined_by_sigma_theta",
        "long_name": f"mixed layer depth, density {threshold:g} kg m-3 above that at {reference:g} m",
        "units": "m",
    }
    return _per_column(kernel, temperature, salinity).rename("mixed_layer_depth").assign_attrs(attrs)


def strongest_stratification(temperature, salinity):
    """
    Largest squared buoyancy frequency of each water column.

    Parameters
    ----------
    temperature, salinity : xarray.DataArray (..., depth, latitude, longitude)
        As for `mixed_layer_depth`.

    Returns
    -------
    xarray.DataArray (..., latitude, longitude)
        s-2; NaN for columns of fewer than two values.

    Examples
    --------
    >>> warm = xr.DataArray([20.0, 20.0, 20.0, 10.0], {"depth": [0.0, 10.0, 30.0, 50.0]})
    >>> warm = warm.expand_dims(latitude=[30.0], longitude=[-40.0])
    >>> float(strongest_stratification(warm, 0 * warm + 35).squeeze())
    0.00104...
    """
    depth = temperature["depth"].values.astype(float)
    attrs = {
        "standard_name": "square_of_brunt_vaisala_frequency_in_sea_water",
        "long_name": "largest squared buoyancy frequency of the water column",
        "units": "s-2",
    }
    found = _per_column(partial(_buoyancy_kernel, depth=depth), temperature, salinity)
    return found.rename("stratification").assign_attrs(attrs)


def _per_column(kernel, temperature, salinity):
    """Apply a kernel to absolute salinity and conservative temperature, column by column."""
    kinds = {
        "thermometer": _THERMOMETERS.get(temperature.attrs.get("standard_name"), "in situ"),
        "absolute": salinity.attrs.get("standard_name") == "sea_water_absolute_salinity",
    }
    dtype = np.result_type(temperature.dtype, np.float32)
    found = xr.apply_ufunc(
        partial(_to_teos10, kernel=kernel, dtype=dtype, **kinds),
        whole(temperature, ["depth"]),
        whole(salinity, ["depth"]),
        temperature["latitude"],
        temperature["longitude"],
        input_core_dims=[["depth"], ["depth"], [], []],
        dask="parallelized",
        output_dtypes=[dtype],
    )
    return found.transpose(*(dim for dim in temperature.dims if dim != "depth")).drop_attrs(deep=False)


def _to_teos10(temperature, salinity, latitude, longitude, *, kernel, thermometer, absolute, dtype):
    """The wet columns of a block in the variables of TEOS-10; land is passed over."""
    gsw = require("gsw", for_="grids")
    temperature, salinity = np.broadcast_arrays(temperature, salinity)
    wet = (np.isfinite(temperature) & np.isfinite(salinity)).sum(axis=-1) > 1
    found = np.full(wet.shape, np.nan, dtype=dtype)
    if not wet.any():
        return found
    values, salt = (part[wet].astype(float) for part in (temperature, salinity))
    latitude, longitude = (np.broadcast_to(part, wet.shape)[wet][:, None] for part in (latitude, longitude))
    pressure = gsw.p_from_z(-kernel.keywords["depth"], latitude)
    salt = salt if absolute else gsw.SA_from_SP(salt, pressure, longitude, latitude)
    if thermometer == "in situ":
        values = gsw.CT_from_t(salt, values, pressure)
    elif thermometer == "potential":
        values = gsw.CT_from_pt(salt, values)
    found[wet] = kernel(gsw, salt, values, pressure, latitude)
    return found


def _mixed_layer_kernel(gsw, salinity, temperature, _pressure, _latitude, *, depth, threshold, reference):
    density = gsw.sigma0(salinity, temperature)
    at_reference = _interpolate_level(density, depth, reference)
    deeper = depth > reference
    levels = np.concatenate([[max(reference, depth[0])], depth[deeper]])
    profile = np.concatenate([at_reference[:, None], density[:, deeper]], axis=1)
    excess = profile - at_reference[:, None] - threshold
    below = np.argmax(excess >= 0, axis=1)
    row, above = np.arange(len(below)), np.maximum(below - 1, 0)
    start, end = excess[row, above], excess[row, below]
    with np.errstate(invalid="ignore", divide="ignore"):
        crossing = levels[above] + (levels[below] - levels[above]) * start / (start - end)
    deepest = np.where(np.isfinite(density), depth, -np.inf).max(axis=1)
    return np.where(below > 0, crossing, np.where(np.isfinite(at_reference), deepest, np.nan))


def _interpolate_level(profile, depth, at):
    """Value of each profile at one depth; of the level beside it where the other has none."""
    right = int(np.clip(np.searchsorted(depth, at), 1, depth.size - 1))
    share = np.clip((at - depth[right - 1]) / (depth[right] - depth[right - 1]), 0, 1)
    above, below = profile[:, right - 1], profile[:, right]
    mean = above + share * (below - above)
    return np.where(np.isfinite(mean), mean, np.where(np.isfinite(above), above, below))


def _buoyancy_kernel(gsw, salinity, temperature, pressure, latitude, *, depth):
    frequency, _ = gsw.Nsquared(salinity, temperature, pressure, lat=latitude, axis=1)
    return np.fmax.reduce(frequency, axis=1)
