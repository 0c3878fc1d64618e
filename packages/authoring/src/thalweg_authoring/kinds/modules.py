"""What backbones and refiners keep as parts of a network, whichever of the two is under test."""

import math
from collections.abc import Iterator
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from thalweg.facts import Facts
from thalweg.network import FlowNetwork
from thalweg.types import Boundary, Condition, Stream
from thalweg_authoring import ranks
from thalweg_authoring.networks import between, example_inputs, network, partners, randomised_network, taken
from thalweg_authoring.numbers import captions, outputs, require_near, require_shape, weighted
from thalweg_authoring.rules import require, rule
from thalweg_authoring.subject import Subject

_LARGE = (4, 32, 32)


def pairs(subject: Subject) -> Iterator[tuple[str, Any, Any]]:
    """The component with every partner: what the partner is called, backbone and refiner."""
    is_backbone = subject.kind == "backbone"
    for name, partner in partners("refiner" if is_backbone else "backbone"):
        both = (subject.config(), partner) if is_backbone else (partner, subject.config())
        yield name, *both


def networks(subject: Subject, facts: Facts | None = None, std: float = 0.1) -> Iterator[tuple[str, Any]]:
    """The component with every partner, for these facts if they are stated: what the partner is called, and a
    network with no layer at zero."""
    for name, backbone, refiner in pairs(subject):
        branches = branches_of(subject, backbone)
        yield name, randomised_network(backbone, refiner, branches, facts or subject.facts, std)


def answers(net: FlowNetwork) -> tuple[Tensor, ...]:
    """All that it predicts of two samples."""
    return outputs(net(*example_inputs(net.facts, net.branches)))


def branches_of(subject: Subject, backbone: Any) -> int:
    """The largest number of branches up to four that divides the depth."""
    depth = network(backbone, None, 1, subject.facts, device="meta").backbone.depth
    found = [k for k in (4, 3, 2) if depth % k == 0]
    require(
        found,
        f"its depth is {depth}, which cannot be cut into 2, 3 or 4 branches; let a small one have 4 blocks",
    )
    return found[0]


@rule("backbone", "refiner")
def it_works_with_every_partner(subject: Subject) -> None:
    """Between the branches of every registered backbone (or with every refiner), on every shape."""
    for name, backbone, refiner in pairs(subject):
        branches = branches_of(subject, backbone)
        for shape in (*subject.shapes, *taken(backbone, subject.facts)):
            facts = attrs.evolve(subject.facts, shape=shape)
            prediction = randomised_network(backbone, refiner, branches, facts)(
                *example_inputs(facts, branches)
            )
            require(len(prediction.velocities) == branches, f"with {name} a velocity is missing")
            for read, found in prediction.readouts.items():
                require(len(found) == branches - 1, f"with {name} the read-out '{read}' is missing somewhere")
            for out in outputs(prediction):
                require_shape(f"with {name} a prediction", out, (2, *shape))
                require(torch.isfinite(out).all(), f"with {name} a prediction is not finite")


@rule("backbone", "refiner")
def gradients_reach_every_parameter(subject: Subject) -> None:
    """Training moves every parameter."""
    for name, net in networks(subject):
        weighted(answers(net)).backward()
        _require_gradients(net, f"with {name}")


@rule("backbone", "refiner")
def bfloat16_stays_near_float32(subject: Subject) -> None:
    """Under autocast to bfloat16 the predictions stay near those in float32."""
    for shape in subject.shapes[:2]:
        for name, net in networks(subject, attrs.evolve(subject.facts, shape=shape)):
            exact = answers(net)
            with torch.autocast("cpu", torch.bfloat16):
                mixed = answers(net)
            for near, far in zip(mixed, exact, strict=True):
                gap = float((near.float() - far).detach().norm() / far.detach().norm())
                cure = "keep times and norms in float32"
                require(gap < 0.1, f"with {name} bfloat16 moves predictions by {gap:.0%}; {cure}")


@rule("backbone", "refiner")
def the_state_dict_holds_everything(subject: Subject) -> None:
    """Weights saved and loaded into another one give the same predictions."""
    both = zip(networks(subject), networks(subject, std=0.2), strict=True)
    for (name, ours), (_, theirs) in both:
        theirs.load_state_dict(ours.state_dict())
        require(
            all(map(torch.equal, answers(ours), answers(theirs))),
            f"with {name} a network differs after its weights were saved and loaded; hold all that decides "
            "the output in parameters and buffers, or make it from the config",
        )


@rule("backbone", "refiner")
def initial_weights_follow_the_seed(subject: Subject) -> None:
    """The same seed gives the same weights."""
    _, backbone, refiner = next(pairs(subject))
    first, second = (network(backbone, refiner, 2, subject.facts).state_dict() for _ in range(2))
    different = [key for key in first if not torch.equal(first[key], second[key])]
    require(
        not different,
        f"{', '.join(different[:3])} differ between two networks of one seed; draw initial weights with "
        "torch's own generator",
    )


