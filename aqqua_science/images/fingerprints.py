"""The same picture twice, though not in the same bytes: hashes, a search for close ones, and a second look."""

from itertools import pairwise, product

import numpy as np

from aqqua_science.images.picture_checks import background_of

MAX_BITS = 6
"""Hashes of the same picture differ in at most so many of their 64 bits."""

MAX_PIXELS = 2
"""Heights, and widths, of the same picture differ by at most so much."""

MAX_CONTRAST = 1.2
"""Contrasts of the same picture differ by at most this factor."""

MIN_CORRELATION = 0.95
"""Least correlation of the pixels of the same picture, once they lie upon each other."""

MAX_DIFFERENCE = 5.5
"""Greatest rms difference on the organism, in grey levels of 256, after brightness and contrast are made equal."""

_WAVES = 4
_INK = 8
_MIN_INK = 20
_MIN_OVERLAP = 0.8
_MIN_ROUGH = 0.7
_ONES = np.array([bin(i).count("1") for i in range(65_536)], dtype=np.uint8)


def fingerprint(levels):
    """
    Hash a picture so that hashes of similar pictures differ in few bits.

    The bits are the signs of the lowest 8 x 8 waves of the image about the centre of what stands out of its
    background, so that neither the position of an organism in its image nor brightness matter. A mirrored image
    differs in half of the bits.

    Parameters
    ----------
    levels : numpy.ndarray of uint8
        From `picture_checks.to_levels`.

    Returns
    -------
    hash : numpy.uint64
    contrast : float
        Root of the summed squares of what stands out of the background.

    Examples
    --------
    >>> organism = np.random.default_rng(0).integers(0, 200, (20, 30), dtype=np.uint8)
    >>> image = np.pad(organism, 10, constant_values=250)
    >>> moved = np.roll(image, 4, axis=0)
    >>> bool(fingerprint(image)[0] == fingerprint(moved)[0])
    True
    """
    standing, (row, column) = _centred(levels)
    waves = _waves(levels.shape[0], row) @ standing @ _waves(levels.shape[1], column).T
    return np.packbits(waves.ravel() > 0).view(np.uint64)[0], float(np.linalg.norm(standing))


def _centred(levels):
    """An image less its background, and the centre of the squares of that."""
    standing = levels.astype(np.float32) - np.float32(background_of(levels))
    weight = standing * standing
    total = max(float(weight.sum()), 1e-9)
    rows, columns = weight.sum(axis=1), weight.sum(axis=0)
    return standing, (float(rows @ np.arange(len(rows))) / total, float(columns @ np.arange(len(columns))) / total)


def _waves(n, centre):
    """Cosines and sines about a centre, the longest twice as long as the image."""
    x = (np.pi / n) * (np.arange(n, dtype=np.float32) - np.float32(centre))
    k = np.arange(_WAVES, dtype=np.float32)[:, None]
    return np.concatenate([np.cos(k * x), np.sin((k + 1) * x)])


def find_similar(hashes, shapes, contrasts):
    """
    Find pairs of images whose hashes, sizes and contrasts are close.

    Two hashes that differ in at most `MAX_BITS` bits agree wholly in one of ``MAX_BITS + 1`` bands, so sorting by one
    band after the other finds every such pair and none has to be compared with all others.

    Parameters
    ----------
    hashes : numpy.ndarray of uint64
    shapes : numpy.ndarray of int
        (n, 2): heights and widths.
    contrasts : numpy.ndarray of float

    Returns
    -------
    numpy.ndarray of int (n, 3)
        The later image, the earlier one, and in how many bits they differ; sorted by the later, closest first.

    Examples
    --------
    >>> find_similar(np.array([5, 2**40, 4], dtype=np.uint64), np.full((3, 2), 50), np.ones(3))[-1].tolist()
    [2, 1, 2]
    """
    edges = np.linspace(0, 64, MAX_BITS + 2).astype(int)
    found = [np.empty((0, 3), dtype=np.int64)]
    for low, high in pairwise(edges):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        found.extend(_pairs_in(band, hashes, shapes, contrasts))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 2], pairs[:, 0]))]


