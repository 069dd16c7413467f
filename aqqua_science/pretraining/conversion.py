"""Public weights of natural images as a start: other pixels, other positions, the same blocks."""

import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from aqqua_science.pretraining.config import MAX_TOKENS
from aqqua_science.pretraining.vit import GREY_MEAN, GREY_SPREAD, SIZES, ViT, position_codes

RGB_MEAN = (0.485, 0.456, 0.406)
RGB_SPREAD = (0.229, 0.224, 0.225)
"""How images are normalised where the weights come from (ImageNet)."""

BLOCK = {
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "attn.qkv.weight": "qkv.weight",
    "attn.qkv.bias": "qkv.bias",
    "attn.proj.weight": "out.weight",
    "attn.proj.bias": "out.bias",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
    "mlp.fc1.weight": "up.weight",
    "mlp.fc1.bias": "up.bias",
    "mlp.fc2.weight": "down.weight",
    "mlp.fc2.bias": "down.bias",
}
"""Published name of a block's parameter -> ours."""
LAYER_SCALE = {"ls1.gamma": "scale1", "ls2.gamma": "scale2"}
OUTER = ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "norm.bias")
OPTIONAL = ("mask_token", "register_tokens")

_SMALLEST = 1e-6
"""Directions of the position codes that are weaker than this share of the strongest are left alone."""
_SHOWN = 5


def convert(checkpoint, *, vit=None, patch_size=14, registers=None):
    """
    Make an encoder of public Vision Transformer weights, named as DINOv2 publishes them.

    A grey image is seen as the original sees it when shown as red, green and blue: the three kernels and the
    normalisation of ImageNet are folded into one kernel. Blocks are taken as they are, and without LayerScale its
    factors are 1. Learned positions become the nearest function of rows plus function of columns, by least squares;
    the encoder's `about["position_r2"]` says how much of them that is. Images keep their own grid around its centre,
    where DINOv2 stretches its positions over every image.

    Parameters
    ----------
    checkpoint : str, pathlib.Path or dict of str to torch.Tensor
        A safetensors file, a file of `torch.save` that holds nothing but tensors by name, or those tensors.
    vit : {"small", "base", "large", "tiny", "nano", "pico"}, optional
        The size that is expected; found from the weights by default.
    patch_size : int
        Pixels along a side; where the original has another, its kernel is resized (Beyer et al. 2023).
    registers : int, optional
        Those of the original by default; more begin at random, of too many the last are left out.

    Returns
    -------
    ViT
        With `positions="grid"`, without a token of the pixel size, and `about`; `embeddings`, `finetune` and `export`
        take it as it is, and what `export` writes serves `features.embed`.

    Raises
    ------
    ValueError
        If parameters are missing or unknown, or of a size or kind that `ViT` does not have.

    References
    ----------
    Oquab et al. 2023, DINOv2: learning robust visual features without supervision, arXiv 2304.07193; Beyer et al. 2023,
    FlexiViT: one model for all patch sizes, arXiv 2212.08013.

    Examples
    --------
    >>> convert({"cls_token": torch.zeros(1, 1, 384)})
    Traceback (most recent call last):
    ...
    ValueError: these are no weights of a Vision Transformer as DINOv2 names them. Missing: pos_embed, ...
    """
    weights = checkpoint if isinstance(checkpoint, dict) else _read(Path(checkpoint))
    depth = _check_names(weights)
    name = _size(weights, depth, expected=vit)
    found = weights.get("register_tokens", weights["cls_token"][:, :0])[0]
    n_registers = len(found) if registers is None else registers
    network = ViT(
        name, patch_size=patch_size, registers=n_registers, stem="linear", positions="grid", pixel_size_token=False
    )
    network.to(torch.promote_types(weights["cls_token"].dtype, torch.float32)).requires_grad_(False)
    kernel = _resized(weights["patch_embed.proj.weight"], patch_size)
    network.patch.weight[:], network.patch.bias[:] = _grey(kernel, weights["patch_embed.proj.bias"])
    # Ours sees what stands out from the background, and the background for itself: together, the whole.
    network.level.weight[:, 0] = network.patch.weight.sum(1)
    network.register[: len(found)] = found[:n_registers]
    network.mask[:] = weights.get("mask_token", torch.zeros(1)).flatten()
    about = _place(network, weights)
    _fill(network, weights)
    source = "weights" if isinstance(checkpoint, dict) else Path(checkpoint).name
    network.about = {"converted_from": source, "max_tokens": MAX_TOKENS, "square": None, **about}
    return network.requires_grad_(True).eval()


def _read(path):
    """Tensors by name; a file that holds code is refused by torch."""
    weights = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    if not isinstance(weights, dict) or not all(isinstance(w, torch.Tensor) for w in weights.values()):
        msg = f"{path} must hold tensors by name; it holds other things. Save the state dict of the network alone."
        raise ValueError(msg)
    return weights


