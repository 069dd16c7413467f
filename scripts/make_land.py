"""
Make the packaged coastline from Natural Earth's land polygons, 1:110 million.

The npm package world-atlas holds them as TopoJSON for drawing on a sphere: rings run on across 180 degrees and
Antarctica has no edge at the pole. Here the rings are unwrapped, closed at the pole and cut at 180 degrees, and land,
coastline and ocean are written as shapefiles in the folders in which cartopy looks for them.

    python scripts/make_land.py [--topojson land-110m.json] [--out aqqua_science/grids/natural_earth]

Without --topojson the npm client fetches the package. Needs geopandas and shapely (the extra `maps`).
"""

import argparse
import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import geopandas
import numpy as np
import shapely
from shapely import affinity

PACKAGE = "world-atlas@2.0.2"
SHA256 = "ead5f68119c49a9250902e7da303bcb209341bbb8fefe7369a439b48b704658a"
OUT = Path(__file__).resolve().parents[1] / "aqqua_science" / "grids" / "natural_earth"
WORLD = shapely.box(-180, -90, 180, 90)
SEAMS = shapely.from_wkt("MULTILINESTRING ((-180 -90, -180 90), (180 -90, 180 90), (-180 -90, 180 -90))")


def fetch_topojson():
    """Bytes of land-110m.json out of the npm package."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as tar:
            return tar.extractfile("package/land-110m.json").read()


def decode_rings(topology):
    """
    Lists of rings of every polygon of a TopoJSON document, the outer ring first.

    Arcs are whole numbers, each point relative to the one before; an index ~i means arc i backwards
    (TopoJSON specification 1.0, sections 2.1.3 and 2.1.4).
    """
    scale, origin = (np.array(topology["transform"][key]) for key in ("scale", "translate"))
    arcs = [np.cumsum(arc, axis=0) * scale + origin for arc in topology["arcs"]]

    def join(indices):
        parts = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in indices]
        return np.concatenate([parts[0], *(part[1:] for part in parts[1:])]).round(6)

    geometries = topology["objects"]["land"]["geometries"]
    return [[join(ring) for ring in polygon] for geometry in geometries for polygon in geometry["arcs"]]


def unwrap_ring(ring):
    """Ring with longitudes that run on without a jump; one that circles a pole is closed along it."""
    longitude, latitude = np.unwrap(ring[:, 0], period=360), ring[:, 1]
    if abs(longitude[-1] - longitude[0]) > 180:
        pole = np.copysign(90.0, latitude.mean())
        longitude = np.r_[longitude, longitude[[-1, 0]]]
        latitude = np.r_[latitude, pole, pole]
    return np.column_stack([longitude, latitude])


def cut_ring(ring):
    """Parts of the area inside an unwrapped ring, brought between -180 and 180 degrees."""
    area = shapely.make_valid(shapely.Polygon(unwrap_ring(ring)))
    turned = [affinity.translate(area, xoff=turn) for turn in (-360, 0, 360)]
    parts = shapely.get_parts(shapely.intersection(turned, WORLD))
    return [part for part in parts if part.area > 1e-9]


def cut_polygon(rings):
    """Parts of a polygon with holes; outer ring and holes may run on over 180 degrees to different sides."""
    holes = [part for ring in rings[1:] for part in cut_ring(ring)]
    return list(shapely.difference(cut_ring(rings[0]), shapely.union_all(holes)))


def build_layers(topology):
    """Natural Earth's three layers of the shore as {"land" | "coastline" | "ocean": list of geometries}."""
    land = [part for rings in decode_rings(topology) for part in cut_polygon(rings)]
    coast = shapely.difference(shapely.union_all(shapely.boundary(land)), SEAMS)
    ocean = shapely.difference(WORLD, shapely.union_all(land))
    return {
        "land": land,
        "coastline": list(shapely.get_parts(shapely.line_merge(coast))),
        "ocean": [ocean],
    }


def write_layers(layers, out):
    """Write shapefiles where cartopy looks: OUT/shapefiles/natural_earth/physical/ne_110m_NAME.shp."""
    folder = out / "shapefiles" / "natural_earth" / "physical"
    folder.mkdir(parents=True, exist_ok=True)
    for name, geometries in layers.items():
        frame = geopandas.GeoDataFrame(
            {"featurecla": [name.capitalize()] * len(geometries)}, geometry=geometries, crs="EPSG:4326"
        )
        # the date in the header is fixed, so that the same input gives the same bytes
        frame.to_file(folder / f"ne_110m_{name}.shp", layer_options={"DBF_DATE_LAST_UPDATE": "2018-05-21"})


def main():
    """Read the arguments, refuse a changed source, write the shapefiles."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--topojson", type=Path, help="land-110m.json; fetched with npm when not given")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write (default: %(default)s)")
    arguments = parser.parse_args()
    content = arguments.topojson.read_bytes() if arguments.topojson else fetch_topojson()
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        parser.error(f"land-110m.json of {PACKAGE} has sha256 {SHA256}; this one has {found}. Is it another version?")
    layers = build_layers(json.loads(content))
    write_layers(layers, arguments.out)
    print(f"{len(layers['land'])} land polygons written to {arguments.out}")


if __name__ == "__main__":
    main()
