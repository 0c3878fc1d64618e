"""The positions of averaged and of half-precision files: outputs are those of the file's own table."""

import attrs
import pytest
import torch

import released
import thalweg
from golden_files import golden, relative_error
from thalweg.errors import DataError
from thalweg.loading import load
from thalweg.saved_network import save
from thalweg.types import Condition, Text
from thalweg_backbones.importers.importing import import_checkpoint
from thalweg_backbones.layers import positions

FORWARD = 1e-5
LAYOUTS = {"sit": "sit", "repa": "repa_sit", "deepflow": "deepflow_3t_align", "repa-t2i": "repa_mmdit"}
EVERY = pytest.mark.parametrize("source", LAYOUTS)


def answers(source, network, file, weights):
    """What the network gives, and what the source's formulas give with the file's tensors."""
    x, heads = file.tensors["forward.x"], file.config["num_heads"]
    if source == "deepflow":
        times, labels = file.stacked("forward.t"), file.tensors["forward.y"]
        ours = torch.stack(network(x, times, file.condition("forward.y")).velocities)
        return ours, released.deepflow(weights, x, times, labels, heads, clamp=5.0)
    t = file.tensors["forward.t"]
    if source == "repa-t2i":
        context = file.tensors["forward.context"]
        seen = torch.ones(context.shape[:2], dtype=torch.bool)
        text = Text(context, seen, torch.zeros_like(context[0]), seen[0])
        # The reference has fewer tokens than CLIP's 77.
        network.facts = attrs.evolve(network.facts, text=tuple(context.shape[1:]))
        return network.velocity(x, t, Condition(text=text)), released.mmdit(weights, x, t, context, heads)
    theirs = released.sit(weights, x, t, file.tensors["forward.y"], heads)
    condition = file.condition("forward.y")
    if source == "sit":
        return -network.velocity(x, 1 - t, condition), theirs[:, : x.shape[1]]
    return network.velocity(x, t, condition), theirs


def expected_of(source, file):
    if source == "deepflow":
        return file.stacked("forward.velocity")
    return file.tensors["forward.velocity"]


@EVERY
@torch.no_grad()
def test_the_formulas_written_out_give_the_reference_outputs(source):
    file = golden(LAYOUTS[source])
    imported = import_checkpoint(source, file.weights, file.stated)
    ours, theirs = answers(source, imported.network.eval(), file, file.weights)
    assert relative_error(theirs, expected_of(source, file)) < FORWARD
    assert relative_error(ours, theirs) < FORWARD
    assert imported.resolved["positions"].value == "the fixed table"
    assert not imported.network.composition["backbone"]["stored_positions"]


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("averaged", [True, False], ids=["averaged", "as it was"])
@torch.no_grad()
def test_a_table_that_drifted_or_was_rounded_is_used_as_it_is(source, dtype, averaged, tmp_path):
    file = golden(LAYOUTS[source])
    weights = dict(file.weights)
    if averaged:
        weights["pos_embed"] = released.drifted(weights["pos_embed"])
        assert (weights["pos_embed"] - file.weights["pos_embed"]).abs().max() > 1e-4
    weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
    imported = import_checkpoint(source, weights, file.stated)
    ours, theirs = answers(source, imported.network.eval(), file, weights)
    assert relative_error(ours, theirs) < FORWARD
    own = averaged or dtype != torch.float32
    assert imported.resolved["positions"].value == ("the file's own" if own else "the fixed table")
    network = imported.network
    save(tmp_path / "model", network)
    again, _ = answers(source, load(tmp_path / "model"), file, weights)
    assert torch.equal(again, ours)


@torch.no_grad()
def test_the_fixed_table_would_have_been_seen():
    """What it is worth: with our table in place of the file's, outputs are farther off than allowed."""
    file = golden("sit")
    weights = {**file.weights, "pos_embed": file.weights["pos_embed"].bfloat16()}
    imported = import_checkpoint("sit", weights, file.stated)
    network = imported.network.eval()
    fixed = positions(network.backbone.grid, network.backbone.width)
    network.backbone.patches.positions.copy_(fixed)
    ours, theirs = answers("sit", network, file, weights)
    assert relative_error(ours, theirs) > 10 * FORWARD


def swapped(table):
    side = round(table.shape[1] ** 0.5)
    return table.unflatten(1, (side, side)).transpose(1, 2).flatten(1, 2)


@EVERY
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (swapped, "not the fixed 2-D sin-cos table"),
        (lambda table: torch.randn(table.shape, generator=torch.Generator().manual_seed(0)), "correlation"),
        (lambda table: table + 0.1 * torch.randn(table.shape), "correlation"),
        (torch.zeros_like, "correlation"),
        (lambda table: -table, "correlation"),
        (lambda table: 2 * table, "scale 2.000"),
        (lambda table: table[:, :-1], "no table of a square image"),
        (lambda table: table[..., :-4], "no table of a square image"),
        (lambda table: positions((1, table.shape[1]), table.shape[2]), "correlation"),
        (lambda table: torch.cat([table, table]), "no table of a square image"),
        (lambda table: table[0], "no table of a square image"),
        (lambda table: table[:, :0], "no table of a square image"),
    ],
    ids=[
        "swapped",
        "random",
        "noisy",
        "zero",
        "negative",
        "twice",
        "short",
        "narrow",
        "one row",
        "two",
        "flat",
        "empty",
    ],
)
def test_another_table_is_refused_by_name(source, changed, words):
    file = golden(LAYOUTS[source])
    weights = {**file.weights, "pos_embed": changed(file.weights["pos_embed"])}
    with pytest.raises(DataError, match=rf"pos_embed.*{words}"):
        import_checkpoint(source, weights, file.stated)


@pytest.mark.parametrize("backbone", ["dit", "mmdit"])
def test_a_stored_table_is_saved_and_neither_trained_nor_counted(backbone):
    text = (5, 16) if backbone == "mmdit" else None
    options = {"type": backbone, "width": 32, "depth": 2, "heads": 4}
    made = [
        thalweg.compose(
            backbone={**options, "stored_positions": stored}, facts=thalweg.Facts(shape=(4, 8, 8), text=text)
        )
        for stored in (False, True)
    ]
    computed, stored = (one.state_dict().keys() for one in made)
    assert stored - computed == {"backbone.patches.positions"}
    assert [name for name, _ in made[0].named_parameters()] == [
        name for name, _ in made[1].named_parameters()
    ]
    assert attrs.astuple(made[0].facts) == attrs.astuple(made[1].facts)
