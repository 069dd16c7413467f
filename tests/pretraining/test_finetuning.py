"""An encoder learns labelled classes, whole or by low-rank additions that merge without trace."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression

from aqqua_science.features import embed
from aqqua_science.images import ingest
from aqqua_science.images.shards import StoreError
from aqqua_science.pretraining.encoders import credits_of, embeddings, load
from aqqua_science.pretraining.exporting import export
from aqqua_science.pretraining.finetuning import Head, _Pupil, _some, _weights, finetune, read_head
from aqqua_science.pretraining.lessons import batches, own_copy
from aqqua_science.pretraining.lora import ALPHA, LowRank, adapt, merge
from aqqua_science.pretraining.probes import linear_probe
from aqqua_science.pretraining.vit import ViT
from aqqua_science.schema import SchemaError
from aqqua_science.sources.record import Record
from aqqua_science.synthetic import images

MAX_TOKENS = 12
SHORT = {"steps": 4, "tokens_per_batch": 60, "checkpoint_every": 2}
METHODS = ("lora", "full")
WIDTH, DEPTH = 96, 3
"""Of "pico"."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Forty drawn images, of which some have no label and one class has one image."""
    drawn = list(images(40, rng=0))
    for place, record in enumerate(drawn):
        taxon = ["", "Copepoda", "detritus", "Copepoda", "Acantharia"][place % 5 if place != 4 else 4]
        record.metadata["taxon"] = taxon if taxon != "Acantharia" or place == 4 else ""
    return ingest(drawn, tmp_path_factory.mktemp("stores") / "drawn.aqqua")


@pytest.fixture(scope="module")
def labelled(store):
    """Rows of two classes."""
    return np.flatnonzero(store.table["taxon"].isin(["Copepoda", "detritus"]))


def untaught(*, kind=ViT):
    torch.manual_seed(1)
    network = kind("pico")
    network.about = {"max_tokens": MAX_TOKENS, "square": None, "store": {"licence": ["CC BY 4.0"]}}
    return network.eval()


def a_pack(store, vit):
    return next(batches(store, np.arange(len(store)), own_copy(vit), tokens_per_batch=60, seed=0, start=0))


def stirred(vit):
    """Additions as training might leave them."""
    torch.manual_seed(2)
    for module in vit.modules():
        if isinstance(module, LowRank):
            torch.nn.init.normal_(module.second, std=0.02)
    return vit


class Interrupted(ViT):
    """A network that is called away at its fourth batch."""

    calls = 0

    def forward(self, packed, *, mask=None):
        Interrupted.calls += 1
        if Interrupted.calls == 4:
            raise KeyboardInterrupt
        return super().forward(packed, mask=mask)


def test_additions_change_nothing_at_first(store):
    vit = untaught()
    packed, *_ = a_pack(store, vit)
    with torch.inference_mode():
        before = vit(packed)
        adapt(vit, 8)
        after = vit(packed)
    assert torch.equal(before.cls, after.cls)
    assert torch.equal(before.patches, after.patches)


def test_merged_is_unmerged(store):
    vit = untaught()
    packed, *_ = a_pack(store, vit)
    with torch.inference_mode():
        first = vit(packed).cls
        adapt(vit, 4)
        wanted, found = stirred(vit)(packed).cls, merge(vit)(packed).cls
    assert (wanted - first).abs().max() > 0.01
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6 * float(wanted.abs().max()))
    assert merge(vit).state_dict().keys() == untaught().state_dict().keys()


