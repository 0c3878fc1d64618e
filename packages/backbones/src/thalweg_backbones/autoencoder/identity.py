"""No autoencoder: pixels are the latents."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs
from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.data.pixels import from_images, to_images


@attrs.frozen
class IdentityConfig:
    """Images as they are, scaled to [-1, 1]; stored as bytes."""

    def build(self) -> "Identity":
        """Nothing is read."""
        return Identity()


class Identity:
    """Pixels in [-1, 1].

    Attributes:
        identity: its type.
        scale: 1; nothing is scaled beyond [-1, 1].
    """

    identity: Mapping[str, Any] = MappingProxyType({"type": "identity"})
    scale: float = 1.0

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """The images' own."""
        return (channels, height, width)

    def encode(
        self, images: UInt8[Tensor, "N channels height width"]
    ) -> tuple[Float[Tensor, "N channels height width"], None]:
        """Images 0..255 as values in [-1, 1], without spread."""
        return from_images(images), None

    def decode(self, x: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N C H W"]:
        """Values in [-1, 1] as images 0..255."""
        return to_images(x)
