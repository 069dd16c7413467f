"""The cells of one table of an EcoTaxa bundle."""

import math
import re

import pandas as pd

from aqqua_science.sources.ecotaxa_columns import STATUSES
from aqqua_science.sources.ecotaxa_headers import TYPES
from aqqua_science.sources.ecotaxa_layouts import MADE
from aqqua_science.sources.ecotaxa_names import PREFIXES, shortened
from aqqua_science.sources.ecotaxa_values import PREDEFINED, all_good, cell_fault, taxon_fault
from aqqua_science.sources.tables import is_missing

_CATEGORY, _STATUS = "object_annotation_category", "object_annotation_status"
_CATEGORY_ID = "object_annotation_category_id"
_OF_ANNOTATION = (_CATEGORY_ID, *(f"object_annotation_{c}" for c in ("person_name", "person_email", "date", "time")))
_SPECIAL = re.compile(r'[\t\n\r"]')
_HUMAN = {"validated", "dubious", "discarded", "v", "d"}
_NUMERIC = {"number", "latitude", "longitude", "rank", "taxon number"}
_FLOATS = {"object_lat", "object_lon", "object_depth_min", "object_depth_max", "object_annotation_category_id"}


def table_contents(group, layout, *, objects, store):
    """
    Fill the cells of a table, but for the names of its images.

    Parameters
    ----------
    group : Group
    layout : Layout
        Its remarks are added to.
    objects : pandas.DataFrame
    store : object

    Returns
    -------
    pandas.DataFrame
        Text, one row per image, indexed by the rows of the store; every cell is one that EcoTaxa takes.
    """
    part, table = objects.loc[group.rows], store.table.loc[group.rows]
    parents = layout.parents.loc[group.rows]
    frame = _original_cells(group, layout, store)
    if not group.from_bundle:
        frame = pd.concat([_made_cells(part, table, parents), frame], axis=1)
    _annotate(frame, part, table, layout.remarks, from_bundle=group.from_bundle)
    own = {column_of(frame, n) or n: _texts(part[c]) for n, c in layout.own.items() if n in layout.types}
    frame = pd.concat(
        [frame.drop(columns=[n for n in own if n in frame]), pd.DataFrame(own, index=frame.index)], axis=1
    )
    _add_parents(frame, parents)
    _mend(frame, layout)
    return frame


def table_bytes(frame, types):
    r"""
    Write a table as EcoTaxa reads it best.

    Parameters
    ----------
    frame : pandas.DataFrame
        Text.
    types : dict of str to str
        Free column, in lower case -> type.

    Returns
    -------
    bytes
        UTF-8 with a byte order mark, separated by tabs; names and types first. Cells are written as they are, also
        where a spreadsheet would take them for formulas.

    Examples
    --------
    >>> frame = pd.DataFrame({"object_id": ["a"], "object_area": ["1"]})
    >>> table_bytes(frame, {"object_area": "[f]"}).decode("utf-8-sig")
    'object_id\tobject_area\n[t]\t[f]\na\t1\n'
    """
    kinds = [types.get(c.lower(), "[f]" if c.lower() in {*_FLOATS, "img_rank"} else "[t]") for c in frame]
    rows = [list(frame.columns), kinds, *frame.itertuples(index=False, name=None)]
    return "".join("\t".join(map(_quoted, row)) + "\n" for row in rows).encode("utf-8-sig")


def _quoted(cell):
    """A cell in quotes where it needs them, lone carriage returns included, which Python's csv leaves bare."""
    return '"' + cell.replace('"', '""') + '"' if _SPECIAL.search(cell) else cell


def cell_text(value):
    """
    Write a value into a cell.

    Parameters
    ----------
    value : object

    Returns
    -------
    str
        The shortest text that reads as the same number; empty for what is missing or not finite.

    Examples
    --------
    >>> cell_text(0.1), cell_text(float("nan")), cell_text(3), cell_text("a")
    ('0.1', '', '3', 'a')
    """
    if value is None or value is pd.NaT or value is pd.NA:
        return ""
    if hasattr(value, "item"):
        # A float32 is written with its own digits: 0.1, not 0.10000000149011612.
        value = float(str(value)) if value.dtype.kind == "f" else value.item()
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else ""
    return str(value).replace("\0", "").strip()


