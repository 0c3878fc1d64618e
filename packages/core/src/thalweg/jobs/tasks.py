"""What a process does with its share of indices, batch after batch."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from thalweg.config import dump, structure
from thalweg.jobs.ranges import Range

Advanced = Callable[[int], None]
"""Called with how many more indices are done."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


class Recorder:
    """Works on batches of indices and keeps the results on disk."""

    def expect(self, batches: Sequence[Range]) -> None:
        """All batches that are going to be taken, in order: whoever reads ahead begins here."""

    def take(self, start: int, stop: int) -> None:
        """Do the work of indices start..stop-1."""
        raise NotImplementedError

    def flush(self) -> None:
        """Put what is finished on disk; nothing is taken after it."""
        raise NotImplementedError

    def counts(self) -> Mapping[str, int]:
        """What was counted on the way; added up over all processes."""
        return {}


@runtime_checkable
class Task(Protocol):
    """What the processes of a pool do: a config class, so that it can be sent to them.

    Attributes:
        folder: of unfinished work, whose lock they share; None where shards need none.
    """

    @property
    def folder(self) -> Path | None: ...  # noqa: D102

    def recorder(self, device: str) -> Recorder:
        """What does the work on a device."""
        ...


def to_plain(task: Task) -> dict[str, Any]:
    """A task with its class, in plain values, secrets and all: for a pipe, and for nothing else."""
    cls = type(task)
    return {"class": f"{cls.__module__}:{cls.__qualname__}", "fields": dump(task, secrets=True)}


def from_plain(data: Mapping[str, Any]) -> Task:
    """Undoes :func:`to_plain`."""
    module, _, name = data["class"].partition(":")
    task: Task = structure(getattr(importlib.import_module(module), name), data["fields"])
    return task


def work(recorder: Recorder, batches: Sequence[Range], advanced: Advanced) -> Mapping[str, int]:
    """Work on batches one after another; whatever ends it, what was finished is kept.

    Args:
        recorder: does the work.
        batches: what there is to do.
        advanced: called after each batch; may raise to stop.

    Returns:
        What was counted.
    """
    try:
        recorder.expect(batches)
        for start, stop in batches:
            recorder.take(start, stop)
            advanced(stop - start)
    finally:
        recorder.flush()
    return recorder.counts()


def counter(progress: Progress, what: str, done: int, total: int) -> Advanced:
    """Adds up what advances, and reports the sum, beginning with what is done already."""
    progress(what, done, total)

    def advanced(more: int) -> None:
        nonlocal done
        done += more
        progress(what, done, total)

    return advanced
