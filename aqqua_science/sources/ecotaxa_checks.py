"""One table of an EcoTaxa import bundle, checked line by line in little memory."""

import codecs
import csv
import io
import zipfile
from dataclasses import dataclass, field
from itertools import islice

from aqqua_science.sources.ecotaxa_headers import FreeColumns, check_header, column_names, has_types
from aqqua_science.sources.ecotaxa_images import ImageChecker
from aqqua_science.sources.ecotaxa_keys import Keys
from aqqua_science.sources.ecotaxa_values import all_good, cell_fault, taxon_fault
from aqqua_science.sources.record import PictureError

_CHUNK = 10_000
_BLOCK = 2**20
_STATUS, _CATEGORY, _CATEGORY_ID = (f"object_annotation_{name}" for name in ("status", "category", "category_id"))


@dataclass
class Bundle:
    """
    What the checks of a bundle's tables share.

    Attributes
    ----------
    tree : Tree
    images : ImageChecker
    free : FreeColumns
    keys : Keys
    faults : list of tuple
        File, line, rule and message.
    rows : int
    encodings : dict of str to str
        Table -> its encoding; tables that cannot be read at all are not here.
    """

    tree: object
    images: ImageChecker
    free: FreeColumns = field(default_factory=FreeColumns)
    keys: Keys = field(default_factory=Keys)
    faults: list = field(default_factory=list)
    rows: int = 0
    encodings: dict = field(default_factory=dict)


@dataclass
class _Table:
    """A table while it is checked: its columns, and which values have been found faulty before."""

    bundle: Bundle
    name: str
    names: list
    kinds: dict
    reported: set = field(default_factory=set)

    def report(self, line, rule, message):
        self.bundle.faults.append((self.name, line, rule, message))


def check_table(bundle, name):
    """
    Check a table; faults, rows and keys are added to what is known of the bundle.

    Parameters
    ----------
    bundle : Bundle
    name : str
    """
    try:
        encoding, faults = _find_encoding(bundle.tree, name)
        bundle.faults.extend((name, *fault) for fault in faults)
        if encoding:
            bundle.encodings[name] = encoding
            _check_rows(bundle, name)
    except (PictureError, OSError, zipfile.BadZipFile) as error:
        bundle.faults.append((name, 0, "unreadable-file", f"{error}. Copy the file again from its origin."))


def read_fields(tree, name, encoding):
    """
    Read the fields of a table, as EcoTaxa splits them.

    Parameters
    ----------
    tree : Tree
    name : str
    encoding : str

    Yields
    ------
    line : int
        Line of the file on which a row starts.
    fields : list of str or None
        None where a quote is never closed, or a field has no end; nothing follows.
    """
    with _open_binary(tree, name) as binary, io.TextIOWrapper(binary, encoding=encoding, errors="replace") as text:
        quotes = [0]
        reader, start = csv.reader(_counted(text, quotes), delimiter="\t"), 1
        while True:
            quotes[0] = 0
            try:
                fields = next(reader, None)
            except csv.Error:
                yield start, None
                return
            if fields is None:
                return
            if quotes[0] % 2 and fields and (reader.line_num > start or fields[-1].endswith("\n")):
                yield start, None
                return
            yield start, fields
            start = reader.line_num + 1


def _counted(lines, quotes):
    """Lines as they are; `quotes` is kept at the number of quotes since it was last reset."""
    for line in lines:
        quotes[0] += line.count('"')
        yield line


def _open_binary(tree, name):
    """A file of a tree; those on disk are not read as a whole."""
    path = tree.path / name if tree.path.is_dir() else tree.path
    in_folder = path.name == name.rpartition("/")[2] and path.is_file()
    return path.open("rb") if in_folder else io.BytesIO(tree.read(name))


