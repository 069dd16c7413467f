"""Answers in a tree of taxa: no finer than the probabilities allow, and scored by how far off they are."""

import numbers

import numpy as np
import pandas as pd
from scipy.special import entr

from aqqua_science.objects.taxonomy import is_absent

_N_TOP = 5


def roll_up(probabilities, taxonomy):
    """
    Sum the probabilities of classes up the tree.

    Parameters
    ----------
    probabilities : pandas.DataFrame, shape (object, class)
        One column for each class, named as in `taxonomy`.
    taxonomy : Taxonomy

    Returns
    -------
    pandas.DataFrame, shape (object, taxon)
        Of every class and every ancestor of one, higher taxa first: the chance that the object belongs to it. A taxon
        that is a class itself has its own and its descendants'.

    Raises
    ------
    SchemaError
        If a class is no taxon of `taxonomy`, with the nearest right name.

    Examples
    --------
    >>> from aqqua_science.objects.taxonomy import Taxonomy
    >>> tree = Taxonomy({"Copepoda": None, "Calanus": "Copepoda", "Oithona": "Copepoda", "detritus": None})
    >>> table = pd.DataFrame({"Calanus": [0.5], "Oithona": [0.4], "detritus": [0.1]})
    >>> roll_up(table, tree)["Copepoda"].tolist()
    [0.9]
    """
    member = taxonomy.memberships(probabilities.columns)
    rolled = np.minimum(probabilities.to_numpy(dtype=float) @ member.to_numpy(), 1)
    return pd.DataFrame(rolled, index=probabilities.index, columns=member.columns)


def answers(probabilities, taxonomy, *, threshold):
    """
    Name each object as finely as its probabilities allow.

    The most probable class, if it reaches the threshold; else the deepest taxon whose rolled-up probability does, of
    several the most probable. So two alike copepods are answered "Copepoda". A taxon that holds all classes says
    nothing and is no answer.

    Parameters
    ----------
    probabilities : pandas.DataFrame, shape (object, class)
    taxonomy : Taxonomy
    threshold : float
        Above 0, at most 1.

    Returns
    -------
    pandas.DataFrame
        ``taxon`` (None where none is sure enough), its ``probability`` (NaN there), ``level`` (number of its
        ancestors; -1 there), ``rank`` (None where unknown) and ``abstained``.

    Raises
    ------
    SchemaError
        If a class is no taxon of `taxonomy`.
    ValueError
        If the threshold is not above 0 and at most 1.

    Examples
    --------
    >>> from aqqua_science.objects.taxonomy import Taxonomy
    >>> tree = Taxonomy({"Copepoda": None, "Calanus": "Copepoda", "Oithona": "Copepoda", "detritus": None})
    >>> table = pd.DataFrame({"Calanus": [0.5, 0.3], "Oithona": [0.4, 0.3], "detritus": [0.1, 0.4]})
    >>> answers(table, tree, threshold=0.8)["taxon"].tolist()
    ['Copepoda', None]
    """
    check_threshold(threshold)
    member = taxonomy.memberships(probabilities.columns)
    rolled = roll_up(probabilities, taxonomy).to_numpy()
    levels = np.array([taxonomy.level(taxon) for taxon in member.columns])
    telling = ~member.to_numpy().all(axis=0)
    # Depth decides, then probability: a probability never makes up for a level.
    merit = np.where((rolled >= threshold) & telling, levels + rolled / 2, -1)
    best = merit.argmax(axis=1)
    top = probabilities.to_numpy(dtype=float)
    sure = top.max(axis=1) >= threshold
    best = np.where(sure, member.columns.get_indexer(probabilities.columns)[top.argmax(axis=1)], best)
    none = (merit.max(axis=1) < 0) & ~sure
    return answer_table(probabilities.index, member.columns, best, values=rolled, none=none, taxonomy=taxonomy)


def answer_table(index, taxa, best, *, values, none, taxonomy):
    """
    Put answers into a table.

    Parameters
    ----------
    index : pandas.Index
    taxa : sequence of str, length k
    best : numpy.ndarray of int, shape (n,)
        Which of the taxa each object is.
    values : numpy.ndarray, shape (n, k)
        Probability of each taxon.
    none : numpy.ndarray of bool, shape (n,)
        Objects without an answer.
    taxonomy : Taxonomy or None
        Without one, ``level`` is 0 and ``rank`` None.

    Returns
    -------
    pandas.DataFrame
        As `answers`.
    """
    taxa = np.array([*taxa, None], dtype=object)
    levels = [0 if taxonomy is None else taxonomy.level(t) for t in taxa[:-1]] + [-1]
    ranks = [None if taxonomy is None else taxonomy.ranks.get(t) for t in taxa[:-1]] + [None]
    which = np.where(none, len(taxa) - 1, best)
    return pd.DataFrame(
        {
            "taxon": pd.Series(taxa[which], index=index, dtype=object),
            "probability": np.where(none, np.nan, values[np.arange(len(best)), best]),
            "level": np.array(levels)[which],
            "rank": pd.Series(np.array(ranks, dtype=object)[which], index=index, dtype=object),
            "abstained": none,
        },
        index=index,
    )


