"""What README shows runs as it stands there."""

import re
import tomllib
from pathlib import Path

import pytest

from aqqua_science.habitat import Recipe
from aqqua_science.synthetic import sample_ocean, virtual_ocean

README = Path(__file__).parents[2] / "README.md"


def blocks_of(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_notebook_cell_runs(tmp_path, monkeypatch):
    """On a virtual ocean in the files that the cell names; only the number of members is lowered."""
    ocean = virtual_ocean(step=10.0, rng=0)
    for folder, names in {"woa23": ["temperature", "nitrate"], "occci": ["chlorophyll"]}.items():
        (tmp_path / folder).mkdir()
        ocean[names].to_netcdf(tmp_path / folder / "grid.nc")
    samples = sample_ocean(ocean, n_samples=200, rng=0).rename(columns={"biomass_mg_m3": "carbon_mg_m3"})
    monkeypatch.chdir(tmp_path)
    (cell,) = blocks_of("python")
    names = {"samples": samples.drop(columns=["time", "depth"])}
    exec(cell.replace("n_members=100, n_trees=200", "n_members=3, n_trees=20"), names)
    assert names["scores"]["scheme"].tolist() == ["random", "blocks"]
    row = names["budget"].iloc[0]
    assert (row["region"], row["units"]) == ("global", "PgC")
    assert row["low"] < row["median"] < row["high"]


def test_the_recipe_is_a_recipe():
    (text,) = blocks_of("toml")
    assert Recipe(**tomllib.loads(text)).observations.where == {"split": "train"}


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8")))
def test_every_link_leads_somewhere(link):
    assert (README.parent / link).exists()
