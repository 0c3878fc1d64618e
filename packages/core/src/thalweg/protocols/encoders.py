"""Frozen networks beside the one that is trained."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.types import (
    EncodedCaptions,
)


@runtime_checkable
class Teacher(Protocol):
    """A frozen vision encoder that tokens are aligned with.

    Its config has a ``name`` besides, known before anything is loaded, and ``check_stored(stored)``, which
    raises DataError if stored features are not what it would see.

    Attributes:
        name: under which its features are stored.
        identity: what it is and which weights it has.
        width: F, of its patch tokens.
    """

    name: str
    identity: Mapping[str, Any]
    width: int

    def __call__(
        self, images: UInt8[Tensor, "N channels height width"], grid: tuple[int, int]
    ) -> Float[Tensor, "N T F"]:
        """Patch tokens, row by row, of the images resized so that there are ``grid`` of them.

        Raises:
            ConfigError: if no size of image gives that grid.
        """
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """A frozen encoder of captions. A ``torch.nn.Module`` or anything like it; never trained or saved.

    Its config has ``shape`` besides, (L, E), known before weights are loaded.

    Attributes:
        identity: what it is, which weights it has, and its length.
        length: L, tokens that each caption is padded or cut to.
        width: E, of a token.
    """

    identity: Mapping[str, Any]
    length: int
    width: int

    def __call__(self, captions: Sequence[str]) -> EncodedCaptions:
        """Tokens of each caption. An empty one is encoded like any other: it stands for no caption."""
        ...


@runtime_checkable
class Autoencoder(Protocol):
    """Between images and the latents that a network is trained on. A ``torch.nn.Module`` or anything like it.

    Attributes:
        identity: what it is and which weights it has, as shards record it: ``type`` and whatever makes two
            of them differ, such as the weights' SHA-256.
        scale: factor that brings a latent to unit variance.
    """

    identity: Mapping[str, Any]
    scale: float

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """The latents' shape for images of this one.

        Raises:
            ConfigError: if images of this shape cannot be encoded.
        """
        ...

    def encode(
        self, images: UInt8[Tensor, "N channels height width"]
    ) -> tuple[Float[Tensor, "N C H W"], Float[Tensor, "N C H W"] | None]:
        """Mean and standard deviation of the posterior, before ``scale``; None for one without spread."""
        ...

    def decode(self, x: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N channels height width"]:
        """Images of samples as the network gives them, that is after ``scale``."""
        ...
