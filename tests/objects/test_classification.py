"""TaxonClassifier against scikit-learn's contract, known posteriors, leaks between samples, and real objects."""

import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.estimator_checks import parametrize_with_checks

from aqqua_science.objects import array_files
from aqqua_science.objects.array_files import write_arrays
from aqqua_science.objects.calibration import expected_calibration_error
from aqqua_science.objects.classification import TaxonClassifier
from aqqua_science.objects.counting import quantify
from aqqua_science.objects.crossfitting import deal_folds
from aqqua_science.objects.feature_input import check_finite
from aqqua_science.objects.taxonomy import Taxonomy

SMALL = {"logistic": {}, "knn": {}, "forest": {"n_trees": 10}, "boosting": {"n_rounds": 10}}
HEADS = list(SMALL)
TREE = Taxonomy({"living": None, "detritus": None, "Copepoda": "living", "Calanus": "Copepoda", "Oithona": "Copepoda"})


def small(head, **keywords):
    return TaxonClassifier(head, settings=SMALL[head], **{"n_folds": 2} | keywords)


def clouds(n, *, rng, apart=2.0, names=("Calanus", "Oithona", "detritus"), d=3):
    """As many clouds of unit spread as names, each on an axis of its own."""
    rng = np.random.default_rng(rng)
    which = np.arange(n) % len(names)
    X = rng.normal(size=(n, d))
    X[np.arange(n), which] += apart
    return X, np.array(names, dtype=object)[which]


# Classes of one object, which scikit-learn's checks hold, are learned with a warning.
@pytest.mark.filterwarnings("ignore:.*cannot be held out:UserWarning")
@parametrize_with_checks([small("logistic"), small("knn")])
def test_obeys_scikit_learn(estimator, check):
    check(estimator)


