"""Settings of a model, chosen under spatial folds, and an honest score of model and choice together."""

from math import ceil

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from aqqua_science.habitat import scores
from aqqua_science.habitat.folds import largest_blocks
from aqqua_science.habitat.importance import FOLD_DEGREES
from aqqua_science.habitat.losses import choose_loss, explained, held_out_losses, loss_rows
from aqqua_science.habitat.validation import checked_splits, fit_rows, log_scale, predictor_names


def tune(
    model, table, *, target, candidates, predictors=None, cv=None, outer=None, factor=3, loss=None, rng=0, **columns
):
    """
    Choose settings of a model by successive halving, and score model and choice in water that neither has seen.

    All candidates are fitted to a part of the training samples under spatial folds; the best third goes on with three
    times the samples, and so on, until those that are left have nearly all. The score of the winner is the best of many
    and flatters. So the whole search is repeated without each outer fold, and its winner predicts that fold: the nested
    score.

    Parameters
    ----------
    model : scikit-learn regressor
        Of an ensemble with `n_members`, at most 5 members are fitted per fold.
    table : pandas.DataFrame
        One row per sample: `latitude`, `longitude`, the target and the predictors.
    target : str
    candidates : dict of str to list, or list of dict
        Values of each parameter, all combinations of which are tried; or the combinations themselves.
    predictors : list of str, optional
        By default those that `model` was fitted on.
    cv : splitter, optional
        Folds of the search; by default blocks of 15 degrees, smaller where the survey is small.
    outer : splitter, optional
        Folds of the nested score; by default such blocks, dealt differently.
    factor : int
        One in so many candidates goes on to so many times the samples.
    loss : {"deviance", "squared", "absolute"}, optional
        As in `aqqua_science.habitat.losses.choose_loss`.
    rng : int or numpy.random.Generator
        Draws the samples of the first rounds.
    **columns
        `groups` and `volume`, as in `aqqua_science.habitat.cross_validate`.

    Returns
    -------
    model : scikit-learn regressor
        With the chosen settings, fitted on the whole table.
    trials : pandas.DataFrame
        One row for each candidate of each round, in the order they were tried: ``round``, ``n_samples``, the
        parameters, ``skill``, the share of the loss that is explained in held-out rows, and ``chosen``.
    skill : dict
        ``search``, the skill of the chosen candidate in its last round, which flatters; ``nested``, that of the search
        as a whole; and the scores of `aqqua_science.habitat.scores.score` of the nested predictions.

    Raises
    ------
    SchemaError
        If a column is absent.
    ValueError
        If the target is missing in some row, a parameter is unknown, or there is nothing to choose from.

    Notes
    -----
    Rounds, samples per round and candidates per round are those of scikit-learn's ``HalvingGridSearchCV`` with
    ``min_resources="exhaust"``, but that a round has at least two samples per fold that are not zero. Samples are
    drawn of zeros and of the others alike. Held-out folds are not thinned, and all candidates of a round see the same
    samples.

    References
    ----------
    Jamieson, K. and Talwalkar, A. (2016). Non-stochastic best arm identification and hyperparameter optimization.
    Proceedings of Machine Learning Research 51, 240-248.
    Schratz, P. et al. (2019). Hyperparameter tuning and performance assessment of statistical and machine-learning
    algorithms using spatial data. Ecological Modelling 406, 109-120.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"latitude": rng.uniform(-60, 60, 200), "longitude": rng.uniform(-180, 180, 200)})
    >>> table = table.assign(temperature=30 - abs(table.latitude) / 2, biomass=abs(table.latitude))
    >>> model, trials, skill = tune(
    ...     Ridge(), table, target="biomass", predictors=["temperature"], candidates={"alpha": [1.0, 1e5, 1e6]}
    ... )
    >>> model.alpha, trials["n_samples"].tolist(), round(skill["nested"], 2)
    (1.0, [66, 66, 66, 198], 1.0)
    """
    names = predictor_names(model, table, target=target, predictors=predictors, extra=columns.values())
    grid = _checked_grid(model, candidates)
    rng = np.random.default_rng(rng)
    settings = {"target": target, "predictors": names, "loss": loss, **columns}
    search = {"grid": grid, "cv": cv, "factor": factor, "rng": rng, **settings}
    outer = largest_blocks(table, degrees=FOLD_DEGREES, random_state=1) if outer is None else outer
    nested, marks = _nested(model, table, outer, search=search, **settings)
    best, trials = _halve(model, table, **search)
    found = trials.loc[trials["chosen"], "skill"].item()
    fitted = fit_rows(best, table, target=target, predictors=names, **columns)
    return fitted, trials, {"search": found, "nested": nested, **marks}


