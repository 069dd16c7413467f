"""Carbon learnt from features, where the carbon of some objects was measured."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from aqqua_science.objects.feature_input import check_fingerprint, fingerprint_of, orient

_ROUNDING = 1e-9


class CarbonRegressor(RegressorMixin, BaseEstimator):
    """
    Regress the logarithm of carbon on features; predict its mean, so that sums are right, and an interval.

    A regression on logarithms gives the object in the middle, and sums of such predictions are too low. The mean
    follows by the mean of the exponentials of the errors (smearing), which are taken of objects that the regression
    has not seen. So is the half width of the interval (split conformal prediction).

    Parameters
    ----------
    regressor : estimator, optional
        Any scikit-learn regressor, for the natural logarithm of carbon. Ridge regression on standardised features,
        its penalty by cross-validation, by default.
    calibration_share : float
        Share of the objects, or of their groups, that is kept from the regression for smearing and intervals, between
        0 and 1.
    random_state : int, RandomState or None
        For the split.

    Attributes
    ----------
    regressor_ : estimator
    residuals_ : numpy.ndarray of float
        Errors of the natural logarithm on the objects kept apart, sorted by size.
    levels_ : numpy.ndarray of float
        Level of the interval that is as wide as each of them.
    n_apart_ : int
        Objects, or groups, kept apart.
    smearing_ : float
        Ratio of the mean to the middle.
    n_features_in_ : int

    Notes
    -----
    Both rest on new objects being like those kept apart: drawn from the same cruises, instruments and taxa. The
    interval is of one object, and holds the share `level` of them on average, not for each size or taxon. Give
    `groups` (the samples) where objects of one sample are alike, or the intervals are too narrow for new samples: then
    whole groups are kept apart, each with the same weight. A level of 0.9 takes 9 of them, so 33 in all by default.

    References
    ----------
    Duan 1983, Smearing estimate: a nonparametric retransformation method, Journal of the American Statistical
    Association 78. Lei et al. 2018, Distribution-free predictive inference for regression, the same 113. Lee et al.
    2023, Distribution-free inference with hierarchical data, arXiv:2306.06342.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> size = rng.normal(size=(400, 1))
    >>> carbon_ug = np.exp(size[:, 0] + rng.normal(scale=0.5, size=400))
    >>> model = CarbonRegressor(random_state=0).fit(size, carbon_ug)
    >>> bool(abs(model.predict(size).sum() / carbon_ug.sum() - 1) < 0.1)
    True
    """

    def __init__(self, regressor=None, *, calibration_share=0.25, random_state=0):
        self.regressor = regressor
        self.calibration_share = calibration_share
        self.random_state = random_state

    def fit(self, X, y, groups=None):
        """
        Fit to objects of known carbon.

        Parameters
        ----------
        X : array-like or xarray.DataArray, shape (object, feature)
        y : array-like, shape (object,)
            Carbon of each, ug, above zero.
        groups : array-like, shape (object,), optional
            Objects of one group, such as a sample, are kept apart together. Each is one of its own by default.

        Returns
        -------
        CarbonRegressor
        """
        self.fingerprint_ = fingerprint_of(X)
        X, y = validate_data(self, orient(X), y, y_numeric=True)
        if not (y > 0).all():
            msg = f"y must be carbon above 0 ug, for its logarithm; {np.sum(y <= 0)} of {len(y)} are not. Drop them."
            raise ValueError(msg)
        codes = np.arange(len(y)) if groups is None else _codes(groups, y)
        split = GroupShuffleSplit(1, test_size=self.calibration_share, random_state=self.random_state)
        known, apart = next(split.split(X, y, codes))
        default = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13)))
        self.regressor_ = clone(default if self.regressor is None else self.regressor).fit(X[known], np.log(y[known]))
        self._calibrate(np.log(y[apart]) - self.regressor_.predict(X[apart]), codes[apart])
        return self

    def _calibrate(self, errors, codes):
        """Keep the errors of objects apart, and at which level each ends the interval."""
        order = np.argsort(np.abs(errors), kind="stable")
        _, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
        self.n_apart_ = len(counts)
        # One more group, that of the new object, may lie anywhere.
        weights = 1 / counts[place] / (self.n_apart_ + 1)
        self.residuals_, self.levels_ = errors[order], np.cumsum(weights[order])
        self.smearing_ = float(np.exp(errors).mean())

    def predict(self, X):
        """
        Predict the mean carbon of objects.

        Parameters
        ----------
        X : array-like or xarray.DataArray, shape (object, feature)

        Returns
        -------
        numpy.ndarray of float, shape (object,)
            ug C.
        """
        middle = self._middle(X)
        return self.smearing_ * np.exp(middle)

    def predict_interval(self, X, *, level=0.9):
        """
        Predict the mean carbon of objects with an interval for each.

        Parameters
        ----------
        X : array-like or xarray.DataArray, shape (object, feature)
        level : float
            Share of objects whose carbon lies in its interval.

        Returns
        -------
        pandas.DataFrame
            `carbon_ug`, `carbon_ug_low`, `carbon_ug_high`.

        Raises
        ------
        ValueError
            If too few objects, or groups, were kept apart for this level.
        """
        middle = self._middle(X)
        rank = np.searchsorted(self.levels_, level - _ROUNDING)
        if not 0 < level < 1 or rank == len(self.levels_):
            msg = (
                f"level must lie between 0 and 1, and {level} needs at least {_needed(level)} objects, or groups where "
                f"given, kept apart; there are {self.n_apart_}. Fit to more, raise calibration_share, or lower level."
            )
            raise ValueError(msg)
        width = abs(self.residuals_[rank])
        carbon = self.smearing_ * np.exp(middle)
        bounds = {"carbon_ug_low": np.exp(middle - width), "carbon_ug_high": np.exp(middle + width)}
        return pd.DataFrame({"carbon_ug": carbon, **bounds})

    def _middle(self, X):
        """Natural logarithm of the carbon of the object in the middle."""
        check_is_fitted(self)
        check_fingerprint(X, self.fingerprint_)
        return self.regressor_.predict(validate_data(self, orient(X), reset=False))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags


def _codes(groups, y):
    """Number the groups, which must be known and more than one."""
    check_consistent_length(y, groups)
    codes, names = pd.factorize(np.asarray(groups))
    if (codes < 0).any() or len(names) < 2:
        msg = (
            f"groups must be known for each object, and two or more; {np.sum(codes < 0)} are missing and there are "
            f"{len(names)} groups. Drop objects without one, or leave groups out."
        )
        raise ValueError(msg)
    return codes


def _needed(level):
    """Number of objects or groups apart that an interval needs at least."""
    return int(np.ceil(level / (1 - level) - _ROUNDING)) if 0 < level < 1 else 1