def test_an_addition_is_the_papers():
    """W x + (alpha / r) B A x, by hand in double precision."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(6, 10).double()
    layer = LowRank(linear, 2)
    torch.nn.init.normal_(layer.second)
    x = torch.randn(5, 6, dtype=torch.float64)
    w, b, first, second = (t.detach().numpy() for t in (linear.weight, linear.bias, layer.first, layer.second))
    wanted = x.numpy() @ (w + ALPHA / 2 * second @ first).T + b
    np.testing.assert_allclose(layer(x).detach(), wanted, rtol=1e-12)
    np.testing.assert_allclose(layer.merged()(x).detach(), wanted, rtol=1e-12)


@pytest.mark.parametrize("rank", [1, 8])
def test_only_additions_and_head_learn(store, rank):
    pupil = _Pupil(own_copy(untaught()), 3, rank=rank, seed=0)
    torch.nn.init.normal_(pupil.head.weight)
    torch.nn.init.zeros_(pupil.head.bias)
    stirred(pupil)
    packed, *_ = a_pack(store, untaught())
    torch.nn.functional.cross_entropy(pupil(packed), torch.zeros(len(packed.lengths), dtype=torch.int64)).backward()
    learning = {name: p for name, p in pupil.named_parameters() if p.grad is not None}
    assert all(name.startswith("head") or name.endswith((".first", ".second")) for name in learning)
    assert all(p.grad.any() for p in learning.values())
    assert sum(p.numel() for p in learning.values()) == DEPTH * 6 * rank * WIDTH + 3 * (WIDTH + 1)
    assert learning.keys() == {name for name, p in pupil.named_parameters() if p.requires_grad}


def test_all_but_the_unused_mask_learns_in_full():
    pupil = _Pupil(own_copy(untaught()), 3, rank=None, seed=0)
    n = sum(p.numel() for p in untaught().parameters()) - WIDTH
    assert sum(p.numel() for p in pupil.parameters() if p.requires_grad) == n + 3 * (WIDTH + 1)


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_lesson_ends_as_an_undisturbed_one(store, labelled, tmp_path, method):
    given = SHORT | {"rows": labelled, "method": method}
    whole = finetune(untaught(), store, out=tmp_path / "whole", **given)
    Interrupted.calls = 0
    with pytest.raises(KeyboardInterrupt):
        finetune(untaught(kind=Interrupted), store, out=tmp_path / "stopped", **given)
    assert [p.name for p in (tmp_path / "stopped" / "checkpoints").iterdir()] == ["step-00000002"]
    stopped = finetune(untaught(kind=Interrupted), store, out=tmp_path / "stopped", **given)
    for name in ("encoder.safetensors", "head.safetensors"):
        one, other = (load_file(out / "encoder" / name) for out in (whole, stopped))
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert (whole / "log.jsonl").read_text() == (stopped / "log.jsonl").read_text()


KILLED = """
import sys, numpy as np, torch
from aqqua_science.pretraining.finetuning import finetune
from aqqua_science.pretraining.vit import ViT
torch.manual_seed(1)
vit = ViT("pico")
vit.about = {"max_tokens": 12, "square": None}
rows = [int(row) for row in sys.argv[3].split()]
finetune(vit, sys.argv[1], out=sys.argv[2], rows=rows, steps=6, tokens_per_batch=60, checkpoint_every=2)
"""


@pytest.mark.slow
def test_a_killed_process_is_gone_on_with(store, labelled, tmp_path):
    def command(out):
        return [sys.executable, "-c", KILLED, str(store.path), str(out), " ".join(map(str, labelled))]

    with subprocess.Popen(command(tmp_path / "killed")) as process:
        while not list((tmp_path / "killed" / "checkpoints").glob("step-*")):
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
    for name in ("killed", "whole"):
        subprocess.run(command(tmp_path / name), check=True)
    for file in ("log.jsonl", "encoder/encoder.safetensors", "encoder/head.safetensors"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_finished_lesson_is_not_given_again(store, labelled, tmp_path):
    given = SHORT | {"rows": labelled, "steps": 1}
    out = finetune(untaught(), store, out=tmp_path / "tuned", **given)
    before = {path: path.stat().st_mtime_ns for path in (out / "encoder").iterdir()}
    assert finetune(untaught(), store, out=out, **given) == out
    assert {path: path.stat().st_mtime_ns for path in (out / "encoder").iterdir()} == before


@pytest.mark.parametrize("class_weight", ["balanced", None])
@pytest.mark.parametrize("taxa", [("Copepoda", "detritus"), ("Copepoda", "detritus", "Acantharia")])
def test_the_first_loss_is_that_of_a_linear_probe(store, tmp_path, class_weight, taxa):
    """Of frozen features; the batch's images are turned, and weigh by their classes."""
    rows = np.flatnonzero(store.table["taxon"].isin(taxa))
    given = SHORT | {"rows": rows, "steps": 1, "class_weight": class_weight}
    with pytest.warns(UserWarning, match="Acantharia") if len(taxa) > 2 else contextlib.nullcontext():
        out = finetune(untaught(), store, out=tmp_path / "tuned", **given)
    logged = json.loads((out / "log.jsonl").read_text())
    vit, labels = own_copy(untaught()), store.table["taxon"].iloc[rows]
    features = embeddings(vit, store, rows).astype(float)
    mean, spread = features.mean(axis=0), np.sqrt(np.mean((features - features.mean(axis=0)) ** 2))
    probe = LogisticRegression(class_weight=class_weight, max_iter=300).fit((features - mean) / spread, labels)
    packed, _, places = next(batches(store, rows, vit, tokens_per_batch=60, seed=0, start=0))
    with torch.inference_mode():
        turned = (vit(packed).cls.double().numpy() - mean) / spread
    odds = pd.DataFrame(probe.predict_log_proba(turned), columns=probe.classes_)
    truth = labels.iloc[places].to_numpy()
    weights = len(rows) / len(taxa) / labels.map(labels.value_counts()) if class_weight else labels.map(lambda _: 1.0)
    lost = [-odds.loc[i, taxon] for i, taxon in enumerate(truth)]
    assert logged["loss"] == pytest.approx(np.mean(weights.iloc[places].to_numpy() * lost), rel=1e-3)
    assert logged["accuracy"] == pytest.approx(np.mean(odds.idxmax(axis=1) == truth))
    assert logged["images"] == len(places)


