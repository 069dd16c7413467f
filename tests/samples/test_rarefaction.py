"""Hill numbers and coverage, held to enumeration of all subsamples and to published values."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad

from aqqua_science.samples.rarefaction import (
    coverage_at,
    hill_at,
    hill_infinite,
    hill_numbers,
    size_at_coverage,
)

# Spiders of two treatments of a forest, the example of Chao et al. 2014 and of the R package iNEXT.
GIRDLED = [46, 22, 17, 15, 15, 9, 8, 6, 6, 4, *[2] * 4, *[1] * 12]
LOGGED = [88, 22, 16, 15, 13, 10, 8, 8, 7, 7, 7, 5, 4, 4, 4, *[3] * 4, *[2] * 4, *[1] * 14]
SMALL = [4, 2, 1, 1]


def subsamples(counts, size):
    """Counts of every subsample, each as likely as the others."""
    individuals = np.repeat(np.arange(len(counts)), counts)
    for chosen in itertools.combinations(individuals, size):
        yield np.bincount(chosen, minlength=len(counts))


@pytest.mark.parametrize("size", range(1, 9))
def test_richness_and_coverage_are_the_means_over_all_subsamples(size):
    every = list(subsamples(SMALL, size))
    assert_allclose(hill_at(SMALL, size, 0), np.mean([(x > 0).sum() for x in every]))
    if size < 8:
        # One individual more, drawn from the rest, is of a taxon already found.
        known = [((x > 0) * (np.array(SMALL) - x)).sum() / (8 - size) for x in every]
        assert_allclose(coverage_at(SMALL, size), np.mean(known))


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("q", [1, 2])
def test_other_orders_come_from_the_mean_frequencies_over_all_subsamples(size, q):
    """Chao et al. 2014: of the expected number of taxa found k times, k = 1..m."""
    every = list(subsamples(SMALL, size))
    k = np.arange(1, size + 1)
    times = np.array([np.mean([(x == i).sum() for x in every]) for i in k])
    share = k / size
    truth = np.exp(-(share * np.log(share) * times).sum()) if q == 1 else 1 / (share**2 * times).sum()
    assert_allclose(hill_at(SMALL, size, q), truth)


@pytest.mark.parametrize(
    ("counts", "whole", "found", "coverage"),
    [
        (GIRDLED, [43.893, 13.826, 8.175], [26, 12.060, 7.840], 0.9289),
        (LOGGED, [61.403, 16.337, 6.920], [37, 14.421, 6.761], 0.9446),
    ],
)
def test_published_values_of_the_spiders(counts, whole, found, coverage):
    """Hsieh, Ma & Chao 2016, Methods Ecol. Evol. 7, 1451-1456 (iNEXT), to the digits printed."""
    assert_allclose([hill_infinite(counts, q) for q in (0, 1, 2)], whole, atol=5e-4)
    assert_allclose([hill_numbers(counts, q) for q in (0, 1, 2)], found, atol=5e-4)
    assert_allclose(coverage_at(counts), coverage, atol=5e-5)


@pytest.mark.parametrize("q", [0, 1, 2])
@pytest.mark.parametrize("counts", [GIRDLED, LOGGED, [3, 1, 1], [5, 2, 2]])
def test_curves_pass_through_the_sample_and_end_in_the_whole(counts, q):
    n = sum(counts)
    assert_allclose(hill_at(counts, n, q), hill_numbers(counts, q))
    assert_allclose(hill_at(counts, n * (1 + 1e-9), q), hill_numbers(counts, q), rtol=1e-6)
    assert_allclose(hill_at(counts, 1e9 * n, q), hill_infinite(counts, q), rtol=1e-6)


def test_curves_never_fall():
    sizes = [1, 2, 10, 50, 100, 167, 168, 169, 300, 1000]
    for q in (0, 1, 2):
        assert (np.diff([hill_at(GIRDLED, size, q) for size in sizes]) > 0).all()
    assert (np.diff([coverage_at(GIRDLED, size) for size in sizes]) > 0).all()


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12).filter(lambda x: sum(x) > 1), st.floats(0.05, 0.95))
def test_a_sample_of_the_found_size_has_the_coverage(counts, coverage):
    size = size_at_coverage(counts, coverage)
    if np.isnan(size):
        assert coverage_at(counts, 1e6 * sum(counts)) < coverage or max(counts) == 1
    elif size > sum(counts):
        assert_allclose(coverage_at(counts, size), coverage, rtol=1e-6)
    elif size > 1:
        assert coverage_at(counts, int(size)) <= coverage + 1e-12
        assert coverage_at(counts, int(size) + 1) >= coverage - 1e-12


def test_equal_coverage_makes_samples_of_one_community_equal():
    """Of one community two samples of tenfold different size differ in richness, and not at equal coverage."""
    rng = np.random.default_rng(1)
    share = rng.lognormal(0, 1.5, 80)
    share /= share.sum()
    raw, even = [], []
    for _ in range(40):
        pair = rng.multinomial(200, share), rng.multinomial(2000, share)
        raw.append([(x > 0).sum() for x in pair])
        even.append([hill_at(x, size_at_coverage(x, 0.9), 0) for x in pair])
    raw, even = np.mean(raw, axis=0), np.mean(even, axis=0)
    assert raw[1] / raw[0] > 1.4
    assert 0.93 < even[1] / even[0] < 1.07


@pytest.mark.parametrize(("single", "double"), [(20, 1), (14, 4), (3, 30), (1, 60), (8, 0)])
def test_the_unseen_part_of_the_entropy_is_an_integral(single, double):
    """Chao, Wang & Jost 2013: (1-A)^(1-n) sum over r >= n of (1-A)^r / r is an integral, too."""
    counts = [50, 30, 9, 5, *[2] * double, *[1] * single]
    n = sum(counts)
    a = 2 * double / ((n - 1) * single + 2 * double) if double else 2 / ((n - 1) * (single - 1) + 2)
    unseen = quad(lambda u: (1 - a) / n / (1 - (1 - a) * u ** (1 / n)), 0, 1, epsrel=1e-11, limit=500)[0]
    seen = sum(x / n * sum(1 / k for k in range(x, n)) for x in counts)
    assert_allclose(np.log(hill_infinite(counts, 1)), seen + single / n * unseen, rtol=1e-7)


def test_between_whole_sizes_lies_a_straight_line():
    for q in (0, 1):
        assert_allclose(hill_at(SMALL, 3.25, q), 0.75 * hill_at(SMALL, 3, q) + 0.25 * hill_at(SMALL, 4, q))


def test_equal_taxa_are_as_many_as_they_are():
    for q in (0, 0.5, 1, 2, 3.7):
        assert_allclose(hill_numbers([7.0] * 9 + [0.0], q), 9)


def test_hill_numbers_of_many_communities_at_once():
    table = np.array([[1.0, 1, 0], [0, 0, 0], [np.nan, 1, 1]])
    assert_allclose(hill_numbers(table, 1), [2, 0, np.nan])


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="not negative"):
        hill_numbers([-1.0, 2.0], 0)
    with pytest.raises(ValueError, match="whole and not negative"):
        hill_infinite([1.5], 0)
    with pytest.raises(ValueError, match="missing"):
        coverage_at([1, np.nan])
    with pytest.raises(ValueError, match="at least 1"):
        hill_at(SMALL, 0.5, 0)
    with pytest.raises(ValueError, match="q = 0, 1 and 2"):
        hill_at(SMALL, 2, 3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        size_at_coverage(SMALL, 90)


def test_of_nothing_nothing_is_known():
    assert np.isnan(
        [
            coverage_at([1]),
            coverage_at([0, 0]),
            hill_infinite([0], 1),
            hill_at([0], 1, 0),
            size_at_coverage([0, 1], 0.5),
        ]
    ).all()


@pytest.mark.parametrize("q", [0.5, 3, -1])
def test_orders_without_a_formula_are_refused(q):
    for function in (lambda: hill_infinite([3, 2, 1], q), lambda: hill_at([3, 2, 1], 2, q)):
        with pytest.raises(ValueError, match="formulas for q = 0, 1 and 2"):
            function()
