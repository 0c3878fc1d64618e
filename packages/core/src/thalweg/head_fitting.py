"""Intermediate heads of a trained network, fitted while the rest of it is frozen.

A head after block i is trained as it would have been beside the network on detached tokens, on
E|v_i(x_t, t) - V|^2: only its own weights move, so the network computes what it did, and gains guidance by a
weak head of its own (Internal-Guidance, CVPR 2026, on networks that were trained without).
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch

from thalweg.added_heads import add_heads
from thalweg.arguments import check_instance
from thalweg.branches import checked_heads
from thalweg.calibrating import check_data
from thalweg.checkpoint import TensorGroup
from thalweg.config import CONFIG, read_recorded
from thalweg.config.recipes import read_recipe
from thalweg.errors import ConfigError, DataError
from thalweg.fetching import run_config
from thalweg.generation.models import model_at
from thalweg.head_settings import check_settings, fitting_config
from thalweg.loading import load
from thalweg.network import FlowNetwork
from thalweg.objects import is_object
from thalweg.plugins import build_component, is_config
from thalweg.protocols import Dataset
from thalweg.storage.redaction import redacted
from thalweg.training.compatibility import check_config
from thalweg.training.loop import TrainingResult
from thalweg.training.trainer import Trainer


def fit_heads(
    network: FlowNetwork | Path | str,
    run_dir: Path | str,
    *,
    after: Sequence[int],
    data: Dataset | Path | str | None = None,
    settings: Iterable[str] = (),
    accelerator: str = "auto",
    devices: int | str = "auto",
    quiet: bool = False,
) -> TrainingResult:
    """Give a trained network heads after these numbers of blocks, and train nothing but them.

    What comes of it is a run: ``run_dir`` has its checkpoints and numbers, the same call resumes it, and its
    ``model`` is the network with the heads and what was measured of them. All other weights are those of the
    network, to the bit.

    Args:
        network: a run, of which the EMA weights count, or a saved network, a path or a URL; or one in memory,
            which is left as it is.
        run_dir: folder of the new run, a path or a URL.
        after: numbers of blocks after which to read a velocity.
        data: a recipe or a run that states the data set, or one that is built; by default the data of the
            network's own run.
        settings: ``KEY=VALUE`` for the run, such as ``training.steps=500``.
        accelerator: as of :class:`thalweg.Trainer`, as ``devices`` and ``quiet``.

    Raises:
        ConfigError: there can be no such heads, or there are some; no data set is known, or one that does not
            fit; a setting is of the network; or as of :class:`thalweg.Trainer`.
        DataError: there is no such network, or the run was begun on other weights.
        ThalwegError: as :meth:`thalweg.Trainer.train`.
    """
    return trainer_of_heads(
        network,
        run_dir,
        after=after,
        data=data,
        settings=settings,
        accelerator=accelerator,
        devices=devices,
        quiet=quiet,
    ).train()


def trainer_of_heads(
    network: FlowNetwork | Path | str,
    run_dir: Path | str,
    *,
    after: Sequence[int],
    data: Dataset | Path | str | None = None,
    settings: Iterable[str] = (),
    **devices: Any,
) -> Trainer:
    """The run that :func:`fit_heads` trains, with everything checked before a file is written."""
    items, depths = check_settings(settings), checked_heads(after)
    check_instance(
        "network", network, (FlowNetwork, str, Path), "a saved network, a run, or a network in memory"
    )
    frozen, stated = _opened(network)
    add_heads(frozen, depths)
    frozen.requires_grad_(False)
    for depth in depths:
        frozen.velocity_heads[str(depth)].requires_grad_(True)
    if frozen.sampling:
        stated = {**stated, "sampling": frozen.sampling}
    config = fitting_config(
        _with_data(stated, data),
        _parts(frozen),
        depths,
        items,
        condition_dropout=frozen.facts.condition_dropout,
    )
    dataset = build_component(config.data) if is_config(config.data) else config.data
    check_data(frozen, dataset)
    trainer = Trainer(config, run_dir, network=frozen, dataset=dataset, **devices)
    # It was given so that it is built once, and is the config's own all the same.
    trainer.config = attrs.evolve(trainer.config, data=config.data)
    _check_begun(trainer, depths)
    return trainer


def _opened(network: FlowNetwork | Path | str) -> tuple[FlowNetwork, Mapping[str, Any]]:
    """A network that may be changed, and the configuration of its run; empty where none is known."""
    if isinstance(network, FlowNetwork):
        return copy.deepcopy(network), {}
    opened, saved = load(network), model_at(network)
    if saved is None or saved.run is None:
        return opened, {}
    return opened, read_recorded(saved.run / CONFIG)


def _with_data(stated: Mapping[str, Any], data: Any) -> Mapping[str, Any]:
    """The configuration with the data set that is meant."""
    if isinstance(data, str | Path):
        found = _configuration(data)
        return {**found, **stated, "data": found.get("data")}
    if data is not None:
        return {**stated, "data": data}
    if stated.get("data") is None or is_object(stated["data"]):
        why = "belongs to no run" if "data" not in stated else "was trained on data that were made in Python"
        raise ConfigError(
            f"the network {why}, so it is not known what its heads are to be fitted on; give --data-of (data "
            "in Python), a recipe or a run that states its data set"
        )
    return stated


def _configuration(place: Path | str) -> Mapping[str, Any]:
    """What a recipe or a run states, of which there is a data set.

    Raises:
        ConfigError: it is neither, or states none.
    """
    named = redacted(str(place))
    recipe = str(place).partition("?")[0].endswith(".toml")
    file = place if recipe else run_config(place)
    if file is None:
        raise ConfigError(f"{named} is neither a recipe nor a run; give --data-of one that states a data set")
    found = read_recipe(file).data if recipe else read_recorded(Path(file))
    if found.get("data") is None or is_object(found["data"]):
        raise ConfigError(f"{named} states no data set that could be built again; give --data-of another one")
    return found


def _parts(network: FlowNetwork) -> dict[str, Any]:
    """The network as a run's configuration states it; what was made in Python is handed over as it is."""
    composition = network.composition
    made = {
        "backbone": network.backbone,
        "refiner": network.refiner,
        "interpolant": network.interpolant.schedule,
    }
    parts = {kind: part if is_object(composition[kind]) else composition[kind] for kind, part in made.items()}
    return parts | {
        "branches": list(network.facts.ends),
        "intermediate_readouts": composition.get("intermediate_readouts", "shared"),
        "heads": list(network.facts.head_depths),
        "detach_heads": network.detach_heads,
        "prediction": network.prediction,
    }


def _check_begun(trainer: Trainer, fitted: Sequence[int]) -> None:
    """A run that is resumed was begun on the same weights, which its checkpoint would else replace.

    Raises:
        ConfigError: as :meth:`thalweg.Trainer.train`.
        DataError: it was begun on others.
    """
    run, recorded = trainer.run, trainer.run.recorded()
    if run.remote is not None or recorded is None or not run.checkpoints.is_dir():
        return
    check_config(run.where, recorded, trainer.record(), trainer.fixed)
    start = trainer.newest()
    if start is None:
        return
    saved = TensorGroup(start, "network")
    own = tuple(f"velocity_heads.{depth}." for depth in fitted)
    frozen = trainer.components.network.state_dict().items()
    for name, tensor in ((name, tensor) for name, tensor in frozen if not name.startswith(own)):
        if name in saved.shapes and not torch.equal(saved.read(name), tensor.cpu()):
            raise DataError(
                f"the run in {run.where} has begun to fit heads of a network with other weights ({name} "
                "differs); choose another --run-dir"
            )
