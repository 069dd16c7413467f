"""Targets that are made: transformations undone, and the diversity of a sample."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aqqua_science.habitat.observations import read_observations
from aqqua_science.habitat.recipe import Observations, read_recipe
from aqqua_science.habitat.targets import with_target
from aqqua_science.samples.communities import diversity
from aqqua_science.schema import SchemaError

MAPS = Path(__file__).parents[2] / "maps"
TARA = "insitu/benfabio+TARA-Oceans/TARA"
ABUNDANCE = f"{TARA}/table_TARA_imaging_Abundance_revisions2_v3_transf_07_04_21.txt"
SIZE = f"{TARA}/table_TARA_imaging_medianESD_revisions2_v3_transf_07_04_21.txt"
GROUPS = (
    "Copepoda Rhizaria Cnidaria Tunicata Eumalacostraca Pteropoda Chaetognatha Other_large Other_small Small_grazers"
)


def wanted(target="n", **settings):
    return Observations(file="samples.csv", target=target, units="m-3", **settings)


@pytest.mark.parametrize(
    ("transformed", "written"),
    [
        ("log", [0.0, 1.0, -1.0]),
        ("log10", [0.0, 1 / np.log(10), -1 / np.log(10)]),
        ("log1p", [np.log(2), np.log(1 + np.e), np.log(1 + 1 / np.e)]),
        ("square root", [1.0, np.exp(0.5), np.exp(-0.5)]),
        ("cube root", [1.0, np.exp(1 / 3), np.exp(-1 / 3)]),
    ],
)
def test_each_transformation_is_undone(transformed, written):
    made = with_target(pd.DataFrame({"n": written}), wanted(transformed=transformed))
    np.testing.assert_allclose(made["n"], [1, np.e, 1 / np.e])


@pytest.mark.parametrize("transformed", ["square root", "cube root"])
def test_roots_below_zero_stay_below_zero(transformed):
    assert (with_target(pd.DataFrame({"n": [-2.0]}), wanted(transformed=transformed))["n"] < 0).all()


def test_diversity_is_that_of_the_samples_package():
    counts = pd.DataFrame({"a": [40, 3, 0], "b": [20, 3, 0], "c": [4, 0, 7]})
    for order in (0, 1, 2):
        told = wanted("hill_number", diversity={"taxa": ["a", "[bc]"], "order": order})
        np.testing.assert_allclose(with_target(counts, told)["hill_number"], diversity(counts)[f"hill_{order}"])


def test_a_taxon_that_was_not_looked_for_leaves_the_diversity_unknown():
    told = wanted("hill_number", diversity={"taxa": ["*"]})
    assert with_target(pd.DataFrame({"a": [1.0], "b": [np.nan]}), told)["hill_number"].isna().all()


@pytest.mark.parametrize(
    ("table", "settings", "message"),
    [
        ({"m": [1.0]}, {"transformed": "log"}, "no column 'n'.*"),
        ({"Ab_a": [1.0]}, {"diversity": {"taxa": ["Ab_b"]}}, "taxa = 'Ab_b'. Did you mean 'Ab_a'"),
        ({"Ab_a": [-1.0]}, {"diversity": {"taxa": ["Ab_*"]}}, "no diversity of samples.csv.*not negative.*transformed"),
    ],
)
def test_what_cannot_be_made_is_refused(table, settings, message):
    with pytest.raises(SchemaError, match=message):
        with_target(pd.DataFrame(table), wanted("hill_number" if "diversity" in settings else "n", **settings))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('target = "n"\ntransformed = "ln"', "observations.transformed = 'ln' will not do.*'log'"),
        ('target = "n"\ntransformed = "log"\ntraps = { horizon = 100 }', "leave out transformed and diversity"),
        ('target = "n"\ndiversity = { taxa = ["a"] }', 'makes the target "hill_number"'),
        ('target = "hill_number"\ndiversity = { taxon = ["a"] }', "'observations.diversity.taxon'.*'taxa'"),
        ('target = "hill_number"\ndiversity = { taxa = [] }', "observations.diversity.taxa"),
    ],
)
def test_a_wrong_recipe_names_the_key(tmp_path, lines, message):
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'title = "A"\n[observations]\nfile = "a.csv"\nunits = "1"\n{lines}\n[environment]\nfiles = ["e.nc"]\n'
    )
    with pytest.raises(SchemaError, match=message):
        read_recipe(path)


def test_the_abundances_of_tara_are_cube_roots(shared_data):
    """Ten groups add up to the whole as cubes, and as nothing else that this was tried with."""
    table = pd.read_csv(shared_data / ABUNDANCE, sep="\t")
    columns = [f"Ab_{name}" for name in GROUPS.split()]

    def off(transformed):
        parts = sum(with_target(table, wanted(name, transformed=transformed))[name] for name in columns)
        whole = with_target(table, wanted("Ab_Zooplankton", transformed=transformed))["Ab_Zooplankton"]
        return (parts / whole - 1).abs().median()

    assert off("cube root") < 0.002
    for other in ("log", "log10", "log1p", "square root"):
        assert off(other) > 0.2


def test_the_sizes_of_tara_are_logarithms_of_micrometres(shared_data):
    """Medians of sizes in classes of a twelfth of an octave: all the same distance from whole twelfths."""
    table = pd.read_csv(shared_data / SIZE, sep="\t")
    um = with_target(table, wanted("ESD_Zooplankton", transformed="log"))["ESD_Zooplankton"]
    twelfths = 12 * np.log2(um)
    np.testing.assert_allclose(twelfths - np.floor(twelfths), 0.3707, atol=1e-3)
    assert um.groupby(table["Fraction_size"]).median().between([200, 300, 680], [700, 1000, 2500]).all()


@pytest.mark.parametrize("name", ["tara_abundance", "tara_diversity", "tara_esd"])
def test_the_recipes_of_tara_make_their_targets(shared_data, name):
    told = read_recipe(MAPS / name / "recipe.toml").observations
    made, rejected = read_observations(shared_data / told.file, told)
    target = made.loc[made["Dataset"] == told.where["Dataset"], told.target]
    low, high = {"tara_abundance": (1, 20_000), "tara_diversity": (1, 29), "tara_esd": (340, 5000)}[name]
    assert target.between(low, high).all()
    assert len(target) == {"wp2": 151, "regent": 120}[told.where["Dataset"]]
    assert rejected.empty
