"""Which images make up each step: known before a pixel is read, and the same on any number of devices."""

import heapq
from typing import NamedTuple

import numpy as np

from aqqua_science.pretraining.ordering import shuffled, uniforms
from aqqua_science.pretraining.views import N_DRAWS, Layout, lay_out

BLOCK = 256
"""Images whose views are laid out together."""
WAITING = 64
"""Images that may wait for a batch with room for them."""


class Step(NamedTuple):
    """
    What one optimiser step looks at.

    Attributes
    ----------
    number : int
    places : numpy.ndarray of int, shape (image,)
        Into the rows that are trained on.
    epochs : numpy.ndarray of int, shape (image,)
    layout : Layout
        Views of each image.
    tokens : numpy.ndarray of int, shape (image,)
    """

    number: int
    places: np.ndarray
    epochs: np.ndarray
    layout: Layout
    tokens: np.ndarray


class Plan:
    """
    Deal out images, step by step: each of them once in every epoch.

    Parameters
    ----------
    images : pandas.DataFrame
        Columns height, width, channels, pixel_size_um; one row for each image that is trained on.
    config : PretrainConfig
    state : dict, optional
        Where an earlier plan stood, as its `state` told.
    """

    def __init__(self, images, config, *, state=None):
        self.images = images
        self.config = config
        self.number, self.next, self._waiting = 0, 0, []
        self._block = None
        if state:
            self.number, self.next = state["number"], state["next"]
            self._waiting = [self._lay(place) for place in state["waiting"]]

    @property
    def state(self):
        """Where the plan stands, for JSON: the next step, and what is read next."""
        return {"number": self.number, "next": self.next, "waiting": [place for place, *_ in self._waiting]}

    def __iter__(self):
        return self

    def __next__(self):
        """
        Fill a batch with images whose views fit, those that waited first.

        Returns
        -------
        Step
        """
        left, chosen, waiting = self.config.tokens_per_batch, [], []
        smallest = 2 + self.config.views.n_local
        queue = iter(self._waiting)
        while left >= smallest and len(waiting) < WAITING:
            image = next(queue, None) or self._read()
            if image[1] <= left:
                chosen.append(image)
                left -= image[1]
            else:
                waiting.append(image)
        self._waiting = [*waiting, *queue]
        self.number += 1
        return self._step(chosen)

    def _step(self, chosen):
        n = len(self.images)
        places = np.array([place for place, *_ in chosen])
        layout = Layout(*(np.stack(parts) for parts in zip(*(views for *_, views in chosen), strict=True)))
        epochs = places // n
        return Step(self.number - 1, self._look_up(places), epochs, layout, np.array([cost for _, cost, _ in chosen]))

    def _read(self):
        """Take the next image of the stream of epochs."""
        image = self._lay(self.next)
        self.next += 1
        return image

    def _lay(self, place):
        """Place in the stream, tokens and views of an image."""
        start = place - place % BLOCK
        if self._block is None or self._block[0] != start:
            self._block = (start, self._lay_out(np.arange(start, start + BLOCK)))
        layout = self._block[1]
        views = Layout(*(part[place - start] for part in layout))
        return place, int(views.tokens.sum()), views

    def _look_up(self, stream):
        """Rows of `images` at places in the stream, which goes through all images again and again."""
        n, epochs = len(self.images), stream // len(self.images)
        rows = np.empty(len(stream), np.int64)
        for epoch in np.unique(epochs):
            mine = epochs == epoch
            rows[mine] = shuffled(stream[mine] % n, n, seed=self.config.seed, epoch=int(epoch))
        return rows

    def _lay_out(self, stream):
        config = self.config
        rows = self._look_up(stream)
        views, draws = np.arange(2 + config.views.n_local), np.arange(N_DRAWS)
        chances = uniforms(config.seed, stream[:, None, None], views[:, None], draws)
        return lay_out(
            self.images.iloc[rows], chances, views=config.views, patch_size=config.patch_size,
            token_limit=config.token_limit,
        )  # fmt: skip


def deal(costs, n_parts):
    """
    Share out images evenly: the largest first, each to whoever has the least.

    Parameters
    ----------
    costs : array of int, shape (image,)
    n_parts : int

    Returns
    -------
    list of numpy.ndarray of int
        Images of each part, in ascending order.

    Raises
    ------
    ValueError
        If there are fewer images than parts.
    """
    if len(costs) < n_parts:
        msg = (
            f"a batch holds {len(costs)} images, which {n_parts} parts (devices x accumulate) cannot share. "
            "Raise tokens_per_batch, or use fewer devices."
        )
        raise ValueError(msg)
    heap = [(0, part) for part in range(n_parts)]
    parts = [[] for _ in range(n_parts)]
    for image in np.argsort(-np.asarray(costs), kind="stable"):
        load, part = heapq.heappop(heap)
        parts[part].append(image)
        heapq.heappush(heap, (load + int(costs[image]), part))
    return [np.sort(part) for part in parts]
