"""Learnt traits: intervals and probabilities hold, also for new samples; scikit-learn's rules are kept."""

import numpy as np
import pytest
import xarray as xr
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from aqqua_science.images import ingest
from aqqua_science.images.measurements import measure_all
from aqqua_science.objects.trait_models import TraitModel
from aqqua_science.synthetic import images


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Skipping check")
@parametrize_with_checks([TraitModel(n_folds=3), TraitModel("classification", n_folds=3)])
def test_it_is_an_estimator(estimator, check):
    check(estimator)


def world(n, rng, noise=1.0):
    X = rng.normal(size=(n, 4))
    return X, X[:, 0] + np.sin(2 * X[:, 1]) + noise * rng.standard_t(4, size=n)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("estimator", [None, DecisionTreeRegressor(min_samples_leaf=5, random_state=0)])
def test_intervals_hold_their_level(level, estimator):
    """Whatever the regression: one that is too stiff, and one that fits the noise."""
    rng, held = np.random.default_rng(0), []
    for _ in range(8):
        X, y = world(150, rng)
        model = TraitModel(estimator=estimator, random_state=0).fit(X, y)
        new, true = world(300, rng)
        low, high = model.predict_interval(new, level=level).T
        held.append(np.mean((low <= true) & (true <= high)))
    # Of a regression that jumps from part to part the intervals may be too wide, never too narrow.
    assert level - 0.03 < np.mean(held) < level + (0.06 if estimator is None else 0.15)


def slow_interval(model, x, level):
    """CV+ from the paper's formula, one object and one residual at a time."""
    lows, highs = [], []
    for fold, residuals in zip(model.fold_models_, model.residuals_, strict=True):
        centre = fold.predict(x[None])[0]
        lows += [centre - r for r in residuals]
        highs += [centre + r for r in residuals]
    n = len(lows)
    return sorted(lows)[int(np.floor((1 - level) * (n + 1))) - 1], sorted(highs)[int(np.ceil(level * (n + 1))) - 1]


def test_intervals_are_those_of_the_paper():
    rng = np.random.default_rng(1)
    X, y = world(79, rng)
    model = TraitModel(estimator=LinearRegression(), n_folds=7, random_state=0).fit(X, y)
    found = model.predict_interval(X[:5], level=0.85)
    np.testing.assert_allclose(found, [slow_interval(model, x, 0.85) for x in X[:5]])
    assert sum(len(r) for r in model.residuals_) == 79


def test_samples_that_differ_need_groups():
    """Each sample has an offset of its own that its features betray; a new sample's offset is unknown."""
    rng, held = np.random.default_rng(2), {"grouped": [], "blind": []}
    for _ in range(6):
        sample = np.repeat(np.arange(60), 6)
        offset, mark = rng.normal(size=60), rng.normal(size=(60, 8))
        X = np.concatenate([mark[sample] + 0.05 * rng.normal(size=(360, 8)), rng.normal(size=(360, 1))], axis=1)
        y = offset[sample] + 0.1 * X[:, -1] + 0.1 * rng.normal(size=360)
        known = sample < 30
        tree = DecisionTreeRegressor(random_state=0)
        for name, groups in (("grouped", sample[known]), ("blind", None)):
            model = TraitModel(estimator=tree, random_state=0).fit(X[known], y[known], groups=groups)
            low, high = model.predict_interval(X[~known], level=0.9).T
            held[name].append(np.mean((low <= y[~known]) & (y[~known] <= high)))
    assert np.mean(held["grouped"]) > 0.85
    assert np.mean(held["blind"]) < 0.7


def test_too_few_for_a_level_is_an_infinite_interval():
    X, y = world(12, np.random.default_rng(3))
    model = TraitModel(random_state=0).fit(X, y)
    assert np.isinf(model.predict_interval(X, level=0.99)).all()
    assert np.isfinite(model.predict_interval(X, level=0.8)).all()


