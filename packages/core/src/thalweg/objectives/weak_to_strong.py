"""Weak to strong: the last head is led away from an intermediate one while it learns."""

from typing import Any

import attrs
import torch
from attrs.validators import and_, ge, le, optional

from thalweg.broadcasting import sample_mean
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.objectives.places import weak_heads_of
from thalweg.types import ObjectiveValue, Step

_STRONGEST = 0.7


@attrs.frozen
class WeakToStrongConfig:
    """Squared error of the last head to a target beyond the data's, away from an intermediate head.

    |v_f - (V + w sg(v_f - v_b))|^2 + beta |v_b - V|^2 (SGG, arXiv 2603.20584), with sg for stop-gradient and
    norms that are means over elements. It stands in place of the objective ``velocity``. Its fixed point
    v_f = v_b + (V - v_b) / (1 - w) is guidance of scale 1 / (1 - w) away from v_b, baked in: samples take one
    evaluation a step, and further guidance adds to it. Further intermediate heads learn V as v_b does.

    Attributes:
        weight: coefficient in the training loss.
        strength: w.
        beta: coefficient of every intermediate head's own error.
        ramp: share of the run over which w rises from 0, linearly; 0 for none.
        after: depth of the weak head v_b; ``none`` takes the first one.
    """

    weight: float = attrs.field(default=1.0, validator=ge(0))
    strength: float = attrs.field(default=0.3, validator=ge(0))
    beta: float = attrs.field(default=0.2, validator=ge(0))
    ramp: float = attrs.field(default=0.1, validator=and_(ge(0), le(1)))
    after: int | None = attrs.field(default=None, validator=optional(ge(1)))

    @strength.validator
    def _leads_to_an_end(self, _: "attrs.Attribute[Any]", strength: float) -> None:
        if strength >= 1:
            raise ConfigError(
                f"must be below {_STRONGEST}, got {strength}: guidance of scale 1 / (1 - strength) is baked "
                "in, and from 1 on training has no end to reach; such as 0.3"
            )
        if strength >= _STRONGEST:
            raise ConfigError(
                f"must be below {_STRONGEST}, got {strength}, which bakes in guidance of scale "
                f"1 / (1 - strength) = {_scale(strength):.1f}, too much; such as 0.3, a scale of "
                f"{_scale(0.3):.2f}"
            )

    def build(self, facts: Facts) -> "WeakToStrong":
        """Build it.

        Raises:
            ConfigError: if the network has no intermediate head, or none after that depth.
        """
        weak, *_ = weak_heads_of(self.after, facts, "objectives.weak_to_strong")
        return WeakToStrong(self, weak)


class WeakToStrong:
    """See :class:`WeakToStrongConfig`. Fulfils :class:`thalweg.protocols.Objective`.

    Attributes:
        after: depth of the weak head.
        of_length: whether w depends on the length of the run.
    """

    def __init__(self, config: WeakToStrongConfig, after: int) -> None:
        self.weight, self.after = config.weight, after
        self._strength, self._beta, self._ramp = config.strength, config.beta, config.ramp
        self.of_length = config.ramp > 0

    def strength(self, number: int, total: int) -> float:
        """w at a step, counted from 0, of so many."""
        rising = self._ramp * total
        return self._strength * (min(1.0, number / rising) if rising else 1.0)

    def __call__(self, step: Step) -> ObjectiveValue:
        """The loss of each sample; parts are the errors of both heads, and the scale that is baked in."""
        target, w = step.plan.velocity, self.strength(step.number, step.total)
        strong, weak = step.prediction.velocities[-1].float(), step.prediction.heads[self.after].float()
        led_N = sample_mean((strong - target - w * (strong - weak).detach()).square())
        own = {
            depth: sample_mean((velocity.float() - target).square())
            for depth, velocity in step.prediction.heads.items()
        }
        total_N = led_N + self._beta * torch.stack(list(own.values())).sum(dim=0)
        parts = {
            "strong": led_N.detach().mean(),
            "weak": own[self.after].detach().mean(),
            "scale": led_N.new_tensor(_scale(w)),
        }
        return ObjectiveValue(total_N, parts)


def _scale(w: float) -> float:
    return 1 / (1 - w)
