"""The atlas as pages that any web server, or none, can show: no script, nothing from elsewhere."""

import shutil
import tempfile
from html import escape
from pathlib import Path
from urllib.parse import quote

from aqqua_science.apps.catalogue import ANNUAL, PICTURES, read_maps
from aqqua_science.apps.fragments import (
    budget_table,
    credit_html,
    headline_html,
    reference_table,
    refusals_html,
    report_html,
)
from aqqua_science.apps.wording import remaking_command, set_name

STYLE = Path(__file__).with_name("style.css")
MARK = "atlas.txt"
"""By this file a folder is known to be an atlas that was written, and may be replaced."""

_CARD = (640, 640)
_THUMBNAIL = "thumbnail.webp"


def export_site(folder, to, *, overwrite=False):
    """
    Write an atlas of maps as a folder of pages.

    Parameters
    ----------
    folder : str or pathlib.Path
        Of maps, as `read_maps` takes it.
    to : str or pathlib.Path
        The new folder; it appears when it is whole. ``index.html`` is its first page.
    overwrite : bool
        Replace an atlas that was written there before.

    Returns
    -------
    Catalogue
        What was written and what was refused. The same maps give the same bytes.

    Raises
    ------
    FileNotFoundError
        If there is no folder of maps.
    FileExistsError
        If something lies at `to` that is no atlas, or an atlas that is not to be replaced.

    Examples
    --------
    >>> to = Path(tempfile.mkdtemp(), "site")
    >>> export_site(tempfile.mkdtemp(), to).products
    {}
    >>> sorted(path.name for path in to.iterdir())
    ['atlas.txt', 'index.html', 'style.css']
    """
    to = Path(to).resolve()
    catalogue, root = read_maps(folder), Path(folder).resolve()
    if to.is_relative_to(root):
        msg = f"{to} lies in the folder of maps {root}. Pass a folder beside it."
        raise FileExistsError(msg)
    _refuse_others(to, overwrite)
    to.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    try:
        _write(catalogue, draft, root.name)
        draft.chmod(0o755)
        if to.exists():
            gone = draft.with_name(f"{draft.name}-old")
            to.rename(gone)
            draft.rename(to)
            shutil.rmtree(gone)
        else:
            draft.rename(to)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return catalogue


def _refuse_others(to, overwrite):
    if not to.exists() or (to.is_dir() and not any(to.iterdir())):
        return
    if not (to / MARK).is_file():
        msg = f"{to} exists and is no atlas that was written before. Pass another folder."
        raise FileExistsError(msg)
    if not overwrite:
        msg = f"{to} holds an atlas already. Pass overwrite=True to replace it, or another folder."
        raise FileExistsError(msg)


def _write(catalogue, to, root):
    shutil.copyfile(STYLE, to / "style.css")
    (to / MARK).write_text("An atlas, written by aqqua_science.\n", "utf-8")
    cards = []
    for product in catalogue.products.values():
        place = to / "maps" / product.name
        place.mkdir(parents=True)
        for path in product.files.values():
            shutil.copyfile(path, place / path.name)
        product.budget.to_csv(place / "budget.csv", index=False)
        cards.append(_card(product, shown=_write_thumbnail(product, place)))
        (place / "index.html").write_text(_product_page(product, root), "utf-8")
    (to / "index.html").write_text(_index_page(cards, catalogue.refused), "utf-8")


def _write_thumbnail(product, place):
    """A small picture for the card; whether there is one."""
    from PIL import Image

    if "map.png" not in product.files:
        return False
    try:
        with Image.open(product.files["map.png"]) as picture:
            small = picture.convert("RGB")
    except (OSError, Image.DecompressionBombError):
        return False
    small.thumbnail(_CARD)
    small.save(place / _THUMBNAIL, quality=80)
    return True


def _card(product, *, shown):
    place = f"maps/{quote(product.name)}"
    alt = escape(PICTURES["map.png"])
    picture = f'<img src="{place}/{_THUMBNAIL}" alt="{alt}" loading="lazy">' if shown else ""
    return (
        f'<li class="card">{picture}<div class="text"><h2><a href="{place}/index.html">{escape(product.title)}</a></h2>'
        f"{headline_html(product, product.whole)}</div></li>"
    )


def _index_page(cards, refused):
    cards = "\n".join(cards)
    text = f'<ul class="cards">\n{cards}\n</ul>' if cards else "<p>There is no map that can be shown.</p>"
    text += refusals_html(refused)
    return _page("Atlas of plankton maps", text, up="")


def _product_page(product, root):
    figures = [_figure(name, text) for name, text in product.pictures.items() if name in {"map.png", "cycle.png"}]
    report = report_html(product, {name: name for name in product.pictures if name not in {"map.png", "cycle.png"}})
    parts = [
        headline_html(product, product.whole),
        *figures,
        "<h2>Budget</h2>",
        *_budgets(product),
        "<h2>Beside published values</h2>",
        reference_table(product),
        "<h2>Credit and licence</h2>",
        credit_html(product),
        "<h2>Downloads</h2>",
        _downloads(product, root),
        "<h2>How this was made, and how sure it is</h2>",
        report or "<p>No report came with this map.</p>",
    ]
    return _page(product.title, "\n".join(parts), up="../../")


def _figure(name, text):
    return f'<figure><a href="{name}"><img src="{name}" alt="{escape(text)}"></a></figure>'


def _budgets(product):
    """The year of each set of regions, and the months of the whole map."""
    for regions in product.region_sets:
        yield f"<h3>{escape(set_name(regions))}</h3>{budget_table(product, product.rows(regions, ANNUAL))}"
    if len(product.months) > 1:
        months = product.budget[product.budget["region"] == "global"]
        yield f"<h3>Months</h3>{budget_table(product, months[months['month'] != ANNUAL].sort_values('month'))}"


def _downloads(product, root):
    kinds = {"budget.csv": "every region and month, CSV", "field.nc": "the map with its uncertainty, CF NetCDF"}
    kinds |= {"result.json": "all numbers, JSON", "recipe.toml": "the recipe", "map.png": "the figure"}
    there = [name for name in kinds if name in {*product.files, "budget.csv"}]
    items = "".join(f'<li><a href="{name}" download>{name}</a> ({kinds[name]})</li>' for name in there)
    made = f"<p>The field is made by <code>{escape(remaking_command(product, root))}</code>.</p>"
    return f"<ul>{items}</ul>{'' if product.has_field else made}"


def _page(title, text, *, up):
    home = f'<p><a href="{up}index.html">All maps</a></p>' if up else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<title>{escape(title)}</title>\n<link rel="stylesheet" href="{up}style.css">\n</head>\n<body class="atlas">\n'
        f"<header>{home}<h1>{escape(title)}</h1></header>\n<main>\n{text}\n</main>\n"
        '<footer class="quiet"><p>Written by aqqua_science. Land: Natural Earth.</p></footer>\n</body>\n</html>\n'
    )
