"""Flow map: the last of two branches learns the average velocity between two times (improved MeanFlow)."""

from typing import Any, Literal

import attrs
import torch
from attrs.validators import ge, gt, le, lt, optional
from jaxtyping import Float
from torch import Tensor

from thalweg.broadcasting import like, sample_mean
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.objectives.guided_target import BakedScale, GuidedTarget
from thalweg.types import ObjectiveValue, Step

Derivative = Literal["exact", "difference"]
"""How du/dt is computed: in forward mode, or by finite differences."""

_OWN = "objectives.flow_map"
_SCALE: Any = [ge(1), lt(float("inf"))]
_ABOVE_ZERO: Any = optional(gt(0))


def _check_interval(_: object, __: object, interval: tuple[float, ...]) -> None:
    if len(interval) != 2 or not 0 <= interval[0] <= interval[1] <= 1:
        raise ConfigError(f"must be two times with 0 <= low <= high <= 1, got {interval}")


@attrs.frozen
class AverageVelocityConfig:
    """Squared errors of the velocity at t and of the average velocity over [r, t], read by two branches.

    |u + (t - r) sg(du/dt) - V|^2 + |v - V|^2, with sg for stop-gradient and norms that are means over
    elements (Geng et al., Mean flows for one-step generative modeling, 2025, equation 6; with v of the
    network's own, improved MeanFlow, 2025). v is the first branch's velocity at t, and u the last branch's at
    r, with x_t at time t for both. du/dt is the derivative along the flow: along (v, 0, 1) in (x, r, t), with
    sg(v). At the minimum v is the flow's velocity and u its average, so x_t - (t - r) u is x_r: the sampler
    ``flow_map`` takes few steps, even one. At r = t both branches give v, and every other sampler works.
    The identity u + (t - r) du/dt = v(x_t, t) holds on any path.

    It stands in place of the objective ``velocity`` and needs the planner ``flow_map``. Each error is divided
    by sg(itself + ``adaptive``), as is usual for it. The minimum is then that of log(error + adaptive), the
    mean of V where the errors of all samples are about as large, as in many dimensions; of points in the
    plane it is not, and ``none`` leaves errors as they are. The parts that are logged are the plain errors.

    Guidance can be baked in, so that it costs nothing in sampling: V is replaced by the V_g of
    :class:`thalweg.objectives.guided_target.GuidedTarget`. At the minimum v, and the flow that u averages,
    are guided: v = v_0 + cfg_scale (w - v_0), w = v_b + internal_scale (V - v_b), v_0 the same without
    condition and v_b the velocity of an intermediate head, which learns V. Classifier-free guidance costs the
    first branch once more in training, internal guidance nothing. Where an interval begins or ends, the flow
    has a kink, and u averages over it.

    Attributes:
        weight: coefficient in the training loss.
        adaptive: what is added to an error before it is divided by itself; ``none`` for no division.
        derivative: ``exact`` computes du/dt in forward mode, by a Jacobian-vector product; ``difference`` by
            central differences, for what has no such derivative: two forward passes without gradients.
        step: h of the differences in t, within [r, 1]; float32 rounds more of a smaller one. A backbone that
            multiplies times (``time_scale``) needs one that much smaller.
        heads: coefficient of every head that ends no branch, whose target is V.
        cfg_scale: of classifier-free guidance that is baked in; 1 is none.
        cfg_interval: low and high of the times t at which it acts.
        internal_scale: of guidance away from an intermediate head that is baked in; 1 is none.
        internal_interval: low and high of the times t at which it acts.
        internal_after: depth of that head; ``none`` takes the first one.
    """

    weight: float = attrs.field(default=1.0, validator=ge(0))
    adaptive: float | None = attrs.field(default=0.01, validator=_ABOVE_ZERO)
    derivative: Derivative = "exact"
    step: float = attrs.field(default=0.005, validator=[gt(0), le(0.5)])
    heads: float = attrs.field(default=0.5, validator=ge(0))
    cfg_scale: float = attrs.field(default=1.0, validator=_SCALE)
    cfg_interval: tuple[float, float] = attrs.field(
        default=(0.0, 1.0), converter=tuple, validator=_check_interval
    )
    internal_scale: float = attrs.field(default=1.0, validator=_SCALE)
    internal_interval: tuple[float, float] = attrs.field(
        default=(0.0, 1.0), converter=tuple, validator=_check_interval
    )
    internal_after: int | None = attrs.field(default=None, validator=optional(ge(1)))

    def build(self, facts: Facts) -> "AverageVelocity":
        """Build it.

        Raises:
            ConfigError: the network has not two branches, a head stands behind the first one, or there is
                nothing that a guidance could lead away from.
        """
        if facts.branches != 2:
            raise ConfigError(
                f"{_OWN} reads a velocity off the first and its average off the second of two branches, and "
                f"the network has {facts.branches}; set branches = 2 and a refiner, such as film"
            )
        first = facts.ends[0]
        if behind := [depth for depth in facts.head_depths if depth > first]:
            raise ConfigError(
                f"{_OWN} trains no head behind the first branch, where the network is at the time r, and "
                f"there is one after {behind[0]} of {facts.depth} blocks; keep heads before block {first}, "
                "where that branch ends"
            )
        if self.cfg_scale != 1:
            _check_condition(facts)
        return AverageVelocity(self, facts, self._weak(facts))

    def _weak(self, facts: Facts) -> int | None:
        """The head that internal guidance leads away from."""
        if self.internal_scale == 1:
            return None
        if not facts.head_depths:
            raise ConfigError(
                f"{_OWN}.internal_scale guides away from a head before the end of the first branch, after "
                f"{facts.ends[0]} blocks, and there is none; add one, as in heads = [1]"
            )
        if self.internal_after is None:
            return facts.head_depths[0]
        if self.internal_after not in facts.head_depths:
            there = ", ".join(map(str, facts.head_depths))
            raise ConfigError(
                f"{_OWN}.internal_after is {self.internal_after} and there are heads after {there}; name one "
                "of these"
            )
        return self.internal_after


