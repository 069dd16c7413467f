"""A map of a feature space: objects that are alike lie close together."""

import json
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

from aqqua_science.features.archive import refuse_foreign
from aqqua_science.features.search import ROWS, as_table, labels_of, nearest
from aqqua_science.files import replacing
from aqqua_science.images.shards import StoreError
from aqqua_science.optional import require
from aqqua_science.progress import progress_bar

AXES = ("x", "y", "z")

_FEWEST = 4
_ARRAYS = ("mean", "scale", "components", "landmarks", "positions")


def layout(
    features, *, n_components=2, pca=50, landmarks=50_000, n_neighbors=15, min_dist=0.1, random_state=0, model=None
):
    """
    Lay objects out so that those that are alike lie close together.

    Up to `landmarks` objects, drawn at random, are laid out by UMAP; each of the others is placed among the landmarks
    that are nearest to it. Memory does not grow with the number of objects.

    Parameters
    ----------
    features : xarray.DataArray or array_like, shape (object, feature)
    n_components, pca, landmarks, n_neighbors, min_dist, random_state
        As for `Layout`.
    model : Layout, optional
        A fitted one, whose map is used instead of a new one.

    Returns
    -------
    xarray.DataArray, shape (object, axis)
        Named `x`, `y` (and `z`) along `axis`, with the coordinates that the objects had. NaN where features are NaN.

    Raises
    ------
    ValueError
        If there are fewer than 4 objects with features, or they are of another encoder than the model.
    MissingDependency
        If umap-learn is not installed.

    References
    ----------
    McInnes, Healy & Melville (2018), https://arxiv.org/abs/1802.03426

    Examples
    --------
    >>> placed = layout(np.random.default_rng(0).normal(size=(30, 4)))
    >>> placed.sizes["object"], placed["axis"].values.tolist()
    (30, ['x', 'y'])
    """
    if model is None:
        model = Layout(
            n_components=n_components, pca=pca, landmarks=landmarks, n_neighbors=n_neighbors, min_dist=min_dist,
            random_state=random_state,
        ).fit(features)  # fmt: skip
    return model.transform(features)


