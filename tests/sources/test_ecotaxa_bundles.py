"""Bundles for EcoTaxa: what went in comes out, humans are never overruled, and EcoTaxa's rules hold."""

import csv
import io
import string
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqqua_science.schema import SchemaError
from aqqua_science.sources import ecotaxa, ecotaxa_bundles
from aqqua_science.sources.ecotaxa_bundles import write_bundle
from aqqua_science.sources.ecotaxa_names import image_stem, plain_name
from aqqua_science.sources.ecotaxa_rules import validate_bundle
from aqqua_science.sources.pictures import decode
from aqqua_science.sources.tree import Tree

IMPORT = "images/ecotaxa+ecotaxa_back/QA/py/data/import_test"
GREY = np.arange(6, dtype=np.uint8).reshape(2, 3)


class Store:
    """A store in memory: images, original columns, metadata."""

    def __init__(self, images, raw, table):
        self._images, self._raw = images, pd.DataFrame(raw, dtype=object)
        self.table = pd.DataFrame(table, index=range(len(images)))

    def __getitem__(self, row):
        return self._images[row]

    def raw(self, rows):
        return self._raw.loc[list(rows)]


def read_store(path):
    """A store of all records of a bundle, none of them faulty."""
    tree = Tree(path)
    records = [record for part in ecotaxa.parts(tree) for record in ecotaxa.read(tree, part)]
    assert [record.fault for record in records if record.fault] == []
    table = pd.DataFrame([record.metadata for record in records])
    return Store([record.pixels() for record in records], [record.raw for record in records], table)


def write_quietly(*arguments, **settings):
    """Write a bundle of which nothing is left out, and which EcoTaxa would take."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = write_bundle(*arguments, **settings)
    assert report["remarks"].map(len).eq(0).all()
    for file in report["file"]:
        assert validate_bundle(file).to_dict("records") == []
    return report


def write_aloud(*arguments, **settings):
    """Write a bundle and give what was said of it; EcoTaxa would take it all the same."""
    with pytest.warns(UserWarning, match="is not all there is") as caught:
        report = write_bundle(*arguments, **settings)
    for file in report["file"]:
        assert validate_bundle(file).to_dict("records") == []
    assert all(remark in str(caught[0].message) for remark in report["remarks"].iloc[0])
    return " / ".join(report["remarks"].iloc[0])


def tables_of(path):
    """All tables of a zip: name -> list of rows, the header first."""
    with zipfile.ZipFile(path) as archive:
        return {
            name: list(csv.reader(io.StringIO(archive.read(name).decode("utf-8-sig"), newline=""), delimiter="\t"))
            for name in archive.namelist()
            if name.endswith(".tsv")
        }


def rows_of(path):
    """All rows of a zip as dicts."""
    return [dict(zip(t[0], row, strict=True)) for t in tables_of(path).values() for row in t[2:]]


def originals(store):
    """Original columns and values of every image as a sorted list, with the image's first name."""
    rows = []
    for row in store.table.index:
        raw = store.raw([row]).iloc[0].dropna().to_dict()
        first = raw.pop("object_aqqua_file", "")
        raw["img_file_name"] = first or raw["img_file_name"]
        rows.append((sorted(raw.items()), store[row].tolist(), store[row].dtype))
    return sorted(rows, key=str)


def bundle_store(*rows, images=None, **metadata):
    """A store of images that came from a bundle."""
    raw = [{"img_file_name": f"{i}.png", "object_id": f"o{i}", **row} for i, row in enumerate(rows)]
    table = {"object_id": [row["object_id"] for row in raw], **metadata}
    return Store(images or [GREY] * len(raw), raw, table)


def other_store(count=1, raw=None, images=None, **metadata):
    """A store of images that came from elsewhere."""
    table = {
        "object_id": [f"bin_{i:05}" for i in range(count)],
        "image_rank": 0,
        "sample_id": "s1",
        "acquisition_id": "a1",
        "time": pd.Timestamp("2012-01-28 08:15:15"),
        "latitude": -41.5,
        "longitude": 7.0,
        "depth": 5.0,
        "instrument": "IFCB",
        "pixel_size_um": 0.2941,
        **metadata,
    }
    return Store(images or [GREY] * count, raw or [{"roi_x": "12", "note": "0012"}] * count, table)


