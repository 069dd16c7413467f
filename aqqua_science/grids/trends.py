"""Trends of dated series, with standard errors that know how alike neighbouring steps are."""

from functools import partial

import numpy as np
import xarray as xr
from scipy import stats

from aqqua_science.grids.blocks import whole
from aqqua_science.grids.climatologies import read_time
from aqqua_science.schema import SchemaError

_DAYS_OF_DECADE = 3652.5
_FEWEST = 3
_PARTS = {
    "trend": "trend of {}",
    "trend_se": "standard error of the trend of {}",
    "trend_p": "p-value of the trend of {}, two-sided",
    "trend_n": "number of steps with {}",
}


def trend(env, *, min_steps=24):
    """
    Fit a straight line to the series of each cell.

    Parameters
    ----------
    env : xarray.Dataset or xarray.DataArray
        With `time` in steps of one kind; take the seasons out before: ``anomaly(series, climatology(series))``. Other
        dimensions, such as depth or the members of a map, stay. In memory or on Dask.
    min_steps : int
        Cells with values at fewer steps get none.

    Returns
    -------
    xarray.Dataset
        For each variable with `time` ``<name>_trend`` in its units per decade, ``<name>_trend_se`` and
        ``<name>_trend_p``, its standard error and two-sided p-value, and ``<name>_trend_n``, the number of steps with
        values. Variables without `time` stay. Lazy where `env` is.

    Raises
    ------
    SchemaError
        If `env` has no dates, or fewer steps than `min_steps`.
    ValueError
        If `min_steps` is below 3.

    Notes
    -----
    Least squares; the residuals of neighbouring steps are taken to be correlated by r, their autocorrelation of lag 1
    (no less than 0), and n steps to be worth n (1 - r) / (1 + r), in the standard error and in the degrees of freedom:
    Santer et al. (2000), J. Geophys. Res. 105, 7337-7356, doi 10.1029/1999JD901105. Where these are worth 2 or fewer,
    error and p-value are NaN. Gaps are left out of pairs of neighbours.

    Examples
    --------
    >>> import pandas as pd
    >>> time = pd.date_range("2000-01-15", periods=240, freq="MS")
    >>> warming = (time - time[0]).days / 3652.5 * 0.2 + np.random.default_rng(0).normal(0, 0.1, 240)
    >>> found = trend(xr.DataArray(warming, {"time": time}, name="sst", attrs={"units": "degC"}))
    >>> float(found["sst_trend"]), float(found["sst_trend_se"]), found["sst_trend"].attrs["units"]
    (0.18, 0.01, 'degC (10 year)-1')
    """
    if min_steps < _FEWEST:
        msg = f"min_steps must be {_FEWEST} or more, which a line and its error need; got {min_steps}."
        raise ValueError(msg)
    env = env.to_dataset(name=env.name or "field") if isinstance(env, xr.DataArray) else env
    time = read_time(env)
    if len(time) < min_steps:
        msg = f"a trend needs {min_steps} steps or more (min_steps); env has {len(time)}."
        raise SchemaError(msg)
    decades = (time - time[0]).total_seconds().to_numpy() / 86_400 / _DAYS_OF_DECADE
    fields = {}
    for field in env.values():
        if "time" in field.dims:
            fields |= _fit_field(field, decades, min_steps)
    return env.drop_dims("time").assign(fields)


