"""Counts in size classes: of objects, or from tables of concentrations."""

import numpy as np
import pandas as pd
import xarray as xr

from .. import schema
from .effort import exposure, refuse_own_fractions, rows_of, sample_key
from .spectra import SPHERE, UM_PER_MM, check_edges, geometric_edges, octave_edges

_NEAR = 1e-9
_KEYS = ("sample_id", "time", "depth", "depth_bin")


def count_objects(objects, samples, *, edges_um=None, window=None):
    """
    Count objects in size classes.

    Parameters
    ----------
    objects, samples : pandas.DataFrame
        As in `particles.size_spectrum`.
    edges_um : array-like of float, optional
        Bounds of classes, um.
    window : (float, float), optional
        Diameters from and to which classes reach where there are no `edges_um`, um.

    Returns
    -------
    xarray.Dataset
        ``count``, ``mm3`` (biovolume), ``volume_m3``; ``attrs["objects"]``, how many there were, and ``note``.

    Raises
    ------
    SchemaError
        If the tables do not fit, or a diameter is not known.
    """
    if samples is None:
        msg = "objects need samples: the table of all volumes that were looked at, also of those without objects."
        raise schema.SchemaError(msg)
    refuse_own_fractions(objects)
    key = sample_key(samples, objects)
    row, esd = rows_of(objects, samples, key), objects["esd_um"].to_numpy(dtype=float, na_value=np.nan)
    if not (esd > 0).all():
        msg = (
            f"esd_um must be above 0 in every object; {(~(esd > 0)).sum()} of {len(esd)} are not. Measure or drop them."
        )
        raise schema.SchemaError(msg)
    edges = check_edges(edges_um) if edges_um is not None else _edges_of(esd, window)
    size = np.searchsorted(edges, esd, side="right") - 1
    inside = (size >= 0) & (size < edges.size - 1)
    cell, shape = (row * (edges.size - 1) + size)[inside], (len(samples), edges.size - 1)
    count = np.bincount(cell, minlength=np.prod(shape)).reshape(shape).astype(float)
    sphere = SPHERE * (esd[inside] / UM_PER_MM) ** 3
    mm3 = np.bincount(cell, weights=sphere, minlength=np.prod(shape)).reshape(shape)
    names = [name for name in _KEYS if name in samples.columns]
    table = _table(samples[names], exposure(samples), edges, (count, mm3), "")
    return table.assign_attrs(objects=len(esd))


def _edges_of(esd, window):
    """Bounds of classes: those of EcoPart that reach over all objects, or begin with the window."""
    if window is not None:
        edges = geometric_edges(*window)
        return check_edges(edges[edges <= window[1] * (1 + _NEAR)])
    if not esd.size:
        msg = "without objects there are no sizes to choose classes from. Give edges_um."
        raise ValueError(msg)
    return octave_edges(esd.min(), esd.max())


def count_classes(classes):
    """
    Turn concentrations in size classes into counts.

    Parameters
    ----------
    classes : pandas.DataFrame
        As in `particles.size_spectrum`.

    Returns
    -------
    xarray.Dataset
        As of `count_objects`; NaN in classes that have no row.

    Raises
    ------
    SchemaError
        If columns are absent, classes are doubled or overlap, volumes differ, or a concentration is negative.
    """
    keys = [name for name in _KEYS if name in classes.columns]
    needed = ["esd_min_um", "esd_max_um", "concentration_m3", "volume_m3"]
    schema.require_columns(classes, ["sample_id", *needed], what="particles")
    schema.check(classes, required=["sample_id", "esd_min_um", "esd_max_um"])
    closed = np.isfinite(classes["esd_max_um"].to_numpy(dtype=float))
    used = classes[closed]
    edges, size = _class_edges(used)
    row = used.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    first = np.unique(row, return_index=True)[1]
    volume = used["volume_m3"].to_numpy(dtype=float, na_value=np.nan)
    _refuse_doubled(used, row, size, volume, first)
    per_m3 = used["concentration_m3"].to_numpy(dtype=float, na_value=np.nan)
    if (per_m3 < 0).any():
        msg = f"concentration_m3 must not be negative; {(per_m3 < 0).sum()} of {len(per_m3)} are. Drop these rows."
        raise schema.SchemaError(msg)
    count, mm3 = np.full((2, first.size, edges.size - 1), np.nan)
    count[row, size] = per_m3 * volume
    middle = np.sqrt(edges[1:] * edges[:-1]) / UM_PER_MM
    measured = used["biovolume_mm3_m3"].to_numpy(dtype=float) if "biovolume_mm3_m3" in used.columns else np.nan
    mm3[row, size] = np.where(np.isnan(measured), per_m3 * SPHERE * middle[size] ** 3, measured) * volume
    note = "" if closed.all() else f"; classes without an upper bound ({(~closed).sum()} rows) are left out"
    return _table(used[keys].iloc[first], volume[first], edges, (count, mm3), note)


