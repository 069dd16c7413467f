"""Ingestion: any source into a store, resumable, with the refused kept and told."""

import hashlib
import json
import shutil
import time
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from aqqua_science import __version__
from aqqua_science.files import plain, replacing, write_json
from aqqua_science.images.assembly import REJECTED, WORK, assemble, shard_files
from aqqua_science.images.columns import check_names, convert
from aqqua_science.images.shards import IMAGES_PER_VALUE, StoreError, close_readers, storing
from aqqua_science.images.store import FORMAT_VERSION, open_store
from aqqua_science.optional import require
from aqqua_science.progress import progress_bar
from aqqua_science.schema import SchemaError
from aqqua_science.sources.recognition import format_module, recognise_format
from aqqua_science.sources.record import Part, Record
from aqqua_science.sources.tree import Tree

IMAGES_PER_SHARD = 32_768
"""Records of a source that make one shard, the refused included."""


def ingest(
    path,
    to,
    *,
    defaults=None,
    columns=None,
    format=None,
    name=None,
    citation=None,
    contributors=(),
    use_for_maps=False,
    images_per_shard=IMAGES_PER_SHARD,
    client=None,
    overwrite=False,
):
    """
    Bring the images of a source into a store.

    The format is found by looking. A record without a required value (`object_id`, `time`, `latitude`, `longitude`,
    `depth`, `pixel_size_um`, `instrument`, `licence`) is refused and lands in `ImageStore.rejected` with the reason,
    unless a default supplies the value; then it is recorded as supplied. A store that exists gets the source added.

    Killed at any moment, the same call goes on where it stopped and leaves the same bytes as an undisturbed one.

    Parameters
    ----------
    path : str, pathlib.Path or iterable of sources.Record
        A file, zip or folder of an instrument or portal; or records, such as those of `synthetic.images`.
    to : str or pathlib.Path
        Folder of the store; made when it does not exist.
    defaults : dict, optional
        Column -> value for every image that lacks it, such as ``{"depth": 5, "licence": "CC BY 4.0"}``.
    columns : dict, optional
        Column -> the source's own column that holds it, such as ``{"pixel_size_um": "acq_pixel_um"}``.
    format : str, optional
        Name of the module of `sources`, where looking would find another.
    name : str, optional
        How the store calls this source; the name of the file by default.
    citation : str, optional
        How to cite it.
    contributors : iterable of str
        Who gave it: credit travels into every result that is made from it.
    use_for_maps : bool
        Whether the contributors agree that maps are made from it.
    images_per_shard : int
    client : distributed.Client, optional
        Where to work in parallel, one shard per task; the bytes are the same.
    overwrite : bool
        Replace a store, or an unfinished ingest of something else, that is there.

    Returns
    -------
    ImageStore

    Raises
    ------
    SchemaError
        If nothing is known of the source's format, or no record of it can be used.
    ValueError
        If a default or a column has no such name or value.
    StoreError
        If the store cannot be written, or somebody else is writing it.

    Examples
    --------
    >>> import tempfile
    >>> from aqqua_science.sources.pictures import encode_png
    >>> import numpy as np
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "run" / "Copepoda").mkdir(parents=True)
    >>> _ = (folder / "run" / "Copepoda" / "1.png").write_bytes(encode_png(np.eye(9, dtype=np.uint8)))
    >>> defaults = {"time": "2024-05-01", "latitude": 54.2, "longitude": 7.9, "depth": 5, "licence": "CC0-1.0"}
    >>> defaults |= {"pixel_size_um": 50, "instrument": "CPICS"}
    >>> store = ingest(folder / "run", folder / "store", defaults=defaults)
    >>> len(store), store.table["taxon"].tolist(), store[0].shape
    (1, ['Copepoda'], (9, 9))
    """
    defaults, columns = dict(defaults or {}), dict(columns or {})
    _check_choices(defaults, columns, images_per_shard)
    origin, to = (Tree(path) if isinstance(path, str | Path) else list(path)), Path(to)
    if isinstance(origin, list):
        format_, evidence, default_name = "records", "records given by a program", "records"
    else:
        format_, evidence = (format, "as told") if format else recognise_format(origin)
        default_name = origin.path.name
    source = {
        "name": name or default_name,
        "format": format_,
        "evidence": evidence,
        "defaults": {k: str(v) for k, v in defaults.items()},
        "columns": columns,
        "citation": citation,
        "contributors": list(contributors),
        "use_for_maps": bool(use_for_maps),
    }
    try:
        to.mkdir(parents=True, exist_ok=True)
        with FileLock(to / ".lock", timeout=0):
            return _ingest(origin, to, source, images_per_shard, client, overwrite)
    except Timeout as error:
        msg = f"another ingest is writing to {to}. Wait until it is done, or write to another folder."
        raise StoreError(msg) from error
    except StoreError:
        raise
    except OSError as error:
        raise storing(error, to) from error


