"""Carbon of objects: by hand-worked numbers, known slips, virtual pictures, and intervals."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.objects.conversion import carbon, carbon_interval
from aqqua_science.objects.perturbation import Errors
from aqqua_science.objects.relations import published
from aqqua_science.schema import SchemaError
from aqqua_science.synthetic.pictures import images

EXACT = Errors(pixel=0.0, outline=0.0)


def table(taxon, **columns):
    return pd.DataFrame({"taxon": taxon, **columns})


def sharp(**spread):
    """The published relations with another spread."""
    return published().assign(**({"scatter_log10": 0.0, "systematic_log10": 0.0} | spread))


@pytest.fixture(scope="module")
def pictures():
    return pd.DataFrame([picture.truth for picture in images(150, rng=5)])


def test_the_volume_of_a_sphere_takes_a_diameter():
    """A dinoflagellate of 20 um: pi / 6 * 20**3 um3."""
    expected = 0.760 * (np.pi / 6 * 20**3) ** 0.819 * 1e-6
    assert_allclose(carbon(table(["Dinophyceae"], esd_um=[20.0])), expected)


def test_a_chain_is_converted_cell_by_cell():
    """Five cells of 1000 um3 hold five times the carbon of one, and not that of a cell of 5000 um3."""
    objects = table("Chaetoceros", biovolume_um3=[1000.0, 5000.0], n_cells=[1, 5])
    one, five = carbon(objects)
    assert_allclose(one, 10 ** (-0.541 + 0.811 * 3) * 1e-6)
    assert_allclose(five, 5 * one)
    assert five > 1.8 * carbon(objects.drop(columns="n_cells"))[1]


@pytest.mark.parametrize(
    ("objects", "note"),
    [
        (table(["chain<Bacillariophyta"], esd_um=[40.0]), "cells are not counted"),
        (table(["Chaetoceros"], esd_um=[40.0], n_cells=[np.nan]), "cells are not counted"),
        (table(["colony<Collodaria"], esd_um=[40.0], n_cells=[np.nan]), "cells are not counted"),
        (table(["bubble"], esd_um=[40.0]), "does not live"),
        (table(["Unheard"], esd_um=[40.0]), "no relation for this taxon"),
        (table([None], esd_um=[40.0]), "taxon is missing"),
        (table(["Copepoda"], esd_um=[np.nan]), "size is missing"),
        (table(["Copepoda"], esd_um=[0.0]), "size is missing or zero"),
        (table(["detritus"], biovolume_um3=[1e6]), "needs the sphere"),
        (table(["detritus"], biovolume_um3=[1e6], esd_um=[np.nan]), "needs the sphere"),
    ],
)
def test_what_cannot_be_converted_is_nan_with_a_reason(objects, note):
    row = carbon_interval(objects, n_draws=10).iloc[0]
    assert row[["carbon_ug", "carbon_ug_low", "carbon_ug_high"]].isna().all()
    assert note in row["note"]
    assert carbon(objects).isna().all()


def test_a_whole_chain_counted_as_one_cell_is_told():
    objects = table(["Chaetoceros", "Copepoda", "Acantharea", "Unheard"], esd_um=[20.0, 900.0, 100.0, 100.0])
    notes = carbon_interval(objects, fallback="mendendeuer_2000_protists", n_draws=10)["note"]
    assert notes.tolist() == ["taken as one cell", "", "", "by the fallback"]
    notes = carbon_interval(objects.assign(n_cells=3), fallback="mendendeuer_2000_protists", n_draws=10)["note"]
    assert notes.tolist() == ["", "", "taken as one cell", "by the fallback; taken as one cell"]


@pytest.mark.parametrize(
    ("taxon", "gain"),
    [
        # Of a size V split into k cells the carbon is k a (V / k)**b: k**(1 - b) times that of one cell.
        ("Chaetoceros", 3 ** (1 - 0.811)),
        ("chain<Bacillariophyta", 3 ** (1 - 0.811)),
        ("chain<Dinophyceae", 3 ** (1 - 0.819)),
        ("colony<Collodaria", 3 ** (1 - 0.939)),
        ("Dinophyceae", 1.0),
        ("Acantharea", 1.0),
        ("Globigerinida", 1.0),
        ("Tintinnida", 1.0),
        ("chain<Salpida", 1.0),
        ("Copepoda", 1.0),
    ],
)
def test_only_chains_and_colonies_are_divided_into_cells(taxon, gain):
    """What the image of a single organism repeats, as spines do, is no cell."""
    objects = table([taxon] * 3, biovolume_um3=2400.0 if gain > 1 else 2.4e6, n_cells=[1, 3, np.nan])
    one, three, uncounted = carbon(objects)
    assert_allclose(three / one, gain)
    assert_allclose(uncounted, np.nan if gain > 1 else one)


def test_an_acantharian_is_one_cell_by_hand():
    objects = table(["Acantharea"], biovolume_um3=[1e6], n_cells=[3])
    assert_allclose(carbon(objects), 10 ** (-0.665 + 0.939 * 6) * 1e-6)


def test_a_relation_of_ones_own_may_be_of_chains():
    protists = published()["name"] == "mendendeuer_2000_protists"
    own = published().assign(chains=published()["chains"].mask(protists, "yes"))
    objects = table(["Acantharea"], biovolume_um3=[2.4e6], n_cells=[3])
    assert_allclose(carbon(objects, relations=own) / carbon(objects), 3 ** (1 - 0.939))


def test_diatoms_change_their_equation_at_3000_um3():
    names = carbon_interval(table("diatom", biovolume_um3=[2999.0, 3000.0, 3001.0]), n_draws=10)["relation"]
    assert names.str.removeprefix("mendendeuer_2000_").tolist() == ["diatoms", "diatoms", "large_diatoms"]


def test_cubic_millimetres_given_as_um3_are_refused():
    with pytest.raises(SchemaError, match="mm3"):
        carbon(table("Copepoda", biovolume_um3=[0.4, 0.5, 0.6]))
    with pytest.raises(SchemaError, match="1e9"):
        carbon(table("Copepoda", biovolume_um3=[0.4, 0.5, 0.6], esd_um=[900.0, 980.0, 1040.0]))
    with pytest.raises(SchemaError, match="mm"):
        carbon(table("Dinophyceae", esd_um=[0.02, 0.03]))


def test_a_diameter_taken_for_a_radius_is_refused():
    esd = np.linspace(500, 1500, 10)
    with pytest.raises(SchemaError, match="diameter was taken for a radius"):
        carbon(table("Copepoda", esd_um=esd, biovolume_um3=4 / 3 * np.pi * esd**3))


def test_one_wrong_name_stops_nobody():
    objects = table(["Copepoda", "Dinophyceae", "Dinophyceae"], esd_um=[8.0, 20.0, 30.0])
    assert carbon_interval(objects, n_draws=10)["range"].tolist() == ["implausible", "within", "within"]


def test_extrapolation_is_flagged():
    objects = table("Dinophyceae", biovolume_um3=[179.0, 181.0, 2.7e5, 2.9e5])
    assert carbon_interval(objects, n_draws=10)["range"].tolist() == ["below", "within", "within", "above"]
    assert_allclose(carbon(objects), 0.760 * objects["biovolume_um3"] ** 0.819 * 1e-6)
    assert carbon_interval(table(["Acantharea"], esd_um=[50.0]), n_draws=10)["range"].tolist() == ["unknown"]


def test_only_what_may_live_falls_back():
    objects = table(["Unheard", "unknown", "other<living", "dead<Copepoda", "shadow", "beads"], esd_um=900.0)
    found = carbon(objects, fallback="lehette_2009_mesozooplankton")
    assert found.notna().tolist() == [True, True, True, False, False, False]


def test_choice_of_relation():
    objects = table(["Copepoda", "Unheard", "bubble"], biovolume_um3=5e8, esd_um=1000.0)
    assert_allclose(carbon(objects, relation="gallienne_2001_mesozooplankton"), 0.0475 * 0.5 * 1e3)
    found = carbon(objects, relation={"Copepoda": "kiorboe_2013_copepods"}, fallback="gallienne_2001_mesozooplankton")
    assert_allclose(found, [106.9 * 0.5, 47.5 * 0.5, np.nan])
    assert_allclose(carbon(objects, parents={"Unheard": "Copepoda"})[:2].pct_change()[1], 0)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"relation": "kiorboe_2013_copepod"}, "Did you mean 'kiorboe_2013_copepods'"),
        ({"relation": {"Copepoda": "kiorboe_2013_copepod"}}, "Did you mean 'kiorboe_2013_copepods'"),
        (
            {"relation": {"Copepods": "kiorboe_2013_copepods"}},
            "'Copepods', but no object is named so. Did you mean 'Copepoda'",
        ),
        ({"fallback": "lehette_2009_mesozooplanktons"}, "Did you mean 'lehette_2009_mesozooplankton'"),
    ],
)
@pytest.mark.parametrize("names_by", ["taxon", "probabilities"])
def test_a_slip_of_the_pen_is_refused_also_where_it_would_change_nothing(choice, message, names_by):
    objects = table(["Copepoda", "Dinophyceae"], esd_um=[900.0, 20.0])
    chances = None if names_by == "taxon" else pd.DataFrame({"Copepoda": [1.0, 0.0], "Dinophyceae": [0.0, 1.0]})
    with pytest.raises(ValueError, match=message):
        carbon_interval(objects, probabilities=chances, n_draws=5, **choice)


def test_a_choice_may_name_taxa_that_a_table_lacks():
    choice = {
        "Copepoda": "kiorboe_2013_copepods",
        "Copelata": "kiorboe_2013_copepods",
        "Salpida": "kiorboe_2013_copepods",
    }
    objects = table(["Copepoda"], esd_um=[900.0])
    assert carbon(objects, relation=choice).equals(carbon(objects, relation="kiorboe_2013_copepods"))


def test_no_objects_need_no_taxon():
    assert carbon(table([], esd_um=np.array([], float)), relation={"Copepoda": "kiorboe_2013_copepods"}).empty


def test_a_relation_of_ones_own():
    own = published().iloc[[0]].assign(name="own", taxa="Unheard", constant_is="a", constant=0.5, exponent=1.0)
    objects = table(["Unheard"], biovolume_um3=[100.0])
    assert_allclose(carbon(objects, relations=pd.concat([published(), own])), 0.5 * 100 * 1e-6)


def test_the_answer_follows_the_rows():
    objects = table(["Copepoda", "Dinophyceae", "detritus"], esd_um=[900.0, 20.0, 500.0]).set_index(pd.Index([7, 3, 5]))
    before = objects.copy()
    assert_allclose(carbon(objects.iloc[::-1]), carbon(objects)[::-1])
    assert carbon(objects).index.tolist() == [7, 3, 5]
    pd.testing.assert_frame_equal(objects, before)


@pytest.mark.parametrize("kind", ["object", "string", "category"])
def test_names_of_any_type(kind):
    objects = table(pd.Series(["Copepoda", None, "Copepoda"], dtype=kind), esd_um=[900.0, 900.0, np.nan])
    assert carbon(objects).isna().tolist() == [False, True, True]


def test_an_empty_table():
    objects = table([], esd_um=np.array([], float))
    assert carbon(objects).empty
    assert carbon_interval(objects).empty


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (pd.DataFrame({"esd_um": [1.0]}), "no column 'taxon'"),
        (pd.DataFrame({"taxon": ["Copepoda"]}), "no size"),
        (table(["Copepoda"], esd_um=["large"]), "must be numeric"),
        (table(["Copepoda"], esd_um=[-1.0]), "not negative"),
        (table(["Copepoda"], esd_um=[np.inf]), "finite"),
        (table(["Chaetoceros"], esd_um=[20.0], n_cells=[0]), "at least 1"),
        (table(["Copepoda"], esd_um=[900.0], esd_um_low=[0.8], esd_um_high=[1.0]), "0.8 to 1 for 900. Are both in one"),
        (
            table(["Copepoda"], esd_um=[900.0], esd_um_low=[-1.0], esd_um_high=[1e3]),
            "esd_um_low must be finite and not",
        ),
    ],
)
def test_bad_tables(objects, message):
    with pytest.raises(SchemaError, match=message):
        carbon(objects)


@pytest.mark.parametrize("taxon", ["Chaetoceros", "Dinophyceae", "Acantharea", "Chaetognatha", "Hydrozoa", "detritus"])
def test_virtual_organisms_by_the_relation_that_made_them(pictures, taxon):
    """The virtual pictures know the carbon; where they go by the same paper it is found again to rounding."""
    objects = pictures[pictures["taxon"] == taxon]
    assert_allclose(carbon(objects), objects["carbon_ug"], rtol=2e-3)


def test_virtual_copepods_by_other_papers(pictures):
    """By the median of other species 6 % off; from the outline, antennae and all, within a factor of three."""
    objects = pictures[pictures["taxon"] == "Copepoda"]
    assert_allclose(carbon(objects), objects["carbon_ug"], rtol=0.06)
    by_area = carbon(objects.drop(columns="biovolume_um3"))
    assert (np.abs(np.log(by_area / objects["carbon_ug"])) < np.log(3)).all()


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        ({"esd_um": [900.0]}, "lehette_2009_copepods"),
        ({"area_um2": [6e5]}, "lehette_2009_copepods"),
        ({"biovolume_um3": [2e8]}, "kiorboe_2013_copepods"),
        ({"esd_um": [900.0], "biovolume_um3": [2e8]}, "kiorboe_2013_copepods"),
    ],
)
def test_a_measured_volume_goes_before_an_area_and_a_sphere_behind(sizes, name):
    assert carbon_interval(table(["Copepoda"], **sizes), n_draws=5)["relation"].tolist() == [name]


def test_the_column_of_the_size_moves_carbon_fourfold():
    """The published equations by hand: 45.25 ug of dry mass per mm2**1.59, and 106.9 ug of carbon per mm3."""
    sphere = np.pi / 6 * 1e9
    by_area, by_volume = carbon(table(["Copepoda"] * 2, esd_um=1000.0, biovolume_um3=[np.nan, sphere]))
    assert_allclose(by_area, 0.467 * 45.25 * (np.pi / 4) ** 1.59)
    assert_allclose(by_volume, 106.9 * sphere / 1e9)
    assert (round(by_area), round(by_volume)) == (14, 56)


def test_a_size_that_one_object_lacks_follows_from_its_others():
    objects = table(["Chaetoceros"] * 2, esd_um=[20.0, 20.0], biovolume_um3=[4000.0, np.nan])
    assert_allclose(carbon(objects), [carbon(objects.iloc[:1])[0], carbon(table(["Chaetoceros"], esd_um=[20.0]))[0]])
    objects = table("Copepoda", esd_um=[900.0, 900.0, np.nan], area_um2=[6e5, np.nan, np.pi / 4 * 900**2])
    found = carbon_interval(objects, n_draws=5)
    assert found["relation"].tolist() == ["lehette_2009_copepods"] * 3
    assert_allclose(found["carbon_ug"][1:], carbon(table(["Copepoda"], esd_um=[900.0]))[0])
    objects = table("Copepoda", esd_um=[900.0, 900.0], biovolume_um3=[2e8, np.nan])
    names = carbon_interval(objects, n_draws=5)["relation"]
    assert names.tolist() == ["kiorboe_2013_copepods", "lehette_2009_copepods"]


@pytest.mark.parametrize("seed", range(3))
def test_an_object_alone_is_converted_as_among_others(seed):
    """With any of its sizes missing, with its empty columns and without them."""
    rng, n = np.random.default_rng(seed), 40
    esd = rng.uniform(15, 40, n)
    taxon = rng.choice(["Chaetoceros", "Copepoda", "Chaetognatha", "detritus", "Unheard", "bubble"], n)
    esd[np.isin(taxon, ["Copepoda", "Chaetognatha", "detritus", "Unheard"])] *= 50
    sizes = {"esd_um": esd, "area_um2": esd**2, "biovolume_um3": 0.3 * esd**3}
    sizes = {name: np.where(rng.random(n) < 0.5, values, np.nan) for name, values in sizes.items()}
    objects = table(taxon, n_cells=rng.choice([1.0, 4.0, np.nan], n), **sizes)
    told = ["carbon_ug", "relation", "range", "note"]

    def convert(some):
        return carbon_interval(some, fallback="lehette_2009_mesozooplankton", n_draws=2)[told]

    together = convert(objects)
    assert together["note"].nunique() > 4
    for i in range(n):
        alone = objects.iloc[[i]]
        empty = alone[["area_um2", "biovolume_um3"]].columns[alone[["area_um2", "biovolume_um3"]].isna().iloc[0]]
        for some in (alone, alone.drop(columns=empty).assign(esd_um=alone["esd_um"])):
            pd.testing.assert_frame_equal(convert(some), together.iloc[[i]], rtol=1e-12)


def test_a_size_for_which_the_relation_is_not_meant_is_told():
    objects = table("diatom", biovolume_um3=[1000.0, 1e4, np.nan])
    found = carbon_interval(objects, relation="mendendeuer_2000_large_diatoms", n_draws=5)
    assert found["carbon_ug"].isna().tolist() == [True, False, True]
    assert found["note"].tolist() == [
        "size is not within from_size and to_size of mendendeuer_2000_large_diatoms",
        "taken as one cell",
        "size is missing or zero",
    ]


def test_the_interval_of_one_object_is_that_of_its_errors():
    """All errors are normal in the logarithm: their variances add up, with the power of the length."""
    objects = table(["Dinophyceae"], esd_um=[20.0])
    relations = sharp(scatter_log10=0.2, systematic_log10=0.1)
    errors = Errors(pixel=0.03, outline=0.05)
    row = carbon_interval(objects, relations=relations, errors=errors, n_draws=100_000).iloc[0]
    slope = 3 * 0.819
    deviation = np.sqrt((np.log(10) * 0.2) ** 2 + (np.log(10) * 0.1) ** 2 + (slope * 0.03) ** 2 + (slope * 0.05) ** 2)
    expected = row["carbon_ug"] * np.exp(1.6448536 * deviation * np.array([-1, 1]))
    assert_allclose(row[["carbon_ug_low", "carbon_ug_high"]].astype(float), expected, rtol=0.02)


@pytest.mark.parametrize(
    ("taxon", "sizes", "power", "deviation"),
    [
        ("Dinophyceae", {"esd_um": (16.0, 20.0, 25.0)}, 3 * 0.819, np.log(25 / 16) / 3.2897),
        ("Dinophyceae", {"area_um2": (200.0, 300.0, 450.0)}, 1.5 * 0.819, np.log(2.25) / 3.2897),
        ("Dinophyceae", {"biovolume_um3": (2e3, 4e3, 8e3)}, 0.819, np.log(4) / 3.2897),
        ("Dinophyceae", {"biovolume_um3": (2e3, 4e3, 8e3), "esd_um": (19, 20, 21)}, 0.819, np.log(4) / 3.2897),
        ("Copepoda", {"area_um2": (4e5, 6e5, 9e5)}, 1.59, np.log(2.25) / 3.2897),
        ("Copepoda", {"esd_um": (600.0, 900.0, 1350.0)}, 2 * 1.59, np.log(2.25) / 3.2897),
        ("detritus", {"biovolume_um3": (1e8, 2e8, 3e8), "esd_um": (800.0, 900.0, 1e3)}, 1.56, np.log(1.25) / 3.2897),
        # A lower end of zero: as far down as up.
        ("Dinophyceae", {"esd_um": (0.0, 20.0, 30.0)}, 3 * 0.819, np.log(2.25) / 3.2897),
    ],
)
def test_the_interval_of_a_size_is_carried_on(taxon, sizes, power, deviation):
    """Its power times the deviation, in quadrature with the relation's; the share of the pixel size is part of it."""
    columns = [f"{name}{side}" for name in sizes for side in ("_low", "", "_high")]
    objects = table([taxon], **dict(zip(columns, np.transpose([sum(sizes.values(), ())]).tolist(), strict=True)))
    options = {"errors": Errors(pixel=0.02, outline=0.3), "n_draws": 100_000}
    row = carbon_interval(objects, relations=sharp(scatter_log10=0.1, systematic_log10=0.05), **options).iloc[0]
    whole = np.sqrt((power * deviation) ** 2 + (np.log(10) * 0.1) ** 2 + (np.log(10) * 0.05) ** 2)
    expected = row["carbon_ug"] * np.exp(1.6448536 * whole * np.array([-1, 1]))
    assert_allclose(row[["carbon_ug_low", "carbon_ug_high"]].astype(float), expected, rtol=0.02)


