"""The Darwin Core archive: read back by an independent reader, and held against the rules of TDWG, GBIF and OBIS."""

import re
import zipfile
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from dwca.read import DwCAReader
from hypothesis import given, settings
from hypothesis import strategies as st

from aqqua_science.images import ingest, to_darwin_core
from aqqua_science.images.darwin_core_rules import licence_address, scientific_name
from aqqua_science.schema import SchemaError

ABOUT = {
    "institution": "AWI",
    "title": "Copepods & others off Helgoland, 2024",
    "creators": ["Doe, Ada <ada@example.org>", "Institute Plankton"],
    "abstract": "Images of < 100 organisms.",
    "published": "2024-06-01",
}
DWC = "http://rs.tdwg.org/dwc/terms/"
META = "{http://rs.tdwg.org/dwc/text/}"

REQUIRED_BY_OBIS = [
    *("eventDate", "eventID", "decimalLatitude", "decimalLongitude"),
    *("occurrenceID", "occurrenceStatus", "basisOfRecord", "scientificName"),
]
"""Checklist of the OBIS manual, "Darwin Core Term Checklist for OBIS", the terms marked required."""

REQUIRED_OF_IMAGES = ["identificationReferences", "identificationVerificationStatus", "identifiedBy"]
"""The same, marked required for imaging data."""

EML_ORDER = [
    *("title", "creator", "metadataProvider", "pubDate", "language"),
    *("abstract", "intellectualRights", "coverage", "contact"),
]
"""Sequence of the elements of a data set in the GBIF profile of EML."""


def some(**columns):
    """Two good objects of one sample, with columns replaced."""
    table = {
        "source": "run",
        "object_id": ["a1", "a2"],
        "sample_id": "s1",
        "time": pd.Timestamp("2024-05-01T12:00"),
        "latitude": 54.2,
        "longitude": 7.9,
        "depth_min": 0.0,
        "depth_max": 10.0,
        "volume_m3": 0.5,
        "instrument": "CPICS",
        "licence": "CC BY 4.0",
        "taxon": ["Oncaea", "nauplii<Copepoda"],
        "taxon_status": ["validated", "predicted"],
    }
    return pd.DataFrame(table | columns)


def write(tmp_path, objects, samples=None, **changes):
    """Archive and what was left out."""
    to = tmp_path / "archive.zip"
    return to, to_darwin_core(objects, samples, to=to, **(ABOUT | changes))


def short(data):
    return {term.rpartition("/")[2]: value for term, value in data.items()}


def read(path):
    """The three tables as the independent reader sees them: rows of short term -> value."""
    tables = {"Occurrence": [], "ExtendedMeasurementOrFact": []}
    with DwCAReader(str(path)) as archive:
        assert archive.core_contains_term(DWC + "eventID")
        assert archive.orphaned_extension_rows() == {
            "occurrence.txt": {},
            "extendedmeasurementorfact.txt": {},
        }
        events = []
        for row in archive:
            events.append(short(row.data) | {"id": row.id})
            for extension in row.extensions:
                tables[extension.rowtype.rpartition("/")[2]].append(short(extension.data))
    return events, tables["Occurrence"], tables["ExtendedMeasurementOrFact"]


def flatten(events, occurrences):
    """Occurrences with the terms of their event, and what it lacks from its parent's, as OBIS flattens them."""
    by_id = {event["id"]: event for event in events}

    def whole(event):
        parent = by_id[event["parentEventID"]] if event["parentEventID"] else None
        return event if parent is None else {k: v or whole(parent)[k] for k, v in event.items()}

    return [whole(by_id[o["eventID"]]) | o for o in occurrences]


