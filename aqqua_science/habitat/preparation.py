"""What a recipe names, made ready: samples joined with their environment, and the grid to be mapped."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from aqqua_science.grids.environment import open_environment
from aqqua_science.grids.gaps import fill_gaps
from aqqua_science.grids.geometry import regular_grid
from aqqua_science.grids.predictors import derive
from aqqua_science.grids.regridding import regrid
from aqqua_science.grids.subsetting import select_region
from aqqua_science.habitat.inputs import check_predictors
from aqqua_science.habitat.layers import layer_thickness
from aqqua_science.habitat.observations import NO_CONSENT, select
from aqqua_science.habitat.recipe import SUN
from aqqua_science.habitat.scenarios import add_changes, open_changes
from aqqua_science.samples.daylight import join_sun
from aqqua_science.samples.matchup import join_environment
from aqqua_science.samples.seasons import join_seasons
from aqqua_science.schema import SchemaError

_SEA_FLOOR_NAMES = ("sea_floor_depth", "bathymetry", "bathy", "bottom_depth", "deptho", "sea_floor")
_SEA_FLOOR_STANDARD_NAMES = (
    "sea_floor_depth_below_mean_sea_level",
    "sea_floor_depth_below_geoid",
    "sea_floor_depth_below_sea_surface",
    "sea_floor_depth",
)
_ALTITUDE_NAMES = ("altitude", "elevation", "topography", "height_above_mean_sea_level", "surface_altitude", "rose")


@dataclass
class Prepared:
    """Everything a recipe asks for, in memory."""

    table: pd.DataFrame
    rejected: pd.DataFrame
    predictors: list
    environment: xr.Dataset
    today: xr.Dataset | None
    sea_floor: xr.DataArray | None
    files: list
    regions: list
    all_rows: pd.DataFrame | None = None
    notes: list = field(default_factory=list)
    mapped: dict = field(default_factory=dict)


def prepare(recipe, inputs, *, months=None, region=None, resolution=None, scenario=None):
    """
    Join the samples of a recipe with their environment, and cut the grid that is to be mapped.

    Parameters
    ----------
    recipe : Recipe
    inputs : Inputs
        Of `inputs.find_inputs`.
    months : list of int, optional
        Months of the year to map; all by default.
    region : tuple of float, optional
        West, east, south, north of the map.
    resolution : float, optional
        Degrees; the grid to be mapped is averaged to it.
    scenario : str, optional
        Which of the recipe's scenarios is mapped; the samples keep today's environment.

    Returns
    -------
    Prepared

    Raises
    ------
    SchemaError
        If the grids cannot be understood, or do not cover the samples or what is to be mapped.
    """
    read, filled = _harmonised(recipe, inputs.grids)
    everything = _with_derived(read, recipe)
    names, sampled = [str(name) for name in everything.data_vars], recipe.environment.sampled
    check_predictors(recipe, names)
    predictors = recipe.environment.predictors or [*names, *sampled]
    gridded = [name for name in predictors if name not in sampled]
    environment, notes = _matching_axes(everything[gridded], inputs.accepted, recipe)
    notes.extend(filled)
    table, unmatched = _joined(inputs.accepted, environment, predictors, recipe)
    sea_floor, today, matched = find_sea_floor(everything), None, environment
    if scenario is not None:
        told = recipe.scenarios[scenario]
        future = _with_derived(add_changes(read, open_changes(inputs.changes), ratios=told.ratios), recipe)
        today, environment = environment, _matching_axes(future[gridded], inputs.accepted, recipe)[0]
        notes.append(f"This is the scenario {scenario}: {told.source or 'changes'} on top of today's predictors.")
    environment, today = (e if e is None else _ready(e, sea_floor, recipe) for e in (environment, today))
    if recipe.observations.traps is not None:
        said = _said_of_horizon(sea_floor, recipe.observations.traps.horizon)
        pooled = len(inputs.accepted), int(inputs.accepted["n_deployments"].sum())
        notes.append(f"{said} {pooled[1]:,} fluxes were pooled to {pooled[0]:,} of one cell, season and depth.")
    borrowed = table["match_method"] == "nearest sea cell"
    if borrowed.any():
        furthest = table.loc[borrowed, "match_distance_km"].max()
        notes.append(
            f"{borrowed.sum()} of {len(table)} samples lie in cells without sea and took the nearest sea cell, "
            f"at most {furthest:.0f} km away; `match_method` in matchup.csv marks them."
        )
    withheld = (inputs.rejected["reason"] == NO_CONSENT).sum() if len(inputs.rejected) else 0
    if withheld:
        notes.append(f"{withheld} samples were left out: {NO_CONSENT}.")
    prepared = Prepared(
        table=table,
        rejected=pd.concat([inputs.rejected, unmatched], ignore_index=True),
        predictors=predictors,
        environment=environment,
        today=today,
        sea_floor=sea_floor,
        files=inputs.files,
        regions=inputs.regions,
        notes=notes,
        mapped={"scenario": scenario, "months": months, "region": region, "resolution": resolution},
    )
    if "split" in recipe.observations.where:
        prepared.all_rows = _without_split(inputs.raw, matched, predictors, recipe)
    return _mapped_part(prepared, recipe, months=months, region=region, resolution=resolution)


def _harmonised(recipe, files):
    """All grids as one, on the grid that the recipe asks for, filled; and notes."""
    told, step, notes = recipe.environment, recipe.environment.step, []
    sources = files if step is None else [_on_step(open_environment(file), step) for file in files]
    everything = open_environment(*sources)
    if told.fill_months:
        everything, notes = _filled(everything, told.fill_months)
    return everything, notes


def _with_derived(grid, recipe):
    told = recipe.environment
    return derive(grid, told.derived, using=told.using) if told.derived else grid


def _filled(grid, months):
    """Gaps filled from months nearby, and how many of the cells and months that makes."""
    filled = fill_gaps(grid, max_steps=months, max_km=0)
    flags = [name for name in filled.data_vars if name not in grid]
    shares = {name.removesuffix("_flag"): float((filled[name] == 1).sum() / filled[name].count()) for name in flags}
    said = ", ".join(f"{name} {share:.1%}".replace("%", " %") for name, share in shares.items() if share > 0)
    note = f"Gaps were filled from months at most {months} away: {said} of the values." if said else ""
    return filled.drop_vars(flags), [note] if note else []


def _on_step(grid, step):
    """A grid in cells of so many degrees: means of finer cells, or between coarser ones."""
    finer = np.median(np.diff(grid["latitude"].values)) <= step * (1 + 1e-6)
    return regrid(grid, regular_grid(step), method="conservative" if finer else "bilinear")


def find_sea_floor(environment):
    """
    Find the depth of the sea floor among the variables of an environment.

    Parameters
    ----------
    environment : xarray.Dataset

    Returns
    -------
    xarray.DataArray or None
        Metres, positive down, 0 on land.

    Examples
    --------
    >>> altitude = xr.DataArray([-4000.0, 12.0], dims="longitude", attrs={"standard_name": "surface_altitude"})
    >>> find_sea_floor(xr.Dataset({"ROSE": altitude})).values
    array([4000.,    0.])
    """
    flat = {str(v): environment[v] for v in environment if not {"month", "time", "depth"} & set(environment[v].dims)}
    for name, values in flat.items():
        if name.lower() in _SEA_FLOOR_NAMES or values.attrs.get("standard_name") in _SEA_FLOOR_STANDARD_NAMES:
            sign = -1 if float(values.median()) < 0 else 1
            return (sign * values).clip(min=0)
    for name, values in flat.items():
        if name.lower() in _ALTITUDE_NAMES or values.attrs.get("standard_name") in _ALTITUDE_NAMES:
            return (-values).clip(min=0)
    return None


def _matching_axes(environment, table, recipe):
    """Reduce the axes that the samples cannot be matched along, and say so."""
    notes = []
    if "depth" in environment.dims and not {"depth", "depth_min"} & set(table.columns):
        layer = recipe.budget.depth
        if layer is None:
            msg = (
                "the grids have a depth axis, the samples none. Give their layer in metres: [budget] depth = [0, 200]."
            )
            raise SchemaError(msg)
        thickness = layer_thickness(environment[["depth"]], layer)
        environment = environment.map(
            lambda v: v.weighted(thickness).mean("depth", keep_attrs=True) if "depth" in v.dims else v
        )
        notes.append(f"The samples have no depth: predictors are means over {layer[0]:g}-{layer[1]:g} m.")
    step = next((d for d in ("month", "time") if d in environment.dims), None)
    if step and not {"month", "time"} & set(table.columns):
        environment = environment.mean(step, keep_attrs=True)
        notes.append(f"The samples have no time: predictors are means over the grids' {step} axis.")
    return environment.load(), notes


def _joined(table, environment, predictors, recipe):
    """Samples with their predictors; those that cannot be used apart, with the reason."""
    clash = [name for name in environment.data_vars if name in table.columns]
    layered = "depth" in environment.dims and {"depth_min", "depth_max"} <= set(table.columns)
    told = recipe.environment
    options = {"time": "exact" if "time" in environment.dims else "month"}
    if told.window_days is not None:
        if "time" not in environment.dims:
            msg = (
                f"environment.window_days = {told.window_days:g} asks for means over dates, and the grids have none, "
                f"only {', '.join(map(str, environment.dims))}. Leave it out, or give grids with dates."
            )
            raise SchemaError(msg)
        options = {"time": "window", "max_days": told.window_days}
    if told.radius_km is not None:
        options["radius_km"] = told.radius_km
    join = join_seasons if "n_months" in table.columns and "month" in environment.dims else join_environment
    joined = join(
        table.drop(columns=clash), environment, depth="mean" if layered else "nearest", **options
    ).reset_index(drop=True)
    if told.day_and_night:
        joined = join_sun(joined)
        joined["match_reason"] = joined["match_reason"].where(joined["solar_reason"] == "", joined["solar_reason"])
    gaps = joined[predictors].isna()
    lost = gaps.any(axis=1) if recipe.model.missing == "refuse" else gaps.all(axis=1)
    missing = pd.Series([", ".join(gaps.columns[row]) for row in gaps.to_numpy()], joined.index, dtype=object)
    reasons = joined["match_reason"].where(joined["match_reason"] != "", missing + " missing here")
    if lost.all():
        msg = f"no sample has an environment: {reasons.mode().iloc[0]}. Do samples and grids cover the same sea?"
        raise SchemaError(msg)
    return joined[~lost].reset_index(drop=True), joined[lost].assign(reason=reasons[lost])


def _ready(environment, sea_floor, recipe):
    """The environment with the value of predictors that samples alone have, and no sea shallower than a horizon."""
    traps = recipe.observations.traps
    if traps is not None and sea_floor is not None:
        environment = environment.where(sea_floor >= traps.horizon)
    flat = xr.zeros_like(environment["latitude"] * environment["longitude"], dtype=float).drop_attrs()
    return environment.assign({name: flat + value for name, value in recipe.environment.fixed.items()})


def _with_sun(environment):
    """The elevation of the sun at several hours of each month's days; maps average over them."""
    derived = derive(environment, ["hourly_solar_elevation"])
    return derived.rename(hourly_solar_elevation=SUN)


