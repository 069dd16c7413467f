"""Parts of grids: regions over the dateline."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_array_equal

from aqqua_science.grids import regular_grid
from aqqua_science.grids.subsetting import select_region
from aqqua_science.schema import SchemaError


def made_field(step=2.0, *, months=3, region=(-180, 180, -90, 90)):
    """Random positive values with a month axis."""
    grid = regular_grid(step, region=region)
    shape = (months, grid.sizes["latitude"], grid.sizes["longitude"])
    values = np.random.default_rng(5).gamma(1.0, size=shape)
    field = xr.DataArray(
        values, {"month": np.arange(1, months + 1), **grid.coords}, name="sst", attrs={"units": "degC"}
    )
    return field.to_dataset().assign(scale=2.0)


@pytest.mark.parametrize(
    ("region", "longitudes"),
    [
        ((-15, 15, -90, 90), [-15, -5, 5, 15]),
        ((165, -165, -90, 90), [-175, -165, 165, 175]),
        ((165, 195, -90, 90), [-175, -165, 165, 175]),
        ((-180, 180, -90, 90), np.arange(-175, 180, 10)),
        ((0, 360, -90, 90), np.arange(-175, 180, 10)),
        ((170, 180, -90, 90), [175]),
    ],
)
def test_regions_hold_the_cells_from_west_to_east(region, longitudes):
    selected = select_region(regular_grid(10.0), region)
    assert_array_equal(selected["longitude"], longitudes)


def test_regions_are_bounded_by_latitude_and_keep_their_values():
    data = made_field(10.0)
    selected = select_region(data, (-20, 20, 0, 30))
    xr.testing.assert_identical(selected, data.sel(latitude=slice(0, 30), longitude=slice(-20, 20)))


@pytest.mark.parametrize("region", [(0, 10, 20, 10), (0, 10, 91, 95), (1, 2, 0, 10)])
def test_empty_regions_are_refused(region):
    with pytest.raises(SchemaError, match=r"holds no cell of the grid, which covers longitudes -175..175"):
        select_region(regular_grid(10.0), region)
