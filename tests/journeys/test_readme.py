"""What README shows runs as it stands there."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aqqua_science.habitat import Recipe
from aqqua_science.images import ingest, open_store
from aqqua_science.sources import ecotaxa
from aqqua_science.synthetic import images, sample_ocean, virtual_ocean

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
    cell = blocks_of("python")[3]
    names = {"samples": samples.drop(columns=["time", "depth"])}
    exec(cell.replace("n_members=100, n_trees=200", "n_members=3, n_trees=20"), names)
    assert names["scores"]["scheme"].tolist() == ["random", "blocks"]
    row = names["budget"].iloc[0]
    assert (row["region"], row["units"]) == ("global", "PgC")
    assert row["low"] < row["median"] < row["high"]


def test_the_store_cell_runs(tmp_path, monkeypatch):
    """On an export of pictures drawn as a UVP6 takes them."""
    monkeypatch.chdir(tmp_path)
    drawn = ingest(images(30, rng=0, instruments=["UVP6"]), "drawn")
    ecotaxa.write(drawn.table.assign(depth=300.0), drawn, "export_4242.zip")
    names = {}
    exec(blocks_of("python")[0], names)
    store = names["store"]
    assert len(store) == 30
    where = pd.Series(store.table.index, store.table["object_id"])
    for row, facts in drawn.table.iterrows():
        assert store.table["taxon"][where[facts["object_id"]]] == facts["taxon"]
        assert np.array_equal(store[where[facts["object_id"]]], drawn[row])
    assert len(open_store("deep.aqqua")) == len(names["deep"]) > 0
    assert ecotaxa.validate("for_validation.zip").empty


@pytest.mark.slow
def test_the_encoder_cell_runs(tmp_path, monkeypatch):
    """On drawn pictures; only the number of steps and the size of a batch are lowered."""
    monkeypatch.chdir(tmp_path)
    cell = blocks_of("python")[1].replace("steps=2_000", "steps=2, tokens_per_batch=640")
    names = {"store": ingest(images(30, rng=0, instruments=["UVP6"]), "drawn")}
    exec(cell, names)
    assert names["numbers"].shape == (30, 192)
    assert Path("nano.onnx").stat().st_size < 8e6


def test_the_organisms_cell_runs(tmp_path, monkeypatch):
    """On drawn pictures of eight samples."""
    monkeypatch.chdir(tmp_path)
    drawn = ingest(images(160, rng=0, instruments=["UVP6"]), "plankton.aqqua").table
    pd.DataFrame({"sample_id": drawn["sample_id"].unique(), "volume_m3": 0.5}).to_csv("volumes.csv", index=False)
    names = {}
    exec(blocks_of("python")[2], names)
    assert len(names["objects"]) == 160
    known = names["objects"].dropna(subset="carbon_ug")
    assert len(known) > 80
    assert (known["carbon_ug_low"] < known["carbon_ug_high"]).all()
    assert names["counts"]["count"].sum() == pytest.approx(160)
    assert len(names["flux"]) == len(names["samples"]) > 2
    assert names["flux"]["flux_mg_m2_d"].max() > 0


def test_the_recipe_is_a_recipe():
    (text,) = blocks_of("toml")
    assert Recipe(**tomllib.loads(text)).observations.where == {"split": "train"}


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8")))
def test_every_link_leads_somewhere(link):
    assert (README.parent / link).exists()
