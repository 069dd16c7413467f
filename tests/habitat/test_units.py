"""Units of targets and budgets against arithmetic done by hand."""

import pytest
from numpy.testing import assert_allclose

from aqqua_science.habitat.units import budget_units
from aqqua_science.schema import SchemaError


@pytest.mark.parametrize(
    ("text", "factor", "units"),
    [
        ("mg m-3", 1e-18, "PgC"),
        ("mgC m-3", 1e-18, "PgC"),
        ("mg C m^-3", 1e-18, "PgC"),
        ("ug/L", 1e-18, "PgC"),
        ("g m-2", 1e-15, "PgC"),
        ("mmol m-3", 12.011e-18, "PgC"),
        ("mg m-2 d-1", 365.25e-18, "PgC yr-1"),
        ("mol m-2 s-1", 12.011 * 365.25 * 86400 * 1e-15, "PgC yr-1"),
        ("m-3", 1.0, "individuals"),
        ("ind. L-1", 1000.0, "individuals"),
        ("mm3 m-3", 1e-18, "km3"),
        ("mg DW m-3", 1e-18, "Pg dry weight"),
    ],
)
def test_a_total_is_the_factor_times_the_sum(text, factor, units):
    found = budget_units(text)
    assert found.units == units
    assert_allclose(found.factor, factor, rtol=1e-12)


def test_molar_flux_agrees_with_the_cf_identity():
    """1 mg C m-2 d-1 is 9.636e-10 mol m-2 s-1."""
    ratio = budget_units("mg m-2 d-1").factor / budget_units("mol m-2 s-1").factor
    assert_allclose(ratio, 9.636e-10, rtol=1e-4)


@pytest.mark.parametrize("text", ["degC", "psu", "umol kg-1", "1", "", "m", "m3", "mg m-3 s", "bananas", "mg"])
def test_what_cannot_be_added_up_is_refused_by_value_with_examples(text):
    with pytest.raises(SchemaError, match=r"units '.*mg m-3"):
        budget_units(text)


def test_a_flux_is_not_called_a_stock():
    with pytest.raises(SchemaError, match="flux"):
        budget_units("mg m-2 d-1", "stock")
