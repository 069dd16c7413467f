"""An encoder that learns the classes of labelled images, whole or by low-rank additions."""

import json
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import cross_entropy

from aqqua_science.files import replacing, write_json
from aqqua_science.images import open_store
from aqqua_science.images.shards import StoreError
from aqqua_science.pretraining import checkpoints
from aqqua_science.pretraining.encoders import credits_of, embeddings, save_encoder
from aqqua_science.pretraining.lessons import batches, begin, digest, own_copy, teach
from aqqua_science.pretraining.lora import adapt, merge
from aqqua_science.pretraining.runs import CHECKPOINTS, ENCODER
from aqqua_science.schema import SchemaError

TOLD = "finetuning.json"
HEAD = "head.safetensors"
CLASSES = "classes.json"
LEARNING_RATES = {"lora": 1e-3, "full": 1e-4}
"""What is new learns faster than what is known already."""
STRENGTH = 1.0
"""Inverse penalty of the probe that a head begins as."""
PROBED = 4_000
"""Images of that probe at most."""


def finetune(
    encoder, store, *, out, label="taxon", method="lora", rank=8, steps=500, tokens_per_batch=8_192,
    learning_rate=None, class_weight="balanced", checkpoint_every=200, rows=None, device="cpu", seed=0,
):  # fmt: skip
    """
    Adapt an encoder to labelled images.

    A linear head on the class token, which ends in the encoder's LayerNorm, learns the classes by cross-entropy, and
    the encoder with it. The head begins as a linear probe of the encoder as it is: a head that knows nothing would
    distort at first what the encoder knows (Kumar et al. 2022). Whole images at their own resolution are turned by
    quarters and mirrored at random. With ``"lora"`` the encoder stays as it is but for low-rank additions to the
    attention of each block, merged into its weights when they are written: either way the result is an ordinary
    encoder, for `load`, `export` and `features.embed`. Beside it lies the head, for `read_head`.

    A call that was stopped goes on from its last checkpoint when it is made again. Images to judge the result by must
    not be among `rows`.

    Parameters
    ----------
    encoder : ViT, str or pathlib.Path
        A network, or where a run or its encoder lies; it stays as it is.
    store : ImageStore, str or pathlib.Path
    out : str or pathlib.Path
        Folder of the result.
    label : str
        Column of the classes; images without one are left out.
    method : {"lora", "full"}
        Whether low-rank additions learn, or all weights.
    rank : int
        Of the additions; without meaning for ``"full"``.
    steps : int
        Optimiser steps.
    tokens_per_batch : int
        Patch tokens of a step.
    learning_rate : float, optional
        1e-3 for ``"lora"``, 1e-4 for ``"full"`` by default.
    class_weight : {"balanced", None}
        Whether every class weighs the same, however many images it has, or every image. Balanced, the head answers as
        if all classes were equally common.
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
        If a setting will not do, differs from what `out` was begun with, or there are fewer than two classes.
    StoreError
        If the store, the encoder or a checkpoint cannot be read.
    FloatingPointError
        If the loss, or what the encoder says of an image, is not finite.

    Warns
    -----
    UserWarning
        If a class has one image only.

    References
    ----------
    Hu et al. 2021, LoRA: low-rank adaptation of large language models, arXiv 2106.09685; Kumar et al. 2022, Fine-tuning
    can distort pretrained features and underperform out-of-distribution, arXiv 2202.10054.

    Examples
    --------
    >>> import tempfile
    >>> from aqqua_science.images import ingest
    >>> from aqqua_science.pretraining.vit import ViT
    >>> from aqqua_science.synthetic import images
    >>> folder = Path(tempfile.mkdtemp())
    >>> store = ingest(images(12, rng=0, instruments=["UVP6", "LOKI"]), folder / "drawn.aqqua")
    >>> out = finetune(ViT("pico"), store, out=folder / "tuned", label="instrument", steps=2, tokens_per_batch=512)
    >>> read_head(out).classes
    ['LOKI', 'UVP6']
    """
    out, store = Path(out), store if hasattr(store, "rows") else open_store(store)
    vit = own_copy(encoder).cpu()
    rows, classes, codes = _labelled(store, store.rows(rows), label)
    learning_rate = LEARNING_RATES.get(method) if learning_rate is None else learning_rate
    _check(method=method, class_weight=class_weight, learning_rate=learning_rate)
    told = {
        "label": label, "method": method, "rank": rank if method == "lora" else None, "steps": steps,
        "tokens_per_batch": tokens_per_batch, "learning_rate": learning_rate,
        "class_weight": class_weight, "seed": seed, "images": len(rows), "classes": classes,
        "rows": digest([rows, codes]), "encoder": digest(vit.state_dict().values()),
    }  # fmt: skip
    about = {"max_tokens": vit.about["max_tokens"], "square": vit.about["square"], "store": credits_of(store)}
    about |= {"finetuned_from": vit.about} | told
    pupil = _Pupil(vit, len(classes), rank=told["rank"], seed=seed)
    begin(told, out / TOLD, max_tokens=vit.about["max_tokens"], checkpoint_every=checkpoint_every)
    pupil.to(device)
    if not checkpoints.complete(out / CHECKPOINTS):
        pupil.begin_as_probe(store, rows, codes, class_weight=class_weight, seed=seed)
    codes, weights = (torch.from_numpy(values).to(device) for values in (codes, _weights(codes, class_weight)))

    def batches_from(start):
        return batches(store, rows, vit, tokens_per_batch=tokens_per_batch, seed=seed, start=start)

    def lesson(packed, places):
        return _judge(pupil(packed), codes[places], weights)

    def write(step):
        save_encoder(merge(pupil.vit), out / ENCODER, about=about | {"step": step})
        _write_head(pupil.head, out / ENCODER, classes=classes, label=label)

    return teach(
        pupil, lesson, out=out, batches_from=batches_from, told=told, write=write, checkpoint_every=checkpoint_every,
        device=device,
    )  # fmt: skip


