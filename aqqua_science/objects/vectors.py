"""Features as estimators need them: finite numbers in two dimensions, of one encoder, on one scale."""

import numpy as np

from .feature_input import check_fingerprint, check_finite, orient


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
