"""Samples and the records of a station: a buoy in a lake, a mooring, a gauge."""

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from .. import schema
from ..grids.geometry import chord_to_km, unit_vectors
from .dates import utc_times
from .reasons import join_reasons

_LONGEST_DAYS = 1e5  # 274 years: what datetime64 can add to any of our dates
_RECORD = ("station", "distance_km", "days", "reason")


def join_series(samples, series, *, station="station", max_km=5.0, max_days=1.0):
    """
    Give each sample the values that its station recorded nearest in time.

    Lakes have no cell in a grid of the sea, and few grids of their own; what is known of their water is the series of a
    buoy or of a monitoring programme.

    Parameters
    ----------
    samples : pandas.DataFrame
        With `time`, and with the column that names the station or with `latitude` and `longitude`.
    series : pandas.DataFrame
        A row for each record, with `time`, and likewise. Its other numeric columns are the values, but for those that
        the vocabulary names (`depth`, ...) and the name of the station.
    station : str
        Column that names the station. Where both tables have it, samples meet the station of their name; else the
        nearest one on the sphere. A station of several positions stands in their middle; without names every position
        is a station of its own.
    max_km : float
        How far the nearest station may be; not asked of one of the same name.
    max_days : float
        How far in time the nearest record may be. Each value is taken from the nearest record that has it.

    Returns
    -------
    pandas.DataFrame
        A copy of `samples` with a column for each value and `match_station` (its name, or number in order of latitude
        and longitude), `match_distance_km` (NaN where positions are not given), `match_days` (of the value furthest
        off) and `match_reason` (empty where nothing is missing).

    Raises
    ------
    SchemaError
        If a column is absent, times are no datetimes, a station has two records at once, or a column of these names is
        there already.
    ValueError
        If `max_days` is negative.

    Examples
    --------
    >>> buoy = pd.DataFrame({"station": "Erken", "time": pd.date_range("2020-06-01", periods=3, freq="D")})
    >>> buoy["temperature"] = [14.0, np.nan, 15.0]
    >>> samples = pd.DataFrame({"station": ["Erken", "Vättern"], "time": pd.to_datetime("2020-06-02T18:00")})
    >>> join_series(samples, buoy)[["temperature", "match_days", "match_reason"]]
       temperature  match_days             match_reason
    0         15.0        0.25
    1          NaN         NaN  no station of this name
    """
    if not max_days >= 0:
        msg = f"max_days must be 0 or more; got {max_days}. With 0 a record must be of the sample's very time."
        raise ValueError(msg)
    by_name = station in samples.columns and station in series.columns
    _check(samples, series, () if by_name else ("latitude", "longitude"))
    values = _values(samples, series, station)
    stations, owner = _stations(series, station)
    if by_name:
        at, lost = stations["name"].pipe(pd.Index).get_indexer(samples[station]), "no station of this name"
    else:
        at, lost = _nearest(samples, stations, max_km), f"no station within {max_km:g} km"
    asked = pd.DataFrame({"owner": at, "time": utc_times(samples["time"])})
    faults = {lost: at < 0, "time is missing": asked["time"].isna().to_numpy() & (at >= 0)}
    usable = ~np.any([*faults.values()], axis=0)
    columns, days = {}, np.full(len(samples), np.nan)
    for name in values:
        measured = series[name].to_numpy(dtype=float, na_value=np.nan)
        known = pd.DataFrame({"owner": owner, "time": utc_times(series["time"]), "value": measured}).dropna()
        _check_doubles(known, stations, name, station)
        columns[name], off = _nearest_in_time(asked[usable], known, max_days).reindex(asked.index).to_numpy().T
        days = np.fmax(days, off)
        faults[f"no {name} within {max_days:g} days"] = usable & np.isnan(columns[name])
    names = stations["name"]
    names = names.astype("Int64") if names.dtype.kind in "iu" else names  # NaN would make numbers of names
    record = {"station": names.reindex(at).array, "distance_km": _distance_km(samples, stations, at)}
    record |= {"days": days, "reason": join_reasons(faults)}
    return samples.assign(**columns, **{f"match_{name}": record[name] for name in _RECORD})


def _check(samples, series, required):
    for table, what in ((samples, "the table of samples"), (series, "the table of records")):
        schema.require_columns(table, ["time", *required], what=what)
        schema.check(table, required=required)


def _values(samples, series, station):
    """Columns of a table of records that hold what was measured."""
    values = [
        name
        for name in series.select_dtypes("number", exclude="timedelta")
        if name not in {*schema.VOCABULARY, station}
    ]
    if not values:
        msg = f"the table of records has no numeric column of values; its columns are: {', '.join(map(str, series))}."
        raise schema.SchemaError(msg)
    schema.refuse_columns(samples, [*values, *(f"match_{name}" for name in _RECORD)])
    return values


def _stations(series, station):
    """Name and middle (on the unit sphere) of each station, and the station of each record."""
    named = station in series.columns
    if named:
        schema.require_known(series, [station])
    groups = series.groupby([station] if named else ["latitude", "longitude"])
    owner, n = groups.ngroup().to_numpy(), groups.ngroups
    stations = pd.DataFrame({"name": groups[station].first().array if named else np.arange(n)})
    middle = np.full((n, 3), np.nan)
    if {"latitude", "longitude"} <= set(series.columns):
        total = np.stack([np.bincount(owner, part, n) for part in np.nan_to_num(_vectors(series)).T], axis=1)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        middle = total / np.where(length > 0, length, np.nan)
    return stations.assign(**dict(zip("xyz", middle.T, strict=True))), owner


def _vectors(table):
    return unit_vectors(*(table[name].to_numpy(dtype=float, na_value=np.nan) for name in ("latitude", "longitude")))


def _nearest(samples, stations, max_km):
    """Row of the nearest station, -1 where it is too far."""
    chord, row = cKDTree(stations[["x", "y", "z"]].to_numpy()).query(_vectors(samples))
    return np.where(chord_to_km(chord) <= max_km, row, -1)


def _distance_km(samples, stations, at):
    if not {"latitude", "longitude"} <= set(samples.columns):
        return np.full(len(samples), np.nan)
    middle = stations[["x", "y", "z"]].reindex(at).to_numpy()
    return chord_to_km(np.linalg.norm(_vectors(samples) - middle, axis=1))


def _check_doubles(known, stations, name, station):
    doubled = known[known.duplicated(["owner", "time"])]
    if len(doubled):
        first = doubled.iloc[0]
        msg = (
            f"each station may have one {name} at a time; {len(doubled)} records are more, the first of "
            f"{stations['name'][first['owner']]!r} at {first['time']}. Choose one depth, or average them: "
            f"series.groupby([{station!r}, 'time'], as_index=False).mean(numeric_only=True)."
        )
        raise schema.SchemaError(msg)


def _nearest_in_time(asked, known, max_days):
    """The value nearest in time at the station of each sample, and how many days off it is."""
    pairs = pd.merge_asof(
        asked.reset_index().sort_values("time", kind="stable"),
        known.assign(at=known["time"]).sort_values("time", kind="stable"),
        on="time",
        by="owner",
        direction="nearest",
        tolerance=pd.Timedelta(days=min(max_days, _LONGEST_DAYS)),
    ).set_index("index")
    return pairs[["value"]].assign(days=(pairs["time"] - pairs["at"]).abs() / pd.Timedelta(days=1))
