"""
What the columns of EcoTaxa-shaped tables mean, in our units.

Columns whose unit is known, and no others (a bare number is never guessed at):

=====================================  =================  ======================================================
column                                 instrument         unit, and how it is used
=====================================  =================  ======================================================
``process_particle_pixel_size_mm``     any                mm; files with 10.6 (um) exist: taken when the dpi agree
``process_particle_pixel_size_um``     any                um; files with 0.0106 (mm) exist: taken when the dpi agree
``process_img_resolution``             ZooScan            dots per inch of the scan: 25,400 / dpi um
``..._pixel_um``, ``..._pixel_size_um``  any              um (``acq_`` or ``process_``); ``_mm`` likewise
``acq_resolution_pixels_per_micron``   any                pixels per um
``acq_pixel``, ``process_pixel``       UVP5, UVP6         mm when 0.02..0.5, um when 20..500
same                                   ZooScan, ZooCam    mm when 0.002..0.1, um when 2..100
same                                   FlowCam            mm when 0.00005..0.015, um when 0.05..15
same                                   PlanktoScope       um, 0.1..20
``sample_tot_vol``, ``acq_sub_part``   ZooScan            m3 filtered / part of it scanned (Motoda: 8 is an eighth)
``acq_volume_m3``                      any                m3 at sea; our own exports write it
``sample_total_volume``                PlanktoScope       litres of sea water filtered
``sample_concentrated_sample_volume``  PlanktoScope       mL they were concentrated to
``acq_imaged_volume``                  PlanktoScope       mL of those that were imaged
=====================================  =================  ======================================================

Of a PlanktoScope the water at sea that was looked at is total x imaged / concentrated. Where a dilution factor other
than 1 is given it is left unknown: users have written it both ways. ``acq_volimage`` (UVP, litres of one image) is no
sampled volume: an image without objects has been looked at too. A vignette that was resized (``process_scale`` not 1)
has no known pixel size, since no file says in which direction.
"""

import math
import re
from datetime import date
from functools import lru_cache

from aqqua_science.sources.instruments import instrument_name
from aqqua_science.sources.tables import is_missing

STATUSES = {name[:length]: name for name in ("validated", "predicted", "dubious") for length in (1, len(name))}
"""How EcoTaxa writes the state of an annotation, whole or by its first letter."""

_BARE_PIXEL = {
    "UVP5": ((0.02, 0.5), (20, 500)),
    "UVP6": ((0.02, 0.5), (20, 500)),
    "ZooScan": ((0.002, 0.1), (2, 100)),
    "ZooCam": ((0.002, 0.1), (2, 100)),
    "FlowCam": ((0.00005, 0.015), (0.05, 15)),
    "PlanktoScope": ((1, 0), (0.1, 20)),
}
"""Instrument -> range of a pixel in mm, range in um; they never meet."""

_SENTINELS = {9999, 99999, 999999, -1, -999, -9999, -99999}
_OWN_NAMES = re.compile(r"(uvp[56]|uvp[\s_-]+[56]|zooscan|flowcam|ifcb|planktoscope)", re.IGNORECASE)
_DEGREES = re.compile(
    r"\s*([+-]?)(\d{1,3})\s*°\s*(\d{1,2}(?:[.,]\d+)?)\s*['′]?\s*(\d{1,2}(?:[.,]\d+)?)?\s*[\"″]?\s*([NSEWnsew]?)\s*"
)


