"""One sitting of a run: from where it stands to its end or to Ctrl-C."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from thalweg.config import RunConfig
from thalweg.errors import ThalwegError
from thalweg.protocols import Logger
from thalweg.training import checkpoint
from thalweg.training.averaged import AveragedNetwork
from thalweg.training.batches import Batches
from thalweg.training.clock import (
    CHECKPOINTS,
    SAMPLES,
    START_UP,
    TRAINING,
    VALIDATION,
    Clock,
    beside,
    times_in_words,
)
from thalweg.training.export import export
from thalweg.training.fabric import precision_of, prepare_ddp
from thalweg.training.interruption import Interruption
from thalweg.training.journal import Journal
from thalweg.training.losses import Losses, has_unused
from thalweg.training.optimizer import Rates, make_optimizer
from thalweg.training.parts import Parts, frames_of
from thalweg.training.progress import Progress, progress
from thalweg.training.reading import Reading, UnreadableError
from thalweg.training.result import TrainingResult
from thalweg.training.run_directory import RunDirectory
from thalweg.training.samples import SampleGrid
from thalweg.training.saver import Saver
from thalweg.training.state import RunState
from thalweg.training.step import TrainingStep
from thalweg.training.supply import Supply
from thalweg.training.telling import ended, left_out
from thalweg.training.validation import Validation
from thalweg.training.watch import Watch


class Session:
    """Sets up the pieces on their devices and drives them.

    Args:
        config: the run, resolved.
        plain: the same as plain values.
        run: its folder, claimed.
        parts: what was built.
        fabric: launched.
        loggers: built; empty on all processes but the first.
        interruption: notes signals.
        start: the checkpoint to go on from; None to begin.
        compiled: whether to compile the network.
        quiet: no progress.
    """

    def __init__(
        self,
        config: RunConfig,
        plain: Mapping[str, Any],
        run: RunDirectory,
        parts: Parts,
        fabric: Fabric,
        loggers: Mapping[str, Logger],
        interruption: Interruption,
        *,
        start: Path | None,
        compiled: bool,
        quiet: bool,
    ) -> None:
        begun = time.monotonic()
        self._config, self._run, self._fabric, self._loggers = config, run, fabric, loggers
        training, self._network = config.training, parts.network
        losses = Losses(parts.network, parts.objectives, frames_of(parts.dataset), steps=training.steps)
        unused = fabric.world_size > 1 and has_unused(
            losses, parts.planner, parts.dataset.train, config.seed, training.steps
        )
        prepare_ddp(fabric, losses, unused=unused)
        if compiled:
            parts.network.compile_regions()
        # Sharding puts other parameters in the place of the first ones, so the optimiser comes after it.
        wrapped = fabric.setup_module(losses)
        # The fused form wants to unscale float16's gradients itself, which is too late for clipping.
        optimizer = make_optimizer(parts.optimizer, losses, fused=training.precision != "16-mixed")
        self._rates = Rates(optimizer, parts.schedule, training.steps)
        shards = fabric.world_size * training.accumulate
        self._averages = parts.average(parts.network)
        self._state = RunState(losses, optimizer, self._averages, shards)
        self._averaged = AveragedNetwork(
            parts.network, self._averages, self._state.settle, fabric.strategy.precision.forward_context
        )
        losses.averaged = self._averaged
        if start is not None:
            # Every machine has a mirror of its own.
            self._state.load(start if run.mirror is None else run.mirror.fetched(start.name), fabric)
        self._saver = Saver(
            run, plain, training.keep, training.keep_every, fabric, training.async_checkpoints
        )
        self._watch = Watch(
            training,
            interruption,
            fabric,
            skipped=self._state.skipped,
            last_saved=self._last_saved,
        )
        self._reading, self._train = Reading(fabric), parts.dataset.train
        batches = Batches(
            parts.dataset.train,
            parts.network.facts,
            parts.planner,
            parts.network.interpolant,
            seed=config.seed,
            batch_size=training.batch_size,
            shards=shards,
            condition_dropout=config.training.condition_dropout,
        )
        self._supply = Supply(
            batches,
            rank=fabric.global_rank,
            world=fabric.world_size,
            accumulate=training.accumulate,
            steps=training.steps,
            depth=training.prefetch,
            workers=training.workers,
        )
        self._step = TrainingStep(
            fabric,
            wrapped,
            fabric.setup_optimizers(optimizer),
            self._averages,
            batches,
            self._supply,
            self._reading,
            accumulate=training.accumulate,
            clip=training.clip,
            admits=self._admits,
            rates=self._rates.set,
        )
        self._validation = Validation(
            losses,
            parts.planner,
            parts.dataset.validation,
            self._reading,
            seed=config.seed,
            batch_size=training.batch_size,
            batches=training.validation_batches,
        )
        self._grid = SampleGrid(
            run.samples,
            parts.dataset.validation,
            self._reading,
            parts.dataset.images,
            parts.sampler,
            parts.guidance,
            count=config.sampling.count,
            batch_size=config.sampling.batch_size,
            seed=config.sampling.seed,
            precision="bf16-mixed" if precision_of(fabric) == "bf16-mixed" else "32-true",
        )
        self._quiet = quiet or not fabric.is_global_zero
        self._clock, self._compiling = Clock(self._state.spent), compiled
        self._clock.add(START_UP, time.monotonic() - begun)

    def run(self) -> TrainingResult:
        """Go on to the last step."""
        journal = Journal(
            self._config,
            self._run,
            self._state,
            self._clock,
            self._fabric,
            self._loggers,
            self._rates.numbers,
        )
        shown = progress(self._config.training.steps, self._state.step, quiet=self._quiet)
        try:
            journal.begin()
            if self._state.step and not self._quiet:
                complete = self._state.step == self._config.training.steps
                shown.say(
                    f"the run is complete at step {self._state.step}"
                    if complete
                    else f"going on from step {self._state.step}"
                )
            try:
                stopped_by = self._advance(journal, shown)
            except UnreadableError as fault:
                raise self._saved(fault, journal) from fault
            with self._clock.on(CHECKPOINTS):
                self._saver.wait()
            journal.saved(self._saver.published())
            with self._clock.on(CHECKPOINTS):
                model = None if stopped_by else self._exported()
            told_of_damage = left_out(self._state.replaced_anywhere(self._fabric), self._train, self._reading)
            if told_of_damage and not self._quiet:
                shown.say(told_of_damage)
            journal.sync()
            self._check(journal)
            journal.finish(self._state.step, completed=not stopped_by)
            self._fabric.barrier()
            spent = self._clock.spent
            if not self._quiet:
                shown.say(times_in_words(spent))
        finally:
            shown.close()
            self._supply.close()
            journal.close()
        if self._run.mirror is not None and self._fabric.is_global_zero:
            self._run.mirror.finish()
        return TrainingResult(
            run_dir=self._run.path,
            step=self._state.step,
            interrupted=bool(stopped_by),
            preempted=stopped_by not in (0, signal.SIGINT),
            seconds=spent[TRAINING],
            beside=beside(spent),
            numbers=journal.newest,
            model=model,
            leads=self._fabric.is_global_zero,
        )

    def _advance(self, journal: Journal, shown: Progress) -> int:
        """Step on; the signal that stopped the run before its last step, or 0."""
        state, training, watch, clock = self._state, self._config.training, self._watch, self._clock
        if state.step < training.steps:
            with clock.on(START_UP):
                self._reading.begin(lambda: self._supply(state.step, 0))
        while state.step < training.steps:
            # The first step with a network that is to be compiled does little else.
            compiling, self._compiling = self._compiling, False
            with clock.on(START_UP if compiling else TRAINING):
                numbers = self._step(state.step)
                if watch.unreadable:
                    self._reading.agree()
                if compiling:
                    self._finish()
            state.step += 1
            state.replaced += self._step.replaced
            state.skipped = watch.skipped
            if numbers is not None:
                state.means.add(numbers)
            elif not self._quiet:
                shown.say(
                    f"step {state.step} is left out, its loss or gradient is not finite "
                    f"({watch.skipped} of {training.max_skips})"
                )
            if not compiling:
                journal.stepped()
            shown.step(state.step, self._report(journal))
            last = state.step == training.steps
            if watch.stopped_by or last or self._due(training.checkpoint_every):
                with self._beside(CHECKPOINTS):
                    state.journal = journal.sync()
                    state.spent = clock.spent
                    self._saver.save(state)
                self._check(journal)
            journal.saved(self._saver.published())
            if watch.stopped_by and not last:
                return watch.stopped_by
        return 0

    def _saved(self, fault: UnreadableError, journal: Journal) -> UnreadableError:
        """Save what was trained before the data could not be read; what to say of it."""
        state, before = self._state, self._last_saved()
        if state.step and (before is None or checkpoint.step_of(before) < state.step):
            journal.write(state.step)
            state.journal = journal.sync()
            state.spent = self._clock.spent
            self._saver.save(state)
            self._saver.wait()
            journal.saved(self._saver.published())
        return ended(fault, self._config.data, state.step)

    def _check(self, journal: Journal) -> None:
        """End the run if somebody else writes in its folder, once its state is saved."""
        fault = journal.fault()
        if fault:
            self._saver.wait()
            raise ThalwegError(f"{fault}; the state of step {self._state.step} is saved")

    def _admits(self, step: int, numbers: Mapping[str, Tensor]) -> bool:
        # A checkpoint may still be copied from the weights in the background.
        with self._clock.on(CHECKPOINTS):
            self._state.settle()
        return self._watch.admits(step, numbers, unreadable=self._reading.fault is not None)

    def _report(self, journal: Journal) -> dict[str, float] | None:
        """Numbers and pictures that are due after this step; what progress shows, if there is news."""
        training, state = self._config.training, self._state
        last = state.step == training.steps
        taken = None
        if self._due(training.log_every) or last:
            taken = journal.take(training.batch_size)
        if self._due(training.validate_every) or (last and training.validate_every):
            with self._beside(VALIDATION):
                journal.add(self._validated())
        picture = None
        if self._due(training.sample_every) or (last and training.sample_every):
            with self._beside(SAMPLES), self._averaged.applied(self._averages.names[0]):
                picture = self._grid(self._network, state.step, self._fabric)
        journal.write(state.step)
        journal.picture(state.step, picture)
        return taken

    @contextmanager
    def _beside(self, what: str) -> Iterator[None]:
        """Inside, time does not count as training; what the device has still to do of that counts there."""
        with self._clock.on(TRAINING):
            self._finish()
        with self._clock.on(what):
            yield
            self._finish()

    def _finish(self) -> None:
        if self._fabric.device.type != "cpu":
            torch.accelerator.synchronize(self._fabric.device)

    def _validated(self) -> dict[str, float]:
        """Numbers of all averages; those of one beside the main one bear its name."""
        numbers: dict[str, float] = {}
        for name in self._averages.names:
            beside = "" if name == self._averages.names[0] else name
            with self._averaged.applied(name):
                numbers |= self._validation(self._fabric, self._state.step - 1, name=beside)
        return numbers

    def _due(self, every: int) -> bool:
        return every > 0 and self._state.step % every == 0

    def _last_saved(self) -> Path | None:
        self._saver.wait()
        saved = checkpoint.checkpoints(self._run.checkpoints)
        return saved[-1] if saved else None

    def _exported(self) -> Path:
        return export(self._run, self._config, self._network, self._averages, self._state.step, self._fabric)
