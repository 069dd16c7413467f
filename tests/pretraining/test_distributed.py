"""Two processes learn what one learns from the same batches."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from aqqua_science.pretraining import PretrainConfig, load, pretrain
from aqqua_science.pretraining.runs import Run, write_config

TOLD = {
    "vit": "pico", "patch_size": 14, "steps": 20, "tokens_per_batch": 640, "prototypes": 16, "registers": 1,
    "checkpoint_every": 10, "precision": "float64", "views": {"n_local": 2}, "mask_probability": 0.5,
    "guides": {"instrument": {"kind": "adversarial"}, "esd_um": {"kind": "auxiliary"}},
}  # fmt: skip


def torchrun(store, out, **settings):
    """A run in two gloo processes, as a node starts it."""
    config = write_config(out, store=store.path, config=PretrainConfig(**(TOLD | settings)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "aqqua_science.pretraining", str(config)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1_200, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    return Run(out)


SHORT = {"steps": 6, "checkpoint_every": 3}


@pytest.fixture(scope="module")
def alone(drawn, tmp_path_factory):
    return pretrain(drawn, TOLD, out=tmp_path_factory.mktemp("runs") / "alone")


@pytest.fixture(scope="module")
def shortly(drawn, tmp_path_factory):
    return pretrain(drawn, TOLD | SHORT, out=tmp_path_factory.mktemp("runs") / "shortly")


def drop_last_checkpoint(run):
    """As if the run had been killed after the one before."""
    first, last = sorted((run / "checkpoints").iterdir())
    assert json.loads((first / "state.json").read_text())["step"] == SHORT["checkpoint_every"]
    shutil.rmtree(last)


def assert_close(run, other, *, tolerance):
    for name in ("loss", "dino", "ibot", "koleo", "guide_instrument", "guide_esd_um", "gradient_norm"):
        np.testing.assert_allclose(run.log[name], other.log[name], rtol=0, atol=tolerance, err_msg=name)
    theirs = load(other.path).state_dict()
    for name, tensor in load(run.path).state_dict().items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_equal_one_with_the_double_batch(drawn, alone, tmp_path, strategy):
    together = torchrun(drawn, tmp_path / "run", strategy=strategy)
    assert len(together.log) == 20
    assert together.log["images"].tolist() == alone.log["images"].tolist()
    assert_close(together, alone, tolerance=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_run_of_two_goes_on_alone_and_the_other_way_round(drawn, shortly, tmp_path, strategy):
    together, parted = tmp_path / "together", tmp_path / "parted"
    torchrun(drawn, together, strategy=strategy, **SHORT)
    drop_last_checkpoint(together)
    assert_close(pretrain(drawn, TOLD | SHORT, out=together), shortly, tolerance=1e-6)
    shutil.copytree(shortly.path, parted)
    drop_last_checkpoint(parted)
    assert_close(torchrun(drawn, parted, strategy=strategy, **SHORT), shortly, tolerance=1e-6)


@pytest.mark.slow
def test_two_processes_with_half_precision_and_pieces(drawn, tmp_path):
    run = torchrun(
        drawn,
        tmp_path / "run",
        steps=2,
        tokens_per_batch=1_024,
        precision="bfloat16",
        accumulate=2,
        strategy="fsdp",
        guides={},
    )
    assert np.isfinite(run.log["loss"]).all()
