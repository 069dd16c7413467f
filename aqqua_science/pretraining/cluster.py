"""Pretraining as a job: on the nodes of a Slurm cluster, or in the background of this machine."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import submitit
from submitit.local.local import LocalJob
from submitit.slurm.slurm import SlurmJob

from aqqua_science.files import write_json
from aqqua_science.images import open_store
from aqqua_science.images.shards import StoreError
from aqqua_science.pretraining.checks import preflight
from aqqua_science.pretraining.config import read_config
from aqqua_science.pretraining.runs import CONFIG, LOG, Run
from aqqua_science.pretraining.training import prepare
from aqqua_science.schema import SchemaError

JOBS = "jobs"
JOB = "job.json"
ACTIVE = {"PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD", "COMPLETING", "UNKNOWN"}
"""States of a job that has not ended."""
TIMEOUTS = 1_000
"""Times that a job may run out of time and be queued again: each goes on where the last stopped."""
TAIL_BYTES = 2**18
GRACE_S = 60
"""Seconds that processes have to end by themselves."""


def submit(
    store, config, *, out, draw=None, nodes=1, gpus=1, processes=None, cpus=8, hours=24.0, partition=None,
    account=None, memory_gb=None, checksums=True, cluster="auto", dry_run=False, **slurm,
):  # fmt: skip
    """
    Pretrain as a job: on a Slurm cluster, or in the background of this machine.

    Each node runs ``torchrun -m aqqua_science.pretraining OUT/config.json``. A job that runs out of time is queued
    again by itself and goes on at its last checkpoint; so does the same call after a failure.

    Parameters
    ----------
    store : ImageStore, str or pathlib.Path
        On a disk that the nodes reach by the same path, as `out` must be.
    config : PretrainConfig, dict, str or pathlib.Path
    out : str or pathlib.Path
        Folder of the run.
    draw : str or pathlib.Path, optional
        Table of the images to draw from, with a column `row`.
    nodes : int
    gpus : int
        On each node; 0 to train on processors.
    processes : int, optional
        On each node; one for each GPU by default.
    cpus : int
        Cores on each node.
    hours : float
        After which the job is stopped and queued again.
    partition, account : str, optional
        Of the cluster.
    memory_gb : float, optional
        Memory of a GPU (of a node where `gpus` is 0), for the check by the formula.
    checksums : bool
        Whether the check reads every file of the store.
    cluster : {"auto", "slurm", "local"}
        Slurm where it is installed, by default.
    dry_run : bool
        Look for what would stop the run, and start nothing.
    **slurm
        Other options of sbatch, with underscores: ``constraint="h100"``, ``mem="400G"``, ``qos="long"``.

    Returns
    -------
    Job, or pandas.DataFrame
        With `dry_run`, what `preflight` found.

    Raises
    ------
    SchemaError
        If `preflight` finds that the run would fail, or a job is at work there; it tells the remedies.

    Examples
    --------
    >>> found = submit("nowhere.aqqua", {"steps": 10}, out="run", gpus=0, dry_run=True)
    >>> bool(found["ok"].all())
    False
    """
    out, processes = Path(out).absolute(), processes or max(1, gpus)
    kind = _cluster(cluster, nodes)
    found = preflight(
        store, config, out=out, draw=draw, nodes=nodes, gpus=gpus, processes=processes,
        memory_gb=memory_gb, checksums=checksums,
    )  # fmt: skip
    if dry_run:
        return found
    _refuse_faults(found)
    _refuse_second_job(out)
    prepare(open_store(getattr(store, "path", store)), read_config(config), out=out, draw=draw)
    executor = submitit.AutoExecutor(out / JOBS, cluster=kind, **{f"{kind}_max_num_timeout": TIMEOUTS})
    executor.update_parameters(
        name=f"aqqua-{out.name}", nodes=nodes, tasks_per_node=1, gpus_per_node=gpus, cpus_per_task=cpus,
        timeout_min=max(1, round(hours * 60)), stderr_to_stdout=True,
    )  # fmt: skip
    if kind == "slurm":
        asked = {"partition": partition, "account": account, **slurm}
        executor.update_parameters(**{f"slurm_{name}": value for name, value in asked.items() if value is not None})
    with _interruptible():
        handle = executor.submit(Torchrun(out / CONFIG, nodes=nodes, processes=processes, cpus=cpus))
    write_json({"id": handle.job_id, "cluster": kind}, out / JOBS / JOB)
    return Job(out, handle=handle)


def _cluster(name, nodes):
    """Where to run: slurm or local."""
    known = {"auto", "slurm", "local"}
    if name not in known:
        msg = f"cluster is one of {', '.join(sorted(known))}; got {name!r}."
        raise ValueError(msg)
    kind = name if name != "auto" else "slurm" if shutil.which("sbatch") else "local"
    if kind == "local" and nodes != 1:
        msg = f"this machine is one node; got nodes={nodes}. Set nodes=1, or submit where Slurm is installed."
        raise ValueError(msg)
    return kind


@contextlib.contextmanager
def _interruptible():
    """What a shell starts in the background ignores interrupts, and so would its jobs: they could not be cancelled."""
    deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread()
    if deaf:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if deaf:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _refuse_faults(found):
    bad = found[~found["ok"]]
    if len(bad):
        told = " ".join(f"{row.name}: {row.detail}. {row.remedy}." for row in bad.itertuples(index=False))
        msg = f"the run would fail, so nothing was started. {told}"
        raise SchemaError(msg)


def _refuse_second_job(out):
    """Two jobs that write one run would spoil it."""
    if not (out / JOBS / JOB).exists():
        return
    job = Job(out)
    if job.state in ACTIVE - {"UNKNOWN"}:
        msg = f"job {job.id} is already at work in {out} ({job.state}). Wait for it, or cancel it: Job({str(out)!r})."
        raise SchemaError(msg)


class Torchrun:
    """
    What a node does: start one training process for each device, and pass on how they end.

    Parameters
    ----------
    file : pathlib.Path
        `config.json` of the run.
    nodes, processes, cpus : int
        Nodes, and processes and cores on each.
    """

    def __init__(self, file, *, nodes, processes, cpus):
        self.file, self.nodes, self.processes, self.cpus = file, nodes, processes, cpus
        self._running = None

    def __call__(self):
        """Train until the processes end."""
        threads = {"OMP_NUM_THREADS": str(max(1, self.cpus // self.processes))} | dict(os.environ)
        # The signal that time is nearly up goes to every process of a node; it is for the one that queues again.
        self._running = subprocess.Popen(self.command(), env=threads, preexec_fn=_ignore_warning)
        try:
            # Not wait(): it holds a lock for which `checkpoint`, called by the signal in its midst, would wait in vain.
            while (code := self._running.poll()) is None:
                time.sleep(0.5)
        finally:
            self._stop()
        if code:
            msg = f"torchrun ended with exit code {code}; what its processes said is in the log."
            raise RuntimeError(msg)

    def command(self):
        """
        Spell out the call of torchrun.

        Returns
        -------
        list of str
        """
        meet = ["--standalone"] if self.nodes == 1 else _meeting_place(submitit.JobEnvironment())
        return [
            sys.executable, "-m", "torch.distributed.run", f"--nnodes={self.nodes}",
            f"--nproc-per-node={self.processes}", "--max-restarts=0", *meet,
            "-m", "aqqua_science.pretraining", str(self.file),
        ]  # fmt: skip

    def checkpoint(self):
        """
        Say what to do when time is up: end the processes, and do the same again.

        Returns
        -------
        submitit.helpers.DelayedSubmission
        """
        self._stop()
        again = Torchrun(self.file, nodes=self.nodes, processes=self.processes, cpus=self.cpus)
        return submitit.helpers.DelayedSubmission(again)

    def _stop(self):
        """End the processes, at first politely."""
        process = self._running
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _ignore_warning():
    signal.signal(submitit.JobEnvironment._usr_sig(), signal.SIG_IGN)


def _meeting_place(environment):
    """Where the nodes of a job find one another: a port of the first, the same for all."""
    number = int("".join(filter(str.isdigit, environment.job_id)))
    return [
        "--rdzv-backend=c10d",
        f"--rdzv-id={environment.job_id}",
        f"--rdzv-endpoint={environment.hostnames[0]}:{20_000 + number % 20_000}",
    ]


class Job(Run):
    """
    A run that a job works on, by its folder: found again from any session with `Job(path)`.

    Parameters
    ----------
    path : str or pathlib.Path
        Folder that `submit` wrote.
    handle : submitit.Job, optional
        Of this session's own job.

    Raises
    ------
    StoreError
        If the folder holds no run, or none that was submitted.

    Examples
    --------
    >>> Job("nowhere")
    Traceback (most recent call last):
    ...
    aqqua_science.images.shards.StoreError: nowhere is no run: it has no config.json. ...
    """

    def __init__(self, path, *, handle=None):
        super().__init__(path)
        try:
            about = json.loads((self.path / JOBS / JOB).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            msg = f"{self.path} was not submitted: it has no {JOBS}/{JOB}. Use Run({str(path)!r})."
            raise StoreError(msg) from error
        self.id, self._kind = str(about["id"]), about["cluster"]
        kind = SlurmJob if self._kind == "slurm" else LocalJob
        self._handle = handle or kind(self.path / JOBS, self.id)

    @property
    def state(self):
        """PENDING, RUNNING, COMPLETED, FAILED, CANCELLED, or another of Slurm's states (str)."""
        return self._state(mode="force")

    def _state(self, mode):
        if self._kind == "local":
            return self._state_here()
        told = self._handle.watcher.get_state(self.id, mode=mode).split()[0]
        return "COMPLETED" if told == "UNKNOWN" and self.finished else told

    def _state_here(self):
        process = self._handle._process
        if _is_alive(int(self.id)) if process is None else process.poll() is None:
            return "RUNNING"
        if self.finished:
            return "COMPLETED"
        return "CANCELLED" if process is not None and process.returncode < 0 else "FAILED"

    @property
    def output(self):
        """What the processes have written so far, node by node (str)."""
        files = sorted((self.path / JOBS).glob(f"{self.id}_*_log.out"))
        return "".join(file.read_text(encoding="utf-8", errors="replace") for file in files)

    def follow(self, *, seconds=1.0):
        """
        Read how the run goes, as it goes, until the job has ended.

        Parameters
        ----------
        seconds : float
            Between two looks.

        Yields
        ------
        str
            A line: what the first node wrote, or a step and its loss.
        """
        place, step, active = 0, 0, True
        while active:
            active = self._state("standard") in ACTIVE
            lines, place = _new_lines(self.path / JOBS / f"{self.id}_0_log.out", place, whole=not active)
            yield from lines
            for row in _recent_rows(self.path / LOG, beyond=step):
                step = row["step"]
                yield f"step {step:,}: loss {row['loss']:.3f}, {row['images_per_second']:,.0f} images/s"
            if active:
                time.sleep(seconds)

    def wait(self, *, seconds=1.0):
        """
        Wait until the job has ended.

        Parameters
        ----------
        seconds : float
            Between two looks.

        Returns
        -------
        str
            Its state.
        """
        while self._state("standard") in ACTIVE:
            time.sleep(seconds)
        return self.state

    def cancel(self):
        """End the job; the same call of `submit` goes on at its last checkpoint."""
        if self._kind == "local" and self._handle._process is None:
            os.kill(int(self.id), signal.SIGINT)
        else:
            self._handle.cancel()


def _is_alive(number):
    """Whether there is a process of this number."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _recent_rows(file, *, beyond):
    """Rows of a log beyond a step, out of its last part: a long log is not read whole at every look."""
    if not file.exists():
        return []
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - TAIL_BYTES))
        whole, _, _ = opened.read().rpartition(b"\n")
    rows = [json.loads(line) for line in whole.split(b"\n") if line.startswith(b"{")]
    return [row for row in rows if row["step"] > beyond]


def _new_lines(file, place, *, whole):
    """Whole lines of a file from a place on, and where the next begins; at the end, what has no newline too."""
    if not file.exists():
        return [], place
    with file.open("rb") as opened:
        opened.seek(place)
        content = opened.read()
    end = len(content) if whole else content.rfind(b"\n") + 1
    return content[:end].decode("utf-8", errors="replace").splitlines(), place + end
