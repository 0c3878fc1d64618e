"""The multistep methods: orders on flows with a known solution, exactness, both infinite ends, and jumps."""

import math
from itertools import pairwise

import attrs
import numpy as np
import pytest
import torch

from samplers.gaussian import COSINE, LINEAR, Gaussian, no_increments, noise, orders
from samplers.mixture import Mixture
from thalweg.guidance import ConditionedField
from thalweg.types import Condition
from thalweg_samplers import ClassifierFree, Heun, Multistep, UniPC
from thalweg_samplers.exponential import advanced, moment
from thalweg_samplers.path_points import PathPoint, path_points

PATHS = pytest.mark.parametrize("path", [LINEAR, COSINE], ids=["linear", "cosine"])
BOTH = pytest.mark.parametrize("sampler", [Multistep, UniPC], ids=["multistep", "unipc"])

# What DPMSolverMultistepScheduler (dpmsolver++, solver_order 2, midpoint) and UniPCMultistepScheduler (bh2,
# solver_order 2 and 3) of diffusers 0.42 give with flow sigmas 7/8, 6/8, ..., 0 after one Euler step from 1,
# on Mixture.of((2,)); the first of them computes in float32.
NOISE = [[0.3, -1.2], [1.1, 0.4], [-0.7, 0.9]]
REFERENCES = [
    (
        Multistep(8),
        [
            [-0.39363650918189563, -1.2670584134790537],
            [0.763409926116624, 1.0470345598977526],
            [0.2639768789539994, 1.1410128798360262],
        ],
        1e-7,
    ),
    (
        UniPC(8),
        [
            [-0.3893804357078272, -1.2657151184120305],
            [0.7645796071394596, 1.042204967282543],
            [0.2585546752542688, 1.1393286661150182],
        ],
        1e-14,
    ),
    (
        UniPC(8, predictor_order=3),
        [
            [-0.3778569655356089, -1.246285010099019],
            [0.7558365739287461, 1.0211020688296912],
            [0.25317702058155506, 1.1331948643653005],
        ],
        1e-14,
    ),
]


@attrs.define
class Watched:
    """A field that notes the states and times at which it is asked."""

    field: object
    states: list = attrs.field(factory=list)
    times: list = attrs.field(factory=list)

    def __call__(self, x, t):
        self.states.append(x)
        self.times.append(t[0].item())
        return self.field(x, t)


def solve(sampler, field, x_1, path=LINEAR):
    return sampler(field, x_1, no_increments, path)


