"""Calibration against mathematics: errors that are known, temperatures that were put in."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax

from aqqua_science.objects.calibration import (
    IsotonicScaling,
    TemperatureScaling,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_table,
)


def drawn(n, k, *, temperature, rng):
    """Logits, and classes drawn from their softmax at a temperature."""
    rng = np.random.default_rng(rng)
    logits = rng.normal(scale=3, size=(n, k))
    chance = softmax(logits / temperature, axis=1).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > chance).sum(axis=1).clip(max=k - 1)


# The error


def test_a_perfectly_calibrated_generator_has_no_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 200_000)
    correct = rng.random(200_000) < confidence
    assert expected_calibration_error(confidence, correct) < 0.004


@pytest.mark.parametrize("excess", [0.05, 0.1, 0.3])
def test_the_error_of_a_generator_that_is_too_sure_is_its_excess(excess):
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, 200_000)
    correct = rng.random(200_000) < confidence - excess
    assert_allclose(expected_calibration_error(confidence, correct), excess, atol=0.004)


def test_the_error_by_hand():
    confidence, correct = [0.15, 0.2, 0.7, 0.9, 0.95], [True, False, True, True, False]
    # Two bins: (0, 0.5] has mean 0.175 and half right; (0.5, 1] has mean 0.85 and two of three right.
    by_hand = 2 / 5 * abs(0.5 - 0.175) + 3 / 5 * abs(2 / 3 - 0.85)
    assert_allclose(expected_calibration_error(confidence, correct, n_bins=2), by_hand)


def test_bins_are_open_at_their_lower_end_and_cover_all():
    table = reliability_table([0.0, 0.25, 0.5, 0.50001, 1.0], [False] * 5, n_bins=4)
    assert table["n"].tolist() == [2, 1, 1, 1]
    assert np.isnan(reliability_table([0.9], [True], n_bins=2)["accuracy"][0])


@pytest.mark.parametrize(
    ("confidence", "correct", "message"),
    [
        ([0.5, 1.5], [True, False], "row 1 is 1.5"),
        ([np.nan], [True], "row 0 is nan"),
        ([[0.5, 0.5]], [True], "one value for each answer"),
        ([], [], "one value for each answer"),
    ],
)
def test_what_is_no_probability_is_refused(confidence, correct, message):
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(confidence, correct)


# Temperature


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature):
    logits, truth = drawn(20_000, 6, temperature=temperature, rng=2)
    assert_allclose(TemperatureScaling.fit(logits, truth).temperature, temperature, rtol=0.04)


def test_it_is_where_a_slow_search_finds_the_least_surprise():
    logits, truth = drawn(3_000, 4, temperature=1.7, rng=3)
    grid = np.linspace(1.2, 2.4, 401)
    best = grid[np.argmin([negative_log_likelihood(logits / t, truth) for t in grid])]
    assert_allclose(TemperatureScaling.fit(logits, truth).temperature, best, rtol=0.01)


def test_it_mends_the_error_and_keeps_the_answers():
    logits, truth = drawn(40_000, 5, temperature=3.0, rng=4)
    before, after = softmax(logits, axis=1), TemperatureScaling.fit(logits[::2], truth[::2]).apply(logits)
    assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    errors = [expected_calibration_error(p.max(axis=1), p.argmax(axis=1) == truth) for p in (before, after)]
    assert errors[0] > 0.2
    assert errors[1] < 0.015


def test_a_few_right_answers_are_not_certainty():
    """As of the rule of succession: four right of four is no proof that the fifth will be."""
    logits = 5.0 * np.eye(2)[[0, 1, 0, 1]]
    probability = TemperatureScaling.fit(logits, np.array([0, 1, 0, 1])).apply(logits).max(axis=1)
    assert_allclose(probability, 0.9, atol=0.01)  # 4 right and one object that may be either, of 5


def test_constants_per_row_do_not_matter():
    logits, truth = drawn(500, 3, temperature=2.0, rng=5)
    shifted = logits + np.arange(500)[:, None] * 3.0
    assert_allclose(negative_log_likelihood(shifted, truth), negative_log_likelihood(logits, truth))
    fitted = [TemperatureScaling.fit(x, truth).temperature for x in (logits, shifted)]
    assert_allclose(*fitted, rtol=1e-4)


# Isotonic


def test_isotonic_finds_a_rising_distortion():
    """Of two classes, p was said where p squared (and its complement) is true."""
    rng = np.random.default_rng(6)
    said = rng.uniform(0.01, 0.99, 60_000)
    truth = (rng.random(60_000) >= said**2).astype(int)
    log_p = np.log(np.column_stack([said, 1 - said]))
    mended = IsotonicScaling.fit(log_p, truth).apply(log_p)
    assert_allclose(mended.sum(axis=1), 1)
    assert np.abs(mended[:, 0] - said**2).mean() < 0.01


def test_isotonic_keeps_rows_that_no_class_claims():
    nothing = IsotonicScaling(said=np.array([0.0, 1.0, 0.0, 1.0]), true=np.zeros(4), sizes=np.array([2, 2]))
    raw = np.array([[0.7, 0.3]])
    assert_allclose(nothing.apply(np.log(raw)), raw)


def test_isotonic_leaves_a_class_alone_that_was_not_tested():
    logits, truth = drawn(2_000, 3, temperature=1.0, rng=8)
    tested = truth != 2
    mended = IsotonicScaling.fit(logits[tested], truth[tested]).apply(logits)
    sure = softmax(logits, axis=1)[:, 2] > 0.95
    assert mended.argmax(axis=1)[sure].tolist() == [2] * sure.sum()


@pytest.mark.parametrize("scaling", [TemperatureScaling, IsotonicScaling])
def test_scalings_come_back_from_their_arrays(scaling):
    logits, truth = drawn(400, 3, temperature=2.0, rng=7)
    fitted = scaling.fit(logits, truth)
    assert_array_equal(scaling.from_arrays(fitted.arrays()).apply(logits), fitted.apply(logits))
