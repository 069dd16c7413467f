"""The report of a map: its numbers in plain words, in the order of the ODMAP protocol."""

import math
from pathlib import Path

from scipy import stats

from aqqua_science.files import replacing
from aqqua_science.habitat.budget_text import (
    amount_text,
    full_interval,
    global_row,
    headline_text,
    is_mean,
    ledger_section,
    number,
    references_section,
    regions_section,
    scenario_section,
    sensitivity_section,
)
from aqqua_science.habitat.predictor_text import predictor_section

_SCHEMES = {
    "random": "random folds (gaps between neighbours)",
    "blocks": "spatial blocks (unvisited regions)",
    "knndm": "folds as far away as the map is (kNNDM)",
    "groups": "whole groups (cruises) held out",
    "split": "the study's own test part",
}


_CHANCE = 0.05


def write_report(result, path):
    """
    Write a result as a Markdown page.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.
    path : str or pathlib.Path
    """
    sections = [
        _headline,
        _remarks,
        scenario_section,
        references_section,
        _skill,
        _applicability,
        _interval,
        ledger_section,
        sensitivity_section,
        predictor_section,
        regions_section,
        _inputs,
        _odmap,
    ]
    parts = [f"# {result['title']}", "![map](map.png)", *(section(result) for section in sections)]
    with replacing(Path(path)) as part:
        part.write_text("\n\n".join(p for p in parts if p) + "\n", encoding="utf-8")


def has_skill(result):
    """
    Tell whether a model predicts amounts in regions it has not seen better than chance.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.

    Returns
    -------
    bool
        Whether amounts held out in blocks correlate with their predictions, on the raw scale (Pearson, the rule of Drago
        et al. 2022 for taxa that enter a total, there under random folds) and by rank (Spearman), both at p < 0.05.
        Samples of one block are alike: what counts as independent is the blocks, not the samples.

    Examples
    --------
    >>> row = {"scheme": "blocks", "r2_correlation": 0.05, "spearman": 0.5, "n": 892}
    >>> blocks = {"interval": {"n_blocks": 61}}
    >>> has_skill(blocks | {"validation": [row]}), has_skill(blocks | {"validation": [row | {"r2_correlation": 0.3}]})
    (False, True)
    """
    row, freedom = _scheme(result, "blocks"), result["interval"]["n_blocks"] - 2
    if not row or freedom < 1 or row["r2_correlation"] is None:
        return False
    return all(_correlates(r, freedom) for r in (math.sqrt(row["r2_correlation"]), row["spearman"] or 0.0))


def _correlates(correlation, freedom):
    """Whether a correlation above 0 is more than chance makes, two-sided."""
    if correlation >= 1:
        return True
    statistic = correlation * math.sqrt(freedom / (1 - correlation**2))
    return bool(2 * stats.t.sf(statistic, freedom) < _CHANCE)


def _scheme(result, name):
    return next((row for row in result["validation"] if row["scheme"] == name), None)


def _headline(result):
    row = global_row(result)
    opening, adding = "The mapped ocean holds", "adds up to"
    if is_mean(result):
        opening, adding = f"The mean ({_target(result)}) is", "has a mean of"
    elif row["units"].endswith("yr-1"):
        opening = "Through the mapped ocean pass"
    lines = [f"**{opening} {headline_text(result)}** over {number(row['area_m2'] / 1e12)} million km²."]
    lines.append(
        f"The map as drawn, before the correction by held-out blocks, {adding} {amount_text(row['mean'], row)}; "
        f"its members alone spread over {number(row['member_low'])}-{number(row['member_high'])}, which is not an interval "
        "that covers (in virtual oceans it held the truth one time in five)."
    )
    if result["interval"]["warning"]:
        lines.append(f"**The interval is not claimed to cover**: {result['interval']['warning']}.")
    if result["extrapolated_area_fraction"] > 0.5:
        lines.insert(
            0,
            f"**Most of this map is extrapolated** ({result['extrapolated_area_fraction']:.0%} of its area): map the part that was surveyed (`--region`) instead.",
        )
    if not has_skill(result):
        lines.append(
            "**No skill** that is more than chance: held out by region, amounts (or their ranks) do not correlate with their "
            "predictions by more than so many blocks would by chance. Do not use the map's pattern."
        )
    if "truth" in result:
        told = row | (full_interval(result) or {})
        inside = told["low"] <= result["truth"]["value"] <= told["high"]
        lines.append(
            f"The truth of this virtual ocean is {number(result['truth']['value'])} {result['truth']['units']}, "
            f"{'inside' if inside else 'outside'} the interval."
        )
    return "\n\n".join(lines)


def _target(result):
    return result["provenance"]["recipe"]["observations"]["target"].replace("_", " ")


def _remarks(result):
    return result["provenance"]["recipe"]["remarks"]


