"""Weak to strong: where it leads to, how it rises, and what it refuses."""

import re

import pytest
import torch

from objective_steps import built, composed, planned, step_of
from thalweg import Trainer
from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.training.components import build_components
from thalweg.training.step import Losses, has_unused
from thalweg.types import Prediction
from tiny_runs import lines, tensor_files, tiny

NETWORK = composed(branches=2)
AT = NETWORK.facts.ends[0]


def told(strong, weak, plan, batch, number=1, total=1, **options):
    prediction = Prediction((weak, strong), heads={AT: weak})
    step = step_of(NETWORK, plan, batch, prediction, number=number, total=total)
    return built(NETWORK.facts, "weak_to_strong", **options)(step)


def descended(loss, *free, rate):
    optimizer = torch.optim.SGD(free, lr=rate)
    for _ in range(300):
        optimizer.zero_grad()
        loss().total.sum().backward()
        optimizer.step()


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.6])
def test_it_ends_where_the_weak_head_is_guided_away_from(strength):
    """v_f = v_b + (V - v_b) / (1 - w), of a weak head that stays as it is."""
    plan, batch = planned(NETWORK)
    strong = torch.zeros_like(plan.velocity, requires_grad=True)
    weak = torch.randn(plan.velocity.shape, generator=torch.Generator().manual_seed(3))
    options = {"strength": strength, "ramp": 0.0}
    descended(lambda: told(strong, weak, plan, batch, **options), strong, rate=strong[0].numel() / 4)
    torch.testing.assert_close(strong.detach(), weak + (plan.velocity - weak) / (1 - strength))


def test_it_ends_there_beside_a_weak_head_that_learns_what_it_can():
    """The weak head knows one number for all, whose optimum is the mean of V."""
    plan, batch = planned(NETWORK)
    strong = torch.zeros_like(plan.velocity, requires_grad=True)
    one = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.SGD([one, strong], lr=1.0)
    for _ in range(60):
        optimizer.zero_grad()
        told(strong, one.expand_as(strong), plan, batch, ramp=0.0).total.mean().backward()
        strong.grad *= strong.numel() / 4
        optimizer.step()
    mean = plan.velocity.mean()
    assert one.item() == pytest.approx(mean.item(), abs=1e-5)
    torch.testing.assert_close(strong.detach(), mean + (plan.velocity - mean) / 0.7, atol=1e-4, rtol=1e-4)


def test_the_weak_head_learns_of_its_own_error_alone():
    plan, batch = planned(NETWORK)
    found = []
    for offset in (1.0, 5.0):
        weak = (plan.velocity + 0.5).requires_grad_()
        told(plan.velocity + offset, weak, plan, batch, ramp=0.0).total.sum().backward()
        found.append(weak.grad)
    torch.testing.assert_close(found[0], found[1])
    # d/dv_b of 0.2 mean (v_b - V)^2, with v_b - V = 0.5.
    torch.testing.assert_close(found[0], torch.full_like(found[0], 0.2 * 2 * 0.5 / found[0][0].numel()))


def test_values_and_parts():
    plan, batch = planned(NETWORK)
    value = told(plan.velocity + 1, plan.velocity - 1, plan, batch, ramp=0.0, beta=0.5)
    # v_f - V - w (v_f - v_b) = 1 - 0.3 * 2.
    torch.testing.assert_close(value.total, torch.full((5,), 0.4**2 + 0.5))
    parts = {name: float(part) for name, part in value.parts.items()}
    assert parts == {
        "strong": pytest.approx(0.16, abs=1e-5),
        "weak": pytest.approx(1.0, abs=1e-5),
        "scale": pytest.approx(1 / 0.7),
    }


def test_it_rises_over_the_ramp_and_begins_as_plain_flow_matching():
    objective = built(NETWORK.facts, "weak_to_strong")
    found = [objective.strength(number, 100) for number in (0, 5, 10, 50, 99)]
    assert found == pytest.approx([0.0, 0.15, 0.3, 0.3, 0.3])
    assert built(NETWORK.facts, "weak_to_strong", ramp=0.0).strength(0, 100) == 0.3
    plan, batch = planned(NETWORK)
    step = step_of(NETWORK, plan, batch, NETWORK(plan.x_t, plan.times, batch.condition), total=100)
    plain = built(NETWORK.facts, "velocity", beta=0.2)(step)
    torch.testing.assert_close(objective(step).total, plain.total)


def test_of_several_heads_one_is_led_away_from_and_all_learn():
    network = composed(depth=6, branches=3)
    plan, batch = planned(network)
    offsets = {2: 1.0, 4: 2.0}
    heads = {depth: plan.velocity + offset for depth, offset in offsets.items()}
    strong = plan.velocity + 3
    step = step_of(network, plan, batch, Prediction((*heads.values(), strong), heads=heads), number=1)
    for after, weak in ((None, 1.0), (4, 2.0)):
        options = {} if after is None else {"after": after}
        value = built(network.facts, "weak_to_strong", ramp=0.0, **options)(step)
        led = (3 - 0.3 * (3 - weak)) ** 2
        torch.testing.assert_close(value.total, torch.full((5,), led + 0.2 * (1 + 4)))
        assert float(value.parts["weak"]) == pytest.approx(weak**2, rel=1e-5)


