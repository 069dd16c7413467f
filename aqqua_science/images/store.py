"""The image store: images by row number, their metadata as a table, and what was refused."""

import json
from bisect import bisect_right
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aqqua_science.files import file_hash
from aqqua_science.images.queries import query
from aqqua_science.images.shards import IMAGES_PER_VALUE, StoreError, read_image

FORMAT_VERSION = 1


def open_store(path):
    """
    Open a store.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    ImageStore

    Raises
    ------
    StoreError
        If there is none, it is not finished, or this version cannot read it.

    Examples
    --------
    >>> open_store("nowhere.aqqua")
    Traceback (most recent call last):
    ...
    aqqua_science.images.shards.StoreError: nowhere.aqqua is no store: it has no dataset.json. ...
    """
    return ImageStore(path)


class ImageStore:
    """
    Images of one or more sources, in one format.

    ``store[7]`` is an image as it was taken, ``store[[3, 1]]`` a list of them; ``store.table`` holds the metadata,
    indexed by row number.

    Parameters
    ----------
    path : str or pathlib.Path
        Its folder.

    Attributes
    ----------
    path : pathlib.Path
    about : dict
        What `dataset.json` says: version, licences, citations, contributors, sources, shards with their checksums.

    Raises
    ------
    StoreError
        As `open_store`.

    Examples
    --------
    >>> ImageStore("nowhere.aqqua")
    Traceback (most recent call last):
    ...
    aqqua_science.images.shards.StoreError: nowhere.aqqua is no store: it has no dataset.json. ...
    """

    def __init__(self, path):
        self.path = Path(path)
        self.about = _read_about(self.path)
        self._starts = [0, *accumulate(shard["rows"] for shard in self.about["shards"])]
        self._images = [str(self._file("images", shard)) for shard in range(len(self.about["shards"]))]

    def __len__(self):
        return self._starts[-1]

    def __repr__(self):
        n_sources = len(self.about["sources"])
        return f"<ImageStore {self.path.name}: {len(self):,} images, {n_sources} source{'s' * (n_sources != 1)}>"

    def _repr_html_(self):
        from aqqua_science.images.display import store_html

        return store_html(self)

    def __getitem__(self, rows):
        if isinstance(rows, int | np.integer):
            shard, row = self._locate(rows)
            return read_image(self._images[shard], row)
        return [self[int(row)] for row in self.rows(rows)]

    def rows(self, rows=None):
        """
        Resolve what selects rows into row numbers.

        Parameters
        ----------
        rows : slice, array of int, mask, table or str, optional
            A table (or series of True and False) that is indexed by row number, as `table` is; a string is a
            condition for `select`. All rows by default.

        Returns
        -------
        numpy.ndarray of int64

        Raises
        ------
        IndexError
            If a row is not in the store.
        """
        if rows is None:
            return np.arange(len(self))
        if isinstance(rows, slice):
            return np.arange(len(self))[rows]
        if isinstance(rows, str):
            return self.select(rows, columns=[]).index.to_numpy()
        if isinstance(rows, pd.DataFrame):
            rows = rows.index
        if isinstance(rows, pd.Series):
            rows = rows.index[rows.to_numpy(dtype=bool)] if rows.dtype == bool else rows
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        outside = (rows < -len(self)) | (rows >= len(self))
        return rows % len(self) if not outside.any() else self._check(int(rows[outside][0]))

    def _check(self, row):
        n = self._starts[-1]
        if not -n <= row < n:
            msg = f"there is no image {row}: the store has {n:,}, numbered from 0."
            raise IndexError(msg)
        return row % n

    def _locate(self, row):
        """Shard and row within it."""
        row = self._check(int(row))
        shard = bisect_right(self._starts, row) - 1
        return shard, row - self._starts[shard]

    def _file(self, kind, shard):
        suffix = "lmdb" if kind == "images" else "parquet"
        return self.path / kind / f"{self.about['shards'][shard]['name']}.{suffix}"

    @cached_property
    def table(self):
        """Metadata of all images, read on first use (pandas.DataFrame, indexed by row number)."""
        tables = [self._metadata(shard) for shard in range(len(self.about["shards"]))]
        return _frame(tables, np.arange(len(self)))

    def _metadata(self, shard):
        """Metadata of a shard, and what the store knows of its source."""
        table = _read_parquet(self._file("metadata", shard))
        for place, (name, value) in enumerate(self._source_facts(shard).items()):
            table = table.add_column(place, name, pa.repeat(pa.scalar(value), len(table)))
        return table

    def _source_facts(self, shard):
        """Columns that every image of a shard shares: where it is from, whom to credit, and whether maps may use it."""
        name = self.about["shards"][shard]["source"]
        source = next(s for s in self.about["sources"] if s["name"] == name)
        credit = "; ".join(source["contributors"])
        return {"source": name, "contributors": credit, "use_for_maps": source["use_for_maps"]}

    def metadata(self, rows=None):
        """
        Get the metadata of some images without reading that of the others.

        Parameters
        ----------
        rows : optional
            As for `rows`.

        Returns
        -------
        pandas.DataFrame
            Rows of `table`, in the order asked for.
        """
        return self._take("metadata", self.rows(rows))

    def raw(self, rows=None):
        """
        Get every original column of some images, as text.

        Parameters
        ----------
        rows : optional
            As for `rows`.

        Returns
        -------
        pandas.DataFrame
            Indexed by row number; None where the source had no such column.
        """
        return self._take("raw", self.rows(rows))

    def _take(self, kind, rows):
        """Rows of the tables of one kind, in the order asked for."""
        shard_of = np.searchsorted(self._starts, rows, side="right") - 1
        shards = np.unique(shard_of)
        tables, order = [], []
        for shard in shards:
            mine = np.flatnonzero(shard_of == shard)
            table = self._metadata(shard) if kind == "metadata" else _read_parquet(self._file(kind, shard))
            tables.append(table.take(pa.array(rows[mine] - self._starts[shard])))
            order.append(mine)
        back = np.argsort(np.concatenate(order)) if order else []
        return _frame(tables, rows[np.concatenate(order)] if order else rows).iloc[back]

    @property
    def rejected(self):
        """What was refused: source, origin, object_id, reason, particulars and the original columns as JSON."""
        file = self.path / "rejected.parquet"
        return pd.read_parquet(file) if file.exists() else pd.DataFrame(columns=["source", "origin", "reason"])

    def select(self, where, *, columns=None):
        """
        Find images by their metadata.

        Parameters
        ----------
        where : str
            A condition in SQL, such as ``"instrument = 'UVP6' and depth < 200"``.
        columns : list of str, optional
            All by default.

        Returns
        -------
        pandas.DataFrame
            Indexed by row number, in row order.

        Raises
        ------
        ValueError
            If the condition is not understood.
        """
        return query(self, where, columns=columns)

    def iterate(self, rows=None, *, shuffle_buffer=0, rng=0, part=(0, 1)):
        """
        Go through the images once, in the order in which they lie on the disk.

        Parameters
        ----------
        rows : optional
            As for `rows`.
        shuffle_buffer : int
            With more than 1, images come in random order out of a buffer of this many.
        rng : int or numpy.random.Generator
        part : (int, int)
            Which of how many workers this is; together they see every image once.

        Yields
        ------
        row : int
        pixels : numpy.ndarray
        """
        which, workers = part
        if not 0 <= which < workers:
            msg = f"part is (worker, number of workers), counted from 0; got {part}."
            raise ValueError(msg)
        chosen = range(len(self)) if rows is None else np.sort(self.rows(rows))
        n_groups = -(-len(chosen) // IMAGES_PER_VALUE)
        first, last = (IMAGES_PER_VALUE * (n_groups * w // workers) for w in (which, which + 1))
        order = _shuffled(chosen[first:last], shuffle_buffer, np.random.default_rng(rng))
        for row in order:
            yield int(row), self[int(row)]

    def subset(self, rows, *, to):
        """
        Write a store of some of the images.

        Parameters
        ----------
        rows : slice, array of int, mask, table or str
            As for `rows`; they are kept in the store's order.
        to : str or pathlib.Path

        Returns
        -------
        ImageStore
        """
        from aqqua_science.images.copies import copy_rows

        return copy_rows(self, np.unique(self.rows(rows)), to)

    def merge(self, *others, to):
        """
        Write a store of the images of several.

        Parameters
        ----------
        *others : ImageStore
        to : str or pathlib.Path

        Returns
        -------
        ImageStore
            This store's images first, then the others' in order.
        """
        from aqqua_science.images.copies import copy_stores

        return copy_stores([self, *others], to)

    def verify(self):
        """
        Compare every file with its checksum.

        Returns
        -------
        int
            How many files are as they were written.

        Raises
        ------
        StoreError
            Naming the files that are missing or changed.
        """
        bad, good = [], 0
        for number, shard in enumerate(self.about["shards"]):
            for kind, digest in shard["sha256"].items():
                file = self._file(kind, number)
                if not file.exists():
                    bad.append(f"{file.relative_to(self.path)} (missing)")
                elif file_hash(file) != digest:
                    bad.append(f"{file.relative_to(self.path)} (changed)")
                else:
                    good += 1
        if bad:
            more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
            msg = f"{len(bad)} files of {self.path} are damaged: {', '.join(bad[:10])}{more}. Copy them again."
            raise StoreError(msg)
        return good


def _read_about(path):
    file = path / "dataset.json"
    if not file.exists():
        unfinished = (path / ".ingest").exists()
        what = "an ingest that did not finish" if unfinished else "no store: it has no dataset.json"
        remedy = "Run the same ingest again." if unfinished else "Make one with images.ingest(...) or `aqqua ingest`."
        msg = f"{path} is {what}. {remedy}"
        raise StoreError(msg)
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        version = int(about["format_version"])
        _ = [(s["name"], s["source"], s["rows"], s["sha256"]) for s in about["shards"]]
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{file} cannot be understood: {error}. It is damaged; copy the store again."
        raise StoreError(msg) from error
    if version > FORMAT_VERSION or about.get("images_per_value") != IMAGES_PER_VALUE:
        msg = f"{path} has format version {version}; this package reads up to {FORMAT_VERSION}. Update aqqua_science."
        raise StoreError(msg)
    return about


def _read_parquet(file):
    """A table of a shard; the last one stays in memory, since rows are often asked for shard by shard."""
    try:
        status = file.stat()
        return _read_once(str(file), status.st_mtime_ns, status.st_size)
    except (OSError, pa.ArrowException) as error:
        msg = f"{file} cannot be read: {error}. It is missing or damaged; copy the store again."
        raise StoreError(msg) from error


@lru_cache(maxsize=1)
def _read_once(name, _changed, _size):
    return pq.ParquetFile(name).read()


def _frame(tables, index):
    """Arrow tables as one pandas table; columns that a table lacks are empty in its rows."""
    if not tables:
        return pd.DataFrame(index=pd.Index(index, name="row"))
    table = pa.concat_tables(tables, promote_options="default").to_pandas()
    return table.set_index(pd.Index(index, name="row"))


def _shuffled(rows, size, rng):
    """Rows out of a buffer that is filled in order and emptied at random."""
    if size <= 1:
        yield from rows
        return
    buffer = list(rows[:size])
    for row in rows[size:]:
        place = rng.integers(len(buffer))
        yield buffer[place]
        buffer[place] = row
    yield from rng.permutation(buffer)