def _said_of_horizon(sea_floor, horizon):
    if sea_floor is None:
        return f"No grid holds the sea floor: flux is also mapped where the sea is shallower than {horizon:g} m."
    return f"Flux is mapped where the sea is at least {horizon:g} m deep."


def _without_split(raw, environment, predictors, recipe):
    """The rows of every part of the table, for a test on the other part and for the fit to all."""
    where = {k: v for k, v in recipe.observations.where.items() if k != "split"}
    accepted, _ = select(raw, recipe.observations.model_copy(update={"where": where}))
    return _joined(accepted, environment, predictors, recipe)[0]


def _mapped_part(prepared, recipe, *, months, region, resolution):
    """Cut and average the environment to the part that is to be mapped."""
    chosen = {"months": months, "region (west, east, south, north)": region, "degrees": resolution}
    said = [f"{what} {value}" for what, value in chosen.items() if value]
    if said:
        prepared.notes.append(f"Only a part is mapped, or a coarser grid: {'; '.join(said)}.")

    def cut(grid):
        grid = select_region(grid, region) if region else grid
        return regrid(grid, resolution) if resolution else grid

    prepared.environment, prepared.today = (
        grid if grid is None else cut(_layers_and_months(grid, recipe, months))
        for grid in (prepared.environment, prepared.today)
    )
    if recipe.environment.day_and_night:
        prepared.environment = _with_sun(prepared.environment)
        prepared.today = None if prepared.today is None else _with_sun(prepared.today)
        prepared.notes.append("The sun of each sample is a predictor; the map is the mean over day and night.")
    if prepared.sea_floor is not None:
        prepared.sea_floor = cut(prepared.sea_floor)
    gridded = [name for name in prepared.predictors if name not in recipe.environment.sampled]
    if gridded and not any(prepared.environment[name].notnull().any() for name in gridded):
        msg = f"there is no sea with these predictors in the mapped part (region {region}). Choose another --region."
        raise SchemaError(msg)
    return prepared


def _layers_and_months(environment, recipe, months):
    """The months to be mapped, and the depths that the budget adds up."""
    if months:
        if "month" not in environment.dims or not set(months) <= set(environment["month"].values.tolist()):
            held = environment["month"].values.tolist() if "month" in environment.dims else "no month axis"
            msg = f"--months {','.join(map(str, months))} cannot be mapped: the grids have {held}."
            raise SchemaError(msg)
        environment = environment.sel(month=list(months))
    if "depth" in environment.dims and recipe.budget.depth:
        thickness = layer_thickness(environment[["depth"]], recipe.budget.depth)
        environment = environment.sel(depth=environment["depth"][thickness > 0])
    return environment
