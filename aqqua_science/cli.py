"""The `aqqua` command: each verb is one library call."""

import json
import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer

from aqqua_science.terminal import (
    known_answers,
    known_encoder,
    local_cluster,
    naming_options,
    numbers,
    pairs,
    refuse_to_overwrite,
    resumable,
    run_and_draw,
    say_what_next,
    show_atlas,
    stop,
    tell,
    tell_benchmark,
    tell_classes,
    tell_facts,
    tell_faults,
    tell_findings,
    tell_ingest,
    tell_run,
    tell_written,
)

app = typer.Typer(
    help="From plankton pixels to planetary budgets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Out = Annotated[Path | None, typer.Option(help="Folder to write to.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Overwrite = Annotated[bool, typer.Option(help="Replace what is already there.")]


def main():
    """Run the command: exit 0 when done, 1 when the input is at fault, 2 when the call is."""
    from aqqua_science.optional import MissingDependency

    try:
        app()
    except ValueError as error:
        stop(error, code=1)
    except KeyboardInterrupt:
        stop("interrupted; a folder without result.json is not complete.", code=130)
    except OSError as error:
        if type(error).__name__ == "StoreError":
            stop(error, code=2)
        stop(f"{error}. Choose a folder that can be written, and check the space left on the disk.", code=2)
    except MissingDependency as error:
        stop(error, code=2)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("aqqua_demo"),
    seed: Annotated[int, typer.Option(help="Which virtual ocean.", min=0)] = 0,
    as_json: Json = False,
    overwrite: Overwrite = False,
):
    """Map the plankton of a virtual ocean whose true biomass is known. Needs no file and no network."""
    refuse_to_overwrite(out, overwrite, inputs=("samples.csv", "environment.nc", "recipe.toml"))
    from aqqua_science.synthetic.demonstration import write_demonstration

    truth = write_demonstration(out, rng=seed)
    result = run_and_draw(out / "recipe.toml", out=out, extra={"truth": truth})
    tell(result, out, as_json)
    if not as_json:
        say_what_next(out)


@app.command(name="map")
def map_(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as maps/copepoda_0_200m/recipe.toml.")],
    data: Annotated[Path | None, typer.Option(help="Folder that the recipe's files are relative to.")] = None,
    out: Out = None,
    months: Annotated[str | None, typer.Option(help="Months to map, such as 6,7,8.")] = None,
    region: Annotated[str | None, typer.Option(help="West,east,south,north in degrees, such as -80,0,20,70.")] = None,
    resolution: Annotated[float | None, typer.Option(help="Degrees to which the mapped grid is averaged.")] = None,
    scenario: Annotated[str | None, typer.Option(help="Scenario of the recipe to map and compare with today.")] = None,
    zarr: Annotated[bool, typer.Option("--zarr", help="Write field.zarr instead of field.nc.")] = False,
    as_json: Json = False,
    overwrite: Overwrite = False,
):
    """Make the map, budget and report of a recipe."""
    if not recipe.is_file():
        stop(f"there is no recipe {recipe}. maps/README.md lists those that come along.", code=2)
    out = out or (recipe.parent if recipe.name == "recipe.toml" else Path(recipe.stem))
    refuse_to_overwrite(out, overwrite)
    if resolution is not None and resolution <= 0:
        stop(f"--resolution {resolution:g} will not do: give degrees above 0, such as 2.", code=2)
    choices = {
        "months": numbers(months, "--months", of=int, lower=1, upper=12),
        "region": numbers(region, "--region", of=float, lower=-180, upper=180, count=4),
        "resolution": resolution,
        "scenario": scenario,
        "zarr": zarr,
    }
    if choices["region"] and not -90 <= choices["region"][2] < choices["region"][3] <= 90:
        stop(f"--region {region!r} will not do: give west,east,south,north with south below north.", code=2)
    if data is not None and not data.is_dir():
        stop(f"--data {data} is not a folder. Pass the one that holds the recipe's files.", code=2)
    tell(run_and_draw(recipe, data=data, out=out, **choices), out, as_json)


