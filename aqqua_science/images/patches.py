"""Images cut into square patches with their places in micrometres: what every encoder sees."""

from typing import NamedTuple

import numpy as np

CHANNELS = 8
"""Kinds of channels that are told apart: grey, red, green, blue, and four more (fluorescence and the like)."""


class Patches(NamedTuple):
    """
    Patches of an image, row by row, channel after channel.

    Attributes
    ----------
    values : numpy.ndarray of float32, shape (token, patch_size ** 2)
        Intensities, 0 where nothing was seen.
    seen : numpy.ndarray of bool, shape (token, patch_size ** 2)
        False where a patch reaches over the edge of the image.
    background : numpy.ndarray of float32, shape (token,)
        Intensity around the object, of the patch's channel.
    position_um : numpy.ndarray of float32, shape (token, 2)
        Centre of the patch, y and x from the centre of the image.
    channel : numpy.ndarray of int64, shape (token,)
        0 grey; 1, 2, 3 red, green, blue; from 4 on any other.
    grid : (int, int)
        Rows and columns of patches.
    pixel_size_um : float
    """

    values: np.ndarray
    seen: np.ndarray
    background: np.ndarray
    position_um: np.ndarray
    channel: np.ndarray
    grid: tuple
    pixel_size_um: float


def cut(pixels, *, pixel_size_um, patch_size, channels=None):
    """
    Cut an image into patches at its own resolution.

    Parameters
    ----------
    pixels : numpy.ndarray of float32, shape (channel, height, width)
    pixel_size_um : float
    patch_size : int
    channels : sequence of int, optional
        Kind of each channel; by `channel_kinds` of their number if not given.

    Returns
    -------
    Patches
    """
    n, height, width = pixels.shape
    rows, columns = grid_of(height, width, patch_size)
    whole = np.zeros((n, rows * patch_size, columns * patch_size), np.float32)
    whole[:, :height, :width] = pixels
    seen = np.zeros(whole.shape[1:], bool)
    seen[:height, :width] = True
    y, x = ((np.arange(k) + 0.5) * patch_size for k in (rows, columns))
    places = np.stack(np.meshgrid(y - height / 2, x - width / 2, indexing="ij"), axis=-1).reshape(-1, 2)
    kinds = channel_kinds(n) if channels is None else np.asarray(channels)
    return Patches(
        values=np.concatenate([_squares(plane, patch_size) for plane in whole]),
        seen=np.tile(_squares(seen, patch_size), (n, 1)),
        background=np.repeat(background_levels(pixels), rows * columns),
        position_um=np.tile(places * pixel_size_um, (n, 1)).astype(np.float32),
        channel=np.repeat(kinds, rows * columns).astype(np.int64),
        grid=(rows, columns),
        pixel_size_um=float(pixel_size_um),
    )


def background_levels(pixels):
    """
    Find the intensity of the empty water: the median of each channel along the border.

    Parameters
    ----------
    pixels : numpy.ndarray of float32, shape (channel, height, width)

    Returns
    -------
    numpy.ndarray of float32, shape (channel,)
    """
    sides = (pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1])
    return np.median(np.concatenate(sides, axis=1), axis=1).astype(np.float32)


def _squares(plane, side):
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    return plane.reshape(rows, side, columns, side).transpose(0, 2, 1, 3).reshape(rows * columns, side * side)