def _check_choices(defaults, columns, images_per_shard):
    """Refuse names and values that no image could have before anything is read."""
    check_names(defaults, option="defaults")
    check_names(columns, option="columns")
    if images_per_shard < 1:
        msg = f"images_per_shard must be at least 1; got {images_per_shard}."
        raise ValueError(msg)
    probe = Record("", None, {}, {})
    _, (reason,) = convert([probe], defaults=defaults)
    if reason and not reason.startswith("missing "):
        msg = f"defaults will not do: {reason}. Correct it."
        raise ValueError(msg)


def _ingest(origin, to, source, images_per_shard, client, overwrite):
    """Plan, make the shards that are not there yet, and put the store in order."""
    started = time.time()
    work, about = to / WORK, _about(to)
    source["fingerprint"], parts = _survey(origin, source["format"])
    if overwrite and (about or work.exists()) and not _same(about, source):
        _clear(to)
        about = None
    if _same(about, source) and not work.exists():
        return open_store(to)
    _refuse_clash(about, source, to)
    tasks = _plan(origin, to, source, parts, images_per_shard, first=len(about["shards"]) if about else 0)
    _begin(work, tasks, source, images_per_shard)
    for kind in shard_files(""):
        (to / kind).mkdir(exist_ok=True)
    entries = _run(tasks, client)
    refused = origin.refused if isinstance(origin, Tree) else {}
    _finish(to, about, source, entries, refused=refused, seconds=time.time() - started)
    return open_store(to)


def _about(to):
    file = to / "dataset.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def _survey(origin, format_):
    """A checksum of what a source holds (names and sizes, or the records given), and its parts."""
    digest = hashlib.sha256()
    if isinstance(origin, list):
        for record in origin:
            digest.update(f"{record.origin}\0{record.metadata}\0{record.fault}\n".encode(errors="surrogateescape"))
        return digest.hexdigest(), [Part("records", len(origin))]
    for name in origin.names:
        digest.update(f"{name}\0{origin.size(name)}\n".encode(errors="surrogateescape"))
    parts = format_module(format_).parts(origin)
    digest.update(json.dumps([(p.name, p.rows, plain(p.detail)) for p in parts]).encode())
    return digest.hexdigest(), parts


_IDENTITY = ("name", "format", "fingerprint", "defaults", "columns")


def _same(about, source):
    """Whether a store holds this very source already, read in the same way."""
    return about is not None and any(all(s[k] == source[k] for k in _IDENTITY) for s in about["sources"])


def _refuse_clash(about, source, to):
    if about and source["name"] in {s["name"] for s in about["sources"]} and not _same(about, source):
        msg = (
            f"{to} already holds a source {source['name']!r} with other files or options. Pass overwrite=True "
            "(--overwrite) to replace the store, name= (--name) to add this one beside it, or another folder."
        )
        raise StoreError(msg)
    if about and about["format_version"] > FORMAT_VERSION:
        msg = f"{to} has format version {about['format_version']}, this package writes {FORMAT_VERSION}. Update it."
        raise StoreError(msg)


def _clear(to):
    """Empty a store that is to be replaced; only what a store is made of is touched."""
    close_readers(to)
    (to / "dataset.json").unlink(missing_ok=True)
    for folder in (WORK, *shard_files("")):
        shutil.rmtree(to / folder, ignore_errors=True)
    for file in ("rejected.parquet", "run.jsonl"):
        (to / file).unlink(missing_ok=True)


def _plan(origin, to, source, parts, images_per_shard, *, first):
    """One task per shard: runs of as many records as a shard takes, across parts."""
    ends = list(accumulate(part.rows for part in parts))
    total = ends[-1] if ends else 0
    common = {"store": to, "source": source["name"], "defaults": source["defaults"], "columns": source["columns"]}
    tasks = []
    for number, start in enumerate(range(0, total, images_per_shard)):
        stop = min(start + images_per_shard, total)
        task = common | {"name": f"shard-{first + number:05d}", "size": stop - start}
        if isinstance(origin, list):
            tasks.append(task | {"records": origin[start:stop]})
            continue
        pieces = [
            (part, max(start - end + part.rows, 0), min(stop - end + part.rows, part.rows))
            for part, end in zip(parts, ends, strict=True)
            if part.rows and end > start and end - part.rows < stop
        ]
        tasks.append(task | {"format": source["format"], "path": origin.path, "pieces": pieces})
    return tasks


def _begin(work, tasks, source, images_per_shard):
    """Note what is being done, or go on with the very same; anything else in progress is not touched."""
    plan = plain({"source": source, "first": tasks[0]["name"] if tasks else "", "images_per_shard": images_per_shard})
    plan["created_with"] = __version__
    file = work / "plan.json"
    if file.exists():
        if json.loads(file.read_text(encoding="utf-8")) != plan:
            msg = (
                f"an ingest into {work.parent} with other files or options did not finish. Run that one again to "
                "finish it, or pass overwrite=True (--overwrite) to begin anew."
            )
            raise StoreError(msg)
        return
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    write_json(plan, file)