@app.command()
def ingest(
    path: Annotated[Path, typer.Argument(help="File, zip or folder of an instrument or portal; found out by looking.")],
    to: Annotated[Path, typer.Option(help="Folder of the store; an existing one gets the source added.")],
    default: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="For images whose files do not tell, such as depth=5. May be repeated."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="Which of the source's columns holds what. May be repeated."),
    ] = None,
    format_: Annotated[str | None, typer.Option("--format", help="Format, where looking finds another.")] = None,
    name: Annotated[str | None, typer.Option(help="How the store calls this source.")] = None,
    citation: Annotated[str | None, typer.Option(help="How to cite the source.")] = None,
    contributor: Annotated[list[str] | None, typer.Option(help="Who gave the images. May be repeated.")] = None,
    use_for_maps: Annotated[
        bool | None,
        typer.Option(
            "--use-for-maps/--no-use-for-maps", help="Whether the contributors agree to maps; no, until said."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that work at the same time.", min=1)] = 1,
    as_json: Json = False,
    overwrite: Annotated[
        bool, typer.Option(help="Read a source anew that the store holds by this name; others stay.")
    ] = False,
):
    """Bring the images of an instrument or portal into a store. Run again, it goes on where it stopped."""
    if not path.exists():
        is_address = str(path).startswith(("http:", "https:"))
        remedy = " Fetch it first: sources.ecotaxa.download, sources.ifcb.download." if is_address else ""
        stop(f"there is no file or folder {path}.{remedy}", code=2)
    defaults, columns = pairs(default, "--default"), pairs(column, "--column")
    from aqqua_science.images import ingest as ingest_
    from aqqua_science.images.columns import check_names

    try:
        check_names(defaults, option="--default")
        check_names(columns, option="--column")
    except ValueError as error:
        stop(error, code=2)
    with resumable(), local_cluster(workers) as client:
        store = ingest_(
            path,
            to,
            defaults=defaults,
            columns=columns,
            format=format_,
            name=name,
            citation=citation,
            contributors=contributor or (),
            use_for_maps=use_for_maps,
            client=client,
            overwrite=overwrite,
        )
    (source,) = [s for s in store.about["sources"] if s["name"] == (name or path.name)]
    if as_json:
        print(json.dumps({k: source[k] for k in ("accepted", "rejected", "by_instrument")}, ensure_ascii=False))
    else:
        tell_ingest(source, store)
    if not source["accepted"]:
        raise SystemExit(1)


@app.command()
def audit(
    store: Annotated[Path, typer.Argument(help="Folder of a store.")],
    out: Annotated[Path | None, typer.Option(help="Page to write; audit.html in the store by default.")] = None,
    as_json: Json = False,
):
    """Find what is wrong with a store's images and metadata, and write a page with pictures of it."""
    from aqqua_science.grids.land import on_land
    from aqqua_science.images import audit as audit_
    from aqqua_science.images import open_store
    from aqqua_science.images.audit_page import write_audit_page

    found = open_store(store)
    findings = audit_(found, land=on_land)
    page = out or store / "audit.html"
    write_audit_page(findings, found, page)
    tell_findings(found, findings, page, as_json)


@app.command()
def export(
    store: Annotated[Path, typer.Argument(help="Folder of a store.")],
    to: Annotated[Path, typer.Option(help="Zip to write; EcoTaxa imports it as it is.")],
    objects: Annotated[
        Path | None, typer.Option(help="Parquet with predictions; its index or column `row` is the store's row.")
    ] = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
):
    """Write an EcoTaxa import bundle of a store's images, with predictions where they are given."""
    if to.exists() and not overwrite:
        stop(f"{to} exists already. Pass --overwrite to replace it, or another --to.", code=2)
    if objects is not None and not objects.is_file():
        stop(f"there is no file {objects}.", code=2)
    import pandas as pd

    from aqqua_science.images import open_store
    from aqqua_science.sources import ecotaxa

    found = open_store(store)
    table = pd.read_parquet(objects) if objects else found.table
    table = table.set_index("row") if objects and "row" in table else table
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        written = ecotaxa.write(table, found, to, overwrite=overwrite)
    tell_written(written, as_json)


@app.command()
def check(
    bundle: Annotated[Path, typer.Argument(help="Zip, folder or table that is to be imported into EcoTaxa.")],
    as_json: Json = False,
):
    """Check a bundle by EcoTaxa's import rules, without EcoTaxa."""
    if not bundle.exists():
        stop(f"there is no file or folder {bundle}.", code=2)
    from aqqua_science.sources import ecotaxa

    faults = ecotaxa.validate(bundle)
    rows = faults[["file", "line", "rule", "message"]].to_dict("records")
    tell_faults(rows, bundle, as_json)
    if rows:
        raise SystemExit(1)


@app.command()
def pretrain(
    store: Annotated[Path, typer.Argument(help="Folder of a store.")],
    config: Annotated[Path, typer.Option(help='JSON file of settings, such as {"vit": "nano", "steps": 500}.')],
    out: Annotated[Path, typer.Option(help="Folder of the run; one that was interrupted goes on.")],
    draw: Annotated[Path | None, typer.Option(help="Parquet of a curation: which images to draw from.")] = None,
    as_json: Json = False,
):
    """Pretrain an encoder on a store's images. Run again, it goes on where it stopped."""
    for file in (config, draw):
        if file is not None and not file.is_file():
            stop(f"there is no file {file}.", code=2)
    import time

    from aqqua_science.optional import require

    require("torch", for_="pretraining")
    from aqqua_science.pretraining.training import pretrain as pretrain_

    started = time.perf_counter()
    with resumable():
        try:
            run = pretrain_(store, config, out=out, draw=draw)
        except FloatingPointError as error:
            stop(error, code=1)
        except MemoryError as error:
            stop(error, code=2)
    tell_run(run, time.perf_counter() - started, as_json)


@app.command()
def embed(
    store: Annotated[Path, typer.Argument(help="Folder of a store.")],
    to: Annotated[Path, typer.Option(help="Folder of the features (Zarr); what was interrupted goes on.")],
    encoder: Annotated[
        str, typer.Option(help="default, measured, an ONNX file, or the folder of a run of pretraining.")
    ] = "default",
    dtype: Annotated[Literal["float32", "float16"], typer.Option(help="How numbers are stored.")] = "float32",
    workers: Annotated[int, typer.Option(help="Processes that work at the same time.", min=1)] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    as_json: Json = False,
    overwrite: Overwrite = False,
):
    """Turn the images of a store into features. Run again, it goes on where it stopped."""
    import time

    known_encoder(encoder)
    from aqqua_science.features import embed as embed_

    started = time.perf_counter()
    with resumable(), naming_options(), local_cluster(workers) as client:
        told = {"dtype": dtype, "client": client, "device": device, "overwrite": overwrite}
        features = embed_(store, encoder, to=to, **told)
    n, d = features.shape
    seconds = round(time.perf_counter() - started, 3)
    if as_json:
        print(json.dumps({"objects": n, "features": d, "seconds": seconds}))
        return
    print(f"{n:,} objects, {d} features of {features.attrs['encoder']}, {seconds:,.1f} s: {to}")


@app.command()
def classify(
    store: Annotated[Path, typer.Argument(help="Folder of a store.")],
    features: Annotated[Path, typer.Option(help="Features of the store, as `aqqua embed` writes them.")],
    to: Annotated[Path, typer.Option(help="Parquet to write: a row for each object.")],
    label: Annotated[str, typer.Option(help="Column of the store with the taxa to learn from.")] = "taxon",
    head: Annotated[
        Literal["logistic", "knn", "forest", "boosting"], typer.Option(help="What learns the taxa.")
    ] = "logistic",
    groups: Annotated[
        str, typer.Option(help="Column of what is never parted between learning and testing, or none.")
    ] = "sample_id",
    abstain_below: Annotated[
        float | None, typer.Option(help="Name no taxon whose probability is below this.", min=0, max=1)
    ] = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
):
    """Learn taxa from the labelled objects of a store, and name all of them."""
    if to.suffix != ".parquet":
        stop(f"--to {to} will not do: the table is a Parquet file; give a name that ends in .parquet.", code=2)
    if to.exists() and not overwrite:
        stop(f"{to} exists already. Pass --overwrite to replace it, or another --to.", code=2)
    from aqqua_science.images import open_store
    from aqqua_science.objects import TaxonClassifier
    from aqqua_science.objects.catalogue import classify_store

    told = {"label": label, "groups": None if groups == "none" else groups}
    told["classifier"] = TaxonClassifier(head, abstain_below=abstain_below)
    with naming_options():
        told = classify_store(open_store(store), features, to=to, overwrite=overwrite, **told)
    tell_classes(told, to, as_json)


@app.command()
def benchmark(
    stores: Annotated[list[Path], typer.Argument(help="Folders of labelled stores.")],
    out: Annotated[Path, typer.Option(help="Folder for benchmark.json and benchmark.html.")],
    encoder: Annotated[
        str | None,
        typer.Option(help="default (unless told), measured, an ONNX file, or the folder of a run of pretraining."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Score these answers instead: Parquet or CSV (commas, semicolons, tabs) with object_id and taxon."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="How the entry is called.")] = None,
    label: Annotated[str, typer.Option(help="Column with the taxa.")] = "taxon",
    beside: Annotated[
        list[Path] | None, typer.Option(help="Folder of another entry, to show beside this one. May be repeated.")
    ] = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
):
    """Judge an encoder, or somebody's answers, on labelled stores: taxa, counts, novelty, sizes, instruments."""
    from aqqua_science.objects.benchmarking import benchmark as benchmark_
    from aqqua_science.objects.benchmarking import score_entry

    told = {"out": out, "label": label, "beside": beside or (), "overwrite": overwrite}
    with resumable(), naming_options():
        if predictions is None:
            known_encoder(encoder or "default")
            found = benchmark_(stores, encoder=encoder or "default", name=name, **told)
        else:
            answers = known_answers(predictions, encoder)
            found = score_entry(stores, answers, name=name or predictions.stem, **told)
    tell_benchmark(found, out, as_json)


@app.command()
def atlas(
    maps: Annotated[Path, typer.Argument(help="Folder of maps, each a folder as `aqqua map` writes it.")],
    port: Annotated[int, typer.Option(help="Port of this machine; 0 takes any that is free.", min=0, max=65535)] = 5006,
    address: Annotated[str, typer.Option(help="Of the network card to listen on.")] = "127.0.0.1",
    origin: Annotated[list[str] | None, typer.Option(help="Name by which browsers reach it; may be repeated.")] = None,
    login: Annotated[Path | None, typer.Option(help="JSON file, name: password, of those who may look.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write pages into this folder instead of serving them.")] = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
):
    """Show maps with their budgets and origins to people with a browser, on this machine or as pages for any server."""
    serving = {"port": port, "address": address, "origins": origin or (), "login": login}
    show_atlas(maps, export, as_json=as_json, overwrite=overwrite, **serving)


@app.command()
def doctor(as_json: Json = False):
    """Print versions, cores and browser: what a bug report needs."""
    tell_facts(as_json)
