"""Months of the year out of dated series, and how single dates differ from them."""

import numpy as np
import pandas as pd
import xarray as xr

from aqqua_science.grids.axes import ATTRIBUTES, DIMENSIONS
from aqqua_science.grids.geometry import require_same_cells
from aqqua_science.schema import SchemaError, nearest_name

_LONGEST_STEP_DAYS = 31
_SHORTEST_MONTH_DAYS = 28
_OF_THE_STATE = {"standard_name", "cell_methods", "ancillary_variables", "valid_range", "valid_min", "valid_max"}


def climatology(env, *, min_years=1):
    """
    Average a dated series to the months of the year.

    Parameters
    ----------
    env : xarray.Dataset or xarray.DataArray
        With `time`: months, composites of days, or days.
    min_years : int
        Cells that have values in fewer years of a month get none for it.

    Returns
    -------
    xarray.Dataset
        Each variable with `month` instead of `time`, and beside it ``<name>_years``, the number of years with values.
        Months that the series lacks are absent; variables without `time` stay. Lazy where `env` is.

    Raises
    ------
    SchemaError
        If `env` has no dates, or its steps are longer than a month.

    Notes
    -----
    A step belongs to the month of its date and weighs as many days as it lasts: a month its own length, a shorter
    step the time to the next, but no longer than most of them, so that a hole in the series weighs nothing. Where the
    series has bounds (CF), a step belongs to the month of its middle and weighs what lies between them.

    Examples
    --------
    >>> time = pd.date_range("2001-01-15", periods=24, freq="MS")
    >>> sst = xr.DataArray(np.arange(24.0), {"time": time}, name="sst")
    >>> monthly = climatology(sst)
    >>> monthly["sst"].sel(month=[2, 1]).values, int(monthly["sst_years"].sel(month=2))
    (array([ 6., 17.]), 2)
    """
    env = _as_dataset(env)
    time, days = _read_steps(env)
    weight = xr.DataArray(days, dims="time")
    fields = {}
    for name, field in env.data_vars.items():
        if "time" in field.dims:
            fields[name], years = _average_months(field.drop_vars("time"), time, weight, min_years)
            fields[f"{name}_years"] = years.assign_attrs(long_name=f"number of years with {name}", units="1")
    return env.drop_dims("time").assign(fields)


def anomaly(env, normals):
    """
    Subtract from each date the normal value of its month.

    Parameters
    ----------
    env : xarray.Dataset or xarray.DataArray
        With `time`.
    normals : xarray.Dataset
        With `month`, as `climatology` makes it, of the same cells.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        As given, in the same units; lazy where `env` is. Variables without `time` stay.

    Raises
    ------
    SchemaError
        If `normals` lack a variable, a month or the cells of `env`.

    Examples
    --------
    >>> time = pd.date_range("2001-01-15", periods=24, freq="MS")
    >>> sst = xr.DataArray(np.arange(24.0), {"time": time}, name="sst")
    >>> anomaly(sst, climatology(sst)).values[[0, -1]]
    array([-6.,  6.])
    """
    series = _as_dataset(env)
    month = xr.DataArray(read_time(series).month, {"time": series["time"]})
    fields = {name: _subtract(f, normals, month) for name, f in series.data_vars.items() if "time" in f.dims}
    return series.assign(fields) if isinstance(env, xr.Dataset) else next(iter(fields.values())).rename(env.name)


def step_days(time):
    """
    Days that each step of a series lasts.

    Parameters
    ----------
    time : pandas.DatetimeIndex
        Ascending.

    Returns
    -------
    numpy.ndarray of float

    Raises
    ------
    SchemaError
        If most steps are longer than a month.

    Examples
    --------
    >>> step_days(pd.DatetimeIndex(["2000-01-16", "2000-02-15", "2000-03-16"]))
    array([31., 29., 31.])
    >>> step_days(pd.DatetimeIndex(["2000-01-01", "2000-01-09", "2000-01-17", "2000-03-21"]))
    array([8., 8., 8., 8.])
    """
    if is_monthly(time):
        return time.days_in_month.to_numpy(float)
    gaps = np.diff(time.to_numpy()) / np.timedelta64(1, "D")
    most = float(np.median(gaps))
    if most > _LONGEST_STEP_DAYS:
        msg = f"the steps of time must be a month at most; most are {most:g} days long. Pass months or shorter means."
        raise SchemaError(msg)
    return np.minimum(np.append(gaps, most), most)


