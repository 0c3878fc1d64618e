"""What one process is told, and the loop in which it does it."""

import json
from collections.abc import Callable

import attrs
import torch

from thalweg.config import dump, structure
from thalweg.data.shards import ShardHeader
from thalweg.encoding.devices import Share
from thalweg.encoding.job import EncodingJob
from thalweg.encoding.preparing import Prepared, prepare
from thalweg.encoding.process import encode_shards


@attrs.frozen
class Task:
    """The shards of one process.

    Attributes:
        job: of all processes.
        header: of all shards.
        share: what the process has of the machine.
        numbers: its shards.
    """

    job: EncodingJob
    header: ShardHeader
    share: Share
    numbers: tuple[int, ...]

    def run(self, encoded: Callable[[int, int], None], prepared: Prepared | None = None) -> None:
        """Encode them.

        Args:
            encoded: told the number of images and of captions cut after each batch; may raise to stop.
            prepared: the opened job, where this process has it already.
        """
        torch.set_num_threads(self.share.threads)
        if prepared is None:
            prepared = prepare(self.job, self.share.device, self.header)
        known = 0

        def told(images: int) -> None:
            nonlocal known
            cut, known = prepared.cut - known, prepared.cut
            encoded(images, cut)

        encode_shards(
            self.numbers,
            prepared.layout,
            prepared.reader,
            prepared.columns,
            prepared.writer().write_shard,
            encoded=told,
            threads=self.share.threads,
        )

    def to_line(self) -> str:
        """One line of JSON, secrets and all: for a pipe, and for nothing else."""
        return json.dumps({**attrs.asdict(self), "header": dump(self.header)}) + "\n"

    @classmethod
    def from_line(cls, line: str) -> "Task":
        """The task of such a line."""
        return structure(cls, json.loads(line))
