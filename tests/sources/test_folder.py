"""Images with tables beside them."""

import csv
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqqua_science.schema import SchemaError
from aqqua_science.sources import folder, sidecars
from aqqua_science.sources.pictures import encode_png
from aqqua_science.sources.recognition import recognise_format
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.sidecar_columns import column_converter, read_instant
from aqqua_science.sources.tree import Tree


def plant(top, files):
    """Write files; an image is told by a number, which is its only pixel."""
    for name, content in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = encode_png(np.array([[content]], dtype=np.uint8)) if isinstance(content, int) else content
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Tree(top)


def records(tree):
    found = []
    for part in folder.parts(tree):
        own = list(folder.read(tree, part))
        assert len(own) == part.rows
        found += own
    return found


def pixel(record):
    return record.pixels().item()


def test_a_table_is_found_by_its_values(tmp_path):
    table = (
        "count;Bild;decimalLatitude;decimalLongitude;minimumDepthInMeters;maximumDepthInMeters;eventDate;"
        "scientificName;px_um;sampled volume [ml];Note\n"
        "1;A.PNG;54,5;-10.25;10;20;2020-02-03T04:05:06+01:00;Calanus;2.5;500;first\n"
        "2;missing.png;1;1;1;1;2020-02-03;Calanus;2.5;5;\n"
        "3;b;1;1;1;1;2020-02-03;;;;\n"
        "4;a.png;1;1;1;1;2020-02-03;;;;\n"
        "5;;1\n"
    )
    tree = plant(tmp_path, {"t.csv": table, "a.png": 7, "b.tif": 8, "c.png": 9})
    assert recognise_format(tree) == ("folder", "1 table with names of images under 'Bild'")
    found = {r.origin: r for r in records(tree)}
    assert {origin: r.fault.partition(": ")[0] for origin, r in found.items()} == {
        "t.csv:2": "",
        "t.csv:3": "the image is not there",
        "t.csv:4": "",
        "t.csv:5": "duplicate image",
        "t.csv:6": "a ragged row",
        "c.png": "",
    }
    first = found["t.csv:2"]
    assert first.metadata == {
        "object_id": "a",
        "image_rank": 0,
        "latitude": 54.5,
        "longitude": -10.25,
        "depth_min": 10.0,
        "depth_max": 20.0,
        "depth": 15.0,
        "time": "2020-02-03T03:05:06",
        "taxon": "Calanus",
        "pixel_size_um": 2.5,
        "volume_m3": pytest.approx(5e-4),
    }
    assert (first.raw["Note"], first.raw["file"]) == ("first", "a.png")
    assert [pixel(found[origin]) for origin in ("t.csv:2", "t.csv:4", "c.png")] == [7, 8, 9]
    assert found["c.png"].metadata == {"object_id": "c", "image_rank": 0}


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        ("pixel_size_mm", "0.0106", {"pixel_size_um": pytest.approx(10.6)}),
        ("um_per_px", "0.5", {"pixel_size_um": 0.5}),
        ("Pixel size (µm)", "0.5", {"pixel_size_um": 0.5}),
        ("resolution_um", "4", {"pixel_size_um": 4.0}),
        ("pixel_size", "4", {}),
        ("pixels_per_mm", "4", {}),
        ("volume_l", "10", {"volume_m3": pytest.approx(0.01)}),
        ("volume_m3", "2", {"volume_m3": 2.0}),
        ("volume", "2", {}),
        ("volume_um3", "2", {}),
        ("latitude", "north", {"latitude": "north"}),  # refused by ingest, not replaced by a default
        ("LAT", "-3", {"latitude": -3.0}),
        ("Class", "Salpida", {"taxon": "Salpida"}),
        ("label", "NaN", {}),
        ("Instrument", "isiis v2", {"instrument": "ISIIS"}),
        ("water", "Lake", {"water": "lake"}),
        ("taxon_status", "V", {"taxon_status": "validated"}),
        ("aux_PMT_a", "1.5", {"aux_pmt_a": 1.5}),
        ("trait_feeding", "filter", {"trait_feeding": "filter"}),
        ("area", "12", {}),
    ],
)
def test_only_the_obvious_is_converted(column, text, expected):
    assert column_converter([column])({column: text}) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"date": "2020-02-03", "time": "04:05"}, "2020-02-03T04:05:00"),
        ({"object_date": "20200203", "object_time": "40506"}, "2020-02-03T04:05:06"),
        ({"time": "2020-02-03 04:05:06"}, "2020-02-03T04:05:06"),
        ({"timestamp": "2020/02/03T04:05:06Z"}, "2020-02-03T04:05:06"),
        ({"time": "04:05"}, "04:05"),  # what is no moment stands as it is written, and ingest refuses it
        ({"date": "03/02/2020"}, "03/02/2020"),
        ({"date": "2020-02-30"}, "2020-02-30"),
        ({"date": "nan"}, None),
    ],
)
def test_times(values, expected):
    assert column_converter(values)(values).get("time") == expected


