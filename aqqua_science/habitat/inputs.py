"""A first look at what a recipe names, with nothing heavy loaded: most mistakes show here, at once."""

import fnmatch
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from aqqua_science.habitat.observations import find_file, read_observations, select
from aqqua_science.habitat.units import budget_units, convert_total, of_no_depth
from aqqua_science.schema import SchemaError, nearest_name, require_columns

NAMED_REGIONS = ("global", "basins", "latitude bands")
_OWN_SOURCES = ("counting", "sampling", "choice of model", "extrapolation")
_WIDEST_FACTOR = 2.3
"""A factor of ten: what is named beyond is a percentage."""
_NETCDF = (".nc", ".nc4", ".cdf", ".netcdf")


@dataclass(frozen=True)
class Inputs:
    """The files of a recipe, its table as read, and the rows that can and cannot be used."""

    files: list
    grids: list
    regions: list
    raw: pd.DataFrame
    accepted: pd.DataFrame
    rejected: pd.DataFrame
    changes: list = field(default_factory=list)


def find_inputs(recipe, *, folders, scenario=None):
    """
    Find and check the files of a recipe.

    Parameters
    ----------
    recipe : Recipe
    folders : list of pathlib.Path
        Where its files are looked for, in this order.
    scenario : str, optional
        Which of the recipe's scenarios is to be mapped.

    Returns
    -------
    Inputs

    Raises
    ------
    SchemaError
        If a file, a column or a predictor is missing, units cannot be used, or no row is left.
    """
    regions = check_budget(recipe, folders=folders)
    changes = _find_changes(recipe, scenario, folders)
    path = find_file(recipe.observations.file, folders=folders)[0]
    raw, unusable = read_observations(path, recipe.observations)
    told = recipe.uncertainty
    beside = [*told.draws.values(), *([told.counts] if told.counts else [])]
    accepted, rejected = select(raw, recipe.observations, beside=beside)
    rejected = pd.concat([unusable, rejected], ignore_index=True)
    check_columns(recipe, accepted)
    grids = [p for name in recipe.environment.files for p in find_file(name, folders=folders)]
    if all(p.suffix.lower() in _NETCDF for p in grids):
        check_predictors(recipe, [name for p in grids for name in _variables(p)])
    return Inputs([path, *grids, *changes], grids, regions, raw, accepted, rejected, changes)


def _find_changes(recipe, scenario, folders):
    """The files of a scenario."""
    if scenario is None:
        return []
    if scenario not in recipe.scenarios:
        known = ", ".join(recipe.scenarios) or "none: add a table [scenarios.NAME] with files"
        msg = f"the recipe has no scenario {scenario!r}.{nearest_name(scenario, recipe.scenarios)} It has {known}."
        raise SchemaError(msg)
    return [path for name in recipe.scenarios[scenario].files for path in find_file(name, folders=folders)]


