"""What the `aqqua` command says and asks: results for people, options checked, one way to stop."""

import contextlib
import json
import sys
import warnings


def run_and_draw(recipe, *, out, extra=None, **choices):
    """Run a recipe with its figures."""
    from aqqua_science.habitat.production import run_recipe

    result, _ = run_recipe(recipe, out=out, draw=_figures, extra=extra, **choices)
    return result


def _figures(field, result, **map_options):
    """The map, the year of each region where there are months, and what the predictors do."""
    import pandas as pd

    from aqqua_science.habitat.budget_text import has_year
    from aqqua_science.plot import (
        cycle_chart,
        driver_map,
        importance_chart,
        response_chart,
        summary_map,
        waterfall_chart,
    )

    yield "map.png", summary_map(field, title=result["title"], **map_options)
    budget = pd.DataFrame(result["budget"])
    first = budget[budget["regions"] == budget["regions"].iloc[0]]
    if has_year(result):
        yield "cycle.png", cycle_chart(first, title=f"{result['title']}: the year of each region")
    if result["uncertainty"]:
        ledger, units = pd.DataFrame(result["uncertainty"]), result["budget"][0]["units"]
        yield (
            "uncertainty.png",
            waterfall_chart(ledger, units=units, title=f"{result['title']}: its uncertainty").figure,
        )
    explanation = result["explanation"]
    if "importance" in explanation:
        yield "importance.png", importance_chart(pd.DataFrame(explanation["importance"]), title=result["title"]).figure
    if "effects" in explanation:
        units = result["provenance"]["recipe"]["observations"]["units"]
        curves = pd.DataFrame(explanation["effects"])
        yield "responses.png", response_chart(curves, units=units, title=result["title"])
    if "driver" in field:
        yield "drivers.png", driver_map(field, title=f"{result['title']}: what drives it").figure


def tell(result, out, as_json):
    """Print a result: one JSON document, or a few lines for people."""
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    from aqqua_science.habitat.budget_text import global_row, headline_text, number

    row = global_row(result)
    print(result["title"])
    print(f"  estimate          {headline_text(result)}")
    if "truth" in result:
        print(f"  truth             {number(result['truth']['value'])} {result['truth']['units']}")
    for told in result["references"]:
        print(f"  published         {number(told['value'])} {told['units']} ({told['source']})")
    for change in result["changes"][:1]:
        span = f"{number(change['low'])}-{number(change['high'])}"
        print(f"  against today     {number(change['ratio'])} times ({change['level']:.0%} of refits {span})")
    print(f"  map uncorrected   {number(row['mean'])} {row['units']}")
    for scheme in result["validation"]:
        skill = f"R2 {number(scheme['r2'])}, rank correlation {number(scheme['spearman'])}"
        print(f"  skill, {scheme['scheme']:10} {skill}")
    print(f"  extrapolated area {result['extrapolated_area_fraction']:.1%}")
    if result["n_rejected"]:
        share = result["n_rejected"] / (result["n_rejected"] + result["n_observations"])
        print(f"  rejected rows     {result['n_rejected']}, {share:.0%} of all (rejected.csv says why)")
    if result["interval"]["warning"]:
        print(f"  warning           the interval is not claimed to cover: {result['interval']['warning']}")
    field = "field.zarr" if (out / "field.zarr").exists() else "field.nc"
    print(f"  files             {out / 'report.md'}, map.png, map.tif, {field}, budget.csv, result.json")


def say_what_next(out):
    print(
        f"\nLook at {out / 'map.png'} and read {out / 'report.md'}. Then change a line of {out / 'recipe.toml'}\n"
        f'(say, objective = "tweedie") and run: aqqua map {out / "recipe.toml"} --out {out}_2'
    )


def pairs(texts, option):
    """Read options of the form name=value."""
    pairs = [text.partition("=") for text in texts or ()]
    for name, equals, value in pairs:
        if not (name and equals and value):
            stop(f"{option} {name + equals + value!r} will not do: give NAME=VALUE, such as depth=5.", code=2)
    return {name.strip(): value.strip() for name, _, value in pairs}


@contextlib.contextmanager
def resumable():
    """An interruption loses nothing, and that is said."""
    try:
        yield
    except KeyboardInterrupt:
        stop("interrupted; the same command goes on where it stopped.", code=130)


def known_encoder(encoder):
    """Leave with exit code 2 where there is no such encoder."""
    from aqqua_science.features.encoders import locate

    try:
        locate(encoder)
    except ValueError as error:
        stop(error, code=2)


