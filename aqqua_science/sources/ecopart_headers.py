"""What the columns of EcoPart's tables measure, by their names."""

import re
from dataclasses import dataclass

import numpy as np

_SIZE_CLASS = re.compile(
    r"LPM (?P<bio>biovolume )?\((?:>(?P<over>[\d.,]+)|(?P<low>[\d.,]+)-(?P<high>[\d.,]+))\s*(?P<unit>\S*m)\)"
    r"\s*\[(?P<per># l-1|mm3 l-1)\]",
)
_TAXON = re.compile(
    r"(?P<lineage>\S.*?)(?P<kind> biovolume| avgesd)?(?:\s+w/o? children)?\s*\[(?P<unit># m-3|mm3 l-1|mm)\]",
)
_KINDS = {("", "# m-3"): "count", ("biovolume", "mm3 l-1"): "biovolume", ("avgesd", "mm"): "esd"}


@dataclass(frozen=True, slots=True)
class Measure:
    """
    A size class, or a taxon, with its columns.

    Attributes
    ----------
    key : tuple of float, or str
        Bounds of the class, um; or the lineage of the taxon, its names from the root joined by ``>``.
    columns : dict of str to str
        ``count``, ``biovolume`` and ``esd`` -> name of the column.
    """

    key: tuple | str
    columns: dict


def size_classes(names):
    """
    Find the size classes among the columns of a particle table.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    list of Measure

    Examples
    --------
    >>> [found.key for found in size_classes(["Profile", "LPM (813-1020 µm) [# l-1]", "LPM (>26 mm) [# l-1]"])]
    [(813.0, 1020.0), (26000.0, inf)]
    """
    return _collect((_read_class(name), name) for name in names)


def _read_class(name):
    """Bounds and kind of a column; None for another one."""
    match = _SIZE_CLASS.fullmatch(name)
    if match is None or bool(match["bio"]) != (match["per"] == "mm3 l-1"):
        return None
    # Of the two units only millimetres are written alike in every encoding.
    factor = 1000.0 if match["unit"] == "mm" else 1.0
    low, high = _bound(match["over"] or match["low"]), _bound(match["high"]) if match["high"] else np.inf
    if not low < high:
        return None
    return (round(low * factor, 6), round(high * factor, 6)), "biovolume" if match["bio"] else "count"


def _bound(text):
    """A bound; not a number when it has several points."""
    text = text.replace(",", ".")
    return float(text) if text.count(".") < 2 and text != "." else np.nan


def taxa(names):
    """
    Find the taxa among the columns of a zooplankton table.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    list of Measure

    Examples
    --------
    >>> found = taxa(["living>Eukaryota [# m-3]", "living>Eukaryota avgesd [mm]", "temperature [degc]"])
    >>> [(one.key, sorted(one.columns)) for one in found]
    [('living>Eukaryota', ['count', 'esd'])]
    """
    return _collect((_read_taxon(name), name) for name in names)


def _read_taxon(name):
    match = _TAXON.fullmatch(name)
    kind = match and _KINDS.get(((match["kind"] or "").strip(), match["unit"]))
    return (match["lineage"].strip(), kind) if kind else None


def _collect(found):
    """Columns of the same class or taxon together; those that have no count are left out."""
    measures = {}
    for read, name in found:
        if read is not None:
            measures.setdefault(read[0], {})[read[1]] = name
    return [Measure(key, columns) for key, columns in measures.items() if "count" in columns]
