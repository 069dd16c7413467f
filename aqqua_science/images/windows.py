"""Windows of an image, turned, mirrored and resampled, without losing what a pixel measures."""

import math

import numpy as np

from aqqua_science.images.patches import cut, intensities, shrink, shrink_factor

BLUR = 1.3
"""Reduced by more than this, pixels are averaged over areas before they are sampled."""

_TINY = 1e-9


def sample_window(pixels, background, *, centre, extent, shape, angle=0.0, flip=False):
    """
    Look at an image through a turned window.

    Copies pixels where none must be interpolated: at multiples of 90 degrees and the image's own resolution.

    Parameters
    ----------
    pixels : numpy.ndarray of float32, shape (channel, height, width)
    background : numpy.ndarray of float, shape (channel,)
        Intensity of what lies outside of the image.
    centre : (float, float)
        Middle of the window, y and x in pixels of the image from its upper left corner.
    extent : (float, float)
        Height and width of the window in pixels of the image.
    shape : (int, int)
        Height and width of the view.
    angle : float
        Radians by which the image appears turned counter-clockwise.
    flip : bool
        Whether the turned view is then mirrored, left to right.

    Returns
    -------
    numpy.ndarray of float32, shape (channel, *shape)
    """
    quarters = round(angle / (math.pi / 2))
    same = all(abs(a - b) < _TINY for a, b in zip(extent, shape, strict=True))
    if same and abs(angle - quarters * math.pi / 2) < _TINY:
        return _copy(pixels, background, centre=centre, shape=shape, quarters=quarters % 4, flip=flip)
    return _interpolate(pixels, background, centre=centre, extent=extent, shape=shape, angle=angle, flip=flip)


def whole_view(pixels, *, pixel_size_um, patch_size, max_tokens, square=None):
    """
    Show what an encoder sees of an image when nothing is drawn at random: all of it.

    Parameters
    ----------
    pixels : numpy.ndarray of float32, shape (channel, height, width)
        In 0..1.
    pixel_size_um : float
    patch_size : int
    max_tokens : int
        Patches at most; a larger image is reduced by area averaging.
    square : int, optional
        Resize to so many pixels a side instead, as is common for photographs; the pixel size is then 1.

    Returns
    -------
    pixels : numpy.ndarray of float32, shape (channel, height, width)
    pixel_size_um : float
    """
    if square is None:
        return shrink(pixels, pixel_size_um=pixel_size_um, patch_size=patch_size, max_tokens=max_tokens)
    n_patches = max(1, max_tokens // len(pixels))
    side = max(1, int(square * shrink_factor(square, square, patch_size=patch_size, max_tokens=n_patches)))
    size = np.array(pixels.shape[1:])
    return sample_window(pixels, np.zeros(len(pixels)), centre=size / 2, extent=size, shape=(side, side)), 1.0


def whole_patches(pixels, *, bit_depth, pixel_size_um, patch_size, max_tokens, square=None):
    """
    Cut a stored image as an encoder sees it: all of it.

    Parameters
    ----------
    pixels : numpy.ndarray of uint8 or uint16, shape (height, width) or (height, width, channel)
    bit_depth : int
    pixel_size_um : float
    patch_size, max_tokens, square
        As for `whole_view`.

    Returns
    -------
    Patches
    """
    view, pixel_size_um = whole_view(
        intensities(pixels, bit_depth=int(bit_depth)), pixel_size_um=float(pixel_size_um), patch_size=patch_size,
        max_tokens=max_tokens, square=square,
    )  # fmt: skip
    return cut(view, pixel_size_um=pixel_size_um, patch_size=patch_size)


def _copy(pixels, background, *, centre, shape, quarters, flip):
    """Pixels of a window at right angles as they are, on background where it leaves the image."""
    height, width = shape[::-1] if quarters % 2 else shape
    top, left = (math.floor(c - k / 2 + 0.5) for c, k in zip(centre, (height, width), strict=True))
    rows, columns = (slice(max(0, a), max(0, a + k)) for a, k in ((top, height), (left, width)))
    part = pixels[:, rows, columns]
    if part.shape[1:] != (height, width):
        whole = np.empty((len(pixels), height, width), np.float32)
        whole[:] = background[:, None, None]
        y, x = max(0, -top), max(0, -left)
        whole[:, y : y + part.shape[1], x : x + part.shape[2]] = part
        part = whole
    part = np.rot90(part, quarters, axes=(1, 2))
    return np.array(part[:, :, ::-1] if flip else part, order="C")


def _interpolate(pixels, background, *, centre, extent, shape, angle, flip):
    """Bilinear view of the part of an image that the window needs, first averaged where it is much reduced."""
    steps = _steps(extent, shape, angle=angle, flip=flip)
    axes = [
        _axis(step, c, size=size, shape=shape) for step, c, size in zip(steps, centre, pixels.shape[1:], strict=True)
    ]
    (rows, height, down), (columns, width, right) = axes
    out = np.empty((len(pixels), *shape), np.float32)
    for plane, level, view in zip(pixels[:, rows, columns], background.tolist(), out, strict=True):
        view[:] = _transform(plane, (width, height), (*right, *down), shape=shape, level=level)
    return out


def _steps(extent, shape, *, angle, flip):
    """By how much y, and x, of the image change with a step along y, and along x, of the view."""
    cos, sin, mirror = math.cos(angle), math.sin(angle), -1 if flip else 1
    y, x = extent[0] / shape[0], mirror * extent[1] / shape[1]
    return (cos * y, sin * x), (-sin * y, cos * x)


def _axis(step, centre, *, size, shape):
    """Of an axis of the image: the part that is needed, its pixels once reduced, and Pillow's three coefficients."""
    footprint = math.hypot(*step)
    reach = (abs(step[0]) * shape[0] + abs(step[1]) * shape[1]) / 2 + 2 * footprint + 1
    start = min(max(math.floor(centre - reach), 0), size - 1)
    stop = min(max(math.ceil(centre + reach), start + 1), size)
    n = stop - start
    kept = max(1, round(n / footprint)) if footprint > BLUR else n
    y, x = (s * kept / n for s in step)
    origin = (centre - start) * kept / n - (y * shape[0] + x * shape[1]) / 2
    return slice(start, stop), kept, (x, y, origin)


def _transform(plane, size, coefficients, *, shape, level):
    """One channel, reduced to a size by averages and then seen through an affine map."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(plane))
    if picture.size != size:
        # Hamming weights are nearly those of areas, but keep their balance where pixels are cut.
        picture = picture.resize(size, Image.Resampling.HAMMING, reducing_gap=2)
    bilinear = Image.Resampling.BILINEAR
    return picture.transform(shape[::-1], Image.Transform.AFFINE, coefficients, bilinear, fillcolor=level)
