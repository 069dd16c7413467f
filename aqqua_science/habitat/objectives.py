"""What the trees are fitted to: likelihoods for skewed amounts with many zeros."""

from dataclasses import dataclass, field

import numpy as np
import xgboost as xgb

MAX_TREES = 2000
"""Most trees that early stopping lets a member grow."""

_PATIENCE = 50
_FIXED = {"reg_lambda": 1.0, "gamma": 0.0, "colsample_bytree": 1.0, "max_delta_step": 0.0}


@dataclass(frozen=True)
class Likelihood:
    """What one chain of trees is fitted to, in the words of xgboost."""

    objective: str
    metric: str
    constants: dict = field(default_factory=dict)


_GAMMA = Likelihood("reg:gamma", "gamma-deviance")
LIKELIHOODS = {
    # The step limit is xgboost's own default for counts: without it Newton steps from a low base score overflow.
    "poisson": (Likelihood("count:poisson", "poisson-nloglik", {"max_delta_step": 0.7}),),
    "tweedie": (Likelihood("reg:tweedie", "tweedie-nloglik@1.5", {"tweedie_variance_power": 1.5}),),
    "gamma": (_GAMMA,),
    "two-part": (Likelihood("binary:logistic", "logloss"), _GAMMA),
    "log": (Likelihood("reg:squarederror", "rmse"),),
}
"""The chains of trees of each objective, in the order that `labels` and `combine` use."""

OFFSET_OBJECTIVES = ("poisson", "tweedie", "gamma")
"""Objectives of one chain with a log link, in which log(volume) can stand as an offset."""


def choose_scale(amount):
    """
    Factor that turns amounts into counts.

    Parameters
    ----------
    amount : array_like
        Non-negative, with at least one positive value.

    Returns
    -------
    float
        1 when all amounts are whole numbers already; otherwise ``ceil(1 / q01 / 100) * 1000`` with q01
        the 1 % quantile of the positive amounts, so that the smallest amounts become about ten counts
        or more (Drago et al. 2022, Frontiers in Marine Science 9:894372).

    Examples
    --------
    >>> choose_scale([0.0, 0.5, 2.5])
    1000.0
    >>> choose_scale([0, 3, 7])
    1.0
    """
    amount = np.asarray(amount, dtype=float)
    if (amount == np.round(amount)).all():
        return 1.0
    return float(np.ceil(1 / np.quantile(amount[amount > 0], 0.01) / 100) * 1000)


def labels(objective, amount, *, log_constant):
    """
    Label of every row for each chain of trees, and the rows it uses.

    Parameters
    ----------
    objective : str
        A key of `LIKELIHOODS`.
    amount : numpy.ndarray, shape (n,)
        Scaled amounts.
    log_constant : float
        Added before the logarithm of objective "log".

    Returns
    -------
    list of (numpy.ndarray, numpy.ndarray of bool)

    Examples
    --------
    >>> [(label, used)] = labels("poisson", np.array([0.2, 2.7]), log_constant=0.0)
    >>> label
    array([0., 3.])
    """
    every = np.ones(len(amount), dtype=bool)
    positive = amount > 0
    return {
        "poisson": lambda: [(np.round(amount), every)],
        "tweedie": lambda: [(amount, every)],
        "gamma": lambda: [(amount, every)],
        "two-part": lambda: [(positive.astype(float), every), (amount, positive)],
        "log": lambda: [(np.log(amount + log_constant), every)],
    }[objective]()


def combine(objective, parts, *, log_constant):
    """
    Turn the predictions of the chains into the scaled amount.

    Parameters
    ----------
    objective : str
    parts : list of numpy.ndarray
        One prediction for each chain of trees.
    log_constant : float

    Returns
    -------
    numpy.ndarray
        For "two-part" presence times amount; for "log" before the correction of `smearing_ratio`.

    Examples
    --------
    >>> combine("two-part", [np.array([0.5]), np.array([6.0])], log_constant=0.0)
    array([3.])
    """
    if objective == "two-part":
        return parts[0] * parts[1]
    if objective == "log":
        return np.maximum(np.exp(parts[0]) - parts[0].dtype.type(log_constant), 0)
    return parts[0]


