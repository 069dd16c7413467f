"""Parts of a page: tables, and the report of a map as HTML that can do no harm."""

from html import escape

from markdown_it import MarkdownIt

from aqqua_science.apps.wording import headline, month_name, percent, region_name, with_readable_units
from aqqua_science.habitat.budget_text import amount_text, estimate_text, number
from aqqua_science.plot.colours import format_units

_SAMPLED = "Sampled: share of the amount that lies in blocks of sea with samples."
_LEGEND = {False: _SAMPLED, True: f"Intervals from sampling alone. {_SAMPLED}"}
_CHOSEN = ' class="chosen" aria-current="true"'


def budget_table(product, rows, *, chosen=None):
    """
    A budget as an HTML table.

    Parameters
    ----------
    product : Product
    rows : pandas.DataFrame
        Of its budget: one month, or one region.
    chosen : pandas.Series, optional
        The row to bring out.

    Returns
    -------
    str
        Rows are named by their region, or by their month where all are of one region.
    """
    by_month = rows["region"].nunique() == 1 and len(rows) > 1
    units = format_units(product.budget["units"].iloc[0])
    level = 100 * rows["level"].iloc[0]
    head = ["month" if by_month else "region", f"estimate ({units})" if units else "estimate", f"{level:g} % interval"]
    head += ["before correction", "million km²", "sampled"]
    body = []
    for index, row in rows.iterrows():
        name = month_name(row["month"]) if by_month else region_name(row["region"])
        cells = [number(row["median"]), _interval(row), number(row["mean"])]
        cells += [number(row["area_m2"] / 1e12), percent(row["sampled_share"])]
        body.append((name, cells, chosen is not None and index == chosen.name))
    caption = region_name(rows["region"].iloc[0]) if by_month else month_name(rows["month"].iloc[0]).capitalize()
    return table(head, body, caption=f"{caption}. {_LEGEND[product.full_interval is not None]}")


def reference_table(product):
    """
    Published values beside the estimate as an HTML table.

    Parameters
    ----------
    product : Product

    Returns
    -------
    str
        A sentence where nothing was published.
    """
    if not product.references:
        return "<p>The recipe names no published value to compare with.</p>"
    row = product.whole
    judged = product.full_interval or row
    body = []
    for told in product.references:
        inside = "not known" if judged["low"] != judged["low"] else "no"
        inside = "yes" if judged["low"] <= told["value"] <= judged["high"] else inside
        cells = [amount_text(told["value"], with_readable_units(told)), f"{row['median'] / told['value']:.2f}", inside]
        body.append((told["source"], cells, False))
    head = ["source", "published", "our estimate, times that", "inside our interval"]
    return table(head, body, caption=f"Beside our {estimate_text(with_readable_units(row), product.full_interval)}")


def table(head, body, *, caption):
    """
    An HTML table that scrolls where it is too wide, also by keyboard.

    Parameters
    ----------
    head : list of str
    body : list of (str, list of str, bool)
        Name of a row, its cells, and whether it is the one that was asked for.
    caption : str

    Returns
    -------
    str

    Examples
    --------
    >>> "<td>1 &lt; 2</td>" in table(["a", "b"], [("x", ["1 < 2"], False)], caption="c")
    True
    """
    columns = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    rows = "\n".join(
        f'<tr{_CHOSEN if chosen else ""}><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, cells, chosen in body
    )
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}"><table class="numbers">'
        f"<caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def headline_html(product, row):
    """
    The sentence with a number, and what a reader must know beside it.

    Parameters
    ----------
    product : Product
    row : pandas.Series
        Of its budget.

    Returns
    -------
    str
    """
    sentence = escape(headline(product, row)).replace(" %", "&nbsp;%")
    cautions = "".join(f'<p class="caution">{escape(text)}</p>' for text in product.cautions)
    return f'<p class="estimate">{sentence}</p>{cautions}'


def refusals_html(refused):
    """
    Which folders hold no map that can be shown, and why.

    Parameters
    ----------
    refused : dict
        Of a catalogue.

    Returns
    -------
    str
        HTML, empty where there are none.

    Examples
    --------
    >>> refusals_html({"cod": "no title"})
    '<h2>Not shown</h2><ul class="quiet"><li>cod: no title</li></ul>'
    """
    items = "".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in refused.items())
    return f'<h2>Not shown</h2><ul class="quiet">{items}</ul>' if items else ""


def credit_html(product):
    """
    Whom to thank, and what others may do with the map.

    Parameters
    ----------
    product : Product

    Returns
    -------
    str
    """
    credit = escape(product.credit or "The recipe names nobody.")
    licence = escape(product.licence or "The recipe names none; the licences of the sources above hold.")
    return f"<dl><dt>Credit</dt><dd>{credit}</dd><dt>Licence</dt><dd>{licence}</dd></dl>"


def report_html(product, sources, *, level=3):
    """
    The report of a map as HTML: raw HTML is shown as text, nothing from elsewhere is loaded.

    Parameters
    ----------
    product : Product
    sources : dict
        Name of a picture -> address to load it from; pictures that are not named are left out.
    level : int
        Of the first headings below the title, which is left out.

    Returns
    -------
    str
    """
    tokens = _MARKDOWN.parse(product.report)
    if tokens and tokens[0].tag == "h1":
        tokens = tokens[3:]
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, max(level, int(token.tag[1]) - 2 + level))}"
        elif token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "inline":
            token.children = _harmless(token.children, sources)
            for image in (child for child in token.children if child.type == "image"):
                image.content = product.pictures.get(image.attrs["src"], image.content)
                image.children = []
                image.attrSet("src", sources[image.attrs["src"]])
    return _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})


def _harmless(children, sources):
    """Inline parts without pictures and links that lead to files that are not there."""
    kept, closed = [], 0
    for child in children:
        if child.type == "image" and child.attrs.get("src") not in sources:
            continue
        if child.type == "link_open" and not str(child.attrs["href"]).startswith(("https://", "http://", "mailto:")):
            closed += 1
            continue
        if child.type == "link_close" and closed:
            closed -= 1
            continue
        kept.append(child)
    return kept


def _image(_, tokens, index, *__):
    image = tokens[index]
    return f'<img src="{escape(image.attrs["src"])}" alt="{escape(image.content)}" loading="lazy">'


_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
_MARKDOWN.add_render_rule("image", _image)
_MARKDOWN.add_render_rule(
    "table_open", lambda *_: '<div class="wide" role="region" tabindex="0" aria-label="Table"><table>'
)
_MARKDOWN.add_render_rule("table_close", lambda *_: "</table></div>\n")


def _interval(row):
    return "none" if row["low"] != row["low"] else f"{number(row['low'])} to {number(row['high'])}"
