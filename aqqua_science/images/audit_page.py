"""An audit as one page: counts in plain words, pictures of what was found, completeness, refusals and licences."""

import base64
import html

import numpy as np
import pandas as pd

from aqqua_science.files import replacing
from aqqua_science.images.auditing import KINDS
from aqqua_science.images.metadata_checks import measure_completeness
from aqqua_science.images.shards import StoreError
from aqqua_science.sources.pictures import thumbnail_png

N_PICTURES = 12
"""Pictures that are shown of each kind of finding."""

_SIDE = 160
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:0 auto;padding:1rem;color:#1b2733;background:#fff}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.2rem;margin-top:2.5rem;border-bottom:1px solid #ccd5dd}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}caption{text-align:left;color:#51606e}
th,td{padding:.25rem .6rem;text-align:left;border-bottom:1px solid #e3e9ee;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(11.5rem,1fr));gap:1rem}
figure{margin:0;padding:.5rem;background:#eef2f5;border-radius:.3rem;font-size:.8rem;overflow-wrap:anywhere}
figure img{display:block;image-rendering:pixelated;outline:1px solid #b8c4ce}
.bar{display:block;height:3px;background:#1b2733;margin-top:.5rem}.few{color:#a33d00;font-weight:600}
"""


def write_audit_page(findings, store, path):
    """
    Write an audit as one HTML page that needs nothing from outside.

    Parameters
    ----------
    findings : pandas.DataFrame
        From `audit`.
    store : ImageStore
    path : str or pathlib.Path
        The page; replaced when it is there.
    """
    sections = [_summary(findings, store), *_kinds(findings, store), _completeness(store), _refused(store)]
    name = html.escape(store.path.name)
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Audit of {name}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>Audit of {name}</h1>\n" + "\n".join([*sections, _sources(store)]) + "\n</body></html>\n"
    )
    with replacing(path) as part:
        part.write_text(page, encoding="utf-8")


def _summary(findings, store):
    """How many of each kind, those that were not found included."""
    counts = findings["kind"].value_counts()
    touched = findings["row"].nunique()
    rows = [
        (f'<a href="#{kind}">{kind}</a>' if kind in counts else kind, _number(counts.get(kind, 0)), html.escape(text))
        for kind, text in KINDS.items()
    ]
    share = f" ({touched / len(store):.1%})" if len(store) else ""
    text = f"<p>{len(store):,} images; {touched:,}{share} of them have a finding."
    return f"{text} A finding asks for a look: it is no verdict.</p>" + _table(
        ("kind", "findings", "what it means"), rows, numbers={1}, raw={0, 2}
    )


def _kinds(findings, store):
    """Yield a section for each kind that was found."""
    for kind in KINDS:
        mine = findings[findings["kind"] == kind]
        if mine.empty:
            continue
        shown = mine.iloc[np.unique(np.linspace(0, len(mine) - 1, min(N_PICTURES, len(mine))).astype(int))]
        if mine["row"].isna().all():
            body = _table(("source", "detail"), shown[["source", "detail"]].itertuples(index=False))
        else:
            table = store.table.loc[shown["row"].astype(int)]
            figures = [_figure(store, f, table.loc[f.row]) for f in shown.itertuples(index=False)]
            body = f'<div class="pictures">{"".join(figures)}</div>'
        few = f" {len(shown)} of {len(mine):,} are shown, spread evenly." if len(mine) > len(shown) else ""
        yield f'<h2 id="{kind}">{kind} ({len(mine):,})</h2><p>{html.escape(KINDS[kind])}{few}</p>{body}'


def _figure(store, finding, facts):
    """A picture with its scale bar, row number and finding, and the image that it resembles where there is one."""
    name = html.escape(f"{finding.row} ({finding.object_id})")
    caption = f"<figcaption><b>{name}</b><br>{html.escape(finding.detail)}</figcaption>"
    picture = _picture(store, finding.row, facts)
    if not pd.isna(finding.other):
        picture += _picture(store, finding.other, store.table.loc[finding.other])
    return f"<figure>{picture}{caption}</figure>"


def _picture(store, row, facts):
    """An image, shrunk or enlarged to be seen, above a bar of a round length."""
    try:
        content = base64.b64encode(thumbnail_png(store[int(row)], _SIDE)).decode()
    except StoreError:
        return "<p>It cannot be shown.</p>"
    longest = max(facts["height"], facts["width"])
    scale = max(_SIDE // longest, 1) if longest <= _SIDE else _SIDE / longest
    width = max(round(facts["width"] * scale), 1)
    length = _round_length(facts["pixel_size_um"] * facts["width"])
    text = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    bar = length / facts["pixel_size_um"] * scale
    alt = html.escape(
        f"image {row}: {facts['taxon'] if pd.notna(facts['taxon']) else 'not named'}, {facts['instrument']}"
    )
    return (
        f'<img alt="{alt}" width="{width}" src="data:image/png;base64,{content}">'
        f'<span class="bar" style="width:{bar:.1f}px"></span>{text}'
    )


def _round_length(width):
    """The greatest of 1, 2 and 5 times a power of ten that is at most a width."""
    power = 10.0 ** np.floor(np.log10(width))
    return float(power * max(step for step in (1, 2, 5) if step * power <= width * (1 + 1e-9)))


def _completeness(store):
    """Share of images with a value, fields down, sources across."""
    shares = measure_completeness(store.table) if len(store) else pd.DataFrame()
    rows = [(field, *(_share(v) for v in shares[field])) for field in shares.columns if field != "images"]
    head = ("field", *(f"{source} ({n:,})" for source, n in shares.get("images", pd.Series(dtype=int)).items()))
    body = _table(head, rows, numbers=set(range(1, len(head))), raw=set(range(1, len(head))))
    return f"<h2>Completeness</h2><p>Share of the images that have a value.</p>{body}"


def _share(value):
    if value == 1:
        return "100 %"
    text = "0" if value == 0 else f"{min(max(100 * value, 0.1), 99.9):.1f} %"
    return f'<span class="few">{text}</span>'


def _refused(store):
    """What did not come into the store, by reason."""
    counts = store.rejected.groupby(["source", "reason"]).size().sort_values(ascending=False)
    rows = [(source, reason, _number(n)) for (source, reason), n in counts.items()]
    body = _table(("source", "reason", "records"), rows, numbers={2}) if rows else "<p>Nothing was refused.</p>"
    return f"<h2>Refused at ingestion</h2>{body}"


def _sources(store):
    """Where the images come from, under which licences, and whether maps may be made of them."""
    rows = [
        (
            source["name"],
            source["format"],
            _number(source["accepted"]),
            ", ".join(f"{licence} ({n:,})" for licence, n in source["by_licence"].items()),
            ", ".join(f"{column} ({n:,})" for column, n in source["supplied"].items()) or "none",
            "yes" if source["use_for_maps"] else "not recorded",
            "; ".join([*source["contributors"], source["citation"] or ""]).strip("; ") or "not recorded",
        )
        for source in store.about["sources"]
    ]
    head = ("source", "format", "images", "licences", "by default", "consent to maps", "contributors, citation")
    return f"<h2>Sources, licences and consent</h2>{_table(head, rows, numbers={2})}"


def _number(n):
    return f"{n:,}"


def _table(head, rows, *, numbers=(), raw=()):
    """An HTML table; cells of the columns in `raw` are HTML already."""

    def cells(tag, values, raw):
        texts = [str(v) if i in raw else html.escape(str(v)) for i, v in enumerate(values)]
        return "".join(f"<{tag}{' class=n' if i in numbers else ''}>{t}</{tag}>" for i, t in enumerate(texts))

    body = "".join(f"<tr>{cells('td', row, raw)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{cells("th", head, ())}</tr></thead><tbody>{body}</tbody></table></div>'
    )
