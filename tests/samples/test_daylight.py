"""The sun over samples, by what almanacs and geometry say."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from aqqua_science.samples.daylight import join_sun
from aqqua_science.schema import SchemaError


def sample(latitude, longitude, time):
    return pd.DataFrame({"latitude": [latitude], "longitude": [longitude], "time": pd.to_datetime([time])})


def elevation(*where_and_when):
    return join_sun(sample(*where_and_when))["solar_elevation"].item()


@pytest.mark.parametrize(
    ("where", "when", "degrees"),
    [
        # The equinox of 2024 is on 20 March at 03:06 UTC; the equation of time is then -7.4 minutes.
        ((0.0, 0.0), "2024-03-20T12:07:24", 90.0),
        ((0.0, 180.0), "2024-03-20T12:07:24", -90.0),
        ((0.0, 0.0), "2024-03-20T00:07:24", -90.0),
        ((0.0, 90.0), "2024-03-20T12:07:24", 0.0),
        ((60.0, 0.0), "2024-03-20T12:07:24", 30.0),
        # The solstice is on 20 June at 20:51 UTC: noon at the Tropic of Cancer is then at 132.3 degrees west.
        ((23.44, -132.3), "2024-06-20T20:51", 90.0),
        ((90.0, 17.0), "2024-06-20T20:51", 23.44),
        ((-90.0, 17.0), "2024-06-20T20:51", -23.44),
        ((66.56, 47.7), "2024-06-20T20:51", 0.0),
        # The solstice of December is on the 21st at 09:21 UTC.
        ((-90.0, 0.0), "2024-12-21T09:21", 23.44),
    ],
)
def test_the_almanac(where, when, degrees):
    assert_allclose(elevation(*where, when), degrees, atol=0.2)


@given(
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 0),
    time=st.datetimes(pd.Timestamp("1960-01-01T00:01"), pd.Timestamp("2040-01-01")),
)
def test_at_the_antipode_the_sun_stands_as_far_below(latitude, longitude, time):
    time = pd.Timestamp(time) + pd.Timedelta("1us")
    assert_allclose(elevation(latitude, longitude, time), -elevation(-latitude, longitude + 180, time), atol=1e-6)


def test_without_a_time_of_day_there_is_no_sun():
    times = pd.to_datetime(["2020-05-01T00:00:00", None, "2020-05-01T00:00:01"])
    table = join_sun(pd.DataFrame({"latitude": 10.0, "longitude": 20.0, "time": times}, index=[7, 5, 6]))
    assert table["solar_elevation"].notna().tolist() == [False, False, True]
    assert table["solar_reason"].tolist() == ["time has a date but no time of day", "time is missing", ""]
    known = join_sun(table[["latitude", "longitude", "time"]], midnight_is_known=True)
    assert known["solar_elevation"].notna().tolist() == [True, False, True]
    assert known["solar_reason"].tolist() == ["", "time is missing", ""]


def test_midnight_is_that_of_the_clock_and_noon_that_of_utc():
    local = sample(0.0, 0.0, "2024-03-20T00:00")
    local["time"] = local["time"].dt.tz_localize("Asia/Tokyo")
    assert join_sun(local)["solar_elevation"].isna().item()
    noon = sample(0.0, 0.0, "2024-03-20T12:07:24")
    zoned = noon.assign(time=noon["time"].dt.tz_localize("UTC").dt.tz_convert("America/New_York"))
    assert_allclose(join_sun(zoned)["solar_elevation"], join_sun(noon)["solar_elevation"], rtol=1e-12)


def test_what_is_wrong_is_named():
    with pytest.raises(SchemaError, match="no column 'time'"):
        join_sun(pd.DataFrame({"latitude": [0.0], "longitude": [0.0]}))
    with pytest.raises(SchemaError, match="latitude 95"):
        join_sun(sample(95.0, 0.0, "2020-01-01T12:00"))
    with pytest.raises(SchemaError, match="to_datetime"):
        join_sun(sample(5.0, 0.0, "2020-01-01").assign(time="yesterday"))
    with pytest.raises(SchemaError, match="'solar_elevation', which would be overwritten"):
        join_sun(sample(5.0, 0.0, "2020-01-01").assign(solar_elevation=np.nan))


def test_zones_whose_summer_leaves_midnight_out():
    """Cairo's clocks went from 23:59 to 01:00 on the 28th of April 2023."""
    times = pd.Series(pd.to_datetime(["2023-04-28T12:00", "2023-04-29T00:00"])).dt.tz_localize("Africa/Cairo")
    table = join_sun(pd.DataFrame({"latitude": 30.0, "longitude": 31.0, "time": times}))
    assert table["solar_elevation"].notna().tolist() == [True, False]
