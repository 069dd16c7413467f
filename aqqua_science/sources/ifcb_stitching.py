"""
Pairs of images that the first IFCBs (version 1) took of one object.

Their software could cut two overlapping pieces out of the frame of one trigger. Two consecutive images of one trigger
that overlap by more than 2 pixels both ways are one object, shown in the smallest rectangle that holds both. The second
lies over the first. **Corners that neither piece covers have no pixels**: they are filled with one value, the mean of
the pixels that border them (Sosik and Olson's method, as the IFCB dashboard shows these images), and are no data.
"""

import numpy as np

OVERLAP_PIXELS = 2
"""Pieces that overlap by no more are two objects."""

_MAX_SIDE = 4096
"""The camera's frame is 1380 x 1034 pixels; a larger union is not of one frame."""


def pair_targets(targets):
    """
    Put together the images of a bin of version 1 that are pieces of one object.

    Parameters
    ----------
    targets : list of Target

    Returns
    -------
    list of tuple
        Of one or two targets, in order; each is in one tuple. Those with a fault stay alone, and so does the third of
        three that overlap.
    """
    groups = []
    for target in targets:
        last = groups[-1] if groups else ()
        if len(last) == 1 and _are_pieces(last[0], target):
            groups[-1] = (last[0], target)
        else:
            groups.append((target,))
    return groups


def _are_pieces(one, other):
    """Whether two targets are of one trigger and overlap."""
    if one.fault or other.fault or one.fields[0] != other.fields[0] or None in (one.x, one.y, other.x, other.y):
        return False
    spans = ((one.x, one.width, other.x, other.width), (one.y, one.height, other.y, other.height))
    return all(
        min(a + m, b + n) - max(a, b) > OVERLAP_PIXELS
        and max(a + m, b + n) - min(a, b) <= _MAX_SIDE
        and a.is_integer()
        and b.is_integer()
        for a, m, b, n in spans
    )


def stitch(one, other, *, right, down):
    """
    Lay two pieces of one frame together.

    Parameters
    ----------
    one, other : numpy.ndarray
        (height, width) of uint8; the other lies over the one.
    right, down : int
        Where the other's first pixel lies from the one's.

    Returns
    -------
    numpy.ndarray
        (height, width) of uint8; what neither covers is the mean of the covered pixels beside it.

    Examples
    --------
    >>> one, other = np.full((2, 3), 10, np.uint8), np.full((2, 3), 20, np.uint8)
    >>> stitch(one, other, right=1, down=1)
    array([[10, 10, 10, 15],
           [10, 20, 20, 20],
           [15, 20, 20, 20]], dtype=uint8)
    """
    left, top = min(right, 0), min(down, 0)
    width = max(one.shape[1], right + other.shape[1]) - left
    height = max(one.shape[0], down + other.shape[0]) - top
    joined, covered = np.zeros((height, width), np.uint8), np.zeros((height, width), bool)
    for piece, x, y in ((one, -left, -top), (other, right - left, down - top)):
        place = np.s_[y : y + piece.shape[0], x : x + piece.shape[1]]
        joined[place], covered[place] = piece, True
    if not covered.all():
        joined[~covered] = round(float(joined[_beside_gap(covered)].mean()))
    return joined


def _beside_gap(covered):
    """Covered pixels with an uncovered one above, below, left or right."""
    gap = np.pad(~covered, 1)
    return covered & (gap[:-2, 1:-1] | gap[2:, 1:-1] | gap[1:-1, :-2] | gap[1:-1, 2:])
