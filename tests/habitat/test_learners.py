"""Learners beside boosted trees against scikit-learn's contract, mathematics, and worlds whose answer is known."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.interpolate import BSpline
from scipy.optimize import minimize
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from aqqua_science import habitat, synthetic
from aqqua_science.habitat import BoostedTrees, SpatialBlocks
from aqqua_science.habitat.learners import LEARNERS, RegressorEnsemble, learner
from aqqua_science.habitat.resampling import member_rows
from aqqua_science.habitat.smoothers import GaussianProcess, PenalisedSplines
from aqqua_science.samples import join_environment

SMALL = {
    "trees": {"n_trees": 30},
    "forest": {"regressor__n_estimators": 20},
    "splines": {},
    "process": {"n_rows": 120},
    "network": {"candidates": {"alpha": [10.0]}, "regressor__hidden_layer_sizes": (8,)},
}
OURS = [name for name in LEARNERS if name != "trees"]


def small(name, **settings):
    return learner(name, **SMALL[name]).set_params(**{"n_members": 2} | settings)


def draws_rows(estimator):
    name = "check_sample_weight_equivalence_on_dense_data"
    if isinstance(estimator, GaussianProcess):
        return {}
    return {name: "rows are drawn, or knots are quantiles of the rows, so repeats differ from weights"}


@parametrize_with_checks(
    [RegressorEnsemble(LinearRegression(), objective="log", n_members=2), PenalisedSplines(), GaussianProcess()],
    expected_failed_checks=draws_rows,
)
def test_obeys_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([small(name) for name in OURS], expected_failed_checks=draws_rows)
def test_every_learner_obeys_scikit_learn(estimator, check):
    check(estimator)


def test_a_weight_of_two_is_a_row_that_is_there_twice(survey):
    X, y, _ = survey
    model = RegressorEnsemble(LinearRegression(), objective="log", n_members=1, resampling=None)
    weight = np.arange(len(y)) % 3
    twice = np.repeat(np.arange(len(y)), weight)
    weighted = model.fit(X, y, sample_weight=weight).predict(X)
    repeated = model.fit(X.iloc[twice], y[twice]).predict(X)
    assert_allclose(weighted, repeated, rtol=1e-6)


@pytest.fixture(scope="module")
def survey():
    """240 samples in 24 blocks; amounts rise with temperature, fall with nitrate, and a sixth are zeros."""
    rng = np.random.default_rng(1)
    X = pd.DataFrame({"temperature": rng.uniform(0, 30, 240), "nitrate": rng.uniform(0, 20, 240)})
    mean = np.exp(0.08 * X["temperature"] - 0.1 * X["nitrate"]).to_numpy()
    return X, rng.gamma(2.0, mean / 2) * (rng.random(240) > 1 / 6), np.arange(240) // 10


# Mathematics


def test_log_members_are_regressions_of_the_logarithm_that_keep_the_total(survey):
    X, y, _ = survey
    c = y[y > 0].min() / 2
    line = LinearRegression().fit(X, np.log(y + c))
    plain = np.maximum(np.exp(line.predict(X)) - c, 0)
    model = RegressorEnsemble(LinearRegression(), objective="log", n_members=1, resampling=None).fit(X, y)
    assert_allclose(model.predict(X), plain * y.sum() / plain.sum(), rtol=1e-4)
    assert model.smearing_[0] > 1.05


@pytest.mark.parametrize("name", OURS)
def test_every_learner_keeps_the_weighted_total(survey, name):
    X, y, _ = survey
    volume = np.random.default_rng(3).uniform(0.5, 2.0, len(y))
    candidates = {} if name == "forest" else {"candidates": None}
    model = small(name, n_members=1, resampling=None, **candidates).fit(X, y, volume=volume)
    assert (volume * model.predict(X)).sum() == pytest.approx((volume * y).sum(), rel=1e-5)


def test_splines_minimise_deviance_and_curvature():
    # Reference: the same objective in plain B-spline coefficients, by a general minimiser, curvature on a fine grid.
    rng = np.random.default_rng(0)
    x = np.sort(rng.normal(size=150))
    y = rng.poisson(np.exp(np.sin(2 * x)))
    inner = np.quantile(x, np.linspace(0, 1, 5))
    first, last = inner[1] - inner[0], inner[-1] - inner[-2]
    knots = np.concatenate([inner[0] - first * np.arange(3, 0, -1), inner, inner[-1] + last * np.arange(1, 4)])
    basis = BSpline(knots, np.eye(7), 3)
    fine = np.linspace(inner[0], inner[-1], 20_001)
    bending = basis.derivative(2)(fine)
    penalty = bending.T @ bending * (fine[1] - fine[0]) + 0.1 * np.eye(7)

    def cost(coefficients):
        log_mean = coefficients[0] + basis(x) @ coefficients[1:]
        return np.mean(np.exp(log_mean) - y * log_mean) + 0.05 / 2 * coefficients[1:] @ penalty @ coefficients[1:]

    expected = minimize(cost, np.zeros(8), method="BFGS", options={"gtol": 1e-7}).x
    found = PenalisedSplines(5, alpha=0.05).fit(x[:, None], y).predict(x[:, None])
    assert_allclose(found, np.exp(expected[0] + basis(x) @ expected[1:]), rtol=2e-3)


def test_process_is_the_posterior_mean_and_finds_what_matters():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    y = np.sin(2 * X[:, 0]) + 0.1 * rng.normal(size=80)
    model = GaussianProcess().fit(X, y)
    assert model.length_scales_[1] > 5 * model.length_scales_[0]
    kernel = model.process_.kernel_
    variance, noise = kernel.k1.k1.constant_value, kernel.k2.noise_level
    new = rng.normal(size=(20, 2))

    def covariance(a, b):
        gap = (a[:, None] - b[None]) / model.length_scales_
        return variance * np.exp(-(gap**2).sum(axis=2) / 2)

    z = (y - y.mean()) / y.std()
    posterior = covariance(new, X) @ np.linalg.solve(covariance(X, X) + noise * np.eye(80), z)
    assert_allclose(model.predict(new), posterior * y.std() + y.mean(), rtol=1e-6, atol=1e-8)
    assert 0.005 < noise * y.var() < 0.02


def test_beyond_the_samples_predictors_count_as_at_their_end(survey):
    X, y, _ = survey
    far = pd.DataFrame({"temperature": [60.0, -40.0], "nitrate": [1e6, -9.0]})
    near = far.clip(X.min(), X.max(), axis=1)
    for name in OURS:
        model = small(name).fit(X, y)
        assert_array_equal(model.predict(far), model.predict(near))


def test_a_skewed_predictor_counts_by_its_logarithm():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"chlorophyll": rng.lognormal(-1.5, 1.5, 300), "temperature": rng.uniform(0, 30, 300)})
    y = X["chlorophyll"] ** 0.7 * np.exp(0.1 * X["temperature"])
    model = RegressorEnsemble(LinearRegression(), objective="log", n_members=1, resampling=None).fit(X, y)
    assert model.skewed_.tolist() == [True, False]
    assert np.corrcoef(np.log(model.predict(X) + y.min() / 2), np.log(y))[0, 1] > 0.98


# What a member learns from, and how it is chosen


class Recorder(RegressorMixin, BaseEstimator):
    """Writes down how often it was shown each value of the first predictor."""

    def fit(self, X, y):
        self.seen_ = X[:, 0]
        return self

    def predict(self, X):
        return np.ones(len(X))


def test_rows_are_drawn_by_weight():
    X = np.arange(1000.0)[:, None]
    weight = np.where(X[:, 0] < 500, 3.0, 1.0)
    model = RegressorEnsemble(Recorder(), n_rows=200, n_members=1, resampling=None)
    model.fit(X, np.ones(1000), sample_weight=weight)
    seen = model.models_[0].seen_ * model.spread_[0] + model.center_[0]
    assert len(seen) == 200
    assert len(np.unique(np.round(seen))) == 200  # no weight is longer than a step
    assert abs((seen < 499.9).sum() - 150) < 28  # 4.5 standard deviations of a binomial draw


@pytest.mark.parametrize("period", [2, 10])
def test_rows_drawn_of_casts_are_of_all_their_depths(period):
    # 3000 rows in the order of casts, each of the same depths: 300 in even steps of the table would be of one depth.
    depth = np.arange(3000) % period
    model = RegressorEnsemble(Recorder(), n_rows=300, n_members=1, resampling=None).fit(depth[:, None], np.ones(3000))
    seen = model.models_[0].seen_ * model.spread_[0] + model.center_[0]
    assert len(seen) == 300
    shallow = (seen < depth.mean()).mean()
    assert abs(shallow - 0.5) < 0.13  # 4.5 standard errors of a random draw


def test_a_block_drawn_twice_is_seen_twice_by_a_regressor_without_weights():
    X = np.arange(60.0)[:, None]
    model = RegressorEnsemble(Recorder(), n_members=3, resampling="blocks").fit(X, np.ones(60), groups=X[:, 0] // 5)
    for regressor in model.models_:
        seen = np.round(regressor.seen_ * model.spread_[0] + model.center_[0])
        times = np.bincount(seen.astype(int), minlength=60).reshape(12, 5)
        assert (times == times[:, :1]).all()
        assert times[:, 0].sum() == 12
        assert times.max() > 1


def test_each_member_takes_the_candidate_with_the_least_held_out_deviance(survey):
    X, y, groups = survey
    candidates = {"n_neighbors": [1, 5, 20, 100]}
    model = RegressorEnsemble(KNeighborsRegressor(), candidates=candidates, n_members=4, resampling="groups")
    model.fit(X, y, groups=groups)
    seed = np.random.default_rng(np.random.RandomState(0).randint(2**31 - 1))
    seed.integers(2**31 - 1, size=4)
    draws = member_rows(y, groups, resampling="groups", n_members=4, stopping=True, rng=seed)
    Z, least = model._standard(X.to_numpy(dtype=np.float32)), y[y > 0].min() / 2
    for (times, held_out), chosen in zip(draws, model.chosen_, strict=True):
        deviance = {}
        for k in candidates["n_neighbors"]:
            predicted = KNeighborsRegressor(k).fit(Z[times > 0], y[times > 0]).predict(Z)
            predicted *= y[times > 0].sum() / predicted[times > 0].sum()
            mu, seen = np.maximum(predicted[held_out], least), y[held_out]
            deviance[k] = np.mean(mu - seen * np.log(mu))
        assert chosen["n_neighbors"] == min(deviance, key=deviance.get)


@pytest.mark.parametrize(
    "change",
    [
        {"objective": "log"},
        {"candidates": {"n_neighbors": [50]}},
        {"n_rows": 40},
        {"n_members": 3},
        {"resampling": "blocks"},
        {"resampling": None},
        {"random_state": 1},
    ],
)
def test_every_keyword_changes_the_result(survey, change):
    X, y, groups = survey
    results = [
        RegressorEnsemble(KNeighborsRegressor(), **{"n_members": 2} | settings).fit(X, y, groups=groups).predict(X)
        for settings in ({}, change)
    ]
    assert not np.allclose(*results, rtol=1e-4)


def test_same_seed_same_bytes_on_any_number_of_threads(survey):
    X, y, _ = survey
    for name in OURS:
        fits = [small(name, n_jobs=jobs).fit(X, y) for jobs in (1, 2)]
        assert fits[0].predict_members(X).tobytes() == fits[1].predict_members(X).tobytes()
        again = pickle.loads(pickle.dumps(fits[0]))
        assert_array_equal(again.predict(X), fits[0].predict(X))
        assert json.loads(json.dumps(fits[0].settings_))["n_samples"] == 240


def test_the_seed_reaches_regressors_within_a_pipeline(survey):
    X, y, _ = survey
    forest = make_pipeline(StandardScaler(), RandomForestRegressor(5))
    fits = [RegressorEnsemble(forest, n_members=2, resampling=None).fit(X, y) for _ in range(2)]
    assert_array_equal(fits[0].predict_members(X), fits[1].predict_members(X))
    assert not np.allclose(*fits[0].predict_members(X))


def test_settings_hold_candidates_given_as_an_array(survey):
    X, y, _ = survey
    ridge = RegressorEnsemble(Ridge(), candidates={"alpha": np.array([0.1, 10.0])}, n_members=2).fit(X, y)
    told = json.loads(json.dumps(ridge.settings_, allow_nan=False))
    assert told["parameters"]["candidates"] == {"alpha": [0.1, 10.0]}
    assert {tuple(chosen.values()) for chosen in told["chosen"]} <= {(0.1,), (10.0,)}


class Nothing(Recorder):
    """Predicts that nothing is anywhere."""

    def predict(self, X):
        return np.zeros(len(X))


def test_a_member_that_predicts_nothing_anywhere_is_refused(survey):
    X, y, _ = survey
    with pytest.raises(ValueError, match="predicts 0 for each of its 240 samples"):
        RegressorEnsemble(Nothing(), n_members=2, resampling=None).fit(X, y)


def test_missing_predictors_are_refused_or_imputed(survey):
    X, y, _ = survey
    holes = X.mask(np.arange(240)[:, None] < [[12, 0]])
    with pytest.raises(ValueError, match=r"NaN; of 240 rows: temperature \(12\)"):
        small("splines").fit(holes, y)
    with pytest.warns(UserWarning, match=r"median: temperature \(12\)"):
        model = small("splines", missing="impute").fit(holes, y)
    assert np.isfinite(model.predict(holes)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "logs"}, "Did you mean 'log'"),
        ({"resampling": "block"}, "Did you mean 'blocks'"),
        ({"missing": "allow"}, "missing must be one of"),
        ({"n_rows": 1}, "2 or more; got 1"),
        ({"resampling": None, "candidates": {"strategy": ["mean"]}}, "Set candidates=None"),
        ({"candidates": {"strategies": ["mean"]}}, "Invalid parameter 'strategies'"),
        ({"resampling": "blocks"}, "needs groups"),
    ],
)
def test_wrong_input_gets_value_rule_and_remedy(survey, settings, message):
    X, y, _ = survey
    with pytest.raises(ValueError, match=message):
        RegressorEnsemble(DummyRegressor(), n_members=2).set_params(**settings).fit(X, y)


def test_learners_are_known_by_name():
    assert isinstance(learner("trees", max_depth=2), BoostedTrees)
    assert learner("splines", regressor__power=1.5).regressor.power == 1.5
    with pytest.raises(ValueError, match="Did you mean 'splines'"):
        learner("spline")
    with pytest.raises(ValueError, match="Invalid parameter 'n_knot'"):
        learner("splines", regressor__n_knot=3)


# Worlds


@pytest.mark.parametrize("name", LEARNERS)
def test_recovers_a_known_mean(survey, name):
    X, y, _ = survey
    mean = np.exp(0.08 * X["temperature"] - 0.1 * X["nitrate"]).to_numpy() * 5 / 6
    found = small(name, n_members=5).fit(X, y).predict(X)
    assert spearmanr(found, mean).statistic > 0.8
    assert found.mean() == pytest.approx(mean.mean(), rel=0.2)


def test_a_network_reads_image_embeddings_that_trees_cannot():
    """Amounts follow temperature and one direction through 60 embedding columns; each column alone tells little."""
    rng = np.random.default_rng(0)
    embedding = pd.DataFrame(rng.normal(size=(700, 60))).add_prefix("embedding_")
    table = embedding.assign(temperature=rng.uniform(0, 30, 700))
    direction = rng.normal(size=60) / np.sqrt(60)
    log_mean = 1.2 * embedding.to_numpy() @ direction + 0.03 * table["temperature"].to_numpy()
    y = rng.gamma(2.0, np.exp(log_mean) / 2)
    new = np.arange(700) >= 500
    skill = {}
    for name in ("trees", "network"):
        found = learner(name, n_members=2).fit(table[~new], y[~new]).predict(table[new])
        skill[name] = spearmanr(found, log_mean[new]).statistic
    assert skill["network"] > skill["trees"] + 0.1
    assert skill["network"] > 0.9


@pytest.mark.parametrize("name", ["splines", "forest"])
def test_maps_budgets_and_intervals_take_any_learner(name):
    ocean = synthetic.virtual_ocean(step=10, n_months=1, rng=1)
    predictors = ocean[["temperature", "nitrate"]]
    table = join_environment(synthetic.sample_ocean(ocean, n_samples=300, rng=1), predictors)
    table = table.dropna(subset=list(predictors))
    groups = SpatialBlocks(20).blocks(table)
    model = small(name, resampling="blocks").fit(table[list(predictors)], table["biomass_mg_m3"], groups=groups)
    field = habitat.predict_grid(model, predictors, units="mg m-3")
    cells = predictors.to_dataframe().dropna()
    places = {name: cells.reset_index()[name].to_xarray() for name in ("latitude", "longitude")}
    assert_allclose(field["biomass"].sel(places), model.predict_members(cells), rtol=1e-5)
    field = habitat.calibrate(field, model, table, target="biomass_mg_m3", environment=predictors)
    row = habitat.integrate(field, depth=(0, 200)).iloc[0]
    assert row["low"] < row["median"] < row["high"]
    assert row["low"] < synthetic.true_budget(ocean) < row["high"]
    stratified = clone(model).set_params(resampling="stratified").fit(table[list(predictors)], table["biomass_mg_m3"])
    field = habitat.calibrate(
        field.drop_vars(["low", "high"]),
        stratified,
        table,
        target="biomass_mg_m3",
        environment=predictors,
        n_replicates=3,
    )
    assert field["replicates"].sizes["replicate"] == 3
    area = habitat.area_of_applicability(table, predictors, predictors=list(predictors), folds=groups)
    assert 0.5 * float(predictors["temperature"].notnull().mean()) < float(area["inside"].mean()) < 1


def test_explanations_that_need_trees_say_so(survey):
    X, y, _ = survey
    model = small("splines").fit(X, y)
    with pytest.raises(TypeError, match="got RegressorEnsemble"):
        habitat.shap_values(model, X)
    effects = habitat.effects.accumulated_effects(model, X, scale="log")
    slope = effects[effects["predictor"] == "temperature"].agg({"effect": np.ptp, "value": np.ptp})
    assert slope["effect"] / slope["value"] == pytest.approx(0.08, abs=0.02)
