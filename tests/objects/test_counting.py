"""Counts corrected for confusion: against slow references, in worlds of known composition, and on real objects."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.optimize import minimize
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from aqqua_science.objects import quantify
from aqqua_science.objects.counting import renormalise
from aqqua_science.objects.prevalence import (
    confusion_matrix,
    fit_biases,
    fit_recalibration,
    invert_confusion,
    log_probabilities,
    maximise_likelihood,
    project_simplex,
)
from aqqua_science.objects.rehearsal import rehearse
from aqqua_science.schema import SchemaError

METHODS = ("emq", "cc", "acc", "pcc", "pacc")


def world(seed, *, n_taxa=9, n_samples=25, n=300, concentration=0.5, n_known=40, model=None):
    """Objects of nine taxa that overlap, a classifier trained on one composition, samples of many others."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_taxa, 6)) * 1.3
    names = [f"taxon {k}" for k in range(n_taxa)]
    base = rng.dirichlet(np.full(n_taxa, 2.0)) + 0.02
    base /= base.sum()

    def draw(prevalence, size):
        taxa = rng.choice(n_taxa, size=size, p=prevalence)
        return centres[taxa] + rng.normal(size=(size, 6)), taxa

    classifier = (LogisticRegression(max_iter=500) if model is None else model).fit(*draw(base, 3000))

    def sample(prevalence, size):
        x, taxa = draw(prevalence, size)
        return pd.DataFrame(classifier.predict_proba(x), columns=names), taxa

    known = [(g, *sample(rng.dirichlet(10 * base), 60)) for g in range(n_known)]
    calibration = pd.concat(
        [p.assign(taxon=[names[k] for k in taxa], sample_id=g) for g, p, taxa in known], ignore_index=True
    )
    truth = rng.dirichlet(np.full(n_taxa, concentration), size=n_samples)
    probabilities, taxa = zip(*(sample(p, n) for p in truth), strict=True)
    seen = np.stack([np.bincount(t, minlength=n_taxa) / n for t in taxa])
    samples = np.repeat(np.arange(n_samples), n)
    return pd.concat(probabilities, ignore_index=True), samples, calibration, truth, seen


def as_matrix(table, column, n_samples):
    return table[column].to_numpy().reshape(n_samples, -1)


def bray_curtis(a, b):
    return (np.abs(a - b).sum(axis=1) / (a + b).sum(axis=1)).mean()


def coverage(table, truth):
    low, high = (as_matrix(table, f"prevalence_{side}", len(truth)) for side in ("low", "high"))
    return ((low <= truth) & (truth <= high)).mean()


@pytest.fixture(scope="module")
def small():
    return world(3, n_taxa=4, n_samples=4, n=120, n_known=12)


def slow_expectation_maximisation(posteriors, prior, steps):
    """Equation 2.9 of Saerens et al. 2002, object by object."""
    n, k = posteriors.shape
    current = list(prior)
    for _ in range(steps):
        new = [0.0] * k
        for i in range(n):
            terms = [current[c] / prior[c] * posteriors[i, c] for c in range(k)]
            for c in range(k):
                new[c] += terms[c] / sum(terms) / n
        current = new
    return np.array(current)


def test_prevalences_are_those_of_the_paper():
    rng = np.random.default_rng(0)
    posteriors, prior = rng.dirichlet([0.5, 0.5, 0.5], size=40), np.array([0.5, 0.3, 0.2])
    found = maximise_likelihood(
        posteriors, np.full((40, 1), 1 / 40), scale=1 / prior[:, None], start=prior[:, None], tolerance=1e-12
    )
    assert_allclose(found[:, 0], slow_expectation_maximisation(posteriors, prior, 3000), atol=1e-9)


def test_no_other_prevalences_are_more_likely():
    rng = np.random.default_rng(1)
    ratios = rng.gamma(0.3, size=(200, 6))
    weights = rng.dirichlet(np.ones(200), size=5).T
    scale = rng.uniform(0.5, 2, size=(6, 5))
    found = maximise_likelihood(ratios, weights, scale=scale, start=np.full((6, 5), 1 / 6), tolerance=1e-10)
    slope = scale * (ratios.T @ (weights / (ratios @ (found * scale))))
    assert_allclose(found.sum(axis=0), 1)
    # At the maximum over a simplex, the likelihood rises nowhere, and is level where a prevalence is positive.
    assert slope.max() < 1 + 1e-4
    assert_allclose(slope[found > 1e-3], 1, atol=1e-5)


