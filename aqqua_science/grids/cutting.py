"""Files of a source, cut to what is asked for, with the credits in their attributes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqqua_science import __version__
from aqqua_science.grids.subsetting import select_region


@dataclass(frozen=True)
class Piece:
    """
    What becomes one file: its `name`, the `variable` in it, and `bring`, which puts the raw files into a folder.

    `addresses` are where these are from. A file of somebody's folder, which `is_local`, `may_lack` the months that are
    asked for.
    """

    name: str
    variable: object
    addresses: tuple
    bring: Callable
    may_lack: bool = False
    is_local: bool = False


def cut(opened, *, variable, source, selection):
    """
    Cut raw fields to what is asked for.

    Parameters
    ----------
    opened : list of xarray.Dataset
        One in our conventions, or several that lie beside each other.
    variable : catalogue.Variable
    source : catalogue.Source
    selection : selection.Selection

    Returns
    -------
    xarray.Dataset
        Under our name and with credits, lazily; without steps if it has none of the months.

    Raises
    ------
    ValueError
        If it has no depth that is asked for, or too few cells.
    """
    fields = opened[0] if len(opened) == 1 else xr.concat(opened, "longitude").sortby("longitude")
    fields = _at_depths(_at_times(fields, source, selection), selection.depths)
    if selection.region is not None:
        fields = _in_region(fields, selection.region)
    return credit(fields.rename({variable.source: variable.name}), variable=variable, source=source)


def _at_times(fields, source, selection):
    if source.time == "month" and "time" in fields.dims:
        # Some climatologies bear the dates of one year.
        fields = fields.drop_vars("time_bounds", errors="ignore")
        fields = fields.assign_coords(time=fields["time"].dt.month.values).rename(time="month")
    if "month" in fields.dims:
        return fields.isel(month=[selection.has_month(month) for month in fields["month"].values.tolist()])
    if "time" in fields.dims and selection.years is not None:
        dates = zip(fields["time"].dt.year.values, fields["time"].dt.month.values, strict=True)
        return fields.isel(time=[selection.has_date(year, month) for year, month in dates])
    return fields


def _at_depths(fields, depths):
    if depths is None or "depth" not in fields.dims:
        return fields
    levels = fields["depth"].values
    wanted = (levels >= depths[0]) & (levels <= depths[1])
    if not wanted.any():
        msg = (
            f"there is no level between {depths[0]:g} and {depths[1]:g} m; the {levels.size} levels are "
            f"{levels[0]:g}..{levels[-1]:g} m. Ask for others."
        )
        raise ValueError(msg)
    return fields.isel(depth=np.flatnonzero(wanted))


def _in_region(fields, region):
    part = select_region(fields, region)
    rows, columns = part.sizes["latitude"], part.sizes["longitude"]
    if min(rows, columns) < 2:
        msg = f"region {region} holds {rows} x {columns} cells; a grid has at least two each way. Widen it."
        raise ValueError(msg)
    return part


def credit(fields, *, variable, source):
    """
    Write whose the fields are into their attributes.

    Parameters
    ----------
    fields : xarray.Dataset
    variable : catalogue.Variable
    source : catalogue.Source

    Returns
    -------
    xarray.Dataset
    """
    field = fields[variable.name]
    attrs = {"units": variable.units} | field.attrs | {"name_in_source": variable.source}
    about = {
        "title": source.title,
        "source": source.page,
        "references": source.citation,
        "doi": " ".join(dict.fromkeys(doi for doi in (source.doi, variable.doi) if doi)),
        "license": source.licence,
        "history": f"cut by aqqua_science {__version__}",
    }
    return fields.assign({variable.name: field.assign_attrs(attrs)}).assign_attrs(about)
