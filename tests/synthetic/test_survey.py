"""A virtual survey goes to sea only, in cruises, where ships go, and its counts are unbiased."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.spatial import cKDTree
from scipy.special import i0, i1
from scipy.stats import chi2

from aqqua_science import schema
from aqqua_science.grids.geometry import chord_to_km, unit_vectors
from aqqua_science.synthetic import sample_ocean, survey, virtual_ocean


@pytest.fixture(scope="module")
def ocean():
    return virtual_ocean(step=5, rng=1)


@pytest.fixture(scope="module")
def samples(ocean):
    return sample_ocean(ocean, n_samples=4000, rng=2)


def _truth(ocean, samples):
    """Cell by cell look-up with the month, by arithmetic on the grid's step."""
    step = 5.0
    row = ((samples["latitude"] + 90) // step).astype(int)
    column = ((samples["longitude"] + 180) // step).astype(int) % 72
    return ocean["biomass"].values[samples["month"] - 1, row, column]


def test_table_has_the_agreed_columns_and_obeys_the_vocabulary(samples):
    assert list(samples) == [
        *("sample_id", "cruise", "time", "month", "latitude", "longitude", "depth"),
        *("volume_m3", "count", "biomass_mg_m3"),
    ]
    schema.check(samples, required=list(samples), unique=["sample_id"])
    assert pd.api.types.is_datetime64_dtype(samples["time"])
    assert (samples["time"].dt.month == samples["month"]).all()


def test_biomass_is_what_was_counted(samples):
    expected = samples["count"] * survey.INDIVIDUAL_CARBON_MG / samples["volume_m3"]
    assert_allclose(samples["biomass_mg_m3"], expected)


@pytest.mark.parametrize("step", [2.0, 5.0])
def test_no_sample_on_land_nor_below_the_floor(step):
    ocean = virtual_ocean(step=step, n_months=1, rng=8)
    samples = sample_ocean(ocean, n_samples=3000, rng=8)
    where = {name: samples[name].to_xarray() for name in ("latitude", "longitude")}
    floor = ocean["bathymetry"].sel(where, method="nearest")
    assert floor.notnull().all()
    assert (samples["depth"] <= floor.values).all()
    assert samples["depth"].max() == 100


def test_samples_lie_within_cells_not_on_their_centres(samples):
    offset = (samples["latitude"] + 90) % 5 / 5
    assert_allclose(np.quantile(offset, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.06)


def test_cruises_move_in_steps_and_last_months(samples):
    for _, cruise in samples.groupby("cruise"):
        vectors = unit_vectors(cruise["latitude"], cruise["longitude"])
        km = chord_to_km(np.linalg.norm(np.diff(vectors, axis=0), axis=1))
        assert (km < 1000).all()
        assert (cruise["time"].diff().dropna() > pd.Timedelta(0)).all()
        assert cruise["time"].iloc[-1] - cruise["time"].iloc[0] < pd.Timedelta(days=150)
    assert 10 < samples.groupby("cruise").size().median() < 45


def test_cruises_are_clustered_where_ships_go(ocean):
    starts = pd.concat([sample_ocean(ocean, n_samples=1500, rng=seed).groupby("cruise").first() for seed in range(12)])
    at_sea = np.isfinite(ocean["bathymetry"])
    area = (np.cos(np.radians(ocean["latitude"])) * at_sea).to_series()
    latitude, longitude = (area.index.get_level_values(name) for name in ("latitude", "longitude"))

    def density(inside, table_inside):
        return table_inside.mean() / (area[inside].sum() / area.sum())

    box = density(
        (latitude > 25) & (latitude < 65) & (longitude > -70) & (longitude < 0),
        starts["latitude"].between(25, 65) & starts["longitude"].between(-70, 0),
    )
    south = density(latitude < -40, starts["latitude"] < -40)
    middle = density((latitude > -40) & (latitude < 25), starts["latitude"].between(-40, 25))
    assert 12 < box / middle < 21
    assert 0.3 < south / middle < 0.8


def test_survey_is_much_more_clustered_than_chance(ocean, samples):
    """Median distance of a cell of sea to the nearest of 500 samples: evenly spread ones would leave some 350 km."""
    latitude, longitude = np.meshgrid(ocean["latitude"], ocean["longitude"], indexing="ij")
    sea = np.isfinite(ocean["bathymetry"].values)
    tree = cKDTree(unit_vectors(samples["latitude"][:500], samples["longitude"][:500]))
    distance, _ = tree.query(unit_vectors(latitude[sea], longitude[sea]))
    assert np.median(chord_to_km(distance)) > 600


@pytest.mark.parametrize("seed", range(8))
def test_zeros_are_as_common_as_stated(ocean, seed):
    zeros = (sample_ocean(ocean, n_samples=1500, rng=seed)["count"] == 0).mean()
    assert 0.15 < zeros < 0.45


def test_counting_is_unbiased(ocean):
    surveys = [sample_ocean(ocean, n_samples=2000, rng=seed) for seed in range(25)]
    ratio = np.concatenate([s["biomass_mg_m3"] / _truth(ocean, s) for s in surveys])
    means = np.array([np.average(s["biomass_mg_m3"] / _truth(ocean, s), weights=_truth(ocean, s)) for s in surveys])
    assert_allclose(means.mean(), 1, atol=4 * means.std(ddof=1) / np.sqrt(len(surveys)))
    assert ratio.std() > 0.5


def test_counts_scatter_more_than_poisson(ocean, samples):
    expected = _truth(ocean, samples) * samples["volume_m3"] / survey.INDIVIDUAL_CARBON_MG
    many = expected > 5
    excess = ((samples["count"] - expected) ** 2 - expected)[many] / expected[many] ** 2
    assert 1 / 3.5 < excess.mean() < 1 / 0.6


def test_volumes_are_log_normal(samples):
    logarithm = np.log(samples["volume_m3"])
    assert_allclose(logarithm.std(), 0.6, atol=0.05)
    assert abs(((logarithm - logarithm.mean()) ** 3).mean() / logarithm.std() ** 3) < 0.15


def test_places_know_nothing_of_the_biomass(ocean):
    lush = ocean.assign(biomass=ocean["biomass"] * np.exp(ocean["temperature"] / 10))
    places = ["latitude", "longitude", "time", "cruise"]
    ours, theirs = (sample_ocean(o, n_samples=300, rng=4)[places] for o in (ocean, lush))
    pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.parametrize("preference", [0.5, 1.0])
def test_mean_residual_of_samples_is_the_preference(preference):
    """Tilting a unit Gaussian by exp(b z) moves its mean to b and leaves its width."""
    residuals = []
    for seed in range(10):
        ocean = virtual_ocean(step=5, n_months=1, residual_km=300.0, rng=seed)
        samples = sample_ocean(ocean, n_samples=1500, preference=preference, rng=seed)
        residuals.append(survey._at(survey.residual_of(ocean), samples).values)
    means = np.mean(residuals, axis=1)
    scatter = means.std(ddof=1) / np.sqrt(len(means))
    assert scatter < 0.08
    assert_allclose(means.mean(), preference, atol=4 * scatter)
    assert_allclose(np.std(residuals), 1, atol=0.15)


def test_residual_is_standard(ocean):
    sd, logarithm = 0.5, np.log(ocean["biomass"] / ocean["expected_biomass"]).isel(month=3, drop=True)
    assert_allclose(survey.residual_of(ocean), logarithm / sd + sd / 2, rtol=1e-9, atol=1e-12)


def test_summer_surveys_are_as_clustered_as_von_mises_says(ocean):
    """The mean vector of cruise middles, turned by half a year in the south, has length I1(k) / I0(k)."""
    concentration = 1.5
    samples = sample_ocean(ocean, n_samples=40_000, summer=concentration, rng=1)
    cruises = samples.groupby("cruise")
    middle = cruises["time"].first() + (cruises["time"].last() - cruises["time"].first()) / 2
    angle = 2 * np.pi * (middle.dt.day_of_year + np.where(cruises["latitude"].first() > 0, 0, 182.6)) / 365.25
    mean = np.exp(1j * angle).mean()
    scatter = 1 / np.sqrt(len(angle))
    assert_allclose(abs(mean), i1(concentration) / i0(concentration), atol=3 * scatter)
    midsummer = 2 * np.pi * 196.5 / 365.25
    assert_allclose(np.angle(mean * np.exp(-1j * midsummer)), 0, atol=5 * scatter)


def test_gains_are_log_normal_of_mean_one():
    cruises = np.repeat(np.arange(4000), 3)
    gains = survey._gains(cruises, 0.3, 0.0, np.random.default_rng(1)).reshape(-1, 3)
    assert (gains == gains[:, :1]).all()
    low, high = np.sqrt(chi2.ppf([1e-4, 1 - 1e-4], 3999) / 3999) * 0.3
    assert low < np.log(gains[:, 0]).std(ddof=1) < high
    assert_allclose(gains.mean(), 1, atol=4 * np.sqrt(np.expm1(0.09) / 4000))
    shared = np.array([survey._gains(cruises[:30], 0.0, 0.15, np.random.default_rng(i)) for i in range(2000)])
    assert (shared == shared[:, :1]).all()
    assert_allclose(np.log(shared[:, 0]).std(), 0.15, rtol=0.07)
    assert_allclose(shared.mean(), 1, atol=4 * 0.15 / np.sqrt(2000))


def test_a_shared_gain_moves_the_whole_survey(ocean):
    """Of 60 surveys the logarithms of what is counted over what is there have the gain's standard deviation."""
    logarithms = []
    for seed in range(60):
        samples = sample_ocean(ocean, n_samples=1500, shared_gain_sd=0.5, rng=seed)
        logarithms.append(np.log(samples["biomass_mg_m3"].mean() / _truth(ocean, samples).mean()))
    low, high = np.sqrt(chi2.ppf([1e-3, 1 - 1e-3], 59) / 59) * 0.5
    assert low < np.std(logarithms, ddof=1) < high + 0.05
    assert abs(np.mean(logarithms) + 0.5**2 / 2) < 4 * 0.5 / np.sqrt(60)


def test_given_stations_are_kept(ocean, samples):
    stations = samples[["cruise", "time", "latitude", "longitude"]].iloc[::-7]
    counted = survey.sample_stations(ocean, stations, rng=3)
    pd.testing.assert_frame_equal(counted[list(stations)], stations)
    assert (counted["month"] == stations["time"].dt.month).all()


def test_stations_on_land_are_refused(ocean, samples):
    stations = samples[["cruise", "time", "latitude", "longitude"]].head(3).assign(latitude=[-88.0, 0.0, -88.0])
    stations["longitude"] = -30.0
    with pytest.raises(
        ValueError, match=r"2 of 3 do not, the first at latitude -88.0, longitude -30.0. Leave them out"
    ):
        survey.sample_stations(ocean, stations)


@pytest.mark.parametrize("name", ["summer", "cruise_gain_sd", "shared_gain_sd"])
def test_negative_spreads_are_refused(ocean, name):
    with pytest.raises(ValueError, match=f"{name} must be 0 or more; got -0.1"):
        sample_ocean(ocean, n_samples=20, **{name: -0.1})


def test_same_seed_same_survey(ocean):
    pd.testing.assert_frame_equal(*(sample_ocean(ocean, n_samples=100, rng=7) for _ in range(2)))
    other = sample_ocean(ocean, n_samples=100, rng=8)
    assert not other["latitude"].equals(sample_ocean(ocean, n_samples=100, rng=7)["latitude"])


@pytest.mark.parametrize("n_samples", [1, 2, 13, 100, 601])
def test_as_many_samples_as_asked_for(ocean, n_samples):
    assert len(sample_ocean(ocean, n_samples=n_samples)) == n_samples


def test_no_samples_are_refused(ocean):
    with pytest.raises(ValueError, match="at least 1; got 0"):
        sample_ocean(ocean, n_samples=0)


def test_a_great_circle_step_has_its_length():
    latitude, longitude = survey._travel(np.array([80.0]), np.array([170.0]), np.array([0.3]), np.array([2500.0]))
    chord = np.linalg.norm(unit_vectors(80.0, 170.0) - unit_vectors(latitude, longitude)[0])
    assert_allclose(chord_to_km(chord), 2500, rtol=1e-9)
