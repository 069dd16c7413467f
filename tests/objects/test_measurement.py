"""Measured traits, against drawn shapes and virtual plankton of known size, volume and cells."""

import numpy as np
import pandas as pd
import pytest

from aqqua_science.images import ingest, open_store
from aqqua_science.objects import masks
from aqqua_science.objects.measurement import measure, traits_of
from aqqua_science.objects.segmentation import segment
from aqqua_science.schema import SchemaError
from aqqua_science.sources.record import Record
from aqqua_science.synthetic import images

VOLUME_BIAS = {
    "Copepoda": (0.85, 1.15),
    "Dinophyceae": (0.85, 1.15),
    "Acantharea": (0.85, 1.15),
    "Chaetoceros": (0.8, 1.1),
    "faecal pellet": (0.8, 1.15),
    "detritus": (0.6, 1.4),
    "Hydrozoa": (0.5, 1.0),
    "Appendicularia": (1.0, 1.7),
    "Chaetognatha": (1.2, 2.3),
}
"""Median of measured over true volume: a bell is not round about its long axis, tails and fins are flat."""

DEFAULTS = {"time": "2024-05-01T12:00:00", "latitude": 54.2, "longitude": 7.9, "depth": 5, "licence": "CC0-1.0"}


def ellipse(a, b, angle, shape=(150, 170)):
    """A mask whose long axis points `angle` degrees above the right."""
    y, x = np.indices(shape)
    z = (x - shape[1] / 2 + 0.3 - 1j * (y - shape[0] / 2 + 0.4)) * np.exp(-1j * np.radians(angle))
    return (z.real / a) ** 2 + (z.imag / b) ** 2 <= 1


def record(number, pixels, *, instrument="UVP6", pixel_size_um=10.0, **more):
    metadata = DEFAULTS | {"object_id": f"object_{number}", "instrument": instrument, "pixel_size_um": pixel_size_um}
    return Record(f"drawn:{number}", lambda: pixels, metadata | more, {})


@pytest.fixture(scope="module")
def pictures():
    return list(images(220, rng=42))


@pytest.fixture(scope="module")
def store(pictures, tmp_path_factory):
    return ingest(pictures, tmp_path_factory.mktemp("stores") / "drawn", contributors=["A. Person"])


@pytest.fixture(scope="module")
def traits(store):
    return measure(store)


@pytest.fixture(scope="module")
def truth(pictures):
    return pd.DataFrame([p.truth for p in pictures])


@pytest.mark.parametrize("angle", [0, 25, 90, -40])
@pytest.mark.parametrize(("a", "b"), [(50, 20), (30, 24), (9, 5)])
def test_ellipses(a, b, angle):
    mask = ellipse(a, b, angle)
    found = traits_of(np.where(mask, 80, 200).astype(np.uint8), mask)
    assert found["area_um2"] == mask.sum()
    assert found["esd_um"] == pytest.approx(2 * np.sqrt(a * b), rel=0.015)
    assert (found["major_um"], found["minor_um"]) == pytest.approx((2 * a, 2 * b), rel=0.03)
    assert (found["feret_max_um"], found["feret_min_um"]) == pytest.approx((2 * a, 2 * b), rel=0.02, abs=1.3)
    assert found["elongation"] == pytest.approx(a / b, rel=0.03)
    assert found["solidity"] > 0.9
    assert found["biovolume_sphere_um3"] == pytest.approx(4 / 3 * np.pi * (a * b) ** 1.5, rel=0.05)
    for model in ("ellipsoid", "revolved"):
        assert found[f"biovolume_{model}_um3"] == pytest.approx(4 / 3 * np.pi * a * b**2, rel=0.08)
    turned = (found["orientation_deg"] - angle + 90) % 180 - 90
    assert abs(turned) < 1.5
    assert (found["n_cells"], found["n_cells_low"]) == (1, 1)
    h = ((a - b) / (a + b)) ** 2
    ramanujan = np.pi * (a + b) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h)))
    assert found["perimeter_um"] == pytest.approx(ramanujan, rel=0.05)
    assert found["circularity"] == pytest.approx(4 * np.pi * np.pi * a * b / ramanujan**2, rel=0.08)


