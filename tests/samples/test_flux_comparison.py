"""Fluxes from sizes beside those of traps: places, seasons and depths; the page by other arithmetic."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.samples.flux_comparison import compare_fluxes
from aqqua_science.samples.pangaea import read_pangaea
from aqqua_science.samples.traps import trap_fluxes
from aqqua_science.schema import SchemaError
from benchmarks.flux_from_sizes import PROFILES, SITES, TRAPS, as_summary, as_table, draw, measure

PAGE = Path(__file__).parents[2] / "docs" / "flux_from_sizes.md"
OPTIONS = {"horizon": 100, "site": "site", "laws": ["guidi2008"], "window": None}


def profile(name="a", *, time="2015-01-10", concentration=(1000.0,), volume=(1.0,), depth=(100.0,), site="here"):
    """Layers with one class about 1 mm: by Guidi's law 12.5 mg C m-2 d-1 for 1000 particles per m3."""
    table = pd.DataFrame({"depth": depth, "volume_m3": volume, "concentration_m3": concentration})
    table = table.assign(sample_id=name, time=pd.Timestamp(time), latitude=30.0, longitude=180.0, site=site)
    return table.assign(esd_min_um=500.0, esd_max_um=2000.0)


def deployment(flux=25.0, *, start="2000-01-05", days=10, depth=100.0, latitude=30.0, longitude=-180.0):
    start = pd.to_datetime([start])
    table = pd.DataFrame({"latitude": latitude, "longitude": longitude, "depth": depth, "time_start": start})
    return table.assign(time_end=start + pd.Timedelta(days=days), flux_mg_m2_d=flux)


def compared(particles, *traps, **changes):
    return compare_fluxes(particles, pd.concat(traps, ignore_index=True), **OPTIONS | changes).iloc[0]


def test_layers_weigh_by_volume_and_profiles_by_themselves():
    layers = {"depth": (95.0, 105.0), "concentration": (1000.0, 4000.0), "volume": (2.0, 1.0)}
    particles = pd.concat([profile("a", **layers), profile("b", concentration=(8000.0,))], ignore_index=True)
    row = compared(particles, deployment())
    assert row["n_profiles"] == 2
    assert_allclose(row["flux_mg_m2_d"], (2 + 8) / 2 * 12.5)
    assert_allclose([row["flux_low"], row["flux_high"]], [(2 + 0.16 * 6) * 12.5, (2 + 0.84 * 6) * 12.5])
    assert_allclose(row["ratio"], 2.5)


def test_layers_off_the_horizon_are_left_out():
    particles = profile(depth=(89.0, 100.0, 111.0), concentration=(9e5, 1000.0, 9e5), volume=(1.0,) * 3)
    assert_allclose(compared(particles, deployment())["flux_mg_m2_d"], 12.5)
    assert compared(particles, deployment(), within=0.2)["flux_mg_m2_d"] > 1000


def test_deployments_come_to_the_horizon_along_the_martin_curve():
    traps = [deployment(10.0, depth=200.0), deployment(7.0, depth=301.0), deployment(7.0, depth=49.0)]
    row = compared(profile(), *traps, b=1.0)
    assert (row["n_traps"], row["trap_mg_m2_d"], row["trap_depth"]) == (1, 20.0, 200.0)


@pytest.mark.parametrize(
    ("trap", "counts"),
    [
        ({"latitude": 31.7}, 1),
        ({"latitude": 31.9}, 0),
        ({"longitude": -179.0}, 1),
        ({"start": "2000-12-05"}, 1),
        ({"start": "2000-02-05"}, 1),
        ({"start": "2000-11-05"}, 0),
        ({"start": "1999-12-28", "days": 44}, 1),
        ({"start": "1999-12-28", "days": 46}, 0),
    ],
)
def test_a_deployment_is_near_in_place_and_season(trap, counts):
    assert compared(profile(), deployment(**trap))["n_traps"] == counts


def test_reach_can_be_changed():
    far, late = deployment(latitude=33.0), deployment(start="2000-04-05")
    assert compared(profile(), far, late, radius_km=400)["n_traps"] == 1
    assert compared(profile(), far, late, radius_km=400, months=3)["n_traps"] == 2


def test_a_site_without_a_profile_or_a_trap_stays_in_the_table():
    particles = pd.concat([profile(), profile("b", site="shallow", depth=(20.0,))], ignore_index=True)
    table = compare_fluxes(particles, deployment(latitude=-30.0), **OPTIONS)
    assert table["site"].tolist() == ["here", "here", "shallow", "shallow"]
    assert table["n_profiles"].tolist() == [1, 1, 0, 0]
    assert (table["n_traps"] == 0).all()
    assert table["ratio"].isna().all()


