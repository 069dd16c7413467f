"""Layers of water: the bounds of levels, and means and integrals between two depths."""

import re
from functools import partial

import numpy as np
import xarray as xr

from aqqua_science.grids.axes import is_flag
from aqqua_science.grids.geometry import cell_edges, require_same_cells
from aqqua_science.schema import SchemaError

SEA_FLOOR = "sea_floor_depth"
"""Variable of a grid that holds the depth of the sea floor in metres, positive down."""

_PER_VOLUME = re.compile(r"(?<=m)(\^|\*\*)?-3\b|(?<=/m)(\^|\*\*)?3\b")

OUTER_REACH_M = 25.0
"""How far beyond its outermost levels a grid is taken to speak, unless half a level spacing is more."""


def layer_bounds(env):
    """
    Upper and lower bound of each depth level.

    Parameters
    ----------
    env : xarray.Dataset or xarray.DataArray
        With ascending `depth`, metres. CF bounds named by its attribute ``bounds`` are used where present;
        otherwise layers meet midway between levels and the outermost mirror their inner half.

    Returns
    -------
    upper, lower : numpy.ndarray, shape (n_levels,)
        Metres, positive down, never above the surface.

    Examples
    --------
    >>> layer_bounds(xr.Dataset(coords={"depth": [0.0, 10.0, 30.0]}))
    (array([ 0.,  5., 20.]), array([ 5., 20., 40.]))
    """
    levels = env["depth"].values.astype(float)
    bounds = env["depth"].attrs.get("bounds")
    if bounds in (env.coords if isinstance(env, xr.DataArray) else env.variables):
        return tuple(np.sort(env[bounds].values.astype(float), axis=1).T)
    if levels.size == 1:
        return np.maximum(levels - OUTER_REACH_M, 0), levels + OUTER_REACH_M
    edges = cell_edges(levels, lower=0)
    return edges[:-1], edges[1:]


def shared_thickness(bounds, top, bottom):
    """
    Thickness that layers share with the water between two depths.

    Parameters
    ----------
    bounds : tuple of array
        Upper and lower bounds, metres.
    top, bottom : array
        Metres; any shape that goes with the bounds.

    Returns
    -------
    array
        Metres.

    Examples
    --------
    >>> shared_thickness((np.array([0.0, 10.0]), np.array([10.0, 20.0])), 4.0, 12.0)
    array([6., 2.])
    """
    upper, lower = bounds
    return np.maximum(np.minimum(bottom, lower) - np.maximum(top, upper), 0)


def layer_mean(env, top, bottom, *, sea_floor=None, min_share=0.5):
    """
    Mean of fields between two depths, or down to the sea floor where that is shallower.

    Parameters
    ----------
    env : xarray.Dataset or xarray.DataArray
        With ascending `depth`, metres. The value of a level holds for its whole layer (`layer_bounds`).
    top, bottom : float
        Metres, positive down.
    sea_floor : xarray.DataArray (latitude, longitude), optional
        Its depth in metres, positive down; by default the variable `sea_floor_depth` of `env`. Where it is unknown,
        the sea ends at the deepest level that has a value.
    min_share : float
        A column gets a value where levels with values make up at least this share of its water in the layer, and
        where the levels reach down to its end.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        As given, without `depth`; lazy where `env` is. Variables without `depth` stay; flags with `depth` do not, as
        they have no mean.

    Raises
    ------
    SchemaError
        If there are no levels, or they end above the bottom of the layer and no sea floor is known.

    Examples
    --------
    >>> nitrate = xr.DataArray([1.0, 2.0, 4.0], {"depth": [5.0, 15.0, 25.0]}, name="nitrate")
    >>> float(layer_mean(nitrate, 0, 15))
    1.33...
    """
    return _per_variable(env, partial(_mean, top=top, bottom=bottom, min_share=min_share), sea_floor)


def layer_integral(env, top, bottom, *, sea_floor=None, min_share=0.5):
    """
    Integral of fields between two depths, or down to the sea floor where that is shallower.

    Parameters
    ----------
    env : xarray.Dataset or xarray.DataArray
        As for `layer_mean`.
    top, bottom : float
        Metres, positive down.
    sea_floor : xarray.DataArray (latitude, longitude), optional
    min_share : float

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        The mean times the metres of water that the layer holds; units times metre.

    Raises
    ------
    SchemaError
        As from `layer_mean`.

    Examples
    --------
    >>> levels = xr.Variable("depth", [5.0, 15.0, 25.0])
    >>> carbon = xr.DataArray([1.0, 2.0, 4.0], {"depth": levels}, attrs={"units": "mg m-3"})
    >>> integral = layer_integral(carbon, 0, 30)
    >>> float(integral), integral.attrs["units"]
    (70.0, 'mg m-2')
    """
    return _per_variable(env, partial(_integral, top=top, bottom=bottom, min_share=min_share), sea_floor)