def test_an_independent_reader_finds_what_was_seen(tmp_path):
    objects = some(esd_um=[812.5, np.nan], carbon_ug=[3e-5, -1], aphia_id=[128690, np.nan], probability=[0.5, 0.875])
    path, rejected = write(tmp_path, objects, identified_by="A. Doe", classifier="forest 1.2")
    events, occurrences, facts = read(path)
    assert len(rejected) == 0
    assert [(e["id"], e["eventType"], e["eventDate"]) for e in events] == [
        ("AWI:run:s1", "sample", "2024-05-01T12:00:00Z")
    ]
    first, second = occurrences
    assert first["occurrenceID"] == "urn:catalog:AWI:run:a1"
    assert first["scientificNameID"] == "urn:lsid:marinespecies.org:taxname:128690"
    assert (first["identificationVerificationStatus"], first["identifiedBy"]) == ("ValidatedByHuman", "A. Doe")
    assert (first["identificationReferences"], first["identificationRemarks"]) == ("", "")
    assert (second["scientificName"], second["verbatimIdentification"]) == ("Copepoda", "nauplii<Copepoda")
    assert (second["identificationVerificationStatus"], second["identifiedBy"]) == ("PredictedByMachine", "")
    assert (second["identificationReferences"], second["identificationRemarks"]) == ("forest 1.2", "probability 0.875")
    assert {(f["occurrenceID"], f["measurementValue"], f["measurementUnit"]) for f in facts} == {
        ("", "0.5", "Cubic metres"),
        (first["occurrenceID"], "812.5", "Micrometres (microns)"),
        (first["occurrenceID"], "0.00003", "Micrograms"),
    }


def test_every_occurrence_has_what_obis_requires(tmp_path):
    depths = some(object_id=["a1", "a2"], depth_min=[3.0, 7.0], depth_max=[3.0, 7.0])
    path, _ = write(tmp_path, depths)
    events, occurrences, _ = read(path)
    for record in flatten(events, occurrences):
        assert [term for term in REQUIRED_BY_OBIS if not record[term]] == []
        assert {*REQUIRED_OF_IMAGES} <= {*record}
        assert record["basisOfRecord"] == "MachineObservation"


def test_other_places_within_a_sample_are_events_of_their_own(tmp_path):
    profile = some(object_id=["a1", "a2"], depth_min=[3.0, 7.0], depth_max=[3.0, 7.0])
    path, _ = write(tmp_path, profile)
    events, occurrences, facts = read(path)
    assert sorted((e["eventType"], e["minimumDepthInMeters"], e["maximumDepthInMeters"]) for e in events) == [
        ("sample", "3", "7"),
        ("subSample", "3", "3"),
        ("subSample", "7", "7"),
    ]
    assert {e["parentEventID"] for e in events} == {"", "AWI:run:s1"}
    records = {r["catalogNumber"]: r["minimumDepthInMeters"] for r in flatten(events, occurrences)}
    assert records == {"a1": "3", "a2": "7"}
    assert [(f["eventID"], f["measurementValue"]) for f in facts] == [("AWI:run:s1", "0.5")]


def test_the_table_of_samples_goes_before_the_objects(tmp_path):
    samples = pd.DataFrame({"sample_id": ["s1"], "depth_min": [0.0], "depth_max": [500.0], "volume_m3": [2.25]})
    for given_samples in (samples, samples.set_index("sample_id")):
        path, _ = write(tmp_path, some(volume_m3=np.nan), given_samples)
        events, occurrences, facts = read(path)
        sample = next(e for e in events if e["id"] == "AWI:run:s1")
        assert (sample["maximumDepthInMeters"], sample["sampleSizeValue"]) == ("500", "2.25")
        assert {r["maximumDepthInMeters"] for r in flatten(events, occurrences)} == {"10"}
        assert [f["measurementValue"] for f in facts] == ["2.25"]


def test_objects_without_a_sample_stand_in_events_by_place(tmp_path):
    path, _ = write(tmp_path, some(sample_id=None, latitude=[54.2, 55.0]))
    events, occurrences, _ = read(path)
    assert [(e["parentEventID"], e["eventType"]) for e in events] == [("", "sample")] * 2
    records = {r["catalogNumber"]: r["decimalLatitude"] for r in flatten(events, occurrences)}
    assert records == {"a1": "54.2", "a2": "55"}


def test_a_volume_that_is_none_is_no_measurement(tmp_path):
    path, _ = write(tmp_path, some(volume_m3=[0.0, np.inf]))
    events, _, facts = read(path)
    assert (facts, {e["sampleSizeValue"] + e["sampleSizeUnit"] for e in events}) == ([], {""})


def test_several_images_of_an_object_are_one_occurrence(tmp_path):
    objects = some(object_id=["a1", "a1"], image_rank=[1, 0])
    path, rejected = write(tmp_path, objects)
    _, occurrences, _ = read(path)
    assert len(rejected) == 0
    assert [o["scientificName"] for o in occurrences] == ["Copepoda"]
    _, rejected = write(tmp_path, objects.assign(image_rank=0))
    assert rejected["reason"].tolist() == ["the same object_id and image_rank again"]


