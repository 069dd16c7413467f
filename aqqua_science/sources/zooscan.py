"""
ZooScan: ZooProcess projects, by their tables ``*_dat1.pid`` or those made for EcoTaxa.

A ``_dat1.pid`` has sections of ``Key= value`` and, under ``[Data]``, one line per object separated by ``;``, whose
vignette is ``<Label>_<Item>.jpg``. From it:

* pixel size: ``PixSize`` (mm) of ``[Particules_Process]``, else 25,400 / ``Resolution`` (dots per inch);
* layer: ``Zmin`` and ``Zmax`` of the tow, m; time: ``Date`` of ``[Sample]``, which ZooProcess asks for in UTC;
* volume: ``Vol`` (m3 filtered) / ``SubPart`` (8 is an eighth, by Motoda box), where the whole cell was scanned;
* position: none. ZooProcess writes degrees and minutes as 43.4110 and leaves the sign of longitudes to its users; the
  tables for EcoTaxa have it in degrees, so a scan that has both is read from those.

One scan's table lies in several folders of a project; the copy beside its vignettes is read, else the first.
"""

from aqqua_science.sources.ecotaxa_columns import acquisition_metadata, moment, number, positive
from aqqua_science.sources.ecotaxa_tables import MAX_ROWS, instruments_of, read_table, table_names, table_parts
from aqqua_science.sources.instruments import instrument_name
from aqqua_science.sources.pictures import SUFFIXES, decode
from aqqua_science.sources.record import Part, PictureError, Record
from aqqua_science.sources.tables import decode_text, is_missing

_ENDING = "_dat1.pid"
_GAPS = {9999.0, 99999.0}


def recognise(tree):
    """
    Tell by what a tree is known to be a ZooScan's.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    str
        Evidence in words; empty when it is not.
    """
    scans = tree.matching(_ENDING)
    if scans and any(_is_zooscan(tree, name) for name in scans[:3]):
        return f"{len(scans)} table{'s' if len(scans) > 1 else ''} *{_ENDING} of a ZooScan"
    if instruments_of(tree) == {"ZooScan"}:
        count = len(table_names(tree))
        return f"{count} table{'s' if count > 1 else ''} ecotaxa*.tsv of a ZooScan"
    return ""


def parts(tree):
    """
    List the tables, in pieces that can be read one by one.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    list of Part
    """
    found = table_parts(tree)
    for name in _scans(tree):
        try:
            count = len(_open_scan(tree, name)[2])
        except PictureError as error:
            found.append(Part(name, 1, {"fault": str(error)}))
            continue
        ranges = ((start, min(start + MAX_ROWS, count)) for start in range(0, count, MAX_ROWS))
        found.extend(Part(name, stop - start, {"start": start, "stop": stop}) for start, stop in ranges)
    return sorted(found, key=lambda part: part.name)


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
    if not part.name.lower().endswith(_ENDING):
        yield from read_table(tree, part)
    elif "fault" in part.detail:
        yield Record(part.name, None, {}, {}, part.detail["fault"])
    else:
        yield from _read_scan(tree, part)


def _stem(name):
    """Name of the scan that a table is of."""
    return name.rpartition("/")[2][: -len(_ENDING)].lower()


def _scans(tree):
    """One table for each scan that no table for EcoTaxa is of."""
    tables = [name.rpartition("/")[2].lower() for name in table_names(tree)]
    folders = {name.rpartition("/")[0] for name in tree.matching(*SUFFIXES)}
    chosen = {}
    for name in sorted(tree.matching(_ENDING), key=lambda name: name.rpartition("/")[0] not in folders):
        stem = _stem(name)
        if not any(table.startswith((f"ecotaxa_{stem}.", f"ecotaxa_{stem}_dat1")) for table in tables):
            chosen.setdefault(stem, name)
    return sorted(chosen.values())


def _is_zooscan(tree, name):
    """Whether the header names a ZooScan: the UVP5's ZooProcess writes tables of the same name."""
    try:
        raw = _open_scan(tree, name)[0]
    except PictureError:
        return False
    kinds = (raw.get(key, "") for key in ("Info.Hardware", "Info.ImageType", "Image_Process.Image_process"))
    return any(instrument_name(kind) == "ZooScan" for kind in kinds)


