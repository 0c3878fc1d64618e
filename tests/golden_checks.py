"""What the networks imported from tests/golden compute, beside what the files say, on any device.

Each check takes a file whose tensors are on a device, and the network imported from it, on that device too.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
import torch
from torch import Tensor

from golden_files import Golden, golden
from thalweg.config import component
from thalweg.facts import StoredFeatures
from thalweg.guidance import ConditionedField
from thalweg.interpolant import Interpolant
from thalweg.network import FlowNetwork
from thalweg.objectives.alignment import AlignmentConfig
from thalweg.training.objectives import StepNetwork
from thalweg.types import Batch, Condition, Plan, Prediction, Step, Text
from thalweg_backbones import import_weights

Kind = Literal["outputs", "losses", "trajectories"]
Pairs = Mapping[str, tuple[Tensor, Tensor]]
"""What was computed and what is expected, by name."""


@attrs.frozen
class Check:
    """A comparison with one file.

    Attributes:
        source: the importer that reads the file.
        file: its name.
        kind: what is compared.
        compute: does it.
    """

    source: str
    file: str
    kind: Kind
    compute: Callable[[Golden, FlowNetwork], Pairs]

    def __call__(self, device: torch.device | str = "cpu") -> Pairs:
        """What is to be compared, computed on a device."""
        file, network = imported(self.source, self.file, device)
        return self.compute(file, network)


def imported(source: str, name: str, device: torch.device | str = "cpu") -> tuple[Golden, FlowNetwork]:
    """A file and the network of its weights, both on a device."""
    file = golden(name)
    network = import_weights(source, file.weights, **file.options).eval().to(device)
    return attrs.evolve(file, tensors={key: one.to(device) for key, one in file.tensors.items()}), network


@torch.no_grad()
def branches(file: Golden, network: FlowNetwork) -> Pairs:
    prediction = network(file.tensors["forward.x"], file.stacked("forward.t"), file.condition("forward.y"))
    return {
        "velocities": (torch.stack(prediction.velocities), file.stacked("forward.velocity")),
        "accelerations": (
            torch.stack(prediction.readouts["acceleration"]),
            file.stacked("forward.acceleration"),
        ),
    }


@torch.no_grad()
def velocity(file: Golden, network: FlowNetwork) -> Pairs:
    x, t = file.tensors["forward.x"], file.tensors["forward.t"]
    found = network.velocity(x, t, file.condition("forward.y"))
    return {"velocity": (found, file.tensors["forward.velocity"])}


@torch.no_grad()
def velocity_of_sit(file: Golden, network: FlowNetwork) -> Pairs:
    # SiT's time runs from noise to data and its velocity points to the data.
    x, t = file.tensors["forward.x"], 1 - file.tensors["forward.t"]
    found = -network.velocity(x, t, file.condition("forward.y"))
    return {"velocity": (found, file.tensors["forward.velocity"])}


@torch.no_grad()
def velocity_of_captions(file: Golden, network: FlowNetwork) -> Pairs:
    condition = captioned(file, network)
    found = network.velocity(file.tensors["forward.x"], file.tensors["forward.t"], condition)
    return {"velocity": (found, file.tensors["forward.velocity"])}


@torch.no_grad()
def aligned_after_refiners(file: Golden, network: FlowNetwork) -> Pairs:
    objective = alignment(network, file)
    x, times = file.tensors["forward.x"], file.stacked("forward.t")
    prediction = network(x, times, file.condition("forward.y"), hidden=objective.hidden)
    return {"features": (torch.stack(objective.project(prediction)), file.stacked("forward.aligned"))}


@torch.no_grad()
def aligned_after_a_block(file: Golden, network: FlowNetwork) -> Pairs:
    objective = alignment(network, file, after=(file.config["encoder_depth"],))
    captions = "forward.context" in file.tensors
    condition = captioned(file, network) if captions else file.condition("forward.y")
    x, t = file.tensors["forward.x"], file.tensors["forward.t"]
    prediction = network(x, t.expand(1, -1), condition, hidden=objective.hidden)
    return {"features": (objective.project(prediction)[0], file.tensors["forward.aligned.0"])}


def query(file: Golden, times: str) -> tuple[Plan, Batch]:
    """The plan and the batch of a file's losses."""
    prefix = f"loss.linear.{times}"
    clean, noise = file.tensors[f"{prefix}.clean"], file.tensors[f"{prefix}.noise"]
    plan = Plan.at(clean, noise, file.stacked(f"{prefix}.t"), Interpolant.named("linear"))
    teacher = file.tensors.get(f"{prefix}.teacher")
    features = {} if teacher is None else {"teacher": teacher}
    return plan, Batch(clean, file.condition(f"{prefix}.y"), features)


def losses(file: Golden, network: FlowNetwork, times: str) -> dict[str, Tensor]:
    """Velocity's and acceleration's of each sample, with gradients unless they are off."""
    plan, batch = query(file, times)
    prediction = network(plan.x_t, plan.times, batch.condition)
    shown = step(network, plan, prediction, batch)
    return {
        kind: component("objective", kind).build(network.facts)(shown).total
        for kind in ("velocity", "acceleration")
    }


@torch.no_grad()
def losses_of_deepflow(file: Golden, network: FlowNetwork) -> Pairs:
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for times in ("uniform", "lognormal"):
        prefix = f"loss.linear.{times}"
        for kind, loss in losses(file, network, times).items():
            found[f"{kind}, {times}"] = (loss, file.tensors[f"{prefix}.{kind}_loss"])
    return found


