"""Match-up of a million samples, beside xarray's vectorised lookup and interpolation; in a daily year, a loop."""

import time

import dask.array
import numpy as np
import pandas as pd
import xarray as xr

from aqqua_science.grids import regular_grid
from aqqua_science.samples import join_environment

AXES = ("month", "depth", "latitude", "longitude")
RADIUS_KM = 50.0
N_LOOPED = 100


def run(*, n_samples=1_000_000, n_daily=100_000, rng=0):
    """
    Time `join_environment` and xarray on the same samples and grid, and check that they agree.

    The last row averages the cells within 50 km, on the day of each sample, in a year of daily fields of 0.25 degrees
    that are drawn as they are read; the loop takes some of the samples and its time is scaled to all.

    Parameters
    ----------
    n_samples : int
    n_daily : int
        Samples of the daily year.
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
    rows = [_compare(f"{name}, {n_samples:,} samples on {size}", samples, *task) for name, *task in tasks]
    return [*rows, _radius_in_a_daily_year(n_daily, rng)]


def _radius_in_a_daily_year(n_samples, rng):
    """Mean within a radius on the sample's day: all samples by us, some by a loop over samples."""
    env = _daily_year(rng)
    samples = pd.DataFrame(
        {
            "latitude": np.degrees(np.arcsin(rng.uniform(-1, 1, n_samples))),
            "longitude": rng.uniform(-180, 180, n_samples),
            "time": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.uniform(0, 366, n_samples), "D"),
        }
    )
    land = xr.DataArray(np.zeros((720, 1440), dtype=bool), {axis: env[axis] for axis in AXES[2:]}, AXES[2:])
    options = {"time": "exact", "radius_km": RADIUS_KM, "land": land}
    ours_s, table = _time(lambda: join_environment(samples, env, **options), repeats=1)
    few = samples.iloc[:N_LOOPED]
    loop_s, expected = _time(lambda: [_mean_around(env, sample) for sample in few.itertuples()], repeats=1)
    if not np.allclose(table["chlorophyll"].iloc[:N_LOOPED], expected, rtol=1e-5):
        msg = "the match and the loop differ; a speed would mean nothing."
        raise ValueError(msg)
    peer_s = loop_s * n_samples / N_LOOPED
    size = "x".join(map(str, env["chlorophyll"].shape))
    return {
        "task": f"mean within {RADIUS_KM:g} km on the day, {n_samples:,} samples on {size}, lazy",
        "ours_s": round(ours_s, 3),
        "peer": f"xarray {xr.__version__} loop over samples",
        "peer_s": round(peer_s, 1),
        "ratio": round(peer_s / ours_s, 1),
        "note": f"the loop ran {N_LOOPED} samples, scaled; equal on them; it reads the day anew for each",
    }


def _mean_around(env, sample):
    """What a loop over samples does: the day, a box that holds the circle, and the distances in it."""
    day = env["chlorophyll"].sel(time=sample.time.floor("D"))
    high = RADIUS_KM / 111
    rows = day.sel(latitude=slice(sample.latitude - high - 0.125, sample.latitude + high + 0.125))
    away = (rows["longitude"] - sample.longitude + 180) % 360 - 180
    phi, psi = np.radians(sample.latitude), np.radians(rows["latitude"])
    half = np.sin((psi - phi) / 2) ** 2 + np.cos(phi) * np.cos(psi) * np.sin(np.radians(away) / 2) ** 2
    return float(rows.where(2 * 6371.0088 * np.arcsin(np.sqrt(half)) <= RADIUS_KM).mean())


def _daily_year(rng):
    """A year of days at 0.25 degrees, drawn chunk by chunk when it is read: 1.5 GB that are never held."""
    days, grid = pd.date_range("2020-01-01", "2020-12-31", freq="D"), regular_grid(0.25)
    shape = (len(days), grid.sizes["latitude"], grid.sizes["longitude"])
    values = dask.array.random.default_rng(rng).random(shape, chunks=(1, *shape[1:]), dtype=np.float32)
    return xr.Dataset({"chlorophyll": (("time", *AXES[2:]), values)}, coords=grid.coords | {"time": days})


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
