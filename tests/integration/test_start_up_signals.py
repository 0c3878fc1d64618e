"""Signals at any moment of ``thalweg train``, from its first act to its last; processes that do not meet."""

import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from run_processes import THALWEG, assert_gone, ended, start, started, steps_of, workers
from tiny_runs import lines, recipe

STEPS = 150
CODES = {signal.SIGTERM: 75, signal.SIGUSR1: 75, signal.SIGINT: 130}


def command_of(tmp_path: Path, *more: str) -> list[str]:
    path = recipe(tmp_path, validate_every=0, checkpoint_every=40, sample_every=50)
    return [
        *THALWEG, "train", str(path), f"training.steps={STEPS}", "--device", "cpu", "--quiet", *more,
        "--run-dir", str(tmp_path / "run"),
    ]  # fmt: skip


def listening(process: subprocess.Popen[str]) -> bool:
    """Whether a process has come so far that it handles SIGUSR1 itself."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
    return bool(int(caught, 16) >> (signal.SIGUSR1 - 1) & 1)


def trainers(first: psutil.Process) -> list[psutil.Process]:
    """Those that it started to train with; a compiler may come and go beside them."""
    found = []
    for child in first.children():
        try:
            if child.environ().get("LOCAL_RANK") == "1":
                found.append(child)
        except psutil.Error:
            continue
    return found


def wait_until(what: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def signalled(command: list[str], moment: float, number: int) -> tuple[int, str]:
    """Exit code and stderr of a command that gets a signal a while after its first act."""
    process = start(command)
    wait_until(lambda: process.poll() is not None or listening(process))
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, number)
    code, _, said = ended(process)
    return code, said


def test_a_signal_at_any_moment_is_one_sentence_and_the_same_command_resumes(tmp_path: Path) -> None:
    command = command_of(tmp_path)
    seed = 4711
    draws, begun = random.Random(seed), time.monotonic()
    other = tmp_path / "other"
    other.mkdir()
    assert ended(start(command_of(other)))[0] == 0
    span, codes = time.monotonic() - begun, []
    for trial in range(6):
        number = draws.choice(list(CODES))
        # Most of the time before training begins is spent in imports.
        moment = 0.0 if trial == 0 else draws.uniform(0.0, span)
        code, said = signalled(command, moment, number)
        codes.append(code)
        where = (seed, trial, moment, signal.Signals(number).name, code, said)
        assert "Traceback" not in said, where
        if code == 0:
            continue
        assert code == CODES[number], where
        told = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        early = f"{told}; the same command resumes"
        sentences = [
            line for line in said.splitlines() if "to resume: thalweg train" in line or line == early
        ]
        # Ctrl-C before the command's first act is said by nothing but the exit code.
        assert len(sentences) == 1 or (code, said) == (130, ""), where
        if sentences and sentences[0] != early:
            assert ("pre-empted" if code == 75 else "interrupted") in sentences[0], where
    code, _, said = ended(start(command))
    assert code == 0, (seed, codes, said)
    assert [line["step"] for line in lines(tmp_path / "run")] == list(range(1, STEPS + 1))
    assert {75, 130} & set(codes), (seed, codes)


@pytest.mark.parametrize("to", ["first", "second", "both"])
def test_two_processes_are_stopped_while_they_start(tmp_path: Path, to: str) -> None:
    command = command_of(tmp_path, "--devices", "2")
    process = start(command)
    first = psutil.Process(process.pid)
    wait_until(lambda: process.poll() is not None or trainers(first))
    (second,) = trainers(first)
    wait_until(lambda: listening(second))  # type: ignore[arg-type]
    for one, name in ((first, "first"), (second, "second")):
        if to in (name, "both"):
            one.send_signal(signal.SIGTERM)
    code, _, said = ended(process, timeout=40)
    assert_gone([second], within=5)
    assert code == 75, said
    assert said.count("to resume: thalweg train") == 1, said
    assert "Traceback" not in said
    assert "error" not in said


def test_a_second_ctrl_c_ends_two_processes_at_once_though_they_wait_for_each_other(tmp_path: Path) -> None:
    command = command_of(tmp_path, "training.steps=1000000", "--devices", "2")
    process = started(command, tmp_path / "run", beyond=3)
    others = workers(process, 1)
    others[0].suspend()  # the first one waits for it in the next exchange
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    begun = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    code, _, said = ended(process, timeout=20)
    assert time.monotonic() - begun < 5
    assert code == 130, said
    assert_gone(others, within=1)
    assert "Traceback" not in said


@pytest.mark.parametrize("node", [0, 1])
def test_processes_that_do_not_meet_are_one_sentence(tmp_path: Path, node: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = command_of(tmp_path, "--devices", "1", "--nodes", "2", "--timeout", "2")
    process = start(command, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), NODE_RANK=str(node))
    code, _, said = ended(process, timeout=240)
    assert code == 1, said
    (sentence,) = said.strip().splitlines()
    assert f"did not all meet at 127.0.0.1:{port} within 2 s" in sentence
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_signal_while_one_waits_for_the_others_is_heard(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = command_of(tmp_path, "--devices", "1", "--nodes", "2")
    process = start(command, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), NODE_RANK="0")
    wait_until(lambda: process.poll() is not None or (tmp_path / "run" / "config.toml").exists())
    time.sleep(2.0)
    os.kill(process.pid, signal.SIGUSR1)
    code, _, said = ended(process, timeout=20)
    assert code == 75, said
    assert "pre-empted before training began; to resume: thalweg train" in said


def test_the_step_that_a_signal_interrupts_is_saved(tmp_path: Path) -> None:
    process = started(command_of(tmp_path, "training.steps=100000"), tmp_path / "run", beyond=5)
    os.kill(process.pid, signal.SIGTERM)
    code, _, said = ended(process)
    assert code == 75
    done = steps_of(tmp_path / "run" / "metrics.jsonl")[-1]
    assert f"pre-empted and saved at step {done}; to resume: thalweg train" in said
