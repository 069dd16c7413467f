"""
Format version 1, read by docs/data-format.md alone.

The reader here knows the specification and no code of ours; the specimen in v1/ was written once and stays. What a
later version writes must be readable here, and what lies here must be readable by a later version.
"""

import importlib.util
import json
import struct
from itertools import pairwise
from pathlib import Path

import blosc2
import lmdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from aqqua_science.images import ingest, open_store

HERE = Path(__file__).parent
TYPES = ["u1", "<u2", "<u4", "i1", "<i2", "<i4", "<f4", "<f8"]

_spec = importlib.util.spec_from_file_location("make_specimen", HERE / "make_specimen.py")
maker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(maker)


def image_of(content):
    """Slow and plain: value after value, as the page tells it."""
    delta, kind, channels, height, width = struct.unpack("<BBHII", content[:12])
    values = np.frombuffer(blosc2.decompress2(content[12:]), TYPES[kind]).reshape(-1, width).copy()
    assert len(values) == max(channels, 1) * height
    if delta == 1:
        flat = values.reshape(-1)
        for i in range(1, len(flat)):
            flat[i : i + 1] += flat[i - 1 : i]
    elif delta == 2:
        for row in range(1, len(values)):
            values[row] += values[row - 1]
    return values if not channels else np.moveaxis(values.reshape(channels, height, width), 0, 2)


def images_of(path):
    """All images of an LMDB file, and its keys."""
    env = lmdb.open(str(path), subdir=False, readonly=True, lock=False)
    with env.begin() as transaction:
        values = [(int.from_bytes(key, "big"), value) for key, value in transaction.cursor()]
    env.close()
    found = []
    for _, value in values:
        n, *ends = struct.unpack(f"<{2 + value[0]}I", value[: 8 + 4 * value[0]])
        assert n == len(ends) - 1
        found += [image_of(value[a:b]) for a, b in pairwise(ends)]
    return [key for key, _ in values], found


def check(store):
    about = json.loads((store / "dataset.json").read_text(encoding="utf-8"))
    assert (about["format"], about["format_version"], about["images_per_value"]) == ("aqqua", 1, 32)
    wanted = [i for i in range(40) if i != 7]
    pixels, ids, raw = [], [], []
    for shard in about["shards"]:
        keys, found = images_of(store / "images" / f"{shard['name']}.lmdb")
        assert keys == list(range(0, shard["rows"], 32))
        pixels += found
        ids += pq.read_table(store / "metadata" / f"{shard['name']}.parquet")["object_id"].to_pylist()
        raw += pq.read_table(store / "raw" / f"{shard['name']}.parquet")["Nº"].to_pylist()
    assert ids == [f"o{i}" for i in wanted]
    assert raw == [str(i) for i in wanted]
    for i, found in zip(wanted, pixels, strict=True):
        expected = maker.specimen_pixels(i)
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
    (refused,) = pq.read_table(store / "rejected.parquet").to_pylist()
    assert (refused["origin"], refused["reason"]) == ("made.csv:9", "missing depth")


def test_the_specimen_is_what_the_page_says():
    check(HERE / "v1")


def test_what_is_written_today_is_what_the_page_says(tmp_path):
    ingest(maker.specimen_records(), tmp_path / "s", images_per_shard=35)
    check(tmp_path / "s")


def test_the_specimen_opens():
    store = open_store(HERE / "v1")
    assert store.verify() == 6
    assert len(store) == 39
    assert np.array_equal(store[38], maker.specimen_pixels(39))
    assert store.table["taxon"].unique().tolist() == ["Copépoda"]
    assert store.table["aux_light"].tolist() == [i / 4 for i in range(40) if i != 7]
    assert store.raw([3])["empty"].item() == ""


def test_a_newer_format_is_refused_with_the_remedy(tmp_path):
    about = json.loads((HERE / "v1" / "dataset.json").read_text(encoding="utf-8"))
    (tmp_path / "dataset.json").write_text(json.dumps(about | {"format_version": 2}))
    with pytest.raises(OSError, match="Update aqqua_science"):
        open_store(tmp_path)
