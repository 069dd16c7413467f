"""Changes on top of today's fields, and budgets under them: worlds where the answer is known beforehand."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.grids import regular_grid
from aqqua_science.habitat import Recipe, run_recipe
from aqqua_science.habitat.scenarios import add_changes, budget_changes, open_changes
from aqqua_science.schema import SchemaError


def fields(step=15.0):
    """Warmth and nitrate that vary in both directions and by month; land in one corner."""
    grid, rng = regular_grid(step).assign_coords(month=np.arange(1, 13)), np.random.default_rng(0)
    dims = ("month", "latitude", "longitude")
    shape = [grid.sizes[d] for d in dims]
    sea = (grid["latitude"] > -70) | (grid["longitude"] > 0)
    warmth = xr.DataArray(rng.uniform(0, 30, shape), grid.coords, dims).where(sea)
    nitrate = xr.DataArray(rng.uniform(1, 20, shape), grid.coords, dims).where(sea)
    return xr.Dataset({"sst": warmth.assign_attrs(units="degC"), "nitrate": nitrate.assign_attrs(units="umol kg-1")})


def test_differences_are_added_and_ratios_multiplied_month_by_month():
    today = fields()
    change = xr.Dataset({"sst": 0 * today["sst"] + today["month"], "nitrate": 0 * today["nitrate"].mean("month") + 0.5})
    future = add_changes(today, change, ratios=["nitrate"])
    assert_allclose(future["sst"], today["sst"] + today["month"])
    assert_allclose(future["nitrate"], today["nitrate"] / 2)
    assert future["sst"].attrs == today["sst"].attrs


def test_amounts_do_not_fall_below_nothing_and_unknown_changes_are_none():
    today = fields()
    change = (0 * today[["nitrate"]] - 30).where(today["latitude"] > 0)
    future = add_changes(today, change)
    assert float(future["nitrate"].sel(latitude=slice(0, 90)).max()) == 0
    south = {"latitude": slice(-90, 0)}
    assert_allclose(future["nitrate"].sel(south), today["nitrate"].sel(south))
    assert_allclose(future["sst"], today["sst"])


def test_a_change_on_a_coarser_grid_is_interpolated():
    today, coarse = fields(), regular_grid(30.0)
    change = (coarse["latitude"] / 10 + 0 * coarse["longitude"]).to_dataset(name="sst")
    warmer = (add_changes(today, change)["sst"] - today["sst"]).sel(latitude=slice(-60, 60))
    assert_allclose(warmer, (0 * today["sst"] + today["latitude"] / 10).sel(latitude=slice(-60, 60)), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda today: today.rename(sst="SST"), "changes 'SST', which the grids do not hold. Did you mean 'sst'"),
        (lambda today: today[["sst"]].isel(month=[0, 1]), "the change of 'sst' lacks months of 'sst'"),
        (lambda today: today[["sst"]].expand_dims(depth=[5.0]), "the change of 'sst' has the axis depth"),
        (
            lambda today: today["nitrate"].assign_attrs(units="kg").to_dataset(),
            "the change of 'nitrate' is in 'kg', 'nitrate' in 'umol kg-1'",
        ),
        (lambda today: today[[]], "changes no variable"),
    ],
)
def test_changes_that_fit_nothing_are_refused(change, message):
    with pytest.raises(SchemaError, match=message.replace(".", r"\.")):
        add_changes(fields(), change(fields()))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A recipe whose flux follows warmth alone, with three scenarios whose answers are known."""
    folder, today = tmp_path_factory.mktemp("world"), fields()
    today.to_netcdf(folder / "today.nc")
    (0 * today[["sst"]]).to_netcdf(folder / "none.nc")
    mirrored = today["sst"].isel(longitude=slice(None, None, -1)).assign_coords(longitude=today["longitude"])
    (mirrored - today["sst"]).fillna(0).to_dataset(name="sst").to_netcdf(folder / "mirror.nc")
    (0 * today[["sst"]] + 8).to_netcdf(folder / "warm.nc")
    rng = np.random.default_rng(1)
    n = 400
    table = pd.DataFrame({"latitude": rng.uniform(-85, 85, n), "longitude": rng.uniform(-180, 180, n)})
    table["month"] = rng.integers(1, 13, n)
    at = {d: xr.DataArray(table[d]) for d in ("latitude", "longitude", "month")}
    table["flux"] = 5 + today["sst"].sel(at, method="nearest").to_numpy()
    table.dropna().to_csv(folder / "samples.csv", index=False)
    return folder, Recipe(
        title="Flux",
        observations={"file": "samples.csv", "target": "flux", "units": "mg m-2 d-1"},
        environment={"files": ["today.nc"], "predictors": ["sst"]},
        scenarios={name: {"files": [f"{name}.nc"]} for name in ("none", "mirror", "warm")},
        model={"n_members": 4, "n_trees": 60, "resampling": "stratified"},
        budget={"regions": ["latitude bands"]},
    )


