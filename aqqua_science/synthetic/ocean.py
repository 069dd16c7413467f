"""A virtual ocean: seasonal environment, plankton that follows it imperfectly, and the true total."""

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import expit

from aqqua_science.grids.calendars import DAYS_OF_MONTH
from aqqua_science.grids.geometry import EARTH_RADIUS_KM, cell_area, chord_to_km, regular_grid, unit_vectors
from aqqua_science.grids.land import land_mask

PREDICTORS = ("temperature", "salinity", "nitrate", "oxygen", "chlorophyll", "mixed_layer_depth")
"""What the plankton of a virtual ocean respond to. Bathymetry only limits the water below a square metre."""

LAYER_M = (0.0, 200.0)
"""The layer whose mean the biomass is."""

_MG_PER_PG = 1e18
_LOG_SCALED = ("chlorophyll", "mixed_layer_depth")
_MONTHS = np.arange(1, 13)
_ATTRIBUTES = {
    "temperature": ("degC", "sea_water_temperature", "temperature, mean of 0-200 m"),
    "salinity": ("1", "sea_water_practical_salinity", "practical salinity, mean of 0-200 m"),
    "nitrate": ("mmol m-3", "mole_concentration_of_nitrate_in_sea_water", "nitrate, mean of 0-200 m"),
    "oxygen": (
        "mmol m-3",
        "mole_concentration_of_dissolved_molecular_oxygen_in_sea_water",
        "dissolved oxygen, mean of 0-200 m",
    ),
    "chlorophyll": ("mg m-3", "mass_concentration_of_chlorophyll_a_in_sea_water", "surface chlorophyll a"),
    "mixed_layer_depth": ("m", "ocean_mixed_layer_thickness", "depth of the mixed layer"),
    "bathymetry": ("m", "sea_floor_depth_below_mean_sea_level", "depth of the sea floor"),
    "biomass": (
        "mg m-3",
        "mass_concentration_of_zooplankton_expressed_as_carbon_in_sea_water",
        "true carbon biomass of plankton, mean of 0-200 m",
    ),
    "expected_biomass": (
        "mg m-3",
        "mass_concentration_of_zooplankton_expressed_as_carbon_in_sea_water",
        "carbon biomass that the environment alone explains, mean of 0-200 m",
    ),
}


def virtual_ocean(*, step=2.0, n_months=12, residual_sd=0.5, residual_km=500.0, rng=0):
    """
    Make an ocean whose plankton biomass is known everywhere.

    The continents are real; environment, response and residual are random. Biomass is the exponential of a random
    nonlinear response to the six `PREDICTORS`, a broad niche with smooth departures from it (standard deviation
    0.8-1.3 over the area of the sea, on the log scale), times a residual that the predictors do not explain: a
    log-normal field of mean one, constant over the months, whose logarithm has the correlation
    exp(-d / `residual_km`). One seed is one planet, whatever the resolution.

    Parameters
    ----------
    step : float
        Size of a cell, degrees; must divide 180.
    n_months : {12, 1}
        Monthly fields, or one ocean of the annual mean environment, without the dimension `month`.
    residual_sd : float
        Standard deviation of the residual's logarithm; 0 leaves it out.
    residual_km : float
        e-folding distance of the residual's correlation, km.
    rng : int or numpy.random.Generator

    Returns
    -------
    xarray.Dataset (month, latitude, longitude)
        The predictors, `bathymetry` (latitude, longitude), `expected_biomass` and the realised `biomass`,
        both mg C m-3 and means of 0-200 m. NaN on land.

    Raises
    ------
    ValueError
        If `n_months` is neither 1 nor 12, `residual_sd` is negative or `residual_km` is not positive.

    Notes
    -----
    Random fields are sums of plane waves (Shinozuka & Jan 1972, Journal of Sound and Vibration 25) in the
    three dimensions that hold the sphere, so that distances are chords: exp(-chord / L) differs from
    exp(-d / L) by less than 0.004 for L up to 1500 km. The correlation is exact over planets; within one
    planet of 512 waves it is off by about 0.03.

    How hard it is to recover the total decides how often an interval holds it. Here one boosted model of a few
    hundred samples from `sample_ocean` misses the logarithm of the total by 0.16 (root mean square over planets)
    without residual, 0.19 at `residual_km` 500 and 0.22 at 1500. A real ocean may be harder.

    Examples
    --------
    >>> ocean = virtual_ocean(step=10, n_months=1, rng=7)
    >>> ocean["biomass"].dims
    ('latitude', 'longitude')
    >>> bool(true_budget(ocean) > 0)
    True
    """
    _check(n_months, residual_sd, residual_km)
    environment_rng, floor_rng, response_rng, residual_rng = np.random.default_rng(rng).spawn(4)
    grid = regular_grid(step)
    is_sea = ~land_mask(grid).values
    sea = _Sea(grid, is_sea)
    fields = _environment(sea, environment_rng)
    if n_months == 1:
        fields = {name: values.mean(axis=0, keepdims=True) for name, values in fields.items()}
    expected = _response(fields, cell_area(grid).values[is_sea], response_rng)
    residual = _residual(sea.points, residual_sd, residual_km, residual_rng)
    fields |= {"expected_biomass": expected, "biomass": expected * residual}
    fields["bathymetry"] = _bathymetry(sea, floor_rng)
    dataset = grid.assign({name: _on_grid(name, values, is_sea) for name, values in fields.items()})
    if n_months == 12:
        dataset = dataset.assign_coords(month=("month", _MONTHS, {"long_name": "month of the year", "units": "1"}))
    return dataset.assign_attrs(
        title="Virtual ocean", residual_sd=float(residual_sd), residual_km=float(residual_km), step=float(step)
    )


