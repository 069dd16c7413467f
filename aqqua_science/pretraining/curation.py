"""Curation: a balanced draw from a store for pretraining, with the probability with which each image got into it."""

import hashlib
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from aqqua_science import __version__
from aqqua_science.files import write_json
from aqqua_science.pretraining.clustering import nearest
from aqqua_science.pretraining.feature_rows import FeatureRows, blocks, screen_rows
from aqqua_science.pretraining.hierarchy import cluster_counts, cluster_levels
from aqqua_science.pretraining.quotas import allocate, draw_rows, evenness
from aqqua_science.pretraining.strata import OURS, chosen_strata
from aqqua_science.progress import progress_bar

WORK = ".work"
"""Folder of what is under way; it goes when the curation is finished."""

RESULT = ("clusters.safetensors", "assigned.npy", "cells.parquet", "rejected.parquet", "draw.parquet")
"""Files of a finished curation, beside `curation.json`."""


def curate(
    features, table=None, *, size, out, strata=None, clusters=None, resampling=1, normalise=False, device="auto", rng=0
):
    """
    Draw a balanced part of many images, for pretraining.

    Features are clustered by hierarchical k-means with resampling (Vo et al. 2024, arXiv 2405.15613), in one pass over
    all rows per step, whatever their number. The draw is shared equally among the values of the first stratum, as far
    as there are images, then within each of these among those of the next, and so on down to the finest clusters, in
    which images are drawn at random: see `docs/curation.md`. An interrupted run goes on when called again.

    Parameters
    ----------
    features : array_like (n, d)
        One row per image: numpy array or memory map, Zarr array, xarray.DataArray; read in blocks. Distances are
        Euclidean in these units: standardise features that differ in scale.
    table : pandas.DataFrame, optional
        Metadata of the images, in the order of `features`, such as ``store.table``.
    size : int
        Images to draw.
    out : str or pathlib.Path
        Folder for the result.
    strata : iterable of str, optional
        Columns of `table` to balance over before the clusters, the most important first; by default those that
        `strata_of` makes of the table.
    clusters : iterable of int, optional
        Clusters of each level, the finest first; by default one per 100 images but at most 10,000, and a tenth of that
        on each of two levels above.
    resampling : int
        Times that each level is clustered anew on a resample of equal parts of its clusters.
    normalise : bool
        Scale each row of features to length 1.
    device : {"auto", "cpu", "cuda"}
        Where distances are computed; a GPU by default, if there is one.
    rng : int or numpy.random.Generator
        Same seed, same draw.

    Returns
    -------
    pandas.DataFrame
        The draw, as in `draw.parquet`: ``row`` (ascending), the strata, ``cluster_1`` (finest), ``cluster_2`` ...,
        ``inclusion_probability`` and ``weight``, with which a sum over the draw estimates that over all images.

    Raises
    ------
    SchemaError
        If table and features differ in length, or a stratum is no column of the table.
    ValueError
        If more images are asked for than there are, clusters are too many or do not descend, all features are alike,
        or `out` holds something else.

    Examples
    --------
    >>> import tempfile
    >>> features = np.random.default_rng(0).normal(size=(1_000, 8)) + np.repeat([0, 9], [990, 10])[:, None]
    >>> table = pd.DataFrame({"instrument": np.repeat(["ISIIS", "PlanktoScope"], [990, 10])})
    >>> draw = curate(features, table, size=20, strata=["instrument"], out=tempfile.mkdtemp())
    >>> draw["instrument"].value_counts().to_dict()
    {'ISIIS': 10, 'PlanktoScope': 10}
    >>> draw.groupby("instrument")["weight"].sum().round().to_dict()
    {'ISIIS': 990.0, 'PlanktoScope': 10.0}
    """
    rows = FeatureRows(features, normalise=normalise, device=_device(device))
    strata = chosen_strata(table, strata, n=len(rows))
    seed = int(rng.integers(2**63)) if isinstance(rng, np.random.Generator) else int(rng)
    settings = {
        "features": rows.identity,
        "strata": {name: _checksum(strata[name]) for name in strata},
        "size": _checked_size(size, len(rows)),
        "clusters": _checked_clusters(clusters, len(rows)),
        "resampling": _checked_steps(resampling),
        "normalise": bool(normalise),
        "seed": seed,
    }
    out = Path(out)
    if not _begin(out, settings):
        _work(rows, strata, settings, out)
    shutil.rmtree(out / WORK, ignore_errors=True)
    return pd.read_parquet(out / "draw.parquet")


