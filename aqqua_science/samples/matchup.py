"""The environment of each sample, taken from a grid, with a record of how near the match is."""

from dataclasses import replace

import numpy as np
import pandas as pd

from .. import schema
from .matching import Options, fields, match_grid, no_value, time_reasons
from .placement import METHODS
from .reasons import join_reasons
from .steps import CLIMATOLOGY, KINDS, NONE

_RECORD = ("longitude", "latitude", "distance_km", "depth_m", "days", "time", "method", "reason")
_FROM_CLIMATOLOGY = "_climatology"


def join_environment(
    samples,
    env,
    *,
    method="nearest",
    depth="nearest",
    time="month",
    radius_km=None,
    climatology=None,
    land=None,
    max_cells=1.5,
    max_depth_m=None,
    max_days=16.0,
    block=100_000,
):
    """
    Give each sample the environment of its cell, level and time, and say how near the match is.

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
    time : {"month", "exact", "window"}
        By month: of the year where `env` has months (`month` of the sample, or that of its `time`), of the sample's own
        year where it has one date a month. "exact" takes the step (day, composite of days or month) that contains the
        sample's time in UTC, else the nearest; "window" the mean over all steps around it. The bounds of a step are
        those that `env` has (CF ``bounds``), else its calendar month or day; any other date is a moment.
    radius_km : float, optional
        Mean over all sea cells whose centres lie within this great-circle distance, and the sample's own cell.
    climatology : xarray.Dataset, optional
        With `month` and variables of `env`, on any grid: where a sample's cell has no value at its time, the value that
        this Dataset has by month of the year.
    land : xarray.DataArray of bool (latitude, longitude), optional
        True on land, such as `aqqua_science.grids.land_mask(env)`. By default cells without any value are land, which
        reads all of `env` once; with it only what samples need is read.
    max_cells : float
        How far the centre of the nearest sea cell may be, in sizes of the cell that holds the sample: the
        longer of its north-south and east-west extents, in kilometres on the sphere.
    max_depth_m : float, optional
        With "nearest", the furthest level; by default the levels speak for all depths between them, and
        the outermost for half a spacing or 25 m beyond. With "mean", how much of the sample's layer may
        lie beyond the grid's (25 m by default).
    max_days : float
        With "exact" and "window", how far from the sample the middle of a step may be that does not contain it.
    block : int
        Samples or values handled at a time; bounds the memory and changes no result.

    Returns
    -------
    pandas.DataFrame
        A copy of `samples` with a column per variable and `match_longitude`, `match_latitude` (centre of
        the cell, with "bilinear" of the one that weighs most), `match_distance_km` (from the sample to
        there), `match_depth_m` and `match_days` (how far off the level and the middle of the step are), `match_time`
        ("month of the year", "month", "composite", "nearest date", "window mean", "climatology" where only that has a
        value, or empty), `match_method` ("cell", "nearest sea cell", "bilinear", "radius mean" or "none") and
        `match_reason` (empty when nothing is missing). With `radius_km` or "window" also ``<variable>_count`` and
        ``<variable>_sd``: how many values of `env` the mean is of (land and gaps are none), and their standard
        deviation (NaN of fewer than two). With `climatology` also ``<variable>_climatology``: whether the value is from
        there.

    Raises
    ------
    SchemaError
        If samples or grid break the conventions, a column that the grid calls for is absent, or a variable
        is named like a column of `samples`.
    ValueError
        If an option is unknown, or two do not go together.

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
    options = Options(method, depth, time, radius_km, max_cells, max_depth_m, max_days, block)
    options.check()
    schema.check(samples)
    env = fields(env)
    _check_names(samples, env, (*options.suffixes, *([] if climatology is None else [_FROM_CLIMATOLOGY])))
    match = match_grid(samples, env, options, land=land)
    if climatology is not None:
        _stand_in(match, samples, env, climatology=climatology, options=options)
    incomplete = _lacking(match, env.data_vars)
    record = match.record | {
        "time": pd.array(KINDS, dtype="str").take(match.record["time"]),
        "method": pd.array(METHODS, dtype="str").take(match.places.method),
        "reason": join_reasons({reason: rows & incomplete for reason, rows in match.faults.items()}),
    }
    return samples.assign(**match.found, **{f"match_{name}": record[name] for name in _RECORD})


def _check_names(samples, env, suffixes):
    """Refuse names that the match would write over."""
    beside = [f"{name}{suffix}" for name in env.data_vars for suffix in suffixes]
    remedy = "Drop or rename the column, or leave the variable out with env.drop_vars({name!r})."
    schema.refuse_columns(samples, env.data_vars, remedy=remedy)
    schema.refuse_columns(samples, [*beside, *(f"match_{name}" for name in _RECORD)])
    for name in beside:
        if name in env:
            msg = f"env already has a variable {name!r}, which would be overwritten. Rename it."
            raise schema.SchemaError(msg)


def _stand_in(match, samples, env, *, climatology, options):
    """Put the values of a climatology where the dated grid has none at the time of a sample."""
    dated = [name for name in env.data_vars if "time" in env[name].dims]
    names = _replaced(dated, climatology)
    rows = np.flatnonzero(match.places.matched & _lacking(match, names))
    normals = fields(climatology)
    normals = normals.drop_vars(set(normals.data_vars) - set(names))
    other = match_grid(samples.iloc[rows], normals, replace(options, time="month")).found if rows.size else {}
    filled = np.zeros(len(samples), dtype=bool)
    for name in names:
        values = other.get(name, np.empty(0))
        taken = np.isnan(match.found[name][rows]) & ~np.isnan(values)
        match.found[name][rows[taken]] = values[taken]
        match.found[f"{name}{_FROM_CLIMATOLOGY}"] = np.isin(np.arange(len(samples)), rows[taken])
        match.faults[no_value(name)] &= np.isnan(match.found[name])
        filled[rows[taken]] = True
    for reason in time_reasons("time", options):
        match.faults[reason] &= _lacking(match, dated)
    match.record["time"][filled & (match.record["time"] == NONE)] = CLIMATOLOGY


def _replaced(dated, climatology):
    """The dated variables that a climatology may stand in for."""
    if not dated:
        msg = "climatology stands in for missing dates, and env has none. Leave it out."
        raise ValueError(msg)
    names = [name for name in dated if name in climatology.data_vars and "month" in climatology[name].dims]
    if not names:
        msg = (
            f"climatology must have one of {', '.join(map(repr, dated))} with months of the year; it has "
            f"{', '.join(map(str, climatology.data_vars)) or 'no variables'} with {tuple(climatology.dims)}. "
            "Make it with grids.climatology(series)."
        )
        raise schema.SchemaError(msg)
    return names


def _lacking(match, names):
    return np.any([np.isnan(match.found[name]) for name in names], axis=0)
