"""What is asked for of a source: checked against what it has."""

from dataclasses import dataclass

import numpy as np

from aqqua_science.schema import nearest_name

ANNUAL = 0
"""The number that stands for the annual mean among months."""


@dataclass(frozen=True)
class Selection:
    """
    The part of a source that is asked for; None is all of it.

    `variables` are `catalogue.Variable`, `months` numbers 1..12 or the annual mean alone, `years` the first and the
    last, `depths` top and bottom in metres, `region` west, east, south, north, `cells` their size in degrees.
    """

    variables: tuple
    months: tuple | None = None
    years: tuple | None = None
    depths: tuple | None = None
    region: tuple | None = None
    cells: float | None = None

    def stamp(self, *words):
        """Name a file after what it holds, so that each selection has its own."""
        cells = "" if self.cells is None else f"{self.cells:.4g}deg"
        region = "" if self.region is None else "_".join(f"{limit:g}" for limit in self.region)
        depths = "" if self.depths is None else "{:g}-{:g}m".format(*self.depths)
        return "_".join(word for word in (*words, cells, region, depths) if word)

    def has_month(self, month):
        """Whether a month of the year is asked for."""
        return self.months is None or month in self.months

    def has_date(self, year, month):
        """Whether a month of a year is asked for."""
        return self.years[0] <= year <= self.years[1] and self.has_month(month)

    @property
    def months_in_name(self):
        """The months as a part of a file name; nothing for all of them."""
        return "" if self.months is None else "-".join(f"{month:02d}" for month in self.months)


def select(source, *, variables, months, years, depths, region, resolution):
    """
    Check what is asked for.

    Parameters
    ----------
    source : catalogue.Source
    variables, months, years, depths, region, resolution
        As for `fetch`.

    Returns
    -------
    Selection

    Raises
    ------
    ValueError
        If the source has no such thing; the message tells what it has.
    """
    chosen = _variables(source, variables)
    return Selection(
        chosen,
        months=_months(source, months),
        years=_years(source, years),
        depths=_depths(source, depths),
        region=_region(region),
        cells=_cells(source, chosen, resolution),
    )


def _variables(source, names):
    names = list(source.variables) if names is None else [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in source.variables:
            msg = (
                f"{source.name} has no variable {name!r}.{nearest_name(name, source.variables)} "
                f"It has: {', '.join(source.variables)}."
            )
            raise ValueError(msg)
    if not names:
        msg = f"variables must name at least one of {', '.join(source.variables)}; nothing is named."
        raise ValueError(msg)
    return tuple(source.variables[name] for name in dict.fromkeys(names))


def _months(source, months):
    if months is None:
        return None
    months = tuple(sorted(set(_listed(months))))
    if months == (ANNUAL,) and source.annual:
        return months
    if not source.time or not months or not all(month in range(1, 13) for month in months):
        annual = f", or {ANNUAL} alone for the annual mean" if source.annual else ""
        rule = f"1..12{annual}" if source.time else "left out, since nothing of it changes with time"
        msg = f"the months of {source.name} must be {rule}; got {list(months)}."
        raise ValueError(msg)
    return months


def _years(source, years):
    if source.time != "date":
        if years is None:
            return None
        msg = f"{source.name} has no years: it is {'a climatology' if source.time else 'fixed'}. Leave years out."
        raise ValueError(msg)
    years = tuple(_listed(years))
    years = years * 2 if len(years) == 1 else years
    if len(years) != 2 or not years[0] <= years[1] or years[1] < (source.since or years[1]):
        since = f" It begins in {source.since}." if source.since else ""
        msg = f"{source.name} is a series: say years=(first, last); got {years or None}.{since}"
        raise ValueError(msg)
    return years


def _depths(source, depths):
    if depths is None:
        return None
    if source.depths is None:
        msg = f"{source.name} has no depths. Leave depths out."
        raise ValueError(msg)
    limits = _numbers(depths)
    if len(limits) != 2 or not 0 <= limits[0] <= limits[1]:
        msg = f"depths must be (top, bottom) in metres, positive down; got {depths}."
        raise ValueError(msg)
    return limits


def _region(region):
    if region is None:
        return None
    limits = _numbers(region)
    if len(limits) != 4 or not _is_region(*limits):
        msg = (
            f"region must be (west, east, south, north) in degrees, the south below the north; got {region}. "
            "West may be above east, across the date line."
        )
        raise ValueError(msg)
    return limits


def _is_region(west, east, south, north):
    return -90 <= south < north <= 90 and west != east and max(abs(west), abs(east)) <= 360


def _listed(values):
    return [] if values is None else [values] if np.isscalar(values) else list(values)


def _numbers(values):
    """Numbers as a tuple; an empty one where something else is given."""
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError):
        return ()


def _cells(source, variables, resolution):
    """The size of the cells: of the grids that there are, or a multiple where the server thins them."""
    if source.grids:
        return _of_grids(source, variables, resolution)
    if resolution is None or (source.cells and abs(resolution / source.cells[0] - 1) < 0.01):
        return None
    factor = resolution / source.cells[0] if source.how == "erddap" else 0
    if round(factor) < 1 or abs(factor - round(factor)) > 0.01 * factor:
        rule = "a multiple of that" if source.how == "erddap" else "that; regrid it afterwards for others"
        msg = f"{source.name} has cells of {source.cells[0]:.4g} degrees: resolution must be {rule}; got {resolution}."
        raise ValueError(msg)
    return float(resolution)


def _of_grids(source, variables, resolution):
    cells = source.cells[0] if resolution is None else float(resolution)
    for variable in variables:
        if cells not in variable.cells:
            known = " or ".join(f"{size:g}" for size in variable.cells)
            msg = f"{variable.name} of {source.name} comes in cells of {known} degrees; got resolution={resolution}."
            raise ValueError(msg)
    return cells
