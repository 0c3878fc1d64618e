"""The sizes of the differences to the published code that ``docs/reproduction.md`` states."""

import math
from pathlib import Path

import attrs
import pytest
import torch
from torch import nn

import thalweg
from samplers.gaussian import LINEAR, Gaussian, no_increments
from thalweg.data.pixels import to_images
from thalweg.interpolant import Interpolant
from thalweg.objectives.alignment import AlignmentConfig
from thalweg.training.objectives import StepNetwork
from thalweg.types import Batch, Condition, Plan, Step
from thalweg_authoring.networks import captions
from thalweg_samplers.heun import HeunConfig

PAGE = (Path(__file__).parents[2] / "docs" / "reproduction.md").read_text()


def test_the_initial_scale_of_mmdit():
    """REPA leaves MMDiT's layers as torch makes them: weights and biases uniform within inputs^-1/2."""
    facts = thalweg.Facts(shape=(4, 8, 8), text=(4, 768))
    ours, theirs = (
        thalweg.compose(backbone={"type": "mmdit", "depth": 2}, facts=facts, seed=seed) for seed in (0, 1)
    )
    torch.manual_seed(0)
    for module in theirs.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    named, published = dict(ours.named_parameters()), dict(theirs.named_parameters())
    block = "backbone.blocks.0.image"
    stated = {
        f"{block}.projections.qkv": 1.22,
        f"{block}.out": 1.73,
        f"{block}.mlp.layers.0": 1.10,
        f"{block}.mlp.layers.1": 2.19,
        "backbone.context": 1.73,
        "backbone.patches.projection": 0.35,
        "backbone.time.mlp.layers.0": 0.55,
        "backbone.time.mlp.layers.1": 0.96,
        f"{block}.modulation": 0.0,
        "velocity_readout.projection": 0.0,
    }
    for name, ratio in stated.items():
        weight, bias = named[f"{name}.weight"].detach(), named[f"{name}.bias"].detach()
        found = float(weight.std() / published[f"{name}.weight"].detach().std())
        assert found == pytest.approx(ratio, abs=0.02), name
        assert ratio == 0 or f"{ratio:.2f}" in PAGE
        assert not bias.any()
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(4, 4, 8, 8, generator=draws)
    said = captions(4, text=(4, 768))
    t = torch.tensor([0.1, 0.4, 0.6, 0.9])
    with torch.no_grad():
        first, other = (network.velocity(x, t, Condition(text=said)) for network in (ours, theirs))
    assert not first.any()
    assert float(other.square().mean().sqrt()) == pytest.approx(0.6, abs=0.05)


def test_bytes_rounded_down_are_half_a_level_darker():
    levels = torch.rand(1, 3, 400, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    nearest, down = (to_images(2 * levels - 1, how).double() for how in ("nearest", "down"))
    assert float((nearest - down).mean()) == pytest.approx(0.5, abs=0.005)
    assert float((nearest != down).double().mean()) == pytest.approx(0.5, abs=0.005)
    # A constant shift of every feature by s moves a Frechet distance by |s|^2 alone: the spread is the same.
    assert float(nearest.std() / down.std()) == pytest.approx(1, abs=1e-3)


def test_the_cosine_target_of_the_published_code_is_that_of_the_linear_path():
    """noise - clean on the cosine path misses its derivative by 43.5 % of it, for data of unit variance."""
    draws = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 200_000, 1, 1, 1, generator=draws, dtype=torch.float64)
    t = torch.rand(200_000, generator=draws, dtype=torch.float64)
    path = Interpolant.named("cosine")
    target = path.velocity(clean, noise, t)
    missed = (noise - clean) - target
    relative = float((missed.square().mean() / target.square().mean()).sqrt())
    quarter = math.pi**2 / 4
    assert relative == pytest.approx(math.sqrt((quarter - 2) / quarter), abs=0.005)
    assert relative == pytest.approx(0.435, abs=0.005)
    # Ours is the derivative of the path.
    step = 1e-5
    slope = (path.x_t(clean, noise, t + step) - path.x_t(clean, noise, t - step)) / (2 * step)
    torch.testing.assert_close(slope, target, rtol=1e-6, atol=1e-6)


def test_the_diffusion_of_sit_differs_on_the_cosine_path_alone():
    """w = 2 sigma there, 2 t here: the same on the linear path, up to pi / 2 times ours on the cosine one."""
    t = torch.linspace(0.001, 1, 1000, dtype=torch.float64)
    for name, largest in (("linear", 1.0), ("cosine", math.pi / 2)):
        ratio = Interpolant.named(name).schedule.sigma(t) / t
        assert float(ratio.max()) == pytest.approx(largest, rel=1e-5)
        assert float(ratio[-1]) == pytest.approx(1.0)


@attrs.frozen
class Waves:
    """A teacher that sees the same in every image, and its own config."""

    name: str
    shift: int
    patch_identity: tuple[()] = ()
    width: int = 3
    offers = frozenset({"patches"})

    def build(self, facts):
        return self

    def patch_tokens(self, images, grid):
        tokens = torch.arange(grid[0] * grid[1] * 3, dtype=torch.float32).view(1, -1, 3)
        return (tokens + self.shift).sin().expand(len(images), -1, -1)


def test_two_teachers_at_half_the_weight_are_the_mean_over_teachers():
    """REPA takes the mean over its teachers under one weight; here each has its own."""
    facts = thalweg.Facts(shape=(1, 4, 4), classes=2)
    network = thalweg.compose(backbone={"type": "dit", "width": 8, "depth": 2, "heads": 2}, facts=facts)
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    batch = Batch(x, Condition(torch.tensor([0, 1])), images=torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
    plan = Plan(x, x, torch.full((1, 2), 0.5), x, x, Interpolant.named("linear"))
    prediction = network(x, plan.times, batch.condition, hidden=(1,))

    def loss(*weights):
        total = 0.0
        for number, weight in enumerate(weights):
            torch.manual_seed(number)
            config = AlignmentConfig(Waves(f"t{number}", number), after=(1,), weight=weight, channels=(4,))
            one = config.build(network.facts)
            total += one.weight * float(
                one(Step(plan, prediction, batch, StepNetwork(network), StepNetwork(network).frozen))
                .total.detach()
                .mean()
            )
        return total

    assert loss(1.0, 0.0) != pytest.approx(loss(0.0, 1.0))
    mean = (loss(1.0, 0.0) + loss(0.0, 1.0)) / 2
    assert loss(0.25, 0.25) == pytest.approx(0.5 * mean)
    assert loss(0.5, 0.5) == pytest.approx(2 * 0.5 * mean)


def test_what_the_last_step_of_heun_costs():
    """Against a trapezoidal last step, on data N(2, 0.5^2), 50 steps."""
    data = Gaussian(LINEAR, 2.0, 0.5)
    x_1 = torch.randn(1000, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = HeunConfig(steps=50).build(thalweg.Facts(shape=(1, 1, 1)))(
        data.velocity, x_1, no_increments, LINEAR
    )
    x, h = x_1, 1 / 50
    for step in range(50):
        now = torch.full((1000,), 1 - step * h, dtype=torch.float64)
        slope = data.velocity(x, now)
        x = x - h / 2 * (slope + data.velocity(x - h * slope, (now - h).clamp_min(0)))
    assert float((ours - x).square().mean().sqrt()) == pytest.approx(4e-4, rel=0.15)
