"""Selection of predictors on drawn oceans: noise and copies go, what plankton respond to stays."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from aqqua_science.grids.geometry import unit_vectors
from aqqua_science.habitat import BoostedTrees, SpatialBlocks
from aqqua_science.habitat.periods import Before
from aqqua_science.habitat.selection import select_predictors
from aqqua_science.habitat.stacking import WeightedEnsemble

TRUE = ["temperature", "nitrate", "oxygen"]
NOISE = ["noise_a", "noise_b", "noise_c", "white"]
COPIES = {"copy_of_temperature": "temperature", "copy_of_nitrate": "nitrate"}
PREDICTORS = [*TRUE, *NOISE, *COPIES]


def drawn_ocean(seed, n=400):
    """Cruises over the globe; smooth fields, some of which rule the counts, and near copies of two of them."""
    rng = np.random.default_rng(seed)
    start = np.column_stack([np.degrees(np.arcsin(rng.uniform(-0.95, 0.95, 80))), rng.uniform(-180, 180, 80)])
    latitude, longitude = (start[rng.integers(80, size=n)] + rng.normal(scale=2, size=(n, 2))).T
    latitude, longitude = np.clip(latitude, -89, 89), (longitude + 180) % 360 - 180
    points = unit_vectors(latitude, longitude)

    def field():
        waves, phase = rng.normal(size=(60, 3)) / 0.3, rng.uniform(0, 2 * np.pi, 60)
        return np.cos(points @ waves.T + phase).sum(axis=1) / np.sqrt(30)

    table = pd.DataFrame({"latitude": latitude, "longitude": longitude})
    table = table.assign(**{name: field() for name in [*TRUE, *NOISE[:3]]}, white=rng.normal(size=n))
    table["copy_of_temperature"] = np.exp(table["temperature"]) + rng.normal(scale=0.05, size=n)
    table["copy_of_nitrate"] = -(table["nitrate"] ** 3) + rng.normal(scale=0.05, size=n)
    rate = np.exp(1 + 0.9 * table["temperature"] - 0.8 * table["nitrate"] ** 2 + 0.9 * np.tanh(2 * table["oxygen"]))
    table["log_biomass"] = np.log(rate) + rng.normal(scale=0.7, size=n)
    return table.assign(biomass=rng.poisson(rate * rng.gamma(4, 1 / 4, n)))


def kept_in_ocean(model, seed, target):
    return select_predictors(model, drawn_ocean(seed), target=target, predictors=PREDICTORS)[0]


def is_right(kept):
    """Each true predictor, or its copy in its place, and nothing else."""
    return sorted(COPIES.get(name, name) for name in kept) == sorted(TRUE)


def splines():
    return make_pipeline(StandardScaler(), SplineTransformer(5, extrapolation="linear"), Ridge())


def test_the_true_predictors_are_kept_in_most_oceans():
    assert sum(is_right(kept_in_ocean(splines(), seed, "log_biomass")) for seed in range(5)) >= 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "target", "n_oceans"),
    [
        (splines(), "log_biomass", 20),
        (BoostedTrees(n_members=5, n_trees=80, max_depth=3, min_child_weight=10), "biomass", 8),
    ],
)
def test_the_true_predictors_are_kept_in_three_of_four_oceans(model, target, n_oceans):
    assert sum(is_right(kept_in_ocean(model, seed, target)) for seed in range(n_oceans)) >= 0.75 * n_oceans


def test_the_path_tells_each_step():
    kept, path = select_predictors(splines(), drawn_ocean(3), target="log_biomass", predictors=PREDICTORS)
    assert path["n_predictors"].tolist() == [7, 6, 5, 4, 3, 2, 1]
    assert len(path["dropped"][0]) == 2
    assert path["reason"][0].count("correlates with") == 2
    for before, after in zip(path.index[:-1], path.index[1:], strict=True):
        (gone,) = path["dropped"][after]
        assert set(path["predictors"][before]) - set(path["predictors"][after]) == {gone}
    assert path.loc[path["kept"], "predictors"].tolist() == [kept]
    best = path["skill"].idxmax()
    assert path["skill_error"][best] == 0
    within = path.index[path["skill"] >= path["skill"][best] - path["skill_error"]]
    assert path.index[path["kept"]].item() == within.max()


def test_what_is_dropped_for_a_copy_does_not_depend_on_the_order():
    table, cv = drawn_ocean(5), SpatialBlocks(20)
    arguments = {"target": "log_biomass", "cv": cv}
    forward, _ = select_predictors(splines(), table, predictors=PREDICTORS, **arguments)
    backward, _ = select_predictors(splines(), table, predictors=PREDICTORS[::-1], **arguments)
    assert set(forward) == set(backward)


def test_a_threshold_of_one_leaves_near_copies_to_the_elimination():
    _, path = select_predictors(
        splines(),
        drawn_ocean(0),
        target="log_biomass",
        predictors=["temperature", "copy_of_temperature"],
        threshold=1.0,
    )
    assert path["n_predictors"].tolist() == [2, 1]
    assert path["dropped"][0] == []


def test_a_single_predictor_is_kept():
    kept, path = select_predictors(LinearRegression(), drawn_ocean(0), target="biomass", predictors=["oxygen"])
    assert kept == ["oxygen"]
    assert path["kept"].tolist() == [True]


def test_a_single_fold_is_refused():
    table = drawn_ocean(0).assign(time=lambda t: pd.date_range("2000", periods=len(t), freq="10D"))
    with pytest.raises(ValueError, match="2 or more; there is 1"):
        select_predictors(splines(), table, target="log_biomass", predictors=TRUE, cv=Before("2008"))


def trees(**monotone):
    return BoostedTrees("tweedie", n_members=2, n_trees=30, resampling=None, monotone=monotone)


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: WeightedEnsemble({"trees": model}, n_members=2)])
def test_constraints_follow_the_predictors(wrap):
    # Amounts rise with temperature and fall with nitrate; a copy of each stands beside it.
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"latitude": rng.uniform(-80, 80, 200), "longitude": rng.uniform(-180, 180, 200)})
    table = table.assign(temperature=rng.normal(size=200), nitrate=rng.normal(size=200), copy=lambda t: t["nitrate"])
    table["biomass"] = rng.gamma(20, np.exp(table["temperature"] - 0.5 * table["nitrate"]) / 20)
    arguments = {"target": "biomass", "predictors": ["temperature", "nitrate", "copy"], "n_repeats": 2}
    right = wrap(trees(temperature=1, nitrate=-1, copy=-1))
    kept, path = select_predictors(right, table, **arguments)
    assert kept[0] == "temperature"
    assert len(kept) == 2
    assert path["predictors"].tolist()[1:] == [["temperature"]]
    wrong = wrap(trees(temperature=-1, nitrate=-1, copy=-1))
    _, path = select_predictors(wrong, table, **arguments)
    assert path["dropped"][1] == ["temperature"]
    with pytest.raises(ValueError, match="Did you mean 'nitrate'"):
        select_predictors(wrap(trees(nitrat=-1)), table, **arguments)


def test_missing_targets_are_refused():
    table = drawn_ocean(0)
    table["biomass"] = table["biomass"].astype(float)
    table.loc[3, "biomass"] = np.nan
    with pytest.raises(ValueError, match="1 of 400 rows are not"):
        select_predictors(splines(), table, target="biomass", predictors=TRUE)
