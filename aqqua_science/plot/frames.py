"""The sheet a map is drawn on: projection, cells in its plane, and the outline of the region."""

from dataclasses import dataclass

import cartopy.crs as ccrs
import numpy as np
from matplotlib.path import Path

from aqqua_science.grids.geometry import cell_edges
from aqqua_science.schema import SchemaError, nearest_name

PROJECTIONS = ("EqualEarth", "Robinson", "Mollweide", "PlateCarree")
"""Projections that a name may ask for; any other is passed as an object of cartopy.crs."""

_PLAIN = ccrs.PlateCarree()
_AZIMUTHAL = {"laea", "stere", "ortho", "aeqd", "gnom"}
_WIDE_DEGREES = 120
_NUDGE_DEGREES = 1e-6


@dataclass(frozen=True)
class Mesh:
    """Cells of a field: edges in degrees, longitudes ascending without a jump, and values (latitude, longitude)."""

    longitude: np.ndarray
    latitude: np.ndarray
    values: np.ndarray

    @property
    def bounds(self):
        """West, east, south, north; east may exceed 180."""
        return self.longitude[0], self.longitude[-1], self.latitude[0], self.latitude[-1]

    @property
    def is_round(self):
        """Whether the cells close around the globe."""
        return self.longitude[-1] - self.longitude[0] > 360 - 1e-3


def make_mesh(field):
    """
    Lay out the cells of a field, across 180 degrees where the field crosses it.

    Parameters
    ----------
    field : xarray.DataArray (latitude, longitude)
        In any order.

    Returns
    -------
    Mesh

    Raises
    ------
    SchemaError
        If the dimensions are others.

    Examples
    --------
    >>> import xarray as xr
    >>> crossing = {"latitude": [0.0, 1.0], "longitude": [-179.5, -178.5, 178.5, 179.5]}
    >>> make_mesh(xr.DataArray(np.zeros((2, 4)), crossing, ("latitude", "longitude"))).longitude
    array([178., 179., 180., 181., 182.])
    """
    if set(field.dims) != {"latitude", "longitude"}:
        msg = (
            f"a map shows one layer with dimensions latitude and longitude; {field.name or 'this field'} has "
            f"{', '.join(map(str, field.dims)) or 'none'}. Reduce or select the others first, "
            "e.g. field.mean('member') or field.sel(month=1)."
        )
        raise SchemaError(msg)
    field = field.transpose("latitude", "longitude").sortby(["latitude", "longitude"])
    longitude, values = field["longitude"].values.astype(float), field.values
    gaps = np.diff(longitude)
    if gaps.size and gaps.max() > longitude[0] + 360 - longitude[-1] + 1e-6 and gaps.max() > 1.5 * np.median(gaps):
        cut = int(gaps.argmax()) + 1
        longitude = np.concatenate([longitude[cut:], longitude[:cut] + 360])
        values = np.concatenate([values[:, cut:], values[:, :cut]], axis=1)
    return Mesh(cell_edges(longitude), cell_edges(field["latitude"].values, lower=-90, upper=90), values)


def choose_projection(mesh, *, name=None):
    """
    Projection that suits the extent of a field.

    Parameters
    ----------
    mesh : Mesh
    name : str, optional
        One of `PROJECTIONS`. By default an equal-area one: Lambert's azimuthal, centred on the field, for a region or a
        polar cap, Equal Earth (Savric et al. 2019, Int. J. Geogr. Inf. Sci. 33) for the globe or a wide band.

    Returns
    -------
    cartopy.crs.Projection

    Raises
    ------
    ValueError
        If the name is not known.

    Examples
    --------
    >>> mesh = Mesh(np.linspace(-180, 180, 37), np.linspace(50, 90, 5), np.zeros((4, 36)))
    >>> choose_projection(mesh).proj4_params["lat_0"]
    90
    """
    west, east, south, north = mesh.bounds
    middle = 0.0 if mesh.is_round else (west + east) / 2
    if name is not None:
        if name not in PROJECTIONS:
            msg = (
                f"projection must be one of {', '.join(PROJECTIONS)} or an object of cartopy.crs; "
                f"got {name!r}.{nearest_name(name, PROJECTIONS)}"
            )
            raise ValueError(msg)
        return getattr(ccrs, name)(central_longitude=middle)
    if _pole(mesh):
        return ccrs.LambertAzimuthalEqualArea(central_longitude=0, central_latitude=_pole(mesh))
    if east - west > _WIDE_DEGREES:
        return ccrs.EqualEarth(central_longitude=middle)
    return ccrs.LambertAzimuthalEqualArea(central_longitude=middle, central_latitude=(south + north) / 2)


