"""Masks of main objects, against drawn shapes, the true masks of virtual plankton, and a FlowCam's own masks."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from aqqua_science.images import ingest, sizes
from aqqua_science.objects import masks
from aqqua_science.objects.masks import mask_of, read_masks
from aqqua_science.objects.segmentation import segment
from aqqua_science.objects.segmentation_heads import SegmentationHead, pixel_features
from aqqua_science.objects.thresholding import contrast, main_mask
from aqqua_science.sources import flowcam
from aqqua_science.sources.pictures import decode
from aqqua_science.sources.tree import Tree
from aqqua_science.synthetic import images

OVERLAP = {
    "IFCB": 0.88,
    "PlanktoScope": 0.85,
    "FlowCam": 0.86,
    "ZooScan": 0.83,
    "LOKI": 0.78,
    "UVP6": 0.75,
    "ISIIS": 0.84,
}
"""Mean intersection over union that thresholds reach at least; glare widens small bodies in dark field."""


def overlap(a, b):
    return np.count_nonzero(a & b) / max(1, np.count_nonzero(a | b))


def disc(radius, *, shape=(80, 90), at=(38.3, 45.6)):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2


def noisy(mask, levels, *, noise=4.0, dtype=np.uint8, slope=0.0):
    rng = np.random.default_rng(0)
    picture = np.where(mask, *levels) + rng.normal(0, noise, mask.shape) + slope * np.arange(mask.shape[1])
    return picture.clip(0, np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("levels", [(60, 200), (200, 30), (110, 150), (3000, 400)])
@pytest.mark.parametrize("at", [(38.3, 45.6), (2.0, 45.0), (38.0, 89.0)])
@pytest.mark.parametrize("radius", [5, 16])
def test_discs_are_found_in_any_light_and_at_the_border(radius, levels, at):
    mask = disc(radius, at=at)
    picture = noisy(mask, levels, dtype=np.uint16 if max(levels) > 255 else np.uint8)
    assert overlap(main_mask(picture), mask) > 0.96


def test_light_may_slope():
    mask = disc(12)
    assert overlap(main_mask(noisy(mask, (90, 120), slope=0.8, noise=2.0)), mask) > 0.95


def test_colours_that_are_as_bright_as_the_water_are_found():
    mask, rng = disc(12), np.random.default_rng(0)
    picture = np.where(mask[..., None], (60, 100, 170), (120, 120, 120)) + rng.normal(0, 3, (*mask.shape, 3))
    assert overlap(main_mask(picture.astype(np.uint8)), mask) > 0.95


def test_the_larger_object_counts_and_holes_are_filled():
    ring = disc(15, at=(40, 30)) & ~disc(7, at=(40, 30))
    found = main_mask(noisy(ring | disc(6, at=(40, 75)), (60, 200)))
    assert overlap(found, disc(15, at=(40, 30))) > 0.96


def test_cells_of_a_chain_are_one_object_and_the_gaps_stay_open():
    cells = np.zeros((60, 140), bool)
    for start in range(15, 120, 22):
        cells[22:40, start : start + 18] = True
    found = main_mask(noisy(cells, (80, 200)))
    assert overlap(found, cells) > 0.95


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 3), (30, 40), (5, 5, 3)])
@pytest.mark.parametrize("value", [0, 200])
def test_nothing_is_found_where_nothing_is(shape, value):
    assert not main_mask(np.full(shape, value, np.uint8)).any()


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (2, 2), (3, 7), (8, 8), (9, 2)])
def test_tiny_images_do_no_harm(shape):
    for seed in range(20):
        picture = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
        assert main_mask(picture).shape == shape


def test_the_water_is_a_plane_and_darker_is_negative():
    picture = 100 + np.add.outer(0.5 * np.arange(40.0), 0.25 * np.arange(60.0))
    difference, water = contrast(np.where(disc(6, shape=(40, 60), at=(20, 30)), picture - 50, picture))
    np.testing.assert_allclose(water, picture, atol=0.01)
    assert difference[20, 30] == pytest.approx(-50, abs=0.01)


@pytest.fixture(scope="module")
def pictures():
    return {name: list(images(20, rng=31, instruments=[name])) for name in OVERLAP}


@pytest.mark.parametrize("instrument", OVERLAP)
def test_virtual_plankton_is_outlined(pictures, instrument):
    found = [overlap(main_mask(p.pixels()), p.mask()) for p in pictures[instrument]]
    plain = [overlap(sizes.main_object(p.pixels()), p.mask()) for p in pictures[instrument]]
    assert np.mean(found) > OVERLAP[instrument]
    assert np.mean(found) > np.mean(plain)


@pytest.mark.parametrize("instrument", ["UVP6", "LOKI"])
def test_a_head_learns_from_twenty_pictures(pictures, instrument):
    examples = list(images(20, rng=77, instruments=[instrument]))
    head = SegmentationHead().fit([p.pixels() for p in examples], [p.mask() for p in examples])
    test = pictures[instrument]
    learnt = np.mean([overlap(head.predict(p.pixels()), p.mask()) for p in test])
    thresholds = np.mean([overlap(main_mask(p.pixels()), p.mask()) for p in test])
    assert learnt > thresholds + 0.01


def test_a_head_may_learn_from_thresholds_and_is_the_same_twice(pictures):
    examples = [p.pixels() for p in pictures["UVP6"][:6]]
    first, second = (SegmentationHead(pixels_per_image=200).fit(examples) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != SegmentationHead(pixels_per_image=200, random_state=1).fit(examples).fingerprint
    found = first.predict(examples[0])
    assert_array_equal(found, second.predict(examples[0]))
    assert overlap(found, main_mask(examples[0])) > 0.7
    chances = first.predict_proba(examples[0])
    assert chances.min() >= 0
    assert chances.max() <= 1


def test_a_head_is_kept_in_a_file(pictures, tmp_path):
    examples = [p.pixels() for p in pictures["UVP6"][:3]]
    head = SegmentationHead(pixels_per_image=100).fit(examples)
    head.save(tmp_path / "head.npz")
    again = SegmentationHead.load(tmp_path / "head.npz")
    assert (again.fingerprint, again.get_params()) == (head.fingerprint, head.get_params())
    assert_array_equal(again.predict(examples[1]), head.predict(examples[1]))
    np.savez(tmp_path / "other.npz", a=1)
    (tmp_path / "text.npz").write_text("no arrays")
    (tmp_path / "empty.npz").touch()
    whole, rng = (tmp_path / "head.npz").read_bytes(), np.random.default_rng(0)
    for number, place in enumerate(rng.integers(0, len(whole), 150)):
        (tmp_path / f"{number}.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    for name in ("other", "text", "empty", *range(150)):
        with pytest.raises(ValueError, match="cannot be read as a SegmentationHead"):
            SegmentationHead.load(tmp_path / f"{name}.npz")
    with pytest.raises(ValueError, match="heads of their own"):
        head.predict(pictures["FlowCam"][0].pixels())


def test_tokens_of_an_encoder_tell_what_grey_levels_do_not():
    """Left and right halves look alike; only the tokens know that the right one is object."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(90, 110, (40, 64)).astype(np.uint8) for _ in range(4)]
    mask = np.zeros((40, 64), bool)
    mask[:, 32:] = True
    tokens = np.zeros((5, 8, 2))
    tokens[:, 4:, 1] = 1.0
    head = SegmentationHead(tokens=lambda _: tokens).fit(pictures, [mask] * 4)
    assert overlap(head.predict(pictures[0]), mask) > 0.97
    assert overlap(SegmentationHead().fit(pictures, [mask] * 4).predict(pictures[0]), mask) < 0.9


