"""The columns of converted metadata: from a source's records to typed values, and why a record is refused."""

import numpy as np
import pandas as pd
import pyarrow as pa

from aqqua_science.schema import VOCABULARY, nearest_name
from aqqua_science.sources.instruments import instrument_name

TYPES = {
    "object_id": pa.string(),
    "image_rank": pa.int16(),
    "sample_id": pa.string(),
    "acquisition_id": pa.string(),
    "time": pa.timestamp("us"),
    "latitude": pa.float64(),
    "longitude": pa.float64(),
    "depth": pa.float64(),
    "depth_min": pa.float64(),
    "depth_max": pa.float64(),
    "surface_altitude_m": pa.float64(),
    "water": pa.string(),
    "instrument": pa.string(),
    "pixel_size_um": pa.float64(),
    "bit_depth": pa.int16(),
    "licence": pa.string(),
    "volume_m3": pa.float64(),
    "taxon": pa.string(),
    "taxon_status": pa.string(),
}
"""What a source or a default may give, with its type in Parquet."""

PICTURE_TYPES = {
    "height": pa.int32(),
    "width": pa.int32(),
    "channels": pa.int16(),
    "dtype": pa.string(),
    "pixel_hash": pa.uint64(),
    "supplied": pa.string(),
    "origin": pa.string(),
}
"""What ingestion adds: the picture, which values a default supplied, and the file and row it comes from."""

REQUIRED = ("object_id", "time", "latitude", "longitude", "depth", "pixel_size_um", "instrument", "licence")
"""Without one of these an image is not ingested."""

PREFIXES = {"aux_": pa.float64(), "trait_": pa.string()}
"""Free columns: auxiliary signals are numbers, traits are text."""

_EARLIEST, _LATEST = np.datetime64("1800-01-01", "us"), np.datetime64("2200-01-01", "us")


def check_names(names, *, option):
    """
    Refuse names of columns that a user cannot give.

    Parameters
    ----------
    names : iterable of str
    option : str
        How the message calls where they stand.

    Raises
    ------
    ValueError
        Naming the first unknown one and the nearest known.
    """
    for name in names:
        if type_of(name) is None:
            msg = f"{option} names {name!r}, which is no column of a store.{nearest_name(name, TYPES)} Known are: "
            raise ValueError(msg + f"{', '.join(TYPES)}, and anything that begins with aux_ or trait_.")


def type_of(name):
    """
    Type of a column of converted metadata.

    Parameters
    ----------
    name : str

    Returns
    -------
    pyarrow.DataType or None
        None for names that the format does not have.
    """
    known = TYPES.get(name) or PICTURE_TYPES.get(name)
    return known or next((t for prefix, t in PREFIXES.items() if name.startswith(prefix)), None)


def convert(records, *, defaults=None, columns=None):
    """
    Turn the metadata of records into typed columns.

    Parameters
    ----------
    records : list of sources.Record
    defaults : dict, optional
        Column -> value for records that lack it.
    columns : dict, optional
        Column -> name of the raw column that holds it, which goes before what the source found out.

    Returns
    -------
    table : pandas.DataFrame
        One row per record, with all of `TYPES` and the free columns found, and ``supplied``: the names that a
        default supplied.
    reasons : list of str
        Why a record is refused, as ``"reason: particulars"``; empty where it is good.
    """
    reasons = [record.fault for record in records]
    names = dict.fromkeys(
        [*TYPES, *sorted({k for r in records for k in r.metadata} | {*(columns or ()), *(defaults or ())})]
    )
    table = {}
    supplied = [[] for _ in records]
    for name in names:
        dtype = type_of(name)
        if dtype is None:
            continue
        values = _values(records, name, (columns or {}).get(name))
        default = (defaults or {}).get(name)
        if default is not None:
            for i in np.flatnonzero([value is None for value in values]):
                values[i] = default
                supplied[i].append(name)
        table[name] = _typed(name, values, dtype, reasons)
    _require(table, reasons)
    return pd.DataFrame(table).assign(supplied=[" ".join(s) or None for s in supplied]), reasons


