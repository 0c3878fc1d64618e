"""A job from its beginning, or from where it was interrupted, to its index."""

import logging
import time

import attrs

from thalweg.data.shards import ShardHeader
from thalweg.devices import devices_of
from thalweg.jobs.pool import check_alone, share_work
from thalweg.jobs.tasks import Progress, counter
from thalweg_backbones.encoding.job import EncodingJob, EncodingOutcome
from thalweg_backbones.encoding.preparing import prepare
from thalweg_backbones.encoding.recorder import ShardRecorder

_log = logging.getLogger("thalweg")


@attrs.frozen
class EncodingTask:
    """Encode shards of a job.

    Attributes:
        job: of all processes.
        header: of all shards.
    """

    job: EncodingJob
    header: ShardHeader

    @property
    def folder(self) -> None:
        """Shards are whole or not there, wherever they are, so that no lock is needed."""

    def recorder(self, device: str) -> ShardRecorder:
        """Open source and autoencoder."""
        return prepare(self.job, device, self.header).recorder()


def encode(
    job: EncodingJob,
    *,
    device: str = "auto",
    devices: int | str = "auto",
    accept_changed_data: bool = False,
    progress: Progress = lambda *_: None,
) -> EncodingOutcome:
    """Encode what is not encoded yet.

    Args:
        job: what is to be encoded.
        device: where, as of :func:`thalweg.devices.devices_of`.
        devices: how many processes, or ``auto``.
        accept_changed_data: resume though the source has changed since the first shards of an unfinished set,
            which stay as they are; it must hold as many images, of the same classes.
        progress: called with ``images``, how many are encoded, and how many there are.

    Returns:
        What there is now. Nothing was encoded if everything was there.

    Raises:
        ConfigError: if the target holds shards that were made otherwise, or the job cannot be done.
        DataError: if source, weights or target are missing or damaged.
        ThalwegError: if a process died.
    """
    check_alone()
    places = devices_of(device, devices)
    prepared = prepare(job, places[0])
    writer, layout = prepared.writer(accept_changed_data=accept_changed_data), prepared.layout
    written = set(writer.written)
    left = [number for number in range(layout.shards) if number not in written]
    before = sum(map(layout.samples, written))
    begun = time.monotonic()
    if left:
        count = min(len(places), len(left))
        shares = [
            [batch for number in left[rank::count] for batch in layout.batches(number)]
            for rank in range(count)
        ]
        task = EncodingTask(job, prepared.header)
        advanced = counter(progress, "images", before, layout.count)
        counts = share_work(prepared.recorder(), task, shares, places, advanced)
        if counts["cut"] and prepared.header.text is not None:
            length = prepared.header.text.length
            _log.warning("%d captions are longer than %d tokens and lose their end", counts["cut"], length)
    prepared.write_empty(writer)
    index = writer.finish()
    return EncodingOutcome(
        target=str(prepared.target),
        images=index.header.count,
        shards=len(index.shards),
        bytes=index.total_bytes,
        encoded=layout.count - before,
        seconds=time.monotonic() - begun,
    )