def test_problems_solved_together_are_solved_as_alone():
    rng = np.random.default_rng(2)
    ratios, weights = rng.gamma(0.5, size=(50, 4)), rng.dirichlet(np.ones(50), size=3).T
    settings = {"scale": rng.uniform(0.5, 2, (4, 3)), "start": np.full((4, 3), 0.25)}
    together = maximise_likelihood(ratios, weights, **settings)
    for j in range(3):
        alone = maximise_likelihood(ratios, weights[:, [j]], **{k: v[:, [j]] for k, v in settings.items()})
        assert_allclose(together[:, [j]], alone, atol=1e-12)


def test_taxa_that_nothing_tells_apart_are_reported_as_not_converged(monkeypatch):
    monkeypatch.setattr("aqqua_science.objects.prevalence._MAX_STEPS", 3)
    ratios = np.random.default_rng(0).gamma(0.5, size=(50, 3))
    with pytest.warns(UserWarning, match="told apart"):
        maximise_likelihood(ratios, np.full((50, 1), 0.02), scale=np.ones((3, 1)), start=np.full((3, 1), 1 / 3))


def test_projection_is_the_nearest_point():
    points = np.random.default_rng(0).normal(size=(30, 5))
    found = project_simplex(points)
    assert_allclose(found.sum(axis=1), 1)
    assert found.min() >= 0
    # The nearest point is the points shifted alike and cut at zero; the shift is found by bisection.
    for point, answer in zip(points, found, strict=True):
        low, high = point.min() - 2, point.max()
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if np.maximum(point - middle, 0).sum() > 1 else (low, middle)
        assert_allclose(answer, np.maximum(point - middle, 0), atol=1e-12)


def test_adjustment_finds_what_explains_the_report():
    rng = np.random.default_rng(0)
    confusion = (np.eye(6) + rng.dirichlet(np.ones(6), size=6).T) / 2
    truth = rng.dirichlet(np.full(6, 0.3), size=20)
    assert_allclose(invert_confusion(truth @ confusion.T, confusion), truth, atol=1e-4)


def test_adjustment_is_least_squares_on_the_simplex():
    rng = np.random.default_rng(5)
    confusion = (0.6 * np.eye(4) + 0.4 * rng.dirichlet(np.ones(4), size=4)).T
    for reported in rng.dirichlet(np.full(4, 0.4), size=5):
        reference = minimize(
            lambda p, r=reported: np.sum((confusion @ p - r) ** 2),
            np.full(4, 0.25),
            bounds=[(0, 1)] * 4,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert_allclose(invert_confusion(reported[None], confusion)[0], reference.x, atol=1e-4)


def test_two_taxa_are_adjusted_as_by_forman():
    hits, false_alarms = 0.8, 0.1
    confusion = np.array([[hits, false_alarms], [1 - hits, 1 - false_alarms]])
    for counted in (0.05, 0.3, 0.9):
        formula = np.clip((counted - false_alarms) / (hits - false_alarms), 0, 1)
        assert_allclose(invert_confusion(np.array([[counted, 1 - counted]]), confusion)[0, 0], formula, atol=1e-5)


def test_confusion_is_the_mean_report_of_each_taxon():
    reported = np.array([[1.0, 0], [0, 1], [0.5, 0.5]])
    found = confusion_matrix(reported, np.array([0, 0, 1]), weights=np.array([3.0, 1, 1]))
    assert_allclose(found, [[0.75, 0.5], [0.25, 0.5]])


def test_recalibration_undoes_overconfidence():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (honest.cumsum(axis=1) < rng.random(20_000)[:, None]).sum(axis=1)
    slope, bias = fit_recalibration(np.log(honest), labels)
    assert_allclose([slope, *(bias - bias.mean())], [1, 0, 0, 0], atol=0.05)
    squared = honest**2 / (honest**2).sum(axis=1, keepdims=True)
    assert_allclose(fit_recalibration(np.log(squared), labels)[0], slope / 2, rtol=1e-3)


def test_biases_bring_the_mean_probability_to_the_frequency():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(5000, 4)), rng.choice(4, 5000, p=[0.7, 0.2, 0.09, 0.01])
    weights = rng.exponential(size=5000)
    bias = fit_biases(scores, labels, weights=weights, start=np.zeros(4))
    fitted = np.exp(scores + bias) / np.exp(scores + bias).sum(axis=1, keepdims=True)
    frequency = np.bincount(labels, weights=weights) / weights.sum()
    # The ridge of one object per unit of bias is all that is left over.
    assert_allclose(np.average(fitted, axis=0, weights=weights), frequency, atol=5 / 5000)


