"""Maps of fields for papers and slides: equal-area, readable, drawn without a network."""

import textwrap
from pathlib import Path

import cartopy
import cartopy.crs as ccrs
import cartopy.feature as cfeature
import cmocean
import matplotlib
import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from aqqua_science import __version__
from aqqua_science.grids.land import natural_earth_dir
from aqqua_science.plot.colours import (
    STYLE,
    choose_colours,
    choose_scale,
    describe_quantity,
    is_change,
    style_colour_bar,
)
from aqqua_science.plot.figures import Figure
from aqqua_science.plot.frames import choose_projection, frame_axes, make_mesh, project_mesh
from aqqua_science.plot.layers import extrapolated, flatten, interval_width
from aqqua_science.schema import SchemaError, nearest_name, require_columns

MAP_STYLE = STYLE | {"hatch.linewidth": 0.5}

_LAND, _UNKNOWN, _SHORE, _INK = "0.78", "0.95", "0.35", "0.2"

_CREDIT_SIZES, _CREDIT_POINTS = (11, 9, 8, 7, 6, 5), 52
_BUDGET_CHARACTERS = 110  # of one line across the figure, at 15 points
_PLACES = [(0.03, 0.25, 0.58, 0.56), (0.65, 0.585, 0.33, 0.26), (0.65, 0.15, 0.33, 0.26)]

# cartopy's own default is the working directory; a folder that the user chose stays
if Path(cartopy.config["pre_existing_data_dir"]) == Path():
    cartopy.config["pre_existing_data_dir"] = natural_earth_dir()


def field_map(
    field,
    *,
    ax=None,
    projection=None,
    samples=None,
    outside=None,
    outside_label="extrapolated",
    title=None,
    cmap=None,
    norm=None,
):
    """
    Draw one layer of a field on a map.

    Parameters
    ----------
    field : xarray.DataArray (latitude, longitude)
        NaN stays blank. Attributes `long_name` and `units` label the colour bar.
    ax : cartopy.mpl.geoaxes.GeoAxes, optional
        Where to draw; by default on a new figure (``field_map(...).figure``).
    projection : str or cartopy.crs.Projection, optional
        Of a new figure. By default equal-area and fitted to the extent of the field.
    samples : pandas.DataFrame, optional
        Columns `latitude`, `longitude`; drawn as points.
    outside : xarray.DataArray of bool (latitude, longitude), optional
        True where the model extrapolates; hatched.
    outside_label : str
        What the hatching means, if not that.
    title : str, optional
    cmap : matplotlib colormap, optional
        By default cmocean's for the quantity.
    norm : matplotlib.colors.Normalize, optional
        By default linear or logarithmic between robust limits.

    Returns
    -------
    cartopy.mpl.geoaxes.GeoAxes

    Raises
    ------
    SchemaError
        If a dimension is left that is neither latitude nor longitude, or `outside` lies on another grid.
    ValueError
        If the field has no finite value.

    Examples
    --------
    >>> import xarray as xr
    >>> from aqqua_science.grids import cell_area, regular_grid
    >>> grid = regular_grid(10.0)
    >>> field = xr.ones_like(cell_area(grid)).rename("biomass").assign_attrs(units="mg m-3")
    >>> field_map(field, title="Biomass").get_title(loc="left")
    'Biomass'
    """
    mesh = make_mesh(field)
    with matplotlib.rc_context(MAP_STYLE):
        if ax is None:
            if not isinstance(projection, ccrs.Projection):
                projection = choose_projection(mesh, name=projection)
            figure = Figure(figsize=(10, 6), dpi=150)
            figure.subplots_adjust(bottom=0.2, top=0.92)  # room for the colour bar, its label and the legend
            ax = figure.add_subplot(projection=projection)
        keys, below = _draw(
            ax, field, samples=samples, outside=outside, outside_label=outside_label, cmap=cmap, norm=norm
        )
        if title:
            ax.set_title(title, loc="left")
        place_legend(ax, keys, below)
    return ax


