"""Encoders as ONNX files, which run without torch, with what the file loses measured."""

import copy
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from aqqua_science import __version__
from aqqua_science.files import plain, replacing
from aqqua_science.images.patches import cut, pad_patches
from aqqua_science.optional import require
from aqqua_science.pretraining.encoders import fingerprint
from aqqua_science.pretraining.packing import Packed

PRECISIONS = ("float32", "float16", "int8")
INPUTS = ("values", "seen", "background", "position_um", "channel", "pixel_size_um", "keep")
OUTPUTS = ("embedding", "patch_tokens")
OPSET = 17
"""The first with a layer normalisation of its own."""

_BATCH = 16
_SMALL = 64
"""Shorter lists of numbers are constants of the graph rather than weights."""


def export(encoder, path, *, precision="float32", patches=None):
    """
    Write an encoder as one ONNX file, and measure what the file answers.

    The file takes what `aqqua_science.images.patches.pad_patches` makes, any number of images and tokens: `values` and
    `seen` (image, token, patch_size ** 2), `background` (image, token), `position_um` (image, token, 2), `channel`
    (image, token), `pixel_size_um` (image,) and `keep` (image, token). It gives `embedding` (image, feature), the class
    token, and `patch_tokens` (image, token, feature). Its metadata hold `settings` and `about` of the encoder as JSON,
    `precision` and, with float32, the encoder's `fingerprint`, since its features are the encoder's but for rounding.

    Parameters
    ----------
    encoder : ViT, str or pathlib.Path
        A network, or where a run or its encoder lies.
    path : str or pathlib.Path
        The file, replaced if it exists.
    precision : {"float32", "float16", "int8"}
        How weights are stored. With float16 all is still computed in float32; with int8 the matrix products of the
        blocks are computed in 8 bits (dynamic quantisation).
    patches : list of aqqua_science.images.patches.Patches, optional
        Images to measure on; random ones of many sizes by default.

    Returns
    -------
    dict
        `bytes`; `max_difference`, the largest between the file and torch with the same weights (float32's for int8);
        `cosine_loss`, the mean of 1 - cosine between the file's embeddings and those of the encoder in float32;
        `images`, how many these were measured on; `precision` and `path`.

    Raises
    ------
    ValueError
        If there is no such precision, or the patches are not of the encoder's size.
    MissingDependency
        If onnx or onnxruntime is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from aqqua_science.pretraining.vit import ViT
    >>> torch.manual_seed(0)
    <torch...>
    >>> measured = export(ViT("nano"), Path(tempfile.mkdtemp(), "nano.onnx"), precision="float16")
    >>> measured["bytes"] < 8e6, measured["max_difference"] < 1e-4
    (True, True)
    """
    if precision not in PRECISIONS:
        msg = f"there is no precision {precision!r}. Pass one of {', '.join(PRECISIONS)}."
        raise ValueError(msg)
    require("onnx", for_="pretraining")
    require("onnxruntime", for_="pretraining")
    vit = _frozen(encoder)
    patches = patches or _examples(vit.settings["patch_size"])
    _check(patches, vit.settings["patch_size"])
    stored = _rounded(vit) if precision == "float16" else vit
    with replacing(path) as part:
        _write_graph(stored, part)
        if precision == "int8":
            _quantise(part)
        _finish(part, halve=precision == "float16", notes=_notes(vit, precision))
        measured = _measure(part, stored=stored, vit=vit, patches=patches)
        measured["bytes"] = part.stat().st_size
    return {**measured, "precision": precision, "path": str(path)}


def _check(patches, patch_size):
    """Refuse patches that the encoder does not read."""
    wrong = [p.values.shape[1] for p in patches if p.values.shape[1] != patch_size**2]
    if wrong:
        msg = (
            f"this encoder reads patches of {patch_size} x {patch_size} pixels; some given have {wrong[0]} pixels. "
            f"Cut them with patch_size={patch_size}."
        )
        raise ValueError(msg)


def _frozen(encoder):
    """A network of one's own on the processor, in float32."""
    if isinstance(encoder, str | Path):
        from aqqua_science.pretraining.encoders import load

        encoder = load(encoder)
    vit = copy.deepcopy(encoder).to("cpu", torch.float32).eval()
    return vit.requires_grad_(False)


def _rounded(vit):
    """A network whose weights are what float16 can tell."""
    return copy.deepcopy(vit).half().float()


def _notes(vit, precision):
    """What the file says of itself."""
    about = {"aqqua_science": __version__, **getattr(vit, "about", {})}
    notes = {"settings": json.dumps(vit.settings), "about": json.dumps(plain(about)), "precision": precision}
    return notes | ({"fingerprint": fingerprint(vit)} if precision == "float32" else {})


class _Graph(nn.Module):
    """The encoder of padded images with tensors in and out."""

    def __init__(self, vit):
        super().__init__()
        self.vit = vit

    def forward(self, *inputs):
        """Encode; the inputs are those of the file."""
        *tensors, keep = inputs
        encoded = self.vit.padded(Packed(*tensors, lengths=None), keep=keep)
        return encoded.cls, encoded.patches


