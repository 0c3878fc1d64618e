"""Linear centred kernel alignment (CKA) of hidden states, debiased, from batches.

CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) for kernels K_ij = <z_i, z_j> of flattened hidden states
(Kornblith et al. 2019, equation 4), with the unbiased estimator of HSIC (Song et al. 2012, equation 5), whose
mean over batches is unbiased too (Nguyen et al. 2021, equation 3). It is 1 for states that differ by a
rotation, a shift or a factor, and 0 in the mean for independent ones, however many dimensions they have; so
it can be a little below 0. Kernels are of one batch each.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from thalweg.devices import exact

FEWEST = 4
"""Samples of a batch, with fewer of which the estimator is not defined."""


class DebiasedCKA:
    """Sums over batches of HSIC between all pairs of states."""

    def __init__(self) -> None:
        self._count = 0
        self._hsic: Tensor | None = None

    def update(self, states: Sequence[Float[Tensor, "N *_"]]) -> None:
        """Take a batch of each of the S states; one of fewer than four samples does not count."""
        n = len(states[0])
        if n < FEWEST:
            return
        hsic = n * _hsic(torch.stack([_kernel(one) for one in states]))
        self._hsic = hsic if self._hsic is None else self._hsic + hsic
        self._count += n

    def result(self) -> list[list[float | None]]:
        """CKA of all pairs, S x S; None where a state is the same for all samples."""
        assert self._hsic is not None  # noqa: S101 - nobody measures fewer samples
        hsic = self._hsic / self._count
        own = hsic.diagonal()
        cka = hsic / (own.unsqueeze(0) * own.unsqueeze(1)).clamp(min=0).sqrt()
        known = (own > 0).unsqueeze(0) & (own > 0).unsqueeze(1)
        return [
            [value if there else None for value, there in zip(*rows, strict=True)]
            for rows in zip(cka.tolist(), known.tolist(), strict=True)
        ]


def _kernel(states: Float[Tensor, "N *shape"]) -> Float64[Tensor, "N N"]:
    flat = exact(states).flatten(1)
    flat = flat - flat.mean(0)  # which changes nothing but rounding
    kernel = flat @ flat.mT
    return kernel.fill_diagonal_(0.0)


def _hsic(K_SNN: Float64[Tensor, "S N N"]) -> Float64[Tensor, "S S"]:
    """The unbiased estimates of all pairs, from kernels without diagonals."""
    n = K_SNN.shape[1]
    flat_SM, rows_SN = K_SNN.flatten(1), K_SNN.sum(2)
    sums_S = rows_SN.sum(1)
    whole = flat_SM @ flat_SM.mT
    whole = whole + torch.outer(sums_S, sums_S) / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows_SN @ rows_SN.mT
    return (whole / (n * (n - 3))).cpu()
