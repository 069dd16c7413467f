"""Which rows each member of an ensemble learns from, and which it leaves out."""

from itertools import islice

import numpy as np

from aqqua_science.habitat.folds import StratifiedFolds

N_FOLDS = 5
_MAX_DRAWS = 100


def member_rows(amount, groups, *, resampling, n_members, stopping=False, rng=None):
    """
    Draw the rows of each member.

    Parameters
    ----------
    amount : numpy.ndarray, shape (n,)
        Non-negative target, which sets the strata.
    groups : numpy.ndarray of int, shape (n,), or None
        Group (block, cruise) of each row, numbered from 0 without gaps. Needed by "blocks" and "groups".
    resampling : {"stratified", "blocks", "groups", None}
        "stratified": five folds stratified on the octiles of the positive amounts, repeated; a member
        learns from four of them (Drago et al. 2022, Frontiers in Marine Science 9:894372).
        "blocks": whole groups are drawn with replacement (block bootstrap).
        "groups": five folds of whole groups, repeated; a member learns from four of them.
        None: every member learns from every row.
    n_members : int
    stopping : bool
        Whether the held-out rows must serve to stop growth. They are then whole groups wherever groups are
        given: with "stratified" a fifth of two or more groups is taken out of the member's rows for it.
    rng : int, numpy.random.Generator or None

    Returns
    -------
    list of (times, held_out)
        Arrays of shape (n,): how many times the member sees each row, and the rows kept back from it.

    Raises
    ------
    ValueError
        If a member had no positive amount to learn from, or none to stop on.

    Examples
    --------
    >>> draws = member_rows(np.ones(10), None, resampling="stratified", n_members=5, rng=0)
    >>> sum(held_out.astype(int) for times, held_out in draws)
    array([1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    """
    rng = np.random.default_rng(rng)
    draws = list(islice(_draws(amount, groups, resampling, stopping, rng), n_members))
    if stopping and resampling == "stratified" and groups is not None and groups.max() > 0:
        draws = [_hold_out_groups(times, groups, rng) for times, _ in draws]
    positive = amount > 0
    for times, held_out in draws:
        if not (positive & (times > 0)).any() or (stopping and not (positive & held_out).any()):
            msg = (
                f"a member has no positive amount to learn from, or none to stop its growth on; {positive.sum()} of "
                f"{len(amount)} amounts are positive. Set n_trees, use smaller groups or resampling='stratified'."
            )
            raise ValueError(msg)
    return draws


def _draws(amount, groups, resampling, stopping, rng):
    """Pairs of times seen and rows kept back, without end."""
    if resampling is None:
        folds = _repeat_nothing(len(amount))
    elif resampling == "blocks":
        yield from _bootstraps(amount, groups, stopping, rng)
    else:
        folds = _group_folds(groups, rng) if resampling == "groups" else _stratified_folds(amount, rng)
    for held_out in folds:
        yield (~held_out).astype(int), held_out


def _repeat_nothing(n):
    while True:
        yield np.zeros(n, dtype=bool)


def _stratified_folds(amount, rng):
    """Rows of each fold, dealt anew without end."""
    rows = np.arange(len(amount))
    while True:
        for _, fold in StratifiedFolds(N_FOLDS, random_state=rng).split(amount, amount):
            yield np.isin(rows, fold)


def _group_folds(groups, rng):
    """Rows of each fold of whole groups, dealt anew without end; with few groups there are fewer folds."""
    n_groups = groups.max() + 1
    n_folds = min(N_FOLDS, n_groups)
    while True:
        fold_of_group = rng.permutation(n_groups) % n_folds
        for fold in range(n_folds):
            yield fold_of_group[groups] == fold


def _bootstraps(amount, groups, stopping, rng):
    """Groups drawn with replacement; drawn again until some are left out and both sides hold what they need."""
    n_groups = groups.max() + 1
    failures = 0
    while failures < _MAX_DRAWS:
        times = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)[groups]
        seen = times > 0
        if seen.all() or not amount[seen].any() or (stopping and not amount[~seen].any()):
            failures += 1
            continue
        failures = 0
        yield times, ~seen
    msg = (
        f"{_MAX_DRAWS} bootstraps of {n_groups} groups in a row held no positive amount, or left none out to "
        f"stop on; {np.count_nonzero(amount)} of {len(amount)} amounts are positive. Set n_trees or use smaller groups."
    )
    raise ValueError(msg)


def _hold_out_groups(times, groups, rng):
    """Take a fifth of the groups out of a member's rows."""
    held_out = next(_group_folds(groups, rng)) & (times > 0)
    return np.where(held_out, 0, times), held_out
