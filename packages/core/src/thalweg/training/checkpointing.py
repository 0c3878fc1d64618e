"""Checkpoints of a run, written while it trains, and the models that it leaves."""

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs
import torch
from lightning_fabric import Fabric
from torch import Tensor

from thalweg import checkpoint
from thalweg.checkpoint import TensorSlice
from thalweg.config import RunConfig, dump
from thalweg.errors import ThalwegError
from thalweg.files import Seal
from thalweg.network import FlowNetwork
from thalweg.protocols import Averages
from thalweg.saved_network import save
from thalweg.training.launch.distributed import Peers, whole
from thalweg.training.run_directory import RunDirectory
from thalweg.training.state import RunState, Snapshot

Result = TypeVar("Result")

_WRITERS = 2
"""Files that a process hashes and writes at a time: hashing one alone is slower than disks."""


class CheckpointWriter:
    """Writes checkpoints of a run; every process makes one and calls it.

    In the background, a step waits only until the previous save is done; the copy of weights, optimiser state
    and EMA weights is taken while the next step computes its gradients, and only its update waits for that.
    Whatever fails is raised by the next call.

    Args:
        run: the run's folder, locked.
        config: of the run, in plain values, kept in each checkpoint.
        keep: as of :class:`thalweg.config.TrainingConfig`, as ``keep_every``.
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
        self._peers = Peers(fabric.global_rank, fabric.world_size)
        self._pending: Future[None] | None = None
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
        state.copying(copied)

        def copy() -> Snapshot:
            try:
                return memory.copy(snapshot)
            finally:
                copied.set()

        self._pending = _Background(lambda: self._write(copy, snapshot.step), "thalweg-save")

    def wait(self) -> None:
        """Wait until the last save is on disk."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def published(self) -> list[Path]:
        """Folders of the checkpoints that were completed since the last call; on the first process."""
        return [self._published.popleft() for _ in range(len(self._published))]

    def _write(self, take: Callable[[], Snapshot], step: int) -> None:
        """Take the snapshot and make a durable checkpoint of it, all processes together."""
        folder, taken, leads = self._run.checkpoints, list[Snapshot](), self._fabric.is_global_zero

        def begin() -> None:
            taken.append(take())
            if leads:
                checkpoint.begin(folder, step)

        try:
            self._peers.agree(begin)
            texts = self._peers.agree(lambda: self._write_tensors(taken[0]))
            seals = {name: Seal(*seal) for text in texts for name, seal in json.loads(text).items()}
            self._peers.agree(lambda: self._finish(taken[0], seals) if leads else None)
        except (OSError, ThalwegError) as error:
            if leads:
                checkpoint.discard(folder, step)
            raise ThalwegError(
                f"cannot write the checkpoint {self._run.where}/checkpoints/"
                f"{checkpoint.path_of(folder, step).name}: {error}; "
                f"make room or give permission there, then start the same run again"
            ) from error

    def _write_tensors(self, snapshot: Snapshot) -> str:
        """This process's files, the largest first; their sizes and digests as JSON."""
        folder = checkpoint.partial_of(self._run.checkpoints, snapshot.step)
        ranks = self._peers.count if snapshot.sharded else 1
        groups = snapshot.groups if self._peers.rank < ranks else {}
        slots = threading.Semaphore(_WRITERS)

        def write(path: Path, slices: Mapping[str, TensorSlice]) -> Seal:
            with slots:
                return checkpoint.write_slices(path, slices, whole=ranks == 1)

        written: dict[str, Future[Seal]] = {}
        sizes = {group: sum(one.tensor.nbytes for one in slices.values()) for group, slices in groups.items()}
        for group, slices in sorted(groups.items(), key=lambda one: -sizes[one[0]]):
            name = checkpoint.file_name(group, self._peers.rank, ranks)
            written[name] = _Background(partial(write, folder / name, slices), "thalweg-file")
        # None of them may be on its way when a failure of one discards them all.
        wait(written.values())
        return json.dumps({name: attrs.astuple(seal.result()) for name, seal in written.items()})

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
        if self._run.remote is not None:
            self._run.remote.upload(published, self._keep, self._keep_every)
        # After the store has the checkpoint, too: it carries this file along with the next one.
        self._run.mark(snapshot.step)
        self._published.append(published)


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
        groups: dict[str, dict[str, TensorSlice]] = {group: {} for group in snapshot.groups}
        for group, slices in snapshot.groups.items():
            for name, one in slices.items():
                buffer = self._buffer((group, name), one.tensor)
                buffer.copy_(one.tensor)
                groups[group][name] = attrs.evolve(one, tensor=buffer)
        return attrs.evolve(snapshot, groups=groups)

    def _buffer(self, key: tuple[str, str], like: Tensor) -> Tensor:
        buffer = self._buffers.get(key)
        if buffer is None or buffer.shape != like.shape or buffer.dtype != like.dtype:
            buffer = torch.empty(like.shape, dtype=like.dtype, pin_memory=like.is_cuda)
            self._buffers[key] = buffer
        return buffer


def export_models(
    run: RunDirectory,
    config: RunConfig,
    network: FlowNetwork,
    averages: Averages,
    step: int,
    fabric: Fabric,
    calibrated: Callable[[str], Any] = lambda _: None,
) -> Path:
    """Write the EMA networks of a finished run, for :func:`thalweg.load`; every process must call it.

    The main one is written last, since its folder, ``model``, says that the run is complete; that is
    returned. Another's is ``model-NAME`` beside it.

    Args:
        calibrated: what is measured of the heads with the EMA weights of a name; None for nothing.

    Raises:
        ThalwegError: if it cannot be written.
    """
    for name, place in reversed(run.models(averages.names).items()):
        calibration = calibrated(name)
        # One tensor at a time is put together, and kept by the first process alone.
        tensors = {}
        for key, tensor in averages.state_dict(name).items():
            full = whole(tensor)
            if fabric.is_global_zero:
                tensors[key] = full.cpu()
        if fabric.is_global_zero:
            run.make_room_for_model(place)
            save(
                place,
                network,
                state_dict=tensors,
                calibration=calibration,
                run={"name": config.name, "seed": config.seed, "step": step, "average": name},
                sampling=dump(config.sampling),
            )
    return run.model


class _Background(Future[Result]):
    """A task in a thread of its own that never outlives the program.

    The thread ends with the program, so a second Ctrl-C waits for nothing; what it writes must bear that. Who
    takes the result waits for the thread too: one that still frees tensors while the interpreter ends aborts
    the program.
    """

    def __init__(self, task: Callable[[], Result], name: str) -> None:
        super().__init__()
        self._thread = threading.Thread(target=self._run, args=(task,), name=name, daemon=True)
        self._thread.start()

    def result(self, timeout: float | None = None) -> Result:
        """What the task gave, or raises what it raised."""
        try:
            return super().result(timeout)
        finally:
            if self.done():
                self._thread.join()

    def _run(self, task: Callable[[], Result]) -> None:
        try:
            found = task()
        except BaseException as fault:  # raised by whoever takes the result
            self.set_exception(fault)
        else:
            self.set_result(found)
