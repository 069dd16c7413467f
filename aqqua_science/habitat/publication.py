"""Fields as files that others can read: CF-1.11 and ACDD-1.3 NetCDF, written whole or not at all."""

import shutil
from pathlib import Path

import numpy as np
import xarray as xr

from aqqua_science.files import replacing
from aqqua_science.grids.geometry import cell_area
from aqqua_science.habitat.units import parse_units

_COORDINATES = {
    "latitude": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y", "long_name": "latitude"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east", "axis": "X", "long_name": "longitude"},
    "depth": {"standard_name": "depth", "units": "m", "axis": "Z", "positive": "down", "long_name": "depth"},
    "month": {"long_name": "month of the year", "units": "1"},
    "member": {"long_name": "member of the ensemble", "units": "1"},
    "replicate": {"long_name": "refit on resampled blocks", "units": "1"},
}


_CONTENT = {
    "sea_floor_depth": "auxiliaryInformation",
    "cell_area": "auxiliaryInformation",
}
_STANDARD_NAMES = {
    ("biomass", "kg m-3"): "mass_concentration_of_biological_taxon_expressed_as_carbon_in_sea_water",
    ("biomass", "mol m-3"): "mole_concentration_of_biological_taxon_expressed_as_carbon_in_sea_water",
    ("flux", "mol m-2 s-1"): "sinking_mole_flux_of_particulate_organic_matter_expressed_as_carbon_in_sea_water",
}
"""By quantity and units; CF has none for the rest."""


def describe_field(field, *, name, title, summary, credit="", history=""):
    """
    Complete a field's attributes to CF-1.11 and ACDD-1.3.

    Parameters
    ----------
    field : xarray.Dataset
    name : str
        The variable with the members.
    title, summary, credit, history : str
        Global attributes; `credit` becomes ``acknowledgement``.

    Returns
    -------
    xarray.Dataset
        With cell areas, a coordinate reference system, and attributes on every variable.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> grid = regular_grid(30.0)
    >>> flat = xr.DataArray(np.ones((2, 6, 12)), grid.coords, ("member", "latitude", "longitude"))
    >>> field = xr.Dataset({"biomass": flat.assign_attrs(units="mg m-3")})
    >>> describe_field(field, name="biomass", title="Flat", summary="One everywhere.").attrs["Conventions"]
    'CF-1.11, ACDD-1.3'
    """
    described = field.assign(cell_area=cell_area(field), crs=_crs())
    for coordinate, attrs in _COORDINATES.items():
        if coordinate in described.dims:
            values = described[coordinate] if coordinate in described.coords else np.arange(field.sizes[coordinate])
            described = described.assign_coords({coordinate: values})
            described[coordinate].attrs = {**attrs, "coverage_content_type": "coordinate"}
    for variable in [v for v in described.data_vars if {"latitude", "longitude"} <= set(described[v].dims)]:
        attrs = described[variable].attrs
        attrs |= {"grid_mapping": "crs", "coverage_content_type": _CONTENT.get(str(variable), "qualityInformation")}
        attrs.setdefault("long_name", str(variable).replace("_", " "))
        if variable != "cell_area":
            attrs["cell_measures"] = "area: cell_area"
        if variable in (name, "low", "high", "replicates") and (
            standard := _standard_name(name, attrs.get("units", "1"))
        ):
            attrs["standard_name"] = standard
    ancillary = [v for v in ("low", "high", "inside", "dissimilarity_index") if v in described]
    described[name].attrs |= {"cell_methods": "latitude: longitude: mean", "coverage_content_type": "modelResult"}
    if ancillary:
        described[name].attrs["ancillary_variables"] = " ".join(ancillary)
    return described.assign_attrs(_global_attributes(described, title, summary, credit, history))


def part_text(mapped):
    """
    Say which part of a recipe's map it is, if not the whole.

    Parameters
    ----------
    mapped : mapping
        ``scenario``, ``months``, ``region`` and ``resolution``, None where not chosen.

    Returns
    -------
    str

    Examples
    --------
    >>> part_text({"scenario": "warm", "months": None, "resolution": 2.0}), part_text({"scenario": None})
    (' (scenario warm, resolution 2.0)', '')
    """
    told = [f"{name} {value}" for name, value in mapped.items() if value is not None]
    return f" ({', '.join(told)})" if told else ""


