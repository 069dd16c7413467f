"""Everything a run needs to go on as if it had never stopped: safetensors and JSON, whole or absent."""

import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from aqqua_science.files import write_json
from aqqua_science.images.shards import StoreError

GATHER = StateDictOptions(full_state_dict=True, cpu_offload=True)
SPREAD = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
STATE = "state.json"


def save(folder, *, models, optimizers, state, keep, rank=0):
    """
    Write a checkpoint, and remove the oldest beyond `keep`.

    Every process must call it; the first writes.

    Parameters
    ----------
    folder : str or pathlib.Path
        Of all checkpoints.
    models : dict of str to torch.nn.Module
        The first is the one that is optimised.
    optimizers : list of torch.optim.Optimizer
    state : dict
        With `step`, the number of steps that are done; for JSON.
    keep : int
    rank : int
    """
    weights = {name: get_model_state_dict(model, options=GATHER) for name, model in models.items()}
    moments = get_optimizer_state_dict(next(iter(models.values())), optimizers, options=GATHER)
    if rank == 0:
        tensors = weights | {"optimizer": _flat(moments["state"])}
        _write(Path(folder), tensors, state)
        for old in complete(folder)[:-keep]:
            shutil.rmtree(old)


def _write(folder, tensors, state):
    """Into a folder beside, which then takes its name."""
    final = folder / f"step-{state['step']:08d}"
    part = folder / f".{final.name}"
    for stale in (part, final):
        shutil.rmtree(stale, ignore_errors=True)
    part.mkdir(parents=True)
    for name, content in tensors.items():
        save_file({key: t.contiguous() for key, t in content.items()}, part / f"{name}.safetensors")
    write_json(state, part / STATE)
    part.rename(final)


def complete(folder):
    """
    List the checkpoints of a folder, the oldest first.

    Parameters
    ----------
    folder : str or pathlib.Path

    Returns
    -------
    list of pathlib.Path
    """
    return sorted(Path(folder).glob("step-*"))


def read_state(checkpoint):
    """
    Read what a checkpoint says besides weights.

    Parameters
    ----------
    checkpoint : pathlib.Path

    Returns
    -------
    dict

    Raises
    ------
    StoreError
        If it is damaged.
    """
    try:
        return json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(_damaged(checkpoint, error)) from error


def restore(checkpoint, *, models, optimizers):
    """
    Give models and optimisers the state of a checkpoint.

    Every process must call it, and be able to read the files.

    Parameters
    ----------
    checkpoint : pathlib.Path
    models : dict of str to torch.nn.Module
        As given to `save`.
    optimizers : list of torch.optim.Optimizer

    Raises
    ------
    StoreError
        If it is damaged, or of another network.
    """
    try:
        tensors = {name: load_file(checkpoint / f"{name}.safetensors") for name in [*models, "optimizer"]}
        for name, model in models.items():
            set_model_state_dict(model, tensors[name], options=_options())
        first = next(iter(models.values()))
        fresh = get_optimizer_state_dict(first, optimizers, options=StateDictOptions(full_state_dict=True))
        content = {"state": _nested(tensors["optimizer"]), "param_groups": fresh["param_groups"]}
        set_optimizer_state_dict(first, optimizers, content, options=_options())
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise StoreError(_damaged(checkpoint, error)) from error


def _options():
    return SPREAD if torch.distributed.is_initialized() else StateDictOptions(full_state_dict=True)


def _damaged(checkpoint, error):
    return (
        f"the checkpoint {checkpoint} cannot be read: {error}. Remove its folder; the run goes on from the one before, "
        "or from the start."
    )


def _flat(state):
    """The optimisers' tensors under names such as `vit.cls|exp_avg`."""
    return {f"{name}|{key}": torch.as_tensor(t) for name, moments in state.items() for key, t in moments.items()}


def _nested(tensors):
    state = {}
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition("|")
        state.setdefault(parameter, {})[key] = tensor
    return state
