"""The strong head is pulled away from the weak one while it learns (led_away).

|v_f - (V + w sg(v_f - v_b))|^2 + beta |v_b - V|^2, w ramped up in the first tenth of the run. Its fixed point
v_b + (V - v_b) / (1 - w) is guidance of scale 1 / (1 - w), baked in.
"""

import attrs
from attrs.validators import ge

import thalweg


def _below_the_edge(_: object, __: object, strength: float) -> None:
    if not 0 <= strength < 0.7:
        raise ValueError(
            f"'strength' must be at least 0 and below 0.7, where guidance of 3.3 is baked in: {strength}"
        )


@thalweg.register("objective", "led_away")
@attrs.frozen
class LedAwayConfig:
    """Flow matching whose target for the last head leans away from the first head.

    Attributes:
        weight: coefficient in the training loss.
        strength: w; it bakes in guidance of scale 1 / (1 - w).
        beta: coefficient of the weak head's own loss.
    """

    weight: float = attrs.field(default=1.0, validator=ge(0))
    strength: float = attrs.field(default=0.3, validator=_below_the_edge)
    beta: float = attrs.field(default=0.2, validator=ge(0))

    def build(self, facts: thalweg.Facts) -> "LedAway":
        """Build it.

        Raises:
            ConfigError: if the network has one branch.
        """
        if facts.branches == 1:
            raise thalweg.ConfigError("objectives.led_away needs a weak head; set branches above 1")
        return LedAway(self)


class LedAway:
    """See :class:`LedAwayConfig`."""

    def __init__(self, config: LedAwayConfig) -> None:
        self.config, self.weight = config, config.weight

    def __call__(self, step: thalweg.Step) -> thalweg.ObjectiveValue:
        """The loss of each sample."""
        V, velocities = step.plan.velocity, step.prediction.velocities
        weak, strong = velocities[0].float(), velocities[-1].float()
        w = self.config.strength * min(1.0, step.number / max(1.0, 0.1 * step.total))
        led = thalweg.sample_mean((strong - V - w * (strong - weak).detach()).square())
        own = thalweg.sample_mean((weak - V).square())
        return thalweg.ObjectiveValue(led + self.config.beta * own, {"weak": own.detach().mean()})
