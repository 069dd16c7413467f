"""What is kept of a step that went wrong, and how it is looked into."""

import json
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from aqqua_science.files import write_json
from aqqua_science.images import open_store
from aqqua_science.images.shards import StoreError
from aqqua_science.pretraining import checkpoints
from aqqua_science.pretraining.loader import Batch, facts, with_measures
from aqqua_science.pretraining.packing import Packed
from aqqua_science.pretraining.runs import Run
from aqqua_science.pretraining.trainer import DTYPES, Trainer

FAILURE = "failure"
NOT_SEEN = "none"


def keep_batches(share, folder, *, rank):
    """
    Write the views of a step.

    Parameters
    ----------
    share : Share
    folder : pathlib.Path
    rank : int
        Which process saw them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    start = 0
    for k, batch in enumerate(share.batches):
        packs = {"large": batch.large} | ({"small": batch.small} if batch.small else {})
        tensors = {f"{name}.{key}": t for name, packed in packs.items() for key, t in packed._asdict().items()}
        tensors |= {name: getattr(batch, name) for name in ("large_place", "small_place", "mask")}
        save_file({name: t.contiguous() for name, t in tensors.items()}, folder / f"batch-{rank}-{k}.safetensors")
        rows = share.rows[start : start + batch.n_images]
        write_json({"step": share.number, "rows": rows}, folder / f"batch-{rank}-{k}.json")
        start += batch.n_images


def replay(out):
    """
    Repeat the step at which a run stopped being finite, and find where.

    Parameters
    ----------
    out : str or pathlib.Path
        Folder of the run.

    Returns
    -------
    pandas.DataFrame
        One row for each image of the step, indexed by row of the store: `loss` of the batch it was in, `finite`
        (whether its class tokens are), and `first`, the first part of the network whose output, or the first parameter
        whose gradient, is not finite.

    Raises
    ------
    StoreError
        If the run did not fail.

    Examples
    --------
    >>> replay("nowhere")
    Traceback (most recent call last):
    ...
    aqqua_science.images.shards.StoreError: nowhere is no run: it has no config.json. ...
    """
    from aqqua_science.pretraining.training import drawn_rows, guide_heads

    run = Run(out)
    found = checkpoints.complete(run.path / FAILURE)
    if not found:
        msg = f"{run.path} has not failed: there is no checkpoint in {run.path / FAILURE}."
        raise StoreError(msg)
    store = open_store(run.about["store"])
    table = facts(store, drawn_rows(store, run.about["draw"]), columns=run.config.guides)
    guides = guide_heads(store, table, run.config)
    trainer = Trainer(run.config, guides=guides, device=torch.device("cpu"), begin=False)
    state = trainer.restore(found[-1])
    trainer.progress = state["step"] / run.config.steps
    files = sorted((run.path / FAILURE).glob("batch-*.safetensors"))
    return pd.concat([_look(trainer, store, table, file=file, step=state["step"]) for file in files])


def _look(trainer, store, table, *, file, step):
    """What the student makes of the images of one batch."""
    rows = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))["rows"]
    metadata = with_measures(store, table.loc[rows], trainer.config.guides)
    batch = _read(file, metadata).to(trainer.device, DTYPES[trainer.config.precision])
    bad, loss = first_not_finite(trainer.student, lambda: trainer.losses(batch, step))
    with torch.no_grad():
        cls = trainer.student.vit(batch.large).cls[batch.large_place]
    finite = cls.isfinite().all(-1).all(0).numpy()
    return pd.DataFrame({"loss": float(loss), "finite": finite, "first": bad}, index=pd.Index(rows, name="row"))


def first_not_finite(model, call):
    """
    Find the first part of a network whose output is not finite, or else the first parameter whose gradient is not.

    Parameters
    ----------
    model : torch.nn.Module
    call : callable
        Without arguments; passes something through the model and gives its loss.

    Returns
    -------
    name : str
        "none" when all are finite.
    loss : torch.Tensor, shape ()
    """
    found = []

    def look(name):
        def hook(_module, _arguments, output):
            if torch.is_tensor(output) and not output.isfinite().all():
                found.append(name)

        return hook

    hooks = [module.register_forward_hook(look(name)) for name, module in model.named_modules()]
    try:
        loss = call()
        loss.backward()
    finally:
        for hook in hooks:
            hook.remove()
    gradients = [n for n, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    model.zero_grad(set_to_none=True)
    return (found or gradients or [NOT_SEEN])[0], loss.detach()


def _read(file: Path, table):
    tensors = load_file(file)
    packs = [
        Packed(*(tensors[f"{name}.{key}"] for key in Packed._fields)) if f"{name}.values" in tensors else None
        for name in ("large", "small")
    ]
    return Batch(packs[0], tensors["large_place"], packs[1], tensors["small_place"], tensors["mask"], table)
