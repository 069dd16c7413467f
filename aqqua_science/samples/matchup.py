"""The environment of each sample, taken from a grid, with a record of how near the match is."""

import numpy as np
import pandas as pd

from .. import schema
from .dates import match_dates
from .depths import layer_weights, match_depths, sample_layers
from .lookup import read_points, slices
from .placement import METHODS, match_distance_km, place_samples
from .watercolumn import DIMENSIONS, check_grid, water_columns

_CHOICES = {"method": ("nearest", "bilinear"), "depth": ("nearest", "mean"), "time": ("month", "exact")}
_RECORD = ("longitude", "latitude", "distance_km", "depth_m", "days", "method", "reason")
_BELOW_FLOOR = "below the sea floor"


def join_environment(
    samples,
    env,
    *,
    method="nearest",
    depth="nearest",
    time="month",
    max_cells=1.5,
    max_depth_m=None,
    max_days=16.0,
    block=100_000,
):
    """
    Give each sample the environment of its cell, level and month, and say how near the match is.

    A sample belongs to the cell that contains it. If that cell holds no sea, the sample takes the nearest
    sea cell; a sample of a lake or river takes none. What has no match gets NaN and a reason.

    Parameters
    ----------
    samples : pandas.DataFrame
        With `latitude` and `longitude`; `depth`, or `depth_min` and `depth_max`, where `env` has depth;
        `month` or `time` where `env` has either; optionally `water` (sea, lake or river).
    env : xarray.Dataset
        As `aqqua_science.grids.open_environment` returns it, in memory or on Dask. Each variable has some
        of the dimensions (month | time, depth, latitude, longitude).
    method : {"nearest", "bilinear"}
        Value of the cell, or bilinear between the sea cells around the sample, weighted by arcs along
        meridians and parallels. Land has no share; a variable missing in the sample's own cell stays NaN.
    depth : {"nearest", "mean"}
        Nearest level, or mean over the sample's layer `depth_min`..`depth_max`, each level weighted by the
        thickness its layer shares with it, down to the sea floor.
    time : {"month", "exact"}
        By month of the year (`month` of the sample, or that of its `time`) or the nearest date in UTC.
    max_cells : float
        How far the centre of the nearest sea cell may be, in sizes of the cell that holds the sample: the
        longer of its north-south and east-west extents, in kilometres on the sphere.
    max_depth_m : float, optional
        With "nearest", the furthest level; by default the levels speak for all depths between them, and
        the outermost for half a spacing or 25 m beyond. With "mean", how much of the sample's layer may
        lie beyond the grid's (25 m by default).
    max_days : float
        With "exact", the furthest date.
    block : int
        Samples handled at a time; bounds the memory and changes no result.

    Returns
    -------
    pandas.DataFrame
        A copy of `samples` with a column per variable and `match_longitude`, `match_latitude` (centre of
        the cell, with "bilinear" of the one that weighs most), `match_distance_km` (from the sample to
        there), `match_depth_m` and `match_days` (how far off level and date are), `match_method` ("cell",
        "nearest sea cell", "bilinear" or "none") and `match_reason` (empty when nothing is missing).

    Raises
    ------
    SchemaError
        If samples or grid break the conventions, a column that the grid calls for is absent, or a variable
        is named like a column of `samples`.
    ValueError
        If an option is unknown.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> grid = regular_grid(1.0)
    >>> latitude = grid["latitude"] + 0 * grid["longitude"]
    >>> env = latitude.where(grid["longitude"] > 0).to_dataset(name="warmth")
    >>> samples = pd.DataFrame({"latitude": [10.2, 0.2, 0.2], "longitude": [179.9, -0.3, -90.0]})
    >>> join_environment(samples, env)[["warmth", "match_distance_km", "match_method", "match_reason"]]
       warmth  match_distance_km      match_method                  match_reason
    0    10.5              55.02              cell
    1     0.5              95.00  nearest sea cell
    2     NaN                NaN              none  no sea cell within 1.5 cells
    """
    _check_choices(block, method=method, depth=depth, time=time)
    schema.check(samples)
    env = _fields(env, samples)
    columns = water_columns(env)
    places, faults = place_samples(samples, columns["sea"], method=method, max_cells=max_cells, block=block)
    position, offset, astray = _positions(
        samples, env, depth=depth, time=time, max_depth_m=max_depth_m, max_days=max_days, block=block
    )
    if "depth" in position:
        floor = columns["floor"].values[places.home_row, places.home_column]
        astray[_BELOW_FLOOR] = (position["depth"] > floor) & (floor >= 0)
    faults |= {reason: rows & places.matched for reason, rows in astray.items()}
    thickness = _thickness(samples, env) if depth == "mean" and "depth" in position else None
    found = {}
    for name, field in env.data_vars.items():
        ready = places.matched & np.all([position[axis] >= 0 for axis in field.dims if axis in position], axis=0)
        field = field.broadcast_like(columns["sea"])
        found[name] = _read_field(field, np.flatnonzero(ready), places, position, thickness=thickness, block=block)
        below = faults[_BELOW_FLOOR] if "depth" in field.dims else False
        faults[f"no value of {name}"] = ready & np.isnan(found[name]) & ~np.asarray(below)
    centre = match_distance_km(samples, columns["sea"], places, block=block)
    record = dict(zip(("latitude", "longitude", "distance_km"), centre, strict=True)) | offset
    record |= {"method": pd.array(METHODS, dtype="str").take(places.method), "reason": _reasons(faults)}
    return samples.assign(**found, **{f"match_{name}": record[name] for name in _RECORD})


