"""Objects whose features are most alike: exactly for thousands, by an index on disk for millions."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from aqqua_science import __version__
from aqqua_science.features.archive import refuse_foreign
from aqqua_science.files import replacing, write_json
from aqqua_science.optional import require, versions
from aqqua_science.progress import progress_bar

METRICS = {"cosine": ("cos", "f16"), "euclidean": ("l2sq", "f32")}
"""Metric -> usearch's name of it, and how an index stores numbers: directions need less than lengths."""

EXACT_BELOW = 50_000
"""So many objects are compared with every query in a few milliseconds; an index is not worth its mistakes."""

ROWS = 8_192
"""Objects that are read at a time."""

GROUPS = 256
"""Columns of distances are looked at in so many groups."""

CONNECTIVITY = 16
EXPANSION = 128
"""Links of an object, and candidates that are kept while inserting and searching (Malkov & Yashunin's M and ef)."""

_CELLS = 2**22


def neighbours(features, *, k=10, index=None, metric="cosine", exact_below=EXACT_BELOW, threads=1):
    """
    Make features searchable for the objects that are most alike.

    Fewer objects than `exact_below` are held in memory and compared one by one. For more, a graph of neighbours is
    built (hierarchical navigable small worlds), which finds nearly all of the nearest in a millisecond, whatever the
    number of objects. On disk it is built once and then read in place, without filling memory.

    Parameters
    ----------
    features : xarray.DataArray or array_like, shape (object, feature)
        Rows with NaN, of images that could not be read, are never found.
    k : int
        How many neighbours `find` gives unless it is told otherwise.
    index : str or pathlib.Path, optional
        The file of the graph; a note of the same name and `.json` beside it tells what it is of. If it is there, it is
        opened. Without one the graph stays in memory.
    metric : {"cosine", "euclidean"}
    exact_below : int
    threads : int
        That build the graph. One always builds the same graph; 0 takes all cores.

    Returns
    -------
    Neighbours

    Raises
    ------
    ValueError
        If there is nothing to search in, no such metric, or `index` is of other features.
    MissingDependency
        If an index is needed and usearch is not installed.

    References
    ----------
    Malkov & Yashunin (2020), IEEE TPAMI 42, 824-836, https://doi.org/10.1109/TPAMI.2018.2889473

    Examples
    --------
    >>> found = neighbours(np.eye(4)[[0, 1, 1, 2]])
    >>> rows, distances = found.find([0, 1, 0, 0], k=2)
    >>> rows.tolist(), distances.tolist()
    ([[1, 2]], [[0.0, 0.0]])
    """
    if metric not in METRICS:
        msg = f"there is no metric {metric!r}. Pass one of {', '.join(METRICS)}."
        raise ValueError(msg)
    features = as_table(features)
    if len(features) < exact_below:
        return Neighbours(features, k=k, metric=metric, graph=None)
    graph = _build(features, metric, threads) if index is None else _opened(Path(index), features, metric, threads)
    return Neighbours(features, k=k, metric=metric, graph=graph)


