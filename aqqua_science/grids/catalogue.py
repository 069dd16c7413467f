"""Where environment fields come from: named sources with their variables, licences and citations."""

import functools
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from aqqua_science.schema import nearest_name

_FILE = Path(__file__).with_name("catalogue.toml")


@dataclass(frozen=True)
class Variable:
    """
    One variable of a source.

    `source` is its name in the files, `cells` are the sizes in degrees that it comes in, `parts` what addresses are
    made of.
    """

    name: str
    source: str
    units: str
    doi: str
    cells: tuple
    checked: bool
    parts: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """One source; its fields are the keys of ``catalogue.toml``, which explains them."""

    name: str
    title: str
    citation: str
    doi: str
    licence: str
    page: str
    how: str
    variables: dict
    checked: bool
    cells: tuple = ()
    time: str = ""
    since: int | None = None
    annual: bool = False
    depths: tuple | None = None
    base: str = ""
    pattern: str = ""
    grids: dict = field(default_factory=dict)
    sha256: dict = field(default_factory=dict)
    instructions: str = ""
    note: str = ""


def catalog(name=None):
    """
    List the sources of environment fields that `fetch` knows, or the variables of one.

    Parameters
    ----------
    name : str, optional

    Returns
    -------
    pandas.DataFrame
        One row per source: its ``title``, ``variables``, ``how`` it comes ("files", "erddap", "copernicus" or "by
        hand"), ``time`` ("months" of any year, "dates" since a year, or "fixed"), ``depths`` in metres, ``cells`` in
        degrees, ``licence``, ``doi``, ``citation``, ``page``, ``note``, and whether all of it was ``checked``. With a
        name one row per variable: its name in the ``source``, ``units``, ``cells``, ``doi`` and ``checked``.

    Raises
    ------
    ValueError
        If there is no source of this name.

    Examples
    --------
    >>> catalog().loc["woa23", ["how", "time", "depths", "cells"]].tolist()
    ['files', 'months', '0-5500', '1, 0.25']
    >>> catalog("occci").loc["chlorophyll", ["source", "units"]].tolist()
    ['chlor_a', 'mg m-3']
    >>> catalog("wao23")
    Traceback (most recent call last):
        ...
    ValueError: there is no source 'wao23'. Did you mean 'woa23'? The sources are: ...
    """
    if name is not None:
        rows = [_row_of_variable(variable) for variable in find_source(name).variables.values()]
        return pd.DataFrame(rows).set_index("variable")
    return pd.DataFrame([_row_of_source(source) for source in _read().values()]).set_index("name")


def find_source(name):
    """
    Find a source by its name.

    Parameters
    ----------
    name : str

    Returns
    -------
    Source

    Raises
    ------
    ValueError
        If there is none; the message names the nearest.
    """
    sources = _read()
    if name not in sources:
        msg = f"there is no source {name!r}.{nearest_name(name, sources)} The sources are: {', '.join(sources)}."
        raise ValueError(msg)
    return sources[name]


@functools.cache
def _read():
    with _FILE.open("rb") as file:
        return {name: _as_source(name, **entry) for name, entry in tomllib.load(file).items()}


def _as_source(name, *, variables, checked, cells=None, depths=None, grids=None, dataset="", **entry):
    """A source as its table says; what it says once is true of all its variables."""
    cells = tuple(float(size) for size in grids) if grids else (cells,) if cells else ()
    common = {"doi": entry["doi"], "cells": cells, "checked": checked, "dataset": dataset}
    known = {key: _as_variable(key, **(common | found)) for key, found in variables.items()}
    return Source(
        name,
        variables=known,
        checked=checked and all(variable.checked for variable in known.values()),
        cells=cells,
        depths=tuple(depths) if depths else None,
        grids={float(size): parts for size, parts in (grids or {}).items()},
        **entry,
    )


def _as_variable(name, *, source, units, doi, cells, checked, **parts):
    return Variable(name, source, units, doi, tuple(cells), checked, parts)


def _row_of_source(source):
    time = {"month": "months", "date": f"dates since {source.since}" if source.since else "dates"}
    return {
        "name": source.name,
        "title": source.title,
        "variables": ", ".join(source.variables),
        "how": source.how,
        "time": time.get(source.time, "fixed"),
        "depths": "" if source.depths is None else "{:g}-{:g}".format(*source.depths),
        "cells": ", ".join(f"{size:.3g}" for size in source.cells),
        "licence": source.licence,
        "doi": source.doi,
        "citation": source.citation,
        "page": source.page,
        "note": source.note,
        "checked": source.checked,
    }


def _row_of_variable(variable):
    return {
        "variable": variable.name,
        "source": variable.source,
        "units": variable.units,
        "cells": ", ".join(f"{size:.3g}" for size in variable.cells),
        "doi": variable.doi,
        "checked": variable.checked,
    }
