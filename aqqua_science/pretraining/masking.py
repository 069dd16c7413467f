"""Which patches a student does not see: blocks on patch grids of any size."""

import math

import numpy as np

ASPECT = (0.3, 1 / 0.3)
"""Rows to columns of a block."""

SMALLEST_BLOCK = 4
"""Patches of a block at least, while as many are wanted."""

ATTEMPTS = 16
"""Blocks tried before the last few patches are drawn one by one."""


def block_mask(grid, *, share, rng):
    """
    Mask blocks of patches until a share of a grid is hidden.

    Rectangles of random size and aspect are laid down as long as they fit in the share (Bao et al. 2022,
    doi:10.48550/arXiv.2106.08254; Zhou et al. 2022, doi:10.48550/arXiv.2111.07832); what is left is made up by
    single patches.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns of patches.
    share : float
        Of the patches, 0 to 1; at least one patch is masked and at least one seen.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray of bool, shape (rows, columns)
        True where masked; nothing is masked in a grid of one patch.
    """
    rows, columns = (int(n) for n in grid)
    mask = np.zeros((rows, columns), bool)
    left = min(max(1, round(share * mask.size)), mask.size - 1)
    for size, aspect, y, x in rng.random((ATTEMPTS, 4)).tolist():
        if left < 1:
            return mask
        height, width = _sides(size, aspect, left=left, grid=(rows, columns))
        top, start = int(y * (rows - height + 1)), int(x * (columns - width + 1))
        block = mask[top : top + height, start : start + width]
        new = height * width - int(np.count_nonzero(block))
        if new <= left:
            block[:] = True
            left -= new
    if left > 0:
        mask.flat[rng.permutation(np.flatnonzero(~mask))[:left]] = True
    return mask


def _sides(size, aspect, *, left, grid):
    """Rows and columns of a block, from two random numbers."""
    least = min(SMALLEST_BLOCK, left)
    area = least + size * (left - least)
    ratio = ASPECT[0] * (ASPECT[1] / ASPECT[0]) ** aspect
    height = min(grid[0], max(1, round(math.sqrt(area * ratio))))
    width = min(grid[1], max(1, round(math.sqrt(area / ratio))))
    return height, width
