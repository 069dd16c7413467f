"""
What a UVP6 writes about itself: ``metadata.ini``, or the lines HW_CONF and ACQ_CONF of its data files.

``HW_CONF`` has ``Aa`` in um2 (mm2 in older files), ``Pixel_Size`` in um, ``Image_volume`` in L and ``Pressure_offset``
in m: by so much the water that is imaged lies below the pressure sensor. EcoPart adds it, and passes over offsets below
0 or from 100 on; so do we. ``[sample_metadata]`` has what the operator typed: profile, position, kind of sample.
"""

import re

from aqqua_science.sources.record import PictureError
from aqqua_science.sources.tables import decode_text, is_missing

MAX_BYTES = 2**20
"""Of a metadata.ini; real ones have 2,000 bytes."""

_HARDWARE = (
    *("Camera_ref", "Acquisition_mode", "Default_acquisition_configuration", "Delay_after_power_up_on_time_mode"),
    *("Light_ref", "Correction_table_activation", "Time_between_lighting_power_up_and_trigger"),
    *("Time_between_lighting_trigger_and_acquisition", "Pressure_sensor_ref", "Pressure_offset", "Storage_capacity"),
    *("Minimum_remaining_memory_for_thumbnail_saving", "Baud_Rate", "IP_adress", "Black_level", "Shutter", "Gain"),
    *("Threshold", "Aa", "Exp", "Pixel_Size", "Image_volume", "Calibration_date", "Last_parameters_modification"),
    "Operator_email",
)
_SEXAGESIMAL = re.compile(r"([-+]?)\s*(\d{1,3})\s*[^\d\s.,+-]{1,2}\s*(\d{1,2})(?:[\s'.]+(\d{1,2}))?\s*[\"']*\s*")


def parse_ini(content):
    """
    Read the sections of a metadata.ini, or the configuration lines at the head of a data file.

    Parameters
    ----------
    content : bytes

    Returns
    -------
    dict of str to str
        ``section.key`` in lower case -> text.

    Examples
    --------
    >>> parse_ini(b"[HW_CONF]\\nAa=2300.000\\n; a comment\\n")
    {'hw_conf.aa': '2300.000'}
    """
    found, section = {}, ""
    for line in decode_text(content).splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line.strip("[]").strip().lower()
        elif "=" in line and not line.startswith((";", "#")):
            key, _, value = line.partition("=")
            found[f"{section}.{key.strip().lower()}"] = value.strip()
    return found


def parse_hardware_line(line):
    """
    Read the line HW_CONF of a data file.

    Firmware since 2022 may write no address of the network, so the fields are counted from its recognisable ones.

    Parameters
    ----------
    line : str

    Returns
    -------
    dict of str to str
        ``hw_conf.key`` -> text; empty when the line is no HW_CONF, or has too few fields to tell them apart.

    Examples
    --------
    >>> line = "HW_CONF,000125HF,1,ACQ_CTD,0,9VE,1,0,250,216149,0.600,393773,20000,2,193.49.112.100,0,75,6,22,2300.000,"
    >>> line += "1.136,73,0.710,20220505,202205091430,someone@example.org,40.3,50.8;"
    >>> parse_hardware_line(line)["hw_conf.image_volume"]
    '0.710'
    """
    fields = line.strip().rstrip(";").split(",")
    mail = next((i for i, field in enumerate(fields) if "@" in field), 0)
    names = _HARDWARE if mail == len(_HARDWARE) else tuple(n for n in _HARDWARE if n != "IP_adress")
    if fields[0] != "HW_CONF" or mail != len(names):
        return {}
    return {f"hw_conf.{name.lower()}": value.strip() for name, value in zip(names, fields[1:], strict=False)}


def read_settings(tree, ini_name=None, data_name=None, *, head=b""):
    """
    Read the settings of a sequence, from its metadata.ini where it has one.

    Parameters
    ----------
    tree : Tree
    ini_name : str, optional
        Its metadata.ini.
    data_name : str, optional
        Its data file; not read when `head` is given.
    head : bytes
        Its beginning.

    Returns
    -------
    dict of str to str
        As in `parse_ini`; empty where nothing can be read.
    """
    try:
        if ini_name is not None:
            return parse_ini(tree.read(ini_name, limit=MAX_BYTES))
        head = head or (tree.read(data_name)[:4096] if data_name else b"")
    except PictureError:
        return {}
    lines = decode_text(head).splitlines()[:8]
    return next((found for found in map(parse_hardware_line, lines) if found), {})


def positive_number(text, *, below=float("inf")):
    """
    Read a number above 0.

    Parameters
    ----------
    text : str or None
    below : float

    Returns
    -------
    float or None
        None for what is no number, or not between 0 and `below`.

    Examples
    --------
    >>> positive_number("0.710"), positive_number("nan"), positive_number("0")
    (0.71, None, None)
    """
    value = _number(text)
    return value if value is not None and 0 < value < below else None


def _number(text):
    """A finite number, None for all else."""
    try:
        value = float((text or "").strip().replace(",", "."))
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def calibration(settings):
    """
    Find the size law, the volume of an image and the side of a pixel among settings.

    Parameters
    ----------
    settings : dict of str to str
        As `read_settings` gives them.

    Returns
    -------
    dict of str to float
        ``aa`` (mm2), ``exp``, ``image_volume_m3``, ``pixel_size_um``, ``offset_m``, as far as they are known.

    Examples
    --------
    >>> calibration({"hw_conf.aa": "2300.000", "hw_conf.pixel_size": "73", "hw_conf.image_volume": "0.710"})
    {'aa': 0.0023, 'image_volume_m3': 0.00071, 'pixel_size_um': 73.0}
    """
    aa = positive_number(settings.get("hw_conf.aa"))
    pixel = positive_number(settings.get("hw_conf.pixel_size"))
    litres = positive_number(settings.get("hw_conf.image_volume"))
    found = {
        "aa": aa if aa is None or aa < 1 else aa / 1e6,
        "exp": positive_number(settings.get("hw_conf.exp")),
        "image_volume_m3": None if litres is None else litres / 1000,
        # No UVP has pixels of a millimetre, or of less than a micrometre.
        "pixel_size_um": pixel if pixel is None or pixel >= 1 else pixel * 1000,
        "offset_m": positive_number(settings.get("hw_conf.pressure_offset"), below=100),
    }
    return {name: value for name, value in found.items() if value is not None}


def angle(text):
    """
    Read a latitude or longitude as the files of a UVP6 have it.

    Parameters
    ----------
    text : str or None
        Decimal degrees, or degrees, minutes and seconds as in ``43°48 08``.

    Returns
    -------
    float or None
        Degrees; None when it is neither.

    Examples
    --------
    >>> angle("-0°30 36"), angle("7.576"), angle("")
    (-0.51, 7.576, None)
    """
    text = (text or "").strip()
    match = _SEXAGESIMAL.fullmatch(text)
    if match is None:
        return None if is_missing(text) else _number(text)
    sign, degrees, minutes, seconds = match.groups()
    value = int(degrees) + int(minutes) / 60 + int(seconds or 0) / 3600
    return -value if sign == "-" else value
