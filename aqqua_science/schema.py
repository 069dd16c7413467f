"""The vocabulary: names, units and limits of the columns that pass between the rungs."""

import difflib
from dataclasses import dataclass

import numpy as np
import pandas as pd


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
    "volume_m3": Column("m3", "sampled volume", np.nextafter(0, 1), np.inf, "A sample of no volume has seen nothing."),
    "water": Column("1", "kind of water: sea, lake or river"),
    "sample_id": Column("1", "identifier of a volume of water"),
    "object_id": Column("1", "identifier of an organism or particle"),
    "taxon": Column("1", "name of the taxon"),
    "esd_um": Column("um", "equivalent spherical diameter", 0),
    "carbon_ug": Column("ug", "carbon of one object", 0),
}
"""Every column name with a fixed meaning. Units are part of the contract, not a hint."""


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
        ``" Did you mean 'x'?"``, or an empty string when nothing is close.

    Examples
    --------
    >>> nearest_name("latitute", ["latitude", "longitude"])
    " Did you mean 'latitude'?"
    """
    close = difflib.get_close_matches(str(name), [str(n) for n in names], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


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
    require_columns(table, [*required, *unique])
    reason = np.full(len(table), "", dtype=object)

    def mark(rows, texts):
        fresh = rows & (reason == "")
        reason[fresh] = np.broadcast_to(texts, len(table))[fresh]

    for name in required:
        mark(table[name].isna().to_numpy(), f"{name} is missing")
    for name, column in VOCABULARY.items():
        if name not in table.columns or not np.isfinite([column.lower, column.upper]).any():
            continue
        if not pd.api.types.is_numeric_dtype(table[name]):
            value = next((v for v in table[name] if pd.isna(pd.to_numeric(v, errors="coerce"))), table[name].iloc[0])
            msg = (
                f"{name} must be numeric ({column.units}); found {value!r}. Convert the column with pandas.to_numeric."
            )
            raise SchemaError(msg)
        values = table[name].to_numpy(dtype=float)
        outside = (values < column.lower) | (values > column.upper)
        limits = f"{column.lower:g}..{column.upper:g} {column.units}"
        mark(
            outside,
            np.array([f"{name} {v:g} is outside {limits}" for v in values], dtype=object) if outside.any() else "",
        )
    if unique:
        mark(table.duplicated(list(unique)).to_numpy(), f"duplicate of an earlier row in {', '.join(unique)}")
    bad = reason != ""
    return pd.Series(reason[bad], index=table.index[bad], name="reason", dtype=object)


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
    msg = (
        f"{len(bad)} of {len(table)} rows are unusable; row {bad.index[0]}: {first}. "
        f"{column.remedy if column else 'Correct or drop these rows.'} "
        "schema.screen(table) splits them off with their reasons."
    )
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
    bad = faults(table, required=required, unique=unique)
    good = ~table.index.isin(bad.index) if table.index.is_unique else None
    if good is None:
        msg = "the table's index has doubled labels. Call table.reset_index(drop=True) first."
        raise SchemaError(msg)
    return table[good], table[~good].assign(reason=bad)