def column_of(frame, name):
    """
    Find a column whatever its case.

    Parameters
    ----------
    frame : pandas.DataFrame
    name : str
        In lower case.

    Returns
    -------
    str or None

    Examples
    --------
    >>> column_of(pd.DataFrame(columns=["Object_ID"]), "object_id")
    'Object_ID'
    """
    return next((column for column in frame.columns if column.lower() == name), None)


def _texts(values):
    """Cells of a column; its own type tells how many digits a number has."""
    return pd.Series([cell_text(value) for value in values.to_numpy()], index=values.index, dtype=object)


def _original_cells(group, layout, store):
    """Every column of the source that has a place, untouched."""
    raw = store.raw(group.rows)
    raw.columns = raw.columns.astype(str)
    kept = {c: n for c, n in group.names.items() if n.lower() in PREDEFINED or n.lower() in layout.types}
    lost = set(raw.columns[raw.iloc[0].notna()]) - set(group.names)
    for column in sorted(lost):
        layout.remarks.add(f"column {column} left out, EcoTaxa's import has no place for it", count=len(raw))
    for column, name in kept.items():
        if group.from_bundle and column.strip() != name:
            layout.remarks.add(f"column {column} became {name}, as its name has no table", count=len(raw))
    return raw[list(kept)].rename(columns=kept).astype(object)


def _made_cells(part, table, parents):
    """EcoTaxa's columns from what we know of images that come from elsewhere."""
    known = part.drop(columns=["taxon", "taxon_status"], errors="ignore")
    known = known.assign(**{c: table[c] for c in ("taxon", "taxon_status") if c in table})
    if "image_rank" in known:
        known["image_rank"] = known["image_rank"].astype("Int64")
    cells = {name: _texts(known[c]) for name, c in MADE.items() if c in known and c != "time"}
    if "time" in known:
        moments = pd.to_datetime(known["time"], utc=True)
        cells["object_date"] = moments.dt.strftime("%Y%m%d").fillna("")
        cells["object_time"] = moments.dt.strftime("%H%M%S").fillna("")
    if "depth" in known:
        depth = _texts(known["depth"])
        for name in ("object_depth_min", "object_depth_max"):
            cells[name] = cells[name].where(cells[name] != "", depth) if name in cells else depth
    cells |= {"sample_id": parents["sample"], "acq_id": parents["acq"]}
    order = ["object_id", "img_file_name", *(name for name in MADE if name != "object_id")]
    cells["img_file_name"] = pd.Series("", index=part.index)
    return pd.DataFrame({name: cells[name] for name in order if name in cells}).astype(object)


def _annotate(frame, part, table, remarks, *, from_bundle):
    """Enter predictions, but never over what a human has said; a category has a status and the reverse."""
    category, status = (column_of(frame, name) for name in (_CATEGORY, _STATUS))
    wanted = [tidy_taxon(cell_text(v)) for v in part["taxon"]] if "taxon" in part else [""] * len(part)
    if category is None and column_of(frame, _CATEGORY_ID):
        remarks.add("prediction in object_aqqua_taxon_1 alone, its table names taxa by number", count=len(part))
        return
    if category is None and status is None and not any(wanted):
        return
    for name in (_CATEGORY, _STATUS):
        if column_of(frame, name) is None:
            frame[name] = ""
    category, status = (column_of(frame, name) for name in (_CATEGORY, _STATUS))
    states = table["taxon_status"].map(cell_text) if "taxon_status" in table else [""] * len(table)
    pairs = list(zip(frame[category], frame[status], states, wanted, strict=True))
    found = [_annotation(*pair) for pair in pairs]
    frame[category], frame[status] = [c for c, _, _ in found], [s for _, s, _ in found]
    fresh = pd.Series([is_new for _, _, is_new in found], index=frame.index)
    for name in filter(None, (column_of(frame, n) for n in _OF_ANNOTATION)):
        frame.loc[fresh, name] = ""
    for pair, now in zip(pairs, found, strict=True):
        if not now[2] and pair[3] and _is_unsaid(*pair[:3]) and pair[3] != tidy_taxon(pair[0]):
            remarks.add("taxon kept, nothing says that it was predicted", f"{pair[0]!r}, not {pair[3]!r}")
        if from_bundle and not now[2] and pair[:2] != now[:2]:
            remarks.add("annotation mended, it wants category and status both", f"{pair[0]!r}, {pair[1]!r}")


