"""Pictures of fields: matplotlib on cartopy's maps, with land that needs no network."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "charts": ["budget_chart", "cycle_chart", "waterfall_chart"],
        "drivers": ["driver_map"],
        "explanations": ["collinearity_chart", "importance_chart", "response_chart"],
        "maps": ["field_map", "summary_map"],
    },
)
