"""What a report says of totals and means: estimates with intervals, by region and month, beside other values."""

import math

from scipy import stats

_FEW = 8


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


def is_mean(result):
    """
    Tell whether a map shows what is averaged, such as diversity, and not what adds up.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_mean({"provenance": {"recipe": {"budget": {"kind": "mean"}}}})
    True
    """
    return result["provenance"]["recipe"]["budget"]["kind"] == "mean"


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


def estimate_text(row, full=None):
    """
    An estimate with its interval and units.

    Parameters
    ----------
    row : dict
        Of a budget.
    full : dict, optional
        Of `full_interval`: the interval with all sources, which then stands before that from the sampling alone.

    Returns
    -------
    str

    Examples
    --------
    >>> row = {"median": 0.08, "low": 0.06, "high": 0.1, "level": 0.9, "units": "PgC"}
    >>> estimate_text(row)
    '0.08 PgC (90 % interval 0.06-0.1)'
    >>> estimate_text(row, {"low": 0.05, "high": 0.12})
    '0.08 PgC (90 % interval 0.05-0.12; from sampling alone 0.06-0.1)'
    """
    value = amount_text(row["median"], row)
    if row["low"] is None or row["low"] != row["low"]:
        return f"{value} (no interval)"
    alone = f"{number(row['low'])}-{number(row['high'])}"
    told = alone if full is None else f"{number(full['low'])}-{number(full['high'])}; from sampling alone {alone}"
    return f"{value} ({100 * row['level']:g} % interval {told})"


def full_interval(result):
    """
    The interval of the estimate with all sources that the recipe names.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.

    Returns
    -------
    dict or None
        ``low`` and ``high``; None where the recipe names no source, or the estimate has no interval.

    Examples
    --------
    >>> full_interval({"uncertainty": [{"source": "sampling", "low": 0.8, "high": 1.2}]})
    {'low': 0.8, 'high': 1.2}
    """
    if not result["uncertainty"]:
        return None
    last = result["uncertainty"][-1]
    return {"low": last["low"], "high": last["high"]}


def headline_text(result):
    """
    The estimate of the whole map with its intervals and units.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.

    Returns
    -------
    str
    """
    return estimate_text(global_row(result), full_interval(result))


def amount_text(value, row):
    """
    A value in the units of a row.

    Parameters
    ----------
    value : float
    row : dict
        With ``units``.

    Returns
    -------
    str

    Examples
    --------
    >>> amount_text(2.5, {"units": "PgC"}), amount_text(2.5, {"units": "1"})
    ('2.5 PgC', '2.5')
    """
    return f"{number(value)} {row['units']}".removesuffix(" 1")


def _in(what, row):
    """A heading with the units of a row, where it has some."""
    return what if row["units"] == "1" else f"{what} ({row['units']})"


