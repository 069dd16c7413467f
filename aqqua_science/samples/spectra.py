"""Power laws of size: normalising, fitting slopes to thousands of spectra at once, and their integrals."""

import numpy as np
from scipy.special import exprel

UM_PER_MM = 1000.0
SPHERE = np.pi / 6
"""Volume of a sphere of diameter 1."""

_STEPS = 50
_SETTLED = 1e-10
_STEEPEST = 6.0


def geometric_edges(start_um, stop_um, *, per_octave=3):
    """
    Bounds of size classes of equal ratio.

    Parameters
    ----------
    start_um, stop_um : float
        The first bound, and the diameter that the last one reaches, um.
    per_octave : int
        Classes in a doubling of the diameter; EcoPart has 3.

    Returns
    -------
    numpy.ndarray
        um.

    Raises
    ------
    ValueError
        If `start_um` is not above 0 and below `stop_um`.

    Examples
    --------
    >>> geometric_edges(1, 2).round(2).tolist()
    [1.0, 1.26, 1.59, 2.0]
    """
    if not 0 < start_um < stop_um:
        msg = f"edges need 0 < start_um < stop_um; got {start_um:g} and {stop_um:g}."
        raise ValueError(msg)
    steps = np.ceil(np.log2(stop_um / start_um) * per_octave - 1e-9)
    return start_um * 2.0 ** (np.arange(steps + 1) / per_octave)


def octave_edges(low_um, high_um):
    """
    Bounds of EcoPart's size classes, three to the octave from 1 um, that hold a range of diameters.

    Parameters
    ----------
    low_um, high_um : float
        Smallest and largest diameter, um.

    Returns
    -------
    numpy.ndarray
        um; the first is at most `low_um`, the last above `high_um`.

    Examples
    --------
    >>> octave_edges(100, 130).round(1).tolist()
    [80.6, 101.6, 128.0, 161.3]
    """
    steps = np.arange(np.floor(np.log2(low_um) * 3) - 1, np.floor(np.log2(high_um) * 3) + 3)
    edges = 2.0 ** (steps / 3)
    first, last = np.searchsorted(edges, [low_um, high_um], side="right")
    return edges[first - 1 : last + 1]


def check_edges(edges_um):
    """
    Refuse bounds that make no classes.

    Parameters
    ----------
    edges_um : array-like of float

    Returns
    -------
    numpy.ndarray
        um.

    Raises
    ------
    ValueError
        If there are fewer than two, or they do not rise from above 0.
    """
    edges = np.asarray(edges_um, dtype=float)
    if edges.ndim != 1 or edges.size < 2 or not (edges[0] > 0 and (np.diff(edges) > 0).all()):
        msg = f"edges_um must be at least two rising diameters above 0 um; got {edges.tolist()[:5]}."
        raise ValueError(msg)
    return edges


