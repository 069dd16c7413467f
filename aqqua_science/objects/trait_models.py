"""Traits learnt from features: numbers with intervals that hold, classes with probabilities that hold."""

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from aqqua_science.objects.feature_input import blocks, check_fingerprint, fingerprint_of, orient

_KINDS = ("regression", "classification")
_ROWS = 1024


def _is_of(kind):
    """A check that a model is of a kind, since numbers have intervals and classes probabilities."""

    def check(model):
        if model.kind != kind:
            msg = f"this needs kind={kind!r}; the model is of kind {model.kind!r}."
            raise AttributeError(msg)
        return True

    return check


class TraitModel(BaseEstimator):
    """
    Learn a trait that was seen on some images, such as gut fullness or eggs carried, from features.

    Parameters
    ----------
    kind : str
        ``"regression"`` for numbers, such as a lipid sac's share of the body; ``"classification"`` for classes, such
        as with and without eggs.
    estimator : estimator, optional
        Any of scikit-learn. Ridge or logistic regression on standardised features by default.
    n_folds : int
        Parts of the known objects; each is predicted by a model that was fitted to the others.
    random_state : int, RandomState or None
        For the parts.

    Attributes
    ----------
    model_ : estimator
        Fitted to all; of classification, with its calibration.
    fold_models_ : list of estimator
        Of regression: one without each part.
    residuals_ : list of numpy.ndarray
        Of regression: how far each part is off, by the model without it.
    classes_ : numpy.ndarray
        Of classification.
    n_features_in_ : int

    Notes
    -----
    Intervals are those of CV+: they hold at least 1 - 2 (1 - level) of new objects whatever the regression, and about
    `level` of them in practice, if new objects are like those of the fit: of the same cruises, instruments and taxa.
    Give `groups` (the samples) where objects of one sample are alike, or the intervals are too narrow for new samples.
    Probabilities are calibrated on the parts that a classifier did not see (Platt's sigmoid).

    References
    ----------
    Barber et al. 2021, Predictive inference with the jackknife+, Annals of Statistics 49, doi:10.1214/20-AOS1965.
    Platt 1999, Probabilistic outputs for support vector machines. Orenstein et al. 2022, doi:10.1002/lno.12101.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(200, 3))
    >>> fullness = features[:, 0] + rng.normal(scale=0.1, size=200)
    >>> model = TraitModel(random_state=0).fit(features, fullness)
    >>> low, high = model.predict_interval(features, level=0.9).T
    >>> bool(((low < fullness) & (fullness < high)).mean() > 0.85)
    True
    """

    def __init__(self, kind="regression", *, estimator=None, n_folds=10, random_state=0):
        self.kind = kind
        self.estimator = estimator
        self.n_folds = n_folds
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        if self.kind == "classification":
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        else:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        return tags

    def fit(self, X, y, groups=None):
        """
        Learn from objects whose trait is known.

        Parameters
        ----------
        X : array-like or xarray.DataArray, shape (object, feature)
        y : array-like, shape (object,)
        groups : array-like, shape (object,), optional
            Objects of one group, such as a sample, stay in one part.

        Returns
        -------
        TraitModel
        """
        if self.kind not in _KINDS:
            msg = f"kind is one of {', '.join(_KINDS)}; got {self.kind!r}."
            raise ValueError(msg)
        self.fingerprint_ = fingerprint_of(X)
        X, y = validate_data(self, orient(X), y, y_numeric=self.kind == "regression")
        if len(X) < 4:
            msg = f"a trait is learnt from at least 4 objects; got n_samples = {len(X)}. Label more of them."
            raise ValueError(msg)
        return self._fit_numbers(X, y, groups) if self.kind == "regression" else self._fit_classes(X, y, groups)

    def _fit_numbers(self, X, y, groups):
        base = (
            make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 5, 15)))
            if self.estimator is None
            else self.estimator
        )
        self.fold_models_, self.residuals_ = [], []
        n = _n_parts(self.n_folds, len(X), groups)
        folds = (KFold if groups is None else GroupKFold)(n, shuffle=True, random_state=self.random_state)
        for known, unseen in folds.split(X, y, groups):
            self.fold_models_.append(clone(base).fit(X[known], y[known]))
            self.residuals_.append(np.abs(y[unseen] - self.fold_models_[-1].predict(X[unseen])))
        self.model_ = clone(base).fit(X, y)
        return self

    def _fit_classes(self, X, y, groups):
        check_classification_targets(y)
        self.classes_, counts = np.unique(y, return_counts=True)
        if len(counts) < 2 or counts.min() < 2:
            msg = (
                "classification needs at least two objects of each of two classes or more; "
                f"there are {dict(zip(self.classes_.tolist(), counts.tolist(), strict=True))}, so one class is too few."
            )
            raise ValueError(msg)
        base = make_pipeline(StandardScaler(), LogisticRegression()) if self.estimator is None else self.estimator
        n = min(_n_parts(self.n_folds, len(X), groups), int(counts.min()))
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        parts = list(kind(n, shuffle=True, random_state=self.random_state).split(X, y, groups))
        self.model_ = CalibratedClassifierCV(base, method="sigmoid", cv=parts, ensemble=False).fit(X, y)
        return self

    def predict(self, X):
        """
        Predict the trait.

        Parameters
        ----------
        X : array-like or xarray.DataArray, shape (object, feature)

        Returns
        -------
        numpy.ndarray, shape (object,)
        """
        X = self._checked(X)
        return self.model_.predict(X)

    @available_if(_is_of("regression"))
    def predict_interval(self, X, *, level=0.9):
        """
        Predict an interval for the trait of each object.

        Parameters
        ----------
        X : array-like or xarray.DataArray, shape (object, feature)
        level : float
            Share of the objects whose trait shall lie within.

        Returns
        -------
        numpy.ndarray, shape (object, 2)
            Lower and upper limit; infinite where the known objects are too few for the level.
        """
        if not 0 < level < 1:
            msg = f"level is a share between 0 and 1, such as 0.9; got {level}."
            raise ValueError(msg)
        X = self._checked(X)
        return np.concatenate([self._interval(X[part], level) for part in blocks(len(X), _ROWS)])

    def _interval(self, X, level):
        """Limits of CV+ for some objects."""
        centres = [model.predict(X)[:, None] for model in self.fold_models_]
        low, high = (
            np.concatenate([c + sign * r for c, r in zip(centres, self.residuals_, strict=True)], axis=1)
            for sign in (-1, 1)
        )
        n = low.shape[1]
        k = int(np.ceil(level * (n + 1)))
        if k > n:
            return np.tile([-np.inf, np.inf], (len(X), 1))
        return np.column_stack(
            [np.partition(low, n - k, axis=1)[:, n - k], np.partition(high, k - 1, axis=1)[:, k - 1]]
        )

    @available_if(_is_of("classification"))
    def predict_proba(self, X):
        """
        Tell how likely each class is.

        Parameters
        ----------
        X : array-like or xarray.DataArray, shape (object, feature)

        Returns
        -------
        numpy.ndarray, shape (object, class)
            In the order of `classes_`.
        """
        X = self._checked(X)
        return self.model_.predict_proba(X)

    def score(self, X, y):
        """
        Rate predictions: share of the variance explained, or of the classes hit.

        Parameters
        ----------
        X : array-like or xarray.DataArray, shape (object, feature)
        y : array-like, shape (object,)

        Returns
        -------
        float
        """
        return float((r2_score if self.kind == "regression" else accuracy_score)(y, self.predict(X)))

    def _checked(self, X):
        check_is_fitted(self)
        check_fingerprint(X, self.fingerprint_)
        return validate_data(self, orient(X), reset=False)


def _n_parts(wanted, n_objects, groups):
    """How many parts there can be."""
    if wanted < 2:
        msg = f"n_folds must be at least 2; got {wanted}."
        raise ValueError(msg)
    n = min(wanted, n_objects if groups is None else len(np.unique(groups)))
    if n < 2:
        msg = "groups must hold at least two groups; there is one. Leave groups out."
        raise ValueError(msg)
    return n
