"""The main object of an image by thresholds: what differs from the water around it, whatever the light."""

import numpy as np
from scipy import ndimage

from aqqua_science.images.sizes import fill_holes, otsu_threshold

_RIM = 2
_NOISES = 4.0
_SHARE = 0.4
_SMOOTH = 0.4
_NEAR = 0.25
_SPECK = 0.005
_REACH = 2
_EDGE = {-1: 0.4, 1: 0.6}
_ALL_AROUND = np.ones((3, 3), bool)


def contrast(pixels):
    """
    Compare every pixel with the water around the object.

    Parameters
    ----------
    pixels : numpy.ndarray, shape (height, width) or (height, width, channel)

    Returns
    -------
    difference : numpy.ndarray of float32, shape (height, width)
        Of colours, along the direction in which they differ most; negative where the pixel is darker than the water.
    water : numpy.ndarray of float32, shape (height, width)
        Grey level without object: a plane fitted to the outermost pixels, those that differ much left out.
    """
    planes = np.asarray(pixels, np.float32)
    planes = planes[..., None] if planes.ndim == 2 else planes
    outer, places = _outermost(planes.shape[:2])
    water = np.stack([_plane(planes[..., k], outer, places) for k in range(planes.shape[2])], axis=-1)
    gap = planes - water
    colour = np.tensordot(gap.sum(axis=2), gap, axes=2)
    colour = colour / max(float(np.linalg.norm(colour)), 1e-6)
    return gap @ colour if len(colour) > 1 else gap[..., 0], water.mean(axis=2)


def main_mask(pixels):
    """
    Find the pixels of the main object of an image.

    What is darker than the water (or brighter, if that part of the image holds more) by four standard deviations of
    the noise and by a share of Otsu's threshold is object. Pieces close to the largest one belong to it, as the cells
    of a chain do; what is of the other sign only where the object surrounds it. Along the outline, pixels count that
    differ by about half of what the object does beside them, so that blur and glare do not widen it. Holes are filled.

    Parameters
    ----------
    pixels : numpy.ndarray, shape (height, width) or (height, width, channel)
        Grey or colours, of any range.

    Returns
    -------
    numpy.ndarray of bool, shape (height, width)
        All False if nothing stands out.

    References
    ----------
    Otsu 1979, A threshold selection method from gray-level histograms, IEEE Transactions on Systems, Man, and
    Cybernetics 9.
    Sosik & Olson 2007, Automated taxonomic classification of phytoplankton sampled with imaging-in-flow cytometry,
    Limnology and Oceanography: Methods 5, doi:10.4319/lom.2007.5.204 (pieces joined, holes filled).
    """
    difference, _ = contrast(pixels)
    difference = ndimage.gaussian_filter(difference, _SMOOTH)
    noise = max(_spread(difference[_outermost(difference.shape)[0]]), 1e-6)
    strong = difference[np.abs(difference) > _NOISES * noise]
    if not strong.size:
        return np.zeros(difference.shape, bool)
    sign = 1 if strong.sum() > 0 else -1
    own = np.maximum(sign * difference, 0)
    least = max(_NOISES * noise, _SHARE * otsu_threshold(own))
    mask = main_group(own > least)
    box = _box(mask)
    size = np.abs(difference[box])
    found = _with_inclusions(mask[box], size > least)
    mask[box] = fill_holes(_without_specks(_sharpened(found, size, _EDGE[sign])))
    return mask


def main_group(mask):
    """
    Keep the largest piece of a mask and those near it.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (height, width)

    Returns
    -------
    numpy.ndarray of bool, shape (height, width)
        Near is a quarter of the side of the square that is as large as the largest piece.
    """
    pieces, n = ndimage.label(mask, _ALL_AROUND)
    if n < 2:
        return mask
    largest = np.bincount(pieces.ravel())[1:].max()
    reach = max(1.0, _NEAR * np.sqrt(largest)) / 2
    groups, _ = ndimage.label(ndimage.distance_transform_cdt(~mask) <= reach, _ALL_AROUND)
    return mask & (groups == np.bincount(groups[mask]).argmax())


def _box(mask):
    """The rectangle around a mask, with room for a neighbourhood."""
    spans = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    return tuple(slice(max(0, s[0] - 4), s[-1] + 5) if s.size else slice(0, 0) for s in spans)


def _outermost(shape):
    """Pixels along the border, and their places for fitting a plane: ones, y and x."""
    outer = np.ones(shape, bool)
    rim = min(_RIM, max(1, min(shape) // 8))
    outer[rim:-rim, rim:-rim] = False
    y, x = np.nonzero(outer)
    return outer, np.stack([np.ones(len(y)), y / shape[0] - 0.5, x / shape[1] - 0.5], axis=1)


def _plane(values, outer, places):
    """A plane through the outermost values, those of an object at the border left out; their median if few remain."""
    edge = values[outer]
    gap = np.abs(edge - np.median(edge))
    kept = gap <= 3 * max(1.4826 * np.median(gap), 1e-6)
    if kept.mean() < 0.5 or min(values.shape) < 8:
        return np.full(values.shape, np.median(edge), np.float32)
    level, down, right = np.linalg.lstsq(places[kept], edge[kept], rcond=None)[0]
    y, x = (np.arange(n) / n - 0.5 for n in values.shape)
    return (level + down * y[:, None] + right * x).astype(np.float32)


def _spread(values):
    """Standard deviation by the median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _with_inclusions(mask, differs):
    """A mask and all that differs from the water within its outline, small bays closed."""
    reach = max(1.0, 0.5 * _NEAR * np.sqrt(np.count_nonzero(mask)))
    margin = int(reach) + 2
    outside = np.pad(~mask, margin, constant_values=True)
    wide = fill_holes(ndimage.distance_transform_cdt(outside) <= reach)
    closed = ndimage.distance_transform_cdt(wide) > reach
    return mask | (differs & closed[margin:-margin, margin:-margin])


def _sharpened(mask, size, share):
    """A mask without the pixels along its outline that differ too little from the water for what lies beside them."""
    deep = ndimage.distance_transform_cdt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1] > _REACH
    return mask & (deep | (size > share * ndimage.maximum_filter(size, size=2 * _REACH + 1)))


def _without_specks(mask):
    """A mask without pieces that are tiny beside the largest."""
    pieces, n = ndimage.label(mask, _ALL_AROUND)
    if n < 2:
        return mask
    areas = np.bincount(pieces.ravel())
    areas[0] = 0
    return (areas >= max(3, _SPECK * areas.max()))[pieces]