def grid_of(height, width, patch_size):
    """
    Count the rows and columns of patches of an image.

    Parameters
    ----------
    height, width : int or array of int
    patch_size : int

    Returns
    -------
    rows, columns : int or array of int
    """
    return -(-height // patch_size), -(-width // patch_size)


def channel_kinds(n):
    """
    Tell which kinds of channels an image of so many has.

    Parameters
    ----------
    n : int

    Returns
    -------
    numpy.ndarray of int64
        One is grey, two grey and another, three or more begin with red, green, blue.

    Raises
    ------
    ValueError
        If there are none, or more than can be told apart.
    """
    if not 1 <= n < CHANNELS:
        msg = f"an image has 1 to {CHANNELS - 1} channels; got {n}."
        raise ValueError(msg)
    return np.array([0, 4][:n]) if n < 3 else np.arange(1, n + 1)


def intensities(pixels, *, bit_depth):
    """
    Bring stored grey levels to 0..1, without stretching: dark stays dark.

    Parameters
    ----------
    pixels : numpy.ndarray of uint8 or uint16, shape (height, width) or (height, width, channel)
    bit_depth : int
        Bits that the instrument used.

    Returns
    -------
    numpy.ndarray of float32, shape (channel, height, width)
    """
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    return np.ascontiguousarray(planes, dtype=np.float32) / np.float32(2**bit_depth - 1)


def shrink(pixels, *, pixel_size_um, patch_size, max_tokens):
    """
    Reduce an image by area averaging until its patches are few enough; smaller ones stay as they are.

    Parameters
    ----------
    pixels : numpy.ndarray of float32, shape (channel, height, width)
    pixel_size_um : float
    patch_size : int
    max_tokens : int
        Patches of all channels at most.

    Returns
    -------
    pixels : numpy.ndarray of float32, shape (channel, height, width)
    pixel_size_um : float
        What a pixel measures now.
    """
    n, height, width = pixels.shape
    factor = shrink_factor(height, width, patch_size=patch_size, max_tokens=max(1, max_tokens // n))
    if factor == 1:
        return pixels, float(pixel_size_um)
    shape = (max(1, int(height * factor)), max(1, int(width * factor)))
    return average_area(pixels, shape), pixel_size_um * float(np.sqrt(height * width / (shape[0] * shape[1])))


def shrink_factor(height, width, *, patch_size, max_tokens):
    """
    Find by how much an image must shrink for its patches to be at most so many.

    Parameters
    ----------
    height, width : int
    patch_size : int
    max_tokens : int

    Returns
    -------
    float
        At most 1.
    """
    factor = 1.0
    while True:
        h, w = max(1, int(height * factor)), max(1, int(width * factor))
        rows, columns = grid_of(h, w, patch_size)
        if rows * columns <= max_tokens:
            return factor
        factor *= min(0.98, np.sqrt(max_tokens / (rows * columns)))


def average_area(pixels, shape):
    """
    Average an image over the areas of larger pixels.

    Parameters
    ----------
    pixels : numpy.ndarray of float32, shape (channel, height, width)
    shape : (int, int)
        Height and width wanted, at most those of the image.

    Returns
    -------
    numpy.ndarray of float32, shape (channel, *shape)
        Each channel keeps its mean.
    """
    tall = _overlaps(pixels.shape[1], shape[0])
    wide = _overlaps(pixels.shape[2], shape[1])
    return np.einsum("ih,chw,jw->cij", tall, pixels, wide, optimize=True).astype(np.float32)


def _overlaps(n, m):
    """Share of each of m large cells that each of n small ones fills."""
    edges = np.arange(m + 1) * (n / m)
    small = np.arange(n)
    share = np.minimum(edges[1:, None], small + 1) - np.maximum(edges[:-1, None], small)
    return np.clip(share, 0, None) * (m / n)


def pad_patches(images):
    """
    Bring the patches of images to one length: what an exported encoder reads.

    Parameters
    ----------
    images : list of Patches
        Of one patch size.

    Returns
    -------
    dict of numpy.ndarray
        `values`, `seen`, `background`, `position_um` and `channel` with leading axes (image, token), `pixel_size_um`
        (image,), and `keep` (image, token), which is False at padding.

    Raises
    ------
    ValueError
        If there are no images.
    """
    if not images:
        msg = "there is nothing to pad: pass the patches of one image or more."
        raise ValueError(msg)
    shape = (len(images), max(len(p.values) for p in images))
    padded = {"keep": np.zeros(shape, bool), "pixel_size_um": np.array([p.pixel_size_um for p in images], np.float32)}
    for name in ("values", "seen", "background", "position_um", "channel"):
        first = getattr(images[0], name)
        padded[name] = np.zeros((*shape, *first.shape[1:]), first.dtype)
        for row, patches in zip(padded[name], images, strict=True):
            row[: len(patches.values)] = getattr(patches, name)
    for row, patches in zip(padded["keep"], images, strict=True):
        row[: len(patches.values)] = True
    return padded
