"""The training run: from a configuration and a folder to a trained network."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import attrs
from lightning_fabric import Fabric
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from torch import distributed

from thalweg.config import RunConfig, TrainingConfig
from thalweg.errors import ConfigError, ThalwegError
from thalweg.machine import (
    FLOP_PER_WEIGHT_TRAINED,
    Precision,
    compiler,
    compiler_fault,
    compiling_pays,
)
from thalweg.network import FlowNetwork
from thalweg.plugins import build_component
from thalweg.protocols import Average, Dataset, Logger
from thalweg.stated import check_placed
from thalweg.training import checkpoint
from thalweg.training.data_record import DataRecord
from thalweg.training.fabric import (
    is_first_process,
    launch,
    launched,
    machines,
    make_fabric,
    native_precision,
    precision_of,
)
from thalweg.training.given import check_given
from thalweg.training.interruption import Interruption
from thalweg.training.parts import Parts, build, check_shares
from thalweg.training.progress import Silent
from thalweg.training.recorded import as_trained, recorded
from thalweg.training.result import TrainingResult
from thalweg.training.run_directory import Accepts, Resume, RunDirectory
from thalweg.training.session import Session
from thalweg.training.workers import RefusedError, looked_after

TIMEOUT = 600.0
"""Seconds after which a process gives the others up; longer than anything that one does alone."""


class Trainer:
    """Trains a network and keeps the run in a folder.

    Everything is built and checked here, before a file is written.

    Args:
        config: the run.
        run_dir: its folder, made if it is not there: a path, or a URL that fsspec can write to.
        network: stands in for the one that ``config`` composes; its data set must go with it, and its
            weights be the same on all processes. The run records what it is made of.
        dataset: stands in for ``config.data``; recorded as the object that it is.
        objectives: stand in for ``config.objectives``, by name; each as a slot takes it.
        fabric: stands in for one made from the next five; its precision then counts.
        accelerator: ``auto``, ``cpu``, ``cuda`` or another that Fabric knows.
        devices: how many processes train together on a machine, or ``auto``.
        nodes: how many machines do.
        strategy: ``ddp`` (each process holds the whole network), ``fsdp`` (network and optimiser are shared
            out over all), or ``auto``: ddp for several processes.
        timeout: seconds after which a process gives the others up.
        quiet: no progress, only warnings.

    Raises:
        ConfigError: if pieces do not go together, or the batch cannot be shared out to the devices.
        PluginError: if a component's plugin is missing or broken.
        DataError: if the data are missing or damaged.

    Attributes:
        parts: what was built.
        run: its folder.
        data: what the folder says of the data.
        config: the run as it is trained: with what was given, and with precision and compilation decided.
        compiled: whether the network will be compiled.
    """

    def __init__(
        self,
        config: RunConfig,
        run_dir: Path | str,
        *,
        network: FlowNetwork | None = None,
        dataset: Dataset | None = None,
        objectives: Mapping[str, Any] | None = None,
        fabric: Fabric | None = None,
        accelerator: str = "auto",
        devices: int | str = "auto",
        nodes: int = 1,
        strategy: str = "auto",
        timeout: float = TIMEOUT,
        quiet: bool = False,
    ) -> None:
        check_given(
            config,
            run_dir,
            network=network,
            dataset=dataset,
            objectives=objectives,
            fabric=fabric,
            devices=devices,
            nodes=nodes,
            timeout=timeout,
        )
        self.parts: Parts = build(config, dataset=dataset, network=network, objectives=objectives)
        self.run = RunDirectory(run_dir)
        before = self.run.recorded() or {}
        for warning in filter(None, (self.run.warning, _untrained(self.parts.average, config.training))):
            if is_first_process():
                Silent().say(f"warning: {warning}")
        self.data = DataRecord(self.run.path, self.run.where, self.parts.dataset)
        self._loggers: dict[str, Logger] = {}
        self._quiet = quiet
        settings = dict(before.get("training", {}))
        if fabric is None:
            precision = _decided(config.training.precision, settings.get("precision"))
            fabric = make_fabric(
                accelerator=accelerator,
                devices=str(devices),
                nodes=nodes,
                strategy=strategy,
                precision=native_precision(accelerator) if precision is None else precision,
                timeout=timeout,
            )
        elif config.training.precision not in ("auto", precision_of(fabric)):
            raise ConfigError(
                f"training.precision is {config.training.precision} and the Fabric given computes in "
                f"{precision_of(fabric)}; make both the same, or leave the first at auto"
            )
        self._fabric = fabric
        check_shares(config.training, fabric.world_size)
        if self.run.mirror is not None and self.sharded and machines(fabric) > 1:
            raise ConfigError(
                f"the run directory {self.run.where} is a URL, and under fsdp the processes of several "
                f"machines write parts of one checkpoint; give a folder that all of them see"
            )
        compiled = self._pays(config, settings.get("compile"))
        self.compiled = compiled and _compiler_is_there()
        trained = as_trained(
            config,
            self.parts,
            network=network is not None,
            dataset=dataset is not None,
            objectives=objectives is not None,
        )
        self.config = attrs.evolve(
            trained,
            training=attrs.evolve(
                config.training,
                precision=cast(Precision, precision_of(fabric)),
                compile="on" if compiled else "off",
            ),
        )
        self._before = before

    @property
    def leads(self) -> bool:
        """Whether this is the first process, which speaks for all."""
        return is_first_process()

    @property
    def rank(self) -> int:
        """The number of this process, counted from 0."""
        return self._fabric.global_rank

    @property
    def world(self) -> int:
        """The number of processes."""
        return self._fabric.world_size

    @property
    def devices(self) -> str:
        """What is trained on, such as ``2 x cpu``."""
        return f"{self._fabric.world_size} x {self._fabric.device.type}"

    @property
    def fixed(self) -> tuple[str, ...]:
        """Keys that another run could change when it goes on, and this one could not."""
        return ("training.steps",) if getattr(self.parts.schedule, "of_length", False) else ()

    @property
    def sharded(self) -> bool:
        """Whether the network is shared out over the processes."""
        return self.world > 1 and isinstance(self._fabric.strategy, ModelParallelStrategy)

    def record(self) -> dict[str, Any]:
        """What the folder records of the run, in plain values."""
        return recorded(self.config, self.parts.network, self._before)

    def train(
        self,
        resume: Resume = "auto",
        *,
        accept_changed_data: bool = False,
        accept_changed_files: bool = False,
    ) -> TrainingResult:
        """Train to the last step, or until Ctrl-C, SIGTERM or SIGUSR1.

        Args:
            resume: ``auto`` goes on from the newest whole checkpoint in the folder, if there is a run;
                ``never`` refuses a folder that holds one.
            accept_changed_data: go on though the data are not what the run was trained on so far.
            accept_changed_files: go on though plugin files are not those that it was trained with so far.

        Raises:
            ConfigError: if the folder is foreign, in use, of another run, or cannot be written to; or the
                network given has no weights.
            PluginError: if plugin files are others than before.
            DataError: if all checkpoints are damaged, or of another network; if the data are not those of the
                run, or an image or shard that a step needs is damaged. What was trained is saved then.
            DivergenceError: if loss or gradient is not finite.
            ProcessLostError: if another process of the run ended or hangs.
        """
        check_placed(dict(self.parts.network.named_parameters()))
        plain = self.record()
        # Where others started the processes, they wait for the first one, whatever it finds.
        together = launched(self._fabric)
        workers = launch(self._fabric) if together else None
        accepts = Accepts(accept_changed_data, accept_changed_files)
        with self._begun(plain, resume, together, accepts) as start:
            workers = workers if together else launch(self._fabric)
            interruption = Interruption(echoed=distributed.is_torchelastic_launched())
            with interruption.noted(), looked_after(workers, self.world):
                start, refusal = self._fabric.broadcast((start, None))
                if refusal is not None:
                    raise RefusedError.of(*refusal)
                # From here on a signal to any process stops all of them after the same step.
                self._fabric.barrier()
                if workers is not None:
                    workers.joined()
                session = Session(
                    self.config,
                    plain,
                    self.run,
                    self.parts,
                    self._fabric,
                    self._loggers,
                    interruption,
                    start=start,
                    compiled=self.compiled,
                    quiet=self._quiet,
                )
                return session.run()

    @contextmanager
    def _begun(
        self, plain: Mapping[str, Any], resume: Resume, together: bool, accepts: Accepts
    ) -> Iterator[Path | None]:
        """The first process claims the folder and finds where to go on; the others are told."""
        if not self.leads:
            yield None
            return
        with ExitStack() as stack:
            try:
                stack.enter_context(self.run.mirrored())
                claimed = self.run.claimed(
                    plain, resume, accept_changed_files=accepts.files, fixed=self.fixed
                )
                stack.enter_context(claimed)
                start = self._prepare(plain, accepts.data)
            except ThalwegError as error:
                if together:
                    self._fabric.broadcast((None, (str(error), error.exit_code)))
                raise
            yield start

    def _prepare(self, plain: Mapping[str, Any], accepts: bool) -> Path | None:
        """Find where to go on, and bind the folder to this configuration and these data."""
        checkpoint.clean(self.run.checkpoints)
        start = self.newest()
        self.run.check_model(self.parts.average.names[1:])
        if start is not None:
            self.data.check(accept=accepts, step=checkpoint.step_of(start))
        # They write nothing yet; one that would write through a link says so before anything is touched.
        self._loggers = {
            name: build_component(logger, self.run.path) for name, logger in self.config.loggers.items()
        }
        self.run.record(plain)
        if start is None:
            self.data.write()
        if start is not None:
            self.run.mark(checkpoint.step_of(start))
            # What a kill may have kept the last save from; elsewhere than on a store, which does it itself.
            if self.run.mirror is None:
                checkpoint.follow(start, self.config.training.keep, self.config.training.keep_every)
        if self.run.mirror is not None:
            self.run.mirror.claim()
        return start

    def newest(self) -> Path | None:
        """The newest whole checkpoint, from which the run would go on; None if there is none.

        Raises:
            ConfigError: if it is beyond the last step.
            DataError: if there are some and all are damaged, or if there were some and they are gone.
        """
        if self.run.mirror is not None:
            self.run.mirror.pull_checkpoint(Silent().say)
        start = checkpoint.newest(self.run.checkpoints, Silent().say)
        if start is None:
            self.run.refuse_to_begin_again(self.config.training.checkpoint_every)
        if start is not None and checkpoint.step_of(start) > self.config.training.steps:
            raise ConfigError(
                f"training.steps is {self.config.training.steps} and the run in {self.run.where} has done "
                f"{checkpoint.step_of(start)}; give more steps or choose another --run-dir"
            )
        return start

    def _pays(self, config: RunConfig, recorded: Any) -> bool:
        asked, training = _decided(config.training.compile, recorded), config.training
        if asked is None:
            images = training.batch_size * training.steps
            return compiling_pays(
                self.parts.network, images, FLOP_PER_WEIGHT_TRAINED, self._fabric.device.type
            )
        return bool(asked == "on")


def _untrained(average: Average, training: TrainingConfig) -> str | None:
    """What is wrong with averages that reach back to before training; None if they don't."""
    warning = getattr(average, "warning", None)
    return None if warning is None else warning(training.steps)


def _decided(asked: str, recorded: Any) -> Any:
    """What was asked for; else what the run began with, so that it goes on alike; else None."""
    return recorded if asked == "auto" else asked


def _compiler_is_there() -> bool:
    name = compiler()
    fault = "there is no C++ compiler here" if name is None else compiler_fault(name)
    if fault is not None and is_first_process():
        Silent().say(
            f"warning: {fault}, so the network is not compiled and trains more slowly; "
            f"install g++ or set training.compile=off"
        )
    return fault is None
