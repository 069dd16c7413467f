"""The command line that scripts rely on: exit codes, one JSON document, nothing overwritten."""

import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from aqqua_science import cli
from aqqua_science.sources.pictures import encode_png


@pytest.fixture
def aqqua(monkeypatch, capsys):
    """Run the command in this process; returns exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["aqqua", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code or 0
        return code, *capsys.readouterr()

    return run


RECIPE = """
title = "Copepods"
[observations]
file = "samples.csv"
target = "biomass"
units = "{units}"
[environment]
files = ["environment.nc"]
[budget]
depth = [0, 200]
"""


def test_a_missing_recipe_is_the_calls_fault(aqqua):
    code, out, err = aqqua("map", "nowhere.toml")
    assert (code, out) == (2, "")
    assert "nowhere.toml" in err


def test_a_wrong_recipe_is_the_inputs_fault_without_a_traceback(aqqua, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(units="mg m-3").replace("title", "titel"), encoding="utf-8")
    code, out, err = aqqua("map", recipe)
    assert (code, out) == (1, "")
    assert "Did you mean 'title'" in err
    assert "Traceback" not in err


def test_a_missing_table_names_where_it_was_looked_for(aqqua, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(units="mg m-3"), encoding="utf-8")
    (tmp_path / "sample.csv").touch()
    code, _, err = aqqua("map", recipe, "--out", tmp_path / "out")
    assert code == 1
    assert "Did you mean 'sample.csv'" in err
    assert "--data" in err


def test_the_demo_spares_files_of_the_user(aqqua, tmp_path):
    (tmp_path / "samples.csv").write_text("mine", encoding="utf-8")
    code, _, err = aqqua("demo", "--out", tmp_path)
    assert code == 2
    assert "samples.csv" in err
    assert (tmp_path / "samples.csv").read_text(encoding="utf-8") == "mine"


def test_a_file_is_no_folder_to_write_to(aqqua, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(units="mg m-3"), encoding="utf-8")
    code, _, err = aqqua("map", recipe, "--out", recipe)
    assert code == 2
    assert "is a file" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--months", "13"),
        ("--months", "June"),
        ("--region", "1,2,3"),
        ("--resolution", "fine"),
        ("--resolution", "0"),
        ("--region", "0,10,50,40"),
        ("--data", "nowhere"),
        ("--nonsense",),
    ],
)
def test_a_wrong_option_is_the_calls_fault(aqqua, tmp_path, arguments):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(units="mg m-3"), encoding="utf-8")
    code, out, err = aqqua("map", recipe, *arguments)
    assert (code, out) == (2, "")
    assert arguments[0] in err


def test_nothing_is_overwritten_without_asking(aqqua, tmp_path):
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    code, _, err = aqqua("demo", "--out", tmp_path)
    assert code == 2
    assert "--overwrite" in err
    assert (tmp_path / "result.json").read_text(encoding="utf-8") == "{}"


def test_doctor_prints_one_json_document(aqqua):
    code, out, _ = aqqua("doctor", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["packages"]["numpy"]


def test_help_lists_every_verb():
    text = subprocess.run([sys.executable, "-m", "aqqua_science", "--help"], capture_output=True, text=True, check=True)
    assert {"demo", "map", "ingest", "export", "check", "pretrain", "doctor"} <= set(text.stdout.split())


@pytest.fixture
def run_of_images(tmp_path):
    """Three images of two taxa in folders, one of them cut short."""
    for i, taxon in enumerate(["Copepoda", "Copepoda", "detritus"]):
        path = tmp_path / "run" / taxon / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(np.arange(30 + i, dtype=np.uint8).reshape(1, -1)))
    path.write_bytes(path.read_bytes()[:50])
    return tmp_path / "run"


DEFAULTS = ["time=2024-05-01T12:00:00", "latitude=54.2", "longitude=7.9", "depth=5", "pixel_size_um=50"]
DEFAULTS += ["instrument=CPICS", "licence=CC BY 4.0"]
GIVEN = [part for pair in DEFAULTS for part in ("--default", pair)]


def test_ingest_export_and_check_are_one_round(aqqua, run_of_images, tmp_path):
    code, out, _ = aqqua("ingest", run_of_images, "--to", tmp_path / "s", *GIVEN, "--json")
    assert code == 0
    assert json.loads(out) == {
        "accepted": 2,
        "rejected": {"the image is damaged": 1},
        "by_instrument": {"CPICS": 2},
    }
    code, out, _ = aqqua("export", tmp_path / "s", "--to", tmp_path / "b.zip", "--json")
    assert code == 0
    assert json.loads(out)["files"][0]["images"] == 2
    code, out, _ = aqqua("check", tmp_path / "b.zip", "--json")
    assert (code, json.loads(out)) == (0, {"ok": True, "faults": []})
    code, _, err = aqqua("export", tmp_path / "s", "--to", tmp_path / "b.zip")
    assert code == 2
    assert "--overwrite" in err


def test_ingest_that_takes_nothing_is_the_inputs_fault_and_tells_the_remedy(aqqua, run_of_images, tmp_path):
    code, out, err = aqqua("ingest", run_of_images, "--to", tmp_path / "s")
    assert (code, out) == (1, "")
    assert "--default time=VALUE --default latitude=VALUE" in err
    code, _, _ = aqqua("ingest", run_of_images, "--to", tmp_path / "s", *GIVEN)
    assert code == 0


def test_ingest_says_aloud_what_it_did(aqqua, run_of_images, tmp_path):
    _, out, _ = aqqua("ingest", run_of_images, "--to", tmp_path / "s", *GIVEN)
    for words in (
        "accepted          2",
        "rejected          1",
        "the image is damaged",
        "depth = 5 for 2",
        "out of maps",
    ):
        assert words in out
    assert "out of maps" not in aqqua("ingest", run_of_images, "--to", tmp_path / "t", *GIVEN, "--use-for-maps")[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--default", "dept=5"], "Did you mean 'depth'"),
        (["--default", "depth"], "NAME=VALUE"),
        (["--column", "taxa=x"], "'taxon'"),
    ],
)
def test_a_wrong_default_is_the_calls_fault(aqqua, run_of_images, tmp_path, arguments, told):
    code, _, err = aqqua("ingest", run_of_images, "--to", tmp_path / "s", *arguments)
    assert code == 2
    assert told in err


def test_a_bundle_with_faults_is_told_line_by_line(aqqua, tmp_path):
    (tmp_path / "ecotaxa_a.tsv").write_text("img_file_name\tobject_id\n[t]\t[t]\nno.png\ta\n")
    code, out, _ = aqqua("check", tmp_path, "--json")
    found = json.loads(out)
    assert (code, found["ok"]) == (1, False)
    assert found["faults"][0]["line"] == 3
    assert "no.png" in found["faults"][0]["message"]


def test_an_audit_counts_its_findings_and_leaves_a_page(aqqua, run_of_images, tmp_path):
    (run_of_images / "Copepoda" / "blank.png").write_bytes(encode_png(np.full((20, 20), 7, np.uint8)))
    inland = [part.replace("latitude=54.2", "latitude=50.0").replace("longitude=7.9", "longitude=10") for part in GIVEN]
    aqqua("ingest", run_of_images, "--to", tmp_path / "s", *inland)
    code, out, _ = aqqua("audit", tmp_path / "s", "--out", tmp_path / "page.html", "--json")
    found = json.loads(out)
    assert (code, found["images"]) == (0, 3)
    assert (found["findings"]["blank"], found["findings"]["on-land"]) == (1, 3)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert 'src="http' not in page


SETTINGS = {"vit": "pico", "steps": 2, "tokens_per_batch": 512, "prototypes": 16, "max_tokens": 32}


@pytest.fixture
def drawn(tmp_path):
    """A store of drawn images, and a file of settings."""
    from aqqua_science.images import ingest
    from aqqua_science.synthetic import images

    (tmp_path / "config.json").write_text(json.dumps(SETTINGS))
    return ingest(images(24, rng=0, instruments=["UVP6"]), tmp_path / "drawn.aqqua")


def test_pretrain_prints_one_json_document_and_done_again_the_same(aqqua, drawn, tmp_path):
    arguments = ("pretrain", drawn.path, "--config", tmp_path / "config.json", "--out", tmp_path / "run")
    code, out, _ = aqqua(*arguments, "--json")
    found = json.loads(out)
    assert (code, found["run"], found["steps"]) == (0, str(tmp_path / "run"), 2)
    assert found["loss"] > 0
    assert found["seconds"] > 0
    assert json.dumps(found["evaluation"]["step"]) == "2"
    code, out, _ = aqqua(*arguments)
    assert code == 0
    for words in ("COMPLETED", "2 of 2", f"{found['loss']:.3f}", str(tmp_path / "run" / "encoder")):
        assert words in out


def test_pretrain_tells_whose_fault_it_is(aqqua, drawn, tmp_path):
    config, out = tmp_path / "config.json", tmp_path / "run"
    code, _, err = aqqua("pretrain", drawn.path, "--config", tmp_path / "no.json", "--out", out)
    assert (code, "no.json" in err) == (2, True)
    code, _, err = aqqua("pretrain", tmp_path / "no.aqqua", "--config", config, "--out", out)
    assert (code, "is no store" in err) == (2, True)
    config.write_text(json.dumps(SETTINGS | {"stepps": 3}))
    code, _, err = aqqua("pretrain", drawn.path, "--config", config, "--out", out)
    assert (code, "Did you mean 'steps'" in err) == (1, True)
    assert not out.exists()


@pytest.mark.slow
def test_pretrain_is_interrupted_and_goes_on(drawn, tmp_path):
    import signal
    import time

    (tmp_path / "config.json").write_text(json.dumps(SETTINGS | {"steps": 60, "checkpoint_every": 2}))
    command = [sys.executable, "-m", "aqqua_science", "pretrain", drawn.path, "--json"]
    command += ["--config", tmp_path / "config.json", "--out", tmp_path / "run"]
    hear = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # a shell's background is deaf to it
    stopped = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **hear)
    while not list((tmp_path / "run").glob("checkpoints/step-*")):
        assert stopped.poll() is None
        time.sleep(0.1)
    stopped.send_signal(signal.SIGINT)
    _, err = stopped.communicate()
    assert (stopped.returncode, "goes on where it stopped" in err) == (130, True)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["steps"] == 60
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 60


def test_from_a_store_to_features_objects_and_a_benchmark(aqqua, drawn, tmp_path):
    features, objects = tmp_path / "features.zarr", tmp_path / "objects.parquet"
    code, out, _ = aqqua("embed", drawn.path, "--to", features, "--encoder", "measured", "--json")
    found = json.loads(out)
    assert (code, found["objects"], found["features"]) == (0, 24, 92)
    arguments = ("classify", drawn.path, "--features", features, "--to", objects)
    code, out, _ = aqqua(*arguments, "--groups", "none", "--json")
    found = json.loads(out)
    assert (code, found["objects"]) == (0, 24)
    assert 0 < found["scores"]["accuracy"] <= 1
    code, _, err = aqqua(*arguments, "--groups", "none")
    assert (code, "--overwrite" in err) == (2, True)
    code, out, _ = aqqua("benchmark", drawn.path, "--encoder", "measured", "--out", tmp_path / "judged", "--json")
    assert (code, json.loads(out)) == (0, json.loads((tmp_path / "judged" / "benchmark.json").read_text()))
    pd.read_parquet(objects)[["object_id", "taxon"]].to_csv(tmp_path / "answers.csv", index=False)
    entry = ("--predictions", tmp_path / "answers.csv", "--out", tmp_path / "entry", "--beside", tmp_path / "judged")
    code, out, _ = aqqua("benchmark", drawn.path, *entry)
    assert code == 0
    assert re.search(r"accuracy +\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)", out)
    page = (tmp_path / "entry" / "benchmark.html").read_text(encoding="utf-8")
    assert "answers" in page
    assert "measured" in page


def test_a_benchmark_tells_novelty_counts_and_instruments_by_the_names_of_the_page(capsys, tmp_path):
    from aqqua_science.terminal import tell_benchmark

    part = {"objects": 1_000, "classification": {"scores": {"accuracy": {"value": 0.7, "low": 0.6, "high": 0.8}}}}
    part |= {"hidden_taxa": {"auroc": {"value": 0.55, "low": None, "high": None}}, "counting": {"bray_curtis_cc": 0.2}}
    probe = {"balanced_accuracy": 0.99, "chance": 0.5, "instruments": ["IFCB", "UVP6"]}
    tell_benchmark({"stores": {"tows": part}, "together": {"instrument": probe}}, tmp_path, False)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:4] == [
        "tows: 1,000 objects (90 % intervals)",
        "accuracy 0.700 (0.600 to 0.800)",
        "unseen taxa, AUROC 0.550",
        "count error, plain 0.200",
    ]
    assert lines[4].startswith("instruments told apart 0.990 (guessing: 0.500)")


def test_classify_tells_what_is_wrong_by_the_names_of_its_options(aqqua, drawn, tmp_path):
    features, objects = tmp_path / "features.zarr", tmp_path / "objects.parquet"
    aqqua("embed", drawn.path, "--to", features, "--encoder", "measured")

    def told(*arguments, store=drawn.path, features=features, to=objects):
        code, out, err = aqqua("classify", store, "--features", features, "--to", to, *arguments)
        assert ("Traceback" in err, out, objects.exists()) == (False, "", False)
        return code, err

    code, err = told(to=tmp_path / "objects.csv")
    assert (code, "--to" in err, "ends in .parquet" in err) == (2, True, True)
    code, err = told(store=tmp_path / "no.aqqua")
    assert (code, "no.aqqua is no store" in err) == (2, True)
    code, err = told(features=tmp_path / "no.zarr")
    assert (code, "no.zarr holds no features" in err, "`aqqua embed`" in err) == (2, True, True)
    code, err = told(features=drawn.path)
    assert (code, "holds no features" in err) == (2, True)
    code, err = told("--label", "taxa")
    assert (code, "no column 'taxa'. Did you mean 'taxon'" in err, "as --label" in err) == (1, True, True)
    code, err = told("--label", "water")
    assert (code, "none of 24 objects has a name in 'water'" in err, "--label" in err) == (1, True, True)
    for column in ("cruise", "instrument"):
        code, err = told("--groups", column)
        assert (code, "--groups none" in err, "groups=" in err) == (1, True, False)
    code, _, err = aqqua("classify", drawn.path, "--features", features, "--to", objects, "--groups", "acquisition_id")
    assert (code, "--groups none" in err, "groups=" in err) == (0, True, False)


def test_classify_tells_how_many_objects_its_scores_are_of_and_who_has_no_taxon(aqqua, drawn, tmp_path):
    """The printed counts are those of the table; above the surest probability nobody is named."""
    features, objects = tmp_path / "features.zarr", tmp_path / "objects.parquet"
    aqqua("embed", drawn.path, "--to", features, "--encoder", "measured")
    arguments = ("classify", drawn.path, "--features", features, "--groups", "none", "--to", objects, "--overwrite")
    for least, share in (("1", 1.0), ("0.01", 0.0)):
        code, out, _ = aqqua(*arguments, "--abstain-below", least)
        table = pd.read_parquet(objects)
        assert (code, table["taxon"].isna().mean()) == (0, share)
        assert re.search(rf"without a taxon +{table['taxon'].isna().sum()}\n", out)
        assert f"scores of {table['held_out'].sum()} objects, each held out" in out
        assert re.search(rf"learned from +{table['label'].notna().sum()} objects", out)
    code, _, err = aqqua(*arguments, "--abstain-below", "1.5")
    assert (code, "--abstain-below" in err) == (2, True)


def test_features_that_lie_there_already_are_told_by_the_names_of_options(aqqua, drawn, tmp_path):
    from aqqua_science.images import ingest
    from aqqua_science.synthetic import images

    other, features = ingest(images(7, rng=1), tmp_path / "other.aqqua"), tmp_path / "features.zarr"
    aqqua("embed", drawn.path, "--to", features, "--encoder", "measured")
    code, out, err = aqqua("embed", other.path, "--to", features, "--encoder", "measured")
    assert (code, out) == (1, "")
    assert "it is of 24 rows, not of 7. Pass another --to, or --overwrite to replace them." in err
    told = ("--features", features, "--to", tmp_path / "o.parquet", "--groups", "none")
    code, _, err = aqqua("classify", other.path, *told)
    assert (code, "--overwrite" in err, "Pass the features of this store" in err) == (1, False, True)


def test_some_rows_of_what_classify_wrote_are_exported(aqqua, drawn, tmp_path):
    """Their column `row` names the image, as their places do not."""
    table = pd.DataFrame({"row": [20, 3], "object_id": drawn.table["object_id"].loc[[20, 3]].to_numpy()})
    table.assign(taxon="Daphnia", probability=0.9).to_parquet(tmp_path / "sub.parquet")
    told = ("--objects", tmp_path / "sub.parquet", "--to", tmp_path / "b.zip", "--json")
    code, out, _ = aqqua("export", drawn.path, *told)
    (file,) = json.loads(out)["files"]
    assert (code, file["objects"], file["images"]) == (0, 2, 2)
    code, out, _ = aqqua("check", tmp_path / "b.zip", "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)


def test_the_new_verbs_tell_whose_fault_it_is(aqqua, drawn, tmp_path):
    code, _, err = aqqua("embed", drawn.path, "--to", tmp_path / "f.zarr", "--encoder", "measurd")
    assert (code, "Did you mean 'measured'" in err) == (2, True)
    code, _, err = aqqua("embed", drawn.path, "--to", tmp_path / "f.zarr", "--dtype", "int8")
    assert (code, "float16" in err) == (2, True)
    code, _, err = aqqua("classify", drawn.path, "--features", tmp_path / "no.zarr", "--to", tmp_path / "o.parquet")
    assert (code, "holds no features" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("drawn.aqqua", "--predictions", "no.csv"), "there is no file"),
        (("drawn.aqqua", "--predictions", "drawn.aqqua"), "there is no file"),
        (("drawn.aqqua", "--predictions", "picture.png"), "cannot be read"),
        (("drawn.aqqua", "--predictions", "cut.parquet"), "cannot be read"),
        (("drawn.aqqua", "--predictions", "answers.csv", "--encoder", "default"), "Leave out one of the two"),
        (("drawn.aqqua", "--encoder", "measurd"), "Did you mean 'measured'"),
        (("no.aqqua", "--encoder", "measured"), "is no store"),
        (("drawn.aqqua", "no.aqqua", "--predictions", "answers.csv"), "is no store"),
        (("drawn.aqqua", "--predictions", "answers.csv", "--beside", "no"), "no result of a benchmark"),
    ],
)
def test_a_benchmark_that_cannot_be_asked_is_the_calls_fault(aqqua, drawn, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    drawn.table[["object_id", "taxon"]].to_csv("answers.csv", index=False)
    (tmp_path / "picture.png").write_bytes(encode_png(np.eye(9, dtype=np.uint8)))
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    code, out, err = aqqua("benchmark", *arguments, "--out", "judged")
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err
    assert not (tmp_path / "judged").exists()


def test_a_benchmark_tells_what_is_unanswered_and_keeps_the_entry_of_another(aqqua, drawn, tmp_path):
    from aqqua_science.images import ingest
    from aqqua_science.synthetic import images

    named = (
        dataclasses.replace(p, metadata=p.metadata | {"object_id": f"other {i}"}) for i, p in enumerate(images(20))
    )
    other = ingest(named, tmp_path / "other.aqqua")
    answers, out = tmp_path / "answers.csv", tmp_path / "entry"
    drawn.table[["object_id", "taxon"]][:20].to_csv(answers, index=False)
    command = ("benchmark", drawn.path, other.path, "--predictions", answers, "--out", out)
    code, told, err = aqqua(*command)
    assert code == 0
    assert "answers answers nothing of other" in err
    assert re.search(r"unanswered +4 objects", told)
    assert re.search(r"unanswered +20 objects", told)
    kept = (out / "benchmark.json").read_bytes()
    code, _, err = aqqua(*command, "--name", "mine")
    assert (code, "name answers, not mine" in err, "--overwrite" in err) == (2, True, True)
    assert (out / "benchmark.json").read_bytes() == kept
    assert aqqua(*command)[0] == 0
    assert (out / "benchmark.json").read_bytes() == kept
    code, told, _ = aqqua(*command, "--name", "mine", "--overwrite", "--json")
    assert (code, json.loads(told)["name"]) == (0, "mine")
    code, _, err = aqqua("benchmark", other.path, "--predictions", answers, "--out", tmp_path / "none")
    assert (code, "none of the 20 predictions is of a labelled object of other" in err) == (1, True)
