"""A run to look at while it goes on: losses, judgements, speed."""

import asyncio
from datetime import datetime
from html import escape

import numpy as np

from aqqua_science.optional import require

POINTS = 1_000
"""Points drawn of a curve at most; of a longer log, means of neighbouring steps."""
NO_LOSS = {"step", "epoch", "learning_rate", "gradient_norm", "images", "tokens"}
"""Columns of a log that are no term of the loss and have no curve."""
RATES = {
    "images_per_second": ("images a second", {"start": 0}),
    "occupancy": ("batch filled, %", {"start": 0, "end": 102}),
    "memory_gb": ("GPU memory, GB", {"start": 0}),
    "gpu_use": ("share of the time that the GPU works", {"start": 0, "end": 1}),
}
"""Columns of a log that have a chart of their own: its title and bounds."""
JUDGEMENTS = {
    "knn_accuracy": "kNN accuracy",
    "accuracy": "probe accuracy",
    "balanced_accuracy": "probe, balanced",
    "esd_r2": "size, R²",
    "leakage": "instrument told",
    "leakage_chance": "instrument, chance",
}
"""Columns of an evaluation that lie between 0 and 1, and their names for people."""
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
"""Told apart by colour-blind readers too (Okabe & Ito 2008)."""
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL"}
GREY = "#666666"


def training_panel(run, *, seconds=2):
    """
    Show a run, and keep the picture up to date while the notebook or server lives.

    Parameters
    ----------
    run : Run
    seconds : float
        Between two looks at the folder.

    Returns
    -------
    panel.Column
        State, terms of the loss, judgements, images per second, occupancy and GPU memory. Its ``refresh`` looks at
        the folder at once.
    """
    panel = require("panel", for_="apps")
    views = _Views(run)
    figures = [panel.pane.Bokeh(chart.figure, sizing_mode="stretch_width", margin=8) for chart in views.charts]
    views.head = panel.pane.HTML("", sizing_mode="stretch_width")
    layout = panel.Column(
        views.head,
        panel.Row(*figures[:2], sizing_mode="stretch_width"),
        panel.Row(*figures[2:], sizing_mode="stretch_width"),
        sizing_mode="stretch_width",
        max_width=1200,
    )
    layout.refresh = views.refresh
    views.refresh()
    if run.state not in ENDED and (panel.state.curdoc or _has_loop()):
        views.clock = panel.state.add_periodic_callback(views.refresh, period=int(1000 * seconds))
    return layout


def _has_loop():
    """Whether something, such as a notebook, runs what is due later."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Views:
    """Charts of a run, and what brings them up to date."""

    def __init__(self, run):
        self.run, self.head, self.clock = run, None, None
        self.losses, self.judged = (
            _Chart("loss"),
            _Chart("neighbours and probes", bounds={"start": 0, "end": 1.02}, dots=True),
        )
        self.rates = {name: _Chart(title, height=180, bounds=b, legend=False) for name, (title, b) in RATES.items()}

    @property
    def charts(self):
        """In the order of the page."""
        return [self.losses, self.judged, *self.rates.values()]

    def refresh(self):
        """Draw what the folder holds now."""
        log, evaluations = self.run.log, self.run.evaluations
        log = _thinned(log)
        terms = sorted(set(log.columns) - NO_LOSS - RATES.keys(), key=lambda name: (name != "loss", name))
        self.losses.draw(log, {name: name.replace("_", " ") for name in terms})
        self.judged.draw(evaluations, {name: JUDGEMENTS[name] for name in JUDGEMENTS if name in evaluations})
        shown = log.assign(occupancy=100 * log["occupancy"]) if "occupancy" in log else log
        for name, chart in self.rates.items():
            chart.draw(shown, {name: RATES[name][0]} if name in shown else {})
        summary = {**self.run.summary, "looked at": f"{datetime.now():%H:%M:%S}"}
        self.head.object = _head(str(self.run.path), summary)
        if self.clock is not None and summary["state"] in ENDED:
            self.clock.stop()


def _thinned(log):
    """A log of few enough rows: means of neighbouring steps, the last step as it is."""
    width = -(-len(log) // POINTS)
    if width <= 1:
        return log
    means = log.groupby(np.arange(len(log)) // width).mean(numeric_only=True)
    means.loc[means.index[-1], "step"] = log["step"].iloc[-1]
    return means


def _head(path, summary):
    """State and numbers of a run in a line of tiles."""
    names = {name: name.replace("_gb", ", GB").replace("_", " ") for name in summary if name != "evaluation"}
    tiles = "".join(
        f"<div style='padding:2px 18px 2px 0'><div style='font-size:11px;color:{GREY}'>{escape(shown)}</div>"
        f"<div style='font-size:16px'>{escape(summary[name])}</div></div>"
        for name, shown in names.items()
    )
    return (
        f"<div style='font-family:sans-serif'><div style='font-size:12px;color:{GREY}'>{escape(path)}</div>"
        f"<div style='display:flex;flex-wrap:wrap'>{tiles}</div></div>"
    )


class _Chart:
    """Curves over steps, one for each column of a table, whose data can be replaced."""

    def __init__(self, title, *, height=280, bounds=None, legend=True, dots=False):
        plotting = require("bokeh.plotting", for_="apps")
        models = require("bokeh.models", for_="apps")
        validation = require("bokeh.core.validation", for_="apps")
        # A chart waits, unseen and empty, for what a run may log later.
        validation.silence(require("bokeh.core.validation.warnings", for_="apps").MISSING_RENDERERS)
        self.sources, self.legend, self.dots = {}, None, dots
        self.figure = plotting.figure(
            title=title, height=height, visible=False, sizing_mode="stretch_width",
            y_range=models.DataRange1d(**(bounds or {})),
            tools="pan,xwheel_zoom,box_zoom,reset,hover",
            tooltips=[("step", "@step{0,0}"), ("", "$name @value{0.0000}")], toolbar_location="above",
        )  # fmt: skip
        self.figure.xaxis.axis_label = "step"
        self.figure.xaxis.formatter = models.NumeralTickFormatter(format="0,0")
        self.figure.axis.minor_tick_line_color = None
        self.figure.yaxis.ticker.desired_num_ticks = height // 40
        self.figure.title.text_font_style = "normal"
        self.figure.outline_line_color = None
        self.figure.xgrid.grid_line_color = None
        self.figure.toolbar.logo = None
        self.figure.toolbar.autohide = True
        if legend:
            self.legend = models.Legend(
                items=[], click_policy="hide", border_line_color=None, label_text_font_size="11px"
            )
            self.figure.add_layout(self.legend, "right")

    def draw(self, table, columns):
        """Show some columns of a table under the names given; a chart without any is not seen."""
        for column, name in columns.items():
            known = table[["step", column]].dropna()
            data = {"step": known["step"].to_numpy(), "value": known[column].to_numpy(dtype=float)}
            if column not in self.sources:
                self.sources[column] = self._add(name)
            self.sources[column].data = data
        self.figure.visible = bool(self.sources)

    def _add(self, name):
        """A new curve, and its source."""
        models = require("bokeh.models", for_="apps")
        source = models.ColumnDataSource({"step": [], "value": []})
        look = {"source": source, "color": COLOURS[len(self.sources) % len(COLOURS)], "name": name}
        drawn = [self.figure.line("step", "value", line_width=1.5, **look)]
        if self.dots:
            drawn.append(self.figure.scatter("step", "value", size=6, **look))
        if self.legend is not None:
            self.legend.items = [*self.legend.items, models.LegendItem(label=name, renderers=drawn)]
        return source
