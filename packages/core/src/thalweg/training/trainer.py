"""The training run: from a configuration and a folder to a trained network."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import attrs
from lightning_fabric import Fabric
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from torch import distributed

from thalweg import checkpoint
from thalweg.config import RunConfig, TrainingConfig
from thalweg.errors import ConfigError, ThalwegError
from thalweg.machine import FLOP_PER_WEIGHT_TRAINED, Precision, compiler, compiler_fault, compiling_pays
from thalweg.network import FlowNetwork
from thalweg.network_parts import check_placed
from thalweg.plugins import build_component
from thalweg.protocols import Dataset, Logger
from thalweg.training.compatibility import DataRecord
from thalweg.training.components import as_trained, build_components, check_given, recorded
from thalweg.training.launch.fabric import is_first_process, launch, launched, make_fabric, precision_of
from thalweg.training.launch.signals import Interruption
from thalweg.training.launch.workers import RefusedError, supervised
from thalweg.training.loop import TrainingLoop, TrainingResult
from thalweg.training.objectives import check_unsharded
from thalweg.training.progress import say
from thalweg.training.run_directory import Resume, RunDirectory

_TIMEOUT = 600.0
"""The collective timeout in seconds; longer than anything that one process does alone."""


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
        strategy: ``ddp`` (each process holds the whole network), ``fsdp`` (network and optimiser are sharded
            over all), or ``auto``: ddp for several processes.
        timeout: the collective timeout in seconds.
        quiet: no progress, only warnings.

    Raises:
        ConfigError: if components do not go together, or the devices cannot share the batch.
        PluginError: if a component's plugin is missing or broken.
        DataError: if the data are missing or damaged.

    Attributes:
        components: what was built.
        run: its folder.
        data: what the folder says of the data.
        config: the run as it is trained: with what was given, and with precision and compilation decided.
        compiled: whether the network will be compiled.
        leads: whether this is the first process, which speaks for all.
        world: the number of processes.
        devices: what is trained on, such as ``2 x cpu``.
        sharded: whether the network is sharded over the processes.
        fixed: keys that could change when another run is resumed and not when this one is, and those of the
            components that depend on them.
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
        timeout: float = _TIMEOUT,
        quiet: bool = False,
    ) -> None:
        check_given(config, run_dir, network, dataset, objectives, fabric, devices, nodes, timeout)
        self.components = build_components(config, dataset=dataset, network=network, objectives=objectives)
        self.leads, self._quiet, training = is_first_process(), quiet, config.training
        self.run = RunDirectory(run_dir)
        self._before = self.run.recorded() or {}
        untrained = getattr(self.components.average, "warning", lambda _: None)(training.steps)
        for warning in filter(None, (self.run.warning, untrained)):
            self._warn(warning)
        self.data = DataRecord(self.run.path, self.run.where, self.components.dataset)
        self._loggers: dict[str, Logger] = {}
        # What is left to "auto" stays as the run began with it, so that it is resumed alike.
        decided = dict(self._before.get("training", {}))
        precision = decided.get("precision") if training.precision == "auto" else training.precision
        if fabric is None:
            fabric = make_fabric(
                accelerator=accelerator,
                devices=str(devices),
                nodes=nodes,
                strategy=strategy,
                precision=cast("Precision | None", precision),
                timeout=timeout,
            )
        elif training.precision not in ("auto", precision_of(fabric)):
            raise ConfigError(
                f"training.precision is {training.precision} and the Fabric given computes in "
                f"{precision_of(fabric)}; make both the same, or leave the first at auto"
            )
        self._fabric, self.world = fabric, fabric.world_size
        self.devices = f"{self.world} x {fabric.device.type}"
        self.sharded = self.world > 1 and isinstance(fabric.strategy, ModelParallelStrategy)
        if self.sharded:
            check_unsharded(self.components.objectives)
        self.fixed = {"training.steps": self.components.of_length} if self.components.of_length else {}
        shards = self.world * training.accumulate
        if training.batch_size % shards:
            raise ConfigError(
                f"training.batch_size is {training.batch_size}, which {self.world} devices that accumulate "
                f"{training.accumulate} times cannot share out evenly; make it a multiple of {shards}"
            )
        if self.run.remote is not None and self.sharded and getattr(fabric.strategy, "num_nodes", 1) > 1:
            raise ConfigError(
                f"the run directory {self.run.where} is a URL, and under fsdp the processes of several "
                f"machines write parts of one checkpoint; give a folder that all of them see"
            )
        compiled = self._pays(training, decided.get("compile"))
        self.compiled = compiled and self._can_compile()
        self.config = attrs.evolve(
            as_trained(config, self.components, network, dataset, objectives),
            training=attrs.evolve(
                training,
                precision=cast(Precision, precision_of(fabric)),
                compile="on" if compiled else "off",
            ),
        )

    @property
    def rank(self) -> int:
        """The number of this process, counted from 0."""
        return self._fabric.global_rank

    def record(self) -> dict[str, Any]:
        """What the folder records of the run, in plain values."""
        return recorded(self.config, self.components.network, self._before)

    def train(
        self,
        resume: Resume = "auto",
        *,
        accept_changed_data: bool = False,
        accept_changed_files: bool = False,
    ) -> TrainingResult:
        """Train to the last step, or until Ctrl-C, SIGTERM or SIGUSR1.

        Args:
            resume: ``auto`` resumes from the latest complete checkpoint in the folder, if there is a run;
                ``never`` refuses a folder that holds one.
            accept_changed_data: resume though the data are not what the run was trained on so far.
            accept_changed_files: resume though plugin files are not those that it was trained with so far.

        Raises:
            ConfigError: if the folder is foreign, in use, of another run, or cannot be written to; or the
                network given has no weights.
            PluginError: if plugin files are others than before.
            DataError: if all checkpoints are damaged, or of another network; if the data are not those of the
                run, or an image or shard that a step needs is damaged. What was trained is saved then.
            DivergenceError: if loss or gradient is not finite.
            ProcessLostError: if another process of the run ended or hangs.
        """
        check_placed(dict(self.components.network.named_parameters()))
        plain = self.record()
        # Where others started the processes, they wait for the first one, whatever it finds.
        together = launched(self._fabric)
        workers = launch(self._fabric) if together else None
        with ExitStack() as stack:
            start: Path | None = None
            if self.leads:
                # It locks the folder and finds the checkpoint to resume from, for all of them.
                folder = self.run.locked(
                    plain, resume, accept_changed_files=accept_changed_files, fixed=self.fixed
                )
                try:
                    stack.enter_context(folder)
                    start = self._prepare(plain, accept_changed_data)
                except ThalwegError as error:
                    if together:
                        self._fabric.broadcast((None, (str(error), error.exit_code)))
                    raise
            workers = workers if together else launch(self._fabric)
            interruption = Interruption(echoed=distributed.is_torchelastic_launched())
            stack.enter_context(interruption.held())
            stack.enter_context(supervised(workers, self.world))
            start, refusal = self._fabric.broadcast((start, None))
            if refusal is not None:
                raise RefusedError(*refusal)
            # From here on a signal to any process stops all of them after the same step.
            self._fabric.barrier()
            if workers is not None:
                workers.joined = True
            return TrainingLoop(
                self.config,
                plain,
                self.run,
                self.components,
                self._fabric,
                self._loggers,
                interruption,
                start=start,
                compiled=self.compiled,
                quiet=self._quiet,
            ).run()

    @contextmanager
    def rehearsed(self) -> Iterator[TrainingLoop]:
        """The run's own loop in this process, for its steps to be timed; it is used up afterwards.

        Nothing is resumed, recorded or saved, and no signal is held. The folder gets an empty file of
        numbers, so give one that is thrown away.
        """
        check_placed(dict(self.components.network.named_parameters()))
        launch(self._fabric)
        loop = TrainingLoop(
            self.config,
            self.record(),
            self.run,
            self.components,
            self._fabric,
            {},
            Interruption(),
            start=None,
            compiled=self.compiled,
            quiet=True,
        )
        try:
            yield loop
        finally:
            loop.close()

    def _prepare(self, plain: Mapping[str, Any], accept_data: bool) -> Path | None:
        """Find the checkpoint to resume from, and bind the folder to this configuration and these data."""
        checkpoint.clean(self.run.checkpoints)
        start = self.newest()
        self.run.check_models(self.components.average.names)
        if start is not None:
            self.data.check(accept=accept_data, step=checkpoint.step_of(start))
        # They write nothing yet; one that would write through a link says so before anything is touched.
        self._loggers = {
            name: build_component(logger, self.run.path) for name, logger in self.config.loggers.items()
        }
        self.run.record(plain)
        if start is None:
            self.data.write()
        else:
            self.run.mark(checkpoint.step_of(start))
            # What a kill may have kept the last save from; elsewhere than on a store, which does it itself.
            if self.run.remote is None:
                checkpoint.rotate(start, self.config.training.keep, self.config.training.keep_every)
        if self.run.remote is not None:
            self.run.remote.take_over()
        return start

    def newest(self) -> Path | None:
        """The latest complete checkpoint, from which the run would be resumed; None if there is none.

        Raises:
            ConfigError: if it is beyond the last step.
            DataError: if there are some and all are damaged, or if there were some and they are gone.
        """
        training = self.config.training
        if self.run.remote is not None:
            self.run.remote.download_checkpoint(say)
        start = checkpoint.latest_complete(self.run.checkpoints, say)
        if start is None:
            self.run.refuse_to_begin_again(training.checkpoint_every)
        elif checkpoint.step_of(start) > training.steps:
            raise ConfigError(
                f"training.steps is {training.steps} and the run in {self.run.where} has done "
                f"{checkpoint.step_of(start)}; give more steps or choose another --run-dir"
            )
        return start

    def _pays(self, training: TrainingConfig, decided: str | None) -> bool:
        """Whether to compile: as stated or decided before, else whether the run is long enough."""
        stated = decided if training.compile == "auto" else training.compile
        if stated is not None:
            return stated == "on"
        images, device = training.batch_size * training.steps, self._fabric.device.type
        return compiling_pays(self.components.network, images, FLOP_PER_WEIGHT_TRAINED, device)

    def _can_compile(self) -> bool:
        name = compiler()
        fault = "there is no C++ compiler here" if name is None else compiler_fault(name)
        if fault is not None:
            self._warn(
                f"{fault}, so the network is not compiled and trains more slowly; "
                f"install g++ or set training.compile=off"
            )
        return fault is None

    def _warn(self, text: str) -> None:
        if self.leads:
            say(f"warning: {text}")
