"""Carbon learnt from features, where the carbon of some objects was measured."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data


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
        Share of the objects that is kept from the regression for smearing and intervals, between 0 and 1.
    random_state : int, RandomState or None
        For the split.

    Attributes
    ----------
    regressor_ : estimator
    residuals_ : numpy.ndarray of float
        Errors of the natural logarithm on the objects kept apart, sorted by size.
    smearing_ : float
        Ratio of the mean to the middle.
    n_features_in_ : int

    Notes
    -----
    Both rest on new objects being like those kept apart: drawn from the same cruises, instruments and taxa. The
    interval is of one object, and holds the share `level` of them on average, not for each size or taxon.

    References
    ----------
    Duan 1983, Smearing estimate: a nonparametric retransformation method, Journal of the American Statistical
    Association 78. Lei et al. 2018, Distribution-free predictive inference for regression, the same 113.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> size = rng.normal(size=(400, 1))
    >>> carbon_ug = np.exp(size[:, 0] + rng.normal(scale=0.5, size=400))
    >>> model = CarbonRegressor(random_state=0).fit(size, carbon_ug)
    >>> bool(abs(model.predict(size).sum() / carbon_ug.sum() - 1) < 0.1)
    True
    """

    def __init__(self, regressor=None, *, calibration_share=0.25, random_state=None):
        self.regressor = regressor
        self.calibration_share = calibration_share
        self.random_state = random_state

    def fit(self, X, y):
        """
        Fit to objects of known carbon.

        Parameters
        ----------
        X : array-like, shape (object, feature)
        y : array-like, shape (object,)
            Carbon of each, ug, above zero.

        Returns
        -------
        CarbonRegressor
        """
        self.fingerprint_ = _fingerprint(X)
        X, y = validate_data(self, X, y, y_numeric=True)
        if not (y > 0).all():
            msg = f"y must be carbon above 0 ug, for its logarithm; {np.sum(y <= 0)} of {len(y)} are not. Drop them."
            raise ValueError(msg)
        state = check_random_state(self.random_state)
        known, apart = train_test_split(np.arange(len(y)), test_size=self.calibration_share, random_state=state)
        default = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13)))
        self.regressor_ = clone(default if self.regressor is None else self.regressor).fit(X[known], np.log(y[known]))
        errors = np.log(y[apart]) - self.regressor_.predict(X[apart])
        self.residuals_ = errors[np.argsort(np.abs(errors), kind="stable")]
        self.smearing_ = float(np.exp(errors).mean())
        return self

    def predict(self, X):
        """
        Predict the mean carbon of objects.

        Parameters
        ----------
        X : array-like, shape (object, feature)

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
        X : array-like, shape (object, feature)
        level : float
            Share of objects whose carbon lies in its interval.

        Returns
        -------
        pandas.DataFrame
            `carbon_ug`, `carbon_ug_low`, `carbon_ug_high`.

        Raises
        ------
        ValueError
            If too few objects were kept apart for this level.
        """
        middle = self._middle(X)
        n = len(self.residuals_)
        rank = int(np.ceil((n + 1) * level))
        if not 0 < level < 1 or rank > n:
            msg = (
                f"level must lie between 0 and 1, and {level} needs at least {_needed(level)} objects kept apart; "
                f"there are {n}. Fit to more objects, raise calibration_share or lower the level."
            )
            raise ValueError(msg)
        width = abs(self.residuals_[rank - 1])
        carbon = self.smearing_ * np.exp(middle)
        bounds = {"carbon_ug_low": np.exp(middle - width), "carbon_ug_high": np.exp(middle + width)}
        return pd.DataFrame({"carbon_ug": carbon, **bounds})

    def _middle(self, X):
        """Natural logarithm of the carbon of the object in the middle."""
        check_is_fitted(self)
        if None not in (self.fingerprint_, _fingerprint(X)) and _fingerprint(X) != self.fingerprint_:
            msg = (
                f"these features are of the encoder {_fingerprint(X)!r}, the model was fitted to those of "
                f"{self.fingerprint_!r}. Embed the objects with that encoder, or fit anew."
            )
            raise ValueError(msg)
        return self.regressor_.predict(validate_data(self, X, reset=False))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags


def _fingerprint(X):
    """What tells the encoder of features apart; None for plain arrays."""
    return getattr(X, "attrs", {}).get("fingerprint")


def _needed(level):
    """Number of objects apart that an interval needs at least."""
    return int(np.ceil(level / (1 - level))) if 0 < level < 1 else 1
