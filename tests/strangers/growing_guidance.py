"""Internal guidance that grows with the noise: v_i + w(t) (v_f - v_i) with w(t) = 1 + (scale - 1) t."""

import attrs
from torch import Tensor

import thalweg


@thalweg.register("guidance", "growing")
@attrs.frozen
class GrowingConfig:
    """Internal guidance whose scale is 1 at the data and ``scale`` at the noise.

    Attributes:
        scale: at t = 1; 1 leaves the velocity as it is.
        branch: whose head is the weak one, from 0.
        interval: times between which it acts, both included.
    """

    scale: float = attrs.field(default=1.5, validator=attrs.validators.ge(0))
    branch: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    interval: tuple[float, float] = (0.3, 1.0)

    def build(self, facts: thalweg.Facts) -> "Growing":
        """Build it.

        Raises:
            ConfigError: if the network has no weaker head.
        """
        if self.branch >= facts.branches - 1:
            raise thalweg.ConfigError(
                f"guidance growing reads the head of branch {self.branch} and the network has "
                f"{facts.branches} branches; train one with more, or choose an earlier branch"
            )
        return Growing(self)


class Growing:
    """See :class:`GrowingConfig`."""

    def __init__(self, config: GrowingConfig) -> None:
        self.config = config

    def __call__(self, field: thalweg.ConditionalField) -> thalweg.ConditionalField:
        """The guided field, in one pass of the network."""
        heads = thalweg.heads_of(field, "growing")

        def guided(query: thalweg.Query) -> Tensor:
            weak, strong = heads(query, (self.config.branch, -1))
            t = query.t.to(strong).view(-1, *[1] * (strong.dim() - 1))
            grown: Tensor = weak + (1 + (self.config.scale - 1) * t) * (strong - weak)
            return grown

        return thalweg.within(field, guided, self.config.interval)