def test_a_time_before_all_times_is_none():
    assert read_instant("0001-01-01T00:00:00+23:00") is None


def test_paths_of_other_machines(tmp_path):
    table = "Path\tk\nC:\\data\\run1\\1.png\ta\nsub/run2/1.png\tb\nrun3/1.png\tc\n1.png\td\n"
    tree = plant(tmp_path, {"t.tsv": table, "run1/1.png": 1, "sub/run2/1.png": 2})
    found = records(tree)
    assert [r.fault.partition(": ")[0] for r in found] == [
        *("", "", "the image is not there", "the image name is ambiguous")
    ]
    assert [pixel(r) for r in found[:2]] == [1, 2]
    assert [r.metadata["object_id"] for r in found[:2]] == ["run1/1", "sub/run2/1"]


def test_a_table_beside_each_folder(tmp_path):
    files = {f"run{n}/t.csv": f"id,image,lat\n1,1.png,{n}\n" for n in (1, 2)}
    tree = plant(tmp_path, {**files, "run1/1.png": 1, "run2/1.png": 2})
    found = records(tree)
    assert [(r.metadata["latitude"], pixel(r)) for r in found] == [(1.0, 1), (2.0, 2)]
    assert [r.metadata["object_id"] for r in found] == ["run1/1", "run2/1"]
    assert all("taxon" not in r.metadata for r in found)


def test_a_table_above_folders_of_taxa(tmp_path):
    files = {
        "t.csv": "file_name,depth\n1.png,5\n2.png,6\n",
        "Copepoda/1.png": 1,
        "Salpida/2.png": 2,
        "Salpida/3.png": 3,
    }
    found = records(plant(tmp_path, files))
    assert sorted((r.metadata["taxon"], r.metadata.get("depth", 0)) for r in found) == [
        *(("Copepoda", 5.0), ("Salpida", 0), ("Salpida", 6.0))
    ]


def test_two_tables_of_the_same_images_are_joined(tmp_path):
    files = {
        "a_labels.csv": "image,label,note\n1.png,Salpida,x\n2.png,Copepoda,\n",
        "b_places.csv": "file,lat,note\n1.png,5,y\n2.png,6,z\n3.png,7,\n",
    }
    found = records(plant(tmp_path, {**files, "1.png": 1, "2.png": 2, "3.png": 3}))
    shown = [(r.origin, r.metadata.get("taxon"), r.metadata["latitude"], pixel(r)) for r in found]
    assert shown == [
        ("a_labels.csv:2", "Salpida", 5.0, 1),
        ("a_labels.csv:3", "Copepoda", 6.0, 2),
        ("b_places.csv:4", None, 7.0, 3),
    ]
    assert (found[0].raw["note"], found[0].raw["b_places.csv:note"]) == ("x", "y")
    assert found[1].raw["note"] == "z"


def test_identifiers_of_the_table_where_they_tell_all_apart(tmp_path):
    images = {"1.png": 1, "2.png": 2}
    own = plant(tmp_path / "own", {"t.csv": "object_id,image\nx,1.png\ny,2.png\n", **images})
    doubled = plant(tmp_path / "doubled", {"t.csv": "object_id,image\nx,1.png\nx,2.png\n", **images})
    assert [r.metadata["object_id"] for r in records(own)] == ["x", "y"]
    assert [r.metadata["object_id"] for r in records(doubled)] == ["1", "2"]


