"""Means in a radius around each sample, against a slow double loop with great-circle distances."""

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.grids import regular_grid
from aqqua_science.samples import join_environment

EARTH_KM = 6371.0088


def great_circle_km(latitude, longitude, other_latitude, other_longitude):
    """Vincenty's form for a sphere, which is exact near, far and at antipodes."""
    phi, psi = math.radians(latitude), math.radians(other_latitude)
    turn = math.radians(other_longitude - longitude)
    across = math.hypot(
        math.cos(psi) * math.sin(turn),
        math.cos(phi) * math.sin(psi) - math.sin(phi) * math.cos(psi) * math.cos(turn),
    )
    along = math.sin(phi) * math.sin(psi) + math.cos(phi) * math.cos(psi) * math.cos(turn)
    return EARTH_KM * math.atan2(across, along)


def slow_mean(field, sample, radius_km):
    """Value of the sample's own cell and of all others within the radius, one by one."""
    latitude, longitude = (field[name].values for name in ("latitude", "longitude"))
    half = (latitude[1] - latitude[0]) / 2
    values = []
    for row, north in enumerate(latitude):
        for column, east in enumerate(longitude):
            away = (sample["longitude"] - east + half) % 360
            top = sample["latitude"] == 90 and row == len(latitude) - 1
            own = (north - half <= sample["latitude"] < north + half or top) and away < 2 * half
            if own or great_circle_km(sample["latitude"], sample["longitude"], north, east) <= radius_km:
                values.append(field.values[row, column])
    values = np.array(values)
    return values[~np.isnan(values)]


@pytest.fixture(scope="module")
def ocean():
    rng = np.random.default_rng(0)
    grid = regular_grid(10.0)
    values = np.where(rng.random((18, 36)) < 0.4, np.nan, rng.normal(288, 2, (18, 36)))
    return xr.Dataset({"x": (("latitude", "longitude"), values)}, coords=grid.coords)


EDGES = [(90.0, 12.0), (-90.0, -180.0), (89.9, 180.0), (0.1, 179.9), (-3.0, -179.9), (84.0, -5.0), (45.0, 5.0)]


@pytest.mark.parametrize("radius_km", [1.0, 400.0, 1200.0, 6000.0, 25_000.0])
def test_equals_the_slow_loop(ocean, radius_km):
    rng = np.random.default_rng(1)
    places = EDGES + list(zip(np.degrees(np.arcsin(rng.uniform(-1, 1, 25))), rng.uniform(-180, 180, 25), strict=True))
    samples = pd.DataFrame(places, columns=["latitude", "longitude"])
    land = xr.zeros_like(ocean["x"], dtype=bool)
    table = join_environment(samples, ocean, radius_km=radius_km, land=land)
    assert set(table["match_method"]) == {"radius mean"}
    for (_, sample), (_, found) in zip(samples.iterrows(), table.iterrows(), strict=True):
        values = slow_mean(ocean["x"], sample, radius_km)
        assert found["x_count"] == len(values), (sample, radius_km)
        assert_allclose(found["x"], values.mean() if len(values) else np.nan, rtol=1e-12)
        assert_allclose(found["x_sd"], values.std(ddof=1) if len(values) > 1 else np.nan, rtol=1e-9)
    assert_array_equal(table["match_reason"] == "", table["x"].notna())


def test_the_whole_globe_is_one_mean(ocean):
    samples = pd.DataFrame(EDGES, columns=["latitude", "longitude"])
    table = join_environment(samples, ocean, radius_km=20_016.0, land=~ocean["x"].notnull())
    assert_allclose(table["x"], float(ocean["x"].mean()), rtol=1e-12)
    assert (table["x_count"] == int(ocean["x"].notnull().sum())).all()


@settings(max_examples=15)
@given(
    turns=st.integers(0, 35),
    radius_km=st.floats(10, 8000),
    seed=st.integers(0, 2**32 - 1),
    chunk=st.tuples(st.integers(1, 18), st.integers(1, 36)),
    block=st.integers(1, 300),
)
def test_turns_order_chunks_and_blocks_do_not_matter(ocean, turns, radius_km, seed, chunk, block):
    rng = np.random.default_rng(seed)
    places = np.degrees(np.arcsin(rng.uniform(-1, 1, 40))), rng.uniform(-180, 180, 40)
    samples = pd.DataFrame({"latitude": places[0], "longitude": places[1]})
    expected = join_environment(samples, ocean, radius_km=radius_km)
    turned = ocean.roll(longitude=turns, roll_coords=False).chunk(latitude=chunk[0], longitude=chunk[1])
    moved = samples.assign(longitude=(samples["longitude"] + 10 * turns + 180) % 360 - 180)[::-1]
    table = join_environment(moved, turned, radius_km=radius_km, block=block).loc[samples.index]
    assert_array_equal(table["x_count"], expected["x_count"])
    assert_allclose(table[["x", "x_sd"]], expected[["x", "x_sd"]], rtol=1e-9, atol=1e-12)


