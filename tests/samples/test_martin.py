"""The fading of flux with depth."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.samples.martin import fit_martin, martin_curve, transfer_efficiency
from aqqua_science.schema import SchemaError


def profiles(rng, b, *, relative_error=0.0, n=10, names="abc"):
    depth = np.geomspace(100, 2000, n)
    rows = [
        pd.DataFrame({"sample_id": name, "depth": depth, "flux_mg_m2_d": martin_curve(depth, 40.0, b=b)})
        for name in names
    ]
    table = pd.concat(rows, ignore_index=True)
    table["flux_mg_m2_d"] *= np.exp(rng.normal(0, relative_error, len(table)))
    return table


def test_the_open_ocean_composite():
    """At 1000 m 13.9 % of what left 100 m is left."""
    assert_allclose(martin_curve([100.0, 1000.0], 1.0), [1, 0.1387], rtol=1e-3)


def test_the_exponent_is_found_without_error():
    fit = fit_martin(profiles(np.random.default_rng(1), 1.3))
    assert_allclose(fit["b"], 1.3)
    assert_allclose(fit["flux_ref"], 40)
    assert (fit["b_se"] < 1e-6).all()
    assert fit[["n", "left_out", "depth_min", "depth_max"]].values[0].tolist() == [10, 0, 100, 2000]


def test_errors_cover_the_truth():
    names = [f"{i}" for i in range(1500)]
    fit = fit_martin(profiles(np.random.default_rng(2), 0.858, relative_error=0.3, names=names))
    assert abs(fit["b"].mean() - 0.858) < 0.01
    assert_allclose(np.sqrt((fit["b_se"] ** 2).mean()), fit["b"].std(), rtol=0.08)


def test_the_line_is_that_of_a_slow_reference():
    table = profiles(np.random.default_rng(3), 0.7, relative_error=0.4, names="a").assign(
        se=lambda t: 0.1 * t["depth"] ** 0.1
    )
    weight = table["flux_mg_m2_d"] / table["se"]
    slope, intercept = np.polyfit(np.log(table["depth"] / 200), np.log(table["flux_mg_m2_d"]), 1, w=weight)
    fit = fit_martin(table, depth_ref=200.0, se="se")
    assert_allclose([fit["b"].item(), fit["flux_ref"].item()], [-slope, np.exp(intercept)])


def test_fluxes_without_logarithm_are_left_out_and_counted():
    table = profiles(np.random.default_rng(4), 0.9, names="a")
    table.loc[[0, 3], "flux_mg_m2_d"] = [0.0, np.nan]
    fit = fit_martin(table)
    assert fit[["n", "left_out"]].values.tolist() == [[8, 2]]
    assert_allclose(fit["b"], 0.9)


def test_one_depth_tells_nothing_and_two_no_error():
    table = profiles(np.random.default_rng(5), 0.9, n=2, names="ab").iloc[:3]
    fit = fit_martin(table)
    assert np.isnan(fit["b"][1])
    assert_allclose(fit["b"][0], 0.9)
    assert np.isnan(fit["b_se"][0])


def test_several_columns_tell_profiles_apart():
    table = profiles(np.random.default_rng(6), 0.9, names="aa").assign(cruise=["x"] * 10 + ["y"] * 10)
    assert fit_martin(table, by=["sample_id", "cruise"])[["sample_id", "cruise"]].values.tolist() == [
        ["a", "x"],
        ["a", "y"],
    ]


def test_depths_lie_below_the_surface():
    with pytest.raises(ValueError, match="above 0 m"):
        martin_curve(0.0, 1.0)
    with pytest.raises(SchemaError, match="1 of 3"):
        fit_martin(profiles(np.random.default_rng(7), 1.0, n=3, names="a").assign(depth=[0.0, 1.0, 2.0]))


def test_transfer_efficiency_and_its_error():
    found = transfer_efficiency(pd.DataFrame({"b": [0.858, 2.0], "b_se": [0.05, 0.0]}), shallow=100, deep=1000)
    assert_allclose(found["transfer_efficiency"], [0.1387, 0.01], rtol=1e-3)
    drawn = 10 ** -np.random.default_rng(8).normal(0.858, 0.05, 200_000)
    assert_allclose(found["transfer_efficiency_se"][0], drawn.std(), rtol=0.02)
    with pytest.raises(ValueError, match="shallow < deep"):
        transfer_efficiency(pd.DataFrame({"b": [1.0], "b_se": [0.1]}), shallow=100, deep=50)


@pytest.mark.parametrize("se", [None, "se"])
def test_many_fluxes_at_one_depth_make_no_curve(se):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"sample_id": np.repeat(np.arange(300), 4), "depth": np.repeat(rng.uniform(50, 2000, 300), 4)})
    table = table.assign(flux_mg_m2_d=rng.uniform(1, 90, 1200), se=rng.uniform(0.1, 9, 1200))
    assert fit_martin(table, se=se)["b"].isna().all()


def test_profiles_without_a_name_are_refused():
    table = profiles(np.random.default_rng(0), 0.8).assign(sample_id=lambda t: t["sample_id"].replace("b", None))
    with pytest.raises(SchemaError, match="sample_id is missing in 10 of 30"):
        fit_martin(table)
