"""One step of the Dormand-Prince pair of orders five and four."""

import attrs
from jaxtyping import Float64
from torch import Tensor

from thalweg.types import VelocityField
from thalweg_samplers.times import velocity_at

# Dormand & Prince 1980; Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, table 5.2.
_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
# Fifth-order weights minus those of the embedded fourth-order method.
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


@attrs.frozen(eq=False)
class Trial:
    """One step of the method, not yet accepted.

    Attributes:
        x: the fifth-order solution at its end.
        slope: the velocity there, which is the next step's first stage.
        error: the estimated local error of the fourth-order solution.
    """

    x: Float64[Tensor, "N *shape"]
    slope: Float64[Tensor, "N *shape"]
    error: Float64[Tensor, "N *shape"]


def dormand_prince(
    velocity: VelocityField,
    x: Float64[Tensor, "N *shape"],
    slope: Float64[Tensor, "N *shape"],
    t: Float64[Tensor, " N"],
    size: Float64[Tensor, " N"],
) -> Trial:
    """One step from t to t - size: six evaluations.

    Args:
        velocity: dx/dt.
        x: the state at t.
        slope: velocity(x, t), known from the step before.
        t: where each sample stands.
        size: how far each goes towards t = 0.
    """
    dt = -size.to(x.device).view(-1, *[1] * (x.dim() - 1))
    slopes = [slope]
    end = x
    for node, weights in zip(_NODES, _STAGES, strict=True):
        end = x + dt * _combine(weights, slopes)
        slopes.append(velocity_at(velocity, end, t - node * size))
    return Trial(x=end, slope=slopes[-1], error=dt * _combine(_ERROR, slopes))


def _combine(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=True):
        if weight:
            total = total + weight * slope
    return total
