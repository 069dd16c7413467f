"""Features written to disk: begun by any process, chunk by chunk, and marked when whole."""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
import warnings
from pathlib import Path

import numpy as np

from aqqua_science import __version__
from aqqua_science.features.archive import (
    FORMAT,
    FORMAT_VERSION,
    NUMBERS,
    TEXTS,
    chunk_rows,
    missing_chunks,
    read_about,
)
from aqqua_science.images.shards import StoreError

OBJECTS_PER_CHUNK = 4_096
"""Objects that are written, and lost when a run is cut off, together."""

_EPOCH = "microseconds since 1970-01-01"
_NO_TIME = np.iinfo(np.int64).min


def store_fingerprint(store):
    """
    Tell a store from every other, and from what it was before images were added or read anew.

    Parameters
    ----------
    store : ImageStore

    Returns
    -------
    str
        16 digits; the same wherever the store lies, and whatever it is called.
    """
    shards = json.dumps(store.about["shards"], sort_keys=True).encode()
    return hashlib.sha256(shards).hexdigest()[:16]


def describe(store, encoder, *, rows, dtype):
    """
    Tell what features an archive will hold, in words and fingerprints.

    Parameters
    ----------
    store : ImageStore
    encoder : aqqua_science.features.encoders.Encoder
    rows : numpy.ndarray of int64
        Rows of the store.
    dtype : str

    Returns
    -------
    dict
    """
    in_order = len(rows) > 0 and bool((np.diff(rows) == 1).all())
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "aqqua_science": __version__,
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint,
        "store": store.path.name,
        "store_fingerprint": store_fingerprint(store),
        "rows": f"{len(rows)} rows, {hashlib.sha256(rows.astype('<i8').tobytes()).hexdigest()[:16]}",
        "first_row": int(rows[0]) if in_order else None,
        "dtype": str(dtype),
        **{name: store.about[name] for name in ("licence", "citation", "contributors")},
        "complete": False,
    }


def begin(path, about, *, names, n, objects_per_chunk=OBJECTS_PER_CHUNK):
    """
    Make an empty archive, or agree to go on with one of the same features.

    Parameters
    ----------
    path : str or pathlib.Path
    about : dict
        As `describe` gives it.
    names : sequence of str
        Of the features.
    n : int
        Objects.
    objects_per_chunk : int
        Of a new archive.

    Raises
    ------
    ValueError
        If something else lies there.
    """
    path = Path(path)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
        _write_skeleton(part, about, names=list(names), shape=(n, min(n, objects_per_chunk)))
        try:
            part.rename(path)
        except OSError:  # another process of the same run was faster
            shutil.rmtree(part)
    _refuse_others(path, about)


def _refuse_others(path, about):
    """Say what differs between features to be written and those that lie there."""
    found = read_about(path)
    if found is None:
        msg = f"{path} exists and holds no features. Pass another to=."
        raise ValueError(msg)
    # Names may change where fingerprints do not: an encoder or store that was moved is still the same.
    told = {"fingerprint": "encoder", "store_fingerprint": "store", "rows": "rows", "dtype": "dtype"}
    differ = [_difference(found, about, key, name) for key, name in told.items() if found[key] != about[key]]
    if differ:
        msg = f"{path} holds other features: {'; '.join(differ)}. Pass another to=, or overwrite=True to replace them."
        raise ValueError(msg)


def _difference(found, about, key, name):
    """Fingerprints behind the name of what they are of; how many rows, whose digest tells nothing; plain values."""
    if key == "rows":
        theirs, ours = (int(told["rows"].split()[0]) for told in (found, about))
        return f"it is of {theirs:,} rows, not of {ours:,}" if theirs != ours else f"it is of {ours:,} other rows"
    theirs, ours = (f"{told[name]} ({told[key]})" if key != name else told[key] for told in (found, about))
    return f"its {name} is {theirs}, not {ours}"


