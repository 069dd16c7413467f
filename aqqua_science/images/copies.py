"""Stores made of stores: a part of one, or several together. Encoded images are copied as they are."""

import json
import shutil
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aqqua_science.files import file_hash, write_json
from aqqua_science.images import shards
from aqqua_science.images.assembly import REJECTED, count_values, shard_files, supplied_names
from aqqua_science.images.bookkeeping import add_counts, describe, write_rejected
from aqqua_science.images.ingestion import IMAGES_PER_SHARD
from aqqua_science.images.store import open_store


def copy_rows(store, rows, to):
    """
    Write a store of some images of another.

    Parameters
    ----------
    store : ImageStore
    rows : numpy.ndarray of int
        Ascending.
    to : str or pathlib.Path

    Returns
    -------
    ImageStore

    Raises
    ------
    StoreError
        If something is there already, or it cannot be written.
    """
    to = _new_folder(to)
    entries = []
    source_of = np.array([s["source"] for s in store.about["shards"]], dtype=object)
    names = source_of[np.searchsorted(store._starts, rows, side="right") - 1] if len(rows) else []
    for source, group in groupby(range(len(rows)), key=lambda i: names[i]):
        mine = rows[list(group)]
        for start in range(0, len(mine), IMAGES_PER_SHARD):
            entries.append(_copy_shard(store, mine[start : start + IMAGES_PER_SHARD], to, len(entries), source))
    held = {e["source"] for e in entries}
    sources = [_recount(s, entries) for s in store.about["sources"] if s["name"] in held]
    return _close(to, entries, sources)


def copy_stores(stores, to):
    """
    Write a store of all images of several.

    Parameters
    ----------
    stores : list of ImageStore
    to : str or pathlib.Path

    Returns
    -------
    ImageStore

    Raises
    ------
    StoreError
        If something is there already, or it cannot be written.
    """
    to = _new_folder(to)
    entries, sources, rejected = [], [], []
    for store in stores:
        names = _fresh_names(store, {s["name"] for s in sources})
        for shard in store.about["shards"]:
            name = f"shard-{len(entries):05d}"
            for old, new in zip(shard_files(shard["name"]).values(), shard_files(name).values(), strict=True):
                shutil.copyfile(store.path / old, to / new)
            entries.append(shard | {"name": name, "source": names[shard["source"]]})
        sources += [s | {"name": names[s["name"]]} for s in store.about["sources"]]
        table = store.rejected
        rejected.append(table.assign(source=table["source"].replace(names)))
    return _close(to, entries, sources, pd.concat(rejected))


def _new_folder(to):
    to = Path(to)
    if to.exists() and any(to.iterdir()):
        msg = f"{to} is there already and not empty. Write to another folder."
        raise shards.StoreError(msg)
    try:
        for kind in shard_files(""):
            (to / kind).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise shards.storing(error, to) from error
    return to


def _fresh_names(store, taken):
    """Names of a store's sources that clash with none before."""
    names = {}
    for source in store.about["sources"]:
        name, n = source["name"], 2
        while name in taken:
            name, n = f"{source['name']} ({n})", n + 1
        names[source["name"]] = name
        taken = taken | {name}
    return names


def _copy_shard(store, rows, to, number, source):
    """Write rows of one source as a shard."""
    name = f"shard-{number:05d}"
    files = {kind: to / file for kind, file in shard_files(name).items()}
    places = [store._locate(row) for row in rows]
    try:
        shards.write_images(files["images"], (bytes(shards.read_encoded(store._images[s], r)) for s, r in places))
        metadata = _rows_of(store, "metadata", places)
        shards.write_table(metadata, files["metadata"])
        shards.write_table(_rows_of(store, "raw", places), files["raw"])
    except (OSError, shards.lmdb.Error) as error:
        raise error if isinstance(error, shards.StoreError) else shards.storing(error, to) from error
    return {
        "name": name,
        "source": source,
        "rows": len(rows),
        "bytes": sum(file.stat().st_size for file in files.values()),
        "sha256": {kind: file_hash(file) for kind, file in files.items()},
        "by_instrument": count_values(metadata["instrument"].to_pylist()),
        "by_licence": count_values(metadata["licence"].to_pylist()),
        "supplied": count_values(supplied_names(metadata["supplied"])),
    }


def _rows_of(store, kind, places):
    tables = []
    for shard, group in groupby(places, key=lambda place: place[0]):
        table = pq.ParquetFile(store._file(kind, shard)).read()
        tables.append(table.take(pa.array([row for _, row in group])))
    return pa.concat_tables(tables, promote_options="default")


def _recount(source, entries):
    """A source's description with the counts of what was taken of it."""
    mine = [e for e in entries if e["source"] == source["name"]]
    counts = {kind: add_counts(e[kind] for e in mine) for kind in ("by_instrument", "by_licence", "supplied")}
    return source | counts | {"accepted": sum(e["rows"] for e in mine), "rejected": {}}


def _close(to, entries, sources, rejected=None):
    """Write what makes a folder of shards a store."""
    table = (
        REJECTED.empty_table() if rejected is None else pa.Table.from_pandas(rejected, REJECTED, preserve_index=False)
    )
    write_rejected(table, to)
    write_json(describe(entries, json.loads(json.dumps(sources))), to / "dataset.json")
    return open_store(to)