def test_features_of_pixels_hardly_depend_on_exposure():
    picture = noisy(disc(12), (60, 120), noise=2.0)
    np.testing.assert_allclose(
        pixel_features(2 * picture.astype(float)), pixel_features(picture.astype(float)), atol=0.02
    )


def test_a_head_refuses_what_teaches_nothing():
    picture = noisy(disc(12), (60, 200))
    with pytest.raises(ValueError, match="only one of them"):
        SegmentationHead().fit([picture], [np.zeros(picture.shape, bool)])
    with pytest.raises(ValueError, match="1 images and 2 masks"):
        SegmentationHead().fit([picture], [picture > 0] * 2)
    with pytest.raises(ValueError, match="They must be alike"):
        SegmentationHead().fit([picture], [np.ones((3, 3), bool)])
    with pytest.raises(ValueError, match="only one of them"):
        SegmentationHead().fit([])


@pytest.fixture(scope="module")
def store(pictures, tmp_path_factory):
    some = [p for name in ("IFCB", "FlowCam", "UVP6") for p in pictures[name][:8]]
    for number, picture in enumerate(some):
        picture.metadata["object_id"] = f"object_{number}"
    return ingest(some, tmp_path_factory.mktemp("stores") / "drawn", contributors=["A. Person"])


def test_a_store_is_segmented(store):
    table = segment(store)
    assert table.index.tolist() == list(range(24))
    assert table["object_id"].tolist() == store.table["object_id"].tolist()
    for row in (0, 9, 23):
        assert_array_equal(mask_of(table, row), main_mask(store[row]))
        assert table["area_px"][row] == main_mask(store[row]).sum()
    assert set(table["reason"]) == {""}


