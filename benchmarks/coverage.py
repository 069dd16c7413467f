"""Does the 90 % interval of a budget hold the true one? Many small oceans, each surveyed, mapped and added up."""

import sys

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import binom
from tqdm import tqdm

from aqqua_science.grids import cell_area, label_regions
from aqqua_science.grids.calendars import DAYS_OF_MONTH
from aqqua_science.habitat import BoostedTrees, calibrate, integrate, predict_grid
from aqqua_science.samples import join_environment
from aqqua_science.synthetic import sample_ocean, virtual_ocean

TARGET = "biomass_mg_m3"
RESIDUAL_SD, RESIDUAL_KM, N_SAMPLES = 0.5, (500.0, 1500.0), (200, 800)
DEPTH, REGIONS = (0.0, 200.0), "basins"
FULL = {"n_members": 20, "n_replicates": 30, "n_trees": 120}
FAST = {"n_members": 5, "n_replicates": 12, "n_trees": 60}


def run(n_oceans=100, *, fast=False, n_jobs=2):
    """Table, Markdown, of how often the calibrated interval and the members' spread hold the realised total."""
    tasks = [delayed(measure)(seed, effort=FAST if fast else FULL) for seed in range(n_oceans)]
    done = Parallel(n_jobs, return_as="generator")(tasks)
    return summarise(pd.concat(tqdm(done, total=n_oceans, unit="ocean", disable=not sys.stderr.isatty())))


def measure(seed, *, effort):
    """Intervals and truths, PgC, of the globe and of every basin of one ocean."""
    ocean, samples = simulate(seed)
    field, _, _ = map_ocean(ocean, samples, trees(seed, effort), n_replicates=effort["n_replicates"])
    return budget_of(ocean, field).assign(seed=seed, n_samples=len(samples))


def simulate(seed, *, n_months=1, **survey):
    """Five-degree ocean and a survey of it, of random correlation length and size."""
    rng = np.random.default_rng(seed)
    length_km, n_samples = rng.choice(RESIDUAL_KM), int(rng.integers(*N_SAMPLES, endpoint=True))
    ocean = virtual_ocean(step=5.0, n_months=n_months, residual_sd=RESIDUAL_SD, residual_km=length_km, rng=rng)
    return ocean, sample_ocean(ocean, n_samples=n_samples, **survey, rng=rng)


def trees(seed, effort):
    """The model of the benchmark."""
    settings = {key: effort[key] for key in ("n_members", "n_trees")}
    return BoostedTrees(**settings, learning_rate=0.07, max_depth=3, subsample=0.8, n_jobs=1, random_state=seed)


def predictors_of(ocean):
    """All variables but the sea floor and the truth."""
    return [name for name in ocean if name not in ("bathymetry", "biomass", "expected_biomass")]


def map_ocean(ocean, samples, model, *, n_replicates):
    """Calibrated field as the package makes it from the samples, the fitted model and its table."""
    predictors = predictors_of(ocean)
    environment = ocean[[*predictors, "bathymetry"]]
    table = join_environment(samples, environment).dropna(subset=predictors)
    model.fit(table[predictors], table[TARGET], volume=table["volume_m3"])
    field = predict_grid(model, environment[predictors], units="mg m-3")
    field["sea_floor_depth"] = environment["bathymetry"]
    options = {"target": TARGET, "environment": environment, "volume": "volume_m3", "n_replicates": n_replicates}
    return calibrate(field, model, table, **options), model, table


def budget_of(ocean, field):
    """Annual budget of the globe and of the basins beside the truth, PgC."""
    budget = integrate(field, depth=DEPTH, by=REGIONS)
    budget = budget[budget["month"] == "annual"].set_index("region")
    return budget.assign(truth=true_budgets(ocean)).reset_index()


def true_budgets(ocean):
    """Realised biomass of every basin and the globe, PgC: mg m-3 times the water above 200 m or the sea floor."""
    labels, biomass = label_regions(ocean, REGIONS), ocean["biomass"]
    if "month" in biomass.dims:
        biomass = biomass.weighted(biomass["month"].copy(data=DAYS_OF_MONTH)).mean("month", skipna=False)
    cells = biomass * ocean["bathymetry"].clip(max=DEPTH[1]) * cell_area(ocean) / 1e18
    regions = labels.attrs["regions"]
    sums = np.bincount(labels.values.ravel(), np.nan_to_num(cells.values.ravel()), minlength=len(regions))
    return pd.Series([*sums, sums.sum()], [*regions, "global"])


def summarise(rows):
    """Coverage, width and bias of the two intervals, of the globe and of all basins together."""
    rows = rows[rows["truth"] > 0]
    is_global = rows["region"] == "global"
    lines = [
        "| nominal 90 % | intervals | hold the truth | truth below / above | median width | median bias |",
        "|---|---|---|---|---|---|",
    ]
    for part, scope in ((rows[is_global], "global total"), (rows[~is_global], "totals of basins")):
        lines.append(_line(f"{scope}, calibrated interval", part, ("low", "median", "high")))
        lines.append(_line(f"{scope}, spread of members", part, ("member_low", "mean", "member_high")))
    n = int(is_global.sum())
    low, high = binom.ppf([0.025, 0.975], n, 0.9).astype(int)
    lines.append(
        f"\nWidth is relative to the estimate, bias is log(estimate / truth). Intervals that hold 90 % in the long run "
        f"hold {low} to {high} of {n} global totals (95 % of the time)."
    )
    return "\n".join(lines)


def _line(what, rows, columns):
    low, estimate, high = (rows[column] for column in columns)
    truth, n = rows["truth"], len(rows)
    below, above = int((truth < low).sum()), int((truth > high).sum())
    inside = int(((low <= truth) & (truth <= high)).sum())
    width, bias = ((high - low) / estimate).median(), np.log(estimate / truth).median()
    return f"| {what} | {n} | **{inside}** ({inside / n:.0%}) | {below} / {above} | {width:.2f} | {bias:+.3f} |"
