"""Samples meet their environment: against a slow reference, and under everything that must not matter."""

import threading
import tracemalloc

import dask.array
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.grids.geometry import regular_grid
from aqqua_science.samples import join_environment
from aqqua_science.samples.neighbours import distance_km
from aqqua_science.schema import SchemaError

LEVELS = np.array([0.0, 10.0, 30.0, 100.0])
LAYERS = ("month", "depth", "latitude", "longitude")
RECORD = ("longitude", "latitude", "distance_km", "depth_m", "days", "time", "method", "reason")
COLUMNS = [f"match_{name}" for name in RECORD]


@pytest.fixture(scope="module")
def ocean():
    """Monthly temperature with land and sea floor, chlorophyll missing in places, relief everywhere."""
    rng = np.random.default_rng(0)
    grid = regular_grid(10.0)
    floor = rng.integers(-1, 4, (18, 36))
    temperature = rng.normal(10, 5, (12, 4, 18, 36)).astype(np.float32)
    temperature[:, np.arange(4)[:, None, None] > floor] = np.nan
    chlorophyll = rng.lognormal(0, 1, (12, 18, 36))
    chlorophyll[:, (floor < 0) | (rng.random((18, 36)) < 0.2)] = np.nan
    fields = {
        "temperature": (LAYERS, temperature),
        "chlorophyll": (("month", "latitude", "longitude"), chlorophyll),
        "relief": (("latitude", "longitude"), rng.normal(0, 3000, (18, 36))),
    }
    return xr.Dataset(fields, coords=grid.coords | {"month": np.arange(1, 13), "depth": LEVELS})


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(1)
    n = 400
    top = rng.uniform(0, 100, n)
    return pd.DataFrame(
        {
            "sample_id": np.arange(n),
            "latitude": np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
            "longitude": rng.uniform(-180, 180, n),
            "depth": rng.uniform(0, 120, n),
            "depth_min": top,
            "depth_max": np.minimum(top + rng.uniform(0, 60, n), 135),
            "month": rng.integers(1, 13, n),
            "water": rng.choice(["sea", "lake", "river"], n, p=[0.9, 0.05, 0.05]),
        },
        index=rng.permutation(n) + 1000,
    )


def flat(value=1.0, *, step=10.0, **coords):
    """A field of one value, everywhere sea."""
    grid = regular_grid(step)
    layout = [*coords, "latitude", "longitude"]
    sizes = [len(v) for v in coords.values()] + [grid.sizes["latitude"], grid.sizes["longitude"]]
    return xr.Dataset({"x": (layout, np.full(sizes, value))}, coords=grid.coords | coords)


def reference(sample, env, *, bilinear=False, mean=False):
    """The match of one sample, spelt out: dict of variables, and the method."""
    lat, lon = env["latitude"].values, env["longitude"].values
    sea = env["temperature"].notnull().any(["month", "depth"]) | env["chlorophyll"].notnull().any("month")
    sea = sea.values
    nothing = dict.fromkeys(env, np.nan)
    if sample["water"] != "sea":
        return nothing, "none"
    away = (lon - sample["longitude"] + 180) % 360 - 180
    i, j = np.abs(lat - sample["latitude"]).argmin(), np.abs(away).argmin()
    method = "bilinear" if bilinear else "cell"
    corners = {(i, j): 1.0}
    if not sea[i, j]:
        grid_lat, grid_lon = np.meshgrid(lat, lon, indexing="ij")
        km = distance_km(
            (np.full(sea.shape, sample["latitude"]), np.full(sea.shape, sample["longitude"])), (grid_lat, grid_lon)
        )
        km[~sea] = np.inf
        i, j = np.unravel_index(km.argmin(), km.shape)
        if km[i, j] > 1.5 * 10 * 111.195:
            return nothing, "none"
        method, corners = "nearest sea cell", {(i, j): 1.0}
    elif bilinear:
        corners = {}
        for row, latitude in enumerate(lat):
            for column in range(lon.size):
                w = (1 - abs(sample["latitude"] - latitude) / 10) * (1 - abs(away[column]) / 10)
                if abs(sample["latitude"] - latitude) < 10 and abs(away[column]) < 10 and sea[row, column]:
                    corners[row, column] = w
    edges = np.array([0, 5, 20, 65, 135.0])
    found = {}
    for name, field in env.items():
        if "month" in field.dims:
            field = field.sel(month=sample["month"])

        def at(row, column, field=field):
            profile = field.values[..., row, column]
            if "depth" not in field.dims:
                return profile
            if not mean:
                return profile[np.abs(LEVELS - sample["depth"]).argmin()]
            shared = np.minimum(sample["depth_max"], edges[1:]) - np.maximum(sample["depth_min"], edges[:-1])
            shared = np.where(np.isnan(profile), 0, np.maximum(shared, 0))
            return np.nansum(profile * shared) / shared.sum() if shared.sum() > 0 else np.nan

        values = {corner: at(*corner) for corner in corners}
        known = {corner: value for corner, value in values.items() if not np.isnan(value)}
        total = sum(corners[corner] for corner in known)
        found[name] = sum(corners[c] * v for c, v in known.items()) / total if (i, j) in known else np.nan
    return found, method


