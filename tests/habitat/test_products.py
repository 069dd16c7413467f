"""What a map leaves for a GIS, a spreadsheet and a catalogue, read back by what such people use."""

import json

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.grids import cell_area, open_environment, regular_grid
from aqqua_science.grids.calendars import DAYS_OF_MONTH
from aqqua_science.habitat.budget import region_totals
from aqqua_science.habitat.products import write_budget, write_geotiff, write_sheet
from aqqua_science.habitat.publication import describe_field
from aqqua_science.habitat.units import budget_units


def field_of(*, months=False, step=10.0):
    """Five members with land in one corner; half of the cells inside."""
    grid, rng = regular_grid(step), np.random.default_rng(0)
    axes = {"member": np.arange(5)} | ({"month": np.arange(1, 13)} if months else {})
    dims = (*axes, "latitude", "longitude")
    shape = [len(v) for v in axes.values()] + [grid.sizes["latitude"], grid.sizes["longitude"]]
    biomass = xr.DataArray(rng.gamma(2, 1, shape), {**axes, **grid.coords}, dims).astype(np.float32)
    biomass = biomass.where((grid["latitude"] > -60) | (grid["longitude"] > 0)).assign_attrs(units="mg m-3")
    layer = biomass.isel(member=0, drop=True)
    inside = (layer["latitude"] + 0 * layer > 0).astype(np.int8)
    return xr.Dataset({"biomass": biomass, "low": 0.5 * layer, "high": 2 * layer, "inside": inside})


def test_a_gis_finds_each_layer_in_its_place(tmp_path):
    field = field_of()
    assert write_geotiff(field, tmp_path / "map.tif", name="biomass") == ["mean", "low", "high", "inside"]
    with rasterio.open(tmp_path / "map.tif") as raster:
        assert raster.crs.to_epsg() == 4326
        assert raster.bounds == (-180, -90, 180, 90)
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.tags()["units"] == "mg m-3"
        places = [(15.0, 25.0), (-175.0, -85.0), (125.0, -65.0)]
        for (longitude, latitude), (mean, low, *_) in zip(places, raster.sample(places), strict=True):
            cell = field.sel(longitude=longitude, latitude=latitude, method="nearest")
            assert_allclose(mean, float(cell["biomass"].mean("member")), rtol=1e-6)
            assert_allclose(low, float(cell["low"]), rtol=1e-6)


def test_months_are_bands_and_their_mean_counts_days(tmp_path):
    field = field_of(months=True)
    bands = write_geotiff(field, tmp_path / "map.tif", name="biomass")
    assert bands == ["mean", "inside", *(f"month_{m:02}" for m in range(1, 13))]
    again = open_environment(tmp_path / "map.tif")
    months = field["biomass"].mean("member")
    assert_allclose(again["month_07"], months.sel(month=7), rtol=1e-6)
    weights = DAYS_OF_MONTH / DAYS_OF_MONTH.sum()
    assert_allclose(again["mean"], (months.values * weights[:, None, None]).sum(0), rtol=1e-6)


def test_what_a_raster_cannot_hold_is_not_written(tmp_path):
    field = field_of()
    uneven = field.isel(latitude=[0, 1, 2, 5, 9])
    layered = field.expand_dims(depth=[5.0, 50.0])
    dated = field.expand_dims(time=pd.to_datetime(["2020-01-01", "2020-02-01"]))
    for odd in (uneven, layered, dated):
        assert write_geotiff(odd, tmp_path / "map.tif", name="biomass") == []
    assert not (tmp_path / "map.tif").exists()


@pytest.fixture
def result():
    row = {
        "region": "global",
        "month": "annual",
        "median": 0.08,
        "low": 0.06,
        "high": 0.11,
        "units": "PgC",
        "level": 0.9,
    }
    recipe = {"licence": "CC BY 4.0", "budget": {"kind": None}}
    return {
        "title": "Copepods",
        "budget": [row, row | {"region": "Arctic Ocean"}],
        "provenance": {"recipe": recipe, "recipe_sha256": "abc", "mapped": {"months": [6], "region": None}},
    }


def test_a_spreadsheet_reads_all_rows(result, tmp_path):
    write_budget(result, tmp_path / "budget.csv")
    table = pd.read_csv(tmp_path / "budget.csv")
    assert table.to_dict("records") == result["budget"]


def test_a_catalogue_learns_what_where_and_how_sure(result, tmp_path):
    field = describe_field(field_of(), name="biomass", title="Copepods", summary="Where they are.", credit="A. Person")
    (tmp_path / "field.nc").touch()
    write_sheet(result, field, tmp_path / "product.json")
    sheet = json.loads((tmp_path / "product.json").read_text())
    assert (sheet["@context"], sheet["@type"], sheet["name"]) == ("https://schema.org/", "Dataset", "Copepods")
    assert sheet["spatialCoverage"]["geo"]["box"] == "-90 -180 90 180"
    assert (sheet["license"], sheet["creditText"]) == ("CC BY 4.0", "A. Person")
    assert sheet["identifier"] == "abc (months [6])"
    told = {v["name"]: v for v in sheet["variableMeasured"]}
    assert told["biomass"]["unitText"] == "mg m-3"
    assert (told["total of the mapped area"]["minValue"], told["total of the mapped area"]["maxValue"]) == (0.06, 0.11)
    assert [d["name"] for d in sheet["distribution"]] == ["field.nc"]


def test_a_month_without_a_value_adds_nothing_to_the_mean_as_in_a_budget(tmp_path):
    field = field_of(months=True)
    dark = field["biomass"].where((field["month"] < 11) | (field["latitude"] < 60))
    write_geotiff(field.assign(biomass=dark), tmp_path / "map.tif", name="biomass")
    again = open_environment(tmp_path / "map.tif")
    total = float((again["mean"] * cell_area(again)).sum())
    expected = region_totals(dark.to_dataset(), depth=(0, 1))["global", "annual"].mean()
    assert_allclose(total * budget_units("mg m-3").factor, expected, rtol=1e-6)