def _check_names(weights):
    """Depth of the network, if every parameter is there and none is unknown."""
    blocks = {name.split(".")[1] for name in weights if name.startswith("blocks.")}
    if any(".mlp.w12." in name for name in weights):
        msg = (
            "these weights have gated (SwiGLU) layers, as DINOv2's giant has; ViT has none. Take small, base or large."
        )
        raise ValueError(msg)
    needed = [*OUTER, *(f"blocks.{i}.{name}" for i in range(max(1, len(blocks))) for name in BLOCK)]
    scales = [f"blocks.{i}.{name}" for i in range(len(blocks)) for name in LAYER_SCALE]
    if any(name in weights for name in scales):
        needed += scales
    missing = [name for name in needed if name not in weights]
    unknown = sorted(set(weights) - {*needed, *OPTIONAL})
    if missing or unknown:
        parts = [
            f"{title}: {_listed(names)}." for title, names in (("Missing", missing), ("Unknown", unknown)) if names
        ]
        msg = f"these are no weights of a Vision Transformer as DINOv2 names them. {' '.join(parts)}"
        raise ValueError(msg)
    return len(blocks)


def _listed(names):
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _size(weights, depth, *, expected):
    """Name of the size that fits."""
    width, hidden = weights["cls_token"].shape[-1], len(weights["blocks.0.mlp.fc1.bias"])
    fits = [name for name, (w, d, _) in SIZES.items() if (w, d) == (width, depth) and hidden == 4 * width]
    if not fits or expected not in (None, *fits):
        wanted = expected or "any size"
        known = "; ".join(f"{name}: width {w}, depth {d}" for name, (w, d, _) in SIZES.items())
        msg = f"width {width}, depth {depth} and {hidden} hidden units are not those of {wanted} ({known})."
        raise ValueError(msg)
    return fits[0]


def _resized(kernel, patch_size):
    """
    Kernel for patches of another size that answers to a resized patch as the original does to the patch.

    With B the matrix of bilinear resizing along a side, it is (B^T)^+ of the kernel, along both sides.
    """
    if kernel.shape[-1] == patch_size:
        return kernel
    side = kernel.shape[-1]
    eye = torch.eye(side, dtype=torch.float64)[None, None]
    # Each row is a pixel of the original, smeared over those of the new patch: B transposed.
    resize = torch.nn.functional.interpolate(eye, size=(side, patch_size), mode="bilinear", antialias=True)[0, 0]
    along = torch.linalg.pinv(resize)
    return torch.einsum("ip,dcpq,jq->dcij", along, kernel.double(), along).to(kernel.dtype)


def _grey(kernel, bias):
    """Weight (feature, pixel) and bias for one grey channel that is normalised our way."""
    mean, spread = kernel.new_tensor(RGB_MEAN), kernel.new_tensor(RGB_SPREAD)
    normalised = kernel.flatten(2) / spread[:, None]
    weight = normalised.sum(1)
    return GREY_SPREAD * weight, bias + GREY_MEAN * weight.sum(1) - (normalised.sum(2) * mean).sum(1)


def _place(network, weights):
    """Put learned positions into the class token, the position layer and, their mean, all channels."""
    learned = weights["pos_embed"][0]
    network.cls[:] = weights["cls_token"][0, 0] + learned[0]
    side = math.isqrt(len(learned) - 1)
    if side**2 != len(learned) - 1:
        msg = f"pos_embed must hold a class token and a square grid; {len(learned) - 1} patches are none."
        raise ValueError(msg)
    codes, target = _grid_codes(side).numpy(), learned[1:].double().numpy()
    centre, mean = codes.mean(0), target.mean(0)
    fitted = np.linalg.lstsq(codes - centre, target - mean, rcond=_SMALLEST)[0]
    network.position.weight[:] = torch.from_numpy(fitted.T)
    network.channel.weight[:] = torch.from_numpy(mean - centre @ fitted)
    spread = ((target - mean) ** 2).sum()
    left = ((target - mean - (codes - centre) @ fitted) ** 2).sum()
    return {"position_r2": float(1 - left / spread) if spread else 1.0, "position_grid": side}


def _grid_codes(side):
    """What `ViT` sees of the places of a square grid with `positions="grid"`, row by row."""
    steps = torch.arange(side, dtype=torch.float64) + 0.5 - side / 2
    places = torch.cartesian_prod(steps, steps)
    return position_codes(places, torch.ones_like(places[:, :1]), shortest=2.0, longest=512.0)


def _fill(network, weights):
    """Take the blocks and the last normalisation as they are."""
    ours = {f"norm.{name}": weights[f"norm.{name}"] for name in ("weight", "bias")}
    for i, block in enumerate(network.blocks):
        ours |= {f"blocks.{i}.{new}": weights[f"blocks.{i}.{old}"] for old, new in BLOCK.items()}
        for old, new in LAYER_SCALE.items():
            ours[f"blocks.{i}.{new}"] = weights.get(f"blocks.{i}.{old}", torch.ones_like(block.scale1))
    parameters = dict(network.named_parameters())
    wrong = [n for n, value in ours.items() if value.shape != parameters[n].shape]
    if wrong:
        msg = f"these parameters do not have the shapes of {network.settings['vit']}: {_listed(wrong)}."
        raise ValueError(msg)
    for name, value in ours.items():
        parameters[name][:] = value
