"""Saves the state of a run while it goes on."""

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from lightning_fabric import Fabric

from thalweg.errors import ThalwegError
from thalweg.files import Seal
from thalweg.training import checkpoint
from thalweg.training.background import Background, together
from thalweg.training.checkpoint import Piece
from thalweg.training.peers import Peers
from thalweg.training.run_directory import RunDirectory
from thalweg.training.snapshot import HostMemory, Snapshot
from thalweg.training.state import RunState

_WRITERS = 2
"""Threads of a process that hash and write: one alone would hash more slowly than disks write."""


class Saver:
    """Writes checkpoints of a run; every process makes one and calls it.

    In the background, a step waits only until the previous save is done; the copy of weights, moments and
    averages is taken while the next step computes its gradients, and only its update waits for that.
    Whatever fails is raised by the next call.

    Args:
        run: the run's folder, claimed.
        config: the run's configuration as plain values, kept in each checkpoint.
        keep: checkpoints kept, the newest.
        keep_every: those of steps that are a multiple of it are kept for ever; 0 for none.
        fabric: launched.
        asynchronous: whether to write in the background; takes the host memory of one snapshot.
    """

    def __init__(
        self,
        run: RunDirectory,
        config: Mapping[str, Any],
        keep: int,
        keep_every: int,
        fabric: Fabric,
        asynchronous: bool,
    ) -> None:
        self._run, self._config, self._fabric = run, config, fabric
        self._keep, self._keep_every = keep, keep_every
        self._memory = HostMemory() if asynchronous else None
        self._peers, self._leads = Peers(fabric), fabric.is_global_zero
        self._pending: Background[None] | None = None
        self._published: deque[Path] = deque()

    def save(self, state: RunState) -> None:
        """Save the state as it is now.

        Raises:
            ThalwegError: if this save, or the one before in the background, failed; what had been saved
                before is untouched.
        """
        self.wait()
        snapshot = state.snapshot(self._fabric)
        if self._memory is None:
            self._write(lambda: snapshot, snapshot.step)
            return
        copied, memory = threading.Event(), self._memory
        state.hold(copied)

        def copy() -> Snapshot:
            try:
                return memory.copy(snapshot)
            finally:
                copied.set()

        self._pending = Background(lambda: self._write(copy, snapshot.step), "thalweg-save")

    def wait(self) -> None:
        """Wait until the last save is on disk.

        Raises:
            ThalwegError: if it failed.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def published(self) -> list[Path]:
        """Folders of the checkpoints that came to be whole since the last call; on the first process."""
        return [self._published.popleft() for _ in range(len(self._published))]

    def _write(self, take: Callable[[], Snapshot], step: int) -> None:
        """Take the snapshot and make a durable checkpoint of it, all processes together."""
        folder, taken = self._run.checkpoints, list[Snapshot]()

        def begin() -> None:
            taken.append(take())
            if self._leads:
                checkpoint.begin(folder, step)

        try:
            self._peers.agree(begin)
            told = self._peers.agree(lambda: self._write_tensors(taken[0]))
            seals = {name: Seal(*seal) for text in told for name, seal in json.loads(text).items()}
            self._peers.agree((lambda: self._finish(taken[0], seals)) if self._leads else None)
        except (OSError, ThalwegError) as error:
            if self._leads:
                checkpoint.discard(folder, step)
            raise ThalwegError(
                f"cannot write the checkpoint {self._run.where}/checkpoints/"
                f"{checkpoint.place_of(folder, step).name}: {error}; "
                f"make room or give permission there, then start the same run again"
            ) from error

    def _write_tensors(self, snapshot: Snapshot) -> str:
        """This process's files, the largest first; their sizes and digests as JSON."""
        folder, ranks = checkpoint.partial_of(self._run.checkpoints, snapshot.step), self._peers.count
        whole = not snapshot.sharded or ranks == 1
        groups = (
            sorted(snapshot.groups.items(), key=lambda group: -_bytes(group[1]))
            if (self._leads or not whole)
            else []
        )
        tasks = {
            (name := checkpoint.file_name(group, self._peers.rank, 1 if whole else ranks)): partial(
                checkpoint.write_pieces, folder / name, pieces, whole=whole
            )
            for group, pieces in groups
        }
        seals = together(list(tasks.values()), _WRITERS)
        return json.dumps({name: attrs.astuple(seal) for name, seal in zip(tasks, seals, strict=True)})

    def _finish(self, snapshot: Snapshot, seals: Mapping[str, Seal]) -> None:
        """What the first process does when all tensors are on disk."""
        folder = self._run.checkpoints
        place = checkpoint.partial_of(folder, snapshot.step)
        written = {
            f"{name}.json": checkpoint.write_document(place / f"{name}.json", document)
            for name, document in {**snapshot.documents, "config": self._config}.items()
        }
        checkpoint.write_manifest(place, {**seals, **written})
        published = checkpoint.publish(folder, snapshot.step, self._keep, self._keep_every)
        if self._run.mirror is not None:
            self._run.mirror.push(published, self._keep, self._keep_every)
        # After the store has the checkpoint, too: it carries this file along with the next one.
        self._run.mark(snapshot.step)
        self._published.append(published)


def _bytes(pieces: Mapping[str, Piece]) -> int:
    return sum(piece.tensor.numel() * piece.tensor.element_size() for piece in pieces.values())
