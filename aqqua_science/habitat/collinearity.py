"""Predictors that tell the same: clusters by rank correlation, inflated variances, gaps, and what samples cover."""

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.base import clone

from aqqua_science import schema
from aqqua_science.grids.geometry import cell_area
from aqqua_science.habitat.losses import explained, held_out_losses
from aqqua_science.habitat.training import check_finite, check_vary, constraints

THRESHOLD = 0.8
"""Rank correlation, regardless of sign, from which two predictors count as one."""

_EXACT = 1e-10


def report_predictors(table, *, predictors, skill=None, env=None, threshold=THRESHOLD):
    """
    Report what a choice of predictors suffers from before any model is fitted.

    Parameters
    ----------
    table : pandas.DataFrame
        Samples with their predictors.
    predictors : list of str
    skill : pandas.Series or dict, optional
        Skill of each predictor alone, such as `univariate_skill`: the best of a cluster is kept. By default that which
        has most in common with the rest of its cluster.
    env : xarray.Dataset, optional
        The grid to be mapped.
    threshold : float

    Returns
    -------
    pandas.DataFrame
        By cluster, one row for each predictor: ``predictor``; ``cluster``, from 1; ``nearest``, the predictor it
        correlates with most, and ``correlation``, that of Spearman; ``vif``, the factor by which the others inflate the
        variance of a linear coefficient; ``skill``; ``keep``; ``missing_share`` of the samples; with `env`
        ``range_covered``, the share of the map's range between the least and the greatest sample, and
        ``area_covered``, the share of its area.

    Raises
    ------
    SchemaError
        If a column is absent.
    ValueError
        If a predictor is constant.

    References
    ----------
    Dormann, C. F. et al. (2013). Collinearity: a review of methods to deal with it and a simulation study evaluating
    their performance. Ecography 36, 27-46.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"temperature": rng.uniform(0, 30, 100), "salinity": rng.uniform(33, 37, 100)})
    >>> table["oxygen"] = 400 - 6 * table["temperature"]
    >>> report = report_predictors(table, predictors=["temperature", "salinity", "oxygen"])
    >>> report[["predictor", "cluster", "keep"]].values.tolist()
    [['temperature', 1, True], ['oxygen', 1, False], ['salinity', 2, True]]
    """
    correlation = rank_correlation(table, predictors=predictors)
    clusters = cluster_predictors(correlation, threshold=threshold)
    nearest = _nearest(correlation)
    report = pd.DataFrame(
        {
            "predictor": clusters.index,
            "cluster": clusters,
            "nearest": nearest,
            "correlation": [correlation.loc[name, other] if other else np.nan for name, other in nearest.items()],
            "vif": variance_inflation(table, predictors=predictors),
            "skill": np.nan if skill is None else pd.Series(skill, dtype=float).reindex(clusters.index),
            "keep": clusters.index.isin(choose_of_clusters(clusters, correlation, skill=skill)),
            "missing_share": table[list(predictors)].isna().mean(),
        }
    )
    if env is not None:
        report = report.assign(**_coverage(table, env, predictors))
    order = clusters.groupby(clusters).cumcount()
    return report.assign(order=order).sort_values(["cluster", "order"]).drop(columns="order").reset_index(drop=True)


def rank_correlation(table, *, predictors):
    """
    Spearman's correlation of all pairs of predictors, of the rows that have both; 0 where fewer than three do.

    Parameters
    ----------
    table : pandas.DataFrame
    predictors : list of str

    Returns
    -------
    pandas.DataFrame, shape (p, p)

    Raises
    ------
    SchemaError
        If a column is absent.
    ValueError
        If a predictor is constant or infinite, or there is none.

    Examples
    --------
    >>> table = pd.DataFrame({"temperature": [1.0, 2.0, 3.0], "oxygen": [9.0, 4.0, 1.0]})
    >>> float(rank_correlation(table, predictors=["temperature", "oxygen"]).loc["oxygen", "temperature"])
    -1.0
    """
    names = list(predictors)
    if not names or len(set(names)) < len(names):
        msg = f"predictors must name columns, each once; got {names}."
        raise ValueError(msg)
    schema.require_columns(table, names)
    values = table[names].astype(float)
    check_finite(values.to_numpy(), names=names, missing="allow")
    check_vary(values.to_numpy(), names=names)
    # Two predictors that at most two rows have together have no correlation that could be seen.
    return values.corr(method="spearman", min_periods=3).fillna(0.0)


