"""Permutation importance against arithmetic, and against what is known of drawn samples."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneOut

from aqqua_science.habitat import BoostedTrees, SpatialBlocks
from aqqua_science.habitat.importance import permutation_importance, shuffled_losses
from aqqua_science.habitat.losses import choose_loss, explained, held_out_losses
from aqqua_science.habitat.scores import poisson_deviance
from aqqua_science.habitat.validation import checked_splits
from aqqua_science.schema import SchemaError

PREDICTORS = ["temperature", "nitrate", "noise"]


def drawn(n=600, seed=0, slopes=(2.0, -1.0, 0.0)):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"latitude": rng.uniform(-80, 80, n), "longitude": rng.uniform(-180, 180, n)})
    table[PREDICTORS] = rng.normal(size=(n, 3))
    table["biomass"] = table[PREDICTORS] @ np.array(slopes) + rng.normal(size=n)
    return table


def test_of_a_linear_model_it_is_twice_the_variance_that_a_predictor_carries():
    # Shuffling x turns b x into b x', an independent copy: the squared error rises by 2 b^2 var(x).
    table = drawn(4000)
    found = permutation_importance(LinearRegression(), table, target="biomass", predictors=PREDICTORS, loss="squared")
    found = found.set_index("predictor")
    assert_allclose(found["importance"], np.array([8.0, 2.0, 0.0]) / 6, atol=0.07)
    assert_allclose(found["skill"], 5 / 6, atol=0.02)
    assert list(found.index) == PREDICTORS
    assert (found["lowest"] <= found["importance"]).all()
    assert (found["importance"] <= found["highest"]).all()


def test_it_is_the_plain_double_loop():
    table, cv = drawn(150, seed=3), SpatialBlocks(30, n_splits=3)
    splits = checked_splits(cv, table, target="biomass")
    units = {name: [name] for name in PREDICTORS}
    losses, rises = shuffled_losses(
        LinearRegression(), table, splits, target="biomass", predictors=PREDICTORS, units=units, n_repeats=4, rng=5
    )
    rng = np.random.default_rng(5)
    expected = {name: [] for name in PREDICTORS}
    for train, test in splits:
        fitted = LinearRegression().fit(table.iloc[train][PREDICTORS], table.iloc[train]["biomass"])
        observed = table.iloc[test]["biomass"].to_numpy()
        plain = (observed - fitted.predict(table.iloc[test][PREDICTORS])) ** 2
        for name in PREDICTORS:
            runs = []
            for order in [rng.permutation(len(test)) for _ in range(4)]:
                shuffled = table.iloc[test][PREDICTORS].copy()
                shuffled[name] = shuffled[name].to_numpy()[order]
                runs.append((observed - fitted.predict(shuffled)) ** 2 - plain)
            expected[name].append(np.array(runs))
    for name in PREDICTORS:
        assert_allclose(rises[name], np.hstack(expected[name]), atol=1e-12)
    assert_allclose(losses["row"], np.concatenate([test for _, test in splits]))

    found = permutation_importance(
        LinearRegression(), table, target="biomass", predictors=PREDICTORS, cv=cv, n_repeats=4, rng=5
    ).set_index("predictor")
    null = losses["null_loss"].mean()
    folds = [part.mean() / null for part in expected["nitrate"]]
    runs = np.hstack(expected["nitrate"]).mean(axis=1) / null
    row = found.loc["nitrate"]
    assert_allclose(
        [row["importance"], row["fold_sd"], row["lowest"], row["highest"], row["repeat_sd"]],
        [runs.mean(), np.std(folds, ddof=1), min(folds), max(folds), np.std(runs, ddof=1)],
    )


def test_only_rows_that_a_model_has_not_seen_are_shuffled():
    """A forest learns the noise of its own samples by heart; held-out samples know that it is of no use."""
    table = drawn(300, slopes=(0.0, 0.0, 0.0))
    forest = RandomForestRegressor(30, random_state=0)
    found = permutation_importance(forest, table, target="biomass", predictors=PREDICTORS, n_repeats=5)
    seen = table[PREDICTORS]
    fitted = forest.fit(seen, table["biomass"])
    rng = np.random.default_rng(0)
    shuffled = seen.assign(noise=rng.permutation(seen["noise"]))
    own = ((table["biomass"] - fitted.predict(shuffled)) ** 2).mean() - (
        (table["biomass"] - fitted.predict(seen)) ** 2
    ).mean()
    assert own / table["biomass"].var() > 0.3
    assert found["importance"].abs().max() < 0.1
    assert found["skill"].iloc[0] < 0.05


class Sum(RegressorMixin, BaseEstimator):
    """Predicts the mean of two columns that are the same."""

    def fit(self, X, y):
        return self

    def predict(self, X):
        return X["temperature"].to_numpy() / 2 + X["copy"].to_numpy() / 2


def test_copies_share_their_importance_and_show_it_together():
    table = drawn(2000, slopes=(1.0, 0.0, 0.0)).assign(copy=lambda t: t["temperature"])
    names = ["temperature", "copy"]
    alone = permutation_importance(Sum(), table, target="biomass", predictors=names)
    both = permutation_importance(Sum(), table, target="biomass", predictors=names, together={"water": names})
    # Half of it: error of x / 2 - x' / 2, a quarter of that of x - x'.
    assert_allclose(alone["importance"], 0.25, atol=0.03)
    assert both["predictor"].tolist() == ["water"]
    assert_allclose(both["importance"], 1.0, atol=0.1)


def test_boosted_trees_by_deviance_with_volumes_and_groups():
    table = drawn(300, slopes=(1.0, 0.0, 0.0)).assign(cruise=lambda t: np.arange(len(t)) // 10, volume_m3=2.0)
    table["biomass"] = np.exp(table["biomass"] / 2)
    model = BoostedTrees(n_members=30, n_trees=30, resampling="groups")
    arguments = {"target": "biomass", "predictors": PREDICTORS, "groups": "cruise", "volume": "volume_m3"}
    found = permutation_importance(model, table, n_repeats=2, **arguments)
    assert found["predictor"].iloc[0] == "temperature"
    assert found["importance"].iloc[0] > 5 * found["importance"].iloc[1]
    again = permutation_importance(model, table, n_repeats=2, **arguments)
    pd.testing.assert_frame_equal(found, again)
    other = permutation_importance(model, table, n_repeats=2, rng=1, **arguments)
    assert not np.allclose(found["importance"], other["importance"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"together": {"water": ["temprature"]}}, "together names temprature"),
        ({"loss": "devience"}, "Did you mean 'deviance'"),
        ({"loss": "deviance"}, "not negative"),
        ({"cv": LeaveOneOut()}, "no fold holds out two samples or more"),
    ],
)
def test_wrong_use_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        permutation_importance(LinearRegression(), drawn(50), target="biomass", predictors=PREDICTORS, **change)
    with pytest.raises(SchemaError, match="no column 'salinity'"):
        permutation_importance(LinearRegression(), drawn(50), target="biomass", predictors=["salinity"])


@pytest.mark.parametrize("amount", [0.0, 0.1, -0.1])
def test_amounts_that_are_all_alike_leave_nothing_to_explain(amount):
    # Sums of 0.1 are rounded: their mean is not 0.1 in the last digit, and its loss not quite zero.
    table = drawn(60).assign(biomass=amount)
    with pytest.raises(ValueError, match="nothing to explain"):
        permutation_importance(LinearRegression(), table, target="biomass", predictors=PREDICTORS)


def test_losses_are_the_scores_row_by_row():
    rng = np.random.default_rng(0)
    observed, predicted = rng.poisson(1.0, 50).astype(float), rng.uniform(0.6, 3, 50)
    assert_allclose(choose_loss(None, observed)(observed, predicted).mean(), poisson_deviance(observed, predicted))
    assert_allclose(choose_loss(None, -observed)(observed, predicted), (observed - predicted) ** 2)
    assert_allclose(choose_loss("absolute", observed)(observed, predicted), abs(observed - predicted))


def test_zero_predicted_for_something_costs_much_but_not_infinitely():
    cost = choose_loss("deviance", [0.0, 2.0, 4.0])
    assert_allclose(cost([2.0], [0.0]), cost([2.0], [1.0]))
    assert np.isfinite(cost([2.0], [-3.0])).all()


def test_the_training_mean_explains_nothing_and_the_truth_all():
    table = drawn(200).assign(answer=lambda t: t["biomass"])
    splits = checked_splits(SpatialBlocks(20), table, target="biomass")
    losses = held_out_losses(LinearRegression(), table, splits, target="biomass", predictors=["answer"])
    assert explained(losses) == pytest.approx(1.0)
    assert explained(losses.assign(loss=losses["null_loss"])) == 0
