import csv
import io
import json

import pytest
import torch

import thalweg
from thalweg.composition import composition_of
from thalweg.config import load_config
from thalweg.facts import Facts
from thalweg.summary import summarise

IMAGENET = Facts(shape=(4, 32, 32), classes=1000)

# The paper's table 8. It rounds the L rows and cuts the others off, so a count must agree within 1 M.
TABLE_8 = """backbone,depth,branches,millions
B,12,1,130
L,24,1,458
XL,28,1,675
B,10,2,144
B,12,2,166
L,20,2,431
L,22,2,469
L,24,2,507
XL,22,2,588
XL,24,2,636
XL,26,2,683
XL,28,2,731
L,18,3,433
L,21,3,490
L,24,3,547
XL,18,3,538
XL,21,3,609
XL,24,3,681
XL,27,3,753
XL,28,4,822
"""


@pytest.mark.parametrize("row", list(csv.DictReader(io.StringIO(TABLE_8))), ids=lambda row: str(row.values()))
def test_sizes_of_table_8(row):
    branches = int(row["branches"])
    network = thalweg.compose(
        backbone={"type": "dit", "size": row["backbone"], "patch": 2, "depth": int(row["depth"])},
        refiner={"type": "vera"} if branches > 1 else None,
        branches=branches,
        facts=IMAGENET,
        device="meta",
    )
    # The public implementations count the fixed table of positions in.
    positions = network.backbone.patches.positions.numel()
    millions = (sum(p.numel() for p in network.parameters()) + positions) / 1e6
    printed = int(row["millions"])
    rounds = row["backbone"] == "L"
    assert (round(millions) if rounds else int(millions)) == printed


def test_the_seed_decides_the_weights_and_nothing_else_is_touched():
    def weights(seed):
        network = thalweg.compose(
            backbone={"type": "dit", "width": 8, "heads": 2, "depth": 1}, facts=IMAGENET, seed=seed
        )
        return network.backbone.patches.projection.weight

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = weights(0), weights(0), weights(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.rand(3), expected)


def test_names_mappings_and_configs_compose_the_same():
    from thalweg_backbones.dit import DiTConfig

    counts = {
        sum(p.numel() for p in thalweg.compose(backbone=backbone, facts=IMAGENET, device="meta").parameters())
        for backbone in ("dit", {"type": "dit", "size": "B"}, DiTConfig())
    }
    assert len(counts) == 1


def test_a_composition_composes_again():
    network = thalweg.compose(
        backbone={"type": "dit", "size": "S", "patch": 4},
        refiner="vera",
        branches=3,
        facts=IMAGENET,
        device="meta",
    )
    stored = json.loads(json.dumps(network.composition))
    again = thalweg.compose(**stored, facts=IMAGENET, device="meta")
    assert again.state_dict().keys() == network.state_dict().keys()


def test_composed_from_toml_with_overrides(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'branches = 2\nrefiner = "vera"\ndata = "digits"\n[backbone]\nwidth = 16\nheads = 2\ndepth = 6\n'
        'type = "dit"\n[objectives]\nvelocity = {}\n[training]\nsteps = 1\nbatch_size = 1\n'
    )
    config = load_config(recipe, ["branches=3", "backbone.patch=4", "refiner.channels=[8]"])
    network = thalweg.compose(**composition_of(config), facts=config.data.facts)
    assert network.branches == 3
    assert network.backbone.grid == (2, 2)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"backbone": {"type": "dit", "widht": 3}}, "backbone.widht: unknown key, did you mean 'width'"),
        ({"backbone": "ditt"}, "did you mean 'dit'"),
        ({"branches": 5, "refiner": "vera"}, "does not divide the backbone's depth of 12"),
        ({"branches": 0}, "at least 1"),
        ({"branches": True}, "an integer"),
        ({"backbone": {"type": "dit", "patch": 8}, "facts": Facts(shape=(4, 36, 32))}, "does not divide"),
    ],
)
def test_bad_compositions_are_named(wrong, words):
    with pytest.raises(thalweg.ThalwegError, match=words):
        thalweg.compose(**{"backbone": "dit", "facts": IMAGENET, "device": "meta", **wrong})


def test_summary_counts_attention_and_every_parameter():
    backbone = {"type": "dit", "width": 32, "heads": 4, "depth": 2}
    summary = summarise({"backbone": backbone}, Facts(shape=(4, 16, 16), classes=10), batch_size=3)
    tokens, width = 64, 32
    blocks = 2 * (12 * width**2 * tokens + 2 * tokens**2 * width + 6 * width**2)
    rest = (16 * width + 16 * width) * tokens + 2 * width**2 + 256 * width + width**2
    assert summary.gflop_forward == pytest.approx(2 * (blocks + rest) / 1e9)
    assert sum(summary.parts.values()) == summary.parameters
    assert summary.state_bytes == 20 * summary.parameters
    assert summary.tokens == tokens


def test_summary_memory_grows_with_the_batch_and_with_precision():
    def activations(batch_size, precision):
        backbone = {"type": "dit", "width": 32, "heads": 4, "depth": 2}
        facts = Facts(shape=(4, 16, 16), classes=10)
        return summarise({"backbone": backbone}, facts, batch_size, precision).activation_bytes

    one, four = activations(1, "32-true"), activations(4, "32-true")
    assert 3.5 * one < four < 4.1 * one
    assert activations(4, "bf16-mixed") < four
