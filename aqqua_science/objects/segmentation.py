"""Which pixels of an image are its main object, for whole stores."""

import hashlib
import json

import numpy as np
import pandas as pd

from aqqua_science import __version__
from aqqua_science.objects import thresholding
from aqqua_science.objects.masks import at_edge, encode, grow, read_masks, reason_of
from aqqua_science.progress import progress_bar

_COLUMNS = {"height": "int32", "width": "int32", "counts": object, "area_px": "int64", "at_edge": bool, "reason": "str"}


def segment(store, rows=None, *, method="classical", to=None):
    """
    Find the main object of each image, pixel by pixel.

    Parameters
    ----------
    store : ImageStore
    rows : optional
        As for `ImageStore.rows`; all by default.
    method : str or SegmentationHead
        ``"classical"``: thresholds on the difference from the water around, see
        `aqqua_science.objects.thresholding.main_mask`; or a fitted head, or any object with `predict` and
        `fingerprint`.
    to : str or pathlib.Path, optional
        A Parquet file to keep the masks in. They are written as they are found, and the file appears when it is
        whole; the same call goes on where a killed one stopped, and reads a file that is complete.

    Returns
    -------
    pandas.DataFrame
        Indexed by row number, in the order of `rows`: `object_id`, `height`, `width`, `counts` (runs, see
        `aqqua_science.objects.masks.decode`), `area_px`, `at_edge` (whether the object touches the border, so that
        part of it may be missing), and `reason`, empty unless there is no mask or nothing but mask.

    Raises
    ------
    ValueError
        If there is no such method.
    FileExistsError
        If `to` holds masks of other images or of another method.

    Examples
    --------
    >>> import tempfile
    >>> from aqqua_science.images import ingest
    >>> from aqqua_science.objects.masks import mask_of
    >>> from aqqua_science.synthetic import images
    >>> pictures = list(images(3, rng=1, instruments=["ZooScan"]))
    >>> store = ingest(pictures, tempfile.mkdtemp() + "/store")
    >>> masks = segment(store)
    >>> mask, true = mask_of(masks, 0), pictures[0].mask()
    >>> bool((mask & true).sum() > 0.5 * (mask | true).sum())
    True
    """
    find, name = _method(method)
    rows = store.rows(rows)
    names = store.table["object_id"]

    def describe(some):
        table = pd.DataFrame([_outline(find(store[int(row)])) for row in some], columns=list(_COLUMNS))
        table.insert(0, "object_id", names.to_numpy()[some])
        return table.astype(_COLUMNS).set_index(pd.Index(some, name="row"))

    if to is None:
        some = np.array_split(rows, max(1, len(rows) // 256))
        return pd.concat([describe(part) for part in progress_bar(some, desc="masks")])
    job = {"method": name, "store": _identity(store), "version": __version__}
    return read_masks(grow(to, rows, describe, job=job))


def _method(method):
    """A function from pixels to mask, and what tells it from others."""
    if isinstance(method, str) and method == "classical":
        return thresholding.main_mask, method
    if isinstance(method, str) or not hasattr(method, "predict"):
        msg = f"method is 'classical' or a fitted SegmentationHead; got {method!r}."
        raise ValueError(msg)
    return method.predict, method.fingerprint


def _outline(mask):
    """A row of the table."""
    mask = np.asarray(mask, bool)
    return *mask.shape, encode(mask), int(np.count_nonzero(mask)), at_edge(mask), reason_of(mask)


def _identity(store):
    """What tells a store's images from others'."""
    digests = [shard["sha256"] for shard in store.about["shards"]]
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:16]
