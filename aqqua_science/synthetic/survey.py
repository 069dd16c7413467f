"""A survey of a virtual ocean: cruises that go where cruises go, and counts that are only counts."""

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from aqqua_science.grids.geometry import EARTH_RADIUS_KM, unit_vectors

INDIVIDUAL_CARBON_MG = 0.05
"""Carbon of every individual of a virtual ocean, mg."""

_STATIONS_PER_CRUISE = (12, 40)
_DAYS_BETWEEN_STATIONS = 3
_KM_BETWEEN_STATIONS = 200.0
_MIDSUMMER = {"north": 196.0, "south": 13.5}
_TURNS = np.radians([0, 0, 30, -30, 60, -60, 90, -90, 120, -120, 150, -150, 180])


def sample_ocean(
    ocean, *, n_samples=600, preference=0.0, summer=0.0, cruise_gain_sd=0.0, shared_gain_sd=0.0, rng=0
):  # fmt: skip
    """
    Sample a virtual ocean along cruise tracks.

    Cruises start 16 times as densely in a North Atlantic box (25-65 N, 70 W-0) and half as densely south of
    40 S as elsewhere, and wander over the sea in steps of about 200 km and three days. Unless `preference` is given,
    where they go knows nothing of the biomass. Counts are made as in `survey.sample_stations`.

    Parameters
    ----------
    ocean : xarray.Dataset
        From `virtual_ocean`.
    n_samples : int
    preference : float
        Cruises seek water that is richer than its environment explains: the density of samples is multiplied by
        exp(`preference` z), z the residual's logarithm over its standard deviation. The mean of z at the samples is
        then about `preference`, for a residual whose logarithm is Gaussian.
    summer : float
        Concentration of a von Mises distribution of the middle of cruises around midsummer; at 0 they sail in every
        season alike, at 1.5 seven of eight have it in the summer half of the year.
    cruise_gain_sd, shared_gain_sd : float
        As in `survey.sample_stations`.
    rng : int or numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        One row per sample: `sample_id`, `cruise`, `time`, `month`, `latitude`, `longitude`, `depth` (m, middle of the
        sampled layer), `volume_m3`, `count` and `biomass_mg_m3` (carbon), which is count times
        `INDIVIDUAL_CARBON_MG` over volume.

    Raises
    ------
    ValueError
        If `n_samples` is less than 1, or `summer` or a standard deviation is negative.

    Notes
    -----
    A cruise with a preference starts where the density says, goes on by the rule of Metropolis et al. (1953, Journal of
    Chemical Physics 21: 1087-1092) and turns round where that tells it to stay.

    Examples
    --------
    >>> from aqqua_science.synthetic import virtual_ocean
    >>> samples = sample_ocean(virtual_ocean(step=10, n_months=1), n_samples=100)
    >>> len(samples), samples["sample_id"].is_unique
    (100, True)
    """
    if n_samples < 1:
        msg = f"n_samples must be at least 1; got {n_samples}."
        raise ValueError(msg)
    _require_no_less_than_zero(summer=summer)
    rng = np.random.default_rng(rng)
    stations = _stations(ocean, n_samples, rng, preference=preference, summer=summer)
    return sample_stations(ocean, stations, cruise_gain_sd=cruise_gain_sd, shared_gain_sd=shared_gain_sd, rng=rng)


def sample_stations(ocean, stations, *, cruise_gain_sd=0.0, shared_gain_sd=0.0, rng=0):
    """
    Sample a virtual ocean at given stations.

    A sample counts individuals of one size in a log-normal volume of the upper 200 m; the counts are negative binomial
    (dispersion 0.8-3 for a survey) around the true biomass of the cell times a gain, and the effort is such that
    20-40 % of them are expected to be zero.

    Parameters
    ----------
    ocean : xarray.Dataset
        From `virtual_ocean` or `ocean.populate`.
    stations : pandas.DataFrame
        `cruise`, `time`, `latitude`, `longitude`.
    cruise_gain_sd, shared_gain_sd : float
        Standard deviation of the logarithm of the gain of each cruise, and of one that all samples share: part caught,
        optics, conversion to carbon. Gains are log-normal and have mean one.
    rng : int or numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        As of `sample_ocean`.

    Raises
    ------
    ValueError
        If a station lies where the ocean has no biomass, or a standard deviation is negative.

    Examples
    --------
    >>> from aqqua_science.synthetic import virtual_ocean
    >>> time = pd.Timestamp("2020-07-01")
    >>> stations = pd.DataFrame({"cruise": ["a"], "time": [time], "latitude": [45.0], "longitude": [-30.0]})
    >>> sample_stations(virtual_ocean(step=10, n_months=1), stations)["month"].tolist()
    [7]
    """
    _require_no_less_than_zero(cruise_gain_sd=cruise_gain_sd, shared_gain_sd=shared_gain_sd)
    rng = np.random.default_rng(rng)
    stations = stations.assign(month=stations["time"].dt.month)
    biomass = _at(ocean["biomass"], stations).to_numpy()
    _require_water(stations, biomass)
    floor = _at(ocean["bathymetry"], stations).to_numpy()
    gains = _gains(stations["cruise"], cruise_gain_sd, shared_gain_sd, rng.spawn(1)[0])
    volume, count = _counts(gains * biomass, rng)
    return stations.assign(
        sample_id=[f"sample_{i:06d}" for i in range(len(stations))],
        depth=np.minimum(floor, 200.0) / 2,
        volume_m3=volume,
        count=count,
        biomass_mg_m3=count * INDIVIDUAL_CARBON_MG / volume,
    )[
        [
            *("sample_id", "cruise", "time", "month", "latitude", "longitude", "depth"),
            *("volume_m3", "count", "biomass_mg_m3"),
        ]
    ]


