"""
Tables beside images: found by looking for a column whose values are names of images of the tree.

A value names an image by its path, relative to the table or to the top of the tree; else by the end of that path, its
folder and file or its file alone, as far as the value has them and no other image has the same. Case and ending may
differ, ``\\`` counts as ``/``. Of one table the first row of an image counts and later ones are faulty; where two
tables describe one image, as a list of labels and a list of positions do, the later adds its columns to the row of the
earlier.
"""

import csv
import io
import weakref
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from aqqua_science.schema import SchemaError
from aqqua_science.sources.listing import MAX_ROWS, list_images, without_ending
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.sidecar_columns import object_column, plain_name
from aqqua_science.sources.tables import decode_text, is_missing, read_rows, separator_of
from aqqua_science.sources.tree import beside

_ENDINGS = (".csv", ".tsv")
_MAX_BYTES = 2**30
_HEAD_BYTES, _HEAD_ROWS = 2**17, 200
_IMAGE_COLUMNS = {
    *("file_name", "filename", "file", "img_file_name", "image_file_name", "image_filename", "image_file", "image"),
    *("image_name", "image_fn", "img_path", "image_path", "path", "img", "object_id", "roi_id", "id"),
}
_UNREADABLE = (PictureError, SchemaError, csv.Error)
_catalogues = weakref.WeakKeyDictionary()


class Entry(NamedTuple):
    """
    One row of a table and the image that it is of.

    Attributes
    ----------
    line : int
    values : dict of str to str
    image : int or None
        Place in the list of images.
    fault : str
    """

    line: int
    values: dict
    image: int | None
    fault: str


class ImageFinder:
    """
    Finds images by what a table calls them.

    Parameters
    ----------
    images : list of ImageFile
    top : str
        Name of the folder that the tree is.
    """

    def __init__(self, images, top):
        self._exact = {name: place for place, image in enumerate(images) for name in (image.name, *image.copies)}
        self._paths, self._ends = {}, {}
        for place, image in enumerate(images):
            folder = (image.folder.rpartition("/")[2] or top).lower()
            for name in (image.name, *image.copies, image.identity):
                path = name.lower()
                file = path.rpartition("/")[2]
                for keys, key in ((self._paths, path), (self._ends, file), (self._ends, f"{folder}/{file}")):
                    keys[key] = place if keys.get(key, place) == place else None

    def find(self, table, text):
        """
        Find an image.

        Parameters
        ----------
        table : str
            Path of the table.
        text : str
            What it calls the image.

        Returns
        -------
        place : int or None
            In the list of images.
        fault : str
        """
        name = text.strip().replace("\\", "/")
        for path in (beside(table, name), name):
            place = self._exact.get(path)
            if place is None and path is not None:
                place = self._paths.get(path.lower())
            if place is not None:
                return place, ""
        end = "/".join(name.lower().removeprefix("./").rsplit("/", 2)[-2:])
        place = self._ends.get(end)
        if place is None and end in self._ends:
            return None, f"the image name is ambiguous: {text} fits several"
        return (place, "") if place is not None else (None, f"the image is not there: {text}")


class Catalogue:
    """
    The tables of a tree and the images that they describe.

    Parameters
    ----------
    tree : Tree

    Attributes
    ----------
    images : list of ImageFile
    columns : dict of str to str
        Table -> column with the names of images.
    rows : dict of str to int
        Table -> records it yields.
    starts : dict of str to list of int
        Table -> lines at which its parts begin.
    broken : dict of str to str
        Table that cannot be read -> reason.
    has_own_names : bool
        Whether there is one table, and its identifiers tell all objects apart.
    """

    def __init__(self, tree):
        self.images = list_images(tree)
        self._finder = ImageFinder(self.images, tree.path.stem)
        self.columns, self.broken = _image_columns(tree, self._finder)
        self.rows, self.starts, self._owners, self._additions = {}, {}, {}, {}
        for table in list(self.columns):
            try:
                self._claim(tree, table)
            except _UNREADABLE as error:
                self.broken[table] = f"the table cannot be read: {error}"
                del self.columns[table], self.starts[table]
                self.rows.pop(table, None)
        self.has_own_names = len(self.columns) == 1 and self._are_unique(tree)

    def _claim(self, tree, table):
        """Take the images of a table that no table before has, and count its records."""
        count, starts = 0, self.starts.setdefault(table, [])
        for line, values, image, _ in self._entries(tree, table):
            owner = (table, line) if image is None else self._owners.setdefault(image, (table, line))
            if owner[0] != table:
                self._additions.setdefault(image, []).append((table, values))
                continue
            if count % MAX_ROWS == 0:
                starts.append(line)
            count += 1
        self.rows[table] = count

    def _are_unique(self, tree):
        """Whether the identifiers in the only table tell its objects, and those without a row, apart."""
        (table,) = self.columns
        seen, column = {image.identity for image in self.others()}, None
        for entry in self.entries(tree, table):
            column = column or object_column(entry.values)
            name = (entry.values.get(column) or "").strip()
            if column is None or (not entry.fault and (is_missing(name) or name in seen)):
                return False
            if not entry.fault:
                seen.add(name)
        return column is not None

    def _entries(self, tree, table, first=None):
        """Every row of a table."""
        column = self.columns[table]
        for row in read_table(tree, table, first=first):
            fault, image = row.fault, None
            text = row.values.get(column) or ""
            if not fault and not text.strip():
                fault = f"no name of an image: column {column!r} is empty"
            elif not fault:
                image, fault = self._finder.find(table, text)
            yield Entry(row.line, row.values, image, fault)

    def entries(self, tree, table, *, first=None):
        """
        Read the rows of a table that are records, with what later tables add.

        Parameters
        ----------
        tree : Tree
        table : str
        first : int or None
            Line to begin at.

        Yields
        ------
        Entry
        """
        for entry in self._entries(tree, table, first):
            owner = self._owners.get(entry.image, (table, entry.line))
            if owner[0] != table:
                continue
            if owner[1] != entry.line:
                fault = f"duplicate image: {entry.values[self.columns[table]]} is first on {table} line {owner[1]}"
                yield entry._replace(fault=fault)
            elif entry.image in self._additions:
                yield entry._replace(values=_joined(entry.values, self._additions[entry.image]))
            else:
                yield entry

    def others(self):
        """
        List the images that no table describes.

        Returns
        -------
        list of ImageFile
        """
        return [image for place, image in enumerate(self.images) if place not in self._owners]


