"""What a store says of itself, and the order it is left in: descriptions, counts, the refused."""

import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aqqua_science import __version__
from aqqua_science.files import replacing
from aqqua_science.images.assembly import REJECTED, WORK, shard_files
from aqqua_science.images.shards import IMAGES_PER_VALUE, close_readers
from aqqua_science.images.store import FORMAT_VERSION


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


def collect_rejected(to, source, entries, *, refused):
    """
    Put together all refused records of a store.

    Parameters
    ----------
    to : pathlib.Path
        The store.
    source : str
        Name of the source that was read; what the store has of it is replaced.
    entries : list of dict
        Of its shards.
    refused : dict of str to str
        Files that were not even opened, with the reason.

    Returns
    -------
    pyarrow.Table
    """
    files = [{"source": source, "origin": n, "reason": r, "raw": "{}"} for n, r in sorted(refused.items())]
    tables = [pq.read_table(to / WORK / f"{e['name']}.rejected.parquet") for e in entries]
    tables.append(pa.Table.from_pylist(files, schema=REJECTED))
    file = to / "rejected.parquet"
    if file.exists():
        earlier = pq.read_table(file)
        mine = pc.equal(earlier["source"], source)
        tables.insert(0, earlier.filter(pc.invert(mine)))
    return pa.concat_tables(tables)


def write_rejected(table, to):
    """
    Write the refused records of a store.

    Parameters
    ----------
    table : pyarrow.Table
    to : pathlib.Path
    """
    with replacing(to / "rejected.parquet") as part:
        pq.write_table(table, part, compression="zstd")


def tidy(to, shards):
    """
    Remove what an ingest worked with, and files of shards that do not count.

    Parameters
    ----------
    to : pathlib.Path
        The store.
    shards : list of dict
        Those that count.
    """
    close_readers(to)
    kept = {file for shard in shards for file in shard_files(shard["name"]).values()}
    for kind in shard_files(""):
        for file in (to / kind).glob("shard-*"):
            if str(file.relative_to(to).as_posix()) not in kept:
                file.unlink()
    shutil.rmtree(to / WORK, ignore_errors=True)


def explain_nothing(reasons, source, to):
    """
    Say why nothing of a source could be used, and what would help.

    Parameters
    ----------
    reasons : dict of str to int
    source : dict
    to : pathlib.Path
        The store; its ``rejected.parquet`` has the particulars.

    Returns
    -------
    str
    """
    if not reasons:
        return f"{source['name']} ({source['format']}) holds no image. Check that this is the right file or folder."
    told = "; ".join(f"{reason} ({n:,})" for reason, n in sorted(reasons.items(), key=lambda r: -r[1])[:5])
    missing = dict.fromkeys(n for r in reasons if r.startswith("missing ") for n in r[8:].split(", "))
    options = " ".join(f"--default {name}=VALUE" for name in missing if name != "object_id")
    hint = f" Supply for all images what their files do not tell: {options}." if options else ""
    n, file = f"{sum(reasons.values()):,}", to / "rejected.parquet"
    return f"none of the {n} records of {source['name']} can be used: {told}.{hint} {file} has them all."