def test_a_zero_becomes_half_of_the_smallest_probability():
    assert_allclose(np.exp(log_probabilities(np.array([[0, 1], [1e-4, 1 - 1e-4]])))[0, 0], 5e-5)
    assert_allclose(np.exp(log_probabilities(np.array([[0.0, 1.0]])))[0, 0], 1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_tables_are_whole(small, method):
    probabilities, samples, calibration, _, _ = small
    given = probabilities.copy(), calibration.copy()
    table = quantify(probabilities, samples, calibration=calibration, method=method, n_boot=20)
    assert len(table) == 4 * 4
    assert_allclose(table.groupby("sample_id")["prevalence"].sum(), 1)
    assert_allclose(table["count"], 120 * table["prevalence"])
    for name in ("prevalence", "count"):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
    again = quantify(probabilities, samples, calibration=calibration, method=method, n_boot=20)
    pd.testing.assert_frame_equal(table, again)
    pd.testing.assert_frame_equal(probabilities, given[0])
    pd.testing.assert_frame_equal(calibration, given[1])


def test_probabilities_sum_to_one_again_without_a_taxon():
    whole = pd.DataFrame({"a": [0.6, 0.0, 0.2], "b": [0.2, 0.0, 0.0], "c": [0.2, 1.0, 0.8]}, dtype=np.float32)
    expected = [[0.75, 0.25], [0.5, 0.5], [1, 0]]
    assert_allclose(renormalise(whole[["a", "b"]]), expected, atol=1e-6)
    assert_allclose(renormalise(whole[["a", "b"]]).sum(axis=1), 1, rtol=1e-12)


def test_counts_without_correction_are_counts(small):
    probabilities, samples, calibration, _, _ = small
    counted = quantify(probabilities, samples, calibration=calibration, method="cc", n_boot=0)
    expected = [(probabilities[samples == s].idxmax(axis=1) == t).sum() for s in range(4) for t in probabilities]
    assert_allclose(counted["count"], expected)
    assert counted["count_low"].isna().all()
    added = quantify(probabilities, samples, calibration=calibration, method="pcc", n_boot=0)
    assert_allclose(added["count"], probabilities.groupby(samples).sum().to_numpy().ravel())


@pytest.mark.parametrize("method", ["emq", "pacc"])
def test_order_of_objects_and_other_samples_do_not_matter(small, method):
    probabilities, samples, calibration, _, _ = small
    order = np.random.default_rng(0).permutation(len(samples))
    settings = {"calibration": calibration, "method": method, "n_boot": 0}
    table = quantify(probabilities, samples, **settings)
    shuffled = quantify(probabilities.iloc[order], samples[order], **settings)
    assert_allclose(table["prevalence"], shuffled["prevalence"], atol=1e-6)
    alone = quantify(probabilities[samples == 2], samples[samples == 2], **settings)
    assert_allclose(table.query("sample_id == 2")["prevalence"], alone["prevalence"], atol=1e-6)


def test_arrays_need_the_names_of_their_columns(small):
    probabilities, samples, calibration, _, _ = small
    settings = {"calibration": calibration, "n_boot": 0}
    table = quantify(probabilities.to_numpy(), samples, classes=list(probabilities), **settings)
    pd.testing.assert_frame_equal(table, quantify(probabilities, samples, **settings))
    with pytest.raises(ValueError, match="classes="):
        quantify(probabilities.to_numpy(), samples, **settings)


def test_a_sample_without_objects_has_zeros_and_no_prevalence(small):
    probabilities, samples, calibration, _, _ = small
    named = pd.Categorical([f"s{s}" for s in samples], categories=["s0", "s1", "empty", "s2", "s3"])
    table = quantify(probabilities, named, calibration=calibration, n_boot=10)
    empty = table[table["sample_id"] == "empty"]
    assert (empty[["count", "count_low", "count_high"]] == 0).all(axis=None)
    assert empty[["prevalence", "prevalence_low", "prevalence_high"]].isna().all(axis=None)
    assert table["count"].sum() == pytest.approx(len(samples))
    none = quantify(probabilities.iloc[:0], named[:0], calibration=calibration, n_boot=10)
    assert none["count"].sum() == 0


def test_intervals_narrow_as_samples_grow():
    probabilities, samples, calibration, _, _ = world(4, n_taxa=3, n_samples=1, n=4000, n_known=5)
    width = []
    for n in (250, 4000):
        table = quantify(probabilities[:n], samples[:n], calibration=calibration, method="pcc", n_boot=400)
        width.append((table["prevalence_high"] - table["prevalence_low"]).mean())
    assert width[0] / width[1] == pytest.approx(4, rel=0.3)


@pytest.mark.parametrize("seen", [0, 3, 20])
def test_intervals_of_a_faultless_classifier_are_those_of_a_proportion(seen):
    n = 40
    sure = pd.DataFrame({"a": np.arange(n) < seen, "b": np.arange(n) >= seen}).astype(float)
    known = pd.DataFrame({"a": [1.0, 0], "b": [0.0, 1], "taxon": ["a", "b"]})
    row = quantify(sure, ["s"] * n, calibration=known, method="cc", n_boot=4000).iloc[0]
    # Resampled proportions follow a beta distribution; half an object more is Jeffreys' upper limit.
    low = stats.beta(seen, n - seen).ppf(0.05) if seen else 0
    assert row["count_low"] == pytest.approx(n * low, abs=0.3)
    assert row["count_high"] == pytest.approx(n * stats.beta(seen + 0.5, n - seen).ppf(0.95), abs=0.6)


def test_a_classifier_that_overstates_is_heard_all_the_same(small):
    probabilities, samples, calibration, _, _ = small
    names = list(probabilities)

    def overstated(table):
        logits = 1.7 * np.log(table[names]) + [1.0, -1.0, 0.5, 0.0]
        return table.assign(**np.exp(logits).div(np.exp(logits).sum(axis=1), axis=0))

    honest = quantify(probabilities, samples, calibration=calibration, n_boot=0)
    other = quantify(overstated(probabilities), samples, calibration=overstated(calibration), n_boot=0)
    assert_allclose(honest["prevalence"], other["prevalence"], atol=5e-3)


def test_repeats_within_a_labelled_sample_are_no_evidence(small):
    probabilities, samples, calibration, _, _ = small
    fourfold = pd.concat([calibration] * 4)
    settings = {"method": "pacc", "n_boot": 100}
    table, repeated = (quantify(probabilities, samples, calibration=c, **settings) for c in (calibration, fourfold))
    assert_allclose(table["prevalence_high"], repeated["prevalence_high"], atol=1e-3)
    independent = quantify(probabilities, samples, calibration=fourfold.drop(columns="sample_id"), **settings)
    spread = [(t["prevalence_high"] - t["prevalence_low"]).sum() for t in (table, independent)]
    assert spread[1] < 0.98 * spread[0]


def test_shifted_samples_are_counted_and_covered():
    probabilities, samples, calibration, truth, seen = world(0)
    tables = {m: quantify(probabilities, samples, calibration=calibration, method=m, n_boot=150) for m in ("cc", "emq")}
    error = {m: bray_curtis(as_matrix(t, "prevalence", len(seen)), seen) for m, t in tables.items()}
    assert error["emq"] < 0.5 * error["cc"]
    assert 0.85 <= coverage(tables["emq"], truth) <= 0.95


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"n_samples": 40, "n": 400},
        {"n_samples": 20, "n": 1500},
        {"n_samples": 40, "n": 100, "concentration": 0.2},
        {"n_samples": 40, "model": LogisticRegression(class_weight="balanced", max_iter=500)},
        {"n_samples": 30, "model": RandomForestClassifier(50, min_samples_leaf=5, random_state=0)},
    ],
    ids=["standard", "large", "few and uneven", "balanced", "forest"],
)
def test_half_the_error_and_nominal_intervals_in_many_worlds(settings):
    errors, covered = {"cc": [], "emq": []}, []
    for seed in range(10, 14):
        probabilities, samples, calibration, truth, seen = world(seed, **settings)
        for method, found in errors.items():
            n_boot = 200 if method == "emq" else 0
            table = quantify(probabilities, samples, calibration=calibration, method=method, n_boot=n_boot)
            found.append(bray_curtis(as_matrix(table, "prevalence", len(seen)), seen))
        covered.append(coverage(table, truth))
    assert np.mean(errors["emq"]) < 0.5 * np.mean(errors["cc"])
    assert 0.85 <= np.mean(covered) <= 0.95


