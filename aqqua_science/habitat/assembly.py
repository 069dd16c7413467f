"""A recipe's work between its inputs and its files: fit, test, map, calibrate, add up."""

import re

import numpy as np
import pandas as pd
from sklearn.base import clone

from aqqua_science import __version__
from aqqua_science.files import file_hash, plain
from aqqua_science.habitat.assessment import (
    assess_applicability,
    assess_interval,
    assess_sensitivity,
    assess_skill,
    fit_arguments,
    volume_column,
)
from aqqua_science.habitat.budget import integrate, member_variable
from aqqua_science.habitat.calibration import calibrate
from aqqua_science.habitat.explanation import assess_explanation
from aqqua_science.habitat.inputs import draw_columns
from aqqua_science.habitat.layers import SEA_FLOOR
from aqqua_science.habitat.learners import learner
from aqqua_science.habitat.ledger import uncertainty_ledger
from aqqua_science.habitat.model import BoostedTrees
from aqqua_science.habitat.observations import contributors_of
from aqqua_science.habitat.prediction import predict_grid
from aqqua_science.habitat.publication import describe_field, part_text
from aqqua_science.habitat.scenarios import budget_changes
from aqqua_science.habitat.units import budget_units, convert_total
from aqqua_science.optional import versions


def compute(recipe, inputs, *, stage):
    """
    Fit, validate, map, calibrate and add up.

    Parameters
    ----------
    recipe : Recipe
    inputs : Prepared
        Of `preparation.prepare`.
    stage : callable
        Told the name of each stage as it begins.

    Returns
    -------
    result : dict
    field : xarray.Dataset
    """
    stage("fit")
    model = fit_model(recipe, inputs.table, inputs.predictors)
    stage("cross-validation")
    skill = assess_skill(recipe, model, inputs)
    stage("map")
    field = _mapped(recipe, model, inputs, inputs.environment)
    stage("uncertainty")
    name = member_variable(field)
    target, volume = recipe.observations.target, volume_column(recipe)
    field = calibrate(field, model, inputs.table, target=target, environment=inputs.environment, volume=volume)
    today = None if inputs.today is None else _mapped(recipe, model, inputs, inputs.today)
    if today is not None and "replicates" in field:
        today = calibrate(today, model, inputs.table, target=target, environment=inputs.today, volume=volume)
    interval = assess_interval(recipe, model, inputs, field=field)
    stage("applicability")
    present = field[name].isel(member=0, drop=True).notnull()
    applicability, fractions = assess_applicability(recipe, model, inputs, present=present)
    field = field.merge(applicability.drop_attrs(deep=False))
    stage("explanation")
    explanation, drivers = assess_explanation(recipe, model, inputs)
    field = field if drivers is None else field.merge(drivers)
    stage("budget")
    arguments = {
        "depth": recipe.budget.depth,
        "kind": recipe.budget.kind,
        "clip_to_seafloor": recipe.budget.clip_to_seafloor,
    }
    budget = _by_regions(inputs.regions, lambda by: integrate(field, by=by, **arguments))
    sensitivity = assess_sensitivity(recipe, model, inputs, field=field, arguments=arguments)
    outside = fractions["extrapolated_area_fraction"]
    if recipe.budget.kind != "mean":
        outside = 1 - sensitivity["inside_applicability"]["mean"] / budget["mean"].iloc[0]
    result = {
        "title": title_of(recipe, inputs),
        "budget": budget.to_dict("records"),
        "changes": [] if today is None else _changes(field, today, inputs.regions, arguments),
        "references": _references(recipe, budget["units"].iloc[0]),
        "validation": skill.to_dict("records"),
        **fractions,
        "n_samples": len(inputs.table),
        "n_rejected": _n_observations(inputs.rejected),
        "n_observations": _n_observations(inputs.table),
        "n_cells": int(present.sum()),
        "interval": interval,
        "explanation": explanation,
        "uncertainty": _ledger(recipe, model, inputs, field, row=budget.iloc[0], outside=outside, arguments=arguments),
        "sensitivity": sensitivity,
        "notes": inputs.notes,
        "provenance": _provenance(recipe, model, inputs),
    }
    return plain(result), _described(recipe, model, inputs, field, name)


def fit_model(recipe, table, predictors):
    """
    Fit the model of a recipe.

    Parameters
    ----------
    recipe : Recipe
    table : pandas.DataFrame
        Samples with predictors.
    predictors : list of str

    Returns
    -------
    BoostedTrees
    """
    settings = recipe.model.model_dump()
    settings["monotone"] = settings["monotone"] or None
    model = BoostedTrees(**settings, n_jobs=-1)
    return model.fit(table[predictors], table[recipe.observations.target], **fit_arguments(recipe, table))


