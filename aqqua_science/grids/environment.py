"""Environment fields of any origin, opened as one Dataset in our conventions."""

import numpy as np
import pandas as pd

from aqqua_science.grids.alignment import merge_fields
from aqqua_science.grids.fields import read_depth_bounds, read_fields, read_time_bounds
from aqqua_science.grids.files import open_sources
from aqqua_science.schema import SchemaError, nearest_name

DEPTH_BOUNDS = "depth_bounds"
"""Coordinate that holds the upper and lower bound of each depth level, where a source gives them."""

_DAYS = {"units": "days since 1950-01-01", "dtype": "float64"}

TIME_BOUNDS = "time_bounds"
"""Coordinate that holds the beginning and end of each dated step, where all sources with dates give them."""


def open_environment(*sources, chunks=None, variables=None):
    """
    Open environment fields as one Dataset in our conventions.

    Parameters
    ----------
    *sources : str, pathlib.Path or xarray.Dataset
        NetCDF files, Zarr stores, GeoTIFFs, patterns such as ``"woa23/*.nc"`` and Datasets, in any mix.
    chunks : dict, int or "auto", optional
        Sizes of Dask chunks by our names of the dimensions, e.g. ``{"latitude": 90}``; other dimensions, and all of
        them with ``{}``, keep the chunks of the file. Only coordinates are read then, and the few values that a rule
        needs: repeated meridians, and one layer of a field in Kelvin. By default everything is loaded.
    variables : iterable of str, optional
        Open these only. By default every gridded variable.

    Returns
    -------
    xarray.Dataset
        Variables under their own names with dimensions from (member, month, time, depth, latitude, longitude), in this
        order: latitude and longitude (-180..180) in degrees, ascending; depth in metres, positive down; ``month`` 1..12
        for climatologies or ``time`` as datetime64[ns] for dated fields. Kelvin becomes degC. Bounds of depth
        levels and of dated steps stay, as the coordinates ``depth_bounds`` and ``time_bounds``.

    Raises
    ------
    SchemaError
        For whatever cannot be understood, with the file, the variable, the rule and the remedy: a missing file, a
        curvilinear, rotated, projected or unstructured grid, an unknown axis, unknown depth or time units, two grids,
        or two different fields of one name.

    Notes
    -----
    Fields of one name in several files are joined along their month, time or depth. Fields of several names must share
    their cells; coordinates that differ by less than 1 % of a cell mean the same cell. Where one field has only some
    of the depths or dates of another, the rest is NaN.

    Examples
    --------
    >>> import xarray as xr
    >>> atlas = xr.Dataset(
    ...     {"sst": (("lat", "lon"), [[280.0, 281.0], [290.0, 291.0]], {"units": "K"})},
    ...     coords={"lat": [45.0, -45.0], "lon": [90.0, 270.0]},
    ... )
    >>> environment = open_environment(atlas)
    >>> environment["longitude"].values, environment["sst"].values.round(2)
    (array([-90.,  90.]), array([[17.85, 16.85], [ 7.85,  6.85]]))
    """
    if not sources:
        msg = "open_environment needs at least one source: a file, a pattern such as 'woa/*.nc' or a Dataset."
        raise TypeError(msg)
    wanted = None if variables is None else [variables] if isinstance(variables, str) else list(variables)
    opened = open_sources(sources)
    _require_variables(opened, wanted)
    fields, depths, times = [], [], []
    for label, dataset in opened:
        fields.extend(read_fields(label, dataset, wanted=wanted, chunks=chunks))
        depths.extend(read_depth_bounds(label, dataset, wanted=wanted))
        times.extend(read_time_bounds(label, dataset, wanted=wanted))
        if chunks is None:
            dataset.close()
    return _with_time_bounds(_with_depth_bounds(merge_fields(fields), depths), times)


def _with_depth_bounds(environment, known):
    """Keep the bounds of levels that a source gives for all of them."""
    levels = environment["depth"].values if "depth" in environment.dims else np.empty(0)
    for axis, sides in known:
        inside = (sides[:, 0] <= axis) & (axis <= sides[:, 1])
        if axis.size == levels.size and np.allclose(axis, levels) and inside.all():
            depth = environment["depth"].assign_attrs(bounds=DEPTH_BOUNDS)
            return environment.assign_coords({"depth": depth, DEPTH_BOUNDS: (("depth", "side"), sides)})
    return environment


def _with_time_bounds(environment, known):
    """Keep the bounds of dates that are known for all of them, hold them, and are the same in all sources."""
    if "time" not in environment.dims or not known:
        return environment
    dates, sides = (np.concatenate(parts) for parts in zip(*known, strict=True))
    table = pd.DataFrame(sides, index=dates).reset_index().drop_duplicates().set_index("index")
    times = environment["time"].values
    if table.index.has_duplicates or not np.isin(times, dates).all():
        return environment
    sides = table.loc[times].to_numpy()
    if not ((sides[:, 0] <= times) & (times <= sides[:, 1]) & (sides[:, 0] < sides[:, 1])).all():
        return environment
    time = environment["time"].assign_attrs(bounds=TIME_BOUNDS)
    environment = environment.assign_coords({"time": time, TIME_BOUNDS: (("time", "side"), sides)})
    environment["time"].encoding = _DAYS  # a file says dates and their bounds in the same units
    return environment


def _require_variables(opened, wanted):
    """Refuse a name that no source has."""
    present = [str(name) for _, dataset in opened for name in dataset.variables]
    for name in wanted or ():
        if name not in present:
            msg = (
                f"no source has a variable {name!r}.{nearest_name(name, present)} "
                f"The variables are: {', '.join(sorted(set(present)))}."
            )
            raise SchemaError(msg)
