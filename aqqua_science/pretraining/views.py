"""Views of plankton images for training: native resolution, any orientation, true size."""

import functools
import math
from itertools import combinations
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from aqqua_science.images.patches import CHANNELS, background_levels, channel_kinds, grid_of
from aqqua_science.images.windows import sample_window
from aqqua_science.pretraining.config import LOCAL_SHARE

N_LARGE = 2
"""Views of an image that show much of it; the others show small parts."""

_NAMES = ("area", "aspect", "y", "x", "angle", "flip", "sampling", "number", "which")
_NAMES += ("contrast", "gamma", "level", "noise", "red", "green", "blue")
_DRAW = {name: k for k, name in enumerate(_NAMES)}

N_DRAWS = len(_NAMES)
"""Random numbers that a view takes, each for one thing: a setting that is off leaves the others as they were."""

ASPECT = 4 / 3
"""A window is at most so much longer or wider, for its area, than its image."""

WHITE_BALANCE = 0.1
"""Gain of one colour at most, at full strength of the changes of intensity."""


class Layout(NamedTuple):
    """
    What every view of some images shows, known before any pixel is read.

    Attributes
    ----------
    angle : numpy.ndarray of float64, shape (image, view)
        Radians by which the image is turned counter-clockwise.
    flip : numpy.ndarray of bool, shape (image, view)
        Whether it is then mirrored.
    centre_y, centre_x : numpy.ndarray of float64, shape (image, view)
        Middle of the window, in pixels of the image from its upper left corner.
    window_height, window_width : numpy.ndarray of float64, shape (image, view)
        Sides of the turned window, in pixels of the image.
    height, width : numpy.ndarray of int64, shape (image, view)
        Pixels of the view.
    pixel_size_um : numpy.ndarray of float64, shape (image, view)
        What a pixel of the view measures.
    channels : numpy.ndarray of bool, shape (image, view, 8)
        Which of the image's channels are shown.
    tokens : numpy.ndarray of int64, shape (image, view)
        Patches of all these channels.
    exposure : numpy.ndarray of float64, shape (image, view, 7)
        Random numbers in [0, 1) for contrast, gamma, background level, noise, and red, green and blue gain.
    """

    angle: np.ndarray
    flip: np.ndarray
    centre_y: np.ndarray
    centre_x: np.ndarray
    window_height: np.ndarray
    window_width: np.ndarray
    height: np.ndarray
    width: np.ndarray
    pixel_size_um: np.ndarray
    channels: np.ndarray
    tokens: np.ndarray
    exposure: np.ndarray


