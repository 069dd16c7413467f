"""Regions: named places lie in the right ocean, and every cell in one region."""

import time

import geopandas
import numpy as np
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.grids import cell_area, label_regions, regular_grid
from aqqua_science.grids.basins import BASINS
from aqqua_science.schema import SchemaError

ARCTIC, MED, SOUTHERN = "Arctic Ocean", "Mediterranean and Black Sea", "Southern Ocean"
NORTH_ATLANTIC, SOUTH_ATLANTIC = "North Atlantic Ocean", "South Atlantic Ocean"
NORTH_PACIFIC, SOUTH_PACIFIC, INDIAN = "North Pacific Ocean", "South Pacific Ocean", "Indian Ocean"

PLACES = {
    "Gulf of Mexico": (25, -90, NORTH_ATLANTIC),
    "Bay of Campeche": (19.5, -94.5, NORTH_ATLANTIC),
    "Gulf of Honduras": (16.2, -88, NORTH_ATLANTIC),
    "Mosquito Coast": (12.5, -83, NORTH_ATLANTIC),
    "Colon, Caribbean side of Panama": (9.6, -79.9, NORTH_ATLANTIC),
    "Gulf of Uraba": (8.5, -76.9, NORTH_ATLANTIC),
    "Caribbean Sea": (15, -75, NORTH_ATLANTIC),
    "Sargasso Sea": (30, -60, NORTH_ATLANTIC),
    "Bermuda": (32, -64.8, NORTH_ATLANTIC),
    "Labrador Sea": (57, -55, NORTH_ATLANTIC),
    "North Sea": (56, 3, NORTH_ATLANTIC),
    "Baltic, Gotland": (57.5, 19.5, NORTH_ATLANTIC),
    "Bothnian Bay": (65, 23.5, NORTH_ATLANTIC),
    "Gulf of Finland": (60, 27, NORTH_ATLANTIC),
    "Gulf of Cadiz": (36.5, -7, NORTH_ATLANTIC),
    "Bay of Biscay": (45, -4, NORTH_ATLANTIC),
    "Gulf of Guinea": (3, 3, NORTH_ATLANTIC),
    "Benguela": (-25, 12, SOUTH_ATLANTIC),
    "Rio de la Plata": (-36, -55, SOUTH_ATLANTIC),
    "Falkland Islands": (-52, -58, SOUTH_ATLANTIC),
    "South of Cape Town": (-40, 18, SOUTH_ATLANTIC),
    "Gulf of Panama": (8, -79.3, NORTH_PACIFIC),
    "off Costa Rica": (8, -85, NORTH_PACIFIC),
    "Gulf of Tehuantepec": (15, -95, NORTH_PACIFIC),
    "Gulf of California": (27, -111, NORTH_PACIFIC),
    "Station ALOHA": (22.75, -158, NORTH_PACIFIC),
    "Bering Sea": (58, -178, NORTH_PACIFIC),
    "Bering Sea, west": (58, 178, NORTH_PACIFIC),
    "Gulf of Alaska": (58, -145, NORTH_PACIFIC),
    "Sea of Okhotsk": (55, 150, NORTH_PACIFIC),
    "Sea of Japan": (40, 135, NORTH_PACIFIC),
    "South China Sea": (12, 113, NORTH_PACIFIC),
    "Gulf of Thailand": (9.5, 101, NORTH_PACIFIC),
    "Galapagos": (-1, -91, SOUTH_PACIFIC),
    "Peru upwelling": (-12, -78, SOUTH_PACIFIC),
    "Chilean fjords": (-48, -75.5, SOUTH_PACIFIC),
    "Tasman Sea": (-38, 160, SOUTH_PACIFIC),
    "Bass Strait": (-40, 146, SOUTH_PACIFIC),
    "Coral Sea": (-17, 152, SOUTH_PACIFIC),
    "Gulf of Carpentaria": (-14, 139, SOUTH_PACIFIC),
    "Banda Sea": (-5.5, 128, SOUTH_PACIFIC),
    "Java Sea": (-5, 110, SOUTH_PACIFIC),
    "Fiji, at the dateline": (-18, 179.9, SOUTH_PACIFIC),
    "Red Sea": (20, 38.5, INDIAN),
    "Gulf of Suez": (29, 32.8, INDIAN),
    "Gulf of Aqaba": (28.9, 34.7, INDIAN),
    "Persian Gulf": (27, 51, INDIAN),
    "Bay of Bengal": (15, 88, INDIAN),
    "Andaman Sea": (8, 97, INDIAN),
    "Malacca Strait": (4, 99.7, INDIAN),
    "Timor Sea": (-11, 126, INDIAN),
    "south of Java": (-9, 110, INDIAN),
    "Great Australian Bight": (-34, 130, INDIAN),
    "Agulhas Current": (-33, 29, INDIAN),
    "Mozambique Channel": (-20, 40, INDIAN),
    "west of Tasmania": (-43, 143, INDIAN),
    "Alboran Sea": (36, -4, MED),
    "Gulf of Lion": (43, 4.5, MED),
    "Adriatic, Venice": (45.3, 12.7, MED),
    "Gulf of Sidra": (31, 18.5, MED),
    "off Port Said": (31.5, 32.4, MED),
    "Levantine Sea": (34, 34, MED),
    "Black Sea": (43, 35, MED),
    "Sea of Azov": (46, 37, MED),
    "Gulf of Iskenderun": (36.6, 35.9, MED),
    "Caspian Sea": (42, 51, "Caspian and Aral Seas"),
    "Hudson Bay": (60, -86, ARCTIC),
    "James Bay": (53, -80.5, ARCTIC),
    "Ungava Bay": (59.5, -67.5, ARCTIC),
    "White Sea": (65.5, 37, ARCTIC),
    "Fram Strait": (79, 0, ARCTIC),
    "Chukchi Sea": (69, -172, ARCTIC),
    "North Pole": (89.9, 0, ARCTIC),
    "Drake Passage, south": (-61, -64, SOUTHERN),
    "Drake Passage, west": (-57, -72, SOUTH_PACIFIC),
    "Scotia Sea": (-57, -45, SOUTH_ATLANTIC),
    "Weddell Sea": (-70, -40, SOUTHERN),
    "Ross Sea": (-75, 179.9, SOUTHERN),
}


