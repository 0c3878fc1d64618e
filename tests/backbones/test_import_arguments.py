"""What tensors do not tell: the right numbers, or a sentence; never others' numbers in silence."""

import argparse

import numpy as np
import pytest
import torch

import released
import thalweg
from golden_files import golden, relative_error
from released import DEPTH, ROWS, SIDE, WIDTH, layout
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.import_options import ImportOptions
from thalweg.interpolant import Interpolant
from thalweg.types import Condition
from thalweg_backbones import import_weights
from thalweg_backbones.foreign.checkpoints import read_foreign
from thalweg_backbones.importers.importing import import_checkpoint

HEADS = 4
STATED = {"heads": HEADS, "path": "linear", "prediction": "velocity", "classes": ROWS - 1}

# As the training scripts keep them, shortened.
SIT = {
    "model": "SiT-XL/2", "num_classes": 10, "num_heads": HEADS, "path_type": "Linear",
    "prediction": "velocity", "loss_weight": None, "sample_eps": None, "train_eps": None,
}  # fmt: skip
REPA = {
    "model": "SiT-XL/2", "num_classes": 10, "num_heads": HEADS, "path_type": "linear", "prediction": "v",
    "qk_norm": False, "fused_attn": True, "cfg_prob": 0.1, "enc_type": "dinov2-vit-b", "proj_coeff": 0.5,
    "encoder_depth": 2,
}  # fmt: skip
DIT = {"model": "DiT-XL/2", "num_classes": 10, "image_size": 256, "global_seed": 0, "vae": "ema"}


def asked(rows=ROWS):
    draw = torch.Generator().manual_seed(3)
    x, t = torch.randn(3, 4, SIDE, SIDE, generator=draw), torch.tensor([0.1, 0.5, 0.8])
    return x, t, torch.tensor([0, rows - 2, 3])


def velocity_of(kind, weights):
    """Velocity in our convention, by the file's own formulas."""
    x, t, labels = asked()
    if kind == "sit":
        return -released.sit(weights, x, 1 - t, labels, HEADS)[:, :4]
    if kind == "dit":
        steps, scale, share = level(t)
        noise = released.sit(weights, x / scale, steps, labels, HEADS)[:, :4]
        return (noise - x) / (1 - share)
    return released.sit(weights, x, t, labels, HEADS)


def level(t):
    """The step of DiT's diffusion that has as much noise, what x_t is divided by, and t by sample."""
    retained = (1 - torch.linspace(0.0001, 0.02, 1000, dtype=torch.float64)).cumprod(0)
    log_ratios = 0.5 * ((1 - retained) / retained).log().numpy()
    steps = np.interp((t.double() / (1 - t.double())).log().numpy(), log_ratios, np.arange(1000))
    share = t.view(-1, 1, 1, 1)
    return torch.from_numpy(steps).float(), (share**2 + (1 - share) ** 2).sqrt(), share


def given_by(network):
    x, t, labels = asked()
    return network.eval().velocity(x, t, Condition(labels))


FILES = {
    "SiT": ("sit", layout(variances=True)),
    "SiT without variances": ("sit", layout()),
    "REPA": ("repa", layout(projectors=True)),
    "REPA without projectors": ("repa", layout()),
    "DiT": ("dit", layout(variances=True)),
    "DiT without variances": ("dit", layout()),
}
ARGUMENTS = {"sit": SIT, "repa": REPA, "dit": DIT}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("source", ["dit", "sit", "repa", "deepflow", "repa-t2i"])
@pytest.mark.parametrize("options", [{}, {"heads": HEADS}, STATED], ids=["nothing", "heads", "all"])
@torch.no_grad()
def test_a_file_with_arguments_gives_its_own_numbers_or_a_sentence(name, source, options):
    kind, weights = FILES[name]
    if source != kind:
        with pytest.raises(ThalwegError):
            import_weights(source, weights, args=ARGUMENTS[kind], **options)
        return
    if kind == "dit":
        options = {"heads": HEADS, "classes": ROWS - 1} if options else {"heads": HEADS}
    network = import_weights(source, weights, args=ARGUMENTS[kind], **options)
    assert relative_error(given_by(network), velocity_of(kind, weights)) < 1e-5


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("source", ["dit", "sit", "repa", "deepflow", "repa-t2i"])
@pytest.mark.parametrize("left_out", ["heads", "path", "prediction", "classes"])
@torch.no_grad()
def test_a_bare_file_is_taken_only_if_all_is_told(name, source, left_out):
    _, weights = FILES[name]
    told = {key: value for key, value in STATED.items() if key != left_out}
    if (name, left_out) == ("REPA", "prediction") and source == "repa":
        told.pop("heads")  # projectors tell that it is REPA's, which predicts nothing else
    with pytest.raises(ThalwegError):
        import_weights(source, weights, **told)


