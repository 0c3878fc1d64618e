"""``thalweg summary``: the costs of a recipe's network, and the names of the paper."""

import json
from pathlib import Path

import pytest

from thalweg.cli.main import main

RECIPES = Path(__file__).parents[2] / "recipes"
SMALL = str(RECIPES / "digits-deepflow-2t.toml")
# Parameters in millions with the table of positions, as the paper's table 8 cuts or rounds them.
PAPER = {
    "sit-s-2": ("SiT-S/2", None),
    "sit-b-2": ("SiT-B/2", 130),
    "sit-l-2": ("SiT-L/2", 458),
    "sit-xl-2": ("SiT-XL/2", 675),
    "deepflow-b-2-2t": ("DeepFlow-B/2-2T", 166),
    "deepflow-l-2-3t": ("DeepFlow-L/2-3T", 433),
    "deepflow-xl-2-3t": ("DeepFlow-XL/2-3T", 681),
    "deepflow-xl-2-4t": ("DeepFlow-XL/2-4T", 822),
}


def as_json(capsys, *arguments):
    assert main(["summary", *arguments, "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out)


def test_json_has_everything_a_program_asks_for(capsys):
    told = as_json(capsys, SMALL)
    assert told.keys() == {
        "name", "parameters", "fixed", "parts", "gflop_forward", "tokens", "batch_size", "state_bytes",
        "activation_bytes", "training_bytes", "precision",
    }  # fmt: skip
    assert told["name"] == "DeepFlow-2T"
    assert sum(told["parts"].values()) == told["parameters"]
    assert told["training_bytes"] == told["state_bytes"] + told["activation_bytes"]
    assert told["tokens"] == 16
    assert {"backbone.blocks", "refiner", "velocity_readout", "acceleration_readout"} <= told["parts"].keys()


def test_captions_cost_what_their_tokens_do(capsys, tmp_path):
    data = """
        [data]
        type = "shards"
        url = "nowhere"
        expected = { shape = [4, 8, 8], text = [%d, 32] }
        [backbone]
        type = "mmdit"
        width = 32
        depth = 2
        heads = 2
        patch = 4
        [objectives]
        velocity = {}
        [training]
        steps = 1
        batch_size = 2
    """
    found = []
    for length in (1, 5):
        recipe = tmp_path / f"{length}.toml"
        recipe.write_text(data % length)
        told = as_json(capsys, str(recipe))
        assert told["activation_bytes"] > 0
        found.append(told["gflop_forward"])
    # Two joint blocks, the last one reading captions only: the embedding, queries, keys and values (three
    # matrices of 32 x 32; the last one's go nowhere but are computed all the same), output and MLP (nine).
    tokens = 2 * 4 * 32 * 32 * (1 + 3 + 9 + 3)
    attention = 2 * 2 * 2 * 32 * (9**2 - 5**2)
    assert (found[1] - found[0]) * 1e9 == pytest.approx(tokens + attention, rel=1e-6)


def test_text_says_the_same(capsys):
    told = as_json(capsys, SMALL)
    assert main(["summary", SMALL]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert lines[0] == f"DeepFlow-2T: {told['parameters'] / 1e6:,.2f} M parameters"
    rows = {line.split("  ")[0]: line for line in lines}
    for part, count in told["parts"].items():
        assert rows[part].endswith(f"{count / 1e6:,.2f} M")
    assert any(
        f"{told['gflop_forward']:.2f} GFLOP" in line and f"{told['tokens']} tokens" in line for line in lines
    )
    assert any(f"batch {told['batch_size']}, {told['precision']}" in line for line in lines)


def test_overrides_change_what_is_summed_up(capsys):
    base = as_json(capsys, SMALL)
    deeper = as_json(capsys, SMALL, "backbone.depth=12")
    blocks = "backbone.blocks"
    assert deeper["parts"][blocks] == 2 * base["parts"][blocks]
    assert deeper["gflop_forward"] > 1.5 * base["gflop_forward"]
    parts = as_json(capsys, SMALL, "training.accumulate=4")
    assert parts["batch_size"] == base["batch_size"] // 4
    assert parts["activation_bytes"] < base["activation_bytes"] / 2
    assert parts["state_bytes"] == base["state_bytes"]
    assert as_json(capsys, SMALL, "training.precision=32-true")["precision"] == "32-true"


def test_every_model_that_the_paper_names_has_its_recipe():
    assert {path.stem for path in (RECIPES / "imagenet-256").glob("*.toml")} >= PAPER.keys()


@pytest.mark.parametrize("recipe", PAPER)
def test_recipes_bear_the_papers_names_and_sizes(capsys, recipe):
    name, millions = PAPER[recipe]
    told = as_json(capsys, str(RECIPES / "imagenet-256" / f"{recipe}.toml"), "training.batch_size=1")
    assert told["name"] == name
    assert told["tokens"] == 256
    if millions is not None:
        assert abs((told["parameters"] + told["fixed"]) / 1e6 - millions) < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([SMALL, "backbone.widht=3"], "backbone.widht: unknown key, did you mean 'width'?"),
        ([SMALL, "branches=5"], "branches is 5, which does not divide the backbone's depth of 6"),
        ([SMALL, "backbone.heads=7"], "the 7 heads"),
        (["nowhere.toml"], "nowhere.toml does not exist"),
    ],
)
def test_bad_input_is_refused(capsys, arguments, message):
    assert main(["summary", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert "Traceback" not in printed.err
