"""What stands on top of frozen features: four ways from a row of numbers to the chances of the classes."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from aqqua_science.objects.array_files import StandardisedArrays
from aqqua_science.objects.trees import FlatTrees

_BEYOND = 5.0
"""Spreads from the mean at which a feature stops counting: far from all that was learned, lines lead astray."""

_NEAREST = 1e-6
"""Cosine distances below this are rounding, not likeness."""


class _Head(StandardisedArrays):
    """What heads share: learning from standardised features, and answering."""

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
        object
            The head itself.
        """
        scaler = StandardScaler().fit(X)
        self.center, self.spread = scaler.mean_.astype(X.dtype), scaler.scale_.astype(X.dtype)
        self._learn(self._standardised(X), codes, class_weight)
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
        return self._say(self._standardised(X))


class _TreeHead(_Head):
    """Heads of trees: `model` is scikit-learn's, which is faster, or, taken from a file, `FlatTrees`."""

    def arrays(self):
        """What a file has to keep, as a dict of arrays."""
        flat = self.model if isinstance(self.model, FlatTrees) else self._flat(self.model)
        return super().arrays() | flat.arrays()

    def restore(self, arrays):
        """Take what a file kept."""
        self.model = FlatTrees.from_arrays(arrays)
        return super().restore(arrays)

    def _say(self, rows):
        return self._say_flat(rows) if isinstance(self.model, FlatTrees) else self._say_learned(rows)


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

    kept = ("slope", "start")

    def __init__(self, *, seed=0, n_jobs=None, inverse_penalty=1.0, max_rounds=1000):
        self.inverse_penalty = inverse_penalty
        self.max_rounds = max_rounds

    def _learn(self, rows, codes, class_weight):
        model = LogisticRegression(C=self.inverse_penalty, max_iter=self.max_rounds)
        model.fit(np.clip(rows, -_BEYOND, _BEYOND), codes, sample_weight=class_weight[codes])
        slope, start = model.coef_.astype(float), model.intercept_.astype(float)
        if len(slope) == 1:
            slope, start = np.vstack([np.zeros_like(slope), slope]), np.array([0.0, start[0]])
        self.slope, self.start = slope, start

    def _say(self, rows):
        return np.clip(rows, -_BEYOND, _BEYOND).astype(float) @ self.slope.T + self.start


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

    kept = ("directions", "codes", "class_weight")

    def __init__(self, *, seed=0, n_jobs=None, n_neighbours=10):
        self.n_jobs = n_jobs
        self.n_neighbours = n_neighbours

    def restore(self, arrays):
        """Take what a file kept."""
        return super().restore(arrays)._index()

    def _learn(self, rows, codes, class_weight):
        self.directions, self.codes, self.class_weight = _directions(rows), codes, class_weight
        self._index()

    def _say(self, rows):
        distance, who = self._search.kneighbors(_directions(rows))
        # Of unit vectors, half the squared distance is one minus the cosine.
        vote = self.class_weight[self.codes[who]] / np.maximum(distance.astype(float) ** 2 / 2, _NEAREST)
        k = len(self.class_weight)
        place = np.arange(len(rows))[:, None] * k + self.codes[who]
        share = np.bincount(place.ravel(), weights=vote.ravel(), minlength=len(rows) * k).reshape(len(rows), k)
        return _log_of_votes(share / vote.sum(axis=1, keepdims=True), who.shape[1])

    def _index(self):
        search = NearestNeighbors(
            n_neighbors=min(self.n_neighbours, len(self.codes)),
            algorithm="brute",
            metric="euclidean",
            n_jobs=self.n_jobs,
        )
        self._search = search.fit(self.directions)
        return self


class ForestHead(_TreeHead):
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

    kept = ("axes", "middle")
    _flat = staticmethod(FlatTrees.of_forest)

    def __init__(self, *, seed=0, n_jobs=None, n_trees=300, n_components=50, min_leaf=2):
        self.seed = seed
        self.n_jobs = n_jobs
        self.n_trees = n_trees
        self.n_components = n_components
        self.min_leaf = min_leaf

    def _learn(self, rows, codes, class_weight):
        n = min(self.n_components, *rows.shape)
        pca = PCA(n, svd_solver="full", random_state=self.seed).fit(rows)
        self.axes, self.middle = pca.components_.T, pca.mean_
        self.model = RandomForestClassifier(
            self.n_trees, min_samples_leaf=self.min_leaf, n_jobs=self.n_jobs, random_state=self.seed
        ).fit(self._components(rows), codes, sample_weight=class_weight[codes])

    def _say_learned(self, rows):
        return _log_of_votes(self.model.predict_proba(self._components(rows)), self.n_trees)

    def _say_flat(self, rows):
        share = sum(self.model.leaf_values(self._components(rows))) / len(self.model.roots)
        return _log_of_votes(share, self.n_trees)

    def _components(self, rows):
        return ((rows - self.middle) @ self.axes).astype(np.float32)


class BoostingHead(_TreeHead):
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
    _flat = staticmethod(FlatTrees.of_boosting)

    def __init__(self, *, seed=0, n_jobs=None, n_rounds=100, min_leaf=5, learning_rate=0.1):
        self.seed = seed
        self.n_rounds = n_rounds
        self.min_leaf = min_leaf
        self.learning_rate = learning_rate

    def _learn(self, rows, codes, class_weight):
        self.model = HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.n_rounds,
            min_samples_leaf=self.min_leaf,
            early_stopping=False,
            random_state=self.seed,
        ).fit(rows, codes, sample_weight=class_weight[codes])
        self.start = np.ravel(self.model._baseline_prediction)

    def _say_learned(self, rows):
        return _two_columns(self.model.decision_function(rows).reshape(len(rows), -1))

    def _say_flat(self, rows):
        raw = np.tile(self.start, (len(rows), 1))
        for number, value in enumerate(self.model.leaf_values(rows.astype(float))):
            raw[:, number % len(self.start)] += value[:, 0]
        return _two_columns(raw)


HEADS = {"logistic": LogisticHead, "knn": NeighbourHead, "forest": ForestHead, "boosting": BoostingHead}
"""What `head=` may be."""


def _directions(rows):
    """Rows of unit length; zeros stay."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(length > 0, length, 1))


def _two_columns(raw):
    """Log-odds of the second of two classes as a column for each; of more classes as they are."""
    return raw if raw.shape[1] > 1 else np.column_stack([np.zeros(len(raw)), raw])


def _log_of_votes(share, n_votes):
    """Logarithm of shares of votes after one vote more, spread over all classes."""
    return np.log((n_votes * share + 1 / share.shape[1]) / (n_votes + 1))
