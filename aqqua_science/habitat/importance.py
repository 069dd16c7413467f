"""Which predictors a model needs in water it has not seen: permutation importance under spatial folds."""

import numpy as np
import pandas as pd

from aqqua_science.habitat.folds import largest_blocks
from aqqua_science.habitat.losses import choose_loss, explained, loss_rows
from aqqua_science.habitat.validation import checked_splits, fold_fits, predictor_names

FOLD_DEGREES = 15.0
"""Size of the blocks that are held out by default; a small survey has smaller ones."""


def permutation_importance(
    model, table, *, target, cv=None, predictors=None, together=None, n_repeats=10, loss=None, rng=0, **columns
):
    """
    Fall of the explained share of the loss when a predictor is shuffled among held-out samples.

    A model is fitted to the training part of each fold. In the held-out part, which it has not seen, one predictor
    at a time is shuffled, so that it keeps its values and loses its meaning. On training samples a model that learned
    noise by heart would seem to need it.

    Parameters
    ----------
    model : scikit-learn regressor
        Of an ensemble with `n_members`, at most 5 members are fitted per fold.
    table : pandas.DataFrame
        One row per sample: `latitude`, `longitude`, the target and the predictors.
    target : str
    cv : splitter, optional
        By default blocks of 15 degrees, smaller where the survey is small.
    predictors : list of str, optional
        By default those that `model` was fitted on.
    together : dict of str to list of str, optional
        Name to predictors that are shuffled as one, each row keeping their combination. Predictors that tell the same
        stand in for each other, so that each alone seems dispensable; as a group they show what they carry. By default
        each predictor is its own.
    n_repeats : int
        Shuffles of each predictor in each fold.
    loss : {"deviance", "squared", "absolute"}, optional
        As in `aqqua_science.habitat.losses.choose_loss`: Poisson deviance of amounts, else squared error.
    rng : int or numpy.random.Generator
    **columns
        `groups` and `volume`, as in `aqqua_science.habitat.cross_validate`.

    Returns
    -------
    pandas.DataFrame
        By falling importance: ``predictor``; ``importance``, the rise of the pooled loss as a share of the loss of the
        training mean, so that with 0.2 a model that explains 0.5 of it is left with 0.3 (or worse than the mean, where
        importance exceeds skill); ``fold_sd``, its standard deviation over folds, and ``lowest`` and ``highest`` of
        them; ``repeat_sd``, over shuffles; ``skill``, the share of the loss of the training mean that the whole model
        explains, the same in all rows. Importance in a model without skill means little.

    Raises
    ------
    SchemaError
        If a column is absent.
    ValueError
        If the target is missing in some row or the same in all, names or the loss are wrong, or no fold has two samples
        to shuffle.

    References
    ----------
    Breiman, L. (2001). Random forests. Machine Learning 45, 5-32.
    Roberts, D. R. et al. (2017). Cross-validation strategies for data with temporal, spatial, hierarchical,
    or phylogenetic structure. Ecography 40, 913-929.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"latitude": rng.uniform(-60, 60, 200), "longitude": rng.uniform(-180, 180, 200)})
    >>> table = table.assign(temperature=30 - abs(table.latitude) / 2, noise=rng.normal(size=200))
    >>> table["biomass"] = abs(table.latitude)
    >>> found = permutation_importance(
    ...     LinearRegression(), table, target="biomass", predictors=["noise", "temperature"]
    ... )
    >>> found["predictor"].tolist(), found["importance"].round(1).tolist()
    (['temperature', 'noise'], [2.5, 0.0])
    """
    names = predictor_names(model, table, target=target, predictors=predictors, extra=columns.values())
    units = _checked_units(together, names)
    cv = largest_blocks(table, degrees=FOLD_DEGREES) if cv is None else cv
    splits = checked_splits(cv, table, target=target, groups=columns.get("groups"))
    losses, rises = shuffled_losses(
        model,
        table,
        splits,
        target=target,
        predictors=names,
        units=units,
        n_repeats=n_repeats,
        loss=loss,
        rng=rng,
        **columns,
    )
    skill = explained(losses)
    rows = [{"predictor": unit, **_summary(rise, losses), "skill": skill} for unit, rise in rises.items()]
    found = pd.DataFrame(rows)
    return found.sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def shuffled_losses(model, table, splits, *, target, predictors, units, n_repeats=10, loss=None, rng=0, **columns):
    """
    Losses of held-out rows, and how much they rise when predictors are shuffled.

    Parameters
    ----------
    model, table, target, n_repeats, loss, rng, **columns
        As in `permutation_importance`.
    splits : list of (array, array)
    predictors : list of str
    units : dict of str to list of str
        What is shuffled together.

    Returns
    -------
    losses : pandas.DataFrame
        As in `aqqua_science.habitat.losses.held_out_losses`.
    rises : dict of str to numpy.ndarray, shape (n_repeats, n)
        Along the rows of `losses`.

    Raises
    ------
    ValueError
        If no fold has two samples to shuffle.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> table = pd.DataFrame({"depth": [0.0, 1.0, 2.0, 3.0], "biomass": [0.0, 1.0, 2.0, 3.0]})
    >>> losses, rises = shuffled_losses(
    ...     LinearRegression(),
    ...     table,
    ...     [([0, 1], [2, 3])],
    ...     target="biomass",
    ...     predictors=["depth"],
    ...     units={"depth": ["depth"]},
    ... )
    >>> rises["depth"].shape
    (10, 2)
    """
    if max(len(test) for _, test in splits) < 2:
        msg = "no fold holds out two samples or more, so none can be shuffled. Use fewer folds, or SpatialBlocks."
        raise ValueError(msg)
    rng = np.random.default_rng(rng)
    observed = table[target].to_numpy(dtype=float)
    measure = choose_loss(loss, observed)
    losses, rises = [], {unit: [] for unit in units}
    for fold, (fitted, train, test) in enumerate(
        fold_fits(model, table, splits, target=target, predictors=predictors, **columns)
    ):
        held_out = table.iloc[test][predictors]
        plain = loss_rows(measure, observed, fitted.predict(held_out), train=train, test=test).assign(fold=fold)
        losses.append(plain)
        for unit, members in units.items():
            shuffled = _shuffle(held_out, members, n_repeats, rng)
            predicted = fitted.predict(shuffled).reshape(n_repeats, len(test))
            rises[unit].append(measure(observed[test], predicted) - plain["loss"].to_numpy())
    return pd.concat(losses, ignore_index=True), {unit: np.hstack(parts) for unit, parts in rises.items()}


