"""What rejecting unknown objects does to a community: its distortion, and the threshold that keeps it least."""

import numpy as np
import pandas as pd

_N_THRESHOLDS = 512


def community_distortion(true, reported):
    """
    Bray-Curtis distance between a true community and a reported one, unknown objects as one part of both.

    Parameters
    ----------
    true, reported : array-like, shape (..., n_parts)
        Counts or proportions, not negative; the last axis holds the known taxa and the unknown.

    Returns
    -------
    numpy.ndarray or float
        0 (same) to 1 (nothing in common); NaN where both are empty.

    References
    ----------
    Chen et al. 2026, Community-aware evaluation and threshold calibration for open-set plankton image recognition,
    arXiv 2605.15835 (open-set community distortion). Bray and Curtis 1957, doi 10.2307/1942268.
    """
    true, reported = np.asarray(true, dtype=float), np.asarray(reported, dtype=float)
    gap, total = np.abs(true - reported).sum(axis=-1), (true + reported).sum(axis=-1)
    return np.divide(gap, total, out=np.full_like(total, np.nan), where=total > 0)[()]


def distortion_curve(scores, taxon, predicted, *, classes, samples=None, thresholds=None):
    """
    Distortion of communities for every threshold of novelty.

    Parameters
    ----------
    scores : array-like, shape (n_objects,)
        Novelty; an object above the threshold is reported as unknown.
    taxon : array-like of str, shape (n_objects,)
        True taxa; those not among `classes` are unknown.
    predicted : array-like of str, shape (n_objects,)
        Taxa that a classifier of `classes` gives to all objects.
    classes : sequence of str
        Known taxa.
    samples : array-like, shape (n_objects,), optional
        Sample of each object. The distortion is the mean over samples; by default all objects are one.
    thresholds : array-like, optional
        By default the scores themselves, thinned to at most 512.

    Returns
    -------
    pandas.DataFrame
        One row per threshold, rising: `threshold`, `distortion`, `known_recall` (part of known objects kept), and
        `unknown_recall` (part of unknown objects found); NaN where there are none.

    Raises
    ------
    ValueError
        If lengths differ, scores are NaN, or a predicted taxon is not among `classes`.
    """
    scores = _checked(scores, taxon, predicted)
    true = _codes(taxon, classes)
    answers = _codes(predicted, classes)
    if (answers == len(classes)).any():
        stray = np.asarray(predicted, dtype=object)[answers == len(classes)][0]
        msg = f"predicted taxa must be among classes; got {stray!r}. Give the classifier's answers before rejection."
        raise ValueError(msg)
    thresholds = _spread(scores) if thresholds is None else np.sort(np.asarray(thresholds, dtype=float))
    place = np.searchsorted(thresholds, scores, side="left")
    groups = pd.factorize(pd.Series(samples))[0] if samples is not None else np.zeros(len(scores), int)
    parts = [_curve(place[rows], true[rows], answers[rows], len(thresholds), len(classes)) for rows in _split(groups)]
    unknown = true == len(classes)
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "distortion": np.mean(parts, axis=0),
            "known_recall": _kept(place[~unknown], len(thresholds)),
            "unknown_recall": 1 - _kept(place[unknown], len(thresholds)),
        }
    )


def best_threshold(curve):
    """
    Threshold of least distortion; amid equals, the one that keeps most objects.

    Parameters
    ----------
    curve : pandas.DataFrame
        From `distortion_curve`.

    Returns
    -------
    float
    """
    least = curve["distortion"].min()
    return float(curve.loc[np.isclose(curve["distortion"], least, rtol=0, atol=1e-12), "threshold"].iloc[-1])


