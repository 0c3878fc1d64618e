"""Times spread evenly."""

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.facts import Facts
from thalweg.interpolant import Interpolant


@attrs.frozen
class UniformConfig:
    """t ~ U(0, 1)."""

    def build(self, _: Facts) -> "Uniform":
        """Build it."""
        return Uniform()


class Uniform:
    """See :class:`UniformConfig`. Fulfils :class:`thalweg.protocols.TimeSampler`."""

    def __call__(
        self,
        count: int,
        generator: torch.Generator,
        interpolant: Interpolant,  # noqa: ARG002
    ) -> Float[Tensor, " N"]:
        """``count`` times."""
        return torch.rand(count, generator=generator)