@pytest.fixture(scope="module")
def basins():
    return label_regions(regular_grid(0.25), "basins")


def region_at(labels, latitude, longitude):
    cell = labels.sel(latitude=latitude, longitude=longitude, method="nearest")
    return labels.attrs["regions"][int(cell)]


@pytest.mark.parametrize("place", PLACES)
def test_a_place_lies_in_its_basin(basins, place):
    latitude, longitude, basin = PLACES[place]
    assert region_at(basins, latitude, longitude) == basin


def test_basins_cover_the_sphere_and_do_not_overlap():
    shapes = [shapely.union_all([shapely.Polygon(ring) for ring in rings]) for rings in BASINS.values()]
    assert all(shape.is_valid for shape in shapes)
    assert_allclose(sum(shape.area for shape in shapes), 360 * 180, rtol=1e-12)
    assert_allclose(shapely.union_all(shapes).area, 360 * 180, rtol=1e-12)


@pytest.mark.parametrize("by", ["global", "basins", "latitude bands"])
def test_parts_add_to_the_whole(by):
    grid = regular_grid(2.5)
    labels, area = label_regions(grid, by), cell_area(grid)
    parts = [area.where(labels == value).sum() for value in labels.attrs["flag_values"]]
    assert_allclose(sum(map(float, parts)), area.sum(), rtol=1e-12)
    assert labels.dtype.kind == "i"
    assert labels.dims == ("latitude", "longitude")
    assert len(labels.attrs["flag_meanings"].split()) == len(labels.attrs["regions"]) == len(parts)


def test_cells_on_the_outlines_have_a_basin():
    """Poles, date line, equator and the corners of the outlines are cell centres here."""
    grid = xr.Dataset(coords={"latitude": np.arange(-90.0, 91), "longitude": np.arange(-180.0, 181)})
    labels = label_regions(grid, "basins")
    assert labels.min() >= 0
    assert (labels.sel(latitude=-90) == labels.attrs["regions"].index(SOUTHERN)).all()
    assert (labels.sel(latitude=90) == labels.attrs["regions"].index(ARCTIC)).all()


def test_basin_areas_are_near_the_published_ones(basins, shared_data):
    """Areas of the sea as Eakins and Sharman (2010, NOAA NGDC) give them, in million km2."""
    land = geopandas.read_file(
        shared_data / "vector/martynafford+natural-earth-geojson/110m/physical/ne_110m_land.json"
    )
    sea = label_regions(basins, land.assign(name="land"), name_column="name") == 1
    area = cell_area(basins).where(sea) / 1e12
    of = {name: float(area.where(basins == number).sum()) for number, name in enumerate(basins.attrs["regions"])}
    assert_allclose(of[INDIAN], 70.6, rtol=0.05)
    assert_allclose(of[NORTH_PACIFIC] + of[SOUTH_PACIFIC], 161.8, rtol=0.05)
    assert_allclose(of[NORTH_ATLANTIC] + of[SOUTH_ATLANTIC] + of[MED], 85.1, rtol=0.05)
    assert_allclose(of[SOUTHERN], 21.96, rtol=0.1)


