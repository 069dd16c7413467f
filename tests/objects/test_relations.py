"""Constants of the relations against published numbers, their units and shape, and who gets which."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.objects.living import is_lifeless, is_plankton
from aqqua_science.objects.relations import candidates, evaluate, lineage, power, published, validate
from aqqua_science.schema import SchemaError

RELATIONS = published()
NAMES = RELATIONS["name"].tolist()
UM = {"um3": 1.0, "mm3": 1e9, "mm2": 1e6}
DIMENSION = {"volume": 3, "sphere": 3, "area": 2}


def carbon_ug(name, size):
    """Carbon by a relation, for sizes in um3 or um2."""
    size = np.atleast_1d(np.asarray(size, float))
    return evaluate(RELATIONS, np.full(len(size), NAMES.index(name)), size)


def typical_sizes(name, n=50):
    """Sizes over the whole span of a relation's organisms, um3 or um2, and volumes of their spheres, um3."""
    row = RELATIONS.iloc[NAMES.index(name)]
    diameter = np.geomspace(max(row["smallest_um"], 2), min(row["largest_um"], 5e4), n)
    size = np.pi / 4 * diameter**2 if row["size"] == "area" else np.pi / 6 * diameter**3
    keep = ~(size < row["from_size"] * UM[row["size_unit"]]) & ~(size > row["to_size"] * UM[row["size_unit"]])
    return size[keep], np.pi / 6 * diameter[keep] ** 3


@pytest.mark.parametrize(
    ("name", "volume_um3", "picograms"),
    [
        # The worked examples of two documented functions of the R package iRfcb.
        ("mendendeuer_2000_protists", 5000, 643.1804),
        ("mendendeuer_2000_protists", 10000, 1233.1048),
        ("mendendeuer_2000_large_diatoms", 5000, 211.7350),
        ("mendendeuer_2000_large_diatoms", 10000, 389.9420),
        ("mendendeuer_2000_large_diatoms", 20000, 718.1372),
    ],
)
def test_worked_examples(name, volume_um3, picograms):
    assert_allclose(carbon_ug(name, volume_um3) * 1e6, picograms, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "factor", "exponent"),
    [
        # Equations as others print them, 10**(log a) rounded to three digits.
        ("mendendeuer_2000_dinoflagellates", 0.760, 0.819),
        ("mendendeuer_2000_protists", 0.216, 0.939),
        ("mendendeuer_2000_diatoms", 0.288, 0.811),
        ("mendendeuer_2000_large_diatoms", 0.117, 0.881),
        ("mendendeuer_2000_aloricate_ciliates", 0.230, 0.984),
    ],
)
def test_equations_in_their_other_form(name, factor, exponent):
    volume = np.geomspace(1e3, 1e6, 7)
    assert_allclose(carbon_ug(name, volume) * 1e6, factor * volume**exponent, rtol=4e-3)


def test_the_measured_dinoflagellates_lie_near_their_equation():
    """Abstract of Menden-Deuer & Lessard: 48 to 3.0e4 pg per cell, for 180 to 2.8e5 um3."""
    smallest, largest = carbon_ug("mendendeuer_2000_dinoflagellates", [180, 2.8e5]) * 1e6
    assert_allclose([smallest, largest], [48, 3.0e4], rtol=0.3)


def test_a_is_not_taken_for_its_logarithm():
    """A public script computes 10**(0.216 + log10(V**0.939)): 7.6 times too much."""
    slip = 10 ** (0.216 + np.log10(1e4**0.939))
    assert_allclose(slip / (carbon_ug("mendendeuer_2000_protists", 1e4) * 1e6), 7.6, rtol=0.01)


def test_protists_weigh_as_kiorboe_found():
    """Of wet mass at the density of water 0.14 are carbon at 1e3 um3 and 0.09 at 1e6 um3."""
    volume = np.array([1e3, 1e6])
    assert_allclose(carbon_ug("mendendeuer_2000_protists", volume) * 1e6 / volume, [0.14, 0.09], atol=0.005)


def test_marine_snow_of_one_cubic_millimetre():
    assert_allclose(carbon_ug("alldredge_1998_marine_snow", 1e9), 0.99)


