"""Half a cosine down to the end of the run (Loshchilov and Hutter, SGDR, 2017), after a linear warm-up."""

import math

import attrs
from attrs.validators import and_, ge, le

from thalweg.arguments import STEPS_OR_NEVER
from thalweg.facts import Facts
from thalweg.schedules.warmup import progress, rising


@attrs.frozen
class CosineDecayConfig:
    """Learning rates rise to lr, then fall as final + (1 - final) (1 + cos(pi p)) / 2 of it.

    p goes from 0 at step ``warmup`` to 1 at the end of the run.

    Attributes:
        warmup: steps of the rise; 0 for none.
        final: share of lr that is left at the end.
    """

    warmup: int = attrs.field(default=0, validator=STEPS_OR_NEVER)
    final: float = attrs.field(default=0.0, validator=and_(ge(0.0), le(1.0)))

    def build(self, _: Facts) -> "CosineDecay":
        """Build it."""
        return CosineDecay(self.warmup, self.final)


class CosineDecay:
    """See :class:`CosineDecayConfig`. Fulfils :class:`thalweg.protocols.RateSchedule`."""

    of_length = True

    def __init__(self, warmup: int, final: float) -> None:
        self.warmup, self.final = warmup, final

    def __call__(self, step: int, total: int) -> float:
        """The factor of a step, counted from 0."""
        if step < self.warmup:
            return rising(step, self.warmup)
        fallen = (1 + math.cos(math.pi * progress(step, total, self.warmup))) / 2
        return self.final + (1 - self.final) * fallen