def _write_graph(vit, path):
    """Trace the network; sizes that follow from the inputs stay open."""
    examples = [p for p in _examples(vit.settings["patch_size"]) if len(p.values) > 1][:3]
    axes = {name: {0: "image", 1: "token"} for name in (*INPUTS, "patch_tokens")}
    axes |= {name: {0: "image"} for name in ("pixel_size_um", "embedding")}
    torch.onnx.register_custom_op_symbolic("aten::sinc", _sinc, OPSET)
    try:
        with warnings.catch_warnings():
            # The tracer warns that it will be removed, and wherever Python reads a size, right or wrong; the file is
            # compared with torch on other sizes afterwards.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Graph(vit), tuple(_tensors(examples).values()), str(path), dynamo=False, opset_version=OPSET,
                input_names=INPUTS, output_names=OUTPUTS, dynamic_axes=axes,
            )  # fmt: skip
    finally:
        torch.onnx.unregister_custom_op_symbolic("aten::sinc", OPSET)


def _sinc(graph, x):
    """Normalised sinc, which ONNX lacks."""
    one, zero, pi = (graph.op("Constant", value_t=torch.tensor(v)) for v in (1.0, 0.0, np.float32(np.pi)))
    phase = graph.op("Mul", x, pi)
    wave = graph.op("Div", graph.op("Sin", phase), phase)
    return graph.op("Where", graph.op("Equal", x, zero), one, wave)


def _quantise(path):
    """Store and multiply the weights of the blocks in 8 bits, a scale for each output."""
    onnx = require("onnx", for_="pretraining")
    quantisation = require("onnxruntime.quantization", for_="pretraining")
    shapes = require("onnxruntime.quantization.shape_inference", for_="pretraining")
    shapes.quant_pre_process(path, path, skip_optimization=True, skip_symbolic_shape=True)
    # Patches, their codes and the special tokens enter once and feed everything: they keep their precision.
    names = [node.name for node in onnx.load(path).graph.node if "/blocks." not in node.name]
    outside = [*names, *(f"{name}_MatMul" for name in names)]  # so the quantiser renames a Gemm
    quantisation.quantize_dynamic(
        path, path, op_types_to_quantize=["MatMul"], per_channel=True, nodes_to_exclude=outside,
        weight_type=quantisation.QuantType.QUInt8,  # signed ones saturate on older processors
    )  # fmt: skip


def _finish(path, *, halve, notes):
    """Store weights in half precision if wanted, add the notes, and check the file."""
    onnx = require("onnx", for_="pretraining")
    model = onnx.load(path)
    if halve:
        _halve(model.graph, onnx)
    onnx.helper.set_model_props(model, notes)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _halve(graph, onnx):
    """Keep weights in float16 and widen them when the file is opened."""
    for weight in list(graph.initializer):
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _SMALL or (values.astype(np.float16) != values).any():
            continue
        graph.initializer.remove(weight)
        graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float16), f"{weight.name}.half"))
        cast = onnx.helper.make_node("Cast", [f"{weight.name}.half"], [weight.name], to=onnx.TensorProto.FLOAT)
        graph.node.insert(0, cast)


def _examples(patch_size, *, n=24):
    """Random images of one pixel to several patches a side, of 1 to 3 channels and every pixel size."""
    rng = np.random.default_rng(0)
    images = []
    for k in range(n):
        shape = (1 + k % 3, *rng.integers(1, 4 * patch_size, 2))
        pixels = rng.random(shape, np.float32) if k else np.ones((1, 1, 1), np.float32)
        images.append(cut(pixels, pixel_size_um=10 ** rng.uniform(-1, 2.5), patch_size=patch_size))
    return images


def _tensors(images):
    """Padded inputs of the file, in its order."""
    padded = pad_patches(images)
    return {name: torch.from_numpy(padded[name]) for name in INPUTS}


def _measure(path, *, stored, vit, patches):
    """Compare the file with torch: with the weights as stored, and with those of the encoder."""
    onnxruntime = require("onnxruntime", for_="pretraining")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    differences, losses = [], []
    patches = sorted(patches, key=lambda p: len(p.values))
    for start in range(0, len(patches), _BATCH):
        tensors = _tensors(patches[start : start + _BATCH])
        tokens = session.run(list(OUTPUTS), {name: t.numpy() for name, t in tensors.items()})
        with torch.inference_mode():
            same, full = (_Graph(network)(*tensors.values()) for network in (stored, vit))
        keep = tensors["keep"].numpy()
        differences += [np.abs(tokens[0] - same[0].numpy()).max(), np.abs(tokens[1] - same[1].numpy())[keep].max()]
        pair = torch.from_numpy(tokens[0]).double(), full[0].double()
        losses.append(1 - nn.functional.cosine_similarity(*pair, dim=1).numpy())
    loss = float(np.concatenate(losses).mean())
    return {"max_difference": float(max(differences)), "cosine_loss": loss, "images": len(patches)}
