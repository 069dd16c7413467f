"""What lessons share: whole images in every turn, AdamW, and a way to go on where they stopped."""

import copy
import hashlib
import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from aqqua_science.files import write_json
from aqqua_science.images.patches import cut, intensities
from aqqua_science.images.windows import whole_view
from aqqua_science.pretraining import checkpoints, schedules
from aqqua_science.pretraining.config import MAX_TOKENS
from aqqua_science.pretraining.encoders import load
from aqqua_science.pretraining.ordering import shuffled, uniforms
from aqqua_science.pretraining.packing import pack
from aqqua_science.pretraining.runs import CHECKPOINTS, LOG, append_line, truncate_log
from aqqua_science.pretraining.trainer import parameter_groups
from aqqua_science.progress import progress_bar
from aqqua_science.schema import SchemaError

WARMUP = 0.05
WEIGHT_DECAY = 0.04
CLIP = 3.0
_TURN_KEY = 0xD15711


def own_copy(encoder):
    """
    Get a network of one's own that tells how it wants images to be shown.

    Parameters
    ----------
    encoder : ViT, str or pathlib.Path
        A network, or where a run or its encoder lies.

    Returns
    -------
    ViT
        In float32; its `about` has `max_tokens` and `square`.
    """
    encoder = load(encoder) if isinstance(encoder, str | Path) else copy.deepcopy(encoder)
    encoder.about = {"max_tokens": MAX_TOKENS, "square": None} | getattr(encoder, "about", {})
    return encoder.float().eval()


def digest(arrays):
    """
    Tell weights or rows from others.

    Parameters
    ----------
    arrays : iterable of array or torch.Tensor

    Returns
    -------
    str
    """
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(torch.as_tensor(array).cpu()).tobytes())
    return found.hexdigest()[:16]


def begin(told, file, *, max_tokens, checkpoint_every):
    """
    Write what is to be done, or see that it was the same before.

    Parameters
    ----------
    told : dict
        The settings; among them `steps`, `tokens_per_batch` and `images`.
    file : pathlib.Path
        In the folder of the lesson.
    max_tokens : int
        Patches that an image may have.
    checkpoint_every : int
        Not among the settings that must stay.

    Raises
    ------
    SchemaError
        If a number is too small, or a setting differs from what the folder was begun with.
    """
    if told["steps"] < 1 or told["tokens_per_batch"] < max_tokens or not told["images"]:
        msg = (
            f"steps and images must be 1 or more, and tokens_per_batch as many as an image may have ({max_tokens}); "
            f"got {told['steps']} steps, {told['images']} images and {told['tokens_per_batch']} tokens."
        )
        raise SchemaError(msg)
    if checkpoint_every < 1:
        msg = f"checkpoint_every must be 1 or more; got {checkpoint_every}. The last step always gives a checkpoint."
        raise SchemaError(msg)
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else told
    differ = [name for name in told if before.get(name) != told[name]]
    changed = [f"{name}: {before.get(name)!r} before, {told[name]!r} now" for name in differ]
    if changed:
        msg = f"{file.parent} was begun with other settings ({'; '.join(changed)}). Pass another out, or the same ones."
        raise SchemaError(msg)
    write_json(told, file)


