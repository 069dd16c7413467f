"""Scores: against scikit-learn, worked examples, and the coverage of the intervals."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, precision_score, recall_score

from aqqua_science.objects.scores import confusion, random_baseline, resampled, scores_of

CLASSES = ["Copepoda", "Rhizaria", "Salpida", "detritus"]
LIVING = np.array([True, True, True, False])


def drawn(rng, n=400):
    truth = rng.choice(CLASSES, n, p=[0.3, 0.1, 0.05, 0.55])
    return truth, np.where(rng.random(n) < 0.7, truth, rng.choice(CLASSES, n))


def test_scores_are_scikit_learns():
    rng = np.random.default_rng(0)
    truth, predicted = drawn(rng)
    found = scores_of(confusion(truth, predicted, classes=CLASSES), plankton=LIVING)
    living = {"labels": CLASSES[:3], "average": "macro", "zero_division": 0}
    assert found == pytest.approx(
        {
            "accuracy": accuracy_score(truth, predicted),
            "balanced_accuracy": balanced_accuracy_score(truth, predicted),
            "plankton_precision": precision_score(truth, predicted, **living),
            "plankton_recall": recall_score(truth, predicted, **living),
        }
    )


def test_a_class_that_never_occurs_is_not_averaged_and_foreign_names_are_misses():
    matrix = confusion(["a", "a", "b"], ["a", "elsewhere", "b"], classes=["a", "b", "c"])
    found = scores_of(matrix, plankton=np.array([True, True, True]))
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["balanced_accuracy"] == pytest.approx(0.75)


def test_guessing_scores_what_simulated_guesses_score():
    rng = np.random.default_rng(1)
    truth = rng.choice(CLASSES, 20_000, p=[0.3, 0.1, 0.05, 0.55])
    expected = random_baseline(truth, classes=CLASSES, plankton=LIVING)
    guesses = scores_of(confusion(truth, rng.permutation(truth), classes=CLASSES), plankton=LIVING)
    assert expected == pytest.approx(guesses, abs=0.02)
    assert expected["balanced_accuracy"] == pytest.approx(1 / 4)


@pytest.mark.parametrize(("n", "least", "most"), [(60, 0.82, 0.97), (5, 0.7, 0.87)])
def test_nine_intervals_in_ten_hold_the_truth_if_samples_are_many(n, least, most):
    """Objects of a sample are right or wrong together; drawn as samples, the interval knows."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(150):
        chance = rng.beta(4, 4, n)
        right = (rng.random((n, 20)) < chance[:, None]).ravel().astype(float)
        groups = np.repeat(np.arange(n), 20)
        found = resampled(lambda w, r=right: {"right": (w * r).sum() / w.sum()}, groups, rng=rng)["right"]
        held += found["low"] <= 0.5 <= found["high"]
    assert least < held / 150 < most
    assert found["groups"] == n


def test_the_same_seed_gives_the_same_bytes():
    truth, predicted = drawn(np.random.default_rng(4))

    def score(weights):
        return scores_of(confusion(truth, predicted, classes=CLASSES, weights=weights), plankton=LIVING)

    first, second = (resampled(score, np.arange(len(truth)) // 7, n_draws=20, rng=5) for _ in range(2))
    assert first == second
    assert first["accuracy"]["low"] < first["accuracy"]["value"] < first["accuracy"]["high"]
