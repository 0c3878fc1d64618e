"""Images resized as protocols of evaluation name it."""

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from thalweg.data.pixels import rgb

PIL_BICUBIC = "PIL bicubic to {side}x{side} with antialiasing, rounded to 8 bits"
PIL_CROP = "PIL bicubic of the shorter side to {side} with antialiasing, rounded to 8 bits, centre crop"


def pil_bicubic(images: Tensor, side: int, *, crop: bool = False) -> UInt8[Tensor, "N 3 side side"]:
    """Every image resized as Pillow does: bicubic, antialiased, rounded to bytes.

    Args:
        images: bytes of 1 or 3 channels.
        side: height and width that come out.
        crop: keep the aspect: the shorter side becomes ``side``, and the middle is cut out. Otherwise the
            whole image is stretched to the square.

    Raises:
        DataError: for anything but N x C x H x W bytes of 1 or 3 channels.
    """
    images_N3HW = rgb(images)
    height, width = images_N3HW.shape[2:]
    if (height, width) == (side, side):
        return images_N3HW
    shorter = min(height, width)
    size = (side * width // shorter, side * height // shorter) if crop else (side, side)
    left, top = (round((whole - side) / 2) for whole in size)
    resized = [
        np.asarray(Image.fromarray(image_HW3).resize(size, Image.Resampling.BICUBIC))
        for image_HW3 in images_N3HW.cpu().permute(0, 2, 3, 1).contiguous().numpy()
    ]
    out_NHW3 = torch.from_numpy(np.stack(resized)) if resized else torch.empty(0, *size[::-1], 3).byte()
    return out_NHW3[:, top : top + side, left : left + side].permute(0, 3, 1, 2).contiguous()
