"""Oceans that break the assumptions of the intervals, and the table of how these fared."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.synthetic.survey import residual_of
from benchmarks import harder_oceans
from benchmarks.coverage import FAST

NORMAL_95 = 1.6448536269514722
"""The 95 % quantile of a standard Gaussian."""


@pytest.fixture
def oceans():
    """Rows of five oceans, of which the truth of two is missed on different sides."""
    bounds = {"low": 0.5, "median": 1.0, "high": 1.5, "ledger_low": 0.4, "ledger_high": 1.9}
    bounds |= {"member_low": 0.9, "mean": 1.0, "member_high": 1.1, "cells_held_out": 0.9}
    bounds |= {"cell_width": 2.5, "area_held": 0.95, "area_members_held": 0.2}
    truths = enumerate([1.0, 1.0, 1.0, 0.45, 1.8], harder_oceans.FIRST_SEED)
    return [{"scenario": "as before", "seed": seed, "truth": truth, **bounds} for seed, truth in truths]


def _keep(rows, path):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_real_survey_counts_once_in_the_cells_of_the_study_that_the_grid_has(shared_data):
    _, samples = harder_oceans.simulate_real(3)
    places = ["latitude", "longitude"]
    positions = pd.read_csv(shared_data / "drago2022" / "copepoda_0_200m.csv").set_index(places).index
    assert samples.set_index(places).index.isin(positions).all()
    assert 800 < len(samples) < len(positions) == 892
    assert not samples.duplicated(places).any()


def test_a_real_survey_with_a_preference_goes_more_often_where_the_residual_is_high(shared_data):
    """Its mean residual is that of all places weighted by exp(residual), up to the scatter of drawing."""
    ocean, plain = harder_oceans.simulate_real(1)
    same, rich = harder_oceans.simulate_real(1, preference=1.0)
    assert ocean.equals(same)
    z, seen = (harder_oceans.at_stations(residual_of(ocean), table).values for table in (plain, rich))
    assert len(z) == len(seen)
    assert abs(seen.mean() - np.average(z, weights=np.exp(z))) < 4 * seen.std() / np.sqrt(len(seen)) < 0.2
    assert seen.mean() - z.mean() > 0.5


def test_interval_with_all_told_adds_the_variances_of_its_sources():
    """On the logarithmic scale the half width is a quantile times the root of the sum of all variances."""
    row = harder_oceans.measure("the virtual ones together", 7, effort=FAST)
    deviations = [value for name, value in row.items() if name.startswith("sd ")]
    assert row["sd shared"] == harder_oceans.SHARED_SD
    assert_allclose(np.log(row["ledger_high"] / row["ledger_low"]) / 2, NORMAL_95 * np.linalg.norm(deviations))
    assert_allclose(np.log(row["high"] / row["low"]) / 2, NORMAL_95 * row["sd sampling"])
    assert row["ledger_low"] < row["low"] < row["median"] < row["high"] < row["ledger_high"]
    assert 0.5 < row["cells_held_out"] <= 1
    assert row["area_members_held"] < 0.5 < row["area_held"] <= 1


def test_summary_counts_misses_on_both_sides(oceans, tmp_path):
    lines = harder_oceans.run(5, scenarios=["as before"], to=_keep(oceans, tmp_path / "rows.jsonl")).splitlines()
    error = np.sqrt((np.log(0.45) ** 2 + np.log(1.8) ** 2) / 5)
    found = f"| as before | 5 | **3** (1 / 1), 1.00 | **5** (0 / 0), 1.50 | **3** (1 / 1), 0.20 | +0.00 | {error:.2f} |"
    assert lines[2] == found + " 90% | 2.5 | 95% | 20% |"
    assert "3 to 5 of 5" in lines[4]


def test_a_stopped_run_goes_on(oceans, tmp_path):
    kept = _keep(oceans[:1], tmp_path / "rows.jsonl")
    table = harder_oceans.run(2, scenarios=["as before"], effort=FAST, n_jobs=1, to=kept)
    first, second = (json.loads(line) for line in kept.read_text().splitlines())
    assert first == oceans[0]
    assert second["seed"] == harder_oceans.FIRST_SEED + 1
    assert "| as before | 2 |" in table


def test_a_sentence_says_that_the_real_data_are_absent(oceans, tmp_path, monkeypatch):
    monkeypatch.setattr(harder_oceans, "FOLDER", tmp_path / "none")
    scenarios = ["as before", "real predictors and positions"]
    told = harder_oceans.run(5, scenarios=scenarios, to=_keep(oceans, tmp_path / "rows.jsonl"))
    assert "| real" not in told
    assert told.endswith(f"\n\nWithout real predictors: {tmp_path / 'none'} is absent.")
