"""The processes of a run talking about a save, aside from training."""

from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import distributed

from thalweg.errors import ThalwegError
from thalweg.suggestions import one_line


class Peers:
    """Lets threads of all processes exchange texts while training goes on; every process makes one.

    It has a group of its own: what training sends must not meet with it in between.

    Args:
        fabric: launched.

    Attributes:
        rank: of this process.
        count: of processes.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.rank, self.count = fabric.global_rank, fabric.world_size
        self._group: Any = distributed.new_group(backend="gloo") if self.count > 1 else None

    def agree(self, task: Callable[[], str | None] | None) -> list[str]:
        """Do this process's part and wait for the others.

        Args:
            task: what to do here, and tell the others; None for nothing.

        Returns:
            What each process tells, by rank.

        Raises:
            ThalwegError: on every process, if the task of any failed or a process is gone.
        """
        try:
            told, fault = (task() if task is not None else None) or "", None
        except Exception as error:  # whatever it is, the others must not wait for ever
            told, fault = str(error), error
        if self._group is None:
            if fault is not None:
                raise fault
            return [told]
        texts = self._exchange(f"{'-' if fault is not None else '+'}{told}")
        faults = [text[1:] for text in texts if text.startswith("-")]
        if faults:
            raise ThalwegError(faults[0]) from fault
        return [text[1:] for text in texts]

    def _exchange(self, text: str) -> list[str]:
        content = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        try:
            distributed.all_gather(sizes, torch.tensor([content.numel()]), group=self._group)
            room = max(int(size) for size in sizes)
            padded = torch.zeros(room, dtype=torch.uint8)
            padded[: content.numel()] = content
            all_padded = [torch.zeros(room, dtype=torch.uint8) for _ in range(self.count)]
            distributed.all_gather(all_padded, padded, group=self._group)
        except RuntimeError as error:
            raise ThalwegError(
                f"a process is gone that a checkpoint needs ({one_line(error)}); start the run again"
            ) from error
        return [bytes(one[: int(size)].numpy()).decode() for one, size in zip(all_padded, sizes, strict=True)]