def test_rows_are_kept_in_order(store):
    assert segment(store, [5, 2, 17]).index.tolist() == [5, 2, 17]
    assert len(segment(store, [])) == 0


def test_masks_on_the_disk_are_the_same_and_are_found_again(store, tmp_path, monkeypatch):
    monkeypatch.setattr(masks, "ROWS_PER_PIECE", 5)
    table = segment(store, to=tmp_path / "masks.parquet")
    plain = segment(store)
    assert table.drop(columns="counts").equals(plain.drop(columns="counts"))
    for ours, theirs in zip(table["counts"], plain["counts"], strict=True):
        assert_array_equal(ours, theirs)
    stamp = (tmp_path / "masks.parquet").stat().st_mtime_ns
    segment(store, to=tmp_path / "masks.parquet")
    assert (tmp_path / "masks.parquet").stat().st_mtime_ns == stamp
    assert read_masks(tmp_path / "masks.parquet").index.name == "row"
    with pytest.raises(FileExistsError, match="another method"):
        segment(store, [1], to=tmp_path / "masks.parquet")


def test_a_head_segments_a_store(store):
    head = SegmentationHead(pixels_per_image=100).fit([store[r] for r in range(8)])
    table = segment(store, range(8), method=head)
    assert_array_equal(mask_of(table, 3), head.predict(store[3]))


@pytest.mark.parametrize("method", ["clasical", 3, None])
def test_unknown_methods_are_refused(store, method):
    with pytest.raises(ValueError, match="'classical' or a fitted SegmentationHead"):
        segment(store, method=method)


@pytest.mark.parametrize(
    ("folder", "least", "ratio"),
    [
        ("VickoT+FlowCam_Image_Classifier/Training/data/raw", 0.75, (0.8, 1.2)),
        ("morphocut+morphocut/tests/data/flowcam", 0.68, (0.8, 1.2)),
    ],
)
def test_real_masks_of_a_flowcam_agree(shared_data, folder, least, ratio):
    """The instrument's own masks of particles of some size; it thresholds each pixel and fills nothing."""
    tree = Tree(shared_data / "images" / folder)
    own = {n.rpartition("/")[2][:-8]: decode(tree.read(n)) > 0 for n in tree.matching("_bin.tif")}
    overlaps, ratios = [], []
    for record in (r for part in flowcam.parts(tree) for r in flowcam.read(tree, part)):
        if float(record.raw["raw_area"]) < 100 or len(overlaps) == 40:
            continue
        x, y, width, height = (int(record.raw[f"image_{side}"]) for side in "xywh")
        theirs = own[record.raw["collage_file"][:-4]][y : y + height, x : x + width]
        ours = main_mask(record.pixels())
        overlaps.append(overlap(ours, theirs))
        ratios.append(ours.sum() / theirs.sum())
    assert len(overlaps) >= 25
    assert np.median(overlaps) > least
    assert ratio[0] < np.median(ratios) < ratio[1]
