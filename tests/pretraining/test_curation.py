"""Curation: even draws from uneven data, probabilities that are what they say, runs that survive being killed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aqqua_science.images import ingest
from aqqua_science.pretraining.curation import assign, curate
from aqqua_science.pretraining.feature_rows import FeatureRows, screen_rows
from aqqua_science.pretraining.hierarchy import cluster_levels
from aqqua_science.pretraining.quotas import allocate, draw_rows, evenness, water_fill
from aqqua_science.pretraining.strata import strata_of
from aqqua_science.schema import SchemaError
from aqqua_science.sources.record import Record

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=12)


def poured(sizes, total):
    """Water-filling, drop by drop: each image to the emptiest vessel that still has room."""
    level = [0] * len(sizes)
    for _ in range(total):
        room = [i for i, size in enumerate(sizes) if level[i] < size]
        level[min(room, key=lambda i: level[i])] += 1
    return level


@given(SIZES, st.data())
def test_water_filling_is_what_pouring_drop_by_drop_gives(sizes, data):
    total = data.draw(st.integers(0, sum(sizes)))
    level, drops = water_fill(sizes, total), np.array(poured(sizes, total))
    assert level.sum() == pytest.approx(total)
    assert (np.abs(level - drops) < 1).all()
    assert (level <= sizes).all()
    below = level[level < np.array(sizes) - 1e-9]
    assert len(below) == 0 or (below.max() == pytest.approx(below.min()) and level.max() <= below.max() + 1e-9)


def tree(rng, n=400):
    """Two levels of branches of very unequal sizes."""
    a = np.minimum(rng.geometric(0.5, n) - 1, 4)
    return pd.DataFrame({"a": a, "b": np.minimum(rng.geometric(0.3, n) - 1, 6)})


def slow_expected(codes, total, names):
    """Mean draw of each cell, by recursion, with a level found by bisection."""
    if not names:
        return {(): total}
    groups = dict(list(codes.groupby(names[0])))
    sizes, low, high = [len(g) for g in groups.values()], 0.0, float(len(codes))
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(min(s, middle) for s in sizes) < total else (low, middle)
    found = {}
    for (value, group), size in zip(groups.items(), sizes, strict=True):
        below = slow_expected(group, min(size, high), names[1:])
        found |= {(value, *path): quota for path, quota in below.items()}
    return found


@pytest.mark.parametrize("size", [1, 7, 60, 399, 400])
@pytest.mark.parametrize("seed", range(3))
def test_a_draw_is_shared_as_the_slow_recursion_says(seed, size):
    codes = tree(np.random.default_rng(seed))
    cell, cells = allocate(codes, size, rng=np.random.default_rng(0))
    expected = slow_expected(codes, size, ["a", "b"])
    found = {(a, b): quota for a, b, quota in zip(cells["a"], cells["b"], cells["expected"], strict=True)}
    assert found.keys() == expected.keys()
    assert list(found.values()) == pytest.approx([expected[path] for path in found], abs=1e-6)
    assert cells["drawn"].sum() == size
    assert (cells["drawn"] <= cells["images"]).all()
    assert ((cells["drawn"] - cells["expected"]).abs() < 1).all()
    assert np.bincount(cell).tolist() == cells["images"].tolist()


@pytest.fixture(scope="module")
def many_draws():
    """A small population and 800 draws from it: the rows drawn, and the cells, which differ in what was drawn."""
    rng = np.random.default_rng(0)
    codes, draws = tree(rng, 100), []
    for seed in range(800):
        rng = np.random.default_rng(seed)
        cell, cells = allocate(codes, 21, rng=rng)
        draws.append((draw_rows(cell, cells["drawn"].to_numpy(), rng=rng), cells))
    return codes, cell, draws


def test_each_image_is_drawn_as_often_as_its_probability_says(many_draws):
    codes, cell, draws = many_draws
    share = np.bincount(np.concatenate([rows for rows, _ in draws]), minlength=len(codes)) / len(draws)
    probability = draws[0][1]["inclusion_probability"].to_numpy()[cell]
    spread = np.sqrt(probability * (1 - probability) / len(draws))
    assert probability.min() > 0
    assert (np.abs(share - probability) <= 4.5 * spread + 1e-12).all()


@pytest.mark.parametrize("weighting", ["inverse probability", "weight"])
def test_weighted_totals_are_right_on_average(many_draws, weighting):
    """Horvitz & Thompson (1952): the mean over draws of the weighted total is the total."""
    codes, cell, draws = many_draws
    values = (codes["a"] * 3 + np.random.default_rng(0).gamma(1, size=len(codes))).to_numpy()
    estimates = []
    for rows, cells in draws:
        weight = cells["weight"] if weighting == "weight" else 1 / cells["inclusion_probability"]
        estimates.append((weight.to_numpy()[cell[rows]] * values[rows]).sum())
    assert np.mean(estimates) == pytest.approx(values.sum(), abs=4 * np.std(estimates) / np.sqrt(len(estimates)))


def corpus(rng, n=20_000, d=8):
    """Images of four instruments, 417 to 1 as in AqQua's corpus, in planted clusters of Zipfian sizes."""
    instrument = rng.choice(["ISIIS", "IFCB", "UVP6", "PlanktoScope"], n, p=np.array([417, 180, 60, 1]) / 658)
    kind = np.minimum(rng.zipf(1.5, n) - 1, 39)
    centres = 4 * rng.normal(size=(40, d))
    table = pd.DataFrame({"instrument": instrument, "month": rng.choice(12, n, p=np.arange(1, 13) / 78) + 1})
    return (centres[kind] + rng.normal(size=(n, d))).astype(np.float16), table, kind


