"""Features as estimators need them: finite numbers in two dimensions, of one encoder, on one scale."""

import numpy as np

from .feature_input import check_fingerprint, check_finite, orient

_WITNESSES = 64
_SIGHTS = 4
_SAME = 1e-4
"""By less than this, in standard deviations, features of one encoder differ from machine to machine."""


def read_vectors(features, *, fingerprint=None, n_features=None, first=0):
    """
    Read features into memory and check them.

    Parameters
    ----------
    features : array-like or xarray.DataArray, shape (n_objects, n_features)
        Attribute `fingerprint` of a DataArray tells which encoder made them.
    fingerprint : str, optional
        Of the features that a model was fitted on.
    n_features : int, optional
        How many features that model knows.
    first : int
        Number of the first row, for messages.

    Returns
    -------
    numpy.ndarray of float, shape (n_objects, n_features)

    Raises
    ------
    ValueError
        If features are not two-dimensional, not finite, of another encoder, or not as many as the model knows.
    """
    check_fingerprint(features, fingerprint)
    values = np.asarray(orient(features), dtype=float)
    if values.ndim != 2 or (n_features is not None and values.shape[1] != n_features):
        msg = f"features must have shape (n_objects, {n_features or 'n_features'}); got {values.shape}."
        raise ValueError(msg)
    check_finite(values, numbers=range(first, first + len(values)))
    return values


class Scale:
    """
    Brings features to mean zero and variance one; those that never change become zero.

    Parameters
    ----------
    x : numpy.ndarray, shape (n_objects, n_features)
        Features that set mean and variance. Call the scale with others to bring them to it.
    """

    def __init__(self, x):
        self.mean, spread = x.mean(axis=0), x.std(axis=0)
        # Rounding leaves a constant feature a tiny spread, which division would blow up.
        self.spread = np.where(spread > 1e-12 * np.abs(self.mean), spread, 1.0)

    def __call__(self, x):
        return (x - self.mean) / self.spread


def digest(x):
    """
    Work out numbers that tell features and their order apart.

    Parameters
    ----------
    x : numpy.ndarray, shape (n_objects, n_features)
        On the scale of `Scale`.

    Returns
    -------
    list of float
        Up to 64 objects projected onto four random directions, and randomly weighted sums of the projections of all.
    """
    rng = np.random.default_rng(0)
    sides, weights = rng.normal(size=(x.shape[1], _SIGHTS)), rng.normal(size=(len(x), _SIGHTS))
    seen = x @ (sides / np.linalg.norm(sides, axis=0))
    some = np.linspace(0, len(x) - 1, min(_WITNESSES, len(x))).astype(int)
    return np.concatenate([seen[some], weights.T @ seen / np.sqrt(len(x))]).ravel().tolist()


def same_digest(one, other):
    """
    Tell whether two digests are of the same features, whatever their last bits.

    Parameters
    ----------
    one, other : sequence of float

    Returns
    -------
    bool
    """
    return len(one) == len(other) and bool(np.allclose(one, other, rtol=0, atol=_SAME))
