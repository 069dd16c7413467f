"""Tables in the shape of EcoTaxa's (import bundles and exports), read row by row with their images."""

import re
from functools import partial
from itertools import islice

from aqqua_science.schema import SchemaError
from aqqua_science.sources.ecotaxa_columns import (
    ACQUISITION_COLUMNS,
    STATUSES,
    acquisition_metadata,
    coordinate,
    moment,
    number,
)
from aqqua_science.sources.ecotaxa_rows import open_table
from aqqua_science.sources.pictures import decode
from aqqua_science.sources.record import Part, PictureError, Record
from aqqua_science.sources.tables import is_missing
from aqqua_science.sources.tree import beside

MAX_ROWS = 50_000
"""Rows of a part; a larger table makes several."""

_NAME = re.compile(r"(?:.*/)?ecotaxa[^/]*\.(?:tsv|txt)", re.IGNORECASE)
_PLAIN_PATH = re.compile(r"[^./\\:][^/\\:]*(?:/[^./\\:][^/\\:]*)*")
_TEXTS = {
    "sample_id": "sample_id",
    "acq_id": "acquisition_id",
    "object_annotation_category": "taxon",
    "sample_licence": "licence",
}


def table_names(tree):
    """
    List the tables of a tree that EcoTaxa would read, whatever their case.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    list of str
    """
    return [name for name in tree.names if _NAME.fullmatch(name)]


def table_columns(tree, name):
    """
    Name the columns of a table and give its first row.

    Parameters
    ----------
    tree : Tree
    name : str

    Returns
    -------
    dict of str to str
        Column, in lower case -> text; empty when the table cannot be read.
    """
    try:
        header, rows = open_table(tree, name)
    except (SchemaError, PictureError):
        return {}
    first = next((row.fields for row in rows if not row.fault), [""] * len(header))
    return dict(zip((column.lower() for column in header), first, strict=True))


