"""Times moved towards noise, for data of many dimensions."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import attrs
import torch
from attrs.validators import gt, optional
from jaxtyping import Float
from torch import Tensor

from thalweg.config.components import component_field
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.plugins import build_component
from thalweg.protocols import TimeSampler

BASE = 4096
"""Numbers of a sample, such as a latent of 4 x 32 x 32, at which times stay where they are."""

_TWICE = "shifts times that are shifted already; state one 'shifted', whose shift is the product of the two"


@attrs.frozen
class ShiftedConfig:
    """t' = s t / (1 + (s - 1) t): on the linear path noise stands to data as s times as much.

    The more numbers a sample has, the less noise of the same strength hides of it; s = sqrt(dim / 4096) makes
    up for that (Esser et al., "Scaling rectified flow transformers", equation 23; RAE).

    Attributes:
        inner: the time sampler whose times are shifted; not a shifted one.
        shift: s; none for sqrt(dim / 4096), dim being how many numbers a sample has.
    """

    small: ClassVar[Mapping[str, Any]] = {"shift": 2.0}

    inner: Any = component_field("time_sampler", "logit_normal")
    shift: float | None = attrs.field(default=None, validator=optional(gt(0.0)))

    @inner.validator
    def _is_not_shifted(self, _: object, inner: Any) -> None:
        if any(isinstance(one, ShiftedConfig) for one in _configs(inner)):
            raise ConfigError(_TWICE)

    def build(self, facts: Facts) -> "Shifted":
        """Build it."""
        shift = math.sqrt(math.prod(facts.shape) / BASE) if self.shift is None else self.shift
        return Shifted(build_component(self.inner, facts), shift)


def _configs(config: Any) -> Iterator[Any]:
    """A config and all that stand within it."""
    yield config
    if attrs.has(type(config)):
        for field in attrs.fields(type(config)):
            yield from _configs(getattr(config, field.name))


class Shifted:
    """See :class:`ShiftedConfig`. Fulfils :class:`thalweg.protocols.TimeSampler`.

    Raises:
        ConfigError: ``inner`` is shifted itself.
    """

    def __init__(self, inner: TimeSampler, shift: float) -> None:
        if isinstance(inner, Shifted):
            raise ConfigError(f"this time sampler {_TWICE}")
        self.inner, self.shift = inner, shift

    def __call__(
        self, count: int, generator: torch.Generator, interpolant: Interpolant
    ) -> Float[Tensor, " N"]:
        """``count`` times."""
        t = self.inner(count, generator, interpolant)
        # Rounding may carry t' = 1 a little beyond.
        return (self.shift * t / (1 + (self.shift - 1) * t)).clamp(0, 1)
