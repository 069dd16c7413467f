"""The `aqqua` command: each verb is one library call."""

import contextlib
import json
import platform
import shutil
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

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
        _stop(error, code=1)
    except KeyboardInterrupt:
        _stop("interrupted; a folder without result.json is not complete.", code=130)
    except OSError as error:
        if type(error).__name__ == "StoreError":
            _stop(error, code=2)
        _stop(f"{error}. Choose a folder that can be written, and check the space left on the disk.", code=2)
    except MissingDependency as error:
        _stop(error, code=2)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("aqqua_demo"),
    seed: Annotated[int, typer.Option(help="Which virtual ocean.", min=0)] = 0,
    as_json: Json = False,
    overwrite: Overwrite = False,
):
    """Map the plankton of a virtual ocean whose true biomass is known. Needs no file and no network."""
    _refuse_to_overwrite(out, overwrite, inputs=("samples.csv", "environment.nc", "recipe.toml"))
    from aqqua_science.synthetic.demonstration import write_demonstration

    truth = write_demonstration(out, rng=seed)
    result = _run(out / "recipe.toml", out=out, extra={"truth": truth})
    _tell(result, out, as_json)
    if not as_json:
        _say_what_next(out)


@app.command(name="map")
def map_(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as maps/copepoda_0_200m/recipe.toml.")],
    data: Annotated[Path | None, typer.Option(help="Folder that the recipe's files are relative to.")] = None,
    out: Out = None,
    months: Annotated[str | None, typer.Option(help="Months to map, such as 6,7,8.")] = None,
    region: Annotated[str | None, typer.Option(help="West,east,south,north in degrees, such as -80,0,20,70.")] = None,
    resolution: Annotated[float | None, typer.Option(help="Degrees to which the mapped grid is averaged.")] = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
):
    """Make the map, budget and report of a recipe."""
    if not recipe.is_file():
        _stop(f"there is no recipe {recipe}. maps/README.md lists those that come along.", code=2)
    out = out or (recipe.parent if recipe.name == "recipe.toml" else Path(recipe.stem))
    _refuse_to_overwrite(out, overwrite)
    if resolution is not None and resolution <= 0:
        _stop(f"--resolution {resolution:g} will not do: give degrees above 0, such as 2.", code=2)
    choices = {
        "months": _numbers(months, "--months", of=int, lower=1, upper=12),
        "region": _numbers(region, "--region", of=float, lower=-180, upper=180, count=4),
        "resolution": resolution,
    }
    if choices["region"] and not -90 <= choices["region"][2] < choices["region"][3] <= 90:
        _stop(f"--region {region!r} will not do: give west,east,south,north with south below north.", code=2)
    if data is not None and not data.is_dir():
        _stop(f"--data {data} is not a folder. Pass the one that holds the recipe's files.", code=2)
    _tell(_run(recipe, data=data, out=out, **choices), out, as_json)


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
        _stop(f"there is no file or folder {path}.{remedy}", code=2)
    defaults, columns = _pairs(default, "--default"), _pairs(column, "--column")
    from aqqua_science.images import ingest as ingest_
    from aqqua_science.images.columns import check_names

    try:
        check_names(defaults, option="--default")
        check_names(columns, option="--column")
    except ValueError as error:
        _stop(error, code=2)
    with _resumable(), _cluster(workers) as client:
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
        _tell_ingest(source, store)
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
    counts = {kind: int(n) for kind, n in findings["kind"].value_counts(sort=False).items()}
    if as_json:
        print(json.dumps({"images": len(found), "findings": counts}))
        return
    print(f"{len(found):,} images, {len(findings):,} findings")
    for kind, n in counts.items():
        print(f"  {kind:17} {n:,}")
    print(f"  page              {page}")


