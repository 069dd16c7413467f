"""
From a recipe to a published map: field, budget, scores and a report.

Imports stand where the work reaches them, so that a wrong recipe stops before the heavy packages load.
"""

import shutil
import time
from pathlib import Path

from aqqua_science.files import replacing, write_json
from aqqua_science.habitat.recipe import Recipe, read_recipe
from aqqua_science.progress import progress_bar

_STAGES = (
    "match-up",
    "fit",
    "cross-validation",
    "map",
    "uncertainty",
    "applicability",
    "explanation",
    "budget",
    "files",
)

_EXPLAINED = ("importance.png", "responses.png", "drivers.png")


def run_recipe(
    recipe, *, data=None, out=None, months=None, region=None, resolution=None, scenario=None, zarr=False, draw=None,
    extra=None,
):  # fmt: skip
    """
    Make the map, budget and report of a recipe.

    Parameters
    ----------
    recipe : Recipe, str or pathlib.Path
        A recipe or the path of its TOML file.
    data : str or pathlib.Path, optional
        Folder that the recipe's files are relative to; the recipe's own folder is looked into next.
    out : str or pathlib.Path, optional
        Folder to write ``result.json``, ``field.nc``, ``map.tif``, ``budget.csv``, ``report.md``, ``product.json``,
        ``matchup.csv`` and ``rejected.csv`` to; nothing is written by default.
    months : list of int, optional
        Months of the year to map.
    region : tuple of float, optional
        West, east, south, north of the map.
    resolution : float, optional
        Degrees to which the mapped grid is averaged.
    scenario : str, optional
        One of the recipe's scenarios, which is mapped in place of today and compared with it.
    zarr : bool
        Write ``field.zarr`` instead of ``field.nc``, for maps that are read in parts.
    draw : callable, optional
        Given field, result and the options of `aqqua_science.plot.summary_map`, yields names of files and figures.
    extra : dict, optional
        Added to the result, such as the truth of a virtual ocean.

    Returns
    -------
    result : dict
        What ``result.json`` holds.
    field : xarray.Dataset
        What ``field.nc`` holds.

    Raises
    ------
    FileNotFoundError
        If the recipe is a path and not there.
    SchemaError
        If the recipe or what it names is at fault.

    Examples
    --------
    >>> run_recipe("no_such_recipe.toml")
    Traceback (most recent call last):
    ...
    FileNotFoundError: there is no recipe no_such_recipe.toml. ...
    """
    started = time.time()
    folders = [Path(data)] if data is not None else []
    if not isinstance(recipe, Recipe):
        folders.append(Path(recipe).parent)
        recipe = read_recipe(recipe)
    from aqqua_science.habitat.inputs import find_inputs

    with progress_bar(_STAGES, desc=recipe.title, unit="step", leave=False) as bar:
        stage = _stages(bar)
        stage("match-up")
        found = find_inputs(recipe, folders=folders, scenario=scenario)
        from aqqua_science.habitat.preparation import prepare

        inputs = prepare(recipe, found, months=months, region=region, resolution=resolution, scenario=scenario)
        if out is not None:
            Path(out).mkdir(parents=True, exist_ok=True)
        from aqqua_science.habitat.assembly import compute

        result, field = compute(recipe, inputs, stage=stage)
        result |= extra or {}
        clock = time.gmtime(started)
        result["run"] = {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", clock),
            "seconds": round(time.time() - started, 2),
        }
        if out is not None:
            stage("files")
            _write(Path(out), result, field, inputs, draw=draw, zarr=zarr)
        bar.update(1)
    return result, field


def _stages(bar):
    seen = []

    def stage(name):
        if seen:
            bar.update(1)
        seen.append(name)
        bar.set_postfix_str(name)

    return stage


def _write(out, result, field, inputs, *, draw, zarr):
    """Leave the files; ``result.json`` goes first and comes last, so that its presence means all is whole."""
    from aqqua_science.habitat.budget_text import amount_text, global_row, headline_text
    from aqqua_science.habitat.products import write_budget, write_geotiff, write_sheet
    from aqqua_science.habitat.publication import write_netcdf, write_zarr
    from aqqua_science.habitat.report import write_report

    for stale in ("result.json", "rejected.csv", "map.tif", "cycle.png", "uncertainty.png", *_EXPLAINED):
        (out / stale).unlink(missing_ok=True)
    name = next(v for v in field.data_vars if "member" in field[v].dims)
    shutil.rmtree(out / "field.zarr", ignore_errors=True)
    (out / "field.nc").unlink(missing_ok=True)
    if zarr:
        write_zarr(field, out / "field.zarr")
    else:
        write_netcdf(field, out / "field.nc")
    for file, table in [("matchup.csv", inputs.table), ("rejected.csv", inputs.rejected)]:
        if len(table):
            with replacing(out / file) as part:
                table.to_csv(part, index=False)
    if draw is not None:
        row, text = global_row(result), headline_text(result)
        if row["median"] != row["mean"]:
            text += f"; as drawn, uncorrected, {amount_text(row['mean'], row)}"
        if result["interval"]["warning"]:
            text += "; not claimed to cover, see report.md"
        for file, figure in draw(field, result, name=name, samples=inputs.table, budget_text=text):
            with replacing(out / file) as part:
                figure.savefig(part)
    write_report(result, out / "report.md")
    write_budget(result, out / "budget.csv")
    write_geotiff(field, out / "map.tif", name=name)
    write_sheet(result, field, out / "product.json")
    write_json(result, out / "result.json")
