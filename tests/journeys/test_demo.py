"""The default journey: a virtual ocean is mapped and its true budget is known."""

import json
import tomllib

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.grids import cell_area
from aqqua_science.habitat import integrate, run_recipe
from aqqua_science.plot import summary_map
from aqqua_science.synthetic.demonstration import write_demonstration


def figures(field, result, **options):
    yield "map.png", summary_map(field, title=result["title"], **options)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A coarse virtual study: truth, result, field and the folder of its files."""
    folder = tmp_path_factory.mktemp("study")
    truth = write_demonstration(folder, step=5.0, n_samples=300, rng=3)
    recipe = folder / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("n_members = 30", "n_members = 10").replace("150", "60"))
    result, field = run_recipe(recipe, out=folder / "map", draw=figures, extra={"truth": truth})
    return truth, result, field, folder


def test_truth_is_the_sum_over_the_files_own_grid(study):
    truth, _, _, folder = study
    with xr.open_dataset(folder / "environment.nc") as environment:
        sea = environment["bathymetry"].clip(max=200) * cell_area(environment)
    assert 0.05 < truth["value"] / (float(sea.sum()) * 1e-18) < 50


def test_every_file_is_left_and_agrees(study):
    _, result, field, folder = study
    left = {path.name for path in (folder / "map").iterdir()}
    assert {"result.json", "field.nc", "map.png", "report.md", "matchup.csv"} <= left
    assert json.loads((folder / "map" / "result.json").read_text(encoding="utf-8")) == result
    with xr.open_dataset(folder / "map" / "field.nc") as reopened:
        again = integrate(reopened, depth=(0, 200), by="basins")
    rows = [r for r in result["budget"] if r["month"] == "annual"]
    annual = again[again["month"] == "annual"]
    assert_allclose(annual["median"], [r["median"] for r in rows], rtol=1e-6)
    assert field.sizes["month"] == 12


def test_result_says_what_scripts_rely_on(study):
    _, result, _, _ = study
    assert {
        "budget",
        "references",
        "validation",
        "extrapolated_area_fraction",
        "n_samples",
        "n_cells",
        "provenance",
        "run",
    } <= set(result)
    row = result["budget"][0]
    assert (row["region"], row["month"], row["units"], row["level"]) == ("global", "annual", "PgC", 0.9)
    assert row["low"] < row["median"] < row["high"]
    schemes = {r["scheme"]: r for r in result["validation"]}
    assert {"random", "blocks", "knndm", "groups"} <= set(schemes)
    assert {"r2", "r2_correlation", "r2_log", "spearman", "mae"} <= set(schemes["random"])
    assert 0 <= result["extrapolated_area_fraction"] <= 1


def test_the_map_finds_the_true_pattern(study):
    _, result, _, _ = study
    assert next(r for r in result["validation"] if r["scheme"] == "random")["spearman"] > 0.4


def test_same_recipe_same_numbers(study, tmp_path):
    _, result, field, folder = study
    again, repeated = run_recipe(folder / "recipe.toml")
    xr.testing.assert_identical(field["biomass"], repeated["biomass"])
    same = {k: v for k, v in result.items() if k not in ("run", "truth")}
    assert same == {k: v for k, v in again.items() if k != "run"}


@pytest.mark.parametrize(
    ("choice", "sizes"),
    [
        ({"months": [6, 7]}, {"month": 2}),
        ({"region": (-60.0, 0.0, 0.0, 60.0)}, {"longitude": 12, "latitude": 12}),
        ({"resolution": 10.0}, {"longitude": 36, "latitude": 18}),
    ],
)
def test_a_part_or_a_coarser_map_can_be_asked_for(study, choice, sizes):
    _, _, _, folder = study
    result, field = run_recipe(folder / "recipe.toml", **choice)
    assert sizes.items() <= dict(field.sizes).items()
    assert result["budget"][0]["mean"] > 0


def test_rejected_rows_are_kept_with_their_reason(study, tmp_path):
    _, _, _, folder = study
    for name in ("environment.nc", "recipe.toml", "samples.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    lines = (tmp_path / "samples.csv").read_text().splitlines()
    columns = lines[0].split(",")
    bad = lines[1].split(",")
    bad[columns.index("latitude")] = "91"
    (tmp_path / "samples.csv").write_text("\n".join([*lines, ",".join(bad), lines[2]]) + "\n")
    result, _ = run_recipe(tmp_path / "recipe.toml", out=tmp_path / "map")
    text = (tmp_path / "map" / "rejected.csv").read_text()
    assert result["n_rejected"] >= 2
    assert "latitude 91 is outside" in text
    assert "same row stands earlier" in text


def test_the_demo_recipe_is_a_recipe_anyone_can_edit(study):
    content = tomllib.loads((study[3] / "recipe.toml").read_text(encoding="utf-8"))
    assert np.isfinite(content["budget"]["depth"]).all()
