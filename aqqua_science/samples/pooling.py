"""Means over many cells and steps of a grid for each sample, chunk by chunk, with how many values and their spread."""

import numpy as np

from .lookup import chunk_edges, groups, load_chunk
from .surroundings import Boxes


def pool(array, boxes, n_samples, *, sea, reduce=None, block=100_000):
    """
    Average the values of an array in the boxes of each sample.

    Parameters
    ----------
    array : numpy.ndarray or dask.array.Array
        Numbers; the last two axes of `boxes` are latitude and longitude, and one more follows with `reduce`. Every
        chunk that is needed is loaded once.
    boxes : Boxes
        No cell twice for one sample.
    n_samples : int
    sea : numpy.ndarray of bool (latitude, longitude)
        Cells that count.
    reduce : callable, optional
        Takes samples (an int array) and their values (samples, last axis), gives one value for each.
    block : int
        Values taken at a time.

    Returns
    -------
    count : numpy.ndarray of int64, shape (n_samples,)
        Values that are not NaN.
    mean, sd : numpy.ndarray of float, shape (n_samples,)
        NaN where there are none; the standard deviation (with count - 1) of a single value is NaN.

    Examples
    --------
    >>> boxes = Boxes(np.array([0, 2]), np.array([[0, 1], [1, 0]]), np.array([[1, 2], [1, 1]]))
    >>> pool(np.arange(6.0).reshape(2, 3), boxes, 3, sea=np.ones((2, 3), dtype=bool))
    (array([2, 0, 1]), array([1.5, nan, 3. ]), array([0.70710678,        nan,        nan]))
    """
    if reduce is not None and hasattr(array, "chunks"):
        array = array.rechunk({array.ndim - 1: -1})
    count, mean, squares = np.zeros(n_samples, dtype=np.int64), np.zeros(n_samples), np.zeros(n_samples)
    for data, origin, part in _loaded(array, boxes):
        for some in _blocks(part, block):
            owner, index = some.cells()
            values = data[tuple(i - o for i, o in zip(index, origin, strict=True))]
            values = (values if reduce is None else reduce(owner, values)).astype(float)
            known = ~np.isnan(values) & sea[index[-2], index[-1]]
            _add(count, mean, squares, owner[known], values[known])
    mean[count == 0] = np.nan
    return count, mean, np.sqrt(squares / np.where(count > 1, count - 1, np.nan))


def _loaded(array, boxes):
    """The needed chunks in memory, with their origins and the parts of the boxes that lie in them."""
    edges = chunk_edges(array)[: boxes.first.shape[1]]
    for axis, edge in enumerate(edges):
        boxes = boxes.split(axis, edge) if len(edge) > 2 else boxes
    piece = [np.searchsorted(edge, boxes.first[:, axis], side="right") - 1 for axis, edge in enumerate(edges)]
    shape = [len(edge) - 1 for edge in edges]
    for number, rows in groups(np.ravel_multi_index(piece, shape)):
        where = np.unravel_index(number, shape)
        yield load_chunk(array, where), [edge[w] for edge, w in zip(edges, where, strict=True)], boxes.take(rows)


def _blocks(boxes, block):
    """Boxes, a number of values at a time."""
    total = np.cumsum(boxes.length.prod(axis=1))
    start = 0
    while start < len(total):
        stop = max(np.searchsorted(total, (total[start - 1] if start else 0) + block, side="right"), start + 1)
        yield Boxes(boxes.owner[start:stop], boxes.first[start:stop], boxes.length[start:stop])
        start = stop


def _add(count, mean, squares, owner, values):
    """
    Take values (by ascending owner) into count, mean and sum of squared deviations of each owner.

    The deviations are merged as in Chan et al. 1983 (American Statistician 37, 242-247): a sum of squares would lose
    the spread of values that are large beside it.
    """
    if not len(owner):
        return
    start = np.flatnonzero(np.diff(owner, prepend=-1))
    who, fresh = owner[start], np.diff(start, append=len(owner))
    centre = np.add.reduceat(values, start) / fresh
    apart = np.add.reduceat((values - np.repeat(centre, fresh)) ** 2, start)
    before, shift = count[who], centre - mean[who]
    count[who] += fresh
    mean[who] += shift * fresh / count[who]
    squares[who] += apart + shift**2 * before * fresh / count[who]
