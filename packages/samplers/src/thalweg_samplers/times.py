"""What all samplers share: the state they keep and the times they ask for."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor


def state(x_1: Float[Tensor, "N *shape"]) -> Float64[Tensor, "N *shape"]:
    """x_1 in float64, in which every sampler keeps its state.

    Hundreds of small steps are added up; in float32 their rounding alone is visible in the samples.
    """
    return x_1.to(torch.float64)


def uniform_times(start: float, stop: float, count: int) -> list[float]:
    """``count`` times at equal distances, both ends included and exact."""
    return [float(t) for t in torch.linspace(start, stop, count, dtype=torch.float64)]


def times_of(t: float, x: Float[Tensor, "N *shape"]) -> Float64[Tensor, " N"]:
    """The same time for every sample of x, on the CPU as a velocity field expects it."""
    return torch.full((x.shape[0],), t, dtype=torch.float64)
