"""Runs as jobs: what would stop them is told first; they train, are stopped, go on, and are found again."""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from aqqua_science.images import ingest, open_store
from aqqua_science.images.shards import StoreError
from aqqua_science.pretraining.checks import CHECKS, preflight
from aqqua_science.pretraining.cluster import JOB, JOBS, Job, Torchrun, submit
from aqqua_science.pretraining.config import PretrainConfig
from aqqua_science.pretraining.memory import memory_needed
from aqqua_science.pretraining.runs import CONFIG, LOG, Run, append_line, write_config
from aqqua_science.schema import SchemaError
from aqqua_science.synthetic import images

SMALL = {"vit": "pico", "steps": 6, "tokens_per_batch": 512, "max_tokens": 32, "prototypes": 16, "checkpoint_every": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ingest(images(24, rng=0, instruments=["UVP6"]), tmp_path_factory.mktemp("store") / "drawn.aqqua")


def faults(*arguments, **options):
    """Name -> (detail, remedy) of the checks that fail."""
    found = preflight(*arguments, **options)
    assert found["name"].tolist() == list(CHECKS)
    assert ((found["remedy"] == "") == found["ok"]).all()
    bad = found[~found["ok"]].set_index("name")
    return {name: (row["detail"], row["remedy"]) for name, row in bad.iterrows()}


def test_a_sound_run_passes_and_nothing_is_written(store, tmp_path):
    assert faults(store, SMALL, out=tmp_path / "run", processes=2) == {}
    assert not (tmp_path / "run").exists()


def test_the_page_lists_every_check():
    page = Path(__file__).parents[2] / "docs" / "cluster.md"
    table = page.read_text(encoding="utf-8").split("| check | asks |")[1].split("\n\n")[0]
    heads = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    listed = [name for head in heads for name in re.findall(r"`([a-z ]+)`", head)]
    assert listed == list(CHECKS)


def test_a_store_that_is_damaged_is_told(store, tmp_path):
    copy = store.subset(slice(None), to=tmp_path / "copy")
    (file,) = (copy.path / "images").glob("*.lmdb")
    content = bytearray(file.read_bytes())
    content[-5000] ^= 255
    file.write_bytes(content)
    assert "changed" in faults(copy.path, SMALL, out=tmp_path / "run")["files"][0]
    assert "files" not in faults(copy.path, SMALL, out=tmp_path / "run", checksums=False)


def test_an_image_without_pixel_size_is_told(store, tmp_path):
    copy = store.subset(slice(None), to=tmp_path / "copy")
    (file,) = (copy.path / "metadata").glob("*.parquet")
    table = pd.read_parquet(file)
    table.loc[3, "pixel_size_um"] = None
    table.to_parquet(file)
    detail, remedy = faults(copy.path, SMALL, out=tmp_path / "run", checksums=False)["pixel size"]
    assert "1 images have none, such as row 3" in detail
    assert "--default pixel_size_um" in remedy


@pytest.mark.parametrize(
    ("settings", "name", "told"),
    [
        ({"label": "taxa"}, "columns", "no column taxa"),
        ({"guides": {"salinity": {"kind": "auxiliary"}}}, "columns", "no column salinity"),
        ({"start": "nowhere/encoder.safetensors"}, "start", "nowhere"),
        ({"accumulate": 50}, "batch", "Raise tokens_per_batch"),
        ({"stepps": 3}, "configuration", "Did you mean 'steps'"),
    ],
)
def test_a_setting_that_cannot_work_is_told(store, tmp_path, settings, name, told):
    found = faults(store, SMALL | settings, out=tmp_path / "run")
    assert told in found[name][0]


def test_memory_is_held_against_the_formula(store, tmp_path):
    config = SMALL | {"vit": "large"}
    least = memory_needed(PretrainConfig(**config), images=1)["total"] / 1e9
    detail, remedy = faults(store, config, out=tmp_path / "run", memory_gb=least)["memory"]
    assert f"of {least:.1f} GB" in detail
    assert "checkpoint_activations" in remedy
    assert "memory" not in faults(store, config, out=tmp_path / "run", memory_gb=3 * least)


def test_gpus_that_torch_does_not_know_are_told(store, tmp_path):
    import torch

    if torch.version.cuda or torch.version.hip:
        pytest.skip("this torch knows GPUs")
    assert "no GPU" in faults(store, SMALL, out=tmp_path / "run", gpus=4)["torch"][1]


def test_a_folder_of_something_else_or_of_another_run_is_refused(store, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    assert "notes.txt" in faults(store, SMALL, out=tmp_path / "mine")["folder"][0]
    write_config(tmp_path / "run", store=store.path, config=PretrainConfig(**SMALL))
    assert faults(store, SMALL | {"workers": 1}, out=tmp_path / "run") == {}
    assert "steps" in faults(store, SMALL | {"steps": 7}, out=tmp_path / "run")["folder"][0]
    (tmp_path / "file").touch()
    assert "is a file" in faults(store, SMALL, out=tmp_path / "file" / "run")["folder"][0]


def test_a_draw_is_looked_into(store, tmp_path):
    pd.DataFrame({"row": [0, 5, 5]}).to_parquet(tmp_path / "draw.parquet")
    found = preflight(store, SMALL, out=tmp_path / "run", draw=tmp_path / "draw.parquet").set_index("name")
    assert found.loc["draw", "detail"] == "2 draws"
    pd.DataFrame({"row": [24]}).to_parquet(tmp_path / "draw.parquet")
    assert "no image 24" in faults(store, SMALL, out=tmp_path / "run", draw=tmp_path / "draw.parquet")["draw"][0]


def test_submit_refuses_what_would_fail_and_starts_nothing(store, tmp_path):
    with pytest.raises(SchemaError, match=r"columns: the store has no column taxa. Set label"):
        submit(store, SMALL | {"label": "taxa"}, out=tmp_path / "run", gpus=0, cluster="local")
    assert not (tmp_path / "run").exists()
    found = submit(store, SMALL | {"label": "taxa"}, out=tmp_path / "run", gpus=0, cluster="local", dry_run=True)
    assert found.loc[~found["ok"], "name"].tolist() == ["columns"]


def test_one_machine_is_one_node(store, tmp_path):
    with pytest.raises(ValueError, match="Set nodes=1"):
        submit(store, SMALL, out=tmp_path / "run", nodes=2, gpus=0, cluster="local")
    with pytest.raises(ValueError, match="'pbs'"):
        submit(store, SMALL, out=tmp_path / "run", gpus=0, cluster="pbs")


def test_a_run_that_was_not_submitted_is_no_job(store, tmp_path):
    write_config(tmp_path / "run", store=store.path, config=PretrainConfig(**SMALL))
    with pytest.raises(StoreError, match="was not submitted"):
        Job(tmp_path / "run")


SLURM = {
    "srun": "exit 0",
    "sbatch": 'cp "$1" "$SLURM_TEST/batch.sh"; echo "Submitted batch job 4242"',
    "sacct": 'echo "JobID|State|NodeList"; echo "4242|$(cat "$SLURM_TEST/state")|"',
    "scancel": 'echo "CANCELLED by 1000" > "$SLURM_TEST/state"',
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands by Slurm's names that keep what they were given; returns their folder."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, body in SLURM.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    (folder / "state").write_text("PENDING")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_TEST", str(folder))
    return folder


def test_slurm_is_asked_for_what_was_told(store, tmp_path, slurm):
    job = submit(
        store, SMALL, out=tmp_path / "run", nodes=2, gpus=0, processes=2, cpus=38, hours=1.5, partition="accelerated",
        account="hk-project", constraint="LSDF", additional_parameters={"reservation": "course"},
    )  # fmt: skip
    asked = (slurm / "batch.sh").read_text()
    for line in (
        "nodes=2", "ntasks-per-node=1", "cpus-per-task=38", "time=90", "partition=accelerated", "account=hk-project",
        "constraint=LSDF", "reservation=course", "signal=USR2@90", "job-name=aqqua-run",
    ):  # fmt: skip
        assert f"#SBATCH --{line}\n" in asked
    assert (job.id, job.state, Job(tmp_path / "run").state) == ("4242", "PENDING", "PENDING")
    assert Run(tmp_path / "run").config == PretrainConfig(**SMALL)
    with pytest.raises(SchemaError, match="job 4242 is already at work"):
        submit(store, SMALL, out=tmp_path / "run", nodes=2, gpus=0, processes=2)
    job.cancel()
    assert Job(tmp_path / "run").state == "CANCELLED"


def test_the_nodes_of_a_job_meet_at_the_first(monkeypatch):
    for name, value in {"JOB_ID": "4242", "JOB_NODELIST": "hkn[0401-0402]", "NODEID": "1", "PROCID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    command = Torchrun(Path("run/config.json"), nodes=2, processes=4, cpus=64).command()
    assert command[:4] == [sys.executable, "-m", "torch.distributed.run", "--nnodes=2"]
    assert {"--nproc-per-node=4", "--rdzv-backend=c10d", "--rdzv-endpoint=hkn0401:24242"} <= set(command)
    assert command[-3:] == ["-m", "aqqua_science.pretraining", "run/config.json"]


def test_a_long_log_is_followed_from_its_last_part(store, tmp_path):
    write_config(tmp_path, store=store.path, config=PretrainConfig(**SMALL))
    (tmp_path / JOBS).mkdir()
    (tmp_path / JOBS / JOB).write_text(json.dumps({"id": "999999999", "cluster": "local"}))
    (tmp_path / JOBS / "999999999_0_log.out").write_text("begun\nno newline")
    for step in range(1, 6001):
        append_line(tmp_path / LOG, {"step": step, "loss": 1.5, "images_per_second": 20.0})
    lines = list(Job(tmp_path).follow())
    assert lines[:2] == ["begun", "no newline"]
    assert lines[-1] == "step 6,000: loss 1.500, 20 images/s"
    assert 1000 < len(lines) < 6002
    assert Job(tmp_path).state == "FAILED"


@pytest.fixture
def start():
    """Submit to this machine; whatever is still at work after the test is ended."""
    jobs = []

    def begin(*arguments, **options):
        jobs.append(submit(*arguments, gpus=0, cluster="local", **options))
        return jobs[-1]

    yield begin
    for job in jobs:
        if job.state == "RUNNING":
            job.cancel()
            job.wait()


@pytest.mark.slow
def test_two_processes_train_as_one_does(store, tmp_path, start):
    """The same call as for Slurm: torchrun, two processes, gloo; its log is that of one process."""
    from aqqua_science.pretraining.training import pretrain

    settings = SMALL | {"precision": "float64", "steps": 3}
    job = start(store, settings, out=tmp_path / "job", processes=2, cpus=2)
    assert job.state == "RUNNING"
    assert Job(tmp_path / "job").state == "RUNNING"
    told = list(job.follow())
    assert (job.wait(), job.state, job.finished) == ("COMPLETED", "COMPLETED", True)
    assert any(line.startswith("step 3: loss") for line in told)
    assert "Job completed" in job.output
    alone = pretrain(store, settings, out=tmp_path / "alone")
    assert job.log["loss"].to_numpy() == pytest.approx(alone.log["loss"].to_numpy(), rel=1e-9)
    assert json.loads((tmp_path / "job" / CONFIG).read_text()) == json.loads((tmp_path / "alone" / CONFIG).read_text())


def children(pid):
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descendants(pid):
    return [n for child in children(pid) for n in (child, *descendants(child))]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_a_job_that_runs_out_of_time_goes_on_by_itself(store, tmp_path, start):
    """Slurm's signal reaches every process of a job; the log is that of a run that was not disturbed."""
    job = start(store, SMALL | {"steps": 20}, out=tmp_path / "run", processes=2, cpus=2)
    wait_until(lambda: len(job.checkpoints) > 0)
    for pid in descendants(int(job.id)):
        os.kill(pid, signal.SIGUSR2)
    assert job.wait() == "COMPLETED"
    assert job.log["step"].tolist() == list(range(1, 21))
    assert "Requeued" in job.output


@pytest.mark.slow
def test_a_cancelled_job_leaves_no_process_and_goes_on_when_asked(store, tmp_path, start):
    settings = SMALL | {"steps": 40}
    job = start(store, settings, out=tmp_path / "run", cpus=1)
    wait_until(lambda: len(job.checkpoints) > 0)
    started = descendants(int(job.id))
    job.cancel()
    assert job.wait() == "CANCELLED"
    wait_until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in started))
    again = start(store, settings, out=tmp_path / "run", cpus=1)
    assert again.wait() == "COMPLETED"
    assert again.log["step"].tolist() == list(range(1, 41))


@pytest.mark.slow
def test_a_job_that_fails_says_why(store, tmp_path, start):
    copy = open_store(store.path).subset(slice(None), to=tmp_path / "copy")
    job = start(copy, SMALL, out=tmp_path / "run", cpus=1, checksums=False)
    (copy.path / "dataset.json").unlink()
    assert job.wait() == "FAILED"
    assert "is no store" in job.output


def wait_until(condition, *, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