def scenario_section(result):
    """
    Set a scenario beside today, region by region.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.

    Returns
    -------
    str
        Markdown, empty where there is nothing to tell.
    """
    if not result["changes"]:
        return ""
    first = result["changes"][0]["regions"]
    rows = [r for r in result["changes"] if r["month"] == "annual" and r["regions"] == first]
    lines = [
        "## Against today",
        "",
        f"| region | {_in('today', rows[0])} | scenario | ratio | {rows[0]['level']:.0%} of refits |",
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


def references_section(result):
    """
    Set published values beside the estimate.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.

    Returns
    -------
    str
        Markdown, empty where there is nothing to tell.
    """
    if not result["references"]:
        return ""
    row, full = global_row(result), full_interval(result)
    lines = [_beside(row | (full or {}), reference, is_mean(result)) for reference in result["references"]]
    return "\n".join(["## Beside published values", "", *(f"- {line}" for line in lines)])


def _beside(row, reference, mean):
    published = reference["value"]
    told = f"{reference['source']}: {amount_text(published, reference)}. "
    told += f"Our estimate is {row['median'] / published:.2f} times that"
    if row["median"] != row["mean"]:
        told += (
            f", the map before correction {'has' if mean else 'adds up to'} {row['mean'] / published:.2f} times that"
        )
    if row["low"] is None or row["low"] != row["low"]:
        return f"{told}."
    place = "inside" if row["low"] <= published <= row["high"] else "outside"
    return f"{told}; the published value lies {place} the interval {number(row['low'])}-{number(row['high'])}."


def ledger_section(result):
    """
    Tell what the uncertainty of the estimate is made of.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.

    Returns
    -------
    str
        Markdown, empty where there is nothing to tell.
    """
    rows, row = result["uncertainty"], global_row(result)
    if not rows:
        return ""
    wide = stats.norm.ppf((1 + row["level"]) / 2)
    lines = [
        "## What the uncertainty is made of",
        "",
        f"| source | alone, {row['level']:.0%} of the time within ± | share of the variance | {_in('interval with all above', row)} |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {r['source']} | {math.expm1(wide * r['log_sd']):.0%} | {r['share']:.0%} | {number(r['low'])}-{number(r['high'])} |"
        for r in rows
    ]
    lines += ["", "![what the uncertainty is made of](uncertainty.png)", "", *filter(None, map(_compared, rows))]
    return "\n".join(lines).rstrip() + (
        "\n\nThe last interval takes in all that is named here; those of regions and months take in sampling alone. Errors of each sample for itself are "
        "part of the sampling; errors that all samples share are in no resampling and are added on the logarithmic scale."
    )


def _compared(row):
    """What was compared to tell a source, where that is little."""
    if not 0 < len(row["ratios"]) <= _FEW:
        return ""
    told = ", ".join(f"{ratio:.2f} times with {name}" for name, ratio in row["ratios"].items())
    return f"- {row['source']}: the total is {told}"


def sensitivity_section(result):
    """
    Tell what the estimate would be had a choice been another.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.

    Returns
    -------
    str
        Markdown, empty where there is nothing to tell.
    """
    found, row = result["sensitivity"], global_row(result)
    steps = []
    if "full_thickness" in found:
        steps.append(("the map, as if the sea were nowhere shallower than the layer", found["full_thickness"]["mean"]))
    steps.append(("the map as made", row["mean"]))
    steps.append(("only where its samples speak for it (area of applicability)", found["inside_applicability"]["mean"]))
    if row["median"] != row["mean"]:
        steps.append(("corrected by half of what held-out blocks suggest: the estimate", row["median"]))
    lines = [
        "## What each choice does",
        "",
        f"| choice | {_in('mean' if is_mean(result) else 'total', row)} |",
        "|---|---|",
    ]
    lines += [f"| {label} | {number(value)} |" for label, value in steps]
    if "all_rows" in found:
        rows = found["all_rows"]
        lines += [
            f"| the map, fitted on all {rows['n_samples']} rows instead of the split's {result['n_samples']} | {number(rows['mean'])} |",
            "",
            "Which rows are fitted is a choice that no spread of members shows; its effect is part of the real uncertainty of this estimate.",
        ]
    return "\n".join(lines)


def regions_section(result):
    """
    List the estimates of regions and months.

    Parameters
    ----------
    result : dict
        Of `run_recipe`.

    Returns
    -------
    str
        Markdown, empty where there is nothing to tell.
    """
    first = result["budget"][0]["regions"]
    rows = [r for r in result["budget"] if r["month"] == "annual" and r["regions"] == first]
    what = "interval from sampling alone" if result["uncertainty"] else "interval"
    further = sorted({r["regions"] for r in result["budget"]} - {first})
    months = [r for r in result["budget"] if r["month"] != "annual" and r["region"] == "global"]
    lines = [
        "## Means of regions\n" if is_mean(result) else "## Budget\n",
        f"| region | {_in('estimate', rows[0])} | {100 * rows[0]['level']:g} % {what} | map before correction | million km² | in sampled blocks |",
        "|---" * 6 + "|",
    ]
    lines += [_budget_line(r["region"], r) for r in rows]
    lines += [_budget_line(f"global, month {r['month']}", r) for r in months]
    if has_year(result):
        lines += ["", "![the year of each region](cycle.png)"]
    if further:
        every = "every month of every region" if months else "every region"
        lines += ["", f"`budget.csv` holds {every}, also those of {', '.join(further)}."]
    if len(rows) == 1:
        return "\n".join(lines)
    adding = (
        "Each row is the mean over its area, and the global one that of all."
        if is_mean(result)
        else "Regions add up to the global row. Their intervals do not: errors of regions are correlated, so intervals must not be added."
    )
    return "\n".join(lines) + (
        f"\n\n{adding} In virtual oceans the intervals of regions held the truth in 95 % of cases where more than 60 % of the amount "
        "lay in blocks with samples, and in 85 % elsewhere."
    )


def _budget_line(label, r):
    return (
        f"| {label} | {number(r['median'])} | {number(r['low'])}-{number(r['high'])} | {number(r['mean'])} | "
        f"{number(r['area_m2'] / 1e12)} | {r['sampled_share']:.0%} |"
    )
