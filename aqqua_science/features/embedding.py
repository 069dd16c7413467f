"""Images of a store to features on disk: in one process, on a Dask cluster, or in many processes of a job."""

import functools
import os
from pathlib import Path

import numpy as np

from aqqua_science.features import writing
from aqqua_science.features.archive import chunk_rows, missing_chunks, open_features, open_unfinished, read_about
from aqqua_science.features.encoders import NAMED, Image, open_encoder
from aqqua_science.images import open_store
from aqqua_science.images.shards import StoreError
from aqqua_science.optional import require
from aqqua_science.progress import progress_bar

IMAGES_AHEAD = 512
"""Images that are read together, so that those of one size can be encoded together."""

DTYPES = ("float32", "float16")


def embed(
    store,
    encoder="default",
    *,
    to=None,
    dtype="float32",
    rows=None,
    client=None,
    device="cpu",
    overwrite=False,
    objects_per_chunk=writing.OBJECTS_PER_CHUNK,
):
    """
    Turn every image of a store into features, on disk.

    Chunks of images are written one by one, so that memory does not grow with the store, and a run that was cut
    off goes on with the chunks that are missing: the archive is then the same, byte for byte. The same call on complete
    features opens them. An image that cannot be read gets a row of NaN, the reason in the coordinate `fault`, and is
    counted in the attribute `unreadable`; a warning tells how many there are.

    In a job of many processes, as torchrun starts them, each takes its share of the chunks by the environment variables
    RANK and WORLD_SIZE, and, of several GPUs, that of LOCAL_RANK. The process that ends last completes the archive; to
    the others it is open as far as it is written.

    Parameters
    ----------
    store : ImageStore or str or pathlib.Path
    encoder : str, pathlib.Path or Encoder
        ``"default"``, ``"measured"``, an ONNX file, a run of pretraining, or an object; see
        `aqqua_science.features.encoders.open_encoder`.
    to : str or pathlib.Path, optional
        A folder for the Zarr archive; by default beside the store, named after store, encoder and its fingerprint.
    dtype : {"float32", "float16"}
        How features are stored.
    rows : optional
        As for `ImageStore.rows`; all by default. Features stand in their order.
    client : distributed.Client, optional
        A Dask cluster that sees the same disks: each task writes one chunk.
    device : str
        Where a network runs: ``"cpu"``, ``"cuda"``.
    overwrite : bool
        Whether older features at `to` are deleted first.
    objects_per_chunk : int
        What is written, and lost when a run is cut off, together; in a new archive.

    Returns
    -------
    xarray.DataArray
        Of dimensions (object, feature), not yet read; see `aqqua_science.features.open_features`.

    Raises
    ------
    ValueError
        If there are no images, the encoder is unknown, or something else lies at `to`.
    StoreError
        If no image can be read.

    Examples
    --------
    >>> import tempfile
    >>> from aqqua_science.images import ingest
    >>> from aqqua_science.synthetic import images
    >>> store = ingest(images(5, rng=0, instruments=["UVP6"]), tempfile.mkdtemp() + "/drawn.aqqua")
    >>> features = embed(store, encoder="measured")
    >>> features.sizes["object"], float(features.sel(feature="log_esd")[0]) > 0
    (5, True)
    """
    store = store if hasattr(store, "rows") else open_store(store)
    device = _own_device(device)
    opened = open_encoder(encoder, device=device)
    rows = store.rows(rows)
    _check(len(rows), dtype, objects_per_chunk)
    path = _place(store, opened, to)
    about = writing.describe(store, opened, rows=rows, dtype=dtype)
    if overwrite:
        _make_way(path)
    writing.begin(path, about, names=opened.feature_names, n=len(rows), objects_per_chunk=objects_per_chunk)
    places = _own_share(path)
    if client is None:
        _write_here(path, places, store=store, encoder=opened, rows=rows)
    else:
        told = {"store": store.path.absolute(), "device": device, "fingerprint": opened.fingerprint}
        task = functools.partial(_write_there, path.absolute(), **told)
        _gather(client, task, places, encoder=_absolute(encoder), rows=rows)
    return open_features(path) if writing.finish(path) else open_unfinished(path)


def _check(n, dtype, objects_per_chunk):
    """Refuse what would give no features."""
    if n == 0:
        msg = "there are no images to embed: the store, or what `rows` selects of it, is empty. Choose other rows."
        raise ValueError(msg)
    if dtype not in DTYPES:
        msg = f"features are stored as {' or '.join(DTYPES)}; got {dtype!r}."
        raise ValueError(msg)
    if objects_per_chunk < 1:
        msg = f"a chunk holds 1 object or more; got objects_per_chunk={objects_per_chunk}."
        raise ValueError(msg)


