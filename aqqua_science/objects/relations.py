"""Published relations between the size of plankton and its carbon: where they come from and whom they are for."""

import functools
import re
from pathlib import Path

import numpy as np
import pandas as pd

from aqqua_science import schema

from .living import is_lifeless

_FILE = Path(__file__).with_name("carbon_relations.csv")

_UM = {"um3": 1.0, "mm3": 1e9, "um2": 1.0, "mm2": 1e6}
_UG = {"pg": 1e-6, "ng": 1e-3, "ug": 1.0, "mg": 1e3}
_DIMENSION = {"volume": 3, "sphere": 3, "area": 2}
_CHOICES = {
    "size": tuple(_DIMENSION),
    "size_unit": tuple(_UM),
    "constant_is": ("a", "log10 a"),
    "mass": ("carbon", "dry mass", "wet mass"),
    "mass_unit": tuple(_UG),
    "per": ("cell", "individual"),
    "chains": ("yes", "no"),
}
_NUMBERS = ("constant", "exponent", "carbon_share", "scatter_log10", "systematic_log10", "smallest_um", "largest_um")
_TEXT = ("taxa", "spread", "reference", "doi", "verified", "note")
_LARGEST_SHARE = 0.6


def published():
    """
    List the relations that come with the package, each constant with its source and how far that was seen.

    Returns
    -------
    pandas.DataFrame
        One row per relation: `name`; `taxa` that it is for, separated by semicolons (of several for a taxon the first
        is used whose size was measured); what `size` it takes (``volume`` of the body, ``sphere`` of the diameter, or
        projected ``area``) in `size_unit`; `constant` and whether that is ``a`` or ``log10 a`` of mass = a size **
        `exponent`; the `mass` it gives in `mass_unit`, the `carbon_share` of that mass, and whether `per` cell or
        individual; whether its taxa form `chains` or colonies, whose cells share the size of an object; from and to
        what size it applies beside another relation (`from_size`, `to_size`), outside of which there is no carbon; for
        what sizes it was found (`valid_min`, `valid_max`, empty where that is not known), outside of which it is used
        all the same, and `carbon_interval` says so; the standard deviation of log10
        carbon among organisms of a size (`scatter_log10`) and of the relation as a whole (`systematic_log10`), and
        whether that `spread` was published or is assumed; diameters between which its organisms lie (`smallest_um`,
        `largest_um`); `reference`, `doi`, `verified` (where the constants were seen) and `note`.

    Examples
    --------
    >>> relations = published().set_index("name")
    >>> relations.loc["mendendeuer_2000_protists", ["constant_is", "per", "doi"]].tolist()
    ['log10 a', 'cell', '10.4319/lo.2000.45.3.0569']
    """
    return _published().copy()


@functools.cache
def _published():
    """The relations, read once."""
    return validate(pd.read_csv(_FILE))


def validate(relations):
    """
    Refuse a table of relations that could not be evaluated, or whose result would not be carbon.

    Parameters
    ----------
    relations : pandas.DataFrame
        As `published` gives it, perhaps with rows of your own.

    Returns
    -------
    pandas.DataFrame
        The same, indexed from 0, with empty text where text is missing.

    Raises
    ------
    SchemaError
        Naming the relation, the value and the rule.
    """
    schema.require_columns(relations, _published_columns(), what="the table of relations")
    table = relations.reset_index(drop=True)
    table = table.assign(**{name: table[name].astype(object).where(table[name].notna(), "") for name in _TEXT})
    for name, allowed in _CHOICES.items():
        _refuse(table, ~table[name].isin(allowed), name, f"is none of {', '.join(allowed)}")
    for name in _NUMBERS:
        _refuse(table, table[name].isna(), name, "is missing")
    for column, wrong, rule in _contradictions(table):
        _refuse(table, wrong, column, rule)
    return table


def _contradictions(table):
    """Yield column, faulty rows and rule for what cannot be together."""
    carbon, cubic = table["mass"] == "carbon", table["size_unit"].str.endswith("3")
    share = table["carbon_share"]
    yield "name", table["name"].duplicated(), "is used twice"
    yield "scatter_log10", table["scatter_log10"] < 0, "is negative"
    yield "systematic_log10", table["systematic_log10"] < 0, "is negative"
    yield "constant", (table["constant_is"] == "a") & (table["constant"] <= 0), "is not above 0; is it log10 a?"
    yield "size_unit", cubic != table["size"].isin(["volume", "sphere"]), "is no unit of its size"
    yield "size", (table["per"] == "cell") & (table["size"] != "volume"), "cannot be shared among cells"
    yield "chains", (table["chains"] == "yes") & (table["per"] != "cell"), "is not for a relation per individual"
    for lower, upper in (("from_size", "to_size"), ("valid_min", "valid_max"), ("smallest_um", "largest_um")):
        yield upper, table[upper] <= table[lower], f"is not above {lower}"
    yield "carbon_share", carbon & (share != 1), "is not 1, though the mass is carbon"
    far = ~carbon & ~share.between(0, _LARGEST_SHARE, inclusive="right")
    yield "carbon_share", far, f"is not above 0 and at most {_LARGEST_SHARE} of a mass, which is not carbon"


@functools.cache
def _published_columns():
    """Names of the columns of a table of relations."""
    return tuple(pd.read_csv(_FILE, nrows=0).columns)


