"""An ONNX file answers what torch answers, for any images, and is as small as it says."""

import copy
import json

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aqqua_science.images.patches import cut, pad_patches
from aqqua_science.pretraining.encoders import save_encoder
from aqqua_science.pretraining.exporting import INPUTS, OUTPUTS, PRECISIONS, export
from aqqua_science.pretraining.packing import pack
from aqqua_science.pretraining.vit import ViT

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 60), st.integers(1, 60))
PIXEL_SIZES = st.floats(0.05, 500)


def lively(**options):
    """A network whose every weight matters, as after training: nothing near its initial zeros or small scales."""
    torch.manual_seed(0)
    vit = ViT("pico", **options)
    for name, parameter in vit.named_parameters():
        if name.endswith(("scale1", "scale2")):
            torch.nn.init.uniform_(parameter, 0.3, 1)
        else:
            parameter.data.mul_(2).add_(0.02 * torch.randn_like(parameter))
    return vit.eval()


def images_of(shapes, pixel_sizes, *, patch_size=14, seed=0):
    rng = np.random.default_rng(seed)
    return [
        cut(rng.random(shape, np.float32), pixel_size_um=um, patch_size=patch_size)
        for shape, um in zip(shapes, pixel_sizes, strict=True)
    ]


def opened(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options)


def answers(session, images):
    return session.run(list(OUTPUTS), {name: pad_patches(images)[name] for name in INPUTS})


@pytest.fixture(scope="module")
def vit():
    return lively()


@pytest.fixture(scope="module")
def files(vit, tmp_path_factory):
    """Precision -> path and what was measured."""
    folder = tmp_path_factory.mktemp("onnx")
    paths = {precision: folder / f"{precision}.onnx" for precision in PRECISIONS}
    return {precision: (path, export(vit, path, precision=precision)) for precision, path in paths.items()}


@pytest.fixture(scope="module")
def sessions(files):
    return {precision: opened(path) for precision, (path, _) in files.items()}


