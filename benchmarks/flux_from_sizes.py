"""Carbon that sinks at three observatories, by size spectra of a UVP5 and by traps: docs/flux_from_sizes.md."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aqqua_science.plot.colours import STYLE, format_units
from aqqua_science.samples.flux_comparison import compare_fluxes
from aqqua_science.samples.pangaea import read_pangaea
from aqqua_science.samples.traps import trap_fluxes
from aqqua_science.sources.ecopart import read_particles

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "insitu"
PROFILES = "annarufas+matlab-GRL2024-scripts/data/raw/UVP5"
TRAPS = "rkiko+AC_Agulhas_eddy_2021/Data/an24/GO_flux.tab"
SITES = {"HAUSGARTEN": "HAUSGARTEN", "HOTALOHA": "HOT/ALOHA", "PAPSO": "PAP"}
HORIZONS = (100, 1000)
HEAD = [
    "site, depth",
    "law",
    "profiles",
    "from sizes (16-84 %)",
    "deployments (median depth)",
    "traps (16-84 %)",
    "ratio",
]


def run():
    """Tables, Markdown: medians and spread of both at 100 and 1000 m with their ratio, and how near each law comes."""
    rows = measure()
    return f"{as_table(rows)}\n\n{as_summary(rows)}"


def measure(data=DATA):
    """Rows of `compare_fluxes` for each horizon, with a column ``horizon``."""
    particles, _ = read_particles(data / PROFILES)
    folder = particles["file"].str.extract(r"export_detailed_\d+_(\w+)/", expand=False)
    particles = particles.assign(site=folder.map(SITES))
    traps, _ = trap_fluxes(read_pangaea(data / TRAPS))
    found = {depth: compare_fluxes(particles, traps, horizon=depth, site="site") for depth in HORIZONS}
    return pd.concat(found, names=["horizon"]).reset_index("horizon").reset_index(drop=True)


def as_table(rows):
    """Markdown, one line per site, depth and law."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    for row in rows.sort_values(["site", "horizon"], kind="stable").itertuples():
        cells = [
            f"{row.site}, {row.horizon:g} m",
            row.law,
            f"{row.n_profiles}",
            _told(row.flux_mg_m2_d, row.flux_low, row.flux_high),
            f"{row.n_traps} ({row.trap_depth:g} m)",
            _told(row.trap_mg_m2_d, row.trap_low, row.trap_high),
            f"**{row.ratio:.2f}**",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def as_summary(rows):
    """Markdown, one line per law: the geometric mean of its ratios, the lowest and highest, and how many are near 1."""
    lines = ["| law | ratio, geometric mean | lowest to highest | within a factor of two |", "|---|---|---|---|"]
    for law, ratio in rows.groupby("law", sort=False)["ratio"]:
        near = (np.abs(np.log2(ratio)) < 1).sum()
        mean = np.exp(np.log(ratio).mean())
        lines.append(f"| {law} | {mean:.2f} | {ratio.min():.2f} to {ratio.max():.2f} | {near} of {len(ratio)} |")
    return "\n".join(lines)


def draw(rows):
    """Figure: the laws as points with their spread, over the band of the traps, a panel for each horizon."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12, 7.5), dpi=110, layout="constrained")
        axes = figure.subplots(1, 2, sharey=True, sharex=True)
        for ax, (horizon, part) in zip(axes, rows.groupby("horizon"), strict=True):
            _draw_panel(ax, part.reset_index(drop=True), title=f"{horizon} m")
        axes[0].set_xscale("log")
        figure.supxlabel(f"Flux of organic carbon ({format_units('mg m-2 d-1')}): points from sizes, bands from traps")
    return figure


def _draw_panel(ax, rows, *, title):
    places = -(np.arange(len(rows)) + rows["site"].ne(rows["site"].shift()).cumsum())
    for _, site in rows.groupby("site"):
        at, first = places[site.index], site.iloc[0]
        span = [at.min() - 0.4, at.max() + 0.4]
        ax.fill_betweenx(span, first["trap_low"], first["trap_high"], color="0.85")
        ax.plot([first["trap_mg_m2_d"]] * 2, span, color="0.4", linewidth=2)
    ax.hlines(places, rows["flux_low"], rows["flux_high"], color="#7a1e61", linewidth=3, alpha=0.45)
    ax.plot(rows["flux_mg_m2_d"], places, "o", color="#7a1e61", markersize=8)
    ax.set_yticks(places, rows["site"] + ", " + rows["law"])
    ax.set_title(title, loc="left")
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _told(middle, low, high):
    return f"{middle:.3g} ({low:.3g}-{high:.3g})"
