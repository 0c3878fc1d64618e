"""What a process does with its share of a set, batch after batch."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

from thalweg.evaluation import ranges as spans
from thalweg.evaluation.counting import EVALUATIONS, Evaluations
from thalweg.evaluation.images import Images
from thalweg.evaluation.judges import Judge
from thalweg.evaluation.parts import Parts, Statistics
from thalweg.evaluation.ranges import Range

SAVE_SECONDS = 30.0
"""How much work an interruption may cost, beside the batch that it falls into."""


@runtime_checkable
class Recorder(Protocol):
    """Takes batches of indices and keeps on disk what comes of them."""

    def take(self, start: int, stop: int) -> None:
        """Do the work of indices start..stop-1."""
        ...

    def flush(self) -> None:
        """Put what is finished on disk."""
        ...


def work(
    recorder: Recorder, ranges: Iterable[Range], batch_size: int, advanced: Callable[[int], None]
) -> None:
    """Work through ranges; whatever ends it, what was finished is kept.

    Args:
        recorder: does the work.
        ranges: what there is to do.
        batch_size: indices at a time.
        advanced: told how many, after each batch.
    """
    try:
        for start, stop in spans.batches(ranges, batch_size):
            recorder.take(start, stop)
            advanced(stop - start)
    finally:
        recorder.flush()


class Seeing:
    """Shows images to judges and keeps the statistics of what they see.

    Args:
        images: the set.
        judges: those whose statistics are kept.
        parts: where.
        save_seconds: how often.
    """

    def __init__(
        self, images: Images, judges: Sequence[Judge], parts: Parts, save_seconds: float = SAVE_SECONDS
    ) -> None:
        self._images, self._judges, self._parts = images, judges, parts
        self._save_seconds = save_seconds
        self._statistics: Statistics = {}
        self._ranges: list[Range] = []
        self._begin()

    def take(self, start: int, stop: int) -> None:
        """Read or draw images, see them, and count them.

        Raises:
            ThalwegError: naming an image that is damaged, of another size, or not finite.
        """
        before = getattr(self._images, "evaluated", None)
        piece = self._images.read(start, stop)
        seen = [(judge, judge.features(piece)) for judge in self._judges]
        # An interruption from here on may leave some statistics ahead of others: they are thrown away then.
        ranges, self._ranges = self._ranges, []
        for judge, features in seen:
            judge.count(features, piece.labels, range(start, stop), self._statistics)
        counted = self._statistics.get(EVALUATIONS)
        if isinstance(counted, Evaluations) and before is not None:
            counted.count(self._images.evaluated - before, stop - start)  # type: ignore[attr-defined]  # of what is drawn
        self._ranges = [*ranges, (start, stop)]
        if time.monotonic() - self._saved >= self._save_seconds:
            self.flush()

    def flush(self) -> None:
        """Put the statistics on disk and begin new ones."""
        if self._ranges:
            self._parts.add(self._ranges, self._statistics)
        self._begin()

    def _begin(self) -> None:
        self._statistics, self._ranges = self._parts.empty(), []
        self._saved = time.monotonic()
