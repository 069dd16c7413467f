"""Bars of progress: on a screen or in a notebook, for what takes a while, and nowhere else."""

import io
import subprocess
import sys
import types

import pytest

from aqqua_science import progress


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_what_is_quick_has_no_bar_and_what_takes_longer_has_one(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    list(progress.progress_bar(range(3), desc="quick", file=screen))
    assert screen.getvalue() == ""
    monkeypatch.setattr(progress, "DELAY_S", 0.0)
    list(progress.progress_bar(range(3), desc="slow", file=screen))
    assert "slow: 100%" in screen.getvalue()


def test_nobody_watches_a_file(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(progress, "DELAY_S", 0.0)
    list(progress.progress_bar(range(3)))
    assert sys.stderr.getvalue() == ""
    assert not progress.has_screen()


@pytest.mark.parametrize(("config", "seen"), [({"IPKernelApp": {}}, True), ({}, False)])
def test_a_notebook_is_a_screen_and_a_console_without_one_is_not(monkeypatch, config, seen):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    shell = types.SimpleNamespace(config=config)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert progress.has_screen() is seen


def test_a_notebook_without_widgets_is_told_nothing():
    """tqdm warns where ipywidgets are missing; in a process that says it is a notebook's kernel."""
    code = (
        "import sys, types, warnings; warnings.simplefilter('error')\n"
        "sys.modules['ipywidgets'] = None\n"
        "shell = types.SimpleNamespace(config={'IPKernelApp': {}})\n"
        "sys.modules['IPython'] = types.SimpleNamespace(get_ipython=lambda: shell, display=None)\n"
        "import aqqua_science.progress\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
