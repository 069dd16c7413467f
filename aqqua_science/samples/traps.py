"""Carbon fluxes of sediment traps and thorium: cleaned, brought to one depth, and pooled by place and season."""

import re

import numpy as np
import pandas as pd

from ..schema import SchemaError, add_standard_names, nearest_name, require_columns, screen
from .flux_laws import CARBON_G_PER_MOL
from .martin import MARTIN_B, martin_curve

MONTHLY_DAYS, SEASONAL_DAYS = 45.0, 300.0
"""A deployment up to the first speaks for a month, up to the second for its season, beyond for the year only."""

THORIUM_DAYS = 24.1
"""Half-life of thorium-234: a single profile speaks for about so many days before it."""

ABOVE_FLOOR_M = 100.0
"""Within this height above the sea floor a trap also collects what was stirred up from it."""

_COVERED = 0.8
_HALF_MONTH_DAYS = 15.2
_NAMES = {
    "depth": r"depth( water)?( \[m\])?|trap_depth",
    "time_start": r"time_start|date/time( start)?|deployed",
    "time_end": r"time_end|date/time end|recovered|retrieved",
    "duration_days": r"duration( \[days?\]|_days)?",
    "flux": r"poc flux \[.*\]|flux_mg_m2_d",
    "sea_floor_depth": r"sea_floor_depth|bathy depth \[m\]|depth, bathymetric \[m\]",
    "elevation": r"elevation \[m a\.s\.l\.\].*",
    "method": r"method|type \(data type\)",
    "reference": r"reference.*",
}
_PER_UNIT = {"mg/m**2/day": 1.0, "g/m**2/day": 1e3, "g/m**2/a": 1e3 / 365.25}
_PER_UNIT |= {"mmol/m**2/day": CARBON_G_PER_MOL, "mol/m**2/a": 1e3 * CARBON_G_PER_MOL / 365.25}
_PER_UNIT |= {f"{micro}mol/m**2/day": 1e-3 * CARBON_G_PER_MOL for micro in "uµ"}
_KEPT = ["latitude", "longitude", "depth", "time_start", "time_end", "flux_mg_m2_d", "method", "sea_floor_depth"]


def trap_fluxes(table, *, columns=None):
    """
    Bring a table of deployments to one form, and set apart what cannot be used.

    Parameters
    ----------
    table : pandas.DataFrame
        Such as `read_pangaea` gives it: position, depth, begin and end (or duration) and flux of each deployment.
    columns : dict, optional
        Name here (depth, time_start, time_end, duration_days, flux, sea_floor_depth, method, reference) -> column of
        `table`, for tables that name them otherwise. A flux without a unit in [brackets] is taken as mg C m-2 d-1.

    Returns
    -------
    accepted : pandas.DataFrame
        ``latitude, longitude, depth`` (m), ``time_start, time_end``, ``flux_mg_m2_d`` (mg C m-2 d-1), ``method``
        ("trap" or "thorium"), ``sea_floor_depth`` and, where given, ``reference``.
    rejected : pandas.DataFrame
        The other rows as they were, with a ``reason``.

    Raises
    ------
    SchemaError
        If a column is not found, or the unit of the flux is not known.

    Notes
    -----
    Where the beginning or the end is missing, or they lie less than a day apart, the duration tells the end (or, from
    the end, the beginning). A thorium profile speaks for the 24.1 days before it (half-life of Th-234; Buesseler et al.
    1992, Deep-Sea Research 39, 1115-1137) and needs a single date. A deployment of which four fifths are covered by
    ones half as long at its place and depth is their summary and would count them twice. Traps within 100 m of the sea
    floor are left out, for what is stirred up there.

    Examples
    --------
    >>> table = pd.DataFrame({"Latitude": 30.0, "Longitude": -60.0, "Depth water [m]": [100, 100]})
    >>> table = table.assign(**{"Date/Time": "2000-05-01", "Duration [days]": 10, "POC flux [mg/m**2/day]": [30, None]})
    >>> accepted, rejected = trap_fluxes(table)
    >>> accepted["flux_mg_m2_d"].tolist(), rejected["reason"].tolist()
    ([30.0], ['no flux of organic carbon'])
    """
    table = table.reset_index(drop=True)
    found = _with_interval(_named(add_standard_names(table), dict(columns or {})))
    _, broken = screen(found)
    reasons = broken["reason"].reindex(table.index).fillna("")
    for reason, rows in _faults(found).items():
        reasons = reasons.mask((reasons == "") & rows, reason)
    doubled = found[reasons == ""].duplicated(
        ["latitude", "longitude", "depth", "time_start", "time_end", "flux_mg_m2_d"]
    )
    reasons[doubled[doubled].index] = "the same deployment stands earlier in the table"
    covered = _covered(found[reasons == ""])
    reasons[covered] = "shorter deployments at this place and depth cover it"
    kept = [*_KEPT, *(["reference"] if "reference" in found else [])]
    rejected = table[reasons != ""].assign(reason=reasons[reasons != ""])
    return found.loc[reasons == "", kept].reset_index(drop=True), rejected.reset_index(drop=True)