@pytest.mark.parametrize(
    ("name", "source", "doubt"),
    [
        ("SiT", "sit", "make sure that this is no DiT"),
        ("SiT without variances", "sit", "make sure that this is SiT's"),
        ("REPA without projectors", "repa", "make sure that this is REPA's"),
        ("REPA", "repa", ""),
    ],
)
@torch.no_grad()
def test_a_bare_file_of_which_all_is_told_is_right_and_doubts_are_said(name, source, doubt, caplog):
    kind, weights = FILES[name]
    network = import_weights(source, weights, **STATED)
    assert relative_error(given_by(network), velocity_of(kind, weights)) < 1e-5
    assert doubt in caplog.text if doubt else not caplog.text


@torch.no_grad()
def test_a_bare_dit_is_told_by_its_prediction(caplog):
    weights = FILES["DiT"][1]
    told = {"heads": HEADS, "classes": ROWS - 1}
    with pytest.raises(ConfigError, match=r"give --prediction \(noise; SiT's file has the same tensors"):
        import_weights("dit", weights, **told)
    with pytest.raises(DataError, match="predicts the velocity by --prediction, and DiTs predict noise"):
        import_weights("dit", weights, **told, prediction="velocity")
    with pytest.raises(ConfigError, match="nothing that --path"):
        import_weights("dit", weights, **told, prediction="noise", path="linear")
    network = import_weights("dit", weights, **told, prediction="noise")
    assert relative_error(given_by(network), velocity_of("dit", weights)) < 1e-5
    assert "predicts the noise of a DDPM of 1000 steps" in caplog.text


@pytest.mark.parametrize("share", [0.1, 0, 0.0, None])
def test_whether_conditions_were_hidden_is_the_files_to_say(share):
    weights = FILES["REPA"][1]
    network = import_weights("repa", weights, args={**REPA, "cfg_prob": share})
    assert network.facts.condition_dropout == (share is None or share > 0)
    guided = {"type": "cfg", "scale": 2.0}
    drawn = {"labels": [1], "indices": [0], "sampler": {"type": "euler", "steps": 1}}
    if network.facts.condition_dropout:
        assert thalweg.sample(network, guidance=guided, **drawn).x.isfinite().all()
    else:
        with pytest.raises(ConfigError, match="trained with every condition shown"):
            thalweg.sample(network, guidance=guided, **drawn)


def test_projectors_and_anothers_arguments_contradict_each_other():
    _, weights = FILES["REPA"]
    with pytest.raises(DataError, match=r"args are those of SiT, not of REPA; import it as sit"):
        import_weights("repa", weights, args=SIT)
    spelt = {"path_type": "Linear", "prediction": "velocity", "num_heads": HEADS, "num_classes": 10}
    assert import_weights("repa", weights, args=spelt).branches == 1
    with pytest.raises(DataError, match=r"args are those of SiT"):
        import_weights("repa", FILES["REPA without projectors"][1], args=spelt)


def test_variances_that_were_never_trained_raise_no_doubt(caplog):
    weights = layout(variances=True)
    for part in ("weight", "bias"):
        weights[f"final_layer.linear.{part}"].unflatten(0, (4, 8))[:, 4:] = 0
    import_weights("sit", weights, **STATED)
    assert not caplog.text


@torch.no_grad()
def test_what_is_read_from_a_file_brings_its_arguments(tmp_path):
    kind, weights = FILES["SiT"]
    torch.save(
        {"ema": weights, "model": layout(seed=1), "args": argparse.Namespace(**SIT)}, tmp_path / "x.pt"
    )
    read = read_foreign(tmp_path / "x.pt")
    for args in (None, argparse.Namespace(**SIT), SIT):
        network = import_weights("sit", read, args=args)
        assert relative_error(given_by(network), velocity_of(kind, weights)) < 1e-5
    with pytest.raises(ConfigError, match="give --classes"):
        import_weights("sit", read, args={})


@pytest.mark.parametrize(
    ("source", "arguments", "path"),
    [
        ("sit", {"path_type": "GVP"}, "cosine"),
        ("sit", {"path_type": "Linear"}, "linear"),
        ("repa", {"path_type": "cosine"}, "cosine"),
    ],
)
def test_the_path_is_the_networks(source, arguments, path):
    weights, usual = FILES["REPA" if source == "repa" else "SiT"][1], ARGUMENTS[source]
    network = import_weights(source, weights, args={**usual, **arguments})
    assert network.composition["interpolant"] == path
    bare = import_weights(source, weights, **{**STATED, "path": path})
    assert bare.composition == network.composition


