"""What goes into which table of an EcoTaxa bundle, and which free columns there is room for."""

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from aqqua_science.schema import SchemaError
from aqqua_science.sources.ecotaxa_headers import FREE_COLUMNS
from aqqua_science.sources.ecotaxa_names import free_name, is_bundle_column, plain_name
from aqqua_science.sources.ecotaxa_values import PREDEFINED
from aqqua_science.sources.tables import is_missing

FILE_COLUMN = "object_aqqua_file"
"""Where the name of an image stays when the image cannot keep it."""

MADE = {
    "object_id": "object_id",
    "object_lat": "latitude",
    "object_lon": "longitude",
    "object_date": "time",
    "object_time": "time",
    "object_depth_min": "depth_min",
    "object_depth_max": "depth_max",
    "img_rank": "image_rank",
    "sample_id": "sample_id",
    "acq_id": "acquisition_id",
    "acq_instrument": "instrument",
    "acq_pixel_um": "pixel_size_um",
    "acq_volume_m3": "volume_m3",
    "sample_licence": "licence",
    "sample_water": "water",
    "sample_surface_altitude_m": "surface_altitude_m",
    "object_annotation_category": "taxon",
    "object_annotation_status": "taxon_status",
}
"""EcoTaxa's column -> ours, for images that do not come from a bundle."""

# EcoTaxa writes it into its exports, but has no place for it at the import.
_HIERARCHY = "object_annotation_hierarchy"
_CHUNK = 10_000
_OWN = re.compile(r"(taxon|probability|pc)_(\d+)|(esd_um|carbon_ug)|(?:trait|aux)_.+", re.ASCII)
_PLAIN_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*|(?=\.\d))(?:\.\d*)?(?:[eE][+-]?\d+)?", re.ASCII)


class Remarks:
    """What was left out or changed on the way, counted."""

    def __init__(self):
        self._counts, self._firsts = Counter(), {}

    def add(self, remark, example="", count=1):
        """
        Note something.

        Parameters
        ----------
        remark : str
        example : str
        count : int
        """
        self._counts[remark] += count
        self._firsts.setdefault(remark, example)

    def sentences(self):
        """
        Tell all remarks, how often each holds and where first.

        Returns
        -------
        list of str
        """
        firsts = {text: f", first: {example}" if example else "" for text, example in self._firsts.items()}
        return [f"{text} ({count:,} times{firsts[text]})" for text, count in self._counts.items()]


@dataclass
class Group:
    """
    Rows that make one table.

    Attributes
    ----------
    sample : str
    names : dict of str to str
        Column of the source -> column of the table.
    from_bundle : bool
    rows : list of int
    """

    sample: str
    names: dict
    from_bundle: bool
    rows: list = field(default_factory=list)


@dataclass
class Layout:
    """
    Tables of a bundle.

    Attributes
    ----------
    groups : list of Group
    parents : pandas.DataFrame
        Row -> ``sample``, ``acq`` as they are written.
    own : dict of str to str
        Column of ours in the table -> column of the objects.
    types : dict of str to str
        Free column, in lower case -> ``[f]`` or ``[t]``; those without room are not there.
    remarks : Remarks
    """

    groups: list
    parents: pd.DataFrame
    own: dict
    types: dict
    remarks: Remarks


def lay_out(objects, store):
    """
    Arrange objects in tables: one for every sample and set of columns.

    Parameters
    ----------
    objects : pandas.DataFrame
    store : object

    Returns
    -------
    Layout
    """
    kinds, remarks, shapes, pieces = _Kinds(), Remarks(), {}, []
    own = own_columns(objects)
    for start in range(0, len(objects), _CHUNK):
        rows = objects.index[start : start + _CHUNK]
        pieces.append(_survey(store.raw(list(rows)), store.table.loc[rows], shapes, kinds))
    seen = pd.concat(pieces)
    seen = _without_strays(seen, remarks)
    _part_acquisitions(seen, remarks)
    groups = {}
    for row, sample, shape in zip(seen.index, seen["sample"], seen["shape"], strict=True):
        names, from_bundle = shapes[shape]
        groups.setdefault((sample, shape), Group(sample, names, from_bundle)).rows.append(int(row))
    types = _assign_types(kinds, _ranked_columns(shapes.values(), objects, own), remarks)
    return Layout(list(groups.values()), seen[["sample", "acq"]], own, types, remarks)


