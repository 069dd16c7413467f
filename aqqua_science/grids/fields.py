"""The gridded variables of one source, each brought to our conventions."""

import re
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from aqqua_science.grids.axes import ATTRIBUTES, DIMENSIONS, find_role, read_axis
from aqqua_science.grids.calendars import as_datetime64
from aqqua_science.grids.time_axes import read_bound_dates
from aqqua_science.schema import SchemaError

_POINTERS = ("bounds", "climatology", "grid_mapping", "cell_measures", "formula_terms")
_HELPER_NAMES = re.compile(r".*(_bnds|_bounds|_bound|bnds|_vertices|_corners)|(bounds|vertices)_.*|crs|spatial_ref")
_HELPER_DIMS = re.compile(r"n?(bnds|bnd|bounds|nv|vertices|vertex|corners?)(_?\d+)?|nb2|d2", re.IGNORECASE)
_OF_THE_FILE = {"coordinates", "grid_mapping", "ancillary_variables", "cell_measures", "bounds", "actual_range"}
_RANGES = {"valid_range", "valid_min", "valid_max"}
_KELVIN = re.compile(r"k|kelvins?|deg(ree)?s?[ _]?k(elvin)?s?", re.IGNORECASE)
_DIFFERENCE = re.compile(
    r"error|uncertain|anomal|deviation|\bstd|\bsd\b|differen|\bbias|spread|variance|gradient|trend|tendency",
    re.IGNORECASE,
)
_COLDEST_KELVIN = 150


def read_fields(label, dataset, *, wanted=None, chunks=None):
    """
    Read the gridded variables of a Dataset in our conventions.

    Parameters
    ----------
    label : str
        How messages call the source.
    dataset : xarray.Dataset
        Raw variables with undecoded times.
    wanted : list of str, optional
        Names of variables; those that the Dataset lacks are skipped. By default every gridded variable.
    chunks : dict, int or "auto", optional
        Sizes of Dask chunks by our names of the dimensions.

    Returns
    -------
    list of (str, xarray.DataArray)
        How messages call the field, and the field.

    Raises
    ------
    SchemaError
        If a variable or one of its axes cannot be understood.

    Examples
    --------
    >>> raw = xr.Dataset({"sst": (("lat", "lon"), np.eye(2))}, {"lat": [1.0, 0.0], "lon": [10.0, 350.0]})
    >>> [(where, sst)] = read_fields("sst.nc", raw)
    >>> where, sst["longitude"].values
    ("sst.nc: variable 'sst'", array([-10.,  10.]))
    """
    source = _Source(label, dataset)
    names = source.candidates() if wanted is None else [name for name in wanted if name in dataset.variables]
    if not names and wanted is None:
        msg = (
            f"{label} holds no gridded variable; it has {sorted(map(str, dataset.variables))}. "
            "Pass files of fields on latitude and longitude."
        )
        raise SchemaError(msg)
    return [(source.where(name), _read_field(source, name, chunks)) for name in names]


def read_depth_bounds(label, dataset, *, wanted=None):
    """
    Read the bounds of depth levels, where a Dataset has them.

    Parameters
    ----------
    label : str
        How messages call the source.
    dataset : xarray.Dataset
        Raw variables.
    wanted : list of str, optional
        As for `read_fields`, which has read these before.

    Returns
    -------
    list of (numpy.ndarray (n,), numpy.ndarray (n, 2))
        Levels, ascending, and their upper and lower bounds; metres, positive down, never above the surface.

    Examples
    --------
    >>> depth = xr.Variable("z", [-5.0, -20.0], {"units": "m", "bounds": "z_bounds"})
    >>> raw = xr.Dataset({"no3": ("z", [0, 1])}, {"z": depth, "z_bounds": (("z", "side"), [[0, -10], [-10, -50]])})
    >>> read_depth_bounds("ocean.nc", raw)
    [(array([ 5., 20.]), array([[ 0., 10.],
           [10., 50.]]))]
    """
    source, found = _Source(label, dataset), []
    names = source.candidates() if wanted is None else [name for name in wanted if name in dataset.variables]
    for dim in {dim for name in names for dim in dataset[name].dims if source.role(dim) == "depth"}:
        coordinate = source.coordinates[dim]
        bounds, axis = source.bounds(coordinate), source.axis(dim, coordinate.name)
        deepest = float(np.abs(coordinate).max())
        if bounds is not None and deepest > 0:
            metres = np.abs(bounds.values[axis.order].astype(float)) * (axis.values[-1] / deepest)
            found.append((axis.values, np.sort(metres, axis=1)))
    return found