@pytest.mark.parametrize("bilinear", [False, True])
@pytest.mark.parametrize("mean", [False, True])
def test_equals_the_slow_reference(samples, ocean, bilinear, mean):
    samples = samples[samples["latitude"].abs() < 85] if bilinear else samples
    table = join_environment(
        samples, ocean, method="bilinear" if bilinear else "nearest", depth="mean" if mean else "nearest"
    )
    truth = [reference(sample, ocean, bilinear=bilinear, mean=mean) for _, sample in samples.iterrows()]
    assert table["match_method"].tolist() == [method for _, method in truth]
    assert table["match_method"].nunique() == 3
    for name in ocean:
        assert_allclose(table[name], [found[name] for found, _ in truth], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("options", [{}, {"method": "bilinear", "depth": "mean"}])
def test_reason_is_empty_exactly_where_nothing_is_missing(samples, ocean, options):
    table = join_environment(samples, ocean, **options)
    assert_array_equal(table["match_reason"] == "", table[list(ocean)].notna().all(axis=1))
    assert_array_equal(table["match_method"] == "none", table["match_distance_km"].isna())
    reasons = table["match_reason"].str.split("; ").explode().unique()
    assert {"", "inland water", "below the sea floor", "no value of chlorophyll"} <= set(reasons)


def test_table_keeps_what_it_had(samples, ocean):
    before, grid_before = samples.copy(), ocean.copy(deep=True)
    table = join_environment(samples, ocean)
    pd.testing.assert_frame_equal(table[samples.columns], before)
    assert table.columns.tolist() == [*samples.columns, *ocean, *COLUMNS]
    pd.testing.assert_frame_equal(samples, before)
    xr.testing.assert_identical(ocean, grid_before)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), block=st.integers(1, 500), options=st.sampled_from(["nearest", "bilinear"]))
def test_row_order_and_blocks_do_not_matter(samples, ocean, seed, block, options):
    expected = join_environment(samples, ocean, method=options)
    shuffled = samples.sample(frac=1, random_state=seed)
    table = join_environment(shuffled, ocean, method=options, block=block)
    pd.testing.assert_frame_equal(table.loc[samples.index], expected, rtol=0, atol=0)


@settings(max_examples=10, deadline=None)
@given(
    sizes=st.tuples(st.integers(4, 12), st.integers(1, 4), st.integers(6, 18), st.integers(12, 36)),
    method=st.sampled_from(["nearest", "bilinear"]),
    depth=st.sampled_from(["nearest", "mean"]),
)
def test_chunks_do_not_matter(samples, ocean, sizes, method, depth):
    chunked = ocean.chunk(dict(zip(LAYERS, sizes, strict=True)))
    expected = join_environment(samples, ocean, method=method, depth=depth)
    table = join_environment(samples, chunked, method=method, depth=depth)
    pd.testing.assert_frame_equal(table, expected, rtol=0, atol=0)


@settings(max_examples=15, deadline=None)
@given(turns=st.integers(1, 35), method=st.sampled_from(["nearest", "bilinear"]))
def test_turning_the_globe_does_not_matter(samples, ocean, turns, method):
    """The world turned by whole cells, samples and all, gives the same match."""
    expected = join_environment(samples, ocean, method=method)
    turned = ocean.roll(longitude=turns, roll_coords=False)
    longitude = (samples["longitude"] + 10 * turns + 180) % 360 - 180
    table = join_environment(samples.assign(longitude=longitude), turned, method=method)
    for name in [*ocean, "match_distance_km"]:
        assert_allclose(table[name], expected[name], rtol=1e-5, atol=1e-9)
    assert table["match_method"].tolist() == expected["match_method"].tolist()