def populate(environment, *, residual_sd=0.5, residual_km=500.0, rng=0):
    """
    Draw plankton for a given environment, such as that of the real ocean.

    Parameters
    ----------
    environment : xarray.Dataset (latitude, longitude)
        `bathymetry`, m, and any predictors. A cell where one is missing has no plankton.
    residual_sd, residual_km, rng
        As in `virtual_ocean`.

    Returns
    -------
    xarray.Dataset
        `environment` in the cells where nothing is missing, with `expected_biomass` and `biomass` as in
        `virtual_ocean`: the response is drawn in the same way, of all predictors.

    Raises
    ------
    ValueError
        If `residual_sd` is negative or `residual_km` is not positive.

    Examples
    --------
    >>> real = virtual_ocean(step=10, n_months=1)[["temperature", "nitrate", "bathymetry"]]
    >>> list(populate(real, rng=1))
    ['temperature', 'nitrate', 'bathymetry', 'expected_biomass', 'biomass']
    """
    _check(1, residual_sd, residual_km)
    response_rng, residual_rng = np.random.default_rng(rng).spawn(2)
    environment = environment.transpose("latitude", "longitude")
    is_sea = environment.to_dataarray().notnull().all("variable").values
    latitude, longitude = np.meshgrid(environment["latitude"], environment["longitude"], indexing="ij")
    fields = {name: environment[name].values[is_sea][None] for name in environment if name != "bathymetry"}
    expected = _response(fields, cell_area(environment).values[is_sea], response_rng)
    residual = _residual(unit_vectors(latitude, longitude)[is_sea], residual_sd, residual_km, residual_rng)
    drawn = {"expected_biomass": expected, "biomass": expected * residual}
    return (
        environment.where(is_sea)
        .assign({name: _on_grid(name, values, is_sea) for name, values in drawn.items()})
        .assign_attrs(residual_sd=float(residual_sd), residual_km=float(residual_km))
    )


