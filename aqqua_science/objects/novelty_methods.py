"""How unlike known objects another is: four published ways, whose arrays a file can keep."""

import numpy as np
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from .array_files import StandardisedArrays
from .vectors import Scale

_PRINCIPAL_VARIANCE = 0.9
_SHRINKAGES = np.logspace(-6, 0, 19)
_FOLDS_OF_SHRINKAGE = 5


class _Method(StandardisedArrays):
    """What the ways share: learning from standardised features, and scoring."""

    def __init__(self, *, n_neighbors=10, n_components=None):
        self.n_neighbors, self.n_components = n_neighbors, n_components

    def fit(self, x, labels, *, part=1.0):
        """
        Learn what known objects look like.

        Parameters
        ----------
        x : numpy.ndarray, shape (object, feature)
        labels : numpy.ndarray of int, shape (object,)
            Number of the taxon.
        part : float
            Which share of all known objects these are.

        Returns
        -------
        object
            The method itself.
        """
        scale = Scale(x)
        self.center, self.spread = scale.mean, scale.spread
        self._learn(self._standardised(x), labels, part)
        return self

    def score(self, x):
        """
        Tell how novel objects are.

        Parameters
        ----------
        x : numpy.ndarray, shape (object, feature)

        Returns
        -------
        numpy.ndarray, shape (object,)
        """
        return self._say(self._standardised(x))


class Mahalanobis(_Method):
    """Squared distance to the nearest class mean, whitened by the shared covariance."""

    kept = ("whiten", "means")

    def _learn(self, x, labels, part):
        present = np.unique(labels)
        means = np.stack([x[labels == label].mean(axis=0) for label in present])
        residuals = x - means[np.searchsorted(present, labels)]
        values, vectors = _shrunk(residuals, _best_shrinkage(residuals))
        self.whiten = vectors / np.sqrt(values)
        self.means = means @ self.whiten

    def _say(self, x):
        x = x @ self.whiten
        least = np.full(len(x), np.inf)
        for mean in self.means:
            least = np.minimum(least, np.square(x - mean).sum(axis=1))
        return least


class Nearest(_Method):
    """Distance to the n-th nearest known object on the unit sphere."""

    kept = ("points",)

    def _learn(self, x, labels, part):
        # Among fewer objects the same distance is reached by a nearer neighbour.
        n_neighbors = max(min(1, self.n_neighbors), round(self.n_neighbors * part))
        if not 1 <= n_neighbors <= len(x):
            msg = f"n_neighbors must lie between 1 and the {len(x)} objects of a fit; got {n_neighbors}."
            raise ValueError(msg)
        self.points = _unit(x)
        self.index = NearestNeighbors(n_neighbors=n_neighbors).fit(self.points)

    def restore(self, arrays):
        """Take what a file kept."""
        super().restore(arrays)
        self.index = NearestNeighbors(n_neighbors=self.n_neighbors).fit(self.points)
        return self

    def _say(self, x):
        return self.index.kneighbors(_unit(x))[0][:, -1]


class Energy(_Method):
    """Minus the log of the summed exponentials of the logits of a logistic regression."""

    kept = ("weights", "biases")

    def _learn(self, x, labels, part):
        # From fewer objects the same penalty would draw the logits nearer to zero.
        head = LogisticRegression(max_iter=1000, C=1 / part).fit(x, labels)
        two = len(head.classes_) == 2
        # Two taxa are stored as one difference; halves of it are the symmetric pair that more taxa would have.
        self.weights = np.concatenate([-head.coef_, head.coef_]) / 2 if two else head.coef_
        self.biases = np.concatenate([-head.intercept_, head.intercept_]) / 2 if two else head.intercept_

    def _logits(self, x):
        return x @ self.weights.T + self.biases

    def _say(self, x):
        return -logsumexp(self._logits(x), axis=1)


class VirtualLogit(Energy):
    """Length outside the principal directions, as one more logit, against all others."""

    kept = (*Energy.kept, "origin", "rest", "alpha")

    def _learn(self, x, labels, part):
        super()._learn(x, labels, part)
        self.origin = -np.linalg.pinv(self.weights) @ self.biases
        values, vectors = np.linalg.eigh(np.cov((x - self.origin).T, bias=True))
        share = np.cumsum(values[::-1]) / values.sum()
        kept = self.n_components or int(np.searchsorted(share, _PRINCIPAL_VARIANCE) + 1)
        if kept >= x.shape[1]:
            msg = f"n_components must leave a direction over: less than {x.shape[1]} features; got {kept}."
            raise ValueError(msg)
        # A file keeps no gaps between columns, and the last bits of a product depend on them.
        self.rest = np.ascontiguousarray(vectors[:, : x.shape[1] - kept])
        self.alpha = self._logits(x).max(axis=1).mean() / self._length(x).mean()

    def _length(self, x):
        return np.linalg.norm((x - self.origin) @ self.rest, axis=1)

    def _say(self, x):
        return self.alpha * self._length(x) + super()._say(x)


METHODS = {"mahalanobis": Mahalanobis, "knn": Nearest, "energy": Energy, "vim": VirtualLogit}


class GivenHead:
    """
    Energy of the logits of somebody else's classifier.

    Parameters
    ----------
    head : callable
        Takes features, returns logits.
    """

    def __init__(self, head):
        self.head = head

    def score(self, x):
        """
        Tell how novel objects are.

        Parameters
        ----------
        x : numpy.ndarray, shape (object, feature)

        Returns
        -------
        numpy.ndarray, shape (object,)

        Raises
        ------
        ValueError
            If the head returns no logits.
        """
        values = np.asarray(self.head(x), dtype=float)
        if values.ndim != 2 or len(values) != len(x) or not np.isfinite(values).all():
            msg = f"head must return finite logits of shape ({len(x)}, n_taxa); got {values.shape}."
            raise ValueError(msg)
        energy = logsumexp(values, axis=1)
        if len(x) and np.abs(energy).max() < 1e-6:
            msg = "head returns log-probabilities, whose energy is always zero. Give logits, before the softmax."
            raise ValueError(msg)
        return -energy


def _shrunk(residuals, shrinkage):
    """Eigenvalues and vectors of a covariance drawn towards equal variances in all directions."""
    values, vectors = np.linalg.eigh(residuals.T @ residuals / len(residuals))
    return (1 - shrinkage) * values.clip(0) + shrinkage * values.mean(), vectors


def _best_shrinkage(residuals):
    """Shrinkage under which residuals not used for the covariance are most likely."""
    fold = np.random.default_rng(0).permutation(len(residuals)) % _FOLDS_OF_SHRINKAGE
    loss = np.zeros(len(_SHRINKAGES))
    for number in range(_FOLDS_OF_SHRINKAGE):
        values, vectors = _shrunk(residuals[fold != number], _SHRINKAGES[:, None])
        unseen = np.square(residuals[fold == number] @ vectors).sum(axis=0)
        loss += np.sum(unseen / values + np.log(values) * np.sum(fold == number), axis=1)
    return _SHRINKAGES[loss.argmin()]


def _unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
