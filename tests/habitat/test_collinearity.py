"""Clusters, inflated variances and coverage of predictors against closed forms and formulas written out."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression

from aqqua_science.grids import cell_area, regular_grid
from aqqua_science.habitat.collinearity import (
    cluster_predictors,
    rank_correlation,
    report_predictors,
    univariate_skill,
    variance_inflation,
)
from aqqua_science.schema import SchemaError

NAMES = ["temperature", "nitrate", "oxygen", "salinity"]


def gaussians(correlation, n=20_000, seed=0):
    factor = np.linalg.cholesky(np.asarray(correlation, dtype=float))
    values = np.random.default_rng(seed).normal(size=(n, len(correlation))) @ factor.T
    return pd.DataFrame(values, columns=NAMES[: len(correlation)])


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("p", [2, 3, 4])
def test_inflation_of_equally_correlated_gaussians_has_a_closed_form(p, rho):
    correlation = np.full((p, p), rho) + (1 - rho) * np.eye(p)
    found = variance_inflation(gaussians(correlation), predictors=NAMES[:p])
    # R2 of one on the p - 1 others is (p - 1) rho^2 / (1 + (p - 2) rho).
    expected = 1 / (1 - (p - 1) * rho**2 / (1 + (p - 2) * rho))
    assert_allclose(found, expected, rtol=0.03)


def test_inflation_is_the_diagonal_of_the_inverse_correlation_and_the_regression_written_out():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4)) + 100, columns=NAMES)
    found = variance_inflation(table, predictors=NAMES)
    assert_allclose(found, np.diag(np.linalg.inv(np.corrcoef(table.T))), rtol=1e-9)
    for name in NAMES:
        others = np.column_stack([np.ones(60), table.drop(columns=name)])
        fitted = others @ np.linalg.solve(others.T @ others, others.T @ table[name])
        r2 = 1 - ((table[name] - fitted) ** 2).sum() / ((table[name] - table[name].mean()) ** 2).sum()
        assert_allclose(found[name], 1 / (1 - r2), rtol=1e-6)


def test_inflation_of_copies_is_infinite_and_too_few_rows_tell_nothing():
    table = gaussians(np.eye(2), n=50)
    table["oxygen"] = 400 - 6 * table["temperature"] + table["nitrate"]
    assert np.isinf(variance_inflation(table, predictors=NAMES[:3])).all()
    assert variance_inflation(table[:3], predictors=NAMES[:3]).isna().all()
    assert variance_inflation(table, predictors=["nitrate"]).tolist() == [1.0]


def test_what_is_constant_where_all_predictors_are_known_has_no_variance_to_inflate():
    table = gaussians(np.eye(3), n=40)
    table["oxygen"] = np.where(np.arange(40) < 20, 5.0, 6.0)
    table.loc[20:, "nitrate"] = np.nan
    found = report_predictors(table, predictors=NAMES[:3]).set_index("predictor")["vif"]
    assert np.isnan(found["oxygen"])
    r = np.corrcoef(table["temperature"][:20], table["nitrate"][:20])[0, 1]
    assert_allclose(found[["temperature", "nitrate"]], 1 / (1 - r**2))


def test_two_rows_in_common_make_no_pair_alike():
    table = gaussians(np.eye(2), n=40)
    table.loc[:19, "nitrate"] = np.nan
    table.loc[22:, "temperature"] = np.nan
    assert rank_correlation(table, predictors=NAMES[:2]).loc["temperature", "nitrate"] == 0


def test_no_predictor_is_nearest_to_itself():
    table = gaussians(np.eye(2), n=40)
    alone = report_predictors(table, predictors=["temperature"]).iloc[0]
    assert pd.isna(alone["nearest"])
    assert np.isnan(alone["correlation"])
    table.loc[:19, "nitrate"], table.loc[20:, "temperature"] = np.nan, np.nan
    assert report_predictors(table, predictors=NAMES[:2])["nearest"].tolist() == ["nitrate", "temperature"]


def test_rank_correlation_is_scipys_and_knows_gaps():
    table = gaussians([[1, 0.7], [0.7, 1]], n=300)
    table["nitrate"] = np.exp(3 * table["nitrate"])
    table.loc[::7, "nitrate"] = np.nan
    whole = table.dropna()
    found = rank_correlation(table, predictors=NAMES[:2])
    assert_allclose(found.loc["temperature", "nitrate"], spearmanr(whole["temperature"], whole["nitrate"]).statistic)


def test_every_pair_within_a_cluster_reaches_the_threshold():
    # a - b - c is a chain: b is alike to both, a and c are not alike.
    chain = pd.DataFrame([[1, 0.9, 0.6], [0.9, 1, 0.85], [0.6, 0.85, 1]], index=NAMES[:3], columns=NAMES[:3])
    assert cluster_predictors(chain, threshold=0.8).tolist() == [1, 1, 2]
    assert cluster_predictors(chain, threshold=0.6).tolist() == [1, 1, 1]
    assert cluster_predictors(chain, threshold=0.95).tolist() == [1, 2, 3]
    rng = np.random.default_rng(2)
    for _ in range(20):
        values = rng.normal(size=(30, 2)) @ rng.normal(size=(2, 8)) + 0.4 * rng.normal(size=(30, 8))
        correlation = pd.DataFrame(values).corr()
        labels = cluster_predictors(correlation, threshold=0.7)
        for label in labels.unique():
            assert (correlation.loc[labels == label, labels == label].abs() >= 0.7).all(axis=None)


def test_the_sign_of_a_correlation_does_not_part():
    correlation = pd.DataFrame([[1, -1], [-1, 1]], index=NAMES[:2], columns=NAMES[:2], dtype=float)
    assert cluster_predictors(correlation, threshold=1.0).tolist() == [1, 1]


def test_the_report_names_what_to_keep():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"temperature": rng.uniform(0, 30, 100), "salinity": rng.uniform(33, 37, 100)})
    table["oxygen"] = 400 - 6 * table["temperature"] + rng.normal(size=100)
    table.loc[:24, "salinity"] = np.nan
    names = ["temperature", "salinity", "oxygen"]
    skill = {"temperature": 0.2, "oxygen": 0.3, "salinity": -0.1}
    report = report_predictors(table, predictors=names, skill=skill).set_index("predictor")
    assert report["cluster"].to_dict() == {"temperature": 1, "oxygen": 1, "salinity": 2}
    assert report["keep"].to_dict() == {"temperature": False, "oxygen": True, "salinity": True}
    assert report["missing_share"].to_dict() == {"temperature": 0, "oxygen": 0, "salinity": 0.25}
    assert report.loc["temperature", "nearest"] == "oxygen"
    assert report.loc["temperature", "correlation"] < -0.99


def test_coverage_of_the_map_by_hand():
    """Samples reach from 10 to 20 degrees, the map from 0 to 25: two fifths of the range."""
    env = regular_grid(10.0)
    env["temperature"] = xr.where(env["latitude"] > 0, 25.0, xr.where(env["latitude"] > -60, 15.0, 0.0)).broadcast_like(
        cell_area(env)
    )
    table = pd.DataFrame({"temperature": np.linspace(10, 20, 11)})
    row = report_predictors(table, predictors=["temperature"], env=env).iloc[0]
    assert row["range_covered"] == pytest.approx(10 / 25)
    # The zone from 60 S to the equator on the authalic sphere is sin(60) / 2 of it; the ellipsoid differs a little.
    assert row["area_covered"] == pytest.approx(np.sin(np.radians(60)) / 2, abs=0.002)
    with pytest.raises(SchemaError, match="the grid has no column 'temperature'"):
        report_predictors(table, predictors=["temperature"], env=env.rename(temperature="sst"))


def test_univariate_skill_is_the_squared_correlation():
    table = gaussians([[1, 0.6], [0.6, 1]], n=5000)
    rows = np.arange(5000)
    splits = [(rows[:2500], rows[2500:]), (rows[2500:], rows[:2500])]
    skill = univariate_skill(
        LinearRegression(), table, splits, target="nitrate", predictors=["temperature"], loss="squared"
    )
    assert skill["temperature"] == pytest.approx(0.36, abs=0.03)


def test_wrong_use_is_refused():
    table = gaussians(np.eye(2), n=20)
    with pytest.raises(ValueError, match="constant or empty in all 20 samples: oxygen"):
        report_predictors(table.assign(oxygen=1.0), predictors=["temperature", "oxygen"])
    with pytest.raises(ValueError, match="constant or empty in all 0 samples: temperature, nitrate"):
        report_predictors(table[:0], predictors=["temperature", "nitrate"])
    with pytest.raises(ValueError, match=r"not inf; of 20 rows: nitrate \(1\)"):
        report_predictors(table.replace(table.loc[3, "nitrate"], np.inf), predictors=["temperature", "nitrate"])
    for names in ([], ["temperature", "temperature"]):
        with pytest.raises(ValueError, match="each once"):
            report_predictors(table, predictors=names)
    with pytest.raises(ValueError, match=r"in 0\.\.1; got 80"):
        report_predictors(table, predictors=["temperature", "nitrate"], threshold=80)