def _check_condition(facts: Facts) -> None:
    if facts.classes is None and facts.text is None:
        raise ConfigError(
            f"{_OWN}.cfg_scale needs a condition that can be left out, and these data are unconditional; set "
            "it to 1"
        )
    if not facts.condition_dropout:
        raise ConfigError(
            f"{_OWN}.cfg_scale needs a network that learns its velocity without a condition; set "
            "training.condition_dropout above 0, or the scale to 1"
        )


class AverageVelocity:
    """See :class:`AverageVelocityConfig`. Fulfils :class:`thalweg.protocols.Objective`."""

    flow_map = True

    def __init__(self, config: AverageVelocityConfig, facts: Facts, weak: int | None) -> None:
        self.weight = config.weight
        self._adaptive, self._derivative, self._h = config.adaptive, config.derivative, config.step
        self._heads, self._head_depths, self._first = config.heads, facts.head_depths, facts.ends[0]
        self._target = GuidedTarget(
            BakedScale(config.cfg_scale, config.cfg_interval),
            BakedScale(config.internal_scale, config.internal_interval),
            weak,
        )

    def __call__(self, step: Step) -> ObjectiveValue:
        """The loss of each sample; parts are the errors as they are, ``velocity`` and ``average`` first.

        Raises:
            ConfigError: ``derivative`` is exact and the network has no such derivative.
        """
        plan, prediction = step.plan, step.prediction
        velocity, average = prediction.velocities[0].float(), prediction.velocities[-1].float()
        target, gap = self._target(step, self._first), like(plan.times[0] - plan.times[1], average)
        reached = average + gap * self.slope(step, velocity.detach())
        errors = {
            "velocity": sample_mean((velocity - target).square()),
            "average": sample_mean((reached - target).square()),
        }
        for depth in self._head_depths:
            own = prediction.heads[depth].float()
            errors[f"head_{depth}"] = sample_mean((own - plan.velocity).square())
        coefficients = [1.0, 1.0, *len(self._head_depths) * [self._heads]]
        terms = [
            one * self._divided(error_N) for one, error_N in zip(coefficients, errors.values(), strict=True)
        ]
        parts = {name: error_N.detach().mean() for name, error_N in errors.items()}
        return ObjectiveValue(torch.stack(terms).sum(dim=0), parts)

    def slope(self, step: Step, velocity: Float[Tensor, "N *shape"]) -> Float[Tensor, "N *shape"]:
        """du/dt along the flow, float32 and without gradients.

        Args:
            step: where and when.
            velocity: v, of the flow at x_t and t.

        Raises:
            ConfigError: as of calling it.
        """
        x_t, (t_N, r_N), condition = step.plan.x_t, step.plan.times, step.batch.condition
        if self._derivative == "exact":
            d_times = torch.stack([torch.ones_like(t_N), torch.zeros_like(r_N)])
            found = step.network.jvp(x_t, step.plan.times, condition, velocity, d_times)
            return found.velocities[-1].float()
        # Central inside [r, 1], where u is trained, and one-sided at its ends.
        times = ((t_N + self._h).clamp(max=1.0), torch.maximum(t_N - self._h, torch.minimum(r_N, t_N)))
        ahead, behind = (
            step.network.precise(
                x_t + like(moved_N - t_N, x_t) * velocity,
                torch.stack([moved_N, r_N]),
                condition,
                last_only=True,
            )
            .velocities[-1]
            .float()
            for moved_N in times
        )
        # Where t = r = 1 there is no way either side, and du/dt counts nothing.
        return (ahead - behind) / like((times[0] - times[1]).clamp(min=1e-6), x_t)

    def _divided(self, error_N: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        return error_N if self._adaptive is None else error_N / (error_N.detach() + self._adaptive)
