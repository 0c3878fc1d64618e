"""What networks are made of, and are read from and written for other programs by."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from thalweg.exported import Exported
from thalweg.import_options import Imported, ImportOptions
from thalweg.types import (
    Boundary,
    Condition,
    Refinement,
    Stream,
)


@runtime_checkable
class Backbone(Protocol):
    """A transformer that can be run by ranges of its blocks; it knows nothing of branches.

    It may have an attribute ``noise``, a :class:`thalweg.noise_prediction.NoisePrediction`: then it is asked
    at steps of that diffusion, and its last read-out predicts noise, which the network turns into a velocity.
    Heads that end no branch read velocities all the same.

    One whose blocks may be run on a subset of the tokens states ``takes_subsets = True``; it finds in
    ``stream.places`` where they stand, if its blocks need to know. Training may then route tokens round
    blocks (:mod:`thalweg.training.token_routing`).

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
        """A new layer ``(tokens, c) -> x`` of the data's shape, giving zero at initialisation.

        One that states ``reads_noisy = True`` is called with the network's input, ``(tokens, c, x_t) -> x``.
        """
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

    def __call__(self, state_dict: Mapping[str, Tensor], options: ImportOptions) -> Imported:
        """Work out the composition and rename the tensors.

        Nothing is guessed and nothing stated is ignored:
        :class:`thalweg.import_options.OptionResolver` makes sure of both.

        Args:
            state_dict: the tensors under their public names.
            options: what options and the file's own arguments state beside them.

        Raises:
            DataError: the tensors are of another source, or of a network that cannot be represented.
            ConfigError: something is needed and not stated, or is of no use.
        """
        ...


@runtime_checkable
class Exporter(Protocol):
    """Turns a network of ours into what another program reads; nothing is written by it.

    Attributes:
        suffixes: endings of the file that it makes, the usual one first; empty where it makes a folder.
    """

    suffixes: tuple[str, ...]

    def __call__(self, network: Any) -> Exported:
        """Rename the tensors and state what has to be known beside them.

        Args:
            network: a :class:`thalweg.network.FlowNetwork`, which is left as it is.

        Raises:
            ConfigError: the other program has no counterpart of something in the network, which is named.
        """
        ...
