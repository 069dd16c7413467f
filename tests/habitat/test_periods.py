"""Folds in time: years stay whole, the future is not looked at, and a trend that random folds hide is told."""

import numpy as np
import pandas as pd
import pytest

from aqqua_science.habitat import BoostedTrees, cross_validate
from aqqua_science.habitat.folds import fold_labels
from aqqua_science.habitat.periods import Before, TimeBlocks
from aqqua_science.schema import SchemaError


@pytest.fixture(scope="module")
def decade():
    """
    400 samples of ten years in which carbon dioxide rises and amounts double every two and a half years with it.

    Each year has its own bloom, which sea level shows and no other year repeats.
    """
    rng = np.random.default_rng(0)
    time = pd.Timestamp("2001-01-01") + pd.to_timedelta(rng.uniform(0, 3650, 400), unit="D")
    age = (time - time.min()).days / 365.25
    bloom = rng.normal(scale=0.8, size=11)[time.year - 2001]
    table = pd.DataFrame(
        {"time": time, "latitude": rng.uniform(-60, 60, 400), "longitude": rng.uniform(-180, 180, 400)}
    )
    table = table.assign(temperature=rng.uniform(0, 30, 400), carbon_dioxide=370 + 2 * age, sea_level=time.year % 7)
    mean = np.exp(0.05 * table["temperature"] + np.log(2) / 2.5 * age + bloom)
    return table.assign(biomass=rng.gamma(3.0, mean / 3), age=age).set_index(np.arange(400) + 1000)


PREDICTORS = ["temperature", "carbon_dioxide", "sea_level"]


@pytest.mark.parametrize(("years", "n_splits"), [(1, 5), (2, 3), (3, 4)])
def test_years_are_held_out_whole(decade, years, n_splits):
    folds = fold_labels(TimeBlocks(years, n_splits), decade)
    block = (decade["time"].dt.year - 2001) // years
    assert (pd.Series(folds).groupby(block.to_numpy()).nunique() == 1).all()
    assert len(np.unique(folds)) == n_splits
    sizes = np.bincount(folds)
    assert sizes.max() - sizes.min() <= block.value_counts().max()


def test_the_seed_deals_the_years_anew_and_the_same_again(decade):
    first, again, other = (fold_labels(TimeBlocks(random_state=seed), decade) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("date", ["2006", "2006-01-01", pd.Timestamp("2006-01-01", tz="UTC")])
def test_the_past_trains_and_the_future_is_held_out(decade, date):
    ((train, test),) = Before(date).split(decade)
    assert decade["time"].iloc[train].max() < pd.Timestamp("2006-01-01") <= decade["time"].iloc[test].min()
    assert len(train) + len(test) == len(decade)
    assert Before(date).get_n_splits() == 1


def test_random_folds_hide_a_trend_that_the_future_tells(decade):
    schemes = {"years": TimeBlocks(), "later": Before("2008")}
    model = BoostedTrees(n_members=3, n_trees=60)
    skill = {}
    for name, cv in schemes.items():
        found = cross_validate(model, decade, target="biomass", cv=cv, predictors=PREDICTORS).set_index("scheme")
        assert found.index.tolist() == ["random", name]
        skill |= found["r2_log"].to_dict()
    assert skill["random"] > 0.5
    assert skill["years"] < skill["random"] - 0.15
    assert skill["later"] < skill["random"] - 0.5


def test_trees_carried_forward_stay_where_they_were(decade):
    # Trees cannot follow a trend beyond what they saw: three years on, amounts have more than doubled.
    steady = decade.assign(biomass=np.exp(np.log(2) / 2.5 * decade["age"]))
    ((train, test),) = Before("2008").split(steady)
    model = BoostedTrees(n_members=2, n_trees=100, max_depth=2)
    model.fit(steady.iloc[train][["carbon_dioxide"]], steady["biomass"].iloc[train])
    predicted = model.predict(steady.iloc[test][["carbon_dioxide"]])
    assert predicted.max() <= steady["biomass"].iloc[train].max() * 1.05
    assert steady["biomass"].iloc[test].mean() / predicted.mean() > 1.3


@pytest.mark.parametrize(
    ("cv", "change", "error", "message"),
    [
        (TimeBlocks(0), {}, ValueError, "1 or more; got 0"),
        (TimeBlocks(1.5), {}, ValueError, "a whole number, 1 or more; got 1.5"),
        (TimeBlocks(4), {}, ValueError, "need as many blocks of 4 years with samples; there are 3"),
        (TimeBlocks(), {"time": None}, SchemaError, "no column 'time'"),
        (TimeBlocks(), {"time": pd.NaT}, SchemaError, "400 of 400 are missing"),
        (Before("2006"), {"time": "spring"}, SchemaError, "400 of 400 are missing or no times"),
        (Before("2030"), {}, ValueError, "they lie between 2001-01-"),
        (Before("1990"), {}, ValueError, "must have samples on both sides"),
        (Before("soon"), {}, ValueError, "date='soon' is no date"),
    ],
)
def test_wrong_use_is_refused(decade, cv, change, error, message):
    table = decade.drop(columns="time") if change == {"time": None} else decade.assign(**change)
    with pytest.raises(error, match=message):
        list(cv.split(table))
