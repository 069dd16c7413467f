"""Pretraining: one loop, from a laptop to many GPU nodes."""

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import distributed

from aqqua_science.images import open_store
from aqqua_science.pretraining import checkpoints
from aqqua_science.pretraining.config import read_config
from aqqua_science.pretraining.encoders import credits_of, embeddings, save_encoder
from aqqua_science.pretraining.failure import FAILURE, keep_batches
from aqqua_science.pretraining.guides import GuideHeads
from aqqua_science.pretraining.loader import OF_PIXELS, facts, shares, with_measures
from aqqua_science.pretraining.monitoring import Monitor
from aqqua_science.pretraining.probes import evaluate
from aqqua_science.pretraining.runs import CHECKPOINTS, CONFIG, ENCODER, Run, images_hash, write_config
from aqqua_science.pretraining.trainer import Diverged, Trainer, processes, rank_and_world
from aqqua_science.pretraining.vit import SIZES
from aqqua_science.progress import progress_bar
from aqqua_science.schema import SchemaError

EVALUATED = 2_000
"""Images at most on which a run is judged."""
MAY_CHANGE = {
    "accumulate", "device", "workers", "strategy", "compile", "checkpoint_activations", "checkpoint_every",
    "keep_checkpoints", "evaluate_every", "label",
}  # fmt: skip
"""Settings with which a run may go on: they change nothing of what is learned but rounding, and KoLeo's neighbours."""


def pretrain(store, config=None, *, out, draw=None):
    """
    Learn an encoder from the images of a store, without labels.

    The recipe is DINOv2's (Oquab et al. 2024, arXiv 2304.07193) on images at their own resolution and true size. A
    run that was stopped, also by kill -9, goes on from its last checkpoint when the same call is made again.

    Parameters
    ----------
    store : ImageStore, str or pathlib.Path
    config : PretrainConfig, dict, str or pathlib.Path, optional
        Settings, or a JSON file of them.
    out : str or pathlib.Path
        Folder of the run.
    draw : str or pathlib.Path, optional
        Table (Parquet, column `row`) of the images to train on, as `curate` writes it; all by default.

    Returns
    -------
    Run

    Raises
    ------
    SchemaError
        If a setting will not do, or differs from what `out` was begun with.
    StoreError
        If the store or a checkpoint cannot be read.
    FloatingPointError
        If the loss is no longer finite; what led to it lies in `out/failure`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from aqqua_science.images import ingest
    >>> from aqqua_science.synthetic import images
    >>> folder = Path(tempfile.mkdtemp())
    >>> store = ingest(images(24, rng=0, instruments=["UVP6"]), folder / "drawn.aqqua")
    >>> config = {"vit": "pico", "steps": 2, "tokens_per_batch": 512, "prototypes": 16}
    >>> run = pretrain(store, config, out=folder / "run")
    >>> len(run.log)
    2
    """
    config = read_config(config or {})
    out = Path(out)
    device = _device(config)
    with torch.random.fork_rng(devices=[]), processes(device):
        return _pretrain(store, config, out, draw, device)


def _pretrain(store, config, out, draw, device):
    store = store if hasattr(store, "rows") else open_store(store)
    prepare(store, config, out=out, draw=draw)
    table = facts(store, drawn_rows(store, draw), columns=config.guides)
    if not len(table):
        msg = f"{store.path} holds no image to train on. Ingest some, or pass another draw."
        raise SchemaError(msg)
    last = _last_checkpoint(out)
    trainer = Trainer(config, guides=guide_heads(store, table, config), device=device, begin=last is None)
    state = trainer.restore(last) if last else {"step": 0, "plan": None}
    if state["step"] < config.steps:
        with Monitor(out, step=state["step"], main=trainer.rank == 0) as monitor:
            _loop(trainer, store, table, out=out, state=state, monitor=monitor)
    return Run(out)