def test_latitude_bands_are_named_by_their_edges():
    labels = label_regions(regular_grid(10.0), "latitude bands")
    assert labels.attrs["regions"] == ["90S-60S", "60S-30S", "30S-0", "0-30N", "30N-60N", "60N-90N"]
    assert_array_equal(labels[:, 0], np.repeat(np.arange(6), 3))


def test_a_fine_grid_takes_about_a_second():
    grid = regular_grid(0.25)
    start = time.perf_counter()
    label_regions(grid, "basins")
    assert time.perf_counter() - start < 2


# --- polygons of a user's file ---------------------------------------------------------------------------------------


def frame(*geometries, crs="EPSG:4326", **columns):
    columns = columns or {"name": [chr(ord("a") + i) for i in range(len(geometries))]}
    return geopandas.GeoDataFrame(columns, geometry=list(geometries), crs=crs)


@pytest.fixture(scope="module")
def longhurst(shared_data):
    folder = shared_data / "vector/institut-de-genomique+NCLIM-20102618B/Data/longhurst_v4_2010"
    return folder / "Longhurst_world_v4_2010.shp"


def test_longhurst_provinces_are_those_that_shapely_finds(longhurst):
    """The provinces have edges along whole and half degrees; no cell centre lies on them here."""
    grid = regular_grid(0.7, region=(-180, 177, -80, 81))
    labels = label_regions(grid, longhurst)
    provinces = geopandas.read_file(longhurst)
    assert labels.attrs["regions"] == [*provinces["ProvCode"], "other"]
    lon, lat = np.meshgrid(grid["longitude"], grid["latitude"])
    chosen = np.random.default_rng(0).choice(lon.size, 20_000, replace=False)
    points = shapely.points(lon.ravel()[chosen], lat.ravel()[chosen])
    found = shapely.STRtree(provinces.geometry.values).query(points, predicate="within")
    truth = np.full(points.size, len(provinces))
    np.minimum.at(truth, found[0], found[1])
    assert_array_equal(labels.values.ravel()[chosen], truth)


def test_names_may_come_from_another_column(longhurst):
    labels = label_regions(regular_grid(5.0), longhurst, name_column="ProvDescr")
    assert "Trades - Caribbean Province" in labels.attrs["regions"]


@given(
    ring=st.lists(
        st.tuples(st.integers(-1700, 1700), st.integers(-800, 800)).map(lambda p: (p[0] / 10, p[1] / 10)),
        min_size=3,
        max_size=8,
    ),
    step=st.sampled_from([10.0, 7.5]),
)
@settings(max_examples=40, deadline=None)
def test_any_polygon_holds_the_cells_that_shapely_finds(ring, step):
    polygon = shapely.make_valid(shapely.Polygon(ring))
    area = [part for part in shapely.get_parts(polygon) if part.geom_type == "Polygon"]
    steep = np.abs(np.diff(np.array([*ring, ring[0]])[:, 0])).max() > 180
    if not area or steep:
        return
    grid = regular_grid(step)
    labels = label_regions(grid, frame(shapely.MultiPolygon(area)))
    lon, lat = np.meshgrid(grid["longitude"], grid["latitude"])
    points = shapely.points(lon, lat)
    clear = shapely.distance(points, polygon.boundary) > 1e-9
    inside = shapely.contains_xy(polygon, lon, lat)
    assert_array_equal((labels.values == 0)[clear], inside[clear])


DATELINE_BOXES = {
    "0..360": [(170, -10), (190, -10), (190, 10), (170, 10)],
    "negative": [(-190, -10), (-170, -10), (-170, 10), (-190, 10)],
    "jumping": [(170, -10), (-170, -10), (-170, 10), (170, 10)],
}


@pytest.mark.parametrize("box", DATELINE_BOXES)
def test_polygons_may_cross_the_date_line(box):
    labels = label_regions(regular_grid(5.0), frame(shapely.Polygon(DATELINE_BOXES[box])))
    inside = labels.where(labels == 0, drop=True)
    assert_array_equal(inside["longitude"], [-177.5, -172.5, 172.5, 177.5])
    assert_array_equal(inside["latitude"], [-7.5, -2.5, 2.5, 7.5])
    assert (labels == 0).sum() == 16


