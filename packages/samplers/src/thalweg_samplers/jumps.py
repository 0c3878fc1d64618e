"""On which side of a field's jumps a step of a multistep method stands."""

from jaxtyping import Float64
from torch import Tensor

from thalweg.types import VelocityField
from thalweg_samplers.times import times_of

_ROUNDING = 1e-9  # a time of a grid misses the end of an interval by a rounding error


class Jumps:
    """A field's jumps, as guidance within an interval makes them.

    A step follows the field of the stretch in which it begins. What was evaluated on another stretch is of
    another field, so a polynomial may not pass through both.

    Args:
        velocity: the field; one without ``breaks`` and ``during`` does not jump.
    """

    def __init__(self, velocity: VelocityField) -> None:
        self._velocity = velocity
        self._during = getattr(velocity, "during", None)
        self._breaks: tuple[float, ...] = tuple(getattr(velocity, "breaks", ()))

    def field(self, now: float, then: float, x: Float64[Tensor, "N *shape"]) -> VelocityField:
        """The field of a step from ``now`` to ``then``."""
        if self._during is None:
            return self._velocity
        ahead = max((at for at in self._breaks if then < at < now - _ROUNDING), default=then)
        field: VelocityField = self._during(times_of((now + ahead) / 2, x))
        return field

    def between(self, before: float, now: float) -> bool:
        """Whether steps that begin at these two times, the earlier step's first, follow different fields."""
        return any(now - _ROUNDING <= at < before - _ROUNDING for at in self._breaks)
