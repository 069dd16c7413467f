"""
What the columns of a table beside images mean, by their names alone: what is obvious, and nothing else.

Names are compared without case, and with anything but letters and digits as one ``_``. Pixel sizes and volumes are
taken where the name has the unit (``pixel_size_um``, ``um_per_px``, ``pixel_size_mm``, ``volume_l``, ``volume_ml``).
Times are ISO 8601 or ``YYYYMMDD``; one with an offset is brought to UTC, one without is taken for UTC; a column of
times of day is joined to one of dates. Every other column reaches `ingest` in ``raw``, where users can name it.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache

from aqqua_science.schema import ALIASES
from aqqua_science.sources.ecotaxa_columns import STATUSES, coordinate, moment, number
from aqqua_science.sources.instruments import instrument_name
from aqqua_science.sources.tables import is_missing

_EXTRA = {
    "object_id": ("object_id", "occurrenceID", "roi_id", "id"),
    "sample_id": ("sample_id", "sample", "eventID"),
    "acquisition_id": ("acquisition_id", "acq_id"),
    "taxon": ("taxon", "taxon_name", "scientificName", "object_annotation_category", "label", "class", "class_name"),
    "taxon_status": ("taxon_status", "object_annotation_status", "annotation_status"),
    "instrument": ("instrument", "acq_instrument", "instrument_name"),
    "licence": ("licence", "license"),
    "water": ("water",),
    "image_rank": ("image_rank", "img_rank"),
    "surface_altitude_m": ("surface_altitude_m",),
    "latitude": ("lat_deg", "latitude_deg"),
    "longitude": ("lon_deg", "longitude_deg"),
    "depth_min": ("min_depth", "depth_min_m", "min_depth_m"),
    "depth_max": ("max_depth", "depth_max_m", "max_depth_m"),
    "time": ("time_utc", "datetime_utc", "timestamp", "object_date", "date_utc"),
}
_CLOCKS = ("time", "time_utc", "object_time", "eventtime", "time_of_day")
_PIXEL = re.compile(
    r"(?:(?:acq|process|object|img)_)?(?:(?:pixel|px)(?:_?size)?_(\w+)|(\w+?)_per_(?:pixel|px)|resolution_(\w+))"
)
_PIXEL_UNITS = {
    **dict.fromkeys(("um", "micron", "microns", "micrometre", "micrometres", "micrometer", "micrometers"), 1.0),
    "mm": 1000.0,
}
_VOLUME = re.compile(
    r"(?:(?:sample|sampled|imaged|filtered|water|acq)_)?vol(?:ume)?(?:_(?:sampled|imaged|filtered))?_(\w+)"
)
_VOLUME_UNITS = {
    "m3": 1.0,
    **dict.fromkeys(("l", "litre", "litres", "liter", "liters"), 1e-3),
    **dict.fromkeys(("ml", "millilitre", "millilitres", "milliliter", "milliliters"), 1e-6),
}
_WATERS = {"sea", "lake", "river"}
_DATED = re.compile(r"\d{4}-?\d\d-?\d\d[T ]\d\d")


def plain_name(column):
    """
    Spell the name of a column as names are compared.

    Parameters
    ----------
    column : str

    Returns
    -------
    str

    Examples
    --------
    >>> plain_name(" Pixel size [µm]"), plain_name("decimalLatitude")
    ('pixel_size_um', 'decimallatitude')
    """
    text = column.strip().lower().replace("µ", "u").replace("μ", "u")
    return re.sub(r"[^\w]+", "_", text).strip("_")


_NUMBERS = {"latitude", "longitude", "depth", "depth_min", "depth_max", "pixel_size_um", "surface_altitude_m"}
"""What is handed on as it stands where it cannot be read, so that it is refused and no default takes its place."""


def column_converter(columns):
    """
    Make a function that converts rows of a table.

    Parameters
    ----------
    columns : iterable of str
        Names of its columns.

    Returns
    -------
    callable
        Takes a row, as a dict of column -> text, and gives its metadata.

    Examples
    --------
    >>> column_converter(["Lat", "px_um"])({"Lat": "-3.5", "px_um": "0.5", "note": "x"})
    {'latitude': -3.5, 'pixel_size_um': 0.5}
    """
    found = {}
    for column in columns:
        found.setdefault(plain_name(column), column)
    steps = _named_steps(found) + _unit_steps(found) + _free_steps(found)
    time = _time_reader(found)

    def convert(values):
        metadata, unread = {}, {}
        for name, column, change in steps:
            text = values.get(column)
            if text and name not in metadata and (value := change(text)) is not None:
                metadata[name] = value
            elif text and name in _NUMBERS and not is_missing(text):
                unread.setdefault(name, text.strip())
        if time is not None and (instant := time(values)) is not None:
            metadata["time"] = instant
        if "depth" not in metadata and "depth_min" in metadata and "depth_max" in metadata:
            metadata["depth"] = (metadata["depth_min"] + metadata["depth_max"]) / 2
        return {**unread, **metadata}

    return convert


def object_column(columns):
    """
    Find the column with the identifiers of objects.

    Parameters
    ----------
    columns : iterable of str

    Returns
    -------
    str or None

    Examples
    --------
    >>> object_column(["File", "ROI ID"]), object_column(["File"])
    ('ROI ID', None)
    """
    found = {plain_name(column): column for column in columns}
    return next((found[alias] for alias in _aliases("object_id") if alias in found), None)


def read_instant(day, clock=None):
    """
    Read a moment.

    Parameters
    ----------
    day : str
        A date and time in ISO 8601, or a date.
    clock : str or None
        The time of day, where the date has none.

    Returns
    -------
    str or None
        ISO 8601 in UTC.

    Examples
    --------
    >>> read_instant("2012-01-28T08:15:15+02:00"), read_instant("20120128", "0815")
    ('2012-01-28T06:15:15', '2012-01-28T08:15:00')
    """
    text = day.strip().replace("/", "-") if day.count("/") == 2 else day.strip()
    if not _DATED.match(text):
        return moment(text, clock)
    try:
        instant = datetime.fromisoformat(text)
        instant = instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant
    except (ValueError, OverflowError):
        return None
    return instant.isoformat()


_read_instant = lru_cache(maxsize=4096)(read_instant)


def _aliases(name):
    """Names that stand for one of ours, as they are compared, the best first."""
    return dict.fromkeys(plain_name(alias) for alias in (name, *ALIASES.get(name, ()), *_EXTRA.get(name, ())))


def _named_steps(found):
    """Steps for columns that are known by name."""
    numbers = ("depth", "depth_min", "depth_max", "surface_altitude_m")
    readers = {
        **dict.fromkeys(numbers, number),
        **dict.fromkeys(("latitude", "longitude"), coordinate),
        "instrument": lambda text: None if is_missing(text) else instrument_name(text),
        "taxon_status": lambda text: STATUSES.get(text.strip().lower()),
        "water": lambda text: text.strip().lower() if text.strip().lower() in _WATERS else None,
        "image_rank": _rank,
    }
    names = dict.fromkeys((*ALIASES, *_EXTRA))
    return [
        (name, found[alias], readers.get(name, _text))
        for name in names
        if name not in ("time", "month")
        for alias in _aliases(name)
        if alias in found
    ]


def _unit_steps(found):
    """Steps for pixel sizes and volumes whose column names the unit."""
    steps = []
    for plain, column in found.items():
        pixel, volume = _PIXEL.fullmatch(plain), _VOLUME.fullmatch(plain)
        for name, match, units in (("pixel_size_um", pixel, _PIXEL_UNITS), ("volume_m3", volume, _VOLUME_UNITS)):
            unit = next((units[u] for u in match.groups() if u in units), None) if match else None
            if unit is not None:
                steps.append((name, column, _scaled(unit)))
    return steps


def _free_steps(found):
    """Steps for auxiliary signals and traits, which keep their names."""
    signals = [(plain, column, number) for plain, column in found.items() if re.fullmatch(r"aux_\w+", plain)]
    traits = [(plain, column, _trait) for plain, column in found.items() if re.fullmatch(r"trait_\w+", plain)]
    return signals + traits


def _time_reader(found):
    """A function that reads the time of a row, or None where no column has one."""
    days = [found[alias] for alias in _aliases("time") if alias in found]
    clocks = [found[alias] for alias in _CLOCKS if alias in found]
    if not days:
        return None

    def read(values):
        for day in days:
            clock = next((values.get(c) for c in clocks if c != day and values.get(c)), None)
            instant = _read_instant(values.get(day) or "", clock)
            if instant is not None:
                return instant
        return next((values[day].strip() for day in days if not is_missing(values.get(day))), None)

    return read


def _text(text):
    """A text, or None where it stands for nothing."""
    return None if is_missing(text) else text.strip()


def _trait(text):
    """A number where it is one, else the text."""
    value = number(text)
    return _text(text) if value is None else value


def _rank(text):
    """A whole number, or None."""
    value = number(text)
    return int(value) if value is not None and value == int(value) else None


def _scaled(unit):
    """A reader of numbers above zero in some unit."""

    def read(text):
        value = number(text)
        return value * unit if value is not None and value > 0 else None

    return read
