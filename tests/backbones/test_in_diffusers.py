"""Networks of ours inside diffusers: the same samples, and internal guidance of its own models."""

import json
import math
import types

import pytest
import torch

import diffusers_makers
import thalweg
from diffusers_makers import DDIM, TOKENS
from exported_networks import BRANCHED, FACTS, made
from golden_files import relative_error
from text_makers import ENCODERS, every_encoder
from thalweg.added_heads import add_heads
from thalweg.errors import ConfigError, DataError
from thalweg.guidance import composed
from thalweg.import_options import ImportOptions
from thalweg.network_field import NetworkField
from thalweg.storage import Location
from thalweg.types import Condition, Text
from thalweg_backbones import export_network
from thalweg_backbones.foreign.diffusers_folder import read_folder
from thalweg_backbones.importers.importing import import_checkpoint
from thalweg_samplers import Internal

INDICES = [0, 3, 5]


def opened(folder, **options):
    """The pipeline, with diffusers' copies of its code beside it and not in the user's cache."""
    from diffusers import DiffusionPipeline

    found = DiffusionPipeline.from_pretrained(
        str(folder), custom_pipeline=str(folder), trust_remote_code=True, low_cpu_mem_usage=False, **options
    )
    found.set_progress_bar_config(disable=True)
    return found


@pytest.fixture(autouse=True)
def _modules_here(tmp_path, monkeypatch):
    from diffusers.utils import dynamic_modules_utils

    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))


@pytest.mark.parametrize(
    "network", [{}, BRANCHED, {"interpolant": "cosine"}, {"backbone": {"betas": (1e-4, 0.02)}}], ids=str
)
@pytest.mark.parametrize("guidance", [None, 1.8])
def test_class_conditional_samples_are_ours(tmp_path, network, guidance):
    network = made(**network)
    export_network(network, tmp_path / "pipe", "diffusers-pipeline")
    pipe = opened(tmp_path / "pipe")
    labels = [1, 9, 4]
    found = pipe(
        labels,
        latents=pipe.noise_of(7, INDICES),
        num_inference_steps=6,
        guidance_scale=guidance,
        output_type="latent",
    ).images
    expected = thalweg.sample(
        network,
        indices=INDICES,
        labels=labels,
        seed=7,
        sampler={"type": "euler", "steps": 6},
        guidance="none" if guidance is None else {"type": "cfg", "scale": guidance},
        precision="32-true",
    ).x
    assert relative_error(found, expected) < 1e-5


def test_guidance_and_samplers_of_ours_are_taken_there_too(tmp_path):
    network = made(heads=[2])
    network.sampling = {"guidance": [{"type": "internal", "scale": 1.4}], "sampler": "heun"}
    export_network(network, tmp_path / "pipe", "diffusers-pipeline")
    pipe = opened(tmp_path / "pipe")
    common = {"indices": INDICES, "labels": [1, 9, 4], "seed": 2, "precision": "32-true"}
    for guidance in (None, "none", ["internal", {"type": "cfg", "scale": 1.5}]):
        noise = pipe.noise_of(2, INDICES)
        steps = {"type": "heun", "steps": 4}
        found = pipe([1, 9, 4], latents=noise, guidance=guidance, sampler=steps, output_type="latent").images
        expected = thalweg.sample(network, **common, guidance=guidance, sampler=steps).x
        assert relative_error(found, expected) < 1e-6
    pipe.save_pretrained(tmp_path / "again")
    assert thalweg.load(tmp_path / "again" / "network").sampling == network.sampling