def test_the_median_of_laws_is_one_more_law():
    table = compare_fluxes(profile(), deployment(), **OPTIONS | {"laws": None})
    laws, last = table.iloc[:-1], table.iloc[-1]
    assert last["law"] == "median of laws"
    assert_allclose(last["flux_mg_m2_d"], np.median(laws["flux_mg_m2_d"]))
    # Kriest's law with twice the speed is twice Kriest's law.
    assert_allclose(laws["flux_mg_m2_d"].iloc[2], 2 * laws["flux_mg_m2_d"].iloc[1])


@pytest.mark.parametrize(
    ("particles", "message"),
    [(profile().drop(columns="site"), "no column 'site'"), (profile(site=None), "site is missing in 1 of 1 rows")],
)
def test_particles_must_tell_their_site(particles, message):
    with pytest.raises(SchemaError, match=message):
        compared(particles, deployment())


@pytest.fixture(scope="module")
def rows(shared_data):
    return measure(shared_data / "insitu")


@pytest.mark.slow
def test_the_page_has_the_tables(rows):
    page = PAGE.read_text(encoding="utf-8")
    assert as_table(rows) in page
    assert as_summary(rows) in page
    assert [ax.get_title(loc="left") for ax in draw(rows).axes] == ["100 m", "1000 m"]


def bounds_mm(column):
    low, high, unit = re.fullmatch(r"LPM \((?:([\d.]+)-)?>?([\d.]+) (\S+)\) \[# l-1\]", column).groups()
    scale = 1 if unit == "mm" else 1e-3
    return (np.nan if low is None else float(low) * scale), float(high) * scale


def from_file(path, horizon):
    """Guidi's and Bisson's laws as printed, summed over the raw table; NaN if the profile does not reach so far."""
    table = pd.read_csv(path, sep="\t", encoding="latin-1")
    volume = table["Sampled volume [L]"]
    near = table["Depth [m]"].between(0.9 * horizon, 1.1 * horizon) & (volume > 0)
    flux = {"guidi2008": 0.0, "bisson2022": 0.0}
    for column in [c for c in table if c.startswith("LPM (")]:
        low, high = bounds_mm(column)
        if np.isnan(low) or low < 0.1019:
            continue
        mean = (table[column] * volume)[near].sum() / volume[near].sum() if near.any() else np.nan
        middle = (low * high) ** 0.5
        flux["guidi2008"] += 12.5 * middle**3.81 * mean if 0.25 <= middle < 1.5 else 0 * mean
        flux["bisson2022"] += 2.8 * middle**2.24 * mean
    return flux


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [100, 1000])
@pytest.mark.parametrize("folder", list(SITES))
def test_fluxes_from_sizes_by_the_raw_tables_and_printed_laws(rows, shared_data, folder, horizon):
    paths = sorted((shared_data / "insitu" / PROFILES).glob(f"*_{folder}/*_PAR_*.tsv"))
    each = pd.DataFrame([from_file(path, horizon) for path in paths]).dropna()
    mine = rows[(rows["site"] == SITES[folder]) & (rows["horizon"] == horizon)].set_index("law")
    for law in each:
        assert mine.loc[law, "n_profiles"] == len(each)
        found = mine.loc[law, ["flux_low", "flux_mg_m2_d", "flux_high"]].astype(float)
        assert_allclose(found, np.quantile(each[law], [0.16, 0.5, 0.84]), rtol=2e-3)


@pytest.mark.slow
def test_traps_of_pap_one_by_one(rows, shared_data):
    """Months 4 to 8, as profiles are of May, June and July; half a degree off the profiles makes no difference."""
    fluxes, _ = trap_fluxes(read_pangaea(shared_data / "insitu" / TRAPS))
    at_1000 = []
    for trap in fluxes.itertuples():
        north = (trap.latitude - 48.95) * 111.2
        east = (trap.longitude + 16.4) * 111.2 * np.cos(np.radians(48.95))
        days = (trap.time_end - trap.time_start).days
        month = (trap.time_start + (trap.time_end - trap.time_start) / 2).month
        if np.hypot(north, east) < 200 and 500 <= trap.depth <= 3000 and days <= 45 and month in (4, 5, 6, 7, 8):
            at_1000.append(trap.flux_mg_m2_d * (trap.depth / 1000) ** 0.858)
    row = rows[(rows["site"] == "PAP") & (rows["horizon"] == 1000)].iloc[0]
    assert row["n_traps"] == len(at_1000) > 50
    found = row[["trap_low", "trap_mg_m2_d", "trap_high"]].astype(float)
    assert_allclose(found, np.quantile(at_1000, [0.16, 0.5, 0.84]))
