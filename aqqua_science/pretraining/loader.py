"""From rows of a store to packed views: the same batches in whatever number of processes."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from aqqua_science.images import open_store
from aqqua_science.images.measurements import measure
from aqqua_science.images.patches import background_levels, cut, intensities
from aqqua_science.images.sizes import esd_um
from aqqua_science.pretraining.masking import block_mask
from aqqua_science.pretraining.ordering import hashed, uniforms
from aqqua_science.pretraining.packing import Packed, pack
from aqqua_science.pretraining.planning import Plan, deal
from aqqua_science.pretraining.views import N_LARGE, render

FACTS = ["height", "width", "channels", "pixel_size_um", "bit_depth"]
"""What the plan must know of an image."""

OF_PIXELS = ("esd_um", "measured")
"""Guides that are measured off the image; the others are columns of the store."""

MASK_KEY = 0x3A5C
NOISE_KEY = 0x4015E


class Batch(NamedTuple):
    """
    Views of some images.

    Attributes
    ----------
    large : Packed
        Two views of each image, sorted by length.
    large_place : torch.Tensor of int64, shape (2, image)
        Where each view stands in `large`.
    small : Packed or None
    small_place : torch.Tensor of int64, shape (view, image)
        The same in `small`.
    mask : torch.Tensor of bool, shape (token,)
        Patches of `large` that the student does not see.
    table : pandas.DataFrame
        Metadata of the images, for the guides.
    """

    large: Packed
    large_place: torch.Tensor
    small: Packed | None
    small_place: torch.Tensor
    mask: torch.Tensor
    table: pd.DataFrame

    @property
    def n_images(self):
        """Images whose views these are."""
        return self.large_place.shape[1]

    def to(self, device, dtype):
        """Move all tensors to a device, in a precision."""
        small = self.small and self.small.cast(dtype).to(device, non_blocking=True)
        rest = [t.to(device, non_blocking=True) for t in (self.large_place, self.small_place, self.mask)]
        return Batch(self.large.cast(dtype).to(device, non_blocking=True), rest[0], small, *rest[1:], self.table)


class Share(NamedTuple):
    """
    What one process works on in one step.

    Attributes
    ----------
    number : int
        Of the step.
    epoch : int
        Of its last image.
    batches : list of Batch
        One for each piece of `accumulate`.
    n_images, n_tokens : int
        Over all processes.
    rows : numpy.ndarray of int64
        Of the store, of this process.
    state : dict
        Of the plan, after the step.
    """

    number: int
    epoch: int
    batches: list
    n_images: int
    n_tokens: int
    rows: np.ndarray
    state: dict


def facts(store, rows=None, *, columns=()):
    """
    Read what the plan and the guides must know of the images.

    Parameters
    ----------
    store : ImageStore
    rows : numpy.ndarray of int64, optional
        Images that are trained on; all by default.
    columns : iterable of str
        Of the store's table, besides.

    Returns
    -------
    pandas.DataFrame
        Indexed by row of the store.
    """
    held = [name for name in columns if name not in {*FACTS, *OF_PIXELS}]
    table = store.select("true", columns=[*FACTS, *held])
    table = table if rows is None else table.loc[rows]
    small = {"height": "int32", "width": "int32", "channels": "int32", "pixel_size_um": "float32", "bit_depth": "int16"}
    return table.astype(small)


def shares(store, table, config, *, state=None, rank=0, world=1):
    """
    Go through the steps of a run.

    Parameters
    ----------
    store : ImageStore
    table : pandas.DataFrame
        As `facts` gives it.
    config : PretrainConfig
    state : dict, optional
        Of the plan, where the run goes on.
    rank, world : int
        Which of how many processes this is.

    Yields
    ------
    Share
    """
    steps = _Steps(store.path, table, config, state=state, rank=rank, world=world)
    workers = config.workers
    context = "forkserver" if workers else None
    yield from DataLoader(
        steps, batch_size=None, collate_fn=_as_it_is, num_workers=workers, multiprocessing_context=context
    )


def _as_it_is(share):
    return share


class _Steps(IterableDataset):
    """Steps of a plan; with several workers, each renders every so many-th."""

    def __init__(self, path, table, config, *, state, rank, world):
        super().__init__()
        self.path, self.table, self.config = path, table, config
        self.state, self.rank, self.world = state, rank, world

    def __iter__(self):
        info = get_worker_info()
        which, workers = (info.id, info.num_workers) if info else (0, 1)
        store, plan = open_store(self.path), Plan(self.table, self.config, state=self.state)
        for k, step in enumerate(plan):
            if step.number >= self.config.steps:
                return
            if k % workers == which:
                yield self._share(store, step, plan.state)

    def _share(self, store, step, state):
        n = self.config.accumulate
        parts = deal(step.tokens, self.world * n)[self.rank * n : (self.rank + 1) * n]
        batches = [_batch(store, self.table, step, images, self.config) for images in parts]
        rows = self.table.index.to_numpy()[step.places[np.concatenate(parts)]]
        n_tokens = int(step.tokens.sum())
        return Share(step.number, int(step.epochs[-1]), batches, len(step.places), n_tokens, rows, state)


def _batch(store, table, step, images, config):
    """Render, cut, mask and pack the views of some images of a step."""
    views, masks = [], []
    for image in images:
        place = step.places[image]
        row, depth = int(table.index[place]), int(table["bit_depth"].iloc[place])
        pixels = intensities(store[row], bit_depth=depth)
        key = hashed(config.seed, row, step.epochs[image])
        views.append(_views(pixels, step.layout, int(image), config, key))
        masks.append(
            [_mask(patches, config, hashed(key, v, MASK_KEY)) for v, patches in enumerate(views[-1][:N_LARGE])]
        )
    return _packed(views, masks, with_measures(store, table.iloc[step.places[images]], config.guides))


def with_measures(store, table, names):
    """
    Add to metadata what guides ask of the pixels.

    Parameters
    ----------
    store : ImageStore
    table : pandas.DataFrame
        Indexed by row of the store, with `pixel_size_um` and `bit_depth`.
    names : iterable of str
        Of all guides.

    Returns
    -------
    pandas.DataFrame
    """
    if not set(names) & set(OF_PIXELS):
        return table
    known = zip(table.index, table["pixel_size_um"], table["bit_depth"], strict=True)
    measured = [_measured_columns(store[int(row)], float(size), int(depth), names) for row, size, depth in known]
    return table.assign(**{name: [found[name] for found in measured] for name in measured[0]})


def _measured_columns(pixels, pixel_size_um, bit_depth, names):
    """What guides ask of the pixels: `esd_um` and `measured`, as far as they do."""
    found = {}
    if "esd_um" in names:
        planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
        found["esd_um"] = esd_um(planes.astype(np.float32), pixel_size_um=pixel_size_um)
    if "measured" in names:
        found["measured"] = np.array(list(measure(pixels, pixel_size_um=pixel_size_um, bit_depth=bit_depth).values()))
    return found


def _packed(views, masks, metadata):
    """Put views of about one length beside one another."""
    large, large_place, order = _sorted_pack([[image[v] for image in views] for v in range(N_LARGE)])
    flat = [image[v] for v in range(N_LARGE) for image in masks]
    mask = torch.from_numpy(np.concatenate([flat[i] for i in order]))
    n_views = len(views[0])
    if n_views == N_LARGE:
        return Batch(large, large_place, None, large_place[:0], mask, metadata)
    small, small_place, _ = _sorted_pack([[image[v] for image in views] for v in range(N_LARGE, n_views)])
    return Batch(large, large_place, small, small_place, mask, metadata)


def _sorted_pack(views):
    """Views (one list of images each) packed by length, and where each went."""
    flat = [patches for view in views for patches in view]
    order = np.argsort([len(p.values) for p in flat], kind="stable")
    place = torch.from_numpy(np.argsort(order, kind="stable")).unflatten(0, (len(views), -1))
    return pack([flat[i] for i in order]), place, order


def _views(pixels, layout, image, config, key):
    """All views of an image, cut into patches."""
    background = background_levels(pixels)
    found = []
    for view in range(layout.tokens.shape[1]):
        seed = int(hashed(key, view, NOISE_KEY))
        shown, pixel_size, kinds = render(
            pixels, layout, (image, view), views=config.views, seed=seed, background=background
        )
        found.append(cut(shown, pixel_size_um=pixel_size, patch_size=config.patch_size, channels=kinds))
    return found


def _mask(patches, config, key):
    """Patches of a large view that the student shall not see; the same places in all channels."""
    n = len(patches.values) // (patches.grid[0] * patches.grid[1])
    chance, share = uniforms(key, np.arange(2))
    if not config.ibot_weight or chance >= config.mask_probability:
        return np.zeros(len(patches.values), bool)
    low, high = config.mask_share
    mask = block_mask(patches.grid, share=low + (high - low) * share, rng=np.random.default_rng(int(key)))
    return np.tile(mask.ravel(), n)
