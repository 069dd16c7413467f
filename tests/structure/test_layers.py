"""Who may import whom: the walls between the rungs of the ladder."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "aqqua_science"

LAYERS = {
    "schema": set(),
    "optional": set(),
    "files": set(),
    "progress": set(),
    "connections": {"progress"},
    "sources": {"schema"},
    "images": {"sources", "schema"},
    "grids": {"schema"},
    "pretraining": {"images", "schema"},
    "features": {"images", "schema"},
    "objects": {"images", "features", "schema"},
    "samples": {"grids", "schema"},
    "habitat": {"samples", "grids", "schema"},
    "synthetic": {"images", "sources", "samples", "grids", "schema"},
    "plot": {"grids", "schema"},
}
LAYERS["apps"] = {*LAYERS} - {"pretraining"}
LAYERS["terminal"] = {*LAYERS}
LAYERS["cli"] = {*LAYERS}
LAYERS["__main__"] = {"cli"}
"""Rung -> the rungs it may import."""

LAZILY = {"features": {"pretraining"}}
"""Rung -> the rung it may ask inside a function: who passes a run of pretraining has torch, nobody else needs it."""

COMMAND_LINE = {"cli", "terminal"}
"""The command and what it says: one imports the other, and both all else inside their functions."""

GROUND = {"schema", "optional", "files", "progress", "connections"}
"""The ground below the rungs: imports no rung and is open to all above."""

OWNERS = {
    "PIL": {"sources"},
    "lmdb": {"images"},
    "blosc2": {"images"},
    "pyarrow": {"images"},
    "duckdb": set(),
    "httpx": set(),
    "filelock": {"images"},
    "torch": {"pretraining"},
    "safetensors": {"pretraining"},
    "submitit": {"pretraining"},
    "onnxruntime": {"features"},
    "sklearn": {"features", "objects", "habitat"},
    "umap": set(),
    "usearch": set(),
    "skimage": set(),
    "xgboost": {"habitat"},
    "xarray": {"features", "grids", "samples", "habitat", "synthetic", "plot", "apps"},
    "dask": {"grids", "habitat"},
    "zarr": {"grids"},
    "netCDF4": {"grids"},
    "cftime": {"grids"},
    "cf_xarray": {"grids"},
    "matplotlib": {"plot"},
    "cartopy": {"plot"},
    "cmocean": {"plot"},
    "holoviews": {"plot"},
    "geoviews": {"plot"},
    "datashader": {"plot"},
    "panel": {"apps"},
    "bokeh": {"apps"},
    "typer": {"cli"},
    "geopandas": set(),
    "shapely": set(),
    "pyogrio": set(),
    "pyproj": set(),
    "rasterio": set(),
    "rioxarray": set(),
    "distributed": set(),
    "cf_units": set(),
    "gsw": set(),
    "copernicusmarine": set(),
    "erddapy": set(),
}
"""Heavy package -> the rungs that may import it at module level; elsewhere it waits inside a function."""

IN_CORE = {
    "PIL",
    "lmdb",
    "blosc2",
    "duckdb",
    "httpx",
    "filelock",
    "pyarrow",
    "sklearn",
    "xarray",
    "dask",
    "zarr",
    "netCDF4",
    "cftime",
    "cf_xarray",
    "typer",
}
"""Heavy packages that are always installed; the others pass through `optional.require`, which names their extra."""


def rung_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(source, *, module):
    """Yield (absolute dotted name, line, whether inside a function) of every import of a module."""
    tree = ast.parse(source)
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    inside = {id(child) for function in functions for child in ast.walk(function)}
    for node in ast.walk(tree):
        for name in imported_names(node, module=module):
            yield name, node.lineno, id(node) in inside


def imported_names(node, *, module):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    package = module.split(".")[: -node.level] if node.level else []
    base = ".".join([*package, *([node.module] if node.module else [])])
    return [f"{base}.{alias.name}" for alias in node.names]


def offences(source, *, module):
    """Sentences that tell which imports of a module break the table."""
    rung = module.split(".")[1]
    found = []
    for name, line, inside in imports(source, module=module):
        reason = fault_of_ours(name, rung, inside) or fault_of_heavy(name, rung, inside)
        if reason:
            found.append(f"{module}:{line} {reason}")
    return found


def fault_of_ours(name, rung, inside):
    package, _, rest = name.partition(".")
    if package != "aqqua_science":
        return None
    target = rest.split(".")[0]
    if target in {rung, "__version__"} or (target in GROUND and rung not in {*GROUND, *COMMAND_LINE}):
        return None
    if (rung == "cli" and target == "terminal") or (inside and target in LAZILY.get(rung, ())):
        return None
    if rung in COMMAND_LINE:
        return None if inside else f"{rung} imports {target or 'the package'} outside its functions"
    if not target:
        return "imports the whole package; name the rung it needs"
    return None if target in LAYERS[rung] else f"{rung} may not import {target}"


def fault_of_heavy(name, rung, inside):
    package = name.split(".")[0]
    if package not in OWNERS or rung in OWNERS[package]:
        return None
    if not inside:
        return f"{rung} imports {package} at module level"
    if package not in IN_CORE:
        return f"{rung} imports {package} past optional.require"
    return None


def modules():
    """Every module of the rungs; the package's own __init__ is the subject of test_import."""
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__")


