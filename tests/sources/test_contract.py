"""What every reader owes: records as many as it announced, names of the vocabulary, and no other way to fail."""

import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqqua_science.images.columns import type_of
from aqqua_science.schema import SchemaError
from aqqua_science.sources.recognition import FORMATS, format_module
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.tree import Tree

NAMES = {
    "cpics": ["cpics/20170801_123456.789.0.png", "cpics/20170801_123457.789.0.png"],
    "ecotaxa": ["a/ecotaxa_a.tsv", "a/1.png"],
    "flowcam": ["run/run.lst", "run/run_000001.tif", "run/run.ctx", "run/run_run_summary.txt"],
    "folder": ["run/table.csv", "run/1.png"],
    "ifcb": [f"D20130526T095207_IFCB013.{kind}" for kind in ("adc", "hdr", "roi")],
    "labels": ["Copepoda__12/1.png", "detritus/2.png"],
    "planktoscope": ["ecotaxa_a.tsv", "1.jpg"],
    "uvp": ["s_Particule/metadata.ini", "s_Particule/particules.csv", "s_Images/20200101-120000_1.png"],
    "zooscan": ["scan_1_dat1.pid", "scan_1_1.jpg"],
}
"""Files as each format names them."""

LIKELY = st.sampled_from(
    [
        b"img_file_name\tobject_id\tobject_lat\tacq_instrument\n[t]\t[t]\t[f]\t[t]\n1.png\ta\t91\tPlanktoScope\n",
        b"file_name,latitude,time\n1.png,x,y\n1.png,5,2020-01-01\n",
        b"1,2,3,4,5,6,7,8,9,10,11,12,5,6,7,8,0\n" * 3,
        b"num-fields|2\nid|num\nimage_x|num\n1|5\n2\n",
        b"[Sample]\nScanOP= x\n[Data]\nLabel;Item\nscan;1\n",
        b"[HW_CONF]\nPixel_Size= 73\nAa= 2300\nExp= 1.1\n",
        b"\xff\xfe\x00",
        b"",
    ]
)


def test_every_format_is_tried():
    assert set(NAMES) == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=60)
@given(data=st.data())
def test_whatever_the_files_hold_a_reader_keeps_its_word(tmp_path_factory, name, data):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for file in NAMES[name]:
            archive.writestr(file, data.draw(LIKELY | st.binary(max_size=120)))
    path = tmp_path_factory.mktemp("f") / "source.zip"
    path.write_bytes(stream.getvalue())
    tree, module = Tree(path), format_module(name)
    try:
        assert isinstance(module.recognise(tree), str)
        parts = module.parts(tree)
    except SchemaError:
        return
    for part in parts:
        records = list(module.read(tree, part))
        assert len(records) == part.rows
        for record in records:
            check(record)


def check(record):
    """A record's names are those of the format, its raw values text, and its pixels an image or a reason."""
    assert [key for key in record.metadata if type_of(key) is None] == []
    assert all(isinstance(value, str) for value in record.raw.values())
    if record.fault or record.pixels is None:
        return
    try:
        assert record.pixels().ndim in (2, 3)
    except PictureError as error:
        assert str(error)  # noqa: PT017
