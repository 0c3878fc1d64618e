"""Self-alignment: hidden states lean on later ones that the averaged network has of less noisy data."""

import attrs
import torch
from attrs.validators import and_, deep_iterable, ge, le, min_len, optional
from torch import Tensor, nn
from torch.nn import functional

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.layers import MLP
from thalweg.objectives.places import depth_of, share_of
from thalweg.types import ObjectiveValue, Step

_STUDENT, _TEACHER = 2 / 7, 5 / 7


@attrs.frozen
class SelfAlignmentConfig:
    """Minus the cosine similarity of projected tokens with later ones under EMA weights, at less noise.

    -mean_T cos(MLP(h_k(x_t, t)), h'_k'(x_s, s)), s = max(0, t - delta u), u ~ U(0, 1) for each sample (SRA,
    Jiang et al., No other representation component is needed, 2025). x_s is the same sample with the same
    noise, h' are hidden states of the network with its EMA weights, without gradients: one more forward pass
    a step. The times of all branches are earlier by the same. u is drawn under the address of the step's
    plan. XL with 28 blocks aligns block 8 with block 20, which the defaults are the shares of.

    Attributes:
        weight: coefficient in the training loss.
        delta: largest difference in time, 0 to 1.
        after: k, number of blocks after which tokens are read; ``none`` is 2/7 of the depth.
        teacher_after: k', the same of the averaged network; ``none`` is 5/7 of the depth.
        channels: hidden widths of the projector.
    """

    weight: float = attrs.field(default=0.5, validator=ge(0))
    delta: float = attrs.field(default=0.2, validator=and_(ge(0), le(1)))
    after: int | None = attrs.field(default=None, validator=optional(ge(1)))
    teacher_after: int | None = attrs.field(default=None, validator=optional(ge(1)))
    channels: tuple[int, ...] = attrs.field(
        default=(2048, 2048), validator=[min_len(1), deep_iterable(ge(1))]
    )

    def build(self, facts: Facts) -> "SelfAlignment":
        """Build it.

        Raises:
            ConfigError: if the network has no such depths, or the teacher's comes before the student's.
        """
        own, depth = "objectives.self_alignment", facts.depth
        student = depth_of(self.after, share_of(depth, _STUDENT), facts, f"{own}.after")
        teacher = depth_of(self.teacher_after, share_of(depth, _TEACHER), facts, f"{own}.teacher_after")
        if teacher < student:
            raise ConfigError(
                f"{own} would align block {student} with the earlier block {teacher} of the averaged "
                "network; choose a smaller after or a larger teacher_after"
            )
        return SelfAlignment(self, student, teacher, facts.width)


class SelfAlignment(nn.Module):
    """See :class:`SelfAlignmentConfig`. Fulfils :class:`thalweg.protocols.Objective`.

    Attributes:
        hidden: number of blocks after which it reads.
        teacher_after: the same of the averaged network.
    """

    def __init__(self, config: SelfAlignmentConfig, after: int, teacher_after: int, width: int) -> None:
        super().__init__()
        self.weight, self.hidden, self.teacher_after = config.weight, (after,), teacher_after
        self._delta = config.delta
        self.projector = MLP([width, *config.channels, width], "silu")

    def forward(self, step: Step) -> ObjectiveValue:
        """The loss of each sample, the mean over its tokens."""
        told: Tensor = self.projector(step.prediction.hidden[self.hidden[0]].float())
        return ObjectiveValue(-functional.cosine_similarity(told, self._seen(step), dim=-1).mean(dim=1))

    def _seen(self, step: Step) -> Tensor:
        plan, depth = step.plan, self.teacher_after
        u_N = torch.rand(len(plan.clean), generator=step.generator("self_alignment")).to(plan.times)
        times_kN = (plan.times - self._delta * u_N).clamp_min(0)
        x_s = plan.interpolant.x_t(plan.clean, plan.noise, times_kN[0])
        seen = step.averaged(x_s, times_kN, step.batch.condition, last_only=True, hidden=(depth,))
        return seen.hidden[depth].float()
