"""One step of an exponential integrator for the clean-data prediction, exact where that is a polynomial.

With lambda = log(alpha / sigma) and D = E[x_0 | x_t], the probability-flow ODE is d(x / sigma) = D d(alpha /
sigma), so from s to t (Lu et al. 2022, DPM-Solver++, proposition 4.1)

    x_t = (sigma_t / sigma_s) x_s + sigma_t int e^lambda D(lambda) dlambda,  lambda from lambda_s to lambda_t.

D is a polynomial in lambda through known values; h = lambda_t - lambda_s. What multiplies a constant D is
alpha_t (1 - e^-h), which stays finite where h does not: alpha_t from noise on, 1 up to data.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from thalweg.interpolant import Interpolant
from thalweg.types import VelocityField
from thalweg_samplers.path_points import PathPoint
from thalweg_samplers.times import times_of, velocity_at

Known = tuple[PathPoint, Float64[Tensor, "N *shape"]]
"""A clean-data prediction, and where it was made."""

_TERMS = 20  # of the series, which for h < 1 end below rounding


def clean_at(
    field: VelocityField, x: Float64[Tensor, "N *shape"], t: float, path: Interpolant
) -> Float64[Tensor, "N *shape"]:
    """E[x_0 | x_t] by the field: one evaluation."""
    times_N = times_of(t, x)
    return path.clean(x, velocity_at(field, x, times_N).to(x), times_N)


def advanced(
    x: Float64[Tensor, "N *shape"], start: Known, stop: PathPoint, others: Sequence[Known] = ()
) -> Float64[Tensor, "N *shape"]:
    """x at ``stop``, from x at ``start``.

    Args:
        x: where the step begins.
        start: that point with its prediction.
        stop: where it ends.
        others: further predictions that the polynomial passes through: earlier ones, or the one at
            ``stop``. No polynomial passes through one at infinite lambda, nor over an infinite step: there
            they are left out.
    """
    begin, clean = start
    origin = begin.half_log_snr
    width = stop.half_log_snr - origin
    x = stop.sigma / begin.sigma * x - stop.alpha * math.expm1(-width) * clean
    placed = [((point.half_log_snr - origin) / width, other) for point, other in others if width < math.inf]
    placed = [one for one in placed if math.isfinite(one[0])]
    weights = polynomial_weights(width, [place for place, _ in placed])
    for weight, (_, other) in zip(weights, placed, strict=True):
        x = x + stop.alpha * weight * (other - clean)
    return x


def polynomial_weights(width: float, places: Sequence[float]) -> list[float]:
    """Weights of the differences D_m - D_s in a step, over alpha_t.

    They are exact for polynomials up to the degree of their number. One alone has the weight (1 - e^-h) /
    (2 r), which is the same to second order, as in DPM-Solver++(2M) and in UniPC with B(h) = e^h - 1.

    Args:
        width: h.
        places: r_m = (lambda_m - lambda_s) / h of each, none of them 0.
    """
    if len(places) < 2:
        return [-math.expm1(-width) / (2 * place) for place in places]
    degrees = range(1, len(places) + 1)
    rows = torch.tensor([[place**degree for place in places] for degree in degrees], dtype=torch.float64)
    moments = torch.tensor([moment(width, degree) for degree in degrees], dtype=torch.float64)
    found: list[float] = torch.linalg.solve(rows, moments).tolist()
    return found


def moment(width: float, degree: int) -> float:
    """int_0^h e^(u - h) (u / h)^k du of h and k, which is k! h phi_{k+1} of exponential integrators."""
    if width < 1:
        # By parts each degree divides the rounding of the one before by h.
        return sum(
            (-width) ** j * width * math.factorial(degree) / math.factorial(degree + j + 1)
            for j in range(_TERMS)
        )
    found = -math.expm1(-width)
    for k in range(1, degree + 1):
        found = 1 - k / width * found
    return found
