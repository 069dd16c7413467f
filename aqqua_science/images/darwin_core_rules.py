"""What OBIS takes: licences, scientific names, and why an object cannot be published."""

import re

import numpy as np
import pandas as pd

from aqqua_science.images.darwin_core_text import cell_text, map_unique, plain_text
from aqqua_science.schema import VOCABULARY

NOT_LIVING = {
    *("artefact", "artefacts", "artifact", "artifacts", "bead", "beads", "bubble"),
    *("bubbles", "crystal", "crystals", "detritus", "dust", "faecal", "faeces", "fecal", "feces", "fiber", "fibers"),
    *("fibre", "fibres", "noise", "plastic", "reflection", "scratch", "shadow", "snow", "turbid"),
}
"""Words that make a label a thing instead of an organism; "not-living" is one as well."""

NO_NAMES = {
    *("incertae", "mix", "mixed", "multiple", "other", "others", "temporary", "unclassified", "unidentified"),
    *("unknown", "unsorted"),
}
"""Words that begin a label as a name would, and are none."""

STATUSES = {"validated": "ValidatedByHuman", "predicted": "PredictedByMachine"}
"""`taxon_status` in the words that OBIS recommends for images (Martin-Cabrera et al. 2022)."""

_LICENCES = {"0": "publicdomain/zero", "zero": "publicdomain/zero", "by": "licenses/by", "by nc": "licenses/by-nc"}
_NAMES = {"publicdomain/zero": "CC0", "licenses/by": "CC BY", "licenses/by-nc": "CC BY-NC"}


def licence_address(text):
    """
    Find the address of a licence that OBIS takes.

    Parameters
    ----------
    text : str
        Name or address; without a version it is read as 4.0, the one that OBIS and GBIF offer.

    Returns
    -------
    str
        Empty for any licence but CC0, CC BY and CC BY-NC.

    Examples
    --------
    >>> licence_address("CC BY-NC 4.0"), licence_address("CC BY-SA 4.0")
    ('http://creativecommons.org/licenses/by-nc/4.0/legalcode', '')
    """
    text = re.sub(r"^https?://(www\.)?creativecommons\.org/(licenses|publicdomain)/", "cc ", text.strip().casefold())
    text = re.sub(r"[\s_/-]+", " ", re.sub(r"(legalcode|deed)(\.\w+)?/?$", "", text)).strip()
    words = r"cc ?(0|zero|by|by nc)(?: v?([1-4])(?:\.(\d))?)?(?: (?:international|universal|unported|generic))?"
    found = re.fullmatch(words, text)
    if not found:
        return ""
    kind, major, minor = found.groups()
    version = "1.0" if kind in ("0", "zero") else f"{major or 4}.{minor or 0}"
    return f"http://creativecommons.org/{_LICENCES[kind]}/{version}/legalcode"


def strictest_licence(addresses):
    """
    Find the licence under which everything may be given away together.

    Parameters
    ----------
    addresses : iterable of str
        From `licence_address`.

    Returns
    -------
    tuple of str
        Its name and address.

    Examples
    --------
    >>> strictest_licence([licence_address("CC0"), licence_address("CC BY 3.0")])
    ('CC BY 3.0', 'http://creativecommons.org/licenses/by/3.0/legalcode')
    """
    ranked = [("/".join(address.split("/")[3:5]), address) for address in addresses]
    kind, address = max(ranked, key=lambda pair: ([*_NAMES].index(pair[0]), pair[1]))
    return f"{_NAMES[kind]} {address.split('/')[5]}", address


def scientific_name(label):
    """
    Find the first part of a label that is a scientific name.

    Parameters
    ----------
    label : str
        As EcoTaxa writes it, the wider after the narrower: ``"nauplii<Copepoda"``.

    Returns
    -------
    str
        Without cf., aff. and sp., which have no place in a scientific name; empty when no part is one.

    Examples
    --------
    >>> scientific_name("nauplii<Copepoda"), scientific_name("Calanus cf. hyperboreus"), scientific_name("t001")
    ('Copepoda', 'Calanus', '')
    """
    for part in label.split("<"):
        name = re.sub(r"\s+(spp?|cf|aff)\b\.?.*$", "", plain_text(part).replace("_", " "))
        first = re.match(r"[^\W\d_]+", name)
        if first and first[0].istitle() and len(first[0]) > 1 and first[0].casefold() not in NO_NAMES:
            return cell_text(name)
    return ""


def is_thing(label):
    """
    Tell whether a label names something that is no organism.

    Parameters
    ----------
    label : str

    Returns
    -------
    bool

    Examples
    --------
    >>> is_thing("fiber<detritus"), is_thing("Copepoda")
    (True, False)
    """
    words = re.findall(r"[^\W\d_]+", label.casefold())
    return not NOT_LIVING.isdisjoint(words) or bool(re.search(r"\bno[tn][-_ ]living", label.casefold()))


def find_refusals(table):
    """
    Find out why objects cannot be published.

    Parameters
    ----------
    table : pandas.DataFrame
        All columns that `to_darwin_core` uses, text without NaN, and `license` and `scientific_name` found.

    Returns
    -------
    numpy.ndarray of str
        The first reason of each, empty where it is good.
    """
    reasons = np.full(len(table), "", dtype=object)

    def refuse(wrong, reason):
        wrong = np.asarray(wrong, dtype=bool) & (reasons == "")
        reasons[wrong] = reason[wrong] if isinstance(reason, pd.Series) else reason

    for name in ("object_id", "time", "latitude", "longitude", "taxon", "taxon_status", "licence"):
        refuse(table[name].isna() | (table[name] == ""), f"missing {name}")
    for name in ("latitude", "longitude", "depth_min", "depth_max"):
        column = VOCABULARY[name]
        refuse((table[name] < column.lower) | (table[name] > column.upper), f"{name} {column.rule}")
    refuse(table["depth_min"] > table["depth_max"], "depth_min is deeper than depth_max")
    refuse(table["license"] == "", "licence is not CC0, CC BY or CC BY-NC: " + table["licence"])
    refuse(map_unique(table["taxon"], is_thing), "not an organism: " + table["taxon"])
    refuse(table["scientific_name"] == "", "taxon is no scientific name: " + table["taxon"])
    refuse(table["taxon_status"] == "dubious", "the taxon is dubious")
    refuse(~table["taxon_status"].isin([*STATUSES]), "taxon_status is unknown: " + table["taxon_status"])
    number = table["aphia_id"]
    wrong = (number < 1) | ((number != number.round()) & number.notna()) | np.isinf(number)
    refuse(wrong, "aphia_id is not a whole number above 0")
    return reasons