def read_time_bounds(label, dataset, *, wanted=None):
    """
    Read the bounds of dated steps, where a Dataset has them.

    Parameters
    ----------
    label : str
        How messages call the source.
    dataset : xarray.Dataset
        Raw variables.
    wanted : list of str, optional
        As for `read_fields`, which has read these before.

    Returns
    -------
    list of (numpy.ndarray (n,), numpy.ndarray (n, 2))
        Dates, ascending, and the beginning and end of their steps, as datetime64[ns] in UTC.

    Examples
    --------
    >>> time = xr.Variable("t", [0, 8], {"units": "days since 2000-01-01", "bounds": "t_bounds"})
    >>> raw = xr.Dataset({"chl": ("t", [0, 1])}, {"t": time, "t_bounds": (("t", "side"), [[0, 8], [8, 16]])})
    >>> [(dates, sides)] = read_time_bounds("chl.nc", raw)
    >>> sides.astype("datetime64[D]")[1]
    array(['2000-01-09', '2000-01-17'], dtype='datetime64[D]')
    """
    source, found = _Source(label, dataset), []
    names = source.candidates() if wanted is None else [name for name in wanted if name in dataset.variables]
    for dim in {dim for name in names for dim in dataset[name].dims if source.role(dim) == "time"}:
        coordinate = source.coordinates[dim]
        bounds, axis = source.bounds(coordinate), source.axis(dim, coordinate.name)
        if bounds is not None and axis.name == "time":
            sides = read_bound_dates(coordinate, bounds, source.label)
            dates = [] if sides is None else [as_datetime64(side, where=source.label) for side in sides]
            found += [(axis.values, np.stack(dates, axis=1)[axis.order])] if dates else []
    return found


