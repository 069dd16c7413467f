"""Encoders see images as pretraining shows them, say what they are, and refuse what they are not."""

import json

import numpy as np
import pytest

from aqqua_science.features import embed
from aqqua_science.features.encoders import (
    Image,
    MeasuredEncoder,
    OnnxEncoder,
    TorchEncoder,
    open_encoder,
    padded_batches,
)
from aqqua_science.images.measurements import measure
from aqqua_science.images.shards import StoreError
from aqqua_science.objects import TaxonClassifier
from aqqua_science.pretraining.encoders import embeddings, save_encoder
from aqqua_science.pretraining.exporting import export


def images_of(store):
    table = store.table
    return [Image(store[i], table["bit_depth"][i], table["pixel_size_um"][i]) for i in range(len(store))]


def test_an_onnx_file_answers_what_torch_answers(store, vit, onnx_file):
    expected = embeddings(vit, store)
    found = open_encoder(onnx_file)(images_of(store))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.std(axis=0).max() > 1e-2


def test_squares_too(store, vit, tmp_path):
    about, vit.about = vit.about, {"max_tokens": 30, "square": 56}
    try:
        export(vit, tmp_path / "square.onnx")
        expected = embeddings(vit, store, slice(10))
    finally:
        vit.about = about
    found = OnnxEncoder(tmp_path / "square.onnx")(images_of(store)[:10])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_run_is_read_by_pretraining(store, vit, tmp_path):
    save_encoder(vit, tmp_path / "run" / "encoder", about=vit.about)
    encoder = open_encoder(tmp_path / "run")
    assert isinstance(encoder, TorchEncoder)
    assert encoder.name == "run"
    np.testing.assert_allclose(encoder(images_of(store)), embeddings(vit, store), atol=1e-5)


def test_weights_and_settings_make_the_fingerprint_of_a_run(vit, tmp_path):
    prints = set()
    for name, about in (("a", {"max_tokens": 64}), ("b", {"max_tokens": 64}), ("c", {"max_tokens": 32})):
        save_encoder(vit, tmp_path / name, about=about)
        prints.add(open_encoder(tmp_path / name).fingerprint)
    vit.cls.data += 1
    save_encoder(vit, tmp_path / "d", about={"max_tokens": 64})
    vit.cls.data -= 1
    assert len(prints) == 2
    assert open_encoder(tmp_path / "d").fingerprint not in prints


def test_a_run_and_its_float32_file_are_one_encoder(store, vit, tmp_path):
    """A classifier that learned from one names the objects of the other, and refuses coarser files of the same run."""
    save_encoder(vit, tmp_path / "run" / "encoder", about=vit.about)
    files = {precision: tmp_path / f"{precision}.onnx" for precision in ("float32", "float16", "int8")}
    for precision, file in files.items():
        export(tmp_path / "run", file, precision=precision)
    found = {name: embed(store, path, to=tmp_path / f"{name}.zarr") for name, path in files.items()}
    learned = embed(store, tmp_path / "run", to=tmp_path / "run.zarr")
    model = TaxonClassifier(calibration=None).fit(learned, store.table["taxon"])
    np.testing.assert_allclose(model.predict_proba(found["float32"]), model.predict_proba(learned), atol=1e-3)
    for name in ("float16", "int8"):
        with pytest.raises(ValueError, match=f"these features are of {name}"):
            model.predict(found[name])
    assert len({features.attrs["fingerprint"] for features in found.values()}) == 3


def test_measured_features_are_those_of_the_ruler(store):
    encoder = open_encoder("measured")
    image = images_of(store)[3]
    expected = measure(image.pixels, pixel_size_um=image.pixel_size_um, bit_depth=image.bit_depth)
    assert encoder.feature_names == tuple(expected)
    assert len(encoder.feature_names) == 92
    np.testing.assert_allclose(encoder([image])[0], list(expected.values()), rtol=1e-6)


def test_measured_features_have_a_version(monkeypatch):
    first = MeasuredEncoder().fingerprint
    monkeypatch.setattr("aqqua_science.features.encoders.MEASURED_VERSION", 99)
    assert first != MeasuredEncoder().fingerprint
    assert len(first) == 16


@pytest.mark.parametrize("budget", [1, 64, 1_000])
def test_batches_hold_every_image_once_within_their_budget(budget):
    lengths = np.random.default_rng(0).integers(1, 100, 300).tolist()
    batches = padded_batches(lengths, budget)
    assert sorted(np.concatenate(batches)) == list(range(300))
    sizes = [len(b) * max(lengths[i] for i in b) for b in batches]
    assert all(size <= budget or len(b) == 1 for size, b in zip(sizes, batches, strict=True))
    assert padded_batches([]) == []


def test_little_is_padded():
    lengths = np.random.default_rng(0).integers(1, 257, 512)
    padded = sum(len(b) * lengths[b].max() for b in padded_batches(lengths))
    assert padded < 1.1 * lengths.sum()


def test_the_default_encoder_comes_along():
    assert open_encoder().name == "nano"


def test_a_misspelt_name_is_told():
    with pytest.raises(ValueError, match=r"there is no encoder 'measurd'. Did you mean 'measured'"):
        open_encoder("measurd")


def test_a_folder_or_file_of_something_else_is_no_encoder(tmp_path):
    (tmp_path / "pictures.zip").write_bytes(b"PK")
    for path in (tmp_path, tmp_path / "pictures.zip"):
        with pytest.raises(ValueError, match=r"is no encoder.*an ONNX file or the folder of a run"):
            open_encoder(path)


def test_what_is_no_encoder_is_refused(tmp_path):
    with pytest.raises(TypeError, match="dict is no encoder: it lacks name, fingerprint, feature_names, __call__"):
        open_encoder({})
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(StoreError, match="no ONNX file, or damaged"):
        open_encoder(tmp_path / "broken.onnx")


def test_a_file_that_does_not_tell_how_it_wants_images_is_refused(onnx_file, tmp_path):
    import onnx

    model = onnx.load(onnx_file)
    onnx.helper.set_model_props(model, {"settings": json.dumps({"patch_size": 14}), "about": "{}"})
    onnx.save(model, tmp_path / "mute.onnx")
    with pytest.raises(StoreError, match="'max_tokens' is missing"):
        open_encoder(tmp_path / "mute.onnx")


def test_an_absent_device_is_told(onnx_file):
    with pytest.raises(ValueError, match=r"runs nothing on 'abacus'; here it can use .*cpu"):
        open_encoder(onnx_file, device="abacus")


def test_an_object_may_be_an_encoder(levels):
    assert open_encoder(levels) is levels
