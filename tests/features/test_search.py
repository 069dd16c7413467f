"""Neighbours are those of the definition; the graph finds nearly all of them, also from disk."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from aqqua_science.features import neighbours
from aqqua_science.features.search import METRICS, nearest


def clustered(n, d=32, *, seed=0, n_clusters=40, spread=0.4):
    """Points around random centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_clusters, d))
    return (centres[rng.integers(n_clusters, size=n)] + spread * rng.normal(size=(n, d))).astype(np.float32)


def features_of(values, *, first=100, fingerprint="aaaa"):
    rows = np.arange(first, first + len(values))
    attrs = {"fingerprint": fingerprint, "encoder": "e"}
    return xr.DataArray(values, dims=("object", "feature"), coords={"object": rows}, attrs=attrs)


def reference(query, base, k, metric):
    """Neighbours by SciPy, from all distances in double precision."""
    distances = cdist(query.astype(float), base.astype(float), metric)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(distances, order, axis=1)


def recall(found, true):
    return np.mean([len({*f} & {*t}) / len(t) for f, t in zip(found, true, strict=True)])


@pytest.mark.parametrize("metric", METRICS)
def test_exact_neighbours_are_those_of_scipy(metric):
    base, query = clustered(20_000, 8), clustered(50, 8, seed=1)
    places, distances = nearest(query, base, 7, metric=metric)
    order, true = reference(query, base, 7, metric)
    np.testing.assert_allclose(distances, true, rtol=1e-3, atol=1e-6)
    assert recall(places, order) > 0.99
    assert (np.diff(distances, axis=1) >= 0).all()


@settings(max_examples=30)
@given(n=st.integers(1, 30), m=st.integers(1, 12), d=st.integers(1, 5), seed=st.integers(0, 99), data=st.data())
def test_exact_neighbours_of_any_shape(n, m, d, seed, data):
    k = data.draw(st.integers(1, n))
    rng = np.random.default_rng(seed)
    base, query = (rng.integers(-3, 4, (size, d)).astype(np.float32) for size in (n, m))
    _, distances = nearest(query, base, k)
    np.testing.assert_allclose(distances, reference(query, base, k, "euclidean")[1], atol=1e-6)


def test_far_from_the_origin_distances_stay_true():
    base = clustered(500, 8) + 1_000
    places, distances = nearest(base[:20], base, 4)
    _, true = reference(base[:20], base, 4, "euclidean")
    np.testing.assert_allclose(distances, true, rtol=1e-3, atol=1e-4)
    assert (places[:, 0] == np.arange(20)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_graph_finds_nearly_all(metric, tmp_path):
    base, query = clustered(4_000), clustered(100, seed=1)
    found = neighbours(features_of(base), metric=metric, exact_below=0, index=tmp_path / "i.usearch")
    rows, distances = found.find(query)
    order, true = reference(query, base, 10, metric)
    assert not found.exact
    assert recall(rows, order + 100) >= 0.95
    np.testing.assert_allclose(distances[:, 0], true[:, 0], rtol=2e-2, atol=2e-3)


def test_rows_are_those_of_the_store():
    base = clustered(300)
    for exact_below in (0, 1_000):
        rows, distances = neighbours(features_of(base), exact_below=exact_below).find(base[7], k=3)
        assert rows.shape == distances.shape == (1, 3)
        assert rows[0, 0] == 107
        assert distances[0, 0] == pytest.approx(0, abs=1e-3)
    assert neighbours(base).find(base[7], k=1)[0].item() == 7


def test_an_index_is_read_from_disk_and_not_built_again(tmp_path):
    base, path = clustered(1_000), tmp_path / "i.usearch"
    first = neighbours(features_of(base), exact_below=0, index=path).find(base[:9])
    changed = path.stat().st_mtime_ns
    second = neighbours(features_of(base), exact_below=0, index=path).find(base[:9])
    assert path.stat().st_mtime_ns == changed
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    assert json.loads((tmp_path / "i.usearch.json").read_text())["fingerprint"] == "aaaa"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["i.usearch", "i.usearch.json"]


def test_the_same_graph_is_built_again(tmp_path):
    base = clustered(500)
    for name in "ab":
        neighbours(features_of(base), exact_below=0, index=tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_index_without_its_note_is_built_again(tmp_path):
    base, path = clustered(300), tmp_path / "i.usearch"
    path.write_bytes(b"cut off")
    assert neighbours(features_of(base), exact_below=0, index=path).find(base[3], k=1)[0].item() == 103


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (features_of(clustered(300), fingerprint="bbbb"), "its fingerprint is 'aaaa', not 'bbbb'"),
        (features_of(clustered(301)), "its objects is 300, not 301"),
        (features_of(clustered(300, seed=1)), "its sample is"),
    ],
)
def test_an_index_of_other_features_is_refused(other, words, tmp_path):
    neighbours(features_of(clustered(300)), exact_below=0, index=tmp_path / "i")
    with pytest.raises(ValueError, match=words):
        neighbours(other, exact_below=0, index=tmp_path / "i")


def test_a_query_of_another_encoder_is_refused():
    found = neighbours(features_of(clustered(30)))
    with pytest.raises(ValueError, match="features are of another encoder: e with fingerprint bbbb"):
        found.find(features_of(clustered(2), fingerprint="bbbb"))
    assert found.find(features_of(clustered(2)), k=2)[0].shape == (2, 2)


@pytest.mark.parametrize("exact_below", [0, 1_000])
def test_objects_without_features_are_never_found(exact_below):
    base = clustered(200)
    base[::2] = np.nan
    found = neighbours(features_of(base), exact_below=exact_below, k=50)
    rows, _ = found.find(clustered(20, seed=1))
    assert (rows % 2 == 1).all()
    with pytest.raises(ValueError, match="number of objects with features, 100; got 101"):
        found.find(base[1], k=101)


def test_bad_queries_are_refused():
    found = neighbours(clustered(30))
    query = clustered(3)
    query[1, 4] = np.nan
    with pytest.raises(ValueError, match="query 1 has NaN or infinite features"):
        found.find(query)
    with pytest.raises(ValueError, match=r"a query has 32 features; got an array of shape \(3, 5\)"):
        found.find(query[:, :5])


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (4,)])
def test_no_table_is_refused(shape):
    with pytest.raises(ValueError, match=r"numbers of shape \(object, feature\)"):
        neighbours(np.ones(shape))


@pytest.mark.parametrize("exact_below", [0, 1_000])
def test_nothing_to_search_in_is_told(exact_below):
    with pytest.raises(ValueError, match="no object has finite features"):
        neighbours(np.full((4, 3), np.nan), exact_below=exact_below)


def test_an_unknown_metric_is_told():
    with pytest.raises(ValueError, match=r"no metric 'manhattan'. Pass one of cosine, euclidean"):
        neighbours(clustered(3), metric="manhattan")


def test_lazy_features_are_searched(tmp_path):
    base = clustered(400)
    lazy = features_of(base).chunk({"object": 90})
    for exact_below in (0, 1_000):
        rows, _ = neighbours(lazy, exact_below=exact_below, index=tmp_path / "i").find(base[:30], k=1)
        assert (rows[:, 0] == np.arange(100, 130)).all()
