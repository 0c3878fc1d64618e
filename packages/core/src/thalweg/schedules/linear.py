"""A straight line down to the end of the run, after a linear warm-up."""

import attrs
from attrs.validators import and_, ge, le

from thalweg.arguments import STEPS_OR_NEVER
from thalweg.facts import Facts
from thalweg.schedules.warmup import progress, rising


@attrs.frozen
class LinearDecayConfig:
    """Learning rates rise to lr, then fall as 1 - (1 - final) p of it.

    p goes from 0 at step ``warmup`` to 1 at the end of the run.

    Attributes:
        warmup: steps of the rise; 0 for none.
        final: share of lr that is left at the end.
    """

    warmup: int = attrs.field(default=0, validator=STEPS_OR_NEVER)
    final: float = attrs.field(default=0.0, validator=and_(ge(0.0), le(1.0)))

    def build(self, _: Facts) -> "LinearDecay":
        """Build it."""
        return LinearDecay(self.warmup, self.final)


class LinearDecay:
    """See :class:`LinearDecayConfig`. Fulfils :class:`thalweg.protocols.RateSchedule`."""

    of_length = True

    def __init__(self, warmup: int, final: float) -> None:
        self.warmup, self.final = warmup, final

    def __call__(self, step: int, total: int) -> float:
        """The factor of a step, counted from 0."""
        if step < self.warmup:
            return rising(step, self.warmup)
        return 1.0 - (1.0 - self.final) * progress(step, total, self.warmup)
