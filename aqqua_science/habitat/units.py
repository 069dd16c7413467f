"""From the units of a target to the units of its budget."""

import re
from dataclasses import dataclass

from aqqua_science.optional import require
from aqqua_science.samples.flux_laws import CARBON_G_PER_MOL
from aqqua_science.schema import SchemaError

_EXAMPLES = "mg m-3, ug L-1, mmol m-3, g m-2, mg m-2 d-1, mol m-2 s-1, m-3 (individuals) or mm3 m-3 (biovolume)"
_UNSAID = re.compile(
    r"(?:(?<=\bg)|(?<=[PTGMkmunp]g)|(?<=mol))\s*_?C\b|\bcarbon\b|\b[DW]W\b|\bind(ividuals?)?\b\.?|#", re.IGNORECASE
)
_KINDS_OF_MASS = {"DW": "Pg dry weight", "WW": "Pg wet weight"}
_MEASURES = [
    ("Pg", 1.0, None),
    ("mol", CARBON_G_PER_MOL * 1e-15, "PgC"),
    ("1", 1.0, "individuals"),
    ("km3", 1.0, "km3"),
]
"""What can be counted: its unit, its factor towards the budget's unit, and that unit (None: by kind of mass)."""


@dataclass(frozen=True)
class BudgetUnits:
    """How a field adds up: ``budget = factor * sum(value * m3 or m2)`` in `units`, or their average for a mean."""

    units: str
    factor: float
    per: str
    kind: str

    @property
    def quantity(self):
        """What a field in these units shows: biomass, flux, abundance or biovolume."""
        if self.kind == "flux":
            return "flux"
        return {"individuals": "abundance", "km3": "biovolume"}.get(self.units, "biomass")


def parse_units(text):
    """
    Read units written in the CF way.

    Parameters
    ----------
    text : str
        Such as ``"mg m-3"`` or ``"mgC m-2 d-1"``; the word C or carbon after a mass is allowed.

    Returns
    -------
    cf_units.Unit

    Raises
    ------
    SchemaError
        If the text is no unit.

    Examples
    --------
    >>> float(parse_units("mgC m-3").convert(1.0, "g m-3"))
    0.001
    """
    cf_units = require("cf_units", for_="habitat")
    plain = _UNSAID.sub("", str(text)).replace("µ", "u").strip()
    try:
        if not plain:
            raise ValueError(text)
        return cf_units.Unit(re.sub(r"^/", "1/", plain))
    except ValueError as error:
        msg = f"units {text!r} are not understood. Write them in the CF way, for example: {_EXAMPLES}."
        raise SchemaError(msg) from error


def budget_units(text, kind=None):
    """
    Decide what a global total of a target is and how to compute it.

    Mass per volume or area is carbon unless its units say DW (dry weight) or WW (wet weight);
    moles are moles of carbon.

    Parameters
    ----------
    text : str
        Units of the target.
    kind : {"stock", "flux", "mean"}, optional
        The first two are checked against the units; ``"mean"``, for what does not add up (diversity, sizes, rates),
        keeps the units, whatever they are.

    Returns
    -------
    BudgetUnits

    Raises
    ------
    SchemaError
        If the units cannot be added up over the ocean, or are not those of `kind`.

    Examples
    --------
    >>> budget_units("mg m-3").units, budget_units("mg m-2 d-1").units
    ('PgC', 'PgC yr-1')
    """
    if kind == "mean":
        parse_units(text)
        return BudgetUnits(str(text), 1.0, "mean", kind)
    found = _match(parse_units(text), str(text))
    if found is None:
        msg = (
            f"units {text!r} cannot be added up to a budget: a budget needs an amount per volume or per area, "
            f"optionally per time. Use for example {_EXAMPLES}; or average it with kind = 'mean'."
        )
        raise SchemaError(msg)
    if kind not in (None, found.kind):
        msg = (
            f"units {text!r} are those of a {found.kind}, not a {kind}. Set kind = {found.kind!r} or correct the units."
        )
        raise SchemaError(msg)
    return found


def convert_total(value, units, *, to):
    """
    Bring a published total to the units of a budget.

    Parameters
    ----------
    value : float
    units : str
        Such as ``"TgC"`` or ``"PgC yr-1"``; Gt is taken as Pg.
    to : str
        Units of the budget.

    Returns
    -------
    float

    Raises
    ------
    SchemaError
        If the units differ in kind.

    Examples
    --------
    >>> round(convert_total(82.9, "TgC", to="PgC"), 6)
    0.0829
    """
    if units == to:
        return value
    given, wanted = (parse_units(re.sub(r"\b([GMk]?)t\b|\b([GMk]?)tC\b", _tonnes, text)) for text in (units, to))
    if not _is_multiple(given, wanted):
        msg = (
            f"reference.units = {units!r} cannot become those of the budget, {to!r}, which follow from "
            "observations.units. Correct one of the two."
        )
        raise SchemaError(msg)
    return float(given.convert(value, wanted))


def of_no_depth(units, depth):
    """
    Say why amounts per area are not added up over a layer.

    Parameters
    ----------
    units : str
    depth : sequence of float

    Returns
    -------
    str

    Examples
    --------
    >>> of_no_depth("mg m-2", (0, 200))[:60]
    "units 'mg m-2' are per area, and are added up without a dept"
    """
    return (
        f"units {units!r} are per area, and are added up without a depth; depth = {list(depth)} would do nothing. "
        "Leave depth out; or, if the amounts are per volume, correct the units, such as to mg m-3."
    )


def _tonnes(found):
    return {"G": "Pg", "M": "Tg", "k": "Gg", "": "Mg"}[found[1] or found[2] or ""]


def _match(unit, text):
    """The first measure, space and time that a unit is made of."""
    mass = next((name for word, name in _KINDS_OF_MASS.items() if re.search(rf"\b{word}\b", text)), "PgC")
    for measure, factor, name in _MEASURES:
        for per, space in (("volume", "m-3"), ("area", "m-2")):
            for kind, rate in (("stock", ""), ("flux", " Julian_year-1")):
                wanted = f"{measure} {space}{rate}"
                if not _is_multiple(unit, wanted) or (measure == "km3" and "3" not in text):
                    continue
                total = (name or mass) + (" yr-1" if rate else "")
                return BudgetUnits(total, factor * float(unit.convert(1.0, wanted)), per, kind)
    return None


def _is_multiple(unit, wanted):
    """Convertible by a factor; UDUNITS also converts to reciprocals."""
    return unit.is_convertible(wanted) and abs(unit.convert(2.0, wanted) / unit.convert(1.0, wanted) - 2) < 1e-9
