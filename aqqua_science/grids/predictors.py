"""Predictors that follow from what a grid holds: mixing, light, seasons and fronts."""

import re
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from aqqua_science.grids.climatologies import is_monthly
from aqqua_science.grids.fronts import gradient
from aqqua_science.grids.stratification import mixed_layer_depth, strongest_stratification
from aqqua_science.grids.sunlight import HOURS_FROM_NOON, day_length, elevation_from_noon, mean_solar_elevation
from aqqua_science.schema import SchemaError, nearest_name

_COMMON_YEAR = 2001
_ROLES = {
    "temperature": {"temperature", "temp", "t_an", "thetao", "to", "votemper"},
    "salinity": {"salinity", "sal", "s_an", "so", "vosaline"},
    "chlorophyll": {"chlorophyll", "chl", "chla", "chl_a", "chlor_a", "chlorophyll_a"},
}
_MG_M3 = {
    f"{mass}{per}": mg * volume
    for mass, mg in {"kg": 1e6, "g": 1e3, "mg": 1.0, "ug": 1e-3}.items()
    for volume, spellings in {1.0: ("m-3", "/m3"), 1e3: ("l-1", "/l")}.items()
    for per in spellings
}
_STANDARD_NAMES = {
    "temperature": r"sea_water_(potential_|conservative_)?temperature",
    "salinity": r"sea_water_(practical_|absolute_)?salinity",
    "chlorophyll": r"mass_concentration_of_chlorophyll_(a_)?in_sea_water",
}


def derive(env, names, *, using=None):
    """
    Add predictors that follow from the variables, months and positions of a grid.

    Parameters
    ----------
    env : xarray.Dataset
        As `open_environment` returns it, in memory or on Dask.
    names : str or list of str
        What to add:

        - ``mixed_layer_depth`` (m) and ``stratification`` (s-2, the largest squared buoyancy frequency), from
          temperature and salinity with depth, by TEOS-10;
        - ``euphotic_depth`` (m), from chlorophyll;
        - ``day_length`` (h) and ``solar_elevation`` (degrees, the mean over 24 hours), from the date and latitude;
          ``hourly_solar_elevation`` has the further axis ``hour`` (from noon), over which `predict_grid` averages;
        - ``season``: ``season_sine`` and ``season_cosine`` of the month, which is shifted by six in the south, so that
          the same number means the same season in both hemispheres;
        - ``<variable>_gradient``: how steeply a variable changes, in its units per 100 km: fronts;
        - ``<variable>_range``: its largest month less its smallest, of the months it has: how strong its seasons are.
    using : dict, optional
        Which variable is which, such as ``{"temperature": "t_an", "salinity": "s_an", "chlorophyll": "CHL1"}``; by
        default they are found by their standard names or common names.

    Returns
    -------
    xarray.Dataset
        `env` with the new variables, which have units and CF attributes; lazy where `env` is.

    Raises
    ------
    SchemaError
        If a variable or axis that a predictor needs is absent, or more than one may be meant.
    ValueError
        If a name is unknown, here or in `using`.

    Notes
    -----
    Of a month, and of a step of a monthly series, the sun is averaged over the days; other dates take their own day.
    Euphotic depth: Morel et al. (2007), Remote Sens. Environ. 111, 69-88, doi 10.1016/j.rse.2007.03.012, equation 10.
    Mixed layer: de Boyer Montegut et al. (2004), doi 10.1029/2004JC002378, 0.03 kg m-3 above the density at 10 m.
    The elevation of the sun at the time of a sample, and other thresholds: `grids.sunlight`, `grids.stratification`.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> env = regular_grid(30.0).assign_coords(month=np.arange(1, 13))
    >>> env["chl"] = 0.3 + 0 * env["month"] * env["latitude"] * env["longitude"]
    >>> env = derive(env, ["euphotic_depth", "day_length", "season", "chl_gradient"])
    >>> env["day_length"].sel(month=6).values.round(1)
    array([ 0. ,  8.8, 11.3, 13. , 15.6, 24. ])
    >>> float(env["euphotic_depth"].mean())
    55.6...
    """
    for role in using or {}:
        if role not in _ROLES:
            msg = f"using must name {', '.join(_ROLES)}; got {role!r}.{nearest_name(role, _ROLES)}"
            raise ValueError(msg)
    wanted, found = [names] if isinstance(names, str) else list(names), {}
    for name in wanted:
        if name in _RECIPES:
            found |= _RECIPES[name](env, using or {})
        elif (variable := name.rpartition("_"))[2] in _OF_VARIABLE and variable[0] in env:
            found[name] = _OF_VARIABLE[variable[2]](env[variable[0]])
        else:
            known = [*_RECIPES, *(f"{variable}_{kind}" for variable in env for kind in _OF_VARIABLE)]
            msg = f"{name!r} is no predictor to derive.{nearest_name(name, known)} Known are {', '.join(known)}."
            raise ValueError(msg)
    return env.assign(found)


