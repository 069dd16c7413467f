"""Hierarchical k-means with resampling: clusters that follow what there is rather than how often it was imaged."""

import shutil
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from aqqua_science.files import replacing
from aqqua_science.pretraining.clustering import cluster, nearest
from aqqua_science.pretraining.feature_rows import FeatureRows, blocks

SAMPLE = 25
"""Rows per cluster from which centroids are learnt; all rows are assigned to them."""

MAX_CLUSTERS = 10_000
"""Of the finest level, unless more are asked for: the work then grows in proportion to the images."""


class Level(NamedTuple):
    """Clusters of one level: their centroids (k, d) and the cluster of each point of the level below (n,)."""

    centroids: torch.Tensor
    labels: np.ndarray


def cluster_counts(n):
    """
    Choose how many clusters each level has.

    Parameters
    ----------
    n : int
        Images.

    Returns
    -------
    tuple of int
        The finest level first: one cluster per hundred images, at most 10,000, and a tenth of them on each of two
        levels above, where that is 2 or more.
    """
    finest = max(2, min(n // 100, MAX_CLUSTERS))
    return tuple(k for k in (finest, finest // 10, finest // 100) if k >= 2)


def cluster_levels(rows, counts, *, resampling, seed, folder):
    """
    Cluster rows, then the centroids, and so on.

    Each level is clustered anew on a balanced resample, the points closest to each centroid, as often as `resampling`
    says (Vo et al. 2024, algorithm 1): where images are dense, k-means puts too many centroids; a resample of equal
    parts has less of a peak there.

    Parameters
    ----------
    rows : FeatureRows
        Screened.
    counts : tuple of int
        Clusters of each level, the finest first.
    resampling : int
    seed : int
    folder : pathlib.Path
        Where the state is saved after each step; what lies there is not done again.

    Returns
    -------
    list of Level
        The finest first.
    """
    levels = []
    for number, k in enumerate(counts, start=1):
        level = _cluster_level(rows, k, steps=resampling, seed=(seed, number), folder=folder / f"level-{number}")
        levels.append(level)
        rows = FeatureRows(level.centroids.numpy(), device=rows.device)
    return levels


def _cluster_level(rows, k, *, steps, seed, folder):
    """One level: cluster a random sample, then resamples of equal parts; assign all rows after each."""
    saved = [step for step in range(steps + 1) if _file(folder, step).exists()]
    labels = gaps = None
    for step in range(max(saved, default=0), steps + 1):
        rng = np.random.default_rng((*seed, step))
        if not _file(folder, step).exists():
            chosen = _random_rows(rows, SAMPLE * k, rng) if step == 0 else closest_rows(labels, gaps, _equal(rows, k))
            with replacing(_file(folder, step)) as part:
                save_file({"centroids": cluster(rows.take(chosen), k, rng=rng).cpu().contiguous()}, part)
        shutil.rmtree(folder / f"step-{step - 1}", ignore_errors=True)
        centroids = load_file(_file(folder, step))["centroids"]
        title = f"{folder.name}, {len(centroids):,} clusters, step {step} of {steps}"
        labels, gaps = assign_rows(rows, centroids, folder=folder / f"step-{step}", title=title)
    return Level(centroids, labels)


def _file(folder, step):
    """Where the centroids of a step are saved."""
    return folder / f"step-{step}.safetensors"


def _random_rows(rows, size, rng):
    """Ascending numbers of usable rows, all of them where there are few."""
    usable = np.arange(len(rows)) if rows.usable is None else np.flatnonzero(rows.usable)
    return usable if len(usable) <= size else np.sort(rng.choice(usable, size, replace=False))


def _equal(rows, k):
    """How many points a cluster gives to a resample: a quarter of the mean, so that most clusters can give as many."""
    return int(np.clip(len(rows) // (4 * k), 2, SAMPLE))


def closest_rows(labels, gaps, n_each):
    """
    Find the rows that are closest to the centroid of their cluster.

    Parameters
    ----------
    labels : numpy.ndarray (n,)
        Negative for rows of no cluster.
    gaps : numpy.ndarray (n,)
    n_each : int
        Per cluster; all of a smaller one.

    Returns
    -------
    numpy.ndarray of int64
        Ascending.
    """
    order = np.lexsort((gaps, labels))
    kept = (ranks(labels[order]) < n_each) & (labels[order] >= 0)
    return np.sort(order[kept])


def ranks(groups):
    """
    Number the members of each group from 0.

    Parameters
    ----------
    groups : numpy.ndarray (n,)
        Members of a group side by side.

    Returns
    -------
    numpy.ndarray (n,) of int64
    """
    places = np.arange(len(groups))
    fresh = np.ones(len(groups), bool)
    fresh[1:] = groups[1:] != groups[:-1]
    return places - np.maximum.accumulate(np.where(fresh, places, 0))


def assign_rows(rows, centroids, *, folder, title):
    """
    Assign all rows to their nearest centroid, part by part.

    Parameters
    ----------
    rows : FeatureRows
    centroids : torch.Tensor (k, d)
    folder : pathlib.Path
        Where parts are saved.
    title : str
        Of the progress bar.

    Returns
    -------
    labels : numpy.ndarray (n,) of int32
        -1 for rows of no use.
    gaps : numpy.ndarray (n,) of float32
        Squared distances.
    """
    centroids = centroids.to(rows.device)

    def work(first, last):
        found = [nearest(rows.block(*block), centroids) for block in blocks(first, last)]
        labels, gaps = (torch.cat(part).cpu().numpy() for part in zip(*found, strict=True))
        if rows.usable is not None:
            labels[~rows.usable[first:last]] = -1
        return {"labels": labels.astype(np.int32), "gaps": gaps}

    found = rows.pass_over(work, folder=folder, title=title)
    return np.concatenate(found["labels"]), np.concatenate(found["gaps"])
