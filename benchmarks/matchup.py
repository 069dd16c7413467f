"""Match-up of a million samples, beside xarray's vectorised lookup and interpolation of the same values."""

import time

import numpy as np
import pandas as pd
import xarray as xr

from aqqua_science.grids import regular_grid
from aqqua_science.samples import join_environment

AXES = ("month", "depth", "latitude", "longitude")


def run(*, n_samples=1_000_000, rng=0):
    """
    Time `join_environment` and xarray on the same samples and grid, and check that they agree.

    Parameters
    ----------
    n_samples : int
    rng : int or numpy.random.Generator

    Returns
    -------
    list of dict
        One row per task: `task`, `ours_s`, `peer`, `peer_s`, `ratio` (peer / ours, above 1 we are
        faster) and `note`.
    """
    rng = np.random.default_rng(rng)
    env = _ocean(rng)
    samples = _survey(env, n_samples, rng)
    points = {axis: xr.DataArray(samples[axis].to_numpy(), dims="sample") for axis in AXES}
    field = env["temperature"]
    chunked = env.chunk({"month": 1, "depth": 10})
    size = "x".join(str(field.sizes[axis]) for axis in AXES)
    tasks = [
        ("nearest", env, {}, ".sel(method='nearest')", lambda: field.sel(points, method="nearest").values),
        (
            "nearest on Dask",
            chunked,
            {},
            ".sel(method='nearest') on Dask",
            lambda: chunked["temperature"].sel(points, method="nearest").values,
        ),
        ("bilinear", env, {"method": "bilinear"}, ".interp(linear)", lambda: field.interp(points).values),
    ]
    return [_compare(f"{name}, {n_samples:,} samples on {size}", samples, *task) for name, *task in tasks]


def _compare(task, samples, env, options, peer, lookup):
    ours_s, table = _time(lambda: join_environment(samples, env, **options))
    peer_s, values = _time(lookup)
    same = _agreement(table, values, exact=not options)
    note = f"{same}; ours also finds land and sea, distances and reasons, and the nearest sea cell"
    return {
        "task": task,
        "ours_s": round(ours_s, 3),
        "peer": f"xarray {xr.__version__} {peer}",
        "peer_s": round(peer_s, 3),
        "ratio": round(peer_s / ours_s, 2),
        "note": note,
    }


def _agreement(table, values, *, exact):
    """Say on how many samples both agree; refuse to compare the speed of different answers."""
    both = table["match_method"].isin(["cell", "bilinear"]).to_numpy() & ~np.isnan(values)
    ours, theirs = table["temperature"].to_numpy()[both], values[both]
    if not (np.array_equal(ours, theirs) if exact else np.allclose(ours, theirs, rtol=1e-4, atol=1e-5)):
        msg = f"the match and xarray differ by up to {np.abs(ours - theirs).max()}; a speed would mean nothing."
        raise ValueError(msg)
    return f"{'identical' if exact else 'equal'} on the {both.mean():.1%} that both match"


def _time(function, *, repeats=3):
    """Best of some runs, seconds, and what the function returns."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        found = function()
        best = min(best, time.perf_counter() - start)
    return best, found


def _ocean(rng):
    """A 1-degree monthly field on 50 levels, 30 % of it land in blocks of 10 degrees."""
    grid = regular_grid(1.0)
    land = np.kron(rng.random((18, 36)) < 0.3, np.ones((10, 10))) > 0
    values = rng.random((12, 50, 180, 360), dtype=np.float32)
    values[..., land] = np.nan
    coords = grid.coords | {"month": np.arange(1, 13), "depth": np.round(np.geomspace(5, 1500, 50), 1)}
    return xr.Dataset({"temperature": (AXES, values)}, coords=coords)


def _survey(env, n_samples, rng):
    """Samples anywhere on the globe, on the grid's months and levels, where linear and nearest are the same."""
    return pd.DataFrame(
        {
            "latitude": rng.uniform(-90, 90, n_samples),
            "longitude": rng.uniform(-180, 180, n_samples),
            "depth": rng.choice(env["depth"].values, n_samples),
            "month": rng.integers(1, 13, n_samples),
        }
    )