def test_instruments_months_and_kinds_of_a_draw_are_even(tmp_path):
    features, table, kind = corpus(np.random.default_rng(0))
    smallest = table["instrument"].value_counts().min()
    size = 4 * int(smallest)
    draw = curate(features, table, size=size, strata=["instrument", "month"], out=tmp_path / "c")
    assert draw["instrument"].value_counts().tolist() == [smallest] * 4
    before, after = (np.bincount(kind[rows], minlength=40) for rows in (slice(None), draw["row"]))
    assert evenness(table["instrument"].value_counts()) < 0.7
    assert evenness(draw["month"].value_counts()) > evenness(table["month"].value_counts())
    assert evenness(after) > evenness(before) + 0.1
    about = json.loads((tmp_path / "c" / "curation.json").read_text())
    assert about["evenness"]["instrument"]["after"] == pytest.approx(1)
    assert about["counts"]["instrument"]["PlanktoScope"] == {"images": smallest, "drawn": smallest}


def test_evenness_stays_above_nine_tenths_where_the_small_ones_run_out(tmp_path):
    features, table, _ = corpus(np.random.default_rng(0))
    draw = curate(features, table, size=2_000, strata=["instrument", "month"], out=tmp_path)
    small = (table["instrument"] == "PlanktoScope").sum()
    assert (draw["instrument"] == "PlanktoScope").sum() == small
    best = water_fill(table["instrument"].value_counts(), 2_000)
    assert draw["instrument"].value_counts().to_numpy() == pytest.approx(best, abs=1)
    assert evenness(draw["instrument"].value_counts()) == pytest.approx(evenness(best), abs=1e-3)


def test_weighted_counts_are_the_true_ones_in_every_cell_that_is_sure_to_be_drawn_from(tmp_path):
    features, table, _ = corpus(np.random.default_rng(0), n=5_000)
    draw = curate(features, table, size=1_500, strata=["instrument"], clusters=[8, 2], out=tmp_path)
    cells = pd.read_parquet(tmp_path / "cells.parquet").set_index(["instrument", "cluster_2", "cluster_1"])
    counts = draw.groupby(cells.index.names)["weight"].sum()
    sure = cells[cells["expected"] >= 1]
    assert len(sure) > 20
    assert counts[sure.index].to_numpy() == pytest.approx(sure["images"].to_numpy())
    if (cells["expected"] >= 1).all():
        true = table["instrument"].value_counts()
        assert draw.groupby("instrument")["weight"].sum()[true.index].tolist() == pytest.approx(true.tolist())


def test_cells_tell_the_probability_of_every_image(tmp_path):
    features, table, _ = corpus(np.random.default_rng(0), n=3_000)
    draw = curate(features, table, size=300, strata=["instrument"], clusters=[20], out=tmp_path)
    images = pd.DataFrame({"instrument": table["instrument"], "cluster_1": np.load(tmp_path / "assigned.npy")})
    cells = pd.read_parquet(tmp_path / "cells.parquet")
    probability = images.merge(cells, how="left", on=["instrument", "cluster_1"])["inclusion_probability"]
    assert (probability > 0).all()
    assert probability.sum() == pytest.approx(300)
    assert probability[draw["row"]].tolist() == draw["inclusion_probability"].tolist()


