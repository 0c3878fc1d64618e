"""Checkpoints under FSDP2 by one number of processes, read by another; started by test_checkpoint_faults.py.

``python sharded_saves.py FOLDER`` takes the state of a run through processes that hold it sharded or whole,
one step each, and compares it after each with what a single process makes of it. Prints what went wrong.
"""

import faulthandler
import os
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from torch import distributed

import thalweg
from fault_disk import FaultyDisk
from small_states import CONFIG, lone, same, small
from thalweg import checkpoint, files
from thalweg.errors import ThalwegError
from thalweg.training.checkpointing import CheckpointWriter
from thalweg.training.launch.distributed import shard
from thalweg.training.run_directory import RunDirectory


def fabric_of(count: int, sharded: bool) -> Fabric:
    if count == 1 and not sharded:
        return lone()
    strategy = ModelParallelStrategy(shard, count, 1, timeout=timedelta(seconds=60)) if sharded else "ddp"
    fabric = Fabric(accelerator="cpu", devices=count, strategy=strategy)
    fabric.launch()
    return fabric


def step(folder: Path, count: int, sharded: bool, at: int, background: bool) -> None:
    """Resume from the newest checkpoint, which must hold what ``at`` steps make, do one more, and save it."""
    fabric = fabric_of(count, sharded)
    one = small(fabric)
    if at:
        place = checkpoint.latest_complete(folder / "checkpoints", lambda text: sys.exit(text))
        assert place is not None
        one.state.load(place, fabric)
    whole = one.tensors()
    assert same(whole, after(at)), f"{count} processes read something else after {at} steps"
    one.advance()
    saver = CheckpointWriter(RunDirectory(folder), CONFIG, 2, 0, fabric, background)
    saver.save(one.state)
    saver.wait()
    ranks = count if sharded and count > 1 else 1
    names = {path.name for path in (folder / "checkpoints" / f"step-{at + 1:08d}").glob("*.safetensors")}
    groups = ("network", "ema", "optimizer")
    assert names == {checkpoint.file_name(one, rank, ranks) for one in groups for rank in range(ranks)}, names


def fail(folder: Path, count: int, background: bool) -> None:
    """One process cannot write: all say so, and what was there before stays."""
    fabric = fabric_of(count, sharded=True)
    one = small(fabric)
    one.advance()
    saver = CheckpointWriter(RunDirectory(folder), CONFIG, 1, 0, fabric, background)
    saver.save(one.state)
    saver.wait()
    one.advance()
    if fabric.global_rank == count - 1:
        files.disk = FaultyDisk(2, "full")
    try:
        saver.save(one.state)
        saver.wait()
    except ThalwegError as error:
        assert "step-00000002: [Errno 28] No space left" in str(error), error  # noqa: PT017
    else:
        raise AssertionError("nothing was said")
    fabric.barrier()
    left = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert left == ["latest", "step-00000001"], left
    files.disk = files.Disk()
    saver.save(one.state)
    saver.wait()
    fabric.barrier()
    left = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert left == ["latest", "step-00000002"], left


def after(steps: int) -> dict[str, torch.Tensor]:
    """The state that a single process makes."""
    one = small(lone())
    for _ in range(steps):
        one.advance()
    return one.tensors()


def together(count: int, task: Callable[[], None]) -> None:
    """Do a task in as many processes, as a launcher would start them.

    This process itself never computes: a child forked from one that has may find locks held for ever.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            os.environ |= {
                "RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test",
                "WORLD_SIZE": f"{count}", "LOCAL_WORLD_SIZE": f"{count}",
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}",
            }  # fmt: skip
            try:
                task()
                if distributed.is_initialized():
                    distributed.barrier()
                    distributed.destroy_process_group()
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        children.append(child)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert ended == [0] * count, f"{count} processes ended with {ended}"


def opened(folder: Path, count: int, at: int) -> None:
    """The averages of the newest checkpoint, opened as a network."""
    network = thalweg.load(folder).state_dict()
    averages = {name[4:]: one for name, one in after(at).items() if name.startswith("ema/")}
    assert same(network, averages), f"the averages of {count} processes open as others"


if __name__ == "__main__":
    faulthandler.enable()
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    stations = [(2, True), (1, False), (2, True), (3, True), (2, False), (1, False)]
    for at, (count, sharded) in enumerate(stations):
        together(count, partial(step, folder, count, sharded, at, at % 2 == 0))
        together(1, partial(opened, folder, count, at + 1))
    for background in (False, True):
        together(2, partial(fail, folder / f"fails-{background}", 2, background))
