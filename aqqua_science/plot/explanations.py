"""Charts of what a model does with its predictors: importance, responses, and which of them tell the same."""

import cmocean
import matplotlib
import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from aqqua_science.plot.colours import STYLE, format_units
from aqqua_science.plot.figures import Figure
from aqqua_science.schema import SchemaError, require_columns

_LINE, _DENSITY = "#7a1e61", "0.75"
_COLUMNS = 3


def importance_chart(importance, *, ax=None, title=None):
    """
    Draw the importance of predictors with its spread over folds.

    Parameters
    ----------
    importance : pandas.DataFrame
        Columns `predictor`, `importance`, `lowest`, `highest`, `repeat_sd` and `skill`, such as
        `aqqua_science.habitat.permutation_importance`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes
        Most important predictor first. A thin line reaches from the lowest to the highest fold, a thick one over two
        standard deviations of the shuffles to either side.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"predictor": "oxygen", "importance": 0.2, "lowest": 0.1, "highest": 0.4, "repeat_sd": 0.01, "skill": 0.5}
    >>> importance_chart(pd.DataFrame([row])).get_yticklabels()[0].get_text()
    'oxygen'
    """
    columns = ["predictor", "importance", "lowest", "highest", "repeat_sd", "skill"]
    require_columns(importance, columns, what="the importance")
    rows = _numeric(importance, columns[1:]).sort_values("importance", ascending=False, kind="stable")
    places = np.arange(len(rows))[::-1]
    with matplotlib.rc_context(STYLE):
        if ax is None:
            ax = Figure(figsize=(9, 1.6 + 0.42 * len(rows)), dpi=150, layout="constrained").add_subplot()
        ax.hlines(places, rows["lowest"], rows["highest"], color=_LINE, linewidth=1.5, alpha=0.5)
        spread = 2 * rows["repeat_sd"].fillna(0)
        ax.hlines(places, rows["importance"] - spread, rows["importance"] + spread, color=_LINE, linewidth=6, alpha=0.5)
        ax.plot(rows["importance"], places, "o", color=_LINE, markersize=8)
        ax.axvline(0, color="0.4", linewidth=0.8)
        ax.set_yticks(places, [_plain(name) for name in rows["predictor"]])
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.set_xlabel(
            "Fall of the explained share when a predictor is shuffled among held-out samples\n"
            f"(thick: two standard deviations of the shuffles; thin: range of the folds;\n"
            f"all predictors together explain {100 * rows['skill'].iloc[0]:.0f} %)"
        )
        _tidy(ax, title, grid="x")
        ax.tick_params(axis="y", length=0)
    return ax


def response_chart(effects, *, order=None, units=None, labels=None, title=None):
    """
    Draw how the prediction responds to each predictor, with the density of the samples below.

    Parameters
    ----------
    effects : pandas.DataFrame
        Columns `predictor`, `value`, `effect`, `low`, `high`, `n_samples`, such as
        `aqqua_science.habitat.accumulated_effects`. A curve breaks where there are no samples.
    order : list of str, optional
        Predictors to draw, in this order; by default all.
    units : str, optional
        Of the effect, as CF writes them.
    labels : dict of str to str, optional
        What to write below the axis of a predictor, such as ``{"oxygen": "Oxygen (mmol m-3)"}``.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        Panels of one height, so that steep and flat responses can be told apart; the axis of a predictor that is
        spaced by factors is logarithmic.

    Raises
    ------
    SchemaError
        If a column is missing, or a predictor has no curve.

    Examples
    --------
    >>> import pandas as pd
    >>> curve = {"predictor": "oxygen", "value": [1.0, 2.0, 3.0], "effect": [0.0, 1.0, 2.0]}
    >>> curve = pd.DataFrame(curve | {"low": [0.0, 0.5, 1.0], "high": [0.5, 1.5, 3.0], "n_samples": [3, 4, 0]})
    >>> len(response_chart(curve, units="mg m-3").axes)
    2
    """
    columns = ["predictor", "value", "effect", "low", "high", "n_samples"]
    require_columns(effects, columns, what="the effects")
    effects = _numeric(effects, columns[1:])
    names = list(effects["predictor"].unique()) if order is None else list(order)
    absent = [name for name in names if not (effects["predictor"] == name).any()]
    if absent:
        msg = f"there is no curve of {', '.join(absent)}; there are {', '.join(effects['predictor'].unique())}."
        raise SchemaError(msg)
    n_rows = -(-len(names) // _COLUMNS)
    n_columns = min(len(names), _COLUMNS)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1 + 4 * n_columns, 0.8 + 2.8 * n_rows), dpi=150, layout="constrained")
        grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
        for ax, name in zip(grid.flat, names, strict=False):
            _draw_response(ax, effects[effects["predictor"] == name])
            ax.set_xlabel((labels or {}).get(name, _plain(name)))
        for ax in grid.flat[len(names) :]:
            ax.remove()
        figure.supylabel(f"Effect ({format_units(units)})" if units else "Effect")
        if title:
            figure.suptitle(title, x=0.01, ha="left", weight="bold", size=14)
    return figure


