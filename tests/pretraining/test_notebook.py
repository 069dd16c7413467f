"""The notebook on pretraining runs from top to bottom, and what it says of itself holds."""

import contextlib
import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "pretrain_on_a_cluster.ipynb"


def cells(kind):
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


@pytest.mark.slow
def test_it_runs(capsys):
    pytest.importorskip("panel")
    names = {}
    try:
        for cell in cells("code"):
            exec(cell, names)
    finally:
        with contextlib.suppress(KeyError):
            job = names["job"]
            if job.state == "RUNNING":
                job.cancel()
    assert job.state == "COMPLETED"
    assert f"step {names['STEPS']}: loss" in capsys.readouterr().out
    assert names["found"].encoder.is_dir()
    assert names["found"].evaluations["step"].tolist() == [10, 20]