def test_the_same_names_in_two_sources_stay_apart(tmp_path):
    path, _ = write(tmp_path, some(object_id="a1", source=["run", "ru:n"]))
    events, occurrences, _ = read(path)
    assert len({o["occurrenceID"] for o in occurrences}) == len({e["id"] for e in events}) == 2


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("object_id", None, "missing object_id"),
        ("time", pd.NaT, "missing time"),
        ("latitude", np.nan, "missing latitude"),
        ("longitude", 200.0, "longitude is outside -180..180 degrees_east"),
        ("depth_min", 11.0, "depth_min is deeper than depth_max"),
        ("taxon", None, "missing taxon"),
        ("taxon", "fiber<detritus", "not an organism: fiber<detritus"),
        ("taxon", "Air_bubble", "not an organism: Air_bubble"),
        ("taxon", "not-living", "not an organism: not-living"),
        ("taxon", "t001", "taxon is no scientific name: t001"),
        ("taxon", "Other (Biota)", "taxon is no scientific name: Other (Biota)"),
        ("taxon_status", None, "missing taxon_status"),
        ("taxon_status", "dubious", "the taxon is dubious"),
        ("licence", None, "missing licence"),
        ("licence", "CC BY-SA 4.0", "licence is not CC0, CC BY or CC BY-NC: CC BY-SA 4.0"),
        ("licence", "Copyright", "licence is not CC0, CC BY or CC BY-NC: Copyright"),
        ("aphia_id", 0, "aphia_id is not a whole number above 0"),
        ("aphia_id", 1.5, "aphia_id is not a whole number above 0"),
    ],
)
def test_what_cannot_be_published_is_left_out_with_the_reason(tmp_path, column, value, reason):
    objects = some().astype(object).set_axis([70, 71], axis=0)
    objects["aphia_id"] = [1, 1]
    objects[column] = [value, objects[column].iloc[1]]
    path, rejected = write(tmp_path, objects)
    assert rejected["reason"].to_dict() == {70: reason}
    assert len(read(path)[1]) == 1


def test_when_nothing_can_be_published_the_file_stays_as_it_was(tmp_path):
    path, _ = write(tmp_path, some())
    before = path.read_bytes()
    with pytest.raises(SchemaError, match=r"none of 2 objects .*not an organism: detritus \(2\)"):
        write(tmp_path, some(taxon="detritus"))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["archive.zip"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("CC0", "publicdomain/zero/1.0"),
        ("CC0-1.0", "publicdomain/zero/1.0"),
        ("CC0 1.0 Universal", "publicdomain/zero/1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "publicdomain/zero/1.0"),
        ("CC BY 4.0", "licenses/by/4.0"),
        ("cc-by-4.0", "licenses/by/4.0"),
        ("CC BY", "licenses/by/4.0"),
        ("CC BY 3.0", "licenses/by/3.0"),
        ("http://creativecommons.org/licenses/by/4.0/legalcode", "licenses/by/4.0"),
        ("CC BY-NC 4.0", "licenses/by-nc/4.0"),
        ("CC BY-NC-SA 4.0", ""),
        ("CC BY-ND 4.0", ""),
        ("not defined", ""),
        ("", ""),
    ],
)
def test_licences_that_obis_takes_are_known_by_their_address(text, address):
    assert licence_address(text) == (f"http://creativecommons.org/{address}/legalcode" if address else "")


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Calanus finmarchicus", "Calanus finmarchicus"),
        ("Calanus_finmarchicus", "Calanus finmarchicus"),
        ("Calanus sp.", "Calanus"),
        ("Calanus spp", "Calanus"),
        ("Calanus cf. hyperboreus", "Calanus"),
        ("Spongodrymus", "Spongodrymus"),
        ("part<Crustacea", "Crustacea"),
        ("egg<other", ""),
        ("copepod", ""),
        ("UNKNOWN", ""),
        ("<", ""),
    ],
)
def test_names_are_found_in_labels(label, name):
    assert scientific_name(label) == name


