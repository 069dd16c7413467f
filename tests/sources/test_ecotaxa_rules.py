"""Bundles that break one rule of EcoTaxa each, and the same bundles mended."""

import io
import struct
import zipfile
import zlib

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from aqqua_science.schema import SchemaError
from aqqua_science.sources.ecotaxa_headers import FREE_COLUMNS
from aqqua_science.sources.ecotaxa_rules import MAX_TABLES, RULES, validate_bundle


def picture(kind="PNG", size=(3, 2)):
    stream = io.BytesIO()
    Image.new("L", size, 7).save(stream, kind)
    return stream.getvalue()


def png_header(width, height):
    """A PNG whose header promises an image, with no more pixels than one line of nothing."""

    def piece(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    size = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", size) + piece(b"IDAT", zlib.compress(b"\0")) + piece(b"IEND", b"")


BASE = {
    "img_file_name": ("[t]", "1.png", "2.png"),
    "object_id": ("[t]", "a1", "a2"),
    "object_lat": ("[f]", "43.5", "-12"),
    "object_lon": ("[f]", "7", "-170.25"),
    "object_date": ("[t]", "20140420", "2014-04-21"),
    "object_time": ("[t]", "420", "23:59:59"),
    "object_depth_min": ("[f]", "0", "nan"),
    "object_area": ("[f]", "1e3", ""),
    "object_label": ("[t]", "x", "y"),
    "object_annotation_category": ("[t]", "egg<other", ""),
    "object_annotation_status": ("[t]", "Validated", ""),
    "acq_id": ("[t]", "q1", "q1"),
    "acq_note": ("[f]", "text, for all that", ""),
    "sample_id": ("[t]", "s1", "s1"),
    "process_id": ("[t]", "p1", "p1"),
}


def table(changes=(), *, drop=(), encoding="ascii", types=True):
    columns = {name: cells for name, cells in {**BASE, **dict(changes)}.items() if name not in drop}
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    if not types:
        del rows[1]
    return "".join("\t".join(row) + "\n" for row in rows).encode(encoding)


def bundle(content=None, /, **files):
    """Files of a good bundle, with others added or put in their place; None takes one away."""
    held = {"ecotaxa_a.tsv": content or table(), "1.png": picture(), "2.png": picture(), **files}
    return {name: body for name, body in held.items() if body is not None}


def changed(column, *cells, kind=None):
    return bundle(table({column: (kind or BASE.get(column, ("[t]",))[0], *cells)}))


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return stream.getvalue()


def second(**columns):
    """A bundle with a second table, about an object a3 of its own."""
    own = {"object_id": ("[t]", "a3", "a4"), "acq_id": ("[t]", "q2", "q2"), **columns}
    return bundle(**{"ecotaxa_b.tsv": table(own)})


def many_tables(count):
    body = b"img_file_name\tobject_id\n[t]\t[t]\n1.png\t%d\n"
    return {"1.png": picture(), **{f"ecotaxa_{i}.tsv": body % i for i in range(count)}}


def free_columns(sort, count):
    prefix, kind = sort
    used = {name for name in BASE if name.startswith(prefix) and name in ("object_area", "object_label", "acq_note")}
    held = {f"{prefix}_x{i}": (kind, "1", "1") for i in range(count)}
    return bundle(table(held, drop=used))


MARK = b"\xef\xbb\xbf"

CASES = {
    "no-table": (bundle(**{"ecotaxa_a.tsv": None}), bundle()),
    "upper-case-name": (
        bundle(**{"ecotaxa_a.tsv": None, "Ecotaxa_a.tsv": table()}),
        bundle(**{"ecotaxa_a.tsv": None, "ecotaxa_b.txt": table()}),
    ),
    "nested-zip": ({"b.zip": zipped(bundle())}, {"b_Images.zip": zipped(bundle())}),
    "too-many-tables": (many_tables(MAX_TABLES + 1), many_tables(3)),
    "no-object": (bundle(b"img_file_name\tobject_id\n[t]\t[t]\n"), bundle()),
    "unreadable-file": (bundle(**{"u_Images.zip": b"PK no zip"}), bundle(**{"u_Images.zip": zipped({"a.txt": b"x"})})),
    "utf-16": (bundle(table().decode().encode("utf-16")), bundle()),
    "nul-bytes": (bundle(table({"object_label": ("[t]", "x\0", "y")})), bundle()),
    "utf-8-without-mark": (
        bundle(table({"object_label": ("[t]", "µ", "y")}, encoding="utf-8")),
        bundle(table({"object_label": ("[t]", "µ", "y")}, encoding="utf-8-sig")),
    ),
    "damaged-utf-8": (
        bundle(MARK + table({"object_label": ("[t]", "µ", "y")}, encoding="latin-1")),
        bundle(table({"object_label": ("[t]", "µ", "y")}, encoding="latin-1")),
    ),
    "not-tab-separated": (bundle(table({"acq_note": ("[t]", "", "")}).replace(b"\t", b";")), bundle()),
    "unclosed-quote": (changed("process_id", "p1", '"p1'), changed("process_id", "p1", '"p1"')),
    "header-without-underscore": (changed("area", "1", "2"), changed("object_area2", "1", "2")),
    "unknown-prefix": (changed("img_area", "1", "2"), changed("sample_area", "1", "2")),
    "empty-header": (bundle(table({"": ("[t]", "", "")})), bundle()),
    "doubled-column": (changed("Object_Area ", "1", "2", kind="[f]"), changed("Object_Area2 ", "1", "2", kind="[f]")),
    "missing-column": (bundle(table(drop=["img_file_name"])), bundle()),
    "missing-parent-id": (bundle(table(drop=["acq_id"])), bundle(table(drop=["acq_id", "acq_note"]))),
    "missing-type-line": (bundle(table(types=False)), bundle()),
    "invalid-type": (changed("object_area", "1", "2", kind="[F]"), changed("acq_note", "1", "2", kind="[H]")),
    "type-differs": (second(object_label=("[f]", "1", "2")), second(object_label=("[t]", "1", "2"))),
    "too-many-free-columns": (free_columns(("acq", "[t]"), 31), free_columns(("acq", "[t]"), 30)),
    "values-without-header": (bundle(table().rstrip(b"\n") + b"\tmore\n"), bundle()),
    "short-row": (
        bundle(table() + b"1.png\ta3\n"),
        bundle(table(drop=["object_annotation_category", "object_annotation_status"]) + b"1.png\ta3\n"),
    ),
    "invalid-number": (changed("object_area", "1,5", ""), changed("object_area", "1.5", " NA ")),
    "invalid-latitude": (changed("object_lat", "90.01", "0"), changed("object_lat", "90", "na")),
    "invalid-longitude": (changed("object_lon", "181", "0"), changed("object_lon", "-180", "180")),
    "invalid-date": (changed("object_date", "20140433", ""), changed("object_date", "20140430", "")),
    "invalid-time": (changed("object_time", "9920", ""), changed("object_time", "20", "090239")),
    "invalid-rank": (changed("img_rank", "0", "40000", kind="[f]"), changed("img_rank", "0", "1.0", kind="[f]")),
    "text-too-long": (changed("object_label", "x" * 251, ""), changed("object_label", "x" * 250, "")),
    "unknown-status": (
        changed("object_annotation_status", "predit", ""),
        changed("object_annotation_status", "PREDICTED", ""),
    ),
    "status-without-category": (
        changed("object_annotation_status", "predicted", "dubious"),
        changed("object_annotation_status", "predicted", ""),
    ),
    "category-without-status": (
        changed("object_annotation_category", "egg", "egg"),
        changed("object_annotation_category", "egg", ""),
    ),
    "invalid-category-id": (
        changed("object_annotation_category_id", "12.5", "", kind="[f]"),
        changed("object_annotation_category_id", "12.0", "", kind="[f]"),
    ),
    "malformed-taxon": (
        changed("object_annotation_category", "egg < other", ""),
        changed("object_annotation_category", "Egg (other)", ""),
    ),
    "missing-object-id": (changed("object_id", "a1", " "), bundle()),
    "duplicate-object-image": (second(object_id=("[t]", "a1", "a4"), acq_id=("[t]", "q1", "q1")), second()),
    "object-in-two-places": (
        bundle(table({"object_id": ("[t]", "a1", "a1"), "acq_id": ("[t]", "q1", "q2")})),
        bundle(table({"object_id": ("[t]", "a1", "a1")})),
    ),
    "acquisition-in-two-samples": (
        changed("sample_id", "s1", "s2"),
        bundle(table({"sample_id": ("[t]", "s1", "s2"), "acq_id": ("[t]", "q1", "q2")})),
    ),
    "missing-image": (changed("img_file_name", "1.png", "2.PNG"), bundle()),
    "image-outside": (changed("img_file_name", "1.png", "../2.png"), changed("img_file_name", "1.png", "./2.png")),
    "image-format": (bundle(**{"2.png": picture("TIFF")}), bundle(**{"2.png": picture("GIF")})),
    "empty-image": (bundle(**{"2.png": b""}), bundle(**{"2.png": picture("JPEG")})),
    "corrupt-image": (bundle(**{"2.png": picture(size=(90, 90))[:-30]}), bundle(**{"2.png": picture(size=(90, 90))})),
    "image-too-large": (bundle(**{"2.png": png_header(32_768, 1)}), bundle(**{"2.png": picture(size=(32_767, 1))})),
}
"""Rule -> a bundle that breaks this rule alone, and the same bundle mended."""


def write(files, folder):
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return folder


def rules_of(faults):
    return sorted(set(faults["rule"]))


def test_every_rule_is_explained_and_has_a_case():
    assert CASES.keys() == RULES.keys()
    assert all(text.endswith(".") for text in RULES.values())


@pytest.mark.parametrize("rule", CASES)
def test_a_bundle_that_breaks_one_rule_is_told_of_this_rule_alone(rule, tmp_path):
    bad, mended = CASES[rule]
    faults = validate_bundle(write(bad, tmp_path / "bad"))
    assert rules_of(faults) == [rule]
    assert list(faults.columns) == ["file", "line", "rule", "message"]
    assert validate_bundle(write(mended, tmp_path / "mended")).empty


@pytest.mark.parametrize("rule", sorted(CASES.keys() - {"too-many-tables", "nested-zip", "unreadable-file"}))
def test_zips_are_judged_as_folders_are(rule, tmp_path):
    file = tmp_path / "bundle.zip"
    file.write_bytes(zipped(CASES[rule][0]))
    pd.testing.assert_frame_equal(validate_bundle(file), validate_bundle(write(CASES[rule][0], tmp_path / "folder")))


@pytest.mark.parametrize("sort", FREE_COLUMNS, ids="".join)
def test_free_columns_are_counted_by_prefix_and_type(sort, tmp_path):
    limit = FREE_COLUMNS[sort]
    assert validate_bundle(write(free_columns(sort, limit), tmp_path / "full")).empty
    faults = validate_bundle(write(free_columns(sort, limit + 2), tmp_path / "over"))
    assert list(faults["rule"]) == ["too-many-free-columns"] * 2


@pytest.mark.parametrize(
    ("column", "cells", "rule"),
    [
        ("object_lat", ("-90°30 00", "0"), None),
        ("object_lat", ("-91°00 00", "0"), "invalid-latitude"),
        ("object_lat", ("north", "0"), "invalid-latitude"),
        ("object_lat", ("inf", "0"), "invalid-latitude"),
        ("object_area", ("-inf", ""), "invalid-number"),
        ("object_area", ("inf", "NaN"), None),
        ("object_depth_min", ("10 m", ""), "invalid-number"),
        ("object_annotation_date", ("2014-13-01", ""), "invalid-date"),
        ("object_annotation_time", ("2400", ""), "invalid-time"),
        ("object_time", ("90239", ""), None),
        ("object_time", ("2460", ""), "invalid-time"),
        ("object_id", ("x" * 256, "a2"), "text-too-long"),
        ("object_link", ("x" * 256, ""), "text-too-long"),
        ("acq_note", ("x" * 251, ""), "text-too-long"),
        ("acq_instrument", ("x" * 255, ""), None),
        ("sample_dataportal_descriptor", ("x" * 8000, ""), None),
        ("sample_dataportal_descriptor", ("x" * 8001, ""), "text-too-long"),
        ("object_annotation_status", ("noid", ""), None),
        ("object_annotation_status", ("discarded", ""), None),
        ("object_annotation_hierarchy", ("x" * 9000, ""), None),
        ("object_annotation_category_id", ("abc", ""), "invalid-number"),
        ("object_annotation_category_id", ("0", ""), "invalid-category-id"),
        ("img_rank", ("0.5", "1"), "invalid-rank"),
        ("img_file_name", ("1.png", ""), "missing-image"),
        ("img_file_name", ("1.png", "/2.png"), "image-outside"),
        ("process_id", ("p1", "p2"), None),
    ],
)
def test_cells(column, cells, rule, tmp_path):
    kind = "[f]" if column in ("img_rank", "object_annotation_category_id") else None
    files = bundle(table({column: (kind or BASE.get(column, ("[t]",))[0], *cells)}, encoding="latin-1"))
    assert rules_of(validate_bundle(write(files, tmp_path))) == ([rule] if rule else [])


def test_lines_are_those_of_the_file_even_after_blank_lines_and_broken_cells(tmp_path):
    text = 'img_file_name\tobject_id\tobject_x\n[t]\t[t]\t[t]\n\n1.png\ta1\t"two\nlines"\n9.png\ta2\tx\n'
    faults = validate_bundle(write(bundle(text.encode()), tmp_path))
    assert faults[["file", "line", "rule"]].to_numpy().tolist() == [["ecotaxa_a.tsv", 6, "missing-image"]]


def test_a_faulty_value_is_told_once_a_column_and_a_missing_image_on_every_line(tmp_path):
    rows = "".join(f"9.png\ta{i}\tx\n" for i in range(5))
    faults = validate_bundle(
        write({"ecotaxa.tsv": b"img_file_name\tobject_id\tobject_x\n[t]\t[t]\t[f]\n" + rows.encode()}, tmp_path)
    )
    assert list(faults.loc[faults["rule"] == "invalid-number", "line"]) == [3]
    assert list(faults.loc[faults["rule"] == "missing-image", "line"]) == [3, 4, 5, 6, 7]


def test_duplicates_within_a_table_name_the_first_line(tmp_path):
    rows = b"1.png\ta\n1.png\tb\n1.png\ta\n1.png\ta\n"
    faults = validate_bundle(
        write({"1.png": picture(), "ecotaxa.tsv": b"img_file_name\tobject_id\n[t]\t[t]\n" + rows}, tmp_path)
    )
    assert list(faults["line"]) == [5, 6]
    assert all("this TSV line 3" in message for message in faults["message"])


def test_duplicates_are_found_after_a_blank_first_line(tmp_path):
    text = b"\nimg_file_name\tobject_id\n[t]\t[t]\n1.png\ta\n1.png\tb\n1.png\ta\n"
    faults = validate_bundle(write({"1.png": picture(), "ecotaxa.tsv": text}, tmp_path))
    assert faults[["line", "rule"]].to_numpy().tolist() == [[6, "duplicate-object-image"]]


def test_a_table_with_many_faults_is_told_of_all(tmp_path):
    """The classes of error that EcoTaxa itself tests for, in one table of our own."""
    columns = {
        "area": ("[f]", "1", "2"),
        "unknown_area": ("[f]", "1", "2"),
        "object_odd": ("[H]", "1", "2"),
        "object_area": ("[f]", "a", "2"),
        "object_lat": ("[f]", "100", "0"),
        "object_lon": ("[f]", "200", "0"),
        "object_date": ("[t]", "20140433", ""),
        "object_time": ("[t]", "9920", ""),
        "object_annotation_status": ("[t]", "predit", ""),
        "object_id": ("[t]", "a1", ""),
        "img_file_name": ("[t]", "1.png2", "2.png"),
    }
    faults = validate_bundle(write(bundle(table(columns), **{"2.png": b"no image"}), tmp_path))
    assert faults[["line", "rule"]].apply(tuple, axis=1).tolist() == [
        (1, "header-without-underscore"),
        (1, "unknown-prefix"),
        (2, "invalid-type"),
        (3, "missing-image"),
        (3, "invalid-latitude"),
        (3, "invalid-longitude"),
        (3, "invalid-date"),
        (3, "invalid-time"),
        (3, "invalid-number"),
        (3, "unknown-status"),
        (4, "missing-object-id"),
        (4, "corrupt-image"),
    ]


def test_one_table_is_checked_whatever_its_name_with_the_images_beside_it(tmp_path):
    folder = write({"run/mine.tsv": table(), "run/1.png": picture(), "ecotaxa_bad.tsv": b"x"}, tmp_path)
    faults = validate_bundle(folder / "run" / "mine.tsv")
    assert faults[["line", "rule"]].to_numpy().tolist() == [[4, "missing-image"]]


def test_an_empty_table_has_no_object_and_a_path_without_a_file_is_an_error(tmp_path):
    assert list(validate_bundle(write({"ecotaxa.tsv": b""}, tmp_path))["rule"]) == ["no-object"]
    with pytest.raises(SchemaError, match="no file or folder"):
        validate_bundle(tmp_path / "nothing")


def test_images_of_a_sub_bundle_are_found_in_its_zip(tmp_path):
    files = {
        "b_da_19_Images.zip": zipped(
            {"ecotaxa_b.tsv": table({"img_file_name": ("[t]", "s/1.png", "s/2.png")}), "s/1.png": picture()}
        )
    }
    faults = validate_bundle(write(files, tmp_path))
    assert faults[["file", "line", "rule"]].to_numpy().tolist() == [
        ["b_da_19_Images.zip/ecotaxa_b.tsv", 4, "missing-image"]
    ]


def test_the_good_bundle_of_ecotaxa_is_good_and_its_export_with_images_too(shared_data):
    data = shared_data / "images/ecotaxa+ecotaxa_back/QA/py/data"
    assert validate_bundle(data / "import_test").empty
    assert validate_bundle(data / "ref_exports/tsv_by_taxon").empty
    assert rules_of(validate_bundle(data / "ref_exports/summary_whole")) == ["no-table"]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("ecotaxa_table_minimum", 3),
        ("ecotaxa_table_with_classification", 9),
        ("ecotaxa_table_without_classification", 7),
        ("example_table_ifcb", 2),
    ],
)
def test_of_the_example_tables_only_the_images_are_missing(name, rows, shared_data):
    faults = validate_bundle(shared_data / f"images/EuropeanIFCBGroup+iRfcb/inst/exdata/{name}.tsv")
    assert list(faults["rule"]) == ["missing-image"] * len(faults)
    assert len(faults) <= rows


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_bytes_give_faults_and_nothing_else(tmp_path, data):
    files = {"ecotaxa_a.tsv": table(), "1.png": picture(), "2.png": picture("GIF")}
    name = data.draw(st.sampled_from(sorted(files)))
    body = bytearray(files[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"\t", b"\n"])
        )
        body = body or bytearray(b"\0")
    faults = validate_bundle(write({**files, name: bytes(body)}, tmp_path))
    assert set(faults["rule"]) <= RULES.keys()
    assert faults["line"].between(0, 100).all()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_for_a_table_give_faults_and_nothing_else(tmp_path, body):
    assert set(validate_bundle(write({"ecotaxa_a.tsv": body}, tmp_path))["rule"]) <= RULES.keys()
