"""Weights of learners against a search of all weights, loops written out, and learners that should get none."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from aqqua_science.habitat import BoostedTrees, SpatialBlocks, cross_validate
from aqqua_science.habitat.comparison import compare
from aqqua_science.habitat.learners import RegressorEnsemble, learner
from aqqua_science.habitat.stacking import WeightedEnsemble, stacking_weights

PREDICTORS = ["temperature", "nitrate"]


def line():
    return RegressorEnsemble(LinearRegression(), objective="log")


def two(**settings):
    return WeightedEnsemble({"line": line(), "near": RegressorEnsemble(KNeighborsRegressor(3))}, **settings)


@parametrize_with_checks(
    [two(n_members=2, resampling="stratified", n_splits=2)],
    expected_failed_checks=lambda _: {"check_sample_weight_equivalence_on_dense_data": "rows are drawn"},
)
def test_obeys_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def survey():
    """300 samples in 30 blocks; amounts are a smooth curve times a step."""
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"latitude": rng.uniform(-60, 60, 300), "longitude": rng.uniform(-180, 180, 300)})
    table = table.assign(temperature=rng.uniform(0, 30, 300), nitrate=rng.uniform(0, 20, 300))
    mean = np.exp(0.08 * table["temperature"] + 1.5 * (table["nitrate"] > 12))
    return table.assign(biomass=rng.gamma(4.0, mean / 4), block=np.arange(300) // 10)


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    truth = rng.gamma(2.0, size=200)
    observed = rng.poisson(truth * 3) / 3.0
    weight = rng.uniform(0.5, 2, 200)
    predictions = pd.DataFrame(
        {f"learner_{i}": truth * rng.lognormal(0, sd, 200) for i, sd in enumerate([0.3, 0.5, 1.2])}
    )
    found = stacking_weights(predictions, observed, weight=weight)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)

    def deviance(shares):
        mu = np.maximum(predictions.to_numpy() @ shares, observed[observed > 0].min() / 2)
        seen = observed > 0
        logs = np.zeros(200)
        logs[seen] = observed[seen] * np.log(observed[seen] / mu[seen])
        return np.average(logs - observed + mu, weights=weight)

    steps = np.linspace(0, 1, 41)
    best = min(deviance(np.array([a, b, 1 - a - b])) for a in steps for b in steps if a + b <= 1 + 1e-9)
    assert deviance(found.to_numpy()) <= best + 1e-4


def test_held_out_predictions_are_those_of_a_plain_loop(survey):
    X, y, groups = survey[PREDICTORS], survey["biomass"].to_numpy(), survey["block"].to_numpy()
    model = two(n_members=3).fit(X, y, groups=groups)
    expected = np.full(300, np.nan)
    for train, test in GroupKFold(5).split(X, y, groups):
        alone = line().set_params(n_members=3, resampling="blocks")
        expected[test] = alone.fit(X.iloc[train], y[train], groups=groups[train]).predict(X.iloc[test])
    assert_allclose(model.held_out_["line"], expected, rtol=1e-6)


def test_members_are_weighted_means_of_members_that_saw_the_same_blocks(survey):
    X, y, groups = survey[PREDICTORS], survey["biomass"], survey["block"]
    model = two(n_members=3).fit(X, y, groups=groups)
    alone = {
        name: part.set_params(n_members=3, resampling="blocks").fit(X, y, groups=groups)
        for name, part in two().learners.items()
    }
    expected = sum(model.weights_[name] * part.predict_members(X) for name, part in alone.items())
    assert_allclose(model.predict_members(X), expected, rtol=1e-5)
    assert_allclose(model.predict(X), expected.mean(axis=0), rtol=1e-5)
    assert len(model.models_) == 3
    assert json.loads(json.dumps(model.settings_))["weights"] == model.weights_.to_dict()


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(3)])
def test_members_see_the_same_blocks_whatever_the_seed_is(survey, random_state):
    X, y, groups = survey[PREDICTORS], survey["biomass"], survey["block"]
    twins = {"one": RegressorEnsemble(KNeighborsRegressor(3)), "two": RegressorEnsemble(KNeighborsRegressor(3))}
    model = WeightedEnsemble(twins, n_members=2, random_state=random_state).fit(X, y, groups=groups)
    assert_array_equal(*(part.predict_members(X) for part in model.learners_.values()))
    assert_array_equal(model.held_out_["one"], model.held_out_["two"])


def test_random_folds_are_dealt_by_the_seed(survey):
    X, y = survey[PREDICTORS], survey["biomass"]
    near = {"near": RegressorEnsemble(KNeighborsRegressor(3))}
    held_out = [
        WeightedEnsemble(near, n_members=1, resampling=None, random_state=seed).fit(X, y).held_out_["near"]
        for seed in (0, 0, 1)
    ]
    assert_array_equal(held_out[0], held_out[1])
    assert not np.allclose(held_out[0], held_out[2])


def test_a_learner_takes_the_volume_as_its_offset(survey):
    X, y, groups = survey[PREDICTORS], survey["biomass"].to_numpy(), survey["block"].to_numpy()
    volume = np.linspace(0.1, 3, 300)
    trees = BoostedTrees("tweedie", n_trees=20, volume_as="offset", n_members=2, resampling="blocks")
    model = WeightedEnsemble({"trees": trees}, n_members=2).fit(X, y, groups=groups, volume=volume)
    assert_array_equal(model.predict(X), trees.fit(X, y, groups=groups, volume=volume).predict(X))
    expected = np.full(300, np.nan)
    for train, test in GroupKFold(5).split(X, y, groups):
        trees.fit(X.iloc[train], y[train], groups=groups[train], volume=volume[train])
        expected[test] = trees.predict(X.iloc[test])
    assert_allclose(model.held_out_["trees"], expected, rtol=1e-6)


def test_what_knows_its_samples_by_heart_gets_next_to_nothing():
    parrot, mean = (RegressorEnsemble(regressor) for regressor in (KNeighborsRegressor(1), DummyRegressor()))
    weights = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X, y = pd.DataFrame(rng.normal(size=(400, 3))).add_prefix("predictor_"), rng.gamma(2.0, size=400)
        model = WeightedEnsemble({"parrot": parrot, "mean": mean}, n_members=1, resampling=None)
        model.fit(X, y, groups=np.arange(400) // 5)
        assert_allclose(model.learners_["parrot"].predict(X), y, rtol=1e-5)
        weights.append(model.weights_["parrot"])
    assert np.mean(weights) < 0.1


def test_the_whole_is_no_worse_than_its_best_part_in_water_that_is_new(survey):
    parts = {"trees": BoostedTrees(n_trees=60), "splines": learner("splines", candidates={"alpha": [1e-3]})}
    models = {name: part.set_params(n_members=3) for name, part in parts.items()}
    models |= {"both": WeightedEnsemble(parts, n_members=3)}
    cv = {"blocks": SpatialBlocks(20)}
    found = compare(models, survey, target="biomass", predictors=PREDICTORS, cv=cv).set_index("model")
    deviance = found["poisson_deviance"]
    assert deviance["both"] < deviance[["trees", "splines"]].min() * 1.02
    assert deviance["both"] < deviance[["trees", "splines"]].mean() * 0.95


def test_cross_validation_gives_it_blocks_whatever_its_members_learn_from(survey):
    cv = {"blocks": SpatialBlocks(30)}
    arguments = {"target": "biomass", "predictors": PREDICTORS, "cv": cv}
    model = two(n_members=2, resampling="stratified")
    table = survey.assign(tile=SpatialBlocks(20).blocks(survey))
    named, found = (cross_validate(model, table, **arguments, **columns) for columns in ({"groups": "tile"}, {}))
    pd.testing.assert_frame_equal(named, found)


def test_the_score_is_nested(survey):
    # Amounts are noise: weights and learners found anew without each fold explain none of it.
    noise = survey.assign(biomass=np.random.default_rng(5).gamma(2.0, size=300))
    skill = cross_validate(two(n_members=2), noise, target="biomass", predictors=PREDICTORS)
    assert (skill["r2"] < 0.05).all()


def test_weights_of_zero_and_volumes_count(survey):
    X, y, groups = survey[PREDICTORS], survey["biomass"].to_numpy(), survey["block"].to_numpy()
    kept = np.arange(300) < 200
    part = two(n_members=2).fit(X[kept], y[kept], groups=groups[kept])
    masked = two(n_members=2).fit(X, y, groups=groups, sample_weight=kept.astype(float))
    assert_array_equal(part.predict(X), masked.predict(X))
    uneven = two(n_members=2).fit(X, y, groups=groups, volume=np.linspace(0.1, 3, 300))
    assert not np.allclose(uneven.weights_, two(n_members=2).fit(X, y, groups=groups).weights_)


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (WeightedEnsemble({"line": LinearRegression()}), {}, r"Wrap a regressor of scikit-learn"),
        (two(n_splits=1), {}, "2 or more; got 1"),
        (two(n_splits=40), {}, "n_splits=40 folds need as many groups; there are 30"),
        (two(), {"groups": None}, "needs groups"),
        (two(resampling="block"), {}, "Did you mean 'blocks'"),
        (WeightedEnsemble({}), {}, "learners is empty"),
    ],
)
def test_wrong_use_is_refused(survey, model, arguments, message):
    call = {"groups": survey["block"]} | arguments
    with pytest.raises(ValueError, match=message):
        model.fit(survey[PREDICTORS], survey["biomass"], **call)
