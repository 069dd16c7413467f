"""Cross-validation of a map's model: random and spatial folds side by side, with how far each is from the map."""

import inspect

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import (
    BaseShuffleSplit,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    StratifiedKFold,
)

from aqqua_science import schema
from aqqua_science.habitat import scores
from aqqua_science.habitat.domain import distance_to_domain_km
from aqqua_science.habitat.folds import SpatialBlocks, StratifiedFolds, largest_blocks
from aqqua_science.habitat.matching import KNNDM
from aqqua_science.habitat.objectives import choose_scale
from aqqua_science.habitat.periods import Before, TimeBlocks

FOLD_MEMBERS = 5
"""Ensemble members fitted per fold: the mean of five predicts nearly as well as that of a hundred."""

_SCHEMES = {
    "blocks": (SpatialBlocks,),
    "knndm": (KNNDM,),
    "groups": (GroupKFold, LeaveOneGroupOut, GroupShuffleSplit),
    "years": (TimeBlocks,),
    "later": (Before,),
    "random": (StratifiedFolds, KFold, StratifiedKFold, BaseShuffleSplit),
}


def cross_validate(
    model, table, *, target, cv=None, predictors=None, groups=None, volume=None, domain=None, scoring=None
):
    """
    Score a model on samples it has not seen, under several ways of holding them out.

    Predictions of all folds are pooled and scored once, since folds of a spatial scheme differ in size and
    difficulty; a sample that is held out several times counts as often. Random folds alone tell how well a model
    fills gaps between neighbouring samples; a map asks more, and the distance to the domain says how much more.

    Parameters
    ----------
    model : scikit-learn regressor
        It is cloned for each fold and stays as it is. Of an ensemble with `n_members`, at most 5 members
        are fitted per fold.
    table : pandas.DataFrame
        One row per sample: `latitude`, `longitude`, the target and the predictors.
    target : str or list of str
        Column to predict, in its own units. Several are predicted one by one, under the same folds.
    cv : splitter or dict of str to splitter, optional
        By default random folds, blocks of 15 degrees and, when `groups` is given, folds of whole groups. Beside a
        single splitter random folds are always shown. A dict names the schemes itself.
    predictors : list of str, optional
        By default those that `model` was fitted on.
    groups : str, optional
        Column of groups that were sampled together, such as cruises; for splitters and for models whose `fit`
        takes them. Without it a model that resamples by block, or weighs learners, is given tiles of 20 degrees.
    volume : str, optional
        Column of sampled volumes, m3, for models whose `fit` takes one.
    domain : xarray.Dataset or positions, optional
        Where the map is drawn, as in `aqqua_science.habitat.domain.domain_positions`.
    scoring : callable, optional
        Of observed and predicted amounts, gives a dict of other scores than those below, such as
        `aqqua_science.habitat.occurrences.score_occurrences`.

    Returns
    -------
    pandas.DataFrame
        One row per scheme, and per target where `target` is a list, then with the column ``target``: ``scheme``
        (random, blocks, knndm, groups, years, later), ``r2`` (1 - SSE/SST), ``r2_correlation``
        (squared Pearson), both on ``log1p(scale * value)`` with the scale of `log_scale` (``r2_log``,
        ``r2_log_correlation``), ``r2_sse_ssr`` (see `aqqua_science.habitat.scores`), ``spearman``, ``mae`` and
        ``poisson_deviance`` in the units of the target, ``distance_to_domain_km`` (Wasserstein-1 distance of the
        nearest-neighbour distances; NaN without `domain`) and ``n``, the number of held-out samples.

    Raises
    ------
    SchemaError
        If a column is absent or positions are missing.
    ValueError
        If the target is missing in some row, or `predictors` are needed and not given.

    References
    ----------
    Meyer, H. and Pebesma, E. (2022). Machine learning-based global maps of ecological variables and the
    challenge of assessing them. Nature Communications 13, 2208.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"latitude": rng.uniform(-60, 60, 200), "longitude": rng.uniform(-180, 180, 200)})
    >>> table = table.assign(temperature=30 - abs(table.latitude) / 2, biomass=abs(table.latitude))
    >>> skill = cross_validate(LinearRegression(), table, target="biomass", predictors=["temperature"])
    >>> skill[["scheme", "r2", "n"]].round(3).values.tolist()
    [['random', 1.0, 200], ['blocks', 1.0, 200]]
    """
    targets = _listed(target)
    for name in targets:
        predictors = predictor_names(model, table, target=name, predictors=predictors, extra=(groups, volume))
    columns = {"predictors": predictors, "groups": groups, "volume": volume}
    rows = []
    for scheme, splitter in named_schemes(cv, groups).items():
        splits = checked_splits(splitter, table, target=target, groups=groups)
        distance = np.nan if domain is None else distance_to_domain_km(table, splits, domain=domain)
        for name in targets:
            held_out, predicted = _held_out(model, table, splits, target=name, **columns)
            marks = _marks(scoring, table[name].to_numpy(dtype=float), held_out, predicted, model)
            which = {} if isinstance(target, str) else {"target": name}
            distances = {"distance_to_domain_km": distance, "n": len(np.unique(held_out))}
            rows.append({**which, "scheme": scheme, **marks, **distances})
    return pd.DataFrame(rows)


