"""A job from its beginning, or from where it was left, to its index."""

import logging
import time
from collections.abc import Callable

from thalweg.data.shards import ShardIndex
from thalweg.encoding.devices import shares
from thalweg.encoding.fleet import run_fleet
from thalweg.encoding.job import EncodingJob, Outcome
from thalweg.encoding.preparing import prepare
from thalweg.encoding.progress import Progress, Silent
from thalweg.encoding.tasks import Task

_log = logging.getLogger("thalweg")


def encode(
    job: EncodingJob,
    *,
    accelerator: str = "auto",
    devices: str = "auto",
    accept_changed_data: bool = False,
    show: Callable[[int, int], Progress] = lambda _total, _done: Silent(),
) -> Outcome:
    """Encode what is not encoded yet.

    Args:
        job: what is to be encoded.
        accelerator: ``cpu``, ``cuda``, another that torch knows, or ``auto`` for the best there is.
        devices: how many processes, or ``auto``.
        accept_changed_data: go on though the source has changed since the first shards of an unfinished set,
            which stay as they are; it must hold as many images, of the same classes.
        show: makes what shows the progress, from the images in all and those that were encoded before.

    Returns:
        What there is now. Nothing was encoded if everything was there.

    Raises:
        ConfigError: if the target holds shards that were made otherwise, or the job cannot be done.
        DataError: if source, weights or target are missing or damaged.
        ThalwegError: if a process died.
    """
    dealt = shares(accelerator, devices)
    prepared = prepare(job, dealt[0].device)
    writer, layout = prepared.writer(accept_changed_data=accept_changed_data), prepared.layout
    written = set(writer.written)
    left = [number for number in range(layout.shards) if number not in written]
    before = sum(map(layout.samples, written))
    begun = time.monotonic()
    if left:
        dealt = dealt[: len(left)]
        tasks = [
            Task(job, prepared.header, share, tuple(left[place :: len(dealt)]))
            for place, share in enumerate(dealt)
        ]
        shown, all_cut = show(layout.count, before), 0

        def encoded(images: int, cut: int) -> None:
            nonlocal all_cut
            all_cut += cut
            shown.advance(images)

        try:
            if len(tasks) == 1:
                tasks[0].run(encoded, prepared)
            else:
                run_fleet(tasks, encoded)
        finally:
            shown.close()
        if all_cut and prepared.header.text is not None:
            _log.warning(
                "%d captions are longer than %d tokens and lose their end",
                all_cut,
                prepared.header.text.length,
            )
    prepared.write_empty(writer)
    return _outcome(prepared.target, writer.finish(), layout.count - before, time.monotonic() - begun)


def _outcome(target: object, index: ShardIndex, encoded: int, seconds: float) -> Outcome:
    return Outcome(
        target=str(target),
        images=index.header.count,
        shards=len(index.shards),
        bytes=index.total_bytes,
        encoded=encoded,
        seconds=seconds,
    )
