"""Each source of uncertainty alone, where its size is known from mathematics, and all of them together."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.grids import regular_grid
from aqqua_science.habitat import BoostedTrees, Recipe, predict_grid, run_recipe
from aqqua_science.habitat.inputs import find_inputs
from aqqua_science.habitat.ledger import uncertainty_ledger
from aqqua_science.schema import SchemaError

ROW = {"median": 2.0, "low": 2.0 * np.exp(-1.6448536 * 0.2), "high": 2.0 * np.exp(1.6448536 * 0.2), "level": 0.9}
"""A total whose sampling error is 0.2 on the logarithmic scale."""


@pytest.fixture(scope="module")
def world():
    """Samples of three objects on average; trees too weak to do more than the mean, so that totals follow it."""
    rng, grid = np.random.default_rng(0), regular_grid(30.0)
    warmth = (grid["latitude"] + 0 * grid["longitude"]).to_dataset(name="warmth")
    n = rng.poisson(3.0, 300)
    table = pd.DataFrame({"latitude": rng.uniform(-80, 80, 300), "longitude": rng.uniform(-180, 180, 300), "n": n})
    table = table.assign(warmth=table["latitude"], biomass=5.0 * n)
    table = table.assign(carbon_1=table["biomass"] * np.exp(0.3), carbon_2=table["biomass"] * np.exp(-0.3))
    weak = {"n_trees": 1, "learning_rate": 1e-6, "n_members": 2, "resampling": "stratified"}
    model = BoostedTrees("tweedie", scale=1.0, **weak).fit(table[["warmth"]], table["biomass"])
    field = predict_grid(model, warmth, units="mg m-3").assign_attrs(calibration_block_variance=0.5)
    return model, table, field, warmth


def ledger_of(world, **sources):
    model, table, field, warmth = world
    given = {"target": "biomass", "environment": warmth, "row": ROW, "arguments": {"depth": (0, 200)}}
    return uncertainty_ledger(model, table, field, **given | sources).set_index("source")


def test_sampling_is_the_interval_of_the_budget(world):
    ledger = ledger_of(world)
    assert ledger.index.tolist() == ["sampling"]
    assert_allclose(ledger[["log_sd", "share", "low", "high"]], [[0.2, 1.0, ROW["low"], ROW["high"]]], rtol=1e-6)


def test_common_factors_add_on_the_logarithmic_scale(world):
    ledger = ledger_of(world, factors={"relation": 0.3, "pixel": 0.1})
    assert ledger.index.tolist() == ["sampling", "relation", "pixel"]
    assert_allclose(ledger["share"], np.array([0.04, 0.09, 0.01]) / 0.14, rtol=1e-6)
    half = 1.6448536 * np.sqrt(0.14)
    assert_allclose(
        ledger.loc["pixel", ["low", "high"]].astype(float), [2 * np.exp(-half), 2 * np.exp(half)], rtol=1e-6
    )
    assert ledger["low"].is_monotonic_decreasing
    assert ledger["high"].is_monotonic_increasing


def test_counting_is_that_of_all_objects_and_is_part_of_the_sampling(world):
    """The mean of 300 samples rests on some 900 objects: its relative error is one over the root of their number."""
    _, table, _, _ = world
    ledger = ledger_of(world, counts="n")
    expected = 1 / np.sqrt(table["n"].sum())
    assert 0.6 * expected < ledger.loc["counting", "log_sd"] < 1.5 * expected
    assert_allclose((ledger["log_sd"] ** 2).sum(), 0.04, rtol=1e-6)


def test_draws_of_a_source_spread_the_total_as_they_spread_the_samples(world):
    ledger = ledger_of(world, draws={"carbon": ["carbon_1", "carbon_2"]})
    assert ledger.index.tolist() == ["carbon", "sampling"]
    assert_allclose(ledger.loc["carbon", "log_sd"], 0.3, rtol=1e-4)
    ratios = ledger.loc["carbon", "ratios"]
    assert_allclose(abs(np.log(ratios["carbon_1"] / ratios["carbon_2"])), 0.6, rtol=1e-4)
    assert ledger.loc["sampling", "ratios"] == {}


def test_models_that_agree_leave_no_choice_and_others_do(world):
    model, *_ = world
    same = ledger_of(world, alternatives={"again": model})
    assert_allclose(same.loc["choice of model", "log_sd"], 0, atol=1e-9)
    doubled = BoostedTrees("poisson", scale=1.0, base_score=30.0, n_trees=1, learning_rate=1e-6, n_members=2)
    other, ratios = ledger_of(world, alternatives={"doubled": doubled}).loc["choice of model", ["log_sd", "ratios"]]
    assert_allclose(ratios["doubled"], 30 / world[1]["biomass"].mean(), rtol=0.1)
    assert_allclose(other, np.std([0, np.log(30 / world[1]["biomass"].mean())], ddof=1), rtol=0.1)


def test_extrapolated_water_errs_as_a_block(world):
    ledger = ledger_of(world, outside=0.4)
    assert_allclose(ledger.loc["extrapolation", "log_sd"], 0.4 * np.sqrt(0.5), rtol=1e-9)


def test_columns_that_are_not_there_are_refused(world):
    with pytest.raises(SchemaError, match="carbon_3"):
        ledger_of(world, draws={"carbon": ["carbon_1", "carbon_3"]})
    with pytest.raises(SchemaError, match="n_objects"):
        ledger_of(world, counts="n_objects")


def test_only_water_above_the_sea_floor_counts(world):
    """Draws that differ in the north alone spread the total by how much of the water lies there."""
    _, table, field, warmth = world
    north = table["latitude"] > 0
    split = table.assign(low=np.where(north, 2.0, 10.0), high=np.where(north, 20.0, 10.0))
    model = BoostedTrees("tweedie", scale=1.0, n_trees=60, n_members=2).fit(split[["warmth"]], split["high"])
    given = {"target": "high", "environment": warmth, "row": ROW, "arguments": {"depth": (0, 200)}}
    given["draws"] = {"north": ["low", "high"]}
    whole = uncertainty_ledger(model, split, field, **given).set_index("source").loc["north", "log_sd"]
    assert_allclose(whole, np.log(30 / 12) / 2, rtol=0.15)
    shallow_north = xr.where(warmth["warmth"] > 0, 1.0, 200.0)
    south = uncertainty_ledger(model, split, field.assign(sea_floor_depth=shallow_north), **given)
    assert south.set_index("source").loc["north", "log_sd"] < 0.1 * whole


@pytest.mark.parametrize(
    "sources",
    [{"draws": {"a": ["carbon_1", "carbon_2"]}, "factors": {"a": 0.1}}, {"factors": {"sampling": 0.1}}],
)
def test_two_sources_of_one_name_are_refused(world, sources):
    with pytest.raises(SchemaError, match="is there twice, or told anyway"):
        ledger_of(world, **sources)


@pytest.mark.parametrize("sd", [-0.1, 0.0, 30.0, np.nan])
def test_a_factor_is_a_standard_deviation_of_a_logarithm(world, sd):
    with pytest.raises(SchemaError, match="standard deviation of a natural logarithm"):
        ledger_of(world, factors={"carbon": sd})


def test_a_total_without_an_interval_has_no_ledger(world):
    with pytest.raises(ValueError, match="no interval to take apart"):
        ledger_of(world, row=ROW | {"low": np.nan})


def test_a_recipe_names_its_sources_and_the_result_has_them(tmp_path):
    rng, grid = np.random.default_rng(2), regular_grid(15.0)
    (grid["latitude"] + 0 * grid["longitude"]).to_dataset(name="warmth").to_netcdf(tmp_path / "grid.nc")
    table = pd.DataFrame({"latitude": rng.uniform(-80, 80, 200), "longitude": rng.uniform(-180, 180, 200)})
    table["n"] = rng.poisson(np.exp(1 + table["latitude"] / 80))
    table = table.assign(biomass=2.0 * table["n"], shape_1=2.2 * table["n"], shape_2=1.8 * table["n"])
    table.to_csv(tmp_path / "samples.csv", index=False)
    told = {
        "title": "A test",
        "observations": {"file": "samples.csv", "target": "biomass", "units": "mg m-3"},
        "environment": {"files": ["grid.nc"], "predictors": ["warmth"]},
        "model": {"n_members": 3, "n_trees": 20},
        "explain": {"importance": False},
        "budget": {"depth": [0, 100], "regions": "global"},
    }
    sources = {"counts": "n", "draws": {"shape": "shape_*"}, "factors": {"relation": 0.2}, "objectives": ["tweedie"]}
    result, _ = run_recipe(Recipe(**told, uncertainty=sources), data=tmp_path)
    ledger = pd.DataFrame(result["uncertainty"]).set_index("source")
    assert list(ledger.index)[:5] == ["counting", "shape", "sampling", "relation", "choice of model"]
    assert_allclose(ledger.loc["shape", "log_sd"], np.log(2.2 / 1.8) / 2, rtol=0.05)
    assert_allclose(ledger["share"].sum(), 1)
    row = result["budget"][0]
    assert ledger["low"].iloc[-1] < row["low"] < row["median"] < row["high"] < ledger["high"].iloc[-1]
    assert run_recipe(Recipe(**told), data=tmp_path)[0]["uncertainty"] == []
    others, _ = run_recipe(Recipe(**told, uncertainty={"learners": ["forest", "splines"]}), data=tmp_path)
    choice = pd.DataFrame(others["uncertainty"]).set_index("source").loc["choice of model"]
    assert 0 < choice["log_sd"] < 0.2  # three learners that all see how amounts rise to the north


PER_AREA = {"file": "samples.csv", "target": "biomass", "units": "mg m-2"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"uncertainty": {"draws": {"shape": "shape_1"}}},
            "'shape_1' names 1 columns of the table; it needs two or more",
        ),
        ({"uncertainty": {"counts": "m"}}, "the samples .*'m'"),
        ({"uncertainty": {"factors": {"sampling": 1.0}}}, "'sampling' is there twice"),
        ({"uncertainty": {"factors": {"carbon": 30}}}, "'carbon' = 30 must be .* 0.3 for an error of 30 %, not 30"),
        ({"observations": PER_AREA}, r"'mg m-2' are per area, .*depth = \[0.0, 100.0\] would do nothing"),
        ({"uncertainty": {"objectives": ["gamma"]}}, "'gamma' takes no zeros"),
        ({"environment": {"files": ["grid.nc"], "fixed": {"mesh": 200}}}, "the samples .*'mesh'"),
    ],
)
def test_what_a_recipe_names_is_looked_for_at_once(tmp_path, change, message):
    grid = regular_grid(30.0)
    (0 * grid["latitude"] * grid["longitude"]).to_dataset(name="warmth").to_netcdf(tmp_path / "grid.nc")
    table = pd.DataFrame({"latitude": [1.0, 2.0], "longitude": 3.0, "biomass": [0.0, 1.0], "shape_1": 1.0, "n": 2})
    table.to_csv(tmp_path / "samples.csv", index=False)
    told = {
        "title": "A test",
        "observations": {"file": "samples.csv", "target": "biomass", "units": "mg m-3"},
        "environment": {"files": ["grid.nc"]},
        "budget": {"depth": [0, 100]},
    }
    with pytest.raises(SchemaError, match=message):
        find_inputs(Recipe(**told | change), folders=[tmp_path])
