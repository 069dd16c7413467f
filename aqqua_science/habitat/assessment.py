"""How far a map may be trusted: skill on held-out samples, applicability, coverage, other ways to fit."""

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import GroupKFold

from aqqua_science.grids.geometry import cell_area
from aqqua_science.habitat import scores
from aqqua_science.habitat.budget import integrate, member_variable
from aqqua_science.habitat.calibration import cell_coverage
from aqqua_science.habitat.extrapolation import area_of_applicability, gain_weights, member_applicability
from aqqua_science.habitat.folds import StratifiedFolds, fold_labels, largest_blocks
from aqqua_science.habitat.layers import SEA_FLOOR
from aqqua_science.habitat.matching import KNNDM
from aqqua_science.habitat.prediction import predict_grid
from aqqua_science.habitat.validation import cross_validate, log_scale, out_of_fold
from aqqua_science.schema import SchemaError

_ASKED_MEMBERS = 20


def assess_skill(recipe, model, inputs):
    """
    Score a recipe's model under random, blocked and domain-matched folds, by group and on the study's own test part.

    Parameters
    ----------
    recipe : Recipe
    model : BoostedTrees
        Fitted on `inputs.table`.
    inputs : Prepared

    Returns
    -------
    pandas.DataFrame
        As `cross_validate` gives it; the scheme "split" holds the scores on rows that `where` left out by its split.
    """
    table, folds = inputs.table, recipe.validation.folds
    schemes = {
        "random": StratifiedFolds(folds),
        "blocks": _blocks(recipe, inputs),
        "knndm": KNNDM(inputs.environment, folds),
    }
    if "group" in table.columns:
        schemes["groups"] = GroupKFold(folds)
    groups = "group" if "group" in table.columns else None
    degrees = schemes["blocks"].degrees
    if degrees < recipe.validation.blocks_degrees:
        inputs.notes.append(
            f"The survey is small: held-out blocks have {degrees:g} degrees, not {recipe.validation.blocks_degrees:g}."
        )
    rows, skipped = [], []
    for scheme, folds in schemes.items():
        try:
            rows.append(
                cross_validate(
                    model,
                    table,
                    target=recipe.observations.target,
                    cv={scheme: folds},
                    groups=groups,
                    volume=volume_column(recipe),
                    domain=inputs.environment,
                )
            )
        except ValueError as error:
            skipped.append(f"The scheme {scheme!r} was left out: {error}")
    if not rows:
        raise SchemaError(skipped[0])
    inputs.notes.extend(skipped)
    test = _test_part(recipe, inputs)
    if test is not None:
        target = recipe.observations.target
        scale = log_scale(model, table[target])
        marks = scores.score(test[target], model.predict(test[inputs.predictors]), scale=scale)
        rows.append(pd.DataFrame([{"scheme": "split", **marks, "n": len(test)}]))
    return pd.concat(rows, ignore_index=True)


def assess_applicability(recipe, model, inputs, *, present):
    """
    Find where the map leaves the environment its samples speak for.

    Parameters
    ----------
    recipe : Recipe
    model : BoostedTrees
    inputs : Prepared
    present : xarray.DataArray of bool
        Cells that hold a prediction.

    Returns
    -------
    dataset : xarray.Dataset
        Of `area_of_applicability`, by the recipe's blocks.
    fractions : dict
        ``extrapolated_area_fraction`` by blocks, and by random folds beside it; if the recipe asks for it, also that of
        the members on average, and the fraction that lies outside for all of them.
    """
    table, amounts = inputs.table, inputs.table[recipe.observations.target].to_numpy()
    cuts = {
        "extrapolated_area_fraction": _blocks(recipe, inputs),
        "extrapolated_area_fraction_random_folds": StratifiedFolds(recipe.validation.folds),
    }
    labels = {name: fold_labels(cut, table, y=amounts) for name, cut in cuts.items()}
    datasets, fractions = [], {}
    for name, folds in labels.items():
        found = area_of_applicability(
            table,
            inputs.environment,
            predictors=inputs.predictors,
            weights=gain_weights(model),
            folds=folds,
        )
        datasets.append(found)
        fractions[name] = _area_share(found["inside"] == 0, present)
    if not recipe.validation.applicability_by_member:
        return datasets[0], fractions
    folds = labels["extrapolated_area_fraction"]
    share = member_applicability(model, table, inputs.environment, folds=folds, n_members=_ASKED_MEMBERS)
    fractions["extrapolated_area_fraction_members"] = _area_share(1 - share, present)
    fractions["extrapolated_area_fraction_all_members"] = _area_share(share == 0, present)
    return datasets[0].assign(inside_share=share), fractions


