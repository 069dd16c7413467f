"""A store gives back every picture, row and original value; it finds, copies and checks them."""

import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aqqua_science.images import ingest, open_store
from aqqua_science.images.shards import StoreError, close_readers
from benchmarks.storage import many_rows


def test_every_picture_comes_back_in_order(store, pictures):
    assert len(store) == len(pictures)
    for row, picture in enumerate(pictures):
        found, wanted = store[row], picture.pixels()
        assert found.dtype == wanted.dtype
        assert np.array_equal(found, wanted)


def test_metadata_and_original_columns_come_back(store, pictures):
    table, raw = store.table, store.raw()
    assert table.index.equals(pd.RangeIndex(len(pictures), name="row"))
    for row, picture in enumerate(pictures):
        for name in ("object_id", "instrument", "taxon", "latitude", "depth", "pixel_size_um"):
            assert table[name][row] == picture.metadata[name]
        assert {k: v for k, v in raw.loc[row].items() if v is not None} == picture.raw
    assert (table["time"] == pd.to_datetime([p.metadata["time"] for p in pictures])).all()
    shapes = [p.pixels().shape for p in pictures]
    assert [tuple(s[:2]) for s in shapes] == list(zip(table["height"], table["width"], strict=True))


def test_rows_can_be_asked_for_in_many_ways(store):
    taxon = store.table["taxon"]
    copepods = np.flatnonzero(taxon == "Copepoda")
    assert store.rows(taxon == "Copepoda").tolist() == copepods.tolist()
    assert store.rows("taxon = 'Copepoda'").tolist() == copepods.tolist()
    assert store.rows(store.table[taxon == "Copepoda"]).tolist() == copepods.tolist()
    assert store.rows([-1]).tolist() == [len(store) - 1]
    assert store.rows(slice(0, 4, 2)).tolist() == [0, 2]
    assert [image.shape for image in store[[7, 3]]] == [store[7].shape, store[3].shape]
    assert store.raw([7, 3]).index.tolist() == [7, 3]
    assert store.raw([7, 3])["taxon"].tolist() == [taxon[7], taxon[3]]


@pytest.mark.parametrize("row", [150, -151])
def test_a_row_that_is_not_there_is_told(store, row):
    with pytest.raises(IndexError, match="has 150"):
        store[row]


def test_select_agrees_with_pandas(store):
    found = store.select("instrument = 'UVP6' and depth < 200")
    wanted = store.table.query("instrument == 'UVP6' and depth < 200")
    assert 0 < len(found) < len(store)
    assert found.index.tolist() == wanted.index.tolist()
    assert found["object_id"].tolist() == wanted["object_id"].tolist()
    assert list(store.select("true", columns=["taxon"]).columns) == ["taxon"]


@pytest.mark.parametrize(
    "where",
    [
        "depth <",
        "no_such_column = 1",
        "true) ORDER BY row; DROP TABLE shards; --",
        "(SELECT count(*) FROM read_csv('/etc/hostname')) > 0",
    ],
)
def test_a_condition_that_is_no_condition_is_refused(store, where):
    with pytest.raises(ValueError, match="is not understood"):
        store.select(where)


def test_a_pass_sees_every_image_once(store):
    rows = [row for row, _ in store.iterate()]
    assert rows == list(range(len(store)))
    shuffled = [row for row, _ in store.iterate(shuffle_buffer=30, rng=1)]
    assert sorted(shuffled) == rows
    assert shuffled != rows
    assert shuffled == [row for row, _ in store.iterate(shuffle_buffer=30, rng=1)]
    parts = [[row for row, _ in store.iterate(shuffle_buffer=8, rng=1, part=(w, 3))] for w in range(3)]
    assert sorted(row for rows_of_worker in parts for row in rows_of_worker) == rows
    assert all(np.array_equal(pixels, store[row]) for row, pixels in store.iterate([5, 3]))


def test_a_part_of_a_store_is_a_store(store, tmp_path):
    part = store.subset("taxon = 'Copepoda'", to=tmp_path / "part")
    rows = store.rows("taxon = 'Copepoda'")
    assert [np.array_equal(a, b) for a, b in zip(part[:], store[rows], strict=True)] == [True] * len(rows)
    assert part.table["object_id"].tolist() == store.table["object_id"][rows].tolist()
    assert part.raw().reset_index(drop=True).equals(store.raw(rows).reset_index(drop=True)[part.raw().columns])
    assert part.about["contributors"] == ["A. Person"]
    assert part.about["sources"][0]["accepted"] == len(rows)
    assert part.verify() == 3
    with pytest.raises(StoreError, match="not empty"):
        store.subset([0], to=tmp_path / "part")


