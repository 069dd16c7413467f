"""The date of each sample on the time axis of a grid: month of the year, or nearest date in UTC."""

import numpy as np
import pandas as pd

from ..schema import SchemaError


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


def nearest_time(env, times, *, max_days):
    """
    Find the time step nearest to each sample.

    Parameters
    ----------
    env : xarray.Dataset
        With ascending `time`.
    times : numpy.ndarray of datetime64[us], shape (n,)
        UTC.
    max_days : float
        The furthest time step that may be taken.

    Returns
    -------
    step : numpy.ndarray of int32, shape (n,)
        -1 where none is near enough or the time is missing.
    offset : numpy.ndarray, shape (n,)
        Days between sample and step; NaN where there is none.

    Examples
    --------
    >>> import xarray as xr
    >>> env = xr.Dataset(coords={"time": pd.to_datetime(["2020-01-01", "2020-02-01"])})
    >>> nearest_time(env, np.array(["2020-01-25"], dtype="datetime64[us]"), max_days=16)
    (array([1], dtype=int32), array([7.]))
    """
    steps = utc_times(env["time"])
    after = np.clip(np.searchsorted(steps, times), 1, max(len(steps) - 1, 1))
    after = np.minimum(after, len(steps) - 1)
    before = np.maximum(after - 1, 0)
    step = np.where(np.abs(steps[after] - times) < np.abs(times - steps[before]), after, before)
    days = np.abs(times - steps[step]) / np.timedelta64(1, "D")
    near = days <= max_days
    return np.where(near, step, -1).astype(np.int32), np.where(near, days, np.nan)


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


def match_dates(samples, env, *, time, max_days):
    """
    Match samples to the months or dates of a grid.

    Parameters
    ----------
    samples : pandas.DataFrame
        With `time`; `month` does as well where `env` has months.
    env : xarray.Dataset
        With `month` or with ascending `time`.
    time : {"month", "exact"}
    max_days : float
        As in `nearest_time`.

    Returns
    -------
    step : numpy.ndarray of int32, shape (n,)
        -1 where there is none.
    offset : numpy.ndarray, shape (n,)
        Days; NaN with months of the year.
    missing : numpy.ndarray of bool, shape (n,)
        Where the sample has neither.

    Raises
    ------
    SchemaError
        If `samples` lack the columns, or `env` has the other kind of time.

    Examples
    --------
    >>> import xarray as xr
    >>> env = xr.Dataset(coords={"month": np.arange(1, 13)})
    >>> match_dates(pd.DataFrame({"month": [3]}), env, time="month", max_days=16)
    (array([2], dtype=int32), array([nan]), array([False]))
    """
    _check_kind(samples, env, time)
    if time == "exact":
        times = utc_times(samples["time"])
        return *nearest_time(env, times, max_days=max_days), np.isnat(times)
    months = _months(samples)
    return month_step(env, months), np.full(len(samples), np.nan), np.isnan(months)


def _months(samples):
    if "month" in samples.columns:
        return samples["month"].to_numpy(dtype=float, na_value=np.nan)
    times = utc_times(samples["time"])
    months = (times.astype("datetime64[M]").astype(int) % 12 + 1).astype(float)
    return np.where(np.isnat(times), np.nan, months)


def _check_kind(samples, env, time):
    if time == "month" and "time" in env.dims:
        msg = (
            'env has dates and time="month" needs months of the year. Pass time="exact", '
            'or a climatology: env.groupby("time.month").mean().'
        )
    elif time == "exact" and "month" in env.dims:
        msg = 'env has months of the year and time="exact" needs dates. Pass time="month".'
    elif "time" not in samples.columns and (time == "exact" or "month" not in samples.columns):
        remedy = "Add the column." if time == "exact" else 'Add one, or take the annual mean: env.mean("month").'
        msg = f"env has {'dates' if time == 'exact' else 'months'} and samples have no column 'time'"
        msg += f"{' or ' + repr('month') if time == 'month' else ''}. {remedy}"
    else:
        return
    raise SchemaError(msg)
