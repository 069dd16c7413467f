"""The text tables of EcoPart, read whole: fast, as text, with the ragged lines named."""

import csv
import io
import re

import numpy as np
import pandas as pd

from aqqua_science.schema import SchemaError
from aqqua_science.sources.tables import MISSING, decode_text, separator_of

MAX_BYTES = 2**30
"""Of one table."""


def load_table(content, *, what):
    r"""
    Read a table: tab-separated, or in the format of Ocean Data View (ODV) with its comments and blank metadata.

    Parameters
    ----------
    content : bytes
        Latin-1 or UTF-8.
    what : str
        How messages call the table.

    Returns
    -------
    table : pandas.DataFrame
        Text; the index is the line of the file.
    rejected : pandas.DataFrame
        ``line`` and ``reason`` of lines that have more or fewer fields than the header.

    Raises
    ------
    SchemaError
        If there is no header, or it names a column twice.

    Examples
    --------
    >>> table, rejected = load_table(b"Profile\tDepth [m]\na\t2.5\nb\n", what="a.tsv")
    >>> table.to_dict("records"), rejected["reason"].tolist()
    ([{'Profile': 'a', 'Depth [m]': '2.5'}], ['a ragged line: 1 fields where the header has 2'])
    """
    # EcoPart quotes some texts, but never to hide a separator or a line end.
    lines = decode_text(content).replace('"', "").replace("\r\n", "\n").split("\n")
    numbered = [(i, line) for i, line in enumerate(lines, 1) if line.strip() and not line.startswith("//")]
    if not numbered:
        msg = f"{what} has no header: it is empty. Copy it again from its origin."
        raise SchemaError(msg)
    separator = separator_of(numbered[0][1])
    columns = _column_names(numbered[0][1].split(separator), what)
    good, rejected = _split_ragged(numbered[1:], separator, len(columns))
    table = _parse(good, separator, columns)
    return (_fill_profiles(table) if any(":METAVAR" in line for _, line in numbered[:1]) else table), rejected


def _column_names(fields, what):
    """Names of the columns, without the types that ODV adds."""
    names = [re.sub(r":(?:METAVAR|PRIMARYVAR).*", "", field).strip() for field in fields]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        msg = f"{what} names the column {doubled!r} twice. The header must name every column once."
        raise SchemaError(msg)
    return names


def _split_ragged(numbered, separator, n_columns):
    """Lines as wide as the header, and what is wrong with the others."""
    found = [(i, line, line.count(separator) + 1) for i, line in numbered]
    good = [(i, line) for i, line, n in found if n == n_columns and "\0" not in line]
    bad = [
        (i, "NUL characters: the line is damaged" if "\0" in line else _ragged(n, n_columns))
        for i, line, n in found
        if n != n_columns or "\0" in line
    ]
    return good, pd.DataFrame(bad, columns=["line", "reason"])


def _ragged(n, n_columns):
    return f"a ragged line: {n} fields where the header has {n_columns}"


def _parse(numbered, separator, columns):
    """Lines of equal width as a table of text."""
    index = pd.Index([i for i, _ in numbered], name="line", dtype=int)
    if not numbered:
        return pd.DataFrame(columns=columns, index=index, dtype=str)
    options = {"sep": separator, "header": None, "dtype": str, "na_filter": False, "quoting": csv.QUOTE_NONE}
    text = "\n".join(line.replace("\r", " ") for _, line in numbered)
    table = pd.read_csv(io.StringIO(text), engine="c", skip_blank_lines=False, **options)
    table.columns, table.index = columns, index
    return table


def _fill_profiles(table):
    """ODV writes the metadata of a profile on its first line only: repeat them on the others."""
    names = ["Cruise", "Site", "Station", "DataOwner", "Rawfilename", "Instrument", "SN"]
    names += ["yyyy-mm-dd hh:mm", "Latitude [degrees_north]", "Longitude [degrees_east]"]
    names = [name for name in names if name in table]
    starts = (table.get("Station", pd.Series("", index=table.index)) != "").cumsum()
    first = table.groupby(starts)[names].transform("first")
    return table.assign(**{name: table[name].where(table[name] != "", first[name]) for name in names})


def to_numbers(column):
    """
    Read a column of text as numbers.

    Parameters
    ----------
    column : pandas.Series of str
        With decimal points or commas.

    Returns
    -------
    pandas.Series of float
        NaN where there is nothing, infinite where there is something else than a number.

    Examples
    --------
    >>> to_numbers(pd.Series(["2,5", "", "x"])).tolist()
    [2.5, nan, inf]
    """
    numbers = pd.to_numeric(column, errors="coerce")
    unread = numbers.isna() & (column.str.strip() != "")
    if unread.any():
        rest = column[unread].str.strip()
        commas = pd.to_numeric(rest.str.replace(",", "."), errors="coerce").fillna(np.inf)
        numbers = numbers.astype(float)
        numbers[unread] = commas.where(~rest.str.lower().isin(MISSING), np.nan)
    return numbers.astype(float)


def to_times(column):
    """
    Read a column of text as times, UTC.

    Parameters
    ----------
    column : pandas.Series of str
        ISO 8601, to the minute, second or less.

    Returns
    -------
    pandas.Series of datetime64
        NaT where it is none.

    Examples
    --------
    >>> to_times(pd.Series(["2019-11-21 01:00", "2020-07-07T06:06:38.000Z", ""])).tolist()
    [Timestamp('2019-11-21 01:00:00'), Timestamp('2020-07-07 06:06:38'), NaT]
    """
    times = pd.to_datetime(column.where(column != "", None), format="ISO8601", errors="coerce", utc=True)
    return times.dt.tz_localize(None).astype("datetime64[ns]")
