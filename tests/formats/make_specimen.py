"""Makes the specimen of format version 1. Run once; what lies in v1/ is never made anew, only read."""

from pathlib import Path

import numpy as np

from aqqua_science.images import ingest
from aqqua_science.sources.record import Record


def specimen_pixels(i):
    """Image i of the specimen, by a formula: every type, one to four channels."""
    dtype = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")[i % 8]
    shape = (3 + i, 5 + i // 2, *([1 + i % 4] if i % 3 == 0 else []))
    return (np.arange(np.prod(shape)).reshape(shape) * (i + 1) % 101).astype(dtype)


def specimen_records():
    """Forty records, one without a depth."""
    for i in range(40):
        facts = {"object_id": f"o{i}", "sample_id": "s", "time": "2024-05-01T12:00:00", "latitude": 54.0 + i / 64}
        facts |= {"longitude": -7.5, "depth": None if i == 7 else i, "pixel_size_um": 50, "instrument": "CPICS"}
        facts |= {"licence": "CC0-1.0", "taxon": "Copépoda", "aux_light": i / 4, "trait_colour": "red"}
        yield Record(f"made.csv:{i + 2}", lambda i=i: specimen_pixels(i), facts, {"Nº": str(i), "empty": ""})


if __name__ == "__main__":
    ingest(
        specimen_records(),
        Path(__file__).parent / "v1",
        name="specimen",
        citation="aqqua_science",
        contributors=["The aqqua_science developers"],
        use_for_maps=True,
        images_per_shard=35,
    )
