"""A plain function as something that samples can be drawn from."""

import inspect
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.types import Condition


class FunctionNetwork:
    """A plain function ``f(x, t)`` as a network; both arguments come in float32 on the function's device.

    Raises:
        ConfigError: it does not take two arguments.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], facts: Facts) -> None:
        called = getattr(function, "forward", function)
        try:
            inspect.signature(called).bind(None, None)
        except TypeError as error:
            raise ConfigError(
                f"the function does not take x and t ({error}); give a function of the two"
            ) from error
        except ValueError:
            pass  # not written in Python, which tells nothing
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
