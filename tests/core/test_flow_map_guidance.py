"""Guidance that the flow map bakes in: its fixed points are guided fields, whose averages it takes."""

import attrs
import pytest
import torch

from objective_steps import built, composed, step_of
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.types import Batch, Condition, Plan, Prediction, Step
from thalweg_authoring.gaussian import LINEAR, Gaussian

PLAIN = {"adaptive": None}
LABELS = torch.tensor([0, 1, 0, 1, 0, 1])
DROPPED = torch.tensor([False, False, False, False, True, True])
CLASSES = (Gaussian(LINEAR, -1.0, 0.3), Gaussian(LINEAR, 1.2, 0.5))
WEAK = Gaussian(LINEAR, 0.3, 0.9)
NO_CLASS = Gaussian(LINEAR, 0.1, 1.1)
POINTS = Facts(shape=(1,), classes=2, branches=2, ends=(2, 4), depth=4, head_depths=(1,))


def plan_of(velocity, times, x_t):
    nothing = torch.zeros_like(x_t)
    return Plan(nothing, nothing, times, x_t, velocity, LINEAR)


def of_class(x, t, labels):
    """The velocity of each sample's own class."""
    return torch.where(
        labels.view(-1, *[1] * (x.dim() - 1)) == 0, CLASSES[0].velocity(x, t), CLASSES[1].velocity(x, t)
    )


def mixed(x, t):
    """The velocity without a condition: that of both classes, by how probable they are at x."""
    logs = []
    for one in CLASSES:
        _, _, m, c2 = one._at(t, x)
        logs.append(-0.5 * (x - m) ** 2 / c2 - 0.5 * c2.log())
    shares = torch.stack(logs).softmax(dim=0)
    return (shares * torch.stack([one.velocity(x, t) for one in CLASSES])).sum(dim=0)


class Told:
    """A network whose answer without a condition, and whose average, are stated."""

    def __init__(self, unconditional, average=None):
        self.unconditional, self.average, self.asked = unconditional, average, []

    def __call__(self, x_t, times, condition=None, *, until=None, **_):
        assert condition.hidden().all()
        self.asked.append(until)
        return Prediction((self.unconditional(x_t, times[0]),))

    def jvp(self, x_t, times, condition, d_x, d_times):
        del condition
        if self.average is None:
            return Prediction((torch.zeros_like(x_t), torch.zeros_like(x_t)))
        _, tangent = torch.func.jvp(self.average, (x_t, times), (d_x, d_times))
        return Prediction((tangent, tangent))


def learnt(told, plan, weak=None, dropped=DROPPED, steps=100, **options):
    """Where a free velocity of the first branch ends, row by row."""
    objective = built(POINTS, "flow_map", **PLAIN, **options)
    free = torch.zeros_like(plan.x_t, requires_grad=True)
    optimizer = torch.optim.SGD([free], lr=0.2)
    heads = {1: torch.zeros_like(plan.x_t) if weak is None else weak}
    batch = Batch(plan.clean, Condition(LABELS, dropped))
    for _ in range(steps):
        step = Step(plan, Prediction((free, free.detach()), heads=heads), batch, told, told)
        optimizer.zero_grad()
        objective(step).total.sum().backward()
        optimizer.step()
    return free.detach()


def rows():
    t = torch.tensor([0.9, 0.8, 0.5, 0.4, 0.7, 0.3])
    return torch.linspace(-1.5, 1.5, 6)[:, None], torch.stack([t, 0.5 * t])


def test_classifier_free_guidance_ends_in_the_guided_field():
    """v_0 + s (v_c - v_0); where the condition is hidden, the mean target, and outside the interval too."""
    x, times = rows()
    told = Told(mixed)
    plain = of_class(x, times[0], LABELS)
    plan = plan_of(plain, times, x)
    found = learnt(told, plan, cfg_scale=2.5, cfg_interval=(0.35, 0.85))
    hidden = mixed(x, times[0])
    guided = hidden + 2.5 * (plain - hidden)
    expected = torch.where(torch.tensor([False, True, True, True, False, False])[:, None], guided, plain)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert set(told.asked) == {2}  # the pass ends with the first branch
    assert not torch.allclose(guided, plain, atol=0.1)


def test_internal_guidance_ends_away_from_the_weak_head():
    x, times = rows()
    plan = plan_of(of_class(x, times[0], LABELS), times, x)
    weak, told = WEAK.velocity(x, times[0]), Told(mixed)
    found = learnt(told, plan, weak=weak, internal_scale=1.8, internal_interval=(0.45, 1.0))
    expected = weak + 1.8 * (plan.velocity - weak)
    expected = torch.where((times[0] >= 0.45)[:, None], expected, plan.velocity)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not told.asked


