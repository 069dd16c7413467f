"""Reading images: the store beside a folder of PNG, PNG in LMDB, tar (WebDataset) and Parquet, on the same images."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from aqqua_science.images import ingest, open_store
from aqqua_science.sources.pictures import encode_png
from aqqua_science.sources.recognition import format_module
from aqqua_science.sources.record import Record
from aqqua_science.sources.tree import Tree
from aqqua_science.synthetic import images as drawn_images

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "images"

REAL = {
    "UVP6": ("labels", "ecotaxa+uvpec/test/img_sample"),
    "ISIIS": ("labels", "isiis_planktonset1"),
    "FlowCam": ("labels", "VickoT+FlowCam_Image_Classifier/Training/data/classes"),
    "IFCB": ("ifcb", "joefutrelle+pyifcb/ifcb/tests/data/test_data/white"),
}
"""Instrument -> format and folder of its real images; drawn ones stand in where the folder is absent."""


def run(*, n_images=2_000, rng=0):
    """
    Time random and sequential reads of the same images, decoded to arrays, and compare sizes.

    Parameters
    ----------
    n_images : int
        Per instrument; real images are repeated until there are so many.
    rng : int or numpy.random.Generator

    Returns
    -------
    list of dict
        One row per instrument and peer: `task`, `ours_s`, `peer`, `peer_s`, `ratio` (peer / ours) and `note`.
    """
    rng = np.random.default_rng(rng)
    rows = []
    for instrument in REAL:
        arrays = _arrays(instrument, n_images)
        with tempfile.TemporaryDirectory() as folder:
            rows += _compare(instrument, arrays, Path(folder), rng)
    return [*rows, *_opening()]


def _arrays(instrument, n):
    format_, folder = REAL[instrument]
    if not (DATA / folder).exists():
        return [picture.pixels() for picture in drawn_images(n, instruments=[instrument])]
    tree, module = Tree(DATA / folder), format_module(format_)
    found = [r.pixels() for part in module.parts(tree) for r in module.read(tree, part) if not r.fault]
    return [found[i % len(found)] for i in range(n)]


def _record(i, pixels):
    facts = {"object_id": str(i), "time": "2024-01-01", "latitude": 0, "longitude": 0, "depth": 1}
    facts |= {"pixel_size_um": 1, "instrument": "any", "licence": "CC0-1.0"}
    return Record(str(i), lambda: pixels, facts, {"id": str(i)})


def _compare(instrument, arrays, folder, rng):
    n = len(arrays)
    pngs = [_png(a) for a in arrays]
    start = time.perf_counter()
    store = ingest([_record(i, a) for i, a in enumerate(arrays)], folder / "store")
    written = time.perf_counter() - start
    readers = {
        "folder of PNG": _png_folder(folder, pngs),
        "PNG in LMDB": _png_lmdb(folder, pngs),
        "PNG in tar, indexed": _png_tar(folder, pngs),
        "PNG in Parquet": _png_parquet(folder, pngs),
    }
    order = rng.permutation(n)
    _check(store, readers, arrays, order[:50])
    ours_s, peers_s = _in_turn({"ours": lambda i: store[i]} | readers, order)
    size = _size(store.path / "images") / n
    png = sum(map(len, pngs)) / n
    decode_s = sum(_time(lambda p=p: np.array(Image.open(io.BytesIO(p)))) for p in pngs)
    note = f"{size:,.0f} bytes an image on disk, PNG level 6 has {png:,.0f} before any container: {size / png:.2f}"
    rows = [
        _row(f"{instrument}: {n:,} random reads", ours_s, peer, peer_s, f"{n / ours_s:,.0f} reads/s; {note}")
        for peer, peer_s in peers_s.items()
    ]
    text = f"ours is the whole ingest of arrays: encode, tables, checksums; {n / written:,.0f} images/s"
    rows.append(_row(f"{instrument}: ingest against decoding the input", written, "decoding PNG only", decode_s, text))
    return [*rows, _workers(instrument, store, n)]


def _row(task, ours_s, peer, peer_s, note):
    return {
        "task": task,
        "ours_s": round(ours_s, 4),
        "peer": peer,
        "peer_s": round(peer_s, 4),
        "ratio": round(peer_s / ours_s, 2),
        "note": note,
    }


def _png(array):
    stream = io.BytesIO()
    if array.dtype == np.uint8 or array.dtype == np.uint16:
        Image.fromarray(array).save(stream, "PNG", compress_level=6)
        return stream.getvalue()
    return encode_png(array)


def _in_turn(readers, order, *, repeats=5):
    """Best of some runs for each reader, taken in turns so that a busy moment hits all."""
    best = dict.fromkeys(readers, np.inf)
    for _ in range(repeats):
        for name, read in readers.items():
            rows = order if name != "PNG in Parquet" else order[: max(len(order) // 20, 20)]
            start = time.process_time()
            for i in rows:
                read(i)
            best[name] = min(best[name], (time.process_time() - start) * len(order) / len(rows))
    return best.pop("ours"), best


def _time(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _check(store, readers, arrays, rows):
    """A speed means nothing where the images differ."""
    for i in rows:
        if not all(np.array_equal(np.asarray(read(i)), arrays[i]) for read in (store.__getitem__, *readers.values())):
            msg = f"image {i} differs between the containers; their speeds cannot be compared."
            raise ValueError(msg)


def _size(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _png_folder(folder, pngs):
    (folder / "png").mkdir()
    for i, png in enumerate(pngs):
        (folder / "png" / f"{i:06d}.png").write_bytes(png)
    return lambda i: np.array(Image.open(folder / "png" / f"{i:06d}.png"))


def _png_lmdb(folder, pngs):
    env = lmdb.open(str(folder / "png.lmdb"), subdir=False, map_size=2**32, lock=False)
    with env.begin(write=True) as transaction:
        for i, png in enumerate(pngs):
            transaction.put(i.to_bytes(8, "big"), png, append=True)
    reader = env.begin(buffers=True)
    return lambda i: np.array(Image.open(io.BytesIO(reader.get(int(i).to_bytes(8, "big")))))


def _png_tar(folder, pngs):
    """As WebDataset keeps them; the offsets are known, which favours random reads."""
    with tarfile.open(folder / "png.tar", "w") as tar:
        for i, png in enumerate(pngs):
            info = tarfile.TarInfo(f"{i:06d}.png")
            info.size = len(png)
            tar.addfile(info, io.BytesIO(png))
    with tarfile.open(folder / "png.tar") as tar:
        places = [(m.offset_data, m.size) for m in tar]
    file = os.open(folder / "png.tar", os.O_RDONLY)
    return lambda i: np.array(Image.open(io.BytesIO(os.pread(file, places[i][1], places[i][0]))))


def _png_parquet(folder, pngs):
    pq.write_table(pa.table({"png": pa.array(pngs, pa.binary())}), folder / "png.parquet", row_group_size=100)
    file = pq.ParquetFile(folder / "png.parquet")
    return lambda i: np.array(Image.open(io.BytesIO(file.read_row_group(i // 100)["png"][int(i) % 100].as_py())))


EPOCH = """
import sys, time
from aqqua_science.images import open_store
store = open_store(sys.argv[1])
part = (int(sys.argv[2]), int(sys.argv[3]))
store[0]; sys.stdin.readline()
start = time.perf_counter()
for _ in range(5):
    for _ in store.iterate(part=part): pass