def _annotation(category, status, state, wanted):
    """Category, status, and whether they are a new prediction."""
    named = category.strip()
    is_human = status.strip().lower() in _HUMAN or state.lower() in _HUMAN
    is_kept = _is_unsaid(category, status, state) or (is_human and named)
    if wanted and not is_kept and wanted != tidy_taxon(named):
        return wanted, "predicted", True
    if not named:
        return ("", "", False) if status.strip() else (category, status, False)
    legal = category if not taxon_fault(category) else tidy_taxon(category)
    spelt = status if status.strip() else state if state.lower() in STATUSES else "predicted"
    return legal, STATUSES.get(spelt.strip().lower(), spelt) if len(spelt.strip()) == 1 else spelt, False


def _is_unsaid(category, status, state):
    """Whether a taxon comes without a status; such labels are people's, as the classifier takes them to be."""
    return bool(tidy_taxon(category)) and is_missing(status) and not state


def tidy_taxon(text):
    """
    Write a taxon as EcoTaxa wants it.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        ``Child`` or ``Child<Parent``, without blanks around ``<``; empty where no taxon is named.

    Examples
    --------
    >>> tidy_taxon("egg < other"), tidy_taxon("nan")
    ('egg<other', '')
    """
    return "" if is_missing(text) else "<".join(filter(None, map(str.strip, text.split("<"))))


def _add_parents(frame, parents):
    """Identifiers that columns of acquisitions, processes and samples need, and those that were told apart."""
    for prefix, column in (("sample", "sample"), ("acq", "acq"), ("process", "acq")):
        name = column_of(frame, f"{prefix}_id")
        if name is None and any(c.lower().startswith(f"{prefix}_") for c in frame):
            frame[f"{prefix}_id"] = parents[column]
        elif prefix == "acq" and name is not None:
            frame[name] = frame[name].where(frame[name].str.strip() == parents["acq"], parents["acq"])


def _mend(frame, layout):
    """Put every cell right that EcoTaxa would refuse, or empty it, and tell so."""
    for column in frame.columns:
        name = column.lower()
        _clean(frame, column, layout.remarks)
        kind = PREDEFINED[name] if name in PREDEFINED else TYPES[layout.types[name]]
        cells = set(frame[column]) - {""}
        if name in ("img_file_name", _CATEGORY) or all_good(kind, cells):
            continue
        bad = {cell: fault for cell in cells if (fault := cell_fault(name, kind, cell))}
        if bad:
            better = {cell: _mended(name, kind, cell) for cell in bad}
            for cell in frame[column][frame[column].isin(bad)]:
                what = f"became {better[cell]!r}" if better[cell] else "left empty"
                layout.remarks.add(f"{name} {'changed' if better[cell] else 'left empty'}, {bad[cell][0]}", what)
            frame[column] = frame[column].map(lambda cell, better=better: better.get(cell, cell))


def _clean(frame, column, remarks):
    """Drop what no text file holds: NUL characters and halves of characters."""
    joined = "".join(frame[column])
    if "\0" in joined or joined != joined.encode(errors="ignore").decode():
        better = [cell.replace("\0", "").encode(errors="ignore").decode() for cell in frame[column]]
        remarks.add(f"{column.lower()} changed, it had characters that no text has", count=len(better))
        frame[column] = better


def _mended(name, kind, cell):
    """The nearest text that EcoTaxa takes; empty when there is none."""
    if name.removesuffix("_id") in PREFIXES:
        return shortened(cell.strip(), kind)
    comma = cell.strip().replace(",", ".", 1)
    if kind in _NUMERIC and re.fullmatch(r"[+-]?\d*\.\d+", comma, re.ASCII) and not cell_fault(name, kind, comma):
        return comma
    return STATUSES.get(cell.strip().lower(), "") if kind == "status" else ""
