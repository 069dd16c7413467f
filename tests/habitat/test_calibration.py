"""Calibrated fields: what they carry, whom the cell interval covers, and when no coverage is claimed."""

import numpy as np
import pytest

from aqqua_science.grids.geometry import regular_grid
from aqqua_science.habitat import BoostedTrees, SpatialBlocks, calibrate, intervals, predict_grid
from aqqua_science.habitat.calibration import cell_coverage
from aqqua_science.samples import join_environment
from aqqua_science.synthetic import sample_ocean, virtual_ocean

PREDICTORS = ["temperature", "nitrate", "chlorophyll"]
TARGET = "biomass_mg_m3"


@pytest.fixture(scope="module")
def survey():
    ocean = virtual_ocean(step=10.0, n_months=1, rng=4)
    environment = ocean[PREDICTORS]
    table = join_environment(sample_ocean(ocean, n_samples=300, rng=4), environment)
    return environment, table.dropna(subset=PREDICTORS).reset_index(drop=True)


def calibrated(survey, *, resampling="stratified", table=None, **choice):
    environment, samples = survey
    table = samples if table is None else table
    model = BoostedTrees(n_members=6, n_trees=30, max_depth=2, resampling=resampling)
    model.fit(table[PREDICTORS], table[TARGET], groups=SpatialBlocks(20).blocks(table))
    field = predict_grid(model, environment, units="mg m-3")
    settings = {"target": TARGET, "environment": environment, "n_replicates": 5} | choice
    return calibrate(field, model, table, **settings)


def test_refits_are_made_unless_the_members_are_refits_on_blocks(survey):
    assert calibrated(survey)["replicates"].sizes["replicate"] == 5
    assert "replicates" not in calibrated(survey, resampling="blocks")


def test_the_input_field_is_not_changed(survey):
    environment, table = survey
    model = BoostedTrees(n_members=2, n_trees=10).fit(table[PREDICTORS], table[TARGET])
    field = predict_grid(model, environment, units="mg m-3")
    before = field.copy(deep=True)
    calibrate(field, model, table, target=TARGET, environment=environment, n_replicates=2)
    assert field.identical(before)


@pytest.mark.parametrize(
    ("choice", "attribute"),
    [
        ({"level": 0.5}, "level"),
        ({"volume": "volume_m3"}, "jackknife_variance"),
        ({"volume": "volume_m3"}, "log_correction"),
    ],
)
def test_each_choice_changes_what_is_recorded(survey, choice, attribute):
    plain, other = calibrated(survey), calibrated(survey, **choice)
    assert plain.attrs[f"calibration_{attribute}"] != other.attrs[f"calibration_{attribute}"]


def test_a_wider_level_makes_wider_cells(survey):
    narrow, wide = (calibrated(survey, level=level) for level in (0.5, 0.9))
    assert float((wide["high"] - wide["low"]).mean()) > float((narrow["high"] - narrow["low"]).mean())


def test_no_coverage_is_claimed_for_a_small_survey_or_one_great_sample(survey):
    table = survey[1]
    assert (
        "1 % of the samples hold"
        in calibrated(survey, table=table.assign(**{TARGET: table[TARGET].where(table.index != 0, 1e5)})).attrs[
            "calibration_warning"
        ]
    )
    small = table[table["latitude"].between(0, 30) & table["longitude"].between(-60, 0)]
    assert "too small for blocks of 20 degrees" in calibrated(survey, table=small).attrs["calibration_warning"]


def test_cell_interval_covers_new_blocks_of_a_known_law():
    """Log-normal samples around a known mean, each block with its own level: nine in ten of new samples lie inside."""
    rng = np.random.default_rng(0)
    blocks = np.repeat(np.arange(60), 8)
    predicted = rng.gamma(2, size=480)
    observed = predicted * np.exp(np.repeat(rng.normal(0, 0.4, 60), 8) + rng.normal(0, 0.6, 480))
    found = cell_coverage(observed, predicted, blocks=blocks, scale=1000.0)
    assert 0.86 <= found <= 0.94


def test_common_absences_make_the_interval_one_sided_and_not_absurd():
    """A third are zeros: the lower bound is zero, the upper one misses a tenth."""
    rng = np.random.default_rng(1)
    predicted = np.full(2000, 2.0)
    observed = np.where(rng.random(2000) < 1 / 3, 0.0, rng.gamma(2, 1.5, 2000))
    low, high = intervals.conformal_bounds(
        2.0, observed=observed, predicted=predicted, blocks=np.arange(2000), scale=1000.0, level=0.9
    )
    assert low == 0
    assert high == pytest.approx(np.quantile(observed, 0.9), rel=0.05)


def test_a_grid_without_members_is_refused():
    grid = regular_grid(30.0)
    with pytest.raises(ValueError, match="member"):
        calibrate(grid, None, None, target=TARGET, environment=grid)
