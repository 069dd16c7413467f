"""
From plankton pixels to planetary budgets.

One folder per rung of the ladder: `sources` (what instruments and portals deliver), `images` (the store),
`pretraining` (encoders), `features` (what they make of images), `objects` (organisms and particles), `samples`
(volumes of water), `grids` (month, depth, latitude, longitude), `habitat` (models, maps, budgets), `plot`, and
`synthetic` (virtual oceans with known answers). Nothing is imported until it is used.
"""

import lazy_loader as _lazy

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submodules=[
        "apps",
        "features",
        "grids",
        "habitat",
        "images",
        "objects",
        "optional",
        "plot",
        "pretraining",
        "samples",
        "schema",
        "sources",
        "synthetic",
    ],
)
