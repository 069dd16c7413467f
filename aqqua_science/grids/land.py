"""Land and sea from the packaged Natural Earth polygons, 1:110 million; no network is asked."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr

from aqqua_science.optional import require
from aqqua_science.schema import SchemaError


def natural_earth_dir():
    """
    Folder of the packaged Natural Earth shapefiles, laid out as cartopy expects it.

    Returns
    -------
    pathlib.Path
        For ``cartopy.config["pre_existing_data_dir"]``; `aqqua_science.plot.maps` sets it.

    Examples
    --------
    >>> sorted(path.name for path in natural_earth_dir().rglob("*.shp"))
    ['ne_110m_coastline.shp', 'ne_110m_land.shp', 'ne_110m_ocean.shp']
    """
    return Path(__file__).with_name("natural_earth")


def land_mask(grid):
    """
    Tell the cells whose centre lies on land.

    Parameters
    ----------
    grid : xarray.Dataset or xarray.DataArray
        With one-dimensional `latitude` and `longitude` of cell centres, degrees. Longitudes of any turn are
        understood, 0..360 too.

    Returns
    -------
    xarray.DataArray of bool (latitude, longitude)
        True on land. A centre exactly on the shore counts as land. The Caspian Sea is not land: Natural Earth cuts it
        out. Other lakes, and ice shelves within Natural Earth's Antarctica, are land.

    Raises
    ------
    SchemaError
        If a coordinate is missing, is not one-dimensional, or a latitude is beyond a pole.
    MissingDependency
        If shapely or pyogrio is not installed.

    Notes
    -----
    Made with Natural Earth 4.1 (public domain). At 1:110 million islands and bays narrower than some 50 km are
    absent, so a grid finer than half a degree shows the polygons, not the shore.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> land = land_mask(regular_grid(10.0))
    >>> land.sel(latitude=45, longitude=[-155, 75]).values
    array([False,  True])
    """
    shapely = require("shapely", for_="grids")
    latitude, longitude = (_read_axis(grid, name) for name in ("latitude", "longitude"))
    # the wrap leaves centres on the cut at -180, where the boundary of Siberia and Antarctica counts as inside
    x, y = np.meshgrid((longitude + 180) % 360 - 180, latitude)
    return xr.DataArray(
        shapely.intersects_xy(_read_land(), x, y),
        coords={"latitude": grid["latitude"], "longitude": grid["longitude"]},
        dims=("latitude", "longitude"),
        name="land",
        attrs={"long_name": "land", "source": "Natural Earth 4.1, 1:110 million, public domain"},
    )


def on_land(longitude, latitude):
    """
    Tell the positions that lie well inside land.

    Parameters
    ----------
    longitude, latitude : array_like of float
        Degrees.

    Returns
    -------
    numpy.ndarray of bool
        True more than 0.3 degrees inland: nearer to a shore of this coarseness (1:110 million) nobody can tell, and
        stations in bays and fjords are no mistake. False where a position is missing.

    Raises
    ------
    MissingDependency
        If shapely or pyogrio is not installed.

    Examples
    --------
    >>> on_land([10.0, 7.9, 15.2], [50.0, 54.2, 44.1])
    array([ True, False, False])
    """
    x = (np.asarray(longitude, dtype=float) + 180) % 360 - 180
    return require("shapely", for_="grids").intersects_xy(_read_inland(), x, np.asarray(latitude, dtype=float))


def _read_axis(grid, name):
    if name not in grid.coords or grid[name].ndim != 1:
        found = f"{name} has dimensions {grid[name].dims}" if name in grid.coords else f"there is no {name}"
        msg = (
            f"land_mask needs one-dimensional latitude and longitude; {found}. "
            "Open the file with aqqua_science.grids.open_environment, which names and straightens the axes."
        )
        raise SchemaError(msg)
    values = grid[name].values.astype(float)
    limit = 90 if name == "latitude" else np.inf
    wrong = ~(np.abs(values) <= limit)
    if wrong.any():
        msg = (
            f"{name} must be finite degrees, latitude within -90..90; found {values[wrong][0]:g}. "
            "Are latitude and longitude swapped?"
        )
        raise SchemaError(msg)
    return values


@lru_cache(maxsize=1)
def _read_land():
    """All land as one prepared geometry."""
    shapely = require("shapely", for_="grids")
    path = natural_earth_dir() / "shapefiles" / "natural_earth" / "physical" / "ne_110m_land.shp"
    _, _, polygons, _ = require("pyogrio.raw", for_="grids").read(path, columns=[])
    land = shapely.union_all(shapely.from_wkb(polygons))
    shapely.prepare(land)
    return land


@lru_cache(maxsize=1)
def _read_inland():
    """Land without a margin along its shores."""
    inland = _read_land().buffer(-0.3)
    require("shapely", for_="grids").prepare(inland)
    return inland
