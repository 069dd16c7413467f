"""Masks as runs: round trips, COCO's order, and tables that are whole or absent."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aqqua_science.objects import masks
from aqqua_science.objects.masks import decode, encode, grow, mask_of, read_masks


def slow_runs(mask):
    """COCO's uncompressed runs, pixel by pixel down each column."""
    counts, value, length = [], False, 0
    for x in range(mask.shape[1]):
        for y in range(mask.shape[0]):
            if mask[y, x] != value:
                counts.append(length)
                value, length = not value, 0
            length += 1
    return [*counts, length]


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_runs_are_those_of_coco_and_come_back(mask):
    counts = encode(mask)
    assert counts.tolist() == slow_runs(mask)
    np.testing.assert_array_equal(decode(counts, mask.shape), mask)


def test_a_corner_of_object_begins_with_no_background():
    assert encode(np.ones((3, 2), bool)).tolist() == [0, 6]
    assert encode(np.zeros((3, 2), bool)).tolist() == [6]


def test_runs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="the runs hold 4 pixels, but 2 x 3 are 6"):
        decode([1, 3], (2, 3))
    with pytest.raises(ValueError, match="got \\(2, 2, 3\\)"):
        encode(np.zeros((2, 2, 3), bool))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_table_row_is_a_mask(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    table = pd.DataFrame({"height": [height], "width": [width], "counts": [encode(mask)]}, index=[7])
    np.testing.assert_array_equal(mask_of(table, 7), mask)
    with pytest.raises(KeyError, match="no mask of row 8"):
        mask_of(table, 8)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(masks, "ROWS_PER_PIECE", 4)


def numbers(rows):
    return pd.DataFrame({"value": 2 * rows, "counts": [np.arange(r, dtype=np.uint32) for r in rows]}, index=rows)


@pytest.mark.usefixtures("small_pieces")
def test_a_killed_table_goes_on_and_is_the_same(tmp_path):
    rows, done = np.arange(10), []

    def dies(some):
        if len(done) == 2:
            raise KeyboardInterrupt
        return lives(some)

    def lives(some):
        done.append(some.tolist())
        return numbers(some)

    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path / "a.parquet", rows, dies, job={"method": "m"})
    assert not (tmp_path / "a.parquet").exists()
    grow(tmp_path / "a.parquet", rows, lives, job={"method": "m"})
    assert done == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    grow(tmp_path / "b.parquet", rows, numbers, job={"method": "m"})
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.parquet", "b.parquet"]
    assert read_masks(tmp_path / "a.parquet").index.tolist() == rows.tolist()


@pytest.mark.parametrize("name", ["masks.csv", "masks", "masks.parquet.gz"])
def test_a_name_promises_what_is_written(tmp_path, name):
    with pytest.raises(ValueError, match=r"masks is a file whose name ends in \.parquet; got '.*masks"):
        grow(tmp_path / name, np.arange(3), numbers, job={"method": "m"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_pieces")
def test_other_work_is_not_overwritten(tmp_path):
    path = tmp_path / "a.parquet"
    grow(path, np.arange(5), numbers, job={"method": "m"})
    with pytest.raises(FileExistsError, match="other images or another method"):
        grow(path, np.arange(6), numbers, job={"method": "m"})
    numbers(np.arange(3)).to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(FileExistsError, match="no masks of ours"):
        grow(tmp_path / "foreign.parquet", np.arange(3), numbers, job={"method": "m"})


@pytest.mark.usefixtures("small_pieces")
def test_pieces_of_other_work_are_not_mixed_in(tmp_path):
    def dies(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path / "a.parquet", np.arange(5), dies, job={"method": "m"})
    with pytest.raises(FileExistsError, match="pieces of other work"):
        grow(tmp_path / "a.parquet", np.arange(5), numbers, job={"method": "other"})


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("gone", [[], ["job.json", "0000000000.parquet"]])
def test_killed_between_the_whole_and_the_removal_of_its_pieces(tmp_path, monkeypatch, gone):
    """Before any of them is gone, or in the midst of it: nothing stays, and nothing of it gets into other work."""
    path, rows, job = tmp_path / "a.parquet", np.arange(9), {"method": "m"}

    def dies(folder, ignore_errors=False):
        for name in gone if folder.exists() else []:
            (folder / name).unlink()
        if not ignore_errors:
            raise KeyboardInterrupt

    for other in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(masks.shutil, "rmtree", dies)
            with pytest.raises(KeyboardInterrupt):
                grow(path, rows, numbers, job=job)
        if other and gone:
            path.unlink()
            rows, job = np.arange(2, 5), {"method": "other"}
        grow(path, rows, numbers, job=job)
        assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]
        assert read_masks(path).index.tolist() == rows.tolist()
        path.unlink()


def test_no_rows_make_an_empty_table(tmp_path):
    grow(tmp_path / "a.parquet", np.arange(0), numbers, job={"method": "m"})
    assert len(read_masks(tmp_path / "a.parquet")) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_borders_and_masks_that_tell_nothing():
    mask = np.zeros((4, 5), bool)
    assert masks.reason_of(mask) == "nothing stands out"
    mask[1:3, 1:4] = True
    assert (masks.at_edge(mask), masks.reason_of(mask)) == (False, "")
    for border in (np.s_[0, 2], np.s_[3, 2], np.s_[2, 0], np.s_[2, 4]):
        touching = mask.copy()
        touching[border] = True
        assert masks.at_edge(touching)
    assert masks.reason_of(np.ones((4, 5), bool)) == "fills the frame"