def test_a_ring_around_the_pole_holds_the_pole():
    longitude = np.arange(-170.0, 180, 20)
    ring = shapely.Polygon(np.column_stack([longitude, np.full(longitude.size, -65.0)]))
    labels = label_regions(regular_grid(10.0), frame(ring))
    assert_array_equal((labels == 0).sum("longitude"), [36, 36] + [0] * 16)


def test_holes_are_outside_also_across_the_date_line():
    outer = [(160, -20), (-160, -20), (-160, 20), (160, 20)]
    hole = [(175, -5), (-175, -5), (-175, 5), (175, 5)]
    fine = label_regions(regular_grid(2.0), frame(shapely.Polygon(outer, [hole])))
    assert region_at(fine, 1, 179) == region_at(fine, -1, -179) == "other"
    assert region_at(fine, 11, 179) == region_at(fine, 1, -165) == "a"


def test_of_overlapping_polygons_the_first_wins_and_doubled_names_are_one():
    first, second, third = shapely.box(0, 0, 20, 20), shapely.box(10, 0, 40, 20), shapely.box(28, 0, 50, 20)
    labels = label_regions(regular_grid(10.0), frame(first, second, third, name=["x", "y", "x"]))
    assert labels.attrs["regions"] == ["x", "y", "other"]
    # "x" comes first and has both of its polygons.
    assert [region_at(labels, 5, longitude) for longitude in (5, 15, 25, 35, 55)] == ["x", "x", "y", "x", "other"]


def test_overlapping_polygons_of_one_name_do_not_cancel():
    labels = label_regions(
        regular_grid(10.0), frame(shapely.box(0, 0, 30, 30), shapely.box(10, 10, 40, 40), name=["x", "x"])
    )
    assert region_at(labels, 15, 15) == "x"


def test_files_are_reprojected(tmp_path):
    box = frame(shapely.box(0, 0, 20, 20), name=["x"])
    box.to_crs("EPSG:3857").to_file(tmp_path / "mercator.geojson")
    labels = label_regions(regular_grid(5.0), tmp_path / "mercator.geojson")
    xr.testing.assert_identical(labels, label_regions(regular_grid(5.0), box))
    assert (labels == 0).sum() == 16


def test_inputs_are_not_changed():
    box = frame(shapely.Polygon(DATELINE_BOXES["jumping"]))
    before = box.copy()
    label_regions(regular_grid(10.0), box)
    assert before.geom_equals(box).all()


@pytest.mark.parametrize(
    ("by", "options", "message"),
    [
        ("basin", {}, "Did you mean 'basins'"),
        ("absent.shp", {}, "got 'absent.shp'"),
        (7, {}, "got 7"),
        (frame(shapely.Point(0, 0)), {}, "must hold polygons"),
        (frame(shapely.box(0, 0, 1, 1), code=[1]), {}, "Pass name_column=..., one of: code"),
        (frame(shapely.box(0, 0, 1, 1)), {"name_column": "nam"}, "Did you mean 'name'"),
        (frame(shapely.box(0, 0, 1, 1), shapely.box(1, 1, 2, 2), name=["a", None]), {}, "1 missing names"),
        (frame(shapely.box(0, 0, 1e6, 1e6), crs=None), {}, "set_crs"),
    ],
)
def test_what_is_not_a_region_is_refused(by, options, message):
    with pytest.raises(SchemaError, match=message):
        label_regions(regular_grid(10.0), by, **options)


def test_damaged_files_are_refused_by_name(tmp_path):
    (tmp_path / "broken.shp").write_bytes(b"no polygons")
    with pytest.raises(SchemaError, match=r"broken.shp cannot be read as polygons"):
        label_regions(regular_grid(10.0), tmp_path / "broken.shp")


def test_numbers_may_name_regions_when_asked_for():
    labels = label_regions(regular_grid(10.0), frame(shapely.box(0, 0, 20, 20), code=[41]), name_column="code")
    assert labels.attrs["regions"] == ["41", "other"]


def test_a_grid_of_another_convention_is_refused():
    grid = xr.Dataset(coords={"latitude": [0.0, 1.0], "longitude": [170.0, 190.0]})
    with pytest.raises(SchemaError, match=r"longitude must ascend within -180..180"):
        label_regions(grid, "basins")
