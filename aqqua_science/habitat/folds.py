"""Folds for cross-validation that know where, how much and how far: one scikit-learn interface."""

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from sklearn.model_selection import BaseCrossValidator

from aqqua_science.grids.geometry import km_to_chord
from aqqua_science.habitat.domain import unit_positions

BLOCK_DEGREES = 20.0
"""Size of the blocks that are left out and resampled wherever an interval is at stake."""


class LabelledFolds(BaseCrossValidator):
    """
    Base of the splitters that hold out each sample once.

    A subclass has `n_splits` and `random_state`, and a method ``_labels(table, rng)`` that gives each
    sample the number of the fold that holds it out.
    """

    def get_n_splits(self, X=None, y=None, groups=None):
        """
        Number of train-test pairs.

        Parameters
        ----------
        X, y, groups : object
            Ignored; there by the contract of scikit-learn.

        Returns
        -------
        int
        """
        return self.n_splits

    def _iter_test_indices(self, X=None, y=None, groups=None):
        labels = self._labels(X, np.random.default_rng(self.random_state))
        for fold in range(self.n_splits):
            yield np.flatnonzero(labels == fold)


class SpatialBlocks(LabelledFolds):
    """
    Hold out whole tiles of the globe.

    Samples near each other share water, cruise and season; held out singly they are guessed from
    their neighbours, which a map cannot do far from any sample (Roberts et al. 2017).

    Parameters
    ----------
    degrees : float
        Height of a tile in degrees of latitude. Its width is as near to that, in kilometres, as a whole
        number of tiles around the globe allows.
    n_splits : int
        Tiles are shuffled and dealt to the fold that has the fewest samples.
    buffer_km : float
        Training samples within this great-circle distance of a held-out one are left out.
    random_state : int

    References
    ----------
    Roberts, D. R. et al. (2017). Cross-validation strategies for data with temporal, spatial, hierarchical,
    or phylogenetic structure. Ecography 40, 913-929.

    Examples
    --------
    >>> table = pd.DataFrame({"latitude": [5.0, 5.0, 5.0, 45.0], "longitude": [1.0, 2.0, 41.0, 80.0]})
    >>> sorted(test.tolist() for train, test in SpatialBlocks(10, n_splits=3).split(table))
    [[0, 1], [2], [3]]
    """

    def __init__(self, degrees=10, n_splits=5, *, buffer_km=0.0, random_state=0):
        self.degrees = degrees
        self.n_splits = n_splits
        self.buffer_km = buffer_km
        self.random_state = random_state

    def blocks(self, table):
        """
        Number of the tile that each sample lies in.

        Parameters
        ----------
        table : pandas.DataFrame
            With columns `latitude` and `longitude`, degrees.

        Returns
        -------
        numpy.ndarray of int, shape (n,)
            Counted from the south-west; the same tile has the same number in every table.

        Raises
        ------
        SchemaError
            If the table has no valid positions.
        ValueError
            If `degrees` is not in (0, 180].
        """
        if not 0 < self.degrees <= 180:
            msg = f"degrees is the height of a tile and must be in (0, 180]; got {self.degrees}. Try 10."
            raise ValueError(msg)
        unit_positions(table)
        latitude, longitude = (table[name].to_numpy(dtype=float) for name in ("latitude", "longitude"))
        south = np.arange(0, 180, self.degrees) - 90.0
        middle = (south + np.minimum(south + self.degrees, 90)) / 2
        around = np.maximum(1, np.round(360 * np.cos(np.radians(middle)) / self.degrees)).astype(int)
        row = np.searchsorted(south, latitude, side="right") - 1
        column = np.floor((longitude + 180) / 360 * around[row]).astype(int) % around[row]
        return (np.cumsum(around) - around)[row] + column

    def split(self, X, y=None, groups=None):
        """
        Yield the rows to train on and the rows to hold out.

        Parameters
        ----------
        X : pandas.DataFrame
            With columns `latitude` and `longitude`, degrees.
        y, groups : object
            Ignored; there by the contract of scikit-learn.

        Yields
        ------
        train, test : numpy.ndarray of int

        Raises
        ------
        SchemaError
            If the table has no valid positions.
        ValueError
            If fewer tiles are occupied than folds are asked for, or the buffer leaves nothing to train on.
        """
        points = unit_positions(X)
        for train, test in super().split(X, y, groups):
            kept = train
            if self.buffer_km > 0:
                distance, _ = cKDTree(points[test]).query(points[train])
                kept = train[distance > km_to_chord(self.buffer_km)]
            if not kept.size:
                msg = f"buffer_km={self.buffer_km} leaves no sample to train on. Use a smaller buffer or smaller tiles."
                raise ValueError(msg)
            yield kept, test

    def _labels(self, table, rng):
        tiles = self.blocks(table)
        occupied = len(np.unique(tiles))
        if occupied < self.n_splits:
            msg = (
                f"n_splits={self.n_splits} folds need as many occupied tiles; at {self.degrees} degrees "
                f"there are {occupied}. Use smaller tiles (degrees) or fewer folds (n_splits)."
            )
            raise ValueError(msg)
        return deal_blocks(tiles, self.n_splits, rng)


