"""The same learning rate throughout."""

import attrs

from thalweg.facts import Facts


@attrs.frozen
class ConstantConfig:
    """Learning rates stay as the optimiser states them."""

    def build(self, _: Facts) -> "Constant":
        """Build it."""
        return Constant()


class Constant:
    """See :class:`ConstantConfig`. Fulfils :class:`thalweg.protocols.RateSchedule`."""

    def __call__(self, step: int, total: int) -> float:  # noqa: ARG002
        """1."""
        return 1.0