def true_budget(ocean, *, depth=LAYER_M):
    """
    Add up the realised biomass of a virtual ocean.

    Parameters
    ----------
    ocean : xarray.Dataset
        From `virtual_ocean`.
    depth : tuple of float
        Upper and lower limit, metres, within 0-200 m; where the sea is shallower its floor is the lower one.

    Returns
    -------
    float
        Annual mean, months weighted by their length, PgC.

    Raises
    ------
    ValueError
        If the limits do not ascend or leave the layer whose mean the biomass is.

    Examples
    --------
    >>> ocean = virtual_ocean(step=10, n_months=1)
    >>> whole, upper, lower = (true_budget(ocean, depth=d) for d in [(0, 200), (0, 80), (80, 200)])
    >>> bool(np.isclose(whole, upper + lower))
    True
    """
    top, bottom = depth
    if not LAYER_M[0] <= top < bottom <= LAYER_M[1]:
        msg = (
            f"depth must be (top, bottom) with 0 <= top < bottom <= 200 m; got {depth}. The truth is a mean of 0-200 m."
        )
        raise ValueError(msg)
    biomass = ocean["biomass"]
    if "month" in biomass.dims:
        days = biomass["month"].copy(data=DAYS_OF_MONTH[biomass["month"].values - 1])
        biomass = biomass.weighted(days).mean("month", skipna=False)
    thickness = (np.minimum(ocean["bathymetry"], bottom) - top).clip(min=0)
    return float((biomass * thickness * cell_area(ocean)).sum()) / _MG_PER_PG


def _check(n_months, residual_sd, residual_km):
    if n_months not in (1, 12):
        msg = f"n_months must be 12 (a seasonal ocean) or 1 (its annual mean); got {n_months}."
        raise ValueError(msg)
    if not (residual_sd >= 0 and residual_km > 0):
        msg = (
            f"the residual needs residual_sd >= 0 and residual_km > 0; got {residual_sd} and {residual_km}. "
            "Pass residual_sd=0 for an ocean without residual."
        )
        raise ValueError(msg)


class _Sea:
    """The sea cells of a grid as points, and how far they are from land."""

    def __init__(self, grid, is_sea):
        latitude, longitude = np.meshgrid(grid["latitude"], grid["longitude"], indexing="ij")
        everywhere = unit_vectors(latitude, longitude)
        self.latitude = latitude[is_sea]
        self.points = everywhere[is_sea]
        half_cell = np.radians(np.diff(grid["latitude"])[0] / 2) * EARTH_RADIUS_KM
        chord, _ = cKDTree(everywhere[~is_sea]).query(self.points)
        self.coast_km = np.maximum(chord_to_km(chord) - half_cell, 0.0)


def _environment(sea, rng):
    """
    Twelve months of every predictor, (12, n): zonal mean, season, coast and a random disturbance of each.

    Sizes and scales of the disturbances are about those that annual climatologies of the real ocean have around their
    zonal means, and the predictors about as correlated.
    """
    disturbance = {name: _random_field(sea.points, 2000.0, rng, smoothness=1.5) for name in PREDICTORS}
    away = np.abs(sea.latitude)
    strength = np.sin(np.radians(sea.latitude)) ** 2
    upwelling, coast = np.exp(-((sea.latitude / 6) ** 2)), np.exp(-sea.coast_km / 400)
    warmth, bloom = _season(sea.latitude, peak=8.5), _season(sea.latitude, peak=5.5)

    thermal = np.radians(np.clip(sea.latitude - 5, -90, 90))
    swing = 0.5 + 4.5 * np.exp(-(((away - 40) / 18) ** 2))
    temperature = (
        30 * np.cos(thermal) ** 1.5 - 3.5 - 1.5 * upwelling + swing * warmth + 2.4 * disturbance["temperature"]
    )
    temperature = np.maximum(temperature, -1.8)
    subtropics = np.exp(-(((away - 25) / 13) ** 2))
    salinity = 34.6 + 1.3 * subtropics - 1.5 * (away / 90) ** 3 - 0.6 * coast + 0.8 * disturbance["salinity"]
    supply = 26 * expit((12 - temperature) / 3.5) * (1 - 0.65 * expit((sea.latitude - 62) / 4)) + 5 * upwelling + 0.3
    nitrate = supply * np.exp(0.4 * disturbance["nitrate"])
    solubility = 358 - 8.3 * temperature + 0.105 * temperature**2
    oxygen = solubility * np.exp(0.07 * disturbance["oxygen"]) - 60 * np.exp(-((away / 18) ** 2))
    growth = 0.06 * nitrate + 0.7 * strength * bloom + coast + 0.6 * disturbance["chlorophyll"] - 2.3
    mixing = 3.7 + 0.5 * away / 90 - 1.2 * strength * warmth + 0.35 * disturbance["mixed_layer_depth"]
    fields = (
        temperature,
        np.broadcast_to(salinity, temperature.shape),
        nitrate,
        oxygen,
        np.exp(growth),
        np.exp(mixing),
    )
    return dict(zip(PREDICTORS, fields, strict=True))


