"""Patches hold an image whole, know where in the water they are, and keep both when the image is reduced."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqqua_science.images.patches import (
    CHANNELS,
    average_area,
    channel_kinds,
    cut,
    grid_of,
    intensities,
    pad_patches,
    shrink,
    shrink_factor,
)

SIDES = st.integers(1, 70)
PATCH_SIZES = st.sampled_from([1, 2, 7, 14, 16])


def drawn(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def pixel_places(patches, patch_size):
    """Where each pixel of each patch lies, y and x in micrometres, worked out from the patch's centre."""
    steps = (np.arange(patch_size) + 0.5 - patch_size / 2) * patches.pixel_size_um
    within = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    return patches.position_um[:, None].astype(float) + within


def centre_of_mass(patches, patch_size):
    return (patches.values[..., None] * pixel_places(patches, patch_size)).sum((0, 1)) / patches.values.sum(dtype=float)


@given(n=st.integers(1, 4), height=SIDES, width=SIDES, patch_size=PATCH_SIZES)
def test_every_pixel_is_in_one_patch_at_its_place(n, height, width, patch_size):
    pixels = drawn((n, height, width))
    patches = cut(pixels, pixel_size_um=2.0, patch_size=patch_size)
    rows, columns = patches.grid
    assert (rows, columns) == grid_of(height, width, patch_size) == (-(-height // patch_size), -(-width // patch_size))
    assert patches.values.shape == patches.seen.shape == (n * rows * columns, patch_size**2)
    assert patches.seen.sum() == pixels.size
    assert (patches.values[~patches.seen] == 0).all()
    assert np.array_equal(patches.channel, np.repeat(channel_kinds(n), rows * columns))
    places = pixel_places(patches, patch_size)[patches.seen] / 2
    y, x = np.rint(places + np.array([height - 1, width - 1]) / 2).astype(int).T
    plane = np.repeat(np.arange(n), height * width)
    assert np.array_equal(pixels[plane, y, x], patches.values[patches.seen])
    assert len({*zip(plane, y, x, strict=True)}) == pixels.size


@given(patch_size=PATCH_SIZES, height=st.integers(2, 20), width=st.integers(2, 20), seed=st.integers(0, 9))
def test_an_object_stays_where_it_is_at_any_sampling(patch_size, height, width, seed):
    """Half and double the sampling: the centre of mass in micrometres does not move, though every patch does."""
    fine = np.repeat(np.repeat(drawn((1, height, width), seed), 2, axis=1), 2, axis=2)
    double = np.repeat(np.repeat(fine, 2, axis=1), 2, axis=2)
    half = average_area(fine, (height, width))
    sampled = [(fine, 3.0), (double, 1.5), (half, 6.0)]
    places = [centre_of_mass(cut(p, pixel_size_um=um, patch_size=patch_size), patch_size) for p, um in sampled]
    np.testing.assert_allclose(places[1], places[0], atol=1e-3)
    np.testing.assert_allclose(places[2], places[0], atol=1e-3)


def test_places_are_counted_from_the_centre():
    patches = cut(drawn((1, 28, 42)), pixel_size_um=10.0, patch_size=14)
    expected = [[y, x] for y in (-70, 70) for x in (-140, 0, 140)]
    assert np.array_equal(patches.position_um, np.array(expected, np.float32))
    assert (patches.grid, patches.pixel_size_um) == ((2, 3), 10.0)


def test_kinds_of_channels():
    assert [channel_kinds(n).tolist() for n in (1, 2, 3, 5)] == [[0], [0, 4], [1, 2, 3], [1, 2, 3, 4, 5]]
    for n in (0, CHANNELS):
        with pytest.raises(ValueError, match=f"got {n}"):
            channel_kinds(n)
    told = cut(drawn((2, 3, 3)), pixel_size_um=1.0, patch_size=3, channels=[2, 7])
    assert told.channel.tolist() == [2, 7]


def slow_average(plane, shape):
    """Each new pixel is the mean of what lies under it, old pixels counted by the share of them that does."""
    found = np.zeros(shape)
    sides = [n / m for n, m in zip(plane.shape, shape, strict=True)]
    for i in range(shape[0]):
        for j in range(shape[1]):
            for y in range(plane.shape[0]):
                for x in range(plane.shape[1]):
                    tall = min((i + 1) * sides[0], y + 1) - max(i * sides[0], y)
                    wide = min((j + 1) * sides[1], x + 1) - max(j * sides[1], x)
                    found[i, j] += max(tall, 0) * max(wide, 0) * plane[y, x]
    return found / np.prod(sides)


@pytest.mark.parametrize(("size", "shape"), [((6, 4), (3, 2)), ((7, 5), (3, 4)), ((9, 1), (2, 1)), ((5, 6), (5, 6))])
def test_area_averaging_equals_the_slow_way(size, shape):
    pixels = drawn((2, *size))
    expected = [slow_average(plane, shape) for plane in pixels]
    np.testing.assert_allclose(average_area(pixels, shape), expected, atol=1e-6)


@given(height=SIDES, width=SIDES, data=st.data())
def test_area_averaging_keeps_the_mean(height, width, data):
    shape = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    pixels = drawn((3, height, width))
    np.testing.assert_allclose(average_area(pixels, shape).mean((1, 2)), pixels.mean((1, 2)), rtol=1e-5)


@given(
    n=st.integers(1, 3), height=st.integers(1, 400), width=st.integers(1, 400), patch_size=PATCH_SIZES,
    max_tokens=st.integers(3, 256),
)  # fmt: skip
def test_an_image_never_has_more_patches_than_allowed(n, height, width, patch_size, max_tokens):
    pixels = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (n, height, width))
    small, pixel_size = shrink(pixels, pixel_size_um=4.0, patch_size=patch_size, max_tokens=max_tokens)
    patches = cut(small, pixel_size_um=pixel_size, patch_size=patch_size)
    assert len(patches.values) <= max_tokens
    rows, columns = grid_of(height, width, patch_size)
    if n * rows * columns <= max_tokens:
        assert small is pixels
        assert pixel_size == 4.0
    area, before = np.prod(small.shape[1:]) * pixel_size**2, height * width * 4.0**2
    assert area == pytest.approx(before)
    mass = small.mean(dtype=float) * area
    assert mass == pytest.approx(pixels.mean(dtype=float) * before, rel=1e-4)


@given(
    height=st.integers(100, 4000), share=st.floats(0.5, 2), patch_size=st.sampled_from([8, 14]),
    max_tokens=st.integers(16, 256),
)  # fmt: skip
def test_an_image_is_not_reduced_more_than_it_must(height, share, patch_size, max_tokens):
    width = int(height * share)
    factor = shrink_factor(height, width, patch_size=patch_size, max_tokens=max_tokens)
    assert 0 < factor <= 1
    rows, columns = grid_of(int(height * factor), int(width * factor), patch_size)
    assert rows * columns <= max_tokens
    if factor < 1:
        assert rows * columns > max_tokens / 2


@pytest.mark.parametrize(("dtype", "bit_depth"), [(np.uint8, 8), (np.uint16, 12), (np.uint16, 16)])
def test_intensities_are_told_by_the_instruments_bits(dtype, bit_depth):
    top = 2**bit_depth - 1
    pixels = np.array([[0, top // 5, top]], dtype=dtype)
    found = intensities(pixels, bit_depth=bit_depth)
    assert (found.dtype, found.shape) == (np.float32, (1, 1, 3))
    np.testing.assert_allclose(found[0, 0], [0, (top // 5) / top, 1], rtol=1e-6)


def test_intensities_of_colours_come_channel_by_channel():
    pixels = np.random.default_rng(0).integers(0, 255, (4, 5, 3)).astype(np.uint8)
    found = intensities(pixels, bit_depth=8)
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found[2] * 255, pixels[:, :, 2], rtol=1e-6)


@given(shapes=st.lists(st.tuples(st.integers(1, 3), SIDES, SIDES), min_size=1, max_size=4))
def test_padding_adds_what_is_not_kept(shapes):
    images = [cut(drawn(shape), pixel_size_um=1.5 + k, patch_size=14) for k, shape in enumerate(shapes)]
    padded = pad_patches(images)
    assert padded["keep"].shape == (len(images), max(len(p.values) for p in images))
    assert padded["pixel_size_um"].tolist() == [p.pixel_size_um for p in images]
    for k, patches in enumerate(images):
        assert padded["keep"][k].sum() == len(patches.values)
        for name in ("values", "seen", "position_um", "channel"):
            assert padded[name].dtype == getattr(patches, name).dtype
            assert np.array_equal(padded[name][k][padded["keep"][k]], getattr(patches, name))
            assert not padded[name][k][~padded["keep"][k]].any()


def test_nothing_cannot_be_padded():
    with pytest.raises(ValueError, match="one image or more"):
        pad_patches([])
