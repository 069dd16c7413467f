"""Another climate: changes of the predictors put on top of today's fields, and what that does to a budget."""

import numpy as np
import pandas as pd
from scipy import stats

from aqqua_science.grids.environment import open_environment
from aqqua_science.grids.files import open_sources
from aqqua_science.grids.regridding import regrid
from aqqua_science.habitat.budget import member_variable, region_totals
from aqqua_science.habitat.units import budget_units, parse_units
from aqqua_science.schema import SchemaError, nearest_name

_KELVIN = ("k", "kelvin", "degk", "deg_k", "degree_kelvin", "degrees_kelvin")


def add_changes(environment, changes, *, ratios=()):
    """
    Put changes of a climate model on top of today's fields: the delta method.

    A model's own fields are biased; its changes are thought to be less so. Observed fields plus modelled changes keep
    the pattern that the samples were matched with (Hay et al. 2000, J. Am. Water Resour. Assoc. 36, 387-397).

    Parameters
    ----------
    environment : xarray.Dataset
        Today's predictors, as `open_environment` gives them.
    changes : xarray.Dataset
        For some of them, by the same names: future minus present, of `environment`'s months or of the year. A coarser
        or finer grid is interpolated.
    ratios : iterable of str
        Variables whose change is future over present instead, such as chlorophyll.

    Returns
    -------
    xarray.Dataset
        Amounts, which have units and are nowhere negative today, are not below 0; temperatures may be. Where a change
        is not known, also at a level or date that it does not have, today's value stays.

    Raises
    ------
    SchemaError
        If a change is of no variable of `environment`, has axes or units that do not go with it, lacks some of its
        months, or nothing changes.

    Examples
    --------
    >>> import xarray as xr
    >>> from aqqua_science.grids import regular_grid
    >>> flat = 0 * regular_grid(30.0)["latitude"] + 0 * regular_grid(30.0)["longitude"]
    >>> today = xr.Dataset({"sst": flat + 10, "chl": flat + 2})
    >>> change = xr.Dataset({"sst": flat + 3, "chl": flat + 0.5})
    >>> {name: float(v.mean()) for name, v in add_changes(today, change, ratios=["chl"]).items()}
    {'sst': 13.0, 'chl': 1.0}
    """
    names = [str(name) for name in changes.data_vars]
    for name in ratios:
        if name not in names:
            msg = f"ratios names {name!r}, of which the scenario holds no change.{nearest_name(name, names)}"
            raise SchemaError(msg)
    for name in names:
        if name not in environment:
            msg = (
                f"the scenario changes {name!r}, which the grids do not hold.{nearest_name(name, environment)} "
                f"They hold {', '.join(map(str, environment))}. Rename it in the file of changes."
            )
            raise SchemaError(msg)
    if not names:
        msg = "the scenario changes no variable. Give files with a change for at least one predictor."
        raise SchemaError(msg)
    found = {}
    for name, change in _on_grid(changes, environment).items():
        today = environment[name]
        change = _like_today(change, today, is_ratio=name in ratios)
        future = today * change.fillna(1) if name in ratios else today + change.fillna(0)
        future = future.clip(min=0) if _is_amount(today) else future
        found[name] = future.transpose(*today.dims).astype(today.dtype).assign_attrs(today.attrs)
    return environment.assign(found)


def open_changes(files):
    """
    Open the files of a scenario.

    Parameters
    ----------
    files : list of pathlib.Path

    Returns
    -------
    xarray.Dataset
        As of `open_environment`, but that a change of so many kelvin is one of so many degrees Celsius.
    """
    datasets = [dataset for _, dataset in open_sources(files)]
    for dataset in datasets:
        for variable in dataset.data_vars.values():
            if str(variable.attrs.get("units", "")).strip().lower() in _KELVIN:
                variable.attrs["units"] = "degC"
    return open_environment(*datasets)


