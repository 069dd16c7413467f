"""A virtual ocean has the total, the statistics and the seasons it says it has."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy.stats import norm, skew

from aqqua_science.grids.geometry import EARTH_RADIUS_KM, cell_area, regular_grid, unit_vectors
from aqqua_science.grids.land import land_mask
from aqqua_science.synthetic import ocean as module
from aqqua_science.synthetic import true_budget, virtual_ocean


@pytest.fixture(scope="module")
def ocean():
    return virtual_ocean(step=5, rng=1)


def _area_mean(field):
    return float(field.weighted(cell_area(field)).mean())


def _log_spread(field):
    logarithm = np.log(field)
    return np.sqrt(_area_mean((logarithm - _area_mean(logarithm)) ** 2))


def test_true_budget_is_the_sum_over_cells(ocean):
    total = 0.0
    days = [31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    area = cell_area(ocean)
    for i in range(ocean.sizes["latitude"]):
        for j in range(ocean.sizes["longitude"]):
            cell = ocean.isel(latitude=i, longitude=j)
            if np.isfinite(cell["bathymetry"]):
                water = float(area[i, j]) * min(150.0, float(cell["bathymetry"]))
                total += float(np.average(cell["biomass"].values, weights=days)) * water * 1e-3 * 1e-15
    assert_allclose(true_budget(ocean, depth=(0, 150)), total, rtol=1e-12)


def test_shelves_clip_the_budget(ocean):
    shelf = ocean["bathymetry"] < 200
    share = float(cell_area(ocean).where(shelf).sum() / cell_area(ocean).where(ocean["bathymetry"] > 0).sum())
    assert 0.02 < share < 0.2
    assert true_budget(ocean) < true_budget(ocean.assign(bathymetry=ocean["bathymetry"] + 200)) * 0.999


@pytest.mark.parametrize("depth", [(0, 500), (100, 100), (-5, 100), (200, 0)])
def test_budget_refuses_layers_it_does_not_know(ocean, depth):
    with pytest.raises(ValueError, match="0 <= top < bottom <= 200"):
        true_budget(ocean, depth=depth)


def test_dimensions_and_units_are_the_conventions(ocean):
    assert ocean["biomass"].dims == ("month", "latitude", "longitude")
    assert ocean["month"].values.tolist() == list(range(1, 13))
    assert ocean["bathymetry"].dims == ("latitude", "longitude")
    assert all({"units", "standard_name", "long_name"} <= set(ocean[name].attrs) for name in ocean.data_vars)


def test_land_is_empty_and_sea_is_not(ocean):
    land = land_mask(regular_grid(5))
    for name in ocean.data_vars:
        missing = ocean[name].isnull()
        expected = land.broadcast_like(missing).transpose(*missing.dims)
        np.testing.assert_array_equal(missing.values, expected.values, err_msg=name)


def test_one_seed_is_one_planet():
    xr.testing.assert_identical(virtual_ocean(step=10, rng=3), virtual_ocean(step=10, rng=3))
    xr.testing.assert_identical(virtual_ocean(step=10, rng=3), virtual_ocean(step=10, rng=np.random.default_rng(3)))
    other = virtual_ocean(step=10, rng=4)
    for name in other.data_vars:
        assert not np.allclose(other[name], virtual_ocean(step=10, rng=3)[name], equal_nan=True), name


def test_a_planet_is_the_same_at_every_resolution():
    fine, coarse = (np.log(virtual_ocean(step=s, n_months=1, rng=5)["expected_biomass"]) for s in (2.5, 5))
    joined = xr.align(fine.coarsen(latitude=2, longitude=2).mean(), coarse)
    assert float(xr.corr(*joined)) > 0.97
    assert_allclose(*(true_budget(virtual_ocean(step=s, n_months=1, rng=5)) for s in (2.5, 5)), rtol=0.1)


def test_annual_ocean_has_the_mean_environment_of_the_seasonal_one(ocean):
    annual = virtual_ocean(step=5, n_months=1, rng=1)
    assert "month" not in annual.dims
    for name in module.PREDICTORS:
        assert_allclose(annual[name], ocean[name].mean("month", skipna=False), rtol=1e-9, err_msg=name)


def test_the_seasons_are_opposed(ocean):
    sst = ocean["temperature"].sel(latitude=42.5), ocean["temperature"].sel(latitude=-42.5)
    north, south = (field.mean("longitude").argmax("month").item() + 1 for field in sst)
    assert (north, south) in {(8, 2), (9, 3), (8, 3), (9, 2)}


def test_predictors_go_together_as_in_the_sea(ocean):
    def together(a, b):
        return float(xr.corr(ocean[a], ocean[b], weights=cell_area(ocean)))

    assert together("temperature", "nitrate") < -0.6
    assert together("temperature", "oxygen") < -0.6
    assert together("nitrate", "chlorophyll") > 0.2
    assert ocean["temperature"].min() >= -1.8
    for name in set(module.PREDICTORS) - {"temperature"}:
        assert ocean[name].min() > 0, name


def test_response_has_the_stated_spread():
    spreads = [_log_spread(virtual_ocean(step=10, n_months=1, rng=seed)["expected_biomass"]) for seed in range(15)]
    assert 0.799 < min(spreads) < 0.95 < 1.15 < max(spreads) < 1.301


def test_residual_is_log_normal_of_mean_one():
    ratios = []
    for seed in range(60):
        ocean = virtual_ocean(step=10, n_months=1, residual_sd=0.8, rng=seed)
        ratios.append((ocean["biomass"] / ocean["expected_biomass"]).values[::3, ::5].ravel())
    ratios = np.array(ratios)
    ratios = ratios[:, np.isfinite(ratios[0])]
    assert_allclose(ratios.mean(), 1, atol=4 * ratios.mean(axis=1).std() / np.sqrt(60))
    assert_allclose(np.log(ratios).std(), 0.8, rtol=0.05)
    assert abs(skew(np.log(ratios).ravel())) < 0.2


def test_residual_is_constant_over_months_and_can_be_left_out(ocean):
    ratio = ocean["biomass"] / ocean["expected_biomass"]
    assert_allclose(ratio, ratio.isel(month=0).broadcast_like(ratio).transpose(*ratio.dims), rtol=1e-12)
    none = virtual_ocean(step=10, residual_sd=0, rng=1)
    xr.testing.assert_equal(none["biomass"].drop_attrs(), none["expected_biomass"].drop_attrs())


@pytest.mark.parametrize("length_km", [500.0, 1500.0])
def test_residual_correlation_is_exponential(length_km):
    """Over many fields the correlation at great-circle distance d is exp(-d / L), up to sampling error."""
    distances = np.array([0.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0])
    points = unit_vectors(np.degrees(distances / EARTH_RADIUS_KM), 30.0)
    fields = np.array(
        [
            module._random_field(points, length_km, np.random.default_rng(s), smoothness=0.5, n_waves=256)
            for s in range(3000)
        ]
    )
    found = np.corrcoef(fields.T)[0]
    assert_allclose(found, np.exp(-distances / length_km), atol=0.05)
    assert_allclose(fields.std(axis=0), 1, atol=0.04)


def test_one_field_is_gaussian():
    rng = np.random.default_rng(0)
    points = unit_vectors(np.degrees(np.arcsin(rng.uniform(-1, 1, 4000))), rng.uniform(-180, 180, 4000))
    field = module._random_field(points, 300.0, rng, smoothness=0.5)
    assert_allclose(np.quantile(field, [0.1, 0.5, 0.9]), norm.ppf([0.1, 0.5, 0.9]), atol=0.2)


def test_smoother_fields_have_a_matern_correlation():
    distance = 800.0
    points = unit_vectors([0.0, np.degrees(distance / EARTH_RADIUS_KM)], 0.0)
    pairs = np.array(
        [
            module._random_field(points, 2000.0, np.random.default_rng(s), smoothness=1.5, n_waves=64)
            for s in range(2000)
        ]
    )
    scaled = np.sqrt(3) * distance / 2000
    assert_allclose(np.corrcoef(pairs.T)[0, 1], (1 + scaled) * np.exp(-scaled), atol=0.03)


@pytest.mark.parametrize(
    ("length_km", "spread"),
    [pytest.param(500.0, (0.02, 0.08), id="500"), pytest.param(1500.0, (0.05, 0.16), id="1500")],
)
def test_realised_totals_scatter_around_expected_ones(length_km, spread):
    """Published for surveys of this kind: log-sd 0.04 (500 km) and 0.10 (1500 km) at a residual of 0.5."""
    logarithms = []
    for seed in range(40):
        ocean = virtual_ocean(step=10, n_months=1, residual_km=length_km, rng=seed)
        expected = ocean.assign(biomass=ocean["expected_biomass"])
        logarithms.append(np.log(true_budget(ocean) / true_budget(expected)))
    assert spread[0] < np.std(logarithms) < spread[1]
    assert abs(np.mean(logarithms)) < 4 * np.std(logarithms) / np.sqrt(40)


@pytest.mark.parametrize(
    "wrong", [{"n_months": 6}, {"residual_sd": -1}, {"residual_km": 0}, {"step": 7}, {"residual_sd": np.nan}]
)
def test_impossible_oceans_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must|needs"):
        virtual_ocean(**wrong)


def test_given_environments_are_kept_and_filled_with_life(ocean):
    given = ocean[["temperature", "nitrate", "bathymetry"]].isel(month=0).drop_vars("month")
    given["nitrate"] = given["nitrate"].where(given["latitude"] < 60)
    full = module.populate(given, residual_sd=0.4, rng=3)
    is_sea = given["temperature"].notnull() & (given["latitude"] < 60)
    for name in given:
        xr.testing.assert_equal(full[name], given[name].where(is_sea))
    np.testing.assert_array_equal(full["biomass"].notnull(), is_sea.transpose(*full["biomass"].dims))
    assert 0.799 < _log_spread(full["expected_biomass"]) < 1.301
    assert 0.2 < np.log(full["biomass"] / full["expected_biomass"]).std() < 0.6
    assert true_budget(full) > 0


def test_life_of_a_given_environment_answers_to_every_predictor(ocean):
    given = ocean[["temperature", "nitrate", "bathymetry"]].isel(month=0, drop=True)
    whole = module.populate(given, residual_sd=0, rng=3)["expected_biomass"]
    xr.testing.assert_identical(whole, module.populate(given, residual_sd=0, rng=3)["expected_biomass"])
    for name in ("temperature", "nitrate"):
        other = module.populate(given.assign({name: given[name] * -1}), residual_sd=0, rng=3)["expected_biomass"]
        assert not np.allclose(whole, other, equal_nan=True), name
    deeper = given.assign(bathymetry=given["bathymetry"] * 2)
    xr.testing.assert_equal(whole, module.populate(deeper, residual_sd=0, rng=3)["expected_biomass"])
