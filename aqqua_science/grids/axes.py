"""The axes of a file: found by their CF attributes or common names, brought to our conventions."""

import re
from dataclasses import dataclass, field

import numpy as np
from cf_xarray.criteria import coordinate_criteria

from aqqua_science.grids.time_axes import MONTH_NAMES, read_time_axis
from aqqua_science.grids.vertical import read_depths
from aqqua_science.schema import SchemaError

DIMENSIONS = ("member", "month", "time", "depth", "latitude", "longitude")
"""Order of the dimensions of every grid."""

ATTRIBUTES = {
    "member": {"standard_name": "realization", "units": "1"},
    "month": {"long_name": "month of the year", "units": "1"},
    "time": {"standard_name": "time", "axis": "T"},
    "depth": {"standard_name": "depth", "units": "m", "positive": "down", "axis": "Z"},
    "latitude": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
}
"""CF attributes of the coordinates of every grid."""

SAME_CELL = 0.01
"""Coordinates that differ by less than this part of a cell mean the same cell."""

_NAMES = {
    "latitude": r"(nav_?)?lat(itude)?s?([_\d].*)?|(?!grid|rot).*[_.]lat(itude)?|gphi.?|geolat.*",
    "longitude": r"(nav_?)?lon(g|gitude)?s?([_\d].*)?|(?!grid|rot).*[_.]lon(gitude)?|glam.?|geolon.*",
    "depth": r"(dep(th)?|gdep|z|z?lev(el)?s?|olev(el)?|layers?)[a-z]?([_\d].*)?|st_ocean|altitude|elevation|nav_lev",
    "time": r"t|times?|time_?counter|date(time)?|(time|t)_?\d+|mt",
    "member": r"members?|ens|ensembles?|realis?z?ations?|ensemble_member",
}
_NOT_GEOGRAPHIC = {"grid_latitude", "grid_longitude", "projection_x_coordinate", "projection_y_coordinate"}
_PLANE_NAMES = {"latitude": "y", "longitude": "x"}


@dataclass(frozen=True)
class Axis:
    """One dimension of a file: what it becomes, in which order, and which entries repeat others."""

    name: str | None
    values: np.ndarray | None = None
    order: np.ndarray | None = None
    repeats: list = field(default_factory=list)


def is_flag(field):
    """
    Tell whether a field holds flags, of which there are no means (CF `flag_values` or `flag_masks`).

    Parameters
    ----------
    field : xarray.DataArray

    Returns
    -------
    bool

    Examples
    --------
    >>> import xarray as xr
    >>> is_flag(xr.DataArray([0, 1], attrs={"flag_values": [0, 1]}))
    True
    """
    return bool({"flag_values", "flag_masks"} & field.attrs.keys())


def find_role(variable, *, name=None):
    """
    Tell which axis a coordinate variable is, by its CF attributes or else by its name.

    Parameters
    ----------
    variable : xarray.DataArray
    name : str, optional
        Instead of the variable's own.

    Returns
    -------
    {"latitude", "longitude", "depth", "time", "member"} or None

    Examples
    --------
    >>> import xarray as xr
    >>> find_role(xr.DataArray([20.5, 21.5], dims="LON21_380", attrs={"units": "degrees_east"}), name="LON21_380")
    'longitude'
    """
    attrs = {key: str(value).strip() for key, value in variable.attrs.items()}
    if attrs.get("standard_name") in _NOT_GEOGRAPHIC:
        return None
    for role, keys in _ATTRIBUTE_TABLE.items():
        if any(attrs.get(key, "").lower() in values for key, values in keys.items()):
            return role
    if variable.dtype.kind == "M" or " since " in attrs.get("units", "").lower():
        return "time"
    name = str(variable.name if name is None else name)
    if MONTH_NAMES.fullmatch(name):
        return "time"
    found = [role for role, pattern in _NAMES.items() if re.fullmatch(pattern, name, re.IGNORECASE)]
    if found:
        return found[0]
    return _role_in_plane(variable, name, attrs)


def _attribute_table():
    """CF attributes per role, lower case."""
    table = {}
    for role, keys in {
        "latitude": ("latitude",),
        "longitude": ("longitude",),
        "time": ("time",),
        "depth": ("vertical", "Z"),
    }.items():
        merged = {}
        for key in keys:
            for attribute, values in coordinate_criteria[key].items():
                merged.setdefault(attribute, set()).update(value.lower() for value in values)
        table[role] = merged
    table["member"] = {"standard_name": {"realization"}}
    return table


_ATTRIBUTE_TABLE = _attribute_table()


def _role_in_plane(variable, name, attrs):
    """Latitude or longitude of an axis that says little: x and y, or units of plain degrees."""
    units = attrs.get("units", "").lower()
    if units not in ("", "degree", "degrees", "deg") or variable.dtype.kind not in "fiu" or variable.ndim != 1:
        return None
    for role, letter in _PLANE_NAMES.items():
        if attrs.get("axis", "").upper() == letter.upper() and units:
            return role
        if name.lower() == letter and (units or _looks_geographic(variable.values, role)):
            return role
    return None


def _looks_geographic(values, role):
    """Whether bare numbers can be degrees and not the counts 0, 1, 2... of pixels."""
    low, high = (-90, 90) if role == "latitude" else (-360, 720)
    counts = values.size > 1 and values[0] in (0, 1) and (np.diff(values) == 1).all()
    return values.size > 1 and not counts and bool((values >= low).all() and (values <= high).all())