def test_probabilities_hold():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(2500, 3))
    chance = 1 / (1 + np.exp(-2 * X[:, 0] + 1))
    y = np.where(rng.random(2500) < chance, "with eggs", "without")
    model = TraitModel("classification", random_state=0).fit(X[:500], y[:500])
    assert model.classes_.tolist() == ["with eggs", "without"]
    found = model.predict_proba(X[500:])[:, 0]
    assert np.abs(found - chance[500:]).mean() < 0.05
    for low in np.arange(0, 1, 0.25):
        bin_ = (found >= low) & (found < low + 0.25)
        assert np.mean(y[500:][bin_] == "with eggs") == pytest.approx(found[bin_].mean(), abs=0.07)
    assert model.score(X[500:], y[500:]) > 0.75
    grouped = TraitModel("classification", random_state=0).fit(X[:200], y[:200], groups=np.arange(200) // 10)
    assert grouped.predict_proba(X[:3]).shape == (3, 2)


def test_the_same_seed_gives_the_same():
    X, y = world(60, np.random.default_rng(5))
    first, second = (TraitModel(random_state=3).fit(X, y).predict_interval(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, TraitModel(random_state=4).fit(X, y).predict_interval(X))


def test_the_seed_deals_samples_too_and_none_is_split():
    X, y = world(60, np.random.default_rng(5))
    sample = np.repeat(np.arange(20), 3)
    first, second, other = (
        TraitModel(random_state=s, n_folds=4).fit(X, y, groups=sample).predict_interval(X) for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(first, TraitModel(n_folds=4).fit(X, y, groups=sample).predict_interval(X))


def test_features_of_another_encoder_are_refused():
    X, y = world(30, np.random.default_rng(6))
    features = xr.DataArray(X, dims=("object", "feature"), attrs={"fingerprint": "a"})
    model = TraitModel(random_state=0).fit(features, y)
    np.testing.assert_allclose(model.predict(features), model.predict(X))
    with pytest.raises(ValueError, match="fingerprint b"):
        model.predict(features.assign_attrs(fingerprint="b"))


def test_bad_input_is_refused():
    X, y = world(30, np.random.default_rng(7))
    with pytest.raises(ValueError, match="kind is one of regression, classification; got 'regresion'"):
        TraitModel("regresion").fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        TraitModel().fit(np.where(X > 2, np.nan, X), y)
    with pytest.raises(ValueError, match="NaN"):
        TraitModel().fit(X, np.where(y > 0, np.nan, y))
    with pytest.raises(ValueError, match="n_folds must be at least 2; got 1"):
        TraitModel(n_folds=1).fit(X, y)
    with pytest.raises(ValueError, match="at least two groups"):
        TraitModel().fit(X, y, groups=np.zeros(30))
    with pytest.raises(ValueError, match="two objects of each of two classes"):
        TraitModel("classification").fit(X, ["a"] * 29 + ["b"])
    with pytest.raises(ValueError, match="level is a share"):
        TraitModel().fit(X, y).predict_interval(X, level=90)
    with pytest.raises(NotFittedError):
        TraitModel().predict(X)
    with pytest.raises(AttributeError):
        TraitModel().fit(X, y).predict_proba(X)
    with pytest.raises(AttributeError):
        TraitModel("classification").fit(X, y > 0).predict_interval(X)


@pytest.mark.slow
def test_a_trait_of_virtual_plankton_is_learnt(tmp_path):
    """The logarithm of the number of cells of Chaetoceros' chains, and of the volume, from measured features."""
    pictures = list(images(300, rng=9, instruments=["FlowCam"]))
    X = measure_all(ingest(pictures, tmp_path / "store", contributors=["A"]))
    y = np.log([p.truth["biovolume_um3"] for p in pictures])
    model = TraitModel(random_state=0).fit(X[:200], y[:200])
    low, high = model.predict_interval(X[200:], level=0.9).T
    assert 0.8 < np.mean((low <= y[200:]) & (y[200:] <= high)) <= 1
    assert model.score(X[200:], y[200:]) > 0.8
