"""The atlas: published maps with their totals, intervals and origins, for those who decide by them."""

import base64
import io
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import panel as pn
import param

from aqqua_science.apps import comparing
from aqqua_science.apps.catalogue import ANNUAL, GLOBAL, Product, read_maps
from aqqua_science.apps.drawing import STATISTICS, draw_layer, year_figure
from aqqua_science.apps.fragments import (
    budget_table,
    credit_html,
    headline_html,
    reference_table,
    refusals_html,
    report_html,
)
from aqqua_science.apps.wording import month_name, region_name, remaking_command, set_name

STYLE = Path(__file__).with_name("style.css")

STATE = {"product": "map", "regions": "regions", "region": "region", "month": "month", "statistic": "show"}
"""What a view is made of -> its name in the address of the page."""

PLAY_MS = 1500
"""How long each month stays when the year is played."""

COMPARED = {"beside": "beside", "beside_month": "beside_month"}
"""What is set beside it -> its name in the address."""

_LABELS = ("Map", "Set of regions", "Region", "Month", "Show")
_WIDTHS = ("2 1 20rem", *["1 1 10rem"] * 4)


class View(NamedTuple):
    """What is looked at; all of it fits each other."""

    product: Product
    regions: str
    region: str
    month: int | str
    statistic: str

    @property
    def row(self):
        """The number that was asked for, with its interval."""
        rows = self.rows
        return rows[rows["region"] == self.region].iloc[0]

    @property
    def rows(self):
        """The budget of the month."""
        return self.product.rows(self.regions, self.month)


