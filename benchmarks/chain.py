"""The whole chain of one taxon: from files of a quarter degree and twelve months to map, intervals and budget."""

import sys
import tempfile
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from aqqua_science.grids import regular_grid
from benchmarks.processes import measured

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


def run(tasks=((0.25, (-180, 180, -90, 90)), (1 / 12, (-20, 10, 40, 65)))):
    """Rows of a table: task, ours_s, peer, peer_s, ratio (peer over ours), note; of the globe, and of a sea."""
    return [_row(step, region) for step, region in tasks]


def _row(step, region):
    with tempfile.TemporaryDirectory() as folder:
        n_cells = _write_inputs(Path(folder), step, region)
        # Processes of their own, so that each peak of memory is that of one chain alone.
        ours = measured([sys.executable, "-m", "aqqua_science", "map", "recipe.toml", "--zarr", "--json"], cwd=folder)
        peer = measured([sys.executable, "-m", "benchmarks.chain", folder], cwd=Path(__file__).resolve().parents[1])
    within = "within" if ours["peak_mb"] <= LIMIT_MB else "MORE THAN"
    note = (
        f"{n_cells / 1e6:.1f} million cells and months at sea, {len(PREDICTORS)} predictors, {N_SAMPLES} samples, "
        f"{N_MEMBERS} members; ours holds out blocks three ways, calibrates intervals, tells the area of applicability "
        f"and importance, and draws the report; peaks of memory {ours['peak_mb']:.0f} MB, {within} {LIMIT_MB}, and "
        f"{peer['peak_mb']:.0f} MB. Peer: nearest cells, as many models, mean and spread of their maps, and a sum over "
        "area; no intervals"
    )
    place = "the globe" if region[1] - region[0] == 360 else "west {}, east {}, south {}, north {}".format(*region)
    return {
        "task": f"one taxon, {N_MONTHS} months, {step:.3g} degrees, {place}: from files to budget",
        "ours_s": ours["seconds"],
        "peer": "xarray, pandas and scikit-learn",
        "peer_s": peer["seconds"],
        "ratio": peer["seconds"] / ours["seconds"],
        "note": note,
    }


def write_environment(path, step, *, region=(-180, 180, -90, 90)):
    """Predictors that vary smoothly and by month, with land in patches of five degrees."""
    grid = regular_grid(step, region=region).assign_coords(month=np.arange(1, N_MONTHS + 1))
    shape = (N_MONTHS, grid.sizes["latitude"], grid.sizes["longitude"])
    rng = np.random.default_rng(0)
    patches = rng.random((36, 72)) < 0.3
    rows, columns = (
        ((grid[name] - low) // 5).astype(int).values for name, low in (("latitude", -90), ("longitude", -180))
    )
    sea = ~xr.DataArray(patches[rows][:, columns], dims=("latitude", "longitude"))
    for i, name in enumerate(PREDICTORS):
        waves = sum(_wave(grid, rng).chunk(month=1) for _ in range(4))
        noise = da.random.default_rng(i).standard_normal(shape, chunks=(1, *shape[1:]))
        values = waves.transpose("month", "latitude", "longitude") + 0.1 * noise
        grid[name] = values.where(sea).astype(np.float32)
    packed = {"zlib": True, "complevel": 1, "chunksizes": (1, *shape[1:])}
    grid.to_netcdf(path, encoding=dict.fromkeys(PREDICTORS, packed))
    return sea.assign_coords({name: grid[name] for name in sea.dims})


def _write_inputs(folder, step, region):
    """The environment, samples that follow three of its predictors, and the recipe."""
    sea = write_environment(folder / "environment.nc", step, region=region)
    rows, columns = np.nonzero(sea.values)
    rng = np.random.default_rng(0)
    at = rng.integers(rows.size, size=N_SAMPLES)
    samples = pd.DataFrame(
        {
            "latitude": sea["latitude"].values[rows[at]],
            "longitude": sea["longitude"].values[columns[at]],
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
