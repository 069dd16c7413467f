"""Ingestion: any source into a store, resumable, with the refused kept and told."""

import hashlib
import json
import shutil
import time
from itertools import accumulate, islice
from pathlib import Path

from filelock import FileLock, Timeout

from aqqua_science import __version__
from aqqua_science.files import plain, write_json
from aqqua_science.images.assembly import WORK, assemble, shard_files
from aqqua_science.images.bookkeeping import (
    add_counts,
    collect_rejected,
    describe,
    explain_nothing,
    tidy,
    write_rejected,
)
from aqqua_science.images.columns import check_names, convert
from aqqua_science.images.shards import StoreError, storing
from aqqua_science.images.store import FORMAT_VERSION, open_store
from aqqua_science.optional import require
from aqqua_science.progress import progress_bar
from aqqua_science.schema import SchemaError, nearest_name
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
    use_for_maps=None,
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
    use_for_maps : bool, optional
        Whether the contributors agree that maps are made from it; no, until it is said. For a source that is in the
        store already, this, `citation` and `contributors` are brought up to date where they are given.
    images_per_shard : int
    client : distributed.Client, optional
        Where to work in parallel, one shard per task; the bytes are the same.
    overwrite : bool
        Read a source anew that the store holds by this name, with other files or options; the store keeps what it has
        until the new images are whole. An unfinished ingest of something else is dropped.

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
        "use_for_maps": use_for_maps,
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
        msg = f"defaults will not do: {reason}{'' if reason.endswith(('.', '?')) else '. Correct it.'}"
        raise ValueError(msg)


def _ingest(origin, to, source, images_per_shard, client, overwrite):
    """Plan, make the shards that are not there yet, and put the store in order."""
    started = time.time()
    work, about = to / WORK, _about(to)
    source["fingerprint"], parts = _survey(origin, source["format"])
    _check_columns(origin, source, parts)
    earlier = next((s for s in about["sources"] if s["name"] == source["name"]), None) if about else None
    rights = {key: source[key] for key in _RIGHTS if source[key] not in (None, [])}
    source |= {"use_for_maps": False} | {key: earlier[key] for key in _RIGHTS if earlier} | rights
    if earlier and all(earlier[k] == source[k] for k in _IDENTITY):
        if _in_progress(work) == source["name"]:
            tidy(to, about["shards"])
        return _renew_rights(to, about, earlier, rights)
    _refuse_clash(about, earlier, source, to, overwrite)
    first = 1 + max((int(s["name"].rpartition("-")[2]) for s in about["shards"]), default=-1) if about else 0
    tasks = _plan(origin, to, source, parts, images_per_shard, first=first)
    _begin(work, tasks, source, images_per_shard, overwrite)
    for kind in shard_files(""):
        (to / kind).mkdir(exist_ok=True)
    entries = _run(tasks, origin, client)
    refused = origin.refused if isinstance(origin, Tree) else {}
    _finish(to, about, source, entries, refused=refused, seconds=time.time() - started)
    return open_store(to)


_IDENTITY = ("name", "format", "fingerprint", "defaults", "columns")
"""What makes a source the same, read in the same way."""

_RIGHTS = ("use_for_maps", "citation", "contributors")
"""What its owners may change at any time."""


def _in_progress(work):
    """Name of the source that an unfinished ingest was reading, if there is one."""
    plan = work / "plan.json"
    return json.loads(plan.read_text(encoding="utf-8"))["source"]["name"] if plan.exists() else None


def _renew_rights(to, about, earlier, rights):
    """Bring consent and credit of a source up to date."""
    if any(earlier[key] != value for key, value in rights.items()):
        sources = [s | rights if s is earlier else s for s in about["sources"]]
        write_json(describe(about["shards"], sources), to / "dataset.json")
    return open_store(to)


