"""Pretraining: encoders that learn from a store of images without labels, from a notebook cell to GPU nodes."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "config": ["PretrainConfig"],
        "conversion": ["convert"],
        "curation": ["assign", "curate"],
        "distillation": ["distil"],
        "encoders": ["embeddings", "load"],
        "exporting": ["export"],
        "cluster": ["submit"],
        "failure": ["replay"],
        "finetuning": ["finetune"],
        "training": ["pretrain"],
    },
)
