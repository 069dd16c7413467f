"""Predictors that follow from others, against other formulas and real grids."""

import cf_units
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.grids import derive, open_environment, regular_grid
from aqqua_science.grids.predictors import euphotic_depth
from aqqua_science.grids.sunlight import day_length
from aqqua_science.samples import join_environment
from aqqua_science.schema import SchemaError

SATELLITE = "derived/satellite_sst_chl_bathy_1deg_monthly.nc"
EVERYTHING = ["mixed_layer_depth", "stratification", "euphotic_depth", "day_length", "solar_elevation", "season"]


def months(step=10.0):
    grid = regular_grid(step).assign_coords(month=np.arange(1, 13))
    grid["chl"] = 0.2 + 0 * grid["month"] * grid["latitude"] * grid["longitude"]
    grid["chl"].attrs["units"] = "mg m-3"
    return grid


def made_ocean():
    env = months(30.0)
    cooling = xr.DataArray([20.0, 19.0, 12.0], {"depth": [0.0, 20.0, 100.0]})
    env["temperature"] = cooling + 0 * env["chl"]
    env["salinity"] = 35 + 0 * env["temperature"]
    return env


def test_euphotic_depth_is_that_of_morel():
    """The polynomial by powers of ten; and near the older fit of Morel and Maritorena 2001, equation 6."""
    found = euphotic_depth(xr.DataArray([0.01, 1.0, 10.0, 0.0, -1.0, np.nan]))
    logs = [1.524 + 0.872 - 0.058 - 0.1488, 1.524, 1.524 - 0.436 - 0.0145 + 0.0186]
    assert_allclose(found[:3], 10.0 ** np.array(logs), rtol=1e-12)
    assert np.isnan(found[3:]).all()
    chlorophyll = np.geomspace(0.05, 5, 20)
    older = np.where(chlorophyll < 0.1338, 50.105 * chlorophyll**-0.3536, 40.710 * chlorophyll**-0.4562)
    assert_allclose(euphotic_depth(xr.DataArray(chlorophyll)), older, rtol=0.35)


def test_a_month_has_the_mean_of_its_days():
    env = derive(months(), ["day_length"])
    february = pd.date_range("2001-02-01T12:00", "2001-02-28T12:00").to_numpy()
    assert_allclose(env["day_length"].sel(month=2, latitude=65), day_length(65.0, february).mean())
    assert env["day_length"].dims == ("month", "latitude")
    year = env["day_length"].mean("month")
    assert_allclose(year.sel(latitude=slice(-55, 55)), 12.15, atol=0.15)  # everywhere half the year, and refraction


def test_dates_take_their_own_day_and_monthly_series_their_month():
    grid = regular_grid(10.0)
    days = grid.assign_coords(time=pd.date_range("2003-06-01", periods=40, freq="8D"))
    found = derive(days, "day_length")["day_length"]
    assert_allclose(found.sel(latitude=45)[3], day_length(45.0, days["time"].values[3]))
    stamps = pd.date_range("2001-01-01", periods=12, freq="MS")
    monthly = derive(grid.assign_coords(time=stamps), "day_length")["day_length"]
    assert_allclose(monthly, derive(months(), "day_length")["day_length"])


def test_seasons_are_the_same_in_both_hemispheres():
    env = derive(months(), "season")
    for name in ("season_sine", "season_cosine"):
        north, south = env[name].sel(latitude=45), env[name].sel(latitude=-45)
        assert_allclose(north, south.roll(month=6), atol=1e-12)
    assert_allclose(env["season_sine"] ** 2 + env["season_cosine"] ** 2, 1)
    # December and January are neighbours, as are June and July
    position = np.stack([env["season_sine"].sel(latitude=45), env["season_cosine"].sel(latitude=45)])
    steps = np.linalg.norm(position - np.roll(position, 1, axis=1), axis=0)
    assert_allclose(steps, steps[0])


def test_the_hours_of_a_day_stand_for_its_mean():
    """Six states of two hours each, the midpoint rule: as good as 144 states of the day to half a degree."""
    env = regular_grid(10.0).assign_coords(month=("month", np.arange(1, 13)))
    found = derive(env, ["hourly_solar_elevation", "solar_elevation"])
    assert found["hourly_solar_elevation"].dims == ("hour", "month", "latitude")
    assert float(abs(found["hourly_solar_elevation"].mean("hour") - found["solar_elevation"]).max()) < 0.5
    noon = found["hourly_solar_elevation"].sel(hour=1.0, month=6, latitude=45.0)
    assert 64 < float(noon) < 68.5


def test_the_mean_sun_stands_high_where_days_are_long():
    env = derive(months(), ["day_length", "solar_elevation"])
    assert_allclose(env["solar_elevation"].mean("month"), 0, atol=0.5)
    long, high = (env[name] > env[name].mean("month") for name in ("day_length", "solar_elevation"))
    assert float((long == high).sel(latitude=slice(-60, 60)).mean()) > 0.95


def test_everything_has_units_that_cf_knows_and_nothing_is_changed():
    env = made_ocean()
    before = env.copy(deep=True)
    found = derive(env, [*EVERYTHING, "chl_gradient"])
    xr.testing.assert_identical(env, before)
    new = set(found) - set(env)
    assert new == {*EVERYTHING, "season_sine", "season_cosine", "chl_gradient"} - {"season"}
    for name in new:
        assert found[name].attrs["long_name"]
        assert not cf_units.Unit(found[name].attrs["units"]).is_unknown()
    xr.testing.assert_identical(found[[*env]], env)


