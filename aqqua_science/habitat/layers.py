"""Layers of water: how much of a depth range a cell holds, above its sea floor."""

import numpy as np
import xarray as xr

from aqqua_science.grids.layers import SEA_FLOOR, layer_bounds
from aqqua_science.schema import SchemaError, nearest_name


def layer_thickness(field, depth, *, clip_to_seafloor=None):
    """
    Metres of water that each cell holds between two depths.

    Parameters
    ----------
    field : xarray.Dataset
        With `latitude`, `longitude`, perhaps `depth` (layer centres, metres) and `sea_floor_depth` (metres).
    depth : tuple of float
        Top and bottom, metres, positive down.
    clip_to_seafloor : bool, optional
        By default when the field has `sea_floor_depth`.

    Returns
    -------
    xarray.DataArray
        Metres; has the dimension `depth` when the field has it.

    Raises
    ------
    SchemaError
        If the depths are no layer, or the sea floor is asked for and missing.

    Examples
    --------
    >>> field = xr.Dataset({"sea_floor_depth": ("longitude", [50.0, 4000.0])})
    >>> layer_thickness(field, (0, 200)).values
    array([ 50., 200.])
    """
    if depth is None or len(depth) != 2 or not 0 <= depth[0] < depth[1]:
        msg = f"depth must be (top, bottom) in metres, positive down, top above bottom; got {depth}. Example: (0, 200)."
        raise SchemaError(msg)
    top, bottom = (xr.DataArray(float(d)) for d in depth)
    if "depth" in field.dims:
        top, bottom = _clipped_layers(field, *depth)
    clip = SEA_FLOOR in field if clip_to_seafloor is None else clip_to_seafloor
    if clip and SEA_FLOOR not in field:
        msg = (
            f"clip_to_seafloor needs the variable {SEA_FLOOR!r} (metres, positive down) in the field."
            f"{nearest_name(SEA_FLOOR, field.data_vars)} Add the bathymetry or pass clip_to_seafloor=False."
        )
        raise SchemaError(msg)
    if clip:
        floor = field[SEA_FLOOR]
        return (np.minimum(bottom, floor) - top).clip(min=0).where(floor.notnull(), bottom - top)
    return bottom - top


def _clipped_layers(field, top, bottom):
    """Upper and lower bound of each depth level inside the wanted range; a lone level without bounds is all of it."""
    levels = field["depth"]
    is_bare = levels.size == 1 and levels.attrs.get("bounds") not in field.variables
    bounds = ([float(top)], [float(bottom)]) if is_bare else layer_bounds(field)
    upper, lower = (xr.DataArray(b, {"depth": levels}, ("depth",)).clip(top, bottom) for b in bounds)
    return upper, lower