def test_both_compose_as_in_sampling():
    """Classifier-free guidance around internal guidance, each half away from its own weak head."""
    x, times = rows()
    plan = plan_of(of_class(x, times[0], LABELS), times, x)
    weak, no_class = WEAK.velocity(x, times[0]), NO_CLASS.velocity(x, times[0])
    found = learnt(Told(lambda *_: no_class), plan, weak=weak, internal_scale=1.5, cfg_scale=2.0)
    inner = weak + 1.5 * (plan.velocity - weak)
    expected = torch.where(DROPPED[:, None], inner, no_class + 2.0 * (inner - no_class))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_head_learns_the_plain_velocity_beside_guidance():
    x, times = rows()
    plan = plan_of(of_class(x, times[0], LABELS), times, x)
    objective = built(POINTS, "flow_map", internal_scale=1.5, cfg_scale=2.0, heads=0.3, **PLAIN)
    weak = (plan.velocity + 0.5).requires_grad_()
    batch, told = Batch(x, Condition(LABELS)), Told(mixed)
    value = objective(Step(plan, Prediction((x, x), heads={1: weak}), batch, told, told))
    assert float(value.parts["head_1"]) == pytest.approx(0.25)
    value.total.sum().backward()
    torch.testing.assert_close(weak.grad, torch.full_like(weak, 0.3 * 2 * 0.5))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated")  # of torch's own code
def test_the_average_at_the_fixed_point_is_that_of_the_guided_flow():
    """V^ = v_g pointwise, of an average that a fine integration of the guided field gives."""
    internal, scale = 1.4, 1.5
    options = {"cfg_scale": scale, "internal_scale": internal}

    def inner(x, t, plain):
        weak = WEAK.velocity(x, t)
        return weak + internal * (plain - weak)

    def hidden(x, t):
        return inner(x, t, mixed(x, t))

    def guided(x, t):
        no_condition = hidden(x, t)
        return no_condition + scale * (inner(x, t, of_class(x, t, LABELS)) - no_condition)

    def average(x, times, count=4):
        t, r = times
        y, h = x, -(t - r) / count
        for number in range(count):  # Runge-Kutta of order four, from t to r
            now, step = t + number * h, h[:, None]
            one = guided(y, now)
            two = guided(y + step / 2 * one, now + h / 2)
            three = guided(y + step / 2 * two, now + h / 2)
            four = guided(y + step * three, now + h)
            y = y + step / 6 * (one + 2 * two + 2 * three + four)
        return (x - y) / (t - r)[:, None]

    x, times = (one.double() for one in rows())
    v_g, u = guided(x, times[0]), average(x, times)
    told = Told(hidden, average)
    plan = plan_of(of_class(x, times[0], LABELS), times, x)
    batch, weak = Batch(x, Condition(LABELS)), WEAK.velocity(x, times[0])
    step = Step(plan, Prediction((v_g, u), heads={1: weak}), batch, told, told)
    parts = built(POINTS, "flow_map", **PLAIN, **options)(step).parts
    assert float(parts["velocity"]) < 1e-10
    assert float(parts["average"]) < 1e-6
    # Along the plain flow it would not be.
    straight = attrs.evolve(step, prediction=Prediction((v_g, v_g), heads={1: weak}))
    assert float(built(POINTS, "flow_map", **PLAIN, **options)(straight).parts["average"]) > 1e-2


def test_a_network_answers_without_its_condition_at_the_end_of_the_first_branch():
    network = composed(branches=2, heads=[1])
    clean = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([[0.8, 0.6, 0.5, 0.9], [0.1, 0.6, 0.2, 0.3]])
    plan = Plan.at(clean, clean.flip(0), times, Interpolant.named("linear"))
    batch = Batch(clean, Condition(torch.tensor([0, 1, 2, 3])))
    prediction = network(plan.x_t, times, batch.condition)
    step = step_of(network, plan, batch, prediction)
    parts = built(network.facts, "flow_map", cfg_scale=2.0, internal_scale=1.5)(step).parts
    v, weak = prediction.velocities[0].detach(), prediction.heads[1].detach()
    none = network(plan.x_t, times, batch.condition.null()).velocities[0].detach()
    k_i, k_c = 1 - 1 / 1.5, 1 - 1 / 2.0
    target = plan.velocity + k_i * (v - weak) + (1 - k_i) * k_c * (v - none)
    assert float(parts["velocity"]) == pytest.approx(float((v - target).square().mean()), rel=1e-4)
