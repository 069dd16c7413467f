"""Darwin Core: what was seen, as an archive that OBIS and GBIF take."""

import hashlib
import re
from urllib.parse import quote

import numpy as np
import pandas as pd

from aqqua_science.images.darwin_core_rules import (
    STATUSES,
    find_refusals,
    licence_address,
    scientific_name,
    strictest_licence,
)
from aqqua_science.images.darwin_core_text import (
    TABLES,
    cell_text,
    eml_xml,
    map_unique,
    meta_xml,
    number_text,
    plain_text,
    table_bytes,
    time_text,
    write_zip,
)
from aqqua_science.schema import VOCABULARY, SchemaError

MEASUREMENTS = {
    "volume_m3": (
        "Volume sampled of the water body",
        "http://vocab.nerc.ac.uk/collection/P01/current/VOLWBSMP/",
        "Cubic metres",
        "http://vocab.nerc.ac.uk/collection/P06/current/MCUB/",
    ),
    "esd_um": (
        "Equivalent spherical diameter of biological entity specified elsewhere",
        "",
        "Micrometres (microns)",
        "http://vocab.nerc.ac.uk/collection/P06/current/UMIC/",
    ),
    "carbon_ug": ("Carbon content of biological entity specified elsewhere", "", "Micrograms", ""),
}
"""Column -> type, its NERC concept, unit, its NERC concept; empty where no concept is known for certain."""

_NUMBERS = ["latitude", "longitude", "depth", "depth_min", "depth_max", "volume_m3", "esd_um", "carbon_ug"]
_NUMBERS += ["probability", "aphia_id", "image_rank"]
_TEXTS = ["source", "object_id", "sample_id", "instrument", "licence", "taxon", "taxon_status"]
_PLACE = ["eventDate", "decimalLatitude", "decimalLongitude", "minimumDepthInMeters", "maximumDepthInMeters"]
_HOW = ["sampleSizeValue", "samplingProtocol"]
_LSID = "urn:lsid:marinespecies.org:taxname:"