class Layout:
    """
    A map of a feature space onto which new objects can be placed.

    Features are brought to unit variance, since those that are measured differ in units, and reduced to principal
    components. UMAP starts from the first of these, which keeps the large-scale arrangement (Kobak & Linderman 2021).
    A new object is placed at the mean of the positions of its nearest landmarks, weighted by the inverse square of
    their distances; an object that equals a landmark is placed there.

    Parameters
    ----------
    n_components : int
        Dimensions of the map, 1 to 3.
    pca : int or None
        Principal components that are kept, if there are more features; None keeps all.
    landmarks : int
        Objects that UMAP lays out at most.
    n_neighbors : int
        Small values show detail, large ones the whole.
    min_dist : float
        How close points may lie.
    random_state : int

    Attributes
    ----------
    mean_, scale_ : numpy.ndarray, shape (feature,)
    components_ : numpy.ndarray, shape (component, feature)
    landmarks_ : numpy.ndarray of float32, shape (landmark, component)
    positions_ : numpy.ndarray of float32, shape (landmark, axis)
    fingerprint_ : str or None
        Of the encoder of the features.

    References
    ----------
    Kobak & Linderman (2021), Nature Biotechnology 39, 156-157, https://doi.org/10.1038/s41587-020-00809-z
    """

    def __init__(self, *, n_components=2, pca=50, landmarks=50_000, n_neighbors=15, min_dist=0.1, random_state=0):
        if not 1 <= n_components <= len(AXES):
            msg = f"a map has 1 to {len(AXES)} dimensions; got n_components={n_components}."
            raise ValueError(msg)
        self.n_components, self.pca, self.landmarks = n_components, pca, landmarks
        self.n_neighbors, self.min_dist, self.random_state = n_neighbors, min_dist, random_state

    def fit(self, features):
        """
        Lay out a sample of objects.

        Parameters
        ----------
        features : xarray.DataArray or array_like, shape (object, feature)

        Returns
        -------
        Layout
            Itself.
        """
        features = as_table(features)
        sample = _sample(features, self.landmarks, np.random.default_rng(self.random_state))
        if len(sample) < _FEWEST:
            msg = f"a map needs {_FEWEST} objects or more with finite features; there are {len(sample)}."
            raise ValueError(msg)
        self.fingerprint_ = getattr(features, "attrs", {}).get("fingerprint")
        self._fit_components(sample)
        self.landmarks_ = self._reduce(sample)
        self.positions_ = self._lay_out(self.landmarks_)
        return self

    def _fit_components(self, sample):
        """Mean, scale and principal components, whose largest weight is positive."""
        self.mean_ = sample.mean(axis=0, dtype=np.float64)
        spread = sample.std(axis=0, dtype=np.float64)
        self.scale_ = np.where(spread > 1e-12 * np.abs(self.mean_), spread, np.inf)
        scaled = (sample - self.mean_) / self.scale_
        _, vectors = np.linalg.eigh(scaled.T @ scaled)
        n = min(sample.shape[1], self.pca or sample.shape[1])
        components = vectors[:, ::-1][:, :n].T
        largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
        self.components_ = components * np.sign(largest)

    def _reduce(self, values):
        """Principal components of objects."""
        return ((values - self.mean_) / self.scale_ @ self.components_.T).astype(np.float32)

    def _lay_out(self, reduced):
        """Positions of the landmarks, by UMAP from exact neighbours."""
        k = min(self.n_neighbors, len(reduced) - 1)
        knn = nearest(reduced, reduced, k)
        with warnings.catch_warnings():
            # That TensorFlow is not there, and that UMAP cannot place new objects itself: neither is needed.
            warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
            warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)
            umap = require("umap", for_="features")
            mapper = umap.UMAP(
                n_neighbors=k, n_components=self.n_components, min_dist=self.min_dist, init=self._start(reduced),
                n_jobs=1, random_state=self.random_state, precomputed_knn=knn,
            )  # fmt: skip
            return mapper.fit_transform(reduced).astype(np.float32)

    def _start(self, reduced):
        """Where objects lie before UMAP moves them: their first components, within 10 by 10."""
        start = np.zeros((len(reduced), self.n_components), np.float32)
        wide = reduced[:, : self.n_components]
        start[:, : wide.shape[1]] = 10 * (wide - wide.min(axis=0)) / max(float(np.ptp(wide, axis=0).max()), 1e-12)
        return start

    def transform(self, features):
        """
        Place objects on the map.

        Parameters
        ----------
        features : xarray.DataArray or array_like, shape (object, feature)

        Returns
        -------
        xarray.DataArray, shape (object, axis)
            NaN where features are NaN.

        Raises
        ------
        ValueError
            If the features are of another encoder, or of another number.
        """
        features = as_table(features)
        refuse_foreign(features, self.fingerprint_)
        if features.shape[1] != len(self.mean_):
            msg = f"this map is of {len(self.mean_)} features; these have {features.shape[1]}."
            raise ValueError(msg)
        placed = np.full((len(features), self.n_components), np.nan, np.float32)
        for first in progress_bar(range(0, len(features), ROWS), desc="placing objects"):
            values = np.asarray(features[first : first + ROWS], np.float32)
            usable = np.isfinite(values).all(axis=1)
            if usable.any():
                placed[first : first + ROWS][usable] = self._place(self._reduce(values[usable]))
        return _with_coordinates(placed, features)

    def _place(self, reduced):
        """Means of the positions of the nearest landmarks."""
        places, distances = nearest(reduced, self.landmarks_, min(self.n_neighbors, len(self.landmarks_)))
        # Relative to the nearest one; rounding hides differences below a millionth of the extent of the whole.
        floor = 1e-6 * np.abs(self.landmarks_).max()
        weights = (np.maximum(distances[:, :1], floor) / np.maximum(distances, floor)) ** 2
        same = distances <= floor
        weights = np.where(same.any(axis=1, keepdims=True), same, weights)
        return np.einsum("ij,ijk->ik", weights / weights.sum(axis=1, keepdims=True), self.positions_[places])

    def save(self, path):
        """
        Write the map into one file, without pickles.

        Parameters
        ----------
        path : str or pathlib.Path
            Ends in `.npz`.
        """
        names = ("n_components", "pca", "landmarks", "n_neighbors", "min_dist", "random_state")
        about = {"settings": {name: getattr(self, name) for name in names}, "fingerprint": self.fingerprint_}
        arrays = {name: getattr(self, f"{name}_") for name in _ARRAYS}
        with replacing(path) as part, part.open("wb") as stream:
            np.savez(stream, about=np.array(json.dumps(about)), **arrays)


def open_layout(path):
    """
    Read a map that `Layout.save` wrote.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    Layout

    Raises
    ------
    StoreError
        If there is none, or it is damaged.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as saved:
            about = json.loads(str(saved["about"]))
            model = Layout(**about["settings"])
            for name in _ARRAYS:
                setattr(model, f"{name}_", saved[name])
    except (OSError, KeyError, ValueError, TypeError) as error:
        msg = f"{path} holds no layout, or it is damaged: {error}. Write one with Layout(...).fit(features).save(path)."
        raise StoreError(msg) from error
    model.fingerprint_ = about["fingerprint"]
    return model


def _sample(features, most, rng):
    """Objects with finite features, drawn without replacement, in their order."""
    n = len(features)
    chosen = np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False, shuffle=False))
    edges = np.searchsorted(chosen, np.arange(0, n + ROWS, ROWS))
    parts = []
    for first, start, stop in zip(range(0, n, ROWS), edges[:-1], edges[1:], strict=True):
        values = np.asarray(features[first : first + ROWS], np.float32)[chosen[start:stop] - first]
        parts.append(values[np.isfinite(values).all(axis=1)])
    return np.concatenate(parts)


def _with_coordinates(placed, features):
    """Positions with what was known of the objects."""
    axes = list(AXES[: placed.shape[1]])
    known = getattr(features, "coords", {})
    kept = {name: coordinate for name, coordinate in known.items() if coordinate.dims == ("object",)}
    found = {"object": labels_of(features), **kept, "axis": axes}
    attrs = dict(getattr(features, "attrs", {}))
    return xr.DataArray(placed, dims=("object", "axis"), coords=found, attrs=attrs, name="layout")
