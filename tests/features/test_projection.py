"""A map keeps neighbours together, places new objects, and is the same each time and after a rest on disk."""

import numpy as np
import pytest
import xarray as xr
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier

from aqqua_science.features import layout
from aqqua_science.features.projection import Layout, open_layout
from aqqua_science.images.shards import StoreError


@pytest.fixture(scope="module")
def blobs():
    """Six clusters in 20 dimensions, and which is whose."""
    values, own = make_blobs(500, n_features=20, centers=6, random_state=0)
    return values.astype(np.float32), own


@pytest.fixture(scope="module")
def features(blobs):
    values, own = blobs
    return xr.DataArray(
        values, dims=("object", "feature"), attrs={"fingerprint": "aaaa", "encoder": "e"},
        coords={"object": np.arange(50, 550), "taxon": ("object", own.astype(str))},
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted(features):
    """A map with 300 landmarks among 500 objects."""
    return Layout(landmarks=300, random_state=1).fit(features)


def told_apart(placed, own):
    """Share of objects whose nearest neighbours on the map are of their own cluster."""
    return KNeighborsClassifier(5).fit(placed, own).score(placed, own)


@pytest.mark.slow
def test_neighbours_stay_together(features, blobs):
    placed = layout(features)
    values, own = blobs
    assert trustworthiness(values, placed.values) > 0.9
    assert told_apart(placed.values, own) == 1
    # A single component cannot do this, so it is no matter of course.
    assert trustworthiness(values, PCA(1).fit_transform(values)) < 0.9


def test_the_map_tells_whose_position_it_is(features):
    placed = layout(features, n_components=3, landmarks=60)
    assert placed.dims == ("object", "axis")
    assert placed["axis"].values.tolist() == ["x", "y", "z"]
    assert placed["object"].equals(features["object"])
    assert placed["taxon"].equals(features["taxon"])
    assert placed.attrs["fingerprint"] == "aaaa"


def test_objects_beyond_the_landmarks_fall_among_their_own(features, fitted, blobs):
    values, own = blobs
    placed = fitted.transform(features).values
    assert len(fitted.landmarks_) == 300
    assert trustworthiness(values, placed) > 0.9
    assert told_apart(placed, own) == 1


def test_landmarks_lie_where_they_were_laid(fitted, features):
    placed = fitted.transform(features).values
    at = np.abs(placed[:, None] - fitted.positions_).max(axis=2).min(axis=1)
    assert (at < 1e-5).sum() == 300


def test_a_new_object_lies_within_its_neighbours(fitted, features):
    """A mean with positive weights is inside the convex hull: here, of the box around them."""
    placed = fitted.transform(features.values + 0.01).values
    assert (placed >= fitted.positions_.min(axis=0) - 1e-4).all()
    assert (placed <= fitted.positions_.max(axis=0) + 1e-4).all()


def test_the_same_seed_gives_the_same_map(features, fitted):
    again = Layout(landmarks=300, random_state=1).fit(features)
    np.testing.assert_array_equal(again.positions_, fitted.positions_)
    other = Layout(landmarks=300, random_state=2).fit(features)
    assert not np.array_equal(other.landmarks_, fitted.landmarks_)


def test_components_are_those_of_scikit_learn(features, blobs):
    values = blobs[0]
    model = Layout(pca=3).fit(features)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    expected = PCA(3).fit_transform(scaled)
    np.testing.assert_allclose(np.abs(model.landmarks_), np.abs(expected), atol=1e-4)


def test_units_do_not_matter(features, fitted):
    """Micrometres or millimetres: each feature counts by its own spread."""
    other = features * np.geomspace(1e-3, 1e3, 20).astype(np.float32) + np.float32(7)
    model = Layout(landmarks=300, random_state=1).fit(other)
    np.testing.assert_allclose(np.abs(model.landmarks_), np.abs(fitted.landmarks_), atol=1e-2)


def test_chunks_change_nothing(features, fitted, monkeypatch):
    whole = fitted.transform(features)
    monkeypatch.setattr("aqqua_science.features.projection.ROWS", 64)
    np.testing.assert_array_equal(Layout(landmarks=300, random_state=1).fit(features).landmarks_, fitted.landmarks_)
    np.testing.assert_allclose(fitted.transform(features.chunk({"object": 70})), whole, atol=1e-4)


def test_a_map_survives_on_disk(features, fitted, tmp_path):
    fitted.save(tmp_path / "map.npz")
    opened = open_layout(tmp_path / "map.npz")
    np.testing.assert_array_equal(opened.transform(features), fitted.transform(features))
    assert (opened.random_state, opened.landmarks, opened.fingerprint_) == (1, 300, "aaaa")
    np.testing.assert_array_equal(layout(features, model=opened), fitted.transform(features))


def test_what_is_no_map_is_told(tmp_path):
    (tmp_path / "map.npz").write_bytes(b"nothing")
    for name in ("map.npz", "absent.npz"):
        with pytest.raises(StoreError, match="holds no layout, or it is damaged"):
            open_layout(tmp_path / name)


def test_another_encoder_is_refused(features, fitted):
    with pytest.raises(ValueError, match="features are of another encoder: e with fingerprint bbbb"):
        fitted.transform(features.assign_attrs(fingerprint="bbbb"))
    with pytest.raises(ValueError, match="this map is of 20 features; these have 5"):
        fitted.transform(features[:, :5])


def test_objects_without_features_have_no_place(features):
    gaps = features.copy()
    gaps[::5] = np.nan
    placed = layout(gaps, landmarks=100)
    assert np.isnan(placed[::5]).all()
    assert np.isfinite(placed.values).all(axis=1).sum() == 400


@pytest.mark.parametrize("n", [4, 5, 17])
def test_few_objects_have_places(features, n):
    placed = layout(features[:n])
    assert np.isfinite(placed).all()
    assert len(np.unique(placed, axis=0)) == n


def test_alike_objects_lie_together(features):
    doubled = xr.concat([features[:60], features[:60]], dim="object")
    placed = layout(doubled)
    assert np.isfinite(placed).all()
    np.testing.assert_array_equal(placed[:60], placed[60:])


def test_too_few_are_refused(features):
    with pytest.raises(ValueError, match="needs 4 objects or more with finite features; there are 3"):
        layout(features[:3])
    with pytest.raises(ValueError, match="needs 4 objects or more with finite features; there are 0"):
        layout(features * np.nan)
    with pytest.raises(ValueError, match="a map has 1 to 3 dimensions; got n_components=4"):
        layout(features, n_components=4)
