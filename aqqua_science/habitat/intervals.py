"""The arithmetic of honest intervals: for the total of a map and for its single cells."""

import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

MIN_BLOCKS, MAX_LOG_CORRECTION, MIN_EFFECTIVE_FRACTION, MAX_TOP_SHARE = 20, 0.4, 0.3, 0.25
"""
Beyond these no coverage is claimed: too few blocks, too large a correction, too few samples like the domain, or more of
all that was observed in the largest hundredth of the samples than in any virtual ocean the intervals were tested on.
"""


def importance(samples, domain, weights):
    """
    How much more of the domain than of the samples is like each sample.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n_samples, n_predictors)
    domain : numpy.ndarray, shape (n_cells, n_predictors)
    weights : numpy.ndarray, shape (n_cells,)
        Area or volume of each cell.

    Returns
    -------
    numpy.ndarray, shape (n_samples,)
        Odds of domain against samples by a logistic regression on the predictors and their squares, cut at ten
        times their median.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 50)[:, None]
    >>> bool(np.allclose(importance(x, x, np.ones(50)), 1, atol=1e-3))
    True
    """
    middle = np.nanmedian(np.vstack([samples, domain]), axis=0)
    features = np.vstack([np.where(np.isnan(x), middle, x) for x in (samples, domain)])
    n = len(samples)
    weight = np.concatenate([np.ones(n), n * np.asarray(weights) / np.sum(weights)])
    is_domain = np.arange(len(features)) >= n
    features = StandardScaler().fit_transform(features)
    features = np.hstack([features, features**2])
    odds = LogisticRegression(C=1.0, max_iter=1000).fit(features, is_domain, sample_weight=weight)
    ratio = np.exp(odds.decision_function(features[:n]))
    return np.minimum(ratio, 10 * np.median(ratio))


def held_out_correction(observed, predicted, *, weights, blocks):
    """
    Ratio of what held-out samples contain to what was predicted for them, and its block-jackknife variance.

    Parameters
    ----------
    observed, predicted, weights : numpy.ndarray, shape (n,)
        Amounts in equal units; `weights` are importance times sampled volume.
    blocks : numpy.ndarray of int, shape (n,)
        Spatial block of each sample.

    Returns
    -------
    log_ratio : float
        Above 0 the model is low over the domain.
    variance : float
        Of `log_ratio`, by leaving out one block at a time (Busing et al. 1999, Statistics and Computing 9: 3-8).

    Examples
    --------
    >>> y = np.array([1.0, 2.0, 4.0])
    >>> held_out_correction(2 * y, y, weights=np.ones(3), blocks=np.arange(3))
    (0.693147..., 0.0)
    """
    _, codes = np.unique(blocks, return_inverse=True)
    seen, expected = (np.bincount(codes, weights * v) for v in (observed, predicted))
    n_blocks = len(seen)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio = np.log(seen.sum() / expected.sum())
        without = np.log((seen.sum() - seen) / (expected.sum() - expected))
    variance = (n_blocks - 1) / n_blocks * np.sum((without - without.mean()) ** 2)
    return float(log_ratio), float(variance)


def top_share(observed):
    """
    Share of all that was observed that the largest hundredth of the samples hold.

    Parameters
    ----------
    observed : numpy.ndarray, shape (n,)

    Returns
    -------
    float

    Examples
    --------
    >>> top_share(np.ones(200))
    0.01
    """
    largest = np.sort(observed)[-max(1, round(len(observed) / 100)) :]
    return float(largest.sum() / observed.sum())


def block_variance(observed, predicted, *, weights, blocks):
    """
    Variance of the relative error of a single block, once the common correction is made.

    Parameters
    ----------
    observed, predicted, weights, blocks
        As in `held_out_correction`.

    Returns
    -------
    float
        Mean squared relative error of the block sums, weighted by what is predicted for them. Counting noise is
        part of it, which makes the intervals of regions a little too wide rather than too narrow.

    Examples
    --------
    >>> y = np.array([1.0, 2.0, 4.0])
    >>> block_variance(2 * y, y, weights=np.ones(3), blocks=np.arange(3))
    0.0
    """
    _, codes = np.unique(blocks, return_inverse=True)
    seen, expected = (np.bincount(codes, weights * v) for v in (observed, predicted))
    expected *= seen.sum() / expected.sum()
    positive = expected > 0
    error = (seen[positive] - expected[positive]) ** 2 / expected[positive]
    return float(error.sum() / expected.sum())