def cluster_predictors(correlation, *, threshold=THRESHOLD):
    """
    Cluster predictors so that within a cluster every pair correlates at least at a threshold.

    Parameters
    ----------
    correlation : pandas.DataFrame, shape (p, p)
    threshold : float
        Of the absolute correlation, in 0..1.

    Returns
    -------
    pandas.Series of int
        Number of the cluster of each predictor, from 1 in the order of the predictors.

    Raises
    ------
    ValueError
        If the threshold is not in 0..1.

    Notes
    -----
    Complete linkage: a chain of predictors, each alike to the next only, is not one cluster, since none could stand
    for all.

    Examples
    --------
    >>> names = ["temperature", "oxygen", "salinity"]
    >>> correlation = pd.DataFrame([[1, -0.9, 0.1], [-0.9, 1, 0], [0.1, 0, 1]], index=names, columns=names)
    >>> cluster_predictors(correlation).tolist()
    [1, 1, 2]
    """
    if not 0 <= threshold <= 1:
        msg = f"threshold is a correlation without its sign and must be in 0..1; got {threshold}. Try {THRESHOLD}."
        raise ValueError(msg)
    if len(correlation) == 1:
        return pd.Series([1], index=correlation.index, name="cluster")
    labels = fcluster(_tree(correlation), 1 - threshold + _EXACT, criterion="distance")
    return pd.Series(pd.factorize(labels)[0] + 1, index=correlation.index, name="cluster")


def choose_of_clusters(clusters, correlation, *, skill=None):
    """
    Choose one predictor of each cluster.

    Parameters
    ----------
    clusters : pandas.Series of int
        Of `cluster_predictors`.
    correlation : pandas.DataFrame, shape (p, p)
    skill : pandas.Series or dict, optional
        Of each predictor; the best is chosen. By default that with the highest mean absolute correlation within
        its cluster. The first of equals.

    Returns
    -------
    list of str
        In the order of the predictors.

    Examples
    --------
    >>> names = ["temperature", "oxygen", "salinity"]
    >>> correlation = pd.DataFrame([[1, -0.9, 0.1], [-0.9, 1, 0], [0.1, 0, 1]], index=names, columns=names)
    >>> clusters = pd.Series([1, 1, 2], index=names)
    >>> choose_of_clusters(clusters, correlation, skill={"temperature": 0.1, "oxygen": 0.4, "salinity": 0.2})
    ['oxygen', 'salinity']
    """
    if skill is None:
        skill = {name: correlation.loc[name, clusters == clusters[name]].abs().mean() for name in clusters.index}
    merit = pd.Series(skill, dtype=float).reindex(clusters.index).fillna(-np.inf)
    chosen = set(merit.groupby(clusters).idxmax())
    return [name for name in clusters.index if name in chosen]


def variance_inflation(table, *, predictors):
    """
    Variance inflation factor of each predictor, 1 / (1 - R2) of its linear regression on all others.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows that lack a predictor are left out.
    predictors : list of str

    Returns
    -------
    pandas.Series
        At least 1, infinite for one that is a linear function of the others; NaN for one that is constant in the
        complete rows, and for all if fewer rows are complete than there are coefficients.

    References
    ----------
    Marquardt, D. W. (1970). Generalized inverses, ridge regression, biased linear estimation, and nonlinear
    estimation. Technometrics 12, 591-612.

    Examples
    --------
    >>> table = pd.DataFrame({"temperature": [1.0, 2.0, 3.0, 4.0], "depth": [1.0, -1.0, -1.0, 1.0]})
    >>> variance_inflation(table, predictors=["temperature", "depth"]).tolist()
    [1.0, 1.0]
    """
    rows = table[list(predictors)].astype(float).dropna()
    if len(rows) <= len(rows.columns):
        return pd.Series(np.nan, index=rows.columns, name="vif")
    values = (rows - rows.mean()) / rows.std().replace(0.0, 1.0)
    return pd.Series({name: _inflation(values, name) for name in values}, name="vif")


