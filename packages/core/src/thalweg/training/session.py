"""One sitting of a run: from where it stands to its end or to Ctrl-C."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from lightning_fabric import Fabric

from thalweg.config import RunConfig
from thalweg.importing import save
from thalweg.training.batches import Batches
from thalweg.training.ema import EMA
from thalweg.training.fabric import expect_unused, precision_of
from thalweg.training.interruption import Interruption
from thalweg.training.journal import Journal
from thalweg.training.losses import Losses, has_unused
from thalweg.training.optimizer import adamw
from thalweg.training.parts import Parts
from thalweg.training.progress import Progress, progress
from thalweg.training.run_directory import RunDirectory
from thalweg.training.samples import SampleGrid
from thalweg.training.state import RunState
from thalweg.training.step import TrainingStep
from thalweg.training.validation import Validation
from thalweg.training.watch import Watch


@attrs.frozen(eq=False)
class TrainingResult:
    """What came of a run.

    Attributes:
        run_dir: its folder.
        step: steps done.
        interrupted: whether Ctrl-C ended it before its last step; the same call goes on.
        seconds: spent in training over all sessions.
        numbers: the newest line of metrics.jsonl; empty if none was due yet.
        model: folder of the averaged network, for :func:`thalweg.load`; None if interrupted.
        leads: whether this process is the first one, which speaks for all.
    """

    run_dir: Path
    step: int
    interrupted: bool
    seconds: float
    numbers: Mapping[str, float]
    model: Path | None
    leads: bool = True


class Session:
    """Sets up the pieces on their devices and drives them.

    Args:
        config: the run, resolved.
        plain: the same as plain values.
        run: its folder, claimed.
        parts: what was built.
        fabric: launched.
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
        *,
        start: Path | None,
        compiled: bool,
        quiet: bool,
    ) -> None:
        self._config, self._plain, self._run, self._fabric = config, plain, run, fabric
        training, self._network = config.training, parts.network
        losses = Losses(parts.network, parts.objectives)
        if fabric.world_size > 1 and has_unused(losses, parts.planner, parts.dataset.train, config.seed):
            expect_unused(fabric)
        if compiled:
            parts.network.compile_regions()
        optimizer = adamw(
            losses,
            lr=training.lr,
            betas=training.betas,
            weight_decay=training.weight_decay,
            # The fused form wants to unscale float16's gradients itself, which is too late for clipping.
            fused=training.precision != "16-mixed",
        )
        wrapped, wrapped_optimizer = fabric.setup(losses, optimizer)
        shards = fabric.world_size * training.accumulate
        self._state = RunState(losses, optimizer, EMA(parts.network, training.ema), shards)
        if start is not None:
            self._state.load(start, fabric)
        self._step = TrainingStep(
            fabric,
            wrapped,
            wrapped_optimizer,
            self._state.ema,
            Batches(
                parts.dataset.train,
                parts.network.facts,
                parts.planner,
                seed=config.seed,
                batch_size=training.batch_size,
                shards=shards,
                label_dropout=config.plan.label_dropout,
            ),
            accumulate=training.accumulate,
            clip=training.clip,
        )
        self._validation = Validation(
            losses,
            parts.planner,
            parts.dataset.validation,
            seed=config.seed,
            batch_size=training.batch_size,
            batches=training.validation_batches,
        )
        self._grid = SampleGrid(
            run.samples,
            parts.dataset.images,
            parts.sampler,
            parts.guidance,
            count=config.sampling.count,
            batch_size=config.sampling.batch_size,
            seed=config.sampling.seed,
            precision="bf16-mixed" if precision_of(fabric) == "bf16-mixed" else "32-true",
        )
        self._quiet = quiet or not fabric.is_global_zero

    def run(self) -> TrainingResult:
        """Go on to the last step."""
        with Interruption().noted() as interruption:
            journal = Journal(self._config, self._run, self._state, self._fabric)
            watch = Watch(self._config.training, self._run.checkpoints, interruption, self._fabric)
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
                stopped = self._advance(journal, shown, watch)
                model = None if stopped else self._export()
                journal.finish(self._state.step)
            finally:
                shown.close()
                journal.close()
        return TrainingResult(
            run_dir=self._run.path,
            step=self._state.step,
            interrupted=stopped,
            seconds=self._state.seconds,
            numbers=journal.newest,
            model=model,
            leads=self._fabric.is_global_zero,
        )

    def _advance(self, journal: Journal, shown: Progress, watch: Watch) -> bool:
        state, steps = self._state, self._config.training.steps
        before = state.seconds - time.monotonic()
        while state.step < steps:
            begun = time.monotonic()
            numbers = self._step(state.step)
            state.step += 1
            state.means.add(numbers)
            stop = watch.stops(state.step, numbers)
            journal.stepped(time.monotonic() - begun)
            state.seconds = before + time.monotonic()
            shown.step(state.step, self._report(journal))
            if stop or self._due(self._config.training.checkpoint_every) or state.step == steps:
                journal.sync()
                state.seconds = before + time.monotonic()
                state.save(self._run.checkpoints, self._plain, self._config.training.keep, self._fabric)
            if stop and state.step < steps:
                return True
        return False

    def _report(self, journal: Journal) -> dict[str, float] | None:
        """Numbers and pictures that are due after this step; what progress shows, if there is news."""
        training, state = self._config.training, self._state
        last = state.step == training.steps
        taken = None
        if self._due(training.log_every) or last:
            taken = journal.take(training.batch_size)
        if self._due(training.validate_every) or (last and training.validate_every):
            with state.ema.applied():
                journal.add(self._validation(self._fabric))
        journal.write(state.step)
        if (self._due(training.sample_every) or (last and training.sample_every)) and (
            self._fabric.is_global_zero
        ):
            with state.ema.applied():
                journal.picture(state.step, self._grid(self._network, state.step))
        return taken

    def _due(self, every: int) -> bool:
        return every > 0 and self._state.step % every == 0

    def _export(self) -> Path:
        if self._fabric.is_global_zero:
            network, config = self._network, self._config
            save(
                self._run.model,
                self._state.ema.state_dict(),
                network.composition,
                network.facts,
                run={"name": config.name, "seed": config.seed, "step": self._state.step},
            )
        self._fabric.barrier()
        return self._run.model
