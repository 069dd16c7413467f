"""Entries of the benchmark as one page that needs nothing from outside."""

import html

from aqqua_science.files import replacing
from aqqua_science.objects.glossary import GLOSSARY
from aqqua_science.objects.leaderboard import at, table_of
from aqqua_science.objects.living import is_plankton

PUBLISHED = {
    "EfficientNetV2-S": (0.837, 0.886),
    "deep features, PCA, random forest": (0.725, 0.854),
    "measured features": (0.297, 0.471),
}
"""Balanced accuracy and plankton recall, means over six large sets, in Panaiotis et al. 2026."""

_NO_PLANKTON = "not plankton"

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1rem;color:#1b2733;background:#fff;
overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.2rem;margin-top:2.5rem;border-bottom:1px solid #ccd5dd}
p{max-width:48rem}.wide{overflow-x:auto;margin:1rem 0}table{border-collapse:collapse;font-size:.85rem}
th,td{padding:.35rem .7rem;text-align:left;border-bottom:1px solid #e3e9ee;vertical-align:top}
tbody th{font-weight:600}thead th{vertical-align:bottom;max-width:9rem}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}td.n{white-space:nowrap}
th.what{min-width:13rem;max-width:24rem;position:sticky;left:0;background:#fff}th.group{background:#eef2f5;padding-top:.6rem}
td.guess{color:#51606e;border-left:1px solid #ccd5dd}
small{color:#51606e;display:block;font-weight:400}.few{color:#a33d00;font-weight:600}
@media(max-width:40rem){th,td{padding:.35rem}th.what{min-width:9.5rem}}
"""


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
    first, table = entries[0], table_of(entries)
    stores = [_store(store, rows, entries) for store, rows in table.groupby("store", sort=False)]
    sections = [_reading(), *stores, _published(), _together(first), _taxa(first), _encoders(entries)]
    title = html.escape(f"Benchmark of {first['name']}")
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n"
        + "\n".join([*sections, _speeds(speeds or {})])
        + "\n</body></html>\n"
    )
    with replacing(path) as part:
        part.write_text(page, encoding="utf-8")


def _reading():
    """How the numbers are to be read."""
    return (
        "<p>A table for each store: numbers downwards with what they say, entries side by side, the best balanced "
        "accuracy first, and what guessing scores. Shares are fractions from 0 to 1. Below a number stands its 90 % "
        "interval, from drawing what is kept together anew, and in brackets how many were drawn: with few, intervals "
        "are too narrow (from 5 or 10, they hold the truth in about 0.79 or 0.84 of cases). Below the scores of few "
        "examples stands the spread of ten halvings of the samples. “-” is what an entry does not tell: answers that "
        "came without features, or too few taxa, samples or objects to ask.</p>"
    )


def _store(store, rows, entries):
    """What all entries say of one store: numbers downwards, entries side by side."""
    parts = [(entry["name"], entry["stores"][store]) for entry in entries if store in entry["stores"]]
    head = ["number", *rows["entry"], "guessing"]
    body = []
    for group, metrics in GLOSSARY.items():
        body.append(f'<tr><th class="group" colspan="{len(head)}" scope="rowgroup">{group}</th></tr>')
        body += [_metric(metric, rows[metric.name], [part for _, part in parts]) for metric in metrics]
    return f"<h2>{html.escape(store)}</h2>{_kept(parts)}{_silent(parts)}{_unknown(parts)}" + _wide(head, body)


def _metric(metric, values, parts):
    """A row: what the number says, its values, and that of guessing."""
    guessing = metric.guessing
    if isinstance(guessing, tuple):
        guessing = next((g for part in parts if (g := at(part, metric.guessing)) is not None), None)
    better = f"better: {metric.better}; " if metric.better else ""
    what = f"{metric.name}<small>{metric.says}</small><small>{better}{metric.span}</small>"
    cells = "".join(f'<td class="n">{_number(value)}</td>' for value in values)
    return f'<tr><th class="what" scope="row">{what}</th>{cells}<td class="n guess">{_number(guessing)}</td></tr>'


def _kept(parts):
    """What is kept together in a store."""
    by = sorted({part["kept_together"].removesuffix("_id") for _, part in parts if "kept_together" in part})
    if not by:
        return ""
    groups, alone = (max(part.get(name, 0) for _, part in parts) for name in ("groups", "alone"))
    flatters = ": fewer than two samples are known, which flatters" if "image" in by else ""
    told = f"; {alone:,} objects without a sample stand alone" if alone else ""
    return (
        f"<p>Kept together: objects of one {html.escape(', of one '.join(by))} ({groups:,} in all{flatters}{told}).</p>"
    )


def _silent(parts):
    """Entries that leave objects of a store unanswered."""
    told = [
        f'<p class="few">{html.escape(name)} leaves {"all" if lacking == part["objects"] else f"{lacking:,} of the"} '
        f"{part['objects']:,} objects unanswered: they count as wrong.</p>"
        for name, part in parts
        if (lacking := part.get("unanswered"))
    ]
    return "".join(told)


def _unknown(parts):
    """Entries whose answers name what no object of a store is."""
    told = [
        f'<p class="few">{html.escape(name)}: {strange["answers"]:,} answers name no taxon of this store, and count as '
        f"wrong; the first is “{html.escape(strange['first'])}”. {html.escape(strange['hint'])}</p>"
        for name, part in parts
        if (strange := part.get("unknown_names"))
    ]
    return "".join(told)


def _published():
    """What others reached, elsewhere."""
    rows = [_row(name, *scores) for name, scores in PUBLISHED.items()]
    text = (
        "Means over six large sets, which are others than those above: for orientation. Panaiotis et al. 2026, "
        "doi 10.5194/essd-18-945-2026."
    )
    return f"<h2>Published</h2><p>{text}</p>" + _wide(["classifier", "balanced accuracy", "plankton recall"], rows)


def _together(entry):
    """What is asked of all stores at once."""
    together = entry.get("together") or {}
    parts = []
    if told := together.get("instrument"):
        parts.append(
            "<p>The instrument is told from the features with a balanced accuracy of "
            f"{_number(told['balanced_accuracy'])} (guessing: {_number(told['chance'])}): what an encoder for "
            "organisms should not shout.</p>"
        )
    for key, what in (("instrument_left_out", "instrument"), ("region_left_out", "region")):
        rows = [
            _row(place, found.get("taxa"), at(found, ("scores", "balanced_accuracy")), remark=found.get("reason", ""))
            for place, found in (together.get(key) or {}).items()
        ]
        if rows:
            parts.append(_wide([f"{what} left out of training", "taxa in common", "balanced accuracy"], rows))
    title = f"<h2>Across instruments and regions: {html.escape(entry['name'])}</h2>"
    return title + "".join(parts) if parts else ""


def _taxa(entry):
    """Recall and precision of each taxon."""
    parts = []
    for store, part in entry["stores"].items():
        taxa = at(part, ("classification", "of_each_taxon")) or {}
        rows = [
            _row(
                name, *(told[key] for key in ("objects", "recall", "precision")), remark="" if living else _NO_PLANKTON
            )
            for (name, told), living in zip(taxa.items(), is_plankton(taxa), strict=True)
        ]
        if rows:
            table = _wide(["taxon", "objects", "recall", "precision"], rows)
            parts.append(f"<details><summary>{html.escape(store)}</summary>{table}</details>")
    text = (
        "<p>Recall: of a taxon's objects, the share that is found. Precision: of those named so, the share that is. "
        f"What is marked “{_NO_PLANKTON}”, by its name, does not enter the scores of plankton.</p>"
    )
    return f"<h2>Each taxon: {html.escape(entry['name'])}</h2>{text}" + "".join(parts) if parts else ""


def _encoders(entries):
    """How large encoders are."""
    rows = [
        _row(entry["name"], about["features"], None if about["bytes"] is None else about["bytes"] / 1e6)
        for entry in entries
        if (about := entry.get("encoder"))
    ]
    return "<h2>Encoders</h2>" + _wide(["entry", "numbers an image", "file, MB"], rows) if rows else ""


def _speeds(speeds):
    """How fast images were encoded when that was done; nothing that is compared."""
    rows = [_row(store, told["images"], told["seconds"]) for store, told in speeds.items()]
    return "<h2>This run</h2>" + _wide(["store", "images", "seconds to encode"], rows) if rows else ""


def _number(value):
    """A number, with its interval below where it has one."""
    if isinstance(value, dict):
        drawn = f" ({value['groups']:,})" if "groups" in value else ""
        ends = value["low"], value["high"]
        span = "" if None in (value["value"], *ends) else f"<small>{ends[0]:.3f} to {ends[1]:.3f}{drawn}</small>"
        return _number(value["value"]) + span
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def _row(name, *values, remark=""):
    """A name, a remark below it, and numbers."""
    below = f"<small>{html.escape(remark)}</small>" if remark else ""
    cells = "".join(f'<td class="n">{_number(value)}</td>' for value in values)
    return f'<tr><th scope="row">{html.escape(str(name))}{below}</th>{cells}</tr>'


def _wide(head, rows):
    """A table that scrolls where it is wide; rows are HTML already."""
    first, *others = map(html.escape, head)
    top = f'<th scope="col">{first}</th>' + "".join(f'<th class="n" scope="col">{name}</th>' for name in others)
    body = "\n".join(rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>\n{body}</tbody></table></div>'
