"""What flows through a network, and what it answers."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor


class Stream(NamedTuple):
    """What flows through a backbone's blocks.

    Attributes:
        tokens: image tokens.
        context: tokens of a context that runs beside them, for backbones that have one.
        context_mask: True where the context has a token and no padding.
        places: where on the grid each image token stands, counted row by row; None for all in order.
        values: of an attention that later blocks mix in, of the context's tokens and the image's, for
            backbones that do.
    """

    tokens: Float[Tensor, "N T D"]
    context: Float[Tensor, "N L D"] | None = None
    context_mask: Bool[Tensor, "N L"] | None = None
    places: Int[Tensor, "N T"] | None = None
    values: Float[Tensor, "N S D"] | None = None

    def with_tokens(self, tokens: Float[Tensor, "N T D"]) -> "Stream":
        """The same context beside other image tokens."""
        return self._replace(tokens=tokens)

    def select(self, index: Tensor) -> "Stream":
        """The samples at ``index`` alone."""
        there = {name: one[index] for name, one in self._asdict().items() if one is not None}
        return Stream(**there)


class Routed(NamedTuple):
    """A run of blocks that some tokens pass and the others go round.

    Attributes:
        start: the first of the blocks, counted from 0.
        stop: behind the last one.
        kept: the tokens of each sample that pass, counted row by row, ascending.
        dropped: samples of which none passes.
    """

    start: int
    stop: int
    kept: Int[Tensor, "N K"]
    dropped: Bool[Tensor, " N"]


class Boundary(NamedTuple):
    """Where a refiner stands: between a branch and the next one.

    Attributes:
        number: of the branch that ended, from 0: 0..k-2.
        patch_tokens: input of block 1, the noisy data with positions.
        c: the condition vector that the branch's blocks were modulated by.
        time: t_i of the branch that ended.
        next_time: t_{i+1} of the one that follows.
    """

    number: int
    patch_tokens: Float[Tensor, "N T D"]
    c: Float[Tensor, "N D"]
    time: Float[Tensor, " N"]
    next_time: Float[Tensor, " N"]

    @property
    def gap(self) -> Float[Tensor, " N"]:
        """t_{i+1} - t_i."""
        return self.next_time - self.time


class Refinement(NamedTuple):
    """What a refiner hands on from one branch to the next.

    Attributes:
        tokens: what the next branch reads.
        features: what its read-outs read, by the names in the refiner's ``readouts``.
    """

    tokens: Float[Tensor, "N T D"]
    features: Mapping[str, Float[Tensor, "N T D"]] = MappingProxyType({})


HeadForm = Literal["plain", "refined", "corrected"]


class Head(NamedTuple):
    """One of the places at which a network reads a velocity.

    Attributes:
        after: how many blocks its tokens have passed; -1 stands for all of them, the last head.
        form: at the end of an intermediate branch ``refined`` reads the tokens that the refiner hands on, and
            ``corrected`` is v - t a / 2 with the acceleration a that is read there: the minimiser of its loss
            is a* = 2 (v - v*) / t, v* the exact velocity of the linear path (DeepFlow, equation 7).
    """

    after: int = -1
    form: HeadForm = "plain"


class Prediction(NamedTuple):
    """What the network answers.

    Attributes:
        velocities: one per branch, the last one being the model's velocity; only the last one if
            nothing more was requested.
        readouts: what the refiner's features read, by name, one per boundary; empty if none
            were requested.
        heads: the velocities of all intermediate heads, at the ends of branches and others, by the number of
            blocks passed; empty if only the last one was requested.
        hidden: hidden states by the number of blocks passed; at a boundary, what the next branch reads.
    """

    velocities: tuple[Float[Tensor, "N *shape"], ...]
    readouts: Mapping[str, tuple[Float[Tensor, "N *shape"], ...]] = MappingProxyType({})
    hidden: Mapping[int, Float[Tensor, "N T D"]] = MappingProxyType({})
    heads: Mapping[int, Float[Tensor, "N *shape"]] = MappingProxyType({})
