"""The sun, against published almanacs, another model of the length of the day, and integrals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad

from aqqua_science.grids.sunlight import day_length, mean_solar_elevation, solar_elevation, sun_position

YEAR = pd.date_range("2023-01-01T12:00", periods=365).to_numpy()


@pytest.mark.parametrize(
    ("time", "declination"),
    [
        ("2024-03-20T03:06", 0),
        ("2024-06-20T20:51", 23.44),
        ("2024-09-22T12:44", 0),
        ("2024-12-21T09:20", -23.44),
        ("2000-06-21T01:48", 23.44),
        ("1990-12-22T03:07", -23.44),
    ],
)
def test_equinoxes_and_solstices_fall_when_the_almanac_says(time, declination):
    assert_allclose(sun_position(np.datetime64(time))[0], declination, atol=0.01)


@pytest.mark.parametrize(
    ("time", "minutes"), [("2023-02-11", -14.2), ("2023-04-15", 0), ("2023-07-26", -6.5), ("2023-11-03", 16.4)]
)
def test_the_equation_of_time_has_its_known_extremes(time, minutes):
    """How far the sundial is before the clock at noon in Greenwich; four minutes to a degree."""
    assert_allclose(4 * sun_position(np.datetime64(f"{time}T12:00"))[1], minutes, atol=0.15)


def forsythe(latitude, day):
    """Day length of Forsythe et al. 1995 (their CBM model), p = 0.8333 degrees."""
    theta = 0.2163108 + 2 * np.arctan(0.9671396 * np.tan(0.00860 * (day - 186)))
    phi = np.arcsin(0.39795 * np.cos(theta))
    rise = np.sin(np.radians(0.8333)) + np.sin(np.radians(latitude)) * np.sin(phi)
    reach = rise / (np.cos(np.radians(latitude)) * np.cos(phi))
    return 24 - 24 / np.pi * np.arccos(np.clip(reach, -1, 1))


@pytest.mark.parametrize("latitude", [-60, -35, 0, 20, 45, 60])
def test_days_are_as_long_as_another_model_has_them(latitude):
    assert_allclose(day_length(latitude, YEAR), forsythe(latitude, np.arange(1, 366)), atol=0.1)


def test_the_equator_and_the_poles():
    assert_allclose(day_length(0.0, YEAR), 12.12, atol=0.02)
    june, december = np.datetime64("2024-06-20T12:00"), np.datetime64("2024-12-21T12:00")
    assert day_length([90.0, 70.0, -70.0, -90.0], june).tolist() == [24, 24, 0, 0]
    assert day_length([90.0, 70.0, -70.0, -90.0], december).tolist() == [0, 0, 24, 24]
    north, south = day_length(90.0, YEAR), day_length(-90.0, YEAR)
    assert 180 < (north == 24).sum() < 195  # the sun is up longer than half the year there: refraction, aphelion
    assert 172 < (south == 24).sum() < 187
    assert_allclose(mean_solar_elevation(90.0, june), 23.44, atol=0.01)


@given(latitude=st.floats(-89, 89), day=st.integers(0, 364))
def test_noon_and_midnight_are_the_highest_and_lowest(latitude, day):
    hours = YEAR[day] + np.arange(-720, 720) * np.timedelta64(1, "m")
    declination = float(sun_position(YEAR[day])[0])
    elevation = solar_elevation(latitude, 0.0, hours)
    assert_allclose(elevation.max(), 90 - abs(latitude - declination), atol=0.25)
    assert_allclose(elevation.min(), abs(latitude + declination) - 90, atol=0.25)


@given(latitude=st.floats(-90, 90), day=st.integers(0, 364))
def test_the_daily_mean_is_the_integral_over_the_day(latitude, day):
    phi, delta = np.radians(latitude), np.radians(float(sun_position(YEAR[day])[0]))

    def elevation(angle):
        sine = np.sin(phi) * np.sin(delta) + np.cos(phi) * np.cos(delta) * np.cos(angle)
        return np.degrees(np.arcsin(np.clip(sine, -1, 1)))

    truth = quad(elevation, 0, np.pi, limit=200)[0] / np.pi
    assert_allclose(mean_solar_elevation(latitude, YEAR[day]), truth, atol=0.01)


def test_the_sun_goes_west_by_15_degrees_an_hour():
    time, later = np.datetime64("2024-05-05T09:00"), np.datetime64("2024-05-05T11:00")
    assert_allclose(solar_elevation(40.0, 30.0, time), solar_elevation(40.0, 0.0, later), atol=0.05)
    samples = pd.to_datetime(pd.Series(["2024-05-05T12:00", "2024-05-06T00:00"]))
    day, night = solar_elevation(np.array([10.0, 10.0]), np.array([0.0, 0.0]), samples)
    assert day > 80 > -50 > night
