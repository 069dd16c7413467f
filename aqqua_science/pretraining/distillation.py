"""A small encoder that learns from a large one what it makes of a store."""

import copy
import hashlib
import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from aqqua_science.files import write_json
from aqqua_science.images import open_store
from aqqua_science.images.patches import cut, intensities
from aqqua_science.pretraining import checkpoints, schedules
from aqqua_science.pretraining.encoders import credits_of, load, save_encoder
from aqqua_science.pretraining.ordering import shuffled, uniforms
from aqqua_science.pretraining.packing import image_means, pack
from aqqua_science.pretraining.runs import CHECKPOINTS, ENCODER, LOG, append_line, truncate_log
from aqqua_science.pretraining.trainer import parameter_groups
from aqqua_science.pretraining.views import whole_view
from aqqua_science.pretraining.vit import SIZES, ViT
from aqqua_science.progress import progress_bar
from aqqua_science.schema import SchemaError

TOLD = "distillation.json"
WARMUP = 0.05
WEIGHT_DECAY = 0.04
CLIP = 3.0
MAX_TOKENS = 256
"""Patches of an image at most, where the teacher does not say."""

_TURN_KEY = 0xD15711


def distil(
    teacher, store, *, out, student="nano", steps=1_000, tokens_per_batch=8_192, learning_rate=1e-3,
    checkpoint_every=200, rows=None, device="cpu", seed=0,
):  # fmt: skip
    """
    Teach a small encoder the class and patch tokens of a large, frozen one.

    Both see the same whole images at their own resolution, turned and mirrored at random; linear heads bring the
    student's tokens to the teacher's width, and the loss is 1 - cosine, of the class token plus the mean over patches.
    A call that was stopped goes on from its last checkpoint when it is made again.

    Parameters
    ----------
    teacher : ViT, str or pathlib.Path
        A network, or where a run or its encoder lies.
    store : ImageStore, str or pathlib.Path
    out : str or pathlib.Path
        Folder that `encoders.load` and `export` then read.
    student : {"nano", "tiny", "small", "base", "large"}
        Size of the student; in all else it is built like its teacher.
    steps : int
        Optimiser steps.
    tokens_per_batch : int
        Patch tokens of a step.
    learning_rate : float
    checkpoint_every : int
        Steps between two checkpoints.
    rows : optional
        Images to learn from, as for `ImageStore.rows`; all by default.
    device : str
        Of torch.
    seed : int

    Returns
    -------
    pathlib.Path
        `out`.

    Raises
    ------
    SchemaError
        If a setting will not do, or differs from what `out` was begun with.
    StoreError
        If the store, the teacher or a checkpoint cannot be read.

    References
    ----------
    Hinton et al. 2015, Distilling the knowledge in a neural network, arXiv 1503.02531; Oquab et al. 2023, DINOv2,
    section 5, arXiv 2304.07193.

    Examples
    --------
    >>> import tempfile
    >>> from aqqua_science.images import ingest
    >>> from aqqua_science.synthetic import images
    >>> folder = Path(tempfile.mkdtemp())
    >>> store = ingest(images(12, rng=0, instruments=["UVP6"]), folder / "drawn.aqqua")
    >>> out = distil(ViT("tiny"), store, out=folder / "small", steps=2, tokens_per_batch=512)
    >>> load(out).settings["vit"]
    'nano'
    """
    out, store = Path(out), store if hasattr(store, "rows") else open_store(store)
    rows, teacher = store.rows(rows), _frozen(teacher).to(device)
    told = {"student": student, "steps": steps, "tokens_per_batch": tokens_per_batch, "learning_rate": learning_rate}
    told |= {
        "seed": seed,
        "images": len(rows),
        "rows": _digest([rows]),
        "teacher": _digest(teacher.state_dict().values()),
    }
    _begin(out, told, max_tokens=teacher.about["max_tokens"])
    pupil = _Pupil(student, teacher, seed=seed).to(device)
    optimizer = torch.optim.AdamW(parameter_groups(pupil, WEIGHT_DECAY), lr=learning_rate)
    state = _restore(out, pupil, optimizer)
    batches = _batches(store, rows, teacher, tokens_per_batch=tokens_per_batch, seed=seed, start=state["next"])
    schedule = SimpleNamespace(steps=steps, learning_rate=learning_rate, warmup=WARMUP)
    about = _about(teacher, store) | told
    with progress_bar(range(state["step"], steps), initial=state["step"], total=steps, desc=out.name) as bar:
        for step in bar:
            packed, following = next(batches)
            rate = schedules.learning_rate(step, schedule)
            losses = _learn(pupil, teacher, optimizer, packed.to(device), rate=rate)
            append_line(out / LOG, {"step": step + 1, **losses, "learning_rate": rate, "images": len(packed.lengths)})
            if (step + 1) % checkpoint_every == 0 or step + 1 == steps:
                now = {"step": step + 1, "next": following}
                save_encoder(pupil.vit, out / ENCODER, about=about | {"step": step + 1})
                checkpoints.save(out / CHECKPOINTS, models={"pupil": pupil}, optimizers=[optimizer], state=now, keep=1)
    return out