def collinearity_chart(correlation, *, clusters=None, ax=None, title=None):
    """
    Draw the correlation of all pairs of predictors, clusters framed.

    Parameters
    ----------
    correlation : pandas.DataFrame, shape (p, p)
        Such as `aqqua_science.habitat.collinearity.rank_correlation`.
    clusters : pandas.Series, optional
        Number of the cluster of each predictor, such as `aqqua_science.habitat.collinearity.cluster_predictors`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes
        Predictors of one cluster stand side by side.

    Raises
    ------
    SchemaError
        If a predictor has no cluster.

    Examples
    --------
    >>> import pandas as pd
    >>> names = ["oxygen", "salinity", "temperature"]
    >>> correlation = pd.DataFrame([[1, 0, -0.9], [0, 1, 0.1], [-0.9, 0.1, 1]], index=names, columns=names)
    >>> ax = collinearity_chart(correlation, clusters=pd.Series([1, 2, 1], index=names))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['oxygen', 'temperature', 'salinity']
    """
    names = list(correlation.index)
    if clusters is not None:
        if not set(names) <= set(clusters.index):
            msg = f"every predictor needs a cluster; {', '.join(sorted(set(names) - set(clusters.index)))} has none."
            raise SchemaError(msg)
        names = sorted(names, key=lambda name: clusters[name])
    values = correlation.loc[names, names].to_numpy(dtype=float)
    size = len(names)
    with matplotlib.rc_context(STYLE):
        if ax is None:
            ax = Figure(figsize=(3.4 + 0.62 * size, 2.4 + 0.5 * size), dpi=150, layout="constrained").add_subplot()
        cells = ax.imshow(values, cmap=cmocean.cm.balance, vmin=-1, vmax=1, aspect="auto")
        for row, column in np.ndindex(size, size):
            if row != column:
                colour = "white" if abs(values[row, column]) > 0.5 else "0.2"
                ax.text(column, row, f"{values[row, column]:.2f}", ha="center", va="center", color=colour, size=9)
        if clusters is not None:
            _frame_clusters(ax, [clusters[name] for name in names])
        ax.set_xticks(range(size), [_plain(name) for name in names], rotation=45, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(size), [_plain(name) for name in names])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        bar = ax.figure.colorbar(cells, ax=ax, label="Rank correlation (Spearman)")
        bar.outline.set_visible(False)
        if title:
            ax.set_title(title, loc="left")
    return ax


def _draw_response(ax, curve):
    """Curve and band, and bars of the samples on an axis of their own that fills the lowest sixth."""
    ax.fill_between(curve["value"], curve["low"], curve["high"], color=_LINE, alpha=0.25, linewidth=0)
    ax.plot(curve["value"], curve["effect"], color=_LINE, linewidth=2)
    ax.axhline(0, color="0.4", linewidth=0.8)
    if _by_factors(curve["value"].to_numpy()):
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    _tidy(ax, None, grid="both")
    bars = ax.twinx()
    bars.fill_between(curve["value"], curve["n_samples"], step="mid", color=_DENSITY, linewidth=0)
    bars.set_ylim(0, 6 * max(curve["n_samples"].max(), 1))
    bars.set_yticks([])
    bars.spines[:].set_visible(False)
    ax.set_zorder(bars.get_zorder() + 1)
    ax.patch.set_visible(False)


def _by_factors(values):
    return values.min() > 0 and len(values) > 2 and np.ptp(np.diff(np.log(values))) < 1e-6


def _frame_clusters(ax, labels):
    for label in dict.fromkeys(labels):
        first, count = labels.index(label), labels.count(label)
        if count > 1:
            ax.add_patch(Rectangle((first - 0.5, first - 0.5), count, count, fill=False, edgecolor="0.1", linewidth=2))


def _tidy(ax, title, *, grid):
    ax.grid(axis=grid, color="0.9")
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    if title:
        ax.set_title(title, loc="left")


def _numeric(table, columns):
    """A table read from JSON has None where a number is missing."""
    return table.assign(**{name: pd.to_numeric(table[name]) for name in columns})


def _plain(name):
    return str(name).replace("_", " ")
