"""Features on disk are those of the encoder, whoever wrote them and however often that was cut off."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import lmdb
import numpy as np
import pytest

from aqqua_science.features import embed, open_features
from aqqua_science.features.encoders import open_encoder
from aqqua_science.images import ingest, open_store
from aqqua_science.images.shards import IMAGES_PER_VALUE, StoreError
from aqqua_science.sources.record import Record


def tree(path):
    """Name -> bytes of every file of a folder."""
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(Path(path).rglob("*")) if p.is_file()}


def program(store, to, *, objects_per_chunk):
    """What a process of its own does."""
    call = f"embed({str(store.path)!r}, 'measured', to={str(to)!r}, objects_per_chunk={objects_per_chunk})"
    return f"from aqqua_science.features import embed; {call}"


def test_rows_are_what_the_encoder_makes_of_the_images(store, levels, tmp_path):
    features = embed(store, levels, to=tmp_path / "f.zarr", objects_per_chunk=25)
    assert features.dims == ("object", "feature")
    assert features["feature"].values.tolist() == list(levels.feature_names)
    for row in (0, 24, 25, 59):
        pixels = store[row]
        expected = (pixels.mean(), *pixels.shape[:2], store.table["pixel_size_um"][row])
        np.testing.assert_allclose(features[row], np.array(expected, np.float32))


def test_objects_are_described_as_in_the_store(store, levels, tmp_path):
    features = embed(store, levels, to=tmp_path / "f.zarr", objects_per_chunk=25)
    for name in ("object_id", "sample_id", "instrument", "licence", "latitude", "depth", "pixel_size_um", "time"):
        assert (features[name].values == store.table[name].to_numpy(features[name].dtype)).all()
    assert (features["taxon"] == store.table["taxon"].fillna("").to_numpy(object)).all()
    chosen = features[features["taxon"] == "Copepoda"]
    assert 0 < chosen.sizes["object"] == (store.table["taxon"] == "Copepoda").sum()
    assert features.attrs["licence"] == ["CC0-1.0"]
    assert features.attrs["contributors"] == ["A. Person"]
    told = ("encoder", "fingerprint", "store", "unreadable")
    assert [features.attrs[name] for name in told] == ["levels", levels.fingerprint, "drawn.aqqua", 0]


def test_missing_taxa_are_empty_text(levels, tmp_path):
    facts = {"time": "2024-05-01", "latitude": 0, "longitude": 0, "depth": 5, "pixel_size_um": 50}
    pixels = np.full((9, 9), 100, np.uint8)
    records = [Record(origin=f"r{i}", pixels=lambda: pixels, metadata={"object_id": f"o{i}"}, raw={}) for i in range(3)]
    store = ingest(records, tmp_path / "s", defaults=facts | {"instrument": "CPICS", "licence": "CC0-1.0"})
    features = embed(store, levels, to=tmp_path / "f.zarr")
    assert features["taxon"].values.tolist() == ["", "", ""]


def test_opening_reads_nothing(store, levels, tmp_path):
    embed(store, levels, to=tmp_path / "f.zarr")
    features = open_features(tmp_path / "f.zarr")
    assert features.chunks is not None
    repr(features[:, 1] * 2)
    for name in ("taxon", "latitude"):
        shutil.rmtree(tmp_path / "f.zarr" / name / "c")
    # Nothing is there now, so nothing was read before.
    assert features["taxon"].values.tolist() == [""] * 60
    assert np.isnan(features["latitude"].values).all()


def test_rows_keep_their_order_and_their_numbers(store, levels, tmp_path):
    features = embed(store, levels, to=tmp_path / "f.zarr", rows=[40, 3, 17], objects_per_chunk=2)
    assert features["object"].values.tolist() == [40, 3, 17]
    np.testing.assert_allclose(features.sel(object=3)[1], store[3].shape[0])
    later = embed(store, levels, to=tmp_path / "g.zarr", rows=slice(30, 36))
    assert later["object"].values.tolist() == list(range(30, 36))
    np.testing.assert_allclose(later.sel(object=33)[1], store[33].shape[0])


def test_half_precision_is_half_and_refuses_what_does_not_fit(store, levels, tmp_path):
    full = embed(store, levels, to=tmp_path / "f.zarr")
    half = embed(store, levels, to=tmp_path / "h.zarr", dtype="float16")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, full, rtol=1e-3)
    levels.__class__ = type(
        "Large", (type(levels),), {"__call__": lambda self, i: np.full((len(i), 4), 1e5, np.float32)}
    )
    with pytest.raises(ValueError, match=r"is 100000, too large for float16. Pass dtype='float32'"):
        embed(store, levels, to=tmp_path / "l.zarr", dtype="float16")


def test_a_second_call_does_nothing(store, levels, tmp_path):
    embed(store, levels, to=tmp_path / "f.zarr")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "f.zarr").rglob("*")}
    embed(store, levels, to=tmp_path / "f.zarr")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "f.zarr").rglob("*")} == before


def test_a_run_that_lost_chunks_is_completed_to_the_same_bytes(store, levels, tmp_path):
    whole = tmp_path / "whole.zarr"
    embed(store, levels, to=whole, objects_per_chunk=7)
    calls = []

    class Fails(type(levels)):
        def __call__(self, images):
            calls.append(len(images))
            if len(calls) == 4:
                raise KeyboardInterrupt
            return super().__call__(images)

    with pytest.raises(KeyboardInterrupt):
        embed(store, Fails(), to=tmp_path / "part.zarr", objects_per_chunk=7)
    with pytest.raises(StoreError, match=r"not complete: 6 chunks are missing. Run the same embed"):
        open_features(tmp_path / "part.zarr")
    embed(store, Fails(), to=tmp_path / "part.zarr")
    assert calls == [7] * 9 + [4]  # three were written, one was lost, six were waiting
    assert tree(tmp_path / "part.zarr") == tree(whole)


def test_a_killed_process_is_taken_up_again(store, tmp_path):
    whole, part = tmp_path / "whole.zarr", tmp_path / "part.zarr"
    process = subprocess.Popen([sys.executable, "-c", program(store, part, objects_per_chunk=5)])
    while not (part / "features" / "c" / "1").exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (part / "features" / "c" / "3.abc.partial").write_text("what an interrupted write leaves")
    written = {p: p.stat().st_mtime_ns for p in (part / "features" / "c").glob("*/0")}
    assert written
    embed(store, "measured", to=part, objects_per_chunk=5)
    embed(store, "measured", to=whole, objects_per_chunk=5)
    assert {p: p.stat().st_mtime_ns for p in written} == written
    assert tree(part) == tree(whole)


def test_processes_of_a_job_share_the_work(store, tmp_path):
    shared, whole = tmp_path / "shared.zarr", tmp_path / "whole.zarr"
    ranks = [dict(os.environ, RANK=str(r), WORLD_SIZE="2") for r in (0, 1)]
    processes = [
        subprocess.Popen([sys.executable, "-c", program(store, shared, objects_per_chunk=11)], env=env) for env in ranks
    ]
    assert [p.wait() for p in processes] == [0, 0]
    embed(store, "measured", to=whole, objects_per_chunk=11)
    assert tree(shared) == tree(whole)


def test_each_process_takes_its_own_chunks(store, levels, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "1")
    features = embed(store, levels, to=tmp_path / "f.zarr", objects_per_chunk=10)
    seen = np.isfinite(features.values).all(axis=1)
    assert seen.tolist() == [False] * 20 + [True] * 20 + [False] * 20
    with pytest.raises(ValueError, match="none may overwrite"):
        embed(store, levels, to=tmp_path / "f.zarr", overwrite=True)
    for rank in "02":
        monkeypatch.setenv("RANK", rank)
        embed(store, levels, to=tmp_path / "f.zarr", objects_per_chunk=10)
    assert np.isfinite(open_features(tmp_path / "f.zarr").values).all()


@pytest.mark.slow
def test_a_dask_cluster_writes_the_same_bytes(store, onnx_file, levels, tmp_path):
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        embed(store, onnx_file, to=tmp_path / "many.zarr", client=client, objects_per_chunk=13)
        embed(store, "measured", to=tmp_path / "ruler.zarr", client=client, rows=slice(20))
    embed(store, onnx_file, to=tmp_path / "one.zarr", objects_per_chunk=13)
    assert tree(tmp_path / "many.zarr") == tree(tmp_path / "one.zarr")
    assert open_features(tmp_path / "ruler.zarr").shape == (20, 92)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder": "measured"}, r"its encoder is levels \(0123456789abcdef\), not measured \("),
        ({"dtype": "float16"}, "its dtype is float32, not float16"),
        ({"rows": [1, 2]}, "it is of 60 rows, not of 2. Pass another to=, or overwrite=True"),
        ({"rows": list(range(60))[::-1]}, "it is of 60 other rows. Pass"),
    ],
)
def test_other_features_are_refused(store, levels, tmp_path, change, words):
    embed(store, levels, to=tmp_path / "f.zarr")
    with pytest.raises(ValueError, match=words):
        embed(store, **{"encoder": levels, **change}, to=tmp_path / "f.zarr")
    features = embed(store, **{"encoder": levels, **change}, to=tmp_path / "f.zarr", overwrite=True)
    assert features.attrs["encoder"] == ("measured" if "encoder" in change else "levels")


def test_another_store_is_refused(store, levels, tmp_path):
    embed(store, levels, to=tmp_path / "f.zarr")
    other = store.subset(slice(60), to=tmp_path / "drawn.aqqua")
    assert len(other) == len(store)
    with pytest.raises(ValueError, match=r"its store is drawn.aqqua \(\w+\), not drawn.aqqua \("):
        embed(other, levels, to=tmp_path / "f.zarr")


def test_a_renamed_encoder_and_an_empty_folder_are_fine(store, levels, tmp_path):
    (tmp_path / "f.zarr").mkdir()
    embed(store, levels, to=tmp_path / "f.zarr")
    levels.name = "moved"
    assert embed(store, levels, to=tmp_path / "f.zarr").attrs["encoder"] == "levels"


def test_what_is_no_archive_is_never_overwritten(store, levels, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("years")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="exists and holds no features"):
            embed(store, levels, to=tmp_path / "work", overwrite=overwrite)
    assert (tmp_path / "work" / "thesis.txt").read_text() == "years"


def test_features_lie_beside_the_store_unless_told(levels, store, tmp_path):
    own = store.subset([1, 2, 3], to=tmp_path / "few.aqqua")
    embed(own, levels)
    assert open_features(tmp_path / "few-levels-01234567.zarr").shape == (3, 4)


def damaged(store, to, row):
    """A copy of a store in which the value that holds an image is cut short."""
    shutil.copytree(store.path, to)
    copy = open_store(to)
    shard, place = copy._locate(row)
    with lmdb.open(copy._images[shard], subdir=False, map_size=2**28, lock=False) as env, env.begin(write=True) as put:
        key, value = next(pair for i, pair in enumerate(put.cursor()) if i == place // IMAGES_PER_VALUE)
        put.put(key, value[: len(value) // 3])
    return copy


def test_images_that_cannot_be_read_are_rows_of_nan(store, levels, tmp_path):
    broken = damaged(store, tmp_path / "broken.aqqua", 2)
    lost = [row for row in range(len(broken)) if not readable(broken, row)]
    assert 0 < len(lost) < len(broken)
    with pytest.warns(UserWarning, match=rf"{len(lost)} of 60 images gave no features.* tells why"):
        features = embed(broken, levels, to=tmp_path / "f.zarr", objects_per_chunk=lost[-1])
    assert np.flatnonzero(np.isnan(features.values).all(axis=1)).tolist() == lost
    assert np.flatnonzero(features["fault"].values != "").tolist() == lost
    assert features.attrs["unreadable"] == len(lost)
    assert features["object_id"].values[lost[0]] == store.table["object_id"][lost[0]]
    with pytest.raises(StoreError, match=f"none of {len(lost)} images gave features"):
        embed(broken, levels, to=tmp_path / "g.zarr", rows=lost)


def readable(store, row):
    try:
        store[row]
    except StoreError:
        return False
    return True


def test_a_number_that_is_none_is_a_fault(store, levels, tmp_path):
    levels.__class__ = type(
        "Gap",
        (type(levels),),
        {"__call__": lambda self, i: np.where(np.arange(len(i))[:, None] == 5, np.inf, 1.0) * np.ones(4)},
    )
    with pytest.warns(UserWarning, match="1 of 60 images gave no features"):
        features = embed(store, levels, to=tmp_path / "f.zarr")
    assert np.flatnonzero(np.isnan(features.values).any(axis=1)).tolist() == [5]
    assert features["fault"].values[5] == "levels gives no finite number"


def test_no_images_is_an_error(store, levels, tmp_path):
    with pytest.raises(ValueError, match="there are no images to embed"):
        embed(store, levels, to=tmp_path / "f.zarr", rows=[])
    with pytest.raises(ValueError, match="float32 or float16; got 'int8'"):
        embed(store, levels, to=tmp_path / "f.zarr", dtype="int8")
    with pytest.raises(ValueError, match="1 object or more; got objects_per_chunk=0"):
        embed(store, levels, to=tmp_path / "f.zarr", objects_per_chunk=0)
    assert not (tmp_path / "f.zarr").exists()


def test_memory_does_not_grow_with_the_store(store, tmp_path):
    """Never more images at once than are read ahead, however many there are."""
    seen = []

    class Counts:
        name, fingerprint, feature_names = "counts", "0" * 16, ("n",)

        def __call__(self, images):
            seen.append(len(images))
            return np.ones((len(images), 1), np.float32)

    rows = np.tile(np.arange(60), 30)
    embed(store, Counts(), to=tmp_path / "f.zarr", rows=rows)
    assert sum(seen) == 1_800
    assert max(seen) <= 512


REAL = {
    "ecotaxa+uvpec/test/img_sample": {"pixel_size_um": 73, "instrument": "UVP6", "licence": "GPL-3.0"},
    "VickoT+FlowCam_Image_Classifier/Training/data/classes": {
        "pixel_size_um": 0.5544, "instrument": "FlowCam", "licence": "MIT"
    },
}  # fmt: skip
ANYWHERE = {"time": "2020-01-01", "latitude": 0, "longitude": 0, "depth": 10}


@pytest.mark.slow
@pytest.mark.parametrize("folder", REAL)
def test_real_images_give_real_features(shared_data, folder, onnx_file, tmp_path):
    store = ingest(shared_data / "images" / folder, tmp_path / "real.aqqua", defaults={**ANYWHERE, **REAL[folder]})
    rows = np.linspace(0, len(store) - 1, 40).astype(int)
    measured = embed(store, "measured", to=tmp_path / "m.zarr", rows=rows)
    encoded = embed(store, onnx_file, to=tmp_path / "e.zarr", rows=rows)
    assert np.isfinite(measured.values).all()
    assert np.isfinite(encoded.values).all()
    assert encoded.attrs["fingerprint"] == open_encoder(onnx_file).fingerprint
    heights = np.log([store[int(r)].shape[0] * REAL[folder]["pixel_size_um"] for r in rows])
    np.testing.assert_allclose(measured.sel(feature="log_height"), heights, rtol=1e-5)
