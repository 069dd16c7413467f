"""Pretraining: packed images beside padded and resized ones, our step beside a plain loop, our loader beside PNG."""

import copy
import math
import tempfile
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from aqqua_science.images import ingest
from aqqua_science.images.patches import intensities
from aqqua_science.pretraining import PretrainConfig, embeddings
from aqqua_science.pretraining.encoders import whole_patches
from aqqua_science.pretraining.loader import MASK_KEY, _mask, _packed, _views, facts, shares
from aqqua_science.pretraining.ordering import hashed
from aqqua_science.pretraining.packing import Packed, join, pack
from aqqua_science.pretraining.planning import Plan
from aqqua_science.pretraining.trainer import Trainer
from aqqua_science.pretraining.views import N_LARGE
from aqqua_science.pretraining.vit import SIZES, ViT
from benchmarks.plain_training import PlainTrainer, views_of
from benchmarks.storage import DATA, REAL, _arrays, _check, _png, _png_folder, _record, _row

PIXEL_SIZE_UM = {"UVP6": 73.0, "ISIIS": 68.0, "FlowCam": 1.1, "IFCB": 0.3}
"""Of the instruments, roughly: where a patch is costs nothing."""

SIDE, BATCH = 224, 64
TOKENS = 4_096
"""Of a step on a processor."""
GPU_TOKENS = {"small": 65_536, "large": 16_384}
"""Of a step on a GPU of 40 GB."""
PLANNED = 50
RENDERED = 6

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Multiplications and additions in bfloat16 a second, without sparsity, as the vendor states them."""


def run(*, n_images=256, rng=0):
    """
    Time the embedding, the training and the loading of a mix of four instruments on one thread, and check the plan.

    Parameters
    ----------
    n_images : int
        Of all instruments; real images where they lie beside the repository.
    rng : int or numpy.random.Generator
        Draws the order in which they come.

    Returns
    -------
    list of dict
        One row per task and peer: `task`, `ours_s`, `peer`, `peer_s`, `ratio` (peer / ours) and `note`; where there is
        a GPU, peers of the last rows are its peak, and the ratio the share of it.
    """
    rng = np.random.default_rng(rng)
    config = PretrainConfig(vit="nano", tokens_per_batch=TOKENS, device="cpu")
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        store, arrays = _store(Path(folder), n_images, rng)
        table, read_png = facts(store), _png_folder(Path(folder), [_png(a) for a in arrays])
        _check(store, {"PNG": read_png}, arrays, rng.permutation(n_images)[:50])
        rendering, images_per_second = _loading(store, table, config, read_png)
        rows = [
            *_embedding(store, table, config),
            *_training(next(shares(store, table, config)), config),
            rendering,
            _reading(store, table, config, read_png),
            _planning(table, config, images_per_second),
        ]
        real = [name for name, (_, of) in REAL.items() if (DATA / of).exists()]
        rows[0]["note"] += f"; {n_images} images, real ones of {', '.join(real) or 'none'}, else drawn"
        if torch.cuda.is_available():
            return rows + [_on_gpu(store, table, vit, tokens=n) for vit, n in GPU_TOKENS.items()]
    rows[-1]["note"] += "; no GPU was there, so none is measured"
    return rows


@contextmanager
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _store(folder, n, rng):
    """A store of as many images of each instrument, in random order, and their pixels."""
    found = [(name, array) for name in REAL for array in _arrays(name, -(-n // len(REAL)))]
    found = [found[i] for i in rng.permutation(len(found))[:n]]
    records = [_record(i, array) for i, (_, array) in enumerate(found)]
    for record, (name, _) in zip(records, found, strict=True):
        record.metadata.update(instrument=name, pixel_size_um=PIXEL_SIZE_UM[name])
    return ingest(records, folder / "store"), [array for _, array in found]


def _best(functions, *, repeats=3):
    """Least processor time of each function, taken in turns so that a busy moment hits all."""
    best = dict.fromkeys(functions, math.inf)
    for _ in range(repeats):
        for name, function in functions.items():
            start = process_time()
            function()
            best[name] = min(best[name], process_time() - start)
    return best


def _same(ours, theirs, what, *, tolerance=1e-4):
    """A speed means nothing where the results differ."""
    if not np.allclose(ours, theirs, rtol=tolerance, atol=tolerance):
        msg = f"{what} of both ways differ by up to {np.abs(np.subtract(ours, theirs)).max():.2g}; do not compare them."
        raise ValueError(msg)


def _padded(packed):
    """The images of a pack as rows of the longest one's length, and where they are no padding."""
    lengths = packed.lengths.tolist()
    parts = [pad_sequence(tensor.split(lengths), batch_first=True) for tensor in packed[:4]]
    keep = torch.arange(max(lengths)) < packed.lengths[:, None]
    return Packed(*parts, packed.pixel_size_um, packed.lengths), keep


