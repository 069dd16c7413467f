"""Dates of every calendar, decoded from numbers and brought to datetime64."""

import calendar as _calendar
import re
from dataclasses import dataclass

import cftime
import numpy as np
import pandas as pd

from aqqua_science.schema import SchemaError

DAYS_OF_MONTH = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
"""Mean length of the months of the Julian year, in days; they add up to 365.25."""

# Not calendar.month_name, which speaks the language of the locale.
_ENGLISH_MONTHS = ("", "january", "february", "march", "april", "may", "june", "july")
_ENGLISH_MONTHS += ("august", "september", "october", "november", "december")
_YEARS_OF_DATETIME64 = (1678, 2261)


@dataclass(frozen=True)
class Dates:
    """Dates of any calendar: `year`, `month` 1..12 and the elapsed `fraction` of the month, each of shape (n,)."""

    year: np.ndarray
    month: np.ndarray
    fraction: np.ndarray

    @property
    def months(self):
        """Months since the start of year 0, with fraction."""
        return self.year * 12 + self.month - 1 + self.fraction


def month_number(name):
    """
    Number of a month by its English name or abbreviation; None for any other word.

    Parameters
    ----------
    name : str

    Returns
    -------
    int or None

    Examples
    --------
    >>> month_number("Sept."), month_number("marine")
    (9, None)
    """
    word = str(name).strip().strip(".").lower()
    matches = [n for n, month in enumerate(_ENGLISH_MONTHS) if n and len(word) >= 3 and month.startswith(word)]
    return matches[0] if matches else None


def is_date_like(coordinate):
    """
    Whether a variable holds decoded dates, or dates written as numbers such as 20000116.

    Parameters
    ----------
    coordinate : xarray.DataArray (n,)

    Returns
    -------
    bool

    Examples
    --------
    >>> import xarray as xr
    >>> is_date_like(xr.DataArray(np.array(["2000-01-16"], dtype="datetime64[s]"), dims="time"))
    True
    """
    decoded = coordinate.dtype.kind == "M" or (
        coordinate.dtype == object and hasattr(coordinate.values.flat[0], "year")
    )
    return decoded or str(coordinate.attrs.get("units", "")).startswith("day as %Y%m%d")


