"""What every source hands over: records, in parts that can be read one by one."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


class PictureError(ValueError):
    """The pixels of one image cannot be had; the message is the reason it is rejected for."""


@dataclass(frozen=True, slots=True)
class Record:
    """
    One image as an instrument or a portal delivered it.

    Attributes
    ----------
    origin : str
        File and row it comes from, relative to the source, such as ``"a/ecotaxa_a.tsv:3"``.
    pixels : callable
        Without arguments; reads and decodes the image when it is needed: (height, width[, channels]), the values as
        they were taken. Raises `PictureError` with the reason when it cannot.
    metadata : dict
        Values under the names of `schema.VOCABULARY` (and ``aux_...``, ``trait_...``), as numbers or as text that
        reads as one; an absent key, None, NaN and "" all say that nothing is known.
    raw : dict of str to str
        Every original column and its value, as text.
    fault : str
        Why this record cannot be used, as ``"reason: particulars"``; empty when all is well.

    Examples
    --------
    >>> record = Record("run.csv:2", lambda: np.zeros((4, 6), np.uint8), {"taxon": "Copepoda"}, {"class": "Copepoda"})
    >>> record.pixels().shape, record.fault
    ((4, 6), '')
    """

    origin: str
    pixels: Callable[[], np.ndarray] | None
    metadata: dict
    raw: dict
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """
    A piece of a source that is read by itself: a table, a bin, a run.

    Attributes
    ----------
    name : str
        Path of the file within the source.
    rows : int
        How many records it yields, faulty ones included.
    detail : dict
        What the source's `read` needs to know of it; plain values only, since parts travel between processes.

    Examples
    --------
    >>> Part("D20130526T095207_IFCB013.adc", rows=19).rows
    19
    """

    name: str
    rows: int
    detail: dict = field(default_factory=dict)
