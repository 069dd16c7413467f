"""Labels as people give them: some rows have none, classes are uneven, and objects come in samples."""

import numpy as np
import pandas as pd
from sklearn.utils import compute_class_weight
from sklearn.utils.validation import column_or_1d

from aqqua_science.schema import nearest_name

_NOT_OF_PEOPLE = ("predicted", "dubious")
"""Taxa of this taxon_status are nobody's word."""

_REMEDY = "or pass groups=None, which flatters the scores"


def said_by_people(table, label):
    """
    Tell rows whose label a person gave.

    Parameters
    ----------
    table : pandas.DataFrame
    label : str
        Its column of labels, empty where there are none. Of ``taxon``, those whose ``taxon_status`` is "predicted" or
        "dubious" do not count, where the table tells it.

    Returns
    -------
    pandas.Series of bool
        Indexed as the table.
    """
    known = table[label].notna()
    said = known & (table[label].astype(object).where(known, "") != "")
    if label == "taxon" and "taxon_status" in table.columns:
        said &= ~table["taxon_status"].isin(_NOT_OF_PEOPLE)
    return said.astype(bool)


def split_labels(y):
    """
    Tell rows with a label from rows without.

    Parameters
    ----------
    y : array_like, shape (n,)

    Returns
    -------
    y : numpy.ndarray, shape (n,)
    known : numpy.ndarray of bool, shape (n,)
        False where the label is None, NaN or "".

    Raises
    ------
    ValueError
        If there are no labels at all, or infinite ones.
    """
    if y is None:
        msg = "This TaxonClassifier estimator requires y to be passed, but the target y is None."
        raise ValueError(msg)
    y = column_or_1d(np.asarray(y), warn=True)
    if y.dtype.kind == "f" and np.isinf(y).any():
        row = int(np.flatnonzero(np.isinf(y))[0])
        msg = f"Input y contains infinity in row {row}. Labels are names or whole numbers."
        raise ValueError(msg)
    known = ~pd.isna(y)
    known[known] = y[known].astype(object) != ""
    return y, known


def number_groups(groups, known):
    """
    Number the groups of the labelled rows from 0.

    Parameters
    ----------
    groups : array_like, shape (n,), or None
        Sample or cruise of each row.
    known : numpy.ndarray of bool, shape (n,)

    Returns
    -------
    codes : numpy.ndarray of int, shape (known.sum(),), or None
    names : numpy.ndarray or None
        Of each number.

    Raises
    ------
    ValueError
        If labelled rows have no group, or all the same.
    """
    if groups is None:
        return None, None
    groups = np.asarray(groups)
    if groups.shape != known.shape:
        msg = f"groups must name the sample or cruise of each of the {len(known)} rows; their shape is {groups.shape}."
        raise ValueError(msg)
    if (lacking := pd.isna(groups[known])).any():
        msg = f"{lacking.sum()} of {known.sum()} labelled rows lie in no group. Name their sample or cruise, {_REMEDY}."
        raise ValueError(msg)
    codes, names = pd.factorize(groups[known])
    if len(names) < 2:
        only = names.tolist()[0]
        msg = (
            f"all {known.sum()} labelled rows lie in one group, {only!r}: none can be held out. Label objects of other "
            f"groups, {_REMEDY}."
        )
        raise ValueError(msg)
    return codes, names


def check_class_weight(class_weight, names):
    """
    Refuse weights that fit no class.

    Parameters
    ----------
    class_weight : {"balanced"}, dict or None
    names : numpy.ndarray
        Of all classes.

    Raises
    ------
    ValueError
        If the choice is unknown, or a name is no class.
    """
    if not isinstance(class_weight, dict):
        if class_weight in ("balanced", None):
            return
        msg = f"class_weight must be 'balanced', a dict or None; got {class_weight!r}."
        raise ValueError(msg)
    for name, weight in class_weight.items():
        if name not in names.tolist():
            msg = f"class_weight names {name!r}, which no label is.{nearest_name(name, names)}"
            raise ValueError(msg)
        if not weight > 0:
            msg = f"class_weight must be positive; {name!r} has {weight!r}. To leave a class out, drop its rows."
            raise ValueError(msg)


def class_weights(class_weight, codes, *, names):
    """
    Weight of an object of each class.

    Parameters
    ----------
    class_weight : {"balanced"}, dict or None
    codes : numpy.ndarray of int, shape (n,)
        Classes, numbered from 0, each present.
    names : numpy.ndarray, shape (k,)

    Returns
    -------
    numpy.ndarray, shape (k,)
        "balanced": the same total for every class, 1 on average over the objects.
    """
    if class_weight == "balanced":
        return compute_class_weight("balanced", classes=np.arange(len(names)), y=codes)
    return np.array([float((class_weight or {}).get(name, 1)) for name in names.tolist()])
