"""Charts of numbers: budgets of regions with their intervals."""

import matplotlib
import numpy as np
import pandas as pd

from aqqua_science.plot.colours import STYLE, format_units
from aqqua_science.plot.figures import Figure
from aqqua_science.schema import SchemaError, require_columns

_POINT, _WHOLE = "#7a1e61", "0.15"
_PANELS = 12


def budget_chart(budget, *, ax=None, title=None):
    """
    Draw the totals of regions as points with their intervals.

    Parameters
    ----------
    budget : pandas.DataFrame
        Columns `region`, `median`, `low`, `high`, `units`; `level` where known. Where there is a column `month`, the
        rows "annual" are drawn. A missing interval leaves the point alone.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure (``budget_chart(...).figure``).
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes
        Largest region first, the region "global" above all; the numbers stand at the right.

    Raises
    ------
    SchemaError
        If a column is missing, units differ, or a region comes twice.

    Examples
    --------
    >>> row = {"region": "global", "median": 0.083, "low": 0.06, "high": 0.1, "units": "PgC"}
    >>> [text.get_text() for text in budget_chart(pd.DataFrame([row])).texts]
    ['0.083 (0.06–0.1)']
    """
    rows = _order_rows(budget)
    with matplotlib.rc_context(STYLE):
        if ax is None:
            ax = Figure(figsize=(9, 1.2 + 0.42 * len(rows)), dpi=150, layout="constrained").add_subplot()
        for place, row in zip(np.arange(len(rows))[::-1], rows.itertuples(), strict=True):
            colour = _WHOLE if row.region == "global" else _POINT
            ax.plot([row.low, row.high], [place, place], color=colour, linewidth=3, alpha=0.45, solid_capstyle="round")
            ax.plot(row.median, place, "o", color=colour, markersize=8)
            text = f"{row.median:.3g}" + ("" if np.isnan(row.low) else f" ({row.low:.3g}–{row.high:.3g})")
            ax.text(1.01, place, text, transform=ax.get_yaxis_transform(), va="center")
        ax.set_yticks(np.arange(len(rows))[::-1], rows["region"])
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.set_xlim(left=0)
        ax.set_xlabel(_describe_interval(rows))
        ax.grid(axis="x", color="0.9")
        ax.set_axisbelow(True)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        if title:
            ax.set_title(title, loc="left")
    return ax