def draw_communities(taxon, *, n_communities, size, classes, unknown=(0.0, 0.5), concentration=1.0, rng=0):
    """
    Draw communities of other composition from labelled objects, to choose or judge a threshold for shifted ones.

    Parameters
    ----------
    taxon : array-like of str, shape (n_objects,)
        Those not among `classes` are unknown.
    n_communities, size : int
        How many, and objects in each; drawn with replacement.
    classes : sequence of str
        Known taxa; those without objects are left out.
    unknown : tuple of float
        Least and greatest part of unknown objects, drawn uniformly.
    concentration : float
        Of the Dirichlet distribution of known taxa: 1 makes all compositions equally likely.
    rng : int or numpy.random.Generator

    Returns
    -------
    rows : numpy.ndarray of int, shape (n_communities * size,)
    samples : numpy.ndarray of int, shape (n_communities * size,)

    Raises
    ------
    ValueError
        If no known object is there, or no unknown one though some are wanted.
    """
    rng = np.random.default_rng(rng)
    codes = _codes(taxon, classes)
    present = np.setdiff1d(np.unique(codes), [len(classes)])
    strangers = (codes == len(classes)).any()
    if not present.size or (unknown[1] > 0 and not strangers):
        n_known, n_unknown = np.sum(codes < len(classes)), np.sum(codes == len(classes))
        msg = (
            f"communities need known objects and, for unknown={unknown}, unknown ones; got {n_known} and {n_unknown}. "
            "Hold taxa out of the classifier, or pass unknown=(0, 0)."
        )
        raise ValueError(msg)
    members = {code: np.flatnonzero(codes == code) for code in (*present, len(classes))}
    drawn = []
    for _ in range(n_communities):
        share = rng.uniform(*unknown)
        known = (1 - share) * rng.dirichlet(np.full(present.size, concentration))
        amounts = rng.multinomial(size, [*known, share] if strangers else known / known.sum())
        pairs = zip(members.values(), amounts, strict=False)
        drawn += [rng.choice(rows, n) for rows, n in pairs if n]
    return np.concatenate(drawn), np.repeat(np.arange(n_communities), size)


def _curve(place, true, answers, n_thresholds, n_classes):
    """Distortion of one sample's community for every threshold."""
    # An object joins the known ones at the first threshold that is not below its score.
    joins = np.zeros((n_thresholds + 1, n_classes))
    np.add.at(joins, (place, answers), 1)
    known = np.cumsum(joins[:-1], axis=0)
    reported = np.column_stack([known, len(place) - known.sum(axis=1)])
    return community_distortion(np.bincount(true, minlength=n_classes + 1), reported)


def _kept(place, n_thresholds):
    """Part of the objects not above each threshold."""
    if not place.size:
        return np.full(n_thresholds, np.nan)
    return np.cumsum(np.bincount(place, minlength=n_thresholds + 1)[:-1]) / place.size


def _spread(scores):
    """Candidate thresholds: the scores thinned, from just below the least (all unknown) to the greatest."""
    candidates = np.unique(scores)
    if len(candidates) > _N_THRESHOLDS:
        candidates = np.unique(np.quantile(scores, np.linspace(0, 1, _N_THRESHOLDS), method="nearest"))
    return np.concatenate([[np.nextafter(candidates[0], -np.inf)], candidates])


def _split(groups):
    """Rows of each group."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def _codes(taxon, classes):
    """Position of each taxon among the classes; one past the end if it is not there."""
    codes = pd.Index(list(classes), dtype=object).get_indexer(pd.Index(np.asarray(taxon, dtype=object)))
    return np.where(codes < 0, len(classes), codes)


def _checked(scores, taxon, predicted):
    scores = np.asarray(scores, dtype=float)
    if not len(scores) or not len(scores) == len(taxon) == len(predicted):
        lengths = f"{len(scores)}, {len(taxon)} and {len(predicted)}"
        msg = f"scores, taxon and predicted must tell of the same objects, one or more; got {lengths}."
        raise ValueError(msg)
    if np.isnan(scores).any():
        msg = f"scores must be numbers; {np.isnan(scores).sum()} of {len(scores)} are NaN. Drop these objects."
        raise ValueError(msg)
    return scores
