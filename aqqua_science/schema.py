"""The vocabulary: names, units and limits of the columns that pass between the rungs."""

import difflib
from dataclasses import dataclass

import numpy as np
import pandas as pd

_POSITIVE = np.nextafter(0, 1)


class SchemaError(ValueError):
    """A table or file breaks the vocabulary; the message tells value, rule and remedy."""


@dataclass(frozen=True)
class Column:
    """Meaning of one column."""

    units: str
    description: str
    lower: float = -np.inf
    upper: float = np.inf
    remedy: str = "Correct or drop these rows."
    values: tuple = ()

    @property
    def rule(self):
        """What is wrong with a value beyond the limits, as the end of a sentence."""
        if self.lower == _POSITIVE and np.isfinite(self.upper):
            return f"is not above 0 and at most {self.upper:g} {self.units}"
        if np.isfinite(self.upper):
            return f"is outside {self.lower:g}..{self.upper:g} {self.units}"
        if self.lower == _POSITIVE:
            return f"is not above 0 {self.units}"
        return f"is not at least {self.lower:g} {self.units}"


VOCABULARY = {
    "latitude": Column("degrees_north", "latitude", -90, 90, "Are latitude and longitude swapped?"),
    "longitude": Column("degrees_east", "longitude, -180..180", -180, 180, "Pass (longitude + 180) % 360 - 180."),
    "depth": Column(
        "m", "depth below the surface, positive down", 0, 11_050, "If your depths are altitudes, pass -depth."
    ),
    "depth_min": Column("m", "upper bound of the layer", 0, 11_050, "If your depths are altitudes, pass -depth_max."),
    "depth_max": Column("m", "lower bound of the layer", 0, 11_050, "If your depths are altitudes, pass -depth_min."),
    "month": Column("1", "month of the year, 1..12", 1, 12),
    "time": Column("UTC", "date and time"),
    "volume_m3": Column("m3", "sampled volume", _POSITIVE, np.inf, "A sample of no volume has seen nothing."),
    "water": Column("1", "kind of water; nothing means the sea", values=("sea", "lake", "river")),
    "surface_altitude_m": Column("m", "altitude of the surface of an inland water above the sea", -500, 9_000),
    "sample_id": Column("1", "identifier of a volume of water"),
    "acquisition_id": Column("1", "identifier of one run of an instrument on a sample"),
    "object_id": Column("1", "identifier of an organism or particle"),
    "image_rank": Column("1", "which of several images of an object, from 0", 0, 32_767),
    "instrument": Column("1", "name of the instrument, such as UVP6"),
    "pixel_size_um": Column("um", "side of a pixel of this image in the water", _POSITIVE, 1e5, "Give micrometres."),
    "bit_depth": Column("1", "bits of a grey level that the camera used", 1, 64),
    "licence": Column("1", "licence of the image, such as CC BY 4.0"),
    "taxon": Column("1", "name of the taxon"),
    "taxon_status": Column("1", "who named the taxon", values=("validated", "predicted", "dubious")),
    "subsample_fraction": Column(
        "1", "share of the sample that was looked at", _POSITIVE, 1, "It is 1 / acq_sub_part of EcoTaxa's tables."
    ),
    "esd_um": Column("um", "equivalent spherical diameter", 0),
    "area_um2": Column("um2", "area of the outline", 0),
    "biovolume_um3": Column("um3", "volume of the body", 0),
    "n_cells": Column("1", "cells of a chain or colony", 1),
    "carbon_ug": Column("ug", "carbon of one object", 0),
}
"""Every column name with a fixed meaning. Units are part of the contract, not a hint."""


ALIASES = {
    "latitude": ("lat", "decimalLatitude", "object_lat", "Latitude", "LATITUDE", "LAT", "Lat"),
    "longitude": ("lon", "lng", "long", "decimalLongitude", "object_lon", "Longitude", "LONGITUDE", "LON", "Lon"),
    "depth": ("Depth", "depth_m", "DEPTH", "Depth [m]"),
    "depth_min": ("object_depth_min", "minimumDepthInMeters"),
    "depth_max": ("object_depth_max", "maximumDepthInMeters"),
    "time": ("datetime", "date_time", "date", "eventDate", "Date/Time", "TIME"),
}
"""Other names under which well-known tables (EcoTaxa, Darwin Core, PANGAEA) keep these columns."""


