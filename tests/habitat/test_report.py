"""What a report claims: skill beyond chance, intervals that say what is in them, values inside or outside."""

import numpy as np
import pytest
from scipy import stats

from aqqua_science.habitat.budget_text import headline_text, ledger_section, references_section, regions_section
from aqqua_science.habitat.report import _interval, has_skill

ROW = {
    "region": "global", "month": "annual", "regions": "basins", "median": 0.1, "mean": 0.08, "low": 0.07, "high": 0.14,
    "level": 0.9, "units": "PgC", "area_m2": 3.4e14, "sampled_share": 0.7,
}  # fmt: skip
LEDGER = [
    {"source": "sampling", "log_sd": 0.2, "share": 0.5, "low": 0.07, "high": 0.14, "ratios": {}},
    {"source": "carbon relation", "log_sd": 0.2, "share": 0.5, "low": 0.06, "high": 0.17, "ratios": {}},
]


def result_with(uncertainty=(), *, kind=None, objective="poisson", warning="", published=0.16):
    recipe = {"budget": {"kind": kind}, "model": {"objective": objective}}
    reference = {"value": published, "units": "PgC", "source": "A study"}
    interval = {
        "warning": warning, "log_correction": 0.2, "n_blocks": 61, "effective_fraction": 0.5,
        "cell_coverage_held_out": 0.9, "member_envelope_coverage_95": None,
    }  # fmt: skip
    return {
        "budget": [ROW], "uncertainty": list(uncertainty), "references": [reference], "interval": interval,
        "provenance": {"recipe": recipe},
    }  # fmt: skip


def skill_of(pearson, spearman, n_blocks):
    row = {"scheme": "blocks", "r2_correlation": pearson**2, "spearman": spearman, "n": 892}
    return has_skill({"validation": [row], "interval": {"n_blocks": n_blocks}})


@pytest.mark.parametrize("n_blocks", [5, 20, 61])
def test_skill_is_a_test_of_as_many_points_as_there_are_blocks(n_blocks):
    """At the edge of chance that the exact distribution of a correlation names."""
    edge = stats.t.ppf(0.975, n_blocks - 2)
    edge /= np.sqrt(n_blocks - 2 + edge**2)
    x = np.random.default_rng(0).normal(size=(2, n_blocks))
    r, p = stats.pearsonr(*x)
    assert (abs(r) > edge) == (p < 0.05)
    assert skill_of(edge + 0.01, edge + 0.01, n_blocks)
    assert not skill_of(edge - 0.01, edge + 0.01, n_blocks)
    assert not skill_of(edge + 0.01, edge - 0.01, n_blocks)


def test_ranks_that_run_the_other_way_are_no_skill():
    assert not skill_of(0.9, -0.9, 61)
    assert not skill_of(0.9, None, 61)
    assert skill_of(1.0, 1.0, 61)
    assert not skill_of(0.9, 0.9, 2)


def test_the_headline_says_what_is_in_its_interval():
    assert headline_text(result_with()) == "0.1 PgC (90 % interval 0.07-0.14)"
    assert headline_text(result_with(LEDGER)) == "0.1 PgC (90 % interval 0.06-0.17; from sampling alone 0.07-0.14)"


def test_a_published_value_is_judged_by_all_sources():
    """0.16 lies outside 0.07-0.14, which is sampling alone, and inside 0.06-0.17."""
    assert "lies outside the interval 0.07-0.14" in references_section(result_with())
    told = references_section(result_with(LEDGER))
    assert "lies inside the interval 0.06-0.17" in told
    assert "estimate is 0.62 times that, the map before correction adds up to 0.50 times that" in told
    assert "the map before correction has 0.50" in references_section(result_with(LEDGER, kind="mean"))


def test_tables_say_which_interval_they_hold():
    assert "| 90 % interval from sampling alone |" in regions_section(result_with(LEDGER))
    assert "| 90 % interval |" in regions_section(result_with())
    assert "those of regions and months take in sampling alone" in ledger_section(result_with(LEDGER))


def test_coverage_is_claimed_of_what_was_tested_alone():
    assert "held the truth in 88. A bias" in _interval(result_with())
    assert "means were not among them" in _interval(result_with(kind="mean"))
    assert "'tweedie' were not among them" in _interval(result_with(objective="tweedie"))
    told = _interval(result_with(warning="the samples lie in only 4 blocks"))
    assert "Nothing is claimed" in told
    assert "88" not in told
