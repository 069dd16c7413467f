"""Two maps, or two months, beside each other, and what the one has more than the other."""

from html import escape
from typing import NamedTuple

from aqqua_science.apps.catalogue import ANNUAL, GLOBAL, Product
from aqqua_science.apps.drawing import draw_difference, draw_layer
from aqqua_science.apps.fragments import headline_html
from aqqua_science.apps.wording import month_name, with_readable_units
from aqqua_science.habitat.budget_text import amount_text

_OF_INTERVALS = (
    "Intervals of two maps cannot be subtracted: what both err in alike cancels, and how much that is their files do "
    "not tell."
)


class Beside(NamedTuple):
    """What is set beside the view: a map and a month of it."""

    product: Product
    month: int | str

    def row(self, view):
        """Its number of the region that is looked at, or of the whole map where it does not have that region."""
        rows = self.product.rows(view.regions, self.month)
        region = view.region if view.region in set(rows["region"]) else GLOBAL
        return rows[rows["region"] == region].iloc[0]


def comparable(catalogue, view):
    """
    Maps that can be set beside a view.

    Parameters
    ----------
    catalogue : Catalogue
    view : View

    Returns
    -------
    dict of str to Product
        Those with a field, in the units of the map that is looked at; none where that has no field.
    """
    if not view.product.has_field:
        return {}
    units = view.product.whole["units"]
    products = catalogue.products.items()
    return {name: product for name, product in products if product.has_field and product.whole["units"] == units}


def compare(view, beside):
    """
    Put a view beside another map or month.

    Parameters
    ----------
    view : View
    beside : Beside

    Returns
    -------
    text : str
        HTML: the other's number, and the difference of the two.
    pictures : list of (bytes, str)
        PNG and what it shows: the other's mean, and the difference where both have the same cells.
    """
    row, other = view.row, beside.row(view)
    parts = [f"<h2>{escape(beside.product.title)}</h2>", headline_html(beside.product, other)]
    if row["region"] == other["region"] and row["median"] == row["median"] and other["median"] == other["median"]:
        less = f"{_named(view.product, view.month)}, less {_named(beside.product, beside.month)}"
        difference = amount_text(row["median"] - other["median"], with_readable_units(row))
        parts.append(f"<p>{escape(less)}: {difference}. {_OF_INTERVALS}</p>")
    fields, months = [each.product.files["field.nc"] for each in (view, beside)], (view.month, beside.month)
    name = f"{month_name(beside.month)}: {beside.product.title}"
    pictures = []
    try:
        pictures.append((draw_layer(fields[1], month=months[1]), f"Beside, mean, {name}"))
        pictures.append((draw_difference(*fields, months=months), f"Difference from {name}"))
    except (OSError, ValueError, KeyError) as error:
        parts.append(f"<p class='caution'>Not all can be drawn: {escape(str(error))}</p>")
    return "".join(parts), pictures


def fitting(catalogue, view, *, product, month):
    """
    What can be set beside a view, as near as may be to what was asked for.

    Parameters
    ----------
    catalogue : Catalogue
    view : View
    product : str or None
        Name of a map.
    month : int, str or None

    Returns
    -------
    Beside or None
        By default the map itself, over the year.
    """
    known = comparable(catalogue, view)
    if not known:
        return None
    chosen = known.get(str(product), known[view.product.name])
    months = {str(each): each for each in chosen.months}
    return Beside(chosen, months.get(str(month), ANNUAL))


def _named(product, month):
    return f"{product.title}, {month_name(month)}"
