"""Gaps filled from dates and cells around them, against loops over gaps and drawn seas."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.grids import fill_gaps, land_mask, open_environment, regular_grid
from aqqua_science.grids.geometry import chord_to_km, unit_vectors
from aqqua_science.schema import SchemaError


def sea(*, step=10.0, region=(-180, 180, -90, 90), months=12, seed=0):
    grid = regular_grid(step, region=region)
    shape = (months, *grid.sizes.values())
    coords = {"month": np.arange(1, months + 1)} | {name: grid[name].values for name in grid.sizes}
    values = np.random.default_rng(seed).gamma(1.0, size=shape)
    return xr.DataArray(values, coords, name="chl", attrs={"units": "mg m-3"})


def no_land(field):
    return xr.zeros_like(field.isel(month=0, drop=True), dtype=bool)


def between(values, month, max_steps):
    """Value of a month by numpy's interpolation over three turns of the year; one side alone is held."""
    turns = np.tile(values, 3)
    known = np.flatnonzero(np.isfinite(turns))
    before, after = known[known < 12 + month], known[known > 12 + month]
    near = [
        side
        for side, reach in ((before[-1:], 12 + month - before[-1:]), (after[:1], after[:1] - 12 - month))
        if side.size and reach <= max_steps
    ]
    if not near:
        return np.nan
    at = np.concatenate(near)
    return np.interp(12 + month, at, turns[at])


@given(seed=st.integers(0, 1000), share=st.floats(0, 1), max_steps=st.integers(0, 4))
@settings(max_examples=25)
def test_gaps_in_time_are_interpolated_round_the_year(seed, share, max_steps):
    field = sea(step=60.0, seed=seed)
    field = field.where(np.random.default_rng(seed).random(field.shape) >= share)
    found = fill_gaps(field, max_steps=max_steps, max_km=0)
    for row, column in np.ndindex(field.shape[1:]):
        values = field.values[:, row, column]
        truth = [v if np.isfinite(v) else between(values, m, max_steps) for m, v in enumerate(values)]
        assert_allclose(found["chl"][:, row, column], truth, rtol=1e-12)
        flag = np.where(np.isfinite(values), 0, np.where(np.isfinite(truth), 1, np.nan))
        assert_array_equal(found["chl_flag"][:, row, column], flag)


def test_dated_series_do_not_go_round():
    field = sea(months=4).rename(month="time")
    field = field.assign_coords(time=np.array(["2000-01-15", "2000-02-15", "2000-03-15", "2000-04-15"], "M8[ns]"))
    found = fill_gaps(field.where(field["time"] != field["time"][0]), max_km=0)["chl"]
    assert_allclose(found[0], field[1])


def brute_force(plane, row, column, max_km):
    """Mean of the four nearest values, by inverse squared chord, over all cells of the plane."""
    rows, columns = np.nonzero(plane.notnull().values)
    at = unit_vectors(float(plane["latitude"][row]), float(plane["longitude"][column]))
    chord = np.linalg.norm(
        unit_vectors(plane["latitude"].values[rows], plane["longitude"].values[columns]) - at, axis=1
    )
    nearest = [i for i in np.argsort(chord, kind="stable")[:4] if chord_to_km(chord[i]) <= max_km]
    return np.average(plane.values[rows, columns][nearest], weights=chord[nearest] ** -2.0) if nearest else np.nan


@pytest.mark.parametrize("max_km", [500.0, 1200.0, 3000.0])
def test_gaps_in_an_ocean_without_land_take_the_nearest_four(max_km):
    """Over the date line and the poles too; distances of random cells have no ties on a slightly uneven grid."""
    rng = np.random.default_rng(1)
    field = sea(months=1)
    uneven = {
        name: np.sort(field[name].values + rng.uniform(-2, 2, field.sizes[name])) for name in ("latitude", "longitude")
    }
    field = field.assign_coords(uneven)
    gappy = field.where(rng.random(field.shape) < 0.4)
    found = fill_gaps(gappy, max_steps=0, max_km=max_km, land=no_land(gappy))
    truth = gappy[0].copy()
    for row, column in np.argwhere(gappy[0].isnull().values):
        truth[row, column] = brute_force(gappy[0], row, column, max_km)
    assert_allclose(found["chl"][0], truth, rtol=1e-9)
    flags = np.where(gappy[0].notnull(), 0, np.where(truth.notnull(), 2, np.nan))
    assert_array_equal(found["chl_flag"][0], flags)


def test_no_value_crosses_an_isthmus():
    """Two seas beside a wall of land one cell wide: 1 in the west, 100 in the east; the gap lies at the wall."""
    field = xr.ones_like(sea(step=1.0, region=(-10, 10, -10, 10), months=1))
    field = field.where(field["longitude"] < 0, 100.0)
    land = no_land(field) | (field["longitude"] == 0.5)
    west = (field["longitude"] > -4) & (field["longitude"] < 0)
    east = (field["longitude"] > 1) & (field["longitude"] < 2)
    found = fill_gaps(field.where(~land & ~west & ~east), max_steps=0, max_km=1000, land=land)["chl"][0]
    assert_allclose(found.sel(longitude=west), 1)
    assert_allclose(found.sel(longitude=east), 100)
    assert found.sel(longitude=0.5).isnull().all()
    bridged = fill_gaps(field.where(~land & ~west & ~east), max_steps=0, max_km=1000, land=no_land(field))["chl"][0]
    assert (bridged.sel(longitude=-0.5) > 80).all()  # without the wall the east is nearer