def _pairs_in(band, hashes, shapes, contrasts):
    """Yield the close pairs among images that agree in a band, met by moving a sorted list along itself."""
    order = np.lexsort((shapes[:, 0], band))
    band, height, width = band[order], shapes[order, 0], shapes[order, 1]
    hashes, contrast = hashes[order], np.log(np.maximum(contrasts[order], 1e-9))
    alive, step = np.arange(len(order)), 0
    while alive.size:
        step += 1
        alive = alive[alive + step < len(order)]
        other = alive + step
        alive = alive[(band[alive] == band[other]) & (height[other] - height[alive] <= MAX_PIXELS)]
        other = alive + step
        near = np.abs(width[alive] - width[other]) <= MAX_PIXELS
        near &= np.abs(contrast[alive] - contrast[other]) <= np.log(MAX_CONTRAST)
        first, second = alive[near], other[near]
        bits = count_bits(hashes[first] ^ hashes[second])
        pairs = np.sort(np.column_stack([order[first], order[second]]), axis=1)[:, ::-1]
        yield np.column_stack([pairs, bits])[bits <= MAX_BITS]


def count_bits(values):
    """
    Count the bits that are set.

    Parameters
    ----------
    values : numpy.ndarray of uint64

    Returns
    -------
    numpy.ndarray of int

    Examples
    --------
    >>> count_bits(np.array([0, 5, 2**64 - 1], dtype=np.uint64)).tolist()
    [0, 2, 64]
    """
    return _ONES[np.ascontiguousarray(values).view(np.uint16).reshape(-1, 4)].sum(axis=1, dtype=np.int64)


def is_same_picture(first, second):
    """
    Look at two images pixel by pixel: whether they are the same picture, moved, brighter or compressed again.

    Organisms of simple shape resemble each other in every hash; here their pixels have to agree.

    Parameters
    ----------
    first, second : numpy.ndarray of uint8
        From `picture_checks.to_levels`.

    Returns
    -------
    bool

    Examples
    --------
    >>> organism = np.random.default_rng(0).integers(0, 200, (20, 30), dtype=np.uint8)
    >>> image = np.pad(organism, 10, constant_values=250)
    >>> is_same_picture(image, image[1:] // 2 + 9), is_same_picture(image, image[:, ::-1])
    (True, False)
    """
    (first, (y1, x1)), (second, (y2, x2)) = _centred(first), _centred(second)
    row, column = round(y1 - y2), round(x1 - x2)
    best = _agreement(first, second, row, column)
    if best[0] < _MIN_ROUGH:
        return False
    for dy, dx in product((row - 1, row, row + 1), (column - 1, column, column + 1)):
        best = max(best, _agreement(first, second, dy, dx))
    return best[0] >= MIN_CORRELATION and best[1] <= MAX_DIFFERENCE


def _overlap(image, other, dy, dx):
    """Part of an image on which another lies when that is moved."""
    height = min(image.shape[0] - max(dy, 0), other.shape[0] - max(-dy, 0))
    width = min(image.shape[1] - max(dx, 0), other.shape[1] - max(-dx, 0))
    return image[max(dy, 0) :, max(dx, 0) :][: max(height, 0), : max(width, 0)]


def _agreement(first, second, dy, dx):
    """Correlation of two images when one is moved over the other, and their difference where the organism is."""
    a, b = _overlap(first, second, dy, dx), _overlap(second, first, -dy, -dx)
    inked = (np.abs(a) > _INK) | (np.abs(b) > _INK)
    if a.size < _MIN_OVERLAP * min(first.size, second.size) or inked.sum() < _MIN_INK:
        return -1.0, np.inf
    u, v = a - a.mean(), b - b.mean()
    correlation = float(np.vdot(u, v)) / max(float(np.linalg.norm(u) * np.linalg.norm(v)), 1e-9)
    u, v = a[inked], b[inked]
    slope = float(u @ v) / max(float(u @ u), 1e-9)
    return correlation, float(np.sqrt(np.mean((v - slope * u) ** 2)))
