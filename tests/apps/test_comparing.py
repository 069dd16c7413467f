"""A map beside another, or a month beside another: their numbers and their difference."""

import dataclasses
import shutil

import pytest

pytest.importorskip("panel")

from aqqua_science.apps import comparing
from aqqua_science.apps.atlas import View
from aqqua_science.apps.catalogue import read_maps
from aqqua_science.apps.drawing import draw_difference
from aqqua_science.schema import SchemaError


@pytest.fixture
def catalogue(maps_with_field):
    """A flux by month with a field, the same once more under another name, and biomass without a field."""
    shutil.copytree(maps_with_field / "flux", maps_with_field / "again")
    return read_maps(maps_with_field)


@pytest.fixture
def view(catalogue):
    return View(catalogue.products["flux"], "basins", "Arctic Ocean", 7, "mean")


def test_only_maps_in_the_same_units_with_a_field_are_offered(catalogue, view):
    assert set(comparing.comparable(catalogue, view)) == {"flux", "again"}
    without = view._replace(product=catalogue.products["copepods"])
    assert comparing.comparable(catalogue, without) == {}
    assert comparing.fitting(catalogue, without, product="flux", month=1) is None


@pytest.mark.parametrize(
    ("asked", "found"),
    [(("again", "3"), ("again", 3)), ((None, None), ("flux", "annual")), (("cod", "13"), ("flux", "annual"))],
)
def test_what_is_asked_for_gives_way_to_what_there_is(catalogue, view, asked, found):
    beside = comparing.fitting(catalogue, view, product=asked[0], month=asked[1])
    assert (beside.product.name, beside.month) == found


def test_the_difference_is_that_of_the_budgets(catalogue, view):
    beside = comparing.fitting(catalogue, view, product="flux", month=1)
    text, pictures = comparing.compare(view, beside)
    budget = catalogue.products["flux"].budget.set_index(["region", "month"])["median"]
    expected = budget["Arctic Ocean", 7] - budget["Arctic Ocean", 1]
    assert f"January: {expected:.3g} PgC" in text
    assert [alt.split(" ")[0] for _, alt in pictures] == ["Beside,", "Difference"]
    assert len({content for content, _ in pictures}) == 2


def test_a_region_that_the_other_lacks_is_not_subtracted(catalogue, view):
    beside = comparing.fitting(catalogue, view, product="again", month="annual")
    budget = beside.product.budget
    cut = dataclasses.replace(beside.product, budget=budget[budget["region"] != "Arctic Ocean"])
    beside = beside._replace(product=cut)
    text, _ = comparing.compare(view, beside)
    assert "Whole map, whole year" in text
    assert ", less " not in text


def test_other_cells_have_no_difference_and_a_sentence_says_so(catalogue, view, known_field):
    beside = comparing.fitting(catalogue, view, product="again", month=1)
    known_field.isel(latitude=slice(0, 9)).to_netcdf(beside.product.files["field.nc"])
    text, pictures = comparing.compare(view, beside)
    assert "Not all can be drawn: the maps have different cells" in text
    assert len(pictures) == 1
    with pytest.raises(SchemaError, match="different cells"):
        draw_difference(view.product.files["field.nc"], beside.product.files["field.nc"], months=(7, 1))
