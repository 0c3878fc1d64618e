"""A linear warm-up to the full learning rate."""

import attrs

from thalweg.arguments import STEPS
from thalweg.facts import Facts


def rising(step: int, warmup: int) -> float:
    """min(1, (step + 1) / warmup): the first step has a rate already, and step warmup - 1 has all of it."""
    return min(1.0, (step + 1) / warmup) if warmup else 1.0


def progress(step: int, total: int, warmup: int) -> float:
    """Where a step is between the end of warm-up, 0, and that of the run, 1."""
    return min(1.0, max(0.0, (step - warmup) / max(1, total - warmup)))


@attrs.frozen
class WarmupConfig:
    """Learning rates rise in equal steps from lr / steps to lr, and stay there.

    Attributes:
        steps: of the rise.
    """

    steps: int = attrs.field(default=1000, validator=STEPS)

    def build(self, _: Facts) -> "Warmup":
        """Build it."""
        return Warmup(self.steps)


class Warmup:
    """See :class:`WarmupConfig`. Fulfils :class:`thalweg.protocols.RateSchedule`."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, step: int, total: int) -> float:  # noqa: ARG002
        """The factor of a step, counted from 0."""
        return rising(step, self.steps)
