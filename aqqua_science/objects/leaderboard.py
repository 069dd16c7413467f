"""Entries of a benchmark: read, told apart, and put side by side."""

import json
from pathlib import Path

import pandas as pd

from aqqua_science.images.shards import StoreError
from aqqua_science.objects.glossary import METRICS
from aqqua_science.schema import SchemaError

RESULT = "benchmark.json"

_IDENTITY = {
    "name": ("name",),
    "encoder": ("encoder", "fingerprint"),
    "predictions": ("predictions", "fingerprint"),
    "label": ("label",),
    "rng": ("rng",),
}
"""What makes an entry another one -> where it stands."""


def read_entry(folder):
    """
    Read the result of a benchmark.

    Parameters
    ----------
    folder : str or pathlib.Path
        That `benchmark` wrote, or its `benchmark.json`.

    Returns
    -------
    dict

    Raises
    ------
    StoreError
        If there is none.
    """
    path = Path(folder)
    path = path / RESULT if path.is_dir() else path
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        return entry if {"name", "stores", "version"} <= entry.keys() else _no_entry(path)
    except (OSError, ValueError, AttributeError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error
        msg = f"{path} is no result of a benchmark: {reason}. Pass the folder that `aqqua benchmark` wrote."
        raise StoreError(msg) from error


def _no_entry(path):
    msg = f"{path} lacks a name, stores or a version"
    raise ValueError(msg)


def read_others(folders, *, version):
    """
    Read entries that are to stand beside one.

    Parameters
    ----------
    folders : sequence of str or pathlib.Path
    version : int
        Of the benchmark, of that one.

    Returns
    -------
    list of dict

    Raises
    ------
    StoreError
        If a folder holds none.
    SchemaError
        If one is of another version.
    """
    entries = [read_entry(folder) for folder in folders]
    _refuse_mixed([version, *(entry["version"] for entry in entries)])
    return entries


def refuse_other(out, entry, *, stores):
    """
    Refuse a folder that holds another entry, or stores that would be lost from it.

    Parameters
    ----------
    out : str or pathlib.Path
    entry : dict
        What is known of the new entry before it is judged.
    stores : sequence of str
        Their names.

    Raises
    ------
    StoreError
        Telling what differs.
    """
    if not (Path(out) / RESULT).exists():
        return
    held = read_entry(out)
    pairs = {what: (at(held, path), at(entry, path)) for what, path in _IDENTITY.items()}
    differ = [f"{what} {_told(old)}, not {_told(new)}" for what, (old, new) in pairs.items() if old != new]
    differ += [f"it judges {store} too" for store in held["stores"] if store not in stores]
    if differ:
        msg = (
            f"{out} holds another entry of the benchmark: {'; '.join(differ)}. Pass overwrite=True to replace it, or "
            "another folder."
        )
        raise StoreError(msg)


def _told(value):
    return "none" if value is None else value


def table_of(entries):
    """
    Put entries side by side.

    Parameters
    ----------
    entries : list of dict
        As `read_entry` gives them.

    Returns
    -------
    pandas.DataFrame
        A row for each entry and store, and a column for each number of `glossary.METRICS`; numbers, or dicts of
        `value`, `low` and `high`; None where an entry does not tell. The stores of the first entry come first, as it
        has them, and within a store the best balanced accuracy.

    Raises
    ------
    SchemaError
        If entries are of different versions of the benchmark.
    """
    _refuse_mixed(entry["version"] for entry in entries)
    rows = [
        {"store": store, "entry": entry["name"]} | {m.name: at(part, m.path) for m in METRICS}
        for entry in entries
        for store, part in entry["stores"].items()
    ]
    table = pd.DataFrame(rows, dtype=object)  # None stays None beside numbers
    best = -table["balanced accuracy"].map(lambda score: (score or {}).get("value") or 0.0)
    stores = pd.unique(table["store"]).tolist()
    order = (
        table.assign(best=best, place=table["store"].map(stores.index)).sort_values(["place", "best", "entry"]).index
    )
    return table.loc[order].reset_index(drop=True)


def _refuse_mixed(versions):
    """Refuse entries of different versions."""
    versions = sorted(set(versions))
    if len(versions) > 1:
        msg = f"entries of versions {versions} of the benchmark cannot be compared. Run the older ones again."
        raise SchemaError(msg)


def at(part, path):
    """
    Look up what stands at a path in nested dicts.

    Parameters
    ----------
    part : dict
    path : sequence of str

    Returns
    -------
    object
        None where the path ends early.
    """
    for name in path:
        part = part.get(name) if isinstance(part, dict) else None
    return part