def test_meta_xml_keeps_the_rules_of_the_text_guide(tmp_path):
    path, _ = write(tmp_path, some())
    with zipfile.ZipFile(path) as archive:
        root = ElementTree.fromstring(archive.read("meta.xml"))
        names = archive.namelist()
        assert root.tag == META + "archive"
        assert root.get("metadata") in names
        assert [table.tag for table in root] == [META + "core", META + "extension", META + "extension"]
        row_types = [table.get("rowType") for table in root]
        assert row_types == [
            DWC + "Event",
            DWC + "Occurrence",
            "http://rs.iobis.org/obis/terms/ExtendedMeasurementOrFact",
        ]
        for table in root:
            key = "id" if table.tag == META + "core" else "coreid"
            assert [child.tag for child in table[:2]] == [META + "files", META + key]
            assert {child.tag for child in table[2:]} == {META + "field"}
            assert table[1].get("index") == "0"
            assert (table.get("encoding"), table.get("fieldsTerminatedBy")) == ("UTF-8", "\\t")
            (location,) = table[0]
            header = archive.read(location.text).decode().split("\n")[0].split("\t")
            fields = [(int(f.get("index")), f.get("term").rpartition("/")[2]) for f in table[2:]]
            assert fields == [*enumerate(header)][1:]
            assert all(f.get("term").startswith("http://") for f in table[2:])


def test_eml_has_the_minimum_of_obis_in_the_order_of_the_profile(tmp_path):
    path, _ = write(tmp_path, some(longitude=[-170.5, 7.9], licence=["CC0", "CC BY-NC 4.0"]))
    with zipfile.ZipFile(path) as archive:
        root = ElementTree.fromstring(archive.read("eml.xml"))
    assert root.tag == "{eml://ecoinformatics.org/eml-2.1.1}eml"
    dataset = root.find("dataset")
    order = [child.tag for child in dataset]
    assert [*dict.fromkeys(order)] == EML_ORDER
    assert order.count("creator") == 2
    assert dataset.findtext("title") == ABOUT["title"]
    assert dataset.findtext("abstract/para") == ABOUT["abstract"]
    assert dataset.findtext("contact/individualName/surName") == "Doe"
    assert dataset.findtext("contact/electronicMailAddress") == "ada@example.org"
    assert dataset.find("intellectualRights/para/ulink").get("url") == licence_address("CC BY-NC 4.0")
    box = dataset.find("coverage/geographicCoverage/boundingCoordinates")
    assert [(side.tag[:4], side.text) for side in box] == [
        ("west", "-170.5"),
        ("east", "7.9"),
        ("nort", "54.2"),
        ("sout", "54.2"),
    ]
    assert dataset.findtext("coverage/temporalCoverage/rangeOfDates/endDate/calendarDate") == "2024-05-01"
    citation = root.findtext("additionalMetadata/metadata/gbif/citation")
    assert citation == "Doe, Ada; Institute Plankton (2024): Copepods & others off Helgoland, 2024. AWI."


