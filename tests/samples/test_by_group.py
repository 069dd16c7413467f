"""Concentration, totals and means by group, held to a slow reference and to EcoTaxa's own exports."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.samples.aggregate import biomass, by_group, concentration
from aqqua_science.samples.counting_error import poisson_interval
from aqqua_science.samples.windows import within
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
            "esd_um": [500.0, 600.0, 900.0, 700.0],
        }
    )


def cell(table, sample, taxon):
    return table[(table["sample_id"] == sample) & (table["taxon"] == taxon)].iloc[0]


def test_every_group_is_in_every_sample(objects, samples):
    table = by_group(objects, samples, totals=["carbon_ug"], means=["esd_um"])
    assert table["sample_id"].tolist() == ["c", "c", "a", "a", "b", "b"]
    assert table["taxon"].tolist() == ["Copepoda", "Rhizaria"] * 3
    assert table["count"].tolist() == [1, 0, 2, 1, 0, 0]
    assert_allclose(table["objects_m3"], [0.5, 0, 4, 2, 0, 0])
    assert_allclose(table["carbon_ug_m3"], [2, 0, 60, 200, 0, 0])
    assert_allclose(table["esd_um_mean"], [600, np.nan, 600, 900, np.nan, np.nan])


def test_groups_add_up_to_the_whole(objects, samples):
    table = by_group(objects, samples, totals=["carbon_ug"])
    whole = table.groupby("sample_id", sort=False)["carbon_ug_m3"].sum()
    assert_allclose(whole, concentration(objects, samples, value="carbon_ug")["carbon_ug_m3"])
    copepods = table[table["taxon"] == "Copepoda"]["carbon_ug_m3"] / 1000
    assert_allclose(copepods, biomass(objects, samples, taxon="Copepoda")["carbon_mg_m3"])


def test_intervals_are_those_of_the_counts(objects, samples):
    table = by_group(objects, samples)
    low, high = poisson_interval(table["count"])
    volume = np.repeat([2.0, 0.5, 4.0], 2)
    assert_allclose(table["objects_low_m3"], low / volume)
    assert_allclose(table["objects_high_m3"], high / volume)


def test_a_split_sample_stands_for_more_and_is_less_certain(objects, samples):
    split = samples.assign(subsample_fraction=[1.0, 0.25, 1.0])
    whole, part = by_group(objects, samples, totals=["carbon_ug"]), by_group(objects, split, totals=["carbon_ug"])
    ratio = np.array([1, 1, 4, 4, 1, 1])
    for name in ("objects_m3", "objects_high_m3", "carbon_ug_m3", "carbon_ug_se_m3"):
        assert_allclose(part[name], whole[name] * ratio)
    assert_allclose(concentration(objects, split)["objects_m3"], [0.5, 24, 0])


def test_parts_split_to_different_shares(samples):
    """A large fraction scanned whole and a small one of which an eighth was scanned."""
    objects = pd.DataFrame(
        {
            "sample_id": "a",
            "taxon": ["big", "small", "small"],
            "subsample_fraction": [1.0, 0.125, 0.125],
            "esd_um": [4000.0, 500.0, 700.0],
        }
    )
    table = by_group(objects, samples, means=["esd_um"])
    assert_allclose(table[table["sample_id"] == "a"]["objects_m3"], [1 / 0.5, 16 / 0.5])
    mixed = by_group(objects.assign(taxon="all"), samples, means=["esd_um"])
    assert_allclose(cell(mixed.assign(taxon="all"), "a", "all")["esd_um_mean"], (4000 + 8 * 500 + 8 * 700) / 17)


def test_none_found_in_a_split_sample_leaves_room_for_as_many_as_its_splits_hide(samples):
    objects = pd.DataFrame({"sample_id": ["a", "b"], "taxon": ["x", "y"], "subsample_fraction": [0.125, 1.0]})
    table = by_group(objects, samples)
    assert_allclose(cell(table, "a", "y")["objects_high_m3"], 3.6889 * 8 / 0.5, rtol=1e-4)


def test_fractions_in_both_tables_are_refused(objects, samples):
    with pytest.raises(SchemaError, match="both objects and samples"):
        by_group(objects.assign(subsample_fraction=0.5), samples.assign(subsample_fraction=0.5))


def test_fractions_of_objects_are_not_forgotten(objects, samples):
    with pytest.raises(SchemaError, match="only by_group reads"):
        concentration(objects.assign(subsample_fraction=0.5), samples)


def test_errors_of_totals_cover_the_truth():
    """Totals of random counts of random masses lie within two standard errors of the truth about 95 times in 100."""
    rng = np.random.default_rng(4)
    n = rng.poisson(40, 2000)
    samples = pd.DataFrame({"sample_id": np.arange(2000), "volume_m3": 2.0})
    objects = pd.DataFrame({"sample_id": np.repeat(np.arange(2000), n), "taxon": "x"})
    objects["carbon_ug"] = rng.lognormal(0, 0.5, len(objects))
    table, truth = by_group(objects, samples, totals=["carbon_ug"]), 40 * np.exp(0.125) / 2
    hit = np.abs(table["carbon_ug_m3"] - truth) < 1.96 * table["carbon_ug_se_m3"]
    assert 0.92 < hit.mean() < 0.96


def test_several_columns_make_all_combinations(objects, samples):
    table = by_group(objects.assign(stage=["adult", "young", "adult", "young"]), samples, group=["taxon", "stage"])
    assert len(table) == 3 * 2 * 2
    assert table["count"].sum() == 4


def test_depth_bins_are_samples_of_their_own():
    samples = pd.DataFrame({"sample_id": ["a", "a"], "depth_bin": [2.5, 7.5], "volume_m3": [1.0, 2.0]})
    objects = pd.DataFrame({"sample_id": ["a"] * 3, "depth_bin": [7.5, 7.5, 2.5], "taxon": ["x", "y", "x"]})
    assert by_group(objects, samples)["objects_m3"].tolist() == [1, 0, 0.5, 0.5]


def test_unknown_is_not_zero(objects, samples):
    unknown = by_group(objects, samples.assign(volume_m3=[2.0, np.nan, 4.0]))
    assert unknown["objects_m3"].isna().tolist() == [False, False, True, True, False, False]
    heavy = by_group(objects.assign(carbon_ug=[np.nan, 4, 100, 20]), samples, totals=["carbon_ug"])
    assert_allclose(heavy["carbon_ug_m3"], [2, 0, np.nan, 200, 0, 0])


@pytest.mark.parametrize("volume", [0.0, -1.0])
def test_a_sample_without_volume_is_refused(objects, samples, volume):
    with pytest.raises(SchemaError, match="volume_m3"):
        by_group(objects, samples.assign(volume_m3=[1, 1, volume]))


def test_doubled_samples_and_strays_are_refused(objects, samples):
    with pytest.raises(SchemaError, match="duplicate"):
        by_group(objects, samples.assign(sample_id=["a", "a", "c"]))
    with pytest.raises(SchemaError, match=r"3 of 4 .*Add the sample"):
        by_group(objects, samples[samples["sample_id"] != "a"])


def test_the_window_of_sizes_is_said_in_what_comes_of_it(objects, samples):
    kept = within(objects, (550, 800))
    for table in (by_group(kept, samples), concentration(kept, samples), biomass(kept, samples, taxon="Copepoda")):
        assert table.attrs["size_window"].startswith("ESD 550 to 800 um; 2 of 4")
    assert "size_window" not in samples.attrs


def test_counts_over_exposures_are_concentrations(objects, samples):
    table = by_group(objects, samples.assign(subsample_fraction=0.25))
    assert_allclose(table["count"] / table["exposure_m3"], table["objects_m3"])


def test_an_unnamed_group_is_refused(objects, samples):
    with pytest.raises(SchemaError, match="unknown"):
        by_group(objects.assign(taxon=["x", None, "x", "x"]), samples)