@dataclass
class _Source:
    """The variables of one source and what its dimensions mean."""

    label: str
    dataset: xr.Dataset
    axes: dict = field(default_factory=dict)

    def __post_init__(self):
        self.coordinates = {dim: self._find_coordinate(dim) for dim in self.dataset.dims}

    def where(self, name):
        return f"{self.label}: variable {name!r}"

    def role(self, dim):
        coordinate = self.coordinates[dim]
        return None if coordinate is None else find_role(coordinate)

    def candidates(self):
        """Variables that are fields: neither coordinates nor what coordinates point to."""
        data = self.dataset
        helpers = {word for v in data.variables.values() for key in _POINTERS for word in _words(v, key)}
        helpers |= {coordinate.name for coordinate in self.coordinates.values() if coordinate is not None}
        return [
            name
            for name, v in data.data_vars.items()
            if v.ndim and v.dtype.kind in "fiub" and name not in helpers and not self._is_helper(name, v)
        ]

    def _is_helper(self, name, variable):
        """Whether a variable only serves others: bounds, or the 2-D positions of a curvilinear grid."""
        of_bounds = any(_HELPER_DIMS.fullmatch(str(dim)) and not self.role(dim) for dim in variable.dims)
        positions = variable.ndim > 1 and find_role(variable) in ("latitude", "longitude")
        return bool(_HELPER_NAMES.fullmatch(str(name))) or of_bounds or positions

    def _find_coordinate(self, dim):
        """The coordinate of a dimension: of the same name, else along it, else folded out of two dimensions."""
        data = self.dataset
        along = [data[name] for name, v in data.variables.items() if v.dims == (dim,)]
        known = [v for v in sorted(along, key=lambda v: v.name != dim) if find_role(v) is not None]
        if {"latitude", "longitude"} <= {find_role(v) for v in known}:
            msg = (
                f"{self.label}: latitude and longitude share the dimension {dim!r}: points or an unstructured mesh, "
                "not a grid. Regrid the fields to latitudes and longitudes, e.g. with CDO remapbil."
            )
            raise SchemaError(msg)
        if not known and str(dim).lower() == "month" and dim not in data.variables and data.sizes[dim] == 12:
            return xr.DataArray(np.arange(1, 13), dims=dim, name=dim)
        return known[0] if known else self._unfold(dim)

    def _unfold(self, dim):
        """A latitude or longitude that is stored on two dimensions and varies along this one only."""
        for name, variable in self.dataset.variables.items():
            flat = variable.ndim == 2 and dim in variable.dims
            if not flat or find_role(self.dataset[name]) not in ("latitude", "longitude"):
                continue
            plane = self.dataset[name].reset_coords(drop=True).transpose(dim, ...)
            if np.ptp(plane.values, axis=1).max() < 1e-3 < np.ptp(plane.values):
                return plane[:, 0].drop_vars(plane.coords)
        return None

    def axis(self, dim, name):
        """The axis of a dimension, read once, or None for an unknown one."""
        if dim not in self.axes:
            coordinate, role = self.coordinates[dim], self.role(dim)
            self.axes[dim] = role and read_axis(
                coordinate,
                role=role,
                bounds=self.bounds(coordinate) if role == "time" else None,
                hints=self._hints(name),
                where=f"{self.label}: axis {coordinate.name!r}",
            )
        return self.axes[dim]

    def bounds(self, coordinate):
        """Bounds of an axis, if the source has them."""
        said = {**coordinate.encoding, **coordinate.attrs}
        name = said.get("climatology", said.get("bounds"))
        known = name in self.dataset.variables and self.dataset[name].shape == (coordinate.size, 2)
        return self.dataset[name] if known else None

    def _hints(self, name):
        """What the source says of itself and of a variable."""
        attrs = self.dataset[name].attrs
        words = [attrs.get(key, "") for key in ("long_name", "cell_methods", "statistic")]
        return " ".join(map(str, [self.dataset.attrs.get("title", ""), *words]))

    def require_grid(self, name):
        """Refuse a variable that is not on one latitude and one longitude, and say what it is on."""
        dims = self.dataset[name].dims
        roles = [self.role(dim) for dim in dims]
        if roles.count("latitude") == roles.count("longitude") == 1:
            return
        planes = [other for other, v in self.dataset.variables.items() if v.ndim == 2 and set(v.dims) <= set(dims)]
        lines = [self.dataset[dim].attrs.get("standard_name", "") for dim in dims if dim in self.dataset.variables]
        rule, remedy = "has no latitude and longitude", "Leave it out with variables=[...], or give it coordinates."
        if {"latitude", "longitude"} <= {find_role(self.dataset[other]) for other in planes}:
            rule = "is on a curvilinear grid (2-D latitude and longitude)"
            remedy = (
                "Regrid it first: open_environment(regrid(xarray.open_dataset(file), 1.0, method='nearest')), "
                "with regrid of aqqua_science.grids."
            )
        elif any(re.match("grid_|projection_", line) for line in lines):
            rule = "is on a rotated or projected grid"
            remedy = "Regrid it to latitudes and longitudes first, e.g. with CDO remapbil or rioxarray's reproject."
        msg = f"{self.where(name)} {rule}; its dimensions are {dims}. {remedy}"
        raise SchemaError(msg)


def _words(variable, key):
    """Names in an attribute that points to other variables."""
    return str(variable.attrs.get(key, variable.encoding.get(key, ""))).replace(":", " ").split()


