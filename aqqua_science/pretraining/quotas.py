"""How many images each cell of a tree gives to a draw, and with what probability each of its images is drawn."""

import numpy as np
import pandas as pd

from aqqua_science.pretraining.hierarchy import ranks


def water_fill(sizes, total):
    """
    Share a total among vessels as water would: all to one level, none beyond its size.

    Parameters
    ----------
    sizes : array_like (n,)
    total : float
        At most the sum of the sizes.

    Returns
    -------
    numpy.ndarray (n,)
        ``min(size, level)``, which add up to `total`.
    """
    sizes = np.asarray(sizes)
    return _fill(sizes, np.zeros(len(sizes), np.int64), np.array([float(total)]))[0]


def _fill(sizes, parents, totals):
    """Water levels of many groups at once: quota of each child, whether it is full, and how much the others share."""
    order = np.lexsort((sizes, parents))
    size, parent = sizes[order], parents[order]
    counts, before = np.bincount(parents, minlength=len(totals)), np.cumsum(size) - size
    place = ranks(parent)
    before -= before[np.arange(len(size)) - place]
    full = np.empty(len(sizes), bool)
    full[order] = before + size * (counts[parent] - place) <= totals[parent]
    others = np.bincount(parents[~full], minlength=len(totals))
    rest = totals - np.bincount(parents[full], weights=sizes[full], minlength=len(totals))
    return np.where(full, sizes, (rest / np.maximum(others, 1))[parents]), full, rest


def _whole_fill(sizes, parents, totals, rng):
    """Whole quotas: what does not divide goes to children chosen at random, so that the mean is the water level."""
    level, full, rest = _fill(sizes, parents, totals)
    base = np.floor(np.where(full, sizes, level) + 1e-9).astype(np.int64)
    over = rest.round().astype(np.int64) - np.bincount(parents[~full], weights=base[~full], minlength=len(totals))
    order = np.lexsort((rng.random(len(sizes)), full, parents))
    base[order] += (ranks(parents[order]) < over[parents[order]]) & ~full[order]
    return base


def allocate(codes, size, *, rng):
    """
    Share a draw among the cells of a tree: equally at each node, as far as the branches have images.

    The tree is walked from its root. At each node the draw of the node is water-filled over its branches (Vo et al.
    2024, section 3.3), so that the first column is as even as the images allow, then the second within each value of
    the first, and so on. What does not divide is given to branches at random; the mean over seeds is the water level
    itself, since that is linear in the total between two whole numbers.

    Parameters
    ----------
    codes : pandas.DataFrame (n images, n levels) of int
        The branch at each level, from the root down.
    size : int
        Images to draw.
    rng : numpy.random.Generator

    Returns
    -------
    cell : numpy.ndarray (n,) of int64
        Row of `cells` of each image.
    cells : pandas.DataFrame
        The columns of `codes`, and ``images``, ``expected`` (mean number drawn), ``drawn``, ``inclusion_probability``
        and ``weight``.
    """
    node, expected, drawn = np.zeros(len(codes), np.int64), np.array([float(size)]), np.array([size])
    for name in codes:
        code = codes[name].to_numpy().astype(np.int64)
        n_branches = int(code.max()) + 1
        branches, node, images = np.unique(node * n_branches + code, return_inverse=True, return_counts=True)
        parents = branches // n_branches
        expected, drawn = _fill(images, parents, expected)[0], _whole_fill(images, parents, drawn, rng)
    first = np.zeros(len(expected), np.int64)
    first[node[::-1]] = np.arange(len(codes))[::-1]
    cells = codes.iloc[first].reset_index(drop=True)
    weight = images / np.where(expected >= 1, np.maximum(drawn, 1), expected)
    cells = cells.assign(images=images, expected=expected, drawn=drawn)
    return node, cells.assign(inclusion_probability=expected / images, weight=weight)


def draw_rows(cell, drawn, *, rng):
    """
    Draw images at random, so many from each cell.

    Parameters
    ----------
    cell : numpy.ndarray (n,) of int64
    drawn : numpy.ndarray (n cells,) of int64
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray of int64
        Ascending places in `cell`.
    """
    order = np.lexsort((rng.random(len(cell)), cell))
    return np.sort(order[ranks(cell[order]) < drawn[cell[order]]])


def evenness(counts):
    """
    Entropy of counts, in units of the highest that so many kinds can have (Pielou's evenness).

    Parameters
    ----------
    counts : array_like

    Returns
    -------
    float
        1 where all are alike, 0 where there is one kind only, NaN where there is no choice.
    """
    counts = pd.Series(counts).astype(float)
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum() / np.log(len(counts))) if len(counts) > 1 else float("nan")
