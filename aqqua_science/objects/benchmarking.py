"""The benchmark: the same questions asked of any encoder, on any labelled stores."""

import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from aqqua_science import __version__
from aqqua_science.features import embed
from aqqua_science.features.encoders import open_encoder
from aqqua_science.files import write_json
from aqqua_science.images import open_store
from aqqua_science.objects import leaderboard, protocol, shifts, transfer
from aqqua_science.objects.answers import check_answers, describe_answers, unknown_names
from aqqua_science.objects.benchmark_page import write_page
from aqqua_science.objects.labels import said_by_people
from aqqua_science.objects.thresholding import main_mask
from aqqua_science.schema import SchemaError

VERSION = 2
"""Counts up when a question changes: scores of two versions are not compared."""

MOST = 50_000
"""Labelled objects of a store that are judged; of more, a random part, the same for every encoder."""

GROUPS = ("sample_id", "acquisition_id", "source")
"""What is kept together: the first of which a store knows two or more."""

TIMING = "timing.json"


def benchmark(
    stores, *, out, encoder="default", label="taxon", groups=None, beside=(), name=None, client=None, device="cpu",
    rng=0, overwrite=False,
):  # fmt: skip
    """
    Judge an encoder on labelled stores.

    On each store: accuracy, balanced accuracy, precision and recall of plankton, also by groups of taxa and against
    guessing; calibration; a few examples (1, 5, 10, 50) of each taxon; taxa that were never seen; counts of communities
    of other composition; sizes. Over all: how well the instrument is told, and instruments and regions left out of
    training. Only labels that people gave count. Objects of one sample are never parted, where a store tells two or
    more; those without a sample stand alone. Intervals (90 %) come from drawing samples anew: of few, too narrow.

    Parameters
    ----------
    stores : ImageStore, str, pathlib.Path or list of these
    out : str or pathlib.Path
        Folder for `benchmark.json` (the same bytes when it is run again), `timing.json`, `benchmark.html`, and the
        features.
    encoder : str, pathlib.Path or Encoder
        As for `features.embed`.
    label : str
        Column of the store's table with the taxon.
    groups : dict of str to str, optional
        Taxon -> group of taxa; by default the parent of `Child<Parent`, or the first word of a name.
    beside : sequence of str or pathlib.Path
        Folders of other entries, which the page shows beside this one.
    name : str, optional
        Of the entry; the encoder's by default.
    client : distributed.Client, optional
        For `features.embed`.
    device : str
    rng : int
    overwrite : bool
        Whether `out` may hold another entry, which is replaced; features that serve are kept.

    Returns
    -------
    dict
        What `benchmark.json` holds.

    Raises
    ------
    SchemaError
        If a store has no labels of two taxa, or an entry beside is of another version of the benchmark.
    StoreError
        If `out` holds another entry, or a folder beside none.

    Examples
    --------
    >>> import tempfile
    >>> from aqqua_science.images import ingest
    >>> from aqqua_science.synthetic import images
    >>> folder = Path(tempfile.mkdtemp())
    >>> store = ingest(images(40, rng=0, instruments=["UVP6"]), folder / "drawn.aqqua")
    >>> found = benchmark(store, encoder="measured", out=folder / "judged")
    >>> found["stores"]["drawn"]["classification"]["scores"]["accuracy"]["value"] > 0.3
    True
    """
    out, stores, opened = Path(out), _opened(stores), open_encoder(encoder)
    about = {"encoder": opened.name, "fingerprint": opened.fingerprint, "features": len(opened.feature_names)}
    about["bytes"] = getattr(opened, "n_bytes", None)
    entry = _begun(name or opened.name, label=label, rng=rng, encoder=about)
    others = _ready(out, entry, stores, beside=beside, overwrite=overwrite)
    judged, speeds = {}, json.loads((out / TIMING).read_text()) if (out / TIMING).exists() else {}
    for store in stores:
        table, place = _table(store, label, rng), out / "features" / f"{store.path.stem}.zarr"
        told = {"rows": table.index, "to": place, "client": client, "device": device}
        features, seconds = _encoded(store, encoder, overwrite=overwrite, **told)
        if seconds is not None:
            speeds[store.path.stem] = {"images": len(table), "seconds": seconds}
            # Features stay when the run is killed, and opening them again tells no time.
            write_json(speeds, out / TIMING)
        judged[store.path.stem] = _labelled(store, table, features, label=label)
    entry["stores"] = {k: judge(data, groups=groups, rng=rng) for k, data in judged.items()}
    entry["together"] = _across(judged, groups=groups, rng=rng)
    write_json(entry, out / leaderboard.RESULT)
    write_page([entry, *others], out / "benchmark.html", speeds={k: speeds[k] for k in judged if k in speeds})
    return entry


