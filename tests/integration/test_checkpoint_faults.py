"""Checkpoints outlive kills at every operation of a save, and a change of the number of processes."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from run_processes import ONE_THREAD, TESTS


@pytest.mark.parametrize("mode", ["inline", "background"])
def test_killed_at_any_operation_of_a_save_the_old_or_the_new_one_is_whole(tmp_path: Path, mode: str) -> None:
    done = subprocess.run(
        [sys.executable, str(TESTS / "killed_saves.py"), str(tmp_path), mode],
        env=ONE_THREAD, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["ended"] for one in found] == [-signal.SIGKILL] * (len(found) - 1) + [0]
    assert len(found) > 30
    for number, one in enumerate(found, start=1):
        assert one["whole"], f"killed at operation {number}: {one}"
        assert one["same end"], f"killed at operation {number}: {one}"
        assert one["damaged"] == [], f"killed at operation {number}: {one}"
        assert one["left"] == ["latest", "step-00000003"], f"killed at operation {number}: {one}"
    # First the old one is found, from some operation on the new one, and both were met.
    steps = [one["step"] for one in found]
    assert steps == sorted(steps)
    assert set(steps) == {1, 2}


def test_a_run_resumes_with_any_number_of_processes_sharded_or_not(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(TESTS / "sharded_saves.py"), str(tmp_path)],
        env=ONE_THREAD, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
