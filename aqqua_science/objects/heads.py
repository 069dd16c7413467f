"""What stands on top of frozen features: four ways from a row of numbers to the chances of the classes."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from aqqua_science.objects.trees import FlatTrees

_BEYOND = 5.0
"""Spreads from the mean at which a feature stops counting: far from all that was learned, lines lead astray."""

_NEAREST = 1e-6
"""Cosine distances below this are rounding, not likeness."""


class _Head:
    """What heads share: the names of the arrays that a file keeps, and how to take them back."""

    kept = ()

    def arrays(self):
        """What a file has to keep, as a dict of arrays."""
        return {name: getattr(self, name) for name in self.kept}

    def restore(self, arrays):
        """Take what a file kept."""
        for name in self.kept:
            setattr(self, name, arrays[name])
        return self


class LogisticHead(_Head):
    """
    Multinomial logistic regression of standardised features, cut at 5 spreads; rare classes by weights of the objects.

    Parameters
    ----------
    seed : int
        Not used: the optimum is unique.
    n_jobs : int or None
        Not used.
    inverse_penalty : float
        Larger trusts the data more, as `C` of scikit-learn.
    max_rounds : int
        Of the optimiser.
    """

    kept = ("center", "spread", "slope", "start")

    def __init__(self, *, seed=0, n_jobs=None, inverse_penalty=1.0, max_rounds=1000):
        self.inverse_penalty = inverse_penalty
        self.max_rounds = max_rounds

    def fit(self, X, codes, class_weight):
        """
        Learn.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, d)
        codes : numpy.ndarray of int, shape (n,)
            Classes, numbered from 0, each present.
        class_weight : numpy.ndarray, shape (k,)

        Returns
        -------
        LogisticHead
        """
        self.center, self.spread = _standards(X)
        model = LogisticRegression(C=self.inverse_penalty, max_iter=self.max_rounds)
        model.fit(self._standardised(X), codes, sample_weight=class_weight[codes])
        slope, start = model.coef_.astype(float), model.intercept_.astype(float)
        if len(slope) == 1:
            slope, start = np.vstack([np.zeros_like(slope), slope]), np.array([0.0, start[0]])
        self.slope, self.start = slope, start
        return self

    def log_probability(self, X):
        """
        Log-probabilities of the classes, up to a constant per row.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, d)

        Returns
        -------
        numpy.ndarray, shape (n, k)
        """
        return self._standardised(X).astype(float) @ self.slope.T + self.start

    def _standardised(self, X):
        return np.clip((X - self.center) / self.spread, -_BEYOND, _BEYOND)


class NeighbourHead(_Head):
    """
    Votes of the nearest labelled objects by cosine, each by 1 / distance and, for rare classes, by its class's weight.

    One vote more is spread over all classes, so that none is impossible. The cost of an answer grows with the number
    of labelled objects.

    Parameters
    ----------
    seed : int
        Not used.
    n_jobs : int or None
        Threads.
    n_neighbours : int
    """

    kept = ("center", "spread", "directions", "codes", "class_weight")

    def __init__(self, *, seed=0, n_jobs=None, n_neighbours=10):
        self.n_jobs = n_jobs
        self.n_neighbours = n_neighbours

    def fit(self, X, codes, class_weight):
        """
        Remember the objects.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, d)
        codes : numpy.ndarray of int, shape (n,)
            Classes, numbered from 0, each present.
        class_weight : numpy.ndarray, shape (k,)

        Returns
        -------
        NeighbourHead
        """
        self.center, self.spread = _standards(X)
        self.directions, self.codes, self.class_weight = self._directions(X), codes, class_weight
        return self._index()

    def log_probability(self, X):
        """
        Log-probabilities of the classes.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, d)

        Returns
        -------
        numpy.ndarray, shape (n, k)
        """
        distance, who = self._search.kneighbors(self._directions(X))
        # Of unit vectors, half the squared distance is one minus the cosine.
        vote = self.class_weight[self.codes[who]] / np.maximum(distance.astype(float) ** 2 / 2, _NEAREST)
        k = len(self.class_weight)
        place = np.arange(len(X))[:, None] * k + self.codes[who]
        share = np.bincount(place.ravel(), weights=vote.ravel(), minlength=len(X) * k).reshape(len(X), k)
        return _log_of_votes(share / vote.sum(axis=1, keepdims=True), who.shape[1])

    def restore(self, arrays):
        """Take what a file kept."""
        return super().restore(arrays)._index()

    def _index(self):
        search = NearestNeighbors(
            n_neighbors=min(self.n_neighbours, len(self.codes)),
            algorithm="brute",
            metric="euclidean",
            n_jobs=self.n_jobs,
        )
        self._search = search.fit(self.directions)
        return self

    def _directions(self, X):
        rows = (X - self.center) / self.spread
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.ascontiguousarray(rows / np.where(length > 0, length, 1))


class ForestHead(_Head):
    """
    Random forest of 50 principal components of the standardised features; rare classes by the weights of the objects.

    Parameters
    ----------
    seed : int
    n_jobs : int or None
        Threads.
    n_trees, n_components, min_leaf : int
        `min_leaf` is the least number of objects in a leaf.

    References
    ----------
    Panaiotis et al. 2026, Earth Syst. Sci. Data 18, 945: components of deep features and a forest.
    """

    kept = ("center", "spread", "axes", "middle")

    def __init__(self, *, seed=0, n_jobs=None, n_trees=300, n_components=50, min_leaf=2):
        self.seed = seed
        self.n_jobs = n_jobs
        self.n_trees = n_trees
        self.n_components = n_components
        self.min_leaf = min_leaf

    def fit(self, X, codes, class_weight):
        """
        Learn.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, d)
        codes : numpy.ndarray of int, shape (n,)
            Classes, numbered from 0, each present.
        class_weight : numpy.ndarray, shape (k,)

        Returns
        -------
        ForestHead
        """
        self.center, self.spread = _standards(X)
        rows = (X - self.center) / self.spread
        pca = PCA(min(self.n_components, *X.shape), svd_solver="full", random_state=self.seed).fit(rows)
        self.axes, self.middle = pca.components_.T, pca.mean_
        self.forest = RandomForestClassifier(
            self.n_trees, min_samples_leaf=self.min_leaf, n_jobs=self.n_jobs, random_state=self.seed
        ).fit(self._components(X), codes, sample_weight=class_weight[codes])
        self.trees = None
        return self

    def log_probability(self, X):
        """
        Log-probabilities of the classes; one vote more is spread over all of them.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, d)

        Returns
        -------
        numpy.ndarray, shape (n, k)
        """
        rows = self._components(X)
        if self.trees is None:
            share = self.forest.predict_proba(rows)
        else:
            share = sum(self.trees.leaf_values(rows)) / len(self.trees.roots)
        return _log_of_votes(share, self.n_trees)

    def arrays(self):
        """What a file has to keep, as a dict of arrays."""
        return super().arrays() | (self.trees or FlatTrees.of_forest(self.forest)).arrays()

    def restore(self, arrays):
        """Take what a file kept."""
        self.trees = FlatTrees.from_arrays(arrays)
        return super().restore(arrays)

    def _components(self, X):
        return (((X - self.center) / self.spread - self.middle) @ self.axes).astype(np.float32)


class BoostingHead(_Head):
    """
    Gradient boosting of histograms (of scikit-learn); rare classes by the weights of the objects.

    Parameters
    ----------
    seed : int
    n_jobs : int or None
        Not used: OpenMP decides.
    n_rounds, min_leaf : int
        One tree per class and round; the least number of objects in a leaf. Rounds are not stopped early, since that
        would hold out objects of samples that are also learned from.
    learning_rate : float
    """

    kept = ("start",)

    def __init__(self, *, seed=0, n_jobs=None, n_rounds=100, min_leaf=5, learning_rate=0.1):
        self.seed = seed
        self.n_rounds = n_rounds
        self.min_leaf = min_leaf
        self.learning_rate = learning_rate

    def fit(self, X, codes, class_weight):
        """
        Learn.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, d)
        codes : numpy.ndarray of int, shape (n,)
            Classes, numbered from 0, each present.
        class_weight : numpy.ndarray, shape (k,)

        Returns
        -------
        BoostingHead
        """
        self.boosting = HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.n_rounds,
            min_samples_leaf=self.min_leaf,
            early_stopping=False,
            random_state=self.seed,
        ).fit(X, codes, sample_weight=class_weight[codes])
        self.start, self.trees = np.ravel(self.boosting._baseline_prediction), None
        return self

    def log_probability(self, X):
        """
        Log-probabilities of the classes, up to a constant per row.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, d)

        Returns
        -------
        numpy.ndarray, shape (n, k)
        """
        raw = self.boosting.decision_function(X) if self.trees is None else self._sum(X.astype(float))
        raw = raw.reshape(len(X), -1)
        return raw if raw.shape[1] > 1 else np.column_stack([np.zeros(len(X)), raw])

    def arrays(self):
        """What a file has to keep, as a dict of arrays."""
        return super().arrays() | (self.trees or FlatTrees.of_boosting(self.boosting)).arrays()

    def restore(self, arrays):
        """Take what a file kept."""
        self.trees = FlatTrees.from_arrays(arrays)
        return super().restore(arrays)

    def _sum(self, X):
        raw = np.tile(self.start, (len(X), 1))
        for number, value in enumerate(self.trees.leaf_values(X)):
            raw[:, number % len(self.start)] += value[:, 0]
        return raw


HEADS = {"logistic": LogisticHead, "knn": NeighbourHead, "forest": ForestHead, "boosting": BoostingHead}
"""What `head=` may be."""


def _standards(X):
    """Mean and spread of each feature; constants keep a spread of 1."""
    center, spread = X.mean(axis=0, dtype=float), X.std(axis=0, dtype=float)
    # A constant's spread is rounding, not zero, where its value is large.
    constant = spread <= 10 * np.finfo(X.dtype).eps * np.abs(X).max(axis=0)
    return center.astype(X.dtype), np.where(constant, 1, spread).astype(X.dtype)


def _log_of_votes(share, n_votes):
    """Logarithm of shares of votes after one vote more, spread over all classes."""
    return np.log((n_votes * share + 1 / share.shape[1]) / (n_votes + 1))
