"""
Write the recipes of maps/, run them, and list them in maps/README.md.

    python scripts/make_maps.py DATA [--only NAME ...] [--list]

DATA is the folder that holds drago2022/. Maps that are already made are kept unless named by --only;
--list writes only the page.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from aqqua_science.files import replacing
from aqqua_science.habitat.budget_text import full_interval, global_row, number
from aqqua_science.habitat.report import has_skill

MAPS = Path(__file__).resolve().parents[1] / "maps"
CREDIT = "Biomass from UVP5 images and predictors: Drago et al. 2022, Frontiers in Marine Science 9: 894372 (article CC BY 4.0)"
TAXA = """
    Acantharea Annelida Appendicularia Chaetognatha Cnidaria Cnidaria_others Collodaria_colonial Collodaria_others
    Copepoda Copepoda_refit Crustacea_others Ctenophora Eumalacostraca Foraminifera Hydrozoa_others Mollusca_others
    Ostracoda Phaeodaria Rhizaria Rhizaria_others Siphonophorae
""".split()
RARE = ["Doliolida", "Limacinidae"]
FLUXES = ["poc_flux_100m", "poc_flux_1000m"]
NETS = ["tara_abundance", "tara_diversity", "tara_esd"]
AGGREGATES = {"Rhizaria", "Cnidaria", "Copepoda_refit"}
REFERENCES = {
    "copepoda_0_200m": (0.0829, "Drago et al. 2022, published map integrated over 340.28e12 m2"),
    "rhizaria_0_200m": (0.089, "Biard et al. 2016, Rhizaria above 600 um, top 200 m"),
    "total_0_200m": (0.229, "Drago et al. 2022, zooplankton 0.765-37.5 mm ESD, 0-200 m"),
}
REMARKS = {
    "copepoda_0_200m": (
        "What differs from the published map, which `maps/drago2022_copepoda_0_200m` reproduces: all 892 cells are fitted "
        "instead of the 710 of the study's training part; cells where a predictor is missing stay blank instead of being "
        "predicted from a branch the trees hardly learned; water below the sea floor is not counted; and half of what "
        "held-out blocks suggest is added, because boosted trees shrink towards the mean where samples are few. The first three "
        "change the total by a few percent and nearly cancel; the last raises it by about a fifth. The published value lies inside the interval."
    ),
}
GELATINOUS = {"Appendicularia", "Cnidaria", "Cnidaria_others", "Ctenophora", "Hydrozoa_others", "Siphonophorae"}
CARBON_SD, CARBON_SD_GELATINOUS = 0.23, 0.35
"""Of the logarithm: what every animal shares, 0.1 and 0.15 decades as in objects/carbon_relations.csv."""
PREDICTORS = [
    "temperature",
    "salinity",
    "silicate",
    "phosphate",
    "nitrate",
    "oxygen",
    "chlorophyll",
    "bathymetry",
    "distance_to_coast",
]

RECIPE = """\
title = "{title}"
credit = "{credit}"
{remarks}[observations]
file = "drago2022/biomass_0_200m.csv"
target = "biomass_sphere_mgC_m3"
units = "mg m-3"
where = {{ taxon = {taxon} }}
{sum_over}[environment]
files = ["drago2022/environment_0_200m.nc"]
predictors = [{predictors}]
[model]
objective = "poisson"
n_members = 100
resampling = "stratified"
n_trees = 222
learning_rate = 0.075
max_depth = 4
min_child_weight = 3
subsample = 0.5
tree_method = "exact"
base_score = 0.5
missing = "refuse"
random_state = 0
[uncertainty]
draws = {{ "shape of bodies" = "biomass_*_mgC_m3" }}
factors = {{ "carbon relation" = {carbon_sd} }}
objectives = ["tweedie", "log"]
learners = ["forest", "splines"]
[validation]
folds = 5
blocks_degrees = 15
[budget]
depth = [0, 200]
regions = "basins"
clip_to_seafloor = true
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--list", action="store_true")
    choice = parser.parse_args()
    if not choice.list:
        for taxon in TAXA:
            name = f"{taxon.lower()}_0_200m"
            make(name, recipe_of(taxon.replace("_", " "), [taxon], remarks=REMARKS.get(name)), choice)
        make("drago2022_copepoda_0_200m", None, choice)
        members = [t for t in TAXA if t not in AGGREGATES] + RARE
        make("total_0_200m", recipe_of("Zooplankton", members), choice)
        skilled = [t for t in members if t not in RARE and has_skill(result_of(f"{t.lower()}_0_200m"))]
        make("total_of_skilled_taxa_0_200m", recipe_of("Zooplankton of the taxa with held-out skill", skilled), choice)
        for name in FLUXES + NETS:
            make(name, None, choice)
    write_page()