def test_the_bytes_do_not_depend_on_the_order_or_the_moment(tmp_path):
    rng = np.random.default_rng(1)
    objects = pd.concat([some(object_id=[f"{i}a", f"{i}b"], sample_id=f"s{i % 3}", latitude=i % 5) for i in range(20)])
    objects = objects.reset_index(drop=True)
    first = write(tmp_path, objects)[0].read_bytes()
    assert write(tmp_path, objects.sample(frac=1, random_state=rng))[0].read_bytes() == first
    with zipfile.ZipFile(tmp_path / "archive.zip") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_hostile_text_stays_in_its_cell_and_is_no_formula(tmp_path):
    bad = "=cmd|'/c calc'!A1\t\r\nnext\0\u2028row"
    path, _ = write(
        tmp_path,
        some(object_id=[bad, "-2+3"], sample_id="@" + bad, source="+" + bad, instrument=bad),
        identified_by=bad,
        classifier='"quoted"\t<&>',
        title="a\tb & <c>\0",
    )
    with zipfile.ZipFile(path) as archive:
        for name in ("event.txt", "occurrence.txt", "extendedmeasurementorfact.txt"):
            rows = [line.split("\t") for line in archive.read(name).decode().rstrip("\n").split("\n")]
            assert len({len(row) for row in rows}) == 1
            cells = [cell for row in rows for cell in row if not re.fullmatch(r"-?\d+(\.\d+)?", cell)]
            assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == []
        assert ElementTree.fromstring(archive.read("eml.xml")).findtext("dataset/title") == "a b & <c>"
    _, occurrences, _ = read(path)
    assert {o["catalogNumber"] for o in occurrences} == {"'-2+3", "'=cmd|'/c calc'!A1 next row"}
    assert max(o["identificationReferences"] for o in occurrences) == '"quoted" <&>'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"institution": " "}, "institution is empty"),
        ({"creators": []}, "creators is empty"),
        ({"abstract": ""}, "abstract is empty"),
        ({"published": "today"}, "published is not a date: 'today'"),
        ({"published": "2024-13-01"}, "published is not a date"),
        ({"creators": ["Ada <nowhere>"]}, "'Ada <nowhere>' is no name"),
        ({"contact": "<a@b.org>"}, "'<a@b.org>' is no name"),
    ],
)
def test_what_the_data_set_owes_is_asked_for(tmp_path, change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        write(tmp_path, some(), **change)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"sample_id": ["s1", "s1"]}, "samples has sample_id 's1' more than once"),
        ({"latitude": [1.0]}, "samples has no sample_id"),
        ({"sample_id": ["s1"], "latitude": [95.0]}, "latitude of samples is outside -90..90 degrees_north: 95"),
    ],
)
def test_samples_that_contradict_themselves_are_refused(tmp_path, samples, message):
    with pytest.raises(SchemaError, match=re.escape(message)):
        write(tmp_path, some(), pd.DataFrame(samples))


TEXT = st.none() | st.text(max_size=8) | st.sampled_from(["Oncaea", "detritus", "egg<Calanus", "s1", "=1+1"])
NUMBER = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, 5.0, 54.2, -7.25, 1e-9])
ROW = st.fixed_dictionaries(
    {
        "source": TEXT,
        "object_id": TEXT,
        "sample_id": TEXT,
        "instrument": TEXT,
        "taxon": TEXT | st.just("Oncaea"),
        "licence": TEXT | st.just("CC0"),
        "taxon_status": st.sampled_from(["validated", "predicted", "dubious", None]),
        "time": st.none() | st.datetimes(min_value=pd.Timestamp("1800-01-01"), max_value=pd.Timestamp("2200-01-01")),
    }
    | dict.fromkeys(("latitude", "longitude", "depth_min", "depth_max", "volume_m3", "esd_um", "aphia_id"), NUMBER)
)


@settings(max_examples=100)
@given(rows=st.lists(ROW, min_size=1, max_size=6))
def test_whatever_the_objects_hold_the_archive_is_whole_or_refused(tmp_path_factory, rows):
    good = some()
    objects = pd.concat([good, pd.DataFrame(rows).astype(object)], ignore_index=True)
    path, rejected = write(tmp_path_factory.mktemp("fuzz"), objects)
    events, occurrences, facts = read(path)
    assert len(occurrences) + len(rejected) == len(objects)
    for records, key in ((events, "id"), (occurrences, "occurrenceID"), (facts, "measurementID")):
        assert len({r[key] for r in records}) == len(records)
    assert {o["eventID"] for o in occurrences} <= {e["id"] for e in events}
    assert {f["occurrenceID"] for f in facts} <= {"", *(o["occurrenceID"] for o in occurrences)}
    for record in flatten(events, occurrences):
        assert [term for term in REQUIRED_BY_OBIS if not record[term]] == []


def test_a_real_ecotaxa_export_becomes_an_archive(tmp_path, shared_data):
    export = shared_data / "images/ecotaxa+ecotaxa_back/QA/py/data/import_test"
    store = ingest(
        export, tmp_path / "store", defaults={"licence": "CC BY 4.0", "pixel_size_um": 10.6}, format="ecotaxa"
    )
    path, rejected = write(tmp_path, store.table, classifier="EcoTaxa")
    events, occurrences, _ = read(path)
    assert len(occurrences) + len(rejected) == len(store)
    assert {o["scientificName"] for o in occurrences} == {"Oncaeidae", "Cyclopoida", "Biota"}
    assert {*rejected["taxon"]} == {"detritus", "t001", "Other (Biota)", "other", "ozzeur", "egg<other"}
    assert [e["id"] for e in events] == ["AWI:import_test:m106_mn01_n1_sml"]
