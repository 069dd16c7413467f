"""What people look at in a browser: the atlas of maps and budgets."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__, submodules=["catalogue", "export"], submod_attrs={"atlas": ["Atlas"]}
)