def score_entry(
    stores, predictions, *, out, name, label="taxon", groups=None, beside=(), rng=0, overwrite=False
):  # fmt: skip
    """
    Score answers that somebody else gives, as an entry to an open competition.

    Parameters
    ----------
    stores : ImageStore, str, pathlib.Path or list of these
    predictions : pandas.DataFrame
        With `object_id` and `taxon`. Objects without an answer count as wrong, and so do names that no object of the
        store has; warnings tell the stores that have no answer at all, and such names.
    out : str or pathlib.Path
        Folder for `benchmark.json` and `benchmark.html`.
    name : str
        Of the entry.
    label : str
    groups : dict of str to str, optional
    beside : sequence of str or pathlib.Path
    rng : int
    overwrite : bool
        Whether `out` may hold another entry, which is replaced.

    Returns
    -------
    dict

    Raises
    ------
    SchemaError
        If a column is absent, an object has two answers, or no answer is of an object that is judged.
    StoreError
        If `out` holds another entry, or a folder beside none.
    """
    answers, stores = check_answers(predictions), _opened(stores)
    entry = _begun(name, label=label, rng=rng, predictions=describe_answers(answers))
    others = _ready(out, entry, stores, beside=beside, overwrite=overwrite)
    tables = {store.path.stem: _table(store, label, rng) for store in stores}
    given = {k: answers.reindex(table["object_id"].to_numpy(str)) for k, table in tables.items()}
    _tell_silence(answers, given, name)
    entry["stores"] = {k: _scored(tables[k], given[k], label=label, groups=groups, rng=rng) for k in tables}
    _tell_unknown(entry)
    write_json(entry, Path(out) / leaderboard.RESULT)
    write_page([entry, *others], Path(out) / "benchmark.html")
    return entry


def judge(data, *, groups=None, rng=0):
    """
    Ask all that is asked of one store: of its features, or of a table of features from elsewhere.

    Parameters
    ----------
    data : protocol.Labelled
    groups : dict of str to str, optional
        Taxon -> group of taxa.
    rng : int

    Returns
    -------
    dict
        What an entry holds of a store.
    """
    probabilities, untested = protocol.held_out(data, rng=rng)
    return {
        "objects": len(data.taxon),
        "taxa": len(np.unique(data.taxon)),
        "kept_together": data.by,
        "groups": len(np.unique(data.groups)),
        "alone": int(_without(data.table, data.by).sum()) if data.by in data.table else 0,
        "untested_taxa": [str(t) for t in untested],
        "classification": protocol.classification(data, probabilities, groups=groups, rng=rng),
        "few_shot": protocol.few_shot(data, rng=rng),
        "hidden_taxa": shifts.hidden_taxa(data, rng=rng),
        "counting": shifts.shifted_counts(data, probabilities, rng=rng),
        "size": protocol.size(data, rng=rng),
    }


def _begun(name, *, label, rng, **about):
    """What is known of an entry before it is judged."""
    return {"version": VERSION, "name": name, **about, "aqqua_science": __version__, "label": label, "rng": rng}


def _ready(out, entry, stores, *, beside, overwrite):
    """Entries to show beside; refused before anything is worked out, where the folder is another entry's."""
    if not overwrite:
        leaderboard.refuse_other(out, entry, stores=[store.path.stem for store in stores])
    return leaderboard.read_others(beside, version=VERSION)


def _encoded(store, encoder, *, to, overwrite, **told):
    """Features of a store, and the seconds that it took; None where they were begun before."""
    fresh, started = not to.exists(), time.perf_counter()
    try:
        features = embed(store, encoder, to=to, **told)
    except ValueError:  # others lie there
        if fresh or not overwrite:
            raise
        fresh, features = True, embed(store, encoder, to=to, overwrite=True, **told)
    return features, round(time.perf_counter() - started, 3) if fresh else None


def _scored(table, given, *, label, groups, rng):
    """What an entry of answers holds of a store; those that are lacking are wrong."""
    samples, by = _groups(table)
    told, taxon = given.fillna("").to_numpy(str), table[label].to_numpy(str)
    return {
        "objects": len(table),
        "taxa": len(np.unique(taxon)),
        "unanswered": int(given.isna().sum()),
        "unknown_names": unknown_names(given, np.unique(taxon)),
        "kept_together": by,
        "groups": len(np.unique(samples)),
        "classification": protocol.answer_scores(taxon, told, samples, groups=groups, rng=rng),
    }


