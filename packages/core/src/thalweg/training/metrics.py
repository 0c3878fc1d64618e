"""The numbers of a run on their way to metrics.jsonl, loggers and observers of plugins."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lightning_fabric import Fabric

from thalweg.checkpoint import step_of
from thalweg.config import RunConfig
from thalweg.errors import ThalwegError
from thalweg.files import Seal
from thalweg.plugins import registry
from thalweg.protocols import Logger
from thalweg.suggestions import one_line
from thalweg.training.metrics_file import MetricsFile
from thalweg.training.progress import PREFIX, TRAINING, Clock, beside, say
from thalweg.training.run_directory import RunDirectory
from thalweg.training.state import RunState

_log = logging.getLogger("thalweg")


class MetricsLog:
    """Gathers the numbers of a step into one line and hands it on; only the first process writes.

    Attributes:
        newest: the last line that was written.
    """

    def __init__(
        self,
        config: RunConfig,
        run: RunDirectory,
        state: RunState,
        clock: Clock,
        fabric: Fabric,
        loggers: Mapping[str, Logger],
        rates: Callable[[int], Mapping[str, float]],
    ) -> None:
        self._state, self._clock, self._fabric, self._rates = state, clock, fabric, rates
        self._run, self._config, self._leads = run, config, fabric.is_global_zero
        self._file: MetricsFile | None = None
        self._loggers = dict(loggers)
        self._line: dict[str, float] = {}
        self._timed = False
        self._since, self._steps = clock.spent[TRAINING], 0
        self.newest: Mapping[str, float] = {}
        if self._leads:
            self._file = MetricsFile(run.metrics, state.step, state.metrics, say)
            self.newest = self._file.newest

    def begin(self) -> None:
        """The run begins or is resumed."""
        if self._leads:
            registry().hook.thalweg_run_started(run_dir=self._run.path, config=self._config)

    def stepped(self) -> None:
        """A step is done whose time counts as training."""
        self._steps += 1

    def take(self, batch_size: int) -> dict[str, float]:
        """Put the means since the last line into this one, and return what progress shows."""
        self._line |= self._state.means.take(self._fabric)
        if self._state.skipped:
            self._line["skipped"] = float(self._state.skipped)
        replaced = self._state.replaced_anywhere(self._fabric)
        if replaced:
            self._line["replaced"] = float(replaced)
        self._line |= self._rates(self._state.step - 1)
        self._timed = True
        if not self._steps:
            return dict(self._line)
        seconds = self._clock.spent[TRAINING]
        steps_per_second = self._steps / max(seconds - self._since, 1e-9)
        self._line["images_per_second"] = round(steps_per_second * batch_size, 3)
        self._since, self._steps = seconds, 0
        return {**self._line, "steps_per_second": steps_per_second}

    def add(self, numbers: Mapping[str, float]) -> None:
        """Put more numbers into this line."""
        self._line |= numbers

    def write(self, step: int) -> None:
        """Write the line, if it holds anything."""
        line, self._line = self._line, {}
        if not line:
            return
        if self._timed:
            # As late as this, so that a validation and a grid of the same step are in it.
            spent, self._timed = self._clock.spent, False
            line["seconds"] = round(spent[TRAINING], 3)
            line |= {f"{PREFIX}{what}": round(seconds, 3) for what, seconds in beside(spent).items()}
        self.newest = {"step": step, **line}
        if self._file is not None:
            self._file.write(self.newest)
            self._each_logger(lambda logger: logger.log(step, line))
            registry().hook.thalweg_step_finished(run_dir=self._run.path, step=step, numbers=line)

    def image(self, step: int, path: Path | None) -> None:
        """Hand on a sample grid."""
        if path is not None:
            self._each_logger(lambda logger: logger.image(step, "samples", path))

    def saved(self, checkpoints: Sequence[Path]) -> None:
        """Checkpoints that are complete now."""
        for path in checkpoints:
            registry().hook.thalweg_checkpoint_written(run_dir=self._run.path, step=step_of(path), path=path)

    def sync(self) -> Seal | None:
        """Make what was written outlive a power cut, and make sure that nobody else writes.

        What is wrong is kept for :meth:`fault`, so that the state can be saved before the run ends. Returns
        what metrics.jsonl is; None on all processes but the first.
        """
        if self._file is None:
            return None
        try:
            self._run.renew_lock()
        except ThalwegError as error:
            self._file.leave(str(error))
        seal = self._file.sync()
        # An offer of loggers that keep a file of their own; others write when they see fit.
        self._each_logger(lambda logger: getattr(logger, "sync", lambda: None)())
        return seal

    def fault(self) -> str:
        """Who else writes in the run's folder, in words, the same on every process; each must call it."""
        found = "" if self._file is None else self._file.fault
        return self._fabric.broadcast(found) if self._fabric.world_size > 1 else found

    def finish(self, step: int, *, completed: bool) -> None:
        """The run came to its end, or was stopped, at ``step``."""
        if self._leads:
            registry().hook.thalweg_run_ended(run_dir=self._run.path, step=step, completed=completed)

    def close(self) -> None:
        """Close file and loggers."""
        if self._file is not None:
            self._file.close()
        self._each_logger(lambda logger: logger.close())

    def _each_logger(self, what: Callable[[Logger], None]) -> None:
        """Call every logger; one that fails is left out of the rest of the run."""
        for name, logger in list(self._loggers.items()):
            try:
                what(logger)
            # Whatever it is, and SystemExit too: a logger may not cost the run anything.
            except (Exception, SystemExit) as error:
                del self._loggers[name]
                _log.warning(
                    "the logger '%s' failed and is left out from now on, the run continues: %s",
                    name,
                    one_line(error),
                )
