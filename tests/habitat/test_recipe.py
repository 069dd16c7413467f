"""Wrong recipes stop with value, rule and remedy; right ones select what they say."""

import numpy as np
import pandas as pd
import pytest

from aqqua_science.habitat.inputs import check_budget
from aqqua_science.habitat.observations import read_table, select
from aqqua_science.habitat.recipe import Observations, read_recipe
from aqqua_science.schema import SchemaError

GOOD = """
title = "Copepods"
[observations]
file = "samples.csv"
target = "biomass"
units = "mg m-3"
[environment]
files = ["environment.nc"]
[budget]
depth = [0, 200]
"""


def written(folder, text):
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title", "titel", "unknown key 'titel'. Did you mean 'title'"),
        ("[budget]", "[buget]", "Did you mean 'budget'"),
        ("target =", "targett =", "Did you mean 'target'"),
        ("depth =", "deph =", "unknown key 'budget.deph'. Did you mean 'depth'"),
        ("[0, 200]", "[200, 0]", "budget.depth = .*top, bottom"),
        ('units = "mg m-3"\n', "", "'observations.units' is missing"),
        ("[budget]", '[model]\nobjective = "poison"\n[budget]', "model.objective = 'poison'.*'poisson'"),
        ("[budget]", "[model]\nlearning_rate = 2\n[budget]", "model.learning_rate = 2"),
        ("[budget]", "[model\n[budget]", "not valid TOML"),
        ('["environment.nc"]', "[]", "environment.files"),
    ],
)
def test_a_wrong_recipe_names_key_rule_and_remedy(tmp_path, old, new, message):
    with pytest.raises(SchemaError, match=message):
        read_recipe(written(tmp_path, GOOD.replace(old, new)))


def test_the_digest_changes_with_any_setting(tmp_path):
    digests = {read_recipe(written(tmp_path, GOOD.replace("200]", f"{d}]"))).digest() for d in (100, 200, 300)}
    assert len(digests) == 3


def table(**columns):
    base = {"latitude": [1.0, 2.0, 3.0, 4.0], "longitude": [0.0] * 4, "biomass": [0.0, 1.0, 2.0, 3.0]}
    return pd.DataFrame(base | columns)


def wanted(**settings):
    return Observations(file="samples.csv", target="biomass", units="mg m-3", **settings)


def test_where_takes_one_value_or_any_of_a_list():
    source = table(split=["train", "test", "train", "spare"])
    assert len(select(source, wanted(where={"split": "train"}))[0]) == 2
    assert len(select(source, wanted(where={"split": ["train", "spare"]}))[0]) == 3


def test_between_keeps_both_ends():
    accepted, _ = select(table(depth=[79.0, 80.0, 120.0, 121.0]), wanted(between={"depth": (80, 120)}))
    assert accepted["depth"].tolist() == [80, 120]


def test_sum_over_adds_the_taxa_of_a_sample_and_keeps_its_zeros():
    source = pd.DataFrame(
        {
            "latitude": [1.0, 1.0, 2.0, 2.0],
            "longitude": [0.0] * 4,
            "taxon": ["Copepoda", "Ostracoda"] * 2,
            "biomass": [1.0, 2.0, 0.0, 0.0],
        }
    )
    accepted, _ = select(source, wanted(sum_over="taxon"))
    assert accepted["biomass"].tolist() == [3.0, 0.0]
    drawn = source.assign(draw_1=source["biomass"] * 2, draw_2=[np.nan, 1.0, 2.0, 3.0], n=[1, 2, 3, 4], other=5.0)
    accepted, _ = select(drawn, wanted(sum_over="taxon"), beside=["draw_*", "n"])
    assert accepted["draw_1"].tolist() == [6.0, 0.0]
    assert accepted["draw_2"].tolist()[1] == 5.0
    assert np.isnan(accepted["draw_2"][0])
    assert accepted["n"].tolist() == [3, 7]
    assert "other" not in accepted


def test_several_taxa_side_by_side_are_refused():
    with pytest.raises(SchemaError, match=r"where = \{ taxon"):
        select(table(taxon=list("abab")), wanted())


def test_named_columns_take_their_standard_names():
    source = table(when=["2020-01-01"] * 4, vol=[1.0] * 4, cast=list("aabb"))
    accepted, _ = select(source, wanted(time="when", volume="vol", group="cast"))
    assert {"time", "volume_m3", "group"} <= set(accepted.columns)
    assert accepted["time"].dt.month.tolist() == [1] * 4


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"latitude": [91.0, 2.0, 3.0, 4.0]}, "latitude 91 is outside"),
        ({"longitude": [np.nan, 0, 0, 0]}, "longitude is missing"),
        ({"depth": [-5.0, 1, 1, 1]}, "depth -5 is outside"),
        ({"biomass": [-1.0, 1, 2, 3]}, "biomass is negative"),
        ({"biomass": [np.inf, 1, 2, 3]}, "biomass is infinite"),
        ({"biomass": [np.nan, 1, 2, 3]}, "biomass is missing"),
        ({"latitude": [2.0, 2.0, 3.0, 4.0], "biomass": [1.0, 1, 2, 3]}, "same row stands earlier"),
    ],
)
def test_bad_rows_are_set_apart_with_a_reason_and_nothing_is_lost(columns, reason):
    accepted, rejected = select(table(**columns), wanted())
    assert len(accepted) == 3
    assert reason in rejected["reason"].item()


