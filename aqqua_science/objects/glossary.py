"""The numbers of the benchmark in plain words: what each says, and which way is better."""

from typing import NamedTuple


class Metric(NamedTuple):
    """
    A number of an entry, for one store.

    Attributes
    ----------
    name : str
        Column of `leaderboard.table_of`.
    path : tuple of str
        Where it stands in what an entry holds of a store.
    says : str
    better : str
        Empty where no number is better than another.
    span : str
        Range, or unit.
    guessing : tuple of str or float, optional
        Where an entry holds what guessing scores, or that score.
    """

    name: str
    path: tuple
    says: str
    better: str = "higher"
    span: str = "0 to 1"
    guessing: tuple | float | None = None


def _scored(name, key, says):
    """A score of the answers, beside which stands what guessing scores."""
    return Metric(name, ("classification", "scores", key), says, guessing=("classification", "random", key))


def _shown(n):
    """The score of a few examples."""
    name, images = ("1 example", "1 labelled image") if n == 1 else (f"{n} examples", f"{n} labelled images")
    says = f"Balanced accuracy after seeing {images} of each taxon that has enough; guessing scores 1 / their number."
    return Metric(name, ("few_shot", str(n), "balanced_accuracy"), says)


GLOSSARY = {
    "What was judged": (
        Metric("objects", ("objects",), "Labelled objects whose answers are scored.", "", "count"),
        Metric("taxa", ("taxa",), "Different labels of these objects.", "", "count"),
        Metric("unanswered", ("unanswered",), "Objects without an answer; they count as wrong.", "lower", "count"),
    ),
    "Taxa": (
        _scored("accuracy", "accuracy", "Share of objects that get the right taxon; common taxa decide it."),
        _scored(
            "balanced accuracy",
            "balanced_accuracy",
            "Share of a taxon's objects that get the right taxon, mean over taxa; a rare taxon counts as much as a "
            "common one.",
        ),
        _scored(
            "plankton precision",
            "plankton_precision",
            "Of the objects that are named as a taxon, the share that is it; mean over taxa of plankton, without "
            "detritus, bubbles and the like.",
        ),
        _scored(
            "plankton recall",
            "plankton_recall",
            "Of the objects of a taxon, the share that is found; mean over taxa of plankton.",
        ),
        Metric(
            "balanced, grouped",
            ("classification", "grouped", "balanced_accuracy"),
            "Balanced accuracy where a relative is right too: taxa are grouped as told, or by their parent, or by the "
            "first word of their name.",
        ),
    ),
    "Few examples": tuple(map(_shown, (1, 5, 10, 50))),
    "Calibration": (
        Metric(
            "calibration error",
            ("classification", "expected_calibration_error"),
            "Mean gap between how sure answers are and how often they are right; 0.05: sure by 0.80, right in 0.75 or "
            "0.85.",
            "lower",
        ),
    ),
    "Never-seen taxa": (
        Metric(
            "unseen taxa, AUROC",
            ("hidden_taxa", "auroc"),
            "A third of the taxa is hidden while learning: how often an object of these looks stranger than one of "
            "the others.",
            guessing=0.5,
        ),
        Metric(
            "distortion, 0.95 kept",
            ("hidden_taxa", "distortion_recall_95"),
            "What looks strange is called unknown, so that 0.95 of the known objects are kept: Bray-Curtis distance "
            "of the reported community to the true one.",
            "lower",
        ),
        Metric(
            "distortion, by community",
            ("hidden_taxa", "distortion_by_community"),
            "The same, where the limit of strangeness is the one that distorts other communities least.",
            "lower",
        ),
    ),
    "Counts": (
        Metric(
            "count error, plain",
            ("counting", "bray_curtis_cc"),
            "Answers are counted in communities of other composition: Bray-Curtis distance of the counts to the "
            "true ones.",
            "lower",
        ),
        Metric(
            "count error, corrected",
            ("counting", "bray_curtis_emq"),
            "The same, where counts are corrected for how often taxa are mistaken (EMQ).",
            "lower",
        ),
        Metric(
            "intervals that hold",
            ("counting", "coverage_of_90"),
            "Share of the corrected counts whose 90 % interval holds the true count; less than 0.9: too sure.",
            "near 0.9",
        ),
    ),
    "Sizes": (
        Metric(
            "size, R2",
            ("size", "log_esd_r2"),
            "Share of the differences in size (logarithm of the equivalent diameter) that can be read from the "
            "features.",
            span="up to 1",
            guessing=0.0,
        ),
        Metric(
            "size, median error",
            ("size", "median_relative_error"),
            "Error of the diameter that is read from the features, in parts of the true one; half of the objects have "
            "less.",
            "lower",
            "0 or more",
        ),
    ),
}
"""Group -> its numbers, in the order in which they are shown."""

METRICS = tuple(metric for group in GLOSSARY.values() for metric in group)
"""All of them."""
