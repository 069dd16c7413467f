"""Several learners and several targets under the same folds, in worlds where the best learner is known."""

import time

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from aqqua_science.habitat import KNNDM, SpatialBlocks, StratifiedFolds, cross_validate
from aqqua_science.habitat.comparison import compare
from aqqua_science.habitat.domain import distance_to_domain_km
from aqqua_science.habitat.learners import RegressorEnsemble, learner
from aqqua_science.schema import SchemaError

PREDICTORS = ["temperature", "nitrate"]


def ocean(log_mean, n=300, seed=0):
    """Samples of an ocean whose predictors know nothing of the place, with amounts around a known mean."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"latitude": rng.uniform(-60, 60, n), "longitude": rng.uniform(-180, 180, n)})
    table = table.assign(temperature=rng.uniform(0, 30, n), nitrate=rng.uniform(0, 20, n))
    return table.assign(biomass=rng.gamma(4.0, np.exp(log_mean(table)) / 4))


def skill_of(table, **columns):
    models = {"trees": learner("trees", n_members=3), "splines": learner("splines", n_members=3)}
    cv = {"blocks": SpatialBlocks(15)}
    found = compare(models, table, target="biomass", cv=cv, predictors=PREDICTORS, **columns)
    return found.set_index("model")["r2_log"]


def test_splines_win_where_effects_multiply_smoothly():
    skill = skill_of(ocean(lambda t: 0.1 * t["temperature"] - 0.1 * t["nitrate"]))
    assert skill["splines"] > skill["trees"] + 0.03


def test_trees_win_where_thresholds_interact():
    skill = skill_of(ocean(lambda t: 2.0 * ((t["temperature"] > 15) ^ (t["nitrate"] > 10))))
    assert skill["trees"] > skill["splines"] + 0.3


@pytest.fixture(scope="module")
def table():
    return ocean(lambda t: 0.1 * t["temperature"], n=120).assign(cruise=np.arange(120) // 6)


def test_each_model_is_scored_as_cross_validate_does_under_the_same_folds(table):
    models = {"mean": DummyRegressor(), "line": LinearRegression()}
    domain = [[lat, lon] for lat in range(-60, 61, 20) for lon in range(-180, 180, 20)]
    arguments = {"target": "biomass", "predictors": PREDICTORS, "domain": domain}
    found = compare(models, table, groups="cruise", **arguments)
    assert found["scheme"].tolist() == ["random", "blocks", "groups", "knndm"] * 2
    for name, model in models.items():
        cv = {"random": StratifiedFolds(), "blocks": SpatialBlocks(15), "knndm": KNNDM(domain)}
        expected = cross_validate(model, table, cv=cv, **arguments)
        ours = found[(found["model"] == name) & (found["scheme"] != "groups")].reset_index(drop=True)
        pd.testing.assert_frame_equal(ours[list(expected)], expected)


def test_logarithms_of_all_models_are_of_one_scale(table):
    # The same predictions, by a model of this package and by one of scikit-learn.
    models = {"ours": RegressorEnsemble(DummyRegressor(), n_members=1, resampling=None), "theirs": DummyRegressor()}
    found = compare(models, table.assign(biomass=table["biomass"] / 100), target="biomass", predictors=PREDICTORS)
    ours, theirs = (found[found["model"] == name].set_index("scheme")["r2_log"] for name in models)
    pd.testing.assert_series_equal(ours, theirs)


def test_seconds_are_those_of_fits_and_predictions(table):
    domain = np.column_stack([np.tile(np.linspace(-80, 80, 1000), 1000), np.repeat(np.linspace(-180, 179, 1000), 1000)])
    start = time.perf_counter()
    distance = distance_to_domain_km(table, SpatialBlocks(15).split(table), domain=domain)
    took = time.perf_counter() - start
    arguments = {
        "target": "biomass",
        "predictors": PREDICTORS,
        "cv": {("blocks", 0): SpatialBlocks(15)},
        "domain": domain,
    }
    found = compare({"mean": DummyRegressor()}, table, **arguments)
    assert found["seconds"].item() < took / 2
    assert found["distance_to_domain_km"].item() == distance
    assert found["scheme"].item() == ("blocks", 0)


def test_a_small_survey_has_smaller_blocks(table):
    bay = table.assign(latitude=table["latitude"] / 60, longitude=table["longitude"] / 180)
    found = compare({"line": LinearRegression()}, bay, target="biomass", predictors=PREDICTORS)
    assert found["n"].tolist() == [120, 120]


def test_targets_share_their_folds(table):
    copy = table.assign(again=table["biomass"], other=table["nitrate"])
    targets = ["biomass", "again", "other"]
    arguments = {"predictors": ["temperature"], "cv": {"blocks": SpatialBlocks(15), "random": StratifiedFolds()}}
    found = cross_validate(LinearRegression(), copy, target=targets, **arguments)
    assert found[["scheme", "target"]].values.tolist() == [[s, t] for s in ("blocks", "random") for t in targets]
    scores = found.set_index(["target", "scheme"]).drop(columns=["n", "distance_to_domain_km"])
    pd.testing.assert_frame_equal(scores.loc["biomass"], scores.loc["again"])
    alone = cross_validate(LinearRegression(), copy, target="other", **arguments).set_index("scheme")
    assert scores.loc[("other", "blocks"), "r2"] == alone.loc["blocks", "r2"]
    several = compare({"line": LinearRegression()}, copy, target=targets, **arguments)
    assert several["r2"].tolist() == found["r2"].tolist()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"models": {}}, ValueError, "nothing to compare"),
        ({"target": "biomas"}, SchemaError, "Did you mean 'biomass'"),
        ({"target": []}, ValueError, "names no column"),
        ({"groups": "cruises"}, SchemaError, "Did you mean 'cruise'"),
        ({"target": ["biomass", "gappy"]}, ValueError, "gappy must be finite in every row; 120 of 120"),
    ],
)
def test_wrong_use_is_refused(table, change, error, message):
    call = {"models": {"line": LinearRegression()}, "target": "biomass", "predictors": PREDICTORS} | change
    models = call.pop("models")
    with pytest.raises(error, match=message):
        compare(models, table.assign(gappy=np.nan), **call)