def _open_scan(tree, name):
    """Header as "Section.Key" -> value, names of the columns, and the lines of the objects with their numbers."""
    lines = decode_text(tree.read(name)).splitlines()
    at = next((i for i, line in enumerate(lines) if line.strip().lower() == "[data]"), None)
    columns = lines[at + 1].strip().lstrip("!").split(";") if at is not None and at + 1 < len(lines) else []
    columns = [column.strip() for column in columns]
    if not {"Item", "Label"} <= set(columns) or len(set(columns)) < len(columns):
        msg = f"the table cannot be used: {name} has no [Data] whose first line names Item, Label and others once each"
        raise PictureError(msg)
    rows = [(i, line) for i, line in enumerate(lines[at + 2 :], start=at + 3) if line.strip("; \t")]
    return _sections(lines[:at]), columns, rows


def _sections(lines):
    """What the sections of a header say; the first of a name counts."""
    section, found = "", {}
    for line in lines:
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1]
        elif "=" in text:
            key, _, value = text.partition("=")
            found.setdefault(f"{section}.{key.strip()}", value.strip())
    return found


def _read_scan(tree, part):
    """Records of some rows of one scan."""
    header, columns, rows = _open_scan(tree, part.name)
    shared, images, seen = _scan_metadata(header), _images(tree, part.name), {}
    item, label = columns.index("Item"), columns.index("Label")
    for position, (line, text) in enumerate(rows[: part.detail["stop"]]):
        values = text.split(";")
        raw = {**header, **dict(zip(columns, values, strict=False))}
        fault = f"a ragged row: {len(values)} fields where the header has {len(columns)}"
        identity = ""
        if len(values) == len(columns):
            identity, fault = f"{values[label].strip()}_{values[item].strip()}", ""
            first = seen.setdefault(identity, line)
            if first != line:
                fault = f"duplicate object and image: {identity} is first on {part.name} line {first}"
        if position < part.detail["start"]:
            continue
        image = images.get(identity.lower())
        if not fault and image is None:
            fault = f"the image is not there: {identity}.jpg"
        pixels = None if fault else _picture(tree, image)
        metadata = {} if len(values) != len(columns) else {"object_id": identity, "image_rank": 0, **shared}
        yield Record(f"{part.name}:{line}", pixels, metadata, raw, fault)


def _picture(tree, name):
    """A callable that decodes an image of the tree."""
    return lambda: decode(tree.read(name))


def _images(tree, table):
    """Vignettes by their name without ending: those beside the table, else those anywhere in the project."""
    names = tree.matching(*SUFFIXES)
    folder = table.rpartition("/")[0]
    names.sort(key=lambda name: name.rpartition("/")[0] == folder)
    return {name.rpartition("/")[2].rpartition(".")[0].lower(): name for name in names}


def _scan_metadata(header):
    """What all objects of a scan have in common."""
    found = acquisition_metadata(
        {
            "acq_instrument": "ZooScan",
            "process_particle_pixel_size_mm": header.get("Particules_Process.PixSize", ""),
            "process_img_resolution": header.get("Info.Resolution", ""),
        }
    )
    volume, part = positive(header, "Sample.Vol"), positive(header, "Subsample.SubPart")
    if volume and part and (number(header.get("Subsample.CellPart")) or 1) == 1:
        found["volume_m3"] = volume / part
    bounds = [number(header.get(f"Sample.{key}")) for key in ("Zmin", "Zmax")]
    for name, value in zip(("depth_min", "depth_max"), bounds, strict=True):
        if value is not None and value not in _GAPS:
            found[name] = value
    if {"depth_min", "depth_max"} <= found.keys():
        found["depth"] = (found["depth_min"] + found["depth_max"]) / 2
    day, _, clock = header.get("Sample.Date", "").partition("-")
    sample = header.get("Sample.SampleId")
    texts = {"time": moment(day, clock), "sample_id": None if is_missing(sample) else sample}
    return {**found, **{name: value for name, value in texts.items() if value}}