def read_dates(coordinate, *, units, where="the time axis"):
    """
    Decode numbers, numpy dates or cftime dates.

    Parameters
    ----------
    coordinate : xarray.DataArray (n,)
    units : str
        Such as ``"days since 2000-01-01"``; unused for decoded dates.
    where : str
        How messages call the axis.

    Returns
    -------
    Dates

    Raises
    ------
    SchemaError
        If the units or the calendar cannot be understood.

    Examples
    --------
    >>> import xarray as xr
    >>> dates = read_dates(xr.DataArray([0.0, 45.0], dims="T"), units="days since 15-JAN-1990")
    >>> dates.year.tolist(), dates.month.tolist()
    ([1990, 1990], [1, 3])
    """
    values = coordinate.values
    if pd.isna(values).any():
        msg = f"{where}: the time axis has missing values: {values[:5]}. Drop these steps."
        raise SchemaError(msg)
    if values.dtype.kind == "M":
        return _from_datetime64(values)
    if units.startswith("day as %Y%m%d"):
        days = np.floor(values).astype(np.int64)
        return _from_cftime([cftime.datetime(d // 10000, d // 100 % 100, d % 100) for d in days], values % 1)
    if values.dtype == object:
        return _from_cftime(values)
    return _from_numbers(values.astype(float), units, str(coordinate.attrs.get("calendar", "standard")), where)


def _from_datetime64(values):
    """Split numpy dates."""
    month = values.astype("datetime64[M]")
    start = month.astype("datetime64[ms]")
    length = ((month + 1).astype("datetime64[ms]") - start) / np.timedelta64(1, "ms")
    fraction = (values.astype("datetime64[ms]") - start) / np.timedelta64(1, "ms") / length
    count = month.astype(np.int64)
    return Dates(1970 + count // 12, count % 12 + 1, fraction)


def _from_cftime(dates, extra_days=0.0):
    """Split cftime dates by the month lengths that `read_time_axis` documents."""
    year, month = (np.array([getattr(d, part) for d in dates], dtype=np.int64) for part in ("year", "month"))
    seconds = np.array([d.hour * 3600 + d.minute * 60 + d.second + d.microsecond / 1e6 for d in dates])
    elapsed = np.array([d.day - 1 for d in dates]) + seconds / 86400 + extra_days
    return Dates(year, month, elapsed / [_month_length(d) for d in dates])


def _month_length(date):
    """Days of the month that the fraction counts in."""
    if date.calendar == "360_day":
        return 30
    year = 4 if date.calendar in ("all_leap", "366_day") else date.year
    # The julian calendar has days that the Gregorian one lacks, such as 29 February 1900.
    return max(_gregorian_length(year, date.month), date.day)


def _gregorian_length(year, month):
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _calendar.mdays[month] + leap


def _from_numbers(values, units, calendar, where):
    """Decode numbers since a reference date."""
    step, reference = re.split(r"\s+since\s+", units.strip(), maxsplit=1, flags=re.IGNORECASE)
    reference = _iso_reference(reference, where)
    if step.lower() in ("month", "months", "mon", "year", "years", "common_year", "common_years"):
        start = _decode([0.0], "days", reference, calendar, where)
        months = start.months + values * (1 if step.lower().startswith("mon") else 12)
        return Dates(
            np.floor(months / 12).astype(np.int64), np.floor(months).astype(np.int64) % 12 + 1, np.mod(months, 1)
        )
    return _decode(values, step, reference, calendar, where)


def _decode(values, step, reference, calendar, where):
    """Let cftime do the arithmetic; year 0, which the standard calendar lacks, goes by the proleptic one."""
    calendar = calendar.lower()
    if int(reference.split("-")[0] or 1) == 0 and calendar in ("standard", "gregorian", "julian", "none", ""):
        calendar = "proleptic_gregorian"
    try:
        with np.errstate(invalid="ignore"):
            dates = cftime.num2date(
                values,
                f"{step.lower()} since {reference}",
                calendar="standard" if calendar in ("none", "") else calendar,
                only_use_cftime_datetimes=True,
                has_year_zero=True if calendar == "proleptic_gregorian" else None,
            )
    except (ValueError, TypeError, OverflowError) as error:
        msg = (
            f"{where}: the time units '{step} since {reference}' with calendar {calendar!r} cannot be decoded "
            f"({error}). Correct the attributes 'units' and 'calendar', e.g. with xarray, and pass the Dataset."
        )
        raise SchemaError(msg) from error
    return _from_cftime(np.ravel(dates))


def _iso_reference(reference, where):
    """Write reference dates such as ``1-1-1``, ``15-JAN-1990``, ``01-01-1990`` and ``01-Jan`` as ISO 8601 has them."""
    date, _, rest = reference.strip().replace("T", " ", 1 if re.match(r"[-\d]+T\d", reference) else 0).partition(" ")
    date = re.sub(r"[A-Za-z]{3,}", lambda name: str(month_number(name[0]) or name[0]), date)
    parts = re.fullmatch(r"(-?\d+)[-/](\d+)(?:[-/](\d+))?", date)
    year_last = parts and parts[3] and len(parts[3]) == 4 and len(parts[1]) <= 2
    unclear = year_last and int(parts[2]) <= 12 and int(parts[1]) <= 12 and int(parts[1]) != int(parts[2])
    if parts is None or (unclear and re.search(r"[A-Za-z]", reference.split(" ")[0]) is None):
        msg = (
            f"{where}: the reference date {reference!r} must be written year-month-day. "
            "Correct the attribute 'units' of the time axis with xarray and pass the Dataset."
        )
        raise SchemaError(msg)
    year, month, day = _ordered(parts, year_last)
    return f"{year:04d}-{max(month, 1):02d}-{max(day, 1):02d}" + (f" {rest}" if rest else "")


def _ordered(parts, year_last):
    """Year, month and day of a matched reference date."""
    first, second, third = (int(part) if part else None for part in parts.groups())
    if year_last:
        return (third, second, first) if second <= 12 else (third, first, second)
    if third is None:
        # "01-Jan": a day and a month without a year, as climatologies of the IRI Data Library have them.
        return (0, second, first) if abs(first) <= 31 else (first, second, 1)
    return first, second, third


def as_datetime64(dates, *, where="the time axis"):
    """
    Turn dates into datetime64[ns].

    Parameters
    ----------
    dates : Dates
    where : str
        How messages call the axis.

    Returns
    -------
    numpy.ndarray of datetime64[ns] (n,)

    Raises
    ------
    SchemaError
        If a year is outside 1678..2261.

    Examples
    --------
    >>> as_datetime64(Dates(np.array([2000]), np.array([2]), np.array([0.5]))).astype("datetime64[h]")
    array(['2000-02-15T12'], dtype='datetime64[h]')
    """
    low, high = _YEARS_OF_DATETIME64
    if dates.year.min() < low or dates.year.max() > high:
        msg = (
            f"{where}: dates must lie in the years {low}..{high}; found {dates.year.min()}..{dates.year.max()}. "
            "If the axis holds months of the year, rename it to 'month' with values 1..12."
        )
        raise SchemaError(msg)
    month = (dates.year * 12 + dates.month - 1 - 1970 * 12).astype("datetime64[M]")
    start = month.astype("datetime64[ms]")
    length = ((month + 1).astype("datetime64[ms]") - start) / np.timedelta64(1, "ms")
    return (start + np.round(dates.fraction * length).astype("timedelta64[ms]")).astype("datetime64[ns]")
