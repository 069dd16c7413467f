"""An audit of a store: what is wrong with its images and their metadata, one row per finding."""

import numpy as np
import pandas as pd

from aqqua_science.images.fingerprints import find_similar, fingerprint, is_same_picture
from aqqua_science.images.metadata_checks import find_odd
from aqqua_science.images.picture_checks import find_flaws, to_levels
from aqqua_science.images.shards import StoreError
from aqqua_science.progress import progress_bar

KINDS = {
    "unreadable": "The image cannot be decoded: its file is damaged.",
    "blank": "Nothing is to be seen: all grey levels are nearly the same.",
    "saturated": "Much of the image, its background not counted, is at the darkest or brightest value there is, so "
    "that detail is lost; masks of two values are of this kind too.",
    "duplicate": "The pixels are exactly those of an earlier image.",
    "near-duplicate": "The picture is that of an earlier image: moved by a few pixels, brighter, or compressed again.",
    "scale-bar": "A scale bar was drawn into the image; a model learns it instead of the organism.",
    "size-outlier": "The image is far larger or smaller than others of its instrument: is pixel_size_um right?",
    "repeated-id": "Another image goes by the same identifier.",
    "on-land": "The position is on land, and water is not said to be a lake or river.",
    "zero-position": "The position is exactly 0° N, 0° E, which often stands for a missing one.",
    "impossible-depth": "The depths contradict each other, or are deeper than such a water is.",
    "impossible-time": "The time has not come yet, or there was no such instrument then.",
    "midnight": "A note on a whole source: all its times are exactly midnight, so the hour is not known.",
}
"""Kinds of findings, in the order in which they are told, and what they mean."""

MAX_LOOKS = 8
"""Images with the closest hashes, as many of them as are compared with an image pixel by pixel."""

_COLUMNS = ["kind", "row", "object_id", "source", "detail", "other"]


def audit(store, *, land=None, now=None):
    """
    Find what is wrong with the images and metadata of a store.

    Every image is read once, in order; what could be the same picture twice is read again and compared pixel by
    pixel. Memory grows by some 20 bytes per image beyond `ImageStore.table`. Nothing is changed: take the findings'
    rows out with `ImageStore.subset`.

    Parameters
    ----------
    store : ImageStore
    land : callable, optional
        (longitudes, latitudes) -> whether on land, arrays of degrees; without it positions are not looked up. Inland
        waters are never findings.
    now : pandas.Timestamp, optional
        UTC; later times have not come yet. The present by default.

    Returns
    -------
    pandas.DataFrame
        One row per finding: `kind` (of `auditing.KINDS`), `row` of the image (missing for what is said of a whole
        source), `object_id`, `source`, `detail`: value and rule in words, and `other`: row of the image that it
        doubles or resembles. By kind, then row.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from aqqua_science.images import ingest
    >>> from aqqua_science.sources.pictures import encode_png
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "run" / "Copepoda").mkdir(parents=True)
    >>> _ = (folder / "run" / "Copepoda" / "1.png").write_bytes(encode_png(np.zeros((9, 9), dtype=np.uint8)))
    >>> defaults = {"time": "2024-05-01T09:30", "latitude": 54.2, "longitude": 7.9, "depth": 5, "licence": "CC0-1.0"}
    >>> defaults |= {"pixel_size_um": 50, "instrument": "CPICS"}
    >>> audit(ingest(folder / "run", folder / "store", defaults=defaults))["kind"].tolist()
    ['blank']
    """
    table = store.table
    if table.empty:
        return pd.DataFrame(columns=_COLUMNS)
    flaws, hashes, contrasts = _look(store, table)
    alike = _resemblances(store, table, hashes, contrasts)
    return _arrange([*flaws, *_doubles(table), *alike, *find_odd(table, land=land, now=now)], table)


def _arrange(found, table):
    """Findings as a table, in the order of their kinds."""
    findings = pd.DataFrame(found, columns=["kind", "row", "source", "detail", "other"])
    findings = findings.astype({"row": "Int64", "other": "Int64"})
    of_image = findings["row"].notna()
    rows = findings.loc[of_image, "row"].astype(int)
    findings.loc[of_image, "object_id"] = table["object_id"].loc[rows].to_numpy(dtype=object)
    findings.loc[of_image, "source"] = table["source"].loc[rows].to_numpy(dtype=object)
    order = findings["kind"].map({kind: place for place, kind in enumerate(KINDS)})
    return findings.assign(order=order).sort_values(["order", "row"], kind="stable", ignore_index=True)[_COLUMNS]


def _look(store, table):
    """Look at every image: its flaws, and hash and contrast; no contrast where it is blank, doubled or unreadable."""
    flaws, hashes, contrasts = [], np.zeros(len(table), dtype=np.uint64), np.full(len(table), np.nan)
    is_double = table["pixel_hash"].duplicated().to_numpy()
    depths = table["bit_depth"].to_numpy()
    for row in progress_bar(range(len(table)), unit="image", desc="audit"):
        try:
            levels = _levels(store, row, depths)
        except StoreError as error:
            flaws.append(("unreadable", row, None, str(error), None))
            continue
        mine = find_flaws(levels)
        flaws.extend((kind, row, None, detail, None) for kind, detail in mine.items())
        if "blank" not in mine and not is_double[row]:
            hashes[row], contrasts[row] = fingerprint(levels)
    return flaws, hashes, contrasts


def _levels(store, row, depths):
    return to_levels(store[row], None if pd.isna(depths[row]) else int(depths[row]))


def _doubles(table):
    """Images whose pixels are those of an earlier one."""
    keys = ["pixel_hash", "height", "width", "channels", "dtype"]
    first = table.reset_index().groupby(keys)["row"].transform("min").to_numpy()
    for row in np.flatnonzero(first != table.index.to_numpy()):
        detail = f"its pixels are exactly those of image {first[row]} ({table['object_id'].iloc[first[row]]})"
        yield "duplicate", row, None, detail, first[row]


def _resemblances(store, table, hashes, contrasts):
    """Images that are the same picture as an earlier one, by the closest that the second look confirms."""
    rows = np.flatnonzero(np.isfinite(contrasts))
    pairs = find_similar(hashes[rows], table[["height", "width"]].to_numpy()[rows], contrasts[rows])
    rank = np.arange(len(pairs)) - np.searchsorted(pairs[:, 0], pairs[:, 0])
    pairs = pairs[rank < MAX_LOOKS]
    depths, settled, levels = table["bit_depth"].to_numpy(), -1, None
    for later, earlier, bits in progress_bar(pairs, unit="pair", desc="near-duplicates"):
        if later == settled:
            continue
        if levels is None or levels[0] != later:
            levels = later, _levels(store, rows[later], depths)
        if is_same_picture(levels[1], _levels(store, rows[earlier], depths)):
            settled, other = later, rows[earlier]
            known = f"image {other} ({table['object_id'].iloc[other]})"
            detail = f"it is the picture of {known} once more; their hashes differ in {bits} of 64 bits"
            yield "near-duplicate", rows[later], None, detail, other
