"""The pieces of a run, built and checked before anything is written."""

from collections.abc import Mapping

import attrs
import torch

from thalweg.composition import compose, composition_of, seeded
from thalweg.config import RunConfig, TrainingConfig
from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.interpolant import Interpolant
from thalweg.network import FlowNetwork
from thalweg.planner import Planner
from thalweg.plugins import build_component
from thalweg.protocols import Dataset, Guidance, Objective, Sampler
from thalweg.training.losses import Frames


@attrs.frozen(eq=False)
class Parts:
    """What a run is made of.

    Attributes:
        dataset: what is trained on.
        network: what is trained.
        objectives: the terms of the loss, by name.
        planner: draws times and noise.
        sampler: for sample grids.
        guidance: for sample grids; None for none.
    """

    dataset: Dataset
    network: FlowNetwork
    objectives: Mapping[str, Objective]
    planner: Planner
    sampler: Sampler
    guidance: Guidance | None


def build(
    config: RunConfig,
    *,
    dataset: Dataset | None = None,
    network: FlowNetwork | None = None,
    objectives: Mapping[str, Objective] | None = None,
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
    # What this run makes of the network, whatever it knew before.
    facts = attrs.evolve(network.facts, condition_dropout=config.plan.label_dropout > 0)
    if (facts.shape, facts.classes) != (dataset.facts.shape, dataset.facts.classes):
        raise ConfigError(
            f"the network is built for shape {facts.shape} and {facts.classes} classes, the data have shape "
            f"{dataset.facts.shape} and {dataset.facts.classes} classes; build it with the data set's facts"
        )
    branches = config.branches if isinstance(config.branches, int) else list(config.branches)
    stated = {"branches": branches, "interpolant": config.plan.interpolant}
    for name, value in stated.items():
        if network.composition.get(name, value) != value:
            raise ConfigError(
                f"the network given has {name} {network.composition[name]!r} and the configuration states "
                f"{value!r}; make both the same"
            )
    if objectives is None:
        # A network that was loaded does not know what this data set stores.
        known = attrs.evolve(facts, features=dataset.facts.features)
        with seeded(config.seed, torch.device("cpu")):
            objectives = {name: build_component(one, known) for name, one in config.objectives.items()}
    check_images(objectives, dataset)
    interpolant = Interpolant.named(config.plan.interpolant)
    time_sampler = build_component(config.plan.time_sampler, facts)
    sampling = config.sampling
    guidance = None if sampling.guidance is None else build_component(sampling.guidance, facts)
    network.facts = facts
    return Parts(
        dataset=dataset,
        network=network,
        objectives=objectives,
        planner=Planner(interpolant, time_sampler, facts.branches, config.plan.max_time_gap),
        sampler=build_component(sampling.sampler, facts),
        guidance=guidance,
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
