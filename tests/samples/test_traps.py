"""Fluxes of traps: what is used, brought to which depth, and for which months it speaks."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.samples.martin import martin_curve
from aqqua_science.samples.pangaea import read_pangaea
from aqqua_science.samples.traps import pool_fluxes, trap_fluxes
from aqqua_science.schema import SchemaError


def deployments(**columns):
    """Two weeks in May at 1000 m in the open ocean, a row for each value given."""
    n = max((len(v) for v in columns.values() if isinstance(v, list)), default=1)
    plain = {
        "Latitude": [30.5] * n,
        "Longitude": -60.5,
        "Depth water [m]": 1000.0,
        "Date/Time": "2000-05-02",
        "Date/time end": "2000-05-16",
        "POC flux [mg/m**2/day]": 5.0,
        "Bathy depth [m]": 4500.0,
    }
    return pd.DataFrame(plain | columns)


def reason_of(**columns):
    accepted, rejected = trap_fluxes(deployments(**columns))
    assert len(accepted) + len(rejected) == 1
    return rejected["reason"].tolist()


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("POC flux [mg/m**2/day]", np.nan, "no flux of organic carbon"),
        ("POC flux [mg/m**2/day]", -1.0, "the flux is negative or infinite"),
        ("POC flux [mg/m**2/day]", np.inf, "the flux is negative or infinite"),
        ("Depth water [m]", 0.0, "no depth of the trap"),
        ("Depth water [m]", np.nan, "no depth of the trap"),
        ("Depth water [m]", 4450.0, "within 100 m of the sea floor, or below it"),
        ("Date/Time", None, "no date"),
        ("Date/Time", "2000-06-01", "it ends before it begins"),
        ("Latitude", 95.0, "latitude 95 is outside -90..90"),
    ],
)
def test_what_cannot_be_used_is_set_apart_with_its_reason(column, value, reason):
    (told,) = reason_of(**{column: [value]})
    assert told.startswith(reason)


def test_what_can_be_used_is_kept_as_it_is():
    accepted, rejected = trap_fluxes(deployments())
    assert rejected.empty
    row = accepted.iloc[0]
    assert (row["flux_mg_m2_d"], row["depth"], row["method"]) == (5.0, 1000.0, "trap")
    assert row["time_end"] - row["time_start"] == pd.Timedelta(days=14)


@pytest.mark.parametrize(
    ("unit", "flux", "expected"),
    [
        ("mg/m**2/day", 12.011, 12.011),
        ("mmol/m**2/day", 1.0, 12.011),
        ("µmol/m**2/day", 1000, 12.011),
        ("g/m**2/a", 365.25, 1000),
    ],
)
def test_units_become_milligrams_of_carbon_a_day(unit, flux, expected):
    table = deployments().drop(columns="POC flux [mg/m**2/day]").assign(**{f"POC flux [{unit}]": flux})
    assert_allclose(trap_fluxes(table)[0]["flux_mg_m2_d"], expected)


def test_an_unknown_unit_is_refused():
    table = deployments().rename(columns={"POC flux [mg/m**2/day]": "POC flux [furlong]"})
    with pytest.raises(SchemaError, match=r"unit .*furlong.* is not known"):
        trap_fluxes(table)


def test_columns_of_other_tables_are_named():
    table = deployments().rename(columns={"POC flux [mg/m**2/day]": "carbon", "Depth water [m]": "z"})
    with pytest.raises(SchemaError, match="no column was recognised as depth"):
        trap_fluxes(table)
    accepted, _ = trap_fluxes(table, columns={"flux": "carbon", "depth": "z"})
    assert accepted["depth"].tolist() == [1000.0]
    with pytest.raises(SchemaError, match=r"'flux_'.*Did you mean 'flux'"):
        trap_fluxes(table, columns={"flux_": "carbon"})


def test_the_duration_tells_the_end_that_is_missing_or_the_beginning_again():
    ends = [None, "2000-05-02T12:00", "2000-05-12"]
    told = {"Date/time end": ends, "Duration [days]": 20.0, "Depth water [m]": [1000.0, 2000.0, 3000.0]}
    accepted, _ = trap_fluxes(deployments(**told))
    days = (accepted["time_end"] - accepted["time_start"]) / pd.Timedelta(days=1)
    assert_allclose(days, [20, 20, 10])


def test_thorium_speaks_for_the_weeks_before_it():
    table = deployments(**{"Type (Data type)": ["th234"], "Date/time end": "2000-05-02T12:00", "Duration [days]": 1.0})
    accepted, _ = trap_fluxes(table)
    assert accepted["method"].tolist() == ["thorium"]
    assert_allclose((accepted["time_end"] - accepted["time_start"]) / pd.Timedelta(days=1), 24.1)
    assert accepted["time_end"][0] <= pd.Timestamp("2000-05-03")


def test_thorium_needs_one_date():
    table = deployments(**{"Type (Data type)": ["th234", "th234"], "Depth water [m]": [100.0, 200.0]})
    accepted, _ = trap_fluxes(
        table.assign(**{"Date/Time": ["2000-05-02", None], "Date/time end": [None, "2000-05-02"]})
    )
    assert accepted["time_end"].tolist() == [pd.Timestamp("2000-05-02")] * 2
    assert_allclose((accepted["time_end"] - accepted["time_start"]) / pd.Timedelta(days=1), 24.1)


def test_end_and_duration_tell_the_beginning():
    accepted, _ = trap_fluxes(deployments(**{"Date/Time": [None], "Duration [days]": 14.0}))
    assert accepted["time_start"].tolist() == [pd.Timestamp("2000-05-02")]


def test_a_mean_of_deployments_that_are_there_does_not_count_twice():
    starts = pd.date_range("2000-01-01", periods=12, freq="30D").astype(str).tolist()
    ends = pd.date_range("2000-01-31", periods=12, freq="30D").astype(str).tolist()
    cups = {"Date/Time": [*starts, "2000-01-01"], "Date/time end": [*ends, "2000-12-26"]}
    accepted, rejected = trap_fluxes(deployments(**cups))
    assert len(accepted) == 12
    assert rejected["reason"].tolist() == ["shorter deployments at this place and depth cover it"]
    twins = {
        "Date/Time": [*starts[:5], *starts[:5], "2000-01-01"],
        "Date/time end": [*ends[:5], *ends[:5], "2000-12-26"],
    }
    flux = {"POC flux [mg/m**2/day]": [*range(1, 12)]}
    assert trap_fluxes(deployments(**twins, **flux))[1].empty  # two cups at a time cover no more days than one
    half = {"Date/Time": [*starts[:6], "2000-01-01"], "Date/time end": [*ends[:6], "2000-12-26"]}
    assert trap_fluxes(deployments(**half))[1].empty
    elsewhere = cups | {"Depth water [m]": [1000.0] * 12 + [2000.0]}
    assert trap_fluxes(deployments(**elsewhere))[1].empty


def fluxes(depth, *, days=14, start="2000-05-02", **columns):
    table = pd.DataFrame({"latitude": 30.5, "longitude": -60.5, "depth": np.atleast_1d(depth).astype(float)})
    begin = pd.to_datetime(pd.Series(np.broadcast_to(np.atleast_1d(start), len(table))))
    end = begin + pd.to_timedelta(pd.Series(np.broadcast_to(days, len(table))), unit="D")
    return table.assign(**{"time_start": begin, "time_end": end, "flux_mg_m2_d": 1.0} | columns)


def test_a_martin_curve_is_one_flux_at_the_horizon():
    """Whatever the depths, fluxes of one curve become its value at the horizon."""
    depth = np.geomspace(60, 290, 9)
    pooled = pool_fluxes(fluxes(depth, flux_mg_m2_d=martin_curve(depth, 40.0, b=0.7)), horizon=100, b=0.7)
    assert_allclose(pooled["flux_mg_m2_d"], 40.0)
    assert pooled["n_deployments"].sum() == 9
    assert len(pooled) > 3


def test_depths_beyond_those_asked_for_are_left_out():
    assert pool_fluxes(fluxes([40, 60, 300, 310]), horizon=100)["n_deployments"].sum() == 2
    assert pool_fluxes(fluxes([40, 60, 300, 310]), horizon=100, between=(30, 50))["n_deployments"].sum() == 1
    with pytest.raises(
        SchemaError, match="no flux was measured between 500 and 3000 m; the depths run from 40 to 310 m"
    ):
        pool_fluxes(fluxes([40, 310]), horizon=1000)


@pytest.mark.parametrize(
    ("start", "days", "month", "n_months"),
    [
        ("2000-05-25", 10, 5, 1),
        ("2000-05-25", 20, 6, 1),
        ("2000-12-25", 14, 1, 1),
        ("2000-11-10", 80, 11, 3),
        ("2000-05-01", 62, 5, 2),
        ("2000-05-31", 62, 6, 2),
        ("2000-05-20", 50, 6, 1),
        ("2000-01-01", 299, 1, 10),
        ("2000-11-10", 310, 1, 12),
        ("2000-05-02", 45, 5, 1),
    ],
)
def test_how_long_a_deployment_is_tells_for_which_months_it_speaks(start, days, month, n_months):
    pooled = pool_fluxes(fluxes([100], start=start, days=days), horizon=100)
    assert pooled[["month", "n_months"]].values.tolist() == [[month, n_months]]


def test_one_cell_month_and_depth_is_one_row_weighted_by_days():
    pooled = pool_fluxes(fluxes([100, 100], days=[10, 30], flux_mg_m2_d=[1.0, 5.0], reference=["B", "A"]), horizon=100)
    assert_allclose(pooled["flux_mg_m2_d"], (10 * 1 + 30 * 5) / 40)
    assert pooled["contributors"].tolist() == ["A; B"]
    apart = [
        {"latitude": [30.5, 31.5]},
        {"longitude": [-60.5, -59.5]},
        {"depth": [100.0, 150.0]},
        {"start": ["2000-05-02", "2000-08-02"]},
    ]
    for change in apart:
        table = fluxes([100, 100], start=change.get("start", "2000-05-02")).assign(
            **{k: v for k, v in change.items() if k != "start"}
        )
        assert len(pool_fluxes(table, horizon=100)) == 2, change


def test_cells_meet_at_the_date_line():
    table = fluxes([100, 100, 100]).assign(longitude=[180.0, -180.0, 180.4], latitude=10.5)
    assert pool_fluxes(table, horizon=100)["n_deployments"].tolist() == [3]


@pytest.mark.parametrize(("cell_degrees", "n"), [(1.0, 2), (5.0, 1)])
def test_the_size_of_cells_is_chosen(cell_degrees, n):
    table = fluxes([100, 100]).assign(latitude=[30.5, 33.5])
    assert len(pool_fluxes(table, horizon=100, cell_degrees=cell_degrees)) == n


def test_the_compilation_of_mouw_and_others(shared_data):
    """It holds 14,055 fluxes of organic carbon; most are used, each other one has a reason."""
    table = read_pangaea(next(shared_data.rglob("GO_flux.tab")))
    assert table["POC flux [mg/m**2/day]"].notna().sum() == 14_055
    accepted, rejected = trap_fluxes(table)
    assert len(accepted) + len(rejected) == len(table) == 15_792
    assert (rejected["reason"] == "no flux of organic carbon").sum() == 15_792 - 14_055
    assert len(accepted) > 0.95 * 14_055
    assert (accepted["method"] == "thorium").sum() > 400
    assert (accepted["sea_floor_depth"] - accepted["depth"]).min() >= 100
    for horizon in (100, 1000):
        pooled = pool_fluxes(accepted, horizon=horizon)
        between = accepted["depth"].between(horizon / 2, 3 * horizon)
        assert pooled["n_deployments"].sum() == between.sum()
        assert pooled[["latitude", "longitude", "flux_mg_m2_d"]].notna().all(axis=None)
