"""Probes of an embedding, against double loops, known answers, and chance on features that know nothing."""

import time

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.pretraining import probes


def blobs(n_classes, n_each, *, n_features=8, apart=1.0, seed=0):
    """Classes as clusters about random centres, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_classes), n_each)
    centres = apart * rng.normal(size=(n_classes, n_features))
    return centres[labels] + rng.normal(size=(len(labels), n_features)), labels


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / np.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def slow_knn(features, labels, train, test, k):
    right = 0
    for i in test:
        near = sorted(((cosine(features[i], features[j]), labels[j]) for j in train), reverse=True)[:k]
        votes = {}
        for similarity, label in near:
            votes[label] = votes.get(label, 0) + np.exp(similarity / 0.07)
        right += max(votes, key=votes.get) == labels[i]
    return right / len(test)


def slow_purity(features, labels, k):
    shares = []
    for i in range(len(labels)):
        near = sorted(((cosine(features[i], features[j]), j) for j in range(len(labels)) if j != i), reverse=True)[:k]
        shares.append(sum(labels[j] == labels[i] for _, j in near) / k)
    return sum(shares) / len(shares)


class TestSplit:
    labels = np.array(["a"] * 100 + ["b"] * 7 + ["c"] * 2 + ["d"] + [""] * 5 + [None] * 3, object)

    def test_parts_every_labelled_row_once(self):
        train, test = probes.split(self.labels, rng=1)
        assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(110))

    def test_every_class_of_two_is_on_both_sides(self):
        train, test = probes.split(self.labels, rng=1)
        assert {*self.labels[train]} == {"a", "b", "c", "d"}
        assert {*self.labels[test]} == {"a", "b", "c"}

    def test_shares_are_those_asked_for(self):
        _, test = probes.split(self.labels, rng=1, test_share=0.2)
        assert (self.labels[test] == "a").sum() == 20

    def test_every_row_is_drawn_as_often(self):
        drawn = np.zeros(20)
        for seed in range(400):
            drawn[probes.split(np.zeros(20, int), rng=seed)[1]] += 1
        assert_allclose(drawn / 400, 0.3, atol=0.12)

    def test_same_seed_same_rows(self):
        assert_array_equal(probes.split(self.labels, rng=4)[1], probes.split(self.labels, rng=4)[1])
        assert (probes.split(self.labels, rng=4)[1] != probes.split(self.labels, rng=5)[1]).any()

    @pytest.mark.parametrize("share", [0, 1, -0.1])
    def test_refuses_a_share_that_leaves_a_side_empty(self, share):
        with pytest.raises(ValueError, match="test_share"):
            probes.split(self.labels, test_share=share)


@pytest.mark.parametrize("k", [1, 3, 10, 500])
def test_knn_votes_as_the_paper_has_it(k):
    features, labels = blobs(4, 15, apart=0.6)
    train, test = probes.split(labels, rng=2)
    expected = slow_knn(features, labels, train, test, k)
    assert 0.3 < expected < 1
    assert_allclose(probes.knn_accuracy(features, labels, train=train, test=test, k=k), expected)


def test_a_near_neighbour_outvotes_two_far_ones():
    features = np.array([[1, 0.05], [1, 1.2], [1, 1.25], [1, 0]])
    labels = ["near", "far", "far", "near"]
    assert probes.knn_accuracy(features, labels, train=[0, 1, 2], test=[3], k=3) == 1


def test_knn_sees_directions_only():
    features, labels = blobs(4, 15, apart=0.6)
    train, test = probes.split(labels, rng=2)
    scaled = features * np.random.default_rng(0).uniform(0.1, 9, (60, 1))
    assert probes.knn_accuracy(scaled, labels, train=train, test=test) == probes.knn_accuracy(
        features, labels, train=train, test=test
    )


def test_long_lists_go_by_in_blocks(monkeypatch):
    features, labels = blobs(4, 15, apart=0.6)
    whole = probes.purity(features, labels)
    monkeypatch.setattr(probes, "_BLOCK", 7)
    assert probes.purity(features, labels) == whole


@pytest.mark.parametrize("k", [1, 5])
def test_purity_counts_neighbours(k):
    features, labels = blobs(4, 15, apart=0.6)
    assert_allclose(probes.purity(features, labels, k=k)["purity"], slow_purity(features, labels, k))


def test_purity_of_separate_clusters_is_perfect():
    features, labels = blobs(5, 20, apart=30)
    assert probes.purity(features, labels) == {"purity": 1.0, "purity_above_chance": 1.0}


def test_purity_by_chance_is_zero():
    labels = np.random.default_rng(1).choice(3, 2_000, p=[0.7, 0.2, 0.1])
    found = probes.purity(np.random.default_rng(0).normal(size=(2_000, 8)), labels)
    assert_allclose(found["purity"], 0.7**2 + 0.2**2 + 0.1**2, atol=0.02)
    assert_allclose(found["purity_above_chance"], 0, atol=0.03)


def test_purity_of_one_class_has_no_chance_to_beat():
    assert np.isnan(probes.purity(np.eye(4), ["a"] * 4, k=2)["purity_above_chance"])


def test_linear_probe_reaches_the_best_there_is():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 4_000)
    features = rng.normal(size=(8_000, 5)) * [1, 3, 0.1, 1, 1]
    features[:, 0] += 2 * labels
    train, test = probes.split(labels, rng=1)
    found = probes.linear_probe(features, labels, train=train, test=test)
    # Two normal classes two standard deviations apart: the best accuracy is that of the normal distribution at 1.
    assert_allclose([found["accuracy"], found["balanced_accuracy"]], 0.8413, atol=0.02)


def test_rare_classes_weigh_as_much():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [9_000, 300])
    features = rng.normal(size=(9_300, 3))
    features[:, 0] += 2 * labels
    train, test = probes.split(labels, rng=1)
    found = probes.linear_probe(features, labels, train=train, test=test)
    assert_allclose(found["balanced_accuracy"], 0.8413, atol=0.05)
    right = probes.linear_probe(features, labels, train=train, test=test[test < 9_000])
    assert right["accuracy"] == right["balanced_accuracy"]


@pytest.mark.parametrize("n_classes", [2, 5])
def test_features_that_know_nothing_are_at_chance(n_classes):
    features, labels = blobs(n_classes, 3_000 // n_classes, apart=0)
    train, test = probes.split(labels)
    found = probes.linear_probe(features, labels, train=train, test=test)
    leaked = probes.leakage(features, labels, train=train, test=test)
    assert leaked["leakage_chance"] == 1 / n_classes
    chances = [
        found["balanced_accuracy"],
        leaked["leakage"],
        probes.knn_accuracy(features, labels, train=train, test=test),
    ]
    assert_allclose(chances, 1 / n_classes, atol=0.06)


def test_a_planted_instrument_leaks():
    features, instruments = blobs(3, 100, apart=0)
    features[:, 2] += 20 * instruments
    train, test = probes.split(instruments)
    assert probes.leakage(features, instruments, train=train, test=test)["leakage"] > 0.95


def test_units_of_features_do_not_matter():
    features, labels = blobs(5, 40, apart=0.5)
    train, test = probes.split(labels)
    other = np.column_stack([features * 10.0 ** np.arange(-4, 4) + 7, np.full(len(labels), 0.1)])
    assert probes.linear_probe(other, labels, train=train, test=test) == probes.linear_probe(
        features, labels, train=train, test=test
    )


def test_regression_finds_the_share_that_can_be_known():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6_000, 6))
    target = features @ [1, 1, 1, 0, 0, 0] + rng.normal(size=6_000)
    train, test = np.arange(4_000), np.arange(4_000, 6_000)
    assert_allclose(probes.regression_probe(features, target, train=train, test=test), 3 / 4, atol=0.03)
    noise = rng.normal(size=6_000)
    assert_allclose(probes.regression_probe(features, noise, train=train, test=test), 0, atol=0.02)


@pytest.mark.parametrize("rank", [1, 3, 16])
def test_rank_me_counts_planted_dimensions(rank):
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.normal(size=(60, rank)))
    right, _ = np.linalg.qr(rng.normal(size=(20, rank)))
    assert_allclose(probes.rank_me(5 * left @ right.T), rank, rtol=1e-6)


def test_rank_me_is_the_entropy_of_the_spectrum():
    # Singular values 1, 1/2, 1/4, 1/4 are shares 1/2, 1/4, 1/8, 1/8: an entropy of 1.75 bits.
    assert_allclose(probes.rank_me(np.diag([1, 0.5, 0.25, 0.25])), 2**1.75)
    assert probes.rank_me(np.zeros((5, 3))) == 0


def test_uniformity_of_known_sets():
    assert_allclose(probes.uniformity(np.ones((9, 4))), 0, atol=1e-12)
    assert_allclose(probes.uniformity([[1, 0], [-3, 0]]), -2 * 4)
    assert_allclose(probes.uniformity(np.eye(6) * 7, t=3), -3 * 2)
    # A square: each corner has two neighbours at squared distance 2 and one at 4.
    square = [[1, 0], [0, 1], [-1, 0], [0, -1]]
    assert_allclose(probes.uniformity(square), np.log((2 * np.exp(-4) + np.exp(-8)) / 3))


def test_uniformity_is_the_double_loop():
    features = np.random.default_rng(0).normal(size=(30, 5))
    unit = [f / np.sqrt((f**2).sum()) for f in features]
    kernel = [np.exp(-2 * ((unit[i] - unit[j]) ** 2).sum()) for i in range(30) for j in range(i)]
    assert_allclose(probes.uniformity(features), np.log(np.mean(kernel)))


def test_uniformity_of_many_rows_is_that_of_a_sample():
    features = np.random.default_rng(0).normal(size=(2_600, 5))
    sample = probes.uniformity(features)
    assert sample == probes.uniformity(features)
    assert_allclose(sample, probes.uniformity(features[:2_000]), atol=0.02)


def test_what_is_not_finite_is_named():
    features, _ = blobs(2, 10)
    features[7, 1] = np.nan
    with pytest.raises(ValueError, match=r"1 of 20 rows are not finite, the first is row 7"):
        probes.rank_me(features)


def test_rows_without_label_are_refused():
    with pytest.raises(ValueError, match="2 rows have no label"):
        probes.purity(np.eye(4), ["a", "", "b", None])
    with pytest.raises(ValueError, match="1 rows have no label"):
        probes.knn_accuracy(np.eye(4), ["a", "", "b", None], train=[0, 1], test=[2])


def test_one_class_cannot_be_told_apart():
    with pytest.raises(ValueError, match="only one"):
        probes.linear_probe(np.eye(4), ["a", "a", "a", "b"], train=[0, 1, 2], test=[3])


class TestEvaluate:
    ALWAYS = frozenset({"images", "rank_me", "uniformity"})
    CLASSES = frozenset(
        {"labelled", "classes", "knn_accuracy", "accuracy", "balanced_accuracy", "purity", "purity_above_chance"}
    )
    LEAKAGE = frozenset({"leakage", "leakage_chance"})

    @pytest.fixture
    def embedded(self):
        features, labels = blobs(4, 50, apart=3)
        table = pd.DataFrame(
            {
                "taxon": np.array(["Copepoda", "detritus", "Salpida", "Medusae"])[labels],
                "instrument": np.where(np.arange(200) % 2, "UVP6", "IFCB"),
                "esd_um": 10 ** (2 + 0.1 * features[:, 0]),
            }
        )
        return features, table

    def test_judges_all_that_there_is(self, embedded):
        found = probes.evaluate(*embedded)
        assert found.keys() == self.ALWAYS | self.CLASSES | self.LEAKAGE | {"esd_r2"}
        assert found["knn_accuracy"] > 0.9
        assert found["esd_r2"] > 0.99
        assert (found["images"], found["labelled"], found["classes"]) == (200, 200, 4)
        assert_allclose(found["leakage"], 0.5, atol=0.2)

    def test_is_made_of_the_probes(self, embedded):
        features, table = embedded
        found = probes.evaluate(features, table)
        assert found["rank_me"] == probes.rank_me(features)
        assert found["purity"] == probes.purity(features, table["taxon"])["purity"]

    def test_values_are_plain_numbers(self, embedded):
        assert {type(v) for v in probes.evaluate(*embedded).values()} == {int, float}

    @pytest.mark.parametrize("absent", ["", None, np.nan])
    def test_leaves_out_what_is_not_known(self, embedded, absent):
        features, table = embedded
        assert probes.evaluate(features, table[[]]).keys() == self.ALWAYS
        blank = table.assign(taxon=absent, instrument="UVP6", esd_um=np.nan)
        assert probes.evaluate(features, blank).keys() == self.ALWAYS
        assert probes.evaluate(features, table.assign(taxon="one")).keys() == self.ALWAYS | self.LEAKAGE | {"esd_r2"}

    def test_labels_of_a_few_do(self, embedded):
        features, table = embedded
        table.loc[np.arange(200) % 5 > 0, "taxon"] = None
        found = probes.evaluate(features, table)
        assert (found["images"], found["labelled"]) == (200, 40)

    def test_another_column_can_be_the_label(self, embedded):
        features, table = embedded
        found = probes.evaluate(features, table.rename(columns={"taxon": "guild"}), label="guild")
        assert found["classes"] == 4

    def test_thins_class_by_class(self, embedded):
        features, table = embedded
        found = probes.evaluate(features, table, limit=60)
        assert (found["images"], found["labelled"], found["classes"]) == (60, 60, 4)

    def test_rare_classes_survive_thinning(self):
        labels = np.repeat(["common", "rare"], [5_000, 2])
        kept = labels[probes._thin(labels, 100, 0)]
        assert [(kept == c).sum() for c in ("common", "rare")] == [98, 2]

    def test_same_seed_same_figures(self, embedded):
        first, again = (probes.evaluate(*embedded, rng=3, limit=100) for _ in range(2))
        assert first == again
        assert first != probes.evaluate(*embedded, rng=4, limit=100)

    def test_inputs_stay_as_they_are(self, embedded):
        features, table = embedded
        before = features.copy(), table.copy()
        probes.evaluate(features, table)
        assert_array_equal(features, before[0])
        pd.testing.assert_frame_equal(table, before[1])

    def test_lengths_must_agree(self, embedded):
        features, table = embedded
        with pytest.raises(ValueError, match="200 rows, table 3"):
            probes.evaluate(features, table[:3])

    @pytest.mark.slow
    def test_takes_seconds(self):
        features, labels = blobs(121, 25, n_features=192, apart=0.4)
        table = pd.DataFrame(
            {"taxon": labels.astype(str), "instrument": (labels % 7).astype(str), "esd_um": 1.0 + labels}
        )
        start = time.process_time()
        probes.evaluate(features, table)
        assert time.process_time() - start < 5
