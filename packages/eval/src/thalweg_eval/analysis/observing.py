"""One pass through a network, with all that it says and all of its hidden states."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
from jaxtyping import Float
from torch import Tensor

from thalweg.calibrating import measured_heads
from thalweg.errors import DataError
from thalweg.network import FlowNetwork
from thalweg.network_pass import Pass
from thalweg.types import Condition, Head, Stream
from thalweg_eval.analysis.drawing import Drawn


@attrs.frozen(eq=False)
class Observed:
    """What a network made of noisy samples.

    Attributes:
        drawn: the samples.
        velocities: of every head, in every form that it has, the last one last.
        states: hidden states by where they stand; at the end of a branch those before the refiner are
            ``plain``, and those that it hands on ``refined`` if they are others.
    """

    drawn: Drawn
    velocities: Mapping[Head, Float[Tensor, "N *shape"]]
    states: Mapping[Head, Float[Tensor, "N T D"]]


class Observer:
    """Observes a network, in float32 and evaluation mode as it is given.

    Args:
        network: what is observed.

    Attributes:
        last: its last head.
        heads: all of its heads, the last one last.
    """

    def __init__(self, network: FlowNetwork) -> None:
        self._network = network
        self.last = Head(network.facts.depth)
        weak = measured_heads(network) if network.facts.weak_heads else ()
        self.heads = (*weak, self.last)

    def __call__(self, drawn: Drawn, condition: Condition | None = None) -> Observed:
        """Observe a batch.

        Args:
            drawn: the samples.
            condition: in place of their own.

        Raises:
            DataError: the velocities are not finite.
        """
        network, depth = self._network, self._network.facts.depth
        times_kN = drawn.t.expand(network.branches, -1)
        shown = drawn.condition if condition is None else condition
        with _before_refiners(network) as before:
            passing = Pass(network, drawn.x_t, times_kN, shown)
            passed = passing.through(self.heads, (), tuple(range(1, depth + 1)))
        velocities = {head: passed.velocities[head] for head in self.heads}
        if not all(bool(one.isfinite().all()) for one in velocities.values()):
            raise DataError("the network's velocities are not finite; take earlier weights")
        states = {}
        for after in range(1, depth + 1):
            handed_on = passed.hidden[after]
            plain = before.get(after, handed_on)
            states[Head(after)] = plain
            if plain is not handed_on:
                states[Head(after, "refined")] = handed_on
        return Observed(drawn, velocities, states)


@contextmanager
def _before_refiners(network: FlowNetwork) -> Iterator[dict[int, Tensor]]:
    """The tokens that the refiner is given, by the depths of branches' ends."""
    found: dict[int, Tensor] = {}

    def keep(_: Any, arguments: tuple[Any, ...]) -> None:
        stream, boundary = arguments
        assert isinstance(stream, Stream)  # noqa: S101 - what every refiner is given
        found[network.facts.ends[boundary.number]] = stream.tokens

    if network.refiner is None:
        yield found
        return
    handle = network.refiner.register_forward_pre_hook(keep)
    try:
        yield found
    finally:
        handle.remove()


def name_of(place: Head, depth: int) -> str:
    """What pages call a head or a hidden state: by the blocks passed, and its form if it is not plain."""
    where = "last" if place.after == depth else f"after {place.after}"
    return where if place.form == "plain" else f"{where}, {place.form}"
