"""What EcoTaxa accepts in the cells of an import table, told cell by cell."""

import math
import re
from datetime import date, time

SMALLINT = (-32_768, 32_767)
"""What the database holds of an image's rank."""

LARGEST_ID = 2**31 - 1
"""The largest number that identifies a taxon."""

FREE_TEXT = 250
"""Characters of a free text column."""

STATUSES = ("predicted", "dubious", "validated", "discarded")
"""States of an annotation; ``noid`` is let pass as well."""

PREDEFINED = {
    "object_id": 255,
    "object_lat": "latitude",
    "object_lon": "longitude",
    "object_date": "date",
    "object_time": "time",
    "object_link": 255,
    "object_depth_min": "number",
    "object_depth_max": "number",
    "object_annotation_category": math.inf,
    "object_annotation_category_id": "taxon number",
    "object_annotation_status": "status",
    "object_annotation_date": "date",
    "object_annotation_time": "time",
    "object_annotation_person_name": math.inf,
    "object_annotation_person_email": math.inf,
    "object_annotation_hierarchy": math.inf,
    "img_file_name": 255,
    "img_rank": "rank",
    "sample_id": 255,
    "sample_dataportal_descriptor": 8000,
    "acq_id": 255,
    "acq_instrument": 255,
    "process_id": 255,
}
"""Columns with a meaning of their own -> kind of value; a number is the most characters of a text."""

_NUMERIC = {"number", "rank", "taxon number", "latitude", "longitude"}
_DEGREES = re.compile(r"(-?\d+)°(\d+) (\d+)")


def all_good(kind, cells):
    """
    Tell quickly whether cells are surely good.

    Parameters
    ----------
    kind : str or number
        As in `PREDEFINED`.
    cells : set of str
        Without the empty one.

    Returns
    -------
    bool
        False when they must be looked at one by one.

    Examples
    --------
    >>> all_good("number", {"1", "2.5"}), all_good("number", {"1", "-inf"}), all_good(3, {"abcd"})
    (True, False, False)
    """
    if isinstance(kind, str):
        return kind == "number" and _are_numbers(cells)
    return not cells or max(map(len, cells)) <= kind


def _are_numbers(cells):
    """Whether all cells are numbers, none of them -inf."""
    try:
        return -math.inf not in list(map(float, cells))
    except ValueError:
        return False


def cell_fault(column, kind, text):
    """
    Tell what is wrong with a cell.

    Parameters
    ----------
    column : str
    kind : str or number
        As in `PREDEFINED`.
    text : str

    Returns
    -------
    tuple of str or None
        Rule and message; None when all is well, and for an empty cell.

    Examples
    --------
    >>> cell_fault("object_lat", "latitude", "45°30 00"), cell_fault("object_area", "number", " NaN ")
    (None, None)
    >>> cell_fault("object_date", "date", "20140433")[0]
    'invalid-date'
    """
    text = text.strip()
    if not text or (kind in _NUMERIC and text.lower() in ("nan", "na")):
        return None
    return _CHECKS[kind](column, text) if isinstance(kind, str) else _text_fault(column, text, kind)


