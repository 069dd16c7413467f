"""The written pages: whole, harmless, complete, the same each time, and readable without eyes or a mouse."""

import errno
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest

from aqqua_science.apps import export
from aqqua_science.apps.export import export_site
from aqqua_science.files import file_hash

MAPS = Path(__file__).parents[2] / "maps"
COMMITTED = sorted(path.parent.name for path in MAPS.glob("*/result.json"))
VOID = {"meta", "link", "img", "br", "hr"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """A page that is read as strictly as HTML allows: what is wrong with it lands in `faults`."""

    def __init__(self, path):
        super().__init__()
        self.open, self.faults, self.levels, self.links, self.text = [], [], [], [], ""
        self.feed(path.read_text("utf-8"))
        self.faults += [f"{tag} is not closed" for tag in self.open]
        if self.levels.count(1) != 1 or any(b > a + 1 for a, b in zip(self.levels, self.levels[1:], strict=False)):
            self.faults.append(f"headings {self.levels}")

    def handle_starttag(self, tag, attributes):
        told = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if tag in {"script", "iframe", "object", "embed", "style", "svg", "form", "base"}:
            self.faults.append(f"<{tag}>")
        self.faults += [f"{tag} {name}" for name in told if name.startswith("on") or name == "style"]
        self.faults += [f"{tag} has {name} twice" for name in told if [n for n, _ in attributes].count(name) > 1]
        needed = {"img": "alt", "th": "scope", "html": "lang", "a": "href"}.get(tag)
        if needed and not told.get(needed):
            self.faults.append(f"{tag} without {needed}")
        if tag[0] == "h" and tag[1:].isdigit():
            self.levels.append(int(tag[1:]))
        self.links += [told[name] for name in ("href", "src") if name in told]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, text):
        self.text += text


def pages_of(site):
    return {path.relative_to(site).as_posix(): Page(path) for path in sorted(site.rglob("*.html"))}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """All maps of the repository as pages."""
    to = tmp_path_factory.mktemp("site") / "atlas"
    export_site(MAPS, to)
    return to


@pytest.fixture(scope="module")
def pages(site):
    return pages_of(site)


def test_every_map_of_the_repository_has_a_page(pages):
    assert sorted(pages) == ["index.html", *(f"maps/{name}/index.html" for name in COMMITTED)]


def test_pages_are_sound(pages):
    assert {name: page.faults for name, page in pages.items() if page.faults} == {}


def test_links_lead_to_files_and_nothing_is_loaded_from_elsewhere(site, pages):
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            assert not parts.scheme, "the reports of the repository name no addresses"
            assert (site / name).parent.joinpath(unquote(parts.path)).resolve().is_file(), (name, link)


def test_all_maps_can_be_reached_from_the_first_page(pages):
    assert {f"maps/{name}/index.html" for name in COMMITTED} <= set(pages["index.html"].links)


@pytest.mark.parametrize("name", COMMITTED)
def test_a_page_tells_the_estimate_the_budget_and_whom_to_thank(site, pages, name):
    result = json.loads((MAPS / name / "result.json").read_text("utf-8"))
    page = pages[f"maps/{name}/index.html"]
    whole = next(r for r in result["budget"] if r["region"] == "global" and r["month"] == "annual")
    (shown,) = re.findall(r"Whole map, whole year: (\S+)", page.text)
    assert float(shown.replace(",", "")) == pytest.approx(whole["median"], rel=5.1e-3)
    assert result["provenance"]["recipe"]["credit"] in page.text
    assert all(row["region"] in page.text for row in result["budget"] if row["region"] != "global")
    assert all(reference["source"] in page.text for reference in result["references"])
    table = pd.read_csv(site / "maps" / name / "budget.csv")
    assert table["median"].tolist() == pytest.approx([row["median"] for row in result["budget"]])


def test_the_same_maps_give_the_same_bytes(maps, tmp_path):
    for name in ("a", "b"):
        export_site(maps, tmp_path / name)
    assert file_hash(tmp_path / "a") == file_hash(tmp_path / "b")


def test_the_field_comes_along(maps_with_field, tmp_path):
    export_site(maps_with_field, tmp_path / "site")
    assert (tmp_path / "site/maps/flux/field.nc").read_bytes() == (maps_with_field / "flux/field.nc").read_bytes()
    pages = pages_of(tmp_path / "site")
    assert "field.nc" in pages["maps/flux/index.html"].links
    assert "--data DATA" in pages["maps/copepods/index.html"].text


def test_hostile_titles_reports_and_names_do_no_harm(maps, tmp_path):
    folder = maps / "<b>100% & more#"
    shutil.copytree(maps / "flux", folder)
    result = json.loads((folder / "result.json").read_text("utf-8"))
    result["title"] = HOSTILE
    result["references"][0]["source"] = HOSTILE
    result["interval"]["warning"] = HOSTILE
    result["budget"][1] |= {"region": HOSTILE, "month": "annual"}
    result["provenance"]["credit"] = HOSTILE
    (folder / "result.json").write_text(json.dumps(result), "utf-8")
    (folder / "report.md").write_text(
        f"# {HOSTILE}\n\n{HOSTILE}\n\n![x](http://elsewhere.org/x.png) ![x](map.png) ![{HOSTILE}](uncertainty.png)\n\n"
        "[x](javascript:alert(1)) [y](../../secret) [z](https://example.org)\n\n| a |\n|---|\n| <b onclick=x> |\n",
        "utf-8",
    )
    catalogue = export_site(maps, tmp_path / "site")
    assert catalogue.refused == {}
    pages = pages_of(tmp_path / "site")
    assert {name: page.faults for name, page in pages.items() if page.faults} == {}
    page = pages["maps/<b>100% & more#/index.html"]
    assert HOSTILE in page.text
    outside = [link for link in page.links if urlsplit(link).scheme]
    assert outside == ["https://example.org"]
    assert "../../secret" not in page.links
    for name, found in pages.items():
        for link in set(found.links) - {*outside}:
            assert (tmp_path / "site" / name).parent.joinpath(unquote(urlsplit(link).path)).resolve().is_file()


def test_a_broken_folder_is_told(maps, tmp_path):
    (maps / "bad").mkdir()
    (maps / "bad" / "result.json").write_text("{", "utf-8")
    assert list(export_site(maps, tmp_path / "site").refused) == ["bad"]
    assert "bad: result.json is no JSON" in pages_of(tmp_path / "site")["index.html"].text
    assert not (tmp_path / "site" / "maps" / "bad").exists()


def test_what_lies_there_is_replaced_only_when_asked_for_and_only_an_atlas(maps, tmp_path):
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").touch()
    with pytest.raises(FileExistsError, match="no atlas"):
        export_site(maps, other, overwrite=True)
    export_site(maps, tmp_path / "site")
    with pytest.raises(FileExistsError, match="overwrite"):
        export_site(maps, tmp_path / "site")
    (maps / "flux").rename(maps / "sinking")
    export_site(maps, tmp_path / "site", overwrite=True)
    assert [path.name for path in (tmp_path / "site" / "maps").iterdir()] == ["sinking"]
    with pytest.raises(FileExistsError, match="lies in the folder"):
        export_site(maps, maps / "site")


def test_a_full_disk_leaves_the_old_pages_and_no_draft(maps, tmp_path, monkeypatch):
    export_site(maps, tmp_path / "site")
    before = file_hash(tmp_path / "site")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export, "_write_thumbnail", full)
    with pytest.raises(OSError, match="No space"):
        export_site(maps, tmp_path / "site", overwrite=True)
    assert file_hash(tmp_path / "site") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps", "site"]