def recipe_of(label, taxa, *, remarks=None):
    """Recipe of one taxon, or of the sum of several."""
    listed = json.dumps(taxa if len(taxa) > 1 else taxa[0])
    return RECIPE.format(
        title=f"{label} biomass, 0-200 m",
        credit=CREDIT,
        remarks=f"remarks = {json.dumps(remarks)}\n" if remarks else "",
        taxon=listed,
        sum_over='sum_over = "taxon"\n' if len(taxa) > 1 else "",
        carbon_sd=CARBON_SD_GELATINOUS if set(taxa) <= GELATINOUS else CARBON_SD,
        predictors=", ".join(f'"{p}"' for p in PREDICTORS),
    )


def make(name, text, choice):
    """Write one recipe and run it, unless its result is there."""
    folder = MAPS / name
    if (choice.only and name not in choice.only) or (not choice.only and (folder / "result.json").exists()):
        return
    if text is not None:
        value, source = REFERENCES.get(name, (None, None))
        if value:
            text += f'[reference]\nvalue = {value}\nunits = "PgC"\nsource = "{source}"\n'
        with replacing(folder / "recipe.toml") as part:
            part.write_text(text, encoding="utf-8")
    print(name, file=sys.stderr)
    command = [
        sys.executable,
        "-m",
        "aqqua_science",
        "map",
        folder / "recipe.toml",
        "--data",
        choice.data,
        "--overwrite",
    ]
    subprocess.run(command, check=True)


def result_of(name):
    return json.loads((MAPS / name / "result.json").read_text(encoding="utf-8"))


def write_page():
    """List every map: ours beside the published value, with skill under both schemes."""
    names = sorted(p.parent.name for p in MAPS.glob("*/result.json"))
    lines = {name: _line(name, result_of(name)) for name in names}
    fluxes, nets = ("\n".join(lines.pop(name) for name in group if name in lines) for group in (FLUXES, NETS))
    page = PAGE.format(rows="\n".join(lines.values()), fluxes=fluxes, nets=nets, totals=_totals())
    with replacing(MAPS / "README.md") as part:
        part.write_text(page, encoding="utf-8")


def _line(name, result):
    row, blocks, random = global_row(result), _scheme(result, "blocks"), _scheme(result, "random")
    unit = "" if row["units"] in ("1", "PgC", "PgC yr-1") else f" {row['units']}"
    told = [_published(reference, row | (full_interval(result) or {})) for reference in result["references"]]
    published = "; ".join(told) or "none published"
    flags = [] if has_skill(result) else ["no held-out skill"]
    flags += [result["interval"]["warning"]] if result["interval"]["warning"] else []
    return (
        f"| [{result['title']}]({name}/report.md) | {number(row['median'])}{unit} ({number(row['low'])}-{number(row['high'])}) "
        f"| {_all_told(result)} | {number(row['mean'])} | {published} | {_skill(random)} | {_skill(blocks)} "
        f"| {result['extrapolated_area_fraction']:.1%} | {'; '.join(flags)} |"
    )


def _published(reference, row):
    place = "inside" if row["low"] <= reference["value"] <= row["high"] else "outside"
    return f"{number(reference['value'])} ({place}; {reference['source']})"


def _all_told(result):
    full = full_interval(result)
    return "-" if full is None else f"{number(full['low'])}-{number(full['high'])}"


def _skill(row):
    return f"{number(row['r2_correlation'])} / {number(row['r2_log_correlation'])}"


def _scheme(result, name):
    return next(row for row in result["validation"] if row["scheme"] == name)