def test_no_pixel_beyond_its_own_is_within_a_small_radius(ocean):
    """The mean of one cell is the match without a radius, but for the spread that one value cannot tell."""
    rng = np.random.default_rng(2)
    samples = pd.DataFrame({"latitude": rng.uniform(-80, 80, 50), "longitude": rng.uniform(-180, 180, 50)})
    table, plain = join_environment(samples, ocean, radius_km=1e-3), join_environment(samples, ocean)
    assert_array_equal(table["x"], plain["x"])
    assert table["x_sd"].isna().all()
    assert_array_equal(table["x_count"], plain["x"].notna())
    assert_array_equal(table["match_method"].replace("radius mean", "cell"), plain["match_method"])


def test_a_cloud_over_the_own_cell_leaves_the_others_and_land_gives_nothing():
    env = (regular_grid(1.0)["latitude"] + 0 * regular_grid(1.0)["longitude"]).to_dataset(name="relief")
    env["x"] = xr.where(env["longitude"] > 0, 5.0, np.nan) + 0 * env["latitude"]
    env["relief"] = env["relief"].where(env["longitude"] > 0, 1e6)
    cloud = env.expand_dims(time=pd.to_datetime(["2020-01-01", "2020-01-09"])).copy(deep=True)
    cloud["x"][0] = cloud["x"][0].where((cloud["latitude"] != 0.5) | (cloud["longitude"] != 0.5))
    sample = pd.DataFrame({"latitude": [0.5], "longitude": [0.5], "time": pd.to_datetime(["2020-01-01"])})
    table = join_environment(sample, cloud, time="exact", radius_km=112)
    assert table[["x", "x_count", "relief_count"]].iloc[0].tolist() == [5.0, 3, 4], "north, east, south, itself"
    assert table["relief"].item() == 0.5


def test_samples_ashore_and_on_lakes():
    env = regular_grid(1.0)
    env["x"] = xr.where(env["longitude"] > 0, env["longitude"], np.nan) + 0 * env["latitude"]
    samples = pd.DataFrame({"latitude": 0.5, "longitude": [-0.2, -0.2, -60.0], "water": ["sea", "lake", "sea"]})
    table = join_environment(samples, env, radius_km=200)
    assert table["match_method"].tolist() == ["nearest sea cell", "none", "none"]
    assert table["x_count"].tolist() == [4, 0, 0], "three cells along the shore and one behind it"
    assert_allclose(table["x"], [(3 * 0.5 + 1.5) / 4, np.nan, np.nan])


def test_depth_levels_and_layers_average_too():
    grid = regular_grid(10.0)
    env = (grid["latitude"] + 0 * grid["longitude"]).expand_dims(depth=[5.0, 15.0, 25.0]).to_dataset(name="x")
    env["x"] = env["x"] * 0 + env["depth"]
    samples = pd.DataFrame({"latitude": [5.0], "longitude": [5.0], "depth": 15.0, "depth_min": 0.0, "depth_max": 20.0})
    for chunked in (env, env.chunk(depth=1, latitude=5)):
        level = join_environment(samples, chunked, radius_km=1200)
        layer = join_environment(samples, chunked, radius_km=1200, depth="mean")
        assert level[["x", "x_count", "x_sd"]].iloc[0].tolist() == [15, 5, 0]
        assert layer[["x", "x_count", "x_sd"]].iloc[0].tolist() == [10, 5, 0]


def test_values_that_are_large_beside_their_spread_keep_it():
    rng = np.random.default_rng(3)
    grid = regular_grid(10.0)
    values = 1e8 + rng.normal(0, 1, (18, 36))
    env = xr.Dataset({"x": (("latitude", "longitude"), values)}, coords=grid.coords).chunk(latitude=2, longitude=3)
    table = join_environment(pd.DataFrame({"latitude": [0.0], "longitude": [0.0]}), env, radius_km=20_016, block=20)
    assert_allclose(table["x_sd"], values.std(ddof=1), rtol=1e-6)


def test_odd_radii_are_refused(ocean):
    sample = pd.DataFrame({"latitude": [0.0], "longitude": [0.0]})
    for radius in (0, -5.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="radius_km must be above 0"):
            join_environment(sample, ocean, radius_km=radius)
    with pytest.raises(ValueError, match="Leave one of them out"):
        join_environment(sample, ocean, radius_km=5.0, method="bilinear")
    assert join_environment(sample.iloc[:0], ocean, radius_km=5.0).columns.tolist()[2:5] == ["x", "x_count", "x_sd"]
