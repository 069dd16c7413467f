"""Layers: means against sums by hand."""

import numpy as np
import pytest
import xarray as xr

from aqqua_science.plot.layers import extrapolated, flatten, interval_width
from aqqua_science.schema import SchemaError

DIMS = ("member", "month", "depth", "latitude", "longitude")


def make_field(shape, **coords):
    values = np.random.default_rng(0).random(shape)
    return xr.DataArray(values, coords, DIMS, name="biomass", attrs={"units": "mg m-3"})


def test_depths_count_by_their_thickness():
    field = make_field((2, 3, 2, 4, 5), depth=[25.0, 125.0])
    layer, note = flatten(field)
    by_hand = (75 * field.values.mean((0, 1))[0] + 100 * field.values.mean((0, 1))[1]) / 175
    np.testing.assert_allclose(layer.values, by_hand)
    assert note == "mean of 2 members and 3 months, 0–175 m"
    assert layer.attrs == {"units": "mg m-3"}


def test_a_single_depth_is_named():
    layer, note = flatten(make_field((1, 1, 1, 4, 5), depth=[100.0]))
    assert (layer.dims, note) == (("latitude", "longitude"), "100 m")


def test_spread_of_members_is_that_of_their_annual_means():
    field = make_field((40, 12, 1, 2, 2), depth=[50.0])
    width, label = interval_width(xr.Dataset({"biomass": field}), "biomass")
    annual = field.values.mean((1, 2))
    np.testing.assert_allclose(width.values, np.diff(np.quantile(annual, [0.05, 0.95], axis=0), axis=0)[0])
    assert label.startswith("Member spread")


def test_only_cells_with_a_value_count_as_extrapolated():
    latitude = {"latitude": [-10.0, 10.0], "longitude": [-90.0, 90.0]}
    layer = xr.DataArray([[1.0, np.nan], [1.0, 1.0]], latitude, ("latitude", "longitude"))
    inside = xr.DataArray([[0, 0], [1, 1]], latitude, ("latitude", "longitude"))
    share, fraction = extrapolated(xr.Dataset({"inside": inside}), layer)
    assert fraction == pytest.approx(1 / 3)
    np.testing.assert_array_equal(share.values, [[1, np.nan], [0, 0]])


def test_unknown_dimensions_are_refused():
    with pytest.raises(SchemaError, match=r"scenario.*Select one value"):
        flatten(make_field((1, 1, 1, 2, 2), depth=[5.0]).rename(month="scenario").isel(member=0))


def test_months_without_a_prediction_are_not_extrapolated():
    """A cell mapped in two of three months and inside in both is inside, though the dark month is not."""
    inside = xr.DataArray([[[1]], [[1]], [[0]]], {"month": [1, 2, 3], "latitude": [80.0], "longitude": [0.0]})
    inside = xr.concat([inside, inside.assign_coords(longitude=[1.0])], "longitude")
    inside = xr.concat([inside, inside.assign_coords(latitude=[81.0])], "latitude")
    values = inside.astype(float).where(inside == 1)
    assert extrapolated(xr.Dataset({"inside": inside}), values)[1] == 0
