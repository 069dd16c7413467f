"""Whether a probability can be believed: reliability, its error, and scalings that mend it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax
from sklearn.isotonic import IsotonicRegression

from aqqua_science.objects.array_files import ArrayFields

_TEMPERATURES = (0.02, 50.0)


def reliability_table(confidence, correct, *, n_bins=15):
    """
    Compare how sure the answers were with how often they were right.

    Parameters
    ----------
    confidence : array_like, shape (n,)
        Probability of each answer, 0..1.
    correct : array_like of bool, shape (n,)
    n_bins : int
        Bins of equal width over 0..1, each open at its lower end.

    Returns
    -------
    pandas.DataFrame
        ``low`` and ``high`` of each bin, its number of answers ``n``, mean ``confidence`` and ``accuracy`` (NaN where
        the bin is empty).

    Raises
    ------
    ValueError
        If confidences are no probabilities, or there are none.

    References
    ----------
    Guo et al. 2017, On calibration of modern neural networks, ICML.

    Examples
    --------
    >>> reliability_table([0.9, 0.8, 0.3], [True, False, False], n_bins=2)["n"].tolist()
    [1, 2]
    """
    confidence, correct = _checked_answers(confidence, correct)
    edges = np.linspace(0, 1, n_bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, n_bins - 1)
    n = np.bincount(place, minlength=n_bins)
    sums = [np.bincount(place, weights=values, minlength=n_bins) for values in (confidence, correct)]
    means = [np.divide(total, n, out=np.full(n_bins, np.nan), where=n > 0) for total in sums]
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n": n, "confidence": means[0], "accuracy": means[1]})


def expected_calibration_error(confidence, correct, *, n_bins=15):
    """
    Average over the answers the gap between how sure and how right their bin is.

    Parameters
    ----------
    confidence : array_like, shape (n,)
        Probability of each answer, 0..1.
    correct : array_like of bool, shape (n,)
    n_bins : int
        Bins of equal width, as in `reliability_table`; 15 are usual.

    Returns
    -------
    float
        0 is perfect, 1 the worst. With few answers noise alone keeps it above 0.

    References
    ----------
    Guo et al. 2017, On calibration of modern neural networks, ICML.

    Examples
    --------
    >>> expected_calibration_error([0.9, 0.9], [True, False])
    0.4
    """
    table = reliability_table(confidence, correct, n_bins=n_bins)
    table = table[table["n"] > 0]
    return float(np.average((table["accuracy"] - table["confidence"]).abs(), weights=table["n"]))


def negative_log_likelihood(log_probability, truth):
    """
    Mean surprise at the true classes.

    Parameters
    ----------
    log_probability : numpy.ndarray, shape (n, k)
        Logarithms of probabilities; constants per row do not matter.
    truth : numpy.ndarray of int, shape (n,)
        Number of the true class of each row.

    Returns
    -------
    float
        Nats per object.
    """
    rows = np.arange(len(truth))
    return float(np.mean(logsumexp(log_probability, axis=1) - log_probability[rows, truth]))


@dataclass(frozen=True)
class TemperatureScaling(ArrayFields):
    """
    Divide log-probabilities by one number: answers stay as they are, only how sure they are changes.

    Parameters
    ----------
    temperature : float
        Above 1 the classifier was too sure of itself.

    References
    ----------
    Guo et al. 2017, On calibration of modern neural networks, ICML.
    """

    temperature: float = 1.0

    @classmethod
    def fit(cls, log_probability, truth):
        """
        Find the temperature at which the truth is least surprising.

        One object that could be anything is counted in, so that a few right answers are not taken for certainty.

        Parameters
        ----------
        log_probability : numpy.ndarray, shape (n, k)
            Of objects that the classifier has not learned from.
        truth : numpy.ndarray of int, shape (n,)

        Returns
        -------
        TemperatureScaling
        """
        # The surprise is convex in 1 / temperature, so a search over its logarithm finds the one minimum.
        unknown = 1 / (len(truth) + 1)
        centred = log_probability - log_probability.mean(axis=1, keepdims=True)

        def surprise(log_temperature):
            scaled = centred / np.exp(log_temperature)
            at_random = float(np.mean(logsumexp(scaled, axis=1)))
            return (1 - unknown) * negative_log_likelihood(scaled, truth) + unknown * at_random

        found = minimize_scalar(
            surprise,
            bounds=tuple(np.log(_TEMPERATURES)),
            method="bounded",
            options={"xatol": 1e-6},
        )
        return cls(float(np.exp(found.x)))

    def apply(self, log_probability):
        """
        Turn log-probabilities into calibrated probabilities.

        Parameters
        ----------
        log_probability : numpy.ndarray, shape (n, k)

        Returns
        -------
        numpy.ndarray, shape (n, k)
        """
        return softmax(log_probability / self.temperature, axis=1)


@dataclass(frozen=True, kw_only=True)
class IsotonicScaling(ArrayFields):
    """
    Map each class's probability to how often it was true, by a rising step line, and let rows add up to 1 again.

    It bends to any shape and may change answers; it wants some hundreds of objects of each class.

    Parameters
    ----------
    said, true : numpy.ndarray
        Corners of the lines, one class behind the other: probabilities, rising in each, and their calibrated values.
    sizes : numpy.ndarray of int, shape (k,)
        How many corners the line of each class has.

    References
    ----------
    Zadrozny & Elkan 2002, Transforming classifier scores into accurate multiclass probability estimates, KDD.
    """

    said: np.ndarray
    true: np.ndarray
    sizes: np.ndarray

    @classmethod
    def fit(cls, log_probability, truth):
        """
        Fit the line of each class; that of a class without any object changes nothing.

        Parameters
        ----------
        log_probability : numpy.ndarray, shape (n, k)
            Of objects that the classifier has not learned from.
        truth : numpy.ndarray of int, shape (n,)

        Returns
        -------
        IsotonicScaling
        """
        lines = []
        for k, column in enumerate(softmax(log_probability, axis=1).T):
            if not (truth == k).any():
                lines.append((np.array([0.0, 1.0]), np.array([0.0, 1.0])))
                continue
            line = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(column, truth == k)
            lines.append((line.X_thresholds_.astype(float), line.y_thresholds_.astype(float)))
        said, true = (np.concatenate(side) for side in zip(*lines, strict=True))
        return cls(said=said, true=true, sizes=np.array([len(x) for x, _ in lines]))

    def apply(self, log_probability):
        """
        Turn log-probabilities into calibrated probabilities.

        Parameters
        ----------
        log_probability : numpy.ndarray, shape (n, k)

        Returns
        -------
        numpy.ndarray, shape (n, k)
            A row to which every class says 0 keeps its uncalibrated probabilities.
        """
        raw = softmax(log_probability, axis=1)
        lines = (np.split(side, np.cumsum(self.sizes)[:-1]) for side in (self.said, self.true))
        mended = np.column_stack([np.interp(p, x, y) for p, x, y in zip(raw.T, *lines, strict=True)])
        total = mended.sum(axis=1, keepdims=True)
        return np.where(total > 0, mended / np.where(total > 0, total, 1), raw)


SCALINGS = {"temperature": TemperatureScaling, "isotonic": IsotonicScaling}
"""What `calibration=` may be, besides None."""


def _checked_answers(confidence, correct):
    confidence, correct = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=float)
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(confidence):
        msg = (
            f"confidence and correct hold one value for each answer; shapes are {confidence.shape} and {correct.shape}."
            " Pass the probability of the answer, not of every class."
        )
        raise ValueError(msg)
    outside = ~((confidence >= 0) & (confidence <= 1))
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        msg = f"confidence must lie in 0..1; row {row} is {confidence[row]:g}. Pass probabilities, not scores."
        raise ValueError(msg)
    return confidence, correct
