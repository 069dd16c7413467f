"""Other grids: integrals that stay, lines that stay lines, neighbours that brute force finds too."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.grids import cell_area, open_environment, regrid, regular_grid, select_region
from aqqua_science.grids.geometry import chord_to_km, column_bounds, row_edges, unit_vectors
from aqqua_science.schema import SchemaError

ORCA = "env/SciTools+iris-sample-data/iris_sample_data/sample_data/orca2_votemper.nc"


def made_field(grid, *, months=None, seed=5):
    """Random positive values."""
    rng = np.random.default_rng(seed)
    axes = {} if months is None else {"month": np.arange(1, months + 1)}
    coords = axes | {name: grid[name].values for name in ("latitude", "longitude")}
    values = rng.gamma(1.0, size=[len(axis) for axis in coords.values()])
    return xr.DataArray(values, coords, name="sst", attrs={"units": "degC"})


def integral(field):
    return (field * cell_area(field)).sum(("latitude", "longitude"))


@st.composite
def global_grids(draw):
    """Rows and columns of uneven widths that cover the sphere, the columns beginning anywhere."""
    n_rows, n_columns = draw(st.integers(2, 20)), draw(st.integers(3, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    heights, widths = (rng.uniform(1, draw(st.floats(1.01, 1.9)), n) for n in (n_rows, n_columns))
    latitude = -90 + 180 * (np.cumsum(heights) - heights / 2) / heights.sum()
    longitude = (rng.uniform(-180, 180) + 360 * np.cumsum(widths) / widths.sum() + 180) % 360 - 180
    return xr.Dataset(coords={"latitude": latitude, "longitude": np.sort(longitude)})


@given(source=global_grids(), target=global_grids(), seed=st.integers(0, 1000))
@settings(max_examples=60)
def test_the_integral_over_the_sphere_is_kept(source, target, seed):
    field = made_field(source, seed=seed)
    assert_allclose(integral(regrid(field, target)), integral(field), rtol=1e-10)


@given(source=global_grids(), target=global_grids(), seed=st.integers(0, 1000))
@settings(max_examples=30)
def test_cells_with_gaps_are_means_over_the_area_they_share_with_values(source, target, seed):
    """Each new cell the slow way: a loop over the old ones, their overlap by arithmetic on edges."""
    rng = np.random.default_rng(seed)
    field = made_field(source, seed=seed)
    field = field.where(rng.random(field.shape) < 0.6)
    row, column = rng.integers(target.sizes["latitude"]), rng.integers(target.sizes["longitude"])
    share, mean = slow_cell(field, target, row, column)
    found = regrid(field, target, min_share=0.3)[row, column]
    if abs(share - 0.3) > 1e-4:
        assert_allclose(found, mean if share > 0.3 else np.nan, rtol=1e-9, atol=1e-8)


def slow_cell(field, target, row, column):
    def band(south, north):
        """Area between two parallels by the integral of the radii of curvature, 2,000 steps."""
        phi = np.radians(np.linspace(south, north, 2001))
        phi = (phi[1:] + phi[:-1]) / 2
        e2 = 0.00669437999014
        return (np.cos(phi) / (1 - e2 * np.sin(phi) ** 2) ** 2).sum() * (north - south)

    edges, bounds = row_edges(field), column_bounds(field)
    south, north = row_edges(target)[row : row + 2]
    west, east = column_bounds(target)[:, column]
    total = area = 0.0
    for i, j in np.argwhere(np.isfinite(field.values)):
        low, high = max(edges[i], south), min(edges[i + 1], north)
        width = sum(max(min(bounds[1, j] + t, east) - max(bounds[0, j] + t, west), 0) for t in (-360, 0, 360))
        if high > low and width > 0:
            total += float(field[i, j]) * band(low, high) * width
            area += band(low, high) * width
    return area / (band(south, north) * (east - west)), total / area if area else np.nan


@pytest.mark.parametrize("step", [2.0, 6.0, 10.0, 30.0])
@pytest.mark.parametrize("chunks", [None, {"latitude": 7}, {"month": 1}])
def test_coarser_cells_keep_the_mean_over_the_sphere(step, chunks):
    data = made_field(regular_grid(2.0), months=3).to_dataset().assign(scale=2.0)
    data = data if chunks is None else data.chunk(chunks)
    coarse = regrid(data, step)
    assert (coarse["sst"].chunks is not None) == (chunks is not None)
    assert_allclose(integral(coarse["sst"]), integral(data["sst"]), rtol=1e-12)
    xr.testing.assert_allclose(coarse["latitude"], regular_grid(step)["latitude"])
    xr.testing.assert_allclose(coarse["longitude"], regular_grid(step)["longitude"])
    assert coarse["sst"].dims == ("month", "latitude", "longitude")
    assert coarse["sst"].attrs == {"units": "degC"}
    assert float(coarse["scale"]) == 2.0


def test_a_relief_of_a_third_of_a_degree_keeps_its_mean(shared_data):
    """ETOPO 20' begins at 20 degrees east and repeats a column; on whole degrees its mean height is the same."""
    relief = open_environment(shared_data / "env/NOAA-PMEL+FerretDatasets/data/etopo20.cdf")["ROSE"].astype(float)
    coarse = regrid(relief, 1.0)
    assert coarse.shape == (180, 360)
    assert_allclose(integral(coarse), integral(relief), rtol=1e-10)
    thirds = relief.values.reshape(180, 3, 360, 3)
    assert_allclose(coarse[60:120], thirds[60:120].mean(axis=(1, 3)), atol=6)  # m; the rows of a degree are near alike


