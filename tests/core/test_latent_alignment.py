"""Latent alignment: patches, their standard form, and the smooth L1 error."""

import attrs
import pytest
import torch
from torch import nn

import thalweg
from objective_steps import FACTS, built, composed, hidden_step, planned
from thalweg import Trainer
from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.training.components import build_components
from thalweg.training.step import Losses, has_unused
from thalweg_authoring.numbers import draws
from tiny_runs import lines, tensor_files, tiny

NETWORK = composed(depth=4)


def objective_of(network=NETWORK, **options):
    return built(network.facts, "latent_alignment", **{"channels": [8], **options})


def test_patches_come_row_by_row_and_in_standard_form():
    network = composed(facts=attrs.evolve(FACTS, shape=(2, 4, 8)))
    objective = objective_of(network)
    clean = draws(3, 2, 4, 8)
    found = objective.patches(clean)
    assert objective.patch == (2, 2)
    assert found.shape == (3, 8, 8)
    for row in range(2):
        for column in range(4):
            patch = clean[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].flatten(1)
            standard = (patch - patch.mean(1, keepdim=True)) / patch.std(1, keepdim=True, correction=0)
            torch.testing.assert_close(found[:, 4 * row + column], standard, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.mean(-1), torch.zeros(3, 8), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.var(-1, correction=0), torch.ones(3, 8), atol=1e-3, rtol=0)


def test_neither_brightness_nor_contrast_of_a_patch_counts_and_an_even_one_is_zero():
    objective = objective_of()
    clean = draws(2, 2, 8, 8)
    changed = clean.clone()
    changed[:, :, :2, :2] = 5 + 3 * clean[:, :, :2, :2]
    torch.testing.assert_close(objective.patches(changed), objective.patches(clean), atol=1e-4, rtol=1e-4)
    assert not objective.patches(torch.full((2, 2, 8, 8), 0.7)).any()


@pytest.mark.parametrize(
    ("error", "loss"), [(0.01, 0.01**2 / 0.1), (0.05, 0.025), (1.0, 0.975), (-2.0, 1.975)]
)
def test_it_is_the_smooth_l1_error_with_beta_a_twentieth(error, loss):
    objective = objective_of()
    objective.projector = nn.Identity()
    plan, batch = planned(NETWORK)
    states = objective.patches(plan.clean) + error
    value = objective(hidden_step(NETWORK, objective, plan, batch, states))
    torch.testing.assert_close(value.total, torch.full((5,), loss), rtol=1e-4, atol=1e-6)


def test_by_default_the_projector_has_five_layers():
    layers = built(NETWORK.facts, "latent_alignment").projector.layers
    widths = [(one.in_features, one.out_features) for one in layers]
    assert widths == [(16, 1024), *[(1024, 1024)] * 3, (1024, 8)]


def test_gradients_reach_the_projector_and_the_blocks_before_it():
    network = composed(depth=4)
    losses = Losses(network, {"latent_alignment": objective_of(network, after=2)})
    losses(*planned(network))["loss"].backward()
    assert all(one.grad.any() for one in losses.objectives.parameters())
    moved = [any(one.grad is not None for one in block.parameters()) for block in network.backbone.blocks]
    assert moved == [True, True, False, False]


def test_a_backbone_of_one_token_has_the_whole_image_as_its_patch():
    network = thalweg.compose(backbone={"type": "mlp", "width": 16, "depth": 2}, facts=FACTS)
    objective = objective_of(network)
    assert objective.patch == (8, 8)
    assert objective.patches(draws(2, 2, 8, 8)).shape == (2, 1, 128)


def test_data_that_are_no_images_are_refused():
    network = thalweg.compose(backbone={"type": "mlp", "width": 16, "depth": 2}, facts=Facts(shape=(2,)))
    said = r"latent_alignment is for images alone, .* have the shape \(2,\); leave the objective out"
    with pytest.raises(ConfigError, match=said):
        objective_of(network)


@pytest.mark.parametrize(
    ("shape", "grid", "said"),
    [
        ((2, 8, 8), (3, 4), "3 x 4 tokens do not cut 8 x 8 into equal ones"),
        ((1, 8, 8), (8, 8), "one channel and 1 x 1 have a single element; .* larger patches"),
    ],
)
def test_tokens_that_are_no_patches_are_refused(shape, grid, said):
    with pytest.raises(ConfigError, match=said):
        built(Facts(shape=shape, depth=4, width=16, heads=2, grid=grid), "latent_alignment")


@pytest.mark.parametrize("options", [{"channels": []}, {"channels": [0]}, {"weight": -1.0}, {"after": 0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        component("objective", {"type": "latent_alignment", **options})


TOP = {
    "branches": 1,
    "refiner": "none",
    "objectives": {"velocity": {}, "latent_alignment": {"channels": [8]}},
}


def test_a_run_trains_it_and_is_resumed_as_the_uninterrupted_one(tmp_path):
    parts = build_components(tiny(top=TOP))
    assert not has_unused(Losses(parts.network, parts.objectives), parts.planner, parts.dataset.train, 0)

    def train(steps, folder):
        Trainer(
            tiny(top=TOP, steps=steps, validate_every=0), tmp_path / folder, accelerator="cpu", quiet=True
        ).train()
        return tensor_files(tmp_path / folder), lines(tmp_path / folder)

    train(2, "cut")
    cut, whole = train(6, "cut"), train(6, "whole")
    assert cut == whole
    assert whole[1][-1]["latent_alignment"] < whole[1][0]["latent_alignment"]