def out_of_fold(model, table, *, target, cv, predictors=None, groups=None, volume=None):
    """
    Predict each sample by a model that has not seen it.

    Parameters
    ----------
    model, table, predictors, groups, volume
        As in `cross_validate`.
    target : str
    cv : splitter

    Returns
    -------
    pandas.Series
        Indexed like `table`; the mean over repeats, NaN for samples that no fold holds out.

    Raises
    ------
    SchemaError
        If a column is absent or positions are missing.
    ValueError
        If the target is missing in some row, or `predictors` are needed and not given.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> table = pd.DataFrame({"latitude": [0.0, 50.0], "longitude": 0.0, "depth": 5.0, "biomass": [1.0, 3.0]})
    >>> blocks = SpatialBlocks(10, n_splits=2)
    >>> out_of_fold(DummyRegressor(), table, target="biomass", cv=blocks, predictors=["depth"]).tolist()
    [3.0, 1.0]
    """
    predictors = predictor_names(model, table, target=target, predictors=predictors, extra=(groups, volume))
    splits = checked_splits(cv, table, target=target, groups=groups)
    columns = {"predictors": predictors, "groups": groups, "volume": volume}
    rows, predicted = _held_out(model, table, splits, target=target, **columns)
    mean = pd.Series(predicted).groupby(rows).mean().reindex(np.arange(len(table)))
    return pd.Series(mean.to_numpy(), index=table.index, name=target)


def named_schemes(cv, groups=None):
    """
    Ways to hold samples out, by name.

    Parameters
    ----------
    cv, groups
        As in `cross_validate`.

    Returns
    -------
    dict of str to splitter
    """
    if isinstance(cv, dict):
        return cv
    if cv is not None:
        return {"random": StratifiedFolds(), _scheme_name(cv): cv}
    by_group = {} if groups is None else {"groups": GroupKFold()}
    return {"random": StratifiedFolds(), "blocks": SpatialBlocks(15), **by_group}


def checked_splits(cv, table, *, target, groups=None):
    """
    Parts of a table to train on and to hold out, once every amount is known.

    Parameters
    ----------
    cv : splitter
    table : pandas.DataFrame
    target : str or list of str
        Splitters that look at amounts are shown the mean rank of several.
    groups : str, optional
        Column of groups, for splitters that take them.

    Returns
    -------
    list of (numpy.ndarray, numpy.ndarray)

    Raises
    ------
    ValueError
        If the target is missing in some row.
    """
    targets = _listed(target)
    for name in targets:
        _check_known(table[name].to_numpy(dtype=float), name)
    amounts = table[target] if isinstance(target, str) else table[targets].rank().mean(axis=1)
    labels = None if groups is None else table[groups].to_numpy()
    return list(cv.split(table, amounts.to_numpy(dtype=float), labels))


def _listed(target):
    targets = [target] if isinstance(target, str) else list(target)
    if not targets:
        msg = "target names no column: the list is empty. Name at least one."
        raise ValueError(msg)
    return targets


def _check_known(amounts, name):
    if not np.isfinite(amounts).all():
        msg = (
            f"{name} must be finite in every row; {(~np.isfinite(amounts)).sum()} of {len(amounts)} rows are not. "
            "A sample where nothing was found is zero; drop those that were not looked at."
        )
        raise ValueError(msg)


def fold_fits(model, table, splits, *, target, predictors, groups=None, volume=None):
    """
    Fit a clone of a model, of an ensemble at most `FOLD_MEMBERS` members, to the training part of each fold.

    Parameters
    ----------
    model, table, target, groups, volume
        As in `cross_validate`.
    splits : list of (array, array)
        Positions of the rows to train on and of those to hold out.
    predictors : list of str

    Yields
    ------
    fitted : scikit-learn regressor
    train, test : numpy.ndarray of int
        Positions of the rows.
    """
    model = _lighter(model)
    for train, test in splits:
        rows = table.iloc[train]
        yield fit_rows(model, rows, target=target, predictors=predictors, groups=groups, volume=volume), train, test


