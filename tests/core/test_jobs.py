"""One pool of processes: whatever ends one of them, the others save and stop, and a sentence names it."""

import os
from pathlib import Path

import pytest

import failing_jobs
from failing_jobs import Ending, EndingTask
from thalweg.errors import DataError, ThalwegError
from thalweg.jobs.pool import share_work

RESUME = "what is finished is saved; run the same command to resume"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    paths = [str(Path(failing_jobs.__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def shared(folder, how, count):
    """The sum of what two processes have counted; the first is slow and the second ends in some way."""
    shares = [[(at, at + 1) for at in range(count)], [(at, at + 2) for at in range(count, 3 * count, 2)]]
    advanced: list[int] = []
    here, there = Ending(folder / "first", "slow"), EndingTask(folder / "second", how)
    found = share_work(here, there, shares, ["cpu", "cpu"], advanced.append)
    assert sum(advanced) == 3 * count
    return found


def test_what_processes_count_is_added_up(tmp_path):
    assert shared(tmp_path, "whole", 5) == {"taken": 15}
    assert [(tmp_path / name).read_text() for name in ("first", "second")] == ["5", "10"]


@pytest.mark.parametrize(
    ("how", "kind", "message", "saved"),
    [
        ("data", DataError, "there is no such image; restore it", True),
        ("memory", ThalwegError, f"process 2 of 2 failed: MemoryError: no room for a batch; {RESUME}", True),
        ("exit", ThalwegError, f"process 2 of 2 ended with exit code 7; {RESUME}", False),
        ("SIGTERM", ThalwegError, f"process 2 of 2 was stopped by SIGTERM; {RESUME}", True),
        (
            "SIGKILL",
            ThalwegError,
            f"process 2 of 2 was killed by signal 9 (SIGKILL), as systems do when memory runs out; {RESUME}",
            False,
        ),
    ],
)
def test_whatever_ends_a_process_the_others_save_and_stop(tmp_path, how, kind, message, saved):
    with pytest.raises(ThalwegError) as raised:
        shared(tmp_path, how, 100_000)
    assert type(raised.value) is kind
    assert str(raised.value) == message
    assert 1 < int((tmp_path / "first").read_text()) < 100_000
    assert (tmp_path / "second").exists() == saved
    if how in ("data", "memory"):
        assert "_end" in raised.value.__notes__[0]  # where it failed there, for --debug
