"""Encoders: what turns images into features, be it a network in an ONNX file, one of torch, or a ruler."""

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from aqqua_science.files import file_hash
from aqqua_science.images.measurements import measure
from aqqua_science.images.patches import pad_patches
from aqqua_science.images.shards import StoreError
from aqqua_science.images.windows import whole_patches
from aqqua_science.optional import require
from aqqua_science.schema import nearest_name

DEFAULT = Path(__file__).with_name("nano.onnx")
"""The encoder that comes with the package."""

MEASURED_VERSION = 2
"""Counts up whenever a measured feature changes its meaning, so that old models refuse new features."""

TOKENS_PER_BATCH = 1_024
"""Patches that are encoded together, padding included; larger batches leave the caches of a processor."""

DIGITS = 16
"""Of a SHA-256, which tell encoders apart."""

NAMED = ("default", "measured")
"""Encoders that need no path."""


class Image(NamedTuple):
    """
    An image as it was taken, and what its grey levels and pixels mean.

    Attributes
    ----------
    pixels : numpy.ndarray of uint8 or uint16, shape (height, width) or (height, width, channel)
    bit_depth : int
    pixel_size_um : float
    """

    pixels: np.ndarray
    bit_depth: int
    pixel_size_um: float


class Encoder(Protocol):
    """
    Whatever turns a list of images into an array with a row for each.

    Attributes
    ----------
    name : str
    fingerprint : str
        Tells its features from those of every other encoder.
    feature_names : tuple of str
    """

    name: str
    fingerprint: str
    feature_names: tuple

    def __call__(self, images):
        """Encode a list of `Image`; float32 of shape (image, feature)."""


def open_encoder(encoder="default", *, device="cpu"):
    """
    Open an encoder.

    Parameters
    ----------
    encoder : str, pathlib.Path or Encoder
        ``"default"``, the network that comes with the package; ``"measured"``, classical features of shape, grey
        levels and texture in micrometres; an ONNX file that `aqqua_science.pretraining.exporting.export` wrote; a run
        of pretraining, its `encoder` folder or the safetensors file in it (these need torch); or an object that
        follows `Encoder`, which is given back.
    device : str
        Where networks run: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.

    Returns
    -------
    Encoder

    Raises
    ------
    ValueError
        If there is no such encoder or device.
    StoreError
        If a file is no encoder of this package.
    MissingDependency
        If ONNX Runtime, or torch for a run, is not installed.
    TypeError
        If an object lacks what `Encoder` asks for.
    """
    if not isinstance(encoder, str | Path):
        return _checked(encoder)
    path = locate(encoder)
    if path is None:
        return MeasuredEncoder()
    return OnnxEncoder(path, device=device) if path.suffix == ".onnx" else TorchEncoder(path, device=device)


def locate(encoder):
    """
    Find where an encoder lies.

    Parameters
    ----------
    encoder : str or pathlib.Path

    Returns
    -------
    pathlib.Path or None
        None for ``"measured"``, which is no file.

    Raises
    ------
    ValueError
        If there is no such encoder.
    """
    if str(encoder) == "measured":
        return None
    path = DEFAULT if str(encoder) == "default" else Path(encoder)
    if path.suffix in {".onnx", ".safetensors"} and path.is_file():
        return path
    if [*path.glob("*.safetensors"), *path.glob("encoder/*.safetensors")]:
        return path
    what = f"{path} is no encoder" if path.exists() else f"there is no encoder {str(encoder)!r}"
    msg = f"{what}.{nearest_name(encoder, NAMED)} Pass 'default', 'measured', an ONNX file or the folder of a run."
    raise ValueError(msg)


def _checked(encoder):
    """Give an object back if it can serve as an encoder."""
    lacking = [name for name in ("name", "fingerprint", "feature_names") if not hasattr(encoder, name)]
    lacking += [] if callable(encoder) else ["__call__"]
    if lacking:
        msg = (
            f"{type(encoder).__name__} is no encoder: it lacks {', '.join(lacking)}. Pass a path, or an object that "
            "follows aqqua_science.features.encoders.Encoder."
        )
        raise TypeError(msg)
    return encoder


class MeasuredEncoder:
    """Classical features of the main object, as `aqqua_science.images.measurements.measure` gives them."""

    name = "measured"
    n_bytes = 0

    def __init__(self):
        self.feature_names = tuple(measure(np.eye(8, dtype=np.uint8), pixel_size_um=1.0, bit_depth=8))
        told = json.dumps([MEASURED_VERSION, *self.feature_names])
        self.fingerprint = hashlib.sha256(told.encode()).hexdigest()[:DIGITS]

    def __call__(self, images):
        rows = [measure(i.pixels, pixel_size_um=i.pixel_size_um, bit_depth=i.bit_depth).values() for i in images]
        return np.array([list(row) for row in rows], np.float32)