def _find_encoding(tree, name):
    """Encoding of a table, "" when it cannot be read, and its faults as line, rule and message."""
    with _open_binary(tree, name) as file:
        start = file.read(4)
        file.seek(0)
        if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            message = "The file is in UTF-16, which EcoTaxa reads as nonsense. Save it as UTF-8 with a byte order mark."
            return "", [(0, "utf-16", message)]
        nul, is_ascii, is_utf8 = _scan(file)
    if nul:
        message = "The file has NUL bytes: it is damaged, or in UTF-16. Copy it again, or save it as UTF-8."
        return "", [(nul, "nul-bytes", message)]
    has_mark = start.startswith(codecs.BOM_UTF8)
    if has_mark and not is_utf8:
        message = "The byte order mark says UTF-8, but not all bytes are. Save the file as UTF-8 anew."
        return "utf-8-sig", [(0, "damaged-utf-8", message)]
    if has_mark or is_ascii or not is_utf8:
        return ("utf-8-sig" if has_mark else "latin-1"), []
    message = (
        "The file is in UTF-8 without a byte order mark: EcoTaxa reads it as latin-1 and turns µ into Âµ. "
        "Save it with the mark (utf-8-sig)."
    )
    return "utf-8", [(0, "utf-8-without-mark", message)]


def _scan(file):
    """Line of the first NUL byte or 0, whether all is ASCII, and whether it is UTF-8."""
    decoder, is_ascii, is_utf8, lines = codecs.getincrementaldecoder("utf-8")(), True, True, 1
    while block := file.read(_BLOCK):
        if b"\0" in block:
            return lines + block[: block.index(b"\0")].count(b"\n"), False, False
        lines += block.count(b"\n")
        is_ascii = is_ascii and block.isascii()
        is_utf8 = is_utf8 and _decodes(decoder, block)
    return 0, is_ascii, is_utf8 and _decodes(decoder, b"", final=True)


def _decodes(decoder, block, *, final=False):
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _check_rows(bundle, name):
    rows = ((line, fields) for line, fields in read_fields(bundle.tree, name, bundle.encodings[name]) if fields != [])
    _, header = next(rows, (1, []))
    table = _Table(bundle, name, column_names(header or []), {})
    if header is None:
        _report_quote(table, 1)
        return
    if len(header) == 1 and any(sign in header[0] for sign in ",;"):
        message = f"Header '{header[0][:40]}' has no tab. Columns must be separated by tabs; save the table so."
        table.report(1, "not-tab-separated", message)
        bundle.rows += sum(1 for _ in islice(rows, 1, None))
        return
    if header:
        rows = _check_top(table, rows)
    while chunk := list(islice(rows, _CHUNK)):
        _check_chunk(table, chunk)


def _check_top(table, rows):
    """Check header and types; give the rows behind them."""
    first = next(rows, None)
    types = first[1] if first and first[1] and has_types(first[1]) else None
    table.kinds, faults = check_header(table.names, types, table.bundle.free)
    if first and types is None:
        message = "There are no types on the second line, where EcoTaxa looks for them: it drops the first object. "
        faults.append((2, "missing-type-line", message + "Insert a line with [f] or [t] for every column."))
    for fault in faults:
        table.report(*fault)
    return _chain(first, rows) if first and types is None else rows


def _chain(first, rows):
    yield first
    yield from rows


def _report_quote(table, line):
    message = 'A quote (") is opened and never closed: EcoTaxa takes all that follows for one cell. Remove it.'
    table.report(line, "unclosed-quote", message)


def _check_chunk(table, chunk):
    if chunk[-1][1] is None:
        _report_quote(table, chunk.pop()[0])
    width = len(table.names)
    table.bundle.rows += len(chunk)
    lines = [line for line, _ in chunk]
    rows = [fields for _, fields in chunk]
    ragged = [i for i, fields in enumerate(rows) if len(fields) != width]
    overlong = {i for i in ragged if len(rows[i]) > width}
    _report_ragged(table, lines, rows, ragged)
    for i in ragged:
        rows[i] = (rows[i] + [""] * width)[:width]
    if rows:
        cells = dict(zip(table.names, zip(*rows, strict=True), strict=False))
        _check_identity(table, lines, cells)
        _check_annotation(table, lines, cells)
        _check_cells(table, lines, cells, overlong)


