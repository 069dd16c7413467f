"""What a classifier says of objects it has not learned from: folds that split no sample, and their scores."""

import warnings

import numpy as np
from scipy.special import log_softmax
from sklearn.metrics import f1_score, recall_score
from sklearn.model_selection import StratifiedGroupKFold

from aqqua_science.objects.calibration import TemperatureScaling, expected_calibration_error, negative_log_likelihood

_N_BINS = 15

_UNSEEN = np.log(1e-9)
"""Log-probability of a class that the learned-from folds do not hold."""


def deal_folds(codes, groups, *, n_folds, rng):
    """
    Deal objects into folds of like composition.

    Parameters
    ----------
    codes : numpy.ndarray of int, shape (n,)
        Classes, numbered from 0.
    groups : numpy.ndarray of int, shape (n,), or None
        Samples or cruises, none of which is split.
    n_folds : int
        At most; never more than groups, nor than objects of the commonest class.
    rng : int or numpy.random.Generator

    Returns
    -------
    numpy.ndarray of int, shape (n,)
        Without groups, the objects of a class lie in as many folds as they can.
    """
    rng = np.random.default_rng(rng)
    most = int(np.bincount(codes).max())
    n_folds = min(n_folds, most, len(codes) if groups is None else len(np.unique(groups)))
    folds = np.zeros(len(codes), dtype=int)
    if n_folds < 2:
        return folds
    if groups is None:
        order = np.lexsort((rng.random(len(codes)), codes))
        folds[order] = np.arange(len(codes)) % n_folds
        return folds
    deal = StratifiedGroupKFold(n_folds, shuffle=True, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        # Classes of few objects are no fault: those that cannot be tested are told by the caller.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, test) in enumerate(deal.split(np.zeros((len(codes), 1)), codes, groups)):
            folds[test] = fold
    return folds


def hold_out(fit_head, X, codes, *, folds):
    """
    Let each fold be judged by a head that learned from the others.

    Parameters
    ----------
    fit_head : callable
        Takes features and the numbers of the classes; returns a fitted head of those that are present, in order.
    X : numpy.ndarray, shape (n, d)
    codes : numpy.ndarray of int, shape (n,)
    folds : numpy.ndarray of int, shape (n,)

    Returns
    -------
    log_probability : numpy.ndarray, shape (n, k)
    tested : numpy.ndarray of bool, shape (n,)
        Objects whose class the other folds hold; of the rest nothing can be said.
    """
    said = np.full((len(codes), codes.max() + 1), _UNSEEN)
    tested = np.zeros(len(codes), dtype=bool)
    for fold in np.unique(folds):
        test = folds == fold
        known = np.unique(codes[~test])
        if len(known) < 2:
            continue
        head = fit_head(X[~test], codes[~test])
        said[np.ix_(test, known)] = log_softmax(head.log_probability(X[test]), axis=1)
        tested |= test & np.isin(codes, known)
    return said, tested


def calibrate_folds(log_probability, codes, *, folds, scaling):
    """
    Calibrate each fold by what the others tell.

    Parameters
    ----------
    log_probability : numpy.ndarray, shape (n, k)
    codes, folds : numpy.ndarray of int, shape (n,)
    scaling : type
        One of `calibration.SCALINGS`.

    Returns
    -------
    numpy.ndarray, shape (n, k)
        Probabilities; a lone fold stays uncalibrated.
    """
    probability = TemperatureScaling().apply(log_probability)
    for fold in np.unique(folds):
        test = folds == fold
        if not test.all():
            probability[test] = scaling.fit(log_probability[~test], codes[~test]).apply(log_probability[test])
    return probability


def calibration_record(log_probability, probability, codes):
    """
    Tell what calibration did to held-out probabilities.

    Parameters
    ----------
    log_probability : numpy.ndarray, shape (n, k)
        Before.
    probability : numpy.ndarray, shape (n, k)
        After.
    codes : numpy.ndarray of int, shape (n,)

    Returns
    -------
    dict
        ``ece_before`` and ``ece_after`` (expected calibration error of the most probable class, in 15 bins of
        equal width), ``nll_before`` and ``nll_after`` (nats per object), ``n_objects`` and ``n_bins``.
    """
    before = TemperatureScaling().apply(log_probability)
    record = {"n_objects": len(codes), "n_bins": _N_BINS}
    for when, p in (("before", before), ("after", probability)):
        with np.errstate(divide="ignore"):
            log_p = np.maximum(np.log(p), _UNSEEN)
        right = p.argmax(axis=1) == codes
        record[f"ece_{when}"] = expected_calibration_error(np.minimum(p.max(axis=1), 1), right, n_bins=_N_BINS)
        record[f"nll_{when}"] = negative_log_likelihood(log_p, codes)
    return record


def held_out_scores(probability, codes):
    """
    Score held-out answers.

    Parameters
    ----------
    probability : numpy.ndarray, shape (n, k)
    codes : numpy.ndarray of int, shape (n,)

    Returns
    -------
    dict
        ``accuracy``; ``balanced_accuracy``, the mean over the classes of the share of their objects that was found;
        ``f1_macro``; ``majority_accuracy``, of always answering the commonest class.
    """
    answer = probability.argmax(axis=1)
    over_classes = {"labels": np.unique(codes), "average": "macro", "zero_division": 0}
    return {
        "accuracy": float(np.mean(answer == codes)),
        "balanced_accuracy": float(recall_score(codes, answer, **over_classes)),
        "f1_macro": float(f1_score(codes, answer, **over_classes)),
        "majority_accuracy": float(np.bincount(codes).max() / len(codes)),
    }
