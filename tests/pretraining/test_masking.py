"""Properties of masks on grids of any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqqua_science.pretraining.masking import block_mask, draw_masks

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


@given(
    st.lists(st.tuples(SIDES, SIDES, st.integers(1, 4)), max_size=12),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_all_channels_of_an_image_are_masked_alike(images, probability, seed):
    grids, channels = [i[:2] for i in images], [i[2] for i in images]
    rng = np.random.default_rng(seed)
    flat = draw_masks(grids, channels, share=(0.1, 0.5), probability=probability, rng=rng)
    assert flat.dtype == bool
    assert len(flat) == sum(r * c * n for r, c, n in images)
    masked, start = 0, 0
    for rows, columns, n in images:
        planes = flat[start : start + rows * columns * n].reshape(n, rows * columns)
        assert (planes == planes[0]).all()
        assert not planes[0].all()
        masked, start = masked + planes[0].any(), start + planes.size
    assert masked <= np.ceil(probability * len(images))


def shares_of(n, **settings):
    flat = draw_masks(np.full((n, 2), 10), np.ones(n, int), **settings)
    return flat.reshape(n, 100).mean(axis=1)


def test_shares_are_spread_evenly_in_any_order():
    shares = shares_of(40, share=(0.1, 0.5), probability=1, rng=np.random.default_rng(0))
    bounds = np.linspace(0.1, 0.5, 41)
    assert (np.sort(shares) >= bounds[:-1] - 0.006).all()
    assert (np.sort(shares) <= bounds[1:] + 0.006).all()
    assert abs(np.corrcoef(np.arange(40), shares)[0, 1]) < 0.5


@pytest.mark.parametrize("n", [1, 3, 8])
@pytest.mark.parametrize("probability", [0, 0.3, 1])
def test_each_image_is_masked_with_the_probability(n, probability):
    rng = np.random.default_rng(0)
    masked = [shares_of(n, share=(0.2, 0.3), probability=probability, rng=rng) > 0 for _ in range(600)]
    np.testing.assert_allclose(np.mean(masked, axis=0), probability, atol=0.07 * (0 < probability < 1))


def test_packed_order_is_row_by_row_within_a_channel():
    """Read with the right sides, masked places have masked neighbours below them."""
    rng, found = np.random.default_rng(1), []
    for _ in range(50):
        flat = draw_masks([(4, 31)], [2], share=(0.3, 0.3), probability=1, rng=rng)
        found.append([agreement(flat[:124].reshape(sides)) for sides in ((4, 31), (31, 4))])
    right, wrong = np.mean(found, axis=0)
    assert right > wrong + 0.1
