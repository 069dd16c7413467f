"""One list of dependencies: pyproject.toml, which constraints.txt and both conda environments must follow."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
PYPROJECT = REPOSITORY / "pyproject.toml"
PROJECT = tomllib.loads(PYPROJECT.read_text())["project"]

CONDA_NAMES = {
    "cf-xarray": "cf_xarray",
    "lazy-loader": "lazy_loader",
    "matplotlib": "matplotlib-base",
    "torch": "pytorch",
    "xgboost": "py-xgboost-cpu",
    "xgboost-cpu": "py-xgboost-cpu",
    "blosc2": "python-blosc2",
    "lmdb": "python-lmdb",
    "duckdb": "python-duckdb",
    "playwright": "playwright-python",
}
"""Where conda-forge calls a package otherwise than pyproject.toml."""

CONDA_ONLY = {"python", "pip", "hatchling"}
EXTRAS = ("apps", "embed", "maps", "ocean", "test", "train")


def declared(*extras):
    """Requirements of the core and of some extras, as pyproject.toml states them."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return [Requirement(line) for line in lines]


def conda_specifiers(path):
    """Name -> version bounds of a conda environment; a single `=` means any patch release."""
    found, lines = {}, yaml.safe_load(path.read_text())["dependencies"]
    by_pip = [line for part in lines if isinstance(part, dict) for line in part["pip"]]
    for line in [*(line for line in lines if isinstance(line, str)), *by_pip]:
        name, bounds = re.fullmatch(r"([\w-]+)\s*(.*)", line).groups()
        if name in found:
            pytest.fail(f"{path.name} names {name} twice")
        found[name] = SpecifierSet(re.sub(r"^=(\d[\d.]*)$", r"==\1.*", bounds))
    return found


def constraints():
    """Name -> (pinned version, marker) of constraints.txt."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


def pinned_version(pin):
    (specifier,) = pin.specifier
    return specifier.version


@pytest.mark.parametrize(
    ("path", "extras"), [("environment.yml", EXTRAS), ("binder/environment.yml", ["apps", "maps"])]
)
def test_conda_environments_have_the_names_and_bounds_of_pyproject(path, extras):
    conda = conda_specifiers(REPOSITORY / path)
    expected = {CONDA_NAMES.get(r.name, r.name): r.specifier for r in declared(*extras)}
    assert {name: bounds for name, bounds in conda.items() if name not in CONDA_ONLY} == expected


@pytest.mark.parametrize("path", ["environment.yml", "binder/environment.yml"])
def test_conda_environments_have_the_python_of_pyproject(path):
    bounds = conda_specifiers(REPOSITORY / path)["python"]
    supported = SpecifierSet(PROJECT["requires-python"])
    admitted = [v for v in ("3.9", "3.10", "3.11", "3.12", "3.13") if bounds.contains(f"{v}.1")]
    assert admitted
    assert all(supported.contains(f"{v}.1") for v in admitted)


@pytest.mark.parametrize("path", ["environment.yml", "binder/environment.yml"])
def test_conda_environments_take_everything_from_conda_forge(path):
    assert yaml.safe_load((REPOSITORY / path).read_text())["channels"] == ["conda-forge"]


def test_binder_builds_the_package_with_the_backend_of_pyproject():
    (backend,) = [Requirement(r) for r in tomllib.loads(PYPROJECT.read_text())["build-system"]["requires"]]
    assert conda_specifiers(REPOSITORY / "binder" / "environment.yml")[backend.name] == backend.specifier


@pytest.mark.parametrize("requirement", declared(*EXTRAS), ids=lambda r: r.name)
def test_constraints_pin_every_dependency_within_its_bounds(requirement):
    pin = constraints()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pinned_version(pin))


def test_constraints_are_exact_and_free_of_local_builds():
    pins = constraints().values()
    assert [str(p) for p in pins if not re.fullmatch(r"==[\w.]+", str(p.specifier))] == []
    assert [str(p) for p in pins if p.url or p.extras] == []


def test_constraints_hold_what_is_installed_by_them():
    """What a pinned package itself requires is pinned too, so that nothing floats."""
    pins, floating = constraints(), set()
    for name, pin in pins.items():
        if pin.marker is not None and not pin.marker.evaluate(default_environment()):
            continue
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        needed = [Requirement(r) for r in requires]
        needed = [r for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
        floating |= {f"{r.name} of {name}" for r in needed if canonicalize_name(r.name) not in pins}
    assert floating == set()


def test_all_is_every_extra_that_is_not_for_developers():
    extras = {*PROJECT["optional-dependencies"]} - {"all", "test"}
    (everything,) = [Requirement(r) for r in PROJECT["optional-dependencies"]["all"]]
    assert everything.name == PROJECT["name"]
    assert everything.extras == extras


def test_every_dependency_tells_its_reason():
    text = PYPROJECT.read_text()
    start, end = text.index("\ndependencies = ["), text.index("\n[project.scripts]")
    lines = [line.strip() for line in text[start:end].splitlines() if line.startswith('    "')]
    assert len(lines) == len(declared(*EXTRAS))
    assert [line for line in lines if not re.search(r"\",\s+# \S.{3,}", line)] == []
