"""Counts and masses per volume of water."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.samples import biomass, concentration
from aqqua_science.schema import SchemaError


@pytest.fixture
def samples():
    return pd.DataFrame({"sample_id": ["c", "a", "b"], "volume_m3": [2.0, 0.5, 4.0]}, index=[7, 3, 5])


@pytest.fixture
def objects():
    return pd.DataFrame(
        {
            "sample_id": ["a", "c", "a", "a"],
            "taxon": ["Copepoda", "Copepoda", "Rhizaria", "Copepoda"],
            "carbon_ug": [10.0, 4.0, 100.0, 20.0],
        }
    )


def test_counts_keep_zeros_order_and_index(objects, samples):
    table = concentration(objects, samples)
    assert table["sample_id"].tolist() == ["c", "a", "b"]
    assert table.index.tolist() == [7, 3, 5]
    assert_allclose(table["objects_m3"], [1 / 2, 3 / 0.5, 0])
    assert "objects_m3" not in samples


def test_sums_of_a_column(objects, samples):
    assert_allclose(concentration(objects, samples, value="carbon_ug")["carbon_ug_m3"], [2, 260, 0])


def test_biomass_is_in_milligrams(objects, samples):
    assert_allclose(biomass(objects, samples)["carbon_mg_m3"], [0.002, 0.26, 0])


def test_taxon_filters_objects_and_never_samples(objects, samples):
    assert_allclose(biomass(objects, samples, taxon="Rhizaria")["carbon_mg_m3"], [0, 0.2, 0])
    both = biomass(objects, samples, taxon=["Rhizaria", "Copepoda"])
    pd.testing.assert_frame_equal(both, biomass(objects, samples))


def test_no_objects_at_all_is_absence(objects, samples):
    table = biomass(objects.iloc[:0], samples, taxon="Copepoda")
    assert table["carbon_mg_m3"].tolist() == [0, 0, 0]


def test_total_mass_is_conserved():
    rng = np.random.default_rng(1)
    samples = pd.DataFrame({"sample_id": np.arange(50), "volume_m3": rng.uniform(0.1, 5, 50)})
    objects = pd.DataFrame({"sample_id": rng.integers(0, 50, 2000), "carbon_ug": rng.lognormal(0, 2, 2000)})
    table = biomass(objects, samples)
    assert_allclose((table["carbon_mg_m3"] * table["volume_m3"]).sum(), objects["carbon_ug"].sum() / 1000)


def test_unknown_volume_and_unknown_mass_are_not_zero(objects, samples):
    samples = samples.assign(volume_m3=[2.0, 0.5, np.nan])
    objects = objects.assign(carbon_ug=[10.0, np.nan, 100.0, 20.0])
    assert np.isnan(concentration(objects, samples)["objects_m3"].iloc[2])
    assert_allclose(biomass(objects, samples)["carbon_mg_m3"], [np.nan, 0.26, np.nan])


def test_depth_bins_are_samples_of_their_own():
    samples = pd.DataFrame({"sample_id": ["a", "a"], "depth_bin": [2.5, 7.5], "volume_m3": [1.0, 2.0]})
    objects = pd.DataFrame({"sample_id": ["a", "a", "a"], "depth_bin": [7.5, 7.5, 2.5]})
    assert concentration(objects, samples)["objects_m3"].tolist() == [1, 1]


@pytest.mark.parametrize("volume", [0.0, -1.0])
def test_a_sample_without_volume_is_refused(objects, samples, volume):
    with pytest.raises(SchemaError, match="volume_m3"):
        concentration(objects, samples.assign(volume_m3=[1, 1, volume]))


def test_doubled_sample_is_refused(objects, samples):
    with pytest.raises(SchemaError, match="duplicate"):
        concentration(objects, samples.assign(sample_id=["a", "a", "c"]))


def test_objects_of_no_sample_are_refused(objects, samples):
    with pytest.raises(SchemaError, match=r"3 of 4 .*'a'.*Add the sample"):
        concentration(objects, samples[samples["sample_id"] != "a"])


def test_missing_columns_are_named(objects, samples):
    with pytest.raises(SchemaError, match=r"samples has no column 'volume_m3'"):
        concentration(objects, samples.drop(columns="volume_m3"))
    with pytest.raises(SchemaError, match=r"'carbon_ugg'.* Did you mean 'carbon_ug'"):
        concentration(objects, samples, value="carbon_ugg")


def test_misspelt_taxon_gets_the_right_name(objects, samples):
    with pytest.raises(SchemaError, match="Did you mean 'Copepoda'"):
        biomass(objects, samples, taxon="Copepodda")


def test_units_must_be_in_the_name(objects, samples):
    with pytest.raises(ValueError, match="micrograms"):
        biomass(objects, samples, value="carbon")


def test_text_is_no_mass(objects, samples):
    with pytest.raises(SchemaError, match="numeric"):
        biomass(objects.assign(carbon_ug="much"), samples)
