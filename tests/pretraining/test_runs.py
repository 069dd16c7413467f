"""The folder of a run: what is read from it while it grows, and what a torn line does."""

import json

import numpy as np
import pandas as pd
import pytest

from aqqua_science.images.shards import StoreError
from aqqua_science.pretraining import runs
from aqqua_science.pretraining.config import PretrainConfig


@pytest.fixture
def run(tmp_path):
    """A run of four steps that has done three."""
    runs.write_config(tmp_path, store=tmp_path / "s", config=PretrainConfig(steps=4))
    for step in (1, 2, 3):
        line = {"step": step, "loss": 8.0 - step, "images_per_second": 120.0, "occupancy": 0.97, "memory_gb": None}
        runs.append_line(tmp_path / runs.LOG, line)
    return runs.Run(tmp_path)


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(StoreError, match=r"is no run: it has no config\.json"):
        runs.Run(tmp_path)
    (tmp_path / runs.CONFIG).write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match="damaged"):
        runs.Run(tmp_path)


def test_the_configuration_comes_back_equal(tmp_path):
    config = PretrainConfig(steps=7, guides={"instrument": {"kind": "adversarial"}}, views={"n_local": 2})
    runs.write_config(tmp_path, store="s", config=config, draw="d.parquet")
    run = runs.Run(tmp_path)
    assert run.config == config
    assert run.about["store"].endswith("/s")
    assert run.about["draw"].endswith("/d.parquet")


def test_a_new_run_has_empty_tables(tmp_path):
    runs.write_config(tmp_path, store="s", config=PretrainConfig())
    run = runs.Run(tmp_path)
    assert run.log.empty
    assert run.evaluations.empty
    assert run.checkpoints == []
    assert not run.finished
    assert "0 of 2,000" in repr(run)


def test_the_log_grows_under_the_handle(run):
    assert run.log["loss"].tolist() == [7.0, 6.0, 5.0]
    runs.append_line(run.path / runs.LOG, {"step": 4, "loss": float("nan")})
    assert run.log["loss"].isna().tolist() == [False, False, False, True]


def test_the_log_is_the_file_s_however_it_grew(run):
    """Looked at between each change: new columns, a torn line made whole, steps taken back, another file."""
    path, rng = run.path / runs.LOG, np.random.default_rng(0)
    for step in range(4, 60):
        line = {"step": step, "loss": float(rng.normal()), "memory_gb": None}
        line |= {"gram": float(rng.normal())} if step % 3 == 0 else {}
        text = json.dumps(line) + "\n"
        cut = int(rng.integers(len(text)))
        for part in (text[:cut], text[cut:]):
            with path.open("a", encoding="utf-8") as file:
                file.write(part)
            pd.testing.assert_frame_equal(run.log, pd.DataFrame(runs.read_lines(path)))
        if step % 10 == 0:
            runs.truncate_log(path, step - int(rng.integers(12)))
            pd.testing.assert_frame_equal(run.log, pd.DataFrame(runs.read_lines(path)))
    path.unlink()
    assert run.log.empty


def test_a_log_that_was_changed_by_its_reader_is_read_as_it_is(run):
    log = run.log
    log["loss"] = 0.0
    assert run.log["loss"].tolist() == [7.0, 6.0, 5.0]


def test_a_torn_last_line_is_ignored_and_a_damaged_one_is_told(run):
    with (run.path / runs.LOG).open("a") as file:
        file.write('{"step": 4, "lo')
    assert run.log["step"].tolist() == [1, 2, 3]
    with (run.path / runs.LOG).open("a") as file:
        file.write("\n")
    with pytest.raises(StoreError, match="damaged"):
        _ = run.log


def test_truncation_leaves_what_an_undisturbed_run_would_have_written(run):
    undisturbed = (run.path / runs.LOG).read_bytes()
    for step in (4, 5):
        runs.append_line(run.path / runs.LOG, {"step": step, "loss": 1.0})
    with (run.path / runs.LOG).open("a") as file:
        file.write('{"step": 6')
    runs.truncate_log(run.path / runs.LOG, 3)
    assert (run.path / runs.LOG).read_bytes() == undisturbed
    runs.truncate_log(run.path / runs.EVALUATIONS, 3)
    assert not (run.path / runs.EVALUATIONS).exists()


def test_finished_is_the_checkpoint_of_the_last_step(run):
    """A last line in the log is not enough: the evaluation and the encoder are still to come."""
    runs.append_line(run.path / runs.LOG, {"step": 4, "loss": 1.0})
    (run.path / runs.CHECKPOINTS / "step-00000003").mkdir(parents=True)
    assert (run.finished, run.state) == (False, "UNFINISHED")
    (run.path / runs.CHECKPOINTS / "step-00000004").mkdir()
    assert (run.finished, run.state) == (True, "COMPLETED")


def test_checkpoints_come_in_order_without_half_written_ones(run):
    for name in ("step-00000200", "step-00000050", ".step-00000300-x", "step-00000300.part"):
        (run.path / runs.CHECKPOINTS / name).mkdir(parents=True)
    assert [p.name for p in run.checkpoints] == ["step-00000050", "step-00000200"]


def test_the_table_shows_state_loss_speed_and_evaluation(run):
    runs.append_line(run.path / runs.EVALUATIONS, {"step": 3, "knn_accuracy": 0.81, "label": "<b>"})
    html = run._repr_html_()
    for text in ("UNFINISHED", "3 of 4", "5.000", "120", "97%", "knn_accuracy 0.81"):
        assert text in html
    assert "<b><b>" not in html
    assert json.loads(json.dumps(run.summary)) == run.summary