def test_a_grid_from_0_to_360_is_refused_with_the_remedy(samples, ocean):
    east = ocean.assign_coords(longitude=ocean["longitude"] % 360)
    for env in (east, east.sortby("longitude"), ocean.sortby("latitude", ascending=False), ocean.isel(latitude=[0])):
        with pytest.raises(SchemaError, match="open_environment"):
            join_environment(samples, env)


def test_a_grid_brought_from_0_to_360_gives_the_same(samples, ocean):
    east = ocean.assign_coords(longitude=ocean["longitude"] % 360).sortby("longitude")
    back = east.assign_coords(longitude=(east["longitude"] + 180) % 360 - 180).sortby("longitude")
    pd.testing.assert_frame_equal(join_environment(samples, back), join_environment(samples, ocean))


class Counting:
    """An array that notes what is read of it."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.ndim = values, values.shape, values.dtype, values.ndim
        self.reads, self.lock = [], threading.Lock()

    def __getitem__(self, key):
        with self.lock:
            self.reads.append(tuple((part.start, part.stop) for part in key))
        return self.values[key]


def test_each_needed_chunk_is_read_once_for_values(ocean):
    values = np.ones((12, 4, 18, 36))
    source = Counting(values)
    lazy = dask.array.from_array(source, chunks=(1, 4, 9, 36), meta=np.empty(0))
    env = xr.Dataset({"x": (LAYERS, lazy)}, coords=ocean.coords)
    n = 300
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"latitude": rng.uniform(1, 89, n), "longitude": rng.uniform(-180, 180, n), "depth": 5.0})
    table["month"] = rng.choice([3, 4], n)
    for options in ({}, {"method": "bilinear"}, {"depth": "mean"}):
        source.reads.clear()
        layer = table.assign(depth_min=0.0, depth_max=30.0) if "depth" in options else table
        assert_allclose(join_environment(layer, env, block=7, **options)["x"], 1)
        times = pd.Series(source.reads).value_counts()
        assert len(times) == 24
        for (month, _, rows, _), count in times.items():
            # Every chunk once to tell sea from land, and those with samples (or their corners) once more.
            needed = month in [(2, 3), (3, 4)] and (rows == (9, 18) or "method" in options)
            assert count == 1 + needed


def test_float32_depth_and_zeros(ocean):
    env = flat(depth=np.array([0.49402499198913574, 9.5], dtype=np.float32))
    env["x"] = env["x"] * env["depth"]
    at = pd.DataFrame({"latitude": [0.0] * 4, "longitude": [0.0] * 4, "depth": [0.0, 0.494, 0.5, 9.5]})
    table = join_environment(at, env)
    assert_allclose(table["x"], [0.494025, 0.494025, 0.494025, 9.5], rtol=1e-6)
    assert_allclose(table["match_depth_m"], [0.494025, 2.5e-5, 5.975e-3, 0], atol=1e-6)
    assert (table["match_reason"] == "").all()
    strict = join_environment(at, env, max_depth_m=0)
    assert strict["x"].notna().tolist() == [False, False, False, True]


def test_max_depth_limits_the_offset():
    env = flat(depth=[0.0, 100.0])
    at = pd.DataFrame({"latitude": 0.0, "longitude": 0.0, "depth": [0.0, 10.0, 40.0, 60.0, 150.0, 151.0]})
    assert join_environment(at, env)["x"].notna().tolist() == [True] * 5 + [False]
    limited = join_environment(at, env, max_depth_m=10)
    assert limited["x"].notna().tolist() == [True, True, False, False, False, False]
    assert limited["match_reason"].iloc[2] == "beyond the levels of the grid"


def test_layer_mean_uses_true_bounds():
    """Levels at 2 and 20 m whose CF bounds are 0-4 and 4-36 m, not the 11 m midway."""
    env = flat(depth=[2.0, 20.0]).assign_coords(bounds=("edge", [0, 1]))
    env["x"] = env["x"] * env["depth"]
    at = pd.DataFrame({"latitude": [5.0], "longitude": [5.0], "depth_min": [0.0], "depth_max": [36.0]})
    midway = (2 * 11 + 20 * 18) / 29
    assert_allclose(join_environment(at, env.drop_vars("bounds"), depth="mean")["x"], midway)
    env["depth"].attrs["bounds"] = "depth_bounds"
    env["depth_bounds"] = (("depth", "edge"), [[0.0, 4.0], [4.0, 36.0]])
    table = join_environment(at, env.drop_vars("bounds"), depth="mean")
    assert_allclose(table["x"], (2 * 4 + 20 * 32) / 36)
    assert "depth_bounds" not in table


def test_layer_of_no_thickness_is_its_level():
    env = flat(depth=[5.0, 15.0, 25.0])
    env["x"] = env["x"] * env["depth"]
    at = pd.DataFrame({"latitude": 0.0, "longitude": 0.0, "depth_min": [0.0, 12.0], "depth_max": [0.0, 12.0]})
    assert_allclose(join_environment(at, env, depth="mean")["x"], [5, 15])


def test_layer_that_the_grid_does_not_reach_has_no_mean():
    env = flat(depth=[5.0, 15.0, 25.0])
    at = pd.DataFrame(
        {"latitude": 0.0, "longitude": 0.0, "depth_min": [0.0, 0, 50, 9, np.nan], "depth_max": [40.0, 200, 60, 3, 9]}
    )
    table = join_environment(at, env, depth="mean")
    assert table["x"].notna().tolist() == [True, False, False, False, False]
    assert table["match_reason"].tolist()[1:] == ["beyond the levels of the grid"] * 2 + ["no usable depth"] * 2
    assert_allclose(table["match_depth_m"], [5, np.nan, np.nan, np.nan, np.nan])
    assert join_environment(at, env, depth="mean", max_depth_m=170)["x"].notna().tolist()[:3] == [True, True, False]


@pytest.mark.parametrize("grid_unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("sample_unit", ["s", "ms", "us", "ns"])
def test_units_of_time_do_not_matter(grid_unit, sample_unit):
    dates = pd.date_range("2010-01-15", periods=12, freq="9D")
    env = flat(time=dates.as_unit(grid_unit))
    env["x"] = env["x"] * xr.DataArray(np.arange(12.0), dims="time")
    at = pd.DataFrame({"latitude": 0.0, "longitude": 0.0, "time": (dates + pd.Timedelta("3h")).as_unit(sample_unit)})
    table = join_environment(at, env, time="exact")
    assert table["x"].tolist() == list(range(12))
    assert_allclose(table["match_days"], 1 / 8)


def test_nearest_date_and_its_limit():
    env = flat(time=pd.to_datetime(["2010-01-01", "2010-01-11", "2010-03-01"]))
    env["x"] = env["x"] * xr.DataArray([0.0, 1, 2], dims="time")
    times = pd.to_datetime(["2009-12-30", "2010-01-07", "2010-02-03", "2010-03-18", None])
    at = pd.DataFrame({"latitude": 0.0, "longitude": 0.0, "time": times})
    table = join_environment(at, env, time="exact")
    assert_allclose(table["x"], [0, 1, np.nan, np.nan, np.nan])
    assert_allclose(table["match_days"], [2, 4, np.nan, np.nan, np.nan])
    assert table["match_reason"].tolist() == ["", "", *["no date within 16 days"] * 2, "time is missing"]
    assert_allclose(join_environment(at, env, time="exact", max_days=23)["x"], [0, 1, 1, 2, np.nan])


def test_zoned_times_are_taken_to_utc():
    env = flat(month=np.arange(1, 13))
    env["x"] = env["x"] * env["month"]
    new_york = pd.Series(pd.to_datetime(["2020-06-30 22:00", "2019-12-31 23:30"])).dt.tz_localize("America/New_York")
    at = pd.DataFrame({"latitude": 0.0, "longitude": 0.0, "time": new_york})
    assert join_environment(at, env)["x"].tolist() == [7, 1]


def test_month_column_and_months_the_grid_lacks():
    env = flat(month=np.array([1, 7]))
    env["x"] = env["x"] * env["month"]
    at = pd.DataFrame({"latitude": 0.0, "longitude": 0.0, "month": [7, 1, 3, np.nan]})
    table = join_environment(at, env)
    assert_allclose(table["x"], [7, 1, np.nan, np.nan])
    assert table["match_reason"].tolist() == ["", "", "month is not in the grid", "month is missing"]
    assert table["match_days"].isna().all()


def test_what_is_missing_is_never_borrowed():
    """Chlorophyll under polar ice stays missing beside a cell that has it, whichever the method."""
    env = flat(step=1.0).rename(x="temperature")
    env["temperature"] = env["temperature"].where(env["longitude"] > -170)
    env["chlorophyll"] = env["temperature"].where(env["latitude"] < 60)
    at = pd.DataFrame({"latitude": [60.2, 59.8], "longitude": [0.5, 0.5]})
    for method in ("nearest", "bilinear"):
        table = join_environment(at, env, method=method)
        assert table["chlorophyll"].notna().tolist() == [False, True]
        assert table["temperature"].tolist() == [1, 1]
        assert table["match_reason"].tolist() == ["no value of chlorophyll", ""]


def test_relief_on_land_neither_makes_sea_nor_mixes_in():
    env = flat(step=1.0)
    env["x"] = env["x"].where(env["longitude"] > 0)
    env["relief"] = xr.where(env["longitude"] > 0, -4000.0, 900.0) + 0 * env["latitude"]
    at = pd.DataFrame({"latitude": [0.5, 0.5, 0.5], "longitude": [0.1, -0.9, -2.0]})
    for method in ("nearest", "bilinear"):
        assert_array_equal(join_environment(at, env, method=method)["relief"], [-4000, -4000, np.nan])


def test_a_grid_without_gaps_is_sea_everywhere():
    at = pd.DataFrame({"latitude": [46.5], "longitude": [7.5]})
    assert join_environment(at, flat())["match_method"].tolist() == ["cell"]


def test_lakes_never_match_the_sea(ocean):
    at = pd.DataFrame({"latitude": [5.0, 5.0, 5.0], "longitude": 5.0, "water": ["lake", "sea", None]})
    table = join_environment(at, flat())
    assert table["match_reason"].tolist() == ["inland water", "", ""]
    assert table["x"].isna().tolist() == [True, False, False]
    with pytest.raises(SchemaError, match=r"'lakes'\. Did you mean 'lake'"):
        join_environment(at.assign(water="lakes"), flat())


def test_how_far_the_sea_may_be():
    env = flat(step=1.0)
    env["x"] = env["x"].where(env["longitude"] > 0)
    at = pd.DataFrame({"latitude": [0.5] * 3, "longitude": [-0.5, -0.99, -1.5]})  # 1, 1.49 and 2 cells from 0.5
    counts = [join_environment(at, env, max_cells=limit)["x"].notna().sum() for limit in (0, 1.01, 1.5, 2.1)]
    assert counts == [0, 1, 2, 3]


def test_outside_a_regional_grid_is_no_match():
    env = flat(step=1.0).sel(latitude=slice(30, 46), longitude=slice(-6, 36))
    at = pd.DataFrame({"latitude": [40.0, 29.0], "longitude": [-6.5, 0.0]})
    table = join_environment(at, env, max_cells=10)
    assert table["match_reason"].tolist() == ["outside the grid"] * 2
    assert table["x"].isna().all()


def test_times_that_do_not_fit_name_the_remedy(samples):
    place = pd.DataFrame({"latitude": [0.0], "longitude": [0.0]})
    monthly, dated = flat(month=np.arange(1, 13)), flat(time=pd.to_datetime(["2010-01-01", "2010-01-09"]))
    with pytest.raises(SchemaError, match=r"annual mean: env\.mean"):
        join_environment(place, monthly)
    with pytest.raises(SchemaError, match='Pass time="exact"'):
        join_environment(place.assign(time=pd.Timestamp("2010-01-02")), dated)
    with pytest.raises(SchemaError, match=r"no column 'time'\. Add it, or match with grids\.climatology"):
        join_environment(samples, dated)
    with pytest.raises(SchemaError, match='Pass time="month"'):
        join_environment(samples, monthly, time="exact")
    with pytest.raises(SchemaError, match=r"no column 'time'\. Add"):
        join_environment(place, dated, time="exact")
    with pytest.raises(SchemaError, match="to_datetime"):
        join_environment(place.assign(time="2010-01-01"), monthly)


def test_depths_that_do_not_fit_name_the_remedy(samples):
    with pytest.raises(SchemaError, match=r"'depth'\. Add it, pass depth=\"mean\""):
        join_environment(samples.drop(columns="depth"), flat(depth=[0.0, 10.0]))
    with pytest.raises(SchemaError, match=r"'depth_min'\. Add it, pass depth=\"nearest\""):
        join_environment(samples.drop(columns="depth_min"), flat(depth=[0.0, 10.0]), depth="mean")


def test_clashes_and_faulty_rows_are_refused(samples, ocean):
    with pytest.raises(SchemaError, match=r"'temperature'.*env\.drop_vars\('temperature'\)"):
        join_environment(samples.assign(temperature=1.0), ocean)
    with pytest.raises(SchemaError, match=r"'match_method'.*Drop or rename"):
        join_environment(samples.assign(match_method="cell"), ocean)
    for fault in ({"latitude": 91.0}, {"longitude": np.nan}, {"longitude": 200.0}, {"depth": -5.0}):
        with pytest.raises(SchemaError, match=next(iter(fault))):
            join_environment(samples.assign(**fault), ocean)


def test_odd_grids_are_refused_by_name(samples, ocean):
    with pytest.raises(SchemaError, match="'temperature' has the dimension member"):
        join_environment(samples, ocean.assign(temperature=ocean["temperature"].expand_dims(member=2)))
    with pytest.raises(SchemaError, match="'name' must be numbers"):
        join_environment(samples, ocean.assign(name=("latitude", np.full(18, "x"))))
    with pytest.raises(SchemaError, match="depth must ascend"):
        join_environment(samples, ocean.isel(depth=slice(None, None, -1)))
    with pytest.raises(SchemaError, match="depth must lie in"):
        join_environment(samples, ocean.assign_coords(depth=LEVELS - 100))
    with pytest.raises(SchemaError, match="same meridian twice"):
        join_environment(samples, ocean.assign_coords(longitude=np.linspace(-180, 180, 36)))


@pytest.mark.parametrize("option", [{"method": "linear"}, {"depth": "men"}, {"time": "date"}, {"block": 0}])
def test_unknown_options_are_refused(samples, ocean, option):
    with pytest.raises(ValueError, match=f"{next(iter(option))} must be"):
        join_environment(samples, ocean, **option)


def test_no_samples_give_an_empty_table(samples, ocean):
    for env, options in ((ocean, {}), (ocean.chunk(month=3), {"method": "bilinear", "depth": "mean"})):
        table = join_environment(samples.iloc[:0], env, **options)
        assert table.columns.tolist() == [*samples.columns, *ocean, *COLUMNS]
        assert table.empty


def test_index_series_without_place_is_joined_too(samples):
    env = flat(month=np.arange(1, 13))
    env["index"] = ("month", np.arange(12.0))
    at = pd.DataFrame({"latitude": [0.0], "longitude": [0.0], "month": [4]})
    assert join_environment(at, env)["index"].item() == 3


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [None, {"month": 1, "depth": 10}])
@pytest.mark.parametrize("options", [{}, {"method": "bilinear"}, {"depth": "mean"}])
def test_a_million_samples_in_bounded_memory(chunks, options):
    rng = np.random.default_rng(0)
    env = flat(step=1.0, month=np.arange(1, 13), depth=np.arange(0, 1000, 20.0)).astype(np.float32)
    env = env.where(env["longitude"] > -120).chunk(chunks) if chunks else env.where(env["longitude"] > -120)
    n = 1_000_000
    table = pd.DataFrame({"latitude": rng.uniform(-90, 90, n), "longitude": rng.uniform(-180, 180, n)})
    table = table.assign(depth=rng.uniform(0, 880, n), month=rng.integers(1, 13, n))
    table = table.assign(depth_min=table["depth"], depth_max=table["depth"] + 100)
    tracemalloc.start()
    joined = join_environment(table, env, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400e6
    assert_array_equal(joined["x"].notna(), joined["match_method"] != "none")
