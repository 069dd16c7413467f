"""k-means on rows of any number: seeding, Lloyd's iterations, and the nearest centroid of each row."""

import numpy as np
import torch

ROWS, COLUMNS = 1_024, 16_384
"""Rows and centroids whose distances are in memory at a time (64 MB of float32)."""

ITERATIONS = 6
"""Lloyd's iterations at most; what they have not settled by then hardly moves."""

DRAWS = 64
"""Rounds in which seeds are drawn; up to so many clusters this is k-means++ itself."""


def nearest(points, centroids):
    """
    Find the nearest centroid of each point.

    Parameters
    ----------
    points : torch.Tensor (n, d)
        Centred, or rounding eats small distances.
    centroids : torch.Tensor (k, d)

    Returns
    -------
    labels : torch.Tensor (n,) of int64
        The lower number of two that are equally near.
    gaps : torch.Tensor (n,)
        Squared distances; those within rounding are 0.
    """
    parts = [_nearest_block(block, centroids) for block in points.split(ROWS)]
    return torch.cat([labels for labels, _ in parts]), torch.cat([gaps for _, gaps in parts])


def _nearest_block(points, centroids):
    """`nearest` for few points: the product of matrices does the work, |x|^2 is the same for all centroids."""
    best = points.new_full((len(points),), torch.inf)
    labels = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    for number, some in enumerate(centroids.split(COLUMNS)):
        found, place = torch.addmm(some.square().sum(1), points, some.T, alpha=-2).min(1)
        labels = torch.where(found < best, place + number * COLUMNS, labels)
        best = torch.minimum(found, best)
    lengths = points.square().sum(1)
    gaps = best + lengths
    return labels, torch.where(gaps > 64 * torch.finfo(points.dtype).eps * lengths, gaps, 0)


def seed_centroids(points, k, *, rng):
    """
    Choose points to begin with, each far from those before it.

    Points are drawn with probability in proportion to their squared distance from the nearest one drawn already
    (k-means++: Arthur & Vassilvitskii 2007). More than 64 seeds are drawn in rounds, many in each, as k-means|| does
    (Bahmani et al. 2012).

    Parameters
    ----------
    points : torch.Tensor (n, d)
    k : int
    rng : numpy.random.Generator

    Returns
    -------
    torch.Tensor (k, d)
        Fewer rows than `k` where there are fewer different points.
    """
    chosen = [int(rng.integers(len(points)))]
    gaps = nearest(points, points[chosen])[1]
    while len(chosen) < k and gaps.max() > 0:
        weights = gaps.double().cpu().numpy()
        some = min(k - len(chosen), max(1, k // DRAWS), int((weights > 0).sum()))
        fresh = rng.choice(len(points), some, replace=False, p=weights / weights.sum())
        fresh = fresh[np.sort(np.unique(points[fresh].cpu().numpy(), axis=0, return_index=True)[1])].tolist()
        gaps = torch.minimum(gaps, nearest(points, points[fresh])[1])
        chosen += fresh
    return points[chosen]


def lloyd(points, centroids, *, iterations=ITERATIONS):
    """
    Move centroids to the means of their points until no point changes sides (Lloyd 1982).

    A centroid that has lost all points goes to the point that is furthest from its own.

    Parameters
    ----------
    points : torch.Tensor (n, d)
    centroids : torch.Tensor (k, d)
        To begin with.
    iterations : int
        At most.

    Returns
    -------
    torch.Tensor (k, d)
    """
    before = None
    for _ in range(iterations):
        labels, gaps = nearest(points, centroids)
        if before is not None and torch.equal(labels, before):
            break
        centroids, before = _means(points, labels, gaps, n_clusters=len(centroids)), labels
    return centroids


def _means(points, labels, gaps, *, n_clusters):
    """Mean of the points of each cluster; for the empty ones the points that are worst served, one each."""
    counts = torch.bincount(labels, minlength=n_clusters)
    means = points.new_zeros(n_clusters, points.shape[1]).index_add_(0, labels, points)
    means /= counts.clamp(min=1).unsqueeze(1)
    empty = torch.nonzero(counts == 0).flatten()
    furthest = torch.argsort(gaps, descending=True, stable=True)[: len(empty)]
    means[empty[: len(furthest)]] = points[furthest]
    return means


def cluster(points, k, *, rng, iterations=ITERATIONS):
    """
    Cluster points that fit into memory.

    Parameters
    ----------
    points : torch.Tensor (n, d)
    k : int
    rng : numpy.random.Generator
    iterations : int

    Returns
    -------
    torch.Tensor (k, d)
        Centroids; fewer where there are fewer different points.
    """
    return lloyd(points, seed_centroids(points, k, rng=rng), iterations=iterations)
