"""How many of each taxon a sample holds: counts corrected for what the classifier confuses, with intervals."""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import softmax

from .. import schema
from ..progress import progress_bar
from . import prevalence
from .feature_input import check_order

_METHODS = ("emq", "cc", "acc", "pcc", "pacc")
_SUM_TOLERANCE = 1e-3
_WORST_CONDITION = 1e4
_BLOCK = 256
_SMALLEST_SHARE = 1e-12


class _Labelled(NamedTuple):
    """Objects of known taxon: their probabilities, column of the true taxon, and number of their sample."""

    probabilities: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


def quantify(probabilities, samples, *, calibration, classes=None, method="emq", level=0.9, n_boot=200, rng=0):
    """
    Estimate how many objects of each taxon a sample holds, from the class probabilities of its objects.

    Counting the most probable taxa goes wrong wherever a sample differs from the training set: a common taxon
    leaks into rare ones that look like it. Labelled objects tell how, and the counts are corrected for it.

    Parameters
    ----------
    probabilities : pandas.DataFrame or array, shape (n_objects, n_taxa)
        Of each object and taxon; columns are taxa, rows sum to one.
    samples : array-like, shape (n_objects,)
        The sample of each object. Categories of a pandas Categorical that no object has are samples without
        objects: they get counts of zero and no prevalence.
    calibration : pandas.DataFrame
        Labelled objects that the classifier has not learnt from (held out, or from cross-validation over samples):
        the same columns of probabilities, `taxon`, and `sample_id` if the interval is to know that objects of one
        sample resemble each other.
    classes : sequence of str, optional
        The taxa, if `probabilities` is an array.
    method : {"emq", "cc", "acc", "pcc", "pacc"}
        "emq": the most likely prevalences, after probabilities are calibrated on `calibration`. "cc": the most
        probable taxa counted. "pcc": probabilities added up. "acc", "pacc": these two, corrected by the confusion
        matrix. "cc" and "pcc" correct nothing, and their intervals do not cover the truth.
    level : float
        Of the intervals, between 0 and 1.
    n_boot : int
        Number of bootstrap replicates; 0 leaves the intervals NaN.
    rng : int or numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        One row per sample and taxon: `sample_id`, `taxon`, `prevalence` (of the objects in the sampled water) and
        `count` (that prevalence times the number of objects), each with its interval (`_low`, `_high`). The interval
        covers the choice of labelled samples and the chance by which objects came into the sample; the
        number of objects is taken as given.

    Raises
    ------
    SchemaError
        If columns are absent, a taxon has no labelled object, or an object has no sample.
    ValueError
        If probabilities are NaN, negative or do not sum to one, a setting is unknown, or `samples` is a Series whose
        index tells other objects than that of `probabilities`.

    Warns
    -----
    UserWarning
        If "acc" or "pacc" meet taxa that the classifier cannot tell apart.

    Notes
    -----
    Prior shift is assumed: samples differ in how much of each taxon they hold, not in how a taxon looks. Where looks
    differ too, "pacc" is the more cautious choice, and any correction can do harm: try `rehearsal.rehearse`.
    The bootstrap is the Bayesian one: weights in place of repeats, so that no taxon loses its last labelled
    object. The upper limit adds half an object of chance, without which a taxon not seen would be certainly absent.

    References
    ----------
    Forman 2008, doi 10.1007/s10618-008-0097-y; Bella et al. 2010, doi 10.1109/ICDM.2010.75; Saerens et al. 2002,
    doi 10.1162/089976602753284446; Alexandari et al. 2020, arXiv 1901.06852; Rubin 1981, The Bayesian bootstrap,
    doi 10.1214/aos/1176345338.

    Examples
    --------
    >>> sure = pd.DataFrame({"Copepoda": [0.9, 0.9, 0.2, 0.2], "Rhizaria": [0.1, 0.1, 0.8, 0.8]})
    >>> known = sure.assign(taxon=["Copepoda", "Copepoda", "Rhizaria", "Rhizaria"])
    >>> table = quantify(sure, ["a", "a", "a", "b"], calibration=known, method="cc", n_boot=0)
    >>> table[["sample_id", "taxon", "count"]]
      sample_id     taxon  count
    0         a  Copepoda    2.0
    1         a  Rhizaria    1.0
    2         b  Copepoda    0.0
    3         b  Rhizaria    1.0
    """
    _check_settings(method, level, n_boot)
    values, taxa = _probabilities(probabilities, classes)
    check_order(probabilities, name="probabilities", samples=samples)
    known = _labelled(calibration, taxa)
    rows, names = _rows_of_samples(samples, len(values))
    rng = np.random.default_rng(rng)
    estimator = {"emq": _MostLikely, "cc": _Sum, "pcc": _Sum}.get(method, _Inverse)(known, taxa, method, n_boot, rng)
    sizes = np.array([row.size for row in rows])
    found = np.full((3, len(names), len(taxa)), np.nan)
    evidence = estimator.evidence(values)
    full = np.flatnonzero(sizes)
    for block in np.split(full, range(_BLOCK, len(full), _BLOCK)):
        one_by_one = progress_bar(block, desc="counting", unit="sample")
        replicates = [estimator.solve(evidence[rows[i]], _weights(sizes[i], n_boot, rng)) for i in one_by_one]
        if replicates:
            found[:, block] = _limits(estimator.correct(np.stack(replicates)), sizes[block], level, rng)
    return _table(found, sizes, names, taxa)


