"""Sources: what instruments and portals deliver, one module each, as records that `images.ingest` accepts."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submodules=[
        "cpics",
        "ecopart",
        "ecotaxa",
        "flowcam",
        "folder",
        "ifcb",
        "labels",
        "planktoscope",
        "published",
        "uvp",
        "zooscan",
    ],
    submod_attrs={"record": ["Part", "Record"], "recognition": ["recognise_format"]},
)
