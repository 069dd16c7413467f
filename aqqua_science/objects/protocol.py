"""The benchmark within one store: each part asks one question of labelled features, and answers with intervals."""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aqqua_science.objects.calibration import expected_calibration_error
from aqqua_science.objects.classification import TaxonClassifier
from aqqua_science.objects.living import is_plankton
from aqqua_science.objects.scores import confusion, plain_number, random_baseline, resampled, scores_of

SHOTS = (1, 5, 10, 50)
N_REPEATS = 10
DRAWN = {"n_draws": 200, "level": 0.9}
"""How intervals are drawn."""


class Labelled(NamedTuple):
    """
    Labelled objects of one store, or of several.

    Attributes
    ----------
    features : numpy.ndarray, shape (object, feature)
    taxon : numpy.ndarray of str, shape (object,)
    groups : numpy.ndarray, shape (object,)
        What is never parted between training and test.
    by : str
        What the groups are, such as "sample_id", or "image" where no sample is known.
    table : pandas.DataFrame
        Metadata, with `instrument` and, where known, `latitude`, `longitude` and `esd_um`.
    """

    features: np.ndarray
    taxon: np.ndarray
    groups: np.ndarray
    by: str
    table: pd.DataFrame

    def take(self, rows):
        """
        Take some of the objects.

        Parameters
        ----------
        rows : numpy.ndarray of int

        Returns
        -------
        Labelled
        """
        return Labelled(self.features[rows], self.taxon[rows], self.groups[rows], self.by, self.table.iloc[rows])


def coarse_name(taxon):
    """
    Name the group of a taxon by its own name: the parent of `Child<Parent`, or the first word.

    Parameters
    ----------
    taxon : str

    Returns
    -------
    str

    Examples
    --------
    >>> coarse_name("Oithona<Cyclopoida"), coarse_name("copepod_calanoid_eggs")
    ('Cyclopoida', 'copepod')
    """
    child, _, parent = str(taxon).partition("<")
    return parent.split("<")[0] if parent else child.split("_")[0]


