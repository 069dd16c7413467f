"""The time of each sample on the time axis of a grid: month of the year, or steps of a dated one in UTC."""

import numpy as np
import pandas as pd

from ..grids.climatologies import is_monthly
from ..schema import SchemaError
from .steps import NONE, OF_THE_YEAR, Steps, step_bounds, take_steps


def utc_times(times):
    """
    Dates and times of any kind and unit as UTC in microseconds.

    Parameters
    ----------
    times : pandas.Series or pandas.DatetimeIndex or xarray.DataArray
        Datetimes; those without a time zone are taken for UTC.

    Returns
    -------
    numpy.ndarray of datetime64[us]

    Raises
    ------
    SchemaError
        If the values are no datetimes.

    Examples
    --------
    >>> utc_times(pd.Series(pd.to_datetime(["2020-01-01T02:00+02:00"])))
    array(['2020-01-01T00:00:00.000000'], dtype='datetime64[us]')
    """
    values = pd.Series(getattr(times, "to_series", lambda: times)().array)
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    if values.dtype.kind != "M":
        msg = (
            f"time must hold datetimes; found {values.iloc[0] if len(values) else values.dtype!r}. "
            "Convert the column with pandas.to_datetime(..., utc=True)."
        )
        raise SchemaError(msg)
    return values.to_numpy().astype("datetime64[us]")


def month_step(env, months):
    """
    Find the month-of-year step of each sample.

    Parameters
    ----------
    env : xarray.Dataset
        With `month`, 1..12.
    months : numpy.ndarray, shape (n,)
        Month of each sample, NaN where unknown.

    Returns
    -------
    numpy.ndarray of int32, shape (n,)
        -1 where the grid has no such month.

    Examples
    --------
    >>> import xarray as xr
    >>> month_step(xr.Dataset(coords={"month": [1, 7]}), np.array([7.0, 2.0, np.nan]))
    array([ 1, -1, -1], dtype=int32)
    """
    return pd.Index(env["month"].values.astype(float)).get_indexer(months).astype(np.int32)


def match_dates(samples, env, axis, *, time, max_days):
    """
    Match samples to the months or dates of a grid.

    Parameters
    ----------
    samples : pandas.DataFrame
        With `time`; `month` does as well where `env` has months of the year.
    env : xarray.Dataset
        With ascending `month` or `time`.
    axis : {"month", "time"}
    time : {"month", "exact", "window"}
    max_days : float
        As in `take_steps`.

    Returns
    -------
    steps : Steps
    missing : numpy.ndarray of bool, shape (n,)
        Where the sample does not tell its time.

    Raises
    ------
    SchemaError
        If `samples` lack the column, or `env` has another kind of time.

    Examples
    --------
    >>> import xarray as xr
    >>> env = xr.Dataset(coords={"month": np.arange(1, 13)})
    >>> steps, missing = match_dates(pd.DataFrame({"month": [3]}), env, "month", time="month", max_days=16)
    >>> steps.first, missing
    (array([2], dtype=int32), array([False]))
    """
    _check_kind(samples, env, axis, time)
    if axis == "time":
        times = utc_times(samples["time"])
        return take_steps(env, times, time=time, max_days=max_days), np.isnat(times)
    months = _months(samples)
    step = month_step(env, months)
    kind = np.where(step >= 0, OF_THE_YEAR, NONE).astype(np.int8)
    return Steps(step, (step >= 0).astype(np.int32), np.full(len(samples), np.nan), kind), np.isnan(months)


def _months(samples):
    """Of the column, and of the dates where it has none."""
    told = np.full(len(samples), np.nan)
    if "month" in samples.columns:
        told = samples["month"].to_numpy(dtype=float, na_value=np.nan)
    if "time" not in samples.columns or not np.isnan(told).any():
        return told
    times = utc_times(samples["time"])
    months = (times.astype("datetime64[M]").astype(int) % 12 + 1).astype(float)
    return np.where(np.isnan(told) & ~np.isnat(times), months, told)


def _check_kind(samples, env, axis, time):
    if axis == "month" and time != "month":
        msg = f'env has months of the year and time="{time}" needs dates. Pass time="month".'
    elif axis == "time" and "time" not in samples.columns:
        msg = "env has dates and samples have no column 'time'. Add it, or match with grids.climatology(env)."
    elif axis == "month" and not {"month", "time"} & set(samples.columns):
        msg = (
            "env has months and samples have no column 'time' or 'month'. Add one, or take the annual mean: "
            'env.mean("month").'
        )
    elif axis == "time" and time == "month" and not _has_months(env):
        msg = (
            'env has dates that are not one a month, and time="month" takes a month. Pass time="exact" for the step of '
            'the sample\'s date, time="window" for a mean over several, or a climatology: grids.climatology(env).'
        )
    else:
        return
    raise SchemaError(msg)


def _has_months(env):
    step_bounds(env)  # refuses what is no date
    return is_monthly(pd.DatetimeIndex(env["time"].values))
