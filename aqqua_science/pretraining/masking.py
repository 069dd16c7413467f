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


def draw_masks(grids, channels, *, share, probability, rng):
    """
    Mask patches of many images, some strongly, some weakly, some not at all.

    As many images as the probability says, up to chance in the last one, are masked; their shares are spread evenly
    (Oquab et al. 2024, doi:10.48550/arXiv.2304.07193). A place is masked in all channels of an image or in none, so
    that no channel gives another away.

    Parameters
    ----------
    grids : array of int, shape (image, 2)
        Rows and columns of patches of one channel.
    channels : array of int, shape (image,)
        Channels of each image.
    share : (float, float)
        Least and greatest share of the patches of a masked image.
    probability : float
        That an image is masked.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray of bool, shape (token,)
        In packed order: image by image, channel after channel, row by row.
    """
    grids, channels = np.asarray(grids).reshape(-1, 2).tolist(), np.asarray(channels).tolist()
    count = int(probability * len(grids) + rng.random())
    chosen = rng.permutation(len(grids))[:count].tolist()
    shares = share[0] + (share[1] - share[0]) * (np.arange(count) + rng.random(count)) / max(1, count)
    of_image = dict(zip(chosen, shares.tolist(), strict=True))
    masks = [np.zeros(0, bool)]
    for i, (grid, n) in enumerate(zip(grids, channels, strict=True)):
        mask = block_mask(grid, share=of_image[i], rng=rng) if i in of_image else np.zeros(grid, bool)
        masks.append(np.tile(mask.ravel(), n))
    return np.concatenate(masks)