def budget_changes(field, today, *, by="global", level=0.9, **arguments):
    """
    Compare the budgets of two fields of one model, region by region.

    Parameters
    ----------
    field, today : xarray.Dataset
        Of one model with the same members, and the same ``replicates`` where they have any: under a scenario and as
        observed.
    by : str or path or geopandas.GeoDataFrame
        As in `integrate`.
    level : float
    **arguments
        Of `region_totals`.

    Returns
    -------
    pandas.DataFrame
        `region`, `month`, `today` and `scenario` (totals of the mean of the members), `units`, and `ratio` with ``low``
        and ``high``: refits of the model on resampled blocks, each mapped under both, so that what they share cancels.
        Regions in which either holds nothing are left out. Whether the climate model is right, and whether plankton
        keeps its relation to its environment, is in none of these numbers.

    Examples
    --------
    >>> import xarray as xr
    >>> from aqqua_science.grids import regular_grid
    >>> grid = regular_grid(30.0)
    >>> flat = xr.DataArray(np.ones((3, 6, 12)), grid.coords, ("member", "latitude", "longitude"))
    >>> today = xr.Dataset({"flux": flat.assign_attrs(units="mg m-2 d-1")})
    >>> budget_changes(today * 0.8, today)[["ratio", "low", "high"]].round(3).values.tolist()
    [[0.8, 0.8, 0.8]]
    """
    name = member_variable(field)
    units = budget_units(field[name].attrs["units"], arguments.get("kind")).units
    members = [region_totals(part, by=by, **arguments) for part in (field, today)]
    refits = members
    if "replicates" in field:
        refits = [region_totals(part, name="replicates", by=by, **arguments) for part in (field, today)]
    rows = []
    for key in members[1]:
        then, now = (float(totals[key].mean()) for totals in members)
        if not (then > 0 and now > 0):
            continue
        ratios = np.log(refits[0][key] / refits[1][key])
        half = stats.t.ppf((1 + level) / 2, len(ratios) - 1) * np.std(ratios, ddof=1)
        rows.append(
            {"region": key[0], "month": key[1], "today": now, "scenario": then, "units": units, "level": level}
            | {"ratio": then / now, "low": then / now * np.exp(-half), "high": then / now * np.exp(half)}
        )
    return pd.DataFrame(rows)


def _like_today(change, today, *, is_ratio):
    """A change on the axes and in the units of today's variable."""
    name, odd = today.name, sorted(set(change.dims) - set(today.dims))
    if odd:
        msg = f"the change of {name!r} has the axis {odd[0]}, which {name!r} has not. Take its mean over it."
        raise SchemaError(msg)
    if "month" in change.dims and not today["month"].isin(change["month"]).all():
        msg = f"the change of {name!r} lacks months of {name!r}. Give its annual mean, or all twelve months."
        raise SchemaError(msg)
    # A level or date of today that the change does not have is not known to change.
    change = change.reindex({axis: today[axis] for axis in change.dims if axis in today.indexes})
    told = [str(field.attrs.get("units", "")).strip() for field in (change, today)]
    if is_ratio or not all(told) or all(map(_is_temperature, told)):
        return change
    given, wanted = map(parse_units, told)
    if not given.is_convertible(wanted):
        msg = f"the change of {name!r} is in {told[0]!r}, {name!r} in {told[1]!r}. Bring the change to these units."
        raise SchemaError(msg)
    return change * float(given.convert(1.0, wanted))


def _is_temperature(units):
    return units.lower() in _KELVIN or units.lower().startswith(("deg", "celsius", "\u00b0c"))


def _is_amount(field):
    """Whether a variable has no meaning below 0: nowhere negative, with a unit that is none of temperature."""
    units = str(field.attrs.get("units", "")).strip()
    return bool(units) and not _is_temperature(units) and float(field.min()) >= 0


def _on_grid(changes, environment):
    """Changes on the cells of the environment."""
    same = all(
        changes.sizes[name] == environment.sizes[name] and np.allclose(changes[name], environment[name], atol=1e-6)
        for name in ("latitude", "longitude")
    )
    if same:
        return changes.assign_coords({name: environment[name] for name in ("latitude", "longitude")})
    return regrid(changes, environment, method="bilinear", min_share=0.01)
