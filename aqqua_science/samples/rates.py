"""Rates that follow from body mass and temperature: what animals respire."""

import numpy as np
import pandas as pd
import xarray as xr

from ..grids.geometry import require_same_cells
from ..schema import SchemaError, nearest_name
from .flux_laws import CARBON_G_PER_MOL

MOLAR_VOLUME_L = 22.4
"""Litres of a mole of oxygen at 0 degC and one atmosphere, in which rates of respiration are published."""

RESPIRATION_LAWS = pd.DataFrame(
    [
        ("ikeda1985", "carbon", 0.5254, 0.8354, 0.0601, "Ikeda 1985, Mar. Biol. 85, 1-11, doi 10.1007/BF00396409"),
        ("ikeda1985_dry", "dry mass", -0.2512, 0.7886, 0.0490, "as ikeda1985, of dry mass"),
    ],
    columns=["law", "mass", "constant", "of_log_mass", "per_degree", "source"],
).set_index("law")
"""Oxygen taken up by an animal, ``ln(ul h-1) = constant + of_log_mass ln(mg) + per_degree T``, T in degC."""

_HOURS_A_DAY = 24
_MG_PER_UG = 1e-3
_COLDEST, _WARMEST = -2.5, 40.0


def respiration(mass_mg, temperature, *, law="ikeda1985", respiratory_quotient=0.97):
    """
    Carbon that an animal respires in a day.

    Parameters
    ----------
    mass_mg : array_like or xarray.DataArray
        Of the body, mg of carbon (or of dry mass, see `law`); NaN above 0 only.
    temperature : array_like or xarray.DataArray
        Of the water, degC.
    law : str
        A row of `RESPIRATION_LAWS`: by carbon, ``"ikeda1985"``, or by dry mass, ``"ikeda1985_dry"``.
    respiratory_quotient : float
        Moles of carbon dioxide for each of oxygen; 0.97 where proteins are burnt (Gnaiger 1983).

    Returns
    -------
    numpy.ndarray or xarray.DataArray
        mg C d-1 of one animal; lazy where an input is, NaN where the mass is not above 0.

    Raises
    ------
    ValueError
        If there is no such law, or the quotient is not above 0.
    SchemaError
        If temperatures in memory are none in degC.

    Notes
    -----
    Ikeda (1985), Mar. Biol. 85, 1-11: epipelagic zooplankton of polar to tropical seas, at -1.4 to 30 degC.

    Examples
    --------
    >>> respiration(0.1, [0.0, 15.0]).round(4)
    array([0.0031, 0.0076])
    """
    if law not in RESPIRATION_LAWS.index:
        known = list(RESPIRATION_LAWS.index)
        msg = f"law must be one of {', '.join(known)}; got {law!r}.{nearest_name(law, known)}"
        raise ValueError(msg)
    if not respiratory_quotient > 0:
        msg = f"respiratory_quotient must be above 0; got {respiratory_quotient}. 0.97 is usual."
        raise ValueError(msg)
    mass, temperature = (v if isinstance(v, xr.DataArray) else np.asarray(v, float) for v in (mass_mg, temperature))
    _check_degrees(temperature)
    told = RESPIRATION_LAWS.loc[law]
    known = xr.where(mass > 0, mass, np.nan) if isinstance(mass, xr.DataArray) else np.where(mass > 0, mass, np.nan)
    oxygen = np.exp(told["constant"] + told["of_log_mass"] * np.log(known) + told["per_degree"] * temperature)
    carbon = oxygen * (_HOURS_A_DAY * respiratory_quotient * CARBON_G_PER_MOL / MOLAR_VOLUME_L * _MG_PER_UG)
    if not isinstance(carbon, xr.DataArray):
        return carbon
    attrs = {"long_name": "carbon respired by an animal", "units": "mg d-1", "references": told["source"]}
    return carbon.drop_attrs(deep=False).assign_attrs(attrs).rename("respiration")


def community_respiration(biomass, temperature, *, body_carbon_mg, respiratory_quotient=0.97):
    """
    Carbon that a community of animals respires in a day, from its biomass.

    Parameters
    ----------
    biomass : array_like or xarray.DataArray
        Carbon per volume or area, of animals of one size; size classes are added up afterwards.
    temperature : array_like or xarray.DataArray
        degC.
    body_carbon_mg : float, array_like or xarray.DataArray
        Carbon of one of them, mg.
    respiratory_quotient : float

    Returns
    -------
    numpy.ndarray or xarray.DataArray
        In the units of `biomass`, per day.

    Raises
    ------
    ValueError
        If `body_carbon_mg` is not above 0, or as `respiration`.
    SchemaError
        As `respiration`, or if biomass and temperature lie on different cells.

    Notes
    -----
    A map keeps its interval as ``convert_field(field, community_respiration(1.0, temperature, ...), ...)``, see
    `aqqua_science.habitat.conversion`; the biomass alone knows nothing of it.

    Animals of a tenth of the mass respire 1.46 times as much for the same biomass (Ikeda 1985), so that a body mass
    that is known to a factor of two leaves an error of 12 %.

    Examples
    --------
    >>> community_respiration(2.0, 15.0, body_carbon_mg=[0.1, 1.0]).round(3)
    array([0.152, 0.104])
    """
    if not np.all(np.asarray(body_carbon_mg) > 0):
        msg = f"body_carbon_mg must be above 0; got {body_carbon_mg}. Give the carbon of one animal in mg."
        raise ValueError(msg)
    fields = [v for v in (biomass, temperature, body_carbon_mg) if isinstance(v, xr.DataArray)]
    remedy = (
        "biomass, temperature and body_carbon_mg must have the same cells. Bring one to the other: "
        "aq.grids.regrid(temperature, biomass)."
    )
    require_same_cells(*fields, what=remedy)
    each = respiration(body_carbon_mg, temperature, respiratory_quotient=respiratory_quotient)
    found = (biomass if isinstance(biomass, xr.DataArray) else np.asarray(biomass, float)) * (each / body_carbon_mg)
    if not isinstance(found, xr.DataArray):
        return found
    units = biomass.attrs.get("units") if isinstance(biomass, xr.DataArray) else None
    attrs = {"long_name": "community respiration", "references": RESPIRATION_LAWS.loc["ikeda1985", "source"]}
    attrs |= {} if units is None else {"units": f"{units} d-1"}
    return found.drop_attrs(deep=False).assign_attrs(attrs).rename("respiration")


def _check_degrees(temperature):
    if getattr(temperature, "chunks", None):
        units = str(temperature.attrs.get("units", "degC"))
        if units in ("K", "kelvin", "Kelvin"):
            msg = f"temperature must be in degC; {temperature.name!r} is in {units}. Subtract 273.15."
            raise SchemaError(msg)
        return
    values = np.asarray(temperature)
    wrong = values[(values < _COLDEST) | (values > _WARMEST)]
    if wrong.size:
        msg = (
            f"temperature must be of sea water in degC, {_COLDEST:g} to {_WARMEST:g}; found {wrong[0]:g}. "
            "Subtract 273.15 from kelvin; leave out land and fill values."
        )
        raise SchemaError(msg)
