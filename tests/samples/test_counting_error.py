"""Intervals of counts, held to their definition and to simulated truth."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import nbinom, poisson

from aqqua_science.samples import counting_error
from aqqua_science.samples.counting_error import overdispersion, poisson_interval, pool_replicates, replicate_interval
from aqqua_science.schema import SchemaError


def test_limits_by_their_definition():
    """At the upper limit so few, at the lower one so many, are seen in 2.5 % of samples."""
    count = np.array([1, 3, 10, 250])
    low, high = poisson_interval(count)
    assert_allclose(poisson.cdf(count, high), 0.025, rtol=1e-9)
    assert_allclose(poisson.sf(count - 1, low), 0.025, rtol=1e-9)


def test_limits_published_by_garwood():
    """Table of Garwood 1936, 95 %."""
    low, high = poisson_interval([0, 1, 5, 20])
    assert_allclose(low, [0, 0.0253, 1.6235, 12.2165], atol=1e-4)
    assert_allclose(high, [3.6889, 5.5716, 11.6683, 30.8884], atol=1e-4)


@pytest.mark.parametrize("mean", [0.3, 2.0, 30.0])
def test_coverage_is_at_least_what_is_promised(mean):
    count = np.arange(200)
    low, high = poisson_interval(count, level=0.9)
    assert poisson.pmf(count, mean)[(low <= mean) & (mean <= high)].sum() >= 0.9


def test_unknown_stays_unknown():
    assert np.isnan(poisson_interval([np.nan])).all()


@pytest.mark.parametrize("count", [[-1], [1.5], [np.inf]])
def test_what_is_no_count_is_refused(count):
    with pytest.raises(ValueError, match=r"whole and not negative.*before any division"):
        poisson_interval(count)


def test_a_level_is_a_share():
    with pytest.raises(ValueError, match="is level="):
        poisson_interval([1], level=95)


def test_the_size_found_is_the_most_likely_one():
    counts, volumes = np.array([0, 12, 3, 40, 7, 1]), np.array([1.0, 1.0, 2.0, 1.5, 1.0, 0.5])
    expected = counts.sum() * volumes / volumes.sum()
    size = overdispersion(counts, volumes)["size"]

    def likelihood(r):
        return nbinom.logpmf(counts, r, r / (r + expected)).sum()

    tried = size * np.geomspace(0.2, 5, 2001)
    assert_allclose(tried[np.argmax([likelihood(r) for r in tried])], size, rtol=2e-3)


def test_scatter_is_found_where_it_is():
    rng = np.random.default_rng(2)
    even = [overdispersion(rng.poisson(20, 8), np.ones(8))["p"] < 0.05 for _ in range(400)]
    patchy = [overdispersion(rng.negative_binomial(2, 2 / 22, 8), np.ones(8))["p"] < 0.05 for _ in range(400)]
    assert np.mean(even) < 0.09
    assert np.mean(patchy) > 0.95


def test_patchy_replicates_get_an_interval_that_covers():
    """Poisson limits of such samples cover in a third of cases only."""
    rng = np.random.default_rng(3)
    hits = {"Poisson": [], "chosen": []}
    for _ in range(300):
        counts = rng.negative_binomial(3, 3 / 33, 12)
        found = replicate_interval(counts, np.ones(12))
        low, high = np.array(poisson_interval(counts.sum())) / 12
        hits["chosen"].append(found["low_m3"] <= 30 <= found["high_m3"])
        hits["Poisson"].append(low <= 30 <= high)
    assert np.mean(hits["Poisson"]) < 0.6
    assert np.mean(hits["chosen"]) > 0.86


def test_even_replicates_get_the_exact_limits_of_their_sum():
    found = replicate_interval([4, 6, 5], [1.0, 2.0, 1.0])
    low, high = poisson_interval(15)
    assert found["model"] == "Poisson"
    assert_allclose([found["concentration_m3"], found["low_m3"], found["high_m3"]], [15 / 4, low / 4, high / 4])


def test_limits_of_a_patchy_sum_by_their_definition():
    counts = np.array([0, 60, 3, 41])
    found, size = replicate_interval(counts, np.ones(4)), 4 * overdispersion(counts, np.ones(4))["size"]
    mean = 4 * found["high_m3"]
    assert_allclose(nbinom.cdf(104, size, size / (size + mean)), 0.025, rtol=1e-6)


def test_nothing_in_any_replicate():
    found = replicate_interval([0, 0], [1.0, 1.0])
    assert found["low_m3"] == 0
    assert_allclose(found["high_m3"], 3.6889 / 2, atol=1e-4)


def test_replicates_of_stations_and_taxa_are_pooled():
    table = pd.DataFrame(
        {
            "station": ["s"] * 4 + ["t"],
            "taxon": ["x", "x", "y", "y", "x"],
            "count": [4, 6, 0, 60, 3],
            "exposure_m3": [1.0, 2.0, 1.0, 1.0, np.nan],
        }
    )
    pooled = pool_replicates(table, by=["station", "taxon"])
    assert pooled[["station", "taxon", "n_samples", "count", "model"]].values.tolist() == [
        ["s", "x", 2, 10, "Poisson"],
        ["s", "y", 2, 60, "negative binomial"],
    ]
    assert_allclose(pooled["objects_m3"], [10 / 3, 30])
    low, high = poisson_interval(10)
    assert_allclose(pooled.loc[0, ["objects_low_m3", "objects_high_m3"]].astype(float), [low / 3, high / 3])
    alone = pool_replicates(table.assign(exposure_m3=2.0).iloc[4:], by="station")
    assert_allclose(alone[["objects_m3", "objects_low_m3"]], [[1.5, poisson_interval(3)[0] / 2]])


@pytest.mark.parametrize(
    ("counts", "volumes"), [([1], [1.0]), ([1, 2], [1.0]), ([1, 2], [1.0, 0.0]), ([1, 2], [1.0, np.nan])]
)
def test_what_are_no_replicates_is_refused(counts, volumes):
    with pytest.raises(ValueError, match=r"at least two|above 0"):
        replicate_interval(counts, volumes)


@pytest.mark.parametrize("exposures", [[1.0] * 7 + [30], [1.0, 2, 3, 4, 5, 6, 7, 8]])
def test_patchy_replicates_of_unequal_volumes_get_limits_of_the_right_width(exposures):
    """Where the size is known, the limits hold the mean as often as promised: by the variance of the sum."""
    rng, exposures, held = np.random.default_rng(0), np.array(exposures), []
    effective = exposures.sum() ** 2 / (exposures**2).sum()
    for _ in range(400):
        means = 20 * exposures
        total = rng.negative_binomial(2, 2 / (2 + means)).sum()
        low, high = counting_error._negative_binomial_limits(total, 2 * effective, 0.025)
        held.append(low <= means.sum() <= high)
    assert 0.92 < np.mean(held) < 0.99


def test_the_interval_counts_replicates_by_their_volume():
    counts, equal, unequal = [0, 60, 3, 41], [1.0] * 4, [1.0, 30, 1, 8]
    sizes = [overdispersion(counts, e)["size"] for e in (equal, unequal)]
    for size, volumes in zip(sizes, (equal, unequal), strict=True):
        effective = sum(volumes) ** 2 / sum(v * v for v in volumes)
        expected = counting_error._negative_binomial_limits(104, size * effective, 0.025)
        found = replicate_interval(counts, volumes, level=0.95)
        assert_allclose([found["low_m3"], found["high_m3"]], np.array(expected) / sum(volumes))


def test_scatter_beyond_the_scale_is_not_called_poisson():
    found = overdispersion([0] * 1_500 + [1_000_000], [1.0] * 1_501)
    assert found["size"] < 1e-3


def test_rows_that_belong_nowhere_are_refused():
    table = pd.DataFrame({"station": ["s", None], "count": [1, 2], "exposure_m3": [1.0, 1.0]})
    with pytest.raises(SchemaError, match="station is missing in 1 of 2 rows"):
        pool_replicates(table, by="station")
