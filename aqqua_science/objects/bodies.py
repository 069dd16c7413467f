"""Which relation converts which object, and the size that goes into it."""

import re

import numpy as np
import pandas as pd

from aqqua_science import schema

from .relations import candidates, limits, row_of

_CHAIN = re.compile(r"chain|colon(y|ies|ial)", re.IGNORECASE)
_EIGHT = 8.0
_ODD = (1e-4, 1e3)
_MANY = 5
_SIGMAS = 1.6448536
"""From the middle to the end of an interval of 90 %, in standard deviations."""


def assign(objects, taxa, *, relations, relation=None, parents=None, fallback=None):
    """
    Choose a relation for each object and take the size that it needs.

    Parameters
    ----------
    objects : pandas.DataFrame
        With some of `biovolume_um3`, `area_um2` and `esd_um`, perhaps with their intervals, and perhaps `n_cells`. Its
        cells share the size of an object if its relation or its name says that it may be a chain or colony; of others
        `n_cells` is not used.
    taxa : array-like of str, shape (object,)
    relations : pandas.DataFrame
    relation : str or dict of str to str, optional
        The relation for all, or for some taxa; the others are looked up.
    parents : dict of str to str, optional
    fallback : str, optional

    Returns
    -------
    pandas.DataFrame
        Indexed like `objects`: `taxon`, `row` of the relation (-1 for none), `size` of one cell or individual (um3 or
        um2), number of `cells`, what the interval of that size says of the `outline` (see `outlines`), the `range` in
        which the size lies, and a `note`.

    Raises
    ------
    SchemaError
        If a size is missing from the table, is negative, or is plainly in another unit than its name says.
    """
    (sizes, own), cells, n, taxa = measured(objects), _cells(objects), len(objects), np.asarray(taxa, object)
    found = {"row": np.full(n, -1), "size": np.full(n, np.nan), "cells": np.ones(n), "note": np.full(n, "", object)}
    spreads, found["outline"] = outlines(objects, own), np.full(n, np.nan)
    shared = np.ones(n) if cells is None else cells
    codes, names = pd.factorize(taxa, use_na_sentinel=False)
    plans = [(*_options(n, relations, relation, parents=parents, fallback=fallback), n) for n in names]
    plans = [(tuple(rows), note, bool(_CHAIN.search(str(name)))) for rows, note, name in plans]
    # Hundreds of taxa share a few relations: what is done alike is done at once.
    for plan, here in _together(plans, codes):
        rows, found["note"][here], chained = plan
        if chained and cells is None:
            shared[here] = np.nan
        # The sphere of a diameter is a poor volume of a body: an area, if there is a relation for it, goes before.
        behind = sorted(rows, key=lambda row: relations["size"][row] == "volume")
        for part, order in ((here[own[here]], rows), (here[~own[here]], behind)):
            _fill(found, part, order, sizes=sizes, spreads=spreads, shared=shared, chained=chained, relations=relations)
    _note_single_cells(found, cells, relations)
    table = pd.DataFrame(found, index=objects.index)
    return table.assign(taxon=taxa, range=_ranges(table, relations))


def _together(plans, codes):
    """Yield each plan once, with the positions of all that follow it."""
    unique = list(dict.fromkeys(plans))
    group = np.array([unique.index(plan) for plan in plans], int)[codes]
    for number, plan in enumerate(unique):
        yield plan, np.flatnonzero(group == number)


def measured(objects):
    """
    Collect the sizes of each object, given or as they follow from others.

    Parameters
    ----------
    objects : pandas.DataFrame

    Returns
    -------
    sizes : dict of str to numpy.ndarray
        ``volume`` (um3; of the sphere where no biovolume is given), ``sphere`` (um3, of the diameter, which follows
        from the area where it is not given) and ``area`` (um2, of the disc of the diameter where no area is given);
        NaN where an object has nothing that they follow from.
    own : numpy.ndarray of bool, shape (object,)
        Whether the volume was given.

    Raises
    ------
    SchemaError
        If no column has a size, or its values cannot be.
    """
    names = ("biovolume_um3", "area_um2", "esd_um")
    if objects.columns.intersection(names).empty:
        msg = (
            "objects has no size. It needs esd_um, area_um2 or biovolume_um3; aqqua_science.objects.measure gives them."
        )
        raise schema.SchemaError(msg)
    absent = np.full(len(objects), np.nan)
    volume, area, diameter = (_positive(objects, n) if n in objects.columns else absent for n in names)
    diameter = np.where(np.isnan(diameter), np.sqrt(4 / np.pi * area), diameter)
    sphere, own = np.pi / 6 * diameter**3, ~np.isnan(volume)
    _refuse_odd_volumes(volume, sphere)
    area = np.where(np.isnan(area), np.pi / 4 * diameter**2, area)
    return {"volume": np.where(own, volume, sphere), "sphere": sphere, "area": area}, own


