"""Fields as files: judged by the compliance checker, and the same after a round trip."""

import json

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.grids import regular_grid
from aqqua_science.habitat import integrate
from aqqua_science.habitat.publication import describe_field, write_netcdf, write_zarr


@pytest.fixture
def field():
    rng = np.random.default_rng(0)
    grid = regular_grid(10.0).assign_coords(month=np.arange(1, 13), member=np.arange(3))
    values = rng.gamma(1, size=(3, 12, 18, 36)).astype("float32")
    values[..., :4, :] = np.nan
    dims = ("member", "month", "latitude", "longitude")
    raw = xr.Dataset({"biomass": (dims, values, {"units": "mg m-3"})}, grid.coords)
    raw["low"] = raw["biomass"].min("member").assign_attrs(units="mg m-3")
    raw["inside"] = (
        (raw["biomass"].isel(member=0, month=0) > 1)
        .astype("int8")
        .assign_attrs(flag_values=np.array([0, 1], dtype="int8"), flag_meanings="outside inside")
    )
    raw["dissimilarity_index"] = raw["low"].assign_attrs(units="1")
    raw["sea_floor_depth"] = raw["biomass"].isel(member=0, month=0, drop=True) * 100
    raw["sea_floor_depth"].attrs = {"units": "m", "standard_name": "sea_floor_depth_below_mean_sea_level"}
    raw.attrs = {
        "calibration_log_correction": 0.1,
        "calibration_jackknife_variance": 0.01,
        "calibration_block_variance": 0.5,
        "calibration_level": 0.9,
    }
    return describe_field(raw, name="biomass", title="A field", summary="For a test.", credit="us", history="made")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the checker's own plugins
@pytest.mark.parametrize("standard", ["cf:1.11", "acdd:1.3"])
def test_the_compliance_checker_finds_no_error(field, tmp_path, standard):
    from compliance_checker.runner import CheckSuite, ComplianceChecker

    write_netcdf(field, tmp_path / "field.nc")
    CheckSuite.load_all_available_checkers()
    report = tmp_path / "report.json"
    ComplianceChecker.run_checker(
        str(tmp_path / "field.nc"), [standard], 0, "normal", output_filename=str(report), output_format="json"
    )
    verdict = json.loads(report.read_text())[standard]
    errors = [m for item in verdict["high_priorities"] for m in item["msgs"]]
    assert errors == (["standard_name"] if standard == "acdd:1.3" else [])  # CF has no name for a dissimilarity
    assert verdict["scored_points"] > 20


def test_a_field_reopens_to_the_same_budget(field, tmp_path):
    write_netcdf(field, tmp_path / "field.nc")
    with xr.open_dataset(tmp_path / "field.nc") as reopened:
        after = integrate(reopened, depth=(0, 200), by="basins")
    before = integrate(field, depth=(0, 200), by="basins")
    assert before["region"].tolist() == after["region"].tolist()
    for column in ("mean", "median", "low", "high"):
        assert_allclose(after[column].astype(float), before[column].astype(float), rtol=1e-12)


def test_zarr_holds_the_same_and_replaces_what_was_there(field, tmp_path):
    write_zarr(field.isel(month=slice(0, 2)), tmp_path / "field.zarr")
    write_zarr(field, tmp_path / "field.zarr")
    with xr.open_zarr(tmp_path / "field.zarr", consolidated=False) as reopened:
        xr.testing.assert_identical(reopened.load(), field)
        assert reopened["biomass"].encoding["chunks"] == (1, 1, 18, 36)
    assert [path.name for path in tmp_path.iterdir()] == ["field.zarr"]


def test_an_interrupted_write_leaves_the_old_file(field, tmp_path, monkeypatch):
    target = tmp_path / "field.nc"
    target.write_bytes(b"old")

    def fail(*args, **kwargs):
        msg = "disk full"
        raise OSError(msg)

    monkeypatch.setattr(xr.Dataset, "to_netcdf", fail)
    with pytest.raises(OSError, match="disk full"):
        write_netcdf(field, target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
