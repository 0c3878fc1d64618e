"""Composition: from names, configs and built parts to a network."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import nn

from thalweg import network_parts
from thalweg.arguments import SEED, check_instance
from thalweg.branches import Branches, checked, checked_heads, count_of, ends_of
from thalweg.config import RunConfig, component, dump_component
from thalweg.config.components import fault_of
from thalweg.devices import usable_device
from thalweg.errors import ConfigError, PluginError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant, Schedule
from thalweg.network import FlowNetwork
from thalweg.objects import is_object
from thalweg.plugins import build_component, registry


def compose(
    *,
    backbone: Any,
    facts: Facts,
    refiner: Any = None,
    branches: Branches = 1,
    intermediate_readouts: str = "shared",
    heads: Sequence[int] = (),
    detach_heads: bool = True,
    prediction: str = "velocity",
    interpolant: Any = "linear",
    device: torch.device | str | None = None,
    seed: int = 0,
) -> FlowNetwork:
    """Build a network from components.

    Args:
        backbone: a name, ``{"type": name, **fields}``, a config, registered or not, or a backbone that is
            built; a bare name stands for its defaults.
        facts: shape and classes of the data.
        refiner: the same, or None with one branch.
        branches: k, which divides the backbone's depth, or the depths at which branches end.
        intermediate_readouts: ``shared`` by the branches before the last one, or each its ``own``.
        heads: numbers of blocks after which velocities are read besides, each by a read-out of its own.
        detach_heads: whether these read detached tokens and conditions, which leaves the rest as it is;
            else they supervise it.
        prediction: what read-outs give: a ``velocity``, or the ``clean`` data from which one follows.
        interpolant: the path whose velocity the network predicts, as :func:`interpolant_of` takes it.
        device: where to build it; ``"meta"`` allocates nothing. Parts that are built are moved there, and
            stay where they are if none is given.
        seed: of the initial weights, but for those of parts that are built. The global generators are left
            as they were.

    Raises:
        ConfigError: if fields are unknown, out of range or do not go together.
        PluginError: if a component is unknown or its plugin broken.
    """
    example = "thalweg.Facts(shape=(4, 32, 32), classes=1000)"
    check_instance("facts", facts, Facts, f"those of the data, such as {example}")
    branches, heads = checked(branches), checked_heads(heads)
    network_parts.check_prediction(prediction)
    facts = attrs.evolve(facts, branches=count_of(branches))
    seed = SEED.check("seed", seed)
    path = interpolant_of(interpolant, facts)
    backbone_config = component("backbone", backbone)
    refiner_config = component("refiner", refiner, optional=True)
    device = _home((backbone_config, refiner_config), device)
    composition = network_parts.composition(
        dump_component("backbone", backbone_config),
        None if refiner_config is None else dump_component("refiner", refiner_config),
        branches,
        recorded_interpolant(interpolant),
        intermediate_readouts,
        heads,
        detach_heads,
        prediction,
    )
    network = assemble(
        backbone_config,
        refiner_config,
        facts,
        branches,
        intermediate_readouts=intermediate_readouts,
        heads=heads,
        detach_heads=detach_heads,
        prediction=prediction,
        interpolant=path,
        composition=composition,
        device=device,
        seed=seed,
    )
    named = {
        kind: composition[kind]["type"] for kind in ("backbone", "refiner") if _is_named(composition[kind])
    }
    network.owners = {
        kind: f"{kind} '{name}' of {registry().origin(kind, name)}" for kind, name in named.items()
    }
    return network


def _is_named(table: Any) -> bool:
    return table is not None and not is_object(table)


def _home(parts: tuple[Any, ...], device: Any) -> torch.device:
    """Where a network is built: where it is requested, else where its first built part has its weights."""
    built = [one for one in parts if isinstance(one, nn.Module)]
    if device is not None:
        home = usable_device(device)
        if home.type == "meta" and built:
            raise ConfigError(
                f"{type(built[0]).__qualname__} is built, and what is built has no place on the device meta; "
                "give its config, or another device"
            )
        return home
    weights = next((one for part in built for one in part.parameters()), None)
    return usable_device("cpu" if weights is None else weights.device)


def assemble(
    backbone: Any,
    refiner: Any,
    facts: Facts,
    branches: Branches = 1,
    *,
    intermediate_readouts: str = "shared",
    heads: Sequence[int] = (),
    detach_heads: bool = True,
    prediction: str = "velocity",
    interpolant: Interpolant | str = "linear",
    composition: Mapping[str, Any] | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
) -> FlowNetwork:
    """Build a network from two configs, which need not be registered, or from parts that are built.

    Args:
        backbone: a config or a backbone.
        refiner: a config or a refiner, or None with one branch.
        facts: of the data.
        branches: as :func:`compose` takes them.
        intermediate_readouts: the same.
        heads: the same.
        detach_heads: the same.
        prediction: the same.
        interpolant: the path, or the name of one that core brings.
        composition: what :func:`compose` would build the network from again.
        device: as :func:`compose` takes it.
        seed: of the initial weights.

    Raises:
        ConfigError: if the two do not go together.
        PluginError: if one of them cannot be built.
    """
    for part in (backbone, refiner):
        if isinstance(part, nn.Module) and device is not None:
            part.to(device)  # it may have been built elsewhere
    with torch.device(device or "cpu"), seeded(seed, torch.device(device or "cpu")):
        built = build_component(backbone, attrs.evolve(facts, branches=count_of(branches)))
        _check_built("backbone", backbone, built)
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
        _check_built("refiner", refiner, between)
        return FlowNetwork(
            built,
            between,
            branches,
            facts=facts,
            interpolant=interpolant,
            intermediate_readouts=intermediate_readouts,
            heads=heads,
            detach_heads=detach_heads,
            prediction=prediction,
            composition=composition,
        )


def _check_built(kind: str, config: Any, built: Any) -> None:
    """A config has built a part of its kind.

    Raises:
        PluginError: if it has not.
    """
    fault = fault_of(kind, built) if built is not None and built is not config else ""
    if fault:
        what = type(config)
        raise PluginError(f"{what.__qualname__} of {what.__module__} builds what is no {kind}: {fault}")


def without_memory(composition: Mapping[str, Any], facts: Facts) -> FlowNetwork:
    """The network on the device meta; where parts of it are built, which stand somewhere, as it is."""
    built = any(isinstance(composition.get(kind), nn.Module) for kind in ("backbone", "refiner"))
    return compose(**composition, facts=facts, device=None if built else "meta")


def composition_of(config: RunConfig) -> dict[str, Any]:
    """The arguments of :func:`compose` that a run's config states (all but the facts)."""
    return {
        "backbone": config.backbone,
        "refiner": config.refiner,
        "branches": config.branches,
        "intermediate_readouts": config.intermediate_readouts,
        "heads": config.heads,
        "detach_heads": config.detach_heads,
        "prediction": config.prediction,
        "interpolant": config.interpolant,
    }


def interpolant_of(given: Any, facts: Facts) -> Interpolant:
    """The path that is meant.

    Args:
        given: a name, ``{"type": name, **fields}``, a config, a :class:`thalweg.interpolant.Schedule` or an
            :class:`thalweg.interpolant.Interpolant`.
        facts: of the data, that a config is built with.

    Raises:
        ConfigError: it is none of these, or fields are unknown or out of range.
        PluginError: its plugin is broken.
    """
    if isinstance(given, Interpolant):
        return given
    schedule: Schedule = build_component(component("interpolant", given), facts)
    return Interpolant(schedule)


def recorded_interpolant(given: Any) -> Any:
    """A path as a composition states it: by its bare name if it has no fields, else as a table."""
    if isinstance(given, Schedule) and not isinstance(given, type):
        given = Interpolant(given)
    if isinstance(given, Interpolant):
        return given.stated
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
