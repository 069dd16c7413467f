"""The text of a Darwin Core archive: cells, tables, the two XML documents and the zip around them."""

import re
import uuid
import zipfile
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from aqqua_science.files import replacing

DWC = "http://rs.tdwg.org/dwc/terms/"
OBIS = "http://rs.iobis.org/obis/terms/"

EVENT = [
    *("eventID", "parentEventID", "eventType", "eventDate", "decimalLatitude", "decimalLongitude"),
    *("geodeticDatum", "minimumDepthInMeters", "maximumDepthInMeters", "sampleSizeValue", "sampleSizeUnit"),
    *("samplingProtocol", "institutionCode", "collectionCode"),
]
OCCURRENCE = [
    *("eventID", "occurrenceID", "institutionCode", "collectionCode", "catalogNumber", "basisOfRecord"),
    *("occurrenceStatus", "scientificName", "scientificNameID", "verbatimIdentification"),
    *("identificationVerificationStatus", "identifiedBy", "identificationReferences", "identificationRemarks"),
    *("license",),
]
MEASUREMENT = [
    *("eventID", "occurrenceID", "measurementID", "measurementType", "measurementTypeID", "measurementValue"),
    *("measurementUnit", "measurementUnitID"),
]

TABLES = {
    "event.txt": (DWC + "Event", EVENT),
    "occurrence.txt": (DWC + "Occurrence", OCCURRENCE),
    "extendedmeasurementorfact.txt": (OBIS + "ExtendedMeasurementOrFact", MEASUREMENT),
}
"""File -> its row type and terms; the first file is the core."""

ELSEWHERE = {
    "license": "http://purl.org/dc/terms/license",
    "measurementTypeID": OBIS + "measurementTypeID",
    "measurementUnitID": OBIS + "measurementUnitID",
}
"""Terms that are not Darwin Core's own."""

_BREAKING = re.compile("[\\s\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
_TEXT_NAMESPACE = "http://rs.tdwg.org/dwc/text/"
_EML_NAMESPACE = "eml://ecoinformatics.org/eml-2.1.1"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)


def plain_text(value):
    """
    Put text on one line, without what XML or a tab-separated table cannot hold.

    Parameters
    ----------
    value : object
        None and NaN are empty text.

    Returns
    -------
    str

    Examples
    --------
    >>> plain_text(" two\\tcells\\n")
    'two cells'
    """
    return "" if pd.isna(value) else _BREAKING.sub(" ", str(value)).strip()


