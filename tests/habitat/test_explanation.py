"""What a recipe tells of its predictors: in the result, in the field, and in the report."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.grids import regular_grid
from aqqua_science.habitat import Recipe, run_recipe


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An ocean whose plankton follows warmth; oxygen tells the same, and noise nothing."""
    folder, rng = tmp_path_factory.mktemp("world"), np.random.default_rng(0)
    env = regular_grid(10.0).assign_coords(month=("month", [1, 7]))
    dims, shape = ("month", "latitude", "longitude"), (2, 18, 36)
    zone = 30 * np.cos(np.radians(env["latitude"].values))[:, None]
    warmth = np.broadcast_to(zone + np.array([-3.0, 3.0])[:, None, None], shape)
    env["temperature"] = (dims, warmth, {"units": "degC"})
    env["oxygen"] = (dims, 400 - 5 * warmth + rng.normal(scale=2, size=shape), {"units": "mmol m-3"})
    env["noise"] = (dims, rng.normal(size=shape))
    env.to_netcdf(folder / "env.nc")
    n = 300
    table = pd.DataFrame({"latitude": rng.uniform(-85, 60, n), "longitude": rng.uniform(-180, 180, n)})
    table["month"] = rng.choice([1, 7], n)
    at = {d: xr.DataArray(table[d]) for d in ("latitude", "longitude", "month")}
    table["biomass"] = rng.gamma(4, np.exp(0.1 * env["temperature"].sel(at, method="nearest").to_numpy()))
    table.to_csv(folder / "samples.csv", index=False)
    recipe = Recipe(
        title="Plankton",
        observations={"file": "samples.csv", "target": "biomass", "units": "mg m-3"},
        environment={"files": ["env.nc"], "predictors": ["temperature", "oxygen", "noise"]},
        model={"n_members": 4, "n_trees": 40, "resampling": "stratified"},
        explain={"effects": True, "drivers": True},
        validation={"applicability_by_member": True},
        budget={"depth": [0, 200], "regions": "global"},
    )
    return folder, recipe, *run_recipe(recipe, data=folder, out=folder / "map")


def test_importance_finds_what_plankton_follow(world):
    found = world[2]["explanation"]
    importance = {row["predictor"]: row["importance"] for row in found["importance"]}
    assert max(importance["temperature"], importance["oxygen"]) > 5 * abs(importance["noise"])
    predictors = pd.DataFrame(found["predictors"]).set_index("predictor")
    assert predictors.loc["temperature", "cluster"] == predictors.loc["oxygen", "cluster"]
    assert predictors["vif"]["temperature"] > 50
    assert predictors["area_covered"].between(0.9, 1).all()


def test_effects_and_drivers_are_there_and_kept(world):
    folder, _, result, field = world
    effects = pd.DataFrame(result["explanation"]["effects"])
    assert set(effects["predictor"]) == {"temperature", "oxygen", "noise"}
    assert field["driver"].dims == ("month", "latitude", "longitude")
    assert (field["driver"] != 2).mean() > 0.95
    with xr.open_dataset(folder / "map" / "field.nc") as again:
        assert_allclose(again["driver"], field["driver"])
        assert again["driver"].attrs["flag_meanings"] == "not_predicted temperature oxygen noise"


def test_the_report_tells(world):
    folder, _, result, _ = world
    text = (folder / "map" / "report.md").read_text(encoding="utf-8")
    assert "Predictors whose ranks correlate at 0.8 or more: temperature, oxygen." in text
    for row in result["explanation"]["importance"]:
        assert f"| {row['predictor']} | {round(row['importance'], 2) + 0.0:.2f} | " in text
    assert "| predictor | fall of the explained share of the deviance |" in text
    assert "responses.png" in text
    assert "drivers.png" in text
    assert json.loads((folder / "map" / "result.json").read_text(encoding="utf-8")) == result


def test_applicability_is_told_member_by_member(world):
    folder, _, result, field = world
    share = field["inside_share"]
    assert set(np.unique(share.values[share.notnull()] * len(field["member"])).round(6) % 1) == {0.0}
    some, none = (result[f"extrapolated_area_fraction_{who}members"] for who in ("", "all_"))
    assert 0 <= none <= some <= 1
    assert f"members leave {some:.1%} of the area" in (folder / "map" / "report.md").read_text()


def test_what_is_not_asked_for_is_left_out(world):
    folder, recipe, _, _ = world
    plain = recipe.model_copy(update={"explain": type(recipe.explain)(importance=False)})
    result, field = run_recipe(plain, data=folder)
    assert set(result["explanation"]) == {"predictors"}
    assert "driver" not in field
