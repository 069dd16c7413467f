"""One shard: the images of up to some ten thousand rows in LMDB, beside their tables in Parquet."""

import errno
import os
import shutil
import struct
import threading
from collections import OrderedDict
from pathlib import Path

import lmdb
import pyarrow as pa
import pyarrow.parquet as pq

from aqqua_science.images.codec import decode

IMAGES_PER_VALUE = 32
"""Images that share one LMDB value: a value of its own for each small image would leave half of its pages empty."""

KEY = struct.Struct(">Q")
"""Keys are row numbers within the shard, of the first image of a value; big-endian, so that they sort as numbers."""

_OFFSET = struct.Struct("<I")
_PAIR = struct.Struct("<II")
_FIRST_MAP_BYTES = 2**26
_VALUES_PER_COMMIT = 64
_MAX_OPEN = 200

_open = OrderedDict()
_lock = threading.Lock()


class StoreError(OSError):
    """A store cannot be written or read; the message tells what is wrong and the remedy."""


def storing(error, folder):
    """
    Say what a failure to write means.

    Parameters
    ----------
    error : Exception
        As the system or LMDB raised it.
    folder : pathlib.Path
        Where it was written to.

    Returns
    -------
    StoreError
    """
    code = getattr(error, "errno", None)
    if code == errno.ENOSPC or _is_full(folder):
        text = "the disk is full. What was finished stays: free some space and run the same command again"
    elif code in (errno.EROFS, errno.EACCES, errno.EPERM):
        text = f"the store cannot be written: {error}. Choose a folder that you may write to"
    else:
        text = f"the store cannot be written: {error}. Choose another folder, or check the disk"
    return StoreError(f"{text}.")


def _is_full(folder):
    """LMDB calls a write that was cut short an input/output error, so the disk itself is asked."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free < _FIRST_MAP_BYTES / 64


def pack(images):
    """
    Join encoded images into one value.

    Parameters
    ----------
    images : list of bytes

    Returns
    -------
    bytes
        Number of images, their offsets and the end, each a little-endian uint32, then the images.
    """
    ends = [4 * (len(images) + 2)]
    for image in images:
        ends.append(ends[-1] + len(image))
    return b"".join([*map(_OFFSET.pack, (len(images), *ends)), *images])


def write_images(path, images):
    """
    Write encoded images into a new LMDB file.

    Parameters
    ----------
    path : pathlib.Path
    images : iterable of bytes
        In row order; taken one by one.

    Returns
    -------
    int
        How many.
    """
    env = lmdb.open(str(path), subdir=False, map_size=_FIRST_MAP_BYTES, lock=False, sync=False, meminit=True)
    n, group, values = 0, [], []
    try:
        for image in images:
            group.append(image)
            n += 1
            if len(group) == IMAGES_PER_VALUE:
                values.append((KEY.pack(n - len(group)), pack(group)))
                group = []
            if len(values) == _VALUES_PER_COMMIT:
                _commit(env, values)
                values = []
        if group:
            values.append((KEY.pack(n - len(group)), pack(group)))
        _commit(env, values)
        env.sync(True)
    finally:
        env.close()
    return n


def _commit(env, values):
    """Append values in one transaction; the map grows until they fit."""
    while values:
        try:
            with env.begin(write=True) as transaction:
                for key, value in values:
                    transaction.put(key, value, append=True)
            return
        except lmdb.MapFullError:
            env.set_mapsize(2 * env.info()["map_size"])


def read_encoded(path, row):
    """
    Get the encoded bytes of one image of a shard.

    Parameters
    ----------
    path : str
        Its LMDB file.
    row : int
        Row number within the shard.

    Returns
    -------
    memoryview
        Valid until the file is closed: copy what is kept.

    Raises
    ------
    StoreError
        If the file is missing, damaged, or has no such row.
    """
    place = row % IMAGES_PER_VALUE
    try:
        value = _reader(path).get(KEY.pack(row - place))
    except lmdb.Error as error:
        msg = f"{path} is damaged: {error}. store.verify() tells which files are; copy the store again."
        raise StoreError(msg) from error
    if value is None or len(value) < 4 or _OFFSET.unpack_from(value)[0] <= place:
        msg = f"{path} has no image {row}: it is damaged or not whole. store.verify() tells which files are."
        raise StoreError(msg)
    start, end = _PAIR.unpack_from(value, 4 + 4 * place)
    return value[start:end]


def read_image(path, row):
    """
    Read one image of a shard.

    Parameters
    ----------
    path : str
    row : int
        Row number within the shard.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    StoreError
        As `read_encoded`, and if the image is damaged.
    """
    try:
        return decode(read_encoded(path, row))
    except ValueError as error:
        msg = f"image {row} of {path} cannot be decoded: {error} store.verify() tells which files are damaged."
        raise StoreError(msg) from error


def _reader(path):
    """A read transaction on a file, kept open for this process and thread; the oldest of many is closed."""
    key = (path, os.getpid(), threading.get_ident())
    found = _open.get(key)
    if found is not None:
        return found[1]
    with _lock:
        while len(_open) >= _MAX_OPEN:
            _close(next(iter(_open)))
        env = next((e for (p, pid, _), (e, _) in _open.items() if (p, pid) == key[:2]), None) or _environment(path)
        _open[key] = env, env.begin(buffers=True)
    return _open[key][1]


def _environment(path):
    try:
        return lmdb.open(path, subdir=False, readonly=True, lock=False, readahead=False, max_spare_txns=0)
    except lmdb.Error as error:
        msg = f"{path} cannot be opened: {error}. It is missing, damaged or not whole; copy the store again."
        raise StoreError(msg) from error


def _close(key):
    env, transaction = _open.pop(key)
    if key[1] == os.getpid() and key[2] == threading.get_ident():
        transaction.abort()
    if key[1] == os.getpid() and not any(e is env for e, _ in _open.values()):
        env.close()


def close_readers(folder):
    """
    Close what this process has open below a folder, before its files are replaced.

    Parameters
    ----------
    folder : str or pathlib.Path
    """
    with _lock:
        for key in [k for k in _open if Path(k[0]).is_relative_to(folder)]:
            _close(key)


def write_table(table, path):
    """
    Write a table of a shard as Parquet.

    Parameters
    ----------
    table : pyarrow.Table
    path : pathlib.Path
    """
    pq.write_table(table, path, compression="zstd", row_group_size=65_536)


def join_tables(tables, *, empty):
    """
    Put tables below each other whose free columns differ.

    Parameters
    ----------
    tables : list of pyarrow.Table
    empty : pyarrow.Schema
        Columns of the result when there are none.

    Returns
    -------
    pyarrow.Table
        A column that a table lacks is null in its rows.
    """
    return pa.concat_tables(tables, promote_options="default") if tables else empty.empty_table()
