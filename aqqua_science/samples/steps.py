"""The steps of a dated grid that samples take: the one that contains their time, the nearest, or all of a window."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..grids.climatologies import is_monthly
from ..schema import SchemaError

KINDS = ("", "month of the year", "month", "composite", "nearest date", "window mean", "climatology")
"""How a sample and the time of a grid were brought together."""

NONE, OF_THE_YEAR, MONTH, COMPOSITE, NEAREST, WINDOW, CLIMATOLOGY = range(len(KINDS))
_DAY = np.timedelta64(1, "D")
_LONGEST_WINDOW_DAYS = 1e6  # beyond it the arithmetic of datetime64[us] would overflow


@dataclass(frozen=True)
class Steps:
    """
    Steps of n samples: `count` of them from `first` on.

    Attributes
    ----------
    first : numpy.ndarray of int32, shape (n,)
        -1 where there is none.
    count : numpy.ndarray of int32, shape (n,)
    days : numpy.ndarray, shape (n,)
        From the sample to the middle of the step, or to the mean of the middles; NaN where there is none.
    kind : numpy.ndarray of int8, shape (n,)
        Index into `KINDS`.

    Examples
    --------
    >>> Steps(np.int32([3]), np.int32([1]), np.array([0.5]), np.int8([COMPOSITE])).first
    array([3], dtype=int32)
    """

    first: np.ndarray
    count: np.ndarray
    days: np.ndarray
    kind: np.ndarray


def step_bounds(env, *, months=False):
    """
    Beginning and end of each step of a dated grid.

    CF bounds are used where `time` names some. Without them one date a month stands for its calendar month and one date
    a day for its day; any other date is a moment, since nothing tells whether it begins or halves its step.

    Parameters
    ----------
    env : xarray.Dataset
        With ascending `time`.
    months : bool
        Whether the dates are known to stand for calendar months, be it a single one.

    Returns
    -------
    start, end : numpy.ndarray of datetime64[us], shape (n,)
        The end does not belong to the step.

    Raises
    ------
    SchemaError
        If `time` holds no datetime64, or the bounds do not ascend.

    Examples
    --------
    >>> import xarray as xr
    >>> start, end = step_bounds(xr.Dataset(coords={"time": pd.to_datetime(["2020-01-15", "2020-02-15"])}))
    >>> end.astype("datetime64[D]")
    array(['2020-02-01', '2020-03-01'], dtype='datetime64[D]')
    """
    time = env["time"]
    times = _moments(time, "time")
    name = {**time.encoding, **time.attrs}.get("bounds")
    if name in env.coords:
        return _checked(*_moments(env[name].transpose("time", ...), name).T)
    unit = "M" if months else _calendar_unit(times)
    if unit is None:
        return times, times
    calendar = times.astype(f"datetime64[{unit}]")
    return calendar.astype(times.dtype), (calendar + 1).astype(times.dtype)


def _moments(variable, name):
    if variable.dtype.kind != "M":
        found = variable.values.flat[0]
        msg = f"env's {name} must hold datetime64 dates; found {found!r}. grids.open_environment reads every calendar."
        raise SchemaError(msg)
    return variable.values.astype("datetime64[us]")


def _checked(start, end):
    middle = start + (end - start) // 2
    if (end < start).any() or (start[1:] < start[:-1]).any() or (middle[1:] <= middle[:-1]).any():
        msg = (
            f"the bounds of env's time must ascend, each end after its beginning; they begin {start[0]} to {end[0]}. "
            "Correct them, or leave them out: the dates then speak for themselves."
        )
        raise SchemaError(msg)
    return start, end


def _calendar_unit(times):
    """Whether the dates come once a month ("M"), once a day ("D"), or neither."""
    if len(times) > 1 and is_monthly(pd.DatetimeIndex(times)):
        return "M"
    gaps = np.diff(times.astype("datetime64[D]")).astype(int)
    return "D" if gaps.size and (gaps > 0).all() and np.median(gaps) == 1 else None


def take_steps(env, times, *, time, max_days):
    """
    Find the steps that each sample takes.

    Parameters
    ----------
    env : xarray.Dataset
        With ascending `time`.
    times : numpy.ndarray of datetime64[us], shape (n,)
        UTC; NaT where unknown.
    time : {"month", "exact", "window"}
        The step that contains the sample; with "exact" else the one whose middle is nearest; with "window" that one
        and all whose middle is within `max_days`.
    max_days : float

    Returns
    -------
    Steps

    Examples
    --------
    >>> import xarray as xr
    >>> env = xr.Dataset(coords={"time": pd.date_range("2020-01-05", periods=9, freq="8D")})
    >>> steps = take_steps(env, np.array(["2020-01-25T12"], dtype="datetime64[us]"), time="window", max_days=9)
    >>> steps.first, steps.count, steps.days
    (array([2], dtype=int32), array([2], dtype=int32), array([0.5]))
    """
    start, end = step_bounds(env, months=time == "month")
    middle = start + (end - start) // 2
    step, inside = _containing(start, end, middle, times)
    if time == "window":
        return _window(middle, times, np.where(inside, step, -1), max_days)
    days = np.abs(times - middle[step]) / _DAY
    taken = inside | ((time == "exact") & (days <= max_days))
    kind = np.where(inside, MONTH if time == "month" else COMPOSITE, NEAREST)
    return Steps(
        np.where(taken, step, -1).astype(np.int32),
        taken.astype(np.int32),
        np.where(taken, days, np.nan),
        np.where(taken, kind, NONE).astype(np.int8),
    )


def _containing(start, end, middle, times):
    """The step that contains each time (of several the one with the nearest middle), else the nearest; and which."""

    def holds(step):
        return (start[step] <= times) & (times < end[step])

    after = np.clip(np.searchsorted(middle, times), 0, len(middle) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(middle[after] - times) < np.abs(times - middle[before]), after, before)
    latest = np.maximum(np.searchsorted(start, times, side="right") - 1, 0)
    step = np.where(holds(latest) & ~holds(nearest), latest, nearest)
    return step, holds(step)


def _window(middle, times, own, max_days):
    """All steps whose middles are near enough, and the sample's own one."""
    reach = np.timedelta64(round(min(max_days, _LONGEST_WINDOW_DAYS) * 86_400e6), "us")
    first = np.searchsorted(middle, times - reach, side="left")
    stop = np.searchsorted(middle, times + reach, side="right")
    first, stop = np.where(own >= 0, np.minimum(first, own), first), np.where(own >= 0, np.maximum(stop, own + 1), stop)
    taken = (stop > first) & ~np.isnat(times)
    total = np.concatenate([[0.0], np.cumsum((middle - middle[0]) / _DAY)])
    mean = (total[stop] - total[first]) / np.where(taken, stop - first, 1)
    return Steps(
        np.where(taken, first, -1).astype(np.int32),
        np.where(taken, stop - first, 0).astype(np.int32),
        np.where(taken, np.abs((times - middle[0]) / _DAY - mean), np.nan),
        np.where(taken, WINDOW, NONE).astype(np.int8),
    )
