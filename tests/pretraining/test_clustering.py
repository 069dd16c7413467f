"""k-means: against slow loops written from the definitions, and on rows that are read in blocks."""

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from aqqua_science.pretraining.clustering import lloyd, nearest, seed_centroids
from aqqua_science.pretraining.feature_rows import READ, FeatureRows, screen_rows
from aqqua_science.pretraining.hierarchy import closest_rows, cluster_counts, cluster_levels, ranks


def slow_nearest(points, centroids):
    gaps = [[sum((a - b) ** 2 for a, b in zip(p, c, strict=True)) for c in centroids] for p in points]
    return [row.index(min(row)) for row in gaps], [min(row) for row in gaps]


def slow_lloyd(points, centroids, iterations):
    """Means of the points of each centroid until nothing moves; a lost centroid goes to the worst served point."""
    centroids, before = [list(c) for c in centroids], None
    for _ in range(iterations):
        labels, gaps = slow_nearest(points, centroids)
        if labels == before:
            break
        before, worst = labels, sorted(range(len(points)), key=lambda i: -gaps[i])
        for j in range(len(centroids)):
            mine = [p for p, label in zip(points, labels, strict=True) if label == j]
            if mine:
                centroids[j] = [sum(column) / len(mine) for column in zip(*mine, strict=True)]
            else:
                centroids[j] = list(points[worst.pop(0)])
    return centroids


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(5))
def test_nearest_is_what_a_double_loop_finds(seed):
    rng = np.random.default_rng(seed)
    points, centroids = rng.normal(size=(60, 3)), rng.normal(size=(7, 3))
    labels, gaps = nearest(tensor(points), tensor(centroids))
    expected = slow_nearest(points.tolist(), centroids.tolist())
    assert labels.tolist() == expected[0]
    np.testing.assert_allclose(gaps, expected[1], rtol=1e-9)


def test_nearest_over_blocks_of_points_and_of_centroids():
    rng = np.random.default_rng(0)
    points, centroids = tensor(rng.normal(size=(1_100, 2))), tensor(rng.normal(size=(17_000, 2)))
    gaps, labels = torch.cdist(points, centroids, compute_mode="donot_use_mm_for_euclid_dist").min(1)
    found = nearest(points, centroids)
    assert torch.equal(found[0], labels)
    np.testing.assert_allclose(found[1], gaps.square(), rtol=1e-6, atol=1e-12)


def test_of_two_equally_near_centroids_the_first_is_taken():
    assert nearest(tensor([[0.0]]), tensor([[1.0], [-1.0], [1.0]]))[0].tolist() == [0]


def test_a_point_on_its_centroid_has_no_distance():
    points = torch.randn(50, 384, generator=torch.Generator().manual_seed(0))
    assert nearest(points, points)[1].max() == 0


@pytest.mark.parametrize("iterations", [1, 3, 50])
@pytest.mark.parametrize("seed", range(3))
def test_lloyd_moves_as_the_slow_one_from_the_same_seeds(seed, iterations):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(80, 3))
    seeds = points[:6]
    found = lloyd(tensor(points), tensor(seeds), iterations=iterations)
    np.testing.assert_allclose(found, slow_lloyd(points.tolist(), seeds.tolist(), iterations), atol=1e-9)


def test_clusters_without_points_are_put_where_points_are_worst_served():
    points = np.concatenate([np.random.default_rng(0).normal(size=(40, 2)), [[50.0, 0.0], [0.0, 90.0]]])
    seeds = [[0.0, 0.0], [900.0, 900.0], [901.0, 900.0]]
    found = lloyd(tensor(points), tensor(seeds), iterations=20)
    np.testing.assert_allclose(found, slow_lloyd(points.tolist(), seeds, 20), atol=1e-9)
    assert {(50.0, 0.0), (0.0, 90.0)} < {tuple(row) for row in found.tolist()}


