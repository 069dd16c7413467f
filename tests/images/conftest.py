"""Sources to ingest, made on the spot."""

import numpy as np
import pytest

from aqqua_science.images import ingest
from aqqua_science.sources.pictures import encode_png
from aqqua_science.synthetic import images

DEFAULTS = {
    "time": "2024-05-01T12:00:00",
    "latitude": 54.2,
    "longitude": 7.9,
    "depth": 5,
    "pixel_size_um": 50,
    "instrument": "CPICS",
    "licence": "CC0-1.0",
}


@pytest.fixture
def defaults():
    """What label folders do not tell."""
    return dict(DEFAULTS)


@pytest.fixture(scope="session")
def label_folder(tmp_path_factory):
    """Two taxa in folders, 120 images of many sizes, grey and colour, and one that is cut short."""
    folder, rng = tmp_path_factory.mktemp("labels"), np.random.default_rng(0)
    for i in range(120):
        shape = (*rng.integers(5, 90, 2), *([3] if i % 3 == 0 else []))
        path = folder / ("Copepoda__12" if i % 2 else "detritus") / f"{i:03d}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_png(rng.integers(0, 255, shape).astype(np.uint8)))
    path.write_bytes(path.read_bytes()[:60])
    return folder


@pytest.fixture(scope="session")
def pictures():
    """Drawn pictures of every instrument, with their truth."""
    return list(images(150, rng=3))


@pytest.fixture(scope="session")
def store(pictures, tmp_path_factory):
    """A store of these in several shards."""
    return ingest(
        pictures, tmp_path_factory.mktemp("stores") / "drawn", images_per_shard=40, contributors=["A. Person"]
    )