def residual_of(ocean):
    """
    Logarithm of the residual of a virtual ocean in standard deviations.

    Parameters
    ----------
    ocean : xarray.Dataset

    Returns
    -------
    xarray.DataArray (latitude, longitude)
        Of mean 0 over many oceans.
    """
    sd = ocean.attrs["residual_sd"]
    logarithm = np.log(ocean["biomass"] / ocean["expected_biomass"])
    if "month" in logarithm.dims:
        logarithm = logarithm.isel(month=0, drop=True)
    return (logarithm + sd**2 / 2) / sd if sd else logarithm


def _require_no_less_than_zero(**values):
    for name, value in values.items():
        if not value >= 0:
            msg = f"{name} must be 0 or more; got {value}. 0 leaves it out."
            raise ValueError(msg)


def _require_water(stations, biomass):
    dry = stations[np.isnan(biomass)]
    if len(dry):
        latitude, longitude = dry[["latitude", "longitude"]].iloc[0]
        msg = (
            f"stations must lie where the ocean has biomass; {len(dry)} of {len(stations)} do not, the first at "
            f"latitude {latitude}, longitude {longitude}. Leave them out."
        )
        raise ValueError(msg)


def _at(field, stations):
    """Values of a field in the cells (and months) of stations; the cell is that of the nearest centre."""
    keys = [name for name in ("month", "latitude", "longitude") if name in field.dims]
    where = {key: stations[key].to_xarray() for key in keys}
    return field.sel(where, method="nearest")