def renormalise(probabilities):
    """
    Let probabilities sum to one again after some taxa were left out.

    Parameters
    ----------
    probabilities : pandas.DataFrame, shape (object, taxon)

    Returns
    -------
    pandas.DataFrame
        An object that was certain to be of a taxon left out could be any of the others.
    """
    shares = probabilities.astype(float) + _SMALLEST_SHARE
    return shares.div(shares.sum(axis=1), axis=0)


def _weights(n, n_boot, rng):
    """Weights of a sample's objects: all alike in the first column, then drawn; columns sum to one."""
    drawn = np.column_stack([np.ones(n), rng.exponential(size=(n, n_boot))])
    return drawn / drawn.sum(axis=0)


def _limits(replicates, sizes, level, rng):
    """Point estimate and limits of the interval: shape (3, n_samples, n_taxa)."""
    point, drawn = replicates[:, 0], replicates[:, 1:]
    if not drawn.size:
        return np.stack([point, np.full_like(point, np.nan), np.full_like(point, np.nan)])
    unseen = rng.gamma(0.5, size=drawn.shape) / sizes[:, None, None]
    low = np.quantile(drawn, (1 - level) / 2, axis=1)
    high = np.quantile(drawn + unseen, (1 + level) / 2, axis=1)
    return np.stack([point, np.minimum(low, point), np.clip(high, point, 1)])


class _Sum:
    """Prevalences as reported, by most probable taxa ("cc") or probabilities ("pcc")."""

    def __init__(self, known, taxa, method, n_boot, rng):
        self.hard, self.n_boot = method.endswith("cc") and not method.startswith("p"), n_boot

    def evidence(self, values):
        """What is added up of each object."""
        return np.eye(values.shape[1])[values.argmax(axis=1)] if self.hard else values

    def solve(self, evidence, weights):
        """Prevalences of one sample, for each column of weights: shape (n_problems, n_taxa)."""
        return weights.T @ evidence

    def correct(self, replicates):
        """Prevalences of many samples as they are: shape (n_samples, n_problems, n_taxa)."""
        return replicates


class _Inverse(_Sum):
    """Prevalences that explain the report, given what the classifier confuses."""

    def __init__(self, known, taxa, method, n_boot, rng):
        super().__init__(known, taxa, method, n_boot, rng)
        reported = self.evidence(known.probabilities)
        draws = _group_weights(known, n_boot, rng)
        self.confusions = [prevalence.confusion_matrix(reported, known.labels, weights=w) for w in draws]
        _warn_of_twins(self.confusions[0], taxa)

    def correct(self, replicates):
        """Prevalences that each replicate's own confusion matrix turns into the report."""
        pairs = zip(replicates.swapaxes(0, 1), self.confusions, strict=True)
        return np.stack([prevalence.invert_confusion(rows, matrix) for rows, matrix in pairs], axis=1)