@app.command()
def export(
    store: Annotated[Path, typer.Argument(help="Folder of a store.")],
    to: Annotated[Path, typer.Option(help="Zip to write; EcoTaxa imports it as it is.")],
    objects: Annotated[
        Path | None, typer.Option(help="Parquet with predictions, one row for each image, indexed by row.")
    ] = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
):
    """Write an EcoTaxa import bundle of a store's images, with predictions where they are given."""
    if to.exists() and not overwrite:
        _stop(f"{to} exists already. Pass --overwrite to replace it, or another --to.", code=2)
    if objects is not None and not objects.is_file():
        _stop(f"there is no file {objects}.", code=2)
    import pandas as pd

    from aqqua_science.images import open_store
    from aqqua_science.sources import ecotaxa

    found = open_store(store)
    table = pd.read_parquet(objects) if objects else found.table
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        written = ecotaxa.write(table, found, to, overwrite=overwrite)
    if as_json:
        print(json.dumps({"files": json.loads(written.to_json(orient="records"))}, ensure_ascii=False))
        return
    for row in written.to_dict("records"):
        print(f"{row['file']}: {row['objects']:,} objects, {row['images']:,} images, {row['tables']:,} tables")
        for remark in row["remarks"]:
            print(f"  {remark}")


@app.command()
def check(
    bundle: Annotated[Path, typer.Argument(help="Zip, folder or table that is to be imported into EcoTaxa.")],
    as_json: Json = False,
):
    """Check a bundle by EcoTaxa's import rules, without EcoTaxa."""
    if not bundle.exists():
        _stop(f"there is no file or folder {bundle}.", code=2)
    from aqqua_science.sources import ecotaxa

    faults = ecotaxa.validate(bundle)
    rows = faults[["file", "line", "rule", "message"]].to_dict("records")
    if as_json:
        rows = [row | {"line": int(row["line"])} for row in rows]
        print(json.dumps({"ok": not rows, "faults": rows}, ensure_ascii=False))
    else:
        for row in rows:
            where = f"{row['file']}, line {row['line']}" if row["line"] else row["file"] or bundle
            print(f"{where}: {row['message']} [{row['rule']}]")
        print(f"{len(rows)} fault{'s' * (len(rows) > 1)}" if rows else f"{bundle} can be imported into EcoTaxa.")
    if rows:
        raise SystemExit(1)


@app.command()
def doctor(as_json: Json = False):
    """Print versions, cores and browser: what a bug report needs."""
    import os

    import aqqua_science
    from aqqua_science.optional import versions

    stack = ["numpy", "pandas", "scipy", "xarray", "dask", "zarr", "netCDF4", "pyarrow", "scikit-learn"]
    stack += ["xgboost", "xgboost-cpu", "cartopy", "matplotlib", "panel", "holoviews", "torch"]
    facts = {
        "aqqua_science": aqqua_science.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "browser": next(filter(None, map(shutil.which, ("chromium", "google-chrome", "firefox"))), None),
        "packages": versions(*stack),
    }
    if as_json:
        print(json.dumps(facts))
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v or 'absent'}" for k, v in value.items())
        print(f"{key:14} {value}")


def _run(recipe, *, out, extra=None, **choices):
    """Run a recipe with its figure."""
    from aqqua_science.habitat.production import run_recipe

    def draw(*args, **kwargs):
        from aqqua_science.plot import summary_map

        return summary_map(*args, **kwargs)

    result, _ = run_recipe(recipe, out=out, draw=draw, extra=extra, **choices)
    return result


