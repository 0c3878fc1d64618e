"""Square images of one size from images of any."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from thalweg.data.decoding import LIMIT_PIXELS
from thalweg.errors import DamagedImageError


def center_crop(
    image: UInt8[np.ndarray, "height width channels"], size: int, name: str = "an image"
) -> UInt8[np.ndarray, "{size} {size} channels"]:
    """The central square of an image, as ADM (Dhariwal and Nichol, 2021) prepares ImageNet.

    The image is halved by averaging 2x2 pixels as long as its shorter side stays at least ``size``, then
    resized bicubically until that side is ``size``, then its longer side is cut at both ends alike. Any
    other order or filter gives other images, which fidelity scores can tell apart.

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
