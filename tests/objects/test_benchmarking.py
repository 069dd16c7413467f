"""The benchmark: planted answers are found, the same bytes come twice, entries are scored and compared."""

import dataclasses
import functools
import json

import numpy as np
import pandas as pd
import pytest

from aqqua_science.images import ingest
from aqqua_science.images.shards import StoreError
from aqqua_science.objects import benchmarking, leaderboard, protocol, shifts, transfer
from aqqua_science.objects.answers import check_answers, read_answers
from aqqua_science.objects.benchmarking import benchmark, judge, score_entry
from aqqua_science.objects.glossary import METRICS
from aqqua_science.schema import SchemaError
from aqqua_science.synthetic import images


def planted(rng, *, n=600, classes=6, distance=3.0, offset=0.0):
    """Classes about means of their own, in samples of ten, on two instruments that differ by an offset."""
    rng = np.random.default_rng(rng)
    code = rng.integers(0, classes, n)
    means = distance * rng.normal(size=(classes, 8))
    instrument = np.where(np.arange(n) % 2, "UVP6", "IFCB")
    shift = offset * (instrument == "UVP6")[:, None]
    table = pd.DataFrame({"instrument": instrument, "latitude": rng.uniform(-60, 60, n), "longitude": 10.0})
    table["esd_um"] = 10 ** (2 + 0.1 * means[code, 0] + 0.02 * rng.normal(size=n))
    taxon = np.array([f"taxon{c}" for c in code])
    samples = rng.permutation(n) // 10
    return protocol.Labelled(means[code] + rng.normal(size=(n, 8)) + shift, taxon, samples, "sample_id", table)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ingest(images(60, rng=0, instruments=["UVP6", "IFCB"]), tmp_path_factory.mktemp("stores") / "drawn.aqqua")


@pytest.fixture(scope="module")
def cast(tmp_path_factory):
    """Another store than `store`, of drawings of its own."""
    drawn = list(images(20, rng=1, instruments=["UVP6"]))
    named = [
        dataclasses.replace(d, metadata=d.metadata | {"object_id": f"cast {d.metadata['object_id']}"}) for d in drawn
    ]
    return ingest(named, tmp_path_factory.mktemp("stores") / "cast.aqqua")


