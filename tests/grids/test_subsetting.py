"""Parts of grids: regions over the dateline, and means that keep the total."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.grids import cell_area, regular_grid
from aqqua_science.grids.subsetting import coarsen, select_region
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


def area_mean(field):
    return field.weighted(cell_area(field)).mean(("latitude", "longitude"))


@pytest.mark.parametrize("step", [2.0, 6.0, 10.0, 30.0])
@pytest.mark.parametrize("chunks", [None, {"latitude": 7}])
def test_coarser_cells_keep_the_mean_over_the_sphere(step, chunks):
    data = made_field() if chunks is None else made_field().chunk(chunks)
    coarse = coarsen(data, step)
    assert_allclose(area_mean(coarse["sst"]), area_mean(data["sst"]), rtol=1e-12)
    xr.testing.assert_allclose(coarse["latitude"], regular_grid(step)["latitude"])
    xr.testing.assert_allclose(coarse["longitude"], regular_grid(step)["longitude"])
    assert coarse["sst"].dims == ("month", "latitude", "longitude")
    assert coarse["sst"].attrs == {"units": "degC"}
    assert float(coarse["scale"]) == 2.0


def test_cells_with_gaps_are_means_of_the_rest():
    """One block of 2 x 2, the slow way."""
    data = made_field(10.0)["sst"].where(lambda x: x["longitude"] > -170)
    area = cell_area(data)
    block = [(row, 1) for row in (4, 5)]
    truth = sum(data[1][i] * area[i] for i in block) / sum(area[i] for i in block)
    assert_allclose(coarsen(data, 20)[1, 2, 0], truth, rtol=1e-12)
    empty = coarsen(data.where(data["longitude"] > -160), 20)
    assert np.isnan(empty[:, :, 0]).all()
    assert not np.isnan(empty[:, :, 1:]).any()


def test_single_precision_stays_single():
    assert coarsen(made_field()["sst"].astype("f4"), 6.0).dtype == np.float32


def test_unequal_cells_need_a_common_step():
    grid = regular_grid(1.0, region=(-180, 180, -90, 90))
    data = xr.DataArray(np.ones((180, 180)), {"latitude": grid["latitude"], "longitude": np.arange(-179.0, 180, 2)})
    assert dict(coarsen(data, 4.0).sizes) == {"latitude": 45, "longitude": 90}
    with pytest.raises(SchemaError, match="Steps that work: 2, 4, "):
        coarsen(data, 3.0)


@pytest.mark.parametrize("step", [1.0, 3.0, 7.0, 360.0, 0.0])
def test_steps_that_do_not_fit_are_refused_with_those_that_do(step):
    with pytest.raises(SchemaError, match="Steps that work: 2, 4, 6, 10, 12, 18, 20, 30, 36, 60, 90, 180"):
        coarsen(made_field(), step)


def test_irregular_grids_are_refused():
    grid = xr.Dataset(coords={"latitude": [0.0, 1.0, 3.0], "longitude": [0.0, 1.0]})
    with pytest.raises(SchemaError, match="steps of latitude vary from 1 to 2"):
        coarsen(grid, 2.0)
    with pytest.raises(SchemaError, match="does not cross the date line"):
        coarsen(select_region(made_field(10.0), (160, -160, -90, 90)), 20.0)
