"""Presence-only records: thinning, scores against their definitions, effort that background of the group cancels."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from aqqua_science.habitat import BoostedTrees, SpatialBlocks, cross_validate
from aqqua_science.habitat.occurrences import boyce_index, score_occurrences, target_group_background
from aqqua_science.schema import SchemaError

PREDICTORS = ["temperature", "port_km"]


@pytest.fixture(scope="module")
def ocean():
    """5000 places whose suitability follows temperature alone, and whose visits follow the distance to port."""
    rng = np.random.default_rng(0)
    places = pd.DataFrame({"latitude": rng.uniform(-60, 60, 5000), "longitude": rng.uniform(-180, 180, 5000)})
    places = places.assign(temperature=rng.uniform(0, 30, 5000), port_km=rng.uniform(0, 3000, 5000))
    suitability = np.exp(-(((places["temperature"] - 20) / 6) ** 2))
    return places.assign(suitability=suitability, effort=np.exp(-places["port_km"] / 500))


@pytest.fixture(scope="module")
def records(ocean):
    """What visits find: the species where it suits it, and others of its group, at home everywhere."""
    rng = np.random.default_rng(1)
    visited = ocean[rng.random(5000) < ocean["effort"]]
    species = visited[rng.random(len(visited)) < visited["suitability"]].assign(taxon="Calanus")
    others = visited.assign(taxon=rng.choice(["Oithona", "Acartia"], len(visited)))
    return pd.concat([species, others])


def test_one_record_of_each_cell_is_kept(records):
    twice = pd.concat([records, records])
    table = target_group_background(twice, species="Calanus", degrees=10)
    cells = SpatialBlocks(10)
    for value, part in ((1, records[records["taxon"] == "Calanus"]), (0, records)):
        kept = table[table["presence"] == value]
        assert sorted(cells.blocks(kept)) == sorted(set(cells.blocks(part)))
    assert (table.loc[table["presence"] == 1, "taxon"] == "Calanus").all()
    assert set(map(tuple, table[PREDICTORS].to_numpy())) <= set(map(tuple, records[PREDICTORS].to_numpy()))


def test_months_of_a_cell_are_kept_apart(records):
    monthly = records.assign(month=np.arange(len(records)) % 12 + 1)
    table = target_group_background(monthly, species="Calanus", degrees=30, by=["month"])
    keys = pd.DataFrame({"cell": SpatialBlocks(30).blocks(table), "month": table["month"], "p": table["presence"]})
    assert not keys.duplicated().any()
    assert len(table) > 3 * len(target_group_background(monthly, species="Calanus", degrees=30))


def test_the_seed_draws_the_records(records):
    first, again, other = (
        target_group_background(records, species="Calanus", degrees=20, rng=seed) for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_background_of_the_group_cancels_effort_that_even_background_takes_for_habitat(ocean, records):
    of_group = target_group_background(records, species="Calanus", degrees=0.5)
    presences = of_group[of_group["presence"] == 1]
    even = pd.concat([presences, ocean.sample(len(of_group) - len(presences), random_state=0).assign(presence=0)])
    agreement, port = {}, {}
    for name, table in {"group": of_group, "even": even}.items():
        model = BoostedTrees(n_members=3, n_trees=40).fit(table[PREDICTORS], table["presence"])
        predicted = model.predict(ocean[PREDICTORS])
        agreement[name] = spearmanr(predicted, ocean["suitability"]).statistic
        port[name] = spearmanr(predicted, ocean["port_km"]).statistic
    assert agreement["group"] > 0.85
    assert agreement["even"] < agreement["group"] - 0.2
    assert port["even"] < -0.6
    assert abs(port["group"]) < 0.15


def test_even_background_flatters_the_worse_model(ocean, records):
    # Of a score of presences against background only models of one table can be compared.
    of_group = target_group_background(records, species="Calanus", degrees=0.5)
    presences = of_group[of_group["presence"] == 1]
    even = pd.concat([presences, ocean.sample(800, random_state=0).assign(presence=0)], ignore_index=True)
    model = BoostedTrees(n_members=2, n_trees=40)
    auc = {}
    for name, table in {"group": of_group, "even": even}.items():
        skill = cross_validate(
            model, table, target="presence", predictors=PREDICTORS, scoring=score_occurrences, cv=SpatialBlocks(15)
        )
        assert list(skill) == ["scheme", "auc", "boyce", "distance_to_domain_km", "n"]
        auc[name] = skill.set_index("scheme").loc["blocks", "auc"]
    assert auc["even"] > auc["group"] > 0.6


def test_auc_is_the_chance_that_a_presence_outranks_background():
    rng = np.random.default_rng(0)
    presences, background = rng.integers(0, 10, 40) + 2, rng.integers(0, 10, 60)
    pairs = [(p > b) + (p == b) / 2 for p in presences for b in background]
    observed, predicted = np.repeat([1, 0], [40, 60]), np.concatenate([presences, background])
    assert score_occurrences(observed, predicted)["auc"] == pytest.approx(np.mean(pairs))


def test_boyce_index_tells_right_from_wrong_and_from_nothing():
    rng = np.random.default_rng(0)
    background = rng.random(20_000)
    right = background[rng.random(20_000) < background]
    assert boyce_index(right, background) > 0.98
    assert boyce_index(1 - right, background) < -0.98
    assert abs(np.mean([boyce_index(rng.random(500), background) for _ in range(50)])) < 0.2
    assert np.isnan(boyce_index(np.ones(5), np.ones(50)))


@pytest.mark.parametrize("seed", range(40))
def test_the_highest_predictions_are_in_the_last_window(seed):
    # All presences lie at the end of the range: there alone the ratio is not zero, and the index is 1. In one range of
    # fifteen the end of the last window, rounded, falls short of it.
    low, high = np.sort(np.random.default_rng(seed).normal(size=2))
    assert boyce_index(np.full(5, high), np.linspace(low, high, 1000)) == pytest.approx(1)


def test_boyce_index_follows_its_definition():
    rng = np.random.default_rng(3)
    background, presences = rng.gamma(2.0, size=400), rng.gamma(3.0, size=90)
    low, high = min(background.min(), presences.min()), max(background.max(), presences.max())
    ratios, places = [], []
    for start in np.linspace(low, high - (high - low) / 10, 101):
        seen, offered = (np.mean((start <= v) & (v <= start + (high - low) / 10)) for v in (presences, background))
        if offered > 0 and (not ratios or seen / offered != ratios[-1]):
            ratios.append(seen / offered)
            places.append(start)
    assert boyce_index(presences, background) == pytest.approx(spearmanr(places, ratios).statistic)


def test_wrong_use_is_refused(records):
    with pytest.raises(SchemaError, match="Did you mean 'Calanus'"):
        target_group_background(records, species="Calanos")
    with pytest.raises(SchemaError, match="no column 'species'"):
        target_group_background(records, species="Calanus", column="species")
    with pytest.raises(ValueError, match="background needs those of the whole group"):
        target_group_background(records[records["taxon"] == "Calanus"], species="Calanus")
    for predictions in ([], [0.5, np.nan]):
        with pytest.raises(ValueError, match="finite prediction"):
            boyce_index(predictions, [0.1, 0.2])
    with pytest.raises(ValueError, match="1 for presences and 0 for background"):
        score_occurrences([0, 0], [0.1, 0.2])
