"""
FlowCam: runs as VisualSpreadsheet saves them, a list of particles and the collages that their images lie in.

A particle is cut out of its collage by ``image_x``, ``image_y``, ``image_w`` and ``image_h`` of the list (``.lst``;
where a run has none, its export ``.csv``), pixel by pixel. From the files:

* pixel size: ``cal_const``, um per pixel, of each particle, else the calibration of the summary or the context;
* volume: what the summaries call imaged (mL), else the context. It is of the fluid in the flow cell, which is water at
  sea only where the sample was not concentrated; unknown where it was diluted;
* signals: ``aux_ch1_peak`` and so on, where a channel is not zero throughout the run, as one that is off is.

No time: the time stamps are those of the run, by the clock of the computer, and samples are often run in a laboratory
days or years after they were taken. They, and the place that may have been typed in, are in ``raw``. Masks
(``_bin.tif``), calibration images and classifications are not read.
"""

from functools import lru_cache

from aqqua_science.sources.ecotaxa_columns import number
from aqqua_science.sources.flowcam_runs import read_run, read_settings, run_lists, volume_m3
from aqqua_science.sources.pictures import decode
from aqqua_science.sources.record import Part, PictureError, Record

_MAX_ROWS = 50_000
_CHANNELS = tuple(f"ch{n}_{part}" for n in (1, 2, 3) for part in ("peak", "width", "area"))
_RECTANGLE = ("image_x", "image_y", "image_w", "image_h")
_CALIBRATIONS = ("summary.Calibration Factor", "ctx.Fluid.CalibrationConstant")


def recognise(tree):
    """
    Tell by what a tree is known to be a FlowCam's.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    str
        Evidence in words; empty when it is not.
    """
    names = run_lists(tree)
    if not any(_is_run(tree, name) for name in names[:3]):
        return ""
    return f"{len(names)} list{'s' if len(names) != 1 else ''} of particles of a FlowCam"


def _is_run(tree, name):
    """Whether a file is a list of particles."""
    try:
        return bool(read_run(tree, name).columns)
    except PictureError:
        return False


def parts(tree):
    """
    List the runs, in pieces that can be read one by one.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    list of Part
    """
    found = []
    for name in run_lists(tree):
        try:
            count = len(read_run(tree, name).rows)
        except PictureError as error:
            found.append(Part(name, 1, {"fault": str(error)}))
            continue
        ranges = ((start, min(start + _MAX_ROWS, count)) for start in range(0, count, _MAX_ROWS))
        found.extend(Part(name, stop - start, {"start": start, "stop": stop}) for start, stop in ranges)
    return found


def read(tree, part):
    """
    Read the records of a part.

    Parameters
    ----------
    tree : Tree
    part : Part

    Yields
    ------
    Record
    """
    if "fault" in part.detail:
        yield Record(part.name, None, {}, {}, part.detail["fault"])
        return
    run, settings, cut = read_run(tree, part.name), read_settings(tree, part.name), _cutter(tree)
    shared, seen = _run_metadata(tree, part.name, settings), {}
    convert = _converter(run, shared, settings)
    files = {name.lower(): name for name in tree.matching(".tif", ".tiff", ".png", ".bmp", ".jpg")}
    folder = part.name.lower().rpartition("/")
    for position, (line, text) in enumerate(run.rows[: part.detail["stop"]]):
        fields = text.split(run.separator)
        is_whole = len(fields) == len(run.columns)
        identity = fields[run.places["id"]].strip() if is_whole else ""
        first = seen.setdefault(identity, line) if is_whole else line
        if position < part.detail["start"]:
            continue
        metadata, collage, box, fault = convert(fields)
        if not fault and first != line:
            fault = f"duplicate object: {identity} is first on {part.name} line {first}"
        place = files.get(f"{folder[0]}{folder[1]}{collage.lower()}")
        if not fault and place is None:
            fault = f"the collage is not there: {collage}"
        raw = {**settings, **dict(zip(run.columns, fields, strict=False))}
        yield Record(f"{part.name}:{line}", None if fault else cut(place, box), metadata, raw, fault)


def _run_metadata(tree, name, settings):
    """What all particles of a run have in common; a run is called by its path where others have its name."""
    names = [other.rpartition("/")[2][:-4].lower() for other in run_lists(tree)]
    short = name.rpartition("/")[2][:-4]
    shared = {
        "acquisition_id": short if names.count(short.lower()) == 1 else name[:-4],
        "instrument": "FlowCam",
        "image_rank": 0,
    }
    volume = volume_m3(settings)
    return shared if volume is None else {**shared, "volume_m3": volume}


def _converter(run, shared, settings):
    """A function from the fields of a particle to metadata, collage, rectangle and fault."""
    columns = [run.places[name] for name in ("id", "collage_file", *_RECTANGLE)]
    calibration = run.places.get("cal_const")
    common = next((value for key in _CALIBRATIONS if (value := number(settings.get(key)))), None)
    channels = _measured_channels(run)

    def convert(fields):
        if len(fields) != len(run.columns):
            return {}, "", (), f"a ragged row: {len(fields)} fields where the header has {len(run.columns)}"
        identity, collage, *box = (fields[place].strip() for place in columns)
        metadata = {"object_id": f"{shared['acquisition_id']}_{identity}", **shared}
        pixel = number(fields[calibration]) if calibration is not None else None
        pixel = pixel if pixel and pixel > 0 else common
        if pixel and pixel > 0:
            metadata["pixel_size_um"] = pixel
        for name, place in channels:
            value = number(fields[place])
            if value is not None:
                metadata[name] = value
        collage = collage.replace("\\", "/").rpartition("/")[2]
        if not identity:
            return {**shared}, collage, (), "no identifier: the column of particles' numbers is empty"
        fault = "" if all(map(_is_whole, box)) else f"not a rectangle: x, y, width, height = {', '.join(box)}"
        box = () if fault else tuple(map(int, box))
        if box and min(box[2:]) < 1:
            fault = f"not a rectangle: width, height = {box[2]}, {box[3]}"
        return metadata, collage, box, fault

    return convert


def _is_whole(text):
    """Whether a text is a whole number that is not negative."""
    return text.isascii() and text.isdecimal() and len(text) <= 9


def _measured_channels(run):
    """Name and place of the channels that are not zero throughout a run."""
    waiting = {f"aux_{name}": run.places[name] for name in _CHANNELS if name in run.places}
    found = []
    for _, text in run.rows if waiting else []:
        fields = text.split(run.separator)
        measured = [n for n, place in waiting.items() if len(fields) == len(run.columns) and number(fields[place])]
        found.extend((name, waiting.pop(name)) for name in measured)
        if not waiting:
            break
    return sorted(found)


def _cutter(tree):
    """A function that makes callables which cut a rectangle from a collage; two collages are kept decoded."""

    @lru_cache(maxsize=2)
    def collage(name):
        try:
            return decode(tree.read(name)), ""
        except PictureError as error:
            return None, str(error)

    def cut(name, box):
        def pixels():
            picture, fault = collage(name)
            x, y, width, height = box
            if not fault and (y + height > picture.shape[0] or x + width > picture.shape[1]):
                size = f"{picture.shape[1]} x {picture.shape[0]}"
                fault = f"the rectangle is beyond the collage: {width} x {height} at {x}, {y} of {size} pixels"
            if fault:
                raise PictureError(fault)
            return picture[y : y + height, x : x + width].copy()

        return pixels

    return cut
