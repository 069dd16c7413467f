"""From a store to packed views."""

import numpy as np
import pytest
import torch

from aqqua_science.images.shards import StoreError
from aqqua_science.images.sizes import esd_um
from aqqua_science.pretraining.config import PretrainConfig
from aqqua_science.pretraining.loader import facts, shares


def config(**settings):
    return PretrainConfig(**({"tokens_per_batch": 1_024, "steps": 6, "patch_size": 14} | settings))


def same(a, b):
    """Whether two batches hold the same numbers."""
    one, other = (
        [*batch.large, *(batch.small or ()), batch.large_place, batch.small_place, batch.mask] for batch in (a, b)
    )
    return len(one) == len(other) and all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


def test_views_stand_where_the_batch_says(drawn):
    share = next(shares(drawn, facts(drawn), config()))
    batch = share.batches[0]
    assert batch.large_place.shape == (2, len(share.rows))
    assert batch.small_place.shape == (4, len(share.rows))
    assert sorted(batch.large_place.flatten().tolist()) == list(range(2 * len(share.rows)))
    assert (batch.large.lengths.diff() >= 0).all()
    assert share.n_tokens == len(batch.large.values) + len(batch.small.values) <= 1_024
    sizes = facts(drawn).loc[share.rows, "pixel_size_um"].to_numpy()
    sampling = sizes / batch.large.pixel_size_um[batch.large_place].numpy()
    assert (sampling <= 1.5 + 1e-6).all()


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_what_one_sees(drawn, world):
    alone = list(shares(drawn, facts(drawn), config()))
    together = [list(shares(drawn, facts(drawn), config(), rank=rank, world=world)) for rank in range(world)]
    for step, parts in zip(alone, zip(*together, strict=True), strict=True):
        assert sorted(np.concatenate([part.rows for part in parts])) == sorted(step.rows)
        values = torch.cat([part.batches[0].large.values for part in parts]).sum(1).sort().values
        torch.testing.assert_close(values, step.batches[0].large.values.sum(1).sort().values)
        assert {part.n_images for part in parts} == {step.n_images}


def test_pieces_hold_what_the_whole_holds(drawn):
    whole = next(shares(drawn, facts(drawn), config()))
    pieces = next(shares(drawn, facts(drawn), config(accumulate=3)))
    assert len(pieces.batches) == 3
    assert sorted(pieces.rows) == sorted(whole.rows)
    assert sum(len(b.large.values) for b in pieces.batches) == len(whole.batches[0].large.values)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_read_the_same_in_the_same_order(drawn):
    alone = list(shares(drawn, facts(drawn), config()))
    helped = list(shares(drawn, facts(drawn), config(workers=2)))
    assert [s.number for s in helped] == [s.number for s in alone]
    assert all(same(a.batches[0], b.batches[0]) for a, b in zip(alone, helped, strict=True))


def test_a_loader_goes_on_where_it_stood(drawn):
    alone = list(shares(drawn, facts(drawn), config()))
    for stop in (0, 3):
        rest = list(shares(drawn, facts(drawn), config(), state=alone[stop].state))
        assert [s.number for s in rest] == list(range(stop + 1, 6))
        assert all(same(a.batches[0], b.batches[0]) for a, b in zip(alone[stop + 1 :], rest, strict=True))


def test_masks_hide_the_same_places_of_all_channels(drawn):
    colour = np.flatnonzero(drawn.table["instrument"] == "FlowCam")
    told = config(mask_probability=1.0, views={"channels": False, "rotate": False, "sampling": (1, 1)})
    batch = next(shares(drawn, facts(drawn, colour), told)).batches[0]
    masked = 0
    for mask, channel in zip(
        batch.mask.split(batch.large.lengths.tolist()),
        batch.large.channel.split(batch.large.lengths.tolist()),
        strict=True,
    ):
        planes = [mask[channel == kind] for kind in channel.unique()]
        assert len(planes) == 3
        assert all(torch.equal(plane, planes[0]) for plane in planes)
        assert not planes[0].all()
        masked += bool(planes[0].any())
    assert masked > len(batch.large.lengths) / 2


def test_share_of_masked_views_is_as_told(drawn):
    told = config(tokens_per_batch=8_192, steps=3, mask_probability=0.3)
    hit = [
        bool(mask.any())
        for share in shares(drawn, facts(drawn), told)
        for mask, n in zip(
            share.batches[0].mask.split(share.batches[0].large.lengths.tolist()),
            share.batches[0].large.lengths,
            strict=True,
        )
        if n > 1
    ]
    assert abs(np.mean(hit) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / len(hit))


def test_guides_get_their_columns_and_measures(drawn):
    told = config(
        guides={"depth": {"kind": "auxiliary"}, "esd_um": {"kind": "auxiliary"}, "measured": {"kind": "auxiliary"}}
    )
    share = next(shares(drawn, facts(drawn, columns=told.guides), told))
    table = share.batches[0].table
    np.testing.assert_array_equal(table["depth"], drawn.table["depth"][share.rows])
    row = int(share.rows[0])
    pixels = drawn[row] if drawn[row].ndim == 3 else drawn[row][..., None]
    expected = esd_um(np.moveaxis(pixels, -1, 0).astype(np.float32), pixel_size_um=drawn.table["pixel_size_um"][row])
    np.testing.assert_allclose(table["esd_um"].iloc[0], expected, rtol=1e-5)
    assert np.isfinite(np.stack(list(table["measured"]))).all()


def test_no_small_views(drawn):
    batch = next(shares(drawn, facts(drawn), config(views={"n_local": 0}))).batches[0]
    assert batch.small is None
    assert batch.small_place.shape[0] == 0


def test_a_damaged_shard_is_named(drawn, tmp_path):
    copy = drawn.subset(slice(0, 40), to=tmp_path / "damaged.aqqua")
    file = next((copy.path / "images").glob("*.lmdb"))
    content = bytearray(file.read_bytes())
    content[8_192:] = bytes(len(content) - 8_192)
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"lmdb.*copy"):
        list(shares(copy, facts(copy), config()))
