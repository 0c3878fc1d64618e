"""Between images 0..255 and the numbers that networks take."""

from typing import Literal

import attrs
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.errors import DataError, ThalwegError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
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
        size: height and width of the images without their padding; None for samples without any.
    """

    size: tuple[int, int] | None = None

    def images(self, x: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N C height width"]:
        """Samples as images 0..255, without the padding."""
        shown = to_images(x)
        return shown if self.size is None else unpadded(shown, *self.size)


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


def rgb(images: Tensor) -> UInt8[Tensor, "N 3 H W"]:
    """The images with three channels; grey ones show the same in each.

    Raises:
        DataError: for anything but N x C x H x W bytes of 1 or 3 channels.
    """
    if images.dtype != torch.uint8:
        raise DataError(
            f"images are of type {str(images.dtype).removeprefix('torch.')}; features are taken of bytes "
            "0..255, so scale and round them first"
        )
    if images.dim() != 4 or images.shape[1] not in (1, 3) or 0 in images.shape[2:]:
        raise DataError(
            f"images of shape {tuple(images.shape)} cannot be looked at; give N x channels x height x width "
            "with 1 or 3 channels"
        )
    return images.expand(-1, 3, -1, -1)


def standardised(
    x: Float[Tensor, "N 3 H W"], mean: Tensor | tuple[float, ...], std: Tensor | tuple[float, ...]
) -> Float[Tensor, "N 3 H W"]:
    """Values in [0, 1] less the mean, over the standard deviation of each channel."""
    mean_311, std_311 = (torch.as_tensor(values, device=x.device).reshape(-1, 1, 1) for values in (mean, std))
    return (x - mean_311) / std_311
