"""What a path between data and noise keeps."""

from collections.abc import Callable

import torch
from torch import Tensor

from thalweg.interpolant import Schedule
from thalweg_authoring.numbers import require_near, require_shape, require_unit
from thalweg_authoring.rules import require, rule
from thalweg_authoring.subject import Subject

_WEIGHTS = ("alpha", "sigma", "d_alpha", "d_sigma")
_STEP = 1e-5


def at(*times: float) -> Tensor:
    """Times in float64."""
    return torch.tensor(times, dtype=torch.float64)


def determinant(path: Schedule, t: Tensor) -> Tensor:
    """alpha sigma' - alpha' sigma: the slope of sigma / alpha, times alpha^2."""
    return path.alpha(t) * path.d_sigma(t) - path.d_alpha(t) * path.sigma(t)


@rule("interpolant")
def it_leads_from_data_to_noise(subject: Subject) -> None:
    """alpha(0) = sigma(1) = 1 and alpha(1) = sigma(0) = 0."""
    path = subject.build()
    for name, ends in (("alpha", at(1.0, 0.0)), ("sigma", at(0.0, 1.0))):
        found = getattr(path, name)(at(0.0, 1.0))
        require_near(
            found,
            ends,
            f"{name} is {float(found[0]):.3g} at t = 0 and {float(found[1]):.3g} at t = 1; it must be "
            f"{int(ends[0])} and {int(ends[1])}: t = 0 is data and t = 1 is noise",
            atol=1e-9,
        )


@rule("interpolant")
def its_slopes_are_those_of_its_weights(subject: Subject) -> None:
    """d_alpha and d_sigma are the derivatives of alpha and sigma, by central differences."""
    path, t = subject.build(), torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    for name in ("alpha", "sigma"):
        weight: Callable[[Tensor], Tensor] = getattr(path, name)
        slope = (weight(t + _STEP) - weight(t - _STEP)) / (2 * _STEP)
        require_near(
            getattr(path, f"d_{name}")(t),
            slope,
            f"d_{name} is not the derivative of {name}; differentiate it again",
            rtol=1e-5,
            atol=1e-6,
        )


@rule("interpolant")
def noise_outweighs_data_ever_more(subject: Subject) -> None:
    """alpha sigma' - alpha' sigma is above 0 on all of [0, 1], so conversions divide by no zero."""
    found = determinant(subject.build(), torch.linspace(0, 1, 1001, dtype=torch.float64))
    require(found.isfinite().all(), "a derivative is not finite on [0, 1]; take a path that is smooth there")
    lowest = int(found.argmin())
    require(
        float(found[lowest]) > 1e-6,
        f"alpha sigma' - alpha' sigma is {float(found[lowest]):.3g} at t = {lowest / 1000:g}, and "
        "conversions divide by it; let sigma / alpha rise strictly all the way",
    )


@rule("interpolant")
def time_of_ratio_finds_the_time_again(subject: Subject) -> None:
    """sigma / alpha is s at the time of s, for noise from a ten-thousandth to ten thousand times the data."""
    path, s = subject.build(), torch.logspace(-4, 4, 33, dtype=torch.float64)
    t = path.time_of_ratio(s)
    require_shape("the time of 33 ratios", t, (33,), torch.float64)
    require_unit(t)
    require_near(
        (path.sigma(t) / path.alpha(t)).log(),
        s.log(),
        "sigma / alpha at time_of_ratio(s) is not s; solve sigma(t) = s alpha(t) for t",
        atol=1e-6,
    )


@rule("interpolant")
def it_takes_times_of_any_shape_and_dtype(subject: Subject) -> None:
    """As many numbers as times, in their shape and dtype, and the times are left as they were."""
    path = subject.build()
    for dtype in (torch.float32, torch.float64):
        for shape in ((), (3,), (2, 1, 1)):
            t = torch.full(shape, 0.3, dtype=dtype)
            for name in (*_WEIGHTS, "time_of_ratio"):
                require_shape(f"{name} of times of shape {shape}", getattr(path, name)(t), shape, dtype)
            require(torch.equal(t, torch.full_like(t, 0.3)), "the times are written to; work on a copy")