def test_a_turned_cosine_path_is_the_cosine_path():
    """SiT's GVP, sin(pi t / 2) x_0 + cos(pi t / 2) x_1, with time the other way."""
    clean, noise = torch.randn(2, 2, 4, 1, 1, dtype=torch.float64)
    t = torch.tensor([0.1, 0.4], dtype=torch.float64, requires_grad=True)

    def angle(time):
        return (time * torch.pi / 2).view(2, 1, 1, 1)

    x = angle(1 - t).sin() * clean + angle(1 - t).cos() * noise
    velocity = torch.pi / 2 * (angle(1 - t).cos() * clean - angle(1 - t).sin() * noise)
    path = Interpolant.named("cosine")
    assert torch.allclose(path.x_t(clean, noise, t), x)
    assert torch.allclose(path.velocity(clean, noise, t), -velocity)
    one = x[0, 0].sum()
    assert torch.allclose(torch.autograd.grad(one, t)[0][0], -velocity[0, 0].sum())


@pytest.mark.parametrize(
    ("source", "args", "options", "kind", "words"),
    [
        (
            "sit",
            {"prediction": "noise"},
            {},
            DataError,
            "predicts the noise by 'prediction' of the file's args",
        ),
        ("sit", {"prediction": "score"}, {}, DataError, "predicts the score"),
        ("sit", {"path_type": "VP"}, {}, DataError, "the path is vp by 'path_type' of the file's args"),
        ("sit", {"path_type": "EDM"}, {}, DataError, "'path_type' of the file's args is 'EDM', which is not"),
        ("sit", {"prediction": "x0"}, {}, DataError, "'prediction' of the file's args is 'x0'"),
        (
            "sit",
            {},
            {"prediction": "noise"},
            ConfigError,
            "noise by --prediction and velocity by 'prediction'",
        ),
        ("sit", {}, {"path": "cosine"}, ConfigError, "path is cosine by --path and linear by 'path_type'"),
        ("sit", {}, {"heads": 8}, ConfigError, "heads is 8 by --heads and 4 by 'num_heads'"),
        ("sit", {}, {"classes": 9}, ConfigError, "classes is 9 by --classes and 10 by 'num_classes'"),
        ("sit", {"num_heads": "4"}, {}, DataError, "'num_heads' of the file's args is '4'"),
        ("sit", {"num_classes": 11}, {}, DataError, "11 classes has no row for the null class"),
        ("sit", {"num_classes": 7}, {}, DataError, "has 11 rows and 7 classes are stated"),
        ("sit", {"qk_norm": True}, {}, DataError, "normalised .* by 'qk_norm' of the file's args"),
        (
            "sit",
            {"model": "DiT-XL/2", "prediction": None, "path_type": None},
            {},
            DataError,
            "those of DiT, not of SiT; import it as dit",
        ),
        ("repa", {"path_type": "EDM"}, {}, DataError, "'EDM'"),
        ("repa", {"qk_norm": True}, {}, DataError, "queries and keys are normalised"),
    ],
)
def test_what_cannot_be_represented_is_refused_by_name(source, args, options, kind, words):
    weights = FILES["SiT" if source == "sit" else "REPA"][1]
    with pytest.raises(kind, match=words):
        import_weights(source, weights, args={**ARGUMENTS[source], **args}, **options)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"prediction": "noise"}, DataError, "predicts the noise by --prediction"),
        ({"path": "vp"}, DataError, "the path is vp by --path"),
        ({"classes": 11}, DataError, "has no row for the null class"),
        ({"classes": 4}, DataError, "has 11 rows and 4 classes are stated; 5 are needed"),
        ({"branches_at": (2,)}, ConfigError, "nothing that --branches-at could state"),
        ({"clamp": True}, ConfigError, "nothing that --clamp could state"),
    ],
)
def test_options_that_no_network_can_follow_are_refused(options, kind, words):
    with pytest.raises(kind, match=words):
        import_weights("sit", FILES["SiT"][1], **{**STATED, **options})


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("source", ["sit", "repa"])
def test_normalised_queries_are_refused_by_name(source, bias):
    norms = {
        f"blocks.{index}.attn.{one}_norm.{part}": torch.ones(WIDTH // HEADS)
        for index in range(DEPTH)
        for one in "qk"
        for part in ("weight", "bias")[: 1 + bias]
    }
    with pytest.raises(
        DataError, match=rf"normalised with {'LayerNorm' if bias else 'a norm'} by the tensors"
    ):
        import_weights(source, layout(**norms), **STATED)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"blocks.0.mlp.fc1.weight": torch.zeros(64, WIDTH)},
            r"does not fit its architecture: .*mlp\.layers\.0",
        ),
        (
            {"t_embedder.mlp.0.weight": torch.zeros(WIDTH, 128)},
            r"time\.mlp\.layers\.0\.weight is \(32, 128\)",
        ),
        ({"final_layer.linear.weight": torch.zeros(48, WIDTH)}, "has 48 rows, and SiT has 4 or 8 channels"),
        ({"decoder_blocks.0.attn.qkv.weight": torch.zeros(2, 2)}, "not understood as SiT: decoder_blocks"),
        ({"y_pool.weight": torch.zeros(2, 2)}, "not understood as SiT: y_pool"),
    ],
    ids=["mlp", "frequencies", "channels", "legacy", "another"],
)
def test_another_architecture_is_named_by_its_tensor(changed, words):
    with pytest.raises(DataError, match=words):
        import_weights("sit", layout(**changed), **STATED)


