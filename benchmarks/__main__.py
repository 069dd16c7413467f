"""`python -m benchmarks [NAME ...]` measures and prints ratios; the others print their tables."""

import argparse
import importlib
import sys

SPEED = (
    "matchup",
    "boosting",
    "prediction",
    "chain",
    "extrapolation",
    "environment",
    "storage",
    "curation",
    "pretraining",
)
OTHERS = ("atlas", "codecs", "coverage", "flux_from_sizes", "harder_oceans", "learners", "scaling")


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join((*SPEED, *OTHERS))}; all speeds by default"
    )
    names = parser.parse_args().names or SPEED
    unknown = set(names) - {*SPEED, *OTHERS}
    if unknown:
        parser.error(f"unknown benchmark {sorted(unknown)[0]!r}; choose from {', '.join((*SPEED, *OTHERS))}")
    for name in names:
        print(f"{name} ...", file=sys.stderr)
        found = importlib.import_module(f"benchmarks.{name}").run()
        print(found if isinstance(found, str) else _table(found))


def _table(rows):
    """Markdown: the ratio says how many times faster ours is than the peer."""
    lines = ["| task | ours, s | peer | peer, s | peer / ours | note |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {r['task']} | {r['ours_s']:.2f} | {r['peer']} | {r['peer_s']:.2f} | **{r['ratio']:.1f}** | {r['note']} |"
        for r in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
