"""Bringing tensors to a device without waiting for it."""

import torch
from jaxtyping import Shaped
from torch import Tensor


def moved(tensor: Shaped[Tensor, "*shape"], device: torch.device | str) -> Shaped[Tensor, "*shape"]:
    """A tensor on a device.

    On its way to CUDA from memory that is not pinned the host first copies it, so nothing waits for what the
    device still has to do, and the tensor may change at once. In every other direction the copy is complete
    when this returns.

    Args:
        tensor: wherever it is.
        device: where it is wanted.
    """
    return tensor.to(device, non_blocking=torch.device(device).type == "cuda" and not tensor.is_pinned())