def run(world, **choice):
    folder, recipe = world
    return run_recipe(recipe, data=folder, **choice)


def test_no_change_changes_nothing(world):
    today, _ = run(world)
    result, _ = run(world, scenario="none")
    assert today["changes"] == []
    assert [r["mean"] for r in result["budget"]] == [r["mean"] for r in today["budget"]]
    assert_allclose([[r["ratio"], r["low"], r["high"]] for r in result["changes"]], 1)


def test_a_mirrored_ocean_holds_as_much(world):
    """Warmth of east and west exchanged, where both are sea: each band of latitude keeps its budget."""
    result, _ = run(world, scenario="mirror")
    rows = {(r["region"], r["month"]): r for r in result["changes"]}
    bands = {region for region, _ in rows} - {"global"}
    whole = [band for band in bands if "90" not in band]
    assert whole
    assert_allclose([rows[band, "annual"]["ratio"] for band in whole], 1, rtol=1e-6)
    assert any("This is the scenario mirror" in note for note in result["notes"])


def test_warmer_is_more_where_flux_follows_warmth(world):
    """Flux is 5 + warmth, which is 15 on average: 8 more are 40 % more, less what lies beyond the warmest seen."""
    result, _ = run(world, scenario="warm")
    change = result["changes"][0]
    assert (change["region"], change["month"]) == ("global", "annual")
    assert 1.25 < change["low"] < change["ratio"] < change["high"] < 1.4
    assert_allclose(change["ratio"], change["scenario"] / change["today"])
    assert result["extrapolated_area_fraction"] > run(world)[0]["extrapolated_area_fraction"]


def test_a_scenario_that_is_not_there_is_refused(world):
    with pytest.raises(SchemaError, match=r"no scenario 'worm'\. Did you mean 'warm'"):
        run(world, scenario="worm")


def test_regions_that_one_of_two_fields_lacks_are_not_mistaken_for_others():
    grid = regular_grid(30.0)
    flat = xr.DataArray(np.ones((3, 6, 12)), grid.coords, ("member", "latitude", "longitude"))
    today = xr.Dataset({"flux": flat.assign_attrs(units="mg m-2 d-1")})
    scale = xr.where(grid["latitude"] > 0, 2.0, 0.5)
    after = (today * scale).where(grid["latitude"] > -60)
    rows = budget_changes(after, today, by="latitude bands").set_index("region")
    assert set(rows.index) == {"global", "60S-30S", "30S-0", "0-30N", "30N-60N", "60N-90N"}
    assert_allclose(rows.loc[["0-30N", "30N-60N", "60N-90N"], "ratio"], 2)
    assert_allclose(rows.loc[["60S-30S", "30S-0"], "ratio"], 0.5)


def test_a_ratio_of_nothing_is_refused():
    with pytest.raises(
        SchemaError, match=r"ratios names 'nitrat', of which the scenario holds no change\. Did you mean"
    ):
        add_changes(fields(), 0 * fields()[["nitrate"]], ratios=["nitrat"])


def test_a_level_whose_change_is_not_known_stays_as_it_is():
    today = fields()[["sst"]].expand_dims(depth=[0.0, 10.0, 50.0])
    change = 0 * today.isel(depth=[0, 2]) - 1
    future = add_changes(today, change)["sst"]
    assert future["depth"].values.tolist() == [0, 10, 50]
    assert_allclose(future.sel(depth=[0, 50]), today["sst"].sel(depth=[0, 50]) - 1)
    assert_allclose(future.sel(depth=10), today["sst"].sel(depth=10))


def test_units_of_changes_are_brought_to_those_of_today(tmp_path):
    today = fields()
    nitrate = (0 * today["nitrate"] - 0.5e-3).assign_attrs(units="mmol kg-1")
    assert_allclose(add_changes(today, nitrate.to_dataset())["nitrate"], (today["nitrate"] - 0.5).clip(min=0))
    warmer = (0 * today["sst"] + 2).assign_attrs(units="K").to_dataset()
    warmer.to_netcdf(tmp_path / "warmer.nc")
    assert_allclose(add_changes(today, open_changes([tmp_path / "warmer.nc"]))["sst"], today["sst"] + 2)


def test_the_map_of_a_scenario_says_so(world, tmp_path):
    result, field = run(world, scenario="warm", out=tmp_path)
    today, present = run(world)
    assert result["title"] == field.attrs["title"] == "Flux, scenario warm"
    assert result["provenance"]["mapped"]["scenario"] == "warm"
    assert "scenario warm" in field.attrs["history"]
    assert (today["title"], present.attrs["title"]) == ("Flux", "Flux")
    sheet = json.loads((tmp_path / "product.json").read_text())
    assert sheet["identifier"].endswith("(scenario warm)")
    assert {v["name"]: v["unitText"] for v in sheet["variableMeasured"]}["inside"] == "1"
