"""Rows of EcoTaxa-shaped tables: a fast scan that can start anywhere, and that survives damage."""

import csv
from collections import Counter
from dataclasses import dataclass

from aqqua_science.schema import SchemaError
from aqqua_science.sources.tables import decode_text


@dataclass(slots=True)
class TableRow:
    """
    A row of a table, and where it stands.

    Attributes
    ----------
    line : int
        Line of the file it starts on.
    offset : int
        Character of the text it starts on.
    fields : list of str
    fault : str
    """

    line: int
    offset: int
    fields: list
    fault: str = ""


def open_table(tree, name, *, start=None):
    """
    Open a table.

    Parameters
    ----------
    tree : Tree
    name : str
    start : tuple of int, optional
        Offset and line of the row to start at; the first by default.

    Returns
    -------
    header : list of str
    rows : iterator of TableRow
        Lines without any value and the line of types are passed over.

    Raises
    ------
    SchemaError
        If the header names a column twice or not at all, or has no ``object_id``.
    PictureError
        If the file cannot be read.
    """
    text = decode_text(tree.read(name))
    # Old Macs ended lines so.
    text = text.replace("\r", "\n") if "\n" not in text else text
    lines = _raw_rows(text, 0, 1)
    header = _checked_header(next(lines, ([],))[0], name)
    second, offset, line, _ = next(lines, ([], len(text), 1, ""))
    if _is_types(second):
        _, offset, line, _ = next(lines, ([], len(text), 1, ""))
    return header, _scan(text, *(start or (offset, line)), len(header))


def _checked_header(fields, name):
    """Names of the columns; what follows the last of them unnamed is dropped."""
    header = [column.strip() for column in fields]
    while header and not header[-1]:
        header.pop()
    lower = [column.lower() for column in header]
    doubled = [column for column, count in Counter(lower).items() if column and count > 1]
    fault = f"names {doubled[0]!r} twice" if doubled else "has a column without a name" if "" in header else ""
    fault = fault or ("" if "object_id" in lower else "names no column object_id")
    if fault:
        msg = f"the table cannot be used: the first line of {name} {fault}"
        raise SchemaError(msg)
    return header


def _is_types(fields):
    """Whether a line gives the columns' types, [t] or [f]."""
    kinds = {field.strip().lower() for field in fields} - {""}
    return bool(kinds) and kinds <= {"[t]", "[f]"}


def _lines(text, place):
    """Lines of a text; `place` is kept at the offset behind the last one handed over."""
    while place[0] < len(text):
        start = place[0]
        end = text.find("\n", start) + 1 or len(text)
        place[0] = end
        yield text[start:end]


def _raw_rows(text, offset, line):
    """Fields, offset, line and fault of every row; who sends True has the lines behind its first read once more."""
    place, started = [offset], offset
    reader, seen = csv.reader(_lines(text, place), delimiter="\t"), 0
    while True:
        try:
            fields, fault = next(reader, None), ""
        except csv.Error as error:
            fields, fault = [], f"an unreadable row: {error}"
        if fields is None:
            return
        taken, seen = reader.line_num - seen, reader.line_num
        if taken > 1 and text.count('"', started, place[0]) % 2:
            fields, fault = [], "an unreadable row: a quote that is never closed"
        again = yield fields, started, line, fault
        if fault or (again and taken > 1):
            taken = 1
            place[0] = text.find("\n", started) + 1 or len(text)
            reader, seen = csv.reader(_lines(text, place), delimiter="\t"), 0
        started, line = place[0], line + taken
        if again:
            yield None


def _scan(text, offset, line, width):
    """Rows behind the header; a stray quote costs its own line, not those it swallows."""
    rows = _raw_rows(text, offset, line)
    damaged = "\0" in text
    for fields, start, at, fault in rows:
        if not fault and not any(fields):
            continue
        if len(fields) > width and not any(fields[width:]):
            del fields[width:]
        if not fault and len(fields) != width:
            fault = f"a ragged row: {len(fields)} fields where the header has {width}"
            rows.send(True)
        if not fault and damaged and any("\0" in field for field in fields):
            fault = "NUL characters: the row is damaged"
        yield TableRow(at, start, fields, fault)