def _device(name):
    """The device meant by "auto"."""
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def _checksum(column):
    """Tells a column from another."""
    return hashlib.sha256(pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes()).hexdigest()


def _checked_size(size, n):
    """The size of a draw from so many images."""
    if not 1 <= size <= n:
        msg = f"a draw has from 1 to as many images as there are; asked for {size:,} of {n:,}. Lower size."
        raise ValueError(msg)
    return int(size)


def _checked_steps(resampling):
    """The number of steps of resampling."""
    if resampling < 0:
        msg = f"resampling is a number of steps, 0 or more; got {resampling}. Leave it out for 1."
        raise ValueError(msg)
    return int(resampling)


def _checked_clusters(clusters, n):
    """Clusters of each level, the default ones where none are given."""
    counts = cluster_counts(n) if clusters is None else tuple(int(k) for k in clusters)
    descending = all(upper < lower for lower, upper in itertools.pairwise(counts))
    if not counts or not descending or not 1 <= counts[-1] <= counts[0] <= n:
        msg = (
            f"clusters are counts for each level, the finest first, each smaller than the one before, at most one per "
            f"usable image ({n:,}); got {list(counts)}. Leave it out for {list(cluster_counts(n))}."
        )
        raise ValueError(msg)
    return list(counts)


def _begin(out, settings):
    """Tell whether the result is there already; refuse a folder that holds anything but this curation."""
    made, begun = out / "curation.json", out / WORK / "settings.json"
    file = made if made.exists() else begun
    if not file.exists() and out.exists() and any(p.name != WORK for p in out.iterdir()):
        msg = f"{out} holds other files. Choose a new folder for the curation."
        raise ValueError(msg)
    if file.exists():
        earlier = json.loads(file.read_text("utf-8"))["settings"]
        different = [name for name in settings if earlier.get(name) != settings[name]]
        if different:
            msg = f"{out} holds a curation with other {', '.join(different)}. Choose a new folder, or delete this one."
            raise ValueError(msg)
    else:
        write_json({"settings": settings}, begun)
    return made.exists()


def _work(rows, strata, settings, out):
    """Cluster, draw and write; `curation.json` comes last and says that all is there."""
    rows = screen_rows(rows, folder=out / WORK / "screen")
    usable = np.flatnonzero(rows.usable)
    _checked_size(settings["size"], len(usable))
    _checked_clusters(settings["clusters"], len(usable))
    levels = cluster_levels(
        rows, settings["clusters"], resampling=settings["resampling"], seed=settings["seed"], folder=out / WORK
    )
    names = [f"cluster_{number}" for number in range(1, len(levels) + 1)]
    tree = _tree(levels, levels[0].labels[usable])[names[::-1]]
    kinds = {name: pd.factorize(strata[name].iloc[usable], use_na_sentinel=False) for name in strata}
    codes = pd.DataFrame({name: codes for name, (codes, _) in kinds.items()} | {n: tree[n] for n in tree})
    rng = np.random.default_rng((settings["seed"], 0))
    cell, cells = allocate(codes, settings["size"], rng=rng)
    chosen = draw_rows(cell, cells["drawn"].to_numpy(), rng=rng)
    cells = cells.assign(**{name: values.take(cells[name]) for name, (_, values) in kinds.items()})
    described = [*strata, *names, "inclusion_probability", "weight"]
    draw = cells[described].iloc[cell[chosen]].reset_index(drop=True)
    draw.insert(0, "row", usable[chosen])
    summary = _summary(settings, draw, cells, levels=levels, n=len(rows))
    tables = {"draw": draw, "cells": cells, "rejected": _rejected(rows)}
    _write(out / WORK / "result", levels, tables=tables, mean=rows.mean)
    write_json(summary, out / WORK / "result" / "curation.json")
    for name in [*RESULT, "curation.json"]:
        (out / WORK / "result" / name).replace(out / name)