class _Pupil(nn.Module):
    """A student, and the way from its tokens to its teacher's."""

    def __init__(self, student, teacher, *, seed):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.vit = ViT(**teacher.settings | {"vit": student})
            self.cls, self.patches = (nn.Linear(self.vit.width, teacher.width) for _ in range(2))
        # Nothing is hidden here; what is not learned must not wait for a gradient.
        self.vit.mask.requires_grad_(False)

    def forward(self, packed):
        """Tokens as the teacher would have them."""
        encoded = self.vit(packed)
        return self.cls(encoded.cls), self.patches(encoded.patches)


def _frozen(teacher):
    """A teacher that stays as it is, and tells how it wants images to be shown."""
    teacher = load(teacher) if isinstance(teacher, str | Path) else copy.deepcopy(teacher)
    teacher.about = {"max_tokens": MAX_TOKENS, "square": None} | getattr(teacher, "about", {})
    return teacher.float().eval().requires_grad_(False)


def _about(teacher, store):
    """What the user of the student must know; how images are shown is as for the teacher."""
    shown = {name: teacher.about[name] for name in ("max_tokens", "square")}
    return shown | {"store": credits_of(store)} | {"distilled_from": teacher.about}


def _digest(arrays):
    """What tells weights or rows from others."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(torch.as_tensor(array).cpu()).tobytes())
    return digest.hexdigest()[:16]


def _begin(out, told, *, max_tokens):
    """Write what is to be done, or see that it was the same before."""
    if told["student"] not in SIZES:
        msg = f"there is no student {told['student']!r}. Pass one of {', '.join(SIZES)}."
        raise SchemaError(msg)
    if told["steps"] < 1 or told["tokens_per_batch"] < max_tokens or not told["images"]:
        msg = (
            f"steps and images must be 1 or more, and tokens_per_batch as many as an image may have ({max_tokens}); "
            f"got {told['steps']} steps, {told['images']} images and {told['tokens_per_batch']} tokens."
        )
        raise SchemaError(msg)
    file = out / TOLD
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else told
    differ = [name for name in told if before.get(name) != told[name]]
    changed = [f"{name}: {before.get(name)!r} before, {told[name]!r} now" for name in differ]
    if changed:
        msg = f"{out} was begun with other settings ({'; '.join(changed)}). Pass another out, or the same settings."
        raise SchemaError(msg)
    write_json(told, file)


def _restore(out, pupil, optimizer):
    """Go back to the last checkpoint, if there is one; where to go on."""
    last = next(reversed(checkpoints.complete(out / CHECKPOINTS)), None)
    state = {"step": 0, "next": 0}
    if last:
        checkpoints.restore(last, models={"pupil": pupil}, optimizers=[optimizer])
        state = checkpoints.read_state(last)
    truncate_log(out / LOG, state["step"])
    return state


def _batches(store, rows, vit, *, tokens_per_batch, seed, start):
    """Packs of whole images in an endless random order, each with the place at which the next one begins."""
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
            yield pack(sorted(images, key=lambda p: len(p.values))), place
            images, n_tokens = [], 0
        images.append(patches)
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


def _learn(pupil, teacher, optimizer, packed, *, rate):
    """One step; its losses."""
    with torch.no_grad():
        wanted = teacher(packed)
    cls, patches = pupil(packed)
    away = 1 - cosine_similarity(patches, wanted.patches)
    losses = {
        "cls": (1 - cosine_similarity(cls, wanted.cls)).mean(),
        "patches": image_means(away.unsqueeze(1), packed.lengths).mean(),
    }
    loss = sum(losses.values())
    optimizer.zero_grad(set_to_none=True)
    if not loss.isfinite():
        msg = f"the loss is no longer finite ({float(loss.detach())}). Lower learning_rate and begin in another folder."
        raise FloatingPointError(msg)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(pupil.parameters(), CLIP)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    found = {"loss": loss} | losses | {"gradient_norm": norm}
    return {name: float(value.detach()) for name, value in found.items()}