def test_a_probe_of_few_images_sees_every_class():
    codes = np.array([0] * 50 + [1] * 3 + [2])
    assert np.bincount(codes[_some(codes, 0, limit=9)]).tolist() == [5, 3, 1]
    assert np.bincount(codes[_some(codes, 0, limit=2)]).tolist() == [1, 1, 1]


def test_every_class_weighs_the_same():
    weights = _weights(np.array([0, 0, 0, 1]), "balanced")
    np.testing.assert_allclose(weights * [3, 1], [2, 2])


def test_the_result_is_an_ordinary_encoder(store, labelled, tmp_path):
    encoder = untaught()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    state = torch.get_rng_state()
    out = finetune(encoder, store, out=tmp_path / "tuned", rows=labelled, **SHORT)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    found = load(out)
    assert found.settings == encoder.settings
    changed = {name for name, value in found.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"blocks.{i}.{name}.weight" for i in range(DEPTH) for name in ("qkv", "out")}
    assert found.about["finetuned_from"] == encoder.about
    assert found.about["store"] == json.loads(json.dumps(credits_of(store)))
    assert found.about["classes"] == ["Copepoda", "detritus"]
    assert (found.about["max_tokens"], found.about["step"], found.about["images"]) == (MAX_TOKENS, 4, len(labelled))
    assert export(out, tmp_path / "tuned.onnx")["max_difference"] < 1e-4
    features = embed(store, out, rows=labelled, to=tmp_path / "features.zarr")
    np.testing.assert_allclose(features.values, embeddings(found, store, labelled), rtol=1e-4, atol=1e-4)


def test_the_head_lies_beside(store, labelled, tmp_path):
    out = finetune(untaught(), store, out=tmp_path / "tuned", rows=labelled, **SHORT)
    told = json.loads((out / "encoder" / "classes.json").read_text())
    assert told == {"label": "taxon", "classes": ["Copepoda", "detritus"]}
    head = read_head(out)
    found = head.probabilities(embeddings(load(out), store, labelled))
    assert list(found) == head.classes == told["classes"]
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert read_head(out / "encoder").classes == head.classes
    (out / "encoder" / "head.safetensors").write_bytes(b"torn")
    with pytest.raises(StoreError, match="damaged"):
        read_head(out)


def test_odds_are_those_of_the_logits():
    head = Head(["a", "b"], np.float32([[1, 0], [0, 1]]), np.float32([0, math.log(3)]))
    found = head.probabilities([[0.0, 0.0], [5000.0, 0.0], [np.nan, 0.0]])
    np.testing.assert_allclose(found, [[0.25, 0.75], [1, 0], [np.nan, np.nan]], rtol=1e-6)


def test_rows_without_a_label_are_left_out_and_single_images_said(store, tmp_path):
    with pytest.warns(UserWarning, match="one image .* Acantharia"):
        out = finetune(untaught(), store, out=tmp_path / "tuned", **SHORT | {"steps": 1})
    about = load(out).about
    assert about["classes"] == ["Acantharia", "Copepoda", "detritus"]
    assert about["images"] == (store.table["taxon"].fillna("") != "").sum() < len(store)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"method": "half"}, "half.*lora, full"),
        ({"rank": 0}, "between 1 and .*96; got 0"),
        ({"rank": 193}, "got 193"),
        ({"class_weight": "some"}, "some.*balanced"),
        ({"learning_rate": 0}, "above 0; got 0"),
        ({"tokens_per_batch": 8}, "as many as an image may have"),
        ({"steps": 0}, "got 0 steps"),
        ({"checkpoint_every": 0}, "checkpoint_every .* got 0"),
        ({"rows": []}, "0 of 0 rows .* 0 classes"),
        ({"rows": [1]}, "1 of 1 rows .* 1 class"),
        ({"label": "tacson"}, "no column 'tacson'.*taxon"),
    ],
)
def test_what_cannot_be_learnt_is_refused(store, labelled, tmp_path, settings, rule):
    with pytest.raises(SchemaError, match=rule):
        finetune(untaught(), store, out=tmp_path / "tuned", **SHORT | {"rows": labelled} | settings)
    assert not (tmp_path / "tuned").exists()


