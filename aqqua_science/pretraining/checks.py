"""What can go wrong in a pretraining run, looked for before it waits in a queue."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from torch import distributed

from aqqua_science.images import open_store
from aqqua_science.pretraining.config import read_config
from aqqua_science.pretraining.loader import OF_PIXELS, facts
from aqqua_science.pretraining.memory import count_parameters, memory_needed
from aqqua_science.pretraining.planning import Plan, deal
from aqqua_science.pretraining.runs import CONFIG, Run
from aqqua_science.pretraining.training import differences, drawn_rows

STEPS_TRIED = 50
"""Steps whose images are counted."""
SPARE = 1.1
"""Memory that is asked for beyond the formula, in shares of it, for what lies between blocks."""
LIBRARIES_GB = 1.0
"""Memory that CUDA and NCCL take for themselves."""
GB = 1e9


def preflight(
    store, config, *, out, draw=None, nodes=1, gpus=0, processes=None, memory_gb=None, checksums=True
):  # fmt: skip
    """
    Look for what would stop a run, before it is started or waits in a queue.

    Parameters
    ----------
    store : ImageStore, str or pathlib.Path
    config : PretrainConfig, dict, str or pathlib.Path
    out : str or pathlib.Path
        Folder of the run, new or to be resumed.
    draw : str or pathlib.Path, optional
        Table of the images to draw from, with a column `row`.
    nodes : int
    gpus : int
        On each node; 0 to train on processors.
    processes : int, optional
        On each node; one for each GPU by default.
    memory_gb : float, optional
        Memory of a GPU, or of a node's processors; that of this machine by default.
    checksums : bool
        Whether to read every file of the store; of a store of terabytes this takes long.

    Returns
    -------
    pandas.DataFrame
        One row a check, in the order made: ``name``, ``ok``, ``detail`` and ``remedy`` (empty where all is well).

    Examples
    --------
    >>> found = preflight("nowhere.aqqua", {"steps": 10}, out="run")
    >>> found.loc[~found["ok"], "name"].tolist()[0]
    'store'
    """
    devices = nodes * (processes or max(1, gpus))
    plan = _Plan(store, config, Path(out), draw, nodes, gpus, devices, memory_gb, checksums)
    return pd.DataFrame([_made(name, check, plan) for name, check in CHECKS.items()])


def _made(name, check, plan):
    """One row: what a check found, or the error that it met."""
    try:
        detail, remedy = check(plan)
    except (ValueError, OSError, LookupError) as error:
        detail, remedy = str(error).rstrip("."), "See the text of the error"
    return {"name": name, "ok": not remedy, "detail": detail, "remedy": remedy}


@dataclass(frozen=True)
class _Plan:
    """What is to be run, where."""

    source: object
    settings: object
    out: Path
    draw: object
    nodes: int
    gpus: int
    devices: int
    memory_gb: float | None
    checksums: bool

    @cached_property
    def store(self):
        """The store, opened."""
        return open_store(getattr(self.source, "path", self.source))

    @cached_property
    def config(self):
        """The configuration, checked."""
        return read_config(self.settings)

    @cached_property
    def rows(self):
        """Rows that are trained on, or None for all."""
        return drawn_rows(self.store, self.draw)

    @cached_property
    def steps(self):
        """The first steps, without pixels."""
        plan = Plan(facts(self.store, self.rows), self.config)
        return [next(plan) for _ in range(STEPS_TRIED)]


def _check_configuration(plan):
    config = plan.config
    return f"{config.vit}, {config.steps:,} steps of {config.tokens_per_batch:,} tokens", ""


def _check_store(plan):
    n = len(plan.store)
    return f"{n:,} images", "" if n else "Ingest images into it"


def _check_files(plan):
    if not plan.checksums:
        return "not read: checksums=False", ""
    return f"{plan.store.verify():,} files as they were written", ""


def _check_images(plan):
    shapes = [plan.store[row].shape for row in (0, len(plan.store) - 1)]
    return f"the first is {shapes[0]}, the last {shapes[1]}", ""


def _check_draw(plan):
    if plan.rows is None:
        return "all images", ""
    return f"{len(plan.rows):,} draws", "" if len(plan.rows) else "Draw at least one image"


def _check_pixel_size(plan):
    bad = plan.store.select("coalesce(pixel_size_um, 0) <= 0 or isnan(pixel_size_um)", columns=[]).index
    if not len(bad):
        return "every image has one", ""
    return f"{len(bad):,} images have none, such as row {bad[0]}", "Ingest them with --default pixel_size_um=..."


def _check_columns(plan):
    names = [plan.config.label, *(name for name in plan.config.guides if name not in OF_PIXELS)]
    held = plan.store.select("false").columns
    missing = [name for name in names if name not in held]
    if not missing:
        return ", ".join(names), ""
    return f"the store has no column {', '.join(missing)}", f"Set label and guides to some of {', '.join(held)}"


def _check_start(plan):
    start = plan.config.start
    if start is None:
        return "from nothing", ""
    return start, "" if Path(start).exists() else "There is no such file or folder on this machine; correct `start`"


def _check_batch(plan):
    parts = plan.devices * plan.config.accumulate
    fewest = min(plan.steps, key=lambda step: len(step.places))
    deal(fewest.tokens, parts)
    return f"{len(fewest.places)} images or more for {parts} parts (devices x accumulate)", ""


def _check_memory(plan):
    images = max(len(step.places) for step in plan.steps)
    needed = memory_needed(plan.config, devices=plan.devices, images=images)["total"] / GB * SPARE
    needed = needed + LIBRARIES_GB if plan.gpus else needed * plan.devices / plan.nodes
    held = plan.memory_gb or _memory_here(plan.gpus)
    where = "a GPU" if plan.gpus else "a node"
    if held is None:
        return f"{needed:.1f} GB on {where}; what it has is not known here (memory_gb)", ""
    remedy = "Raise accumulate, set precision='bfloat16', checkpoint_activations=True or strategy='fsdp', or lower vit"
    return f"{needed:.1f} of {held:.1f} GB on {where}", remedy if needed > held else ""


def _memory_here(gpus):
    """GB of this machine's first GPU, or of its main memory; None where there is no GPU."""
    if gpus:
        return torch.cuda.get_device_properties(0).total_memory / GB if torch.cuda.is_available() else None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB


def _check_disk(plan):
    """Checkpoints hold weights, teacher and both moments; one more than is kept while the oldest is not yet gone."""
    config = plan.config
    n = sum(count_parameters(config).values()) * (8 if config.precision == "float64" else 4)
    needed = ((config.keep_checkpoints + 1) * (4 + bool(config.gram_weight)) + 1) * n / GB
    free = shutil.disk_usage(_existing(plan.out)).free / GB
    remedy = "Free some, lower keep_checkpoints or choose another out"
    return f"{needed:.2f} of {free:.1f} GB that are free", remedy if needed > free else ""


def _existing(path):
    """The folder itself, or the nearest above it that exists."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def _check_folder(plan):
    above = _existing(plan.out)
    if not above.is_dir():
        return f"{above} is a file", "Choose another out"
    try:
        tempfile.TemporaryFile(dir=above).close()
    except OSError as error:
        return f"{above} cannot be written: {error.strerror}", "Choose another out"
    if not (plan.out / CONFIG).exists():
        held = sorted(p.name for p in plan.out.iterdir()) if plan.out.exists() else []
        return (f"it holds {held[0]}, but no run", "Choose another out") if held else ("new", "")
    return _compare_with_run(plan)


def _compare_with_run(plan):
    """A run is resumed with what it was begun with, and with nothing else."""
    run = Run(plan.out)
    other = differences(run, plan.store, plan.config, draw=plan.draw)
    if other:
        return f"a run was begun there with others: {'; '.join(other)}", "Choose another out, or what it was begun with"
    return f"resumes {run.summary['step']}", ""


def _check_torch(plan):
    devices = torch.cuda.device_count()
    detail = f"torch {torch.__version__}, CUDA {torch.version.cuda or 'absent'}, {devices} GPUs here"
    if not plan.gpus:
        return detail, ""
    if torch.version.cuda is None and torch.version.hip is None:
        return detail, "This torch knows no GPU: install one that does, or set gpus=0"
    usable = plan.devices == 1 or distributed.is_nccl_available()
    return detail, "" if usable else "This torch has no NCCL: install one that has, or use one GPU"


CHECKS = {
    "configuration": _check_configuration,
    "store": _check_store,
    "files": _check_files,
    "images": _check_images,
    "draw": _check_draw,
    "pixel size": _check_pixel_size,
    "columns": _check_columns,
    "start": _check_start,
    "batch": _check_batch,
    "memory": _check_memory,
    "disk": _check_disk,
    "folder": _check_folder,
    "torch": _check_torch,
}
"""What is looked at, in this order."""