def smearing_ratio(amount, predicted, *, weight):
    """
    Factor that makes predictions keep the total they were fitted to.

    The mean of a back-transformed logarithm is too low. Duan (1983, Journal of the American Statistical
    Association 78:605) multiplies by the mean of the exponentiated residuals, which lets every sample
    count alike; the ratio of the sums (Snowdon 1991, Canadian Journal of Forest Research 21:720) keeps the
    total, which is what a budget adds up.

    Parameters
    ----------
    amount, predicted, weight : numpy.ndarray, shape (n,)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If nothing is predicted anywhere: no factor makes that an amount.

    Examples
    --------
    >>> smearing_ratio(np.array([1.0, 5.0]), np.array([1.0, 3.0]), weight=np.ones(2))
    1.5
    """
    total = (weight * predicted).sum()
    if not total > 0:
        msg = (
            f"a member predicts 0 for each of its {np.count_nonzero(weight)} samples, of which "
            f"{(amount[weight > 0] > 0).sum()} are positive. Let it learn from more samples, or choose another learner."
        )
        raise ValueError(msg)
    return float((weight * amount).sum() / total)


def mean_label(label, *, weight, exposure=None, likelihood):
    """
    Weighted mean of the labels, the constant from which the trees start.

    Parameters
    ----------
    label, weight : numpy.ndarray, shape (n,)
    exposure : numpy.ndarray, shape (n,), or None
        Sampled volume; the mean is then per unit of volume.
    likelihood : Likelihood

    Returns
    -------
    float
        Inside (0, 1) for presences, where a mean of exactly 0 or 1 has no logit.

    Examples
    --------
    >>> mean_label(np.array([0.0, 4.0]), weight=np.array([3.0, 1.0]), likelihood=LIKELIHOODS["poisson"][0])
    1.0
    """
    mean = float((weight * label).sum() / (weight * (1 if exposure is None else exposure)).sum())
    if likelihood.objective == "binary:logistic":
        margin = 0.5 / (weight.sum() + 1)
        return float(np.clip(mean, margin, 1 - margin))
    return mean


def parameters(likelihood, **chosen):
    """
    Every xgboost parameter that shapes the trees, none left to the version's defaults.

    Parameters
    ----------
    likelihood : Likelihood
    **chosen
        Values that go over the fixed ones.

    Returns
    -------
    dict

    Examples
    --------
    >>> parameters(LIKELIHOODS["poisson"][0], max_depth=4)["max_delta_step"]
    0.7
    """
    return {**_FIXED, **likelihood.constants, "objective": likelihood.objective, **chosen}


def grow(training, held_out, *, parameters, metric, n_trees):
    """
    Grow one chain of trees.

    Parameters
    ----------
    training, held_out : dict
        ``data``, ``label``, ``weight`` and ``base_margin`` (or None) of the rows to learn from and of those
        to stop on; `held_out` is used only when `n_trees` is None.
    parameters : dict
        Of xgboost.
    metric : str
        The deviance whose rise on `held_out` ends the growth.
    n_trees : int or None

    Returns
    -------
    xgboost.Booster

    Examples
    --------
    >>> rows = {"data": np.arange(8.0)[:, None], "label": np.arange(8.0), "weight": None, "base_margin": None}
    >>> grow(rows, None, parameters={"nthread": 1}, metric="rmse", n_trees=3).num_boosted_rounds()
    3
    """
    form = xgb.QuantileDMatrix if parameters.get("tree_method") == "hist" else xgb.DMatrix
    matrix = form(**training, nthread=1)
    if n_trees is not None:
        return xgb.train(parameters, matrix, n_trees)
    watched = xgb.DMatrix(**held_out, nthread=1)
    booster = xgb.train(
        {**parameters, "eval_metric": metric},
        matrix,
        MAX_TREES,
        evals=[(watched, "held_out")],
        early_stopping_rounds=_PATIENCE,
        verbose_eval=False,
    )
    return booster[: booster.best_iteration + 1]