def test_a_damaged_encoder_is_refused(store, labelled, tmp_path):
    vit = untaught()
    torch.nn.init.constant_(vit.norm.bias, float("nan"))
    with pytest.raises(FloatingPointError, match="some image is not finite"):
        finetune(vit, store, out=tmp_path / "tuned", rows=labelled, **SHORT)
    assert not (tmp_path / "tuned" / "encoder").exists()


def test_a_loss_that_is_no_number_stops(store, labelled, tmp_path):
    with pytest.raises(FloatingPointError, match=r"no longer finite.*Lower learning_rate"):
        finetune(untaught(), store, out=tmp_path / "tuned", rows=labelled, learning_rate=1e30, **SHORT)
    assert not (tmp_path / "tuned" / "encoder").exists()


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"method": "full"}, "method"), ({"rank": 4}, "rank"), ({"seed": 1}, "seed"), ({"class_weight": None}, "weight")],
)
def test_another_lesson_needs_another_folder(store, labelled, tmp_path, settings, name):
    given = SHORT | {"steps": 1, "rows": labelled}
    out = finetune(untaught(), store, out=tmp_path / "tuned", **given)
    with pytest.raises(SchemaError, match=rf"{name}: .* before.*another out"):
        finetune(untaught(), store, out=out, **given | settings)


def textures(n, *, rng, noise):
    """Squares of noise in pairs of stripes or of dots: of one mean and one spread, they differ by shape alone."""
    rng = np.random.default_rng(rng)
    where = {"time": "2020-01-01", "latitude": 0, "longitude": 0, "depth": 10, "licence": "CC0-1.0"}
    for i in range(n):
        taxon = ("striped", "dotted")[i % 2]
        wave = np.arange(28) // 2 % 2
        plan = np.broadcast_to(wave, (28, 28)) if taxon == "striped" else wave ^ wave[:, None]
        pixels = np.clip(plan * 60 + 90 + rng.normal(0, noise, plan.shape), 0, 255).astype(np.uint8)
        known = {"object_id": f"t{i}", "instrument": "UVP6", "pixel_size_um": 73, "taxon": taxon}
        yield Record(f"t{i}", lambda pixels=pixels: pixels, where | known, {})


@pytest.mark.parametrize(("method", "learning_rate"), [("lora", 5e-3), ("full", 3e-4)])
def test_planted_classes_are_learnt(tmp_path, method, learning_rate):
    store = ingest(textures(70, rng=0, noise=25), tmp_path / "planted.aqqua")
    out = finetune(
        untaught(), store, out=tmp_path / "tuned", rows=slice(40), method=method, steps=40, tokens_per_batch=64,
        learning_rate=learning_rate,
    )  # fmt: skip
    found = read_head(out).probabilities(embeddings(load(out), store, slice(40, None))).idxmax(axis=1)
    assert np.mean(found.to_numpy() == store.table["taxon"].iloc[40:].to_numpy()) >= 0.9


def test_tuned_features_beat_frozen_ones_where_noise_is_loud(tmp_path):
    """One class hides in noise as strong as itself: an untrained network blurs what a tuned one finds."""
    store = ingest(textures(120, rng=0, noise=50), tmp_path / "planted.aqqua")
    parts = {"train": np.arange(40), "test": np.arange(40, 120)}
    labels = store.table["taxon"].to_numpy()
    before = linear_probe(embeddings(untaught(), store), labels, **parts)
    out = finetune(
        untaught(), store, out=tmp_path / "tuned", rows=parts["train"], method="full", steps=40, tokens_per_batch=64,
        learning_rate=3e-4,
    )  # fmt: skip
    after = linear_probe(embeddings(load(out), store), labels, **parts)
    assert after["accuracy"] > before["accuracy"] + 0.05


def test_the_folder_may_be_a_string_and_the_encoder_a_path(store, labelled, tmp_path):
    given = SHORT | {"steps": 1, "rows": labelled}
    first = finetune(untaught(), str(store.path), out=str(tmp_path / "first"), **given)
    second = finetune(first, store, out=tmp_path / "second", **given)
    assert isinstance(first, Path)
    assert load(second).about["finetuned_from"]["finetuned_from"]["store"]["licence"] == ["CC BY 4.0"]
