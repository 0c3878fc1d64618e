"""A plain function as something that samples can be drawn from."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.types import Condition


class FunctionNetwork:
    """A plain function ``f(x, t)`` as a network; both arguments come in float32 on the function's device."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], facts: Facts) -> None:
        self.function, self.facts = function, facts

    def velocity(
        self,
        x: Float[Tensor, "N *shape"],
        t: Float[Tensor, " N"],
        condition: Condition,  # noqa: ARG002 - it knows of none
    ) -> Float[Tensor, "N *shape"]:
        """What the function gives.

        Raises:
            DataError: that is of another shape than x.
        """
        velocity = self.function(x, t.to(x))
        if not isinstance(velocity, Tensor) or velocity.shape != x.shape:
            found = tuple(velocity.shape) if isinstance(velocity, Tensor) else type(velocity).__name__
            raise DataError(f"the function gives {found} for x of {tuple(x.shape)}; it must keep the shape")
        return velocity