def fit_rows(model, rows, *, target, predictors, groups=None, volume=None):
    """
    Fit a clone of a model to samples, with their groups and volumes where its `fit` takes them.

    Parameters
    ----------
    model, target, groups, volume
        As in `cross_validate`.
    rows : pandas.DataFrame
    predictors : list of str

    Returns
    -------
    scikit-learn regressor
    """
    arguments = _fit_arguments(model, rows, groups, volume)
    return clone(model).fit(rows[predictors], rows[target].to_numpy(dtype=float), **arguments)


def predictor_names(model, table, *, target, predictors=None, extra=()):
    """
    Names of the predictors, once they and the target are known to be there.

    Parameters
    ----------
    model : scikit-learn regressor
    table : pandas.DataFrame
    target : str
    predictors : list of str, optional
        By default those that `model` was fitted on.
    extra : iterable of str or None
        Other columns that must be there.

    Returns
    -------
    list of str

    Raises
    ------
    SchemaError
        If a column is absent.
    ValueError
        If there is neither a list nor a model fitted on named columns, or the target is several or one of them.
    """
    if not isinstance(target, str):
        msg = f"target must be one column; got {target}. Take several one by one."
        raise ValueError(msg)
    if predictors is None:
        predictors = getattr(model, "feature_names_in_", None)
    if predictors is None:
        msg = (
            f"predictors must be named: this {type(model).__name__} was not fitted on named columns. "
            "Pass predictors=[...], or a model fitted on a DataFrame."
        )
        raise ValueError(msg)
    schema.require_columns(table, [target, *predictors, *(name for name in extra if name is not None)])
    if target in predictors:
        msg = f"{target} is to be predicted and stands among the predictors. Leave it out of them."
        raise ValueError(msg)
    return list(predictors)


def log_scale(model, observed):
    """
    Factor of the amounts in scores on the logarithmic scale.

    Parameters
    ----------
    model : scikit-learn regressor
    observed : array_like
        All observed amounts.

    Returns
    -------
    float
        The `scale` of the model if it has one; else that of `aqqua_science.habitat.objectives.choose_scale`, the same
        for all models; 1 where amounts are negative.
    """
    if getattr(model, "scale", None) is not None:
        return model.scale
    return choose_scale(observed) if (np.asarray(observed) >= 0).all() else 1.0


def _scheme_name(cv):
    return next((name for name, kinds in _SCHEMES.items() if isinstance(cv, kinds)), type(cv).__name__.lower())


def _held_out(model, table, splits, *, target, predictors, **columns):
    """Positions of the held-out rows, as often as they are held out, and what is predicted there."""
    rows, predicted = [], []
    for fitted, _, test in fold_fits(model, table, splits, target=target, predictors=predictors, **columns):
        rows.append(test)
        predicted.append(fitted.predict(table.iloc[test][predictors]))
    rows, predicted = np.concatenate(rows), np.concatenate(predicted)
    order = np.argsort(rows, kind="stable")
    return rows[order], predicted[order]


def _marks(scoring, observed, rows, predicted, model):
    if scoring is not None:
        return scoring(observed[rows], predicted)
    return scores.score(observed[rows], predicted, scale=log_scale(model, observed))


def _lighter(model):
    """The model with at most FOLD_MEMBERS members: a hundred would be fitted anew in every fold."""
    model = clone(model)
    if "n_members" in model.get_params():
        model.set_params(n_members=min(model.n_members, FOLD_MEMBERS))
    return model


def _fit_arguments(model, rows, groups, volume):
    accepted = inspect.signature(model.fit).parameters
    arguments = {}
    if volume is not None:
        if "volume" not in accepted:
            msg = (
                f"volume={volume!r} was given, but {type(model).__name__}.fit takes none. "
                "Leave it out, or use habitat.BoostedTrees or learners.RegressorEnsemble."
            )
            raise ValueError(msg)
        arguments["volume"] = rows[volume].to_numpy(dtype=float)
    if "groups" in accepted and groups is not None:
        arguments["groups"] = rows[groups].to_numpy()
    elif getattr(model, "resampling", None) in ("blocks", "groups") or getattr(model, "wants_groups", False):
        arguments["groups"] = largest_blocks(rows).blocks(rows)
    return arguments