def summary_map(field, *, name, samples=None, title=None, budget_text=None):
    """
    Draw a field on one slide: its mean with the samples, its uncertainty, and where the model extrapolates.

    Parameters
    ----------
    field : xarray.Dataset
        With `name` (member, month, depth, latitude, longitude), any of the first three absent; `inside` (1 inside the
        area of applicability) and, where there is one, `dissimilarity_index`; `low` and `high` where calibrated.
        Months are averaged, depths by thickness, and the title says so.
    name : str
        The variable to show.
    samples : pandas.DataFrame, optional
        Columns `latitude`, `longitude`.
    title : str, optional
        By default the variable's long name.
    budget_text : str, optional
        One line under the title, such as the total with its interval.

    Returns
    -------
    matplotlib.figure.Figure
        13.3 x 7.5 inches, three maps.

    Raises
    ------
    SchemaError
        If a variable is missing.

    Examples
    --------
    >>> import xarray as xr
    >>> from aqqua_science.grids import cell_area, regular_grid
    >>> area = cell_area(regular_grid(10.0))
    >>> members = xr.concat([area, 2 * area], "member").rename("biomass").assign_attrs(units="mg m-3")
    >>> field = xr.Dataset({"biomass": members, "inside": xr.ones_like(area)})
    >>> len([ax for ax in summary_map(field, name="biomass").axes if hasattr(ax, "projection")])
    3
    """
    if name not in field:
        msg = f"the field has no variable {name!r}.{nearest_name(name, field)} It has: {', '.join(field.data_vars)}."
        raise SchemaError(msg)
    mean, note = flatten(field[name])
    width, kind = interval_width(field, name)
    share, fraction = extrapolated(field, field[name].isel(member=0) if "member" in field[name].dims else field[name])
    outside = share > 0.5
    distance = flatten(field["dissimilarity_index"])[0] if "dissimilarity_index" in field else share
    distance = distance.where(mean.notnull()).assign_attrs(units="1")

    with matplotlib.rc_context(MAP_STYLE):
        figure = Figure(figsize=(13.3, 7.5), dpi=150)
        projection = choose_projection(make_mesh(mean))
        large, upper, lower = (figure.add_axes(place, projection=projection, anchor="N") for place in _PLACES)
        keys, below = _draw(large, mean, samples=samples, outside=outside)
        place_legend(large, keys, below)
        _draw(upper, width, labels=False, cmap=cmocean.cm.algae)
        _draw(lower, distance, labels=False, outside=outside, cmap=cmocean.cm.deep)
        percent = f"{100 * fraction:.{1 if fraction < 0.1 else 0}f} %"
        _write_titles(figure, note[:1].upper() + note[1:] or "Mean", kind, f"Extrapolated (hatched): {percent} of area")
        _write_around(figure, title or describe_quantity(field[name]), budget_text, field.attrs.get("acknowledgement"))
    return figure


def _write_titles(figure, *titles):
    """Titles at the left of their columns, whatever the shape of the maps."""
    for (left, bottom, _, height), title in zip(_PLACES, titles, strict=True):
        figure.text(left, bottom + height + 0.015, title, size=14, weight="bold", va="bottom")


def _write_around(figure, title, budget_text, credit):
    figure.text(0.03, 0.955, title, size=min(22, 22 * 70 / len(title)), weight="bold", va="center")
    if budget_text:
        size = min(15, 15 * _BUDGET_CHARACTERS / len(budget_text))
        figure.text(0.03, 0.908, budget_text, size=size, va="center", color=_INK)
    credits = "; ".join(filter(None, [credit, "land: Natural Earth", f"drawn with aqqua_science {__version__}"]))
    # Owners and licences are told whole: in smaller letters where they are many.
    fitting = [size for size in _CREDIT_SIZES if size * len(_lines(credits, size)) <= _CREDIT_POINTS]
    size = fitting[0] if fitting else _CREDIT_SIZES[-1]
    figure.text(0.03, 0.012, "\n".join(_lines(credits, size)), size=size, va="bottom", color="0.4")


def _lines(text, size):
    return textwrap.wrap(text, width=round(95 * _CREDIT_SIZES[0] / size))


def _draw(ax, field, *, samples=None, outside=None, outside_label="extrapolated", cmap=None, norm=None, labels=True):
    """Fill one map; returns what its legend explains, and how many inches below the map there is room for it."""
    mesh = make_mesh(field)
    labels = labels and not mesh.is_round
    frame_axes(ax, mesh)
    draw_ground(ax, mesh, labels=labels)
    x, y, values = project_mesh(mesh, ax.projection)
    scale, extend = choose_scale(values, centred=is_change(field)) if norm is None else (norm, "both")
    cells = ax.pcolormesh(
        x,
        y,
        np.ma.masked_invalid(values),
        cmap=cmap or choose_colours(field),
        norm=scale,
        transform=ax.projection,
        shading="flat",
        rasterized=True,
        zorder=1,
    )
    keys = [] if samples is None else [_draw_samples(ax, samples, mesh)]
    if outside is not None and outside.any():
        keys.append(_hatch(ax, _match(outside, field), label=outside_label))
    top = 0.45 if labels else 0.18
    bar = ax.figure.colorbar(cells, cax=_place_bar(ax, top), orientation="horizontal", extend=extend)
    style_colour_bar(bar, describe_quantity(field))
    return keys, top + 0.72