def _shuffle(rows, members, n_repeats, rng):
    """Copies of the rows one after another, in each of them some columns shuffled as one."""
    orders = np.concatenate([rng.permutation(len(rows)) for _ in range(n_repeats)])
    copies = rows.iloc[np.tile(np.arange(len(rows)), n_repeats)].reset_index(drop=True)
    return copies.assign(**{name: rows[name].to_numpy()[orders] for name in members})


def _summary(rise, losses):
    null = losses["null_loss"].mean()
    by_fold = pd.Series(rise.mean(axis=0)).groupby(losses["fold"].to_numpy()).mean() / null
    return {
        "importance": float(rise.mean() / null),
        "fold_sd": float(by_fold.std()),
        "lowest": float(by_fold.min()),
        "highest": float(by_fold.max()),
        "repeat_sd": float(rise.mean(axis=1).std(ddof=1) / null) if len(rise) > 1 else np.nan,
    }


def _checked_units(together, names):
    if together is None:
        return {name: [name] for name in names}
    unknown = sorted({name for members in together.values() for name in members} - set(names))
    if unknown:
        msg = f"together names {', '.join(unknown)}, not among the predictors {', '.join(names)}. Correct the names."
        raise ValueError(msg)
    return {unit: list(members) for unit, members in together.items()}