def _write_skeleton(path, about, *, names, shape):
    """Arrays without chunks, and the names of the features."""
    import zarr

    group = zarr.create_group(path, zarr_format=3, attributes=about)
    n, size = shape
    row = {"shape": (n,), "chunks": (size,), "dimension_names": ("object",)}
    for name in TEXTS:
        group.create_array(name, dtype=str, fill_value="", **row)
    for name in NUMBERS:
        group.create_array(name, dtype="float64", fill_value=np.nan, **row)
    for name, attributes in (("object", {}), ("time", {"units": _EPOCH, "calendar": "proleptic_gregorian"})):
        group.create_array(name, dtype="int64", fill_value=_NO_TIME, attributes=attributes, **row)
    group.create_array(
        "features", shape=(n, len(names)), chunks=(size, len(names)), dtype=about["dtype"], fill_value=np.nan,
        dimension_names=("object", "feature"),
    )  # fmt: skip
    feature = group.create_array(
        "feature", shape=(len(names),), chunks=(len(names),), dtype=str, fill_value="", dimension_names=("feature",)
    )
    feature[:] = np.array(names, object)


def write_chunk(path, rows, values, *, table):
    """
    Write a chunk; it counts as written once its features are, which come last.

    Parameters
    ----------
    path : str or pathlib.Path
    rows : slice
        As `chunk_rows` tells.
    values : numpy.ndarray, shape (object, feature)
    table : pandas.DataFrame
        Metadata of its objects, indexed by row of the store, with a column `fault`; columns that it lacks stay empty.
    """
    import zarr

    with zarr.config.set({"array.write_empty_chunks": True}):
        group = zarr.open_group(path, mode="r+", zarr_format=3)
        for name in TEXTS:
            group[name][rows] = _texts(table, name)
        for name in NUMBERS:
            group[name][rows] = table[name].to_numpy(float) if name in table else np.full(len(table), np.nan)
        group["object"][rows] = table.index.to_numpy(np.int64)
        group["time"][rows] = table["time"].to_numpy("datetime64[us]").astype(np.int64)
        group["features"][rows] = values


def _texts(table, name):
    """A column as text, empty where there is none."""
    if name not in table:
        return np.full(len(table), "", object)
    return table[name].astype(object).where(table[name].notna(), "").to_numpy(object)


def finish(path):
    """
    Mark an archive as complete if it is, and clear away what a killed process left.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    bool
        Whether it is complete.

    Raises
    ------
    StoreError
        If no image gave features.
    """
    import zarr

    path = Path(path)
    if read_about(path)["complete"]:
        return True
    if missing_chunks(path):
        return False
    # Of chunks alone: another process may be marking the archive, too, and the mark is written the same way.
    for junk in (file for file in path.rglob("*.partial") if not file.name.startswith("zarr.")):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(junk)
    group = zarr.open_group(path, mode="r+", zarr_format=3)
    group.attrs.update({"unreadable": _count_faults(path, group["fault"]), "complete": True})
    return True


def _count_faults(path, fault):
    """How many images gave no features; a warning if there are some, an error if there are no others."""
    n, found = fault.shape[0], sum(int((fault[rows] != "").sum()) for rows in chunk_rows(path))
    if found == n:
        msg = f"none of {n:,} images gave features; the first: {fault[0]}. Repair the store, then overwrite {path}."
        raise StoreError(msg)
    if found:
        msg = f"{found:,} of {n:,} images gave no features: their rows are NaN, and the coordinate `fault` tells why."
        warnings.warn(msg, stacklevel=4)
    return found


def remove(path):
    """
    Delete an archive of features; whatever else lies there stays.

    Parameters
    ----------
    path : str or pathlib.Path
    """
    if read_about(path) is not None:
        gone = Path(path).with_name(f".{Path(path).name}-{uuid.uuid4().hex}")
        Path(path).rename(gone)  # at once: what is half deleted would be no archive any more
        shutil.rmtree(gone)
