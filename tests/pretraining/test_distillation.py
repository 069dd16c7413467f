"""A student comes to see as its teacher does, and a stopped lesson goes on where it was."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from aqqua_science.images import ingest
from aqqua_science.pretraining.distillation import _Pupil, distil
from aqqua_science.pretraining.encoders import embeddings, load, whole_patches
from aqqua_science.pretraining.lessons import batches, own_copy
from aqqua_science.pretraining.packing import pack
from aqqua_science.pretraining.vit import ViT
from aqqua_science.schema import SchemaError
from aqqua_science.synthetic import images

MAX_TOKENS = 12
SHORT = {"student": "pico", "steps": 4, "tokens_per_batch": 60, "checkpoint_every": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ingest(images(160, rng=0), tmp_path_factory.mktemp("stores") / "drawn.aqqua")


def untaught(vit="pico", *, kind=ViT):
    torch.manual_seed(1)
    network = kind(vit)
    network.about = {"max_tokens": MAX_TOKENS, "square": None, "licences": ["CC-BY-4.0"]}
    return network.eval()


class Interrupted(ViT):
    """A teacher that is called away at the fourth batch."""

    calls = 0

    def forward(self, packed, *, mask=None):
        Interrupted.calls += 1
        if Interrupted.calls == 4:
            raise KeyboardInterrupt
        return super().forward(packed, mask=mask)


def taught_by_labels(store, *, steps=60):
    """A network that tells taxa apart: its neighbours mean something that no untrained network knows."""
    network, rng = untaught().train(), np.random.default_rng(0)
    codes = torch.from_numpy(store.table["taxon"].factorize()[0])
    facts = store.select("true", columns=["bit_depth", "pixel_size_um"])
    patches = [whole_patches(store[row], network, **facts.loc[row]) for row in range(len(store))]
    head = torch.nn.Linear(network.width, int(codes.max()) + 1)
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=1e-3)
    for _ in range(steps):
        some = sorted(rng.choice(len(store), 24, replace=False), key=lambda row: len(patches[row].values))
        loss = torch.nn.functional.cross_entropy(head(network(pack([patches[r] for r in some])).cls), codes[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def neighbours(features, k=10):
    directions = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -2)
    return [set(row) for row in np.argsort(-cosines, axis=1)[:, :k]]


def overlap(a, b):
    """Mean share of the ten nearest neighbours that two embeddings have in common."""
    return np.mean([len(x & y) / 10 for x, y in zip(neighbours(a), neighbours(b), strict=True)])


@pytest.mark.slow
def test_the_student_finds_the_teachers_neighbours(store, tmp_path):
    teacher = taught_by_labels(store)
    wanted = embeddings(teacher, store)
    fresh = _Pupil("pico", teacher, seed=0).vit.eval()
    fresh.about = teacher.about
    before = overlap(embeddings(fresh, store), wanted)
    out = distil(teacher, store, out=tmp_path / "small", steps=120, tokens_per_batch=200)
    after = overlap(embeddings(load(out), store), wanted)
    assert after > before + 0.15


def test_a_stopped_lesson_ends_as_an_undisturbed_one(store, tmp_path):
    whole = distil(untaught(), store, out=tmp_path / "whole", **SHORT)
    Interrupted.calls = 0
    teacher = untaught(kind=Interrupted)
    with pytest.raises(KeyboardInterrupt):
        distil(teacher, store, out=tmp_path / "stopped", **SHORT)
    assert [p.name for p in (tmp_path / "stopped" / "checkpoints").iterdir()] == ["step-00000002"]
    stopped = distil(teacher, store, out=tmp_path / "stopped", **SHORT)
    one, other = (load_file(out / "encoder" / "encoder.safetensors") for out in (whole, stopped))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (whole / "log.jsonl").read_text() == (stopped / "log.jsonl").read_text()


def test_a_finished_lesson_is_not_given_again(store, tmp_path):
    out = distil(untaught(), store, out=tmp_path / "small", **SHORT)
    before = {path: path.stat().st_mtime_ns for path in (out / "encoder").iterdir()}
    assert distil(untaught(), store, out=out, **SHORT) == out
    assert {path: path.stat().st_mtime_ns for path in (out / "encoder").iterdir()} == before


def test_the_first_loss_is_that_of_single_images(store, tmp_path):
    """1 - cosine of class tokens plus its mean over patches, image by image, from a wider teacher."""
    teacher = own_copy(untaught("small"))
    out = distil(teacher, store, out=tmp_path / "small", steps=1, tokens_per_batch=60, student="pico")
    logged = json.loads((out / "log.jsonl").read_text())
    pupil = _Pupil("pico", teacher, seed=0)
    packed, *_ = next(batches(store, np.arange(len(store)), teacher, tokens_per_batch=60, seed=0, start=0))
    ends = packed.lengths.cumsum(0)
    cls, patches = [], []
    for size, end, pixel_size in zip(packed.lengths.tolist(), ends.tolist(), packed.pixel_size_um, strict=True):
        one = packed._replace(lengths=torch.tensor([size]), pixel_size_um=pixel_size[None])
        one = one._replace(**{n: getattr(one, n)[end - size : end] for n in packed._fields[:5]})
        with torch.inference_mode():
            found, wanted = pupil(one), teacher(one)
        pairs = zip(torch.cat(found).double().numpy(), torch.cat(wanted).double().numpy(), strict=True)
        away = [1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs]
        cls.append(away[0])
        patches.append(np.mean(away[1:]))
    assert logged["cls"] == pytest.approx(np.mean(cls), abs=1e-5)
    assert logged["patches"] == pytest.approx(np.mean(patches), abs=1e-5)
    assert logged["images"] == len(cls)


def test_every_image_comes_once_an_epoch_and_no_batch_is_too_large(store):
    rows = np.arange(5, 60)
    seen, start = [], 0
    while start < 2 * len(rows):
        packed, following, places = next(
            batches(store, rows, own_copy(untaught()), tokens_per_batch=40, seed=3, start=start)
        )
        assert packed.lengths.sum() <= 40
        assert len(packed.lengths) == len(places) == following - start
        assert (packed.lengths.diff() >= 0).all()
        seen += packed.pixel_size_um.tolist()
        start = following
    teacher, facts = untaught(), store.select("true", columns=["bit_depth", "pixel_size_um"])
    sizes = [np.float32(whole_patches(store[int(r)], teacher, **facts.loc[r]).pixel_size_um) for r in rows]
    batch = start - 2 * len(rows)
    counts = {size: seen.count(size) for size in set(seen)}
    assert set(counts) == set(sizes)
    assert all(2 * sizes.count(size) <= n <= 2 * sizes.count(size) + batch for size, n in counts.items())


def test_the_student_says_where_it_comes_from(store, tmp_path):
    teacher = untaught("small")
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    state = torch.get_rng_state()
    out = distil(teacher, store, out=tmp_path / "small", rows=[0, 1, 2], **SHORT)
    assert torch.equal(torch.get_rng_state(), state)
    student = load(out)
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert student.settings == teacher.settings | {"vit": "pico"}
    assert student.about["distilled_from"] == teacher.about
    assert (student.about["max_tokens"], student.about["square"], student.about["step"]) == (MAX_TOKENS, None, 4)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"student": "huge"}, "huge.*nano"),
        ({"tokens_per_batch": 8}, "as many as an image may have"),
        ({"steps": 0}, "got 0 steps"),
        ({"rows": []}, "0 images"),
    ],
)
def test_what_cannot_be_taught_is_refused(store, tmp_path, settings, rule):
    with pytest.raises(SchemaError, match=rule):
        distil(untaught(), store, out=tmp_path / "small", **SHORT | settings)
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize(
    ("settings", "name"), [({"steps": 5}, "steps"), ({"rows": [1, 2]}, "rows"), ({"teacher": "small"}, "teacher")]
)
def test_another_lesson_needs_another_folder(store, tmp_path, settings, name):
    given = SHORT | {"steps": 1}
    out = distil(untaught(), store, out=tmp_path / "small", **given)
    teacher = untaught(settings.get("teacher", "pico"))
    changed = {key: value for key, value in settings.items() if key != "teacher"}
    with pytest.raises(SchemaError, match=rf"{name}: .* before.*another out"):
        distil(teacher, store, out=out, **given | changed)
