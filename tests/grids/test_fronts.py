"""Gradients on the sphere, against calculus."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.grids import regular_grid, select_region
from aqqua_science.grids.fronts import gradient
from aqqua_science.grids.geometry import EARTH_RADIUS_KM


def plane_wave(grid):
    """The coordinate along an axis through the date line, of a sphere of radius 1: its gradient is its own cosine."""
    phi, lam = np.radians(grid["latitude"]), np.radians(grid["longitude"] - 170)
    return (np.cos(phi) * np.cos(lam)).rename("x").assign_attrs(units="degC", standard_name="sea_surface_temperature")


def calculus(field):
    return np.sqrt(1 - field**2) * 100 / EARTH_RADIUS_KM


@pytest.mark.parametrize("step", [1.0, 0.5])
def test_the_gradient_of_a_plane_is_known_everywhere(step):
    """Central differences of two steps: the error is that of a chord, and of one-sided slopes at the polar rows."""
    field = plane_wave(regular_grid(step))
    found, truth = gradient(field), calculus(field)
    inner = {"latitude": slice(-90 + step, 90 - step)}
    assert_allclose(found.sel(inner), truth.sel(inner), atol=1.2e-4 * step)
    assert_allclose(found, truth, atol=2e-4 * step)


def test_a_region_across_the_date_line_has_no_edge_there():
    field = plane_wave(regular_grid(1.0))
    part = gradient(select_region(field, (160, -160, -30, 30)))
    whole = gradient(field).sel(latitude=part["latitude"], longitude=part["longitude"])
    seam = [-179.5, 179.5]
    assert_allclose(part.sel(longitude=seam)[1:-1], whole.sel(longitude=seam)[1:-1], rtol=1e-12)
    assert_allclose(part, whole, rtol=0.15, atol=1e-4)


def test_one_neighbour_suffices_at_a_coast_and_none_gives_none():
    grid = regular_grid(1.0)
    field = (grid["latitude"] + 0 * grid["longitude"]).rename("warmth").assign_attrs(units="degC")
    degree = np.pi * EARTH_RADIUS_KM / 180 / 100
    land = (field["longitude"] > 0) & (field["longitude"] < 3)
    found = gradient(field.where(~land))
    assert_allclose(found.where(~land), xr.full_like(field, 1 / degree).where(~land), rtol=1e-9)
    assert found.where(land).isnull().all()
    strait = gradient(field.where((field["latitude"] == 0.5) | (field["longitude"] < 0)))
    assert strait.sel(longitude=slice(1, 179), latitude=0.5).isnull().all()  # no neighbour north or south


def test_units_types_and_dask():
    field = plane_wave(regular_grid(5.0)).astype("f4")
    found = gradient(field)
    assert found.dtype == np.float32
    assert found.name == "x_gradient"
    assert found.attrs == {"units": "degC (100 km)-1", "long_name": "horizontal gradient of x"}
    lazy = gradient(field.chunk(latitude=7, longitude=11))
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), found)


def test_a_row_at_a_pole_has_the_gradient_along_the_meridian():
    axes = {"latitude": np.arange(-90.0, 91, 1), "longitude": np.arange(-180.0, 180, 1)}
    field = plane_wave(xr.Dataset(coords=axes))
    found = gradient(field)
    assert np.isfinite(found).all()
    slope = np.abs(field.isel(latitude=-1) - field.isel(latitude=-2)) / np.radians(1) * 100 / EARTH_RADIUS_KM
    assert_allclose(found.isel(latitude=-1), slope, atol=1e-9)
