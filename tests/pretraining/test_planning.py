"""Which images make up each step."""

import itertools
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqqua_science.pretraining.config import PretrainConfig
from aqqua_science.pretraining.planning import Plan, deal


def sizes(n=200, *, seed=0):
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.normal(4.1, 0.5, (2, n))).astype(int).clip(1, 600)
    table = {"height": sides[0], "width": sides[1], "channels": rng.choice([1, 1, 3], n), "pixel_size_um": 73.0}
    return pd.DataFrame(table)


def config(**settings):
    return PretrainConfig(**({"tokens_per_batch": 2_048, "steps": 10_000} | settings))


def steps(plan, n):
    return list(itertools.islice(plan, n))


@pytest.mark.parametrize("n_images", [1, 37, 200])
def test_every_image_comes_once_in_every_epoch(n_images):
    table = sizes(n_images)
    seen, plan = Counter(), Plan(table, config())
    while plan.next < 3 * n_images + 100:
        step = next(plan)
        seen.update(zip(step.epochs.tolist(), step.places.tolist(), strict=True))
    assert set(seen.values()) == {1}
    for epoch in range(2):
        assert {place for e, place in seen if e == epoch} == set(range(n_images))


@pytest.mark.parametrize("tokens", [1_024, 2_048, 8_192])
def test_batches_are_full_and_never_overfull(tokens):
    found = steps(Plan(sizes(), config(tokens_per_batch=tokens)), 60)
    filled = np.array([step.tokens.sum() for step in found])
    assert (filled <= tokens).all()
    assert filled.sum() / (tokens * len(found)) >= 0.97


def test_real_sizes_fill_batches(shared_data):
    """The images of PlanktonSet: occupancy at least 97 % in every step."""
    from PIL import Image

    files = sorted((shared_data / "images" / "isiis_planktonset1").rglob("*.jpg"))[::4]
    shapes = []
    for file in files:
        with Image.open(file) as image:
            shapes.append(image.size[::-1])
    table = pd.DataFrame(shapes, columns=["height", "width"]).assign(channels=1, pixel_size_um=68.0)
    found = steps(Plan(table, config(tokens_per_batch=4_096)), 30)
    assert min(step.tokens.sum() for step in found) >= 0.97 * 4_096


@given(stop=st.integers(0, 12))
@settings(max_examples=10)
def test_a_plan_goes_on_where_it_stood(stop):
    table, told = sizes(60), config()
    undisturbed = steps(Plan(table, told), 16)
    plan = Plan(table, told)
    steps(plan, stop)
    state = json.loads(json.dumps(plan.state))
    for a, b in zip(undisturbed[stop:], Plan(table, told, state=state), strict=False):
        assert a.number == b.number
        for one, other in zip([*a[1:3], *a.layout, a.tokens], [*b[1:3], *b.layout, b.tokens], strict=True):
            np.testing.assert_array_equal(one, other)


def test_another_seed_gives_other_batches():
    first = [next(Plan(sizes(), config(seed=seed))) for seed in (0, 1, 0)]
    assert first[0].places.tolist() == first[2].places.tolist() != first[1].places.tolist()


@given(costs=st.lists(st.integers(1, 900), min_size=8, max_size=60), n_parts=st.integers(1, 8))
def test_images_are_dealt_out_evenly(costs, n_parts):
    parts = deal(costs, n_parts)
    assert sorted(np.concatenate(parts)) == list(range(len(costs)))
    loads = [sum(costs[i] for i in part) for part in parts]
    assert max(loads) - min(loads) <= max(costs)
    assert min(map(len, parts)) >= 1


def test_too_few_images_for_the_devices_are_refused():
    with pytest.raises(ValueError, match="3 images, which 4 parts"):
        deal([5, 5, 5], 4)
