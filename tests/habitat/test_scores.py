import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, mean_poisson_deviance, r2_score

from aqqua_science.habitat import scores

amounts = arrays(
    float, st.shared(st.integers(3, 30), key="n"), elements=st.floats(0.01, 1e4).map(lambda v: round(v, 2))
)


def loop_correlation(x, y):
    """Pearson's definition, summed term by term."""
    mx, my = sum(x) / len(x), sum(y) / len(y)
    cov = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return cov / (sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y)) ** 0.5


@given(amounts, amounts)
@settings(max_examples=60, deadline=None)
def test_scores_agree_with_independent_ones(observed, predicted):
    assert_allclose(scores.mae(observed, predicted), mean_absolute_error(observed, predicted))
    assert_allclose(
        scores.poisson_deviance(observed, predicted), mean_poisson_deviance(observed, predicted), rtol=1e-6, atol=1e-9
    )
    if np.ptp(observed) == 0 or np.ptp(predicted) == 0:
        assert np.isnan(scores.r2_correlation(observed, predicted))
        assert np.isnan(scores.spearman(observed, predicted))
        return
    assert_allclose(scores.r2(observed, predicted), r2_score(observed, predicted), rtol=1e-9)
    assert_allclose(
        scores.r2_correlation(observed, predicted), loop_correlation(observed, predicted) ** 2, rtol=1e-6, atol=1e-9
    )
    assert_allclose(
        scores.spearman(observed, predicted), spearmanr(observed, predicted).statistic, rtol=1e-9, atol=1e-9
    )


def test_perfect_predictions():
    y = np.array([0.0, 1.0, 5.0])
    marks = scores.score(y, y, scale=1000)
    assert marks.pop("mae") == marks.pop("poisson_deviance") == 0
    assert_allclose(list(marks.values()), 1)


def test_correlation_forgives_bias_and_r2_does_not():
    y = np.array([1.0, 2.0, 4.0])
    assert_allclose(scores.r2_correlation(y, 3 * y + 7), 1)
    assert scores.r2(y, 3 * y + 7) < 0


def test_variant_scores_an_unrelated_prediction_one_third():
    rng = np.random.default_rng(0)
    observed, predicted = rng.normal(size=(2, 100_000))
    assert_allclose(scores.r2_sse_ssr(observed, predicted), 1 / 3, atol=0.01)
    assert_allclose(scores.r2(observed, predicted), -1, atol=0.05)


def test_scale_of_the_logarithm():
    observed, predicted = np.array([0.0, 0.001, 10.0]), np.array([0.001, 0.002, 9.0])
    for scale in (1.0, 1000.0):
        logs = np.log1p(scale * observed), np.log1p(scale * predicted)
        marks = scores.score(observed, predicted, scale=scale)
        assert_allclose(marks["r2_log"], r2_score(*logs))
        assert_allclose(marks["r2_log_correlation"], loop_correlation(*logs) ** 2)
    assert marks["r2_log"] < scores.score(observed, predicted, scale=1.0)["r2_log"]


def test_negative_predictions_count_as_nothing():
    assert_allclose(
        scores.score([1.0, 2.0, 0.0], [1.0, 2.0, -5.0])["r2_log"],
        scores.score([1.0, 2.0, 0.0], [1.0, 2.0, 0.0])["r2_log"],
    )
    assert scores.poisson_deviance([1.0, 0.0], [1.0, -3.0]) == 0
    assert scores.poisson_deviance([1.0], [-3.0]) == np.inf


def test_constants_have_no_skill_to_measure():
    constant, varied = np.full(5, 0.1), np.arange(5.0)
    assert np.isnan(scores.r2(constant, varied))
    # The mean of three times 0.1 is not 0.1 in the last digit.
    assert np.isnan(scores.r2(constant[:3], varied[:3]))
    assert np.isnan(scores.r2_sse_ssr(constant[:3], constant[:3]))
    marks = scores.score(varied, constant)
    assert np.isnan([marks[name] for name in ("r2_correlation", "r2_log_correlation", "spearman")]).all()
    assert marks["r2"] < 0
    assert np.isnan(scores.r2_sse_ssr(constant, constant))


def test_nothing_predicted_anywhere_has_scores_where_they_are_defined():
    marks = scores.score([0.0, 1.0, 3.0], np.zeros(3), scale=10)
    known = {name for name, mark in marks.items() if np.isfinite(mark)}
    assert known == {"r2", "r2_log", "r2_sse_ssr", "mae"}
    assert_allclose(marks["r2"], 1 - 10 / (14 / 3))
    assert marks["poisson_deviance"] == np.inf


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_no_numbers_are_refused(value):
    with pytest.raises(ValueError, match="1 of 3 predictions"):
        scores.score([0.0, 1.0, 3.0], [0.0, value, 1.0])


def test_deviance_of_negative_observations_is_undefined():
    assert np.isnan(scores.poisson_deviance([-1.0, 1.0], [1.0, 1.0]))


@pytest.mark.parametrize(("observed", "predicted"), [([], []), ([1.0], [1.0, 2.0])])
def test_unequal_or_empty_pairs_are_refused(observed, predicted):
    with pytest.raises(ValueError, match="one prediction per observation"):
        scores.r2(observed, predicted)
