"""The coverage benchmark counts rightly, and the calibrated interval covers in twenty small oceans."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.synthetic import true_budget, virtual_ocean

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("coverage_benchmark", BENCHMARKS / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_truths_of_basins_add_up_to_that_of_the_globe(coverage):
    ocean = virtual_ocean(step=5, n_months=1, rng=2)
    truths = coverage.true_budgets(ocean)
    assert_allclose(truths["global"], true_budget(ocean), rtol=1e-12)
    assert_allclose(truths.drop("global").sum(), truths["global"], rtol=1e-12)
    assert (truths > 0).sum() > 5


def test_oceans_of_the_benchmark_differ_in_size_and_range(coverage):
    made = [coverage.simulate(seed) for seed in range(8)]
    assert {ocean.attrs["residual_km"] for ocean, _ in made} == {500.0, 1500.0}
    assert len({len(samples) for _, samples in made}) == 8
    assert all(200 <= len(samples) <= 800 for _, samples in made)


def test_summary_counts_misses_on_both_sides(coverage):
    rows = pd.DataFrame(
        {
            "region": ["global"] * 10 + ["North Sea"] * 2,
            "truth": [1.0] * 12,
            "low": [0.5] * 8 + [1.1, 0.5, 0.5, 0.5],
            "median": 1.0,
            "high": [1.5] * 8 + [1.2, 0.9, 1.5, 1.5],
            "member_low": [0.9] * 5 + [1.05] * 7,
            "mean": np.exp(0.1),
            "member_high": 1.1,
        }
    )
    lines = coverage.summarise(rows).splitlines()
    assert lines[2] == "| global total, calibrated interval | 10 | **8** (80%) | 1 / 1 | 1.00 | +0.000 |"
    assert "| 10 | **5** (50%) | 5 / 0 |" in lines[3]
    assert lines[3].endswith("+0.100 |")
    assert "| 2 | **2** (100%) | 0 / 0 |" in lines[4]
    assert "hold 7 to 10 of 10 global totals" in lines[-1]


@pytest.mark.slow
def test_interval_of_the_global_total_covers(coverage):
    """Nominal 90 %; of twenty such oceans fewer than 15 would be covered once in ninety times."""
    rows = pd.concat(coverage.measure(seed, effort=coverage.FAST) for seed in range(20))
    total = rows[rows["region"] == "global"]
    assert ((total["low"] <= total["truth"]) & (total["truth"] <= total["high"])).sum() >= 15
    spread = (total["member_low"] <= total["truth"]) & (total["truth"] <= total["member_high"])
    assert spread.sum() < 15
