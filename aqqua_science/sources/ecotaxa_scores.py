"""Predicted taxa and their scores, sent to EcoTaxa, which cannot import them."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from aqqua_science.files import write_json
from aqqua_science.progress import progress_bar
from aqqua_science.schema import SchemaError, require_columns
from aqqua_science.sources.ecotaxa_portal import find_taxon, list_objects
from aqqua_science.sources.ecotaxa_requests import PORTAL, Portal

BATCH = 1_000
"""Objects whose scores are sent at once."""

_TOP = 3
_HUMAN = {"V": "validated in EcoTaxa", "D": "dubious in EcoTaxa"}


def send_scores(objects, *, project, progress, taxa=None, url=PORTAL, token=None, wait_s=1.0):
    """
    Send predicted taxa with their scores, the best three per object, after a bundle has been imported.

    EcoTaxa sets the scores of an import to 1; this puts the true ones in their place. Objects that somebody has
    validated or called dubious in EcoTaxa are left alone.

    Parameters
    ----------
    objects : pandas.DataFrame
        ``object_id``, and either ``taxon`` and ``probability`` or ``taxon_1``, ``probability_1`` .. ``taxon_3``,
        ``probability_3``. Of an object with several images the first row counts.
    project : int
    progress : str or pathlib.Path
        A small file that remembers what was sent. Call again with it after an interruption, and the rest follows.
    taxa : dict of str to int, optional
        Name -> EcoTaxa's number of the taxon; looked up there by default.
    url, token, wait_s
        As in `find_objects`.

    Returns
    -------
    pandas.DataFrame
        One row per object: ``object_id``, ``objid`` and ``result``: "sent", "sent before", "no score",
        "not in the project", "validated in EcoTaxa" or "dubious in EcoTaxa".

    Raises
    ------
    SchemaError
        If columns are missing, a score is not from 0 to 1, a taxon has no number, or the file of progress is of other
        scores.
    OSError
        As in `find_objects`.
    """
    scores = _best_scores(objects)
    with Portal(url, token=token, wait_s=wait_s) as portal:
        names = sorted({taxon for best in scores for taxon, _ in best})
        unknown = [name for name in names if taxa is not None and name not in taxa]
        if unknown:
            msg = (
                f"taxa has no number for {unknown[0]!r}{f' and {len(unknown) - 1} more' * (len(unknown) > 1)}. Add it."
            )
            raise SchemaError(msg)
        numbers = taxa if taxa is not None else {name: find_taxon(portal, name, project) for name in names}
        scores = scores.map(lambda best: [(int(numbers[taxon]), score) for taxon, score in best])
        return _send(portal, project, scores, _Progress(progress, portal.url, project, scores))


def _best_scores(objects):
    """Object -> its best taxa and their scores, the best first."""
    pairs = [("taxon", "probability")]
    if "taxon_1" in objects:
        ranks = sorted({m[1] for c in objects if (m := re.fullmatch(r"taxon_(\d+)", str(c)))}, key=int)
        pairs = [(f"taxon_{rank}", f"probability_{rank}") for rank in ranks]
    require_columns(objects, ["object_id", *(column for pair in pairs for column in pair)], what="the table of objects")
    first = objects.drop_duplicates("object_id")
    found = [{} for _ in range(len(first))]
    for taxon, score in pairs:
        values = pd.to_numeric(first[score])
        outside = values[(values < 0) | (values > 1)]
        if len(outside):
            msg = (
                f"{score} must be from 0 to 1; row {outside.index[0]} has {outside.iloc[0]:g}. Divide percents by 100."
            )
            raise SchemaError(msg)
        for best, name, value in zip(found, first[taxon], values, strict=True):
            if pd.notna(name) and str(name).strip() and np.isfinite(value):
                best.setdefault(str(name).strip(), float(value))
    tops = [sorted(best.items(), key=lambda pair: -pair[1])[:_TOP] for best in found]
    return pd.Series(tops, index=first["object_id"].astype(str), dtype=object)


class _Progress:
    """The highest object whose scores have been sent; a file of other scores is not continued."""

    def __init__(self, path, url, project, scores):
        self.path = Path(path)
        content = json.dumps([url, int(project), sorted(scores.items())])
        self.identity = hashlib.sha256(content.encode()).hexdigest()
        self.last = -1
        if self.path.exists():
            self._read()

    def _read(self):
        try:
            known = json.loads(self.path.read_text("utf-8"))
            identity, last = known["scores"], int(known["last"])
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{self.path} is no file of progress. Remove it, or name another."
            raise SchemaError(msg) from error
        if identity != self.identity:
            msg = f"{self.path} is of other scores or another project. Remove it to send these, or name another file."
            raise SchemaError(msg)
        self.last = last

    def save(self, last):
        """Remember that all objects up to one are done."""
        write_json({"scores": self.identity, "last": int(last)}, self.path)


def _send(portal, project, scores, progress):
    known = list_objects(portal, project)
    state = scores.rename("best").rename_axis("object_id").reset_index().merge(known, on="object_id", how="left")
    has_score = state["best"].map(len) > 0
    in_project = state["objid"].notna()
    before = in_project & (state["objid"] <= progress.last)
    human = state["status"].map(_HUMAN)
    state["result"] = np.select(
        [~has_score, ~in_project, before], ["no score", "not in the project", "sent before"], human.fillna("sent")
    )
    # EcoTaxa reads the lists in the order of its own numbers.
    waiting = state[state["result"] == "sent"].sort_values("objid")
    for start in progress_bar(range(0, len(waiting), BATCH), desc="scores", unit=" batches"):
        batch = waiting.iloc[start : start + BATCH]
        content = {
            "target_ids": [int(number) for number in batch["objid"]],
            "classifications": [[taxon for taxon, _ in best] for best in batch["best"]],
            "scores": [[score for _, score in best] for best in batch["best"]],
            "keep_log": True,
        }
        portal.ask("POST", "/object_set/classify_auto_multiple", json=content)
        progress.save(batch["objid"].iloc[-1])
    return state.assign(objid=state["objid"].astype("Int64"))[["object_id", "objid", "result"]]
