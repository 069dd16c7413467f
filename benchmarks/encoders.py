"""
What `aqqua benchmark` asks, on every labelled set at hand: the shipped encoder, measured features, and ZooScan's own.

`python -m benchmarks.encoders OUT` writes a folder for each encoder, with the page in OUT/default, and prints the table
of docs/objects.md. ZooScan's objects come as a table of its classical features, without images, grouped by net sample.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from aqqua_science.images import ingest, open_store
from aqqua_science.objects import benchmark
from aqqua_science.objects.benchmarking import judge
from aqqua_science.objects.leaderboard import table_of
from aqqua_science.objects.protocol import Labelled
from benchmarks.embeddings import ANYWHERE, DATA, SOURCES

STORES = ("uvp6", "isiis", "flowcam")
ENCODERS = ("measured", "default")
ZOOSCAN = "insitu/gkampolis+WandererID/Data/Data.txt"
NO_FEATURES = ["!Item", "Label", "Tag", "Ident", "Status"]
PLACES = ["X", "Y", "XM", "YM", "BX", "BY", "XStart", "YStart", "XMg5", "YMg5", "Angle"]
"""Where on the scan an object lay: nothing that a taxon is known by."""


def zooscan(shared):
    """
    Read ZooScan's objects with their measured features.

    Parameters
    ----------
    shared : pathlib.Path

    Returns
    -------
    Labelled
    """
    table = pd.read_csv(shared / ZOOSCAN, sep="\t")
    sample = table["Label"].str.extract(r"-(\d+)-[^-]*$")[0].to_numpy(str)
    values = table.drop(columns=[*NO_FEATURES, *PLACES]).to_numpy(np.float32)
    metadata = pd.DataFrame({"instrument": "ZooScan", "esd_um": np.nan}, index=table.index)
    return Labelled(values, table["Ident"].to_numpy(str), sample, "sample_id", metadata)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoders", description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    for name in STORES:
        if not (out / f"{name}.aqqua" / "dataset.json").exists():
            path, defaults = SOURCES[name]
            ingest(DATA / path, out / f"{name}.aqqua", defaults=ANYWHERE | defaults)
    stores = [open_store(out / f"{name}.aqqua") for name in STORES]
    entries = []
    for encoder in ENCODERS:
        beside = [out / earlier for earlier in ENCODERS[: len(entries)]]
        entries.append(benchmark(stores, encoder=encoder, out=out / encoder, beside=beside))
    own = {
        "version": entries[0]["version"],
        "name": "ZooScan's own",
        "stores": {"zooscan": judge(zooscan(DATA.parent))},
    }
    table = table_of([*entries, own]).set_index(["store", "entry"]).map(_text)
    with pd.option_context("display.width", 250, "display.max_columns", None):
        print(table.T.to_string())


def _text(score):
    """A number with its interval."""
    if not isinstance(score, dict):
        return "-" if score is None else f"{score:,}" if isinstance(score, int) else f"{score:.3f}"
    return "-" if score["value"] is None else f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"


if __name__ == "__main__":
    main()
