"""Colours: limits, units and labels."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import LogNorm

from aqqua_science.plot.colours import choose_colours, choose_scale, describe_quantity, format_units, is_change


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ("mg m-3", "mg m⁻³"),
        ("mg C m-2 d-1", "mg C m⁻² d⁻¹"),
        ("mmol CO2 m^-2", "mmol CO2 m⁻²"),
        ("1e6 km2", "1e6 km²"),
        ("umol kg**-1", "µmol kg⁻¹"),
        ("PgC yr-1", "PgC yr⁻¹"),
        ("degree_Celsius", "°C"),
        ("degC", "°C"),
        ("1", ""),
        ("", ""),
    ],
)
def test_units_are_written_as_people_do(units, expected):
    assert format_units(units) == expected


def test_a_quantity_falls_back_on_its_name():
    assert (
        describe_quantity(xr.DataArray(0.0, name="mixed_layer_depth", attrs={"units": "m"})) == "Mixed layer depth (m)"
    )
    assert describe_quantity(xr.DataArray(0.0, attrs={"units": "1"})) == "Value"


@pytest.mark.parametrize("name", ["temperature", "salinity", "biomass"])
def test_colour_maps_are_even_in_lightness(name):
    """Lightness moves one way: order survives printing in grey and any colour blindness."""
    rgb = choose_colours(xr.DataArray(0.0, name=name))(np.linspace(0, 1, 64))[:, :3]
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    steps = np.diff(luminance)
    assert (steps > -1e-3).all() or (steps < 1e-3).all()


def test_even_values_get_a_linear_scale_on_round_numbers():
    norm, extend = choose_scale(np.linspace(33.03, 36.9, 1000))
    assert not isinstance(norm, LogNorm)
    assert norm.vmin == pytest.approx(33, abs=0.2)
    assert norm.vmax == pytest.approx(37, abs=0.2)
    assert extend == "neither"


def test_extremes_do_not_set_the_limits():
    values = np.r_[np.linspace(1, 2, 1000), 1e6]
    norm, extend = choose_scale(values)
    assert norm.vmax < 3
    assert extend == "max"


def test_negative_values_never_meet_a_logarithm():
    norm, _ = choose_scale(np.r_[-1.0, np.random.default_rng(0).lognormal(0, 3, 1000)])
    assert not isinstance(norm, LogNorm)


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0])
def test_a_constant_field_has_a_scale(value):
    norm, _ = choose_scale(np.full(10, value))
    assert norm.vmin < value < norm.vmax


def test_mostly_zeros_with_few_blooms_stay_linear():
    norm, extend = choose_scale(np.r_[np.zeros(90), np.linspace(1, 10, 10)])
    assert not isinstance(norm, LogNorm)
    assert (norm.vmin, extend) == (0.0, "max")


def test_changes_are_centred_on_zero_and_quantities_are_not():
    trend = xr.DataArray([-1.0, 0.5, 3.0], dims="x", attrs={"long_name": "trend of temperature"})
    assert is_change(trend)
    assert not is_change(trend.assign_attrs(long_name="temperature"))
    norm, extend = choose_scale(trend, centred=True)
    assert norm.vmin == -norm.vmax
    assert norm(0) == 0.5
    assert extend in ("neither", "max")
    assert choose_colours(trend).name == "balance"