def _report_ragged(table, lines, rows, ragged):
    """Values beyond the header; and cells that are cut off where EcoTaxa cannot do without them."""
    category = _CATEGORY if _CATEGORY in table.names else _CATEGORY_ID
    needed = max((table.names.index(name) for name in (_STATUS, category) if name in table.names), default=-1)
    for i in ragged:
        extra = rows[i][len(table.names) :]
        if extra:
            message = (
                f"Value(s) {extra[:3]} must not be in a header-less column. Name it, or remove them and their tabs."
            )
            table.report(lines[i], "values-without-header", message)
        elif len(rows[i]) <= needed:
            message = (
                f"The line has {len(rows[i])} of {len(table.names)} fields; EcoTaxa stops where those of the "
                "annotation are cut off. Write all tabs, for empty cells too."
            )
            table.report(lines[i], "short-row", message)


def _column(cells, name, count):
    """Cells of a column without blanks around them; empty ones where there is no such column."""
    return [cell.strip() for cell in cells[name]] if name in cells else [""] * count


def _check_identity(table, lines, cells):
    """Objects, their images and their parents."""
    objects, files, samples, acquisitions = (
        _column(cells, name, len(lines)) for name in ("object_id", "img_file_name", "sample_id", "acq_id")
    )
    parents = table.bundle.keys.parent_codes(zip(samples, acquisitions, strict=True), table.report, lines)
    if "object_id" in cells:
        for i in (i for i, name in enumerate(objects) if not name):
            message = "Missing object_id. Give every object an identifier of its own."
            table.report(lines[i], "missing-object-id", message)
        table.bundle.keys.add(table.name, lines, zip(objects, files, parents, strict=True))
    if "img_file_name" in cells:
        find = table.bundle.images.fault
        for line, file in zip(lines, files, strict=True):
            fault = find(table.name, file)
            if fault:
                table.report(line, *fault)


def _check_annotation(table, lines, cells):
    """A status needs a category and the reverse; EcoTaxa looks at the number only where no column has names."""
    numbers = _column(cells, _CATEGORY_ID, len(lines))
    names = _column(cells, _CATEGORY, len(lines)) if _CATEGORY in cells else numbers
    seen = list(zip(_column(cells, _STATUS, len(lines)), names, numbers, strict=True))
    bad = {key: fault for key in set(seen) if (fault := _annotation_fault(*key, _CATEGORY in cells))}
    if bad:
        for line, key in zip(lines, seen, strict=True):
            if key in bad:
                table.report(line, *bad[key])


def _annotation_fault(status, category, number, has_names):
    if status and not category:
        more = " EcoTaxa wants its name here even where object_annotation_category_id has its number." * bool(number)
        message = f"When annotation status '{status}' is provided there has to be a category.{more} "
        return "status-without-category", message + "Name the taxon, or leave the status empty."
    if category and not status:
        message = f"When a category ({category}) is provided it has to be with a status. "
        return "category-without-status", message + "Write predicted, dubious or validated in object_annotation_status."
    return taxon_fault(category) if has_names and not number else None


def _check_cells(table, lines, cells, overlong):
    """Values by column; a faulty one is told where it first stands in its column, as EcoTaxa does."""
    for name, kind in table.kinds.items():
        column = cells[name]
        if overlong:
            column = ["" if i in overlong else cell for i, cell in enumerate(column)]
        distinct = set(column)
        distinct.discard("")
        if all_good(kind, distinct):
            continue
        faults = {cell: fault for cell in distinct if (fault := cell_fault(name, kind, cell))}
        for line, cell in zip(lines, column, strict=True) if faults else ():
            if cell in faults and (name, cell) not in table.reported:
                table.reported.add((name, cell))
                table.report(line, *faults[cell])
