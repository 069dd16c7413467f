"""The shape of the Earth, against integrals and published numbers."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad

from aqqua_science.grids.geometry import (
    EARTH_RADIUS_KM,
    cell_area,
    cell_edges,
    chord_to_km,
    column_bounds,
    km_to_chord,
    regular_grid,
    row_edges,
    unit_vectors,
)
from aqqua_science.grids.subsetting import select_region

WGS84_AREA_M2 = 5.10065621724088e14
SEMI_MAJOR_M, ECCENTRICITY_2 = 6378137.0, 0.00669437999014


def zone_area(south, north, width):
    """Integral of the two radii of curvature over a patch, the slow way."""

    def ring(phi):
        root = np.sqrt(1 - ECCENTRICITY_2 * np.sin(phi) ** 2)
        return SEMI_MAJOR_M**2 * (1 - ECCENTRICITY_2) * np.cos(phi) / root**4

    return np.radians(width) * quad(ring, np.radians(south), np.radians(north), epsrel=1e-13)[0]


@pytest.mark.parametrize("step", [0.5, 1.0, 2.5, 10.0, 90.0])
def test_cells_cover_the_ellipsoid(step):
    assert_allclose(cell_area(regular_grid(step)).sum(), WGS84_AREA_M2, rtol=1e-12)


@pytest.mark.parametrize("south", [-90, -45, 0, 30, 80])
def test_a_cell_is_the_integral_of_its_zone(south):
    grid = regular_grid(5.0, region=(10, 20, south, south + 10))
    assert_allclose(cell_area(grid)[0, 0], zone_area(south, south + 5, 5), rtol=1e-10)


def test_a_region_has_its_share_of_the_globe():
    globe, part = cell_area(regular_grid(1.0)), cell_area(regular_grid(1.0, region=(-30, 40, -20, 60)))
    assert_allclose(part.sum(), globe.sel(latitude=slice(-20, 60), longitude=slice(-30, 40)).sum(), rtol=1e-12)


def test_grid_centres_lie_midway():
    grid = regular_grid(90.0)
    assert grid["latitude"].values.tolist() == [-45, 45]
    assert grid["longitude"].values.tolist() == [-135, -45, 45, 135]


@pytest.mark.parametrize("step", [7.0, 400.0])
def test_a_step_that_does_not_divide_is_refused(step):
    with pytest.raises(ValueError, match=f"{step} degrees does not"):
        regular_grid(step)


def test_edges_lie_midway_and_stop_at_the_limits():
    assert_allclose(cell_edges([0.0, 1.0, 3.0]), [-0.5, 0.5, 2.0, 4.0])
    assert_allclose(cell_edges([-89.0, 0.0, 89.9], lower=-90, upper=90)[[0, -1]], [-90, 90])


@pytest.mark.parametrize("centres", [[1.0], [1.0, 0.0], [0.0, 0.0]])
def test_edges_need_ascending_centres(centres):
    with pytest.raises(ValueError, match="must ascend"):
        cell_edges(centres)


@given(latitude=st.floats(-90, 90), longitude=st.floats(-180, 180), other=st.floats(-90, 90), east=st.floats(-180, 180))
def test_chords_give_great_circles(latitude, longitude, other, east):
    """Against the haversine formula."""
    chord = np.linalg.norm(unit_vectors(latitude, longitude) - unit_vectors(other, east))
    p1, p2, l1, l2 = np.radians([latitude, other, longitude, east])
    haversine = np.sin((p2 - p1) / 2) ** 2 + np.cos(p1) * np.cos(p2) * np.sin((l2 - l1) / 2) ** 2
    truth = 2 * EARTH_RADIUS_KM * np.arctan2(np.sqrt(haversine), np.sqrt(max(1 - haversine, 0)))
    assert_allclose(chord_to_km(chord), truth, rtol=1e-6, atol=1e-6)


@given(st.floats(0, 20_000))
def test_kilometres_and_chords_are_inverse(km):
    assert_allclose(chord_to_km(km_to_chord(km)), km, rtol=1e-6, atol=1e-9)


def test_unit_vectors_broadcast_and_have_length_one():
    vectors = unit_vectors(np.linspace(-90, 90, 7)[:, None] * np.ones(5), np.linspace(-180, 180, 5) * np.ones((7, 1)))
    assert vectors.shape == (7, 5, 3)
    assert_allclose(np.linalg.norm(vectors, axis=-1), 1)
    assert_allclose(unit_vectors(10.0, 180.0), unit_vectors(10.0, -180.0), atol=1e-15)


def test_a_region_across_the_dateline_has_the_area_of_its_cells():
    grid = regular_grid(5.0)
    whole = cell_area(grid)
    part = select_region(grid, (150, -150, -10, 10))
    expected = whole.sel(latitude=part["latitude"], longitude=part["longitude"])
    assert_allclose(cell_area(part), expected, rtol=1e-12)


def test_columns_of_uneven_width_meet_midway():
    grid = xr.Dataset(coords={"latitude": [-45.0, 45.0], "longitude": [0.0, 10.0, 22.0]})
    area = cell_area(grid).sum("latitude").values
    assert_allclose(area / area[0], [1, 1.1, 1.2], rtol=1e-12)


def test_columns_meet_over_the_date_line_and_stop_at_gaps():
    stretched = xr.Dataset(coords={"longitude": [-170.0, -100.0, 0.0, 100.0, 160.0]})
    west, east = column_bounds(stretched)
    assert_allclose(west, [-185, -135, -50, 50, 130])
    assert_allclose(east, [-135, -50, 50, 130, 175])
    west, east = column_bounds(select_region(regular_grid(10.0), (150, -150, -90, 90)))
    assert_allclose(west, [-180, -170, -160, 150, 160, 170])
    assert_allclose(east - west, 10)


@pytest.mark.parametrize("n", [32, 64, 94, 400])
def test_gaussian_and_pole_centred_grids_cover_the_ellipsoid(n):
    """The nodes of Gauss and Legendre stop short of the poles; the outermost rows reach them all the same."""
    gaussian = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(n)[0]))
    for latitude in (gaussian, np.linspace(-90, 90, n)):
        grid = xr.Dataset(coords={"latitude": latitude, "longitude": np.linspace(-180, 180, 50, endpoint=False)})
        assert_allclose(cell_area(grid).sum(), WGS84_AREA_M2, rtol=1e-12)
        assert_allclose(row_edges(grid)[[0, -1]], [-90, 90])
