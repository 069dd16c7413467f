"""Grid cells: environment fields in one convention, their geometry, regions and land."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "catalogue": ["catalog"],
        "climatologies": ["anomaly", "climatology"],
        "environment": ["open_environment"],
        "fetching": ["fetch"],
        "gaps": ["fill_gaps"],
        "geometry": ["cell_area", "regular_grid"],
        "land": ["land_mask"],
        "layers": ["layer_integral", "layer_mean"],
        "predictors": ["derive"],
        "regions": ["label_regions"],
        "regridding": ["regrid"],
        "subsetting": ["select_region"],
    },
)
