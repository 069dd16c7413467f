"""Volumes of water, each with a number for every size class or taxon: what all exports of EcoPart are brought to."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aqqua_science import schema
from aqqua_science.sources.ecopart_metadata import find_profile, standard_columns
from aqqua_science.sources.ecopart_tables import to_numbers
from aqqua_science.sources.instruments import instrument_name

LAYER_M = 5.0
"""Thickness of EcoPart's layers, whose middles are at 2.5, 7.5 ... m."""

_FIRST_YEARS = {"UVP5": 2007, "UVP6": 2017}
_NO_LIST = "there is no list of profiles: *_Export_metadata_summary.tsv or metadata/samples.tsv"
_KEY = ["profile", "rawfile", "time", "depth"]
_ABOUT = ("cruise", "project", "instrument", "time", "latitude", "longitude", "aa", "exp")


@dataclass(frozen=True)
class Bins:
    """
    The bins of one table.

    Attributes
    ----------
    about : pandas.DataFrame
        One row per bin: ``file``, ``folder``, ``line``, ``profile``, ``rawfile``, ``project``, ``time``, ``depth``,
        ``volume_m3``, what else the table knows under the names of `read_profiles`, and ``fault``.
    keys : list
        Size classes or taxa.
    values : dict of str to numpy.ndarray
        ``count``, ``biovolume`` and ``esd`` -> (bins, keys), in the units of the file.
    """

    about: pd.DataFrame
    keys: list
    values: dict


def bins_of_table(table, measures, *, name):
    """
    Make bins of a table of EcoPart's.

    Parameters
    ----------
    table : pandas.DataFrame of str
        As `load_table` gives it.
    measures : list of Measure
        Its size classes or taxa.
    name : str
        Of the file.

    Returns
    -------
    Bins

    Raises
    ------
    SchemaError
        If it has no such column, no depth or no sampled volume.
    """
    schema.require_columns(table, ["Depth [m]", "Sampled volume [L]"], what=name)
    if not measures:
        msg = f"{name} has no column of size classes or taxa. Its columns are: {', '.join(table.columns[:8])} ..."
        raise schema.SchemaError(msg)
    about = standard_columns(table).assign(
        file=name,
        folder=name.rpartition("/")[0],
        line=table.index,
        depth=to_numbers(table["Depth [m]"]),
        volume_m3=to_numbers(table["Sampled volume [L]"]) / 1000,
    )
    kinds = ("count", "biovolume", "esd")
    values = {kind: _matrix(table, [measure.columns.get(kind) for measure in measures]) for kind in kinds}
    about["fault"] = _fault(values)
    return Bins(about.reset_index(drop=True), [measure.key for measure in measures], values)


def _matrix(table, columns):
    """Columns as numbers; NaN for those that there are none of."""
    present = [name for name in columns if name is not None]
    numbers = _numbers(table[present])
    found = np.full((len(table), len(columns)), np.nan)
    found[:, [i for i, name in enumerate(columns) if name is not None]] = numbers
    return found


def _numbers(table):
    """All of a table as numbers, at once where it has nothing strange."""
    texts = table.to_numpy(dtype=object)
    try:
        return np.where(texts == "", "nan", texts).astype(float)
    except ValueError:
        return table.apply(to_numbers).to_numpy(dtype=float)


def _fault(values):
    """Why the numbers of a bin cannot be used."""
    fault = np.full(len(values["count"]), "", dtype=object)
    for kind, numbers in values.items():
        fault[np.isinf(numbers).any(axis=1)] = f"a {kind} is not a number"
        fault[(numbers < 0).any(axis=1)] = f"a {kind} is negative"
    return fault


def complete(bins, profiles):
    """
    Add to bins what the lists of profiles know of them, and the layer they cover.

    Parameters
    ----------
    bins : pandas.DataFrame
        As `Bins.about`.
    profiles : pandas.DataFrame
        As `read_profiles` gives them.

    Returns
    -------
    pandas.DataFrame
        With ``depth_min`` and ``depth_max`` (NaN in time series, whose depth is a mean), ``instrument`` under our name,
        and ``fault``.
    """
    bins = bins.copy()
    names = ["folder", "profile", "rawfile", "project"]
    unplaced = bins["latitude"].isna() | bins["longitude"].isna()
    wanted = bins.loc[unplaced, names].drop_duplicates().reset_index(drop=True)
    found, faults = _look_up(wanted, profiles)
    row = bins[names].merge(wanted.reset_index(), on=names, how="left")["index"].to_numpy()
    known = unplaced.to_numpy() & ~np.isnan(row)
    for name in _ABOUT:
        empty = known & (bins[name].isna() | (bins[name] == "")).to_numpy()
        bins.loc[empty, name] = found[name].to_numpy()[row[empty].astype(int)]
    fresh = known & (bins["fault"] == "").to_numpy()
    bins.loc[fresh, "fault"] = faults[row[fresh].astype(int)]
    bins["instrument"] = bins["instrument"].map({text: instrument_name(text) for text in bins["instrument"].unique()})
    _fault_years(bins)
    return bins.assign(**_layers(bins))


def _look_up(wanted, profiles):
    """What the lists say of some profiles, one row each, and what is wrong with them."""
    by_name, none = dict(list(profiles.groupby("profile"))), profiles.iloc[:0]
    asked = wanted.to_dict("records")
    found = [find_profile(by_name.get(one["profile"], none), **one) for one in asked]
    if profiles.empty:
        found = [({}, _NO_LIST)] * len(asked)
    table = standard_columns(pd.DataFrame(index=range(len(asked))))
    for name in _ABOUT:
        table[name] = pd.Series(
            [one.get(name, table[name].iloc[i]) for i, (one, _) in enumerate(found)], dtype=table[name].dtype
        )
    return table, np.array([fault for _, fault in found], dtype=object)


def _fault_years(bins):
    """A date before there was such an instrument is that of a clock that nobody set."""
    first = bins["instrument"].map(_FIRST_YEARS)
    early = (bins["time"].dt.year < first) & (bins["fault"] == "")
    shown = bins["time"][early].dt.strftime("%Y-%m-%d") + " is before the first " + bins["instrument"][early]
    bins.loc[early, "fault"] = "time " + shown


def _layers(bins):
    """Bounds of the layers of profiles whose depths are all middles of one."""
    off = (bins["depth"] - LAYER_M / 2) % LAYER_M
    is_middle = np.isclose(off, 0, atol=1e-6) | np.isclose(off, LAYER_M, atol=1e-6)
    series = [bins[name] for name in ("file", "profile", "rawfile")]
    # A time series may hang at the middle of a layer, but comes back to it.
    is_middle &= ~bins.duplicated(["file", "profile", "rawfile", "depth"], keep=False).to_numpy()
    layered = pd.Series(is_middle, index=bins.index).groupby(series).transform("all")
    half = np.where(layered, LAYER_M / 2, np.nan)
    return {"depth_min": bins["depth"] - half, "depth_max": bins["depth"] + half}


def screen_bins(bins):
    """
    Tell which bins can be used.

    Parameters
    ----------
    bins : pandas.DataFrame
        As `complete` gives them, of all tables.

    Returns
    -------
    accepted, rejected : pandas.DataFrame
        Together all rows; `rejected` has a column ``reason``. A bin that two exports hold is accepted once.
    """
    good = bins["fault"] == ""
    required = ("latitude", "longitude", "time", "depth", "volume_m3")
    accepted, rejected = schema.screen(bins[good], required=required, unique=_KEY)
    return accepted, pd.concat([bins[~good].assign(reason=bins.loc[~good, "fault"]), rejected])
