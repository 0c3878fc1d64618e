"""The adaptive method of Dormand and Prince for the probability-flow ODE, each sample at its own pace."""

import math

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import ThalwegError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.types import Increments, VelocityField
from thalweg_samplers.dormand_prince import Trial, dormand_prince
from thalweg_samplers.options import checked
from thalweg_samplers.times import state, times_of, velocity_at

_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 10.0
_SMALLEST_STEP = 1e-10


class Dopri5:
    """The Dormand-Prince method of order 5(4), every sample with a time and step size of its own.

    A step is accepted if the root mean square of error / (atol + rtol |x|) over the sample's elements
    is at most one; the next size is size * 0.9 / norm^(1/5), between a fifth and ten times the last
    (Hairer, Norsett & Wanner I, equations II.4.11 to 4.13). Steps end where the field says that it
    jumps, since the estimate holds for smooth fields alone. A sample that has arrived is evaluated no
    further if the field offers ``select``.

    Args:
        rtol: tolerated error relative to the state.
        atol: tolerated absolute error.
        first_step: size of the first trial.
        max_steps: trials, rejected ones included.

    Raises:
        ConfigError: an option makes no sense.
    """

    def __init__(
        self, rtol: float = 1e-4, atol: float = 1e-4, first_step: float = 0.05, max_steps: int = 1000
    ) -> None:
        options = checked(Dopri5Config, rtol=rtol, atol=atol, first_step=first_step, max_steps=max_steps)
        self.rtol, self.atol = options.rtol, options.atol
        self.first_step, self.max_steps = options.first_step, options.max_steps

    def __call__(
        self,
        velocity: VelocityField,
        x_1: Float[Tensor, "N *shape"],
        increments: Increments | None = None,  # noqa: ARG002 - the ODE is deterministic
        interpolant: Interpolant | None = None,  # noqa: ARG002 - the ODE needs no score
    ) -> Float[Tensor, "N *shape"]:
        """x_0 in float64.

        Raises:
            ThalwegError: a velocity is not finite, a step becomes too small, or a sample does not
                arrive within ``max_steps``.
        """
        field = _Field(velocity)
        x = state(x_1).clone()
        if x.numel() == 0:
            return x
        slope = torch.empty_like(x)
        t_N = times_of(1.0, x)
        size_N = torch.full_like(t_N, field.bounded(self.first_step, 1.0))
        # Where the slope is not known from the step before: at the beginning and after a jump.
        fresh_N = torch.ones_like(t_N, dtype=torch.bool)
        rows_n = torch.arange(len(x))
        for _ in range(self.max_steps):
            renewed = rows_n[fresh_N[rows_n]]
            if len(renewed):
                renewed = field.reachable(renewed, rows_n)
                inner = field.within(t_N, size_N, renewed)
                slope[renewed] = velocity_at(inner, x[renewed], t_N[renewed]).to(x)
            step = field.within(t_N, size_N, rows_n)
            trial = dormand_prince(step, x[rows_n], slope[rows_n], t_N[rows_n], size_N[rows_n])
            for row, (sample, norm) in enumerate(
                zip(rows_n.tolist(), self._norms(x[rows_n], trial), strict=True)
            ):
                now, size = t_N[sample].item(), size_N[sample].item()
                if norm <= 1:
                    x[sample], slope[sample] = trial.x[row], trial.slope[row]
                    now = now - size
                fresh_N[sample] = norm <= 1 and field.jumps(now)
                t_N[sample] = now
                size_N[sample] = field.bounded(_next_size(norm, size, now), now)
            moving_n = t_N[rows_n] > 0
            if not moving_n.any():
                return x
            rows_n = field.reachable(rows_n[moving_n], rows_n)
        unfinished = int((t_N > 0).sum())
        raise ThalwegError(
            f"dopri5 did not reach t = 0 within max_steps = {self.max_steps}: {unfinished} of {len(x)} "
            f"samples are on the way, the slowest at t = {t_N.max().item():.4g}; raise max_steps, or "
            "loosen rtol and atol"
        )

    def _norms(self, x: Tensor, trial: Trial) -> list[float]:
        scale = self.atol + self.rtol * torch.maximum(x.abs(), trial.x.abs())
        squares = (trial.error / scale).square()
        # Sample by sample: a joint reduction may sum in an order that depends on the batch size.
        return torch.stack([one.mean().sqrt() for one in squares]).tolist()


class _Field:
    """A velocity field with what it offers besides: all of it optional."""

    def __init__(self, velocity: VelocityField) -> None:
        self._velocity = velocity
        self._select = getattr(velocity, "select", None)
        self._breaks: tuple[float, ...] = tuple(getattr(velocity, "breaks", ()))

    def reachable(self, wanted: Tensor, current: Tensor) -> Tensor:
        """The samples that are evaluated where ``wanted`` of ``current`` are to be."""
        return current if self._select is None else wanted

    def within(self, t: Tensor, size: Tensor, rows: Tensor) -> VelocityField:
        """The field of these samples for steps from t to t - size."""
        whole = len(rows) == len(t)
        field = self._velocity if whole or self._select is None else self._select(rows)
        during = getattr(field, "during", None)
        # No step crosses a jump, so its middle determines on which side it is.
        return field if during is None else during(t[rows] - size[rows] / 2)

    def bounded(self, size: float, now: float) -> float:
        """The step size, up to the next jump or t = 0 at most."""
        ahead = now - max((at for at in self._breaks if 0 < at < now - _SMALLEST_STEP), default=0.0)
        # The last step is stretched a little rather than followed by a sliver.
        return ahead if size * 1.01 >= ahead else size

    def jumps(self, now: float) -> bool:
        """Whether the field jumps here."""
        return any(abs(now - at) <= _SMALLEST_STEP for at in self._breaks)


def _next_size(norm: float, size: float, now: float) -> float:
    if not math.isfinite(norm):
        raise ThalwegError(
            f"dopri5 met a velocity that is not finite near t = {now:.4g}; the network's weights are "
            "damaged, have diverged or overflow in this precision"
        )
    factor = _GROW if norm == 0 else min(_GROW, max(_SHRINK, _SAFETY * norm ** (-1 / 5)))
    if norm > 1 and size * factor < _SMALLEST_STEP:
        raise ThalwegError(
            f"dopri5 needs steps below {_SMALLEST_STEP:g} at t = {now:.4g}: the velocity is not smooth "
            "enough for its tolerances; loosen rtol and atol, or take a sampler of fixed steps"
        )
    return size * factor


@attrs.frozen
class Dopri5Config:
    """The adaptive Dormand-Prince method of order 5(4) for the probability-flow ODE.

    The network's own rounding looks like error: in bfloat16 it takes more steps for the same tolerance.

    Attributes:
        rtol: tolerated error of a step relative to the sample.
        atol: tolerated absolute error of a step.
        first_step: size of the first trial, in time.
        max_steps: trials per sample, rejected ones included, before it gives up; each costs six
            evaluations of the network.
    """

    rtol: float = attrs.field(default=1e-4, validator=attrs.validators.gt(0))
    atol: float = attrs.field(default=1e-4, validator=attrs.validators.gt(0))
    first_step: float = attrs.field(default=0.05, validator=[attrs.validators.gt(0), attrs.validators.le(1)])
    max_steps: int = attrs.field(
        default=1000, validator=[attrs.validators.ge(1), attrs.validators.le(1_000_000)]
    )

    def build(self, _: Facts) -> Dopri5:
        """The sampler."""
        return Dopri5(self.rtol, self.atol, self.first_step, self.max_steps)
