"""The command line that scripts rely on: exit codes, one JSON document, nothing overwritten."""

import json
import subprocess
import sys

import pytest

from aqqua_science import cli


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
    assert {"demo", "map", "doctor"} <= set(text.stdout.split())
