"""ZooScan: scans built line by line as ZooProcess writes them."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqqua_science.schema import SchemaError
from aqqua_science.sources import zooscan
from aqqua_science.sources.pictures import encode_png
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.tree import Tree

HEADER = (
    "PID\n[Image]\nScanning_date= 20250606_1823\n[Info]\nHardware=  Hydroptic_V4\nImageType=  Zooscan\n"
    "Resolution=  2400\n \n[Sample]\nSampleId= net_3\nDate= 20240508-0220\nLatitude= 27.3015\nZmax= 251.5\n"
    "Zmin= 250.5\n"
    "Vol= 64\n[Fraction]\nFracId= d2\n[Subsample]\nSubPart= 128\nCellPart=  1\n"
    "[Particules_Process]\nPixSize=   0.0106\n[Data]\n!Item;Label;Area\n"
)
ROWS = "1;net_3_d2_1;768\n2;net_3_d2_1;99\n2;net_3_d2_1;99\n3;net_3_d2_1\n4;net_3_d2_1;5\n"
TABLE = "_work/net_3_d2_1/net_3_d2_1_dat1.pid"


def project(folder, content, table=TABLE, vignettes=(1, 2)):
    path = folder / table
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    for item in vignettes:
        pixels = np.full((2, 2), item, dtype=np.uint8)
        (path.parent / f"net_3_d2_1_{item}.png").write_bytes(encode_png(pixels))
    return Tree(folder)


def records(tree):
    found = []
    for part in zooscan.parts(tree):
        own = list(zooscan.read(tree, part))
        assert len(own) == part.rows
        found += own
    return found


def test_a_scan_is_read(tmp_path):
    tree = project(tmp_path, (HEADER + ROWS).encode("latin-1"))
    assert zooscan.recognise(tree) == "1 table *_dat1.pid of a ZooScan"
    found = records(tree)
    assert [r.fault.partition(": ")[0] for r in found] == [
        *("", "", "duplicate object and image", "a ragged row", "the image is not there")
    ]
    assert found[0].metadata == {
        "object_id": "net_3_d2_1_1",
        "image_rank": 0,
        "instrument": "ZooScan",
        "sample_id": "net_3",
        "pixel_size_um": pytest.approx(10.6),
        "volume_m3": 0.5,
        "time": "2024-05-08T02:20:00",
        "depth_min": 250.5,
        "depth_max": 251.5,
        "depth": 251.0,
    }
    np.testing.assert_array_equal(found[1].pixels(), np.full((2, 2), 2))
    assert (found[0].raw["Sample.Latitude"], found[0].raw["Area"]) == ("27.3015", "768")


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        ("Vol= 64", "Vol= 99999", "volume_m3"),
        ("CellPart=  1", "CellPart= 0.5", "volume_m3"),
        ("Zmin= 250.5", "Zmin= 9999", "depth"),
    ],
)
def test_gaps_are_unknown(tmp_path, old, new, lost):
    assert lost not in records(project(tmp_path, (HEADER + ROWS).replace(old, new).encode()))[0].metadata


def test_copies_are_read_once_beside_their_vignettes(tmp_path):
    project(tmp_path, HEADER.encode() + b"9;net_3_d2_1;1\n", "PID_process/net_3_d2_1_dat1.pid", vignettes=())
    tree = project(tmp_path, (HEADER + ROWS).encode())
    assert {part.name for part in zooscan.parts(tree)} == {TABLE}


def test_a_scan_with_a_table_for_ecotaxa_is_read_from_that(tmp_path):
    tree = project(tmp_path, (HEADER + ROWS).encode())
    table = (
        "object_id\timg_file_name\tacq_instrument\tsample_tot_vol\tacq_sub_part\tprocess_img_resolution\n"
        "net_3_d2_1_1\tnet_3_d2_1_1.png\tzooscan\t64\t128\t2400\n"
    )
    (tmp_path / "_work/net_3_d2_1/ecotaxa_net_3_d2_1.tsv").write_text(table)
    (record,) = records(Tree(tree.path))
    assert record.metadata["volume_m3"] == 0.5
    assert record.metadata["pixel_size_um"] == pytest.approx(25_400 / 2400)


def test_a_uvp5_project_is_not_a_zooscan(tmp_path):
    content = HEADER.replace("Hydroptic_V4", "uvp5").replace("ImageType=  Zooscan", "ImageType= uvp5") + ROWS
    assert not zooscan.recognise(project(tmp_path, content.encode()))


@settings(max_examples=100)
@given(st.binary(max_size=80), st.integers(0, len(HEADER + ROWS)), st.integers(0, 200))
def test_any_bytes_give_records_or_faults(tmp_path_factory, junk, at, cut):
    whole = (HEADER + ROWS).encode()
    tree = project(tmp_path_factory.mktemp("fuzz"), whole[:at] + junk + whole[at + cut :])
    zooscan.recognise(tree)
    try:
        found = records(tree)
    except SchemaError:
        return
    for record in found:
        if not record.fault:
            with suppress(PictureError):
                record.pixels()
