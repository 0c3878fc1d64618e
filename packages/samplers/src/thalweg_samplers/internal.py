"""Internal guidance: the network's own intermediate head is the weak one."""

import attrs
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.guidance import heads_of, within
from thalweg.types import ConditionalField, Head, Query
from thalweg_samplers.intervals import Interval, check_interval
from thalweg_samplers.options import checked


class Internal:
    """v = v_i + scale (v_f - v_i) while low <= t <= high, v_f elsewhere.

    v_f is the last head and v_i an intermediate one, both read in one pass, so it costs what no guidance
    does (Internal-Guidance, CVPR 2026). It reads heads, which only the network itself has, so it stands
    innermost; classifier-free guidance around it guides both halves.

    Args:
        scale: 1 leaves the last head's velocity as it is, 0 gives the intermediate one's.
        branch: whose head is the weak one, counted from 0.
        refined: read it after the refiner that ends the branch instead of before.
        interval: low and high, both included.

    Raises:
        ConfigError: an option makes no sense.
    """

    def __init__(
        self,
        scale: float = 1.4,
        branch: int = 0,
        refined: bool = False,
        interval: Interval = (0.0, 1.0),
    ) -> None:
        options = checked(InternalConfig, scale=scale, branch=branch, refined=refined, interval=interval)
        self.scale, self.interval = options.scale, options.interval
        self.weak = Head(options.branch, options.refined)

    def __call__(self, field: ConditionalField) -> ConditionalField:
        """The guided field.

        Raises:
            ConfigError: the field is no network's own, or the network has no such intermediate head.
        """
        heads = heads_of(field, "internal guidance")
        facts = getattr(field, "facts", None)
        if facts is not None:
            _check_branch(self.weak.branch, facts)

        def guided(query: Query) -> Tensor:
            weak, last = heads(query, (self.weak, Head(-1)))
            return weak + self.scale * (last - weak)

        return field if self.scale == 1 else within(field, guided, self.interval)


@attrs.frozen
class InternalConfig:
    """Internal guidance by an intermediate head of the network, in one pass.

    Attributes:
        scale: 1 is no guidance; larger ones lead further away from what the intermediate head says.
        branch: whose head that is, counted from 0; the last one's is the network's velocity itself.
        refined: read it after the refiner that ends the branch instead of before.
        interval: low and high between which it acts (0 is data, 1 is noise), both included.
    """

    scale: float = attrs.field(
        default=1.4, validator=[attrs.validators.ge(0), attrs.validators.lt(float("inf"))]
    )
    branch: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    refined: bool = False
    interval: Interval = attrs.field(default=(0.0, 1.0), converter=tuple, validator=check_interval)

    def build(self, facts: Facts) -> Internal:
        """The guidance.

        Raises:
            ConfigError: the network has no such intermediate head.
        """
        _check_branch(self.branch, facts)
        return Internal(self.scale, self.branch, self.refined, self.interval)


def _check_branch(branch: int, facts: Facts) -> None:
    last = facts.branches - 1
    if last == 0:
        raise ConfigError(
            "internal guidance needs the head of an intermediate branch, and this network has one branch; "
            "remove the guidance, or train with branches = 2"
        )
    if branch >= last:
        raise ConfigError(
            f"branch is {branch}, and the branches before the last are 0 to {last - 1}; take one of these "
            "for internal guidance"
        )
