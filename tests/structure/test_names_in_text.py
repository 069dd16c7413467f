"""What the documentation and docstrings name can be reached by that name, without another import."""

import importlib
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
CODE = (REPOSITORY / "aqqua_science").rglob("*.py")
FOLDERS = {name: importlib.import_module(f"aqqua_science.{name}") for name in ("objects", "samples")}

QUOTED = re.compile(r"`(?:aq\.)?((?:[a-z_]+\.)+[A-Za-z_]+)|\baq\.((?:objects|samples)\.[A-Za-z_.]+)")
FILES = {"csv", "json", "html", "md", "parquet"}


def named(paths):
    """Dotted paths that begin in one of the folders, or with one of their modules, as pages say for short."""
    found = {"".join(pair).rstrip(".") for path in paths for pair in QUOTED.findall(path.read_text(encoding="utf-8"))}
    found = {name for name in found if name.rpartition(".")[2] not in FILES}
    owners = {module: folder for folder, package in FOLDERS.items() for module in package.__all__}
    told = {
        name if name.partition(".")[0] in FOLDERS else f"{owners.get(name.partition('.')[0])}.{name}" for name in found
    }
    return sorted(name for name in told if name.partition(".")[0] in FOLDERS)


@pytest.mark.parametrize("name", named([*PAGES, *CODE]))
def test_a_name_in_the_text_is_reached(name):
    folder, first, *rest = name.split(".")
    assert first in FOLDERS[folder].__all__, "an attribute that is there only after somebody has imported the module"
    thing = getattr(FOLDERS[folder], first)
    for part in rest:
        thing = getattr(thing, part)