def teach(pupil, lesson, *, out, batches_from, told, write, checkpoint_every, device):
    """
    Give a lesson step by step, from its last checkpoint on.

    Parameters
    ----------
    pupil : torch.nn.Module
    lesson : callable
        Takes a pack and the places of its images; returns the loss and a dict of what the log tells beside it.
    out : pathlib.Path
    batches_from : callable
        Takes a place, and yields as `batches` does.
    told : dict
        `steps` and `learning_rate`.
    write : callable
        Takes the number of steps that are done; writes what the user gets.
    checkpoint_every : int
    device : str

    Returns
    -------
    pathlib.Path
        `out`.

    Raises
    ------
    FloatingPointError
        If the loss is no longer finite.
    StoreError
        If a checkpoint cannot be read.
    """
    optimizer = torch.optim.AdamW(parameter_groups(pupil, WEIGHT_DECAY), lr=told["learning_rate"])
    state, steps = _restore(out, pupil, optimizer), told["steps"]
    packs = batches_from(state["next"])
    schedule = SimpleNamespace(steps=steps, learning_rate=told["learning_rate"], warmup=WARMUP)
    with progress_bar(range(state["step"], steps), initial=state["step"], total=steps, desc=out.name) as bar:
        for step in bar:
            packed, following, places = next(packs)
            rate = schedules.learning_rate(step, schedule)
            losses = _descend(pupil, optimizer, *lesson(packed.to(device), places), rate=rate)
            append_line(out / LOG, {"step": step + 1, **losses, "learning_rate": rate, "images": len(places)})
            if (step + 1) % checkpoint_every == 0 or step + 1 == steps:
                now = {"step": step + 1, "next": following}
                write(step + 1)
                checkpoints.save(out / CHECKPOINTS, models={"pupil": pupil}, optimizers=[optimizer], state=now, keep=1)
    return out


def _restore(out, pupil, optimizer):
    """Go back to the last checkpoint, if there is one; where to go on."""
    last = next(reversed(checkpoints.complete(out / CHECKPOINTS)), None)
    state = {"step": 0, "next": 0}
    if last:
        checkpoints.restore(last, models={"pupil": pupil}, optimizers=[optimizer])
        state = checkpoints.read_state(last)
    truncate_log(out / LOG, state["step"])
    return state


def _descend(pupil, optimizer, loss, found, *, rate):
    """One step; what the log tells of it."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(pupil.parameters(), CLIP)
    if not (loss.isfinite() and norm.isfinite()):
        msg = (
            f"the loss or its gradient is no longer finite ({float(loss.detach())}, {float(norm)}). "
            "Lower learning_rate and begin in another folder."
        )
        raise FloatingPointError(msg)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return {name: float(value.detach()) for name, value in ({"loss": loss} | found | {"gradient_norm": norm}).items()}


def batches(store, rows, vit, *, tokens_per_batch, seed, start):
    """
    Pack whole images in an endless random order, turned by quarters and mirrored.

    Parameters
    ----------
    store : ImageStore
    rows : numpy.ndarray of int
    vit : ViT
        Who will see them; its `about` tells `max_tokens` and `square`.
    tokens_per_batch : int
    seed : int
    start : int
        Place in the order, as this function gave it; 0 is the beginning.

    Yields
    ------
    packed : Packed
    following : int
        The place at which the next batch begins.
    places : list of int
        Where in `rows` each image of the pack stands.
    """
    facts = store.select("true", columns=["bit_depth", "pixel_size_um"]).loc[rows]
    images, n_tokens = [], 0
    for place in itertools.count(start):
        epoch, k = divmod(place, len(rows))
        at = int(shuffled([k], len(rows), seed=seed, epoch=epoch)[0])
        depth, pixel_size = int(facts["bit_depth"].iat[at]), float(facts["pixel_size_um"].iat[at])
        pixels = intensities(store[int(rows[at])], bit_depth=depth)
        patches = _turned(pixels, pixel_size, vit, uniforms(seed, place, _TURN_KEY, np.arange(2)))
        if n_tokens + len(patches.values) > tokens_per_batch:
            # Neighbours of one length are attended to together.
            images.sort(key=lambda image: len(image[0].values))
            yield pack([image for image, _ in images]), place, [where for _, where in images]
            images, n_tokens = [], 0
        images.append((patches, at))
        n_tokens += len(patches.values)


def _turned(pixels, pixel_size_um, vit, chances):
    """All of an image, turned by quarters and mirrored, in patches."""
    patch_size, about = vit.settings["patch_size"], vit.about
    view, pixel_size_um = whole_view(
        pixels, pixel_size_um=pixel_size_um, patch_size=patch_size, max_tokens=about["max_tokens"],
        square=about["square"],
    )  # fmt: skip
    view = np.rot90(view, int(4 * chances[0]), axes=(1, 2))
    return cut(view[:, :, ::-1] if chances[1] < 0.5 else view, pixel_size_um=pixel_size_um, patch_size=patch_size)
