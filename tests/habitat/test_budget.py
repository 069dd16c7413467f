"""Budgets against sums done by hand."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from aqqua_science.grids import cell_area, regular_grid
from aqqua_science.grids.calendars import DAYS_OF_MONTH
from aqqua_science.habitat import BoostedTrees, integrate, predict_grid
from aqqua_science.schema import SchemaError

WGS84_AREA_M2 = 5.10065621724088e14
CALIBRATION = {
    "calibration_log_correction": 0.1,
    "calibration_jackknife_variance": 0.01,
    "calibration_block_variance": 0.5,
    "calibration_level": 0.9,
}


def field_of(values, *, dims=("member", "latitude", "longitude"), units="mg m-3", step=10.0, **coords):
    grid = regular_grid(step).assign_coords(coords)
    array = xr.DataArray(values, dims=dims).assign_coords({d: grid[d] for d in dims if d in grid.coords})
    return xr.Dataset({"biomass": array.assign_attrs(units=units)})


def test_one_everywhere_is_the_volume_of_the_layer():
    row = integrate(field_of(np.ones((3, 18, 36))), depth=(0, 200)).iloc[0]
    assert_allclose(row["mean"], WGS84_AREA_M2 * 200 / 1e18, rtol=1e-12)
    assert_allclose(row["area_m2"], WGS84_AREA_M2, rtol=1e-12)
    assert_allclose(row["volume_m3"], WGS84_AREA_M2 * 200, rtol=1e-12)
    assert row["units"] == "PgC"


@pytest.mark.parametrize("by", ["basins", "latitude bands"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_regions_add_up_to_the_globe(by, seed):
    rng = np.random.default_rng(seed)
    values = rng.gamma(1, size=(4, 12, 18, 36))
    values[:, :, rng.random((18, 36)) < 0.3] = np.nan
    field = field_of(values, dims=("member", "month", "latitude", "longitude"), month=np.arange(1, 13))
    budget = integrate(field, depth=(0, 100), by=by)
    for _, rows in budget.groupby("month"):
        whole, parts = rows[rows["region"] == "global"], rows[rows["region"] != "global"]
        for column in ("mean", "area_m2", "volume_m3"):
            assert_allclose(parts[column].sum(), whole[column].item(), rtol=1e-12)


def test_calibrated_regions_add_up_too():
    rng = np.random.default_rng(0)
    field = field_of(rng.gamma(1, size=(10, 18, 36)))
    field.attrs = CALIBRATION
    budget = integrate(field, depth=(0, 100), by="basins")
    whole, parts = budget[budget["region"] == "global"], budget[budget["region"] != "global"]
    assert_allclose(parts["median"].sum(), whole["median"].item(), rtol=1e-12)
    assert_allclose(whole["median"].item(), whole["mean"].item() * np.exp(0.1))


def test_a_region_is_less_certain_than_the_globe_and_a_small_one_least():
    rng = np.random.default_rng(0)
    members = np.exp(rng.normal(0, 0.05, (20, 1, 1))) * np.ones((20, 18, 36))
    field = field_of(members)
    field.attrs = CALIBRATION
    budget = integrate(field, depth=(0, 100), by="basins").set_index("region")
    width = np.log(budget["high"] / budget["low"])
    assert width["global"] < width["South Pacific Ocean"] < width["Mediterranean and Black Sea"]


def test_the_global_interval_is_the_arithmetic_of_its_parts():
    """Refits, jackknife and the correction, put together by hand; blocks average out over the globe."""
    rng = np.random.default_rng(0)
    members = np.exp(rng.normal(0, 0.05, (20, 1, 1))) * np.ones((20, 18, 36))
    field = field_of(members)
    field.attrs = CALIBRATION
    row = integrate(field, depth=(0, 100)).iloc[0]
    spread = np.var(np.log(members[:, 0, 0]), ddof=1)
    half = np.sqrt(spread * stats.t.ppf(0.95, 19) ** 2 + 0.01 * stats.norm.ppf(0.95) ** 2)
    centre = np.log(members.mean() * WGS84_AREA_M2 * 100 / 1e18) + 0.1
    assert_allclose([row["low"], row["median"], row["high"]], np.exp([centre - half, centre, centre + half]))


def test_annual_stock_weighs_months_by_their_length():
    values = np.arange(1.0, 13)[None, :, None, None] * np.ones((2, 12, 18, 36))
    field = field_of(values, dims=("member", "month", "latitude", "longitude"), month=np.arange(1, 13))
    budget = integrate(field, depth=(0, 1)).set_index("month")["mean"]
    expected = (np.arange(1, 13) * DAYS_OF_MONTH).sum() / 365.25
    assert_allclose(budget["annual"] / budget[1], expected)
    assert len(budget) == 13


def test_flux_is_per_area_and_year():
    row = integrate(field_of(np.full((2, 18, 36), 10.0), units="mg m-2 d-1")).iloc[0]
    assert_allclose(row["mean"], 10 * 365.25 * WGS84_AREA_M2 / 1e18)
    assert row["units"] == "PgC yr-1"


def test_a_layer_of_amounts_per_area_is_refused():
    with pytest.raises(SchemaError, match=r"'mg m-2' are per area.*Leave depth out; .*such as to mg m-3"):
        integrate(field_of(np.ones((2, 18, 36)), units="mg m-2"), depth=(0, 200))


def test_water_below_the_sea_floor_is_not_counted():
    field = field_of(np.ones((2, 18, 36)))
    floor = np.where(np.arange(36) < 18, 50.0, 4000.0) * np.ones((18, 1))
    field["sea_floor_depth"] = ("latitude", "longitude"), floor
    clipped = integrate(field, depth=(0, 200)).iloc[0]["mean"]
    whole = integrate(field, depth=(0, 200), clip_to_seafloor=False).iloc[0]["mean"]
    assert_allclose(clipped / whole, (50 + 200) / 400)


def test_depth_levels_carry_their_own_thickness():
    """Levels at 5, 15 and 40 m have edges 0, 10, 27.5, 52.5; 0-30 m holds 10, 17.5 and 2.5 m of them."""
    values = np.array([1.0, 2.0, 4.0])[None, :, None, None] * np.ones((2, 3, 18, 36))
    field = field_of(values, dims=("member", "depth", "latitude", "longitude"), depth=[5.0, 15.0, 40.0])
    row = integrate(field, depth=(0, 30)).iloc[0]
    assert_allclose(row["mean"], (10 * 1 + 17.5 * 2 + 2.5 * 4) * WGS84_AREA_M2 / 1e18)


def test_spread_of_members_has_its_own_name_and_no_interval_is_claimed():
    values = np.arange(1.0, 102)[:, None, None] * np.ones((101, 18, 36))
    row = integrate(field_of(values), depth=(0, 200)).iloc[0]
    assert np.isnan([row["low"], row["high"]]).all()
    assert_allclose([row["member_low"], row["member_high"]], np.array([6, 96]) * WGS84_AREA_M2 * 200 / 1e18)


def test_total_spread_is_not_the_sum_of_cell_spreads():
    """Members that differ by independent noise per cell hardly differ in total."""
    rng = np.random.default_rng(5)
    values = rng.gamma(4, size=(50, 18, 36))
    row = integrate(field_of(values), depth=(0, 200)).iloc[0]
    field = field_of(values)["biomass"]
    cells = (field.quantile(0.95, "member") - field.quantile(0.05, "member")) * cell_area(field)
    assert row["member_high"] - row["member_low"] < 0.1 * float(cells.sum()) * 200 / 1e18


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"depth must be \(top, bottom\)"),
        ({"depth": (200, 0)}, "top above bottom"),
        ({"depth": (-5, 10)}, "positive down"),
        ({"depth": (0, 200), "clip_to_seafloor": True}, "sea_floor_depth"),
        ({"depth": (0, 200), "kind": "flux"}, "stock"),
    ],
)
def test_what_is_missing_is_named(arguments, message):
    with pytest.raises(SchemaError, match=message):
        integrate(field_of(np.ones((2, 18, 36))), **arguments)


def hemispheres(south, north, *, n_months=1):
    values = np.full((2, n_months, 18, 36), float(south))
    values[:, :, 9:] = north
    return values


def test_what_does_not_add_up_is_averaged_over_area():
    """Two equal hemispheres: the mean is the middle, whatever the units."""
    field = field_of(hemispheres(1, 3)[:, 0], units="1")
    budget = integrate(field, by="latitude bands", kind="mean").set_index("region")
    assert_allclose(budget.loc["global", ["mean", "member_low"]].astype(float), 2, rtol=1e-12)
    assert set(budget["mean"].drop("global").round(12)) == {1.0, 3.0}
    assert budget["units"].unique().tolist() == ["1"]


def test_an_annual_mean_counts_each_mapped_cell_and_day_once():
    """The south is not mapped in January: (31 * 3 / 2 + 28.25 * 2) / (31 / 2 + 28.25) and so on."""
    values = hemispheres(1, 3, n_months=2)
    values[:, 0, :9] = np.nan
    field = field_of(values, units="um", dims=("member", "month", "latitude", "longitude"), month=[1, 2])
    budget = integrate(field, kind="mean").set_index("month")["mean"]
    january, february = DAYS_OF_MONTH[:2]
    assert_allclose(budget[[1, 2]], [3, 2], rtol=1e-12)
    assert_allclose(budget["annual"], (january * 3 / 2 + february * 2) / (january / 2 + february), rtol=1e-12)


def test_a_mean_over_levels_weighs_their_water():
    field = field_of(np.ones((2, 18, 36))).expand_dims(depth=[50.0, 250.0], axis=1)
    field = field.assign(biomass=(field["biomass"] * xr.DataArray([1.0, 5.0], dims="depth")).assign_attrs(units="1"))
    field["depth"].attrs = {"units": "m", "positive": "down", "bounds": "depth_bounds"}
    field["depth_bounds"] = (("depth", "bounds"), [[0.0, 100.0], [100.0, 400.0]])
    field = field.set_coords("depth_bounds")
    row = integrate(field, depth=(0, 400), kind="mean").iloc[0]
    assert_allclose(row["mean"], (100 * 1 + 300 * 5) / 400, rtol=1e-12)


def test_a_map_keeps_the_bounds_of_its_levels():
    """Two levels of 100 and 300 m whose midway would be at 150 m."""
    grid = regular_grid(30.0).assign_coords(depth=("depth", [50.0, 250.0], {"units": "m", "bounds": "depth_bounds"}))
    grid = grid.assign_coords(depth_bounds=(("depth", "bounds"), [[0.0, 100.0], [100.0, 400.0]]))
    grid["warmth"] = grid["depth"] + 0 * grid["latitude"] + 0 * grid["longitude"]
    table = pd.DataFrame({"warmth": np.tile([50.0, 250.0], 50)})
    model = BoostedTrees(
        "log", n_members=2, n_trees=200, learning_rate=0.3, min_child_weight=1, resampling="stratified"
    )
    model.fit(table, table["warmth"])
    row = integrate(predict_grid(model, grid, units="mg m-3"), depth=(0, 400)).iloc[0]
    assert_allclose(row["mean"], WGS84_AREA_M2 * (100 * 50 + 300 * 250) / 1e18, rtol=0.01)


def test_a_calibrated_mean_has_the_interval_of_its_refits():
    values = hemispheres(1, 3)[:, 0] * np.array([0.9, 1.1])[:, None, None]
    row = integrate(field_of(values, units="1").assign_attrs(CALIBRATION), kind="mean").iloc[0]
    half = np.sqrt((np.log(1.1 / 0.9) ** 2 / 2) * stats.t.ppf(0.95, 1) ** 2 + 0.01 * stats.norm.ppf(0.95) ** 2)
    assert_allclose([row["low"], row["median"], row["high"]], 2 * np.exp([0.1 - half, 0.1, 0.1 + half]), rtol=1e-6)