def cycle_chart(budget, *, regions=None, title=None):
    """
    Draw the year of each region, month by month, with its interval.

    Parameters
    ----------
    budget : pandas.DataFrame
        Columns `region`, `month` (1..12, and perhaps "annual"), `median`, `low`, `high`, `units`.
    regions : list of str, optional
        Which regions; by default "global" and the eleven with the largest mean.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each region, from zero.

    Raises
    ------
    SchemaError
        If a column is missing, units differ, a month comes twice, or there are no months.

    Examples
    --------
    >>> months = pd.DataFrame({"region": "global", "month": range(1, 13), "median": 1.0, "low": 0.8, "high": 1.3})
    >>> [ax.get_title(loc="left") for ax in cycle_chart(months.assign(units="PgC")).axes]
    ['global']
    """
    require_columns(budget, ["region", "month", "median", "low", "high", "units"], what="the budget")
    rows = budget.assign(month=pd.to_numeric(budget["month"], errors="coerce")).dropna(subset="month")
    if rows.empty or rows["units"].nunique() != 1 or rows.duplicated(["region", "month"]).any():
        msg = (
            "the chart of a year shows each region and month once, all in the same units; here are "
            f"{len(rows)} rows of months and the units {sorted(budget['units'].unique())}. Select the rows first."
        )
        raise SchemaError(msg)
    order = rows.groupby("region")["median"].mean().sort_values(ascending=False).index.tolist()
    names = regions or sorted(order, key=lambda name: name != "global")[:_PANELS]
    n_columns = min(3, len(names))
    n_rows = -(-len(names) // n_columns)
    with matplotlib.rc_context(STYLE | {"axes.titlesize": 12}):
        figure = Figure(figsize=(4 * n_columns, 2.4 * n_rows + 0.6), dpi=150, layout="constrained")
        for place, name in enumerate(names, start=1):
            part = rows[rows["region"] == name].sort_values("month")
            _draw_year(figure.add_subplot(n_rows, n_columns, place), part, title=name)
        figure.supylabel(_describe_interval(rows), size=11)
        if title:
            figure.suptitle(title, size=14, weight="bold", x=0.01, ha="left")
    return figure


def waterfall_chart(ledger, *, units="", title=None):
    """
    Draw where the uncertainty of a total comes from, source after source.

    Parameters
    ----------
    ledger : pandas.DataFrame
        Of `aqqua_science.habitat.ledger.uncertainty_ledger`: `source`, `share`, `low`, `high`.
    units : str
        Of the total.
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes
        The interval as the sources are added from top to bottom; what a source adds is dark. The last row holds all.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> ledger = pd.DataFrame({"source": ["sampling"], "share": [1.0], "low": [0.8], "high": [1.2]})
    >>> [text.get_text() for text in waterfall_chart(ledger).texts]
    ['0.8–1.2 (100 %)']
    """
    require_columns(ledger, ["source", "share", "low", "high"], what="the ledger")
    before = ledger[["low", "high"]].shift()
    places = np.arange(len(ledger))[::-1]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 1.4 + 0.45 * len(ledger)), dpi=150, layout="constrained")
        ax = figure.add_subplot()
        for place, row, low, high in zip(places, ledger.itertuples(), before["low"], before["high"], strict=True):
            ax.plot([row.low, row.high], [place, place], color=_POINT, linewidth=9, solid_capstyle="butt")
            if not np.isnan(low):
                ax.plot([low, high], [place, place], color="0.8", linewidth=9.5, solid_capstyle="butt")
            text = f"{row.low:.3g}–{row.high:.3g} ({100 * row.share:.0f} %)"
            ax.text(1.01, place, text, transform=ax.get_yaxis_transform(), va="center")
        ax.set_yticks(places, ledger["source"])
        ax.set_ylim(-0.6, len(ledger) - 0.4)
        ax.set_xlabel(f"{_with_units('Interval', units)}, and share of the variance")
        ax.grid(axis="x", color="0.9")
        ax.set_axisbelow(True)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        if title:
            ax.set_title(title, loc="left")
    return ax


def _draw_year(ax, rows, *, title):
    colour = _WHOLE if title == "global" else _POINT
    month, low, high = (pd.to_numeric(rows[name]) for name in ("month", "low", "high"))
    ax.fill_between(month, low, high, color=colour, alpha=0.2, linewidth=0)
    ax.plot(month, pd.to_numeric(rows["median"]), "-o", color=colour, markersize=4)
    ax.set_xticks(range(1, 13), list("JFMAMJJASOND"))
    ax.set_xlim(0.7, 12.3)
    ax.set_ylim(bottom=0)
    ax.grid(axis="y", color="0.9")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(title, loc="left")


def _order_rows(budget):
    require_columns(budget, ["region", "median", "low", "high", "units"], what="the budget")
    rows = budget[budget["month"] == "annual"] if "month" in budget else budget
    doubled = rows["region"][rows["region"].duplicated()].unique()
    if len(rows) == 0 or len(doubled) or rows["units"].nunique() != 1:
        msg = (
            "a budget chart shows one annual row of each region, all in the same units; here are "
            f"{len(rows)} rows, units {sorted(rows['units'].unique())}, doubled regions {sorted(doubled)}. "
            "Select the rows first."
        )
        raise SchemaError(msg)
    rows = rows.assign(**{name: pd.to_numeric(rows[name]) for name in ("median", "low", "high")})
    whole = rows["region"] == "global"
    return rows.assign(whole=whole).sort_values(["whole", "median"], ascending=False, kind="stable")


def _describe_interval(rows):
    level = f"{100 * rows['level'].iloc[0]:g} % interval" if "level" in rows else "interval"
    return _with_units("Median" if rows["low"].isna().all() else f"Median and {level}", rows["units"].iloc[0])


def _with_units(what, units):
    return what if units in ("", "1") else f"{what} ({format_units(units)})"
