"""A sample is the same, bit for bit, whatever it is drawn with."""

import pytest
import torch

from samplers.gaussian import LINEAR, Gaussian, noise
from thalweg.facts import Facts
from thalweg.guidance import ConditionedField
from thalweg.types import Condition
from thalweg_samplers.classifier_free import ClassifierFreeConfig
from thalweg_samplers.dopri5 import Dopri5Config
from thalweg_samplers.euler import EulerConfig
from thalweg_samplers.euler_maruyama import EulerMaruyamaConfig
from thalweg_samplers.heun import HeunConfig
from thalweg_samplers.multistep import MultistepConfig
from thalweg_samplers.stochastic_heun import StochasticHeunConfig
from thalweg_samplers.unipc import UniPCConfig

# 3 x 5 x 7 elements: a multiple of no vector width.
SHAPE = (3, 5, 7)
FACTS = Facts(shape=SHAPE, classes=3)
COUNT = 7
X_1 = noise(COUNT, SHAPE)
WIENER = torch.stack([noise(COUNT, SHAPE, seed=step) for step in range(1, 12)])
LABELS = torch.tensor([0, 2, 1, 1, 0, 2, 2])
DATA = [Gaussian(LINEAR, mu, s) for mu, s in [(0.7, 0.4), (-0.5, 0.1), (0.0, 1.5), (0.1, 1.0)]]


def network(query):
    x, t, condition, _ = query
    kinds = torch.where(condition.hidden(), 3, condition.labels).view(-1, 1, 1, 1)
    return sum((kinds == kind) * data.velocity(x, t) for kind, data in enumerate(DATA))


def draw(config, guidance, rows):
    def increments(step):
        return WIENER[step][rows]

    field = ConditionedField(guidance.build(FACTS)(network), Condition(LABELS[rows]))
    return config.build(FACTS)(field, X_1[rows], increments, LINEAR)


@pytest.mark.parametrize(
    "guidance",
    [ClassifierFreeConfig(scale=1.0), ClassifierFreeConfig(scale=1.8, interval=(0.1, 0.7))],
    ids=["plain", "guided"],
)
@pytest.mark.parametrize(
    "config",
    [
        EulerConfig(steps=11),
        HeunConfig(steps=11),
        EulerMaruyamaConfig(steps=12),
        Dopri5Config(),
        MultistepConfig(steps=11),
        UniPCConfig(steps=11, predictor_order=3),
        StochasticHeunConfig(steps=12),
    ],
    ids=["euler", "heun", "euler_maruyama", "dopri5", "multistep", "unipc", "stochastic_heun"],
)
def test_a_sample_does_not_depend_on_its_batch_or_its_place(config, guidance):
    whole = draw(config, guidance, torch.arange(COUNT))
    assert whole.dtype == torch.float64
    assert torch.isfinite(whole).all()
    for rows in ([0], [3], [6], [5, 1], [6, 5, 4, 3, 2, 1, 0], [2, 2, 4]):
        assert torch.equal(draw(config, guidance, torch.tensor(rows)), whole[rows])


@pytest.mark.parametrize("config", [EulerConfig(), HeunConfig(), EulerMaruyamaConfig(), Dopri5Config()])
def test_times_are_float64_on_the_cpu_and_the_state_is_float64(config):
    seen = []

    def field(x, t):
        seen.append((x.dtype, t.dtype, t.device.type, t.shape))
        return -x

    config.build(FACTS)(field, X_1.float(), lambda step: X_1.float(), LINEAR)
    assert {row[:3] for row in seen} == {(torch.float64, torch.float64, "cpu")}