def _values(records, name, column):
    """What is given for one column, None where nothing is."""
    values = [r.metadata.get(name) for r in records]
    if column is not None:
        mapped = [r.raw.get(column) for r in records]
        values = [v if _is_nothing(m) else m for v, m in zip(values, mapped, strict=True)]
    return [None if _is_nothing(v) else v for v in values]


def _is_nothing(value):
    if value is None or value is pd.NaT:
        return True
    if isinstance(value, str):
        return value.strip().lower() in ("", "nan", "na", "null", "none")
    return isinstance(value, float | np.floating) and value != value


def _typed(name, values, dtype, reasons):
    """Values of one column in its type; what does not fit is a reason for refusal."""
    if pa.types.is_timestamp(dtype):
        return _times(name, values, reasons)
    if pa.types.is_string(dtype):
        return _texts(name, values, reasons)
    return _numbers(name, values, reasons, whole=pa.types.is_integer(dtype))


def _texts(name, values, reasons):
    allowed = VOCABULARY[name].values if name in VOCABULARY else ()
    texts = [None if v is None else str(v).strip().replace("\0", "") for v in values]
    if name == "instrument":
        texts = [t and instrument_name(t) for t in texts]
    if allowed:
        texts = [None if t is None else t.lower() for t in texts]
        for i, text in enumerate(texts):
            if text is not None and text not in allowed:
                _refuse(reasons, i, f"{name} is none of {', '.join(allowed)}: {text!r}")
    return pd.array(texts, dtype=object)


def _numbers(name, values, reasons, *, whole):
    numbers = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        if value is None:
            continue
        try:
            numbers[i] = float(value)
        except (TypeError, ValueError):
            _refuse(reasons, i, f"{name} is not a number: {str(value)[:80]!r}")
    column = VOCABULARY.get(name)
    outside = np.isinf(numbers)
    if column is not None:
        outside |= (numbers < column.lower) | (numbers > column.upper)
    for i in np.flatnonzero(outside):
        rule = "is not finite" if np.isinf(numbers[i]) or column is None else column.rule
        remedy = f". {column.remedy}" if column is not None else ""
        _refuse(reasons, i, f"{name} {rule}: {numbers[i]:.10g}{remedy}")
    if whole:
        for i in np.flatnonzero(np.isfinite(numbers) & (numbers != np.floor(numbers))):
            _refuse(reasons, i, f"{name} is not a whole number: {numbers[i]:g}")
        return pd.array(np.where(outside, np.nan, np.floor(numbers)), dtype="Int64")
    return numbers


def _times(name, values, reasons):
    try:
        times = pd.to_datetime(pd.Series(values, dtype=object), errors="coerce", utc=True, format="ISO8601")
    except (ValueError, TypeError, OverflowError):
        times = pd.Series([_time(v) for v in values], dtype="datetime64[us, UTC]")
    times = times.dt.tz_localize(None).astype("datetime64[us]")
    for i, value in enumerate(values):
        if value is not None and pd.isna(times[i]):
            _refuse(reasons, i, f"{name} is no date and time: {str(value)[:80]!r}")
    for i in np.flatnonzero((times < _EARLIEST) | (times > _LATEST)):
        _refuse(reasons, i, f"{name} is outside the years 1800..2200: {times[i]}")
    return times.to_numpy()


def _time(value):
    return pd.to_datetime(value, errors="coerce", utc=True)


def _require(table, reasons):
    """Refuse what lacks required values, all named at once; an inland water also needs the altitude of its surface."""
    inland = np.isin(table["water"].astype(str), ("lake", "river"))
    needed = {name: pd.isna(table[name]) for name in REQUIRED}
    needed["surface_altitude_m"] = inland & pd.isna(table["surface_altitude_m"])
    missing = np.column_stack([np.asarray(absent) for absent in needed.values()])
    for i in np.flatnonzero(missing.any(axis=1)):
        _refuse(reasons, i, f"missing {', '.join(np.array([*needed])[missing[i]])}")


def _refuse(reasons, row, reason):
    """The first reason stands."""
    reasons[row] = reasons[row] or reason


def to_arrow(table):
    """
    Turn converted metadata into an Arrow table with the format's types.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    pyarrow.Table
    """
    arrays = {name: pa.array(table[name], type=type_of(name), from_pandas=True) for name in table.columns}
    return pa.table(arrays)
