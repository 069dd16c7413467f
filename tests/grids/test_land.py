"""Land: against published area, Natural Earth's own GeoJSON, and places everyone knows."""

import importlib.util
from pathlib import Path

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
import xarray as xr
from numpy.testing import assert_array_equal

from aqqua_science.grids.geometry import cell_area, regular_grid
from aqqua_science.grids.land import land_mask, natural_earth_dir, on_land
from aqqua_science.schema import SchemaError

ROOT = Path(__file__).resolve().parents[2]
PHYSICAL = Path("shapefiles", "natural_earth", "physical")
SHARED = Path("vector", "martynafford+natural-earth-geojson", "110m", "physical")


def read_layer(path):
    return shapely.from_wkb(pyogrio.raw.read(path, columns=[])[2])


def area_million_km2(geometries):
    """Area on WGS84 through the equal-area cylinder EPSG:6933."""
    cylinder = pyproj.Transformer.from_crs(4326, 6933, always_xy=True)
    fine = shapely.segmentize(geometries, 1.0)
    flat = shapely.transform(fine, lambda xy: np.column_stack(cylinder.transform(*xy.T)))
    return shapely.area(flat).sum() / 1e12


def place_grid(latitude, longitude):
    return xr.Dataset(coords={"latitude": [latitude], "longitude": [longitude]})


@pytest.fixture(scope="module")
def make_land():
    path = ROOT / "scripts" / "make_land.py"
    if not path.exists():
        pytest.skip("scripts/ is part of the checkout, not of the installed package")
    spec = importlib.util.spec_from_file_location("make_land", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_polygons_are_those_of_natural_earth(shared_data):
    ours = read_layer(natural_earth_dir() / PHYSICAL / "ne_110m_land.shp")
    theirs = read_layer(shared_data / SHARED / "ne_110m_land.json")
    assert len(ours) == len(theirs) == 127
    assert area_million_km2(ours) == pytest.approx(area_million_km2(theirs), rel=1e-5)
    assert shapely.symmetric_difference(shapely.union_all(ours), shapely.union_all(theirs)).area < 5


def test_area_of_land_is_the_published_one():
    ours = read_layer(natural_earth_dir() / PHYSICAL / "ne_110m_land.shp")
    assert area_million_km2(ours) == pytest.approx(147.36, abs=0.005)


def test_land_and_ocean_fill_the_world():
    land, ocean = (read_layer(natural_earth_dir() / PHYSICAL / f"ne_110m_{name}.shp") for name in ("land", "ocean"))
    assert shapely.area(land).sum() + shapely.area(ocean).sum() == pytest.approx(360 * 180, rel=1e-9)
    assert shapely.is_valid(np.concatenate([land, ocean])).all()


def test_coastline_has_no_edge_along_the_cut_or_the_pole():
    lines = read_layer(natural_earth_dir() / PHYSICAL / "ne_110m_coastline.shp")
    for line in shapely.get_parts(lines):
        x, y = shapely.get_coordinates(line).T
        on_cut = np.abs(x) == 180
        assert not (on_cut[1:] & on_cut[:-1]).any()
        assert np.abs(np.diff(x)).max() < 20
        assert y.min() > -89


@pytest.mark.parametrize("step", [1.0, 0.25])
def test_mask_agrees_with_natural_earth(shared_data, step):
    theirs = shapely.union_all(read_layer(shared_data / SHARED / "ne_110m_land.json"))
    shapely.prepare(theirs)
    grid = regular_grid(step)
    expected = shapely.contains_xy(theirs, *np.meshgrid(grid["longitude"], grid["latitude"]))
    assert (land_mask(grid).values == expected).mean() > 0.999


def test_ocean_covers_its_known_share():
    grid = regular_grid(1.0)
    area = cell_area(grid)
    share = float(area.where(~land_mask(grid)).sum() / area.sum())
    assert share == pytest.approx(0.711, abs=0.002)


@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        (48.9, 2.4, True),  # Paris
        (39.9, 116.4, True),  # Beijing
        (-15.8, -47.9, True),  # Brasilia
        (-25.0, 134.0, True),  # Alice Springs
        (-89.0, 0.0, True),  # Antarctica
        (-90.0, 45.0, True),  # the South Pole itself
        (67.0, -175.0, True),  # Chukotka, east of 180 degrees
        (67.0, 179.0, True),  # Chukotka, west of it
        (0.0, 0.0, False),  # Gulf of Guinea
        (90.0, 0.0, False),  # the North Pole
        (30.0, -40.0, False),  # Atlantic
        (-30.0, 180.0, False),  # Pacific
        (36.0, 18.0, False),  # Mediterranean
        (42.0, 50.5, False),  # Caspian Sea, cut out by Natural Earth
    ],
)
def test_known_places(latitude, longitude, expected):
    assert land_mask(place_grid(latitude, longitude)).item() is expected


