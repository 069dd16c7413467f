"""Runs: they learn, stop, go on, and say what is wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from aqqua_science.images import ingest
from aqqua_science.images.shards import StoreError
from aqqua_science.pretraining import PretrainConfig, embeddings, load, pretrain, replay
from aqqua_science.pretraining.runs import Run
from aqqua_science.schema import SchemaError
from aqqua_science.sources.record import Record

SMALL = {
    "vit": "pico", "patch_size": 14, "steps": 6, "tokens_per_batch": 640, "prototypes": 16, "checkpoint_every": 2,
    "registers": 1, "views": {"n_local": 2},
}  # fmt: skip
TIMES = {"images_per_second", "memory_gb"}


def losses(run):
    return run.log.drop(columns=list(TIMES), errors="ignore")


def weights(run):
    return load(run.path).state_dict()


def assert_same(run, other):
    """Same losses and same weights, to the bit."""
    assert losses(run).equals(losses(other))
    assert all(torch.equal(a, b) for a, b in zip(weights(run).values(), weights(other).values(), strict=True))


@pytest.fixture(scope="module")
def undisturbed(drawn, tmp_path_factory):
    return pretrain(drawn, SMALL, out=tmp_path_factory.mktemp("runs") / "undisturbed")


def test_a_run_leaves_what_it_promises(undisturbed):
    log = undisturbed.log
    assert log["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert {"loss", "dino", "ibot", "koleo", "images_per_second", "occupancy", "gradient_norm"} <= {*log.columns}
    assert (log["occupancy"] > 0.8).all()
    assert np.isfinite(log["loss"]).all()
    assert [c.name for c in undisturbed.checkpoints] == ["step-00000004", "step-00000006"]
    assert undisturbed.finished
    assert undisturbed.evaluations["rank_me"].between(1, 96).all()
    told = json.loads((undisturbed.path / "config.json").read_text())
    assert PretrainConfig(**told["config"]) == undisturbed.config


def test_the_loss_is_the_weighted_sum(undisturbed):
    log = undisturbed.log
    np.testing.assert_allclose(log["loss"], log["dino"] + log["ibot"] + 0.1 * log["koleo"], rtol=1e-6)


@pytest.mark.parametrize("stop", [1, 2, 5])
def test_a_stopped_run_goes_on_as_if_nothing_had_been(drawn, undisturbed, tmp_path, stop, monkeypatch):
    from aqqua_science.pretraining.trainer import Trainer

    step = Trainer.step

    def interrupted(self, share):
        if share.number == stop:
            raise KeyboardInterrupt
        return step(self, share)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(drawn, SMALL, out=tmp_path / "run")
    assert_same(pretrain(drawn, SMALL, out=tmp_path / "run"), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.4, 0.9])
def test_a_killed_run_goes_on_to_the_same_bits(drawn, undisturbed, tmp_path, seconds):
    out = tmp_path / "run"
    code = f"from aqqua_science.pretraining import pretrain; pretrain({str(drawn.path)!r}, {SMALL!r}, out={str(out)!r})"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        deadline = time.monotonic() + 120
        while not (out / "log.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    assert_same(pretrain(drawn, SMALL, out=out), undisturbed)


def test_a_finished_run_is_left_alone(drawn, undisturbed):
    before = (undisturbed.path / "log.jsonl").read_bytes()
    pretrain(drawn, SMALL, out=undisturbed.path)
    assert (undisturbed.path / "log.jsonl").read_bytes() == before


@pytest.mark.slow
def test_pieces_of_a_batch_learn_the_same(drawn, tmp_path):
    """KoLeo looks for neighbours within a piece; without it, pieces add up to the whole."""
    told = SMALL | {"precision": "float64", "koleo_weight": 0, "steps": 4}
    runs = [pretrain(drawn, told | {"accumulate": n}, out=tmp_path / str(n)) for n in (1, 3)]
    np.testing.assert_allclose(runs[0].log["loss"], runs[1].log["loss"], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"dino_weight": 0.0}, {"ibot_weight": 0.0}, {"koleo_weight": 0.0}, {"gram_weight": 1.0, "gram_after": 0.3},
        {"positions": "grid"}, {"pixel_size_token": False}, {"registers": 0}, {"views": {"n_local": 0}},
        {"views": {"n_local": 2, "square": 42}}, {"checkpoint_activations": True}, {"precision": "bfloat16"},
        {"guides": {"instrument": {"kind": "adversarial"}, "measured": {"kind": "auxiliary"}}},
        {"optimizer": "muon"}, {"stem": "linear"},
    ],
    ids=lambda s: next(iter(s)),
)  # fmt: skip
def test_every_setting_trains_stops_and_goes_on(drawn, undisturbed, tmp_path, settings):
    told = SMALL | {"steps": 3, "checkpoint_every": 2} | settings
    whole = pretrain(drawn, told, out=tmp_path / "whole")
    assert np.isfinite(whole.log["loss"]).all()
    checkpoint = whole.checkpoints[0]
    other = tmp_path / "again"
    (other / "checkpoints").mkdir(parents=True)
    checkpoint.rename(other / "checkpoints" / checkpoint.name)
    again = pretrain(drawn, told, out=other)
    assert again.log["step"].tolist() == [3]
    assert again.log["loss"].iloc[-1] == whole.log["loss"].iloc[-1]
    if set(settings) != {"checkpoint_activations"}:
        assert not np.allclose(whole.log["loss"].iloc[:3], undisturbed.log["loss"].iloc[:3], atol=1e-7)


@pytest.mark.slow
def test_a_run_learns_to_tell_views_of_an_image(drawn, tmp_path):
    told = SMALL | {"steps": 40, "checkpoint_every": 40, "learning_rate": 2e-3, "koleo_weight": 0.05}
    log = pretrain(drawn, told, out=tmp_path / "run").log
    assert log["ibot"].iloc[-5:].mean() < 0.97 * log["ibot"].iloc[:5].mean()


def test_another_seed_learns_something_else(drawn, undisturbed, tmp_path):
    other = pretrain(drawn, SMALL | {"seed": 1, "steps": 1}, out=tmp_path / "run")
    assert other.log["loss"].iloc[0] != undisturbed.log["loss"].iloc[0]


def test_other_settings_for_a_begun_run_are_refused(drawn, undisturbed):
    with pytest.raises(SchemaError, match=r"steps: 6 before, 7 now"):
        pretrain(drawn, SMALL | {"steps": 7}, out=undisturbed.path)
    assert pretrain(drawn, SMALL | {"keep_checkpoints": 3}, out=undisturbed.path).config.keep_checkpoints == 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lerning_rate": 1}, r"lerning_rate is no setting. Did you mean 'learning_rate'\?"),
        ({"views": {"rotat": True}}, r"views.rotat is no setting. Did you mean 'rotate'\?"),
        ({"steps": 0}, "steps: .*greater than or equal to 1; got 0"),
        ({"vit": "giant"}, "vit: .*'nano'.*got 'giant'"),
        ({"dino_weight": 0, "ibot_weight": 0}, "nothing would be learned"),
        ({"max_tokens": 900}, "cannot hold the views of one large image"),
        ({"views": {"global_area": (0.9, 0.1)}}, "lower, upper"),
        ({"guides": {"instrumnt": {"kind": "adversarial"}}}, "instrumnt"),
        ({"device": "cuda"}, "no GPU is seen here"),
    ],
    ids=lambda v: str(next(iter(v))) if isinstance(v, dict) else "",
)
def test_wrong_settings_are_named(drawn, tmp_path, settings, said):
    if "device" in settings and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises((SchemaError, ValueError), match=said):
        pretrain(drawn, SMALL | settings, out=tmp_path / "run")


def test_a_damaged_checkpoint_is_named(drawn, tmp_path):
    run = pretrain(drawn, SMALL | {"steps": 2}, out=tmp_path / "run")
    (run.path / "encoder" / "encoder.safetensors").unlink()
    file = run.checkpoints[-1] / "student.safetensors"
    file.write_bytes(file.read_bytes()[:1_000])
    with pytest.raises(StoreError, match=r"step-00000002 cannot be read.*Remove its folder"):
        pretrain(drawn, SMALL | {"steps": 2}, out=tmp_path / "run")


def test_a_step_that_is_not_finite_is_kept_for_replay(drawn, tmp_path, monkeypatch):
    from aqqua_science.pretraining import trainer

    monkeypatch.setattr(trainer.schedules, "learning_rate", lambda step, config: 1e30 if step == 1 else 1e-3)
    with pytest.raises(FloatingPointError, match=r"step 2 .*no longer finite.*replay"):
        pretrain(drawn, SMALL, out=tmp_path / "run")
    found = replay(tmp_path / "run")
    assert not found["finite"].any()
    assert (found["first"] != "none").all()
    assert set(found.index) <= set(range(len(drawn)))
    assert Run(tmp_path / "run").log["step"].tolist() == [1, 2]


def test_a_run_that_did_not_fail_has_nothing_to_replay(undisturbed):
    with pytest.raises(StoreError, match="has not failed"):
        replay(undisturbed.path)


def record(i, pixels, instrument="UVP6"):
    told = {"object_id": str(i), "time": "2024-01-01", "latitude": 0, "longitude": 0, "depth": 1, "licence": "CC0-1.0"}
    return Record(str(i), lambda: pixels, told | {"pixel_size_um": 10, "instrument": instrument}, {"id": str(i)})


@pytest.mark.parametrize(
    "pixels",
    [
        lambda i: np.zeros((40, 40), np.uint8),
        lambda i: np.full((1, 1), i % 256, np.uint8),
        lambda i: np.full((1, 900), i % 256, np.uint8),
        lambda i: np.random.default_rng(i).integers(0, 2**12, (30, 30, 2)).astype(np.uint16),
    ],
    ids=["all black", "one pixel", "one row", "two channels"],
)
def test_odd_images_train(tmp_path, pixels):
    store = ingest([record(i, pixels(i)) for i in range(12)], tmp_path / "odd.aqqua")
    run = pretrain(store, SMALL | {"steps": 2}, out=tmp_path / "run")
    assert np.isfinite(run.log["loss"]).all()
    assert np.isfinite(embeddings(load(run.path), store)).all()


def test_one_image_is_enough_to_begin(tmp_path):
    store = ingest([record(0, np.random.default_rng(0).integers(0, 255, (50, 60), np.uint8))], tmp_path / "one.aqqua")
    run = pretrain(store, SMALL | {"steps": 2}, out=tmp_path / "run")
    assert run.log["epoch"].iloc[-1] >= 1


def test_a_run_begins_from_another(drawn, undisturbed, tmp_path):
    told = SMALL | {"steps": 1, "learning_rate": 1e-12, "start": str(undisturbed.path)}
    begun = pretrain(drawn, told, out=tmp_path / "run")
    theirs = weights(undisturbed)
    for name, tensor in weights(begun).items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-6, rtol=0)
    with pytest.raises(SchemaError, match="Make them agree"):
        pretrain(drawn, told | {"vit": "tiny"}, out=tmp_path / "other")


def test_a_draw_says_what_is_trained_on(drawn, tmp_path):
    import pandas as pd

    pd.DataFrame({"row": [3, 5, 8]}).to_parquet(tmp_path / "draw.parquet")
    run = pretrain(drawn, SMALL | {"steps": 1}, out=tmp_path / "run", draw=tmp_path / "draw.parquet")
    assert run.log["epoch"].iloc[0] >= 0
    assert run.about["draw"].endswith("draw.parquet")
    with pytest.raises(SchemaError, match="cannot be read"):
        pretrain(drawn, SMALL, out=tmp_path / "none", draw=tmp_path / "nothing.parquet")


def test_embeddings_keep_the_order_of_rows(drawn, undisturbed):
    vit = load(undisturbed.path)
    whole = embeddings(vit, drawn)
    rows = np.array([17, 3, 40])
    np.testing.assert_allclose(embeddings(vit, drawn, rows, tokens_per_batch=64), whole[rows], atol=1e-5)


def test_damaged_encoders_are_refused(undisturbed, tmp_path):
    file = tmp_path / "encoder.safetensors"
    file.write_bytes((undisturbed.path / "encoder" / "encoder.safetensors").read_bytes()[:-7])
    with pytest.raises(StoreError, match="no encoder of this package, or it is damaged"):
        load(file)


def test_half_precision_trains_with_an_anchor(drawn, tmp_path):
    told = SMALL | {"steps": 3, "precision": "bfloat16", "gram_weight": 1.0, "gram_after": 0.3}
    log = pretrain(drawn, told, out=tmp_path / "run").log
    assert np.isfinite(log["gram"].iloc[-1])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch compiles with g++")
@pytest.mark.filterwarnings("default")  # PyTorch's compiler warns of itself
def test_compiled_it_learns_the_same(drawn, tmp_path):
    from torch._dynamo.utils import counters

    counters.clear()
    nano = SMALL | {"vit": "nano"}  # smaller networks swing more from what rounding leaves
    plain, compiled = (
        pretrain(drawn, nano | {"compile": compile_it}, out=tmp_path / str(compile_it)) for compile_it in (False, True)
    )
    assert counters["frames"]["ok"] >= 2
    assert np.allclose(compiled.log["loss"], plain.log["loss"], rtol=1e-3)
    assert np.allclose(embeddings(load(compiled.path), drawn), embeddings(load(plain.path), drawn), atol=1e-2)


def test_out_of_memory_is_told_with_its_remedy_and_nothing_is_lost(drawn, undisturbed, tmp_path, monkeypatch):
    from aqqua_science.pretraining.trainer import Trainer

    step = Trainer.step

    def greedy(self, share):
        if share.number == 3:
            torch.empty(2**46)
        return step(self, share)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", greedy)
        with pytest.raises(MemoryError, match=r"640 tokens\. Raise accumulate"):
            pretrain(drawn, SMALL, out=tmp_path / "run")
    assert_same(pretrain(drawn, SMALL, out=tmp_path / "run"), undisturbed)


def test_the_encoder_tells_what_it_was_guided_by(drawn, tmp_path):
    told = SMALL | {"steps": 1, "guides": {"measured": {"kind": "auxiliary"}, "instrument": {"kind": "adversarial"}}}
    run = pretrain(drawn, told, out=tmp_path / "run")
    guides = load(run.path).about["guides"]
    assert set(guides["instrument"]["classes"]) == set(drawn.table["instrument"])
    assert len(guides["measured"]["mean"]) == 92


def test_a_failed_step_with_guides_and_a_draw_is_replayed(drawn, tmp_path, monkeypatch):
    import pandas as pd

    from aqqua_science.pretraining import trainer

    pd.DataFrame({"row": [3, 5, 5, 8, 20, 40]}).to_parquet(tmp_path / "draw.parquet")
    guides = {"measured": {"kind": "auxiliary"}, "instrument": {"kind": "adversarial"}, "esd_um": {"kind": "auxiliary"}}
    monkeypatch.setattr(trainer.schedules, "learning_rate", lambda step, config: 1e30 if step == 0 else 1e-3)
    with pytest.raises(FloatingPointError, match="no longer finite"):
        pretrain(drawn, SMALL | {"guides": guides}, out=tmp_path / "run", draw=tmp_path / "draw.parquet")
    found = replay(tmp_path / "run")
    assert set(found.index) <= {3, 5, 8, 20, 40}
    assert (found["first"] != "none").all()


def test_a_draw_of_images_that_are_not_there_is_refused(drawn, tmp_path):
    import pandas as pd

    pd.DataFrame({"row": [3, 5_000]}).to_parquet(tmp_path / "draw.parquet")
    with pytest.raises(SchemaError, match="no image 5000"):
        pretrain(drawn, SMALL, out=tmp_path / "run", draw=tmp_path / "draw.parquet")


def test_other_images_for_a_begun_run_are_refused(drawn, tmp_path):
    store = drawn.subset(slice(0, 20), to=tmp_path / "some.aqqua")
    pretrain(store, SMALL | {"steps": 1}, out=tmp_path / "run")
    moved = store.path.rename(tmp_path / "moved.aqqua")
    pretrain(moved, SMALL | {"steps": 1}, out=tmp_path / "run")
    other = drawn.subset(slice(0, 21), to=tmp_path / "other.aqqua")
    with pytest.raises(SchemaError, match="the store or the draw holds others than before"):
        pretrain(other, SMALL | {"steps": 1}, out=tmp_path / "run")


@pytest.mark.parametrize("name", ["nowhere", "junk.safetensors", "junk.pth"])
def test_weights_to_begin_from_that_cannot_be_read_are_named(drawn, tmp_path, name):
    if name != "nowhere":
        (tmp_path / name).write_bytes(b"junk that is no tensor")
    with pytest.raises(StoreError, match=f"{name} cannot be read"):
        pretrain(drawn, SMALL | {"start": str(tmp_path / name)}, out=tmp_path / "run")


def test_a_file_is_no_run(drawn, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SchemaError, match="is a file; a run is a folder"):
        pretrain(drawn, SMALL, out=tmp_path / "file")


def test_training_leaves_the_users_chance_alone(drawn, tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    pretrain(drawn, SMALL | {"steps": 1}, out=tmp_path / "run")
    assert torch.equal(torch.rand(3), expected)


def test_an_encoder_carries_licence_and_credit(undisturbed, drawn):
    told = json.loads((undisturbed.path / "encoder" / "encoder.json").read_text())
    assert told["store"]["licence"] == drawn.about["licence"] == ["CC0-1.0"]
    assert told["store"]["sources"] == ["records"]
    assert {"citation", "contributors"} <= set(told["store"])
    assert load(undisturbed.path).about == told


def test_guides_know_classes_of_images_that_were_not_measured(drawn, monkeypatch):
    from aqqua_science.pretraining import training

    guides = {"taxon": {"kind": "auxiliary"}, "measured": {"kind": "auxiliary"}}
    config = PretrainConfig(**(SMALL | {"guides": guides}))
    monkeypatch.setattr(training, "EVALUATED", 4)
    heads = training.guide_heads(drawn, training.facts(drawn, columns=guides), config)
    counts = drawn.table["taxon"].value_counts()
    assert heads.describe()["taxon"]["classes"] == sorted(counts.index[counts > 1])
