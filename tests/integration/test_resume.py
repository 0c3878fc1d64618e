"""Runs that are killed, interrupted or spread over processes come out as those that are not."""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

import killed_runs
from thalweg.cli.main import main
from thalweg.training import checkpoint
from tiny_runs import lines, recipe, tensor_files

TESTS = Path(killed_runs.__file__).parent
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}
THALWEG = [sys.executable, "-c", "import sys; from thalweg.cli.main import main; sys.exit(main())"]


def test_a_killed_run_ends_with_the_bits_of_the_uninterrupted_one(tmp_path: Path) -> None:
    # Any step and any file will do; another each time finds more than always the same.
    step, file = random.randint(2, 21), random.randint(1, 6)
    said = f"killed in step {step} and while writing file {file}"
    done = subprocess.run(
        [sys.executable, str(TESTS / "killed_runs.py"), str(tmp_path), str(step), str(file)],
        env=ONE_THREAD, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ends = {"whole": 0, "in step": -signal.SIGKILL, "in checkpoint": -signal.SIGKILL, "end": 0}
    assert json.loads(done.stdout) == ends, said + done.stderr
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert tensor_files(killed) == tensor_files(whole), said
    assert set(tensor_files(whole)) == {
        "step-00000030/network.safetensors", "step-00000030/ema.safetensors",
        "step-00000030/optimizer.safetensors", "model/model.safetensors",
    }  # fmt: skip
    assert lines(killed) == lines(whole), said
    assert [line["step"] for line in lines(whole)] == [4, 6, 8, 12, 16, 18, 20, 24, 28, 30]
    assert not list(killed.rglob("*partial*"))


def started(command: list[str], run_dir: Path, beyond: int) -> subprocess.Popen[str]:
    """The command, when it has done more steps than ``beyond``."""
    process = subprocess.Popen(command, env=ONE_THREAD, stderr=subprocess.PIPE, text=True)
    metrics, deadline = run_dir / "metrics.jsonl", time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if metrics.exists() and any(line["step"] > beyond for line in complete(metrics)):
            return process
        time.sleep(0.02)
    process.kill()
    return pytest.fail(f"no step beyond {beyond}: {process.communicate()[1]}")


def complete(metrics: Path) -> list[dict[str, int]]:
    return [json.loads(line) for line in metrics.read_text().splitlines(keepends=True) if line.endswith("\n")]


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    run_dir = tmp_path / "my run"
    arguments = [
        "train", str(recipe(tmp_path)), "training.steps=1000000", "training.checkpoint_every=0",
        "--accelerator", "cpu", "--resume", "never", "--run-dir", str(run_dir),
    ]  # fmt: skip
    process = started([*THALWEG, *arguments], run_dir, beyond=3)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    saved = checkpoint.newest(run_dir / "checkpoints", pytest.fail)
    assert saved is not None
    step = checkpoint.step_of(saved)
    assert f"interrupted and saved at step {step}" in said
    assert "Traceback" not in said
    name, *again = shlex.split(said.split("to go on: ")[1])
    assert name == "thalweg"

    process = started([*THALWEG, *again], run_dir, beyond=step)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert f"going on from step {step}" in said
    assert [line["step"] for line in lines(run_dir)] == list(range(1, len(lines(run_dir)) + 1))


SCRIPT = """
import sys, thalweg
thalweg.Trainer(thalweg.load_config(sys.argv[1], sys.argv[3:]), sys.argv[2]).train()
"""


def test_two_processes_train_like_one_that_accumulates(tmp_path: Path) -> None:
    # Without the acceleration loss one layer gets no gradient, for which DDP must not wait.
    path, without = recipe(tmp_path, steps=5), "objectives.acceleration=none"
    (tmp_path / "script.py").write_text(SCRIPT)
    program = str(Path(sys.executable).with_name("thalweg"))  # DDP runs it again by its name
    fabric = [sys.executable, "-m", "lightning_fabric.cli", "--accelerator=cpu", "--devices=2"]
    commands = {
        "ddp": [
            program, "train", str(path), without, "--devices", "2", "--accelerator", "cpu",
            "--run-dir", str(tmp_path / "ddp"),
        ],
        "fabric run": [
            *fabric, "--strategy=ddp", str(tmp_path / "script.py"), str(path), str(tmp_path / "fabric run"),
            without,
        ],
    }  # fmt: skip
    runs = {
        name: subprocess.Popen(
            command, env=ONE_THREAD, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name, command in commands.items()
    }
    arguments = [str(path), without, "training.accumulate=2", "--run-dir", str(tmp_path / "one")]
    assert main(["train", *arguments, "--accelerator", "cpu"]) == 0
    one = load_file(tmp_path / "one" / "model" / "model.safetensors")
    for name, run in runs.items():
        said = run.communicate(timeout=200)
        assert run.returncode == 0, said
        if name == "ddp":
            assert said[0].strip() == str(tmp_path / "ddp" / "model")
        for two_line, one_line in zip(lines(tmp_path / name), lines(tmp_path / "one"), strict=True):
            assert two_line == pytest.approx(one_line, rel=1e-4)
        two = load_file(tmp_path / name / "model" / "model.safetensors")
        for key, tensor in one.items():
            assert (tensor - two[key]).abs().max() < 1e-5, f"{name}: {key}"
