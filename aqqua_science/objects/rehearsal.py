"""Which way of counting to trust: every method tried on labelled samples that it has not seen."""

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from .. import schema
from .counting import quantify, renormalise
from .distortion import community_distortion


def rehearse(
    calibration,
    *,
    methods=("emq", "pacc", "acc", "cc"),
    n_communities=40,
    size=300,
    concentration=0.5,
    n_folds=3,
    level=0.9,
    n_boot=100,
    rng=0,
):
    """
    Count communities of known composition, made of labelled samples that the calibration has not seen.

    All corrections take it that a taxon looks the same in every sample. Where it does not, because nets,
    preservation or light differ, they can do worse than plain counting, and intervals cover less than they say.
    This tells how it stands with one's own data. It is a little too strict: objects of a rare taxon are drawn again
    and again, and err together.

    Parameters
    ----------
    calibration : pandas.DataFrame
        As for `counting.quantify`, with `sample_id`.
    methods : sequence of str
    n_communities : int
        In each fold.
    size : int
        Objects of a community, drawn with replacement.
    concentration : float
        Of the Dirichlet distribution that compositions are drawn from: the smaller, the fewer taxa dominate.
    n_folds : int
        Parts of the samples; each is counted by means of the others. Taxa that these lack are left out.
    level : float
    n_boot : int
    rng : int or numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        One row per method, in order of error: `method`, `distortion` (mean Bray-Curtis distance to the truth), and
        `coverage` (part of the intervals that hold the true prevalence, to be compared with `level`).

    Raises
    ------
    SchemaError
        If `taxon` or `sample_id` is absent, or there are fewer samples than folds.
    """
    schema.require_columns(calibration, ["taxon", "sample_id"], what="calibration")
    if calibration["sample_id"].nunique() < n_folds:
        n = calibration["sample_id"].nunique()
        msg = f"calibration must hold at least n_folds={n_folds} samples; got {n}. Label more samples, or fold less."
        raise schema.SchemaError(msg)
    rng = np.random.default_rng(rng)
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=int(rng.integers(2**31)))
    found = []
    for known, unseen in folds.split(calibration, calibration["taxon"], calibration["sample_id"]):
        known, unseen = _common(calibration.iloc[known], calibration.iloc[unseen])
        taxa = [name for name in known if name not in {"taxon", "sample_id"}]
        rows, samples, truth = _communities(unseen["taxon"], taxa, n_communities, size, concentration, rng)
        settings = {"calibration": known, "level": level, "n_boot": n_boot, "rng": rng}
        for method in methods:
            table = quantify(unseen[taxa].iloc[rows], samples, method=method, **settings)
            found.append({"method": method, **_errors(table, truth)})
    means = pd.DataFrame(found).groupby("method", sort=False).mean().reset_index()
    return means.sort_values("distortion", kind="stable", ignore_index=True)


def _common(known, unseen):
    """Both parts without the taxa that the first one lacks; probabilities sum to one again."""
    taxa = [name for name in known if name not in {"taxon", "sample_id"} and (known["taxon"] == name).any()]
    unseen = unseen[unseen["taxon"].isin(taxa)]
    return [renormalise(part[taxa]).join(part[["taxon", "sample_id"]]) for part in (known, unseen)]


def _communities(taxon, taxa, n_communities, size, concentration, rng):
    """Rows of drawn objects, the community of each, and the prevalences they were drawn by."""
    members = [np.flatnonzero(taxon == name) for name in taxa]
    present = [k for k, rows in enumerate(members) if rows.size]
    truth = np.zeros((n_communities, len(taxa)))
    truth[:, present] = rng.dirichlet(np.full(len(present), concentration), size=n_communities)
    amounts = rng.multinomial(size, truth)
    drawn = [rng.choice(members[k], row[k]) for row in amounts for k in present]
    return np.concatenate(drawn), np.repeat(np.arange(n_communities), size), truth


def _errors(table, truth):
    """Mean distortion and coverage of estimated prevalences."""
    point, low, high = (table[f"prevalence{end}"].to_numpy().reshape(truth.shape) for end in ("", "_low", "_high"))
    covered = np.where(np.isnan(low), np.nan, (low <= truth) & (truth <= high)).mean()
    return {"distortion": community_distortion(truth, point).mean(), "coverage": covered}
