"""What a page says of a map in plain words."""

import calendar
import shlex

from aqqua_science.apps.catalogue import ANNUAL, GLOBAL
from aqqua_science.habitat.budget_text import estimate_text, number
from aqqua_science.plot.colours import format_units

SET_NAMES = {"basins": "Ocean basins", "latitude bands": "Latitude bands"}


def month_name(month):
    """
    A month as people say it.

    Parameters
    ----------
    month : int or str
        1..12 or "annual".

    Returns
    -------
    str

    Examples
    --------
    >>> month_name(3), month_name("annual")
    ('March', 'whole year')
    """
    return "whole year" if month == ANNUAL else calendar.month_name[month]


def region_name(region):
    """
    A region as people say it.

    Parameters
    ----------
    region : str

    Returns
    -------
    str

    Examples
    --------
    >>> region_name("global"), region_name("Arctic Ocean")
    ('Whole map', 'Arctic Ocean')
    """
    return "Whole map" if region == GLOBAL else region


def set_name(regions):
    """
    A set of regions as people say it.

    Parameters
    ----------
    regions : str

    Returns
    -------
    str

    Examples
    --------
    >>> set_name("basins"), set_name("Longhurst_world_v4_2010")
    ('Ocean basins', 'Longhurst world v4 2010')
    """
    return SET_NAMES.get(regions, regions.replace("_", " "))


def headline(product, row):
    """
    One sentence with a number, its interval, and how far to trust it.

    Parameters
    ----------
    product : Product
    row : pandas.Series
        Of its budget.

    Returns
    -------
    str
        Plain text.

    Examples
    --------
    >>> import types
    >>> import pandas as pd
    >>> row = {"region": "global", "month": "annual", "median": 0.098, "low": 0.073, "high": 0.132, "level": 0.9,
    ...        "units": "PgC", "area_m2": 3.4e14, "sampled_share": 0.68}
    >>> product = types.SimpleNamespace(extrapolated=0.018, full_interval={"low": 0.044, "high": 0.216})
    >>> headline(product, pd.Series(row))
    'Whole map, whole year: 0.098 PgC (90 % interval 0.044-0.216; from sampling alone 0.073-0.132) over 340 million km²;
    68 % of it lies in blocks with samples. 1.8 % of the mapped area is extrapolated.'
    """
    full = product.full_interval if (row["region"], row["month"]) == (GLOBAL, ANNUAL) else None
    text = f"{region_name(row['region'])}, {month_name(row['month'])}: {estimate_text(with_readable_units(row), full)}"
    if row["area_m2"] == row["area_m2"]:
        text += f" over {number(row['area_m2'] / 1e12)} million km²"
    if row["sampled_share"] == row["sampled_share"]:
        text += f"; {percent(row['sampled_share'])} of it lies in blocks with samples"
    if product.extrapolated is not None:
        text += f". {percent(product.extrapolated)} of the mapped area is extrapolated"
    return f"{text}."


def percent(share):
    """
    A share in percent, with two digits below ten.

    Parameters
    ----------
    share : float

    Returns
    -------
    str

    Examples
    --------
    >>> percent(0.0183), percent(0.68), percent(1.0)
    ('1.8 %', '68 %', '100 %')
    """
    return "not known" if share != share else f"{100 * share:.{1 if share < 0.095 else 0}f} %"


def remaking_command(product, root):
    """
    The command that makes the field of a map, which is too large to be published with its picture.

    Parameters
    ----------
    product : Product
    root : str
        Name of the folder of maps.

    Returns
    -------
    str

    Examples
    --------
    >>> import types
    >>> remaking_command(types.SimpleNamespace(name="fish"), "maps")
    'aqqua map maps/fish/recipe.toml --data DATA --overwrite'
    """
    return f"aqqua map {shlex.quote(f'{root}/{product.name}/recipe.toml')} --data DATA --overwrite"


def with_readable_units(row):
    """
    A row of a budget, or a published value, with its units as people write them.

    Parameters
    ----------
    row : dict or pandas.Series

    Returns
    -------
    dict

    Examples
    --------
    >>> with_readable_units({"units": "PgC yr-1"})
    {'units': 'PgC yr⁻¹'}
    """
    told = dict(row)
    return told | {"units": format_units(told["units"]) or "1"}