print(time.perf_counter() - start)
"""


def _workers(instrument, store, n):
    """Five passes by one worker, and by two that share the images: the slower of the two counts."""
    one, two = (_epochs(store, workers) for workers in (1, 2))
    note = f"{5 * n / one:,.0f} images/s with one worker, {5 * n / two:,.0f} with two"
    return _row(f"{instrument}: five passes in order, two workers", two, "one worker", one, note)


def _epochs(store, workers):
    command = [sys.executable, "-c", EPOCH, str(store.path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([*command, str(w), str(workers)], **pipes) for w in range(workers)]
    time.sleep(2)
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    return max(float(process.communicate()[0]) for process in processes)


def many_rows(folder, *, n_rows=100_000_000):
    """
    Make a store of very many rows: one shard of tiny images, linked as often as it takes.

    Parameters
    ----------
    folder : pathlib.Path
    n_rows : int

    Returns
    -------
    pathlib.Path
        Of a store with at least so many rows.
    """
    per_shard = 32_768
    pixels = np.zeros((2, 2), np.uint8)
    store = ingest([_record(i, pixels) for i in range(per_shard)], folder / "many")
    about = json.loads((store.path / "dataset.json").read_text())
    (shard,) = about["shards"]
    names = [f"shard-{i:05d}" for i in range(-(-n_rows // per_shard))]
    for name in names[1:]:
        for kind, suffix in (("images", "lmdb"), ("metadata", "parquet"), ("raw", "parquet")):
            os.link(store.path / kind / f"{shard['name']}.{suffix}", store.path / kind / f"{name}.{suffix}")
    about["shards"] = [shard | {"name": name} for name in names]
    (store.path / "dataset.json").write_text(json.dumps(about))
    return store.path


OPEN = """
import sys, time
start = time.perf_counter()
from aqqua_science.images import open_store
imported = time.perf_counter()
store = open_store(sys.argv[1])
opened = time.perf_counter()
store[len(store) - 1]
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(len(store), imported - start, opened - imported, int(peak) / 1024)
"""


def _opening():
    with tempfile.TemporaryDirectory() as folder:
        path = many_rows(Path(folder))
        found = subprocess.run([sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True, check=True)
        rows, imported, opened, memory = map(float, found.stdout.split())
        listing = _time(lambda: open_store(path).rows("object_id = '7' and depth < 2"))
    note = f"{rows:,.0f} rows; imports {imported:.2f} s, peak memory of the process {memory:.0f} MB"
    return [_row("open a store of 100 million rows", opened, "one SQL condition over all its metadata", listing, note)]


def sizes(*, shard_sizes=(1_024, 4_096, 16_384, 65_536), n_images=65_536):
    """
    Measure what the size of a shard does to writing, opening and reading.

    Parameters
    ----------
    shard_sizes : iterable of int
    n_images : int

    Returns
    -------
    str
        A Markdown table.
    """
    arrays = _arrays("UVP6", 2_000)
    records = [_record(i, arrays[i % len(arrays)]) for i in range(n_images)]
    order = np.random.default_rng(0).permutation(n_images)[:20_000]
    lines = ["| images per shard | ingest, images/s | files | random reads/s | MiB |", "|---|---|---|---|---|"]
    for size in shard_sizes:
        folder = Path(tempfile.mkdtemp())
        written = _time(lambda size=size, folder=folder: ingest(records, folder / "s", images_per_shard=size))
        store = open_store(folder / "s")
        read = min(_time(lambda store=store: [store[int(i)] for i in order]) for _ in range(2))
        mib = _size(store.path) / 2**20
        files = sum(1 for _ in store.path.rglob("*"))
        lines.append(f"| {size:,} | {n_images / written:,.0f} | {files} | {len(order) / read:,.0f} | {mib:,.0f} |")
        shutil.rmtree(folder)
    return "\n".join(lines)