def test_captions_come_encoded_or_as_a_prompt(tmp_path):
    every_encoder(tmp_path)
    encoder = thalweg.build(
        "text_encoder", {**ENCODERS["clip"], "type": "clip", "weights": str(tmp_path / "clip")}
    )
    shape = (encoder.length, encoder.width)
    facts = thalweg.Facts(shape=(3, 8, 8), text=shape)
    backbone = {"type": "mmdit", "width": 32, "heads": 4, "depth": 2, "patch": 2}
    network = made(backbone, facts=facts)
    export_network(network, tmp_path / "pipe", "diffusers-pipeline")
    pipe = opened(tmp_path / "pipe")
    noise = pipe.noise_of(0, [0, 1])
    words = ["a red square", "a blue circle"]
    with pytest.raises(ConfigError, match="a prompt needs the encoder that captions were encoded by"):
        pipe(prompt=words, latents=noise)
    pipe.text_encoder = encoder
    from thalweg.generation.captions import Prompts

    text = Prompts(words, encoder, "here").read([0, 1])
    expected = thalweg.sample(
        network, indices=[0, 1], text=text, seed=0, sampler={"type": "euler", "steps": 3}, guidance="cfg",
        precision="32-true",
    ).x  # fmt: skip
    options = {"latents": noise, "num_inference_steps": 3, "guidance": "cfg"}
    for given in ({"prompt": words}, {"captions": text}):
        assert relative_error(pipe(**given, **options, output_type="latent").images, expected) < 1e-5
    pictures = pipe(prompt=words, **options).images
    assert [one.size for one in pictures] == [(8, 8), (8, 8)]
    numbers = pipe(prompt=words, **options, output_type="np").images
    assert numbers.shape == (2, 8, 8, 3)
    assert (
        float(
            abs(numbers * 127.5 * 2 - ((expected.clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).numpy()).max()
        )
        <= 1
    )


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"class_labels": [1, 2], "num_images": 3}, ConfigError, "2 by class_labels and 3 by num_images"),
        ({"class_labels": [10]}, DataError, "label 10 lies outside 0..9"),
        ({"class_labels": [1], "output_type": "jpeg"}, ConfigError, "output_type is 'jpeg'"),
        (
            {"class_labels": [1]},
            ConfigError,
            r"samples of shape \(4, 8, 8\) are no images; set pipe.autoencoder",
        ),
        ({"class_labels": [1], "guidance": "cfg", "guidance_scale": 2}, ConfigError, "were both given"),
        ({"class_labels": [1], "latents": torch.zeros(1, 3, 8, 8)}, ConfigError, r"\(1, 4, 8, 8\) is needed"),
        (
            {"class_labels": [1], "sampler": "eulr"},
            ConfigError,
            "unknown sampler 'eulr', did you mean 'euler'",
        ),
    ],
)
def test_bad_calls_are_one_sentence(tmp_path, given, error, words):
    export_network(made(), tmp_path / "pipe", "diffusers-pipeline")
    with pytest.raises(error, match=words):
        opened(tmp_path / "pipe")(num_inference_steps=1, **given)


def test_another_scheduler_of_diffusers_may_step(tmp_path):
    from diffusers import FlowMatchHeunDiscreteScheduler

    export_network(made(), tmp_path / "pipe", "diffusers-pipeline")
    pipe = opened(tmp_path / "pipe")
    pipe.scheduler = FlowMatchHeunDiscreteScheduler(num_train_timesteps=1000, shift=1.0)
    noise = pipe.noise_of(0, [0])
    found = pipe([3], latents=noise, num_inference_steps=200, output_type="latent").images
    exact = thalweg.sample(
        made(), indices=[0], labels=[3], seed=0, sampler="dopri5", precision="32-true", guidance="none"
    ).x
    # Its last time is 1 / 1000, from which it steps to the data at once.
    assert relative_error(found, exact) < 2e-3


def test_another_dtype_is_refused(tmp_path):
    export_network(made(), tmp_path / "pipe", "diffusers-pipeline")
    with pytest.raises(ConfigError, match=r"run in float32, not in torch\.float16; leave the dtype out"):
        opened(tmp_path / "pipe", dtype=torch.float16)


def test_images_of_one_seed_are_the_same(tmp_path):
    export_network(made(), tmp_path / "pipe", "diffusers-pipeline")
    pipe = opened(tmp_path / "pipe")
    one, other = (
        pipe(
            [3], generator=torch.Generator().manual_seed(1), num_inference_steps=2, output_type="latent"
        ).images
        for _ in range(2)
    )
    assert torch.equal(one, other)


def test_the_code_of_a_folder_is_not_run_without_trust(tmp_path):
    from diffusers import DiffusionPipeline

    export_network(made(), tmp_path / "pipe", "diffusers-pipeline")
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        DiffusionPipeline.from_pretrained(str(tmp_path / "pipe"), custom_pipeline=str(tmp_path / "pipe"))


def imported(name, folder, **options):
    weights, _ = read_folder(Location(folder))
    return import_checkpoint(
        name, weights, ImportOptions(**options, arguments=weights.arguments)
    ).network.eval()


def with_head(network, folder, after=2):
    """The network with a head, of random weights, saved."""
    add_heads(network, [after])
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in network.velocity_heads.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draw) * 0.1)
    thalweg.save(folder, network)
    return network


