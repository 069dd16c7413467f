"""Time axes: months of the year or dates, and how to tell which."""

import re

import numpy as np

from aqqua_science.grids.calendars import as_datetime64, is_date_like, month_number, read_dates
from aqqua_science.schema import SchemaError

MONTH_NAMES = re.compile(r"(clim\w*_?)?mon(th)?s?(_?(of_?year|number|num|no|index))?", re.IGNORECASE)
"""Names of axes and units that hold numbers of months."""

_CLIMATOLOGY_WORDS = re.compile(r"climatolog|long[ -_]term mean|within years|over years", re.IGNORECASE)


def read_time_axis(coordinate, *, bounds=None, hints="", where="the time axis"):
    """
    Read a time axis as months of the year or as dates.

    Parameters
    ----------
    coordinate : xarray.DataArray (n,)
        Raw numbers with their attributes ``units`` and ``calendar``, or decoded dates of numpy or cftime.
    bounds : xarray.DataArray (n, 2), optional
        Bounds of each step.
    hints : str
        Words of the file that may say that it holds a climatology: its title, long names, cell methods.
    where : str
        How messages call the axis.

    Returns
    -------
    name : {"month", "time"} or None
        None for a mean over whole years, which has no time axis.
    values : numpy.ndarray (n,)
        Months 1..12, or datetime64[ns] in UTC.

    Raises
    ------
    SchemaError
        If the units, the calendar or the steps cannot be understood.

    Notes
    -----
    An axis holds months of the year when it is so named, when it has the CF attribute ``climatology`` or Ferret's
    ``modulo``, when its years are 0 or 1, or when it is at most one year long and the file calls itself a climatology.
    Everything else holds dates. Months and years "since" are calendar months and years, never means of 30.44 days.
    A date that exists in the Gregorian calendar is kept, whatever its calendar (365_day, julian); of the calendars
    360_day and 366_day, whose months are longer, the date keeps its year, its month and its fraction of the month.

    Examples
    --------
    >>> import xarray as xr
    >>> axis = xr.DataArray([0.5, 1.5], dims="T", attrs={"units": "months since 1960-01-01"})
    >>> name, values = read_time_axis(axis)
    >>> name, values.astype("datetime64[D]").tolist()
    ('time', [datetime.date(1960, 1, 16), datetime.date(1960, 2, 15)])
    """
    units = str(coordinate.attrs.get("units", ""))
    if " since " not in units.lower() and not is_date_like(coordinate):
        return "month", _read_month_numbers(coordinate, where)
    dates = read_dates(coordinate, units=units, where=where)
    if not _is_climatology(coordinate, dates, hints):
        return "time", as_datetime64(dates, where=where)
    months = _climatology_months(coordinate, dates, bounds=bounds, where=where)
    return (None, None) if months is None else ("month", months)


def _read_month_numbers(coordinate, where):
    """Read 1..12, 0..11, 0.5..11.5 or names of months, where the axis is called month or counts in months."""
    values = coordinate.values
    if values.dtype.kind in "OUST":
        return _checked_months(np.array([month_number(value) or 0 for value in values]), values, where)
    names_months = MONTH_NAMES.fullmatch(str(coordinate.name or "")) or MONTH_NAMES.fullmatch(
        str(coordinate.attrs.get("units", ""))
    )
    if not names_months:
        msg = (
            f"{where}: the time axis must have units such as 'days since 2000-01-01'; its units are "
            f"{coordinate.attrs.get('units', 'absent')!r} and its first values {values[:3]}. Set its attribute "
            "'units', or rename it to 'month' if it holds 1..12."
        )
        raise SchemaError(msg)
    counts_from_zero = values.min() < 1 and (values.size == 12 or (values % 1 == 0.5).all())
    return _checked_months(np.floor(values) + counts_from_zero, values, where)


def _checked_months(months, values, where):
    """Months as integers, unless one lies outside 1..12 or comes twice."""
    months = np.asarray(months)
    if not (np.isin(months, range(1, 13)).all() and np.unique(months).size == months.size):
        msg = (
            f"{where}: months of the year must be 1..12, each once; found {list(values[:13])}. "
            "Average the steps to months, or give the axis dates."
        )
        raise SchemaError(msg)
    return months.astype(np.int64)


def _is_climatology(coordinate, dates, hints):
    """Whether dates stand for months of any year."""
    said = {**coordinate.encoding, **coordinate.attrs}
    if "climatology" in said or dates.year.max() <= 1:
        return True
    if "modulo" in said and dates.year.size <= 12:
        return True
    words = f"{said.get('long_name', '')} {hints}"
    one_year = np.ptp(dates.months) < 12
    return bool(one_year and _CLIMATOLOGY_WORDS.search(words) and not re.search("anomal", words, re.IGNORECASE))


def _climatology_months(coordinate, dates, *, bounds, where):
    """Months of the steps of a climatology; None where the one step is a mean of whole years."""
    span = None if bounds is None else _bounds_in_months(coordinate, bounds, where)
    if span is not None:
        start, duration = span
        if ((duration > 0.5) & (duration < 1.5)).all():
            return _checked_months(np.floor(start + duration / 2) % 12 + 1, coordinate.values, where)
        if start.size == 1 and min(duration[0], 12 - duration[0]) < 0.1:
            return None
        if ((duration >= 1.5) & (duration < 11.5)).any():
            raise SchemaError(_not_monthly(where, f"covers {duration.max():.3g} months"))
    steps = np.diff(dates.months)
    if steps.size and not (np.abs(np.mod(steps, 12) - 1) < 0.15).all():
        raise SchemaError(_not_monthly(where, f"are {steps.min():.3g} to {steps.max():.3g} months apart"))
    # Even steps of 30.4 days put two starts of months into one month; the first step tells the order.
    months = (dates.month[0] - 1 + np.arange(dates.month.size)) % 12 + 1
    return _checked_months(months, coordinate.values, where)


def _not_monthly(where, found):
    return (
        f"{where}: a climatology must have steps of one month, or one step of whole years; its steps {found}. "
        "Open the monthly or the annual files, or average to months."
    )


def read_bound_dates(coordinate, bounds, where):
    """
    Read the bounds of a time axis as dates.

    Parameters
    ----------
    coordinate : xarray.DataArray (n,)
    bounds : xarray.DataArray (n, 2)
        Their attributes win over those of the axis.
    where : str
        How messages call the axis.

    Returns
    -------
    list of calendars.Dates or None
        Beginnings and ends; None where they are no dates.

    Examples
    --------
    >>> import xarray as xr
    >>> axis = xr.DataArray([0.5], dims="t", attrs={"units": "days since 2000-01-01"})
    >>> [int(side.month[0]) for side in read_bound_dates(axis, xr.DataArray([[0, 31]], dims=("t", "side")), "chl.nc")]
    [1, 2]
    """
    units = str(bounds.attrs.get("units", coordinate.attrs.get("units", "")))
    attrs = {**coordinate.attrs, **bounds.attrs}
    if " since " not in units.lower() and not is_date_like(bounds):
        return None
    return [read_dates(bounds[:, side].assign_attrs(attrs), units=units, where=where) for side in (0, 1)]


def _bounds_in_months(coordinate, bounds, where):
    """Start of each step and its length within the year, both in months."""
    sides = read_bound_dates(coordinate, bounds, where)
    if sides is None:
        return None
    start, end = (side.months for side in sides)
    return start, np.mod(end - start, 12)
