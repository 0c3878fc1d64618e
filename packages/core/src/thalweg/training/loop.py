"""One session of a run: from where it stands to its last step, or to Ctrl-C."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import torch
from lightning_fabric import Fabric
from torch import Tensor

from thalweg import checkpoint
from thalweg.calibrating import calibrate
from thalweg.calibration import Calibration
from thalweg.config import RunConfig
from thalweg.errors import InterruptionError, PreemptionError, ThalwegError
from thalweg.guidance import needs_calibration
from thalweg.protocols import Logger
from thalweg.training.batches import BatchReader, UnreadableError
from thalweg.training.checkpointing import CheckpointWriter, export_models
from thalweg.training.components import RunComponents, frames_of
from thalweg.training.launch.distributed import Peers
from thalweg.training.launch.fabric import prepare_ddp
from thalweg.training.launch.signals import Interruption
from thalweg.training.metrics import MetricsLog
from thalweg.training.objectives import AveragedNetwork
from thalweg.training.optimizer import LearningRates, make_optimizer
from thalweg.training.progress import (
    CHECKPOINTS,
    SAMPLES,
    START_UP,
    TRAINING,
    VALIDATION,
    Clock,
    TrainingProgress,
    beside,
    times_in_words,
)
from thalweg.training.run_directory import RunDirectory
from thalweg.training.state import RunState
from thalweg.training.step import Guard, Losses, TrainingStep, has_unused
from thalweg.training.token_routing import TokenRouting
from thalweg.training.validation import SampleGrid, Validation, read_together


@attrs.frozen(eq=False)
class TrainingResult:
    """What came of a run.

    Attributes:
        run_dir: its folder.
        step: steps done.
        interrupted: whether a signal ended it before its last step; the same call resumes it.
        preempted: whether that was SIGTERM or SIGUSR1, and not Ctrl-C.
        seconds: spent in training over all sessions, and in nothing else.
        beside: seconds that went to anything else, by what: see :class:`thalweg.training.progress.Clock`.
        numbers: the newest line of metrics.jsonl; empty if none was due yet.
        model: folder of the averaged network, for :func:`thalweg.load`; None if interrupted.
        leads: whether this process is the first one, which speaks for all.
    """

    run_dir: Path
    step: int
    interrupted: bool
    seconds: float
    beside: Mapping[str, float]
    numbers: Mapping[str, float]
    model: Path | None
    preempted: bool = False
    leads: bool = True

    def interruption(self, name: str) -> ThalwegError:
        """The error that says that the run called ``name`` was interrupted, with its signal's exit code."""
        kind = PreemptionError if self.preempted else InterruptionError
        how = "pre-empted" if self.preempted else "interrupted"
        return kind(f"{how} and saved at step {self.step} of {name}; the same command resumes from there")


