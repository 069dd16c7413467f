"""Mixed layers and stratification, against published numbers of TEOS-10, a slow search and a real atlas."""

import gsw
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.grids import derive, open_environment
from aqqua_science.grids.stratification import mixed_layer_depth, strongest_stratification

LEVITUS = "derived/levitus_ts_4deg_monthly.nc"
DEPTH = np.array([0, 5, 12, 25, 40, 60, 90, 130, 200, 300], dtype=float)


def columns(values, depth=DEPTH, **attrs):
    """Profiles side by side along longitude."""
    values = np.atleast_2d(np.asarray(values, float))
    coords = {"depth": depth, "latitude": [4.0], "longitude": np.arange(float(len(values)))}
    return xr.DataArray(values.T[:, None, :], coords, attrs=attrs)


def random_profiles(n=60, seed=0):
    """Water that cools and freshens downward at random, some of it ending at a sea floor."""
    rng = np.random.default_rng(seed)
    temperature = 25 - np.cumsum(rng.exponential(0.4, (n, DEPTH.size)) * (rng.random((n, DEPTH.size)) < 0.7), axis=1)
    salinity = 35 + np.cumsum(rng.normal(0, 0.01, (n, DEPTH.size)), axis=1)
    floor = rng.integers(4, DEPTH.size + 1, n)
    below = np.arange(DEPTH.size) >= floor[:, None]
    return np.where(below, np.nan, temperature), np.where(below, np.nan, salinity)


def slow_mixed_layer(temperature, salinity, longitude, threshold=0.03, reference=10.0):
    """Of a finely interpolated profile the first depth below 10 m that is denser by the threshold."""
    pressure = gsw.p_from_z(-DEPTH, 4.0)
    absolute = gsw.SA_from_SP(salinity, pressure, longitude, 4.0)
    density = gsw.sigma0(absolute, gsw.CT_from_t(absolute, temperature, pressure))
    known = np.isfinite(density)
    fine = np.arange(reference, DEPTH[known].max(), 0.01)
    profile = np.interp(fine, DEPTH[known], density[known])
    denser = profile >= profile[0] + threshold
    return fine[denser.argmax()] if denser.any() else DEPTH[known].max()


def test_the_mixed_layer_is_what_a_search_down_the_profile_finds():
    temperature, salinity = random_profiles()
    found = mixed_layer_depth(columns(temperature), columns(salinity)).squeeze()
    truth = [slow_mixed_layer(t, s, x) for x, (t, s) in enumerate(zip(temperature, salinity, strict=True))]
    assert_allclose(found, truth, atol=0.011)
    assert len(set(np.round(truth))) > 20


def test_a_threshold_is_crossed_where_a_line_crosses_it():
    """Levels above and below 10 m: the reference is interpolated, and so is the crossing."""
    cooling = columns(20 - 0.1 * DEPTH, standard_name="sea_water_conservative_temperature")
    salt = columns(np.full(DEPTH.size, 35.0), standard_name="sea_water_absolute_salinity")
    density = gsw.sigma0(35.0, 20 - 0.1 * DEPTH)
    reference = np.interp(10, DEPTH, density)
    for threshold in (0.03, 0.125):
        truth = np.interp(reference + threshold, density, DEPTH)
        assert_allclose(mixed_layer_depth(cooling, salt, threshold=threshold).squeeze(), truth, rtol=1e-6)


def test_columns_that_are_mixed_to_the_floor_or_hardly_there():
    even = np.full(DEPTH.size, 10.0)
    shallow, single, land = (np.where(np.arange(DEPTH.size) < n, 10.0, np.nan) for n in (3, 1, 0))
    temperature = columns([even, shallow, single, land], standard_name="sea_water_conservative_temperature")
    found = mixed_layer_depth(temperature, 0 * temperature.drop_attrs() + 35, threshold=0.5).squeeze().values
    assert_allclose(found, [300, 12, np.nan, np.nan])


