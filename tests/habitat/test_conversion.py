"""A field told in another quantity: by mathematics, and with the interval that it had."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science import synthetic
from aqqua_science.grids import regular_grid
from aqqua_science.habitat import BoostedTrees, calibrate, integrate, predict_grid
from aqqua_science.habitat.conversion import convert_field
from aqqua_science.samples import join_environment
from aqqua_science.samples.rates import community_respiration
from aqqua_science.schema import SchemaError

PREDICTORS = ["temperature", "nitrate"]
NUMBERS = ["median", "low", "high", "mean", "member_low", "member_high"]


@pytest.fixture(scope="module")
def ocean():
    return synthetic.virtual_ocean(step=10, n_months=12, rng=1)


@pytest.fixture(scope="module")
def field(ocean):
    table = join_environment(synthetic.sample_ocean(ocean, n_samples=200, rng=1), ocean[PREDICTORS])
    table = table.dropna(subset=PREDICTORS)
    model = BoostedTrees(n_members=3, n_trees=20).fit(table[PREDICTORS], table["biomass_mg_m3"])
    mapped = predict_grid(model, ocean[PREDICTORS], units="mg m-3")
    given = {"target": "biomass_mg_m3", "environment": ocean[PREDICTORS], "n_replicates": 5}
    return calibrate(mapped, model, table, **given)


def test_a_factor_for_all_multiplies_estimate_and_interval(field):
    before = integrate(field, depth=(0, 200), by="basins")
    after = integrate(convert_field(field, 3.0, name="wet_weight", units="mg WW m-3"), depth=(0, 200), by="basins")
    assert_allclose(after[NUMBERS], 3 * before[NUMBERS], rtol=1e-5)
    assert_allclose(after["sampled_share"], before["sampled_share"], rtol=1e-5)
    assert set(after["units"]) == {"Pg wet weight"}


def test_a_factor_of_cells_is_weighed_by_what_is_in_them(field):
    """Nothing in the south, and twice as much in the north: twice the total of the north."""
    north = xr.where(field["latitude"] > 0, 2.0, 0.0)
    found = integrate(convert_field(field, north, name="doubled", units="mg m-3"), depth=(0, 200))
    alone = integrate(field.where(field["latitude"] > 0), depth=(0, 200))
    assert_allclose(
        found[["mean", "member_low", "member_high"]], 2 * alone[["mean", "member_low", "member_high"]], rtol=1e-5
    )


def test_units_names_and_dimensions(field):
    found = convert_field(field, 0.5, name="respiration", units="mg m-3 d-1", long_name="carbon respired")
    assert found["respiration"].attrs["units"] == found["low"].attrs["units"] == "mg m-3 d-1"
    assert found["respiration"].attrs["long_name"] == "carbon respired"
    assert "biomass" not in found
    assert found["respiration"].dims == field["biomass"].dims
    assert found["respiration"].dtype == field["biomass"].dtype
    assert found.attrs == field.attrs
    assert_allclose(found["high"], 0.5 * field["high"], rtol=1e-6)
    assert integrate(found, depth=(0, 200))["units"].iloc[0] == "PgC yr-1"


def test_what_a_map_respires_month_by_month(ocean, field):
    """Each cell of each month by the equation, added up by hand."""
    share = community_respiration(1.0, ocean["temperature"], body_carbon_mg=0.1)
    found = integrate(convert_field(field, share, name="respiration", units="mg m-3 d-1"), depth=(0, 200))
    by_hand = field.assign(biomass=(field["biomass"] * share).assign_attrs(units="mg m-3 d-1"))
    assert_allclose(found["mean"], integrate(by_hand, depth=(0, 200))["mean"], rtol=1e-5)
    relative = found["high"] / found["median"]
    assert_allclose(relative, (integrate(field, depth=(0, 200)).eval("high / median")), rtol=0.2)


def test_cells_without_a_factor_have_no_value(field):
    gap = xr.ones_like(field["biomass"].isel(member=0, month=0, drop=True)).where(field["latitude"] < 60)
    found = convert_field(field, gap, name="part", units="mg m-3")
    assert found["part"].sel(latitude=slice(60, 90)).isnull().all()


def test_fields_stay_on_dask(field):
    found = convert_field(field.chunk(member=1), 2.0, name="twice", units="mg m-3")
    assert found["twice"].chunks
    assert_allclose(found["twice"], 2 * field["biomass"])


def test_other_cells_are_refused(field):
    other = xr.ones_like(regular_grid(5.0)["latitude"] + regular_grid(5.0)["longitude"])
    with pytest.raises(SchemaError, match=r"same cells\. Bring it there: aq\.grids\.regrid"):
        convert_field(field, other, name="x", units="mg m-3")
    with pytest.raises(SchemaError, match="dimension 'depth', which the field lacks"):
        convert_field(field, xr.DataArray([1.0, 2.0], dims="depth"), name="x", units="mg m-3")


@pytest.mark.parametrize("factor", [-1.0, xr.DataArray(-1.0)])
def test_a_factor_has_no_sign(field, factor):
    with pytest.raises(ValueError, match="0 or above; got -1"):
        convert_field(field, factor, name="x", units="mg m-3")


def test_rates_of_other_cells_are_refused(field):
    coarse = field["biomass"].isel(member=0)
    fine = xr.zeros_like(regular_grid(5.0)["latitude"] + regular_grid(5.0)["longitude"])
    with pytest.raises(SchemaError, match=r"same cells\. Bring one to the other"):
        community_respiration(coarse, fine, body_carbon_mg=0.1)
    assert np.isfinite(community_respiration(coarse, 10.0, body_carbon_mg=0.1)).any()