def guided(network, scale, cfg, x, t, condition):
    """What our own guidance gives."""
    from thalweg.types import Query
    from thalweg_samplers import ClassifierFree

    guidances = [Internal(scale=scale), *([ClassifierFree(scale=cfg)] if cfg != 1 else [])]
    field = composed(NetworkField(network, torch.device("cpu"), mixed=False), guidances)
    with torch.no_grad():
        return field(Query(x, t, condition))


@pytest.mark.parametrize("cfg", [1.0, 2.5])
@pytest.mark.parametrize("scale", [1.4, [[0.0, 1.0], [1.0, 2.0]]])
def test_a_guider_leads_an_sd3_as_our_guidance_does(tmp_path, scale, cfg):
    from diffusers.modular_pipelines.modular_pipeline import BlockState
    from diffusers.modular_pipelines.stable_diffusion_3.denoise import StableDiffusion3LoopDenoiser

    from thalweg_backbones.in_diffusers.guider import InternalGuidance

    model = diffusers_makers.sd3(qk_norm="rms_norm")
    model.save_pretrained(tmp_path / "sd3")
    network = with_head(imported("diffusers-sd3", tmp_path / "sd3", tokens=TOKENS), tmp_path / "net")
    guider = InternalGuidance(str(tmp_path / "net"), scale=scale, guidance_scale=cfg)
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(2, 4, 8, 8, generator=draw)
    tokens, pooled = torch.randn(3, TOKENS, 24, generator=draw), torch.randn(3, 12, generator=draw)
    t = torch.tensor(0.6)
    shown, empty = [0, 1], [2, 2]
    state = BlockState(
        latents=x,
        prompt_embeds=tokens[shown],
        pooled_prompt_embeds=pooled[shown],
        negative_prompt_embeds=tokens[empty],
        negative_pooled_prompt_embeds=pooled[empty],
        num_inference_steps=4,
        joint_attention_kwargs=None,
    )
    asked = []
    model.register_forward_hook(lambda *_: asked.append(1))
    parts = types.SimpleNamespace(guider=guider, transformer=model)
    found = StableDiffusion3LoopDenoiser()(parts, state, 1, 1000 * t)[1].noise_pred
    assert len(asked) == (1 if cfg == 1 else 2)
    whole = torch.cat([tokens, torch.nn.functional.pad(pooled, (0, 12))[:, None]], dim=1)
    mask = torch.ones(3, TOKENS + 1, dtype=torch.bool)
    condition = Condition(text=Text(whole[shown], mask[shown], whole[2], mask[2]))
    curve = scale if isinstance(scale, float) else tuple(map(tuple, scale))
    expected = guided(network, curve, cfg, x, torch.full((2,), 0.6, dtype=torch.float64), condition)
    assert relative_error(found, expected) < 1e-5
    assert not model._forward_pre_hooks
    assert not model.transformer_blocks[1]._forward_hooks


@pytest.mark.parametrize("step", [10, 500, 900])
def test_a_guider_leads_the_noise_of_a_dit_as_our_guidance_leads_its_velocity(tmp_path, step):
    from thalweg_backbones.in_diffusers.guider import InternalGuidance

    model = diffusers_makers.dit()
    network = imported("diffusers-dit", diffusers_makers.pipeline(tmp_path / "p", model, DDIM))
    with_head(network, tmp_path / "net")
    guider = InternalGuidance(str(tmp_path / "net"), after=2, scale=1.7)
    steps = torch.full((2,), step)
    t = float(
        network.backbone.noise.time_of(torch.tensor([float(step)], dtype=torch.float64), network.interpolant)
    )
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    z = x / math.hypot(1 - t, t)
    guider.set_state(step=0, num_inference_steps=1, timestep=steps)
    [batch] = guider.prepare_inputs({"hidden_states": z})
    guider.prepare_models(model)
    with torch.no_grad():
        batch.noise_pred = model(batch.hidden_states, steps, torch.tensor([3, 9])).sample
    guider.cleanup_models(model)
    with torch.no_grad():
        found = guider([batch]).pred
    # Learned variances are behind the channels and stay.
    assert torch.equal(found[:, 4:], batch.noise_pred[:, 4:])
    velocity = (found[:, :4] - x) / (1 - t)
    times = torch.full((2,), t, dtype=torch.float64)
    expected = guided(network, 1.7, 1.0, x, times, Condition(torch.tensor([3, 9])))
    assert relative_error(velocity, expected) < (1e-5 if step < 900 else 1e-4)


