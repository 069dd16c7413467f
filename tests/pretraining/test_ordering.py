"""Chance that is a function of what it is for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aqqua_science.pretraining.ordering import hashed, shuffled, uniforms


@given(n=st.integers(1, 5_000), seed=st.integers(0, 2**31), epoch=st.integers(0, 50))
def test_an_order_holds_everything_once(n, seed, epoch):
    assert sorted(shuffled(np.arange(n), n, seed=seed, epoch=epoch)) == list(range(n))


def test_an_order_is_looked_up_piece_by_piece():
    whole = shuffled(np.arange(1_000), 1_000, seed=3, epoch=2)
    places = np.array([7, 999, 0, 512])
    np.testing.assert_array_equal(shuffled(places, 1_000, seed=3, epoch=2), whole[places])


def test_seeds_and_epochs_give_other_orders():
    orders = [shuffled(np.arange(500), 500, seed=s, epoch=e) for s, e in [(0, 0), (0, 1), (1, 0)]]
    for i in range(3):
        for j in range(i):
            assert np.mean(orders[i] == orders[j]) < 0.05


def test_all_places_of_the_first_image_are_as_likely():
    first = [int(shuffled(np.array([0]), 10, seed=seed, epoch=0)[0]) for seed in range(2_000)]
    assert stats.chisquare(np.bincount(first, minlength=10)).pvalue > 1e-4


def test_billions_need_no_memory():
    n = 7_530_000_000
    found = shuffled(np.array([0, 1, n - 1]), n, seed=0, epoch=0)
    assert len(set(found)) == 3
    assert (found < n).all()


def test_uniforms_are_uniform_and_independent():
    draws = uniforms(0, np.arange(20_000)[:, None], np.arange(2))
    assert stats.kstest(draws[:, 0], "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.03
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.03


@pytest.mark.parametrize("parts", [(1, 2), (2, 1), (0, 1, 2), (1, 2, 0)])
def test_hashes_depend_on_every_part_and_their_order(parts):
    assert int(hashed(*parts)) != int(hashed(1, 2, 3))
    assert int(hashed(*parts)) == int(hashed(*parts))


def test_the_hash_is_splitmix64():
    """Steele et al. (2014): the first numbers of the generator seeded with 1234567, in its published reference."""
    state, gamma = 1234567, 0x9E3779B97F4A7C15
    found = [int(hashed((state + i * gamma) % 2**64)) for i in range(3)]
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]
