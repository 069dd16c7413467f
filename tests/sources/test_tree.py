"""A folder and a zip of it are the same tree, and nothing outside of it is ever read."""

import contextlib
import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqqua_science.schema import SchemaError
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.tree import Tree, beside

FILES = {"a.txt": b"1", "sub/b.txt": b"22", "sub/deep/c d.txt": b"333"}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_bytes(content)
    return tmp_path / "run"


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_folder_zip_and_zip_in_zip_are_one_tree(folder, tmp_path):
    plain, packed = Tree(folder), Tree(zipped(tmp_path / "run.zip", FILES))
    assert plain.names == packed.names == sorted(FILES)
    assert [packed.read(n) for n in packed.names] == [plain.read(n) for n in plain.names] == [b"1", b"22", b"333"]
    assert [packed.size(n) for n in packed.names] == [1, 2, 3]
    outer = Tree(zipped(tmp_path / "outer.zip", {"in.zip": (tmp_path / "run.zip").read_bytes(), "x.txt": b"x"}))
    assert outer.names == [*(f"in.zip/{n}" for n in sorted(FILES)), "x.txt"]
    assert outer.read("in.zip/sub/b.txt") == b"22"


def test_links_that_lead_out_are_refused_and_those_that_stay_are_read(folder, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    os.symlink(tmp_path / "secret.txt", folder / "out.txt")
    os.symlink(folder / "a.txt", folder / "in.txt")
    os.symlink(tmp_path, folder / "up")
    os.mkfifo(folder / "pipe.txt")
    tree = Tree(folder)
    assert "out.txt" not in tree
    assert tree.read("in.txt") == b"1"
    assert set(tree.refused) == {"out.txt", "up", "pipe.txt"}


@pytest.mark.parametrize("name", ["../x.txt", "a/../../x.txt", "/etc/x.txt", "..\\x.txt", "C:/x.txt", "C:\\x.txt"])
def test_names_that_lead_out_of_an_archive_are_refused(tmp_path, name):
    tree = Tree(zipped(tmp_path / "z.zip", {name: b"x", "good.txt": b"y"}))
    assert tree.names == ["good.txt"]
    assert list(tree.refused.values()) == ["its name leads out of the archive"]


def test_a_bomb_is_refused_and_its_neighbours_are_read(tmp_path):
    tree = Tree(zipped(tmp_path / "z.zip", {"bomb.txt": bytes(30_000_000), "good.txt": b"y"}))
    assert tree.names == ["good.txt"]
    assert "zip bomb" in tree.refused["bomb.txt"]


def test_a_file_that_says_less_than_it_holds_is_not_unpacked_beyond_that(tmp_path):
    """The directory of the archive lies about the size: reading stops there."""
    path = zipped(tmp_path / "z.zip", {"a.txt": b"x" * 5_000})
    content = path.read_bytes()
    lie = content.replace((5_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(lie)
    with contextlib.suppress(PictureError):
        assert len(Tree(path).read("a.txt")) <= 10


def test_what_is_no_zip_or_nowhere_is_told(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(SchemaError, match="Copy it again"):
        _ = Tree(tmp_path / "a.zip").names
    with pytest.raises(SchemaError, match="there is no file or folder"):
        Tree(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "other", "found"),
    [
        ("t.tsv", "a.png", "a.png"),
        ("x/t.tsv", "img\\a.png", "x/img/a.png"),
        ("x/t.tsv", "../a.png", "a.png"),
        ("x/t.tsv", "../../a.png", None),
        ("t.tsv", "/etc/passwd", None),
        ("t.tsv", "C:/a.png", None),
    ],
)
def test_names_beside_a_table_stay_in_the_tree(name, other, found):
    assert beside(name, other) == found


@settings(max_examples=100)
@given(data=st.data())
def test_a_damaged_archive_is_read_or_refused(tmp_path_factory, data):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content * 50)
    content = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = Path(tmp_path_factory.mktemp("z"), "z.zip")
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content))
    with contextlib.suppress(SchemaError):
        tree = Tree(path)
        for name in tree.names:
            with contextlib.suppress(PictureError):
                tree.read(name)