def test_an_interval_counts_for_its_object_and_its_size_only():
    """One object has an interval of its diameter, one none, and one of another size than the one converted."""
    objects = table(["Dinophyceae"] * 3, esd_um=20.0, esd_um_low=[10.0, np.nan, 10.0], esd_um_high=[40.0, np.nan, 40.0])
    objects["biovolume_um3"] = [np.nan, np.nan, 4189.0]
    bare = objects.drop(columns=["esd_um_low", "esd_um_high"])
    with_, without = (carbon_interval(some, n_draws=4000) for some in (objects, bare))
    widths = [np.log(some["carbon_ug_high"] / some["carbon_ug_low"]) for some in (with_, without)]
    assert_allclose(widths[0][1:], widths[1][1:])
    assert widths[0][0] > 2 * widths[1][0]
    assert_allclose(with_["carbon_ug"], without["carbon_ug"])


def test_a_higher_level_makes_a_wider_interval():
    objects = table(["Copepoda"], esd_um=[900.0])
    widths = [carbon_interval(objects, level=level) for level in (0.5, 0.9, 0.99)]
    assert (np.diff([(w["carbon_ug_high"] / w["carbon_ug_low"])[0] for w in widths]) > 0).all()


def test_without_errors_there_is_no_interval():
    table_ = carbon_interval(table(["Copepoda"], esd_um=[900.0]), relations=sharp(), errors=EXACT, n_draws=5)
    assert_allclose(table_["carbon_ug_low"], table_["carbon_ug"])
    assert_allclose(table_["carbon_ug_high"], table_["carbon_ug"])


