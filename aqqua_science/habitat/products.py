"""What a map leaves for others: a table of budgets, a GeoTIFF for a GIS, and a sheet that catalogues read."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqqua_science import __version__
from aqqua_science.files import replacing, write_json
from aqqua_science.grids.calendars import DAYS_OF_MONTH
from aqqua_science.habitat.budget_text import is_mean
from aqqua_science.habitat.publication import part_text
from aqqua_science.optional import require


def write_budget(result, path):
    """
    Write the budgets of all regions and months as one CSV table.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.
    path : str or pathlib.Path
    """
    with replacing(Path(path)) as part:
        pd.DataFrame(result["budget"]).to_csv(part, index=False)


def write_geotiff(field, path, *, name):
    """
    Write the layers that a GIS shows as a Cloud-Optimised GeoTIFF.

    Parameters
    ----------
    field : xarray.Dataset
        Of `run_recipe`, on a regular grid.
    path : str or pathlib.Path
    name : str
        The variable with the members.

    Returns
    -------
    list of str
        Names of the bands: the mean (of the months by their lengths; as in a budget, a month without a value adds
        nothing), ``low`` and ``high`` of a map without months, the share of the months inside the area of
        applicability, and the mean of each month. Empty, and nothing is written, where cells are not evenly spaced or
        there is an axis of depth or dates.

    Examples
    --------
    >>> import tempfile
    >>> from aqqua_science.grids import regular_grid
    >>> grid = regular_grid(30.0)
    >>> flat = xr.DataArray(np.ones((2, 6, 12)), grid.coords, ("member", "latitude", "longitude"))
    >>> write_geotiff(xr.Dataset({"biomass": flat}), Path(tempfile.mkdtemp(), "map.tif"), name="biomass")
    ['mean']
    """
    if set(field[name].dims) - {"member", "month", "latitude", "longitude"} or not _is_regular(field):
        return []
    require("rioxarray", for_="maps")
    bands = _bands(field, name)
    units = field[name].attrs.get("units", "")
    stack = xr.concat(list(bands.values()), "band", coords="minimal", compat="override")
    stack = stack.transpose("band", "latitude", "longitude").sortby("latitude", ascending=False).astype(np.float32)
    stack = stack.drop_vars([c for c in stack.coords if c not in stack.dims]).drop_attrs()
    stack = stack.rename(latitude="y", longitude="x").rio.write_crs("EPSG:4326").rio.write_nodata(np.nan)
    stack.attrs = {"long_name": tuple(bands), "units": units}
    with replacing(Path(path)) as part, warnings.catch_warnings():
        # Deprecations between rioxarray, rasterio and affine are no business of the caller.
        warnings.simplefilter("ignore")
        stack.rio.to_raster(part, driver="COG", compress="DEFLATE")
    return list(bands)


def write_sheet(result, field, path):
    """
    Write what catalogues want to know of a product, as a schema.org Dataset in JSON-LD.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.
    field : xarray.Dataset
    path : str or pathlib.Path

    Notes
    -----
    Search engines for data sets and the catalogues of EMODnet and DataCite harvest this form.
    """
    recipe, row = result["provenance"]["recipe"], result["budget"][0]
    about = field.attrs
    box = " ".join(f"{about[f'geospatial_{axis}_{end}']:g}" for end in ("min", "max") for axis in ("lat", "lon"))
    sheet = {
        "@context": "https://schema.org/",
        "@type": "Dataset",
        "name": result["title"],
        "description": about["summary"],
        "creditText": about.get("acknowledgement", ""),
        "license": recipe["licence"],
        "spatialCoverage": {"@type": "Place", "geo": {"@type": "GeoShape", "box": box}},
        "temporalCoverage": "climatology by month" if "month" in field.dims else "climatology",
        "variableMeasured": [
            {"@type": "PropertyValue", "name": str(v), "unitText": field[v].attrs.get("units", "1")}
            | {"description": field[v].attrs.get("long_name", str(v))}
            for v in field.data_vars
            if {"latitude", "longitude"} <= set(field[v].dims)
        ]
        + [
            {
                "@type": "PropertyValue",
                "name": f"{'mean' if is_mean(result) else 'total'} of the mapped area",
                "value": row["median"],
                "unitText": row["units"],
            }
            | {"minValue": row["low"], "maxValue": row["high"], "description": f"{row['level']:.0%} interval"}
        ],
        "measurementTechnique": about["source"],
        "identifier": result["provenance"]["recipe_sha256"] + part_text(result["provenance"]["mapped"]),
        "creator": {"@type": "SoftwareApplication", "name": "aqqua_science", "softwareVersion": __version__},
        "distribution": [
            {"@type": "DataDownload", "name": file, "encodingFormat": form}
            for file, form in [
                ("field.nc", "application/x-netcdf"),
                ("field.zarr", "application/vnd.zarr"),
                ("map.tif", "image/tiff; application=geotiff; profile=cloud-optimized"),
                ("budget.csv", "text/csv"),
                ("report.md", "text/markdown"),
            ]
            if (Path(path).parent / file).exists()
        ],
    }
    write_json({key: value for key, value in sheet.items() if value not in ("", None)}, path)


def _bands(field, name):
    mean = field[name].mean("member", keep_attrs=True)
    inside = (field["inside"] == 1).astype(float) if "inside" in field else None
    if "month" not in mean.dims:
        bands = {"mean": mean} | {v: field[v] for v in ("low", "high") if v in field}
        return bands | ({} if inside is None else {"inside": inside.where(mean.notnull())})
    days = xr.DataArray(DAYS_OF_MONTH[mean["month"].values - 1], {"month": mean["month"]}, ("month",))
    known = mean.notnull()
    bands = {"mean": mean.fillna(0).weighted(days).mean("month").where(known.any("month"))}
    if inside is not None:
        bands["inside"] = inside.where(known).weighted(days).mean("month")
    return bands | {f"month_{m:02}": mean.sel(month=m, drop=True) for m in mean["month"].values.tolist()}


def _is_regular(field):
    steps = [np.diff(field[c].values.astype(float)) for c in ("latitude", "longitude")]
    return all(step.size and np.allclose(step, step.mean(), rtol=1e-3, atol=0) for step in steps)