def cell_text(value):
    """
    Write text for a cell, so that no spreadsheet takes it for a formula.

    Parameters
    ----------
    value : object

    Returns
    -------
    str

    Examples
    --------
    >>> cell_text("=HYPERLINK(A1)"), cell_text("Oncaea")
    ("'=HYPERLINK(A1)", 'Oncaea')
    """
    text = plain_text(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def number_text(value):
    """
    Write a number with all its digits and no exponent.

    Parameters
    ----------
    value : float

    Returns
    -------
    str
        Empty where it is not finite.

    Examples
    --------
    >>> number_text(5e-05), number_text(12.0), number_text(float("nan"))
    ('0.00005', '12', '')
    """
    return np.format_float_positional(value, trim="-") if np.isfinite(value) else ""


def time_text(value):
    """
    Write a time in UTC as ISO 8601.

    Parameters
    ----------
    value : numpy.datetime64 or pandas.Timestamp

    Returns
    -------
    str
        Empty where it is not a time.

    Examples
    --------
    >>> time_text(pd.Timestamp("2012-01-28 08:15:15"))
    '2012-01-28T08:15:15Z'
    """
    return "" if pd.isna(value) else pd.Timestamp(value).isoformat() + "Z"


def map_unique(values, function):
    """
    Apply a function once to every distinct value.

    Parameters
    ----------
    values : pandas.Series
    function : callable

    Returns
    -------
    pandas.Series

    Examples
    --------
    >>> map_unique(pd.Series([1.0, 1.0, 2.5]), number_text).tolist()
    ['1', '1', '2.5']
    """
    codes, distinct = pd.factorize(values, use_na_sentinel=False)
    texts = np.array([function(value) for value in distinct], dtype=object)
    return pd.Series(texts[codes], index=values.index, dtype=object)


def table_bytes(table, terms):
    """
    Write a table as the archive holds it: tabs, one header line, the identifier of the core first.

    Parameters
    ----------
    table : pandas.DataFrame
        Text without tabs and line breaks; has `eventID`.
    terms : list of str

    Returns
    -------
    bytes
    """
    columns = [table["eventID"], *(table[term] for term in terms)]
    lines = ["\t".join(["id", *terms]), *map("\t".join, zip(*columns, strict=True))]
    return ("\n".join(lines) + "\n").encode("utf-8")


def meta_xml():
    """
    Describe the files of the archive, as the Darwin Core text guide asks.

    Returns
    -------
    bytes
    """
    location = f"{_TEXT_NAMESPACE} {_TEXT_NAMESPACE}tdwg_dwc_text.xsd"
    root = ElementTree.Element("archive", {"xmlns": _TEXT_NAMESPACE, "metadata": "eml.xml", "xmlns:xsi": _INSTANCE})
    root.set("xsi:schemaLocation", location)
    for number, (file, (row_type, terms)) in enumerate(TABLES.items()):
        format_ = {"encoding": "UTF-8", "fieldsTerminatedBy": "\\t", "linesTerminatedBy": "\\n"}
        format_ |= {"fieldsEnclosedBy": "", "ignoreHeaderLines": "1", "rowType": row_type}
        table = ElementTree.SubElement(root, "extension" if number else "core", format_)
        ElementTree.SubElement(ElementTree.SubElement(table, "files"), "location").text = file
        ElementTree.SubElement(table, "coreid" if number else "id", {"index": "0"})
        for index, term in enumerate(terms, 1):
            ElementTree.SubElement(table, "field", {"index": str(index), "term": ELSEWHERE.get(term, DWC + term)})
    return _document(root)


def eml_xml(about):
    """
    Describe the data set in the GBIF profile of EML, version 1.1, which OBIS uses.

    Parameters
    ----------
    about : dict
        `institution`, `title`, `creators`, `contact`, `abstract`, `published`, `citation`, `licence` (name and
        address), `box` (west, east, north, south), `times` (first and last).

    Returns
    -------
    bytes
    """
    location = f"{_EML_NAMESPACE} http://rs.gbif.org/schema/eml-gbif-profile/1.1/eml.xsd"
    identifier = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{about['institution']}/{about['title']}"))
    attributes = {"xmlns:eml": _EML_NAMESPACE, "xmlns:xsi": _INSTANCE, "xsi:schemaLocation": location}
    attributes |= {"packageId": f"{identifier}/v1.0", "system": "http://gbif.org", "scope": "system", "xml:lang": "eng"}
    root = ElementTree.Element("eml:eml", attributes)
    dataset = ElementTree.SubElement(root, "dataset")
    _add(dataset, "title", about["title"]).set("xml:lang", "eng")
    for creator in about["creators"]:
        _add_agent(dataset, "creator", creator)
    _add_agent(dataset, "metadataProvider", about["contact"])
    _add(dataset, "pubDate", about["published"])
    _add(dataset, "language", "eng")
    _add(dataset, "abstract/para", about["abstract"])
    _add_rights(dataset, *about["licence"])
    _add_coverage(dataset, about["box"], about["times"])
    _add_agent(dataset, "contact", about["contact"])
    gbif = _add(root, "additionalMetadata/metadata/gbif")
    _add(gbif, "dateStamp", f"{about['published']}T00:00:00Z")
    _add(gbif, "hierarchyLevel", "dataset")
    _add(gbif, "citation", about["citation"])
    return _document(root)


def _add(parent, path, text=None):
    """Add nested elements; the innermost holds the text and is returned."""
    for name in path.split("/"):
        parent = ElementTree.SubElement(parent, name)
    if text is not None:
        parent.text = plain_text(text)
    return parent


def _add_agent(parent, role, name):
    """Add a person, written 'Family, Given', or an organisation; an address may follow in angle brackets."""
    name, mail = re.fullmatch(r"([^<>]*?)\s*(?:<([^<>\s]+@[^<>\s]+)>)?", plain_text(name)).groups()
    agent = _add(parent, role)
    family, comma, given = name.partition(",")
    if comma:
        person = _add(agent, "individualName")
        _add(person, "givenName", given)
        _add(person, "surName", family)
    else:
        _add(agent, "organizationName", name)
    if mail:
        _add(agent, "electronicMailAddress", mail)


def _add_rights(dataset, name, address):
    para = _add(dataset, "intellectualRights/para")
    para.text = "This work is licensed under a "
    link = _add(para, "ulink")
    link.set("url", address)
    _add(link, "citetitle", name)
    link.tail = "."


def _add_coverage(dataset, box, times):
    coverage = _add(dataset, "coverage")
    place = _add(coverage, "geographicCoverage")
    _add(place, "geographicDescription", "Box around all positions.")
    bounds = _add(place, "boundingCoordinates")
    for side, value in zip(("west", "east", "north", "south"), box, strict=True):
        _add(bounds, f"{side}BoundingCoordinate", number_text(value))
    dates = _add(coverage, "temporalCoverage/rangeOfDates")
    for end, time in zip(("beginDate", "endDate"), times, strict=True):
        _add(dates, f"{end}/calendarDate", time_text(time)[:10])


def _document(root):
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def write_zip(files, to):
    """
    Write a zip whole or not at all, with the same bytes for the same files.

    Parameters
    ----------
    files : dict
        Name -> bytes.
    to : str or pathlib.Path
    """
    with replacing(to) as part, zipfile.ZipFile(part, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _FIXED_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
