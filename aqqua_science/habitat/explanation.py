"""What a recipe's map was made of: which predictors it needed, how it responded, and what drives it where."""

from aqqua_science.habitat.assessment import volume_column
from aqqua_science.habitat.attribution import dominant_driver
from aqqua_science.habitat.collinearity import report_predictors
from aqqua_science.habitat.effects import accumulated_effects
from aqqua_science.habitat.folds import largest_blocks
from aqqua_science.habitat.importance import permutation_importance


def assess_explanation(recipe, model, inputs):
    """
    Explain a recipe's model as far as the recipe asks for it.

    Parameters
    ----------
    recipe : Recipe
    model : BoostedTrees
        Fitted on `inputs.table`.
    inputs : Prepared

    Returns
    -------
    explanation : dict
        ``predictors`` (`report_predictors`), and as `recipe.explain` says ``importance``
        (`permutation_importance` under the recipe's blocks) and ``effects`` (`accumulated_effects`).
    drivers : xarray.Dataset or None
        ``driver`` and ``driver_factor`` of `dominant_driver`.
    """
    table, names = inputs.table, inputs.predictors
    found = {"predictors": report_predictors(table, predictors=names, env=inputs.environment).to_dict("records")}
    if recipe.explain.importance:
        found["importance"] = _importance(recipe, model, table).to_dict("records")
    if recipe.explain.effects:
        found["effects"] = accumulated_effects(model, table).to_dict("records")
    if not recipe.explain.drivers:
        return found, None
    return found, dominant_driver(model, inputs.environment)[["driver", "driver_factor"]]


def _importance(recipe, model, table):
    validation = recipe.validation
    return permutation_importance(
        model,
        table,
        target=recipe.observations.target,
        cv=largest_blocks(table, degrees=validation.blocks_degrees, n_splits=validation.folds),
        groups="group" if recipe.model.resampling == "groups" else None,
        volume=volume_column(recipe),
    )
