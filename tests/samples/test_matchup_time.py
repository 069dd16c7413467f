"""Samples meet dated grids: the month or composite that contains them, means of windows, and a climatology behind."""

import dask.array
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.grids import climatology, open_environment, regular_grid
from aqqua_science.samples import join_environment
from aqqua_science.samples.steps import step_bounds
from aqqua_science.schema import SchemaError

LAYOUT = ("time", "latitude", "longitude")


def dated(dates, values=None, **coords):
    """A sea that is everywhere the number of its step."""
    grid, dates = regular_grid(30.0), pd.DatetimeIndex(dates)
    values = np.arange(len(dates), dtype=float) if values is None else np.asarray(values, float)
    cells = values[:, None, None] * np.ones((len(dates), 6, 12))
    return xr.Dataset({"x": (LAYOUT, cells)}, coords=grid.coords | {"time": dates} | coords)


def with_bounds(env, start, end):
    sides = np.stack([pd.DatetimeIndex(start), pd.DatetimeIndex(end)], axis=1).astype("datetime64[ns]")
    env = env.assign_coords(time_bnds=(("time", "side"), sides))
    env["time"].attrs["bounds"] = "time_bnds"
    return env


def at(*times):
    return pd.DataFrame({"latitude": 5.0, "longitude": 5.0, "time": pd.to_datetime(list(times), format="ISO8601")})


MONTHS = pd.date_range("1999-01-01", "2004-12-01", freq="MS")


@settings(max_examples=30)
@given(
    moments=st.lists(
        st.datetimes(pd.Timestamp("1999-01-01"), pd.Timestamp("2004-12-31T23:59")), min_size=1, max_size=9
    ),
    stamp=st.sampled_from(["start", "middle", "end"]),
)
def test_the_month_is_that_of_the_calendar_wherever_its_date_stands(moments, stamp):
    dates = {"start": MONTHS, "middle": MONTHS + pd.Timedelta("14.5D"), "end": MONTHS + pd.offsets.MonthEnd(0)}[stamp]
    table = join_environment(at(*moments), dated(dates))
    assert table["x"].tolist() == [(m.year - 1999) * 12 + m.month - 1 for m in moments]
    assert set(table["match_time"]) == {"month"}
    assert (table["match_days"] <= 15.5).all()
    same = join_environment(at(*moments), dated(dates), time="exact")
    assert_array_equal(same["x"], table["x"])


def test_the_last_second_of_a_leap_february_is_its_own():
    table = join_environment(at("2000-02-29T23:59:59", "2000-03-01", "2001-02-28T23:59:59"), dated(MONTHS))
    assert table["x"].tolist() == [13, 14, 25]


def test_a_month_that_the_series_lacks_is_not_borrowed():
    env = dated(MONTHS[[0, 1, 2, 4, 5, 6]])
    table = join_environment(at("1999-04-01", "1999-04-30", "1999-05-01", "2005-01-01"), env)
    assert_array_equal(table["x"], [np.nan, np.nan, 3, np.nan])
    assert table["match_reason"].tolist() == ["no date in this month"] * 2 + ["", "no date in this month"]
    assert table["match_time"].tolist() == ["", "", "month", ""]
    near = join_environment(at("1999-04-01", "1999-04-30"), env, time="exact", max_days=17)
    assert near["x"].tolist() == [2, 3]
    assert set(near["match_time"]) == {"nearest date"}


def test_one_date_alone_is_its_month_where_months_are_asked_for():
    assert_array_equal(join_environment(at("1999-01-31", "1999-02-01"), dated(["1999-01-16"]))["x"], [0, np.nan])


def test_the_day_that_contains_the_sample_not_the_nearest_midnight():
    for hour in ("00:00", "12:00"):
        env = dated(pd.date_range(f"2020-02-27T{hour}", periods=5, freq="D"))
        table = join_environment(at("2020-02-27T18:00", "2020-02-29T23:59", "2020-03-01T00:00"), env, time="exact")
        assert table["x"].tolist() == [0, 2, 3]
        assert set(table["match_time"]) == {"composite"}
        assert_allclose(table["match_days"], [0.25, 0.5 - 1 / 1440, 0.5])


