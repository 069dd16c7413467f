"""
Hill numbers of communities, and what they would be at another size or coverage of sample.

All by formula, without random draws: Chao & Jost 2012, Ecology 93, 2533-2547 (coverage); Chao et al. 2014, Ecol.
Monogr. 84, 45-67 (Hill numbers); Chao, Wang & Jost 2013, Methods Ecol. Evol. 4, 1091-1100 (entropy of the whole).
"""

import numpy as np
from scipy.special import digamma, gammaln

from .counting_error import check_counts

ORDERS = (0, 1, 2)
_NEGLIGIBLE = 45.0  # an exponent that leaves nothing of a number of double precision


def hill_numbers(abundance, q):
    """
    Effective number of taxa in each community, as it is.

    Parameters
    ----------
    abundance : array-like of float, shape (..., n_taxa)
        Numbers, concentrations or biomasses; not negative.
    q : float
        Order: 0 counts taxa, 1 weighs them by abundance (exponential of Shannon's entropy), 2 the dominant ones
        (inverse of Simpson's concentration).

    Returns
    -------
    numpy.ndarray, shape (...)
        0 where there is nothing, NaN where an abundance is not known.

    Raises
    ------
    ValueError
        If an abundance is negative or infinite, as that of a transformed table may be, or `q` is.

    References
    ----------
    Hill 1973, Ecology 54, 427-432.

    Examples
    --------
    >>> [round(float(hill_numbers([4, 4, 0, 8], q)), 3) for q in (0, 1, 2)]
    [3.0, 2.828, 2.667]
    """
    a = np.asarray(abundance, dtype=float)
    if (a < 0).any() or np.isinf(a).any() or not q >= 0:
        msg = (
            f"abundances must be finite and not negative, and q at least 0; got a lowest of {np.nanmin(a):g}, q = {q}."
        )
        raise ValueError(msg)
    total = a.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = a / np.where(total > 0, total, np.nan)[..., None]
        if q == 0:
            found = (p > 0).sum(axis=-1).astype(float)
        elif q == 1:
            found = np.exp(-np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(axis=-1))
        else:
            found = np.where(p > 0, p**q, 0.0).sum(axis=-1) ** (1 / (1 - q))
    return np.where(np.isnan(total), np.nan, np.where(total > 0, found, 0.0))


def coverage_at(counts, size=None):
    """
    The share of all individuals of a community that belong to taxa found in a sample of some size.

    Parameters
    ----------
    counts : array-like of int, shape (n_taxa,)
        Individuals of each taxon.
    size : float, optional
        Individuals in the sample asked about, fewer or more than there are; as many, if left out.

    Returns
    -------
    float
        NaN with fewer than two individuals.

    Raises
    ------
    ValueError
        If counts are not whole, negative or missing.

    References
    ----------
    Chao & Jost 2012, Ecology 93, 2533-2547, equations 4a, 4b and 12.

    Examples
    --------
    >>> round(coverage_at([10, 5, 1, 1]), 3), round(coverage_at([10, 5, 1, 1], 8), 3)
    (0.895, 0.871)
    """
    x, n = _present(counts)
    if n < 2:
        return np.nan
    size = n if size is None else size
    if size < n:
        return float(1 - (x / n * np.exp(_log_choose(n - x, size) - _log_choose(n - 1, size))).sum())
    single, keep = _unseen(x, n)
    return float(1 - single / n * keep ** (size - n + 1))


def hill_at(counts, size, q):
    """
    Expected Hill number of a smaller, or estimated one of a larger, sample.

    Parameters
    ----------
    counts : array-like of int, shape (n_taxa,)
    size : float
        Individuals, at least 1; between whole numbers below those there are, the straight line between them.
    q : {0, 1, 2}

    Returns
    -------
    float
        NaN for an empty sample.

    Raises
    ------
    ValueError
        If counts are not whole, negative or missing, `size` is below 1, or there is no formula for `q`.

    References
    ----------
    Chao et al. 2014, Ecol. Monogr. 84, 45-67, tables 1 and 2.

    Examples
    --------
    >>> [round(hill_at([10, 5, 1, 1], size, 0), 3) for size in (8, 17, 34)]
    [2.921, 4.0, 4.814]
    """
    x, n = _present(counts)
    _check_order(q)
    if size < 1:
        msg = f"size must be at least 1 individual; got {size}."
        raise ValueError(msg)
    if n == 0 or np.isnan(size):
        return np.nan
    few = int(min(size, n))
    if few < size < n:
        return (few + 1 - size) * hill_at(x, few, q) + (size - few) * hill_at(x, few + 1, q)
    if q == 2:
        pairs = (x * (x - 1)).sum() / (n * (n - 1)) if n > 1 else 0.0
        return float(1 / (1 / size + (size - 1) / size * pairs))
    if size <= n:
        return _rarefied(x, n, few, q)
    if q == 0:
        single = (x == 1).sum()
        unseen = hill_infinite(x, 0) - x.size
        base = n * unseen / (n * unseen + single) if unseen > 0 else 1.0
        return float(x.size + unseen * (1 - base ** (size - n)))
    seen, whole = np.log(hill_numbers(x, 1)), np.log(hill_infinite(x, 1))
    return float(np.exp(n / size * seen + (size - n) / size * whole))


