"""The pieces of a run, built and checked before anything is written."""

import re
from collections.abc import Mapping
from typing import Any

import attrs
import torch

from thalweg.branches import count_of, ends_of
from thalweg.composition import compose, composition_of, interpolant_of, recorded_interpolant, seeded
from thalweg.config import RunConfig, TrainingConfig, components
from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.network import FlowNetwork
from thalweg.plugins import build_component
from thalweg.protocols import (
    Average,
    Dataset,
    Guidance,
    Objective,
    Optimizer,
    Planner,
    RateSchedule,
    Sampler,
)
from thalweg.training.losses import Frames
from thalweg.training.terms import check_terms

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@attrs.frozen(eq=False)
class Parts:
    """What a run is made of.

    Attributes:
        dataset: what is trained on.
        network: what is trained.
        objectives: the terms of the loss, by name.
        planner: decides what the network is asked.
        sampler: for sample grids.
        guidance: for sample grids, from the network outwards.
        optimizer: makes what moves the weights.
        schedule: of the learning rate.
        average: makes the averages of the weights.
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


def build(
    config: RunConfig,
    *,
    dataset: Dataset | None = None,
    network: FlowNetwork | None = None,
    objectives: Mapping[str, Any] | None = None,
) -> Parts:
    """Build what a configuration states; what is given here stands in for it.

    Raises:
        ConfigError: if pieces do not go together.
        PluginError: if a component's plugin is broken.
        DataError: if the data are missing or damaged.
    """
    dataset = build_component(config.data) if dataset is None else dataset
    if not hasattr(type(dataset), "identity") and not hasattr(dataset, "identity"):
        raise PluginError(
            f"the data set {type(dataset).__name__} has no 'identity', by which a run knows its data again; "
            "give it one: a text that is another for other data"
        )
    if network is None:
        network = compose(**composition_of(config), facts=dataset.facts, seed=config.seed)
    _check_trainable(network)
    # What this run makes of the network, whatever it knew before.
    facts = attrs.evolve(network.facts, condition_dropout=config.training.condition_dropout > 0)
    if (facts.shape, facts.classes) != (dataset.facts.shape, dataset.facts.classes):
        raise ConfigError(
            f"the network is built for shape {facts.shape} and {facts.classes} classes, the data have shape "
            f"{dataset.facts.shape} and {dataset.facts.classes} classes; build it with the data set's facts"
        )
    _check_stated(config, network)
    stated = config.objectives if objectives is None else components("objective", objectives)
    # A network that was loaded does not know what this data set stores.
    known = attrs.evolve(facts, features=dataset.facts.features)
    with seeded(config.seed, torch.device("cpu")):
        built = {name: build_component(one, known) for name, one in stated.items()}
    check_terms(built, config.training.steps)
    check_images(built, dataset)
    sampling = config.sampling
    guidance = tuple(build_component(one, facts) for one in sampling.guidance)
    network.facts = facts
    return Parts(
        dataset=dataset,
        network=network,
        objectives=built,
        planner=build_component(config.plan, facts),
        sampler=build_component(sampling.sampler, facts),
        guidance=guidance,
        optimizer=build_component(config.training.optimizer, facts),
        schedule=build_component(config.training.schedule, facts),
        average=checked_average(build_component(config.training.average, facts)),
    )


def _check_trainable(network: FlowNetwork) -> None:
    """Some weights of a network that is given are trained.

    Raises:
        ConfigError: if none are.
    """
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError(
            "no parameter of the network given requires a gradient, so nothing would be trained; let some do"
        )


def checked_average(average: Average) -> Average:
    """An average whose names can name files.

    Raises:
        PluginError: if they cannot.
    """
    names = tuple(getattr(average, "names", ()))
    if not names or len(set(names)) < len(names) or not all(map(_FILE_NAME.fullmatch, names)):
        raise PluginError(
            f"the average {type(average).__name__} calls its averages "
            f"{', '.join(map(repr, names)) or 'nothing'}; give each a name of its own, of letters, "
            "digits, dots, underscores and dashes"
        )
    return average


def _check_stated(config: RunConfig, network: FlowNetwork) -> None:
    """A network that is given is asked for what the configuration states of it.

    Raises:
        ConfigError: if it is cut into other branches, or on another path.
    """
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
    """Check that there are images where an objective looks at some.

    Raises:
        DataError: if there are none.
    """
    looking = [name for name, one in objectives.items() if getattr(one, "needs_images", False)]
    if looking and frames_of(dataset)(torch.zeros(1, *dataset.facts.shape)) is None:
        raise DataError(
            f"the teacher of objectives.{looking[0]} sees images and the data set has none; store what it "
            "sees by thalweg encode --teacher, or give the data set its autoencoder"
        )


def frames_of(dataset: Dataset) -> Frames:
    """What shows a data set's samples as images, with all of a sample in the frame."""
    frames: Frames = getattr(dataset, "frames", dataset.images)
    return frames


def check_shares(training: TrainingConfig, processes: int) -> None:
    """Check that the batch can be shared out.

    Raises:
        ConfigError: if it cannot.
    """
    if training.batch_size % (processes * training.accumulate):
        raise ConfigError(
            f"training.batch_size is {training.batch_size}, which {processes} devices that accumulate "
            f"{training.accumulate} times cannot share out evenly; make it a multiple of "
            f"{processes * training.accumulate}"
        )
