"""Maps of names: which predictor drives a field, and whether it raises or lowers it."""

import cartopy.crs as ccrs
import matplotlib
import numpy as np
import xarray as xr
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
from matplotlib.patches import Patch

from aqqua_science.grids.geometry import cell_area
from aqqua_science.plot.figures import Figure
from aqqua_science.plot.frames import choose_projection, frame_axes, make_mesh, project_mesh
from aqqua_science.plot.maps import MAP_STYLE, draw_ground, place_legend
from aqqua_science.schema import SchemaError

# Hues that stay apart when pale, most of them safe for colour-blind readers (Tol 2021); further drivers share the last.
_COLOURS = (
    "#cc3311",
    "#0077bb",
    "#ddaa33",
    "#117733",
    "#66ccee",
    "#6a3d9a",
    "#44aa99",
    "#8a8a2a",
    "#e377c2",
    "#777777",
)
_PALE = 0.6


def driver_map(drivers, *, ax=None, projection=None, title=None):
    """
    Draw the dominant driver of each cell: full colour where it raises the amount, pale where it lowers it.

    Parameters
    ----------
    drivers : xarray.Dataset
        ``driver`` with CF flags, negative ones meaning none, and ``driver_factor``, such as
        `aqqua_science.habitat.dominant_driver`. Of months or depths the driver of most of them is shown.
    ax : cartopy.mpl.geoaxes.GeoAxes, optional
        Where to draw; by default on a new figure.
    projection : str or cartopy.crs.Projection, optional
        As in `aqqua_science.plot.field_map`.
    title : str, optional

    Returns
    -------
    cartopy.mpl.geoaxes.GeoAxes
        The legend names the drivers by falling area, with their share of it.

    Raises
    ------
    SchemaError
        If a variable, its flags, or a dimension is not as above, or nothing is driven.

    Examples
    --------
    >>> from aqqua_science.grids import cell_area, regular_grid
    >>> area = cell_area(regular_grid(10.0))
    >>> flags = {"flag_values": np.array([-1, 0], np.int8), "flag_meanings": "not_predicted temperature"}
    >>> drivers = xr.Dataset({"driver": xr.zeros_like(area).assign_attrs(flags), "driver_factor": xr.ones_like(area)})
    >>> [text.get_text() for text in driver_map(drivers).get_legend().get_texts()]
    ['temperature (100 %)', 'pale: lowers']
    """
    names = _meanings(drivers)
    driver, raises = _usual(drivers, names)
    shares = _shares(driver, names)
    # Colours go by flag and not by area, so that months can be compared.
    codes = (2.0 * driver.clip(max=len(_COLOURS) - 1) + xr.where(raises, 0, 1)).where(driver >= 0)
    with matplotlib.rc_context(MAP_STYLE):
        mesh = make_mesh(codes)
        if ax is None:
            if not isinstance(projection, ccrs.Projection):
                projection = choose_projection(mesh, name=projection)
            # The legend below may have four lines.
            ax = Figure(figsize=(10, 7), dpi=150).add_axes((0.03, 0.25, 0.94, 0.68), projection=projection, anchor="N")
        _draw_codes(ax, mesh)
        place_legend(ax, _keys(shares, names), 0.15 if mesh.is_round else 0.45, n_columns=3)
        if title:
            ax.set_title(title, loc="left")
    return ax


def _meanings(drivers):
    """Names by flag value."""
    for name in ("driver", "driver_factor"):
        if name not in drivers:
            msg = f"a map of drivers needs the variable {name!r}; there are {', '.join(map(str, drivers.data_vars))}."
            raise SchemaError(msg)
    attributes = drivers["driver"].attrs
    if not {"flag_values", "flag_meanings"} <= set(attributes):
        msg = "driver has no flag_values and flag_meanings, so its numbers have no names. Take it from dominant_driver."
        raise SchemaError(msg)
    values = np.ravel(attributes["flag_values"]).tolist()
    return dict(zip(values, attributes["flag_meanings"].split(), strict=True))


def _usual(drivers, names):
    """The driver of most months and depths, and whether it raises the amount on the (geometric) mean of these."""
    driver, factor = drivers["driver"], drivers["driver_factor"]
    further = [dim for dim in driver.dims if dim not in ("latitude", "longitude")]
    values = [value for value in names if value >= 0]
    counts = xr.concat([(driver == value).sum(further) for value in values], dim="flag")
    usual = xr.DataArray(values, dims="flag").isel(flag=counts.argmax("flag")).where(counts.sum("flag") > 0, -1)
    return usual, np.log(factor).where(driver == usual).mean(further) >= 0


def _shares(driver, names):
    """Share of the driven area by flag value, the largest first."""
    area = cell_area(driver)
    areas = {value: float(area.where(driver == value).sum()) for value in names if value >= 0}
    total = sum(areas.values())
    if not total > 0:
        msg = "no cell has a driver. Was the map made on land, or another month selected?"
        raise SchemaError(msg)
    return {value: share / total for value, share in sorted(areas.items(), key=lambda pair: -pair[1]) if share > 0}


def _draw_codes(ax, mesh):
    frame_axes(ax, mesh)
    draw_ground(ax, mesh, labels=not mesh.is_round)
    x, y, codes = project_mesh(mesh, ax.projection)
    colours = [shade for colour in _COLOURS for shade in (colour, _pale(colour))]
    ax.pcolormesh(
        x,
        y,
        np.ma.masked_invalid(codes),
        cmap=ListedColormap(colours),
        norm=BoundaryNorm(np.arange(len(colours) + 1) - 0.5, len(colours)),
        transform=ax.projection,
        shading="flat",
        rasterized=True,
        zorder=1,
    )


def _keys(shares, names):
    keys = [
        Patch(
            color=_COLOURS[min(value, len(_COLOURS) - 1)],
            label=f"{names[value].replace('_', ' ')} ({_percent(share)})",
        )
        for value, share in shares.items()
    ]
    return [*keys, Patch(color=_pale("#555555"), label="pale: lowers")]


def _pale(colour):
    return tuple(1 - (1 - np.array(to_rgb(colour))) * (1 - _PALE))


def _percent(share):
    return f"{100 * share:.0f} %" if share >= 0.01 else "<1 %"
