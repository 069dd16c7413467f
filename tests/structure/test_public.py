"""What every public name owes its reader: few positional arguments, a whole docstring, an example, one path."""

import ast
import functools
import importlib
import inspect
import re
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "aqqua_science"
MODULES = sorted(PACKAGE.rglob("*.py"))
LIBRARY = [path for path in MODULES if path.stem not in {"cli", "terminal", "__main__"}]
"""All but the command line, which prints, and whose docstrings are its help."""

FOLDERS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
MAX_POSITIONAL = 3
MAX_LINES = 400
MAX_NAMES = 90

FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def short(path):
    return str(path.relative_to(PACKAGE))


def public_definitions(tree):
    """Functions and classes at the top of a module whose names have no underscore."""
    return [n for n in tree.body if isinstance(n, FUNCTION | ast.ClassDef) and not n.name.startswith("_")]


def signature_of(node):
    """Arguments a caller gives: of a function, or of a class's `__init__`; None when a class has none of its own."""
    if isinstance(node, ast.ClassDef):
        node = next((n for n in node.body if isinstance(n, FUNCTION) and n.name == "__init__"), None)
    return node and node.args


def positional(arguments):
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    return [name for name in names if name not in {"self", "cls"}]


def all_arguments(arguments):
    stars = [a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return {*positional(arguments), *(a.arg for a in arguments.kwonlyargs), *stars}


def returns_something(function):
    """Whether a function itself, not one defined inside it, hands anything back."""
    waiting = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if isinstance(node, ast.Return) and not is_none(node.value):
            return True
        if not isinstance(node, FUNCTION | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
    return False


def is_none(value):
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def sections(docstring):
    """Split a numpydoc docstring into summary (key "") and sections by their underlined titles."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", inspect.cleandoc(docstring), flags=re.MULTILINE)
    return {"": parts[0].strip(), **dict(zip(parts[1::2], parts[2::2], strict=True))}


def documented(section):
    """Names that a Parameters section describes."""
    heads = [line for line in section.splitlines() if line and not line.startswith(" ")]
    return {name.strip(" *`") for head in heads for name in head.split(" : ")[0].split(",")}


def docstring_faults(node, *, example=True):
    """What a public function's or class's docstring still owes."""
    text = ast.get_docstring(node)
    if not text:
        return ["no docstring"]
    found, faults = sections(text), []
    if not re.search(r"[.?!:]$", found[""].split("\n\n")[0]):
        faults.append("the summary is no sentence")
    arguments = signature_of(node)
    names = all_arguments(arguments) if arguments else set()
    described = documented(found.get("Parameters", "")) | documented(found.get("Other Parameters", ""))
    if names - described:
        faults.append(f"Parameters lacks {', '.join(sorted(names - described))}")
    if arguments and described - names:
        faults.append(f"Parameters has {', '.join(sorted(described - names))}, which the signature has not")
    if isinstance(node, FUNCTION) and returns_something(node) and not {"Returns", "Yields"} & found.keys():
        faults.append("no Returns")
    if example and ">>> " not in found.get("Examples", ""):
        faults.append("no Examples with a doctest")
    return faults


def needs_example(node, path):
    """What a user reaches by one dotted path: a folder's exports, and the functions of modules beside the folders."""
    if path.parent == PACKAGE:
        return isinstance(node, FUNCTION)
    return (path.parent.name, node.name) in exported()


def library_faults(tree):
    """Constructs that have no place in a library, as "line: what"."""
    return [f"{node.lineno}: {fault}" for node in ast.walk(tree) if (fault := library_fault(node))]


def library_fault(node):
    if isinstance(node, ast.Assert):
        return "assert; raise an error with value, rule and remedy"
    if isinstance(node, ast.ExceptHandler) and node.type is None:
        return "bare except; name the exception"
    if isinstance(node, ast.Call):
        return call_fault(node)
    imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "")]
    if isinstance(node, ast.Import | ast.ImportFrom) and {"pickle", "cloudpickle", "dill", "marshal"} & {*imported}:
        return "pickle; it runs code when it is read"
    return None