def test_stores_merge_and_keep_their_sources_apart(store, label_folder, defaults, tmp_path):
    other = ingest(label_folder, tmp_path / "other", format="labels", defaults=defaults, contributors=["B. Person"])
    both = store.merge(other, store, to=tmp_path / "both")
    n = len(store)
    assert len(both) == 2 * n + len(other)
    assert np.array_equal(both[n], other[0])
    assert np.array_equal(both[n + len(other) + 3], store[3])
    assert both.table["source"].unique().tolist() == ["records", label_folder.name, "records (2)"]
    assert both.about["contributors"] == ["A. Person", "B. Person"]
    assert both.rejected["source"].tolist() == [label_folder.name]
    assert both.verify() == sum(len(s.about["shards"]) * 3 for s in (store, other, store))
    assert "1 source>" in repr(store)
    assert "3 sources>" in repr(both)


def test_a_changed_or_missing_file_is_found(store, tmp_path):
    copy = store.merge(to=tmp_path / "copy")
    files = sorted((tmp_path / "copy" / "images").iterdir())
    content = bytearray(files[0].read_bytes())
    content[-100] ^= 1
    files[0].write_bytes(content)
    files[1].unlink()
    with pytest.raises(StoreError, match=r"2 files .* \(changed\), .* \(missing\)"):
        copy.verify()


@pytest.mark.parametrize("kind", ["images", "metadata", "raw"])
def test_a_cut_file_is_a_clear_error(store, tmp_path, kind):
    store.merge(to=tmp_path / "copy")
    close_readers(tmp_path)
    file = next((tmp_path / "copy" / kind).iterdir())
    file.write_bytes(file.read_bytes()[:50])
    broken = open_store(tmp_path / "copy")
    with pytest.raises(StoreError, match=r"(cannot be|has no image|damaged)"):
        (lambda: broken[0], lambda: broken.table, lambda: broken.raw())[["images", "metadata", "raw"].index(kind)]()


@pytest.mark.parametrize("content", ["{", "{}", '{"format_version": 99, "shards": []}', "[]"])
def test_a_dataset_that_is_none_is_told(tmp_path, content):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(StoreError, match=r"cannot be understood|Update"):
        open_store(tmp_path)


def test_readers_in_threads_and_processes_see_the_same(store):
    again = pickle.loads(pickle.dumps(store))
    assert np.array_equal(again[9], store[9])
    found = [None] * 4

    def read(i):
        found[i] = [again[row].sum() for row in range(i, len(again), 4)]

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    _ = [t.start() for t in threads], [t.join() for t in threads]
    assert found == [[store[row].sum() for row in range(i, len(store), 4)] for i in range(4)]


def test_a_notebook_shows_pictures_with_their_size(store):
    text = store._repr_html_()
    assert text.count("data:image/png;base64,") == 12
    assert "150 images" in text
    assert "http" not in text


OPEN = """
import sys
from aqqua_science.images import open_store
store = open_store(sys.argv[1])
last = store[len(store) - 1]
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(len(store), last.shape == (2, 2), int(peak) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read where Linux tells it")
def test_a_store_of_100_million_rows_opens_in_little_memory(tmp_path):
    """One shard of tiny images, linked three thousand times: what opening reads is all there."""
    path = many_rows(tmp_path)
    done = subprocess.run([sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True, check=True)
    rows, whole, megabytes = done.stdout.split()
    assert int(rows) > 100_000_000
    assert whole == "True"
    assert float(megabytes) < 200


def test_a_part_counts_its_own_defaults(label_folder, defaults, tmp_path):
    whole = ingest(label_folder, tmp_path / "whole", format="labels", defaults=defaults)
    part = whole.subset([3, 5], to=tmp_path / "part")
    (source,) = part.about["sources"]
    assert source["supplied"] == dict.fromkeys(sorted(defaults), 2)
    assert source["by_instrument"] == {"CPICS": 2}
