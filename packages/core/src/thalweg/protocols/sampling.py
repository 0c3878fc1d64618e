"""What samples are drawn by."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from thalweg.interpolant import Interpolant
from thalweg.types import (
    ConditionalField,
    Increments,
    VelocityField,
)


@runtime_checkable
class Sampler(Protocol):
    """Carries noise to data along a velocity field."""

    def __call__(
        self,
        velocity: VelocityField,
        x_1: Float[Tensor, "N *shape"],
        increments: Increments,
        interpolant: Interpolant,
    ) -> Float[Tensor, "N *shape"]:
        """From x_1 at t = 1 to x_0 at t = 0.

        A sample may not depend on its neighbours in the batch, and x has any shape (N, ...). ``increments``
        is for stochastic samplers, the interpolant for those that need a score; a sampler that gives both
        a default can be called with field and noise alone.
        """
        ...


@runtime_checkable
class Guidance(Protocol):
    """Turns a conditional field into another one, so that several compose, from the network outwards.

    It may state ``identity``, plain values on which it depends beside its config, such as the SHA-256 of
    weights: they are written down with what is drawn.
    """

    def __call__(self, field: ConditionalField) -> ConditionalField:
        """The guided field. A function of the query is one: what a field offers besides is passed on.

        Raises:
            ConfigError: the field does not offer what this guidance needs of it.
        """
        ...
