"""The training run: from a configuration and a folder to a trained network."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import attrs
from lightning_fabric import Fabric

from thalweg.config import RunConfig, dump, to_toml
from thalweg.errors import ConfigError
from thalweg.machine import FLOP_PER_WEIGHT_TRAINED, Precision, compiler, compiling_pays
from thalweg.network import FlowNetwork
from thalweg.protocols import Dataset, Objective
from thalweg.training import checkpoint
from thalweg.training.fabric import (
    is_first_process,
    launch,
    make_fabric,
    native_precision,
    precision_of,
)
from thalweg.training.parts import Parts, build
from thalweg.training.progress import Silent
from thalweg.training.run_directory import Resume, RunDirectory
from thalweg.training.session import Session, TrainingResult


class Trainer:
    """Trains a network and keeps the run in a folder.

    Everything is built and checked here, before a file is written.

    Args:
        config: the run.
        run_dir: its folder; made if it is not there.
        network: stands in for the one that ``config`` composes; its data set must go with it.
        dataset: stands in for ``config.data``.
        objectives: stand in for ``config.objectives``, by name.
        fabric: stands in for one made from the next three; its precision then counts.
        accelerator: ``auto``, ``cpu``, ``cuda`` or another that Fabric knows.
        devices: how many processes train together, or ``auto``.
        strategy: how they do, ``auto`` or a name that Fabric knows.
        quiet: no progress, only warnings.

    Raises:
        ConfigError: if pieces do not go together, or the batch cannot be shared out to the devices.
        PluginError: if a component's plugin is missing or broken.
        DataError: if the data are missing or damaged.

    Attributes:
        parts: what was built.
        config: the run with precision and compilation decided.
        compiled: whether the network will be compiled.
    """

    def __init__(
        self,
        config: RunConfig,
        run_dir: Path | str,
        *,
        network: FlowNetwork | None = None,
        dataset: Dataset | None = None,
        objectives: Mapping[str, Objective] | None = None,
        fabric: Fabric | None = None,
        accelerator: str = "auto",
        devices: int | str = "auto",
        strategy: str = "auto",
        quiet: bool = False,
    ) -> None:
        self.parts: Parts = build(config, dataset=dataset, network=network, objectives=objectives)
        self._run = RunDirectory(Path(run_dir))
        recorded = self._run.recorded() or {}
        self._quiet = quiet
        settings = dict(recorded.get("training", {}))
        if fabric is None:
            precision = _decided(config.training.precision, settings.get("precision"))
            fabric = make_fabric(
                accelerator=accelerator,
                devices=str(devices),
                strategy=strategy,
                precision=native_precision(accelerator) if precision is None else precision,
            )
        elif config.training.precision not in ("auto", precision_of(fabric)):
            raise ConfigError(
                f"training.precision is {config.training.precision} and the Fabric given computes in "
                f"{precision_of(fabric)}; make both the same, or leave the first at auto"
            )
        self._fabric = fabric
        compiled = self._pays(config, settings.get("compile"))
        self.compiled = compiled and _compiler_is_there()
        self.config = attrs.evolve(
            config,
            training=attrs.evolve(
                config.training,
                precision=cast(Precision, precision_of(fabric)),
                compile="on" if compiled else "off",
            ),
        )
        self._check_shares()

    @property
    def leads(self) -> bool:
        """Whether this is the first process, which speaks for all."""
        return is_first_process()

    @property
    def devices(self) -> str:
        """What is trained on, such as ``2 x cpu``."""
        return f"{self._fabric.world_size} x {self._fabric.device.type}"

    def train(self, resume: Resume = "auto") -> TrainingResult:
        """Train to the last step, or until Ctrl-C.

        Args:
            resume: ``auto`` goes on from the newest whole checkpoint in the folder, if there is a run;
                ``never`` refuses a folder that holds one.

        Raises:
            ConfigError: if the folder is foreign, in use, of another run, or cannot be written to.
            DataError: if all checkpoints are damaged, or of another network.
            DivergenceError: if loss or gradient is not finite.
        """
        plain = dump(self.config)
        with self._run.claimed(plain, resume) if self.leads else nullcontext():
            start = self._prepare(plain) if self.leads else None
            launch(self._fabric)
            start = self._fabric.broadcast(start)
            session = Session(
                self.config,
                plain,
                self._run,
                self.parts,
                self._fabric,
                start=start,
                compiled=self.compiled,
                quiet=self._quiet,
            )
            return session.run()

    def _prepare(self, plain: Mapping[str, Any]) -> Path | None:
        """Find where to go on, and bind the folder to this configuration."""
        checkpoint.clean(self._run.checkpoints)
        start = checkpoint.newest(self._run.checkpoints, Silent().say)
        if start is not None and checkpoint.step_of(start) > self.config.training.steps:
            raise ConfigError(
                f"training.steps is {self.config.training.steps} and the run in {self._run.path} has done "
                f"{checkpoint.step_of(start)}; give more steps or choose another --run-dir"
            )
        self._run.record(to_toml(plain))
        return start

    def _pays(self, config: RunConfig, recorded: Any) -> bool:
        asked, training = _decided(config.training.compile, recorded), config.training
        if asked is None:
            images = training.batch_size * training.steps
            return compiling_pays(
                self.parts.network, images, FLOP_PER_WEIGHT_TRAINED, self._fabric.device.type
            )
        return bool(asked == "on")

    def _check_shares(self) -> None:
        training, world = self.config.training, self._fabric.world_size
        if training.batch_size % (world * training.accumulate):
            raise ConfigError(
                f"training.batch_size is {training.batch_size}, which {world} devices that accumulate "
                f"{training.accumulate} times cannot share out evenly; make it a multiple of "
                f"{world * training.accumulate}"
            )


def _decided(asked: str, recorded: Any) -> Any:
    """What was asked for; else what the run began with, so that it goes on alike; else None."""
    return recorded if asked == "auto" else asked


def _compiler_is_there() -> bool:
    there = compiler() is not None
    if not there and is_first_process():
        Silent().say(
            "warning: there is no C++ compiler here, so the network is not compiled and trains more slowly; "
            "install g++ or set training.compile=off"
        )
    return there