def project_mesh(mesh, projection):
    """
    Corners of the cells in the plane of a projection.

    Parameters
    ----------
    mesh : Mesh
    projection : cartopy.crs.Projection

    Returns
    -------
    x, y : numpy.ndarray, shape (n_latitude + 1, n_longitude + 1)
    values : numpy.ndarray, shape (n_latitude, n_longitude)
        In the order of the corners. A cell cut by the edge of the sheet stands at both sides, so that no seam opens;
        cells that the projection cannot show are NaN.

    Examples
    --------
    >>> mesh = Mesh(np.linspace(-180, 180, 37), np.linspace(-90, 90, 19), np.zeros((18, 36)))
    >>> x, _, values = project_mesh(mesh, ccrs.EqualEarth(central_longitude=-155))
    >>> x.shape, values.shape
    ((19, 38), (18, 37))
    """
    centre = float(projection.proj4_params.get("lon_0", 0))
    longitude, values = mesh.longitude - centre, mesh.values
    if mesh.is_round and projection.proj4_params["proj"] in _AZIMUTHAL:
        # the first cell again after the last: edges that only touch leave a hairline
        longitude, values = np.append(longitude, longitude[1] + 360), np.concatenate([values, values[:, :1]], axis=1)
    elif mesh.is_round:
        longitude, values = _cut_round(longitude, values)
    corners = projection.transform_points(_PLAIN, *np.meshgrid(longitude + centre, mesh.latitude))
    lost = ~np.isfinite(corners).all(axis=-1)
    gone = lost[1:, 1:] | lost[1:, :-1] | lost[:-1, 1:] | lost[:-1, :-1]
    corners[lost] = 0
    return corners[..., 0], corners[..., 1], np.where(gone, np.nan, values)


def frame_axes(ax, mesh):
    """
    Give a map the outline of its field: the whole globe, a polar circle, or a box of parallels and meridians.

    Parameters
    ----------
    ax : cartopy.mpl.geoaxes.GeoAxes
        Changed.
    mesh : Mesh

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> mesh = Mesh(np.linspace(0, 40, 5), np.linspace(30, 50, 3), np.zeros((2, 4)))
    >>> ax = Figure().add_subplot(projection=choose_projection(mesh))
    >>> frame_axes(ax, mesh)
    >>> round(ax.get_xlim()[0] / 1e5)
    -19
    """
    west, east, south, north = mesh.bounds
    pole = _pole(mesh)
    if mesh.is_round and not pole:
        ax.set_global()
        return
    along = np.linspace(west, east, 181)
    sides = [(along, south), (along[::-1], north)]
    if pole:  # the circle alone: the side at the pole is a point, and would draw a radius
        sides = sides[:1] if pole > 0 else sides[1:]
    up = np.linspace(south, north, 61)
    if not pole:
        sides = [sides[0], (east, up), sides[1], (west, up[::-1])]
    edge = np.concatenate([np.column_stack(np.broadcast_arrays(x, y)) for x, y in sides]).astype(float)
    outline = ax.projection.transform_points(_PLAIN, edge[:, 0], edge[:, 1])[:, :2]
    ax.set_xlim(outline[:, 0].min(), outline[:, 0].max())
    ax.set_ylim(outline[:, 1].min(), outline[:, 1].max())
    ax.set_boundary(Path(outline, closed=False))


def _pole(mesh):
    """Latitude of the pole that a field surrounds without reaching into the other half, or 0."""
    _, _, south, north = mesh.bounds
    if not mesh.is_round:
        return 0
    if south >= 10 and north > 85:
        return 90
    return -90 if north <= -10 and south < -85 else 0


def _cut_round(longitude, values):
    """Turn a closed field so that it begins and ends at the edge of the sheet, 180 degrees from its centre."""
    centres = (longitude[1:] + longitude[:-1]) / 2
    width = longitude[1] - longitude[0]
    centres = (centres + 180) % 360 - 180
    order = np.argsort(centres)
    edges, values = cell_edges(centres[order]), values[:, order]
    if edges[0] < -180 - 1e-3 * width:
        edges, values = np.append(edges, edges[1] + 360), np.concatenate([values, values[:, :1]], axis=1)
    elif edges[-1] > 180 + 1e-3 * width:
        edges, values = np.insert(edges, 0, edges[-2] - 360), np.concatenate([values[:, -1:], values], axis=1)
    # exactly 180 could land on either side of the sheet
    return np.clip(edges, -180 + _NUDGE_DEGREES, 180 - _NUDGE_DEGREES), values