def _area_share(values, present):
    """Mean over the mapped area, and over months and depths."""
    values = values.astype(float).where(present)
    values = values.mean([d for d in values.dims if d not in ("latitude", "longitude")])
    return float(values.weighted(cell_area(values)).mean())


def assess_interval(recipe, model, inputs, *, field):
    """
    Record how the intervals were made and how often the cell interval held on other blocks.

    Parameters
    ----------
    recipe : Recipe
    model : BoostedTrees
    inputs : Prepared
    field : xarray.Dataset
        Of `calibrate`.

    Returns
    -------
    dict
    """
    blocks = largest_blocks(inputs.table)
    target = recipe.observations.target
    predicted = out_of_fold(model, inputs.table, target=target, cv=blocks, volume=volume_column(recipe))
    observed = inputs.table[target].to_numpy()
    labels = blocks.blocks(inputs.table)
    members = _members_at(model, inputs, recipe)
    return {
        **{k.removeprefix("calibration_"): v for k, v in field.attrs.items() if k.startswith("calibration_")},
        "cell_coverage_held_out": cell_coverage(observed, predicted.to_numpy(), blocks=labels, scale=model.scale_),
        "member_envelope_coverage_95": members,
    }


def assess_sensitivity(recipe, model, inputs, *, field, arguments):
    """
    Add up what the map would hold had a choice been another.

    Parameters
    ----------
    recipe : Recipe
    model : BoostedTrees
    inputs : Prepared
    field : xarray.Dataset
    arguments : dict
        For `integrate`.

    Returns
    -------
    dict
        Total of the mean of the members, by choice: ``full_thickness`` where the map is clipped at the sea floor,
        ``inside_applicability`` for that area only, ``all_rows`` refitted where the recipe takes one split of a table.
    """
    name = member_variable(field)
    arguments = arguments | {"by": "global"}

    def total(of, **choice):
        row = integrate(of, **arguments | choice).iloc[0]
        return {"mean": row["mean"], "units": row["units"]}

    found = {}
    clipped = recipe.budget.depth and recipe.budget.clip_to_seafloor is not False and recipe.budget.kind != "mean"
    if SEA_FLOOR in field and clipped:
        found["full_thickness"] = total(field, clip_to_seafloor=False)
    found["inside_applicability"] = total(field.assign({name: field[name].where(field["inside"] == 1)}))
    if inputs.all_rows is not None:
        rows = inputs.all_rows
        refit = clone(model).fit(
            rows[inputs.predictors], rows[recipe.observations.target], **fit_arguments(recipe, rows)
        )
        other = predict_grid(refit, inputs.environment, units=recipe.observations.units)
        other = other.merge(field[[SEA_FLOOR]]) if SEA_FLOOR in field else other
        found["all_rows"] = {"n_samples": len(rows), **total(other)}
    return found


def fit_arguments(recipe, table):
    """
    What `BoostedTrees.fit` wants beside predictors and amounts.

    Parameters
    ----------
    recipe : Recipe
    table : pandas.DataFrame

    Returns
    -------
    dict
        ``groups`` where members are resampled by block or group, or trees are stopped early; ``volume`` where measured.
    """
    arguments = {}
    if recipe.model.resampling == "groups":
        arguments["groups"] = table["group"].to_numpy()
    elif recipe.model.resampling == "blocks" or recipe.model.n_trees is None:
        arguments["groups"] = largest_blocks(table).blocks(table)
    if recipe.observations.volume:
        arguments["volume"] = table["volume_m3"].to_numpy()
    return arguments


def volume_column(recipe):
    """
    Name the column of sampled volumes.

    Parameters
    ----------
    recipe : Recipe

    Returns
    -------
    str or None
    """
    return "volume_m3" if recipe.observations.volume else None


def _blocks(recipe, inputs):
    """The recipe's blocks, or smaller ones where its survey is small."""
    wanted = recipe.validation.blocks_degrees
    return largest_blocks(inputs.table, degrees=wanted, n_splits=recipe.validation.folds)


def _test_part(recipe, inputs):
    """Rows of the table's other split."""
    if inputs.all_rows is None:
        return None
    keys = ["latitude", "longitude", recipe.observations.target]
    seen = pd.MultiIndex.from_frame(inputs.table[keys])
    test = inputs.all_rows[~pd.MultiIndex.from_frame(inputs.all_rows[keys]).isin(seen)]
    return test if len(test) > 1 else None


def _members_at(model, inputs, recipe):
    """Share of samples no member has seen that lie between the 2.5 and 97.5 % quantiles of the members."""
    test = _test_part(recipe, inputs)
    if test is None:
        return None
    low, high = np.quantile(model.predict_members(test[inputs.predictors]), [0.025, 0.975], axis=0)
    observed = test[recipe.observations.target].to_numpy()
    return float(((observed >= low) & (observed <= high)).mean())