@pytest.mark.parametrize(("min_share", "n_columns"), [(0, 4), (0.33, 4), (0.5, 3), (1, 3)])
def test_a_coast_needs_its_share_of_sea(min_share, n_columns):
    """Sea east of 100 W: of the cell from 120 W to 90 W a third is sea."""
    field = made_field(regular_grid(10.0, region=(-150, 0, -30, 30)))
    coarse = regrid(field.where(field["longitude"] > -100), 30.0, min_share=min_share)
    assert int(coarse.notnull().any("latitude").sum()) == n_columns


def test_a_region_keeps_to_its_cells_and_crosses_the_date_line():
    field = made_field(regular_grid(1.0))
    part = regrid(select_region(field, (160, -160, -20, 20)), 5.0)
    assert part["longitude"].values.tolist() == [*np.arange(-177.5, -160, 5), *np.arange(162.5, 180, 5)]
    xr.testing.assert_allclose(part, regrid(field, 5.0).sel(part.coords))
    half = regrid(select_region(field, (0, 12, 0, 10)), 5.0)
    assert half["longitude"].values.tolist() == [2.5, 7.5, 12.5]
    assert half[:, 2].isnull().all()  # two fifths of the last column only


def test_lines_stay_lines():
    """Latitude anywhere, and a roof over the date line whose slopes are straight between centres."""
    source, target = regular_grid(4.0), regular_grid(1.0)
    roof = 180 - abs(source["longitude"])
    moved = regrid(2 * source["latitude"] + roof, target, method="bilinear")
    inside = moved.sel(latitude=slice(-88, 88), longitude=target["longitude"][(abs(target["longitude"]) > 2)])
    inside = inside.sel(longitude=abs(inside["longitude"]) < 178)
    assert_allclose(inside, 2 * inside["latitude"] + 180 - abs(inside["longitude"]), rtol=1e-12)
    assert_allclose(moved.sel(longitude=[-179.5, 179.5], latitude=0.5), 1 + 2)  # level between the two sides' centres
    assert_allclose(moved[0], moved[1])  # beyond the last centre, at 88 S, the value is held
    shifted = xr.Dataset(coords={"latitude": target["latitude"], "longitude": target["longitude"] + 180})
    assert_allclose(regrid(2 * source["latitude"] + roof, shifted, method="bilinear"), np.roll(moved, 180, axis=1))


