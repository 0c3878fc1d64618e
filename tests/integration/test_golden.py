"""Imported checkpoints give the reference outputs: forward passes, losses and trajectories."""

import attrs
import pytest
import torch

from golden_files import Golden, golden, relative_error
from thalweg.config import component
from thalweg.facts import StoredFeatures
from thalweg.guidance import ConditionedField
from thalweg.interpolant import Interpolant
from thalweg.network import FlowNetwork
from thalweg.objectives.alignment import AlignmentConfig
from thalweg.training.objectives import StepNetwork
from thalweg.types import Batch, Condition, Plan, Prediction, Step, Text
from thalweg_backbones import import_weights

FORWARD, TRAJECTORY = 1e-5, 1e-4
DEEPFLOW = ["deepflow_2t", "deepflow_3t_align"]


def step(network: FlowNetwork, plan: Plan, prediction: Prediction, batch: Batch) -> Step:
    again = StepNetwork(network)
    return Step(plan, prediction, batch, again, again.frozen)


def imported(source: str, file: Golden) -> FlowNetwork:
    return import_weights(source, file.weights, **file.options).eval()


@pytest.mark.parametrize("name", DEEPFLOW)
@torch.no_grad()
def test_every_branch_of_deepflow(name):
    file = golden(name)
    network = imported("deepflow", file)
    prediction = network(file.tensors["forward.x"], file.stacked("forward.t"), file.condition("forward.y"))
    assert network.branches == file.config["branches"]
    assert relative_error(torch.stack(prediction.velocities), file.stacked("forward.velocity")) < FORWARD
    accelerations = torch.stack(prediction.readouts["acceleration"])
    assert relative_error(accelerations, file.stacked("forward.acceleration")) < FORWARD


@pytest.mark.parametrize("name", DEEPFLOW)
@pytest.mark.parametrize("times", ["uniform", "lognormal"])
@torch.no_grad()
def test_losses_of_deepflow(name, times):
    file = golden(name)
    network = imported("deepflow", file)
    prefix = f"loss.linear.{times}"
    clean, noise = file.tensors[f"{prefix}.clean"], file.tensors[f"{prefix}.noise"]
    plan = Plan.at(clean, noise, file.stacked(f"{prefix}.t"), Interpolant.named("linear"))
    assert relative_error(plan.x_t, file.tensors[f"{prefix}.x_t"]) < FORWARD
    batch = Batch(clean, file.condition(f"{prefix}.y"))
    prediction = network(plan.x_t, plan.times, batch.condition)
    for kind in ("velocity", "acceleration"):
        objective = component("objective", kind).build(network.facts)
        value = objective(step(network, plan, prediction, batch))
        assert relative_error(value.total, file.tensors[f"{prefix}.{kind}_loss"]) < TRAJECTORY


@pytest.mark.parametrize("name", DEEPFLOW)
@pytest.mark.parametrize("guided", [False, True])
@torch.no_grad()
def test_replayed_sde_of_deepflow(name, guided):
    file = golden(name)
    protocol = file.config["sde"]
    prefix = "sde.cfg" if guided else "sde.plain"
    wiener = file.tensors[f"{prefix}.wiener"]
    sample = replay(
        imported("deepflow", file),
        file,
        prefix,
        {"type": "euler_maruyama", "steps": protocol["num_steps"]},
        protocol["cfg"] if guided else None,
        lambda step: wiener[step],
    )
    assert relative_error(sample, file.tensors[f"{prefix}.sample"]) < TRAJECTORY


@pytest.mark.parametrize("sampler", ["euler", "heun"])
@pytest.mark.parametrize("guided", [False, True])
@torch.no_grad()
def test_ode_samplers_of_repa(sampler, guided):
    file = golden("repa_sit")
    protocol = file.config["ode"]
    prefix = f"ode.{sampler}_cfg" if guided else f"ode.{sampler}"
    sample = replay(
        imported("repa", file),
        file,
        prefix,
        {"type": sampler, "steps": protocol["num_steps"]},
        protocol["cfg"] if guided else None,
        no_increments,
    )
    assert relative_error(sample, file.tensors[f"{prefix}.sample"]) < TRAJECTORY


@torch.no_grad()
def test_forward_of_repa():
    file = golden("repa_sit")
    network = imported("repa", file)
    velocity = network.velocity(
        file.tensors["forward.x"], file.tensors["forward.t"], file.condition("forward.y")
    )
    assert relative_error(velocity, file.tensors["forward.velocity"]) < FORWARD


@torch.no_grad()
def test_sit_speaks_our_convention():
    file = golden("sit")
    network = imported("sit", file)
    # SiT's time runs from noise to data and its velocity points to the data.
    velocity = network.velocity(
        file.tensors["forward.x"], 1 - file.tensors["forward.t"], file.condition("forward.y")
    )
    assert relative_error(-velocity, file.tensors["forward.velocity"]) < FORWARD
    assert velocity.shape[1] == 4


