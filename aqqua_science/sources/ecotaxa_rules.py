"""
The rules of EcoTaxa's import, checked without EcoTaxa.

What only EcoTaxa's database can tell is not checked: whether a taxon or a person is known there, and what the project
already holds (objects, acquisitions, free columns). Process identifiers may repeat: EcoTaxa keeps one per acquisition.
"""

import re
from pathlib import Path

import pandas as pd

from aqqua_science.sources.ecotaxa_checks import Bundle, check_table, read_fields
from aqqua_science.sources.ecotaxa_headers import column_names
from aqqua_science.sources.ecotaxa_images import ImageChecker
from aqqua_science.sources.tree import Tree

MAX_TABLES = 2_000
"""Tables, and sub-bundles of a UVP6, that EcoTaxa takes at once."""

RULES = {
    "no-table": "A bundle needs a table whose name matches ecotaxa*.tsv or ecotaxa*.txt.",
    "upper-case-name": "EcoTaxa passes over tables whose name has capitals in 'ecotaxa' or in its extension.",
    "nested-zip": "EcoTaxa opens zips within a bundle only where their name ends in Images.zip.",
    "too-many-tables": "A bundle has at most 2,000 tables and sub-bundles.",
    "no-object": "A bundle needs at least one object.",
    "unreadable-file": "Tables and sub-bundles must be readable, not links, not encrypted.",
    "utf-16": "Tables are in latin-1, or in UTF-8 with a byte order mark, never in UTF-16.",
    "nul-bytes": "Tables have no NUL bytes.",
    "utf-8-without-mark": "UTF-8 is recognised by its byte order mark only; without it text is read as latin-1.",
    "damaged-utf-8": "After a byte order mark all must be UTF-8.",
    "not-tab-separated": "Columns are separated by tabs.",
    "unclosed-quote": "A quote that opens a cell closes it too.",
    "header-without-underscore": "Names of columns have the form Table_Field.",
    "unknown-prefix": "Free columns begin with object_, acq_, process_ or sample_; img_ has no free columns.",
    "empty-header": "Every column has a name.",
    "doubled-column": "Every column is there once, capitals and blanks around it aside.",
    "missing-column": "Tables have the columns img_file_name and object_id.",
    "missing-parent-id": "Columns of acq_, process_ or sample_ need acq_id, process_id or sample_id.",
    "missing-type-line": "The second line gives the types of the columns.",
    "invalid-type": "The type of a free object_ column is exactly [f] or [t].",
    "type-differs": "A free object_ column has the same type in all tables.",
    "too-many-free-columns": (
        "A project has room for 500 numeric and 20 text free columns of object_, 30 of acq_, 30 of process_, 60 of "
        "sample_."
    ),
    "values-without-header": "No line has more fields than the header.",
    "short-row": "No line ends before the columns of the annotation's status and category.",
    "invalid-number": "Cells of numeric columns are numbers, nan, na or empty; -inf is refused.",
    "invalid-latitude": "object_lat is from -90 to 90, in decimal degrees or DDD°MM SS.",
    "invalid-longitude": "object_lon is from -180 to 180, in decimal degrees or DDD°MM SS.",
    "invalid-date": "Dates are real ones, YYYYMMDD or YYYY-MM-DD.",
    "invalid-time": "Times are real ones, HHMM, HHMMSS or HH:MM:SS; zeros in front may be missing.",
    "invalid-rank": "img_rank is a whole number of 16 bits.",
    "text-too-long": "Free text has at most 250 characters, names and links 255, the portal's descriptor 8,000.",
    "unknown-status": "The status is predicted, dubious, validated (or discarded, noid), in any case of letters.",
    "status-without-category": "An annotation with a status has a category.",
    "category-without-status": "An annotation with a category has a status.",
    "invalid-category-id": "object_annotation_category_id is a whole number from 1.",
    "malformed-taxon": "A category is Child or Child<Parent, without blanks around '<'.",
    "missing-object-id": "Every line has an object_id.",
    "duplicate-object-image": "The pair of object_id and img_file_name is unique in the bundle.",
    "object-in-two-places": "All lines of an object have the same sample_id and acq_id.",
    "acquisition-in-two-samples": "All lines of an acquisition have the same sample_id.",
    "missing-image": "Every line names an image that is there, relative to its table.",
    "image-outside": "Images lie within the bundle.",
    "image-format": "Images are PNG, JPEG or GIF.",
    "empty-image": "Image files are not empty.",
    "corrupt-image": "Images can be decoded to their last pixel.",
    "image-too-large": "Images have at most 32,767 pixels a side and 400,000,000 in all.",
}
"""Rule -> what it says."""

