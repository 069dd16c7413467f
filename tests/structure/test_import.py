"""Importing the package costs nothing: what is heavy waits until it is used."""

import json
import subprocess
import sys

import pytest

LISTING = """
import json, sys
before = set(sys.modules)
{code}
print(json.dumps(sorted(set(sys.modules) - before)))
"""

HELP = """
sys.argv = {arguments!r}
from aqqua_science.cli import main
try:
    main()
except SystemExit as stop:
    if stop.code:
        raise
"""

HEAVY = {
    "numpy",
    "pandas",
    "scipy",
    "xarray",
    "dask",
    "sklearn",
    "xgboost",
    "torch",
    "matplotlib",
    "cartopy",
    "pyarrow",
}


def imported_by(code):
    """Top-level modules, beyond the standard library, that some code loads in a new interpreter."""
    done = subprocess.run([sys.executable, "-c", LISTING.format(code=code)], capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stderr)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    return {name for name in loaded if name not in sys.stdlib_module_names and not name.startswith("_")}


@pytest.mark.parametrize(
    "code",
    [
        "import aqqua_science",
        "import aqqua_science as aq; dir(aq), aq.__version__",
        "import aqqua_science as aq; aq.grids, aq.samples, aq.habitat, aq.plot, aq.synthetic",
        "import aqqua_science as aq; [dir(rung) for rung in (aq.grids, aq.samples, aq.habitat, aq.plot)]",
    ],
    ids=["package", "names", "rungs", "names of rungs"],
)
def test_naming_things_loads_nothing_heavy(code):
    assert imported_by(code) == {"aqqua_science", "lazy_loader"}


def test_the_vocabulary_needs_only_arrays_and_tables():
    loaded = imported_by("import aqqua_science.schema")
    assert loaded & HEAVY <= {"numpy", "pandas", "pyarrow"}, "pandas itself loads pyarrow for its strings"


@pytest.mark.parametrize("verb", [[], ["demo"], ["map"], ["pretrain"]], ids=["aqqua", "demo", "map", "pretrain"])
def test_help_is_light(verb):
    loaded = imported_by(HELP.format(arguments=["aqqua", *verb, "--help"]))
    assert "typer" in loaded
    assert loaded & HEAVY == set()


def test_the_measure_sees_a_heavy_import():
    assert {"numpy", "pandas"} <= imported_by("import pandas")
