import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from numpy.testing import assert_array_equal
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from aqqua_science.habitat import SpatialBlocks, StratifiedFolds
from aqqua_science.habitat.domain import held_out_km, nearest_km
from aqqua_science.habitat.folds import fold_labels
from aqqua_science.schema import SchemaError


def globe(n=400, seed=0):
    rng = np.random.default_rng(seed)
    latitude = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    return pd.DataFrame({"latitude": latitude, "longitude": rng.uniform(-180, 180, n)})


def table(latitude, longitude):
    return pd.DataFrame({"latitude": np.atleast_1d(latitude), "longitude": longitude}, dtype=float)


@pytest.mark.parametrize("degrees", [5, 7.0, 20, 45])
def test_tiles_are_near_equal_in_width(degrees):
    positions = globe(20_000)
    blocks = SpatialBlocks(degrees).blocks(positions)
    extent = positions.groupby(blocks)["longitude"].agg(lambda x: np.ptp(x))
    middle = positions.groupby(blocks)["latitude"].mean()
    width = extent * np.cos(np.radians(middle))
    assert (width[middle.abs() < 60] < 1.35 * degrees).all()
    assert positions.groupby(blocks)["latitude"].agg(np.ptp).max() <= degrees


def test_number_of_tiles_follows_the_definition():
    # 90-degree tiles: rows at mid-latitudes -45 and 45, round(360 cos 45 / 90) = 3 around each.
    assert len(np.unique(SpatialBlocks(90).blocks(globe(2000)))) == 6
    # One row at the equator, 2 tiles around.
    assert len(np.unique(SpatialBlocks(180).blocks(globe(2000)))) == 2


def test_dateline_and_poles_are_seamless():
    blocks = SpatialBlocks(10)
    west, east = blocks.blocks(table([3.0, 3.0], [-180.0, 180.0]))
    assert west == east
    assert blocks.blocks(table(90.0, 0.0)) == blocks.blocks(table(89.0, 0.0))
    assert blocks.blocks(table(-90.0, -180.0)) == 0


@given(st.floats(1, 60), st.integers(0, 10))
@settings(max_examples=30, deadline=None)
def test_tile_numbers_do_not_depend_on_the_other_rows(degrees, seed):
    positions = globe(50, seed)
    blocks = SpatialBlocks(degrees)
    order = np.random.default_rng(seed).permutation(50)
    assert_array_equal(blocks.blocks(positions)[order], blocks.blocks(positions.iloc[order]))
    assert_array_equal(blocks.blocks(positions)[:7], blocks.blocks(positions[:7]))


def test_a_tile_is_never_on_both_sides():
    positions = globe()
    blocks = SpatialBlocks(15)
    tiles = blocks.blocks(positions)
    for train, test in blocks.split(positions):
        assert not set(tiles[train]) & set(tiles[test])
        assert len(train) + len(test) == len(positions)


def test_folds_are_balanced_by_samples_not_by_tiles():
    crowded = pd.concat([globe(300), globe(600, seed=5).assign(latitude=lambda t: t["latitude"] / 9)])
    crowded = crowded.reset_index(drop=True)
    largest_tile = np.bincount(SpatialBlocks(10).blocks(crowded)).max()
    sizes = [len(test) for _, test in SpatialBlocks(10).split(crowded)]
    assert sum(sizes) == 900
    assert max(sizes) - min(sizes) <= largest_tile


def test_buffer_keeps_its_distance():
    positions = globe()
    for train, test in SpatialBlocks(15, buffer_km=400).split(positions):
        assert nearest_km(positions.iloc[train], positions.iloc[test]).min() > 400
    plain = list(SpatialBlocks(15).split(positions))
    for (train, test), (train_all, test_all) in zip(
        SpatialBlocks(15, buffer_km=400).split(positions), plain, strict=True
    ):
        assert_array_equal(test, test_all)
        dropped = np.setdiff1d(train_all, train)
        assert nearest_km(positions.iloc[dropped], positions.iloc[test]).max() <= 400
    assert held_out_km(positions, plain).min() < 400


def test_blocks_hold_out_farther_than_random_folds():
    rng = np.random.default_rng(0)
    cruises = globe(20).loc[np.repeat(np.arange(20), 20)].reset_index(drop=True)
    cruises = (cruises + rng.normal(size=cruises.shape)).clip([-90, -180], [90, 180], axis=1)
    random = held_out_km(cruises, StratifiedFolds().split(cruises, np.ones(400)))
    blocked = held_out_km(cruises, SpatialBlocks(15).split(cruises))
    assert np.median(blocked) > 3 * np.median(random)