def own_columns(objects):
    """
    Name the columns that carry what was computed, which EcoTaxa has no place for.

    Parameters
    ----------
    objects : pandas.DataFrame

    Returns
    -------
    dict of str to str
        Column of the table -> column of the objects; those without any value are not there.

    Examples
    --------
    >>> own_columns(pd.DataFrame({"taxon": ["a"], "probability": [0.9], "pc_1": [2.0], "depth": [5.0]}))
    {'object_aqqua_score': 'probability', 'object_aqqua_taxon_1': 'taxon', 'object_aqqua_pc01': 'pc_1'}
    """
    found = {"probability": "score", "model": "model"}
    if "taxon_1" not in objects and "probability" in objects:
        found["taxon"] = "taxon_1"
    for column in map(str, objects.columns):
        match = _OWN.fullmatch(column)
        if match:
            kind, number, size = match.groups()
            short = {"pc": f"pc{int(number):02}", "probability": f"score_{number}"} if kind else {}
            found[column] = size or short.get(kind) or plain_name(column).lower().replace("-", "_")
    return {f"object_aqqua_{short}": c for c, short in found.items() if c in objects and objects[c].notna().any()}


class _Kinds:
    """Which free columns hold numbers alone, over all tables."""

    def __init__(self):
        self._seen = defaultdict(set)
        self.plain, self.loose = defaultdict(lambda: True), defaultdict(lambda: True)

    def add(self, name, cells):
        """Take up cells of a column; a number with zeros in front is a code, and stays text if there is room."""
        if self.loose[name]:
            fresh = set(cells) - self._seen[name]
            self.plain[name] = self.plain[name] and all(map(_is_plain_number, fresh))
            self.loose[name] = all(map(_is_number, fresh))
            self._seen[name] = self._seen[name] | fresh if len(self._seen[name]) < _CHUNK else set()


def _is_plain_number(text):
    text = text.strip()
    return text.lower() in ("", "nan", "na") or (bool(_PLAIN_NUMBER.fullmatch(text)) and math.isfinite(float(text)))


def _is_number(text):
    """Whether EcoTaxa takes it for a number, or for nothing."""
    try:
        return not text.strip() or text.strip().lower() == "na" or float(text) != -math.inf
    except ValueError:
        return False


def _survey(raw, table, shapes, kinds):
    """Shape (set of columns), object and parents of some rows; shapes and kinds are added to."""
    present = raw.notna().to_numpy(dtype=bool)
    columns = raw.columns.astype(str)
    codes, patterns = pd.factorize(pd.Series([bits.tobytes() for bits in np.packbits(present, axis=1)]))
    pieces = []
    for code in range(len(patterns)):
        rows = np.flatnonzero(codes == code)
        held = list(columns[present[rows[0]]]) if len(columns) else []
        shape = tuple(held)
        if shape not in shapes:
            shapes[shape] = _named(held)
        names, from_bundle = shapes[shape]
        part = raw.iloc[rows]
        for original, name in names.items():
            if name.lower() not in PREDEFINED:
                kinds.add(name.lower(), part[original].unique())
        source = part if from_bundle else pd.DataFrame(index=part.index)
        pieces.append(_identified(source, table.iloc[rows], names).assign(shape=[shape] * len(rows)))
    return pd.concat(pieces).loc[raw.index]


def _named(columns):
    """Names in the table of the columns of a source, and whether it is a bundle."""
    lower = {column.strip().lower() for column in columns}
    if {"object_id", "img_file_name"} <= lower and len(lower) == len(columns):
        kept = [column for column in columns if column.strip().lower() != _HIERARCHY]
        taken = lower | {FILE_COLUMN}
        return {c: c.strip() if is_bundle_column(c) else free_name(c, taken) for c in kept}, True
    taken = {*MADE, FILE_COLUMN, "process_id", "img_file_name"}
    return {column: free_name(column, taken) for column in columns}, False


def _identified(raw, table, names):
    """Object, sample and acquisition of rows as they will be written; those of no bundle have all three."""
    written = {name.lower(): original for original, name in names.items() if original in raw}
    found = {"object": _cells(raw, table, written, "object_id")}
    for parent in ("sample", "acq"):
        wanted = not written or f"{parent}_id" in written or any(n.startswith(f"{parent}_") for n in written)
        found[parent] = _cells(raw, table, written, f"{parent}_id") if wanted else ""
    return pd.DataFrame(found, index=table.index)


def _cells(raw, table, written, name):
    if name in written:
        return raw[written[name]].str.strip()
    known = [table[c] for c in (MADE[name], "sample_id", "acquisition_id") if c in table]
    values = pd.Series(None, index=table.index, dtype=object)
    for column in known:
        values = values.where(values.notna(), column.astype(object).where(column.notna(), None))
    return values.map(lambda v: "unknown" if v is None or is_missing(str(v)) else str(v).strip())


def _without_strays(seen, remarks):
    """Rows whose object stands in one table and acquisition only, as EcoTaxa wants it."""
    first = seen.groupby("object", sort=False)[["sample", "acq", "shape"]].transform("first")
    stray = (seen[["sample", "acq", "shape"]] != first).any(axis=1)
    if stray.any():
        text = "image left out, its object_id is in another sample, acquisition or table as well"
        remarks.add(text, seen["object"][stray].iloc[0], int(stray.sum()))
    return seen[~stray].copy()


