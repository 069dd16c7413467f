"""Trends, against scipy cell by cell, exact lines, and series of chance whose trend is known to be none."""

import dask.array
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from cf_units import Unit
from numpy.testing import assert_allclose
from scipy import stats

from aqqua_science.grids import anomaly, climatology, open_environment
from aqqua_science.grids.trends import field_significance, trend
from aqqua_science.schema import SchemaError

COBE = "env/pmlmodelling+nctoolkit/data/ensemble/year*.nc"


def series(values, *, freq="MS", **attrs):
    """Series of shape (n, time)."""
    values = np.asarray(values, float)
    time = pd.date_range("1990-01-15", periods=values.shape[1], freq=freq)
    return xr.DataArray(values, {"cell": np.arange(len(values)), "time": time}, name="sst", attrs=attrs)


def decades(field):
    return (field["time"] - field["time"][0]).values / np.timedelta64(1, "D") / 3652.5


def red_noise(n, steps, phi, seed):
    """Autoregressive series of first order, stationary from their first step on."""
    rng = np.random.default_rng(seed)
    values = np.empty((n, steps))
    values[:, 0] = rng.normal(size=n) / np.sqrt(1 - phi**2)
    for step in range(1, steps):
        values[:, step] = phi * values[:, step - 1] + rng.normal(size=n)
    return values


def by_the_book(values, when):
    """One series the slow way: scipy's line, then Santer et al. (2000), equations 3 to 6, on the steps with values."""
    known = np.isfinite(values)
    line = stats.linregress(when[known], values[known])
    error = np.where(known, values - line.intercept - line.slope * when, np.nan)
    products = [a * b for a, b in zip(error[1:], error[:-1], strict=True) if np.isfinite(a * b)]
    n = known.sum()
    r = max(np.mean(products) / np.mean(error[known] ** 2), 0)
    worth = n * (1 - r) / (1 + r)
    se = np.sqrt(np.nansum(error**2) / (worth - 2) / np.sum((when[known] - when[known].mean()) ** 2))
    return line.slope, se, 2 * stats.t.sf(abs(line.slope) / se, worth - 2)


def test_lines_and_errors_are_those_of_a_loop_over_cells():
    values = red_noise(30, 120, 0.4, seed=1) + np.linspace(0, 1, 120)
    values[np.random.default_rng(2).random(values.shape) < 0.2] = np.nan
    field = series(values, units="degC")
    found = trend(field)
    for cell in range(len(values)):
        slow = by_the_book(values[cell], decades(field))
        fast = [float(found[f"sst_{part}"][cell]) for part in ("trend", "trend_se", "trend_p")]
        assert_allclose(fast, slow, rtol=1e-9)
    assert found["sst_trend_n"].values.tolist() == np.isfinite(values).sum(axis=1).tolist()


def test_a_line_is_found_exactly_and_its_units_are_per_decade():
    field = series([np.zeros(60)], units="degC")
    field = field + 0.7 * xr.DataArray(decades(field), dims="time")
    found = trend(field.rename("sst").assign_attrs(units="degC"))
    assert_allclose(found["sst_trend"], 0.7, rtol=1e-9)
    assert_allclose(found["sst_trend_se"], 0, atol=1e-9)
    assert Unit(found["sst_trend"].attrs["units"]) == Unit("0.1 degC year-1")


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6])
def test_series_without_a_trend_are_seldom_taken_for_one(phi):
    """Of 2,000 series of 25 years 5 % may seem to have a trend; were neighbours independent, far more would."""
    field = series(red_noise(2000, 300, phi, seed=3))
    seeming = (trend(field)["sst_trend_p"] < 0.05).mean().item()
    low, high = stats.binom.ppf([0.001, 0.999], 2000, 0.05) / 2000
    # Autocorrelation is estimated too low by about (1 + 4 phi) / n, which the method does not correct.
    assert low <= seeming <= high + 0.02 * phi
    slopes = [stats.linregress(decades(field), values).pvalue for values in field.values[:500]]
    assert phi == 0 or np.mean(np.array(slopes) < 0.05) > 1.5 * seeming


def test_the_standard_error_is_the_spread_of_the_slopes():
    field = series(red_noise(2000, 300, 0.5, seed=4))
    found = trend(field)
    assert_allclose(found["sst_trend_se"].mean(), found["sst_trend"].std(), rtol=0.05)


def test_on_dask_it_is_the_same_and_lazy():
    values = red_noise(20, 48, 0.3, seed=5)
    values[3, :30], values[4] = np.nan, np.nan
    field = series(values)
    lazy = trend(field.copy(data=dask.array.from_array(values, chunks=(7, 12))))
    assert all(lazy[name].chunks for name in lazy)
    xr.testing.assert_allclose(lazy.compute(), trend(field), rtol=1e-12)
    assert np.flatnonzero(np.isnan(trend(field)["sst_trend"])).tolist() == [3, 4]


def test_the_share_of_false_discoveries_is_held():
    """Half of 2,000 cells drift: of those that are found a twentieth are false (half of the level, as half drift)."""
    rng = np.random.default_rng(6)
    p = np.concatenate([rng.random(1000), stats.norm.sf(rng.normal(3.5, 1, 1000))])
    found = field_significance(xr.DataArray(p, dims="cell"), level=0.1).values
    assert 0.5 * 0.05 < found[:1000].sum() / found.sum() < 0.1
    assert found[1000:].mean() > 0.8
    nothing = field_significance(xr.DataArray(rng.random(5000), dims="cell"), level=0.05)
    assert nothing.sum() <= 1


def test_real_temperatures_and_taking_seasons_out_helps(shared_data):
    """COBE-SST 1998-2005: the slope of each cell by numpy; taking the seasons out makes errors smaller."""
    env = open_environment(shared_data / COBE)
    (name,) = env.data_vars
    plain, months_out = trend(env), trend(anomaly(env, climatology(env)))
    at = {"latitude": 40.5, "longitude": -30.5}
    values = anomaly(env, climatology(env))[name].sel(at, method="nearest").values.astype(float)
    slope = np.polyfit(decades(env), values, 1)[0]
    assert_allclose(months_out[f"{name}_trend"].sel(at, method="nearest"), slope, rtol=1e-6)
    errors = [float(found[f"{name}_trend_se"].median()) for found in (plain, months_out)]
    assert errors[1] < errors[0]
    p = months_out[f"{name}_trend_p"]
    assert 0 < field_significance(p, level=0.1).sum() < (p < 0.05).sum()


def test_what_is_no_series_is_refused():
    with pytest.raises(SchemaError, match=r"a trend needs 24 steps or more .* env has 10"):
        trend(series(np.zeros((1, 10))))
    with pytest.raises(ValueError, match="min_steps must be 3 or more"):
        trend(series(np.zeros((1, 10))), min_steps=2)
    with pytest.raises(SchemaError, match="env must have dates"):
        trend(xr.DataArray(np.zeros(12), {"month": np.arange(1, 13)}))
    with pytest.raises(ValueError, match="p-values lie between 0 and 1; these between -1 and 0"):
        field_significance(xr.DataArray([-1.0, 0.0]))
    with pytest.raises(ValueError, match="level must be a share"):
        field_significance(xr.DataArray([0.1]), level=5)
