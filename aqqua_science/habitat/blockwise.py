"""Functions of predictors over a grid, block by block: what a map in memory, on disk or on a cluster has in common."""

import dask
import dask.array as da
import numpy as np
import pandas as pd
from joblib import effective_n_jobs

from aqqua_science.schema import SchemaError, nearest_name

DIMENSIONS = ("month", "time", "depth", "latitude", "longitude")
"""Dimensions that predictors may have, in the order of the field."""

HOUR = "hour"
"""A further dimension of predictors that change in the course of a day: results are means over it."""

GAP, LAND = 1, 2
"""Status of a cell that lacks some predictor, and of one that is land or below the sea floor."""

BLOCK_VALUES = 2_000_000
"""Most values that a block of the result holds."""


def grid_predictors(model, env):
    """
    Predictors of a model out of a grid, in the model's order.

    Parameters
    ----------
    model : scikit-learn regressor
        Fitted on named columns.
    env : xarray.Dataset

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    SchemaError
        If a predictor is missing from `env`, or has dimensions other than `DIMENSIONS`.
    ValueError
        If the model was fitted without column names.
    """
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        msg = "the model knows no predictor names: it was fitted on a bare array. Fit it on a DataFrame."
        raise ValueError(msg)
    for name in names:
        if name not in env.data_vars:
            msg = (
                f"env has no predictor {name!r}.{nearest_name(name, env.data_vars)} "
                f"Its variables are: {', '.join(map(str, env.data_vars))}."
            )
            raise SchemaError(msg)
    predictors = env[list(names)]
    dims = set(predictors.dims)
    if not dims <= {*DIMENSIONS, HOUR} or {"month", "time"} <= dims:
        msg = (
            f"predictors may have the dimensions {DIMENSIONS} (and {HOUR}, over which results are averaged), "
            f"and month or time but not both; got {sorted(dims)}. "
            "Rename or select the others; open_environment does so for files."
        )
        raise SchemaError(msg)
    return predictors


def block_lengths(predictors, *, per_cell):
    """
    Blocks within the chunks of the predictors and small enough, whole parallels first.

    Parameters
    ----------
    predictors : xarray.Dataset
    per_cell : int
        Values of the result in each cell.

    Returns
    -------
    dict of str to int
    """
    lengths = {HOUR: predictors.sizes[HOUR]} if HOUR in predictors.dims else {}
    cells = max(1, BLOCK_VALUES // (per_cell * lengths.get(HOUR, 1)))
    for dim in reversed(dims_of(predictors)):
        chunks = [max(p.chunksizes.get(dim, [p.sizes[dim]])) for p in predictors.values() if dim in p.dims]
        lengths[dim] = min(*chunks, cells, predictors.sizes[dim])
        cells = max(1, cells // lengths[dim])
    return lengths


def dims_of(predictors):
    """
    Dimensions of a grid in the order of the field.

    Parameters
    ----------
    predictors : xarray.Dataset

    Returns
    -------
    list of str
    """
    return [dim for dim in DIMENSIONS if dim in predictors.dims]


def threads_of(model):
    """
    Context in which Dask uses as many threads as a model does.

    Parameters
    ----------
    model : scikit-learn regressor

    Returns
    -------
    dask.config.set
    """
    return dask.config.set(scheduler="threads", num_workers=effective_n_jobs(getattr(model, "n_jobs", None)))


def solid_predictors(predictors):
    """
    Positions of the predictors whose joint absence means land or sea floor.

    Parameters
    ----------
    predictors : xarray.Dataset
        On Dask.

    Returns
    -------
    list of int
    """
    gaps = dask.compute([np.isnan(predictor).any() for predictor in predictors.values()])[0]
    gappy = [i for i, gap in enumerate(gaps) if gap]
    in_depth = [i for i, predictor in enumerate(predictors.values()) if "depth" in predictor.dims]
    return [i for i in gappy if i in in_depth] or gappy


def map_blocks(function, predictors, *, dtype, new_axes=None, **keywords):
    """
    Apply a function to aligned blocks of all predictors; those without some dimension get it with length 1.

    Where predictors change with the hour of the day, the result is the mean over the hours.

    Parameters
    ----------
    function : callable
        Of one array per predictor.
    predictors : xarray.Dataset
        On Dask.
    dtype : numpy.dtype
        Of the result.
    new_axes : dict of str to int, optional
        Axes that the result has before those of the grid.
    **keywords
        For the function.

    Returns
    -------
    dask.array.Array
    """
    dims = dims_of(predictors)
    out = [*(new_axes or {}), *dims]
    if HOUR in predictors.dims:
        dims, keywords = [*dims, HOUR], keywords | {"function": function, "result_dtype": dtype}
        function = _mean_of_day
    arrays = [
        predictor.expand_dims([dim for dim in dims if dim not in predictor.dims]).transpose(*dims).data
        for predictor in predictors.values()
    ]
    pairs = [part for array in arrays for part in (array, dims)]
    meta = np.empty((0,) * len(out), dtype=dtype)
    how = {"new_axes": new_axes, "dtype": dtype, "meta": meta, "concatenate": True}
    return da.blockwise(function, out, *pairs, **how, **keywords)


def _mean_of_day(*predictors, function, result_dtype, **keywords):
    return function(*predictors, **keywords).mean(axis=-1).astype(result_dtype)


def cell_status(*predictors, solid):
    """
    Tell whether each cell has all predictors (0), lacks some (`GAP`), or is land or sea floor (`LAND`).

    Parameters
    ----------
    *predictors : numpy.ndarray
        Blocks that broadcast together.
    solid : list of int
        Of `solid_predictors`.

    Returns
    -------
    numpy.ndarray of int8
    """
    missing = np.isnan(np.broadcast_arrays(*predictors))
    land = missing[solid].all(axis=0) if solid else False
    return np.where(land, LAND, missing.any(axis=0) * GAP).astype(np.int8)


def fill_cells(function, predictors, *, n_values, model, solid):
    """
    Values of a function of the model in the cells that it may predict; NaN in the others.

    Parameters
    ----------
    function : callable
        Of the predictors of some cells as a table; gives an array (n_values, n_cells).
    predictors : sequence of numpy.ndarray
        Blocks that broadcast together, in the model's order.
    n_values : int
    model : scikit-learn regressor
        One whose `missing` is "impute" or "allow" predicts cells that lack some predictor.
    solid : list of int
        Of `solid_predictors`.

    Returns
    -------
    numpy.ndarray of float32, shape (n_values, ...)
    """
    status = cell_status(*predictors, solid=solid)
    wanted = status == 0 if getattr(model, "missing", "refuse") == "refuse" else status < LAND
    values = np.full((n_values, *status.shape), np.nan, dtype=np.float32)
    if wanted.any():
        columns = [block[wanted].astype(np.float32) for block in np.broadcast_arrays(*predictors)]
        values[:, wanted] = function(pd.DataFrame(dict(zip(model.feature_names_in_, columns, strict=True))))
    return values