def _skill(result):
    columns = ["r2", "r2_correlation", "r2_log", "spearman", "mae", "distance_to_domain_km", "n"]
    header = "| held out | R2 | squared correlation | R2 (log) | Spearman | mean abs. error | distance mismatch to the map, km | n |"
    rows = [
        f"| {_SCHEMES.get(r['scheme'], r['scheme'])} | " + " | ".join(number(r.get(c)) for c in columns) + " |"
        for r in result["validation"]
    ]
    return "\n".join(["## Skill on samples that were held out\n", header, "|---" * 8 + "|", *rows]) + (
        "\n\nRandom folds flatter a map: their held-out samples have neighbours in training. The distance is that between "
        "how far held-out samples and map cells lie from the nearest training sample (Wasserstein, km); smaller is a fairer test. R2 on the log scale compares log1p(scale x amount): where absences stand beside small amounts it is often below 0, which is worse than a mean, while ranks are still right."
    )


def _applicability(result):
    blocked, random = result["extrapolated_area_fraction"], result["extrapolated_area_fraction_random_folds"]
    return (
        "## Where the map leaves its samples\n\n"
        f"{blocked:.1%} of the mapped area lies outside the area of applicability (Meyer and Pebesma 2021) when its "
        f"threshold is set with the blocked folds, {random:.1%} with random folds. It is counted in the estimate and hatched on the map."
    ) + _by_member(result)


def _by_member(result):
    mean = result.get("extrapolated_area_fraction_members")
    if mean is None:
        return ""
    return (
        f" Asked one by one, each by the predictors that it uses, members leave {mean:.1%} of the area on average, and all "
        f"of them {result['extrapolated_area_fraction_all_members']:.1%} (`inside_share` in `field.nc`)."
    )


def _interval(result):
    interval = result["interval"]
    text = (
        "## The intervals\n\n"
        f"Of the {'mean' if is_mean(result) else 'total'}: refits on resampled blocks of 20 degrees and a held-out correction of which half is applied "
        f"(factor {math.exp(interval['log_correction']):.3f}; {interval['n_blocks']} blocks; effective share of "
        f"the samples {interval['effective_fraction']:.0%}). {_tested(result)}\n\n"
        f"Of a cell: a new sample there lies between `low` and `high`; on held-out blocks {interval['cell_coverage_held_out']:.1%} did."
    )
    if interval["member_envelope_coverage_95"] is not None:
        text += f" The 95 % envelope of the members held {interval['member_envelope_coverage_95']:.0%} of the samples that no member had seen."
    return text


def _tested(result):
    """What is known of how often such an interval holds the truth."""
    if result["interval"]["warning"]:
        return "Nothing is claimed of how often such an interval holds the truth: see above."
    told = "Of 100 virtual oceans (counts, 200-800 samples, docs/coverage.md) such intervals of the total held the truth in 88"
    objective = result["provenance"]["recipe"]["model"]["objective"]
    if is_mean(result) or objective != "poisson":
        told += f"; {'means' if is_mean(result) else f'models of the objective {objective!r}'} were not among them"
    return f"{told}. A bias that all samples share is in none of them."


def _inputs(result):
    notes = [
        f"- {n_rows} rows could not be used; `rejected.csv` names the reason of each."
        for n_rows in [result["n_rejected"]]
        if n_rows
    ]
    notes += [f"- {note}" for note in result["notes"]]
    return "## Worth knowing\n\n" + "\n".join(notes) if notes else ""


def _used(result):
    n, pooled = result["n_observations"], result["n_samples"]
    return f"{pooled} used" if n == pooled else f"{n} used, pooled to {pooled}"


def _odmap(result):
    recipe, model = result["provenance"]["recipe"], result["provenance"]["model"]
    rows = {
        "Overview: target": f"{recipe['observations']['target']} ({recipe['observations']['units']})",
        "Overview: credit": recipe["credit"] or "none stated",
        "Data: observations": f"{recipe['observations']['file']}, {_used(result)}, {result['n_rejected']} rejected",
        "Data: selection": str(recipe["observations"]["where"] | recipe["observations"]["between"] or "all rows"),
        "Data: predictors": ", ".join(recipe["environment"]["predictors"]) or "all variables of the grids",
        "Data: checksums": "; ".join(f"{k} {v[:12]}" for k, v in result["provenance"]["inputs"].items()),
        "Model: algorithm": f"{model['estimator']} ({model['backend']} {model['backend_version']}), scale {number(model['scale'])}",
        "Model: settings": ", ".join(f"{k} {v}" for k, v in model["parameters"].items() if v is not None),
        "Assessment: folds": f"{recipe['validation']['folds']} folds, blocks of {recipe['validation']['blocks_degrees']:g} degrees",
        "Prediction: extent": f"{result['n_cells']} cells",
        "Prediction: uncertainty": "of totals or means and of cells, as above",
        "Software": ", ".join(f"{k} {v}" for k, v in result["provenance"]["versions"].items() if v),
        "Recipe": result["provenance"]["recipe_sha256"],
    }
    table = "\n".join(f"| {k} | {v} |" for k, v in rows.items())
    return "## Record (after ODMAP, Zurell et al. 2020)\n\n| item | value |\n|---|---|\n" + table