def _check_columns(origin, source, parts):
    """Refuse a mapping to a column that the source does not have."""
    if not source["columns"] or not sum(part.rows for part in parts):
        return
    if isinstance(origin, list):
        firsts = origin[:1]
    else:
        module = format_module(source["format"])
        firsts = [record for part in parts[:20] if part.rows for record in islice(module.read(origin, part), 1)]
    known = {name for record in firsts for name in record.raw}
    for ours, theirs in source["columns"].items():
        if theirs not in known:
            msg = (
                f"{ours} is to come from {theirs!r}, but {source['name']} has no such column."
                f"{nearest_name(theirs, known)} It has: {', '.join(sorted(known))}."
            )
            raise SchemaError(msg)


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


def _refuse_clash(about, earlier, source, to, overwrite):
    if earlier and not overwrite:
        differs = [k for k in _IDENTITY if earlier[k] != source[k]]
        msg = (
            f"{to} already holds a source {source['name']!r} with another {', '.join(differs)}. Pass overwrite=True "
            "(--overwrite) to read it anew, or name= (--name) to add this one beside it."
        )
        raise StoreError(msg)
    if about and about["format_version"] > FORMAT_VERSION:
        msg = f"{to} has format version {about['format_version']}, this package writes {FORMAT_VERSION}. Update it."
        raise StoreError(msg)


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


def _begin(work, tasks, source, images_per_shard, overwrite):
    """Note what is being done, or go on with the very same; anything else in progress is not touched."""
    plan = plain({"source": source, "first": tasks[0]["name"] if tasks else "", "images_per_shard": images_per_shard})
    plan["created_with"] = __version__
    file = work / "plan.json"
    if file.exists():
        if json.loads(file.read_text(encoding="utf-8")) == plan:
            return
        if not overwrite:
            msg = (
                f"an ingest into {work.parent} with other files or options did not finish. Run that one again to "
                "finish it, or pass overwrite=True (--overwrite) to drop it; what the store holds already stays."
            )
            raise StoreError(msg)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    write_json(plan, file)


def _run(tasks, origin, client):
    """Make all shards, here or on a Dask cluster."""
    entries = []
    with progress_bar([], total=sum(task["size"] for task in tasks), unit="image", desc="ingest") as bar:
        for entry in _results(tasks, origin, client):
            entries.append(entry)
            bar.update(entry["rows"] + sum(entry["rejected"].values()))
    return sorted(entries, key=lambda e: e["name"])


def _results(tasks, origin, client):
    if client is None:
        for task in tasks:
            yield assemble(task | {"tree": origin})
        return
    futures = client.map(assemble, tasks, pure=False)
    for future in require("distributed", for_="images").as_completed(futures):
        yield future.result()


def _finish(to, about, source, entries, *, refused, seconds):
    """Put the new shards into the store: rejected rows first, `dataset.json` last, which makes them count."""
    others = [s for s in about["shards"] if s["source"] != source["name"]] if about else []
    sources = [s for s in about["sources"] if s["name"] != source["name"]] if about else []
    reasons = add_counts([*(e["rejected"] for e in entries), *({reason: 1} for reason in refused.values())])
    rejected = collect_rejected(to, source["name"], entries, refused=refused)
    if not sum(e["rows"] for e in entries):
        tidy(to, about["shards"] if about else [])
        write_rejected(rejected, to)
        raise SchemaError(explain_nothing(reasons, source, to))
    write_rejected(rejected, to)
    counts = {kind: add_counts(e[kind] for e in entries) for kind in ("by_instrument", "by_licence", "supplied")}
    counts |= {"accepted": sum(e["rows"] for e in entries), "rejected": reasons}
    write_json(describe([*others, *entries], [*sources, source | counts]), to / "dataset.json")
    with (to / "run.jsonl").open("a", encoding="utf-8") as file:
        rate = sum(e["rows"] for e in entries) / max(seconds, 1e-9)
        run = {"source": source["name"], "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        file.write(json.dumps(run | {"seconds": round(seconds, 2), "images_per_second": round(rate, 1)}) + "\n")
    tidy(to, [*others, *entries])
