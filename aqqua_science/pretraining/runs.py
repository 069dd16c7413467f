"""The folder of a pretraining run: what is in it, and how it is read while the run goes on."""

import hashlib
import json
import re
from html import escape
from pathlib import Path

import pandas as pd

from aqqua_science import __version__
from aqqua_science.files import file_hash, plain, replacing, write_json
from aqqua_science.images import open_store
from aqqua_science.images.shards import StoreError
from aqqua_science.pretraining.config import read_config

CONFIG = "config.json"
LOG = "log.jsonl"
EVALUATIONS = "evaluations.jsonl"
CHECKPOINTS = "checkpoints"
ENCODER = "encoder"
WEIGHTS = "encoder.safetensors"
TENSORBOARD = "tensorboard"
RECENT = 20
"""Steps from whose pace the time left is told."""
TAIL = 256
"""Bytes before the new part of a file that tell whether the file is still the same."""


class Run:
    """
    A pretraining run by its folder; reads it anew at every question, so that it can be asked while the run goes on.

    Parameters
    ----------
    path : str or pathlib.Path
        Folder that `pretrain` or `submit` wrote.

    Attributes
    ----------
    path : pathlib.Path

    Raises
    ------
    StoreError
        If the folder holds no run.

    Examples
    --------
    >>> Run("nowhere")
    Traceback (most recent call last):
    ...
    aqqua_science.images.shards.StoreError: nowhere is no run: it has no config.json. ...
    """

    def __init__(self, path):
        self.path = Path(path)
        self._about()
        self._log, self._evaluations = (_GrowingTable(self.path / name) for name in (LOG, EVALUATIONS))

    def __repr__(self):
        row = self.summary
        shown = ", ".join(f"{name} {value}" for name, value in row.items() if name != "state")
        return f"<{type(self).__name__} {self.path}: {row['state']}, {shown}>"

    def _repr_html_(self):
        rows = "".join(
            f"<tr style='text-align:left'><th>{escape(name)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
            for name, value in self.summary.items()
        )
        return f"<div><b>{escape(str(self.path))}</b><table>{rows}</table></div>"

    def _about(self):
        try:
            about = json.loads((self.path / CONFIG).read_text(encoding="utf-8"))
            _ = about["store"], about["images"], about["config"]
            return about
        except FileNotFoundError as error:
            msg = (
                f"{self.path} is no run: it has no {CONFIG}. "
                "Start one with pretraining.pretrain(store, config, out=...) or `aqqua pretrain`."
            )
            raise StoreError(msg) from error
        except (ValueError, KeyError, TypeError) as error:
            msg = (
                f"{self.path / CONFIG} is damaged, or no run's: {error!r}. It is written by pretrain and submit, which "
                "take settings as they are; start the run in another folder."
            )
            raise StoreError(msg) from error

    @property
    def about(self):
        """What `config.json` says: store, draw, config, version of aqqua_science (dict)."""
        return self._about()

    @property
    def config(self):
        """What the run was told (PretrainConfig)."""
        return read_config(self.path / CONFIG)

    @property
    def log(self):
        """One row a step: losses, learning rate, images per second and so on (pandas.DataFrame)."""
        return self._log.read()

    @property
    def evaluations(self):
        """One row an evaluation: kNN and probe accuracy, leakage, RankMe (pandas.DataFrame)."""
        return self._evaluations.read()

    @property
    def checkpoints(self):
        """Folders of the checkpoints, in the order of their steps (list of pathlib.Path)."""
        found = (self.path / CHECKPOINTS).glob("step-*")
        return sorted(p for p in found if re.fullmatch(r"step-\d+", p.name) and p.is_dir())

    @property
    def encoder(self):
        """Folder of the encoder, or None before the first checkpoint (pathlib.Path)."""
        folder = self.path / ENCODER
        return folder if (folder / WEIGHTS).is_file() else None

    @property
    def finished(self):
        """Whether the checkpoint of the last step is there; the encoder is written before it (bool)."""
        found = self.checkpoints
        return bool(found) and int(found[-1].name.removeprefix("step-")) >= self.config.steps

    @property
    def state(self):
        """COMPLETED, or UNFINISHED: running elsewhere or to be resumed (str)."""
        return "COMPLETED" if self.finished else "UNFINISHED"

    @property
    def summary(self):
        """State, step, loss, speed, time left and last evaluation, as text (dict of str)."""
        recent, evaluations = (_rows(table) for table in (self.log, self.evaluations))
        last, steps = (recent or [{}])[-1], self.config.steps
        row = {"state": self.state, "step": f"{int(last.get('step', 0)):,} of {steps:,}"}
        forms = {"loss": "{:.3f}", "images_per_second": "{:,.0f}", "occupancy": "{:.0%}", "memory_gb": "{:.1f}"}
        forms["gpu_use"] = "{:.0%}"
        row |= {name: form.format(last[name]) for name, form in forms.items() if last.get(name) is not None}
        if row["state"] != "COMPLETED" and {"images", "images_per_second"} <= last.keys():
            row["left"] = _duration((steps - last["step"]) * _seconds_a_step(recent))
        if evaluations:
            numbers = {k: v for k, v in evaluations[-1].items() if isinstance(v, int | float)}
            row["evaluation"] = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        return row

    def panel(self, *, seconds=2):
        """
        Show the run, and keep the picture up to date while the notebook or server lives.

        Parameters
        ----------
        seconds : float
            Between two looks at the folder.

        Returns
        -------
        panel.viewable.Viewable
        """
        from aqqua_science.pretraining.live import training_panel

        return training_panel(self, seconds=seconds)