@pytest.mark.parametrize(("sampler", "x_0", "gap"), REFERENCES, ids=["multistep", "unipc-2", "unipc-3"])
def test_samples_are_those_of_the_published_methods_on_a_flow(sampler, x_0, gap):
    found = solve(sampler, Mixture.of((2,)).velocity, torch.tensor(NOISE, dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor(x_0, dtype=torch.float64), rtol=0, atol=gap)


@PATHS
@pytest.mark.parametrize(
    ("sampler", "options", "order"),
    [
        (Multistep, {"ends": (0.85, 0.3)}, 2),
        (UniPC, {"ends": (0.85, 0.3)}, 3),
        (UniPC, {"ends": (0.8, 0.2), "predictor_order": 3}, 4),
    ],
    ids=["multistep", "unipc-2", "unipc-3"],
)
def test_states_between_fixed_ends_converge_with_the_order(sampler, options, order, path):
    data, errors = Gaussian(path), []
    for steps in (16, 32, 64):
        # From the end of the first step to the same place between the ends.
        field = Watched(data.velocity)
        solve(sampler(steps + 2, spacing="lambda", **options), field, noise(4), path)
        begin, end = 1, 3 * steps // 4 + 1
        first, last = (torch.full((4,), field.times[at], dtype=torch.float64) for at in (begin, end))
        # Along the flow standardised values stay what they are.
        (_, _, m_first, c2_first), (_, _, m_last, c2_last) = (
            data._at(t, field.states[0]) for t in (first, last)
        )
        exact = m_last + (c2_last / c2_first).sqrt() * (field.states[begin] - m_first)
        errors.append((field.states[end] - exact).norm().item())
    assert orders(errors) == pytest.approx([order, order], abs=0.35)


@PATHS
@pytest.mark.parametrize("predictor_order", [2, 3])
def test_unipc_converges_with_order_two_on_equal_steps(predictor_order, path):
    data, x_1 = Gaussian(path), noise(4)
    errors = [
        (solve(UniPC(steps, predictor_order), data.velocity, x_1, path) - data.flow(x_1)).norm().item()
        for steps in (100, 200)
    ]
    assert orders(errors) == pytest.approx([2], abs=0.25)


@PATHS
def test_multistep_converges_with_order_two_up_to_a_logarithm_on_equal_steps(path):
    data, x_1, counts = Gaussian(path), noise(4), (100, 200)
    scaled = [
        (solve(Multistep(steps), data.velocity, x_1, path) - data.flow(x_1)).norm().item()
        * steps**2
        / math.log(steps)
        for steps in counts
    ]
    # At first order it would rise by 1.74.
    assert max(scaled) < 1.4 * min(scaled)


@BOTH
@PATHS
@pytest.mark.parametrize("spacing", ["t", "lambda"])
def test_a_constant_clean_prediction_is_followed_exactly_from_end_to_end(sampler, path, spacing):
    data, x_1 = Gaussian(path, mu=0.7, s=0.0), noise(2)
    field = Watched(data.velocity)
    x_0 = solve(sampler(6, spacing=spacing), field, x_1, path)
    torch.testing.assert_close(x_0, torch.full_like(x_0, 0.7), rtol=0, atol=1e-13)
    for x, t in zip(field.states, field.times, strict=True):
        time = torch.full((2,), t, dtype=torch.float64)
        torch.testing.assert_close(x, path.x_t(torch.full_like(x, 0.7), x_1, time), rtol=0, atol=1e-13)


def test_moments_are_the_integrals():
    nodes, weights = np.polynomial.legendre.leggauss(24)
    u = (nodes + 1) / 2
    for width in (1e-6, 0.3, 0.999, 1.001, 6.0):
        for degree in range(4):
            integral = (weights / 2 * width * np.exp(width * (u - 1)) * u**degree).sum()
            assert moment(width, degree) == pytest.approx(integral, rel=1e-12)


@pytest.mark.parametrize("degree", [0, 2, 3])
def test_a_step_is_exact_for_polynomials_in_lambda_through_what_is_known(degree):
    def at(value):  # on the variance-preserving path
        alpha = 1 / math.sqrt(1 + math.exp(-2 * value))
        return PathPoint(2 / math.pi * math.acos(alpha), alpha, math.sqrt(1 - alpha**2))

    def clean(value):
        return sum((value - 0.3) ** k / (k + 1) for k in range(degree + 1))

    def known(value):
        return at(value), torch.tensor([clean(value)], dtype=torch.float64)

    start, stop = known(-0.2), at(0.5)
    others = [known(value) for value in (0.5, -0.6, -1.1)[:degree]]
    found = advanced(torch.tensor([1.3], dtype=torch.float64), start, stop, others)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    values = 0.15 + 0.35 * nodes
    integral = (0.35 * weights * np.exp(values) * clean(values)).sum()
    exact = stop.sigma / start[0].sigma * 1.3 + stop.sigma * integral
    assert found.item() == pytest.approx(exact, rel=1e-12)


def test_times_are_even_in_t_or_in_lambda_and_end_where_they_are_told_to():
    def times(*options):
        return [point.t for point in path_points(LINEAR, *options)]

    assert times(4, "t", None) == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert times(5, "t", (0.9, 0.3)) == pytest.approx([1, 0.9, 0.7, 0.5, 0.3, 0])
    for path in (LINEAR, COSINE):
        points = path_points(path, 6, "lambda", (0.98, 0.01))
        assert [points[1].t, points[-2].t] == [0.98, 0.01]
        values = [point.half_log_snr for point in points]
        widths = [after - before for before, after in pairwise(values[1:-1])]
        assert widths == pytest.approx([widths[0]] * 4)
        assert (values[0], values[-1]) == (-math.inf, math.inf)
    # The same first and last step, whatever is even.
    assert times(8, "lambda", None)[:2] + times(8, "lambda", None)[-2:] == [1, 0.875, 0.125, 0]
    assert (times(1, "lambda", None), times(2, "lambda", None)) == ([1, 0], [1, 0.5, 0])


@BOTH
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_a_step_costs_one_evaluation_and_none_is_made_of_clean_data(sampler, steps):
    field = Watched(Mixture.of((2,)).velocity)
    x_0 = solve(sampler(steps), field, noise(3, (2,)))
    assert x_0.isfinite().all()
    assert field.times == pytest.approx([1 - step / steps for step in range(steps)])


@BOTH
def test_one_step_is_the_clean_prediction_of_noise(sampler):
    data, x_1 = Mixture.of((2,)), noise(3, (2,))
    one = torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(
        solve(sampler(1), data.velocity, x_1), LINEAR.clean(x_1, data.velocity(x_1, one), one)
    )


@attrs.define
class Jumping:
    """Data at 1 above t = 0.5, and at -2 from there on: each side alone is followed exactly."""

    breaks: tuple = (0.5,)
    side: float | None = None
    states: list = attrs.field(factory=list)

    def __call__(self, x, t):
        self.states.append(x)
        at = t[0].item() if self.side is None else self.side
        return (x - (1.0 if at > 0.5 else -2.0)) / t.view(-1, 1)

    def during(self, t):
        return attrs.evolve(self, side=t[0].item())


@BOTH
@pytest.mark.parametrize("steps", [5, 8], ids=["within-a-step", "between-steps"])
def test_the_history_begins_anew_where_the_field_jumps(sampler, steps):
    field, x = Jumping(), noise(3, (2,))
    solve(sampler(steps), field, x)
    for step, state in enumerate(field.states):
        torch.testing.assert_close(state, x, rtol=0, atol=1e-13)
        now, then = 1 - step / steps, 1 - (step + 1) / steps
        target = 1.0 if now > 0.5 else -2.0
        x = then / now * x + (1 - then / now) * target
    untold = Jumping(breaks=())
    solve(sampler(steps), untold, noise(3, (2,)))
    assert not torch.allclose(untold.states[-1], field.states[-1], atol=1e-3)


@BOTH
def test_a_step_is_guided_as_the_stretch_in_which_it_begins(sampler):
    calls = []

    def network(query):
        calls.append(len(query.x))
        return query.x * query.condition.hidden().view(-1, 1)

    for interval, guided in (((0.3, 0.7), 4), ((0.35, 0.75), 4), ((0.0, 0.7), 7), ((0.0, 1.0), 10)):
        calls.clear()
        field = ConditionedField(
            ClassifierFree(2.0, interval)(network), Condition(torch.zeros(1, dtype=torch.long))
        )
        solve(sampler(10), field, noise(1, (2,)))
        # Steps that begin at 0.7, 0.6, 0.5 and 0.4, not the one from 0.3 on.
        assert sum(calls) == 10 + guided, interval


def test_fewer_evaluations_than_heuns_method_reach_the_same_error():
    data, x_1 = Mixture.of((2,)), noise(50, (2,))
    errors = {
        name: (sampler(data.velocity, x_1) - data.flow(x_1)).norm().item()
        for name, sampler in {"heun": Heun(8), "multistep": Multistep(12), "unipc": UniPC(12)}.items()
    }
    assert max(errors["multistep"], errors["unipc"]) < errors["heun"]
