"""Chains of cells: how long, and how many cells, by what repeats along them."""

from typing import NamedTuple

import numpy as np

_SHORTEST = 1.6
_LONG = 2.5
_LEAST_PERIOD = 4
_ALIKE = 0.6
_STILL_ALIKE = 0.3
_NEAR_BEST = 0.8
_GAP = 0.15
_STRIP = 0.7


class Chain(NamedTuple):
    """
    What was found along a body.

    Attributes
    ----------
    n_cells : int
    n_cells_low, n_cells_high : int
        Least and most cells that any of the signs tells.
    length : float
        Along the middle line, pixels.
    periodicity : float
        Correlation of the body with itself one cell further, 0 to 1.
    volume : float
        Of discs as wide as the chain at each place along the middle line, cubes of pixels.
    """

    n_cells: int
    n_cells_low: int
    n_cells_high: int
    length: float
    periodicity: float
    volume: float


def count_cells(difference, body):
    """
    Count the cells of a chain.

    The body is straightened along a parabola. Two profiles along it tell cells from gaps: how much
    light is taken near the middle line, and how wide the body is. The shortest shift at which a profile is like
    itself is the length of a cell with its gap; the number of cells follows from the length. Where the gaps are open,
    the stretches between them are counted too.

    Parameters
    ----------
    difference : numpy.ndarray of float, shape (height, width)
        From the water around, as `aqqua_science.objects.thresholding.contrast` gives it.
    body : numpy.ndarray of bool, shape (height, width)
        Mask of the chain without its setae, as `aqqua_science.objects.volumes.body_mask` gives it; not empty.

    Returns
    -------
    Chain
        One cell where nothing repeats. Then there may be as many as the body is long over wide: cells that are not
        resolved, or a single long cell, look alike. A body that is not long is one cell.
    """
    along, across = _straightened(body)
    length, width = float(np.ptp(along[body]) + 1), float(np.sqrt(12 * across[body].var() + 1))
    volume = _volume(along[body])
    most = max(1, round(length / width))
    if length / width < _SHORTEST:
        return Chain(1, 1, 1, length, 0.0, volume)
    profiles = _profiles(np.abs(difference), (along, across), body, width)
    found = [_period(profile) for profile in profiles]
    signs = [round(length / p + _GAP) for p, r in found if r > _ALIKE]
    pieces, best = _stretches(profiles[1]), max(found, key=lambda pair: pair[1])
    if not signs:
        return Chain(pieces, 1, max(pieces, most), length, max(0.0, best[1]), volume)
    counts = [*signs, pieces] if pieces > 1 else signs
    n = round(length / best[0] + _GAP)
    return Chain(n, min(counts), max(counts), length, best[1], volume)


def _straightened(body):
    """Place of all pixels along and across a parabola through the body."""
    y, x = np.nonzero(body)
    centre = x.mean() + 1j * y.mean()
    z = x + 1j * y - centre
    turn = np.exp(-0.5j * np.angle((z * z).mean()))
    height, width = body.shape
    every = (np.arange(width) + 1j * np.arange(height)[:, None] - centre) * turn
    own = every[body]
    # A short, thick body has corners rather than a bend.
    is_long = own.real.var() > _LONG**2 * own.imag.var()
    bend = np.linalg.lstsq(np.vander(own.real, 3), own.imag, rcond=1e-6)[0] if is_long else np.zeros(3)
    steps = np.linspace(own.real.min() - 1, own.real.max() + 1, 200)
    slope = np.polyval(np.polyder(bend), steps)
    arc = np.concatenate([[0], np.cumsum(np.hypot(1, (slope[1:] + slope[:-1]) / 2) * np.diff(steps))])
    # To the nearest point of the parabola, to first order.
    rise = np.polyval(bend, every.real)
    tilt = np.polyval(np.polyder(bend), every.real)
    lean = np.hypot(1, tilt)
    foot = every.real + tilt * (every.imag - rise) / lean**2
    return np.interp(foot, steps, arc), (every.imag - rise) / lean