def _class_edges(classes):
    """Common bounds of all classes, and the class of each row; gaps between classes are classes without rows."""
    low, high = (classes[name].to_numpy(dtype=float) for name in ("esd_min_um", "esd_max_um"))
    edges = np.unique(np.concatenate([low, high]))
    if edges.size < 2 or not (low < high).all():
        msg = "every class needs esd_min_um below esd_max_um. Drop the others."
        raise schema.SchemaError(msg)
    size = np.searchsorted(edges, low)
    overlapping = edges[size + 1] != high
    if overlapping.any():
        i = int(np.flatnonzero(overlapping)[0])
        msg = (
            f"size classes overlap: {low[i]:g}..{high[i]:g} um holds a bound of another class at "
            f"{edges[size[i] + 1]:g}. Give one kind of class at a time."
        )
        raise schema.SchemaError(msg)
    return edges, size


def _refuse_doubled(used, row, size, volume, first):
    """A class may occur once in a sample, and a sample has one volume."""
    n = size.max() + 1
    if np.unique(row * n + size).size < len(row):
        twice = pd.Series(row * n + size).duplicated().to_numpy()
        msg = (
            f"{twice.sum()} rows double a size class of a sample, the first is row {used.index[twice][0]}. "
            "Drop one, or tell the samples apart by sample_id, time or depth."
        )
        raise schema.SchemaError(msg)
    other = ~((volume == volume[first][row]) | np.isnan(volume) & np.isnan(volume[first][row]))
    if other.any():
        msg = f"a sample has one volume_m3; that of row {used.index[other][0]} differs from the sample's first row."
        raise schema.SchemaError(msg)


def _table(keys, volume, edges, sums, note):
    """Counts and volumes of particles as a Dataset over samples and sizes."""
    coords = {name: ("sample", keys[name].to_numpy()) for name in keys.columns}
    coords |= {
        "esd_um": ("size", np.sqrt(edges[1:] * edges[:-1]), {"units": "um", "long_name": "middle of class, ESD"})
    }
    coords |= {"esd_min_um": ("size", edges[:-1]), "esd_max_um": ("size", edges[1:])}
    both = ("sample", "size")
    data = {"count": (both, sums[0]), "mm3": (both, sums[1]), "volume_m3": ("sample", volume)}
    return xr.Dataset(data, coords, attrs={"note": note})


def keep_window(table, window):
    """
    Keep the classes that lie within a window, and say so.

    Parameters
    ----------
    table : xarray.Dataset
        As of `count_objects`.
    window : (float, float) or None
        um.

    Returns
    -------
    xarray.Dataset
        With the sentence ``attrs["size_window"]``.

    Raises
    ------
    ValueError
        If no class lies within.
    """
    note, n_objects = table.attrs.pop("note"), table.attrs.pop("objects", None)
    if window is not None:
        low, high = window[0] * (1 - _NEAR), window[1] * (1 + _NEAR)
        inside = (table["esd_min_um"] >= low) & (table["esd_max_um"] <= high)
        if not inside.any():
            msg = f"no size class lies within {window[0]:g}..{window[1]:g} um. Give finer edges_um or another window."
            raise ValueError(msg)
        table = table.isel(size=np.flatnonzero(inside.to_numpy()))
    low, high = table["esd_min_um"].to_numpy()[0], table["esd_max_um"].to_numpy()[-1]
    if n_objects is not None and (outside := n_objects - int(table["count"].sum())):
        note = f"; {outside} of {n_objects} objects lie outside"
    return table.assign_attrs(size_window=f"ESD {low:.4g} to {high:.4g} um{note}")