@pytest.mark.parametrize("latitude", [-85.0, -16.6, 66.0, 67.5, 71.2, 80.0])
def test_the_cut_at_180_degrees_shows_no_sliver(latitude):
    west, east = (land_mask(place_grid(latitude, side)).item() for side in (-180.0, 180.0))
    near = [land_mask(place_grid(latitude, side)).item() for side in (-179.99, 179.99)]
    assert west == east
    assert west == any(near)


def test_other_turns_of_longitude_give_the_same_cells():
    grid = regular_grid(5.0)
    turned = grid.assign_coords(longitude=grid["longitude"] + 360)
    assert_array_equal(land_mask(turned).values, land_mask(grid).values)


def test_coordinates_and_order_are_kept():
    grid = regular_grid(15.0).isel(latitude=slice(None, None, -1))
    mask = land_mask(grid)
    assert mask.dims == ("latitude", "longitude")
    assert mask.dtype == bool
    assert_array_equal(mask["latitude"], grid["latitude"])
    assert_array_equal(mask.values[::-1], land_mask(regular_grid(15.0)).values)


def test_wrong_grids_are_refused():
    with pytest.raises(SchemaError, match="there is no latitude"):
        land_mask(xr.Dataset(coords={"lat": [1.0], "longitude": [1.0]}))
    with pytest.raises(SchemaError, match="has dimensions"):
        land_mask(xr.Dataset(coords={"latitude": (("y", "x"), [[1.0]]), "longitude": [1.0]}))
    with pytest.raises(SchemaError, match=r"found 120.*swapped"):
        land_mask(place_grid(120.0, 30.0))


def test_script_unwraps_and_closes_at_the_pole(make_land):
    cap = np.array([(x, -80.0) for x in (-180, -90, 0, 90, 179)] + [(-180.0, -80.0)])
    (area,) = make_land.cut_ring(cap)
    assert area.area == pytest.approx(360 * 10, rel=1e-3)
    assert area.bounds == (-180.0, -90.0, 180.0, -80.0)


def test_script_cuts_at_180_degrees_and_keeps_the_hole(make_land):
    ring = np.array([(170.0, 0), (-170.0, 0), (-170.0, 10), (170.0, 10), (170.0, 0)])
    hole = np.array([(-178.0, 2), (-174.0, 2), (-174.0, 6), (-178.0, 6), (-178.0, 2)])
    parts = make_land.cut_polygon([ring, hole])
    assert sorted(part.area for part in parts) == [84.0, 100.0]
    assert all(part.bounds[0] >= -180 and part.bounds[2] <= 180 for part in parts)


def test_script_reads_delta_coded_arcs_both_ways(make_land):
    topology = {
        "transform": {"scale": [0.5, 2.0], "translate": [10.0, -4.0]},
        "arcs": [[[0, 0], [2, 0], [0, 1]], [[0, 0], [0, 1], [2, 0]]],
        "objects": {"land": {"geometries": [{"arcs": [[[0, ~1]]]}]}},
    }
    ((ring,),) = make_land.decode_rings(topology)
    assert ring.tolist() == [[10, -4], [11, -4], [11, -2], [10, -2], [10, -4]]


@pytest.mark.parametrize(
    ("place", "longitude", "latitude", "inland"),
    [
        ("Paris", 2.35, 48.86, True),
        ("Berlin", 13.4, 52.5, True),
        ("Villefranche", 7.32, 43.69, False),
        ("Roscoff", -3.98, 48.73, False),
        ("Kiel fjord", 10.15, 54.35, False),
        ("San Francisco Bay", -122.35, 37.75, False),
        ("Sargasso Sea", 295.0, 30.0, False),
        ("Siberia across the date line", -170 + 360, 66.6, False),
        ("nowhere", np.nan, 10.0, False),
    ],
)
def test_only_what_is_well_inland_is_on_land(place, longitude, latitude, inland):
    assert on_land(longitude, latitude) == inland, place