def _stations(ocean, n_samples, rng, *, preference, summer):
    """Times and places of the stations of as many cruises as `n_samples` take."""
    lengths = rng.integers(*_STATIONS_PER_CRUISE, size=n_samples // _STATIONS_PER_CRUISE[0] + 1, endpoint=True)
    lengths = lengths[: np.searchsorted(np.cumsum(lengths), n_samples) + 1]
    chart = _Chart(ocean, preference)
    latitude, longitude = _walk(chart, *_starts(chart, len(lengths), rng), lengths.max(), rng)
    first = _first_days(latitude[:, 0], lengths, summer, rng)
    days = first[:, None] + _DAYS_BETWEEN_STATIONS * np.arange(lengths.max())
    sailed = np.arange(lengths.max()) < lengths[:, None]
    cruise = np.broadcast_to(np.arange(len(lengths))[:, None], sailed.shape)
    time = pd.Timestamp("2008-01-01") + pd.to_timedelta(days[sailed][:n_samples], unit="D")
    return pd.DataFrame(
        {
            "cruise": [f"cruise_{i:03d}" for i in cruise[sailed][:n_samples]],
            "time": time,
            "latitude": latitude[sailed][:n_samples],
            "longitude": longitude[sailed][:n_samples],
        }
    )


def _first_days(latitude, lengths, summer, rng):
    """First day of each cruise within twelve years, any or such that its middle is near midsummer."""
    days = rng.integers(0, 12 * 365, len(lengths))
    if not summer:
        return days
    midsummer = np.where(latitude > 0, _MIDSUMMER["north"], _MIDSUMMER["south"])
    away = rng.spawn(1)[0].vonmises(0, summer, len(lengths)) * 365.25 / (2 * np.pi)
    return 365.25 * (days // 365) + midsummer + away - _DAYS_BETWEEN_STATIONS * (lengths - 1) / 2


class _Chart:
    """Which cells of a grid are sea and how they attract cruises, looked up by position."""

    def __init__(self, ocean, preference):
        self.latitude, self.longitude = ocean["latitude"].to_numpy(), ocean["longitude"].to_numpy()
        self.step = self.latitude[1] - self.latitude[0]
        self.is_sea = np.isfinite(ocean["bathymetry"].to_numpy())
        pull = preference * residual_of(ocean).to_numpy() if preference else np.zeros(self.is_sea.shape)
        self.pull = np.where(self.is_sea, pull, 0.0)

    def look_up(self, values, latitude, longitude):
        row = np.floor((latitude + 90) / self.step).astype(int).clip(0, len(self.latitude) - 1)
        column = np.floor((longitude + 180) / self.step).astype(int) % len(self.longitude)
        return values[row, column]


def _starts(chart, n_cruises, rng):
    """First station of each cruise: a random place in a random sea cell, drawn by area and attraction."""
    latitude, longitude = np.meshgrid(chart.latitude, chart.longitude, indexing="ij")
    is_atlantic = (latitude > 25) & (latitude < 65) & (longitude > -70) & (longitude < 0)
    attraction = np.where(is_atlantic, 16.0, np.where(latitude < -40, 0.5, 1.0))
    attraction = attraction * np.exp(chart.pull)
    density = (attraction * np.cos(np.radians(latitude)) * chart.is_sea).ravel()
    cell = rng.choice(density.size, n_cruises, p=density / density.sum())
    offset = chart.step * rng.uniform(-0.5, 0.5, (2, n_cruises))
    return latitude.ravel()[cell] + offset[0], longitude.ravel()[cell] + offset[1]


def _walk(chart, latitude, longitude, n_stations, rng):
    """Random great-circle walks of all cruises side by side, (cruise, station); a cruise turns where land is ahead."""
    track, whim = [(latitude, longitude)], rng.spawn(1)[0]
    heading = rng.uniform(0, 2 * np.pi, len(latitude))
    for _ in range(n_stations - 1):
        heading = heading + rng.normal(0, 0.4, len(heading))
        distance = _KM_BETWEEN_STATIONS * rng.lognormal(0, 0.3, len(heading))
        ahead = _travel(latitude[:, None], longitude[:, None], heading[:, None] + _TURNS, distance[:, None])
        is_open = chart.look_up(chart.is_sea, *ahead)
        choice = is_open.argmax(axis=1)
        row = np.arange(len(choice))
        there = ahead[0][row, choice], ahead[1][row, choice]
        gain = chart.look_up(chart.pull, *there) - chart.look_up(chart.pull, latitude, longitude)
        likes = whim.random(len(row)) < np.exp(gain)
        sails = is_open[row, choice] & likes
        heading = heading + _TURNS[choice] + np.where(likes, 0, np.pi)
        latitude, longitude = (np.where(sails, new, old) for new, old in zip(there, (latitude, longitude), strict=True))
        track.append((latitude, longitude))
    return np.stack(track, axis=-1)


def _travel(latitude, longitude, heading, distance_km):
    """Where a great circle of some length and initial heading (radians from north) ends, degrees."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi) * np.ones_like(lam)], axis=-1)
    east = np.stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)], axis=-1)
    ahead = np.cos(heading)[..., None] * north + np.sin(heading)[..., None] * east
    angle = (distance_km / EARTH_RADIUS_KM)[..., None]
    end = np.cos(angle) * unit_vectors(latitude, longitude) + np.sin(angle) * ahead
    return np.degrees(np.arcsin(end[..., 2].clip(-1, 1))), np.degrees(np.arctan2(end[..., 1], end[..., 0]))


def _gains(cruises, cruise_sd, shared_sd, rng):
    """Factor of each sample: its cruise's own times the one that all share."""
    codes, names = pd.factorize(cruises)
    own, shared = (rng.lognormal(-(sd**2) / 2, sd, n) for sd, n in ((cruise_sd, len(names)), (shared_sd, 1)))
    return own[codes] * shared


def _counts(biomass, rng):
    """Volumes, m3, and negative binomial counts whose mean is the biomass in them."""
    dispersion = rng.uniform(0.8, 3.0)
    relative = rng.lognormal(0, 0.6, len(biomass))
    abundance = biomass / INDIVIDUAL_CARBON_MG
    zeros = rng.uniform(0.2, 0.4)

    def surplus(log_effort):
        mean = abundance * relative * np.exp(log_effort)
        return np.mean((1 + mean / dispersion) ** -dispersion) - zeros

    volume = relative * np.exp(brentq(surplus, -30, 30))
    success = dispersion / (dispersion + abundance * volume)
    return volume, rng.negative_binomial(dispersion, success)
