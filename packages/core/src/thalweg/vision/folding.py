"""Batch normalisation folded into the convolution before it, as inference allows."""

from collections.abc import Mapping

from torch import Tensor


def folded(
    tensors: Mapping[str, Tensor], convolution: str, normalisation: str, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does both; folded in float64, given in float32.

    Args:
        tensors: the weights, with ``weight`` under the convolution's name, and ``weight``, ``bias``,
            ``running_mean`` and ``running_var`` under the normalisation's.
        convolution: name of the convolution, which has no bias.
        normalisation: name of the normalisation.
        epsilon: what it adds to the variance.

    Raises:
        KeyError: if a tensor is missing.
    """
    gain, bias, mean, variance = (
        tensors[f"{normalisation}.{part}"].double()
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gain / (variance + epsilon).sqrt()
    weight = tensors[f"{convolution}.weight"].double() * factor[:, None, None, None]
    return weight.float(), (bias - mean * factor).float()
