"""Checkpoints in LightningDiT's layout give, in our convention, what its formulas give."""

import pytest
import torch

import released
import thalweg
from golden_files import relative_error
from released import HEADS, ROWS, lightning_layout
from thalweg.cli.main import main
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Normalisation
from thalweg.import_options import ImportOptions
from thalweg.types import Condition
from thalweg_backbones import import_weights, read_foreign
from thalweg_backbones.importers.importing import import_checkpoint

STATED = {"path": "linear", "prediction": "velocity", "classes": ROWS - 1}
CONFIG = {
    "model": {"model_type": "LightningDiT-B/1", "use_qknorm": True, "use_rope": True},
    "transport": {"path_type": "Linear", "prediction": "velocity", "train_eps": None},
    "data": {"num_classes": ROWS - 1, "image_size": 64},
}


def asked():
    draw = torch.Generator().manual_seed(3)
    x, t = torch.randn(3, 6, 4, 4, generator=draw), torch.tensor([0.1, 0.5, 0.8])
    return x, t, torch.tensor([0, ROWS - 2, 3])


def theirs(weights):
    """v(x, t) = -v_LightningDiT(x, 1 - t), whose time 1 is data."""
    x, t, labels = asked()
    return -released.lightningdit(weights, x, 1 - t, labels, HEADS)


def ours(network):
    x, t, labels = asked()
    return network.eval().velocity(x, t, Condition(labels))


@pytest.mark.parametrize(
    "options", [{}, {"qk_norm": False}, {"shifts": False}, {"depth": 3, "side": 6, "channels": 6}], ids=str
)
@torch.no_grad()
def test_its_formulas_written_out_give_the_same_velocity(options):
    weights = lightning_layout(**options)
    imported = import_checkpoint("lightningdit", weights, ImportOptions(**STATED))
    x, t, labels = asked()
    if "side" in options:
        x = torch.randn(3, 6, 6, 6, generator=torch.Generator().manual_seed(1))
    expected = -released.lightningdit(weights, x, 1 - t, labels, HEADS)
    found = imported.network.eval().velocity(x, t, Condition(labels))
    assert expected.std() > 0.5
    assert relative_error(found, expected) < 1e-5
    assert imported.network.facts.shape == tuple(x.shape[1:])
    assert imported.network.composition["backbone"]["qk_norm"] == options.get("qk_norm", True)
    assert imported.resolved["heads"].value == HEADS
    assert imported.resolved["heads"].origin == "the tensors"


@torch.no_grad()
def test_the_null_class_is_the_last_row():
    weights = lightning_layout()
    network = import_weights("lightningdit", weights, **STATED).eval()
    x, t, _ = asked()
    null = torch.full((3,), ROWS - 1)
    expected = -released.lightningdit(weights, x, 1 - t, null, HEADS)
    assert relative_error(network.velocity(x, t, Condition()), expected) < 1e-5


@torch.no_grad()
def test_a_training_checkpoint_in_half_precision_is_read_with_its_configuration(tmp_path):
    weights = {name: tensor.half() for name, tensor in lightning_layout().items()}
    other = {name: tensor.half() for name, tensor in lightning_layout(seed=1).items()}
    state = {
        "model": {f"module.{name}": tensor for name, tensor in other.items()},
        "ema": {f"module.{name}": tensor for name, tensor in weights.items()},
        "opt": {},
        "config": CONFIG,
    }
    torch.save(state, tmp_path / "0080000.pt")
    found = read_foreign(tmp_path / "0080000.pt")
    assert found.place == "ema"
    network = import_weights("lightningdit", found)
    assert relative_error(ours(network), theirs(weights)) < 1e-5
    assert network.interpolant.name == "linear"
    assert network.facts.classes == ROWS - 1


def test_the_command_records_the_statistics_of_the_latents(tmp_path):
    torch.save({"ema": lightning_layout(), "config": CONFIG}, tmp_path / "file.pt")
    mean, std = torch.arange(6.0).view(1, 6, 1, 1), torch.full((1, 6, 1, 1), 2.0)
    torch.save({"mean": mean, "std": std}, tmp_path / "latents_stats.pt")
    file, out, statistics = (str(tmp_path / name) for name in ("file.pt", "out", "latents_stats.pt"))
    assert main(["import", "lightningdit", file, out, "--latent-statistics", statistics]) == 0
    facts = thalweg.load(out).facts
    assert facts.normalisation == Normalisation(tuple(map(float, range(6))), (2.0,) * 6)


@torch.no_grad()
def test_a_file_without_the_table_of_angles_needs_the_heads_stated():
    weights = {name: one for name, one in lightning_layout().items() if not name.startswith("feat_rope")}
    with pytest.raises(ConfigError, match="--heads"):
        import_weights("lightningdit", weights, **STATED)
    network = import_weights("lightningdit", weights, heads=HEADS, **STATED)
    assert relative_error(ours(network), theirs(weights)) < 1e-5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"blocks.0.norm1.bias": torch.zeros(32)}, r"'blocks\.0\.norm1' of the checkpoint is a LayerNorm"),
        ({"blocks.1.attn.q_norm.bias": torch.zeros(8)}, "is a LayerNorm"),
        ({"blocks.0.mlp.fc1.weight": torch.zeros(128, 32)}, r"an MLP \(mlp\.fc1\) in place of a SwiGLU"),
        ({"blocks.0.mlp.w3.weight": torch.zeros(32, 64)}, "SwiGLU is 64 wide, and 85"),
        ({"feat_rope.freqs_cos": torch.zeros(16, 8)}, "feat_rope.freqs_cos is not that of 2-D rotary"),
        ({"feat_rope.freqs_sin": lightning_layout()["feat_rope.freqs_sin"].flip(1)}, "freqs_sin is not that"),
    ],
)
def test_what_another_architecture_has_is_named(changes, words):
    with pytest.raises(DataError, match=words):
        import_weights("lightningdit", lightning_layout() | changes, **STATED)


def test_heads_that_contradict_the_table_of_angles_are_refused():
    with pytest.raises(ConfigError, match="heads is 2 by --heads and 4 by the tensors"):
        import_weights("lightningdit", lightning_layout(), heads=2, **STATED)


def test_a_dit_is_not_read():
    with pytest.raises(DataError, match="in place of a SwiGLU"):
        import_weights("lightningdit", released.layout(patch=2), heads=4, **STATED)