class Head(NamedTuple):
    """
    What tells classes from the features of a fine-tuned encoder.

    Attributes
    ----------
    classes : list of str
    weight : numpy.ndarray of float32, shape (class, feature)
    bias : numpy.ndarray of float32, shape (class,)
    """

    classes: list
    weight: np.ndarray
    bias: np.ndarray

    def probabilities(self, features):
        """
        Tell classes from features.

        Parameters
        ----------
        features : array of float, shape (object, feature)
            Of the encoder that was fine-tuned with this head. A row with NaN gives NaN.

        Returns
        -------
        pandas.DataFrame
            A row for each object, a column for each class; rows sum to 1.
        """
        logits = np.asarray(features, float) @ self.weight.T.astype(float) + self.bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return pd.DataFrame(odds / odds.sum(axis=1, keepdims=True), columns=self.classes)


def read_head(path):
    """
    Read the linear head of a fine-tuned encoder.

    Parameters
    ----------
    path : str or pathlib.Path
        The folder that `finetune` wrote, or `encoder` in it.

    Returns
    -------
    Head

    Raises
    ------
    StoreError
        If there is none, or it is damaged.

    Examples
    --------
    >>> read_head("nowhere")
    Traceback (most recent call last):
    ...
    aqqua_science.images.shards.StoreError: nowhere holds no head: ...
    """
    file = next((p for p in (Path(path) / HEAD, Path(path) / ENCODER / HEAD) if p.is_file()), None)
    if file is None:
        msg = f"{path} holds no head: there is no {HEAD} in it. Pass the folder that finetune wrote."
        raise StoreError(msg)
    try:
        with safe_open(file, framework="np") as content:
            classes = json.loads(content.metadata()["classes"])
            return Head(classes, content.get_tensor("weight"), content.get_tensor("bias"))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        msg = f"{file} is no head of this package, or it is damaged: {error}. Copy it again, or fine-tune anew."
        raise StoreError(msg) from error


class _Pupil(nn.Module):
    """An encoder and a head on its class token."""

    def __init__(self, vit, n_classes, *, rank, seed):
        super().__init__()
        # Nothing is hidden here; what is not learned must not wait for a gradient.
        vit.mask.requires_grad_(False)
        if rank is not None:
            adapt(vit, rank, seed=seed)
        self.vit, self.head = vit, nn.utils.skip_init(nn.Linear, vit.width, n_classes)

    def forward(self, packed):
        """What speaks for each class, image by image."""
        return self.head(self.vit(packed).cls)

    def begin_as_probe(self, store, rows, codes, *, class_weight, seed):
        """Let the head answer as a linear probe of the encoder as it is."""
        some = _some(codes, seed)
        features = embeddings(self.vit, store, rows[some], device=self.head.weight.device)
        if not np.isfinite(features).all():
            msg = "what the encoder says of some image is not finite. Pass another encoder; this one is damaged."
            raise FloatingPointError(msg)
        found = _probe(features.astype(float), codes[some], class_weight)
        with torch.no_grad():
            for parameter, values in zip((self.head.weight, self.head.bias), found, strict=True):
                parameter.copy_(torch.from_numpy(values))


