"""What a checkpoint is to hold, and its copy in host memory."""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.training.checkpoint import Piece


@attrs.frozen(eq=False)
class Snapshot:
    """The state of a run after a step, as far as this process writes it.

    Attributes:
        step: steps done.
        groups: pieces by tensor, by the group that they are saved in; empty groups where other processes
            write.
        documents: JSON values by name; they belong to the snapshot alone.
        sharded: whether several processes write.
    """

    step: int
    groups: Mapping[str, Mapping[str, Piece]]
    documents: Mapping[str, Any]
    sharded: bool


class HostMemory:
    """Memory for one snapshot at a time, kept so that it is paid for once.

    Pages that were never touched cost more than the copy, and only pinned memory is filled at full speed
    from a GPU.
    """

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, str], Tensor] = {}

    @torch.no_grad()
    def copy(self, snapshot: Snapshot) -> Snapshot:
        """The same snapshot with its values in this memory, which the next copy overwrites."""
        groups: dict[str, dict[str, Piece]] = {group: {} for group in snapshot.groups}
        for group, name, piece in _pieces(snapshot):
            buffer = self._buffer((group, name), piece.tensor)
            buffer.copy_(piece.tensor)
            groups[group][name] = attrs.evolve(piece, tensor=buffer)
        return attrs.evolve(snapshot, groups=groups)

    def _buffer(self, key: tuple[str, str], like: Tensor) -> Tensor:
        buffer = self._buffers.get(key)
        if buffer is None or buffer.shape != like.shape or buffer.dtype != like.dtype:
            buffer = torch.empty(like.shape, dtype=like.dtype, pin_memory=like.is_cuda)
            self._buffers[key] = buffer
        return buffer


def _pieces(snapshot: Snapshot) -> Iterator[tuple[str, str, Piece]]:
    for group, pieces in snapshot.groups.items():
        for name, piece in pieces.items():
            yield group, name, piece