def write_netcdf(field, path):
    """
    Write a field as compressed NetCDF-4, atomically.

    Parameters
    ----------
    field : xarray.Dataset
    path : str or pathlib.Path

    Examples
    --------
    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp(), "field.nc")
    >>> write_netcdf(xr.Dataset({"biomass": ("latitude", [1.0])}, {"latitude": [0.5]}), target)
    >>> target.exists()
    True
    """
    encoding = {}
    for name, values in field.data_vars.items():
        if values.dtype.kind == "f" and values.ndim >= 2:
            encoding[name] = {
                "zlib": True,
                "complevel": 2,
                "_FillValue": np.float32(np.nan) if values.dtype == np.float32 else np.nan,
            }
        elif values.dtype.kind in "iu" and values.ndim >= 2:
            encoding[name] = {"zlib": True, "complevel": 2}
    encoding |= {str(c): {"_FillValue": None} for c in field.coords}
    with replacing(path) as part:
        field.to_netcdf(part, engine="netcdf4", encoding=encoding)


def write_zarr(field, path):
    """
    Write a field as a Zarr store, each member and month a chunk; a store that is there is replaced when all is whole.

    Parameters
    ----------
    field : xarray.Dataset
    path : str or pathlib.Path

    Examples
    --------
    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp(), "field.zarr")
    >>> write_zarr(xr.Dataset({"biomass": ("latitude", [1.0])}, {"latitude": [0.5]}), target)
    >>> xr.open_zarr(target, consolidated=False)["biomass"].values
    array([1.])
    """
    path = Path(path)
    part = path.with_name(f".{path.name}-part")
    shutil.rmtree(part, ignore_errors=True)
    single = {name: 1 for name in ("member", "replicate", "month", "time") if name in field.dims}
    field.drop_encoding().chunk(single).to_zarr(part, consolidated=False)
    shutil.rmtree(path, ignore_errors=True)
    part.rename(path)


def _standard_name(name, units):
    """CF's name of a quantity, where it has one."""
    unit = parse_units(units)
    found = (text for (key, like), text in _STANDARD_NAMES.items() if key == name and unit.is_convertible(like))
    return next(found, None)


def _crs():
    attrs = {
        "grid_mapping_name": "latitude_longitude",
        "semi_major_axis": 6378137.0,
        "inverse_flattening": 298.257223563,
        "longitude_of_prime_meridian": 0.0,
        "long_name": "WGS84",
    }
    return xr.DataArray(np.int32(0), attrs=attrs)


def _global_attributes(field, title, summary, credit, history):
    latitude, longitude = field["latitude"].values, field["longitude"].values
    steps = [abs(float(np.diff(c[:2])[0])) for c in (latitude, longitude)]
    attrs = {
        "Conventions": "CF-1.11, ACDD-1.3",
        "title": title,
        "summary": summary,
        "keywords": "EARTH SCIENCE > BIOSPHERE > ECOLOGICAL DYNAMICS, plankton, ocean, biomass, habitat model",
        "source": "aqqua_science: boosted regression trees on samples and gridded predictors",
        "history": history,
        "processing_level": "Level 4: model output from lower-level data",
        "acknowledgement": credit,
        "standard_name_vocabulary": "CF Standard Name Table v93",
        "cdm_data_type": "Grid",
        "geospatial_lat_min": float(latitude.min() - steps[0] / 2),
        "geospatial_lat_max": float(latitude.max() + steps[0] / 2),
        "geospatial_lat_units": "degrees_north",
        "geospatial_lat_resolution": steps[0],
        "geospatial_lon_min": float(longitude.min() - steps[1] / 2),
        "geospatial_lon_max": float(longitude.max() + steps[1] / 2),
        "geospatial_lon_units": "degrees_east",
        "geospatial_lon_resolution": steps[1],
    }
    return {key: value for key, value in attrs.items() if value != ""}
