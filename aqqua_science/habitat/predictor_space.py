"""The space of the predictors: how far a place lies from the training samples, and how deep in their ranges."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from aqqua_science import schema

_BLOCK_DISTANCES = 262_144


@dataclass(frozen=True)
class PredictorSpace:
    """
    Training samples in the space of their scaled and weighted predictors.

    Attributes
    ----------
    samples : numpy.ndarray, shape (n, p)
        Predictors of the training samples that have them all, in their own units.
    centre, factor : numpy.ndarray, shape (p,)
        Mean, and weight over standard deviation, of each predictor.
    points : numpy.ndarray, shape (n, p)
        The scaled, weighted samples.
    mean_distance : float
        Between all pairs of samples.
    index : numpy.ndarray, shape (n,)
        Dissimilarity index of the samples: distance to the nearest one of another fold over `mean_distance`.
    threshold : float
        Third quartile of `index` plus 1.5 interquartile ranges, at most its maximum.
    n_dropped : int
        Training samples that lack a predictor.

    Examples
    --------
    >>> training = pd.DataFrame({"temperature": [10.0, 12.0, 14.0, np.nan]})
    >>> space = PredictorSpace.of(training, predictors=["temperature"])
    >>> space.compare(np.array([[18.0], [13.0]]))
    (array([1.5 , 0.38]), array([0, 2]))
    """

    samples: np.ndarray
    centre: np.ndarray
    factor: np.ndarray
    points: np.ndarray
    mean_distance: float
    index: np.ndarray
    threshold: float
    n_dropped: int

    @classmethod
    def of(cls, training, *, predictors, weights=None, folds=None):
        """
        Build the space of a training table.

        Parameters
        ----------
        training : pandas.DataFrame
        predictors : list of str
        weights : pandas.Series or dict, optional
        folds : array_like, shape (n,), optional
            As in `aqqua_science.habitat.area_of_applicability`.

        Returns
        -------
        PredictorSpace

        Raises
        ------
        SchemaError
            If a predictor is absent.
        ValueError
            If weights or folds do not fit the samples, or a predictor is constant.
        """
        samples, kept = complete_samples(training, predictors)
        centre = samples.mean(axis=0)
        factor = _weights(weights, predictors) / samples.std(axis=0, ddof=1)
        points = (samples - centre) * factor
        nearest, mean_distance = _training_distances(points, _labels(folds, kept))
        index = nearest / mean_distance
        lower, upper = np.quantile(index, [0.25, 0.75])
        threshold = float(min(upper + 1.5 * (upper - lower), index.max()))
        return cls(samples, centre, factor, points, mean_distance, index, threshold, int((~kept).sum()))

    def compare(self, cells):
        """
        Compare cells with the samples.

        Parameters
        ----------
        cells : numpy.ndarray, shape (m, p)
            Predictors in their own units, none missing.

        Returns
        -------
        index : numpy.ndarray, shape (m,)
            Distance to the nearest sample over the mean distance between samples.
        density : numpy.ndarray of int, shape (m,)
            Number of samples whose distance, over the mean distance, is at most the threshold.
        """
        places = (cells - self.centre) * self.factor
        nearest, density = _nearest_and_near(places, self.points, radius=self.threshold * self.mean_distance)
        index = np.sqrt(((places - self.points[nearest]) ** 2).sum(axis=1)) / self.mean_distance
        # The exact index decides where rounding could make the count say otherwise.
        return index, np.where(index <= self.threshold, np.maximum(density, 1), 0)


def complete_samples(training, predictors):
    """
    Predictors of the samples that have them all.

    Parameters
    ----------
    training : pandas.DataFrame
    predictors : list of str

    Returns
    -------
    samples : numpy.ndarray, shape (n_complete, p)
    kept : numpy.ndarray of bool, shape (n,)

    Raises
    ------
    SchemaError
        If a predictor is absent.
    ValueError
        If fewer than two samples are complete or a predictor is constant among them.

    Examples
    --------
    >>> samples, kept = complete_samples(pd.DataFrame({"temperature": [10.0, 12.0, np.nan]}), ["temperature"])
    >>> kept
    array([ True,  True, False])
    """
    schema.require_columns(training, predictors, what="the training table")
    samples = training[list(predictors)].to_numpy(dtype=float)
    kept = np.isfinite(samples).all(axis=1)
    if kept.sum() < 2:
        msg = (
            f"at least two training samples need all of {', '.join(predictors)}; {kept.sum()} of {len(kept)} have "
            "them. Drop the predictor that is missing most."
        )
        raise ValueError(msg)
    constant = np.ptp(samples[kept], axis=0) == 0
    if constant.any():
        name = list(predictors)[int(constant.argmax())]
        msg = f"predictors must vary among the training samples; {name} is the same in all {kept.sum()}. Leave it out."
        raise ValueError(msg)
    return samples[kept], kept


def least_similarity(cells, samples):
    """
    Environmental similarity of each cell to the samples, the least over the predictors.

    Parameters
    ----------
    cells : numpy.ndarray, shape (m, p)
    samples : numpy.ndarray, shape (n, p)

    Returns
    -------
    numpy.ndarray, shape (m,)
        Percent, see `aqqua_science.habitat.extrapolation.mess`.

    Examples
    --------
    >>> least_similarity(np.array([[9.0], [11.0]]), np.array([[10.0], [12.0]]))
    array([-50., 100.])
    """
    columns = zip(cells.T, samples.T, strict=True)
    return np.min([_similarity(values, np.sort(reference)) for values, reference in columns], axis=0)


def _similarity(values, ordered):
    low, high = ordered[0], ordered[-1]
    share = 100 * np.searchsorted(ordered, values, side="right") / len(ordered)
    inner = np.where(share > 50, 200 - 2 * share, 2 * share)
    beyond = 100 * np.minimum(values - low, high - values) / (high - low)
    return np.where((share == 0) | (share == 100), beyond, inner)


def _weights(weights, predictors):
    if weights is None:
        return np.ones(len(predictors))
    weights = pd.Series(weights, dtype=float)
    values = weights.reindex(predictors).to_numpy()
    if not np.isfinite(values).all() or not (values > 0).any():
        msg = (
            f"weights must hold a finite number for each predictor, at least one of them positive; "
            f"got {weights.to_dict()} for {', '.join(predictors)}. Give each predictor its importance."
        )
        raise ValueError(msg)
    return np.maximum(values, 0)


def _labels(folds, kept):
    if folds is None:
        return np.arange(kept.sum())
    labels = pd.factorize(np.asarray(folds))[0]
    if labels.shape != kept.shape or len(np.unique(labels[kept])) < 2:
        msg = (
            f"folds must hold one label per training sample and at least two different ones; got {labels.size} "
            f"labels, {len(np.unique(labels))} different, for {kept.size} samples. See habitat.folds.fold_labels."
        )
        raise ValueError(msg)
    return labels[kept]


def _nearest_and_near(places, points, *, radius):
    """Row of the nearest point, and number of points within the radius, of each place."""
    # |place - point|^2 - |place|^2 as one matrix product: the squared norm of the points rides along as a column.
    columns = np.column_stack([-2 * points, (points**2).sum(axis=1)]).T
    rows = np.column_stack([places, np.ones(len(places))])
    limit = radius**2 - (places**2).sum(axis=1)
    nearest, near = np.empty((2, len(places)), dtype=np.intp)
    step = max(1, _BLOCK_DISTANCES // len(points))
    for start in range(0, len(places), step):
        block = slice(start, start + step)
        squared = rows[block] @ columns
        nearest[block] = squared.argmin(axis=1)
        near[block] = np.count_nonzero(squared <= limit[block, None], axis=1)
    return nearest, near


def _training_distances(points, labels):
    """Distance of each point to the nearest of another label, and the mean over all pairs."""
    nearest, total = np.empty(len(points)), 0.0
    step = max(1, _BLOCK_DISTANCES // len(points))
    for start in range(0, len(points), step):
        rows = slice(start, start + step)
        distance = cdist(points[rows], points)
        total += distance.sum()
        distance[labels[rows, None] == labels[None, :]] = np.inf
        nearest[rows] = distance.min(axis=1)
    return nearest, float(total / (len(points) * (len(points) - 1)))
