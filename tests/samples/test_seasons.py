"""Samples that stand for several months."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.grids import regular_grid
from aqqua_science.grids.calendars import DAYS_OF_MONTH
from aqqua_science.samples import join_environment
from aqqua_science.samples.seasons import join_seasons
from aqqua_science.schema import SchemaError


@pytest.fixture
def env():
    grid, rng = regular_grid(30.0), np.random.default_rng(0)
    dims = ("month", "latitude", "longitude")
    sst = xr.DataArray(rng.normal(size=(12, 6, 12)), {"month": np.arange(1, 13), **grid.coords}, dims)
    chl = sst.copy(data=rng.normal(size=sst.shape))
    chl[[0, 1, 11]] = np.nan
    return xr.Dataset({"sst": sst, "chl": chl, "bathymetry": sst.isel(month=0, drop=True)})


def samples(n=50, seed=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "latitude": rng.uniform(-80, 80, n),
            "longitude": rng.uniform(-180, 180, n),
            "month": rng.integers(1, 13, n),
            "n_months": rng.integers(1, 13, n),
        },
        index=rng.permutation(n),
    )


def test_the_mean_of_the_months_by_their_lengths(env):
    """Against a loop over samples and months."""
    table = samples()
    joined = join_seasons(table, env)
    assert joined.index.equals(table.index)
    for label, row in table.iterrows():
        cell = env.sel(latitude=row["latitude"], longitude=row["longitude"], method="nearest")
        months = [int((row["month"] - 1 + k) % 12 + 1) for k in range(int(row["n_months"]))]
        for name in ("sst", "chl"):
            values = np.array([float(cell[name].sel(month=m)) for m in months])
            days, known = DAYS_OF_MONTH[np.array(months) - 1], np.isfinite(values)
            expected = np.average(values[known], weights=days[known]) if known.any() else np.nan
            assert_allclose(joined.loc[label, name], expected, err_msg=name)
        assert_allclose(joined.loc[label, "bathymetry"], float(cell["bathymetry"]))


def test_single_months_are_as_without(env):
    table = samples().assign(n_months=1)
    expected = join_environment(table.drop(columns="n_months"), env)
    pd.testing.assert_frame_equal(join_seasons(table, env)[list(expected)], expected, check_dtype=False)


@pytest.mark.parametrize("n", [0, 13, 1.5, np.nan])
def test_other_numbers_of_months_are_refused(env, n):
    with pytest.raises(SchemaError, match="n_months must be a whole number from 1 to 12"):
        join_seasons(samples(3).assign(n_months=[1, n, 1]), env)


def test_months_of_no_year_are_refused(env):
    with pytest.raises(SchemaError, match="month"):
        join_seasons(samples(2).assign(month=[0, 13]), env)


def test_dates_are_refused(env):
    dated = env.rename(month="time").assign_coords(time=pd.date_range("2000-01-01", periods=12, freq="MS"))
    with pytest.raises(SchemaError, match="need months of the year"):
        join_seasons(samples(2), dated)


def test_counts_are_sums_over_the_months_and_bounds_are_no_variables(env):
    env["depth_bnds"] = ("side", [0.0, 1.0])
    env["sst"].attrs = {}
    env["latitude_bnds"] = (("latitude", "side"), np.stack([env["latitude"] - 15, env["latitude"] + 15], axis=1))
    env["latitude"].attrs["bounds"] = "latitude_bnds"
    table = samples(20)
    joined = join_seasons(table, env.drop_vars("depth_bnds"), radius_km=4000)
    alone = [
        join_environment(
            table.assign(month=(table["month"] - 1 + k) % 12 + 1), env.drop_vars("depth_bnds"), radius_km=4000
        )
        for k in range(12)
    ]
    expected = sum(part["chl_count"] * (k < table["n_months"]) for k, part in enumerate(alone))
    assert joined["chl_count"].tolist() == expected.tolist()
    assert "chl_sd" not in joined
