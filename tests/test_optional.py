"""What is not installed is named, with the command that brings it; what is broken is not called missing."""

import importlib.util
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from aqqua_science.optional import EXTRAS, MissingDependency, require, versions

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Return a writer of modules that can be imported by name."""
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name, source: (tmp_path / f"{name}.py").write_text(source)


def test_an_installed_module_is_handed_over():
    assert require("importlib.util", for_="grids") is importlib.util


@pytest.mark.parametrize(("folder", "extra"), [*EXTRAS.items(), ("samples", "all")])
def test_a_missing_package_is_told_with_the_command_that_installs_it(folder, extra):
    with pytest.raises(MissingDependency, match=rf"{folder} needs .*'no_such_package'.*pip install .*\[{extra}\]'"):
        require("no_such_package", for_=folder)


def test_of_a_missing_submodule_the_package_is_named():
    with pytest.raises(MissingDependency, match="'no_such_package'"):
        require("no_such_package.deep.inside", for_="plot")


def test_missing_is_an_import_error_and_keeps_its_cause():
    with pytest.raises(ImportError) as caught:
        require("no_such_package", for_="plot")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize("absent", ["no_such_dependency", "aqqua_half"])
def test_an_installed_package_that_lacks_a_dependency_tells_its_own_error(broken, absent):
    """Also where the name of what it lacks is the beginning of its own."""
    broken("aqqua_half_installed", f"import {absent}")
    with pytest.raises(ModuleNotFoundError, match=absent) as caught:
        require("aqqua_half_installed", for_="plot")
    assert not isinstance(caught.value, MissingDependency)


def test_an_installed_package_that_fails_tells_its_own_error(broken):
    broken("aqqua_broken", "raise ImportError('libGL.so.1 was not found')")
    with pytest.raises(ImportError, match="libGL") as caught:
        require("aqqua_broken", for_="plot")
    assert not isinstance(caught.value, MissingDependency)


def test_every_extra_that_a_message_names_exists():
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    assert {*EXTRAS.values(), "all"} <= extras.keys()


def test_versions_are_those_of_the_installed_distributions():
    assert versions("numpy", "no-such-package") == {"numpy": metadata.version("numpy"), "no-such-package": None}