def test_seeds_are_drawn_in_proportion_to_squared_distances():
    """Points 0, 1 and 3: after 0 comes 3 with probability 9/10, after 1 it is 3 with 4/5, after 3 it is 0 with 9/13."""
    points = tensor([[0.0], [1.0], [3.0]])
    pairs = [tuple(seed_centroids(points, 2, rng=np.random.default_rng(s)).flatten().tolist()) for s in range(1_200)]
    for first, second, probability in [(0, 3, 9 / 10), (1, 3, 4 / 5), (3, 0, 9 / 13)]:
        mine = [b for a, b in pairs if a == first]
        assert len(mine) == pytest.approx(400, abs=4 * np.sqrt(1_200 * 2 / 9))
        spread = np.sqrt(probability * (1 - probability) / len(mine))
        assert np.mean([b == second for b in mine]) == pytest.approx(probability, abs=4 * spread)


def test_seeds_are_different_points_and_no_more_than_there_are():
    points = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).repeat(20, 1)
    seeds = seed_centroids(points, 200, rng=np.random.default_rng(0))
    assert len({tuple(row) for row in seeds.tolist()}) == len(seeds) == 30


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 4), st.integers(0, 9))
def test_the_closest_rows_of_each_cluster(labels, n_each, seed):
    labels = np.array(labels) - 1
    gaps = np.random.default_rng(seed).random(len(labels))
    expected = [
        row for k in set(labels) - {-1} for row in sorted(np.flatnonzero(labels == k), key=gaps.__getitem__)[:n_each]
    ]
    assert closest_rows(labels, gaps, n_each).tolist() == sorted(expected)


def test_members_of_groups_are_numbered():
    assert ranks(np.array([4, 4, 0, 0, 0, 9])).tolist() == [0, 1, 0, 1, 2, 0]
    assert ranks(np.array([], int)).tolist() == []


@pytest.mark.parametrize(
    ("n", "counts"),
    [
        (50, (2,)),
        (1_000, (10,)),
        (50_000, (500, 50, 5)),
        (1_000_000, (10_000, 1_000, 100)),
        (7 * 10**9, (10_000, 1_000, 100)),
    ],
)
def test_one_cluster_per_hundred_images_up_to_ten_thousand(n, counts):
    assert cluster_counts(n) == counts


def test_rows_are_taken_across_blocks():
    values = np.random.default_rng(0).normal(size=(2 * READ + 7, 3)).astype(np.float16)
    rows = FeatureRows(values, mean=np.ones(3))
    chosen = np.array([0, 5, READ - 1, READ, 2 * READ, 2 * READ + 6])
    np.testing.assert_array_equal(rows.take(chosen), values[chosen].astype(np.float32) - 1)


def test_whatever_is_sliced_by_rows_will_do(tmp_path):
    values = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float16)
    mapped = np.memmap(tmp_path / "map", np.float16, "w+", shape=values.shape)
    mapped[:] = values
    chunked = zarr.create_array(tmp_path / "zarr", shape=values.shape, dtype="float16", chunks=(100, 4))
    chunked[:] = values
    for kind in (mapped, chunked, xr.DataArray(values), xr.DataArray(values).chunk(100)):
        rows = FeatureRows(kind)
        np.testing.assert_array_equal(rows.block(10, 450), values[10:450].astype(np.float32))
        assert rows.identity == FeatureRows(values).identity


def test_a_large_common_offset_changes_no_cluster(tmp_path):
    """Squared distances come from |x|^2 - 2xc + |c|^2, which would drown in the offset's square."""
    values = np.random.default_rng(0).integers(-50, 50, size=(2_000, 4)).astype(np.float32)
    labels = []
    for offset in (0, 10_000):
        folder = tmp_path / str(offset)
        rows = screen_rows(FeatureRows(values + np.float32(offset)), folder=folder / "screen")
        (level,) = cluster_levels(rows, (20,), resampling=1, seed=0, folder=folder)
        labels.append(level.labels)
    assert (labels[0] == labels[1]).mean() > 0.99
