"""What the tests of samplers share beside :mod:`thalweg_authoring.gaussian`."""

import torch

from thalweg_authoring.gaussian import COSINE, LINEAR, Gaussian, orders

__all__ = ["COSINE", "LINEAR", "Gaussian", "no_increments", "noise", "orders"]


def noise(count, shape=(2, 3, 3), seed=0):
    return torch.randn(count, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def no_increments(step):
    raise AssertionError("a deterministic sampler asked for an increment")