def test_three_groups_a_thousand_to_one_are_drawn_alike(tmp_path):
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [20_000, 200, 20])
    points = np.array([[0, 0], [40, 0], [0, 40]])[truth] + rng.normal(size=(len(truth), 2))
    order = rng.permutation(len(truth))
    draw = curate(points[order], size=60, clusters=[100, 10, 3], resampling=3, out=tmp_path)
    counts = np.bincount(truth[order][draw["row"]], minlength=3)
    labels = pd.DataFrame({"truth": truth[order], "cluster": np.load(tmp_path / "assigned.npy")})
    assert (labels.groupby("cluster")["truth"].nunique() == 1).all()
    assert counts.tolist() == [20, 20, 20]


def divergence_from_uniform(points):
    """Kullback-Leibler divergence of a histogram on the unit square from the even one, in nats."""
    share = np.histogram2d(*points.T, bins=8, range=[[0, 1], [0, 1]])[0].ravel() / len(points)
    return np.sum(share[share > 0] * np.log(share[share > 0] * 64))


def test_levels_and_resampling_make_a_draw_more_even_over_the_support(tmp_path):
    """A dense spot in a square, as in the figures of Vo et al. (2024): levels and resampling flatten the draw."""
    rng = np.random.default_rng(0)
    spot = 0.5 + 0.05 * rng.normal(size=(9_000, 2))
    points = rng.permutation(np.concatenate([spot, rng.random((1_000, 2))]))
    ways = {"plain": ([200], 0), "resampled": ([200], 1), "levels": ([200, 70, 25], 0), "both": ([200, 70, 25], 1)}
    found = {"random": divergence_from_uniform(points[rng.choice(len(points), 400, replace=False)])}
    for way, (clusters, resampling) in ways.items():
        settings = {"size": 400, "clusters": clusters, "resampling": resampling}
        draws = [curate(points, out=tmp_path / f"{way}{s}", rng=s, **settings) for s in range(2)]
        found[way] = np.mean([divergence_from_uniform(points[draw["row"]]) for draw in draws])
    assert found["plain"] < 0.5 * found["random"]
    assert max(found[way] for way in ("resampled", "levels", "both")) < 0.5 * found["plain"]
    assert found["both"] < found["resampled"]


def contents(folder):
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.*")}


def test_same_seed_same_bytes_and_each_setting_counts(tmp_path):
    features, table, _ = corpus(np.random.default_rng(0), n=2_000)
    base = {"size": 100, "strata": ["instrument"], "clusters": [30, 5], "resampling": 1, "normalise": False, "rng": 0}
    curate(features, table, out=tmp_path / "a", **base)
    before = contents(tmp_path / "a")
    draw = curate(features, table, out=tmp_path / "b", **base)
    assert contents(tmp_path / "b") == before
    assert {"draw.parquet", "cells.parquet", "rejected.parquet", "clusters.safetensors", "assigned.npy"} < before.keys()
    changes = [{"rng": 1}, {"size": 99}, {"strata": []}, {"strata": ["month", "instrument"]}, {"clusters": [30, 4]}]
    changes += [{"clusters": [30]}, {"resampling": 0}, {"normalise": True}, {"rng": np.random.default_rng(0)}]
    for number, change in enumerate(changes):
        other = curate(features, table, out=tmp_path / str(number), **base | change)
        assert other["row"].tolist() != draw["row"].tolist()


def test_a_finished_curation_is_read_and_another_is_refused(tmp_path):
    features, table, _ = corpus(np.random.default_rng(0), n=1_000)
    first = curate(features, table, size=50, strata=["instrument"], out=tmp_path / "c")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "c").iterdir()}
    pd.testing.assert_frame_equal(curate(features, table, size=50, strata=["instrument"], out=tmp_path / "c"), first)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "c").iterdir()} == before
    with pytest.raises(ValueError, match="holds a curation with other size"):
        curate(features, table, size=51, strata=["instrument"], out=tmp_path / "c")
    with pytest.raises(ValueError, match="holds a curation with other features"):
        curate(features + 1, table, size=50, strata=["instrument"], out=tmp_path / "c")
    with pytest.raises(ValueError, match="holds other files"):
        curate(features, size=50, out=tmp_path)


KILLED = """
import os, pathlib, signal, sys
import numpy as np, pandas as pd
from aqqua_science.pretraining.curation import curate
out, left = sys.argv[1], int(sys.argv[2])
move = pathlib.Path.replace

def move_until(path, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return move(path, target)

pathlib.Path.replace = move_until
features = np.load(out + ".npy", mmap_mode="r")
table = pd.DataFrame({"instrument": np.arange(len(features)) % 3})
curate(features, table, size=500, strata=["instrument"], clusters=[50, 10], resampling=1, out=out)
"""


