"""Effects and interactions against slow references from the papers and functions whose effects are known."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import partial_dependence as sklearn_partial_dependence

from aqqua_science.habitat import BoostedTrees
from aqqua_science.habitat.effects import accumulated_effects, interaction_strengths, partial_dependence
from aqqua_science.schema import SchemaError

NAMES = ["temperature", "nitrate", "oxygen"]


class Known(RegressorMixin, BaseEstimator):
    """A function of the predictors, with nothing to learn."""

    def __init__(self, function=None):
        self.function = function

    def fit(self, X, y=None):
        self.feature_names_in_ = np.array(X.columns, dtype=object)
        return self

    def predict(self, X):
        return self.function(X).to_numpy()


def correlated(n=500, rho=0.9, seed=0):
    rng = np.random.default_rng(seed)
    temperature = rng.normal(size=n)
    nitrate = rho * temperature + np.sqrt(1 - rho**2) * rng.normal(size=n)
    return pd.DataFrame({"temperature": temperature, "nitrate": nitrate, "oxygen": rng.uniform(1, 2, n)})


def known(function, table):
    return Known(function).fit(table)


def loop_ale(model, table, name, points, n_bins):
    """Equations 15 and 16 of Apley and Zhu, one sample at a time; straight lines between the ends of the ranges."""
    values = sorted(table[name])
    n = len(values)
    ends = [values[0]]
    for k in range(1, n_bins + 1):
        # the smallest sample that k / n_bins of all do not exceed
        end = values[int(np.ceil(k * n / n_bins - 1e-9)) - 1]
        if end > ends[-1]:
            ends.append(end)
    heights = [0.0]
    for k in range(1, len(ends)):
        changes = []
        for _, row in table.iterrows():
            inside = ends[k - 1] < row[name] <= ends[k] or (k == 1 and row[name] == ends[0])
            if inside:
                upper, lower = row.to_frame().T.copy(), row.to_frame().T.copy()
                upper[name], lower[name] = ends[k], ends[k - 1]
                changes.append(model.predict(upper)[0] - model.predict(lower)[0])
        heights.append(heights[-1] + sum(changes) / len(changes))
    centre = sum(np.interp(v, ends, heights) for v in values) / n
    return [np.interp(p, ends, heights) - centre for p in points]


def test_ale_is_that_of_the_slow_reference():
    table = correlated(120)
    forest = RandomForestRegressor(5, random_state=0).fit(table, np.exp(table["temperature"]) * table["nitrate"])
    for name in ("temperature", "oxygen"):
        found = accumulated_effects(forest, table, predictors=[name], n_bins=7, n_points=25)
        expected = np.array(loop_ale(forest, table, name, found["value"], 7))
        shown = found["effect"].notna()
        assert shown.sum() > 15
        assert_allclose(found["effect"][shown], expected[shown], atol=1e-10)


def test_ale_of_an_additive_function_is_the_function_however_correlated():
    table = correlated(4000)
    model = known(lambda X: 2 * X["temperature"] + X["nitrate"] ** 2 - np.log(X["oxygen"]), table)
    found = accumulated_effects(model, table, n_bins=80).dropna(subset="effect").set_index("predictor")
    truth = {
        "temperature": lambda x: 2 * x,
        "nitrate": lambda x: x**2,
        "oxygen": lambda x: -np.log(x),
    }
    for name, function in truth.items():
        curve = found.loc[name]
        # Between the last but one range and the extremes a straight line stands for the curve.
        inner = curve["value"].between(*table[name].quantile([0.02, 0.98]))
        expected = function(curve["value"]) - function(table[name]).mean()
        assert_allclose(curve["effect"][inner], expected[inner], atol=0.03)
        assert curve[["low", "high"]].isna().all(axis=None)


def test_partial_dependence_of_an_additive_function_is_exact():
    table = correlated(300)
    model = known(lambda X: 2 * X["temperature"] + X["nitrate"] ** 2, table)
    found = partial_dependence(model, table, predictors=["nitrate"], n_rows=10_000).dropna(subset="effect")
    assert_allclose(found["effect"], found["value"] ** 2 + 2 * table["temperature"].mean(), atol=1e-9)


def test_ale_keeps_to_the_water_there_is_and_partial_dependence_does_not():
    """Far off the diagonal of two correlated predictors there is no water, and yet it enters partial dependence."""
    table = correlated(4000, rho=0.98)

    def diagonal(X):
        return X["temperature"] + 10 * np.maximum((X["temperature"] - X["nitrate"]).abs() - 1, 0)

    curves = []
    for effects in (accumulated_effects, partial_dependence):
        found = effects(known(diagonal, table), table, predictors=["temperature"])
        inner = found[found["value"].between(-1.5, 1.5)]
        curves.append(inner["effect"] - inner["value"])
    assert np.ptp(curves[0]) < 0.1
    assert np.ptp(curves[1]) > 3


def test_partial_dependence_is_scikit_learns():
    table = correlated(150)
    forest = RandomForestRegressor(10, random_state=0).fit(table, table["temperature"] * table["oxygen"])
    found = partial_dependence(forest, table, predictors=["oxygen"], n_points=15, n_rows=150)
    theirs = sklearn_partial_dependence(
        forest, table, ["oxygen"], custom_values={"oxygen": found["value"].to_numpy()}, kind="average", method="brute"
    )
    shown = found["effect"].notna()
    assert_allclose(found["effect"][shown], theirs["average"][0][shown], rtol=1e-12)


def test_where_there_are_no_samples_there_is_no_effect():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"temperature": np.concatenate([rng.uniform(0, 5, 100), rng.uniform(20, 30, 100)])})
    model = known(lambda X: X["temperature"] ** 2, table)
    for effects in (accumulated_effects, partial_dependence):
        found = effects(model, table)
        gap = found["value"].between(7, 18)
        assert found["effect"][gap].isna().all()
        assert found["effect"][found["value"].between(0, 5) | found["value"].between(20, 30)].notna().all()
        assert found["n_samples"].sum() == 200
        assert (found["n_samples"][gap] == 0).all()


def test_a_skewed_predictor_is_spaced_by_factors():
    table = pd.DataFrame({"chlorophyll": np.exp(np.random.default_rng(0).normal(size=500, scale=1.5))})
    found = accumulated_effects(known(lambda X: X["chlorophyll"], table), table, n_points=20)
    ratios = found["value"].to_numpy()[1:] / found["value"].to_numpy()[:-1]
    assert_allclose(ratios, ratios[0])


@pytest.fixture(scope="module")
def boosted():
    table = correlated(400, rho=0.3)
    y = np.random.default_rng(1).poisson(np.exp(2 + table["temperature"] - table["nitrate"]))
    return table, y, BoostedTrees(n_members=12, n_trees=120).fit(table, y)


def test_the_band_is_the_spread_of_the_members(boosted):
    table, _, model = boosted
    found = accumulated_effects(model, table, predictors=["temperature"], level=0.8)

    class Member(Known):
        def predict(self, X):
            return model.predict_members(X)[self.function].astype(float)

    curves = [accumulated_effects(Member(m).fit(table), table, predictors=["temperature"])["effect"] for m in range(12)]
    assert_allclose(found["low"], np.quantile(curves, 0.1, axis=0), rtol=1e-5, atol=1e-5)
    assert_allclose(found["high"], np.quantile(curves, 0.9, axis=0), rtol=1e-5, atol=1e-5)
    assert_allclose(found["effect"], np.mean(curves, axis=0), rtol=1e-5, atol=1e-5)


def test_effects_are_centred_over_the_samples_and_follow_the_truth(boosted):
    table, _, model = boosted
    found = accumulated_effects(model, table, scale="log").dropna(subset="effect").set_index("predictor")
    curve = found.loc["temperature"]
    inner = curve[curve["value"].between(-1.5, 1.5)]
    slope = np.polyfit(inner["value"], inner["effect"], 1)[0]
    assert slope == pytest.approx(1, abs=0.2)
    assert np.ptp(found.loc["oxygen", "effect"]) < 0.3
    assert np.interp(table["temperature"], curve["value"], curve["effect"]).mean() == pytest.approx(0, abs=0.02)


def test_interactions_of_sums_and_products():
    table = correlated(200, rho=0.0)
    table = table - table.mean()
    total = interaction_strengths(known(lambda X: X["temperature"] + X["nitrate"] ** 3 + X["oxygen"], table), table)
    assert len(total) == 3
    assert_allclose(total[["strength", "h"]], 0, atol=1e-12)
    product = interaction_strengths(
        known(lambda X: X["temperature"] * X["nitrate"] + X["oxygen"], table), table, n_rows=200
    )
    assert product.loc[0, ["predictor", "other"]].tolist() == ["temperature", "nitrate"]
    # Partial dependences of a product of centred predictors on either are zero, so all of the joint one is left.
    assert product.loc[0, "h"] == pytest.approx(1)
    assert_allclose(product.loc[1:, "h"], 0, atol=1e-10)


def test_h_is_that_of_the_quadruple_loop():
    table = correlated(12)
    model = known(lambda X: X["temperature"] * X["nitrate"] + np.exp(X["oxygen"] * X["nitrate"]), table)

    def dependence(names, i):
        rows = table.copy()
        for name in names:
            rows[name] = table[name].iloc[i]
        return sum(model.predict(rows.iloc[[k]])[0] for k in range(12)) / 12

    found = interaction_strengths(model, table).set_index(["predictor", "other"])
    for (name, other), row in found.iterrows():
        single, second, both = (
            np.array([dependence(names, i) for i in range(12)]) for names in ([name], [other], [name, other])
        )
        single, second, both = (x - x.mean() for x in (single, second, both))
        assert row["h"] == pytest.approx(np.sqrt(((both - single - second) ** 2).sum() / (both**2).sum()))
        assert row["strength"] == pytest.approx(np.sqrt(((both - single - second) ** 2).mean()))


def test_trees_of_one_split_do_not_interact_on_the_log_scale(boosted):
    table, y, _ = boosted
    stumps = BoostedTrees(n_members=1, n_trees=60, max_depth=1).fit(table, y)
    assert interaction_strengths(stumps, table, scale="log")["strength"].max() < 1e-5
    assert interaction_strengths(stumps, table)["strength"].max() > 0.01


@pytest.mark.parametrize("effects", [accumulated_effects, partial_dependence, interaction_strengths])
def test_wrong_use_is_refused(effects):
    table = correlated(30)
    model = known(lambda X: X["temperature"], table)
    with pytest.raises(ValueError, match=r"no predictor 'temprature'\. Did you mean 'temperature'"):
        effects(model, table, predictors=["temprature"])
    with pytest.raises(SchemaError, match="no column 'oxygen'"):
        effects(model, table[["temperature", "nitrate"]])
    with pytest.raises(ValueError, match="scale='log' needs positive predictions"):
        effects(model, table, scale="log")
    with pytest.raises(ValueError, match="scale must be 'response' or 'log'; got 'logit'"):
        effects(model, table, scale="logit")
    with pytest.raises(ValueError, match="oxygen is the same in all 30 rows"):
        effects(known(lambda X: X["temperature"], table), table.assign(oxygen=1.0))
    with pytest.raises(ValueError, match="Fit it on a DataFrame"):
        effects(Known(), table)
