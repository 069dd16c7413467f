"""Folds matched to a map: nearest-neighbour distances as far in the validation as in the prediction."""

import numpy as np
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist
from scipy.stats import ks_2samp, wasserstein_distance

from aqqua_science.grids.geometry import chord_to_km
from aqqua_science.habitat.domain import held_out_km, nearest_km, sample_domain, unit_positions
from aqqua_science.habitat.folds import LabelledFolds

_MAX_CLUSTERED = 20_000
_N_TRIED = 100


class KNNDM(LabelledFolds):
    """
    Folds whose held-out samples are as far from their training samples as the map is from the samples.

    The samples are clustered by great-circle distance (Ward's linkage). For up to 100 numbers of clusters,
    spaced evenly in the logarithm, the clusters are merged into folds: one that could fill a fold stays alone, the
    others are dealt in the order of the first principal component of the positions. Of these fold
    assignments the one is kept whose nearest-neighbour distances from held-out to training samples come
    nearest to those from the domain to the samples, by the Wasserstein distance of the two distributions.
    Where the samples are not clustered (one-sided Kolmogorov-Smirnov test at 5 %), folds are random.

    Parameters
    ----------
    domain : xarray.Dataset, xarray.DataArray, pandas.DataFrame or array_like, shape (n, 2)
        Where the map is drawn: a grid, of which 1000 places are drawn evenly by area, or positions.
    n_splits : int
    max_fold : float
        Largest share of the samples that one fold may hold, between ``1 / n_splits`` and 1.
    random_state : int

    References
    ----------
    Linnenbrink, J., Milà, C., Ludwig, M. and Meyer, H. (2024). kNNDM CV: k-fold nearest-neighbour distance
    matching cross-validation for map accuracy estimation. Geoscientific Model Development 17, 5897-5912.

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> cruises = np.repeat([[0.0, 0.0], [30.0, 60.0], [-40.0, -100.0]], 20, axis=0)
    >>> table = pd.DataFrame(cruises + rng.normal(size=(60, 2)), columns=["latitude", "longitude"])
    >>> domain = [[lat, lon] for lat in range(-60, 61, 10) for lon in range(-180, 180, 10)]
    >>> [len(test) for train, test in KNNDM(domain, n_splits=3).split(table)]
    [20, 20, 20]
    """

    def __init__(self, domain, n_splits=5, *, max_fold=0.5, random_state=0):
        self.domain = domain
        self.n_splits = n_splits
        self.max_fold = max_fold
        self.random_state = random_state

    def _labels(self, table, rng):
        self._check(len(table))
        to_map = nearest_km(sample_domain(self.domain, rng=rng), table)
        singly = chord_to_km(cKDTree(points := unit_positions(table)).query(points, k=2)[0][:, 1])
        if ks_2samp(singly, to_map, alternative="greater", method="asymp").pvalue >= 0.05:
            return rng.permutation(np.arange(len(table)) % self.n_splits)
        candidates = [labels for labels in self._candidates(table) if self._allows(labels)]
        if not candidates:
            msg = (
                f"every way to merge the clusters puts more than max_fold={self.max_fold} of the samples "
                "into one fold. Use a larger max_fold or fewer folds."
            )
            raise ValueError(msg)
        return min(candidates, key=lambda labels: wasserstein_distance(held_out_km(table, _pairs(labels)), to_map))

    def _check(self, n):
        if not 1 / self.n_splits < self.max_fold < 1:
            msg = (
                f"max_fold must lie between 1/n_splits={1 / self.n_splits:.3g} and 1; got {self.max_fold}. "
                "0.5 suits most surveys."
            )
            raise ValueError(msg)
        if not self.n_splits + 2 <= n <= _MAX_CLUSTERED:
            msg = (
                f"KNNDM needs between n_splits + 2 = {self.n_splits + 2} and {_MAX_CLUSTERED} samples (it keeps all "
                f"their distances); got {n}. Use SpatialBlocks instead, or average the samples over grid cells."
            )
            raise ValueError(msg)

    def _allows(self, labels):
        return np.bincount(labels).max() <= self.max_fold * len(labels)

    def _candidates(self, table):
        """Fold assignments, from few large clusters to nearly single samples."""
        positions = table[["longitude", "latitude"]].to_numpy(dtype=float)
        centred = positions - positions.mean(axis=0)
        axis = np.linalg.svd(centred, full_matrices=False)[2][0]
        # The sign of a principal component is arbitrary; fixing it keeps the folds the same everywhere.
        component = centred @ axis * np.sign(axis[np.abs(axis).argmax()])
        tree = linkage(chord_to_km(pdist(unit_positions(table))), method="ward")
        numbers = np.unique(np.round(np.geomspace(self.n_splits, len(table) - 2, _N_TRIED)).astype(int))
        for clusters in cut_tree(tree, n_clusters=numbers).T:
            yield _merge(clusters, component, self.n_splits)


def _merge(clusters, component, n_splits):
    """Deal clusters to folds along the component; one that could fill a fold has it alone."""
    sizes = np.bincount(clusters)
    order = np.argsort(np.bincount(clusters, component) / sizes, kind="stable")
    large = sizes[order] >= len(clusters) / n_splits
    fold = np.empty(len(sizes), dtype=int)
    fold[order[large]] = np.arange(large.sum())
    left = np.arange(large.sum(), n_splits)
    fold[order[~large]] = np.resize(left, (~large).sum())
    return fold[clusters]


def _pairs(labels):
    for fold in np.unique(labels):
        yield np.flatnonzero(labels != fold), np.flatnonzero(labels == fold)