def _volume(along):
    """Discs as wide as the body at each place; a pixel is spread over its length."""
    places = np.floor(np.add.outer([-1 / 3, 0.0, 1 / 3], along) - along.min() + 1).astype(int)
    widths = np.bincount(places.ravel()) / 3
    return float(np.pi / 4 * (widths**2).sum())


def _profiles(size, places, body, width):
    """Difference from the water near the middle line, and width of the body, for each pixel along it."""
    along, across = places
    start, stop = along[body].min(), along[body].max()
    strip = (np.abs(across) <= _STRIP / 2 * width) & (along >= start) & (along <= stop)
    n = int(stop - start) + 1
    where = np.minimum((along[strip] - start).astype(int), n - 1)
    counts = np.maximum(np.bincount(where, minlength=n), 1)
    light = np.bincount(where, size[strip], minlength=n) / counts
    filled = np.bincount(where, body[strip], minlength=n) / counts
    return _smooth(light), _smooth(filled)


def _period(profile):
    """The shortest shift at which a profile is like itself, and how much; 1 and 0 if there is none."""
    n = len(profile)
    lags = np.arange(_LEAST_PERIOD, int(n / 1.5) + 1)
    own = profile - profile.mean()
    if len(lags) < 3 or own.std() < 1e-6:
        return 1.0, 0.0
    likeness = _correlations(own, lags)
    inner = likeness[1:-1]
    peaks = np.flatnonzero((inner >= likeness[:-2]) & (inner > likeness[2:])) + 1
    if not len(peaks) or likeness[peaks].max() <= 0:
        return 1.0, 0.0
    # Little overlap is alike by chance.
    sure = likeness[peaks] * np.sqrt(1 - lags[peaks] / n)
    chosen = peaks[sure >= _NEAR_BEST * sure.max()][0]
    return _refined(lags, likeness, chosen), float(likeness[chosen])


def _refined(lags, likeness, chosen):
    """The top of the parabola through a peak and its neighbours, sharpened by the peaks at its multiples."""
    period, k = _top(lags, likeness, chosen), 1
    while period > 1 and round((k + 1) * period) < lags[-1]:
        guess = round((k + 1) * period) - lags[0]
        reach = max(1, int(period / 4))
        window = np.arange(max(1, guess - reach), min(len(lags) - 1, guess + reach + 1))
        nearest = window[likeness[window].argmax()]
        if likeness[nearest] < _STILL_ALIKE:
            break
        k += 1
        period = _top(lags, likeness, nearest) / k
    return period


def _top(lags, likeness, at):
    left, middle, right = likeness[at - 1 : at + 2]
    curve = left - 2 * middle + right
    return float(lags[at] + (np.clip(0.5 * (left - right) / curve, -1, 1) if curve < 0 else 0.0))


def _correlations(own, lags):
    """Correlation of a profile with itself shifted, over what overlaps."""
    n, totals, squares = len(own), np.cumsum(own), np.cumsum(own * own)
    left, right = totals[n - 1 - lags], totals[-1] - totals[lags - 1]
    size = n - lags
    left_square = squares[n - 1 - lags] - left**2 / size
    right_square = squares[-1] - squares[lags - 1] - right**2 / size
    both = np.correlate(own, own, "full")[n - 1 + lags] - left * right / size
    scale = np.sqrt(np.maximum(left_square * right_square, 0))
    return np.where(scale > 1e-9 * squares[-1], both / np.maximum(scale, 1e-12), 0.0)


def _stretches(filled):
    """How many stretches of body lie between open gaps; 1 if they are not alike, as cells would be."""
    solid = filled > 0.5 * np.median(filled[filled > 0])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], solid.astype(int), [0]])))
    lengths = edges[1::2] - edges[::2]
    return len(lengths) if len(lengths) and lengths.min() > 0.5 * lengths.max() else 1


def _smooth(values):
    return np.convolve(np.pad(values, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
