"""Images: the store, one format for every instrument, and what goes into and out of it."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "auditing": ["audit"],
        "darwin_core": ["to_darwin_core"],
        "ingestion": ["ingest"],
        "store": ["ImageStore", "open_store"],
    },
)
