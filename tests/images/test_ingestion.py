"""Ingestion loses nothing, doubles nothing, and says why it refuses what it refuses."""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import distributed
import numpy as np
import pytest

from aqqua_science.images import ingest, open_store
from aqqua_science.images.shards import StoreError
from aqqua_science.schema import SchemaError
from aqqua_science.sources.pictures import encode_png
from aqqua_science.sources.record import Record

SCRIPT = """
import json, sys
from aqqua_science.images import ingest
path, to, defaults = sys.argv[1:]
ingest(path, to, format="labels", defaults=json.loads(defaults), images_per_shard=8)
"""


def record(**metadata):
    good = {"object_id": "a", "time": "2024-05-01T12:00:00", "latitude": 54.2, "longitude": 7.9, "depth": 5}
    good |= {"pixel_size_um": 50, "instrument": "CPICS", "licence": "CC0-1.0"}
    return Record("made.csv:2", lambda: np.zeros((4, 4), np.uint8), good | metadata, {"one": "1"})


def contents(store):
    """Checksum of every file that makes a store; times and locks lie apart."""
    apart = {"run.jsonl", ".lock"}
    files = sorted(p for p in Path(store).rglob("*") if p.is_file() and p.name not in apart)
    return {str(p.relative_to(store)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize(
    "name", ["object_id", "time", "latitude", "longitude", "depth", "pixel_size_um", "instrument", "licence"]
)
@pytest.mark.parametrize("nothing", [None, "", "nan", float("nan")])
def test_an_image_without_a_required_value_is_refused(tmp_path, name, nothing):
    store = ingest([record(), record(**{name: nothing})], tmp_path / "s")
    assert len(store) == 1
    (refused,) = store.rejected.to_dict("records")
    assert refused["reason"] == f"missing {name}"
    assert refused["origin"] == "made.csv:2"
    assert json.loads(refused["raw"]) == {"one": "1"}


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"latitude": 91}, "latitude is outside -90..90 degrees_north"),
        ({"longitude": "east"}, "longitude is not a number"),
        ({"depth": -1}, "depth is outside 0..11050 m"),
        ({"depth": "inf"}, "depth is not finite"),
        ({"pixel_size_um": 0}, "pixel_size_um is not above 0 and at most 100000 um"),
        ({"time": "yesterday"}, "time is no date and time"),
        ({"time": "04:05"}, "time is no date and time"),
        ({"time": "03/02/2020"}, "time is no date and time"),
        ({"time": "20200101 2460"}, "time is no date and time"),
        ({"time": "1066-10-14"}, "time is outside the years 1800..2200"),
        ({"water": "soup"}, "water is none of sea, lake, river"),
        ({"water": "lake"}, "missing surface_altitude_m"),
        ({"image_rank": 1.5}, "image_rank is not a whole number"),
        ({"volume_m3": 0}, "volume_m3 is not above 0 m3"),
        ({"taxon_status": "sure"}, "taxon_status is none of"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_rule(tmp_path, metadata, reason):
    store = ingest([record(), record(**metadata)], tmp_path / "s")
    assert len(store) == 1
    assert store.rejected["reason"].item().startswith(reason)


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2024-05-01", "2024-05-01T00:00:00"),
        ("2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00"),
        ("2024-05-01 12:00:00.25Z", "2024-05-01T12:00:00.250"),
        (np.datetime64("2024-05-01T12:00:00", "s"), "2024-05-01T12:00:00"),
    ],
)
def test_times_are_utc(tmp_path, written, utc):
    store = ingest([record(time=written)], tmp_path / "s")
    assert store.table["time"][0] == np.datetime64(utc)


def test_an_inland_water_with_its_altitude_is_taken(tmp_path):
    table = ingest([record(water="Lake", surface_altitude_m=395)], tmp_path / "s").table
    assert (table["water"][0], table["surface_altitude_m"][0]) == ("lake", 395)


def test_defaults_fill_what_is_missing_and_are_recorded(tmp_path):
    records = [record(depth=None), record(depth=7)]
    store = ingest(records, tmp_path / "s", defaults={"depth": 5, "aux_gain": "2"})
    assert store.table["depth"].tolist() == [5, 7]
    assert store.table["aux_gain"].tolist() == [2, 2]
    assert store.table["supplied"].tolist() == ["depth aux_gain", "aux_gain"]
    assert store.about["sources"][0]["supplied"] == {"aux_gain": 2, "depth": 1}
    assert store.about["sources"][0]["defaults"] == {"depth": "5", "aux_gain": "2"}


