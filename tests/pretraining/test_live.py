"""The picture of a run: it holds what the log holds, and follows it as it grows."""

import asyncio

import numpy as np
import pytest

from aqqua_science.pretraining import runs
from aqqua_science.pretraining.config import PretrainConfig
from aqqua_science.pretraining.live import POINTS, training_panel

pytest.importorskip("panel")


@pytest.fixture
def run(tmp_path):
    runs.write_config(tmp_path, store="s", config=PretrainConfig(steps=100))
    write(tmp_path, range(1, 4))
    return runs.Run(tmp_path)


def write(path, steps, **others):
    for step in steps:
        line = {"step": step, "loss": 10.0 / step, "dino": 6.0 / step, "images": 50, "tokens": 500, "occupancy": 0.9}
        runs.append_line(path / runs.LOG, line | {"images_per_second": 100.0 + step} | others)


def curves(layout):
    """(title of the figure, name of the curve) -> (steps, values), of all that can be seen."""
    from bokeh.models import Line
    from bokeh.plotting import figure

    figures = [pane.object for row in layout[1:] for pane in row if isinstance(pane.object, figure)]
    lines = [(f.title.text, r) for f in figures if f.visible for r in f.renderers if isinstance(r.glyph, Line)]
    return {
        (title, r.name): (list(r.data_source.data["step"]), list(r.data_source.data["value"])) for title, r in lines
    }


def test_the_figures_hold_the_log(run):
    found = curves(training_panel(run))
    assert found == {
        ("loss", "loss"): ([1, 2, 3], [10, 5, 10 / 3]),
        ("loss", "dino"): ([1, 2, 3], [6, 3, 2]),
        ("images a second", "images a second"): ([1, 2, 3], [101, 102, 103]),
        ("batch filled, %", "batch filled, %"): ([1, 2, 3], [90, 90, 90]),
    }


def test_a_growing_log_is_followed(run):
    layout = training_panel(run)
    write(run.path, [4], gram=0.5, memory_gb=31.0)
    runs.append_line(run.path / runs.EVALUATIONS, {"step": 4, "knn_accuracy": 0.75, "leakage": None, "classes": 9})
    layout.refresh()
    found = curves(layout)
    assert found["loss", "loss"][0] == [1, 2, 3, 4]
    assert found["loss", "gram"] == ([4], [0.5])
    assert found["GPU memory, GB", "GPU memory, GB"] == ([4], [31.0])
    assert found["neighbours and probes", "kNN accuracy"] == ([4], [0.75])
    head = layout[0].object
    for text in ("UNFINISHED", "4 of 100", "2.500", "104", "90%"):
        assert text in head
    # 96 steps of 50 images at 101 to 104 a second.
    assert f"{96 * np.mean([50 / n for n in (101, 102, 103, 104)]):.0f} s" in head


def test_a_run_without_a_log_is_shown_too(tmp_path):
    runs.write_config(tmp_path, store="s", config=PretrainConfig())
    layout = training_panel(runs.Run(tmp_path))
    assert curves(layout) == {}
    assert "0 of 2,000" in layout[0].object


def test_a_long_log_is_drawn_as_means_up_to_its_last_step(tmp_path):
    runs.write_config(tmp_path, store="s", config=PretrainConfig(steps=5000))
    write(tmp_path, range(1, 2501))
    steps, values = curves(training_panel(runs.Run(tmp_path)))["loss", "loss"]
    assert len(steps) <= POINTS
    assert steps[-1] == 2500
    assert values[0] == pytest.approx(np.mean([10 / 1, 10 / 2, 10 / 3]))


def test_the_page_stands_alone(run, tmp_path):
    """Saved whole, it fetches nothing."""
    import re

    from bokeh.resources import INLINE

    page = tmp_path / "page.html"
    training_panel(run).save(page, resources=INLINE)
    assert re.findall(r"<(?:script|link)[^>]+(?:src|href)=[\"']https?://[^\"']+\.(?:js|css)", page.read_text()) == []


def test_in_a_notebook_the_picture_follows_by_itself_until_the_run_ends(run):
    """A notebook's kernel is a running loop, as here."""

    async def watch():
        layout = training_panel(run, seconds=0.05)
        write(run.path, range(4, 101))
        (run.path / runs.CHECKPOINTS / "step-00000100").mkdir(parents=True)
        for _ in range(100):
            await asyncio.sleep(0.05)
            if "COMPLETED" in layout[0].object:
                break
        seen = curves(layout)["loss", "loss"][0]
        runs.append_line(run.path / runs.LOG, {"step": 101, "loss": 1.0})
        await asyncio.sleep(0.5)
        return seen, curves(layout)["loss", "loss"][0]

    at_the_end, later = asyncio.run(watch())
    assert at_the_end == later == list(range(1, 101))