def _last_checkpoint(out):
    """The newest checkpoint, as the first process sees it: folders appear late on some shared disks."""
    found = [next(reversed(checkpoints.complete(out / CHECKPOINTS)), None)]
    if rank_and_world()[1] > 1:
        distributed.broadcast_object_list(found)
    return found[0]


def _loop(trainer, store, table, *, out, state, monitor):
    config = trainer.config
    steps = shares(store, table, config, state=state["plan"], rank=trainer.rank, world=trainer.world)
    started = time.perf_counter()
    silent = {"disable": True} if trainer.rank else {}
    with progress_bar(None, total=config.steps, initial=state["step"], desc=out.name, **silent) as bar:
        for share in steps:
            done = share.number + 1
            losses = _step(trainer, share, out)
            now = time.perf_counter()
            monitor.step(done, share, losses, config=config, seconds=now - started)
            started = now
            bar.update()
            occupancy = share.n_tokens / config.tokens_per_batch
            bar.set_postfix(loss=f"{losses['loss']:.3f}", occupancy=f"{occupancy:.1%}", refresh=False)
            ends = done == config.steps
            if ends or (config.evaluate_every and done % config.evaluate_every == 0):
                _evaluate(trainer, store, table, done, monitor)
            if ends or done % config.checkpoint_every == 0:
                _keep(trainer, store, out, {"step": done, "plan": share.state})
            started = time.perf_counter()


def _step(trainer, share, out):
    """A step; where it fails, everything that is needed to repeat it is kept."""
    try:
        return trainer.step(share)
    except Diverged as error:
        trainer.save(out / FAILURE, {"step": share.number, "plan": share.state})
        keep_batches(share, out / FAILURE, rank=trainer.rank)
        if trainer.world > 1:
            distributed.barrier()
        msg = (
            f"step {share.number} of {out} is no longer finite ({error}). Weights from before it and its images lie in "
            f"{out / FAILURE}; `pretraining.replay({str(out)!r})` shows which. Lower learning_rate or raise warmup, "
            "and begin another run."
        )
        raise FloatingPointError(msg) from error
    except RuntimeError as error:
        if not _out_of_memory(error):
            raise
        msg = (
            f"the device is out of memory at a batch of {trainer.config.tokens_per_batch:,} tokens. Raise accumulate "
            "(pieces of a batch; only KoLeo, which looks for neighbours within a piece, feels it), set "
            "checkpoint_activations, or strategy 'fsdp'; then the same call goes on from the last checkpoint."
        )
        raise MemoryError(msg) from error


