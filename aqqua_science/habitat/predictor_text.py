"""What a report says of the predictors of a map."""


def predictor_section(result):
    """
    Tell which predictors a map needed, which of them tell the same, and where its figures are.

    Parameters
    ----------
    result : dict
        Of `aqqua_science.habitat.run_recipe`.

    Returns
    -------
    str
        Markdown.
    """
    found = result["explanation"]
    parts = ["## What the predictors do", *_importance(found), _alike(found["predictors"])]
    if "effects" in found:
        parts.append("![how amounts respond](responses.png)")
    if result["provenance"]["recipe"]["explain"]["drivers"]:
        parts.append("![what drives the map](drivers.png)")
    return "\n\n".join(parts)


def _importance(found):
    rows = found.get("importance", [])
    if not rows:
        return []
    lines = [
        "| predictor | fall of the explained share of the deviance | least and most of the folds |",
        "|---|---|---|",
    ]
    for row in rows:
        # Adding zero takes the sign from what rounds to -0.00.
        middle, low, high = (round(row[name], 2) + 0.0 for name in ("importance", "lowest", "highest"))
        lines.append(f"| {row['predictor']} | {middle:.2f} | {low:.2f} to {high:.2f} |")
    return [
        "\n".join(lines),
        "So much the share falls when a predictor is shuffled among samples of held-out blocks. All predictors "
        f"together explain {rows[0]['skill']:.2f} of the deviance that the training mean has there. Predictors that "
        "tell the same stand in for each other and seem small. Importance in a model is no proof of a cause in the "
        "sea.",
        "![importance](importance.png)",
    ]


def _alike(rows):
    clusters = {}
    for row in rows:
        clusters.setdefault(row["cluster"], []).append(row["predictor"])
    alike = "; ".join(", ".join(names) for names in clusters.values() if len(names) > 1)
    least = min(rows, key=lambda row: row["area_covered"])
    return (
        f"Predictors whose ranks correlate at 0.8 or more: {alike or 'none'}. The samples reach over the values of "
        f"{least['predictor']} in {least['area_covered']:.0%} of the mapped area, the least of all predictors."
    )
