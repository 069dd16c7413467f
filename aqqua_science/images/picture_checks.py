"""What can be seen to be wrong with one image alone: blank, saturated, or with a scale bar drawn into it."""

import numpy as np

BLANK_LEVELS = 4
"""Grey levels of 256 that all but 0.1 % of the pixels at either end keep within, in a blank image."""

SATURATED_SHARE = 0.05
"""Share of all pixels at an end of the scale, from which on an image is saturated; the background does not count."""

BAR_PIXELS = 10
"""A scale bar is at least so long."""

_BITS = (8, 10, 12, 14, 16, 24, 32)
_STRIP = 40
_NEAR = 5
_BAR_NEAR = 40


def to_levels(pixels, bit_depth=None):
    """
    Bring an image to 256 grey levels, where 255 is the brightest value that its camera can give.

    Parameters
    ----------
    pixels : numpy.ndarray
        (height, width) or (height, width, channels); of colours, the mean of the first three channels.
    bit_depth : int, optional
        Bits that the camera used. What is not known, or as many as the type has, is taken to be the fewest of 8, 10,
        12, 14, 16, 24 and 32 bits that hold the brightest pixel.

    Returns
    -------
    numpy.ndarray of uint8
        (height, width).

    Examples
    --------
    >>> to_levels(np.array([[0, 2048, 4095]], dtype=np.uint16))
    array([[  0, 127, 255]], dtype=uint8)
    """
    if pixels.dtype == np.uint8 and pixels.ndim == 2:
        return pixels
    if pixels.ndim == 3:
        pixels = pixels[..., 0] if pixels.shape[2] < 3 else pixels[..., :3].astype(np.float64).mean(axis=2)
        return to_levels(pixels, 8 if pixels.dtype == np.float64 and pixels.max() <= 255 else bit_depth)
    values = np.nan_to_num(pixels.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    values -= min(values.min(), 0)
    return (values * (255 / _full_scale(values.max(), pixels.dtype, bit_depth))).clip(0, 255).astype(np.uint8)


def _full_scale(brightest, dtype, bit_depth):
    """Brightest value that could have been."""
    if dtype.kind == "f" and brightest <= 1 and bit_depth is None:
        return 1.0
    if bit_depth is not None and brightest < 2.0**bit_depth and bit_depth < 8 * dtype.itemsize:
        return 2.0**bit_depth - 1
    return next((2.0**bits - 1 for bits in _BITS if brightest < 2.0**bits), brightest)


def background_of(levels):
    """
    Level of the background: the median of the outermost pixels.

    Parameters
    ----------
    levels : numpy.ndarray of uint8

    Returns
    -------
    float

    Examples
    --------
    >>> background_of(np.pad(np.full((3, 3), 9, dtype=np.uint8), 1, constant_values=200))
    200.0
    """
    return float(np.median(_border(levels)))


def _border(levels):
    return np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])


def find_flaws(levels):
    """
    Tell what is wrong with an image.

    Parameters
    ----------
    levels : numpy.ndarray of uint8
        From `to_levels`.

    Returns
    -------
    dict of str to str
        Kind of flaw -> value and rule in words; empty when nothing is found.

    Examples
    --------
    >>> find_flaws(np.full((9, 9), 7, dtype=np.uint8))
    {'blank': 'its grey levels span 0 of 255; up to 4 are called blank'}
    """
    counts = np.bincount(levels.ravel(), minlength=256)
    spread = _spread(counts)
    if spread <= BLANK_LEVELS:
        return {"blank": f"its grey levels span {spread} of 255; up to {BLANK_LEVELS} are called blank"}
    bar = _scale_bar(levels)
    if bar:
        return {"scale-bar": bar}  # the white or black around it is not the camera's
    saturation = _saturation(levels, counts)
    return {"saturated": saturation} if saturation else {}


def _spread(counts):
    """Levels between the darkest and the brightest 0.1 %."""
    total = counts.cumsum()
    low, high = np.searchsorted(total, [0.001 * total[-1], 0.999 * total[-1]])
    return int(high - low)


def _saturation(levels, counts):
    """What is said of an image with too many pixels at an end of the scale that is not its background."""
    # an organism that is cut by the edge leaves some of the edge to the background
    low, high = np.percentile(_border(levels), [25, 75])
    shares = counts[[0, 255]] / levels.size
    shares *= [low > _NEAR, high < 255 - _NEAR]
    end = int(np.argmax(shares))
    if shares[end] < SATURATED_SHARE:
        return ""
    which = ("darkest", "brightest")[end]
    return f"{shares[end]:.0%} of its pixels have the {which} value there is; the limit is {SATURATED_SHARE:.0%}"


def _scale_bar(levels):
    """What is said of an image with a scale bar near its upper or lower edge."""
    for where, strip in (("bottom", levels[: -_STRIP - 1 : -1]), ("top", levels[:_STRIP])):
        bar = _bar(strip[: max(levels.shape[0] // 2, 1)])
        if bar:
            return f"a straight bar of one value, {bar[0]} x {bar[1]} pixels, near the {where} edge"
    return ""


def _bar(strip):
    """Length and thickness of a bar: one run in rows that otherwise are as the edge, with such rows on both sides."""
    background = int(np.median(strip[0]))
    inked = np.abs(strip.astype(np.int16) - background) > _BAR_NEAR
    lengths = inked.sum(axis=1)
    starts = inked.argmax(axis=1)
    edges = np.diff(inked.astype(np.int8), axis=1, prepend=0, append=0)
    extreme = (strip <= _BAR_NEAR) | (strip >= 255 - _BAR_NEAR)
    is_run = (lengths >= BAR_PIXELS) & ((edges == 1).sum(axis=1) == 1) & (extreme | ~inked).all(axis=1)
    row = 0
    while row < len(strip):
        end = row + 1
        if is_run[row]:
            while end < len(strip) and is_run[end] and (lengths[end], starts[end]) == (lengths[row], starts[row]):
                end += 1
            alone = (row == 0 or not lengths[row - 1]) and end < len(strip) and not lengths[end]
            if alone and 4 * (end - row) <= lengths[row] < strip.shape[1]:
                return int(lengths[row]), end - row
        row = end
    return None