@pytest.mark.parametrize("depth", [np.array([15.0, 30, 60]), np.array([10.0, 30, 60])])
def test_levels_that_begin_at_or_below_the_reference_begin_there(depth):
    found = mixed_layer_depth(columns([20.0, 20.0, 10.0], depth), columns([35.0, 35.0, 35.0], depth))
    assert 30 < float(found.squeeze()) < 31


def test_the_buoyancy_frequency_is_that_of_teos_10():
    """The check values of gsw_Nsquared, TEOS-10 manual: the largest of five."""
    salinity = [34.7118, 34.8915, 35.0256, 34.8472, 34.7366, 34.7324]
    temperature = [28.8099, 28.4392, 22.7862, 10.2262, 6.8272, 4.3236]
    depth = -gsw.z_from_p(np.array([10.0, 50, 125, 250, 600, 1000]), 4.0)
    found = strongest_stratification(
        columns(temperature, depth, standard_name="sea_water_conservative_temperature"),
        columns(salinity, depth, standard_name="sea_water_absolute_salinity"),
    )
    assert_allclose(found.squeeze(), 0.235723066151305e-3, rtol=1e-6)
    assert found.attrs["units"] == "s-2"


def test_potential_temperature_is_told_from_that_in_situ():
    """At 4,000 m they differ by a third of a degree; the same water has to come out."""
    depth = np.array([0.0, 2000, 4000])
    pressure = gsw.p_from_z(-depth, 4.0)
    absolute = gsw.SA_from_SP(np.full(3, 34.8), pressure, 0.0, 4.0)
    in_situ = np.array([3.0, 2.0, 1.9])
    potential = gsw.pt0_from_t(absolute, in_situ, pressure)
    salt = columns(np.full(3, 34.8), depth)
    same = [
        strongest_stratification(columns(in_situ, depth, standard_name="sea_water_temperature"), salt),
        strongest_stratification(columns(potential, depth, standard_name="sea_water_potential_temperature"), salt),
    ]
    assert_allclose(*same, rtol=1e-4)
    other = strongest_stratification(columns(potential, depth), salt)
    assert abs(float((other / same[0]).squeeze()) - 1) > 0.01


@pytest.fixture(scope="module")
def levitus(shared_data):
    env = open_environment(shared_data / LEVITUS)
    return derive(env, ["mixed_layer_depth", "stratification"])


def test_a_real_atlas_mixes_in_winter_and_little_in_the_tropics(levitus):
    depth = levitus["mixed_layer_depth"]
    assert depth.dims == ("month", "latitude", "longitude")
    zonal = depth.median("longitude")
    assert (zonal.sel(latitude=slice(-10, 15)) < 35).all()  # the levels are 25, 85, 170 m ...
    north, south = zonal.sel(latitude=slice(34, 60)), zonal.sel(latitude=slice(-56, -36))
    assert (north.sel(month=2) > 1.2 * north.sel(month=8)).all()
    assert (south.sel(month=8) > 1.2 * south.sel(month=2)).all()
    assert float(depth.min()) >= 25
    assert float(depth.max()) <= float(levitus["depth"].max())


def test_stratification_is_strong_where_mixing_is_shallow(levitus):
    logs = np.log(levitus["stratification"].where(levitus["stratification"] > 0)).sel(month=8)
    assert xr.corr(logs, np.log(levitus["mixed_layer_depth"].sel(month=8))) < -0.3
    assert 1e-6 < float(levitus["stratification"].median()) < 1e-3


def test_on_dask_it_is_the_same_and_lazy(shared_data, levitus):
    env = open_environment(shared_data / LEVITUS, chunks={"month": 1, "depth": 4, "latitude": 20})
    lazy = derive(env, ["mixed_layer_depth", "stratification"])
    for name in ("mixed_layer_depth", "stratification"):
        assert lazy[name].chunks is not None
        xr.testing.assert_allclose(lazy[name].isel(month=[0, 6]).compute(), levitus[name].isel(month=[0, 6]))
