"""What a sampler keeps, on fields of which everything is known."""

from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.broadcasting import like
from thalweg.randomness import SampleNoise
from thalweg_authoring.gaussian import COSINE, LINEAR, Gaussian, orders
from thalweg_authoring.numbers import draws
from thalweg_authoring.rules import does_not_apply, require, rule
from thalweg_authoring.subject import Subject

SHAPE = (3, 5, 7)
_FEWEST = 16


class Increments:
    """N(0, I) draws, and a record of the requested steps."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.steps = shape, list[int]()

    def __call__(self, step: int) -> Tensor:
        """The draws of a step."""
        self.steps.append(step)
        return draws(*self.shape, seed=1000 + step)


@attrs.frozen(eq=False)
class KnownField:
    """A velocity field whose averages are known.

    Attributes:
        velocity: at x and t.
        average: over [r, t], of the flow through x at t: ``average(x, t, r)``.
    """

    velocity: Callable[[Tensor, Tensor], Tensor]
    average: Callable[[Tensor, Tensor, Tensor], Tensor]

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """The velocity."""
        return self.velocity(x, t)


def _decayed(x: Tensor, t: Tensor, r: Tensor) -> Tensor:
    gap = like(t - r, x)
    return -x * torch.expm1(gap) / gap


decay = KnownField(lambda x, _: -x, _decayed)
"""The velocity -x."""


def constant(v: Tensor) -> KnownField:
    """The velocity v everywhere."""
    return KnownField(lambda *_: v, lambda *_: v)


def follows_averages(subject: Subject) -> bool:
    """Whether it reads average velocities, so that its steps are exact where these are."""
    return bool(getattr(subject.build(), "needs_average", False))


def stochastic(subject: Subject) -> bool:
    """Whether it asks for increments."""
    increments = Increments((1, *SHAPE))
    subject.build()(decay, draws(1, *SHAPE), increments, LINEAR)
    return bool(increments.steps)


def carried(subject: Subject, x_1: Tensor, what: str) -> Tensor:
    """Where a velocity that is the same everywhere carries noise; it must be the whole way."""
    v, increments = draws(*x_1.shape, seed=1).double(), Increments(tuple(x_1.shape))
    x_0: Tensor = subject.build()(constant(v), x_1, increments, LINEAR)
    require(
        x_0.shape == x_1.shape,
        f"{what} become {tuple(x_0.shape)}; keep {tuple(x_1.shape)}, and multiply by times that are viewed "
        "as (-1, *[1] * (x.dim() - 1))",
    )
    if not increments.steps:
        gap = float((x_0 - (x_1.double() - v)).abs().max())
        cure = "let the steps add up to the way from 1 to 0"
        require(gap < 1e-12, f"of {what} x_0 misses x_1 - v by {gap:.3g}; {cure}")
    return x_0


@rule("sampler")
def a_constant_velocity_is_followed_to_the_end(subject: Subject) -> None:
    """x_0 = x_1 - v if the velocity is v everywhere: the steps cover the whole way from t = 1 to 0."""
    for dtype in (torch.float32, torch.float64):
        x_1 = draws(2, *SHAPE, dtype=dtype)
        x_0 = carried(subject, x_1, f"samples of {dtype}")
        require(
            x_0.dtype == torch.float64,
            f"x_0 is {x_0.dtype}; keep the state in float64, whatever the noise is in",
        )
        require(x_0.device == x_1.device, "x_0 is on another device than x_1")
        require(torch.isfinite(x_0).all(), "x_0 is not finite")


@rule("sampler")
def samples_have_any_shape(subject: Subject) -> None:
    """Points, vectors and volumes are carried like images: no axis is taken for granted but the first."""
    for shape in ((5,), (5, 2), (5, 2, 3), (5, 1, 2, 3, 2)):
        try:
            carried(subject, draws(*shape, dtype=torch.float64), f"samples of shape {shape}")
        except (RuntimeError, ValueError, IndexError) as error:
            require(
                False,
                f"samples of shape {shape} raise {type(error).__name__}; multiply by times that are viewed "
                "as (-1, *[1] * (x.dim() - 1))",
            )


@rule("sampler")
def noise_becomes_data(subject: Subject) -> None:
    """Gaussian data come out with their mean and deviation, on both paths."""
    for interpolant in (LINEAR, COSINE):
        data = Gaussian(interpolant, mu=0.7, s=0.4)
        x_1 = draws(256, 1, 8, 8, dtype=torch.float64)
        field = KnownField(data.velocity, data.average)
        x_0 = subject.build()(field, x_1, Increments(tuple(x_1.shape)), interpolant)
        # 16,384 draws: three standard errors of the mean are 0.01, and of the deviation 0.007.
        for what, found, true in (("mean", x_0.mean(), data.mu), ("deviation", x_0.std(), data.s)):
            require(
                abs(float(found) - true) < 0.03,
                f"samples of N(0.7, 0.4^2) have the {what} {float(found):.3f}; check the sign and size of "
                "the steps and, if it is stochastic, of the drift",
            )


@rule("sampler")
def increments_are_asked_for_in_order(subject: Subject) -> None:
    """A stochastic sampler asks for the increments of steps 0, 1, 2, ... once each."""
    increments = Increments((2, *SHAPE))
    subject.build()(decay, draws(2, *SHAPE), increments, LINEAR)
    require(
        increments.steps == list(range(len(increments.steps))),
        f"it asks for the increments of steps {increments.steps[:5]}...; ask for 0, 1, 2, ... once each",
    )


@rule("sampler")
def times_are_float64_on_the_cpu_and_within_the_unit_interval(subject: Subject) -> None:
    """The field is evaluated at times in [0, 1], one a sample, in float64 on the CPU, from t = 1 on."""
    seen: list[Tensor] = []

    def field(x: Tensor, *times: Tensor) -> Tensor:
        seen.extend(t.clone() for t in times)
        require(
            x.dtype == torch.float64 and tuple(x.shape) == (2, *SHAPE),
            "the field is evaluated at another dtype or shape",
        )
        return -x

    subject.build()(KnownField(field, field), draws(2, *SHAPE), Increments((2, *SHAPE)), LINEAR)
    require(seen, "it never asks for the velocity")
    for t in seen:
        require(
            (t.dtype, t.device.type, tuple(t.shape)) == (torch.float64, "cpu", (2,)),
            f"it asks at times of {t.dtype}, shape {tuple(t.shape)}; pass one float64 on the CPU a sample",
        )
    times = torch.stack(seen)
    require(float(times.max()) == 1.0, f"its largest time is {float(times.max())}; start at t = 1")
    require(float(times.min()) >= -1e-12, f"it asks at t = {float(times.min())}; stay within [0, 1]")


@rule("sampler")
def a_sample_does_not_depend_on_its_neighbours(subject: Subject) -> None:
    """A sample comes out bit by bit the same alone and in any batch."""
    strengths = torch.tensor([0.1, 1.0, 5.0, 0.5]).double()

    def drawn(rows: list[int]) -> Any:
        noise = SampleNoise(7, rows, SHAPE)
        mine = strengths[rows].view(-1, 1, 1, 1)

        def field(x: Tensor, t: Tensor, *_: Tensor) -> Tensor:
            require(
                len(x) == len(rows),
                "it asks for the velocity of fewer samples than it has; use velocity.select(index) where "
                "there is one",
            )
            return -mine * x.sin() * (1 + t.view(-1, 1, 1, 1))

        return subject.build()(KnownField(field, field), noise.initial(), noise.increments, LINEAR)

    whole = drawn([0, 1, 2, 3])
    for rows in ([0], [2], [3, 1]):
        require(
            torch.equal(drawn(rows), whole[rows]),
            "a sample depends on its neighbours; take no norm, maximum or step size over the whole batch",
        )


@rule("sampler")
def two_calls_give_the_same_and_the_noise_is_left_alone(subject: Subject) -> None:
    """It keeps nothing between calls, and writes neither into x_1 nor into a global generator."""
    x_1 = draws(2, *SHAPE)
    kept, state = x_1.clone(), torch.get_rng_state()
    sampler = subject.build()
    first, second = (sampler(decay, x_1, Increments(tuple(x_1.shape)), LINEAR) for _ in range(2))
    require(torch.equal(x_1, kept), "it writes into x_1; make new tensors (no +=, no add_)")
    require(torch.equal(first, second), "two calls differ; keep no state from one call to the next")
    require(
        torch.equal(torch.get_rng_state(), state),
        "it draws from torch's global generator; take what is drawn from increments(step)",
    )


@rule("sampler")
def it_converges_at_its_order(subject: Subject) -> None:
    """Twice the steps make the error 2^order times smaller: ``order`` of the sampler, 1 unless stated.

    One that reads average velocities is exact in any number of steps.
    """
    if not subject.has("steps"):
        does_not_apply("it chooses its steps itself")
    if stochastic(subject):
        does_not_apply("it follows no single path")
    data, x_1 = Gaussian(LINEAR, s=0.4), draws(4, *SHAPE, dtype=torch.float64)
    stated = getattr(subject.build(), "order", 1)
    errors = []
    for steps in (_FEWEST, 2 * _FEWEST, 4 * _FEWEST, 8 * _FEWEST):
        field = KnownField(data.velocity, data.average)
        x_0 = subject.build(steps=steps)(field, x_1, Increments(tuple(x_1.shape)), LINEAR)
        errors.append(float((x_0 - data.flow(x_1)).norm()))
    if follows_averages(subject):
        largest = max(errors)
        cure = "let a step be x - (t - r) u"
        require(largest < 1e-9, f"along exact averages the error is {largest:.3g}; {cure}")
        return
    found = orders(errors)[-1] if min(errors) > 0 else float("inf")
    require(
        found > stated - 0.25,
        f"the error falls with order {found:.2f} in the steps, and order {stated} is stated; check the "
        "weights of the formula, and the order of its first steps",
    )