def instruments_of(tree):
    """
    Name the instruments of the first, middle and last of a tree's tables, by their first rows.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    set of str
        "" for a table that names none.
    """
    names = table_names(tree)
    looked_at = {names[i] for i in (0, len(names) // 2, -1)} if names else set()
    return {acquisition_metadata(table_columns(tree, name)).get("instrument", "") for name in looked_at}


def table_parts(tree, names=None):
    """
    List the parts of a tree's tables; what is wrong between rows and tables is found here, once.

    Parameters
    ----------
    tree : Tree
    names : list of str, optional
        Tables; all of `table_names` by default.

    Returns
    -------
    list of Part
    """
    first, parts = {}, []
    for name in table_names(tree) if names is None else names:
        try:
            parts.extend(_parts_of_table(tree, name, first))
        except (SchemaError, PictureError) as error:
            parts.append(Part(name, 1, {"fault": str(error)}))
    return parts


def read_table(tree, part):
    """
    Read the rows of a part.

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
    header, rows = open_table(tree, part.name, start=(part.detail["offset"], part.detail["line"]))
    convert = _converter(header)
    faults, ranks = dict(part.detail["faults"]), dict(part.detail["ranks"])
    find = _image_finder(tree, part.name, header)
    for number_in_part, row in enumerate(islice(rows, part.rows)):
        raw = dict(zip(header, row.fields, strict=False))
        origin = f"{part.name}:{row.line}"
        fault = faults.get(number_in_part) or row.fault
        if fault:
            yield Record(origin, None, {}, raw, fault)
            continue
        metadata = convert(row.fields)
        metadata["image_rank"] = ranks.get(number_in_part, 0)
        image, fault = find(row.fields)
        yield Record(origin, partial(_decode, tree, image) if image else None, metadata, raw, fault)


def _decode(tree, name):
    """Pixels of an image of the tree."""
    return decode(tree.read(name))


def _parts_of_table(tree, name, first):
    """Parts of one table; `first` gathers where every object of the source has been seen."""
    header, rows = open_table(tree, name)
    lower = [column.lower() for column in header]
    columns = [lower.index(c) if c in lower else -1 for c in ("object_id", "img_file_name", "img_rank")]
    starts, faults, ranks, count = [], {}, {}, 0
    images = {}
    for count, row in enumerate(rows, start=1):
        index = count - 1
        if index % MAX_ROWS == 0:
            starts.append((row.offset, row.line))
        if row.fault:
            continue
        key, image, rank = (row.fields[c].strip() if c >= 0 else "" for c in columns)
        fault, found = _place_object(first, images, key, image, (name, row.line))
        if fault:
            faults[index] = fault
        else:
            ranks[index] = (found, key, rank)
    return _cut(name, count, starts, faults, _rank(ranks))


def _place_object(first, images, key, image, here):
    """Fault of a row by what was seen before it, else ""; and whether its object has been seen in this table."""
    if is_missing(key):
        return f"no object identifier: object_id is {key!r}", False
    seen = first.setdefault(key, (*here, image))
    if seen[:2] == here:
        return "", False
    table, line, earlier = seen
    known = images.setdefault(key, {earlier: line}) if table == here[0] else {earlier: line}
    if image in known:
        return f"duplicate object and image: {key} with {image!r} is first on {table} line {known[image]}", True
    if table != here[0]:
        return f"duplicate object id: {key} is first on {table} line {line}", True
    known[image] = here[1]
    return "", True


def _rank(rows):
    """Rank of every row that is not 0: as given, else, as EcoTaxa does, the lowest that its object has free."""
    several = {key for again, key, _ in rows.values() if again}
    taken, ranks, waiting = {}, {}, []
    for index, (_, key, text) in rows.items():
        value = number(text) if text else None
        is_good = value is not None and value == int(value) and 0 <= value <= 32_767
        if key not in several:
            ranks[index] = int(value) if is_good else 0
        elif is_good and value not in taken.setdefault(key, set()):
            ranks[index] = int(value)
            taken[key].add(value)
        else:
            waiting.append((index, key))
    free = {}
    for index, key in waiting:
        rank = next(r for r in range(free.get(key, 0), 10**9) if r not in taken.get(key, ()))
        ranks[index], free[key] = rank, rank + 1
    return {index: rank for index, rank in ranks.items() if rank}


def _cut(name, count, starts, faults, ranks):
    """Parts of at most `MAX_ROWS` rows, each with what concerns it, numbered from its own first row."""
    shares = [{"faults": [], "ranks": []} for _ in starts]
    for kind, values in (("faults", faults), ("ranks", ranks)):
        for index, value in sorted(values.items()):
            shares[index // MAX_ROWS][kind].append([index % MAX_ROWS, value])
    return [
        Part(name, min(MAX_ROWS, count - i * MAX_ROWS), {"offset": offset, "line": line, **shares[i]})
        for i, (offset, line) in enumerate(starts)
    ]


def _converter(header):
    """A function from the fields of a row to metadata; what rows share is converted once."""
    at = {column.lower(): i for i, column in enumerate(header)}
    shared = [(column, at[column]) for column in ACQUISITION_COLUMNS if column in at]
    texts = [(ours, at[theirs]) for theirs, ours in _TEXTS.items() if theirs in at]
    places = [(ours, at[f"object_{theirs}"]) for ours, theirs in _PLACES if f"object_{theirs}" in at]
    day, clock, status = (at.get(f"object_{c}") for c in ("date", "time", "annotation_status"))
    known = {}

    def convert(fields):
        key = tuple([fields[i] for _, i in shared])
        if key not in known:
            known[key] = acquisition_metadata({column: fields[i] for column, i in shared})
        metadata = {"object_id": fields[at["object_id"]].strip(), **known[key]}
        for ours, i in texts:
            if not is_missing(fields[i]):
                metadata[ours] = fields[i].strip()
        for ours, i in places:
            value = coordinate(fields[i])
            if value is not None or not is_missing(fields[i]):
                metadata[ours] = fields[i].strip() if value is None else value
        _add_depth(metadata)
        if day is not None and not is_missing(fields[day]):
            hour = fields[clock] if clock is not None else None
            metadata["time"] = moment(fields[day], hour) or f"{fields[day]} {hour or ''}".strip()
        state = STATUSES.get(fields[status].strip().lower()) if status is not None else None
        if state:
            metadata["taxon_status"] = state
        return metadata

    return convert


_PLACES = (("latitude", "lat"), ("longitude", "lon"), ("depth_min", "depth_min"), ("depth_max", "depth_max"))


def _add_depth(metadata):
    """The middle of the layer, where both its bounds are known; what cannot be read is not passed over."""
    bounds = [metadata[name] for name in ("depth_min", "depth_max") if name in metadata]
    unread = [bound for bound in bounds if isinstance(bound, str)]
    if len(bounds) == 2:
        metadata["depth"] = unread[0] if unread else sum(bounds) / 2


def _image_finder(tree, table, header):
    """A function from the fields of a row to the name of its image in the tree, or to a fault."""
    lower = [column.lower() for column in header]
    column = lower.index("img_file_name") if "img_file_name" in lower else None
    identity = lower.index("object_id")
    folder = table.rpartition("/")[0] + "/" if "/" in table else ""

    def find(fields):
        file = fields[column].strip() if column is not None else ""
        if is_missing(file):
            return None, f"no image file in the table: object {fields[identity].strip()}"
        name = folder + file if _PLAIN_PATH.fullmatch(file) else beside(table, file)
        if name is None:
            return None, f"the image is outside the source: {file}"
        if name in tree:
            return name, ""
        return None, f"the image is not there: {name}" + (f", {tree.refused[name]}" if name in tree.refused else "")

    return find
