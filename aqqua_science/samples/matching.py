"""Samples on the cells, levels and steps of one grid: values, what they miss and why, and how near they are."""

from dataclasses import dataclass

import numpy as np

from ..schema import nearest_name
from .dates import match_dates
from .depths import layer_weights, match_depths, sample_layers
from .placement import Places, match_distance_km, place_samples
from .reading import COUNT, SD, average_values, read_values
from .steps import NONE
from .surroundings import discs
from .watercolumn import check_grid, water_columns

_CHOICES = {"method": ("nearest", "bilinear"), "depth": ("nearest", "mean"), "time": ("month", "exact", "window")}
_BELOW_FLOOR = "below the sea floor"


@dataclass(frozen=True)
class Options:
    """
    How samples and grid are matched, as `join_environment` documents it.

    Examples
    --------
    >>> Options("nearest", "nearest", "window", None, 1.5, None, 16.0, 100_000).suffixes
    ('_count', '_sd')
    """

    method: str
    depth: str
    time: str
    radius_km: float | None
    max_cells: float
    max_depth_m: float | None
    max_days: float
    block: int

    @property
    def suffixes(self):
        """What the names of the columns beside each variable end with."""
        return (COUNT, SD) if self.radius_km is not None or self.time == "window" else ()

    def check(self):
        """Refuse what is unknown, out of range, or does not go together."""
        for option, known in _CHOICES.items():
            if (value := getattr(self, option)) not in known:
                msg = f"{option} must be one of {known}; got {value!r}."
                raise ValueError(msg + nearest_name(value, known))
        if self.block < 1:
            msg = f"block must be at least one sample; got {self.block}. The default suits most machines."
            raise ValueError(msg)
        if self.radius_km is not None and not 0 < self.radius_km < np.inf:
            msg = f"radius_km must be above 0; got {self.radius_km}. Leave it out for the sample's own cell alone."
            raise ValueError(msg)
        if not self.max_days >= 0:
            msg = f"max_days must be 0 or more; got {self.max_days}. With 0 a step must contain the sample's time."
            raise ValueError(msg)
        if self.method == "bilinear" and self.suffixes:
            averages = "radius_km" if self.radius_km is not None else 'time="window"'
            msg = f'method="bilinear" is one value between cells, and {averages} a mean of many. Leave one of them out.'
            raise ValueError(msg)


@dataclass(frozen=True)
class Match:
    """
    What one grid has for n samples.

    Attributes
    ----------
    found : dict of str to numpy.ndarray, shape (n,)
        Values, with means also their count and spread.
    faults : dict of str to numpy.ndarray of bool, shape (n,)
        Reason, and the samples that it holds for.
    record : dict of str to numpy.ndarray, shape (n,)
        ``longitude, latitude, distance_km, depth_m, days`` and ``time``, the index into `aqqua_science.samples.steps`'s
        kinds.
    places : Places

    Examples
    --------
    >>> Match({}, {}, {}, None).found
    {}
    """

    found: dict
    faults: dict
    record: dict
    places: Places


def fields(env):
    """
    The variables of a grid in our conventions, with the bounds of its axes as coordinates and only the axes they use.

    Parameters
    ----------
    env : xarray.Dataset

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    SchemaError
        As `check_grid`.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> dict(fields(regular_grid(10.0).assign_coords(depth=[1.0])).sizes)
    {'latitude': 18, 'longitude': 36}
    """
    bounds = {{**env[name].encoding, **env[name].attrs}.get("bounds") for name in env.coords}
    env = env.set_coords(bounds & set(env.data_vars))
    check_grid(env)
    used = {axis for variable in env.data_vars.values() for axis in variable.dims}
    return env.drop_dims(({"month", "time", "depth"} & set(env.dims)) - used)


