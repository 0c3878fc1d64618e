"""Between images 0..255 and what a network in pixel space sees: values in [-1, 1]."""

from typing import Literal

import attrs
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.errors import ThalwegError

Rounding = Literal["nearest", "down"]


def to_images(x: Float[Tensor, "N C H W"], rounding: Rounding = "nearest") -> UInt8[Tensor, "N C H W"]:
    """Values in [-1, 1] as 0..255, clipped at the ends.

    Args:
        x: the values.
        rounding: to the ``nearest`` byte, as SiT's samples are; ``down``, as REPA's and DeepFlow's are, is
            darker by half a byte.

    Raises:
        ThalwegError: for values that are not finite, which no rounding can show honestly.
    """
    if not bool(torch.isfinite(x).all()):
        raise ThalwegError("the samples hold values that are not finite, so there is no image to show")
    levels = (x.double() + 1) * 127.5
    return (levels.round() if rounding == "nearest" else levels.floor()).clamp(0, 255).to(torch.uint8)


@attrs.frozen
class PixelView:
    """How samples in pixel space look, which takes no data to know.

    Attributes:
        height: of the images without their padding; None for samples without any.
        width: the same.
    """

    height: int | None = None
    width: int | None = None

    def images(self, x: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N C height width"]:
        """Samples as images 0..255, without the padding."""
        shown = to_images(x)
        return (
            shown if self.height is None or self.width is None else unpadded(shown, self.height, self.width)
        )


def from_images(images: UInt8[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
    """Images 0..255 as float32 in [-1, 1]."""
    return images.to(torch.float32) / 127.5 - 1


def padded(
    image: UInt8[np.ndarray, "height width channels"], edge: int, value: int
) -> UInt8[np.ndarray, "{edge} {edge} channels"]:
    """An image in the middle of a square of one colour; an odd border is larger below and on the right.

    Args:
        image: no larger than the square.
        edge: of the square.
        value: 0..255, of all its channels.
    """
    height, width, channels = image.shape
    top, left = (edge - height) // 2, (edge - width) // 2
    square = np.full((edge, edge, channels), value, np.uint8)
    square[top : top + height, left : left + width] = image
    return square


def unpadded(
    images: UInt8[Tensor, "N C H W"], height: int, width: int
) -> UInt8[Tensor, "N C {height} {width}"]:
    """What :func:`padded` put into the middle."""
    top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
    return images[:, :, top : top + height, left : left + width]