def _embedding(store, table, config):
    """Whole images to class tokens, reading included."""
    torch.manual_seed(0)
    vit = ViT(config.vit).eval()
    vit.about = {"max_tokens": config.token_limit}
    ways = {
        "ours": lambda: embeddings(vit, store),
        f"padded to the longest of {BATCH}, key mask": lambda: _embed_padded(vit, store, table),
        "the same, all sorted by length first": lambda: _embed_padded(vit, store, table, ordered=True),
        f"resized to {SIDE} x {SIDE}, grey": lambda: _embed_resized(vit, store, table),
    }
    found = [embed() for embed in ways.values()]
    _same(found[0], found[1], "embeddings")
    _same(found[0], found[2], "embeddings")
    lengths = np.array([len(_whole(vit, store, table, i).values) for i in range(len(store))])
    notes = [
        f"of the padded tokens {_occupancy(lengths):.0%} are image, of the packed ones all",
        f"of the padded tokens {_occupancy(np.sort(lengths)):.0%} are image; this must hold all images at once",
        f"{(SIDE // vit.settings['patch_size']) ** 2} tokens an image, {lengths.mean():.0f} at its own resolution",
    ]
    seconds = _best(ways)
    ours_s, n = seconds.pop("ours"), len(store)
    return [
        _row("embed images of four instruments", ours_s, peer, peer_s, f"{_rates(n, ours_s, peer_s)}; {note}")
        for (peer, peer_s), note in zip(seconds.items(), notes, strict=True)
    ]


def _occupancy(lengths):
    """Share of the tokens that are no padding."""
    parts = np.split(lengths, range(BATCH, len(lengths), BATCH))
    return lengths.sum() / sum(part.max() * len(part) for part in parts)


def _rates(n, ours_s, peer_s):
    return f"{n / ours_s:,.0f} images/s, the peer {n / peer_s:,.0f}"


def _whole(vit, store, table, i, *, grey=False):
    depth, pixel_size = table["bit_depth"].iloc[i], table["pixel_size_um"].iloc[i]
    pixels = store[i]
    if grey and pixels.ndim == 3:
        pixels = pixels.mean(-1)
    return whole_patches(pixels, vit, bit_depth=depth, pixel_size_um=pixel_size)


@torch.inference_mode()
def _embed_padded(vit, store, table, *, ordered=False):
    order = range(len(store))
    patches = [_whole(vit, store, table, i) for i in order]
    if ordered:
        order = sorted(order, key=lambda i: len(patches[i].values))
    found = torch.empty(len(store), vit.width)
    for start in range(0, len(store), BATCH):
        rows = list(order[start : start + BATCH])
        padded, keep = _padded(pack([patches[i] for i in rows]))
        found[rows] = vit.padded(padded, keep=keep).cls
    return found.numpy()


