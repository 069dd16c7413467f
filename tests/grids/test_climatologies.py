"""Months of the year and anomalies, against sums by hand, made seas and real series."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.grids import anomaly, climatology, open_environment, regular_grid
from aqqua_science.schema import SchemaError

COBE = "env/pmlmodelling+nctoolkit/data/ensemble/year*.nc"


def series(time, values=None, **attrs):
    """A field on a coarse globe; values that differ by step, or random ones."""
    grid = regular_grid(60.0)
    shape = (len(time), *grid.sizes.values())
    if values is None:
        values = np.random.default_rng(0).normal(size=shape)
    values = np.broadcast_to(
        np.asarray(values, float).reshape(len(time), *([1, 1] if np.ndim(values) == 1 else shape[1:])), shape
    )
    coords = {"time": time} | {name: grid[name].values for name in grid.sizes}
    return xr.DataArray(values.copy(), coords, name="sst", attrs={"units": "degC", **attrs})


def months(first, n):
    return pd.date_range(first, periods=n, freq="MS") + pd.Timedelta(days=14)


def test_a_cycle_and_a_trend_come_apart():
    """The same year ten times over, a step up each time: normals are the cycle amid the steps, anomalies the steps."""
    time = months("1995-01-01", 120)
    cycle, year = 10 * np.sin(2 * np.pi * time.month.to_numpy() / 12), time.year.to_numpy() - 1995
    data = series(time, cycle + year)
    normals = climatology(data)
    truth = 10 * np.sin(2 * np.pi * np.arange(1, 13) / 12) + 4.5
    weights = np.isin(np.arange(10), [1, 5, 9])  # leap years weigh one day more in February
    truth[1] += np.average(np.arange(10), weights=28 + weights) - 4.5
    assert_allclose(normals["sst"][:, 0, 0], truth, rtol=1e-12)
    assert (normals["sst_years"] == 10).all()
    assert_allclose(anomaly(data, normals)[:, 1, 1], cycle + year - truth[time.month - 1], atol=1e-12)


@given(seed=st.integers(0, 1000), n=st.integers(13, 60), gaps=st.floats(0, 0.9))
@settings(max_examples=15)
def test_anomalies_average_to_nothing(seed, n, gaps):
    rng = np.random.default_rng(seed)
    data = series(months("1999-05-01", n))
    data = data.where(rng.random(data.shape) > gaps)
    left, days = anomaly(data, climatology(data)).fillna(0).values, data["time"].dt.days_in_month.values
    for month in range(1, 13):
        rows = data["time"].dt.month.values == month
        assert_allclose((left[rows] * days[rows, None, None]).sum(axis=0), 0, atol=1e-9)


def test_years_are_counted_where_there_are_values():
    data = series(months("2000-01-01", 36))
    data[0, 0, 0] = data[12, 0, 0] = data[12, 1, 1] = np.nan
    found = climatology(data, min_years=2)
    assert found["sst_years"].sel(month=1).values[[0, 1, 2], [0, 1, 2]].tolist() == [1, 2, 3]
    assert np.isnan(found["sst"].sel(month=1)[0, 0])
    assert_allclose(found["sst"].sel(month=1)[1, 1], (data[0, 1, 1] + data[24, 1, 1]) / 2)
    assert_allclose(climatology(data)["sst"].sel(month=1)[0, 0], data[24, 0, 0])


def test_composites_weigh_by_the_days_they_last():
    """MODIS composites begin anew each 1 January: the last lasts 5 days, or 6, and weighs so."""
    starts = [pd.Timestamp(year, 1, 1) + pd.Timedelta(days=8 * i) for year in (2003, 2004) for i in range(46)]
    data = series(pd.DatetimeIndex(starts))
    found = climatology(data)
    december = [(start, i) for i, start in enumerate(starts) if start.month == 12]
    days = [6 if s.day == 26 else 5 if s.day == 27 else 8 for s, _ in december]
    days[-1] = 8  # nobody knows when the last of all ends
    truth = np.average(data.values[[i for _, i in december]], axis=0, weights=days)
    assert sorted({s.day for s, _ in december} & {26, 27}) == [26, 27]
    assert_allclose(found["sst"].sel(month=12), truth, rtol=1e-12)
    assert (found["sst_years"] == 2).all()


def test_a_hole_in_daily_data_weighs_nothing():
    time = pd.date_range("2001-03-01", "2001-03-31").delete(slice(10, 20))
    data = series(time)
    assert_allclose(climatology(data)["sst"].sel(month=3), data.mean("time"), rtol=1e-12)


@pytest.mark.parametrize("chunks", [{"time": 1}, {"time": 7, "latitude": 2}])
def test_on_dask_it_is_the_same_and_lazy(chunks):
    data = series(months("2000-01-01", 30)).to_dataset().assign(depth_of_all=3.0)
    lazy = climatology(data.chunk(chunks))
    assert lazy["sst"].chunks is not None
    xr.testing.assert_allclose(lazy.compute(), climatology(data))
    xr.testing.assert_allclose(anomaly(data.chunk(chunks), lazy).compute(), anomaly(data, climatology(data)))
    assert float(lazy["depth_of_all"]) == 3


def test_attributes_tell_what_it_is():
    data = series(months("2000-01-01", 24), standard_name="sea_surface_temperature", long_name="temperature").astype(
        "f4"
    )
    normals = climatology(data)
    assert normals["sst"].dims == ("month", "latitude", "longitude")
    assert normals["sst"].dtype == np.float32
    assert normals["sst"].attrs["standard_name"] == "sea_surface_temperature"
    assert normals["sst"].attrs["ancillary_variables"] == "sst_years"
    difference = anomaly(data, normals)
    assert difference.attrs == {"units": "degC", "long_name": "anomaly of temperature"}
    assert (difference.name, difference.dtype) == ("sst", np.float32)


def test_eight_real_years_against_numpy_and_the_published_normals(shared_data):
    """COBE-SST 1998-2005: every month by numpy; near the published normals 1981-2010 of the same analysis."""
    env = open_environment(shared_data / COBE)
    assert env.sizes["time"] == 96
    normals = climatology(env)
    values = env["sst"].values.astype(float).reshape(8, 12, 180, 360)
    days = np.full((8, 12), [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    days[[2, 6], 1] = 29
    truth = (values * days[:, :, None, None]).sum(0) / days.sum(0)[:, None, None]
    assert_allclose(normals["sst"], truth, atol=1e-4)
    sea = np.isfinite(truth)
    assert_array_equal(normals["sst_years"].values[sea], 8)
    published = open_environment(shared_data / "env/pmlmodelling+nctoolkit/data/sst.mon.ltm.1981-2010.nc")["sst"]
    difference = (normals["sst"] - published).weighted(np.cos(np.radians(published["latitude"])))
    assert abs(float(difference.mean())) < 0.15
    warm = anomaly(env, normals)["sst"].sel(latitude=slice(-5, 5), longitude=slice(-170, -120))
    nino = warm.mean(("latitude", "longitude"))
    assert str(nino["time"].values[nino.values.argmax()])[:7] in ("1998-01", "1998-02", "1998-03", "2002-11", "2002-12")
    assert float(nino.max()) > 1


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (pd.date_range("2000-01-01", periods=9, freq="QS"), "a month at most; most are 91.5 days"),
        (pd.DatetimeIndex(["2000-02-01", "2000-01-01"]), "must ascend"),
        (pd.DatetimeIndex(["2000-02-01", "2000-02-01"]), "must ascend, each once"),
    ],
)
def test_series_that_are_none_are_refused(time, said):
    with pytest.raises(SchemaError, match=said):
        climatology(series(time))


def test_what_does_not_belong_together_is_refused():
    data = series(months("2000-01-01", 24))
    normals = climatology(data)
    with pytest.raises(SchemaError, match="a climatology already"):
        climatology(normals)
    with pytest.raises(SchemaError, match=r"must have 'sts' .*Did you mean 'sst'"):
        anomaly(data.rename("sts"), normals)
    with pytest.raises(SchemaError, match=r"for the months \[1, 2"):
        anomaly(data, normals.sel(month=[1, 2]))
    with pytest.raises(SchemaError, match=r"regrid\(normals, env\)"):
        anomaly(data, normals.assign_coords(latitude=normals["latitude"] + 1))


def test_bounds_tell_how_long_a_step_is_and_whose_month():
    """A composite that begins in January and lies in February, and a series of one month a year."""
    start = pd.to_datetime(["2001-01-30", "2001-02-07", "2002-02-01"])
    end = pd.to_datetime(["2001-02-07", "2001-02-15", "2002-03-01"])
    field = series(start, [1.0, 2.0, 6.0]).to_dataset()
    field = field.assign_coords(time_bounds=(("time", "side"), np.stack([start, end], axis=1)))
    field["time"].attrs["bounds"] = "time_bounds"
    monthly = climatology(field)
    assert monthly["month"].values.tolist() == [2]
    assert_allclose(monthly["sst"], (8 * 1 + 8 * 2 + 28 * 6) / 44)
    assert (monthly["sst_years"] == 2).all()
    with pytest.raises(SchemaError, match="give one of 59 days"):
        climatology(field.assign_coords(time_bounds=field["time_bounds"] + np.array([0, 51], dtype="timedelta64[D]")))
