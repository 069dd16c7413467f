"""Power laws of size, held to integrals and to known truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.optimize import lsq_linear

from aqqua_science.samples.spectra import (
    biovolume_of_power_law,
    check_edges,
    fit_poisson,
    fit_truncated,
    fit_weighted,
    geometric_edges,
    octave_edges,
    power_law_of_biovolume,
)

EDGES = geometric_edges(100, 5000)
MIDDLE, WIDTH = np.sqrt(EDGES[1:] * EDGES[:-1]), np.diff(EDGES)


@pytest.mark.parametrize("slope", [2.0, 3.9, 3.999999, 4.0, 4.000001, 5.3])
def test_biovolume_is_the_integral(slope):
    truth = quad(lambda d: np.pi / 6 * d**3 * 7.0 * d**-slope, 0.1, 5.0, epsabs=0, epsrel=1e-12)[0]
    assert_allclose(biovolume_of_power_law(7.0, slope, (0.1, 5.0)), truth, rtol=1e-10)


def test_at_a_slope_of_four_it_is_a_logarithm():
    assert_allclose(biovolume_of_power_law(2.0, 4.0, (0.102, 5.2)), np.pi / 3 * np.log(5.2 / 0.102), rtol=1e-14)


def test_nothing_jumps_on_the_way_through_four():
    values = biovolume_of_power_law(1.0, 4 + np.linspace(-1e-7, 1e-7, 201), (0.1, 5.0))
    assert (np.diff(values) > 0).all()
    assert_allclose(values, values[100], rtol=1e-6)


@pytest.mark.parametrize("slope", [2.5, 4.0, 4.7])
def test_there_and_back(slope):
    n0 = np.array([0.3, 5e4])
    assert_allclose(power_law_of_biovolume(biovolume_of_power_law(n0, slope, (0.1, 5)), slope, (0.1, 5)), n0)


def test_away_from_four_it_is_the_published_form():
    """BV = pi/6 n0 (smax^(4-b) - smin^(4-b)) / (4-b)."""
    b, low, high = 3.4, 102e-4, 5.2e-1
    assert_allclose(
        biovolume_of_power_law(9.0, b, (low, high)), np.pi / 6 * 9 * (high ** (4 - b) - low ** (4 - b)) / (4 - b)
    )


@pytest.mark.parametrize("limits", [(0, 1), (2, 1), (1, np.inf)])
def test_limits_are_a_range(limits):
    with pytest.raises(ValueError, match="smaller first"):
        biovolume_of_power_law(1.0, 4.0, limits)


def test_classes_are_those_of_ecopart():
    assert_allclose(geometric_edges(1, 2**15)[[0, 1, 3, 45]], [1, 2 ** (1 / 3), 2, 2**15])


def test_edges_must_rise():
    with pytest.raises(ValueError, match="rising"):
        check_edges([3.0, 2.0])
    with pytest.raises(ValueError, match="start_um < stop_um"):
        geometric_edges(0, 10)


def drawn(rng, slope, mean_total, n):
    """Counts in the classes, of power laws with a known slope and number."""
    share = EDGES[:-1] ** (1 - slope) - EDGES[1:] ** (1 - slope)
    return rng.poisson(mean_total * share / share.sum(), size=(n, MIDDLE.size)).astype(float)


@pytest.mark.parametrize("slope", [2.5, 4.0, 5.0])
def test_both_fits_find_the_slope_where_counts_are_many(slope):
    counts = drawn(np.random.default_rng(1), slope, 1e6, 200)
    exact = drawn(np.random.default_rng(1), slope, 1e15, 1)
    for fit in (
        fit_poisson(MIDDLE, np.broadcast_to(WIDTH, counts.shape), counts),
        fit_weighted(MIDDLE, counts / WIDTH, counts),
    ):
        assert abs(np.mean(fit["slope"]) + slope) < 0.01
    assert_allclose(fit_weighted(MIDDLE, exact / WIDTH, exact)["slope"], -slope, atol=0.002)


def test_where_counts_are_few_only_the_likelihood_is_unbiased():
    counts = drawn(np.random.default_rng(2), 4.0, 200, 3000)
    poisson = fit_poisson(MIDDLE, np.broadcast_to(WIDTH, counts.shape), counts)
    weighted = fit_weighted(MIDDLE, counts / WIDTH, counts)
    assert abs(np.mean(poisson["slope"]) + 4) < 0.03
    assert np.mean(weighted["slope"]) + 4 > 0.1  # flatter than the truth: empty classes are left out


@pytest.mark.parametrize("total", [300, 30_000])
def test_standard_errors_of_the_likelihood_are_those_of_repetition(total):
    counts = drawn(np.random.default_rng(3), 4.0, total, 3000)
    fit = fit_poisson(MIDDLE, np.broadcast_to(WIDTH, counts.shape), counts)
    for name in ("slope", "intercept"):
        assert_allclose(np.median(fit[f"{name}_se"]), np.std(fit[name]), rtol=0.25)


@pytest.mark.parametrize("scatter", [0.0, 0.5])
def test_errors_of_the_weighted_line_are_those_of_repetition(scatter):
    """Also where classes scatter beyond counting, as those of a spectrum with humps do."""
    rng = np.random.default_rng(4)
    counts = drawn(rng, 4.0, 1e7, 1000)
    counts = np.round(counts * rng.lognormal(0, scatter, counts.shape))
    fit = fit_weighted(MIDDLE, counts / WIDTH, counts)
    for name in ("slope", "intercept"):
        assert_allclose(np.sqrt((fit[f"{name}_se"] ** 2).mean()), np.std(fit[name]), rtol=0.25)


def test_the_weighted_line_is_that_of_a_slow_reference():
    """Weights of 1 / (1/count + t), t such that the expected sum of squares is the one that is there."""
    counts = np.array([[90.0, 31, 22, 0, 3, np.nan]])
    size = np.array([1.0, 2, 4, 8, 16, 32])
    density = counts / size
    use = np.array([0, 1, 2, 4])
    n, x, y = counts[0, use], np.log(size[use]), np.log(density[0, use])
    design = np.column_stack([np.ones(4), x])

    def solve(weight):
        normal = design.T @ np.diag(weight) @ design
        return np.linalg.inv(normal), np.linalg.inv(normal) @ design.T @ (weight * y)

    inverse, line = solve(n)
    squares = (n * (y - design @ line) ** 2).sum()
    t = max(0.0, (squares - 2) / (n.sum() - np.trace(inverse @ design.T @ np.diag(n**2) @ design)))
    assert t > 0
    inverse, line = solve(1 / (1 / n + t))
    fit = fit_weighted(size, density, counts)
    assert_allclose([fit["slope"][0], fit["intercept"][0]], [line[1], line[0] / np.log(10)])
    assert_allclose(
        [fit["slope_se"][0], fit["intercept_se"][0]], [inverse[1, 1] ** 0.5, inverse[0, 0] ** 0.5 / np.log(10)]
    )
    assert fit["n_classes"][0] == 4


def test_the_likelihood_is_at_its_highest():
    counts = np.array([[90.0, 31, 12, 0, 3, np.nan]])
    size, exposure = np.array([1.0, 2, 4, 8, 16, 32]), np.full((1, 6), 2.0)
    fit = fit_poisson(size, exposure, counts)

    def likelihood(slope, intercept):
        mean = 2.0 * 10**intercept * size[:5] ** slope
        return (counts[0, :5] * np.log(mean) - mean).sum()

    best = likelihood(fit["slope"][0], fit["intercept"][0])
    for step in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01), (0.01, -0.01)):
        assert likelihood(fit["slope"][0] + step[0], fit["intercept"][0] + step[1]) < best


@pytest.mark.parametrize("counts", [[0.0, 0, 0], [5.0, 0, 0], [np.nan] * 3])
def test_no_line_through_less_than_two_classes(counts):
    counts, size = np.array([counts]), np.array([1.0, 2, 4])
    assert np.isnan(fit_weighted(size, counts, counts)["slope"]).all()
    assert np.isnan(fit_poisson(size, np.ones((1, 3)), counts)["slope"]).all()


def test_truncated_power_laws_are_the_best_within_their_bounds():
    """Against a general solver, also where the exponent or the cutoff lies at a bound."""
    rng = np.random.default_rng(6)
    size = np.geomspace(0.1, 5, 14)
    true = [(3.0, 0.5), (7.5, 2.0), (-1.0, 0.4), (4.0, 50.0), (2.0, 0.05)]
    density = np.array([size**-a * np.exp(-size / g) for a, g in true for _ in range(20)])
    density *= rng.lognormal(0, 0.4, density.shape)
    density[rng.uniform(size=density.shape) < 0.1] = 0.0
    found = fit_truncated(size, density)
    for i, row in enumerate(density):
        d, y = size[row > 0], np.log(row[row > 0])
        design = np.column_stack([np.ones_like(d), -np.log(d), -d])
        bounds = [-np.inf, 0, 1 / d.max()], [np.inf, 6, 1 / d.min()]
        truth = lsq_linear(design, y, bounds, tol=1e-14)
        ours = np.array([found["log10_coefficient"][i] * np.log(10), found["exponent"][i], 1 / found["cutoff"][i]])
        assert ((design @ ours - y) ** 2).sum() / 2 <= truth.cost * (1 + 1e-9)
        assert_allclose(ours, truth.x, atol=1e-3)
        assert 0 <= ours[1] <= 6


def test_three_classes_are_needed_for_a_truncated_law():
    found = fit_truncated(np.array([1.0, 2.0, 4.0]), np.array([[1.0, 0.5, 0.0], [8.0, 1.0, 0.1]]))
    assert np.isnan(found["exponent"]).tolist() == [True, False]


def test_one_class_makes_no_line_whatever_its_count_and_place():
    rng = np.random.default_rng(0)
    counts = np.zeros((2_000, 7))
    counts[np.arange(2_000), rng.integers(0, 7, 2_000)] = rng.integers(1, 1_000, 2_000)
    size = 3.7 * 1.26 ** np.arange(7)
    assert np.isnan(fit_weighted(size, counts / size, counts)["slope"]).all()


@given(st.floats(0.01, 1e5), st.floats(1, 1e3))
def test_octave_edges_hold_the_smallest_and_the_largest(low, stretch):
    edges = octave_edges(low, low * stretch)
    assert edges[0] <= low < edges[1]
    assert edges[-2] <= low * stretch < edges[-1]
    assert_allclose(np.log2(edges) * 3, np.round(np.log2(edges) * 3), atol=1e-9)
