"""Velocity fields, and their queries."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from thalweg.types.conditions import Condition

VelocityField = Callable[[Tensor, Tensor], Tensor]
"""``velocity(x, t_N) -> velocity`` for x of any shape (N, ...). Times are float64 on the CPU, so that
deciding on them never waits for a device; the velocity comes back in the dtype and on the device of ``x``.

A field may offer three things besides, and samplers do without them where it does not:
``select(index_n)``, the field of those samples alone, with which an adaptive sampler leaves out those
that have arrived; ``breaks``, the times at which the field jumps, as guidance within an interval makes
it do; and ``during(t_N)``, the field as it is on t's side of those jumps, for all stages of one step.
That of a flow map offers a fourth, on which its own sampler depends: ``average(x, t_N, r_N)``, the average
velocity over [r, t] of the flow through x at t; None where there is none."""


Increments = Callable[[int], Tensor]
"""``increments(step) -> N(0, I) draws of x's shape``, for step 0, 1, ... of a stochastic sampler,
asked for in that order."""


class Query(NamedTuple):
    """The query of a conditional field: one row a sample, and all rows stay aligned.

    Attributes:
        x: where.
        t: when, float64 on the CPU.
        condition: under what.
        side: the time that determines on which side of a jump of the field a sample is, likewise on the CPU;
        None
            where that is t itself.
    """

    x: Float[Tensor, "N *shape"]
    t: Float64[Tensor, " N"]
    condition: Condition
    side: Float64[Tensor, " N"] | None = None

    @property
    def decides(self) -> Float64[Tensor, " N"]:
        """The time that an interval looks at."""
        return self.t if self.side is None else self.side

    def select(self, index: Tensor) -> "Query":
        """The samples that ``index`` (integers or a mask) picks."""
        side = None if self.side is None else self.side[index]
        return Query(self.x[index], self.t[index], self.condition.select(index), side)

    def join(self, other: "Query") -> "Query":
        """Both in one, this one first."""
        sides = None
        if self.side is not None or other.side is not None:
            sides = torch.cat([self.decides, other.decides])
        return Query(
            torch.cat([self.x, other.x]),
            torch.cat([self.t, other.t]),
            self.condition.join(other.condition),
            sides,
        )

    def null(self) -> "Query":
        """The same samples with their conditions hidden."""
        return self._replace(condition=self.condition.null())


ConditionalField = Callable[[Query], Tensor]
"""``field(query) -> velocity`` of the shape, dtype and device of ``query.x``: what guidance maps to another.

It may offer ``breaks``, the times at which it jumps, and ``average(query, r_N)``, its average velocity over
[r, t]. The innermost one is the network, and offers two things besides: ``heads(query, wanted)``, the
velocities that some of its heads read, in one pass that ends with the last branch wanted; and
``beside(network)``, the field of another network, evaluated in the same precision on the same device and
counted with it. ``beside`` is passed on outwards; ``average`` is not, since it is of another field then."""