def test_interpolation_agrees_with_xarray_and_stops_at_the_edge():
    field = made_field(regular_grid(3.0, region=(0, 60, -30, 30)), months=2)
    target = regular_grid(1.0, region=(-10, 70, -30, 30))
    moved, peer = regrid(field, target, method="bilinear"), field.interp(target.coords)
    assert_allclose(moved.where(peer.notnull()), peer, rtol=1e-12, atol=1e-12)
    beyond = (target["longitude"] < 0) | (target["longitude"] > 60)
    assert_array_equal(moved.isnull().all(("month", "latitude")), beyond)
    assert not moved.sel(longitude=~beyond).isnull().any()


def brute_force(field, target):
    """The nearest centre of all, by dot products; the first where two are as near."""
    latitude, longitude = (np.ravel(part) for part in np.meshgrid(field["latitude"], field["longitude"], indexing="ij"))
    points = unit_vectors(*np.meshgrid(target["latitude"], target["longitude"], indexing="ij")).reshape(-1, 3)
    return (points @ unit_vectors(latitude, longitude).T).max(axis=1)


@given(source=global_grids(), target=global_grids())
@settings(max_examples=20)
def test_nearest_is_nearest_on_the_sphere(source, target):
    """The value tells which cell was taken; its distance is the least there is."""
    shape = [source.sizes[name] for name in ("latitude", "longitude")]
    number = xr.DataArray(
        np.arange(np.prod(shape), dtype=float).reshape(shape), source.coords, ["latitude", "longitude"]
    )
    taken = regrid(number, target, method="nearest", max_km=20_100).values.astype(int)
    row, column = np.unravel_index(taken, shape)
    at = unit_vectors(*np.meshgrid(target["latitude"], target["longitude"], indexing="ij"))
    centre = unit_vectors(source["latitude"].values[row], source["longitude"].values[column])
    assert_allclose((at * centre).sum(axis=-1).ravel(), brute_force(number, target), atol=1e-12)


def test_nearest_stops_at_the_edge_of_the_grid_and_at_max_km():
    field = made_field(regular_grid(2.0, region=(0, 40, 0, 40)))
    for max_km, westernmost in ((None, 0.5), (556.0, -3.5)):  # 5 degrees from the centre at 1 E, 1 N
        moved = regrid(field, regular_grid(1.0, region=(-20, 60, 0, 2)), method="nearest", max_km=max_km)
        assert moved["longitude"][moved.notnull().any("latitude")][0] == westernmost
        assert_allclose(moved.sel(longitude=0.5), [float(field.sel(longitude=1, latitude=1))] * 2)


def test_a_curvilinear_ocean_is_read_through_the_nearest_centres(shared_data):
    """ORCA2, whose northern rows bend round two poles on land: each cell against all centres."""
    raw = xr.open_dataset(shared_data / ORCA)
    moved = regrid(raw, 2.0, method="nearest")
    environment = open_environment(moved)
    assert dict(environment.sizes) == {"latitude": 90, "longitude": 180}
    chosen = np.random.default_rng(0).choice(moved["votemper"].size, 1000, replace=False)
    at = unit_vectors(*np.meshgrid(moved["latitude"], moved["longitude"], indexing="ij")).reshape(-1, 3)[chosen]
    cosine = at @ unit_vectors(*(raw[name].values.ravel().astype(float) for name in ("nav_lat", "nav_lon"))).T
    found, values = moved["votemper"].values.ravel(), raw["votemper"].values.ravel()
    for value, row in zip(found[chosen], cosine, strict=True):
        nearest = values[row >= row.max() - 1e-12]  # columns that overlap hold some centres twice
        km = chord_to_km(np.sqrt(max(2 - 2 * row.max(), 0)))
        assert value in nearest if np.isfinite(value) else km > 60 or np.isnan(nearest).any()
    near = np.isfinite(found)
    smooth = regrid(raw, 2.0, method="inverse_distance")["votemper"].values.ravel()
    both = near & np.isfinite(smooth)
    assert both.sum() > 0.95 * near.sum()
    assert np.abs(smooth - found)[both].mean() < 0.5