class Atlas(pn.viewable.Viewer):
    """
    A page of published maps: choose one, a region and a month; read the number, its interval and how far to trust it.

    What is chosen are the parameters `product` (name of a map's folder), `regions`, `region`, `month` (1..12 or
    "annual") and `statistic`; a value that the map does not have gives way to the first that it has.

    Parameters
    ----------
    folder : str or pathlib.Path
        Of maps, as `aqqua_science.apps.catalogue.read_maps` takes it.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.

    Examples
    --------
    >>> import tempfile
    >>> Atlas(tempfile.mkdtemp()).catalogue.products
    {}
    """

    product = param.Parameter(doc="Name of a map's folder.")
    regions = param.Parameter(doc="Name of a set of regions.")
    region = param.Parameter(GLOBAL, doc="Name of a region, or `global`.")
    month = param.Parameter(ANNUAL, doc="1..12, or `annual`.")
    statistic = param.Parameter("mean", doc="What of the field is drawn.")
    beside = param.Parameter(doc="Name of the map that is set beside, by default the same.")
    beside_month = param.Parameter(ANNUAL, doc="Month of that, or `annual`.")
    view = param.Parameter(precedence=-1, doc="A `View`: all of the above, once they fit each other.")
    status = param.String(precedence=-1, doc="What the page is busy with.")

    def __init__(self, folder):
        super().__init__()
        self.catalogue = read_maps(folder)
        self._folder = Path(folder).resolve().name
        self._note, self._settling = "", False
        self._selects = {
            name: pn.widgets.Select(label=label, width=None, styles={"flex": width}, margin=(4, 12, 4, 0))
            for name, label, width in zip(STATE, _LABELS, _WIDTHS, strict=True)
        }
        for name, select in self._selects.items():
            select.param.watch(lambda event, name=name: self.param.update(**{name: event.new}), "value")
        self._clock = None
        self._play = pn.widgets.Toggle(label="Play the year", margin=(22, 12, 4, 0), align="end")
        self._play.param.watch(self._start_or_stop, "value")
        self._settle()

    @param.depends(*STATE, watch=True)
    def _settle(self):
        """Let what is chosen fit the map, and the menus offer what the map has."""
        if self._settling or not self.catalogue.products:
            return
        self._settling = True
        try:
            self._fit()
        finally:
            self._settling = False

    def _fit(self):
        known = self.product is None or str(self.product) in self.catalogue.products
        asked = escape(repr(str(self.product)))
        self._note = "" if known else f"<p>There is no map {asked} here; this is the first of those that are.</p>"
        labels = {"product": {name: product.title for name, product in self.catalogue.products.items()}}
        chosen = {"product": _fitting(self.product, labels["product"])}
        product = self.catalogue.products[chosen["product"]]
        labels["regions"] = {regions: set_name(regions) for regions in product.region_sets}
        chosen["regions"] = _fitting(self.regions, labels["regions"])
        labels["region"] = {region: region_name(region) for region in product.regions(chosen["regions"])}
        labels["month"] = {month: month_name(month).capitalize() for month in product.months}
        labels["statistic"] = STATISTICS if product.has_field else {"mean": STATISTICS["mean"]}
        chosen |= {name: _fitting(getattr(self, name), labels[name]) for name in ("region", "month", "statistic")}
        for name, select in self._selects.items():
            select.param.update(options=_options(labels[name]), value=chosen[name], disabled=len(labels[name]) == 1)
        self._play.visible = product.has_field and len(product.months) > 1
        if not self._play.visible:
            self._play.value = False
        self.param.update(**chosen, view=View(product, *list(chosen.values())[1:]))

    def _start_or_stop(self, event):
        if event.new:
            self._clock = pn.state.add_periodic_callback(self.next_month, period=PLAY_MS)
        elif self._clock is not None:
            self._clock.stop()

    def next_month(self):
        """Go on to the next month of the map; after December to January, from the whole year too."""
        months = [month for month in self.view.product.months if month != ANNUAL]
        if months:
            at = months.index(self.month) if self.month in months else -1
            self.month = months[(at + 1) % len(months)]

    def panel(self):
        """
        Lay out the atlas for a notebook or for another page.

        Returns
        -------
        panel.Column
        """
        if not self.catalogue.products:
            text = f"<h1>Nothing to show</h1><p>The folder {escape(self._folder)} holds no map that can be shown. "
            text += "Each map is a folder with a result.json, as <code>aqqua map RECIPE.toml</code> writes it.</p>"
            return pn.Column(_html(text), _html(refusals_html(self.catalogue.refused)), sizing_mode="stretch_width")
        tabs = pn.Tabs(
            ("Budget", _html(self._bound(_budget))),
            ("The year", self._bound(_year)),
            ("Compare", self._comparison()),
            ("Published", _html(self._bound(_published))),
            ("Report", _html(self._bound(_report))),
            ("Credit, files", pn.Column(_html(self._bound(_credit)), self._downloads())),
            dynamic=True,
            styles={"flex": "1 1 26rem", "min-width": "0"},
        )
        picture = pn.panel(
            self._bound(self._map), loading_indicator=True, styles={"flex": "1 1 30rem", "min-width": "0"}
        )
        return pn.Column(
            pn.FlexBox(*self._selects.values(), self._play, sizing_mode="stretch_width", align_items="end"),
            _html(self._bound(self._headline)),
            _html(pn.bind(_status, self.param.status)),
            pn.FlexBox(picture, tabs, sizing_mode="stretch_width", gap="0 2rem"),
            _html(refusals_html(self.catalogue.refused)),
            sizing_mode="stretch_width",
        )

    def page(self):
        """
        Make a page of its own, whose address holds what is chosen.

        Returns
        -------
        panel.template.BootstrapTemplate
            Loads nothing from outside the server.
        """
        if pn.state.location and self.catalogue.products:
            pn.state.location.sync(self, STATE | COMPARED)
            pn.state.onload(lambda: pn.state.location.update_query(**self._address))
        page = pn.template.BootstrapTemplate(title="Atlas of plankton maps", header_background="#0b3c5d")
        if self.catalogue.products:
            page.header.append(_html(self._bound(self._theme_link), margin=(0, 12)))
        page.main.append(self.panel())
        return page

    def warm_up(self):
        """Draw what is seen first, so that the first visitor need not wait for libraries to load."""
        if self.catalogue.products:
            self._map(self.view)

    def servable(self, title=None, **_):
        """
        Serve the page by `panel serve`.

        Parameters
        ----------
        title : str, optional
            Of the browser's tab.

        Returns
        -------
        panel.template.BootstrapTemplate
        """
        return self.page().servable(title=title)

    def __repr__(self):
        return f"<Atlas {self._folder}: {len(self.catalogue.products)} maps>"

    def __panel__(self):
        return self.panel()

    def _bound(self, function):
        return pn.bind(function, self.param.view)

    def _headline(self, view):
        return f"{self._note}<h1>{escape(view.product.title)}</h1>{headline_html(view.product, view.row)}"

    def _map(self, view):
        """The layer where there is a field, else the picture that came along, else words."""
        told, product = "", view.product
        if product.has_field:
            self.status = "Drawing the map ..."
            try:
                picture = draw_layer(product.files["field.nc"], statistic=view.statistic, month=view.month)
            except (OSError, ValueError, KeyError) as error:
                told = f"<p class='caution'>field.nc cannot be drawn: {escape(str(error))}</p>"
            else:
                alt = f"Map, {STATISTICS[view.statistic].lower()}, {month_name(view.month)}: {product.title}"
                return pn.Column(_png(picture, alt), _html(f"<p class='quiet'>{_CAPTIONS[view.statistic]}</p>"))
            finally:
                self.status = ""
        else:
            command = escape(remaking_command(product, self._folder))
            told = (
                "<p class='quiet'>This is the picture that came with the map. Its field, from which months and other "
            )
            told += f"statistics are drawn, is made by <code>{command}</code>.</p>"
        if "map.png" not in product.files:
            return pn.Column(_html(f"<p>There is no picture of this map.</p>{told}"))
        return pn.Column(_png(product.files["map.png"].read_bytes(), product.pictures["map.png"]), _html(told))

    @property
    def _address(self):
        """What the address of the page says of the view."""
        chosen = {named: getattr(self, name) for name, named in (STATE | COMPARED).items()}
        return {named: str(value) for named, value in chosen.items() if value is not None}

    def _theme_link(self, _):
        """A link to the same view by day or by night."""
        other = "default" if pn.config.theme == "dark" else "dark"
        address = escape(urlencode(self._address | {"theme": other}))
        return f'<a href="?{address}" style="color:inherit">{"Light" if other == "default" else "Dark"} colours</a>'

    def _comparison(self):
        """Menus of what can be set beside the view, and both pictures."""
        others, months = (pn.widgets.Select(label=label, width=None) for label in ("Beside", "Its month"))

        def offer(view, product, month):
            chosen = comparing.fitting(self.catalogue, view, product=product, month=month)
            if chosen is None:
                return _html("<p>To be compared, a map needs its field.nc.</p>")
            known = comparing.comparable(self.catalogue, view)
            others.param.update(
                options=_options({name: each.title for name, each in known.items()}), value=chosen.product.name
            )
            names = {each: month_name(each).capitalize() for each in chosen.product.months}
            months.param.update(options=_options(names), value=chosen.month, disabled=len(names) == 1)
            text, pictures = comparing.compare(view, chosen)
            return pn.Column(_html(text), *(_png(*picture) for picture in pictures), sizing_mode="stretch_width")

        others.param.watch(lambda event: self.param.update(beside=event.new), "value")
        months.param.watch(lambda event: self.param.update(beside_month=event.new), "value")
        shown = pn.bind(offer, self.param.view, self.param.beside, self.param.beside_month)
        return pn.Column(pn.FlexBox(others, months), pn.panel(shown, lazy=True, loading_indicator=True))

    def _downloads(self):
        budget = pn.widgets.FileDownload(
            callback=pn.bind(_budget_csv, self.param.view),
            filename=self._bound(lambda view: f"{view.product.name}_budget.csv"),
            label="Download the budget (CSV)",
        )
        field = pn.widgets.FileDownload(
            callback=pn.bind(lambda view: view.product.files["field.nc"], self.param.view),
            filename=self._bound(lambda view: f"{view.product.name}.nc"),
            label="Download the field (NetCDF)",
            visible=self._bound(lambda view: view.product.has_field),
        )
        return pn.FlexBox(budget, field)