def _run(tasks, client):
    """Make all shards, here or on a Dask cluster."""
    entries = []
    with progress_bar([], total=sum(task["size"] for task in tasks), unit="image", desc="ingest") as bar:
        for entry in _results(tasks, client):
            entries.append(entry)
            bar.update(entry["rows"] + sum(entry["rejected"].values()))
    return sorted(entries, key=lambda e: e["name"])


def _results(tasks, client):
    if client is None:
        trees = {}
        for task in tasks:
            tree = trees.setdefault(task["path"], Tree(task["path"])) if "path" in task else None
            yield assemble(task | {"tree": tree})
        return
    futures = client.map(assemble, tasks, pure=False)
    for future in require("distributed", for_="images").as_completed(futures):
        yield future.result()


def _finish(to, about, source, entries, *, refused, seconds):
    """Put the new shards into the store: rejected rows first, `dataset.json` last, which makes them count."""
    rejected = _rejected(to, about, source, entries, refused)
    reasons = add_counts([*(e["rejected"] for e in entries), *({reason: 1} for reason in refused.values())])
    if not sum(e["rows"] for e in entries) and about is None:
        _clear(to)
        _write_rejected(rejected, to)
        raise SchemaError(_nothing(reasons, source))
    _write_rejected(rejected, to)
    shards = [*(about["shards"] if about else []), *entries]
    write_json(describe(shards, _sources(about, source, entries, reasons)), to / "dataset.json")
    with (to / "run.jsonl").open("a", encoding="utf-8") as file:
        rate = sum(e["rows"] for e in entries) / max(seconds, 1e-9)
        run = {"source": source["name"], "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        file.write(json.dumps(run | {"seconds": round(seconds, 2), "images_per_second": round(rate, 1)}) + "\n")
    shutil.rmtree(to / WORK)


def _sources(about, source, entries, reasons):
    """Descriptions of all sources, this one with its counts."""
    counts = {kind: add_counts(e[kind] for e in entries) for kind in ("by_instrument", "by_licence", "supplied")}
    counts |= {"accepted": sum(e["rows"] for e in entries), "rejected": reasons}
    earlier = [s for s in about["sources"] if s["name"] != source["name"]] if about else []
    return [*earlier, source | counts]


def add_counts(counts):
    """
    Add dictionaries of counts.

    Parameters
    ----------
    counts : iterable of dict of str to int

    Returns
    -------
    dict of str to int
        Sorted by name.
    """
    total = {}
    for count in counts:
        for key, n in count.items():
            total[key] = total.get(key, 0) + n
    return dict(sorted(total.items()))


def describe(shards, sources):
    """
    Describe a store: the content of its `dataset.json`.

    Parameters
    ----------
    shards : list of dict
    sources : list of dict

    Returns
    -------
    dict
    """
    keep = ("name", "source", "rows", "bytes", "sha256")
    return {
        "format": "aqqua",
        "format_version": FORMAT_VERSION,
        "created_with": f"aqqua_science {__version__}",
        "images_per_value": IMAGES_PER_VALUE,
        "images": sum(s["rows"] for s in shards),
        "licence": sorted({licence for s in sources for licence in s["by_licence"]}),
        "citation": [s["citation"] for s in sources if s["citation"]],
        "contributors": list(dict.fromkeys(c for s in sources for c in s["contributors"])),
        "sources": sources,
        "shards": [{k: s[k] for k in keep} for s in shards],
    }


def _rejected(to, about, source, entries, refused):
    """All refused records: those of earlier sources, and of this one, with the files that were not even opened."""
    files = [{"source": source["name"], "origin": n, "reason": r, "raw": "{}"} for n, r in sorted(refused.items())]
    tables = [pq.read_table(to / WORK / f"{e['name']}.rejected.parquet") for e in entries]
    tables.append(pa.Table.from_pylist(files, schema=REJECTED))
    file = to / "rejected.parquet"
    if about is not None and file.exists():
        earlier = pq.read_table(file)
        mine = pc.equal(earlier["source"], source["name"])
        tables.insert(0, earlier.filter(pc.invert(mine)))
    return pa.concat_tables(tables)


def _write_rejected(table, to):
    with replacing(to / "rejected.parquet") as part:
        pq.write_table(table, part, compression="zstd")


def _nothing(reasons, source):
    """Why nothing of a source could be used, and what would help."""
    if not reasons:
        return f"{source['name']} ({source['format']}) holds no image. Check that this is the right file or folder."
    told = "; ".join(f"{reason} ({n:,})" for reason, n in sorted(reasons.items(), key=lambda r: -r[1])[:5])
    missing = dict.fromkeys(n for r in reasons if r.startswith("missing ") for n in r[8:].split(", "))
    options = " ".join(f"--default {name}=VALUE" for name in missing if name != "object_id")
    hint = f" Supply for all images what their files do not tell: {options}." if options else ""
    n = f"{sum(reasons.values()):,}"
    return f"none of the {n} records of {source['name']} can be used: {told}.{hint} rejected.parquet has them all."
