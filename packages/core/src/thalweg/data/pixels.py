"""Between images 0..255 and what a network in pixel space sees: values in [-1, 1]."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.errors import ThalwegError


def to_images(x: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N C H W"]:
    """Values in [-1, 1] as 0..255, rounded to the nearest and clipped at the ends.

    Raises:
        ThalwegError: for values that are not finite, which no rounding can show honestly.
    """
    if not bool(torch.isfinite(x).all()):
        raise ThalwegError("the samples hold values that are not finite, so there is no image to show")
    return ((x.double() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_images(images: UInt8[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
    """Images 0..255 as float32 in [-1, 1]."""
    return images.to(torch.float32) / 127.5 - 1