def read_axis(coordinate, *, role, bounds=None, hints="", where="the file"):
    """
    Bring one axis to our conventions.

    Parameters
    ----------
    coordinate : xarray.DataArray (n,)
    role : {"latitude", "longitude", "depth", "time", "member"}
    bounds : xarray.DataArray (n, 2), optional
        Used for time.
    hints : str
        Words of the file that may say that it holds a climatology.
    where : str
        How messages call the axis.

    Returns
    -------
    Axis
        Its `values` are the coordinate after the entries `order` of the file are taken; `repeats` holds pairs
        (kept, dropped) of entries at the same longitude.

    Raises
    ------
    SchemaError
        If the axis cannot be understood.

    Examples
    --------
    >>> import xarray as xr
    >>> axis = read_axis(xr.DataArray([90.0, 180.0, 270.0, 360.0, 450.0], dims="lon"), role="longitude")
    >>> axis.values.tolist(), axis.order.tolist(), axis.repeats
    ([-180.0, -90.0, 0.0, 90.0], [1, 2, 3, 0], [(0, 4)])
    """
    if role == "member":
        return Axis("member", coordinate.values, np.arange(coordinate.size))
    if role == "time":
        name, values = read_time_axis(coordinate, bounds=bounds, hints=hints, where=where)
        return Axis(None) if name is None else _ascending(name, values, where)
    values = _decimal(coordinate.values, where)
    units = str(coordinate.attrs.get("units", "")).strip()
    if role == "depth":
        return _ascending("depth", read_depths(values, coordinate=coordinate, where=where), where)
    if units.lower().startswith("rad"):
        msg = f"{where}: {role} must be in degrees; its units are {units!r}. Pass numpy.degrees of it."
        raise SchemaError(msg)
    return _read_latitude(values, where) if role == "latitude" else _read_longitude(values, where)


def _decimal(values, where):
    """Coordinates as float64; single precision is read as the decimal number it prints as."""
    if values.dtype.kind not in "fiu":
        msg = f"{where}: a coordinate must be numeric; found {values.ravel()[:3]}. Convert it to numbers."
        raise SchemaError(msg)
    values = values.astype(str).astype(float) if values.dtype.itemsize < 8 else values.astype(float)
    if not np.isfinite(values).all():
        msg = f"{where}: a coordinate must have no missing values; found {values[:5]}. Drop or fill them."
        raise SchemaError(msg)
    return values


def _ascending(name, values, where):
    """An axis in ascending order; one that comes back to an earlier value is refused."""
    order = np.argsort(values, kind="stable")
    values = values[order]
    doubled = values[1:] == values[:-1]
    if doubled.any():
        msg = f"{where}: each {name} may come once; {values[1:][doubled][0]} comes twice. Drop the doubled steps."
        raise SchemaError(msg)
    return Axis(name, values, order)


def _read_latitude(values, where):
    """Latitudes ascending; they must be strictly monotonic within -90..90."""
    steps = np.diff(values)
    if values.size < 2 or not ((steps > 0).all() or (steps < 0).all()):
        msg = (
            f"{where}: latitude must rise or fall strictly and have at least two values; found {values[:6]} "
            f"({values.size} values). Sort it, or regrid the field to latitudes and longitudes."
        )
        raise SchemaError(msg)
    if np.abs(values).max() > 90 + 1e-3:
        msg = (
            f"{where}: latitude must lie in -90..90; found {values.min():g}..{values.max():g}. "
            "Are latitude and longitude swapped, or is the grid projected? Regrid it to degrees."
        )
        raise SchemaError(msg)
    return _ascending("latitude", np.clip(values, -90, 90) + 0.0, where)


def _read_longitude(values, where):
    """Longitudes wrapped to -180..180, ascending, with repeated meridians set apart."""
    if values.size < 2 or np.abs(values).max() > 3 * 360:
        msg = (
            f"{where}: longitude must be at least two values in degrees; found {values.size} values, "
            f"{values.min():g}..{values.max():g}. Is the grid projected? Regrid it to degrees."
        )
        raise SchemaError(msg)
    tolerance = SAME_CELL * np.median(np.abs(np.diff(values)))
    # Rounding takes off the noise of the modulo, so that any offset of whole turns gives the same numbers.
    wrapped = np.round(np.mod(values + 180, 360) - 180, 9) + 0.0
    wrapped = np.where(wrapped > 180 - min(tolerance, 1e-3), -180.0, wrapped)
    order = np.argsort(wrapped, kind="stable")
    starts = np.concatenate([[True], np.diff(wrapped[order]) > tolerance])
    # The first entry in the file stands for its meridian.
    first = np.minimum.reduceat(order, np.flatnonzero(starts))
    owner = first[np.cumsum(starts) - 1]
    repeats = [(int(kept), int(entry)) for kept, entry in zip(owner, order, strict=True) if kept != entry]
    if np.ptp(values[first]) > 360 - tolerance:
        msg = (
            f"{where}: longitudes may span 360 degrees once; {values.min():g}..{values.max():g} do not come back to "
            "the same meridians. Cut the field to one turn."
        )
        raise SchemaError(msg)
    return Axis("longitude", wrapped[first], first, repeats)
