"""What networks are made of, and read from released checkpoints by."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from thalweg.facts import Facts
from thalweg.told import Settled, Told
from thalweg.types import (
    Boundary,
    Condition,
    Refinement,
    Stream,
)


@runtime_checkable
class Backbone(Protocol):
    """A transformer that can be run by ranges of its blocks; it knows nothing of branches.

    Attributes:
        depth: number of blocks.
        width: D, the width of its tokens.
        heads: attention heads.
        grid: tokens per column and per row; (1, 1) of one whose data have no places.
    """

    depth: int
    width: int
    heads: int
    grid: tuple[int, int]

    def embed(self, x_t: Float[Tensor, "N *shape"], condition: Condition) -> Stream:
        """Patch tokens with their positions (and the context's tokens): the input of block 1."""
        ...

    def condition(self, t: Float[Tensor, " N"], condition: Condition) -> Float[Tensor, "N D"]:
        """The vector c that modulates blocks and read-outs at time t."""
        ...

    def run(self, stream: Stream, c: Float[Tensor, "N D"], start: int, stop: int) -> Stream:
        """Blocks start..stop-1 on the stream."""
        ...

    def readout(self) -> nn.Module:
        """A new layer ``(tokens, c) -> x`` of the data's shape, giving zero at initialisation."""
        ...


@runtime_checkable
class Refiner(Protocol):
    """What stands between the branches. It may be one module for all boundaries, or have one for each.

    Attributes:
        readouts: names of the read-outs that it feeds, such as ``("acceleration",)``; often none. The network
            has a layer for each, shared by all boundaries, and an objective reads what it gives.
    """

    readouts: tuple[str, ...]

    def __call__(self, stream: Stream, boundary: Boundary) -> Refinement:
        """Turn what a branch wrote into what the next one reads.

        Args:
            stream: tokens as the branch left them, and the context beside them, which stays as it is.
            boundary: which one it is, the patch tokens, the condition, and the times on both sides.
        """
        ...


@runtime_checkable
class Importer(Protocol):
    """Reads a released checkpoint's tensors as a network of ours."""

    def __call__(self, state_dict: Mapping[str, Tensor], told: Told) -> "Imported":
        """Work out the composition and rename the tensors.

        Nothing is guessed and nothing told is passed over: :class:`thalweg.told.Settling` sees to both.

        Args:
            state_dict: the tensors under their public names.
            told: what options and the file's own arguments tell beside them.

        Raises:
            DataError: the tensors are of another source, or of a network that cannot be represented.
            ConfigError: something has to be told and is not, or is of no use.
        """
        ...


class Imported(Protocol):
    """What an importer found; it may be frozen."""

    @property
    def composition(self) -> Mapping[str, Any]:
        """Backbone, refiner, branches and interpolant, as :func:`thalweg.compose` takes them."""
        ...

    @property
    def facts(self) -> Facts:
        """Shape and classes."""
        ...

    @property
    def state_dict(self) -> Mapping[str, Tensor]:
        """The tensors under our names."""
        ...

    @property
    def settled(self) -> Mapping[str, Settled]:
        """What the tensors alone do not tell, with what told it: :attr:`thalweg.told.Settling.found`."""
        ...