def check_columns(recipe, table):
    """
    Refuse columns that the recipe names and the samples lack, and models that their zeros do not allow.

    Parameters
    ----------
    recipe : Recipe
    table : pandas.DataFrame
        The samples that can be used.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    told = recipe.uncertainty
    check_sources(told.draws, told.factors)
    require_columns(table, [*recipe.environment.fixed, *([told.counts] if told.counts else [])], what="the samples")
    for source, pattern in told.draws.items():
        draw_columns(table, pattern, source)
    needs_positive = "gamma" in told.objectives or (told.counts and recipe.model.objective == "gamma")
    if recipe.environment.day_and_night:
        require_columns(table, ["time"], what="samples whose sun is asked for (environment.day_and_night)")
    if needs_positive and (told.counts or (table[recipe.observations.target] <= 0).any()):
        msg = (
            "the objective 'gamma' takes no zeros, and samples or surveys with redrawn counts hold some. "
            "Choose 'tweedie' or 'poisson', or leave out uncertainty.counts."
        )
        raise SchemaError(msg)


def check_sources(draws, factors):
    """
    Refuse two sources of one name, and factors that are no standard deviations of a logarithm.

    Parameters
    ----------
    draws, factors : mapping

    Raises
    ------
    SchemaError
    """
    names = [*draws, *factors]
    for name in names:
        if names.count(name) > 1 or name in _OWN_SOURCES:
            msg = f"the source of uncertainty {name!r} is there twice, or told anyway. Rename it in draws or factors."
            raise SchemaError(msg)
    for name, sd in factors.items():
        if not 0 < sd <= _WIDEST_FACTOR:
            msg = (
                f"the factor {name!r} = {sd:g} must be the standard deviation of a natural logarithm, above 0 and up "
                f"to {_WIDEST_FACTOR:g}: 0.3 for an error of 30 %, not 30."
            )
            raise SchemaError(msg)


def draw_columns(table, pattern, source):
    """
    Name the columns that hold the draws of a source of uncertainty.

    Parameters
    ----------
    table : pandas.DataFrame
    pattern : str
        With ``*``.
    source : str

    Returns
    -------
    list of str

    Raises
    ------
    SchemaError
        If there are fewer than two.

    Examples
    --------
    >>> draw_columns(pd.DataFrame(columns=["carbon_1", "carbon_2", "n"]), "carbon_*", "carbon")
    ['carbon_1', 'carbon_2']
    """
    found = fnmatch.filter(map(str, table.columns), pattern)
    if len(found) < 2:
        msg = (
            f"uncertainty.draws.{source} = {pattern!r} names {len(found)} columns of the table; it needs two or more. "
            f"There are {', '.join(map(str, table.columns))}."
        )
        raise SchemaError(msg)
    return found


def check_budget(recipe, *, folders):
    """
    Refuse a budget that could not be added up, and find its files of regions.

    Parameters
    ----------
    recipe : Recipe
    folders : list of pathlib.Path

    Returns
    -------
    list of str or pathlib.Path
        For `label_regions`.

    Raises
    ------
    SchemaError
        If units, kind, depth, regions or the units of the reference do not go together.
    """
    amounts = budget_units(recipe.observations.units, recipe.budget.kind)
    if amounts.per == "volume" and recipe.budget.depth is None:
        msg = (
            f"units {recipe.observations.units!r} are per volume: say which water is added up, for example "
            "depth = [0, 200] under [budget]."
        )
        raise SchemaError(msg)
    if amounts.per == "area" and recipe.budget.depth is not None:
        raise SchemaError(of_no_depth(recipe.observations.units, recipe.budget.depth))
    for told in recipe.reference:
        convert_total(told.value, told.units, to=amounts.units)
    return [_find_regions(regions, folders) for regions in recipe.budget.regions]


def _find_regions(regions, folders):
    if regions in NAMED_REGIONS:
        return regions
    if not Path(regions).suffix:
        msg = (
            f"budget.regions = {regions!r} is no known set.{nearest_name(regions, NAMED_REGIONS)} "
            f"Choose {', '.join(NAMED_REGIONS)}, or the path of a file of polygons."
        )
        raise SchemaError(msg)
    return find_file(regions, folders=folders)[0]


def check_predictors(recipe, names):
    """
    Refuse predictors that no grid holds, and constraints on what is no predictor.

    Parameters
    ----------
    recipe : Recipe
    names : list of str
        Variables of the grids.

    Raises
    ------
    SchemaError
        With the nearest right name.
    """
    names = list(dict.fromkeys([*names, *recipe.environment.further]))
    predictors = recipe.environment.predictors or names
    for name in predictors:
        if name not in names:
            msg = (
                f"the predictor {name!r} is in none of the grids.{nearest_name(name, names)} "
                f"They hold: {', '.join(map(str, names))}."
            )
            raise SchemaError(msg)
    for name in recipe.model.monotone:
        if name not in predictors:
            msg = f"[model] monotone names {name!r}, which is no predictor.{nearest_name(name, predictors)}"
            raise SchemaError(msg)


def _variables(path):
    """Names in the header of a NetCDF file."""
    import netCDF4

    try:
        with netCDF4.Dataset(path) as file:
            return [str(name) for name in file.variables if name not in file.dimensions]
    except OSError as error:
        msg = f"{path.name} cannot be read as NetCDF: {error}. Is the file whole?"
        raise SchemaError(msg) from error
