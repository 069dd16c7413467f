"""From records to the files of one shard: decode, check, encode, write; the same bytes whenever it is done."""

import hashlib
import itertools
import json
import os
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa

from aqqua_science.files import file_hash, write_json
from aqqua_science.images import shards
from aqqua_science.images.codec import encode
from aqqua_science.images.columns import PICTURE_TYPES, TYPES, convert, to_arrow
from aqqua_science.sources.recognition import format_module
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.tree import Tree

REJECTED = pa.schema([(n, pa.string()) for n in ("source", "origin", "object_id", "reason", "particulars", "raw")])
"""What is kept of a refused record; ``raw`` is a JSON object of all its original columns."""

WORK = ".ingest"
"""Folder in a store of what an ingest has finished so far."""

_CHUNK = 512
_EMPTY = pa.schema([*TYPES.items(), *PICTURE_TYPES.items()])


def shard_files(name):
    """
    Name the files of a shard within its store.

    Parameters
    ----------
    name : str
        Such as ``"shard-00000"``.

    Returns
    -------
    dict of str to str
    """
    return {
        "images": f"images/{name}.lmdb",
        "metadata": f"metadata/{name}.parquet",
        "raw": f"raw/{name}.parquet",
    }


def assemble(task):
    """
    Make one shard of an ingest, unless it is there already.

    Parameters
    ----------
    task : dict
        ``store``, ``name``, ``source`` (its name), ``defaults``, ``columns``, and either ``records`` or ``format``,
        ``path`` and ``pieces`` (parts with the first and last record to take).

    Returns
    -------
    dict
        The shard's entry in `dataset.json`, and what was refused.

    Raises
    ------
    StoreError
        If it cannot be written; the message tells why.
    """
    work = task["store"] / WORK
    done = work / f"{task['name']}.json"
    if done.exists():
        return json.loads(done.read_text(encoding="utf-8"))
    draft = work / task["name"]
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        entry = _fill(draft, task)
        for kind, file in shard_files(task["name"]).items():
            _settle(draft / kind, task["store"] / file)
        _settle(draft / "rejected", work / f"{task['name']}.rejected.parquet")
        shutil.rmtree(draft)
        write_json(entry, done)
    except (OSError, shards.lmdb.Error) as error:
        raise shards.storing(error, task["store"]) from error
    return entry


def _settle(draft, path):
    """Bring a finished file to the disk and to its place."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)


def _fill(draft, task):
    """Write the files of a shard into a folder of drafts."""
    shelf = _Shelf(task)
    n = shards.write_images(draft / "images", shelf.encoded(_records(task)))
    metadata = shards.join_tables(shelf.metadata, empty=_EMPTY)
    shards.write_table(metadata, draft / "metadata")
    raw = shards.join_tables(shelf.raw, empty=pa.schema([]))
    shards.write_table(raw, draft / "raw")
    shards.write_table(pa.Table.from_pylist(shelf.rejected, schema=REJECTED), draft / "rejected")
    return {
        "name": task["name"],
        "source": task["source"],
        "rows": n,
        "bytes": sum((draft / kind).stat().st_size for kind in shard_files("")),
        "sha256": {kind: file_hash(draft / kind) for kind in shard_files("")},
        "rejected": count_values(r["reason"] for r in shelf.rejected),
        "by_instrument": count_values(metadata["instrument"].to_pylist()),
        "by_licence": count_values(metadata["licence"].to_pylist()),
        "supplied": count_values(supplied_names(metadata["supplied"])),
    }


def supplied_names(column):
    """
    List the names in a column ``supplied``, once for every image that took a default.

    Parameters
    ----------
    column : pyarrow.ChunkedArray of str

    Returns
    -------
    list of str
    """
    return [name for text in column.to_pylist() if text for name in text.split()]


def count_values(values):
    """
    Count how often each value occurs.

    Parameters
    ----------
    values : iterable of str

    Returns
    -------
    dict of str to int
        Sorted by value.
    """
    counts = pd.Series(list(values), dtype=object).value_counts()
    return {str(k): int(v) for k, v in sorted(counts.items())}


def _records(task):
    """The records of a shard, in order: those given, or from the parts they come from."""
    if "records" in task:
        yield from task["records"]
        return
    module, tree = format_module(task["format"]), task["tree"] if "tree" in task else Tree(task["path"])
    for part, start, stop in task["pieces"]:
        yield from itertools.islice(module.read(tree, part), start, stop)


class _Shelf:
    """What accumulates while the images of a shard stream past: its tables, and the refused."""

    def __init__(self, task):
        self.task = task
        self.metadata, self.raw, self.rejected = [], [], []

    def encoded(self, records):
        """Yield the encoded image of every good record; keep its metadata, and the others' reasons."""
        while chunk := list(itertools.islice(records, _CHUNK)):
            table, reasons = convert(chunk, defaults=self.task["defaults"], columns=self.task["columns"])
            facts, good = [], []
            for i, record in enumerate(chunk):
                fact, image = _picture(record) if not reasons[i] else (None, None)
                if image is None:
                    self._refuse(record, table["object_id"].iloc[i], reasons[i] or fact)
                    continue
                yield image
                facts.append(fact)
                good.append(i)
            if good:
                self._keep(table.iloc[good], pd.DataFrame(facts, index=good), [chunk[i] for i in good])

    def _keep(self, table, facts, records):
        depth = table["bit_depth"].fillna(facts.pop("bits"))
        facts = facts.assign(supplied=table["supplied"], origin=[r.origin for r in records])
        self.metadata.append(
            to_arrow(
                table.drop(columns="supplied").assign(
                    bit_depth=depth, image_rank=table["image_rank"].fillna(0), **facts
                )
            )
        )
        names = dict.fromkeys(name for r in records for name in r.raw)
        self.raw.append(pa.table({name: pa.array([r.raw.get(name) for r in records], pa.string()) for name in names}))

    def _refuse(self, record, object_id, reason):
        reason, _, particulars = reason.partition(": ")
        self.rejected.append(
            {
                "source": self.task["source"],
                "origin": record.origin,
                "object_id": None if pd.isna(object_id) else object_id,
                "reason": reason,
                "particulars": particulars,
                "raw": json.dumps(record.raw, ensure_ascii=False),
            }
        )


def _picture(record):
    """Facts of a record's image and its encoded bytes; the reason and None when it cannot be had."""
    if record.pixels is None:
        return "no image: the record has none", None
    try:
        pixels = np.asarray(record.pixels())
        image = encode(pixels)
    except PictureError as error:
        return str(error), None
    except ValueError as error:
        return f"the image is of a kind the format does not hold: {error}", None
    except MemoryError:
        return "the image is too large: it does not fit into memory", None
    digest = hashlib.blake2b(np.ascontiguousarray(pixels), digest_size=8).digest()
    return {
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "channels": pixels.shape[2] if pixels.ndim == 3 else 1,
        "dtype": pixels.dtype.name,
        "bits": 8 * pixels.dtype.itemsize,
        "pixel_hash": int.from_bytes(digest, "little"),
    }, image
