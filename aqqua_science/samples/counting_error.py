"""How far a count may be from the truth: exact Poisson intervals, and wider ones where replicates scatter more."""

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import chdtrc, chdtri, digamma
from scipy.stats import nbinom

from .. import schema

LEVEL = 0.95
_PROOF = 0.05
_LARGEST = 1e9
_POOLED = {"concentration_m3": "objects_m3", "low_m3": "objects_low_m3", "high_m3": "objects_high_m3"}
_SIZES = (1e-4, 1e6)


def poisson_interval(count, *, level=LEVEL):
    """
    Exact confidence interval of the mean of a Poisson count.

    Parameters
    ----------
    count : int or array of int
    level : float
        At least this share of intervals covers the truth.

    Returns
    -------
    low, high : numpy.ndarray
        Bounds of the expected count. Where the count is NaN, so are they.

    Raises
    ------
    ValueError
        If a count is negative or not whole, or `level` not between 0 and 1.

    References
    ----------
    Garwood 1936, Biometrika 28, 437-442.

    Examples
    --------
    >>> low, high = poisson_interval([0, 10])
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([0.0, 4.8], [3.69, 18.39])
    """
    count = check_counts(count)
    tail = _tail(level)
    with np.errstate(invalid="ignore"):
        low = np.where(count > 0, chdtri(2 * np.maximum(count, 0.5), 1 - tail) / 2, count)
        return low, chdtri(2 * count + 2, tail) / 2


def overdispersion(counts, exposures):
    """
    Test whether replicate counts scatter more than chance allows, and by how much.

    Parameters
    ----------
    counts : array-like of int
        Of replicate samples of the same water.
    exposures : array-like of float
        The volume (times the fraction that was looked at) of each.

    Returns
    -------
    dict
        ``p``: probability of such scatter in Poisson counts; ``size``: of the negative binomial, by maximum likelihood
        (variance = mean + mean**2 / size), infinite where the counts scatter no more than Poisson.

    Raises
    ------
    ValueError
        With fewer than two replicates, or counts or exposures that cannot be.

    References
    ----------
    Fisher 1950, Biometrics 6, 17-24 (index of dispersion); Lloyd-Smith 2007, PLoS ONE 2, e180 (maximum likelihood).

    Examples
    --------
    >>> overdispersion([5, 5, 5], [1, 1, 1])["size"]
    inf
    >>> overdispersion([0, 0, 60], [1, 1, 1])["p"] < 1e-9
    True
    """
    counts, exposures = _replicates(counts, exposures)
    expected = counts.sum() * exposures / exposures.sum()
    if counts.sum() == 0:
        return {"p": 1.0, "size": np.inf}
    chi2 = ((counts - expected) ** 2 / expected).sum()
    # The derivative at 1/size = 0 tells whether any extra scatter raises the likelihood at all.
    if ((counts - expected) ** 2 - counts).sum() <= 0:
        return {"p": float(chdtrc(counts.size - 1, chi2)), "size": np.inf}
    slope = lambda log_size: _size_score(np.exp(log_size), counts, expected)  # noqa: E731
    ends = np.log(_SIZES)
    if slope(ends[0]) * slope(ends[1]) < 0:
        size = np.exp(brentq(slope, *ends))
    else:
        size = _SIZES[0 if slope(ends[0]) < 0 else 1]
    return {"p": float(chdtrc(counts.size - 1, chi2)), "size": float(size)}


def replicate_interval(counts, exposures, *, level=LEVEL):
    """
    Confidence interval of a concentration from replicate samples.

    Exact Poisson limits of the sum, unless the replicates scatter more than Poisson counts do (index of dispersion,
    p < 0.05): then limits of a negative binomial sum whose scatter the replicates tell.

    Parameters
    ----------
    counts : array-like of int
        Of replicate samples of the same water.
    exposures : array-like of float
        Volume of each, m3 (times the fraction that was looked at).
    level : float

    Returns
    -------
    dict
        ``concentration_m3``, ``low_m3``, ``high_m3`` (m-3), ``model`` (``"Poisson"`` or ``"negative binomial"``).

    Raises
    ------
    ValueError
        As in `overdispersion`.

    Notes
    -----
    The size of the negative binomial is taken as known, so that with few replicates the interval is too short.

    Examples
    --------
    >>> replicate_interval([4, 6], [1.0, 1.0])["model"]
    'Poisson'
    >>> replicate_interval([0, 60, 3, 41], [1.0, 1.0, 1.0, 1.0])["model"]
    'negative binomial'
    """
    counts, exposures = _replicates(counts, exposures)
    found, total, volume = overdispersion(counts, exposures), counts.sum(), exposures.sum()
    if found["p"] >= _PROOF or not np.isfinite(found["size"]):
        low, high = poisson_interval(total, level=level)
        model = "Poisson"
    else:
        # The negative binomial whose variance is that of the sum; of equal exposures, one of n times the size.
        effective = exposures.sum() ** 2 / (exposures**2).sum()
        low, high = _negative_binomial_limits(total, found["size"] * effective, _tail(level))
        model = "negative binomial"
    numbers = {"concentration_m3": total / volume, "low_m3": low / volume, "high_m3": high / volume}
    return {name: float(value) for name, value in numbers.items()} | {"model": model}