def pool_fluxes(fluxes, *, horizon, between=None, b=MARTIN_B, cell_degrees=1.0):
    """
    Bring fluxes to one depth, and pool those of one cell, season and depth.

    Sites that were visited a hundred times would otherwise outweigh all others, and random folds would test a model on
    what it has seen.

    Parameters
    ----------
    fluxes : pandas.DataFrame
        Of `trap_fluxes`.
    horizon : float
        Depth that the fluxes are brought to by the Martin curve, m.
    between : tuple of float, optional
        Depths that are used, m; by default from half of `horizon` to three times it.
    b : float
        Exponent of the Martin curve.
    cell_degrees : float
        Size of the cells in which fluxes are pooled.

    Returns
    -------
    pandas.DataFrame
        One row per cell, months and half octave of depth: mean ``latitude, longitude, trap_depth`` (m), ``month`` and
        ``n_months`` (the first month, and over how many the flux is a mean: 1 up to 45 days, 12 beyond 300, in between
        those of which the deployment has the larger part),
        ``flux_mg_m2_d`` at `horizon` (mean weighted by days), ``n_deployments``, ``days`` and ``contributors`` (the
        references).

    Raises
    ------
    SchemaError
        If a column is absent, or no flux lies between the depths.

    References
    ----------
    Martin et al. 1987, Deep-Sea Res. 34, 267-285.

    Examples
    --------
    >>> start = pd.to_datetime(["2000-05-02", "2001-05-05"])
    >>> fluxes = pd.DataFrame({"latitude": 30.2, "longitude": -60.1, "depth": 100.0, "time_start": start})
    >>> fluxes = fluxes.assign(time_end=start + pd.Timedelta(days=10), flux_mg_m2_d=[20.0, 40.0], method="trap")
    >>> pool_fluxes(fluxes, horizon=100)[["month", "n_months", "flux_mg_m2_d", "n_deployments"]].values.tolist()
    [[5.0, 1.0, 30.0, 2.0]]
    """
    require_columns(fluxes, ["latitude", "longitude", "depth", "time_start", "time_end", "flux_mg_m2_d"])
    top, bottom = between or (horizon / 2, 3 * horizon)
    used = fluxes[fluxes["depth"].between(top, bottom)]
    if used.empty:
        span = f"{fluxes['depth'].min():g} to {fluxes['depth'].max():g} m"
        msg = f"no flux was measured between {top:g} and {bottom:g} m; the depths run from {span}. Widen `between`."
        raise SchemaError(msg)
    days = (used["time_end"] - used["time_start"]) / pd.Timedelta(days=1)
    rows = used.assign(
        flux_mg_m2_d=used["flux_mg_m2_d"] / martin_curve(used["depth"], 1.0, b=b, depth_ref=horizon),
        days=days.clip(lower=1.0),
        trap_depth=used["depth"].astype(float),
        **_months(used, days),
    )
    keys = {
        "row": np.floor(rows["latitude"] / cell_degrees),
        "column": np.floor(((rows["longitude"] + 180) % 360 - 180) / cell_degrees),
        "level": np.round(2 * np.log2(rows["depth"] / horizon)),
    }
    groups = rows.assign(**keys).groupby([*keys, "month", "n_months"], sort=True)
    means = groups[["latitude", "longitude", "trap_depth"]].mean()
    weighted = (rows["flux_mg_m2_d"] * rows["days"]).groupby(groups.ngroup()).sum().to_numpy()
    pooled = means.assign(n_deployments=groups.size(), days=groups["days"].sum())
    pooled["flux_mg_m2_d"] = weighted / pooled["days"]
    if "reference" in rows:
        pooled["contributors"] = groups["reference"].agg(
            lambda names: "; ".join(sorted(set(names.dropna().astype(str))))
        )
    return pooled.reset_index().drop(columns=list(keys))