def open_catalogue(tree):
    """
    Get the catalogue of a tree, which is made once.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    Catalogue
    """
    if tree not in _catalogues:
        _catalogues[tree] = Catalogue(tree)
    return _catalogues[tree]


def table_columns(tree):
    """
    Find the tables that describe images of a tree, by their first rows.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    dict of str to str
        Table -> column with the names of images.
    """
    if not tree.matching(*_ENDINGS):
        return {}
    return _image_columns(tree, ImageFinder(list_images(tree), tree.path.stem))[0]


def read_table(tree, table, *, first=None):
    """
    Read the rows of a table; columns without a name, or with one that is there already, get one.

    Parameters
    ----------
    tree : Tree
    table : str
    first : int or None
        Line to begin at, on which a row begins.

    Yields
    ------
    Row

    Raises
    ------
    PictureError
        If the file cannot be read.
    SchemaError
        If it has no header.
    """
    yield from _rows(decode_text(tree.read(table, limit=_MAX_BYTES)), table, first)


def _rows(text, table, first=None):
    """Rows of the text of a table, without a line of types such as ``[t]``."""
    text = text if "\n" in text else text.replace("\r", "\n")
    separator = separator_of(text)
    text = _name_columns(text, separator)
    skipped = max((first or 2) - 2, 0)
    if skipped:
        lines = io.StringIO(text, newline="")
        text = "".join((next(lines), *islice(lines, skipped, None)))
    for row in read_rows(text, separator=separator, what=table):
        if row.line + skipped > 3 or not all(value.strip().lower() in ("[t]", "[f]") for value in row.values.values()):
            yield replace(row, line=row.line + skipped) if skipped else row


def _name_columns(text, separator):
    """The text, with a header on one line that names every column once."""
    head = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    given = next(head, [])
    if not any(name.strip() for name in given):
        return text
    names = []
    for position, name in enumerate(given, start=1):
        plain = " ".join(name.split()) or f"column {position}"
        names.append(f"{plain} ({position})" if plain in names else plain)
    header = io.StringIO()
    csv.writer(header, delimiter=separator, lineterminator="\n").writerow(names)
    rest = io.StringIO(text, newline="")
    for _ in range(head.line_num):
        next(rest)
    return header.getvalue() + "\n" * (head.line_num - 1) + rest.read()


def _image_columns(tree, finder):
    """Table -> column with the names of images, of the tables that have one, and table -> why it cannot be read."""
    found, broken = {}, {}
    for table in tree.matching(*_ENDINGS):
        try:
            column = _image_column(tree, table, finder)
        except PictureError as error:
            broken[table] = str(error)
        except (SchemaError, csv.Error):
            continue
        else:
            found.update({table: column} if column is not None else {})
    return found, broken


def _image_column(tree, table, finder):
    """The column that names most images among the first rows, or None."""
    head = tree.read(table, limit=_MAX_BYTES)[:_HEAD_BYTES]
    values = {}
    for row in islice(_rows(decode_text(head), table), _HEAD_ROWS):
        for column, value in row.values.items():
            if value.strip():
                values.setdefault(column, []).append(value)
    scores = {column: _score(column, texts, table, finder) for column, texts in values.items()}
    best = max(scores, key=scores.get, default=None)
    return best if best is not None and scores[best][0] else None


def _score(column, texts, table, finder):
    """How many images a column names, and whether it is called as such columns are."""
    known = {finder.find(table, text)[0] for text in texts} - {None}
    # Small numbers are names of images only too easily, so nearly all must be, and no two of the same.
    are_files = all(without_ending(text.strip()) != text.strip() for text in texts)
    if not are_files and len(known) < len(texts) / 2:
        return 0, False
    return len(known), plain_name(column) in _IMAGE_COLUMNS


def _joined(values, additions):
    """A row and what other tables say of the same image; a column that says otherwise is named by its table."""
    found = dict(values)
    for table, more in additions:
        for column, value in more.items():
            if not found.get(column, "").strip():
                found[column] = value
            elif found[column] != value:
                found[f"{table}:{column}"] = value
    return found
