"""Carbon learnt from features: sums without bias, intervals that hold, and scikit-learn's contract."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from sklearn.ensemble import HistGradientBoostingRegressor
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
    with pytest.raises(ValueError, match="encoder 'b'"):
        model.predict(features.assign_attrs(fingerprint="b"))


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
    first, again = (CarbonRegressor(random_state=3).fit(features, carbon).predict(features) for _ in range(2))
    assert first.tobytes() == again.tobytes()
