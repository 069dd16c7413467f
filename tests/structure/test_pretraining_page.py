"""docs/pretraining.md lists every setting with its default, and no other."""

import re
from pathlib import Path

from aqqua_science.pretraining.config import PretrainConfig, Views

PAGE = Path(__file__).parents[2] / "docs" / "pretraining.md"


def settings_rows():
    text = PAGE.read_text(encoding="utf-8").split("## Settings")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]


def test_every_setting_is_on_the_page():
    listed = {name for row in settings_rows() for name in re.findall(r"`(\w+)`", row[0])}
    assert listed == set(PretrainConfig.model_fields)


def test_every_setting_of_the_views_is_on_the_page():
    (row,) = [row for row in settings_rows() if row[0] == "`views`"]
    assert set(re.findall(r"`(\w+)`", row[2])) == set(Views.model_fields)


def as_written(value):
    """A default as the page writes it."""
    if isinstance(value, tuple):
        return "-".join(map(as_written, value))
    return (
        {True: "true", False: "false"}[value]
        if isinstance(value, bool)
        else f"{value:g}"
        if value != str(value)
        else value
    )


def test_defaults_are_those_of_the_code():
    config = PretrainConfig()
    for names, defaults, _ in settings_rows():
        parts = defaults.split(", ")
        found = re.findall(r"`(\w+)`", names)
        if len(parts) != len(found) or defaults == "-":
            continue
        for name, written in zip(found, parts, strict=True):
            value = getattr(config, name)
            if isinstance(value, str | int | float | tuple):
                assert written == as_written(value), name
