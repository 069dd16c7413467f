"""Gaps under ice and cloud, filled from neighbouring dates and cells, and flagged."""

from functools import partial

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

from aqqua_science.grids.blocks import whole
from aqqua_science.grids.geometry import (
    chord_to_km,
    column_bounds,
    km_to_chord,
    require_same_cells,
    row_edges,
    unit_vectors,
)
from aqqua_science.schema import SchemaError

_PLANE = ("latitude", "longitude")
_N_ASKED, _N_TAKEN = 16, 4
_ROWS_AT_A_TIME = 20_000
_NARROWEST = 0.1  # of their width at the equator: nearer the poles columns are too narrow to be looked at one by one
_FLAG = {
    "flag_values": np.array([0, 1, 2], dtype=np.float32),
    "flag_meanings": "measured filled_in_time filled_in_space",
    "units": "1",
}


def fill_gaps(env, *, max_steps=1, max_km=300.0, land=None):
    """
    Fill gaps in time, then in space, and flag what was filled.

    Parameters
    ----------
    env : xarray.Dataset or xarray.DataArray
        With `latitude` and `longitude`, and `month` or `time` in even steps.
    max_steps : int
        A gap takes the linear interpolation between the nearest steps with values before and after it, at most so
        many away; one side alone where the other has none. Months of the year go round. 0 fills nothing in time.
    max_km : float
        What is left takes the four nearest values within this distance, weighted by inverse squared distance, from
        where a great circle leads to the gap without touching land. 0 fills nothing in space.
    land : xarray.DataArray of bool (latitude, longitude), optional
        True on land, such as `land_mask(env)`; perhaps with `depth`. By default cells that never have a value: they
        and fields without `month` or `time` stay as they are.

    Returns
    -------
    xarray.Dataset
        Each variable, and beside each that may have gaps ``<name>_flag``: 0 measured, 1 filled in time, 2 filled in
        space, NaN where there still is none. Lazy where `env` is.

    Raises
    ------
    SchemaError
        If `env` has no cells, or `land` has others.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> grid = regular_grid(30.0).assign_coords(month=np.arange(1, 13))
    >>> chl = (grid["month"] + 0.0 * grid["latitude"] + 0.0 * grid["longitude"]).rename("chl")
    >>> filled = fill_gaps(chl.where(chl["month"] != 3))
    >>> filled["chl"][:4, 0, 0].values, filled["chl_flag"][:4, 0, 0].values
    (array([1., 2., 3., 4.]), array([0., 0., 1., 0.], dtype=float32))
    """
    env = env.to_dataset(name=env.name or "field") if isinstance(env, xr.DataArray) else env
    _check_cells(env, land)
    helpers = {word for field in env.values() for word in str(field.attrs.get("ancillary_variables", "")).split()}
    fields = {}
    for name, field in env.data_vars.items():
        steps = {"month", "time"} & set(field.dims)
        may_have_gaps = field.dtype.kind == "f" and set(_PLANE) <= set(field.dims) and name not in helpers
        if may_have_gaps and (steps or land is not None):
            fields[name], fields[f"{name}_flag"] = _fill_field(field, [*steps], max_steps, max_km, land)
    return env.assign(fields)


def _check_cells(env, land):
    if not set(_PLANE) <= set(env.dims):
        msg = f"env must have latitude and longitude; it has {tuple(env.dims)}. Open it with open_environment."
        raise SchemaError(msg)
    if land is None:
        return
    if land.dtype != bool:
        msg = f"land must be True on land and False at sea; it is of {land.dtype}. Pass land_mask(env), or depth <= 0."
        raise SchemaError(msg)
    require_same_cells(env, land, what="land and env must have the same cells. Make it with land_mask(env).")


def _fill_field(field, steps, max_steps, max_km, land):
    """A field without gaps, as far as its neighbours reach, and where each value is from."""
    sea = field.notnull().any(steps) if land is None else ~land
    in_time = field
    for dim in steps:
        in_time = xr.where(field.isnull() & sea, _between_steps(field, dim, max_steps), field)
    in_space = _from_neighbours(in_time, sea, max_km) if max_km > 0 else in_time
    filled = in_space.astype(field.dtype).transpose(*field.dims)
    flag = xr.where(field.notnull(), 0, xr.where(in_time.notnull(), 1, xr.where(filled.notnull(), 2, np.nan)))
    flag = flag.astype(np.float32).transpose(*field.dims).drop_attrs(deep=False)
    flag = flag.assign_attrs(_FLAG, long_name=f"origin of {field.name}")
    return filled.rename(field.name).assign_attrs(field.attrs, ancillary_variables=f"{field.name}_flag"), flag


