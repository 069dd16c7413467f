"""Folders of images: what their names say, and which of several copies is the image."""

import struct
import zipfile
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aqqua_science.sources import labels, listing
from aqqua_science.sources.pictures import encode_png
from aqqua_science.sources.recognition import recognise_format
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.tree import Tree

PNG = encode_png(np.array([[1, 2]], dtype=np.uint8))


def plant(folder, *names, content=PNG):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Tree(folder)


def records(tree):
    found = []
    for part in labels.parts(tree):
        own = list(labels.read(tree, part))
        assert len(own) == part.rows
        found += own
    return found


def test_names_of_folders_are_taxa(tmp_path):
    tree = plant(tmp_path, "Acantharea__1111/1.png", "sub/copepod_calanoid/1.png", "2.png", "sub/images/3.PNG")
    assert recognise_format(tree) == ("labels", "2 folders of images whose name is a taxon")
    found = {r.metadata["object_id"]: r.metadata.get("taxon") for r in records(tree)}
    assert found == {
        "Acantharea__1111/1": "Acantharea",
        "sub/copepod_calanoid/1": "copepod_calanoid",
        "2": None,
        "sub/images/3": None,
    }
    assert all("taxon_status" not in r.metadata for r in records(tree))


@pytest.mark.parametrize("folder", ["2024-04-08", "station_20240408", "train", "IMAGES", "7", "x1", "Unsorted"])
def test_other_names_are_none(tmp_path, folder):
    tree = plant(tmp_path, f"{folder}/1.png")
    assert labels.recognise(tree) == "1 image"
    assert "taxon" not in records(tree)[0].metadata


def test_a_wrapper_in_an_archive_is_no_taxon(tmp_path):
    path = tmp_path / "holiday.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("holiday/1.png", PNG)
        archive.writestr("holiday/Salpida/2.png", PNG)
    assert [r.metadata.get("taxon") for r in records(Tree(path))] == [None, "Salpida"]


def test_the_rawest_of_three_copies_is_the_image(tmp_path):
    pixels = np.array([[40_000, 3]], dtype=np.uint16)
    tree = plant(tmp_path, "a/x.png", "a/y.png")
    Image.fromarray(pixels).save(tmp_path / "a/x.tif")
    Image.fromarray((pixels // 256).astype(np.uint8)).save(tmp_path / "a/x.jpg")
    first, second = records(Tree(tree.path))
    np.testing.assert_array_equal(first.pixels(), pixels)
    assert first.raw == {"file": "a/x.tif", "folder": "a", "other_copies": "a/x.png;a/x.jpg"}
    assert second.raw == {"file": "a/y.png", "folder": "a"}


def test_parts_cut_the_list(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "MAX_ROWS", 2)
    tree = plant(tmp_path, *(f"{n}.png" for n in range(5)))
    assert [part.rows for part in labels.parts(tree)] == [2, 2, 1]
    assert [r.metadata["object_id"] for r in records(tree)] == list("01234")


def test_no_images_are_no_format(tmp_path):
    assert labels.recognise(plant(tmp_path, "a/notes.txt")) == ""


def directory(entries, at):
    """A TIFF directory that lies at an offset, with what does not fit into its entries behind it."""
    table, behind = struct.pack("<H", len(entries)), b""
    for tag, kind, count, value in entries:
        if len(value) > 4:
            behind, value = behind + value, struct.pack("<I", at + 2 + 12 * len(entries) + 4 + len(behind))
        table += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return table + bytes(4) + behind


def tiff_with_position(moment, latitude, longitude):
    """A TIFF of one pixel, 7, by the book: TIFF 6.0 and EXIF 2.3."""
    fractions = [b"".join(struct.pack("<II", round(v * 100), 100) for v in side[1:]) for side in (latitude, longitude)]
    sides = [side[0].encode() + b"\0" for side in (latitude, longitude)]
    position = [(1, 2, 2, sides[0]), (2, 5, 3, fractions[0]), (3, 2, 2, sides[1]), (4, 5, 3, fractions[1])]
    gps = directory(position, 12)
    short = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 1)]
    entries = [(tag, 3, 1, struct.pack("<H", value)) for tag, value in short]
    entries += [(306, 2, 20, moment.encode() + b"\0"), (0x8825, 4, 1, struct.pack("<I", 12))]
    start = 12 + len(gps)
    return b"II*\0" + struct.pack("<I", start) + b"\7\0\0\0" + gps + directory(entries, start)


def test_a_plankton_imager_tells_its_position(tmp_path):
    content = tiff_with_position("2016:10:04 18:01:02", ("N", 50, 30, 36), ("W", 4.5, 0, 0))
    (tmp_path / "Pia1.2016-10-04.1801+N00010_hc.tif").write_bytes(content)
    (tmp_path / "holiday.tif").write_bytes(content)
    (tmp_path / "Pia1.2016-10-04.1801+N00011_hc.tif").write_bytes(b"II*\0")
    whole, damaged, other = records(Tree(tmp_path))
    assert whole.metadata["latitude"] == pytest.approx(50 + 30 / 60 + 36 / 3600)
    assert whole.metadata["longitude"] == -4.5
    assert whole.metadata["instrument"] == damaged.metadata["instrument"] == "PlanktonImager"
    assert whole.raw["EXIF.DateTime"] == "2016:10:04 18:01:02"
    assert "time" not in whole.metadata
    np.testing.assert_array_equal(whole.pixels(), [[7]])
    assert other.metadata == {"object_id": "holiday", "image_rank": 0}


@pytest.mark.parametrize(
    ("folder", "taxa", "count"),
    [
        ("ecotaxa+uvpec/test/img_sample", 10, 690),
        ("isiis_planktonset1", 121, 3159),
        ("VickoT+FlowCam_Image_Classifier/Training/data/classes", 3, 1800),
    ],
)
def test_real_folders(shared_data, folder, taxa, count):
    top = shared_data / "images" / folder
    expected = Counter(path.parent.name.partition("__")[0] for path in top.glob("*/*.*"))
    found = records(Tree(top))
    assert Counter(r.metadata["taxon"] for r in found) == expected
    assert (len(expected), len(found)) == (taxa, count)
    assert len({r.metadata["object_id"] for r in found}) == count
    assert all(r.pixels().size for r in found[::50])


def test_a_real_archive(shared_data):
    tree = Tree(shared_data / "images/isiis_planktonset1_unlabelled.zip")
    assert labels.recognise(tree) == "12000 images"
    found = records(tree)
    assert len(found) == 12_000
    assert all(r.pixels().ndim == 2 for r in found[::600])


@settings(max_examples=100)
@given(
    files=st.dictionaries(
        st.text("ab_1.", min_size=1, max_size=8).filter(lambda name: not name.startswith(".")),
        st.binary(max_size=60) | st.integers(0, len(PNG)).map(lambda n: PNG[:n] + b"xx" + PNG[n:]),
        max_size=5,
    )
)
def test_anything_gives_records_or_faults(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("labels")
    for name, content in files.items():
        plant(folder, f"{name}.png", f"pia1.2016-10-04.{name}.tif", content=content)
    tree = Tree(folder)
    labels.recognise(tree)
    for record in records(tree):
        with suppress(PictureError):
            assert record.pixels().size
