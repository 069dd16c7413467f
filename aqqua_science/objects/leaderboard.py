"""Entries of a benchmark side by side: as a table, and as one page that needs nothing from outside."""

import html
import json
from pathlib import Path

import pandas as pd

from aqqua_science.files import replacing
from aqqua_science.images.shards import StoreError
from aqqua_science.schema import SchemaError, require_columns

RESULT = "benchmark.json"

PUBLISHED = {
    "balanced accuracy": "83.7 (EfficientNetV2-S), 72.5 (deep features, PCA, random forest), 29.7 (measured features)",
    "recall of plankton": "88.6, 85.4 and 47.1",
}
"""Means over six large sets in Panaiotis et al. 2026, doi 10.5194/essd-18-945-2026, in per cent."""

_COLUMNS = {
    "accuracy": ("classification", "scores", "accuracy"),
    "balanced accuracy": ("classification", "scores", "balanced_accuracy"),
    "plankton precision": ("classification", "scores", "plankton_precision"),
    "plankton recall": ("classification", "scores", "plankton_recall"),
    "balanced, grouped": ("classification", "grouped", "balanced_accuracy"),
    "5 examples": ("few_shot", "5", "balanced_accuracy"),
    "calibration error": ("classification", "expected_calibration_error"),
    "unseen taxa, AUROC": ("hidden_taxa", "auroc"),
    "distortion, 95 % kept": ("hidden_taxa", "distortion_recall_95"),
    "distortion, by community": ("hidden_taxa", "distortion_by_community"),
    "count error, plain": ("counting", "bray_curtis_cc"),
    "count error, corrected": ("counting", "bray_curtis_emq"),
    "intervals that hold": ("counting", "coverage_of_90"),
    "size, R2": ("size", "log_esd_r2"),
}
"""Column of the leaderboard -> where it stands in an entry."""

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:110rem;margin:0 auto;padding:1rem;color:#1b2733;background:#fff}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.2rem;margin-top:2.5rem;border-bottom:1px solid #ccd5dd}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem}caption{text-align:left;color:#51606e}
th,td{padding:.3rem .6rem;text-align:left;border-bottom:1px solid #e3e9ee;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
small{color:#51606e;display:block;white-space:nowrap}
"""


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
        msg = f"{path} is no result of a benchmark: {error}. Pass the folder that `aqqua benchmark` wrote."
        raise StoreError(msg) from error


def _no_entry(path):
    msg = f"{path} lacks a name, stores or a version"
    raise ValueError(msg)


def check_predictions(predictions):
    """
    Take answers of somebody else.

    Parameters
    ----------
    predictions : pandas.DataFrame
        With `object_id` and `taxon`.

    Returns
    -------
    pandas.Series of str
        Taxon by object_id.

    Raises
    ------
    SchemaError
        If a column is absent, there is no row, or an object has two answers.
    """
    require_columns(predictions, ["object_id", "taxon"], what="the predictions")
    ids = predictions["object_id"].astype(str)
    if not len(ids) or ids.duplicated().any():
        first = f"{ids[ids.duplicated()].iloc[0]!r} has several" if len(ids) else "there is none"
        msg = f"predictions give one answer for an object; {first}. Keep one row for each object_id."
        raise SchemaError(msg)
    return pd.Series(predictions["taxon"].to_numpy(object), index=ids.to_numpy())


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
        A row for each entry and store, the best balanced accuracy first within a store; numbers, or dicts of `value`,
        `low` and `high`; None where an entry does not tell.

    Raises
    ------
    SchemaError
        If entries are of different versions of the benchmark.
    """
    versions = sorted({entry["version"] for entry in entries})
    if len(versions) > 1:
        msg = f"entries of versions {versions} of the benchmark cannot be compared. Run the older ones again."
        raise SchemaError(msg)
    rows = [
        {"store": store, "entry": entry["name"]} | {name: _found(part, path) for name, path in _COLUMNS.items()}
        for entry in entries
        for store, part in entry["stores"].items()
    ]
    table = pd.DataFrame(rows)
    best = -table["balanced accuracy"].map(lambda score: (score or {}).get("value") or 0.0)
    return table.assign(best=best).sort_values(["store", "best", "entry"]).drop(columns="best").reset_index(drop=True)


def _found(part, path):
    """What stands at a path, None where it ends early."""
    for name in path:
        part = part.get(name) if isinstance(part, dict) else None
    return part


def write_page(entries, path, *, speeds=None):
    """
    Write entries as one HTML page.

    Parameters
    ----------
    entries : list of dict
        The first is the one the page is about.
    path : str or pathlib.Path
    speeds : dict, optional
        Store -> images and seconds of this entry.
    """
    first = entries[0]
    sections = [_leaderboard(entries), _together(first), _taxa(first), _speeds(speeds or {})]
    title = html.escape(f"Benchmark of {first['name']}")
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n"
        + "\n".join(sections)
        + "\n</body></html>\n"
    )
    with replacing(path) as part:
        part.write_text(page, encoding="utf-8")


def _leaderboard(entries):
    """All entries, and what has been published."""
    table = table_of(entries)
    rows = [[html.escape(str(v)) if isinstance(v, str) else _cell(v) for v in row] for row in table.to_numpy(object)]
    by = sorted(
        {part["kept_together"] for entry in entries for part in entry["stores"].values() if "kept_together" in part}
    )
    alone = sum(part.get("alone", 0) for part in entries[0]["stores"].values())
    known = "; ".join(f"{name} {value}" for name, value in PUBLISHED.items())
    text = (
        f"<p>Kept together between training and test: objects of one {', of one '.join(by)}"
        f"{' (where no sample is known, which flatters)' if 'image' in by else ''}"
        f"{f'; {alone:,} objects without a sample stand alone' if alone else ''}. Below each number its 90 % "
        f"interval, from drawing these anew, and in brackets how many were drawn: with few, intervals are too narrow "
        f"(from 5 or 10, they hold the truth in about 79 or 84 %). Below the score of 5 examples, the spread of "
        f"ten halvings of the samples. Published means over six large sets, for orientation, in per cent: {known}.</p>"
    )
    sizes = [
        f"{html.escape(entry['name'])}: {entry['encoder']['features']} numbers an image, {n / 1e6:,.1f} MB"
        for entry in entries
        if (n := entry.get("encoder", {}).get("bytes")) is not None
    ]
    return f"<h2>Scores</h2>{text}{_table(list(table.columns), rows)}<p>{'; '.join(sizes)}</p>"


def _together(entry):
    """What is asked of all stores at once."""
    together = entry.get("together") or {}
    parts = []
    if told := together.get("instrument"):
        parts.append(
            f"<p>The instrument is told from the features with a balanced accuracy of {told['balanced_accuracy']:.3f} "
            f"(guessing: {told['chance']:.3f}): what an encoder for organisms should not shout.</p>"
        )
    for key, what in (("instrument_left_out", "instrument"), ("region_left_out", "region")):
        rows = [
            [html.escape(place), _cell(found.get("taxa")), _cell(_found(found, ("scores", "balanced_accuracy"))),
             html.escape(found.get("reason", ""))]
            for place, found in (together.get(key) or {}).items()
        ]  # fmt: skip
        if rows:
            parts.append(_table([f"{what} left out of training", "taxa in common", "balanced accuracy", ""], rows))
    return "<h2>Across instruments and regions</h2>" + "".join(parts) if parts else ""


def _taxa(entry):
    """Recall and precision of each taxon."""
    parts = []
    for store, part in entry["stores"].items():
        taxa = _found(part, ("classification", "of_each_taxon")) or {}
        rows = [[html.escape(n), *(_cell(t[k]) for k in ("objects", "recall", "precision"))] for n, t in taxa.items()]
        if rows:
            head = ["taxon", "objects", "recall", "precision"]
            parts.append(f"<details><summary>{html.escape(store)}</summary>{_table(head, rows)}</details>")
    return "<h2>Each taxon</h2>" + "".join(parts) if parts else ""


def _speeds(speeds):
    """How fast images were encoded when that was done; nothing that is compared."""
    rows = [
        [html.escape(store), _cell(told["images"]), _cell(told["seconds"])]
        for store, told in speeds.items()
    ]  # fmt: skip
    return f"<h2>This run</h2>{_table(['store', 'images', 'seconds to encode'], rows)}" if rows else ""


def _cell(value):
    """A number, with its interval below where it has one."""
    if isinstance(value, dict):
        if value.get("value") is None:
            return "-"
        text = f"{value['value']:.3f}"
        drawn = f" ({value['groups']:,})" if "groups" in value else ""
        span = "" if value["low"] is None else f"<small>{value['low']:.3f} to {value['high']:.3f}{drawn}</small>"
        return text + span
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def _table(head, rows):
    """A table that scrolls where it is wide; cells are HTML already."""
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>\n{body}</tbody></table></div>'