@pytest.fixture(scope="module")
def judged(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("judged")
    return out, benchmark(store, encoder="measured", out=out)


def test_answers_of_planted_classes_are_right_and_calibrated():
    data = planted(0)
    probabilities, untested = protocol.held_out(data, rng=0)
    found = protocol.classification(data, probabilities, rng=0)
    assert untested == []
    score = found["scores"]["balanced_accuracy"]
    assert 0.9 < score["low"] <= score["value"] <= score["high"] <= 1
    assert found["expected_calibration_error"] < 0.06
    assert found["random"]["balanced_accuracy"] == pytest.approx(1 / 6, abs=1e-6)
    assert sum(t["objects"] for t in found["of_each_taxon"].values()) == 600


def test_an_answer_outside_the_true_taxa_may_be_of_the_right_group():
    taxon = np.array(["Calanus<Copepoda", "Oithona<Copepoda", "Salpa<Thaliacea", "detritus"] * 5)
    answers = np.array(["Acartia<Copepoda", "Oithona<Copepoda", "nothing", "detritus"] * 5)
    found = protocol.answer_scores(taxon, answers, np.arange(20))
    assert found["scores"]["accuracy"]["value"] == 0.5
    assert found["grouped"]["accuracy"]["value"] == 0.75
    assert found["grouped"]["plankton_recall"]["value"] == 0.5
    of = {"Acartia<Copepoda": "a", "Calanus<Copepoda": "a", "Oithona<Copepoda": "b", "nothing": "c"}
    mapped = protocol.answer_scores(taxon, answers, np.arange(20), groups=of | {"Salpa<Thaliacea": "c"})
    assert mapped["grouped"]["accuracy"]["value"] == 1.0


@pytest.mark.parametrize("n_groups", [2, 3, 4])
@pytest.mark.parametrize("mixed", [True, False])
def test_few_samples_are_judged_as_far_as_they_can_be(n_groups, mixed):
    data = planted(8, n=300)
    code = np.array([int(name[-1]) for name in data.taxon])
    samples = np.random.default_rng(0).integers(n_groups, size=300) if mixed else code % n_groups
    data = data._replace(groups=samples)
    found = judge(data)
    assert found["groups"] == n_groups
    assert found["size"]["log_esd_r2"]["groups"] == n_groups
    assert transfer.leakage(data)["balanced_accuracy"] < 0.7
    if mixed:
        assert found["classification"]["scores"]["accuracy"]["value"] > 0.9
        assert found["classification"]["scores"]["accuracy"]["groups"] == n_groups
    else:
        assert len(found["untested_taxa"]) == 6
        assert found["classification"]["scores"] == {}
        assert found["counting"] is found["hidden_taxa"] is None
    page = leaderboard.table_of([{"version": 2, "name": "few", "stores": {"a": found}}])
    assert page["balanced accuracy"].notna().all() == mixed


def test_the_glossary_names_what_an_entry_holds():
    found = judge(planted(4, n=2_000, distance=1.0))
    absent = [metric.name for metric in METRICS if leaderboard.at(found, metric.path) is None]
    assert absent == ["unanswered"], "of an encoder, none is"
    guesses = [leaderboard.at(found, metric.guessing) for metric in METRICS if isinstance(metric.guessing, tuple)]
    assert len(guesses) == 4
    assert guesses == pytest.approx([1 / 6] * 4, abs=0.01)


def test_more_examples_score_higher():
    found = protocol.few_shot(planted(1, distance=1.0), rng=0)
    scores = [found[n]["balanced_accuracy"]["value"] for n in ("1", "5", "50")]
    assert scores == sorted(scores)
    assert scores[0] > 1 / 6


def test_few_examples_are_of_other_samples_than_the_tested():
    """With one sample a class, nothing is left to be tested on."""
    data = planted(2)._replace(groups=np.zeros(600, int))
    assert protocol.few_shot(data, rng=0) == {}


def test_hidden_taxa_stand_out_as_far_as_they_lie():
    near, far = (shifts.hidden_taxa(planted(3, distance=d), rng=0) for d in (0.3, 4.0))
    assert near["auroc"]["value"] < 0.7 < 0.95 < far["auroc"]["low"]
    assert far["distortion_by_community"] <= far["distortion_recall_95"] + 0.02
    assert len(far["hidden_taxa"]) == 2


def test_shifted_communities_are_counted_better_when_corrected():
    data = planted(4, n=2_000, distance=1.0)
    found = shifts.shifted_counts(data, protocol.held_out(data, rng=0)[0], rng=0)
    assert found["bray_curtis_emq"] < 0.6 * found["bray_curtis_cc"]
    assert 0.8 < found["coverage_of_90"] < 0.99


def test_size_is_read_where_it_is_written():
    assert protocol.size(planted(5), rng=0)["log_esd_r2"]["value"] > 0.9
    blind = planted(5)._replace(features=np.random.default_rng(0).normal(size=(600, 8)))
    assert protocol.size(blind, rng=0)["log_esd_r2"]["value"] < 0.1


def test_an_instrument_is_told_if_it_differs():
    quiet, loud = (transfer.leakage(planted(6, offset=o), rng=0)["balanced_accuracy"] for o in (0.0, 5.0))
    assert quiet < 0.6 < 0.99 < loud


def test_an_instrument_left_out_is_named_by_what_others_taught():
    data = planted(7)
    found = transfer.left_out(data, data.table["instrument"].to_numpy(), rng=0)
    assert {name: part["taxa"] for name, part in found.items()} == {"UVP6": 6, "IFCB": 6}
    assert all(part["scores"]["balanced_accuracy"]["value"] > 0.9 for part in found.values())
    own = np.char.add(data.taxon, np.where(data.table["instrument"] == "UVP6", "a", "b"))
    alone = transfer.left_out(data._replace(taxon=own), data.table["instrument"].to_numpy(), rng=0)
    assert all("shares 0 of its taxa" in part["reason"] for part in alone.values())


def test_regions_are_blocks_of_fifteen_degrees():
    table = pd.DataFrame({"latitude": [14.9, 15.0, -0.1, np.nan], "longitude": [0.0, -0.1, 179.9, 5.0]})
    assert transfer.regions_of(table).tolist() == ["0N 0E", "15N 15W", "15S 165E", ""]


def test_the_same_bytes_when_it_is_run_again(store, judged, tmp_path):
    out, found = judged
    benchmark(store, encoder="measured", out=tmp_path)
    assert (tmp_path / "benchmark.json").read_bytes() == (out / "benchmark.json").read_bytes()
    assert json.loads((out / "benchmark.json").read_text()) == found
    timing = (out / "timing.json").read_bytes()
    assert json.loads(timing)["drawn"]["images"] == 60
    benchmark(store, encoder="measured", out=out)
    assert (out / "timing.json").read_bytes() == timing, "opening features is no encoding"


def test_measured_features_of_drawn_plankton_beat_guessing(judged):
    part = judged[1]["stores"]["drawn"]
    scores, random = part["classification"]["scores"], part["classification"]["random"]
    assert scores["balanced_accuracy"]["low"] > 2 * random["balanced_accuracy"]
    assert judged[1]["together"]["instrument"]["instruments"] == ["IFCB", "UVP6"]


def changed(folder, **columns):
    """Drawn plankton of which a function of number and value gives some metadata anew."""
    records = []
    for number, picture in enumerate(images(60, rng=0, instruments=["UVP6", "IFCB"])):
        told = {name: give(number, picture.metadata[name]) for name, give in columns.items()}
        records.append(dataclasses.replace(picture, metadata=picture.metadata | told))
    return ingest(records, folder / "changed.aqqua")


def test_only_what_people_named_is_judged(tmp_path):
    status = ("predicted", "dubious", "validated")
    store = changed(tmp_path, taxon_status=lambda number, _: status[number % 3])
    answers = store.table[["object_id", "taxon"]].query("@store.table.taxon_status == 'validated'")
    found = score_entry(store, answers, out=tmp_path, name="truth")["stores"]["changed"]
    assert (found["objects"], found["unanswered"]) == (20, 0)
    unsure = changed(tmp_path / "unsure", taxon_status=lambda *_: "predicted")
    with pytest.raises(SchemaError, match="0 taxa in 'taxon' that people named"):
        score_entry(unsure, answers, out=tmp_path, name="truth")


def test_objects_of_one_sample_are_kept_together_where_some_have_none(tmp_path):
    store = changed(tmp_path, sample_id=lambda number, name: None if number < 3 else f"cast {number % 3}")
    found = benchmark(store, encoder="measured", out=tmp_path)["stores"]["changed"]
    assert (found["kept_together"], found["groups"], found["alone"]) == ("sample_id", 6, 3)
    assert found["classification"]["scores"]["accuracy"]["groups"] <= 6
    page = (tmp_path / "benchmark.html").read_text(encoding="utf-8")
    assert "3 objects without a sample stand alone" in page
    assert "(6)</small>" in page


def test_sizes_to_be_read_are_those_of_the_drawn_bodies(store):
    pictures = images(60, rng=0, instruments=["UVP6", "IFCB"])
    truth = {picture.metadata["object_id"]: picture.truth["esd_um"] for picture in pictures}
    table = benchmarking._table(store, "taxon", 0)
    found = benchmarking._labelled(store, table, np.zeros((len(table), 1)), label="taxon").table
    error = found["esd_um"].to_numpy() / found["object_id"].map(truth).to_numpy() - 1
    assert np.median(np.abs(error)) < 0.05


def test_encoding_times_outlive_a_run_that_breaks_off(store, tmp_path):
    unlabelled = changed(tmp_path, taxon=lambda *_: "one")
    with pytest.raises(SchemaError, match="1 taxa"):
        benchmark([store, unlabelled], encoder="measured", out=tmp_path / "out")
    assert json.loads((tmp_path / "out" / "timing.json").read_text())["drawn"]["images"] == 60


def test_an_entry_is_scored_and_what_it_leaves_out_is_wrong(store, judged, tmp_path):
    answers = store.table[["object_id", "taxon"]]
    whole = score_entry(store, answers, out=tmp_path / "a", name="truth")["stores"]["drawn"]
    assert whole["classification"]["scores"]["accuracy"]["value"] == 1.0
    half = score_entry(store, answers[:30], out=tmp_path / "b", name="half", beside=[judged[0], tmp_path / "a"])
    half = half["stores"]["drawn"]
    assert (half["unanswered"], half["classification"]["scores"]["accuracy"]["value"]) == (30, 0.5)
    table = leaderboard.table_of([leaderboard.read_entry(f) for f in (tmp_path / "b", judged[0], tmp_path / "a")])
    assert table["entry"].iloc[0] == "truth"
    assert set(table["entry"]) == {"truth", "half", "measured"}


def test_what_is_left_unanswered_is_told(store, cast, judged, tmp_path):
    answers = store.table[["object_id", "taxon"]]
    answers = answers.assign(taxon=answers["taxon"].where(np.arange(60) < 50, ["", None] * 30))
    with pytest.warns(UserWarning, match="half answers nothing of cast: all of their objects count as wrong"):
        found = score_entry([store, cast], answers, out=tmp_path, name="half", beside=[judged[0]])["stores"]
    assert {name: (part["unanswered"], part["objects"]) for name, part in found.items()} == {
        "drawn": (10, 60),
        "cast": (20, 20),
    }
    page = (tmp_path / "benchmark.html").read_text(encoding="utf-8")
    assert "half leaves 10 of the 60 objects unanswered" in page
    assert "half leaves all 20 objects unanswered" in page
    with pytest.raises(SchemaError, match="none of the 60 predictions is of a labelled object of cast; the first is"):
        score_entry(cast, store.table[["object_id", "taxon"]], out=tmp_path / "none", name="none")


def test_names_that_no_object_has_are_told(store, tmp_path):
    answers = store.table[["object_id", "taxon"]]
    first = answers["taxon"][0]
    loud = answers.assign(taxon=answers["taxon"].where(answers.index >= 7, answers["taxon"].str.upper()))
    told = f"7 answers of loud name no taxon of drawn, .* first is '{first.upper()}'. Did you mean '{first}'"
    with pytest.warns(UserWarning, match=told):
        found = score_entry(store, loud, out=tmp_path, name="loud")["stores"]["drawn"]
    assert found["unknown_names"]["answers"] == 7
    assert found["classification"]["scores"]["accuracy"]["value"] == pytest.approx(53 / 60)
    page = (tmp_path / "benchmark.html").read_text(encoding="utf-8")
    assert f"loud: 7 answers name no taxon of this store, and count as wrong; the first is “{first.upper()}”" in page


def test_a_folder_keeps_its_entry(store, cast, judged, tmp_path):
    answers = store.table[["object_id", "taxon"]]
    score_entry(store, answers, out=tmp_path, name="truth")
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    score_entry(store, answers[::-1], out=tmp_path, name="truth")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first, "the same answers in another order"
    with pytest.raises(
        StoreError, match=r"holds another entry of the benchmark: name truth, not lies\. Pass overwrite=True"
    ):
        score_entry(store, answers, out=tmp_path, name="lies")
    with pytest.raises(StoreError, match=r"predictions [0-9a-f]{16}, not [0-9a-f]{16}"):
        score_entry(store, answers[:-1], out=tmp_path, name="truth")
    with pytest.raises(StoreError, match=r"encoder none, not [0-9a-f]{16}; predictions [0-9a-f]{16}, not none"):
        benchmark(store, encoder="measured", out=tmp_path, name="truth")
    with pytest.raises(StoreError, match="it judges drawn too"):
        score_entry(cast, answers, out=tmp_path, name="truth")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    benchmark(store, encoder="measured", out=tmp_path, overwrite=True)
    assert (tmp_path / "benchmark.json").read_bytes() == (judged[0] / "benchmark.json").read_bytes()


class Ruler:
    """An encoder that tells how many pixels an image has."""

    name, fingerprint, feature_names = "ruler", "0" * 16, ("height", "width")

    def __call__(self, pictures):
        return np.array([picture.pixels.shape[:2] for picture in pictures], np.float32)


def test_overwriting_keeps_features_that_serve_and_replaces_others(store, tmp_path):
    encode = functools.partial(benchmarking._encoded, store, to=tmp_path / "f.zarr", rows=store.rows(None))
    ruler = Ruler()
    assert encode("measured", overwrite=False)[1] > 0
    assert encode("measured", overwrite=True)[1] is None
    with pytest.raises(ValueError, match="holds other features"):
        encode(ruler, overwrite=False)
    features, seconds = encode(ruler, overwrite=True)
    assert features.to_numpy().tolist() == [list(picture.shape[:2]) for picture in store[store.rows(None)]]
    assert seconds > 0


def test_names_in_a_page_are_text(store, tmp_path):
    score_entry(store, store.table[["object_id", "taxon"]], out=tmp_path, name="<script>alert(1)</script>")
    assert "<script" not in (tmp_path / "benchmark.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (pd.DataFrame({"object_id": ["a"]}), "no column 'taxon'"),
        (pd.DataFrame({"object_id": ["a", "a"], "taxon": ["x", "y"]}), "'a' has several"),
        (pd.DataFrame({"object_id": [], "taxon": []}), "there is none"),
        (pd.DataFrame({"object_id": ["nowhere"], "taxon": ["x"]}), "none of the 1 predictions"),
        (pd.DataFrame({"object_id": ["a"], "taxon": [None]}), "there is none"),
    ],
)
def test_bad_answers_are_refused(store, tmp_path, answers, message):
    with pytest.raises(SchemaError, match=message):
        score_entry(store, answers, out=tmp_path, name="x")


