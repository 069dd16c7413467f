"""Where does the 90 % interval of a budget fail? Oceans that break its assumptions, on seeds nothing was tuned on."""

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from joblib import Parallel, delayed
from scipy.stats import binom
from sklearn.base import clone
from tqdm import tqdm

from aqqua_science.grids import cell_area, regrid, regular_grid
from aqqua_science.habitat import SpatialBlocks, area_of_applicability, integrate
from aqqua_science.habitat.budget import member_variable
from aqqua_science.habitat.calibration import cell_coverage
from aqqua_science.habitat.extrapolation import gain_weights
from aqqua_science.habitat.folds import fold_labels, largest_blocks
from aqqua_science.habitat.learners import learner
from aqqua_science.habitat.ledger import uncertainty_ledger
from aqqua_science.habitat.model import BoostedTrees
from aqqua_science.habitat.validation import out_of_fold
from aqqua_science.synthetic.ocean import populate
from aqqua_science.synthetic.survey import residual_of, sample_stations
from benchmarks.coverage import (
    DEPTH,
    FULL,
    RESIDUAL_KM,
    RESIDUAL_SD,
    TARGET,
    budget_of,
    map_ocean,
    predictors_of,
    simulate,
    trees,
)

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "drago2022"
REAL_PREDICTORS = ["temperature", "salinity", "silicate", "phosphate", "nitrate", "oxygen", "chlorophyll"]
FIRST_SEED, SHARED_SD = 1000, 0.15
_RICH, _BIASED, _SEASONAL = (
    {"preference": 0.5},
    {"cruise_gain_sd": 0.3, "shared_gain_sd": SHARED_SD},
    {"summer": 1.5, "n_months": 12},
)
SCENARIOS = {
    "as before": {},
    "cruises prefer rich water, a little": {"preference": 0.25},
    "cruises prefer rich water": _RICH,
    "measurement bias": _BIASED,
    "months, sampled in summer": _SEASONAL,
    "real predictors and positions": {"real": True},
    "the virtual ones together": _RICH | _BIASED | _SEASONAL,
    "the annual ones together, real": _RICH | _BIASED | {"real": True},
    "as before, forest": {"kind": "forest"},
    "as before, splines": {"kind": "splines"},
}
HEAD = (
    "scenario",
    "oceans",
    "calibrated interval: holds the truth (below / above it), width",
    "ledger's interval",
    "spread of members",
    "bias",
    "RMSE",
    "held-out samples in their cell's interval",
    "its width",
    "sea whose mean is in it",
    "in the members' spread",
)


def run(n_oceans=100, *, scenarios=SCENARIOS, effort=FULL, n_jobs=2, to=None):
    """Table, Markdown; `to` names a JSON-lines file of finished oceans, to which others are added."""
    wanted = [name for name in scenarios if FOLDER.exists() or "real" not in SCENARIOS[name]]
    rows = [json.loads(line) for line in Path(to).read_text().splitlines()] if to and Path(to).exists() else []
    known = {(row["scenario"], row["seed"]) for row in rows}
    oceans = product(range(FIRST_SEED, FIRST_SEED + n_oceans), wanted)
    tasks = [delayed(measure)(name, seed, effort=effort) for seed, name in oceans if (name, seed) not in known]
    found = Parallel(n_jobs, return_as="generator_unordered")(tasks)
    for row in tqdm(found, total=len(tasks), unit="ocean", disable=not sys.stderr.isatty()):
        rows.append(row)
        if to:
            with open(to, "a") as file:
                print(json.dumps(row), file=file)
    rows = pd.DataFrame(rows)
    skipped = "" if FOLDER.exists() else f"\n\nWithout real predictors: {FOLDER} is absent."
    return summarise(rows[rows["scenario"].isin(wanted)]) + skipped


def measure(scenario, seed, *, effort):
    """Truth and intervals of the global total of one ocean, PgC, and how the intervals of its cells fared."""
    options = dict(SCENARIOS[scenario])
    kind, real = options.pop("kind", "trees"), options.pop("real", False)
    ocean, samples = simulate_real(seed, **options) if real else simulate(seed, **options)
    tree = trees(seed, effort)
    model = tree if kind == "trees" else learner(kind, n_members=effort["n_members"], n_jobs=1, random_state=seed)
    field, model, table = map_ocean(ocean, samples, model, n_replicates=effort["n_replicates"])
    budget = budget_of(ocean, field)
    row, basins = budget.iloc[0], budget.iloc[1:].query("truth > 0")
    shared = options.get("shared_gain_sd", 0.0)
    ledger = take_apart(ocean, field, model, table, row=row, factors={"shared": shared}, other=tree)
    found = {
        **row[["truth", "low", "median", "high", "member_low", "mean", "member_high"]],
        **ledger.set_index("source")["log_sd"].rename(lambda source: f"sd {source}"),
        "ledger_low": ledger["low"].iloc[-1],
        "ledger_high": ledger["high"].iloc[-1],
        "basins": len(basins),
        "basins_held": basins["truth"].between(basins["low"], basins["high"]).sum(),
        "cells_held_out": held_out_cells(model, table),
        **cells_of(ocean, field),
        "residual": float(at_stations(residual_of(ocean), samples).mean()),
        "n_samples": len(table),
    }
    numbers = {key: float(value) for key, value in found.items()}
    return {"scenario": scenario, "seed": seed, "warning": field.attrs["calibration_warning"], **numbers}


