"""The work of one process: shards encoded one after another, read ahead and written behind."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from thalweg.data.prefetch import Prefetcher
from thalweg.jobs.ranges import Range
from thalweg.jobs.tasks import Recorder
from thalweg_backbones.encoding.batches import ImageBatch, ImageReader, Layout
from thalweg_backbones.encoding.columns import CaptionColumns, Columns

_DECODERS = 16  # threads at most: each holds a batch, and so many outrun any one accelerator


class ShardRecorder(Recorder):
    """Encodes whole shards, whose batches come in order.

    Images are decoded ahead by threads, and a shard is written while the next one is encoded, so that the
    encoder waits for neither. An interruption loses the shard in work and no other.

    Args:
        layout: what is stored in which shard.
        reader: reads a batch.
        columns: what is computed of it.
        write: writes a shard, durably and as a whole.
    """

    def __init__(
        self,
        layout: Layout,
        reader: ImageReader,
        columns: Sequence[Columns],
        write: Callable[[int, dict[str, Tensor]], object],
    ) -> None:
        self._layout, self._reader, self._columns, self._write = layout, reader, columns, write
        self._images: Prefetcher[ImageBatch] | None = None
        self._steps: dict[int, int] = {}
        self._parts: list[dict[str, Tensor]] = []
        self._writer = ThreadPoolExecutor(1, "shard-writer")
        self._writing: Future[object] | None = None

    def expect(self, batches: Sequence[Range]) -> None:
        """Decode ahead, by as many threads as the process has, within reason."""
        workers = min(torch.get_num_threads(), _DECODERS)
        self._steps = {start: step for step, (start, _) in enumerate(batches)}
        self._images = Prefetcher(
            lambda step: self._reader(self._layout.indices(*batches[step])),
            depth=workers + 1,
            workers=workers,
            stop=len(batches),
        )

    def take(self, start: int, stop: int) -> None:
        """Encode a batch; after the last of a shard, write it.

        Raises:
            DataError: if an image is damaged, or what is computed of it cannot be stored.
        """
        assert self._images is not None  # noqa: S101 - batches are expected before they are taken
        batch = self._images.get(self._steps[start])
        self._parts.append({name: rows for one in self._columns for name, rows in one(batch).items()})
        number = self._layout.shard_at_end(stop)
        if number is not None:
            shard, self._parts = _joined(self._parts), []
            # One shard at most waits to be written, so that memory stays bounded.
            if self._writing is not None:
                self._writing.result()
            self._writing = self._writer.submit(self._write, number, shard)

    def flush(self) -> None:
        """Wait for the shard that is being written; end all threads."""
        if self._images is not None:
            self._images.close()
        self._writer.shutdown()
        if self._writing is not None:
            self._writing.result()

    def counts(self) -> Mapping[str, int]:
        """Captions that were too long and lost their end, as ``cut``."""
        return {"cut": sum(one.cut for one in self._columns if isinstance(one, CaptionColumns))}


def _joined(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Whole columns on the CPU; up to here, an accelerator need not wait for us."""
    return {name: torch.cat([part[name] for part in parts]).cpu().contiguous() for name in parts[0]}