def _named(table, columns):
    """The columns that matter, under our names."""
    for name in columns:
        if name not in _NAMES:
            msg = f"columns names {name!r}, which is none of {', '.join(_NAMES)}.{nearest_name(name, _NAMES)}"
            raise SchemaError(msg)
    require_columns(table, columns.values())
    for name, pattern in _NAMES.items():
        matching = [c for c in table.columns if re.fullmatch(pattern, str(c), re.IGNORECASE)]
        if matching:
            columns.setdefault(name, matching[0])
    for name in ("depth", "time_start", "flux"):
        if name not in columns:
            msg = (
                f"no column was recognised as {name}. Name it: columns={{{name!r}: ...}}; there are {list(table)[:20]}."
            )
            raise SchemaError(msg)
    require_columns(table, ["latitude", "longitude"])
    found = table[["latitude", "longitude"]].assign(**{name: table[column] for name, column in columns.items()})
    found["flux_mg_m2_d"] = pd.to_numeric(found["flux"], errors="coerce") * _factor(str(columns["flux"]))
    found["depth"] = pd.to_numeric(found["depth"], errors="coerce")
    if "sea_floor_depth" not in found:
        found["sea_floor_depth"] = (
            -pd.to_numeric(found.get("elevation"), errors="coerce") if "elevation" in found else np.nan
        )
    thorium = found["method"].astype(str).str.contains("234|thorium", case=False) if "method" in found else False
    return found.assign(method=np.where(thorium, "thorium", "trap"))


def _factor(column):
    """What turns a flux into mg C m-2 d-1, by the unit in the name of its column."""
    found = re.search(r"\[(.*)\]", column)
    if found and found[1] not in _PER_UNIT:
        msg = f"the unit of {column!r} is not known; known are {', '.join(_PER_UNIT)}. Convert the column first."
        raise SchemaError(msg)
    return _PER_UNIT[found[1]] if found else 1.0


def _with_interval(table):
    """Begin and end of each deployment."""
    start, end = (
        pd.to_datetime(table[name], errors="coerce", utc=True, format="mixed")
        .dt.tz_localize(None)
        .astype("datetime64[us]")
        if name in table
        else pd.Series(pd.NaT, table.index, dtype="datetime64[us]")
        for name in ("time_start", "time_end")
    )
    if "duration_days" in table:
        duration = pd.to_timedelta(pd.to_numeric(table["duration_days"], errors="coerce"), unit="D")
        duration = duration.astype("timedelta64[us]")
        start = start.fillna(end - duration)
        told = start + duration
        end = end.where(end.notna() & ~((end - start < pd.Timedelta(days=1)) & (told > end) & (end >= start)), told)
    thorium = table["method"] == "thorium"
    end = end.mask(thorium & end.isna(), start)
    start = start.mask(thorium & start.isna(), end)
    brief = thorium & (end - start < pd.Timedelta(days=THORIUM_DAYS))
    start = start.mask(brief, end - pd.Timedelta(days=THORIUM_DAYS))
    return table.assign(time_start=start, time_end=end)


def _faults(table):
    """Rows that cannot be used, by reason."""
    flux, depth, floor = table["flux_mg_m2_d"], table["depth"], pd.to_numeric(table["sea_floor_depth"], errors="coerce")
    return {
        "no flux of organic carbon": flux.isna(),
        "the flux is negative or infinite": (flux < 0) | np.isinf(flux),
        "no depth of the trap": ~(depth > 0),
        "no date": table["time_start"].isna() | table["time_end"].isna(),
        "it ends before it begins": table["time_end"] < table["time_start"],
        f"within {ABOVE_FLOOR_M:g} m of the sea floor, or below it": floor - depth < ABOVE_FLOOR_M,
    }


def _covered(table):
    """Index of long deployments that shorter ones at the same place and depth cover."""
    days = (table["time_end"] - table["time_start"]) / pd.Timedelta(days=1)
    place = table.groupby(["latitude", "longitude", "depth"], sort=False).ngroup()
    found, mixed = [], place.isin(place[days > MONTHLY_DAYS])
    for _, group in table[mixed].groupby(place[mixed], sort=False):
        for row in group.index[days[group.index] > MONTHLY_DAYS]:
            others = group[days[group.index] < days[row] / 2]
            if _shared_days(others, *table.loc[row, ["time_start", "time_end"]]) >= _COVERED * days[row]:
                found.append(row)
    return found


def _shared_days(deployments, begin, end):
    """Days between two dates on which there was a deployment, however many there were."""
    part = deployments.sort_values("time_start")[["time_start", "time_end"]].clip(lower=begin, upper=end)
    seen = part["time_end"].cummax().shift(fill_value=begin)
    fresh = part["time_end"] - np.maximum(part["time_start"], seen)
    return fresh.clip(lower=pd.Timedelta(0)).sum() / pd.Timedelta(days=1)


def _months(table, days):
    """First month and number of months that each deployment speaks for."""
    middle = (table["time_start"] + (table["time_end"] - table["time_start"]) / 2).dt.month
    half = pd.Timedelta(days=_HALF_MONTH_DAYS)
    first, last = (table["time_start"] + half).dt.month, (table["time_end"] - half).dt.month
    seasonal, yearly = days > MONTHLY_DAYS, days > SEASONAL_DAYS
    return {
        "month": middle.mask(seasonal, first).mask(yearly, 1),
        "n_months": (0 * middle + 1).mask(seasonal, (last - first) % 12 + 1).mask(yearly, 12),
    }
