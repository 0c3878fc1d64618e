"""Networks that a component under test stands in, beside every partner that is registered."""

from collections.abc import Iterator
from typing import Any

import torch

from thalweg.composition import assemble
from thalweg.config import component, dump_component
from thalweg.facts import Facts
from thalweg.network import FlowNetwork
from thalweg.plugins import registry
from thalweg.testing.numbers import awake, captions, draws
from thalweg.testing.reference import ReferenceBackboneConfig, ReferenceRefinerConfig
from thalweg.testing.subject import Subject
from thalweg.types import Boundary, Condition, Stream

REFERENCE = "the reference backbone"


def partners(kind: str) -> Iterator[tuple[str, Any]]:
    """Name and small config of every registered component of a kind whose class states how to be small.

    (One without ``small`` that has no required fields counts too, unless it is a backbone: these are large.)
    """
    for name in registry().names(kind):
        cls = registry().config_class(kind, name)
        if hasattr(cls, "small") or kind != "backbone":
            yield name, component(kind, {"type": name, **getattr(cls, "small", {})})


def backbones() -> list[tuple[str, Any]]:
    """The reference backbone and every registered one."""
    return [(REFERENCE, ReferenceBackboneConfig()), *partners("backbone")]


def refiners() -> list[tuple[str, Any]]:
    """The reference refiner and every registered one."""
    return [("the reference refiner", ReferenceRefinerConfig()), *partners("refiner")]


def network(
    backbone: Any,
    refiner: Any,
    branches: int,
    facts: Facts,
    device: str = "cpu",
) -> FlowNetwork:
    """A network of two configs as :func:`thalweg.compose` makes it, initialised under seed 0."""
    return assemble(backbone, refiner, facts, branches, device=device)


def stirred(backbone: Any, refiner: Any, branches: int, facts: Facts, std: float = 0.1) -> FlowNetwork:
    """The same with no layer at zero."""
    made: FlowNetwork = awake(network(backbone, refiner, branches, facts), std)
    return made


def asked(facts: Facts, branches: int, seed: int = 0, count: int = 2) -> tuple[Any, ...]:
    """x_t, times and condition of some samples."""
    times = torch.rand(branches, count, generator=torch.Generator().manual_seed(seed))
    return draws(count, *facts.shape, seed=seed), times, conditioned(facts, count)


def between(net: FlowNetwork, number: int = 0, seed: int = 0) -> tuple[Stream, Boundary]:
    """What a network's refiner is handed at a boundary, of two samples."""
    facts = net.facts
    tokens, patch_tokens = draws(2, 2, facts.grid[0] * facts.grid[1], facts.width, seed=seed).unbind()
    time = torch.tensor([0.7, 0.2])
    c = draws(2, facts.width, seed=seed + 1)
    return Stream(tokens), Boundary(number, patch_tokens, c, time, time + torch.tensor([0.01, -0.004]))


def conditioned(facts: Facts, count: int = 2, seed: int = 0) -> Condition:
    """Labels and captions, as far as the facts know them."""
    labels = None
    if facts.classes is not None:
        labels = torch.arange(count) * (facts.classes - 1) // max(count - 1, 1)
    return Condition(labels, text=captions(count, seed, facts.text))


def registered(subject: Subject, config: Any) -> dict[str, Any]:
    """A config as a recipe writes it."""
    return dump_component(subject.kind, config)