def univariate_skill(model, table, splits, *, target, predictors, loss=None, **columns):
    """
    Skill of a model that knows a single predictor, for each of them.

    Parameters
    ----------
    model, table, target
        As in `aqqua_science.habitat.cross_validate`.
    splits : list of (array, array)
        Such as `aqqua_science.habitat.validation.checked_splits`.
    predictors : list of str
    loss : str, optional
        As in `aqqua_science.habitat.losses.choose_loss`.
    **columns
        `groups` and `volume`.

    Returns
    -------
    pandas.Series
        Share of the loss that is explained in held-out rows; negative for worse than the mean.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> table = pd.DataFrame({"depth": [0.0, 1.0, 2.0], "biomass": [0.0, 1.0, 2.0]})
    >>> splits = [([0, 1], [2]), ([1, 2], [0])]
    >>> columns = {"target": "biomass", "predictors": ["depth"], "loss": "squared"}
    >>> univariate_skill(LinearRegression(), table, splits, **columns).tolist()
    [1.0]
    """
    return pd.Series(
        {
            name: explained(
                held_out_losses(
                    constrained(model, [name]), table, splits, target=target, predictors=[name], loss=loss, **columns
                )
            )
            for name in predictors
        },
        name="skill",
        dtype=float,
    )


def check_constraints(model, predictors):
    """
    Refuse monotone constraints of predictors that are not there.

    Parameters
    ----------
    model : scikit-learn regressor
    predictors : list of str

    Raises
    ------
    ValueError
        If a name is no predictor or a sign is none of -1, 0 and 1.

    Examples
    --------
    >>> from aqqua_science.habitat.model import BoostedTrees
    >>> check_constraints(BoostedTrees(monotone={"nitrate": 1}), ["nitrate", "oxygen"])
    """
    for part in [model, *(getattr(model, "learners", None) or {}).values()]:
        constraints(getattr(part, "monotone", None), predictors)


def constrained(model, predictors):
    """
    Make a model whose monotone constraints are those of some predictors alone.

    Parameters
    ----------
    model : scikit-learn regressor
    predictors : list of str

    Returns
    -------
    scikit-learn regressor
        The model itself if it has no constraints.

    Examples
    --------
    >>> from aqqua_science.habitat.model import BoostedTrees
    >>> constrained(BoostedTrees(monotone={"nitrate": 1, "oxygen": -1}), ["oxygen"]).monotone
    {'oxygen': -1}
    """
    if getattr(model, "learners", None):
        parts = {name: constrained(part, predictors) for name, part in model.learners.items()}
        return clone(model).set_params(learners=parts)
    if not getattr(model, "monotone", None):
        return model
    kept = {name: sign for name, sign in model.monotone.items() if name in predictors}
    return clone(model).set_params(monotone=kept)


def _nearest(correlation):
    """The other predictor that each correlates with most, None for the only one."""
    if len(correlation) == 1:
        return pd.Series([None], index=correlation.index)
    return correlation.abs().where(~np.eye(len(correlation), dtype=bool), -1.0).idxmax(axis=1)


def _tree(correlation):
    distance = np.clip(1 - correlation.abs().to_numpy(), 0, 1)
    np.fill_diagonal(distance, 0.0)
    return linkage(squareform((distance + distance.T) / 2), method="complete")


def _inflation(values, name):
    others = values.drop(columns=name).to_numpy()
    if np.ptp(values[name]) == 0:
        return np.nan
    if not others.shape[1]:
        return 1.0
    fitted = others @ np.linalg.lstsq(others, values[name].to_numpy(), rcond=None)[0]
    left = ((values[name] - fitted) ** 2).sum() / (values[name] ** 2).sum()
    return float(1 / left) if left > _EXACT else np.inf


def _coverage(table, env, predictors):
    schema.require_columns(pd.DataFrame(columns=list(env.data_vars)), predictors, what="the grid")
    area = cell_area(env)
    return pd.DataFrame([_covered(table[name], env[name], area) for name in predictors], index=list(predictors))


def _covered(samples, cells, area):
    low, high = samples.min(), samples.max()
    least, greatest = (float(end) for end in (cells.min(), cells.max()))
    within = ((cells >= low) & (cells <= high)).where(cells.notnull())
    width = greatest - least
    return {
        "range_covered": max(0.0, min(high, greatest) - max(low, least)) / width if width else 1.0,
        "area_covered": min(1.0, float(within.weighted(area).mean())),  # rounding may pass one
    }
