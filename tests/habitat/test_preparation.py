"""From the files of a recipe to a table and a grid, along every axis a grid may have."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.grids import regular_grid
from aqqua_science.habitat import Recipe
from aqqua_science.habitat.inputs import find_inputs
from aqqua_science.habitat.observations import NO_CONSENT, contributors_of
from aqqua_science.habitat.preparation import find_sea_floor, prepare
from aqqua_science.samples.martin import martin_curve
from aqqua_science.schema import SchemaError
from aqqua_science.terminal import run_and_draw


def grid_of(**axes):
    """Temperature that is the sum of its coordinates, land in one column, and bathymetry."""
    grid = regular_grid(30.0).assign_coords(axes)
    dims = [*axes, "latitude", "longitude"]
    temperature = sum((grid[d] for d in dims[1:]), start=grid[dims[0]]).transpose(*dims).astype(float)
    temperature = temperature.where(grid["longitude"] > -150)
    return xr.Dataset(
        {"temperature": temperature, "bathymetry": temperature.isel(dict.fromkeys(axes, 0), drop=True) * 0 + 150}
    )


@pytest.fixture
def prepared(tmp_path):
    """Prepare a recipe of one table and one grid."""

    def run(grid, table, *, predictors=("temperature",), budget=None, model=None, **choice):
        grid.to_netcdf(tmp_path / "grid.nc")
        table.to_csv(tmp_path / "samples.csv", index=False)
        recipe = Recipe(
            title="A test",
            observations={"file": "samples.csv", "target": "biomass", "units": "mg m-3"},
            environment={"files": ["grid.nc"], "predictors": list(predictors)},
            budget=budget or {"depth": [0, 100]},
            model=model or {},
        )
        return prepare(recipe, find_inputs(recipe, folders=[tmp_path]), **choice)

    return run


def samples(**columns):
    return pd.DataFrame({"latitude": [15.0, -15.0], "longitude": [15.0, 45.0], "biomass": [1.0, 2.0]} | columns)


def test_samples_without_time_get_the_mean_of_the_months_and_it_is_said(prepared):
    inputs = prepared(grid_of(month=np.arange(1, 13)), samples())
    assert_allclose(inputs.table["temperature"], [15 + 15 + 6.5, -15 + 45 + 6.5])
    assert any("no time" in note for note in inputs.notes)


def test_samples_with_time_get_their_month(prepared):
    inputs = prepared(grid_of(month=np.arange(1, 13)), samples(time=["2020-03-05", "2020-11-30"]))
    assert_allclose(inputs.table["temperature"], [30 + 3, 30 + 11])
    assert inputs.environment.sizes["month"] == 12


def test_samples_without_depth_get_the_mean_of_the_layer(prepared):
    """Levels 10, 30 and 200 m have edges 0, 20, 115, 285: 0-100 m holds 20 m of the first and 80 m of the second."""
    inputs = prepared(grid_of(depth=[10.0, 30.0, 200.0]), samples())
    assert_allclose(inputs.table["temperature"], np.array([30, 30]) + (20 * 10 + 80 * 30) / 100)


def test_samples_with_depth_get_their_level_and_the_map_the_layers(prepared):
    inputs = prepared(grid_of(depth=[10.0, 30.0, 200.0]), samples(depth=[12.0, 180.0]))
    assert_allclose(inputs.table["temperature"], [40, 230])
    assert inputs.environment["depth"].values.tolist() == [10, 30]


def test_a_sample_on_land_far_from_the_sea_is_rejected_with_its_reason(prepared):
    grid = grid_of(month=[1, 2])
    grid = grid.where(grid["longitude"] > 0)
    inputs = prepared(grid, samples(longitude=[-105.0, 45.0]), model={"missing": "allow"})
    assert inputs.table["longitude"].tolist() == [45]
    assert inputs.rejected["longitude"].tolist() == [-105]
    assert "no sea cell within" in inputs.rejected["reason"].item()


def test_missing_predictors_are_refused_or_allowed_by_choice(prepared):
    grid = grid_of(month=[1, 2])
    grid["chlorophyll"] = grid["temperature"].where(grid["latitude"] > 0)
    both = ("temperature", "chlorophyll")
    refused = prepared(grid, samples(), predictors=both)
    assert len(refused.table) == 1
    assert "chlorophyll" in refused.rejected["reason"].item()
    assert len(prepared(grid, samples(), predictors=both, model={"missing": "allow"}).table) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"predictors": ["temprature"]}, "Did you mean 'temperature'"),
        ({"months": [3]}, "cannot be mapped"),
        ({"model": {"monotone": {"temp": 1}}}, "monotone names 'temp'"),
        ({"budget": {"regions": "global"}}, r"depth = \[0, 200\]"),
    ],
)
def test_what_cannot_be_prepared_says_why(prepared, arguments, message):
    with pytest.raises(SchemaError, match=message):
        prepared(grid_of(depth=[10.0, 30.0]), samples(), **arguments)


def test_a_part_of_the_globe_is_mapped_while_all_samples_are_used(prepared):
    inputs = prepared(grid_of(month=[1, 2]), samples(), region=(0, 60, 0, 60))
    assert len(inputs.table) == 2
    assert inputs.environment["longitude"].values.tolist() == [15, 45]
    assert inputs.sea_floor.sizes == {"latitude": 2, "longitude": 2}


@pytest.mark.parametrize(
    ("name", "attrs", "sign"),
    [
        ("bathymetry", {}, 1),
        ("deptho", {}, 1),
        ("z", {"standard_name": "sea_floor_depth_below_geoid"}, 1),
        ("elevation", {}, -1),
    ],
)
def test_the_sea_floor_is_found_and_positive_down(name, attrs, sign):
    values = xr.DataArray([3000.0, 4000.0, -20.0], dims="longitude", attrs=attrs) * sign
    values.attrs = attrs
    assert find_sea_floor(xr.Dataset({name: values})).values.tolist() == [3000, 4000, 0]


def test_no_sea_floor_is_invented():
    assert find_sea_floor(xr.Dataset({"temperature": ("longitude", [1.0])})) is None


def test_samples_without_consent_stay_out_and_it_is_said(prepared):
    table = pd.DataFrame(
        {
            "latitude": [0.0, 30.0, 40.0],
            "longitude": 15.0,
            "month": 1,
            "biomass": [1.0, 2.0, 3.0],
            "use_for_maps": [True, False, True],
            "contributors": ["A. Person", "B. Person", "C. Person; A. Person"],
        }
    )
    found = prepared(grid_of(month=[1]), table)
    assert found.table["biomass"].tolist() == [1, 3]
    assert contributors_of(found.table) == ["A. Person", "C. Person"]
    assert found.rejected["reason"].tolist() == [NO_CONSENT]
    assert any("1 samples were left out" in note for note in found.notes)
    with pytest.raises(SchemaError, match="Ask the contributors"):
        prepared(grid_of(month=[1]), table.assign(use_for_maps=False))


TRAPS = [60.0, 100.0, 150.0, 200.0, 290.0]


@pytest.fixture
def flux_inputs(tmp_path):
    """Traps at 60 to 290 m of one Martin curve, in two cells and months, over a sea that is shallow in one half."""

    def run(**traps):
        grid = grid_of(month=np.arange(1, 13))
        grid["bathymetry"] = grid["bathymetry"] * 0 + xr.where(grid["longitude"] < 0, 80.0, 4000.0)
        grid.transpose("month", "latitude", "longitude").to_netcdf(tmp_path / "grid.nc")
        depth = np.tile(TRAPS, 2)
        place, season = np.repeat([15.5, -15.5], 5), np.repeat(["2000-03-02", "2000-08-02"], 5)
        table = pd.DataFrame({"latitude": place, "longitude": 45.5, "depth": depth, "time_start": season})
        table = table.assign(duration_days=np.repeat([14, 80], 5), flux_mg_m2_d=martin_curve(depth, 40.0))
        table.to_csv(tmp_path / "traps.csv", index=False)
        recipe = Recipe(
            title="Flux",
            observations={
                "file": "traps.csv",
                "target": "flux_mg_m2_d",
                "units": "mg m-2 d-1",
                "traps": {"horizon": 100} | traps,
            },
            environment={
                "files": ["grid.nc"],
                "predictors": ["temperature", "trap_depth"],
                "fixed": {"trap_depth": 100},
            },
        )
        return prepare(recipe, find_inputs(recipe, folders=[tmp_path]))

    return run


def test_fluxes_come_to_their_horizon_and_their_season(flux_inputs):
    inputs = flux_inputs()
    assert_allclose(inputs.table["flux_mg_m2_d"], 40)
    days = np.array([31, 30, 31])
    warmth = {15.5: 15 + 45 + 3, -15.5: -15 + 45 + (days * [8, 9, 10]).sum() / days.sum()}
    assert_allclose(inputs.table["temperature"], inputs.table["latitude"].map(warmth))
    assert_allclose(np.sort(inputs.table["trap_depth"].unique()), TRAPS)


def test_on_the_map_a_fixed_predictor_has_one_value_and_shallow_seas_have_no_flux(flux_inputs):
    inputs = flux_inputs()
    assert np.unique(inputs.environment["trap_depth"].fillna(100)).tolist() == [100]
    mapped = inputs.environment["temperature"].notnull()
    assert not mapped.sel(longitude=slice(-180, 0)).any()
    assert mapped.sel(longitude=slice(0, 180)).all()
    assert any("at least 100 m deep. 10 fluxes were pooled to" in note for note in inputs.notes)


def test_depths_of_the_traps_are_chosen(flux_inputs):
    assert (
        flux_inputs(between=[100, 200]).table["n_deployments"].sum() < flux_inputs().table["n_deployments"].sum() == 10
    )


def written_recipe(tmp_path, files, **environment):
    samples(time=["2000-03-05", "2000-11-30"]).to_csv(tmp_path / "samples.csv", index=False)
    return Recipe(
        title="A test",
        observations={"file": "samples.csv", "target": "biomass", "units": "mg m-3"},
        environment={"files": files, **environment},
        budget={"depth": [0, 100]},
    )


def test_what_is_derived_predicts_like_what_is_read(tmp_path):
    grid_of(month=np.arange(1, 13)).to_netcdf(tmp_path / "grid.nc")
    told = {
        "derived": ["season", "day_length", "temperature_range"],
        "predictors": ["season_sine", "temperature_range"],
    }
    recipe = written_recipe(tmp_path, ["grid.nc"], **told)
    inputs = prepare(recipe, find_inputs(recipe, folders=[tmp_path]))
    assert inputs.predictors == ["season_sine", "temperature_range"]
    assert_allclose(inputs.table["temperature_range"], 11)
    # the fifteenth of March in the north, and November, which is May, in the south
    assert_allclose(inputs.table["season_sine"], np.sin(np.pi / 6 * (np.array([3, 5]) - 0.5)))
    odd = written_recipe(tmp_path, ["grid.nc"], derived=["season"], predictors=["saeson_sine"])
    with pytest.raises(SchemaError, match=r"'saeson_sine' is in none of the grids\. Did you mean 'season_sine'"):
        find_inputs(odd, folders=[tmp_path])


def test_files_on_other_grids_meet_in_cells_of_one_step(tmp_path):
    fine, coarse = regular_grid(10.0), regular_grid(30.0)
    xr.Dataset({"fine": fine["latitude"] + 0 * fine["longitude"]}).to_netcdf(tmp_path / "fine.nc")
    xr.Dataset({"coarse": coarse["latitude"] + 0 * coarse["longitude"]}).to_netcdf(tmp_path / "coarse.nc")
    apart = written_recipe(tmp_path, ["fine.nc", "coarse.nc"])
    with pytest.raises(SchemaError, match="must be on one grid"):
        prepare(apart, find_inputs(apart, folders=[tmp_path]))
    recipe = written_recipe(tmp_path, ["fine.nc", "coarse.nc"], step=30)
    environment = prepare(recipe, find_inputs(recipe, folders=[tmp_path])).environment
    assert dict(environment.sizes) == {"latitude": 6, "longitude": 12}
    assert_allclose(environment["coarse"], environment["latitude"] + 0 * environment["longitude"])
    # the mean over the area of a band leans towards the equator, where its parallels are longer
    thirds = np.arange(-85.0, 90, 10).reshape(6, 3)
    weight = np.diff(np.sin(np.radians(np.arange(-90, 91, 10)))).reshape(6, 3)
    assert_allclose(environment["fine"].isel(longitude=0), (thirds * weight).sum(1) / weight.sum(1), rtol=5e-3)


def test_samples_take_means_around_them_in_space_and_time(tmp_path):
    """Latitude and squared days of March: what lies north and south cancels, what lies before and after does not."""
    grid = regular_grid(10.0).assign_coords(time=pd.date_range("2000-03-01", periods=9))
    day = xr.DataArray(np.arange(9.0) ** 2, {"time": grid["time"]}, ("time",))
    warmth = (day + 10 * grid["latitude"] + 0 * grid["longitude"]).transpose("time", "latitude", "longitude")
    warmth.drop_attrs().to_dataset(name="warmth").to_netcdf(tmp_path / "grid.nc")
    recipe = written_recipe(tmp_path, ["grid.nc"], window_days=1.6, radius_km=1250)
    table = prepare(recipe, find_inputs(recipe, folders=[tmp_path])).table
    assert_allclose(table["warmth"], 150 + (4 + 9 + 16 + 25) / 4)  # the middles of 3 to 6 March
    assert table["match_time"].tolist() == ["window mean"]
    assert (table["warmth_count"] > 3).all()
    months = written_recipe(tmp_path, ["months.nc"], window_days=5.0)
    grid_of(month=np.arange(1, 13)).to_netcdf(tmp_path / "months.nc")
    with pytest.raises(SchemaError, match="window_days = 5 asks for means over dates"):
        prepare(months, find_inputs(months, folders=[tmp_path]))


def test_gaps_in_time_are_filled_from_months_nearby_and_it_is_said(tmp_path):
    grid = grid_of(month=np.arange(1, 13))
    grid["temperature"] = grid["temperature"].where((grid["month"] > 3) | (grid["latitude"] < 0))
    grid.to_netcdf(tmp_path / "grid.nc")
    gappy = written_recipe(tmp_path, ["grid.nc"], predictors=["temperature"])
    assert len(prepare(gappy, find_inputs(gappy, folders=[tmp_path])).table) == 1
    recipe = written_recipe(tmp_path, ["grid.nc"], predictors=["temperature"], fill_months=2)
    inputs = prepare(recipe, find_inputs(recipe, folders=[tmp_path]))
    # January to March lie between 12 and 4: March has 4 one month off and December three
    filled = inputs.environment["temperature"].sel(latitude=15, longitude=15)
    assert filled.notnull().all()
    assert filled.sel(month=1) > filled.sel(month=3)
    assert len(inputs.table) == 2
    assert any("temperature 12.5 %" in note for note in inputs.notes)


def test_deployments_at_other_depths_are_told_apart(flux_inputs):
    inputs = flux_inputs(between=[100, 200])
    outside = inputs.rejected["reason"].value_counts()
    assert outside.to_dict() == {"outside the depths that are used, 100 to 200 m": 4}
    assert inputs.table["n_deployments"].sum() + 4 == 10


def test_dated_grids_make_a_map_with_all_its_files(tmp_path):
    """A grid with dates has no year to draw and no raster, and everything else."""
    rng, dates = np.random.default_rng(0), pd.date_range("2020-01-15", periods=3, freq="30D")
    grid = regular_grid(15.0).assign_coords(time=dates)
    dims = ("time", "latitude", "longitude")
    warmth = xr.DataArray(rng.uniform(0, 30, [grid.sizes[d] for d in dims]), grid.coords, dims)
    warmth.to_dataset(name="warmth").to_netcdf(tmp_path / "grid.nc")
    table = pd.DataFrame({"latitude": rng.uniform(-80, 80, 150), "longitude": rng.uniform(-180, 180, 150)})
    table = table.assign(time=rng.choice(dates, 150), biomass=rng.gamma(1, 1, 150))
    table.to_csv(tmp_path / "samples.csv", index=False)
    (tmp_path / "recipe.toml").write_text(
        'title = "A"\n[observations]\nfile = "samples.csv"\ntarget = "biomass"\nunits = "mg m-3"\n'
        '[environment]\nfiles = ["grid.nc"]\n[model]\nn_members = 2\nn_trees = 5\n[budget]\ndepth = [0, 100]\n'
    )
    run_and_draw(tmp_path / "recipe.toml", out=tmp_path / "out", zarr=True)
    assert xr.open_zarr(tmp_path / "out" / "field.zarr", consolidated=False)["biomass"].sizes["time"] == 3
    run_and_draw(tmp_path / "recipe.toml", out=tmp_path / "out")
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"result.json", "report.md", "map.png", "budget.csv", "field.nc"} <= left
    assert not {"map.tif", "field.zarr"} & left
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", (tmp_path / "out" / "report.md").read_text())
    assert set(pictures) <= left
