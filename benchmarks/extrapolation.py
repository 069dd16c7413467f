"""Applicability and spatial folds, against scikit-learn's brute-force neighbours and plain loops."""

from time import perf_counter

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.neighbors import NearestNeighbors

from aqqua_science.habitat import area_of_applicability
from aqqua_science.habitat.domain import nearest_km
from aqqua_science.habitat.extrapolation import mess

N_CELLS, N_SAMPLES, N_PREDICTORS, N_LOOPED = 39_698, 892, 9, 300


def run():
    """Rows of a table: task, ours_s, peer, peer_s, ratio (peer over ours), note."""
    rng = np.random.default_rng(0)
    names = [f"predictor_{i}" for i in range(N_PREDICTORS)]
    # Correlated like the ocean's predictors: a few directions hold most of the variance.
    mixing = rng.normal(size=(3, N_PREDICTORS))
    training = pd.DataFrame(_draw(rng, N_SAMPLES, mixing), columns=names)
    cells = _draw(rng, N_CELLS, 1.3 * mixing)
    env = xr.Dataset({n: ("cell", cells[:, i]) for i, n in enumerate(names)})
    return [*_applicability(training, env, cells), _similarity(training, env, cells), _distances(rng)]


def _draw(rng, n, mixing):
    return rng.normal(size=(n, len(mixing))) @ mixing + 0.3 * rng.normal(size=(n, N_PREDICTORS))


def _applicability(training, env, cells):
    ours, area = _timed(lambda: area_of_applicability(training, env, predictors=list(training)))
    scale = training.std().to_numpy()
    radius = area.attrs["threshold"] * area.attrs["mean_training_distance"]

    def peer():
        brute = NearestNeighbors(algorithm="brute").fit(training.to_numpy() / scale)
        nearest, _ = brute.kneighbors(cells / scale, 1)
        near = brute.radius_neighbors(cells / scale, radius, return_distance=False)
        return nearest[:, 0], np.array([len(found) for found in near])

    theirs, (nearest, density) = _timed(peer)
    np.testing.assert_allclose(nearest, area["dissimilarity_index"] * area.attrs["mean_training_distance"], atol=1e-6)
    agree = float((density == area["local_point_density"]).mean())
    task = "dissimilarity, local point density"
    size = f"{N_CELLS} cells, {N_SAMPLES} samples, {N_PREDICTORS} predictors"
    note = f"{size}; ours with threshold and MESS; {agree:.2%} of densities equal"
    places, points = cells / scale, training.to_numpy() / scale
    looped, _ = _timed(lambda: [_compared(place, points, radius) for place in places[:N_LOOPED]])
    return [
        _row(task, ours, "scikit-learn brute force", theirs, note),
        _row(task, ours, "loop over cells", looped * N_CELLS / N_LOOPED, f"{size}; loop over {N_LOOPED}, scaled up"),
    ]


def _compared(place, points, radius):
    distance = np.sqrt(((points - place) ** 2).sum(axis=1))
    return distance.min(), (distance <= radius).sum()


def _similarity(training, env, cells):
    ours, similarity = _timed(lambda: mess(training, env))
    reference = training.to_numpy()
    theirs, looped = _timed(lambda: [_mess_of(cell, reference) for cell in cells[:N_LOOPED]])
    np.testing.assert_allclose(similarity[:N_LOOPED], looped)
    note = f"{N_CELLS} cells; loop over {N_LOOPED}, scaled up"
    return _row("MESS", ours, "loop over cells", theirs * N_CELLS / N_LOOPED, note)


def _mess_of(cell, reference):
    similarity = []
    for value, column in zip(cell, reference.T, strict=True):
        below, span = 100 * (column <= value).mean(), np.ptp(column)
        inner = 2 * min(below, 100 - below)
        edge = 100 * min(value - column.min(), column.max() - value) / span
        similarity.append(edge if below in (0, 100) else inner)
    return min(similarity)


def _distances(rng):
    positions = pd.DataFrame({"latitude": rng.uniform(-80, 80, N_CELLS), "longitude": rng.uniform(-180, 180, N_CELLS)})
    reference = positions[:N_SAMPLES]
    ours, nearest = _timed(lambda: nearest_km(positions, reference))

    def peer():
        brute = NearestNeighbors(algorithm="brute", metric="haversine").fit(np.radians(reference))
        return brute.kneighbors(np.radians(positions), 1)[0][:, 0] * 6371.0088

    theirs, haversine = _timed(peer)
    np.testing.assert_allclose(nearest, haversine, atol=1e-3)
    return _row("distance from map to samples", ours, "scikit-learn haversine", theirs, f"{N_CELLS} x {N_SAMPLES}")


def _timed(task, repeats=3):
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        result = task()
        seconds.append(perf_counter() - start)
    return min(seconds), result


def _row(task, ours, peer, theirs, note):
    return {"task": task, "ours_s": ours, "peer": peer, "peer_s": theirs, "ratio": theirs / ours, "note": note}
