"""Samples as the trees see them: checked, weighted and scaled."""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from aqqua_science.habitat import objectives
from aqqua_science.schema import nearest_name

SKEWNESS = 5
"""A positive predictor counts by its logarithm where its 98 % quantile exceeds the median this many times."""


@dataclass(frozen=True, kw_only=True)
class TrainingSamples:
    """
    Aligned arrays with one row per sample.

    Parameters
    ----------
    X : numpy.ndarray of float32, shape (n, p)
        Predictors.
    amount : numpy.ndarray, shape (n,)
        Scaled amounts.
    weight : numpy.ndarray, shape (n,)
    exposure : numpy.ndarray, shape (n,), or None
        Volumes that `amount` holds, where they stand as an offset.
    groups : numpy.ndarray of int, shape (n,), or None

    Examples
    --------
    >>> samples = TrainingSamples(
    ...     X=np.eye(2), amount=np.array([0.0, 3.0]), weight=np.ones(2), exposure=None, groups=None
    ... )
    >>> samples.take(samples.amount > 0).amount
    array([3.])
    """

    X: np.ndarray
    amount: np.ndarray
    weight: np.ndarray
    exposure: np.ndarray | None
    groups: np.ndarray | None

    def take(self, rows):
        """
        Choose rows.

        Parameters
        ----------
        rows : numpy.ndarray of bool or int

        Returns
        -------
        TrainingSamples
        """
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return TrainingSamples(**{name: None if column is None else column[rows] for name, column in columns.items()})

    def matrix(self, label, *, weight, start, rows):
        """
        Arguments of an xgboost matrix.

        Parameters
        ----------
        label, weight : numpy.ndarray, shape (n,)
        start : float
            Starting value of the trees; an offset replaces it, so the offset carries it along.
        rows : numpy.ndarray of bool, shape (n,)

        Returns
        -------
        dict
        """
        margin = None if self.exposure is None else np.log(start * self.exposure[rows])
        return {"data": self.X[rows], "label": label[rows], "weight": weight[rows], "base_margin": margin}


def check_amounts(amount, *, objective):
    """
    Refuse amounts that an objective cannot be fitted to.

    Parameters
    ----------
    amount : numpy.ndarray, shape (n,)
    objective : str

    Raises
    ------
    ValueError
        If amounts are negative, or all zero, or some zero where the objective knows none.

    Examples
    --------
    >>> check_amounts(np.array([0.0, 2.0]), objective="poisson")
    """
    zeros = (amount == 0).sum()
    if (amount < 0).any():
        msg = f"amounts must not be negative; {(amount < 0).sum()} of {len(amount)} are, the least is {amount.min():g}."
        raise ValueError(msg)
    if zeros == len(amount):
        msg = f"all {len(amount)} amounts are 0: there is nothing to relate to the environment. Check target and taxon."
        raise ValueError(msg)
    if objective == "gamma" and zeros:
        msg = (
            f"objective='gamma' needs positive amounts; {zeros} of {len(amount)} are 0. "
            "Use objective='two-part', which models the zeros too."
        )
        raise ValueError(msg)


def checked_scale(scale, amount, *, objective):
    """
    The scale to use: chosen if None, else refused where counts would lose most of the amounts.

    Parameters
    ----------
    scale : float or None
    amount : numpy.ndarray, shape (n,)
    objective : str

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If `scale` is not positive, or rounds more than half of the positive amounts to a count of 0.

    Examples
    --------
    >>> checked_scale(None, np.array([0.0, 0.02, 0.5]), objective="poisson")
    1000.0
    """
    if scale is None:
        return objectives.choose_scale(amount)
    if not scale > 0:
        msg = f"scale must be positive; got {scale}."
        raise ValueError(msg)
    lost = (np.round(amount[amount > 0] * scale) == 0).mean()
    if objective == "poisson" and lost > 0.5:
        msg = (
            f"scale={scale:g} rounds {lost:.0%} of the positive amounts to a count of 0. "
            f"Use scale={objectives.choose_scale(amount):g}, or scale=None to have it chosen."
        )
        raise ValueError(msg)
    return float(scale)


def checked_volume(volume, n):
    """
    Sampled volumes as an array.

    Parameters
    ----------
    volume : array_like or None
        m3.
    n : int
        Number of samples.

    Returns
    -------
    numpy.ndarray, shape (n,), or None

    Raises
    ------
    ValueError
        If a volume is missing or not positive.

    Examples
    --------
    >>> checked_volume([1, 2], 2)
    array([1., 2.])
    """
    if volume is None:
        return None
    volume = np.asarray(volume, dtype=np.float64)
    if volume.shape != (n,) or not (np.isfinite(volume) & (volume > 0)).all():
        msg = f"volume must hold a positive number of m3 for each of the {n} samples. Drop samples without one."
        raise ValueError(msg)
    return volume