@torch.inference_mode()
def _embed_resized(vit, store, table):
    """All of one length, which is a plain batch: neither padding nor mask."""
    resizing = copy.copy(vit)
    resizing.about = vit.about | {"square": SIDE}
    found = []
    for start in range(0, len(store), BATCH):
        rows = range(start, min(start + BATCH, len(store)))
        found.append(vit(pack([_whole(resizing, store, table, i, grey=True) for i in rows])).cls)
    return torch.cat(found).numpy()


def _training(share, config):
    """One step on the same views: the network alone against padding, and all of it against loops."""
    (batch,) = share.batches
    return [_forward_and_backward(batch, config), _whole_step(share, batch, config)]


def _forward_and_backward(batch, config):
    torch.manual_seed(0)
    vit, packed = ViT(config.vit), join(batch.large, batch.small)
    padded = [_padded(part) for part in (batch.large, batch.small)]

    def learn_packed():
        return _gradient(vit, [vit(packed)])

    def learn_padded():
        encoded = [(vit.padded(part, keep=keep), keep) for part, keep in padded]
        return _gradient(vit, [e._replace(patches=e.patches[keep]) for e, keep in encoded])

    _same(learn_packed(), learn_padded(), "gradients", tolerance=1e-3)
    seconds = _best({"ours": learn_packed, "peer": learn_padded})
    n_padded = sum(keep.numel() for _, keep in padded)
    note = f"{len(packed.values):,} tokens of {batch.n_images} images; padded {n_padded:,}, which is made beforehand"
    peer = "large and small views each padded, key mask"
    return _row("ViT forward and backward on views", seconds["ours"], peer, seconds["peer"], note)


def _gradient(vit, encoded):
    """Of a sum that every token has a part in: its norm for each tensor."""
    vit.zero_grad()
    sum(e.cls[:, 0].sum() + e.patches[:, 1].mul(e.patches[:, 2]).sum() / 1e3 for e in encoded).backward()
    return np.array([float(p.grad.norm()) for p in vit.parameters() if p.grad is not None])


def _whole_step(share, batch, config):
    trainer = Trainer(config, guides=None, device=torch.device("cpu"))
    plain = PlainTrainer(trainer.student, config)
    views, masks = views_of(batch)
    ours, theirs = trainer.step(share), plain.step(views, masks, share.number)
    _same([ours[name] for name in theirs], list(theirs.values()), "losses")
    seconds = _best({"ours": lambda: trainer.step(share), "peer": lambda: plain.step(views, masks, share.number)})
    n = batch.n_images
    note = f"{_rates(n, seconds['ours'], seconds['peer'])}; losses and the gradient's norm agree to 1e-4 in float32"
    peer = "one view at a time, losses by loops"
    return _row("training step: DINO, iBOT, KoLeo, AdamW, teacher", seconds["ours"], peer, seconds["peer"], note)


class PngViews(Dataset):
    """
    One image an item, read from a folder of PNG when it is asked for, as loaders of photographs do.

    Parameters
    ----------
    read : callable
        From a row to its pixels.
    table : pandas.DataFrame
    steps : list of Step
        The views that are wanted: the plan is given away.
    config : PretrainConfig
    """

    def __init__(self, read, table, steps, config):
        self.read, self.table, self.steps, self.config = read, table, steps, config
        self.batches = [[(number, i) for i in range(len(step.places))] for number, step in enumerate(steps)]

    def __getitem__(self, item):
        """Views and masks of an image, and its place."""
        number, i = item
        step, config = self.steps[number], self.config
        place = step.places[i]
        pixels = intensities(self.read(place), bit_depth=int(self.table["bit_depth"].iloc[place]))
        key = hashed(config.seed, place, step.epochs[i])
        views = _views(pixels, step.layout, i, config, key)
        masks = [_mask(patches, config, hashed(key, v, MASK_KEY)) for v, patches in enumerate(views[:N_LARGE])]
        return views, masks, place

    def collate(self, items):
        """One batch."""
        views, masks, places = zip(*items, strict=True)
        return _packed(list(views), list(masks), self.table.iloc[list(places)])