def test_a_column_of_the_source_goes_before_what_was_found_out(tmp_path):
    store = ingest([record()], tmp_path / "s", columns={"pixel_size_um": "one"})
    assert store.table["pixel_size_um"][0] == 1


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"defaults": {"dept": 5}}, "Did you mean 'depth'"),
        ({"defaults": {"depth": "deep"}}, "not a number: 'deep'. Correct it.$"),
        ({"defaults": {"latitude": 120}}, r"120\. Are latitude and longitude swapped\?$"),
        ({"columns": {"pixelsize": "x"}}, "Did you mean 'pixel_size_um'"),
        ({"images_per_shard": 0}, "at least 1"),
    ],
)
def test_a_wrong_choice_stops_before_anything_is_written(tmp_path, choices, told):
    with pytest.raises(ValueError, match=told):
        ingest([record()], tmp_path / "s", **choices)
    assert not (tmp_path / "s").exists()


def test_when_nothing_can_be_used_the_remedy_is_told_and_the_next_try_works(tmp_path):
    with pytest.raises(SchemaError, match="--default depth=VALUE --default licence=VALUE"):
        ingest([record(depth=None, licence=None)], tmp_path / "s")
    with pytest.raises(StoreError, match="is no store"):
        open_store(tmp_path / "s")
    again = ingest([record(depth=None, licence=None)], tmp_path / "s", defaults={"depth": 1, "licence": "CC0-1.0"})
    assert len(again) == 1
    assert again.rejected.empty


def test_a_bad_image_is_refused_and_the_rest_is_kept(label_folder, defaults, tmp_path):
    store = ingest(label_folder, tmp_path / "s", format="labels", defaults=defaults)
    assert len(store) == 119
    assert store.rejected["reason"].tolist() == ["the image is damaged"]
    assert store.rejected["origin"].item().endswith("119.png")


def test_what_leads_out_of_a_source_is_not_read_and_told(label_folder, defaults, tmp_path):
    (tmp_path / "secret.png").write_bytes((label_folder / "detritus" / "000.png").read_bytes())
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        archive.write(label_folder / "detritus" / "002.png", "detritus/1.png")
        archive.write(tmp_path / "secret.png", "../secret.png")
        archive.writestr("detritus/bomb.png", bytes(50_000_000), compress_type=zipfile.ZIP_DEFLATED)
    store = ingest(tmp_path / "run.zip", tmp_path / "s", defaults=defaults)
    assert len(store) == 1
    reasons = dict(zip(store.rejected["origin"], store.rejected["reason"], strict=True))
    assert reasons["../secret.png"] == "its name leads out of the archive"
    assert "zip bomb" in reasons["detritus/bomb.png"]
    assert sum(store.about["sources"][0]["rejected"].values()) == 2


def test_a_second_source_is_added_and_the_first_stays(label_folder, defaults, pictures, tmp_path):
    first = contents_of_images(ingest(pictures[:20], tmp_path / "s", images_per_shard=7))
    both = ingest(label_folder, tmp_path / "s", format="labels", defaults=defaults, use_for_maps=True)
    assert len(both) == 20 + 119
    assert contents_of_images(both)[:20] == first
    assert [s["use_for_maps"] for s in both.about["sources"]] == [False, True]
    assert len(both.rejected) == 1
    assert contents(tmp_path / "s") == contents(ingest(pictures[:20], tmp_path / "s", images_per_shard=7).path)


def contents_of_images(store):
    return [store[row].tobytes() for row in range(len(store))]


def test_other_options_for_the_same_source_are_refused_unless_it_is_replaced(pictures, tmp_path):
    ingest(pictures[:5], tmp_path / "s")
    with pytest.raises(StoreError, match="overwrite"):
        ingest(pictures[:6], tmp_path / "s")
    assert len(open_store(tmp_path / "s")) == 5
    assert len(ingest(pictures[:6], tmp_path / "s", overwrite=True)) == 6


def test_the_shards_of_a_store_do_not_change_what_is_in_it(pictures, tmp_path):
    one, many = ingest(pictures, tmp_path / "1"), ingest(pictures, tmp_path / "2", images_per_shard=7)
    assert contents_of_images(one) == contents_of_images(many)
    assert one.table.equals(many.table)
    assert one.raw().equals(many.raw()[one.raw().columns])


def start(folder, to, defaults):
    command = [sys.executable, "-c", SCRIPT, str(folder), str(to), json.dumps(defaults)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def kill_when(to, process, *, shards, delay):
    """Kill an ingest a moment after it has finished so many shards; tells whether it still ran."""
    while process.poll() is None and len(list(to.glob(".ingest/shard-*.json"))) < shards:
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    process.communicate()
    return process.returncode == -9


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in range(1, 6))])
def test_kill_9_at_any_moment_leaves_the_same_bytes_in_the_end(label_folder, defaults, tmp_path, seed):
    rng, to = random.Random(seed), tmp_path / "killed"
    undisturbed = start(label_folder, tmp_path / "undisturbed", defaults)
    moments = sorted(rng.sample(range(14), 6))
    kills = [kill_when(to, start(label_folder, to, defaults), shards=n, delay=rng.uniform(0, 0.03)) for n in moments]
    assert sum(kills) >= 4
    for process in (undisturbed, start(label_folder, to, defaults)):
        _, error = process.communicate()
        assert process.returncode == 0, error.decode()
    assert contents(to) == contents(tmp_path / "undisturbed")