def outlines(objects, own):
    """
    Read off the intervals of sizes how far the outline of each object may be off.

    Parameters
    ----------
    objects : pandas.DataFrame
        Perhaps with intervals of 90 %, ``esd_um_low`` and ``esd_um_high``, as `aqqua_science.objects.measure` gives
        them; of `area_um2` and `biovolume_um3` likewise. A lower end of zero, or none, is taken to be as far from the
        size as the upper one, in the logarithm.
    own : numpy.ndarray of bool, shape (object,)
        Whether the volume was given, so that its own interval counts.

    Returns
    -------
    dict of str to numpy.ndarray
        For each kind of size, as `measured` has them, the standard deviation of the logarithm of a diameter; NaN where
        no interval tells it.

    Raises
    ------
    SchemaError
        If a size lies outside its interval.
    """
    powers = {"biovolume_um3": 3, "area_um2": 2, "esd_um": 1}
    volume, area, diameter = (_deviation(objects, name) / power for name, power in powers.items())
    flat = np.where(np.isnan(diameter), area, diameter)
    area = np.where(np.isnan(area), diameter, area)
    return {"volume": np.where(own, volume, flat), "sphere": flat, "area": area}


def _deviation(objects, name):
    """Standard deviation of the logarithm of a size, by its interval of 90 %; NaN without one."""
    names = [f"{name}_low", name, f"{name}_high"]
    if not set(names) <= set(objects.columns):
        return np.full(len(objects), np.nan)
    low, size, high = (_positive(objects, column) for column in names)
    outside = (size < low) | (size > high)
    if outside.any():
        first = f"{low[outside][0]:g} to {high[outside][0]:g} for {size[outside][0]:g}"
        msg = (
            f"{name} must lie within its interval; {outside.sum()} do not, the first is {first}. Are both in one unit?"
        )
        raise schema.SchemaError(msg)
    low = np.where(np.isnan(low), size**2 / high, low)
    return np.log(high / low) / (2 * _SIGMAS)


def _positive(objects, name):
    """A column of sizes; NaN where it is missing or zero."""
    values = objects[name]
    if not pd.api.types.is_numeric_dtype(values):
        msg = f"{name} must be numeric; found {values.iloc[0]!r}. Convert the column with pandas.to_numeric."
        raise schema.SchemaError(msg)
    values = values.to_numpy(float, na_value=np.nan)
    wrong = (values < 0) | np.isinf(values)
    if wrong.any():
        first = f"{wrong.sum()} are not, the first is {values[wrong][0]:g}"
        msg = f"{name} must be finite and not negative; {first}. Drop these objects, or give NaN."
        raise schema.SchemaError(msg)
    return np.where(values > 0, values, np.nan)


def _refuse_odd_volumes(volume, sphere):
    """Stop at volumes in mm3, and at those of spheres with the diameter for a radius."""
    ratio = volume / sphere
    ratio = ratio[np.isfinite(ratio)]
    if len(ratio) == 0:
        return
    if len(ratio) >= _MANY and np.mean(np.abs(ratio / _EIGHT - 1) < 0.01) > 0.9:
        msg = (
            "biovolume_um3 is 8 times the volume of the sphere of esd_um: the diameter was taken for a radius. "
            "Use pi / 6 * esd_um**3, not 4 / 3 * pi * esd_um**3."
        )
        raise schema.SchemaError(msg)
    if not _ODD[0] < np.median(ratio) < _ODD[1]:
        msg = (
            f"biovolume_um3 is in the median {np.median(ratio):.2g} times the volume of the sphere of esd_um: one of "
            "them is in another unit. Multiply mm3 by 1e9 and mm by 1e3."
        )
        raise schema.SchemaError(msg)


def _cells(objects):
    """Number of cells of each object, or None where they were not counted."""
    if "n_cells" not in objects.columns:
        return None
    cells = objects["n_cells"].to_numpy(float, na_value=np.nan)
    if (cells < 1).any():
        msg = f"n_cells must be at least 1; found {np.nanmin(cells):g}. Give NaN where cells were not counted."
        raise schema.SchemaError(msg)
    return cells


def _options(taxon, relations, relation, *, parents, fallback):
    """Rows of the relations that may convert a taxon, and a note."""
    if isinstance(relation, str):
        return [row_of(relation, relations)], ""
    if relation is not None and taxon in relation:
        return [row_of(relation[taxon], relations)], ""
    return candidates(taxon, relations, parents=parents, fallback=fallback)