def to_darwin_core(
    objects,
    samples=None,
    *,
    to,
    institution,
    title,
    creators,
    abstract,
    published,
    contact=None,
    citation=None,
    identified_by="",
    classifier="",
):
    """
    Write what was seen as a Darwin Core archive for OBIS.

    The archive has events as its core, with occurrences and extended measurements or facts (OBIS-ENV-DATA, which OBIS
    recommends where samples have a volume and their organisms have sizes; an archive of occurrences would repeat
    the sample with each of them, and could not say a fact of a sample at all). Each sample is an event, and so is each
    other place, time and depth within it. Each object is one occurrence, however many images it has.

    Objects that OBIS cannot take are left out and returned with the reason: without object_id, time, position, taxon,
    taxon_status or a licence among CC0, CC BY and CC BY-NC (without a version: 4.0), with a dubious taxon, and what is
    no organism (`darwin_core_rules.NOT_LIVING`). Of a label such as ``nauplii<Copepoda`` the first part that is a
    scientific name counts; the whole label is kept as verbatimIdentification.

    Parameters
    ----------
    objects : pandas.DataFrame
        As `ImageStore.table`: object_id, time (UTC), latitude, longitude, licence, taxon, taxon_status; optionally
        source, sample_id, image_rank, depth, depth_min, depth_max, volume_m3, instrument, esd_um, carbon_ug,
        probability (of the prediction) and aphia_id (of the World Register of Marine Species).
    samples : pandas.DataFrame, optional
        With sample_id as a column or the index, and what is known of time, latitude, longitude, depth_min, depth_max,
        volume_m3 and instrument; goes before what the objects say. By default made from the objects.
    to : str or pathlib.Path
        The zip to write.
    institution : str
        Code of the institution; with source and object_id it makes identifiers that stay the same.
    title : str
        Of the data set; best with what lives there, where and when.
    creators : iterable of str
        Who made it, people as ``"Family, Given"`` and anything without a comma as an organisation; an electronic mail
        address may follow in angle brackets.
    abstract : str
        What it is, in a few sentences.
    published : str
        Date of publication, such as ``"2026-11-25"``.
    contact : str, optional
        Whom to ask, written like a creator; the first creator by default.
    citation : str, optional
        How to cite it; made from creators, date, title and institution by default.
    identified_by : str
        Who validated the taxa; several separated by ``" | "``. OBIS asks for it.
    classifier : str
        Citation and version of what predicted the taxa. OBIS asks for it.

    Returns
    -------
    pandas.DataFrame
        What is left out: object_id, taxon and reason, indexed as in `objects`.

    Raises
    ------
    SchemaError
        If no object can be published, or the samples contradict themselves.
    ValueError
        If what OBIS requires of a data set is empty or `published` is not a date.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> seen = {"object_id": ["a1", "a2"], "taxon": ["Oncaea", "detritus"], "taxon_status": "validated"}
    >>> where = {"time": pd.Timestamp("2024-05-01T12:00"), "latitude": 54.2, "longitude": 7.9, "depth": 5.0}
    >>> objects = pd.DataFrame({**seen, **where, "licence": "CC BY 4.0"})
    >>> about = {"title": "Copepods off Helgoland, 2024", "creators": ["Doe, Ada"], "abstract": "Two images."}
    >>> to = Path(tempfile.mkdtemp(), "archive.zip")
    >>> to_darwin_core(objects, to=to, institution="AWI", published="2024-06-01", **about)["reason"].tolist()
    ['not an organism: detritus']
    """
    about = _about(institution, title, creators, abstract, published, contact, citation)
    table = _standard(objects)
    reasons = find_refusals(table)
    publishable = table[reasons == ""].sort_values("image_rank", kind="stable")
    again = publishable.duplicated(["source", "object_id", "image_rank"])
    reasons[again.index[again]] = "the same object_id and image_rank again"
    published_objects = publishable.drop_duplicates(["source", "object_id"])
    _require_some(published_objects, reasons)
    events, event_of = _events(published_objects, samples, institution)
    occurrences = _occurrences(published_objects, event_of, institution, identified_by, classifier)
    measurements = _measurements(published_objects, events, occurrences)
    about |= _extent(published_objects)
    tables = zip(TABLES.items(), (events, occurrences, measurements), strict=True)
    files = {name: table_bytes(rows, terms) for (name, (_, terms)), rows in tables}
    write_zip({"meta.xml": meta_xml(), "eml.xml": eml_xml(about), **files}, to)
    left_out = np.flatnonzero(reasons != "")
    rejected = table.loc[left_out, ["object_id", "taxon"]].assign(reason=reasons[left_out])
    return rejected.set_axis(objects.index[left_out], axis=0)


def _about(institution, title, creators, abstract, published, contact, citation):
    """What the archive says of itself, refused where OBIS would refuse it."""
    creators = [creators] if isinstance(creators, str) else list(creators)
    required = {"institution": institution, "title": title, "abstract": abstract, "creators": "".join(creators)}
    for name, value in required.items():
        if not plain_text(value):
            msg = f"{name} is empty; OBIS requires it of every data set. Give it."
            raise ValueError(msg)
    for name in (*creators, *([contact] if contact else [])):
        if not re.fullmatch(r"[^<>]*\w[^<>]*(<[^<>\s]+@[^<>\s]+>)?", plain_text(name)):
            msg = f"{name!r} is no name; write 'Family, Given <address@of.mail>', the address only if you want."
            raise ValueError(msg)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", str(published)) or pd.isna(pd.to_datetime(published, errors="coerce")):
        msg = f"published is not a date: {published!r}. Write it as '2026-11-25'."
        raise ValueError(msg)
    names = "; ".join(re.sub(r"\s*<.*>", "", plain_text(name)) for name in creators)
    default = f"{names} ({published[:4]}): {plain_text(title)}. {plain_text(institution)}."
    about = {"institution": institution, "title": title, "creators": creators, "abstract": abstract}
    return about | {"published": published, "contact": contact or creators[0], "citation": citation or default}