def field_significance(p_values, *, level=0.05):
    """
    Tell which of many cells differ from chance when all are looked at together.

    Parameters
    ----------
    p_values : xarray.DataArray
        Of each cell, such as ``<name>_trend_p``; NaN where there is none.
    level : float
        Share of false discoveries among those that are made, as is expected.

    Returns
    -------
    xarray.DataArray of bool
        True where the p-value is so small that it counts; False where there is none.

    Raises
    ------
    ValueError
        If `level` is no share, or the values are no p-values.

    Notes
    -----
    Control of the false discovery rate: Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57, 289-300; for fields whose
    neighbours are alike Wilks (2016), Bull. Am. Meteorol. Soc. 97, 2263-2273, doi 10.1175/BAMS-D-15-00267.1, who
    recommends twice the level that is meant for the field as a whole.

    Examples
    --------
    >>> field_significance(xr.DataArray([0.001, 0.03, 0.04, np.nan]), level=0.05).values
    array([ True,  True,  True, False])
    >>> field_significance(xr.DataArray([0.001, 0.04, 0.2, 0.9]), level=0.05).values
    array([ True, False, False, False])
    """
    p = np.asarray(p_values.values, dtype=float)
    if not 0 < level < 1:
        msg = f"level must be a share between 0 and 1; got {level}. Example: 0.05."
        raise ValueError(msg)
    known = np.sort(p[~np.isnan(p)])
    if known.size and (known[0] < 0 or known[-1] > 1):
        msg = f"p-values lie between 0 and 1; these between {known[0]:g} and {known[-1]:g}. Pass <name>_trend_p."
        raise ValueError(msg)
    passed = np.flatnonzero(known <= level * np.arange(1, known.size + 1) / max(known.size, 1))
    threshold = known[passed[-1]] if passed.size else -1.0
    found = xr.zeros_like(p_values, dtype=bool).copy(data=p <= threshold)
    return found.drop_attrs(deep=False).assign_attrs(long_name=f"significant, false discovery rate {level:g}")


def _fit_field(field, decades, min_steps):
    """Slope, error, p-value and number of one variable."""
    parts = xr.apply_ufunc(
        partial(_fit_lines, decades=decades, min_steps=min_steps),
        whole(field, ["time"]),
        input_core_dims=[["time"]],
        output_core_dims=[[]] * len(_PARTS),
        dask="parallelized",
        output_dtypes=[float, float, float, np.int32],
    )
    said = field.attrs.get("long_name", field.name)
    units = field.attrs.get("units", "1")
    per_decade = "(10 year)-1" if units == "1" else f"{units} (10 year)-1"
    of_part = dict(zip(_PARTS, (per_decade, per_decade, "1", "1"), strict=True))
    return {
        f"{field.name}_{part}": found.drop_attrs(deep=False).assign_attrs(
            long_name=text.format(said), units=of_part[part]
        )
        for (part, text), found in zip(_PARTS.items(), parts, strict=True)
    }


def _fit_lines(values, *, decades, min_steps):
    """Lines along the last axis."""
    known = np.isfinite(values)
    n = known.sum(axis=-1)
    enough = n >= min_steps
    safe = np.where(enough, n, 1)
    middle = (known * decades).sum(axis=-1) / safe
    when = np.where(known, decades - middle[..., None], 0)
    spread = np.where(enough, (when**2).sum(axis=-1), np.nan)
    what = np.where(known, values, 0)
    slope = (when * what).sum(axis=-1) / spread
    error = np.where(known, what - (what.sum(axis=-1) / safe)[..., None] - slope[..., None] * when, 0)
    squares = (error**2).sum(axis=-1)
    worth = n * _worth(error, known, squares / safe)
    freedom = np.where(worth > 2, worth - 2, np.nan)
    standard_error = np.sqrt(squares / freedom / spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.t.sf(np.abs(slope) / standard_error, freedom)
    return slope, standard_error, p, n.astype(np.int32)


def _worth(error, known, variance):
    """How many independent steps one step is worth, by the autocorrelation of lag 1 of the residuals."""
    pairs = (known[..., 1:] & known[..., :-1]).sum(axis=-1)
    product = (error[..., 1:] * error[..., :-1]).sum(axis=-1) / np.maximum(pairs, 1)
    alike = np.clip(np.divide(product, variance, out=np.zeros_like(product), where=variance > 0), 0, 1)
    return (1 - alike) / (1 + alike)