_CAPTIONS = {
    "mean": "Mean of the members, before the correction that the estimate of the total has. Hatched: extrapolated.",
    "width": "Width of the interval in which a new sample of the cell would lie.",
    "extrapolation": "How unlike the samples the environment is. Hatched: outside the area of applicability "
    "(Meyer and Pebesma 2021), where the map is extrapolated.",
}


def _fitting(value, options):
    """The option that a value names, in an address of the page too; else the first."""
    return next((option for option in options if str(option) == str(value)), next(iter(options)))


def _options(labels):
    """Label -> value, as menus want it; labels that come twice are told apart by their values."""
    shown = list(labels.values())
    return {label if shown.count(label) == 1 else f"{label} ({value})": value for value, label in labels.items()}


def _html(content, **options):
    """A pane of our own HTML in our own style."""
    options = {"sizing_mode": "stretch_width", "margin": 0, "stylesheets": [STYLE.read_text("utf-8")]} | options
    content = _styled(content) if isinstance(content, str) else pn.bind(_styled, content)
    return pn.pane.HTML(content, **options)


def _styled(content):
    return content and f'<div class="atlas">{content}</div>'


def _png(content, alt):
    return pn.pane.PNG(content, alt_text=alt, sizing_mode="scale_width", margin=0, styles={"background": "white"})


def _status(text):
    return f'<p class="quiet status" role="status">{text}</p>'


def _budget(view):
    return budget_table(view.product, view.rows, chosen=view.row)


def _year(view):
    months = [month for month in view.product.months if month != ANNUAL]
    rows = view.product.budget
    rows = rows[(rows["region"] == view.region) & rows["month"].isin(months)]
    if len(rows) < 2:
        return pn.Column(_html("<p>This map stands for the whole year: it has no months.</p>"))
    chosen = view.row if view.month != ANNUAL else None
    return pn.Column(
        pn.pane.Bokeh(year_figure(rows, month=view.month), sizing_mode="stretch_width"),
        _html(budget_table(view.product, rows.sort_values("month"), chosen=chosen)),
        sizing_mode="stretch_width",
    )


def _published(view):
    return reference_table(view.product)


def _report(view):
    pictures = {name: _data_address(view.product.files[name]) for name in view.product.pictures if name != "map.png"}
    return report_html(view.product, pictures) or "<p>No report came with this map.</p>"


def _data_address(path):
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _credit(view):
    return credit_html(view.product)


def _budget_csv(view):
    return io.StringIO(view.product.budget.to_csv(index=False))