@torch.no_grad()
def test_forward_of_repa_text_to_image():
    file = golden("repa_mmdit")
    network = imported("repa-t2i", file)
    text = captions(file)
    network.facts = attrs.evolve(network.facts, text=tuple(text.tokens.shape[1:]))  # fewer than CLIP's 77
    x, t = file.tensors["forward.x"], file.tensors["forward.t"]
    velocity = network.velocity(x, t, Condition(text=text))
    assert relative_error(velocity, file.tensors["forward.velocity"]) < FORWARD
    other = text._replace(tokens=torch.roll(text.tokens, 1, dims=0))
    assert relative_error(network.velocity(x, t, Condition(text=other)), velocity) > 100 * FORWARD


@attrs.frozen
class StoredTeacher:
    """A teacher whose features come with the data."""

    name: str = "teacher"
    patch_identity: tuple[()] = ()

    def build(self, facts):
        raise NotImplementedError


def alignment(network, file, after=None):
    """The objective with the projectors of a file."""
    projectors = {name: one for name, one in file.weights.items() if name.startswith("projectors.")}
    hidden, width = file.config["projector_dim"], file.config["z_dims"][0]
    stored = StoredFeatures(network.facts.grid, width, {})
    facts = attrs.evolve(network.facts, features={"teacher": stored})
    config = AlignmentConfig(teacher=StoredTeacher(), after=after, channels=(hidden, hidden))
    objective = config.build(facts)
    # Linear layers stand at the even places of the public projectors, activations between them.
    named = {}
    for name, tensor in projectors.items():
        _, read_out, layer, part = name.split(".")
        named[f"projectors.{read_out}.layers.{int(layer) // 2}.{part}"] = tensor
    objective.load_state_dict(named)
    return objective


@torch.no_grad()
def test_alignment_of_deepflow_reads_after_every_refiner():
    file = golden("deepflow_3t_align")
    network = imported("deepflow", file)
    objective = alignment(network, file)
    x, times = file.tensors["forward.x"], file.stacked("forward.t")
    prediction = network(x, times, file.condition("forward.y"), hidden=objective.hidden)
    aligned = torch.stack(objective.project(prediction))
    assert relative_error(aligned, file.stacked("forward.aligned")) < FORWARD


@pytest.mark.parametrize("times", ["uniform", "lognormal"])
@torch.no_grad()
def test_alignment_loss_of_deepflow(times):
    file = golden("deepflow_3t_align")
    network = imported("deepflow", file)
    objective = alignment(network, file)
    prefix = f"loss.linear.{times}"
    clean, noise = file.tensors[f"{prefix}.clean"], file.tensors[f"{prefix}.noise"]
    plan = Plan.at(clean, noise, file.stacked(f"{prefix}.t"), Interpolant.named("linear"))
    features = {"teacher": file.tensors[f"{prefix}.teacher"]}
    batch = Batch(clean, file.condition(f"{prefix}.y"), features)
    prediction = network(plan.x_t, plan.times, batch.condition, hidden=objective.hidden)
    value = objective(step(network, plan, prediction, batch))
    assert relative_error(value.total.mean(), file.tensors[f"{prefix}.alignment_loss"]) < TRAJECTORY


@pytest.mark.parametrize(("source", "name"), [("repa", "repa_sit"), ("repa-t2i", "repa_mmdit")])
@torch.no_grad()
def test_alignment_of_repa_reads_after_a_block(source, name):
    file = golden(name)
    network = imported(source, file)
    objective = alignment(network, file, after=(file.config["encoder_depth"],))
    x, t = file.tensors["forward.x"], file.tensors["forward.t"]
    if source == "repa":
        condition = file.condition("forward.y")
    else:
        condition = Condition(text=captions(file))
        network.facts = attrs.evolve(network.facts, text=tuple(condition.text.tokens.shape[1:]))
    prediction = network(x, t.expand(1, -1), condition, hidden=objective.hidden)
    assert relative_error(objective.project(prediction)[0], file.tensors["forward.aligned.0"]) < FORWARD


def captions(file):
    context = file.tensors["forward.context"]
    everywhere = torch.ones(context.shape[:2], dtype=torch.bool)
    return Text(context, everywhere, torch.zeros_like(context[0]), everywhere[0])


def no_increments(step):
    raise AssertionError("an ODE sampler draws nothing")


def replay(network, file, prefix, sampler, guidance, increments):
    condition = file.condition(f"{prefix}.y")

    def field(x, t, condition):
        return network.velocity(x.float(), t, condition).double()

    step = component("sampler", sampler).build(network.facts)
    if guidance is None:
        velocity = lambda x, t: field(x, t, condition)  # noqa: E731 - the field without guidance
    else:
        options = {"type": "cfg", "scale": guidance["scale"], "interval": guidance["interval"]}
        guided = component("guidance", options).build(network.facts)(
            lambda query: field(query.x, query.t, query.condition)
        )
        velocity = ConditionedField(guided, condition)
    return step(velocity, file.tensors[f"{prefix}.noise"], increments, Interpolant.named("linear"))
