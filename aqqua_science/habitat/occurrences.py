"""Where a species was found, with nothing known of where it was not: background of the same effort, and scores."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from aqqua_science.habitat.folds import SpatialBlocks
from aqqua_science.schema import SchemaError, nearest_name, require_columns

_N_WINDOWS = 101
_WINDOW_SHARE = 0.1


def target_group_background(records, *, species, column="taxon", degrees=1.0, by=(), rng=0):
    """
    Make a table of presences and background from the records of a whole group.

    Occurrences lie where people looked. Background drawn evenly from the map makes a model learn where that is: near
    ports, along shipping lanes, in summer. The records of all species that are caught and named in the same way share
    that effort; with them as background it cancels.

    Parameters
    ----------
    records : pandas.DataFrame
        One row per record of the group, the species among them: `latitude`, `longitude`, the name of what was found,
        and predictors if they are there already.
    species : str
        Whose presences these are.
    column : str
        Column of the names.
    degrees : float
        Size of a cell, as in `SpatialBlocks`. Of each cell one presence and one background record is kept, drawn at
        random: a place that was visited a hundred times is one place.
    by : sequence of str
        Columns that part the records of a cell, such as ``["month"]``.
    rng : int or numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        The chosen records with the column ``presence``: 1 for those of the species, 0 for the background. That has one
        record of every cell of the group, cells of the species included. Predictions of a model of it are relative:
        they rank places, and no abundance follows.

    Raises
    ------
    SchemaError
        If a column is absent, positions are wrong, or the species has no record.
    ValueError
        If the group has no record but those of the species.

    References
    ----------
    Phillips, S. J. et al. (2009). Sample selection bias and presence-only distribution models: implications for
    background and pseudo-absence data. Ecological Applications 19, 181-197.

    Examples
    --------
    >>> records = pd.DataFrame({"taxon": ["Calanus", "Calanus", "Oithona"], "latitude": [60.2, 60.7, 10.5]})
    >>> table = target_group_background(records.assign(longitude=0.5), species="Calanus")
    >>> table[["taxon", "presence"]].values.tolist()
    [['Calanus', 1], ['Calanus', 0], ['Oithona', 0]]
    """
    require_columns(records, [column, *by])
    found = (records[column] == species).to_numpy()
    if not found.any():
        names = records[column].dropna().unique()
        msg = f"no record in {column!r} is of {species!r}.{nearest_name(species, names)} Correct the name."
        raise SchemaError(msg)
    if found.all():
        msg = f"all {len(records)} records are of {species!r}; background needs those of the whole group. Add them."
        raise ValueError(msg)
    rng = np.random.default_rng(rng)
    cells = records.reset_index(drop=True).assign(_cell=SpatialBlocks(degrees).blocks(records))
    parts = {1: cells[found], 0: cells}
    thinned = [_thin(rows, ["_cell", *by], rng).assign(presence=value) for value, rows in parts.items()]
    return pd.concat(thinned, ignore_index=True).drop(columns="_cell")


def _thin(rows, keys, rng):
    """One row of each cell, drawn at random, in the order of the table."""
    return rows.iloc[rng.permutation(len(rows))].drop_duplicates(keys).sort_index()


def score_occurrences(observed, predicted):
    """
    Score predictions of presences against background.

    Parameters
    ----------
    observed : array_like, shape (n,)
        1 for presences, 0 for background.
    predicted : array_like, shape (n,)
        Any measure that rises with suitability, of samples that were held out.

    Returns
    -------
    dict of str to float
        ``auc``, the chance that a presence is ranked above a background place: 0.5 for guessing, and less than 1 for a
        perfect model, as the species lives in part of the background. ``boyce``, see `boyce_index`. Scores compare
        models of one table: against background drawn elsewhere a worse model may score higher.

    Raises
    ------
    ValueError
        If there are other values than 0 and 1, or only one of them.

    Examples
    --------
    >>> score_occurrences([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4])["auc"]
    1.0
    """
    observed, predicted = np.asarray(observed, dtype=float), np.asarray(predicted, dtype=float)
    if set(np.unique(observed)) != {0.0, 1.0}:
        msg = (
            f"occurrences are 1 for presences and 0 for background, and both are needed; got {np.unique(observed)[:5]}."
        )
        raise ValueError(msg)
    boyce = boyce_index(predicted[observed == 1], predicted[observed == 0])
    return {"auc": float(roc_auc_score(observed, predicted)), "boyce": boyce}


def boyce_index(presences, background):
    """
    Continuous Boyce index: do presences outnumber the background more and more, the higher the prediction?

    Parameters
    ----------
    presences, background : array_like
        Predictions there.

    Returns
    -------
    float
        Spearman's correlation between the prediction and the ratio of presences to background in a window that moves
        over its range: 1 for a model whose ranks hold, 0 for guessing, negative for one that is wrong. NaN where the
        ratio is known in one window or is the same in all, as for constant predictions.

    Raises
    ------
    ValueError
        If there are no presences or no background, or a prediction is not finite.

    Notes
    -----
    Windows have a tenth of the range of the predictions, in 101 steps; those without background are left out, and of
    neighbours with the same ratio one counts, as in the R package ecospat.

    References
    ----------
    Hirzel, A. H., Le Lay, G., Helfer, V., Randin, C. and Guisan, A. (2006). Evaluating the ability of habitat
    suitability models to predict species presences. Ecological Modelling 199, 142-152.

    Examples
    --------
    >>> background = np.linspace(0, 1, 1000)
    >>> bool(boyce_index(np.sqrt(background), background) > 0.95)
    True
    """
    presences, background = (np.sort(np.asarray(values, dtype=float)) for values in (presences, background))
    for values, name in ((presences, "presence"), (background, "background place")):
        if not values.size or not np.isfinite(values).all():
            msg = (
                f"each {name} needs a finite prediction, and there must be one; {(~np.isfinite(values)).sum()} of "
                f"{values.size} are not finite. Leave these rows out."
            )
            raise ValueError(msg)
    low, high = min(presences[0], background[0]), max(presences[-1], background[-1])
    width = (high - low) * _WINDOW_SHARE
    lower = np.linspace(low, high - width, _N_WINDOWS)
    upper = np.append(lower[:-1] + width, high)  # rounding must not leave the highest out
    shares = [_share_within(values, lower, upper) for values in (presences, background)]
    known = shares[1] > 0
    ratio, place = shares[0][known] / shares[1][known], lower[known]
    kept = np.append(True, ratio[1:] != ratio[:-1])
    if kept.sum() < 2:
        return np.nan
    return float(spearmanr(place[kept], ratio[kept]).statistic)


def _share_within(values, lower, upper):
    count = np.searchsorted(values, upper, side="right") - np.searchsorted(values, lower, side="left")
    return count / len(values)