class _MostLikely(_Sum):
    """Prevalences under which the sample's probabilities, calibrated first, are most likely."""

    def __init__(self, known, taxa, method, n_boot, rng):
        self.n_boot = n_boot
        self.floor = prevalence.probability_floor(known.probabilities)
        logs = prevalence.log_probabilities(known.probabilities, floor=self.floor)
        self.slope, bias = prevalence.fit_recalibration(logs, known.labels)
        draws = _group_weights(known, n_boot, rng)
        fitted = [self._scale(self.slope * logs, known.labels, weights, bias) for weights in draws]
        self.scale, self.prior = (np.stack(part, axis=1) for part in zip(*fitted, strict=True))

    @staticmethod
    def _scale(scores, labels, weights, bias):
        """What turns scores into likelihood ratios, and the prior that they were calibrated to."""
        bias = prevalence.fit_biases(scores, labels, weights=weights, start=bias)
        prior = np.average(softmax(scores + bias, axis=1), axis=0, weights=weights)
        ratio = np.exp(bias - bias.max()) / prior
        return ratio / ratio.max(), prior

    def evidence(self, values):
        """Likelihood of each object under each taxon, but for a factor per object and one per taxon."""
        logs = self.slope * prevalence.log_probabilities(values, floor=self.floor)
        return np.exp(logs - logs.max(axis=1, keepdims=True))

    def solve(self, evidence, weights):
        """Prevalences of one sample, for each column of weights: shape (n_problems, n_taxa)."""
        point = prevalence.maximise_likelihood(
            evidence, weights[:, :1], scale=self.scale[:, :1], start=self.prior[:, :1]
        )
        # Replicates begin near the answer, but away from zeros that they could not leave.
        start = np.broadcast_to(0.9 * point + 0.1 / len(point), (len(point), self.n_boot))
        others = prevalence.maximise_likelihood(
            evidence, weights[:, 1:], scale=self.scale[:, 1:], start=start, tolerance=1e-5
        )
        return np.concatenate([point, others], axis=1).T


def _group_weights(known, n_boot, rng):
    """Weights of the labelled objects: all alike first, then drawn by sample."""
    n_groups = known.groups.max() + 1
    yield np.ones(len(known.labels))
    # This shape gives means of few groups the variance that theory does; exponential weights give them too little.
    shape = max(n_groups - 2, 1) / n_groups
    for _ in range(n_boot):
        weights = rng.gamma(shape, size=n_groups)[known.groups]
        yield weights * len(weights) / weights.sum()


def _warn_of_twins(confusion, taxa):
    """Warn of a confusion matrix that hardly can be inverted."""
    if np.linalg.cond(confusion) < _WORST_CONDITION:
        return
    distance = np.abs(confusion[:, :, None] - confusion[:, None, :]).sum(axis=0) + 2 * np.eye(len(taxa))
    first, second = np.unravel_index(distance.argmin(), distance.shape)
    msg = (
        f"the classifier's confusion matrix is all but singular: {taxa[first]!r} and {taxa[second]!r} are reported "
        "nearly alike. Their counts are not to be trusted one by one; merge them, or read their sum."
    )
    warnings.warn(msg, UserWarning, stacklevel=4)


def _check_settings(method, level, n_boot):
    if method not in _METHODS:
        msg = f"method must be one of {', '.join(_METHODS)}; got {method!r}.{schema.nearest_name(method, _METHODS)}"
        raise ValueError(msg)
    if not 0 < level < 1:
        msg = f"level must lie between 0 and 1, such as 0.9; got {level}."
        raise ValueError(msg)
    if n_boot < 0 or n_boot == 1:
        msg = f"n_boot must be 0 (no intervals) or at least 2; got {n_boot}."
        raise ValueError(msg)


