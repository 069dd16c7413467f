"""Samples meet the records of their station, against a loop over samples and records."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from aqqua_science.samples.stations import join_series
from aqqua_science.schema import SchemaError

LAKES = {"Erken": (59.84, 18.63), "Balaton": (46.83, 17.73), "Tahoe": (39.10, -120.03)}
START = pd.Timestamp("2020-06-01")


def buoys(rng, n=60):
    """Records of three lakes at odd times, some values missing."""
    names = rng.choice(list(LAKES), n)
    hours = rng.choice(24 * 90, n, replace=False)
    return pd.DataFrame(
        {
            "station": names,
            "time": START + pd.to_timedelta(hours, "h"),
            "latitude": [LAKES[name][0] for name in names],
            "longitude": [LAKES[name][1] for name in names],
            "temperature": np.where(rng.random(n) < 0.3, np.nan, rng.normal(15, 3, n)),
            "chlorophyll": np.where(rng.random(n) < 0.6, np.nan, rng.lognormal(1, 1, n)),
            "quality": "good",
        }
    )


def hauls(rng, n=40):
    names = rng.choice([*LAKES, "Baikal"], n)
    minutes = rng.integers(0, 24 * 60 * 100, n) + 0.37  # never just between two records
    places = LAKES | {"Baikal": (53.5, 108.2)}
    return pd.DataFrame(
        {
            "station": names,
            "time": START + pd.to_timedelta(minutes, "min"),
            "latitude": [places[name][0] + 0.01 for name in names],
            "longitude": [places[name][1] for name in names],
            "water": "lake",
        },
        index=rng.permutation(n) + 100,
    )


def slow_value(sample, series, name, max_days):
    """The nearest known value, and how many days off."""
    best = (np.nan, np.nan)
    for _, record in series.iterrows():
        days = abs((record["time"] - sample["time"]) / pd.Timedelta(days=1))
        if record["station"] == sample["station"] and not np.isnan(record[name]) and days <= max_days:
            best = (record[name], days) if not days >= best[1] else best
    return best


@settings(max_examples=10)
@given(seed=st.integers(0, 999), max_days=st.sampled_from([0.5, 3.0, 1000.0]), named=st.booleans())
def test_by_name_and_by_place_equal_a_loop(seed, max_days, named):
    rng = np.random.default_rng(seed)
    series, samples = buoys(rng), hauls(rng)
    given_ = series if named else series.drop(columns="station")
    table = join_series(samples, given_.sample(frac=1, random_state=seed), max_days=max_days)
    pd.testing.assert_frame_equal(table[samples.columns], samples)
    for name in ("temperature", "chlorophyll"):
        expected = [slow_value(sample, series, name, max_days)[0] for _, sample in samples.iterrows()]
        assert_allclose(table[name], expected)
    off = [
        [slow_value(s, series, n, max_days)[1] for n in ("temperature", "chlorophyll")] for _, s in samples.iterrows()
    ]
    assert_allclose(table["match_days"], np.fmax(*np.transpose(off)))
    whole = table[["temperature", "chlorophyll"]].notna().all(axis=1)
    assert ((table["match_reason"] == "") == whole).all()
    at_home = table["station"] != "Baikal"
    assert_allclose(table.loc[at_home, "match_distance_km"], 0.01 * 111.195, rtol=1e-3)
    lost = "no station of this name" if named else "no station within 5 km"
    assert (table.loc[~at_home, "match_reason"] == lost).all()


def test_samples_with_names_and_series_without_meet_by_place_and_keep_their_names():
    series = buoys(np.random.default_rng(0))
    samples = hauls(np.random.default_rng(1)).drop(columns="station")
    table = join_series(samples, series)
    assert set(table["match_station"].dropna()) == set(LAKES)
    assert table.loc[table["match_station"] == "Tahoe", "latitude"].round().eq(39).all()


def test_a_buoy_that_swings_over_the_date_line_stands_in_its_middle():
    time = pd.date_range("2020-01-01", periods=2, freq="D")
    series = pd.DataFrame(
        {"station": "S", "time": time, "latitude": 0.0, "longitude": [179.99, -179.99], "t": [1.0, 2]}
    )
    sample = pd.DataFrame({"time": time[:1], "latitude": [0.0], "longitude": [180.0]})
    table = join_series(sample, series, max_km=0.01)
    assert table["t"].item() == 1
    assert table["match_distance_km"].item() < 1e-6


def test_names_alone_are_enough_and_another_column_may_hold_them():
    time = pd.to_datetime(["2020-01-01T06:00"])
    series = pd.DataFrame({"lake": [3, 4], "time": time.repeat(2), "ph": [7.0, 8.0], "depth": 1.0})
    table = join_series(pd.DataFrame({"lake": [4, 5], "time": time.repeat(2)}), series, station="lake")
    assert table["ph"].tolist()[:1] == [8.0]
    assert table["match_distance_km"].isna().all()
    assert table["match_reason"].tolist() == ["", "no station of this name"]
    assert "depth" not in table


def test_zones_missing_times_and_empty_tables():
    series = pd.DataFrame({"station": "S", "time": pd.to_datetime(["2020-01-01T12:00"]), "t": [1.0]})
    tokyo = pd.Series(pd.to_datetime(["2020-01-01T21:00", None])).dt.tz_localize("Asia/Tokyo")
    table = join_series(pd.DataFrame({"station": "S", "time": tokyo}), series)
    assert table["match_days"].iloc[0] == 0
    assert table["match_reason"].tolist() == ["", "time is missing"]
    assert join_series(table[["station", "time"]].iloc[:0], series).empty
    assert join_series(table[["station", "time"]], series.iloc[:0])["t"].isna().all()


def test_what_is_wrong_is_named():
    rng = np.random.default_rng(0)
    series, samples = buoys(rng), hauls(rng)
    with pytest.raises(SchemaError, match="the table of records has no column 'latitude'"):
        join_series(samples.drop(columns="station"), series.drop(columns="latitude"))
    with pytest.raises(SchemaError, match="no numeric column of values"):
        join_series(samples, series.drop(columns=["temperature", "chlorophyll"]))
    with pytest.raises(SchemaError, match="already have a column 'temperature'"):
        join_series(samples.assign(temperature=1.0), series)
    with pytest.raises(SchemaError, match="station is missing in 1 of 60"):
        join_series(samples, series.assign(station=[None, *series["station"][1:]]))
    doubled = pd.concat([series.dropna().iloc[:1], series])
    with pytest.raises(SchemaError, match=r"one temperature at a time; 1 records are more.*Choose one depth"):
        join_series(samples, doubled)


def test_a_record_without_position_leaves_the_others_their_middle():
    series = pd.DataFrame({"station": "A", "time": pd.date_range("2020-01-01", periods=3), "oxygen": 1.0})
    series = series.assign(latitude=[10.0, np.nan, 10.0], longitude=[20.0, np.nan, 20.0])
    samples = pd.DataFrame(
        {"station": ["A"], "time": [pd.Timestamp("2020-01-01")], "latitude": 10.0, "longitude": 20.0}
    )
    assert_allclose(join_series(samples, series)["match_distance_km"], 0, atol=1e-6)


def test_numbers_are_names_too_and_lengths_of_time_no_values():
    series = pd.DataFrame({"station": [7, 8], "time": pd.Timestamp("2020-01-01"), "oxygen": [1.0, 2.0]})
    series["since"] = pd.Timedelta(days=1)
    joined = join_series(pd.DataFrame({"station": [8, 9], "time": pd.Timestamp("2020-01-01")}), series)
    assert "since" not in joined
    assert joined["match_station"][0] == 8
    assert joined["match_station"].dtype == "Int64"


def test_the_remedy_for_doubled_records_works():
    series = pd.DataFrame({"buoy": "A", "time": pd.Timestamp("2020-01-01"), "oxygen": [1.0, 3.0], "crew": "we"})
    samples = pd.DataFrame({"buoy": ["A"], "time": [pd.Timestamp("2020-01-01")]})
    with pytest.raises(SchemaError) as told:
        join_series(samples, series, station="buoy")
    assert "series.groupby(['buoy', 'time'], as_index=False).mean(numeric_only=True)" in str(told.value)
    once = series.groupby(["buoy", "time"], as_index=False).mean(numeric_only=True)
    assert join_series(samples, once, station="buoy")["oxygen"].tolist() == [2.0]


@pytest.mark.parametrize("max_days", [-1, np.nan])
def test_no_reach_in_time_is_refused(max_days):
    table = pd.DataFrame({"station": ["A"], "time": [pd.Timestamp("2020-01-01")]})
    with pytest.raises(ValueError, match="max_days must be 0 or more"):
        join_series(table, table.assign(oxygen=1.0), max_days=max_days)
