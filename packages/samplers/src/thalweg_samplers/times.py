"""What all samplers share: the state they keep, the times they ask for, and what they make of an answer."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from thalweg.arguments import check_instance
from thalweg.errors import DataError
from thalweg.types import Increments, VelocityField


def state(x_1: Float[Tensor, "N *shape"]) -> Float64[Tensor, "N *shape"]:
    """x_1 in float64, in which every sampler keeps its state.

    Hundreds of small steps are added up; in float32 their rounding alone is visible in the samples.

    Raises:
        ConfigError: it is no tensor.
        DataError: it has no axis of samples.
    """
    check_instance("x_1", x_1, Tensor, "noise, such as torch.randn(100, 2)")
    if x_1.dim() == 0:
        raise DataError("x_1 is a single number; give noise of shape (N, ...), such as torch.randn(100)")
    return x_1.to(torch.float64)


def uniform_times(start: float, stop: float, count: int) -> list[float]:
    """``count`` times at equal distances, both ends included and exact."""
    return [float(t) for t in torch.linspace(start, stop, count, dtype=torch.float64)]


def times_of(t: float, x: Float[Tensor, "N *shape"]) -> Float64[Tensor, " N"]:
    """The same time for every sample of x, on the CPU as a velocity field expects it."""
    return torch.full((x.shape[0],), t, dtype=torch.float64)


def asked(
    velocity: VelocityField, x: Float64[Tensor, "N *shape"], t_N: Float64[Tensor, " N"]
) -> Float[Tensor, "N *shape"]:
    """The velocity at x and t.

    Raises:
        DataError: it is of another shape than x, with which it would broadcast or fail later.
    """
    found = velocity(x, t_N)
    if not isinstance(found, Tensor) or found.shape != x.shape:
        shown = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise DataError(
            f"the field gives {shown} for x of {tuple(x.shape)}; it must keep the shape, and times are one a "
            "sample: t.view(-1, 1) for x of shape (N, 2)"
        )
    return found


def drawn(increments: Increments, step: int, x: Float64[Tensor, "N *shape"]) -> Float64[Tensor, "N *shape"]:
    """The increments of a step.

    Raises:
        DataError: they are of another shape than x.
    """
    found = increments(step)
    if found.shape != x.shape:
        raise DataError(
            f"the increments of step {step} have the shape {tuple(found.shape)} and x has {tuple(x.shape)}; "
            "give draws of x's shape"
        )
    return found.to(x)