@pytest.mark.parametrize(
    ("model", "width", "depth", "heads"),
    [("SiT-S/2", 384, 12, 6), ("SiT-B/4", 768, 12, 12), ("SiT-S/2", 384, 4, None), ("tiny", 32, 4, None)],
)
def test_heads_follow_from_the_models_name_if_it_is_of_that_size(model, width, depth, heads):
    args = {**{key: one for key, one in SIT.items() if key != "num_heads"}, "model": model}
    weights = layout(variances=True, width=width, depth=depth)
    if heads is None:
        with pytest.raises(ConfigError, match=r"needs; give --heads$"):
            import_checkpoint("sit", weights, ImportOptions(arguments=args))
        return
    imported = import_checkpoint("sit", weights, ImportOptions(arguments=args))
    assert imported.network.backbone.heads == heads
    assert imported.resolved["heads"].origin == f"the model '{model}' of the file's args"


def test_heads_of_a_released_size_are_asked_for_and_not_guessed():
    weights = layout(variances=True, width=384, depth=12)
    told = {**STATED, "heads": None}
    with pytest.raises(ConfigError, match=r"--heads .released models of width 384 and depth 12 have 6"):
        import_weights("sit", weights, **told)
    assert import_weights("sit", weights, **{**told, "heads": 12}).backbone.heads == 12


def test_every_class_of_imagenet_and_the_null_class_are_told_by_the_table():
    imported = import_checkpoint("sit", golden("sit").weights, golden("sit").stated)
    assert imported.network.facts.classes == 1000
    assert imported.resolved["classes"].origin == "the tensors"


@pytest.mark.parametrize("holder", ["denoiser.", "model.diffusion_model.", "_orig_mod.sit."])
@torch.no_grad()
def test_whatever_attribute_held_the_network_is_taken_off(holder):
    kind, weights = FILES["SiT"]
    held = {f"{holder}{name}": tensor for name, tensor in weights.items()}
    network = import_weights("sit", held, args=SIT)
    assert relative_error(given_by(network), velocity_of(kind, weights)) < 1e-5
    several = {f"student.{name}": tensor for name, tensor in weights.items()}
    for both in ({**held, **several}, {**weights, **several}):
        with pytest.raises(DataError, match=r"more than one network, with names that begin with .*student"):
            import_weights("sit", both, args=SIT)


def test_without_hidden_labels_the_last_row_may_be_a_class():
    args = {key: one for key, one in SIT.items() if key != "num_classes"}
    weights = layout(variances=True, rows=1001)
    assert import_weights("sit", weights, args=args).facts.classes == 1000
    with pytest.raises(ConfigError, match="give --classes"):
        import_weights("sit", weights, args={**args, "class_dropout_prob": 0})


@pytest.mark.parametrize("odd", [{"path": "/data/imagenet"}, {"interpolant": 3}, {"model": "DiT-XL/2"}])
def test_arguments_of_other_things_do_not_stand_in_the_way(odd):
    assert import_weights("sit", FILES["SiT"][1], args={**SIT, **odd}).facts.classes == ROWS - 1


def test_counters_among_the_tensors_are_named():
    with pytest.raises(DataError, match=r"'num_batches' is of torch.int64, .* without counters"):
        import_weights("sit", layout(variances=True, num_batches=torch.tensor(3)), args=SIT)
