"""The report of a map: its numbers in plain words, in the order of the ODMAP protocol."""

import math
from pathlib import Path

from scipy import stats

from aqqua_science.files import replacing
from aqqua_science.habitat.predictor_text import predictor_section

_SCHEMES = {
    "random": "random folds (gaps between neighbours)",
    "blocks": "spatial blocks (unvisited regions)",
    "knndm": "folds as far away as the map is (kNNDM)",
    "groups": "whole groups (cruises) held out",
    "split": "the study's own test part",
}


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
        _scenario,
        _references,
        _skill,
        _applicability,
        _interval,
        _ledger,
        _sensitivity,
        predictor_section,
        _regions,
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
        Whether amounts held out in blocks correlate with their predictions (Pearson, raw scale, p < 0.05, the rule of
        Drago et al. 2022 for taxa that enter a total, here under blocked folds).

    Examples
    --------
    >>> row = {"scheme": "blocks", "r2_correlation": 0.001, "spearman": 0.3, "n": 892}
    >>> has_skill({"validation": [row]}), has_skill({"validation": [row | {"r2_correlation": 0.3}]})
    (False, True)
    """
    row = _scheme(result, "blocks")
    if not row or row["r2_correlation"] is None or (row["spearman"] or 0) <= 0:
        return False
    freedom = row["n"] - 2
    statistic = math.sqrt(row["r2_correlation"] * freedom / (1 - row["r2_correlation"]))
    return bool(2 * stats.t.sf(statistic, freedom) < 0.05)


def has_year(result):
    """
    Tell whether a map has several months, so that there is a year to draw.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.

    Returns
    -------
    bool

    Examples
    --------
    >>> has_year({"budget": [{"month": "annual"}, {"month": 6}]})
    False
    """
    return len({row["month"] for row in result["budget"] if isinstance(row["month"], int)}) > 1


def global_row(result):
    """
    The row of the global annual budget.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.

    Returns
    -------
    dict

    Examples
    --------
    >>> global_row({"budget": [{"region": "global", "month": "annual", "median": 1.0}]})["median"]
    1.0
    """
    return next(row for row in result["budget"] if row["region"] == "global" and row["month"] == "annual")


def number(value):
    """
    A number as people read it: three significant digits.

    Parameters
    ----------
    value : float or None

    Returns
    -------
    str

    Examples
    --------
    >>> number(0.083512), number(1234.5), number(None)
    ('0.0835', '1,230', 'not known')
    """
    if value is None or value != value:
        return "not known"
    digits = f"{value:.3g}"
    return f"{float(digits):,.0f}" if abs(value) >= 1000 and abs(value) < 1e6 else digits


def estimate_text(row):
    """
    An estimate with its interval and units.

    Parameters
    ----------
    row : dict
        Of a budget.

    Returns
    -------
    str

    Examples
    --------
    >>> estimate_text({"median": 0.08, "low": 0.06, "high": 0.1, "level": 0.9, "units": "PgC"})
    '0.08 PgC (90 % interval 0.06-0.1)'
    """
    if row["low"] is None or row["low"] != row["low"]:
        return f"{number(row['median'])} {row['units']} (no interval)"
    return f"{number(row['median'])} {row['units']} ({100 * row['level']:g} % interval {number(row['low'])}-{number(row['high'])})"


def _scheme(result, name):
    return next((row for row in result["validation"] if row["scheme"] == name), None)


def _headline(result):
    row = global_row(result)
    lines = [f"**The mapped ocean holds {estimate_text(row)}**"]
    if row["units"].endswith("yr-1"):
        lines = [f"**Through the mapped ocean pass {estimate_text(row)}**"]
    lines[0] += f" over {number(row['area_m2'] / 1e12)} million km²."
    lines.append(
        f"The map itself, before the correction by held-out blocks, adds up to {number(row['mean'])} {row['units']}; "
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
            "**No skill**: held out by region, amounts do not correlate with their predictions. Do not use the map's pattern."
        )
    if "truth" in result:
        inside = row["low"] <= result["truth"]["value"] <= row["high"]
        lines.append(
            f"The truth of this virtual ocean is {number(result['truth']['value'])} {result['truth']['units']}, "
            f"{'inside' if inside else 'outside'} the interval."
        )
    return "\n\n".join(lines)


def _remarks(result):
    return result["provenance"]["recipe"]["remarks"]


def _scenario(result):
    if not result["changes"]:
        return ""
    first = result["changes"][0]["regions"]
    rows = [r for r in result["changes"] if r["month"] == "annual" and r["regions"] == first]
    lines = [
        "## Against today",
        "",
        f"| region | today ({rows[0]['units']}) | scenario | ratio | {rows[0]['level']:.0%} of refits |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['region']} | {number(r['today'])} | {number(r['scenario'])} | {number(r['ratio'])} | {number(r['low'])}-{number(r['high'])} |"
        for r in rows
    ]
    return "\n".join(lines) + (
        "\n\nThe same refits of the model are mapped under both, so what they share cancels. Whether the climate model is right, and "
        "whether plankton keeps its relation to its environment, is in none of these numbers; where the scenario leaves the "
        "environment that was sampled, the map is hatched."
    )


def _references(result):
    if not result["references"]:
        return ""
    row = global_row(result)
    lines = [_beside(row, reference) for reference in result["references"]]
    return "\n".join(["## Beside published values", "", *(f"- {line}" for line in lines)])


def _beside(row, reference):
    told = f"{reference['source']}: {number(reference['value'])} {reference['units']}. "
    inside = row["low"] is not None and row["low"] <= reference["value"] <= row["high"]
    return told + (
        f"Our map adds up to {number(row['mean'])} {row['units']}, {row['mean'] / reference['value']:.2f} times that; the "
        f"published value lies {'inside' if inside else 'outside'} our interval."
    )


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
        f"threshold is set with the blocked folds, {random:.1%} with random folds. It is counted in the budget and hatched on the map."
    )


def _interval(result):
    interval = result["interval"]
    text = (
        "## The intervals\n\n"
        f"Of the total: refits on resampled blocks of 20 degrees and a held-out correction of which half is applied "
        f"(factor {math.exp(interval['log_correction']):.3f}; {interval['n_blocks']} blocks; effective share of "
        f"the samples {interval['effective_fraction']:.0%}). In simulated surveys of this kind such intervals held the truth in "
        "85-95 % of cases; a bias shared by all samples is in none of them.\n\n"
        f"Of a cell: a new sample there lies between `low` and `high`; on held-out blocks {interval['cell_coverage_held_out']:.1%} did."
    )
    if interval["member_envelope_coverage_95"] is not None:
        text += f" The 95 % envelope of the members held {interval['member_envelope_coverage_95']:.0%} of the samples that no member had seen."
    return text


def _ledger(result):
    rows, row = result["uncertainty"], global_row(result)
    if not rows:
        return ""
    wide = stats.norm.ppf((1 + row["level"]) / 2)
    lines = [
        "## What the uncertainty is made of",
        "",
        f"| source | alone, {row['level']:.0%} of the time within ± | share of the variance | interval with all above ({row['units']}) |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {r['source']} | {math.expm1(wide * r['log_sd']):.0%} | {r['share']:.0%} | {number(r['low'])}-{number(r['high'])} |"
        for r in rows
    ]
    lines += ["", "![what the uncertainty is made of](uncertainty.png)"]
    return "\n".join(lines) + (
        "\n\nThe last interval holds all that is named here; the budget below holds sampling alone. Errors of each sample for itself are "
        "part of the sampling; errors that all samples share are in no resampling and are added on the logarithmic scale."
    )


def _sensitivity(result):
    found, row = result["sensitivity"], global_row(result)
    steps = []
    if "full_thickness" in found:
        steps.append(("the map, as if the sea were nowhere shallower than the layer", found["full_thickness"]["mean"]))
    steps.append(("the map as made", row["mean"]))
    steps.append(("only where its samples speak for it (area of applicability)", found["inside_applicability"]["mean"]))
    if row["median"] != row["mean"]:
        steps.append(("corrected by half of what held-out blocks suggest: the estimate", row["median"]))
    lines = ["## What each choice does", "", f"| choice | {row['units']} |", "|---|---|"]
    lines += [f"| {label} | {number(value)} |" for label, value in steps]
    if "all_rows" in found:
        rows = found["all_rows"]
        lines += [
            f"| the map, fitted on all {rows['n_samples']} rows instead of the split's {result['n_samples']} | {number(rows['mean'])} |",
            "",
            "Which rows are fitted is a choice that no spread of members shows; its effect is part of the real uncertainty of this estimate.",
        ]
    return "\n".join(lines)


def _regions(result):
    first = result["budget"][0]["regions"]
    rows = [r for r in result["budget"] if r["month"] == "annual" and r["regions"] == first]
    further = sorted({r["regions"] for r in result["budget"]} - {first})
    months = [r for r in result["budget"] if r["month"] != "annual" and r["region"] == "global"]
    lines = [
        "## Budget\n",
        f"| region | estimate ({rows[0]['units']}) | 90 % interval | map before correction | million km² | in sampled blocks |",
        "|---" * 6 + "|",
    ]
    lines += [_budget_line(r["region"], r) for r in rows]
    lines += [_budget_line(f"global, month {r['month']}", r) for r in months]
    if has_year(result):
        lines += ["", "![the year of each region](cycle.png)"]
    if further:
        lines += ["", f"`budget.csv` holds every month of every region, also those of {', '.join(further)}."]
    if len(rows) == 1:
        return "\n".join(lines)
    return "\n".join(lines) + (
        "\n\nRegions add up to the global row. Their intervals do not: errors of regions are correlated, so intervals must "
        "not be added. In virtual oceans the intervals of regions held the truth in 95 % of cases where more than 60 % of the amount "
        "lay in blocks with samples, and in 85 % elsewhere."
    )


def _budget_line(label, r):
    return (
        f"| {label} | {number(r['median'])} | {number(r['low'])}-{number(r['high'])} | {number(r['mean'])} | "
        f"{number(r['area_m2'] / 1e12)} | {r['sampled_share']:.0%} |"
    )


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
        "Prediction: uncertainty": "of totals and of cells, as above",
        "Software": ", ".join(f"{k} {v}" for k, v in result["provenance"]["versions"].items() if v),
        "Recipe": result["provenance"]["recipe_sha256"],
    }
    table = "\n".join(f"| {k} | {v} |" for k, v in rows.items())
    return "## Record (after ODMAP, Zurell et al. 2020)\n\n| item | value |\n|---|---|\n" + table