@pytest.mark.parametrize(("diameter", "most"), [(2.2, 1.2), (3, 1.2), (10, 1.06), (60, 1.01)])
def test_discs_of_few_pixels_look_rounder_than_round(diameter, most):
    """As the docstring tells."""
    masks_ = [ellipse(diameter / 2 + off, diameter / 2 + off, 0) for off in (-0.05, 0, 0.05)]
    found = [traits_of(np.where(mask, 80, 200).astype(np.uint8), mask) for mask in masks_]
    assert 0.93 < min(of["circularity"] for of in found) <= max(of["circularity"] for of in found) < most


def test_a_single_pixel_may_be_nothing_and_is_rounder_than_a_disc():
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    found = traits_of(np.where(mask, 80, 200).astype(np.uint8), mask)
    assert found["esd_um_low"] == 0 < found["esd_um"] < found["esd_um_high"]
    assert found["circularity"] == pytest.approx(4 * np.pi / (np.pi / 2 * (1 + np.sqrt(0.5))) ** 2)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 0.95])
def test_transparency_is_the_share_of_light_that_passes(share):
    mask = ellipse(30, 20, 10)
    lamp = np.linspace(150, 250, mask.shape[1])
    picture = np.where(mask, share * lamp, lamp) * np.ones(mask.shape)
    assert traits_of(picture.astype(np.uint8), mask)["transparency"] == pytest.approx(share, abs=0.01)
    colours = np.stack([picture, 0.8 * picture, 0.6 * picture], axis=-1).astype(np.uint8)
    assert traits_of(colours, mask)["transparency"] == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    ("dtype", "bits", "full"), [(np.uint8, 8, 255), (np.uint16, 12, 4095), (np.uint16, np.nan, 65535)]
)
def test_before_a_dark_ground_it_is_what_is_not_sent_back(dtype, bits, full):
    mask = ellipse(30, 20, 10)
    picture = np.where(mask, 0.75 * full, 0.0).astype(dtype)
    assert traits_of(picture, mask, bit_depth=bits)["transparency"] == pytest.approx(0.25, abs=0.01)


def test_sizes_scale_with_the_pixel(tmp_path):
    picture = np.where(ellipse(40, 15, 30), 60, 200).astype(np.uint8)
    store = ingest(
        [record(k, picture, pixel_size_um=10.0 * 2**k) for k in range(2)], tmp_path / "store", contributors=["A"]
    )
    first, second = measure(store).select_dtypes("number").to_numpy()
    power = np.log2(np.divide(second, first, out=np.ones_like(first), where=first != 0))
    names = measure(store).select_dtypes("number").columns
    expected = [3 if "um3" in n else 2 if "um2" in n else 1 if "_um" in n else 0 for n in names]
    np.testing.assert_allclose(np.nan_to_num(power), expected, atol=1e-9)


def test_the_angle_is_told_only_where_up_is_up(tmp_path):
    picture = np.where(ellipse(40, 15, 30), 60, 200).astype(np.uint8)
    names = ("UVP6", "ISIIS", "IFCB", "ZooScan")
    records = [record(k, picture, instrument=name) for k, name in enumerate(names)]
    found = measure(ingest(records, tmp_path / "store", contributors=["A"]))["orientation_deg"]
    assert found[:2].to_numpy() == pytest.approx([30, 30], abs=1.5)
    assert found[2:].isna().all()


def test_what_cannot_be_measured_says_why(tmp_path):
    rng = np.random.default_rng(0)
    whole = np.full((30, 30), 200, np.uint8)
    cases = [whole, whole[:1, :1], rng.integers(0, 255, (1, 7)).astype(np.uint8), np.zeros((5, 5, 3), np.uint8)]
    cases.append(np.where(ellipse(40, 15, 30), 60, 200).astype(np.uint8))
    store = ingest([record(k, p) for k, p in enumerate(cases)], tmp_path / "store", contributors=["A"])
    found = measure(store)
    assert found["reason"][[0, 1, 3, 4]].tolist() == ["nothing stands out"] * 3 + [""]
    assert found.loc[[0, 1, 3], "esd_um"].isna().all()
    assert len(found) == 5

    table = segment(store)
    table.loc[[4], "counts"] = pd.Series([masks.encode(np.ones(cases[4].shape, bool))], [4])
    found = measure(store, table)
    assert found["reason"][4] == "fills the frame"
    assert np.isnan(found["esd_um"][4])
    assert measure(store, table.drop(index=4), rows=[4])["reason"][4] == "no mask"
    with pytest.raises(ValueError, match="Segment this store again"):
        measure(store, table.assign(height=1, width=1, counts=[np.array([0, 1])] * 5))

    opened = open_store(tmp_path / "store")
    opened.table.loc[4, "pixel_size_um"] = np.nan
    found = measure(opened)
    assert found["reason"][4] == "no pixel size"
    assert np.isnan(found["esd_um"][4])
    assert found["elongation"][4] == pytest.approx(40 / 15, rel=0.05)
    with pytest.raises(ValueError, match=r"share of the pixel size, such as 0\.02; got 2"):
        measure(store, pixel_size_error=2)


