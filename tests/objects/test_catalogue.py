"""From a store to a table of objects: who is learned from, who is named, and what the file says."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.features import embed
from aqqua_science.images import ingest, open_store
from aqqua_science.objects import catalogue
from aqqua_science.objects.catalogue import classify_store
from aqqua_science.objects.classification import TaxonClassifier
from aqqua_science.objects.labels import said_by_people
from aqqua_science.schema import SchemaError
from aqqua_science.synthetic import images

QUICK = TaxonClassifier("knn", n_folds=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """120 drawn pictures: of four in ten nobody has said what they are, of one in ten only a program has."""
    pictures = list(images(120, rng=5, instruments=["ZooScan"]))
    for i, picture in enumerate(pictures):
        picture.metadata["sample_id"] = f"net{i % 6}"
        picture.metadata["taxon_status"] = "predicted" if i % 10 == 9 else "validated"
        if i % 10 < 4:
            picture.metadata.pop("taxon"), picture.metadata.pop("taxon_status")
    return ingest(pictures, tmp_path_factory.mktemp("stores") / "drawn.aqqua")


@pytest.fixture(scope="module")
def features(store):
    """Numbers that tell the taxon, as an encoder would, of all but one image, which could not be read."""
    truth = pd.Series([p.truth["taxon"] for p in images(120, rng=5, instruments=["ZooScan"])])
    X = np.eye(truth.nunique())[pd.factorize(truth, sort=True)[0]] + np.random.default_rng(0).normal(0, 0.1, (120, 1))
    X[17] = np.nan
    fault = np.where(np.arange(120) == 17, "cut short", "").astype(object)
    coords = {"object": np.arange(120), "fault": ("object", fault)}
    return xr.DataArray(X, dims=("object", "feature"), coords=coords, attrs={"fingerprint": "abcd", "encoder": "made"})


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Several blocks, so that their seams are tested."""
    monkeypatch.setattr(catalogue, "blocks", lambda n: catalogue_blocks(n, 50))


catalogue_blocks = catalogue.blocks

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot be held out:UserWarning")


def test_every_object_is_named_and_the_file_says_by_what(store, features, tmp_path):
    path = tmp_path / "objects.parquet"
    found = classify_store(store, features, to=path, classifier=QUICK)
    table = pd.read_parquet(path)
    assert found["objects"] == len(table) == 120
    assert found["unreadable"] == 1
    assert table["row"].tolist() == list(range(120))
    assert_array_equal(table["object_id"], store.table["object_id"])
    assert_array_equal(table["sample_id"], store.table["sample_id"])
    truth = [p.truth["taxon"] for p in images(120, rng=5, instruments=["ZooScan"])]
    assert np.mean(table["taxon"] == truth) > 0.9
    assert found["scores"]["accuracy"] > 0.9
    about = json.loads(pq.read_schema(path).metadata[b"aqqua_science"])
    assert (about["fingerprint"], about["scores"]) == ("abcd", found["scores"])
    json.dumps(found, allow_nan=False)


def test_only_what_people_said_is_learned_from(store, features, tmp_path):
    found = classify_store(store, features, to=tmp_path / "o.parquet", classifier=QUICK)
    table = pd.read_parquet(tmp_path / "o.parquet")
    said = np.array([i % 10 in range(4, 9) and i != 17 for i in range(120)])
    assert_array_equal(table["label"].notna(), said)
    assert found["labelled"] == said.sum()
    by_hand = TaxonClassifier("knn", n_folds=2).fit(
        features.values[said], store.table["taxon"][said], groups=store.table["sample_id"][said]
    )
    fresh = ~said & (np.arange(120) != 17)
    assert_array_equal(table["taxon"][fresh], by_hand.predict(features.values[fresh]))
    assert_allclose(table["probability"][fresh], by_hand.predict_proba(features.values[fresh]).max(axis=1))
    assert by_hand.scores_ == found["scores"]


@pytest.fixture
def chance(features):
    """Features that tell nothing: neighbours remember what they have seen, and guess of all else."""
    return features.copy(data=np.random.default_rng(1).normal(size=features.shape))


def test_what_was_learned_from_is_named_by_a_classifier_that_has_not_seen_it(store, chance, tmp_path):
    """The nearest neighbour of a seen object is itself, which would be right always."""
    nearest = TaxonClassifier("knn", n_folds=2, settings={"n_neighbours": 1})
    found = classify_store(store, chance, to=tmp_path / "o.parquet", classifier=nearest)
    table = pd.read_parquet(tmp_path / "o.parquet")
    learned = table[table["label"].notna()]
    assert learned["held_out"].all()
    assert not table.loc[table["label"].isna(), "held_out"].any()
    right = learned["taxon"] == learned["label"]
    assert right.mean() == found["scores"]["accuracy"] < 0.5
    seen = chance.values[learned["row"]]
    assert (nearest.fit(seen, learned["label"]).predict(seen) == learned["label"]).all()