@pytest.mark.slow
def test_real_zooplankton_resampled_to_other_compositions(shared_data):
    known, counted = zooscan(shared_data)
    rng = np.random.default_rng(0)
    names = [name for name in known if name not in {"taxon", "sample_id"}]
    rows, truth = [], rng.dirichlet(np.full(len(names), 0.5), size=40)
    for prevalence in truth:
        amounts = rng.multinomial(300, prevalence)
        rows += [rng.choice(np.flatnonzero(counted["taxon"] == t), k) for t, k in zip(names, amounts, strict=True)]
    rows, samples = np.concatenate(rows), np.repeat(np.arange(40), 300)
    seen = pd.crosstab(samples, counted["taxon"].to_numpy()[rows]).reindex(columns=names, fill_value=0).to_numpy() / 300
    tables = {
        method: quantify(counted[names].iloc[rows], samples, calibration=known, method=method)
        for method in ("cc", "pacc", "emq")
    }
    error = {method: bray_curtis(as_matrix(table, "prevalence", 40), seen) for method, table in tables.items()}
    assert error["emq"] < 0.55 * error["cc"]
    assert error["pacc"] < 0.65 * error["cc"]
    assert coverage(tables["emq"], truth) > 0.83


@pytest.mark.slow
def test_a_rehearsal_tells_where_nets_differ(shared_data):
    known, _ = zooscan(shared_data)
    alike = rehearse(known.assign(sample_id=np.arange(len(known)) % 30), n_boot=60).set_index("method")
    differ = rehearse(known, n_boot=60).set_index("method")
    assert (differ.loc[alike.index, "distortion"] > alike["distortion"]).all()
    assert differ.loc["emq", "coverage"] < alike.loc["emq", "coverage"]


