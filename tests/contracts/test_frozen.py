"""What others rely on, frozen: names of tensors, resolved recipes, the list of components.

After a change that is meant, write the files anew and read their difference:

    THALWEG_WRITE_GOLDEN=1 pytest tests/contracts/test_frozen.py
"""

import json
from pathlib import Path

import pytest

import thalweg
from contracts.catalogue import REGISTRY, WRITE
from thalweg.config import dump, load_config
from thalweg.facts import Facts

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
RECIPES = {
    "-".join(path.relative_to(ROOT / "recipes").with_suffix("").parts): path
    for path in sorted((ROOT / "recipes").rglob("*.toml"))
    if path.parent.name != "ablations"
}

FACTS = Facts(shape=(4, 8, 8), classes=10)
CAPTIONED = Facts(shape=(4, 8, 8), text=(5, 16))
DIT = {"type": "dit", "width": 32, "heads": 4, "depth": 4}
MLP = {"type": "mlp", "width": 32, "depth": 4}
VERA = {"type": "vera", "channels": [16, 24, 16]}
NETWORKS = {
    "dit": {"backbone": DIT},
    "dit-qk-norm": {"backbone": {**DIT, "qk_norm": True}},
    "dit-unconditional": {"backbone": DIT, "facts": Facts(shape=(4, 8, 8))},
    "lightningdit": {"backbone": {**DIT, "type": "lightningdit"}},
    "lightningdit-context": {
        "backbone": {**DIT, "type": "lightningdit", "conditioning": "both", "value_residual": True},
    },
    "lightningdit-wide-vera": {
        "backbone": {**DIT, "type": "lightningdit", "head_width": 48, "conditioning": "context"},
        "refiner": VERA,
        "branches": 2,
    },
    "mmdit": {"backbone": {**DIT, "type": "mmdit", "qk_norm": True, "pooled": True}, "facts": CAPTIONED},
    "plain": {"backbone": DIT, "refiner": "plain", "branches": 2},
    "gated": {"backbone": DIT, "refiner": "gated", "branches": 2},
    "film": {"backbone": DIT, "refiner": "film", "branches": 2},
    "vera-time-gap": {
        "backbone": DIT,
        "refiner": {**VERA, "acceleration": False, "cross_attention": False},
        "branches": 2,
    },
    "vera-acceleration": {"backbone": DIT, "refiner": {**VERA, "cross_attention": False}, "branches": 2},
    "vera": {"backbone": DIT, "refiner": VERA, "branches": 2},
    "vera-residual": {"backbone": DIT, "refiner": {**VERA, "residual": True}, "branches": 2},
    "mlp": {"backbone": MLP, "facts": Facts(shape=(2,), classes=2)},
    "mlp-vera": {"backbone": MLP, "refiner": VERA, "branches": 2, "facts": Facts(shape=(3, 4))},
    "heads": {"backbone": DIT, "heads": [1, 3]},
    "vera-4t": {"backbone": DIT, "refiner": VERA, "branches": 4},
}


def is_what_it_was(found, path):
    if WRITE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(path.read_text()), path.name


@pytest.mark.parametrize("name", NETWORKS)
def test_tensors_bear_the_names_and_shapes_they_did(name):
    network = thalweg.compose(**{"facts": FACTS, "device": "meta", **NETWORKS[name]})
    found = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    is_what_it_was(found, GOLDEN / "state_dict_keys" / f"{name}.json")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_resolves_to_what_it_did(name):
    is_what_it_was(dump(load_config(RECIPES[name])), GOLDEN / "configs" / f"{name}.json")


def test_the_components_are_those_they_were():
    is_what_it_was([[one.kind, one.name] for one in REGISTRY], GOLDEN / "components.json")


@pytest.mark.parametrize(("folder", "known"), [("state_dict_keys", NETWORKS), ("configs", RECIPES)])
def test_no_file_is_left_over(folder, known):
    files = {path.stem: path for path in (GOLDEN / folder).glob("*.json")}
    for name in files.keys() - known.keys() if WRITE else ():
        files.pop(name).unlink()
    assert files.keys() == known.keys()
