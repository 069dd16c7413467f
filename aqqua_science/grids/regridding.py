"""Fields on other grids: means that keep the integral, interpolation, and nearest neighbours on the sphere."""

from functools import partial
from numbers import Real

import numpy as np
import xarray as xr

from aqqua_science.grids.axes import ATTRIBUTES, DIMENSIONS, find_role, is_flag
from aqqua_science.grids.blocks import whole
from aqqua_science.grids.geometry import regular_grid
from aqqua_science.grids.weights import linear_weights, neighbour_weights, overlap_weights
from aqqua_science.schema import SchemaError, nearest_name

_PLANE = ("latitude", "longitude")
_SEPARABLE = {"conservative": overlap_weights, "bilinear": linear_weights}
_ON_SPHERE = {"nearest": 1, "inverse_distance": 4}
_ROUNDING = 1e-6


def regrid(env, grid, *, method="conservative", min_share=0.5, max_km=None):
    """
    Bring fields to another grid.

    Parameters
    ----------
    env : xarray.Dataset or xarray.DataArray
        With ascending `latitude` and `longitude`, evenly spaced or not; or as a file has them, on a curvilinear grid
        with latitudes and longitudes of two dimensions. In memory or on Dask.
    grid : float or xarray.Dataset or xarray.DataArray
        A grid with ascending `latitude` and `longitude`; or a step in degrees, for the cells of the global grid of
        this step that `env` covers.
    method : {"conservative", "bilinear", "nearest", "inverse_distance"}
        Mean over the area that old and new cells share; linear interpolation between centres; the value of the centre
        nearest on the sphere; the mean of the four nearest, weighted by inverse squared distance. Curvilinear grids
        take the last two only.
    min_share : float
        Cells get a value where at least this share of their weight lies in cells with values: of the area of the new
        cell for "conservative". 0 asks for any.
    max_km : float, optional
        With "nearest" and "inverse_distance" the furthest centre that counts. By default half the diagonal of its
        cell, so that nothing is drawn out beyond the old grid.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        As given, on the new `latitude` and `longitude`; lazy where `env` is. Variables that lie on neither stay, those
        on one of the two are brought to the new one. Flags, of which there is no mean, take the nearest cell.

    Raises
    ------
    SchemaError
        If `env` or `grid` has no grid that the method can use.
    ValueError
        If `method` or `min_share` is none, or a step does not divide the globe.

    Notes
    -----
    "conservative" keeps the integral over the area on WGS84 of a field without gaps, to rounding. Fields are taken as
    amounts per area or volume, or as states: a count per cell must be divided by the area first. Longitudes meet over
    the date line; rows that come within half a row of a pole reach it.

    Examples
    --------
    >>> field = regular_grid(1.0)["latitude"] + 0 * regular_grid(1.0)["longitude"]
    >>> regrid(field, 60.0).values[:, 0].round(2)
    array([-50.8,   0. ,  50.8])
    >>> regrid(field.where(field > 0), 60.0, min_share=0.5).values[:, 0].round(2)
    array([  nan, 14.66, 50.8 ])
    """
    _check_options(method, min_share)
    dims, source = _find_plane(env)
    if method in _SEPARABLE and dims != _PLANE:
        msg = (
            f"method {method!r} needs a grid of rows and columns; this one is curvilinear: its latitudes and "
            f"longitudes lie on {dims}. Pass method='nearest' or method='inverse_distance'."
        )
        raise SchemaError(msg)
    target = _covered_cells(source, grid) if isinstance(grid, Real) else _read_target(grid)
    spread = _make_spread(source, target, method, max_km)
    move = partial(_regrid_field, dims=dims, target=target, spread=spread, min_share=min_share)
    if isinstance(env, xr.DataArray):
        return move(env)
    beside = partial(move, spread=_make_spread(source, target, "nearest", max_km))
    return _regrid_dataset(env, source, dims, move=move, move_flag=beside)


def _check_options(method, min_share):
    methods = [*_SEPARABLE, *_ON_SPHERE]
    if method not in methods:
        msg = f"method must be one of {', '.join(methods)}; got {method!r}.{nearest_name(method, methods)}"
        raise ValueError(msg)
    if not 0 <= min_share <= 1:
        msg = f"min_share is a share from 0 to 1; got {min_share}. 0.5 asks for half of each new cell."
        raise ValueError(msg)


def _find_plane(env):
    """The two dimensions of a grid, and a Dataset of its latitudes and longitudes."""
    if set(_PLANE) <= set(env.dims):
        return _PLANE, _read_target(env, "env")
    found = {}
    for name in env.coords if isinstance(env, xr.DataArray) else env.variables:
        if env[name].ndim == 2:
            found.setdefault(find_role(env[name]), env[name])
    dims = found["latitude"].dims if set(_PLANE) <= found.keys() else ()
    if not dims or set(found["longitude"].dims) != set(dims):
        msg = (
            f"env must have latitude and longitude, as axes or as two variables on two dimensions; its dimensions are "
            f"{tuple(env.dims)}. Open it with aqqua_science.grids.open_environment, which names the axes."
        )
        raise SchemaError(msg)
    plane = {role: found[role].drop_vars(found[role].coords).transpose(*dims) for role in _PLANE}
    return dims, xr.Dataset(plane, attrs={"names": {str(found[role].name) for role in _PLANE}})