def number(text):
    """
    Read a number of a table.

    Parameters
    ----------
    text : str or None
        With a decimal point or, as some exports have it, a decimal comma.

    Returns
    -------
    float or None
        None where there is none, or it is not finite.

    Examples
    --------
    >>> number("600,0"), number("nan"), number("1e3")
    (600.0, None, 1000.0)
    """
    if not text or is_missing(text) or "_" in text:
        return None
    try:
        value = float(text.replace(",", ".", 1) if "." not in text else text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def coordinate(text):
    """
    Read a latitude or longitude.

    Parameters
    ----------
    text : str or None
        Decimal degrees, or ``DDD°MM SS``.

    Returns
    -------
    float or None

    Examples
    --------
    >>> coordinate("-24.5"), coordinate("-0°30 36"), coordinate("nan")
    (-24.5, -0.51, None)
    """
    if not text or "°" not in text:
        return number(text)
    match = _DEGREES.fullmatch(text)
    if not match:
        return None
    sign, degrees, minutes, seconds, side = match.groups()
    value = int(degrees) + number(minutes) / 60 + (number(seconds) or 0) / 3600
    return -value if (sign == "-") != (side.upper() in ("S", "W") and side != "") else value


@lru_cache(maxsize=4096)
def moment(day, clock=None):
    """
    Read a date and a time, which EcoTaxa keeps in UTC.

    Parameters
    ----------
    day : str or None
        ``YYYYMMDD`` or ``YYYY-MM-DD``.
    clock : str or None
        ``HHMM`` or ``HHMMSS``, which spreadsheets rob of its leading zeros, or ``HH:MM[:SS]``.

    Returns
    -------
    str or None
        ISO 8601; the date alone where no time is given; None where either cannot be read.

    Examples
    --------
    >>> moment("20140420", "420"), moment("2014-04-20", "09:02:39"), moment("20140420", "nan")
    ('2014-04-20T04:20:00', '2014-04-20T09:02:39', '2014-04-20')
    """
    digits = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)(?:\.0)?", (day or "").strip(), re.ASCII)
    try:
        known = date(*map(int, digits.groups())).isoformat() if digits else None
    except ValueError:
        return None
    if known is None or is_missing(clock):
        return known
    spelt = _clock(clock.strip())
    return f"{known}T{spelt}" if spelt else None


def _clock(text):
    """HH:MM:SS, or None where it is no time of day."""
    match = re.fullmatch(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:\.\d+)?)?", text, re.ASCII)
    if not match:
        plain = re.fullmatch(r"(\d{1,6})(?:\.0+)?", text, re.ASCII)
        padded = plain and plain.group(1).zfill(4 if len(plain.group(1)) <= 4 else 6)
        match = padded and re.fullmatch(r"(\d\d)(\d\d)(\d\d)?", padded)
    hour, minute, second = (int(part or 0) for part in match.groups()) if match else (24, 0, 0)
    return f"{hour:02}:{minute:02}:{second:02}" if hour < 24 and minute < 60 and second < 60 else None


def acquisition_metadata(values):
    """
    Convert what the rows of one acquisition have in common.

    Parameters
    ----------
    values : dict of str to str
        Column, in lower case -> text; those of `ACQUISITION_COLUMNS` are looked at.

    Returns
    -------
    dict
        ``instrument``, ``pixel_size_um``, ``volume_m3``, as far as known.

    Examples
    --------
    >>> acquisition_metadata({"acq_instrument": "uvp5", "acq_pixel": "0.125"})
    {'instrument': 'UVP5', 'pixel_size_um': 125.0}
    """
    instrument = _instrument(values)
    found = {
        "instrument": instrument,
        "pixel_size_um": _pixel_size_um(values, instrument),
        "volume_m3": _volume_m3(values, instrument),
    }
    return {name: value for name, value in found.items() if value is not None}


ACQUISITION_COLUMNS = (
    *("acq_instrument", "acq_hardware", "acq_imgtype", "acq_id", "acq_sub_part", "acq_imaged_volume"),
    "acq_volume_m3",
    *("process_particle_pixel_size_mm", "process_particle_pixel_size_um", "process_particle_pixel_size_µm"),
    *("process_particle_pixel_size_μm", "process_img_resolution", "process_scale", "acq_resolution_pixels_per_micron"),
    *(
        f"{table}_pixel{size}{unit}"
        for table in ("acq", "process")
        for size in ("", "_size")
        for unit in ("_um", "_mm")
    ),
    *("acq_pixel", "process_pixel", "sample_tot_vol", "sample_total_volume", "sample_concentrated_sample_volume"),
    "sample_dilution_factor",
)
"""Every column that `acquisition_metadata` looks at."""


