"""What backbones and refiners keep as parts of a network, whichever of the two is under test."""

from collections.abc import Iterator
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from thalweg.network import FlowNetwork
from thalweg.testing import ranks
from thalweg.testing.networks import asked, backbones, between, network, refiners, stirred
from thalweg.testing.numbers import captions, draws, outputs, require_near, require_shape
from thalweg.testing.rules import require, rule
from thalweg.testing.subject import Subject
from thalweg.types import Boundary, Condition, Stream

BRANCHES = 4
_LARGE = (4, 32, 32)


def pairs(subject: Subject) -> Iterator[tuple[str, Any, Any]]:
    """The component with every partner: what the partner is called, backbone and refiner."""
    if subject.kind == "backbone":
        for name, refiner in refiners():
            yield name, subject.config(), refiner
    else:
        for name, backbone in backbones():
            yield name, backbone, subject.config()


def first(subject: Subject) -> FlowNetwork:
    """A network of the component and its first partner, stirred."""
    _, backbone, refiner = next(pairs(subject))
    return stirred(backbone, refiner, branches_of(subject, backbone), subject.facts)


def branches_of(subject: Subject, backbone: Any) -> int:
    """The largest number of branches up to four that divides the depth."""
    depth = network(backbone, None, 1, subject.facts, device="meta").backbone.depth
    found = [k for k in range(BRANCHES, 1, -1) if depth % k == 0]
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
        for shape in subject.shapes:
            facts = attrs.evolve(subject.facts, shape=shape)
            net = stirred(backbone, refiner, branches, facts)
            prediction = net(*asked(facts, branches))
            require(len(prediction.velocities) == branches, f"with {name} a velocity is missing")
            for read, found in prediction.readouts.items():
                require(len(found) == branches - 1, f"with {name} the read-out '{read}' is missing somewhere")
            for out in outputs(prediction):
                require_shape(f"with {name} a prediction", out, (2, *shape))
                require(torch.isfinite(out).all(), f"with {name} a prediction is not finite")


@rule("backbone", "refiner")
def gradients_reach_every_parameter(subject: Subject) -> None:
    """Training moves every parameter."""
    for name, backbone, refiner in pairs(subject):
        branches = branches_of(subject, backbone)
        net = stirred(backbone, refiner, branches, subject.facts)
        prediction = net(*asked(subject.facts, branches))
        loss = sum((out * draws(*out.shape, seed=i)).sum() for i, out in enumerate(outputs(prediction)))
        loss.backward()  # type: ignore[union-attr]
        _require_gradients(net, f"with {name}")


@rule("backbone", "refiner")
def bfloat16_stays_near_float32(subject: Subject) -> None:
    """Under autocast to bfloat16 the predictions stay near those in float32."""
    for name, backbone, refiner in pairs(subject):
        branches = branches_of(subject, backbone)
        for shape in subject.shapes[:2]:
            facts = attrs.evolve(subject.facts, shape=shape)
            net, question = stirred(backbone, refiner, branches, facts), asked(facts, branches)
            exact = net(*question)
            with torch.autocast("cpu", torch.bfloat16):
                mixed = net(*question)
            for near, far in zip(outputs(mixed), outputs(exact), strict=True):
                gap = float((near.float() - far).detach().norm() / far.detach().norm())
                require(
                    gap < 0.1,
                    f"with {name} bfloat16 moves predictions by {gap:.0%}; keep times and norms in float32",
                )


@rule("backbone", "refiner")
def the_state_dict_holds_everything(subject: Subject) -> None:
    """Weights saved and loaded into another one give the same predictions."""
    for name, backbone, refiner in pairs(subject):
        branches = branches_of(subject, backbone)
        ours, theirs = (stirred(backbone, refiner, branches, subject.facts, std) for std in (0.1, 0.2))
        question = asked(subject.facts, branches)
        theirs.load_state_dict(ours.state_dict())
        for a, b in zip(outputs(ours(*question)), outputs(theirs(*question)), strict=True):
            require(
                torch.equal(a, b),
                f"with {name} a network differs after its weights were saved and loaded;"
                " hold all that decides"
                " the output in parameters and buffers, or make it from the config",
            )


@rule("backbone", "refiner")
def initial_weights_follow_the_seed(subject: Subject) -> None:
    """The same seed gives the same weights."""
    _, backbone, refiner = next(pairs(subject))
    first, second = (network(backbone, refiner, 2, subject.facts).state_dict() for _ in range(2))
    different = [key for key in first if not torch.equal(first[key], second[key])]
    require(
        not different,
        f"{', '.join(different[:3])} differ between two networks of one seed; draw initial weights with"
        " torch's own generator",
    )


@rule("backbone", "refiner")
def it_builds_on_the_meta_device(subject: Subject) -> None:
    """Everything is made where torch is told to, and runs there, with small options and with defaults."""
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
    _, backbone, refiner = next(pairs(subject))
    net = stirred(backbone, refiner, branches_of(subject, backbone), subject.facts)
    alone: nn.Module = _Through(net.backbone) if subject.kind == "backbone" else _Between(net.refiner)
    question = asked(subject.facts, 1) if subject.kind == "backbone" else _between(net)
    expected, gradients = _differentiated(alone, alone, question)
    torch._dynamo.reset()
    try:
        found, compiled = _differentiated(alone, torch.compile(alone, backend=subject.backend), question)
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
    net = first(subject)
    question = asked(subject.facts, net.branches, count=4)
    expected = ranks.gradients(net, question)
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


def _differentiated(module: nn.Module, called: Any, question: tuple[Any, ...]) -> Any:
    module.zero_grad()
    found = called(*question)
    sum((out * draws(*out.shape, seed=i)).sum() for i, out in enumerate(found)).backward()
    gradients = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    return [out.detach() for out in found], gradients


def _require_gradients(net: nn.Module, where: str) -> None:
    missing = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    require(
        not missing,
        f"{where} no gradient reaches {', '.join(missing[:5])}; use it in every forward pass, or take it away"
        " (data-parallel training stops at a parameter that is left out)",
    )


def _require_meta(subject: Subject, net: FlowNetwork) -> None:
    elsewhere = [
        name
        for name, tensor in [*net.named_parameters(), *net.named_buffers()]
        if tensor.device.type != "meta"
    ]
    require(
        not elsewhere,
        f"{', '.join(elsewhere[:3])} are not made on the device that torch is told; name no device",
    )
    count = net.branches
    text = captions(2, text=subject.facts.text)
    condition = Condition(text=None if text is None else text.to("meta"))
    x = torch.zeros(2, *net.facts.shape, device="meta")
    out = net(x, torch.zeros(count, 2, device="meta"), condition).velocities[-1]
    require_shape("on the meta device the velocity", out, tuple(x.shape))