def _part_acquisitions(seen, remarks):
    """Acquisitions that several samples share get the sample's name in front, in place."""
    named = seen[(seen["acq"] != "") & (seen["sample"] != "")]
    several = named.groupby("acq")["sample"].nunique()
    shared = named.index[named["acq"].isin(several.index[several > 1])]
    if len(shared):
        remarks.add("acq_id named after its sample, another has it too", seen.loc[shared[0], "acq"], len(shared))
        seen.loc[shared, "acq"] = seen.loc[shared, "sample"] + "_" + seen.loc[shared, "acq"]


def _ranked_columns(shapes, objects, own):
    """Free columns by right of place, each with what it holds if we know: bundles' own, ours, those of others."""
    shapes = list(shapes)
    ranked = {n.lower(): (0, None) for names, from_bundle in shapes if from_bundle for n in names.values()}
    made = [] if all(from_bundle for _, from_bundle in shapes) else list(MADE)
    for name in made:
        ranked.setdefault(name, (1, False))
    for name, column in own.items():
        is_number = pd.api.types.is_numeric_dtype(objects[column])
        ranked[name] = (ranked.get(name, (1,))[0], is_number)
    if any(from_bundle for _, from_bundle in shapes):
        ranked.setdefault(FILE_COLUMN, (2, False))
    for names, _ in shapes:
        for name in names.values():
            ranked.setdefault(name.lower(), (3, None))
    return {name: place for name, place in ranked.items() if name not in PREDEFINED}


def _assign_types(kinds, ranked, remarks):
    """Types of the free columns for which there is room; what can only be text has the first choice of text."""
    choices = {}
    for name, (rank, is_number) in ranked.items():
        plain = kinds.plain[name] if is_number is None else is_number and kinds.loose[name]
        loose = kinds.loose[name] if is_number is None else plain
        choices[name] = (rank, 1 + plain if loose else 0)
    types, counts = {}, Counter()
    for name in sorted(choices, key=lambda name: choices[name]):
        freedom, prefix = choices[name][1], name.partition("_")[0]
        possible = (("[t]",), ("[t]", "[f]"), ("[f]", "[t]"))[freedom] if prefix == "object" else ("[t]",)
        kind = next((k for k in possible if counts[prefix, k] < FREE_COLUMNS[prefix, k]), None)
        if kind is None and name != FILE_COLUMN:
            remarks.add(f"column {name} left out, EcoTaxa has room for {FREE_COLUMNS[prefix, possible[0]]} of its sort")
        elif kind:
            types[name] = kind
            counts[prefix, kind] += 1
    return types


def check_objects(objects, store):
    """
    Refuse objects that are not rows of a store, or whose scores are none.

    Parameters
    ----------
    objects : pandas.DataFrame
    store : object

    Raises
    ------
    SchemaError
        Naming what is wrong.
    """
    if objects.empty:
        msg = "there are no objects to write. Select some rows of store.table."
        raise SchemaError(msg)
    strange = objects.index[~objects.index.isin(store.table.index) | objects.index.duplicated()]
    if len(strange):
        msg = (
            f"the index of the objects must hold rows of the store, each once; {strange[0]!r} is not one or is there "
            "twice. Derive the objects from store.table, as in store.table.assign(taxon=...), or say which rows they "
            'are, as in objects.set_index("row").'
        )
        raise SchemaError(msg)
    _check_identity(objects, store)
    for column in objects.columns:
        if re.fullmatch(r"probability(_\d+)?", str(column), re.ASCII):
            values = pd.to_numeric(objects[column])
            outside = values[(values < 0) | (values > 1)]
            if len(outside):
                found = f"row {outside.index[0]} has {outside.iloc[0]:g}"
                msg = f"{column} must be from 0 to 1; {found}. Divide percents by 100."
                raise SchemaError(msg)


def _check_identity(objects, store):
    """Refuse a table whose index was lost on the way, as by a merge: its rows would get others' predictions."""
    if "object_id" not in objects.columns or "object_id" not in store.table.columns:
        return
    own = store.table["object_id"].loc[objects.index]
    other = objects.index[objects["object_id"].astype(str).to_numpy() != own.astype(str).to_numpy()]
    if len(other):
        msg = (
            f"the index of the objects must hold rows of the store; row {other[0]} is object {own[other[0]]!r} there "
            f"and {objects['object_id'][other[0]]!r} here. A merge loses the index: use "
            'store.table.join(predictions.set_index("object_id"), on="object_id").'
        )
        raise SchemaError(msg)
