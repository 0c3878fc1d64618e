"""Transformers that diffusers saved: outputs as its own classes give them, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file

import thalweg
from diffusers_makers import DDIM, DIT, FLOW, TOKENS, dit, edited, pipeline, replaced, sd3
from golden_files import relative_error
from thalweg.cli.main import main
from thalweg.errors import ConfigError, DataError
from thalweg.import_options import ImportOptions
from thalweg.storage import Location
from thalweg.types import Condition, Text
from thalweg_backbones import import_weights, read_diffusers
from thalweg_backbones.foreign.diffusers_folder import read_folder
from thalweg_backbones.importers.importing import import_checkpoint


def imported(source, folder, **options):
    weights, _ = read_folder(Location(folder))
    found = import_checkpoint(source, weights, ImportOptions(**options, arguments=weights.arguments))
    return found.network.eval()


def inputs(seed=1):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 4, 8, 8, generator=draw)
    # The null class is the row past the last.
    return x, torch.tensor([0, 9, 10]), Condition(torch.tensor([0, 9, 3]), torch.tensor([False, False, True]))


def predicted_noise(network, x, steps, condition):
    """What the last read-out gives before it becomes a velocity."""
    backbone = network.backbone
    c = backbone.condition(steps, condition)
    stream = backbone.run(backbone.embed(x, condition), c, 0, backbone.depth)
    return network.velocity_readout(stream.tokens, c)


@pytest.mark.parametrize(
    "settings", [{}, {"out_channels": 4}, {"norm_eps": 0.01}, {"patch_size": 4}], ids=str
)
@pytest.mark.parametrize("steps", [(0, 1, 2), (100, 500, 999)])
def test_a_dits_noise_is_diffusers_own(tmp_path, settings, steps):
    model = dit(**settings)
    network = imported("diffusers-dit", pipeline(tmp_path / "p", model))
    x, labels, condition = inputs()
    steps = torch.tensor(steps)
    with torch.no_grad():
        theirs = model(x, steps, labels).sample[:, :4]
        ours = predicted_noise(network, x, steps.float(), condition)
    assert relative_error(ours, theirs) < 2e-6


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear"])
def test_its_velocity_is_that_of_the_same_noise_level(tmp_path, schedule):
    from diffusers import DDIMScheduler

    model, settings = dit(), {**DDIM, "beta_schedule": schedule}
    network = imported("diffusers-dit", pipeline(tmp_path / "p", model, settings))
    # As diffusers has it, but in float64: 1 - 0.9999 keeps three digits in float32.
    scheduler = DDIMScheduler.from_config(settings)
    retained = (1 - scheduler.betas.double()).cumprod(0)
    assert torch.allclose(scheduler.alphas_cumprod.double(), retained, atol=1e-6)
    x_t, labels, condition = inputs()
    for step in (0, 10, 250, 600, 900, 998):
        signal, noise = retained[step].sqrt(), (1 - retained[step]).sqrt()
        t = noise / (signal + noise)  # where t / (1 - t) is the ratio of noise to signal
        z = (x_t.double() * signal / (1 - t)).float()
        with torch.no_grad():
            predicted = model(z, torch.full((3,), step), labels).sample[:, :4].double()
            ours = network.velocity(x_t, torch.full((3,), float(t), dtype=torch.float64), condition)
        clean = (x_t - t * predicted) / (1 - t)
        # Times reach the network in float32, which moves the step by less than 1e-3 at the noisiest levels.
        assert relative_error(ours, predicted - clean) < (1e-5 if step < 900 else 5e-5)


def test_a_flow_in_diffusers_layout_keeps_its_velocity(tmp_path):
    model = dit(out_channels=4)
    network = imported("diffusers-dit", pipeline(tmp_path / "p", model, FLOW))
    x, labels, condition = inputs()
    t = torch.tensor([0.0, 0.3, 1.0])
    with torch.no_grad():
        theirs = model(x, 1000 * t, labels).sample
        assert relative_error(network.velocity(x, t, condition), theirs) < 2e-6
    alone = imported("diffusers-dit", tmp_path / "p" / "transformer", prediction="velocity", path="cosine")
    assert alone.composition["interpolant"] == "cosine"


SD3_SETTINGS = [
    {},
    {"qk_norm": "rms_norm"},
    {"qk_norm": "rms_norm", "dual_attention_layers": (0, 2)},
    {"dual_attention_layers": (1,)},
    {"sample_size": 12, "pos_embed_max_size": 7},
]


@pytest.mark.parametrize("settings", SD3_SETTINGS, ids=str)
def test_an_sd3_gives_diffusers_velocity(tmp_path, settings):
    model = sd3(**settings)
    model.save_pretrained(tmp_path)
    network = imported("diffusers-sd3", tmp_path, tokens=TOKENS)
    side = network.facts.shape[1]
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(3, 4, side, side, generator=draw)
    tokens, pooled = torch.randn(4, TOKENS, 24, generator=draw), torch.randn(4, 12, generator=draw)
    whole = torch.cat([tokens, torch.nn.functional.pad(pooled, (0, 12))[:, None]], dim=1)
    mask = torch.ones(4, TOKENS + 1, dtype=torch.bool)
    condition = Condition(
        dropped=torch.tensor([False, True, False]), text=Text(whole[:3], mask[:3], whole[3], mask[3])
    )
    shown, t = [0, 3, 2], torch.tensor([0.0, 0.4, 1.0])
    with torch.no_grad():
        theirs = model(x, tokens[shown], pooled[shown], 1000 * t).sample
        ours = network.velocity(x, t, condition)
    assert relative_error(ours, theirs) < 1e-5
    thalweg.save(tmp_path / "ours", network)
    with torch.no_grad():
        assert torch.equal(thalweg.load(tmp_path / "ours").velocity(x, t, condition), ours)


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("size", ["30KB", "10GB"])
def test_shards_and_variants_are_read(tmp_path, size, variant):
    model = dit()
    folder = pipeline(tmp_path / "p", model, max_shard_size=size, variant=variant)
    weights, digest = read_folder(Location(folder))
    assert weights.place == (variant or "")
    assert len(digest) == 64
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], one) for name, one in model.state_dict().items())


def test_the_files_of_former_years_are_read(tmp_path):
    model = dit()
    model.save_pretrained(tmp_path, safe_serialization=False)
    assert (tmp_path / "diffusion_pytorch_model.bin").is_file()
    weights = read_diffusers(tmp_path)
    assert all(torch.equal(weights[name], one) for name, one in model.state_dict().items())
    network = import_weights("diffusers-dit", weights, prediction="velocity", path="linear")
    assert network.facts.classes == 10


def test_the_variant_without_a_name_is_preferred(tmp_path):
    dit().save_pretrained(tmp_path)
    dit().half().save_pretrained(tmp_path, variant="fp16")
    assert {one.dtype for one in read_folder(Location(tmp_path))[0].values()} == {torch.float32}
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    network = imported("diffusers-dit", tmp_path, prediction="velocity", path="linear")
    assert network.velocity_readout.projection.weight.dtype == torch.float32
    dit().save_pretrained(tmp_path, variant="ema")
    with pytest.raises(DataError, match="variants ema, fp16 and none without a name"):
        read_folder(Location(tmp_path))


def test_the_command_says_loudly_what_it_made_of_noise(tmp_path, capsys):
    pipeline(tmp_path / "p", dit())
    assert main(["import", "diffusers-dit", str(tmp_path / "p"), str(tmp_path / "ours")]) == 0
    printed = capsys.readouterr()
    assert "predicts the noise of a DDPM of 1000 steps, no velocity" in printed.err
    assert (
        "noise_schedule: linear betas from 0.0001 to 0.02 in 1000 steps (scheduler_config.json)"
        in printed.out
    )
    described = json.loads((tmp_path / "ours" / "model.json").read_text())
    assert described["composition"]["backbone"]["betas"] == [0.0001, 0.02]
    loaded = thalweg.load(tmp_path / "ours")
    drawn = thalweg.sample(
        loaded, indices=[0, 1], labels=[0, 9], sampler={"type": "heun", "steps": 5}, guidance="cfg"
    )
    assert drawn.x.isfinite().all()


@pytest.mark.parametrize(
    ("scheduler", "options", "error", "words"),
    [
        (None, {}, ConfigError, r"give --prediction \(noise"),
        (None, {"prediction": "noise"}, ConfigError, "needs the schedule that it was trained on"),
        (
            DDIM,
            {"prediction": "velocity"},
            ConfigError,
            "prediction is velocity by --prediction and noise by sched",
        ),
        (DDIM, {"path": "linear"}, ConfigError, "nothing that --path could state"),
        (
            DDIM,
            {"heads": 2},
            ConfigError,
            "heads is 2 by --heads and 4 by 'num_attention_heads' of config.json",
        ),
        (DDIM, {"tokens": 5}, ConfigError, "nothing that --tokens could state"),
        ({**DDIM, "prediction_type": "v_prediction"}, {}, DataError, "prediction_type = 'v_prediction'"),
        (
            {**DDIM, "beta_schedule": "squaredcos_cap_v2"},
            {},
            DataError,
            "beta_schedule = 'squaredcos_cap_v2'",
        ),
        ({**DDIM, "rescale_betas_zero_snr": True}, {}, DataError, "states rescale_betas_zero_snr"),
        ({**DDIM, "beta_end": 1.5}, {}, DataError, "betas from 0.0001 to 1.5 in 1000 steps"),
    ],
)
def test_what_the_scheduler_cannot_mean_is_said(tmp_path, scheduler, options, error, words):
    folder = pipeline(tmp_path / "p", dit(), scheduler or DDIM)
    with pytest.raises(error, match=words):
        imported("diffusers-dit", folder if scheduler else folder / "transformer", **options)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"_class_name": "PixArtTransformer2DModel"},
            "that of a PixArtTransformer2DModel, not of diffusers' DiT",
        ),
        ({"activation_fn": "geglu"}, "activation_fn = 'geglu', for which backbone dit has no counterpart"),
        ({"attention_bias": False}, "attention_bias = False"),
        ({"norm_elementwise_affine": True}, "norm_elementwise_affine = True"),
        ({"num_layers": 2}, "the tensors have 3 where config.json states another num_layers"),
        ({"num_embeds_ada_norm": 11}, "states 11 classes, and the table has 11 rows"),
        ({"attention_head_dim": 4}, "states 4 heads of 4, and the tensors are of width 32"),
        ({"sample_size": 9}, "sample_size = 9, which patches of 2 do not divide"),
        ({"sample_size": "8"}, "sample_size = '8', which is no positive integer"),
        ({"novelty": 1}, "states novelty, which is not understood"),
        ({"out_channels": 5}, "states out_channels = 5"),
    ],
)
def test_settings_without_a_counterpart_are_named(tmp_path, settings, words):
    folder = pipeline(tmp_path / "p", dit())
    edited(folder / "transformer", **settings)
    with pytest.raises(DataError, match=words):
        imported("diffusers-dit", folder)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"qk_norm": "layer_norm"}, "qk_norm = 'layer_norm', for which backbone mmdit has no counterpart"),
        ({"dual_attention_layers": [7]}, r"dual_attention_layers = \[7\], and the tensors are of 3 blocks"),
        ({"dual_attention_layers": [0]}, "norm1.linear|attn2"),
        ({"out_channels": 8}, "out_channels = 8 and in_channels = 4"),
        ({"pos_embed_max_size": 5}, "pos_embed_max_size = 5"),
        ({"sample_size": 16}, "for images of 8 patches a side"),
        ({"caption_projection_dim": 16}, "another caption_projection_dim"),
    ],
)
def test_settings_of_sd3_without_a_counterpart_are_named(tmp_path, settings, words):
    sd3().save_pretrained(tmp_path)
    edited(tmp_path, **settings)
    with pytest.raises(DataError, match=words):
        imported("diffusers-sd3", tmp_path, tokens=TOKENS)


def test_the_tokens_of_a_caption_must_be_stated(tmp_path):
    sd3().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"give --tokens \(333 where"):
        imported("diffusers-sd3", tmp_path)


def test_embeddings_that_differ_between_blocks_are_refused(tmp_path):
    folder = pipeline(tmp_path / "p", dit())
    tensors = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    name = "transformer_blocks.2.norm1.emb.class_embedder.embedding_table.weight"
    replaced(folder / "transformer", {**tensors, name: tensors[name] + 1})
    with pytest.raises(DataError, match=r"table\.weight' differs from that of block 0"):
        imported("diffusers-dit", folder)


def damage(folder, kind):
    model = folder / "transformer"
    weights = model / "diffusion_pytorch_model.safetensors"
    index = model / "diffusion_pytorch_model.safetensors.index.json"
    if kind == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif kind == "gone":
        weights.unlink()
    elif kind == "unset":
        (model / "config.json").unlink()
    elif kind == "no json":
        (model / "config.json").write_text("{")
    elif kind == "empty":
        (model / "config.json").unlink()
        weights.unlink()
        model.rmdir()
    else:
        listed = {"a": "b.safetensors"} if kind == "astray" else []
        index.write_text(json.dumps({"weight_map": listed}))
        weights.unlink()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated", "no whole safetensors file"),
        ("gone", "has no diffusion_pytorch_model.safetensors"),
        ("unset", "has no config.json"),
        ("no json", "config.json is no valid JSON"),
        ("empty", "has no folder 'transformer'"),
        ("astray", "has no file 'b.safetensors'"),
        ("listless", "lists no tensors"),
    ],
)
def test_a_damaged_folder_is_one_sentence_and_leaves_nothing(tmp_path, capsys, kind, words):
    folder = pipeline(tmp_path / "p", dit())
    damage(folder, kind)
    assert main(["import", "diffusers-dit", str(folder), str(tmp_path / "out" / "ours")]) == 4
    printed = capsys.readouterr()
    assert words in printed.err
    assert "Traceback" not in printed.err
    assert [one.name for one in tmp_path.iterdir()] == ["p"]


def test_diffusers_is_not_needed_to_import(tmp_path):
    import subprocess
    import sys

    pipeline(tmp_path / "p", dit(**{**DIT, "num_layers": 1}))
    program = (
        "import sys; sys.modules['diffusers'] = None; from thalweg.cli.main import main; "
        f"sys.exit(main(['import', 'diffusers-dit', {str(tmp_path / 'p')!r}, {str(tmp_path / 'ours')!r}]))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 0