@torch.no_grad()
def points_of_deepflow(file: Golden, network: FlowNetwork) -> Pairs:
    del network
    return {
        times: (query(file, times)[0].x_t, file.tensors[f"loss.linear.{times}.x_t"])
        for times in ("uniform", "lognormal")
    }


@torch.no_grad()
def alignment_loss(file: Golden, network: FlowNetwork) -> Pairs:
    found, objective = {}, alignment(network, file)
    for times in ("uniform", "lognormal"):
        plan, batch = query(file, times)
        prediction = network(plan.x_t, plan.times, batch.condition, hidden=objective.hidden)
        value = objective(step(network, plan, prediction, batch))
        found[times] = (value.total.mean(), file.tensors[f"loss.linear.{times}.alignment_loss"])
    return found


@torch.no_grad()
def replayed_sde(file: Golden, network: FlowNetwork) -> Pairs:
    protocol, found = file.config["sde"], {}
    for prefix, guidance in (("sde.plain", None), ("sde.cfg", protocol["cfg"])):
        wiener = file.tensors[f"{prefix}.wiener"]
        sampler = {"type": "euler_maruyama", "steps": protocol["num_steps"]}
        sample = replay(network, file, prefix, sampler, guidance, lambda step, wiener=wiener: wiener[step])
        found[prefix] = (sample, file.tensors[f"{prefix}.sample"])
    return found


@torch.no_grad()
def ode_samplers(file: Golden, network: FlowNetwork) -> Pairs:
    protocol, found = file.config["ode"], {}
    for sampler in ("euler", "heun"):
        for prefix, guidance in ((f"ode.{sampler}", None), (f"ode.{sampler}_cfg", protocol["cfg"])):
            options = {"type": sampler, "steps": protocol["num_steps"]}
            sample = replay(network, file, prefix, options, guidance, no_increments)
            found[prefix] = (sample, file.tensors[f"{prefix}.sample"])
    return found


CHECKS: dict[str, Check] = {
    **{
        f"{what} of {name}": Check("deepflow", name, kind, compute)
        for name in ("deepflow_2t", "deepflow_3t_align")
        for what, kind, compute in (
            ("branches", "outputs", branches),
            ("points on the path", "outputs", points_of_deepflow),
            ("losses", "losses", losses_of_deepflow),
            ("replayed SDE", "trajectories", replayed_sde),
        )
    },
    "features of deepflow_3t_align": Check(
        "deepflow", "deepflow_3t_align", "outputs", aligned_after_refiners
    ),
    "alignment loss of deepflow_3t_align": Check("deepflow", "deepflow_3t_align", "losses", alignment_loss),
    "velocity of sit": Check("sit", "sit", "outputs", velocity_of_sit),
    "velocity of repa_sit": Check("repa", "repa_sit", "outputs", velocity),
    "features of repa_sit": Check("repa", "repa_sit", "outputs", aligned_after_a_block),
    "ODE samplers of repa_sit": Check("repa", "repa_sit", "trajectories", ode_samplers),
    "velocity of repa_mmdit": Check("repa-t2i", "repa_mmdit", "outputs", velocity_of_captions),
    "features of repa_mmdit": Check("repa-t2i", "repa_mmdit", "outputs", aligned_after_a_block),
}


def step(network: FlowNetwork, plan: Plan, prediction: Prediction, batch: Batch) -> Step:
    again = StepNetwork(network)
    return Step(plan, prediction, batch, again, again.frozen)


@attrs.frozen
class StoredTeacher:
    """A teacher whose features come with the data."""

    name: str = "teacher"
    patch_identity: tuple[()] = ()

    def build(self, facts):
        raise NotImplementedError


def alignment(network: FlowNetwork, file: Golden, after: tuple[int, ...] | None = None) -> Any:
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
    return objective.to(next(network.parameters()).device)


def captioned(file: Golden, network: FlowNetwork) -> Condition:
    """The captions of a file, which has fewer tokens than CLIP's 77."""
    context = file.tensors["forward.context"]
    everywhere = torch.ones(context.shape[:2], dtype=torch.bool, device=context.device)
    text = Text(context, everywhere, torch.zeros_like(context[0]), everywhere[0])
    network.facts = attrs.evolve(network.facts, text=tuple(text.tokens.shape[1:]))
    return Condition(text=text)


def no_increments(step: int) -> Tensor:
    raise AssertionError("an ODE sampler draws nothing")


def replay(
    network: FlowNetwork,
    file: Golden,
    prefix: str,
    sampler: dict[str, Any],
    guidance: Mapping[str, Any] | None,
    increments: Callable[[int], Tensor],
) -> Tensor:
    condition = file.condition(f"{prefix}.y")

    def field(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return network.velocity(x.float(), t, condition).double()

    sample = component("sampler", sampler).build(network.facts)
    if guidance is None:
        followed = lambda x, t: field(x, t, condition)  # noqa: E731 - the field without guidance
    else:
        options = {"type": "cfg", "scale": guidance["scale"], "interval": guidance["interval"]}
        guided = component("guidance", options).build(network.facts)(
            lambda query: field(query.x, query.t, query.condition)
        )
        followed = ConditionedField(guided, condition)
    return sample(followed, file.tensors[f"{prefix}.noise"], increments, Interpolant.named("linear"))