def test_bad_input_is_told_with_its_remedy(store, judged, tmp_path):
    with pytest.raises(SchemaError, match="0 taxa in 'taxa'"):
        benchmark(store, encoder="measured", out=tmp_path, label="taxa")
    with pytest.raises(SchemaError, match="different names"):
        benchmark([store, store], encoder="measured", out=tmp_path)
    with pytest.raises(StoreError, match="no result of a benchmark"):
        leaderboard.read_entry(tmp_path)
    with pytest.raises(StoreError, match="nope is no result of a benchmark: there is no such file"):
        leaderboard.read_entry("nope")
    with pytest.raises(StoreError, match="no result of a benchmark"):
        benchmark(store, encoder="measured", out=tmp_path / "out", beside=[tmp_path])
    assert not (tmp_path / "out").exists(), "told before anything is encoded"
    old = judged[1] | {"version": 0}
    with pytest.raises(SchemaError, match=r"versions \[0, 2\]"):
        leaderboard.table_of([judged[1], old])


def test_answers_are_read_by_what_a_file_holds(tmp_path):
    answers = pd.DataFrame({"object_id": ["007", "é"], "taxon": ["Salpa<Thaliacea", None]})
    answers.to_parquet(tmp_path / "answers")
    answers.to_csv(tmp_path / "answers.txt", index=False, encoding="utf-8-sig")
    answers.to_csv(tmp_path / "answers.tsv", index=False, sep="\t")
    answers.assign(note="a,b,c,d").to_csv(tmp_path / "answers.csv", index=False, sep=";")
    for name in ("answers", "answers.txt", "answers.tsv", "answers.csv"):
        assert check_answers(read_answers(tmp_path / name)).to_dict() == {"007": "Salpa<Thaliacea"}


@pytest.mark.parametrize("content", [b"", b"PAR1 cut short", b"\x89PNG\r\n\x1a\n\xff\xd8", b"PK\x03\x04\xff\xfe\xfd"])
def test_what_holds_no_answers_is_told(tmp_path, content):
    (tmp_path / "answers.zip").write_bytes(content)
    with pytest.raises(SchemaError, match=r"cannot be read.*Pass a Parquet or CSV file with object_id and taxon"):
        read_answers(tmp_path / "answers.zip")