class Neighbours:
    """
    Searches features for what is most alike; made by `neighbours`.

    Parameters
    ----------
    features : xarray.DataArray or numpy.ndarray, shape (object, feature)
    k : int
    metric : str
    graph : usearch.index.Index or None
        Without one, all objects are compared.

    Attributes
    ----------
    exact : bool
    fingerprint : str or None
        Of the encoder, if the features tell it.
    """

    def __init__(self, features, *, k, metric, graph):
        self.k, self.metric, self.exact, self._graph = k, metric, graph is None, graph
        self.fingerprint = getattr(features, "attrs", {}).get("fingerprint")
        self._labels = labels_of(features)
        self._n_features = features.shape[1]
        if self.exact:
            values = np.asarray(features, np.float32)
            self._places = np.flatnonzero(np.isfinite(values).all(axis=1))
            self._values = values[self._places]
        n = len(self._places) if self.exact else len(graph)
        if n == 0:
            msg = "there is nothing to search in: no object has finite features."
            raise ValueError(msg)
        self._n = n

    def __repr__(self):
        how = "exact" if self.exact else "by a graph"
        return f"<Neighbours of {self._n:,} objects, {self.metric}, {how}>"

    def find(self, query, k=None):
        """
        Find the objects that are most alike to some features.

        Parameters
        ----------
        query : xarray.DataArray or array_like, shape (query, feature) or (feature,)
            An object that is searched in finds itself.
        k : int, optional

        Returns
        -------
        rows : numpy.ndarray of int, shape (query, k)
            The coordinate `object` of the nearest first, or their places in a bare array; -1 where the graph finds too
            few.
        distances : numpy.ndarray of float32, shape (query, k)
            1 - cosine, or Euclidean; NaN where there are too few.

        Raises
        ------
        ValueError
            If the query is of another encoder, has NaN or the wrong number of features, or `k` is too large.
        """
        k = self.k if k is None else k
        refuse_foreign(query, self.fingerprint)
        values = np.atleast_2d(np.asarray(query, np.float32))
        self._check(values, k)
        if self.exact:
            places, distances = nearest(values, self._values, k, metric=self.metric)
            return self._rows(self._places[places]), distances
        places, distances = self._ask(values, k)
        return np.where(places < 0, -1, self._rows(np.maximum(places, 0))), distances

    def _rows(self, places):
        """How the objects at some places are called."""
        return self._labels.take(places.ravel()).to_numpy().reshape(places.shape)

    def _check(self, values, k):
        """Refuse what cannot be answered."""
        if values.ndim != 2 or values.shape[1] != self._n_features:
            msg = f"a query has {self._n_features} features; got an array of shape {values.shape}."
            raise ValueError(msg)
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            msg = f"query {row} has NaN or infinite features, so nothing is near it. Drop such rows first."
            raise ValueError(msg)
        if not 1 <= k <= self._n:
            msg = f"k is from 1 to the number of objects with features, {self._n:,}; got {k}."
            raise ValueError(msg)

    def _ask(self, values, k):
        """Places and distances of what the graph finds."""
        self._graph.expansion_search = max(EXPANSION, 2 * k)
        found = self._graph.search(_direction(values, self.metric), k)
        places, distances = (np.reshape(a, (len(values), k)) for a in (found.keys, found.distances))
        lacking = np.arange(k) >= np.reshape(getattr(found, "counts", k), (-1, 1))
        distances = np.sqrt(distances) if self.metric == "euclidean" else distances
        return np.where(lacking, -1, places.astype(np.int64)), np.where(lacking, np.float32(np.nan), distances)


def as_table(features):
    """
    Refuse what is no table of features.

    Parameters
    ----------
    features : xarray.DataArray or array_like, shape (object, feature)

    Returns
    -------
    xarray.DataArray or numpy.ndarray
        The same, not yet read if it was not.

    Raises
    ------
    ValueError
        If it has other dimensions, or no object or feature.
    """
    table = features if hasattr(features, "shape") and hasattr(features, "dtype") else np.asarray(features)
    if len(table.shape) != 2 or 0 in table.shape or np.dtype(table.dtype).kind not in "fiu":
        msg = f"features are numbers of shape (object, feature), none of them 0; got shape {tuple(table.shape)}."
        raise ValueError(msg)
    return table


def labels_of(features):
    """
    Tell how the objects of features are called.

    Parameters
    ----------
    features : xarray.DataArray or array_like

    Returns
    -------
    pandas.Index
        The coordinate `object`, or their places.
    """
    named = hasattr(features, "indexes") and "object" in features.indexes
    return features.indexes["object"] if named else pd.RangeIndex(len(features), name="object")


