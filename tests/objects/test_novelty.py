"""Novelty: against slow references, analytic answers for Gaussians, and taxa held out of real data."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from aqqua_science.objects import NoveltyScorer, TaxonClassifier
from aqqua_science.objects.distortion import (
    best_threshold,
    community_distortion,
    distortion_curve,
    draw_communities,
)

METHODS = ("mahalanobis", "knn", "energy", "vim")


def clusters(seed, n=100, *, n_taxa=4, n_features=8, spread=6.0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(n_taxa, n_features)) * spread / np.sqrt(n_features)
    taxa = np.repeat(np.arange(n_taxa), n)
    return centres[taxa] + rng.normal(size=(n_taxa * n, n_features)), np.array([f"t{k}" for k in taxa])


@pytest.fixture(scope="module")
def known():
    return clusters(0)


@pytest.fixture(scope="module")
def strangers():
    return np.random.default_rng(5).normal(size=(200, 8)) + 6 * np.tile([1, -1], 4)


def slow_mahalanobis(x, taxon, new):
    """Equation 2 of Lee et al. 2018, negated; the covariance is shrunk so that left-out residuals are most likely."""
    means = {t: x[taxon == t].mean(axis=0) for t in set(taxon)}
    residuals = np.array([row - means[t] for row, t in zip(x, taxon, strict=True)])

    def shrunk(part, shrinkage):
        covariance = sum(np.outer(row, row) for row in part) / len(part)
        return (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / len(covariance) * np.eye(x.shape[1])

    fold = np.random.default_rng(0).permutation(len(x)) % 5
    likelihood = {}
    for shrinkage in np.logspace(-6, 0, 19):
        parts = [(residuals[fold == k], shrunk(residuals[fold != k], shrinkage)) for k in range(5)]
        likelihood[shrinkage] = sum(stats.multivariate_normal(cov=cov).logpdf(rows).sum() for rows, cov in parts)
    precision = np.linalg.inv(shrunk(residuals, max(likelihood, key=likelihood.get)))
    return [min((row - m) @ precision @ (row - m) for m in means.values()) for row in new]


def slow_neighbour(x, new, k):
    """Distance to the k-th nearest on the unit sphere, pair by pair (Sun et al. 2022)."""
    unit = [row / np.sqrt(sum(v * v for v in row)) for row in x]
    found = []
    for row in new:
        point = row / np.sqrt(sum(v * v for v in row))
        found.append(sorted(np.sqrt(np.sum((point - other) ** 2)) for other in unit)[k - 1])
    return found


def slow_energy(x, taxon, new):
    """Equation 4 of Liu et al. 2020 at temperature one."""
    head = LogisticRegression(max_iter=1000).fit(x, taxon)
    return [-np.log(sum(np.exp(row @ w + b) for w, b in zip(head.coef_, head.intercept_, strict=True))) for row in new]


def slow_virtual_logit(x, taxon, new, kept):
    """Section 4 of Wang et al. 2022: the residual scaled to the logits, beside their energy."""
    head = LogisticRegression(max_iter=1000).fit(x, taxon)
    origin = -np.linalg.pinv(head.coef_) @ head.intercept_
    values, vectors = np.linalg.eigh(np.cov((x - origin).T, bias=True))
    rest = vectors[:, np.argsort(values)[: len(values) - kept]]
    logits = x @ head.coef_.T + head.intercept_
    alpha = logits.max(axis=1).sum() / sum(np.linalg.norm(rest.T @ (row - origin)) for row in x)
    energies = slow_energy(x, taxon, new)
    return [alpha * np.linalg.norm(rest.T @ (row - origin)) + e for row, e in zip(new, energies, strict=True)]


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_those_of_the_papers(known, strangers, method):
    x, taxon = known
    scale = StandardScaler().fit(x)
    z, new = scale.transform(x), scale.transform(strangers[:20])
    expected = {
        "mahalanobis": lambda: slow_mahalanobis(z, taxon, new),
        "knn": lambda: slow_neighbour(z, new, 7),
        "energy": lambda: slow_energy(z, taxon, new),
        "vim": lambda: slow_virtual_logit(z, taxon, new, 3),
    }
    scorer = NoveltyScorer(method, n_neighbors=7, n_components=3).fit(x, taxon)
    assert_allclose(scorer.score(strangers[:20]), expected[method](), rtol=1e-6)


@pytest.mark.parametrize(("n_features", "shift"), [(2, 2.0), (10, 3.0)])
def test_mahalanobis_ranks_gaussians_as_theory_says(n_features, shift):
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(n_features, n_features))
    known, here, there = (rng.normal(size=(20_000, n_features)) for _ in range(3))
    there[:, 0] += shift
    scorer = NoveltyScorer().fit(known @ mix, ["Copepoda"] * 20_000)
    scores = np.concatenate([scorer.score(here @ mix), scorer.score(there @ mix)])
    # The ratio of the two squared distances is a noncentral F: how often does it exceed one?
    expected = stats.ncf.sf(1, n_features, n_features, shift**2)
    assert roc_auc_score(np.repeat([0, 1], 20_000), scores) == pytest.approx(expected, abs=0.01)
    assert_allclose(scorer.score(here @ mix).mean(), n_features, rtol=0.03)
    assert scorer.threshold_ == pytest.approx(stats.chi2.ppf(0.95, n_features), rel=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_planted_strangers_are_found(known, strangers, method):
    scorer = NoveltyScorer(method).fit(*known)
    x, _ = clusters(1)
    # Energy knows only how sure a classifier is: it finds what lies between taxa, not what lies beyond them.
    between = known[0].mean(axis=0) + 0.3 * np.random.default_rng(7).normal(size=(200, 8))
    new = between if method == "energy" else strangers
    scores = np.concatenate([scorer.score(x), scorer.score(new)])
    assert roc_auc_score(np.repeat([0, 1], [len(x), len(new)]), scores) > 0.95


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("recall", [0.8, 0.95])
def test_the_first_threshold_keeps_known_objects_not_seen(known, method, recall):
    scorer = NoveltyScorer(method, recall=recall).fit(*known)
    x, _ = clusters(2, 1000)
    assert 1 - scorer.predict(x).mean() == pytest.approx(recall, abs=0.05)
    assert_array_equal(scorer.predict(x), scorer.score(x) > scorer.threshold_)


def sampled(seed, *, effect=3.0, n_samples=20, n=20):
    """Objects of four taxa in samples, each of which shifts all that is in it."""
    rng = np.random.default_rng(seed)
    centres = 3 * np.random.default_rng(99).normal(size=(4, 8))
    sample, taxon = np.repeat(np.arange(n_samples), n), rng.integers(0, 4, n_samples * n)
    x = centres[taxon] + effect * rng.normal(size=(n_samples, 8))[sample] + rng.normal(size=(n_samples * n, 8))
    return x, np.array([f"t{k}" for k in taxon]), sample


@pytest.mark.parametrize("method", METHODS)
def test_folds_of_samples_keep_known_objects_of_new_samples(method):
    kept = {"groups": [], "objects": []}
    for seed in range(4):
        x, taxon, sample = sampled(seed)
        new = sampled(seed + 100)[0]
        kept["groups"].append(1 - NoveltyScorer(method).fit(x, taxon, groups=sample).predict(new).mean())
        kept["objects"].append(1 - NoveltyScorer(method).fit(x, taxon).predict(new).mean())
    assert np.mean(kept["groups"]) > 0.92
    assert method == "energy" or np.mean(kept["objects"]) < 0.9


def test_a_taxon_of_one_sample_sets_no_threshold():
    x, taxon, sample = sampled(0)
    taxon = np.where(sample == 3, "only here", taxon)
    scores = NoveltyScorer().fit(x, taxon, groups=sample).known_scores_
    assert_array_equal(np.isnan(scores), sample == 3)
    with pytest.raises(ValueError, match="no object can be held out"):
        NoveltyScorer().fit(x, [f"taxon of {s}" for s in sample], groups=sample)
    with pytest.raises(ValueError, match="one group"):
        NoveltyScorer().fit(x, taxon, groups=np.zeros(len(x)))


@pytest.mark.parametrize("method", METHODS)
def test_units_and_constant_features_do_not_matter(known, strangers, method):
    x, taxon = known
    odd = [np.column_stack([part * 10.0 ** np.arange(-3, 5) + 7, np.full(len(part), 0.1)]) for part in (x, strangers)]
    scorer = NoveltyScorer(method, n_components=3).fit(x, taxon)
    other = NoveltyScorer(method, n_components=4 if method == "vim" else 3).fit(odd[0], taxon)
    order = stats.spearmanr(scorer.score(strangers), other.score(odd[1])).statistic
    assert order > (0.85 if method == "vim" else 0.99)


def test_a_threshold_by_recall_is_a_quantile_of_known_objects(known):
    scorer = NoveltyScorer().fit(*known)
    x, _ = clusters(3)
    for recall in (0.5, 0.9, 1.0):
        assert scorer.set_threshold(x, recall=recall) is scorer
        assert 1 - scorer.predict(x).mean() == pytest.approx(recall, abs=1 / len(x))
    first = NoveltyScorer().fit(*known).threshold_
    assert scorer.set_threshold().threshold_ == first


def test_energy_of_a_given_head(known, strangers):
    x, taxon = known
    head = LogisticRegression(max_iter=1000).fit(x, taxon)
    scorer = NoveltyScorer("energy", head=head.decision_function).fit(x, taxon)
    assert_allclose(scorer.score(strangers), -np.log(np.exp(head.decision_function(strangers)).sum(axis=1)))
    with pytest.raises(ValueError, match="always zero"):
        NoveltyScorer("energy", head=head.predict_log_proba).fit(x, taxon)
    with pytest.raises(ValueError, match="finite logits"):
        NoveltyScorer("energy", head=lambda rows: rows[:, 0]).fit(x, taxon)
    with pytest.raises(ValueError, match="head belongs"):
        NoveltyScorer("knn", head=head.decision_function).fit(x, taxon)


def test_two_taxa_have_the_energy_of_a_symmetric_pair():
    x, taxon = clusters(0, n_taxa=2)
    z = StandardScaler().fit_transform(x)
    d = LogisticRegression(max_iter=1000).fit(z, taxon).decision_function(z)
    scorer = NoveltyScorer("energy").fit(x, taxon)
    assert_allclose(scorer.score(x), -np.log(np.exp(d / 2) + np.exp(-d / 2)), rtol=1e-6)


def test_rare_taxa_and_repeats_are_no_obstacle(known):
    x, taxon = known
    rare = taxon.astype(object)
    rare[0] = "single"
    scorer = NoveltyScorer("knn").fit(x, rare)
    assert "single" in scorer.classes_
    assert np.isfinite(
        NoveltyScorer().fit(np.repeat(x[::20], 5, axis=0), np.repeat(taxon[::20], 5)).known_scores_
    ).all()


def test_same_seed_same_threshold(known):
    first, second = (NoveltyScorer("vim").fit(*known) for _ in range(2))
    assert first.threshold_ == second.threshold_
    assert first.known_scores_.tobytes() == second.known_scores_.tobytes()


def labelled(x, fingerprint):
    return xr.DataArray(x, dims=("object", "feature"), attrs={"fingerprint": fingerprint})


def test_features_of_another_encoder_are_refused(known):
    x, taxon = known
    scorer = NoveltyScorer().fit(labelled(x, "abc"), taxon)
    assert_allclose(scorer.score(labelled(x, "abc")), scorer.score(x))
    with pytest.raises(ValueError, match="def"):
        scorer.score(labelled(x, "def"))


@pytest.mark.parametrize("n_taxa", [2, 4])
@pytest.mark.parametrize("method", METHODS)
def test_a_saved_scorer_says_the_same_to_the_bit(strangers, method, n_taxa, tmp_path):
    x, taxon = clusters(0, n_taxa=n_taxa)
    scorer = NoveltyScorer(method, n_neighbors=7, recall=0.9, random_state=3).fit(labelled(x, "abc"), taxon)
    for limit in (scorer.threshold_, -np.inf):
        scorer.threshold_ = limit
        scorer.save(tmp_path / "scorer.npz")
        loaded = NoveltyScorer.load(tmp_path / "scorer.npz")
        assert loaded.score(strangers).tobytes() == scorer.score(strangers).tobytes()
        assert_array_equal(loaded.predict(x), scorer.predict(x))
    assert loaded.set_threshold(recall=0.5).threshold_ == scorer.set_threshold(recall=0.5).threshold_
    assert (loaded.get_params(), loaded.classes_.tolist()) == (scorer.get_params(), scorer.classes_.tolist())
    with pytest.raises(ValueError, match="fingerprint def"):
        loaded.score(labelled(x, "def"))
    with pytest.raises(ValueError, match="shape"):
        loaded.score(x[:, :4])


def test_a_scorer_that_is_damaged_or_none_or_code_is_refused(known, tmp_path):
    x, taxon = known
    path = tmp_path / "scorer.npz"
    with pytest.raises(NotFittedError):
        NoveltyScorer().save(path)
    with pytest.raises(ValueError, match=r"ends in \.npz"):
        NoveltyScorer().fit(x, taxon).save(tmp_path / "scorer.pkl")
    head = LogisticRegression().fit(x, taxon)
    with pytest.raises(ValueError, match=r"holds no code\. Fit one without head"):
        NoveltyScorer("energy", head=head.decision_function).fit(x, taxon).save(path)
    TaxonClassifier().fit(x, taxon).save(path)
    with pytest.raises(ValueError, match=r"is no NoveltyScorer but 'aqqua_science\.TaxonClassifier'"):
        NoveltyScorer.load(path)
    NoveltyScorer().fit(x, taxon).save(path)
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 30):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"It is none, or damaged\. Write one with NoveltyScorer\.save"):
            NoveltyScorer.load(path)


def test_lazy_features_are_scored(known):
    x, taxon = known
    scorer = NoveltyScorer().fit(x, taxon)
    assert_allclose(scorer.score(labelled(x, "abc").chunk({"object": 64})), scorer.score(x))
    assert scorer.score(x[:0]).shape == (0,)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_looked_at_is_not_scored(known, method):
    x, taxon = known
    holed = x.copy()
    holed[3, 1] = np.nan
    with pytest.raises(ValueError, match="row 3"):
        NoveltyScorer(method).fit(holed, taxon)
    with pytest.raises(ValueError, match="row 3"):
        NoveltyScorer(method).fit(x, taxon).score(holed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "knnn"}, "knn"),
        ({"method": "knn", "n_neighbors": 0}, "n_neighbors"),
        ({"method": "knn", "n_neighbors": 5000}, "n_neighbors"),
        ({"method": "vim", "n_components": 8}, "n_components"),
        ({"recall": 95}, "recall"),
    ],
)
def test_settings_out_of_range_are_refused(known, settings, message):
    with pytest.raises(ValueError, match=message):
        NoveltyScorer(**settings).fit(*known)


def test_bad_objects_are_refused(known):
    x, taxon = known
    with pytest.raises(ValueError, match="row 2"):
        NoveltyScorer().fit(x, [*taxon[:2], None, *taxon[3:]])
    with pytest.raises(ValueError, match="two taxa"):
        NoveltyScorer("vim").fit(x, ["Copepoda"] * len(x))
    with pytest.raises(ValueError, match="shape"):
        NoveltyScorer().fit(x, taxon).score(x[:, :4])


def test_distortion_is_bray_curtis():
    assert community_distortion([3, 1, 0], [3, 1, 0]) == 0
    assert community_distortion([4, 0, 0], [0, 0, 4]) == 1
    assert community_distortion([6, 2, 2], [4, 2, 4]) == pytest.approx(4 / 20)
    assert np.isnan(community_distortion([0, 0], [0, 0]))
    assert_allclose(community_distortion(np.eye(2), np.ones((2, 2)) / 2), [0.5, 0.5])


def slow_distortion(scores, taxon, predicted, samples, threshold):
    """Mean over samples of the distance between two tables of counts, made object by object."""
    found = []
    for sample in sorted(set(samples)):
        true, told = {}, {}
        for s, t, p, where in zip(scores, taxon, predicted, samples, strict=True):
            if where == sample:
                t = t if t in "abc" else "?"
                p = p if s <= threshold else "?"
                true[t], told[p] = true.get(t, 0) + 1, told.get(p, 0) + 1
        gap = sum(abs(true.get(k, 0) - told.get(k, 0)) for k in "abc?")
        found.append(gap / (sum(true.values()) + sum(told.values())))
    return np.mean(found)


def test_the_curve_counts_objects():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 20, 150) / 4
    taxon, predicted = rng.choice(list("abcxy"), 150), rng.choice(list("abc"), 150)
    samples = rng.choice([10, 20, 30], 150)
    curve = distortion_curve(scores, taxon, predicted, classes=list("abc"), samples=samples)
    assert len(curve) == len(set(scores)) + 1
    for row in curve.itertuples():
        expected = slow_distortion(scores, taxon, predicted, samples, row.threshold)
        assert row.distortion == pytest.approx(expected, abs=1e-12)
        is_known = np.isin(taxon, list("abc"))
        assert row.known_recall == pytest.approx(np.mean(scores[is_known] <= row.threshold))
        assert row.unknown_recall == pytest.approx(np.mean(scores[~is_known] > row.threshold))
    best = best_threshold(curve)
    assert curve.set_index("threshold")["distortion"][best] == curve["distortion"].min()


def test_a_perfect_scorer_has_no_distortion():
    taxon = np.array(list("aabbx"))
    curve = distortion_curve([0, 1, 2, 3, 9], taxon, list("aabba"), classes=list("ab"))
    assert best_threshold(curve) == 3
    assert curve["distortion"].min() == 0
    # Everything rejected: four fifths of the community become unknown.
    assert curve["distortion"].iloc[0] == pytest.approx(0.8)


def test_what_no_curve_can_come_from_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        distortion_curve([np.nan], ["a"], ["a"], classes=["a"])
    with pytest.raises(ValueError, match="same objects"):
        distortion_curve([1.0, 2.0], ["a"], ["a"], classes=["a"])
    with pytest.raises(ValueError, match="'b'"):
        distortion_curve([1.0], ["a"], ["b"], classes=["a"])


def test_drawn_communities_have_the_wanted_parts():
    taxon = np.array(["a"] * 50 + ["b"] * 5 + ["x"] * 10)
    rows, samples = draw_communities(taxon, n_communities=300, size=100, classes=["a", "b", "c"], unknown=(0.2, 0.4))
    table = pd.crosstab(samples, taxon[rows]) / 100
    assert np.allclose(table.sum(axis=1), 1)
    assert table["x"].mean() == pytest.approx(0.3, abs=0.02)
    assert table["a"].mean() == pytest.approx(0.35, abs=0.03)
    again, _ = draw_communities(taxon, n_communities=300, size=100, classes=["a", "b", "c"], unknown=(0.2, 0.4))
    assert_array_equal(rows, again)
    rows, _ = draw_communities(taxon[:55], n_communities=3, size=10, classes=["a", "b"], unknown=(0, 0))
    assert rows.max() < 55
    with pytest.raises(ValueError, match="Hold taxa out"):
        draw_communities(taxon[:55], n_communities=3, size=10, classes=["a", "b"])


def test_a_threshold_by_community_beats_fixed_recall_where_strangers_are_many(known, strangers):
    x, taxon = known
    scorer, head = NoveltyScorer().fit(x, taxon), LogisticRegression(max_iter=500).fit(x, taxon)
    near = np.random.default_rng(8).normal(size=(400, 8)) * 1.5
    held, names = clusters(4)
    rows = np.concatenate([held, near[:200]])
    names = [*names, *["new"] * 200]
    scorer.set_threshold_by_community(rows, names, predicted=head.predict(rows))
    test, truth = clusters(6)
    test, truth = np.concatenate([test, near[200:]]), [*truth, *["new"] * 200]
    curve = [
        distortion_curve(
            scorer.score(test), truth, head.predict(test), classes=scorer.classes_, thresholds=[threshold]
        )["distortion"][0]
        for threshold in (scorer.threshold_, scorer.set_threshold(recall=0.95).threshold_)
    ]
    assert curve[0] <= curve[1]
    with pytest.raises(ValueError, match="reject nothing"):
        scorer.set_threshold_by_community(x, taxon, predicted=taxon)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_real_taxa_held_out_are_found_and_communities_kept(shared_data, method):
    auroc, fixed, chosen = zip(*(real_trial(shared_data, method, seed) for seed in range(6)), strict=True)
    # With features this few, a linear classifier's logits tell little of what it has not seen.
    assert np.mean(auroc) > (0.55 if method in {"energy", "vim"} else 0.65)
    assert np.mean(chosen) <= np.mean(fixed) + 0.005


def real_trial(shared_data, method, seed):
    """AUROC, and distortion of test communities by fixed recall and by the threshold chosen on others."""
    rng = np.random.default_rng(seed)
    table = pd.read_csv(shared_data / "insitu/gkampolis+WandererID/Data/Data.txt", sep="\t")
    place = ["!Item", "Label", "X", "Y", "XM", "YM", "BX", "BY", "XStart", "YStart", "Angle", "Tag", "Ident", "Status"]
    x = QuantileTransformer(n_quantiles=200, output_distribution="normal").fit_transform(table.drop(columns=place))
    taxon = table["Ident"].to_numpy(dtype=object)
    # Three taxa are unknown when the threshold is chosen, three others when it is judged.
    names = rng.permutation(np.unique(taxon))
    part = rng.integers(0, 3, len(x))
    is_known = ~np.isin(taxon, names[:6])
    learn = is_known & (part == 0)
    scorer, head = NoveltyScorer(method).fit(x[learn], taxon[learn]), LogisticRegression(C=0.1, max_iter=500)
    head.fit(x[learn], taxon[learn])
    communities = {}
    for step, strange in ((1, names[:3]), (2, names[3:6])):
        pool = np.flatnonzero((part == step) & (is_known | np.isin(taxon, strange)))
        rows, samples = draw_communities(taxon[pool], n_communities=100, size=200, classes=scorer.classes_, rng=seed)
        communities[step] = pool[rows], samples
    rows, samples = communities[1]
    fixed = scorer.threshold_
    scorer.set_threshold_by_community(x[rows], taxon[rows], predicted=head.predict(x[rows]), samples=samples)
    rows, samples = communities[2]
    scores = scorer.score(x[rows])
    told = {"classes": scorer.classes_, "samples": samples}
    distortion = [
        distortion_curve(scores, taxon[rows], head.predict(x[rows]), thresholds=[t], **told)["distortion"][0]
        for t in (fixed, scorer.threshold_)
    ]
    return roc_auc_score(~np.isin(taxon[rows], scorer.classes_), scores), *distortion
