"""A calibrated field told in another quantity, with its interval: biomass as respiration, carbon as wet weight."""

import xarray as xr

from aqqua_science.grids.geometry import require_same_cells
from aqqua_science.habitat.budget import member_variable
from aqqua_science.schema import SchemaError


def convert_field(field, factor, *, name, units, long_name=None):
    """
    Multiply a field by a factor, cell by cell, and keep what `integrate` needs to know of its errors.

    Parameters
    ----------
    field : xarray.Dataset
        Of `predict_grid` or `calibrate`.
    factor : float or xarray.DataArray
        Above or equal to 0, on the cells (and months, depths) of `field`; a cell where it is NaN has no value then.
    name : str
        Of the variable with the members then, such as ``"respiration"``.
    units : str
        Of the product.
    long_name : str, optional
        By default `name`.

    Returns
    -------
    xarray.Dataset
        `field` with members, ``replicates``, ``low`` and ``high`` multiplied; all else stays, also the correction by
        held-out blocks.

    Raises
    ------
    SchemaError
        If the factor lies on other cells than the field, or has a dimension that the field lacks.
    ValueError
        If a factor is below 0.

    Notes
    -----
    The relative errors stay those of `field`. An error of the factor itself is in none of the intervals: where all
    cells share it, it is a source of its own (``factors`` in `ledger.uncertainty_ledger`).

    Examples
    --------
    >>> import numpy as np
    >>> from aqqua_science.grids import regular_grid
    >>> grid = regular_grid(30.0)
    >>> flat = xr.DataArray(np.ones((2, 6, 12)), grid.coords, ("member", "latitude", "longitude"))
    >>> field = xr.Dataset({"biomass": flat.assign_attrs(units="mg m-3")})
    >>> wet = convert_field(field, 10.0, name="wet_weight", units="mg WW m-3")
    >>> float(wet["wet_weight"].mean()), wet["wet_weight"].attrs["units"]
    (10.0, 'mg WW m-3')
    """
    members = member_variable(field)
    if isinstance(factor, xr.DataArray):
        factor = factor.drop_attrs().reset_coords(drop=True)
        _check_grid(field[members], factor)
    elif factor < 0:
        _refuse(factor)
    parts = [v for v in (members, "replicates", "low", "high") if v in field]
    told = {"units": units, "long_name": long_name or name.replace("_", " ")}
    found = {}
    for part in parts:
        product = (field[part] * factor).transpose(*field[part].dims).astype(field[part].dtype)
        kept = {} if part == members else {"long_name": field[part].attrs.get("long_name", part)}
        found[part] = product.drop_attrs().assign_attrs(told | kept)
    return field.assign(found).rename({members: name})


def _check_grid(values, factor):
    unknown = [d for d in factor.dims if d not in values.dims]
    if unknown:
        msg = (
            f"the factor has the dimension {unknown[0]!r}, which the field lacks: it has {', '.join(values.dims)}. "
            f"Select or average before, for example factor.mean({unknown[0]!r})."
        )
        raise SchemaError(msg)
    require_same_cells(
        values,
        factor,
        what="factor and field must have the same cells. Bring it there: aq.grids.regrid(factor, field).",
    )
    if not factor.chunks and (factor < 0).any():
        _refuse(float(factor.min()))


def _refuse(value):
    msg = f"a factor must be 0 or above; got {value:g}. Amounts and their intervals have no sign."
    raise ValueError(msg)
