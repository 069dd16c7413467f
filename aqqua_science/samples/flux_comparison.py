"""Fluxes from size spectra beside those of sediment traps, at the same place, depth and season."""

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from ..grids.geometry import chord_to_km, unit_vectors
from ..schema import require_columns, require_known
from .flux_laws import LAWS
from .martin import MARTIN_B, martin_curve
from .particles import sinking_flux, size_spectrum
from .traps import MONTHLY_DAYS

LEVELS = (0.16, 0.5, 0.84)
"""Quantiles that are told: two thirds of the values lie between the outer ones, as within a standard deviation."""

MEDIAN = "median of laws"
"""What the laws say together, as if it were one more."""

_PLACE = ["sample_id", "time", "latitude", "longitude", "depth"]


def compare_fluxes(
    particles, traps, *, horizon, site, laws=None, window="common", within=0.1, radius_km=200.0, months=1, b=MARTIN_B
):
    """
    Put the flux of carbon from size spectra beside that of traps nearby in the same season.

    Parameters
    ----------
    particles : pandas.DataFrame
        Size classes of profiles, as of `sources.ecopart.read_particles`, with a column `site`.
    traps : pandas.DataFrame
        Deployments, as of `samples.traps.trap_fluxes`.
    horizon : float
        Depth of the comparison, m.
    site : str
        Column that tells places apart.
    laws, window
        As in `samples.sinking_flux` and `samples.size_spectrum`.
    within : float
        Share of `horizon` by which the middle of a layer of water may lie above or below it.
    radius_km : float
        How far a trap may be from the nearest profile.
    months : int
        How many months of the year a deployment may lie from the nearest profile, by its middle.
    b : float
        Exponent of the Martin curve along which deployments, of half to three times the horizon, are brought there.

    Returns
    -------
    pandas.DataFrame
        One row per site and law, and for the median of the laws: ``site``, ``law``, ``n_profiles``, ``flux_mg_m2_d``
        (median of the profiles, each the mean of its layers by volume) with ``flux_low`` and ``flux_high`` (16 and
        84 %); the same of deployments, ``n_traps``, ``trap_mg_m2_d``, ``trap_low``, ``trap_high``, and their median
        ``trap_depth``, m; ``ratio`` of the two medians. NaN where there is no profile or no deployment.

    Raises
    ------
    SchemaError
        If a column is absent, or a row has no site, time or position; as in `samples.size_spectrum`.
    ValueError
        As in `samples.sinking_flux`.

    Notes
    -----
    Deployments of more than 45 days speak for no month and are left out. Years need not be the same: the comparison is
    of climatologies. A profile is a snapshot, while a trap collects for days.

    References
    ----------
    Those of `samples.flux_laws.LAWS`; Martin et al. 1987, Deep-Sea Res. 34, 267-285.

    Examples
    --------
    >>> where = {"latitude": 30.0, "longitude": -60.0}
    >>> particles = pd.DataFrame({"sample_id": "a", "time": pd.Timestamp("2015-05-02"), "depth": [100.0], **where})
    >>> particles = particles.assign(esd_min_um=500.0, esd_max_um=2000.0, concentration_m3=1000.0, volume_m3=1.0)
    >>> start = pd.to_datetime(["2000-05-02"])
    >>> traps = pd.DataFrame({"depth": [100.0], "time_start": start, "flux_mg_m2_d": [25.0], **where})
    >>> traps["time_end"] = start + pd.Timedelta(days=10)
    >>> options = {"horizon": 100, "laws": ["guidi2008"], "window": None}
    >>> found = compare_fluxes(particles.assign(site="BATS"), traps, site="site", **options)
    >>> found[["law", "n_profiles", "flux_mg_m2_d", "n_traps", "ratio"]].values.tolist()[0]
    ['guidi2008', 1, 12.5, 1, 0.5]
    """
    require_columns(particles, [*_PLACE, site], what="particles")
    require_known(particles, [*_PLACE, site])
    require_columns(traps, ["latitude", "longitude", "depth", "time_start", "time_end", "flux_mg_m2_d"], what="traps")
    days = (traps["time_end"] - traps["time_start"]) / pd.Timedelta(days=1)
    traps = traps[traps["depth"].between(horizon / 2, 3 * horizon) & (days <= MONTHLY_DAYS)]
    names = list(LAWS.index if laws is None else laws.index if isinstance(laws, pd.DataFrame) else laws)
    particles = particles.astype({site: "category"})
    particles = particles[particles["depth"].between((1 - within) * horizon, (1 + within) * horizon)]
    rows = []
    for name, part in particles.groupby(site, observed=False):
        flux = _profiles(part, names, laws=laws, window=window)
        beside = _nearby(traps, part, radius_km=radius_km, months=months)
        there = beside["flux_mg_m2_d"] / martin_curve(beside["depth"], 1.0, b=b, depth_ref=horizon)
        trap = _summary(there, "trap") | {"trap_depth": beside["depth"].median()}
        for law in flux:
            row = {site: name, "law": law, **_summary(flux[law], "flux"), **trap}
            rows.append(row | {"ratio": row["flux_mg_m2_d"] / row["trap_mg_m2_d"]})
    return pd.DataFrame(rows).rename(columns={"n_flux": "n_profiles", "n_trap": "n_traps"})


def _profiles(particles, names, *, laws, window):
    """Flux of each profile by each law: the mean of its layers, which weigh by the volume that was looked at."""
    if particles.empty:
        return pd.DataFrame(columns=[*names, MEDIAN], dtype=float)
    spectrum = size_spectrum(particles, window=window)
    flux = sinking_flux(spectrum, laws=laws).rename(columns={f"{name}_mg_m2_d": name for name in names})
    profile, volume = flux["sample_id"], pd.Series(spectrum["volume_m3"].to_numpy())
    amounts = flux[names].mul(volume, axis=0).groupby(profile).sum(min_count=1)
    means = amounts / flux[names].notna().mul(volume, axis=0).groupby(profile).sum()
    return means.assign(**{MEDIAN: means.median(axis=1)})


def _nearby(traps, particles, *, radius_km, months):
    """Deployments near a profile, in place and in the months of the year."""
    if particles.empty or traps.empty:
        return traps.iloc[:0]
    profiles = particles.drop_duplicates(["sample_id", "time"])
    chord, _ = cKDTree(_vectors(profiles)).query(_vectors(traps))
    middle = traps["time_start"] + (traps["time_end"] - traps["time_start"]) / 2
    apart = (middle.dt.month.to_numpy()[:, None] - profiles["time"].dt.month.to_numpy()) % 12
    in_season = (np.minimum(apart, 12 - apart) <= months).any(axis=1)
    return traps[(chord_to_km(chord) <= radius_km) & in_season]


def _vectors(table):
    return unit_vectors(*(table[name].to_numpy(dtype=float) for name in ("latitude", "longitude")))


def _summary(values, name):
    """How many there are, their median and their spread."""
    low, middle, high = values.quantile(LEVELS)
    return {f"n_{name}": int(values.count()), f"{name}_mg_m2_d": middle, f"{name}_low": low, f"{name}_high": high}
