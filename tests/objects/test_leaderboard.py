"""Entries side by side: what was written by hand is found again on the page, in its place and in plain words."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from aqqua_science.objects.benchmark_page import write_page
from aqqua_science.objects.glossary import GLOSSARY, METRICS
from aqqua_science.objects.leaderboard import table_of

DOCS = Path(__file__).parents[2] / "docs" / "objects.md"
VOID = {"meta"}


def score(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "groups": 4}


def entry(name, balanced, **about):
    """An entry that tells little of one store."""
    part = {"objects": 1_000, "taxa": 4, "kept_together": "sample_id", "groups": 4, **about}
    part["classification"] = {
        "scores": {"accuracy": score(0.75), "balanced_accuracy": score(balanced), "plankton_recall": {"value": None}},
        "random": {"accuracy": 0.3, "balanced_accuracy": 0.25},
    }
    part["classification"]["scores"]["plankton_recall"] |= {"low": None, "high": None, "groups": 4}
    return {"version": 2, "name": name, "stores": {"tows": part}}


class Reader(HTMLParser):
    """Rows of all tables as lists of texts; refuses tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open = [], []
        self.feed(text)
        self.close()
        if self.open:
            pytest.fail(f"{self.open} are left open")

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1] += [""] * int(dict(attributes).get("colspan", 1))

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            pytest.fail(f"</{tag}> closes another")

    def handle_data(self, text):
        if {"td", "th"} & {*self.open}:
            self.rows[-1][-1] += f"{text}|"


@pytest.fixture
def page(tmp_path):
    """Answers of somebody beside an encoder that is better, and smaller than two others."""
    better = entry("better", 0.8, few_shot={"5": {"balanced_accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}}})
    better["encoder"] = {"features": 384, "bytes": 5_000_000}
    write_page([entry("ours & yours", 0.7, unanswered=12), better], tmp_path / "page.html")
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def test_every_number_stands_in_a_row_with_its_words(page):
    table = [row for row in Reader(page).rows if len(row) == 4]
    assert table[0] == ["number|", "better|", "ours & yours|", "guessing|"], "best balanced accuracy first"
    told = {row[0].split("|")[0]: row for row in table if row[0]}
    assert [name for name in told if name != "number"] == [metric.name for metric in METRICS]
    for metric in METRICS:
        name, says, better, _ = told[metric.name][0].split("|")
        assert (name, says) == (metric.name, metric.says)
        assert better.endswith(metric.span)
    assert told["balanced accuracy"][1:] == ["0.800|0.700 to 0.900 (4)|", "0.700|0.600 to 0.800 (4)|", "0.250|"]
    assert told["accuracy"][3] == "0.300|"
    assert told["objects"][1:] == ["1,000|", "1,000|", "-|"]
    assert told["unanswered"][1:] == ["-|", "12|", "-|"]
    assert told["5 examples"][1:] == ["0.500|0.400 to 0.600|", "-|", "-|"]
    assert told["plankton recall"][1:] == ["-|", "-|", "-|"]
    assert told["unseen taxa, AUROC"][1:] == ["-|", "-|", "0.500|"]
    for group in GLOSSARY:
        assert f">{group}</th>" in page


def test_the_page_is_whole_and_needs_nothing_from_outside(page):
    rows = Reader(page).rows
    assert ["better|", "384|", "5.000|"] in rows, "how large an encoder is"
    assert ["EfficientNetV2-S|", "0.837|", "0.886|"] in rows
    assert not re.search(r"http|<script|src=|<link|@import|\bnan\b|None", page)
    text = re.sub(r"<style>.*?</style>|90 %", "", page, flags=re.DOTALL)
    assert "%" not in text, "shares have one unit; 90 % is the name of an interval"
    assert "objects of one sample (4 in all)" in page


def test_the_page_has_the_same_bytes_again(page, tmp_path):
    before = (tmp_path / "page.html").read_bytes()
    better = entry("better", 0.8, few_shot={"5": {"balanced_accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}}})
    better["encoder"] = {"features": 384, "bytes": 5_000_000}
    write_page([entry("ours & yours", 0.7, unanswered=12), better], tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == before


def test_an_entry_of_another_store_is_no_column(tmp_path):
    elsewhere = {"version": 2, "name": "elsewhere", "stores": {"nets": entry("", 0.9)["stores"]["tows"]}}
    write_page([entry("ours", 0.7), elsewhere], tmp_path / "page.html")
    heads = [row for row in Reader((tmp_path / "page.html").read_text(encoding="utf-8")).rows if row[0] == "number|"]
    assert heads == [["number|", "ours|", "guessing|"], ["number|", "elsewhere|", "guessing|"]]


def test_the_stores_of_an_entry_come_before_those_of_others():
    part = entry("", 0.9)["stores"]["tows"]
    other = {"version": 2, "name": "other", "stores": {"alpha": part, "tows": part, "beta": part}}
    ours = entry("ours", 0.7)
    ours["stores"]["moorings"] = part
    assert table_of([ours, other])["store"].tolist() == ["tows", "tows", "moorings", "alpha", "beta"]


def test_what_is_no_plankton_is_marked_among_the_taxa(tmp_path):
    ours = entry("ours", 0.7)
    told = {"objects": 10, "recall": 0.5, "precision": 0.5}
    ours["stores"]["tows"]["classification"]["of_each_taxon"] = {"Salpida": told, "detritus": told}
    write_page([ours], tmp_path / "page.html")
    rows = Reader((tmp_path / "page.html").read_text(encoding="utf-8")).rows
    assert [row[0] for row in rows if row[1:] == ["10|", "0.500|", "0.500|"]] == ["Salpida|", "detritus|not plankton|"]


def test_one_sample_for_all_keeps_no_objects_together(tmp_path):
    write_page([entry("ours", 0.7, kept_together="image", groups=1_000)], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "objects of one image (1,000 in all: fewer than two samples are known, which flatters)" in page


def test_what_an_entry_does_not_tell_is_none_in_the_table():
    table = table_of([entry("a", 0.7, unanswered=3), entry("b", 0.9)])
    assert table["entry"].tolist() == ["b", "a"]
    assert table["unanswered"].tolist() == [None, 3]
    assert table["calibration error"].tolist() == [None, None]
    assert list(table.columns) == ["store", "entry", *(metric.name for metric in METRICS)]


def test_the_documentation_has_the_words_of_the_page():
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    rows = [f"| {m.name} | {m.says} | {m.better or '-'} | {m.span} |" for m in METRICS]
    assert [row for row in rows if row not in lines] == []