@pytest.mark.parametrize("steps", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_again_and_again_ends_as_one_left_alone(tmp_path, steps):
    """Killed just before a file comes to its place, `steps` files further each time."""
    features = np.random.default_rng(0).normal(size=(20_000, 8)).astype(np.float16)
    np.save(tmp_path / "killed.npy", features)
    table = pd.DataFrame({"instrument": np.arange(len(features)) % 3})
    settings = {"size": 500, "strata": ["instrument"], "clusters": [50, 10], "resampling": 1}
    whole = curate(features, table, out=tmp_path / "whole", **settings)
    same_threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    out, deaths = tmp_path / "killed", 0
    command = [sys.executable, "-c", KILLED, str(out)]
    while (code := subprocess.run([*command, str(steps)], env=same_threads).returncode) == -signal.SIGKILL:
        deaths += 1
        assert not (out / "curation.json").exists()
        assert deaths < 40
        steps += 6 if (out / ".work" / "result").exists() else 0
    assert code == 0
    assert deaths >= 2
    assert contents(out) == contents(tmp_path / "whole")
    pd.testing.assert_frame_equal(curate(features, table, out=out, **settings), whole)


def test_bad_rows_are_listed_and_the_others_drawn_as_if_they_were_alone(tmp_path):
    features, *_ = corpus(np.random.default_rng(0), n=1_000)
    features[[3, 999]] = np.nan
    features[500, 2] = np.inf
    draw = curate(features, size=997, out=tmp_path / "c")
    rejected = pd.read_parquet(tmp_path / "c" / "rejected.parquet")
    assert rejected["row"].tolist() == [3, 500, 999]
    assert rejected["reason"].unique().tolist() == ["a feature is not finite"]
    assert draw["row"].tolist() == [row for row in range(1_000) if row not in (3, 500, 999)]
    assert (draw["inclusion_probability"] == 1).all()
    assert np.flatnonzero(np.load(tmp_path / "c" / "assigned.npy") == -1).tolist() == [3, 500, 999]
    with pytest.raises(ValueError, match="asked for 998 of 997"):
        curate(features, size=998, out=tmp_path / "d")
    normalised = np.concatenate([features[:100], np.zeros((1, 8))])
    curate(normalised, size=10, normalise=True, out=tmp_path / "e")
    assert pd.read_parquet(tmp_path / "e" / "rejected.parquet")["row"].tolist() == [3, 100]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"size": 101}, ValueError, "asked for 101 of 100"),
        ({"size": 0}, ValueError, "asked for 0 of 100"),
        ({"clusters": [101]}, ValueError, "at most one per usable image"),
        ({"clusters": [5, 5]}, ValueError, "each smaller than the one before"),
        ({"resampling": -1}, ValueError, "0 or more; got -1"),
        ({"features": pd.DataFrame(np.ones((100, 4)))}, ValueError, "got DataFrame"),
        ({"clusters": []}, ValueError, "clusters are counts"),
        ({"table": pd.DataFrame({"instrument": ["a"]})}, SchemaError, "features have 100 rows, the table has 1"),
        ({"strata": ["instrment"]}, SchemaError, "Did you mean 'instrument'"),
        ({"table": None}, SchemaError, "no table was given"),
        ({"table": pd.DataFrame({"weight": np.zeros(100)}), "strata": ["weight"]}, SchemaError, "cannot be called"),
        ({"features": np.ones((100, 4))}, ValueError, "all alike"),
        ({"features": np.full((100, 4), np.nan)}, ValueError, "0 are usable"),
        ({"features": np.zeros(100)}, ValueError, r"of shape \(images, features\)"),
        ({"features": [[1.0, 2.0]]}, ValueError, "got list"),
        ({"features": np.array([["a"] * 4] * 100)}, ValueError, "must be numbers"),
    ],
)
def test_bad_input_is_told_with_its_remedy(tmp_path, change, error, message):
    given = {
        "features": np.random.default_rng(0).normal(size=(100, 4)),
        "table": pd.DataFrame({"instrument": ["a", "b"] * 50}),
        "size": 10,
        "strata": ["instrument"],
    } | change
    features, table = given.pop("features"), given.pop("table")
    with pytest.raises(error, match=message):
        curate(features, table, out=tmp_path / "c", **given)


def test_fewer_different_points_than_clusters_give_fewer_clusters(tmp_path):
    features = np.repeat(np.random.default_rng(0).normal(size=(7, 4)), 30, axis=0)
    curate(features, size=14, clusters=[50], out=tmp_path)
    assert json.loads((tmp_path / "curation.json").read_text())["clusters"] == [7]
    assert pd.read_parquet(tmp_path / "draw.parquet")["cluster_1"].value_counts().tolist() == [2] * 7


