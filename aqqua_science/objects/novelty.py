"""Objects unlike anything a classifier has learnt: how novel each is, and from where on it is unknown."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .. import schema
from . import distortion, persistence
from .crossfitting import deal_folds
from .feature_input import blocks, check_order, fingerprint_of, orient
from .labels import number_groups
from .novelty_methods import METHODS, GivenHead
from .vectors import read_vectors

_BY_LOGITS = ("energy", "vim")


class NoveltyScorer(BaseEstimator):
    """
    Score how unlike the known taxa an object is, and call it novel above a threshold.

    Parameters
    ----------
    method : {"mahalanobis", "knn", "energy", "vim"}
        "mahalanobis": squared distance to the nearest taxon's mean, by the spread that taxa share (shrunk).
        "knn": distance to the n-th nearest known object among features of length one. "energy": minus the log of
        the summed exponentials of a classifier's logits. "vim": what the principal directions of the
        features leave over, on the scale of the logits, plus the energy.
    n_neighbors : int
        For "knn".
    n_components : int, optional
        Principal directions for "vim"; by default those that hold 90 % of the variance.
    head : callable, optional
        For "energy": takes features, returns logits (n_objects, n_taxa) of a classifier. By default
        a logistic regression is fitted. A head cannot be fitted again without a fold, so if it has learned from the
        objects of the fit, the first threshold keeps fewer new ones than `recall`: call `set_threshold` with others.
    recall : float
        Part of the known objects that the first threshold keeps.
    n_folds : int
        The first threshold comes from known objects that the scorer, fitted to the other folds, has not seen.
        Not with `head`.
    random_state : int, RandomState or None

    Attributes
    ----------
    classes_ : numpy.ndarray
        Known taxa.
    threshold_ : float
    known_scores_ : numpy.ndarray
        Scores of the known objects, each from a fit without its fold (with `head`, from the head as it is); NaN where
        the other folds lack the taxon.
    n_features_in_ : int
    fingerprint_ : str or None
        Of the encoder that made the features.

    Notes
    -----
    Features are standardised first, so that their units do not matter. Lee et al. and Sun et al. take those of
    a network as they are.

    References
    ----------
    Lee et al. 2018, A simple unified framework for detecting out-of-distribution samples, NeurIPS, arXiv 1807.03888.
    Sun et al. 2022, Out-of-distribution detection with deep nearest neighbors, ICML, arXiv 2204.06507.
    Liu et al. 2020, Energy-based out-of-distribution detection, NeurIPS, arXiv 2010.03759.
    Wang et al. 2022, ViM: out-of-distribution with virtual-logit matching, CVPR, arXiv 2203.10807.
    Warton 2008, Penalized normal likelihood and ridge regularization of correlation and covariance matrices,
    doi 10.1198/016214508000000021 (shrinkage by the likelihood of objects left out).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(200, 3)) + np.repeat([[0, 0, 0], [8, 0, 0]], 100, axis=0)
    >>> scorer = NoveltyScorer().fit(features, ["Copepoda"] * 100 + ["Rhizaria"] * 100)
    >>> scorer.predict([[0, 0, 0], [4, 9, 9]])
    array([False,  True])
    """

    def __init__(
        self,
        method="mahalanobis",
        *,
        n_neighbors=10,
        n_components=None,
        head=None,
        recall=0.95,
        n_folds=5,
        random_state=0,
    ):
        self.method = method
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.head = head
        self.recall = recall
        self.n_folds = n_folds
        self.random_state = random_state

    def fit(self, features, taxon, *, groups=None):
        """
        Learn what known objects look like, and set the threshold that keeps `recall` of them.

        Parameters
        ----------
        features : array-like or xarray.DataArray, shape (n_objects, n_features)
        taxon : array-like of str, shape (n_objects,)
        groups : array-like, shape (n_objects,), optional
            Sample or cruise of each object, which no fold splits. Objects of one sample resemble each other, so without
            groups the threshold keeps fewer objects of new samples than `recall`.

        Returns
        -------
        NoveltyScorer

        Raises
        ------
        ValueError
            If features are not finite, an object has no taxon, a setting is unknown, no object can be held out, or an
            index tells that `taxon` or `groups` are of other objects.
        """
        self._check_settings()
        check_order(features, name="features", taxon=taxon, groups=groups)
        x, labels = self._known(features, taxon)
        self.n_features_in_, self.fingerprint_ = x.shape[1], fingerprint_of(features)
        self._model = self._fitted(x, labels)
        self.known_scores_ = self._scores_of_unseen(x, labels, groups)
        return self.set_threshold(recall=self.recall)

    def score(self, features):
        """
        Score objects; higher is more novel.

        Parameters
        ----------
        features : array-like or xarray.DataArray, shape (n_objects, n_features)

        Returns
        -------
        numpy.ndarray, shape (n_objects,)
        """
        check_is_fitted(self)
        rule = {"fingerprint": self.fingerprint_, "n_features": self.n_features_in_}
        features = orient(features)
        parts = ((rows.start, features[rows]) for rows in blocks(len(features)))
        scores = [self._model.score(read_vectors(part, first=first, **rule)) for first, part in parts]
        return np.concatenate([np.empty(0), *scores])

    def predict(self, features):
        """
        Tell which objects are novel: those that score above the threshold.

        Parameters
        ----------
        features : array-like or xarray.DataArray, shape (n_objects, n_features)

        Returns
        -------
        numpy.ndarray of bool, shape (n_objects,)
        """
        return self.score(features) > self.threshold_

    def set_threshold(self, known=None, *, recall=0.95):
        """
        Set the threshold so that a given part of known objects stays known.

        Parameters
        ----------
        known : array-like or xarray.DataArray, optional
            Features of known objects not used in the fit; by default the objects of the fit, scored by folds, or with
            `head` by a head that may have learned from them.
        recall : float
            Part of them to keep, between 0 and 1.

        Returns
        -------
        NoveltyScorer
        """
        check_is_fitted(self, "known_scores_")
        if not 0 < recall <= 1:
            msg = f"recall must lie between 0 and 1, such as 0.95; got {recall}."
            raise ValueError(msg)
        scores = self.known_scores_ if known is None else self.score(known)
        self.threshold_ = float(np.nanquantile(scores, recall, method="higher"))
        return self

    def set_threshold_by_community(self, features, taxon, *, predicted, samples=None):
        """
        Set the threshold so that the communities reported are nearest to the true ones.

        Parameters
        ----------
        features : array-like or xarray.DataArray, shape (n_objects, n_features)
            Of labelled objects not used in the fit, known and unknown, in samples like those to come (or made so
            by `distortion.draw_communities`).
        taxon : array-like of str, shape (n_objects,)
            Those not in `classes_` are unknown.
        predicted : array-like of str, shape (n_objects,)
            What the classifier calls them, before any is rejected.
        samples : array-like, shape (n_objects,), optional
            Sample of each object; by default all are one community.

        Returns
        -------
        NoveltyScorer
        """
        curve = distortion.distortion_curve(
            self.score(features), taxon, predicted, classes=self.classes_, samples=samples
        )
        if curve["unknown_recall"].isna().all():
            msg = (
                "no object is of an unknown taxon, so the best threshold would reject nothing. Add objects of taxa "
                "that the scorer does not know, or use set_threshold(recall=...)."
            )
            raise ValueError(msg)
        self.threshold_ = distortion.best_threshold(curve)
        return self

    def save(self, path):
        """
        Write the scorer to a file of arrays and JSON, which runs no code when it is read.

        Parameters
        ----------
        path : str or pathlib.Path
            Ends in ``.npz``.

        Raises
        ------
        ValueError
            If the scorer has a `head`, which is code.
        """
        check_is_fitted(self)
        persistence.write_scorer(self, path)

    @classmethod
    def load(cls, path):
        """
        Read what `save` wrote.

        Parameters
        ----------
        path : str or pathlib.Path

        Returns
        -------
        NoveltyScorer

        Raises
        ------
        ValueError
            If the file is none, is damaged or is of a later version.
        """
        return persistence.read_scorer(cls, path)

    def _known(self, features, taxon):
        """Features and class numbers of the objects to learn from."""
        x, names = read_vectors(features), np.asarray(taxon, dtype=object)
        bad = np.flatnonzero(pd.isna(names))
        if len(names) != len(x) or bad.size:
            where = f"row {bad[0]} has none" if bad.size else f"got {len(names)} for {len(x)}"
            msg = f"each object needs its taxon; {where}. Fit on known objects only."
            raise ValueError(msg)
        self.classes_, labels = np.unique(names.astype(str), return_inverse=True)
        if len(self.classes_) < 2 and self.method in _BY_LOGITS and self.head is None:
            msg = f"method {self.method!r} needs two taxa or more; got {self.classes_}. Use 'mahalanobis' or 'knn'."
            raise ValueError(msg)
        return x, labels

    def _fitted(self, x, labels, part=1.0):
        """The chosen method, that has learned from all objects or a part."""
        if self.head is not None:
            return GivenHead(self.head)
        return self._new_model().fit(x, labels, part=part)

    def _new_model(self):
        return METHODS[self.method](n_neighbors=self.n_neighbors, n_components=self.n_components)

    def _scores_of_unseen(self, x, labels, groups):
        """Score each known object by a fit to the other folds, if these hold its taxon."""
        if self.head is not None:
            return self._model.score(x)
        groups, _ = number_groups(groups, np.ones(len(x), bool))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        folds = deal_folds(labels, groups, n_folds=self.n_folds, rng=seed)
        scores = np.full(len(x), np.nan)
        for fold in np.unique(folds):
            kept = folds != fold
            out = ~kept & np.isin(labels, labels[kept])
            if not out.any() or (self.method in _BY_LOGITS and len(np.unique(labels[kept])) < 2):
                continue
            scores[out] = self._fitted(x[kept], labels[kept], kept.mean()).score(x[out])
        if np.isnan(scores).all():
            msg = (
                f"no object can be held out for the threshold: none of {len(self.classes_)} taxa has objects in two of "
                f"n_folds={self.n_folds} folds{'' if groups is None else ', which split no group'}. Label more."
            )
            raise ValueError(msg)
        return scores

    def _check_settings(self):
        if self.method not in METHODS:
            near = schema.nearest_name(self.method, METHODS)
            msg = f"method must be one of {', '.join(METHODS)}; got {self.method!r}.{near}"
            raise ValueError(msg)
        if self.head is not None and self.method != "energy":
            msg = f"head belongs to method 'energy'; got {self.method!r}. Leave it out."
            raise ValueError(msg)
