"""EcoTaxa's tables: what is written into them by hand is what comes out, and damage stays where it is."""

import csv
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqqua_science.schema import SchemaError
from aqqua_science.sources import ecotaxa, ecotaxa_tables
from aqqua_science.sources.ecotaxa_columns import acquisition_metadata, coordinate, moment
from aqqua_science.sources.pictures import encode_png
from aqqua_science.sources.record import PictureError, Record
from aqqua_science.sources.tree import Tree

EXPORTS = "images/ecotaxa+ecotaxa_back/QA/py/data/ref_exports"
IMPORT = "images/ecotaxa+ecotaxa_back/QA/py/data/import_test"


def image(value):
    return np.full((2, 3), value, dtype=np.uint8)


def bundle(folder, tables, images=("1.png", "2.png", "3.png")):
    """A folder with tables of text, and images whose pixels are the digit of their name."""
    for name, content in {**tables, **{name: encode_png(image(int(name[-5]))) for name in images}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return Tree(folder)


def records(tree):
    """All records; every part holds as many as it says."""
    found = []
    for part in ecotaxa.parts(tree):
        own = list(ecotaxa.read(tree, part))
        assert len(own) == part.rows
        found += own
    return found


def reasons(tree):
    return [record.fault.partition(": ")[0] for record in records(tree)]


def test_a_row_becomes_a_record(tmp_path):
    tree = bundle(
        tmp_path,
        {
            "a/ecotaxa_a.tsv": "img_file_name\tobject_id\tobject_lat\tobject_lon\tobject_date\tobject_time\t"
            "object_depth_min\tobject_depth_max\tobject_annotation_category\tobject_annotation_status\tacq_id\tsample_id\n"
            "[t]\t[t]\t[f]\t[f]\t[t]\t[t]\t[f]\t[f]\t[t]\t[t]\t[t]\t[t]\n"
            "..\\1.png\tx\t-3,5\t12°30 36\t20200229\t90239\t10\t30\tegg<other\tVALIDATED\tq\ts\n"
        },
    )
    (record,) = records(tree)
    assert record.metadata == {
        "object_id": "x",
        "image_rank": 0,
        "sample_id": "s",
        "acquisition_id": "q",
        "time": "2020-02-29T09:02:39",
        "latitude": -3.5,
        "longitude": 12.51,
        "depth_min": 10,
        "depth_max": 30,
        "depth": 20,
        "taxon": "egg<other",
        "taxon_status": "validated",
    }
    assert record.raw["object_time"] == "90239"
    assert (record.origin, record.fault) == ("a/ecotaxa_a.tsv:3", "")
    np.testing.assert_array_equal(record.pixels(), image(1))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig", "utf-16"])
def test_every_encoding_reads_the_same(tmp_path, encoding):
    text = "object_id\timg_file_name\tobject_annotation_category\nÉté\t1.png\tCéphalopode\n"
    (record,) = records(bundle(tmp_path, {"ECOTAXA_x.TXT": text.encode(encoding)}))
    assert (record.metadata["object_id"], record.metadata["taxon"]) == ("Été", "Céphalopode")


def test_zip_and_nested_zip(tmp_path):
    table = "object_id\timg_file_name\nx\t1.png\n"
    with zipfile.ZipFile(tmp_path / "p_Images.zip", "w") as inner:
        inner.writestr("ecotaxa_p.tsv", table)
        inner.writestr("1.png", encode_png(image(7)))
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as outer:
        outer.write(tmp_path / "p_Images.zip", "p_Images.zip")
    (record,) = records(Tree(tmp_path / "export.zip"))
    np.testing.assert_array_equal(record.pixels(), image(7))


def test_ranks_are_given_or_the_lowest_that_is_free(tmp_path):
    rows = [("x", "1", "1"), ("x", "2", ""), ("x", "3", "1"), ("y", "1", "5"), ("z", "2", "nan")]
    text = "object_id\timg_file_name\timg_rank\n" + "".join(f"{o}\t{i}.png\t{r}\n" for o, i, r in rows)
    ranks = [record.metadata["image_rank"] for record in records(bundle(tmp_path, {"ecotaxa.tsv": text}))]
    assert ranks == [1, 0, 2, 5, 0]


def test_faults_say_why_and_stop_nothing(tmp_path):
    text = (
        "object_id\timg_file_name\n"
        'a\t1.png\nb\t"2.png\nc\t3.png\nd\nnan\t1.png\ne\t\nf\tno.png\ng\t../../1.png\na\t1.png\nh\t1.png\textra\ni\t1.png\n'
    )
    tree = bundle(tmp_path / "in", {"ecotaxa_1.tsv": text, "ecotaxa_2.tsv": "object_id\timg_file_name\na\t2.png\n"})
    assert reasons(tree) == [
        "",
        "an unreadable row",
        "",
        "a ragged row",
        "no object identifier",
        "no image file in the table",
        "the image is not there",
        "the image is outside the source",
        "duplicate object and image",
        "a ragged row",
        "",
        "duplicate object id",
    ]
    assert records(tree)[-1].fault.endswith("is first on ecotaxa_1.tsv line 2")


def test_an_unreadable_table_is_one_fault(tmp_path):
    tables = {
        "ecotaxa_1.tsv": "a\ta\n1\t2\n",
        "ecotaxa_2.tsv": b"",
        "ecotaxa_3.tsv": "object_id\timg_file_name\nx\t1.png\n",
    }
    assert reasons(bundle(tmp_path, tables)) == ["the table cannot be used", "the table cannot be used", ""]


def test_parts_cut_a_table_without_a_seam(tmp_path, monkeypatch):
    rows = "".join(f'o{i}\t{1 + i % 3}.png\t"two\nlines"\n' for i in range(20))
    tree = bundle(tmp_path, {"ecotaxa.tsv": "object_id\timg_file_name\tobject_note\n" + rows})
    whole = [(r.origin, r.raw, r.metadata, r.fault) for r in records(tree)]
    monkeypatch.setattr(ecotaxa_tables, "MAX_ROWS", 7)
    assert [part.rows for part in ecotaxa.parts(tree)] == [7, 7, 6]
    assert [(r.origin, r.raw, r.metadata, r.fault) for r in records(tree)] == whole
    assert [row[0] for row in whole][:2] == ["ecotaxa.tsv:2", "ecotaxa.tsv:4"]


@pytest.mark.parametrize(
    ("text", "degrees"), [("43°30 36", 43.51), ("-0°30 00", -0.5), ("12°30'00\"W", -12.5), ("x", None), ("", None)]
)
def test_coordinates(text, degrees):
    assert coordinate(text) == (None if degrees is None else pytest.approx(degrees, abs=1e-12))


@pytest.mark.parametrize(
    ("day", "clock", "iso"),
    [
        ("20200101", "5", "2020-01-01T00:05:00"),
        ("20200101", "235959", "2020-01-01T23:59:59"),
        ("2020-01-01", "7:05", "2020-01-01T07:05:00"),
        ("20200101", "2460", None),  # no such hour: not midnight either
        ("20200101", "nan", "2020-01-01"),
        ("20200230", "1200", None),
        ("nan", "1200", None),
    ],
)
def test_moments(day, clock, iso):
    assert moment(day, clock) == iso


@pytest.mark.parametrize(
    ("values", "pixel"),
    [
        ({"acq_instrument": "uvp5sd", "process_pixel": "0.174"}, 174),
        ({"acq_instrument": "UVP6", "acq_pixel": "73"}, 73),
        ({"acq_instrument": "UVP6", "acq_pixel": "73", "process_scale": "2"}, None),
        ({"acq_instrument": "zooscan", "process_img_resolution": "2400"}, 25_400 / 2400),
        ({"process_particle_pixel_size_mm": "0.0106"}, 10.6),
        ({"process_particle_pixel_size_mm": "10.6"}, None),
        ({"process_particle_pixel_size_mm": "10.6", "process_img_resolution": "2400"}, 10.6),
        ({"process_particle_pixel_size_µm": "0.0106", "process_img_resolution": "2400"}, 10.6),
        ({"acq_instrument": "IFCB", "acq_resolution_pixels_per_micron": "4"}, 0.25),
        ({"acq_instrument": "epson", "process_pixel": "10.6"}, None),
        ({"process_pixel": "0.088"}, None),
    ],
)
def test_pixel_sizes_are_known_or_left_out(values, pixel):
    assert acquisition_metadata(values).get("pixel_size_um") == (None if pixel is None else pytest.approx(pixel))


def test_real_bundle_and_exports(shared_data):
    counts = {"doi": 12, "tsv_by_taxon": 12, "tsv_with_ids": 0, "tsv_all_entities_no_img_no_ids": 0}
    for name, accepted in counts.items():
        found = records(Tree(shared_data / EXPORTS / name))
        assert (len(found), sum(not r.fault for r in found)) == (12, accepted)
        assert {r.metadata["time"][:8] for r in found} == {"2014-04-"}
        assert all(r.pixels().size for r in found if not r.fault)


def test_the_real_bundle_agrees_with_a_slow_reading(shared_data):
    expected = []
    for path in sorted((shared_data / IMPORT).rglob("ecotaxa*.tsv")):
        rows = list(csv.DictReader(path.read_text("latin-1").splitlines(), delimiter="\t"))[1:]
        expected += [(row["object_id"], float(row["object_lat"]), float(row["object_depth_max"]), row) for row in rows]
    found = records(Tree(shared_data / IMPORT))
    assert [
        (r.metadata["object_id"], r.metadata["latitude"], r.metadata["depth_max"], r.raw) for r in found
    ] == expected


@settings(max_examples=100)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from(
                [b"a\t1.png\n", b'"', b"\n", b"\t", b"\0", b"\r", b"object_id\timg_file_name\n", b"[t]\t[t]\n"]
            ),
        ),
        max_size=12,
    ),
    st.booleans(),
)
def test_any_bytes_give_records_or_faults(tmp_path_factory, pieces, with_header):
    content = b"object_id\timg_file_name\timg_rank\n" * with_header + b"".join(pieces)
    tree = bundle(tmp_path_factory.mktemp("fuzz"), {"ecotaxa.tsv": content, "1.png": b"".join(pieces)}, images=())
    assert ecotaxa.recognise(tree)
    try:
        found = records(tree)
    except SchemaError:
        return
    for record in found:
        assert isinstance(record, Record)
        if not record.fault:
            with suppress(PictureError):
                record.pixels()
