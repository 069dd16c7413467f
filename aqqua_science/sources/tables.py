"""Text tables as instruments and portals write them: read as text, row by row, with the faults named."""

import csv
import io
from dataclasses import dataclass

from aqqua_science.schema import SchemaError

csv.field_size_limit(16 * 2**20)

MISSING = {"", "nan", "na", "n/a", "null", "none", "-"}
"""What stands for nothing in a text table, in lower case."""


@dataclass(frozen=True, slots=True)
class Row:
    """
    One row of a text table.

    Attributes
    ----------
    line : int
        Line of the file it starts on; the header is on line 1.
    values : dict of str to str
    fault : str
        Why it cannot be used; empty when all is well.
    """

    line: int
    values: dict
    fault: str = ""


def decode_text(content, *, encoding="utf-8"):
    """
    Decode a text file.

    Parameters
    ----------
    content : bytes
    encoding : str
        Used where no byte order mark says otherwise; what it cannot read is taken for latin-1, which reads anything.

    Returns
    -------
    str

    Examples
    --------
    >>> decode_text("Sète".encode("latin-1")), decode_text("Sète".encode("utf-8-sig"))
    ('Sète', 'Sète')
    """
    if content.startswith(b"\xef\xbb\xbf"):
        return content.decode("utf-8-sig", errors="replace")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode("latin-1")


def separator_of(text):
    r"""
    Guess what separates the columns of a text table from its first line.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        A tab, semicolon or comma.

    Examples
    --------
    >>> separator_of("a;b;c\n1;2,5;3")
    ';'
    """
    return max("\t;,", key=text.partition("\n")[0].count)


def read_rows(text, *, separator="\t", what="the table"):
    r"""
    Read a text table whose first line is its header.

    Parameters
    ----------
    text : str
    separator : str
    what : str
        How messages call the table.

    Yields
    ------
    Row
        With a fault where it has more or fewer fields than the header, or holds NUL characters. Lines without any
        value are passed over.

    Raises
    ------
    SchemaError
        If there is no header, or it names a column twice or not at all.

    Examples
    --------
    >>> [(row.line, row.values, row.fault) for row in read_rows("a\tb\n1\t2\n3\n")]
    [(2, {'a': '1', 'b': '2'}, ''), (3, {'a': '3'}, 'a ragged row: 1 fields where the header has 2')]
    """
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = [name.strip() for name in next(lines, [])]
    _check_header(header, what)
    start = lines.line_num + 1
    while True:
        try:
            fields = next(lines, None)
        except csv.Error as error:
            yield Row(start, {}, f"an unreadable row: {error}")
            start = lines.line_num + 1
            continue
        if fields is None:
            return
        if any(fields):
            yield Row(start, dict(zip(header, fields, strict=False)), _row_fault(fields, header))
        start = lines.line_num + 1


def _check_header(header, what):
    doubled = sorted({name for name in header if header.count(name) > 1})
    if not any(header) or doubled or "" in header:
        found = f"names {doubled[0]!r} twice" if doubled and doubled[0] else "has a column without a name"
        msg = f"{what} {found if any(header) else 'has no header'}. The first line must name every column once."
        raise SchemaError(msg)


def _row_fault(fields, header):
    if len(fields) != len(header):
        return f"a ragged row: {len(fields)} fields where the header has {len(header)}"
    if any("\0" in field for field in fields):
        return "NUL characters: the row is damaged"
    return ""


def is_missing(value):
    """
    Tell whether a text stands for nothing.

    Parameters
    ----------
    value : str or None

    Returns
    -------
    bool

    Examples
    --------
    >>> is_missing(" NaN "), is_missing("0")
    (True, False)
    """
    return value is None or value.strip().lower() in MISSING
