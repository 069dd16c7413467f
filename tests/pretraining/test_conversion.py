"""Public weights give the tokens that they gave where they come from."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from aqqua_science.images.patches import cut
from aqqua_science.pretraining.conversion import RGB_MEAN, RGB_SPREAD, convert
from aqqua_science.pretraining.packing import pack
from aqqua_science.pretraining.vit import BANDS, SIZES


def published(name="nano", *, side=5, patch_size=14, registers=4, seed=0):
    """Random weights under DINOv2's names, in float64, lively enough that every one of them matters."""
    width, depth, _ = SIZES[name]
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape, scale=0.05, mean=0.0):
        return mean + scale * torch.randn(*shape, generator=rng, dtype=torch.float64)

    weights = {
        "cls_token": draw(1, 1, width, scale=0.5),
        "pos_embed": draw(1, 1 + side**2, width, scale=0.5),
        "mask_token": draw(1, width, scale=0.5),
        "register_tokens": draw(1, registers, width, scale=0.5),
        "patch_embed.proj.weight": draw(width, 3, patch_size, patch_size),
        "patch_embed.proj.bias": draw(width),
        "norm.weight": draw(width, mean=1.0),
        "norm.bias": draw(width),
    }
    for i in range(depth):
        shapes = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        shapes |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        for layer, shape in shapes.items():
            weights[f"blocks.{i}.{layer}.weight"] = draw(*shape, scale=shape[1] ** -0.5)
            weights[f"blocks.{i}.{layer}.bias"] = draw(shape[0])
        for k in (1, 2):
            weights[f"blocks.{i}.norm{k}.weight"] = draw(width, mean=1.0)
            weights[f"blocks.{i}.norm{k}.bias"] = draw(width)
            weights[f"blocks.{i}.ls{k}.gamma"] = draw(width, scale=0.1, mean=0.5)
    return weights


def told_by_codes(weights, side, *, seed=1):
    """The same weights with positions that sines and cosines of rows and columns can tell, and a constant."""
    rng = np.random.default_rng(seed)
    width = weights["cls_token"].shape[-1]
    steps = np.arange(side) + 0.5 - side / 2
    wavelengths = np.geomspace(2, 512, BANDS)
    waves = [
        f(2 * np.pi * steps[:, None] / wavelengths) @ rng.normal(0, 0.05, (2, BANDS, width)) for f in (np.sin, np.cos)
    ]
    rows, columns = waves[0] + waves[1]
    grid = rng.normal(0, 0.3, width) + (rows[:, None] + columns[None]).reshape(side**2, width)
    pos_embed = torch.cat([weights["pos_embed"][0, :1], torch.from_numpy(grid)])[None]
    return {**weights, "pos_embed": pos_embed}