def total_interval(total, replicates, *, log_correction, variance, level):
    """
    Estimate and interval of a total from block-bootstrap refits and the held-out correction.

    Parameters
    ----------
    total : float
        Of the uncorrected map.
    replicates : numpy.ndarray, shape (n_replicates,)
        The same total of each refit on resampled blocks.
    log_correction : float
        Added to the logarithm of `total`.
    variance : float
        Of the logarithm of the total, beyond that of the refits.
    level : float
        Nominal coverage.

    Returns
    -------
    dict
        ``median``, ``low``, ``high``, ``level``.

    Examples
    --------
    >>> total_interval(0.0, np.zeros(9), log_correction=0.1, variance=0.1, level=0.9)["high"]
    0.0
    """
    if total <= 0 or (replicates <= 0).any():
        return {"median": total, "low": np.nan if total else 0.0, "high": np.nan if total else 0.0, "level": level}
    quantile = stats.t.ppf((1 + level) / 2, len(replicates) - 1)
    normal = stats.norm.ppf((1 + level) / 2)
    half = np.sqrt(np.var(np.log(replicates), ddof=1) * quantile**2 + variance * normal**2)
    centre = np.log(total) + log_correction
    low, middle, high = (float(np.exp(v)) for v in (centre - half, centre, centre + half))
    return {"median": middle, "low": low, "high": high, "level": level}


def conformal_bounds(prediction, *, observed, predicted, blocks, scale, level):
    """
    Bounds between which a new sample lies, from how held-out samples fell around their predictions.

    Parameters
    ----------
    prediction : array_like or xarray.DataArray
        Amounts to be bounded.
    observed, predicted : numpy.ndarray, shape (n,)
        Held-out samples and their predictions.
    blocks : numpy.ndarray of int, shape (n,)
        Spatial block of each sample; every block counts once.
    scale : float
        Amounts are compared by ``log1p(scale * amount)``.
    level : float
        Nominal coverage of a sample in a new block.

    Returns
    -------
    low, high : like `prediction`
        Where absences are common `low` is zero and misses nothing, and `high` may miss all that is allowed.

    Notes
    -----
    Split conformal prediction (Vovk et al. 2005; Lei et al. 2018, JASA 113: 1094-1111) with blocks, not samples, as
    the exchangeable units (Dunn et al. 2023, JASA 118: 2491-2502, their pooled empirical distribution).

    Examples
    --------
    >>> y = np.arange(1.0, 40.0)
    >>> low, high = conformal_bounds(20.0, observed=y, predicted=np.full(39, 20.0), blocks=y, scale=1.0, level=0.9)
    >>> float(low).__round__(6), float(high).__round__(6)
    (2.0, 38.0)
    """
    scores = np.log1p(scale * observed) - np.log1p(scale * predicted)
    tail = (1 - level) / 2
    down = -block_quantile(-scores, blocks, 1 - tail)
    low = _shifted(predicted, down, scale)
    _, codes, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    missed = float(np.mean(np.bincount(codes, observed < low) / sizes))
    up = block_quantile(scores, blocks, level + min(missed, tail))
    return _shifted(prediction, down, scale), _shifted(prediction, up, scale)


def _shifted(amount, by, scale):
    return np.expm1(np.maximum(np.log1p(scale * amount) + by, 0)) / scale


def block_quantile(scores, blocks, level):
    """
    Quantile of held-out scores in which every block counts once, and an unseen one counts as the largest.

    Parameters
    ----------
    scores : numpy.ndarray, shape (n,)
    blocks : numpy.ndarray of int, shape (n,)
    level : float
        Nominal coverage of a sample in a new block.

    Returns
    -------
    float
        Infinite when there are too few blocks for the level.

    Examples
    --------
    >>> block_quantile(np.arange(1.0, 20.0), np.arange(19), 0.9)
    18.0
    """
    _, codes, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    n_blocks = len(sizes)
    order = np.argsort(scores, kind="stable")
    mass = np.cumsum(1 / sizes[codes[order]])
    needed = level * (n_blocks + 1)
    reached = np.searchsorted(mass, needed - 1e-9)
    return float(scores[order][reached]) if reached < len(scores) else np.inf