def class_table(probabilities, *, threshold=None, taxonomy=None):
    """
    Name each object, with all that tells how sure the name is.

    Parameters
    ----------
    probabilities : pandas.DataFrame, shape (object, class)
    threshold : float, optional
        Below it the answer is a higher taxon of `taxonomy`, or none.
    taxonomy : Taxonomy, optional

    Returns
    -------
    pandas.DataFrame
        As `answers`, with ``entropy`` (nats) of the classes, ``margin`` between the first two, ``taxon_1``,
        ``probability_1`` and so on, for up to five classes.
    """
    values, classes = probabilities.to_numpy(dtype=float), probabilities.columns.to_numpy()
    if taxonomy is not None and threshold is not None:
        found = answers(probabilities, taxonomy, threshold=threshold)
    else:
        none = values.max(axis=1) < (threshold or 0)
        found = answer_table(
            probabilities.index, classes, values.argmax(axis=1), values=values, none=none, taxonomy=taxonomy
        )
    order = np.argsort(-values, axis=1, kind="stable")[:, :_N_TOP]
    top = np.take_along_axis(values, order, axis=1)
    found["entropy"] = np.maximum(entr(values).sum(axis=1), 0)
    found["margin"] = top[:, 0] - top[:, 1]
    for place in range(order.shape[1]):
        found[f"taxon_{place + 1}"] = classes[order[:, place]]
        found[f"probability_{place + 1}"] = top[:, place]
    return found


def check_threshold(threshold):
    """
    Refuse a threshold that is no probability.

    Parameters
    ----------
    threshold : float

    Raises
    ------
    ValueError
        If it is not above 0 and at most 1.
    """
    if not (isinstance(threshold, numbers.Real) and 0 < threshold <= 1):
        msg = (
            f"a threshold of probability must be above 0 and at most 1; got {threshold!r}. 0.5 is more likely than not."
        )
        raise ValueError(msg)


def hierarchical_scores(truth, predicted, taxonomy):
    """
    Score answers by what they share with the truth on the way to the root.

    Parameters
    ----------
    truth : sequence of str, length n
    predicted : sequence of str or None, length n
        None where no answer was given.
    taxonomy : Taxonomy

    Returns
    -------
    dict
        ``precision``, ``recall`` and ``f1``: of the taxa that make up the lineages of all answers, the share that is
        in the true lineage, the reverse, and their harmonic mean; a root that holds everything does not count.
        ``parent_error_rate``: share of objects whose answer does not lie within the parent of the true taxon (within
        the taxon itself, for roots); no answer is an error.

    Raises
    ------
    SchemaError
        If a name is no taxon of `taxonomy`, with the nearest right name.
    ValueError
        If the two differ in length, or are empty.

    References
    ----------
    Kiritchenko et al. 2006, Learning and evaluation in the presence of class hierarchies, Canadian AI.

    Examples
    --------
    >>> from aqqua_science.objects.taxonomy import Taxonomy
    >>> tree = Taxonomy({"Copepoda": None, "Calanus": "Copepoda", "Oithona": "Copepoda", "detritus": None})
    >>> scores = hierarchical_scores(["Calanus", "Calanus"], ["Oithona", "Calanus"], tree)
    >>> scores["f1"], scores["parent_error_rate"]
    (0.75, 0.0)
    """
    truth, predicted = list(truth), list(predicted)
    if len(truth) != len(predicted) or not truth:
        msg = f"truth and predicted name one taxon for each object; got {len(truth)} and {len(predicted)}."
        raise ValueError(msg)
    roots = [name for name, up in taxonomy.parents.items() if up is None]
    vacuous = set(roots) if len(roots) == 1 else set()
    right = [taxonomy.lineage(name) for name in truth]
    found = [() if is_absent(name) else taxonomy.lineage(name) for name in predicted]
    shared = sum(len(set(a) & set(b) - vacuous) for a, b in zip(right, found, strict=True))
    precision, recall = (_share(shared, sum(len(set(x) - vacuous) for x in lineages)) for lineages in (found, right))
    missed = [a[min(1, len(a) - 1)] not in b for a, b in zip(right, found, strict=True)]
    return {
        "precision": precision,
        "recall": recall,
        "f1": _share(2 * precision * recall, precision + recall),
        "parent_error_rate": float(np.mean(missed)),
    }


def _share(part, whole):
    return float(part / whole) if whole else 0.0