def _probe(features, codes, class_weight):
    """Weight and bias of a logistic regression on features of one common scale, for features as they are."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # Each feature on its own scale would give the faintest of them weights that make the first steps wild.
    mean, spread = features.mean(axis=0), np.sqrt(features.var(axis=0).mean()) or 1.0
    with warnings.catch_warnings():
        # One that stops early is near enough for a beginning.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=STRENGTH, class_weight=class_weight, max_iter=300)
        model.fit((features - mean) / spread, codes)
    weight, bias = model.coef_, model.intercept_
    if len(bias) == 1:
        weight, bias = (np.concatenate([-values, values]) / 2 for values in (weight, bias))
    weight = weight / spread
    return weight, bias - weight @ mean


def _some(codes, seed, limit=PROBED):
    """At most so many places, ascending, as many of each class as there are or can be."""
    order = np.random.default_rng(seed).permutation(len(codes))
    rank = pd.Series(order).groupby(codes[order]).cumcount().to_numpy()
    return np.sort(order[np.argsort(rank, kind="stable")[: max(limit, codes.max() + 1)]])


def _labelled(store, rows, label):
    """Rows with a label, the classes in sorted order, and each row's place among them."""
    if label not in store.table:
        msg = f"the store has no column {label!r}. Pass as label one of {', '.join(store.table.columns)}."
        raise SchemaError(msg)
    labels = store.table[label].loc[rows]
    known = (labels.notna() & (labels.astype(str).str.strip() != "")).to_numpy()
    codes, classes = pd.factorize(labels[known].astype(str), sort=True)
    counts = np.bincount(codes, minlength=len(classes))
    if len(classes) < 2:
        msg = (
            f"fine-tuning tells classes apart; {known.sum()} of {len(rows)} rows have a {label}, and they are of "
            f"{len(classes)} class{'' if len(classes) == 1 else 'es'}. Pass rows of two or more."
        )
        raise SchemaError(msg)
    if (counts == 1).any():
        single = ", ".join(classes[counts == 1])
        warnings.warn(f"one image is all there is of {single}: what it teaches may not hold for others.", stacklevel=3)
    return rows[known], classes.tolist(), codes


def _check(*, method, class_weight, learning_rate):
    """Refuse settings that do not exist."""
    if method not in LEARNING_RATES:
        msg = f"there is no method {method!r}. Pass one of {', '.join(LEARNING_RATES)}."
        raise SchemaError(msg)
    if class_weight not in ("balanced", None):
        msg = f"there is no class_weight {class_weight!r}. Pass 'balanced' or None."
        raise SchemaError(msg)
    if not 0 < learning_rate < np.inf:
        msg = f"learning_rate must be above 0; got {learning_rate}. Leave it out for {LEARNING_RATES[method]}."
        raise SchemaError(msg)


def _weights(codes, class_weight):
    """What an image of each class weighs, 1 on average over the images."""
    counts = np.bincount(codes)
    return np.float32(len(codes) / len(counts) / counts if class_weight else np.ones(len(counts)))


def _judge(logits, codes, weights):
    """The loss of a batch, and the share of its images that are told rightly."""
    # Divided by the images, not by their weights: a batch of common classes alone must not count as much as others.
    loss = (weights[codes] * cross_entropy(logits, codes, reduction="none")).mean()
    return loss, {"accuracy": (logits.argmax(dim=1) == codes).float().mean()}


def _write_head(head, folder, *, classes, label):
    """Write the head, and in words what its rows are."""
    tensors = {name: t.detach().to("cpu", torch.float32).contiguous() for name, t in head.state_dict().items()}
    with replacing(folder / HEAD) as part:
        save_file(tensors, part, metadata={"classes": json.dumps(classes)})
    write_json({"label": label, "classes": classes}, folder / CLASSES)