def _out_of_memory(error):
    """Whether an allocation failed; on processors torch raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _keep(trainer, store, out, state):
    """A checkpoint, and the encoder as it is now."""
    encoder = trainer.encoder()
    if trainer.rank == 0:
        guides = trainer.student.guides
        about = _about(trainer.config, store, state["step"]) | {"guides": guides.describe() if guides else {}}
        save_encoder(encoder, out / ENCODER, about=about)
    trainer.save(out / CHECKPOINTS, state)


def _about(config, store, step):
    """What the user of an encoder must know."""
    return {
        "max_tokens": config.token_limit,
        "square": config.views.square,
        "step": step,
        "config": config.model_dump(mode="json"),
        "store": credits_of(store),
    }


def _evaluate(trainer, store, table, done, monitor):
    """Judge the encoder on a slice of the store."""
    encoder = trainer.encoder()
    if trainer.rank:
        return
    encoder.about = _about(trainer.config, store, done)
    known = [name for name in (trainer.config.label, "instrument") if name in store.select("false").columns]
    metadata = store.select("true", columns=known).loc[table.index]
    labelled = metadata.index[metadata[trainer.config.label].notna()] if trainer.config.label in known else []
    rng = np.random.default_rng(trainer.config.seed)
    others = metadata.index.difference(labelled)
    rows = np.concatenate([rng.permutation(labelled), rng.permutation(others)])[:EVALUATED]
    rows = np.sort(rows.astype(np.int64))
    if len(rows) < 2:
        return
    features = embeddings(encoder, store, rows, device=trainer.device)
    judged = with_measures(store, table.loc[rows, ["pixel_size_um", "bit_depth"]], ["esd_um"]).join(metadata)
    monitor.evaluation(done, evaluate(features, judged, label=trainer.config.label, rng=trainer.config.seed))


def guide_heads(store, table, config):
    """
    Build the heads on metadata; sizes are measured on some images to know their spread.

    Parameters
    ----------
    store : ImageStore
    table : pandas.DataFrame
        As `loader.facts` gives it.
    config : PretrainConfig

    Returns
    -------
    GuideHeads or None
    """
    if not config.guides:
        return None
    if set(config.guides) & set(OF_PIXELS):
        some = np.sort(np.random.default_rng(config.seed).permutation(table.index)[:EVALUATED])
        measured = with_measures(store, table.loc[some], config.guides)
        table = table.join(measured[[name for name in OF_PIXELS if name in config.guides]])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return GuideHeads(table, config.guides, dim=SIZES[config.vit][0])


def drawn_rows(store, draw):
    """
    Read which images a draw holds.

    Parameters
    ----------
    store : ImageStore
    draw : str, pathlib.Path or None

    Returns
    -------
    numpy.ndarray of int64 or None
        Ascending, each once; None for all images.

    Raises
    ------
    SchemaError
        If it cannot be read, or names images that are not in the store.
    """
    if draw is None:
        return None
    try:
        return np.unique(store.rows(pd.read_parquet(draw, columns=["row"])["row"].to_numpy()))
    except (OSError, ValueError, KeyError, IndexError) as error:
        msg = f"the draw {draw} cannot be read: {error}. It is a Parquet file with a column row, as curate writes it."
        raise SchemaError(msg) from error


def _device(config):
    if config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available()):
        if not torch.cuda.is_available():
            msg = "device = 'cuda', but no GPU is seen here. Use device = 'auto' or 'cpu', or run it on a GPU node."
            raise SchemaError(msg)
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        return device
    if config.precision == "bfloat16" and not computes_bfloat16():
        warnings.warn(
            "this processor emulates bfloat16, several times slower than float32. Set precision='float32'.",
            stacklevel=4,
        )
    return torch.device("cpu")


def computes_bfloat16():
    """
    Tell whether this processor has instructions for bfloat16 (AMX, or those of AVX-512 or Arm).

    Returns
    -------
    bool
        False where PyTorch does not know.
    """
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return any(bool(known.get(name)) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def prepare(store, config, *, out, draw=None):
    """
    Write what a run is told, or see that it was told the same before.

    Parameters
    ----------
    store : ImageStore
    config : PretrainConfig
    out : str or pathlib.Path
    draw : str or pathlib.Path, optional

    Returns
    -------
    pathlib.Path
        `config.json` of the run.

    Raises
    ------
    SchemaError
        If `out` was begun with settings that would learn something else.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        msg = f"{out} is a file; a run is a folder. Pass another out."
        raise SchemaError(msg)
    if (out / CONFIG).exists():
        changed = differences(Run(out), store, config, draw=draw)
        if changed:
            msg = f"{out} was begun with other settings ({'; '.join(changed)}). Pass another out, or the same settings."
            raise SchemaError(msg)
    return write_config(out, store=store.path, config=config, draw=draw, images=images_hash(store.path, draw))


def differences(run, store, config, *, draw=None):
    """
    Tell in what a call differs from the run it would go on with, as far as something else would be learned.

    Parameters
    ----------
    run : Run
    store : ImageStore
    config : PretrainConfig
    draw : str or pathlib.Path, optional

    Returns
    -------
    list of str
        The setting, its value before and now; images are compared by their checksums, wherever they lie.
    """
    old, new = run.config.model_dump(mode="json"), config.model_dump(mode="json")
    changed = [f"{k}: {old[k]!r} before, {v!r} now" for k, v in new.items() if k not in MAY_CHANGE and old[k] != v]
    if run.about["images"] not in (None, images_hash(store.path, draw)):
        changed.append("images: the store or the draw holds others than before")
    return changed