def eight_days(year):
    """The 8-day composites of ocean colour: 46 a year, the last one of five or six days."""
    start = pd.date_range(f"{year}-01-01", f"{year}-12-31", freq="8D")
    return start, start[1:].append(pd.DatetimeIndex([f"{year + 1}-01-01"]))


@pytest.mark.parametrize("year", [2019, 2020])
def test_every_day_of_a_year_lies_in_one_composite(year):
    start, end = eight_days(year)
    noon = pd.date_range(f"{year}-01-01T12:00", f"{year}-12-31T12:00", freq="D")
    table = join_environment(at(*noon), with_bounds(dated(start), start, end), time="exact", max_days=0)
    assert_array_equal(table["x"], (noon.day_of_year - 1) // 8)
    assert table["match_days"].max() == 3.5
    assert set(table["match_time"]) == {"composite"}


def test_bounds_may_stand_in_the_encoding_or_among_the_variables():
    start, end = eight_days(2020)
    env = with_bounds(dated(start), start, end)
    sample, expected = at("2020-01-07"), 0
    decoded = env.copy()
    decoded["time"].encoding["bounds"] = decoded["time"].attrs.pop("bounds")
    for grid in (env, env.reset_coords("time_bnds"), decoded):
        assert join_environment(sample, grid, time="exact")["x"].item() == expected
    assert join_environment(sample, dated(start), time="exact")["x"].item() == 1, "without bounds: the nearest date"


def test_outside_all_composites_the_nearest_middle_within_the_window():
    start = pd.to_datetime(["2020-01-01", "2020-02-10"])
    env = with_bounds(dated(start), start, start + pd.Timedelta("8D"))
    times = at("2020-01-09", "2020-01-25", "2020-02-09")
    table = join_environment(times, env, time="exact", max_days=6)
    assert_array_equal(table["x"], [0, np.nan, 1])
    assert_allclose(table["match_days"], [4, np.nan, 5])
    assert table["match_time"].tolist() == ["nearest date", "", "nearest date"]
    assert table["match_reason"].tolist() == ["", "no date within 6 days", ""]


def test_of_overlapping_running_means_the_one_with_the_nearest_middle():
    day = pd.date_range("2020-01-15", periods=20, freq="D")
    env = with_bounds(dated(day), day - pd.Timedelta("15D"), day + pd.Timedelta("15D"))
    assert join_environment(at("2020-01-20T06:00"), env, time="exact")["x"].item() == 5


def test_between_months_of_unequal_length_the_containing_one_wins_over_the_nearer():
    env = dated(["2021-02-01", "2021-03-01"])
    table = join_environment(
        at("2021-03-01T00:00"), env, time="exact"
    )  # 15 days from mid-February, 15.5 from mid-March
    assert table["x"].item() == 1


def slow_window(env, moment, days, start, end):
    """The numbers of the steps that a sample takes, one by one."""
    taken = []
    for step, (begin, finish) in enumerate(zip(start, end, strict=True)):
        middle = begin + (finish - begin) / 2
        if begin <= moment < finish or abs(moment - middle) <= pd.Timedelta(days=days):
            taken.append(step)
    values = env["x"].values[taken, 3, 6]
    return values[~np.isnan(values)], taken


@settings(max_examples=40)
@given(
    moment=st.datetimes(pd.Timestamp("2019-11-01"), pd.Timestamp("2021-02-01")),
    days=st.sampled_from([0.0, 3.0, 8.0, 20.5, 500.0]),
    seed=st.integers(0, 99),
)
def test_window_means_equal_a_loop(moment, days, seed):
    rng = np.random.default_rng(seed)
    start, end = eight_days(2020)
    values = np.where(rng.random(46) < 0.4, np.nan, rng.normal(280, 1, 46))
    env = with_bounds(dated(start, values), start, end)
    table = join_environment(at(moment), env, time="window", max_days=days)
    expected, taken = slow_window(env, pd.Timestamp(moment), days, start, end)
    assert table["x_count"].item() == len(expected)
    assert_allclose(table["x"].item(), expected.mean() if len(expected) else np.nan, rtol=1e-12)
    assert_allclose(table["x_sd"].item(), expected.std(ddof=1) if len(expected) > 1 else np.nan, rtol=1e-9, atol=1e-12)
    assert table["match_time"].item() == ("window mean" if taken else "")
    reason = "" if len(expected) else "no value of x" if taken else f"no date within {days:g} days"
    assert table["match_reason"].item() == reason


def random_world(n_steps=30, gaps=0.5, seed=0):
    rng = np.random.default_rng(seed)
    grid, dates = regular_grid(10.0), pd.date_range("2020-01-01", periods=n_steps, freq="5D")
    values = rng.normal(10, 3, (n_steps, 18, 36))
    values[rng.random(values.shape) < gaps] = np.nan
    land = rng.random((18, 36)) < 0.3
    values[:, land] = np.nan
    coords = grid.coords | {"time": dates}
    env = xr.Dataset({"x": (LAYOUT, values), "y": ("time", rng.normal(0, 1, n_steps))}, coords=coords)
    return env, xr.DataArray(land, {name: grid[name] for name in ("latitude", "longitude")}, ("latitude", "longitude"))


def survey(n=200, seed=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "latitude": np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
            "longitude": rng.uniform(-180, 180, n),
            "time": pd.Timestamp("2020-01-05") + pd.to_timedelta(rng.uniform(-30, 170, n), "D"),
        },
        index=rng.permutation(n),
    )


