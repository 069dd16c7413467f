"""Files and Datasets of any origin, opened as raw variables with their attributes."""

import glob
import warnings
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

from aqqua_science.grids.calendars import month_number
from aqqua_science.optional import require
from aqqua_science.schema import SchemaError

_GEOTIFF = {".tif", ".tiff", ".gtiff", ".geotiff"}
_FILL = ("_FillValue", "missing_value")


def open_sources(sources):
    """
    Open every source, lazily and with undecoded times.

    Parameters
    ----------
    sources : iterable of str, pathlib.Path or xarray.Dataset
        Paths may hold wildcards.

    Returns
    -------
    list of (str, xarray.Dataset)
        How messages call the source, and its variables with missing values as NaN and packing undone.

    Raises
    ------
    SchemaError
        If a file is missing or cannot be read.
    TypeError
        If a source is neither a path nor a Dataset.

    Examples
    --------
    >>> [(label, dataset)] = open_sources([xr.Dataset({"sst": ("lat", [1.0, 2.0])})])
    >>> label
    'Dataset 1'
    """
    opened = []
    for number, source in enumerate(sources, start=1):
        if isinstance(source, xr.Dataset):
            label = Path(str(source.encoding.get("source", f"Dataset {number}"))).name
            decoded = _decode(source, label)
            decoded.set_close(None)  # the caller's file stays open
            opened.append((label, decoded))
        elif isinstance(source, str | Path):
            opened.extend((path.name, _open_path(path)) for path in expand_paths(source))
        else:
            msg = (
                f"a source must be a path, a pattern such as 'woa/*.nc' or an xarray.Dataset; got "
                f"{type(source).__name__}. Unpack lists with a star: open_environment(*paths)."
            )
            raise TypeError(msg)
    return opened


def expand_paths(pattern):
    """
    List the files that a path or pattern names, in sorted order.

    Parameters
    ----------
    pattern : str or pathlib.Path
        ``*``, ``?``, ``[...]`` and ``**`` are wildcards unless a file has that very name.

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    SchemaError
        If there is none.

    Examples
    --------
    >>> expand_paths("no-such-file.nc")
    Traceback (most recent call last):
    aqqua_science.schema.SchemaError: no-such-file.nc does not exist. ...
    """
    path = Path(pattern).expanduser()
    if path.exists():
        return [path]
    if "://" in str(pattern):
        msg = f"{pattern} is an address, not a file. Open it with xarray and pass the Dataset."
        raise SchemaError(msg)
    if not glob.has_magic(str(path)):
        msg = f"{path} does not exist. Check the path; relative paths start at {Path.cwd()}."
        raise SchemaError(msg)
    found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    if not found:
        msg = f"no file matches {path}. Check the pattern; relative paths start at {Path.cwd()}."
        raise SchemaError(msg)
    return found


def _open_path(path):
    """Open one NetCDF file, Zarr folder or GeoTIFF."""
    if path.suffix.lower() in _GEOTIFF:
        return _open_geotiff(path)
    is_zarr = path.is_dir() and any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))
    if path.is_dir() and not is_zarr:
        msg = f"{path} is a folder, not a Zarr store. Pass its files, e.g. '{path / '*.nc'}'."
        raise SchemaError(msg)
    try:
        with warnings.catch_warnings():
            # Stores without consolidated metadata are slower to open, no more.
            warnings.simplefilter("ignore")
            dataset = xr.open_dataset(path, engine="zarr" if is_zarr else "netcdf4", decode_cf=False)
    except Exception as error:
        # Every reader has its own exceptions for a damaged file; all mean the same to the caller.
        msg = f"{path} cannot be read as NetCDF, Zarr or GeoTIFF ({error}). Is the download complete?"
        raise SchemaError(msg) from error
    return _decode(_with_default_fill(dataset), path.name)


def _with_default_fill(dataset):
    """Declare NetCDF's default fill value where a file of floats declares none."""
    for variable in dataset.variables.values():
        if variable.dtype.kind == "f" and not any(name in variable.attrs for name in _FILL):
            variable.attrs["_FillValue"] = variable.dtype.type(netCDF4.default_fillvals[f"f{variable.dtype.itemsize}"])
    return dataset