def test_held_out_answers_abstain_and_climb_as_others_do(store, features, tmp_path):
    """Above the surest probability of all nobody names a taxon; below it who was held out does, too."""
    for least, share in ((0.9999, 0.0), (0.2, 1.0)):
        classifier = TaxonClassifier("knn", n_folds=2, abstain_below=least)
        classify_store(store, features, to=tmp_path / f"{least}.parquet", classifier=classifier)
        table = pd.read_parquet(tmp_path / f"{least}.parquet")
        assert table.loc[table["held_out"], "taxon"].notna().mean() == share
        assert table.loc[table["held_out"], "probability_1"].notna().all()


def test_what_could_not_be_held_out_is_told(store, features, tmp_path):
    """All of one taxon in one group: nobody else can name it."""
    alone = open_store(store.path)
    alone.table["cruise"] = np.where(alone.table["taxon"] == "Copepoda", "one", alone.table["sample_id"])
    with pytest.warns(UserWarning, match="cannot be held out"):
        found = classify_store(alone, features, to=tmp_path / "o.parquet", classifier=QUICK, groups="cruise")
    table = pd.read_parquet(tmp_path / "o.parquet")
    assert "Copepoda" in found["untested_classes"]
    learned = table[table["label"].notna()]
    assert_array_equal(learned["held_out"], ~learned["label"].isin(found["untested_classes"]))
    classify_store(store, features, to=tmp_path / "n.parquet", classifier=TaxonClassifier("knn", calibration=None))
    assert not pd.read_parquet(tmp_path / "n.parquet")["held_out"].any()


def test_a_classifier_that_was_fitted_elsewhere_answers_as_it_is(store, features, tmp_path):
    others = xr.DataArray(np.eye(6)[np.arange(60) % 6], dims=("object", "feature"), attrs=features.attrs)
    elsewhere = TaxonClassifier("knn", n_folds=2).fit(others, [f"kind {i % 6}" for i in range(60)])
    numbered = TaxonClassifier("knn", n_folds=2).fit(others, np.arange(60) % 6)
    readable = np.arange(120) != 17
    for classifier in (elsewhere, numbered):
        found = classify_store(
            store, features, to=tmp_path / "o.parquet", classifier=classifier, groups="instrument", overwrite=True
        )
        table = pd.read_parquet(tmp_path / "o.parquet")
        assert_array_equal(table["taxon"][readable], classifier.predict(features[readable]).astype(str))
        assert (found["labelled"], table["held_out"].any(), table["label"].notna().sum()) == (0, False, 59)
        assert found["scores"] == classifier.scores_
    with pytest.raises(ValueError, match="fingerprint other"):
        classify_store(
            store, features.assign_attrs(fingerprint="other"), to=tmp_path / "p.parquet", classifier=elsewhere
        )


def test_labels_may_be_numbers(store, features, tmp_path):
    """Whole ones beside empty rows, which pandas reads as floats."""
    numbered = open_store(store.path)
    code, _ = pd.factorize(numbered.table["taxon"])
    numbered.table["cluster"] = np.where(code < 0, np.nan, code + 7)
    found = classify_store(numbered, features, label="cluster", to=tmp_path / "o.parquet", classifier=QUICK)
    written = pd.read_parquet(tmp_path / "o.parquet")
    assert set(written["taxon"].dropna()) <= {str(n) for n in range(7, 20)}
    assert written["label"].notna().sum() == found["labelled"] > 0


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_what_people_said(dtype):
    table = pd.DataFrame(
        {
            "taxon": ["Calanus", None, "", "Calanus", "Calanus", "Calanus"],
            "taxon_status": ["validated", "validated", None, "predicted", "dubious", None],
        },
        index=[5, 4, 3, 2, 1, 0],
        dtype=dtype,
    )
    assert said_by_people(table, "taxon").to_dict() == {5: True, 4: False, 3: False, 2: False, 1: False, 0: True}
    assert said_by_people(table[["taxon"]], "taxon").tolist() == [True, False, False, True, True, True]
    assert (
        said_by_people(table.assign(kind=[0, 1, np.nan, 3, 4, 5]), "kind").tolist() == [True, True, False] + [True] * 3
    )
    assert said_by_people(table[:0], "taxon").tolist() == []


def test_an_image_that_could_not_be_read_has_no_answer(store, features, tmp_path):
    classify_store(store, features, to=tmp_path / "o.parquet", classifier=QUICK)
    row = pd.read_parquet(tmp_path / "o.parquet").loc[17]
    assert (row["fault"], row["abstained"]) == ("cut short", True)
    assert row[["taxon", "probability", "taxon_1", "entropy"]].isna().all()


def test_some_rows_of_the_store_are_enough(store, features, tmp_path):
    chosen = np.r_[60:120, 20:40]
    classify_store(store, features.isel(object=chosen), to=tmp_path / "o.parquet", classifier=QUICK)
    table = pd.read_parquet(tmp_path / "o.parquet")
    assert table["row"].tolist() == chosen.tolist()
    truth = np.array([p.truth["taxon"] for p in images(120, rng=5, instruments=["ZooScan"])])[table["row"]]
    assert table["held_out"].sum() > 20
    assert (table["taxon"] == truth)[table["held_out"]].mean() > 0.9
    assert_array_equal(table["object_id"], store.table["object_id"].iloc[chosen])