def _standard(table):
    """All columns that are used, in their types, with nothing where the table has none."""
    table = table.reset_index(drop=True)
    found = {name: table[name] if name in table else pd.Series(np.nan, table.index) for name in [*_NUMBERS, *_TEXTS]}
    columns = {name: pd.to_numeric(found[name], errors="coerce").astype(float) for name in _NUMBERS}
    columns |= {name: map_unique(found[name], lambda v: "" if pd.isna(v) else str(v)) for name in _TEXTS}
    times = pd.to_datetime(table.get("time", pd.Series(pd.NaT, table.index)), errors="coerce", utc=True)
    columns["time"] = times.dt.tz_localize(None)
    for name in ("depth_min", "depth_max"):
        columns[name] = columns[name].fillna(columns["depth"])
    columns["volume_m3"] = columns["volume_m3"].where(columns["volume_m3"] > 0)
    columns["image_rank"] = columns["image_rank"].fillna(0)
    columns["license"] = map_unique(columns["licence"], licence_address)
    columns["scientific_name"] = map_unique(columns["taxon"], scientific_name)
    return pd.DataFrame(columns)


def _require_some(published, reasons):
    if published.empty:
        counts = pd.Series(reasons).value_counts().head(3)
        why = "; ".join(f"{reason} ({n})" for reason, n in counts.items()) or "the table is empty"
        msg = f"none of {len(reasons)} objects can be published: {why}. Complete the columns of objects."
        raise SchemaError(msg)


def _events(table, samples, institution):
    """Events, and the identifier of each object's own."""
    base = f"{_quoted(institution)}:" + map_unique(table["source"], _quoted)
    sampled = table["sample_id"] != ""
    sample = (base + ":" + map_unique(table["sample_id"], _quoted)).where(sampled, "")
    own = _place_texts(table).assign(collectionCode=map_unique(table["source"], cell_text))
    parents = _sample_events(table[sampled], own[sampled], sample[sampled], samples)
    parents = parents.assign(eventID=parents.index, parentEventID="", eventType="sample")
    parent = parents.reindex(sample).fillna("").set_axis(own.index)
    own[_HOW] = own[_HOW].mask(own[_HOW] == parent[_HOW], "")
    apart = (own[_PLACE] != parent[_PLACE]).any(axis=1) | (own[_HOW] != "").any(axis=1) | ~sampled
    hashes = pd.Series(list(map(_hash, zip(*(own[term] for term in [*_PLACE, *_HOW]), strict=True))), own.index)
    event_of = sample.where(~apart, sample.where(sampled, base) + ":" + hashes)
    types = np.where(sampled, "subSample", "sample")
    children = own.assign(eventID=event_of, parentEventID=sample, eventType=types)[apart]
    events = pd.concat([parents, children]).drop_duplicates("eventID").sort_values("eventID", ignore_index=True)
    events["geodeticDatum"] = np.where(events["decimalLatitude"] != "", "EPSG:4326", "")
    events["sampleSizeUnit"] = np.where(events["sampleSizeValue"] != "", "cubic metre", "")
    return events.assign(institutionCode=cell_text(institution)), event_of


def _place_texts(table):
    names = ["latitude", "longitude", "depth_min", "depth_max", "volume_m3"]
    texts = {"eventDate": map_unique(table["time"], time_text)}
    for term, name in zip([*_PLACE[1:], "sampleSizeValue"], names, strict=True):
        texts[term] = map_unique(table[name], number_text)
    return pd.DataFrame(texts | {"samplingProtocol": map_unique(table["instrument"], cell_text)})


def _sample_events(table, own, sample, samples):
    """One event a sample: what its objects have in common, their range of time and depth, and what `samples` says."""
    groups = own.groupby(sample)
    found = groups.first().where(groups.nunique() == 1, "")
    ranges = table.groupby(sample).agg({"time": ["min", "max"], "depth_min": "min", "depth_max": "max"})
    first, last = (map_unique(ranges["time", end], time_text) for end in ("min", "max"))
    found["eventDate"] = first.where(first == last, first + "/" + last)
    found["minimumDepthInMeters"] = map_unique(ranges["depth_min", "min"], number_text)
    found["maximumDepthInMeters"] = map_unique(ranges["depth_max", "max"], number_text)
    if samples is None:
        return found
    names = table["sample_id"].groupby(sample).first()
    told = _place_texts(_checked_samples(samples)).reindex(names).fillna("").set_axis(found.index)
    told = told.where(told != "", found[told.columns])
    return found.assign(**told)