def nearest_name(name, names):
    """
    Name the closest of some names, as a hint after a misspelling.

    Parameters
    ----------
    name : str
    names : iterable of str

    Returns
    -------
    str
        ``" Did you mean 'x'?"``, or an empty string when nothing is close; capitals make no difference.

    Examples
    --------
    >>> nearest_name("latitud", ["latitude", "longitude"])
    " Did you mean 'latitude'?"
    >>> nearest_name("SALPIDA", ["Copepoda", "Salpida"])
    " Did you mean 'Salpida'?"
    """
    written = {str(n).casefold(): str(n) for n in names}
    close = difflib.get_close_matches(str(name).casefold(), written, n=1)
    return f" Did you mean {written[close[0]]!r}?" if close else ""


def add_standard_names(table):
    """
    Give columns that go by a well-known other name their standard name as well.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
        With a column more for each name of `ALIASES` that was found; present standard columns win.

    Examples
    --------
    >>> list(add_standard_names(pd.DataFrame({"object_lat": [1.0], "object_lon": [2.0]})))
    ['object_lat', 'object_lon', 'latitude', 'longitude']
    """
    found = {name: next((a for a in aliases if a in table.columns), None) for name, aliases in ALIASES.items()}
    return table.assign(**{n: table[a] for n, a in found.items() if a is not None and n not in table.columns})


def require_columns(table, names, *, what="the table"):
    """
    Refuse a table that lacks a column.

    Parameters
    ----------
    table : pandas.DataFrame
    names : iterable of str
    what : str
        How the message calls the table.

    Raises
    ------
    SchemaError
        Naming the first missing column, the nearest present one, and all columns.

    Examples
    --------
    >>> require_columns(pd.DataFrame({"latitude": [0.0]}), ["latitude"])
    """
    for name in names:
        if name not in table.columns:
            msg = (
                f"{what} has no column {name!r}.{nearest_name(name, table.columns)} "
                f"Its columns are: {', '.join(map(str, table.columns))}."
            )
            raise SchemaError(msg)


def require_known(table, names):
    """
    Refuse a table with rows that do not tell what they belong to.

    Parameters
    ----------
    table : pandas.DataFrame
    names : list of str
        Columns of the table.

    Raises
    ------
    SchemaError
        Naming the first such column and row.

    Examples
    --------
    >>> require_known(pd.DataFrame({"station": ["a", "b"]}), ["station"])
    """
    for name in names:
        missing = table[name].isna().to_numpy()
        if missing.any():
            first = table.index[missing][0]
            msg = f"{name} is missing in {missing.sum()} of {len(table)} rows, the first is {first}. Fill or drop them."
            raise SchemaError(msg)


def faults(table, *, required=("latitude", "longitude"), unique=()):
    """
    Find the rows that break the vocabulary.

    Parameters
    ----------
    table : pandas.DataFrame
    required : iterable of str
        Columns that may not be missing (NaN) in any row.
    unique : list of str
        Columns that together identify a row; of doubled rows all but the first are at fault.

    Returns
    -------
    pandas.Series of str
        One reason per faulty row, indexed like `table`; empty when all is well.

    Raises
    ------
    SchemaError
        If a required column is absent or a limited column is not numeric.

    Examples
    --------
    >>> faults(pd.DataFrame({"latitude": [91.0, 45.0], "longitude": [0.0, 0.0]})).to_dict()
    {0: 'latitude 91 is outside -90..90 degrees_north'}
    """
    reason = _reasons(table, required, unique)
    bad = reason != ""
    return pd.Series(reason[bad], index=table.index[bad], name="reason", dtype=object)