def _read_field(source, name, chunks):
    """One variable in our conventions."""
    source.require_grid(name)
    array = source.dataset[name].reset_coords(drop=True)
    axes = {dim: source.axis(dim, name) for dim in array.dims}
    no_axis = [dim for dim, axis in axes.items() if axis is None or axis.name is None]
    for dim in no_axis:
        if array.sizes[dim] > 1:
            msg = (
                f"{source.where(name)}: the dimension {dim!r} of {array.sizes[dim]} steps is none of "
                f"{', '.join(DIMENSIONS)}. Select one step of it, or give it a coordinate with CF attributes."
            )
            raise SchemaError(msg)
    axes = {dim: axis for dim, axis in axes.items() if dim not in no_axis}
    array = _read_values(array.isel(dict.fromkeys(no_axis, 0)), axes, chunks)
    for dim, axis in axes.items():
        _require_equal_repeats(array, dim, axis.repeats, where=source.where(name))
    return _in_conventions(array, axes).assign_attrs(source=source.label)


def _read_values(array, axes, chunks):
    """Chunk an array as asked, or load it; an array that is lazy already stays so."""
    if chunks is None:
        return array if array.chunks else array.compute()
    if isinstance(chunks, dict):
        ours = {axis.name: dim for dim, axis in axes.items()}
        stored = array.encoding.get("preferred_chunks", {})
        asked = stored | {ours.get(key, key): size for key, size in chunks.items()}
        chunks = {dim: size for dim, size in asked.items() if dim in array.dims}
    return array.chunk(chunks)


def _require_equal_repeats(array, dim, repeats, *, where):
    """Refuse a meridian that comes twice with different values."""
    if not repeats:
        return
    kept, dropped = (array.isel({dim: list(entries)}).values for entries in zip(*repeats, strict=True))
    if not np.allclose(kept, dropped, rtol=1e-5, atol=0, equal_nan=True):
        msg = (
            f"{where}: {len(repeats)} of its meridians come twice with different values; a repeated meridian must "
            f"hold the same values. Drop the wrong ones, e.g. dataset.isel({dim}=slice(0, {array.sizes[dim] - 1}))."
        )
        raise SchemaError(msg)


def _in_conventions(array, axes):
    """Order, rename and label the dimensions; convert Kelvin; keep the attributes that describe the field."""
    for dim, axis in axes.items():
        if not np.array_equal(axis.order, np.arange(array.sizes[dim])):
            array = array.isel({dim: axis.order})
    array = array.drop_vars(array.coords).rename({dim: axis.name for dim, axis in axes.items()})
    coordinates = {axis.name: (axis.name, axis.values, ATTRIBUTES[axis.name]) for axis in axes.values()}
    array = array.assign_coords(coordinates).drop_encoding()
    array.attrs = {key: value for key, value in array.attrs.items() if key not in _OF_THE_FILE}
    array = array.transpose(*(dim for dim in DIMENSIONS if dim in array.dims))
    return _in_celsius(array) if _is_absolute_kelvin(array) else array


def _is_absolute_kelvin(array):
    """Whether values are temperatures in Kelvin, and not differences or errors of temperature."""
    if not _KELVIN.fullmatch(str(array.attrs.get("units", "")).strip()):
        return False
    words = " ".join(str(array.attrs.get(key, "")) for key in ("standard_name", "long_name", "cell_methods"))
    if _DIFFERENCE.search(f"{array.name} {words}".replace("_", " ")):
        return False
    slab = array.isel({dim: 0 for dim in array.dims if dim not in ("latitude", "longitude")}).values
    return not np.isfinite(slab).any() or np.nanmax(slab) > _COLDEST_KELVIN


def _in_celsius(array):
    """Convert from Kelvin, in the precision of the array."""
    array = array.astype(np.result_type(array.dtype, np.float32), copy=False)
    attrs = {key: value for key, value in array.attrs.items() if key not in _RANGES} | {"units": "degC"}
    return (array - array.dtype.type(273.15)).drop_attrs(deep=False).assign_attrs(attrs)