def test_a_rehearsal_knows_the_error_to_come():
    probabilities, samples, calibration, truth, _ = world(1, n_taxa=5, n_samples=40)
    told = rehearse(calibration, methods=("cc", "emq"), n_communities=20, n_boot=60).set_index("method")
    for method in ("cc", "emq"):
        table = quantify(probabilities, samples, calibration=calibration, method=method, n_boot=0)
        assert told.loc[method, "distortion"] == pytest.approx(
            bray_curtis(as_matrix(table, "prevalence", 40), truth), rel=0.35
        )
    assert told.index[0] == "emq"
    # Objects drawn again and again err together, so that a rehearsal is a little too strict.
    assert 0.75 < told.loc["emq", "coverage"] <= 0.95
    assert told.loc["cc", "coverage"] < 0.6


def test_a_rehearsal_leaves_out_what_it_cannot_know(small):
    calibration = small[2]
    odd = calibration["taxon"] == "taxon 1"
    lonely = calibration[~odd | (calibration["sample_id"] == 0)]
    told = rehearse(lonely, methods=["pacc"], n_communities=5, size=50, n_boot=0)
    assert told["distortion"].notna().all()
    assert told["coverage"].isna().all()
    with pytest.raises(SchemaError, match="n_folds=3"):
        rehearse(calibration.assign(sample_id=calibration["sample_id"] % 2))
    with pytest.raises(SchemaError, match="sample_id"):
        rehearse(calibration.drop(columns="sample_id"))


def zooscan(shared_data):
    """Two halves of labelled ZooScan objects, by taxon at random, with probabilities that were not learnt from them."""
    table = pd.read_csv(shared_data / "insitu/gkampolis+WandererID/Data/Data.txt", sep="\t")
    net = table["Label"].str.extract(r"^(.*)-[^-]*$")[0]
    often = net.groupby(table["Ident"]).nunique()
    chosen = table["Ident"].isin(often.index[often >= 6])
    table, net = table[chosen].reset_index(drop=True), net[chosen].to_numpy()
    place = ["!Item", "Label", "X", "Y", "XM", "YM", "BX", "BY", "XStart", "YStart", "Angle", "Tag", "Ident", "Status"]
    x, taxon = table.drop(columns=place).to_numpy(float), table["Ident"].to_numpy()
    model = make_pipeline(
        QuantileTransformer(n_quantiles=200, output_distribution="normal"), LogisticRegression(C=0.1, max_iter=500)
    )
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    held_out = cross_val_predict(model, x, taxon, cv=folds, method="predict_proba")
    whole = pd.DataFrame(held_out, columns=sorted(set(taxon))).assign(taxon=taxon, sample_id=net)
    part = np.random.default_rng(0).random(len(whole)) < 0.5
    return whole[part].reset_index(drop=True), whole[~part].reset_index(drop=True)


