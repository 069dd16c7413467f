"""Models, maps and budgets: what relates samples to grid cells, and how far to trust it."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "budget": ["integrate"],
        "calibration": ["calibrate"],
        "extrapolation": ["area_of_applicability", "mess"],
        "model": ["BoostedTrees"],
        "prediction": ["predict_grid"],
        "recipe": ["Recipe", "run_recipe"],
        "validation": ["KNNDM", "SpatialBlocks", "StratifiedFolds", "cross_validate"],
    },
)
