"""Which learner maps copepods best? Drago et al. 2022, all cells with copepods of 0-200 m, under the same folds."""

from pathlib import Path

import pandas as pd

from aqqua_science.habitat import SpatialBlocks, StratifiedFolds
from aqqua_science.habitat.comparison import compare
from aqqua_science.habitat.learners import LEARNERS, learner
from aqqua_science.habitat.stacking import WeightedEnsemble

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "drago2022"
TARGET = "biomass_sphere_mgC_m3"
DEALS, N_MEMBERS = 2, 3
HEAD = {
    "r2": "R²",
    "r2_correlation": "squared correlation",
    "r2_log": "R² of logarithms",
    "poisson_deviance": "deviance",
    "seconds": "seconds, of those of trees",
}


def run():
    """Table, Markdown: scores of each learner under random folds and blocks of 15 degrees, means of two deals."""
    table, predictors = read_copepods()
    models = {name: learner(name, n_members=N_MEMBERS) for name in LEARNERS}
    models["weighted"] = WeightedEnsemble(n_members=N_MEMBERS, resampling="stratified")
    cv = {("random", seed): StratifiedFolds(random_state=seed) for seed in range(DEALS)}
    cv |= {("blocks", seed): SpatialBlocks(15, random_state=seed) for seed in range(DEALS)}
    found = compare(models, table, target=TARGET, predictors=predictors, cv=cv)
    found["scheme"] = found["scheme"].str[0]
    found["seconds"] /= found.loc[found["model"] == "trees", "seconds"].mean()
    means = found.groupby(["scheme", "model"], sort=False)[list(HEAD)].mean()
    return "\n\n".join(_table(means.loc[scheme], scheme) for scheme in ("blocks", "random"))


def read_copepods():
    """The cells of the study with its own predictors, and the names of those."""
    joined = pd.read_csv(FOLDER / "joined_0_200m.csv")
    predictors = list(joined.columns.drop(["longitude", "latitude"]))
    cells = pd.read_csv(FOLDER / "copepoda_0_200m.csv")
    return cells.merge(joined, on=["longitude", "latitude"]).dropna(subset=predictors), predictors


def _table(means, scheme):
    lines = ["| " + " | ".join([scheme, *HEAD.values()]) + " |", "|---" * (1 + len(HEAD)) + "|"]
    for model, row in means.iterrows():
        values = [f"{value:.1f}" if name == "seconds" else f"{value:.2f}" for name, value in row.items()]
        lines.append("| " + " | ".join([model, *values]) + " |")
    return "\n".join(lines)