def test_seed_moves_the_folds_and_repeats_them():
    positions = globe()
    same = [fold_labels(SpatialBlocks(random_state=1), positions) for _ in range(2)]
    assert_array_equal(*same)
    assert (same[0] != fold_labels(SpatialBlocks(random_state=2), positions)).any()
    assert (same[0] != fold_labels(SpatialBlocks(20, random_state=1), positions)).any()
    assert fold_labels(SpatialBlocks(n_splits=3), positions).max() == 2


@pytest.mark.parametrize(
    ("splitter", "message"),
    [
        (SpatialBlocks(90, n_splits=7), "at 90 degrees there are 6. Use smaller tiles"),
        (SpatialBlocks(0), r"must be in \(0, 180\]; got 0"),
        (SpatialBlocks(10, buffer_km=21_000), "leaves no sample to train on"),
    ],
)
def test_impossible_blocks_are_refused(splitter, message):
    with pytest.raises(ValueError, match=message):
        list(splitter.split(globe(2000)))


def test_blocks_need_a_table_with_positions():
    with pytest.raises(SchemaError, match="got ndarray"):
        list(SpatialBlocks().split(np.zeros((10, 2))))
    with pytest.raises(SchemaError, match="no column 'longitude'"):
        list(SpatialBlocks().split(pd.DataFrame({"latitude": np.zeros(10)})))


def test_folds_serve_scikit_learn():
    positions = globe().assign(amount=lambda t: t["latitude"] * 2)
    for cv in (SpatialBlocks(), StratifiedFolds()):
        predicted = cross_val_predict(
            LinearRegression(), positions[["latitude", "longitude"]], positions["amount"], cv=cv
        )
        np.testing.assert_allclose(predicted, positions["amount"])
    assert repr(SpatialBlocks(20)).startswith("SpatialBlocks(")


def test_strata_are_zeros_and_octiles():
    rng = np.random.default_rng(0)
    y = np.concatenate([np.zeros(40), rng.lognormal(size=160)])
    ranks = pd.Series(y).rank(method="first").to_numpy()
    for _, test in StratifiedFolds(5).split(y, y):
        assert (y[test] == 0).sum() == 8
        octile = np.floor((ranks[test][y[test] > 0] - 41) / 20)
        assert_array_equal(np.bincount(octile.astype(int), minlength=8), np.full(8, 4))


@given(st.integers(5, 80), st.integers(2, 5), st.integers(0, 20))
@settings(max_examples=50, deadline=None)
def test_stratified_folds_part_the_samples_evenly(n, n_splits, seed):
    y = np.maximum(np.random.default_rng(seed).normal(size=n), 0)
    folds = StratifiedFolds(n_splits, random_state=seed)
    tests = [test for _, test in folds.split(y, y)]
    assert_array_equal(np.sort(np.concatenate(tests)), np.arange(n))
    assert np.ptp([len(test) for test in tests]) <= 1
    assert np.ptp([(y[test] == 0).sum() for test in tests]) <= 1


def test_repeats_differ_and_cover_each_sample_each_time():
    y = np.arange(50.0)
    folds = StratifiedFolds(5, n_repeats=3)
    tests = [test for _, test in folds.split(y, y)]
    assert len(tests) == folds.get_n_splits() == 15
    assert_array_equal(np.bincount(np.concatenate(tests)), np.full(50, 3))
    assert {tuple(test) for test in tests[:5]} != {tuple(test) for test in tests[5:10]}


def test_number_of_bins_changes_the_folds():
    y = np.arange(1.0, 41.0)
    shares = [np.ptp([y[test].mean() for _, test in StratifiedFolds(5, n_bins=b).split(y, y)]) for b in (1, 8)]
    assert shares[1] < shares[0]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y must be given"),
        (np.array([1.0, np.nan] * 5), "5 of them missing"),
        (np.arange(3.0), "got 3 samples"),
    ],
)
def test_bad_targets_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        list(StratifiedFolds(5).split(np.zeros(10 if y is None else len(y)), y))


def test_labels_of_groups_follow_the_groups():
    positions = globe(40)
    cruise = np.arange(40) // 4
    labels = fold_labels(GroupKFold(5), positions, groups=cruise)
    assert (pd.Series(labels).groupby(cruise).nunique() == 1).all()


def test_labels_refuse_repeats():
    y = np.arange(20.0)
    with pytest.raises(ValueError, match="held out 2 to 2 times"):
        fold_labels(StratifiedFolds(n_repeats=2), globe(20), y=y)
