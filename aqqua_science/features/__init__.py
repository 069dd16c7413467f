"""Features: what an encoder makes of every image, laid out and searched."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "embedding": ["embed"],
        "archive": ["open_features"],
        "projection": ["layout"],
        "search": ["neighbours"],
    },
)
