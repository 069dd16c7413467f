"""The encoder that comes with the package: small, licensed, and better than none."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from aqqua_science.features import embed
from aqqua_science.features.encoders import DEFAULT
from aqqua_science.images import ingest
from aqqua_science.objects import TaxonClassifier
from aqqua_science.pretraining import embeddings
from aqqua_science.pretraining.vit import ViT
from aqqua_science.synthetic import images


@pytest.fixture(scope="module")
def told():
    session = onnxruntime.InferenceSession(str(DEFAULT), providers=["CPUExecutionProvider"])
    return json.loads(session.get_modelmeta().custom_metadata_map["about"])


def test_it_is_small_and_says_what_it_is(told):
    assert DEFAULT.stat().st_size <= 8e6
    assert told["licence"] == "BSD-3-Clause"
    assert set(told["store"]["licence"]) == {"CC0-1.0", "MIT"}
    assert (Path(__file__).parents[2] / told["card"]).exists()


def test_it_tells_drawn_plankton_apart_better_than_an_untrained_network(tmp_path):
    """Of pictures that it has not seen, by a line through its numbers."""
    store = ingest(images(150, rng=99, instruments=["UVP6"]), tmp_path / "drawn.aqqua")
    taxon = store.table["taxon"]
    common = np.flatnonzero(taxon.map(taxon.value_counts()) >= 10)
    torch.manual_seed(0)
    untrained = ViT("nano", registers=1).eval()
    untrained.about = {"max_tokens": 256, "square": None}
    features = embed(store, to=tmp_path / "features.zarr")
    assert features.shape == (150, 192)
    scores = [
        TaxonClassifier().fit(np.asarray(values)[common], taxon.iloc[common]).scores_["balanced_accuracy"]
        for values in (features, embeddings(untrained, store))
    ]
    assert scores[0] > scores[1] + 0.1
