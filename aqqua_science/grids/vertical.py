"""Vertical axes, brought to metres below the surface."""

import re

import numpy as np

from aqqua_science.schema import VOCABULARY, SchemaError

_METRES = {"m": 1, "meter": 1, "metre": 1, "meters": 1, "metres": 1, "cm": 0.01, "centimeter": 0.01}
_METRES |= {"centimetre": 0.01, "centimeters": 0.01, "centimetres": 0.01, "mm": 0.001, "millimeters": 0.001}
_METRES |= {"km": 1000, "kilometer": 1000, "kilometre": 1000, "kilometers": 1000, "kilometres": 1000}


def read_depths(values, *, coordinate, where="the vertical axis"):
    """
    Bring a vertical axis to depths.

    Parameters
    ----------
    values : numpy.ndarray (n,)
    coordinate : xarray.DataArray
        Where the values come from; its name and its attributes ``units``, ``positive`` and ``standard_name`` count.
    where : str
        How messages call the axis.

    Returns
    -------
    numpy.ndarray (n,)
        Metres, positive down, in the order of the file.

    Raises
    ------
    SchemaError
        For pressures, sigma, density and bare numbers of levels, and for levels above the surface.

    Examples
    --------
    >>> import xarray as xr
    >>> read_depths(np.array([-5.0, -15.0]), coordinate=xr.DataArray([0, 0], attrs={"units": "m"}))
    array([ 5., 15.])
    """
    attrs = {key: str(value).strip() for key, value in coordinate.attrs.items()}
    factor = _metres_per_unit(attrs, str(coordinate.name), where)
    up = attrs.get("positive", "").lower() == "up" or attrs.get("standard_name", "") in ("altitude", "height")
    if up or ((values <= 0).all() and (values < 0).any()):
        values = -values
    values = np.round(values * factor, 9) + 0.0
    limit = VOCABULARY["depth"].upper
    if values.min() < 0 or values.max() > limit:
        msg = (
            f"{where}: depth must be 0..{limit} m below the surface; the axis gives "
            f"{values.min():g}..{values.max():g}. Correct its attributes 'positive' "
            "and 'units', or select one level before opening."
        )
        raise SchemaError(msg)
    return values


def _metres_per_unit(attrs, name, where):
    """Factor from the unit of a vertical axis to metres; refuses sigma, density, pressure and level numbers."""
    units = attrs.get("units", "").lower()
    if units in _METRES and not re.search("sigma|ocean_s_|density", attrs.get("standard_name", "")):
        return _METRES[units]
    bare = not units and (attrs.get("standard_name") == "depth" or re.match("dep", name, re.IGNORECASE))
    if bare:
        return 1
    kind, remedy = "a length", "If it holds metres, set its attribute units='m'; else interpolate the field to depths."
    if re.search("bar|pa$|pascal", units):
        kind, remedy = "a length, not a pressure", "Convert it with gsw.z_from_p(pressure, latitude) first."
    msg = (
        f"{where}: the vertical axis must be {kind}; its units are {attrs.get('units', 'absent')!r}, its standard name "
        f"{attrs.get('standard_name', 'absent')!r}. {remedy}"
    )
    raise SchemaError(msg)