def test_inverse_distance_is_exact_at_centres_and_weighs_by_the_square():
    field = made_field(regular_grid(2.0, region=(-10, 10, -10, 10)))
    same = regrid(field, field, method="inverse_distance")
    assert_allclose(same, field, rtol=1e-9)
    point = xr.Dataset(coords={"latitude": [0.5, 30.0], "longitude": [0.25, 30.0]})
    corners = [(lat, lon) for lat in (-1, 1) for lon in (-1, 1)]
    km = [chord_to_km(np.linalg.norm(unit_vectors(0.5, 0.25) - unit_vectors(*map(float, c)))) for c in corners]
    values = [float(field.sel(latitude=lat, longitude=lon)) for lat, lon in corners]
    truth = np.average(values, weights=1 / np.array(km) ** 2)
    found = regrid(field, point, method="inverse_distance")
    assert_allclose(found[0, 0], truth, rtol=1e-9)
    assert found[1].isnull().all()


def test_what_is_no_field_stays_or_stays_behind():
    data = (
        made_field(regular_grid(10.0), months=2).astype("f4").to_dataset().assign(scale=2.0, profile=("depth", [1, 2]))
    )
    data["flag"] = (data["sst"] > 1).astype("i1")
    data["names"] = data["sst"].astype(str)
    data["lat_bounds"] = (("latitude", "side"), np.zeros((18, 2)))
    before = data.copy(deep=True)
    moved = regrid(data, 20.0)
    assert set(moved) == {"sst", "flag", "scale", "profile"}
    assert moved["sst"].dtype == np.float32
    assert 0 < float(moved["flag"].mean()) < 1
    xr.testing.assert_identical(data, before)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "conservativ"}, "Did you mean 'conservative'"),
        ({"min_share": 50}, "min_share is a share from 0 to 1; got 50"),
        ({"grid": 7.0}, "7.0 degrees does not"),
        ({"grid": 0.0}, "0.0 degrees does not"),
        ({"grid": regular_grid(10.0).isel(latitude=slice(None, None, -1))}, "grid must have .* latitude, ascending"),
        ({"grid": xr.Dataset(coords={"latitude": [0.0, 1], "longitude": [-180.0, 180]})}, "ascending within one turn"),
    ],
)
def test_what_is_asked_wrongly_is_refused(options, said):
    options = {"grid": 20.0} | options
    with pytest.raises(ValueError, match=said):
        regrid(made_field(regular_grid(10.0)), options.pop("grid"), **options)


def test_grids_that_are_none_are_refused(shared_data):
    with pytest.raises(SchemaError, match=r"curvilinear.*method='nearest'"):
        regrid(xr.open_dataset(shared_data / ORCA), 2.0)
    with pytest.raises(SchemaError, match=r"env must have latitude and longitude.*open_environment"):
        regrid(xr.Dataset({"sst": (("lat", "lon"), np.eye(3))}), 2.0)


def test_variables_on_one_axis_come_along_and_flags_are_never_averaged():
    env = made_field(regular_grid(10.0), months=2).to_dataset()
    env["day_length"] = env["month"] * env["latitude"]
    env["side"] = env["longitude"] ** 2
    env["sst_flag"] = xr.where(env["sst"] > env["sst"].median(), 2.0, 0.0).assign_attrs(flag_values=[0.0, 1.0, 2.0])
    moved = regrid(env, 20.0)
    assert moved["day_length"].dims == ("month", "latitude")
    wide = (env["day_length"] + 0 * env["longitude"]).transpose("month", "latitude", "longitude")
    assert_allclose(moved["day_length"], regrid(wide, 20.0).isel(longitude=3), rtol=1e-12)
    assert_allclose(moved["side"], env["side"].coarsen(longitude=2).mean(), rtol=1e-12)
    assert set(np.unique(moved["sst_flag"])) <= {0.0, 2.0}