def reference(weights, grey, *, heads, hidden=None):
    """DINOv2's forward pass of one grey image shown as RGB, from the paper; `hidden` masks patches."""
    mean, spread = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (RGB_MEAN, RGB_SPREAD))
    rgb = (grey.expand(3, *grey.shape) - mean) / spread
    kernel = weights["patch_embed.proj.weight"]
    x = functional.conv2d(rgb[None], kernel, weights["patch_embed.proj.bias"], stride=kernel.shape[-1])
    x = x.flatten(2).transpose(1, 2)
    if hidden is not None:
        x[:, hidden] = weights["mask_token"]
    x = torch.cat([weights["cls_token"], x], dim=1) + weights["pos_embed"]
    x = torch.cat([x[:, :1], weights["register_tokens"], x[:, 1:]], dim=1)
    depth = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    for i in range(depth):
        w = {name.removeprefix(f"blocks.{i}."): value for name, value in weights.items()}
        y = normalised(x, w["norm1.weight"], w["norm1.bias"])
        q, k, v = (y @ w["attn.qkv.weight"].T + w["attn.qkv.bias"]).chunk(3, dim=-1)
        parts = []
        for h in range(heads):
            piece = slice(h * q.shape[-1] // heads, (h + 1) * q.shape[-1] // heads)
            scores = q[..., piece] @ k[..., piece].transpose(1, 2) / (q.shape[-1] / heads) ** 0.5
            parts.append(scores.softmax(-1) @ v[..., piece])
        attended = torch.cat(parts, dim=-1) @ w["attn.proj.weight"].T + w["attn.proj.bias"]
        x = x + w.get("ls1.gamma", 1) * attended
        y = normalised(x, w["norm2.weight"], w["norm2.bias"]) @ w["mlp.fc1.weight"].T + w["mlp.fc1.bias"]
        y = 0.5 * y * (1 + torch.erf(y / 2**0.5))
        x = x + w.get("ls2.gamma", 1) * (y @ w["mlp.fc2.weight"].T + w["mlp.fc2.bias"])
    x = normalised(x, weights["norm.weight"], weights["norm.bias"])
    n_special = 1 + weights["register_tokens"].shape[1]
    return x[0, 0].numpy(), x[0, n_special:].numpy()


def normalised(x, weight, bias):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight + bias


def tokens_of(network, pixels, *, mask=None):
    """Class token and patch tokens of one image, in float64."""
    patches = cut(pixels, pixel_size_um=3.0, patch_size=network.settings["patch_size"])
    with torch.inference_mode():
        encoded = network(pack([patches]).cast(torch.float64), mask=mask)
    return encoded.cls[0].numpy(), encoded.patches.numpy()


def grey_image(side, patch_size=14):
    return np.random.default_rng(3).random((side * patch_size,) * 2, np.float32)


@pytest.mark.parametrize("side", [4, 5])
@pytest.mark.parametrize("registers", [0, 4])
def test_a_grey_image_gives_the_original_tokens(side, registers):
    weights = told_by_codes(published(side=side, registers=registers), side)
    grey = grey_image(side)
    expected = reference(weights, torch.from_numpy(grey).double(), heads=3)
    network = convert(weights)
    assert network.about["position_r2"] > 1 - 1e-9
    for ours, theirs in zip(tokens_of(network, grey[None]), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_hidden_patches_are_those_of_the_original():
    weights = told_by_codes(published(), 5)
    hidden = torch.arange(25) % 3 == 0
    expected = reference(weights, torch.from_numpy(grey_image(5)).double(), heads=3, hidden=hidden)
    found = tokens_of(convert(weights), grey_image(5)[None], mask=hidden)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-4)


def test_without_layer_scale_the_branches_are_added_whole():
    weights = told_by_codes(published(), 5)
    weights = {name: value for name, value in weights.items() if not name.endswith("gamma")}
    expected = reference(weights, torch.from_numpy(grey_image(5)).double(), heads=3)[0]
    np.testing.assert_allclose(tokens_of(convert(weights), grey_image(5)[None])[0], expected, atol=1e-4)


def test_an_enlarged_image_gives_enlarged_patches_the_same_tokens():
    """Bilinear enlargement of single patches loses nothing, so the resized kernel answers as the original one."""
    weights = told_by_codes(published(side=1, patch_size=14), 1)
    grey = torch.from_numpy(grey_image(1))[None, None].double()
    expected = reference(weights, grey[0, 0], heads=3)
    large = functional.interpolate(grey, size=(20, 20), mode="bilinear")[0].float().numpy()
    found = tokens_of(convert(weights, patch_size=20), large)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4)


def test_a_reduced_kernel_answers_alike_to_smooth_images():
    weights = told_by_codes(published(side=3, patch_size=16), 3)
    y, x = np.meshgrid(np.linspace(0, 1, 48), np.linspace(0, 1, 48), indexing="ij")
    smooth = (0.5 + 0.3 * np.sin(3 * y) * np.cos(2 * x)).astype(np.float32)
    expected = reference(weights, torch.from_numpy(smooth).double(), heads=3)[0]
    small = functional.interpolate(torch.from_numpy(smooth)[None, None], size=(24, 24), mode="area")[0].numpy()
    found = tokens_of(convert(weights, patch_size=8), small)[0]
    assert np.corrcoef(found, expected)[0, 1] > 0.99