def test_further_images_are_placed_as_the_first_ones_were(tmp_path):
    features, *_ = corpus(np.random.default_rng(0), n=1_500)
    draw = curate(features, size=100, clusters=[40, 8, 2], out=tmp_path)
    placed = assign(np.concatenate([features, np.full((1, 8), np.nan)]), tmp_path)
    assert placed["cluster_1"].tolist() == [*np.load(tmp_path / "assigned.npy"), -1]
    assert placed.iloc[-1].tolist() == [-1, -1, -1]
    columns = ["cluster_1", "cluster_2", "cluster_3"]
    assert placed.loc[draw["row"], columns].to_numpy().tolist() == draw[columns].to_numpy().tolist()
    with pytest.raises(ValueError, match="has 8 features, these 3"):
        assign(features[:, :3], tmp_path)


def test_clusters_of_a_level_are_those_nearest_to_the_rows(tmp_path):
    features, *_ = corpus(np.random.default_rng(0), n=1_000)
    rows = screen_rows(FeatureRows(features), folder=tmp_path / "screen")
    levels = cluster_levels(rows, (30, 5), resampling=1, seed=0, folder=tmp_path)
    centred = features.astype(float) - features.astype(float).mean(axis=0)
    for points, level in zip((centred, levels[0].centroids.numpy()), levels, strict=True):
        gaps = ((points[:, None] - level.centroids.numpy()[None]) ** 2).sum(axis=2)
        best = np.take_along_axis(gaps, level.labels[:, None].astype(int), axis=1)[:, 0]
        np.testing.assert_allclose(best, gaps.min(axis=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("place", "region", "depth_class"),
    [
        ((0, 0, 0), "+00+000", "0-200 m"),
        ((-0.1, -0.1, 200), "-30-060", "0-200 m"),
        ((90, 180, 200.5), "+60+120", "200-1000 m"),
        ((-90, -180, 11_000), "-90-180", "below 4000 m"),
        ((54.2, 7.9, 1_001), "+30+000", "1000-4000 m"),
        ((np.nan, 7.9, np.nan), None, None),
    ],
)
def test_places_fall_into_boxes_and_depths_into_zones(place, region, depth_class):
    row = dict(zip(["latitude", "longitude", "depth"], place, strict=True))
    table = pd.DataFrame([row | {"instrument": "UVP6", "time": pd.Timestamp("2024-12-31T23:59:59")}])
    (found,) = strata_of(table).astype(object).to_dict("records")
    assert (found["region"] if region else pd.isna(found["region"])) == (region or True)
    assert (found["depth_class"] if depth_class else pd.isna(found["depth_class"])) == (depth_class or True)
    assert (found["instrument"], found["month"]) == ("UVP6", 12)


def test_a_store_s_table_has_strata_and_those_that_lack_values_are_one_of_their_own(tmp_path):
    facts = {"latitude": 54.2, "longitude": 7.9, "pixel_size_um": 50, "licence": "CC0-1.0"}
    records = [
        Record(
            str(i),
            lambda: np.zeros((4, 4), np.uint8),
            {"object_id": str(i), "time": f"2024-{1 + i % 2:02d}-03", "depth": 5, "instrument": "abc"[i % 3]} | facts,
            {},
        )
        for i in range(60)
    ]
    table = ingest(records, tmp_path / "store").table.copy()
    features = np.random.default_rng(0).normal(size=(60, 3))
    assert strata_of(table).nunique().to_dict() == {"instrument": 3, "region": 1, "depth_class": 1, "month": 2}
    draw = curate(features, table, size=12, out=tmp_path / "c")
    assert draw.groupby(["instrument", "month"]).size().tolist() == [2] * 6
    table.loc[:29, "instrument"] = None
    draw = curate(features, table, size=16, strata=["instrument"], out=tmp_path / "d")
    assert draw["instrument"].value_counts(dropna=False).tolist() == [4] * 4
    with pytest.raises(SchemaError, match="no column 'depth'"):
        strata_of(table.drop(columns="depth"))


def test_the_result_can_be_read_without_us(tmp_path):
    features, *_ = corpus(np.random.default_rng(0), n=1_000)
    curate(features, size=100, out=tmp_path)
    assert {p.name for p in Path(tmp_path).iterdir()} == {
        "draw.parquet",
        "cells.parquet",
        "rejected.parquet",
        "clusters.safetensors",
        "assigned.npy",
        "curation.json",
    }
    assert np.load(tmp_path / "assigned.npy", allow_pickle=False).shape == (1_000,)