def known_answers(predictions, encoder):
    """Answers of a file; leave with exit code 2 where an encoder is to answer too, or the file cannot be read."""
    from aqqua_science.objects.answers import read_answers

    if encoder is not None:
        stop("--predictions are answers, and --encoder would give others. Leave out one of the two.", code=2)
    if not predictions.is_file():
        stop(f"there is no file {predictions}.", code=2)
    try:
        return read_answers(predictions)
    except ValueError as error:
        stop(error, code=2)


_OPTIONS = {"groups=None": "--groups none", "groups=": "--groups", "label=": "--label"}
_OPTIONS |= {"another to=": "another --to", "overwrite=True": "--overwrite", "features.embed(...)": "`aqqua embed`"}


@contextlib.contextmanager
def naming_options():
    """What the library says of its arguments, in errors and warnings, is said of the options of a command."""

    def told(message):
        for argument, option in _OPTIONS.items():
            message = message.replace(argument, option)
        return message

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            yield
        except (ValueError, OSError) as error:
            error.args = tuple(told(part) if isinstance(part, str) else part for part in error.args)
            raise
        finally:
            for warning in heard:
                print(f"aqqua: {told(str(warning.message))}", file=sys.stderr)


@contextlib.contextmanager
def local_cluster(workers):
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


def tell_ingest(source, store):
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


def tell_run(run, seconds, as_json):
    """What a pretraining came to."""
    last = run.log.iloc[-1]
    evaluations = run.evaluations
    if as_json:
        from aqqua_science.files import plain

        found = {"run": str(run.path), "steps": int(last["step"]), "loss": float(last["loss"]), "seconds": seconds}
        found["evaluation"] = evaluations.to_dict("records")[-1] if len(evaluations) else {}
        print(json.dumps(plain(found), ensure_ascii=False))
        return
    for name, value in {"run": run.path, **run.summary, "encoder": run.encoder, "took": f"{seconds:,.0f} s"}.items():
        print(f"{name.replace('_', ' '):18} {value}")


def tell_classes(found, to, as_json):
    """What a classifier named, what it did not, and how it did on objects that were held out."""
    if as_json:
        print(json.dumps(found))
        return
    print(f"{found['objects']:,} objects, {found['classes']} taxa: {to}")
    print(f"  {'learned from':28} {found['labelled']:,} objects")
    unreadable = f" ({found['unreadable']:,} images could not be read)" if found["unreadable"] else ""
    print(f"  {'without a taxon':28} {found['abstained']:,}{unreadable}")
    if untested := found["untested_classes"]:
        print(f"  {'taxa not tested':28} {len(untested)}: {', '.join(map(str, untested))}")
    if found["scores"]:
        print(f"scores of {found['calibration']['n_objects']:,} objects, each held out from what named it:")
    for name, value in (found["scores"] or {}).items():
        print(f"  {name.replace('_', ' '):28} {value:.3f}")


def tell_benchmark(found, out, as_json):
    """What an entry scores on each store, what it left unanswered, and how far instruments are told apart."""
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    from aqqua_science.objects.glossary import GLOSSARY
    from aqqua_science.objects.leaderboard import at

    shown = [*GLOSSARY["Taxa"], *GLOSSARY["Never-seen taxa"], *GLOSSARY["Counts"]]
    for store, part in found["stores"].items():
        print(f"{store}: {part['objects']:,} objects (90 % intervals)")
        for metric in shown:
            if text := _score_text(at(part, metric.path)):
                print(f"  {metric.name:24} {text}")
        if part.get("unanswered"):
            print(f"  {'unanswered':24} {part['unanswered']:,} objects, which count as wrong")
    if told := at(found, ("together", "instrument")):
        guessing = f"(guessing: {told['chance']:.3f}): what an encoder should not shout"
        print(f"{'instruments told apart':26} {told['balanced_accuracy']:.3f} {guessing}")
    print(f"page: {out / 'benchmark.html'}")


def _score_text(score):
    """A score with its interval where it has one; None where there is none."""
    if not isinstance(score, dict):
        return None if score is None else f"{score:.3f}"
    ends = score["low"], score["high"]
    span = "" if None in ends else f" ({ends[0]:.3f} to {ends[1]:.3f})"
    return None if score["value"] is None else f"{score['value']:.3f}{span}"