def euphotic_depth(chlorophyll):
    """
    Depth of 1 % of the light at the surface, in waters whose optics follow chlorophyll (Case 1).

    Parameters
    ----------
    chlorophyll : xarray.DataArray
        At the surface, in mg m-3 unless its ``units`` are others per volume, such as the kg m-3 of CMIP6.

    Returns
    -------
    xarray.DataArray
        Metres; NaN where chlorophyll is not above 0.

    Raises
    ------
    SchemaError
        If its units are no mass per volume.

    Notes
    -----
    Morel et al. (2007), Remote Sens. Environ. 111, 69-88, doi 10.1016/j.rse.2007.03.012, equation 10. Their waters had
    0.03 to 10 mg m-3.

    Examples
    --------
    >>> euphotic_depth(xr.DataArray([0.1, 1.0, 0.0])).values.round(1)
    array([84.5, 33.4,  nan])
    """
    x = np.log10(_in_mg_m3(chlorophyll).where(chlorophyll > 0))
    depth = 10 ** (1.524 - 0.436 * x - 0.0145 * x**2 + 0.0186 * x**3)
    attrs = {"long_name": "euphotic depth, 1 % of surface light, from chlorophyll", "units": "m"}
    return depth.drop_attrs(deep=False).assign_attrs(attrs).rename("euphotic_depth")


def _in_mg_m3(chlorophyll):
    units = str(chlorophyll.attrs.get("units", "mg m-3"))
    plain = re.sub(r"chl\w*|[\s^*.]|_", "", units.lower().replace("litre", "l").replace("liter", "l").replace("µ", "u"))
    if plain not in _MG_M3:
        msg = (
            f"chlorophyll {chlorophyll.name!r} must be a mass per volume; its units are {units!r}. Convert it to "
            "mg m-3 (10**x where it is a logarithm), and set its attribute units."
        )
        raise SchemaError(msg)
    return chlorophyll * _MG_M3[plain]


def _find(env, role, using, *, with_depth=False):
    """The variable that plays a role, by what the caller says, its standard name or its own."""
    if role in using and using[role] not in env:
        msg = f"using names {using[role]!r} for {role}, which env has not.{nearest_name(using[role], env)}"
        raise SchemaError(msg)
    if role in using:
        return env[using[role]]
    fields = [field for field in env.values() if not with_depth or "depth" in field.dims]
    said = [f for f in fields if re.fullmatch(_STANDARD_NAMES[role], str(f.attrs.get("standard_name")))]
    found = said or [field for field in fields if str(field.name).lower() in _ROLES[role]]
    if len(found) != 1:
        many = (
            f"it may be {' or '.join(str(f.name) for f in found)}" if found else f"env has {', '.join(map(str, env))}"
        )
        msg = f"{role}{' with depth' * with_depth} is not clear: {many}. Name it, e.g. using={{{role!r}: 'its name'}}."
        raise SchemaError(msg)
    return found[0]