class OnnxEncoder:
    """
    A network in an ONNX file, run without torch.

    A file of float32 has the fingerprint of the run that it was exported from: the two agree but for rounding (1e-4),
    and models take the features of either. Files of float16 and int8 are encoders of their own.

    It uses as many threads as the environment variable OMP_NUM_THREADS says, or all cores.

    Parameters
    ----------
    path : str or pathlib.Path
        As `aqqua_science.pretraining.exporting.export` writes it.
    device : str

    Raises
    ------
    StoreError
        If the file is no encoder of this package.
    ValueError
        If there is no such device.
    """

    def __init__(self, path, *, device="cpu"):
        path = Path(path)
        self._session = _session(path, device)
        notes = self._session.get_modelmeta().custom_metadata_map
        try:
            about = json.loads(notes["about"])
            self._wanted = {"patch_size": json.loads(notes["settings"])["patch_size"]}
            self._wanted |= {"max_tokens": about["max_tokens"], "square": about.get("square")}
        except (KeyError, ValueError) as error:
            msg = f"{path} does not tell how it wants images ({error} is missing). Export the run anew."
            raise StoreError(msg) from error
        self._inputs = [node.name for node in self._session.get_inputs()]
        self.name, self.n_bytes = path.stem, path.stat().st_size
        self.fingerprint = notes.get("fingerprint", file_hash(path))[:DIGITS]
        self.feature_names = _numbered(self._session.get_outputs()[0].shape[-1])

    def __call__(self, images):
        patches = [
            whole_patches(i.pixels, bit_depth=i.bit_depth, pixel_size_um=i.pixel_size_um, **self._wanted)
            for i in images
        ]
        found = np.empty((len(images), len(self.feature_names)), np.float32)
        for some in padded_batches([len(p.values) for p in patches]):
            padded = pad_patches([patches[i] for i in some])
            found[some] = self._session.run(["embedding"], {name: padded[name] for name in self._inputs})[0]
        return found


def _session(path, device):
    """A file opened by ONNX Runtime on a device."""
    onnxruntime = require("onnxruntime", for_="features")
    kind, _, number = device.partition(":")
    provider = f"{kind.upper()}ExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        known = [p.removesuffix("ExecutionProvider").lower() for p in onnxruntime.get_available_providers()]
        msg = f"ONNX Runtime runs nothing on {device!r}; here it can use {', '.join(known)}. Install onnxruntime-gpu?"
        raise ValueError(msg)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
    where = [(provider, {"device_id": number} if number else {})]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=where)
    except Exception as error:  # whatever a foreign file makes ONNX Runtime say
        msg = f"{path} cannot be read: {error}. It is no ONNX file, or damaged; copy or export it anew."
        raise StoreError(msg) from error


def _numbered(n):
    return tuple(f"embedding_{i}" for i in range(n))


def padded_batches(lengths, budget=TOKENS_PER_BATCH):
    """
    Sort images into batches of about one length.

    Parameters
    ----------
    lengths : list of int
        Patches of each image.
    budget : int
        Patches of a batch at most, padding included; a longer image is a batch of its own.

    Returns
    -------
    list of numpy.ndarray of int
        Places of the images of each batch.
    """
    order = np.argsort(lengths, kind="stable")
    batches, first = [], 0
    for last, place in enumerate(order):
        if last > first and (last + 1 - first) * lengths[place] > budget:
            batches.append(order[first:last])
            first = last
    return [*batches, order[first:]] if len(order) else []


class TorchEncoder:
    """
    A network of torch, as pretraining left it.

    A run is in pretraining's own format, so pretraining reads it, once somebody has passed one.

    Parameters
    ----------
    path : str or pathlib.Path
        A run, its `encoder` folder, or the safetensors file in it.
    device : str
    """

    def __init__(self, path, *, device="cpu"):
        self._torch = require("torch", for_="pretraining")
        from aqqua_science.pretraining.encoders import fingerprint, load

        self.device, self.name = device, Path(path).resolve().stem
        self._vit = load(path)
        self.fingerprint = fingerprint(self._vit)[:DIGITS]
        self.n_bytes = sum(t.nbytes for t in self._vit.state_dict().values())
        self._vit = self._vit.to(device)
        self.feature_names = _numbered(self._vit.width)

    def __call__(self, images):
        from aqqua_science.pretraining import encoders, packing

        facts = [{"bit_depth": image.bit_depth, "pixel_size_um": image.pixel_size_um} for image in images]
        patches = [encoders.whole_patches(i.pixels, self._vit, **of) for i, of in zip(images, facts, strict=True)]
        found = np.empty((len(images), len(self.feature_names)), np.float32)
        with self._torch.inference_mode():
            for some in padded_batches([len(p.values) for p in patches], 8 * TOKENS_PER_BATCH):
                pack = packing.pack([patches[i] for i in some]).to(self.device)
                found[some] = self._vit(pack).cls.float().cpu().numpy()
        return found