def _per_variable(env, reduce, sea_floor):
    """Every variable that has levels, with its bounds and the sea floor."""
    if "depth" not in env.dims:
        msg = f"env must have the axis depth; it has {tuple(env.dims)}. Open 3-D fields with open_environment."
        raise SchemaError(msg)
    if isinstance(env, xr.DataArray):
        return reduce(env, layer_bounds(env), sea_floor)
    bounds, sea_floor = layer_bounds(env), env.get(SEA_FLOOR) if sea_floor is None else sea_floor
    fields = env.drop_vars(env["depth"].attrs.get("bounds", []), errors="ignore").data_vars
    deep = {name: field for name, field in fields.items() if "depth" in field.dims and not is_flag(field)}
    return env.drop_dims("depth").assign({name: reduce(field, bounds, sea_floor) for name, field in deep.items()})


def _mean(field, bounds, sea_floor, *, top, bottom, min_share):
    mean, _ = _mean_and_water(field, bounds, sea_floor, top, bottom, min_share)
    return mean.assign_attrs(field.attrs, **_of_layer(field, "mean", top, bottom))


def _integral(field, bounds, sea_floor, *, top, bottom, min_share):
    mean, water = _mean_and_water(field, bounds, sea_floor, top, bottom, min_share)
    attrs = {key: value for key, value in field.attrs.items() if key != "standard_name"}
    integral = (mean * water).astype(mean.dtype).rename(field.name)
    units = _times_metre(str(attrs.get("units", "1")))
    return integral.drop_attrs(deep=False).assign_attrs(attrs, units=units, **_of_layer(field, "sum", top, bottom))


def _times_metre(units):
    """Units of an integral over depth: per square metre where they were per cubic metre, however that is written."""
    if len(_PER_VOLUME.findall(units)) == 1:
        return _PER_VOLUME.sub(lambda found: found[0].replace("3", "2"), units)
    return "m" if units == "1" else f"{units} m"


def _of_layer(field, method, top, bottom):
    """Attributes that say how the levels were brought together, after what is said of other axes."""
    said = field.attrs.get("cell_methods", "")
    return {"cell_methods": f"{said} depth: {method}".strip(), "layer": f"{top:g} to {bottom:g} m"}


def _mean_and_water(field, bounds, sea_floor, top, bottom, min_share):
    """Mean of the levels between two depths, weighted by thickness, and the metres of water between them."""
    _check_layer(bounds, top, bottom, sea_floor is not None)
    floor = np.minimum(_floor(field, bounds, sea_floor), bottom)
    crossing = np.flatnonzero(shared_thickness(bounds, top, bottom) > 0)
    field = field.isel(depth=crossing)
    upper, lower = (xr.DataArray(bound[crossing], {"depth": field["depth"]}) for bound in bounds)
    thickness = shared_thickness((upper, lower), top, floor).where(field.notnull(), 0)
    total, water = thickness.sum("depth"), (floor - top).clip(min=0)
    described = (total > 0) & (total >= min_share * water) & (floor <= bounds[1][-1] + OUTER_REACH_M)
    mean = (field.fillna(0) * thickness).sum("depth") / total.where(described)
    precision = field.dtype if field.dtype.kind == "f" else np.float64
    dims = [dim for dim in field.dims if dim != "depth"]
    return mean.transpose(*dims).astype(precision).rename(field.name), water


def _floor(field, bounds, sea_floor):
    """Depth of the sea floor: as known, else the end of the deepest level with a value, unless that is the last."""
    lower = xr.DataArray(bounds[1], {"depth": field["depth"]})
    deepest = xr.where(field.notnull(), lower, -np.inf).max("depth")
    floor = deepest.where(deepest < bounds[1][-1], np.inf)
    if sea_floor is None:
        return floor
    _check_sea_floor(field, sea_floor)
    return sea_floor.where(sea_floor.notnull(), floor)


def _check_layer(bounds, top, bottom, floor_is_known):
    if not 0 <= top < bottom:
        msg = f"a layer needs a top above its bottom, metres, positive down; got {top} and {bottom}. Example: 0, 200."
        raise SchemaError(msg)
    ends = bounds[1][-1]
    if top >= ends or (bottom > ends + OUTER_REACH_M and not floor_is_known):
        msg = (
            f"the layer {top:g} to {bottom:g} m is not described: the levels end at {ends:g} m. Take a shallower "
            "layer, or pass sea_floor where the sea ends above them."
        )
        raise SchemaError(msg)


def _check_sea_floor(field, sea_floor):
    require_same_cells(
        field, sea_floor, what="sea_floor and env must have the same cells. Bring it there: regrid(sea_floor, env)."
    )
    raised = float((sea_floor < 0).sum() / sea_floor.notnull().sum())
    if raised > 0.5:
        msg = (
            f"sea_floor must be a depth in metres, positive down; {raised:.0%} of its values are negative. "
            "Pass -altitude, with NaN on land."
        )
        raise SchemaError(msg)