class _GrowingTable:
    """A file of JSON lines as a table; every look reads only what is new, unless the file is another."""

    def __init__(self, path):
        self.path = path
        self._forget()

    def _forget(self):
        self.table, self.place, self.tail = pd.DataFrame(), 0, b""

    def read(self):
        """All whole lines, a row each (pandas.DataFrame)."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.place - len(self.tail))
                if file.read(len(self.tail)) != self.tail:
                    self._forget()
                    file.seek(0)
                whole, end, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            self._forget()
            return self.table
        if new := _parsed(self.path, whole):
            self.table = (
                pd.concat([self.table, pd.DataFrame(new)], ignore_index=True) if self.place else pd.DataFrame(new)
            )
        self.place += len(whole + end)
        self.tail = (self.tail + whole + end)[-TAIL:]
        return self.table.copy()


def _rows(table):
    """The last rows of a log, each without what it does not tell."""
    return [row.dropna().to_dict() for _, row in table.tail(RECENT).astype(object).iterrows()]


def _seconds_a_step(lines):
    """What the last steps took in the mean."""
    return sum(line["images"] / max(1e-9, line["images_per_second"]) for line in lines) / len(lines)


def _duration(seconds):
    """A time in the unit that suits it."""
    units = [(86_400, "d"), (3_600, "h"), (60, "min")]
    return next((f"{seconds / n:.1f} {unit}" for n, unit in units if seconds >= n), f"{seconds:.0f} s")


def write_config(out, *, store, config, draw=None, images=None):
    """
    Write what a run is told, the first file of its folder.

    Parameters
    ----------
    out : str or pathlib.Path
        Folder of the run; made if absent.
    store : str or pathlib.Path
        Folder of the store.
    config : PretrainConfig
    draw : str or pathlib.Path, optional
        Table of the images to draw from.
    images : str, optional
        What `images_hash` says of them.

    Returns
    -------
    pathlib.Path
        The file.
    """
    file = Path(out) / CONFIG
    content = {
        "store": str(Path(store).resolve()),
        "draw": None if draw is None else str(Path(draw).resolve()),
        "images": images,
        "config": config.model_dump(mode="json"),
        "aqqua_science": __version__,
    }
    write_json(content, file)
    return file


def images_hash(store, draw=None):
    """
    Tell a set of images from another, wherever it lies.

    Parameters
    ----------
    store : str or pathlib.Path
    draw : str or pathlib.Path, optional

    Returns
    -------
    str
        SHA-256 over the checksums of the store's files, and the draw.
    """
    shards = [shard["sha256"] for shard in open_store(store).about["shards"]]
    drawn = file_hash(Path(draw)) if draw is not None and Path(draw).exists() else None
    return hashlib.sha256(json.dumps([shards, drawn], sort_keys=True).encode()).hexdigest()


def append_line(path, content):
    """
    Add one line of JSON to a file, at once readable by others.

    Parameters
    ----------
    path : str or pathlib.Path
    content : dict
        NaN is written as null.
    """
    _drop_torn_line(Path(path))
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(plain(content), ensure_ascii=False, allow_nan=False) + "\n")


def _drop_torn_line(path):
    """Take off what a killed process wrote of its last line."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb+") as file:
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            file.truncate(path.read_bytes().rfind(b"\n") + 1)


def read_lines(path):
    """
    Read a file of JSON lines; a last line that is still being written is left out.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    list of dict
        Empty when there is no file.

    Raises
    ------
    StoreError
        If a whole line is no JSON object.
    """
    try:
        whole, _, _ = Path(path).read_bytes().rpartition(b"\n")
    except FileNotFoundError:
        return []
    return _parsed(path, whole)


def _parsed(path, whole):
    """The objects of whole lines."""
    try:
        return [dict(json.loads(line)) for line in whole.splitlines() if line.strip()]
    except (ValueError, TypeError) as error:
        msg = f"{path} is damaged: {error}. Remove it, or the line that is no JSON object."
        raise StoreError(msg) from error


def truncate_log(path, step):
    """
    Drop the lines beyond a step, so that a resumed run's log is that of an undisturbed one.

    Parameters
    ----------
    path : str or pathlib.Path
        A file of JSON lines with `step`; nothing happens when there is none.
    step : int
        The last that stays.
    """
    if not Path(path).exists():
        return
    kept = [line for line in read_lines(path) if line["step"] <= step]
    with replacing(path) as part:
        part.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept), encoding="utf-8")
