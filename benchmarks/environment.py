"""Twelve predictors of a quarter degree brought to another grid, to months and to what follows: time and memory."""

import importlib
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from aqqua_science.grids import climatology, derive, open_environment, regrid, regular_grid
from benchmarks.prediction import _peak_mb

STEP, N_MONTHS, DEPTHS, LIMIT_MB = 0.25, 24, (0.0, 10.0, 30.0, 75.0, 150.0, 300.0), 4096
SURFACE = ("sst", "chl", *(f"predictor_{i}" for i in range(8)))
DERIVED = ["mixed_layer_depth", "stratification", "euphotic_depth", "day_length", "season", "sst_gradient"]


def run():
    """Rows of a table: task, ours_s, peer, peer_s, ratio (peer over ours), note."""
    with tempfile.TemporaryDirectory() as folder:
        series = Path(folder, "series.zarr")
        _series().to_zarr(series, consolidated=False)
        # Processes of their own, so that each peak of memory is that of one pipeline alone.
        whole, ours, peer = (_measured(series, which) for which in ("whole", "ours", "peer"))
        return [_pipeline_row(whole, ours, peer), *_regridding_rows(series)]


def _series():
    """Dated months on the grid of many ocean models, whose rows begin at the poles; land in patches."""
    latitude, longitude = np.linspace(-90, 90, 721), np.arange(-180, 180, STEP)
    time = pd.date_range("2001-01-01", periods=N_MONTHS, freq="MS") + pd.Timedelta(days=14)
    axes = {"time": time, "depth": list(DEPTHS), "latitude": latitude, "longitude": longitude}
    land = np.random.default_rng(0).random((37, 72)) < 0.3
    land = land.repeat(20, axis=0)[:721].repeat(20, axis=1)
    fields = {name: _random(("time", "latitude", "longitude"), axes, land, seed=i) for i, name in enumerate(SURFACE)}
    fields["chl"] = 0.3 * np.exp(fields["chl"])
    for name, surface, slope in (("temperature", 20, -0.05), ("salinity", 35, 0.002)):
        noise = _random(tuple(axes), axes, land, seed=len(name))
        fields[name] = (surface + slope * noise["depth"] + 0.1 * noise).astype(np.float32)
    return xr.Dataset(fields)


def _random(dims, axes, land, *, seed):
    shape = [len(axes[dim]) for dim in dims]
    values = da.random.default_rng(seed).standard_normal(shape, chunks=[1] * (len(dims) - 2) + shape[-2:])
    values = da.where(land, np.float32(np.nan), values.astype(np.float32))
    return xr.DataArray(values, {dim: axes[dim] for dim in dims}, dims)


def _measured(series, which):
    command = [sys.executable, "-m", "benchmarks.environment", str(series), which]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _whole(series):
    return derive(_ours(series), DERIVED)


def _ours(series):
    return climatology(regrid(open_environment(series, chunks={}), STEP))


def _peer(series):
    env = xr.open_zarr(series, consolidated=False)
    target = regular_grid(STEP)
    return env.interp(latitude=target["latitude"], longitude=target["longitude"]).groupby("time.month").mean()


def _stream(series, which):
    """One pipeline from disk to disk; what it took as JSON on stdout."""
    start_mb, start = _peak_mb(), perf_counter()
    result = {"whole": _whole, "ours": _ours, "peer": _peer}[which](series)
    result.drop_encoding().to_zarr(Path(series).with_name(f"{which}.zarr"), consolidated=False)
    found = {"seconds": perf_counter() - start, "start_mb": start_mb, "peak_mb": _peak_mb()}
    sys.stdout.write(json.dumps(found | {"result_mb": result.nbytes / 1e6}))


def _pipeline_row(whole, ours, peer):
    within = "within" if whole["peak_mb"] <= LIMIT_MB else "MORE THAN"
    note = (
        f"from Zarr to Zarr; ours keeps integrals and counts years; peaks of memory {ours['peak_mb']:.0f} and "
        f"{peer['peak_mb']:.0f} MB. With {', '.join(DERIVED)}: {whole['seconds']:.0f} s and "
        f"{whole['peak_mb']:.0f} MB, {within} {LIMIT_MB} MB"
    )
    task = f"{len(SURFACE) + 2} predictors, {N_MONTHS} months, {STEP} degrees: other grid, climatology"
    return _row(task, ours["seconds"], "xarray interp, groupby", peer["seconds"], note)


def _regridding_rows(series):
    """One variable of twelve months in memory, by each way and its peer."""
    field = xr.open_zarr(series, consolidated=False)["sst"].isel(time=slice(12)).load()
    target = regular_grid(STEP)
    size = f"12 months, {field.sizes['latitude']} x {field.sizes['longitude']} cells to {STEP} degrees, in memory"
    bilinear = _seconds(lambda: regrid(field, target, method="bilinear"))
    interp = _seconds(lambda: field.interp(target.coords))
    rows = [_row("regrid, bilinear", bilinear, "xarray interp", interp, f"{size}; the peer lets gaps grow")]
    if find_spec("xarray_regrid"):
        importlib.import_module("xarray_regrid")  # registers its accessor
        ours = _seconds(lambda: regrid(field, target))
        peer = _seconds(lambda: field.regrid.conservative(target, latitude_coord="latitude"))
        rows.append(_row("regrid, conservative", ours, "xarray-regrid", peer, f"{size}; the peer's Earth is a sphere"))
    return rows


def _row(task, ours, peer, theirs, note):
    return {"task": task, "ours_s": ours, "peer": peer, "peer_s": theirs, "ratio": theirs / ours, "note": note}


def _seconds(task, repeats=2):
    taken = []
    for _ in range(repeats):
        start = perf_counter()
        task()
        taken.append(perf_counter() - start)
    return min(taken)


if __name__ == "__main__":
    _stream(*sys.argv[1:])