def test_forests_that_are_certain_can_be_corrected():
    forest = RandomForestClassifier(20, random_state=0)
    probabilities, samples, calibration, _, seen = world(2, n_taxa=4, n_samples=6, model=forest)
    assert (probabilities == 0).any(axis=None)
    error = {}
    for method in ("cc", "emq"):
        table = quantify(probabilities, samples, calibration=calibration, method=method, n_boot=0)
        error[method] = bray_curtis(as_matrix(table, "prevalence", 6), seen)
    assert error["emq"] < error["cc"]


def test_twins_are_told(small):
    probabilities, samples, calibration, _, _ = small
    half = {name: lambda t: t["taxon 0"] / 2 for name in "ab"}
    twins, known = (t.assign(**half).drop(columns="taxon 0") for t in (probabilities, calibration))
    first = known[known["taxon"] == "taxon 0"]
    known = pd.concat([known.drop(index=first.index), first.assign(taxon="a"), first.assign(taxon="b")])
    with pytest.warns(UserWarning, match="'a' and 'b'"):
        table = quantify(twins, samples, calibration=known, method="pacc", n_boot=0)
    whole = quantify(probabilities, samples, calibration=calibration, method="pacc", n_boot=0)
    pair = table[table["taxon"].isin(["a", "b"])].groupby("sample_id")["prevalence"]
    assert_allclose(pair.sum(), whole.query("taxon == 'taxon 0'")["prevalence"], atol=0.03)
    assert_allclose(pair.max(), pair.min(), atol=1e-6)
    even = quantify(twins, samples, calibration=known, n_boot=0)
    assert_allclose(*(even.query("taxon == @name")["prevalence"] for name in "ab"), atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.assign(**{"taxon 2": p["taxon 2"].where(p.index != 5)}), "row 5"),
        (lambda p: p * 1.1, "sum to one"),
        (lambda p: p.assign(**{"taxon 0": p["taxon 0"] - 1, "taxon 1": p["taxon 1"] + 1}), "at least 0"),
        (lambda p: p[["taxon 0"]], "two taxa"),
        (lambda p: p.assign(sample_id="a"), "nothing but"),
    ],
)
def test_what_is_no_probability_is_refused(small, change, message):
    probabilities, samples, calibration, _, _ = small
    with pytest.raises(ValueError, match=message):
        quantify(change(probabilities), samples, calibration=calibration)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[c["taxon"] != "taxon 1"], r"no object of \['taxon 1'\]"),
        (lambda c: c.assign(taxon="new"), "new"),
        (lambda c: c.drop(columns="taxon 1"), "taxon 1"),
        (lambda c: c.drop(columns="taxon"), "taxon"),
        (lambda c: c.assign(sample_id=7), "two samples"),
        (lambda c: c.assign(sample_id=[None, *c["sample_id"][1:]]), "empty"),
    ],
)
def test_what_cannot_calibrate_is_refused(small, change, message):
    probabilities, samples, calibration, _, _ = small
    with pytest.raises(SchemaError, match=message):
        quantify(probabilities, samples, calibration=change(calibration))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "emqq"}, "emq"),
        ({"level": 90}, "between 0 and 1"),
        ({"n_boot": 1}, "n_boot"),
    ],
)
def test_settings_out_of_range_are_refused(small, settings, message):
    probabilities, samples, calibration, _, _ = small
    with pytest.raises(ValueError, match=message):
        quantify(probabilities, samples, calibration=calibration, **settings)


def test_objects_without_a_sample_are_refused(small):
    probabilities, samples, calibration, _, _ = small
    with pytest.raises(ValueError, match="480 objects"):
        quantify(probabilities, samples[:-1], calibration=calibration)
    with pytest.raises(SchemaError, match="row 3"):
        quantify(probabilities, [*samples[:3], None, *samples[4:]], calibration=calibration)


def test_samples_that_name_other_objects_are_refused(small):
    """By an index that tells so; what pandas numbers beside rows of a store is no fault."""
    probabilities, samples, calibration, _, _ = small
    told = {"calibration": calibration, "n_boot": 0}
    right = quantify(probabilities, samples, **told)
    mixed = pd.Series(samples).sample(frac=1, random_state=0)
    with pytest.raises(ValueError, match=r"samples is read by place.* Pass samples.loc\[probabilities.index\], or"):
        quantify(probabilities, mixed, **told)
    for named in (mixed.loc[probabilities.index], pd.Series(samples, np.arange(len(samples)) * 3)):
        pd.testing.assert_frame_equal(quantify(probabilities, named, **told), right)