def held_out(data, *, rng):
    """
    Predict every object by a classifier that has not seen its sample.

    Parameters
    ----------
    data : Labelled
    rng : int

    Returns
    -------
    probabilities : pandas.DataFrame, shape (object, taxon)
        Calibrated; indexed by place in `data`. Of no object, where each taxon lies in one sample.
    untested : list of str
        Classes that could not be held out.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes that cannot be tested; they are listed instead
        model = TaxonClassifier(random_state=rng).fit(data.features, data.taxon, groups=data.groups)
    if model.held_out_ is None:
        return pd.DataFrame(columns=model.classes_, dtype=float), list(model.classes_)
    return model.held_out_[model.classes_], list(model.untested_classes_)


def classification(data, probabilities, *, groups=None, rng=0):
    """
    Score the answers: as they are, by groups of taxa, and against guessing.

    Parameters
    ----------
    data : Labelled
    probabilities : pandas.DataFrame
        From `held_out`.
    groups : dict of str to str, optional
        Taxon -> group; `coarse_name` where it has none.
    rng : int

    Returns
    -------
    dict
        Empty parts where no object was held out.
    """
    if probabilities.empty:
        return {"scores": {}, "grouped": {}, "random": {}, "expected_calibration_error": None, "of_each_taxon": {}}
    tested = data.take(probabilities.index.to_numpy())
    answers = probabilities.columns.to_numpy()[probabilities.to_numpy().argmax(axis=1)]
    confidence = probabilities.to_numpy().max(axis=1)
    scores = answer_scores(tested.taxon, answers, tested.groups, groups=groups, rng=rng)
    right = (answers == tested.taxon).astype(float)
    ece = {"expected_calibration_error": plain_number(expected_calibration_error(confidence, right))}
    return scores | ece | {"of_each_taxon": _of_each_taxon(tested.taxon, answers)}


def answer_scores(taxon, answers, samples, *, groups=None, rng=0):
    """
    Score answers that came from anywhere.

    Parameters
    ----------
    taxon, answers : numpy.ndarray of str, shape (object,)
    samples : numpy.ndarray, shape (object,)
        What the intervals draw anew.
    groups : dict of str to str, optional
    rng : int

    Returns
    -------
    dict
        `scores`, `grouped` and `random`.
    """

    def group_of(name):
        return (groups or {}).get(name, coarse_name(name))

    classes = np.unique(taxon)
    living = is_plankton(classes)
    # Answers are grouped before they are compared: a name that is no true taxon may be of the right group.
    truth, told = (pd.Series(names).map(group_of).to_numpy(str) for names in (taxon, answers))
    living_groups = pd.Series(living).groupby([group_of(name) for name in classes]).any()

    def plain(weights):
        return scores_of(confusion(taxon, answers, classes=classes, weights=weights), plankton=living)

    def grouped(weights):
        matrix = confusion(truth, told, classes=living_groups.index, weights=weights)
        return scores_of(matrix, plankton=living_groups.to_numpy())

    return {
        "scores": resampled(plain, samples, **DRAWN, rng=rng),
        "grouped": resampled(grouped, samples, **DRAWN, rng=rng),
        "random": {k: plain_number(v) for k, v in random_baseline(taxon, classes=classes, plankton=living).items()},
    }


def _of_each_taxon(taxon, answers):
    """Objects, precision and recall of each taxon."""
    classes = np.unique(taxon)
    matrix = confusion(taxon, answers, classes=classes)
    hits, truth, told = np.diag(matrix), matrix.sum(1), matrix[:, :-1].sum(0)
    return {
        str(name): {"objects": int(n), "recall": plain_number(h / n), "precision": plain_number(h / t) if t else None}
        for name, h, n, t in zip(classes, hits, truth, told, strict=True)
    }


def few_shot(data, *, rng=0):
    """
    Score nearest class means of a few examples (SimpleShot, Wang et al. 2019, arXiv 1911.04623).

    Examples come from one half of the samples, and the other half is tested; ten times, with halves of its own.

    Parameters
    ----------
    data : Labelled
    rng : int

    Returns
    -------
    dict of str to dict
        Number of examples -> balanced accuracy, of which `low` and `high` are the spread of the ten `halvings`, and how
        many classes had that many examples, at least; without those numbers of which fewer than two classes have
        enough.
    """
    rng = np.random.default_rng(rng)
    codes = np.unique(data.taxon, return_inverse=True)[1]
    halves = [halve(data.groups, rng) for _ in range(N_REPEATS)]
    found = {}
    for shots in SHOTS:
        scores, classes = zip(*[_few_shot_once(data.features, codes, half, shots, rng) for half in halves], strict=True)
        if min(classes) > 1:
            low, high = np.quantile(scores, ((1 - DRAWN["level"]) / 2, (1 + DRAWN["level"]) / 2))
            value = {"value": plain_number(np.mean(scores)), "low": plain_number(low), "high": plain_number(high)}
            value["halvings"] = N_REPEATS
            found[str(shots)] = {"balanced_accuracy": value, "classes": min(classes)}
    return found


def _few_shot_once(features, codes, half, shots, rng):
    """Balanced accuracy of one draw of examples, and how many classes took part."""
    order = rng.permutation(np.flatnonzero(half))
    rank = pd.Series(order).groupby(codes[order]).cumcount().to_numpy()
    enough = np.flatnonzero(np.bincount(codes[order], minlength=codes.max() + 1) >= shots)
    classes = np.intersect1d(enough, codes[~half])
    if len(classes) < 2:
        return np.nan, len(classes)
    shown = order[(rank < shots) & np.isin(codes[order], classes)]
    tested = np.flatnonzero(~half & np.isin(codes, classes))
    centre, spread = features[shown].mean(0), features[shown].std(0)
    values = (features - centre) / np.where(spread > 0, spread, 1)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    means = np.stack([values[shown[codes[shown] == c]].mean(0) for c in classes])
    answers = classes[(2 * values[tested] @ means.T - (means**2).sum(1)).argmax(1)]
    right = pd.Series(answers == codes[tested]).groupby(codes[tested]).mean()
    return float(right.mean()), len(classes)


def halve(groups, rng):
    """
    Choose half of the samples at random.

    Parameters
    ----------
    groups : array, shape (object,)
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray of bool, shape (object,)
        Whether an object is of a chosen sample.
    """
    code, names = pd.factorize(groups)
    return (rng.permutation(len(names)) < len(names) / 2)[code]


def size(data, *, rng=0):
    """
    Read the equivalent diameter from the features by ridge regression, samples kept together.

    Parameters
    ----------
    data : Labelled
        With `esd_um` in its table.
    rng : int

    Returns
    -------
    dict or None
        R2 of its logarithm, and the median relative error of the diameter; None of one sample.
    """
    known = np.flatnonzero(np.isfinite(data.table["esd_um"].to_numpy(float)))
    groups = data.groups[known]
    n_folds = min(5, len(np.unique(groups)))
    if n_folds < 2:
        return None
    target, values = np.log10(data.table["esd_um"].to_numpy(float)[known]), data.features[known]
    said = np.empty(len(known))
    for train, test in GroupKFold(n_folds, shuffle=True, random_state=rng).split(values, groups=groups):
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15)))
        said[test] = model.fit(values[train], target[train]).predict(values[test])

    def errors(weights):
        mean = np.average(target, weights=weights)
        left, whole = (np.average(d**2, weights=weights) for d in (target - said, target - mean))
        return {"log_esd_r2": 1 - left / whole if whole else np.nan}

    found = resampled(errors, groups, **DRAWN, rng=rng)
    return found | {"median_relative_error": plain_number(np.median(np.abs(10 ** (said - target) - 1)))}