def _read_target(grid, what="grid"):
    """The axes of a grid, ascending."""
    for name in _PLANE:
        values = grid[name].values if name in grid.coords and grid[name].ndim == 1 else np.zeros(1)
        turns = name == "longitude" and np.ptp(values) >= 360
        if values.size < 2 or not (np.diff(values) > 0).all() or turns:
            msg = (
                f"{what} must have two or more values of {name}, ascending within one turn; it has "
                f"{values[:4]}. Make one with regular_grid(1.0), or open it with open_environment."
            )
            raise SchemaError(msg)
    return xr.Dataset(coords={name: (name, grid[name].values.astype(float)) for name in _PLANE})


def _covered_cells(source, step):
    """Cells of the global grid of a step that a grid covers, if only in part."""
    target = regular_grid(float(step))
    if source["latitude"].ndim == 2:
        return target
    covered = (weights.sum(axis=1) > _ROUNDING for weights in overlap_weights(source, target))
    return target.isel(dict(zip(_PLANE, map(np.flatnonzero, covered), strict=True)))


def _make_spread(source, target, method, max_km):
    """What carries the values of a plane to the new cells."""
    if method in _SEPARABLE:
        return partial(_by_axes, *_SEPARABLE[method](source, target))
    centres, points = _meshed(source), _meshed(target)
    weights = neighbour_weights(centres, [p.ravel() for p in points], n_neighbours=_ON_SPHERE[method], max_km=max_km)
    return partial(_by_cells, weights, points[0].shape)


def _meshed(grid):
    """Latitude and longitude of every centre."""
    axes = [grid[name].values.astype(float) for name in _PLANE]
    return np.meshgrid(*axes, indexing="ij") if axes[0].ndim == 1 else axes


def _by_axes(rows, columns, plane):
    return (columns @ (rows @ plane).T).T


def _by_cells(weights, shape, plane):
    return (weights @ plane.ravel()).reshape(shape)


def _regrid_dataset(env, source, dims, *, move, move_flag):
    """Every variable of numbers on the plane; what does not touch it stays, positions and bounds stay behind."""
    behind = source.attrs.get("names", set())
    behind = behind | {env[name].attrs.get("bounds") for name in {*behind, *dims} if name in env.variables}
    fields = {n: f for n, f in env.data_vars.items() if n not in behind and f.dtype.kind in "fiub"}
    moved = {
        name: (move_flag if is_flag(field) else move)(field)
        for name, field in fields.items()
        if set(dims) <= set(field.dims)
    }
    if dims == _PLANE:
        plane = xr.ones_like(env["latitude"] * env["longitude"], dtype=float)
        for name, field in fields.items():
            lacking = set(dims) - set(field.dims)
            if len(lacking) == 1 and set(field.dims) <= set(DIMENSIONS):
                wide = (field * plane).transpose(..., *dims).assign_attrs(field.attrs).rename(name)
                moved[name] = move(wide).mean(lacking, keep_attrs=True)
    return env.drop_dims(dims).assign(moved)


def _regrid_field(field, *, dims, target, spread, min_share):
    """One field, plane by plane."""
    dtype = field.dtype if field.dtype.kind == "f" else np.dtype(float)
    sizes = dict(target.sizes)
    moved = xr.apply_ufunc(
        partial(_regrid_planes, spread=spread, shape=tuple(sizes[name] for name in _PLANE), min_share=min_share),
        whole(field, dims),
        input_core_dims=[dims],
        output_core_dims=[_PLANE],
        exclude_dims=set(dims),
        dask="parallelized",
        output_dtypes=[dtype],
        dask_gufunc_kwargs={"output_sizes": sizes},
        keep_attrs=True,
    )
    return moved.assign_coords({name: (name, target[name].values, ATTRIBUTES[name]) for name in _PLANE})


def _regrid_planes(values, *, spread, shape, min_share):
    """Weighted means of the values that are there; planes with the same gaps share the sum of their weights."""
    planes = values.reshape(-1, *values.shape[-2:])
    found = np.empty((len(planes), *shape), dtype=values.dtype if values.dtype.kind == "f" else float)
    known, share = None, None
    for plane, result in zip(planes, found, strict=True):
        gaps, known = known, ~np.isnan(plane)
        if gaps is None or not np.array_equal(gaps, known):
            share = spread(known.astype(float))
            share[share < max(min_share * (1 - _ROUNDING), _ROUNDING)] = np.nan
        result[...] = spread(np.where(known, plane, 0).astype(float)) / share
    return found.reshape(*values.shape[:-2], *shape)
