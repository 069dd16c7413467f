"""Diversity of samples and indicators of the ecosystem."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.samples import diversity
from aqqua_science.samples.communities import INDICATORS, count_matrix, indicators
from aqqua_science.samples.functional import functional_diversity
from aqqua_science.samples.particles import size_spectrum
from aqqua_science.samples.rarefaction import coverage_at, hill_numbers
from aqqua_science.schema import SchemaError


@pytest.fixture
def counts():
    return pd.DataFrame(
        [[40, 20, 4, 3, 1, 1], [8, 5, 1, 1, 0, 0], [0] * 6, [12, 0, 0, 0, 0, 0]],
        columns=list("abcdef"),
        index=["large", "small", "empty", "one"],
    )


def test_indices_by_their_definitions(counts):
    found = diversity(counts)
    p = counts.loc["large"] / counts.loc["large"].sum()
    assert_allclose(found.loc["large", "shannon"], -(p * np.log(p)).sum())
    assert_allclose(found.loc["large", "simpson"], 1 - (p**2).sum())
    assert found["richness"].tolist() == [6, 4, 0, 1]
    assert_allclose(found["hill_1"][:2], np.exp(found["shannon"][:2]))


def test_an_empty_sample_has_no_taxa_and_no_known_rest(counts):
    found = diversity(counts).loc["empty"]
    assert found[["individuals", "richness"]].tolist() == [0, 0]
    assert found[["coverage", "shannon", "simpson", "hill_0_whole", "hill_0_at_coverage", "size_ratio"]].isna().all()


def test_the_coverage_of_comparison_is_the_lowest_of_doubled_samples(counts):
    found = diversity(counts)
    n = counts.sum(axis=1)
    truth = min(coverage_at(counts.loc[name], 2 * n[name]) for name in ("large", "small", "one"))
    assert_allclose(found.attrs["coverage"], min(truth, 1))
    assert (found["size_ratio"].dropna() <= 2 + 1e-9).all()


def test_a_given_coverage_is_used(counts):
    low, high = diversity(counts, coverage=0.7), diversity(counts, coverage=0.9)
    assert (low["hill_0_at_coverage"] <= high["hill_0_at_coverage"])[:2].all()
    assert high.attrs["coverage"] == 0.9


def test_traits_add_functional_diversity(counts):
    traits = pd.DataFrame({"size": [1.0, 2, 3, 5, 8, 13]}, index=list("abcdef"))
    found = diversity(counts, traits=traits)
    pd.testing.assert_frame_equal(found[["rao_q"]], functional_diversity(counts, traits)[["rao_q"]])


@pytest.mark.parametrize("bad", [-1, 0.5, np.nan])
def test_what_are_no_counts_is_refused(counts, bad):
    with pytest.raises(ValueError, match=r"negative|whole|missing"):
        diversity(counts.astype(float).replace({40.0: bad}))


def test_counts_of_objects_keep_samples_without_any():
    objects = pd.DataFrame({"sample_id": ["b", "b", "a"], "taxon": ["x", "y", "x"]})
    samples = pd.DataFrame({"sample_id": ["c", "b", "a"], "volume_m3": 1.0})
    matrix = count_matrix(objects, samples)
    assert matrix.index.tolist() == ["c", "b", "a"]
    assert matrix.to_dict("list") == {"x": [0, 1, 1], "y": [0, 1, 0]}
    assert diversity(matrix)["richness"].tolist() == [0, 2, 1]


def test_fewer_objects_of_one_sea_are_as_diverse_at_equal_coverage():
    """The whole catch, and an eighth of it: richness falls, richness at equal coverage hardly."""
    rng = np.random.default_rng(3)
    share = np.sort(rng.lognormal(0, 1.5, 60))
    whole = rng.multinomial(4000, share / share.sum(), size=30)
    part = rng.binomial(whole, 1 / 8)
    found = diversity(pd.DataFrame(np.vstack([whole, part])), coverage=0.9)
    ratio = (
        found.iloc[30:][["richness", "hill_0_at_coverage"]].mean()
        / found.iloc[:30][["richness", "hill_0_at_coverage"]].mean()
    )
    assert ratio["richness"] < 0.8
    assert abs(ratio["hill_0_at_coverage"] - 1) < 0.08


@pytest.fixture
def plankton():
    rng = np.random.default_rng(4)
    objects = pd.DataFrame(
        {
            "sample_id": rng.choice(["a", "b"], 3000),
            "taxon": rng.choice(["Calanoida", "Cyclopoida", "Cnidaria", "Rhizaria"], 3000, p=[0.4, 0.2, 0.1, 0.3]),
            "esd_um": 300 * rng.uniform(size=3000) ** (-1 / 3),
        }
    )
    samples = pd.DataFrame({"sample_id": ["a", "b", "empty"], "volume_m3": [10.0, 20.0, 5.0]})
    return objects, samples


def test_indicators_by_hand(plankton):
    objects, samples = plankton
    found = indicators(objects, samples, copepods=["Calanoida", "Cyclopoida"], gelatinous=["Cnidaria"])
    b = objects[objects["sample_id"] == "b"]
    copepods, jellies = b["taxon"].isin(["Calanoida", "Cyclopoida"]).sum(), (b["taxon"] == "Cnidaria").sum()
    assert_allclose(found.loc[1, "mean_esd_um"], b["esd_um"].mean())
    assert_allclose(found.loc[1, ["copepods_m3", "gelatinous_m3"]].astype(float), [copepods / 20, jellies / 20])
    assert_allclose(found.loc[1, "copepods_per_gelatinous"], copepods / jellies)
    assert_allclose(found["size_spectrum_slope"], size_spectrum(objects, samples)["biovolume_slope"])
    assert found.loc[2, ["mean_esd_um", "copepods_per_gelatinous", "size_spectrum_slope"]].isna().all()
    assert found.loc[2, "copepods_m3"] == 0
    assert set(INDICATORS["indicator"]) <= set(found.columns)


def test_every_indicator_has_a_source():
    assert INDICATORS["source"].str.contains(r"\d{4}").all()


def test_groups_must_be_there(plankton):
    with pytest.raises(SchemaError, match="Did you mean 'Calanoida'"):
        indicators(*plankton, copepods=["Calanoidea"], gelatinous=["Cnidaria"])
    with pytest.raises(SchemaError, match="at least one group"):
        indicators(*plankton, copepods=["Calanoida"], gelatinous=[])
    with pytest.raises(SchemaError, match="named twice"):
        indicators(*plankton, copepods=["Calanoida"], gelatinous=["Calanoida"])


@pytest.fixture(scope="module")
def tara(shared_data):
    return shared_data / "insitu" / "benfabio+TARA-Oceans" / "TARA"


@pytest.mark.parametrize("net", ["wp2", "bongo", "regent"])
def test_real_counts_of_tara(tara, net):
    table = pd.read_csv(tara / f"table_counts_groups_{net}.txt", sep="\t")
    counts = table.pivot_table(index="station", columns="group", values="n", aggfunc="sum", fill_value=0)
    found = diversity(counts)
    assert (found["coverage"] > 0.8).all()
    assert (found["hill_0"] >= found["hill_1"]).all()
    assert (found["hill_1"] >= found["hill_2"] - 1e-9).all()
    assert (found["hill_0_whole"] >= found["hill_0"]).all()
    assert np.ptp(found["size_ratio"]) > 0
    assert (found["size_ratio"] <= 2 + 1e-6).all()


def test_transformed_abundances_of_tara_are_no_counts(tara):
    """They are cube roots of concentrations: refused as counts; as cubes, they have Hill numbers."""
    table = pd.read_csv(tara / "table_TARA_imaging_Abundance_revisions2_v3_transf_07_04_21.txt", sep="\t")
    groups = ["Ab_Copepoda", "Ab_Rhizaria", "Ab_Cnidaria", "Ab_Tunicata", "Ab_Chaetognatha", "Ab_Pteropoda"]
    with pytest.raises(ValueError, match="before any division"):
        diversity(table[groups].dropna())
    hill = hill_numbers(table[groups].dropna() ** 3, 1)
    assert ((hill >= 1) & (hill <= len(groups))).all()
