"""The published copepod map of Drago et al. (2022), reproduced from its data."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from aqqua_science.habitat import read_recipe, run_recipe

RECIPE = Path(__file__).parents[2] / "maps" / "drago2022_copepoda_0_200m" / "recipe.toml"


@pytest.fixture(scope="module")
def made(shared_data):
    """All 100 members, as the recipe says."""
    return run_recipe(read_recipe(RECIPE), data=shared_data)


def test_the_global_total_is_the_published_one(made):
    row = made[0]["budget"][0]
    assert row["region"] == "global"
    assert row["mean"] == pytest.approx(0.083, abs=0.002)
    assert row["low"] < 0.0829 < row["high"]


def test_the_map_is_the_published_one(made, shared_data):
    published = xr.open_dataset(shared_data / "drago2022" / "published_copepoda_0_200m.nc")["biomass"].values
    ours = made[1]["biomass"].mean("member").values
    both = (published > 0) & (ours > 0)
    assert both.sum() == (published > 0).sum() == 39698
    assert np.corrcoef(np.log(published[both]), np.log(ours[both]))[0, 1] >= 0.999


def test_all_rows_give_about_0074(made):
    assert made[0]["sensitivity"]["all_rows"]["mean"] == pytest.approx(0.074, abs=0.003)
    assert made[0]["n_samples"] == 710


def test_skill_on_the_studys_own_test_part(made):
    """Published: squared correlation 66.1 +- 4.0 %, R2 60.6 % over the 100 fits."""
    row = next(r for r in made[0]["validation"] if r["scheme"] == "split")
    assert row["r2_correlation"] == pytest.approx(0.66, abs=0.08)
    assert row["n"] == 182


def test_member_envelope_does_not_cover_and_the_conformal_interval_does(made):
    """Published configuration: 22 % of the held-out cells lie in the 95 % envelope."""
    interval = made[0]["interval"]
    assert interval["member_envelope_coverage_95"] < 0.35
    assert 0.85 <= interval["cell_coverage_held_out"] <= 0.95