def _mapped(recipe, model, inputs, environment):
    """The field of the members, and the sea floor below it."""
    amounts = budget_units(recipe.observations.units, recipe.budget.kind)
    name = re.sub(r"\W", "_", recipe.observations.target) if amounts.kind == "mean" else amounts.quantity
    field = predict_grid(model, environment, name=name, units=recipe.observations.units)
    field[name].attrs["long_name"] = f"carbon {name}" if amounts.units.startswith("PgC") else name.replace("_", " ")
    if inputs.sea_floor is None:
        return field
    floor = inputs.sea_floor.astype(np.float32).drop_attrs()
    attrs = {"units": "m", "positive": "down", "standard_name": "sea_floor_depth_below_mean_sea_level"}
    return field.assign({SEA_FLOOR: floor.assign_attrs(attrs)})


def title_of(recipe, inputs):
    """
    Title of a map: the recipe's, and the scenario if one is mapped.

    Parameters
    ----------
    recipe : Recipe
    inputs : Prepared

    Returns
    -------
    str
    """
    scenario = inputs.mapped.get("scenario")
    return recipe.title if scenario is None else f"{recipe.title}, scenario {scenario}"


def _n_observations(table):
    """Observations of a table, of which some rows may be pooled."""
    return int(table["n_deployments"].fillna(1).sum()) if "n_deployments" in table.columns else len(table)


def _ledger(recipe, model, inputs, field, *, row, outside, arguments):
    """Rows of the uncertainty ledger, where the recipe names a source and the total has an interval."""
    told = recipe.uncertainty
    if not any(dict(told).values()) or not np.isfinite(row["low"]):
        return []
    ledger = uncertainty_ledger(
        model,
        inputs.table,
        field,
        target=recipe.observations.target,
        environment=inputs.environment,
        row=row,
        counts=told.counts,
        draws={source: draw_columns(inputs.table, pattern, source) for source, pattern in told.draws.items()},
        factors=told.factors,
        alternatives=_alternatives(recipe, model),
        volume=volume_column(recipe),
        outside=outside,
        arguments=arguments,
    )
    return ledger.to_dict("records")


def _alternatives(recipe, model):
    """Other models of the same table: other objectives of the trees, and other learners."""
    how = {"missing": "refuse" if model.missing == "refuse" else "impute", "random_state": model.random_state}
    trees = {name: clone(model).set_params(objective=name) for name in recipe.uncertainty.objectives}
    return trees | {name: learner(name, **how) for name in recipe.uncertainty.learners}


def _changes(field, today, sets, arguments):
    """What a scenario does to the budgets of all regions."""
    return _by_regions(sets, lambda by: budget_changes(field, today, by=by, **arguments)).to_dict("records")


def _by_regions(sets, table):
    """Rows of all sets of regions, the global ones once."""
    parts = []
    for regions in sets:
        part = table(regions)
        part = part if not parts else part[part["region"] != "global"]
        parts.append(part.assign(regions=regions if isinstance(regions, str) else regions.stem))
    return pd.concat(parts, ignore_index=True)


def _references(recipe, units):
    """The published values in the units of the budget."""
    return [
        {"value": convert_total(told.value, told.units, to=units), "units": units, "source": told.source}
        for told in recipe.reference
    ]


def _described(recipe, model, inputs, field, name):
    return describe_field(
        field,
        name=name,
        title=title_of(recipe, inputs),
        summary=(
            f"{title_of(recipe, inputs)}. Mean and members of {model.n_members} boosted regression trees "
            f"fitted on {len(inputs.table)} samples, with intervals from held-out blocks."
        ),
        credit="; ".join(filter(None, [recipe.credit, *contributors_of(inputs.table)])),
        history=f"made by aqqua_science {__version__} from the recipe {recipe.digest()[:12]}{part_text(inputs.mapped)}",
    )


def _input_names(files):
    """Names of files, with their folder where two have one name."""
    names = [path.name for path in files]
    return [path.name if names.count(path.name) == 1 else f"{path.parent.name}/{path.name}" for path in files]


def _provenance(recipe, model, inputs):
    return {
        "aqqua_science": __version__,
        "recipe": recipe.model_dump(mode="json"),
        "recipe_sha256": recipe.digest(),
        "mapped": inputs.mapped,
        "inputs": dict(zip(_input_names(inputs.files), map(file_hash, inputs.files), strict=True)),
        "model": model.settings_,
        "versions": versions("numpy", "pandas", "scikit-learn", "scipy", "xarray", "xgboost-cpu", "xgboost"),
        "credit": recipe.credit,
        "contributors": contributors_of(inputs.table),
    }
