"""Maps to look at: those of the repository, and one with a field whose values are known."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from aqqua_science.grids import cell_area, regular_grid

MAPS = Path(__file__).parents[2] / "maps"


@pytest.fixture
def maps(tmp_path):
    """A folder with one map of the repository, which has months and two sets of regions, to be spoilt."""
    shutil.copytree(MAPS / "poc_flux_100m", tmp_path / "maps" / "flux")
    return tmp_path / "maps"


@pytest.fixture
def maps_with_field(maps, known_field):
    """The same with a field, beside a map without field and months."""
    shutil.copytree(MAPS / "copepoda_0_200m", maps / "copepods")
    known_field.to_netcdf(maps / "flux" / "field.nc")
    return maps


@pytest.fixture
def known_field():
    """Flux that grows from south to north, more so from month to month; the southernmost cells are extrapolated."""
    area = cell_area(regular_grid(10.0))
    months = xr.DataArray(np.arange(1, 13), dims="month", coords={"month": np.arange(1, 13)})
    flux = (months * (area.latitude + 90) * xr.ones_like(area)).transpose("month", "latitude", "longitude")
    members = xr.concat([0.9 * flux, 1.1 * flux], "member").rename("flux").assign_attrs(units="mg m-2 d-1")
    inside = (area.latitude > -60) * xr.ones_like(flux)
    return xr.Dataset(
        {"flux": members, "low": 0.5 * flux, "high": 2 * flux, "inside": inside, "dissimilarity_index": 0.1 * flux}
    )
