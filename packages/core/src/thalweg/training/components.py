"""The components of a run: built, checked and recorded before anything is trained."""

import re
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any

import attrs
import torch
from lightning_fabric import Fabric
from torch import Tensor

from thalweg.arguments import PROCESSES, check_instance, check_path, described
from thalweg.branches import count_of, ends_of
from thalweg.composition import compose, composition_of, interpolant_of, recorded_interpolant, seeded
from thalweg.config import FaultyConfigError, RunConfig, check_made, component, components, dump
from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.guidance import check_average
from thalweg.network import FlowNetwork
from thalweg.objects import is_object
from thalweg.plugins import build_component, is_config
from thalweg.plugins.recording import FILES_KEY, continued, files_of
from thalweg.protocols import Average, Dataset, Guidance, Objective, Optimizer, Planner, RateSchedule, Sampler
from thalweg.storage.redaction import redacted_plain
from thalweg.training.batches import Batches
from thalweg.training.objectives import check_objectives, check_planner, trains_flow_map
from thalweg.training.token_routing import TokenRouting

_OF_NETWORK = ("backbone", "refiner")
_OF_DATASET = ("facts", "train", "validation", "images")
_LONGEST_TIMEOUT = 30 * 86_400  # seconds
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@attrs.frozen(eq=False)
class RunComponents:
    """What a run is made of.

    Attributes:
        objectives: the terms of the loss, by name.
        sampler: for sample grids.
        guidance: for sample grids, from the network outwards.
        average: makes the EMA weights.
    """

    dataset: Dataset
    network: FlowNetwork
    objectives: Mapping[str, Objective]
    planner: Planner
    sampler: Sampler
    guidance: tuple[Guidance, ...]
    optimizer: Optimizer
    schedule: RateSchedule
    average: Average

    @property
    def of_length(self) -> tuple[str, ...]:
        """Keys of the components that depend on the run's length."""
        parts = {
            "training.schedule": self.schedule,
            **{f"objectives.{name}": one for name, one in self.objectives.items()},
        }
        return tuple(key for key, one in parts.items() if getattr(one, "of_length", False))

    def batches(self, config: RunConfig, processes: int) -> Batches:
        """What the run's steps read and draw, cut into micro-batches for so many processes."""
        training = config.training
        return Batches(
            self.dataset.train,
            self.network.facts,
            self.planner,
            self.network.interpolant,
            seed=config.seed,
            batch_size=training.batch_size,
            shards=processes * training.accumulate,
            condition_dropout=training.condition_dropout,
        )


def check_given(
    config: Any,
    run_dir: Any,
    network: Any,
    dataset: Any,
    objectives: Any,
    fabric: Any,
    devices: Any,
    nodes: Any,
    timeout: Any,
) -> None:
    """Arguments of :class:`thalweg.Trainer` are of the types that it takes."""
    check_instance(
        "config", config, RunConfig, "a thalweg.RunConfig, as thalweg.load_config('recipe.toml') returns it"
    )
    check_made(config)
    check_path("run_dir", run_dir, "the run's folder")
    check_instance(
        "network", network, (FlowNetwork, NoneType), "a network, as thalweg.compose returns it, or None"
    )
    # The identity is not requested here: to know it images may be read.
    if dataset is not None and (is_config(dataset) or not all(hasattr(dataset, one) for one in _OF_DATASET)):
        raise ConfigError(
            f"dataset is {described(dataset)}; give a data set that is built, or None for the config's own"
        )
    check_instance("objectives", objectives, (Mapping, NoneType), "a mapping of names to objectives, or None")
    try:
        components("objective", objectives or {})
    except FaultyConfigError as faults:
        raise faults.under("objectives") from None
    check_instance("fabric", fabric, (Fabric, NoneType), "a lightning_fabric.Fabric, or None")
    # Fabric's own words, such as "auto" or "0,1", are left to it.
    if not isinstance(devices, str):
        PROCESSES.check("devices", devices)
    PROCESSES.check("nodes", nodes)
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not number or not 0 < timeout <= _LONGEST_TIMEOUT:
        raise ConfigError(
            f"timeout is {described(timeout)}; it must be above 0 and at most {_LONGEST_TIMEOUT:,} seconds"
        )