def deal_blocks(blocks, n_splits, rng):
    """
    Deal whole blocks, shuffled, each to the fold that has the fewest samples.

    Parameters
    ----------
    blocks : numpy.ndarray of int, shape (n,)
        Block of each sample.
    n_splits : int
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray of int, shape (n,)
        Fold of each sample.

    Examples
    --------
    >>> labels = deal_blocks(np.array([7, 7, 7, 2, 5]), 2, np.random.default_rng(0))
    >>> sorted(np.bincount(labels).tolist())
    [2, 3]
    """
    numbers, block_of, counts = np.unique(blocks, return_inverse=True, return_counts=True)
    fold_of_block = np.empty(len(numbers), dtype=int)
    sizes = np.zeros(n_splits, dtype=int)
    for block in rng.permutation(len(numbers)):
        fold_of_block[block] = sizes.argmin()
        sizes[fold_of_block[block]] += counts[block]
    return fold_of_block[block_of]


def largest_blocks(table, *, degrees=BLOCK_DEGREES, n_splits=5, random_state=0):
    """
    Blocks as large as wanted, or halved until every fold can hold two.

    A regional survey fills too few large tiles to hold any out; smaller ones then stand in, at the price of
    samples that are less independent.

    Parameters
    ----------
    table : pandas.DataFrame
        With columns `latitude` and `longitude`, degrees.
    degrees : float
        Wanted size of a tile.
    n_splits, random_state : int
        As in `SpatialBlocks`.

    Returns
    -------
    SpatialBlocks

    Raises
    ------
    ValueError
        If even tiles of a sixty-fourth of the size are too few.

    Examples
    --------
    >>> table = pd.DataFrame({"latitude": np.arange(0.0, 12.0), "longitude": 0.0})
    >>> largest_blocks(table, degrees=8).degrees
    1.0
    """
    for size in degrees / 2.0 ** np.arange(7):
        blocks = SpatialBlocks(float(size), n_splits, random_state=random_state)
        occupied = len(np.unique(blocks.blocks(table)))
        if occupied >= 2 * n_splits:
            return blocks
    msg = (
        f"the {len(table)} samples lie in {occupied} tiles of {size:.3g} degrees; {2 * n_splits} are needed to hold "
        "out water that was not seen. Map a wider survey, or use fewer folds."
    )
    raise ValueError(msg)


class StratifiedFolds(BaseCrossValidator):
    """
    Hold out samples at random, with the same share of small, large and zero values in each fold.

    Parameters
    ----------
    n_splits : int
    n_bins : int
        Positive values are cut into so many strata of equal size (8: octiles); zeros are a stratum of their own.
    n_repeats : int
    random_state : int

    Examples
    --------
    >>> y = np.array([0.0, 0.0, 1.0, 2.0, 3.0, 4.0])
    >>> [int((y[test] == 0).sum()) for train, test in StratifiedFolds(2, n_bins=2).split(y, y)]
    [1, 1]
    """

    def __init__(self, n_splits=5, *, n_bins=8, n_repeats=1, random_state=0):
        self.n_splits = n_splits
        self.n_bins = n_bins
        self.n_repeats = n_repeats
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """
        Number of train-test pairs: folds times repeats.

        Parameters
        ----------
        X, y, groups : object
            Ignored; there by the contract of scikit-learn.

        Returns
        -------
        int
        """
        return self.n_splits * self.n_repeats

    def _iter_test_indices(self, X=None, y=None, groups=None):
        strata = self._strata(y)
        rng = np.random.default_rng(self.random_state)
        for _ in range(self.n_repeats):
            # Dealt like cards, stratum after stratum: folds differ by at most one, in each stratum and in all.
            order = rng.permutation(len(strata))
            order = order[np.argsort(strata[order], kind="stable")]
            labels = np.empty(len(strata), dtype=int)
            labels[order] = rng.permutation(self.n_splits)[np.arange(len(strata)) % self.n_splits]
            for fold in range(self.n_splits):
                yield np.flatnonzero(labels == fold)

    def _strata(self, y):
        if y is None:
            msg = "y must be given: StratifiedFolds deals the samples by the size of the target. Pass split(X, y)."
            raise ValueError(msg)
        y = np.asarray(y, dtype=float)
        if len(y) < self.n_splits or not np.isfinite(y).all():
            msg = (
                f"n_splits={self.n_splits} folds need at least as many samples, all finite; got {len(y)} samples, "
                f"{(~np.isfinite(y)).sum()} of them missing. Drop the missing ones or ask for fewer folds."
            )
            raise ValueError(msg)
        strata = np.zeros(len(y), dtype=int)
        rank = pd.Series(y[y > 0]).rank(method="average").to_numpy()
        strata[y > 0] = np.ceil(rank / max(len(rank), 1) * self.n_bins)
        return strata


def fold_labels(cv, table, *, y=None, groups=None):
    """
    Number of the fold that holds out each sample.

    Parameters
    ----------
    cv : splitter
        That holds out each sample once.
    table : pandas.DataFrame
    y, groups : array_like, optional
        Passed on to ``cv.split``.

    Returns
    -------
    numpy.ndarray of int, shape (n,)

    Raises
    ------
    ValueError
        If a sample is held out never or more than once.

    Examples
    --------
    >>> table = pd.DataFrame({"latitude": [5.0, 5.0, 45.0], "longitude": [1.0, 2.0, 80.0]})
    >>> sorted(fold_labels(SpatialBlocks(10, n_splits=2), table).tolist()) in ([0, 0, 1], [0, 1, 1])
    True
    """
    labels = np.full(len(table), -1)
    times = np.zeros(len(table), dtype=int)
    for fold, (_, test) in enumerate(cv.split(table, y, groups)):
        labels[test] = fold
        times[test] += 1
    if (times != 1).any():
        msg = (
            f"each sample must be held out once; {(times != 1).sum()} of {len(table)} are held out "
            f"{times.min()} to {times.max()} times. Use one repeat, and folds that cover all samples."
        )
        raise ValueError(msg)
    return labels