def _between_steps(field, dim, max_steps):
    """Linear interpolation between the nearest steps with values; one of them where the other is missing."""
    around = field.reindex(month=np.arange(1, 13)) if dim == "month" else field
    total = weight = xr.zeros_like(around)
    for side in (1, -1):
        value, distance = xr.full_like(around, np.nan), xr.full_like(around, np.inf)
        for step in range(max_steps, 0, -1):
            moved = {dim: side * step}
            other = around.roll(moved) if dim == "month" else around.shift(moved)
            value, distance = xr.where(other.notnull(), other, value), xr.where(other.notnull(), step, distance)
        total, weight = total + value.fillna(0) / distance, weight + 1 / distance
    return (total / weight.where(weight > 0)).sel({dim: field[dim]})


def _from_neighbours(field, sea, max_km):
    """Each gap at sea from the values around it."""
    grid = field.coords.to_dataset()[[*_PLANE]]
    return xr.apply_ufunc(
        partial(_fill_planes, grid=grid, max_km=max_km),
        whole(field, _PLANE),
        whole(sea, _PLANE),
        input_core_dims=[_PLANE, _PLANE],
        output_core_dims=[_PLANE],
        dask="parallelized",
        output_dtypes=[field.dtype],
    )


def _fill_planes(values, sea, *, grid, max_km):
    """One plane of latitude and longitude after the other."""
    filled = values.copy()
    masks = np.broadcast_to(sea, values.shape).reshape(-1, *values.shape[-2:])
    for plane, mask in zip(filled.reshape(-1, *values.shape[-2:]), masks, strict=True):
        _fill_plane(plane, mask, grid, max_km)
    return filled


def _fill_plane(plane, sea, grid, max_km):
    """Fill the gaps of a plane in place."""
    points = unit_vectors(*np.meshgrid(grid["latitude"].values, grid["longitude"].values, indexing="ij"))
    known = ~np.isnan(plane) & sea
    gaps = np.argwhere(np.isnan(plane) & sea)
    if not (known.any() and gaps.size):
        return
    donors, values = points[known], plane[known]
    tree, n = cKDTree(donors), min(_N_ASKED, len(donors))
    for part in np.array_split(gaps, -(-len(gaps) // _ROWS_AT_A_TIME)):
        at = points[tuple(part.T)]
        chord, nearest = tree.query(at, n, distance_upper_bound=km_to_chord(max_km))
        chord, nearest = chord.reshape(-1, n), nearest.reshape(-1, n)
        near = np.isfinite(chord)
        pair = np.nonzero(near)
        near[pair] = _clear_of_land(at[pair[0]], donors[nearest[pair]], sea, grid)
        near &= near.cumsum(axis=1) <= _N_TAKEN
        weight = np.where(near, 1 / np.where(near, chord, 1) ** 2, 0)
        total = (weight * values[np.where(near, nearest, 0)]).sum(axis=1)
        plane[tuple(part.T)] = total / np.where(near.any(axis=1), weight.sum(axis=1), np.nan)


def _clear_of_land(start, end, sea, grid):
    """
    Whether the great circles between points meet sea alone, looked at in steps of half a cell.

    Where a step leads over the corner of four cells, one of the two beside it must be sea: else the wall is closed.
    """
    edges, (west, _) = row_edges(grid), column_bounds(grid)
    longest = chord_to_km(np.linalg.norm(end - start, axis=1).max(initial=0))
    poleward = min(np.hypot(*points[:, :2].T).min(initial=1) for points in (start, end))
    narrowest = np.diff(west).min() * max(poleward, _NARROWEST)
    cell_km = chord_to_km(np.radians(min(np.diff(edges).min(), narrowest)))
    clear = np.ones(len(start), dtype=bool)
    before = _cells_at(start, edges, west)
    for share in np.linspace(0, 1, max(int(2 * longest / cell_km), 1) + 1)[1:]:
        row, column = _cells_at(start + share * (end - start), edges, west)
        clear &= sea[row, column] & (sea[before[0], column] | sea[row, before[1]])
        before = row, column
    return clear


def _cells_at(points, edges, west):
    """Row and column of each point."""
    x, y, z = points.T
    latitude, longitude = np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))
    row = np.clip(np.searchsorted(edges, latitude, side="right") - 1, 0, len(edges) - 2)
    return row, np.searchsorted(west, (longitude - west[0]) % 360 + west[0], side="right") - 1
