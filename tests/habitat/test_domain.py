import dask.array
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.grids.geometry import EARTH_RADIUS_KM, cell_area, regular_grid
from aqqua_science.habitat.domain import (
    distance_to_domain_km,
    domain_positions,
    held_out_km,
    nearest_km,
    sample_domain,
    unit_positions,
)
from aqqua_science.schema import SchemaError


def haversine_km(a, b):
    """Textbook great-circle distance of one pair of positions."""
    p1, l1, p2, l2 = np.radians([a[0], a[1], b[0], b[1]])
    h = np.sin((p2 - p1) / 2) ** 2 + np.cos(p1) * np.cos(p2) * np.sin((l2 - l1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(h))


def ecdf_area(a, b, weights=None):
    """Area between two empirical distribution functions, step by step."""
    weights = np.full(len(b), 1 / len(b)) if weights is None else weights / weights.sum()
    steps = np.unique([*a, *b])
    height = [abs((a <= r).mean() - weights[b <= r].sum()) for r in steps[:-1]]
    return float(np.sum(height * np.diff(steps)))


@pytest.fixture
def samples():
    rng = np.random.default_rng(1)
    return pd.DataFrame({"latitude": rng.uniform(-90, 90, 30), "longitude": rng.uniform(-180, 180, 30)})


@pytest.fixture
def gappy_grid():
    """A grid with land in the west, where bathymetry alone has values."""
    grid = regular_grid(10.0)
    shape = (12, 18, 36)
    temperature = np.broadcast_to(np.where(grid["longitude"].values < 0, np.nan, 5.0), shape)
    return grid.assign(
        temperature=(("month", "latitude", "longitude"), temperature),
        bathymetry=(("latitude", "longitude"), np.ones(shape[1:])),
    )


def test_nearest_distance_is_the_least_great_circle(samples):
    expected = [min(haversine_km(a, b) for b in samples[20:].to_numpy()) for a in samples[:20].to_numpy()]
    assert_allclose(nearest_km(samples[:20], samples[20:]), expected, rtol=1e-9)


def test_held_out_distances_look_at_the_training_side_only(samples):
    splits = [(np.arange(20), np.arange(20, 30)), (np.arange(10, 30), np.arange(10))]
    positions = samples.to_numpy()
    expected = [min(haversine_km(positions[i], positions[j]) for j in train) for train, test in splits for i in test]
    assert_allclose(held_out_km(samples, splits), expected, rtol=1e-9)


def test_distance_to_domain_is_the_area_between_the_distributions(samples, gappy_grid):
    splits = [(np.arange(15), np.arange(15, 30)), (np.arange(15, 30), np.arange(15))]
    cells = domain_positions(gappy_grid)
    expected = ecdf_area(held_out_km(samples, splits), nearest_km(cells, samples), cells["weight"].to_numpy())
    assert_allclose(distance_to_domain_km(samples, splits, domain=gappy_grid), expected, rtol=1e-9)


def test_distance_to_a_domain_of_the_samples_is_their_mean_held_out_distance(samples):
    splits = [(np.delete(np.arange(30), i), [i]) for i in range(30)]
    expected = held_out_km(samples, splits).mean()
    assert_allclose(distance_to_domain_km(samples, splits, domain=samples), expected, rtol=1e-6)


def test_domain_leaves_out_land_though_bathymetry_is_known_there(gappy_grid):
    positions = domain_positions(gappy_grid)
    assert (positions["longitude"] > 0).all()
    assert len(positions) == 18 * 18
    assert_allclose(positions["weight"].sum(), 1)


def test_domain_weighs_cells_by_area(gappy_grid):
    weight = domain_positions(gappy_grid).set_index(["latitude", "longitude"])["weight"]
    area = cell_area(gappy_grid)
    ratio = area.sel(latitude=5.0, longitude=5.0) / area.sel(latitude=85.0, longitude=5.0)
    assert_allclose(weight[5.0, 5.0] / weight[85.0, 5.0], ratio)


def test_domain_reads_lazy_grids_and_single_variables(gappy_grid):
    lazy = gappy_grid.chunk(month=1)
    assert isinstance(lazy["temperature"].data, dask.array.Array)
    pd.testing.assert_frame_equal(domain_positions(lazy), domain_positions(gappy_grid))
    pd.testing.assert_frame_equal(domain_positions(gappy_grid["temperature"]), domain_positions(gappy_grid))


def test_grid_without_variables_is_all_domain():
    assert len(domain_positions(regular_grid(30.0))) == 72


def test_sampled_places_are_even_by_area():
    places = sample_domain(regular_grid(1.0), 2000, rng=3)
    # Half of a sphere lies within 30 degrees of the equator.
    assert_allclose((places["latitude"].abs() < 30).mean(), 0.5, atol=0.01)
    assert not places.equals(sample_domain(regular_grid(1.0), 2000, rng=4))
    assert places.equals(sample_domain(regular_grid(1.0), 2000, rng=3))


def test_empty_domain_is_refused(gappy_grid):
    with pytest.raises(ValueError, match="covers no cell"):
        domain_positions(gappy_grid[["temperature"]] * np.nan)
    with pytest.raises(ValueError, match="covers no cell"):
        domain_positions(np.empty((0, 2)))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((3, 2)), "table with the columns latitude and longitude; got ndarray"),
        (pd.DataFrame({"latitude": [0.0], "lon": [0.0]}), "no column 'longitude'"),
        (pd.DataFrame({"latitude": [91.0], "longitude": [0.0]}), "latitude 91 is outside"),
        (pd.DataFrame({"latitude": [0.0], "longitude": [359.5]}), r"Pass \(longitude \+ 180\) % 360 - 180"),
        (pd.DataFrame({"latitude": [np.nan], "longitude": [0.0]}), "latitude is missing"),
    ],
)
def test_bad_positions_are_refused(table, message):
    with pytest.raises(SchemaError, match=message):
        unit_positions(table)


def test_grid_of_descending_latitude_is_refused():
    with pytest.raises(ValueError, match="ascend"):
        domain_positions(xr.Dataset(coords={"latitude": [10.0, 0.0], "longitude": [0.0, 1.0]}))