def _probabilities(table, classes, *, what="probabilities"):
    """Checked probabilities and their taxa."""
    if isinstance(table, pd.DataFrame):
        classes = list(table.columns) if classes is None else list(classes)
        schema.require_columns(table, classes, what=what)
        table = table[classes]
    if classes is None or np.ndim(table) != 2 or np.shape(table)[1] != len(classes):
        msg = f"{what} must be a DataFrame (object x taxon), or an array with classes=, one name per column."
        raise ValueError(msg)
    if len(set(classes)) < len(classes) or len(classes) < 2:
        msg = f"{what} needs two taxa or more, each once; got {list(classes)}."
        raise ValueError(msg)
    if {"taxon", "sample_id"} & set(classes):
        msg = f"{what} must hold nothing but a column per taxon; got {list(classes)}. Select the columns of the taxa."
        raise ValueError(msg)
    values = np.asarray(table, dtype=float)
    _check_rows(values, what)
    return values / values.sum(axis=1, keepdims=True), list(classes)


def _check_rows(values, what):
    totals = values.sum(axis=1)
    bad = ~(np.abs(totals - 1) <= _SUM_TOLERANCE) | (values < 0).any(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        msg = (
            f"{what} must be at least 0 and sum to one in each row; {bad.sum()} of {len(values)} do not, the first "
            f"is row {row} with sum {totals[row]:.6g}. Drop objects without probabilities; turn scores into them first."
        )
        raise ValueError(msg)


def _labelled(calibration, taxa):
    """Checked calibration set."""
    schema.require_columns(calibration, ["taxon"], what="calibration")
    values, _ = _probabilities(calibration, taxa, what="calibration")
    labels = pd.Index(taxa).get_indexer(pd.Index(calibration["taxon"]))
    if (labels < 0).any():
        strays = pd.unique(calibration["taxon"][labels < 0])
        msg = (
            f"calibration holds objects of {list(strays)[:5]}, for which there are no probabilities. Drop these rows; "
            "what the classifier does not know is for NoveltyScorer."
        )
        raise schema.SchemaError(msg)
    absent = [taxon for taxon, n in zip(taxa, np.bincount(labels, minlength=len(taxa)), strict=True) if not n]
    if absent:
        msg = (
            f"calibration has no object of {absent[:5]}; what the classifier makes of them is unknown. Label some, or "
            "leave these taxa out of the classifier."
        )
        raise schema.SchemaError(msg)
    return _Labelled(values, labels, _groups(calibration))


def _groups(calibration):
    """Number of each labelled object's sample; its own where samples are not told."""
    if "sample_id" not in calibration:
        return np.arange(len(calibration))
    groups, names = pd.factorize(calibration["sample_id"])
    if (groups < 0).any() or len(names) < 2:
        msg = (
            f"sample_id of calibration must name two samples or more and never be empty; found {len(names)} and "
            f"{np.sum(groups < 0)} empty. Drop the column to take objects as independent."
        )
        raise schema.SchemaError(msg)
    return groups


def _rows_of_samples(samples, n):
    """Rows of each sample's objects, and the names of the samples."""
    if len(samples) != n:
        msg = f"samples must name the sample of each object; got {len(samples)} for {n} objects."
        raise ValueError(msg)
    samples = pd.Series(samples)
    samples = samples if isinstance(samples.dtype, pd.CategoricalDtype) else samples.astype("category")
    codes = samples.cat.codes.to_numpy()
    if (codes < 0).any():
        msg = f"every object must belong to a sample; row {np.flatnonzero(codes < 0)[0]} has none. Drop such objects."
        raise schema.SchemaError(msg)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(samples.cat.categories)))[:-1]
    return np.split(order, ends), samples.cat.categories


def _table(found, sizes, names, taxa):
    """Long table of prevalences and counts."""
    counts = np.where(sizes[:, None] > 0, found * sizes[:, None], 0.0)
    columns = {"sample_id": np.repeat(names, len(taxa)), "taxon": np.tile(np.asarray(taxa, dtype=object), len(names))}
    for name, values in {"prevalence": found, "count": counts}.items():
        for part, suffix in enumerate(("", "_low", "_high")):
            columns[name + suffix] = values[part].ravel()
    return pd.DataFrame(columns)
