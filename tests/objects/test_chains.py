"""Cells of chains, counted: drawn ones of known number, and virtual Chaetoceros."""

import numpy as np
import pytest

from aqqua_science.objects.chains import count_cells
from aqqua_science.objects.thresholding import contrast, main_mask
from aqqua_science.objects.volumes import body_mask
from aqqua_science.synthetic import images


def drawn(n, *, cell=14, gap=4, width=18, angle=0.0, bend=0.0, rim=0.0):
    """Difference from the water, and mask, of a chain of n boxes along an arc, drawn at four times the resolution."""
    side = int(n * (cell + gap) + 2 * width + 20)
    place = (np.arange(4 * side) - 2 * side) / 4
    z = (place + 1j * place[:, None]) * np.exp(-1j * np.radians(angle))
    if bend:
        radius = n * (cell + gap) / bend
        centre = z - 1j * radius
        along, across = np.angle(centre * 1j) * radius, np.abs(centre) - radius
    else:
        along, across = z.real, z.imag
    start = -(n * (cell + gap) - gap) / 2
    step = np.mod(along - start, cell + gap)
    inside = (np.abs(across) < width / 2) & (step < cell) & (along > start) & (along < -start)
    ends = inside & (np.minimum(step, cell - step) < 2)
    fine = inside * (1 + rim * ends)
    coarse = fine.reshape(side, 4, side, 4).mean(axis=(1, 3))
    return coarse, coarse > 0.5


@pytest.mark.parametrize("n", [2, 3, 5, 8, 13])
@pytest.mark.parametrize("angle", [0, 20, 45, 90])
@pytest.mark.parametrize("bend", [0.0, 0.5])
def test_drawn_cells_are_counted(n, angle, bend):
    found = count_cells(*drawn(n, angle=angle, bend=bend))
    assert found.n_cells == n
    assert found.n_cells_low <= n <= found.n_cells_high
    if n > 2:
        assert found.n_cells_low == found.n_cells_high
    assert found.length == pytest.approx(n * 18 - 4, abs=5)


@pytest.mark.parametrize("rim", [0.0, 2.0])
def test_dark_ends_of_cells_do_not_double_them(rim):
    difference, mask = drawn(6, rim=rim)
    noise = np.random.default_rng(0).normal(0, 0.15, difference.shape)
    assert count_cells(difference + noise, mask).n_cells == 6


def test_closed_gaps_are_told_by_the_light():
    """The mask is a plain rod, only the grey levels have the gaps."""
    difference, _ = drawn(7, gap=3)
    _, rod = drawn(1, cell=7 * 17 - 3)
    cut = [(n - m) // 2 for n, m in zip(rod.shape, difference.shape, strict=True)]
    rod = rod[cut[0] : cut[0] + len(difference), cut[1] : cut[1] + len(difference)]
    assert count_cells(difference, rod).n_cells == 7


def test_the_volume_is_that_of_discs_along_the_bend():
    for bend in (0.0, 0.6):
        found = count_cells(*drawn(6, bend=bend))
        assert found.volume == pytest.approx(6 * 14 * np.pi / 4 * 18**2, rel=0.08)


def test_a_rod_without_gaps_is_one_cell_or_as_many_as_fit():
    found = count_cells(*drawn(1, cell=120, width=15))
    assert (found.n_cells, found.n_cells_low, found.n_cells_high) in [(1, 1, 8), (1, 1, 9)]
    assert found.periodicity < 0.6


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 2), (1, 60)])
def test_tiny_bodies_are_one_cell(shape):
    found = count_cells(np.ones(shape), np.ones(shape, bool))
    assert (found.n_cells, found.n_cells_low) == (1, 1)
    assert np.isfinite(found.volume)


def test_virtual_chains_are_counted_and_the_interval_holds():
    exact, held = [], []
    for name in ("IFCB", "PlanktoScope", "FlowCam"):
        for picture in images(45, rng=21, instruments=[name]):
            if picture.truth["taxon"] != "Chaetoceros":
                continue
            pixels = picture.pixels()
            found = count_cells(contrast(pixels)[0], body_mask(main_mask(pixels)))
            exact.append(found.n_cells == picture.truth["n_cells"])
            held.append(found.n_cells_low <= picture.truth["n_cells"] <= found.n_cells_high)
    assert len(exact) > 30
    assert np.mean(exact) >= 0.85
    assert np.mean(held) >= 0.9


def test_cells_that_are_no_chain_are_one():
    for picture in images(40, rng=21, instruments=["IFCB"]):
        if picture.truth["taxon"] == "Dinophyceae":
            pixels = picture.pixels()
            assert count_cells(contrast(pixels)[0], body_mask(main_mask(pixels))).n_cells == 1
