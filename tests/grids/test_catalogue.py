"""The catalogue of sources: whole, sourced, and speaking where it is not sure."""

import re
from pathlib import Path

import pytest

from aqqua_science.grids import catalog
from aqqua_science.grids.catalogue import find_source

KINDS = {"files", "erddap", "copernicus", "by hand"}
ASKED_FOR = {
    "temperature",
    "salinity",
    "oxygen",
    "aou",
    "nitrate",
    "phosphate",
    "silicate",
    "chlorophyll",
    "mixed_layer_depth",
    "euphotic_depth",
    "kd490",
    "npp",
    "par",
    "elevation",
    "distance_to_coast",
    "fsle",
    "iron",
}
"""What maps of plankton are made of."""


def test_every_source_says_whose_it_is_and_how_it_comes():
    sources = catalog()
    assert (sources[["title", "citation", "licence", "page"]] != "").all(axis=None)
    assert set(sources["how"]) == KINDS
    assert sources["page"].str.match("https?://").all()
    assert sources["doi"][sources["doi"] != ""].str.fullmatch(r"10\.\d{4,5}/\S+").all()
    assert sources["citation"].str.contains(r"\(\d{4}\)|E\.U\. Copernicus|NASA").all()


def test_together_the_sources_have_what_maps_need():
    assert {name for names in catalog()["variables"] for name in names.split(", ")} >= ASKED_FOR


@pytest.mark.parametrize("name", catalog().index)
def test_each_variable_can_be_asked_for_by_what_the_table_says(name):
    source, rows = find_source(name), catalog(name)
    assert (rows[["source", "units"]] != "").all(axis=None)
    if source.how in ("erddap", "copernicus"):
        assert all(variable.parts["dataset"] for variable in source.variables.values())
    if source.how == "by hand":
        assert source.instructions
    if source.how == "files":
        for variable in source.variables.values():
            address = source.pattern.format(month=1, **variable.parts, **next(iter(source.grids.values()), {}))
            assert address.endswith(".nc")
    assert source.checked == rows["checked"].all() or not source.checked


def test_the_atlas_lies_where_the_world_has_found_it():
    """Addresses as they stand in public code, for a variable of each kind."""
    source = find_source("woa23")
    known = {
        ("temperature", 1.0, 1): "temperature/netcdf/decav/1.00/woa23_decav_t01_01.nc",
        ("temperature", 0.25, 7): "temperature/netcdf/decav/0.25/woa23_decav_t07_04.nc",
        ("salinity", 1.0, 0): "salinity/netcdf/decav/1.00/woa23_decav_s00_01.nc",
        ("oxygen", 1.0, 12): "oxygen/netcdf/all/1.00/woa23_all_o12_01.nc",
        ("nitrate", 1.0, 0): "nitrate/netcdf/all/1.00/woa23_all_n00_01.nc",
        ("silicate", 1.0, 0): "silicate/netcdf/all/1.00/woa23_all_i00_01.nc",
    }
    for (name, cells, month), address in known.items():
        parts = source.variables[name].parts | source.grids[cells]
        assert source.pattern.format(month=month, **parts) == address


def test_known_checksums_are_of_the_months_of_temperature_and_salinity():
    known = find_source("woa23").sha256
    assert set(known) == {f"woa23_decav_{code}{month:02d}_01.nc" for code in "ts" for month in range(1, 13)}
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in known.values())
    assert len(set(known.values())) == 24


def test_what_was_not_seen_is_said():
    assert not catalog().loc["woa23", "checked"]
    assert catalog("woa23")["checked"].drop("aou").all()
    assert catalog().loc["etopo2022", "checked"]


@pytest.mark.parametrize(("wrong", "right"), [("wao23", "woa23"), ("OCCCI", "occci"), ("etopo", "etopo2022")])
def test_a_misspelt_source_is_told_with_the_nearest(wrong, right):
    with pytest.raises(ValueError, match=rf"no source '{wrong}'. Did you mean '{right}'\? The sources are: woa23, "):
        catalog(wrong)


def test_the_page_has_every_source_with_its_variables():
    page = (Path(__file__).parents[2] / "docs" / "environment.md").read_text(encoding="utf-8")
    told = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    sources = [cells for cells in told if len(cells) == 6]
    rows = {name: (cells[2], cells[5]) for cells in sources for name in re.findall("`(.*?)`", cells[0])}
    sources = catalog()
    assert set(rows) == set(sources.index)
    for name, (variables, how) in rows.items():
        assert how == sources.loc[name, "how"]
        assert variables == "the same" or set(re.findall(r"\w+", variables)) == {
            *sources.loc[name, "variables"].split(", ")
        }