def _reasons(table, required, unique):
    """One reason per row, empty where it is good; of several rules the first that is broken."""
    require_columns(table, [*required, *unique])
    reason = np.full(len(table), "", dtype=object)
    for name in required:
        reason[table[name].isna().to_numpy() & (reason == "")] = f"{name} is missing"
    for name, column in VOCABULARY.items():
        if name not in table.columns or not np.isfinite([column.lower, column.upper]).any():
            continue
        values = _numbers(table[name], column.units)
        outside = (values < column.lower) | (values > column.upper) | np.isinf(values)
        fresh = outside & (reason == "")
        reason[fresh] = [f"{name} {_broken_rule(v, column)}" for v in values[fresh]]
    if unique:
        doubled = table.duplicated(list(unique)).to_numpy() & (reason == "")
        reason[doubled] = f"duplicate of an earlier row in {', '.join(unique)}"
    return reason


def _numbers(values, units):
    """A column as float array; NaN where nothing is given."""
    present = values.dropna()
    if len(present) and not pd.api.types.is_numeric_dtype(values):
        strange = present[pd.to_numeric(present, errors="coerce").isna()]
        value = (strange if len(strange) else present).iloc[0]
        msg = (
            f"{values.name} must be numeric ({units}); found {value!r} in a column of type {values.dtype}. "
            "Convert the column with pandas.to_numeric."
        )
        raise SchemaError(msg)
    return pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan)


def _broken_rule(value, column):
    """The value and the rule, with as many digits as tell them apart."""
    text = f"{value:g}"
    text = text if float(text) == value else repr(float(value))
    return f"{text} {'is not finite' if np.isinf(value) else column.rule}"


def check(table, *, required=("latitude", "longitude"), unique=()):
    """
    Refuse a table with any row that breaks the vocabulary.

    Parameters
    ----------
    table : pandas.DataFrame
    required, unique
        As in `faults`.

    Raises
    ------
    SchemaError
        With the number of bad rows, the first of them, the rule and the remedy.

    Examples
    --------
    >>> check(pd.DataFrame({"latitude": [45.0], "longitude": [0.0]}))
    """
    bad = faults(table, required=required, unique=unique)
    if bad.empty:
        return
    first = bad.iloc[0]
    column = VOCABULARY.get(first.split(" ")[0])
    remedy = column.remedy if column and first.endswith(column.rule) else Column.remedy
    msg = (
        f"{len(bad)} of {len(table)} rows are unusable; row {bad.index[0]}: {first}. {remedy} "
        "schema.screen(table) splits them off with their reasons."
    )
    raise SchemaError(msg)


def refuse_columns(table, names, *, what="samples", remedy="Drop or rename it."):
    """
    Refuse a table that has a column of a name that is to be added.

    Parameters
    ----------
    table : pandas.DataFrame
    names : iterable of str
    what, remedy : str
        How messages call the table, and what they advise; ``{name!r}`` stands for the column.

    Raises
    ------
    SchemaError

    Examples
    --------
    >>> refuse_columns(pd.DataFrame({"sst": [1.0]}), ["sst"])
    Traceback (most recent call last):
    ...
    aqqua_science.schema.SchemaError: samples already have a column 'sst', which would be overwritten. ...
    """
    for name in names:
        if name in table.columns:
            msg = f"{what} already have a column {name!r}, which would be overwritten. {remedy.format(name=name)}"
            raise SchemaError(msg)


def screen(table, *, required=("latitude", "longitude"), unique=()):
    """
    Split a table into rows that can be used and rows that cannot.

    Parameters
    ----------
    table : pandas.DataFrame
    required, unique
        As in `faults`.

    Returns
    -------
    accepted, rejected : pandas.DataFrame
        Together they hold every row of `table`; `rejected` has a column ``reason``.

    Examples
    --------
    >>> accepted, rejected = screen(pd.DataFrame({"latitude": [91.0, 45.0], "longitude": [0.0, 0.0]}))
    >>> rejected["reason"].item()
    'latitude 91 is outside -90..90 degrees_north'
    """
    reason = _reasons(table, required, unique)
    good = reason == ""
    return table[good], table[~good].assign(reason=reason[~good])
