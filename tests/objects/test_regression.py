"""Carbon learnt from features: sums without bias, intervals that hold, and scikit-learn's contract."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupShuffleSplit
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from aqqua_science.objects.regression import CarbonRegressor


def world(n, rng, scatter=0.6):
    """Carbon that grows with two of five features, with lognormal scatter; its mean is known."""
    features = rng.normal(size=(n, 5))
    middle = 1.0 + 1.5 * features[:, 0] - 0.5 * features[:, 1]
    return features, np.exp(middle + scatter * rng.standard_normal(n)), np.exp(middle + scatter**2 / 2)


@parametrize_with_checks([CarbonRegressor(random_state=0)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_sums_are_right_and_would_be_too_low_without_smearing():
    ratios, plain = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        features, carbon, _ = world(600, rng)
        new, _, mean = world(2000, rng)
        model = CarbonRegressor(random_state=seed).fit(features, carbon)
        ratios.append(model.predict(new).sum() / mean.sum())
        plain.append(model.predict(new).sum() / model.smearing_ / mean.sum())
    assert abs(np.mean(ratios) - 1) < 0.03
    assert np.mean(plain) < 0.88


def test_smearing_is_that_of_lognormal_errors():
    features, carbon, _ = world(20_000, np.random.default_rng(0))
    assert_allclose(CarbonRegressor(random_state=0).fit(features, carbon).smearing_, np.exp(0.6**2 / 2), rtol=0.03)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals_hold_their_share(level):
    hits = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        features, carbon, _ = world(400, rng)
        new, truth, _ = world(500, rng)
        bounds = CarbonRegressor(random_state=seed).fit(features, carbon).predict_interval(new, level=level)
        hits.append(bounds["carbon_ug_low"].le(truth) & bounds["carbon_ug_high"].ge(truth))
    assert abs(np.mean(hits) - level) < 0.03


def test_another_regressor_learns_a_bend():
    rng = np.random.default_rng(1)
    features = rng.uniform(-2, 2, size=(1500, 1))
    carbon = np.exp(features[:, 0] ** 2 + 0.2 * rng.standard_normal(1500))
    boosted = CarbonRegressor(HistGradientBoostingRegressor(random_state=0), random_state=0)
    scores = [
        model.fit(features[:1000], carbon[:1000]).score(features[1000:], carbon[1000:])
        for model in (boosted, CarbonRegressor(random_state=0))
    ]
    assert scores[0] > 0.9 > scores[1]


def test_features_of_another_encoder_are_refused():
    rng = np.random.default_rng(0)
    values, carbon, _ = world(100, rng)
    features = xr.DataArray(values, dims=("object", "feature"), attrs={"fingerprint": "a"})
    model = CarbonRegressor(random_state=0).fit(features, carbon)
    assert_allclose(model.predict(features), model.predict(values))
    with pytest.raises(ValueError, match="fingerprint b"):
        model.predict(features.assign_attrs(fingerprint="b"))


def test_a_labelled_array_is_turned():
    values, carbon, _ = world(100, np.random.default_rng(0))
    features = xr.DataArray(values, dims=("object", "feature"))
    expected = CarbonRegressor().fit(values, carbon).predict(values)
    model = CarbonRegressor().fit(features.transpose("feature", "object"), carbon)
    assert_allclose(model.predict(features.T), expected)
    with pytest.raises(ValueError, match="dimensions"):
        model.predict(features.rename(object="sample"))


def of_samples(rng, n_samples=80, most=9):
    """Each sample has an offset of its own that its features betray; a new sample's offset is unknown."""
    sample = np.repeat(np.arange(n_samples), rng.integers(3, most + 1, n_samples))
    offset, mark = rng.normal(size=n_samples), rng.normal(size=(n_samples, 8))
    own = rng.normal(size=(len(sample), 1))
    features = np.concatenate([mark[sample] + 0.05 * rng.normal(size=(len(sample), 8)), own], axis=1)
    carbon = np.exp(offset[sample] + 0.1 * own[:, 0] + 0.1 * rng.normal(size=len(sample)))
    return features, carbon, sample