def dotted(path):
    """Dotted name of a module; a package's `__init__` keeps that part, so that relative imports resolve."""
    return ".".join(("aqqua_science", *path.relative_to(PACKAGE).with_suffix("").parts))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_keep_to_the_layers(path):
    assert offences(path.read_text(), module=dotted(path)) == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_stands_on_a_rung_two_levels_deep(path):
    assert rung_of(path) in LAYERS
    assert len(path.relative_to(PACKAGE).parts) <= 2


def test_the_table_has_no_circle():
    """Nothing on a rung imports a higher one: the rungs can be put in an order."""
    waiting = {rung: set(below) for rung, below in LAYERS.items()}
    while waiting:
        ready = {rung for rung, below in waiting.items() if not below & waiting.keys()}
        assert ready, f"circle among {sorted(waiting)}"
        waiting = {rung: below for rung, below in waiting.items() if rung not in ready}


@pytest.mark.parametrize(("rung", "target"), [("objects", "pretraining"), ("habitat", "features"), ("habitat", "plot")])
def test_forbidden_by_name(rung, target):
    assert target not in LAYERS[rung]


def test_only_the_command_line_imports_the_apps():
    assert {rung for rung, below in LAYERS.items() if "apps" in below} == COMMAND_LINE


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("grids.land", "from aqqua_science.habitat import model", "grids may not import habitat"),
        ("grids.land", "from aqqua_science import samples", "grids may not import samples"),
        ("grids.land", "from ..samples import matchup", "grids may not import samples"),
        ("grids.__init__", "from .. import plot", "grids may not import plot"),
        ("grids.land", "import aqqua_science.plot.maps as maps", "grids may not import plot"),
        ("habitat.model", "def fit():\n    from aqqua_science.features import embed", "may not import features"),
        ("habitat.model", "import aqqua_science as aq", "imports the whole package"),
        ("features.encoders", "from aqqua_science.pretraining import load", "features may not import pretraining"),
        ("objects.heads", "def fit():\n    from aqqua_science.pretraining import load", "may not import pretraining"),
        ("plot.maps", "from aqqua_science import apps", "plot may not import apps"),
        ("schema", "from aqqua_science import grids", "schema may not import grids"),
        ("schema", "from aqqua_science.optional import require", "schema may not import optional"),
        ("cli", "from aqqua_science.habitat import recipe", "cli imports habitat outside its functions"),
        ("cli", "import aqqua_science as aq", "cli imports the package outside its functions"),
        ("terminal", "from aqqua_science.files import plain", "terminal imports files outside its functions"),
        ("samples.matchup", "import xgboost", "samples imports xgboost at module level"),
        ("habitat.report", "from matplotlib import pyplot", "habitat imports matplotlib at module level"),
        ("habitat.report", "class Report:\n    import cartopy.crs", "habitat imports cartopy at module level"),
        ("grids.regions", "if True:\n    import geopandas", "grids imports geopandas at module level"),
        ("grids.regions", "def read():\n    import geopandas", "past optional.require"),
        ("schema", "import xarray as xr", "schema imports xarray at module level"),
    ],
)
def test_an_illegal_import_is_found(module, source, reason):
    (found,) = offences(source, module=f"aqqua_science.{module}")
    assert reason in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("habitat.model", "import xgboost\nfrom sklearn.base import BaseEstimator\nimport numpy as np"),
        ("habitat.model", "from aqqua_science import __version__, schema\nfrom . import folds\nfrom .folds import x"),
        ("habitat.__init__", "from . import model\nfrom .model import BoostedTrees"),
        ("habitat.model", "from ..optional import require\nfrom ..samples.matchup import join_environment"),
        ("cli", "from aqqua_science.terminal import stop"),
        ("cli", "import typer\n\ndef demo():\n    import aqqua_science as aq\n    from .apps import x"),
        ("__main__", "from aqqua_science.cli import main"),
        ("samples.matchup", "def chunked():\n    import dask.array"),
    ],
)
def test_a_legal_import_is_let_through(module, source):
    assert offences(source, module=f"aqqua_science.{module}") == []
