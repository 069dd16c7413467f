"""Sizes measured off pictures, against drawn discs, a slow Otsu, and virtual plankton of known size."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.images import sizes
from aqqua_science.synthetic import images

MEDIAN_ERROR = {
    "IFCB": 0.27,
    "PlanktoScope": 0.20,
    "FlowCam": 0.20,
    "ZooScan": 0.12,
    "LOKI": 0.10,
    "UVP6": 0.15,
    "ISIIS": 0.12,
}
"""What one threshold can do; pale chains in bright field are cut short, and glare widens bodies in dark field."""


def disc(radius, *, shape=(80, 90), at=(38.3, 45.6)):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2


def draw(mask, *, object_level=40, background=200, dtype=np.uint8):
    return np.where(mask, object_level, background).astype(dtype)


def slow_otsu(values):
    """The cut between two bins that leaves the least variance within the groups, bin by bin (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=256, range=(0, values.max()))
    centres = (edges[1:] + edges[:-1]) / 2
    best, cut = np.inf, None
    for i in range(1, 256):
        within = 0.0
        for part in (slice(0, i), slice(i, 256)):
            n = counts[part].sum()
            if n:
                mean = (counts[part] * centres[part]).sum() / n
                within += (counts[part] * (centres[part] - mean) ** 2).sum()
        if counts[:i].sum() and counts[i:].sum() and within < best * (1 - 1e-12):
            best, cut = within, edges[i]
    return cut


@pytest.mark.parametrize("radius", [4, 11, 30])
@pytest.mark.parametrize("levels", [(40, 200), (200, 40), (1, 0), (60, 61)])
def test_a_disc_has_its_diameter(radius, levels):
    image = draw(disc(radius), object_level=levels[0], background=levels[1])
    assert_allclose(sizes.esd_um(image, pixel_size_um=3.0), 2 * radius * 3.0, rtol=0.02)


def test_noise_hardly_matters():
    noise = np.random.default_rng(0).normal(0, 8, (80, 90))
    image = (draw(disc(20), dtype=float) + noise).clip(0, 255).astype(np.uint8)
    assert_allclose(sizes.esd_um(image, pixel_size_um=1.0), 40, rtol=0.02)


def test_twelve_bits_are_as_good_as_eight():
    image = draw(disc(20), object_level=3000, background=400, dtype=np.uint16)
    assert_allclose(sizes.esd_um(image, pixel_size_um=1.0), 40, rtol=0.02)


def test_the_largest_piece_counts():
    image = draw(disc(14) | disc(5, at=(8, 8)))
    assert_array_equal(sizes.main_object(image), disc(14))


def test_holes_are_filled():
    image = draw(disc(20) & ~disc(15))
    assert_array_equal(sizes.main_object(image), disc(20))


def test_a_share_of_the_threshold_takes_in_pale_parts():
    image = np.where(disc(10), 0, draw(disc(20), object_level=150)).astype(np.uint8)
    assert_array_equal(sizes.main_object(image), disc(10))
    assert_array_equal(sizes.main_object(image, share=0.2), disc(20))


def test_colours_have_a_background_of_their_own():
    background, tint = np.array([200, 150, 90]), np.array([60, 20, 10])
    image = np.where(disc(20)[..., None], tint, background).astype(np.uint8)
    assert_array_equal(sizes.main_object(image), disc(20))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (30, 30), (30, 30, 3)])
def test_a_blank_image_has_no_size(shape):
    assert np.isnan(sizes.esd_um(np.full(shape, 128, np.uint8), pixel_size_um=1.0))


def test_size_goes_with_the_pixel():
    image = draw(disc(9))
    assert_allclose(sizes.esd_um(image, pixel_size_um=73), 73 * sizes.esd_um(image, pixel_size_um=1))


@pytest.mark.parametrize("size", [0, -1, float("nan")])
def test_a_pixel_without_size_is_refused(size):
    with pytest.raises(ValueError, match="positive"):
        sizes.esd_um(draw(disc(9)), pixel_size_um=size)


def test_turned_mirrored_and_negative_images_have_the_same_size():
    image = next(iter(images(1, rng=5, instruments=["ZooScan"]))).pixels()
    expected = sizes.esd_um(image, pixel_size_um=1.0)
    for changed in (image.T, image[::-1], np.rot90(image), 255 - image):
        assert sizes.esd_um(changed, pixel_size_um=1.0) == expected


@pytest.mark.parametrize("seed", range(6))
def test_otsu_is_the_slow_one(seed):
    rng = np.random.default_rng(seed)
    values = np.abs(np.concatenate([rng.normal(20, 6, 800), rng.normal(90, 25, rng.integers(20, 600))]))
    assert_allclose(sizes.otsu_threshold(values), slow_otsu(values))


@pytest.mark.parametrize("instrument", MEDIAN_ERROR)
def test_virtual_plankton_has_nearly_its_size(instrument):
    errors = []
    for picture in images(40, rng=77, instruments=[instrument]):
        size = picture.metadata["pixel_size_um"]
        errors.append(sizes.esd_um(picture.pixels(), pixel_size_um=size) / picture.truth["esd_um"] - 1)
    assert np.median(np.abs(errors)) < MEDIAN_ERROR[instrument]