def build_components(
    config: RunConfig,
    *,
    dataset: Dataset | None = None,
    network: FlowNetwork | None = None,
    objectives: Mapping[str, Any] | None = None,
) -> RunComponents:
    """Build what a configuration states; what is given here stands in for it.

    Raises:
        ThalwegError: as :class:`thalweg.Trainer`.
    """
    dataset = build_component(config.data) if dataset is None else dataset
    if not hasattr(type(dataset), "identity") and not hasattr(dataset, "identity"):
        raise PluginError(
            f"the data set {type(dataset).__name__} has no 'identity', by which a run knows its data again; "
            "give it one: a text that is another for other data"
        )
    if network is None:
        network = compose(**composition_of(config), facts=dataset.facts, seed=config.seed)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError(
            "no parameter of the network given requires a gradient, so nothing would be trained; let some do"
        )
    # What this run makes of the network, whatever it knew before.
    facts = attrs.evolve(network.facts, condition_dropout=config.training.condition_dropout > 0)
    if (facts.shape, facts.classes) != (dataset.facts.shape, dataset.facts.classes):
        raise ConfigError(
            f"the network is built for shape {facts.shape} and {facts.classes} classes, the data have shape "
            f"{dataset.facts.shape} and {dataset.facts.classes} classes; build it with the data set's facts"
        )
    if facts.normalisation != dataset.facts.normalisation:
        raise ConfigError(
            f"the network's samples are normalised by {facts.normalisation} and the data by "
            f"{dataset.facts.normalisation}; build it with the data set's facts, or change data.normalise"
        )
    if config.training.routing is not None:
        TokenRouting(config.training.routing, network)  # which refuses what has no such blocks
    _check_stated(config, network)
    stated = config.objectives if objectives is None else components("objective", objectives)
    # A network that was loaded does not know what this data set stores.
    known = attrs.evolve(facts, features=dataset.facts.features)
    with seeded(config.seed, torch.device("cpu")):
        built = {name: build_component(one, known) for name, one in stated.items()}
    check_objectives(built, config.training.steps)
    check_images(built, dataset)
    # Of a frozen network the last branch stays what it was.
    if any(one.requires_grad for one in network.velocity_readout.parameters()):
        facts = attrs.evolve(facts, flow_map=trains_flow_map(built.values()))
    planner = build_component(config.plan, facts)
    check_planner(built, planner)
    sampling = config.sampling
    sampler = build_component(sampling.sampler, facts)
    guidance = tuple(build_component(one, facts) for one in sampling.guidance)
    check_average(sampler, guidance)
    network.facts = facts
    return RunComponents(
        dataset=dataset,
        network=network,
        objectives=built,
        planner=planner,
        sampler=sampler,
        guidance=guidance,
        optimizer=build_component(config.training.optimizer, facts),
        schedule=build_component(config.training.schedule, facts),
        average=checked_average(build_component(config.training.average, facts)),
    )


def checked_average(average: Average) -> Average:
    """An average of the weights whose names can name files."""
    names = tuple(getattr(average, "names", ()))
    if not names or len(set(names)) < len(names) or not all(map(_FILE_NAME.fullmatch, names)):
        raise PluginError(
            f"the average {type(average).__name__} names its EMA weights "
            f"{', '.join(map(repr, names)) or 'nothing'}; give each a name of its own, of letters, "
            "digits, dots, underscores and dashes"
        )
    return average


def _check_stated(config: RunConfig, network: FlowNetwork) -> None:
    """A network that is given is what the configuration states of it."""
    ends = ends_of(config.branches, network.facts.depth, refined=count_of(config.branches) > 1)
    stated = {"branches": list(ends), "interpolant": recorded_interpolant(config.interpolant)}
    found = {**network.composition, "branches": list(network.facts.ends)}
    for name, value in stated.items():
        if found[name] != value:
            raise ConfigError(
                f"the network given has {name} {found[name]!r} and the configuration states {value!r}; "
                "make both the same"
            )
    # Paths of one class may have been made with other numbers, which nothing records.
    if not interpolant_of(config.interpolant, network.facts).agrees(network.interpolant):
        raise ConfigError(
            f"the network given is on another path of {network.interpolant} than the configuration states; "
            "make both the same"
        )


def check_images(objectives: Mapping[str, Objective], dataset: Dataset) -> None:
    """Check that there are images where an objective looks at some."""
    looking = [name for name, one in objectives.items() if getattr(one, "needs_images", False)]
    if looking and frames_of(dataset)(torch.zeros(1, *dataset.facts.shape)) is None:
        raise DataError(
            f"the teacher of objectives.{looking[0]} sees images and the data set has none; store what it "
            "sees by thalweg encode --teacher, or give the data set its autoencoder"
        )


def frames_of(dataset: Dataset) -> Callable[[Tensor], Tensor | None]:
    """What shows a data set's samples as images, with all of a sample in the frame."""
    return getattr(dataset, "frames", dataset.images)


def as_trained(
    config: RunConfig, components: RunComponents, network: Any, dataset: Any, objectives: Any
) -> RunConfig:
    """The configuration with what was given in place of what it states."""
    given: dict[str, Any] = {}
    if network is not None:
        composition = network.composition
        for kind in _OF_NETWORK:
            stated = composition.get(kind)
            named = stated is not None and not is_object(stated)
            given[kind] = component(kind, stated) if named else getattr(network, kind)
        given["intermediate_readouts"] = composition.get("intermediate_readouts", "shared")
        given["heads"] = tuple(composition.get("heads", ()))
        given["detach_heads"] = composition.get("detach_heads", True)
        given["prediction"] = composition.get("prediction", "velocity")
    if dataset is not None:
        given["data"] = dataset
    if objectives is not None:
        given["objectives"] = dict(components.objectives)
    return attrs.evolve(config, **given)


def recorded(
    config: RunConfig, network: FlowNetwork, before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A run's configuration in plain values, secrets masked, with the plugin files that it uses."""
    plain = dump(config)
    # The network knows the fields of a backbone or refiner whose config has no name.
    plain |= {kind: network.composition[kind] for kind in _OF_NETWORK if is_object(network.composition[kind])}
    files = continued((before or {}).get(FILES_KEY), files_of(config, network))
    found: dict[str, Any] = redacted_plain({**plain, **({FILES_KEY: files} if files else {})})
    return found