def _checked_samples(samples):
    samples = samples if "sample_id" in samples else samples.reset_index()
    if "sample_id" not in samples:
        msg = "samples has no sample_id, neither as a column nor as the index. Name it."
        raise SchemaError(msg)
    table = _standard(samples)
    twice = table.loc[table["sample_id"].duplicated(), "sample_id"]
    if len(twice):
        msg = f"samples has sample_id {twice.iloc[0]!r} more than once. Keep one row a sample."
        raise SchemaError(msg)
    for name in ("latitude", "longitude", "depth_min", "depth_max"):
        column = VOCABULARY[name]
        wrong = table.loc[(table[name] < column.lower) | (table[name] > column.upper), name]
        if len(wrong):
            msg = f"{name} of samples {column.rule}: {wrong.iloc[0]:g}. {column.remedy}"
            raise SchemaError(msg)
    return table.set_index("sample_id", drop=False)


def _hash(texts):
    """Short name of a place, time and depth that stays the same wherever its row stands."""
    return hashlib.sha256("|".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _occurrences(table, event_of, institution, identified_by, classifier):
    validated = table["taxon_status"] == "validated"
    base = f"urn:catalog:{_quoted(institution)}:" + map_unique(table["source"], _quoted)
    probability = map_unique(table["probability"], number_text)
    rows = {
        "eventID": event_of,
        "occurrenceID": base + ":" + map_unique(table["object_id"], _quoted),
        "institutionCode": cell_text(institution),
        "collectionCode": map_unique(table["source"], cell_text),
        "catalogNumber": map_unique(table["object_id"], cell_text),
        "basisOfRecord": "MachineObservation",
        "occurrenceStatus": "present",
        "scientificName": table["scientific_name"],
        "scientificNameID": map_unique(table["aphia_id"], lambda n: "" if pd.isna(n) else f"{_LSID}{int(n)}"),
        "verbatimIdentification": map_unique(table["taxon"], cell_text),
        "identificationVerificationStatus": map_unique(table["taxon_status"], STATUSES.get),
        "identifiedBy": np.where(validated, cell_text(identified_by), ""),
        "identificationReferences": np.where(validated, "", cell_text(classifier)),
        "identificationRemarks": ("probability " + probability).where((probability != "") & ~validated, ""),
        "license": table["license"],
    }
    return pd.DataFrame(rows, index=table.index).sort_values("occurrenceID")


def _quoted(text):
    """Text as a part of an identifier, in which colons only separate."""
    return quote(text, safe="", errors="replace")


def _measurements(table, events, occurrences):
    volumes = events.loc[events["sampleSizeValue"] != "", ["eventID", "sampleSizeValue"]]
    volumes = volumes.rename(columns={"sampleSizeValue": "measurementValue"})
    parts = [_facts("volume_m3", volumes.assign(occurrenceID=""), volumes["eventID"])]
    for name in ("esd_um", "carbon_ug"):
        values = table[name].reindex(occurrences.index)
        values = map_unique(values[np.isfinite(values) & (values > 0)], number_text)
        rows = occurrences.loc[values.index, ["eventID", "occurrenceID"]].assign(measurementValue=values)
        parts.append(_facts(name, rows, rows["occurrenceID"]))
    return pd.concat(parts).sort_values("measurementID")


def _facts(name, rows, owner):
    columns = ("measurementType", "measurementTypeID", "measurementUnit", "measurementUnitID")
    return rows.assign(measurementID=owner + f":{name}", **dict(zip(columns, MEASUREMENTS[name], strict=True)))


def _extent(table):
    """Licence, box and times of all that is published; of several licences the strictest."""
    latitude, longitude = table["latitude"], table["longitude"]
    box = (longitude.min(), longitude.max(), latitude.max(), latitude.min())
    strictest = strictest_licence(table["license"].unique())
    return {"licence": strictest, "box": box, "times": (table["time"].min(), table["time"].max())}
