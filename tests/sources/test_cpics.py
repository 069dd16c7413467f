"""CPICS: names that begin with the time, and the many that only look like it."""

import numpy as np
import pytest

from aqqua_science.sources import cpics
from aqqua_science.sources.pictures import encode_png
from aqqua_science.sources.recognition import recognise_format
from aqqua_science.sources.tree import Tree

PNG = encode_png(np.array([[1, 2]], dtype=np.uint8))


def plant(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)
    return Tree(folder)


def records(tree):
    found = []
    for part in cpics.parts(tree):
        own = list(cpics.read(tree, part))
        assert len(own) == part.rows
        found += own
    return found


def test_the_name_has_the_time(tmp_path):
    tree = plant(tmp_path, "20170801/20170801_123456.789.0.png", "20170801/20170801_123456.789.1.png")
    assert recognise_format(tree) == ("cpics", "2 images named by the time, as a CPICS does")
    found = records(tree)
    assert found[0].metadata == {
        "object_id": "20170801/20170801_123456.789.0",
        "image_rank": 0,
        "instrument": "CPICS",
        "time": "2017-08-01T12:34:56",
    }
    np.testing.assert_array_equal(found[1].pixels(), [[1, 2]])


@pytest.mark.parametrize(
    "names",
    [
        ["20170801_123456.jpg"],
        ["20170801_123456.789.0.png", "a.png"],
        ["20171301_123456.789.0.png"],
        ["20170801_1234567.789.0.png"],
        [],
    ],
)
def test_cameras_and_telephones_are_none(tmp_path, names):
    assert cpics.recognise(plant(tmp_path, *names)) == ""


def test_looser_names_count_where_the_path_says_cpics(tmp_path):
    times = [f"CPICS_3/Acantharea/20170801_12345{n}_{n}.png" for n in range(9)]
    tree = plant(tmp_path, *times, "CPICS_3/logo.png")
    assert cpics.recognise(tree) == "9 images named by the time, as a CPICS does"
    found = records(tree)
    assert [r.metadata.get("taxon") for r in found] == ["Acantharea"] * 9 + [None]
    assert "time" not in found[-1].metadata
    assert cpics.recognise(plant(tmp_path, "CPICS_3/a.png", "CPICS_3/b.png")) == ""


def test_with_a_table_it_is_a_folder(tmp_path):
    tree = plant(tmp_path, "20170801_123456.789.0.png")
    (tmp_path / "table.csv").write_text("file,lat\n20170801_123456.789.0.png,5\n")
    assert recognise_format(Tree(tree.path))[0] == "folder"
