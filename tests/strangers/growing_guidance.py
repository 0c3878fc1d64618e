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
        after: the depth of the weak head.
        interval: times between which it acts, both included.
    """

    scale: float = attrs.field(default=1.5, validator=attrs.validators.ge(0))
    after: int | None = None
    interval: tuple[float, float] = (0.3, 1.0)

    def build(self, facts: thalweg.Facts) -> "Growing":
        """Build it.

        Raises:
            ConfigError: if the network has no weaker head.
        """
        after = next(iter(facts.weak_heads), None) if self.after is None else self.after
        if after not in facts.weak_heads:
            raise thalweg.ConfigError(
                f"guidance growing needs a head before the last and this network has {facts.weak_heads}; "
                "train one with heads, or choose another depth"
            )
        return Growing(self, after)


class Growing:
    """See :class:`GrowingConfig`."""

    def __init__(self, config: GrowingConfig, after: int) -> None:
        self.config, self.after = config, after

    def __call__(self, field: thalweg.ConditionalField) -> thalweg.ConditionalField:
        """The guided field, in one pass of the network."""
        heads = thalweg.heads_of(field, "growing")

        def guided(query: thalweg.Query) -> Tensor:
            weak, strong = heads(query, (self.after, -1))
            t = query.t.to(strong).view(-1, *[1] * (strong.dim() - 1))
            grown: Tensor = weak + (1 + (self.config.scale - 1) * t) * (strong - weak)
            return grown

        return thalweg.within(field, guided, self.config.interval)
