"""Pictures of a map: a layer of its field as PNG, and the year of a region."""

import functools
import io
import threading

import xarray as xr

from aqqua_science.apps.catalogue import ANNUAL
from aqqua_science.apps.wording import month_name, region_name
from aqqua_science.grids.geometry import require_same_cells
from aqqua_science.habitat.budget import member_variable
from aqqua_science.optional import require
from aqqua_science.plot.colours import choose_scale, format_units
from aqqua_science.plot.layers import extrapolated, flatten, interval_width
from aqqua_science.plot.maps import field_map

STATISTICS = {"mean": "Mean", "width": "Width of the interval", "extrapolation": "Extrapolation"}
"""What of a field can be drawn."""

KEPT = 64
"""Pictures that stay in memory; each has about half a megabyte."""

KEPT_FIELDS = 2
"""Fields that stay in memory; one of twelve months has 16 MB at one degree, 250 MB at a quarter."""

_COLOURS = {"width": "cmo.algae", "extrapolation": "cmo.deep"}
_LINE, _BAND = "#0072B2", "#56B4E9"
_ONE_AT_A_TIME = threading.Lock()  # neither matplotlib's settings nor the NetCDF library stand two threads


def draw_layer(path, *, statistic="mean", month=ANNUAL):
    """
    Draw a layer of a field.

    Parameters
    ----------
    path : pathlib.Path
        A `field.nc`. Its picture is kept until the file changes.
    statistic : {"mean", "width", "extrapolation"}
    month : int or str
        1..12, or "annual" for the mean of all. A field without months is the same in each.

    Returns
    -------
    bytes
        PNG.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read or lacks what is to be drawn.
    """
    return _drawn(path, path.stat().st_mtime_ns, statistic, month)


@functools.lru_cache(maxsize=KEPT)
def _drawn(path, changed, statistic, month):
    with _ONE_AT_A_TIME:
        field, norm = _shown(path, changed), _common_scale(path, changed, statistic)
        field = _of_month(field, month)
        layer, outside = _layer(field, statistic), None
        if statistic != "width":
            name = member_variable(field)
            outside = extrapolated(field, field[name].isel(member=0))[0] > 0.5
        title = f"{STATISTICS[statistic]}, {month_name(month)}"
        ax = field_map(layer, outside=outside, title=title, cmap=_COLOURS.get(statistic), norm=norm)
        picture = io.BytesIO()
        ax.figure.savefig(picture, format="png", dpi=110, bbox_inches="tight")
    return picture.getvalue()


def draw_difference(path, other, *, months):
    """
    Draw what the mean of one field has more than that of another.

    Parameters
    ----------
    path, other : pathlib.Path
        Of `field.nc`.
    months : tuple of (int or str)
        Of the one and of the other.

    Returns
    -------
    bytes
        PNG.

    Raises
    ------
    ValueError
        If they lie on different cells or have different units.
    """
    return _difference(path, path.stat().st_mtime_ns, other, other.stat().st_mtime_ns, months)


@functools.lru_cache(maxsize=KEPT)
def _difference(path, changed, other, other_changed, months):
    with _ONE_AT_A_TIME:
        first = _layer(_of_month(_shown(path, changed), months[0]), "mean")
        second = _layer(_of_month(_shown(other, other_changed), months[1]), "mean")
        require_same_cells(first, second, what="the maps have different cells.")
        if first.attrs.get("units") != second.attrs.get("units"):
            msg = f"the maps have different units, {first.attrs.get('units')} and {second.attrs.get('units')}."
            raise ValueError(msg)
        change = (first - second).assign_attrs(units=first.attrs.get("units"), long_name="difference of the means")
        picture = io.BytesIO()
        ax = field_map(change, title=f"Difference: {month_name(months[0])} less {month_name(months[1])}")
        ax.figure.savefig(picture, format="png", dpi=110, bbox_inches="tight")
    return picture.getvalue()


def _of_month(field, month):
    return field.sel(month=month) if month != ANNUAL and "month" in field.dims else field


@functools.lru_cache(maxsize=KEPT_FIELDS)
def _shown(path, changed):
    """What of a field is ever drawn, in memory: the mean stands for its members where there is an interval."""
    with xr.open_dataset(path, chunks={}) as field:
        name = member_variable(field)
        members, rest = field[name], [v for v in ("low", "high", "inside", "dissimilarity_index") if v in field]
        if {"low", "high"} <= set(rest):
            members = members.mean("member", keep_attrs=True).expand_dims("member")
        return field[rest].drop_dims("member", errors="ignore").assign({name: members}).load()


@functools.lru_cache(maxsize=KEPT)
def _common_scale(path, changed, statistic):
    """One colour scale for all months, so that they can be compared; None where there are none."""
    field = _shown(path, changed)
    if "month" not in field.dims:
        return None
    months = [_layer(field.isel(month=i), statistic) for i in range(field.sizes["month"])]
    return choose_scale(xr.concat(months, "month", coords="minimal", compat="override"))[0]


def _layer(field, statistic):
    """A statistic of a field on the map."""
    name = member_variable(field)
    if statistic == "width":
        return interval_width(field, name)[0]
    mean = flatten(field[name])[0]
    if statistic == "mean":
        return mean
    return flatten(field["dissimilarity_index"])[0].where(mean.notnull()).assign_attrs(units="1")


def year_figure(rows, *, month=ANNUAL):
    """
    Draw the year of a region with its interval, to be looked at closely.

    Parameters
    ----------
    rows : pandas.DataFrame
        Of a budget: the months of one region.
    month : int or str
        Brought out where it is one of them.

    Returns
    -------
    bokeh.plotting.figure
    """
    plotting = require("bokeh.plotting", for_="apps")
    rows = rows.sort_values("month")
    columns = {name: rows[name].astype(float).tolist() for name in ("median", "low", "high")}
    columns |= {"month": rows["month"].astype(int).tolist(), "name": [month_name(m) for m in rows["month"]]}
    units = format_units(rows["units"].iloc[0])
    figure = plotting.figure(
        height=300,
        sizing_mode="stretch_width",
        title=region_name(rows["region"].iloc[0]),
        y_axis_label=units or "mean",
        toolbar_location=None,
        tools="hover",
        tooltips=[("", "@name"), ("estimate", "@median{0.000}"), ("interval", "@low{0.000} to @high{0.000}")],
        x_range=(0.7, 12.3),
    )
    figure.varea("month", "low", "high", source=dict(columns), fill_color=_BAND, fill_alpha=0.35)
    figure.line("month", "median", source=dict(columns), line_color=_LINE, line_width=2)
    points = figure.scatter("month", "median", source=dict(columns), color=_LINE, size=7)
    figure.hover.renderers = [points]
    if month != ANNUAL:
        at = [i for i, m in enumerate(columns["month"]) if m == month]
        chosen = {name: [columns[name][i] for i in at] for name in ("month", "median")}
        figure.scatter("month", "median", source=chosen, color="#D55E00", size=13)
    figure.y_range.start = 0
    figure.xaxis.ticker = list(range(1, 13))
    figure.xaxis.major_label_overrides = {m: month_name(m)[:3] for m in range(1, 13)}
    return figure
