"""Encoders on disk, and what they make of a store."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from aqqua_science.files import plain, replacing, write_json
from aqqua_science.images import open_store, windows
from aqqua_science.images.shards import StoreError
from aqqua_science.pretraining.packing import pack
from aqqua_science.pretraining.runs import ENCODER, WEIGHTS
from aqqua_science.pretraining.vit import ViT
from aqqua_science.progress import progress_bar
from aqqua_science.schema import SchemaError

IMAGES_AHEAD = 512
"""Images that are read together and sorted by size."""


def save_encoder(vit, folder, *, about):
    """
    Write an encoder: weights, and beside them in words what they are.

    Parameters
    ----------
    vit : ViT
    folder : str or pathlib.Path
    about : dict
        What the user of the weights must know: `max_tokens`, `square`, configuration, data, licence.
    """
    folder = Path(folder)
    content = plain({"settings": vit.settings, **about})
    tensors = {name: t.detach().to("cpu", torch.float32).contiguous() for name, t in vit.state_dict().items()}
    with replacing(folder / WEIGHTS) as part:
        save_file(tensors, part, metadata={"about": json.dumps(content)})
    write_json(content, folder / "encoder.json")


def fingerprint(vit):
    """
    Tell encoders apart by their weights and how they want images.

    Parameters
    ----------
    vit : ViT

    Returns
    -------
    str
    """
    wanted = {name: getattr(vit, "about", {}).get(name) for name in ("max_tokens", "square")}
    digest = hashlib.sha256(json.dumps([vit.settings, wanted], sort_keys=True, default=str).encode())
    for name, tensor in sorted(vit.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def credits_of(store):
    """
    Tell what images an encoder was trained on, under which licences, and whom to credit.

    Parameters
    ----------
    store : ImageStore

    Returns
    -------
    dict
    """
    told = {name: store.about[name] for name in ("licence", "citation", "contributors")}
    sources = [source["name"] for source in store.about["sources"]]
    return {"name": store.path.name, "images": len(store), "sources": sources, **told}


def load(path):
    """
    Read an encoder.

    Parameters
    ----------
    path : str or pathlib.Path
        A run, its `encoder` folder, or the safetensors file in it.

    Returns
    -------
    ViT
        Ready to encode; its `about` tells what it was trained on.

    Raises
    ------
    StoreError
        If there is no encoder, or it cannot be read.

    Examples
    --------
    >>> load("nowhere")
    Traceback (most recent call last):
    ...
    aqqua_science.images.shards.StoreError: nowhere holds no encoder: ...
    """
    path = Path(path)
    places = [path, path / WEIGHTS, path / ENCODER / WEIGHTS]
    file = next((p for p in places if p.is_file()), None)
    if file is None:
        msg = (
            f"{path} holds no encoder: there is no {WEIGHTS} in it. Pass the folder of a run, or run `aqqua pretrain`."
        )
        raise StoreError(msg)
    try:
        with safe_open(file, framework="pt") as content:
            about = json.loads(content.metadata()["about"])
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        vit = ViT(**about["settings"])
        vit.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        msg = f"{file} is no encoder of this package, or it is damaged: {error}. Copy it again, or export it anew."
        raise StoreError(msg) from error
    vit.about = about
    return vit.eval()


def begin_from(vit, weights):
    """
    Give a new ViT what is known already.

    Parameters
    ----------
    vit : ViT
        Changed in place.
    weights : str or pathlib.Path
        A run, an exported encoder, or a public checkpoint in DINOv2's names (see `convert`).

    Raises
    ------
    SchemaError
        If the weights are of another size of network.
    StoreError
        If they cannot be read.
    """
    from aqqua_science.pretraining.conversion import convert

    size = {name: vit.settings[name] for name in ("vit", "patch_size", "registers")}
    try:
        found = load(weights) if _is_ours(weights) else convert(weights, **size)
    except StoreError:
        raise
    except Exception as error:  # whatever a foreign file makes torch say
        msg = f"the weights {weights} cannot be read: {error}. Correct start; it is a run, an encoder or a state dict."
        raise StoreError(msg) from error
    ours, theirs = ({name: of[name] for name in (*size, "stem")} for of in (vit.settings, found.settings))
    if theirs != ours:
        msg = f"start = {str(weights)!r} is a network with {theirs}; the configuration wants {ours}. Make them agree."
        raise SchemaError(msg)
    tensors = found.state_dict()
    if found.settings["positions"] != vit.settings["positions"]:
        tensors.pop("position.weight")
    vit.load_state_dict(tensors, strict=False)


def _is_ours(weights):
    """Whether a path holds an encoder of this package."""
    path = Path(weights)
    if path.is_dir() or path.suffix != ".safetensors":
        return path.is_dir()
    with safe_open(path, framework="pt") as content:
        return "about" in (content.metadata() or {})


def embeddings(vit, store, rows=None, *, tokens_per_batch=8_192, device="cpu"):
    """
    Encode whole images.

    Parameters
    ----------
    vit : ViT
        As `load` gives it: its `about` tells `max_tokens` and `square`.
    store : ImageStore or str or pathlib.Path
    rows : optional
        As for `ImageStore.rows`; all by default.
    tokens_per_batch : int
    device : str

    Returns
    -------
    numpy.ndarray of float32, shape (image, feature)
        Class tokens, in the order of `rows`.

    Examples
    --------
    >>> import tempfile
    >>> from aqqua_science.images import ingest
    >>> from aqqua_science.synthetic import images
    >>> store = ingest(images(5, rng=0, instruments=["UVP6"]), tempfile.mkdtemp() + "/drawn.aqqua")
    >>> vit = ViT("nano")
    >>> vit.about = {"max_tokens": 64}
    >>> embeddings(vit, store).shape
    (5, 192)
    """
    store = store if hasattr(store, "rows") else open_store(store)
    rows = store.rows(rows)
    depths = store.select("true", columns=["bit_depth", "pixel_size_um"]).loc[rows]
    vit = vit.to(device)
    found = np.empty((len(rows), vit.width), np.float32)
    with progress_bar(range(0, len(rows), IMAGES_AHEAD), desc="embeddings", leave=False) as bar:
        for start in bar:
            places = np.arange(start, min(start + IMAGES_AHEAD, len(rows)))
            facts = zip(places, depths.iloc[places].to_dict("records"), strict=True)
            patches = [whole_patches(store[int(rows[i])], vit, **of_image) for i, of_image in facts]
            for some in _batches([len(p.values) for p in patches], tokens_per_batch):
                found[places[some]] = _classes(vit, [patches[i] for i in some], device)
    return found


def whole_patches(pixels, vit, *, bit_depth, pixel_size_um):
    """
    Cut a stored image as an encoder wants it.

    Parameters
    ----------
    pixels : numpy.ndarray of uint8 or uint16
    vit : ViT
    bit_depth : int
    pixel_size_um : float

    Returns
    -------
    Patches
    """
    about = vit.about
    return windows.whole_patches(
        pixels, bit_depth=bit_depth, pixel_size_um=pixel_size_um, patch_size=vit.settings["patch_size"],
        max_tokens=about["max_tokens"], square=about.get("square"),
    )  # fmt: skip


def _batches(lengths, budget):
    """Places of images of about one length, few enough for a budget of tokens."""
    order = np.argsort(lengths, kind="stable")
    ends = np.cumsum(np.asarray(lengths)[order])
    batch = (ends - 1) // budget
    return [order[batch == b] for b in np.unique(batch)]


@torch.inference_mode()
def _classes(vit, patches, device):
    dtype = vit.cls.dtype
    return vit(pack(patches).cast(dtype).to(device)).cls.float().cpu().numpy()