def _tell_silence(answers, given, name):
    """Refuse answers of other objects altogether, and name the stores that have none."""
    silent = [store for store, told in given.items() if told.isna().all()]
    if len(silent) == len(given):
        msg = (
            f"none of the {len(answers):,} predictions is of a labelled object of {', '.join(silent)}; the first is of "
            f"{answers.index[0]!r}. object_id must be as in the store's table."
        )
        raise SchemaError(msg)
    if silent:
        msg = (
            f"{name} answers nothing of {', '.join(silent)}: all of their objects count as wrong. Leave out stores "
            "that are not to be judged."
        )
        warnings.warn(msg, stacklevel=3)


def _tell_unknown(entry):
    """Name the stores of which answers name no taxon."""
    for store, part in entry["stores"].items():
        if strange := part["unknown_names"]:
            msg = (
                f"{strange['answers']:,} answers of {entry['name']} name no taxon of {store}, and count as wrong; the "
                f"first is {strange['first']!r}. {strange['hint']}"
            )
            warnings.warn(msg.rstrip(), stacklevel=3)


def _opened(stores):
    """Stores as a list, each of a name of its own."""
    listed = [stores] if isinstance(stores, str | Path) or hasattr(stores, "rows") else list(stores)
    found = [s if hasattr(s, "rows") else open_store(s) for s in listed]
    names = [s.path.stem for s in found]
    if len(set(names)) < len(names) or not names:
        msg = f"the benchmark needs stores of different names; got {names}. Rename a folder, or leave one out."
        raise SchemaError(msg)
    return found


def _table(store, label, rng):
    """Metadata of the labelled objects that are judged; refused where there are not two taxa."""
    table = store.table
    said = said_by_people(table, label) if label in table else pd.Series(False, index=table.index)
    n = table[label][said].nunique() if said.any() else 0
    if n < 2:
        msg = (
            f"{store.path.name} has {n} taxa in {label!r} that people named, and a benchmark needs two. Pass label=, "
            "or a labelled store."
        )
        raise SchemaError(msg)
    rows = np.flatnonzero(said)
    rows = np.sort(np.random.default_rng(rng).permutation(rows)[:MOST])
    return table.loc[rows]


def _labelled(store, table, features, *, label):
    """Labelled objects with their features; images that could not be read are left out."""
    values = np.asarray(features, np.float32)
    good = np.isfinite(values).all(axis=1)
    table, values = table[good], values[good]
    areas = np.array([np.count_nonzero(main_mask(store[int(row)])) for row in table.index], float)
    sizes = 2 * np.sqrt(np.where(areas > 0, areas, np.nan) / np.pi) * table["pixel_size_um"].to_numpy(float)
    groups, by = _groups(table)
    table = table.assign(esd_um=sizes)
    return protocol.Labelled(values, table[label].to_numpy(str), groups, by, table)


def _groups(table):
    """What is kept together, and how it is called; objects of which it is not known stand alone."""
    for column in GROUPS:
        if column in table and table[column][~_without(table, column)].nunique() > 1:
            alone = pd.Series([f"row {row}" for row in table.index], index=table.index)
            return table[column].astype(object).mask(_without(table, column), alone).to_numpy(str), column
    return np.arange(len(table)).astype(str), "image"


def _without(table, column):
    """Which objects lack an identifier."""
    return table[column].astype(object).fillna("") == ""


def _across(judged, *, groups, rng):
    """All that is asked of the stores together."""
    parts = list(judged.values())
    marks = [np.char.add(f"{name}/", data.groups.astype(str)) for name, data in judged.items()]
    features, taxon = (np.concatenate([getattr(d, name) for d in parts]) for name in ("features", "taxon"))
    by = "image" if all(d.by == "image" for d in parts) else "sample"
    table = pd.concat([d.table for d in parts], ignore_index=True)
    together = protocol.Labelled(features, taxon, np.concatenate(marks), by, table)
    instruments, regions = together.table["instrument"].to_numpy(str), transfer.regions_of(together.table)
    known = np.flatnonzero(regions != "")
    found = {"instrument": transfer.leakage(together, rng=rng), "instrument_left_out": None, "region_left_out": None}
    if len(np.unique(instruments)) > 1:
        found["instrument_left_out"] = transfer.left_out(together, instruments, groups=groups, rng=rng)
    if len(np.unique(regions[known])) > 1:
        found["region_left_out"] = transfer.left_out(together.take(known), regions[known], groups=groups, rng=rng)
    return found