def test_doubtful_names_widen_the_interval():
    """Chaetognath or jellyfish, half and half: the interval holds both, and nothing else."""
    objects = table(["Chaetognatha"], esd_um=[2000.0])
    probabilities = pd.DataFrame({"Chaetognatha": [0.5], "Hydrozoa": [0.5], "Copepoda": [0.0]})
    row = carbon_interval(objects, probabilities=probabilities, relations=sharp(), errors=EXACT).iloc[0]
    both = [carbon(objects.assign(taxon=name))[0] for name in ("Hydrozoa", "Chaetognatha")]
    assert_allclose(sorted(row[["carbon_ug_low", "carbon_ug_high"]]), sorted(both))


def test_improbable_names_without_a_relation_are_left_out_and_told():
    objects = table(["Copepoda"], esd_um=[900.0])
    probabilities = pd.DataFrame({"bubble": [0.2], "Copepoda": [0.8]})
    row = carbon_interval(objects, probabilities=probabilities, relations=sharp(), errors=EXACT).iloc[0]
    assert_allclose(row["refused_probability"], 0.2)
    assert_allclose(row["carbon_ug_low"], row["carbon_ug"])
    likely_bubble = carbon_interval(objects, probabilities=probabilities.assign(bubble=0.6, Copepoda=0.4))
    assert likely_bubble["carbon_ug_high"].isna().all()