def _totals():
    """Sums over the taxon maps, with and without those that have no held-out skill."""
    results = {t: result_of(f"{t.lower()}_0_200m") for t in TAXA if t not in AGGREGATES}
    skilled = {t: r for t, r in results.items() if has_skill(r)}
    unskilled = [t for t in results if t not in skilled]
    sums = [sum(global_row(r)["median"] for r in group.values()) for group in (results, skilled)]
    drawn, total = sum(global_row(r)["mean"] for r in results.values()), global_row(result_of("total_0_200m"))
    return (
        f"Added up taxon by taxon, the estimates of the {len(results)} maps that count every animal once give {number(sums[0])} PgC; "
        f"without the {len(unskilled)} taxa that have no held-out skill ({', '.join(unskilled)}) they give {number(sums[1])} PgC. "
        f"The map of the total, fitted on the summed biomass, gives {number(total['median'])} PgC. Before any correction it adds up to "
        f"{number(total['mean'])} PgC and the maps of taxa together to {number(drawn)} PgC, beside the 0.229 PgC of Drago et al. (2022), which is "
        "a sum of taxa too. The two differ because half of all biomass was seen in one sample of a hundred, mostly large crustaceans and "
        "appendicularians: trees that are fitted to one taxon pass over its few full samples (their held-out blocks hold up to 22 times what is "
        "predicted), those that are fitted to the sum less so. Where in the ocean such water lies no map of these samples knows: the "
        "total has no held-out skill either, and what there is between the sum of taxa and the upper end of the total's interval cannot "
        "be told apart by these data. A sum of taxa carries no interval, because the errors of taxa are not independent."
    )


PAGE = """\
# Published maps

Each folder holds a recipe, its result, its report and its figures; the map itself (`field.nc`), `budget.csv` and the tables of samples that reports
speak of (`matchup.csv`, `rejected.csv`) are made by running the recipe:

    aqqua map maps/copepoda_0_200m/recipe.toml --data DATA --out copepoda

DATA is a folder with the files that the recipes name, under these paths: the tables and predictors of Drago et al. (2022), whose
repository is dlaetitia/Global_zooplankton_biomass_distribution; for the fluxes also the compilation of Mouw et al. (2016,
doi 10.1594/PANGAEA.855594), a monthly climatology of sea surface temperature and chlorophyll, and Longhurst's provinces; for the nets
the tables of Brandao et al. (2021), repository benfabio/TARA-Oceans. `python scripts/make_maps.py DATA` makes all of them and this page.

`drago2022_copepoda_0_200m` reproduces the published map; every other map is the defended version: all 892 cells, cells with
missing predictors left out, thickness clipped at the sea floor, half of the correction that held-out blocks suggest, and a 90 %
interval that was tested on virtual oceans; the flags say where the test does not speak for the data. Skill is the squared correlation of
amounts / of their logarithm on held-out samples; no held-out skill means that in unvisited blocks amounts, or their ranks, do not
correlate with their predictions by more than as many blocks would by chance (p >= 0.05). A published value is inside or outside the interval with all told.
The interval *with all told* adds to the sampling what its recipe names: the shape of bodies (spheres or
ellipsoids), the carbon relation, the choice among objectives and learners, and extrapolated water; each report takes it apart.

| map | estimate, PgC (90 % interval) | with all told | map before correction | published | skill, random folds | skill, 15 degree blocks | area outside applicability | flags |
|---|---|---|---|---|---|---|---|---|
{rows}

{totals}

## Carbon export

Organic carbon that sinks through a horizon, from sediment traps and thorium, by month; the reports have the year of each basin,
`budget.csv` also that of each Longhurst province.

| map | estimate, PgC yr-1 (90 % interval) | with all told | map before correction | published | skill, random folds | skill, 15 degree blocks | area outside applicability | flags |
|---|---|---|---|---|---|---|---|---|
{fluxes}

## Zooplankton of nets

Abundance, diversity and size of the zooplankton that Tara Oceans caught in 2009 to 2013 and imaged with the ZooScan: one visit to each
of 120 to 151 stations, and annual predictors. The report of each tells what that allows.

| map | estimate (90 % interval) | with all told | map before correction | published | skill, random folds | skill, 15 degree blocks | area outside applicability | flags |
|---|---|---|---|---|---|---|---|---|
{nets}
"""

if __name__ == "__main__":
    main()
