"""Virtual oceans: environment, life, pictures, surveys and the true answer."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "ocean": ["true_budget", "virtual_ocean"],
        "pictures": ["images"],
        "survey": ["sample_ocean"],
    },
)