def _refuse(table, wrong, column, rule):
    """Stop at the first relation that breaks a rule."""
    if wrong.any():
        row = table[wrong].to_dict("records")[0]
        msg = f"relation {row['name']!r}: {column} {row[column]!r} {rule}. Correct the row."
        raise schema.SchemaError(msg)


def power(relations):
    """
    Say with which power of a length the carbon of each relation grows.

    Parameters
    ----------
    relations : pandas.DataFrame

    Returns
    -------
    numpy.ndarray of float, shape (relation,)
        The exponent times 3 for volumes and 2 for areas.
    """
    return relations["exponent"].to_numpy(float) * relations["size"].map(_DIMENSION).to_numpy(float)


def evaluate(relations, rows, sizes):
    """
    Compute the carbon of bodies.

    Parameters
    ----------
    relations : pandas.DataFrame
    rows : numpy.ndarray of int, shape (body,)
        Which relation is for which body.
    sizes : numpy.ndarray of float, shape (body,)
        um3 or um2, of one cell where the relation is per cell.

    Returns
    -------
    numpy.ndarray of float, shape (body,)
        ug C of one cell or individual.
    """
    logarithm = (relations["constant_is"] == "log10 a").to_numpy()
    constant = relations["constant"].to_numpy(float)
    factor = np.where(logarithm, 10.0 ** np.where(logarithm, constant, 0), constant)
    factor = factor * relations["carbon_share"].to_numpy(float) * relations["mass_unit"].map(_UG).to_numpy(float)
    unit, exponent = relations["size_unit"].map(_UM).to_numpy(float), relations["exponent"].to_numpy(float)
    return factor[rows] * (sizes / unit[rows]) ** exponent[rows]


def limits(relations, names):
    """
    Give limits of size in micrometres squared or cubed.

    Parameters
    ----------
    relations : pandas.DataFrame
    names : tuple of str
        A lower and an upper one, ``("valid_min", "valid_max")`` or ``("from_size", "to_size")``.

    Returns
    -------
    lower, upper : numpy.ndarray of float, shape (relation,)
        NaN where there is none.
    """
    unit = relations["size_unit"].map(_UM).to_numpy(float)
    return tuple(relations[name].to_numpy(float) * unit for name in names)


def lineage(taxon, parents=None):
    """
    List a taxon and what it belongs to, nearest first.

    Parameters
    ----------
    taxon : str
        A name, EcoTaxa's ``child<parent``, or a path from the root, ``living>Eukaryota>Copepoda``.
    parents : dict of str to str, optional
        The parent of each taxon, as far as known.

    Returns
    -------
    list of str

    Examples
    --------
    >>> lineage("egg<Copepoda", {"Copepoda": "Crustacea"})
    ['egg', 'Copepoda', 'Crustacea']
    """
    names = [name.strip() for name in str(taxon).split("<")]
    if ">" in str(taxon):
        names = [name.strip() for name in reversed(str(taxon).split(">"))]
    parents = parents or {}
    whole = str(taxon).strip()
    following = parents.get(whole) if whole != names[-1] and whole in parents else parents.get(names[-1])
    while pd.notna(following) and following not in names:
        names.append(following)
        following = parents.get(following)
    return names


def candidates(taxon, relations, *, parents=None, fallback=None):
    """
    Find the relations for a taxon: its own, else those of the nearest taxon that it belongs to.

    A name of several words that has none goes by its first, if that has one: ``Calanus finmarchicus``, ``Copepoda
    sp.`` and ``Ceratium_fusus``.

    Parameters
    ----------
    taxon : str
    relations : pandas.DataFrame
    parents : dict of str to str, optional
    fallback : str, optional
        Name of the relation for taxa without one, also for what is ``unknown``, ``missed`` or ``other``, which may
        live; never used for what does not (`aqqua_science.objects.living.is_lifeless`).

    Returns
    -------
    rows : list of int
        Relations in the order of preference.
    note : str
        Why there is none, or by which detour they were found; else empty.
    """
    if pd.isna(taxon):
        return [], "taxon is missing"
    names, index = lineage(taxon, parents), _by_taxon(tuple(relations["taxa"]))
    for name in names:
        if rows := index.get(name.casefold()):
            return list(rows), "" if name == names[0] else f"by {name}"
        if is_lifeless([name])[0]:
            return [], f"no relation for {name}, which does not live"
        first = re.split(r"[\s_]", name)[0]
        if rows := index.get(first.casefold()):
            return list(rows), f"by {first}"
    if fallback is None:
        return [], "no relation for this taxon"
    return [row_of(fallback, relations)], "by the fallback"


@functools.lru_cache(maxsize=8)
def _by_taxon(taxa):
    """Rows of each taxon's relations."""
    index = {}
    for row, names in enumerate(taxa):
        for name in filter(None, (part.strip().casefold() for part in names.split(";"))):
            index.setdefault(name, []).append(row)
    return index


def row_of(name, relations):
    """
    Find a relation by its name.

    Parameters
    ----------
    name : str
    relations : pandas.DataFrame

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If there is none, with the nearest name.
    """
    found = np.flatnonzero(relations["name"] == name)
    if len(found) == 0:
        hint = schema.nearest_name(name, relations["name"])
        msg = f"there is no relation {name!r}.{hint} There are: {', '.join(relations['name'])}."
        raise ValueError(msg)
    return int(found[0])
