"""Volumes looked at."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.samples.aggregate import by_group
from aqqua_science.samples.effort import depth_bins, exposure, pool_samples
from aqqua_science.schema import SchemaError


def test_a_split_net_looked_at_less_water():
    samples = pd.DataFrame({"volume_m3": [100.0, 100.0, np.nan], "subsample_fraction": [1 / 8, np.nan, 1.0]})
    assert_allclose(exposure(samples), [12.5, np.nan, np.nan])


@pytest.mark.parametrize("fraction", [0.0, -0.5, 8.0])
def test_a_fraction_is_a_share(fraction):
    samples = pd.DataFrame({"volume_m3": [1.0], "subsample_fraction": [fraction]})
    with pytest.raises(SchemaError, match=r"at most 1.*1 / acq_sub_part"):
        exposure(samples)


@pytest.mark.parametrize("volume", [0.0, -3.0])
def test_no_volume_has_seen_nothing(volume):
    with pytest.raises(SchemaError, match="seen nothing"):
        exposure(pd.DataFrame({"volume_m3": [volume]}))


def test_bins_hold_their_upper_bound():
    found = depth_bins(pd.DataFrame({"depth": [0.0, 4.9, 5.0, 10.0, -1.0, np.nan]}), [0, 5, 10])
    assert_allclose(found, [0, 0, 5, np.nan, np.nan, np.nan])


def test_bins_must_rise():
    with pytest.raises(ValueError, match="rising"):
        depth_bins(pd.DataFrame({"depth": [1.0]}), [10, 5])


def test_volumes_add_up_within_profile_and_bin():
    layers = pd.DataFrame(
        {
            "sample_id": ["b", "b", "a", "a", "a"],
            "depth": [2.5, 7.5, 2.5, 7.5, 12.5],
            "volume_m3": [1.0, 2.0, 4.0, np.nan, 16.0],
        }
    )
    pooled = pool_samples(layers, depth_edges=[0, 10, 20])
    assert pooled[["sample_id", "depth_bin", "n_pooled"]].values.tolist() == [["b", 0, 2], ["a", 0, 2], ["a", 10, 1]]
    assert_allclose(pooled["volume_m3"], [3, np.nan, 16])
    assert_allclose(pool_samples(layers.fillna(8.0))["volume_m3"], [3, 28])


def test_fractions_of_pooled_samples_are_by_volume():
    """What was looked at adds up: 10 m3 of 20 and 10 of 80 are 20 of 100."""
    parts = pd.DataFrame({"sample_id": "a", "volume_m3": [20.0, 80.0], "subsample_fraction": [0.5, 0.125]})
    pooled = pool_samples(parts)
    assert_allclose([pooled["volume_m3"].item(), pooled["subsample_fraction"].item()], [100, 0.2])
    assert_allclose(exposure(pooled), exposure(parts).sum())


def test_objects_and_layers_meet_in_depth_bins():
    """Profiles in layers of 5 m and objects at depths: concentrations times volumes are the objects again."""
    rng = np.random.default_rng(1)
    layers = pd.DataFrame({"sample_id": np.repeat(["a", "b"], 40), "depth": np.tile(np.arange(2.5, 200, 5), 2)})
    layers["volume_m3"] = rng.uniform(0.01, 0.1, len(layers))
    objects = pd.DataFrame({"sample_id": rng.choice(["a", "b"], 500), "depth": rng.uniform(0, 200, 500), "taxon": "x"})
    edges = [0, 10, 50, 200]
    samples = pool_samples(layers, depth_edges=edges)
    table = by_group(objects.assign(depth_bin=depth_bins(objects, edges)), samples)
    assert len(table) == 6
    assert_allclose((table["objects_m3"] * samples["volume_m3"]).sum(), 500)
    deep = objects.query("sample_id == 'b' and depth >= 50")
    assert table.query("sample_id == 'b' and depth_bin == 50")["count"].item() == len(deep)


def test_real_volumes_of_the_uvp5_are_pooled_in_seconds(shared_data):
    path = shared_data / "insitu" / "ThelmaPana+planktyp" / "data" / "extract_zoo" / "UVP5_volumes.tsv.gz"
    layers = pd.read_csv(path, sep="\t").rename(columns={"sampleid": "sample_id", "mid_depth_bin": "depth"})
    layers = layers.assign(volume_m3=layers.pop("water_volume_imaged") / 1000)
    empty = (layers["volume_m3"] <= 0).sum()
    if empty:
        with pytest.raises(SchemaError, match=f"{empty} of {len(layers)} rows"):
            pool_samples(layers)
    looked = layers[layers["volume_m3"] > 0]
    pooled = pool_samples(looked, depth_edges=np.arange(0, 12_000, 100))
    assert_allclose(pooled["volume_m3"].sum(), looked["volume_m3"].sum(), rtol=1e-12)
    by_hand = looked[(looked["sample_id"] == 17) & (looked["depth"] < 100)]["volume_m3"].sum()
    assert_allclose(pooled.query("sample_id == 17 and depth_bin == 0")["volume_m3"].item(), by_hand)


def test_bins_come_from_above_whatever_the_order_of_layers():
    layers = pd.DataFrame({"sample_id": list("abab"), "depth": [15.0, 15, 5, 5], "volume_m3": [1.0, 2, 3, 4]})
    pooled = pool_samples(layers, depth_edges=[0, 10, 20])
    assert pooled[["sample_id", "depth_bin"]].values.tolist() == [["a", 0], ["a", 10], ["b", 0], ["b", 10]]
