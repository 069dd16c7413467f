"""The files of a FlowCam run: the list of its particles, and what was written of the run."""

import csv
import io
import re
from typing import NamedTuple

from aqqua_science.sources.ecotaxa_columns import number
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.tables import decode_text

NEEDED = ("id", "image_x", "image_y", "image_w", "image_h", "collage_file")
"""Columns without which nothing can be cut out."""

_EXPORT = {
    "Particle ID": "id",
    "Image X": "image_x",
    "Image Y": "image_y",
    "Image Width": "image_w",
    "Image Height": "image_h",
    "Image File": "collage_file",
    "Calibration Factor": "cal_const",
    **{f"Ch{n} {part}": f"ch{n}_{part.lower()}" for n in (1, 2, 3) for part in ("Peak", "Width", "Area")},
}
"""What the export calls the columns of a list that are used."""

_MAX_BYTES = 2**30
_MAX_COLUMNS = 1000
_SECTIONS = ("Software", "General", "Fluid")
_LITRES = {"l": 1e-3, "ml": 1e-6, "ul": 1e-9, "µl": 1e-9}
_VOLUMES = (
    ("summary.Sample Volume Imaged ml", "ml"),
    ("summary.Fluid Volume Imaged", ""),
    ("ctx.Fluid.FluidVolumeImaged_ml", "ml"),
)


class Run(NamedTuple):
    """
    The particles of a run.

    Attributes
    ----------
    columns : list of str
        As the file has them.
    places : dict of str to int
        Column, as a list calls it -> its place.
    rows : list of tuple
        Line of the file and its text.
    separator : str
        Between the fields of a text.
    """

    columns: list
    places: dict
    rows: list
    separator: str


def run_lists(tree):
    """
    List the runs of a tree.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    list of str
        Lists ``.lst``; exports ``.csv`` of a run that has none, and has collages beside it.
    """
    lists = tree.matching(".lst")
    have = {name[:-4].lower() for name in lists}
    collages = [name.lower() for name in tree.matching(".tif", ".tiff")]
    first = {re.sub(r"_\d+\.tiff?$", "", name) for name in collages}
    return sorted(lists + [n for n in tree.matching(".csv") if n[:-4].lower() in first - have])


def read_run(tree, name):
    """
    Read the particles of a run.

    Parameters
    ----------
    tree : Tree
    name : str

    Returns
    -------
    Run

    Raises
    ------
    PictureError
        If the file cannot be read, or is no list of particles.
    """
    text = decode_text(tree.read(name, limit=_MAX_BYTES))
    is_export = name.lower().endswith(".csv")
    columns, rows = _read_export(text) if is_export else _read_list(text)
    places = {_EXPORT.get(column, column): place for place, column in enumerate(columns)}
    lacking = [column for column in NEEDED if column not in places]
    if lacking or len(places) < len(columns):
        what = f"lacks {', '.join(lacking)}" if lacking else "names a column twice"
        msg = f"no list of particles of a FlowCam: the header {what}"
        raise PictureError(msg)
    return Run(columns, places, rows, "\0" if is_export else "|")


def _read_list(text):
    """Columns and rows of an ``.lst``: version, ``num-fields|n``, n lines ``name|type``, then the particles."""
    lines = re.split(r"\r\n|\n|\r", text)
    at = next((i for i, line in enumerate(lines[:20]) if line.startswith("num-fields|")), None)
    count = lines[at].partition("|")[2].strip() if at is not None else ""
    if not re.fullmatch(r"[0-9]{1,4}", count) or not 0 < int(count) <= _MAX_COLUMNS:
        msg = "no list of particles of a FlowCam: there is no line num-fields|n at its beginning"
        raise PictureError(msg)
    start = at + 1 + int(count)
    columns = [line.partition("|")[0].strip() for line in lines[at + 1 : start]]
    return columns, [(i, line) for i, line in enumerate(lines[start:], start + 1) if line.strip()]


def _read_export(text):
    """Columns and rows of an export."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        columns = [column.strip() for column in next(reader, [])]
        return columns, [(reader.line_num, "\0".join(fields)) for fields in reader if any(fields)]
    except csv.Error as error:
        msg = f"no list of particles of a FlowCam: {error}"
        raise PictureError(msg) from error


def read_settings(tree, name):
    """
    Read what was written of a run beside its list.

    Parameters
    ----------
    tree : Tree
    name : str
        The list.

    Returns
    -------
    dict of str to str
        ``ctx.Section.Key`` from the context, for software, place and fluid, and ``summary.Key`` from the summaries.
    """
    stem = name[:-4].lower()
    files = {other.lower(): other for other in tree.matching(".ctx", "_run_summary.txt", "_summary.csv")}
    found = {}
    for ending, read in ((".ctx", _context), ("_summary.csv", _pairs), ("_run_summary.txt", _lines)):
        if stem + ending in files:
            try:
                text = decode_text(tree.read(files[stem + ending], limit=2**24))
            except PictureError:
                continue
            for key, value in read(text.splitlines()):
                found.setdefault(key, value)
    return found


def _context(lines):
    """Settings of a context."""
    section = ""
    for line in lines:
        if line.startswith("[") and line.rstrip().endswith("]"):
            section = line.strip()[1:-1]
        elif "=" in line and section in _SECTIONS:
            key, _, value = line.partition("=")
            yield f"ctx.{section}.{key.strip()}", value.strip()


def _pairs(lines):
    """Values of a summary that was exported: lines of two fields."""
    for line in lines:
        key, comma, value = line.partition(",")
        if comma and "," not in value:
            yield f"summary.{key.strip()}", value.strip()


def _lines(lines):
    """Values of the summary of a run."""
    for line in lines:
        key, colon, value = line.partition(":")
        if colon and value.strip():
            yield f"summary.{key.strip()}", value.strip()


def volume_m3(settings):
    """
    Find the volume that was imaged.

    Parameters
    ----------
    settings : dict of str to str
        From `read_settings`.

    Returns
    -------
    float or None
        Cubic metres; None where the sample was diluted.

    Examples
    --------
    >>> volume_m3({"summary.Fluid Volume Imaged": "0.5 ml"})
    5e-07
    """
    dilution = number(settings.get("ctx.Fluid.SampleDilution"))
    if dilution not in (None, 1.0) and settings.get("ctx.Fluid.UseDilutionCalculation") != "0":
        return None
    for key, unit in _VOLUMES:
        match = re.fullmatch(r"([\d.,]+)\s*([µa-zA-Z]*)", settings.get(key, ""), re.ASCII)
        value = number(match[1]) if match else None
        scale = _LITRES.get((match[2] or unit).lower()) if match else None
        if value and scale:
            return value * scale
    return None
