"""Particles of many images, summed over EcoPart's layers of water and size classes."""

import numpy as np
import pandas as pd

from aqqua_science.sources.ecopart_bins import LAYER_M, Bins
from aqqua_science.sources.ecopart_metadata import standard_columns
from aqqua_science.sources.uvp_sizes import CLASS_LIMITS_UM, depth_from_pressure

CLASSES = list(zip(CLASS_LIMITS_UM[:-1].tolist(), CLASS_LIMITS_UM[1:].tolist(), strict=True))
"""Bounds of each class, um."""


def imaged_depth(pressure, about):
    """
    Find the depth of the water that was imaged.

    Parameters
    ----------
    pressure : pandas.Series of float
        At the sensor, dbar.
    about : dict
        ``latitude`` and ``offset_m`` (by which the water lies below the sensor), where they are known.

    Returns
    -------
    pandas.Series of float
        m; at least 0, since a sensor may read a little below zero in the air.

    Examples
    --------
    >>> imaged_depth(pd.Series([-0.7, 0.0]), {"offset_m": 0.6}).tolist()
    [0.0, 0.6]
    """
    latitude, offset = (about.get(name) for name in ("latitude", "offset_m"))
    latitude = 45.0 if latitude is None or not abs(latitude) <= 90 else latitude
    offset = offset if offset is not None and 0 <= offset < 100 else 0.0
    return np.maximum(depth_from_pressure(pressure.where(pressure.abs() < np.inf), latitude) + offset, 0)


def sum_images(images, particles, about):
    """
    Sum images and what was seen in them over layers, or the hours of a time series, and size classes.

    Parameters
    ----------
    images : pandas.DataFrame
        ``depth`` (m), ``time``, ``images`` (how many were taken there); those without a depth, or a time in a time
        series, are left out.
    particles : tuple of numpy.ndarray
        Row in `images`, ESD (um) and number of particles.
    about : dict
        What belongs in every row of `Bins.about`, ``by_depth`` and ``volume_l`` (of one image).

    Returns
    -------
    Bins
        Concentrations and biovolumes per litre.
    """
    image, esd_um, number = particles
    by = images["depth"] // LAYER_M if about["by_depth"] else images["time"].dt.floor("h")
    code, steps = pd.factorize(by, sort=True)
    bins = _rows(images.groupby(code), steps, about)
    size = np.digitize(esd_um, CLASS_LIMITS_UM) - 1
    use = (size >= 0) & (code[image] >= 0)
    cell, number = (code[image[use]], size[use]), number[use]
    sphere_mm3 = np.pi / 6 * (esd_um[use] / 1000) ** 3
    sums = {"count": _sum(cell, number, len(steps)), "biovolume": _sum(cell, number * sphere_mm3, len(steps))}
    litres = np.where(bins["volume_m3"] > 0, bins["volume_m3"] * 1000, np.nan)[:, None]
    return Bins(bins, CLASSES, {kind: total / litres for kind, total in sums.items()})


def _sum(cell, values, n_bins):
    """Values added up by bin and class."""
    total = np.zeros((n_bins, len(CLASSES)))
    np.add.at(total, cell, values)
    return total


def _rows(groups, steps, about):
    """One row per layer or hour."""
    means = groups.agg(images=("images", "sum"), depth=("depth", "mean"), time=("time", "mean")).drop(
        -1, errors="ignore"
    )
    rows = standard_columns(pd.DataFrame(index=range(len(steps))))
    known = {name: about[name] for name in (*rows, "file", "folder", "line") if not _is_nothing(about.get(name))}
    rows = rows.assign(**known, fault=about.get("fault", ""))
    if about["by_depth"]:
        rows["depth"] = (np.asarray(steps, dtype=float) + 0.5) * LAYER_M
        rows["time"] = pd.Series(means["time"].to_numpy(), index=rows.index).fillna(about.get("time", pd.NaT))
    else:
        rows["depth"], rows["time"] = means["depth"].to_numpy(), pd.DatetimeIndex(steps) + pd.Timedelta(minutes=30)
    return rows.assign(volume_m3=means["images"].to_numpy() * about["volume_l"] / 1000)


def _is_nothing(value):
    return value is None or (isinstance(value, float) and np.isnan(value))