def test_small_second_guesses_are_no_wrong_unit():
    objects = table(["Dinophyceae"] * 6, esd_um=[15.0] * 6)
    probabilities = pd.DataFrame({"Dinophyceae": [0.9] * 6, "Copepoda": [0.1] * 6})
    assert carbon_interval(objects, probabilities=probabilities)["carbon_ug"].notna().all()


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (pd.DataFrame({"Copepoda": [1.0, 1.0]}), "rows of objects"),
        (pd.DataFrame({"Copepoda": [1.0]}, index=[4]), "rows of objects"),
        (pd.DataFrame({"Copepoda": [0.5]}), "sum to 1"),
        (pd.DataFrame({"Copepoda": [np.nan]}), "sum to 1"),
    ],
)
def test_bad_probabilities(probabilities, message):
    with pytest.raises(SchemaError, match=message):
        carbon_interval(table(["Copepoda"], esd_um=[900.0]), probabilities=probabilities)


@pytest.mark.parametrize("bad", [{"level": 1.0}, {"level": 0.0}, {"n_draws": 0}])
def test_bad_settings(bad):
    with pytest.raises(ValueError, match="|".join(bad)):
        carbon_interval(table(["Copepoda"], esd_um=[900.0]), **bad)


def test_errors_are_not_negative():
    with pytest.raises(ValueError, match="not negative"):
        Errors(pixel=-0.1)


def test_the_same_seed_gives_the_same_bytes():
    objects = table(["Copepoda", "Dinophyceae"], esd_um=[900.0, 20.0])
    first, again, other = (carbon_interval(objects, rng=rng, n_draws=50) for rng in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first.equals(other)
