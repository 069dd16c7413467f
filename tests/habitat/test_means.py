"""Maps of what is averaged: the diversity of a drawn ocean, whose mean is known."""

import json

import numpy as np
import pandas as pd
import pytest

from aqqua_science.grids import cell_area, regular_grid
from aqqua_science.habitat import Recipe, run_recipe
from aqqua_science.schema import SchemaError

TARGET = "shannon_index"


def recipe_of(**budget):
    return Recipe(
        title="Diversity",
        observations={"file": "samples.csv", "target": TARGET, "units": "1"},
        environment={"files": ["env.nc"], "predictors": ["temperature"]},
        model={"objective": "log", "n_members": 8, "n_trees": 80, "min_child_weight": 1},
        uncertainty={"objectives": ["tweedie"]},
        budget=budget,
        reference={"value": 2.0, "units": "1", "source": "Another map"},
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Diversity grows with warmth from 1 at the poles to 3 at the equator, and samples err a little."""
    folder, rng = tmp_path_factory.mktemp("world"), np.random.default_rng(1)
    env = regular_grid(10.0)
    zone = np.cos(np.radians(env["latitude"].values))[:, None] * np.ones((1, 36))
    env["temperature"] = (("latitude", "longitude"), 30 * zone, {"units": "degC"})
    env.to_netcdf(folder / "env.nc")
    table = pd.DataFrame({"latitude": rng.uniform(-90, 90, 400), "longitude": rng.uniform(-180, 180, 400)})
    cell = env.sel(latitude=table["latitude"].to_xarray(), longitude=table["longitude"].to_xarray(), method="nearest")
    truth = 1 + env["temperature"] / 15
    table[TARGET] = (1 + cell["temperature"].values / 15) * np.exp(rng.normal(scale=0.1, size=400))
    table.to_csv(folder / "samples.csv", index=False)
    result, field = run_recipe(recipe_of(kind="mean", regions="latitude bands"), data=folder, out=folder / "map")
    return folder, result, field, truth


def test_the_mean_of_the_map_is_that_of_the_ocean(world):
    _, result, field, truth = world
    expected = float(truth.weighted(cell_area(truth)).mean())
    row = result["budget"][0]
    assert row["low"] < expected < row["high"]
    assert abs(np.log(row["mean"] / expected)) < 0.05
    assert row["units"] == "1"
    assert field[TARGET].attrs["long_name"] == "shannon index"


def test_its_uncertainty_is_taken_apart_too(world):
    _, result, _, _ = world
    assert [row["source"] for row in result["uncertainty"]][:2] == ["sampling", "choice of model"]
    assert result["uncertainty"][0]["low"] == pytest.approx(result["budget"][0]["low"], rel=0.05)


def test_report_and_sheet_speak_of_means(world):
    folder, _, _, _ = world
    report = (folder / "map" / "report.md").read_text()
    assert "**The mean (shannon index) is" in report
    assert "## Means of regions" in report
    assert not [
        word for word in ("add up", "adds up", "budget below", "Budget", "estimate (1)", " 1 (") if word in report
    ]
    sheet = json.loads((folder / "map" / "product.json").read_text())
    assert "mean of the mapped area" in [entry["name"] for entry in sheet["variableMeasured"]]


def test_without_being_told_such_a_target_is_refused(world):
    with pytest.raises(SchemaError, match="kind = 'mean'"):
        run_recipe(recipe_of(), data=world[0])
