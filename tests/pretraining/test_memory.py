"""The memory formula against the model itself: its parameters, and the bytes that it really keeps."""

from pathlib import Path

import numpy as np
import pytest
import torch

from aqqua_science.pretraining.config import PretrainConfig
from aqqua_science.pretraining.loader import Batch
from aqqua_science.pretraining.memory import count_parameters, memory_needed
from aqqua_science.pretraining.packing import Packed
from aqqua_science.pretraining.student import Student, Teacher
from aqqua_science.pretraining.vit import SIZES


@pytest.mark.parametrize(
    "settings",
    [
        {"vit": "nano"},
        {"vit": "tiny", "patch_size": 8, "registers": 0, "pixel_size_token": False},
        {"vit": "small", "prototypes": 512, "ibot_weight": 0, "positions": "grid"},
        {"vit": "base"},
    ],
    ids=lambda s: s["vit"],
)
def test_parameters_are_those_of_the_model(settings):
    config = PretrainConfig(**settings)
    with torch.device("meta"):
        student = Student(config)
    counted = count_parameters(config)
    assert counted["vit"] == sum(p.numel() for p in student.vit.parameters())
    assert sum(counted.values()) == sum(p.numel() for p in student.parameters())


def packed(lengths, patch_size, rng):
    """Packed views of random content."""
    n = int(sum(lengths))
    return Packed(
        values=torch.from_numpy(rng.random((n, patch_size**2), np.float32)),
        seen=torch.ones(n, patch_size**2, dtype=torch.bool),
        background=torch.full((n,), 0.9),
        position_um=torch.from_numpy(rng.normal(0, 500, (n, 2)).astype(np.float32)),
        channel=torch.zeros(n, dtype=torch.int64),
        pixel_size_um=torch.full((len(lengths),), 50.0),
        lengths=torch.tensor(lengths),
    )


def batch_of(config, *, n_images, rng):
    """Images of equal views that fill the batch, a share of the large views' patches masked."""
    side = config.tokens_per_batch // n_images // (2 + config.views.n_local // 4)
    large, small = [side] * 2 * n_images, [side // 4] * config.views.n_local * n_images
    share = config.mask_probability * sum(config.mask_share) / 2
    mask = torch.from_numpy(rng.random(sum(large)) < share)
    places = [torch.arange(len(lengths)).reshape(-1, n_images) for lengths in (large, small)]
    packs = [packed(lengths, config.patch_size, rng) for lengths in (large, small)]
    return Batch(packs[0], places[0], packs[1], places[1], mask, None)


def kept_for_backward(config, *, n_images):
    """Bytes of the distinct storages that a student's step saves, its own weights apart."""
    torch.manual_seed(0)
    student = Student(config).train()
    batch = batch_of(config, n_images=n_images, rng=np.random.default_rng(0)).to(
        "cpu", getattr(torch, config.precision)
    )
    targets = Teacher(student).targets([batch], temperature=0.05)[0]
    own, kept, saved = {p.untyped_storage().data_ptr() for p in student.parameters()}, {}, []

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        saved.append(storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        sums = student(batch, targets, 0.0)
    assert sums["dino"].requires_grad
    return sum(n for pointer, n in kept.items() if pointer not in own)


@pytest.mark.parametrize("vit", ["nano", "tiny"])
@pytest.mark.parametrize(("tokens", "n_images"), [(256, 4), (512, 4), (768, 12)])
def test_activations_are_those_that_are_kept(vit, tokens, n_images):
    config = PretrainConfig(vit=vit, tokens_per_batch=tokens, max_tokens=64, prototypes=256)
    needed = memory_needed(config, images=n_images)
    formula = needed["activations"] + needed["heads"] + needed["logits"]
    assert kept_for_backward(config, n_images=n_images) == pytest.approx(formula, rel=0.1)


def test_logits_are_those_that_are_kept():
    """Where prototypes are so many that they outweigh the rest."""
    settings = {"tokens_per_batch": 512, "max_tokens": 64, "vit": "nano"}
    few, many = (PretrainConfig(prototypes=k, **settings) for k in (256, 8_192))
    grown = kept_for_backward(many, n_images=8) - kept_for_backward(few, n_images=8)
    formula = {k: memory_needed(c, images=8)[k] for c in (many,) for k in ("heads", "logits")}
    assert grown < sum(formula.values())
    assert grown == pytest.approx(sum(formula.values()), rel=0.5)


def test_recomputed_blocks_keep_only_their_input():
    settings = {"vit": "nano", "tokens_per_batch": 512, "max_tokens": 64, "prototypes": 256}
    plain = kept_for_backward(PretrainConfig(**settings), n_images=8)
    config = PretrainConfig(**settings, checkpoint_activations=True)
    one_block = plain / SIZES["nano"][1]
    needed = memory_needed(config, images=8)
    formula = needed["activations"] + needed["heads"] + needed["logits"]
    assert kept_for_backward(config, n_images=8) + one_block == pytest.approx(formula, rel=0.25)


def test_weights_are_shared_out_by_fsdp_and_copied_by_ddp():
    n = 4 * sum(count_parameters(PretrainConfig()).values())
    alone = memory_needed(PretrainConfig())
    assert [alone[k] for k in ("parameters", "gradients", "moments", "teacher")] == [n, n, 2 * n, n]
    sharded = memory_needed(PretrainConfig(strategy="fsdp"), devices=4)
    assert [sharded[k] for k in ("parameters", "gradients", "moments", "teacher")] == [n / 4, n / 4, n / 2, n / 4]
    assert memory_needed(PretrainConfig(), devices=4)["gradients"] == 2 * n


def test_pieces_and_devices_and_half_precision_need_less():
    settings = {"tokens_per_batch": 8192, "prototypes": 4096}
    whole = memory_needed(PretrainConfig(**settings))
    assert memory_needed(PretrainConfig(**settings), devices=4)["activations"] == pytest.approx(
        whole["activations"] / 4, rel=1e-6
    )
    assert memory_needed(PretrainConfig(**settings, accumulate=4))["activations"] == pytest.approx(
        whole["activations"] / 4, rel=1e-6
    )
    half = memory_needed(PretrainConfig(**settings, precision="bfloat16"))
    assert whole["activations"] / 2 < half["activations"] < 0.6 * whole["activations"]
    assert half["moments"] == whole["moments"]


COLUMNS = [
    (1, {}),
    (4, {}),
    (4, {"checkpoint_activations": True}),
    (4, {"checkpoint_activations": True, "strategy": "fsdp"}),
    (16, {"checkpoint_activations": True, "strategy": "fsdp"}),
]
"""What the columns of the page's table stand for."""


@pytest.mark.parametrize("vit", [vit for vit in SIZES if vit != "pico"])  # lessons need no cluster
def test_the_page_shows_what_the_formula_says(vit):
    page = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
    (row,) = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith(f"| {vit} |")]
    settings = {"vit": vit, "tokens_per_batch": 65_536, "precision": "bfloat16"}
    settings["prototypes"] = int(row[2].replace(",", ""))
    configs = [(n, PretrainConfig(**settings, **others)) for n, others in COLUMNS]
    told = [f"{memory_needed(config, devices=n)['total'] / 1e9:.1f}" for n, config in configs]
    assert row[3:] == told
    n_parameters = sum(count_parameters(PretrainConfig(**settings)).values()) / 1e6
    assert float(row[1].removesuffix(" M")) == pytest.approx(n_parameters, abs=0.5)