def _tree(levels, labels):
    """The cluster of each image at each level, from its finest."""
    found = {}
    for number, level in enumerate(levels, start=1):
        labels = labels if number == 1 else level.labels[labels]
        found[f"cluster_{number}"] = labels
    return pd.DataFrame(found)


def _rejected(rows):
    """Rows that were left out, with the reason."""
    reason = "a feature is not finite" + (", or all are 0" if rows.normalise else "")
    return pd.DataFrame({"row": np.flatnonzero(~rows.usable)}).assign(reason=reason)


def _write(folder, levels, *, tables, mean):
    """Clusters as safetensors, the finest cluster of each image as .npy, tables as Parquet."""
    folder.mkdir(exist_ok=True)
    tensors = {f"centroids_{n}": level.centroids.contiguous() for n, level in enumerate(levels, start=1)}
    tensors |= {f"parents_{n}": torch.from_numpy(level.labels) for n, level in enumerate(levels[1:], start=1)}
    save_file(tensors | {"mean": torch.from_numpy(mean)}, folder / "clusters.safetensors")
    np.save(folder / "assigned.npy", levels[0].labels)
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", compression="zstd", index=False)


def _summary(settings, draw, cells, *, levels, n):
    """The content of `curation.json`."""
    counts = {}
    for name in [c for c in cells if c not in OURS]:
        pair = cells.groupby(name, dropna=False, sort=True)[["images", "drawn"]].sum()
        counts[name] = pair.rename(index=lambda value: "unknown" if pd.isna(value) else value)
    before_after = {
        name: {"before": evenness(c["images"]), "after": evenness(c["drawn"])} for name, c in counts.items()
    }
    return {
        "format": "aqqua curation",
        "settings": settings,
        "versions": {"aqqua_science": __version__, "numpy": np.__version__, "torch": torch.__version__},
        "images": n,
        "rejected": n - int(cells["images"].sum()),
        "drawn": len(draw),
        "clusters": [len(level.centroids) for level in levels],
        "evenness": before_after,
        "counts": {name: counts[name].to_dict("index") for name in settings["strata"]},
    }


def assign(features, curation, *, device="auto"):
    """
    Place further images in the clusters of a curation.

    Parameters
    ----------
    features : array_like (n, d)
        Of the same encoder; read in blocks.
    curation : str or pathlib.Path
        Folder that `curate` wrote.
    device : {"auto", "cpu", "cuda"}

    Returns
    -------
    pandas.DataFrame
        ``cluster_1`` (finest), ``cluster_2`` ... of each image; -1 where a feature is not finite.

    Raises
    ------
    ValueError
        If the features have another width than those of the curation.

    Examples
    --------
    >>> import tempfile
    >>> features, out = np.random.default_rng(0).normal(size=(500, 8)), tempfile.mkdtemp()
    >>> draw = curate(features, size=50, out=out)
    >>> bool((assign(features[draw["row"]], out)["cluster_1"] == draw["cluster_1"]).all())
    True
    """
    settings = json.loads((Path(curation) / "curation.json").read_text("utf-8"))["settings"]
    saved = load_file(Path(curation) / "clusters.safetensors")
    rows = FeatureRows(features, normalise=settings["normalise"], mean=saved["mean"].numpy(), device=_device(device))
    if rows.features.shape[1] != len(saved["mean"]):
        msg = f"the curation has {len(saved['mean'])} features, these {rows.features.shape[1]}. Use the same encoder."
        raise ValueError(msg)
    centroids, labels = saved["centroids_1"].to(rows.device), []
    for block in progress_bar(list(blocks(0, len(rows))), desc="assigning"):
        values = rows.block(*block)
        found = nearest(values, centroids)[0].cpu().numpy()
        labels.append(np.where(np.isfinite(values.cpu().numpy()).all(axis=1), found, -1))
    parents = [saved[f"parents_{number}"].numpy() for number in range(1, len(settings["clusters"]))]
    table = {"cluster_1": np.concatenate(labels)}
    for number, parent in enumerate(parents, start=2):
        below = table[f"cluster_{number - 1}"]
        table[f"cluster_{number}"] = np.where(below < 0, -1, parent[below])
    return pd.DataFrame(table)
