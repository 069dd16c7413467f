"""Successive halving against scikit-learn's, and the nested score against samples that nobody has seen."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.model_selection import HalvingGridSearchCV, KFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

from aqqua_science.habitat import BoostedTrees, SpatialBlocks, cross_validate
from aqqua_science.habitat.losses import choose_loss, explained, held_out_losses
from aqqua_science.habitat.tuning import halving_rounds, tune
from aqqua_science.habitat.validation import checked_splits

PREDICTORS = ["temperature", "nitrate", "oxygen"]


def drawn(n=200, seed=0, signal=1.0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"latitude": rng.uniform(-80, 80, n), "longitude": rng.uniform(-180, 180, n)})
    table[PREDICTORS] = rng.normal(size=(n, 3))
    return table.assign(biomass=signal * table["temperature"] + rng.normal(size=n))


@pytest.mark.parametrize("n_candidates", [2, 3, 8, 9, 10])
@pytest.mark.parametrize(("n_samples", "factor"), [(100, 3), (400, 2), (30, 3)])
def test_rounds_are_those_of_scikit_learn(n_candidates, n_samples, factor):
    table = drawn(n_samples)
    search = HalvingGridSearchCV(
        Ridge(),
        {"alpha": np.geomspace(0.1, 100, n_candidates)},
        cv=KFold(3),
        factor=factor,
        min_resources="exhaust",
        random_state=0,
    ).fit(table[PREDICTORS], table["biomass"])
    ours = halving_rounds(n_candidates, n_samples, least=2 * 3, factor=factor)
    assert ours == list(zip(search.n_candidates_, search.n_resources_, strict=True))


def test_the_best_third_goes_on_with_three_times_the_samples():
    candidates = {"n_neighbors": list(range(1, 10))}
    model, trials, skill = tune(
        KNeighborsRegressor(), drawn(300), target="biomass", predictors=PREDICTORS, candidates=candidates
    )
    assert trials.groupby("round")["n_samples"].agg(["size", "first"]).values.tolist() == [[9, 33], [3, 99], [1, 297]]
    for number in (0, 1):
        tried, went_on = (trials[trials["round"] == n] for n in (number, number + 1))
        best = tried.sort_values("skill", ascending=False)["n_neighbors"][: len(went_on)]
        assert set(went_on["n_neighbors"]) == set(best)
    winner = trials[trials["chosen"]]
    assert winner["round"].tolist() == [2]
    assert model.n_neighbors == winner["n_neighbors"].item()
    assert skill["search"] == winner["skill"].item()
    assert model.n_samples_fit_ == 300


def test_with_two_candidates_it_is_plain_cross_validation():
    table, cv = drawn(200), SpatialBlocks(20)
    _, trials, _ = tune(
        Ridge(), table, target="biomass", predictors=PREDICTORS, candidates=[{"alpha": 1.0}, {"alpha": 300.0}], cv=cv
    )
    splits = checked_splits(cv, table, target="biomass")
    for alpha, skill in zip(trials["alpha"], trials["skill"], strict=True):
        losses = held_out_losses(Ridge(alpha=alpha), table, splits, target="biomass", predictors=PREDICTORS)
        assert explained(losses) == pytest.approx(skill)
    assert trials.loc[trials["chosen"], "alpha"].item() == 1.0


def test_the_nested_score_is_honest_where_that_of_the_search_flatters():
    """
    Twelve shallow trees that differ by their seed alone, on weak signal.

    The best of twelve looks better than it is; the nested score agrees with fresh samples.
    """
    tree = DecisionTreeRegressor(max_depth=2, splitter="random")
    settings = {"candidates": {"random_state": list(range(12))}, "factor": 13}
    settings |= {"cv": SpatialBlocks(15, n_splits=3), "outer": SpatialBlocks(15, n_splits=3, random_state=1)}
    search, nested, fresh = [], [], []
    for seed in range(10):
        table, new = drawn(120, seed=seed, signal=0.4), drawn(4000, seed=seed + 1000, signal=0.4)
        model, _, skill = tune(tree, table, target="biomass", predictors=PREDICTORS, **settings)
        search.append(skill["search"])
        nested.append(skill["nested"])
        loss = choose_loss("squared", new["biomass"])
        cost = loss(new["biomass"], model.predict(new[PREDICTORS])).mean()
        fresh.append(1 - cost / loss(new["biomass"], table["biomass"].mean()).mean())
    flattery, error = (np.array(found) - fresh for found in (search, nested))
    assert flattery.mean() > 3 * flattery.std(ddof=1) / np.sqrt(10)
    assert error.mean() < 2 * error.std(ddof=1) / np.sqrt(10)
    assert error.mean() < flattery.mean() / 2


def test_nested_scores_are_those_of_the_outer_folds():
    table, outer = drawn(150), SpatialBlocks(30, n_splits=3)
    _, _, skill = tune(
        Ridge(), table, target="biomass", predictors=PREDICTORS, candidates={"alpha": [1e-9]}, outer=outer
    )
    splits = checked_splits(outer, table, target="biomass")
    losses = held_out_losses(Ridge(alpha=1e-9), table, splits, target="biomass", predictors=PREDICTORS)
    assert skill["nested"] == pytest.approx(explained(losses))
    assert_allclose(1 - skill["r2"], losses["loss"].sum() / (table["biomass"].var(ddof=0) * 150))


def test_nested_scores_are_on_the_logarithm_of_cross_validation():
    table = drawn(150).assign(biomass=lambda t: np.exp(t["biomass"]) / 100)
    outer = SpatialBlocks(30, n_splits=3)
    arguments = {"target": "biomass", "predictors": PREDICTORS}
    _, _, skill = tune(Ridge(), table, candidates={"alpha": [1.0]}, outer=outer, **arguments)
    plain = cross_validate(Ridge(), table, cv={"blocks": outer}, **arguments)
    assert skill["r2_log"] == pytest.approx(plain["r2_log"].item())


def test_boosted_trees_with_groups_and_volumes():
    table = drawn(240).assign(cruise=lambda t: np.arange(len(t)) // 10, volume_m3=2.0)
    table["biomass"] = np.exp(table["biomass"])
    arguments = {"target": "biomass", "predictors": PREDICTORS, "groups": "cruise", "volume": "volume_m3"}
    model = BoostedTrees(n_members=7, n_trees=20, resampling="groups")
    outer = SpatialBlocks(30, n_splits=2)
    best, trials, skill = tune(model, table, candidates={"max_depth": [1, 2, 4]}, outer=outer, **arguments)
    assert len(best.models_) == 7
    assert best.settings_["n_groups"] == 24
    assert best.max_depth == trials.loc[trials["chosen"], "max_depth"].item()
    assert 0 < skill["nested"] < 1


@pytest.mark.parametrize("seed", range(3))
def test_rounds_of_rare_finds_hold_as_many_of_them_as_others_hold_samples(seed):
    # In scikit-learn's rounds of nine candidates the first has a ninth of the samples: here four or five finds.
    table = drawn(400, seed=seed)
    table["biomass"] = np.where(np.random.default_rng(seed).random(400) < 0.1, np.exp(table["biomass"]), 0.0)
    share = (table["biomass"] > 0).mean()
    seen = []

    class Watched(Ridge):
        def fit(self, X, y):
            seen.append((y > 0).sum())
            return super().fit(X, y)

    _, trials, _ = tune(
        Watched(), table, target="biomass", predictors=PREDICTORS, candidates={"alpha": list(range(1, 10))}, rng=seed
    )
    assert trials["n_samples"].min() * share >= 2 * 5 - 1
    # Four of five samples of a round are for training, fewer where blocks differ in size.
    assert min(seen) >= 2
    model = BoostedTrees(n_members=2, n_trees=5)
    best, _, _ = tune(model, table, target="biomass", predictors=PREDICTORS, candidates={"max_depth": [1, 2, 3]})
    assert best.n_features_in_ == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": []}, "nothing to choose from"),
        ({"candidates": {"alpa": [1.0]}}, "Invalid parameter 'alpa'"),
        ({"factor": 1}, "2 or more; got 1"),
    ],
)
def test_wrong_use_is_refused(change, message):
    arguments = {"target": "biomass", "predictors": PREDICTORS, "candidates": {"alpha": [1.0, 2.0]}} | change
    with pytest.raises(ValueError, match=message):
        tune(Ridge(), drawn(), **arguments)
