"""What lies in the repository: the right commands, one version, nothing of one machine, nobody else's data."""

import csv
import hashlib
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import aqqua_science

REPOSITORY = Path(__file__).parents[2]
README_COMMANDS = [
    'pip install -e ".[maps]" -c constraints.txt && aqqua demo',
    'pip install -e ".[all,test]" -c constraints.txt && pytest',
]
MEBIBYTE = 2**20
TRIVIAL_BYTES = 256
"""Files smaller than this may be alike by chance: empty ones, a header line, the text of a projection."""

REGISTRIES = ["pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "npmjs" + ".com", "deb.debian" + ".org"]
MACHINE_PATH = re.compile(r"(?<![\w.~$}])/(?:work|home|root|tmp|Users)/\w")


def tracked_files():
    """Files that git keeps or would keep."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this copy is no git checkout")
    return [path for name in listing.split("\0") if name and (path := REPOSITORY / name).is_file()]


def texts():
    """(path relative to the repository, text) of every tracked file that is text."""
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" not in content:
            yield path.relative_to(REPOSITORY), content.decode("utf-8", errors="replace")


def test_no_registry_is_named():
    assert [(str(path), host) for path, text in texts() for host in REGISTRIES if host in text] == []


def test_no_path_of_one_machine():
    """Tests and .ci may speak of temporary folders; whoever else does has tied itself to one machine."""
    elsewhere = [(path, text) for path, text in texts() if path.parts[0] not in {"tests", ".ci"}]
    assert [(str(path), found.group()) for path, text in elsewhere if (found := MACHINE_PATH.search(text))] == []


@pytest.mark.parametrize(
    ("text", "caught"),
    [("open('/tmp/x')", True), ("/home/me/data", True), ("../work/x", False), ("a/tmp/x", False), ("per work", False)],
)
def test_a_path_of_one_machine_is_found(text, caught):
    assert bool(MACHINE_PATH.search(text)) == caught


@pytest.mark.parametrize("command", README_COMMANDS)
def test_readme_gives_each_command_on_one_line_of_its_own(command):
    assert command in (REPOSITORY / "README.md").read_text().splitlines()


def test_the_version_is_told_once_alike():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    version = aqqua_science.__version__
    assert project.get("version", version) == version
    assert str(citation["version"]) == version
    assert version in (REPOSITORY / "CHANGELOG.md").read_text()


def test_citation_has_what_the_format_demands():
    """Citation File Format 1.2.0: the required keys, and names, title and licence as pyproject.toml has them."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    assert citation["keywords"] == project["keywords"]


def test_licence_is_bsd_3_clause():
    text = " ".join((REPOSITORY / "LICENSE").read_text().split())
    assert "BSD 3-Clause License" in text
    for clause in ("Redistributions of source code", "Redistributions in binary form", "Neither the name"):
        assert clause in text


def test_no_file_is_large_but_the_encoder():
    large = {path.name: path.stat().st_size for path in tracked_files() if path.stat().st_size > MEBIBYTE}
    assert large.pop("nano.onnx") <= 8e6
    assert large == {}


def test_notebooks_carry_no_output():
    cells = [
        cell
        for path, text in texts()
        if path.suffix == ".ipynb"
        for cell in json.loads(text)["cells"]
        if cell["cell_type"] == "code"
    ]
    assert [cell for cell in cells if cell["outputs"] or cell["execution_count"]] == []


def test_no_shared_data_is_copied(shared_data):
    with (shared_data / "MANIFEST.csv").open(newline="") as file:
        shared = {row["sha256"]: row["path"] for row in csv.DictReader(file) if int(row["bytes"]) > TRIVIAL_BYTES}
    hashes = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in tracked_files()}
    assert {str(path): shared[digest] for path, digest in hashes.items() if digest in shared} == {}


def test_the_scripts_of_the_repository_can_be_run():
    for script in (".ci/run", "binder/postBuild"):
        path = REPOSITORY / script
        assert path.stat().st_mode & 0o111
        assert subprocess.run(["bash", "-n", path]).returncode == 0


def test_ci_runs_the_command_that_readme_gives():
    """The extraction that .ci/run makes from README.md, on this README.md."""
    expression = re.search(r"sed -nE '(.*)' README\.md", (REPOSITORY / ".ci" / "run").read_text()).group(1)
    found = subprocess.run(
        ["sed", "-nE", expression, REPOSITORY / "README.md"], capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == [README_COMMANDS[1]]


@pytest.mark.parametrize("tool", ["ruff-pre-commit", "codespell"])
def test_ci_finds_the_pinned_style_tools(tool):
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    (revision,) = [hook["rev"].removeprefix("v") for hook in hooks if hook["repo"].endswith(f"/{tool}")]
    template = re.search(r'sed -nE "(.*)" \.pre-commit', (REPOSITORY / ".ci" / "run").read_text()).group(1)
    expression = template.replace("\\/$1", f"\\/{tool}")
    command = ["sed", "-nE", expression, REPOSITORY / ".pre-commit-config.yaml"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == [revision]
