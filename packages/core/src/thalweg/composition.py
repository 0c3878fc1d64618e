"""Composition: from names and configs to a network."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import attrs
import torch

from thalweg.arguments import check_instance
from thalweg.branches import Branches, count_of, ends_of
from thalweg.config import RunConfig, component, dump_component
from thalweg.config.faults import shown
from thalweg.devices import usable_device
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.integers import SEED
from thalweg.interpolant import Interpolant, Schedule
from thalweg.interpolants.cosine import Cosine
from thalweg.interpolants.linear import Linear
from thalweg.network import FlowNetwork
from thalweg.plugins import build_component, registry

_OWN_PATHS: dict[type, str] = {Linear: "linear", Cosine: "cosine"}


def compose(
    *,
    backbone: Any,
    facts: Facts,
    refiner: Any = None,
    branches: Branches = 1,
    intermediate_readouts: str = "shared",
    interpolant: Any = "linear",
    device: torch.device | str | None = None,
    seed: int = 0,
) -> FlowNetwork:
    """Build a network from components.

    Args:
        backbone: a name, ``{"type": name, **fields}`` or a config; a bare name stands for its defaults.
        facts: shape and classes of the data.
        refiner: the same, or None with one branch.
        branches: k, which divides the backbone's depth, or the depths at which branches end.
        intermediate_readouts: ``shared`` by the branches before the last one, or each its ``own``.
        interpolant: the path whose velocity the network predicts, as :func:`interpolant_of` takes it.
        device: where to build it; ``"meta"`` allocates nothing.
        seed: of the initial weights. The global generators are left as they were.

    Raises:
        ConfigError: if fields are unknown, out of range or do not go together.
        PluginError: if a component is unknown or its plugin broken.
    """
    example = "thalweg.Facts(shape=(4, 32, 32), classes=1000)"
    check_instance("facts", facts, Facts, f"those of the data, such as {example}")
    branches = branches if isinstance(branches, int) else tuple(branches)
    facts = attrs.evolve(facts, branches=count_of(branches))
    seed = SEED.check("seed", seed)
    path = interpolant_of(interpolant, facts)
    device = usable_device("cpu" if device is None else device)
    backbone_config = component("backbone", backbone)
    refiner_config = component("refiner", refiner, optional=True)
    composition: dict[str, Any] = {
        "backbone": dump_component("backbone", backbone_config),
        "refiner": None if refiner_config is None else dump_component("refiner", refiner_config),
        "branches": branches if isinstance(branches, int) else list(branches),
        "interpolant": recorded_interpolant(interpolant),
    }
    if intermediate_readouts != "shared":
        composition["intermediate_readouts"] = intermediate_readouts
    network = assemble(
        backbone_config,
        refiner_config,
        facts,
        branches,
        intermediate_readouts=intermediate_readouts,
        interpolant=path,
        composition=composition,
        device=device,
        seed=seed,
    )
    network.owners = {
        kind: f"{kind} '{composition[kind]['type']}' of {registry().origin(kind, composition[kind]['type'])}"
        for kind in ("backbone", "refiner")
        if composition[kind] is not None
    }
    return network


def assemble(
    backbone: Any,
    refiner: Any,
    facts: Facts,
    branches: Branches = 1,
    *,
    intermediate_readouts: str = "shared",
    interpolant: Interpolant | str = "linear",
    composition: Mapping[str, Any] = MappingProxyType({}),
    device: torch.device | str | None = None,
    seed: int = 0,
) -> FlowNetwork:
    """Build a network from two configs, which need not be registered.

    Args:
        backbone: a config.
        refiner: a config, or None with one branch.
        facts: of the data.
        branches: as :func:`compose` takes them.
        intermediate_readouts: the same.
        interpolant: the path, or the name of one that core brings.
        composition: what :func:`compose` would build the network from again.
        device: as :func:`compose` takes it.
        seed: of the initial weights.

    Raises:
        ConfigError: if the two do not go together.
        PluginError: if one of them cannot be built.
    """
    with torch.device(device or "cpu"), seeded(seed, torch.device(device or "cpu")):
        built = build_component(backbone, attrs.evolve(facts, branches=count_of(branches)))
        # Before the refiner is built, which may have a block for each boundary.
        ends = ends_of(branches, built.depth, refined=refiner is not None)
        facts = attrs.evolve(
            facts,
            branches=len(ends),
            ends=ends,
            depth=built.depth,
            width=built.width,
            heads=built.heads,
            grid=built.grid,
        )
        between = None if refiner is None else build_component(refiner, facts)
        return FlowNetwork(
            built,
            between,
            branches,
            facts=facts,
            interpolant=interpolant,
            intermediate_readouts=intermediate_readouts,
            composition=composition,
        )


def composition_of(config: RunConfig) -> dict[str, Any]:
    """The arguments of :func:`compose` that a run's config states (all but the facts)."""
    return {
        "backbone": config.backbone,
        "refiner": config.refiner,
        "branches": config.branches,
        "intermediate_readouts": config.intermediate_readouts,
        "interpolant": config.interpolant,
    }


def interpolant_of(given: Any, facts: Facts) -> Interpolant:
    """The path that is meant.

    Args:
        given: a name, ``{"type": name, **fields}``, a config, a :class:`thalweg.interpolant.Schedule` or an
            :class:`thalweg.interpolant.Interpolant`.
        facts: of the data, that a config is built with.

    Raises:
        ConfigError: fields are unknown or out of range.
        PluginError: its plugin is broken.
    """
    if isinstance(given, Interpolant):
        return given
    if isinstance(given, Schedule) and not isinstance(given, type):
        return Interpolant(given)
    if not isinstance(given, str | Mapping) and not attrs.has(type(given)):
        raise ConfigError(
            f"the interpolant is {shown(given)}; take a name such as 'linear', a table with its type, a "
            "config or a Schedule"
        )
    schedule: Schedule = build_component(component("interpolant", given), facts)
    return Interpolant(schedule)


def recorded_interpolant(given: Any) -> Any:
    """A path as a composition states it: by its bare name if it has no fields, else as a table.

    What has no name, a :class:`thalweg.interpolant.Schedule` of one's own, becomes ``{"object": ...}``.
    """
    schedule = given.schedule if isinstance(given, Interpolant) else given
    if isinstance(schedule, Schedule) and not isinstance(schedule, type):
        cls = type(schedule)
        return _OWN_PATHS.get(cls, {"object": f"{cls.__module__}:{cls.__qualname__}"})
    table = dump_component("interpolant", component("interpolant", given))
    return table["type"] if table.keys() == {"type"} else table


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Initialisers draw from the global generators; inside they are seeded, afterwards as before.

    Args:
        seed: for all that is drawn inside.
        device: where it is drawn.
    """
    cards = [device] if device.type == "cuda" else []
    SEED.check("seed", seed)
    with torch.random.fork_rng(devices=cards):
        # torch.manual_seed would seed every card of the machine, and only one would be restored.
        torch.default_generator.manual_seed(seed)
        for card in cards:
            with torch.cuda.device(card):
                torch.cuda.manual_seed(seed)
        yield