def test_masks_of_another_store_are_refused(tmp_path):
    """Of the same shapes, so that only the names of the objects tell."""
    picture = np.where(ellipse(40, 15, 30), 60, 200).astype(np.uint8)
    ours = ingest([record(k, picture) for k in range(3)], tmp_path / "ours", contributors=["A"])
    theirs = ingest([record(k, picture) for k in (0, 5, 6)], tmp_path / "theirs", contributors=["A"])
    table = segment(theirs)
    with pytest.raises(SchemaError, match=r"2 of 3 masks .* row 1 is of 'object_5', but the store has 'object_1'"):
        measure(ours, table)
    assert measure(ours, table, rows=[0])["reason"].tolist() == [""]
    unnamed = table.assign(object_id=None)
    pd.testing.assert_frame_equal(measure(ours, unnamed), measure(ours))
    pd.testing.assert_frame_equal(measure(ours, table.drop(columns="object_id")), measure(ours))


def test_masks_that_were_found_before_give_the_same(store, traits):
    some = [3, 0, 40]
    found = measure(store, segment(store, some))
    pd.testing.assert_frame_equal(found, traits.loc[some])
    assert found.index.tolist() == some


def test_intervals_hold_the_true_sizes(traits, truth):
    held = (traits["esd_um_low"] <= truth["esd_um"]) & (truth["esd_um"] <= traits["esd_um_high"])
    assert held.mean() > 0.9
    volume = truth["biovolume_um3"]
    held = (traits["biovolume_um3_low"] <= volume) & (volume <= traits["biovolume_um3_high"])
    assert held.mean() > 0.87
    assert (traits["esd_um_high"] / traits["esd_um"]).median() < 1.25
    wide = traits["biovolume_um3_high"] / traits["biovolume_um3"]
    assert wide.min() >= 1.5


@pytest.mark.parametrize("taxon", VOLUME_BIAS)
def test_volumes_are_off_by_no_more_than_the_shape_explains(traits, truth, taxon):
    own = truth["taxon"] == taxon
    assert own.sum() >= 10
    ratio = (traits["biovolume_um3"] / truth["biovolume_um3"])[own].median()
    assert VOLUME_BIAS[taxon][0] < ratio < VOLUME_BIAS[taxon][1]


def test_bodies_have_no_appendages(store, pictures, truth):
    """The sphere of the whole outline overrates copepods and Acantharea; the body does not."""
    some = truth.index[truth["taxon"].isin(["Copepoda", "Acantharea"])]
    true = pd.DataFrame([_row(pictures[k].mask()) for k in some], index=some)
    found = measure(store, true)
    off = np.log(found["biovolume_um3"] / truth["biovolume_um3"][some])
    assert off.abs().median() < 0.15
    assert np.log(found["biovolume_sphere_um3"] / truth["biovolume_um3"][some]).median() > 0.3
    assert (found["body_area_um2"] <= found["area_um2"]).all()
    assert (found["body_length_um"] <= found["feret_max_um"] * 1.001).all()


def _row(mask):
    return {"height": mask.shape[0], "width": mask.shape[1], "counts": masks.encode(mask)}


def test_cells_of_chains(traits, truth):
    chains = truth["taxon"] == "Chaetoceros"
    held = (traits["n_cells_low"] <= truth["n_cells"]) & (truth["n_cells"] <= traits["n_cells_high"])
    assert held[chains].mean() > 0.9
    assert (traits["n_cells"] == truth["n_cells"])[chains].mean() > 0.8
    assert (traits["n_cells"][truth["taxon"] == "Dinophyceae"] == 1).all()