@pytest.mark.parametrize(("power", "share"), [("sum", 1.0), ("product", 0.0), ("both", 0.5)])
def test_the_share_of_positions_that_can_be_told(power, share):
    """Rows plus columns are told, rows times columns are not: on a centred grid the two are uncorrelated."""
    side = 9
    steps = (np.arange(side) - side // 2) / np.std(np.arange(side) - side // 2)
    rows, columns = np.meshgrid(steps, steps, indexing="ij")
    total, product = ((rows + columns) / 2**0.5).ravel(), (rows * columns).ravel()
    field = {"sum": total, "product": product, "both": total + product}[power]
    weights = published(side=side)
    weights["pos_embed"][0, 1:] = torch.from_numpy(field)[:, None] * torch.linspace(0.5, 1, 192, dtype=torch.float64)
    about = convert(weights).about
    assert about["position_r2"] == pytest.approx(share, abs=1e-3)
    assert about["position_grid"] == side


def test_positions_between_those_learned_are_smooth():
    """A grid of odd side teaches whole steps from the centre; images of even side ask for the halves between."""
    side = 37
    steps = np.arange(side) - side // 2
    weights = published(side=side)
    field = np.add.outer(np.sin(steps / 6), np.cos(steps / 9)).ravel()
    weights["pos_embed"][0, 1:] = torch.from_numpy(field)[:, None].expand(-1, 192)
    network = convert(weights)
    black = pack([cut(np.zeros((1, 28 * 14, 28 * 14), np.float32), pixel_size_um=1.0, patch_size=14)]).cast(
        torch.float64
    )
    with torch.inference_mode():
        seen = network._embed(black, black.pixel_size_um.expand(28**2), None)[:, 0]
    halves = np.arange(28) - 13.5
    expected = np.add.outer(np.sin(halves / 6), np.cos(halves / 9)).ravel()
    np.testing.assert_allclose(seen - seen.mean(), expected - expected.mean(), atol=0.02)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_files_give_what_their_tensors_give(suffix, tmp_path):
    weights = {name: value.float() for name, value in published().items()}
    path = tmp_path / f"weights.{suffix}"
    save_file(weights, path) if suffix == "safetensors" else torch.save(weights, path)
    network, expected = convert(path), convert(weights)
    assert network.about["converted_from"] == path.name
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in network.state_dict().items())
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}


def test_registers_may_be_added():
    network = convert(published(registers=2), registers=4)
    torch.testing.assert_close(network.register[:2], published(registers=2)["register_tokens"][0])
    assert network.settings["registers"] == 4
    assert (network.register[2:] != 0).all()


@pytest.mark.parametrize("name", ["small", "tiny"])
def test_the_size_is_found(name):
    assert convert(published(name, side=2), vit=name).settings["vit"] == name


def without(name):
    return {n: v for n, v in published().items() if n != name}


@pytest.mark.parametrize(
    ("weights", "options", "rule"),
    [
        (without("norm.bias"), {}, r"Missing: norm\.bias\."),
        (without("blocks.3.ls2.gamma"), {}, r"Missing: blocks\.3\.ls2\.gamma"),
        ({**published(), "head.weight": torch.zeros(1)}, {}, r"Unknown: head\.weight"),
        (published(), {"vit": "small"}, "width 192, depth 8"),
        ({**published(), "blocks.8.mlp.w12.weight": torch.zeros(1)}, {}, "SwiGLU"),
        ({**published(), "pos_embed": torch.zeros(1, 8, 192)}, {}, "square grid; 7"),
        ({**published(), "blocks.0.attn.proj.bias": torch.zeros(5)}, {}, r"blocks\.0\.out\.bias"),
        ({}, {}, "Missing: cls_token"),
    ],
)
def test_other_weights_are_refused(weights, options, rule):
    with pytest.raises(ValueError, match=rule):
        convert(weights, **options)


def test_a_file_of_other_things_is_refused(tmp_path):
    torch.save({"epoch": 3, "model": published()}, tmp_path / "run.pth")
    with pytest.raises(ValueError, match="tensors by name"):
        convert(tmp_path / "run.pth")


def test_public_weights_serve_as_an_encoder(tmp_path):
    """By torch, and, exported, without it: the same numbers of the same images."""
    from aqqua_science.features import embed
    from aqqua_science.images import ingest
    from aqqua_science.pretraining import embeddings, export
    from aqqua_science.synthetic import images

    store = ingest(images(6, rng=0), tmp_path / "drawn.aqqua")
    network = convert(published())
    export(network, tmp_path / "public.onnx")
    features = embed(store, tmp_path / "public.onnx", to=tmp_path / "features.zarr")
    np.testing.assert_allclose(features, embeddings(network, store), atol=1e-4)
