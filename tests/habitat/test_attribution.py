"""Shapley values against their definition, the predictions they add up to, and maps cell by cell."""

from itertools import permutations

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression

from aqqua_science.grids import regular_grid
from aqqua_science.habitat import BoostedTrees, blockwise
from aqqua_science.habitat.attribution import dominant_driver, member_contributions, shap_values

NAMES = ["temperature", "nitrate", "bathymetry"]


def samples(n=300, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.uniform(0, 30, (n, 3)), columns=NAMES)
    y = rng.gamma(2.0, np.exp(0.15 * X["temperature"] - 0.05 * X["nitrate"])) * (rng.uniform(size=n) < 0.8)
    return X, y


def fitted(objective="poisson", n_members=4, **settings):
    X, y = samples()
    if objective == "gamma":
        X, y = X[y > 0], y[y > 0]
    return BoostedTrees(objective, n_members=n_members, n_trees=25, **settings).fit(X, y)


@pytest.mark.parametrize("objective", ["poisson", "tweedie", "gamma", "two-part"])
@pytest.mark.parametrize("base_score", ["mean", 0.5])
def test_contributions_add_up_to_the_log_of_the_amount(objective, base_score):
    model, X = fitted(objective, base_score=base_score), samples(50, seed=1)[0]
    found = shap_values(model, X)
    total = found["base"] + found["contribution"].sum("predictor")
    assert_allclose(total, np.log(model.predict_members(X)).mean(axis=0), atol=1e-4)
    assert_allclose(found["factor"].prod("predictor") * np.exp(found["base"]), np.exp(total), rtol=1e-4)
    each = member_contributions(model, X)
    assert_allclose(each.sum(axis=2), np.log(model.predict_members(X)), atol=1e-4)
    assert_allclose(found["member_sd"], each[..., :-1].std(axis=0))


def test_the_logarithm_of_objective_log_has_a_constant():
    model, X = fitted("log"), samples(50, seed=1)[0]
    total = np.exp(member_contributions(model, X).sum(axis=2))
    unit = (model.smearing_ / model.scale_)[:, None]
    assert_allclose(total - model.log_constant_ * unit, model.predict_members(X), atol=1e-3)


def test_an_offset_leaves_amounts_per_volume():
    X, y = samples()
    model = BoostedTrees(n_members=2, n_trees=20, volume_as="offset").fit(X, y, volume=np.linspace(1, 5, len(y)))
    each = member_contributions(model, X)
    assert_allclose(each.sum(axis=2), np.log(model.predict_members(X)), atol=1e-4)


def test_one_tree_has_the_shapley_values_of_the_definition():
    """The mean over all orders in which predictors become known, of a tree that asks what it knows (path-dependent)."""
    X, y = samples()
    model = BoostedTrees("log", n_members=1, n_trees=1, max_depth=2, subsample=1.0, learning_rate=1.0).fit(X, y)
    tree = model.models_[0][0].trees_to_dataframe().set_index("ID")

    def value(node, row, known):
        leaf = tree.loc[node]
        if leaf["Feature"] == "Leaf":
            return leaf["Gain"]
        predictor = int(leaf["Feature"][1:])
        if predictor in known:
            return value(leaf["Yes"] if row.iloc[predictor] < leaf["Split"] else leaf["No"], row, known)
        covers = [tree.loc[leaf[side], "Cover"] for side in ("Yes", "No")]
        return np.average([value(leaf[side], row, known) for side in ("Yes", "No")], weights=covers)

    rows = X.iloc[:20]
    found = shap_values(model, rows)["contribution"]
    for i in range(20):
        expected = np.zeros(3)
        for order in permutations(range(3)):
            for place, predictor in enumerate(order):
                before, after = set(order[:place]), set(order[: place + 1])
                expected[predictor] += value("0-0", rows.iloc[i], after) - value("0-0", rows.iloc[i], before)
        assert_allclose(found[i], expected / 6, atol=1e-5)