def nearest(query, base, k, *, metric="euclidean"):
    """
    Compare everything with everything, block by block.

    Parameters
    ----------
    query : numpy.ndarray of float32, shape (query, feature)
    base : numpy.ndarray of float32, shape (object, feature)
    k : int
    metric : {"cosine", "euclidean"}

    Returns
    -------
    places : numpy.ndarray of int64, shape (query, k)
        Nearest first; of equals the first.
    distances : numpy.ndarray of float32, shape (query, k)
    """
    query, base = (_direction(np.asarray(values, np.float32), metric) for values in (query, base))
    # Around their own centre, squares of distances lose less to rounding.
    centre = base.mean(axis=0, dtype=np.float64).astype(np.float32)
    query, base = query - centre, base - centre
    squares = np.einsum("ij,ij->i", base, base)
    step = max(1, min(1_024, _CELLS // (k * base.shape[1])))
    parts = [_nearest(query[a : a + step], base, k, squares) for a in range(0, len(query), step)]
    places, distances = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    return places, (distances**2 / 2 if metric == "cosine" else distances).astype(np.float32)


def _direction(values, metric):
    """Rows of length 1, where only their direction counts."""
    if metric != "cosine":
        return values
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1)


def _nearest(query, base, k, squares):
    """The k nearest to a few queries: chosen block by block, then measured directly."""
    places, best = np.empty((len(query), 0), np.int64), np.empty((len(query), 0), np.float32)
    for first in range(0, len(base), ROWS):
        block = slice(first, first + ROWS)
        squared = squares[block] - 2 * query @ base[block].T
        columns = _shortlist(squared, k)
        best = np.concatenate([best, np.take_along_axis(squared, columns, axis=1)], axis=1)
        places = np.concatenate([places, columns + first], axis=1)
        if best.shape[1] > k:
            chosen = np.argpartition(best, k - 1, axis=1)[:, :k]
            best, places = (np.take_along_axis(a, chosen, axis=1) for a in (best, places))
    distances = np.linalg.norm(base[places].astype(np.float64) - query[:, None], axis=2)
    order = np.lexsort((places, distances), axis=1)
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(distances, order, axis=1)


def _shortlist(values, k):
    """
    Columns among which the k smallest values of each row are.

    They lie in the k groups of columns whose minima are smallest, which is a tenth of the work of sorting out all.
    """
    if 4 * k > GROUPS or values.shape[1] % GROUPS:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    groups = values.reshape(len(values), -1, GROUPS)
    chosen = np.argpartition(groups.min(axis=1), k - 1, axis=1)[:, None, :k]
    return (chosen + GROUPS * np.arange(groups.shape[1])[:, None]).reshape(len(values), -1)


def _build(features, metric, threads):
    """A graph of the objects that have features."""
    usearch = require("usearch.index", for_="features")
    name, dtype = METRICS[metric]
    graph = usearch.Index(
        ndim=features.shape[1], metric=name, dtype=dtype, connectivity=CONNECTIVITY, expansion_add=EXPANSION,
        expansion_search=EXPANSION, enable_key_lookups=False,
    )  # fmt: skip
    for first in progress_bar(range(0, len(features), ROWS), desc="linking neighbours"):
        values = np.asarray(features[first : first + ROWS], np.float32)
        usable = np.flatnonzero(np.isfinite(values).all(axis=1))
        if len(usable):
            graph.add(usable + first, _direction(values[usable], metric), threads=threads)
    return graph


def _opened(path, features, metric, threads):
    """A graph on disk, built if it is not there."""
    note, about = path.with_name(path.name + ".json"), _identity(features, metric)
    usearch = require("usearch.index", for_="features")
    if not (path.exists() and note.exists()):
        note.unlink(missing_ok=True)
        graph = _build(features, metric, threads)
        with replacing(path) as part:
            graph.save(str(part))
        write_json({**about, "aqqua_science": __version__, **versions("usearch")}, note)
    found = json.loads(note.read_text(encoding="utf-8"))
    differ = [
        f"its {name} is {found.get(name)!r}, not {value!r}" for name, value in about.items() if found.get(name) != value
    ]
    if differ:
        msg = f"{path} is an index of other features: {'; '.join(differ)}. Pass another place in index=, or delete it."
        raise ValueError(msg)
    return usearch.Index.restore(str(path), view=True)


def _identity(features, metric):
    """What tells features apart: encoder, shape and 64 of their rows."""
    some = np.unique(np.linspace(0, len(features) - 1, 64).astype(int))
    values = np.ascontiguousarray(np.asarray(features[some]), np.float32)
    return {
        "fingerprint": getattr(features, "attrs", {}).get("fingerprint"),
        "metric": metric,
        "objects": len(features),
        "features": int(features.shape[1]),
        "sample": hashlib.sha256(values.tobytes()).hexdigest()[:16],
    }
