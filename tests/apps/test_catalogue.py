"""Which maps are shown, with which numbers, and what is said of those that are not."""

import json
from pathlib import Path

import pytest

from aqqua_science.apps.catalogue import read_maps

MAPS = Path(__file__).parents[2] / "maps"
COMMITTED = sorted(path.parent.name for path in MAPS.glob("*/result.json"))


def spoil(folder, **changes):
    """Change keys of a result."""
    result = json.loads((folder / "result.json").read_text("utf-8"))
    (folder / "result.json").write_text(json.dumps(result | changes), "utf-8")


def test_every_map_of_the_repository_is_shown():
    products, refused = read_maps(MAPS)
    assert refused == {}
    assert sorted(products) == COMMITTED


@pytest.mark.parametrize("name", COMMITTED)
def test_a_product_holds_the_numbers_of_its_result(name):
    result = json.loads((MAPS / name / "result.json").read_text("utf-8"))
    product = read_maps(MAPS).products[name]
    assert product.title == result["title"]
    shown = product.budget.astype(object).where(product.budget.notna(), None).to_dict("records")
    assert [{key: row[key] for key in told} for row, told in zip(shown, result["budget"], strict=True)] == (
        result["budget"]
    )
    assert product.references == result["references"]
    assert product.extrapolated == result["extrapolated_area_fraction"]
    assert set(product.pictures) == {path.name for path in (MAPS / name).glob("*.png")}
    assert product.credit.startswith(result["provenance"]["recipe"]["credit"])


def test_months_and_regions_come_in_order(maps):
    product = read_maps(maps).products["flux"]
    assert product.months == ["annual", *range(1, 13)]
    assert product.region_sets == ["basins", "Longhurst_world_v4_2010"]
    for regions in product.region_sets:
        assert product.regions(regions)[0] == "global"
    assert "ARCT" in product.regions("Longhurst_world_v4_2010")
    assert "ARCT" not in product.regions("basins")


def test_the_folder_of_one_map_is_shown_too(maps):
    assert list(read_maps(maps / "flux").products) == ["flux"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_maps(tmp_path / "nowhere")


def test_other_folders_are_left_alone(maps):
    (maps / "drafts").mkdir()
    (maps / "README.md").touch()
    assert list(read_maps(maps).products) == ["flux"]
    assert read_maps(maps).refused == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON document"),
        ("{", "no JSON document"),
        ("\udcff", "no JSON document"),
        ("[" * 100_000, "no JSON document"),
        ("[]", "dictionary"),
        ("{}", "title"),
        ('{"title": "", "budget": []}', "title"),
        ('{"title": "Fish", "budget": []}', "budget"),
        ('{"title": "Fish", "budget": [{"region": "global"}]}', "budget.0"),
    ],
)
def test_a_broken_result_is_told(maps, text, reason):
    (maps / "bad").mkdir()
    (maps / "bad" / "result.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    products, refused = read_maps(maps)
    assert list(products) == ["flux"]
    assert list(refused) == ["bad"]
    assert reason in refused["bad"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows[0] | {"median": float("inf")}, "budget.0.median"),
        (lambda rows: rows[0] | {"month": 13}, "budget.0.month"),
        (lambda rows: rows[0] | {"units": "kg"}, "several units"),
        (lambda rows: rows[1], "twice"),
        (lambda rows: rows[0] | {"region": "sea"}, "global"),
    ],
)
def test_a_budget_that_makes_no_sense_is_told(maps, change, reason):
    rows = json.loads((maps / "flux" / "result.json").read_text("utf-8"))["budget"]
    spoil(maps / "flux", budget=[change(rows), *rows[1:]])
    assert reason in read_maps(maps).refused["flux"]


def test_no_file_outside_the_folder_is_reached(maps, tmp_path):
    (tmp_path / "secret.md").write_text("secret", "utf-8")
    (maps / "flux" / "report.md").unlink()
    (maps / "flux" / "report.md").symlink_to(tmp_path / "secret.md")
    assert read_maps(maps).products == {}
    assert "report.md leads out" in read_maps(maps).refused["flux"]


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"<svg onload='alert(1)'/>" * 9])
def test_a_picture_that_is_none_is_told(maps, content):
    (maps / "flux" / "map.png").write_bytes(content)
    assert "map.png is no PNG" in read_maps(maps).refused["flux"]


def test_a_folder_that_is_a_link_elsewhere_is_refused(maps):
    (maps / "other").symlink_to(MAPS / "tara_esd")
    assert list(read_maps(maps).products) == ["flux"]
    assert "leads out" in read_maps(maps).refused["other"]


def test_cautions_follow_the_flags_of_the_published_list():
    """maps/README.md tells of each map whether it has held-out skill."""
    readme = (MAPS / "README.md").read_text("utf-8")
    flagged = {name for name in COMMITTED for line in readme.splitlines() if f"]({name}/" in line and "no held" in line}
    told = {name for name, product in read_maps(MAPS).products.items() if "No skill" in " ".join(product.cautions)}
    assert flagged
    assert told == flagged