def _fill(found, here, rows, *, sizes, spreads, shared, chained, relations):
    """Write relation, size and cells of objects by the first relation that fits, or why there is none."""
    outside = np.zeros(len(here), bool)
    for row, lower, upper in zip(rows, *limits(relations.iloc[list(rows)], ("from_size", "to_size")), strict=True):
        many = relations["per"][row] == "cell" and (chained or relations["chains"][row] == "yes")
        cells = shared[here] if many else np.ones(len(here))
        size = sizes[relations["size"][row]][here] / cells
        fits = (found["row"][here] < 0) & np.isfinite(size)
        outside |= fits & (beyond := (size <= lower) | (size > upper))
        fits &= ~beyond
        place = here[fits]
        found["row"][place], found["size"][place], found["cells"][place] = row, size[fits], cells[fits]
        found["outline"][place] = spreads[relations["size"][row]][place]
    if rows:
        notes = _faults(here, rows, outside=outside, sizes=sizes, relations=relations)
        found["note"][here] = np.where(found["row"][here] < 0, notes, found["note"][here])


def _faults(here, rows, *, outside, sizes, relations):
    """Why objects with relations are not converted, if they are not."""
    any_size = np.isfinite([size[here] for size in sizes.values()]).any(axis=0)
    fitting = np.isfinite([sizes[relations["size"][row]][here] for row in rows]).any(axis=0)
    names, first = relations["name"], rows[0]
    told = [
        "size is missing or zero",
        f"{names[first]} needs the {relations['size'][first]}",
        f"size is not within from_size and to_size of {' or '.join(names[row] for row in rows)}",
    ]
    return np.select([~any_size, ~fitting, outside], told, "cells are not counted: give n_cells")


def _note_single_cells(found, cells, relations):
    """Say which objects were taken as one cell though they may be many: nobody counted, or they form no chains."""
    row = found["row"]
    doubtful = (relations["chains"] == "yes").to_numpy()[row] if cells is None else cells > 1
    single = (row >= 0) & (relations["per"] == "cell").to_numpy()[row] & (found["cells"] == 1) & doubtful
    found["note"][single] = [f"{note}; taken as one cell".removeprefix("; ") for note in found["note"][single]]


def diameters(found, relations):
    """
    Diameter of the sphere or disc of each size.

    Parameters
    ----------
    found : pandas.DataFrame
        As `assign` gives it.
    relations : pandas.DataFrame

    Returns
    -------
    numpy.ndarray of float, shape (object,)
        um; NaN without a relation.
    """
    size, row = found["size"].to_numpy(), found["row"].to_numpy()
    flat = (relations["size"] == "area").to_numpy()[row]
    return np.where(row < 0, np.nan, np.where(flat, np.sqrt(4 / np.pi * size), np.cbrt(6 / np.pi * size)))


def _ranges(found, relations):
    """Whether each size lies within what the relation was found for."""
    row, size, diameter = found["row"].to_numpy(), found["size"].to_numpy(), diameters(found, relations)
    lower, upper = (values[row] for values in limits(relations, ("valid_min", "valid_max")))
    known = np.where(np.isfinite(lower) & np.isfinite(upper), "within", "unknown")
    smallest, largest = (relations[name].to_numpy(float)[row] for name in ("smallest_um", "largest_um"))
    odd = (diameter < smallest) | (diameter > largest)
    return np.select([row < 0, odd, size < lower, size > upper], ["", "implausible", "below", "above"], known)


def refuse_other_units(found, relations):
    """
    Stop where the sizes are as a whole not those of the organisms.

    Parameters
    ----------
    found : pandas.DataFrame
        As `assign` gives it.
    relations : pandas.DataFrame

    Raises
    ------
    SchemaError
        If most sizes are implausible: a wrong name spoils one object, a wrong unit all of them.
    """
    odd, converted = found["range"] == "implausible", found["row"] >= 0
    if 2 * odd.sum() <= converted.sum():
        return
    row = found["row"][odd].mode()[0]
    typical = np.median(diameters(found, relations)[(odd & (found["row"] == row)).to_numpy()])
    name, smallest, largest = relations.loc[row, ["name", "smallest_um", "largest_um"]]
    msg = (
        f"{odd.sum()} of {converted.sum()} objects have implausible sizes: those for relation {name!r} have diameters "
        f"of about {typical:.2g} um, its organisms of {smallest:g} to {largest:g} um. Are the sizes in mm, mm2 or mm3? "
        "Multiply by 1e3, 1e6 or 1e9."
    )
    raise schema.SchemaError(msg)