def test_the_real_bundle_comes_back_whole(shared_data, tmp_path):
    source = shared_data / IMPORT
    store = read_store(source)
    report = write_quietly(store.table, store, tmp_path / "b.zip")
    lines = [
        row for table in source.rglob("*.tsv") for row in table.read_text("latin-1").splitlines()[2:] if row.strip()
    ]
    assert report[["tables", "images"]].to_numpy().tolist() == [[2, len(lines)]]
    again = read_store(tmp_path / "b.zip")
    assert len(originals(store)) == len(lines)
    assert originals(again) == originals(store)
    once_more = tmp_path / "c.zip"
    write_quietly(again.table, again, once_more)
    assert originals(read_store(once_more)) == originals(store)


def test_predictions_reach_the_real_bundle_and_scores_travel(shared_data, tmp_path):
    store = read_store(shared_data / IMPORT)
    objects = store.table.assign(
        taxon="Calanoida", probability=0.8125, model="m1", taxon_2="detritus", probability_2=0.1, pc_1=np.float32(0.1)
    )
    write_quietly(objects, store, tmp_path / "b.zip")
    rows = rows_of(tmp_path / "b.zip")
    expected = {
        "object_annotation_category": "Calanoida",
        "object_annotation_status": "predicted",
        "object_annotation_category_id": "",
        "object_annotation_person_name": "",
        "object_aqqua_score": "0.8125",
        "object_aqqua_model": "m1",
        "object_aqqua_taxon_1": "Calanoida",
        "object_aqqua_taxon_2": "detritus",
        "object_aqqua_score_2": "0.1",
        "object_aqqua_pc01": "0.1",
    }
    assert [{name: row[name] for name in expected} for row in rows] == [expected] * len(store.table)
    for table in tables_of(tmp_path / "b.zip").values():
        types = dict(zip(table[0], table[1], strict=True))
        assert (types["object_aqqua_score"], types["object_aqqua_model"], types["object_aqqua_pc01"]) == (
            "[f]",
            "[t]",
            "[f]",
        )


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NUMBER = st.one_of(
    st.sampled_from(["", "nan", "NA", "1e5", "-.5", "007", "inf"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
COLUMN = st.text(string.ascii_letters + string.digits + " _é", max_size=6)
FILE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='/\\:"'), min_size=1, max_size=8),
    st.sampled_from(["a", "A", "con", "x Images/1", "sub/1", "é/1", "b.zip/1", ".hid", "~", "ecotaxa_a.tsv"]),
)


@st.composite
def legal_rows(draw):
    """Rows of a legal bundle: columns, cells and odd names of images at will."""
    free = draw(
        st.dictionaries(COLUMN.map(lambda c: "object_f" + c.strip()), st.sampled_from([TEXT, NUMBER]), max_size=5)
    )
    free |= draw(st.dictionaries(COLUMN.map(lambda c: "sample_g" + c.strip()), st.just(TEXT), max_size=3))
    if len({name.lower() for name in free}) < len(free):
        free = {}
    rows = []
    for i, file in enumerate(draw(st.lists(FILE.filter(str.strip), min_size=1, max_size=5, unique_by=str.lower))):
        rows.append({"img_file_name": file.strip() + draw(st.sampled_from([".png", ".PNG", ".jpg"]))})
        rows[-1]["object_id"] = f"o{i // 2}{draw(st.sampled_from(['', ' ']))}"
        rows[-1]["img_rank"] = str(i % 2)
        rows[-1]["sample_id"] = f"é{i // 4}"
        rows[-1] |= {name: draw(cells) for name, cells in free.items()}
    return rows


