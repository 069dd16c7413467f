"""Bins in long form: one row per volume of water and size class or taxon, per cubic metre."""

import numpy as np
import pandas as pd

from aqqua_science.sources.uvp_sizes import esd_from_pixels

BIN_COLUMNS = (
    *("sample_id", "cruise", "project", "instrument", "time", "latitude", "longitude"),
    *("depth", "depth_min", "depth_max", "volume_m3"),
)
"""What every row tells of its volume of water."""

OPTICS = ("aa", "exp", "file", "profile", "rawfile")
"""What is needed beside, to make rows."""

_ABSENT = {"", "no data available"}


def long_particles(bins, accepted, start):
    """
    Make one row per bin and size class that was looked at.

    Parameters
    ----------
    bins : Bins
    accepted : pandas.DataFrame
        Its bins that can be used.
    start : int
        Index in `accepted` of the first bin of `bins`.

    Returns
    -------
    pandas.DataFrame
    """
    count = bins.values["count"][accepted.index - start]
    low, high = np.array(bins.keys, dtype=float).reshape(-1, 2).T
    invisible = (high[None, :] <= _pixel_esd(accepted)[:, None]) & (count == 0)
    row, column = np.nonzero(np.isfinite(count) & ~invisible)
    return _rows(accepted, row).assign(
        esd_min_um=low[column],
        esd_max_um=high[column],
        concentration_m3=1000 * count[row, column],
        biovolume_mm3_m3=1000 * bins.values["biovolume"][accepted.index - start][row, column],
        file=accepted["file"].to_numpy()[row],
    )


def _pixel_esd(accepted):
    """Diameter of a particle of one pixel in each bin, um; 0 where the instrument's calibration is not known."""
    aa, exp = (accepted[name].to_numpy(dtype=float) for name in ("aa", "exp"))
    known = (aa > 0) & (aa < 1) & (exp > 0)
    found = np.zeros(len(accepted))
    for pair in set(zip(aa[known].tolist(), exp[known].tolist(), strict=True)):
        found[(aa == pair[0]) & (exp == pair[1])] = esd_from_pixels(1, aa=pair[0], exp=pair[1])
    return found


def _rows(accepted, row):
    """The bins, repeated."""
    return pd.DataFrame({name: accepted[name].to_numpy()[row] for name in BIN_COLUMNS})


def long_zooplankton(bins, accepted, start):
    """
    Make one row per bin and taxon.

    Parameters
    ----------
    bins, accepted, start
        As in `long_particles`.

    Returns
    -------
    pandas.DataFrame
    """
    count, volume, esd = (bins.values[kind][accepted.index - start].ravel() for kind in ("count", "biovolume", "esd"))
    count = np.where(np.isnan(count), 0.0, count)
    row = np.repeat(np.arange(len(accepted)), len(bins.keys))
    lineage = np.tile(np.array(bins.keys, dtype=object), len(accepted))
    return _rows(accepted, row).assign(
        taxon=[name.rpartition(">")[2].strip() for name in lineage],
        lineage=lineage,
        concentration_m3=count,
        biovolume_mm3_m3=1000 * np.where(np.isnan(volume) & (count == 0), 0.0, volume),
        esd_um=1000 * np.where(count > 0, esd, np.nan),
        file=accepted["file"].to_numpy()[row],
    )


def absent_profiles(profiles, accepted, refused, *, kind):
    """
    List the profiles that the metadata announce with a table, but that no table has.

    Parameters
    ----------
    profiles : pandas.DataFrame
        As `read_profiles` gives them.
    accepted, refused : pandas.DataFrame
        Bins of all tables.
    kind : str
        "particles" or "plankton".

    Returns
    -------
    pandas.DataFrame
        ``sample_id``, ``file`` and ``reason``.
    """
    present = {pair for table in (accepted, refused) if len(table) for pair in _pairs(table)}
    announced = ~profiles[kind].str.lower().isin(_ABSENT) & (profiles["profile"] != "")
    seen = [pair in present or (pair[0], "") in present for pair in _pairs(profiles)]
    absent = profiles[announced & ~np.array(seen, dtype=bool)].drop_duplicates(["profile", "rawfile"])
    reason = "listed in the metadata, but no table has it: " + absent["profile"] + " " + absent["rawfile"]
    about = {name: absent[name] for name in ("cruise", "project", "instrument", "time", "latitude", "longitude")}
    return pd.DataFrame({"file": absent[kind], "line": 0, "sample_id": absent["profile"], **about, "reason": reason})


def _pairs(table):
    """Profile and raw file of each row, the latter as EcoPart's database has it."""
    return list(zip(table["profile"], table["rawfile"].str.removeprefix("HDR"), strict=True))
