"""Training commands in processes of their own, watched from outside."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

TESTS = Path(__file__).parent
ONE_THREAD = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": f"{TESTS}:{os.environ.get('PYTHONPATH', '')}",
}
THALWEG = [sys.executable, "-m", "thalweg"]


def start(command: list[str], **environment: str) -> subprocess.Popen[str]:
    """Start a command with one thread a process."""
    return subprocess.Popen(
        command, env={**ONE_THREAD, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def started(command: list[str], run_dir: Path, beyond: int) -> subprocess.Popen[str]:
    """The command, when its run has done more steps than ``beyond``."""
    process = start(command)
    metrics, deadline = run_dir / "metrics.jsonl", time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if metrics.exists() and any(step > beyond for step in steps_of(metrics)):
            return process
        time.sleep(0.02)
    process.kill()
    return pytest.fail(f"no step beyond {beyond}: {process.communicate()[1]}")


def steps_of(metrics: Path) -> list[int]:
    """The steps of all whole lines."""
    return [
        json.loads(line)["step"]
        for line in metrics.read_text(encoding="utf-8").splitlines(True)
        if line.endswith("\n")
    ]


def ended(process: subprocess.Popen[str], timeout: float = 120) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a process that is about to end."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def workers(process: subprocess.Popen[str], count: int) -> list[psutil.Process]:
    """The processes that it started."""
    children: list[psutil.Process] = psutil.Process(process.pid).children()
    assert len(children) == count, children
    return children


def assert_gone(processes: list[psutil.Process], within: float) -> None:
    """None of the processes is left after a while."""
    _, alive = psutil.wait_procs(processes, timeout=within)
    for one in alive:
        one.kill()
    assert not alive, "orphans were left"
