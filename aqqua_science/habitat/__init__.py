"""Models, maps and budgets: what relates samples to grid cells, and how far to trust it."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "budget": ["integrate"],
        "calibration": ["calibrate"],
        "extrapolation": ["area_of_applicability", "mess"],
        "folds": ["SpatialBlocks", "StratifiedFolds"],
        "matching": ["KNNDM"],
        "model": ["BoostedTrees"],
        "prediction": ["predict_grid"],
        "production": ["run_recipe"],
        "recipe": ["Recipe", "read_recipe"],
        "validation": ["cross_validate"],
    },
)
