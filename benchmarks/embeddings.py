"""
What pretrained embeddings know, against an untrained network, measured features and square images, on real images.

`python -m benchmarks.embeddings OUT [--parts main scale left-out ablations] [--seeds 5] [--steps 600] [--vit pico]`
trains every variant for every seed and writes OUT/scores.jsonl, a line for each; it goes on where it stopped, or from a
copy of benchmarks/scores/embeddings.jsonl. `--table` prints the tables of what is there.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA

from aqqua_science.images import ingest, open_store
from aqqua_science.images.measurements import measure_all
from aqqua_science.images.patches import average_area, cut, intensities, shrink
from aqqua_science.images.sizes import esd_um
from aqqua_science.pretraining import PretrainConfig, embeddings, load, pretrain, probes
from aqqua_science.pretraining.packing import pack
from aqqua_science.pretraining.runs import append_line, read_lines
from aqqua_science.pretraining.student import new_vit
from aqqua_science.pretraining.training import computes_bfloat16
from aqqua_science.progress import progress_bar

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "images"

ANYWHERE = {"time": "2020-01-01", "latitude": 0, "longitude": 0, "depth": 10}
SOURCES = {
    "uvp6": ("ecotaxa+uvpec/test/img_sample", {"pixel_size_um": 73, "instrument": "UVP6", "licence": "GPL-3.0"}),
    "isiis": ("isiis_planktonset1", {"pixel_size_um": 68, "instrument": "ISIIS", "licence": "unknown"}),
    "isiis_unlabelled": (
        "isiis_planktonset1_unlabelled.zip",
        {"pixel_size_um": 68, "instrument": "ISIIS", "licence": "unknown"},
    ),
    "flowcam": (
        "VickoT+FlowCam_Image_Classifier/Training/data/classes",
        {"pixel_size_um": 0.5544, "instrument": "FlowCam", "licence": "MIT"},
    ),
    "ifcb": ("joefutrelle+pyifcb", {"pixel_size_um": 0.294, "licence": "MIT"}),
}
"""Store -> folder and what its files do not tell."""

JUDGED = ("UVP6", "ISIIS", "FlowCam")
TEST_SHARE = 0.3
WHITE = 0.999
"""Share of the variance that the whitened features keep."""
MOST = 4_000
"""Images of one instrument that are trained on; ISIIS has 14,000 others."""

PRECISION = "bfloat16" if computes_bfloat16() else "float32"

BASE = {
    "vit": "nano", "registers": 1, "tokens_per_batch": 1_536, "prototypes": 512, "precision": PRECISION,
    "optimizer": "muon", "learning_rate": 2e-3, "momentum": (0.98, 1.0), "student_temperature": 0.06,
    "teacher_temperature": (0.02, 0.03),
    "ibot_weight": 0.0, "koleo_weight": 0.02, "checkpoint_every": 100,
    "guides": {"measured": {"kind": "auxiliary", "weight": 5.0}},
    "views": {"n_local": 0, "global_area": (0.8, 1.0), "sampling": (0.7, 1.3)},
}  # fmt: skip
"""The recipe for half an hour on a processor: small batches, sharp targets, two views, a guide."""

ORDINARY = {"positions": "grid", "pixel_size_token": False}
MAIN = {"ours": {}, "square": ORDINARY | {"views": {"square": 70}}}
SCALE = {"ours": {}, "ordinary positions": ORDINARY}
LEFT_OUT = {f"without {name}": {} for name in JUDGED}
ABLATIONS = {
    "ibot for dino": {"dino_weight": 0.0, "ibot_weight": 1.0},
    "with ibot": {"ibot_weight": 1.0},
    "no koleo": {"koleo_weight": 0.0},
    "with gram": {"gram_weight": 1.0},
    "no measured guide": {"guides": {}},
    "guide nearly alone": {"dino_weight": 0.01, "koleo_weight": 0.0},
    "instrument unlearned": {"guides": BASE["guides"] | {"instrument": {"kind": "adversarial", "weight": 0.1}}},
    "no rotation": {"views": {"rotate": False}},
    "no flips": {"views": {"flip": False}},
    "one sampling rate": {"views": {"sampling": (1.0, 1.0)}},
    "no intensity": {"views": {"intensity": 0.0}},
    "no background": {"views": {"background": 0.0}},
    "no noise": {"views": {"noise": 0.0}},
    "with small views": {"views": {"n_local": 4}},
    "all channels": {"views": {"channels": False}},
    "linear stem": {"stem": "linear"},
    "adamw": {"optimizer": "adamw"},
    "ordinary positions": ORDINARY,
    "no pixel-size token": {"pixel_size_token": False},
}
PARTS = {"main": MAIN, "scale": SCALE, "left-out": LEFT_OUT, "ablations": {"ours": {}} | ABLATIONS}


def settings_of(variant, *, seed, steps, vit=BASE["vit"]):
    """
    Put together what a variant is trained with.

    Parameters
    ----------
    variant : str
    seed, steps : int
    vit : str

    Returns
    -------
    PretrainConfig
    """
    changes = next(part[variant] for part in PARTS.values() if variant in part)
    views = BASE["views"] | changes.get("views", {})
    return PretrainConfig(**(BASE | changes | {"views": views, "seed": seed, "steps": steps, "vit": vit}))


def whole_store(out):
    """
    Bring all real images into one store.

    Parameters
    ----------
    out : pathlib.Path

    Returns
    -------
    ImageStore
    """
    if not (out / "all.aqqua" / "dataset.json").exists():
        stores = [ingest(DATA / p, out / f"{n}.aqqua", defaults=ANYWHERE | d) for n, (p, d) in SOURCES.items()]
        stores[0].merge(*stores[1:], to=out / "all.aqqua")
    return open_store(out / "all.aqqua")


def parts_of(store, seed):
    """
    Split the labelled images of each instrument.

    Parameters
    ----------
    store : ImageStore
    seed : int

    Returns
    -------
    dict of str to (rows, train, test)
        Rows of the store, and places within them.
    """
    table, found = store.table, {}
    for instrument in JUDGED:
        rows = np.flatnonzero((table["instrument"] == instrument) & table["taxon"].notna())
        found[instrument] = (rows, *probes.split(table["taxon"].to_numpy()[rows], rng=seed, test_share=TEST_SHARE))
    return found


def train(store, parts, out, *, variant, config):
    """
    Pretrain a variant on images that are not held back, at most `MOST` of an instrument.

    Parameters
    ----------
    store : ImageStore
    parts : dict
        As `parts_of` gives it.
    out : pathlib.Path
    variant : str
    config : PretrainConfig
        Of `settings_of`.

    Returns
    -------
    ViT
    """
    held = np.concatenate([rows[test] for rows, _, test in parts.values()])
    kept = np.setdiff1d(np.arange(len(store)), held)
    if variant.startswith("without "):
        kept = kept[(store.table["instrument"] != variant.removeprefix("without ")).to_numpy()[kept]]
    by_instrument = store.table["instrument"].iloc[np.random.default_rng(config.seed).permutation(kept)]
    kept = np.sort(by_instrument.groupby(by_instrument).head(MOST).index)
    out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"row": kept}).to_parquet(out / "draw.parquet")
    run = pretrain(store, config, out=out / "run", draw=out / "draw.parquet")
    return load(run.path)


def untrained(config):
    """
    Make the network that a run begins with.

    Parameters
    ----------
    config : PretrainConfig

    Returns
    -------
    ViT
    """
    torch.manual_seed(config.seed)
    vit = new_vit(config).eval()
    vit.about = {"max_tokens": config.token_limit, "square": config.views.square}
    return vit


def judge(features, labels, *, train, test):
    """
    Score one set of features by the same heads on the same split.

    Parameters
    ----------
    features : numpy.ndarray, shape (image, feature)
    labels : numpy.ndarray, shape (image,)
    train, test : numpy.ndarray of int

    Returns
    -------
    dict of str to float
    """
    spread = features[train].std(0)
    standard = (features - features[train].mean(0)) / np.where(spread > 0, spread, 1)
    white = PCA(whiten=True, n_components=WHITE, random_state=0).fit(standard[train]).transform(standard)
    return {
        "knn": probes.knn_accuracy(features, labels, train=train, test=test),
        "knn_standardised": probes.knn_accuracy(standard, labels, train=train, test=test),
        "knn_whitened": probes.knn_accuracy(white, labels, train=train, test=test),
        "linear_balanced": probes.linear_probe(features, labels, train=train, test=test)["balanced_accuracy"],
        "rank_me": probes.rank_me(features),
        "uniformity": probes.uniformity(features),
        **probes.purity(features, labels),
    }


def judge_all(embed, store, parts):
    """
    Score features on each instrument.

    Parameters
    ----------
    embed : callable
        Rows of the store -> features.
    store : ImageStore
    parts : dict

    Returns
    -------
    dict of str to dict
    """
    labels = store.table["taxon"].to_numpy()
    split = {name: (rows, {"train": train, "test": test}) for name, (rows, train, test) in parts.items()}
    return {name: judge(embed(rows), labels[rows], **where) for name, (rows, where) in split.items()}


def judge_scale(vit, store, *, seed, n=200):
    """
    See what an embedding keeps of an object that is sampled half or twice as finely, and what it knows of its size.

    Parameters
    ----------
    vit : ViT
    store : ImageStore
    seed : int
    n : int
        Images of each instrument.

    Returns
    -------
    dict of str to float
        For 0.5 and 2: mean cosine with the original; the same after the mean embedding was taken off; the share of
        objects that find their own original first. R2 of log10 ESD by ridge regression on a random split of all
        instruments, and on each instrument by those of the others.
    """
    rng, table = np.random.default_rng(seed), store.table
    rows = np.concatenate([rng.permutation(np.flatnonzero(table["instrument"] == i))[:n] for i in JUDGED])
    images = [intensities(store[int(r)], bit_depth=table["bit_depth"][r]) for r in rows]
    sizes = table["pixel_size_um"].to_numpy()[rows]
    original = _embed(vit, images, sizes)
    found = {}
    for factor in (0.5, 2.0):
        resampled = [_resampled(image, factor) for image in images]
        other = _embed(vit, [image for image, _ in resampled], sizes / [rate for _, rate in resampled])
        found |= _likeness(original, other, f"{factor:g}x")
    esd = np.log10([esd_um(image, pixel_size_um=size) for image, size in zip(images, sizes, strict=True)])
    known, instruments = np.isfinite(esd), table["instrument"].to_numpy()[rows]
    train, test = probes.split(np.where(known, instruments, None), rng=seed)
    found["esd_r2"] = probes.regression_probe(original, esd, train=train, test=test)
    for instrument in JUDGED:
        where = [np.flatnonzero(known & mask) for mask in (instruments != instrument, instruments == instrument)]
        found[f"esd_r2 {instrument} from others"] = probes.regression_probe(
            original, esd, train=where[0], test=where[1]
        )
    return found


def _likeness(original, other, name):
    """How like an embedding stays, plainly and beside other objects."""

    def cosines(a, b):
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        return a @ b.T

    mean = original.mean(0)
    centred = cosines(original - mean, other - mean)
    return {
        f"cosine {name}": float(np.diag(cosines(original, other)).mean()),
        f"centred cosine {name}": float(np.diag(centred).mean()),
        f"finds itself {name}": float((centred.argmax(0) == np.arange(len(other))).mean()),
    }


def _resampled(image, factor):
    """An image sampled more or less finely, and the rate that whole pixels allow."""
    shape = tuple(max(1, round(side * factor)) for side in image.shape[1:])
    rate = float(np.sqrt(np.prod(shape) / np.prod(image.shape[1:])))
    if factor < 1:
        return average_area(image, shape), rate
    tensor = torch.from_numpy(image)[None]
    return torch.nn.functional.interpolate(tensor, shape, mode="bilinear", antialias=True)[0].numpy(), rate


@torch.inference_mode()
def _embed(vit, images, sizes):
    patch_size, patches = vit.settings["patch_size"], []
    for image, size in zip(images, sizes, strict=True):
        told = {"patch_size": patch_size, "max_tokens": vit.about["max_tokens"]}
        view, seen_size = shrink(image, pixel_size_um=size, **told)
        patches.append(cut(view, pixel_size_um=seen_size, patch_size=patch_size))
    return np.concatenate([vit(pack(patches[k : k + 64])).cls.numpy() for k in range(0, len(patches), 64)])


def run_part(part, store, out, *, seeds, steps, vit):
    """
    Train and score what is not yet there of one part.

    Parameters
    ----------
    part : {"main", "scale", "left-out", "ablations"}
    store : ImageStore
    out : pathlib.Path
    seeds : list of int
    steps : int
    vit : str
    """
    keys = ("variant", "seed", "steps", "vit")
    done = {tuple(({"vit": BASE["vit"]} | line)[key] for key in keys) for line in read_lines(out / "scores.jsonl")}
    wanted = [(v, s) for s in seeds for v in PARTS[part] if (v, s, steps, vit) not in done]
    for variant, seed in progress_bar(wanted, desc=part):
        parts, config = parts_of(store, seed), settings_of(variant, seed=seed, steps=steps, vit=vit)
        folder = out / f"{variant}-{seed}-{steps}-{vit}".replace(" ", "-")
        start = time.perf_counter()
        trained = train(store, parts, folder, variant=variant, config=config)
        seconds = time.perf_counter() - start
        line = {"variant": variant, "seed": seed, "steps": steps, "vit": vit, "seconds": seconds}
        networks = {"": trained} | ({} if part in ("left-out", "ablations") else {"untrained ": untrained(config)})
        for name, network in networks.items():
            line[f"{name}scores"] = judge_all(lambda rows, n=network: embeddings(n, store, rows), store, parts)
            line[f"{name}scale"] = judge_scale(network, store, seed=seed) if config.views.square is None else {}
        append_line(out / "scores.jsonl", line)


def measured(store, out, *, seeds):
    """
    Score the classical features on the same splits.

    Parameters
    ----------
    store : ImageStore
    out : pathlib.Path
    seeds : list of int
    """
    done = {line["seed"] for line in read_lines(out / "measured.jsonl")}
    rows = np.concatenate([rows for rows, *_ in parts_of(store, 0).values()])
    file = out / "measured.npy"
    if not file.exists():
        np.save(file, measure_all(store, rows))
    values = pd.DataFrame(np.load(file), index=rows)
    for seed in [s for s in seeds if s not in done]:
        scores = judge_all(lambda rows: values.loc[rows].to_numpy(), store, parts_of(store, seed))
        append_line(out / "measured.jsonl", {"seed": seed, "scores": scores})


def table(out):
    """
    Put the scores side by side: mean over the seeds, and their standard deviation.

    Parameters
    ----------
    out : pathlib.Path

    Returns
    -------
    pandas.DataFrame
        Variants by instrument and score, and by measure of scale.
    """
    rows = []
    for line in read_lines(out / "scores.jsonl"):
        for kind in [k for k in ("", "untrained ") if f"{k}scores" in line]:
            name = f"{kind}{line['variant']} ({line.get('vit', BASE['vit'])}, {line['steps']})"
            rows += [
                (name, line["seed"], f"{i} {k}", v) for i, s in line[f"{kind}scores"].items() for k, v in s.items()
            ]
            rows += [(name, line["seed"], k, v) for k, v in line[f"{kind}scale"].items()]
    for line in read_lines(out / "measured.jsonl"):
        rows += [("measured", line["seed"], f"{i} {k}", v) for i, s in line["scores"].items() for k, v in s.items()]
    whole = pd.DataFrame(rows, columns=["variant", "seed", "score", "value"]).drop_duplicates(
        ["variant", "seed", "score"]
    )

    def text(values):
        return (
            f"{values.mean():.3f} ± {values.std():.3f} ({len(values)})" if len(values) > 1 else f"{values.mean():.3f}"
        )

    return whole.pivot_table("value", index="score", columns="variant", aggfunc=text)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embeddings", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=["main", "scale", "left-out", "ablations"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--vit", default=BASE["vit"], help="pico trains in a tenth of the time")
    parser.add_argument("--table", action="store_true", help="print what is there and train nothing")
    told = parser.parse_args()
    if not told.table:
        store = whole_store(told.out)
        measured(store, told.out, seeds=told.seeds)
        for part in told.parts:
            run_part(part, store, told.out, seeds=told.seeds, steps=told.steps, vit=told.vit)
    with pd.option_context("display.width", 250, "display.max_columns", None, "display.max_rows", None):
        print(table(told.out))


if __name__ == "__main__":
    main()
