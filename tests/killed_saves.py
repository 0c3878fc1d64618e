"""Saves in processes of their own that are killed at every operation; started by test_checkpoint_faults.py.

``python killed_saves.py FOLDER MODE`` (MODE is ``inline`` or ``background``) saves step 1, then lets child
after child try to save step 2 and be killed at the 1st, 2nd, ... operation of it, until one survives. After
each it looks at what is there and resumes from it to step 3. Prints a JSON list with what it found.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from fault_disk import FaultyDisk
from small_states import CONFIG, Small, same, small
from thalweg import checkpoint, files
from thalweg.training.checkpointing import CheckpointWriter
from thalweg.training.run_directory import RunDirectory


def saver_of(folder: Path, one: Small, mode: str) -> CheckpointWriter:
    return CheckpointWriter(RunDirectory(folder), CONFIG, 1, 0, one.fabric, mode == "background")


def killed(folder: Path, one: Small, mode: str, at: int) -> int:
    """How a child ended that was to be killed at an operation of its save; 0 if there was none such."""
    child = os.fork()
    if child == 0:
        files.disk = FaultyDisk(at, "kill")
        saver = saver_of(folder, one, mode)
        saver.save(one.state)
        saver.wait()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def look(folder: Path, expected: dict[int, dict[str, torch.Tensor]], mode: str) -> dict[str, Any]:
    """What can be gone on from, and whether it can."""
    said: list[str] = []
    found = checkpoint.latest_complete(folder / "checkpoints", said.append)
    assert found is not None
    step = checkpoint.step_of(found)
    again = small()
    again.state.load(found, again.fabric)
    whole = again.state.step == step and same(again.tensors(), expected[step])
    while again.state.step < 3:
        again.advance()
    saver = saver_of(folder, again, mode)
    saver.save(again.state)
    saver.wait()
    left = sorted(path.name for path in (folder / "checkpoints").iterdir())
    return {
        "step": step,
        "damaged": said,
        "whole": whole,
        "same end": same(again.tensors(), expected[3]),
        "left": left,
    }


if __name__ == "__main__":
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    one, expected = small(), {}
    for step in (1, 2, 3):
        one.advance()
        expected[step] = one.tensors()
    one = small()
    one.advance()
    saver_of(folder / "first", one, "inline").save(one.state)
    one.advance()
    found: list[dict[str, Any]] = []
    while not found or found[-1]["ended"]:
        place = folder / str(len(found))
        shutil.copytree(folder / "first", place)
        ended = killed(place, one, mode, at=len(found) + 1)
        found.append({"ended": ended, **look(place, expected, mode)})
        shutil.rmtree(place)
    print(json.dumps(found))
