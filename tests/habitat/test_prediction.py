"""predict_grid against the model itself, cell by cell, and against its own promises on memory and files."""

import json

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_array_equal

from aqqua_science.habitat import BoostedTrees, blockwise, predict_grid
from aqqua_science.schema import SchemaError

PREDICTORS = ("temperature", "nitrate", "bathymetry")


def fitted(missing="refuse", n_members=3):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(0, 30, (200, 3)), columns=PREDICTORS)
    y = rng.gamma(2.0, np.exp(0.1 * X["temperature"]))
    if missing != "refuse":
        X.loc[::7, "nitrate"] = np.nan
    model = BoostedTrees(n_members=n_members, n_trees=8, missing=missing, random_state=1)
    if missing == "impute":
        with pytest.warns(UserWarning, match="median"):
            return model.fit(X, y)
    return model.fit(X, y)


@pytest.fixture(scope="module")
def model():
    return fitted()


def table_at(env, **where):
    cell = env.isel(where)
    return pd.DataFrame({name: [float(cell[name])] for name in PREDICTORS})


def test_each_cell_is_what_the_model_says(model, ocean):
    field = predict_grid(model, ocean, units="mg m-3")
    assert field["biomass"].dims == ("member", "month", "latitude", "longitude")
    assert field["biomass"].dtype == np.float32
    for where in ({"month": 0, "latitude": 3, "longitude": 9}, {"month": 1, "latitude": 17, "longitude": 35}):
        assert_array_equal(field["biomass"].isel(where), model.predict_members(table_at(ocean, **where))[:, 0])


def test_land_is_nan_and_cells_short_of_a_predictor_are_counted(model, ocean):
    field = predict_grid(model, ocean)
    expected = np.ones((2, 18, 36), dtype=bool)
    expected[:, :, :4] = False
    expected[1, 5, 20] = False
    for member in field["biomass"]:
        assert_array_equal(member.notnull(), expected)
    assert field.attrs["n_cells_predictor_missing"] == 1
    assert field.attrs["share_predictor_missing"] == 1 / (2 * 18 * 32)


@pytest.mark.parametrize("missing", ["allow", "impute"])
def test_allowed_or_imputed_cells_are_predicted_but_land_is_not(ocean, missing):
    model = fitted(missing)
    field = predict_grid(model, ocean)
    assert int(np.isnan(field["biomass"]).sum()) == 3 * 2 * 18 * 4
    assert field.attrs["n_cells_predictor_missing"] == 1
    where = {"month": 1, "latitude": 5, "longitude": 20}
    cell = table_at(ocean, **where)
    if missing == "impute":
        cell["nitrate"] = model.medians_[1]
    assert_array_equal(field["biomass"].isel(where), model.predict_members(cell)[:, 0])


def test_below_the_sea_floor_nothing_is_predicted(ocean):
    # Bathymetry is known at every depth of its column; temperature and nitrate end at the floor.
    env = ocean.isel(month=0, drop=True)
    env = env.assign({name: env[name].expand_dims(depth=[0.0, 500.0]).copy() for name in ("temperature", "nitrate")})
    env["temperature"][1, :, 10:20] = env["nitrate"][1, :, 10:20] = np.nan
    field = predict_grid(fitted("allow"), env)
    assert field["biomass"].dims == ("member", "depth", "latitude", "longitude")
    assert np.isnan(field["biomass"].isel(depth=1, longitude=slice(10, 20))).all()
    assert field["biomass"].isel(depth=0, longitude=slice(10, 20)).notnull().all()
    assert field.attrs["n_cells_predictor_missing"] == 0


def test_metadata(model, ocean):
    field = predict_grid(model, ocean, name="copepod_biomass", units="mg m-3")
    assert field["copepod_biomass"].attrs == {"long_name": "copepod biomass", "units": "mg m-3"}
    assert_array_equal(field["member"], [0, 1, 2])
    assert np.issubdtype(field["member"].dtype, np.integer)
    assert field["latitude"].attrs["units"] == "degrees_north"
    assert json.loads(field.attrs["model"]) == json.loads(json.dumps(model.settings_))
    xr.testing.assert_equal(field["month"], ocean["month"])


def test_env_is_left_alone_and_extra_variables_ignored(model, ocean):
    ocean["label"] = (("station",), ["a", "b"])
    before = ocean.copy(deep=True)
    predict_grid(model, ocean)
    xr.testing.assert_identical(ocean, before)


@pytest.mark.parametrize("chunks", [{"month": 1}, {"latitude": 7, "longitude": 10}, {"month": 2, "latitude": 18}])
def test_chunks_and_dask_change_no_number(model, ocean, chunks):
    whole = predict_grid(model, ocean)
    for lazy in (predict_grid(model, ocean.chunk(chunks)), predict_grid(model, ocean, chunks=chunks)):
        assert dask.is_dask_collection(lazy["biomass"].data)
        xr.testing.assert_identical(lazy.compute(), whole)


