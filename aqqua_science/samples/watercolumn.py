"""What a grid says of each water column: whether there is sea, and how deep."""

import functools

import numpy as np
import xarray as xr

from ..schema import SchemaError, nearest_name

DIMENSIONS = ("month", "time", "depth", "latitude", "longitude")
_REMEDY = "Open it with aqqua_science.grids.open_environment."


def check_grid(env):
    """
    Refuse an environment that is not in our conventions.

    Parameters
    ----------
    env : xarray.Dataset

    Raises
    ------
    SchemaError
        If an axis is missing, is empty, does not ascend or leaves its limits, or a variable has another dimension
        or no numbers.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> check_grid(regular_grid(10.0))
    """
    for name in ("latitude", "longitude"):
        if name not in env.indexes or env.sizes[name] < 2:
            msg = f"env must have two or more values of {name} on an axis of its own; {_REMEDY}"
            raise SchemaError(msg)
    for name in DIMENSIONS:
        if name in env.dims:
            _check_axis(env, name)
    for name, variable in env.data_vars.items():
        _check_variable(name, variable)


def _check_axis(env, name):
    values = env[name].values
    if not values.size:
        msg = f"env's {name} is empty; a selection may have left nothing of it. Select more."
        raise SchemaError(msg)
    if not (values[1:] > values[:-1]).all():
        msg = f"env's {name} must ascend; it starts {values[:3]}. {_REMEDY}"
        raise SchemaError(msg)
    lower, upper = {"latitude": (-90, 90), "longitude": (-180, 180), "depth": (0, np.inf)}.get(name, (None, None))
    if lower is None:
        return
    if not (values[0] >= lower and values[-1] <= upper):
        msg = f"env's {name} must lie in {lower:g}..{upper:g}; it spans {values[0]:g}..{values[-1]:g}. {_REMEDY}"
        raise SchemaError(msg)
    if name == "longitude" and values[-1] - values[0] >= 360:
        msg = f"env's longitude holds the same meridian twice: {values[0]:g} and {values[-1]:g}. {_REMEDY}"
        raise SchemaError(msg)


def _check_variable(name, variable):
    if not variable.dims or set(variable.dims) - set(DIMENSIONS):
        odd = next(iter(set(variable.dims) - set(DIMENSIONS)), "none at all")
        msg = (
            f"env's variable {name!r} has the dimension {odd}; known are {', '.join(DIMENSIONS)}."
            f"{nearest_name(odd, DIMENSIONS)} Reduce it, or leave it out with env.drop_vars({name!r})."
        )
        raise SchemaError(msg)
    if variable.dtype.kind not in "fiub":
        msg = f"env's variable {name!r} must be numbers, not {variable.dtype}. Leave it out: env.drop_vars({name!r})."
        raise SchemaError(msg)


def water_columns(env, *, land=None):
    """
    Tell sea from land, and the deepest level with water, by where the variables have values.

    A variable with gaps (columns without any value) marks as sea every cell where it has a value in some
    month and depth. Variables without gaps, such as a relief that goes on over land, say nothing; where no
    variable has gaps every cell is sea.

    Parameters
    ----------
    env : xarray.Dataset
        In memory or on Dask; a variable is read one month or chunk at a time.
    land : xarray.DataArray of bool (latitude, longitude), optional
        True on land, such as `aqqua_science.grids.land_mask(env)`. Only the first month or date is read then, of the
        variables with depth, for the floor.

    Returns
    -------
    xarray.Dataset
        `sea` (bool) and `floor`, the index of the deepest level with a value (-1 where there is none), both
        (latitude, longitude).

    Raises
    ------
    SchemaError
        If `land` has other cells than `env`, or is not True and False.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> grid = regular_grid(10.0)
    >>> warmth = (grid["latitude"] + 0 * grid["longitude"]).where(grid["longitude"] < 0)
    >>> int(water_columns(warmth.to_dataset(name="temperature"))["sea"].sum())
    324
    """
    layout = ("latitude", "longitude")
    shape = tuple(env.sizes[name] for name in layout)
    sea, floor, gaps = np.zeros(shape, dtype=bool), np.full(shape, -1, dtype=np.int32), False
    if land is not None:
        sea, gaps = ~_checked_land(env, land), True
    for variable in env.data_vars.values():
        if not set(layout) <= set(variable.dims) or (land is not None and "depth" not in variable.dims):
            continue
        levels = _filled(variable if land is None else _first_step(variable)).reshape(-1, *shape)
        column = levels.any(axis=0)
        if land is None and not column.all():
            gaps, sea = True, sea | column
        if "depth" in variable.dims:
            deepest = len(levels) - 1 - levels[::-1].argmax(axis=0)
            floor = np.maximum(floor, np.where(column, deepest, -1))
    fields = {"sea": (layout, sea if gaps else np.ones(shape, dtype=bool)), "floor": (layout, floor)}
    return xr.Dataset(fields, coords={name: env[name] for name in layout})


def _checked_land(env, land):
    layout = ("latitude", "longitude")
    same = set(land.dims) == set(layout) and all(
        land.sizes[name] == env.sizes[name] and np.array_equal(land[name].values, env[name].values) for name in layout
    )
    if not same or land.dtype != bool:
        msg = (
            f"land must be True or False for each cell of env; it is {land.dtype} with the sizes {dict(land.sizes)}. "
            "Make it with grids.land_mask(env)."
        )
        raise SchemaError(msg)
    return land.transpose(*layout).values


def _first_step(variable):
    return variable.isel({name: [0] for name in ("month", "time") if name in variable.dims})


def _filled(variable):
    """Where a variable has a value at some time, (depth, latitude, longitude) or (latitude, longitude)."""
    steps = [name for name in variable.dims if name in ("month", "time")]
    if variable.chunks is not None or not steps:
        filled = variable.notnull().any(steps)
    else:
        each = (variable.isel({steps[0]: i}).notnull() for i in range(variable.sizes[steps[0]]))
        filled = functools.reduce(np.logical_or, each)
    return filled.transpose(*[name for name in DIMENSIONS if name in filled.dims]).values
