"""Match-up with the predictors and positions of Drago et al. (2022, Frontiers in Marine Science 9:894372)."""

import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.grids import open_environment
from aqqua_science.samples import join_environment

HALF_A_UNIT = 2.0**-24 + 5e-9
"""Rounding of the same number to float32 in the grid and to nine digits in the table."""


@pytest.fixture(scope="module")
def study(shared_data):
    folder = shared_data / "drago2022"
    positions = pd.read_csv(folder / "biomass_0_200m.csv", usecols=["longitude", "latitude"]).drop_duplicates()
    published = pd.read_csv(folder / "joined_0_200m.csv")
    return positions, published, open_environment(folder / "environment_0_200m.nc")


def test_the_study_is_reproduced_where_its_grid_has_the_cell(study):
    positions, published, env = study
    table = join_environment(positions, env)
    both = table.merge(published, on=["longitude", "latitude"], suffixes=("", "_published"), validate="1:1")
    assert len(both) == 892
    covered = both["match_method"] == "cell"
    assert covered.sum() == 857
    assert (both.loc[covered, "match_reason"] == "").all()
    assert (both.loc[covered, "match_distance_km"] < 1e-6).all()
    for name in env:
        ours, theirs = both.loc[covered, name], both.loc[covered, f"{name}_published"]
        assert_allclose(ours.to_numpy(float), theirs, rtol=HALF_A_UNIT, atol=0)


def test_the_other_cells_are_named(study):
    positions, _, env = study
    table = join_environment(positions, env)
    others = table[table["match_method"] != "cell"]
    assert len(others) == 35
    assert (others["match_method"] == "nearest sea cell").all()
    assert others["match_distance_km"].between(0, 1.5 * 111.3, inclusive="right").all()
    strict = join_environment(positions, env, max_cells=0)
    assert_array_equal(strict["match_reason"] == "no sea cell within 0 cells", table["match_method"] != "cell")
    assert strict.loc[others.index, list(env)].isna().all(axis=None)


def test_bilinear_at_cell_centres_is_the_study_too(study):
    positions, _, env = study
    nearest, bilinear = (
        join_environment(positions, env, method=method)[list(env)] for method in ("nearest", "bilinear")
    )
    pd.testing.assert_frame_equal(bilinear, nearest, rtol=0, atol=0)
