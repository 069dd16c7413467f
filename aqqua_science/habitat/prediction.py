"""From a fitted model and gridded predictors to a field with one map per member."""

import copy
import json
import os
import shutil
import uuid
from contextlib import nullcontext
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import xarray as xr

from aqqua_science.habitat.blockwise import (
    GAP,
    HOUR,
    LAND,
    block_lengths,
    cell_status,
    dims_of,
    fill_cells,
    grid_predictors,
    map_blocks,
    solid_predictors,
    threads_of,
)
from aqqua_science.progress import dask_progress


def predict_grid(model, env, *, name="biomass", units=None, chunks=None, to=None):
    """
    Predict every member of a model on a grid.

    Works block by block, so that memory holds the result (or nothing of it, with `to`) and a few blocks
    more. A predictor without some dimension, such as bathymetry, counts for all months and depths.

    Parameters
    ----------
    model : BoostedTrees
        Fitted on a table whose columns are variables of `env`.
    env : xarray.Dataset
        Predictors with dimensions out of month (or time), depth, latitude, longitude; other variables are
        ignored. Where some change with the ``hour`` of the day, such as the elevation of the sun, the prediction is
        the mean over the hours. Backed by Dask the result is lazy and computes on whatever cluster is at hand.
    name : str
        Of the predicted variable.
    units : str, optional
        CF units of the predicted variable, those of the target.
    chunks : dict, optional
        Block length along dimensions; makes the result lazy for predictors in memory as well.
    to : str or pathlib.Path, optional
        Write to this new ``.zarr`` or ``.nc`` while predicting. It appears once it is complete.

    Returns
    -------
    xarray.Dataset
        `name` (member, ...) in float32. NaN on land and below the sea floor, that is where every predictor
        with gaps is missing (every one with gaps and a depth, if there are such). Elsewhere a cell that lacks
        some predictor is NaN too, unless ``model.missing`` is "impute" or "allow". Such cells are counted
        in the attributes ``n_cells_predictor_missing`` and ``share_predictor_missing`` (of all cells at sea).
        With `to`, the dataset opened from there.

    Raises
    ------
    SchemaError
        If a predictor is missing from `env`, or has dimensions other than those above.
    FileExistsError
        If `to` exists already.
    ValueError
        If the model was fitted without column names, or `to` is neither ``.zarr`` nor ``.nc``.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> import pandas as pd
    >>> from aqqua_science.habitat import BoostedTrees
    >>> table = pd.DataFrame({"temperature": np.linspace(0, 30, 100)})
    >>> model = BoostedTrees(n_members=3, n_trees=10).fit(table, table["temperature"] ** 2)
    >>> env = regular_grid(10.0)
    >>> env["temperature"] = 30 * np.cos(np.radians(env["latitude"]))
    >>> field = predict_grid(model, env, units="mg m-3")
    >>> dict(field["biomass"].sizes)
    {'member': 3, 'latitude': 18}
    """
    predictors = grid_predictors(model, env)
    path = None if to is None else _checked_path(to)
    in_memory = not predictors.chunks
    predictors = predictors.chunk(chunks or block_lengths(predictors, per_cell=len(model.models_)))
    with threads_of(model) if in_memory else nullcontext():
        field = _field(model, predictors, name=name, units=units).assign_coords(_depth_bounds(env))
        if path is not None:
            return _write(field, path, name=name)
        return _load(field, name=name) if in_memory and chunks is None else field


def _depth_bounds(env):
    """The bounds of the levels, where they are known: a budget adds up over them."""
    name = env["depth"].attrs.get("bounds") if "depth" in env.dims else None
    return {name: env.coords[name]} if name in env.coords else {}


def _checked_path(to):
    path = Path(to)
    if path.suffix not in (".zarr", ".nc"):
        msg = f"to must end in .zarr or .nc; got {path.name!r}."
        raise ValueError(msg)
    if path.exists():
        msg = f"{path} exists already and is not overwritten. Remove it or choose another name."
        raise FileExistsError(msg)
    return path


def _field(model, predictors, *, name, units):
    """The lazy field; only where predictors are missing is looked up at once."""
    solid = solid_predictors(predictors)
    status = map_blocks(cell_status, predictors, dtype=np.int8, solid=solid)
    n_gap, n_land = dask.compute((status == GAP).sum(), (status == LAND).sum())
    n_members = len(model.models_)
    values = map_blocks(
        _predict_block,
        predictors,
        dtype=np.float32,
        new_axes={"member": n_members},
        # Its own node of the graph, so that a cluster moves it once and not with every block. Blocks fill the cores,
        # its members need not.
        model=dask.delayed(copy.copy(model).set_params(n_jobs=1), pure=False, traverse=False),
        solid=solid,
    )
    member = ("member", np.arange(n_members, dtype=np.int32), {"standard_name": "realization", "units": "1"})
    described = {"long_name": name.replace("_", " ")} | ({} if units is None else {"units": units})
    attributes = {
        "n_cells_predictor_missing": int(n_gap),
        "share_predictor_missing": float(n_gap / max(status.size - n_land, 1)),
        "model": json.dumps(model.settings_),
    }
    dims = ("member", *dims_of(predictors))
    coords = {"member": member, **predictors.drop_dims(HOUR, errors="ignore").coords}
    return xr.Dataset({name: (dims, values, described)}, coords, attributes)


def _predict_block(*predictors, model, solid):
    return fill_cells(model.predict_members, predictors, n_values=len(model.models_), model=model, solid=solid)


def _load(field, *, name):
    """The field in memory; each block goes straight to its place."""
    values = np.empty(field[name].shape, dtype=np.float32)
    with dask_progress(f"predicting {name}"):
        da.store(field[name].data, values, lock=False)
    return field.assign({name: field[name].copy(data=values)})


def _write(field, path, *, name):
    """Write beside the target and rename at the end, so that nobody finds half a field."""
    partial_path = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        with dask_progress(f"predicting {name}"):
            if path.suffix == ".zarr":
                field.to_zarr(partial_path, consolidated=False)
            else:
                lengths = [1, *field[name].data.chunksize[1:]]
                encoding = {"zlib": True, "complevel": 1, "chunksizes": lengths, "_FillValue": np.float32(np.nan)}
                field.to_netcdf(partial_path, encoding={name: encoding})
        os.replace(partial_path, path)
    except BaseException:
        shutil.rmtree(partial_path, ignore_errors=True) if partial_path.is_dir() else partial_path.unlink(True)
        raise
    if path.suffix == ".zarr":
        return xr.open_zarr(path, consolidated=False)
    return xr.open_dataset(path, chunks={})
