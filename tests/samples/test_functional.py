"""Diversity of traits, held to the definitions."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.samples.functional import functional_diversity
from aqqua_science.schema import SchemaError

TAXA = list("abcde")


@pytest.fixture
def traits():
    return pd.DataFrame({"size": [1.0, 2, 4, 8, 9], "speed": [3.0, 1, 4, 1, 5]}, index=TAXA)


@pytest.fixture
def counts():
    return pd.DataFrame([[4, 0, 1, 5, 0], [1, 1, 1, 1, 1], [9, 0, 0, 0, 0], [0] * 5], columns=TAXA, index=list("wxyz"))


def test_by_the_definitions_pair_by_pair(counts, traits):
    found = functional_diversity(counts, traits)
    z = ((traits - traits.mean()) / traits.std()).to_numpy()
    for name, row in counts.iloc[:3].iterrows():
        p = row.to_numpy() / row.sum()
        rao = sum(p[i] * p[j] * np.linalg.norm(z[i] - z[j]) for i in range(5) for j in range(5))
        middle = sum(p[i] * z[i] for i in range(5))
        spread = sum(p[i] * np.linalg.norm(z[i] - middle) for i in range(5))
        assert_allclose(found.loc[name, ["rao_q", "functional_dispersion"]].astype(float), [rao, spread], atol=1e-12)


def test_the_hull_of_a_triangle_is_its_area(counts, traits):
    found = functional_diversity(counts, traits)["functional_richness"]
    z = ((traits - traits.mean()) / traits.std()).loc[["a", "c", "d"]].to_numpy()
    assert_allclose(found["w"], abs(np.linalg.det(z[1:] - z[0])) / 2)
    assert found["x"] > found["w"]
    assert np.isnan(found["y"])


def test_one_taxon_differs_from_nobody_and_nothing_is_unknown(counts, traits):
    found = functional_diversity(counts, traits)
    assert found.loc["y", ["rao_q", "functional_dispersion"]].tolist() == [0, 0]
    assert found.loc["z"].isna().all()


def test_units_of_traits_do_not_matter(counts, traits):
    pd.testing.assert_frame_equal(
        functional_diversity(counts, traits), functional_diversity(counts, traits * [1000, 0.01] + [5, -3])
    )


def test_order_of_taxa_and_scale_of_abundance_do_not_matter(counts, traits):
    pd.testing.assert_frame_equal(
        functional_diversity(counts, traits), functional_diversity(counts[list("ecabd")] * 7.0, traits)
    )


def test_taxa_in_a_line_have_no_area(counts, traits):
    flat = traits.assign(speed=traits["size"] * 2)
    assert functional_diversity(counts, flat)["functional_richness"].fillna(0).max() < 1e-9


def test_the_range_of_a_single_trait(counts, traits):
    found = functional_diversity(counts, traits[["size"]])
    assert_allclose(found["functional_richness"][:2], [7 / traits["size"].std(), 8 / traits["size"].std()])


def test_bad_traits_are_refused(counts, traits):
    with pytest.raises(SchemaError, match="traits of 1 taxa are missing, the first is 'e'"):
        functional_diversity(counts, traits.iloc[:4])
    with pytest.raises(SchemaError, match="speed are the same"):
        functional_diversity(counts, traits.assign(speed=1.0))
    with pytest.raises(SchemaError, match="or missing in some"):
        functional_diversity(counts, traits.assign(speed=[1.0, np.nan, 2, 3, 4]))
    with pytest.raises(SchemaError, match="more than one row"):
        functional_diversity(counts, pd.concat([traits, traits.iloc[:1]]))
    with pytest.raises(ValueError, match="not negative"):
        functional_diversity(-counts, traits)
