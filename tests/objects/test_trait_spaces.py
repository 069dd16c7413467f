"""Morphological space: against scikit-learn's principal components, and traits made of known factors."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from aqqua_science.objects.trait_spaces import TRAITS, morphospace

NAMES = ["esd_um", "biovolume_um3", "circularity", "transparency", "feret_max_um"]
SIZES = ["esd_um", "biovolume_um3", "feret_max_um"]


@pytest.fixture
def traits():
    """Three sizes made of one factor, two shapes of another."""
    size, shape = np.random.default_rng(0).normal(size=(2, 400))
    noise = 0.1 * np.random.default_rng(1).normal(size=(5, 400))
    return pd.DataFrame(
        {
            "esd_um": 10 ** (2 + 0.4 * (size + noise[0])),
            "biovolume_um3": 10 ** (6 + 1.2 * (size + noise[1])),
            "circularity": 0.5 + 0.1 * (0.8 * shape + noise[2]),
            "transparency": 0.5 - 0.05 * (0.8 * shape + noise[3]),
            "feret_max_um": 10 ** (2.5 + 0.3 * (size + noise[4])),
        },
        index=np.arange(400) * 3,
    )


def test_factors_are_found(traits):
    space = morphospace(traits, 2, columns=NAMES)
    assert space.loadings.loc[SIZES, "pc1"].to_numpy() == pytest.approx([1, 1, 1], abs=0.03)
    assert np.abs(space.loadings.loc[["circularity", "transparency"], "pc2"].to_numpy()) == pytest.approx(
        [1, 1], abs=0.05
    )
    assert space.explained.sum() > 0.97
    assert np.corrcoef(space.scores["pc1"], np.log(traits["esd_um"]))[0, 1] > 0.98


def test_components_are_those_of_scikit_learn(traits):
    values = traits[NAMES].assign(**{name: np.log10(traits[name]) for name in SIZES})
    model = PCA(3)
    expected = model.fit_transform(StandardScaler().fit_transform(values))
    space = morphospace(traits, 3, columns=NAMES)
    scale = np.sqrt(399 / 400)
    np.testing.assert_allclose(np.abs(space.scores), np.abs(expected) * scale, atol=1e-8)
    np.testing.assert_allclose(space.explained, model.explained_variance_ratio_, atol=1e-12)


def test_loadings_are_correlations(traits):
    space = morphospace(traits, 5, columns=NAMES)
    for name in ("circularity", "transparency"):
        for axis in space.scores:
            assert np.corrcoef(traits[name], space.scores[axis])[0, 1] == pytest.approx(space.loadings.loc[name, axis])
    np.testing.assert_allclose((space.loadings**2).sum(axis=1), 1)


def test_the_sign_is_that_of_the_strongest_trait(traits):
    space = morphospace(traits, 4, columns=NAMES)
    for axis in space.loadings:
        assert space.loadings[axis][space.loadings[axis].abs().idxmax()] > 0


def test_examples_lie_along_an_axis_and_near_it(traits):
    space = morphospace(traits, 2, columns=NAMES, n_examples=5)
    for axis, other in (("pc1", "pc2"), ("pc2", "pc1")):
        own = space.examples.query("axis == @axis")
        assert own["quantile"].tolist() == [0, 0.25, 0.5, 0.75, 1]
        found = space.scores.loc[own["row"]]
        assert found[axis].is_monotonic_increasing
        assert found[other].abs().max() < space.scores[other].std()
        ranks = space.scores[axis].rank(pct=True)[own["row"]].to_numpy()
        np.testing.assert_allclose(ranks, own["quantile"], atol=0.06)


def test_objects_without_all_traits_have_no_place(traits):
    holed = traits.copy()
    holed.loc[[0, 9], "circularity"] = np.nan
    holed.loc[[12], "esd_um"] = 0.0
    space, rest = morphospace(holed, 2, columns=NAMES), morphospace(traits.drop(index=[0, 9, 12]), 2, columns=NAMES)
    assert space.scores.index.tolist() == traits.index.tolist()
    assert space.scores.isna().any(axis=1).sum() == 3
    pd.testing.assert_frame_equal(space.scores.drop(index=[0, 9, 12]), rest.scores)
    assert not set(space.examples["row"]) & {0, 9, 12}


def test_inputs_are_not_changed(traits):
    before = traits.copy()
    morphospace(traits, 2, columns=NAMES)
    pd.testing.assert_frame_equal(traits, before)


def test_bad_input_is_refused(traits):
    with pytest.raises(ValueError, match=f"traits lack {TRAITS[0]}"):
        morphospace(traits)
    with pytest.raises(ValueError, match="n_components is 1 to 5, the number of traits; got 6"):
        morphospace(traits, 6, columns=NAMES)
    with pytest.raises(ValueError, match="circularity is the same for all objects"):
        morphospace(traits.assign(circularity=0.5), 2, columns=NAMES)
    with pytest.raises(ValueError, match="2 objects have all of"):
        morphospace(traits[:2], 2, columns=NAMES)
