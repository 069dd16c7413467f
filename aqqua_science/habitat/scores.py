"""How well predictions meet observations, one small function per score; NaN where a score is undefined."""

import numpy as np
from scipy.stats import rankdata


def r2(observed, predicted):
    """
    Share of the variance that is explained, 1 - SSE / SST.

    Parameters
    ----------
    observed, predicted : array_like, shape (n,)

    Returns
    -------
    float
        At most 1; negative when the mean of the observations predicts better. NaN for constant observations.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    observed, predicted = _pair(observed, predicted)
    return _ratio(((observed - predicted) ** 2).sum(), ((observed - _mean(observed)) ** 2).sum(), less_from=1)


def r2_correlation(observed, predicted):
    """
    Squared Pearson correlation, blind to bias and scale of the predictions.

    Parameters
    ----------
    observed, predicted : array_like, shape (n,)

    Returns
    -------
    float
        In 0..1; NaN when either is constant.

    Examples
    --------
    >>> r2_correlation([1.0, 2.0, 3.0], [10.0, 20.0, 30.0])
    1.0
    """
    return _correlation(*_pair(observed, predicted)) ** 2


def r2_sse_ssr(observed, predicted):
    """
    The variant 1 - SSE / (SSE + SSR), SSR being the spread of the predictions around the observed mean.

    It is in use for global maps, but is no share of variance: predictions that have nothing to do with the
    observations and vary as much as they do score 1/3. Never compare it with `r2`.

    Parameters
    ----------
    observed, predicted : array_like, shape (n,)

    Returns
    -------
    float
        In 0..1; NaN when observations and predictions are one constant.

    Examples
    --------
    >>> r2_sse_ssr([1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0])
    0.333
    """
    observed, predicted = _pair(observed, predicted)
    sse = ((observed - predicted) ** 2).sum()
    return _ratio(sse, sse + ((predicted - _mean(observed)) ** 2).sum(), less_from=1)


def spearman(observed, predicted):
    """
    Rank correlation of Spearman, ties sharing their mean rank.

    Parameters
    ----------
    observed, predicted : array_like, shape (n,)

    Returns
    -------
    float
        In -1..1; NaN when either is constant.

    Examples
    --------
    >>> spearman([1.0, 2.0, 3.0], [1.0, 10.0, 100.0])
    1.0
    """
    observed, predicted = _pair(observed, predicted)
    return _correlation(rankdata(observed), rankdata(predicted))


def mae(observed, predicted):
    """
    Mean absolute error, in the units of the observations.

    Parameters
    ----------
    observed, predicted : array_like, shape (n,)

    Returns
    -------
    float

    Examples
    --------
    >>> mae([1.0, 2.0], [2.0, 4.0])
    1.5
    """
    observed, predicted = _pair(observed, predicted)
    return float(np.abs(observed - predicted).mean())


def poisson_deviance(observed, predicted):
    """
    Mean deviance of the Poisson distribution, 2 (y log(y / mu) - y + mu).

    Parameters
    ----------
    observed, predicted : array_like, shape (n,)
        Negative predictions count as zero.

    Returns
    -------
    float
        Zero for perfect predictions, infinite where zero is predicted for a positive observation, NaN when
        an observation is negative.

    Examples
    --------
    >>> poisson_deviance([0.0, 2.0], [0.0, 1.0])
    0.386
    """
    observed, predicted = _pair(observed, predicted)
    mu = np.maximum(predicted, 0)
    if (observed < 0).any():
        return np.nan
    if ((mu == 0) & (observed > 0)).any():
        return np.inf
    seen = observed > 0
    logs = observed[seen] * np.log(observed[seen] / mu[seen])
    return float(2 * (logs.sum() - observed.sum() + mu.sum()) / len(observed))


def score(observed, predicted, *, scale=1.0):
    """
    Every score of a set of predictions.

    Parameters
    ----------
    observed, predicted : array_like, shape (n,)
        In the same units.
    scale : float
        The log scores are taken on ``log1p(scale * value)``, negative values counting as zero: `scale` says
        which amounts are small.

    Returns
    -------
    dict of str to float
        ``r2``, ``r2_correlation``, ``r2_log``, ``r2_log_correlation``, ``r2_sse_ssr``, ``spearman``, ``mae``,
        ``poisson_deviance``.

    Examples
    --------
    >>> score([0.0, 1.0, 2.0], [0.0, 1.0, 2.0])["r2_log"]
    1.0
    """
    observed, predicted = _pair(observed, predicted)
    logs = [np.log1p(scale * np.maximum(values, 0)) for values in (observed, predicted)]
    return {
        "r2": r2(observed, predicted),
        "r2_correlation": r2_correlation(observed, predicted),
        "r2_log": r2(*logs),
        "r2_log_correlation": r2_correlation(*logs),
        "r2_sse_ssr": r2_sse_ssr(observed, predicted),
        "spearman": spearman(observed, predicted),
        "mae": mae(observed, predicted),
        "poisson_deviance": poisson_deviance(observed, predicted),
    }


def _pair(observed, predicted):
    observed, predicted = (np.asarray(values, dtype=float).ravel() for values in (observed, predicted))
    if observed.size == 0 or observed.shape != predicted.shape:
        msg = (
            f"a score needs one prediction per observation and at least one; got {observed.size} observations "
            f"and {predicted.size} predictions."
        )
        raise ValueError(msg)
    for values, name in ((observed, "observations"), (predicted, "predictions")):
        if not np.isfinite(values).all():
            msg = (
                f"a score needs finite numbers; {(~np.isfinite(values)).sum()} of {values.size} {name} are not. "
                "Leave these rows out."
            )
            raise ValueError(msg)
    return observed, predicted


def _mean(values):
    """The mean, which for equal values is that value: rounding alone may change the last digit."""
    return np.clip(values.mean(), values.min(), values.max())


def _ratio(part, whole, *, less_from):
    return float(less_from - part / whole) if whole > 0 else np.nan


def _correlation(x, y):
    # Compared by range, as the mean of equal values may differ from them in the last digit.
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1, 1))
