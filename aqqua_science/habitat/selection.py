"""Fewer predictors without less skill: one of each cluster, then backward elimination under spatial folds."""

import numpy as np
import pandas as pd

from aqqua_science.habitat.collinearity import (
    THRESHOLD,
    check_constraints,
    choose_of_clusters,
    cluster_predictors,
    constrained,
    rank_correlation,
    univariate_skill,
)
from aqqua_science.habitat.folds import largest_blocks
from aqqua_science.habitat.importance import FOLD_DEGREES, shuffled_losses
from aqqua_science.habitat.losses import explained
from aqqua_science.habitat.validation import checked_splits, predictor_names


def select_predictors(
    model, table, *, target, predictors, cv=None, threshold=THRESHOLD, n_repeats=5, loss=None, rng=0, **columns
):
    """
    Leave out predictors that tell the same as others, or nothing about water that was not seen.

    Of each cluster of collinear predictors the one with the best skill alone is kept. Then the model is fitted under
    spatial folds, the predictor whose shuffling costs least is dropped, and so on to the last. Kept is the smallest set
    whose loss is within one standard error of the least.

    Parameters
    ----------
    model : scikit-learn regressor
        Of an ensemble with `n_members`, at most 5 members are fitted per fold.
    table : pandas.DataFrame
        One row per sample: `latitude`, `longitude`, the target and the predictors.
    target : str
    predictors : list of str
        To choose from.
    cv : splitter, optional
        By default blocks of 15 degrees, smaller where the survey is small.
    threshold : float
        Spearman's correlation, regardless of sign, from which predictors count as one; 1 keeps all but copies.
    n_repeats : int
        Shuffles of each predictor in each fold.
    loss : {"deviance", "squared", "absolute"}, optional
        As in `aqqua_science.habitat.losses.choose_loss`.
    rng : int or numpy.random.Generator
    **columns
        `groups` and `volume`, as in `aqqua_science.habitat.cross_validate`.

    Returns
    -------
    kept : list of str
        In the order of `predictors`.
    path : pandas.DataFrame
        One row for each set that was tried, the largest first: ``n_predictors``; ``predictors``, a list;
        ``dropped``, the list of those left out to come here, and ``reason``; ``skill``, the share of the loss that is
        explained in held-out rows; ``skill_error``, the standard error of its difference to the best, over folds;
        ``kept``, true for the chosen set. The skill of a set that was chosen for its skill flatters: judge it on
        samples that had no say in the choice.

    Raises
    ------
    SchemaError
        If a column is absent.
    ValueError
        If the target is missing in some row or the same in all, a predictor is constant, the loss is unknown, there is
        a single fold, or a constraint names none of the predictors.

    Notes
    -----
    Folds of a spatial scheme differ in difficulty far more than sets of predictors do. The standard error of the
    rule of Breiman et al. (1984) is therefore that of the paired difference to the best set, fold by fold.

    Monotone constraints of boosted trees hold for the predictors that are in the set; those of others wait.

    A single boosted tree model differs from run to run as much as sets of predictors do: give an ensemble five members.

    References
    ----------
    Breiman, L., Friedman, J., Stone, C. J. and Olshen, R. A. (1984). Classification and Regression Trees.
    Meyer, H., Reudenbach, C., Wöllauer, S. and Nauss, T. (2019). Importance of spatial predictor variable selection
    in machine learning applications: moving from data reproduction to spatial prediction. Ecological Modelling 411,
    108815.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"latitude": rng.uniform(-60, 60, 200), "longitude": rng.uniform(-180, 180, 200)})
    >>> table = table.assign(temperature=30 - abs(table.latitude) / 2, noise=rng.normal(size=200))
    >>> table = table.assign(oxygen=400 - 6 * table.temperature, biomass=table.temperature)
    >>> kept, path = select_predictors(
    ...     LinearRegression(), table, target="biomass", predictors=["temperature", "oxygen", "noise"]
    ... )
    >>> len(kept), path["dropped"].tolist()[1:]
    (1, [['noise']])
    """
    names = predictor_names(model, table, target=target, predictors=predictors, extra=columns.values())
    cv = largest_blocks(table, degrees=FOLD_DEGREES) if cv is None else cv
    splits = checked_splits(cv, table, target=target, groups=columns.get("groups"))
    if len(splits) < 2:
        msg = (
            f"the error of a difference comes from the folds, which must be 2 or more; there is {len(splits)}. "
            "Use more folds, such as SpatialBlocks(15)."
        )
        raise ValueError(msg)
    check_constraints(model, names)
    settings = {"target": target, "loss": loss, **columns}
    chosen, notes = _of_clusters(model, table, splits, names=names, threshold=threshold, **settings)
    steps = _eliminate(
        model, table, splits, names=chosen, n_repeats=n_repeats, rng=np.random.default_rng(rng), **settings
    )
    path = _path(steps, notes)
    return path.loc[path["kept"], "predictors"].item(), path


def _of_clusters(model, table, splits, *, names, threshold, **settings):
    """The best of each cluster, and for each of the others a sentence that says instead of which."""
    correlation = rank_correlation(table, predictors=names)
    clusters = cluster_predictors(correlation, threshold=threshold)
    crowded = clusters[clusters.duplicated(keep=False)].index
    skill = univariate_skill(model, table, splits, predictors=list(crowded), **settings)
    chosen = choose_of_clusters(clusters, correlation, skill=skill)
    notes = {}
    for name in sorted(set(names) - set(chosen), key=names.index):
        other = next(c for c in chosen if clusters[c] == clusters[name])
        notes[name] = f"correlates with {other} ({correlation.loc[name, other]:.2f})"
    return chosen, notes


def _eliminate(model, table, splits, *, names, n_repeats, rng, **settings):
    """Losses of ever fewer predictors, the least important left out each time: (predictors, losses) from all to one."""
    steps = []
    while names:
        losses, rises = shuffled_losses(
            constrained(model, names),
            table,
            splits,
            predictors=names,
            units={name: [name] for name in names},
            n_repeats=n_repeats,
            rng=rng,
            **settings,
        )
        steps.append((names, losses))
        least = min(names, key=lambda name: rises[name].mean())
        names = [name for name in names if name != least]
    return steps


def _path(steps, notes):
    skills = np.array([explained(losses) for _, losses in steps])
    best = int(skills.argmax())
    errors = np.array([_error_of_difference(losses, steps[best][1]) for _, losses in steps])
    # The last that will do is the smallest; the best itself always will.
    kept = int(np.flatnonzero(skills >= skills[best] - errors).max())
    rows = []
    for step, (names, _) in enumerate(steps):
        dropped = [name for name in steps[step - 1][0] if name not in names] if step else list(notes)
        rows.append(
            {
                "n_predictors": len(names),
                "predictors": names,
                "dropped": dropped,
                "reason": "least important" if step else "; ".join(f"{k} {v}" for k, v in notes.items()),
                "skill": skills[step],
                "skill_error": errors[step],
                "kept": step == kept,
            }
        )
    return pd.DataFrame(rows)


def _error_of_difference(losses, best):
    """Standard error over folds of the difference between two shares of explained loss."""
    difference = losses["loss"] - best["loss"]
    sums = difference.groupby(losses["fold"]).sum()
    expected = difference.mean() * losses.groupby("fold").size()
    variance = ((sums - expected) ** 2).sum() * len(sums) / (len(sums) - 1)
    return float(np.sqrt(variance) / losses["null_loss"].sum())