def is_monthly(time):
    """
    Whether a series has one step a month.

    Parameters
    ----------
    time : pandas.DatetimeIndex

    Returns
    -------
    bool

    Examples
    --------
    >>> is_monthly(pd.DatetimeIndex(["2000-01-31", "2000-02-15"])), is_monthly(pd.date_range("2000-01-01", periods=3))
    (True, False)
    """
    gaps = np.diff(time.year * 12 + time.month)
    return bool((gaps > 0).all() and (gaps.size == 0 or np.median(gaps) == 1))


def read_time(env):
    """
    Read the dates of a series.

    Parameters
    ----------
    env : xarray.Dataset

    Returns
    -------
    pandas.DatetimeIndex
        Ascending.

    Raises
    ------
    SchemaError
        If `env` has no dates, or they do not ascend.

    Examples
    --------
    >>> read_time(xr.Dataset(coords={"time": pd.to_datetime(["2001-05-16"])})).month.tolist()
    [5]
    """
    if "time" not in env.dims or env["time"].dtype.kind != "M":
        msg = (
            f"env must have dates on an axis time; its dimensions are {tuple(env.dims)}. Open the series with "
            "aqqua_science.grids.open_environment; a field with months is a climatology already."
        )
        raise SchemaError(msg)
    time = pd.DatetimeIndex(env["time"].values)
    if not (time.is_monotonic_increasing and time.is_unique):
        msg = f"the dates of env must ascend, each once; they begin {time[:3].date}. Sort them: env.sortby('time')."
        raise SchemaError(msg)
    return time


def _as_dataset(env):
    return env.to_dataset(name=env.name or "field") if isinstance(env, xr.DataArray) else env


def _read_steps(env):
    """The date and the days of each step."""
    time = read_time(env)
    bounds = {**env["time"].encoding, **env["time"].attrs}.get("bounds")
    if bounds not in env.coords:
        return time, step_days(time)
    start, end = env[bounds].transpose("time", ...).values.T
    days = (end - start) / np.timedelta64(1, "D")
    if not ((days > 0) & (days <= _LONGEST_STEP_DAYS)).all():
        wrong = days[~((days > 0) & (days <= _LONGEST_STEP_DAYS))][0]
        msg = f"steps must be a month at most; the {bounds} of env give one of {wrong:g} days. Correct or drop them."
        raise SchemaError(msg)
    return pd.DatetimeIndex(start + (end - start) // 2), days


def _average_months(field, time, weight, min_years):
    """Means over the steps of each month of the year, and how many years have any."""
    means, counts = [], []
    for month in (months := np.unique(time.month)):
        in_month = np.flatnonzero(time.month == month)
        values, known, days = (part.isel(time=in_month) for part in (field, field.notnull(), weight))
        years = time.year[in_month]
        count = sum(
            known.isel(time=np.flatnonzero(years == year)).any("time").astype("int16") for year in years.unique()
        )
        mean = (values.fillna(0) * days).sum("time") / (known * days).sum("time").where(count >= max(min_years, 1))
        means.append(mean.astype(field.dtype if field.dtype.kind == "f" else float))
        counts.append(count)
    axis = xr.Variable("month", months.astype(int), ATTRIBUTES["month"])
    dims = [dim for dim in DIMENSIONS if dim == "month" or dim in means[0].dims]
    mean, count = (xr.concat(parts, axis).transpose(*dims) for parts in (means, counts))
    attrs = {
        "cell_methods": "time: mean within years time: mean over years",
        "ancillary_variables": f"{field.name}_years",
    }
    return mean.rename(field.name).assign_attrs(field.attrs, **attrs), count.drop_attrs(deep=False)


def _subtract(field, normals, month):
    """One variable less the values of its months."""
    if field.name not in normals or not set(month.values) <= set(normals["month"].values):
        msg = (
            f"normals must have {field.name!r} for the months {sorted(set(month.values.tolist()))}; they have "
            f"{sorted(normals)} for {normals['month'].values.tolist()}.{nearest_name(field.name, normals)} "
            "Make them with climatology(env)."
        )
        raise SchemaError(msg)
    remedy = f"normals and {field.name!r} must have the same cells. Bring them there: regrid(normals, env)."
    require_same_cells(field, normals[field.name], what=remedy)
    difference = field - normals[field.name].sel(month=month, drop=True)
    kept = {key: value for key, value in field.attrs.items() if key not in _OF_THE_STATE}
    name = field.attrs.get("long_name", field.name)
    difference = difference.drop_vars("month", errors="ignore").transpose(*field.dims).drop_attrs(deep=False)
    return difference.assign_attrs(kept, long_name=f"anomaly of {name}").rename(field.name)