def halving_rounds(n_candidates, n_samples, *, least, factor=3):
    """
    Candidates and samples of each round of successive halving.

    Parameters
    ----------
    n_candidates, n_samples : int
    least : int
        Fewest samples of a round.
    factor : int

    Returns
    -------
    list of (int, int)

    Raises
    ------
    ValueError
        If the factor is less than 2.

    Examples
    --------
    >>> halving_rounds(9, 900, least=10)
    [(9, 100), (3, 300), (1, 900)]
    """
    if factor < 2:
        msg = f"factor is how many candidates share one place in the next round; it must be 2 or more; got {factor}."
        raise ValueError(msg)
    least = min(least, n_samples)
    needed = 0
    while factor ** (needed + 1) <= n_candidates:
        needed += 1
    first = max(least, n_samples // factor**needed)
    rounds = []
    while len(rounds) <= needed and first * factor ** len(rounds) <= n_samples:
        rounds.append((n_candidates, first * factor ** len(rounds)))
        n_candidates = ceil(n_candidates / factor)
    return rounds


def _checked_grid(model, candidates):
    grid = list(ParameterGrid(candidates)) if isinstance(candidates, dict) else [dict(c) for c in candidates]
    if not grid:
        msg = "there is nothing to choose from: candidates is empty. Pass values of a parameter, {'max_depth': [2, 4]}."
        raise ValueError(msg)
    for candidate in grid:
        clone(model).set_params(**candidate)
    return grid


def _halve(model, table, *, grid, cv, factor, rng, target, **settings):
    """The model with the settings of the best candidate, and the table of all trials."""
    cv = largest_blocks(table, degrees=FOLD_DEGREES) if cv is None else cv
    splits = checked_splits(cv, table, target=target, groups=settings.get("groups"))
    found = table[target].to_numpy(dtype=float) != 0
    # Zeros tell little: the first round has as many finds as it would have samples without zeros.
    least = ceil(2 * len(splits) / (found.mean() or 1))
    rounds = halving_rounds(len(grid), len(table), least=least, factor=factor)
    left, trials = grid, []
    for number, (n_candidates, n_samples) in enumerate(rounds):
        left = left[:n_candidates]
        part = _thin(splits, n_samples / len(table), found, rng)
        skills = np.array([_skill(model, table, part, candidate, target=target, **settings) for candidate in left])
        for candidate, skill in zip(left, skills, strict=True):
            trials.append({"round": number, "n_samples": n_samples, **candidate, "skill": skill, "chosen": False})
        order = np.argsort(-skills, kind="stable")
        winner = len(trials) - len(left) + order[0]
        left = [left[i] for i in order]
    trials[winner]["chosen"] = True
    return clone(model).set_params(**left[0]), pd.DataFrame(trials)


def _thin(splits, share, found, rng):
    """The splits with a part of their training rows, of those where something was found as of the others."""
    if share == 1:
        return splits
    parts = []
    for train, test in splits:
        some, none = train[found[train]], train[~found[train]]
        n_none = int(share * len(none))
        n_some = min(len(some), max(1, max(2, int(share * len(train))) - n_none))
        kept = [rng.choice(rows, n, replace=False) for rows, n in ((some, n_some), (none, n_none)) if n]
        parts.append((np.sort(np.concatenate(kept)), test))
    return parts


def _skill(model, table, splits, candidate, **settings):
    return explained(held_out_losses(clone(model).set_params(**candidate), table, splits, **settings))


def _nested(model, table, outer, *, search, target, predictors, loss, **columns):
    """Skill and scores of predictions by the winners of searches that have not seen the fold."""
    observed = table[target].to_numpy(dtype=float)
    measure = choose_loss(loss, observed)
    parts, predicted = [], []
    for train, test in checked_splits(outer, table, target=target, groups=columns.get("groups")):
        rows = table.iloc[train]
        best, _ = _halve(model, rows, **search)
        fitted = fit_rows(best, rows, target=target, predictors=predictors, **columns)
        predicted.append(fitted.predict(table.iloc[test][predictors]))
        parts.append(loss_rows(measure, observed, predicted[-1], train=train, test=test))
    losses = pd.concat(parts)
    scale = log_scale(model, observed)
    return explained(losses), scores.score(observed[losses["row"]], np.concatenate(predicted), scale=scale)