def tell_findings(store, findings, page, as_json):
    """What an audit found."""
    counts = {kind: int(n) for kind, n in findings["kind"].value_counts(sort=False).items()}
    if as_json:
        print(json.dumps({"images": len(store), "findings": counts}))
        return
    print(f"{len(store):,} images, {len(findings):,} findings")
    for kind, n in counts.items():
        print(f"  {kind:17} {n:,}")
    print(f"  page              {page}")


def tell_faults(rows, bundle, as_json):
    """What keeps a bundle out of EcoTaxa."""
    if as_json:
        rows = [row | {"line": int(row["line"])} for row in rows]
        print(json.dumps({"ok": not rows, "faults": rows}, ensure_ascii=False))
        return
    for row in rows:
        where = f"{row['file']}, line {row['line']}" if row["line"] else row["file"] or bundle
        print(f"{where}: {row['message']} [{row['rule']}]")
    print(f"{len(rows)} fault{'s' * (len(rows) > 1)}" if rows else f"{bundle} can be imported into EcoTaxa.")


def tell_written(written, as_json):
    """Which bundles were written, with what in them."""
    if as_json:
        print(json.dumps({"files": json.loads(written.to_json(orient="records"))}, ensure_ascii=False))
        return
    for row in written.to_dict("records"):
        print(f"{row['file']}: {row['objects']:,} objects, {row['images']:,} images, {row['tables']:,} tables")
        for remark in row["remarks"]:
            print(f"  {remark}")


def show_atlas(maps, export, *, as_json, overwrite, **serving):
    """Write an atlas as pages, or serve it until somebody stops it."""
    from aqqua_science.optional import require

    if not maps.is_dir():
        stop(f"there is no folder {maps}. Pass the one that holds the folders of maps.", code=2)
    try:
        if export is not None:
            from aqqua_science.apps.export import export_site

            tell_atlas(export_site(maps, export, overwrite=overwrite), export / "index.html", as_json)
            return
        require("panel", for_="apps")
        from aqqua_science.apps.atlas import Atlas
        from aqqua_science.apps.serving import open_server

        first = Atlas(maps)
        first.warm_up()
        server = open_server(lambda: Atlas(maps).page(), title="Atlas of plankton maps", **serving)
    except (FileExistsError, ValueError) as error:
        stop(str(error).replace("overwrite=True", "--overwrite"), code=2)
    tell_atlas(first.catalogue, f"http://{server.address}:{server.port}", as_json)
    server.run_until_shutdown()


def tell_atlas(catalogue, address, as_json):
    """Where an atlas is to be seen, and what is not in it."""
    if as_json:
        told = {"maps": list(catalogue.products), "refused": catalogue.refused, "address": str(address)}
        print(json.dumps(told, ensure_ascii=False), flush=True)
        return
    print(f"{len(catalogue.products)} maps: {address}", flush=True)
    for name, reason in catalogue.refused.items():
        print(f"  not shown         {name}: {reason}", flush=True)


def tell_facts(as_json):
    """Print what a bug report needs."""
    import os
    import platform
    import shutil

    import aqqua_science
    from aqqua_science.optional import versions

    stack = ["numpy", "pandas", "scipy", "xarray", "dask", "zarr", "netCDF4", "pyarrow", "scikit-learn", "xgboost"]
    stack += [
        "xgboost-cpu",
        "cartopy",
        "matplotlib",
        "panel",
        "holoviews",
        "onnxruntime",
        "umap-learn",
        "usearch",
        "torch",
    ]
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


def refuse_to_overwrite(out, overwrite, inputs=()):
    if out.exists() and not out.is_dir():
        stop(f"{out} is a file, not a folder. Pass another --out.", code=2)
    names = ("result.json", "field.nc", "field.zarr", "map.png", "report.md", "matchup.csv", "rejected.csv", *inputs)
    held = [name for name in names if (out / name).exists()]
    if held and not overwrite:
        stop(f"{out} already holds {', '.join(held)}. Pass --overwrite to replace them, or another --out.", code=2)


def numbers(text, option, *, of, lower, upper, count=None):
    """Read numbers separated by commas."""
    if text is None:
        return None
    try:
        values = [of(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or count not in (None, len(values)) or not all(lower <= v <= upper for v in values):
        wanted = f"{count or 'one or more'} numbers from {lower} to {upper}, separated by commas"
        stop(f"{option} {text!r} will not do: give {wanted}.", code=2)
    return values


def stop(message, *, code):
    print(f"aqqua: {message}", file=sys.stderr)
    raise SystemExit(code)