def _decode(dataset, label):
    """Undo packing and mark missing values; times stay as they are."""
    dataset = dataset.copy()
    for variable in dataset.variables.values():
        fills = {key: _as_stored(variable.attrs[key], variable.dtype) for key in _FILL if key in variable.attrs}
        kept = {key: value for key, value in variable.attrs.items() if key not in _FILL}
        variable.attrs = kept | {key: value for key, value in fills.items() if value is not None}
    try:
        with warnings.catch_warnings():
            # A variable may declare two fill values; both become NaN.
            warnings.simplefilter("ignore", xr.SerializationWarning)
            return xr.decode_cf(dataset, decode_times=False, decode_timedelta=False)
    except ValueError as error:
        msg = f"{label}: its packing attributes contradict each other ({error}). Correct them with xarray."
        raise SchemaError(msg) from error


def _as_stored(fill, dtype):
    """Give a fill value in the type of its variable: -1e34 in double never equals -1e34 in single precision."""
    if dtype.kind not in "fiu":
        return fill
    try:
        with np.errstate(over="ignore"):
            stored = np.asarray(fill, dtype=float).astype(dtype) if dtype.kind == "f" else np.asarray(fill, dtype=dtype)
    except (ValueError, TypeError, OverflowError):
        return None
    return stored[()] if stored.size == 1 else stored


def _open_geotiff(path):
    """Open a GeoTIFF in degrees; its bands become variables, or months if they are named so."""
    rioxarray = require("rioxarray", for_="grids")
    try:
        with warnings.catch_warnings():
            # Deprecations between rioxarray, rasterio and affine are no business of the caller.
            warnings.simplefilter("ignore")
            bands = rioxarray.open_rasterio(path, masked=True)
    except Exception as error:
        msg = f"{path} cannot be read as GeoTIFF ({error}). Is the download complete?"
        raise SchemaError(msg) from error
    _require_degrees(bands, path)
    described = bands.attrs.get("long_name", ())
    names = [described] if isinstance(described, str) else list(described)
    units = np.broadcast_to(bands.attrs.get("units", ""), bands.sizes["band"])
    bands = bands.drop_vars("spatial_ref").drop_attrs()
    bands["x"].attrs["units"], bands["y"].attrs["units"] = "degrees_east", "degrees_north"
    months = [month_number(name) for name in names]
    if len(names) > 1 and all(months):
        bands = bands.rename(band="month").assign_coords(month=months).assign_attrs(units=units[0])
        return bands.to_dataset(name=path.stem)
    return _bands_as_variables(bands, names, units, path)


def _require_degrees(bands, path):
    """Refuse a raster that is projected, rotated or says nothing of its coordinates."""
    crs = bands.rio.crs
    if crs is None or not crs.is_geographic or "x" not in bands.coords:
        known = "absent" if crs is None else crs.to_string()[:60]
        msg = (
            f"{path}: a GeoTIFF must be in degrees of longitude and latitude, north up; its reference system is {known}"
            ". Warp it: rioxarray.open_rasterio(path).rio.reproject('EPSG:4326')."
        )
        raise SchemaError(msg)


def _bands_as_variables(bands, names, units, path):
    """One variable per band; many bands without a description are not guessed."""
    n = bands.sizes["band"]
    names = names if n > 1 or names else [path.stem]
    if len(names) != n or len(set(names)) != n or not all(names):
        msg = (
            f"{path}: its {n} bands must each have a description; found {names}. Set them (GDAL's band descriptions: "
            "a name per variable, or January..December), or open it with rioxarray and pass a Dataset."
        )
        raise SchemaError(msg)
    arrays = {name: bands.isel(band=i, drop=True).assign_attrs(units=units[i]) for i, name in enumerate(names)}
    return xr.Dataset({name: array if array.attrs["units"] else array.drop_attrs() for name, array in arrays.items()})
