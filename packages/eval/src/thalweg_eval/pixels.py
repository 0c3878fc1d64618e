"""Images on their way into a network: checked, and resized by the rule that its protocol names."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from thalweg.errors import DataError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIL_BICUBIC = "PIL bicubic to {side}x{side} with antialiasing, rounded to 8 bits"
PIL_CROP = "PIL bicubic of the shorter side to {side} with antialiasing, rounded to 8 bits, centre crop"


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


def normalised(
    images: UInt8[Tensor, "N 3 H W"],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    device: torch.device,
) -> Float[Tensor, "N 3 H W"]:
    """Bytes as float32 of [0, 1], less the mean, over the standard deviation of each channel."""
    mean_311, std_311 = (torch.tensor(values, device=device)[:, None, None] for values in (mean, std))
    return (images.to(device).float() / 255 - mean_311) / std_311