def numbered_groups(groups, used, *, resampling):
    """
    Number the groups of the used samples from 0.

    Parameters
    ----------
    groups : array_like, shape (n,), or None
        Labels of blocks or cruises.
    used : numpy.ndarray of bool, shape (n,)
    resampling : str or None
        "blocks" and "groups" need at least two groups.

    Returns
    -------
    numpy.ndarray of int, shape (used.sum(),), or None

    Raises
    ------
    ValueError
        If labels are missing or too few.

    Examples
    --------
    >>> numbered_groups(["north", "south", "north"], np.array([True, True, True]), resampling="groups")
    array([0, 1, 0])
    """
    remedy = "Pass fit(..., groups=SpatialBlocks(20).blocks(table)), or cruises, or use resampling='stratified'."
    needed = resampling in ("blocks", "groups")
    if groups is None and not needed:
        return None
    if groups is None:
        msg = f"resampling={resampling!r} needs groups, the block or cruise of each sample. {remedy}"
        raise ValueError(msg)
    groups = np.asarray(groups)
    if groups.shape != used.shape or pd.isna(groups).any():
        msg = f"groups must hold a label for each of the {len(used)} samples; shape is {groups.shape}, or some are NaN."
        raise ValueError(msg)
    codes, labels = pd.factorize(groups[used])
    if needed and len(labels) < 2:
        msg = f"resampling={resampling!r} needs two groups or more; all {len(codes)} samples lie in one. {remedy}"
        raise ValueError(msg)
    return codes


def check_finite(X, *, names, missing):
    """
    Refuse infinite predictors, and missing ones unless they are dealt with.

    Parameters
    ----------
    X : numpy.ndarray, shape (n, p)
    names : list of str
    missing : {"refuse", "impute", "allow"}

    Raises
    ------
    ValueError
        Naming the predictors and how many of their values are at fault.

    Examples
    --------
    >>> check_finite(np.array([[1.0, np.nan]]), names=["temperature", "chlorophyll"], missing="refuse")
    Traceback (most recent call last):
    ...
    ValueError: predictors must be finite, not NaN; of 1 rows: chlorophyll (1). ...
    """
    for value, test in (("inf", np.isinf), ("NaN", np.isnan)):
        counts = test(X).sum(axis=0)
        if counts.any() and (value == "inf" or missing == "refuse"):
            remedy = "" if value == "inf" else ", or pass missing='impute' or 'allow'"
            msg = (
                f"predictors must be finite, not {value}; of {len(X)} rows: {listing(names, counts)}. "
                f"Drop these rows{remedy}."
            )
            raise ValueError(msg)


def check_vary(X, *, names):
    """
    Refuse predictors that cannot explain anything.

    Parameters
    ----------
    X : numpy.ndarray, shape (n, p)
    names : list of str

    Raises
    ------
    ValueError
        Naming the predictors that are constant or empty.

    Examples
    --------
    >>> check_vary(np.array([[1.0, 5.0], [2.0, 5.0]]), names=["temperature", "salinity"])
    Traceback (most recent call last):
    ...
    ValueError: predictors must vary; constant or empty in all 2 samples: salinity. Leave them out.
    """
    constant = ~(np.fmax.reduce(X, axis=0, initial=np.nan) > np.fmin.reduce(X, axis=0, initial=np.nan))
    if constant.any():
        msg = (
            f"predictors must vary; constant or empty in all {len(X)} samples: "
            f"{', '.join(np.array(names)[constant])}. Leave them out."
        )
        raise ValueError(msg)


def skewed(values):
    """
    Tell which predictors are better seen by their logarithm, as chlorophyll is.

    Parameters
    ----------
    values : numpy.ndarray, shape (n, p) or (n,)

    Returns
    -------
    numpy.ndarray of bool, shape (p,), or bool

    Examples
    --------
    >>> skewed(np.column_stack([np.linspace(0, 30, 99), np.geomspace(0.01, 10, 99)]))
    array([False,  True])
    """
    return (values.min(axis=0) > 0) & (np.quantile(values, 0.98, axis=0) > SKEWNESS * np.median(values, axis=0))


def constraints(monotone, names):
    """
    Monotone constraints in the form and order of xgboost.

    Parameters
    ----------
    monotone : dict or None
        Predictor name to -1, 0 or 1.
    names : list of str

    Returns
    -------
    dict
        Empty without constraints.

    Raises
    ------
    ValueError
        If a name is no predictor or a sign is none of the three.

    Examples
    --------
    >>> constraints({"nitrate": 1}, ["temperature", "nitrate"])
    {'monotone_constraints': '(0,1)'}
    """
    for name, sign in (monotone or {}).items():
        if name not in names or sign not in (-1, 0, 1):
            msg = f"monotone maps predictors to -1, 0 or 1; got {name!r}: {sign!r}.{nearest_name(name, names)}"
            raise ValueError(msg)
    return {"monotone_constraints": f"({','.join(str(monotone.get(n, 0)) for n in names)})"} if monotone else {}


def listing(names, counts):
    """
    Name what is counted, without zeros.

    Parameters
    ----------
    names : list of str
    counts : iterable of int

    Returns
    -------
    str

    Examples
    --------
    >>> listing(["temperature", "chlorophyll"], [0, 27])
    'chlorophyll (27)'
    """
    return ", ".join(f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count)
