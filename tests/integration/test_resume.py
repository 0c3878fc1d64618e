"""Runs that are killed or interrupted come out as those that are not."""

import json
import random
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from run_processes import ONE_THREAD, TESTS, THALWEG, ended, started
from thalweg import checkpoint
from thalweg.cli.main import main
from tiny_runs import lines, recipe, tensor_files


def test_runs_killed_at_fifty_random_moments_end_with_the_bits_of_the_uninterrupted_one(
    tmp_path: Path,
) -> None:
    seed = random.randrange(10**6)  # other moments each time find more than always the same
    done = subprocess.run(
        [sys.executable, str(TESTS / "killed_runs.py"), str(tmp_path), "50", str(seed)],
        env=ONE_THREAD, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    runs = ends.pop("runs")
    # A second SIGTERM ends a run at once.
    assert ends == {"whole": 0, "last": 0, "twice": -signal.SIGTERM}, f"seed {seed}: {done.stderr}"
    whole = tmp_path / "whole"
    assert set(tensor_files(whole)) == {
        "step-00000020/network.safetensors", "step-00000020/ema.safetensors",
        "step-00000020/optimizer.safetensors", "model/model.safetensors",
    }  # fmt: skip
    assert [line["step"] for line in lines(whole)] == [4, 6, 8, 12, 16, 18, 20]
    for number in range(1, runs + 1):
        killed = tmp_path / f"killed-{number}"
        assert tensor_files(killed) == tensor_files(whole), f"seed {seed}, run {number}"
        assert lines(killed) == lines(whole), f"seed {seed}, run {number}"
        assert not list(killed.rglob("*partial*"))


def test_ctrl_c_and_pre_emption_save_and_say_how_to_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "my run"
    arguments = [
        "train", str(recipe(tmp_path)), "training.steps=1000000", "training.checkpoint_every=0",
        "--device", "cpu", "--resume", "never", "--run-dir", str(run_dir),
    ]  # fmt: skip
    process = started([*THALWEG, *arguments], run_dir, beyond=3)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert f"another process ({process.pid}) is training" in said or "holds a run already" in said
    assert main([*arguments, "--resume", "auto"]) == 2
    assert f"another process ({process.pid}) is training in {run_dir}" in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    code, _, said = ended(process)
    assert code == 130, said
    saved = checkpoint.latest_complete(run_dir / "checkpoints", pytest.fail)
    assert saved is not None
    step = checkpoint.step_of(saved)
    assert f"interrupted and saved at step {step}" in said
    assert "Traceback" not in said
    name, *again = shlex.split(said.split("to resume: ")[1])
    assert name == "thalweg"

    process = started([*THALWEG, *again], run_dir, beyond=step)
    process.send_signal(signal.SIGTERM)
    code, _, said = ended(process)
    assert code == 75, said
    assert f"resuming from step {step}" in said
    assert "pre-empted and saved at step" in said
    assert "Traceback" not in said
    assert [line["step"] for line in lines(run_dir)] == list(range(1, len(lines(run_dir)) + 1))