def _instrument(values):
    """The instrument a row names, in its own column or where ZooProcess, the PlanktoScope and the UVP put it."""
    named = values.get("acq_instrument")
    if not is_missing(named):
        return instrument_name(named)
    for column in ("acq_imgtype", "acq_hardware"):
        text = (values.get(column) or "").strip()
        if (text and instrument_name(text) != text) or text in _BARE_PIXEL:
            return instrument_name(text)
    if {"acq_imaged_volume", "sample_concentrated_sample_volume"} <= values.keys():
        return "PlanktoScope"
    match = _OWN_NAMES.match(values.get("acq_id") or "")
    return instrument_name(match.group()) if match else None


def positive(values, *columns):
    """
    Read the first of some columns that holds a number above zero which does not stand for a gap, as 99999 does.

    Parameters
    ----------
    values : dict of str to str
    *columns : str

    Returns
    -------
    float or None

    Examples
    --------
    >>> positive({"vol": "99999"}, "vol"), positive({"vol": "107.5"}, "volume", "vol")
    (None, 107.5)
    """
    for column in columns:
        value = number(values.get(column))
        if value is not None and value > 0 and value not in _SENTINELS:
            return value
    return None


def _pixel_size_um(values, instrument):
    """Micrometres per pixel of the vignette, by the table above."""
    if (number(values.get("process_scale")) or 1) != 1:
        return None
    dpi = positive(values, "process_img_resolution")
    scanned = 25_400 / dpi if dpi and 300 <= dpi <= 12_800 else None
    named = _named_pixel_um(values, scanned)
    if named:
        return named
    bare = _bare_pixel_um(positive(values, "process_pixel", "acq_pixel"), instrument)
    return bare or (scanned if instrument == "ZooScan" else None)


def _named_pixel_um(values, scanned):
    """From columns that name their unit; ZooProcess has had them named wrongly, which the resolution tells."""
    in_mm = positive(values, "process_particle_pixel_size_mm")
    in_um = positive(values, *(f"process_particle_pixel_size_{unit}" for unit in ("um", "µm", "μm")))
    for value, factor, low, high in ((in_mm, 1000, 0.0001, 0.5), (in_um, 1, 0.1, 500)):
        candidates = [value * f for f in (1, 1000)] if value else []
        agreeing = [c for c in candidates if scanned and abs(c / scanned - 1) < 0.05]
        if agreeing:
            return agreeing[0]
        if value and low <= value <= high:
            return value * factor
    plain = positive(values, "acq_pixel_um", "process_pixel_um", "acq_pixel_size_um", "process_pixel_size_um")
    coarse = positive(values, "acq_pixel_mm", "process_pixel_mm", "acq_pixel_size_mm", "process_pixel_size_mm")
    per_um = positive(values, "acq_resolution_pixels_per_micron")
    return plain or (coarse and coarse * 1000) or (per_um and 1 / per_um)


def _bare_pixel_um(value, instrument):
    """A pixel size without unit, where instrument and magnitude leave one reading."""
    if value is None or instrument not in _BARE_PIXEL:
        return None
    (mm_low, mm_high), (um_low, um_high) = _BARE_PIXEL[instrument]
    if mm_low <= value <= mm_high:
        return value * 1000
    return value if um_low <= value <= um_high else None


def _volume_m3(values, instrument):
    """Water at sea that the acquisition has looked at, by the table above."""
    named = positive(values, "acq_volume_m3")
    if named:
        return named
    if instrument == "ZooScan":
        return _divide(positive(values, "sample_tot_vol"), positive(values, "acq_sub_part"))
    if instrument != "PlanktoScope" or (number(values.get("sample_dilution_factor")) or 1) != 1:
        return None
    total_l = positive(values, "sample_total_volume")
    imaged_ml = positive(values, "acq_imaged_volume")
    share = _divide(imaged_ml, positive(values, "sample_concentrated_sample_volume"))
    return total_l / 1000 * share if total_l and share else None


def _divide(above, below):
    """A quotient, or None where either is unknown."""
    return above / below if above and below else None
