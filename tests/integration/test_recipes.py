"""Every recipe is valid, composes, and is what its name says."""

import json
from pathlib import Path

import pytest

import thalweg
from thalweg.cli.main import main
from thalweg.composition import composition_of
from thalweg.config import load_config
from thalweg.quickstart.twins import Settings, twins

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(FOLDER.rglob("*.toml"))

# Millions of parameters: table 8 of DeepFlow, which cuts off but for its L rows, and SiT, which rounds its S.
PAPER = {
    "SiT-S/2": 33,
    "SiT-B/2": 130,
    "SiT-L/2": 458,
    "SiT-XL/2": 675,
    "DeepFlow-B/2-2T": 166,
    "DeepFlow-L/2-3T": 433,
    "DeepFlow-XL/2-3T": 681,
    "DeepFlow-XL/2-4T": 822,
}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_recipe_composes(path):
    config = load_config(path)
    network = thalweg.compose(**composition_of(config), facts=config.data.facts, device="meta")
    assert ("acceleration" in config.objectives) == (network.acceleration_readout is not None)
    for objective in config.objectives.values():
        objective.build(network.facts)


def test_recipes_of_the_paper_have_its_names():
    names = {load_config(path).name for path in (FOLDER / "imagenet-256").glob("*.toml")}
    assert names == set(PAPER)


@pytest.mark.parametrize("path", sorted((FOLDER / "imagenet-256").glob("*.toml")), ids=lambda path: path.stem)
def test_sizes_are_those_of_the_paper(path, capsys):
    # A small batch: the memory estimate is no concern here and takes its time.
    assert main(["summary", str(path), "training.batch_size=1", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    # The public implementations count the fixed table of positions in.
    millions = (summary["parameters"] + summary["fixed"]) / 1e6
    rounds = summary["name"].startswith(("SiT-S/", "SiT-L/", "DeepFlow-L/"))
    assert (round(millions) if rounds else int(millions)) == PAPER[summary["name"]]


def test_digits_recipes_are_the_runs_of_the_quick_start():
    recipes = [load_config(path) for path in FOLDER.glob("digits-*.toml")]
    assert {config.name: config for config in recipes} == twins(Settings())
