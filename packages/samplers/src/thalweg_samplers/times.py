"""What all samplers share: the state they keep, the times they ask for, and what they make of an answer."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from thalweg.arguments import check_instance, described
from thalweg.errors import ConfigError, DataError
from thalweg.interpolant import Interpolant
from thalweg.suggestions import one_line
from thalweg.types import Increments, VelocityField


def state(x_1: Float[Tensor, "N *shape"]) -> Float64[Tensor, "N *shape"]:
    """x_1 in float64, in which every sampler keeps its state.

    Hundreds of small steps are added up; in float32 their rounding alone is visible in the samples.

    Raises:
        ConfigError: it is no tensor.
        DataError: it has no axis of samples, or is complex.
    """
    check_instance("x_1", x_1, Tensor, "noise, such as torch.randn(100, 2)")
    if x_1.dim() == 0:
        raise DataError("x_1 is a single number; give noise of shape (N, ...), such as torch.randn(100)")
    if x_1.is_complex():
        raise DataError("x_1 is complex, and states are real; give its parts as an axis: torch.view_as_real")
    return x_1.to(torch.float64)


def path_of(interpolant: Interpolant | None) -> Interpolant:
    """The path that a field is on: linear unless it is stated.

    Raises:
        ConfigError: it is no path.
    """
    path = Interpolant.named("linear") if interpolant is None else interpolant
    check_instance("interpolant", path, Interpolant, "one such as Interpolant.named('linear')")
    return path


def uniform_times(start: float, stop: float, count: int) -> list[float]:
    """``count`` times at equal distances, both ends included and exact."""
    return [float(t) for t in torch.linspace(start, stop, count, dtype=torch.float64)]


def times_of(t: float, x: Float[Tensor, "N *shape"]) -> Float64[Tensor, " N"]:
    """The same time for every sample of x, on the CPU as a velocity field expects it."""
    return torch.full((x.shape[0],), t, dtype=torch.float64)


def velocity_at(
    velocity: VelocityField, x: Float64[Tensor, "N *shape"], t_N: Float64[Tensor, " N"]
) -> Float[Tensor, "N *shape"]:
    """The velocity at x and t.

    Raises:
        ConfigError: the field cannot be called.
        DataError: the answer is of another shape than x, with which it would broadcast or fail later, or
            complex; or the field takes no float64.
    """
    if not callable(velocity):
        raise ConfigError(f"the field is {described(velocity)}; give a function of x and t")
    try:
        found = velocity(x, t_N)
    except RuntimeError as error:
        if "double" not in str(error).lower():
            raise
        raise DataError(
            f"the field does not take float64, in which samplers keep their state ({one_line(error)}); let "
            "it compute with x.float() and t.float(), or sample by thalweg.sample, which computes in float32"
        ) from error
    if not isinstance(found, Tensor) or found.shape != x.shape:
        shown = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise DataError(
            f"the field gives {shown} for x of {tuple(x.shape)}; it must keep the shape, and times are one a "
            "sample: t.view(-1, 1) for x of shape (N, 2)"
        )
    if found.is_complex():
        raise DataError("the field gives complex velocities, and states are real; give its real part")
    return found


def increment_at(
    increments: Increments, step: int, x: Float64[Tensor, "N *shape"]
) -> Float64[Tensor, "N *shape"]:
    """The increments of a step.

    Raises:
        ConfigError: they are no function of the step that gives tensors.
        DataError: they are of another shape than x.
    """
    if not callable(increments):
        raise ConfigError(f"increments is {described(increments)}; give a function of the step")
    found = increments(step)
    check_instance("an increment", found, Tensor, "draws of x's shape")
    if found.shape != x.shape:
        raise DataError(
            f"the increments of step {step} have the shape {tuple(found.shape)} and x has {tuple(x.shape)}; "
            "give draws of x's shape"
        )
    return found.to(x)
