"""Models, maps and budgets: what relates samples to grid cells, and how far to trust it."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submodules=[
        "collinearity",
        "comparison",
        "conversion",
        "effects",
        "extrapolation",
        "learners",
        "occurrences",
        "periods",
        "stacking",
    ],
    submod_attrs={
        "attribution": ["dominant_driver", "shap_values"],
        "budget": ["integrate"],
        "calibration": ["calibrate"],
        "collinearity": ["report_predictors"],
        "effects": ["accumulated_effects"],
        "extrapolation": ["area_of_applicability"],
        "folds": ["SpatialBlocks", "StratifiedFolds"],
        "importance": ["permutation_importance"],
        "matching": ["KNNDM"],
        "model": ["BoostedTrees"],
        "prediction": ["predict_grid"],
        "production": ["run_recipe"],
        "recipe": ["Recipe", "read_recipe"],
        "selection": ["select_predictors"],
        "tuning": ["tune"],
        "validation": ["cross_validate"],
    },
)
