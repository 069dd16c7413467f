"""Everything a pretraining run is told, in one frozen and checked document."""

import json
import math
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, field_validator, model_validator

from aqqua_science.schema import SchemaError, nearest_name

MAX_TOKENS = 256
"""Patch tokens of an image at most, where nothing else is said."""

LOCAL_SHARE = 4
"""A small view may have this many times fewer tokens than a large one."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Views(_Part):
    """How an image is looked at in training; each change can be switched off."""

    n_local: int = Field(default=4, ge=0, le=16, strict=True)
    global_area: tuple[float, float] = (0.4, 1.0)
    local_area: tuple[float, float] = (0.1, 0.4)
    flip: StrictBool = True
    rotate: StrictBool = True
    sampling: tuple[float, float] = (0.5, 1.5)
    intensity: float = Field(default=0.3, ge=0, le=1)
    background: float = Field(default=0.1, ge=0, le=1)
    noise: float = Field(default=0.02, ge=0, le=0.5)
    channels: StrictBool = True
    square: int | None = Field(default=None, ge=8, le=1024)

    @field_validator("global_area", "local_area", "sampling")
    @classmethod
    def _ascending(cls, bounds):
        if not 0 < bounds[0] <= bounds[1]:
            msg = f"bounds must be (lower, upper) and positive; got {bounds}."
            raise ValueError(msg)
        return bounds

    @field_validator("global_area", "local_area")
    @classmethod
    def _at_most_all(cls, bounds):
        if bounds[1] > 1:
            msg = f"a view shows at most all of an image: the upper bound is 1; got {bounds}."
            raise ValueError(msg)
        return bounds


class Guide(_Part):
    """A head on one column of metadata: to be told apart by the embedding, or to be unlearned."""

    kind: Literal["auxiliary", "adversarial"]
    weight: float = Field(default=0.1, gt=0)


class PretrainConfig(_Part):
    """
    Everything a pretraining run is told.

    Unknown names are refused, with the nearest right one. Sizes of a batch are those of one optimiser step over all
    devices, so that one document gives the same training on one processor and on many GPUs.

    Parameters
    ----------
    vit : {"pico", "nano", "tiny", "small", "base", "large"}
        Size of the Vision Transformer: 0.5 (for lessons), 3.9, 5.7, 21.9, 86.3 or 304 million parameters.
    steps : int
        Optimiser steps.
    tokens_per_batch : int
        Patch tokens of all views of one step.
    checkpoint_every : int
        Steps between two checkpoints.
    seed : int
        Same seed, same weights.
    **settings
        The other fields: see ``PretrainConfig.model_fields`` and `docs/pretraining.md`.

    Raises
    ------
    pydantic.ValidationError
        If a value is out of range, a name unknown, or a batch cannot hold one image.

    Examples
    --------
    >>> config = PretrainConfig(vit="nano", steps=500)
    >>> config.token_limit
    256
    >>> read_config(config.model_dump()) == config
    True
    """

    vit: Literal["pico", "nano", "tiny", "small", "base", "large"] = "nano"
    patch_size: int = Field(default=14, ge=2, le=64, strict=True)
    registers: int = Field(default=4, ge=0, le=32, strict=True)
    stem: Literal["convolution", "linear"] = "convolution"
    """How the pixels of a patch become a token; public weights to start from need the linear one."""
    positions: Literal["micrometres", "grid"] = "micrometres"
    pixel_size_token: StrictBool = True
    start: str | None = None
    """Weights to begin from: a run, an exported encoder or a public checkpoint (safetensors)."""

    steps: int = Field(default=2_000, ge=1, strict=True)
    tokens_per_batch: int = Field(default=8_192, ge=64, strict=True)
    max_tokens: int | None = Field(default=None, ge=4)
    """Patch tokens of a large view at most; beyond, the image is reduced by area averaging."""
    accumulate: int = Field(default=1, ge=1, strict=True)
    """Pieces in which each device works through its share of a batch."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """What changes the weights; Muon learns faster in short runs, and does not work on shards (`strategy="fsdp"`)."""
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    weight_decay: tuple[float, float] = (0.04, 0.2)
    momentum: tuple[float, float] = (0.992, 1.0)
    clip: float = Field(default=3.0, gt=0)

    prototypes: int = Field(default=2_048, ge=8, strict=True)
    student_temperature: float = Field(default=0.06, gt=0)
    teacher_temperature: tuple[float, float] = (0.02, 0.03)
    dino_weight: float = Field(default=1.0, ge=0)
    ibot_weight: float = Field(default=1.0, ge=0)
    koleo_weight: float = Field(default=0.1, ge=0)
    gram_weight: float = Field(default=0.0, ge=0)
    gram_after: float = Field(default=0.5, ge=0, lt=1)
    """Share of the steps after which the teacher of that moment anchors the patch similarities."""
    mask_share: tuple[float, float] = (0.1, 0.5)
    mask_probability: float = Field(default=0.5, ge=0, le=1)
    guides: dict[str, Guide] = {}
    """Column of the store's table, `esd_um` or `measured` (classical features of the image) -> head."""
    views: Views = Views()

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    strategy: Literal["ddp", "fsdp"] = "ddp"
    compile: StrictBool = False
    checkpoint_activations: StrictBool = False
    workers: int = Field(default=0, ge=0, le=64, strict=True)
    """Processes that read images ahead, per device."""

    checkpoint_every: int = Field(default=200, ge=1, strict=True)
    keep_checkpoints: int = Field(default=2, ge=1, strict=True)
    evaluate_every: int | None = Field(default=None, ge=1)
    """Steps between two evaluations (kNN, linear probe, instrument leakage, RankMe); at the end only by default."""
    label: str = "taxon"
    seed: int = Field(default=0, ge=0, strict=True)

    @field_validator("weight_decay", "momentum", "teacher_temperature", "mask_share")
    @classmethod
    def _ascending(cls, bounds):
        if not 0 <= bounds[0] <= bounds[1]:
            msg = f"this goes from a lower to an upper value; got {bounds}."
            raise ValueError(msg)
        return bounds

    @field_validator("momentum", "mask_share")
    @classmethod
    def _at_most_one(cls, bounds):
        if bounds[1] > 1:
            msg = f"this is a share, at most 1; got {bounds}."
            raise ValueError(msg)
        return bounds

    @model_validator(mode="after")
    def _fits_together(self):
        if not (self.dino_weight or self.ibot_weight):
            msg = "dino_weight and ibot_weight are both 0: nothing would be learned. Set one above 0."
            raise ValueError(msg)
        if self.optimizer == "muon" and self.strategy == "fsdp":
            msg = "Muon turns whole matrices, and fsdp parts them over devices. Set optimizer adamw or strategy ddp."
            raise ValueError(msg)
        if self.token_limit * self.views_in_tokens > self.tokens_per_batch or self.token_limit < 4:
            msg = (
                f"a batch of {self.tokens_per_batch:,} tokens cannot hold the views of one large image "
                f"({self.views_in_tokens} x {self.token_limit} tokens). Raise tokens_per_batch or lower max_tokens."
            )
            raise ValueError(msg)
        return self

    @property
    def views_in_tokens(self):
        """Tokens of all views of the largest image, in large views."""
        return 2 + math.ceil(self.views.n_local / LOCAL_SHARE)

    @property
    def token_limit(self):
        """Patch tokens of a large view at most."""
        return self.max_tokens or min(MAX_TOKENS, self.tokens_per_batch // self.views_in_tokens)


def read_config(source):
    """
    Check a configuration, and say what is wrong with it in words.

    Parameters
    ----------
    source : PretrainConfig, dict, str or pathlib.Path
        Settings, or a JSON file of them; the `config.json` of a run is understood too.

    Returns
    -------
    PretrainConfig

    Raises
    ------
    SchemaError
        Naming every fault: the setting, its value, what is allowed.
    """
    if isinstance(source, PretrainConfig):
        return source
    where = "the configuration" if isinstance(source, dict) else str(source)
    content = source if isinstance(source, dict) else _read_json(Path(source))
    if not isinstance(content, dict):
        msg = f'{where} must hold settings by name, such as {{"vit": "nano"}}; it holds a {type(content).__name__}.'
        raise SchemaError(msg)
    content = content.get("config", content)
    try:
        return PretrainConfig.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(_fault(e) for e in error.errors())
        msg = f"{where} will not do: {faults}" + ("" if faults.endswith("?") else ".")
        raise SchemaError(msg) from error


def _read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        msg = f"there is no configuration {path}."
        raise SchemaError(msg) from error
    except ValueError as error:
        msg = f"{path} is no JSON: {error}."
        raise SchemaError(msg) from error


def _fault(error):
    """One fault of a configuration, in words."""
    path = [str(p) for p in error["loc"]]
    name = ".".join(path) or "the whole"
    if error["type"] == "extra_forbidden":
        known = (Views if path[0] == "views" else Guide if path[0] == "guides" else PretrainConfig).model_fields
        return f"{name} is no setting.{nearest_name(path[-1], known)}"
    shown = "" if isinstance(error["input"], dict | PretrainConfig) else f"; got {error['input']!r}"
    return f"{name}: {error['msg'].removeprefix('Value error, ')}{shown}"