def match_grid(samples, env, options, *, land=None):
    """
    Match samples with one grid.

    Parameters
    ----------
    samples : pandas.DataFrame
        Checked by the schema.
    env : xarray.Dataset
        Of `fields`.
    options : Options
    land : xarray.DataArray of bool (latitude, longitude), optional

    Returns
    -------
    Match

    Examples
    --------
    >>> import pandas as pd
    >>> from aqqua_science.grids import regular_grid
    >>> env = (regular_grid(10.0)["latitude"] + 0 * regular_grid(10.0)["longitude"]).to_dataset(name="x")
    >>> options = Options("nearest", "nearest", "month", None, 1.5, None, 16.0, 100_000)
    >>> match_grid(pd.DataFrame({"latitude": [3.0], "longitude": [3.0]}), env, options).found
    {'x': array([5.])}
    """
    columns, block = water_columns(env, land=land), options.block
    method = options.method if options.radius_km is None else "radius"
    places, faults = place_samples(samples, columns["sea"], method=method, max_cells=options.max_cells, block=block)
    extent, record, astray = _positions(samples, env, options)
    if "depth" in extent:
        floor = columns["floor"].values[places.home_row, places.home_column]
        astray[_BELOW_FLOOR] = (extent["depth"][0] > floor) & (floor >= 0)
    faults |= {reason: rows & places.matched for reason, rows in astray.items()}
    read, found = _reader(samples, env, options, places=places, extent=extent, sea=columns["sea"]), {}
    for name, variable in env.data_vars.items():
        axes = [axis for axis in variable.dims if axis in extent]
        ready = places.matched & np.all([extent[axis][0] >= 0 for axis in axes], axis=0)
        found |= read(variable.broadcast_like(columns["sea"]), np.flatnonzero(ready))
        below = faults[_BELOW_FLOOR] if "depth" in axes else False
        faults[no_value(name)] = ready & np.isnan(found[name]) & ~np.asarray(below)
    centre = match_distance_km(samples, columns["sea"], places, block=block)
    record |= dict(zip(("latitude", "longitude", "distance_km"), centre, strict=True))
    return Match(found, faults, record, places)


def no_value(name):
    """
    The reason that a variable is missing where its cell, level and step are known.

    Parameters
    ----------
    name : str

    Returns
    -------
    str

    Examples
    --------
    >>> no_value("chlorophyll")
    'no value of chlorophyll'
    """
    return f"no value of {name}"


def time_reasons(axis, options):
    """
    The reasons that a sample has no step on an axis: it has no time, or the grid none there.

    Parameters
    ----------
    axis : {"month", "time"}
    options : Options

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> time_reasons("time", Options("nearest", "nearest", "exact", None, 1.5, None, 16.0, 100_000))
    ('time is missing', 'no date within 16 days')
    """
    if axis == "month":
        return "month is missing", "month is not in the grid"
    within = "in this month" if options.time == "month" else f"within {options.max_days:g} days"
    return "time is missing", f"no date {within}"


def _positions(samples, env, options):
    """First index and count along time and depth of each sample, how far off that is, and who has none, by reason."""
    n = len(samples)
    extent, astray = {}, {}
    record = {"depth_m": np.full(n, np.nan), "days": np.full(n, np.nan), "time": np.full(n, NONE, dtype=np.int8)}
    if "depth" in env.dims:
        level, record["depth_m"], missing = match_depths(
            samples, env, depth=options.depth, max_depth_m=options.max_depth_m, block=options.block
        )
        extent["depth"] = level, np.ones(n, dtype=np.int32)
        astray |= {"no usable depth": missing, "beyond the levels of the grid": (level < 0) & ~missing}
    for axis in ("month", "time"):
        if axis in env.dims:
            steps, missing = match_dates(samples, env, axis, time=options.time, max_days=options.max_days)
            extent[axis] = steps.first, steps.count
            record |= {"days": steps.days, "time": steps.kind}
            untimed, beyond = time_reasons(axis, options)
            astray |= {untimed: missing, beyond: (steps.first < 0) & ~missing}
    return extent, record, astray


def _reader(samples, env, options, *, places, extent, sea):
    """A function that reads the values of a variable for some samples, and with means their count and spread."""
    shared = {"thickness": _thickness(samples, env, options), "block": options.block}
    if not options.suffixes:
        shared["position"] = {axis: first for axis, (first, _) in extent.items()}
        return lambda variable, rows: {variable.name: read_values(variable, rows, places, **shared)}
    at = tuple(samples[name].to_numpy(dtype=float) for name in ("latitude", "longitude"))
    cells = discs(sea, places, at, radius_km=options.radius_km)
    shared |= {"extent": extent, "sea": sea, "n_samples": len(samples)}
    return lambda variable, rows: average_values(variable, rows, cells, **shared)


def _thickness(samples, env, options):
    """What each level contributes to the layers of some samples, as a function of their rows."""
    if options.depth != "mean" or "depth" not in env.dims:
        return None
    top, bottom = sample_layers(samples)
    return lambda rows: layer_weights(env, top[rows], bottom[rows])