@settings(max_examples=25)
@given(data=st.lists(st.tuples(SHAPES, PIXEL_SIZES), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_the_file_answers_what_packing_answers(sessions, vit, data, seed):
    """Padding in one framework against packing in the other, images of 1 to 3 channels in one batch."""
    images = images_of(*zip(*data, strict=True), seed=seed)
    embedding, tokens = answers(sessions["float32"], images)
    with torch.inference_mode():
        cls, patches = vit(pack(images))
    np.testing.assert_allclose(embedding, cls, atol=1e-4)
    np.testing.assert_allclose(tokens[pad_patches(images)["keep"]], patches, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (1, 1, 200), (2, 14, 14), (1, 15, 13), (7, 3, 3)])
@pytest.mark.parametrize("n", [1, 9])
def test_odd_images_alone_and_in_number(sessions, vit, shape, n):
    images = images_of([shape] * n, np.geomspace(0.1, 300, n))
    with torch.inference_mode():
        expected = vit(pack(images)).cls
    np.testing.assert_allclose(answers(sessions["float32"], images)[0], expected, atol=1e-4)


@settings(max_examples=10)
@given(data=st.lists(st.tuples(SHAPES, PIXEL_SIZES), min_size=1, max_size=4))
def test_half_precision_is_that_of_the_weights_alone(sessions, vit, data):
    images = images_of(*zip(*data, strict=True))
    rounded = copy.deepcopy(vit).half().float()
    with torch.inference_mode():
        expected = rounded(pack(images)).cls
    np.testing.assert_allclose(answers(sessions["float16"], images)[0], expected, atol=1e-4)


def test_what_is_written_in_padding_changes_nothing(sessions):
    padded = pad_patches(images_of([(1, 9, 9), (3, 60, 50)], [2.0, 50.0]))
    session = sessions["float32"]
    embedding = session.run(["embedding"], padded)[0]
    noise = np.random.default_rng(0).normal(size=padded["values"].shape).astype(np.float32)
    padded["values"] = np.where(padded["keep"][..., None], padded["values"], noise)
    padded["position_um"] = np.where(padded["keep"][..., None], padded["position_um"], 9.0).astype(np.float32)
    np.testing.assert_allclose(session.run(["embedding"], padded)[0], embedding, atol=1e-6)


def test_sizes_and_losses_are_as_told(files):
    for path, measured in files.values():
        assert measured["bytes"] == path.stat().st_size
        assert measured["images"] == 24
    vit = ViT("pico")
    n, in_blocks = (sum(p.numel() for p in part.parameters()) for part in (vit, vit.blocks))
    assert 4 * n < files["float32"][1]["bytes"] < 4 * n + 4e5
    assert 2 * n < files["float16"][1]["bytes"] <= 8e6
    assert files["int8"][1]["bytes"] < in_blocks + 4 * (n - in_blocks) + 4e5
    assert max(files[p][1]["max_difference"] for p in ("float32", "float16")) < 1e-4
    assert files["float16"][1]["cosine_loss"] < 1e-4 < files["int8"][1]["max_difference"]
    assert 0 < files["int8"][1]["cosine_loss"] < 0.02


def test_the_loss_of_eight_bits_is_measured_on_the_images_given(vit, sessions, tmp_path):
    """The number told is the mean of 1 - cosine, worked out here from the file and the network."""
    images = images_of([(1, 40, 30), (1, 9, 9), (3, 30, 20)], [1.0, 20.0, 90.0])
    measured = export(vit, tmp_path / "small.onnx", precision="int8", patches=images)
    session = opened(tmp_path / "small.onnx")
    a, b = answers(session, images)[0].astype(float), vit(pack(images)).cls.detach().double().numpy()
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(measured["cosine_loss"], (1 - cosines).mean(), atol=1e-5)


def test_the_file_tells_what_it_is(vit, tmp_path):
    known = copy.deepcopy(vit)
    known.about = {"max_tokens": 128, "square": None, "licence": "CC-BY-4.0", "card": "see doi:10.1/x"}
    export(known, tmp_path / "a.onnx")
    notes = opened(tmp_path / "a.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(notes["settings"]) == vit.settings
    assert json.loads(notes["about"]).items() >= known.about.items()
    assert notes["precision"] == "float32"


@pytest.mark.parametrize(
    "options",
    [{"patch_size": 8, "registers": 0}, {"positions": "grid", "pixel_size_token": False}, {"registers": 0}],
)
def test_every_kind_of_network_can_be_written(options, tmp_path):
    network = lively(**options)
    images = images_of([(1, 33, 20), (3, 8, 60)], [3.0, 70.0], patch_size=network.settings["patch_size"])
    export(network, tmp_path / "any.onnx")
    session = opened(tmp_path / "any.onnx")
    np.testing.assert_allclose(answers(session, images)[0], network(pack(images)).cls.detach(), atol=1e-4)


def test_the_network_is_left_as_it_was(vit, tmp_path):
    network = copy.deepcopy(vit).double().train()
    before = copy.deepcopy(network.state_dict())
    export(network, tmp_path / "a.onnx", precision="float16")
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(p.requires_grad for p in network.parameters())


def test_a_failed_export_leaves_the_former_file(vit, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"former")
    with pytest.raises(ValueError, match="float8"):
        export(vit, path, precision="float8")
    with pytest.raises(ValueError, match="patch_size=14"):
        export(vit, path, patches=images_of([(1, 9, 9)], [1.0], patch_size=8))
    assert path.read_bytes() == b"former"
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]


def test_a_saved_encoder_is_exported_from_its_folder(vit, sessions, tmp_path):
    save_encoder(vit, tmp_path / "run" / "encoder", about={"max_tokens": 64, "square": None})
    export(tmp_path / "run", tmp_path / "a.onnx")
    session = opened(tmp_path / "a.onnx")
    images = images_of([(1, 20, 30)], [5.0])
    np.testing.assert_array_equal(answers(session, images)[0], answers(sessions["float32"], images)[0])
    assert json.loads(session.get_modelmeta().custom_metadata_map["about"])["max_tokens"] == 64