def simulate_real(seed, *, preference=0.0, **gains):
    """Plankton drawn for the real annual environment at five degrees, counted once in each cell of the study."""
    rng = np.random.default_rng(seed)
    real = xr.open_dataset(FOLDER / "environment_0_200m.nc")[[*REAL_PREDICTORS, "bathymetry"]]
    environment = regrid(real, regular_grid(5.0))
    ocean = populate(environment, residual_sd=RESIDUAL_SD, residual_km=rng.choice(RESIDUAL_KM), rng=rng)
    stations = pd.read_csv(FOLDER / "copepoda_0_200m.csv")[["latitude", "longitude"]]
    stations = stations[at_stations(ocean["biomass"], stations).notnull().values]
    if preference:
        wanted = np.exp(preference * at_stations(residual_of(ocean), stations).to_series())
        stations = stations.iloc[rng.choice(len(stations), len(stations), p=wanted / wanted.sum())]
    tiles = SpatialBlocks(10).blocks(stations)
    stations = stations.reset_index(drop=True).assign(cruise=tiles, time=pd.Timestamp("2015-07-01"))
    return ocean, sample_stations(ocean, stations, **gains, rng=rng)


def take_apart(ocean, field, model, table, *, row, factors, other):
    """Ledger of the total with all that a user can tell: the common factor, other models, water unlike the samples."""
    environment = ocean[predictors_of(ocean)]
    area = area_of_applicability(
        table,
        environment,
        predictors=list(environment),
        weights=gain_weights(model) if isinstance(model, BoostedTrees) else None,
        folds=fold_labels(largest_blocks(table, degrees=15), table),
    )
    name = member_variable(field)
    inside = field.assign({name: field[name].where(area["inside"] == 1)})
    outside = 1 - integrate(inside, depth=DEPTH)["mean"].iloc[0] / row["mean"]
    if isinstance(model, BoostedTrees):
        alternatives = {name: clone(model).set_params(objective=name) for name in ("tweedie", "log")}
    else:
        alternatives = {"trees": other}
    return uncertainty_ledger(
        model,
        table,
        field,
        target=TARGET,
        environment=environment,
        row=row,
        factors={source: sd for source, sd in factors.items() if sd},
        alternatives=alternatives,
        volume="volume_m3",
        outside=outside,
        arguments={"depth": DEPTH},
    )


def held_out_cells(model, table):
    """Share of samples of held-out blocks inside the interval of their cell."""
    blocks = largest_blocks(table)
    predicted = out_of_fold(model, table, target=TARGET, cv=blocks, volume="volume_m3").to_numpy()
    labels, observed = blocks.blocks(table), table[TARGET].to_numpy()
    return cell_coverage(observed, predicted, blocks=labels, scale=model.scale_)


def cells_of(ocean, field):
    """Share of the sea whose true mean lies in its cell's interval and in the spread of the members; median width."""
    is_sea, area, found = ocean["biomass"].notnull(), cell_area(ocean), {}
    members = field[member_variable(field)]
    spread = members.where(is_sea, 0).quantile([0.05, 0.95], "member")
    bounds = {"area": (field["low"], field["high"]), "area_members": (spread[0], spread[1])}
    for name, (low, high) in bounds.items():
        held = (low <= ocean["biomass"]) & (ocean["biomass"] <= high)
        found[f"{name}_held"] = held.where(is_sea).weighted(area).mean()
    return found | {"cell_width": ((field["high"] - field["low"]) / members.mean("member")).median()}


def at_stations(field, stations):
    """Values of the cells that hold the stations."""
    where = {name: xr.DataArray(stations[name], dims="station") for name in ("latitude", "longitude")}
    return field.sel(where, method="nearest")


def summarise(rows):
    """Coverage of the globe by three intervals, their widths, the error, and coverage of cells, by scenario."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    lines += [_line(name, rows[rows["scenario"] == name]) for name in SCENARIOS if name in set(rows["scenario"])]
    sizes = sorted(set(rows.groupby("scenario").size()))
    bands = (binom.ppf([0.025, 0.975], n, 0.9).astype(int) for n in sizes)
    chance = "; ".join(f"{low} to {high} of {n}" for (low, high), n in zip(bands, sizes, strict=True))
    return "\n".join([*lines, f"\nIntervals that hold 90 % in the long run hold (95 % of the time) {chance}."])


def _line(name, rows):
    error = np.log(rows["median"] / rows["truth"])
    return " | ".join(
        [
            f"| {name} | {len(rows)}",
            _held(rows, "low", "high", "median"),
            _held(rows, "ledger_low", "ledger_high", "median"),
            _held(rows, "member_low", "member_high", "mean"),
            f"{error.median():+.2f} | {np.sqrt((error**2).mean()):.2f}",
            f"{rows['cells_held_out'].mean():.0%} | {rows['cell_width'].median():.1f}",
            f"{rows['area_held'].mean():.0%} | {rows['area_members_held'].mean():.0%} |",
        ]
    )


def _held(rows, low, high, centre):
    below, above = (rows["truth"] < rows[low]).sum(), (rows["truth"] > rows[high]).sum()
    width = ((rows[high] - rows[low]) / rows[centre]).median()
    return f"**{len(rows) - below - above}** ({below} / {above}), {width:.2f}"
