"""Latents brought to mean 0 and standard deviation 1, channel by channel, and back."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.facts import Normalisation


def normalised(x: Float[Tensor, "N C *shape"], by: Normalisation | None) -> Float[Tensor, "N C *shape"]:
    """(x - mean) / std; as it is without."""
    return x if by is None else (x - _like(by.mean, x)) / _like(by.std, x)


def denormalised(x: Float[Tensor, "N C *shape"], by: Normalisation | None) -> Float[Tensor, "N C *shape"]:
    """x std + mean, as an autoencoder decodes it; as it is without."""
    return x if by is None else x * _like(by.std, x) + _like(by.mean, x)


def _like(values: Sequence[float], x: Tensor) -> Tensor:
    return torch.tensor(values, dtype=x.dtype, device=x.device).view(-1, *[1] * (x.dim() - 2))