def lay_out(images, draws, *, views, patch_size, token_limit):
    """
    Decide what every view of many images shows, from their sizes alone.

    Multi-crop as in Caron et al. (2020, SwAV), in physical units: a window is turned by any angle, and where it is
    sampled more finely or coarsely, or reduced to keep to the limit, its pixel size follows, so that sizes stay true.
    Channels are drawn as in ChannelViT (Bao et al. 2024): first how many, then which.

    Parameters
    ----------
    images : pandas.DataFrame
        Columns height, width, channels and pixel_size_um; one row an image.
    draws : numpy.ndarray of float64, shape (image, 2 + views.n_local, N_DRAWS)
        Uniform random numbers in [0, 1).
    views : Views
    patch_size : int
    token_limit : int
        Patches of a large view at most; a small one has `LOCAL_SHARE` times fewer, but at least one.

    Returns
    -------
    Layout
    """
    sizes = [images[name].to_numpy()[:, None] for name in ("height", "width")]
    limit = np.full(draws.shape[1], max(1, token_limit // LOCAL_SHARE))
    limit[:N_LARGE] = token_limit
    n_channels, channels = _channels(images["channels"].to_numpy(), draws, limit=limit, views=views)
    sides = _windows(*sizes, draws, views=views)
    centre = [_centre(size, side, _of(draws, name)) for size, side, name in zip(sizes, sides, "yx", strict=True)]
    angle, sides = _turn(*sides, draws, views=views)
    sampling = _sampling(*sides, draws, views=views, n_patches=limit // n_channels, patch_size=patch_size)
    asked = sides if views.square is None else [_squares(views, draws.shape[:2])] * 2
    shape = [_whole_pixels(side, sampling) for side in asked]
    rows, columns = grid_of(*shape, patch_size)
    true = views.square is None
    window = [side / sampling for side in shape] if true else sides
    pixel_size = images["pixel_size_um"].to_numpy()[:, None] / sampling if true else np.ones(sampling.shape)
    flip = (_of(draws, "flip") < 0.5) & views.flip
    exposure = draws[..., _DRAW["contrast"] :]
    return Layout(angle, flip, *centre, *window, *shape, pixel_size, channels, rows * columns * n_channels, exposure)


def render(pixels, layout, at, *, views, seed, background=None):
    """
    Show one view of an image.

    Parameters
    ----------
    pixels : numpy.ndarray of float32, shape (channel, height, width)
        The image, in 0..1.
    layout : Layout
    at : (int, int)
        Which image and which of its views.
    views : Views
    seed : int
        For the noise of single pixels.
    background : numpy.ndarray of float32, shape (channel,), optional
        Of the image, by `background_levels` if not given.

    Returns
    -------
    pixels : numpy.ndarray of float32, shape (channel, height, width)
        The view, in 0..1.
    pixel_size_um : float
    kinds : numpy.ndarray of int64, shape (channel,)
        Kind of each channel.
    """
    at = tuple(at)
    level = background_levels(pixels) if background is None else np.asarray(background)
    chosen = np.flatnonzero(layout.channels[at])
    kinds = channel_kinds(len(pixels))[chosen]
    if len(chosen) < len(pixels):
        pixels, level = pixels[chosen], level[chosen]
    view = sample_window(
        pixels,
        level,
        centre=(layout.centre_y[at], layout.centre_x[at]),
        extent=(layout.window_height[at], layout.window_width[at]),
        shape=(int(layout.height[at]), int(layout.width[at])),
        angle=float(layout.angle[at]),
        flip=bool(layout.flip[at]),
    )
    _expose(view, level, layout.exposure[at].tolist(), kinds=kinds, views=views, seed=seed)
    return view, float(layout.pixel_size_um[at]), kinds


def _of(draws, name):
    return draws[..., _DRAW[name]]


def _between(u, bounds):
    """Log-uniform between two bounds."""
    lower, upper = np.log(bounds)
    return np.exp(lower + (upper - lower) * u)


def _windows(height, width, draws, *, views):
    """Whole pixels of upright windows that lie inside their images."""
    bounds = np.tile(views.local_area, (draws.shape[1], 1))
    bounds[:N_LARGE] = views.global_area
    share = bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) * _of(draws, "area")
    aspect = np.clip(_between(_of(draws, "aspect"), (1 / ASPECT, ASPECT)), share, 1 / share)
    sides = height * np.sqrt(share * aspect), width * np.sqrt(share / aspect)
    return [np.clip(np.rint(side), 1, size) for side, size in zip(sides, (height, width), strict=True)]


def _centre(size, side, u):
    """Middle of a window that starts at a whole pixel and ends inside the image."""
    return np.floor(u * (size - side + 1)) + side / 2


def _turn(height, width, draws, *, views):
    """Angles, and sides of upright rectangles of the same area that suit what was turned."""
    if not views.rotate:
        return np.zeros(height.shape), [height, width]
    angle = 2 * np.pi * _of(draws, "angle")
    # The least bit more, lest a whole number of pixels be rounded down.
    mean = np.sqrt(height * width) * (1 + 1e-12)
    stretch = np.exp(0.5 * np.log(height / width) * np.cos(2 * angle))
    return angle, [mean * stretch, mean / stretch]


def _sampling(height, width, draws, *, views, n_patches, patch_size):
    """Pixels of the view per pixel of the image, few enough that the patches keep to their limit."""
    if views.square is not None:
        height = width = _squares(views, draws.shape[:2])
        return _fit(height, width, np.ones(height.shape), n_patches=n_patches, patch_size=patch_size)
    wanted = _between(_of(draws, "sampling"), views.sampling)
    return _fit(height, width, wanted, n_patches=n_patches, patch_size=patch_size)


def _squares(views, shape):
    """Pixels a side where all views are resized to squares."""
    side = np.full(shape, float(views.square // 2))
    side[:, :N_LARGE] = views.square
    return side


def _fit(height, width, factor, *, n_patches, patch_size):
    """`images.patches.shrink_factor` for many at a time, beginning from a factor each."""
    height, width, n_patches = (np.ravel(np.broadcast_to(a, factor.shape)) for a in (height, width, n_patches))
    fitted, waiting = factor.ravel().copy(), np.arange(factor.size)
    while waiting.size:
        now = fitted[waiting]
        sides = (_whole_pixels(side[waiting], now) for side in (height, width))
        rows, columns = grid_of(*sides, patch_size)
        excess = rows * columns / n_patches[waiting]
        over = excess > 1
        waiting = waiting[over]
        fitted[waiting] *= np.minimum(0.98, 1 / np.sqrt(excess[over]))
    return fitted.reshape(factor.shape)


def _whole_pixels(side, factor):
    return np.maximum(1, (side * factor).astype(np.int64))


def _subsets():
    """Every choice of k of c channels, and where those of each (c, k) begin."""
    rows, start = [], np.zeros((CHANNELS + 1, CHANNELS + 2), np.int64)
    for c in range(CHANNELS + 1):
        for k in range(CHANNELS + 1):
            start[c, k] = len(rows)
            rows += [np.isin(np.arange(CHANNELS), chosen) for chosen in combinations(range(c), k)]
        start[c, -1] = len(rows)
    return np.array(rows), start


_CHOICES, _START = _subsets()


def _channels(n, draws, *, limit, views):
    """How many channels each view shows, and which; never more than it may have patches."""
    shown = np.broadcast_to(n[:, None], draws.shape[:2])
    if views.channels:
        shown = 1 + (_of(draws, "number") * shown).astype(np.int64)
    shown = np.minimum(shown, limit)
    first, stop = _START[n[:, None], shown], _START[n[:, None], shown + 1]
    return shown, _CHOICES[first + (_of(draws, "which") * (stop - first)).astype(np.int64)]


def _expose(view, background, u, *, kinds, views, seed):
    """Change intensities, in place, as another lamp, sensor or water would."""
    contrast, gamma, level, noise, *balance = (2 * np.array(u) - 1).tolist()
    if views.intensity:
        gain = float(np.exp(views.intensity * contrast))
        lamp = [1 + WHITE_BALANCE * views.intensity * balance[k - 1] if 0 < k < 4 else 1.0 for k in kinds.tolist()]
        for plane, empty, colour in zip(view, background.tolist(), lamp, strict=True):
            plane *= gain * colour
            plane += empty * (1 - gain) * colour
        np.maximum(view, 0, out=view)
        np.power(view, np.float32(np.exp(0.5 * views.intensity * gamma)), out=view)
    if views.background:
        view += np.float32(views.background * level)
    if views.noise:
        view += _grain(view.shape, sd=views.noise * (noise + 1) / 2, seed=seed)
    np.clip(view, 0, 1, out=view)


def _grain(shape, *, sd, seed):
    """Gaussian noise, from cells of equal probability: four times as quick as exact draws."""
    n = math.prod(shape)
    bits = np.random.default_rng(seed).bit_generator.random_raw(-(-n // 4)).view(np.uint16)[:n]
    return (_quantiles() * np.float32(sd)).take(bits >> 4).reshape(shape)


@functools.cache
def _quantiles():
    """Middles, in probability, of 4,096 cells of the standard normal distribution."""
    return np.array([NormalDist().inv_cdf((k + 0.5) / 2**12) for k in range(2**12)], np.float32)