def fit_weighted(size, density, counts):
    """
    Slopes of spectra by weighted regression of the logarithm of density on that of size.

    A class weighs as the inverse of its variance: 1/count, about that of the logarithm of a Poisson count, plus as much
    as classes scatter about the line beyond that, because no sea follows a power law quite. Empty classes, whose
    logarithm does not exist, are left out.

    Parameters
    ----------
    size : numpy.ndarray, shape (n_classes,)
        Middle of each class; all are in one unit.
    density : numpy.ndarray, shape (n_spectra, n_classes)
        Normalised spectra.
    counts : numpy.ndarray, shape (n_spectra, n_classes)
        NaN where a class was not looked at.

    Returns
    -------
    dict of numpy.ndarray, shape (n_spectra,)
        ``slope`` and ``intercept`` (log10 of the density at size 1), their standard errors ``slope_se`` and
        ``intercept_se``, and ``n_classes`` used. NaN with fewer than two classes.

    Notes
    -----
    Leaving out empty classes makes spectra of few counts look flatter than they are; `fit_poisson` does not.

    References
    ----------
    DerSimonian & Laird 1986, Control. Clin. Trials 7, 177-188, for a line: Thompson & Sharp 1999, Stat. Med. 18,
    2693-2708 (scatter beyond counting, by moments).

    Examples
    --------
    >>> size = np.array([1.0, 10.0, 100.0])
    >>> fit_weighted(size, size[None] ** -4 * 5, np.array([[900.0, 30.0, 1.0]]))["slope"].round(6).tolist()
    [-4.0]
    """
    use = (counts > 0) & (density > 0)
    x, y = np.log(size), np.log(np.where(use, density, 1.0))
    weight = np.where(use, counts, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        beyond = _scatter(weight, x, y, use.sum(axis=1))
        weight = np.where(use, 1 / (1 / np.where(use, counts, 1.0) + beyond[:, None]), 0.0)
        slope, mean_x, mean_y, spread, total = _regress(weight, x, y)
    # One class has no spread, but for rounding.
    slope = np.where(use.sum(axis=1) >= 2, slope, np.nan)
    return _line(slope, mean_y - slope * mean_x, (total, mean_x, spread), 1.0, use.sum(axis=1))


def fit_poisson(size, exposure, counts):
    """
    Slopes of spectra by maximum likelihood of Poisson counts; empty classes count.

    Parameters
    ----------
    size : numpy.ndarray, shape (n_classes,)
    exposure : numpy.ndarray, shape (n_spectra, n_classes)
        What turns density into expected counts: volume times width of class.
    counts : numpy.ndarray, shape (n_spectra, n_classes)
        NaN where a class was not looked at.

    Returns
    -------
    dict of numpy.ndarray, shape (n_spectra,)
        As of `fit_weighted`; ``n_classes`` are those looked at. NaN where fewer than two classes hold anything.

    References
    ----------
    McCullagh & Nelder 1989, Generalized Linear Models, chapters 2 and 6 (iteratively reweighted least squares).

    Examples
    --------
    >>> size = np.array([1.0, 2.0, 4.0])
    >>> fit_poisson(size, np.ones((1, 3)), np.array([[6400.0, 400.0, 25.0]]))["slope"].round(6).tolist()
    [-4.0]
    """
    use = ~np.isnan(counts) & (exposure > 0)
    n, exposed, x = np.where(use, counts, 0.0), np.where(use, exposure, 1.0), np.log(size)
    level = np.log(np.maximum(n, 0.1) / exposed)
    weight = np.where(use, np.maximum(n, 0.1), 0.0)
    lines = None
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            mean_x, mean_y, spread, total = _centre(weight, x, level)
            slope = (weight * (x - mean_x) * (level - mean_y)).sum(axis=1) / spread
            intercept = mean_y[:, 0] - slope * mean_x[:, 0]
            line = intercept[:, None] + slope[:, None] * x
            weight = np.where(use, exposed * np.exp(np.clip(line, -300, 300)), 0.0)
            level = line + np.where(use, n / np.maximum(weight, 1e-300) - 1, 0.0)
            moved = np.inf if lines is None else np.nanmax(np.abs(np.r_[slope, intercept] - lines), initial=0.0)
            lines = np.r_[slope, intercept]
            if moved < _SETTLED:
                break
        excess = _excess(np.where(weight > 0, (n - weight) ** 2 / weight, 0.0).sum(axis=1), use.sum(axis=1))
    mean_x, _, spread, total = _centre(weight, x, level)
    enough = (n > 0).sum(axis=1) >= 2
    slope, intercept = np.where(enough, slope, np.nan), np.where(enough, intercept, np.nan)
    return _line(slope, intercept, (total, mean_x[:, 0], spread), excess, use.sum(axis=1))


def fit_truncated(size, density):
    """
    Fit power laws that break off: ``c * d ** -a * exp(-d / g)``, by least squares of logarithms.

    Parameters
    ----------
    size : numpy.ndarray, shape (n_classes,)
        Middle of each class.
    density : numpy.ndarray, shape (n_spectra, n_classes)
        Normalised spectra; classes that are empty or NaN are left out.

    Returns
    -------
    dict of numpy.ndarray, shape (n_spectra,)
        ``log10_coefficient`` (of c), ``exponent`` (a, from 0 to 6) and ``cutoff`` (g, between the smallest and largest
        size with particles). NaN with fewer than three such classes.

    References
    ----------
    Bisson et al. 2022, Global Biogeochem. Cycles, equation 1.

    Examples
    --------
    >>> d = np.geomspace(0.1, 3, 12)
    >>> found = fit_truncated(d, 40 * d[None] ** -3.5 * np.exp(-d / 0.8))
    >>> found["exponent"].round(6).tolist(), found["cutoff"].round(6).tolist()
    ([3.5], [0.8])
    """
    use = density > 0
    log_n = np.log(np.where(use, density, 1.0))
    x = np.stack([np.broadcast_to(-np.log(size), use.shape), np.broadcast_to(-size, use.shape)])
    n = use.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(use, x, 0.0).sum(axis=2) / n
        mean_y = np.where(use, log_n, 0.0).sum(axis=1) / n
    x, y = np.where(use, x - mean[:, :, None], 0.0), np.where(use, log_n - mean_y[:, None], 0.0)
    enough = n >= 3
    least, most = (np.where(use[enough], size, end).T for end in (np.inf, 0.0))
    steep = np.stack([np.zeros(enough.sum()), np.full(enough.sum(), _STEEPEST)])
    bounds = steep, 1 / np.stack([most.max(axis=0), least.min(axis=0)])
    best = np.full((2, len(use)), np.nan)
    best[:, enough] = _in_box(x[:, enough], y[enough], bounds)
    intercept = mean_y - (best * mean).sum(axis=0)
    return {"log10_coefficient": intercept / np.log(10), "exponent": best[0], "cutoff": 1 / best[1]}


def biovolume_of_power_law(coefficient, slope, limits):
    """
    Volume of spheres whose numbers follow a power law of diameter.

    Parameters
    ----------
    coefficient : float or array of float
        Number per unit of diameter at diameter 1.
    slope : float or array of float
        Exponent of the decrease, above 0 where small ones are more: the number is ``coefficient * d ** -slope``.
    limits : (float, float)
        Smallest and largest diameter, in the same unit.

    Returns
    -------
    float or numpy.ndarray
        Volume, cube of the unit. Right at a slope of exactly 4 too, where the integral is a logarithm.

    Raises
    ------
    ValueError
        If `limits` are not a range above 0.

    References
    ----------
    Clements et al. 2022, Global Biogeochem. Cycles 36, e2021GB007276 (with the limit at 4 added).

    Examples
    --------
    >>> bool(np.isclose(biovolume_of_power_law(1.0, 4.0, (1.0, np.e)), np.pi / 6))
    True
    """
    return SPHERE * np.asarray(coefficient, dtype=float) * _third_moment(slope, limits)


def power_law_of_biovolume(biovolume, slope, limits):
    """
    Coefficient of the power law of diameter that has a given volume, the inverse of `biovolume_of_power_law`.

    Parameters
    ----------
    biovolume : float or array of float
        Volume of all spheres, cube of the unit of `limits`.
    slope, limits
        As there.

    Returns
    -------
    float or numpy.ndarray
        Number per unit of diameter at diameter 1.

    Raises
    ------
    ValueError
        As there.

    Examples
    --------
    >>> float(power_law_of_biovolume(biovolume_of_power_law(7.0, 4.0, (0.1, 5.0)), 4.0, (0.1, 5.0)).round(12))
    7.0
    """
    return np.asarray(biovolume, dtype=float) / (SPHERE * _third_moment(slope, limits))


def _in_box(x, y, bounds):
    """Least squares of two coefficients within bounds: the free solution, or the best on an edge of the box."""
    square = np.einsum("isc,jsc->ijs", x, x)
    onto = np.einsum("isc,sc->is", x, y)
    with np.errstate(invalid="ignore", divide="ignore"):
        det = square[0, 0] * square[1, 1] - square[0, 1] ** 2
        free = np.stack(
            [square[1, 1] * onto[0] - square[0, 1] * onto[1], square[0, 0] * onto[1] - square[0, 1] * onto[0]]
        )
        tried = [free / det]
        for i, j in ((0, 1), (1, 0)):
            for edge in bounds[i]:
                other = np.clip((onto[j] - square[0, 1] * edge) / square[j, j], *bounds[j])
                tried.append(np.stack([edge, other] if i == 0 else [other, edge]))
    tried = np.stack(tried)
    inside = np.all([(tried[:, i] >= bounds[i][0]) & (tried[:, i] <= bounds[i][1]) for i in (0, 1)], axis=0)
    cost = np.einsum("tis,ijs,tjs->ts", tried, square, tried) - 2 * np.einsum("tis,is->ts", tried, onto)
    chosen = np.where(inside & ~np.isnan(cost), cost, np.inf).argmin(axis=0)
    return tried[chosen, :, np.arange(len(chosen))].T


def _third_moment(slope, limits):
    """Integral of d**(3 - slope) between limits."""
    low, high = (float(value) for value in limits)
    if not 0 < low < high < np.inf:
        msg = f"limits must be two diameters above 0, the smaller first; got ({low:g}, {high:g})."
        raise ValueError(msg)
    rest, log_ratio = 4 - np.asarray(slope, dtype=float), np.log(high / low)
    # exprel(x) = (exp(x) - 1) / x, which is smooth through x = 0: the case of a slope of 4.
    return low**rest * log_ratio * exprel(rest * log_ratio)


def _centre(weight, x, y):
    """Weighted means, the weighted spread of x about its own, and the sum of weights."""
    total = weight.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x = (weight @ x / total)[:, None]
        mean_y = ((weight * y).sum(axis=1) / total)[:, None]
        return mean_x, mean_y, (weight * (x - mean_x) ** 2).sum(axis=1), total


def _regress(weight, x, y):
    """Slope, weighted means, spread of x, and sum of weights."""
    mean_x, mean_y, spread, total = _centre(weight, x, y)
    slope = (weight * (x - mean_x) * (y - mean_y)).sum(axis=1) / spread
    return slope, mean_x[:, 0], mean_y[:, 0], spread, total


def _scatter(weight, x, y, n):
    """Variance about the line beyond that of counting, by the method of moments; 0 where there is none to be seen."""
    slope, mean_x, mean_y, spread, total = _regress(weight, x, y)
    apart = x - mean_x[:, None]
    left = y - mean_y[:, None] - slope[:, None] * apart
    # Expected of the weighted squares: n - 2 from counting, and this many times the variance beyond.
    times = total - (weight**2).sum(axis=1) / total - (weight**2 * apart**2).sum(axis=1) / spread
    found = ((weight * left**2).sum(axis=1) - (n - 2)) / times
    return np.where((n > 2) & (found > 0), found, 0.0)


def _excess(chi2, n):
    """Scatter about the line in units of what counting alone makes; never below 1."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n > 2, np.maximum(chi2 / np.maximum(n - 2, 1), 1.0), 1.0)


def _line(slope, intercept, moments, excess, n):
    """Slope, intercept and their standard errors, in powers of ten."""
    total, mean_x, spread = moments
    known = np.isfinite(slope)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope_se = np.sqrt(excess / spread)
        intercept_se = np.sqrt(excess * (1 / total + mean_x**2 / spread))
    return {
        "slope": slope,
        "slope_se": np.where(known, slope_se, np.nan),
        "intercept": intercept / np.log(10),
        "intercept_se": np.where(known, intercept_se / np.log(10), np.nan),
        "n_classes": n,
    }
