"""Values of a grid at many points, read chunk by chunk: every chunk that is needed is loaded once."""

import numpy as np

_ROWS_PER_BLOCK = 100_000


def slices(n, block):
    """
    Cut a run of rows into blocks, at least one.

    Parameters
    ----------
    n, block : int

    Yields
    ------
    slice

    Examples
    --------
    >>> list(slices(5, 3))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    for start in range(0, max(n, 1), block):
        yield slice(start, min(start + block, n))


def blockwise(function, *arrays, block):
    """
    Apply a function to blocks of rows and join what it returns.

    Parameters
    ----------
    function : callable
        Takes as many arrays as are given, returns a tuple of arrays with the same number of rows.
    *arrays : numpy.ndarray
        With equal numbers of rows.
    block : int
        Rows at a time.

    Returns
    -------
    list of numpy.ndarray

    Examples
    --------
    >>> blockwise(np.divmod, np.array([5, 7, 9]), np.array([2, 2, 4]), block=2)
    [array([2, 3, 2]), array([1, 1, 1])]
    """
    parts = [function(*(array[part] for array in arrays)) for part in slices(len(arrays[0]), block)]
    return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]


def read_points(array, index, *, reduce=None, block=_ROWS_PER_BLOCK):
    """
    Read one value per point from an array in memory or on Dask.

    Parameters
    ----------
    array : numpy.ndarray or dask.array.Array
        Numbers, one axis for each entry of `index`, and one more at the end with `reduce`.
    index : sequence of numpy.ndarray of int, each of shape (n,)
        Position of each point along each axis.
    reduce : callable, optional
        Takes the rows (an int array) and their values (rows, last axis), gives one value per row.
    block : int
        Points read at a time.

    Returns
    -------
    numpy.ndarray of float, shape (n,)
        In the array's own floating type, float64 for integers.

    Examples
    --------
    >>> read_points(np.arange(6.0).reshape(2, 3), [np.array([1, 0]), np.array([2, 1])])
    array([5., 1.])
    """
    n = len(index[0])
    found = np.empty(n, dtype=array.dtype if array.dtype.kind == "f" else float)
    if reduce is not None and hasattr(array, "chunks"):
        array = array.rechunk({array.ndim - 1: -1})
    for data, rows, origin in _loaded(array, index, n):
        for part in slices(n if rows is None else len(rows), block):
            chosen = np.arange(part.start, part.stop) if rows is None else rows[part]
            values = data[tuple(i[chosen] - o for i, o in zip(index, origin, strict=True))]
            found[chosen] = values if reduce is None else reduce(chosen, values)
    return found


def _loaded(array, index, n):
    """The array's needed chunks in memory, with the rows each serves (None: all) and its origin."""
    if not hasattr(array, "chunks"):
        yield array, None, [0] * len(index)
        return
    edges = chunk_edges(array)[: len(index)]
    numblocks = array.numblocks[: len(index)]
    # The smallest integer keeps millions of points small, and up to 65,535 chunks sort in linear time.
    of_chunk = np.zeros(n, dtype=np.min_scalar_type(np.prod(numblocks)))
    for position, edge in zip(index, edges, strict=True):
        lengths = np.diff(edge)
        of_chunk *= len(lengths)
        of_chunk += np.repeat(np.arange(len(lengths), dtype=of_chunk.dtype), lengths)[position]
    for chunk, rows in groups(of_chunk):
        where = np.unravel_index(chunk, numblocks)
        yield load_chunk(array, where), rows, [edge[w] for edge, w in zip(edges, where, strict=True)]


def groups(numbers):
    """
    Rows of each number that occurs, in their order.

    Parameters
    ----------
    numbers : numpy.ndarray of int, shape (n,)
        Not negative.

    Yields
    ------
    number : int
    rows : numpy.ndarray of int

    Examples
    --------
    >>> [(int(number), rows.tolist()) for number, rows in groups(np.array([3, 0, 3]))]
    [(0, [1]), (3, [0, 2])]
    """
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(counts := np.bincount(numbers))
    for number in np.flatnonzero(counts):
        yield number, order[ends[number] - counts[number] : ends[number]]


def chunk_edges(array):
    """
    Where the chunks of an array begin and end along each axis; an array in memory is one chunk.

    Parameters
    ----------
    array : numpy.ndarray or dask.array.Array

    Returns
    -------
    list of numpy.ndarray of int

    Examples
    --------
    >>> chunk_edges(np.zeros((2, 3)))
    [array([0, 2]), array([0, 3])]
    """
    return [np.cumsum([0, *lengths]) for lengths in getattr(array, "chunks", [(size,) for size in array.shape])]


def load_chunk(array, where):
    """
    One chunk in memory.

    Parameters
    ----------
    array : numpy.ndarray or dask.array.Array
    where : sequence of int
        Number of the chunk along each of the leading axes.

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> load_chunk(np.zeros((2, 3)), (0, 0)).shape
    (2, 3)
    """
    return np.asarray(array.blocks[tuple(int(w) for w in where)]) if hasattr(array, "chunks") else array
