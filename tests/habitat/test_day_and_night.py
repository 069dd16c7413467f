"""Plankton that rise at night: what a map of the mean day makes of samples taken at any hour."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from aqqua_science.grids import cell_area, regular_grid
from aqqua_science.grids.sunlight import solar_elevation
from aqqua_science.habitat import Recipe, run_recipe
from aqqua_science.schema import SchemaError

STEEPNESS = -0.04
"""Of the logarithm of the amount against the elevation of the sun: 37 times as much at -45 as at +45 degrees."""


def recipe_of(**environment):
    return Recipe(
        title="Migrants",
        observations={"file": "samples.csv", "target": "biomass", "units": "mg m-2"},
        environment={"files": ["env.nc"], "predictors": ["temperature", "solar_elevation"]} | environment,
        model={"objective": "gamma", "n_members": 6, "n_trees": 150, "min_child_weight": 1},
        explain={"importance": False},
        budget={"kind": "mean", "regions": "global"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("world"), np.random.default_rng(3)
    env = regular_grid(10.0).assign_coords(month=("month", np.arange(1, 13)))
    env["temperature"] = ("latitude", 30 * np.cos(np.radians(env["latitude"].values)), {"units": "degC"})
    shape = xr.zeros_like(env["month"] * env["latitude"] * env["longitude"], dtype=float)
    env["temperature"] = (shape + env["temperature"]).assign_attrs(units="degC")
    env.to_netcdf(folder / "env.nc")
    n = 3000
    table = pd.DataFrame({"latitude": rng.uniform(-60, 60, n), "longitude": rng.uniform(-180, 180, n)})
    minute = rng.integers(0, 365 * 24 * 60, n)
    table["time"] = pd.Timestamp("2019-01-01") + pd.to_timedelta(minute + (minute % 1440 == 0), unit="min")
    elevation = solar_elevation(table["latitude"], table["longitude"], table["time"].to_numpy())
    table["biomass"] = np.exp(STEEPNESS * elevation + rng.normal(scale=0.2, size=n))
    table.loc[:9, "time"] = pd.Timestamp("2019-05-05")
    table.to_csv(folder / "samples.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def truth():
    """The mean amount of every cell over all hours of the 15th of each month, by area and days."""
    grid, times = regular_grid(10.0), [pd.Timestamp(2019, m, 15) for m in range(1, 13)]
    hours = pd.timedelta_range(0, periods=96, freq="15min")
    zones = [
        np.mean([np.exp(STEEPNESS * solar_elevation(lat, 0.0, (t + hours).to_numpy())).mean() for t in times])
        for lat in grid["latitude"].values
    ]
    mean = grid["latitude"].copy(data=zones)
    return float(mean.where(abs(mean["latitude"]) < 60).weighted(cell_area(grid).sum("longitude")).mean())


def test_the_map_is_the_mean_of_the_day(folder, truth, tmp_path):
    """Samples without a time of day are told apart."""
    result, field = run_recipe(recipe_of(day_and_night=True), data=folder, out=tmp_path, region=(-180, 180, -60, 60))
    assert abs(np.log(result["budget"][0]["mean"] / truth)) < 0.12
    assert "hour" not in field.dims
    assert "mean over day and night" in " ".join(result["notes"])
    rejected = pd.read_csv(tmp_path / "rejected.csv")
    assert rejected["reason"].value_counts().to_dict() == {"time has a date but no time of day": 10}


def test_one_state_of_the_sun_is_not_the_mean_of_the_day(folder, truth, tmp_path):
    """At the horizon, the mean sun of the tropics, the amount is 1: an exponential is steeper at night than by day."""
    (tmp_path / "env.nc").symlink_to(folder / "env.nc")
    table = pd.read_csv(folder / "samples.csv", parse_dates=["time"])
    table["solar_elevation"] = solar_elevation(table["latitude"], table["longitude"], table["time"].to_numpy())
    table.to_csv(tmp_path / "samples.csv", index=False)
    at_horizon = recipe_of(fixed={"solar_elevation": 0.0})
    result, _ = run_recipe(at_horizon, data=tmp_path, region=(-180, 180, -60, 60))
    assert abs(np.log(result["budget"][0]["mean"])) < 0.12
    assert truth > 2


def test_samples_without_times_are_refused(folder, tmp_path):
    (tmp_path / "env.nc").symlink_to(folder / "env.nc")
    pd.read_csv(folder / "samples.csv").drop(columns="time").to_csv(tmp_path / "samples.csv", index=False)
    with pytest.raises(SchemaError, match="day_and_night"):
        run_recipe(recipe_of(day_and_night=True), data=tmp_path)


@pytest.mark.parametrize(
    "environment",
    [{"derived": ["solar_elevation"]}, {"fixed": {"solar_elevation": 0.0}}, {"predictors": ["temperature"]}],
)
def test_there_is_one_sun(environment):
    with pytest.raises(ValueError, match="day_and_night brings solar_elevation"):
        recipe_of(day_and_night=True, **environment)
