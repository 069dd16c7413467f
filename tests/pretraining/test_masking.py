"""Properties of masks on grids of any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqqua_science.pretraining.masking import block_mask

SIDES = st.integers(1, 20)


@given(SIDES, SIDES, st.floats(0, 1), st.integers(0, 99))
def test_the_wished_share_is_masked(rows, columns, share, seed):
    mask = block_mask((rows, columns), share=share, rng=np.random.default_rng(seed))
    assert mask.shape == (rows, columns)
    assert mask.dtype == bool
    if mask.size == 1:
        assert not mask.any()
    else:
        assert 1 <= mask.sum() <= mask.size - 1
        assert abs(mask.sum() - share * mask.size) <= 1


def agreement(mask):
    """Share of masked places (but for the last row) below which is another."""
    return mask[1:][mask[:-1]].mean()


def test_masks_are_blocks():
    """Side by side with single patches drawn at random, far more neighbours share their fate."""
    rng = np.random.default_rng(0)
    masks = [block_mask((14, 14), share=0.4, rng=rng) for _ in range(100)]
    scattered = [rng.permutation(m.ravel()).reshape(m.shape) for m in masks]
    assert np.mean([agreement(m) for m in masks]) > 0.7
    assert np.mean([agreement(m) for m in scattered]) < 0.45


def test_every_place_is_masked_at_times_and_no_side_is_preferred():
    rng = np.random.default_rng(0)
    often = np.mean([block_mask((7, 7), share=0.4, rng=rng) for _ in range(2_000)], axis=0)
    assert often.mean() == pytest.approx(0.4, abs=0.02)
    assert 0.1 < often.min() < often.max() < 0.8
    np.testing.assert_allclose(often, often.T, atol=0.06)
    np.testing.assert_allclose(often, often[::-1, ::-1], atol=0.06)


def test_same_seed_same_mask():
    one, two = (block_mask((9, 5), share=0.3, rng=np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
