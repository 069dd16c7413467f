"""Respiration, against the published equation by hand, its laws of scaling, and a published map."""

import re
from math import exp, log
from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.grids import open_environment
from aqqua_science.habitat import integrate
from aqqua_science.samples.rates import RESPIRATION_LAWS, community_respiration, respiration
from aqqua_science.schema import SchemaError


def test_the_published_equations_by_hand():
    """Ikeda (1985): ul O2 per animal and hour of mg of carbon and of dry mass; 12.011 g C and 22.4 l O2 to the mole."""
    for law, constant, slope, warmth in (
        ("ikeda1985", 0.5254, 0.8354, 0.0601),
        ("ikeda1985_dry", -0.2512, 0.7886, 0.049),
    ):
        for mass in (0.01, 1.0, 30.0):
            oxygen = exp(constant + slope * log(mass) + warmth * 10.0)
            assert_allclose(respiration(mass, 10.0, law=law), oxygen * 24 * 0.97 * 12.011 / 22.4 / 1000, rtol=1e-12)


def test_q10_and_the_weight_of_body_mass():
    rate = respiration([1.0, 1.0, 0.1], [5.0, 15.0, 5.0])
    assert_allclose(rate[1] / rate[0], 1.824, rtol=1e-3)
    assert_allclose(community_respiration(1.0, 5.0, body_carbon_mg=0.1) / rate[0], 10**0.1646, rtol=1e-3)
    assert_allclose(respiration(1.0, 5.0, respiratory_quotient=0.8) / rate[0], 0.8 / 0.97, rtol=1e-12)


def test_a_community_is_the_sum_of_its_animals():
    """700 animals of 0.2 mg and 30 of 2 mg to the cubic metre."""
    animals = 700 * respiration(0.2, 12.0) + 30 * respiration(2.0, 12.0)
    biomass = np.array([140.0, 60.0])
    assert_allclose(
        community_respiration(biomass, 12.0, body_carbon_mg=np.array([0.2, 2.0])).sum(), animals, rtol=1e-12
    )


def test_fields_stay_lazy_and_have_units():
    values = np.random.default_rng(0).uniform(0, 5, (3, 4))
    biomass = xr.DataArray(values, dims=("latitude", "longitude"), attrs={"units": "mg m-3"}, name="biomass")
    temperature = xr.full_like(biomass, 10.0).assign_attrs(units="degC")
    lazy = community_respiration(
        biomass.copy(data=dask.array.from_array(values)), temperature.chunk(), body_carbon_mg=0.1
    )
    assert lazy.chunks
    assert lazy.attrs["units"] == "mg m-3 d-1"
    assert_allclose(lazy, values * community_respiration(1.0, 10.0, body_carbon_mg=0.1))
    assert np.isnan(respiration([0.0, -1.0, np.nan], 10.0)).all()


def test_what_is_no_temperature_or_mass_is_refused():
    with pytest.raises(SchemaError, match=r"found 283\.15\. Subtract 273\.15"):
        respiration(1.0, 283.15)
    kelvin = xr.DataArray(dask.array.full(3, 283.15), dims="x", name="thetao", attrs={"units": "K"})
    with pytest.raises(SchemaError, match="'thetao' is in K"):
        respiration(1.0, kelvin)
    with pytest.raises(ValueError, match="Did you mean 'ikeda1985'"):
        respiration(1.0, 10.0, law="ikeda1986")
    with pytest.raises(ValueError, match="body_carbon_mg must be above 0"):
        community_respiration(1.0, 10.0, body_carbon_mg=0.0)
    with pytest.raises(ValueError, match="respiratory_quotient must be above 0"):
        respiration(1.0, 10.0, respiratory_quotient=0)
    assert RESPIRATION_LAWS["source"].str.contains("1985").all()


def test_the_figures_of_the_page(shared_data):
    """docs/maps.md: what the copepods of the published map respire, from the map and the study's temperatures."""
    page = (Path(__file__).parents[2] / "docs" / "maps.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| (0\.\d+) mg \| ([\d.]+) PgC", page, re.MULTILINE))
    assert set(told) == {"0.03", "0.1", "0.3"}
    published = open_environment(shared_data / "drago2022" / "published_copepoda_0_200m.nc")
    temperature = open_environment(shared_data / "drago2022" / "environment_0_200m.nc", variables="temperature")
    field = published["biomass"].expand_dims(member=[0]).assign_attrs(units="mg m-3")
    for mass, total in told.items():
        daily = community_respiration(field, temperature["temperature"], body_carbon_mg=float(mass))
        row = integrate(daily.to_dataset(name="respiration"), depth=(0, 200), by="global").iloc[0]
        assert f"{row['mean']:.2g}" == total