OPTIONS = [{"time": "exact"}, {"time": "window", "max_days": 12}, {"time": "window", "max_days": 12, "radius_km": 1500}]


@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**32 - 1),
    block=st.integers(1, 400),
    sizes=st.tuples(st.integers(1, 30), st.integers(5, 18), st.integers(10, 36)),
    options=st.sampled_from(OPTIONS),
)
def test_row_order_blocks_and_chunks_do_not_matter(seed, block, sizes, options):
    env, _ = random_world()
    samples = survey()
    expected = join_environment(samples, env, **options)
    chunked = env.chunk(dict(zip(LAYOUT, sizes, strict=True)))
    shuffled = samples.sample(frac=1, random_state=seed)
    table = join_environment(shuffled, chunked, block=block, **options)
    pd.testing.assert_frame_equal(table.loc[samples.index], expected, rtol=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
def test_whole_turns_and_other_rows_do_not_matter(options):
    env, _ = random_world()
    samples = survey()
    expected = join_environment(samples, env, **options)
    east = env.assign_coords(longitude=env["longitude"] % 360).sortby("longitude")
    back = east.assign_coords(longitude=(east["longitude"] + 180) % 360 - 180).sortby("longitude")
    pd.testing.assert_frame_equal(join_environment(samples, back, **options), expected)
    alone = pd.concat([join_environment(samples.iloc[i : i + 40], env, **options) for i in range(0, 200, 40)])
    pd.testing.assert_frame_equal(alone, expected, rtol=1e-12)


def test_a_climatology_fills_what_the_series_lacks_and_says_so():
    env, _ = random_world(gaps=0.8)
    normals = climatology(env)
    normals["x"] = normals["x"] + 1000
    samples = survey()
    plain = join_environment(samples, env, time="exact")
    table = join_environment(samples, env, time="exact", climatology=normals[["x"]])
    missing, place = plain["x"].isna(), plain["match_method"] != "none"
    by_month = join_environment(samples, normals[["x"]], time="month")
    fills = missing & place & by_month["x"].notna()
    assert fills.sum() > 20
    assert_array_equal(table["x_climatology"], fills)
    assert_array_equal(table["x"], plain["x"].where(~fills, by_month["x"]))
    pd.testing.assert_series_equal(table["match_method"], plain["match_method"])
    undated = plain["match_time"] == ""
    assert undated.any()
    assert_array_equal(table["match_time"] == "climatology", undated & fills)
    # y has no climatology: where the series has no date, the reason stays.
    assert_array_equal(table["match_reason"] == "", table[["x", "y"]].notna().all(axis=1))


def test_a_climatology_serves_samples_of_which_only_the_month_is_known():
    env = dated(MONTHS)
    table = join_environment(at(None).assign(month=3), env, climatology=climatology(env)[["x"]])
    assert table["x"].item() == np.mean(np.arange(2, 72, 12))
    assert table[["match_time", "match_reason"]].iloc[0].tolist() == ["climatology", ""]


def test_a_climatology_on_other_cells_beside_means():
    env, _ = random_world(gaps=0.99)
    grid = regular_grid(30.0)
    normal = xr.DataArray(np.full((12, 6, 12), 7.0), {"month": np.arange(1, 13), **grid.coords}, ("month", *LAYOUT[1:]))
    table = join_environment(survey(), env[["x"]], climatology=normal.to_dataset(name="x"), **OPTIONS[1])
    filled = table["x_climatology"]
    assert (table.loc[filled, "x"] == 7).all()
    assert filled.sum() > 20
    assert_array_equal(table["x_count"] > 0, table["x"].notna() & ~filled)


class Reads:
    """An array that notes which dates are read of it."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.ndim, self.dates = values, values.shape, values.dtype, 3, []

    def __getitem__(self, key):
        self.dates.append(key[0].start)
        return self.values[key]


@pytest.mark.parametrize("options", OPTIONS)
def test_with_land_given_only_the_dates_of_samples_are_read_each_once(options):
    env, land = random_world(gaps=0.0)
    source = Reads(env["x"].values)
    lazy = xr.Dataset({"x": (LAYOUT, dask.array.from_array(source, chunks=(1, 18, 36), meta=np.empty(0)))}, env.coords)
    samples = survey().assign(time=pd.Timestamp("2020-03-01T12:00"))
    table = join_environment(samples, lazy, land=land, block=50, **options)
    expected = join_environment(samples, env[["x"]], **options)
    pd.testing.assert_frame_equal(table, expected)
    steps = step_bounds(env)[0]
    near = np.abs(steps - np.datetime64("2020-03-01T12:00")) <= np.timedelta64(12, "D")
    assert sorted(source.dates) == (np.flatnonzero(near).tolist() if "max_days" in options else [12])


def test_land_is_told_also_where_the_grid_has_values():
    env, land = random_world(gaps=0.0)
    env["x"] = env["x"].fillna(0.0)
    table = join_environment(survey(), env[["x"]], land=land, time="exact")
    assert {"cell", "nearest sea cell"} <= set(table["match_method"])
    for wrong in (land.isel(latitude=slice(1, None)), land.astype(int), land.rename(longitude="x")):
        with pytest.raises(SchemaError, match=r"grids\.land_mask\(env\)"):
            join_environment(survey(), env[["x"]], land=wrong, time="exact")


def test_what_does_not_go_together_is_refused():
    env, normals = dated(MONTHS), climatology(dated(MONTHS))
    sample = at("2000-01-01")
    with pytest.raises(ValueError, match="max_days must be 0 or more"):
        join_environment(sample, env, time="exact", max_days=-1)
    with pytest.raises(ValueError, match="Leave one of them out"):
        join_environment(sample, env, time="window", method="bilinear")
    with pytest.raises(ValueError, match="env has none"):
        join_environment(sample, normals, climatology=normals)
    with pytest.raises(SchemaError, match=r"climatology must have one of 'x'.*grids\.climatology\(series\)"):
        join_environment(sample, env, climatology=env)
    with pytest.raises(SchemaError, match='"window" needs dates'):
        join_environment(sample, normals, time="window")
    with pytest.raises(SchemaError, match="'x_count', which would be overwritten"):
        join_environment(sample, env.assign(x_count=env["x"]), time="window")
    with pytest.raises(SchemaError, match="'x_climatology'"):
        join_environment(sample.assign(x_climatology=1), env, climatology=normals)


def test_dates_that_are_none_and_crossed_bounds_are_refused():
    env = dated(MONTHS)
    noleap = env.assign_coords(time=xr.date_range("1999-01-01", periods=72, freq="MS", calendar="noleap"))
    with pytest.raises(SchemaError, match="open_environment reads every calendar"):
        join_environment(at("2000-01-01"), noleap)
    with pytest.raises(SchemaError, match="env's time is empty"):
        join_environment(at("2000-01-01"), env.isel(time=[]), time="exact")
    with pytest.raises(SchemaError, match="bounds of env's time must ascend"):
        join_environment(at("2000-01-01"), with_bounds(env, MONTHS + pd.Timedelta("1D"), MONTHS), time="exact")


def test_composites_of_a_file_hold_the_days_that_its_bounds_say(tmp_path):
    """The date of a composite is where it begins: without its bounds the nearest date would be the next one's."""
    days = np.array([0, 8, 16])
    values = days[:, None, None] * np.ones((1, 3, 4))
    raw = xr.Dataset(
        {"chl": (("time", "lat", "lon"), values), "time_bnds": (("time", "nv"), days[:, None] + [0, 8])},
        {
            "time": ("time", days, {"units": "days since 2020-01-01", "bounds": "time_bnds"}),
            "lat": [-60.0, 0.0, 60.0],
            "lon": [-135.0, -45.0, 45.0, 135.0],
        },
    )
    raw.to_netcdf(tmp_path / "chl.nc")
    samples = pd.DataFrame({"latitude": 0.0, "longitude": -45.0, "time": pd.to_datetime(["2020-01-08", "2020-01-24"])})
    found = join_environment(samples, open_environment(tmp_path / "chl.nc"), time="exact")
    assert found["chl"].tolist() == [0.0, 16.0]
    assert set(found["match_time"]) == {"composite"}


def test_a_reason_is_given_where_a_value_is_missing_and_nowhere_else():
    """Below its own cell's floor a sample may still have the mean of deeper cells around it."""
    grid = regular_grid(1.0, region=(0, 10, 0, 10)).assign_coords(depth=[5.0, 50.0])
    field = (grid["depth"] + 0 * grid["latitude"] + 0 * grid["longitude"]).rename("temperature")
    shallow = (field["latitude"] == 5.5) & (field["longitude"] == 5.5) & (field["depth"] > 10)
    env = field.where(~shallow).to_dataset()
    samples = pd.DataFrame({"latitude": [5.5, 5.5], "longitude": [5.5, 5.5], "depth": [50.0, 5.0]})
    around, own = join_environment(samples, env, radius_km=200), join_environment(samples, env)
    assert around["temperature"].tolist() == [50.0, 5.0]
    assert around["match_reason"].tolist() == ["", ""]
    assert own["temperature"].isna().tolist() == [True, False]
    assert (own["match_reason"] != "").tolist() == [True, False]


def test_bounds_of_the_levels_of_a_climatology_count():
    """A mean over a layer by the bounds that the climatology gives, not by the middles between its levels."""
    time = pd.to_datetime(["2000-01-15", "2000-02-15"])
    grid = regular_grid(30.0)
    shape = (2, 2, *grid.sizes.values())
    coords = {"time": time, "depth": [5.0, 50.0]} | {name: grid[name].values for name in grid.sizes}
    env = xr.DataArray(np.ones(shape), coords, name="oxygen").to_dataset()
    env["oxygen"][1] = np.nan
    normals = xr.DataArray(
        np.ones((12, *shape[1:])) * [[[[1.0]], [[3.0]]]],
        name="oxygen",
        coords={
            "month": np.arange(1, 13),
            **{key: coords[key] for key in list(coords)[1:]},
        },
        dims=("month", *list(coords)[1:]),
    ).to_dataset()
    normals = normals.assign_coords(depth_bounds=(("depth", "side"), [[0.0, 20.0], [20.0, 60.0]]))
    normals["depth"].attrs["bounds"] = "depth_bounds"
    samples = pd.DataFrame({"latitude": 15.0, "longitude": 15.0, "depth_min": 0.0, "depth_max": 40.0, "time": time})
    found = join_environment(samples, env, depth="mean", climatology=normals)
    assert_allclose(found["oxygen"], [1.0, 2.0])
    assert found["oxygen_climatology"].tolist() == [False, True]
    whole = join_environment(samples[:1], env, depth="mean", climatology=normals)
    assert whole["oxygen_climatology"].tolist() == [False]