def pool_replicates(table, *, by, level=LEVEL):
    """
    Pool replicate samples: concentrations with intervals that are wider where the replicates scatter.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per sample and group, as of `samples.aggregate.by_group`: ``count``, ``exposure_m3`` and `by`.
    by : str or list of str
        Columns, such as station and taxon, whose combinations are pooled. Samples of unknown exposure are left out.
    level : float

    Returns
    -------
    pandas.DataFrame
        One row per combination: `by`, ``n_samples``, ``count``, ``exposure_m3``, ``objects_m3``, ``objects_low_m3``,
        ``objects_high_m3`` and ``model``, as in `replicate_interval`; of a single sample, Poisson.

    Raises
    ------
    SchemaError
        If a column is absent, or a row does not tell what it belongs to.
    ValueError
        As in `replicate_interval`.

    Examples
    --------
    >>> table = pd.DataFrame({"station": ["s"] * 4, "count": [0, 60, 3, 41], "exposure_m3": [1.0] * 4})
    >>> pool_replicates(table, by="station")[["objects_m3", "model"]].values.tolist()
    [[26.0, 'negative binomial']]
    """
    by = [by] if isinstance(by, str) else list(by)
    schema.require_columns(table, [*by, "count", "exposure_m3"], what="the table")
    schema.require_known(table, by)
    known = table[table["exposure_m3"].notna()]
    rows = []
    for names, group in known.groupby(by, sort=False):
        counts, exposures = group["count"].to_numpy(), group["exposure_m3"].to_numpy()
        found = (
            replicate_interval(counts, exposures, level=level) if len(group) > 1 else _single(counts, exposures, level)
        )
        sums = {"n_samples": len(group), "count": counts.sum(), "exposure_m3": exposures.sum()}
        rows.append(
            dict(zip(by, names, strict=True)) | sums | {_POOLED.get(name, name): v for name, v in found.items()}
        )
    return pd.DataFrame(rows, columns=[*by, "n_samples", "count", "exposure_m3", *_POOLED.values(), "model"])


def check_counts(count):
    """
    Refuse what cannot be a count.

    Parameters
    ----------
    count : array-like of float

    Returns
    -------
    numpy.ndarray of float
        NaN where nothing was counted.

    Raises
    ------
    ValueError
        If one is negative, infinite or not whole.
    """
    count = np.asarray(count, dtype=float)
    wrong = (count < 0) | np.isinf(count) | (count != np.floor(count)) & ~np.isnan(count)
    if wrong.any():
        msg = (
            f"counts must be whole and not negative; {wrong.sum()} of {count.size} are not, the first is "
            f"{count[wrong].flat[0]:g}. Give what was counted, before any division by a volume."
        )
        raise ValueError(msg)
    return count


def _single(counts, exposures, level):
    """The Poisson interval of one sample."""
    low, high = poisson_interval(counts, level=level)
    names = ("concentration_m3", "low_m3", "high_m3")
    return {n: float((v / exposures)[0]) for n, v in zip(names, (counts, low, high), strict=True)} | {
        "model": "Poisson"
    }


def _tail(level):
    """Half of what an interval leaves out."""
    if not 0 < level < 1:
        msg = f"level must lie between 0 and 1; got {level}. A 95 % interval is level=0.95."
        raise ValueError(msg)
    return (1 - level) / 2


def _replicates(counts, exposures):
    """Counts and exposures as arrays that can be compared."""
    counts, exposures = check_counts(counts), np.asarray(exposures, dtype=float)
    if counts.ndim != 1 or counts.shape != exposures.shape or counts.size < 2 or np.isnan(counts).any():
        msg = f"needed are at least two counts, each with its exposure; got {counts.size} and {exposures.size}."
        raise ValueError(msg)
    if not ((exposures > 0) & np.isfinite(exposures)).all():
        msg = "exposures must be above 0. A sample of no volume has seen nothing: drop it."
        raise ValueError(msg)
    return counts, exposures


def _size_score(size, counts, expected):
    """Derivative of the log-likelihood of negative binomial counts with respect to the size."""
    return (
        digamma(counts + size) - digamma(size) - np.log1p(expected / size) + (expected - counts) / (size + expected)
    ).sum()


def _negative_binomial_limits(total, size, tail):
    """Means at which so small, or so large, a total has the probability `tail`."""
    chance = lambda mean: size / (size + mean)  # noqa: E731
    below = lambda mean: nbinom.cdf(total, size, chance(mean)) - tail  # noqa: E731
    above = lambda mean: nbinom.sf(total - 1, size, chance(mean)) - tail  # noqa: E731
    top = max(total, 1.0)
    while below(top) > 0 and top < _LARGEST:
        top *= 4
    high = brentq(below, max(total, 1e-12), top) if below(top) < 0 else np.inf
    low = brentq(above, 1e-12, max(total, 1.0)) if total > 0 else 0.0
    return low, high
