"""Trees of taxa: what they are read from, what they refuse, and answers and scores worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from aqqua_science.objects.hierarchy import answers, class_table, hierarchical_scores, roll_up
from aqqua_science.objects.taxonomy import Taxonomy
from aqqua_science.schema import SchemaError

PARENTS = {
    "living": None,
    "not-living": None,
    "Crustacea": "living",
    "Copepoda": "Crustacea",
    "Calanus": "Copepoda",
    "Oithona": "Copepoda",
    "Euphausiacea": "Crustacea",
    "Rhizaria": "living",
    "detritus": "not-living",
}
RANKS = {"Crustacea": "subphylum", "Copepoda": "class", "Calanus": "genus", "Oithona": "genus"}
CLASSES = ["Calanus", "Oithona", "Euphausiacea", "Rhizaria", "detritus"]


@pytest.fixture
def tree():
    return Taxonomy(PARENTS, RANKS)


# Reading


def test_lineages(tree):
    assert tree.lineage("Calanus") == ("Calanus", "Copepoda", "Crustacea", "living")
    assert tree.ancestors("living") == []
    assert [tree.level(name) for name in ("living", "Calanus")] == [0, 3]
    assert tree.names == list(PARENTS)


@pytest.mark.parametrize(
    ("names", "common"),
    [
        (("Calanus", "Oithona"), "Copepoda"),
        (("Calanus", "Euphausiacea", "Oithona"), "Crustacea"),
        (("Calanus", "Copepoda"), "Copepoda"),
        (("Calanus",), "Calanus"),
        (("Calanus", "detritus"), None),
    ],
)
def test_lowest_common_ancestor(tree, names, common):
    assert tree.lowest_common_ancestor(*names) == common
    assert tree.lowest_common_ancestor(*names[::-1]) == common


def test_ranks(tree):
    assert tree.at_rank(["Calanus", "Copepoda", "Rhizaria", None], "class") == ["Copepoda", "Copepoda", None, None]
    with pytest.raises(SchemaError, match=r"no taxon has rank 'clas'. Did you mean 'class'"):
        tree.at_rank(["Calanus"], "clas")


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ({"a": "b", "b": "c", "c": "a"}, "'a' is an ancestor of itself: a < b < c < a"),
        ({"a": "a"}, "'a' is an ancestor of itself: a < a"),
        (
            {"Copepoda": None, "Calanus": "Copepod"},
            "'Copepod', the parent of 'Calanus', is no taxon. Did you mean 'Cope",
        ),
    ],
)
def test_trees_that_are_none(parents, message):
    with pytest.raises(SchemaError, match=message):
        Taxonomy(parents)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40))
def test_a_deep_or_wide_tree_agrees_with_a_walk(picks):
    """Every node hangs on one before it; the walk up is written out here."""
    parents = {"n0": None} | {f"n{i + 1}": f"n{pick % (i + 1)}" for i, pick in enumerate(picks)}
    backwards = dict(reversed(parents.items()))
    tree = Taxonomy(backwards)
    for name in parents:
        walk, up = [], parents[name]
        while up is not None:
            walk, up = [*walk, up], parents[up]
        assert tree.ancestors(name) == walk


def test_worms_tables_by_number():
    table = pd.DataFrame(
        {
            "AphiaID": [2, 1080, 104464],
            "parentNameUsageID": [np.nan, "urn:lsid:marinespecies.org:taxname:2", 1080.0],
            "scientificName": ["Animalia", "Copepoda", "Calanus finmarchicus"],
            "taxonRank": ["Kingdom", "Class", "Species"],
        }
    )
    tree = Taxonomy.from_table(table)
    assert tree.ancestors("Calanus finmarchicus") == ["Copepoda", "Animalia"]
    assert tree.at_rank(["Calanus finmarchicus"], "Class") == ["Copepoda"]
    by_name = Taxonomy.from_table(pd.DataFrame({"name": ["Animalia", "Copepoda"], "parent": [None, "Animalia"]}))
    assert by_name.parents == {"Animalia": None, "Copepoda": "Animalia"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"name": ["a", "a"], "parent": [None, None]}, "'a' in row 0 is there more than once"),
        ({"name": ["a", None], "parent": [None, "a"]}, "row 1 is empty"),
        ({"name": ["a", "b"], "AphiaID": [1, 1], "parentNameUsageID": [None, None]}, "'1' in row 0 is there more"),
        ({"name": ["a", "b"], "AphiaID": [1, 2], "parentNameUsageID": [None, 3]}, "parentNameUsageID 3 of 'b'"),
        ({"name": ["a"], "AphiaID": [1]}, "has no column 'parentNameUsageID'"),
        ({"title": ["a"]}, "has no column 'scientificName'"),
    ],
)
def test_tables_that_are_no_tree(columns, message):
    with pytest.raises(SchemaError, match=message):
        Taxonomy.from_table(pd.DataFrame(columns))


def test_ecotaxa_names():
    tree = Taxonomy.from_ecotaxa(
        [
            "Copepoda<Crustacea",
            "Calanus<Copepoda",
            "tail<Chaetognatha",
            "tail<Appendicularia",
            "nauplii<Copepoda<Crustacea",
            *["detritus", "detritus", None, "", np.nan],
        ]
    )
    assert tree.lineage("Calanus<Copepoda") == ("Calanus<Copepoda", "Copepoda<Crustacea", "Crustacea")
    assert tree.lineage("nauplii<Copepoda<Crustacea")[1:] == ("Copepoda<Crustacea", "Crustacea")
    assert tree.ancestors("tail<Chaetognatha") == ["Chaetognatha"]
    assert tree.ancestors("tail<Appendicularia") == ["Appendicularia"]
    assert tree.ancestors("detritus") == []


def test_a_chain_gives_a_bare_label_its_parent():
    tree = Taxonomy.from_ecotaxa(["Copepoda", "nauplii<Copepoda<Crustacea"])
    assert tree.ancestors("Copepoda") == ["Crustacea"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["tail<Chaetognatha", "tail<Appendicularia", "tip<tail"],
            "'tail' fits several labels: tail<Chaetognatha, tail<App",
        ),
        (["a<b<c", "d<b<e"], "'b' has two parents, 'c' and 'e'"),
        (["a<b", "b<a"], "is an ancestor of itself"),
    ],
)
def test_ecotaxa_names_that_are_no_tree(names, message):
    with pytest.raises(SchemaError, match=message):
        Taxonomy.from_ecotaxa(names)


# Answers


def table_of(*rows):
    return pd.DataFrame(rows, columns=CLASSES, dtype=float)


def test_roll_up_agrees_with_a_sum_over_descendants(tree):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.dirichlet(np.ones(5), 20), columns=CLASSES, index=range(100, 120))
    rolled = roll_up(table, tree)
    assert rolled.index.equals(table.index)
    assert set(rolled.columns) == set(PARENTS)
    for taxon in rolled:
        below = [name for name in CLASSES if taxon in tree.lineage(name)]
        assert_allclose(rolled[taxon], table[below].sum(axis=1))
    assert_allclose(rolled[["living", "not-living"]].sum(axis=1), 1)


def test_a_class_within_a_class_counts_for_both(tree):
    rolled = roll_up(pd.DataFrame({"Copepoda": [0.25], "Calanus": [0.5], "Rhizaria": [0.25]}), tree)
    assert rolled.loc[0, ["Copepoda", "Calanus", "living"]].tolist() == [0.75, 0.5, 1.0]


@pytest.mark.parametrize(
    ("row", "threshold", "taxon", "probability", "level"),
    [
        ([0.9, 0.1, 0, 0, 0], 0.8, "Calanus", 0.9, 3),
        ([0.5, 0.4, 0, 0, 0.1], 0.8, "Copepoda", 0.9, 2),
        ([0.3, 0.2, 0.4, 0, 0.1], 0.8, "Crustacea", 0.9, 1),
        ([0.3, 0.1, 0.1, 0.4, 0.1], 0.8, "living", 0.9, 0),
        ([0.3, 0.1, 0.1, 0.1, 0.4], 0.8, None, np.nan, -1),
        ([0.3, 0.3, 0, 0, 0.4], 0.35, "detritus", 0.4, 1),
        ([0.5, 0.5, 0, 0, 0], 1.0, "Copepoda", 1.0, 2),
    ],
)
def test_answers_go_as_deep_as_they_may(tree, row, threshold, taxon, probability, level):
    found = answers(table_of(row), tree, threshold=threshold).loc[0]
    assert found["taxon"] == taxon or (taxon is None and found["taxon"] is None)
    assert_allclose(found["probability"], probability)
    assert (found["level"], found["abstained"]) == (level, taxon is None)
    assert found["rank"] == RANKS.get(taxon)


def test_what_holds_every_class_is_no_answer(tree):
    found = answers(table_of([0.3, 0.2, 0.1, 0.4, 0.0])[CLASSES[:4]], tree, threshold=0.9)
    assert found["taxon"].tolist() == [None]
    assert found["abstained"].tolist() == [True]


def test_unknown_classes_are_told_with_the_nearest_name(tree):
    with pytest.raises(SchemaError, match=r"'Calanas' is not among the 9 taxa of the taxonomy. Did you mean 'Calanus'"):
        roll_up(pd.DataFrame({"Calanas": [1.0]}), tree)


@pytest.mark.parametrize("threshold", [0, 1.2, np.nan, "0.5"])
def test_thresholds_are_probabilities(tree, threshold):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        answers(table_of([1, 0, 0, 0, 0]), tree, threshold=threshold)


def test_how_sure_a_table_of_answers_is():
    found = class_table(pd.DataFrame({"a": [0.5, 1.0], "b": [0.5, 0.0]}, index=[7, 9]), threshold=0.6)
    assert found.index.tolist() == [7, 9]
    assert found["taxon"].tolist() == [None, "a"]
    assert_allclose(found["entropy"], [np.log(2), 0])
    assert_allclose(found["margin"], [0, 1])
    assert found["taxon_2"].tolist() == ["b", "b"]
    assert "taxon_3" not in found


# Scores


def test_hierarchical_scores_by_hand(tree):
    truth, said = ["Calanus", "Calanus", "detritus", "Rhizaria"], ["Oithona", "Copepoda", "Rhizaria", None]
    # Lineages hold 4, 4, 2, 2 taxa; answers 4, 3, 2, 0; shared are 3, 3, 0, 0.
    found = hierarchical_scores(truth, said, tree)
    assert_allclose([found["precision"], found["recall"]], [6 / 9, 6 / 12])
    assert_allclose(found["f1"], 2 * (6 / 9) * (6 / 12) / (6 / 9 + 6 / 12))
    assert found["parent_error_rate"] == 0.5


def test_a_lone_root_does_not_count():
    """The worked example of Kiritchenko et al.: of G = (G, C, B) and F = (F, C) without the root, one is shared."""
    tree = Taxonomy({"A": None, "B": "A", "C": "A", "G": "C", "F": "C"})
    found = hierarchical_scores(["G"], ["F"], tree)
    assert (found["precision"], found["recall"], found["parent_error_rate"]) == (0.5, 0.5, 0.0)
    assert hierarchical_scores(["G"], ["B"], tree)["f1"] == 0


@given(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=20))
def test_the_truth_scores_one(names):
    found = hierarchical_scores(names, names, Taxonomy(PARENTS))
    assert found == {"precision": 1, "recall": 1, "f1": 1, "parent_error_rate": 0}


def test_scores_refuse_lists_that_do_not_match(tree):
    with pytest.raises(ValueError, match="got 1 and 2"):
        hierarchical_scores(["Calanus"], ["Calanus", "Oithona"], tree)