def _place(store, encoder, to):
    """Where features lie."""
    if to is not None:
        return Path(to)
    return store.path.with_name(f"{store.path.stem}-{encoder.name}-{encoder.fingerprint[:8]}.zarr")


def _make_way(path):
    """Delete older features, unless another process may have begun to write new ones."""
    if _ranks()[1] > 1:
        msg = f"of several processes none may overwrite: it could delete what another has written. Delete {path} first."
        raise ValueError(msg)
    writing.remove(path)


def _ranks():
    """Which of how many processes this is."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def _own_share(path):
    """Objects of the chunks that fall to this process, of those that are missing."""
    rank, world = _ranks()
    every = chunk_rows(path)
    return [every[chunk] for chunk in missing_chunks(path) if chunk * world // len(every) == rank]


def _own_device(device):
    """The GPU of this process, where a node has one for each."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if device == "cuda" and local is not None else device


def _absolute(encoder):
    """An encoder as a worker finds it, whose working directory is another."""
    if not isinstance(encoder, str | Path):
        return encoder
    return str(encoder) if str(encoder) in NAMED else str(Path(encoder).absolute())


def _write_here(path, places, *, store, encoder, rows):
    """Write chunks one after another."""
    total = sum(place.stop - place.start for place in places)
    with progress_bar(None, total=total, desc="embedding", unit="image") as bar:
        for place in places:
            _write(path, place, store=store, encoder=encoder, rows=rows[place], bar=bar)


def _gather(client, task, places, *, encoder, rows):
    """Have chunks written by a cluster, and stop at the first that fails."""
    as_completed = require("distributed", for_="features").as_completed
    encoder = client.scatter(encoder, broadcast=True, hash=False)
    futures = [client.submit(task, place, rows=rows[place], encoder=encoder, pure=False) for place in places]
    for future in progress_bar(as_completed(futures), total=len(futures), desc="embedding", unit="chunk"):
        future.result()


def _write_there(path, place, *, store, encoder, rows, device, fingerprint):
    """Write a chunk on a worker."""
    opened = _opened(encoder, device, fingerprint) if isinstance(encoder, str) else encoder
    _write(path, place, store=open_store(store), encoder=opened, rows=rows, bar=None)


@functools.lru_cache(maxsize=1)
def _opened(encoder, device, fingerprint):
    """An encoder that a worker keeps for its next chunk."""
    opened = open_encoder(encoder, device=device)
    if opened.fingerprint != fingerprint:
        msg = f"a worker finds another encoder at {encoder}: {opened.fingerprint}, not {fingerprint}. Share one disk."
        raise ValueError(msg)
    return opened


def _write(path, place, *, store, encoder, rows, bar):
    """Encode the images of a chunk, and write them with their metadata."""
    table = store.metadata(rows)
    values, faults = _encode(store, encoder, table, bar)
    dtype = read_about(path)["dtype"]
    with np.errstate(over="ignore"):
        small = values.astype(dtype)
    if np.isinf(small).any():
        msg = f"a feature of {encoder.name} is {np.abs(values).max():g}, too large for {dtype}. Pass dtype='float32'."
        raise ValueError(msg)
    writing.write_chunk(path, place, small, table=table.assign(fault=faults))


def _encode(store, encoder, table, bar):
    """Features of the images of a table, NaN where there are none, and why."""
    values = np.full((len(table), len(encoder.feature_names)), np.nan, np.float32)
    faults = np.full(len(table), "", object)
    depths, sizes = table["bit_depth"].to_numpy(), table["pixel_size_um"].to_numpy()
    for start in range(0, len(table), IMAGES_AHEAD):
        images, places = [], []
        for i, row in enumerate(table.index[start : start + IMAGES_AHEAD], start):
            try:
                images.append(Image(store[int(row)], int(depths[i]), float(sizes[i])))
                places.append(i)
            except StoreError as error:
                faults[i] = str(error)
        if images:
            values[places] = encoder(images)
        if bar is not None:
            bar.update(len(table.index[start : start + IMAGES_AHEAD]))
    strange = ~np.isfinite(values).all(axis=1) & (faults == "")
    values[strange], faults[strange] = np.nan, f"{encoder.name} gives no finite number"
    return values, faults
