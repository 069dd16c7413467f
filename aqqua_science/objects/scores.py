"""Scores of a classifier against the truth, each with an interval from resampled samples."""

import numpy as np
import pandas as pd


def confusion(truth, predicted, *, classes, weights=None):
    """
    Count how often each class was taken for each.

    Parameters
    ----------
    truth, predicted : array of str, shape (object,)
    classes : sequence of str
    weights : array of float, shape (object,), optional

    Returns
    -------
    numpy.ndarray of float, shape (class, class)
        True class by predicted class; predictions of other names count for the truth alone, in no column.
    """
    index, n = pd.Index(classes), len(classes)
    rows, columns = index.get_indexer(truth), index.get_indexer(predicted)
    weights = np.ones(len(rows)) if weights is None else np.asarray(weights, float)
    known = rows >= 0
    place = rows * (n + 1) + np.where(columns < 0, n, columns)
    return np.bincount(place[known], weights=weights[known], minlength=n * (n + 1)).reshape(n, n + 1)


def scores_of(matrix, *, plankton):
    """
    Read scores off a confusion matrix.

    Accuracy; balanced accuracy, the mean recall of the classes that occur; and precision and recall averaged over the
    plankton classes that occur, as Panaiotis et al. 2026 (doi 10.5194/essd-18-945-2026) report them.

    Parameters
    ----------
    matrix : numpy.ndarray, shape (class, class + 1)
        As `confusion` gives it.
    plankton : numpy.ndarray of bool, shape (class,)

    Returns
    -------
    dict of str to float
        NaN where there is nothing to average.
    """
    n = len(matrix)
    hits, truth, told = np.diag(matrix[:, :n]), matrix.sum(1), matrix[:, :n].sum(0)
    occurs = truth > 0
    recall = hits[occurs] / truth[occurs]
    precision = np.divide(hits, told, out=np.zeros(n), where=told > 0)[occurs]
    living = plankton[occurs]
    return {
        "accuracy": _mean(hits.sum(keepdims=True) / truth.sum() if truth.sum() else np.array([])),
        "balanced_accuracy": _mean(recall),
        "plankton_precision": _mean(precision[living]),
        "plankton_recall": _mean(recall[living]),
    }


def random_baseline(truth, *, classes, plankton):
    """
    Work out what guessing in proportion to the classes would score.

    Parameters
    ----------
    truth : array of str, shape (object,)
    classes : sequence of str
    plankton : numpy.ndarray of bool, shape (class,)

    Returns
    -------
    dict of str to float
        Scores of the expected confusion matrix.
    """
    counts = confusion(truth, truth, classes=classes).sum(1)
    expected = np.outer(counts, counts / max(counts.sum(), 1.0))
    return scores_of(np.column_stack([expected, np.zeros(len(counts))]), plankton=plankton)


def resampled(score, groups, *, n_draws=200, level=0.9, rng=0):
    """
    Give numbers an interval by drawing whole samples anew.

    Of few samples it is too narrow: drawn from 5 or 10, intervals of 90 % hold the truth in about 79 or 84 %.

    Parameters
    ----------
    score : callable
        Weights of the objects -> dict of numbers.
    groups : array, shape (object,)
        Sample, cruise or image of each object: what is drawn together.
    n_draws : int
    level : float
    rng : int or numpy.random.Generator

    Returns
    -------
    dict of str to dict
        Name -> `value` of all objects, `low` and `high`, None where there is no number, and how many `groups` they were
        drawn from.
    """
    rng, code = np.random.default_rng(rng), pd.factorize(np.asarray(groups))[0]
    n_groups = int(code.max()) + 1 if len(code) else 0
    values = score(np.ones(len(code)))
    draws = [score(rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups))[code]) for _ in range(n_draws)]
    tails = (1 - level) / 2, (1 + level) / 2
    found = {}
    for name, value in values.items():
        drawn = np.array([d[name] for d in draws], float)
        drawn = drawn[np.isfinite(drawn)]
        low, high = np.quantile(drawn, tails) if len(drawn) else (np.nan, np.nan)
        found[name] = {"value": plain_number(value), "low": plain_number(low), "high": plain_number(high)}
        found[name]["groups"] = n_groups
    return found


def _mean(values):
    """Mean, or not a number of nothing."""
    return float(np.mean(values)) if len(values) else float("nan")


def plain_number(value):
    """
    Round a number for JSON.

    Parameters
    ----------
    value : float

    Returns
    -------
    float or None
        Six digits after the point; None where it is not finite.
    """
    return round(float(value), 6) if np.isfinite(value) else None
