"""From the units of a target to the units of its budget."""

import functools
import re
from dataclasses import dataclass

from aqqua_science.optional import require
from aqqua_science.schema import SchemaError

CARBON_G_PER_MOL = 12.011
"""Standard atomic weight of carbon (IUPAC 2021, abridged)."""

_EXAMPLES = "mg m-3, ug L-1, mmol m-3, g m-2, mg m-2 d-1, mol m-2 s-1, m-3 (individuals) or mm3 m-3 (biovolume)"
_LENGTH, _TIME, _MASS, _AMOUNT = "[length]", "[time]", "[mass]", "[substance]"


@dataclass(frozen=True)
class BudgetUnits:
    """How a field adds up: ``budget = factor * sum(value * m3 or m2)`` in `units`."""

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


_CF_NAMES = {"d": "day", "days": "day", "yr": "year", "a": "year", "h": "hour", "l": "liter", "L": "liter"}
_TERM = re.compile(r"(/?)\s*([A-Za-z_]+|1(?![\d.]))\s*(-?\d+)?")
_WORDS = re.compile(
    r"(?:(?<=\bg)|(?<=[mkunp]g)|(?<=mol))\s*_?C\b|\bcarbon\b|\b[DW]W\b|\bind(ividuals?)?\b\.?|#", re.IGNORECASE
)
_OTHER_MASS = {"DW": "Pg dry weight", "WW": "Pg wet weight"}


@functools.cache
def _registry():
    pint = require("pint", for_="habitat")
    return pint.UnitRegistry(cache_folder=None)


def parse_units(text):
    """
    Read units written in the CF way.

    Parameters
    ----------
    text : str
        Such as ``"mg m-3"`` or ``"mgC m-2 d-1"``; the word C or carbon after a mass is allowed.

    Returns
    -------
    pint.Quantity
        One of these units.

    Raises
    ------
    SchemaError
        If the text is no unit.

    Examples
    --------
    >>> float(parse_units("mgC m-3").to("g/m**3").magnitude)
    0.001
    """
    ureg = _registry()
    plain = _WORDS.sub("", str(text)).replace("µ", "u").replace("^", "").replace("**", "")
    terms = _TERM.findall(plain)
    leftover = _TERM.sub("", plain).strip(" .*·")
    quantity = ureg.Quantity(1.0)
    try:
        if leftover or not terms:
            raise ValueError(leftover)
        for slash, name, power in terms:
            unit = ureg.Quantity(1.0) if name == "1" else ureg.Quantity(1.0, _CF_NAMES.get(name, name))
            quantity = quantity * unit ** ((-1 if slash else 1) * int(power or 1))
    except Exception as error:
        msg = f"units {text!r} are not understood. Write them in the CF way, for example: {_EXAMPLES}."
        raise SchemaError(msg) from error
    return quantity


def budget_units(text, kind=None):
    """
    Decide what a global total of a target is and how to compute it.

    Mass per volume or area is carbon unless its units say DW (dry weight) or WW (wet weight);
    moles are moles of carbon.

    Parameters
    ----------
    text : str
        Units of the target.
    kind : {"stock", "flux"}, optional
        Checked against the units when given.

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
    quantity = parse_units(text)
    powers = {name: round(p) for name, p in quantity.dimensionality.items() if p}
    rate = powers.pop(_TIME, 0)
    found = "flux" if rate == -1 else "stock"
    length = powers.pop(_LENGTH, 0)
    content = _content(powers, length, text) if quantity.units != _registry().dimensionless else None
    if rate not in (0, -1) or content is None:
        msg = (
            f"units {text!r} cannot be added up to a budget: a budget needs an amount per volume or per area, "
            f"optionally per time. Use for example {_EXAMPLES}."
        )
        raise SchemaError(msg)
    if kind not in (None, found):
        msg = f"units {text!r} are those of a {found}, not of a {kind}. Set kind = {found!r} or correct the units."
        raise SchemaError(msg)
    base, measure, name, per = content
    space = f"{measure} * meter**{-3 if per == 'volume' else -2}" + (" / year" if rate else "")
    factor = (quantity * base / _registry().Quantity(1.0, space)).to("dimensionless").magnitude
    return BudgetUnits(name + (" yr-1" if rate else ""), float(factor), per, found)


def _content(powers, length, text):
    """What is counted: a factor towards the measure, the measure, the name of the total, and per what."""
    one, per = _registry().Quantity(1.0), {-3: "volume", -2: "area"}.get(length)
    mass = next((name for word, name in _OTHER_MASS.items() if re.search(rf"\b{word}\b", str(text))), "PgC")
    if powers == {_MASS: 1} and per:
        return one, "petagram", mass, per
    if powers == {_AMOUNT: 1} and per:
        return _registry().Quantity(CARBON_G_PER_MOL, "gram/mole"), "petagram", "PgC", per
    if not powers and per:
        return one, "dimensionless", "individuals", per
    if not powers and length == 0:
        return one, "kilometer**3", "km3", "volume"
    return None
