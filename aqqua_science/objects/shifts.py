"""The benchmark under shift: taxa that were never seen, and communities of another composition."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aqqua_science.objects import distortion
from aqqua_science.objects.counting import quantify, renormalise
from aqqua_science.objects.novelty import NoveltyScorer
from aqqua_science.objects.protocol import DRAWN, halve
from aqqua_science.objects.scores import plain_number, resampled

N_COMMUNITIES = 50
COMMUNITY_SIZE = 300
NOVEL_SHARE = 1 / 3


def hidden_taxa(data, *, rng=0):
    """
    Hide a third of the taxa, and see whether their objects are told from the others.

    Parameters
    ----------
    data : Labelled
    rng : int

    Returns
    -------
    dict or None
        Area under the ROC curve with its interval, and the distortion of shifted communities with the threshold that
        keeps 95 % of known objects of other samples and with the one chosen by community; None with fewer than three
        taxa, or where too few objects or samples are left to learn from.
    """
    rng = np.random.default_rng(rng)
    taxa = rng.permutation(np.unique(data.taxon))
    hidden = taxa[: max(1, round(NOVEL_SHARE * len(taxa)))]
    if len(taxa) - len(hidden) < 2:
        return None
    half = halve(data.groups, rng)
    unknown = np.isin(data.taxon, hidden)
    train = np.flatnonzero(~unknown & half)
    rest = data.take(np.flatnonzero(unknown | ~half))
    strange = np.isin(rest.taxon, hidden)
    if len(np.unique(data.taxon[train])) < 2 or strange.all():
        return None
    try:
        told = {"groups": data.groups[train]}
        scorer = NoveltyScorer("knn", random_state=0).fit(data.features[train], data.taxon[train], **told)
    except ValueError:  # no sample can be left out, or neighbours are too few
        return None
    scores = scorer.score(rest.features)

    def area(weights):
        seen = weights > 0
        both = len(np.unique(strange[seen])) == 2
        return {"auroc": roc_auc_score(strange[seen], scores[seen], sample_weight=weights[seen]) if both else np.nan}

    found = resampled(area, rest.groups, **DRAWN, rng=rng)
    return {"hidden_taxa": sorted(map(str, hidden)), **found, **_distortions(scorer, data, train, rest, scores, rng)}


def _distortions(scorer, data, train, rest, scores, rng):
    """Mean distortion of communities with both thresholds, the second chosen on samples that do not judge it."""
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000, C=0.1))
    answers = head.fit(data.features[train], data.taxon[train]).predict(rest.features)
    # Known objects are of other samples than the learned ones, and each part needs some.
    learned, choosing = np.isin(rest.groups, data.groups[train]), np.zeros(len(rest.taxon), bool)
    for part in (learned, ~learned):
        choosing[part] = halve(rest.groups[part], rng)
    parts = [_communities(rest.taxon, part, scorer.classes_, rng) for part in (choosing, ~choosing)]
    if None in parts:
        return {}

    def curve(rows, samples, thresholds=None):
        told = {"classes": scorer.classes_, "samples": samples, "thresholds": thresholds}
        return distortion.distortion_curve(scores[rows], rest.taxon[rows], answers[rows], **told)

    thresholds = {"recall_95": scorer.threshold_, "by_community": distortion.best_threshold(curve(*parts[0]))}
    judged = {name: curve(*parts[1], [value])["distortion"].iloc[0] for name, value in thresholds.items()}
    return {f"distortion_{name}": plain_number(value) for name, value in judged.items()}


def _communities(taxon, part, classes, rng):
    """Rows and samples of shifted communities drawn from a part of the objects, if it holds known and unknown ones."""
    places = np.flatnonzero(part)
    known = np.isin(taxon[places], classes)
    if known.all() or not known.any():
        return None
    told = {"n_communities": N_COMMUNITIES, "size": COMMUNITY_SIZE, "classes": classes, "rng": rng}
    rows, samples = distortion.draw_communities(taxon[places], **told)
    return places[rows], samples


def shifted_counts(data, probabilities, *, rng=0):
    """
    Count shifted communities from the answers, plainly and corrected.

    Parameters
    ----------
    data : Labelled
    probabilities : pandas.DataFrame
        From `held_out`.
    rng : int

    Returns
    -------
    dict or None
        Mean Bray-Curtis distance of counts to the truth, of classify-and-count ("cc") and of the corrected counts
        ("emq"), and the share of taxa whose 90 % interval holds the truth; None where the halves of the samples have
        fewer than two taxa in common, or the first is of one sample.
    """
    if probabilities.empty:
        return None
    rng = np.random.default_rng(rng)
    tested = data.take(probabilities.index.to_numpy())
    half = halve(tested.groups, rng)
    common = np.intersect1d(tested.taxon[half], tested.taxon[~half])
    usable = np.isin(tested.taxon, common)
    if len(common) < 2 or len(np.unique(tested.groups[half & usable])) < 2:
        return None
    said = renormalise(probabilities[list(common)].reset_index(drop=True))
    known, others = np.flatnonzero(half & usable), np.flatnonzero(~half & usable)
    labelled = said.iloc[known].assign(taxon=tested.taxon[known], sample_id=tested.groups[known].astype(str))
    rows, samples = distortion.draw_communities(
        tested.taxon[others], n_communities=N_COMMUNITIES, size=COMMUNITY_SIZE, classes=common, unknown=(0, 0), rng=rng
    )
    rows = others[rows]
    truth = pd.crosstab(samples, tested.taxon[rows]).reindex(columns=common, fill_value=0)
    found = {}
    for method in ("cc", "emq"):
        counts = quantify(said.iloc[rows], samples, calibration=labelled, method=method, level=DRAWN["level"], rng=0)
        wide = counts.set_index(["sample_id", "taxon"])[["count", "count_low", "count_high"]].unstack()  # noqa: PD010
        distance = distortion.community_distortion(truth.to_numpy(), wide["count"][common].to_numpy())
        found[f"bray_curtis_{method}"] = plain_number(np.mean(distance))
    inside = (wide["count_low"][common] <= truth + 1e-9) & (truth <= wide["count_high"][common] + 1e-9)
    return found | {"coverage_of_90": plain_number(inside.to_numpy().mean()), "taxa": len(common)}
