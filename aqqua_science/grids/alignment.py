"""Fields of several files, joined on one grid."""

import numpy as np
import xarray as xr

from aqqua_science.grids.axes import ATTRIBUTES, DIMENSIONS, SAME_CELL
from aqqua_science.schema import SchemaError

_STACKED = ("member", "month", "time", "depth")


def merge_fields(fields):
    """
    Merge fields into one Dataset on one grid.

    Parameters
    ----------
    fields : list of (str, xarray.DataArray)
        How messages call the field, and the field in our conventions.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    SchemaError
        If the cells of two fields differ, or two fields of one name.

    Examples
    --------
    >>> cells = {"latitude": [0.0, 1.0], "longitude": [0.0, 1.0]}
    >>> one, two = (xr.DataArray(np.full((1, 2, 2), m), {"month": [m], **cells}, name="sst") for m in (1, 2))
    >>> merge_fields([("a.nc", one), ("b.nc", two)]).sizes["month"]
    2
    """
    fields = [(where, _on_grid_of(field, where, fields[0])) for where, field in fields]
    parts = {}
    for where, field in fields:
        parts.setdefault(str(field.name), []).append((where, field))
    _refuse_reserved(parts)
    joined = [(pieces[0][0], _join_parts(pieces)) for pieces in parts.values()]
    for dim in _STACKED:
        joined = _on_common_axis(joined, dim)
    dataset = xr.Dataset({field.name: field for _, field in joined}, attrs={"Conventions": "CF-1.11"})
    dims = [dim for dim in DIMENSIONS if dim in dataset.dims]
    return dataset.transpose(*dims).assign_coords({dim: dataset[dim].assign_attrs(ATTRIBUTES[dim]) for dim in dims})


def _refuse_reserved(parts):
    """A variable may not bear the name of a coordinate."""
    for name in set(parts) & set(DIMENSIONS):
        msg = (
            f"{parts[name][0][0]} bears the name of a coordinate. Rename it, e.g. "
            f"xarray.open_dataset(file).rename({name}='bathymetry'), and pass the Dataset."
        )
        raise SchemaError(msg)


def _on_grid_of(field, where, reference):
    """A field with the coordinates of the first one, if they mean the same cells."""
    first_where, first = reference
    for dim in ("latitude", "longitude"):
        ours, theirs = first[dim].values, field[dim].values
        if not _same_positions(ours, theirs):
            msg = (
                f"{where} and {first_where} must be on one grid; {dim} has {_describe(theirs)} in the one and "
                f"{_describe(ours)} in the other. Open them apart, and bring one to the grid of the other with "
                "aqqua_science.grids.regrid."
            )
            raise SchemaError(msg)
    return field.assign_coords({dim: first[dim] for dim in ("latitude", "longitude")})


def _same_positions(one, other):
    return one.size == other.size and np.abs(one - other).max() < SAME_CELL * np.diff(one).min()


def _describe(values):
    return f"{values.size} values from {values[0]:g} to {values[-1]:g}"


def _join_parts(pieces):
    """Join fields of one name along the one axis in which they differ."""
    where, first = pieces[0]
    fields = [_in_dims_of(first, where, *piece) for piece in pieces]
    differing = {dim for dim in first.dims for field in fields if not _same_axis(first[dim], field[dim])}
    if len(differing) > 1:
        msg = (
            f"{len(pieces)} fields bear the name {first.name!r}, the first is {where}; they differ in "
            f"{' and '.join(sorted(differing))} and can be joined along one axis only. Open them apart."
        )
        raise SchemaError(msg)
    if not differing:
        for (other_where, _), field in zip(pieces[1:], fields[1:], strict=True):
            _require_equal(first, field.assign_coords(first.coords), f"{where} and {other_where}")
        return first
    (dim,) = differing
    joined = xr.concat(_new_steps(pieces, fields, dim), dim=dim, join="override", combine_attrs="override")
    sources = dict.fromkeys(str(field.attrs.get("source", "")) for field in fields)
    return joined.sortby(dim).assign_attrs(source="; ".join(sources))


def _in_dims_of(first, first_where, where, field):
    if set(field.dims) != set(first.dims):
        msg = (
            f"{where} and {first_where} have one name but the dimensions {field.dims} and {first.dims}. "
            "Open them apart, or rename one."
        )
        raise SchemaError(msg)
    return field.transpose(*first.dims)


def _same_axis(one, other):
    if one.size != other.size:
        return False
    if one.dtype.kind == other.dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=1e-5, atol=1e-5))
    return bool((one.values == other.values).all())


def _new_steps(pieces, fields, dim):
    """The steps of each field that no earlier one has; steps that an earlier one has must agree with it."""
    owners, fresh = {}, []
    for number, field in enumerate(fields):
        steps = field[dim].values.tolist()
        for owner in {owners[step] for step in steps if step in owners}:
            shared = [step in owners and owners[step] == owner for step in steps]
            again = field.isel({dim: shared})
            earlier = fields[owner].sel({dim: again[dim]})
            _require_equal(earlier, again.assign_coords(earlier.coords), f"{pieces[owner][0]} and {pieces[number][0]}")
        fresh.append(field.isel({dim: [step not in owners for step in steps]}))
        owners |= {step: number for step in steps if step not in owners}
    return fresh


def _require_equal(one, other, where):
    if not one.equals(other):
        msg = (
            f"{where} hold different values of the variable {one.name!r} for the same place and time. "
            "Open one of them, or rename one."
        )
        raise SchemaError(msg)


def _on_common_axis(fields, dim):
    """Bring every field to the longest axis; an axis that does not lie within it is refused."""
    having = [(where, field) for where, field in fields if dim in field.dims]
    if not having:
        return fields
    if dim == "month":
        months = np.unique(np.concatenate([field["month"].values for _, field in having]))
        return [(where, f.reindex(month=months) if dim in f.dims else f) for where, f in fields]
    longest_where, longest = max(having, key=lambda pair: pair[1].sizes[dim])
    return [
        (where, _within(field, where, longest[dim], longest_where) if dim in field.dims else field)
        for where, field in fields
    ]


def _within(field, where, axis, axis_where):
    """A field on a longer axis that holds all of its steps."""
    dim = axis.name
    if _same_axis(field[dim], axis):
        return field.assign_coords({dim: axis})
    nearest = _nearest_steps(field[dim].values, axis.values)
    if nearest is None:
        msg = (
            f"{where} and {axis_where} must share their {dim} axis; {field.sizes[dim]} steps from "
            f"{field[dim].values[0]} to {field[dim].values[-1]} do not lie on the {axis.size} steps from "
            f"{axis.values[0]} to {axis.values[-1]}. Interpolate one of them, or open them apart."
        )
        raise SchemaError(msg)
    return field.assign_coords({dim: axis.values[nearest]}).reindex({dim: axis})


def _nearest_steps(steps, axis):
    """Indices of steps on an axis, or None if one is not there."""
    if steps.dtype.kind != "f":
        return np.searchsorted(axis, steps) if np.isin(steps, axis).all() else None
    nearest = np.abs(axis[None, :] - steps[:, None]).argmin(axis=1)
    return nearest if np.allclose(axis[nearest], steps, rtol=1e-5, atol=1e-5) else None