def test_intervals_of_groups_hold_for_new_samples():
    """Those of objects kept apart singly hold far less: their samples are known."""
    rng, held = np.random.default_rng(2), {"grouped": [], "blind": []}
    for seed in range(25):
        features, carbon, sample = of_samples(rng)
        known = sample < 40
        tree = CarbonRegressor(DecisionTreeRegressor(random_state=0), random_state=seed)
        for name, groups in (("grouped", sample[known]), ("blind", None)):
            bounds = tree.fit(features[known], carbon[known], groups=groups).predict_interval(features[~known])
            held[name].append(bounds["carbon_ug_low"].le(carbon[~known]) & bounds["carbon_ug_high"].ge(carbon[~known]))
    grouped, blind = (np.mean([h.mean() for h in held[name]]) for name in ("grouped", "blind"))
    assert 0.87 < grouped < 0.97
    assert blind < 0.6


def slow_width(errors, groups, level):
    """Of the paper: the smallest width whose share, every group and the new one of the same weight, is the level."""
    names = np.unique(groups)
    for width in np.sort(np.abs(errors)):
        shares = [np.mean(np.abs(errors[groups == name]) <= width) for name in names]
        if np.sum(shares) / (len(names) + 1) >= level:
            return width
    return np.inf


@pytest.mark.parametrize("level", [0.5, 0.77, 0.9])
def test_the_width_is_that_of_the_paper(level):
    features, carbon, sample = of_samples(np.random.default_rng(3))
    model = CarbonRegressor(LinearRegression(), random_state=1).fit(features, carbon, groups=sample)
    _, apart = next(GroupShuffleSplit(1, test_size=0.25, random_state=1).split(features, groups=sample))
    errors = np.log(carbon[apart]) - model.regressor_.predict(features[apart])
    bounds = model.predict_interval(features[:5], level=level)
    width = np.log(bounds["carbon_ug_high"] / bounds["carbon_ug_low"]) / 2
    assert_allclose(width, slow_width(errors, sample[apart], level))
    assert model.n_apart_ == 20


def test_groups_of_one_are_no_groups():
    features, carbon, _ = world(80, np.random.default_rng(0))
    singly, grouped = (CarbonRegressor().fit(features, carbon, groups=g) for g in (None, np.arange(80)))
    assert_allclose(singly.predict_interval(features), grouped.predict_interval(features))


def test_few_objects_are_enough_for_their_level():
    """Nine apart are enough for 90 %, in the eyes of the computer as well."""
    features, carbon, _ = world(36, np.random.default_rng(0))
    model = CarbonRegressor().fit(features, carbon)
    width = np.log(model.predict_interval(features)["carbon_ug_high"]) - np.log(model.predict(features))
    assert_allclose(width + np.log(model.smearing_), np.abs(model.residuals_).max())
    with pytest.raises(ValueError, match="needs at least 19 objects, or groups where given, kept apart; there are 9"):
        model.predict_interval(features, level=0.95)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(50), "0 are missing and there are 1 groups"),
        ([None, *range(49)], "1 are missing"),
        (np.arange(49), "inconsistent numbers of samples"),
    ],
)
def test_bad_groups(groups, message):
    features, carbon, _ = world(50, np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        CarbonRegressor().fit(features, carbon, groups=groups)


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_carbon_must_be_above_zero(bad):
    features, carbon, _ = world(50, np.random.default_rng(0))
    carbon[3] = bad
    with pytest.raises(ValueError, match="above 0 ug"):
        CarbonRegressor().fit(features, carbon)


@pytest.mark.parametrize("level", [0.0, 1.0, 0.99])
def test_too_few_objects_for_an_interval(level):
    features, carbon, _ = world(60, np.random.default_rng(0))
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        CarbonRegressor(random_state=0).fit(features, carbon).predict_interval(features, level=level)


def test_same_state_same_bytes():
    features, carbon, _ = world(200, np.random.default_rng(0))
    for state in ({}, {"random_state": 3}):
        first, again = (CarbonRegressor(**state).fit(features, carbon).predict(features) for _ in range(2))
        assert first.tobytes() == again.tobytes()
