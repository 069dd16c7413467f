"""Means and integrals over layers, against integrals by hand and a slow loop over columns."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from aqqua_science.grids import fill_gaps, layer_integral, layer_mean, open_environment, regrid, regular_grid
from aqqua_science.grids.layers import layer_bounds
from aqqua_science.samples import join_environment
from aqqua_science.schema import SchemaError

LEVELS = [5.0, 15.0, 30.0, 75.0, 150.0]  # layers meet at 10, 22.5, 52.5, 112.5 and end at 187.5


def profile(values, depth=LEVELS, **attrs):
    return xr.DataArray(np.asarray(values, float), {"depth": depth}, name="nitrate", attrs=attrs)


def water(depth=LEVELS, *, seed=0):
    """Random values in every cell."""
    grid = regular_grid(30.0)
    shape = (2, len(depth), grid.sizes["latitude"], grid.sizes["longitude"])
    axes = {"month": [1, 2], "depth": depth}
    values = np.random.default_rng(seed).gamma(1.0, size=shape)
    return xr.DataArray(values, {**axes, **{k: grid[k].values for k in grid.sizes}}, name="nitrate")


def steps(values, top, bottom):
    """The exact integral of a profile of steps, by its antiderivative."""
    edges = np.array([0, 10, 22.5, 52.5, 112.5, 187.5])
    running = np.concatenate([[0], np.cumsum(np.diff(edges) * values)])
    return np.interp(bottom, edges, running) - np.interp(top, edges, running)


@given(
    values=st.lists(st.floats(-10, 10), min_size=5, max_size=5),
    top=st.floats(0, 180),
    thickness=st.floats(0.5, 187.5),
)
def test_a_profile_of_steps_is_integrated_exactly(values, top, thickness):
    bottom = min(top + thickness, 187.5)
    truth = steps(np.array(values), top, bottom)
    assert_allclose(layer_integral(profile(values), top, bottom), truth, atol=1e-9)
    assert_allclose(layer_mean(profile(values), top, bottom), truth / (bottom - top), atol=1e-9)


@given(slope=st.floats(-2, 2), offset=st.floats(-10, 10), first=st.integers(0, 8), n=st.integers(1, 8))
def test_a_straight_profile_is_integrated_exactly_over_whole_layers(slope, offset, first, n):
    """Levels amid their layers: the integral of a line over a layer is its value at the middle times the thickness."""
    depth = np.arange(5.0, 200, 10)
    top, bottom = 10.0 * first, 10.0 * (first + n)
    truth = slope * (bottom**2 - top**2) / 2 + offset * (bottom - top)
    assert_allclose(layer_integral(profile(slope * depth + offset, depth), top, bottom), truth, rtol=1e-9, atol=1e-9)


def test_bounds_of_the_file_count_before_midpoints():
    bounds = xr.DataArray([[0.0, 4], [4, 100]], dims=("depth", "side"))
    depth = xr.Variable("depth", [2.0, 50.0], {"bounds": "depth_bounds"})
    data = xr.Dataset({"nitrate": ("depth", [1.0, 3.0])}, {"depth": depth, "depth_bounds": bounds})
    assert_allclose(layer_integral(data, 0, 10)["nitrate"], 4 * 1 + 6 * 3)
    assert set(layer_mean(data, 0, 10)) == {"nitrate"}


def test_layers_add_up_and_none_is_changed():
    data = water()
    before = data.copy(deep=True)
    parts = layer_integral(data, 0, 40) + layer_integral(data, 40, 120)
    assert_allclose(parts, layer_integral(data, 0, 120), rtol=1e-12)
    xr.testing.assert_identical(data, before)
    lazy = layer_integral(data.chunk(depth=2, month=1), 0, 120)
    assert lazy.chunks is not None
    assert_allclose(lazy, layer_integral(data, 0, 120), rtol=1e-12)


def test_the_sea_ends_at_the_deepest_level_with_a_value():
    values = profile([1.0, 2.0, 4.0, np.nan, np.nan])  # the layer of the third level ends at 52.5 m
    assert_allclose(layer_integral(values, 0, 150), 1 * 10 + 2 * 12.5 + 4 * 30)
    assert_allclose(layer_mean(values, 0, 150), (1 * 10 + 2 * 12.5 + 4 * 30) / 52.5)
    assert np.isnan(layer_mean(values, 60, 150))
    assert np.isnan(layer_mean(values * np.nan, 0, 150))


def test_bathymetry_cuts_the_deepest_layer():
    data = xr.Dataset({"nitrate": profile([1.0, 2.0, 4.0, 8.0, 9.0]), "sea_floor_depth": 60.0, "other": 1.0})
    truth = 1 * 10 + 2 * 12.5 + 4 * 30 + 8 * 7.5
    assert_allclose(layer_integral(data, 0, 150)["nitrate"], truth)
    assert_allclose(layer_mean(data, 0, 4000)["nitrate"], truth / 60)
    assert_allclose(layer_mean(data["nitrate"], 0, 150, sea_floor=xr.DataArray(20.0)), (10 + 2 * 10) / 20)
    assert float(layer_mean(data, 0, 150)["other"]) == 1
    assert np.isnan(layer_mean(data, 70, 150)["nitrate"])


def test_gaps_within_the_sea_count_against_a_column():
    values = profile([1.0, np.nan, 4.0, 8.0, 9.0])  # 12.5 of 22.5 m are missing, then 12.5 of 52.5 m
    assert np.isnan(layer_mean(values, 0, 22.5))
    assert_allclose(layer_mean(values, 0, 22.5, min_share=0.4), 1)
    mean = (1 * 10 + 4 * 30) / 40
    assert_allclose(layer_mean(values, 0, 52.5), mean)
    assert_allclose(layer_integral(values, 0, 52.5), mean * 52.5)


def test_levitus_between_surface_and_200_m(shared_data):
    """Each column of a real atlas, one at a time."""
    env = open_environment(shared_data / "derived/levitus_ts_4deg_monthly.nc", variables=["temperature"])
    found = layer_mean(env, 0, 200)["temperature"]
    upper, lower = layer_bounds(env)
    rng = np.random.default_rng(0)
    for month, row, column in rng.integers(0, (12, 40, 90), (200, 3)):
        values = env["temperature"].values[month, :, row, column].astype(float)
        pieces = [
            (min(low, 200) - up, value)
            for up, low, value in zip(upper, lower, values, strict=True)
            if up < 200 and np.isfinite(value)
        ]
        truth = np.average([v for _, v in pieces], weights=[t for t, _ in pieces]) if pieces else np.nan
        assert_allclose(found[month, row, column], truth, rtol=1e-5, atol=1e-5)
    assert found.attrs["units"] == "degree_Celsius"


@pytest.mark.parametrize(
    ("units", "integrated"), [("mg m-3", "mg m-2"), ("degC", "degC m"), ("1", "m"), ("mmol m-3", "mmol m-2")]
)
def test_units_are_those_of_the_integral(units, integrated):
    attrs = {"units": units, "standard_name": "some_concentration"}
    found = layer_integral(profile([1.0] * 5, **attrs), 0, 10)
    assert found.attrs["units"] == integrated
    assert "standard_name" not in found.attrs
    assert layer_mean(profile([1.0] * 5, **attrs), 0, 10).attrs["standard_name"] == "some_concentration"


@pytest.mark.parametrize(
    ("layer", "options", "said"),
    [
        ((200, 0), {}, "got 200 and 0"),
        ((-5, 10), {}, "got -5 and 10"),
        ((0, 1000), {}, "levels end at 187.5 m"),
        ((300, 400), {}, "levels end at 187.5 m"),
        ((0, 100), {"sea_floor": xr.DataArray(-3000.0)}, "100% of its values are negative"),
    ],
)
def test_layers_that_are_not_described_are_refused(layer, options, said):
    with pytest.raises(SchemaError, match=said):
        layer_mean(profile([1.0] * 5), *layer, **options)


def test_other_cells_and_flat_fields_are_refused():
    floor = xr.DataArray(np.full((6, 12), 100.0), {k: v.values + 1 for k, v in regular_grid(30.0).coords.items()})
    with pytest.raises(SchemaError, match=r"regrid\(sea_floor, env\)"):
        layer_mean(water(), 0, 100, sea_floor=floor)
    with pytest.raises(SchemaError, match="must have the axis depth"):
        layer_mean(water().isel(depth=0), 0, 100)


@pytest.mark.parametrize(("units", "factor", "positive"), [("m", 1, "down"), ("cm", 100, "down"), ("m", -1, "up")])
@pytest.mark.parametrize("backwards", [False, True])
def test_bounds_of_a_file_are_kept_from_opening_to_the_integral(tmp_path, units, factor, positive, backwards):
    """Levels amid layers that grow, as models have them: midway between levels is not where the layers meet."""
    edges = np.array([0.0, 6, 13, 22, 40, 100, 250])
    bounds = np.stack([edges[:-1], edges[1:]], axis=1) * factor
    grid = regular_grid(30.0)
    values = np.arange(1.0, 7)[:, None, None] * np.ones((6, 6, 12))
    attrs = {"units": units, "positive": positive, "bounds": "deptht_bounds", "axis": "Z"}
    raw = xr.Dataset(
        {"no3": (("deptht", "lat", "lon"), values, {"units": "mmol m-3"})},
        {
            "deptht": ("deptht", bounds.mean(axis=1), attrs),
            "deptht_bounds": (("deptht", "nv"), bounds),
            "lat": grid["latitude"].values,
            "lon": grid["longitude"].values,
        },
    )
    raw = raw.isel(deptht=slice(None, None, -1)) if backwards else raw
    env = open_environment(raw)
    assert_allclose(env["depth_bounds"], np.stack([edges[:-1], edges[1:]], axis=1))
    truth = np.sum(np.diff(edges)[:4] * np.arange(1, 5)) + 5 * 10
    assert_allclose(layer_integral(env, 0, 50)["no3"], truth)
    env.to_netcdf(tmp_path / "env.nc")
    again = open_environment(tmp_path / "env.nc")
    assert_allclose(layer_integral(regrid(fill_gaps(again), 60.0), 0, 50)["no3"], truth)
    samples = pd.DataFrame({"latitude": [1.0], "longitude": [1.0], "depth_min": [0.0], "depth_max": [50.0]})
    assert_allclose(join_environment(samples, env, depth="mean")["no3"], truth / 50)
    assert "depth_bounds" not in layer_mean(env, 0, 50).variables


@pytest.mark.parametrize(
    ("units", "integral"),
    [
        ("mg m-3", "mg m-2"),
        ("mmol m^-3", "mmol m^-2"),
        ("kg/m3", "kg/m2"),
        ("kg m**-3", "kg m**-2"),
        ("mg C m-3 d-1", "mg C m-2 d-1"),
        ("umol kg-1", "umol kg-1 m"),
        ("degC", "degC m"),
        ("1", "m"),
    ],
)
def test_units_of_an_integral(units, integral):
    from cf_units import Unit

    found = layer_integral(profile(np.ones(5), units=units), 0, 30).attrs["units"]
    assert found == integral
    if " C " not in units:
        assert Unit(found) == Unit(units) * Unit("m")


def test_what_is_said_of_other_axes_stays_and_flags_have_no_mean():
    field = profile(np.ones(5), cell_methods="time: mean")
    assert layer_mean(field, 0, 30).attrs["cell_methods"] == "time: mean depth: mean"
    flag = profile(np.ones(5), flag_values=[0, 1]).rename("nitrate_flag")
    assert set(layer_mean(xr.merge([field, flag]), 0, 30)) == {"nitrate"}


def test_levels_that_end_far_above_the_end_of_the_layer_describe_no_deep_column():
    columns = profile(np.ones(5)).expand_dims(latitude=[0.0, 1.0], longitude=[0.0, 1.0])
    floor = xr.DataArray([[100.0, 200.0], [250.0, 4000.0]], {"latitude": [0.0, 1.0], "longitude": [0.0, 1.0]})
    found = layer_mean(columns, 0, 300, sea_floor=floor)
    assert found.notnull().values.tolist() == [[True, True], [False, False]]
