"""A small encoder that learns from a large one what it makes of a store."""

from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from aqqua_science.images import open_store
from aqqua_science.pretraining.encoders import credits_of, save_encoder
from aqqua_science.pretraining.lessons import batches, begin, digest, own_copy, teach
from aqqua_science.pretraining.packing import image_means
from aqqua_science.pretraining.runs import ENCODER
from aqqua_science.pretraining.vit import SIZES, ViT
from aqqua_science.schema import SchemaError

TOLD = "distillation.json"


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
    student : {"pico", "nano", "tiny", "small", "base", "large"}
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
    >>> from aqqua_science.pretraining.encoders import load
    >>> from aqqua_science.synthetic import images
    >>> folder = Path(tempfile.mkdtemp())
    >>> store = ingest(images(12, rng=0, instruments=["UVP6"]), folder / "drawn.aqqua")
    >>> out = distil(ViT("tiny"), store, out=folder / "small", steps=2, tokens_per_batch=512)
    >>> load(out).settings["vit"]
    'nano'
    """
    out, store = Path(out), store if hasattr(store, "rows") else open_store(store)
    rows, teacher = store.rows(rows), own_copy(teacher).requires_grad_(False).to(device)
    told = {"student": student, "steps": steps, "tokens_per_batch": tokens_per_batch, "learning_rate": learning_rate}
    told |= {
        "seed": seed,
        "images": len(rows),
        "rows": digest([rows]),
        "teacher": digest(teacher.state_dict().values()),
    }
    _check(student)
    begin(told, out / TOLD, max_tokens=teacher.about["max_tokens"], checkpoint_every=checkpoint_every)
    pupil = _Pupil(student, teacher, seed=seed).to(device)
    about = _about(teacher, store) | told
    return teach(
        pupil,
        lambda packed, _: _losses(pupil, teacher, packed),
        out=out,
        batches_from=lambda start: batches(
            store, rows, teacher, tokens_per_batch=tokens_per_batch, seed=seed, start=start
        ),
        told=told,
        write=lambda step: save_encoder(pupil.vit, out / ENCODER, about=about | {"step": step}),
        checkpoint_every=checkpoint_every,
        device=device,
    )


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


def _about(teacher, store):
    """What the user of the student must know; how images are shown is as for the teacher."""
    shown = {name: teacher.about[name] for name in ("max_tokens", "square")}
    return shown | {"store": credits_of(store)} | {"distilled_from": teacher.about}


def _check(student):
    """Refuse a size that does not exist."""
    if student not in SIZES:
        msg = f"there is no student {student!r}. Pass one of {', '.join(SIZES)}."
        raise SchemaError(msg)


def _losses(pupil, teacher, packed):
    """How far the student's tokens point away from its teacher's, and the two parts of that."""
    with torch.no_grad():
        wanted = teacher(packed)
    cls, patches = pupil(packed)
    away = 1 - cosine_similarity(patches, wanted.patches)
    losses = {
        "cls": (1 - cosine_similarity(cls, wanted.cls)).mean(),
        "patches": image_means(away.unsqueeze(1), packed.lengths).mean(),
    }
    return sum(losses.values()), losses
