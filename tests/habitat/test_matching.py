"""kNNDM against a slow implementation written from Linnenbrink et al. (2024), and against what it promises."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import wasserstein_distance

from aqqua_science.grids.geometry import EARTH_RADIUS_KM, regular_grid
from aqqua_science.habitat import KNNDM, SpatialBlocks, StratifiedFolds
from aqqua_science.habitat.domain import distance_to_domain_km, held_out_km, nearest_km
from aqqua_science.habitat.folds import fold_labels


def distances(a, b):
    lat1, lon1 = np.radians(a[["latitude", "longitude"]].to_numpy().T)[:, :, None]
    lat2, lon2 = np.radians(b[["latitude", "longitude"]].to_numpy().T)[:, None, :]
    h = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(h, 0, 1)))


def ward_partitions(distance):
    """Every partition of Ward's agglomeration by the formula of Lance and Williams, by number of clusters."""
    members = {i: [i] for i in range(len(distance))}
    squared = {(i, j): distance[i, j] ** 2 for i in members for j in members if i < j}
    partitions = {len(members): [list(m) for m in members.values()]}
    while len(members) > 1:
        i, j = min(squared, key=squared.get)
        merged = squared.pop((i, j))
        for k in set(members) - {i, j}:
            ni, nj, nk = len(members[i]), len(members[j]), len(members[k])
            to_i, to_j = squared.pop((min(i, k), max(i, k))), squared.pop((min(j, k), max(j, k)))
            squared[min(i, k), max(i, k)] = ((ni + nk) * to_i + (nj + nk) * to_j - nk * merged) / (ni + nj + nk)
        members[i] = members[i] + members.pop(j)
        partitions[len(members)] = [list(m) for m in members.values()]
    return partitions


def slow_knndm(samples, domain, *, k, max_fold):
    """Try all numbers of clusters; the least Wasserstein distance and its labels."""
    distance = distances(samples, samples)
    to_map = distances(domain, samples).min(axis=1)
    positions = samples[["longitude", "latitude"]].to_numpy()
    values, vectors = np.linalg.eigh(np.cov(positions.T))
    axis = vectors[:, values.argmax()]
    axis = axis * np.sign(axis[np.abs(axis).argmax()])
    partitions = ward_partitions(distance)
    tried = {round(np.exp(x)) for x in np.linspace(np.log(k), np.log(len(samples) - 2), 100)}
    best = (np.inf, None)
    for q in sorted(tried):
        clusters = sorted(partitions[q], key=lambda m: ((positions[m] - positions.mean(axis=0)) @ axis).mean())
        labels, taken = np.full(len(samples), -1), 0
        for cluster in clusters:
            if len(cluster) >= len(samples) / k:
                labels[cluster], taken = taken, taken + 1
        small = [c for c in clusters if len(c) < len(samples) / k]
        for position, cluster in enumerate(small):
            labels[cluster] = taken + position % (k - taken)
        if max(np.bincount(labels)) > max_fold * len(samples):
            continue
        held = [min(distance[i, j] for j in range(len(samples)) if labels[j] != labels[i]) for i in range(len(samples))]
        best = min(best, (wasserstein_distance(held, to_map), labels.tolist()))
    return best


def clustered(seed, n_clusters=6, size=8):
    rng = np.random.default_rng(seed)
    centres = np.column_stack([rng.uniform(-60, 60, n_clusters), rng.uniform(-150, 150, n_clusters)])
    positions = np.repeat(centres, size, axis=0) + rng.normal(scale=2, size=(n_clusters * size, 2))
    return pd.DataFrame(positions, columns=["latitude", "longitude"])


def spread(n, seed):
    rng = np.random.default_rng(seed)
    latitude = np.degrees(np.arcsin(rng.uniform(-0.95, 0.95, n)))
    return pd.DataFrame({"latitude": latitude, "longitude": rng.uniform(-180, 180, n)})


@pytest.mark.parametrize("seed", range(6))
def test_folds_are_those_of_the_slow_implementation(seed):
    samples, domain = clustered(seed), spread(150, seed)
    expected, labels = slow_knndm(samples, domain, k=4, max_fold=0.4)
    ours = fold_labels(KNNDM(domain, n_splits=4, max_fold=0.4), samples)
    splits = list(KNNDM(domain, n_splits=4, max_fold=0.4).split(samples))
    assert_allclose(distance_to_domain_km(samples, splits, domain=domain), expected, rtol=1e-9)
    same_fold = np.equal.outer(ours, ours)
    assert_array_equal(same_fold, np.equal.outer(labels, labels))


def test_clustered_samples_get_folds_nearer_to_the_map_than_random_ones():
    samples = clustered(0, n_clusters=15, size=10)
    domain = regular_grid(4.0)
    gap = {
        name: distance_to_domain_km(samples, cv.split(samples, np.arange(150.0)), domain=domain)
        for name, cv in {"random": StratifiedFolds(), "blocks": SpatialBlocks(2), "knndm": KNNDM(domain)}.items()
    }
    assert gap["knndm"] < 0.8 * min(gap["random"], gap["blocks"])


def test_spread_samples_get_random_folds():
    # A sunflower lattice: every sample is farther from the others than a place between them is from it.
    n = np.arange(300)
    lattice = pd.DataFrame(
        {
            "latitude": np.degrees(np.arcsin((2 * n + 1) / 300 - 1)),
            "longitude": (n * 180 * (3 - 5**0.5)) % 360 - 180,
        }
    )
    labels = fold_labels(KNNDM(spread(1000, 1)), lattice)
    assert np.ptp(np.bincount(labels)) == 0
    alone = [nearest_km(lattice[i : i + 1], lattice.drop(i))[0] for i in n]
    assert np.median(held_out_km(lattice, KNNDM(spread(1000, 1)).split(lattice))) < 1.3 * np.median(alone)


def test_no_fold_is_larger_than_allowed():
    # Far from the map the largest clusters match best, and the crowd of 40 stays one fold if it may.
    crowd, others = clustered(1, 1, 40), clustered(2, 4, 10)
    samples = pd.concat([crowd, others], ignore_index=True).assign(latitude=lambda t: t["latitude"].abs())
    domain = [[-80.0, longitude] for longitude in range(-180, 180, 5)]
    sizes = {m: max(np.bincount(fold_labels(KNNDM(domain, max_fold=m), samples))) for m in (0.3, 0.6)}
    assert sizes[0.3] <= 24
    assert sizes[0.6] == 40


def test_same_seed_same_folds():
    samples, domain = spread(100, 0), regular_grid(10.0)
    first, again, other = (fold_labels(KNNDM(domain, random_state=s), samples) for s in (0, 0, 1))
    assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("options", "n", "message"),
    [
        ({"max_fold": 0.2}, 100, "between 1/n_splits=0.2 and 1; got 0.2"),
        ({"max_fold": 1.0}, 100, "got 1.0"),
        ({}, 6, "between n_splits . 2 = 7 and 20000 samples .* got 6"),
    ],
)
def test_impossible_folds_are_refused(options, n, message):
    with pytest.raises(ValueError, match=message):
        list(KNNDM(regular_grid(30.0), **options).split(spread(n, 0)))


def test_clusters_that_cannot_be_parted_are_refused():
    # One place holds nine of ten samples.
    heap = pd.concat([pd.DataFrame({"latitude": np.zeros(90), "longitude": 0.0}), spread(10, 0)], ignore_index=True)
    order = KNNDM(regular_grid(10.0), n_splits=2, max_fold=0.501)
    with pytest.raises(ValueError, match=r"max_fold=0.501 of the samples"):
        list(order.split(heap[:95]))
