"""Images of a source brought to what a network is to see: channels, size, padding."""

from typing import Literal

import attrs
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from thalweg.data.decoding import LIMIT_PIXELS
from thalweg.data.pixels import padded
from thalweg.errors import DamagedImageError
from thalweg.protocols import Record


@attrs.frozen
class Fitting:
    """How every image of a data set comes to one shape.

    Attributes:
        height: of all images, before padding.
        width: the same.
        channels: 1 or 3.
        crop: ``center`` brings an image to the size; ``none`` takes only images that have it.
        pad: edge of the square that images are padded to; None for no padding.
        pad_value: of the padding.
        stated_by: what says that images have this size, for errors.
    """

    height: int
    width: int
    channels: int
    crop: Literal["center", "none"]
    pad: int | None
    pad_value: int
    stated_by: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of what comes out."""
        height, width = (self.height, self.width) if self.pad is None else (self.pad, self.pad)
        return (self.channels, height, width)

    def __call__(self, record: Record) -> UInt8[np.ndarray, "C H W"]:
        """One image.

        Raises:
            DamagedImageError: if it has another size and is not to be cropped.
        """
        image = _with_channels(record.image, self.channels)
        if self.crop == "center":
            image = center_crop(image, self.height, record.key)
        elif image.shape[:2] != (self.height, self.width):
            raise DamagedImageError(
                f"{record.key} is {image.shape[1]}x{image.shape[0]} pixels, but {self.stated_by} "
                f"{self.width}x{self.height}; bring all to one size by the data set's size and crop='center'"
            )
        if self.pad is not None:
            image = padded(image, self.pad, self.pad_value)
        return image.transpose(2, 0, 1)


def _with_channels(
    image: UInt8[np.ndarray, "height width some"], channels: int
) -> UInt8[np.ndarray, "height width channels"]:
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return image.repeat(3, axis=2)
    return np.array(Image.fromarray(image).convert("L"))[:, :, None]


def center_crop(
    image: UInt8[np.ndarray, "height width channels"], size: int, name: str = "an image"
) -> UInt8[np.ndarray, "{size} {size} channels"]:
    """The central square of an image, as ADM (Dhariwal and Nichol, 2021) prepares ImageNet.

    The image is halved by averaging 2x2 pixels as long as its shorter side stays at least ``size``, then
    resized bicubically until that side is ``size``, then its longer side is cut at both ends alike. Any
    other order or filter gives other images, which changes fidelity scores.

    Args:
        image: 0..255, of 1 or 3 channels.
        size: edge of the square; smaller images are enlarged.
        name: what it is called in errors.

    Raises:
        DamagedImageError: if it is so long and thin that all of it at that size is beyond reason.
    """
    grey = image.shape[2] == 1
    picture = Image.fromarray(image[:, :, 0] if grey else image)
    while min(picture.size) // 2 >= size:
        picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    factor = size / min(picture.size)
    width, height = round(picture.width * factor), round(picture.height * factor)
    if width * height > LIMIT_PIXELS:
        raise DamagedImageError(
            f"{name} of {image.shape[1]}x{image.shape[0]} pixels is too long and thin to be brought to "
            f"{size}; take it away"
        )
    pixels = np.array(picture.resize((width, height), Image.Resampling.BICUBIC))
    left, top = (width - size) // 2, (height - size) // 2
    square = pixels[top : top + size, left : left + size]
    return square[:, :, None] if grey else square
