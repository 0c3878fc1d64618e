"""What a run records of itself: what is really trained, whatever a recipe says beside it."""

from collections.abc import Mapping
from typing import Any

import attrs

from thalweg.config import RunConfig, component, dump
from thalweg.network import FlowNetwork
from thalweg.objects import is_object
from thalweg.plugins.recording import FILES_KEY, continued, files_of
from thalweg.storage.redaction import redacted_plain
from thalweg.training.parts import Parts

_OF_NETWORK = ("backbone", "refiner")


def as_trained(
    config: RunConfig, parts: Parts, *, network: bool, dataset: bool, objectives: bool
) -> RunConfig:
    """The configuration with what was given in place of what it states.

    Args:
        config: the run, as it was asked for.
        parts: what is trained.
        network: whether the network was given, and is not the one that ``config`` composes.
        dataset: the same of the data set.
        objectives: the same of the objectives.
    """
    given: dict[str, Any] = {}
    if network:
        made, composition = parts.network, parts.network.composition
        for kind in _OF_NETWORK:
            stated = composition.get(kind)
            named = stated is not None and not is_object(stated)
            given[kind] = component(kind, stated) if named else getattr(made, kind)
        given["intermediate_readouts"] = composition.get("intermediate_readouts", "shared")
    if dataset:
        given["data"] = parts.dataset
    if objectives:
        given["objectives"] = dict(parts.objectives)
    return attrs.evolve(config, **given)


def recorded(
    config: RunConfig, network: FlowNetwork, before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A run's configuration in plain values, secrets masked, with the plugin files that it uses.

    Args:
        config: the run, as it is trained.
        network: that is trained.
        before: what its folder recorded so far.
    """
    plain = dump(config)
    # Of a part whose config has no name, the network knows the fields.
    plain |= {kind: network.composition[kind] for kind in _OF_NETWORK if is_object(network.composition[kind])}
    files = continued((before or {}).get(FILES_KEY), files_of(config, network))
    found: dict[str, Any] = redacted_plain({**plain, **({FILES_KEY: files} if files else {})})
    return found