def draw_ground(ax, mesh, *, labels=True):
    """
    Draw land, shores and the lines of a map.

    Parameters
    ----------
    ax : cartopy.mpl.geoaxes.GeoAxes
        Changed.
    mesh : Mesh
    labels : bool
        Whether the lines have their degrees beside them.
    """
    ax.set_facecolor(_UNKNOWN)
    ax.spines["geo"].set(linewidth=0.6, edgecolor=_SHORE)
    ax.add_feature(cfeature.LAND.with_scale("110m"), facecolor=_LAND, zorder=2)
    ax.coastlines("110m", linewidth=0.5, color=_SHORE, zorder=3)
    west, east, south, north = mesh.bounds
    lines = ax.gridlines(
        xlocs=np.unique((_choose_lines(west, east) + 180) % 360 - 180),
        ylocs=_choose_lines(south, north),
        draw_labels=labels,
        linewidth=0.4,
        color="0.5",
        alpha=0.35,
        zorder=4,
    )
    lines.top_labels = lines.right_labels = False
    lines.xlabel_style = lines.ylabel_style = {"size": 11}


def _choose_lines(low, high):
    """Round degrees between two limits, about six of them."""
    steps = np.array([1, 2, 5, 10, 15, 20, 30, 60])
    step = steps[min(np.searchsorted(steps, (high - low) / 6), steps.size - 1)]
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step


def _below(ax):
    """Transform of a map's width and of inches above its lower edge: distances that no shape of map changes."""
    return blended_transform_factory(ax.transAxes, ax.figure.dpi_scale_trans + ScaledTranslation(0, 0, ax.transAxes))


def _place_bar(ax, top):
    ax.apply_aspect()
    share = max(0.7, 2.6 * ax.figure.dpi / ax.get_window_extent().width)
    return ax.inset_axes([0.5 - share / 2, -top - 0.15, share, 0.15], transform=_below(ax))


def place_legend(ax, keys, below, *, n_columns=2):
    """
    Put a legend under a map.

    Parameters
    ----------
    ax : cartopy.mpl.geoaxes.GeoAxes
        Changed.
    keys : list of matplotlib artists
    below : float
        Inches between the map and the legend.
    n_columns : int
    """
    if keys:
        where = {"loc": "upper center", "bbox_to_anchor": (0.5, -below), "bbox_transform": _below(ax)}
        ax.legend(
            handles=keys, ncols=n_columns, frameon=False, borderpad=0, columnspacing=2, handletextpad=0.6, **where
        )


def _match(outside, field):
    """Mask on the cells of a field."""
    for name in ("latitude", "longitude"):
        if not np.array_equal(outside[name].values, field[name].values):
            msg = f"outside must lie on the grid of the field; their {name} differs. Select or regrid one of them."
            raise SchemaError(msg)
    return outside.astype(float)


def _hatch(ax, outside, *, label):
    """Hatch the cells where a mask is 1; runs of cells become one polygon, so that thousands stay fast."""
    x, y, mask = project_mesh(make_mesh(outside), ax.projection)
    corners = np.stack([x, y], axis=-1)
    padded = np.pad(mask == 1, ((0, 0), (1, 1))).astype(np.int8)
    change = np.diff(padded, axis=1)
    rows, first = np.nonzero(change == 1)
    _, last = np.nonzero(change == -1)
    polygons = [
        np.concatenate([corners[i, a : b + 1], corners[i + 1, a : b + 1][::-1]])
        for i, a, b in zip(rows, first, last, strict=True)
    ]
    for colour, width in (("white", 1.3), (_INK, 0.5)):  # dark lines on a white halo read on every colour
        with matplotlib.rc_context({"hatch.linewidth": width}):
            style = {"facecolor": "none", "edgecolor": colour, "linewidth": 0, "hatch": "///"}
            ax.add_collection(PolyCollection(polygons, zorder=1.5, **style), autolim=False)
    return Patch(**style, label=label)


def _draw_samples(ax, samples, mesh):
    """Points of the samples within the map; the legend counts these."""
    require_columns(samples, ["latitude", "longitude"], what="samples")
    west, east, south, north = mesh.bounds
    shown = samples["latitude"].between(south, north) & ((samples["longitude"] - west) % 360 <= east - west)
    return ax.scatter(
        samples["longitude"][shown],
        samples["latitude"][shown],
        transform=ccrs.PlateCarree(),
        s=8,
        color=_INK,
        edgecolors="white",
        linewidths=0.3,
        zorder=5,
        label=f"{shown.sum():,} samples",
    )
