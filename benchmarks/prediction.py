"""A quarter-degree map of twelve months with ten members: its time against scikit-learn's, and its peak memory."""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from sklearn.ensemble import HistGradientBoostingRegressor

from aqqua_science.grids import regular_grid
from aqqua_science.habitat import BoostedTrees, predict_grid

STEP, N_MONTHS, N_MEMBERS, N_TREES, LAND = 0.25, 12, 10, 100, 0.3
PREDICTORS = [f"predictor_{i}" for i in range(9)]


def run():
    """Rows of a table: task, ours_s, peer, peer_s, ratio (peer over ours), note."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder, "environment.zarr")
        _environment().to_zarr(environment, consolidated=False)
        # A process of its own, so that the peak of memory is that of the prediction alone.
        command = [sys.executable, "-m", "benchmarks.prediction", str(environment)]
        ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        peer_s = _scikit_learn(environment)
    cells = ours["cells"]
    note = (
        f"{cells / 1e6:.1f} million cells at sea x {N_MEMBERS} members, from Zarr to Zarr; peak memory "
        f"{ours['peak_mb']:.0f} MB, {ours['peak_mb'] - ours['start_mb']:.0f} MB above the start; the result is "
        f"{ours['result_mb']:.0f} MB. Peer: predict() of one model and month, in memory, scaled up"
    )
    task = f"{STEP}-degree map, {N_MONTHS} months, {N_MEMBERS} members of {N_TREES} trees"
    return [
        {
            "task": task,
            "ours_s": ours["seconds"],
            "peer": "scikit-learn HistGradientBoosting",
            "peer_s": peer_s,
            "ratio": peer_s / ours["seconds"],
            "note": note,
        }
    ]


def _environment():
    """Random predictors of unit variance with land in patches of five degrees."""
    grid = regular_grid(STEP).assign_coords(month=np.arange(1, N_MONTHS + 1))
    n_lat, n_lon = grid.sizes["latitude"], grid.sizes["longitude"]
    patch = round(5 / STEP)
    patches = np.random.default_rng(0).random((n_lat // patch, n_lon // patch)) < LAND
    land = patches.repeat(patch, axis=0).repeat(patch, axis=1)
    for i, name in enumerate(PREDICTORS):
        shape = (N_MONTHS, n_lat, n_lon)
        values = da.random.default_rng(i).standard_normal(shape, chunks=(1, n_lat, n_lon)).astype(np.float32)
        grid[name] = (("month", "latitude", "longitude"), da.where(land, np.float32(np.nan), values))
    return grid


def _samples():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(710, len(PREDICTORS))), columns=PREDICTORS)
    return table, rng.gamma(1.0, np.exp(table["predictor_0"] - table["predictor_1"] ** 2))


def _scikit_learn(environment):
    month = xr.open_zarr(environment, consolidated=False).isel(month=0).load()
    cells = np.column_stack([month[name].values.ravel() for name in PREDICTORS])
    cells = cells[np.isfinite(cells).all(axis=1)]
    table, amount = _samples()
    model = HistGradientBoostingRegressor(
        loss="poisson", max_iter=N_TREES, max_depth=4, max_leaf_nodes=16, early_stopping=False
    ).fit(table.to_numpy(), amount)
    start = perf_counter()
    model.predict(cells)
    return (perf_counter() - start) * N_MONTHS * N_MEMBERS


def _peak_mb():
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    # the peak of getrusage is inherited from the process that started this one
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1e3


def _stream(environment):
    """Predict from disk to disk; what it took as JSON on stdout."""
    model = BoostedTrees(n_members=N_MEMBERS, n_trees=N_TREES).fit(*_samples())
    env = xr.open_zarr(environment, consolidated=False)
    start_mb, start = _peak_mb(), perf_counter()
    field = predict_grid(model, env, units="mg m-3", to=Path(environment).with_name("field.zarr"))
    found = {
        "seconds": perf_counter() - start,
        "start_mb": start_mb,
        "peak_mb": _peak_mb(),
        "result_mb": field["biomass"].nbytes / 1e6,
        "cells": int(field["biomass"].isel(member=0).count()),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    _stream(sys.argv[1])