@settings(max_examples=100)
@given(legal_rows())
def test_a_legal_bundle_comes_back_whole(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("legal")
    images = [np.full((2, 3), i, dtype=np.uint16 if i % 2 else np.uint8) for i in range(len(rows))]
    table = {"object_id": [row["object_id"].strip() for row in rows]}
    store = Store(images, rows, table)
    write_quietly(store.table, store, folder / "b.zip")
    assert originals(read_store(folder / "b.zip")) == originals(store)


def test_a_human_is_never_overruled(tmp_path):
    statuses = ["validated", "Dubious", "predicted", "", "V"]
    rows = [
        {
            "object_annotation_status": s,
            "object_annotation_category": "egg" if s else "",
            "object_annotation_category_id": "7" if s else "",
        }
        for s in statuses
    ]
    store = bundle_store(*rows)
    objects = store.table.assign(taxon="Copepoda", probability=0.5, taxon_status="predicted")
    said = write_aloud(objects, store, tmp_path / "b.zip")
    found = [
        (r["object_annotation_category"], r["object_annotation_status"], r["object_annotation_category_id"])
        for r in rows_of(tmp_path / "b.zip")
    ]
    assert found == [
        ("egg", "validated", "7"),
        ("egg", "Dubious", "7"),
        ("Copepoda", "predicted", ""),
        ("Copepoda", "predicted", ""),
        ("egg", "validated", "7"),
    ]
    assert {r["object_aqqua_taxon_1"] for r in rows_of(tmp_path / "b.zip")} == {"Copepoda"}
    assert said == "annotation mended, it wants category and status both (1 times, first: 'egg', 'V')"


def test_an_agreeing_prediction_leaves_the_row_alone(tmp_path):
    row = {
        "object_annotation_status": "predicted",
        "object_annotation_category": "egg",
        "object_annotation_category_id": "7",
    }
    store = bundle_store(row)
    write_quietly(store.table.assign(taxon="egg"), store, tmp_path / "b.zip")
    (found,) = rows_of(tmp_path / "b.zip")
    assert found == {"img_file_name": "0.png", "object_id": "o0", **row}


def test_no_taxon_no_annotation(tmp_path):
    store = other_store(3)
    write_quietly(store.table.assign(taxon=["Copepoda", None, np.nan]), store, tmp_path / "b.zip")
    found = [(r["object_annotation_category"], r["object_annotation_status"]) for r in rows_of(tmp_path / "b.zip")]
    assert found == [("Copepoda", "predicted"), ("", ""), ("", "")]


def test_a_validated_label_from_elsewhere_stays_validated(tmp_path):
    store = other_store(2, taxon=["Bosmina", "Bosmina"], taxon_status=["validated", "predicted"])
    write_quietly(store.table.assign(taxon="Daphnia < Cladocera"), store, tmp_path / "b.zip")
    found = [(r["object_annotation_category"], r["object_annotation_status"]) for r in rows_of(tmp_path / "b.zip")]
    assert found == [("Bosmina", "validated"), ("Daphnia<Cladocera", "predicted")]


@pytest.mark.parametrize("is_bundle", [False, True])
def test_a_label_that_nobody_is_said_to_have_predicted_is_kept(tmp_path, is_bundle):
    """Those that `said_by_people` holds for people's, wherever they come from; all is told."""
    given = ["Bosmina", "Bosmina", "nan", ""]
    if is_bundle:
        store = bundle_store(*({"object_annotation_category": taxon} for taxon in given))
    else:
        store = other_store(4, taxon=given)
    objects = store.table.assign(taxon=["Daphnia", "Bosmina", "Daphnia", "Daphnia"], probability=0.9)
    said = write_aloud(objects, store, tmp_path / "b.zip")
    found = rows_of(tmp_path / "b.zip")
    assert [r["object_annotation_category"] for r in found] == ["Bosmina", "Bosmina", "Daphnia", "Daphnia"]
    assert {r["object_annotation_status"] for r in found} == {"predicted"}
    assert [r["object_aqqua_taxon_1"] for r in found] == objects["taxon"].tolist()
    assert "taxon kept, nothing says that it was predicted (1 times, first: 'Bosmina', not 'Daphnia')" in said


def test_what_comes_from_elsewhere_gets_the_columns_of_ecotaxa(tmp_path):
    store = other_store(1, licence="CC-BY-4.0", volume_m3=0.000005)
    write_quietly(store.table.assign(esd_um=12.5, trait_lipid=0.25), store, tmp_path / "b.zip")
    ((name, table),) = tables_of(tmp_path / "b.zip").items()
    assert name == "ecotaxa_s1/ecotaxa_s1.tsv"
    cells = {column: (kind, cell) for column, kind, cell in zip(*table, strict=True)}
    assert cells == {
        "object_id": ("[t]", "bin_00000"),
        "img_file_name": ("[t]", "bin_00000_0.png"),
        "object_lat": ("[f]", "-41.5"),
        "object_lon": ("[f]", "7.0"),
        "object_date": ("[t]", "20120128"),
        "object_time": ("[t]", "081515"),
        "object_depth_min": ("[f]", "5.0"),
        "object_depth_max": ("[f]", "5.0"),
        "img_rank": ("[f]", "0"),
        "sample_id": ("[t]", "s1"),
        "acq_id": ("[t]", "a1"),
        "acq_instrument": ("[t]", "IFCB"),
        "acq_pixel_um": ("[t]", "0.2941"),
        "acq_volume_m3": ("[t]", "5e-06"),
        "sample_licence": ("[t]", "CC-BY-4.0"),
        "object_roi_x": ("[f]", "12"),
        "object_note": ("[t]", "0012"),
        "object_aqqua_esd_um": ("[f]", "12.5"),
        "object_aqqua_trait_lipid": ("[f]", "0.25"),
    }
    again = read_store(tmp_path / "b.zip").table.iloc[0]
    for column in ("object_id", "latitude", "longitude", "depth", "instrument", "pixel_size_um", "sample_id"):
        assert again[column] == store.table[column].iloc[0]
    assert pd.Timestamp(again["time"]) == store.table["time"].iloc[0]


def test_bundles_and_others_share_one_export(tmp_path):
    ours, theirs = other_store(1), bundle_store({"object_area": "7"})
    raw = [ours.raw([0]).iloc[0].to_dict(), theirs.raw([0]).iloc[0].to_dict()]
    store = Store([GREY, GREY + 1], raw, pd.concat([ours.table, theirs.table], ignore_index=True))
    report = write_quietly(store.table, store, tmp_path / "b.zip")
    assert report[["tables", "objects", "images"]].to_numpy().tolist() == [[2, 2, 2]]
    assert sorted(rows_of(tmp_path / "b.zip"), key=len)[0] == theirs.raw([0]).iloc[0].to_dict()


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((2, 2), dtype=np.float32), "PNG cannot hold it"),
        (np.zeros((2, 2, 5), dtype=np.uint8), "PNG cannot hold it"),
        (np.zeros((0, 2), dtype=np.uint8), "EcoTaxa takes no image without pixels or as large"),
        (np.zeros((1, 32_768), dtype=np.uint8), "EcoTaxa takes no image without pixels or as large"),
    ],
)
def test_images_that_cannot_be_written_are_told(tmp_path, pixels, reason):
    store = other_store(2, images=[GREY, pixels])
    said = write_aloud(store.table, store, tmp_path / "b.zip")
    assert f"image left out, {reason} (1 times, first: object bin_00001" in said
    assert len(rows_of(tmp_path / "b.zip")) == 1
    alone = other_store(1, images=[pixels])
    with pytest.raises(SchemaError, match="no image could be written"):
        write_bundle(alone.table, alone, tmp_path / "none.zip")
    assert [p.name for p in tmp_path.iterdir()] == ["b.zip"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_are_exact(tmp_path, dtype):
    pixels = np.arange(120, dtype=dtype).reshape(10, 12) * (2 if dtype == np.uint8 else 500)
    store = other_store(1, images=[pixels])
    write_quietly(store.table, store, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        found = decode(archive.read("ecotaxa_s1/bin_00000_0.png"))
    np.testing.assert_array_equal(found, pixels)
    assert found.dtype == dtype


def test_the_room_for_free_columns_is_kept(tmp_path):
    row = {f"object_t{i}": "word" for i in range(18)} | {f"object_n{i}": str(i) for i in range(499)}
    row |= {"sample_id": "s"} | {f"sample_x{i}": "1" for i in range(60)}
    store = bundle_store(row)
    objects = store.table.assign(taxon="a", probability=0.5, model="m", taxon_2="b", taxon_3="c", probability_2=0.25)
    said = write_aloud(objects, store, tmp_path / "b.zip")
    (found,) = rows_of(tmp_path / "b.zip")
    assert {name: found[name] for name in row} == row
    assert found["object_aqqua_score"] == "0.5"
    written = {name for name in found if name.startswith("object_aqqua")}
    told = {
        name for name in ("model", "taxon_1", "taxon_2", "taxon_3", "score_2") if f"object_aqqua_{name} left" in said
    }
    assert len(written) == 3
    assert {f"object_aqqua_{name}" for name in told}.isdisjoint(written)
    assert len(told) + len(written) >= 5


def test_a_code_with_zeros_stays_text_until_text_has_no_room(tmp_path):
    codes = {f"object_c{i}": "007" for i in range(25)}
    store = bundle_store(codes)
    write_quietly(store.table, store, tmp_path / "b.zip")
    ((header, types, _),) = tables_of(tmp_path / "b.zip").values()
    kinds = dict(zip(header, types, strict=True))
    assert sorted(kinds[name] for name in codes) == ["[f]"] * 5 + ["[t]"] * 20


def test_types_agree_between_tables(tmp_path):
    store = bundle_store({"sample_id": "a", "object_x": "1"}, {"sample_id": "b", "object_x": "one"})
    write_quietly(store.table, store, tmp_path / "b.zip")
    assert {table[1][table[0].index("object_x")] for table in tables_of(tmp_path / "b.zip").values()} == {"[t]"}


def test_what_ecotaxa_would_refuse_is_mended_and_told(tmp_path):
    store = bundle_store(
        {
            "object_depth_min": "600,5",
            "object_lat": "99",
            "object_note": "x" * 251,
            "object_date": "yesterday",
            "object_annotation_hierarchy": "living>egg",
            "complement": "1",
            "acq_gain": "3",
            "sample_id": "s" * 300,
        }
    )
    said = write_aloud(store.table, store, tmp_path / "b.zip")
    (found,) = rows_of(tmp_path / "b.zip")
    assert found["object_depth_min"] == "600.5"
    assert (found["object_lat"], found["object_note"], found["object_date"]) == ("", "", "")
    assert len(found["sample_id"]) == 255
    assert found["acq_gain"] == "3"
    for told in ("object_depth_min changed", "object_lat left empty", "object_note left empty", "object_date left"):
        assert told in said
    assert found["object_complement"] == "1"
    assert "column complement became object_complement" in said
    assert "column object_annotation_hierarchy left out" in said


def test_an_acquisition_of_two_samples_is_told_apart(tmp_path):
    store = bundle_store(
        {"sample_id": "a", "acq_id": "1"}, {"sample_id": "b", "acq_id": "1"}, {"sample_id": "b", "acq_id": "2"}
    )
    said = write_aloud(store.table, store, tmp_path / "b.zip")
    assert sorted(row["acq_id"] for row in rows_of(tmp_path / "b.zip")) == ["2", "a_1", "b_1"]
    assert "acq_id named after its sample" in said


def test_an_object_in_two_samples_is_written_once(tmp_path):
    store = bundle_store({"sample_id": "a", "object_id": "x"}, {"sample_id": "b", "object_id": "x"})
    said = write_aloud(store.table, store, tmp_path / "b.zip")
    assert [row["sample_id"] for row in rows_of(tmp_path / "b.zip")] == ["a"]
    assert "in another sample, acquisition or table as well (1 times, first: x)" in said


def test_ecotaxa_takes_two_thousand_tables():
    assert ecotaxa_bundles.MAX_TABLES == 2_000


@pytest.mark.parametrize("most", [3, pytest.param(2_000, marks=pytest.mark.slow)])
def test_more_tables_than_ecotaxa_takes_go_into_further_bundles(tmp_path, monkeypatch, most):
    monkeypatch.setattr(ecotaxa_bundles, "MAX_TABLES", most)
    count = most + 2
    store = other_store(
        count, sample_id=[f"s{i}" for i in range(count)], acquisition_id=[f"a{i}" for i in range(count)]
    )
    report = write_bundle(store.table, store, tmp_path / "b.zip")
    assert [Path(file).name for file in report["file"]] == ["b.zip", "b_2.zip"]
    assert report[["tables", "objects", "images"]].to_numpy().tolist() == [[most] * 3, [2] * 3]
    for file in report["file"]:
        assert validate_bundle(file).empty
    assert len(read_store(tmp_path / "b_2.zip").table) == 2
    with pytest.raises(FileExistsError, match=r"b_2\.zip"):
        write_bundle(store.table.iloc[:1], store, tmp_path / "b.zip", overwrite=True)


def test_nothing_is_overwritten_unasked(tmp_path):
    store = other_store(1)
    write_quietly(store.table, store, tmp_path / "b.zip")
    first = (tmp_path / "b.zip").read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_bundle(store.table, store, tmp_path / "b.zip")
    write_quietly(store.table, store, tmp_path / "b.zip", overwrite=True)
    assert (tmp_path / "b.zip").read_bytes() == first


def test_a_failure_leaves_nothing_behind(tmp_path):
    store = other_store(2)
    store._images[1] = None
    with pytest.raises(AttributeError):
        write_bundle(store.table, store, tmp_path / "b.zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: o.iloc[:0], "no objects"),
        (lambda o: o.set_index(o.index + 5), "rows of the store"),
        (lambda o: pd.concat([o, o]), "twice"),
        (lambda o: o.assign(probability=55.0), "probability must be from 0 to 1; row 0 has 55"),
        (lambda o: o.assign(probability_2=-0.1), "probability_2"),
    ],
)
def test_objects_that_cannot_be_meant_are_refused(tmp_path, change, message):
    store = other_store(1)
    with pytest.raises(SchemaError, match=message):
        write_bundle(change(store.table), store, tmp_path / "b.zip")
    with pytest.raises(SchemaError, match=r"\.zip"):
        write_bundle(store.table, store, tmp_path / "b.tar")


def test_formulas_are_kept_as_data(tmp_path):
    store = bundle_store({"object_note": "=1+1", "object_n": "-3.5", "object_m": "@a", "object_p": "+b"})
    write_quietly(store.table, store, tmp_path / "b.zip")
    assert originals(read_store(tmp_path / "b.zip")) == originals(store)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/abs.png", "C:\\x.png", "..", "a/../../b.png", "x\0y.png", "."])
def test_no_image_leaves_its_folder(tmp_path, name):
    store = bundle_store({"img_file_name": name}, {"object_id": "second", "img_file_name": name.upper()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        write_bundle(store.table, store, tmp_path / "b.zip")
    assert validate_bundle(tmp_path / "b.zip").empty
    tree = Tree(tmp_path / "b.zip")
    assert tree.refused == {}
    assert len(tree.names) == 3


@given(st.text(max_size=300))
def test_names_are_safe_whatever_the_text(text):
    assert set(plain_name(text)) <= set(string.ascii_letters + string.digits + "-_")
    stem = image_stem(text)
    assert 0 < len(stem) <= 160
    assert stem.isascii()
    assert not {"..", "", "."} & set(stem.split("/"))
    assert image_stem(stem + ".png") == stem


def test_a_table_that_packs_like_a_bomb_can_be_read(tmp_path):
    count = 3_000
    row = {"sample_id": "s", **{f"sample_c{i}": "x" * 200 for i in range(10)}}
    store = bundle_store(*[row] * count, images=[np.zeros((1, 1), dtype=np.uint8)] * count)
    write_bundle(store.table, store, tmp_path / "b.zip")
    assert Tree(tmp_path / "b.zip").refused == {}
