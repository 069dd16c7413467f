"""Regions of the sphere: ocean basins, bands of latitude and the polygons of a user's file."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import xarray as xr

from aqqua_science.grids.basins import BASINS
from aqqua_science.optional import require
from aqqua_science.schema import SchemaError, nearest_name

OTHER = "other"
"""Name of the cells that no polygon covers."""

_BAND_DEGREES = 30
_ALMOST = 1e-9


def label_regions(grid, by, *, name_column=None):
    """
    Give every cell of a grid to one region.

    Parameters
    ----------
    grid : xarray.Dataset or xarray.DataArray
        With ascending `latitude` and `longitude` (-180..180) of cell centres.
    by : {"global", "basins", "latitude bands"} or path or geopandas.GeoDataFrame
        Ocean basins by our own coarse outlines (`aqqua_science.grids.basins`), bands of 30 degrees, or polygons, in any
        format that geopandas reads and in any reference system.
    name_column : str, optional
        The column with the names of the polygons; by default the first column of text. Polygons of one name are one
        region.

    Returns
    -------
    xarray.DataArray of int (latitude, longitude)
        Labels 0, 1, 2... The names are in ``attrs["regions"]``, in the order of ``attrs["flag_values"]``.

    Raises
    ------
    SchemaError
        If `by` is unknown, or the file has no such column, no polygons or an unusable reference system.

    Notes
    -----
    A cell belongs to the region of its centre. Of overlapping polygons the first wins; cells outside all polygons are
    "other". Rings may use 0..360 or cross the date line: an edge of 180 to 360 degrees of longitude is taken as
    the short way round.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> labels = label_regions(regular_grid(10.0), "basins")
    >>> labels.attrs["regions"][int(labels.sel(latitude=25, longitude=-90, method="nearest"))]
    'North Atlantic Ocean'
    """
    latitude, longitude = _centres(grid)
    if isinstance(by, str) and by in _BUILT_IN:
        names, labels = _BUILT_IN[by](latitude, longitude)
    else:
        names, labels = _label_by_polygons(latitude, longitude, _named_polygons(by, name_column))
    return xr.DataArray(
        labels,
        coords={"latitude": grid["latitude"], "longitude": grid["longitude"]},
        dims=("latitude", "longitude"),
        name="region",
        attrs={
            "long_name": "region of the cell centre",
            "flag_values": np.arange(len(names), dtype=labels.dtype),
            "flag_meanings": " ".join(name.replace(" ", "_") for name in names),
            "regions": names,
        },
    )


def _centres(grid):
    """Latitudes and longitudes of a grid in our conventions."""
    latitude, longitude = (np.asarray(grid[name].values, dtype=float) for name in ("latitude", "longitude"))
    for name, values, limit in (("latitude", latitude, 90), ("longitude", longitude, 180)):
        if not ((np.diff(values) > 0).all() and np.abs(values).max() <= limit):
            msg = (
                f"{name} must ascend within -{limit}..{limit}; found {values[0]:g}..{values[-1]:g}. "
                "Bring the grid to our conventions with open_environment(dataset)."
            )
            raise SchemaError(msg)
    return latitude, longitude


def _label_globe(latitude, longitude):
    return ["global"], np.zeros((latitude.size, longitude.size), dtype=np.int16)


def _label_bands(latitude, longitude):
    edges = np.arange(-90, 91, _BAND_DEGREES)
    texts = [f"{abs(edge)}{'S' if edge < 0 else 'N'}" if edge else "0" for edge in edges]
    names = [f"{south}-{north}" for south, north in pairwise(texts)]
    band = np.clip(np.searchsorted(edges, latitude, side="right") - 1, 0, len(names) - 1)
    return names, np.repeat(band.astype(np.int16)[:, None], longitude.size, axis=1)


def _label_basins(latitude, longitude):
    rings = {name: [np.array(ring, dtype=float) for ring in parts] for name, parts in BASINS.items()}
    labels = _first_inside(latitude, longitude, rings)
    return list(BASINS), labels


_BUILT_IN = {"global": _label_globe, "basins": _label_basins, "latitude bands": _label_bands}


def _label_by_polygons(latitude, longitude, rings):
    """Labels of named rings, with "other" as the last region."""
    labels = _first_inside(latitude, longitude, rings)
    labels[labels < 0] = len(rings)
    return [*rings, OTHER], labels


def _first_inside(latitude, longitude, rings):
    """Index of the first region whose rings hold each centre; -1 for none."""
    labels = np.full((latitude.size, longitude.size), -1, dtype=np.int16)
    # The poles and the date line lie on the outlines, where "inside" needs a side.
    latitude, longitude = np.clip(latitude, -90 + _ALMOST, 90 - _ALMOST), np.clip(longitude, None, 180 - _ALMOST)
    for number, parts in enumerate(rings.values()):
        reach = np.concatenate(parts)[:, 0]
        for turn in (0, 360, -360):
            if longitude[0] + turn <= reach.max() and longitude[-1] + turn >= reach.min():
                inside = _inside(latitude, longitude + turn, parts)
                labels[inside & (labels < 0)] = number
    return labels


def _inside(latitude, longitude, rings):
    """
    Which points of a grid lie inside rings, holes counted out (even-odd rule).

    Along each row of the grid, every edge that the row crosses toggles all points to the east of the crossing. Edges
    are half open, so that rings with common edges never share a point and never leave one out.
    """
    edges = np.concatenate([np.hstack([ring, np.roll(ring, -1, axis=0)]) for ring in rings])
    edges = np.where((edges[:, 1] <= edges[:, 3])[:, None], edges, edges[:, [2, 3, 0, 1]])
    first, last = (np.searchsorted(latitude, edges[:, column]) for column in (1, 3))
    rows = last - first
    edge = np.repeat(np.arange(len(edges)), rows)
    row = np.arange(edge.size) - np.repeat(np.cumsum(rows) - rows, rows) + first[edge]
    x0, y0, x1, y1 = edges[edge].T
    crossing = x0 + (x1 - x0) * ((latitude[row] - y0) / (y1 - y0))
    toggles = np.zeros((latitude.size, longitude.size + 1), dtype=np.int8)
    np.bitwise_xor.at(toggles, (row, np.searchsorted(longitude, crossing)), 1)
    return np.bitwise_xor.accumulate(toggles, axis=1)[:, :-1].astype(bool)


def _named_polygons(by, name_column):
    """Rings of each name of a polygon file or GeoDataFrame, in degrees."""
    geopandas = require("geopandas", for_="grids")
    frame, label = (by, "the GeoDataFrame") if isinstance(by, geopandas.GeoDataFrame) else _read_frame(by, geopandas)
    names = frame[_find_name_column(frame, name_column, label)]
    frame = _in_degrees(frame, label)
    kinds = set(frame.geom_type.dropna()) - {"Polygon", "MultiPolygon"}
    if kinds or frame.empty or frame.geometry.isna().any():
        msg = (
            f"{label} must hold polygons, one or more; found {sorted(kinds) or 'missing geometries'}. Drop the others."
        )
        raise SchemaError(msg)
    outlines = {}
    for name, geometry in zip(names, frame.geometry, strict=True):
        outlines.setdefault(str(name), []).append(_unwrap_polygons(geometry))
    return {name: _rings(parts) for name, parts in outlines.items()}


def _read_frame(by, geopandas):
    """Read a polygon file; an unknown word is told the nearest right one."""
    if not isinstance(by, str | Path) or not Path(by).exists():
        msg = (
            f"regions must be one of {', '.join(map(repr, _BUILT_IN))}, an existing polygon file or a GeoDataFrame; "
            f"got {by!r}.{nearest_name(by, _BUILT_IN)}"
        )
        raise SchemaError(msg)
    try:
        return geopandas.read_file(by), str(by)
    except Exception as error:
        # The reader's exceptions differ by driver; all mean an unreadable file.
        msg = f"{by} cannot be read as polygons ({error}). Pass a shapefile, GeoJSON or GeoPackage."
        raise SchemaError(msg) from error


def _find_name_column(frame, name_column, label):
    """The column of names: the one asked for, or the first of text."""
    columns = [str(column) for column in frame.columns if column != frame.geometry.name]
    text = [column for column in columns if frame[column].map(lambda value: isinstance(value, str)).any()]
    found = name_column if name_column is not None else next(iter(text), None)
    if found not in columns:
        msg = (
            f"{label} has no column {found!r} with names.{nearest_name(found, columns)} "
            f"Pass name_column=..., one of: {', '.join(columns)}."
        )
        raise SchemaError(msg)
    if frame[found].isna().any():
        msg = f"{label}: column {found!r} has {frame[found].isna().sum()} missing names. Fill or drop them."
        raise SchemaError(msg)
    return found


def _in_degrees(frame, label):
    """Polygons in EPSG:4326."""
    if frame.crs is not None:
        return frame if frame.crs.equals("EPSG:4326", ignore_axis_order=True) else frame.to_crs("EPSG:4326")
    west, south, east, north = frame.total_bounds
    if west < -360 or east > 720 or south < -90.001 or north > 90.001:
        msg = (
            f"{label} names no reference system and its bounds {frame.total_bounds.round(1)} are not degrees. "
            "Set it with GeoDataFrame.set_crs."
        )
        raise SchemaError(msg)
    return frame


def _rings(polygons):
    """Rings of the union of polygons."""
    shapely = require("shapely", for_="grids")
    union = polygons[0] if len(polygons) == 1 else shapely.union_all(polygons)
    areas = [part for part in shapely.get_parts(union) if part.geom_type == "Polygon"]
    return [shapely.get_coordinates(ring)[:-1] for ring in shapely.get_rings(areas)]


def _unwrap_polygons(geometry):
    """A polygon, or several, with continuous longitudes; repaired where it crosses itself."""
    shapely = require("shapely", for_="grids")
    parts = []
    for part in shapely.get_parts(geometry):
        exterior = _unwrap(shapely.get_coordinates(part.exterior))
        holes = [_unwrap(shapely.get_coordinates(hole)) for hole in part.interiors]
        parts.append(shapely.Polygon(exterior, [_beside(hole, exterior) for hole in holes]))
    whole = shapely.multipolygons(parts)
    return whole if whole.is_valid else shapely.union_all(shapely.make_valid(parts))


def _unwrap(ring):
    """A closed ring without jumps over the date line; one that goes round the sphere is closed over its pole."""
    ring = ring.copy()
    step = np.diff(ring[:, 0])
    jumps = (np.abs(step) > 180) & (np.abs(step) < 360 - 1e-6)
    ring[1:, 0] -= 360 * np.cumsum(np.sign(step) * jumps)
    if abs(ring[-1, 0] - ring[0, 0]) < 180:
        return ring
    pole = np.copysign(90, ring[:, 1].mean())
    return np.vstack([ring, [ring[-1, 0], pole], [ring[0, 0], pole], ring[0]])


def _beside(hole, exterior):
    """A hole moved by whole turns to the ring around it."""
    middle = [(ring[:, 0].min() + ring[:, 0].max()) / 2 for ring in (hole, exterior)]
    return hole + np.array([360 * round((middle[1] - middle[0]) / 360), 0])
