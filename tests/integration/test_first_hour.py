"""A new user's way from published weights to diffusers: an environment of its own, commands, loopback."""

import json
import tomllib

import numpy as np
import pytest
from PIL import Image

from built_packages import Environment, build_all, others
from diffusers_makers import FLOW, dit
from weights_makers import entry, plugin_file, publishing

EDGE, CLASSES = 8, 3

RECIPE = """
name = "pictures"
branches = 1

[data]
type = "images"
size = {edge}
validation = 0.25

[data.source]
type = "folder"
url = "{folder}"

[backbone]
type = "dit"
width = 32
depth = 3
heads = 4
patch = 2

[objectives]
velocity = {{}}

[training]
batch_size = 16
precision = "32-true"
compile = "off"
"""

# What diffusers makes of both exports, beside what `thalweg sample` made of the network.
OPENED = """
import sys
from pathlib import Path

import torch
import tomllib
from diffusers import DiffusionPipeline, DiTTransformer2DModel, FlowMatchEulerDiscreteScheduler
from safetensors.torch import load_file

folder = Path(sys.argv[1])
plain, guided = (load_file(folder / name / "samples.safetensors") for name in ("plain", "guided"))
labels = plain["labels"]
tuned = tomllib.loads((folder / "best.toml").read_text())["sampling"]["guidance"]
pipe = DiffusionPipeline.from_pretrained(
    str(folder / "pipe"),
    custom_pipeline=str(folder / "pipe"),
    trust_remote_code=True,
    low_cpu_mem_usage=False,
)
noise = pipe.noise_of(5, range(len(labels)))
found = pipe(
    labels, latents=noise, num_inference_steps=4, guidance=tuned, output_type="latent"
).images
print((found - guided["x"]).abs().max().item() / guided["x"].abs().max().item())

model = DiTTransformer2DModel.from_pretrained(str(folder / "dit")).eval()
steps = FlowMatchEulerDiscreteScheduler.from_pretrained(str(folder / "dit"))
steps.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25])
x = noise
with torch.no_grad():
    for t in steps.timesteps:
        x = steps.step(model(x, t.expand(len(x)), labels).sample, t, x, return_dict=False)[0]
print((x - plain["x"]).abs().max().item() / plain["x"].abs().max().item())
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("environment")
    build_all(folder / "dist")
    made = Environment(folder / "venv", others(folder / "site"))
    made.install("--find-links", str(folder / "dist"), "thalweg-core[all]")
    return made


def pictures(folder):
    """Images of noise in a folder for each class."""
    draws = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / f"class-{label}").mkdir(parents=True)
        for index in range(16):
            pixels = draws.integers(0, 256, (EDGE, EDGE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class-{label}" / f"{index}.png")
    return folder


def published(folder):
    """The files of a flow in diffusers' layout, as its authors would offer them."""
    settings = {"in_channels": 3, "out_channels": 3, "sample_size": EDGE, "num_embeds_ada_norm": CLASSES}
    dit(**settings).save_pretrained(folder)
    (folder / "scheduler_config.json").write_text(json.dumps(FLOW))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_published_weights_gain_a_head_and_guidance_and_go_on_to_diffusers(
    environment, tmp_path, monkeypatch
):
    for name in ("HOME", "XDG_CACHE_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    recipe, folder = tmp_path / "pictures.toml", pictures(tmp_path / "pictures")
    recipe.write_text(RECIPE.format(edge=EDGE, folder=folder))

    def thalweg(*words):
        return environment.run("thalweg", *map(str, words))

    with publishing() as publisher:
        zoo = plugin_file(tmp_path, {"our-dit": entry(publisher, "our-dit", published(tmp_path / "theirs"))})
        thalweg("-p", zoo, "weights", "get", "our-dit")
    network, run, best = tmp_path / "network", tmp_path / "run", tmp_path / "best.toml"
    thalweg("-p", zoo, "import", "diffusers-dit", "weights:our-dit", network)
    quick = ("training.steps=4", "--device", "cpu", "--quiet")
    thalweg("fit-head", network, "--data-of", recipe, "--after", 2, "--run-dir", run, *quick)
    few = ("count=12", "sampling.sampler=euler", "sampling.sampler.steps=2")
    thalweg(
        "tune", "guidance", run, "--scales", "0.6,0.8", "--out", tmp_path / "tuning", "--write", best, *few,
        "features.small_classifier.extractor.steps=2",
    )  # fmt: skip
    # Of random weights the heads are best averaged.
    guidance = tomllib.loads(best.read_text())["sampling"]["guidance"]
    assert guidance["scale"] < 1
    told = ", ".join(f"{name}={json.dumps(one)}" for name, one in guidance.items())
    drawn = ("count=6", "seed=5", "sampler=euler", "sampler.steps=4", "--precision", "32-true")
    thalweg("sample", run, tmp_path / "plain", "guidance=none", *drawn)
    thalweg("sample", run, tmp_path / "guided", f"guidance={{{told}}}", *drawn)
    thalweg("export", run, tmp_path / "pipe", "--to", "diffusers-pipeline")
    thalweg("export", run, tmp_path / "dit", "--to", "diffusers-dit")
    guided, plain = map(float, environment.run("python", "-c", OPENED, str(tmp_path)).split())
    assert guided < 1e-4
    assert plain < 1e-4
