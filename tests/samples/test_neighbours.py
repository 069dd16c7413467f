"""Cells of a position, against brute force on the sphere."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.grids.geometry import EARTH_RADIUS_KM, cell_edges, regular_grid, unit_vectors
from aqqua_science.samples.neighbours import (
    _count_up_to,
    cell_size_km,
    distance_km,
    locate_cells,
    nearest_sea,
    surrounding_cells,
)

latitudes = st.floats(-90, 90, allow_subnormal=False)
longitudes = st.floats(-180, 180, allow_subnormal=False)


def axes(latitude, longitude):
    return xr.Dataset(coords={"latitude": np.asarray(latitude, float), "longitude": np.asarray(longitude, float)})


def positions(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    return np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(-180, 180, n)


@pytest.mark.parametrize("step", [1.0, 4.0, 10.0, 90.0])
def test_every_position_lies_between_the_edges_of_its_cell(step):
    grid = regular_grid(step)
    latitude, longitude = positions()
    row, column = locate_cells(grid, latitude, longitude)
    for index, name, point in ((row, "latitude", latitude), (column, "longitude", longitude)):
        edges = cell_edges(grid[name].values)
        assert ((edges[index] <= point) & (point <= edges[index + 1])).all()


def test_at_low_latitude_the_cell_is_the_nearest_centre():
    grid = regular_grid(2.0)
    latitude, longitude = positions()
    near = np.abs(latitude) < 1.0
    row, column = locate_cells(grid, latitude[near], longitude[near])
    centres = unit_vectors(*np.meshgrid(grid["latitude"], grid["longitude"], indexing="ij")).reshape(-1, 3)
    nearest = (unit_vectors(latitude[near], longitude[near]) @ centres.T).argmax(axis=1)
    assert_array_equal(row * grid.sizes["longitude"] + column, nearest)


def test_the_dateline_has_one_side():
    grid = regular_grid(1.0)
    row, column = locate_cells(grid, np.zeros(4), np.array([180.0, -180.0, 179.999, -179.999]))
    assert column.tolist() == [0, 0, 359, 0]
    assert row.tolist() == [90] * 4


def test_centres_on_the_dateline_wrap():
    grid = axes(np.arange(-89.5, 90), np.arange(-180, 180))
    assert locate_cells(grid, np.zeros(3), np.array([179.6, 179.4, -179.6]))[1].tolist() == [0, 359, 0]


@pytest.mark.parametrize("latitude", [np.arange(-89.5, 90), np.arange(-90, 91), np.linspace(-89.14, 89.14, 128)])
def test_poles_belong_to_the_outermost_rows(latitude):
    row, column = locate_cells(axes(latitude, np.arange(-179.5, 180)), np.array([-90.0, 90.0]), np.array([0.0, 10.2]))
    assert row.tolist() == [0, len(latitude) - 1]
    assert column.tolist() == [180, 190]


def test_outside_a_regional_grid():
    grid = axes(np.arange(30.5, 45), np.arange(-5.5, 36))
    latitude = np.array([29.99, 30.01, 40.0, 40.0, 45.01, 90.0, 40.0])
    longitude = np.array([0.0, 0.0, -6.01, -5.99, 0.0, 0.0, 180.0])
    row, column = locate_cells(grid, latitude, longitude)
    assert (row >= 0).tolist() == [False, True, False, True, False, False, False]
    assert ((row >= 0) == (column >= 0)).all()


def test_the_hole_in_a_pacific_grid_is_no_cell():
    grid = axes(np.arange(-29.5, 30), np.r_[np.arange(-179.5, -80), np.arange(120.5, 180)])
    longitude = np.array([-80.1, -79.9, 0.0, 119.9, 120.1, 180.0])
    assert (locate_cells(grid, np.zeros(6), longitude)[0] >= 0).tolist() == [True, False, False, False, True, True]


def test_polar_cap_beyond_the_last_row_is_outside():
    grid = axes(np.arange(-78, 79, 4), np.arange(-178, 180, 4))
    assert locate_cells(grid, np.array([79.9, 80.1]), np.zeros(2))[0].tolist() == [39, -1]


def test_float32_coordinates_leave_no_slits():
    grid = axes(np.arange(-89.95, 90, 0.1, dtype=np.float32), np.arange(-179.95, 180, 0.1, dtype=np.float32))
    latitude, longitude = positions()
    assert (locate_cells(grid, latitude, longitude)[0] >= 0).all()
    assert (locate_cells(grid, np.array([-90.0, 90.0]), np.array([-180.0, 180.0]))[0] >= 0).all()


@given(st.lists(st.tuples(latitudes, longitudes), min_size=1, max_size=20), st.integers(0, 2**32), st.floats(0, 1))
def test_nearest_sea_is_the_nearest_of_all_sea_cells(points, seed, share):
    grid = regular_grid(10.0)
    sea = xr.DataArray(np.random.default_rng(seed).random((18, 36)) < share, coords=grid.coords)
    latitude, longitude = np.array(points).T
    at = locate_cells(grid, latitude, longitude)
    ashore = ~sea.values[at]
    latitude, longitude = latitude[ashore], longitude[ashore]
    row, column = nearest_sea(sea, latitude, longitude, max_km=np.full(len(latitude), 3000.0))
    rows, columns = np.nonzero(sea.values)
    if not rows.size:
        assert (row == -1).all()
        return
    centres = unit_vectors(grid["latitude"].values[rows], grid["longitude"].values[columns])
    angle = 2 * np.arcsin(np.linalg.norm(unit_vectors(latitude, longitude)[:, None] - centres, axis=2) / 2)
    best = EARTH_RADIUS_KM * angle.min(axis=1)
    assert_array_equal(row >= 0, best <= 3000)
    found = row >= 0
    taken = distance_km(
        (latitude[found], longitude[found]),
        (grid["latitude"].values[row[found]], grid["longitude"].values[column[found]]),
    )
    assert_allclose(taken, best[found], atol=1e-6)
    assert sea.values[row[found], column[found]].all()


def test_degrees_would_choose_wrongly_at_high_latitude():
    grid = regular_grid(1.0)
    sea = xr.zeros_like(grid["latitude"] * grid["longitude"], dtype=bool)
    sea.loc[{"latitude": 80.5, "longitude": 3.5}] = True  # 3 degrees east is 55 km
    sea.loc[{"latitude": 79.5, "longitude": 0.5}] = True  # 1 degree south is 111 km
    row, column = nearest_sea(sea, np.array([80.5]), np.array([0.5]), max_km=np.array([200.0]))
    assert (row[0], column[0]) == (170, 183)


def test_sea_over_the_pole_and_over_the_dateline_is_near():
    grid = regular_grid(1.0)
    sea = xr.zeros_like(grid["latitude"] * grid["longitude"], dtype=bool)
    sea.loc[{"latitude": 89.5, "longitude": -169.5}] = True
    sea.loc[{"latitude": 0.5, "longitude": -179.5}] = True
    row, column = nearest_sea(sea, np.array([89.5, 0.5]), np.array([10.5, 179.5]), max_km=np.full(2, 120.0))
    assert row.tolist() == [179, 90]
    assert column.tolist() == [10, 0]


def test_cell_size_is_the_longer_side():
    assert_allclose(cell_size_km(regular_grid(1.0), np.array([90, 179]), np.array([0, 0])), 111.195, rtol=1e-4)
    flat = axes(np.arange(-1, 2), np.arange(-90, 91, 90.0))
    assert_allclose(cell_size_km(flat, np.array([1]), np.array([1])), 90 * 111.195, rtol=1e-4)


@given(latitudes, longitudes, st.sampled_from([1.0, 2.5, 10.0, 60.0]))
def test_bilinear_weights_sum_to_one(latitude, longitude, step):
    row, column, weight = surrounding_cells(regular_grid(step), np.array([latitude]), np.array([longitude]))
    assert_allclose(weight.sum(), 1, rtol=1e-12)
    assert (weight >= -1e-15).all()
    home = locate_cells(regular_grid(step), np.array([latitude]), np.array([longitude]))
    assert ((row == home[0]) & (column == home[1])).any()


def test_bilinear_reproduces_a_field_linear_in_degrees():
    grid = regular_grid(5.0)
    latitude, longitude = positions()
    inside = (np.abs(latitude) < 87.5) & (np.abs(longitude) < 177.5)
    row, column, weight = surrounding_cells(grid, latitude[inside], longitude[inside])
    field = 3 + 0.5 * grid["latitude"].values[row] - 0.25 * grid["longitude"].values[column]
    assert_allclose((weight * field).sum(axis=1), 3 + 0.5 * latitude[inside] - 0.25 * longitude[inside], rtol=1e-12)


def test_bilinear_is_right_over_poles_and_dateline():
    """A coordinate of space is smooth on the sphere, so the error is of second order everywhere, poles included."""
    grid = regular_grid(2.0)
    latitude, longitude = positions(5000)
    latitude[:1000] = np.sign(latitude[:1000]) * np.random.default_rng(1).uniform(88, 90, 1000)
    longitude[:500] = np.where(longitude[:500] > 0, 179.7, -179.9)
    row, column, weight = surrounding_cells(grid, latitude, longitude)
    field = unit_vectors(grid["latitude"].values[row], grid["longitude"].values[column])
    error = np.abs((weight[..., None] * field).sum(axis=1) - unit_vectors(latitude, longitude))
    assert error.max() < np.radians(2.0) ** 2 / 4  # twice the bound h2/8 of linear interpolation


def test_bilinear_at_a_centre_is_that_cell():
    grid = regular_grid(30.0)
    rows, columns = np.meshgrid(np.arange(6), np.arange(12), indexing="ij")
    at = grid["latitude"].values[rows.ravel()], grid["longitude"].values[columns.ravel()]
    row, column, weight = surrounding_cells(grid, *at)
    own = (row == rows.reshape(-1, 1)) & (column == columns.reshape(-1, 1))
    assert_array_equal(weight, own)


def test_bilinear_stops_at_the_end_of_a_grid():
    grid = axes([40.5, 41.5], [0.5, 1.5, 2.5])
    _, column, weight = surrounding_cells(grid, np.array([41.9]), np.array([2.75]))
    assert column[weight > 0].tolist() == [2]
    assert weight.sum() == 1


@given(st.integers(1, 400), st.floats(0.01, 30), st.floats(-180, 180), st.integers(0, 2**32))
def test_counting_edges_by_arithmetic_is_searching_them(n, step, start, seed):
    edges = start + step * np.arange(n)
    points = np.concatenate([edges, np.nextafter(edges, -999), np.random.default_rng(seed).uniform(-400, 400, 50)])
    assert_array_equal(_count_up_to(edges, points), np.searchsorted(edges, points, side="right"))
