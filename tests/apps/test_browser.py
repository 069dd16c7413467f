"""The atlas in a real browser, served by the command that people type."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from PIL import Image

BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def address(maps_with_field):
    """Where `aqqua atlas` says that the page is."""
    command = [sys.executable, "-m", "aqqua_science", "atlas", str(maps_with_field), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        told = server.stdout.readline()
        if not told:
            pytest.fail(server.stderr.read())
        yield json.loads(told)["address"]
        server.terminate()
        server.communicate(timeout=30)


@pytest.fixture
def open_page():
    """Open a page and note what goes wrong on it, and what it asks of other machines."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright: it drives the browser")
    if not BROWSER:
        pytest.skip("no chromium here: install it, or name it in the environment variable CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])

        def open_(address, **options):
            page = browser.new_page(**options)
            page.faults, page.external = [], []
            page.on("pageerror", lambda error: page.faults.append(str(error)))
            page.on("console", lambda said: said.type == "error" and page.faults.append(said.text))
            page.on("request", lambda request: page.external.append(request.url))
            page.goto(address)
            page.wait_for_selector("img[alt^='Map']")
            return page

        yield open_
        browser.close()


def only_here(page, address):
    """Addresses that a page asked for and that lie elsewhere."""
    return [url for url in page.external if not url.startswith((address, "data:", "blob:"))]


def pixels(page):
    content = page.locator("img[alt^='Map']").get_attribute("src").partition("base64,")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"), dtype=int)


def menus(page):
    return [page.locator("select").nth(i).evaluate("menu => menu.selectedOptions[0].text") for i in range(5)]


def choose(page, menu, label):
    page.get_by_label(menu, exact=True).select_option(label=label)


def test_choosing_changes_the_picture_and_the_number_and_the_address_restores_it(address, open_page):
    page = open_page(address)
    choose(page, "Map", "Sinking flux of organic carbon at 100 m, by month")
    page.wait_for_selector("img[alt^='Map, mean, whole year: Sinking']")
    year = pixels(page)
    choose(page, "Month", "December")
    page.wait_for_selector("img[alt*='December']")
    december = pixels(page)
    rows, columns = (min(a, b) for a, b in zip(year.shape[:2], december.shape[:2], strict=True))
    assert (year[:rows, :columns] != december[:rows, :columns]).mean() > 0.1
    choose(page, "Region", "Arctic Ocean")
    page.wait_for_selector("text=Arctic Ocean, December:")
    sentence = page.locator(".estimate").inner_text()
    cells = page.locator("tr.chosen").first.locator("th, td").all_inner_texts()
    assert cells[0] == "Arctic Ocean"
    assert re.search(r"December: (\S+)", sentence).group(1) == cells[1]
    page.wait_for_function("location.search.includes('region=Arctic')")

    again = open_page(page.url)
    assert again.locator(".estimate").inner_text() == sentence
    assert menus(again) == menus(page)
    assert (pixels(again) == december).all()
    for seen in (page, again):
        assert seen.faults == []
        assert only_here(seen, address) == []


@pytest.mark.slow
def test_every_tab_opens_in_the_dark_on_a_phone_and_downloads_come(address, open_page, maps_with_field):
    page = open_page(f"{address}/?map=flux&month=7&theme=dark", viewport={"width": 390, "height": 844})
    for title in ("The year", "Published", "Report", "Credit, files"):
        page.get_by_text(title, exact=True).click()
        page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    with page.expect_download() as download:
        page.get_by_text("Download the field (NetCDF)").click()
    with open(download.value.path(), "rb") as file:
        assert file.read() == (maps_with_field / "flux" / "field.nc").read_bytes()
    assert page.faults == []
    assert only_here(page, address) == []


def test_the_year_plays_and_stops(address, open_page):
    page = open_page(f"{address}/?map=flux")
    page.get_by_text("Play the year").click()
    for month in ("January", "February"):
        page.wait_for_selector(f"img[alt*='{month}']")
    page.get_by_text("Play the year").click()
    for _ in range(8):  # a month that was on its way still arrives
        shown = page.locator("img[alt^='Map']").get_attribute("alt")
        page.wait_for_timeout(3000)
        if page.locator("img[alt^='Map']").get_attribute("alt") == shown:
            break
    else:
        pytest.fail("the months go on after they were stopped")
    assert page.faults == []


OF_THE_TOOLKIT = {"landmark-one-main", "region"}
"""Moderate: a page of Panel has no landmarks, and its menus stand in none."""


@pytest.mark.parametrize("theme", ["default", "dark"])
def test_nothing_keeps_people_out(address, open_page, theme):
    """Rules of WCAG 2 by axe-core, on menus, text, tables and tabs."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(f"{address}/?map=flux&theme={theme}")
    found = axe.run(page).response["violations"]
    assert {fault["id"] for fault in found} <= OF_THE_TOOLKIT, json.dumps(found, indent=1)


def test_the_server_says_that_it_lives(address):
    with urllib.request.urlopen(f"{address}/liveness") as answer:
        assert answer.status == 200
