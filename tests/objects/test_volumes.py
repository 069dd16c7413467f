"""Volumes of bodies, against solid geometry, the papers' own steps, and bodies whose volume is known."""

import numpy as np
import pytest
from scipy import ndimage

from aqqua_science.objects import volumes
from aqqua_science.objects.volumes import body_mask, distance_map_volume, revolved_volume, turned_volume


def grid(side):
    place = np.arange(side) - side / 2 + 0.31
    return place + 1j * place[:, None]


def ellipse(a, b, angle, side=160):
    z = grid(side) * np.exp(-1j * np.radians(angle))
    return (z.real / a) ** 2 + (z.imag / b) ** 2 <= 1


def paper_volume(mask):
    """Moberg & Sosik 2012 step by step: distances to the perimeter, mean transect, corrections of steps and shape."""
    perimeter = mask & ~ndimage.binary_erosion(mask)
    distance = (ndimage.distance_transform_edt(~perimeter) + 1)[mask]
    transect = 4 * distance.mean() - 2
    steps = transect**2 / (transect**2 + 2 * transect + 0.5)
    return steps * np.pi / 2 * 2 * distance.sum()


def test_a_sphere_takes_its_diameter():
    """8 times less than the slip 4/3 pi ESD^3, which takes the diameter for the radius."""
    assert volumes.sphere_volume(2.0) == pytest.approx(4 / 3 * np.pi)
    assert volumes.ellipsoid_volume(6.0, 2.0) == pytest.approx(4 / 3 * np.pi * 3 * 1 * 1)


@pytest.mark.parametrize("angle", [0, 17, 45, 80])
@pytest.mark.parametrize(("a", "b"), [(40, 40), (60, 30), (70, 12), (12, 8)])
def test_spheroids_turned_about_their_axis(a, b, angle):
    mask = ellipse(a, b, angle)
    found = revolved_volume(mask, major=2 * a, minor=2 * b, hull_area=mask.sum())
    assert found == pytest.approx(4 / 3 * np.pi * a * b**2, rel=0.03)


@pytest.mark.parametrize("angle", [0, 30, 45])
def test_rods(angle):
    z = grid(200) * np.exp(-1j * np.radians(angle))
    mask = (np.abs(z.real) <= 75) & (np.abs(z.imag) <= 6)
    assert turned_volume(mask) == pytest.approx(np.pi * 6**2 * 150, rel=0.03)
    # The distance map slopes at the ends too: a roof with hips.
    assert distance_map_volume(mask) == pytest.approx(np.pi * (6**2 * 150 - 2 / 3 * 6**3), rel=0.06)


def test_a_ring_of_tube_is_measured_around():
    mask = np.abs(np.abs(grid(200)) - 70) <= 7
    tube = np.pi * 7**2 * 2 * np.pi * 70
    assert distance_map_volume(mask) == pytest.approx(tube, rel=0.04)
    assert revolved_volume(mask, major=280, minor=280, hull_area=np.pi * 77**2) == pytest.approx(tube, rel=0.04)


def test_a_disc_under_the_distance_map_is_a_quarter_of_pi_of_the_sphere():
    assert distance_map_volume(ellipse(60, 60, 0)) == pytest.approx(np.pi / 4 * 4 / 3 * np.pi * 60**3, rel=0.02)


@pytest.mark.parametrize(("a", "b", "angle"), [(60, 60, 0), (70, 20, 33), (50, 9, 70)])
def test_the_distance_map_is_that_of_the_paper(a, b, angle):
    mask = ellipse(a, b, angle)
    assert distance_map_volume(mask) == pytest.approx(paper_volume(mask), rel=0.05)


def test_the_rule_of_the_paper_chooses():
    """Nearly convex or round: turned; else piled up."""
    z = grid(160)
    bent = (np.abs(np.abs(z) - 50) <= 6) & (z.imag > 0)
    assert revolved_volume(bent, major=110, minor=50, hull_area=np.pi / 2 * 56**2) == distance_map_volume(bent)
    straight = ellipse(60, 15, 10)
    assert revolved_volume(straight, major=120, minor=30, hull_area=straight.sum()) == turned_volume(straight)


@pytest.mark.parametrize("thickness", [1, 3, 5])
def test_whiskers_are_taken_off(thickness):
    body = ellipse(40, 25, 20)
    whiskers = np.zeros_like(body)
    for angle in range(0, 180, 30):
        z = grid(160) * np.exp(-1j * np.radians(angle))
        whiskers |= (np.abs(z.imag) <= thickness / 2) & (np.abs(z.real) <= 75)
    found = body_mask(body | whiskers)
    assert np.count_nonzero(found & body) / body.sum() > 0.97
    assert np.count_nonzero(found & ~body) / body.sum() < 0.08


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (2, 30)])
def test_a_body_that_is_thin_all_over_is_kept(shape):
    assert body_mask(np.ones(shape, bool)).all()
    assert turned_volume(np.ones(shape, bool)) > 0
    assert distance_map_volume(np.ones(shape, bool)) > 0