class TrainingLoop:
    """Sets up the components on their devices and trains them."""

    def __init__(
        self,
        config: RunConfig,
        recorded: Mapping[str, Any],
        run: RunDirectory,
        components: RunComponents,
        fabric: Fabric,
        loggers: Mapping[str, Logger],
        interruption: Interruption,
        *,
        start: Path | None,
        compiled: bool,
        quiet: bool,
    ) -> None:
        begun = time.monotonic()
        self._config, self._run, self._fabric = config, run, fabric
        training, dataset, network = config.training, components.dataset, components.network
        self._network, self._dataset, planner = network, dataset, components.planner
        network.calibration = None  # of other weights than those that are trained from here on
        routing = None if training.routing is None else TokenRouting(training.routing, network)
        losses = Losses(
            network, components.objectives, frames_of(dataset), steps=training.steps, routing=routing
        )
        unused = fabric.world_size > 1 and has_unused(
            losses, planner, dataset.train, config.seed, training.steps
        )
        prepare_ddp(fabric, losses, unused=unused)
        if compiled:
            network.compile_regions()
        # Sharding puts other parameters in the place of the first ones, so the optimiser comes after it.
        wrapped = fabric.setup_module(losses)
        # The fused form wants to unscale float16's gradients itself, which is too late for clipping.
        optimizer = make_optimizer(components.optimizer, losses, fused=training.precision != "16-mixed")
        rates = LearningRates(optimizer, components.schedule, training.steps)
        self._averages = components.average(network)
        self._state = RunState(losses, optimizer, self._averages, fabric.world_size * training.accumulate)
        self._averaged = AveragedNetwork(
            network, self._averages, self._state.wait_until_copied, fabric.strategy.precision.forward_context
        )
        losses.averaged = self._averaged
        if start is not None:
            # Every machine has a copy of its own of what a URL holds.
            self._state.load(start if run.remote is None else run.remote.fetched(start.name), fabric)
        self._checkpoints = CheckpointWriter(
            run, recorded, training.keep, training.keep_every, fabric, training.async_checkpoints
        )
        self._reader = BatchReader(
            components.batches(config, fabric.world_size),
            Peers(fabric.global_rank, fabric.world_size),
            accumulate=training.accumulate,
            steps=training.steps,
            prefetch=training.prefetch,
            workers=training.workers,
        )
        self._guard = Guard(
            training,
            fabric,
            self._reader,
            interruption,
            skipped=self._state.skipped,
            last_saved=self._last_saved,
        )
        self._step = TrainingStep(
            fabric,
            wrapped,
            fabric.setup_optimizers(optimizer),
            self._averages,
            self._reader,
            accumulate=training.accumulate,
            max_grad_norm=training.max_grad_norm,
            guard=self._may_update,
            rates=rates,
        )
        self._validation = Validation(config, components, losses, self._reader, fabric)
        self._grid = SampleGrid(run.samples, config.sampling, components, self._reader, fabric)
        self._clock, self._compiling = Clock(self._state.spent), compiled
        self._clock.add(START_UP, time.monotonic() - begun)
        self._metrics = MetricsLog(config, run, self._state, self._clock, fabric, loggers, rates.numbers)
        self._progress = TrainingProgress(
            training.steps, self._state.step, quiet=quiet or not fabric.is_global_zero
        )

    def run(self) -> TrainingResult:
        """Train to the last step."""
        state, metrics, steps = self._state, self._metrics, self._config.training.steps
        try:
            metrics.begin()
            if state.step:
                complete = state.step == steps
                self._progress.say(
                    f"{'the run is complete at' if complete else 'resuming from'} step {state.step}"
                )
            try:
                stopped_by = self._train()
            except UnreadableError as fault:
                self._save_what_was_trained()
                raise fault.at(state.step, self._config.data) from fault
            with self._clock.on(CHECKPOINTS):
                self._checkpoints.wait()
            metrics.saved(self._checkpoints.published())
            model = None
            if not stopped_by:
                model = self._exported()
            damage = self._reader.damage(state.replaced_anywhere(self._fabric))
            if damage:
                self._progress.say(damage)
            metrics.sync()
            self._check_alone()
            metrics.finish(state.step, completed=not stopped_by)
            self._fabric.barrier()
            spent = self._clock.spent
            self._progress.say(times_in_words(spent))
        finally:
            self.close()
        if self._run.remote is not None and self._fabric.is_global_zero:
            self._run.remote.finish()
        return TrainingResult(
            run_dir=self._run.path,
            step=state.step,
            interrupted=bool(stopped_by),
            preempted=stopped_by not in (0, signal.SIGINT),
            seconds=spent[TRAINING],
            beside=beside(spent),
            numbers=metrics.newest,
            model=model,
            leads=self._fabric.is_global_zero,
        )

    def _exported(self) -> Path:
        try:
            with self._clock.on(CHECKPOINTS):
                network, averages, step = self._network, self._averages, self._state.step
                return export_models(
                    self._run, self._config, network, averages, step, self._fabric, self._calibrated
                )
        except UnreadableError as fault:
            raise fault.at(self._state.step, self._config.data) from fault

    def _calibrated(self, average: str) -> Calibration | None:
        """What guidance by the saved network needs of its heads; every process must call it."""
        guidances = self._config.sampling.guidance
        if not self._network.facts.head_depths and not any(map(needs_calibration, guidances)):
            return None
        with self._averaged.applied(average):
            return calibrate(self._network, read_together(self._dataset, self._reader))

    def time_steps(self, first: int, count: int) -> list[float]:
        """Do ``count`` steps from ``first`` on, counted from 0, and return the seconds that each took.

        They are steps of the run as it would do them, waiting for data included, and are recorded nowhere.
        """
        self._reader.begin(first)
        found = []
        for step in range(first, first + count):
            begun = time.perf_counter()
            self._step(step)
            self._synchronize()
            found.append(time.perf_counter() - begun)
        return found

    def close(self) -> None:
        """Stop reading ahead, and close the file of numbers."""
        self._progress.close()
        self._reader.close()
        self._metrics.close()

    def _train(self) -> int:
        """Step to the end; the signal that stopped the run before its last step, or 0."""
        state, training, guard, clock = self._state, self._config.training, self._guard, self._clock
        if state.step < training.steps:
            with clock.on(START_UP):
                self._reader.begin(state.step)
        while state.step < training.steps:
            # The first step with a network that is to be compiled does little else.
            compiling, self._compiling = self._compiling, False
            with clock.on(START_UP if compiling else TRAINING):
                numbers = self._step(state.step)
                if compiling:
                    self._synchronize()
            state.step += 1
            state.replaced += self._step.replaced
            state.skipped = guard.skipped
            if numbers is not None:
                state.means.add(numbers)
            else:
                self._progress.say(
                    f"step {state.step} is left out, its loss or gradient is not finite "
                    f"({guard.skipped} of {training.max_skips})"
                )
            if not compiling:
                self._metrics.stepped()
            self._progress.step(state.step, self._report())
            last = state.step == training.steps
            if guard.stopped_by or last or self._due(training.checkpoint_every):
                with self._beside(CHECKPOINTS):
                    self._save()
                self._check_alone()
            self._metrics.saved(self._checkpoints.published())
            if guard.stopped_by and not last:
                return guard.stopped_by
        return 0

    def _may_update(self, step: int, numbers: Mapping[str, Tensor]) -> bool:
        # A checkpoint may still be copied from the weights in the background.
        with self._clock.on(CHECKPOINTS):
            self._state.wait_until_copied()
        return self._guard(step, numbers)

    def _report(self) -> dict[str, float] | None:
        """Numbers and pictures that are due after this step; what progress shows, if there is news."""
        training, state, metrics = self._config.training, self._state, self._metrics
        last, shown, picture = state.step == training.steps, None, None
        if last or self._due(training.log_every):
            shown = metrics.take(training.batch_size)
        if training.validate_every and (last or self._due(training.validate_every)):
            with self._beside(VALIDATION):
                # Numbers of EMA weights beside the main ones bear their name.
                for index, name in enumerate(self._averages.names):
                    with self._averaged.applied(name):
                        metrics.add(self._validation(state.step - 1, name=name if index else ""))
        if training.sample_every and (last or self._due(training.sample_every)):
            with self._beside(SAMPLES), self._averaged.applied(self._averages.names[0]):
                picture = self._grid(self._network, state.step)
        metrics.write(state.step)
        metrics.image(state.step, picture)
        return shown

    def _save(self) -> None:
        self._state.metrics, self._state.spent = self._metrics.sync(), self._clock.spent
        self._checkpoints.save(self._state)

    def _save_what_was_trained(self) -> None:
        """Save the state before the step whose data could not be read, if it is not saved yet."""
        step, before = self._state.step, self._last_saved()
        if step and (before is None or checkpoint.step_of(before) < step):
            self._metrics.write(step)
            self._save()
            self._checkpoints.wait()
            self._metrics.saved(self._checkpoints.published())

    def _check_alone(self) -> None:
        """End the run if somebody else writes in its folder, once its state is saved."""
        fault = self._metrics.fault()
        if fault:
            self._checkpoints.wait()
            raise ThalwegError(f"{fault}; the state of step {self._state.step} is saved")

    @contextmanager
    def _beside(self, what: str) -> Iterator[None]:
        """Inside, time does not count as training; what the device has still to do of that counts there."""
        with self._clock.on(TRAINING):
            self._synchronize()
        with self._clock.on(what):
            yield
            self._synchronize()

    def _synchronize(self) -> None:
        if self._fabric.device.type != "cpu":
            torch.accelerator.synchronize(self._fabric.device)

    def _due(self, every: int) -> bool:
        return every > 0 and self._state.step % every == 0

    def _last_saved(self) -> Path | None:
        self._checkpoints.wait()
        saved = checkpoint.checkpoints(self._run.checkpoints)
        return saved[-1] if saved else None