def test_missing_predictors_are_treated_as_the_model_treats_them():
    X, y = samples()
    X.loc[::7, "nitrate"] = np.nan
    with pytest.warns(UserWarning, match="median"):
        model = BoostedTrees(n_members=2, n_trees=10, missing="impute").fit(X, y)
    for chosen in (model, BoostedTrees(n_members=2, n_trees=10, missing="allow").fit(X, y)):
        each = member_contributions(chosen, X)
        assert_allclose(each.sum(axis=2), np.log(chosen.predict_members(X)), atol=1e-4)
    with pytest.raises(ValueError, match=r"nitrate \(43\)"):
        shap_values(fitted(), X)


def test_columns_are_found_by_name_and_members_counted():
    model, X = fitted(), samples(20, seed=2)[0]
    xr.testing.assert_identical(shap_values(model, X[NAMES[::-1]]), shap_values(model, X))
    assert_allclose(
        shap_values(model, X, n_members=2)["contribution"], member_contributions(model, X)[:2, :, :-1].mean(axis=0)
    )


def test_the_map_of_drivers_is_that_of_the_samples_in_its_cells(ocean):
    model = fitted()
    found = dominant_driver(model, ocean)
    assert found["driver"].dims == ("month", "latitude", "longitude")
    for month, latitude, longitude in [(0, 3, 9), (1, 17, 35), (0, 5, 20)]:
        cell = ocean.isel(month=month, latitude=latitude, longitude=longitude)
        values = shap_values(model, pd.DataFrame({name: [float(cell[name])] for name in NAMES}))
        values = values["contribution"].values[0]
        here = found.isel(month=month, latitude=latitude, longitude=longitude)
        assert_allclose(here["contribution"], values, atol=1e-6)
        assert int(here["driver"]) == int(abs(values).argmax())
        assert_allclose(here["driver_factor"], np.exp(values[int(here["driver"])]), rtol=1e-5)


def test_land_and_cells_without_prediction_are_flagged(ocean):
    driver = dominant_driver(fitted(), ocean)["driver"]
    assert (driver[:, :, :4] == -1).all()
    assert driver[1, 5, 20] == -1
    assert (driver == -1).sum() == 2 * 18 * 4 + 1
    meanings = dict(zip(driver.attrs["flag_values"].tolist(), driver.attrs["flag_meanings"].split(), strict=True))
    assert meanings == {-1: "not_predicted", 0: "temperature", 1: "nitrate", 2: "bathymetry"}
    assert driver.dtype == driver.attrs["flag_values"].dtype == np.int8


def test_what_rules_alone_drives_everywhere(ocean):
    X, _ = samples()
    model = BoostedTrees(n_members=2, n_trees=30).fit(X, np.exp(0.2 * X["temperature"]))
    driver = dominant_driver(model, ocean)["driver"]
    assert ((driver == 0) | (driver == -1)).mean() > 0.98


def test_blocks_and_dask_change_no_number(ocean, monkeypatch):
    model = fitted()
    whole = dominant_driver(model, ocean)
    lazy = dominant_driver(model, ocean.chunk({"month": 1, "latitude": 7}))
    assert all(dask.is_dask_collection(variable.data) for variable in lazy.values())
    xr.testing.assert_identical(lazy.compute(), whole)
    monkeypatch.setattr(blockwise, "BLOCK_VALUES", 3000)
    xr.testing.assert_identical(dominant_driver(model, ocean), whole)
    assert_array_equal(dominant_driver(fitted(n_members=4, n_jobs=2), ocean)["driver"], whole["driver"])
    other = dominant_driver(model, ocean, n_members=1)
    assert not np.array_equal(other["contribution"], whole["contribution"], equal_nan=True)


def test_models_without_trees_are_refused():
    X, y = samples()
    with pytest.raises(TypeError, match="got LinearRegression"):
        shap_values(LinearRegression().fit(X, y), X)
    with pytest.raises(TypeError, match="got BoostedTrees"):
        dominant_driver(BoostedTrees(), regular_grid(30.0))