def hill_infinite(counts, q):
    """
    Estimated Hill number of the whole community.

    Parameters
    ----------
    counts : array-like of int, shape (n_taxa,)
    q : {0, 1, 2}
        Of order 0 it is a lower bound (Chao1).

    Returns
    -------
    float
        NaN for an empty sample, and of order 2 where no two individuals are of one taxon.

    Raises
    ------
    ValueError
        If counts are not whole, negative or missing, or `q` is another.

    References
    ----------
    Chao 1984, Scand. J. Statist. 11, 265-270; Chao, Wang & Jost 2013, Methods Ecol. Evol. 4, 1091-1100.

    Examples
    --------
    >>> [round(hill_infinite([10, 5, 1, 1], q), 3) for q in (0, 1, 2)]
    [4.941, 3.142, 2.473]
    """
    _check_order(q)
    x, n = _present(counts)
    if n == 0:
        return np.nan
    single, double = (x == 1).sum(), (x == 2).sum()
    if q == 0:
        unseen = single**2 / (2 * double) if double else single * (single - 1) / 2
        return float(x.size + (n - 1) / n * unseen)
    if q == 2:
        pairs = (x * (x - 1)).sum()
        return float(n * (n - 1) / pairs) if pairs else np.nan
    some = x[x < n]
    entropy = (some / n * (digamma(n) - digamma(some))).sum()
    keep = _unseen(x, n)[1]
    if single and 0 < keep < 1:
        entropy += single / n * _unseen_entropy(n, keep)
    return float(np.exp(entropy))


def size_at_coverage(counts, coverage):
    """
    Number of individuals with which a sample, smaller or larger, would have a given coverage.

    Parameters
    ----------
    counts : array-like of int, shape (n_taxa,)
    coverage : float
        Between 0 and 1.

    Returns
    -------
    float
        NaN where no size has that coverage, and with fewer than two individuals. `hill_at` takes it.

    Raises
    ------
    ValueError
        If `coverage` is not between 0 and 1, or counts are not whole, negative or missing.

    Notes
    -----
    Beyond twice the individuals that there are, richness is not to be trusted (Chao et al. 2014).

    Examples
    --------
    >>> size = size_at_coverage([10, 5, 1, 1], 0.85)
    >>> round(size, 1), round(hill_at([10, 5, 1, 1], size, 0), 2)
    (6.1, 2.65)
    """
    if not 0 < coverage < 1:
        msg = f"coverage must lie between 0 and 1; got {coverage}. A share of 90 % is 0.9."
        raise ValueError(msg)
    x, n = _present(counts)
    if n < 2:
        return np.nan
    if coverage >= coverage_at(x):
        return _larger_size(x, n, coverage)
    few, many = 0, int(n)
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if coverage_at(x, middle) <= coverage else (few, middle)
    reach = coverage_at(x, few), coverage_at(x, many)
    return max(few + (coverage - reach[0]) / (reach[1] - reach[0]), 1.0)


def _larger_size(x, n, coverage):
    """Size of a larger sample that has a coverage."""
    single, keep = _unseen(x, n)
    if single == 0:
        return float(n)
    if keep in (0.0, 1.0):
        return np.nan
    return float(n + max(np.log(n / single * (1 - coverage)) / np.log(keep) - 1, 0.0))


def _check_order(q):
    """Refuse orders for which there is no formula."""
    if q not in ORDERS:
        msg = f"there are formulas for q = 0, 1 and 2; got {q}. hill_numbers takes any order, as the sample is."
        raise ValueError(msg)


def _present(counts):
    """Counts of the taxa that are there, and their sum."""
    x = check_counts(counts)
    if np.isnan(x).any():
        msg = (
            f"counts of {np.isnan(x).sum()} of {x.size} taxa are missing. Zero is not found, missing is not looked for."
        )
        raise ValueError(msg)
    x = x[x > 0]
    return x, x.sum()


def _unseen(x, n):
    """Number of singletons, and the factor 1 - A by which each further individual shrinks what is unseen."""
    single, double = (x == 1).sum(), (x == 2).sum()
    if single == 0:
        return 0, 0.0
    above = (n - 1) * single if double else (n - 1) * (single - 1)
    below = above + (2 * double if double else 2)
    return single, float(above / below)


def _unseen_entropy(n, keep):
    """Value of (1-A)^(1-n) (-log A - sum of (1-A)^r / r over r < n), written so that nothing cancels."""
    if n * (1 - keep) < 1:
        r = np.arange(1, n)
        return keep ** (1 - n) * (-np.log1p(-keep) - (keep**r / r).sum())
    # The difference is what the series of the logarithm has beyond its first n - 1 terms.
    k = np.arange(np.ceil(-_NEGLIGIBLE / np.log(keep)))
    return (keep ** (k + 1) / (n + k)).sum()


def _rarefied(x, n, size, q):
    """Expected richness, or exponential of the entropy of expected frequencies, in a smaller sample."""
    if q == 0:
        return float(x.size - np.exp(_log_choose(n - x, size) - _log_choose(n, size)).sum())
    entropy = 0.0
    for count, times in zip(*np.unique(x, return_counts=True), strict=True):
        k = np.arange(max(1, size - (n - count)), min(count, size) + 1)
        chance = np.exp(_log_choose(count, k) + _log_choose(n - count, size - k) - _log_choose(n, size))
        entropy -= times * (k / size * np.log(k / size) * chance).sum()
    return float(np.exp(entropy))


def _log_choose(n, k):
    """Logarithm of the binomial coefficient; minus infinity where k exceeds n."""
    n, k = np.broadcast_arrays(np.asarray(n, dtype=float), np.asarray(k, dtype=float))
    possible = k <= n
    found = gammaln(n + 1) - gammaln(k + 1) - gammaln(np.where(possible, n - k, 0) + 1)
    return np.where(possible, found, -np.inf)