def test_lakes_give_nothing_to_the_sea():
    field = xr.ones_like(sea(step=1.0, region=(-10, 10, -10, 10), months=1))
    land = no_land(field) | (field["longitude"] > 0)
    lake = (field["longitude"] == 0.5) & (field["latitude"] == 0.5)
    gap = (field["longitude"] == -0.5) & (field["latitude"] == 0.5)
    found = fill_gaps(field.where(~lake, 40.0).where(~gap).where(~land | lake), max_steps=0, land=land)["chl"][0]
    assert float(found.sel(latitude=0.5, longitude=-0.5)) == 1
    assert float(found.sel(latitude=0.5, longitude=0.5)) == 40


def test_by_default_cells_that_never_have_a_value_are_land():
    field = sea()
    field = field.where(field["longitude"] > 0).where((field["month"] != 2) | (field["latitude"] < 50))
    found = fill_gaps(field.to_dataset().assign(bathymetry=field[0].drop_vars("month")), max_steps=0, max_km=2500)
    assert found["chl"].sel(longitude=slice(None, 0)).isnull().all()
    assert found["chl"].sel(longitude=slice(0, None), latitude=55).notnull().all()
    assert set(found) == {"chl", "chl_flag", "bathymetry"}
    xr.testing.assert_equal(found["bathymetry"], field[0].drop_vars("month"))


@pytest.mark.parametrize("chunks", [{"month": 1}, {"latitude": 5, "month": 6}])
def test_on_dask_it_is_the_same_and_lazy(chunks):
    field = sea()
    field = field.where(np.random.default_rng(3).random(field.shape) < 0.3)
    before = field.copy(deep=True)
    lazy = fill_gaps(field.chunk(chunks), max_km=1500)
    assert lazy["chl"].chunks is not None
    xr.testing.assert_allclose(lazy.compute(), fill_gaps(field, max_km=1500))
    xr.testing.assert_identical(field, before)


def test_flags_and_counts_are_not_filled_themselves():
    field = sea().astype("f4").where(lambda x: x["month"] != 5)
    once = fill_gaps(field)
    assert once["chl"].dtype == np.float32
    assert once["chl"].attrs == {"units": "mg m-3", "ancillary_variables": "chl_flag"}
    assert once["chl_flag"].attrs["flag_meanings"].split()[1] == "filled_in_time"
    assert set(fill_gaps(once)) == {"chl", "chl_flag"}


def test_chlorophyll_hidden_by_the_polar_night(shared_data):
    """Real chlorophyll lacks the winter poles: hidden parts of the open ocean come back near what they were."""
    env = open_environment(shared_data / "derived/satellite_sst_chl_bathy_1deg_monthly.nc", variables=["chl"])
    land = land_mask(env)
    found = fill_gaps(env, land=land)
    assert_array_equal(found["chl"].where(found["chl_flag"] == 0), env["chl"])
    assert not found["chl"].where(land & env["chl"].isnull().all("month")).notnull().any()
    assert int((found["chl_flag"] == 1).sum()) > 20_000
    assert int((found["chl_flag"] == 2).sum()) > 10_000
    hidden = (abs(env["latitude"]) < 40) & (env["latitude"] % 7 == 0.5) & (env["longitude"] % 5 == 0.5)
    error = np.log10(fill_gaps(env.where(~hidden), max_steps=0, land=land)["chl"] / env["chl"]).where(hidden & ~land)
    assert float(error.notnull().sum()) > 4000
    assert float(np.abs(error).median()) < 0.05


def test_what_does_not_belong_together_is_refused():
    field = sea()
    with pytest.raises(SchemaError, match="True on land"):
        fill_gaps(field, land=field[0])
    with pytest.raises(SchemaError, match="the same cells"):
        fill_gaps(field, land=land_mask(regular_grid(20.0)))
    with pytest.raises(SchemaError, match="must have latitude and longitude"):
        fill_gaps(field[:, 0])


def test_a_wall_of_cells_that_touch_at_their_corners_is_closed():
    """Sea on both sides of a diagonal of land, one cell thick, near the pole where columns are narrow."""
    for region in ((0, 20, 0, 20), (0, 20, 65, 85)):
        field = sea(step=1.0, region=region)
        row, column = np.indices(field.shape[1:])
        land = no_land(field) | (row == column)
        gap = (row > column) & (row < column + 4)
        holed = field.where(~land & ~gap).where(row <= column)
        filled = fill_gaps(holed, max_steps=0, max_km=400, land=land)
        assert filled["chl"].where(row > column).isnull().all()
        opened = land & (row != 10)
        assert fill_gaps(holed, max_steps=0, max_km=400, land=opened)["chl"].where(row > column).notnull().any()