def _mixing(function):
    def derived(env, using):
        field = function(*(_find(env, role, using, with_depth=True) for role in ("temperature", "salinity")))
        return {field.name: field}

    return derived


def _light(env, using):
    return {"euphotic_depth": euphotic_depth(_find(env, "chlorophyll", using))}


def _days(env):
    """The axis of dates of a grid, and the noons that each of its steps stands for."""
    if "month" in env.dims:
        starts = [pd.Timestamp(_COMMON_YEAR, int(month), 1) for month in env["month"].values]
        return "month", [pd.date_range(s, periods=s.days_in_month) + pd.Timedelta(hours=12) for s in starts]
    if "time" not in env.dims:
        msg = f"the sun and the seasons need the axis month or time; env has {tuple(env.dims)}."
        raise SchemaError(msg)
    time = pd.DatetimeIndex(env["time"].values)
    if not is_monthly(time):
        return "time", [[step] for step in time]
    starts = time.to_period("M").to_timestamp()
    return "time", [pd.date_range(s, periods=s.days_in_month) + pd.Timedelta(hours=12) for s in starts]


def _by_latitude(env, function, **attrs):
    """A function of latitude and date, averaged over the days of each step."""
    dim, days = _days(env)
    latitude = env["latitude"].values.astype(float)[:, None]
    values = [function(latitude, np.asarray(step, dtype="datetime64[ns]")).mean(axis=1) for step in days]
    return xr.DataArray(np.stack(values), {dim: env[dim], "latitude": env["latitude"]}, attrs=attrs)


def _day_length(env, _using):
    return {"day_length": _by_latitude(env, day_length, long_name="hours between sunrise and sunset", units="h")}


def _solar_elevation(env, _using):
    attrs = {"standard_name": "solar_elevation_angle", "units": "degree", "cell_methods": "time: mean"}
    attrs["long_name"] = "elevation of the sun, mean over the day and night"
    return {"solar_elevation": _by_latitude(env, mean_solar_elevation, **attrs)}


def _hourly_solar_elevation(env, _using):
    steps = [_by_latitude(env, partial(elevation_from_noon, hours=hours)) for hours in HOURS_FROM_NOON]
    hour = xr.DataArray(list(HOURS_FROM_NOON), dims="hour", attrs={"long_name": "hours from noon", "units": "h"})
    found = xr.concat(steps, "hour").assign_coords(hour=hour)
    said = {"standard_name": "solar_elevation_angle", "long_name": "elevation of the sun, by hours from noon"}
    return {"hourly_solar_elevation": found.assign_attrs(said, units="degree")}


def _season(env, _using):
    dim, _ = _days(env)
    month = env["month"] if dim == "month" else env["time"].dt.month
    local = xr.where(env["latitude"] < 0, month + 6, month).transpose(dim, "latitude")
    angle = ((local - 0.5) * (2 * np.pi / 12)).drop_attrs(deep=False)
    found = {"season_sine": np.sin(angle), "season_cosine": np.cos(angle)}
    return {
        name: field.assign_attrs(
            long_name=f"{name.replace('_', ', ')} of the month, shifted by six in the south", units="1"
        )
        for name, field in found.items()
    }


def _annual_range(field):
    if "month" not in field.dims:
        msg = f"{field.name}_range needs months of the year; {field.name} has {', '.join(map(str, field.dims))}."
        raise SchemaError(msg)
    found = (field.max("month") - field.min("month")).drop_attrs(deep=False)
    said = {"long_name": f"annual range of {field.attrs.get('long_name', field.name)}"}
    return found.assign_attrs(said | {key: field.attrs[key] for key in ["units"] if key in field.attrs})


_OF_VARIABLE = {"gradient": gradient, "range": _annual_range}
_RECIPES = {
    "mixed_layer_depth": _mixing(mixed_layer_depth),
    "stratification": _mixing(strongest_stratification),
    "euphotic_depth": _light,
    "day_length": _day_length,
    "solar_elevation": _solar_elevation,
    "hourly_solar_elevation": _hourly_solar_elevation,
    "season": _season,
}
