"""A hundred boosted members and their global map, against the ways a user would otherwise make them."""

import os
from time import perf_counter

import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.ensemble import HistGradientBoostingRegressor

from aqqua_science.habitat import BoostedTrees

N_SAMPLES, N_CELLS, N_PREDICTORS, N_MEMBERS, N_TREES = 710, 39_698, 9, 100, 222
N_TIMED = {"scikit-learn": 5, "loop": 20, "cells": 500}
PARAMETERS = {"learning_rate": 0.075, "max_depth": 4, "min_child_weight": 3, "subsample": 0.5}


def run():
    """Rows of a table: task, ours_s, peer, peer_s, ratio (peer over ours), note."""
    rng = np.random.default_rng(0)
    names = [f"predictor_{i}" for i in range(N_PREDICTORS)]
    table = pd.DataFrame(rng.normal(size=(N_SAMPLES, N_PREDICTORS)).astype(np.float32), columns=names)
    counts = np.round(1000 * rng.gamma(1.0, np.exp(table["predictor_0"] - table["predictor_1"] ** 2)))
    cells = pd.DataFrame(rng.normal(size=(N_CELLS, N_PREDICTORS)).astype(np.float32), columns=names)
    data = table, counts, cells
    ours = {method: _timed(lambda method=method: _ours(data, method)) for method in ("hist", "exact")}
    task = f"{N_MEMBERS} members of {N_TREES} trees, fit and global 1-degree map"
    peers = [
        ("scikit-learn HistGradientBoosting", "hist", _scikit_learn, N_TIMED["scikit-learn"]),
        ("serial xgboost loop, one thread", "hist", _loop, N_TIMED["loop"]),
        ("R-style boosting, exact splits, one thread", "exact", _loop, N_TIMED["loop"]),
    ]
    rows = []
    for peer, method, function, n_timed in peers:
        theirs = _timed(lambda f=function, m=method, n=n_timed: f(data, m, n)) * N_MEMBERS / n_timed
        note = (
            f"{N_SAMPLES} samples, {N_CELLS} cells, {os.cpu_count()} cores; ours {method}; "
            f"{n_timed} of the peer's fits timed, scaled up"
        )
        rows.append(
            {
                "task": task,
                "ours_s": ours[method],
                "peer": peer,
                "peer_s": theirs,
                "ratio": theirs / ours[method],
                "note": note,
            }
        )
    return [*rows, _row_of_cells(task, ours["hist"], data)]


def _row_of_cells(task, ours, data):
    """The map alone by a loop over cells, each of which asks the model by itself."""
    table, counts, cells = data
    booster = xgb.train({**PARAMETERS, "nthread": 1}, xgb.DMatrix(table, counts), N_TREES)
    part = cells.iloc[: N_TIMED["cells"]].to_numpy()
    seconds = _timed(lambda: [booster.inplace_predict(cell[None]) for cell in part])
    theirs = seconds * N_CELLS * N_MEMBERS / len(part)
    note = f"the peer's predictions alone, without its fits; {len(part)} cells of one member timed, scaled up"
    peer = "Python loop over cells"
    return {"task": task, "ours_s": ours, "peer": peer, "peer_s": theirs, "ratio": theirs / ours, "note": note}


def _timed(function):
    start = perf_counter()
    function()
    return perf_counter() - start


def _ours(data, method):
    table, counts, cells = data
    model = BoostedTrees(n_members=N_MEMBERS, n_trees=N_TREES, tree_method=method, n_jobs=-1, **PARAMETERS)
    return model.fit(table, counts).predict_members(cells)


def _subsets(n_fits):
    rng = np.random.default_rng(1)
    return [rng.permutation(N_SAMPLES)[: N_SAMPLES * 4 // 5] for _ in range(n_fits)]


def _scikit_learn(data, method, n_fits):
    table, counts, cells = data
    model = HistGradientBoostingRegressor(
        loss="poisson", max_iter=N_TREES, learning_rate=0.075, max_depth=4, max_leaf_nodes=16, early_stopping=False
    )
    return [model.fit(table.iloc[rows], counts[rows]).predict(cells) for rows in _subsets(n_fits)]


def _loop(data, method, n_fits):
    table, counts, cells = data
    parameters = {**PARAMETERS, "objective": "count:poisson", "tree_method": method, "nthread": 1}
    grid = xgb.DMatrix(cells, nthread=1)
    maps = []
    for rows in _subsets(n_fits):
        training = xgb.DMatrix(table.iloc[rows], counts[rows], nthread=1)
        maps.append(xgb.train(parameters, training, N_TREES).predict(grid))
    return maps