def test_killed_between_any_two_steps(label_folder, defaults, tmp_path, monkeypatch):
    """Every file that is put in its place is a moment at which the power may go."""
    wanted = contents(
        ingest(label_folder, tmp_path / "whole", format="labels", defaults=defaults, images_per_shard=50).path
    )
    moments = 0
    real = Path.replace

    def replace(self, target, *, limit):
        nonlocal moments
        moments += 1
        if moments > limit:
            raise KeyboardInterrupt
        return real(self, target)

    for limit in range(100):
        moments = 0
        monkeypatch.setattr(Path, "replace", lambda self, target, limit=limit: replace(self, target, limit=limit))
        try:
            ingest(label_folder, tmp_path / str(limit), format="labels", defaults=defaults, images_per_shard=50)
        except KeyboardInterrupt:
            monkeypatch.setattr(Path, "replace", real)
            store = ingest(label_folder, tmp_path / str(limit), format="labels", defaults=defaults, images_per_shard=50)
            assert contents(store.path) == wanted
            continue
        break
    assert limit > 10


def test_an_unfinished_store_is_told(label_folder, defaults, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "aqqua_science.images.ingestion.write_json", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        ingest(label_folder, tmp_path / "s", format="labels", defaults=defaults)
    with pytest.raises(StoreError, match=r"did not finish. Run the same ingest again"):
        open_store(tmp_path / "s")


def test_a_second_writer_is_refused(label_folder, defaults, tmp_path):
    process = start(label_folder, tmp_path / "s", defaults)
    while not (tmp_path / "s" / ".ingest").exists():
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, 19)
    try:
        with pytest.raises(StoreError, match="another ingest is writing"):
            ingest(label_folder, tmp_path / "s", format="labels", defaults=defaults)
    finally:
        os.kill(process.pid, 18)
        process.communicate()
    assert len(open_store(tmp_path / "s")) == 119


def test_a_full_disk_is_told_and_earlier_shards_stay(label_folder, defaults, tmp_path, monkeypatch):
    """The disk fills up while the third shard is written."""
    from aqqua_science.images import shards

    real, calls = shards.write_table, []

    def write_table(table, path):
        calls.append(path)
        if len(calls) > 8:
            raise OSError(28, "No space left on device")
        real(table, path)

    monkeypatch.setattr(shards, "write_table", write_table)
    with pytest.raises(StoreError, match="the disk is full"):
        ingest(label_folder, tmp_path / "s", format="labels", defaults=defaults, images_per_shard=20)
    assert {p.name for p in (tmp_path / "s" / "images").iterdir()} == {"shard-00000.lmdb", "shard-00001.lmdb"}
    monkeypatch.setattr(shards, "write_table", real)
    assert len(ingest(label_folder, tmp_path / "s", format="labels", defaults=defaults, images_per_shard=20)) == 119


def test_a_target_that_is_a_file_is_told(pictures, tmp_path):
    (tmp_path / "s").write_text("mine")
    with pytest.raises(StoreError, match="cannot be written"):
        ingest(pictures[:1], tmp_path / "s")
    assert (tmp_path / "s").read_text() == "mine"


def test_a_dask_cluster_leaves_the_same_bytes(label_folder, defaults, tmp_path):
    alone = ingest(label_folder, tmp_path / "alone", format="labels", defaults=defaults, images_per_shard=25)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster,
        distributed.Client(cluster) as client,
    ):
        shared = ingest(
            label_folder, tmp_path / "shared", format="labels", defaults=defaults, images_per_shard=25, client=client
        )
    assert contents(shared.path) == contents(alone.path)


def test_real_bundles_and_bins_come_in_whole(shared_data, tmp_path):
    """EcoTaxa's own good bundle, and an IFCB archive whose ROI bytes are counted by hand from its .adc."""
    bundle = shared_data / "images/ecotaxa+ecotaxa_back/QA/py/data/import_test"
    store = ingest(bundle, tmp_path / "e", defaults={"licence": "CC0-1.0", "pixel_size_um": 10.6})
    assert (len(store), len(store.rejected)) == (11, 0)
    bins = shared_data / "images/joefutrelle+pyifcb/ifcb/tests/data/test_data/white"
    given = {"licence": "MIT", "pixel_size_um": 0.3, "depth": 5, "latitude": 41, "longitude": -70}
    store = ingest(bins, tmp_path / "i", defaults=given)
    roi = next(bins.rglob("*.roi"))
    rows = [line.split(",") for line in roi.with_suffix(".adc").read_text().splitlines()]
    sizes = [(int(r[16]), int(r[15]), int(r[17])) for r in rows if int(r[15]) * int(r[16])]
    content = roi.read_bytes()
    assert len(store) == len(sizes)
    for image, (height, width, offset) in zip(store[:], sizes, strict=True):
        assert image.tobytes() == content[offset : offset + height * width]
        assert image.shape == (height, width)


