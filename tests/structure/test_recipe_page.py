"""docs/recipes.md lists every key of a recipe, and no other."""

import re
from pathlib import Path

from aqqua_science.habitat.recipe import Recipe

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"


def keys_of(part, prefix=""):
    for name, field in part.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = next((k for k in kinds if hasattr(k, "model_fields")), None)
        yield from keys_of(inner, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]


def test_every_key_is_on_the_page():
    cells = [line.split("|")[1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    listed = {key for cell in cells for key in re.findall(r"`([a-z_.]+)`", cell)}
    assert listed == set(keys_of(Recipe))