def test_by_default_the_first_head_is_the_weak_one_whatever_kind_it_is_of():
    assert built(composed(depth=6, branches=2, heads=[2, 4]).facts, "weak_to_strong").after == 2
    assert built(composed(depth=6, branches=2, heads=[4]).facts, "weak_to_strong").after == 3


@pytest.mark.parametrize("detached", [True, False])
def test_a_head_on_detached_tokens_leaves_the_trunk_to_the_last_head(detached):
    network = composed(heads=[2], detach_heads=detached)
    gradients = []
    for objective in (built(network.facts, "weak_to_strong"), built(network.facts, "velocity", heads=0.0)):
        Losses(network, {"one": objective}, steps=100)(*planned(network))["loss"].backward()
        gradients.append([one.grad for one in network.backbone.blocks.parameters()])
        head = [one.grad for one in network.velocity_heads.parameters()]
        assert all(one.any() for one in head) == (objective.__class__.__name__ == "WeakToStrong")
        network.zero_grad(set_to_none=True)
    alike = all(torch.allclose(one, other) for one, other in zip(*gradients, strict=True))
    assert alike is detached


@pytest.mark.parametrize(
    ("strength", "said"),
    [
        (0.7, r"must be below 0\.7, got 0\.7, which bakes in guidance of scale 1 / \(1 - strength\) = 3\.3"),
        (
            0.9,
            r"got 0\.9, which bakes in guidance of scale .* = 10\.0, too much; such as 0\.3, a scale of",
        ),
        (1.0, "from 1 on training has no end to reach"),
        (-0.1, "strength"),
    ],
)
def test_a_strength_that_bakes_in_too_much_is_refused(strength, said):
    with pytest.raises(ConfigError, match=said):
        component("objective", {"type": "weak_to_strong", "strength": strength})


@pytest.mark.parametrize("name", ["weak_to_strong", "distillation"])
def test_networks_without_such_a_head_are_refused(name):
    with pytest.raises(
        ConfigError, match=rf"objectives\.{name} needs a head before the last one .* branches"
    ):
        built(composed().facts, name)
    said = rf"objectives\.{name}\.after is 1 and the network has intermediate heads after {AT}; name one"
    with pytest.raises(ConfigError, match=said):
        built(NETWORK.facts, name, after=1)
    with pytest.raises(ConfigError, match="after"):
        component("objective", {"type": name, "after": 0})


@pytest.mark.parametrize("options", [{"ramp": 1.5}, {"ramp": -0.1}, {"beta": -1.0}, {"weight": -1.0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        component("objective", {"type": "weak_to_strong", **options})


ALONE = {"objectives": {"weak_to_strong": {"ramp": 0.5}}, "refiner": {"type": "vera", "acceleration": False}}


OWN_HEAD = {"branches": 1, "refiner": "none", "heads": [1], "objectives": {"weak_to_strong": {}}}


@pytest.mark.parametrize("top", [ALONE, OWN_HEAD], ids=["branches", "a head of its own"])
def test_it_leaves_no_layer_untrained(top):
    parts = build_components(tiny(top=top))
    losses = Losses(parts.network, parts.objectives, steps=6)
    assert not has_unused(losses, parts.planner, parts.dataset.train, 0, 6)


def test_a_run_logs_its_scale_and_is_resumed_as_the_uninterrupted_one(tmp_path, monkeypatch):
    Trainer(tiny(top=ALONE), tmp_path / "once", accelerator="cpu", quiet=True).train()
    scales = [line["weak_to_strong/scale"] for line in lines(tmp_path / "once")]
    assert scales == pytest.approx([1 / (1 - w) for w in (0, 0.1, 0.2, 0.3, 0.3, 0.3)])

    from thalweg.training.loop import TrainingLoop

    report = TrainingLoop._report

    def stop(loop):
        found = report(loop)
        if loop._state.step == 3:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patched:
        patched.setattr(TrainingLoop, "_report", stop)
        with pytest.raises(KeyboardInterrupt):
            Trainer(tiny(top=ALONE), tmp_path / "twice", accelerator="cpu", quiet=True).train()
    longer = tiny(top=ALONE, steps=8)
    said = "training.steps is 8 and was 6, and objectives.weak_to_strong depends on it; resume with the value"
    with pytest.raises(ConfigError, match=re.escape(said)):
        Trainer(longer, tmp_path / "twice", accelerator="cpu", quiet=True).train()
    Trainer(tiny(top=ALONE), tmp_path / "twice", accelerator="cpu", quiet=True).train()
    assert tensor_files(tmp_path / "twice") == tensor_files(tmp_path / "once")


def test_without_a_ramp_a_run_may_grow(tmp_path):
    alone = {**ALONE, "objectives": {"weak_to_strong": {"ramp": 0.0}}}
    for steps in (2, 4):
        Trainer(tiny(top=alone, steps=steps), tmp_path / "run", accelerator="cpu", quiet=True).train()
    assert lines(tmp_path / "run")[-1]["step"] == 4