def test_features_on_disk_and_abstentions(store, tmp_path):
    embed(store, encoder="measured", to=tmp_path / "features.zarr")
    found = classify_store(
        store,
        tmp_path / "features.zarr",
        to=tmp_path / "o.parquet",
        classifier=TaxonClassifier("knn", n_folds=2, abstain_below=0.9),
    )
    table = pd.read_parquet(tmp_path / "o.parquet")
    assert found["abstained"] == table["abstained"].sum() == table["taxon"].isna().sum() > 0


def test_nothing_is_overwritten_unasked_and_nothing_half_written(store, features, tmp_path):
    path = tmp_path / "o.parquet"
    classify_store(store, features, to=path, classifier=QUICK)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="Pass overwrite=True"):
        classify_store(store, features, to=path, classifier=QUICK)
    broken = features.copy(deep=True)
    broken[113] = np.nan  # in the last block, without a fault that would explain it
    with pytest.raises(ValueError, match="NaN in row"):
        classify_store(store, broken, to=path, classifier=QUICK, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["o.parquet"]
    classify_store(store, features, to=path, classifier=QUICK, overwrite=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "taxa"}, "the store has no column 'taxa'. Did you mean 'taxon'.* as label="),
        ({"label": "water"}, "none of 120 objects has a name in 'water' .* as label="),
        ({"groups": "cruise"}, "the store has no column 'cruise'.* groups=None"),
        ({"groups": "instrument"}, "lie in one group, 'ZooScan'.* groups=None"),
        ({"groups": "taxon_status"}, "lie in one group, 'validated'.* groups=None"),
    ],
)
def test_columns_that_do_not_serve(store, features, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        classify_store(store, features, to=tmp_path / "o.parquet", classifier=QUICK, **change)


def test_a_group_that_some_labelled_objects_lack_is_told(store, features, tmp_path):
    gappy = open_store(store.path)
    gappy.table.loc[gappy.table.index[::7], "sample_id"] = None
    with pytest.raises(ValueError, match=r"\d+ of 59 labelled rows lie in no group.* pass groups=None"):
        classify_store(gappy, features, to=tmp_path / "o.parquet", classifier=QUICK)


def test_the_table_is_a_parquet_file(store, features, tmp_path):
    with pytest.raises(ValueError, match=r"ends in .parquet; got .*o.csv"):
        classify_store(store, features, to=tmp_path / "o.csv", classifier=QUICK)


def test_features_of_another_store_or_an_older_one_are_refused(tmp_path):
    """As many images of the same names elsewhere, and the store itself once a source was added."""
    own, other = (ingest(images(12, rng=rng, instruments=["UVP6"]), tmp_path / f"s{rng}", name="a") for rng in (0, 1))
    features = embed(own, encoder="measured", to=tmp_path / "f.zarr")
    told = {"to": tmp_path / "o.parquet", "classifier": QUICK, "groups": None}
    classify_store(own, features, **told, overwrite=True)
    with pytest.raises(
        SchemaError, match=r"another store, or of this one before .* of s0 .* not of s1 .*the features of this"
    ):
        classify_store(other, features, **told, overwrite=True)
    grown = ingest(images(5, rng=2, instruments=["UVP6"]), own.path, name="b")
    with pytest.raises(SchemaError, match="before it was changed"):
        classify_store(grown, tmp_path / "f.zarr", **told, overwrite=True)
    again = embed(grown, encoder="measured", to=tmp_path / "f.zarr", overwrite=True)
    assert classify_store(grown, again[3:], **told, overwrite=True)["objects"] == 14


def test_features_of_other_objects_are_refused(store, features, tmp_path):
    """Those that have lost the fingerprint of their store still name their objects."""
    named = features.assign_coords(object_id=("object", store.table["object_id"].to_numpy(object)))
    classify_store(store, named, to=tmp_path / "o.parquet", classifier=QUICK)
    classify_store(store, named[::-1], to=tmp_path / "p.parquet", classifier=QUICK)
    moved = named.assign_coords(object=np.roll(np.arange(120), 1))
    with pytest.raises(
        SchemaError, match=r"120 of 120 features are of other objects.*the features of this store, or embed it to"
    ):
        classify_store(store, moved, to=tmp_path / "q.parquet", classifier=QUICK)


def test_features_of_rows_that_are_not_there_are_refused(store, features, tmp_path):
    with pytest.raises(SchemaError, match=r"rows 500..619, but the store has 120 images"):
        classify_store(store, features.assign_coords(object=np.arange(500, 620)), to=tmp_path / "o.parquet")
    with pytest.raises(SchemaError, match="coordinate `object` holds row numbers"):
        classify_store(store, features.values, to=tmp_path / "o.parquet")


def test_a_store_without_samples_is_told(store, features, tmp_path):
    with pytest.warns(UserWarning, match="no labelled object has a value of acquisition_id"):
        classify_store(store, features, to=tmp_path / "o.parquet", classifier=QUICK, groups="acquisition_id")