@rule("backbone", "refiner")
def it_builds_on_the_meta_device(subject: Subject) -> None:
    """Everything is made on torch's default device, and runs there, with small options and with defaults."""
    _, backbone, refiner = next(pairs(subject))
    _require_meta(subject, network(backbone, refiner, 2, subject.facts, device="meta"))
    facts = attrs.evolve(subject.facts, shape=_LARGE)
    if subject.kind == "backbone":
        _require_meta(subject, network(subject.defaults(), None, 1, facts, device="meta"))
    else:
        _require_meta(subject, network(backbone, subject.defaults(), 2, facts, device="meta"))


@rule("backbone", "refiner")
def torch_compile_gives_the_same_numbers(subject: Subject) -> None:
    """Compiled, it answers and differentiates as it does eagerly."""
    _, net = next(networks(subject))
    alone: nn.Module = _Through(net.backbone) if subject.kind == "backbone" else _Between(net.refiner)
    inputs = example_inputs(subject.facts, 1) if subject.kind == "backbone" else _between(net)
    expected, gradients = _differentiated(alone, alone, inputs)
    torch._dynamo.reset()
    try:
        found, compiled = _differentiated(alone, torch.compile(alone, backend=subject.backend), inputs)
    finally:
        torch._dynamo.reset()
    for a, b in zip(found, expected, strict=True):
        require_near(a, b, "torch.compile changes the result", rtol=1e-3, atol=1e-4)
    for name, gradient in gradients.items():
        require_near(
            compiled[name], gradient, f"torch.compile changes the gradient of {name}", rtol=1e-2, atol=1e-3
        )


@rule("backbone", "refiner")
def two_processes_equal_one(subject: Subject) -> None:
    """Data-parallel training on two processes has the gradients of one process with both batches."""
    _, net = next(networks(subject))
    inputs = example_inputs(subject.facts, net.branches, count=4)
    expected = ranks.gradients(net, inputs)
    found = ranks.data_parallel(subject)
    require(found.keys() == expected.keys(), "two processes give gradients to other parameters than one does")
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        require_near(
            found[name],
            gradient,
            f"two processes give another gradient of {name} than one; let a sample depend on itself alone",
            rtol=1e-3,
            atol=1e-4 * max(scale, 1.0),
        )


class _Through(nn.Module):
    """Embedding, condition and the first two blocks of a backbone."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor, times: Tensor, condition: Condition) -> tuple[Tensor, ...]:
        c = self.backbone.condition(times[0], condition)
        stop = min(2, self.backbone.depth)
        return (self.backbone.run(self.backbone.embed(x, condition), c, 0, stop).tokens,)


class _Between(nn.Module):
    """A refiner at its first boundary."""

    def __init__(self, refiner: Any) -> None:
        super().__init__()
        self.refiner = refiner

    def forward(self, stream: Stream, boundary: Boundary) -> tuple[Tensor, ...]:
        found = self.refiner(stream, boundary)
        return found.tokens, *found.features.values()


def _between(net: FlowNetwork) -> tuple[Stream, Boundary]:
    stream, boundary = between(net)
    return stream.with_tokens(stream.tokens.requires_grad_()), boundary


def _differentiated(module: nn.Module, called: Any, inputs: tuple[Any, ...]) -> Any:
    module.zero_grad()
    found = called(*inputs)
    weighted(found).backward()
    gradients = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    return [out.detach() for out in found], gradients


def _require_gradients(net: FlowNetwork, where: str) -> None:
    # A refiner that looks from token to token has nothing to choose from where there is one: the gradient of
    # its queries is zero then.
    one_token = math.prod(net.facts.grid) == 1
    missing = [
        name
        for name, p in net.named_parameters()
        if p.grad is None or not (p.grad.any() or (one_token and name.startswith("refiner.")))
    ]
    require(
        not missing,
        f"{where} no gradient reaches {', '.join(missing[:5])}; use it in every forward pass, or take it "
        "away (data-parallel training stops at a parameter that is left out)",
    )


def _require_meta(subject: Subject, net: FlowNetwork) -> None:
    tensors = [*net.named_parameters(), *net.named_buffers()]
    elsewhere = [name for name, tensor in tensors if tensor.device.type != "meta"]
    require(
        not elsewhere,
        f"{', '.join(elsewhere[:3])} are not made on torch's default device; name no device",
    )
    text = captions(2, text=subject.facts.text)
    condition = Condition(text=None if text is None else text.to("meta"))
    x = torch.zeros(2, *net.facts.shape, device="meta")
    out = net(x, torch.zeros(net.branches, 2, device="meta"), condition).velocities[-1]
    require_shape("on the meta device the velocity", out, tuple(x.shape))
