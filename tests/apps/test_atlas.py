"""The atlas without a browser: every menu through its range, and each number as the result has it."""

import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

pn = pytest.importorskip("panel")

from aqqua_science.apps.atlas import STATE, Atlas  # noqa: E402
from aqqua_science.apps.drawing import STATISTICS, draw_layer, year_figure  # noqa: E402
from aqqua_science.apps.wording import headline, month_name  # noqa: E402


class Cells(HTMLParser):
    """Rows of the tables of a page as lists of text."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.chosen = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
            if ("class", "chosen") in attributes:
                self.chosen.append(self.rows[-1])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_data(self, text):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += text.strip()


def html_of(layout):
    """All HTML that a layout shows."""
    return "\n".join(str(pane.object) for pane in layout.select(pn.pane.HTML))


def tab(layout, title):
    (tabs,) = layout.select(pn.Tabs)
    return tabs[tabs._names.index(title)]


def select(atlas, name):
    return atlas._selects[name]


def rows_of(folder):
    return json.loads((folder / "result.json").read_text("utf-8"))["budget"]


def as_number(text):
    return float(text.replace(",", ""))


def test_every_menu_is_driven_through_its_range(maps_with_field):
    atlas = Atlas(maps_with_field)
    layout = atlas.panel()
    for name in ("product", "product", "regions", "region", "month", "statistic"):
        menu = select(atlas, name)
        for value in list(menu.options.values())[::-1]:
            menu.value = value
            assert getattr(atlas, name) == value
            assert atlas.view.row["region"] == atlas.region
            assert month_name(atlas.month) in html_of(layout)
    assert select(atlas, "product").options == {
        "Copepoda biomass, 0-200 m": "copepods",
        "Sinking flux of organic carbon at 100 m, by month": "flux",
    }


def test_the_number_and_the_tables_are_those_of_the_result(maps_with_field):
    """Three digits are shown, so each differs from the result by half a unit of the third at most."""
    atlas = Atlas(maps_with_field)
    atlas.product = "flux"
    layout = atlas.panel()
    truth = {(row["regions"], row["region"], row["month"]): row for row in rows_of(maps_with_field / "flux")}
    for regions, month in (("basins", "annual"), ("basins", 7), ("Longhurst_world_v4_2010", 12)):
        atlas.param.update(regions=regions, month=month)
        for region in select(atlas, "region").options.values():
            atlas.region = region
            told = truth[("basins" if region == "global" else regions, region, month)]
            (row,) = Cells(tab(layout, "Budget").object).chosen
            low, high = map(as_number, row[2].split(" to "))
            shown = [as_number(row[1]), low, high, as_number(row[3]), as_number(row[4]) * 1e12]
            np.testing.assert_allclose(
                shown, [told[name] for name in ("median", "low", "high", "mean", "area_m2")], rtol=5.1e-3
            )
            sentence = re.search(r": ([\d.,e-]+) \S+ \S*\s*\(90", headline(atlas.view.product, atlas.view.row))
            assert sentence.group(1) == row[1]
    assert len(Cells(tab(layout, "Budget").object).rows) == 1 + len(select(atlas, "region").options)


def test_the_year_of_a_region_is_drawn_with_its_interval(maps_with_field):
    atlas = Atlas(maps_with_field)
    atlas.param.update(product="flux", region="Arctic Ocean", month=3)
    rows = [r for r in rows_of(maps_with_field / "flux") if r["region"] == "Arctic Ocean" and r["month"] != "annual"]
    figure = year_figure(atlas.view.product.budget.query("region == 'Arctic Ocean' and month != 'annual'"), month=3)
    band, line = figure.renderers[:2]
    for name, glyph in (("low", band), ("high", band), ("median", line)):
        assert list(glyph.data_source.data[name]) == [row[name] for row in rows]
    assert list(figure.renderers[-1].data_source.data["month"]) == [3]


def test_a_map_without_months_says_so(maps_with_field):
    atlas = Atlas(maps_with_field)
    atlas.product = "copepods"
    assert list(select(atlas, "month").options.values()) == ["annual"]
    assert "no months" in html_of(tab(atlas.panel(), "The year"))


def test_published_values_stand_beside_ours(maps_with_field):
    atlas = Atlas(maps_with_field)
    atlas.product = "copepods"
    result = json.loads((maps_with_field / "copepods" / "result.json").read_text("utf-8"))
    whole, told = result["budget"][0], result["references"][0]
    row = Cells(tab(atlas.panel(), "Published").object).rows[1]
    assert row[0] == told["source"]
    assert as_number(row[2]) == pytest.approx(whole["median"] / told["value"], abs=0.005)
    assert row[3] == ("yes" if whole["low"] <= told["value"] <= whole["high"] else "no")


def test_a_map_without_field_shows_its_picture_and_the_command_that_makes_the_rest(maps_with_field):
    atlas = Atlas(maps_with_field)
    atlas.product = "copepods"
    layout = atlas.panel()
    (picture,) = layout.select(pn.pane.PNG)
    assert picture.object == (maps_with_field / "copepods" / "map.png").read_bytes()
    assert "Copepoda" in picture.alt_text
    assert "aqqua map maps/copepods/recipe.toml --data DATA --overwrite" in html_of(layout)
    assert list(select(atlas, "statistic").options.values()) == ["mean"]


def test_a_broken_field_is_told_in_words_beside_the_picture(maps_with_field):
    (maps_with_field / "flux" / "field.nc").write_bytes(b"no NetCDF")
    atlas = Atlas(maps_with_field)
    atlas.product = "flux"
    layout = atlas.panel()
    assert "field.nc cannot be drawn" in html_of(layout)
    assert "Traceback" not in html_of(layout)
    (picture,) = layout.select(pn.pane.PNG)
    assert picture.object == (maps_with_field / "flux" / "map.png").read_bytes()


def test_broken_folders_and_empty_ones_are_told_in_words(maps, tmp_path):
    (maps / "bad").mkdir()
    (maps / "bad" / "result.json").write_text("{<b>", "utf-8")
    assert "<li>bad: result.json is no JSON document" in html_of(Atlas(maps).panel())
    (tmp_path / "none").mkdir()
    assert "no map that can be shown" in html_of(Atlas(tmp_path / "none").panel())


def test_what_the_address_asks_for_gives_way_to_what_there_is(maps_with_field):
    """Addresses are text that anybody may write."""
    atlas = Atlas(maps_with_field)
    atlas.param.update(product="flux", regions="basins", region="Arctic Ocean", month="7", statistic="width")
    assert [getattr(atlas, name) for name in STATE] == ["flux", "basins", "Arctic Ocean", 7, "width"]
    atlas.param.update(product="<b>", regions=[1], region=None, month=99, statistic={"a": 1})
    assert [getattr(atlas, name) for name in STATE] == ["copepods", "basins", "global", "annual", "mean"]
    assert "There is no map &#x27;&lt;b&gt;&#x27; here" in html_of(atlas.panel())


def test_the_budget_is_downloaded_whole(maps_with_field):
    import pandas as pd

    atlas = Atlas(maps_with_field)
    atlas.product = "flux"
    budget, field = tab(atlas.panel(), "Credit, files").select(pn.widgets.FileDownload)
    table = pd.read_csv(budget.callback())
    told = pd.DataFrame(rows_of(maps_with_field / "flux"))
    np.testing.assert_allclose(table["median"], told["median"], rtol=1e-12)
    assert table["month"].astype(str).tolist() == told["month"].astype(str).tolist()
    assert field.callback() == maps_with_field / "flux" / "field.nc"
    atlas.product = "copepods"
    assert not field.visible


def test_each_statistic_and_month_has_its_own_picture(maps_with_field):
    path = maps_with_field / "flux" / "field.nc"
    pictures = {draw_layer(path, statistic=s, month=m) for s in STATISTICS for m in ("annual", 1, 12)}
    assert len(pictures) == 9
    assert draw_layer(path, statistic="mean", month=1) in pictures


def test_months_share_one_scale(maps_with_field):
    """A flux that is twelve times as large in December is darker there, everywhere."""
    path = maps_with_field / "flux" / "field.nc"
    pictures = [Image.open(io.BytesIO(draw_layer(path, month=m))) for m in (1, 12)]
    january, december = (np.asarray(picture.convert("L"), dtype=float) for picture in pictures)
    rows, columns = (min(a, b) for a, b in zip(january.shape, december.shape, strict=True))
    centre = slice(rows // 8, rows // 3), slice(columns // 3, columns // 2)
    assert december[centre].mean() < january[centre].mean() - 50


def test_a_field_that_changes_is_drawn_again(maps_with_field, known_field):
    path = maps_with_field / "flux" / "field.nc"
    first = draw_layer(path, month=1)
    path.unlink()
    known_field.isel(month=slice(None, None, -1)).assign_coords(month=range(1, 13)).to_netcdf(path)
    assert draw_layer(path, month=1) != first


def test_the_year_goes_round(maps_with_field):
    atlas = Atlas(maps_with_field)
    atlas.param.update(product="flux", month="annual")
    seen = []
    for _ in range(14):
        atlas.next_month()
        seen.append(atlas.view.month)
    assert seen == [*range(1, 13), 1, 2]
    atlas.product = "copepods"
    atlas.next_month()
    assert atlas.view.month == "annual"
