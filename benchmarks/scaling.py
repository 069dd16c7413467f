"""How match-up and maps grow with samples, cells and members, and what that makes of larger tasks."""

import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import xarray as xr

from aqqua_science.habitat import BoostedTrees, predict_grid
from aqqua_science.samples import join_environment
from benchmarks.chain import PREDICTORS, write_environment
from benchmarks.processes import measured

N_MONTHS, N_TREES, N_VARIABLES = 12, 100, 3
MATCHES = ((0.5, 10_000), (0.5, 100_000), (0.5, 1_000_000), (1.0, 100_000))
MAPS = ((2.0, 10), (1.0, 10), (0.5, 10), (0.5, 1), (0.5, 50))
SEA = 0.7
"""Share of the globe that is sea, here and on Earth."""

LARGER = (
    ("one taxon, 0.25 degrees, 12 months, 100 members", 0.25, 12, 100),
    ("one taxon, 1/12 degree, 12 months, 100 members", 1 / 12, 12, 100),
    ("one taxon, 1/12 degree, 365 days, 20 members", 1 / 12, 365, 20),
    ("500 taxa, 1/12 degree, 365 days, 20 members", 1 / 12, 365 * 500, 20),
    ("500 taxa, 0.25 degrees, 12 months, 100 members", 0.25, 12 * 500, 100),
)


def run():
    """Tables, Markdown: measured, and computed from the rate of the largest map that was measured."""
    with tempfile.TemporaryDirectory() as folder:
        for step in {step for step, _ in (*MATCHES, *MAPS)}:
            write_environment(Path(folder, f"{step:g}.nc"), step)
        matches = [_measured("match", folder, *task) for task in MATCHES]
        maps = [_measured("map", folder, *task) for task in MAPS]
    return "\n\n".join([_table_of_matches(matches), _table_of_maps(maps), _table_of_larger(maps)])


def _measured(kind, folder, step, number):
    """Seconds, cells and peak memory of one task in a process of its own."""
    found = measured([sys.executable, "-m", "benchmarks.scaling", kind, str(folder), str(step), str(number)])
    return {"peak_mb": found["peak_mb"], "step": step, "number": number, **json.loads(found["said"])}


def _match(folder, step, n_samples):
    env = xr.open_dataset(folder / f"{step:g}.nc", chunks={"month": 1})[PREDICTORS[:N_VARIABLES]]
    rng = np.random.default_rng(0)
    samples = pd.DataFrame({
        "latitude": np.degrees(np.arcsin(rng.uniform(-1, 1, n_samples))),
        "longitude": rng.uniform(-180, 180, n_samples),
        "month": rng.integers(1, N_MONTHS + 1, n_samples),
    })  # fmt: skip
    start = perf_counter()
    found = join_environment(samples, env)
    return {"seconds": perf_counter() - start, "cells": int(found[PREDICTORS[0]].count())}


def _map(folder, step, n_members):
    env = xr.open_dataset(folder / f"{step:g}.nc", chunks={"month": 1})[PREDICTORS]
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(1_000, len(PREDICTORS))), columns=PREDICTORS)
    model = BoostedTrees(n_members=n_members, n_trees=N_TREES, n_jobs=1)
    model.fit(table, rng.gamma(1.0, np.exp(table[PREDICTORS[0]])))
    start = perf_counter()
    field = predict_grid(model, env, units="mg m-3", to=folder / f"{step:g}-{n_members}.zarr")
    seconds = perf_counter() - start
    return {"seconds": seconds, "cells": int(field["biomass"].isel(member=0).count())}


def _table_of_matches(rows):
    lines = ["| samples | grid | seconds | microseconds a sample | peak memory, MB |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['number']:,} | {row['step']:g} degrees, {N_MONTHS} months, {N_VARIABLES} variables "
        f"| {row['seconds']:.1f} | {row['seconds'] / row['number'] * 1e6:.0f} | {row['peak_mb']:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _table_of_maps(rows):
    head = "| map | members | cells at sea and months | seconds | million predictions a second | peak memory, MB |"
    lines = [head, "|---|---|---|---|---|---|"]
    lines += [
        f"| {row['step']:g} degrees, {N_MONTHS} months, {len(PREDICTORS)} predictors | {row['number']} "
        f"| {row['cells'] / 1e6:.2f} million | {row['seconds']:.0f} | {_rate(row) / 1e6:.2f} | {row['peak_mb']:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _rate(row):
    return row["cells"] * row["number"] / row["seconds"]


def _table_of_larger(rows):
    largest = max(rows, key=lambda row: row["cells"] * row["number"])
    head = "| computed from the largest map above | predictions | core hours | in a day on | members on disk, GB |"
    lines = [head, "|---|---|---|---|---|"]
    for name, step, n_steps, n_members in LARGER:
        predictions = SEA * (180 / step) * (360 / step) * n_steps * n_members
        hours = predictions / _rate(largest) / 3600
        lines.append(
            f"| {name} | {predictions / 1e9:,.1f} billion | {hours:,.1f} | {max(hours / 24, 1):,.0f} cores "
            f"| {predictions * 4 / 1e9:,.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    kind, folder, step, number = sys.argv[1:]
    sys.stdout.write(json.dumps({"match": _match, "map": _map}[kind](Path(folder), float(step), int(number))))
