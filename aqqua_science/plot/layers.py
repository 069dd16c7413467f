"""One layer out of many: what of a field with members, months and depths a flat map can show."""

import numpy as np
import xarray as xr

from aqqua_science.grids.geometry import cell_area, cell_edges
from aqqua_science.schema import SchemaError, nearest_name

_MEANS = {"member": "members", "month": "months", "time": "times"}


def flatten(field):
    """
    Average a field over everything but latitude and longitude.

    Parameters
    ----------
    field : xarray.DataArray (member, month or time, depth, latitude, longitude)
        Any of the first three may be absent.

    Returns
    -------
    layer : xarray.DataArray (latitude, longitude)
        Plain mean over members and months, mean over depth weighted by the thickness of the layers.
    note : str
        What was averaged, for a title; empty when nothing was.

    Raises
    ------
    SchemaError
        If another dimension is left.

    Examples
    --------
    >>> field = xr.DataArray(np.ones((12, 2, 1, 1)), dims=("month", "depth", "latitude", "longitude"),
    ...                      coords={"depth": [50.0, 150.0]})
    >>> flatten(field)[1]
    'mean of 12 months, 0–200 m'
    """
    layer, notes = _average(field, _MEANS)
    if set(layer.dims) != {"latitude", "longitude"}:
        msg = (
            f"a map can average over member, month, time and depth; {field.name or 'the field'} has dimensions "
            f"{', '.join(map(str, field.dims))}. Select one value of the others first."
        )
        raise SchemaError(msg)
    return layer.transpose("latitude", "longitude"), ", ".join(notes)


def interval_width(dataset, name):
    """
    Width of the interval of each cell, and what kind of interval it is.

    Parameters
    ----------
    dataset : xarray.Dataset
        With `low` and `high` (a calibrated 90 % interval), or else with members of `name`.
    name : str

    Returns
    -------
    width : xarray.DataArray (latitude, longitude)
    label : str
        Members alone make no confidence interval; they are called what they are.

    Raises
    ------
    SchemaError
        If there is neither an interval nor a member dimension.

    Examples
    --------
    >>> dims = ("member", "latitude", "longitude")
    >>> interval_width(xr.Dataset({"biomass": (dims, np.arange(101.0).reshape(-1, 1, 1))}), "biomass")[1]
    'Member spread (5–95 %)'
    """
    if {"low", "high"} <= set(dataset.data_vars):
        level = dataset.attrs.get("calibration_level", 0.9)
        width, label = (
            flatten(dataset["high"] - dataset["low"])[0],
            f"Width of the {100 * level:g} % interval of a cell",
        )
    elif "member" in dataset[name].dims:
        members, _ = _average(dataset[name], ["month", "time"])
        low, high = members.quantile([0.05, 0.95], "member", skipna=False).transpose("quantile", ...)
        width, label = high - low, "Member spread (5–95 %)"
    else:
        msg = (
            f"no uncertainty to show: the dataset has neither low and high nor a member dimension in {name!r}. "
            "Keep the members of predict_grid, or add the interval with aqqua_science.habitat.calibrate."
        )
        raise SchemaError(msg)
    return width.assign_attrs(dataset[name].attrs), label


def extrapolated(dataset, values):
    """
    Where the model extrapolates, and how much of the area that is.

    Parameters
    ----------
    dataset : xarray.Dataset
        With `inside` (1 inside the area of applicability, 0 outside).
    values : xarray.DataArray (month or time, depth, latitude, longitude)
        Only where it has a value a cell counts; any of the first two may be absent.

    Returns
    -------
    share : xarray.DataArray (latitude, longitude)
        Share of the months and depths that are outside, 0..1.
    fraction : float
        Share of the area.

    Raises
    ------
    SchemaError
        If there is no `inside`.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> layer = xr.ones_like(cell_area(regular_grid(10.0)))
    >>> extrapolated(xr.Dataset({"inside": (layer.latitude > 0) * layer}), layer)[1]
    0.5
    """
    if "inside" not in dataset:
        msg = (
            f"the dataset does not say where it extrapolates: no variable 'inside'.{nearest_name('inside', dataset)} "
            "Merge the result of aqqua_science.habitat.area_of_applicability into it."
        )
        raise SchemaError(msg)
    share = flatten((dataset["inside"] == 0).astype(float).where(values.notnull()))[0]
    return share, float(share.weighted(cell_area(share)).mean())


def _average(field, names):
    """Plain mean over some of member, month and time, thickness-weighted over depth, and what to say of it."""
    means = [name for name in names if name in field.dims]
    counts = [f"{field.sizes[name]} {_MEANS[name]}" for name in means if field.sizes[name] > 1]
    notes = [f"mean of {' and '.join(counts)}"] if counts else []
    layer = field.mean(means, keep_attrs=True) if means else field
    if "depth" in layer.dims:
        layer, note = _average_depth(layer)
        notes.append(note)
    return layer, notes


def _average_depth(layer):
    depth = layer["depth"].values.astype(float)
    if depth.size == 1:
        return layer.isel(depth=0, drop=True), f"{depth[0]:g} m"
    layer = layer.sortby("depth")
    edges = cell_edges(layer["depth"].values, lower=0)
    thickness = xr.DataArray(np.diff(edges), dims="depth", coords={"depth": layer["depth"]})
    return layer.weighted(thickness).mean("depth", keep_attrs=True), f"{edges[0]:g}–{edges[-1]:g} m"