def test_overwriting_reads_one_source_anew_and_leaves_the_others(label_folder, defaults, pictures, tmp_path):
    ingest(pictures[:20], tmp_path / "s", images_per_shard=7)
    ingest(label_folder, tmp_path / "s", format="labels", defaults=defaults)
    with pytest.raises(StoreError, match="with another defaults"):
        ingest(label_folder, tmp_path / "s", format="labels", defaults=defaults | {"depth": 9})
    store = ingest(label_folder, tmp_path / "s", format="labels", defaults=defaults | {"depth": 9}, overwrite=True)
    assert store.table.groupby("source")["depth"].agg(["size", "max"]).loc[label_folder.name].tolist() == [119, 9]
    assert contents_of_images(store)[:20] == contents_of_images(ingest(pictures[:20], tmp_path / "t"))
    assert len(store.rejected) == 1
    assert store.verify() == 3 * len(store.about["shards"])
    assert len(list((tmp_path / "s" / "images").iterdir())) == len(store.about["shards"])


@pytest.mark.parametrize("given", [{}, {"overwrite": True}])
def test_a_failed_ingest_never_harms_what_a_store_holds(label_folder, defaults, pictures, tmp_path, given):
    before = contents_of_images(ingest(pictures[:20], tmp_path / "s"))
    with pytest.raises(SchemaError, match="--default time=VALUE"):
        ingest(label_folder, tmp_path / "s", format="labels", **given)
    store = open_store(tmp_path / "s")
    assert contents_of_images(store) == before
    assert store.verify() == 3
    assert set(store.rejected["source"]) == {label_folder.name}
    assert len(ingest(label_folder, tmp_path / "s", format="labels", defaults=defaults)) == 20 + 119


def test_an_unfinished_second_source_can_be_dropped(label_folder, defaults, pictures, tmp_path, monkeypatch):
    ingest(pictures[:20], tmp_path / "s")
    with monkeypatch.context() as patch:
        patch.setattr(
            "aqqua_science.images.ingestion.write_rejected", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            ingest(label_folder, tmp_path / "s", format="labels", defaults=defaults | {"depth": 9})
    assert len(open_store(tmp_path / "s")) == 20
    with pytest.raises(StoreError, match="did not finish"):
        ingest(label_folder, tmp_path / "s", format="labels", defaults=defaults)
    assert len(ingest(label_folder, tmp_path / "s", format="labels", defaults=defaults, overwrite=True)) == 20 + 119


def test_consent_and_credit_follow_what_is_said_last(pictures, tmp_path):
    def rights(**given):
        (source,) = ingest(pictures[:3], tmp_path / "s", **given).about["sources"]
        return source["use_for_maps"], source["contributors"], source["citation"]

    assert rights() == (False, [], None)
    assert rights(use_for_maps=True, contributors=["A"], citation="C") == (True, ["A"], "C")
    assert rights() == (True, ["A"], "C"), "what is not said again stays"
    assert rights(use_for_maps=False) == (False, ["A"], "C")
    assert open_store(tmp_path / "s").table["use_for_maps"].tolist() == [False] * 3


def test_a_mapping_to_a_column_that_is_not_there_is_refused(pictures, tmp_path):
    with pytest.raises(SchemaError, match="Did you mean 'true_esd_um'"):
        ingest(pictures[:3], tmp_path / "s", columns={"aux_esd": "true_esd_m"})


def test_a_value_that_cannot_be_read_is_not_replaced_by_a_default(defaults, tmp_path):
    (tmp_path / "run").mkdir()
    rows = ["43.1,2021-03-04", "43;1N,2021-03-04", "43.1,nonsense", "43.1,2021-03-04T25:99", ",2021-03-04"]
    for i in range(len(rows)):
        (tmp_path / "run" / f"{i}.png").write_bytes(encode_png(np.full((3, 3), i, np.uint8)))
    lines = [f"{i}.png,{row}" for i, row in enumerate(rows)]
    (tmp_path / "run" / "table.csv").write_text("\n".join(["file_name,latitude,time", *lines]))
    store = ingest(tmp_path / "run", tmp_path / "s", defaults=defaults)
    assert store.table["latitude"].tolist() == [43.1, 54.2]
    reasons = store.rejected["reason"].tolist()
    assert reasons == ["latitude is not a number", "time is no date and time", "time is no date and time"]