def _number(text):
    """A number, or None where EcoTaxa sees none; it takes inf, but not -inf."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if value == -math.inf else value


def _number_fault(column, text):
    if _number(text) is None:
        return (
            "invalid-number",
            f"Invalid float value '{text}' for field '{column}'. Write a number with a decimal point, or leave it "
            "empty; a text column has the type [t].",
        )
    return None


def _degrees(text):
    """Decimal degrees; ``DDD°MM SS`` counts all but its sign as EcoTaxa does."""
    match = _DEGREES.search(text)
    if not match:
        return _number(text)
    degrees, minutes, seconds = map(float, match.groups())
    return degrees + (minutes + seconds / 60) / 60


def _place_fault(column, text, word, limit):
    value = _degrees(text)
    if value is None or not -limit <= value <= limit:
        rule = "invalid-latitude" if word == "Lat." else "invalid-longitude"
        message = (
            f"Invalid {word} value '{text}' for field '{column}'. Correct range is -{limit}/+{limit}°; write decimal "
            "degrees or DDD°MM SS, or leave it empty."
        )
        return rule, message
    return None


def _latitude_fault(column, text):
    return _place_fault(column, text, "Lat.", 90)


def _longitude_fault(column, text):
    return _place_fault(column, text, "Long.", 180)


def _date_fault(column, text):
    is_dashed = text[4:5] == text[7:8] == "-"
    pieces = (text[:4], text[5:7], text[8:10]) if is_dashed else (text[:4], text[4:6], text[6:8])
    try:
        date(*map(int, pieces))
    except ValueError:
        return (
            "invalid-date",
            f"Invalid Date value '{text}' for field '{column}'. Write YYYYMMDD or YYYY-MM-DD, in UTC.",
        )
    return None


def _time_fault(column, text):
    if not any(_is_time(*pieces) for pieces in _clock_readings(text)):
        message = f"Invalid Time value '{text}' for field '{column}'. Write HHMM, HHMMSS or HH:MM:SS, in UTC."
        return "invalid-time", message
    return None


def _clock_readings(text):
    """Hours, minutes and seconds, in every way that is let pass."""
    if text[2:3] == text[5:6] == ":":
        return [(text[:2], text[3:5], text[6:8])]
    # Spreadsheets drop the zeros in front; seconds may be left out. EcoTaxa reads five digits as HHMMS; its own
    # example tables have them as HMMSS (90239), so that either is let pass here.
    digits = [text.rjust(4, "0").ljust(6, "0")] + [f"0{text}"] * (len(text) == 5)
    return [(reading[:2], reading[2:4], reading[4:6]) for reading in digits]


def _is_time(*pieces):
    try:
        time(*map(int, pieces))
    except ValueError:
        return False
    return True


def _status_fault(column, text):
    if text != "noid" and text.lower() not in STATUSES:
        message = f"Invalid Annotation Status '{text}' for field '{column}'. Write predicted, dubious or validated."
        return "unknown-status", message
    return None


def _rank_fault(column, text):
    value = _number(text)
    if value is None:
        return _number_fault(column, text)
    if not SMALLINT[0] <= value <= SMALLINT[1] or value != int(value):
        return (
            "invalid-rank",
            f"Invalid rank '{text}' for field '{column}'. It must be a whole number up to {SMALLINT[1]}; number the "
            "images of each object 0, 1, 2, or leave it empty.",
        )
    return None


def _taxon_number_fault(column, text):
    value = _number(text)
    if value is None:
        return _number_fault(column, text)
    if not 1 <= value <= LARGEST_ID or value != int(value):
        return (
            "invalid-category-id",
            f"Invalid category '{text}' for field '{column}'. It must be the whole number that EcoTaxa gives a taxon; "
            "correct it, or leave it empty and name the taxon in object_annotation_category.",
        )
    return None


def _text_fault(column, text, limit):
    if len(text) > limit:
        return (
            "text-too-long",
            f"Value '{text[:30]}...' for field '{column}' has {len(text):,} characters. At most {limit} fit; shorten "
            "it, or leave the column out.",
        )
    return None


def taxon_fault(text):
    """
    Tell what is wrong with the name of a taxon.

    Parameters
    ----------
    text : str

    Returns
    -------
    tuple of str or None
        Rule and message; None when all is well. Whether EcoTaxa knows the taxon cannot be told from here.

    Examples
    --------
    >>> taxon_fault("egg<other"), taxon_fault("Other (Biota)"), taxon_fault("egg<")[0]
    (None, None, 'malformed-taxon')
    """
    pieces = text.strip().split("<")
    if len(pieces) > 1 and any(not piece or piece != piece.strip() for piece in pieces):
        return (
            "malformed-taxon",
            f"Invalid category '{text.strip()}' for field 'object_annotation_category'. Write Child or Child<Parent, "
            "without blanks around '<'.",
        )
    return None


_CHECKS = {
    "number": _number_fault,
    "latitude": _latitude_fault,
    "longitude": _longitude_fault,
    "date": _date_fault,
    "time": _time_fault,
    "status": _status_fault,
    "rank": _rank_fault,
    "taxon number": _taxon_number_fault,
}
