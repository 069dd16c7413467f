"""
The ``.hdr`` of an IFCB bin, in the forms its software has had.

Since 2010 it has lines ``key: value``, in a spelling that changed over the years (``runTime``, ``runtime``), and names
the columns of the ``.adc`` in ``ADCFileFormat``; for a while ``run time = 5 s  inhibit time = 1 s`` and ``5
temperature, 6 humidity`` stood there instead. Before, it had free text in quotes, a line of names and one of values.
"""

import math
import re
from datetime import datetime

from aqqua_science.sources.tables import decode_text, is_missing

KEPT = (
    "softwareVersion", "runType", "sampleType", "FileComment", "runTime", "inhibitTime", "runSampleFast",
    "RunFastFactor", "temperature", "humidity", "PMTAhighVoltage", "PMTBhighVoltage", "gpsLatitude", "gpsLongitude",
    "gpsTimeFromFix", "ifcbTimeAtFix", "temp", "BinarizeThresh", "PMT1hv(ssc)", "PMT2hv(chl)", "BlobSizeThresh",
)  # fmt: skip
"""Of its hundred settings, those that are kept with every image."""

COLUMNS = {
    1: (
        "trigger", "processingEndTime", "fluorescenceLow", "fluorescenceHigh", "scatteringLow", "scatteringHigh",
        "comparatorPulse", "triggerOpenTime", "frameGrabTime", "roiX", "roiY", "roiWidth", "roiHeight", "startByte",
        "valveStatus",
    ),
    2: (
        "trigger#", "ADC_time", "PMTA", "PMTB", "PMTC", "PMTD", "peakA", "peakB", "peakC", "peakD", "time of flight",
        "grabtimestart", "grabtimeend", "ROIx", "ROIy", "ROIwidth", "ROIheight", "start_byte", "comparator_out",
        "STartPoint", "SignalLength", "status", "runTime", "inhibitTime",
    ),
}  # fmt: skip
"""Columns of the ``.adc`` where the ``.hdr`` does not name them, by version of the bin."""

MAX_FIX_AGE_S = 3600
"""A position taken longer before or after the sample began is not the sample's: ships move."""

_PAIR = re.compile(r"run time\s*=\s*([\d.]+)\s*s?\s+inhibit time\s*=\s*([\d.]+)", re.ASCII | re.IGNORECASE)
_CLIMATE = re.compile(r"\s*(-?[\d.]+)\s+temperature,\s*(-?[\d.]+)\s+humidity", re.ASCII | re.IGNORECASE)
_FIX = re.compile(r"([A-Za-z]{3})/(\d{1,2})/(\d{4})\s+(\d{1,2}):(\d\d):(\d\d)", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_PLACEHOLDERS = {999.0, 9999.0, 99999.0}
_GEOMETRY = ("roix", "roiy", "roiwidth", "roiheight", "startbyte")


def read_header(content):
    r"""
    Read a ``.hdr``.

    Parameters
    ----------
    content : bytes

    Returns
    -------
    dict of str to str
        Values by their key in lower case, the first of a key; empty where nothing is understood.

    Examples
    --------
    >>> read_header(b"SoftwareVersion: 2.0\nrunTime: 715.6\t\n")
    {'softwareversion': '2.0', 'runtime': '715.6'}
    >>> read_header(b'"v1"\n"Temp Humidity"\n" 11.4"," 32.1"')
    {'temp': '11.4', 'humidity': '32.1'}
    """
    lines = decode_text(content).replace("\r", "\n").split("\n")
    found = {}
    for line in lines:
        pair, climate = _PAIR.search(line), _CLIMATE.match(line)
        if pair:
            found.setdefault("runtime", pair[1])
            found.setdefault("inhibittime", pair[2])
        elif climate:
            found.setdefault("temperature", climate[1])
            found.setdefault("humidity", climate[2])
        elif ":" in line:
            key, _, value = line.partition(":")
            found.setdefault(key.strip().lower(), value.strip())
    return {**_quoted(lines), **found}


def _quoted(lines):
    """Names and values of the last two lines of the first form."""
    lines = [line.replace('"', " ") for line in lines if line.strip()]
    names, values = (lines[-2].split(), lines[-1].replace(",", " ").split()) if len(lines) > 1 else ((), ())
    return dict(zip((name.lower() for name in names), values, strict=False)) if "Temp" in names else {}


def column_names(header, version):
    """
    Name the columns of a bin's ``.adc``.

    Parameters
    ----------
    header : dict of str to str
    version : int
        Of the bin.

    Returns
    -------
    list of str
        As the header has them where it names each once and all that say where an image lies, else the usual ones.
    """
    named = [name.strip() for name in header.get("adcfileformat", "").split(",")]
    plain = [plain_name(name) for name in named]
    whole = set(_GEOMETRY) <= set(plain) and len(set(plain)) == len(plain) and "" not in plain
    return named if whole else list(COLUMNS[version])


def plain_name(name):
    """
    Spell the name of a column as all software versions would.

    Parameters
    ----------
    name : str

    Returns
    -------
    str

    Examples
    --------
    >>> plain_name("start_byte"), plain_name("StartByte"), plain_name("trigger#")
    ('startbyte', 'startbyte', 'trigger')
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def finite(text):
    """
    Read a number.

    Parameters
    ----------
    text : str or None

    Returns
    -------
    float or None
        None where there is none, or it is not finite.

    Examples
    --------
    >>> finite("-.5"), finite("nan"), finite("1_0"), finite(None)
    (-0.5, None, None, None)
    """
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and "_" not in text else None


def header_metadata(header, start):
    """
    Take from a header what it says of all images of the bin: position, depth and scale, where it has them.

    Parameters
    ----------
    header : dict of str to str
    start : datetime.datetime
        When the sample began.

    Returns
    -------
    dict
        No position where it is a placeholder (0, 0 or 999) or was taken over an hour before or after.
    """
    place = [_first(header, f"gps{name}", name) for name in ("latitude", "longitude")]
    found = {}
    is_place = None not in place and any(place) and not {abs(value) for value in place} & _PLACEHOLDERS
    if is_place and _is_fresh(header, start):
        found = dict(zip(("latitude", "longitude"), place, strict=True))
    depth, scale = _first(header, "depth"), _first(header, "pixelspermicron")
    if depth is not None and abs(depth) not in _PLACEHOLDERS:
        found["depth"] = depth
    if scale is not None and scale > 0:
        found["pixel_size_um"] = 1 / scale
    return found


def _first(header, *keys):
    """First number under some keys."""
    return next((value for key in keys if (value := finite(header.get(key))) is not None), None)


def _is_fresh(header, start):
    """Whether the position is of the time of the sample; the instrument's own clock tells, as it named the bin."""
    text = header.get("ifcbtimeatfix") or header.get("gpstimefromfix")
    if is_missing(text):
        return True
    match = _FIX.search(text)
    if not match or match[1].lower() not in _MONTHS:
        return False
    try:
        fix = datetime(int(match[3]), _MONTHS.index(match[1].lower()) + 1, *map(int, match.group(2, 4, 5, 6)))
    except ValueError:
        return False
    return abs((fix - start).total_seconds()) <= MAX_FIX_AGE_S