def _check_choices(block, **chosen):
    for option, value in chosen.items():
        if value not in _CHOICES[option]:
            msg = f"{option} must be one of {_CHOICES[option]}; got {value!r}."
            raise ValueError(msg + schema.nearest_name(value, _CHOICES[option]))
    if block < 1:
        msg = f"block must be at least one sample; got {block}. The default suits most machines."
        raise ValueError(msg)


def _fields(env, samples):
    """The variables of a checked grid, with the bounds of its axes as coordinates and only the axes they use."""
    env = env.set_coords({env[name].attrs.get("bounds") for name in env.coords} & set(env.data_vars))
    check_grid(env)
    used = {axis for field in env.data_vars.values() for axis in field.dims}
    for name in [*env.data_vars, *(f"match_{name}" for name in _RECORD)]:
        if name in samples.columns:
            msg = (
                f"samples already have a column {name!r}, which the match would overwrite. "
                f"Drop or rename it{f', or leave it out with env.drop_vars({name!r})' if name in env else ''}."
            )
            raise schema.SchemaError(msg)
    return env.drop_dims(({"month", "time", "depth"} & set(env.dims)) - used)


def _positions(samples, env, *, depth, time, max_depth_m, max_days, block):
    """Index along time and depth of each sample, how far off that is, and which samples have none, by reason."""
    position, astray = {}, {}
    offset = {name: np.full(len(samples), np.nan) for name in ("depth_m", "days")}
    if "depth" in env.dims:
        level, offset["depth_m"], missing = match_depths(
            samples, env, depth=depth, max_depth_m=max_depth_m, block=block
        )
        position["depth"] = level
        astray |= {"no usable depth": missing, "beyond the levels of the grid": (level < 0) & ~missing}
    for axis, beyond in (("month", "month is not in the grid"), ("time", f"no date within {max_days:g} days")):
        if axis in env.dims:
            step, offset["days"], missing = match_dates(samples, env, time=time, max_days=max_days)
            position[axis] = step
            astray |= {f"{axis} is missing": missing, beyond: (step < 0) & ~missing}
    return position, offset, astray


def _thickness(samples, env):
    """What each level contributes to the layers of some samples, as a function of their rows."""
    top, bottom = sample_layers(samples)
    return lambda rows: layer_weights(env, top[rows], bottom[rows])


def _read_field(field, rows, places, position, *, thickness, block):
    """One value of a variable per sample, NaN but in `rows`."""
    axes = [name for name in DIMENSIONS if name in field.dims and not (thickness and name == "depth")]
    n_corners = places.row.shape[1]
    cell = {"latitude": places.row, "longitude": places.column}
    index = [cell[a][rows].ravel() if a in cell else position[a][rows].repeat(n_corners) for a in axes]
    reduce = None
    if thickness and "depth" in field.dims:
        block = max(block // 4, 1)

        def reduce(points, values):
            return _mean(values, thickness(rows[points // n_corners]))

    values = read_points(field.transpose(*axes, ...).data, index, reduce=reduce, block=block).reshape(-1, n_corners)
    found = np.full(len(places.method), np.nan, dtype=values.dtype)
    for part in slices(len(rows), block):
        chosen = rows[part]
        own = (places.home(chosen) & ~np.isnan(values[part])).any(axis=1)
        found[chosen] = np.where(own, _mean(values[part], places.weight[chosen]), np.nan)
    return found


def _mean(values, weight):
    """Weighted mean of the values that are known, NaN where none is."""
    known = ~np.isnan(values)
    weight = weight * known
    total = weight.sum(axis=1)
    return np.einsum("ij,ij->i", weight, np.where(known, values, 0)) / np.where(total > 0, total, np.nan)


def _reasons(faults):
    """The reasons that hold for each sample, joined into one text."""
    codes, texts = np.zeros(len(next(iter(faults.values()))), dtype=np.int64), [()]
    for reason, rows in faults.items():
        if rows.any():
            codes, pairs = pd.factorize(2 * codes + rows)
            texts = [texts[pair // 2] + (reason,) * (pair % 2) for pair in pairs]
    return pd.array(["; ".join(text) for text in texts], dtype="str").take(codes)