@pytest.mark.parametrize(
    ("settings", "columns", "message"),
    [
        ({"where": {"split": "trian"}}, {"split": ["train"] * 4}, "Did you mean 'train'"),
        ({"where": {"spilt": "train"}}, {"split": ["train"] * 4}, "Did you mean 'split'"),
        ({"between": {"depth": (500, 900)}}, {"depth": [1.0] * 4}, "nothing is left"),
        ({"sum_over": "species"}, {}, "no column 'species'"),
        ({}, {"biomass": [0.0] * 4}, "zero in all"),
        ({}, {"depth": [-5.0] * 4}, "no row of samples.csv can be used.*pass -depth"),
        ({}, {"latitude": ["north"] * 4}, "latitude must be numeric"),
        ({}, {"latitude": [100.0, 120, 130, 140], "longitude": [5.0] * 4}, "look exchanged"),
        ({"time": "split"}, {"split": ["train"] * 4}, "holds no dates"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(settings, columns, message):
    with pytest.raises(SchemaError, match=message):
        select(table(**columns), wanted(**settings))


def test_tables_of_other_separators_and_names_are_read(tmp_path):
    path = tmp_path / "samples.tsv"
    path.write_text("object_lat\tobject_lon\tbiomass\n1\t2\t3\n", encoding="utf-8")
    assert read_table(path)[["latitude", "longitude"]].to_numpy().tolist() == [[1, 2]]


def test_longitudes_of_0_to_360_are_turned():
    accepted, rejected = select(table(longitude=[0.0, 180.0, 181.0, 359.0]), wanted())
    assert accepted["longitude"].tolist() == [0, 180, -179, -1]
    assert rejected.empty


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("depth = [0, 200]", "", r"depth = \[0, 200\]"),
        ("depth = [0, 200]", 'depth = [0, 200]\nkind = "flux"', "stock"),
        ("depth = [0, 200]", 'depth = [0, 200]\nregions = "bassins"', "Did you mean 'basins'"),
        (
            "depth = [0, 200]",
            'depth = [0, 200]\n[reference]\nvalue = 1\nunits = "m-3"\nsource = "x"',
            "reference.units",
        ),
    ],
)
def test_a_budget_that_cannot_be_added_up_stops_before_any_fit(tmp_path, old, new, message):
    recipe = read_recipe(written(tmp_path, GOOD.replace(old, new)))
    with pytest.raises(SchemaError, match=message):
        check_budget(recipe, folders=[tmp_path])


def test_a_budget_that_can_be_added_up_names_its_regions(tmp_path):
    reference = '[reference]\nvalue = 1\nunits = "mg"\nsource = "x"\n'
    assert check_budget(read_recipe(written(tmp_path, GOOD + reference)), folders=[tmp_path]) == ["basins"]


def test_members_left_out_by_group_need_a_group(tmp_path):
    with pytest.raises(SchemaError, match=r"needs observations\.group"):
        read_recipe(written(tmp_path, GOOD + '[model]\nresampling = "groups"\n'))


def test_a_switch_is_no_number(tmp_path):
    with pytest.raises(SchemaError, match="n_trees"):
        read_recipe(written(tmp_path, GOOD + "[model]\nn_trees = true\n"))


def test_parquet_equals_csv(tmp_path):
    source = table()
    source.to_parquet(tmp_path / "s.parquet")
    source.to_csv(tmp_path / "s.csv", index=False)
    pd.testing.assert_frame_equal(read_table(tmp_path / "s.parquet"), read_table(tmp_path / "s.csv"))


def test_one_or_several_published_values(tmp_path):
    one = '[reference]\nvalue = 1\nunits = "PgC"\nsource = "A"\n'
    assert [r.source for r in read_recipe(written(tmp_path, GOOD + one)).reference] == ["A"]
    two = one.replace("[reference]", "[[reference]]")
    assert [r.source for r in read_recipe(written(tmp_path, GOOD + two + two.replace("A", "B"))).reference] == [
        "A",
        "B",
    ]
    with pytest.raises(SchemaError, match=r"unknown key 'reference.1.unit'. Did you mean 'units'"):
        read_recipe(written(tmp_path, GOOD + two + two.replace("units", "unit")))


@pytest.mark.parametrize(
    ("traps", "message"),
    [
        ("{ horizn = 100 }", "unknown key 'observations.traps.horizn'. Did you mean 'horizon'"),
        ("{ horizon = 0 }", "observations.traps.horizon = 0"),
        ("{ between = [50, 300] }", "'observations.traps.horizon' is missing"),
    ],
)
def test_a_wrong_table_of_traps_names_its_key(tmp_path, traps, message):
    with pytest.raises(SchemaError, match=message):
        read_recipe(written(tmp_path, GOOD.replace("[environment]", f"traps = {traps}\n[environment]")))