def test_wet_and_dry_mass_are_not_printed_as_carbon():
    """A mm3 of copepod weighs 1 mg, of which a tenth is carbon; a mm2 of it 45 ug dry, of which almost half is."""
    assert_allclose(carbon_ug("kiorboe_2013_copepods", 1e9), 106.9)
    assert_allclose(carbon_ug("lehette_2009_copepods", 1e6), 45.25 * 0.467)
    masses = RELATIONS[RELATIONS["mass"] != "carbon"]
    assert (masses["carbon_share"] < 0.6).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_relation_gives_a_plausible_density_and_grows(name):
    size, volume = typical_sizes(name)
    carbon = carbon_ug(name, size) * 1e6
    assert (np.diff(carbon) > 0).all()
    if name != "alldredge_1998_marine_snow":  # mostly water, the more the larger
        middle = carbon[len(carbon) // 2] / volume[len(carbon) // 2]
        assert 0.001 < middle < 0.5


@pytest.mark.parametrize("name", NAMES)
def test_a_stretched_picture_changes_carbon_by_the_power_told(name):
    row, (size, _) = NAMES.index(name), typical_sizes(name)
    stretched = size * 2.0 ** DIMENSION[RELATIONS["size"][row]]
    growth = np.log2(evaluate(RELATIONS, np.full(len(size), row), stretched) / carbon_ug(name, size))
    assert_allclose(growth, power(RELATIONS)[row])


def test_every_relation_names_its_source():
    assert (RELATIONS["reference"] != "").all()
    assert (RELATIONS["verified"] != "").all()
    told = RELATIONS["doi"] != ""
    assert RELATIONS["doi"][told].str.match(r"10\.\d{4,}/\S+$").all()
    assert RELATIONS["name"][~told].tolist() == ["gallienne_2001_mesozooplankton"]
    assert set(RELATIONS["spread"]) == {"assumed", "quartiles of species"}


def test_published_hands_out_a_copy():
    table = published()
    table["constant"] = 0.0
    assert (published()["constant"] != 0).all()


@pytest.mark.parametrize(
    ("taxon", "expected"),
    [
        ("Copepoda", ["Copepoda"]),
        ("egg<Copepoda", ["egg", "Copepoda"]),
        ("living>Eukaryota>Copepoda", ["Copepoda", "Eukaryota", "living"]),
        ("Calanus", ["Calanus", "Copepoda", "Crustacea"]),
        ("a<b", ["a", "b", "c"]),
    ],
)
def test_lineage(taxon, expected):
    parents = {"Calanus": "Copepoda", "Copepoda": "Crustacea", "b": "c"}
    assert lineage(taxon, parents if taxon in {"Calanus", "a<b"} else None) == expected


def test_a_circle_of_parents_ends():
    assert lineage("a", {"a": "b", "b": "a"}) == ["a", "b"]


@pytest.mark.parametrize(
    ("taxon", "first"),
    [
        ("Copepoda", "kiorboe_2013_copepods"),
        ("copepoda", "kiorboe_2013_copepods"),
        ("egg<Copepoda", "kiorboe_2013_copepods"),
        ("Dinophyceae", "mendendeuer_2000_dinoflagellates"),
        ("Acantharea", "mendendeuer_2000_protists"),
        ("Hydrozoa", "lucas_2011_cnidarians"),
        ("detritus", "alldredge_1998_marine_snow"),
        ("living>Eukaryota>Harosa>Rhizaria>Unheard", "mendendeuer_2000_protists"),
        # Marine snow does not live, but has a relation, under all the names that UVP projects give it.
        ("aggregates", "alldredge_1998_marine_snow"),
        ("fluffy<detritus", "alldredge_1998_marine_snow"),
        ("dark<fluffy", "alldredge_1998_marine_snow"),
    ],
)
def test_each_taxon_gets_its_relation(taxon, first):
    rows, _ = candidates(taxon, RELATIONS)
    assert NAMES[rows[0]] == first


@pytest.mark.parametrize(
    ("taxon", "first", "note"),
    [
        ("Calanus finmarchicus", "kiorboe_2013_copepods", "by Calanus"),
        ("Copepoda sp.", "kiorboe_2013_copepods", "by Copepoda"),
        ("Ceratium_fusus", "mendendeuer_2000_dinoflagellates", "by Ceratium"),
        ("egg<Calanus finmarchicus", "kiorboe_2013_copepods", "by Calanus"),
        ("Limacina helicina<Thecosomata", "kiorboe_2013_gastropods", "by Thecosomata"),
    ],
)
def test_a_species_goes_by_its_genus(taxon, first, note):
    rows, told = candidates(taxon, RELATIONS)
    assert (NAMES[rows[0]], told) == (first, note)


@pytest.mark.parametrize("taxon", ["fecal pellet", "Copepoda dead", "detritus_blob", "marine debris", "", " "])
def test_a_first_word_brings_no_carbon_to_what_does_not_live_or_has_no_relation(taxon):
    assert candidates(taxon, RELATIONS)[0] == []


def test_families_of_phaeodaria_go_with_phaeodaria(shared_data):
    """By the tree of taxa of a published set of UVP5 images: every family and genus below Phaeodaria."""
    tree = pd.read_csv(shared_data / "insitu/ThelmaPana+planktyp/data/extract_zoo/UVP5_taxo.tsv", sep="\t")
    names, branch = tree["levelName"].str.strip(" ¦°-"), tree["levelName"].str.rstrip()
    depth = branch.str.len() - names.str.len()
    top = names.eq("Phaeodaria").argmax()
    below = itertools.takewhile(lambda row: depth[row] > depth[top], range(top + 1, len(names)))
    found = [names[row] for row in below if names[row][0].isupper()]
    assert {"Aulacanthidae", "Aulosphaeridae", "Coelodendridae", "Castanellidae", "Aulacantha"} <= set(found)
    assert {tuple(candidates(name, RELATIONS)[0]) for name in found} == {tuple(candidates("Phaeodaria", RELATIONS)[0])}


THINGS = (
    *(
        "artefact",
        "artefacts",
        "artifact",
        "background",
        "bad_focus",
        "badfocus",
        "bead",
        "bead_beads",
        "beads",
        "blob",
    ),
    *("bubble", "bubbles", "dead", "dead<Copepoda", "Fecal_pellet", "faecal pellet", "faeces", "feces", "fiber"),
    *(
        "fiber<detritus",
        "fiber_detritus",
        "fibre",
        "ghost",
        "glue",
        "junk",
        "noise",
        "nonliving",
        "non-living",
    ),
    *("not living", "not-living", "not_living", "plastic", "plastic<other", "reflection", "scratch", "shadow", "smear"),
    *("streak", "turbid", "crystal", "salt crystals", "ghost<Copepoda", "det_aggregate_dark"),
)
"""Names of classes without life in EcoTaxa, ZooScan, ISIIS and FlowCam projects."""


@pytest.mark.parametrize("taxon", THINGS)
def test_no_fallback_brings_carbon_to_what_does_not_live(taxon):
    rows, note = candidates(taxon, RELATIONS, fallback="lehette_2009_mesozooplankton")
    assert rows == []
    assert "does not live" in note


@pytest.mark.parametrize("taxon", ["unknown", "unidentified", "Missed", "other<living", "other_to_check"])
def test_what_nobody_named_may_live_but_is_no_plankton_to_score(taxon):
    assert candidates(taxon, RELATIONS, fallback="lehette_2009_mesozooplankton")[1] == "by the fallback"
    assert (is_lifeless([taxon]).tolist(), is_plankton([taxon]).tolist()) == ([False], [False])


def test_what_does_not_live_is_no_plankton():
    assert is_lifeless(THINGS).all()
    assert not is_plankton(THINGS).any()
    assert not is_plankton(["detritus", "marine snow", "aggregates", "fluffy<detritus", "dark<fluffy"]).any()


def test_taxa_of_the_relations_live_but_for_marine_snow():
    """Words within names are no reason: Noctiluca is no noise, Beroida no bead, and a snow crab no snow."""
    named = RELATIONS.loc[RELATIONS["name"] != "alldredge_1998_marine_snow", "taxa"].str.split(";").explode()
    taxa = [*named[named != ""], "Noctiluca", "Shadowia", "mother", "Gloeotrichia"]
    taxa += ["snow crab", "ghost shrimp", "crystal jelly", "ghost_crab<Decapoda"]
    assert is_plankton(taxa).all()
    assert is_plankton([]).dtype == bool


def test_a_taxon_without_a_relation_is_refused_or_falls_back():
    assert candidates("Unheard", RELATIONS) == ([], "no relation for this taxon")
    rows, note = candidates("Unheard", RELATIONS, fallback="lehette_2009_mesozooplankton")
    assert [NAMES[r] for r in rows] == ["lehette_2009_mesozooplankton"]
    assert note == "by the fallback"
    assert candidates(np.nan, RELATIONS, fallback="lehette_2009_mesozooplankton") == ([], "taxon is missing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"constant": -0.665, "constant_is": "a"}, "is it log10 a"),
        ({"mass": "wet mass", "carbon_share": 1.0}, "which is not carbon"),
        ({"carbon_share": 0.4}, "though the mass is carbon"),
        ({"size_unit": "mm2"}, "no unit of its size"),
        ({"size": "sphere"}, "shared among cells"),
        ({"mass_unit": "g"}, "none of pg"),
        ({"exponent": np.nan}, "is missing"),
        ({"scatter_log10": -0.1}, "is negative"),
        ({"name": "mendendeuer_2000_protists"}, "is used twice"),
        ({"per": "individual", "chains": "yes"}, "chains 'yes' is not for a relation per individual"),
        ({"chains": True}, "none of yes, no"),
        ({"valid_min": 300.0, "valid_max": 200.0}, "valid_max 200.0 is not above valid_min"),
        ({"from_size": 300.0, "to_size": 300.0}, "to_size 300.0 is not above from_size"),
        ({"smallest_um": 1e5}, "largest_um 30000.0 is not above smallest_um"),
    ],
)
def test_a_relation_that_is_none_is_refused(change, message):
    row = RELATIONS[RELATIONS["name"] == "mendendeuer_2000_protists"].assign(name="own").assign(**change)
    with pytest.raises(SchemaError, match=message):
        validate(pd.concat([RELATIONS, row]))