def _loading(store, table, config, read_png):
    """Steps ready for the network; also how many images a second."""
    config = config.model_copy(update={"steps": RENDERED})
    plan = Plan(table, config)
    png = PngViews(read_png, table, [next(plan) for _ in range(RENDERED)], config)
    ways = {
        "ours": lambda: [share.batches[0] for share in shares(store, table, config)],
        "peer": lambda: list(DataLoader(png, batch_sampler=png.batches, collate_fn=png.collate)),
    }
    ours, theirs = (way() for way in ways.values())
    for mine, its in zip(ours, theirs, strict=True):
        _same(mine.large.values, its.large.values, "large views", tolerance=0)
        _same(mine.small.values, its.small.values, "small views", tolerance=0)
        _same(mine.mask, its.mask, "masks", tolerance=0)
    seconds, n = _best(ways), sum(batch.n_images for batch in ours)
    note = f"{_rates(n, seconds['ours'], seconds['peer'])}; {2 + config.views.n_local} views an image, the same in both"
    peer = "torch Dataset on a folder of PNG, the plan given"
    row = _row(f"read and render {RENDERED} steps", seconds["ours"], peer, seconds["peer"], note)
    return row, n / seconds["ours"]


def _reading(store, table, config, read_png):
    vit = ViT(config.vit)
    vit.about = {"max_tokens": config.token_limit}
    rows = range(len(store))
    seconds = _best({"ours": lambda: [_whole(vit, store, table, i) for i in rows]} | {
        "peer": lambda: [_whole(vit, _Reader(read_png), table, i) for i in rows]
    })  # fmt: skip
    note = _rates(len(store), seconds["ours"], seconds["peer"])
    return _row("read and cut whole images", seconds["ours"], "folder of PNG, Pillow", seconds["peer"], note)


class _Reader:
    """A function that is asked as a store is."""

    def __init__(self, read):
        self.read = read

    def __getitem__(self, row):
        return self.read(row)


def _planning(table, config, images_per_second):
    """What the plan costs, and how full its batches are."""
    steps = []

    def plan():
        dealer = Plan(table, config)
        steps[:] = [next(dealer) for _ in range(PLANNED)]

    ours_s = _best({"ours": plan})["ours"]
    full = np.array([step.tokens.sum() / config.tokens_per_batch for step in steps])
    rendering_s = sum(len(step.places) for step in steps) / images_per_second
    note = f"batches are {full.mean():.1%} full on average, {full.min():.1%} at least, without a token of padding"
    return _row(f"plan {PLANNED} steps", ours_s, "rendering them, at the rate above", rendering_s, note)


def _on_gpu(store, table, vit, *, tokens, device="cuda", repeats=7):
    """One whole training step in bfloat16, its views rendered beforehand."""
    config = PretrainConfig(vit=vit, precision="bfloat16", tokens_per_batch=tokens)
    share = next(shares(store, table, config))
    trainer = Trainer(config, guides=None, device=torch.device(device))
    best = math.inf
    for _ in range(repeats):
        start = perf_counter()
        trainer.step(share)
        torch.cuda.synchronize()
        best = min(best, perf_counter() - start)
    (batch,) = share.batches
    large, small = (_flops(vit, part.lengths + trainer.student.vit.n_special) for part in (batch.large, batch.small))
    card = torch.cuda.get_device_name()
    peak_s = (3 * (large + small) + large) / next((peak for name, peak in PEAK.items() if name in card), math.nan)
    note = f"{card}: {share.n_images / best:,.0f} images/s per GPU, {peak_s / best:.0%} of the peak; heads not counted"
    return _row(f"training step of {vit} in bfloat16", best, "the card's peak", peak_s, note)


def _flops(vit, lengths):
    """Of one way forward: 24 width² a token for the matrices of a block, 4 width n² for the attention of n tokens."""
    width, depth, _ = SIZES[vit]
    n = lengths.double()
    return float(depth * (24 * width**2 * n + 4 * width * n**2).sum())
