"""The work of one process: shards encoded one after another, read ahead and written behind."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate

import torch
from torch import Tensor

from thalweg.data.prefetch import Prefetcher
from thalweg.encoding.columns import Columns
from thalweg.encoding.images import ImageBatch, ImageReader
from thalweg.encoding.layout import Layout

Write = Callable[[int, dict[str, Tensor]], object]

_DECODERS = 16  # threads at most: each holds a batch, and so many outrun any one accelerator


def encode_shards(
    numbers: Sequence[int],
    layout: Layout,
    reader: ImageReader,
    columns: Sequence[Columns],
    write: Write,
    *,
    encoded: Callable[[int], None],
    threads: int,
) -> None:
    """Encode these shards.

    Images are decoded ahead by threads, and a shard is written while the next one is encoded, so that the
    encoder waits for neither. An interruption loses the shard in work and no other.

    Args:
        numbers: which shards.
        layout: what lies in them.
        reader: reads a batch.
        columns: what is computed of it.
        write: writes a shard, durably and as a whole.
        encoded: told the number of images after each batch; may raise to stop.
        threads: of this process; images are decoded by as many, within reason.

    Raises:
        DataError: if an image is damaged, or what is computed of it cannot be stored.
    """
    batches = [indices for number in numbers for indices in layout.batches(number)]
    ends = set(accumulate(len(layout.batches(number)) for number in numbers))
    pending, workers = iter(numbers), min(threads, _DECODERS)
    parts: list[dict[str, Tensor]] = []
    writing: Future[object] | None = None
    with (
        ThreadPoolExecutor(1, "shard-writer") as pool,
        Prefetcher(
            lambda step: reader(batches[step]), depth=workers + 1, workers=workers, stop=len(batches)
        ) as images,
    ):
        for step in range(len(batches)):
            batch = images.get(step)
            parts.append(_computed(columns, batch))
            encoded(len(batch.keys))
            if step + 1 in ends:
                shard, parts = _joined(parts), []
                # One shard at most waits to be written, so that memory stays bounded.
                if writing is not None:
                    writing.result()
                writing = pool.submit(write, next(pending), shard)
        if writing is not None:
            writing.result()


def _computed(columns: Sequence[Columns], batch: ImageBatch) -> dict[str, Tensor]:
    return {name: rows for one in columns for name, rows in one(batch).items()}


def _joined(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Whole columns on the CPU; up to here, an accelerator need not wait for us."""
    return {name: torch.cat([part[name] for part in parts]).cpu().contiguous() for name in parts[0]}