def call_fault(node):
    name = getattr(node.func, "id", "")
    if name in {"print", "eval", "exec", "breakpoint"}:
        return name
    if any(k.arg == "inplace" and getattr(k.value, "value", None) is True for k in node.keywords):
        return "inplace=True; inputs are never changed"
    return None


@functools.cache
def exported():
    """(folder, name) of every public name; modules that users name, such as `sources.ecotaxa`, are paths."""
    found = []
    for folder in FOLDERS:
        package = importlib.import_module(f"aqqua_science.{folder}")
        found += [(folder, name) for name in package.__all__ if not inspect.ismodule(getattr(package, name))]
    return found


@pytest.mark.parametrize("path", LIBRARY, ids=short)
def test_library_code_is_free_of_traps(path):
    assert library_faults(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_modules_are_short_and_say_what_they_are(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_no_module_has_the_name_of_a_function_it_holds(path):
    names = [n.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, FUNCTION)]
    assert path.stem not in names


@pytest.mark.parametrize("path", LIBRARY, ids=short)
def test_public_definitions_are_documented(path):
    definitions = public_definitions(ast.parse(path.read_text()))
    faults = {node.name: docstring_faults(node, example=needs_example(node, path)) for node in definitions}
    assert {name: found for name, found in faults.items() if found} == {}


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_public_methods_have_a_docstring(path):
    classes = [node for node in public_definitions(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    methods = [(c.name, m) for c in classes for m in c.body if isinstance(m, FUNCTION) and not m.name.startswith("_")]
    assert [f"{owner}.{m.name}" for owner, m in methods if not ast.get_docstring(m)] == []


@pytest.mark.parametrize("path", LIBRARY, ids=short)
def test_at_most_three_arguments_are_positional(path):
    definitions = public_definitions(ast.parse(path.read_text()))
    bodies = [d.body for d in definitions if isinstance(d, ast.ClassDef)]
    methods = [m for body in bodies for m in body if isinstance(m, FUNCTION) and not m.name.startswith("_")]
    taken = {node.name: positional(arguments) for node in (*definitions, *methods) if (arguments := signature_of(node))}
    # Queries, keys and values are one thing that everybody writes as three.
    taken = {name: names[2:] if names[:3] == ["q", "k", "v"] else names for name, names in taken.items()}
    assert {name: names for name, names in taken.items() if len(names) > MAX_POSITIONAL} == {}


@pytest.mark.parametrize(("folder", "name"), exported())
def test_exported_names_exist_in_their_own_folder(folder, name):
    thing = getattr(importlib.import_module(f"aqqua_science.{folder}"), name)
    assert callable(thing)
    assert thing.__module__.startswith(f"aqqua_science.{folder}.")


def test_one_path_per_name():
    counts = Counter(name for _, name in exported())
    assert [name for name, n in counts.items() if n > 1] == []


def test_the_public_names_can_be_learnt():
    assert len(exported()) <= MAX_NAMES


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("assert x", "assert"),
        ("try:\n    f()\nexcept:\n    g()", "bare except"),
        ("print(1)", "print"),
        ("eval('1')", "eval"),
        ("import pickle", "pickle"),
        ("from pickle import loads", "pickle"),
        ("table.drop(columns='a', inplace=True)", "inplace"),
    ],
)
def test_a_trap_is_found(source, fault):
    (found,) = library_faults(ast.parse(source))
    assert fault in found


GOOD = '''
def area(grid, *, radius=1.0):
    """
    Area of a grid.

    Parameters
    ----------
    grid : Dataset
    radius : float
        Kilometres.

    Returns
    -------
    float

    Examples
    --------
    >>> area(None)
    0.0
    """
    return 0.0
'''


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("Area of a grid.", "Area of a grid", "no sentence"),
        ("    radius : float\n        Kilometres.\n", "", "lacks radius"),
        ("    radius : float", "    radios : float", "has radios"),
        ("    Returns\n    -------\n    float\n", "", "no Returns"),
        (">>> area(None)", "area(None)", "no Examples"),
    ],
)
def test_a_poor_docstring_is_found(old, new, fault):
    assert docstring_faults(ast.parse(GOOD).body[0]) == []
    assert old in GOOD
    faults = docstring_faults(ast.parse(GOOD.replace(old, new)).body[0])
    assert any(fault in found for found in faults)
