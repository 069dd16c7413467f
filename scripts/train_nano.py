"""
Train the encoder that comes with the package, on images whose licence allows it.

Drawn plankton of all instruments, FlowCam cut-outs (MIT) and IFCB bins (MIT); no image of UVP6 (GPL-3.0) or ISIIS (no
explicit licence), which only judge it.

    python -m scripts.train_nano OUT [--steps 1000]

writes OUT/nano.onnx (float16) and OUT/scores.json; run again, it goes on where it stopped. Needs ../shared/data.
"""

import argparse
from pathlib import Path

import pandas as pd

from aqqua_science.files import write_json
from aqqua_science.images import ingest, open_store
from aqqua_science.pretraining import PretrainConfig, embeddings, export, load, pretrain
from aqqua_science.pretraining.encoders import whole_patches
from aqqua_science.synthetic import images
from benchmarks.embeddings import (
    ANYWHERE,
    BASE,
    DATA,
    SOURCES,
    judge_all,
    judge_scale,
    parts_of,
    untrained,
    whole_store,
)

N_DRAWN = 8_000
PERMITTED = ("flowcam", "ifcb")
ABOUT = {
    "name": "nano",
    "licence": "BSD-3-Clause",
    "trained_on": f"{N_DRAWN:,} drawn pictures (ours), FlowCam cut-outs (MIT), IFCB bins (MIT)",
    "card": "docs/model-card-nano.md",
}


def permitted_store(out):
    """
    Bring the images that may be trained on into one store.

    Parameters
    ----------
    out : pathlib.Path

    Returns
    -------
    ImageStore
    """
    if not (out / "permitted.aqqua" / "dataset.json").exists():
        drawn = ingest(images(N_DRAWN, rng=0), out / "drawn.aqqua")
        real = [ingest(DATA / SOURCES[n][0], out / f"{n}.aqqua", defaults=ANYWHERE | SOURCES[n][1]) for n in PERMITTED]
        drawn.merge(*real, to=out / "permitted.aqqua")
    return open_store(out / "permitted.aqqua")


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.train_nano", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1_000)
    told = parser.parse_args()
    store = permitted_store(told.out)
    config = PretrainConfig(**BASE, steps=told.steps)
    run = pretrain(store, config, out=told.out / "run")
    vit = load(run.path)
    vit.about |= ABOUT
    some = store.table.groupby("instrument").head(20).index
    sizes, depths = store.table["pixel_size_um"], store.table["bit_depth"]
    shown = [whole_patches(store[int(r)], vit, bit_depth=depths[r], pixel_size_um=sizes[r]) for r in some]
    measured = export(vit, told.out / "nano.onnx", precision="float16", patches=shown)
    judged = whole_store(told.out)
    parts = parts_of(judged, 0)
    scores = {
        name: judge_all(lambda rows, n=network: embeddings(n, judged, rows), judged, parts)
        for name, network in {"nano": vit, "untrained": untrained(config)}.items()
    }
    scale = judge_scale(vit, judged, seed=0)
    write_json({"export": measured, "scores": scores, "scale": scale, "steps": told.steps}, told.out / "scores.json")
    print(pd.concat({name: pd.DataFrame(found) for name, found in scores.items()}, axis=1).round(3))


if __name__ == "__main__":
    main()
