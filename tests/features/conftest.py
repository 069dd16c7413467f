"""A small store of drawn plankton, and encoders for it."""

import numpy as np
import pytest

from aqqua_science.images import ingest
from aqqua_science.synthetic import images


class Levels:
    """An encoder that can be checked by hand: mean grey level, height, width and pixel size."""

    name = "levels"
    fingerprint = "0123456789abcdef"
    feature_names = ("mean", "height", "width", "pixel_size_um")

    def __call__(self, images):
        rows = [(i.pixels.mean(), *i.pixels.shape[:2], i.pixel_size_um) for i in images]
        return np.array(rows, np.float32)


@pytest.fixture
def levels():
    """An encoder whose features are known."""
    return Levels()


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Sixty pictures of three instruments in two shards: grey and colour, 8 and 12 bits."""
    records = images(60, rng=0, instruments=["UVP6", "FlowCam", "LOKI"])
    path = tmp_path_factory.mktemp("stores") / "drawn.aqqua"
    return ingest(records, path, images_per_shard=35, contributors=["A. Person"])


@pytest.fixture(scope="session")
def vit():
    """An untrained network that says how it wants images."""
    import torch

    from aqqua_science.pretraining.vit import ViT

    torch.manual_seed(0)
    network = ViT("pico")
    network.about = {"max_tokens": 64}
    return network.eval()


@pytest.fixture(scope="session")
def onnx_file(vit, tmp_path_factory):
    """It, exported."""
    from aqqua_science.pretraining.exporting import export

    path = tmp_path_factory.mktemp("encoders") / "tiny.onnx"
    export(vit, path)
    return path
