"""The Frechet distance at 2048 dimensions, whose trace comes from symmetric eigenvalues.

Against scipy's square root of the product of covariances, and against the eigenvalues of that product, which
is not symmetric, as torch-fidelity takes them.
"""

from common import Verdict, alternately  # isort: skip

import argparse

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from thalweg_eval.metrics.frechet import frechet_distance

THAN_ROOT, THAN_EIGENVALUES, SAME = 10.0, 2.5, 1e-6


def moments(count: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance of features whose variances fall over four decades."""
    draws = torch.Generator().manual_seed(seed)
    mixed = torch.linalg.qr(torch.randn(width, width, generator=draws, dtype=torch.float64)).Q
    scales = torch.logspace(0, -2, width, dtype=torch.float64)
    features = (torch.randn(count, width, generator=draws, dtype=torch.float64) * scales) @ mixed.T
    return features.mean(0), torch.cov(features.T)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    verdict = Verdict()
    (mean_1, S_1), (mean_2, S_2) = (moments(2 * options.width, options.width, seed) for seed in (0, 1))
    first, second = S_1.numpy(), S_2.numpy()

    def ours() -> float:
        return frechet_distance(mean_1, S_1, mean_2, S_2)

    def with_trace(trace: float) -> float:
        return float((mean_1 - mean_2).square().sum() + S_1.trace() + S_2.trace()) - 2 * trace

    def by_root() -> float:
        return with_trace(np.trace(scipy.linalg.sqrtm(first @ second)).real)

    def by_eigenvalues() -> float:
        return with_trace(np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum())

    expected = by_eigenvalues()
    verdict.at_most("relative difference of the distance", abs(ours() / expected - 1), SAME)
    verdict.at_most("the same of scipy's root", abs(by_root() / expected - 1), SAME)
    seconds = alternately({"ours": ours, "root": by_root, "eigenvalues": by_eigenvalues}, options.rounds)
    print(", ".join(f"{name} {taken:.2f} s" for name, taken in seconds.items()))
    verdict.at_least("times as fast as scipy sqrtm", seconds["root"] / seconds["ours"], THAN_ROOT)
    verdict.at_least(
        "times as fast as eigenvalues", seconds["eigenvalues"] / seconds["ours"], THAN_EIGENVALUES
    )
    verdict.exit()


if __name__ == "__main__":
    main()
