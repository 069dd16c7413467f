"""How much memory a pretraining run needs on each device, by a formula."""

import math

from aqqua_science.images.patches import CHANNELS
from aqqua_science.pretraining.config import LOCAL_SHARE
from aqqua_science.pretraining.stems import CHANNELS as STEM_CHANNELS
from aqqua_science.pretraining.stems import side_after
from aqqua_science.pretraining.student import BOTTLENECK, WIDEST
from aqqua_science.pretraining.vit import BANDS, SCALE_PERIODS, SIZES

TYPICAL_TOKENS = 64
"""Patch tokens of a large view where nothing is known of the images: 112 x 112 pixels of patches of 14."""

BYTES = {"float32": 4, "bfloat16": 2, "float64": 8}


def count_parameters(config):
    """
    Count what is learnt: the Vision Transformer, and the heads that the losses need (guides, which are small, apart).

    With width D, depth L, patch side p, r registers, B position bands and hidden width H = min(2048, 4 D), the
    transformer has L (12 D^2 + 15 D) in its blocks and (2 p^2 + 4 B + 8 channels + r + 7) D outside, 10 D more with a
    token for the pixel size; a head has (D + 1) H + (H + 1) H + 64 (H + 1) and 64 for each prototype. Convolutions of
    c and 2 c channels put 10 c + (9 c + 1) 2 c + 2 c s^2 D in the place of p^2 D, with s = p / 4 rounded up.

    Parameters
    ----------
    config : PretrainConfig

    Returns
    -------
    dict of str to int
        ``vit`` and ``heads``.
    """
    width, depth, _ = SIZES[config.vit]
    outside = 2 * config.patch_size**2 + 4 * BANDS + CHANNELS + config.registers + 6
    outside += (2 * len(SCALE_PERIODS) + 2) * config.pixel_size_token
    convolutions = 0
    if config.stem == "convolution":
        few, many = STEM_CHANNELS
        outside += many * side_after(config.patch_size) ** 2 - config.patch_size**2
        convolutions = 10 * few + (9 * few + 1) * many
    hidden = min(WIDEST, 4 * width)
    head = (width + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * BOTTLENECK + BOTTLENECK * config.prototypes
    n_heads = bool(config.dino_weight) + bool(config.ibot_weight)
    vit = depth * (12 * width**2 + 15 * width) + outside * width + convolutions
    return {"vit": vit, "heads": n_heads * head}


def memory_needed(config, *, devices=1, images=None):
    """
    Estimate the memory of each device, in bytes.

    Weights, their gradients, both moments of AdamW and the teacher's average take one number a parameter each; with
    FSDP all are shared out over the devices, with DDP every device has the whole and, besides, buckets of gradients.

    What a student's step keeps for the way back, for each token (of patches, registers and the like) and block of
    width D with h heads: the input of both LayerNorms (2 D), their outputs (2 D), queries, keys and values (3 D), the
    attention's output (2 D) and log-sums (h), what LayerScale multiplies (2 D), and 4 D on either side of the GELU:
    19 D + h. In bfloat16 all but the 2 D of the residual stream take half. With `checkpoint_activations` a block keeps
    D, and one block at a time the whole. Heads keep 2 (D + 4 hidden) and so on a row; logits and targets are float32,
    with n images in v views and m masked patches (v + 5) n + 2 m rows of all prototypes, and as much again as the
    views' and masked patches' rows on the way back. Convolutions keep what goes in and out of each GELU. Targets of all
    pieces of `accumulate` are held at once.

    Parameters
    ----------
    config : PretrainConfig
    devices : int
        GPUs or processes over which a batch is dealt out.
    images : float, optional
        Images of one batch over all devices; as many as have large views of 64 tokens if not given.

    Returns
    -------
    dict of str to int
        ``parameters``, ``gradients``, ``moments``, ``teacher``, ``activations``, ``heads``, ``logits`` and their sum,
        ``total``. Not in it: what CUDA and NCCL take for themselves, about 1 GB, and gaps between blocks of memory.

    Examples
    --------
    >>> from aqqua_science.pretraining.config import PretrainConfig
    >>> config = PretrainConfig(vit="base", tokens_per_batch=65_536, precision="bfloat16", prototypes=65_536)
    >>> needed = memory_needed(config, devices=4)
    >>> needed["moments"] == 2 * needed["parameters"]
    True
    >>> memory_needed(config, devices=8)["total"] < needed["total"]
    True
    """
    work = _share_of_work(config, devices=devices, images=images)
    needed = {**_weights(config, devices), "activations": _activations(config, work), **_outputs(config, work)}
    needed = {name: math.ceil(n) for name, n in needed.items()}
    return needed | {"total": sum(needed.values())}


def _weights(config, devices):
    """Bytes of all that there is once for each parameter."""
    n = sum(count_parameters(config).values()) * (8 if config.precision == "float64" else 4)
    own = n / devices if config.strategy == "fsdp" else n
    buckets = n if config.strategy == "ddp" and devices > 1 else 0
    anchor = count_parameters(config)["vit"] * n / sum(count_parameters(config).values()) if config.gram_weight else 0
    return {"parameters": own, "gradients": own + buckets, "moments": 2 * own, "teacher": own + anchor}


def _share_of_work(config, *, devices, images):
    """Tokens, views and rows of one piece of a batch on one device."""
    n_local = config.views.n_local
    share = 1 / (devices * config.accumulate)
    in_large_views = 2 + n_local / LOCAL_SHARE
    typical = min(TYPICAL_TOKENS, config.token_limit)
    n = share * (images or config.tokens_per_batch / (in_large_views * typical))
    large = share * config.tokens_per_batch * 2 / in_large_views
    masked = large * config.mask_probability * sum(config.mask_share) / 2 if config.ibot_weight else 0
    return {"images": n, "views": 2 + n_local, "tokens": share * config.tokens_per_batch, "masked": masked}


def _activations(config, work):
    """Bytes that the transformer keeps for the way back."""
    width, depth, heads = SIZES[config.vit]
    narrow, wide = BYTES[config.precision], max(4, BYTES[config.precision])
    special = 1 + config.registers + config.pixel_size_token
    tokens = work["tokens"] + special * work["views"] * work["images"]
    block = tokens * (2 * width * wide + 17 * width * narrow + (heads + 4) * wide)
    blocks = depth * tokens * width * wide + block if config.checkpoint_activations else depth * block
    patches = work["tokens"] * (2 * config.patch_size**2 + 4 * BANDS) * narrow
    if config.stem == "convolution":
        few, many = STEM_CHANNELS
        side = side_after(config.patch_size)
        patches += work["tokens"] * (2 * few * math.ceil(config.patch_size / 2) ** 2 + 2 * many * side**2) * narrow
    return blocks + patches + tokens * (width * wide + 16)


def _outputs(config, work):
    """Bytes of heads, logits and targets."""
    width = SIZES[config.vit][0]
    hidden = min(WIDEST, 4 * width)
    narrow, wide = BYTES[config.precision], max(4, BYTES[config.precision])
    cls = work["views"] * work["images"] if config.dino_weight else 0
    row = width + 4 * hidden + 3 * BOTTLENECK
    calls = (1 + (config.views.n_local > 0)) * bool(config.dino_weight) + bool(config.ibot_weight)
    prototypes = calls * config.prototypes * BOTTLENECK * narrow
    targets = config.accumulate * (2 * work["images"] * bool(config.dino_weight) + work["masked"])
    kept = cls + 3 * work["images"] * bool(config.dino_weight) + work["masked"] + targets
    passing = cls + work["masked"]
    logits = config.prototypes * wide * (kept + passing)
    return {"heads": (cls + work["masked"]) * row * narrow + prototypes, "logits": logits}
