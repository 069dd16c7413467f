"""The network: packing changes nothing, places are in micrometres, every setting counts."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from aqqua_science.images.patches import cut
from aqqua_science.pretraining.kernels import by_length, flex
from aqqua_science.pretraining.packing import Packed, boundaries, image_means, image_of, join, pack
from aqqua_science.pretraining.vit import SIZES, ViT, position_codes

SHAPES = [(1, 30, 50), (3, 25, 25), (1, 1, 1), (2, 100, 66), (1, 100, 66), (1, 14, 14), (1, 3, 120)]


def drawn_patches(shapes=SHAPES, *, seed=0, pixel_size_um=50.0):
    rng = np.random.default_rng(seed)
    return [
        cut(rng.random(s, dtype=np.float32), pixel_size_um=pixel_size_um * (1 + i), patch_size=14)
        for i, s in enumerate(shapes)
    ]


def small_vit(**settings):
    torch.manual_seed(0)
    vit = ViT("nano", **settings).eval()
    torch.nn.init.normal_(vit.unseen.weight, std=0.02)
    return vit


@pytest.fixture(params=[("micrometres", "convolution"), ("grid", "linear")], ids=lambda p: p[0])
def vit(request):
    positions, stem = request.param
    return small_vit(positions=positions, stem=stem)


def padded(packed):
    """The same images, each in a row of its own, and which tokens are real."""
    longest = int(packed.lengths.max())

    def rows(tensor):
        parts = tensor.split(packed.lengths.tolist())
        return torch.stack([torch.cat([p, p.new_ones(longest - len(p), *p.shape[1:])]) for p in parts])

    keep = torch.arange(longest) < packed.lengths[:, None]
    return Packed(*map(rows, packed[:5]), packed.pixel_size_um, packed.lengths), keep


@torch.no_grad()
def test_packed_equals_one_image_at_a_time(vit):
    images = drawn_patches()
    together = vit(pack(images))
    alone = [vit(pack([image])) for image in images]
    assert_close(together.cls, torch.cat([e.cls for e in alone]), atol=1e-5, rtol=0)
    assert_close(together.patches, torch.cat([e.patches for e in alone]), atol=1e-5, rtol=0)


@torch.no_grad()
def test_packed_equals_padded_and_masked(vit):
    packed = pack(drawn_patches())
    together = vit(packed)
    rows, keep = padded(packed)
    apart = vit.padded(rows, keep=keep)
    assert_close(together.cls, apart.cls, atol=1e-5, rtol=0)
    assert_close(together.patches, apart.patches[keep], atol=1e-5, rtol=0)


@torch.no_grad()
def test_order_in_the_pack_does_not_matter(vit):
    images = drawn_patches()
    order = [3, 0, 6, 2, 5, 1, 4]
    assert_close(vit(pack([images[i] for i in order])).cls, vit(pack(images)).cls[order], atol=1e-5, rtol=0)


def test_gradients_of_a_pack_are_those_of_its_images(vit):
    vit, images = vit.double(), drawn_patches()
    vit(pack(images).cast(torch.float64)).cls.square().sum().backward()
    together = {name: p.grad.clone() for name, p in vit.named_parameters() if p.grad is not None}
    vit.zero_grad()
    for image in images:
        vit(pack([image]).cast(torch.float64)).cls.square().sum().backward()
    for name, gradient in together.items():
        assert_close(gradient, dict(vit.named_parameters())[name].grad, atol=1e-9, rtol=1e-9)


def slow_attention(q, k, v, cu_seqlens):
    """Softmax attention by loops over sequences, heads and queries."""
    out = torch.zeros_like(v)
    for start, stop in zip(cu_seqlens[:-1].tolist(), cu_seqlens[1:].tolist(), strict=True):
        for head in range(q.shape[1]):
            for i in range(start, stop):
                scores = torch.stack([q[i, head] @ k[j, head] for j in range(start, stop)]) / math.sqrt(q.shape[2])
                out[i, head] = sum(w * v[j, head] for w, j in zip(scores.softmax(0), range(start, stop), strict=True))
    return out


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("backend", [by_length, flex])
@pytest.mark.parametrize("lengths", [[5, 5, 3, 5, 1, 1, 8], [4], [1, 2, 3]])
def test_attention_stays_within_a_sequence(backend, lengths):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, sum(lengths), 2, 16)
    edges = boundaries(torch.tensor(lengths))
    assert_close(backend(q, k, v, edges), slow_attention(q, k, v, edges), atol=1e-5, rtol=1e-5)


def test_attention_passes_over_empty_sequences():
    q, k, v = torch.randn(3, 5, 2, 16)
    some, none = boundaries(torch.tensor([2, 0, 3])), boundaries(torch.tensor([2, 3]))
    assert_close(by_length(q, k, v, some), by_length(q, k, v, none))
    assert by_length(q[:0], k[:0], v[:0], boundaries(torch.tensor([0, 0]))).shape == (0, 2, 16)


def test_half_precision_is_kept():
    q, k, v = torch.randn(3, 6, 2, 16).bfloat16()
    edges = boundaries(torch.tensor([2, 4]))
    found = by_length(q, k, v, edges)
    assert found.dtype == torch.bfloat16
    assert_close(found.float(), by_length(q.float(), k.float(), v.float(), edges), atol=0.02, rtol=0.02)


def test_position_codes_are_waves_averaged_over_the_patch():
    position, extent = torch.tensor([[130.0, -70.0]], dtype=torch.float64), torch.tensor([[90.0]], dtype=torch.float64)
    codes = position_codes(position, extent, shortest=20.0, longest=5e4).view(2, 2, -1)
    wavelengths = 20.0 * (5e4 / 20.0) ** torch.linspace(0, 1, codes.shape[-1], dtype=torch.float64)
    offsets = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000 * 90.0 - 45.0
    for axis, centre in enumerate((130.0, -70.0)):
        phases = 2 * math.pi * (centre + offsets[:, None]) / wavelengths
        assert_close(codes[axis, 0], phases.sin().mean(0), atol=1e-6, rtol=0)
        assert_close(codes[axis, 1], phases.cos().mean(0), atol=1e-6, rtol=0)


def test_an_animal_sampled_half_as_finely_stands_in_the_same_place():
    """A wave that a coarse patch resolves has the mean of the codes of the four fine patches that it covers."""
    fine = cut(np.zeros((1, 112, 112), np.float32), pixel_size_um=10, patch_size=14)
    coarse = cut(np.zeros((1, 56, 56), np.float32), pixel_size_um=20, patch_size=14)
    codes = [
        position_codes(
            torch.from_numpy(image.position_um).double(),
            torch.full((len(image.values), 1), 14 * image.pixel_size_um, dtype=torch.float64),
            shortest=2.0,
            longest=2e5,
        )
        for image in (fine, coarse)
    ]
    quarters = codes[0].view(4, 2, 4, 2, -1).mean((1, 3)).flatten(0, 1)
    assert_close(quarters, codes[1], atol=1e-9, rtol=0)


@torch.no_grad()
def test_pixel_size_reaches_the_embedding_only_where_it_should():
    pixels = np.random.default_rng(0).random((1, 40, 40), dtype=np.float32)
    packs = [pack([cut(pixels, pixel_size_um=size, patch_size=14)]) for size in (1.0, 70.0)]
    blind = small_vit(positions="grid", pixel_size_token=False)
    assert_close(blind(packs[0]).cls, blind(packs[1]).cls)
    for settings in ({"positions": "micrometres", "pixel_size_token": False}, {"positions": "grid"}):
        seeing = small_vit(**settings)
        assert not torch.allclose(seeing(packs[0]).cls, seeing(packs[1]).cls, atol=1e-3)


@torch.no_grad()
def test_what_lies_beyond_the_edge_has_no_influence():
    vit, image = small_vit(), drawn_patches([(1, 20, 20)])[0]
    other = image._replace(values=np.where(image.seen, image.values, 0.9).astype(np.float32))
    assert_close(vit(pack([image])).cls, vit(pack([other])).cls)


@torch.no_grad()
def test_brighter_water_is_seen_but_changes_no_animal():
    """Without the token of the level, an image and a brighter one are the same; with it they are not."""
    pixels = np.random.default_rng(0).uniform(0.1, 0.5, (2, 30, 44)).astype(np.float32)
    brighter = pixels + np.array([0.3, 0.1], np.float32)[:, None, None]
    packs = [pack([cut(p, pixel_size_um=10, patch_size=14)]) for p in (pixels, brighter)]
    vit = small_vit()
    assert not torch.allclose(*(vit(p).cls for p in packs), atol=1e-3)
    torch.nn.init.zeros_(vit.level.weight)
    assert_close(*(vit(p).cls for p in packs), atol=1e-5, rtol=0)


@torch.no_grad()
def test_channels_are_told_apart_and_grey_costs_one():
    vit, pixels = small_vit(), np.random.default_rng(0).random((1, 28, 28), dtype=np.float32)
    grey, red = (cut(pixels, pixel_size_um=1, patch_size=14, channels=[kind]) for kind in (0, 1))
    assert len(grey.values) == 4
    assert not torch.allclose(vit(pack([grey])).cls, vit(pack([red])).cls, atol=1e-3)


@torch.no_grad()
def test_masked_patches_are_not_seen():
    vit, image = small_vit(), drawn_patches([(1, 42, 42)])[0]
    mask = torch.zeros(9, dtype=torch.bool)
    mask[4] = True
    other = image.values.copy()
    other[4] = 0.1
    hidden = [vit(pack([image._replace(values=values)]), mask=mask).cls for values in (image.values, other)]
    assert_close(*hidden)
    assert not torch.allclose(hidden[0], vit(pack([image])).cls, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "millions"), [("nano", 3.7), ("tiny", 5.5), ("small", 21.6), ("base", 85.8), ("large", 303.4)]
)
def test_sizes_are_those_of_the_papers(name, millions):
    """ViT-Ti 5.7, S 22, B 86 and L 304 million (Touvron et al. 2021), less the embedding of three colours."""
    with torch.device("meta"):
        vit = ViT(name, stem="linear")
    assert len(vit.blocks) == SIZES[name][1]
    assert sum(p.numel() for p in vit.parameters()) / 1e6 == pytest.approx(millions, rel=0.02)


def test_activation_checkpointing_changes_no_gradient():
    packed = pack(drawn_patches([(1, 30, 30), (1, 50, 20)]))
    gradients = []
    for checkpointed in (False, True):
        vit = small_vit(checkpoint_activations=checkpointed).train()
        vit(packed).cls.square().sum().backward()
        gradients.append(vit.blocks[0].qkv.weight.grad)
    assert_close(*gradients)


def test_packs_know_their_images():
    packed = pack(drawn_patches([(1, 28, 28), (1, 14, 14)]))
    assert packed.lengths.tolist() == [4, 1]
    assert boundaries(packed.lengths).tolist() == [0, 4, 5]
    assert image_of(packed.lengths).tolist() == [0, 0, 0, 0, 1]
    both = join(packed, packed)
    assert both.lengths.tolist() == [4, 1, 4, 1]
    assert join(packed, None) is packed
    means = image_means(packed.values, packed.lengths)
    assert_close(means, torch.stack([packed.values[:4].mean(0), packed.values[4]]))
