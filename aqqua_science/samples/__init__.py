"""Samples: volumes of water at a place, depth and time, and what they hold."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submodules=[
        "aggregate",
        "communities",
        "counting_error",
        "daylight",
        "effort",
        "flux_comparison",
        "flux_laws",
        "functional",
        "martin",
        "pangaea",
        "particles",
        "rarefaction",
        "rates",
        "seasons",
        "spectra",
        "stations",
        "traps",
        "windows",
    ],
    submod_attrs={
        "aggregate": ["biomass", "by_group", "concentration"],
        "communities": ["diversity"],
        "matchup": ["join_environment"],
        "particles": ["size_spectrum", "sinking_flux"],
    },
)
