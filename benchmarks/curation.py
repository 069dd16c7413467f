"""Clusters and a balanced draw of very many rows, beside scikit-learn's MiniBatchKMeans with as many clusters."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans

from aqqua_science.pretraining.clustering import nearest
from aqqua_science.pretraining.curation import curate
from aqqua_science.pretraining.feature_rows import FeatureRows, screen_rows
from aqqua_science.pretraining.hierarchy import cluster_counts, cluster_levels

GROUPS, BLOCK = (10, 10, 20), 1_024
KINDS = 2_000


class DrawnFeatures:
    """
    Features of any number of images, made when they are read: no file, no memory.

    Parameters
    ----------
    n, d : int
        Images and features: 2,000 kinds in 100 families in 10 orders, their sizes as 1 / rank, noise half as wide as
        kinds differ.
    """

    dtype = np.dtype(np.float16)

    def __init__(self, n, d=384):
        self.shape = (n, d)
        rng = np.random.default_rng(0)
        centres = 3 * rng.normal(size=(10, 1, 1, d)) + 2 * rng.normal(size=(10, 10, 1, d))
        self.centres = rng.permutation((centres + rng.normal(size=(*GROUPS, d))).reshape(KINDS, d)).astype(np.float32)
        share = 1 / np.arange(1, KINDS + 1)
        self.share = share / share.sum()

    def __getitem__(self, rows):
        """Rows of a slice."""
        first, last, _ = rows.indices(self.shape[0])
        numbers = range(first // BLOCK, -(-last // BLOCK))
        values = np.concatenate([self._block(number) for number in numbers])
        return values[first - numbers[0] * BLOCK : last - numbers[0] * BLOCK]

    def _block(self, number):
        rng = np.random.default_rng((1, number))
        noise = rng.standard_normal((BLOCK, self.shape[1]), dtype=np.float32)
        return (self.centres[rng.choice(KINDS, BLOCK, p=self.share)] + 0.5 * noise).astype(self.dtype)


def run(*, sizes=(50_000, 200_000), d=384):
    """
    Time k-means and whole curations, and fit how the time grows with the images.

    Parameters
    ----------
    sizes : iterable of int
        Numbers of images; with 1,000,000 the default clusters take ten minutes and more.
    d : int
        Features.

    Returns
    -------
    list of dict
        One row per size and task: `task`, `ours_s`, `peer`, `peer_s`, `ratio` (peer / ours) and `note`.
    """
    rows, found = [], []
    for n in sizes:
        peer_s, peer_inertia = _mini_batch(n, d)
        rows.append(_k_means(n, d, peer_s, peer_inertia))
        found.append(_in_process(n, d, "1000,100,10"))
        rows.append(_whole(n, d, found[-1], peer_s))
    seconds = [f["cpu_seconds"] for f in found]
    power = np.polyfit(np.log(list(sizes)), np.log(seconds), 1)[0]
    rows[-1]["note"] += f"; processor time grows as images^{power:.2f} from {min(sizes):,} to {max(sizes):,}"
    return rows


def _mini_batch(n, d, k=1_000):
    """Seconds and inertia of the peer, on float32 in memory."""
    values = DrawnFeatures(n, d)[:].astype(np.float32)
    start = perf_counter()
    model = MiniBatchKMeans(k, random_state=0, n_init=1, batch_size=4_096).fit(values)
    seconds = perf_counter() - start
    return seconds, _inertia(values, model.cluster_centers_)


def _inertia(values, centres):
    """Mean squared distance to the nearest centre, by the same code for both."""
    offset = values.mean(axis=0)
    parts = torch.from_numpy(values - offset), torch.from_numpy((centres - offset).astype(np.float32))
    return nearest(*parts)[1].double().mean().item()


def _k_means(n, d, peer_s, peer_inertia, k=1_000):
    """One level without resampling, all rows assigned: what the peer does."""
    features = DrawnFeatures(n, d)[:].astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        start = perf_counter()
        rows = screen_rows(FeatureRows(features), folder=Path(folder) / "screen")
        (level,) = cluster_levels(rows, (k,), resampling=0, seed=0, folder=Path(folder))
        ours_s = perf_counter() - start
    inertia = _inertia(features, level.centroids.numpy() + rows.mean)
    note = f"mean squared distance to the nearest centre: ours {inertia:.2f}, the peer's {peer_inertia:.2f}"
    return _row(f"k-means, {n:,} x {d}, {k:,} clusters", ours_s, "MiniBatchKMeans", peer_s, note)


def _whole(n, d, found, peer_s):
    note = f"{found['draw']:,} drawn; peak memory {found['peak_mb']:,.0f} MB, features made as they are read"
    task = f"curation, {n:,} x {d}, clusters {found['clusters']}"
    return _row(task, found["seconds"], "MiniBatchKMeans alone, one level", peer_s, note)


def _row(task, ours_s, peer, peer_s, note):
    return {
        "task": task,
        "ours_s": round(ours_s, 2),
        "peer": peer,
        "peer_s": round(peer_s, 2),
        "ratio": round(peer_s / ours_s, 2),
        "note": note,
    }


def _in_process(n, d, clusters):
    """A curation in a process of its own, whose peak memory is known."""
    command = [sys.executable, "-m", "benchmarks.curation", str(n), str(d), clusters]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(n, d, clusters=None):
    """
    Time one curation of drawn features, a twentieth of the images drawn.

    Parameters
    ----------
    n, d : int
    clusters : list of int, optional
        As for `curate`.

    Returns
    -------
    dict
        ``seconds``, ``cpu_seconds``, ``peak_mb`` of this process, ``clusters``, ``draw`` and the evenness of the
        finest clusters.
    """
    features = DrawnFeatures(n, d)
    with tempfile.TemporaryDirectory() as out:
        start, start_cpu = perf_counter(), process_time()
        draw = curate(features, size=n // 20, out=out, clusters=clusters)
        seconds, cpu_seconds = perf_counter() - start, process_time() - start_cpu
        evenness = json.loads((Path(out) / "curation.json").read_text())["evenness"]["cluster_1"]
    (peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mb": int(peak) / 1024,
        "clusters": list(clusters or cluster_counts(n)),
        "draw": len(draw),
        "evenness": evenness,
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    n_rows, n_features, *counts = sys.argv[1:]
    given = [int(k) for k in counts[0].split(",")] if counts else None
    print(json.dumps(measure(int(n_rows), int(n_features), given)))
