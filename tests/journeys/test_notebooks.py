"""Notebooks: each asks a question and runs from top to bottom in a kernel of its own, anywhere, without a warning."""

import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
OF_DATA = {"drago2022_biomass", "sediment_traps_and_size_spectra"}
ON_A_CLUSTER = "pretrain_on_a_cluster"  # run by tests/pretraining/test_notebook.py, which looks into its job
SECONDS = 300


def names_of(paths):
    return [path.stem for path in paths]


def cells_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names_of(NOTEBOOKS))
def test_its_title_asks_one_question_and_the_first_code_is_parameters_or_imports(path):
    cells = cells_of(path)
    title = cells[0]["source"][0].strip()
    assert title.startswith("# ")
    assert title.count("?") == 1
    assert next(cell for cell in cells if cell["cell_type"] == "code")["metadata"].get("tags") == ["parameters"]


def run(path, folder):
    """Outputs of all cells, in a fresh kernel that stands in `folder`."""
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    notebook = nbformat.read(path, as_version=4)
    client.NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(folder)}}).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.stem != ON_A_CLUSTER], ids=lambda path: path.stem)
def test_it_runs_without_a_warning(path, tmp_path, request, monkeypatch):
    if path.stem in OF_DATA:
        monkeypatch.setenv("AQQUA_DATA", str(request.getfixturevalue("shared_data")))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    outputs = run(path, tmp_path)
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "Warning" not in said
    assert any({"image/png", "text/html"} & set(output.get("data", {})) for output in outputs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_without_data_a_sentence_says_what_is_missing(tmp_path, monkeypatch):
    """A copy of the package that has no data beside it."""
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("AQQUA_DATA", str(tmp_path))
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "aqqua_science").symlink_to(FOLDER.parent / "aqqua_science")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "alone"))
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="are not here") as error:
        run(FOLDER / "drago2022_biomass.ipynb", tmp_path)
    assert re.search(r"environment variable\s+AQQUA_DATA", str(error.value))
