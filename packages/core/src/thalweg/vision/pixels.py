"""Images on their way into a vision network."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.errors import DataError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


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


def normalised(
    images: UInt8[Tensor, "N 3 H W"],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    device: torch.device,
) -> Float[Tensor, "N 3 H W"]:
    """Bytes as float32 of [0, 1], less the mean, over the standard deviation of each channel."""
    mean_311, std_311 = (torch.tensor(values, device=device)[:, None, None] for values in (mean, std))
    return (images.to(device).float() / 255 - mean_311) / std_311