def test_copies_count_as_one_image(tmp_path):
    files = {"t.csv": "image,lat\nx.jpg,5\nx.png,5\n", "x.png": 1, "x.jpg": b"", "x.tif": 3}
    found = records(plant(tmp_path, files))
    assert [r.fault for r in found] == ["", "duplicate image: x.png is first on t.csv line 2"]
    assert pixel(found[0]) == 3
    assert found[0].raw["other_copies"] == "x.png;x.jpg"


def test_headers_that_spreadsheets_and_pandas_leave(tmp_path):
    files = {"t.csv": '\ufeff,image,lat,lat\r\n0,"1.png",5,6\r\n', "1.png": 1}
    (found,) = records(plant(tmp_path, files))
    assert found.raw["column 1"] == "0"
    assert (found.raw["lat"], found.raw["lat (4)"], found.metadata["latitude"]) == ("5", "6", 5.0)


def test_numbers_are_no_names_of_images(tmp_path):
    files = {"t.csv": "class,count\n1,1\n1,2\n1,9\n2,9\n2,8\n2,7\n", "1.png": 1, "2.png": 2}
    assert folder.recognise(plant(tmp_path, files)) == ""


def test_parts_begin_where_the_one_before_ends(tmp_path, monkeypatch):
    for module in (folder, sidecars):
        monkeypatch.setattr(module, "MAX_ROWS", 2)
    rows = "".join(f'{n}.png,"two\nlines {n}"\n' for n in range(5))
    tree = plant(tmp_path, {"t.csv": "image,note\n" + rows, **{f"{n}.png": n for n in range(7)}})
    assert [part.rows for part in folder.parts(tree)][-3:] == [2, 2, 1]
    found = [r for r in records(tree) if r.origin.startswith("t.csv")]
    assert [(r.origin, r.raw["note"], pixel(r)) for r in found] == [
        (f"t.csv:{2 + 2 * n}", f"two\nlines {n}", n) for n in range(5)
    ]


def test_a_table_too_large_is_one_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(sidecars, "_MAX_BYTES", 30)
    files = {"a.csv": "image,lat\n1.png,5\n", "b.csv": "image,lat\n" + "2.png,5\n" * 9, "1.png": 1}
    found = records(plant(tmp_path, files))
    assert [(r.origin, r.fault.partition(": ")[0]) for r in found] == [
        ("a.csv:2", ""),
        ("b.csv", "the file is too large"),
    ]


def test_real_images_and_a_table_written_here(shared_data, tmp_path):
    """Each image of ISIIS is joined to its own row, in a table that lists them in another order."""
    images = sorted((shared_data / "images/isiis_planktonset1").glob("[a-c]*/*.jpg"))
    names = [f"{path.parent.name}/{path.name}" for path in images]
    for path, name in zip(images, names, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(path.read_bytes())
    with (tmp_path / "positions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["lat", "file"])
        writer.writerows([n / 100, name] for n, name in reversed(list(enumerate(names))))
    found = records(Tree(tmp_path))
    assert len(found) == len(names) > 300
    for record in found:
        assert record.metadata["latitude"] == names.index(record.raw["file"]) / 100
        assert record.metadata["taxon"] == record.raw["folder"]


@settings(max_examples=100)
@given(st.data())
def test_anything_gives_records_or_faults(tmp_path_factory, data):
    contents = {
        "a.csv": b'image,lat,time,px_um\n1.png,5,2020-01-01,2\n"2.png",6,2020,x\n1,,,\n',
        "b.tsv": b"object_id\tfile\tdepth\nx\t2.png\t5\ny\tsub/3.png\t6\n",
    }
    files = {"1.png": 1, "2.png": 2, "sub/3.png": 3, "sub/4.png": b"\x89PNG"}
    for name, content in contents.items():
        for _ in range(data.draw(st.integers(0, 4))):
            at = data.draw(st.integers(0, len(content)))
            more = data.draw(st.binary(max_size=4) | st.sampled_from([b'"', b"\0", b"\r", b"\n", b",", b"\xff\xfe"]))
            content = content[:at] + more + content[at + data.draw(st.integers(0, 9)) :]
        files[name] = content
    tree = plant(tmp_path_factory.mktemp("folder"), files)
    with suppress(SchemaError):
        folder.recognise(tree)
        for record in records(tree):
            if record.pixels is not None:
                with suppress(PictureError):
                    record.pixels()