_TABLE = re.compile(r"(?:.*/)?ecotaxa[^/]*\.(?:tsv|txt)")
_ANY_CASE = re.compile(_TABLE.pattern, re.IGNORECASE)
_COLUMNS = ["file", "line", "rule", "message"]


def validate_bundle(path):
    r"""
    Check an import bundle against all rules of EcoTaxa that can be checked without it.

    Parameters
    ----------
    path : str or pathlib.Path
        A folder, a zip, or one table, whose images lie beside it.

    Returns
    -------
    pandas.DataFrame
        One row per fault, in the order of file and line: ``file``, ``line`` (1 is the header, 0 the whole file or
        bundle), ``rule`` (see `RULES`) and ``message``. Empty when EcoTaxa would take the bundle. A faulty value is
        told once per column, where it first stands.

    Raises
    ------
    SchemaError
        If there is nothing at the path, or a zip cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> table = Path(tempfile.mkdtemp(), "ecotaxa_a.tsv")
    >>> _ = table.write_text("img_file_name\tobject_id\n[t]\t[t]\n1.png\ta1\n")
    >>> validate_bundle(table)[["line", "rule"]].to_numpy().tolist()
    [[3, 'missing-image']]
    """
    path = Path(path)
    is_table = path.is_file() and path.suffix.lower() != ".zip"
    tree = Tree(path.parent if is_table else path)
    bundle = Bundle(tree, ImageChecker(tree))
    tables = [path.name] if is_table else [name for name in tree.names if _ANY_CASE.fullmatch(name)]
    _check_names(bundle, tables, is_table=is_table)
    for name in tables:
        if name in tree:
            check_table(bundle, name)
    if tables and not bundle.rows and not bundle.faults:
        message = "No object to import: the table has no lines behind its types. Add them, or leave the table out."
        bundle.faults.append((tables[0] if len(tables) == 1 else "", 0, "no-object", message))
    bundle.faults.extend(bundle.keys.faults(lambda name, lines: _names_at(bundle, name, lines)))
    return _frame(bundle.faults)


def _frame(faults):
    frame = pd.DataFrame(faults, columns=_COLUMNS).astype({"line": "int64"})
    return frame.sort_values(["file", "line"], kind="stable", ignore_index=True)


def _check_names(bundle, tables, *, is_table):
    """What EcoTaxa would not find, or not open."""
    for name in tables:
        if not _TABLE.fullmatch(name) and _ANY_CASE.fullmatch(name):
            message = (
                f"'{Path(name).name}' is passed over. Its name must begin with 'ecotaxa' and end in .tsv or .txt, "
            )
            bundle.faults.append((name, 0, "upper-case-name", message + "in small letters; rename it."))
        if _is_hidden(name):
            message = "A zip within the bundle is opened only if its name ends in Images.zip. Unpack it."
            bundle.faults.append((name, 0, "nested-zip", message))
    if is_table:
        return
    _check_refused(bundle)
    subs = {name[: name.index("Images.zip/")] for name in bundle.tree.names if "Images.zip/" in name}
    outer = sum("Images.zip/" not in name for name in tables)
    if outer + len(subs) > MAX_TABLES:
        message = f"You tried to import too many files, max. is {MAX_TABLES}, here are {outer + len(subs):,}. "
        bundle.faults.append(("", 0, "too-many-tables", message + "Make several bundles of them."))
    if not tables and not bundle.faults:
        message = "No object to import: no .txt or .tsv file whose name starts with 'ecotaxa'. Rename the table so."
        bundle.faults.append(("", 0, "no-table", message))


def _check_refused(bundle):
    for name, reason in bundle.tree.refused.items():
        if _ANY_CASE.fullmatch(name) or name.lower().endswith(".zip"):
            message = f"'{name}' cannot be read: {reason}. Replace it by a regular file."
            bundle.faults.append((name, 0, "unreadable-file", message))


def _is_hidden(name):
    """Whether a table lies in a zip that EcoTaxa does not open."""
    return any(part.lower().endswith(".zip") and not part.endswith("Images.zip") for part in name.split("/")[:-1])


def _names_at(bundle, name, lines):
    """Object and image on some lines of a table."""
    rows = (row for row in read_fields(bundle.tree, name, bundle.encodings[name]) if row[1])
    found = {}
    columns = column_names(next(rows)[1])
    places = [columns.index(c) if c in columns else -1 for c in ("object_id", "img_file_name")]
    for line, fields in rows:
        if line in lines:
            found[line] = tuple(fields[p].strip() if 0 <= p < len(fields) else "" for p in places)
    return found