ISOTONIC = {"check_class_weight_classifiers": "it moves answers back towards how common the classes are, as told"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*cannot be held out:UserWarning")
@parametrize_with_checks(
    [small("forest"), small("boosting"), small("logistic", calibration="isotonic"), small("knn", calibration=None)],
    expected_failed_checks=lambda model: ISOTONIC if model.calibration == "isotonic" else {},
)
def test_other_choices_obey_scikit_learn(estimator, check):
    check(estimator)


# Mathematics


def test_probabilities_are_the_true_posterior():
    """Of clouds of one spread, log-odds are linear: known in closed form, and within the reach of the logistic head."""
    X, y = clouds(6_000, rng=0)
    model = TaxonClassifier(class_weight=None).fit(X, y)
    odds = np.exp(2.0 * X)  # exp(-|x - 2 e_k|^2 / 2), up to a constant
    assert np.abs(model.predict_proba(X) - odds / odds.sum(axis=1, keepdims=True)).mean() < 0.01
    assert_allclose(model.scaling_.temperature, 1, atol=0.05)


@pytest.mark.parametrize("head", HEADS)
def test_balanced_weights_make_a_rare_taxon_count(head):
    rng = np.random.default_rng(1)
    y = np.where(np.arange(2_000) % 25 == 0, "rare", "common")
    X = rng.normal(size=(2_000, 2)) + 2.0 * (y == "rare")[:, None]
    found = {}
    for weight in ("balanced", None):
        model = TaxonClassifier(head, class_weight=weight, calibration=None, settings=SMALL[head]).fit(X[::2], y[::2])
        answer = model.predict(X[1::2])
        found[weight] = [np.mean(answer[y[1::2] == name] == name) for name in ("rare", "common")]
    assert found["balanced"][0] > found[None][0]
    if head == "logistic":  # halfway between the clouds, as if both were as common: Phi(sqrt 2) = 0.921
        assert_allclose(found["balanced"], 0.921, atol=0.06)


def test_weights_by_name_are_the_weights_of_the_balance():
    X, y = clouds(300, rng=2)
    X, y = X[:250], np.where(np.arange(300) < 60, y, "detritus")[:250]
    names, counts = np.unique(y, return_counts=True)
    named = {name: len(y) / (len(names) * n) for name, n in zip(names.tolist(), counts, strict=True)}
    found = [
        TaxonClassifier(class_weight=w, calibration=None).fit(X, y).predict_proba(X) for w in (named, "balanced", None)
    ]
    assert_allclose(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 0.01


def test_neighbours_vote_by_the_inverse_of_their_distance():
    """Three objects at known angles, against the formula written out."""
    X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    model = TaxonClassifier("knn", calibration=None, class_weight=None, settings={"n_neighbours": 2})
    model.fit(X, ["a", "b", "c"])
    unit = (X - X.mean(axis=0)) / X.std(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    question = np.array([[0.9, 0.4]])
    asked = ((question - X.mean(axis=0)) / X.std(axis=0))[0]
    vote = 1 / (1 - unit @ (asked / np.linalg.norm(asked)))
    share = np.array([vote[0], vote[1], 0]) / (vote[0] + vote[1])
    assert_allclose(model.predict_proba(question)[0], (2 * share + 1 / 3) / 3, rtol=1e-6)


@pytest.mark.parametrize("value", [0.1, 30.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("head", HEADS)
def test_a_feature_that_never_changed_says_nothing(head, dtype, value):
    """The spread of a constant is rounding that grows with the number of rows; new rows differ by more."""
    X, y = clouds(501, rng=2, apart=6.0)
    X = np.column_stack([X, np.full(501, value)]).astype(dtype)
    model = TaxonClassifier(head, calibration=None, settings=SMALL[head]).fit(X, y)
    moved = X * np.array([1, 1, 1, 1 + 1e-6], dtype=dtype)
    assert (moved[:, 3] != X[:, 3]).all()
    assert_allclose(model.predict_proba(moved), model.predict_proba(X), atol=1e-3)
    assert np.mean(model.predict(moved) == y) > 0.99


# What is held out


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=4, max_size=60),
    st.integers(2, 5),
    st.integers(0, 9),
)
def test_no_group_is_ever_split(pairs, n_folds, seed):
    codes, groups = (np.unique(part, return_inverse=True)[1] for part in zip(*pairs, strict=True))
    folds = deal_folds(codes, groups, n_folds=n_folds, rng=seed)
    assert all(len(np.unique(folds[groups == group])) == 1 for group in np.unique(groups))
    alone = deal_folds(codes, None, n_folds=n_folds, rng=seed)
    counts = np.bincount(codes)
    used = len(np.unique(alone))
    assert used == min(n_folds, counts.max())
    assert all(len(np.unique(alone[codes == k])) == min(n, used) for k, n in enumerate(counts))


def test_without_groups_a_sample_gives_itself_away():
    """Features tell the sample and nothing else; each sample holds one taxon, at random."""
    rng = np.random.default_rng(3)
    sample = np.repeat(np.arange(60), 20)
    X = rng.normal(size=(60, 8))[sample] + 0.05 * rng.normal(size=(1_200, 8))
    y = rng.permutation(np.repeat(["a", "b"], 30))[sample]
    told = small("knn", n_folds=5).fit(X, y).scores_
    honest = small("knn", n_folds=5).fit(X, y, groups=sample).scores_
    assert told["accuracy"] > 0.99
    assert 0.25 < honest["accuracy"] < 0.7
    assert told["majority_accuracy"] == honest["majority_accuracy"] == 0.5


@pytest.mark.parametrize("head", ["logistic", "forest"])
def test_calibration_holds_for_objects_not_seen(head):
    """Many features and few objects: the head is badly calibrated, and new objects show whether that was mended."""
    X, y = clouds(4_600, rng=4, apart=1.2, d=60)
    model = TaxonClassifier(head, settings={"n_trees": 30} if head == "forest" else None).fit(X[:600], y[:600])
    raw = TaxonClassifier(head, settings=model.settings, calibration=None).fit(X[:600], y[:600])
    assert np.mean(raw.predict(X[600:]) == model.predict(X[600:])) > 0.999  # ties may fall otherwise
    probability = [m.predict_proba(X[600:]) for m in (raw, model)]
    before, after = (
        expected_calibration_error(p.max(axis=1), m.classes_[p.argmax(axis=1)] == y[600:])
        for m, p in zip((raw, model), probability, strict=True)
    )
    assert after < before / 2
    assert model.calibration_["ece_after"] < model.calibration_["ece_before"]
    assert model.calibration_["nll_after"] < model.calibration_["nll_before"]
    assert raw.calibration_ is raw.scores_ is raw.held_out_ is None


def test_held_out_probabilities_are_those_that_were_scored():
    X, y = clouds(120, rng=5)
    y[::10] = None
    sample = np.repeat([f"s{i}" for i in range(12)], 10)
    model = small("logistic").fit(X, y, groups=sample)
    held = model.held_out_
    assert_array_equal(held["taxon"], y[held.index])
    assert_array_equal(held["sample_id"], sample[held.index])
    answer = held[list(model.classes_)].to_numpy().argmax(axis=1)
    assert_allclose(np.mean(model.classes_[answer] == held["taxon"]), model.scores_["accuracy"])
    assert_allclose(held[list(model.classes_)].sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["rows of a store", "a table"])
def test_held_out_answers_are_joined_by_the_names_that_all_answers_have(kind):
    """A fit on every third object: joined by row, the held-out truth is the truth, as places are not."""
    X, y = clouds(240, rng=15, apart=9.0, names=("Calanus", "Oithona"))
    y[30] = None
    truth = pd.Series(y, index=np.arange(240) + 1000)
    if kind == "a table":
        features = pd.DataFrame(X, index=truth.index)[::3]
    else:
        features = xr.DataArray(X, dims=("object", "feature"), coords={"object": truth.index.to_numpy()})[::3]
    model = small("logistic").fit(features, truth[::3], groups=pd.Series(np.arange(80) % 8, truth.index[::3]))
    learned = truth[::3].dropna()
    assert model.held_out_.index.tolist() == learned.index.tolist()
    assert_array_equal(model.held_out_["taxon"], learned)
    found, all_found = model.classify_held_out(), model.classify(features)
    assert found.index.isin(all_found.index).all()
    assert found.index.name == all_found.index.name
    assert (found["taxon"] == truth[found.index]).mean() > 0.99


def test_an_index_that_tells_of_another_order_is_refused():
    X, y = clouds(60, rng=16)
    features = xr.DataArray(X, dims=("object", "feature"), coords={"object": np.arange(60)})
    table = pd.DataFrame(X)
    for known in (features, table, table.set_index(table.index.map("a{}".format))):
        index = pd.Index(known["object"]) if known is features else known.index
        mixed = pd.Series(y, index).sample(frac=1, random_state=0)
        with pytest.raises(ValueError, match=r"y is read by place.* not that of X: row 0 is .*y\.loc\[X\.index"):
            small("logistic").fit(known, mixed)
        with pytest.raises(ValueError, match=r"groups is read by place.* or groups\.to_numpy\(\)"):
            small("logistic").fit(known, y, groups=mixed)
        assert small("logistic").fit(known, mixed.loc[index]).scores_ == small("logistic").fit(X, y).scores_
    with pytest.raises(ValueError, match="row 0 is 1, where X has 0"):
        small("logistic").fit(features[::2], pd.Series(y)[1::2])


def test_an_index_that_tells_nothing_passes():
    """Numbers that pandas gave, labels of another kind, the same ones, and none on one side."""
    X, y = clouds(60, rng=16)
    features = xr.DataArray(X, dims=("object", "feature"), coords={"object": np.arange(60)})[::2]
    by_hand = small("logistic").fit(X[::2], y[::2]).scores_
    for known, taxon in (
        (features, pd.Series(y[::2])),
        (features, pd.Series(y)[::2]),
        (features, pd.Series(y[::2], [f"a{i}" for i in range(30)])),
        (pd.DataFrame(X[::2]), pd.Series(y)[::2]),
        (X[::2], pd.Series(y[::2], np.arange(30)[::-1])),
    ):
        assert small("logistic").fit(known, taxon).scores_ == by_hand


def test_balanced_probabilities_are_of_a_world_where_taxa_are_equally_common():
    """Their sum is that of Bayes with equal priors, many times the rare taxon's objects; `quantify` finds these."""
    rng = np.random.default_rng(17)
    rare = rng.random(12_000) < 0.05
    x = rng.normal(size=12_000) + 2 * rare
    y = np.where(rare, "Rhizaria", "Copepoda")
    equal = 1 / (1 + np.exp(-2 * (x - 1)))
    model = TaxonClassifier().fit(x[:6000, None], y[:6000])
    answers = pd.DataFrame(model.predict_proba(x[6000:, None]), columns=model.classes_)
    assert_allclose(answers["Rhizaria"].sum(), equal[6000:].sum(), rtol=0.1)
    assert answers["Rhizaria"].sum() > 3 * rare[6000:].sum()
    counts = quantify(answers, np.zeros(6000), calibration=model.held_out_, n_boot=0).set_index("taxon")["count"]
    assert_allclose(counts["Rhizaria"], rare[6000:].sum(), rtol=0.35)


def test_hierarchical_scores_come_with_a_taxonomy():
    X, y = clouds(150, rng=6)
    scores = small("logistic", taxonomy=TREE).fit(X, y).scores_
    assert scores["accuracy"] < scores["hierarchical_f1"] <= 1
    assert scores["parent_error_rate"] < 1 - scores["accuracy"]


# Labels and samples that are missing


def test_rows_without_a_label_are_left_out():
    X, y = clouds(90, rng=7)
    y[[3, 10, 20, 30]] = [None, np.nan, "", pd.NA]
    known = np.setdiff1d(np.arange(90), [3, 10, 20, 30])
    X_bad = X.copy()
    X_bad[3] = np.nan
    model = small("logistic").fit(X_bad, y)
    assert model.n_unlabelled_ == 4
    assert_array_equal(model.predict_proba(X), small("logistic").fit(X[known], y[known]).predict_proba(X))


def test_objects_of_the_fit_are_named_by_others_than_themselves():
    """Of chance nobody knows more than chance, but the nearest neighbour of an object is the object."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(400, 5)), rng.choice(["Calanus", "Oithona"], 400).astype(object)
    y[7] = None
    model = TaxonClassifier("knn", settings={"n_neighbours": 1}).fit(X, y)
    found = model.classify_held_out()
    assert found.index.tolist() == [row for row in range(400) if row != 7]
    assert 0.4 < (found["taxon"] == y[found.index]).mean() == model.scores_["accuracy"] < 0.6
    assert (model.predict(X[found.index]) == y[found.index]).all()
    assert list(found) == list(model.classify(X[:3]))
    with pytest.raises(ValueError, match=r"nothing was held out.* Fit with a calibration"):
        TaxonClassifier("knn", calibration=None).fit(X, y).classify_held_out()


def test_a_taxon_of_one_object_is_learned_and_told():
    X, y = clouds(60, rng=8)
    X[0], y[0] = [9.0, 9.0, 9.0], "Oikopleura"
    with pytest.warns(UserWarning, match="1 of 4 classes cannot be held out, since they have one object each: 'Oikop"):
        model = small("logistic").fit(X, y)
    assert model.predict(X[:1]).tolist() == ["Oikopleura"]
    assert model.untested_classes_ == ["Oikopleura"]
    with pytest.warns(UserWarning, match="since all their objects lie in one group: 'detritus'"):
        small("logistic").fit(X[1:], y[1:], groups=np.where(y[1:] == "detritus", 99, np.arange(59) % 5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [None] * 30}, "none of the 30 rows has a label"),
        ({"y": ["a"] * 30}, "all labels are of one class, 'a'"),
        ({"groups": ["s1"] * 30}, "all 30 labelled rows lie in one group, 's1'.* groups=None"),
        ({"groups": [None] * 30}, "30 of 30 labelled rows lie in no group.* groups=None"),
        ({"groups": ["s1"] * 3}, "each of the 30 rows"),
        ({"head": "logistics"}, "head must be one of .* Did you mean 'logistic'"),
        ({"calibration": "platt"}, "calibration must be one of"),
        ({"settings": {"n_trees": 5}}, "settings of head 'logistic': .*n_trees"),
        ({"class_weight": "even"}, "class_weight must be 'balanced', a dict or None"),
        ({"class_weight": {"Calanas": 2}}, "class_weight names 'Calanas', which no label is. Did you mean 'Calanus'"),
        ({"class_weight": {"Calanus": 0}}, "class_weight must be positive"),
        ({"n_folds": 1}, "n_folds must be at least 2"),
        ({"abstain_below": 50}, "above 0 and at most 1"),
        ({"taxonomy": Taxonomy({"Calanus": None})}, "'Oithona' is not among the 1 taxa"),
    ],
)
def test_what_cannot_be_learned_is_refused(change, message):
    X, y = clouds(30, rng=9)
    fit = {"y": y, "groups": None} | {k: v for k, v in change.items() if k in ("y", "groups")}
    model = TaxonClassifier(**{k: v for k, v in change.items() if k not in fit})
    with pytest.raises(ValueError, match=message):
        model.fit(X, fit["y"], groups=fit["groups"])


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_features_that_are_no_numbers_are_refused_by_row(value, word):
    X, y = clouds(60, rng=10)
    model = small("logistic", calibration=None).fit(X, y)
    many = np.zeros((70_000, 3), dtype=np.float32)
    many[69_000, 1] = value
    with pytest.raises(ValueError, match=f"{word}.* in row 69000, feature 1"):
        model.predict(many)
    X[7, 2], y[2] = value, None
    with pytest.raises(ValueError, match=f"{word}.* in row 7, feature 2; 1 of 59 rows"):
        small("logistic").fit(X, y)


def test_large_features_are_not_taken_for_infinite():
    """The sum of a row may overflow where no value of it does."""
    check_finite(np.array([[3e38, 3e38], [1.0, 2.0]], dtype=np.float32))


# Labelled arrays


def features(X, **attributes):
    coords = {"object": np.arange(len(X)) + 500, "object_id": ("object", [f"o{i}" for i in range(len(X))])}
    return xr.DataArray(X, dims=("object", "feature"), coords=coords, attrs=attributes)


def test_labelled_arrays_are_read_as_arrays():
    X, y = clouds(90, rng=11)
    array = features(X)
    plain = small("knn").fit(X, y).classify(X)
    for given_array in (array, array.T, array.chunk({"object": 20})):
        found = small("knn").fit(given_array, y).classify(given_array)
        assert found["object_id"].tolist() == array["object_id"].values.tolist()
        assert found.index.tolist() == array["object"].values.tolist()
        pd.testing.assert_frame_equal(found.drop(columns="object_id").reset_index(drop=True), plain, check_names=False)
    with pytest.raises(ValueError, match="must have the dimensions"):
        small("knn").fit(array.rename(object="image"), y)


def test_features_of_another_encoder_are_refused():
    X, y = clouds(60, rng=12)
    model = small("logistic").fit(features(X, fingerprint="aaaa", encoder="vits"), y)
    assert_array_equal(model.predict(features(X, fingerprint="aaaa")), model.predict(X))
    with pytest.raises(ValueError, match=r"of vitb \(fingerprint bbbb\), but the model was fitted on .* aaaa"):
        model.predict(features(X, fingerprint="bbbb", encoder="vitb"))


# Answers


def test_answers_and_abstentions():
    X, y = clouds(300, rng=13)
    X = np.vstack([X, [[2.0, 2.0, -1.0], [0.7, 0.7, 0.7], [6.0, 0.0, 0.0]]])
    y = np.append(y, [None] * 3)
    flat = small("logistic", abstain_below=0.8).fit(X, y).classify(X).tail(3)
    assert flat["taxon"].tolist() == [None, None, "Calanus"]
    assert flat["abstained"].tolist() == [True, True, False]
    lifted = small("logistic", abstain_below=0.8, taxonomy=TREE).fit(X, y).classify(X).tail(3)
    assert lifted["taxon"].tolist() == ["Copepoda", None, "Calanus"]
    assert lifted["level"].tolist() == [1, -1, 2]
    assert (lifted["probability"].dropna() >= 0.8).all()
    model = small("logistic", taxonomy=TREE).fit(X, y)
    never = model.classify(X)
    assert_array_equal(never["taxon"], model.predict(X))
    assert_allclose(never["probability"], model.predict_proba(X).max(axis=1))
    assert_allclose(never["margin"], never["probability_1"] - never["probability_2"])
    assert_allclose(never[[f"probability_{i}" for i in (1, 2, 3)]].sum(axis=1), 1)


# Files


@pytest.mark.parametrize("calibration", ["temperature", "isotonic"])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("names", [("Calanus", "Oithona", "detritus"), ("Calanus", "detritus")])
def test_a_saved_classifier_says_the_same(head, calibration, names, tmp_path):
    X, y = clouds(150, rng=14, names=names)
    model = small(
        head, calibration=calibration, taxonomy=TREE, abstain_below=0.7, class_weight=dict.fromkeys(names, 2.0)
    )
    model.fit(features(X, fingerprint="aaaa"), y).save(tmp_path / "model.npz")
    loaded = TaxonClassifier.load(tmp_path / "model.npz")
    assert_allclose(loaded.predict_proba(X), model.predict_proba(X), rtol=1e-12, atol=1e-15)
    pd.testing.assert_frame_equal(loaded.classify(X), model.classify(X))
    assert (loaded.calibration_, loaded.scores_) == (model.calibration_, model.scores_)
    assert loaded.get_params() == model.get_params()
    with pytest.raises(ValueError, match="fingerprint"):
        loaded.predict(features(X, fingerprint="bbbb"))
    loaded.save(tmp_path / "again.npz")
    again = TaxonClassifier.load(tmp_path / "again.npz")
    assert_array_equal(again.predict_proba(X), loaded.predict_proba(X))


def test_numbers_and_columns_are_kept(tmp_path):
    X, _ = clouds(60, rng=15)
    table = pd.DataFrame(X, columns=["area", "mean", "circ"])
    model = small("logistic").fit(table, np.arange(60) % 3)
    model.save(tmp_path / "model.npz")
    loaded = TaxonClassifier.load(tmp_path / "model.npz")
    assert loaded.predict(table).dtype == model.predict(table).dtype
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(table[["mean", "area", "circ"]])


def test_files_that_are_no_classifier(tmp_path):
    X, y = clouds(30, rng=16)
    model = small("logistic").fit(X, y)
    with pytest.raises(ValueError, match=r"ends in .npz"):
        model.save(tmp_path / "model.pkl")
    with pytest.raises(FileNotFoundError):
        TaxonClassifier.load(tmp_path / "none.npz")
    path = tmp_path / "model.npz"
    for content in (pickle.dumps(model), b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read as a TaxonClassifier"):
            TaxonClassifier.load(path)
    np.savez(path, about=np.zeros(3))
    with pytest.raises(ValueError, match="cannot be read as a TaxonClassifier"):
        TaxonClassifier.load(path)
    write_arrays(path, {}, kind="SegmentationHead", about={})
    with pytest.raises(ValueError, match=r"no TaxonClassifier but 'aqqua_science.SegmentationHead'"):
        TaxonClassifier.load(path)
    write_arrays(path, {"x": np.array([{}], dtype=object)}, kind="TaxonClassifier", about={})
    with pytest.raises(ValueError, match="allow_pickle=False"):
        TaxonClassifier.load(path)


def test_files_of_later_versions_are_told(tmp_path, monkeypatch):
    X, y = clouds(30, rng=16)
    with monkeypatch.context() as later:
        later.setattr(array_files, "FORMAT_VERSION", 99)
        small("logistic").fit(X, y).save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"format version 99.*Update"):
        TaxonClassifier.load(tmp_path / "model.npz")


def test_no_damage_goes_unseen(tmp_path):
    """Every flip of a bit and every cut, also where the zip file would not mind: names, times, the checksum itself."""
    X, y = clouds(30, rng=16)
    path, rng = tmp_path / "model.npz", np.random.default_rng(0)
    small("logistic").fit(X, y).save(path)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in rng.integers(0, len(whole), 30)] + [whole + b"x"]
    for place in [*rng.integers(0, len(whole), 300), *range(len(whole) - 60, len(whole))]:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="its checksum is wrong"):
            TaxonClassifier.load(path)


@pytest.mark.parametrize("head", ["logistic", "forest"])
def test_the_same_seed_gives_the_same_bytes(head, tmp_path):
    X, y = clouds(90, rng=17)
    for name in ("one", "two"):
        small(head).fit(X, y).save(tmp_path / f"{name}.npz")
    loaded = [dict(np.load(tmp_path / f"{name}.npz")) for name in ("one", "two")]
    assert all(loaded[0][name].tobytes() == loaded[1][name].tobytes() for name in loaded[0])


def test_another_seed_gives_another_forest():
    X, y = clouds(90, rng=17)
    one, two = (small("forest", random_state=seed).fit(X, y).predict_proba(X) for seed in (0, 1))
    assert not np.array_equal(one, two)


# Real objects


@pytest.fixture(scope="module")
def zooscan(shared_data):
    """5,058 ZooScan objects of 24 classes in 26 samples, with measured features; positions on the scan left out."""
    table = pd.read_csv(shared_data / "insitu/gkampolis+WandererID/Data/Data.txt", sep="\t")
    places = ["X", "Y", "XM", "YM", "BX", "BY", "XStart", "YStart", "XMg5", "YMg5", "Angle"]
    X = table.drop(columns=["!Item", "Label", "Tag", "Ident", "Status", *places])
    return X, table["Ident"], table["Label"].str.extract(r"-(\d+)-[^-]*$")[0]


@pytest.mark.filterwarnings("ignore:.*cannot be held out:UserWarning")
@pytest.mark.parametrize("head", ["logistic", "knn"])
def test_zooscan_objects_of_samples_not_seen(zooscan, head):
    X, taxon, sample = zooscan
    model = TaxonClassifier(head).fit(X, taxon, groups=sample)
    assert set(model.untested_classes_) == {"barn_naupl", "grey_surface"}  # in one sample each
    assert model.scores_["majority_accuracy"] < 0.1
    assert model.scores_["accuracy"] > 0.6
    assert model.scores_["balanced_accuracy"] > 0.6
    assert model.calibration_["nll_after"] < model.calibration_["nll_before"]
    assert model.calibration_["ece_after"] < 0.1


@pytest.mark.parametrize("head", [pytest.param("logistic", marks=pytest.mark.slow), "knn"])
def test_zooscan_objects_of_samples_seen_are_easier_and_calibration_mends(zooscan, head):
    X, taxon, _ = zooscan
    model = TaxonClassifier(head).fit(X, taxon)
    assert model.scores_["accuracy"] > 0.75
    assert model.calibration_["ece_after"] < 0.7 * model.calibration_["ece_before"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*cannot be held out:UserWarning")
@pytest.mark.parametrize("head", ["forest", "boosting"])
def test_zooscan_objects_by_trees(zooscan, head):
    X, taxon, sample = zooscan
    settings = {"n_trees": 60} if head == "forest" else {"n_rounds": 25}
    model = TaxonClassifier(head, settings=settings).fit(X, taxon, groups=sample)
    assert model.scores_["accuracy"] > 0.6
    assert model.calibration_["ece_after"] < model.calibration_["ece_before"]