def _tell(result, out, as_json):
    """Print a result: one JSON document, or a few lines for people."""
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    from aqqua_science.habitat.report import estimate_text, global_row, number

    row = global_row(result)
    print(result["title"])
    print(f"  estimate          {estimate_text(row)}")
    if "truth" in result:
        print(f"  truth             {number(result['truth']['value'])} {result['truth']['units']}")
    if result["reference"]:
        print(f"  published         {number(result['reference']['value'])} {result['reference']['units']}")
    print(f"  map uncorrected   {number(row['mean'])} {row['units']}")
    for scheme in result["validation"]:
        skill = f"R2 {number(scheme['r2'])}, rank correlation {number(scheme['spearman'])}"
        print(f"  skill, {scheme['scheme']:10} {skill}")
    print(f"  extrapolated area {result['extrapolated_area_fraction']:.1%}")
    if result["n_rejected"]:
        share = result["n_rejected"] / (result["n_rejected"] + result["n_samples"])
        print(f"  rejected rows     {result['n_rejected']}, {share:.0%} of all (rejected.csv says why)")
    if result["interval"]["warning"]:
        print(f"  warning           the interval is not claimed to cover: {result['interval']['warning']}")
    print(f"  files             {out / 'report.md'}, map.png, field.nc, result.json")


def _say_what_next(out):
    print(
        f"\nLook at {out / 'map.png'} and read {out / 'report.md'}. Then change a line of {out / 'recipe.toml'}\n"
        f'(say, objective = "tweedie") and run: aqqua map {out / "recipe.toml"} --out {out}_2'
    )


def _pairs(texts, option):
    """Read options of the form name=value."""
    pairs = [text.partition("=") for text in texts or ()]
    for name, equals, value in pairs:
        if not (name and equals and value):
            _stop(f"{option} {name + equals + value!r} will not do: give NAME=VALUE, such as depth=5.", code=2)
    return {name.strip(): value.strip() for name, _, value in pairs}


@contextlib.contextmanager
def _resumable():
    """An interruption loses nothing, and that is said."""
    try:
        yield
    except KeyboardInterrupt:
        _stop("interrupted; the same command goes on where it stopped.", code=130)


@contextlib.contextmanager
def _cluster(workers):
    """A Dask cluster on this machine, or nothing for one worker."""
    if workers == 1:
        yield None
        return
    from aqqua_science.optional import require

    distributed = require("distributed", for_="images")
    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def _tell_ingest(source, store):
    """What an ingest took, what it refused and why, and what it cannot vouch for."""
    print(f"{source['name']}: {source['format']} ({source['evidence']})")
    print(f"  accepted          {source['accepted']:,}")
    for instrument, n in source["by_instrument"].items():
        print(f"    {instrument:15} {n:,}")
    print(f"  rejected          {sum(source['rejected'].values()):,}")
    examples = store.rejected.drop_duplicates("reason").set_index("reason")["particulars"].dropna()
    for reason, n in sorted(source["rejected"].items(), key=lambda r: -r[1]):
        print(f"    {n:<15,} {reason}{f', such as {examples[reason]}' if examples.get(reason) else ''}")
    for column, n in source["supplied"].items():
        print(f"  by default        {column} = {source['defaults'][column]} for {n:,} images")
    if not source["use_for_maps"]:
        print("  maps              the contributors' consent is not recorded: samples of this source stay out of maps")
        print("                    (--use-for-maps records it)")
    print(f"  store             {store.path}, {len(store):,} images")


def _refuse_to_overwrite(out, overwrite, inputs=()):
    if out.exists() and not out.is_dir():
        _stop(f"{out} is a file, not a folder. Pass another --out.", code=2)
    names = ("result.json", "field.nc", "map.png", "report.md", "matchup.csv", "rejected.csv", *inputs)
    held = [name for name in names if (out / name).exists()]
    if held and not overwrite:
        _stop(f"{out} already holds {', '.join(held)}. Pass --overwrite to replace them, or another --out.", code=2)


def _numbers(text, option, *, of, lower, upper, count=None):
    """Read numbers separated by commas."""
    if text is None:
        return None
    try:
        values = [of(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or count not in (None, len(values)) or not all(lower <= v <= upper for v in values):
        wanted = f"{count or 'one or more'} numbers from {lower} to {upper}, separated by commas"
        _stop(f"{option} {text!r} will not do: give {wanted}.", code=2)
    return values


def _stop(message, *, code):
    print(f"aqqua: {message}", file=sys.stderr)
    raise SystemExit(code)
