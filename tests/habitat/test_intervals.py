"""The arithmetic of intervals against loops and known distributions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from aqqua_science.habitat import intervals


def test_jackknife_equals_leaving_blocks_out_by_hand():
    rng = np.random.default_rng(1)
    observed, predicted, weights = rng.gamma(1, size=60), rng.gamma(2, size=60), rng.uniform(0.5, 2, 60)
    blocks = rng.integers(0, 7, 60)
    ratios = []
    for block in np.unique(blocks):
        kept = blocks != block
        ratios.append(np.log((weights * observed)[kept].sum() / (weights * predicted)[kept].sum()))
    expected = 6 / 7 * ((np.array(ratios) - np.mean(ratios)) ** 2).sum()
    log_ratio, variance = intervals.held_out_correction(observed, predicted, weights=weights, blocks=blocks)
    assert_allclose(log_ratio, np.log((weights * observed).sum() / (weights * predicted).sum()))
    assert_allclose(variance, expected)


def test_importance_recovers_a_known_density_ratio():
    """Samples N(0, 1), domain N(0.5, 1): the ratio of densities is exp(x/2 - 1/8)."""
    rng = np.random.default_rng(2)
    samples, domain = rng.normal(0, 1, (4000, 1)), rng.normal(0.5, 1, (4000, 1))
    found = intervals.importance(samples, domain, np.ones(4000))
    expected = np.exp(samples[:, 0] / 2 - 1 / 8)
    middle = np.abs(samples[:, 0]) < 1.5
    assert_allclose(found[middle], expected[middle], rtol=0.15)


def test_importance_weighs_cells_by_area():
    """Half of the cells with no area count for nothing."""
    rng = np.random.default_rng(3)
    samples = rng.normal(size=(500, 1))
    domain = np.vstack([samples, samples + 3])
    found = intervals.importance(samples, domain, np.repeat([1.0, 0.0], 500))
    assert_allclose(found, 1, atol=0.02)


def test_interval_of_a_total_without_held_out_variance_is_students():
    replicates = np.exp([-0.2, -0.1, 0.0, 0.1, 0.2])
    found = intervals.total_interval(1.0, replicates, log_correction=0.0, variance=0.0, level=0.9)
    half = stats.t.ppf(0.95, 4) * np.std([-0.2, -0.1, 0, 0.1, 0.2], ddof=1)
    assert_allclose([found["low"], found["median"], found["high"]], np.exp([-half, 0, half]))


@pytest.mark.parametrize("key", ["log_correction", "variance", "level"])
def test_every_setting_moves_the_interval(key):
    settings = {"log_correction": 0.1, "variance": 0.01, "level": 0.8}
    replicates = np.exp(np.linspace(-0.1, 0.1, 9))
    before = intervals.total_interval(1.0, replicates, **settings)
    after = intervals.total_interval(1.0, replicates, **settings | {key: settings[key] + 0.1})
    assert before != after


def test_conformal_quantile_covers_new_blocks():
    """Scores share a block's own level; a new block's samples are covered at the nominal rate."""
    rng = np.random.default_rng(4)
    covered = []
    for _ in range(400):
        level = np.repeat(rng.gamma(2, size=40), 10)
        scores, blocks = level * rng.gamma(2, size=400), np.repeat(np.arange(40), 10)
        bound = intervals.block_quantile(scores, blocks, 0.9)
        new = rng.gamma(2) * rng.gamma(2, size=50)
        covered.append((new <= bound).mean())
    assert 0.885 < np.mean(covered) < 0.945


def test_conformal_quantile_is_infinite_where_blocks_are_too_few():
    assert intervals.block_quantile(np.arange(5.0), np.arange(5), 0.9) == np.inf


def test_a_large_block_counts_once():
    scores = np.concatenate([np.full(1000, 9.0), np.arange(19) / 10])
    blocks = np.concatenate([np.zeros(1000, int), np.arange(1, 20)])
    assert intervals.block_quantile(scores, blocks, 0.85) < 2