def _season(latitude, *, peak):
    """Annual wave, (12, n): 1 in month `peak` of the north, half a year later in the south, nothing at the equator."""
    return np.tanh(latitude / 10) * np.cos(2 * np.pi * (_MONTHS[:, None] - peak) / 12)


def _bathymetry(sea, rng):
    """A shelf of random width, a slope and an uneven deep sea, m."""
    width, relief = (_random_field(sea.points, 2000.0, rng, smoothness=1.5) for _ in range(2))
    shelf_km = 150 + 225 * np.exp(0.8 * width)
    return 30 + 4200 * expit((sea.coast_km - shelf_km) / 80) * np.exp(0.15 * relief)


def _response(fields, area, rng):
    """Biomass that the environment explains, (months, n): a broad niche and smooth random departures from it."""
    months = len(next(iter(fields.values())))
    weight = np.tile(area, months)
    columns = [np.log(values) if name in _LOG_SCALED else values for name, values in fields.items()]
    table = _standardise(np.stack([column.ravel() for column in columns], axis=1), weight)
    niche = _standardise(_niche(table, weight, rng), weight)
    departure = _standardise(_superpose(table, rng.standard_normal((256, len(fields))) / 2, rng), weight)
    shape = _standardise(np.sqrt(0.7) * niche + np.sqrt(0.3) * departure, weight)
    level, spread = np.log(3.0) + 0.3 * rng.standard_normal(), rng.uniform(0.8, 1.3)
    return np.exp(level + spread * shape).reshape(months, -1)


def _residual(points, sd, length_km, rng):
    """Log-normal field of mean one."""
    return np.exp(sd * _random_field(points, length_km, rng, smoothness=0.5) - sd**2 / 2)


def _niche(table, weight, rng):
    """Log of a Gaussian niche (ter Braak & Prentice 1988) around a state that occurs, and generalists everywhere."""
    covariance = np.cov(table, rowvar=False, aweights=weight)
    optimum = np.linalg.cholesky(covariance) @ rng.standard_normal(len(covariance))
    tolerance = rng.uniform(1.0, 3.0, len(covariance))
    return np.logaddexp(-0.5 * (((table - optimum) / tolerance) ** 2).sum(axis=1), -4.0)


def _standardise(table, weight):
    """Columns with mean 0 and standard deviation 1 under the weights."""
    centred = table - np.average(table, axis=0, weights=weight)
    return centred / np.sqrt(np.average(centred**2, axis=0, weights=weight))


def _random_field(points, length_km, rng, *, smoothness, n_waves=512):
    """Gaussian field on the sphere of unit variance and Matern correlation; smoothness 1/2 is exp(-chord / length)."""
    waves = rng.standard_normal((n_waves, 3)) * (EARTH_RADIUS_KM / length_km)
    # the spectrum of a Matern correlation is a Student distribution with twice the smoothness as degrees of freedom
    waves /= np.sqrt(rng.chisquare(2 * smoothness, (n_waves, 1)) / (2 * smoothness))
    return _superpose(points, waves, rng)


def _superpose(points, waves, rng):
    """Sum plane waves with Gaussian coefficients at the points, piece by piece to keep memory flat."""
    phase = rng.uniform(0, 2 * np.pi, len(waves))
    amplitude = rng.rayleigh(size=len(waves)) / np.sqrt(len(waves))
    pieces = np.array_split(points, max(1, len(points) // 2048))
    return np.concatenate([np.cos(piece @ waves.T + phase) @ amplitude for piece in pieces])


def _on_grid(name, values, is_sea):
    """Variable with CF attributes: (n,) or (1, n) -> (latitude, longitude), (12, n) -> with month first."""
    values = np.atleast_2d(values)
    full = np.full((len(values), *is_sea.shape), np.nan)
    full[:, is_sea] = values
    units, standard_name, long_name = _ATTRIBUTES[name]
    attributes = {"units": units, "standard_name": standard_name, "long_name": long_name}
    if len(values) == 1:
        return ("latitude", "longitude"), full[0], attributes
    return ("month", "latitude", "longitude"), full, attributes
