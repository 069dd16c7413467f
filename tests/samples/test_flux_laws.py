"""Published constants of sinking carbon."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.samples.flux_laws import LAWS, class_factors, depth_factors


def test_constants_are_the_published_ones():
    """Guidi et al. 2008 and Bisson et al. 2022, equation 5."""
    assert LAWS.loc["guidi2008", ["a", "b", "esd_min_mm", "esd_max_mm"]].tolist() == [12.5, 3.81, 0.25, 1.5]
    assert LAWS.loc["bisson2022", ["a", "b"]].tolist() == [2.8, 2.24]


def test_kriest_s_law_from_its_parts():
    """A cell of 0.002 cm with 0.012 nmol N sinks 1.40 m/d: 66 d^0.62; mass goes with d^1.62; 106 C to 16 N."""
    speed = 1.40 / 0.002**0.62
    assert_allclose(speed, 66, rtol=2e-4)
    d_cm = 0.1
    carbon_mg = 0.012 * (d_cm / 0.002) ** 1.62 * 106 / 16 * 12.011e-6
    per_m3 = 1000.0
    assert_allclose(
        class_factors([1.0], LAWS.loc[["kriest2002"]]), [[per_m3 * carbon_mg * speed * d_cm**0.62]], rtol=1e-3
    )
    assert_allclose(LAWS.loc["kriest2002_fast", "a"] / LAWS.loc["kriest2002", "a"], 132 / 66)


def test_a_law_is_silent_outside_its_sizes():
    factors = class_factors([0.24, 0.26, 1.49, 1.51], LAWS.loc[["guidi2008"]])[:, 0]
    assert (factors > 0).tolist() == [False, True, True, False]


def test_a_law_of_depth_in_centimetres_and_cubic_metres():
    """sum of n A(z) s^B(z), n per m3 and s in cm, with A and B linear between their depths."""
    nodes = pd.DataFrame({"depth": [20.0, 220.0, 2100.0], "a": [30.0, 50.0, 40.0], "b": [2.0, 3.0, 2.5]})
    found = depth_factors([0.5, 2.0], [120.0], nodes)
    assert_allclose(found, [[1000 * 40 * 0.05**2.5, 1000 * 40 * 0.2**2.5]])
    assert np.isnan(depth_factors([0.5], [10.0, 3000.0], nodes)).all()


def test_depths_must_rise():
    with pytest.raises(ValueError, match="rising depths"):
        depth_factors([1.0], [100.0], pd.DataFrame({"depth": [200.0, 100.0], "a": 1.0, "b": 1.0}))
