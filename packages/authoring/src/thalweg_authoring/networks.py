"""A component under test as a run makes it, and networks of it and every registered partner."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import attrs
import torch

from thalweg.composition import assemble, seeded
from thalweg.config import component
from thalweg.errors import ConfigError, PluginError, ThalwegError
from thalweg.facts import Facts
from thalweg.network import FlowNetwork
from thalweg.plugins import registry
from thalweg.plugins.process import BrokenBuildError
from thalweg.types import Boundary, Condition, Stream
from thalweg_authoring import process
from thalweg_authoring.numbers import captions, draws, randomised
from thalweg_authoring.reference import ReferenceBackboneConfig, ReferenceRefinerConfig
from thalweg_authoring.rules import BrokenRuleError, require
from thalweg_authoring.subject import Subject

OTHER_SHAPES = ((2,), (3, 4), (2, 1, 3, 2))
"""Of data that are no images: points, vectors in rows, volumes."""


def partners(kind: str) -> Iterator[tuple[str, Any]]:
    """Name and small config of the reference and of every registered component of a kind whose class states
    how to be small.

    (One without ``small`` that has no required fields counts too, unless it is a backbone: these are large.)
    """
    reference = ReferenceBackboneConfig() if kind == "backbone" else ReferenceRefinerConfig()
    yield f"the reference {kind}", reference
    for name in registry().names(kind):
        cls = registry().config_class(kind, name)
        if hasattr(cls, "small") or kind != "backbone":
            yield name, component(kind, {"type": name, **getattr(cls, "small", {})})


def taken(backbone: Any, facts: Facts) -> list[tuple[int, ...]]:
    """Those of :data:`OTHER_SHAPES` that a backbone works on; one for images alone refuses them."""
    found: list[tuple[int, ...]] = []
    for shape in OTHER_SHAPES:
        with suppress(ConfigError):
            network(backbone, None, 1, attrs.evolve(facts, shape=shape), device="meta")
            found.append(shape)
    return found


def of_other_shapes(
    subject: Subject, build: Callable[[Subject], Any]
) -> Iterator[tuple[tuple[int, ...], Subject, Any]]:
    """The component on each of :data:`OTHER_SHAPES`, without those that it refuses by their names.

    Raises:
        BrokenRuleError: it refuses one without naming the shape, or fails.
    """
    for shape in OTHER_SHAPES:
        other = attrs.evolve(subject, facts=attrs.evolve(subject.facts, shape=shape, features={}))
        try:
            one = build(other)
        except ConfigError as error:
            unnamed = f"samples of shape {shape} are refused without saying so: {error}; name the shape"
            require(str(shape) in str(error), unnamed)
            continue
        except PluginError as error:
            raise BrokenRuleError(
                f"on samples of shape {shape} it fails ({error}); work on any shape, or refuse what is no "
                "image, as thalweg.facts.image_shape does"
            ) from error
        yield shape, other, one


def network(
    backbone: Any,
    refiner: Any,
    branches: int,
    facts: Facts,
    device: str = "cpu",
) -> FlowNetwork:
    """A network of two configs as :func:`thalweg.compose` makes it, initialised under seed 0."""
    return assemble(backbone, refiner, facts, branches, device=device)


def randomised_network(
    backbone: Any, refiner: Any, branches: int, facts: Facts, std: float = 0.1
) -> FlowNetwork:
    """The same with no layer at zero."""
    made: FlowNetwork = randomised(network(backbone, refiner, branches, facts), std)
    return made


def example_inputs(facts: Facts, branches: int, count: int = 2) -> tuple[Any, ...]:
    """x_t, times and condition of some samples."""
    times = torch.rand(branches, count, generator=torch.Generator().manual_seed(0))
    return draws(count, *facts.shape), times, conditioned(facts, count)


def between(net: FlowNetwork, number: int = 0) -> tuple[Stream, Boundary]:
    """What a network's refiner is handed at a boundary, of two samples."""
    facts = net.facts
    tokens, patch_tokens = draws(2, 2, facts.grid[0] * facts.grid[1], facts.width).unbind()
    time = torch.tensor([0.7, 0.2])
    c = draws(2, facts.width, seed=1)
    return Stream(tokens), Boundary(number, patch_tokens, c, time, time + torch.tensor([0.01, -0.004]))


def conditioned(facts: Facts, count: int = 2) -> Condition:
    """Labels and captions, as far as the facts know them."""
    labels = None
    if facts.classes is not None:
        labels = torch.arange(count) * (facts.classes - 1) // max(count - 1, 1)
    return Condition(labels, text=captions(count, text=facts.text))


def made(subject: Subject) -> Any:
    """A small one; whatever draws initial weights is made under a seed."""
    if subject.kind == "backbone":
        return network(subject.config(), None, 1, subject.facts).backbone
    if subject.kind == "refiner":
        return network(ReferenceBackboneConfig(), subject.config(), 2, subject.facts).refiner
    if subject.kind == "objective":
        with seeded(0, torch.device("cpu")):
            return subject.build()
    return subject.build()


@contextmanager
def closing(one: Any) -> Iterator[Any]:
    """A component for a while; a logger holds a file until it is closed."""
    try:
        yield one
    finally:
        if hasattr(one, "close"):
            one.close()


def check_it_builds(subject: Subject) -> None:
    """Make sure that there is something to check, before every rule fails for the same reason.

    A ``build`` that is at fault itself is left to the rules, which say so.

    Raises:
        ConfigError: it refuses what it was given.
        PluginError: what it needs is not installed.
    """
    before = process.state()
    try:
        with closing(made(subject)):
            pass
    except BrokenBuildError:
        return
    except PluginError:
        raise
    except ThalwegError as error:
        raise ConfigError(f"{subject} cannot be built with what it was given: {error}") from error
    except Exception:
        return  # What it breaks in a network or at the end, its rules find too.
    finally:
        process.restore(before)
