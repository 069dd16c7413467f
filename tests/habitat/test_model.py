"""BoostedTrees against scikit-learn's contract, mathematics, simulated worlds and a published map."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from aqqua_science.grids import cell_area
from aqqua_science.habitat import BoostedTrees, predict_grid
from aqqua_science.habitat.objectives import choose_scale
from aqqua_science.habitat.resampling import member_rows

OBJECTIVES = ("poisson", "tweedie", "gamma", "two-part", "log")


def plain(objective="poisson", **keywords):
    """One model of all rows, in which nothing is drawn."""
    settings = {
        "scale": 1000.0,
        "n_members": 1,
        "resampling": None,
        "n_trees": 20,
        "subsample": 1.0,
        "tree_method": "exact",
    }
    return BoostedTrees(objective, **settings | keywords)


def draws_rows(estimator):
    name = "check_sample_weight_equivalence_on_dense_data"
    return {name: "rows are drawn, so repeats differ from weights"} if estimator.resampling else {}


# With `plain` the contract includes: a weight of two equals a row that is there twice.
@parametrize_with_checks(
    [BoostedTrees(n_members=2), plain("poisson"), plain("two-part")], expected_failed_checks=draws_rows
)
def test_obeys_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [plain("tweedie"), plain("gamma"), plain("log"), BoostedTrees(n_members=2, n_trees=20, missing="impute")],
    expected_failed_checks=draws_rows,
)
def test_other_objectives_obey_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def survey():
    """800 samples of a world whose mean is known: rises with temperature, falls with nitrate."""
    rng = np.random.default_rng(1)
    X = pd.DataFrame({"temperature": rng.uniform(0, 30, 800), "nitrate": rng.uniform(0, 20, 800)})
    mean = np.exp(0.08 * X["temperature"] - 0.1 * X["nitrate"]).to_numpy()
    return X, mean, rng.gamma(2.0, mean / 2), np.arange(800) // 20


# Mathematics


@pytest.mark.parametrize("base", ["mean", 0.5, 40.0])
def test_poisson_stump_takes_one_newton_step(base):
    x = np.repeat([0.0, 1.0], [3, 2])
    y = np.array([1.0, 0.0, 2.0, 9.0, 12.0])
    weight = np.array([1.0, 2.0, 1.0, 1.0, 3.0])
    model = plain(scale=1.0, n_trees=1, max_depth=1, learning_rate=1.0, min_child_weight=0, base_score=base)
    found = model.fit(x[:, None], y, sample_weight=weight).predict([[0.0], [1.0]])
    start = np.average(y, weights=weight) if base == "mean" else base
    for side, value in enumerate(found):
        rows = x == side
        gradient = (weight * (start - y))[rows].sum()
        curvature = (weight * start * np.exp(0.7))[rows].sum()  # xgboost damps the Hessian by its step limit
        step = np.clip(-gradient / (curvature + 1.0), -0.7, 0.7)
        assert value == pytest.approx(start * np.exp(step), rel=1e-5)


@pytest.mark.parametrize("volume_as", ["weight", "offset"])
def test_volume_enters_the_starting_value(volume_as):
    # Without trees the mean is total over total volume, whichever way the volume enters.
    y, volume = np.array([2.0, 4.0, 10.0, 0.0]), np.array([1.0, 0.5, 2.0, 0.5])
    model = plain(scale=1.0, n_trees=1, learning_rate=1e-9, volume_as=volume_as)
    found = model.fit(np.arange(4.0)[:, None], y, volume=volume).predict([[1.0]])
    assert found == pytest.approx((y * volume).sum() / volume.sum(), rel=1e-5)


def test_poisson_offset_equals_weight(survey):
    X, mean, _, _ = survey
    rng = np.random.default_rng(2)
    volume = rng.permutation(np.repeat([0.5, 1.0, 1.5], [250, 300, 250]))  # mean 1: same regularisation
    y = 2.0 * rng.poisson(10 * mean)  # even counts: nothing is rounded with either form
    weighted, offset = (
        plain(scale=1.0, volume_as=form).fit(X, y, volume=volume).predict(X) for form in ("weight", "offset")
    )
    assert_allclose(weighted, offset, rtol=1e-4)
    assert not np.allclose(weighted, plain(scale=1.0).fit(X, y).predict(X), rtol=1e-3)


def test_smearing_keeps_the_weighted_total(survey):
    X, _, y, _ = survey
    weight = np.random.default_rng(3).uniform(0.5, 2.0, len(y))
    model = plain("log").fit(X, y, sample_weight=weight)
    assert (weight * model.predict(X)).sum() == pytest.approx((weight * y).sum(), rel=1e-5)
    assert model.smearing_[0] > 1.05  # the plain back-transform is too low


def test_auto_scale_is_the_published_rule():
    y = np.concatenate([np.zeros(50), np.random.default_rng(0).lognormal(-3, 1, 500)])
    q01 = np.sort(y[y > 0])[[4, 5]] @ [0.01, 0.99]  # R's quantile type 7 at 0.01 of 500 values: position 4.99
    assert choose_scale(y) == np.ceil(1 / q01 / 100) * 1000
    assert choose_scale([0, 3, 1]) == 1.0


# Simulated worlds


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_recovers_a_known_mean(survey, objective):
    X, mean, y, _ = survey
    found = BoostedTrees(objective, n_members=10, n_trees=60, random_state=0).fit(X, y).predict(X)
    assert np.corrcoef(np.log(found), np.log(mean))[0, 1] > 0.93
    assert found.mean() == pytest.approx(mean.mean(), rel=0.1)


def test_two_part_recovers_presence_times_amount():
    rng = np.random.default_rng(4)
    X = rng.uniform(-1, 1, (4000, 2))
    presence, amount = 1 / (1 + np.exp(-3 * X[:, 0])), np.exp(1.5 * X[:, 1])
    y = (rng.random(4000) < presence) * rng.gamma(3.0, amount / 3)
    model = BoostedTrees("two-part", n_members=5, n_trees=60).fit(X, y)
    error = np.log(model.predict(X) / (presence * amount))
    assert abs(np.median(error)) < 0.05
    assert np.abs(error).mean() < 0.2
    chance = model.models_[0][0].inplace_predict(X.astype(np.float32))
    assert np.abs(chance - presence).mean() < 0.05


def test_monotone_constraint_holds_against_the_data(survey):
    X, _, y, _ = survey
    line = pd.DataFrame({"temperature": np.full(100, 15.0), "nitrate": np.linspace(0, 20, 100)})
    free = plain().fit(X, y).predict(line)
    bound = plain(monotone={"nitrate": 1}).fit(X, y).predict(line)
    assert (np.diff(free) < 0).any()
    assert (np.diff(bound) >= 0).all()


def test_growth_stops_early_on_noise(survey):
    X, _, y, blocks = survey
    noise = np.random.default_rng(5).permutation(y)
    fits = [BoostedTrees(n_members=3, resampling="blocks").fit(X, z, groups=blocks) for z in (y, noise)]
    assert fits[1].n_trees_.mean() < 0.5 * fits[0].n_trees_.mean()
    assert fits[0].n_trees_.shape == (3, 1)
    assert fits[0].n_trees_.max() < 2000


# Resampling


def test_stratified_members_are_repeated_folds_of_octiles():
    y = np.concatenate([np.zeros(25), np.random.default_rng(0).permutation(np.arange(1.0, 81.0))])
    octile = np.where(y > 0, np.ceil(y / 10), 0)
    draws = member_rows(y, None, resampling="stratified", n_members=10, rng=0)
    for repeat in (draws[:5], draws[5:]):
        assert_array_equal(sum(held_out.astype(int) for _, held_out in repeat), 1)
    for times, held_out in draws:
        assert_array_equal(times, ~held_out)
        assert_array_equal(np.bincount(octile[held_out].astype(int)), [5] + [2] * 8)
    assert (draws[0][1] != draws[5][1]).any()


def test_blocks_are_drawn_whole_with_replacement():
    groups = np.repeat(np.arange(12), 7)
    for times, held_out in member_rows(np.ones(84), groups, resampling="blocks", n_members=20, rng=0):
        per_group = times.reshape(12, 7)
        assert (per_group == per_group[:, :1]).all()
        assert per_group[:, 0].sum() == 12
        assert_array_equal(held_out, times == 0)


def test_groups_are_left_out_in_fifths():
    groups = np.repeat(np.arange(10), 3)
    draws = member_rows(np.ones(30), groups, resampling="groups", n_members=5, rng=0)
    assert_array_equal(sum(held_out.astype(int) for _, held_out in draws), 1)
    assert [len(np.unique(groups[held_out])) for _, held_out in draws] == [2] * 5


def test_growth_stops_on_whole_groups_where_there_are_some():
    groups = np.arange(100) % 10
    for times, held_out in member_rows(
        np.arange(100.0), groups, resampling="stratified", n_members=5, stopping=True, rng=0
    ):
        assert not set(groups[held_out]) & set(groups[times > 0])
        assert 0 < held_out.sum() <= 20


def test_a_single_group_does_not_hinder_stratified_members(survey):
    X, _, y, _ = survey
    one, none = (BoostedTrees(n_members=1).fit(X, y, groups=groups).predict(X) for groups in (np.zeros(800), None))
    assert_array_equal(one, none)


def test_block_bootstrap_with_few_positives_keeps_some():
    amount = np.zeros(100)
    amount[:20] = 1.0
    groups = np.arange(100) // 10
    for times, held_out in member_rows(amount, groups, resampling="blocks", n_members=50, stopping=True, rng=0):
        assert amount[times > 0].any()
        assert amount[held_out].any()


# Reproducible, and each keyword counts


def test_same_seed_same_bytes_on_any_number_of_threads(survey):
    X, _, y, _ = survey
    fits = [BoostedTrees(n_members=4, n_trees=15, n_jobs=jobs, random_state=7).fit(X, y) for jobs in (1, 3, None)]
    assert len({fit.predict_members(X).tobytes() for fit in fits}) == 1
    assert len({fit.predict(X).tobytes() for fit in fits}) == 1
    other = clone(fits[0]).set_params(random_state=8).fit(X, y)
    assert not np.array_equal(other.predict(X), fits[0].predict(X))


@pytest.mark.parametrize(
    "change",
    [
        {"objective": "tweedie"},
        {"scale": 3.0},
        {"n_members": 3},
        {"resampling": "blocks"},
        {"resampling": "groups"},
        {"resampling": None},
        {"n_trees": 16},
        {"n_trees": None},
        {"learning_rate": 0.2},
        {"max_depth": 2},
        {"min_child_weight": 1e6},
        {"subsample": 1.0},
        {"tree_method": "exact"},
        {"base_score": 0.5},
        {"monotone": {"temperature": -1}},
        {"volume_as": "offset"},
    ],
)
def test_every_keyword_changes_the_result(survey, change):
    X, _, y, blocks = survey
    volume = np.linspace(0.1, 2, len(y))
    results = [
        BoostedTrees(**{"n_members": 2, "n_trees": 15} | keywords).fit(X, y, groups=blocks, volume=volume).predict(X)
        for keywords in ({}, change)
    ]
    assert not np.allclose(*results, rtol=1e-4)


def test_prediction_is_the_mean_of_members(survey):
    X, _, y, _ = survey
    model = BoostedTrees("log", n_members=4, n_trees=10).fit(X, y)
    assert_allclose(model.predict(X), model.predict_members(X).mean(axis=0, dtype=float), rtol=1e-6)


def test_pickled_model_predicts_the_same_and_settings_are_json(survey):
    X, _, y, _ = survey
    model = BoostedTrees(n_members=2, max_depth=np.int64(3), random_state=np.random.RandomState(0)).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))
    settings = json.loads(json.dumps(model.settings_))
    assert settings["parameters"]["max_depth"] == 3
    assert settings["chains"][0]["max_delta_step"] == 0.7
    assert settings["parameters"]["base_score"] == "mean"
    assert settings["backend_version"].startswith("3.")


# Missing and wrong input


def test_missing_predictors_are_refused_imputed_or_allowed(survey):
    X, _, y, _ = survey
    holes = X.copy()
    holes.loc[:39, "nitrate"] = np.nan
    with pytest.raises(ValueError, match=r"NaN; of 800 rows: nitrate \(40\)"):
        plain().fit(holes, y)
    with pytest.raises(ValueError, match=r"NaN; of 800 rows: nitrate \(40\)"):
        plain().fit(X, y).predict(holes)
    with pytest.warns(UserWarning, match=r"median: nitrate \(40\)"):
        imputed = plain(missing="impute").fit(holes, y)
    filled = holes.fillna(holes.astype(np.float32).median())
    assert imputed.n_imputed_ == {"nitrate": 40}
    assert_allclose(imputed.predict(holes), plain().fit(filled, y).predict(filled), rtol=1e-6)
    allowed = plain(missing="allow").fit(holes, y)
    assert np.isfinite(allowed.predict(holes)).all()
    assert not np.allclose(allowed.predict(holes)[:40], imputed.predict(holes)[:40])


@pytest.mark.parametrize("missing", ["refuse", "impute", "allow"])
def test_infinite_predictors_are_always_refused(survey, missing):
    X, _, y, _ = survey
    X = X.copy()
    X.loc[3, "temperature"] = np.inf
    with pytest.raises(ValueError, match=r"not inf; of 800 rows: temperature \(1\)"):
        plain(missing=missing).fit(X, y)


def test_columns_must_be_those_of_the_fit_in_their_order(survey):
    X, _, y, _ = survey
    model = plain().fit(X, y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[["nitrate", "temperature"]])
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X.rename(columns={"nitrate": "phosphate"}))


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({"objective": "poison"}, {}, "Did you mean 'poisson'"),
        ({"resampling": "block"}, {}, "Did you mean 'blocks'"),
        ({"n_members": 0}, {}, "at least 1"),
        ({"n_trees": None}, {}, "Set n_trees"),
        ({"monotone": {"nitrat": 1}}, {}, "Did you mean 'nitrate'"),
        ({"objective": "gamma"}, {"y": "zeros"}, "1 of 800 are 0. Use objective='two-part'"),
        ({}, {"y": "nothing"}, "all 800 amounts are 0"),
        ({}, {"y": "negative"}, "negative; 800 of 800"),
        ({"scale": 1e-6}, {}, "Use scale="),
        ({"scale": -1}, {}, "scale must be positive"),
        ({}, {"X": "constant"}, "constant or empty in all 800 samples: nitrate"),
        ({"resampling": "blocks"}, {}, r"SpatialBlocks\(20\)"),
        ({"resampling": "groups"}, {"groups": np.zeros(800)}, "two groups or more"),
        ({}, {"groups": np.where(np.arange(800) == 5, np.nan, 1.0)}, "some are NaN"),
        ({}, {"volume": np.zeros(800)}, "positive number of m3"),
        ({"objective": "log", "volume_as": "offset"}, {}, "Use volume_as='weight'"),
    ],
)
def test_wrong_input_gets_value_rule_and_remedy(survey, settings, arguments, message):
    X, _, y, _ = survey
    targets = {"zeros": np.where(np.arange(800) == 5, 0, y), "nothing": 0 * y, "negative": -y}
    y = targets.get(arguments.pop("y", None), y) if "y" in (arguments := dict(arguments)) else y
    X = X.assign(nitrate=1.0) if arguments.pop("X", None) else X
    with pytest.raises(ValueError, match=message):
        plain(**settings).fit(X, y, **arguments)


# A published map


@pytest.fixture(scope="module")
def drago(shared_data):
    folder = shared_data / "drago2022"
    table = pd.read_csv(folder / "copepoda_0_200m.csv").merge(
        pd.read_csv(folder / "joined_0_200m.csv"), on=["longitude", "latitude"], validate="one_to_one"
    )
    env = xr.load_dataset(folder / "environment_0_200m.nc")
    return table[table["split"] == "train"], env, xr.load_dataset(folder / "published_copepoda_0_200m.nc")["biomass"]


@pytest.mark.parametrize(
    ("n_members", "tolerance", "correlation"),
    [(10, 0.006, 0.996), pytest.param(100, 0.002, 0.999, marks=pytest.mark.slow)],
)
def test_reproduces_the_published_copepod_map(drago, n_members, tolerance, correlation):
    table, env, published = drago
    assert len(table) == 710
    model = BoostedTrees(
        scale=1000,
        n_members=n_members,
        n_trees=222,
        tree_method="exact",
        base_score=0.5,
        missing="allow",
        n_jobs=2,
    ).fit(table[list(env)], table["biomass_sphere_mgC_m3"])
    mean = predict_grid(model, env, units="mg m-3")["biomass"].mean("member")
    total_pgc = float((mean * cell_area(env)).sum()) * 200 / 1e18
    assert total_pgc == pytest.approx(0.083, abs=tolerance)
    assert_array_equal(mean.notnull(), published.notnull())
    assert float(xr.corr(np.log(mean), np.log(published))) >= correlation