def test_a_guider_that_guides_nothing_changes_nothing(tmp_path):
    from thalweg_backbones.in_diffusers.guider import InternalGuidance

    model = diffusers_makers.dit(out_channels=4)
    network = with_head(
        imported("diffusers-dit", diffusers_makers.pipeline(tmp_path / "p", model)), tmp_path / "net"
    )
    assert network.facts.head_depths == (2,)
    x, labels = torch.randn(1, 4, 8, 8), torch.tensor([3])
    for options in ({"scale": 1.0}, {"start": 0.5}, {"enabled": False}):
        guider = InternalGuidance(str(tmp_path / "net"), **options)
        guider.set_state(step=0, num_inference_steps=10, timestep=torch.tensor(500))
        [batch] = guider.prepare_inputs({"hidden_states": x})
        guider.prepare_models(model)
        with torch.no_grad():
            batch.noise_pred = model(x, torch.tensor([500]), labels).sample
        guider.cleanup_models(model)
        assert torch.equal(guider([batch]).pred, batch.noise_pred)
        guider.save_pretrained(tmp_path / "guider")
        again = InternalGuidance.from_pretrained(str(tmp_path / "guider"))
        assert {name: again.config[name] for name in options} == options


def test_a_head_is_fitted_to_a_dit_of_diffusers_and_guides_it(tmp_path):
    from thalweg_backbones.in_diffusers.guider import InternalGuidance
    from tiny_runs import recipe

    model = diffusers_makers.dit(in_channels=1, out_channels=2)
    network = imported("diffusers-dit", diffusers_makers.pipeline(tmp_path / "p", model))
    thalweg.fit_heads(
        network,
        tmp_path / "run",
        after=[2],
        data=recipe(tmp_path),
        settings=["training.steps=4", "training.batch_size=16", "training.precision=32-true"],
        accelerator="cpu",
        quiet=True,
    )
    fitted = thalweg.load(tmp_path / "run")
    before = network.state_dict()
    assert all(torch.equal(one, before[name]) for name, one in fitted.state_dict().items() if name in before)
    assert float(fitted.velocity_heads["2"].projection.weight.detach().abs().max()) > 0
    guider = InternalGuidance(str(tmp_path / "run"), scale="calibrated", strength=2.0)
    x, steps = torch.randn(1, 1, 8, 8), torch.tensor([500])
    guider.set_state(step=0, num_inference_steps=1, timestep=steps)
    [batch] = guider.prepare_inputs({"hidden_states": x})
    guider.prepare_models(model)
    with torch.no_grad():
        batch.noise_pred = model(x, steps, torch.tensor([3])).sample
    guider.cleanup_models(model)
    with torch.no_grad():
        found = guider([batch]).pred
    assert found.isfinite().all()
    assert not torch.equal(found, batch.noise_pred)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"after": 1}, "the network has no head after 1 blocks: it has heads after 2"),
        ({"scale": "calibrated"}, "this network's heads were not measured"),
        ({"scale": "much"}, "scale is 'much'; give a number"),
        ({"scale": [[1.0, 2.0], [0.0, 1.0]]}, "they must ascend"),
    ],
)
def test_a_guider_that_cannot_be_made_says_why(tmp_path, options, words):
    from thalweg_backbones.in_diffusers.guider import InternalGuidance

    thalweg.save(tmp_path / "net", made(heads=[2], facts=FACTS))
    with pytest.raises(ConfigError, match=words):
        InternalGuidance(str(tmp_path / "net"), **options)


def test_other_models_are_refused(tmp_path):
    from thalweg_backbones.in_diffusers.guider import InternalGuidance

    thalweg.save(tmp_path / "net", made(heads=[3]))
    guider = InternalGuidance(str(tmp_path / "net"))
    with pytest.raises(
        ConfigError, match="knows SD3Transformer2DModel and DiTTransformer2DModel, not Linear"
    ):
        guider.prepare_models(torch.nn.Linear(1, 1))
    with pytest.raises(
        ConfigError, match="the head stands after 3 blocks, and the DiTTransformer2DModel has 3"
    ):
        guider.prepare_models(diffusers_makers.dit())


def test_the_folder_names_its_parts(tmp_path):
    export_network(made(), tmp_path / "pipe", "diffusers-pipeline")
    index = json.loads((tmp_path / "pipe" / "model_index.json").read_text())
    assert index["_class_name"] == ["pipeline", "ThalwegPipeline"]
    assert sorted(one.name for one in (tmp_path / "pipe").iterdir()) == [
        "model_index.json",
        "network",
        "pipeline.py",
        "scheduler",
    ]
    thalweg.load(tmp_path / "pipe" / "network")
