"""What a held-out sample costs a model: losses by row, so that folds, repeats and models can be compared in pairs."""

from functools import partial

import numpy as np
import pandas as pd
from scipy.special import xlogy

from aqqua_science.habitat.validation import fold_fits
from aqqua_science.schema import nearest_name

LOSSES = ("deviance", "squared", "absolute")
"""Poisson deviance for amounts, which weighs errors as counts do; squared and absolute error for the rest."""


def choose_loss(loss, amounts):
    """
    Loss of each row as a function of observed and predicted amounts.

    Parameters
    ----------
    loss : {"deviance", "squared", "absolute"} or None
        None stands for "deviance" where no amount is negative and some are not zero, else for "squared".
    amounts : array_like
        All observed amounts. Half the smallest positive one is the least prediction that the deviance knows: zero
        predicted where something was found would cost infinitely much, and one such row would decide everything.

    Returns
    -------
    callable
        Of two arrays that broadcast; gives the losses.

    Raises
    ------
    ValueError
        If the loss is unknown, or a deviance is asked of negative or only zero amounts.

    Examples
    --------
    >>> choose_loss("deviance", [0.0, 2.0])([0.0, 2.0], [1.0, 2.0])
    array([2., 0.])
    """
    amounts = np.asarray(amounts, dtype=float)
    countable = amounts.min() >= 0 and amounts.max() > 0
    if loss is None:
        loss = "deviance" if countable else "squared"
    if loss not in LOSSES:
        msg = f"loss must be one of {LOSSES}; got {loss!r}.{nearest_name(loss, LOSSES)}"
        raise ValueError(msg)
    if loss == "deviance" and not countable:
        msg = (
            f"the deviance is of amounts that are not negative, nor all zero; these lie in {amounts.min():g} to "
            f"{amounts.max():g}. Use loss='squared'."
        )
        raise ValueError(msg)
    if loss == "deviance":
        return partial(_deviance, least=amounts[amounts > 0].min() / 2)
    return _squared if loss == "squared" else _absolute


def held_out_losses(model, table, splits, *, target, predictors, loss=None, groups=None, volume=None):
    """
    Losses of a model, and of the training mean, on rows it has not seen.

    Parameters
    ----------
    model, table, target, groups, volume
        As in `aqqua_science.habitat.cross_validate`.
    splits : list of (array, array)
    predictors : list of str
    loss : str, optional
        As in `choose_loss`.

    Returns
    -------
    pandas.DataFrame
        A row for each held-out row, in the order of the splits: ``row`` (its position), ``fold``, ``loss``, and
        ``null_loss``, that of predicting the mean of the training part.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> table = pd.DataFrame({"depth": [5.0, 5.0], "biomass": [1.0, 3.0]})
    >>> splits = [([0], [1]), ([1], [0])]
    >>> losses = held_out_losses(
    ...     DummyRegressor(), table, splits, target="biomass", predictors=["depth"], loss="squared"
    ... )
    >>> losses["loss"].tolist(), explained(losses)
    ([4.0, 4.0], 0.0)
    """
    observed = table[target].to_numpy(dtype=float)
    measure = choose_loss(loss, observed)
    columns = {"target": target, "predictors": predictors, "groups": groups, "volume": volume}
    parts = []
    for fold, (fitted, train, test) in enumerate(fold_fits(model, table, splits, **columns)):
        predicted = fitted.predict(table.iloc[test][predictors])
        parts.append(loss_rows(measure, observed, predicted, train=train, test=test).assign(fold=fold))
    return pd.concat(parts, ignore_index=True)


def loss_rows(measure, observed, predicted, *, train, test):
    """
    Losses of one fold.

    Parameters
    ----------
    measure : callable
        Of `choose_loss`.
    observed : numpy.ndarray
        Of all rows.
    predicted : numpy.ndarray
        Of the held-out ones.
    train, test : array of int
        Positions of the rows.

    Returns
    -------
    pandas.DataFrame
        Columns ``row``, ``loss`` and ``null_loss``.

    Examples
    --------
    >>> rows = loss_rows(_squared, np.array([1.0, 3.0]), np.array([2.0]), train=[0], test=[1])
    >>> rows.to_dict("list")
    {'row': [1], 'loss': [1.0], 'null_loss': [4.0]}
    """
    known = observed[train]
    # The mean of equal values may differ from them in the last digit.
    mean = np.clip(known.mean(), known.min(), known.max())
    return pd.DataFrame(
        {"row": test, "loss": measure(observed[test], predicted), "null_loss": measure(observed[test], mean)}
    )


def explained(losses):
    """
    Share of the null loss that a model takes away, over all held-out rows.

    Parameters
    ----------
    losses : pandas.DataFrame
        Columns ``loss`` and ``null_loss``.

    Returns
    -------
    float
        1 for perfect predictions, 0 for those of the training mean, negative for worse.

    Raises
    ------
    ValueError
        If the training mean is right everywhere: there is nothing to explain.

    Examples
    --------
    >>> explained(pd.DataFrame({"loss": [1.0, 0.0], "null_loss": [1.0, 3.0]}))
    0.75
    """
    null = losses["null_loss"].sum()
    if not null > 0:
        msg = (
            f"there is nothing to explain: all {len(losses)} held-out amounts are the mean of the training samples. "
            "Check the target and the taxon."
        )
        raise ValueError(msg)
    return float(1 - losses["loss"].sum() / null)


def _deviance(observed, predicted, *, least):
    observed, mean = np.asarray(observed, dtype=float), np.maximum(predicted, least)
    return 2 * (xlogy(observed, observed / mean) - observed + mean)


def _squared(observed, predicted):
    return (np.asarray(observed, dtype=float) - predicted) ** 2


def _absolute(observed, predicted):
    return np.abs(np.asarray(observed, dtype=float) - predicted)
