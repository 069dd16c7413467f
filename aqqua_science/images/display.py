"""A store as a page in a notebook: what it holds, and a few of its images with their width in the water."""

import base64
import html

import numpy as np

from aqqua_science.sources.pictures import thumbnail_png

_N_THUMBNAILS = 12
_SIDE = 96


def store_html(store):
    """
    Describe a store for a notebook.

    Parameters
    ----------
    store : ImageStore

    Returns
    -------
    str
        HTML that needs nothing from outside.
    """
    rows = [(s["name"], s["format"], s["accepted"], sum(s["rejected"].values())) for s in store.about["sources"]]
    body = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(kind)}</td><td>{n:,}</td><td>{bad:,}</td></tr>"
        for name, kind, n, bad in rows
    )
    size = sum(s["bytes"] for s in store.about["shards"]) / 2**20
    return (
        f"<div><b>{html.escape(store.path.name)}</b>: {len(store):,} images, {size:,.1f} MiB, "
        f"licence {html.escape(', '.join(store.about['licence']) or 'none')}"
        f"<table><tr><th>source</th><th>format</th><th>images</th><th>refused</th></tr>{body}</table>"
        f"<div style='display:flex;flex-wrap:wrap;gap:4px'>{_thumbnails(store)}</div></div>"
    )


def _thumbnails(store):
    """Images spread evenly over the store, each with the length that its width has in the water."""
    n = min(_N_THUMBNAILS, len(store))
    chosen = np.linspace(0, len(store) - 1, n).astype(int) if n else []
    table = store.metadata(np.asarray(chosen)) if n else None
    return "".join(_figure(store[int(row)], table.loc[row]) for row in chosen)


def _figure(pixels, facts):
    picture = base64.b64encode(thumbnail_png(pixels, _SIDE)).decode()
    width = facts["pixel_size_um"] * facts["width"]
    length = f"{width / 1000:.3g} mm" if width >= 1000 else f"{width:.3g} µm"
    text = html.escape(f"{facts['instrument']}, {length} wide")
    return (
        f"<figure style='margin:0'><img alt='{text}' src='data:image/png;base64,{picture}'>"
        f"<figcaption style='font-size:x-small'>{text}</figcaption></figure>"
    )
