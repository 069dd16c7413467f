"""The whole chain of one taxon: from files of a quarter degree and twelve months to map, intervals and budget."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from aqqua_science.grids import regular_grid

STEP, N_MONTHS, N_MEMBERS, N_TREES, N_SAMPLES, LIMIT_MB = 0.25, 12, 10, 100, 3_000, 6_144
PREDICTORS = [f"predictor_{i}" for i in range(12)]
RECIPE = f"""\
title = "One taxon"
[observations]
file = "samples.csv"
target = "biomass"
units = "mg m-3"
[environment]
files = ["environment.nc"]
[model]
n_members = {N_MEMBERS}
n_trees = {N_TREES}
[budget]
depth = [0, 200]
"""


def run(step=STEP):
    """Rows of a table: task, ours_s, peer, peer_s, ratio (peer over ours), note."""
    with tempfile.TemporaryDirectory() as folder:
        n_cells = _write_inputs(Path(folder), step)
        # Processes of their own, so that each peak of memory is that of one chain alone.
        ours = _measured([sys.executable, "-m", "aqqua_science", "map", "recipe.toml", "--zarr", "--json"], folder)
        peer = _measured([sys.executable, "-m", "benchmarks.chain", folder], Path(__file__).resolve().parents[1])
    within = "within" if ours["peak_mb"] <= LIMIT_MB else "MORE THAN"
    note = (
        f"{n_cells / 1e6:.1f} million cells and months at sea, {len(PREDICTORS)} predictors, {N_SAMPLES} samples, "
        f"{N_MEMBERS} members; ours holds out blocks three ways, calibrates intervals, tells the area of applicability "
        f"and importance, and draws the report; peaks of memory {ours['peak_mb']:.0f} MB, {within} {LIMIT_MB}, and "
        f"{peer['peak_mb']:.0f} MB. Peer: nearest cells, as many models, mean and spread of their maps, and a sum over "
        "area; no intervals"
    )
    return [
        {
            "task": f"one taxon, {N_MONTHS} months, {step} degrees, from files to budget",
            "ours_s": ours["seconds"],
            "peer": "xarray, pandas and scikit-learn",
            "peer_s": peer["seconds"],
            "ratio": peer["seconds"] / ours["seconds"],
            "note": note,
        }
    ]


def _write_inputs(folder, step):
    """Predictors that vary smoothly and by month, land in patches, and samples that follow three of them."""
    grid = regular_grid(step).assign_coords(month=np.arange(1, N_MONTHS + 1))
    n_lat, n_lon = grid.sizes["latitude"], grid.sizes["longitude"]
    patch = round(5 / step)
    rng = np.random.default_rng(0)
    land = (rng.random((n_lat // patch, n_lon // patch)) < 0.3).repeat(patch, axis=0).repeat(patch, axis=1)
    for i, name in enumerate(PREDICTORS):
        waves = [_wave(grid, rng) for _ in range(4)]
        noise = da.random.default_rng(i).standard_normal((N_MONTHS, n_lat, n_lon), chunks=(1, n_lat, n_lon))
        values = sum(wave.chunk(month=1) for wave in waves).transpose("month", "latitude", "longitude") + 0.1 * noise
        grid[name] = values.where(~xr.DataArray(land, dims=("latitude", "longitude"))).astype(np.float32)
    grid.to_netcdf(folder / "environment.nc", encoding={name: {"zlib": True, "complevel": 1} for name in PREDICTORS})
    rows, columns = np.nonzero(~land)
    at = rng.integers(rows.size, size=N_SAMPLES)
    samples = pd.DataFrame(
        {
            "latitude": grid["latitude"].values[rows[at]],
            "longitude": grid["longitude"].values[columns[at]],
            "month": rng.integers(1, N_MONTHS + 1, N_SAMPLES),
        }
    )
    with xr.open_dataset(folder / "environment.nc") as env:
        x = _nearest(env[PREDICTORS[:3]], samples)
    mean = np.exp(x["predictor_0"] - x["predictor_1"] ** 2 / 2 + x["predictor_2"] / 2)
    samples.assign(biomass=rng.gamma(1.0, mean)).to_csv(folder / "samples.csv", index=False)
    (folder / "recipe.toml").write_text(RECIPE)
    return N_MONTHS * rows.size


def _wave(grid, rng):
    """A wave round the globe that moves through the year."""
    turns, bands, phase = rng.integers(1, 4), rng.integers(1, 4), rng.uniform(0, 2 * np.pi)
    angle = np.radians(turns * grid["longitude"] + 30 * grid["month"]) + phase
    return np.sin(angle) * np.cos(np.radians(bands * grid["latitude"]))


def _nearest(env, samples):
    at = {name: xr.DataArray(samples[name], dims="sample") for name in ("latitude", "longitude", "month")}
    return env.sel(at, method="nearest").to_dataframe()[list(env.data_vars)].reset_index(drop=True)


def _measured(command, folder):
    """Seconds and peak memory of a process."""
    start = perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        msg = f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}; it said above why."
        raise RuntimeError(msg)
    return {"seconds": perf_counter() - start, "peak_mb": used.ru_maxrss / 1e3}


def _peer(folder):
    """What a user would write: everything in memory, models in a loop."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    from aqqua_science.grids import cell_area

    env = xr.load_dataset(folder / "environment.nc")[PREDICTORS]
    samples = pd.read_csv(folder / "samples.csv")
    x, rng = _nearest(env, samples), np.random.default_rng(0)
    cells = env.to_dataframe()
    sea = cells.notna().all(axis=1).to_numpy()
    maps = []
    for _ in range(N_MEMBERS):
        drawn = rng.integers(len(x), size=len(x))
        model = HistGradientBoostingRegressor(loss="poisson", max_iter=N_TREES, max_depth=4, early_stopping=False)
        model.fit(x.iloc[drawn], samples["biomass"].iloc[drawn])
        found = np.full(len(cells), np.nan)
        found[sea] = model.predict(cells[sea])
        maps.append(found.reshape(*env.sizes.values()))
    field = xr.DataArray(np.array(maps), {"member": range(N_MEMBERS), **env.coords}, ("member", *env.sizes))
    total = (field.mean("month") * cell_area(env) * 200).sum(("latitude", "longitude"))
    xr.Dataset({"mean": field.mean("member"), "sd": field.std("member"), "total": total}).to_netcdf(folder / "peer.nc")


if __name__ == "__main__":
    _peer(Path(sys.argv[1]))