def test_on_dask_it_is_the_same_and_lazy():
    env = made_ocean()
    lazy = derive(env.chunk(month=5, depth=2, latitude=4), [*EVERYTHING, "chl_gradient"])
    assert all(lazy[name].chunks is not None for name in ("mixed_layer_depth", "euphotic_depth", "chl_gradient"))
    xr.testing.assert_allclose(lazy.compute(), derive(env, [*EVERYTHING, "chl_gradient"]))


def test_samples_take_them_like_any_other_variable():
    env = derive(months(1.0), ["day_length", "season", "chl_gradient"])
    samples = pd.DataFrame({"latitude": [60.2, -60.2], "longitude": [0.5, 179.9], "month": [6, 6]})
    found = join_environment(samples, env)
    assert_allclose(found["day_length"], env["day_length"].sel(month=6, latitude=[60.5, -60.5]))
    assert_allclose(found["season_sine"], [np.sin(5.5 * np.pi / 6), np.sin(11.5 * np.pi / 6)])
    assert_array_equal(found["match_reason"], "")


def test_variables_are_found_by_their_standard_names_first():
    env = made_ocean()
    odd = env.rename(temperature="var1", salinity="var2", chl="var3")
    for name, standard in {
        "var1": "sea_water_conservative_temperature",
        "var2": "sea_water_practical_salinity",
        "var3": "mass_concentration_of_chlorophyll_a_in_sea_water",
    }.items():
        odd[name].attrs["standard_name"] = standard
    found = derive(odd, ["mixed_layer_depth", "euphotic_depth"])
    assert_allclose(found["euphotic_depth"], derive(env, "euphotic_depth")["euphotic_depth"])
    named = derive(odd.drop_attrs(), "mixed_layer_depth", using={"temperature": "var1", "salinity": "var2"})
    assert_allclose(named["mixed_layer_depth"], found["mixed_layer_depth"], rtol=0.01)


def test_real_satellite_months(shared_data):
    env = derive(open_environment(shared_data / SATELLITE), ["euphotic_depth", "sst_gradient", "season"])
    depth = env["euphotic_depth"].mean("month")
    gyre, upwelling = depth.sel(latitude=-25.5, longitude=-110.5), depth.sel(latitude=-14.5, longitude=-76.5)
    assert float(gyre) > 90 > 50 > float(upwelling)
    fronts = env["sst_gradient"].mean("month")
    gulf_stream, sargasso = fronts.sel(latitude=40.5, longitude=-66.5), fronts.sel(latitude=26.5, longitude=-60.5)
    assert float(gulf_stream) > 3 * float(sargasso)
    assert env["sst_gradient"].attrs["units"] == "degree_Celsius (100 km)-1"


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        ("day_lenght", {}, "Did you mean 'day_length'"),
        (["chlor_gradient"], {}, "'chlor_gradient' is no predictor to derive.*Did you mean 'chl_gradient'"),
        ("mixed_layer_depth", {}, "temperature with depth is not clear: env has chl, sst"),
        ("euphotic_depth", {"using": {"chlorophyll": "CHL"}}, "names 'CHL' for chlorophyll.*Did you mean 'chl'"),
    ],
)
def test_what_cannot_be_derived_is_told(names, options, said):
    env = months()
    with pytest.raises(ValueError, match=said):
        derive(env.assign(sst=env["chl"]), names, **options)


def test_what_is_not_clear_is_asked():
    env = months()
    with pytest.raises(SchemaError, match=r"chlorophyll is not clear: it may be chl or CHL.*using="):
        derive(env.assign(CHL=env["chl"]), "euphotic_depth")
    with pytest.raises(SchemaError, match="need the axis month or time"):
        derive(regular_grid(10.0), "season")


def test_the_annual_range_is_that_of_the_months_there_are():
    env = months()
    values = np.arange(12.0)[:, None, None] + np.zeros((12, env.sizes["latitude"], env.sizes["longitude"]))
    values[:3, 0] = np.nan
    values[:, 1] = np.nan
    env["sst"] = (("month", "latitude", "longitude"), values, {"units": "degC", "long_name": "sea surface temperature"})
    found = derive(env, "sst_range")["sst_range"]
    assert found.dims == ("latitude", "longitude")
    assert_allclose(found[0], 8)
    assert np.isnan(found[1].values).all()
    assert_allclose(found[2:], 11)
    assert found.attrs == {"long_name": "annual range of sea surface temperature", "units": "degC"}
    with pytest.raises(SchemaError, match="depth_range needs months of the year"):
        derive(env.assign(depth=env["sst"].isel(month=0, drop=True)), "depth_range")


@pytest.mark.parametrize(
    ("units", "factor"),
    [
        ("mg m-3", 1),
        ("kg m-3", 1e-6),
        ("ug/L", 1),
        ("µg l-1", 1),
        ("mg m^-3", 1),
        ("milligram m-3", 1),
        ("g m-3", 1e-3),
    ],
)
def test_euphotic_depth_of_chlorophyll_in_any_units(units, factor):
    chlorophyll = xr.DataArray([0.1, 1.0], dims="x")
    if units == "milligram m-3":
        with pytest.raises(SchemaError, match="must be a mass per volume; its units are 'milligram m-3'"):
            euphotic_depth(chlorophyll.assign_attrs(units=units))
        return
    found = euphotic_depth((chlorophyll * factor).assign_attrs(units=units))
    assert_allclose(found, euphotic_depth(chlorophyll), rtol=1e-9)


def test_roles_that_using_does_not_know_are_told():
    with pytest.raises(ValueError, match="Did you mean 'temperature'"):
        derive(regular_grid(30.0), "mixed_layer_depth", using={"temprature": "t"})