def test_small_blocks_change_no_number(model, ocean, monkeypatch):
    whole = predict_grid(model, ocean)
    monkeypatch.setattr(blockwise, "BLOCK_VALUES", 500)
    xr.testing.assert_identical(predict_grid(model, ocean), whole)


def test_threads_change_no_number(model, ocean, monkeypatch):
    whole = predict_grid(model, ocean)
    monkeypatch.setattr(blockwise, "BLOCK_VALUES", 500)
    parallel = fitted().set_params(n_jobs=2)
    assert_array_equal(predict_grid(parallel, ocean)["biomass"], whole["biomass"])


@pytest.mark.slow
def test_cluster_changes_no_number(model, ocean):
    import distributed

    whole = predict_grid(model, ocean)
    lazy = predict_grid(model, ocean.chunk({"month": 1, "latitude": 9}))
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):
        xr.testing.assert_identical(lazy.compute(), whole)


@pytest.mark.parametrize("file", ["field.zarr", "field.nc"])
@pytest.mark.parametrize("lazy", [False, True])
def test_written_while_predicted(model, ocean, tmp_path, file, lazy, monkeypatch):
    monkeypatch.setattr(blockwise, "BLOCK_VALUES", 500)
    env = ocean.chunk({"month": 1}) if lazy else ocean
    with predict_grid(model, env, units="mg m-3", to=tmp_path / file) as written:
        assert dask.is_dask_collection(written["biomass"].data)
        assert_array_equal(written["biomass"], predict_grid(model, ocean)["biomass"])
        assert written["biomass"].attrs["units"] == "mg m-3"
        assert written.attrs["n_cells_predictor_missing"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [file]
    with pytest.raises(FileExistsError, match="exists already"):
        predict_grid(model, env, to=tmp_path / file)


@pytest.mark.parametrize("file", ["field.zarr", "field.nc"])
def test_a_failed_prediction_leaves_no_file(model, ocean, tmp_path, file):
    ocean["temperature"][0, 8, 8] = np.inf
    with pytest.raises(ValueError, match=r"not inf; of \d+ rows: temperature \(1\)"):
        predict_grid(model, ocean, to=tmp_path / file)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda env: env.rename(nitrate="nitrates"), "no predictor 'nitrate'. Did you mean 'nitrates'"),
        (lambda env: env.rename(latitude="y"), "may have the dimensions"),
        (lambda env: env.assign(nitrate=env["nitrate"].rename(month="time")), "month or time but not both"),
    ],
)
def test_grids_that_do_not_fit_are_refused(model, ocean, change, message):
    with pytest.raises(SchemaError, match=message):
        predict_grid(model, change(ocean))


def test_wrong_use_is_refused(model, ocean, tmp_path):
    with pytest.raises(ValueError, match=r"\.zarr or \.nc; got 'field\.tif'"):
        predict_grid(model, ocean, to=tmp_path / "field.tif")
    bare = BoostedTrees(n_members=1, n_trees=2).fit(np.arange(60.0).reshape(20, 3), np.arange(20.0))
    with pytest.raises(ValueError, match="Fit it on a DataFrame"):
        predict_grid(bare, ocean)


def test_blocks_are_whole_parallels_that_hold_all_members_within_the_limit(model, ocean, monkeypatch):
    monkeypatch.setattr(blockwise, "BLOCK_VALUES", 500)
    lazy = predict_grid(model, ocean.chunk({"month": 2, "latitude": 18}))
    assert lazy["biomass"].chunks == ((3,), (1, 1), (4, 4, 4, 4, 2), (36,))  # 3 * 1 * 4 * 36 = 432 values


@pytest.mark.parametrize("chunks", [None, {"latitude": 7}])
def test_predictors_that_change_over_the_day_give_the_mean_of_its_hours(model, ocean, chunks):
    """As if the map were made for each hour; cells without value stay so, and are counted once."""
    shift = xr.DataArray([-9.0, 0.0, 4.0], {"hour": [2, 10, 18]}, ("hour",))
    day = ocean.assign(temperature=ocean["temperature"] + shift)
    hours = [predict_grid(model, ocean.assign(temperature=ocean["temperature"] + s))["biomass"] for s in shift.values]
    field = predict_grid(model, day, chunks=chunks)
    assert field["biomass"].dims == ("member", "month", "latitude", "longitude")
    xr.testing.assert_allclose(field["biomass"], xr.concat(hours, "hour").mean("hour", skipna=False), rtol=1e-6)
    assert field.attrs["share_predictor_missing"] == 1 / (2 * 18 * 32)
